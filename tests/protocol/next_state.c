// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The next-step tables, against paths found by search over the single arcs, for
 * each legal feature set, for every pair of values.
 */

#include <errno.h>

#include "test.h"
#include "v2.h"

/* Values with a path; the search cannot be asked about others. */
static bool may_be_asked(uint64_t migration, enum vfm_state state)
{
	return state != VFM_STATE_ERROR && vfm_state_exists(migration, state);
}

/* All first steps that begin a shortest path; exactly one, or the table is one of many. */
static enum vfm_state only_first_step(uint64_t migration, enum vfm_state from, enum vfm_state to)
{
	const int length = distance(migration, from, to);
	enum vfm_state first = VFM_STATE_ERROR;
	int found = 0;

	for (size_t i = 0; i < VFM_NR_STATES; i++) {
		enum vfm_state next = (enum vfm_state)i;
		int rest;

		if (!vfm_arc_exists(migration, from, next))
			continue;
		if (next != to && !may_pass(from, next, to))
			continue;
		/* the rest of the path has the rules of the whole */
		rest = next == to ? 0 : length - 1;
		if (rest == 0 ? next != to : distance(migration, next, to) != rest)
			continue;
		first = next;
		found++;
	}
	assert_int_equal(found, 1);
	return first;
}

static void check_pair(uint64_t migration, enum vfm_state from, enum vfm_state to)
{
	const enum vfm_state untouched = (enum vfm_state)77;
	enum vfm_state next = untouched;
	int ret = vfm_next_state(migration, from, to, &next);
	bool path = may_be_asked(migration, from) && may_be_asked(migration, to) &&
		    distance(migration, from, to) >= 0;

	assert_int_equal(ret, path ? 0 : -EINVAL);
	if (!path)
		assert_int_equal(next, untouched);
	else if (from == to)
		assert_int_equal(next, to);
	else
		assert_int_equal(next, only_first_step(migration, from, to));
}

static void tables_are_what_a_search_finds(void **state)
{
	(void)state;
	for (size_t set = 0; set < VFM_ARRAY_SIZE(legal_sets); set++)
		for (size_t i = 0; i < NR_VALUES; i++)
			for (size_t j = 0; j < NR_VALUES; j++)
				check_pair(legal_sets[set], state_value(i), state_value(j));
}

/* The search could be wrong in the same way as a table; these two pairs are in the uAPI's text. */
static void only_stop_copy_to_precopy_has_no_path(void **state)
{
	(void)state;
	for (size_t set = 0; set < VFM_ARRAY_SIZE(legal_sets); set++)
		for (size_t i = 1; i < VFM_NR_STATES; i++)
			for (size_t j = 1; j < VFM_NR_STATES; j++) {
				uint64_t migration = legal_sets[set];
				enum vfm_state from = state_value(i), to = state_value(j), next;

				if (!may_be_asked(migration, from) || !may_be_asked(migration, to))
					continue;
				assert_int_equal(
					vfm_next_state(migration, from, to, &next) == -EINVAL,
					from == VFM_STATE_STOP_COPY && vfm_state_is_precopy(to));
			}
}

static void illegal_feature_sets_have_no_paths(void **state)
{
	static const uint64_t sets[] = { 0, 2, 4, 6, 8, 9, 15, UINT64_C(1) << 63 | 7, UINT64_MAX };

	(void)state;
	for (size_t set = 0; set < VFM_ARRAY_SIZE(sets); set++) {
		assert_false(vfm_migration_legal(sets[set]));
		for (size_t i = 0; i < NR_VALUES; i++)
			for (size_t j = 0; j < NR_VALUES; j++) {
				enum vfm_state next;

				assert_int_equal(vfm_next_state(sets[set], state_value(i),
								state_value(j), &next),
						 -EINVAL);
			}
	}
	for (size_t set = 0; set < VFM_ARRAY_SIZE(legal_sets); set++)
		assert_true(vfm_migration_legal(legal_sets[set]));
}

