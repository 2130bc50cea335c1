// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "device/ranges.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/util.h"

/* From the end of @a to @b; 0 if they touch or overlap. A range may end at 2^64. */
static uint64_t gap(const struct vfm_range *a, const struct vfm_range *b)
{
	uint64_t distance = b->iova - a->iova;

	return distance > a->size ? distance - a->size : 0;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Join what is no further apart than @bridge. */
static size_t join(struct vfm_range *ranges, size_t nr, uint64_t bridge)
{
	size_t kept = 0;

	for (size_t i = 1; i < nr; i++) {
		struct vfm_range *r = &ranges[kept];

		if (gap(r, &ranges[i]) <= bridge)
			r->size = VFM_MAX(r->size, ranges[i].iova - r->iova + ranges[i].size);
		else
			ranges[++kept] = ranges[i];
	}
	return nr ? kept + 1 : 0;
}

size_t vfm_ranges_join(struct vfm_range *ranges, size_t nr)
{
	return join(ranges, nr, 0);
}

int vfm_ranges_fit(struct vfm_range *ranges, size_t *nr, size_t max)
{
	vfm_auto_free uint64_t *gaps = NULL;

	if (*nr <= max)
		return 0;
	gaps = malloc(*nr * sizeof(*gaps));
	if (!gaps)
		return -ENOMEM;
	for (size_t i = 1; i < *nr; i++)
		gaps[i - 1] = gap(&ranges[i - 1], &ranges[i]);
	qsort(gaps, *nr - 1, sizeof(*gaps), by_size);
	*nr = join(ranges, *nr, gaps[*nr - max - 1]);
	return 0;
}

/* The range that holds @iova, or NULL. */
static const struct vfm_range *holder(const struct vfm_range *ranges, size_t nr, uint64_t iova)
{
	for (size_t i = 0; i < nr; i++)
		if (iova >= ranges[i].iova && iova - ranges[i].iova < ranges[i].size)
			return &ranges[i];
	return NULL;
}

bool vfm_ranges_cover(const struct vfm_range *ranges, size_t nr, uint64_t iova, uint64_t size)
{
	const struct vfm_range *r;

	while (size && (r = holder(ranges, nr, iova))) {
		uint64_t part = VFM_MIN(size, r->size - (iova - r->iova));

		iova += part;
		size -= part;
	}
	return !size;
}
