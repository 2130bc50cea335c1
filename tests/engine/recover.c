// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The fault schedule with journals: either half dies at every call to its device and at
 * every write of its journal, before, in the middle and after; every record is cut.
 * Then both sides recover, the one asking or the other, and one device runs. Beside that,
 * each write of a journal fails while its half lives, and is on disk or not.
 */

#include "mortal.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "relay.h"

static void settle(unsigned int order, const char *what, unsigned int n)
{
	static const enum side none = NOBODY;
	/* who recovers alone before, and who asks then */
	const enum side orders[][2] = { { none, SOURCE },
					{ none, DESTINATION },
					{ SOURCE, DESTINATION },
					{ DESTINATION, SOURCE } };
	struct half halves[2];

	check_never_two(what);
	if (orders[order][0] != none)
		recover_alone(orders[order][0], &halves[0]);
	check_never_two(what);
	recover(orders[order][1], halves);
	for (int i = 0; i < 2; i++)
		if (halves[i].ret)
			fail_msg("%s %u, order %u: %s: %s: %s", what, n, order, side_names[i],
				 halves[i].err.msg, halves[i].said);
	if (rig_owns(rig.src) == rig_owns(rig.dst))
		fail_msg("%s %u, order %u: %s: %s %s", what, n, order,
			 rig_owns(rig.src) ? "two owners" : "no owner", halves[0].said,
			 halves[1].said);
	/* Once more: nothing changes. */
	recover(orders[order][1], halves);
	assert_true(!halves[0].ret && !halves[1].ret && rig_owns(rig.src) != rig_owns(rig.dst));
}

/* ---- the schedules -------------------------------------------------------------- */

static bool die_at(enum side side, unsigned int n, enum how how, unsigned int order)
{
	bool died;
	char what[64];

	aim(side, n, how);
	open_run();
	migrate_pair();
	died = victim.dead || victim.failing;
	snprintf(what, sizeof(what), "%s dies at %s, %d,", side_names[side], victim.what, how);
	settle(order, what, n);
	rig_close(&rig);
	return died;
}

static void each_point(enum side side)
{
	unsigned int runs = 0;

	for (enum how how = BEFORE; how < NR_HOWS; how++) {
		unsigned int n = 0;

		do {
			assert_true(++n < MOST);
			for (unsigned int order = 0; order < 4; order++, runs++)
				if (!die_at(side, n, how, order))
					break;
		} while (victim.dead || victim.failing);
	}
	print_message("# %u runs\n", runs);
	assert_true(runs > 100);
}

static void the_source_dies_everywhere(void **state)
{
	(void)state;
	each_point(SOURCE);
}

static void the_destination_dies_everywhere(void **state)
{
	(void)state;
	each_point(DESTINATION);
}

/*
 * The source dies at @n, when it has written; then the recovery of @side dies at @m; then
 * both recover.
 */
static bool recovery_dies_at(unsigned int n, enum side side, unsigned int m, bool *source_died)
{
	struct half halves[2];
	bool died;

	aim(SOURCE, n, AFTER);
	open_run();
	migrate_pair();
	*source_died = victim.dead;
	aim(side, m, m % NR_DEATHS);
	recover(n % 2, halves);
	died = victim.dead;
	victim.side = NOBODY;
	settle(m % 4, "the recovery dies", m);
	rig_close(&rig);
	return died;
}

static void the_recovery_dies_everywhere(void **state)
{
	bool source_died = true;
	unsigned int runs = 0;

	(void)state;
	for (unsigned int n = 1; source_died; n++) {
		for (enum side side = SOURCE; side <= DESTINATION; side++) {
			unsigned int m = 0;

			do {
				assert_true(++m < MOST);
				runs++;
			} while (recovery_dies_at(n, side, m, &source_died));
		}
	}
	print_message("# %u runs\n", runs);
	assert_true(runs > 100);
}

static bool cut_at(bool reverse, unsigned int record, size_t bytes, unsigned int order)
{
	struct relay relay = {
		.fault = RELAY_CUT, .reverse = reverse, .record = record, .bytes = bytes
	};

	open_run();
	relay_start(&relay);
	migrate(relay.fds);
	relay_stop(&relay);
	settle(order, reverse ? "cut from the destination" : "cut from the source", record);
	rig_close(&rig);
	return relay.hit;
}

static void each_record_cut(void **state)
{
	static const size_t bytes[] = { 0, 49, SIZE_MAX };
	unsigned int runs = 0;

	(void)state;
	victim.side = NOBODY;
	for (int reverse = 0; reverse < 2; reverse++) {
		for (int b = 0; b < 3; b++) {
			unsigned int record = 0;

			while (cut_at(reverse, record, bytes[b], record % 4))
				assert_true(++record < MOST);
			runs += record;
		}
	}
	print_message("# %u runs\n", runs);
	assert_true(runs >= 30);
}

/* The destination cannot write from @n on, and what it says last, RUNNING, is lost. */
static bool fail_and_cut(unsigned int n, enum how how)
{
	struct relay relay = { .fault = RELAY_CUT, .reverse = true, .record = 3 };

	aim(DESTINATION, n, how);
	open_run();
	relay_start(&relay);
	migrate(relay.fds);
	relay_stop(&relay);
	settle(n % 4, "a write fails and RUNNING is lost", n);
	rig_close(&rig);
	return victim.failing;
}

static void a_write_fails_and_the_connection_too(void **state)
{
	unsigned int runs = 0;

	(void)state;
	for (enum how how = ONCE; how < NR_HOWS; how++) {
		unsigned int n = 1;

		while (fail_and_cut(n, how))
			assert_true(++n < MOST);
		runs += n;
	}
	print_message("# %u runs\n", runs);
	assert_true(runs > 20);
}

static void nothing_is_left_of_a_migration_that_went_well(void **state)
{
	struct vfm_migrate_opts opts = rig_opts();

	(void)state;
	open_run();
	opts.journal = dirs[0];
	assert_int_equal(rig_migrate(&rig, &opts), 0);
	rig_check_moved(&rig);
	/* and what its journals cost was in the prediction */
	assert_true(rig.report.prediction.handover_us > 0);
	assert_int_equal(rmdir(dirs[0]), 0);
	assert_int_equal(mkdir(dirs[0], 0700), 0);
	rig_close(&rig);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_left_of_a_migration_that_went_well),
		cmocka_unit_test(the_source_dies_everywhere),
		cmocka_unit_test(the_destination_dies_everywhere),
		cmocka_unit_test(the_recovery_dies_everywhere),
		cmocka_unit_test(each_record_cut),
		cmocka_unit_test(a_write_fails_and_the_connection_too),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_dirs, remove_dirs);
}
