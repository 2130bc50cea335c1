// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Ranges against a model of one byte for each address; the last is the last of all. */

#include "device/ranges.h"

#include <string.h>

#include "base/util.h"
#include "random.h"
#include "test.h"

#define SPACE 512 /* addresses of the model, the last of which is 2^64 - 1 */
#define BASE (UINT64_MAX - (SPACE - 1))

static size_t random_ranges(uint64_t *seed, struct vfm_range *ranges, bool apart)
{
	size_t nr = 0;
	uint64_t at = test_random_below(seed, 8);

	while (at < SPACE) {
		uint64_t size = 1 + test_random_below(seed, VFM_MIN(SPACE - at, 16));

		ranges[nr++] = (struct vfm_range){ BASE + at, size };
		at += apart ? size + 1 + test_random_below(seed, 12) : test_random_below(seed, 24);
	}
	return nr;
}

static void mark(bool *marks, const struct vfm_range *ranges, size_t nr)
{
	memset(marks, 0, SPACE);
	for (size_t i = 0; i < nr; i++)
		for (uint64_t n = 0; n < ranges[i].size; n++)
			marks[ranges[i].iova - BASE + n] = true;
}

/* In order, and none touches the next. */
static void check_apart(const struct vfm_range *ranges, size_t nr)
{
	for (size_t i = 1; i < nr; i++)
		assert_true(ranges[i].iova - ranges[i - 1].iova > ranges[i - 1].size);
}

/* What touches or overlaps is joined, and the same addresses are covered. */
static void join(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (unsigned int round = 0; round < 2000; round++) {
		struct vfm_range ranges[SPACE + 1];
		bool before[SPACE], after[SPACE];
		size_t nr = random_ranges(&seed, ranges, false);

		mark(before, ranges, nr);
		nr = vfm_ranges_join(ranges, nr);
		mark(after, ranges, nr);
		assert_memory_equal(before, after, sizeof(before));
		check_apart(ranges, nr);
	}
	assert_int_equal(vfm_ranges_join(NULL, 0), 0);
}

/* Gaps that are left are larger than every gap that was filled. */
static void fit(void **state)
{
	uint64_t seed = 2;

	(void)state;
	for (unsigned int round = 0; round < 2000; round++) {
		struct vfm_range before[SPACE + 1], after[SPACE + 1];
		size_t nr = random_ranges(&seed, before, true), left = nr;
		size_t max = 1 + test_random_below(&seed, nr + 1);
		uint64_t filled = 0, kept = UINT64_MAX;

		memcpy(after, before, sizeof(after));
		assert_int_equal(vfm_ranges_fit(after, &left, max), 0);
		assert_true(left <= max && (left == nr) == (nr <= max));
		assert_int_equal(after[0].iova, before[0].iova);
		check_apart(after, left);
		for (size_t i = 1, at = 0; i < nr; i++) {
			uint64_t gap = before[i].iova - before[i - 1].iova - before[i - 1].size;

			if (at + 1 < left && after[at + 1].iova == before[i].iova) {
				kept = VFM_MIN(kept, gap);
				at++;
			} else {
				filled = VFM_MAX(filled, gap);
			}
			assert_true(before[i].iova - after[at].iova + before[i].size <=
				    after[at].size);
		}
		assert_true(filled < kept);
	}
}

/* In any order, overlapping or not: covered is what holds no address that is in none. */
static void cover(void **state)
{
	uint64_t seed = 3;

	(void)state;
	for (unsigned int round = 0; round < 2000; round++) {
		struct vfm_range ranges[SPACE + 1];
		bool held[SPACE];
		size_t nr = random_ranges(&seed, ranges, false);
		uint64_t iova = test_random_below(&seed, SPACE);
		uint64_t size = test_random_below(&seed, VFM_MIN(SPACE - iova, 32) + 1);
		bool all = true;

		mark(held, ranges, nr);
		for (uint64_t i = iova; i < iova + size; i++)
			all &= held[i];
		if (nr > 1) {
			struct vfm_range first = ranges[0];

			ranges[0] = ranges[nr - 1];
			ranges[nr - 1] = first;
		}
		assert_int_equal(vfm_ranges_cover(ranges, nr, BASE + iova, size), all);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(join),
		cmocka_unit_test(fit),
		cmocka_unit_test(cover),
	};

	return RUN_TESTS(tests);
}
