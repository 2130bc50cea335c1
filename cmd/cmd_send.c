// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* vfmig send: the source's half of a migration. */

#include "cmd.h"

#include <errno.h>

#include "base/cleanup.h"

static void add_peer(struct cmd_json *j, const void *user)
{
	const struct cmd_args *args = (const struct cmd_args *)user;

	cmd_json_text(j, "role", "source");
	cmd_json_text(j, "address", args->operands[1]);
}

/* struct again - what it takes to connect once more */
struct again {
	const struct cmd_run *run;
	int fd;
};

static int open_channel(void *user, unsigned int timeout_ms, struct vfm_err *err)
{
	const struct again *a = (const struct again *)user;
	int fd = cmd_connect_again(a->fd, a->run->args->operands[1], timeout_ms, a->run->signal_fd,
				   err);

	if (fd >= 0)
		cmd_keep_alive(fd, a->run->opts.timeout_ms);
	return fd;
}

static int send_end(struct cmd_run *run, const struct cmd_end *end, struct vfm_err *err)
{
	const struct cmd_args *args = run->args;
	struct again again = { .run = run };
	vfm_auto_fd int fd = -1;
	int ret;

	ret = cmd_tls_expect(run, args->operands[1], err);
	if (ret)
		return ret;
	fd = cmd_connect(args->operands[1], args->insecure || run->tls, run->opts.timeout_ms,
			 run->signal_fd, err);
	if (fd < 0)
		return fd;
	cmd_keep_alive(fd, run->opts.timeout_ms);
	again.fd = fd;
	run->opts.open_channel = open_channel;
	run->opts.channel_user = &again;
	return vfm_migrate_send(end->dev, cmd_end_memory(end), fd, &run->opts, &run->report, err);
}

int cmd_send(const struct cmd_args *args, struct vfm_err *err)
{
	struct cmd_run run = { .args = args };
	struct cmd_end end = { 0 };
	int ret = cmd_end_open(&end, args->operands[0], &args->memory, false, err);

	if (!ret)
		ret = cmd_run_begin(&run, args, end.dev, err);
	if (!ret)
		ret = cmd_tls_open(&run, err);
	if (!ret)
		ret = cmd_run_end(&run, send_end(&run, &end, err), err);
	cmd_tls_close(&run);
	cmd_end_close(&end);
	return cmd_run_report(&run, ret, add_peer, args, err);
}
