// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Our own text of what we use of the kernel's VFIO uAPI, up to Linux 7.2: its
 * numbers and layouts, under our names, so that no build depends on the age of
 * the host's headers. check_host.c compares them with <linux/vfio.h>.
 *
 * Requests have no size in their numbers, and some numbers mean one thing to a
 * device and another to a container: they are named by whom they are for.
 */

#ifndef VFM_ABI_VFIO_H
#define VFM_ABI_VFIO_H

#include <stddef.h>
#include <stdint.h>

#define VFM_VFIO_REQUEST(n) (((unsigned int)';' << 8) + 100 + (n))

/* To a container. */
#define VFM_CONTAINER_GET_API_VERSION VFM_VFIO_REQUEST(0)
#define VFM_CONTAINER_CHECK_EXTENSION VFM_VFIO_REQUEST(1)
#define VFM_CONTAINER_SET_IOMMU VFM_VFIO_REQUEST(2)
#define VFM_CONTAINER_GET_INFO VFM_VFIO_REQUEST(12)
#define VFM_CONTAINER_MAP_DMA VFM_VFIO_REQUEST(13)
#define VFM_CONTAINER_UNMAP_DMA VFM_VFIO_REQUEST(14)
#define VFM_CONTAINER_DIRTY_PAGES VFM_VFIO_REQUEST(17)

/* To a group. */
#define VFM_GROUP_GET_STATUS VFM_VFIO_REQUEST(3)
#define VFM_GROUP_SET_CONTAINER VFM_VFIO_REQUEST(4)
#define VFM_GROUP_GET_DEVICE_FD VFM_VFIO_REQUEST(6)

/* To a device. */
#define VFM_DEVICE_GET_INFO VFM_VFIO_REQUEST(7)
#define VFM_DEVICE_GET_REGION_INFO VFM_VFIO_REQUEST(8)
#define VFM_DEVICE_GET_IRQ_INFO VFM_VFIO_REQUEST(9)
#define VFM_DEVICE_SET_IRQS VFM_VFIO_REQUEST(10)
#define VFM_DEVICE_DO_RESET VFM_VFIO_REQUEST(11)
#define VFM_DEVICE_FEATURE VFM_VFIO_REQUEST(17)
#define VFM_DEVICE_BIND_IOMMUFD VFM_VFIO_REQUEST(18)
#define VFM_DEVICE_ATTACH_IOMMUFD_PT VFM_VFIO_REQUEST(19)

/* To the descriptor of a data session. */
#define VFM_MIG_GET_PRECOPY_INFO VFM_VFIO_REQUEST(21)

#define VFM_VFIO_API_VERSION 0
#define VFM_IOMMU_TYPE1V2 3
#define VFM_IOMMU_NONE 8

#define VFM_GROUP_VIABLE (1u << 0)

struct vfm_abi_group_status {
	uint32_t argsz;
	uint32_t flags;
};

/* The part that every kernel has: capabilities of devices are of no use to us. */
struct vfm_abi_device_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
};

struct vfm_abi_region_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t cap_offset;
	uint64_t size;
	uint64_t offset;
};

struct vfm_abi_irq_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};

/* Bytes or descriptors follow it. */
struct vfm_abi_irq_set {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
};

#define VFM_BIND_TOKEN (1u << 0)

/* Kernels before 7.2 know it up to out_devid. */
struct vfm_abi_bind_iommufd {
	uint32_t argsz;
	uint32_t flags;
	int32_t iommufd;
	uint32_t out_devid;
	uint64_t token;
};

/* The part that every kernel has: there is a pasid behind it later. */
struct vfm_abi_attach_pt {
	uint32_t argsz;
	uint32_t flags;
	uint32_t pt_id;
};

/* ---- type1 container ----------------------------------------------------------- */

#define VFM_TYPE1_INFO_PGSIZES (1u << 0)
#define VFM_TYPE1_INFO_CAPS (1u << 1)

struct vfm_abi_type1_info {
	uint32_t argsz;
	uint32_t flags;
	uint64_t iova_pgsizes;
	uint32_t cap_offset;
	uint32_t pad;
};

#define VFM_TYPE1_CAP_IOVA_RANGE 1
#define VFM_TYPE1_CAP_MIGRATION 2
#define VFM_TYPE1_CAP_DMA_AVAIL 3

struct vfm_abi_dma_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t vaddr;
	uint64_t iova;
	uint64_t size;
};

/* A bitmap follows it when it is asked for. */
struct vfm_abi_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t iova;
	uint64_t size;
};
#define VFM_UNMAP_GET_DIRTY_BITMAP (1u << 0)

