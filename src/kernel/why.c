// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What the kernel's codes mean in the place where they came up, for people. A code that is
 * EINVAL to the kernel is not the fault of the name that the user gave, so it leaves here
 * as another.
 */

#include "kernel/impl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

int vfm_kernel_fail(struct vfm_err *err, int code, const char *fmt, ...)
{
	char what[VFM_ERR_TEXT];
	va_list args;
	int ret = code == -ENODEV ? -ENOTCONN : code == -ENOMSG ? -EIO : code;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	if (code == -ENODEV)
		return vfm_fail(err, ret, "%s: the device is gone", what);
	return vfm_fail(err, ret, "%s: %s", what, strerror(-code));
}

int vfm_kernel_map_failed(int code, const char *by, struct vfm_err *err)
{
	switch (code) {
	case -EEXIST:
		return vfm_fail(err, code, "a part of it is mapped");
	case -ENOSPC:
		return vfm_fail(err, code, "the %s takes no more ranges", by);
	case -ENOMEM:
		return vfm_fail(err, code,
				"no memory, or more than this process may lock (ulimit -l)");
	case -EFAULT:
		return vfm_fail(err, code, "the memory cannot be pinned");
	default:
		return vfm_kernel_fail(err, code, "the %s refuses", by);
	}
}

static const struct {
	enum vfm_kernel_step step;
	int code;
	int result;
	const char *text;
} reasons[] = {
	{ VFM_KERNEL_STEP_CONTAINER, -ENOENT, -EOPNOTSUPP,
	  "this kernel has no VFIO containers, or the module vfio is not loaded" },
	{ VFM_KERNEL_STEP_CONTAINER, -ENODEV, -EOPNOTSUPP,
	  "this kernel has no VFIO containers, or the module vfio is not loaded" },
	{ VFM_KERNEL_STEP_GROUP, -ENOENT, -ENODEV,
	  "there is no such file: no device of the group is bound to a driver of VFIO" },
	{ VFM_KERNEL_STEP_GROUP, -EBUSY, -EBUSY, "the group has another user" },
	{ VFM_KERNEL_STEP_GROUP, -EPERM, -EPERM,
	  "not permitted: a group without an IOMMU wants CAP_SYS_RAWIO" },
	{ VFM_KERNEL_STEP_DEVICE_OF_GROUP, -ENODEV, -ENODEV,
	  "the group has no such device, or it is bound to no driver of VFIO" },
	{ VFM_KERNEL_STEP_DEVICE_OF_GROUP, -EINVAL, -EIO, "the driver refuses to open it" },
	{ VFM_KERNEL_STEP_DEVICE_OF_GROUP, -EBUSY, -EBUSY, "it has another user" },
	{ VFM_KERNEL_STEP_DEVICE_OF_GROUP, -EACCES, -EACCES,
	  "not permitted: a virtual function whose physical one belongs to a user needs token=" },
	{ VFM_KERNEL_STEP_SET_CONTAINER, -EPERM, -EBUSY,
	  "a device of the group is in use by another driver" },
	{ VFM_KERNEL_STEP_SET_CONTAINER, -EBUSY, -EBUSY,
	  "the group, or a device of it, is in use" },
	{ VFM_KERNEL_STEP_SET_IOMMU, -EPERM, -EPERM,
	  "the platform cannot keep interrupts of devices apart (interrupt remapping)" },
	{ VFM_KERNEL_STEP_SET_IOMMU, -EINVAL, -EOPNOTSUPP, "the group has no IOMMU of that kind" },
	{ VFM_KERNEL_STEP_SET_IOMMU, -ENODEV, -EOPNOTSUPP, "the group has no IOMMU of that kind" },
	{ VFM_KERNEL_STEP_IOMMUFD, -ENOENT, -EOPNOTSUPP,
	  "this kernel has no iommufd, or its module is not loaded" },
	{ VFM_KERNEL_STEP_IOMMUFD, -ENODEV, -EOPNOTSUPP,
	  "this kernel has no iommufd, or its module is not loaded" },
	{ VFM_KERNEL_STEP_CDEV, -ENOENT, -ENODEV,
	  "there is no such file: the device is bound to no driver of VFIO" },
	{ VFM_KERNEL_STEP_BIND, -EBUSY, -EBUSY, "it has another user" },
	{ VFM_KERNEL_STEP_BIND, -EINVAL, -EIO, "the driver refuses to open it" },
	{ VFM_KERNEL_STEP_BIND, -EPERM, -EBUSY,
	  "a device of its group is in use by another driver" },
	{ VFM_KERNEL_STEP_BIND, -EACCES, -EACCES,
	  "not permitted: a virtual function whose physical one belongs to a user needs token=" },
	{ VFM_KERNEL_STEP_BIND, -ENOTTY, -EOPNOTSUPP,
	  "this kernel opens no devices by files of their own" },
	{ VFM_KERNEL_STEP_ATTACH, -EINVAL, -EOPNOTSUPP,
	  "the IOMMU cannot serve the device in a space of its own" },
};

static const struct {
	int code;
	int result;
	const char *text;
} anywhere[] = {
	{ -EACCES, -EACCES, "permission denied" },
	{ -EMFILE, -EMFILE, "this process has too many files open" },
	{ -ENFILE, -ENFILE, "there are too many files open" },
	{ -ENODEV, -ENODEV, "the device is gone" },
	{ -EINVAL, -EIO, "the kernel takes it for invalid" },
	{ -ENOTTY, -EOPNOTSUPP, "this kernel cannot do that" },
};

static int find_reason(enum vfm_kernel_step step, int code, const char **text)
{
	for (size_t i = 0; i < VFM_ARRAY_SIZE(reasons); i++)
		if (reasons[i].step == step && reasons[i].code == code) {
			*text = reasons[i].text;
			return reasons[i].result;
		}
	for (size_t i = 0; i < VFM_ARRAY_SIZE(anywhere); i++)
		if (anywhere[i].code == code) {
			*text = anywhere[i].text;
			return anywhere[i].result;
		}
	*text = strerror(-code);
	return code;
}

int vfm_kernel_why(enum vfm_kernel_step step, int code, struct vfm_err *err, const char *what, ...)
{
	char tried[VFM_ERR_TEXT];
	const char *text;
	va_list args;
	int ret = find_reason(step, code, &text);

	va_start(args, what);
	vsnprintf(tried, sizeof(tried), what, args);
	va_end(args);
	return vfm_fail(err, ret, "%s: %s", tried, text);
}
