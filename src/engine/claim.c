// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Epochs of a key, and what is decided in one. Every write is a swap at the revision whose
 * value was looked at, so that value is what is compared, whole: an epoch that
 * has passed, or was decided, cannot be written to.
 *
 * What surprises: that a swap was not done may mean that it was, by a try whose answer was lost.
 * So it is the value that tells, never the swap: both sides may make KEPT true, COMMITTED
 * the destination alone, and the name of the migration tells who took an epoch.
 */

#include "engine/claim.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* A key whose value is ours changes once in an epoch; more often somebody plays with it. */
#define SWAPS_MAX 8

/* A later epoch could not be written as a number of JSON. */
#define EPOCH_MAX (INT64_MAX - 1)

/* ---- the claim ------------------------------------------------------------------ */

/* Names go into JSON, where they need to be recognized again and nothing else. */
static void copy_name(char *out, size_t room, const char *text)
{
	snprintf(out, room, "%s", text);
	for (char *c = out; *c; c++)
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
}

int vfm_claim_new(struct vfm_claim **out, const struct vfm_store *store,
		  const struct vfm_statement *who, const char *key, const char *device,
		  struct vfm_err *err)
{
	struct vfm_claim *c = calloc(1, sizeof(*c));
	int ret;

	if (!c)
		return vfm_fail(err, -ENOMEM, "no memory for a claim");
	c->who = *who;
	c->timeout_ms = store->timeout_ms;
	if (key)
		snprintf(c->key, sizeof(c->key), "%s", key);
	else
		vfm_store_name_key(c->key, store, who->id);
	snprintf(c->own.node, sizeof(c->own.node), "%s", store->node);
	copy_name(c->own.device, sizeof(c->own.device), device);
	ret = store->connect(&c->kv, store, err);
	if (ret) {
		free(c);
		return ret;
	}
	*out = c;
	return 0;
}

void vfm_claim_free(struct vfm_claim *c)
{
	if (!c)
		return;
	c->kv->ops->close(c->kv);
	free(c);
}

/* ---- what the key says ------------------------------------------------------------ */

static bool is_same(const struct vfm_claim_side *a, const struct vfm_claim_side *b)
{
	return !strcmp(a->node, b->node) && !strcmp(a->device, b->device);
}

static enum vfm_outcome outcome_of(const struct vfm_claim *c)
{
	static const enum vfm_outcome of[VFM_NR_DECISIONS] = {
		[VFM_DECISION_MOVING] = VFM_OUTCOME_MOVING,
		[VFM_DECISION_KEPT] = VFM_OUTCOME_KEPT,
		[VFM_DECISION_COMMITTED] = VFM_OUTCOME_COMMITTED,
	};
	const struct vfm_claim_value *now = &c->now;

	if (!c->who.epoch || now->epoch < c->who.epoch)
		return VFM_OUTCOME_UNKNOWN;
	if (now->epoch == c->who.epoch)
		return memcmp(now->id, c->who.id, sizeof(now->id)) ? VFM_OUTCOME_UNKNOWN
								   : of[now->decision];
	return is_same(&c->own, &now->source) || is_same(&c->own, &now->destination)
		       ? VFM_OUTCOME_HISTORY
		       : VFM_OUTCOME_SUPERSEDED;
}

/* What was read; one that is not there has a value of zeros, in epoch 0. */
static int take_in(struct vfm_claim *c, const struct vfm_kv_value *read, struct vfm_err *err)
{
	struct vfm_claim_value value = { 0 };
	int ret = read->revision ? vfm_claim_value_read(&value, read->data, read->size, err) : 0;

	if (ret) {
		c->outcome = VFM_OUTCOME_UNKNOWN;
		vfm_fail_prefix(err, "key %.200s", c->key);
		return ret;
	}
	c->revision = read->revision;
	c->now = value;
	c->outcome = outcome_of(c);
	return 0;
}

static int look(struct vfm_claim *c, const struct vfm_wait *wait, struct vfm_err *err)
{
	struct vfm_kv_value read = { 0 };
	int ret = vfm_kv_get(c->kv, c->key, &read, c->timeout_ms, wait, err);

	return ret ? ret : take_in(c, &read, err);
}

/* Why what the key has is no answer to us. */
static int lost(const struct vfm_claim *c, struct vfm_err *err)
{
	if (!c->revision)
		return vfm_fail(err, -ENODATA, "key %.200s is not in the store", c->key);
	return vfm_fail(err, -ENODATA,
			"key %.200s has epoch %" PRIu64
			" of another migration, where ours is %" PRIu64,
			c->key, c->now.epoch, c->who.epoch);
}

static int superseded(const struct vfm_claim *c, struct vfm_err *err)
{
	char id[VFM_MIGRATION_ID];

	vfm_statement_id(id, c->now.id);
	return vfm_fail(err, -ESTALE,
			"key %.100s is at epoch %" PRIu64 ", ours is %" PRIu64
			": migration %s, of %.80s at %.60s, has taken it",
			c->key, c->now.epoch, c->who.epoch, id, c->now.source.device,
			c->now.source.node);
}

int vfm_claim_look(struct vfm_claim *c, const struct vfm_wait *wait, struct vfm_err *err)
{
	int ret = look(c, wait, err);

	if (!ret && c->outcome == VFM_OUTCOME_UNKNOWN)
		ret = lost(c, err);
	return ret;
}

