// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The public calls: what is checked before any implementation sees a call, and
 * the device's name in front of every error. Implementations get an error to
 * fill in, always; the caller's is touched only on failure.
 */

#include "device/device.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/util.h"

int vfm_device_init(struct vfm_device *dev, const struct vfm_device_ops *ops, const char *uri,
		    struct vfm_err *err)
{
	dev->ops = ops;
	dev->uri = strdup(uri);
	return dev->uri ? 0 : vfm_fail(err, -ENOMEM, "%s: no memory", uri);
}

VFM_API void vfm_device_close(struct vfm_device *dev)
{
	char *uri;

	if (!dev)
		return;
	uri = dev->uri;
	dev->ops->close(dev);
	free(uri);
	free(dev);
}

VFM_API const char *vfm_device_uri(const struct vfm_device *dev)
{
	return dev->uri;
}

/* The error that an implementation fills in; only its start needs to be clean. */
#define LOCAL_ERR(name)                                                                            \
	struct vfm_err name;                                                                       \
	name.msg[0] = '\0'

/* Hand a failure on to the caller. */
static ssize_t done(struct vfm_device *dev, ssize_t ret, const struct vfm_err *local,
		    struct vfm_err *err)
{
	if (ret >= 0)
		return ret;
	return vfm_fail(err, (int)ret, "%s: %s", dev->uri,
			local->msg[0] ? local->msg : strerror((int)-ret));
}

static int cannot(struct vfm_device *dev, const char *what, struct vfm_err *err)
{
	return vfm_fail(err, -ENOTTY, "%s: cannot %s", dev->uri, what);
}

/* Call an operation that may be missing; the arguments after @what are its own. */
#define CALL(dev, op, what, err, ...)                                                              \
	({                                                                                         \
		LOCAL_ERR(local);                                                                  \
		(dev)->ops->op                                                                     \
			? done(dev, (dev)->ops->op(dev, ##__VA_ARGS__, &local), &local, err)       \
			: cannot(dev, what, err);                                                  \
	})

VFM_API int vfm_device_get_info(struct vfm_device *dev, struct vfm_device_info *info,
				struct vfm_err *err)
{
	return (int)CALL(dev, get_info, "be described", err, info);
}

VFM_API int vfm_device_get_region(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
				  struct vfm_err *err)
{
	return (int)CALL(dev, get_region, "describe a region", err, index, region);
}

static int check_access(struct vfm_device *dev, uint32_t index, uint64_t offset, size_t len,
			struct vfm_err *err)
{
	if (!len || vfm_range_wraps(offset, len))
		return vfm_fail(err, -EINVAL,
				"%s: access to region %" PRIu32 ": offset 0x%" PRIx64 ", %zu bytes",
				dev->uri, index, offset, len);
	return 0;
}

VFM_API int vfm_device_read_region(struct vfm_device *dev, uint32_t index, uint64_t offset,
				   void *buf, size_t len, struct vfm_err *err)
{
	int ret = check_access(dev, index, offset, len, err);

	return ret ? ret
		   : (int)CALL(dev, read_region, "read a region", err, index, offset, buf, len);
}

VFM_API int vfm_device_write_region(struct vfm_device *dev, uint32_t index, uint64_t offset,
				    const void *buf, size_t len, struct vfm_err *err)
{
	int ret = check_access(dev, index, offset, len, err);

	return ret ? ret
		   : (int)CALL(dev, write_region, "write a region", err, index, offset, buf, len);
}

VFM_API int vfm_device_get_io_fds(struct vfm_device *dev, uint32_t index, struct vfm_io_fd *list,
				  size_t max, struct vfm_err *err)
{
	return (int)CALL(dev, get_io_fds, "give descriptors for registers", err, index, list, max);
}

VFM_API int vfm_device_get_irq(struct vfm_device *dev, uint32_t index, struct vfm_irq *irq,
			       struct vfm_err *err)
{
	return (int)CALL(dev, get_irq, "describe an interrupt", err, index, irq);
}

#define IRQ_SET_DATA (VFM_IRQ_SET_DATA_NONE | VFM_IRQ_SET_DATA_BOOL | VFM_IRQ_SET_DATA_EVENTFD)
#define IRQ_SET_ACTION                                                                             \
	(VFM_IRQ_SET_ACTION_MASK | VFM_IRQ_SET_ACTION_UNMASK | VFM_IRQ_SET_ACTION_TRIGGER)

static bool irq_set_legal(const struct vfm_irq_set *set)
{
	uint32_t data = set->flags & IRQ_SET_DATA;

	return (set->flags & ~(IRQ_SET_DATA | IRQ_SET_ACTION)) == 0 && vfm_is_power_of_2(data) &&
	       vfm_is_power_of_2(set->flags & IRQ_SET_ACTION) &&
	       (data == VFM_IRQ_SET_DATA_EVENTFD || !set->fds) &&
	       (data == VFM_IRQ_SET_DATA_BOOL ? set->bools || !set->count : !set->bools) &&
	       set->count <= UINT32_MAX - set->start;
}

VFM_API int vfm_device_set_irqs(struct vfm_device *dev, const struct vfm_irq_set *set,
				struct vfm_err *err)
{
	if (!irq_set_legal(set))
		return vfm_fail(err, -EINVAL,
				"%s: set interrupts: flags 0x%" PRIx32 " with start %" PRIu32
				", count %" PRIu32 " make no sense",
				dev->uri, set->flags, set->start, set->count);
	return (int)CALL(dev, set_irqs, "set interrupts", err, set);
}

static int check_range(struct vfm_device *dev, const char *what, uint64_t iova, uint64_t size,
		       struct vfm_err *err)
{
	if (!size)
		return vfm_fail(err, -EINVAL, "%s: %s 0x%" PRIx64 ": size is 0", dev->uri, what,
				iova);
	if (vfm_range_wraps(iova, size))
		return vfm_fail(err, -EOVERFLOW, "%s: %s 0x%" PRIx64 ": size 0x%" PRIx64 " wraps",
				dev->uri, what, iova, size);
	return 0;
}

VFM_API int vfm_device_map_dma(struct vfm_device *dev, const struct vfm_dma_map *map,
			       struct vfm_err *err)
{
	int ret = check_range(dev, "map DMA", map->iova, map->size, err);

	if (ret)
		return ret;
	if (map->flags & ~(VFM_DMA_READ | VFM_DMA_WRITE) || !map->flags)
		return vfm_fail(err, -EINVAL, "%s: map DMA 0x%" PRIx64 ": flags 0x%" PRIx32,
				dev->uri, map->iova, map->flags);
	if (map->fd < 0 && !map->vaddr && !(map->access.read && map->access.write))
		return vfm_fail(err, -EINVAL,
				"%s: map DMA 0x%" PRIx64 ": no way to reach the memory", dev->uri,
				map->iova);
	return (int)CALL(dev, map_dma, "do DMA", err, map);
}

VFM_API int vfm_device_unmap_dma(struct vfm_device *dev, uint64_t iova, uint64_t size,
				 struct vfm_err *err)
{
	int ret = check_range(dev, "unmap DMA", iova, size, err);

	return ret ? ret : (int)CALL(dev, unmap_dma, "do DMA", err, iova, size);
}

VFM_API int vfm_device_unmap_all(struct vfm_device *dev, struct vfm_err *err)
{
	return (int)CALL(dev, unmap_all, "do DMA", err);
}

VFM_API int vfm_device_get_migration(struct vfm_device *dev, uint64_t *migration,
				     struct vfm_err *err)
{
	return (int)CALL(dev, get_migration, "migrate", err, migration);
}

VFM_API int vfm_device_get_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	return (int)CALL(dev, get_state, "migrate", err, state);
}

VFM_API int vfm_device_set_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	return (int)CALL(dev, set_state, "migrate", err, state);
}

