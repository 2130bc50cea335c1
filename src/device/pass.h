// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * For a device over a device: operations that hand a call on to the one behind it.
 * A wrap names in its own table those that it does not change.
 */

#ifndef VFM_DEVICE_PASS_H
#define VFM_DEVICE_PASS_H

#include <errno.h>

#include "device/device.h"

/** struct vfm_pass - the first member of a wrap's own struct */
struct vfm_pass {
	struct vfm_device dev;
	struct vfm_device *inner; /* whose it is, the wrap says */
};

static inline struct vfm_device *vfm_pass_inner(struct vfm_device *dev)
{
	return ((struct vfm_pass *)dev)->inner;
}

/**
 * VFM_PASS() - call an operation of the device behind, without its name in the error
 *
 * The wrap's own call was checked already, and its name is that of the device.
 */
#define VFM_PASS(inner, op, err, ...)                                                              \
	((inner)->ops->op ? (inner)->ops->op(inner, ##__VA_ARGS__, err)                            \
			  : (vfm_pass_missing(#op, err), -ENOTTY))

/** vfm_pass_missing() - the text of VFM_PASS() for an operation that is not there. */
void vfm_pass_missing(const char *op, struct vfm_err *err);

int vfm_pass_get_info(struct vfm_device *dev, struct vfm_device_info *info, struct vfm_err *err);
int vfm_pass_get_region(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			struct vfm_err *err);
int vfm_pass_read_region(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			 size_t len, struct vfm_err *err);
int vfm_pass_write_region(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
			  size_t len, struct vfm_err *err);
int vfm_pass_get_io_fds(struct vfm_device *dev, uint32_t index, struct vfm_io_fd *list, size_t max,
			struct vfm_err *err);
int vfm_pass_get_irq(struct vfm_device *dev, uint32_t index, struct vfm_irq *irq,
		     struct vfm_err *err);
int vfm_pass_set_irqs(struct vfm_device *dev, const struct vfm_irq_set *set, struct vfm_err *err);
int vfm_pass_map_dma(struct vfm_device *dev, const struct vfm_dma_map *map, struct vfm_err *err);
int vfm_pass_unmap_dma(struct vfm_device *dev, uint64_t iova, uint64_t size, struct vfm_err *err);
int vfm_pass_unmap_all(struct vfm_device *dev, struct vfm_err *err);
int vfm_pass_get_migration(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err);
int vfm_pass_get_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err);
int vfm_pass_set_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err);
ssize_t vfm_pass_read_data(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err);
int vfm_pass_write_data(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err);
int vfm_pass_get_precopy_info(struct vfm_device *dev, struct vfm_precopy_info *info,
			      struct vfm_err *err);
int vfm_pass_get_data_size(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err);
int vfm_pass_reset(struct vfm_device *dev, struct vfm_err *err);
int vfm_pass_get_compat(struct vfm_device *dev, struct vfm_compat *compat, struct vfm_err *err);
int vfm_pass_set_orphan(struct vfm_device *dev, enum vfm_orphan orphan, struct vfm_err *err);
int vfm_pass_start_log(struct vfm_device *dev, uint64_t *page_size, const struct vfm_range *ranges,
		       size_t nr_ranges, struct vfm_err *err);
int vfm_pass_report_log(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
			uint64_t *bitmap, struct vfm_err *err);
int vfm_pass_stop_log(struct vfm_device *dev, struct vfm_err *err);
int vfm_pass_get_fd(struct vfm_device *dev);
int vfm_pass_process(struct vfm_device *dev, struct vfm_err *err);

/** vfm_pass_read_chunk(), vfm_pass_write_chunk() - also where the device behind has no chunks. */
ssize_t vfm_pass_read_chunk(struct vfm_device *dev, void *buf, size_t len, bool *end,
			    struct vfm_err *err);
int vfm_pass_write_chunk(struct vfm_device *dev, const void *buf, size_t len, bool end,
			 struct vfm_err *err);

#endif