struct vfm_abi_bitmap {
	uint64_t pgsize;
	uint64_t size; /* bytes */
	uint64_t data;
};

struct vfm_abi_dirty_bitmap {
	uint32_t argsz;
	uint32_t flags;
};
#define VFM_DIRTY_START (1u << 0)
#define VFM_DIRTY_STOP (1u << 1)
#define VFM_DIRTY_GET (1u << 2)

/* What follows it with VFM_DIRTY_GET. */
struct vfm_abi_dirty_get {
	uint64_t iova;
	uint64_t size;
	struct vfm_abi_bitmap bitmap;
};

/* ---- features ------------------------------------------------------------------ */

/* Features of VFIO_DEVICE_FEATURE, and the bits that stand beside the index. */
enum vfm_feature {
	VFM_FEATURE_MIGRATION = 1,
	VFM_FEATURE_MIG_DEVICE_STATE = 2,
	VFM_FEATURE_DMA_LOGGING_START = 6,
	VFM_FEATURE_DMA_LOGGING_STOP = 7,
	VFM_FEATURE_DMA_LOGGING_REPORT = 8,
	VFM_FEATURE_MIG_DATA_SIZE = 9,
	VFM_FEATURE_MIG_PRECOPY_INFOV2 = 12,
};
#define VFM_FEATURE_MASK 0xffffu
#define VFM_FEATURE_GET (1u << 16)
#define VFM_FEATURE_SET (1u << 17)
#define VFM_FEATURE_PROBE (1u << 18)

struct vfm_abi_feature {
	uint32_t argsz;
	uint32_t flags;
};

struct vfm_abi_migration {
	uint64_t flags;
};

struct vfm_abi_mig_state {
	uint32_t device_state;
	int32_t data_fd;
};

struct vfm_abi_data_size {
	uint64_t stop_copy_length;
};

struct vfm_abi_logging_control {
	uint64_t page_size;
	uint32_t num_ranges;
	uint32_t reserved;
	uint64_t ranges;
};

struct vfm_abi_logging_range {
	uint64_t iova;
	uint64_t length;
};

struct vfm_abi_logging_report {
	uint64_t iova;
	uint64_t length;
	uint64_t page_size;
	uint64_t bitmap;
};

struct vfm_abi_precopy_info {
	uint32_t argsz;
	uint32_t flags;
	uint64_t initial_bytes;
	uint64_t dirty_bytes;
};
#define VFM_PRECOPY_INFO_REINIT (1u << 0)

/* ---- capabilities -------------------------------------------------------------- */

/* In a region info. */
#define VFM_REGION_CAP_SPARSE_MMAP 1
#define VFM_REGION_CAP_TYPE 2
#define VFM_REGION_FLAG_CAPS (1u << 3)

struct vfm_abi_cap_header {
	uint16_t id;
	uint16_t version;
	uint32_t next;
};

_Static_assert(sizeof(struct vfm_abi_device_info) == 16, "layout");
_Static_assert(sizeof(struct vfm_abi_region_info) == 32, "layout");
_Static_assert(sizeof(struct vfm_abi_irq_info) == 16, "layout");
_Static_assert(sizeof(struct vfm_abi_irq_set) == 20, "layout");
_Static_assert(sizeof(struct vfm_abi_bind_iommufd) == 24, "layout");
_Static_assert(sizeof(struct vfm_abi_attach_pt) == 12, "layout");
_Static_assert(sizeof(struct vfm_abi_type1_info) == 24, "layout");
_Static_assert(sizeof(struct vfm_abi_dma_map) == 32, "layout");
_Static_assert(sizeof(struct vfm_abi_dma_unmap) == 24, "layout");
_Static_assert(sizeof(struct vfm_abi_bitmap) == 24, "layout");
_Static_assert(sizeof(struct vfm_abi_dirty_get) == 40, "layout");
_Static_assert(sizeof(struct vfm_abi_feature) == 8, "layout");
_Static_assert(sizeof(struct vfm_abi_migration) == 8, "layout");
_Static_assert(sizeof(struct vfm_abi_mig_state) == 8, "layout");
_Static_assert(sizeof(struct vfm_abi_logging_control) == 24, "layout");
_Static_assert(sizeof(struct vfm_abi_logging_range) == 16, "layout");
_Static_assert(sizeof(struct vfm_abi_logging_report) == 32, "layout");
_Static_assert(sizeof(struct vfm_abi_precopy_info) == 24, "layout");
_Static_assert(sizeof(struct vfm_abi_cap_header) == 8, "layout");

#endif
