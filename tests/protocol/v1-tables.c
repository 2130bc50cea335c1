// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The tables of protocol v1, against what the sources say: the arrows that are drawn, the
 * writes that clients are known to issue, and for all else that it is refused. The table is
 * written down here a second time in another form, a list of what may be.
 */

#include "test.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "protocol/v1.h"
#include "protocol/v2.h"

#define V2_FEATURES (VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_PRE_COPY)

static const uint32_t reserved[] = { 0, 8, 0x1000, 0x80000000, 0xfffffff8 };

static const struct {
	uint32_t from, to;
	enum vfm_v1_arc arc;
} legal[] = {
	/* the seven arrows */
	{ 1, 0, VFM_V1_ARC_DRAWN },
	{ 1, 2, VFM_V1_ARC_DRAWN },
	{ 2, 0, VFM_V1_ARC_DRAWN },
	{ 1, 3, VFM_V1_ARC_DRAWN },
	{ 3, 2, VFM_V1_ARC_DRAWN },
	{ 1, 4, VFM_V1_ARC_DRAWN },
	{ 4, 1, VFM_V1_ARC_DRAWN },
	/* cont after a save, a paused source, a stopped destination, cancel in both states */
	{ 0, 1, VFM_V1_ARC_ISSUED },
	{ 0, 2, VFM_V1_ARC_ISSUED },
	{ 0, 4, VFM_V1_ARC_ISSUED },
	{ 2, 1, VFM_V1_ARC_ISSUED },
	{ 3, 1, VFM_V1_ARC_ISSUED },
	/* an image that is proven before it runs, pre-copy that is given up by stopping */
	{ 4, 0, VFM_V1_ARC_OURS },
	{ 3, 0, VFM_V1_ARC_OURS },
};

static enum vfm_v1_arc expected(uint32_t from, uint32_t to)
{
	if (from == to && from <= 4)
		return VFM_V1_ARC_SAME;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(legal); i++)
		if (legal[i].from == from && legal[i].to == to)
			return legal[i].arc;
	return VFM_V1_ARC_REFUSED;
}

static void arcs(void **state)
{
	(void)state;
	for (size_t a = 0; a < VFM_ARRAY_SIZE(reserved); a++)
		for (size_t b = 0; b < VFM_ARRAY_SIZE(reserved); b++)
			for (uint32_t from = 0; from < 8; from++)
				for (uint32_t to = 0; to < 8; to++)
					assert_int_equal(
						vfm_v1_arc(vfm_v1_state_of(reserved[a] | from),
							   vfm_v1_state_of(reserved[b] | to)),
						expected(from, to));
}

/* Whatever is accepted, v2 can do. */
static void arcs_exist_in_v2(void **state)
{
	(void)state;
	for (uint32_t from = 0; from < 8; from++)
		for (uint32_t to = 0; to < 8; to++) {
			enum vfm_state a, b, next;

			if (expected(from, to) == VFM_V1_ARC_REFUSED)
				continue;
			assert_int_equal(vfm_v1_to_v2(vfm_v1_state_of(from), &a), 0);
			assert_int_equal(vfm_v1_to_v2(vfm_v1_state_of(to), &b), 0);
			assert_int_equal(vfm_next_state(V2_FEATURES, a, b, &next), 0);
		}
}

static void names(void **state)
{
	static const char *const wanted[] = { "STOP",	  "RUNNING", "STOP_COPY", "PRE_COPY",
					      "RESUMING", "invalid", "ERROR",	  "invalid" };

	(void)state;
	for (size_t r = 0; r < VFM_ARRAY_SIZE(reserved); r++)
		for (uint32_t bits = 0; bits < 8; bits++)
			assert_string_equal(vfm_v1_state_name(vfm_v1_state_of(reserved[r] | bits)),
					    wanted[bits]);
}