/* The longest paths, in full, as the uAPI's text has them. */
static const struct {
	uint64_t migration;
	enum vfm_state path[6]; /* ends with the target twice */
} paths[] = {
	{ 7,
	  { VFM_STATE_RESUMING, VFM_STATE_STOP, VFM_STATE_RUNNING_P2P, VFM_STATE_RUNNING,
	    VFM_STATE_PRE_COPY, VFM_STATE_PRE_COPY } },
	{ 7,
	  { VFM_STATE_RESUMING, VFM_STATE_STOP, VFM_STATE_RUNNING_P2P, VFM_STATE_PRE_COPY_P2P,
	    VFM_STATE_PRE_COPY_P2P } },
	{ 7,
	  { VFM_STATE_PRE_COPY, VFM_STATE_RUNNING, VFM_STATE_RUNNING_P2P, VFM_STATE_STOP,
	    VFM_STATE_RESUMING, VFM_STATE_RESUMING } },
	{ 7,
	  { VFM_STATE_PRE_COPY, VFM_STATE_PRE_COPY_P2P, VFM_STATE_STOP_COPY,
	    VFM_STATE_STOP_COPY } },
	{ 7,
	  { VFM_STATE_RUNNING, VFM_STATE_RUNNING_P2P, VFM_STATE_STOP, VFM_STATE_STOP_COPY,
	    VFM_STATE_STOP_COPY } },
	{ 3,
	  { VFM_STATE_STOP_COPY, VFM_STATE_STOP, VFM_STATE_RUNNING_P2P, VFM_STATE_RUNNING,
	    VFM_STATE_RUNNING } },
	{ 5, { VFM_STATE_PRE_COPY, VFM_STATE_STOP_COPY, VFM_STATE_STOP_COPY } },
	{ 5,
	  { VFM_STATE_RESUMING, VFM_STATE_STOP, VFM_STATE_RUNNING, VFM_STATE_PRE_COPY,
	    VFM_STATE_PRE_COPY } },
	{ 1, { VFM_STATE_RUNNING, VFM_STATE_STOP, VFM_STATE_STOP_COPY, VFM_STATE_STOP_COPY } },
	{ 1, { VFM_STATE_RESUMING, VFM_STATE_STOP, VFM_STATE_STOP_COPY, VFM_STATE_STOP_COPY } },
};

static void the_longest_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(paths); i++) {
		const enum vfm_state *path = paths[i].path;
		size_t last = 0;

		while (path[last] != path[last + 1])
			last++;
		for (size_t at = 0; at < last; at++) {
			enum vfm_state next = VFM_STATE_ERROR;

			assert_int_equal(
				vfm_next_state(paths[i].migration, path[at], path[last], &next), 0);
			assert_int_equal(next, path[at + 1]);
		}
	}
}

/*
 * Walk every path with one hand on the session: it is opened only when there is
 * none, kept and closed only when there is one, and stands at the end exactly
 * in the states that have data.
 */
static void walk(uint64_t migration, enum vfm_state from, enum vfm_state to)
{
	bool open = vfm_state_is_saving(from) || from == VFM_STATE_RESUMING;
	enum vfm_state at = from, next;
	int steps = 0, opened = 0;

	while (at != to) {
		enum vfm_session_effect effect;

		assert_int_equal(vfm_next_state(migration, at, to, &next), 0);
		assert_true(vfm_arc_exists(migration, at, next));
		effect = vfm_arc_session(at, next);
		if (effect == VFM_SESSION_OPEN_SAVE || effect == VFM_SESSION_OPEN_LOAD) {
			assert_false(open);
			/* a descriptor can only be given out at the end of a path */
			assert_int_equal(next, to);
			opened++;
		} else {
			assert_int_equal(open, effect != VFM_SESSION_NONE);
		}
		open = effect != VFM_SESSION_NONE && effect != VFM_SESSION_CLOSE;
		at = next;
		assert_true(++steps < VFM_NR_STATES);
	}
	assert_int_equal(steps, distance(migration, from, to));
	assert_int_equal(open, vfm_state_is_saving(to) || to == VFM_STATE_RESUMING);
	assert_true(opened <= 1);
}

static void sessions_are_consistent_along_every_path(void **state)
{
	int walked = 0;

	(void)state;
	for (size_t set = 0; set < VFM_ARRAY_SIZE(legal_sets); set++)
		for (size_t i = 0; i < VFM_NR_STATES; i++)
			for (size_t j = 0; j < VFM_NR_STATES; j++) {
				enum vfm_state next;

				if (vfm_next_state(legal_sets[set], state_value(i), state_value(j),
						   &next))
					continue;
				walk(legal_sets[set], state_value(i), state_value(j));
				walked++;
			}
	/* 4, 5, 5 and 7 states; STOP_COPY has one way less for each state of pre-copy */
	assert_int_equal(walked, 16 + 25 + (25 - 1) + (49 - 2));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_are_what_a_search_finds),
		cmocka_unit_test(only_stop_copy_to_precopy_has_no_path),
		cmocka_unit_test(illegal_feature_sets_have_no_paths),
		cmocka_unit_test(the_longest_paths),
		cmocka_unit_test(sessions_are_consistent_along_every_path),
	};

	return RUN_TESTS(tests);
}
