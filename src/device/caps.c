// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Chains of capabilities. Users map a region by what stands in its areas, so nothing that
 * contradicts itself is handed on.
 */

#include "device/caps.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "abi/vfio.h"
#include "base/util.h"

/* A chain that is longer has a loop. */
#define MAX_CAPS 64

/* ---- the chain ------------------------------------------------------------------- */

static int walk_one(const struct vfm_caps *caps, uint32_t *offset, vfm_cap_fn *fn, void *user,
		    struct vfm_err *err)
{
	struct vfm_reader r = vfm_reader_of(caps->bytes, caps->len);
	uint32_t at = *offset;
	uint16_t id, version;
	int ret = 0;

	vfm_read_bytes(&r, at);
	id = vfm_read_he16(&r);
	version = vfm_read_he16(&r);
	*offset = vfm_read_he32(&r);
	if (vfm_reader_ok(&r) && at >= caps->fixed)
		ret = fn(user, id, version, &r, err);
	if (!vfm_reader_ok(&r) || at < caps->fixed)
		return vfm_fail(err, -EPROTO, "a capability at byte %" PRIu32 " of %zu is damaged",
				at, caps->len);
	return ret;
}

int vfm_caps_walk(const struct vfm_caps *caps, uint32_t offset, vfm_cap_fn *fn, void *user,
		  struct vfm_err *err)
{
	for (int n = 0; offset; n++) {
		int ret = walk_one(caps, &offset, fn, user, err);

		if (ret)
			return ret;
		if (n == MAX_CAPS)
			return vfm_fail(err, -EPROTO, "the chain of capabilities does not end");
	}
	return 0;
}

/* ---- of a region ----------------------------------------------------------------- */

static int compare_areas(const void *a, const void *b)
{
	uint64_t x = ((const struct vfm_area *)a)->offset, y = ((const struct vfm_area *)b)->offset;

	return (x > y) - (x < y);
}

static int check_areas(const struct vfm_region *region, struct vfm_err *err)
{
	uint64_t end = 0;

	for (uint32_t i = 0; i < region->nr_areas; i++) {
		const struct vfm_area *a = &region->areas[i];

		if (!vfm_range_inside(a->offset, a->size, region->size) || a->offset < end)
			return vfm_fail(err, -EPROTO,
					"area 0x%" PRIx64 "+0x%" PRIx64
					" overlaps or leaves the region of 0x%" PRIx64 " bytes",
					a->offset, a->size, region->size);
		end = a->offset + a->size;
	}
	return 0;
}

static int read_sparse(struct vfm_region *region, struct vfm_reader *r, struct vfm_err *err)
{
	uint32_t nr = vfm_read_he32(r);

	vfm_read_he32(r);
	if (nr > VFM_MAX_AREAS)
		return vfm_fail(err, -E2BIG,
				"%" PRIu32 " areas that can be mapped, at most %u are taken", nr,
				VFM_MAX_AREAS);
	region->nr_areas = 0;
	for (uint32_t i = 0; i < nr; i++) {
		struct vfm_area area = { .offset = vfm_read_he64(r) };

		area.size = vfm_read_he64(r);
		if (area.size)
			region->areas[region->nr_areas++] = area;
	}
	if (!region->nr_areas)
		region->flags &= ~VFM_REGION_MMAP;
	qsort(region->areas, region->nr_areas, sizeof(region->areas[0]), compare_areas);
	return vfm_reader_ok(r) ? check_areas(region, err) : 0;
}

int vfm_region_cap(void *user, uint16_t id, uint16_t version, struct vfm_reader *r,
		   struct vfm_err *err)
{
	struct vfm_region *region = user;

	if (id == VFM_REGION_CAP_TYPE && version == 1) {
		region->type = vfm_read_he32(r);
		region->subtype = vfm_read_he32(r);
	} else if (id == VFM_REGION_CAP_SPARSE_MMAP && version == 1) {
		return read_sparse(region, r, err);
	}
	return 0;
}

bool vfm_region_aligned(uint64_t a, uint64_t b)
{
	return !((a | b) & ((uint64_t)sysconf(_SC_PAGESIZE) - 1));
}

void vfm_region_keep_aligned(struct vfm_region *region)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < region->nr_areas; i++) {
		if (vfm_region_aligned(region->areas[i].offset, region->areas[i].size))
			region->areas[kept++] = region->areas[i];
	}
	if (region->nr_areas && !kept)
		region->flags &= ~VFM_REGION_MMAP;
	region->nr_areas = kept;
}
