// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Devices of the kernel: what others may know of this folder. See docs/kernel-vfio.md. */

#ifndef VFM_KERNEL_KERNEL_H
#define VFM_KERNEL_KERNEL_H

#include <vfmig/device.h>

#include "kernel/sys.h"

/**
 * vfm_kernel_open() - open a device by what stands behind "vfio:" in its name
 * @sys: NULL for the real system; borrowed until the device is closed
 *
 * The device has the migration of v2 if its driver has; a driver of v1 has a region for it
 * instead, and the device cannot migrate by itself.
 *
 * -EINVAL: the name is wrong; -ENOENT: there is no such device; -ENODEV: there is, but
 * nothing of VFIO drives it; -EBUSY: it has another user, or is driven by something else;
 * -EACCES, -EPERM: no rights; -EOPNOTSUPP: this host cannot do it, for want of an IOMMU or
 * of a part of the kernel. The text says what to do about it where that is known.
 */
int vfm_kernel_open(struct vfm_device **out, const char *rest, const struct vfm_sys *sys,
		    struct vfm_err *err) VFM_MUST_CHECK;

#endif
