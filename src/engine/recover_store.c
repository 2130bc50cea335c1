// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What a store has to say of a journal that names one. It decides what the journal leaves open;
 * and nothing is done to a device while it cannot be asked, or when the key is at a later epoch:
 * then a later migration has the device, and what is written here is of the past.
 *
 * What surprises: to ask is to decide. A journal in GIVING or LOADED tries to have it decided
 * that the source keeps the device, and is told if that was decided otherwise before.
 */

#include "engine/recover.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "engine/claim.h"

/* What a state wants to be true; and what is to be said when it is KEPT, or COMMITTED. */
static const struct row {
	enum vfm_handover own;
	enum vfm_decision want;
	enum vfm_handover kept, committed; /* UNKNOWN: that contradicts the journal */
} rows[] = {
	{ VFM_HANDOVER_BEGUN, VFM_DECISION_KEPT, VFM_HANDOVER_BEGUN, VFM_HANDOVER_UNKNOWN },
	{ VFM_HANDOVER_GIVING, VFM_DECISION_KEPT, VFM_HANDOVER_KEPT, VFM_HANDOVER_GIVEN },
	{ VFM_HANDOVER_KEPT, VFM_DECISION_KEPT, VFM_HANDOVER_KEPT, VFM_HANDOVER_UNKNOWN },
	/* a source cannot say for whom it would be: it only looks */
	{ VFM_HANDOVER_GIVEN, VFM_DECISION_MOVING, VFM_HANDOVER_UNKNOWN, VFM_HANDOVER_GIVEN },
	{ VFM_HANDOVER_LOADING, VFM_DECISION_KEPT, VFM_HANDOVER_LOADING, VFM_HANDOVER_UNKNOWN },
	{ VFM_HANDOVER_LOADED, VFM_DECISION_KEPT, VFM_HANDOVER_RESET, VFM_HANDOVER_COMMITTED },
	{ VFM_HANDOVER_COMMITTED, VFM_DECISION_COMMITTED, VFM_HANDOVER_UNKNOWN,
	  VFM_HANDOVER_COMMITTED },
	{ VFM_HANDOVER_RUNNING, VFM_DECISION_COMMITTED, VFM_HANDOVER_UNKNOWN,
	  VFM_HANDOVER_RUNNING },
	{ VFM_HANDOVER_RESET, VFM_DECISION_KEPT, VFM_HANDOVER_RESET, VFM_HANDOVER_UNKNOWN },
};

static const struct row *row_of(enum vfm_handover own)
{
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++)
		if (rows[i].own == own)
			return &rows[i];
	return NULL;
}

/* As it was when the migration began: that it may be reached so was decided then. */
static int open_store(struct vfm_store **out, const struct vfm_journal *j, struct vfm_err *err)
{
	struct vfm_store_opts opts = VFM_STORE_OPTS();

	opts.endpoints = j->head.store;
	opts.tls = j->head.store_tls;
	opts.node = j->head.store_node;
	opts.insecure = true;
	return vfm_store_new(out, &opts, err);
}

static int ask(struct vfm_claim *c, const struct row *row, const struct vfm_wait *wait,
	       struct vfm_err *err)
{
	int ret = row->want == VFM_DECISION_MOVING ? vfm_claim_look(c, wait, err)
						   : vfm_claim_decide(c, row->want, wait, err);

	return ret == -ESTALE && c->outcome < VFM_OUTCOME_HISTORY ? 0 : ret;
}

/* Write down what was decided. */
static int follow(struct vfm_journal *j, const struct row *row, enum vfm_outcome outcome,
		  struct vfm_err *err)
{
	enum vfm_handover next = row->own;

	if (outcome == VFM_OUTCOME_KEPT)
		next = row->kept;
	else if (outcome == VFM_OUTCOME_COMMITTED)
		next = row->committed;
	if (next == VFM_HANDOVER_UNKNOWN)
		return vfm_fail(err, -EUCLEAN,
				"the store says that the %s owns the device, which contradicts the "
				"journal: one of them was changed or is of elsewhere",
				outcome == VFM_OUTCOME_KEPT ? "source" : "destination");
	return next == row->own ? 0 : vfm_journal_append(j, next, 0, err);
}

static int settle(struct vfm_claim *c, struct vfm_journal *j, const struct vfm_wait *wait,
		  struct vfm_err *err)
{
	const struct row *row = row_of(j->head.who.state);
	int ret = row ? ask(c, row, wait, err)
		      : vfm_fail(err, -EINVAL, "no state that a store could settle");

	if (c->outcome == VFM_OUTCOME_HISTORY)
		return 1;
	return ret ? ret : follow(j, row, c->outcome, err);
}

int vfm_recover_by_store(const struct vfm_recover_opts *opts, struct vfm_journal *j,
			 const struct vfm_wait *wait, struct vfm_err *err)
{
	const struct vfm_store *store = opts->store;
	struct vfm_store *own = NULL;
	struct vfm_claim *c = NULL;
	int ret = 0;

	if (!store) {
		ret = open_store(&own, j, err);
		store = own;
	}
	if (!ret)
		ret = vfm_claim_new(&c, store, &j->head.who, j->head.key, j->head.uris[0], err);
	/* wherever the store is by now, we are who we were */
	if (!ret && j->head.store_node)
		snprintf(c->own.node, sizeof(c->own.node), "%s", j->head.store_node);
	if (!ret)
		ret = settle(c, j, wait, err);
	vfm_claim_free(c);
	vfm_store_free(own);
	return ret;
}