static void mapping(void **state)
{
	static const struct {
		uint32_t v1;
		int v2; /* -1: none */
	} pairs[8] = {
		{ 0, VFM_STATE_STOP },	    { 1, VFM_STATE_RUNNING },
		{ 2, VFM_STATE_STOP_COPY }, { 3, VFM_STATE_PRE_COPY },
		{ 4, VFM_STATE_RESUMING },  { 5, -1 },
		{ 6, VFM_STATE_ERROR },	    { 7, -1 },
	};

	(void)state;
	for (size_t r = 0; r < VFM_ARRAY_SIZE(reserved); r++)
		for (size_t i = 0; i < VFM_ARRAY_SIZE(pairs); i++) {
			struct vfm_v1_state v1 = vfm_v1_state_of(reserved[r] | pairs[i].v1);
			enum vfm_state v2 = VFM_STATE_RUNNING_P2P;

			if (pairs[i].v2 < 0) {
				assert_int_equal(vfm_v1_to_v2(v1, &v2), -EINVAL);
				assert_int_equal(v2, VFM_STATE_RUNNING_P2P);
				continue;
			}
			assert_int_equal(vfm_v1_to_v2(v1, &v2), 0);
			assert_int_equal(v2, pairs[i].v2);
			assert_int_equal(vfm_v1_from_v2(v2).word, pairs[i].v1);
			/* the same name in both, where v1 has no more than one for it */
			assert_string_equal(vfm_v1_state_name(v1), vfm_state_name(v2));
		}
	assert_int_equal(vfm_v1_from_v2(VFM_STATE_RUNNING_P2P).word, 1);
	assert_int_equal(vfm_v1_from_v2(VFM_STATE_PRE_COPY_P2P).word, 3);
	assert_int_equal(vfm_v1_from_v2((enum vfm_state)8).word, 6);
	assert_int_equal(vfm_v1_from_v2((enum vfm_state)255).word, 6);
}

/* Whether v2, too, runs the device on its way between the two. */
static bool v2_runs_between(enum vfm_state from, enum vfm_state to)
{
	enum vfm_state next;

	while (from != to) {
		assert_int_equal(vfm_next_state(V2_FEATURES, from, to, &next), 0);
		if (next != to && next == VFM_STATE_RUNNING)
			return true;
		from = next;
	}
	return false;
}

/* Every step of a path is a write that devices take, and it ends where it shall. */
static void check_path(enum vfm_state from, enum vfm_state to, const struct vfm_v1_path *path)
{
	struct vfm_v1_state at = vfm_v1_from_v2(from);

	for (size_t i = 0; i < path->length; i++) {
		assert_int_equal(path->steps[i].word & ~VFM_V1_MASK, 0);
		assert_true(vfm_v1_arc(at, path->steps[i]) > VFM_V1_ARC_SAME);
		if (i + 1 < path->length && vfm_v1_bits(path->steps[i]) & VFM_V1_RUNNING)
			assert_true(v2_runs_between(from, to));
		at = path->steps[i];
	}
	assert_int_equal(at.word, vfm_v1_from_v2(to).word);
}

static void path_table(void **state)
{
	(void)state;
	for (unsigned int from = 0; from <= VFM_NR_STATES; from++)
		for (unsigned int to = 0; to <= VFM_NR_STATES; to++) {
			struct vfm_v1_path path = { .length = 99 };
			enum vfm_state next;
			int v2 = vfm_next_state(V2_FEATURES, (enum vfm_state)from,
						(enum vfm_state)to, &next);
			bool known = vfm_state_exists(V2_FEATURES, (enum vfm_state)from);
			int ret = vfm_v1_path((enum vfm_state)from, (enum vfm_state)to, &path);

			/* there is a way where v2 has one */
			assert_int_equal(ret, known ? v2 : -EINVAL);
			if (ret)
				assert_int_equal(path.length, 99);
			else
				check_path((enum vfm_state)from, (enum vfm_state)to, &path);
		}
}

/* What a strict device takes must be all that the usual ways need. */
static void usual_paths_are_drawn(void **state)
{
	static const enum vfm_state ways[][2] = {
		{ VFM_STATE_RUNNING, VFM_STATE_STOP },
		{ VFM_STATE_RUNNING, VFM_STATE_PRE_COPY },
		{ VFM_STATE_RUNNING, VFM_STATE_STOP_COPY },
		{ VFM_STATE_PRE_COPY, VFM_STATE_STOP_COPY },
		{ VFM_STATE_STOP_COPY, VFM_STATE_STOP },
		{ VFM_STATE_PRE_COPY, VFM_STATE_STOP },
		{ VFM_STATE_RUNNING, VFM_STATE_RESUMING },
		{ VFM_STATE_RESUMING, VFM_STATE_RUNNING },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(ways); i++) {
		struct vfm_v1_state at = vfm_v1_from_v2(ways[i][0]);
		struct vfm_v1_path path;

		assert_int_equal(vfm_v1_path(ways[i][0], ways[i][1], &path), 0);
		for (size_t n = 0; n < path.length; n++) {
			assert_int_equal(vfm_v1_arc(at, path.steps[n]), VFM_V1_ARC_DRAWN);
			at = path.steps[n];
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(arcs),	      cmocka_unit_test(arcs_exist_in_v2),
		cmocka_unit_test(names),      cmocka_unit_test(mapping),
		cmocka_unit_test(path_table), cmocka_unit_test(usual_paths_are_drawn),
	};

	return RUN_TESTS(tests);
}
