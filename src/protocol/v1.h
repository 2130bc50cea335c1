// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Protocol v1 as tables: those that are not public. */

#ifndef VFM_PROTOCOL_V1_H
#define VFM_PROTOCOL_V1_H

#include <stddef.h>

#include <vfmig/v1.h>

/** Most writes of device_state that lead from one state of v2 to another. */
#define VFM_V1_PATH_MAX 2

/** struct vfm_v1_path - states to be written, one after another */
struct vfm_v1_path {
	size_t length;
	struct vfm_v1_state steps[VFM_V1_PATH_MAX];
};

/**
 * vfm_v1_path() - how a device that has v1 is brought from one state of v2 to another
 *
 * Arrows of the specification first, then those that clients in the field take. A
 * path runs the device only where that of v2 would.
 *
 * Return: -EINVAL: no state, one that v1 does not have, or there is no way (as in v2).
 */
int vfm_v1_path(enum vfm_state from, enum vfm_state to, struct vfm_v1_path *path);

#endif
