// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* In the place of etcd.c and etcd_json.c where libcurl is not to be had. */

#include "engine/etcd.h"

#include <errno.h>

static int none(struct vfm_err *err)
{
	return vfm_fail(err, -EOPNOTSUPP, "this vfmig was built without etcd");
}

int vfm_etcd_check(const char *endpoints, const char *tls, bool insecure, struct vfm_err *err)
{
	(void)endpoints;
	(void)tls;
	(void)insecure;
	return none(err);
}

int vfm_etcd_open(struct vfm_kv **out, const char *endpoints, const char *tls, struct vfm_err *err)
{
	(void)out;
	(void)endpoints;
	(void)tls;
	return none(err);
}
