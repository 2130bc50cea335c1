// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Claims to a key: epochs, who may take one, what is decided first and stays so, with answers that
 * are lost, late or nonsense. And the value of a key, byte by byte.
 */

#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "engine/claim.h"
#include "fake_store.h"
#include "random.h"

static struct fake_store fake;
static const struct vfm_wait wait = { .cancel_fd = -1 };

/* One store for each use, with the time for one try, or for several. */
enum { SHORT_MS = 40, LONG_MS = 700 };

static struct vfm_claim *claim_over(int end, const char *node, const char *device,
				    enum vfm_role role, uint8_t id, unsigned int ms)
{
	struct vfm_store *store = fake_new(&fake, end, node, "nic0", ms);
	const struct vfm_statement who = { .id = { id }, .role = role };
	struct vfm_claim *c;

	assert_int_equal(vfm_claim_new(&c, store, &who, NULL, device, NULL), 0);
	vfm_store_free(store);
	return c;
}

static struct vfm_claim *source(const char *node, const char *device, uint8_t id)
{
	return claim_over(0, node, device, VFM_ROLE_SOURCE, id, SHORT_MS);
}

static struct vfm_claim *destination(const char *node, const char *device, uint8_t id,
				     uint64_t epoch)
{
	struct vfm_claim *c = claim_over(1, node, device, VFM_ROLE_DESTINATION, id, SHORT_MS);

	c->who.epoch = epoch;
	return c;
}

static int take(struct vfm_claim *c)
{
	return vfm_claim_take(c, &wait, NULL);
}

static int decide(struct vfm_claim *c, enum vfm_decision decision)
{
	return vfm_claim_decide(c, decision, &wait, NULL);
}

/* As if the process had been begun anew. */
static void forget(struct vfm_claim *c)
{
	c->outcome = VFM_OUTCOME_UNKNOWN;
	c->revision = 0;
	memset(&c->now, 0, sizeof(c->now));
}

/* ---- epochs ---------------------------------------------------------------------- */

static void epochs_grow_with_each_try(void **state)
{
	(void)state;
	fake_reset(&fake);
	for (uint8_t id = 1; id < 6; id++) {
		struct vfm_claim *s = source("a", "sim:x", id);

		assert_int_equal(take(s), 0);
		assert_int_equal(s->who.epoch, id);
		assert_int_equal(s->outcome, VFM_OUTCOME_MOVING);
		/* every other one is kept, the others just end */
		if (id % 2)
			assert_int_equal(decide(s, VFM_DECISION_KEPT), 0);
		vfm_claim_free(s);
	}
	assert_string_equal(fake.key, "vfmig/owner/nic0");
}

/* a gives it to b; then only b may give it on, under whatever name it has there. */
static void only_the_owner_gives(void **state)
{
	struct vfm_claim *s, *d;

	(void)state;
	fake_reset(&fake);
	s = source("a", "sim:x", 1);
	assert_int_equal(take(s), 0);
	d = destination("b", "sim:y", 1, 1);
	assert_int_equal(vfm_claim_join(d, &wait, NULL), 0);
	assert_int_equal(decide(d, VFM_DECISION_COMMITTED), 0);
	vfm_claim_free(s);
	vfm_claim_free(d);
	s = source("a", "sim:x", 2);
	assert_int_equal(take(s), -ESTALE);
	vfm_claim_free(s);
	s = source("b", "sim:z", 3);
	assert_int_equal(take(s), 0);
	assert_int_equal(s->who.epoch, 2);
	vfm_claim_free(s);
}

static void a_key_is_of_one_device(void **state)
{
	struct vfm_claim *s, *other;

	(void)state;
	fake_reset(&fake);
	s = source("a", "sim:x", 1);
	assert_int_equal(take(s), 0);
	other = source("a", "sim:other", 2);
	assert_int_equal(take(other), -EBUSY);
	vfm_claim_free(other);
	other = source("b", "sim:x", 2);
	assert_int_equal(take(other), -ESTALE);
	vfm_claim_free(other);
	/* once it is settled the name does not matter */
	assert_int_equal(decide(s, VFM_DECISION_KEPT), 0);
	other = source("a", "sim:other", 2);
	assert_int_equal(take(other), 0);
	vfm_claim_free(other);
	vfm_claim_free(s);
}

