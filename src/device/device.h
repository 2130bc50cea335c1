// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The interface in the middle: what every provider and every wrap implements,
 * and what stands behind the vfm_device_*() calls. Those calls check arguments
 * (NULL, wrapping ranges, sizes that make no sense), so that an implementation
 * may rely on what is said here.
 */

#ifndef VFM_DEVICE_DEVICE_H
#define VFM_DEVICE_DEVICE_H

#include <vfmig/device.h>

/**
 * struct vfm_device_ops - one for each kind of device
 *
 * The contract of each member is that of the public call of the same name in
 * <vfmig/device.h>. A member that is NULL answers -ENOTTY with a text; close is
 * required. @err is never NULL. All of it runs in the caller's thread.
 */
struct vfm_device_ops {
	void (*close)(struct vfm_device *dev);

	int (*get_info)(struct vfm_device *dev, struct vfm_device_info *info, struct vfm_err *err);
	int (*get_region)(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			  struct vfm_err *err);
	/* len > 0, offset + len does not wrap; index and bounds are for the implementation */
	int (*read_region)(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			   size_t len, struct vfm_err *err);
	int (*write_region)(struct vfm_device *dev, uint32_t index, uint64_t offset,
			    const void *buf, size_t len, struct vfm_err *err);
	int (*get_io_fds)(struct vfm_device *dev, uint32_t index, struct vfm_io_fd *list,
			  size_t max, struct vfm_err *err);

	int (*get_irq)(struct vfm_device *dev, uint32_t index, struct vfm_irq *irq,
		       struct vfm_err *err);
	/* flags hold one data kind and one action, and go with bools and fds */
	int (*set_irqs)(struct vfm_device *dev, const struct vfm_irq_set *set, struct vfm_err *err);

	/* size > 0, does not wrap, flags are known, one of fd, vaddr, access is there */
	int (*map_dma)(struct vfm_device *dev, const struct vfm_dma_map *map, struct vfm_err *err);
	int (*unmap_dma)(struct vfm_device *dev, uint64_t iova, uint64_t size, struct vfm_err *err);
	int (*unmap_all)(struct vfm_device *dev, struct vfm_err *err);

	int (*get_migration)(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err);
	int (*get_state)(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err);
	/* any value of state, also one beyond the last */
	int (*set_state)(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err);
	/* len > 0 */
	ssize_t (*read_data)(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err);
	int (*write_data)(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err);
	/* by devices that have chunks, or that pass them on; without them there are none */
	ssize_t (*read_chunk)(struct vfm_device *dev, void *buf, size_t len, bool *end,
			      struct vfm_err *err);
	int (*write_chunk)(struct vfm_device *dev, const void *buf, size_t len, bool end,
			   struct vfm_err *err);
	/* those two look at no byte twice, so that they may be given memory that somebody else
	 * changes meanwhile */
	bool writes_once;
	int (*get_precopy_info)(struct vfm_device *dev, struct vfm_precopy_info *info,
				struct vfm_err *err);
	int (*get_data_size)(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err);
	int (*reset)(struct vfm_device *dev, struct vfm_err *err);
	/* it may be reset by another thread that is not its user's */
	bool resets_any_time;
	int (*get_compat)(struct vfm_device *dev, struct vfm_compat *compat, struct vfm_err *err);
	int (*set_orphan)(struct vfm_device *dev, enum vfm_orphan orphan, struct vfm_err *err);
	/* without it: version 2, if it migrates */
	int (*get_protocol)(struct vfm_device *dev, struct vfm_protocol *protocol,
			    struct vfm_err *err);

	/* page size a power of two; 1 to VFM_MAX_LOG_RANGES ranges, aligned, sorted by nobody,
	 * not overlapping, not wrapping */
	int (*start_log)(struct vfm_device *dev, uint64_t *page_size,
			 const struct vfm_range *ranges, size_t nr_ranges, struct vfm_err *err);
	/* page size a power of two >= 4096, iova aligned to it, size > 0, not wrapping */
	int (*report_log)(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
			  uint64_t *bitmap, struct vfm_err *err);
	int (*stop_log)(struct vfm_device *dev, struct vfm_err *err);

	int (*get_fd)(struct vfm_device *dev);
	int (*process)(struct vfm_device *dev, struct vfm_err *err);
};

/** struct vfm_device - the first member of every implementation's own struct */
struct vfm_device {
	const struct vfm_device_ops *ops;
	char *uri; /* owned */
};

/**
 * vfm_device_init() - begin an implementation's struct; @uri is copied
 *
 * vfm_device_close() calls ops->close, which frees what the implementation
 * has, and then the struct itself: it must come from malloc().
 */
int vfm_device_init(struct vfm_device *dev, const struct vfm_device_ops *ops, const char *uri,
		    struct vfm_err *err) VFM_MUST_CHECK;

#endif
