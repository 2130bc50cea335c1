// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Our own text of what we use of the kernel's VFIO uAPI, up to Linux 7.2: its
 * numbers and layouts, under our names, so that no build depends on the age of
 * the host's headers. check_host.c compares them with <linux/vfio.h>.
 */

#ifndef VFM_ABI_VFIO_H
#define VFM_ABI_VFIO_H

#include <stddef.h>
#include <stdint.h>

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

/* Capabilities in a region info. */
#define VFM_REGION_CAP_SPARSE_MMAP 1
#define VFM_REGION_CAP_TYPE 2
#define VFM_REGION_FLAG_CAPS (1u << 3)

struct vfm_abi_cap_header {
	uint16_t id;
	uint16_t version;
	uint32_t next;
};

_Static_assert(sizeof(struct vfm_abi_feature) == 8, "layout");
_Static_assert(sizeof(struct vfm_abi_migration) == 8, "layout");
_Static_assert(sizeof(struct vfm_abi_mig_state) == 8, "layout");
_Static_assert(sizeof(struct vfm_abi_logging_control) == 24, "layout");
_Static_assert(sizeof(struct vfm_abi_logging_range) == 16, "layout");
_Static_assert(sizeof(struct vfm_abi_logging_report) == 32, "layout");
_Static_assert(sizeof(struct vfm_abi_precopy_info) == 24, "layout");
_Static_assert(sizeof(struct vfm_abi_cap_header) == 8, "layout");

#endif