static void an_epoch_that_has_passed_decides_nothing(void **state)
{
	struct vfm_claim *s, *d, *next;
	struct vfm_kv_value before;

	(void)state;
	fake_reset(&fake);
	s = source("a", "sim:x", 1);
	assert_int_equal(take(s), 0);
	d = destination("b", "sim:y", 1, 1);
	assert_int_equal(vfm_claim_join(d, &wait, NULL), 0);
	next = source("a", "sim:x", 2);
	assert_int_equal(take(next), 0);
	assert_int_equal(next->who.epoch, 2);
	before = fake.now;
	for (int again = 0; again < 2; again++) {
		assert_int_equal(decide(d, VFM_DECISION_COMMITTED), -ESTALE);
		assert_int_equal(d->outcome, VFM_OUTCOME_SUPERSEDED);
		assert_int_equal(decide(s, VFM_DECISION_KEPT), -ESTALE);
		/* of the source that gave up it is the past */
		assert_int_equal(s->outcome, VFM_OUTCOME_HISTORY);
		assert_int_equal(vfm_claim_join(d, &wait, NULL), -ESTALE);
		forget(s);
		forget(d);
	}
	assert_memory_equal(&before, &fake.now, sizeof(before));
	vfm_claim_free(s);
	vfm_claim_free(d);
	vfm_claim_free(next);
}

/* ---- decisions -------------------------------------------------------------------- */

static void the_first_decision_stays(void **state)
{
	(void)state;
	for (int first = 0; first < 3; first++) {
		struct vfm_claim *s, *d;

		fake_reset(&fake);
		s = source("a", "sim:x", 1);
		assert_int_equal(take(s), 0);
		d = destination("b", "sim:y", 1, 1);
		assert_int_equal(vfm_claim_join(d, &wait, NULL), 0);
		if (first == 0) {
			assert_int_equal(decide(s, VFM_DECISION_KEPT), 0);
			assert_int_equal(decide(d, VFM_DECISION_COMMITTED), -ESTALE);
			assert_int_equal(d->outcome, VFM_OUTCOME_KEPT);
		} else if (first == 1) {
			assert_int_equal(decide(d, VFM_DECISION_COMMITTED), 0);
			assert_int_equal(decide(s, VFM_DECISION_KEPT), -ESTALE);
			assert_int_equal(s->outcome, VFM_OUTCOME_COMMITTED);
			assert_string_equal(s->now.destination.node, "b");
			assert_string_equal(s->now.destination.device, "sim:y");
		} else {
			/* both may say that the source keeps it */
			assert_int_equal(decide(d, VFM_DECISION_KEPT), 0);
			assert_int_equal(decide(s, VFM_DECISION_KEPT), 0);
		}
		vfm_claim_free(s);
		vfm_claim_free(d);
	}
}

static void a_lost_answer_is_found_out(void **state)
{
	static const enum fake_fault faults[] = { FAKE_BEFORE, FAKE_AFTER, FAKE_HANG };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(faults); i++) {
		for (unsigned int at = 1; at <= 3; at++) {
			struct vfm_claim *s;

			fake_reset(&fake);
			fake_aim(&fake, 0, faults[i], at);
			s = claim_over(0, "a", "sim:x", VFM_ROLE_SOURCE, 1, LONG_MS);
			if (vfm_claim_take(s, &wait, NULL))
				/* silence has used up the time: it is not known, and asked again */
				assert_int_equal(faults[i], FAKE_HANG);
			else
				assert_int_equal(s->who.epoch, 1);
			if (decide(s, VFM_DECISION_KEPT))
				assert_int_equal(faults[i], FAKE_HANG);
			/* one epoch, whatever was tried twice */
			assert_true(!s->now.epoch || s->now.epoch == 1);
			vfm_claim_free(s);
		}
	}
}

