// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * --etcd and what belongs to it. For an address without TLS the rule is that of all others:
 * beyond this machine it wants --insecure.
 */

#include "cmd.h"

#include <errno.h>
#include <stdio.h>

/* An option that says nothing without --etcd; NULL: none was given. */
static const char *lonely(const struct cmd_args *args)
{
	if (args->etcd_key)
		return "--etcd-key";
	if (args->etcd_prefix)
		return "--etcd-prefix";
	if (args->etcd_node)
		return "--etcd-node";
	if (args->given & CMD_BIT(ETCD_TIMEOUT))
		return "--etcd-timeout";
	return args->etcd_tls ? "--etcd-tls" : NULL;
}

int cmd_store_open(struct vfm_store **store, const struct cmd_args *args, struct vfm_err *err)
{
	struct vfm_store_opts opts = VFM_STORE_OPTS();
	char text[VFM_ERR_TEXT];
	int ret;

	*store = NULL;
	if (!args->etcd && lonely(args))
		return vfm_fail(err, CMD_MISUSE, "%s without --etcd", lonely(args));
	if (!args->etcd)
		return 0;
	opts.endpoints = args->etcd;
	opts.key = args->etcd_key;
	opts.prefix = args->etcd_prefix;
	opts.node = args->etcd_node;
	opts.tls = args->etcd_tls;
	opts.insecure = args->insecure;
	opts.timeout_ms = (unsigned int)(args->etcd_timeout_s * 1000);
	ret = vfm_store_new(store, &opts, err);
	if (ret == -EPERM) {
		snprintf(text, sizeof(text), "%s", err->msg);
		return vfm_fail(err, CMD_MISUSE, "%s; --insecure allows it", text);
	}
	return ret == -EINVAL || ret == -E2BIG || ret == -ENAMETOOLONG ? CMD_MISUSE : ret;
}
