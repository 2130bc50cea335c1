// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * The device's own dirty log: which pages of the user's memory it has written. One entry of
 * an xarray for each page, so the memory that it takes follows what was written, not the
 * size of the ranges.
 *
 * The core checks little and keeps no state: here is refused what would make no sense.
 */

#include "vfmig_sim.h"

#include <linux/interval_tree.h>
#include <linux/log2.h>

#define LOG_SHIFT 12
#define LOG_PAGE (1u << LOG_SHIFT)

void vfms_log_init(struct vfms *d)
{
	xa_init(&d->log_pages);
}

static void forget(struct vfms *d)
{
	xa_destroy(&d->log_pages);
	d->log_lost = false;
}

void vfms_log_forget(struct vfms *d)
{
	mutex_lock(&d->log_lock);
	forget(d);
	mutex_unlock(&d->log_lock);
}

void vfms_log_end(struct vfms *d)
{
	mutex_lock(&d->log_lock);
	d->logging = false;
	d->log_nr = 0;
	forget(d);
	mutex_unlock(&d->log_lock);
}

static bool logged(const struct vfms *d, u64 iova)
{
	u32 i;

	for (i = 0; i < d->log_nr; i++)
		if (iova >= d->log_ranges[i].first && iova <= d->log_ranges[i].last)
			return true;
	return false;
}

void vfms_log_written(struct vfms *d, u64 iova, u64 len)
{
	u64 last = iova + len - 1, page;

	mutex_lock(&d->log_lock);
	for (page = iova >> LOG_SHIFT; d->logging && page <= last >> LOG_SHIFT; page++)
		if (logged(d, page << LOG_SHIFT) &&
		    xa_err(xa_store(&d->log_pages, page, xa_mk_value(1), GFP_KERNEL)))
			d->log_lost = true;
	mutex_unlock(&d->log_lock);
}

/* Ranges come sorted, and do not overlap: the core sees to that. */
static int take_ranges(struct vfms *d, struct rb_root_cached *ranges, u32 count)
{
	struct interval_tree_node *node;

	if (!count || count > VFMS_LOG_RANGES)
		return count ? -E2BIG : -EINVAL;
	d->log_nr = 0;
	for (node = interval_tree_iter_first(ranges, 0, ULONG_MAX); node;
	     node = interval_tree_iter_next(node, 0, ULONG_MAX)) {
		if (d->log_nr == count || node->last < node->start)
			return -EINVAL;
		d->log_ranges[d->log_nr].first = node->start;
		d->log_ranges[d->log_nr++].last = node->last;
	}
	return 0;
}

static int log_start(struct vfio_device *vdev, struct rb_root_cached *ranges, u32 count,
		     u64 *page_size)
{
	struct vfms *d = container_of(vdev, struct vfms, vdev);
	int ret = 0;

	if (*page_size < LOG_PAGE || !is_power_of_2(*page_size))
		return -EINVAL;
	mutex_lock(&d->log_lock);
	if (d->logging) {
		ret = vfms_fault(d, FAULT_LOG_DOUBLE_START) ? 0 : -EINVAL;
	} else {
		ret = take_ranges(d, ranges, count);
		if (!vfms_fault(d, FAULT_LOG_REMEMBERS))
			forget(d);
		d->logging = !ret;
	}
	*page_size = LOG_PAGE;
	mutex_unlock(&d->log_lock);
	return ret;
}

static int log_stop(struct vfio_device *vdev)
{
	struct vfms *d = container_of(vdev, struct vfms, vdev);
	int ret;

	mutex_lock(&d->log_lock);
	ret = d->logging ? 0 : -EINVAL;
	d->logging = false;
	if (!vfms_fault(d, FAULT_LOG_REMEMBERS))
		forget(d);
	mutex_unlock(&d->log_lock);
	return ret;
}

/* Whether all of it is logged, be it by several ranges that touch. */
static bool covered(const struct vfms *d, u64 first, u64 last)
{
	u32 i;

	for (i = 0; i < d->log_nr; i++) {
		const struct vfms_log_range *r = &d->log_ranges[i];

		if (first < r->first || first > r->last)
			continue;
		if (last <= r->last)
			return true;
		first = r->last + 1;
	}
	return false;
}

static void report(struct vfms *d, u64 first, u64 last, struct iova_bitmap *dirty)
{
	unsigned long page;
	void *entry;

	xa_for_each_range(&d->log_pages, page, entry, first >> LOG_SHIFT, last >> LOG_SHIFT) {
		if (!vfms_fault(d, FAULT_LOG_LOSES_PAGES) || page % 64 != 63)
			iova_bitmap_set(dirty, page << LOG_SHIFT, LOG_PAGE);
		if (!vfms_fault(d, FAULT_LOG_NOT_CLEARED))
			xa_erase(&d->log_pages, page);
	}
}

static int log_read_and_clear(struct vfio_device *vdev, unsigned long iova, unsigned long length,
			      struct iova_bitmap *dirty)
{
	struct vfms *d = container_of(vdev, struct vfms, vdev);
	u64 last = (u64)iova + length - 1;
	int ret = 0;

	if (!length || last < iova)
		return -EINVAL;
	mutex_lock(&d->log_lock);
	if (!d->logging || !covered(d, iova, last))
		ret = -EINVAL;
	else if (d->log_lost || vfms_fault(d, FAULT_LOG_ALL_DIRTY))
		iova_bitmap_set(dirty, iova, length);
	else
		report(d, iova, last, dirty);
	mutex_unlock(&d->log_lock);
	return ret;
}

const struct vfio_log_ops vfms_log_ops = {
	.log_start = log_start,
	.log_stop = log_stop,
	.log_read_and_clear = log_read_and_clear,
};
