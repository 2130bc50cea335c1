// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * An operation of a trace, done again. What it comes to is seen by a hook around the
 * device (replay.c); here it is only made, with memory and descriptors of its own in place
 * of those that it had.
 */

#include "wrap/trace.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vfmig/driver.h>

#include "base/cleanup.h"
#include "base/util.h"

/* Memory for DMA is a file without a byte in it until it is written. */
#define MAP_MAX (UINT64_C(1) << 40)

static uint64_t arg(const struct vfm_redo *r, const char *name)
{
	return vfm_step_arg(r->step, name);
}

/* Of an operation that has room for what comes out; more than we have is another operation. */
static size_t room(const struct vfm_redo *r)
{
	return (size_t)VFM_MIN(arg(r, "size"), (uint64_t)VFM_REDO_ROOM);
}

static size_t data_len(const struct vfm_redo *r)
{
	return (size_t)r->step->data_len;
}

static int redo_get_info(const struct vfm_redo *r)
{
	struct vfm_device_info info;

	return vfm_device_get_info(r->dev, &info, NULL);
}

static int redo_get_region(const struct vfm_redo *r)
{
	struct vfm_region region;

	return vfm_device_get_region(r->dev, (uint32_t)arg(r, "index"), &region, NULL);
}

static int redo_get_irq(const struct vfm_redo *r)
{
	struct vfm_irq irq;

	return vfm_device_get_irq(r->dev, (uint32_t)arg(r, "index"), &irq, NULL);
}

static int redo_get_migration(const struct vfm_redo *r)
{
	uint64_t migration;

	return vfm_device_get_migration(r->dev, &migration, NULL);
}

static int redo_get_compat(const struct vfm_redo *r)
{
	struct vfm_compat compat;

	return vfm_device_get_compat(r->dev, &compat, NULL);
}

static int redo_read_region(const struct vfm_redo *r)
{
	return vfm_device_read_region(r->dev, (uint32_t)arg(r, "index"), arg(r, "offset"), r->buf,
				      room(r), NULL);
}

static int redo_write_region(const struct vfm_redo *r)
{
	return vfm_device_write_region(r->dev, (uint32_t)arg(r, "index"), arg(r, "offset"), r->data,
				       data_len(r), NULL);
}

/* Descriptors of ours, where there were some. */
static int redo_set_irqs(const struct vfm_redo *r)
{
	struct vfm_irq_set set = { .flags = (uint32_t)arg(r, "flags"),
				   .index = (uint32_t)arg(r, "index"),
				   .start = (uint32_t)arg(r, "start"),
				   .count = (uint32_t)arg(r, "count") };
	int fds[VFM_MAX_VECTORS], ret;
	size_t count = VFM_MIN(data_len(r), VFM_MAX_VECTORS);
	bool has_fds = set.flags & VFM_IRQ_SET_DATA_EVENTFD;

	if (count && count != set.count)
		return -ENOSYS;
	for (size_t i = 0; has_fds && i < count; i++)
		fds[i] = r->data[i] ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
	if (count && has_fds)
		set.fds = fds;
	else if (count)
		set.bools = r->data;
	ret = vfm_device_set_irqs(r->dev, &set, NULL);
	for (size_t i = 0; has_fds && i < count; i++)
		vfm_close_fd(&fds[i]);
	return ret;
}

static int redo_map_dma(const struct vfm_redo *r)
{
	struct vfm_dma_map map = { .iova = arg(r, "iova"),
				   .size = arg(r, "size"),
				   .flags = (uint32_t)arg(r, "flags"),
				   .fd = memfd_create("replay", MFD_CLOEXEC) };
	int ret = -ENOSYS;

	if (map.fd >= 0 && map.size <= MAP_MAX && !ftruncate(map.fd, (off_t)map.size))
		ret = vfm_device_map_dma(r->dev, &map, NULL);
	vfm_close_fd(&map.fd);
	return ret;
}

static int redo_unmap_dma(const struct vfm_redo *r)
{
	return vfm_device_unmap_dma(r->dev, arg(r, "iova"), arg(r, "size"), NULL);
}

static int redo_unmap_all(const struct vfm_redo *r)
{
	return vfm_device_unmap_all(r->dev, NULL);
}

