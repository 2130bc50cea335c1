// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* vfmig send: the source's half of a migration. */

#include "cmd.h"

#include <errno.h>

#include "base/cleanup.h"

/* The devices come first, and then the address. */
static const char *address_of(const struct cmd_args *args)
{
	return args->operands[args->nr_operands - 1];
}

static void add_peer(struct cmd_json *j, const void *user)
{
	const struct cmd_run *run = (const struct cmd_run *)user;

	cmd_json_text(j, "role", "source");
	cmd_json_text(j, "address", address_of(run->args));
	if (run->end)
		cmd_json_devices(j, run->end, NULL);
}

/* struct again - what it takes to connect once more */
struct again {
	const struct cmd_run *run;
	int fd;
};

static int open_channel(void *user, unsigned int timeout_ms, struct vfm_err *err)
{
	const struct again *a = (const struct again *)user;
	int fd = cmd_connect_again(a->fd, address_of(a->run->args), timeout_ms, a->run->signal_fd,
				   err);

	if (fd >= 0)
		cmd_keep_alive(fd, a->run->opts.timeout_ms);
	return fd;
}

static int send_end(struct cmd_run *run, const struct cmd_end *end, struct vfm_err *err)
{
	const struct cmd_args *args = run->args;
	struct vfm_unit unit = cmd_end_unit(end, true);
	struct again again = { .run = run };
	vfm_auto_fd int fd = -1;
	int ret;

	ret = cmd_tls_expect(run, address_of(args), err);
	if (ret)
		return ret;
	fd = cmd_connect(address_of(args), args->insecure || run->tls, run->opts.timeout_ms,
			 run->signal_fd, err);
	if (fd < 0)
		return fd;
	cmd_keep_alive(fd, run->opts.timeout_ms);
	again.fd = fd;
	run->opts.open_channel = open_channel;
	run->opts.channel_user = &again;
	return vfm_migrate_send_unit(&unit, fd, &run->opts, &run->report, err);
}

int cmd_send(const struct cmd_args *args, struct vfm_err *err)
{
	struct cmd_run run = { .args = args };
	struct cmd_end end = { 0 };
	size_t count = args->nr_operands - 1;
	int ret = cmd_check_uris(args->operands, count, err);

	if (!ret)
		ret = cmd_end_open(&end, args->operands, count, 1, &args->memory, false, err);
	if (!ret)
		ret = cmd_run_begin(&run, args, &end, err);
	if (!ret)
		ret = cmd_tls_open(&run, err);
	if (!ret)
		ret = cmd_run_end(&run, send_end(&run, &end, err), err);
	cmd_tls_close(&run);
	ret = cmd_run_report(&run, ret, add_peer, &run, err);
	cmd_end_close(&end);
	return ret;
}
