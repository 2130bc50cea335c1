// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* What may stand behind "vfio:" in the name of a device, as text. Nothing is looked up. */

#ifndef VFM_KERNEL_NAME_H
#define VFM_KERNEL_NAME_H

#include <stdbool.h>
#include <stdint.h>

#include <vfmig/error.h>

/** Longest name of a device, a driver or a group, and longest path, with the zero. */
#define VFM_KERNEL_WORD 64
#define VFM_KERNEL_PATH 256

/** How a device is named. */
enum vfm_kernel_kind {
	VFM_KERNEL_PCI,	 /* by its address */
	VFM_KERNEL_MDEV, /* by its UUID */
	VFM_KERNEL_FILE, /* by the file of its group, or its own */
	VFM_KERNEL_FD,	 /* it is open already */
};

/** Which of the two ways to it is to be taken. */
enum vfm_kernel_way { VFM_KERNEL_ANY, VFM_KERNEL_GROUP, VFM_KERNEL_CDEV };

/**
 * struct vfm_kernel_name - a name, understood
 * @text: the address (with its domain, in lower case), the UUID, the path; "" for a descriptor
 * @device: which one of a group, "" if there is but one
 * @token: that of a virtual function whose physical one wants it, "" for none
 * @fd, @container, @iommufd: descriptors of somebody else's, -1 for none
 * @ioas: the address space in @iommufd that the device is attached to, 0: none was named
 * @reset: begin with a reset
 * @timeout_ms: how long the device may let us wait for data, 0: for ever
 */
struct vfm_kernel_name {
	enum vfm_kernel_kind kind;
	enum vfm_kernel_way way;
	char text[VFM_KERNEL_PATH];
	char device[VFM_KERNEL_WORD];
	char token[VFM_KERNEL_WORD];
	int fd;
	int container;
	int iommufd;
	uint32_t ioas;
	bool reset;
	unsigned int timeout_ms;
};

/** vfm_kernel_parse_name() - -EINVAL: the text says what is wrong and what there is. */
int vfm_kernel_parse_name(struct vfm_kernel_name *name, const char *rest,
			  struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_kernel_is_uuid() - 8-4-4-4-12 hexadecimal digits, and nothing behind them. */
bool vfm_kernel_is_uuid(const char *text);

#endif
