// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* vfmig check: the rules of the checker on one device. */

#include "cmd.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"

/* A device that speaks v1 is opened with the semantics of v2; rules about v1 want what is below. */
static int open_form(void *user, enum vfm_check_form form, struct vfm_device **out,
		     struct vfm_err *err)
{
	const struct cmd_args *args = (const struct cmd_args *)user;
	char raw[512];

	if (form == VFM_CHECK_V2)
		return vfm_open(out, args->operands[0], err);
	snprintf(raw, sizeof(raw), "raw+%s", args->operands[0]);
	return vfm_open(out, raw, err);
}

static void print_result(void *user, const struct vfm_check_result *r)
{
	(void)user;
	printf("%-8s %-48s %s\n", vfm_verdict_name(r->verdict), r->rule->name, r->evidence);
	if (r->verdict <= VFM_VERDICT_SKIPPED)
		return;
	for (size_t i = 0; i < r->nr_ops; i++)
		printf("         %s\n", r->ops[i]);
}

int cmd_check(const struct cmd_args *args, struct vfm_err *err)
{
	struct vfm_check_opts opts = { .size = sizeof(opts),
				       .open = open_form,
				       .rules = args->rule,
				       .seed = args->seed,
				       .quick = args->quick,
				       .result = print_result,
				       .user = (void *)args };
	struct vfm_check_summary sum;
	struct cmd_exercise ex;
	int ret = cmd_exercise_open(&ex, args->exercise, args->operands[0], err);

	if (ret)
		return ret;
	opts.exercise = ex.exercise;
	ret = vfm_check(&opts, &sum, err);
	cmd_exercise_close(&ex);
	if (ret)
		return ret;
	printf("%u passed, %u failed, %u skipped\n", sum.verdicts[VFM_VERDICT_PASSED],
	       sum.verdicts[VFM_VERDICT_FAILED] + sum.verdicts[VFM_VERDICT_HUNG] +
		       sum.verdicts[VFM_VERDICT_CRASHED],
	       sum.verdicts[VFM_VERDICT_SKIPPED]);
	if (sum.lost)
		return vfm_fail(err, -1, "the device could not be opened any more");
	if (sum.failed[VFM_SEVERITY_MUST])
		return vfm_fail(err, -1, "%u rules that must hold do not",
				sum.failed[VFM_SEVERITY_MUST]);
	return 0;
}
