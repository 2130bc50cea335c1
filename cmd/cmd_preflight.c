// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* vfmig preflight: whether a device can be moved, and how long it would stand still. */

#include "cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

static const char *const kinds[] = {
	[VFM_FINDING_NOTE] = "note",
	[VFM_FINDING_LIMIT] = "limit",
	[VFM_FINDING_BLOCKER] = "blocker",
};

/* A device can answer with any text in its model; a terminal is no place for that. */
static const char *clean(char *buf, size_t len, const char *text)
{
	snprintf(buf, len, "%s", text);
	cmd_clean(buf);
	return buf;
}

/* ---- words -------------------------------------------------------------------- */

static void print_end(const char *name, const char *uri, const struct vfm_preflight_end *end)
{
	char text[VFM_MODEL_TEXT];

	printf("%-12s %s\n", name, uri);
	if (!end->known)
		return;
	printf("%12s protocol v%u, in %s", "", end->protocol, vfm_state_name(end->state));
	if (end->has_compat)
		printf(", %s version %u (reads from %u)",
		       clean(text, sizeof(text), end->compat.model), end->compat.version,
		       end->compat.min_version);
	if (end->data_size)
		printf(", %.1f MiB of state", (double)end->data_size / (1 << 20));
	putchar('\n');
}

static void print_rate(const char *name, uint64_t rate)
{
	if (rate)
		printf("%-12s %.1f MiB/s\n", name, (double)rate / (1 << 20));
	else
		printf("%-12s not known\n", name);
}

static void print_prediction(const struct vfm_preflight *r)
{
	const struct vfm_prediction *p = &r->prediction;

	print_rate("reading", p->save_rate);
	print_rate("wire", p->wire_rate);
	print_rate("loading", p->load_rate);
	if (r->measured_us)
		printf("%-12s %.1f MiB/s\n", "changes", (double)r->change_rate / (1 << 20));
	printf("%-12s %.1f MiB of state\n", "at the stop", (double)p->device_bytes / (1 << 20));
	printf("%-12s %.1f ms +-%.1f, longest: %s\n", "downtime", (double)p->downtime_us / 1000,
	       (double)p->error_us / 1000, vfm_part_name(p->limiting));
}

static void print_words(const struct cmd_args *args, const struct vfm_preflight *r)
{
	char text[sizeof(r->findings[0].text)];

	print_end("source", args->operands[0], &r->source);
	print_end("destination", args->operands[1], &r->destination);
	if (r->prediction.error_us)
		print_prediction(r);
	for (size_t i = 0; i < r->nr_findings; i++)
		printf("%-12s %s\n", kinds[r->findings[i].kind],
		       clean(text, sizeof(text), r->findings[i].text));
}

/* ---- JSON ---------------------------------------------------------------------- */

static void json_end(struct cmd_json *j, const char *name, const char *uri,
		     const struct vfm_preflight_end *end)
{
	cmd_json_open(j, name);
	cmd_json_text(j, "device", uri);
	cmd_json_bool(j, "migrates", end->known);
	if (end->known) {
		cmd_json_u64(j, "protocol", end->protocol);
		cmd_json_text(j, "state", vfm_state_name(end->state));
		cmd_json_bool(j, "precopy", end->migration & VFM_MIGRATION_PRE_COPY);
		cmd_json_bool(j, "p2p", end->migration & VFM_MIGRATION_P2P);
		cmd_json_u64(j, "state_bytes", end->data_size);
		cmd_json_text(j, "model", end->has_compat ? end->compat.model : NULL);
	}
	cmd_json_close(j);
}

static int print_json(const struct cmd_args *args, const struct vfm_preflight *r, int ret,
		      struct vfm_err *err)
{
	cmd_auto_json struct cmd_json *j = cmd_json_new();
	struct vfm_err shown;

	cmd_json_bool(j, "ok", ret == 0);
	if (ret) {
		shown = *err;
		cmd_explain(ret, &shown);
		cmd_json_text(j, "error", shown.msg);
	}
	cmd_json_bool(j, "compatible", r->compatible);
	cmd_json_bool(j, "fits", r->fits);
	cmd_json_text(j, "dirty_log", r->log < 0 ? NULL : r->log ? "yes" : "no");
	json_end(j, "source", args->operands[0], &r->source);
	json_end(j, "destination", args->operands[1], &r->destination);
	cmd_json_u64(j, "measured_bytes", r->measured_bytes);
	cmd_json_u64(j, "measured_us", r->measured_us);
	cmd_json_u64(j, "change_rate", r->change_rate);
	cmd_json_prediction(j, &r->prediction);
	cmd_json_open_list(j, "findings");
	for (size_t i = 0; i < r->nr_findings; i++) {
		cmd_json_open(j, NULL);
		cmd_json_text(j, "kind", kinds[r->findings[i].kind]);
		cmd_json_text(j, "text", r->findings[i].text);
		cmd_json_close(j);
	}
	cmd_json_close(j);
	return cmd_json_print(j, ret ? NULL : err);
}

int cmd_preflight(const struct cmd_args *args, struct vfm_err *err)
{
	struct vfm_preflight_opts opts = { .size = sizeof(opts),
					   .max_downtime_ms = (unsigned int)args->max_downtime_ms,
					   .wire_rate = args->wire_rate };
	struct vfm_device *src = NULL, *dst = NULL;
	struct vfm_preflight report = { .log = -1 };
	int ret, printed = 0;

	if (!strcmp(args->operands[0], args->operands[1]) &&
	    !strncmp(args->operands[0], "vfio-user:", strlen("vfio-user:")))
		return vfm_fail(err, CMD_MISUSE, "source and destination are the same device");
	ret = cmd_open(&src, args->operands[0], err);
	if (!ret)
		ret = cmd_open(&dst, args->operands[1], err);
	if (!ret)
		ret = vfm_preflight(src, dst, &opts, &report, err);
	if (args->json)
		printed = print_json(args, &report, ret, err);
	else
		print_words(args, &report);
	vfm_device_close(dst);
	vfm_device_close(src);
	return ret ? ret : printed;
}
