// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Our own text of the vfio-user wire: numbers and sizes. All fields are in host
 * byte order and are moved with the cursors of base/bytes.h, never by a cast.
 * The vfmig extension is specified in docs/vfio-user-extension.md.
 */

#ifndef VFM_ABI_VFIO_USER_H
#define VFM_ABI_VFIO_USER_H

#include <stdint.h>

/* Header: u16 id, u16 command, u32 size with header, u32 flags, u32 error. */
#define VFM_VU_HEADER_SIZE 16u

#define VFM_VU_TYPE_MASK 0xfu
#define VFM_VU_COMMAND 0u
#define VFM_VU_REPLY 1u
#define VFM_VU_NO_REPLY (1u << 4)
#define VFM_VU_ERROR (1u << 5)
#define VFM_VU_CHUNK_END (1u << 6) /* extension, on state data: a chunk ends with it */

enum vfm_vu_command {
	VFM_VU_VERSION = 1,
	VFM_VU_DMA_MAP = 2,
	VFM_VU_DMA_UNMAP = 3,
	VFM_VU_DEVICE_GET_INFO = 4,
	VFM_VU_DEVICE_GET_REGION_INFO = 5,
	VFM_VU_DEVICE_GET_REGION_IO_FDS = 6,
	VFM_VU_DEVICE_GET_IRQ_INFO = 7,
	VFM_VU_DEVICE_SET_IRQS = 8,
	VFM_VU_REGION_READ = 9,
	VFM_VU_REGION_WRITE = 10,
	VFM_VU_DMA_READ = 11,
	VFM_VU_DMA_WRITE = 12,
	VFM_VU_DEVICE_RESET = 13,
	VFM_VU_DIRTY_PAGES = 14, /* v1 era */
	VFM_VU_REGION_WRITE_MULTI = 15,
	VFM_VU_DEVICE_FEATURE = 16,
	VFM_VU_MIG_DATA_READ = 17,
	VFM_VU_MIG_DATA_WRITE = 18,
};
#define VFM_VU_NR_COMMANDS 19

/* The version that we propose and the newest that we answer with. */
#define VFM_VU_MAJOR 0
#define VFM_VU_MINOR 2

/* Sizes of the fixed part of payloads, without header. */
#define VFM_VU_DMA_MAP_SIZE 32u		/* argsz, flags, u64 fd offset, iova, size */
#define VFM_VU_DMA_UNMAP_SIZE 24u	/* argsz, flags, u64 iova, size */
#define VFM_VU_INFO_SIZE 16u		/* argsz, flags, regions, irqs */
#define VFM_VU_REGION_INFO_SIZE 32u	/* argsz, flags, index, cap offset, u64 size, offset */
#define VFM_VU_REGION_IO_FDS_SIZE 16u	/* argsz, flags, index, count */
#define VFM_VU_SUB_REGION_SIZE 40u	/* u64 offset, size; fd index, type, flags, pad; u64 */
#define VFM_VU_SUB_REGION_SIZE_LONG 48u /* a peer's: shadow fd index and offset in between */
#define VFM_VU_IRQ_INFO_SIZE 16u	/* argsz, flags, index, count */
#define VFM_VU_SET_IRQS_SIZE 20u	/* argsz, flags, index, start, count */
#define VFM_VU_REGION_ACCESS_SIZE 16u	/* u64 offset, region, count */
#define VFM_VU_DMA_ACCESS_SIZE 16u	/* u64 iova, count */
#define VFM_VU_FEATURE_SIZE 8u		/* argsz, flags */
#define VFM_VU_MIG_DATA_SIZE 8u		/* argsz, size */
#define VFM_VU_DIRTY_SIZE 8u		/* argsz, flags */
#define VFM_VU_DIRTY_RANGE_SIZE 32u	/* u64 iova, size, page size, bytes of bitmap */
#define VFM_VU_UNMAP_BITMAP_SIZE 16u	/* u64 page size, bytes of bitmap */
#define VFM_VU_WRITE_MULTI_ENTRY 24u	/* u64 offset, region, count, 8 bytes of data */
#define VFM_VU_WRITE_MULTI_MAX 200u	/* entries that a real client sends at most */

/* DMA_UNMAP flags. */
#define VFM_VU_UNMAP_GET_BITMAP (1u << 0) /* v1 era */
#define VFM_VU_UNMAP_ALL (1u << 1)

/* DIRTY_PAGES flags, v1 era: exactly one. */
#define VFM_VU_DIRTY_START (1u << 0)
#define VFM_VU_DIRTY_STOP (1u << 1)
#define VFM_VU_DIRTY_GET_BITMAP (1u << 2)

/*
 * Defaults and limits of the negotiation. A message is at most one transfer and
 * its fixed part; a bitmap or a list of ranges may be larger than a transfer.
 */
#define VFM_VU_DEFAULT_FDS 1u
#define VFM_VU_DEFAULT_XFER (1u << 20)
#define VFM_VU_MAX_FDS 16u	    /* in one message; the newest client takes no more */
#define VFM_VU_MAX_XFER (16u << 20) /* that we agree to */
#define VFM_VU_MAX_DMA_MAPS 65535u
#define VFM_VU_MAX_VERSION_SIZE 4096u  /* of a VERSION message */
#define VFM_VU_MAX_BITMAP (256u << 20) /* bytes of bitmap in one report */
#define VFM_VU_DIRTY_PAGE 4096u	       /* of the dirty pages of v1, whatever the host has */
#define VFM_VU_SAFE_WRITE (32u << 10)  /* body that a peer with a single recv() takes whole */

/*
 * Extension "vfmig", version 1: features in a range that the kernel does not
 * use. They are refused with ENOTTY unless both sides announced the extension.
 */
enum vfm_vu_ext_feature {
	VFM_VU_EXT_PRECOPY_INFO = 0xf001, /* GET: u64 initial, u64 dirty, u32 flags, u32 0 */
	VFM_VU_EXT_ORPHAN = 0xf002,	  /* SET: u32 enum vfm_orphan, u32 0 */
	VFM_VU_EXT_COMPAT = 0xf003, /* GET: u32 version, oldest, flags, 0; model[64], params[512] */
};
#define VFM_VU_EXT_VERSION 1
#define VFM_VU_EXT_JUDGES_PARAMS (1u << 0) /* in the flags of COMPAT */

#endif
