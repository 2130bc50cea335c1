// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The fault schedule with a store. Either half dies at each of its points, every record is cut,
 * and every call of either half to the store fails in each way, alone and together with
 * those. Never do two devices run; a cut alone is settled at once; and whatever
 * is left, each side settles by itself when it can reach the store, the other one never.
 */

#include "mortal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/util.h"
#include "fake_store.h"
#include "relay.h"

/* With one try for each question, so that nothing takes longer than it must. */
#define TIMEOUT_MS 40

static struct fake_store fake;

static const char *const fault_names[] = {
	"no fault",	 "fails",   "fails after it was done",	 "hangs",
	"says nonsense", "is down", "is down after it was done", "is down, and it comes late"
};

static bool is_alive(const struct fake_end *end)
{
	return gate((enum side)(end - fake.ends));
}

static void open_stored(void)
{
	fake_reset(&fake);
	open_run();
}

/* ---- what must hold at the end ---------------------------------------------- */

static unsigned int owners(void)
{
	return (unsigned int)rig_owns(rig.src) + rig_owns(rig.dst);
}

static void recover_one(enum side side, bool last, const char *what)
{
	struct half half;
	int ret = recover_alone(side, &half);

	check_never_two(what);
	if (last && ret)
		fail_msg("%s: the %s alone: %s: %s", what, side_names[side], half.err.msg,
			 half.said);
}

/* Each side alone, @first first; what is late comes between the two, or before both. */
static void settle_alone(enum side first, const char *what)
{
	enum side second = first == SOURCE ? DESTINATION : SOURCE;

	check_never_two(what);
	/* while the store is down nothing is done that it must decide */
	fake_aim(&fake, SOURCE, FAKE_DOWN, 1);
	fake_aim(&fake, DESTINATION, FAKE_DOWN, 1);
	recover_one(first, false, what);
	recover_one(second, false, what);
	fake_heal(&fake);
	if (first == SOURCE)
		fake_deliver(&fake);
	recover_one(first, true, what);
	fake_deliver(&fake);
	recover_one(second, true, what);
	if (owners() != 1)
		fail_msg("%s: %s", what, owners() ? "two owners" : "no owner");
	if (count_journals(SOURCE) || count_journals(DESTINATION))
		fail_msg("%s: a journal is left", what);
	rig_close(&rig);
}

/* ---- one thing fails ---------------------------------------------------------- */

static bool dies_at(enum side side, unsigned int n, enum how how, enum side first)
{
	bool died;
	char what[96];

	open_stored();
	aim(side, n, how);
	migrate_pair();
	died = victim.dead || victim.failing;
	snprintf(what, sizeof(what), "%s dies at %u, %s, %d", side_names[side], n, victim.what,
		 how);
	settle_alone(first, what);
	return died;
}

static void either_half_dies_everywhere(void **state)
{
	unsigned int runs = 0;

	(void)state;
	for (enum side side = SOURCE; side <= DESTINATION; side++) {
		for (enum how how = BEFORE; how < NR_HOWS; how++) {
			unsigned int n = 1;

			while (dies_at(side, n, how, n % 2 ? SOURCE : DESTINATION))
				assert_true(++n < MOST);
			runs += n;
		}
	}
	print_message("# %u runs\n", runs);
	assert_true(runs > 200);
}

static bool cut_at(bool reverse, unsigned int record, size_t bytes, enum fake_fault fault,
		   enum side end, unsigned int at)
{
	struct relay relay = {
		.fault = RELAY_CUT, .reverse = reverse, .record = record, .bytes = bytes
	};
	char what[96];

	open_stored();
	fake_aim(&fake, end, fault, at);
	aim(NOBODY, 0, BEFORE);
	relay_start(&relay);
	migrate(relay.fds);
	relay_stop(&relay);
	snprintf(what, sizeof(what), "cut in record %u of the %s, store of the %s %s at %u", record,
		 side_names[reverse], side_names[end], fault_names[fault], at);
	/* a cut alone leaves nothing open; a destination that runs may wait for a source to ask */
	if (!at && owners() != 1)
		fail_msg("%s: %u owners at once", what, owners());
	if (!at && (count_journals(SOURCE) || (count_journals(DESTINATION) && !rig_owns(rig.dst))))
		fail_msg("%s: a journal is left at once", what);
	settle_alone(record % 2 ? SOURCE : DESTINATION, what);
	return relay.hit;
}

