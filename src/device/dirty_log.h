// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The dirty log of a device in this process: a bitmap for each range, in pages
 * of its own choice, reported in pages of the user's.
 */

#ifndef VFM_DEVICE_DIRTY_LOG_H
#define VFM_DEVICE_DIRTY_LOG_H

#include <vfmig/device.h>

/** Pages are at least this large... */
#define VFM_LOG_MIN_PAGE UINT64_C(4096)
/** ...and at most this: a coarser log would say nothing. */
#define VFM_LOG_MAX_PAGE (UINT64_C(1) << 30)
/** Bytes of bitmap for all ranges: pages are made coarser until it suffices (2 TiB at 4 KiB). */
#define VFM_LOG_MAX_BITMAP (UINT64_C(64) << 20)

struct vfm_log_range {
	uint64_t iova; /* as asked for */
	uint64_t size;
	uint64_t first; /* number of the page that bit 0 stands for */
	uint64_t pages;
	uint64_t *bitmap;
};

/** Zero it to begin. */
struct vfm_dirty_log {
	bool on;
	uint64_t page_size;
	struct vfm_log_range *ranges; /* sorted */
	size_t nr_ranges;
};

int vfm_dirty_log_start(struct vfm_dirty_log *log, uint64_t *page_size,
			const struct vfm_range *ranges, size_t nr,
			struct vfm_err *err) VFM_MUST_CHECK;
int vfm_dirty_log_report(struct vfm_dirty_log *log, uint64_t iova, uint64_t size,
			 uint64_t page_size, uint64_t *bitmap, struct vfm_err *err) VFM_MUST_CHECK;
int vfm_dirty_log_stop(struct vfm_dirty_log *log, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_dirty_log_mark() - these bytes were written; what is outside the ranges is ignored. */
void vfm_dirty_log_mark(struct vfm_dirty_log *log, uint64_t iova, uint64_t size);

/** vfm_dirty_log_clear() - end it whether it runs or not. */
void vfm_dirty_log_clear(struct vfm_dirty_log *log);

#endif
