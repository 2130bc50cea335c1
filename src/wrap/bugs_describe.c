// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Bugs of what a device says of its regions. */

#include "wrap/wrap.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/util.h"

static int gone_while_resuming(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			       struct vfm_err *err)
{
	int ret = vfm_pass_get_region(dev, index, region, err);

	if (!ret && vfm_fault_state(dev) == VFM_STATE_RESUMING)
		*region = (struct vfm_region){ .index = index, .fd = -1 };
	return ret;
}

/* ---- of a region -------------------------------------------------------------------- */

static bool mapped(const struct vfm_region *region)
{
	return region->flags & VFM_REGION_MMAP;
}

static int without_descriptor(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			      struct vfm_err *err)
{
	int ret = vfm_pass_get_region(dev, index, region, err);

	if (!ret && mapped(region))
		region->fd = -1;
	return ret;
}

static int area_within_page(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			    struct vfm_err *err)
{
	int ret = vfm_pass_get_region(dev, index, region, err);

	if (!ret && mapped(region) && region->nr_areas)
		region->areas[region->nr_areas - 1].offset += 512;
	return ret;
}

/* A number that nothing is open under. */
static int stale_descriptor(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			    struct vfm_err *err)
{
	int ret = vfm_pass_get_region(dev, index, region, err);

	if (!ret && mapped(region))
		region->fd = INT_MAX;
	return ret;
}

static int irq_without_eventfd(struct vfm_device *dev, uint32_t index, struct vfm_irq *irq,
			       struct vfm_err *err)
{
	int ret = vfm_pass_get_irq(dev, index, irq, err);

	if (!ret && index == VFM_PCI_INTX)
		irq->flags &= ~VFM_IRQ_EVENTFD;
	return ret;
}

static int io_fd_outside(struct vfm_device *dev, uint32_t index, struct vfm_io_fd *list, size_t max,
			 struct vfm_err *err)
{
	int ret = vfm_pass_get_io_fds(dev, index, list, max, err);

	if (ret > 0 && max)
		list[0].offset = UINT64_MAX;
	return ret;
}

static int one_more_region(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			   struct vfm_err *err)
{
	struct vfm_device_info info;
	int ret = vfm_pass_get_info(dev, &info, err);

	if (ret || index != info.nr_regions)
		return ret ? ret : vfm_pass_get_region(dev, index, region, err);
	*region = (struct vfm_region){ .index = index, .fd = -1 };
	return 0;
}

static int reads_on(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf, size_t len,
		    struct vfm_err *err)
{
	struct vfm_region region;
	int ret = vfm_pass_get_region(dev, index, &region, err);

	if (ret || offset < region.size || !region.size)
		return ret ? ret : vfm_pass_read_region(dev, index, offset, buf, len, err);
	memset(buf, 0, len);
	return 0;
}

static int nobody_there(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			size_t len, struct vfm_err *err)
{
	int ret = vfm_pass_read_region(dev, index, offset, buf, len, err);

	if (!ret && index == VFM_PCI_CONFIG && !offset)
		memset(buf, 0xff, len);
	return ret;
}

const struct vfm_bug vfm_bugs_describe[] = {
	{
		.is = { .name = "regions-gone-while-resuming",
			.title = "regions have no size in RESUMING",
			.where = "" },
		.rules = { "v2.describe.stable" },
		.ops = { .get_region = gone_while_resuming },
	},
	{
		.is = { .name = "mmap-without-descriptor",
			.title = "a region can be mapped, and has no descriptor",
			.where = "libvfio-user, region info that is asked for with too small an "
				 "argsz" },
		.rules = { "v2.describe.regions-consistent" },
		.ops = { .get_region = without_descriptor },
	},
	{
		.is = { .name = "area-within-page",
			.title = "an area begins in the middle of a page, and ends behind its "
				 "region",
			.where = "" },
		.rules = { "v2.describe.areas-inside", "v2.describe.areas-can-be-mapped" },
		.ops = { .get_region = area_within_page },
	},
	{
		.is = { .name = "stale-region-descriptor",
			.title = "the descriptor of a region is closed already",
			.where = "" },
		.rules = { "v2.describe.areas-can-be-mapped" },
		.ops = { .get_region = stale_descriptor },
	},
	{
		.is = { .name = "irq-without-eventfd",
			.title = "INTx is said to have no eventfd",
			.where = "" },
		.rules = { "v2.describe.irqs-consistent" },
		.ops = { .get_irq = irq_without_eventfd },
	},
	{
		.is = { .name = "io-fd-outside",
			.title = "the descriptor for a register stands for a place beyond the "
				 "region",
			.where = "" },
		.rules = { "v2.describe.io-fds-inside" },
		.ops = { .get_io_fds = io_fd_outside },
	},
	{
		.is = { .name = "region-index-off-by-one",
			.title = "a region beyond the last is described",
			.where = "" },
		.rules = { "v2.describe.index-beyond-refused" },
		.ops = { .get_region = one_more_region },
	},
	{
		.is = { .name = "region-read-beyond",
			.title = "a region can be read beyond its end",
			.where = "" },
		.rules = { "v2.describe.access-beyond-refused" },
		.ops = { .read_region = reads_on },
	},
	{
		.is = { .name = "no-vendor",
			.title = "the vendor in the configuration space is 0xffff",
			.where = "" },
		.rules = { "v2.describe.pci-numbering" },
		.ops = { .read_region = nobody_there },
	},
};
const size_t vfm_nr_bugs_describe = VFM_ARRAY_SIZE(vfm_bugs_describe);