VFM_API ssize_t vfm_device_read_data(struct vfm_device *dev, void *buf, size_t len,
				     struct vfm_err *err)
{
	LOCAL_ERR(local);
	ssize_t ret;

	if (!dev->ops->read_data)
		return cannot(dev, "migrate", err);
	if (!len)
		return vfm_fail(err, -EINVAL, "%s: read data: no room", dev->uri);
	ret = dev->ops->read_data(dev, buf, len, &local);
	return ret == -ENOMSG ? ret : done(dev, ret, &local, err);
}

VFM_API int vfm_device_write_data(struct vfm_device *dev, const void *buf, size_t len,
				  struct vfm_err *err)
{
	return (int)CALL(dev, write_data, "migrate", err, buf, len);
}

VFM_API ssize_t vfm_device_read_chunk(struct vfm_device *dev, void *buf, size_t len, bool *end,
				      struct vfm_err *err)
{
	LOCAL_ERR(local);
	ssize_t ret;

	*end = false;
	if (!dev->ops->read_chunk)
		return vfm_device_read_data(dev, buf, len, err);
	if (!len)
		return vfm_fail(err, -EINVAL, "%s: read data: no room", dev->uri);
	ret = dev->ops->read_chunk(dev, buf, len, end, &local);
	return ret == -ENOMSG ? ret : done(dev, ret, &local, err);
}

VFM_API int vfm_device_write_chunk(struct vfm_device *dev, const void *buf, size_t len, bool end,
				   struct vfm_err *err)
{
	if (!dev->ops->write_chunk)
		return vfm_device_write_data(dev, buf, len, err);
	return (int)CALL(dev, write_chunk, "migrate", err, buf, len, end);
}

VFM_API int vfm_device_get_protocol(struct vfm_device *dev, struct vfm_protocol *protocol,
				    struct vfm_err *err)
{
	uint64_t migration;

	*protocol = (struct vfm_protocol){ .version = 2 };
	if (dev->ops->get_protocol)
		return (int)CALL(dev, get_protocol, "migrate", err, protocol);
	return vfm_device_get_migration(dev, &migration, err);
}

