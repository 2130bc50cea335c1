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

/** vfm_bitmap_set_range() - @count bits from @first. */
void vfm_bitmap_set_range(uint64_t *map, uint64_t first, uint64_t count);

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
 * vfm_bitmap_move() - take @count bits out of @from and add them to @to
 *
 * Bits of @to are set, never cleared; those of @from end up clear. Works by
 * whole words whatever the two positions are.
 */
void vfm_bitmap_move(uint64_t *to, uint64_t to_first, uint64_t *from, uint64_t from_first,
		     uint64_t count);

#endif
