// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Chains of capabilities, which stand behind the fixed part of some answers, of a kernel
 * and of a vfio-user server alike; and what a region says in its own. Both are read as what
 * they are: bytes that somebody else has written.
 */

#ifndef VFM_DEVICE_CAPS_H
#define VFM_DEVICE_CAPS_H

#include <stddef.h>
#include <stdint.h>

#include <vfmig/device.h>

#include "base/bytes.h"

/**
 * struct vfm_caps - an answer
 * @bytes, @len: all of it; whose it is, says who asked
 * @fixed: of that, what stands before the first capability
 */
struct vfm_caps {
	uint8_t *bytes;
	size_t len;
	size_t fixed;
};

/**
 * vfm_cap_fn - take a capability in
 * @r: behind its head; what is read beyond the end of the answer makes it a damaged one
 *
 * One that is not known is none of anybody's business: return 0.
 */
typedef int vfm_cap_fn(void *user, uint16_t id, uint16_t version, struct vfm_reader *r,
		       struct vfm_err *err);

/**
 * vfm_caps_walk() - each one, from the offset that the fixed part names
 *
 * -EPROTO: it is damaged or does not end; else the first error of @fn.
 */
int vfm_caps_walk(const struct vfm_caps *caps, uint32_t offset, vfm_cap_fn *fn, void *user,
		  struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_region_cap() - of a region: its type, and the areas that can be mapped, in order
 * @user: the struct vfm_region, whose size is known
 *
 * Nothing can be mapped of a region that has areas and none in fact. -E2BIG: more areas than
 * are taken; -EPROTO: they overlap or leave the region.
 */
int vfm_region_cap(void *user, uint16_t id, uint16_t version, struct vfm_reader *r,
		   struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_region_aligned() - whether both are whole pages of ours. */
bool vfm_region_aligned(uint64_t a, uint64_t b);

/** vfm_region_keep_aligned() - drop areas that are not; without any left it cannot be mapped. */
void vfm_region_keep_aligned(struct vfm_region *region);

#endif