static void what_comes_late_changes_nothing(void **state)
{
	struct vfm_claim *s, *d;

	(void)state;
	fake_reset(&fake);
	s = source("a", "sim:x", 1);
	assert_int_equal(take(s), 0);
	d = destination("b", "sim:y", 1, 1);
	assert_int_equal(vfm_claim_join(d, &wait, NULL), 0);
	fake_aim(&fake, 1, FAKE_LATE_DOWN, 1);
	assert_int_equal(decide(d, VFM_DECISION_COMMITTED), -ECONNRESET);
	assert_int_equal(d->outcome, VFM_OUTCOME_MOVING);
	assert_int_equal(decide(s, VFM_DECISION_KEPT), 0);
	fake_deliver(&fake);
	fake_heal(&fake);
	assert_int_equal(decide(d, VFM_DECISION_COMMITTED), -ESTALE);
	forget(s);
	assert_int_equal(vfm_claim_look(s, &wait, NULL), 0);
	assert_int_equal(s->outcome, VFM_OUTCOME_KEPT);
	vfm_claim_free(s);
	vfm_claim_free(d);
}

static void what_is_not_ours_is_left_alone(void **state)
{
	static const char *const values[] = { "", "null", "{}", "hello", "{\"vfmig\":2}" };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(values); i++) {
		struct vfm_claim *s = source("a", "sim:x", 1);

		fake_reset(&fake);
		fake.now.revision = 7;
		fake.now.size =
			(size_t)snprintf(fake.now.data, sizeof(fake.now.data), "%s", values[i]);
		assert_int_equal(take(s), -EBADMSG);
		s->who.epoch = 1;
		assert_int_equal(decide(s, VFM_DECISION_KEPT), -EBADMSG);
		assert_string_equal(fake.now.data, values[i]);
		vfm_claim_free(s);
	}
}

/* The key was removed, made anew, or the store brought back from an older copy of it. */
static void a_key_that_was_lost_decides_nothing(void **state)
{
	struct vfm_claim *s, *other;
	struct vfm_kv_value old;

	(void)state;
	fake_reset(&fake);
	s = source("a", "sim:x", 1);
	assert_int_equal(take(s), 0);
	old = fake.now;
	memset(&fake.now, 0, sizeof(fake.now));
	forget(s);
	assert_int_equal(decide(s, VFM_DECISION_KEPT), -ENODATA);
	other = source("a", "sim:x", 2);
	assert_int_equal(take(other), 0);
	assert_int_equal(other->who.epoch, 1);
	forget(s);
	assert_int_equal(decide(s, VFM_DECISION_KEPT), -ENODATA);
	vfm_claim_free(other);
	fake.now = old;
	s->who.epoch = 5;
	assert_int_equal(decide(s, VFM_DECISION_KEPT), -ENODATA);
	vfm_claim_free(s);
}

static void only_a_migrations_own_key_is_removed(void **state)
{
	struct vfm_store *store = fake_new(&fake, 0, "a", NULL, SHORT_MS);
	const struct vfm_statement who = { .id = { 0xab }, .role = VFM_ROLE_SOURCE };
	struct vfm_claim *c;

	(void)state;
	fake_reset(&fake);
	assert_int_equal(vfm_claim_new(&c, store, &who, NULL, "sim:x", NULL), 0);
	assert_string_equal(c->key, "vfmig/owner/ab000000000000000000000000000000");
	assert_int_equal(take(c), 0);
	assert_int_equal(vfm_claim_remove(c, &wait, NULL), 0);
	assert_int_equal(fake.now.revision, 0);
	vfm_claim_free(c);
	vfm_store_free(store);
	c = source("a", "sim:x", 1);
	assert_int_equal(take(c), 0);
	assert_int_equal(vfm_claim_remove(c, &wait, NULL), 0);
	assert_int_not_equal(fake.now.revision, 0);
	vfm_claim_free(c);
}

/* ---- at random ---------------------------------------------------------------------- */

/* What was ever said to be true of an epoch: not both. */
struct truths {
	bool kept, committed;
};

static void say(struct truths *t, const struct vfm_claim *c, int ret)
{
	if (!c->who.epoch || (ret && ret != -ESTALE))
		return;
	t[c->who.epoch].kept |= c->outcome == VFM_OUTCOME_KEPT;
	t[c->who.epoch].committed |= c->outcome == VFM_OUTCOME_COMMITTED;
	if (t[c->who.epoch].kept && t[c->who.epoch].committed)
		fail_msg("epoch %llu is both", (unsigned long long)c->who.epoch);
}

