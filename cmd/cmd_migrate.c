// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* vfmig migrate: both ends from here. */

#include "cmd.h"

#include <errno.h>

struct move {
	const struct cmd_args *args;
	struct cmd_end src, dst;
};

static void add_ends(struct cmd_json *j, const void *user)
{
	const struct move *m = (const struct move *)user;

	cmd_json_text(j, "source", m->args->operands[0]);
	cmd_json_text(j, "destination", m->args->operands[1]);
	if (m->src.nr_devs == m->args->nr_operands / 2 && m->dst.nr_devs == m->src.nr_devs)
		cmd_json_devices(j, &m->src, &m->dst);
}

static int open_ends(struct move *m, struct vfm_err *err)
{
	const struct cmd_args *args = m->args;
	size_t pairs = args->nr_operands / 2;
	int ret = cmd_check_uris(args->operands, args->nr_operands, err);

	if (!ret)
		ret = cmd_end_open(&m->src, args->operands, pairs, 2, &args->memory, false, err);
	if (!ret)
		ret = cmd_end_open(&m->dst, args->operands + 1, pairs, 2, &args->to_memory, true,
				   err);
	return ret;
}

int cmd_migrate(const struct cmd_args *args, struct vfm_err *err)
{
	struct move m = { .args = args };
	struct cmd_run run = { .args = args };
	int ret = open_ends(&m, err);

	if (!ret)
		ret = cmd_run_begin(&run, args, &m.src, err);
	if (!ret) {
		struct vfm_unit src = cmd_end_unit(&m.src, true);
		struct vfm_unit dst = cmd_end_unit(&m.dst, false);

		ret = vfm_migrate_unit(&src, &dst, &run.opts, &run.report, err);
		ret = cmd_run_end(&run, ret, err);
	}
	ret = cmd_run_report(&run, ret, add_ends, &m, err);
	cmd_end_close(&m.src);
	cmd_end_close(&m.dst);
	return ret;
}
