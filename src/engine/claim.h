// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A claim: what one side of one migration has to do with its key in the store. Each
 * migration of a key has an epoch of its own, and what is decided in it is decided once, by
 * one swap: the source keeps the device, or the destination takes it. docs/handover.md,
 * section 9, has the rules.
 */

#ifndef VFM_ENGINE_CLAIM_H
#define VFM_ENGINE_CLAIM_H

#include "engine/statement.h"
#include "engine/store.h"

/* The name of a device in a value, with its terminating zero. What is longer is cut. */
#define VFM_CLAIM_DEVICE 256

/** enum vfm_decision - what the value of a key says of its own epoch */
enum vfm_decision {
	VFM_DECISION_MOVING,	/* nothing: the source has it, and may give it away */
	VFM_DECISION_KEPT,	/* it is the source's */
	VFM_DECISION_COMMITTED, /* it is the destination's */
};
#define VFM_NR_DECISIONS (VFM_DECISION_COMMITTED + 1)

/** struct vfm_claim_side - a node and the device at it; empty: not known */
struct vfm_claim_side {
	char node[VFM_JOURNAL_NODE];
	char device[VFM_CLAIM_DEVICE];
};

/** struct vfm_claim_value - the value of a key; the destination is known when it is its own */
struct vfm_claim_value {
	uint64_t epoch;
	enum vfm_decision decision;
	uint8_t id[VFM_ID_SIZE];
	struct vfm_claim_side source, destination;
};

/** vfm_claim_value_write() - as JSON. */
int vfm_claim_value_write(const struct vfm_claim_value *value, char *out, size_t room,
			  struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_claim_value_read() - -EBADMSG: somebody else wrote that */
int vfm_claim_value_read(struct vfm_claim_value *value, const char *text, size_t size,
			 struct vfm_err *err) VFM_MUST_CHECK;

/** enum vfm_outcome - what is known of a claim's own epoch */
enum vfm_outcome {
	VFM_OUTCOME_UNKNOWN, /* it was not asked, did not answer, or is not ours to understand */
	VFM_OUTCOME_MOVING,
	VFM_OUTCOME_KEPT,
	VFM_OUTCOME_COMMITTED,
	VFM_OUTCOME_HISTORY,	/* a later migration of this very device has the key */
	VFM_OUTCOME_SUPERSEDED, /* so has one of another */
};

/**
 * struct vfm_claim - read what is above the line
 * @who: id, epoch and role; the epoch is 0 until it was taken
 * @key: the whole of it
 * @outcome: as it was seen last
 * @now: what the key has, as far as it could be understood
 * @swap_ns: what the last swap took
 */
struct vfm_claim {
	struct vfm_statement who;
	char key[VFM_JOURNAL_KEY];
	enum vfm_outcome outcome;
	struct vfm_claim_value now;
	uint64_t swap_ns;
	/* ---- */
	struct vfm_claim_side own;
	struct vfm_kv *kv;
	unsigned int timeout_ms;
	uint64_t revision; /* of @now; 0: not there, or not looked at */
	char value[VFM_KV_VALUE_MAX + 1];
};

/**
 * vfm_claim_new() - of @who, who has @device; nothing is asked yet
 * @key: NULL: the store's, or that of the migration's name
 */
int vfm_claim_new(struct vfm_claim **out, const struct vfm_store *store,
		  const struct vfm_statement *who, const char *key, const char *device,
		  struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_claim_free() - accepts NULL; leaves the key as it is. */
void vfm_claim_free(struct vfm_claim *c);

/**
 * vfm_claim_take() - source: begin an epoch of the key, the first or the next
 *
 * What was under way with this device in an earlier one can then not be committed any more.
 * -ESTALE: the device is another node's; -EBUSY: the key is that of another device.
 */
int vfm_claim_take(struct vfm_claim *c, const struct vfm_wait *wait,
		   struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_claim_join() - destination: whether the source has taken that epoch, in this same store. */
int vfm_claim_join(struct vfm_claim *c, const struct vfm_wait *wait,
		   struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_claim_look() - ask, and put what is known into @c->outcome. */
int vfm_claim_look(struct vfm_claim *c, const struct vfm_wait *wait,
		   struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_claim_decide() - make it true that the epoch was KEPT or COMMITTED
 *
 * Return: 0: it is; -ESTALE: it is not and never will be, and @c->outcome is what is; others: it
 * is not known, and what is known already does not change.
 */
int vfm_claim_decide(struct vfm_claim *c, enum vfm_decision decision, const struct vfm_wait *wait,
		     struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_claim_remove() - a key that is named after the migration, and has served. */
int vfm_claim_remove(struct vfm_claim *c, const struct vfm_wait *wait,
		     struct vfm_err *err) VFM_MUST_CHECK;

#endif