#define MOVES 250u

/* A source and a destination, of which each may begin anew, over a store that fails. */
static void one_move(uint64_t *seed, struct truths *t, uint8_t id, struct vfm_claim *old[2])
{
	struct vfm_claim *c[2] = { source("a", "sim:x", id), NULL };

	if (take(c[0]) || c[0]->outcome != VFM_OUTCOME_MOVING) {
		vfm_claim_free(c[0]);
		return;
	}
	c[1] = destination("a", "sim:y", id, c[0]->who.epoch);
	for (int n = 0; n < 6; n++) {
		unsigned int who = test_random_below(seed, 4);
		struct vfm_claim *actor = who < 2 ? c[who] : old[who - 2];
		bool commits = (who & 1) && test_random_below(seed, 2);

		if (test_random_below(seed, 3) == 0)
			fake_aim(&fake, who & 1, test_random_below(seed, FAKE_NR_FAULTS), 1);
		if (!actor)
			continue;
		if (test_random_below(seed, 4) == 0)
			forget(actor);
		say(t, actor, decide(actor, commits ? VFM_DECISION_COMMITTED : VFM_DECISION_KEPT));
		if (test_random_below(seed, 3) == 0)
			fake_heal(&fake);
		if (test_random_below(seed, 5) == 0)
			fake_deliver(&fake);
	}
	fake_heal(&fake);
	for (int i = 0; i < 2; i++) {
		vfm_claim_free(old[i]);
		old[i] = c[i];
	}
}

static void nothing_is_both_kept_and_committed(void **state)
{
	static struct truths truths[MOVES + 2];
	struct vfm_claim *old[2] = { NULL, NULL };
	uint64_t seed = 7;
	unsigned int kept = 0, committed = 0;

	(void)state;
	fake_reset(&fake);
	for (unsigned int i = 0; i < MOVES; i++)
		one_move(&seed, truths, (uint8_t)(i + 1), old);
	for (int i = 0; i < 2; i++)
		vfm_claim_free(old[i]);
	for (unsigned int i = 0; i < MOVES + 2; i++) {
		kept += truths[i].kept;
		committed += truths[i].committed;
	}
	print_message("# %u kept, %u committed\n", kept, committed);
	assert_true(kept > 50 && committed > 50);
}

/* ---- the value ------------------------------------------------------------------------ */

static const struct vfm_claim_value given = {
	.epoch = 7,
	.decision = VFM_DECISION_COMMITTED,
	.id = { 0x01, 0xab },
	.source = { "a.example", "vfio-user:/run/a.sock" },
	.destination = { "b", "sim:dma,state=1M" },
};

#define ID "\"migration\":\"01ab0000000000000000000000000000\""
#define SOURCE "\"source\":{\"node\":\"a.example\",\"device\":\"vfio-user:/run/a.sock\"}"
#define DESTINATION "\"destination\":{\"node\":\"b\",\"device\":\"sim:dma,state=1M\"}"

static const char given_text[] =
	"{\"vfmig\":1,\"epoch\":7,\"state\":\"committed\",\"owner\":\"b\"," ID "," SOURCE
	"," DESTINATION "}";

static void a_value_has_these_bytes(void **state)
{
	struct vfm_claim_value moving = given, again;
	char text[VFM_KV_VALUE_MAX];

	(void)state;
	assert_int_equal(vfm_claim_value_write(&given, text, sizeof(text), NULL), 0);
	assert_string_equal(text, given_text);
	assert_int_equal(vfm_claim_value_read(&again, text, strlen(text), NULL), 0);
	assert_memory_equal(&again, &given, sizeof(again));
	moving.decision = VFM_DECISION_MOVING;
	memset(&moving.destination, 0, sizeof(moving.destination));
	assert_int_equal(vfm_claim_value_write(&moving, text, sizeof(text), NULL), 0);
	assert_string_equal(
		text, "{\"vfmig\":1,\"epoch\":7,\"state\":\"moving\",\"owner\":\"a.example\"," ID
		      "," SOURCE "}");
	assert_int_equal(vfm_claim_value_write(&given, text, 40, NULL), -ENOMEM);
}

