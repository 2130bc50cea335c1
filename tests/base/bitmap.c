// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Bitmaps against a model of one byte for each bit. */

#include "base/bitmap.h"

#include <string.h>

#include "base/util.h"
#include "random.h"
#include "test.h"

#define WORDS 6
#define BITS (WORDS * 64)

/* Words that are mixed, all zero and all ones: the last two take short cuts. */
static void fill(uint64_t map[WORDS], bool model[BITS], uint64_t *seed)
{
	for (size_t i = 0; i < WORDS; i++)
		switch (test_random_below(seed, 4)) {
		case 0:
			map[i] = 0;
			break;
		case 1:
			map[i] = ~UINT64_C(0);
			break;
		default:
			map[i] = test_random(seed) & test_random(seed);
		}
	for (size_t i = 0; i < BITS; i++)
		model[i] = map[i / 64] >> (i % 64) & 1;
}

static void assert_same(const uint64_t map[WORDS], const bool model[BITS])
{
	for (size_t i = 0; i < WORDS; i++) {
		uint64_t word = 0;

		for (size_t bit = 0; bit < 64; bit++)
			word |= (uint64_t)model[i * 64 + bit] << bit;
		assert_int_equal(map[i], word);
	}
}

static void single_bits(void **state)
{
	uint64_t map[WORDS], seed = 1;
	bool model[BITS];

	(void)state;
	fill(map, model, &seed);
	for (size_t i = 0; i < 4 * BITS; i++) {
		uint64_t bit = test_random_below(&seed, BITS);

		assert_int_equal(vfm_bitmap_test(map, bit), model[bit]);
		model[bit] = test_random(&seed) & 1;
		if (model[bit])
			vfm_bitmap_set(map, bit);
		else
			vfm_bitmap_clear(map, bit);
		assert_same(map, model);
	}
}

static void words_for_bits(void **state)
{
	(void)state;
	assert_int_equal(vfm_bitmap_words(0), 0);
	assert_int_equal(vfm_bitmap_words(1), 1);
	assert_int_equal(vfm_bitmap_words(64), 1);
	assert_int_equal(vfm_bitmap_words(65), 2);
	assert_int_equal(vfm_bitmap_words(UINT64_MAX), UINT64_C(1) << 58);
}

static void ranges_at_every_place(void **state)
{
	uint64_t seed = 2;

	(void)state;
	for (uint64_t first = 0; first <= BITS; first++)
		for (uint64_t count = 0; count <= BITS - first; count += 1 + first % 5) {
			uint64_t map[WORDS];
			bool model[BITS];

			fill(map, model, &seed);
			vfm_bitmap_set_range(map, first, count);
			memset(model + first, true, count);
			assert_same(map, model);
			fill(map, model, &seed);
			vfm_bitmap_clear_range(map, first, count);
			memset(model + first, false, count);
			assert_same(map, model);
		}
}

/* Scan every prefix of a map from every place, in one go from the back. */
static void check_scans(const uint64_t map[WORDS], const bool model[BITS], uint64_t bits)
{
	uint64_t set = bits, clear = bits, count = 0;

	assert_int_equal(vfm_bitmap_next_set(map, bits, bits + 1), bits);
	assert_int_equal(vfm_bitmap_next_set(map, bits, UINT64_MAX), bits);
	for (uint64_t from = bits; from-- > 0;) {
		if (model[from])
			set = from;
		else
			clear = from;
		count += model[from];
		assert_int_equal(vfm_bitmap_next_set(map, bits, from), set);
		assert_int_equal(vfm_bitmap_next_clear(map, bits, from), clear);
	}
	assert_int_equal(vfm_bitmap_next_set(map, bits, bits), bits);
	assert_int_equal(vfm_bitmap_next_clear(map, bits, bits), bits);
	assert_int_equal(vfm_bitmap_count(map, bits), count);
}

static void scans_of_every_length(void **state)
{
	uint64_t seed = 3;

	(void)state;
	for (uint64_t bits = 0; bits <= BITS; bits++) {
		uint64_t map[WORDS];
		bool model[BITS];

		fill(map, model, &seed);
		check_scans(map, model, bits);
	}
}

/* The words beyond the last bit are not ours to read: a sanitizer watches this one. */
static void scans_end_with_the_last_word(void **state)
{
	const uint64_t zero = 0, ones = ~UINT64_C(0);

	(void)state;
	assert_int_equal(vfm_bitmap_next_set(&zero, 64, 0), 64);
	assert_int_equal(vfm_bitmap_next_set(&zero, 64, 63), 64);
	assert_int_equal(vfm_bitmap_next_clear(&ones, 64, 0), 64);
	assert_int_equal(vfm_bitmap_count(&ones, 64), 64);
	assert_int_equal(vfm_bitmap_next_set(NULL, 0, 0), 0);
	assert_int_equal(vfm_bitmap_count(NULL, 0), 0);
}

static void check_move(uint64_t to_first, uint64_t from_first, uint64_t count, uint64_t *seed)
{
	uint64_t to[WORDS], from[WORDS];
	bool to_model[BITS], from_model[BITS];

	fill(to, to_model, seed);
	fill(from, from_model, seed);
	vfm_bitmap_move(to, to_first, from, from_first, count);
	for (uint64_t i = 0; i < count; i++) {
		to_model[to_first + i] |= from_model[from_first + i];
		from_model[from_first + i] = false;
	}
	assert_same(to, to_model);
	assert_same(from, from_model);
}

static void moves_at_every_alignment(void **state)
{
	static const uint64_t counts[] = { 0, 1, 2, 63, 64, 65, 129, 255 };
	uint64_t seed = 4;

	(void)state;
	for (uint64_t to = 0; to < 64; to++)
		for (uint64_t from = 0; from < 64; from++)
			check_move(64 + to, from,
				   counts[test_random_below(&seed, VFM_ARRAY_SIZE(counts))], &seed);
	for (uint64_t shift = 0; shift < 64; shift++)
		for (size_t i = 0; i < VFM_ARRAY_SIZE(counts); i++) {
			check_move(shift, 0, counts[i], &seed);
			check_move(0, shift, counts[i], &seed);
			check_move(63, shift, counts[i], &seed);
		}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(single_bits),
		cmocka_unit_test(words_for_bits),
		cmocka_unit_test(ranges_at_every_place),
		cmocka_unit_test(scans_of_every_length),
		cmocka_unit_test(scans_end_with_the_last_word),
		cmocka_unit_test(moves_at_every_alignment),
	};

	return RUN_TESTS(tests);
}
