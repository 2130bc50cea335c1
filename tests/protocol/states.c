// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* The states themselves: numbers, names, which devices have them, what they are. */

#include "test.h"
#include "v2.h"

static const struct {
	uint32_t number;
	const char *name;
	const char *exists; /* for the feature sets 0 to 7, one letter each */
	bool saving, precopy, active;
} states[] = {
	{ 0, "ERROR", "yyyyyyyy", false, false, false },
	{ 1, "STOP", "nynynyny", false, false, false },
	{ 2, "RUNNING", "yyyyyyyy", false, false, true },
	{ 3, "STOP_COPY", "nynynyny", true, false, false },
	{ 4, "RESUMING", "nynynyny", false, false, false },
	{ 5, "RUNNING_P2P", "nnnynnny", false, false, true },
	{ 6, "PRE_COPY", "nnnnnyny", true, true, true },
	{ 7, "PRE_COPY_P2P", "nnnnnnny", true, true, true },
};

static void states_are_what_the_uapi_says(void **state)
{
	(void)state;
	assert_int_equal(VFM_ARRAY_SIZE(states), VFM_NR_STATES);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(states); i++) {
		enum vfm_state s = (enum vfm_state)states[i].number;

		assert_string_equal(vfm_state_name(s), states[i].name);
		assert_int_equal(vfm_state_is_saving(s), states[i].saving);
		assert_int_equal(vfm_state_is_precopy(s), states[i].precopy);
		assert_int_equal(vfm_state_is_active(s), states[i].active);
		for (uint64_t set = 0; set < 8; set++) {
			assert_int_equal(vfm_state_exists(set, s), states[i].exists[set] == 'y');
			/* bits of a later protocol change nothing */
			assert_int_equal(vfm_state_exists(set | 0xf0, s),
					 states[i].exists[set] == 'y');
		}
	}
}

static void what_is_no_state_is_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(wild_states); i++) {
		enum vfm_state s = (enum vfm_state)wild_states[i];

		assert_string_equal(vfm_state_name(s), "invalid");
		assert_false(vfm_state_exists(7, s));
		assert_false(vfm_state_exists(UINT64_MAX, s));
		assert_false(vfm_state_is_saving(s));
		assert_false(vfm_state_is_precopy(s));
		assert_false(vfm_state_is_active(s));
		assert_int_equal(vfm_arc_session(s, VFM_STATE_STOP), VFM_SESSION_NONE);
		assert_int_equal(vfm_arc_session(VFM_STATE_STOP, s), VFM_SESSION_NONE);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(states_are_what_the_uapi_says),
		cmocka_unit_test(what_is_no_state_is_nothing),
	};

	return RUN_TESTS(tests);
}
