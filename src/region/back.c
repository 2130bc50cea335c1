// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A device with the semantics of v2 over one that has the migration region of v1: how
 * it is opened, and what is seen of the device behind: all but that region. What is
 * asked of descriptions is asked here, once: some devices answer only while they run.
 */

#include "region/back.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/util.h"

/* ---- what is seen --------------------------------------------------------------- */

/* Behind the last region there is none; in between one of size 0 keeps the place. */
static uint32_t nr_shown(const struct vfm_back *b)
{
	return b->info.nr_regions - (b->region == b->info.nr_regions - 1);
}

static int get_info(struct vfm_device *dev, struct vfm_device_info *info, struct vfm_err *err)
{
	struct vfm_back *b = vfm_back_of(dev);

	(void)err;
	*info = b->info;
	info->nr_regions = nr_shown(b);
	return 0;
}

static int hidden(const struct vfm_back *b, uint32_t index, struct vfm_err *err)
{
	if (index != b->region)
		return 0;
	return vfm_fail(err, -EINVAL, "there is no region %" PRIu32, index);
}

static int get_region(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
		      struct vfm_err *err)
{
	struct vfm_back *b = vfm_back_of(dev);

	if (index != b->region)
		return vfm_pass_get_region(dev, index, region, err);
	if (index >= nr_shown(b))
		return hidden(b, index, err);
	*region = (struct vfm_region){ .index = index, .fd = -1 };
	return 0;
}

static int read_region(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
		       size_t len, struct vfm_err *err)
{
	int ret = hidden(vfm_back_of(dev), index, err);

	return ret ? ret : vfm_pass_read_region(dev, index, offset, buf, len, err);
}

static int write_region(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
			size_t len, struct vfm_err *err)
{
	int ret = hidden(vfm_back_of(dev), index, err);

	return ret ? ret : vfm_pass_write_region(dev, index, offset, buf, len, err);
}

static int get_io_fds(struct vfm_device *dev, uint32_t index, struct vfm_io_fd *list, size_t max,
		      struct vfm_err *err)
{
	int ret = hidden(vfm_back_of(dev), index, err);

	return ret ? ret : vfm_pass_get_io_fds(dev, index, list, max, err);
}

/* v1 obliges to pre-copy, and knows nothing of P2P. */
static int get_migration(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err)
{
	(void)dev;
	(void)err;
	*migration = VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_PRE_COPY;
	return 0;
}

static int get_protocol(struct vfm_device *dev, struct vfm_protocol *protocol, struct vfm_err *err)
{
	const struct vfm_back *b = vfm_back_of(dev);

	(void)err;
	*protocol = (struct vfm_protocol){
		.version = 1,
		.region = b->region,
		.region_size = b->size,
		.late_proof = b->late_proof,
	};
	for (uint32_t i = 0; i < b->nr_areas; i++)
		protocol->mapped_size += b->areas[i].size;
	return 0;
}

/* ---- opening and closing -------------------------------------------------------- */

static void close_back(struct vfm_device *dev)
{
	struct vfm_back *b = vfm_back_of(dev);

	vfm_back_end_session(b);
	vfm_back_unmap(b);
	vfm_device_close(b->pass.inner);
}

static const struct vfm_device_ops back_ops = {
	.close = close_back,
	.get_info = get_info,
	.get_region = get_region,
	.read_region = read_region,
	.write_region = write_region,
	.get_io_fds = get_io_fds,
	.get_irq = vfm_pass_get_irq,
	.set_irqs = vfm_pass_set_irqs,
	.map_dma = vfm_pass_map_dma,
	.unmap_dma = vfm_pass_unmap_dma,
	.unmap_all = vfm_pass_unmap_all,
	.get_migration = get_migration,
	.get_state = vfm_back_get_state,
	.set_state = vfm_back_set_state,
	.read_data = vfm_back_read_data,
	.write_data = vfm_back_write_data,
	.read_chunk = vfm_back_read_chunk,
	.write_chunk = vfm_back_write_chunk,
	.get_precopy_info = vfm_back_get_precopy_info,
	.get_data_size = vfm_back_get_data_size,
	.reset = vfm_back_reset,
	.get_compat = vfm_pass_get_compat,
	.set_orphan = vfm_pass_set_orphan,
	.get_protocol = get_protocol,
	.start_log = vfm_pass_start_log,
	.report_log = vfm_pass_report_log,
	.stop_log = vfm_pass_stop_log,
	.get_fd = vfm_pass_get_fd,
	.process = vfm_pass_process,
};

static bool is_migration_region(const struct vfm_region *region)
{
	return region->type == VFM_V1_REGION_TYPE && region->subtype == VFM_V1_REGION_SUBTYPE &&
	       region->size;
}

/* An index that is refused is one that is not there: not all of PCI's have to be. */
static int find_region(struct vfm_back *b, struct vfm_region *region, struct vfm_err *err)
{
	for (uint32_t i = 0; i < b->info.nr_regions; i++) {
		int ret;

		err->msg[0] = '\0';
		ret = VFM_PASS(b->pass.inner, get_region, err, i, region);
		if (ret && ret != -EINVAL)
			return vfm_back_why(ret, err, "look for the migration region");
		if (!ret && is_migration_region(region)) {
			region->index = i;
			return 0;
		}
	}
	return vfm_fail(err, -ENOENT, "none of %" PRIu32 " regions is a migration region",
			b->info.nr_regions);
}

static int check_region(const struct vfm_region *region, struct vfm_err *err)
{
	if ((region->flags & (VFM_REGION_READ | VFM_REGION_WRITE)) !=
	    (VFM_REGION_READ | VFM_REGION_WRITE))
		return vfm_fail(err, -EPROTO,
				"the migration region %" PRIu32
				" cannot be read and written: flags 0x%" PRIx32,
				region->index, region->flags);
	if (region->size <= VFM_V1_REGISTERS_END)
		return vfm_fail(err, -EPROTO,
				"the migration region %" PRIu32 " has %" PRIu64
				" bytes and no room behind its %u of registers",
				region->index, region->size, VFM_V1_REGISTERS_END);
	return 0;
}

static int set_up(struct vfm_back *b, struct vfm_err *err)
{
	struct vfm_region region = { .fd = -1 };
	int ret = VFM_PASS(b->pass.inner, get_info, err, &b->info);

	if (ret)
		return vfm_back_why(ret, err, "look for the migration region");
	ret = find_region(b, &region, err);
	if (!ret)
		ret = check_region(&region, err);
	if (ret)
		return ret;
	b->region = region.index;
	b->size = region.size;
	return vfm_back_map(b, &region, err);
}

int vfm_back_open(struct vfm_device **out, struct vfm_device *inner, struct vfm_err *err)
{
	struct vfm_back *b = calloc(1, sizeof(*b));
	struct vfm_err why = { 0 };
	int ret;

	if (!b)
		return vfm_fail(err, -ENOMEM, "no memory for the migration region's user");
	b->pass.inner = inner;
	ret = set_up(b, &why);
	if (!ret)
		ret = vfm_device_init(&b->pass.dev, &back_ops, inner->uri, &why);
	if (ret) {
		vfm_back_unmap(b);
		free(b);
		return vfm_fail(err, ret, "%s", why.msg);
	}
	*out = &b->pass.dev;
	return 0;
}
