// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The owner is decided in a store, by the first of two swaps: the destination's that it has
 * taken the device, or anybody's that the source keeps it. A journal stands beside it, for the
 * states that each side may say by itself, and so that a recovery knows the key.
 *
 * What surprises: once the store has decided, a journal that cannot be written is no
 * failure. It then says less than is true, and whoever recovers asks the store again.
 */

#include "engine/owner.h"

#include <errno.h>
#include <stdlib.h>

#include "base/io.h"
#include "engine/claim.h"

struct store {
	struct vfm_owner owner;
	struct vfm_owner *journal;
	struct vfm_claim *claim;
	struct vfm_wait wait;
};

static struct store *store_of(struct vfm_owner *o)
{
	return (struct store *)o;
}

static int write_down(struct vfm_owner *o, enum vfm_handover state, uint32_t flags,
		      struct vfm_err *err)
{
	struct vfm_owner *journal = store_of(o)->journal;
	int ret = journal->ops->say(journal, state, flags, err);

	if (!ret)
		o->who.state = state;
	return ret;
}

static int say(struct vfm_owner *o, enum vfm_handover state, uint32_t flags, struct vfm_err *err)
{
	struct store *s = store_of(o);
	int ret;

	if (state != VFM_HANDOVER_COMMITTED)
		return write_down(o, state, flags, err);
	ret = vfm_claim_decide(s->claim, VFM_DECISION_COMMITTED, &s->wait, err);
	if (ret)
		return ret;
	(void)!write_down(o, state, flags, NULL);
	o->who.state = state;
	return 0;
}

/* What is to be said of an outcome. */
static enum vfm_handover state_of(const struct vfm_owner *o, enum vfm_outcome outcome)
{
	if (o->who.role == VFM_ROLE_SOURCE)
		return outcome == VFM_OUTCOME_KEPT ? VFM_HANDOVER_KEPT : VFM_HANDOVER_GIVEN;
	return outcome == VFM_OUTCOME_KEPT ? VFM_HANDOVER_RESET : VFM_HANDOVER_COMMITTED;
}

static int settle(struct vfm_owner *o, struct vfm_err *err)
{
	struct store *s = store_of(o);
	int ret = vfm_claim_decide(s->claim, VFM_DECISION_KEPT, &s->wait, err);
	enum vfm_handover state;

	if (ret && (ret != -ESTALE || s->claim->outcome != VFM_OUTCOME_COMMITTED))
		return ret;
	state = state_of(o, s->claim->outcome);
	(void)!write_down(o, state, 0, NULL);
	o->who.state = state;
	return 0;
}

static int forget(struct vfm_owner *o, struct vfm_err *err)
{
	struct vfm_owner *journal = store_of(o)->journal;

	return journal->ops->forget(journal, err);
}

static void close_store(struct vfm_owner *o)
{
	struct vfm_owner *journal = store_of(o)->journal;

	journal->ops->close(journal);
	free(o);
}

static const struct vfm_owner_ops ops = {
	.say = say, .settle = settle, .forget = forget, .close = close_store
};

int vfm_owner_store_new(struct vfm_owner **out, const char *dir,
			const struct vfm_journal_head *head, uint32_t flags,
			struct vfm_claim *claim, const struct vfm_wait *wait, struct vfm_err *err)
{
	struct store *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return vfm_fail(err, -ENOMEM, "no memory to decide by a store");
	s->owner = (struct vfm_owner){ .ops = &ops, .who = head->who };
	s->claim = claim;
	s->wait = *wait;
	ret = vfm_owner_pair_new(&s->journal, dir, head, flags, err);
	if (ret) {
		free(s);
		return ret;
	}
	*out = &s->owner;
	return 0;
}
