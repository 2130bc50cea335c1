// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * --tls and --tls-peer. Whose certificate is taken: a source has connected to
 * somebody, and takes nobody else's; a destination is connected to, and takes any of
 * its authority's, unless it is told a name.
 */

#include "cmd.h"

#include <errno.h>
#include <string.h>

int cmd_tls_open(struct cmd_run *run, struct vfm_err *err)
{
	const struct cmd_args *args = run->args;
	struct vfm_tls *tls;
	int ret;

	if (!args->tls && args->tls_peer)
		return vfm_fail(err, CMD_MISUSE, "--tls-peer without --tls");
	if (!args->tls)
		return 0;
	ret = vfm_tls_new(&tls, args->tls, err);
	if (ret)
		return ret;
	run->tls = tls;
	run->opts.tls = tls;
	run->opts.peer_name = args->tls_peer;
	return 0;
}

int cmd_tls_expect(struct cmd_run *run, const char *address, struct vfm_err *err)
{
	if (!run->tls || run->opts.peer_name)
		return 0;
	if (cmd_address_host(run->host, sizeof(run->host), address))
		run->opts.peer_name = run->host;
	else
		return vfm_fail(err, CMD_MISUSE,
				"address %s has no name that a certificate could be for; "
				"--tls-peer gives one",
				address);
	return 0;
}

void cmd_tls_close(struct cmd_run *run)
{
	vfm_tls_free(run->tls);
	run->tls = NULL;
	run->opts.tls = NULL;
}
