// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Bitmaps that are read: what is set, and how much of it.
 *
 * A dirty log is large and nearly empty, 32 MiB for 1 TiB, so this is about words that hold
 * nothing of interest: a line of the cache is looked at as a whole, as vectors of the compiler's.
 * Vectors of 16 bytes are what every machine of ours has without asking; wider ones would not be
 * faster, for memory is the limit, and so there is no choice to be made at run time.
 *
 * Not a word is read that holds none of the bits asked about.
 */

#include "base/bitmap.h"

#include <string.h>

#include "base/util.h"

/* Words that are looked at together: a line of the cache. */
#define LINE 8u

typedef uint64_t pair __attribute__((vector_size(16)));

/* Words need not be aligned as a vector is. */
static inline pair load(const uint64_t *words)
{
	pair p;

	memcpy(&p, words, sizeof(p));
	return p;
}

static inline bool line_is(const uint64_t *line, uint64_t word)
{
	const pair same = { word, word };
	pair differ = (load(line) ^ same) | (load(line + 2) ^ same) | (load(line + 4) ^ same) |
		      (load(line + 6) ^ same);

	return !(differ[0] | differ[1]);
}

/* The first word at or after number @i that is another than @word; @words when there is none. */
static inline size_t skip_words(const uint64_t *map, size_t words, size_t i, uint64_t word)
{
	while (words - i >= LINE && line_is(map + i, word))
		i += LINE;
	while (i < words && map[i] == word)
		i++;
	return i;
}

/* @flip: 0 to look for a set bit, all ones to look for a clear one. */
static inline uint64_t next_bit(const uint64_t *map, uint64_t bits, uint64_t from, uint64_t flip)
{
	size_t i = (size_t)(from / 64), words = vfm_bitmap_words(bits);
	uint64_t word;

	if (from >= bits)
		return bits;
	word = (map[i] ^ flip) & (~UINT64_C(0) << (from % 64));
	if (!word) {
		i = skip_words(map, words, i + 1, flip);
		if (i == words)
			return bits;
		word = map[i] ^ flip;
	}
	from = (uint64_t)i * 64 + (uint64_t)__builtin_ctzll(word);
	return VFM_MIN(from, bits);
}

uint64_t vfm_bitmap_next_set(const uint64_t *map, uint64_t bits, uint64_t from)
{
	return next_bit(map, bits, from, 0);
}

uint64_t vfm_bitmap_next_clear(const uint64_t *map, uint64_t bits, uint64_t from)
{
	return next_bit(map, bits, from, ~UINT64_C(0));
}

/* ---- runs ---------------------------------------------------------------- */

/*
 * Where the next dirty page is cannot be foretold, and a branch that was foretold wrongly costs as
 * much as reading many lines. So the search looks at a block of lines without one, and then goes
 * from one that has a set bit to the next.
 */
#define BLOCK_LINES 64u
#define BLOCK (BLOCK_LINES * LINE)
#define LINE_BITS (LINE * 64u)
#define BLOCK_BITS (BLOCK * UINT64_C(64))

/* The highest bit of each half that has a bit set. */
static inline pair if_any(pair p)
{
	const pair top = { UINT64_C(1) << 63, UINT64_C(1) << 63 };

	return (p | -p) & top;
}

/* Bit n: line number n of the block has a set bit. */
static uint64_t lines_with_bits(const uint64_t *block)
{
	pair lines = { 0, 0 };

	for (const uint64_t *line = block; line < block + BLOCK; line += LINE)
		lines = lines >> 1 |
			if_any(load(line) | load(line + 2) | load(line + 4) | load(line + 6));
	return lines[0] | lines[1];
}

/* Bit n: word number n of the line has a set bit. */
static inline uint64_t words_with_bits(const uint64_t *line)
{
	pair words = if_any(load(line)) >> 6 | if_any(load(line + 2)) >> 4 |
		     if_any(load(line + 4)) >> 2 | if_any(load(line + 6));

	return words[0] >> 57 | words[1] >> 56;
}

/* From here on the walk goes by what is left of a word, of a line, and of a block. */
static void seek(struct vfm_bitmap_runs *r, uint64_t to)
{
	uint64_t blocks = r->bits / BLOCK_BITS, block = to / BLOCK_BITS;

	r->end = to;
	r->lines = r->words = r->rest = 0;
	if (block >= blocks) {
		r->next_block = blocks;
		return;
	}
	r->next_block = block + 1;
	r->line = to / LINE_BITS;
	r->word = to / 64;
	r->lines = lines_with_bits(r->map + block * BLOCK) & ~UINT64_C(1) << r->line % BLOCK_LINES;
	r->words = words_with_bits(r->map + r->line * LINE) & ~UINT64_C(1) << r->word % LINE;
	r->rest = r->map[r->word] & ~UINT64_C(0) << to % 64;
}

