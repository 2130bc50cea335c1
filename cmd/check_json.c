// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* One JSON object; docs/checking-a-device.md has its fields. */

#include "check.h"

#include <errno.h>

static int json_begin(struct check_report *r, struct vfm_err *err)
{
	struct cmd_json *j = cmd_json_new();

	if (!j)
		return vfm_fail(err, -ENOMEM, "no memory for a report");
	cmd_json_text(j, "vfmig", vfm_version());
	cmd_json_text(j, "uri", r->uri);
	cmd_json_u64(j, "seed", r->seed);
	cmd_json_bool(j, "quick", r->quick);
	cmd_json_open_list(j, "rules");
	r->priv = j;
	return 0;
}

static void json_result(struct check_report *r, const struct vfm_check_result *result)
{
	struct cmd_json *j = (struct cmd_json *)r->priv;
	char again[VFM_CHECK_TEXT];

	check_again(r, result->rule->name, again, sizeof(again));
	cmd_json_open(j, NULL);
	cmd_json_text(j, "name", result->rule->name);
	cmd_json_text(j, "title", result->rule->title);
	cmd_json_text(j, "source", result->rule->source);
	cmd_json_text(j, "severity", vfm_severity_name(result->rule->severity));
	cmd_json_text(j, "verdict", vfm_verdict_name(result->verdict));
	cmd_json_u64(j, "us", result->us);
	cmd_json_text(j, "evidence", result->evidence);
	cmd_json_text(j, "again", again);
	cmd_json_open_list(j, "operations");
	for (size_t i = 0; check_failed(result) && i < result->nr_ops; i++)
		cmd_json_text(j, NULL, result->ops[i]);
	cmd_json_close(j);
	cmd_json_close(j);
}

static int json_end(struct check_report *r, struct vfm_err *err)
{
	struct cmd_json *j = (struct cmd_json *)r->priv;
	int ret;

	cmd_json_close(j);
	cmd_json_open(j, "verdicts");
	for (int v = VFM_VERDICT_PASSED; v <= VFM_VERDICT_CRASHED; v++)
		cmd_json_u64(j, vfm_verdict_name((enum vfm_verdict)v), r->sum->verdicts[v]);
	cmd_json_close(j);
	cmd_json_open(j, "failed");
	for (int s = VFM_SEVERITY_NOTE; s <= VFM_SEVERITY_MUST; s++)
		cmd_json_u64(j, vfm_severity_name((enum vfm_severity)s), r->sum->failed[s]);
	cmd_json_close(j);
	cmd_json_bool(j, "fit", check_is_fit(r));
	cmd_json_bool(j, "migrates", r->sum->migrates);
	cmd_json_u64(j, "not_tried", r->sum->left);
	cmd_json_text(j, "cut", r->cut);
	ret = cmd_json_write(j, r->out, err);
	cmd_json_free(j);
	return ret;
}

const struct check_format check_json = { json_begin, json_result, json_end };