static void a_cut_is_settled_at_once(void **state)
{
	static const size_t bytes[] = { 0, 49, SIZE_MAX };
	unsigned int runs = 0;

	(void)state;
	for (int reverse = 0; reverse < 2; reverse++) {
		for (int b = 0; b < 3; b++) {
			unsigned int record = 0;

			while (cut_at(reverse, record, bytes[b], FAKE_NONE, SOURCE, 0))
				assert_true(++record < MOST);
			runs += record;
		}
	}
	print_message("# %u runs\n", runs);
	assert_true(runs >= 30);
}

/* ---- the store fails, and something else -------------------------------------- */

static bool store_fails(enum side end, unsigned int n, enum fake_fault fault)
{
	char what[96];
	bool hit;

	open_stored();
	fake_aim(&fake, end, fault, n);
	aim(NOBODY, 0, BEFORE);
	migrate_pair();
	hit = fake.ends[end].hit;
	snprintf(what, sizeof(what), "store of the %s %s at %u", side_names[end],
		 fault_names[fault], n);
	settle_alone(n % 2 ? SOURCE : DESTINATION, what);
	return hit;
}

static void every_call_to_the_store_fails_once(void **state)
{
	unsigned int runs = 0, seen[2] = { 0, 0 };

	(void)state;
	for (enum side end = SOURCE; end <= DESTINATION; end++) {
		for (enum fake_fault fault = FAKE_BEFORE; fault < FAKE_NR_FAULTS; fault++) {
			unsigned int n = 1;

			while (store_fails(end, n, fault))
				assert_true(++n < MOST);
			runs += n;
			seen[end] = VFM_MAX(seen[end], n - 1);
		}
	}
	print_message("# %u runs, %u and %u calls\n", runs, seen[0], seen[1]);
	assert_true(seen[SOURCE] >= 2 && seen[DESTINATION] >= 2);
}

static void the_store_fails_and_the_connection_too(void **state)
{
	unsigned int runs = 0;

	(void)state;
	for (enum side end = SOURCE; end <= DESTINATION; end++) {
		for (enum fake_fault fault = FAKE_BEFORE; fault < FAKE_NR_FAULTS; fault++) {
			for (unsigned int at = 1; at <= 4; at++) {
				for (int reverse = 0; reverse < 2; reverse++) {
					unsigned int record = 0;

					while (cut_at(reverse, record, SIZE_MAX, fault, end, at))
						assert_true(++record < MOST);
					runs += record;
				}
			}
		}
	}
	print_message("# %u runs\n", runs);
	assert_true(runs > 500);
}

static bool dies_and_fails(enum side side, unsigned int n, enum side end, enum fake_fault fault,
			   unsigned int at)
{
	char what[128];
	bool died;

	open_stored();
	fake_aim(&fake, end, fault, at);
	aim(side, n, AFTER);
	migrate_pair();
	died = victim.dead;
	snprintf(what, sizeof(what), "%s dies at %u, %s; store of the %s %s at %u",
		 side_names[side], n, victim.what, side_names[end], fault_names[fault], at);
	settle_alone(n % 2 ? SOURCE : DESTINATION, what);
	return died;
}

/* The other side's store fails for good, which is the worst of its faults. */
static void one_half_dies_and_the_store_fails_the_other(void **state)
{
	unsigned int runs = 0;

	(void)state;
	for (enum side side = SOURCE; side <= DESTINATION; side++) {
		enum side end = side == SOURCE ? DESTINATION : SOURCE;

		for (enum fake_fault fault = FAKE_DOWN; fault < FAKE_NR_FAULTS; fault++) {
			for (unsigned int at = 1; at <= 3; at++) {
				unsigned int n = 1;

				while (dies_and_fails(side, n, end, fault, at))
					assert_true(++n < MOST);
				runs += n;
			}
		}
	}
	print_message("# %u runs\n", runs);
	assert_true(runs > 300);
}

/* ---- epochs ----------------------------------------------------------------------- */

