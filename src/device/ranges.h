// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Ranges of addresses in an array, none of which wraps. Making fewer of them, if they are sorted:
 * what is joined covers all that its parts did, and what lay in between.
 */

#ifndef VFM_DEVICE_RANGES_H
#define VFM_DEVICE_RANGES_H

#include <stddef.h>

#include <vfmig/device.h>

/** vfm_ranges_join() - those that touch or overlap; returns how many are left. */
size_t vfm_ranges_join(struct vfm_range *ranges, size_t nr) VFM_MUST_CHECK;

/**
 * vfm_ranges_fit() - join those with the smallest gaps until @max or fewer are left
 * @nr: in and out: how many
 * @max: 1 or more
 *
 * Gaps of one size are all joined or none, so fewer than @max may be left. -ENOMEM.
 */
int vfm_ranges_fit(struct vfm_range *ranges, size_t *nr, size_t max) VFM_MUST_CHECK;

/** vfm_ranges_cover() - whether all of [@iova, @iova + @size) lies in some of them, in any order.
 */
bool vfm_ranges_cover(const struct vfm_range *ranges, size_t nr, uint64_t iova,
		      uint64_t size) VFM_MUST_CHECK;

#endif
