/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (c) vfmig authors */

/*
 * What differs between the kernels from 6.1 on, in this one place. The rest of the
 * module is written for the newest of them.
 */

#ifndef VFMS_COMPAT_H
#define VFMS_COMPAT_H

#include <linux/device.h>
#include <linux/eventfd.h>
#include <linux/iova_bitmap.h>
#include <linux/module.h>
#include <linux/version.h>
#include <linux/vfio.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "vfmig_sim needs Linux 6.1: the mdev interface before it is another one"
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#define vfms_class_create(name) class_create(name)
#else
#define vfms_class_create(name) class_create(THIS_MODULE, name)
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
#define vfms_eventfd_signal(ctx) eventfd_signal(ctx)
#else
#define vfms_eventfd_signal(ctx) eventfd_signal(ctx, 1)
#endif

/* Device and character device through iommufd. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
#define VFMS_IOMMUFD_OPS                                                                           \
	.bind_iommufd = vfio_iommufd_emulated_bind,                                                \
	.unbind_iommufd = vfio_iommufd_emulated_unbind,                                            \
	.attach_ioas = vfio_iommufd_emulated_attach_ioas,                                          \
	.detach_ioas = vfio_iommufd_emulated_detach_ioas,
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#define VFMS_IOMMUFD_OPS                                                                           \
	.bind_iommufd = vfio_iommufd_emulated_bind,                                                \
	.unbind_iommufd = vfio_iommufd_emulated_unbind,                                            \
	.attach_ioas = vfio_iommufd_emulated_attach_ioas,
#else
#define VFMS_IOMMUFD_OPS
#endif

/*
 * The iterator behind a report moved from vfio.ko to the iommufd drivers, and is an
 * empty function where the kernel has none of these: a log could be started, and
 * never be read.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
#define VFMS_CAN_REPORT IS_ENABLED(CONFIG_IOMMUFD_DRIVER)
#else
#define VFMS_CAN_REPORT true
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#define VFMS_IMPORT_NS MODULE_IMPORT_NS("IOMMUFD")
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
#define VFMS_IMPORT_NS MODULE_IMPORT_NS(IOMMUFD)
#else
#define VFMS_IMPORT_NS static_assert(true)
#endif

/*
 * Names of pre-copy, which 6.1 lacks. Its core hands on all states and flags that it
 * does not know, so the device has them there as well.
 */
#ifndef VFIO_MIGRATION_PRE_COPY
#define VFIO_MIGRATION_PRE_COPY (1 << 2)
#define VFIO_MIG_GET_PRECOPY_INFO _IO(VFIO_TYPE, VFIO_BASE + 21)

struct vfio_precopy_info {
	__u32 argsz;
	__u32 flags;
	__aligned_u64 initial_bytes;
	__aligned_u64 dirty_bytes;
};
#endif

/* Who frees the struct: the driver, until 6.2. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
static inline void vfms_free_device(struct vfio_device *vdev)
{
}
#else
#define vfms_free_device(vdev) vfio_free_device(vdev)
#endif

/* The size of the data is an operation from 6.2 on, and a feature of the driver before. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#define VFMS_CORE_HAS_DATA_SIZE 1
#else
#define VFMS_CORE_HAS_DATA_SIZE 0
#define VFIO_DEVICE_FEATURE_MIG_DATA_SIZE 9

struct vfio_device_feature_mig_data_size {
	__aligned_u64 stop_copy_length;
};
#endif

/* From 6.19 on the core copies what a region's information is made of. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
#define VFMS_CORE_COPIES_REGION_INFO 1
#else
#define VFMS_CORE_COPIES_REGION_INFO 0
#endif

#endif
