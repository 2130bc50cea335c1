// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Who decides whose a device is. There is one question, whether a state may become
 * true, and whoever answers it: a pair of journals (owner_pair.c), where each side
 * may answer for itself what the protocol lets it, or a store that compares and swaps
 * (owner_store.c), where a side that was cut off is told that it is too late, and need not
 * wait for the other one to know.
 */

#ifndef VFM_ENGINE_OWNER_H
#define VFM_ENGINE_OWNER_H

#include "engine/journal_head.h"

struct vfm_claim;
struct vfm_owner;
struct vfm_wait;

/**
 * struct vfm_owner_ops
 * @say: make a state of ours true, with VFM_JOURNAL_* flags; durable when it returns 0.
 *	-ESTALE: the other side, or a later epoch, has decided otherwise. After any failure
 *	it may be true or not, and nothing may be done that depends on it
 * @settle: in GIVING or LOADED, with the other side lost: have it decided, so that @who.state
 *	is KEPT, GIVEN, RESET or COMMITTED when this returns 0. Errors: it stays in doubt. NULL:
 *	only the other side knows
 * @forget: both sides know how it ended
 * @close: let go, whatever the state is
 */
struct vfm_owner_ops {
	int (*say)(struct vfm_owner *o, enum vfm_handover state, uint32_t flags,
		   struct vfm_err *err);
	int (*settle)(struct vfm_owner *o, struct vfm_err *err);
	int (*forget)(struct vfm_owner *o, struct vfm_err *err);
	void (*close)(struct vfm_owner *o);
};

/** struct vfm_owner - first in every implementation's struct; @who.state: the last one said */
struct vfm_owner {
	const struct vfm_owner_ops *ops;
	struct vfm_statement who;
};

/** vfm_owner_pair_new() - decide by a journal in @dir, beginning with @head->who.state. */
int vfm_owner_pair_new(struct vfm_owner **out, const char *dir, const struct vfm_journal_head *head,
		       uint32_t flags, struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_owner_store_new() - decide by a store, and remember it in such a journal
 * @claim: taken, or joined; borrowed until the owner is closed
 * @wait: how to wait for the store, copied
 */
int vfm_owner_store_new(struct vfm_owner **out, const char *dir,
			const struct vfm_journal_head *head, uint32_t flags,
			struct vfm_claim *claim, const struct vfm_wait *wait,
			struct vfm_err *err) VFM_MUST_CHECK;

#endif
