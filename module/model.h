/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (c) vfmig authors */

/*
 * The functions from which every byte of the device follows: what the ring writes and
 * where, what a page of the state holds, what a job fills memory with. They must give
 * what src/sim/model.c gives, and tests/ compares the two.
 */

#ifndef VFMS_MODEL_H
#define VFMS_MODEL_H

#include "portable.h"

#define VFMS_PAGE 4096u
#define VFMS_BLOCK 256u
#define VFMS_SPAN 4096u
#define VFMS_SPAN_BLOCKS (VFMS_SPAN / VFMS_BLOCK)
#define VFMS_RING_MAX (1ull << 40)

/* Where the chain value stands in a block. */
#define VFMS_BLOCK_CHAIN 8u

struct vfms_ring {
	u64 iova;
	u64 size;
	u64 seed;
};

/** struct vfms_plan - a ring, prepared for fast questions */
struct vfms_plan {
	u64 key;
	u64 spans;
};

/** vfms_ring_ok() - whether iova and size make a ring. */
bool vfms_ring_ok(const struct vfms_ring *ring);

struct vfms_plan vfms_plan_of(const struct vfms_ring *ring);

/** vfms_position() - the block, counted from the ring's start, that write @number goes to. */
u64 vfms_position(const struct vfms_plan *plan, u64 number);

/** vfms_chain() - the chain value that write @number leaves where it found @before. */
u64 vfms_chain(const struct vfms_plan *plan, u64 number, u64 before);

/** vfms_block() - the bytes of write @number. */
void vfms_block(const struct vfms_plan *plan, u64 number, u64 chain, u8 block[VFMS_BLOCK]);

/** vfms_page_of() - the page of the state that change number @change, from 1, is made to. */
u64 vfms_page_of(u64 seed, u64 pages, u64 change);

/** vfms_page() - content of a page whose last change was @change, 0 for none. */
void vfms_page(u64 seed, u64 page, u64 change, u8 buf[VFMS_PAGE]);

/** vfms_fill() - what a fill job writes, from byte @offset of it on; seed 0: zeros. */
void vfms_fill(u64 seed, u64 offset, u8 *buf, size_t len);

#endif
