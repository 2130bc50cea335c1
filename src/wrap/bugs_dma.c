// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Bugs of mappings. Some undo what they hid when another range is mapped or unmapped, so
 * that they are about one thing and not about all that follows.
 */

#include "wrap/wrap.h"

#include <errno.h>

#include "base/util.h"

static int map_ignored(struct vfm_device *dev, const struct vfm_dma_map *map, struct vfm_err *err)
{
	(void)dev;
	(void)map;
	(void)err;
	return 0;
}

static int needs_file(struct vfm_device *dev, const struct vfm_dma_map *map, struct vfm_err *err)
{
	if (map->fd < 0)
		return vfm_fail(err, -EINVAL, "map DMA: there is no descriptor");
	return vfm_pass_map_dma(dev, map, err);
}

static int read_only_ignored(struct vfm_device *dev, const struct vfm_dma_map *map,
			     struct vfm_err *err)
{
	struct vfm_dma_map both = *map;

	both.flags |= VFM_DMA_WRITE;
	return vfm_pass_map_dma(dev, &both, err);
}

static int overlap_accepted(struct vfm_device *dev, const struct vfm_dma_map *map,
			    struct vfm_err *err)
{
	int ret = vfm_pass_map_dma(dev, map, err);

	return ret == -EEXIST ? 0 : ret;
}

static int overlap_einval(struct vfm_device *dev, const struct vfm_dma_map *map,
			  struct vfm_err *err)
{
	int ret = vfm_pass_map_dma(dev, map, err);

	return ret == -EEXIST ? -EINVAL : ret;
}

static int unmap_inexact(struct vfm_device *dev, uint64_t iova, uint64_t size, struct vfm_err *err)
{
	int ret = vfm_pass_unmap_dma(dev, iova, size, err);

	return ret == -ENOENT ? 0 : ret;
}

/* ---- unmapped, and not yet -------------------------------------------------------------- */

/* flag: count[0], count[1] are the range that should have been unmapped before. */
static int catch_up(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	if (!f->flag)
		return 0;
	f->flag = false;
	return vfm_pass_unmap_dma(dev, f->count[0], f->count[1], err);
}

static int map_late(struct vfm_device *dev, const struct vfm_dma_map *map, struct vfm_err *err)
{
	int ret = catch_up(dev, err);

	return ret ? ret : vfm_pass_map_dma(dev, map, err);
}

/* Only the range that was mapped last; whether another one is mapped so is not known here. */
static int unmap_late(struct vfm_device *dev, uint64_t iova, uint64_t size, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	int ret = catch_up(dev, err);

	if (ret || f->count[2] != iova || f->count[3] != size)
		return ret ? ret : vfm_pass_unmap_dma(dev, iova, size, err);
	f->flag = true;
	f->count[0] = iova;
	f->count[1] = size;
	f->count[2] = f->count[3] = 0;
	return 0;
}

/* count[2], count[3]: the range that was mapped last. */
static int note_map(struct vfm_device *dev, const struct vfm_dma_map *map, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	int ret = map_late(dev, map, err);

	if (!ret) {
		f->count[2] = map->iova;
		f->count[3] = map->size;
	}
	return ret;
}

/* A range that comes back is taken for the one that went. */
static int map_stale(struct vfm_device *dev, const struct vfm_dma_map *map, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	if (!f->flag || f->count[0] != map->iova || f->count[1] != map->size)
		return note_map(dev, map, err);
	f->flag = false;
	f->count[2] = map->iova;
	f->count[3] = map->size;
	return 0;
}

/* ---- errors and limits ------------------------------------------------------------------ */

/* count[0]: ranges that are mapped; flag: there were some. */
static int count_map(struct vfm_device *dev, const struct vfm_dma_map *map, struct vfm_err *err)
{
	int ret = vfm_pass_map_dma(dev, map, err);

	if (!ret) {
		vfm_fault_of(dev)->count[0]++;
		vfm_fault_of(dev)->flag = true;
	}
	return ret;
}

static int count_unmap(struct vfm_device *dev, uint64_t iova, uint64_t size, struct vfm_err *err)
{
	int ret = vfm_pass_unmap_dma(dev, iova, size, err);

	if (!ret)
		vfm_fault_of(dev)->count[0]--;
	return ret;
}

