// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Regions are parts of the device's own descriptor. An access is one pread() or pwrite() of
 * the width that was asked for: to a driver the width says which register is meant, so
 * nothing is split or joined here, and what the kernel did not finish is gone on with.
 *
 * What is said of them is checked before a user maps by it: areas that are no pages, or lie
 * out of order or outside, are a description that contradicts itself.
 */

#include "kernel/impl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/util.h"

#define REGION_FLAGS (VFM_REGION_READ | VFM_REGION_WRITE | VFM_REGION_MMAP)

/* ---- description --------------------------------------------------------------- */

/*
 * The offset is needed for every access, so it is always given; a descriptor to map only
 * where something can be. A whole region that is no whole pages is left to calls.
 */
static void settle_mapping(struct vfm_kernel *k, struct vfm_region *region)
{
	vfm_region_keep_aligned(region);
	if (!region->size ||
	    !vfm_region_aligned(region->fd_offset, region->nr_areas ? 0 : region->size))
		region->flags &= ~VFM_REGION_MMAP;
	if (region->flags & VFM_REGION_MMAP)
		region->fd = k->fd;
	else
		region->nr_areas = 0;
}

static int check_place(const struct vfm_region *region, struct vfm_err *err)
{
	uint64_t end;

	if (__builtin_add_overflow(region->fd_offset, region->size, &end) || end > INT64_MAX)
		return vfm_fail(err, -EPROTO,
				"0x%" PRIx64 " bytes at 0x%" PRIx64
				" of the descriptor are too far",
				region->size, region->fd_offset);
	return 0;
}

static int parse_region(struct vfm_kernel *k, const struct vfm_caps *caps,
			struct vfm_region *region, struct vfm_err *err)
{
	struct vfm_reader r = vfm_reader_of(caps->bytes, caps->len);
	struct vfm_abi_region_info info;
	int ret;

	vfm_read_copy(&r, &info, sizeof(info));
	region->size = info.size;
	region->fd_offset = info.offset;
	region->flags = info.size ? info.flags & REGION_FLAGS : 0;
	ret = check_place(region, err);
	if (!ret && info.flags & VFM_REGION_FLAG_CAPS)
		ret = vfm_caps_walk(caps, info.cap_offset, vfm_region_cap, region, err);
	if (!ret)
		settle_mapping(k, region);
	return ret;
}

static int fetch_region(struct vfm_kernel *k, uint32_t index, struct vfm_region *region,
			struct vfm_err *err)
{
	struct vfm_abi_region_info head = { .index = index };
	struct vfm_caps caps = { .fixed = sizeof(head) };
	int ret = vfm_kernel_ask_caps(k, k->fd, VFM_DEVICE_GET_REGION_INFO, &head, &caps);

	*region = (struct vfm_region){ .index = index, .fd = -1 };
	if (ret < 0)
		ret = vfm_kernel_fail(err, ret, "describe region %" PRIu32, index);
	else if ((ret = parse_region(k, &caps, region, err)))
		vfm_fail_prefix(err, "describe region %" PRIu32, index);
	free(caps.bytes);
	return ret;
}

/* Known already, or asked for now. */
static int find_region(struct vfm_kernel *k, uint32_t index, const struct vfm_region **region,
		       struct vfm_err *err)
{
	vfm_auto_free struct vfm_region *fresh = NULL;
	int ret;

	if (index >= k->info.nr_regions)
		return vfm_fail(err, -EINVAL, "no region %" PRIu32 ", there are %" PRIu32, index,
				k->info.nr_regions);
	if (!k->regions[index]) {
		fresh = malloc(sizeof(*fresh));
		if (!fresh)
			return vfm_fail(err, -ENOMEM, "no memory");
		ret = fetch_region(k, index, fresh, err);
		if (ret)
			return ret;
		k->regions[index] = vfm_take_ptr(fresh);
	}
	*region = k->regions[index];
	return 0;
}

void vfm_kernel_free_regions(struct vfm_kernel *k)
{
	for (uint32_t i = 0; k->regions && i < k->info.nr_regions; i++)
		free(k->regions[i]);
	free((void *)k->regions);
	k->regions = NULL;
}

int vfm_kernel_get_region(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			  struct vfm_err *err)
{
	const struct vfm_region *known;
	int ret = find_region(vfm_kernel_of(dev), index, &known, err);

	if (ret)
		return ret;
	*region = *known;
	if (region->fd < 0)
		region->fd_offset = 0;
	return 0;
}

/* ---- access -------------------------------------------------------------------- */

static int find_bytes(struct vfm_kernel *k, uint32_t index, uint64_t offset, size_t len,
		      uint64_t *at, struct vfm_err *err)
{
	const struct vfm_region *region;
	int ret = find_region(k, index, &region, err);

	if (ret)
		return ret;
	if (!vfm_range_inside(offset, len, region->size))
		return vfm_fail(err, -EINVAL,
				"0x%" PRIx64 "+0x%zx leaves region %" PRIu32 " of 0x%" PRIx64
				" bytes",
				offset, len, index, region->size);
	*at = region->fd_offset + offset;
	return 0;
}

/* @n: what the call gave at @done of @len. */
static int access_failed(ssize_t n, const char *verb, uint32_t index, uint64_t offset, size_t len,
			 struct vfm_err *err)
{
	if (n == 0)
		return vfm_fail(err, -EIO,
				"%s %zu bytes of region %" PRIu32 " at 0x%" PRIx64
				": the driver moved none",
				verb, len, index, offset);
	return vfm_kernel_fail(err, (int)n, "%s %zu bytes of region %" PRIu32 " at 0x%" PRIx64,
			       verb, len, index, offset);
}

int vfm_kernel_read_region(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			   size_t len, struct vfm_err *err)
{
	struct vfm_kernel *k = vfm_kernel_of(dev);
	uint64_t at;
	int ret = find_bytes(k, index, offset, len, &at, err);

	for (size_t done = 0; !ret && done < len;) {
		ssize_t n = k->sys->pread(k->fd, (uint8_t *)buf + done, len - done, at + done);

		if (n <= 0)
			return access_failed(n, "read", index, offset + done, len - done, err);
		done += (size_t)n;
	}
	return ret;
}

int vfm_kernel_write_region(struct vfm_device *dev, uint32_t index, uint64_t offset,
			    const void *buf, size_t len, struct vfm_err *err)
{
	struct vfm_kernel *k = vfm_kernel_of(dev);
	uint64_t at;
	int ret = find_bytes(k, index, offset, len, &at, err);

	for (size_t done = 0; !ret && done < len;) {
		ssize_t n =
			k->sys->pwrite(k->fd, (const uint8_t *)buf + done, len - done, at + done);

		if (n <= 0)
			return access_failed(n, "write", index, offset + done, len - done, err);
		done += (size_t)n;
	}
	return ret;
}
