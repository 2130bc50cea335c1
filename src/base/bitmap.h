// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Bits in words of 64, lowest first, as the kernel's dirty bitmaps have them.
 * The caller knows the length; nothing here allocates.
 */

#ifndef VFM_BASE_BITMAP_H
#define VFM_BASE_BITMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t vfm_bitmap_words(uint64_t bits)
{
	return (size_t)(bits / 64 + (bits % 64 != 0));
}

static inline void vfm_bitmap_set(uint64_t *map, uint64_t bit)
{
	map[bit / 64] |= UINT64_C(1) << (bit % 64);
}

static inline void vfm_bitmap_clear(uint64_t *map, uint64_t bit)
{
	map[bit / 64] &= ~(UINT64_C(1) << (bit % 64));
}

static inline bool vfm_bitmap_test(const uint64_t *map, uint64_t bit)
{
	return map[bit / 64] >> (bit % 64) & 1;
}

/** vfm_bitmap_set_range(), vfm_bitmap_clear_range() - @count bits from @first. */
void vfm_bitmap_set_range(uint64_t *map, uint64_t first, uint64_t count);
void vfm_bitmap_clear_range(uint64_t *map, uint64_t first, uint64_t count);

/** vfm_bitmap_count() - bits set among the first @bits. */
uint64_t vfm_bitmap_count(const uint64_t *map, uint64_t bits);

/**
 * vfm_bitmap_next() - the first bit at or after @from that is set (or clear)
 *
 * Return: its number, or @bits when there is none.
 */
uint64_t vfm_bitmap_next_set(const uint64_t *map, uint64_t bits, uint64_t from);
uint64_t vfm_bitmap_next_clear(const uint64_t *map, uint64_t bits, uint64_t from);

/**
 * struct vfm_bitmap_runs - a walk over runs of set bits
 * @first, @end: the last one found is from @first up to, and without, @end
 *
 * The rest is the walk's own: @next_block is looked at next; lines of the block before that,
 * words of line @line and bits of word @word that hold what is to come.
 */
struct vfm_bitmap_runs {
	uint64_t first;
	uint64_t end;
	const uint64_t *map;
	uint64_t bits;
	uint64_t next_block;
	uint64_t lines;
	uint64_t line;
	uint64_t words;
	uint64_t word;
	uint64_t rest;
};

/** vfm_bitmap_runs_of() - among the first @bits of @map, which is borrowed, from bit @from on. */
struct vfm_bitmap_runs vfm_bitmap_runs_of(const uint64_t *map, uint64_t bits, uint64_t from);

/**
 * vfm_bitmap_next_run() - find the next one
 *
 * Runs are as long as they can be: there is a clear bit between two of them. Bits before @end may
 * be changed between two calls. What is changed behind it may be found as it was or as it is.
 *
 * Return: false when there is none; @first and @end are both @bits then.
 */
bool vfm_bitmap_next_run(struct vfm_bitmap_runs *r);

/**
 * vfm_bitmap_move() - take @count bits out of @from and add them to @to
 *
 * Bits of @to are set, never cleared; those of @from end up clear. Works by
 * whole words whatever the two positions are.
 */
void vfm_bitmap_move(uint64_t *to, uint64_t to_first, uint64_t *from, uint64_t from_first,
		     uint64_t count);

#endif
