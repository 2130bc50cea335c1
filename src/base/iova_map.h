// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Ranges of I/O virtual addresses and what stands behind them: a sorted array,
 * found by bisection. It holds the caller's pointers and owns none of them.
 */

#ifndef VFM_BASE_IOVA_MAP_H
#define VFM_BASE_IOVA_MAP_H

#include <stddef.h>
#include <stdint.h>

struct vfm_iova_entry {
	uint64_t iova;
	uint64_t size;
	void *data;
};

/** Zero it to begin. */
struct vfm_iova_map {
	struct vfm_iova_entry *entries;
	size_t count;
	size_t room;
};

void vfm_iova_map_free(struct vfm_iova_map *map);

/** vfm_iova_map_add() - -EINVAL: empty or wraps; -EEXIST: overlaps; -ENOMEM. */
int vfm_iova_map_add(struct vfm_iova_map *map, uint64_t iova, uint64_t size, void *data);

/** vfm_iova_map_remove() - the entry that is exactly this range; @data may be NULL; -ENOENT. */
int vfm_iova_map_remove(struct vfm_iova_map *map, uint64_t iova, uint64_t size, void **data);

/** vfm_iova_map_find() - the entry that holds @iova, or NULL. Valid until the map changes. */
const struct vfm_iova_entry *vfm_iova_map_find(const struct vfm_iova_map *map, uint64_t iova);

/** vfm_iova_map_from() - index of the first entry that has @iova or lies behind it, or the count.
 */
size_t vfm_iova_map_from(const struct vfm_iova_map *map, uint64_t iova);

#endif
