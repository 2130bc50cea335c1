// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Walks over runs and counts against a walk bit by bit. A map ends with its last word, at the end
 * of what was allocated for it, so that a sanitizer sees whoever reads behind that.
 */

#include "base/bitmap.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "random.h"
#include "test.h"

/* The walk is by lines of 512 bits in blocks of 64 lines, and something else behind the last. */
#define LINE 512u
#define BLOCK (64 * LINE)

static bool test_bit(const uint64_t *map, uint64_t bit)
{
	return map[bit / 64] >> (bit % 64) & 1;
}

/* From @from on; what is found must be what is there, and end with it. */
static void check_walk(const uint64_t *map, uint64_t bits, uint64_t from)
{
	struct vfm_bitmap_runs runs = vfm_bitmap_runs_of(map, bits, from);
	uint64_t at = from;

	for (;;) {
		bool found = vfm_bitmap_next_run(&runs);

		while (at < bits && !test_bit(map, at))
			at++;
		if (at >= bits)
			assert_false(found);
		assert_int_equal(runs.first, VFM_MIN(at, bits));
		while (at < bits && test_bit(map, at))
			at++;
		assert_int_equal(runs.end, VFM_MIN(at, bits));
		if (!found)
			break;
	}
	assert_true(at >= bits);
	/* It stays at its end. */
	assert_false(vfm_bitmap_next_run(&runs));
	assert_int_equal(runs.first, bits);
	assert_int_equal(runs.end, bits);
}

static void check_count(const uint64_t *map, uint64_t bits)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < bits; i++)
		sum += test_bit(map, i);
	assert_int_equal(vfm_bitmap_count(map, bits), sum);
}

static uint64_t *new_map(uint64_t bits)
{
	uint64_t *map = calloc(vfm_bitmap_words(bits), sizeof(*map));

	assert_non_null(map);
	return map;
}

/* All maps of a few bits, in every place of a word and across two, from every bit on. */
static void every_small_map(void **state)
{
	(void)state;
	for (uint64_t at = 0; at <= 64; at++)
		for (uint64_t value = 0; value < 1 << 7; value++) {
			uint64_t bits = at + 7, map[2] = { 0 };

			map[0] = at < 64 ? value << at : 0;
			map[1] = at == 64 ? value : at ? value >> (64 - at) : 0;
			for (uint64_t cut = at; cut <= bits; cut++)
				check_walk(map, cut, 0);
			for (uint64_t from = at ? at - 1 : 0; from <= bits + 1; from++)
				check_walk(map, bits, from);
			check_count(map, bits);
		}
}

/* Lengths about the ends of words, lines and blocks. */
static const uint64_t lengths[] = {
	0,
	1,
	63,
	64,
	65,
	LINE - 1,
	LINE,
	LINE + 1,
	2 * LINE,
	BLOCK - 1,
	BLOCK,
	BLOCK + 1,
	BLOCK + 64,
	BLOCK + LINE,
	2 * BLOCK,
	2 * BLOCK + 7 * LINE + 65,
	3 * BLOCK - 63,
};

/* One run between every two such places, or all but that. */
static void every_border(void **state)
{
	(void)state;
	for (size_t n = 0; n < VFM_ARRAY_SIZE(lengths); n++)
		for (size_t first = 0; first <= n; first++)
			for (size_t end = first; end <= n; end++) {
				uint64_t bits = lengths[n], *map = new_map(bits);
				uint64_t from = lengths[first], to = lengths[end];

				vfm_bitmap_set_range(map, from, to - from);
				check_walk(map, bits, 0);
				check_walk(map, bits, from + (to - from) / 2);
				check_count(map, bits);
				for (size_t i = 0; i < vfm_bitmap_words(bits); i++)
					map[i] = ~map[i];
				check_walk(map, bits, 0);
				check_walk(map, bits, from + (to - from) / 2);
				check_count(map, bits);
				free(map);
			}
}

