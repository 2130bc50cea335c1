// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Bitmaps that change. Reading them is bitmap_scan.c's. */

#include "base/bitmap.h"

#include <string.h>

#include "base/util.h"

/* The @count (1 to 64) lowest bits. */
static uint64_t low_bits(uint64_t count)
{
	return ~UINT64_C(0) >> (64 - count);
}

/* Make bits of one word as @set says. */
static void fill_bits(uint64_t *word, uint64_t at, uint64_t n, bool set)
{
	uint64_t mask = low_bits(n) << at;

	*word = set ? *word | mask : *word & ~mask;
}

static void fill(uint64_t *map, uint64_t first, uint64_t count, bool set)
{
	uint64_t *word = map + first / 64;
	uint64_t head = VFM_MIN(count, (64 - first % 64) % 64);

	if (head) {
		fill_bits(word++, first % 64, head, set);
		count -= head;
	}
	if (count >= 64)
		memset(word, set ? 0xff : 0, (size_t)(count / 64) * sizeof(*word));
	if (count % 64)
		fill_bits(word + count / 64, 0, count % 64, set);
}

void vfm_bitmap_set_range(uint64_t *map, uint64_t first, uint64_t count)
{
	fill(map, first, count, true);
}

void vfm_bitmap_clear_range(uint64_t *map, uint64_t first, uint64_t count)
{
	fill(map, first, count, false);
}

/* Take the bits [at, at + n) of one word. */
static uint64_t take_bits(uint64_t *word, uint64_t at, uint64_t n)
{
	uint64_t mask = low_bits(n) << at;
	uint64_t taken = *word & mask;

	*word &= ~mask;
	return taken >> at;
}

/* Words that are looked at together: a line of the cache. */
#define LINE 8u

static bool line_is_clear(const uint64_t *line)
{
	uint64_t any = 0;

	for (unsigned int i = 0; i < LINE; i++)
		any |= line[i];
	return !any;
}

static void move_some(uint64_t *restrict to, uint64_t *restrict from, uint64_t words)
{
	for (uint64_t i = 0; i < words; i++) {
		to[i] |= from[i];
		from[i] = 0;
	}
}

/* The common case: both begin at a word. Most of a dirty log is clear, and not written to. */
static void move_words(uint64_t *to, uint64_t *from, uint64_t words)
{
	uint64_t i;

	for (i = 0; words - i >= LINE; i += LINE)
		if (!line_is_clear(from + i))
			move_some(to + i, from + i, LINE);
	move_some(to + i, from + i, words - i);
}

void vfm_bitmap_move(uint64_t *to, uint64_t to_first, uint64_t *from, uint64_t from_first,
		     uint64_t count)
{
	if (to_first % 64 == 0 && from_first % 64 == 0) {
		uint64_t words = count / 64;

		move_words(to + to_first / 64, from + from_first / 64, words);
		to_first += words * 64;
		from_first += words * 64;
		count -= words * 64;
	}
	while (count) {
		uint64_t room = 64 - VFM_MAX(to_first % 64, from_first % 64);
		uint64_t n = VFM_MIN(count, room);
		uint64_t *source = &from[from_first / 64];

		if (*source)
			to[to_first / 64] |= take_bits(source, from_first % 64, n)
					     << (to_first % 64);
		to_first += n;
		from_first += n;
		count -= n;
	}
}
