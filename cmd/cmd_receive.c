// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* vfmig receive: the destination's half of a migration. */

#include "cmd.h"

#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"

static void add_peer(struct cmd_json *j, const void *user)
{
	const struct cmd_args *args = (const struct cmd_args *)user;

	cmd_json_text(j, "role", "destination");
	cmd_json_text(j, "address", args->operands[1]);
}

/* Say where we listen: nobody could know a port that the system chose. */
static int tell_port(const struct cmd_args *args, const struct cmd_listener *l, struct vfm_err *err)
{
	char text[64] = "\n";

	if (!l->path)
		snprintf(text, sizeof(text), "%u\n", l->port);
	if (args->given & CMD_BIT(READY_FD))
		return cmd_ready(args, text, err);
	snprintf(text, sizeof(text), "listening on port %u", l->port);
	if (!l->path && !args->quiet)
		cmd_warn(args->verb->name, text);
	return 0;
}

static int wait_for_source(struct cmd_run *run, struct vfm_err *err)
{
	const struct cmd_args *args = run->args;
	/* a destination may stand ready for hours; once the source is there, silence counts */
	unsigned int wait_ms = args->given & CMD_BIT(TIMEOUT) ? run->opts.timeout_ms : 0;
	struct cmd_listener l;
	int ret = cmd_listen(&l, args->operands[1], args->insecure, err);

	if (ret)
		return ret;
	ret = tell_port(args, &l, err);
	if (!ret)
		ret = cmd_accept(&l, wait_ms, run->signal_fd, err);
	cmd_listener_close(&l);
	return ret;
}

static int receive_end(struct cmd_run *run, const struct cmd_end *end, struct vfm_err *err)
{
	vfm_auto_fd int fd = wait_for_source(run, err);

	if (fd < 0)
		return fd;
	return vfm_migrate_receive(end->dev, end->mem, fd, &run->opts, &run->report, err);
}

int cmd_receive(const struct cmd_args *args, struct vfm_err *err)
{
	struct cmd_run run = { .args = args };
	struct cmd_end end = { 0 };
	int ret = cmd_end_open(&end, args->operands[0], &args->memory, true, err);

	if (!ret)
		ret = cmd_run_begin(&run, args, end.dev, err);
	if (!ret)
		ret = cmd_run_end(&run, receive_end(&run, &end, err), err);
	cmd_end_close(&end);
	return cmd_run_report(&run, ret, add_peer, args, err);
}