VFM_API int vfm_device_get_precopy_info(struct vfm_device *dev, struct vfm_precopy_info *info,
					struct vfm_err *err)
{
	return (int)CALL(dev, get_precopy_info, "tell what pre-copy has left", err, info);
}

VFM_API int vfm_device_get_data_size(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err)
{
	return (int)CALL(dev, get_data_size, "tell the size of its data", err, bytes);
}

VFM_API int vfm_device_reset(struct vfm_device *dev, struct vfm_err *err)
{
	return (int)CALL(dev, reset, "be reset", err);
}

VFM_API int vfm_device_get_compat(struct vfm_device *dev, struct vfm_compat *compat,
				  struct vfm_err *err)
{
	return (int)CALL(dev, get_compat, "tell what its images must agree in", err, compat);
}

VFM_API int vfm_device_set_orphan(struct vfm_device *dev, enum vfm_orphan orphan,
				  struct vfm_err *err)
{
	if ((unsigned int)orphan > VFM_ORPHAN_RESET)
		return vfm_fail(err, -EINVAL, "%s: no orphan policy %d", dev->uri, (int)orphan);
	return (int)CALL(dev, set_orphan, "act when its user vanishes", err, orphan);
}

static int check_log_range(struct vfm_device *dev, const struct vfm_range *r, uint64_t page_size,
			   struct vfm_err *err)
{
	int ret = check_range(dev, "log", r->iova, r->size, err);

	if (ret)
		return ret;
	if (r->iova + r->size == 0)
		return vfm_fail(err, -EOVERFLOW, "%s: log 0x%" PRIx64 ": ends at 2^64", dev->uri,
				r->iova);
	if (r->iova % page_size || r->size % page_size)
		return vfm_fail(err, -EINVAL,
				"%s: log 0x%" PRIx64 ", size 0x%" PRIx64
				": not aligned to pages of %" PRIu64,
				dev->uri, r->iova, r->size, page_size);
	return 0;
}

static bool overlap(const struct vfm_range *a, const struct vfm_range *b)
{
	return a->iova < b->iova + b->size && b->iova < a->iova + a->size;
}

static int check_log_ranges(struct vfm_device *dev, uint64_t page_size,
			    const struct vfm_range *ranges, size_t nr, struct vfm_err *err)
{
	for (size_t i = 0; i < nr; i++) {
		int ret = check_log_range(dev, &ranges[i], page_size, err);

		if (ret)
			return ret;
		for (size_t j = 0; j < i; j++)
			if (overlap(&ranges[i], &ranges[j]))
				return vfm_fail(err, -EINVAL,
						"%s: log 0x%" PRIx64
						": overlaps the range at 0x%" PRIx64,
						dev->uri, ranges[i].iova, ranges[j].iova);
	}
	return 0;
}

VFM_API int vfm_device_start_log(struct vfm_device *dev, uint64_t *page_size,
				 const struct vfm_range *ranges, size_t nr_ranges,
				 struct vfm_err *err)
{
	int ret;

	if (!vfm_is_power_of_2(*page_size))
		return vfm_fail(err, -EINVAL, "%s: log pages of %" PRIu64 " bytes", dev->uri,
				*page_size);
	if (!nr_ranges || nr_ranges > VFM_MAX_LOG_RANGES)
		return vfm_fail(err, nr_ranges ? -E2BIG : -EINVAL,
				"%s: log %zu ranges; 1 to %d can be", dev->uri, nr_ranges,
				VFM_MAX_LOG_RANGES);
	ret = check_log_ranges(dev, *page_size, ranges, nr_ranges, err);
	return ret ? ret
		   : (int)CALL(dev, start_log, "log what it writes", err, page_size, ranges,
			       nr_ranges);
}

VFM_API int vfm_device_report_log(struct vfm_device *dev, uint64_t iova, uint64_t size,
				  uint64_t page_size, uint64_t *bitmap, struct vfm_err *err)
{
	int ret = check_range(dev, "report", iova, size, err);

	if (ret)
		return ret;
	if (!vfm_is_power_of_2(page_size) || page_size < 4096 || iova % page_size)
		return vfm_fail(err, -EINVAL,
				"%s: report 0x%" PRIx64 " in pages of %" PRIu64
				": must be a power of two from 4096, and aligned",
				dev->uri, iova, page_size);
	return (int)CALL(dev, report_log, "log what it writes", err, iova, size, page_size, bitmap);
}

VFM_API int vfm_device_stop_log(struct vfm_device *dev, struct vfm_err *err)
{
	return (int)CALL(dev, stop_log, "log what it writes", err);
}

VFM_API int vfm_device_get_fd(struct vfm_device *dev)
{
	return dev->ops->get_fd ? dev->ops->get_fd(dev) : -1;
}

VFM_API int vfm_device_process(struct vfm_device *dev, struct vfm_err *err)
{
	LOCAL_ERR(local);

	if (!dev->ops->process)
		return 0;
	return (int)done(dev, dev->ops->process(dev, &local), &local, err);
}