/* Whether a second try can begin: the devices have found their way back by themselves. */
static bool may_try_again(void)
{
	enum vfm_state s = rig_state(rig.src), d = rig_state(rig.dst);

	rig.ws->fault = rig.wd->fault = WRAP_NONE;
	return (s == VFM_STATE_RUNNING || s == VFM_STATE_STOP) &&
	       (d == VFM_STATE_RUNNING || d == VFM_STATE_STOP);
}

/* Both recover what is left from before, and the device stays where it is now. */
static void recover_the_past(bool paused, const char *what)
{
	struct half half;

	for (int i = 0; i < 2; i++) {
		(void)!recover_alone((enum side)i, &half);
		if (rig_state(rig.src) != VFM_STATE_STOP)
			fail_msg("%s: the source has it again: %s", what, half.said);
		if (!paused && !rig_owns(rig.dst))
			fail_msg("%s: the destination has lost it: %s", what, half.said);
	}
}

/*
 * The half dies, the move is tried again and works, and only then somebody recovers what the
 * first try has left: it says that the source had the device, which it has no more. Without the
 * store nothing may be done, and with it nothing is to be done.
 */
static bool try_again(enum side side, unsigned int n, unsigned int *again)
{
	char what[96];
	bool died, paused;

	open_stored();
	aim(side, n, AFTER);
	migrate_pair();
	died = victim.dead;
	snprintf(what, sizeof(what), "%s dies at %u, %s, and it is tried again", side_names[side],
		 n, victim.what);
	if (died && may_try_again()) {
		paused = rig_state(rig.src) == VFM_STATE_STOP;
		aim(NOBODY, 0, BEFORE);
		migrate_pair();
		if (rig.report.phase == VFM_PHASE_DONE) {
			++*again;
			fake_aim(&fake, SOURCE, FAKE_DOWN, 1);
			fake_aim(&fake, DESTINATION, FAKE_DOWN, 1);
			recover_the_past(paused, what);
			fake_heal(&fake);
			recover_the_past(paused, what);
			if (count_journals(SOURCE) + count_journals(DESTINATION))
				fail_msg("%s: a journal is left", what);
		}
	}
	rig_close(&rig);
	return died;
}

static void what_an_earlier_try_has_left_is_the_past(void **state)
{
	unsigned int again = 0;

	(void)state;
	for (enum side side = SOURCE; side <= DESTINATION; side++) {
		unsigned int n = 1;

		while (try_again(side, n, &again))
			assert_true(++n < MOST);
	}
	print_message("# %u moved at the second try\n", again);
	assert_true(again > 20);
}

/* ---- races ------------------------------------------------------------------------ */

/* Just before the destination says that it has the device, it is said that the source keeps it. */
static bool keep_before_commit(const struct fake_end *end)
{
	char *state = strstr(end->store->now.data, "\"state\":\"moving\"");

	if (end != &fake.ends[DESTINATION] || end->calls != 1 || !state)
		return true;
	memmove(state + strlen("\"state\":\"kept\""), state + strlen("\"state\":\"moving\""),
		strlen(state + strlen("\"state\":\"moving\"")) + 1);
	memcpy(state, "\"state\":\"kept\"", strlen("\"state\":\"kept\""));
	end->store->now.size = strlen(end->store->now.data);
	end->store->now.revision = ++end->store->clock;
	return true;
}

static void a_destination_that_is_too_late_resets(void **state)
{
	(void)state;
	open_stored();
	aim(NOBODY, 0, BEFORE);
	fake.ends[DESTINATION].gate = keep_before_commit;
	migrate_pair();
	assert_non_null(strstr(fake.now.data, "kept"));
	assert_true(rig_owns(rig.src));
	assert_int_equal(rig_state(rig.dst), VFM_STATE_RUNNING);
	assert_false(rig_owns(rig.dst));
	assert_int_equal(count_journals(SOURCE), 0);
	assert_int_equal(count_journals(DESTINATION), 0);
	rig_close(&rig);
}

/* ---- both or neither ---------------------------------------------------------------- */