/* ---- swaps ------------------------------------------------------------------------ */

/* Write @next over what was seen. 0: look at c->now, which is what the key has by now. */
static int swap(struct vfm_claim *c, const struct vfm_claim_value *next,
		const struct vfm_wait *wait, struct vfm_err *err)
{
	struct vfm_kv_value read = { 0 };
	int ret = vfm_claim_value_write(next, c->value, sizeof(c->value), err);
	uint64_t start = vfm_now_ns();

	if (!ret)
		ret = vfm_kv_swap(c->kv, c->key, c->revision, c->value, &read, c->timeout_ms, wait,
				  err);
	c->swap_ns = vfm_now_ns() - start;
	if (ret < 0)
		return ret;
	if (!ret)
		return take_in(c, &read, err);
	c->revision = read.revision;
	c->now = *next;
	c->outcome = outcome_of(c);
	return 0;
}

/* Whether the device is ours to give, as far as the key knows. */
static int may_take(const struct vfm_claim *c, struct vfm_err *err)
{
	bool committed = c->now.decision == VFM_DECISION_COMMITTED;
	const char *node = committed ? c->now.destination.node : c->now.source.node;

	if (!c->revision)
		return 0;
	if (strcmp(node, c->own.node) != 0)
		return vfm_fail(err, -ESTALE,
				"key %.100s says that the device is at %.100s since epoch %" PRIu64
				", and we are %.100s",
				c->key, node, c->now.epoch, c->own.node);
	if (c->now.decision == VFM_DECISION_MOVING && !is_same(&c->now.source, &c->own))
		return vfm_fail(
			err, -EBUSY,
			"key %.100s is that of %.100s, which is being moved in epoch %" PRIu64,
			c->key, c->now.source.device, c->now.epoch);
	if (c->now.epoch >= EPOCH_MAX)
		return vfm_fail(err, -EOVERFLOW, "key %.100s has no epoch left", c->key);
	return 0;
}

int vfm_claim_take(struct vfm_claim *c, const struct vfm_wait *wait, struct vfm_err *err)
{
	struct vfm_claim_value next = { .decision = VFM_DECISION_MOVING, .source = c->own };
	int ret = look(c, wait, err);

	memcpy(next.id, c->who.id, sizeof(next.id));
	for (int n = 0; !ret && n < SWAPS_MAX; n++) {
		ret = may_take(c, err);
		if (ret)
			return ret;
		next.epoch = c->who.epoch = c->now.epoch + 1;
		ret = swap(c, &next, wait, err);
		/* by this swap, or by a try of it that was not heard of */
		if (!ret && !memcmp(c->now.id, c->who.id, sizeof(next.id))) {
			c->who.epoch = c->now.epoch;
			c->outcome = outcome_of(c);
			return 0;
		}
	}
	return ret ? ret
		   : vfm_fail(err, -EBUSY, "key %.200s is being taken by somebody else", c->key);
}

int vfm_claim_join(struct vfm_claim *c, const struct vfm_wait *wait, struct vfm_err *err)
{
	int ret = vfm_claim_look(c, wait, err);

	if (!ret && c->outcome != VFM_OUTCOME_MOVING)
		ret = superseded(c, err);
	if (ret == -ENODATA || ret == -ESTALE)
		vfm_fail_prefix(err, "the source must use the same store, and does not seem to");
	return ret;
}

int vfm_claim_decide(struct vfm_claim *c, enum vfm_decision decision, const struct vfm_wait *wait,
		     struct vfm_err *err)
{
	enum vfm_outcome want =
		decision == VFM_DECISION_KEPT ? VFM_OUTCOME_KEPT : VFM_OUTCOME_COMMITTED;
	int ret = c->outcome == VFM_OUTCOME_UNKNOWN ? vfm_claim_look(c, wait, err) : 0;

	for (int n = 0; !ret && c->outcome == VFM_OUTCOME_MOVING && n < SWAPS_MAX; n++) {
		struct vfm_claim_value next = c->now;

		next.decision = decision;
		if (decision == VFM_DECISION_COMMITTED)
			next.destination = c->own;
		ret = swap(c, &next, wait, err);
	}
	if (ret || c->outcome == want)
		return ret;
	if (c->outcome == VFM_OUTCOME_HISTORY || c->outcome == VFM_OUTCOME_SUPERSEDED)
		return superseded(c, err);
	if (c->outcome == VFM_OUTCOME_MOVING)
		return vfm_fail(err, -EBUSY, "key %.200s does not stop changing", c->key);
	if (c->outcome == VFM_OUTCOME_UNKNOWN)
		return lost(c, err);
	return vfm_fail(err, -ESTALE, "key %.200s says that the device is the %s's", c->key,
			c->outcome == VFM_OUTCOME_KEPT ? "source" : "destination");
}

int vfm_claim_remove(struct vfm_claim *c, const struct vfm_wait *wait, struct vfm_err *err)
{
	struct vfm_kv_value read = { 0 };
	char name[VFM_MIGRATION_ID];
	size_t len = strlen(c->key);
	int ret;

	/* any other key has an epoch to be remembered */
	vfm_statement_id(name, c->who.id);
	if (len < sizeof(name) || strcmp(c->key + len - strlen(name), name) != 0)
		return 0;
	ret = vfm_kv_swap(c->kv, c->key, c->revision, NULL, &read, c->timeout_ms, wait, err);
	return ret < 0 ? ret : 0;
}
