// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A store in which it is decided whose a device is: a cluster of etcd, reached through its
 * JSON gateway. With it a side that is cut off from the other one, and not from the store,
 * learns by itself whose the device is; docs/handover.md has the rules.
 *
 * A handle is what one has to know of a store, and no connection: each half of a migration,
 * and each recovery, makes one of its own while it runs.
 */

#ifndef VFMIG_STORE_H
#define VFMIG_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include <vfmig/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vfm_store;

/**
 * struct vfm_store_opts - begin with VFM_STORE_OPTS()
 * @size: sizeof(struct vfm_store_opts)
 * @endpoints: "http://HOST:PORT" or "https://HOST:PORT", several of one cluster with commas
 *	between; they are tried in this order
 * @key: name of the device among all whose owner is decided there, the same wherever it is: then
 *	a migration of it makes an earlier one invalid that is still under way or was
 *	forgotten. NULL: a source uses the name of its migration, which says nothing about
 *	others, and a destination takes what the source uses
 * @prefix: stands before it; NULL: "vfmig/owner/"
 * @node: who we are: an owner is asked for again by this name; NULL: the name of the host
 * @tls: a folder with ca.pem, cert.pem and key.pem as vfm_tls_new() wants them, for https; NULL:
 *	the authorities of the system, and no certificate of ours
 * @insecure: allow http beyond the loopback address: whoever can answer there can take the device
 * @timeout_ms: longest time for one question, all tries of it together; 0: 10 s
 */
struct vfm_store_opts {
	size_t size;
	const char *endpoints;
	const char *key;
	const char *prefix;
	const char *node;
	const char *tls;
	bool insecure;
	unsigned int timeout_ms;
};

/** VFM_STORE_OPTS() - a struct vfm_store_opts with the defaults. */
#define VFM_STORE_OPTS()                                                                           \
	((struct vfm_store_opts){ .size = sizeof(struct vfm_store_opts), .timeout_ms = 10000 })

/**
 * vfm_store_new() - know a store; nothing is connected
 *
 * Everything in @opts is copied. Several migrations may use one at a time, from any thread.
 * -EINVAL: an address, or a name, that makes no sense; -EPERM: http beyond this machine;
 * -EOPNOTSUPP: this library was built without etcd; those of vfm_tls_new().
 */
int vfm_store_new(struct vfm_store **out, const struct vfm_store_opts *opts,
		  struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_store_free() - when no migration uses it any more; accepts NULL. */
void vfm_store_free(struct vfm_store *store);

#ifdef __cplusplus
}
#endif

#endif