static int dies(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
		size_t len, struct vfm_err *err)
{
	const struct vfm_fault *f = vfm_fault_of(dev);

	if (f->flag && !f->count[0] && index < VFM_PCI_ROM)
		return vfm_fail(err, -ECONNRESET, "the device is gone");
	return vfm_pass_write_region(dev, index, offset, buf, len, err);
}

static int sixteen(struct vfm_device *dev, const struct vfm_dma_map *map, struct vfm_err *err)
{
	if (vfm_fault_of(dev)->count[0] == 16)
		return vfm_fail(err, -EINVAL, "map DMA: there are 16 ranges");
	return count_map(dev, map, err);
}

static int reset_unmaps(struct vfm_device *dev, struct vfm_err *err)
{
	int ret = vfm_pass_reset(dev, err);

	return ret ? ret : vfm_pass_unmap_all(dev, err);
}

const struct vfm_bug vfm_bugs_dma[] = {
	{
		.is = { .name = "dma-map-ignored",
			.title = "mappings are accepted and dropped",
			.where = "libvfio-user, DMA_MAP of a device without a DMA controller" },
		.rules = { "vfio.dma.write-arrives", "vfio.dma.without-file",
			   "vfio.dma.unmap-exact" },
		.ops = { .map_dma = map_ignored },
	},
	{
		.is = { .name = "dma-needs-file",
			.title = "memory without a descriptor is refused",
			.where = "" },
		.rules = { "vfio.dma.without-file" },
		.ops = { .map_dma = needs_file },
	},
	{
		.is = { .name = "dma-read-only-ignored",
			.title = "memory that may be read only is written",
			.where = "" },
		.rules = { "vfio.dma.read-only" },
		.ops = { .map_dma = read_only_ignored },
	},
	{
		.is = { .name = "dma-overlap-accepted",
			.title = "a mapping that overlaps another is accepted and dropped",
			.where = "libvfio-user, DMA_MAP of the same range again" },
		.rules = { "vfio.dma.overlap-refused" },
		.ops = { .map_dma = overlap_accepted },
	},
	{
		.is = { .name = "dma-overlap-einval",
			.title = "a mapping that overlaps another is refused with EINVAL",
			.where = "libvfio-user, DMA_MAP of a range that overlaps" },
		.rules = { "vfio.dma.overlap-errno" },
		.ops = { .map_dma = overlap_einval },
	},
	{
		.is = { .name = "dma-unmap-inexact",
			.title = "what is not mapped so can be unmapped",
			.where = "" },
		.rules = { "vfio.dma.unmap-exact" },
		.ops = { .unmap_dma = unmap_inexact },
	},
	{
		.is = { .name = "dma-unmap-late",
			.title = "memory is reached after it was unmapped",
			.where = "" },
		.rules = { "vfio.dma.none-after-unmap" },
		.ops = { .map_dma = note_map, .unmap_dma = unmap_late },
	},
	{
		.is = { .name = "dma-stale-mapping",
			.title = "memory that was there before is reached instead of that which is",
			.where = "" },
		.rules = { "vfio.dma.remap", "vfio.dma.none-after-unmap" },
		.ops = { .map_dma = map_stale, .unmap_dma = unmap_late },
	},
	{
		.is = { .name = "dma-bad-address-kills",
			.title = "the device dies of an address where nothing is mapped",
			.where = "" },
		.rules = { "vfio.dma.bad-address-survived" },
		.ops = { .map_dma = count_map, .unmap_dma = count_unmap, .write_region = dies },
	},
	{
		.is = { .name = "dma-sixteen-ranges",
			.title = "the seventeenth range is refused",
			.where = "libvfio-user before v2, 16 regions" },
		.rules = { "vfio.dma.many-ranges" },
		.ops = { .map_dma = sixteen, .unmap_dma = count_unmap },
	},
	{
		.is = { .name = "dma-lost-on-reset",
			.title = "a reset takes the mappings away",
			.where = "" },
		.rules = { "vfio.dma.mappings-stay-over-reset" },
		.ops = { .reset = reset_unmaps },
	},
};
const size_t vfm_nr_bugs_dma = VFM_ARRAY_SIZE(vfm_bugs_dma);
