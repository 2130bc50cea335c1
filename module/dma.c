// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * Reading and writing the user's memory. dma=rw copies through the core, which holds what it
 * copies to only as long as that takes. dma=pin writes into pages that stay pinned, as
 * drivers do that give pages to hardware; what cannot be pinned is copied.
 *
 * Surprise: after an unmapping nothing is pinned for a second. The type1 IOMMU asks the drivers
 * to let go of a range again and again until they have, and takes the kernel down if one
 * has not after ten times. With a user that does DMA and unmaps at once, a page that was
 * pinned anew each time in between could do that.
 */

#include "vfmig_sim.h"

#include <linux/highmem.h>
#include <linux/iommu.h>

#define PINS_MAX 1024u

/* ---- pinned pages ---------------------------------------------------------------- */

static void unpin(struct vfms *d, unsigned long pfn)
{
	if (!xa_erase(&d->pins, pfn))
		return;
	vfio_unpin_pages(&d->vdev, (dma_addr_t)pfn << PAGE_SHIFT, 1);
	WRITE_ONCE(d->nr_pins, d->nr_pins - 1);
}

static void unpin_range(struct vfms *d, unsigned long first, unsigned long last)
{
	unsigned long pfn;
	struct page *page;

	xa_for_each_range(&d->pins, pfn, page, first, last)
		unpin(d, pfn);
}

void vfms_unpin_all(struct vfms *d)
{
	mutex_lock(&d->pin_lock);
	unpin_range(d, 0, ULONG_MAX);
	mutex_unlock(&d->pin_lock);
}

/* What another user had was unmapped for that one. */
void vfms_pins_begin(struct vfms *d)
{
	mutex_lock(&d->pin_lock);
	d->pins_barred_until = jiffies;
	mutex_unlock(&d->pin_lock);
}

void vfms_dma_unmap(struct vfio_device *vdev, u64 iova, u64 length)
{
	struct vfms *d = container_of(vdev, struct vfms, vdev);

	if (!length)
		return;
	mutex_lock(&d->pin_lock);
	d->pins_barred_until = jiffies + HZ;
	unpin_range(d, iova >> PAGE_SHIFT, (iova + length - 1) >> PAGE_SHIFT);
	mutex_unlock(&d->pin_lock);
}

/* The page, pinned; NULL: it cannot be just now. */
static struct page *pin(struct vfms *d, unsigned long pfn)
{
	struct page *page = xa_load(&d->pins, pfn);

	if (page || time_before(jiffies, d->pins_barred_until))
		return page;
	if (d->nr_pins >= PINS_MAX)
		unpin_range(d, 0, ULONG_MAX);
	if (vfio_pin_pages(&d->vdev, (dma_addr_t)pfn << PAGE_SHIFT, 1, IOMMU_READ | IOMMU_WRITE,
			   &page) != 1)
		return NULL;
	if (xa_err(xa_store(&d->pins, pfn, page, GFP_KERNEL))) {
		vfio_unpin_pages(&d->vdev, (dma_addr_t)pfn << PAGE_SHIFT, 1);
		return NULL;
	}
	WRITE_ONCE(d->nr_pins, d->nr_pins + 1);
	return page;
}

/* Within one page; false: not by this way. */
static bool write_pinned(struct vfms *d, u64 iova, const void *buf, size_t len)
{
	struct page *page;

	mutex_lock(&d->pin_lock);
	page = pin(d, iova >> PAGE_SHIFT);
	if (page)
		memcpy_to_page(page, offset_in_page(iova), buf, len);
	mutex_unlock(&d->pin_lock);
	return page;
}

/* ---- copies ---------------------------------------------------------------------- */

/* The kinds of IOMMU have errors of their own; to the device it is an address without memory. */
static int copy(struct vfms *d, u64 iova, void *buf, size_t len, bool write)
{
	return vfio_dma_rw(&d->vdev, iova, buf, len, write) ? -EFAULT : 0;
}

int vfms_dma_read(struct vfms *d, u64 iova, void *buf, size_t len)
{
	return copy(d, iova, buf, len, false);
}

int vfms_dma_write(struct vfms *d, u64 iova, const void *buf, size_t len)
{
	int ret = 0;

	vfms_log_written(d, iova, len);
	if (!d->params.pin)
		return copy(d, iova, (void *)buf, len, true);
	while (!ret && len) {
		size_t part = min_t(size_t, len, PAGE_SIZE - offset_in_page(iova));

		if (!write_pinned(d, iova, buf, part))
			ret = copy(d, iova, (void *)buf, part, true);
		iova += part;
		buf += part;
		len -= part;
	}
	return ret;
}
