// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* vfmig migrate: both ends from here. */

#include "cmd.h"

#include <errno.h>
#include <string.h>

static void add_ends(struct cmd_json *j, const void *user)
{
	const struct cmd_args *args = (const struct cmd_args *)user;

	cmd_json_text(j, "source", args->operands[0]);
	cmd_json_text(j, "destination", args->operands[1]);
}

int cmd_migrate(const struct cmd_args *args, struct vfm_err *err)
{
	struct cmd_end src = { 0 }, dst = { 0 };
	struct cmd_run run = { .args = args };
	int ret;

	if (!strcmp(args->operands[0], args->operands[1]) &&
	    !strncmp(args->operands[0], "vfio-user:", strlen("vfio-user:")))
		return vfm_fail(err, CMD_MISUSE, "source and destination are the same device");
	ret = cmd_end_open(&src, args->operands[0], &args->memory, false, err);
	if (!ret)
		ret = cmd_end_open(&dst, args->operands[1], &args->to_memory, true, err);
	if (!ret)
		ret = cmd_run_begin(&run, args, src.dev, err);
	if (!ret) {
		ret = vfm_migrate(src.dev, cmd_end_memory(&src), dst.dev, dst.mem, &run.opts,
				  &run.report, err);
		ret = cmd_run_end(&run, ret, err);
	}
	cmd_end_close(&src);
	cmd_end_close(&dst);
	return cmd_run_report(&run, ret, add_ends, args, err);
}
