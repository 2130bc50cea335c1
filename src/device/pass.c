// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* A device over a device: each call handed on as it is. */

#include "device/pass.h"

void vfm_pass_missing(const char *op, struct vfm_err *err)
{
	vfm_fail(err, -ENOTTY, "the device has no %s", op);
}

int vfm_pass_get_info(struct vfm_device *dev, struct vfm_device_info *info, struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), get_info, err, info);
}

int vfm_pass_get_region(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), get_region, err, index, region);
}

int vfm_pass_read_region(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			 size_t len, struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), read_region, err, index, offset, buf, len);
}

int vfm_pass_write_region(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
			  size_t len, struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), write_region, err, index, offset, buf, len);
}

int vfm_pass_get_io_fds(struct vfm_device *dev, uint32_t index, struct vfm_io_fd *list, size_t max,
			struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), get_io_fds, err, index, list, max);
}

int vfm_pass_get_irq(struct vfm_device *dev, uint32_t index, struct vfm_irq *irq,
		     struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), get_irq, err, index, irq);
}

int vfm_pass_set_irqs(struct vfm_device *dev, const struct vfm_irq_set *set, struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), set_irqs, err, set);
}

int vfm_pass_map_dma(struct vfm_device *dev, const struct vfm_dma_map *map, struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), map_dma, err, map);
}

int vfm_pass_unmap_dma(struct vfm_device *dev, uint64_t iova, uint64_t size, struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), unmap_dma, err, iova, size);
}

int vfm_pass_unmap_all(struct vfm_device *dev, struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), unmap_all, err);
}

int vfm_pass_get_migration(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), get_migration, err, migration);
}

int vfm_pass_get_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), get_state, err, state);
}

int vfm_pass_set_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), set_state, err, state);
}

ssize_t vfm_pass_read_data(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), read_data, err, buf, len);
}

int vfm_pass_write_data(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), write_data, err, buf, len);
}

ssize_t vfm_pass_read_chunk(struct vfm_device *dev, void *buf, size_t len, bool *end,
			    struct vfm_err *err)
{
	struct vfm_device *inner = vfm_pass_inner(dev);

	*end = false;
	return inner->ops->read_chunk ? inner->ops->read_chunk(inner, buf, len, end, err)
				      : vfm_pass_read_data(dev, buf, len, err);
}

int vfm_pass_write_chunk(struct vfm_device *dev, const void *buf, size_t len, bool end,
			 struct vfm_err *err)
{
	struct vfm_device *inner = vfm_pass_inner(dev);

	return inner->ops->write_chunk ? inner->ops->write_chunk(inner, buf, len, end, err)
				       : vfm_pass_write_data(dev, buf, len, err);
}

int vfm_pass_get_precopy_info(struct vfm_device *dev, struct vfm_precopy_info *info,
			      struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), get_precopy_info, err, info);
}

int vfm_pass_get_data_size(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), get_data_size, err, bytes);
}

int vfm_pass_reset(struct vfm_device *dev, struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), reset, err);
}

int vfm_pass_get_compat(struct vfm_device *dev, struct vfm_compat *compat, struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), get_compat, err, compat);
}

int vfm_pass_set_orphan(struct vfm_device *dev, enum vfm_orphan orphan, struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), set_orphan, err, orphan);
}

int vfm_pass_start_log(struct vfm_device *dev, uint64_t *page_size, const struct vfm_range *ranges,
		       size_t nr_ranges, struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), start_log, err, page_size, ranges, nr_ranges);
}

int vfm_pass_report_log(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
			uint64_t *bitmap, struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), report_log, err, iova, size, page_size, bitmap);
}

int vfm_pass_stop_log(struct vfm_device *dev, struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), stop_log, err);
}

int vfm_pass_get_fd(struct vfm_device *dev)
{
	return vfm_device_get_fd(vfm_pass_inner(dev));
}

int vfm_pass_process(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_device *inner = vfm_pass_inner(dev);

	return inner->ops->process ? inner->ops->process(inner, err) : 0;
}
