// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A dirty log by mappings: moving bits between pages of three sizes, those of who keeps it,
 * of 4 KiB, and of who asks. Coarser pages are dirty if a part of them is.
 */

#include "kernel/parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/util.h"

#define PAGE VFM_KERNEL_PART_PAGE

static uint64_t pages_of(const struct vfm_kernel_part *part)
{
	return part->size / PAGE;
}

static struct vfm_kernel_part *find(struct vfm_kernel_parts *parts, uint64_t iova, uint64_t size,
				    bool live)
{
	struct vfm_kernel_part *p = parts->first;

	while (p && (p->live != live || p->iova != iova || p->size != size))
		p = p->next;
	return p;
}

int vfm_kernel_parts_add(struct vfm_kernel_parts *parts, uint64_t iova, uint64_t size)
{
	struct vfm_kernel_part *p = find(parts, iova, size, false);

	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		*p = (struct vfm_kernel_part){ .next = parts->first, .iova = iova, .size = size };
		p->bits = calloc(vfm_bitmap_words(pages_of(p)), sizeof(*p->bits));
		if (!p->bits) {
			free(p);
			return -ENOMEM;
		}
		parts->first = p;
	}
	p->live = true;
	return 0;
}

struct vfm_kernel_part *vfm_kernel_parts_find(struct vfm_kernel_parts *parts, uint64_t iova,
					      uint64_t size)
{
	return find(parts, iova, size, true);
}

void vfm_kernel_part_gone(struct vfm_kernel_part *part, bool known)
{
	part->live = false;
	if (!known)
		vfm_bitmap_set_range(part->bits, 0, pages_of(part));
}

static void free_part(struct vfm_kernel_part *p)
{
	free(p->bits);
	free(p);
}

void vfm_kernel_parts_free(struct vfm_kernel_parts *parts)
{
	struct vfm_kernel_part *p, *next;

	for (p = parts->first; p; p = next) {
		next = p->next;
		free_part(p);
	}
	free(parts->scratch);
	*parts = (struct vfm_kernel_parts){ .first = NULL };
}

bool vfm_kernel_part_touches(const struct vfm_kernel_part *part, uint64_t iova, uint64_t size)
{
	return part->iova <= iova + (size - 1) && iova <= part->iova + (part->size - 1);
}

uint64_t *vfm_kernel_parts_scratch(struct vfm_kernel_parts *parts,
				   const struct vfm_kernel_part *part, uint64_t page)
{
	size_t words = vfm_bitmap_words(part->size / page + (part->size % page != 0));

	if (words > parts->scratch_words) {
		uint64_t *scratch = realloc(parts->scratch, words * sizeof(*scratch));

		if (!scratch)
			return NULL;
		parts->scratch = scratch;
		parts->scratch_words = words;
	}
	memset(parts->scratch, 0, words * sizeof(*parts->scratch));
	return parts->scratch;
}

void vfm_kernel_part_put(struct vfm_kernel_part *part, uint64_t *bits, uint64_t page)
{
	uint64_t ratio = page / PAGE, pages = pages_of(part);
	struct vfm_bitmap_runs runs;

	if (ratio == 1) {
		vfm_bitmap_move(part->bits, 0, bits, 0, pages);
		return;
	}
	runs = vfm_bitmap_runs_of(bits, pages / ratio + (pages % ratio != 0), 0);
	while (vfm_bitmap_next_run(&runs)) {
		uint64_t first = runs.first * ratio;

		vfm_bitmap_set_range(part->bits, first, VFM_MIN(runs.end * ratio, pages) - first);
	}
}

/* @from, @end: pages of the part; @base: of the page that bit 0 of the bitmap begins with. */
static void take_coarse(struct vfm_kernel_part *p, uint64_t from, uint64_t end, uint64_t base,
			uint64_t ratio, uint64_t *bitmap)
{
	struct vfm_bitmap_runs runs = vfm_bitmap_runs_of(p->bits, end, from);
	uint64_t start = p->iova / PAGE - base;

	while (vfm_bitmap_next_run(&runs)) {
		uint64_t first = (start + runs.first) / ratio;
		uint64_t last = (start + runs.end - 1) / ratio;

		vfm_bitmap_set_range(bitmap, first, last - first + 1);
		vfm_bitmap_clear_range(p->bits, runs.first, runs.end - runs.first);
	}
}

static void take_part(struct vfm_kernel_part *p, uint64_t iova, uint64_t size, uint64_t page,
		      uint64_t *bitmap)
{
	uint64_t base = iova / PAGE, last = (iova + (size - 1)) / PAGE;
	uint64_t first = p->iova / PAGE;
	uint64_t from = VFM_MAX(base, first), to = VFM_MIN(last, first + pages_of(p) - 1) + 1;

	if (page == PAGE)
		vfm_bitmap_move(bitmap, from - base, p->bits, from - first, to - from);
	else
		take_coarse(p, from - first, to - first, base, page / PAGE, bitmap);
}

void vfm_kernel_parts_take(struct vfm_kernel_parts *parts, uint64_t iova, uint64_t size,
			   uint64_t page, uint64_t *bitmap)
{
	struct vfm_kernel_part **at = &parts->first;

	while (*at) {
		struct vfm_kernel_part *p = *at;

		if (vfm_kernel_part_touches(p, iova, size))
			take_part(p, iova, size, page, bitmap);
		if (!p->live && vfm_bitmap_next_set(p->bits, pages_of(p), 0) == pages_of(p)) {
			*at = p->next;
			free_part(p);
		} else {
			at = &p->next;
		}
	}
}