static int redo_get_state(const struct vfm_redo *r)
{
	enum vfm_state state;

	return vfm_device_get_state(r->dev, &state, NULL);
}

static int redo_set_state(const struct vfm_redo *r)
{
	return vfm_device_set_state(r->dev, (enum vfm_state)arg(r, "state"), NULL);
}

static int redo_read_data(const struct vfm_redo *r)
{
	return vfm_device_read_data(r->dev, r->buf, room(r), NULL) < 0 ? -EIO : 0;
}

static int redo_write_data(const struct vfm_redo *r)
{
	return vfm_device_write_data(r->dev, r->data, data_len(r), NULL);
}

static int redo_read_chunk(const struct vfm_redo *r)
{
	bool ends;

	return vfm_device_read_chunk(r->dev, r->buf, room(r), &ends, NULL) < 0 ? -EIO : 0;
}

static int redo_write_chunk(const struct vfm_redo *r)
{
	return vfm_device_write_chunk(r->dev, r->data, data_len(r), arg(r, "ends"), NULL);
}

static int redo_get_precopy_info(const struct vfm_redo *r)
{
	struct vfm_precopy_info info;

	return vfm_device_get_precopy_info(r->dev, &info, NULL);
}

static int redo_get_data_size(const struct vfm_redo *r)
{
	uint64_t bytes;

	return vfm_device_get_data_size(r->dev, &bytes, NULL);
}

static int redo_reset(const struct vfm_redo *r)
{
	return vfm_device_reset(r->dev, NULL);
}

static int redo_set_orphan(const struct vfm_redo *r)
{
	return vfm_device_set_orphan(r->dev, (enum vfm_orphan)arg(r, "orphan"), NULL);
}

static int redo_start_log(const struct vfm_redo *r)
{
	struct vfm_range ranges[VFM_MAX_LOG_RANGES];
	uint64_t page_size = arg(r, "page_size");

	if (data_len(r) > sizeof(ranges) || data_len(r) % sizeof(ranges[0]))
		return -ENOSYS;
	memcpy(ranges, r->data, data_len(r));
	return vfm_device_start_log(r->dev, &page_size, ranges, data_len(r) / sizeof(ranges[0]),
				    NULL);
}

/* Bits are only ever set: it begins with none, whatever it began with then. */
static int redo_report_log(const struct vfm_redo *r)
{
	uint64_t size = arg(r, "size"), page_size = arg(r, "page_size");
	size_t bytes;

	if (!vfm_is_power_of_2(page_size) || size / page_size / 8 >= VFM_REDO_ROOM)
		return -ENOSYS;
	bytes = vfm_log_bitmap_words(size, page_size) * sizeof(uint64_t);
	memset(r->buf, 0, bytes);
	return vfm_device_report_log(r->dev, arg(r, "iova"), size, page_size, (uint64_t *)r->buf,
				     NULL);
}

static int redo_stop_log(const struct vfm_redo *r)
{
	return vfm_device_stop_log(r->dev, NULL);
}

#define REDO(name)                                                                                 \
	{                                                                                          \
#name, redo_##name                                                                 \
	}

static const struct {
	const char *op;
	int (*redo)(const struct vfm_redo *r);
} table[] = {
	REDO(get_info),	   REDO(get_region),  REDO(get_irq),	      REDO(get_migration),
	REDO(get_compat),  REDO(read_region), REDO(write_region),     REDO(set_irqs),
	REDO(map_dma),	   REDO(unmap_dma),   REDO(unmap_all),	      REDO(get_state),
	REDO(set_state),   REDO(read_data),   REDO(write_data),	      REDO(read_chunk),
	REDO(write_chunk), REDO(reset),	      REDO(get_precopy_info), REDO(get_data_size),
	REDO(set_orphan),  REDO(start_log),   REDO(report_log),	      REDO(stop_log),
};

void vfm_redo(const struct vfm_redo *r)
{
	for (size_t i = 0; i < VFM_ARRAY_SIZE(table); i++)
		if (!strcmp(table[i].op, r->step->op) && table[i].redo(r))
			return;
}

bool vfm_op_exists(const char *name)
{
	for (size_t i = 0; i < VFM_ARRAY_SIZE(table); i++)
		if (!strcmp(table[i].op, name))
			return true;
	return false;
}
