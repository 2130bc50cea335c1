// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A dirty log that is kept by mappings: whoever keeps it reports whole ones, in pages of its
 * own, and clears all that it reports, while users ask for any range in any page size. So
 * there is a part for each mapping, with a bit for each page of 4 KiB; what is reported goes
 * in, what is asked for is taken out. A part outlives its mapping until it has been reported.
 *
 * No I/O here, and nothing of who keeps the log.
 */

#ifndef VFM_KERNEL_PARTS_H
#define VFM_KERNEL_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VFM_KERNEL_PART_PAGE UINT64_C(4096)

/**
 * struct vfm_kernel_part - the log of one mapping
 * @iova, @size: multiples of VFM_KERNEL_PART_PAGE
 * @live: the mapping is there
 * @bits: of its pages
 */
struct vfm_kernel_part {
	struct vfm_kernel_part *next;
	uint64_t iova;
	uint64_t size;
	bool live;
	uint64_t *bits;
};

/** Zero it to begin. */
struct vfm_kernel_parts {
	struct vfm_kernel_part *first;
	uint64_t *scratch;
	size_t scratch_words;
};

/** vfm_kernel_parts_add() - a mapping is there; -ENOMEM. */
int vfm_kernel_parts_add(struct vfm_kernel_parts *parts, uint64_t iova, uint64_t size);

/** vfm_kernel_parts_find() - the part of a mapping that is there, or NULL. */
struct vfm_kernel_part *vfm_kernel_parts_find(struct vfm_kernel_parts *parts, uint64_t iova,
					      uint64_t size);

/** vfm_kernel_part_gone() - the mapping is not there any more; @known: all writes to it are. */
void vfm_kernel_part_gone(struct vfm_kernel_part *part, bool known);

/** vfm_kernel_parts_free() - all of them. */
void vfm_kernel_parts_free(struct vfm_kernel_parts *parts);

/** vfm_kernel_part_touches() - whether the part has a page of the range. */
bool vfm_kernel_part_touches(const struct vfm_kernel_part *part, uint64_t iova, uint64_t size);

/**
 * vfm_kernel_parts_scratch() - zeros for a report about @part in pages of @page
 *
 * Return: NULL without memory. Valid until the next call.
 */
uint64_t *vfm_kernel_parts_scratch(struct vfm_kernel_parts *parts,
				   const struct vfm_kernel_part *part, uint64_t page);

/** vfm_kernel_part_put() - what was reported, in pages of @page, 4096 or a multiple. */
void vfm_kernel_part_put(struct vfm_kernel_part *part, uint64_t *bits, uint64_t page);

/**
 * vfm_kernel_parts_take() - what is dirty in a range goes to @bitmap, and is clean here
 * @page: 4096 or a power of two above; @iova is aligned to it
 */
void vfm_kernel_parts_take(struct vfm_kernel_parts *parts, uint64_t iova, uint64_t size,
			   uint64_t page, uint64_t *bitmap);

#endif