static const struct {
	const char *text;
	bool good;
} texts[] = {
	{ "{\"vfmig\":1,\"epoch\":7,\"state\":\"kept\",\"owner\":\"a.example\"," ID "," SOURCE "}",
	  true },
	{ "{\"later\":[],\"vfmig\":1,\"epoch\":7,\"state\":\"kept\",\"owner\":\"a.example\"," ID
	  "," SOURCE "}",
	  true },
	{ "{\"vfmig\":2,\"epoch\":7,\"state\":\"kept\",\"owner\":\"a.example\"," ID "," SOURCE "}",
	  false },
	{ "{\"vfmig\":1,\"epoch\":0,\"state\":\"kept\",\"owner\":\"a.example\"," ID "," SOURCE "}",
	  false },
	{ "{\"vfmig\":1,\"epoch\":-1,\"state\":\"kept\",\"owner\":\"a.example\"," ID "," SOURCE "}",
	  false },
	{ "{\"vfmig\":1,\"epoch\":\"7\",\"state\":\"kept\",\"owner\":\"a.example\"," ID "," SOURCE
	  "}",
	  false },
	{ "{\"vfmig\":1,\"epoch\":7,\"state\":\"lost\",\"owner\":\"a.example\"," ID "," SOURCE "}",
	  false },
	/* the owner is another than the state says */
	{ "{\"vfmig\":1,\"epoch\":7,\"state\":\"kept\",\"owner\":\"b\"," ID "," SOURCE "}", false },
	{ "{\"vfmig\":1,\"epoch\":7,\"state\":\"committed\",\"owner\":\"a.example\"," ID "," SOURCE
	  "}",
	  false },
	{ "{\"vfmig\":1,\"epoch\":7,\"state\":\"kept\",\"owner\":\"a.example\",\"migration\":"
	  "\"01ab\"," SOURCE "}",
	  false },
	{ "{\"vfmig\":1,\"epoch\":7,\"state\":\"kept\",\"owner\":\"a.example\",\"migration\":"
	  "\"01ab00000000000000000000000000zz\"," SOURCE "}",
	  false },
	{ "{\"vfmig\":1,\"epoch\":7,\"epoch\":8,\"state\":\"kept\",\"owner\":\"a.example\"," ID
	  "," SOURCE "}",
	  false },
	{ "{\"vfmig\":1,\"epoch\":7,\"state\":\"kept\",\"owner\":\"a.example\"," ID "}", false },
	{ "{\"vfmig\":1,\"epoch\":7,\"state\":\"kept\",\"owner\":\"a\\u0000b\"," ID "," SOURCE "}",
	  false },
	{ "[1]", false },
	{ "\"committed\"", false },
};

static void other_values_are_refused(void **state)
{
	struct vfm_claim_value value;

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(texts); i++) {
		int ret = vfm_claim_value_read(&value, texts[i].text, strlen(texts[i].text), NULL);

		if (ret != (texts[i].good ? 0 : -EBADMSG))
			fail_msg("%s: %d", texts[i].text, ret);
	}
	for (size_t len = 0; len < sizeof(given_text) - 1; len++)
		assert_int_equal(vfm_claim_value_read(&value, given_text, len, NULL), -EBADMSG);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(epochs_grow_with_each_try),
		cmocka_unit_test(only_the_owner_gives),
		cmocka_unit_test(a_key_is_of_one_device),
		cmocka_unit_test(an_epoch_that_has_passed_decides_nothing),
		cmocka_unit_test(the_first_decision_stays),
		cmocka_unit_test(a_lost_answer_is_found_out),
		cmocka_unit_test(what_comes_late_changes_nothing),
		cmocka_unit_test(what_is_not_ours_is_left_alone),
		cmocka_unit_test(a_key_that_was_lost_decides_nothing),
		cmocka_unit_test(only_a_migrations_own_key_is_removed),
		cmocka_unit_test(nothing_is_both_kept_and_committed),
		cmocka_unit_test(a_value_has_these_bytes),
		cmocka_unit_test(other_values_are_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
