// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Protocol v1, the migration region: numbers, layout and predicates. The whole of
 * it in words is docs/protocol-v1.md.
 *
 * All names are our own, so that this header stands beside every <linux/vfio.h>,
 * before and after it: those from before Linux 5.18 give these things names that
 * later ones give to the states of v2, with other values.
 *
 * A state of v1 is a struct, and no number: the same numbers mean other things in v2,
 * and so the compiler refuses the one where the other belongs.
 */

#ifndef VFMIG_V1_H
#define VFMIG_V1_H

#include <stdbool.h>
#include <stdint.h>

#include <vfmig/state.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Type and subtype in the capability of the region by which it is found. */
#define VFM_V1_REGION_TYPE 3u
#define VFM_V1_REGION_SUBTYPE 1u

/**
 * struct vfm_v1_registers - what stands at the start of the region
 * @device_state: 32 bits, rw: a struct vfm_v1_state
 * @reserved: reads as zero, writes are ignored
 * @pending_bytes: ro: begins an iteration, and acknowledges the one before
 * @data_offset: ro: where in the region the data is, or goes to; never 0
 * @data_size: rw: bytes that are there (saving), that have been put there (resuming)
 *
 * Each is read and written alone, whole and at its own place; these structs only
 * tell where that is.
 */
struct vfm_v1_registers {
	uint32_t device_state;
	uint32_t reserved;
	uint64_t pending_bytes;
	uint64_t data_offset;
	uint64_t data_size;
};

/* Offsets of the registers, and of what may follow them. */
#define VFM_V1_DEVICE_STATE 0u
#define VFM_V1_RESERVED 4u
#define VFM_V1_PENDING_BYTES 8u
#define VFM_V1_DATA_OFFSET 16u
#define VFM_V1_DATA_SIZE 24u
#define VFM_V1_REGISTERS_END 32u

/* Bits of device_state; those above VFM_V1_MASK are reserved and must be preserved. */
#define VFM_V1_RUNNING (UINT32_C(1) << 0)
#define VFM_V1_SAVING (UINT32_C(1) << 1)
#define VFM_V1_RESUMING (UINT32_C(1) << 2)
#define VFM_V1_MASK (VFM_V1_RUNNING | VFM_V1_SAVING | VFM_V1_RESUMING)

/** struct vfm_v1_state - the value of device_state, with its reserved bits */
struct vfm_v1_state {
	uint32_t word;
};

/** vfm_v1_state_of() - the state that a word stands for. */
static inline struct vfm_v1_state vfm_v1_state_of(uint32_t word)
{
	struct vfm_v1_state state;

	state.word = word;
	return state;
}

#define VFM_V1_STATE_STOP vfm_v1_state_of(0)
#define VFM_V1_STATE_RUNNING vfm_v1_state_of(VFM_V1_RUNNING)
#define VFM_V1_STATE_STOP_COPY vfm_v1_state_of(VFM_V1_SAVING)
#define VFM_V1_STATE_PRE_COPY vfm_v1_state_of(VFM_V1_SAVING | VFM_V1_RUNNING)
#define VFM_V1_STATE_RESUMING vfm_v1_state_of(VFM_V1_RESUMING)
#define VFM_V1_STATE_ERROR vfm_v1_state_of(VFM_V1_RESUMING | VFM_V1_SAVING)

/** vfm_v1_bits() - the bits that mean something, 0 to 7. */
static inline uint32_t vfm_v1_bits(struct vfm_v1_state state)
{
	return state.word & VFM_V1_MASK;
}

/** vfm_v1_modify() - @bits instead of those that @state has, its reserved ones preserved. */
static inline struct vfm_v1_state vfm_v1_modify(struct vfm_v1_state state, uint32_t bits)
{
	return vfm_v1_state_of((state.word & ~VFM_V1_MASK) | (bits & VFM_V1_MASK));
}

/** vfm_v1_is_valid() - a user may ask for it: RESUMING stands alone, reserved bits do not count. */
static inline bool vfm_v1_is_valid(struct vfm_v1_state state)
{
	return !(state.word & VFM_V1_RESUMING) || vfm_v1_bits(state) == VFM_V1_RESUMING;
}

/** vfm_v1_is_error() - what a device says that must be reset. */
static inline bool vfm_v1_is_error(struct vfm_v1_state state)
{
	return vfm_v1_bits(state) == (VFM_V1_SAVING | VFM_V1_RESUMING);
}

/** vfm_v1_set_error() - ERROR, with the reserved bits of @state. */
static inline struct vfm_v1_state vfm_v1_set_error(struct vfm_v1_state state)
{
	return vfm_v1_modify(state, VFM_V1_SAVING | VFM_V1_RESUMING);
}

/**
 * enum vfm_section - how the data section of the migration region is reached
 * @VFM_SECTION_TRAPPED: by reads and writes of the region alone
 * @VFM_SECTION_MMAP: all of it can be mapped, too
 * @VFM_SECTION_SPARSE: its first half can be mapped, too
 */
enum vfm_section { VFM_SECTION_TRAPPED, VFM_SECTION_MMAP, VFM_SECTION_SPARSE };

/** vfm_v1_state_name() - "PRE_COPY" and so on, by the bits; "invalid" for 5 and 7. */
const char *vfm_v1_state_name(struct vfm_v1_state state);

/**
 * vfm_v1_to_v2() - the state of v2 that means the same
 *
 * Return: -EINVAL for the two combinations that are no state.
 */
int vfm_v1_to_v2(struct vfm_v1_state v1, enum vfm_state *v2);

/**
 * vfm_v1_from_v2() - the state of v1 that shows a state of v2
 *
 * v1 has no P2P: RUNNING_P2P shows as RUNNING, PRE_COPY_P2P as PRE_COPY. A value
 * that is no state of v2 shows as ERROR.
 */
struct vfm_v1_state vfm_v1_from_v2(enum vfm_state v2);

/**
 * enum vfm_v1_arc - what there is to say of a write of device_state
 * @VFM_V1_ARC_REFUSED: it fails and changes nothing: with EINVAL, in ERROR with EIO
 * @VFM_V1_ARC_SAME: the state that it has: succeeds and does nothing
 * @VFM_V1_ARC_DRAWN: an arrow of the specification
 * @VFM_V1_ARC_ISSUED: none of its arrows, but clients in the field take it: a user
 *	that goes on after a save or a cancelled one, a source that was paused
 * @VFM_V1_ARC_OURS: neither, but a user with the semantics of v2 needs it
 */
enum vfm_v1_arc {
	VFM_V1_ARC_REFUSED,
	VFM_V1_ARC_SAME,
	VFM_V1_ARC_DRAWN,
	VFM_V1_ARC_ISSUED,
	VFM_V1_ARC_OURS,
};

/** vfm_v1_arc() - from one state to another; reserved bits of both are ignored. */
enum vfm_v1_arc vfm_v1_arc(struct vfm_v1_state from, struct vfm_v1_state to);

#ifdef __cplusplus
}
#endif

#endif
