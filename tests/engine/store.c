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
	/* a cut alone leaves nothing open */
	if (!at && owners() != 1)
		fail_msg("%s: %u owners at once", what, owners());
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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(either_half_dies_everywhere),
		cmocka_unit_test(a_cut_is_settled_at_once),
		cmocka_unit_test(every_call_to_the_store_fails_once),
		cmocka_unit_test(the_store_fails_and_the_connection_too),
		cmocka_unit_test(one_half_dies_and_the_store_fails_the_other),
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