static inline bool next_line(struct vfm_bitmap_runs *r)
{
	while (!r->lines) {
		if (r->next_block >= r->bits / BLOCK_BITS)
			return false;
		r->lines = lines_with_bits(r->map + r->next_block * BLOCK);
		r->next_block++;
	}
	r->line = (r->next_block - 1) * BLOCK_LINES + (uint64_t)__builtin_ctzll(r->lines);
	r->lines &= r->lines - 1;
	r->words = words_with_bits(r->map + r->line * LINE);
	return true;
}

static inline bool next_word(struct vfm_bitmap_runs *r)
{
	while (!r->rest) {
		if (!r->words && !next_line(r))
			return false;
		if (!r->words)
			continue;
		r->word = r->line * LINE + (uint64_t)__builtin_ctzll(r->words);
		r->words &= r->words - 1;
		r->rest = r->map[r->word];
	}
	return true;
}

/* What is behind the last whole block. */
static bool next_in_tail(struct vfm_bitmap_runs *r)
{
	uint64_t from = r->bits - r->bits % BLOCK_BITS;

	r->first = next_bit(r->map, r->bits, VFM_MAX(from, r->end), 0);
	r->end = next_bit(r->map, r->bits, r->first, ~UINT64_C(0));
	return r->first < r->bits;
}

bool vfm_bitmap_next_run(struct vfm_bitmap_runs *r)
{
	uint64_t start, above;

	if (!next_word(r))
		return next_in_tail(r);
	start = r->word * 64;
	r->first = start + (uint64_t)__builtin_ctzll(r->rest);
	/* The carry goes through the lowest run, and becomes the bit behind it. */
	above = r->rest + (r->rest & -r->rest);
	if (!above) {
		seek(r, next_bit(r->map, r->bits, start + 64, ~UINT64_C(0)));
		return true;
	}
	r->rest &= above;
	r->end = start + (uint64_t)__builtin_ctzll(above);
	return true;
}

struct vfm_bitmap_runs vfm_bitmap_runs_of(const uint64_t *map, uint64_t bits, uint64_t from)
{
	struct vfm_bitmap_runs r = { .map = map, .bits = bits };

	seek(&r, from);
	return r;
}

/* ---- counting ------------------------------------------------------------ */

#define EACH(byte) (~UINT64_C(0) / 255 * (byte))

/* In each byte how many of its bits are set. */
static inline pair count_in_bytes(pair p)
{
	const pair ones = { EACH(0x55), EACH(0x55) };
	const pair twos = { EACH(0x33), EACH(0x33) };
	const pair fours = { EACH(0x0f), EACH(0x0f) };

	p -= (p >> 1) & ones;
	p = (p & twos) + ((p >> 2) & twos);
	return (p + (p >> 4)) & fours;
}

/* A byte has up to 8 in each of four pairs: 32. The sum of all is beyond what fits into one. */
static inline uint64_t count_line(const uint64_t *line)
{
	const uint64_t even = ~UINT64_C(0) / 0xffff * 0xff;
	pair bytes = count_in_bytes(load(line)) + count_in_bytes(load(line + 2)) +
		     count_in_bytes(load(line + 4)) + count_in_bytes(load(line + 6));
	uint64_t sum = bytes[0] + bytes[1];

	sum = (sum & even) + (sum >> 8 & even);
	return sum * (~UINT64_C(0) / 0xffff) >> 48;
}

static uint64_t count_block(const uint64_t *block)
{
	uint64_t sum = 0;

	for (uint64_t lines = lines_with_bits(block); lines; lines &= lines - 1)
		sum += count_line(block + (size_t)__builtin_ctzll(lines) * LINE);
	return sum;
}

uint64_t vfm_bitmap_count(const uint64_t *map, uint64_t bits)
{
	size_t i = 0, words = (size_t)(bits / 64);
	uint64_t sum = 0;

	for (; words - i >= BLOCK; i += BLOCK)
		sum += count_block(map + i);
	for (; words - i >= LINE; i += LINE)
		sum += count_line(map + i);
	for (; i < words; i++)
		sum += (uint64_t)__builtin_popcountll(map[i]);
	if (bits % 64)
		sum += (uint64_t)__builtin_popcountll(map[i] & ~(~UINT64_C(0) << bits % 64));
	return sum;
}
