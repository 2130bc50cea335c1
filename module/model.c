// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * What the device writes, and where: pure functions, without a device or I/O. The words
 * are made by a bijection of 64 bits that looks random, over keys that differ by use.
 *
 * Surprise: sixteen writes in a row go to one span of 4096 bytes, so that a rate of
 * 1 MiB/s does not dirty 16 MiB/s of pages.
 */

#include "model.h"

#define PHI 0x9e3779b97f4a7c15ull

/* One number per use, so that the same seed gives unrelated streams. */
#define KEY_RING 0x72696e67ull
#define KEY_IOVA 0x696f7661ull
#define KEY_RUN 0x72756e00ull
#define KEY_CHAIN 0x63686169ull
#define KEY_PAGE 0x70616765ull
#define KEY_ORDER 0x6f726465ull
#define KEY_FILL 0x66696c6cull

static u64 mix(u64 x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* Word number @n of the stream that @key stands for. */
static u64 word_of(u64 key, u64 n)
{
	return mix(key + n * PHI);
}

/* Spread a random word over [0, n) without dividing. */
static u64 below(u64 word, u64 n)
{
	return (u64)(((unsigned __int128)word * n) >> 64);
}

bool vfms_ring_ok(const struct vfms_ring *ring)
{
	return ring->size && ring->size % VFMS_SPAN == 0 && ring->size <= VFMS_RING_MAX &&
	       ring->iova + ring->size - 1 >= ring->iova;
}

struct vfms_plan vfms_plan_of(const struct vfms_ring *ring)
{
	struct vfms_plan plan = {
		.key = mix(mix(ring->seed + KEY_RING) ^ mix(ring->iova + KEY_IOVA)),
		.spans = ring->size / VFMS_SPAN,
	};

	return plan;
}

u64 vfms_position(const struct vfms_plan *plan, u64 number)
{
	u64 run = (number - 1) / VFMS_SPAN_BLOCKS, n = (number - 1) % VFMS_SPAN_BLOCKS;
	u64 word = mix((plan->key ^ KEY_RUN) + run * PHI);
	/* an odd factor permutes the residues of 16; the high bits chose the span */
	u64 in_span = (n * (word << 1 | 1) + (word >> 4)) % VFMS_SPAN_BLOCKS;

	return below(word, plan->spans) * VFMS_SPAN_BLOCKS + in_span;
}

u64 vfms_chain(const struct vfms_plan *plan, u64 number, u64 before)
{
	return mix(before ^ word_of(plan->key ^ KEY_CHAIN, number));
}

void vfms_block(const struct vfms_plan *plan, u64 number, u64 chain, u8 block[VFMS_BLOCK])
{
	u64 key = word_of(plan->key, number);
	u32 i;

	put64(block, number);
	put64(block + VFMS_BLOCK_CHAIN, chain);
	for (i = 2; i < VFMS_BLOCK / 8; i++)
		put64(block + 8 * i, word_of(key, i));
}

u64 vfms_page_of(u64 seed, u64 pages, u64 change)
{
	return below(word_of(mix(seed + KEY_ORDER), change), pages);
}

void vfms_page(u64 seed, u64 page, u64 change, u8 buf[VFMS_PAGE])
{
	u64 key = word_of(word_of(mix(seed + KEY_PAGE), page), change);
	u32 i;

	for (i = 0; i < VFMS_PAGE / 8; i++)
		put64(buf + 8 * i, word_of(key, i));
}

void vfms_fill(u64 seed, u64 offset, u8 *buf, size_t len)
{
	u64 key = mix(seed + KEY_FILL);

	if (!seed) {
		memset(buf, 0, len);
		return;
	}
	while (len) {
		u64 word = word_of(key, offset / 8);
		size_t skip = offset % 8, n = len < 8 - skip ? len : 8 - skip;

		memcpy(buf, (u8 *)&word + skip, n);
		buf += n;
		offset += n;
		len -= n;
	}
}
