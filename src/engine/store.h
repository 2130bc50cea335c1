// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* What the rest of the engine sees of a struct vfm_store. */

#ifndef VFM_ENGINE_STORE_H
#define VFM_ENGINE_STORE_H

#include <vfmig/store.h>

#include "engine/journal_head.h"
#include "engine/kv.h"

/**
 * struct vfm_store - does not change after it was made
 * @endpoints, @tls: as they were given; @tls is absolute
 * @key: NULL: the name of the migration; @prefix stands before it
 * @connect: makes a connection
 */
struct vfm_store {
	char *endpoints;
	char *tls;
	char *key;
	char *prefix;
	char node[VFM_JOURNAL_NODE];
	unsigned int timeout_ms;
	int (*connect)(struct vfm_kv **out, const struct vfm_store *store, struct vfm_err *err);
	void *user;
};

/** vfm_store_new_over() - the same over something else than etcd, which @connect makes. */
int vfm_store_new_over(struct vfm_store **out, const struct vfm_store_opts *opts,
		       int (*connect)(struct vfm_kv **out, const struct vfm_store *store,
				      struct vfm_err *err),
		       void *user, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_store_name_key() - the whole key, for a migration whose name is @id. */
void vfm_store_name_key(char out[VFM_JOURNAL_KEY], const struct vfm_store *store,
			const uint8_t id[VFM_ID_SIZE]);

/** vfm_store_is_key() - whether a peer's key may be used: it is the one of ours, if we have one. */
bool vfm_store_is_key(const struct vfm_store *store, const char *key);

#endif