/* What the source is told, when the two decide as given. */
static void refused(struct vfm_store *src, struct vfm_store *dst, const char *text)
{
	struct vfm_store *kept[2] = { stores[0], stores[1] };

	open_stored();
	aim(NOBODY, 0, BEFORE);
	stores[0] = src;
	stores[1] = dst;
	migrate_pair();
	stores[0] = kept[0];
	stores[1] = kept[1];
	if (!strstr(rig.err.msg, text))
		fail_msg("\"%s\" is not \"%s\"", rig.err.msg, text);
	assert_true(rig_owns(rig.src));
	assert_int_equal(rig_state(rig.dst), VFM_STATE_RUNNING);
	assert_int_equal(rig.ws->orphan, -1);
	assert_int_equal(rig.wd->orphan, -1);
	assert_int_equal(count_journals(SOURCE) + count_journals(DESTINATION), 0);
	rig_close(&rig);
}

static void both_sides_decide_alike_or_do_not_begin(void **state)
{
	static struct fake_store elsewhere;
	struct vfm_store *other, *named;

	(void)state;
	fake_reset(&elsewhere);
	other = fake_new(&elsewhere, DESTINATION, "destination", "device", TIMEOUT_MS);
	named = fake_new(&fake, DESTINATION, "destination", "nic0", TIMEOUT_MS);
	refused(stores[0], NULL, "the source decides by key vfmig/owner/device in a store");
	refused(NULL, stores[1], "we decide by a store, and the source uses none");
	refused(stores[0], named,
		"the source uses key vfmig/owner/device in the store, and we vfmig/owner/nic0");
	refused(stores[0], other, "the source must use the same store");
	vfm_store_free(other);
	vfm_store_free(named);
}

/* A destination that was given no name takes the source's, which is the migration's. */
static void a_key_need_not_be_named(void **state)
{
	struct vfm_store *kept[2] = { stores[0], stores[1] };

	(void)state;
	open_stored();
	aim(NOBODY, 0, BEFORE);
	for (int i = 0; i < 2; i++)
		stores[i] = fake_new(&fake, i, side_names[i], NULL, TIMEOUT_MS);
	migrate_pair();
	assert_true(rig_owns(rig.dst));
	/* and has served */
	assert_int_equal(fake.now.revision, 0);
	assert_int_equal(count_journals(SOURCE) + count_journals(DESTINATION), 0);
	for (int i = 0; i < 2; i++) {
		vfm_store_free(stores[i]);
		stores[i] = kept[i];
	}
	rig_close(&rig);
}

/* ---- waiting ------------------------------------------------------------------------ */

static int cancel_fd;

static bool cancel_now(const struct fake_end *end)
{
	if (end == &fake.ends[SOURCE])
		eventfd_write(cancel_fd, 1);
	return true;
}

/* If that did not get through, the store's silence would be what is told. */
static void one_can_cancel_while_the_store_is_silent(void **state)
{
	struct vfm_migrate_opts opts = rig_opts();

	(void)state;
	open_stored();
	cancel_fd = eventfd(0, EFD_CLOEXEC);
	opts.cancel_fd = cancel_fd;
	opts.journal = dirs[0];
	opts.store = fake_new(&fake, SOURCE, "a", "device", 20000);
	fake_aim(&fake, SOURCE, FAKE_HANG, 1);
	fake.ends[SOURCE].gate = cancel_now;
	assert_int_equal(rig_migrate(&rig, &opts), -ECANCELED);
	assert_true(rig_owns(rig.src));
	vfm_store_free((struct vfm_store *)opts.store);
	close(cancel_fd);
	rig_close(&rig);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(either_half_dies_everywhere),
		cmocka_unit_test(a_cut_is_settled_at_once),
		cmocka_unit_test(every_call_to_the_store_fails_once),
		cmocka_unit_test(the_store_fails_and_the_connection_too),
		cmocka_unit_test(one_half_dies_and_the_store_fails_the_other),
		cmocka_unit_test(what_an_earlier_try_has_left_is_the_past),
		cmocka_unit_test(a_destination_that_is_too_late_resets),
		cmocka_unit_test(both_sides_decide_alike_or_do_not_begin),
		cmocka_unit_test(a_key_need_not_be_named),
		cmocka_unit_test(one_can_cancel_while_the_store_is_silent),
	};
	int failed;

	fake.ends[0].gate = is_alive;
	fake_reset(&fake);
	for (int i = 0; i < 2; i++)
		stores[i] = fake_new(&fake, i, side_names[i], "device", TIMEOUT_MS);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	failed = cmocka_run_group_tests(tests, make_dirs, remove_dirs);
	for (int i = 0; i < 2; i++)
		vfm_store_free(stores[i]);
	return failed;
}
