// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Our own text of what we use of the kernel's iommufd uAPI (Linux 6.2 on, dirty tracking
 * from 6.7): objects with numbers behind one descriptor. Every structure begins with its
 * own size, and a kernel that knows less of it takes what is zero. check_host.c compares
 * it with <linux/iommufd.h>.
 */

#ifndef VFM_ABI_IOMMUFD_H
#define VFM_ABI_IOMMUFD_H

#include <stdint.h>

#define VFM_IOMMUFD_REQUEST(n) (((unsigned int)';' << 8) + 0x80 + (n))

#define VFM_IOMMUFD_DESTROY VFM_IOMMUFD_REQUEST(0)
#define VFM_IOMMUFD_IOAS_ALLOC VFM_IOMMUFD_REQUEST(1)
#define VFM_IOMMUFD_IOAS_IOVA_RANGES VFM_IOMMUFD_REQUEST(4)
#define VFM_IOMMUFD_IOAS_MAP VFM_IOMMUFD_REQUEST(5)
#define VFM_IOMMUFD_IOAS_UNMAP VFM_IOMMUFD_REQUEST(6)
#define VFM_IOMMUFD_HWPT_ALLOC VFM_IOMMUFD_REQUEST(9)
#define VFM_IOMMUFD_HWPT_SET_DIRTY VFM_IOMMUFD_REQUEST(11)
#define VFM_IOMMUFD_HWPT_GET_DIRTY VFM_IOMMUFD_REQUEST(12)

struct vfm_abi_iommu_destroy {
	uint32_t size;
	uint32_t id;
};

struct vfm_abi_ioas_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t out_ioas_id;
};

struct vfm_abi_iova_range {
	uint64_t start;
	uint64_t last;
};

struct vfm_abi_ioas_iova_ranges {
	uint32_t size;
	uint32_t ioas_id;
	uint32_t num_iovas;
	uint32_t reserved;
	uint64_t allowed_iovas;
	uint64_t out_iova_alignment;
};

#define VFM_IOAS_MAP_FIXED_IOVA (1u << 0)
#define VFM_IOAS_MAP_WRITE (1u << 1)
#define VFM_IOAS_MAP_READ (1u << 2)

struct vfm_abi_ioas_map {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id;
	uint32_t reserved;
	uint64_t user_va;
	uint64_t length;
	uint64_t iova;
};

struct vfm_abi_ioas_unmap {
	uint32_t size;
	uint32_t ioas_id;
	uint64_t iova;
	uint64_t length;
};

#define VFM_HWPT_ALLOC_DIRTY_TRACKING (1u << 1)

/* The part that every kernel with this request has. */
struct vfm_abi_hwpt_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t dev_id;
	uint32_t pt_id;
	uint32_t out_hwpt_id;
	uint32_t reserved;
	uint32_t data_type;
	uint32_t data_len;
	uint64_t data_uptr;
};

#define VFM_HWPT_DIRTY_ENABLE (1u << 0)

struct vfm_abi_hwpt_set_dirty {
	uint32_t size;
	uint32_t flags;
	uint32_t hwpt_id;
	uint32_t reserved;
};

struct vfm_abi_hwpt_get_dirty {
	uint32_t size;
	uint32_t hwpt_id;
	uint32_t flags;
	uint32_t reserved;
	uint64_t iova;
	uint64_t length;
	uint64_t page_size;
	uint64_t data;
};

_Static_assert(sizeof(struct vfm_abi_ioas_alloc) == 12, "layout");
_Static_assert(sizeof(struct vfm_abi_ioas_iova_ranges) == 32, "layout");
_Static_assert(sizeof(struct vfm_abi_ioas_map) == 40, "layout");
_Static_assert(sizeof(struct vfm_abi_ioas_unmap) == 24, "layout");
_Static_assert(sizeof(struct vfm_abi_hwpt_alloc) == 40, "layout");
_Static_assert(sizeof(struct vfm_abi_hwpt_set_dirty) == 16, "layout");
_Static_assert(sizeof(struct vfm_abi_hwpt_get_dirty) == 48, "layout");

#endif
