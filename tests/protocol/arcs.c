// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* The single arcs, against a list for each feature set that is written out here again. */

#include <string.h>

#include "test.h"
#include "v2.h"

/* R running, r running P2P, S stop, C stop-copy, L resuming, P pre-copy, p pre-copy P2P. */
static const char letters[VFM_NR_STATES + 1] = "ESRCLrPp";

static const struct {
	uint64_t migration;
	const char *arcs;
} lists[] = {
	{ 1, "LS SL SC CS RS SR" },
	{ 3, "LS SL SC CS Rr rR rS Sr" },
	{ 5, "LS SL SC CS RS SR RP PR PC" },
	{ 7, "LS SL SC CS Rr rR rS Sr RP PR Pp pP pr rp pC" },
};

static bool listed(const char *arcs, enum vfm_state from, enum vfm_state to)
{
	for (; *arcs; arcs += arcs[2] ? 3 : 2)
		if (from < VFM_NR_STATES && to < VFM_NR_STATES && arcs[0] == letters[from] &&
		    arcs[1] == letters[to])
			return true;
	return false;
}

static void arcs_are_those_of_the_list(void **state)
{
	(void)state;
	for (size_t set = 0; set < VFM_ARRAY_SIZE(lists); set++) {
		size_t count = 0;

		for (size_t i = 0; i < NR_VALUES; i++)
			for (size_t j = 0; j < NR_VALUES; j++) {
				enum vfm_state from = state_value(i), to = state_value(j);
				bool exists = vfm_arc_exists(lists[set].migration, from, to);

				assert_int_equal(exists, listed(lists[set].arcs, from, to));
				count += exists;
			}
		assert_int_equal(count, (strlen(lists[set].arcs) + 1) / 3);
	}
}

static void arcs_lead_between_states_that_exist(void **state)
{
	(void)state;
	for (size_t set = 0; set < VFM_ARRAY_SIZE(legal_sets); set++)
		for (size_t i = 0; i < NR_VALUES; i++)
			for (size_t j = 0; j < NR_VALUES; j++) {
				enum vfm_state from = state_value(i), to = state_value(j);

				if (!vfm_arc_exists(legal_sets[set], from, to))
					continue;
				assert_true(vfm_state_exists(legal_sets[set], from));
				assert_true(vfm_state_exists(legal_sets[set], to));
				assert_int_not_equal(from, VFM_STATE_ERROR);
				assert_int_not_equal(to, VFM_STATE_ERROR);
				assert_int_not_equal(from, to);
			}
}

static void illegal_feature_sets_have_no_arcs(void **state)
{
	static const uint64_t sets[] = { 0, 2, 4, 6, 8, 9, 15, UINT64_C(1) << 63 | 7, UINT64_MAX };

	(void)state;
	for (size_t set = 0; set < VFM_ARRAY_SIZE(sets); set++)
		for (size_t i = 0; i < NR_VALUES; i++)
			for (size_t j = 0; j < NR_VALUES; j++)
				assert_false(
					vfm_arc_exists(sets[set], state_value(i), state_value(j)));
}

/*
 * What an arc does to the session follows from its ends: data is read in the
 * saving states and written in RESUMING, and one session lasts while saving.
 */
static enum vfm_session_effect effect_of_ends(enum vfm_state from, enum vfm_state to)
{
	bool from_load = from == VFM_STATE_RESUMING, to_load = to == VFM_STATE_RESUMING;
	bool from_save = vfm_state_is_saving(from), to_save = vfm_state_is_saving(to);

	if (from_save && to_save)
		return VFM_SESSION_KEEP;
	if (from_save || from_load)
		return VFM_SESSION_CLOSE;
	return to_save ? VFM_SESSION_OPEN_SAVE : to_load ? VFM_SESSION_OPEN_LOAD : VFM_SESSION_NONE;
}

static void sessions_follow_from_the_ends(void **state)
{
	(void)state;
	for (size_t set = 0; set < VFM_ARRAY_SIZE(legal_sets); set++)
		for (size_t i = 0; i < VFM_NR_STATES; i++)
			for (size_t j = 0; j < VFM_NR_STATES; j++) {
				enum vfm_state from = state_value(i), to = state_value(j);

				if (!vfm_arc_exists(legal_sets[set], from, to))
					continue;
				assert_int_equal(vfm_arc_session(from, to),
						 effect_of_ends(from, to));
				/* no arc ends one session and begins another */
				assert_false(from == VFM_STATE_RESUMING && vfm_state_is_saving(to));
				assert_false(vfm_state_is_saving(from) && to == VFM_STATE_RESUMING);
			}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(arcs_are_those_of_the_list),
		cmocka_unit_test(arcs_lead_between_states_that_exist),
		cmocka_unit_test(illegal_feature_sets_have_no_arcs),
		cmocka_unit_test(sessions_follow_from_the_ends),
	};

	return RUN_TESTS(tests);
}
