// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A limit on the bytes that leave in a second, as a bucket: it fills at that rate
 * and holds little, and who takes more than there is waits before he takes again.
 * What was taken is settled when it has left, whatever it was compressed to.
 *
 * It knows no clock and does not wait. Both pieces and bucket are half of the
 * burst that is allowed, as a piece may leave just when the bucket is full.
 */

#include "engine/rate.h"

#include "base/util.h"

#define SECOND_NS UINT64_C(1000000000)

/* 25 ms each. */
#define PARTS 40

/* A page of memory is not divided. */
#define PIECE_MIN 4096

uint64_t vfm_bucket_piece(const struct vfm_bucket *b, uint64_t most)
{
	if (!b->rate)
		return most;
	return VFM_MIN(most, VFM_MAX(b->rate / PARTS, PIECE_MIN));
}

uint64_t vfm_bucket_wait(struct vfm_bucket *b, uint64_t now_ns)
{
	double passed = b->then_ns ? (double)(now_ns - b->then_ns) : 0;
	double rate = (double)b->rate;

	if (!b->rate)
		return 0;
	b->then_ns = now_ns;
	b->level = VFM_MIN(b->level + passed * rate / (double)SECOND_NS, rate / PARTS);
	if (b->level >= 0)
		return 0;
	/* rounded up: to come a moment too early would be to come twice */
	return (uint64_t)(-b->level * (double)SECOND_NS / rate) + 1;
}

void vfm_bucket_take(struct vfm_bucket *b, uint64_t bytes)
{
	if (b->rate)
		b->level -= (double)bytes;
}

void vfm_bucket_settle(struct vfm_bucket *b, uint64_t taken, uint64_t bytes)
{
	if (b->rate)
		b->level += (double)taken - (double)bytes;
}