/* One bit alone, at each place of more than two blocks: nothing may be passed over. */
static void every_single_bit(void **state)
{
	uint64_t bits = 2 * BLOCK + LINE + 65, *map = new_map(bits);

	(void)state;
	for (uint64_t bit = 0; bit < bits; bit++) {
		struct vfm_bitmap_runs runs;

		vfm_bitmap_set(map, bit);
		runs = vfm_bitmap_runs_of(map, bits, bit % 3 ? bit - bit % 3 : 0);
		assert_true(vfm_bitmap_next_run(&runs));
		assert_int_equal(runs.first, bit);
		assert_int_equal(runs.end, bit + 1);
		assert_false(vfm_bitmap_next_run(&runs));
		assert_int_equal(vfm_bitmap_count(map, bits), 1);
		vfm_bitmap_clear(map, bit);
	}
	free(map);
}

/* Runs and gaps of up to 2^@grade bits, from single ones to whole blocks. */
static void fill(uint64_t *map, uint64_t bits, unsigned int grade, uint64_t *seed)
{
	uint64_t at = 0;

	while (at < bits) {
		uint64_t gap =
			test_random_below(seed, UINT64_C(1) << test_random_below(seed, grade));
		uint64_t run =
			test_random_below(seed, UINT64_C(1) << test_random_below(seed, grade));

		at = VFM_MIN(at + gap, bits);
		run = VFM_MIN(run + 1, bits - at);
		vfm_bitmap_set_range(map, at, run);
		at += run;
	}
}

static void random_maps(void **state)
{
	uint64_t seed = 5;

	(void)state;
	for (unsigned int i = 0; i < 600; i++) {
		uint64_t bits = test_random_below(&seed, 4 * BLOCK);
		uint64_t *map = new_map(bits);

		fill(map, bits, 1 + i % 17, &seed);
		check_walk(map, bits, 0);
		check_walk(map, bits, test_random_below(&seed, bits + 70));
		check_count(map, bits);
		free(map);
	}
}

/* Who sends pages clears them as they go: what lies behind the walk does not matter to it. */
static void cleared_behind_the_walk(void **state)
{
	uint64_t seed = 6;

	(void)state;
	for (unsigned int i = 0; i < 100; i++) {
		uint64_t bits = test_random_below(&seed, 3 * BLOCK), sum = 0, all;
		uint64_t *map = new_map(bits);
		struct vfm_bitmap_runs runs;

		fill(map, bits, 1 + i % 17, &seed);
		all = vfm_bitmap_count(map, bits);
		runs = vfm_bitmap_runs_of(map, bits, 0);
		while (vfm_bitmap_next_run(&runs)) {
			sum += runs.end - runs.first;
			vfm_bitmap_clear_range(map, 0, runs.end);
		}
		assert_int_equal(sum, all);
		assert_int_equal(vfm_bitmap_count(map, bits), 0);
		free(map);
	}
}

/* A count of all bits that there can be in a line does not fit into a byte. */
static void full_maps(void **state)
{
	(void)state;
	for (uint64_t bits = 0; bits <= 2 * BLOCK + LINE; bits += 61) {
		struct vfm_bitmap_runs runs;
		uint64_t *map = new_map(bits);

		vfm_bitmap_set_range(map, 0, bits);
		assert_int_equal(vfm_bitmap_count(map, bits), bits);
		runs = vfm_bitmap_runs_of(map, bits, 0);
		assert_int_equal(vfm_bitmap_next_run(&runs), bits > 0);
		assert_int_equal(runs.end, bits);
		assert_false(vfm_bitmap_next_run(&runs));
		free(map);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_small_map),	   cmocka_unit_test(every_border),
		cmocka_unit_test(every_single_bit),	   cmocka_unit_test(random_maps),
		cmocka_unit_test(cleared_behind_the_walk), cmocka_unit_test(full_maps),
	};

	return RUN_TESTS(tests);
}
