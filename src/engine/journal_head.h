// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What stands at the front of a journal, and its bytes: of which migration it is, which
 * devices it moves, and who else decides. docs/handover.md has the layout. No I/O.
 *
 * The header has two parts, each with a checksum: a fixed one, which says how large
 * the whole is, and after it attributes.
 */

#ifndef VFM_ENGINE_JOURNAL_HEAD_H
#define VFM_ENGINE_JOURNAL_HEAD_H

#include <stddef.h>

#include "engine/statement.h"

/* More devices do not move as one unit. */
#define VFM_JOURNAL_DEVICES_MAX 256u

/* Room for addresses of a store, and for a key in it, each with a terminating zero. */
#define VFM_JOURNAL_STORE 4096
#define VFM_JOURNAL_KEY 1024

/* The same for the name of a node. */
#define VFM_JOURNAL_NODE 128

/* Bytes: of the fixed part, and of all. */
#define VFM_JOURNAL_FIXED 312u
#define VFM_JOURNAL_HEAD_MAX (512u << 10)

/**
 * struct vfm_journal_head
 * @who: its state is not part of the bytes
 * @uris, @nr_uris: the devices, in the order of the unit; at least one
 * @store, @key: who decides whose they are: addresses of a store, and a key in it; NULL:
 *	the journals do
 * @store_tls: folder of certificates for it; NULL: none
 * @store_node: who we are there
 * @peer: a terminated text, for people
 */
struct vfm_journal_head {
	struct vfm_statement who;
	const char *const *uris;
	size_t nr_uris;
	const char *store;
	const char *key;
	const char *store_tls;
	const char *store_node;
	char peer[VFM_JOURNAL_PEER];
};

/**
 * vfm_journal_head_write() - as bytes, to be freed
 * @sum: the checksum of all, on which the records build
 *
 * -ENAMETOOLONG, -EINVAL: a text that does not fit, or is missing.
 */
int vfm_journal_head_write(uint8_t **out, size_t *size, uint64_t *sum,
			   const struct vfm_journal_head *head, struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_journal_head_read() - from the first @size bytes of a file
 * @texts: what @head points to, to be freed when that is not used any more
 * @used: bytes of the header, where the records begin
 *
 * -ENODATA: the file ends in its header, so nothing has begun; -EBADMSG: damaged, -ENOTSUP:
 * too new. Errors are told of @name.
 */
int vfm_journal_head_read(struct vfm_journal_head *head, void **texts, size_t *used, uint64_t *sum,
			  const uint8_t *bytes, size_t size, const char *name,
			  struct vfm_err *err) VFM_MUST_CHECK;

#endif
