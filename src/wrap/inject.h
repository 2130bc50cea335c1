// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* A device that fails, is short or is late by a schedule: at the n-th call. */

#ifndef VFM_WRAP_INJECT_H
#define VFM_WRAP_INJECT_H

#include <vfmig/device.h>

/** Longest text of a schedule, "N" or "N:OPERATION". */
#define VFM_SCHEDULE_TEXT 48

/**
 * struct vfm_inject_params - as they stand in a URI; "" is none
 * @fail: that call fails with @code, and the device behind is not asked
 * @shorten: that call of read_data or read_chunk gets half of the room, at least one byte
 * @late: that call is made @ms milliseconds later
 * @code: name of an errno value, or its number; "" is EIO
 */
struct vfm_inject_params {
	char fail[VFM_SCHEDULE_TEXT], shorten[VFM_SCHEDULE_TEXT], late[VFM_SCHEDULE_TEXT];
	char code[24];
	uint64_t ms;
};

/** vfm_inject_open() - takes @inner on success. -EINVAL: a schedule that makes no sense. */
int vfm_inject_open(struct vfm_device **out, struct vfm_device *inner,
		    const struct vfm_inject_params *params, struct vfm_err *err) VFM_MUST_CHECK;

#endif
