// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The functions from which every byte of sim:dma follows. The device and the
 * public model both call them: there is one definition of what must be where.
 * Changing one of them changes what old images mean: raise the driver's version.
 */

#ifndef VFM_SIM_MODEL_H
#define VFM_SIM_MODEL_H

#include <vfmig/sim.h>

#define VFM_SIM_PAGE 4096u
#define VFM_SIM_SPAN_BLOCKS (VFM_SIM_SPAN / VFM_SIM_BLOCK)

/** Largest ring: what can be simulated in memory that a test machine has. */
#define VFM_SIM_RING_MAX (UINT64_C(1) << 40)

/** vfm_sim_mix() - a bijection of 64 bits that looks random (splitmix64's finish). */
static inline uint64_t vfm_sim_mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/** struct vfm_sim_plan - a ring, prepared for fast questions */
struct vfm_sim_plan {
	uint64_t key;
	uint64_t spans;
};

/** vfm_sim_ring_check() - whether iova and size make a ring: 0 or -EINVAL. */
int vfm_sim_ring_check(const struct vfm_sim_ring *ring, struct vfm_err *err) VFM_MUST_CHECK;

struct vfm_sim_plan vfm_sim_plan_of(const struct vfm_sim_ring *ring);

/** vfm_sim_plan_position() - as vfm_sim_position(). */
uint64_t vfm_sim_plan_position(const struct vfm_sim_plan *plan, uint64_t number);

/** vfm_sim_chain() - the chain value that write @number leaves where it found @before. */
uint64_t vfm_sim_chain(const struct vfm_sim_plan *plan, uint64_t number, uint64_t before);

/** vfm_sim_block() - the bytes of write @number. */
void vfm_sim_block(const struct vfm_sim_plan *plan, uint64_t number, uint64_t chain,
		   uint8_t block[VFM_SIM_BLOCK]);

/** Where the chain value stands in a block. */
#define VFM_SIM_BLOCK_CHAIN 8u

/** vfm_sim_state_page_of() - the page that change number @change, from 1, is made to. */
uint64_t vfm_sim_state_page_of(uint64_t seed, uint64_t pages, uint64_t change);

/** vfm_sim_state_page() - content of a page whose last change was @change, 0 for none. */
void vfm_sim_state_page(uint64_t seed, uint64_t page, uint64_t change, uint8_t buf[VFM_SIM_PAGE]);

#endif
