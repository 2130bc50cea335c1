// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* vfmig replay: a trace, tried again on a device, and where it comes out different. */

#include "cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Differences that are printed; of more, only the number is told. */
#define SHOWN_MAX 100

struct replay {
	const char *uri;
	struct cmd_json *json; /* NULL: in words */
	unsigned int shown;
};

static int open_it(void *user, struct vfm_device **out, struct vfm_err *err)
{
	return cmd_open(out, ((const struct replay *)user)->uri, err);
}

static void print_difference(void *user, uint64_t line, const char *op, const char *what)
{
	struct replay *r = (struct replay *)user;
	char text[768];

	if (r->shown++ >= SHOWN_MAX)
		return;
	if (r->json) {
		cmd_json_open(r->json, NULL);
		cmd_json_u64(r->json, "line", line);
		cmd_json_text(r->json, "operation", op);
		cmd_json_text(r->json, "then", what);
		cmd_json_close(r->json);
		return;
	}
	snprintf(text, sizeof(text), "line %" PRIu64 ": %s; %s", line, op, what);
	cmd_clean(text);
	puts(text);
}

static int print_json(struct cmd_json *j, int ret, const struct vfm_replay_summary *sum,
		      const struct vfm_err *why, struct vfm_err *err)
{
	cmd_json_close(j);
	cmd_json_bool(j, "ok", !ret && !sum->differences);
	if (ret)
		cmd_json_text(j, "error", why->msg);
	cmd_json_u64(j, "openings", sum->openings);
	cmd_json_u64(j, "operations", sum->operations);
	cmd_json_u64(j, "different", sum->differences);
	cmd_json_u64(j, "left_out", sum->left_out);
	return cmd_json_print(j, err);
}

int cmd_replay(const struct cmd_args *args, struct vfm_err *err)
{
	cmd_auto_json struct cmd_json *j = args->json ? cmd_json_new() : NULL;
	struct replay r = { .uri = args->operands[1], .json = j };
	const struct vfm_replay_opts opts = {
		.size = sizeof(opts), .open = open_it, .differs = print_difference, .user = &r
	};
	struct vfm_replay_summary sum;
	struct vfm_err other;
	int ret, printed = 0;

	cmd_json_open_list(j, "differences");
	ret = vfm_replay(args->operands[0], &opts, &sum, err);
	if (args->json)
		printed = print_json(j, ret, &sum, err, ret ? &other : err);
	if (ret || printed)
		return ret ? ret : printed;
	if (sum.left_out && !args->json)
		printf("%" PRIu64 " operations were left out\n", sum.left_out);
	if (!sum.differences)
		return 0;
	return vfm_fail(err, -EUCLEAN, "%" PRIu64 " of %" PRIu64 " operations came out different",
			sum.differences, sum.operations);
}
