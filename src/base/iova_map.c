// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "base/iova_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

void vfm_iova_map_free(struct vfm_iova_map *map)
{
	free(map->entries);
	*map = (struct vfm_iova_map){ 0 };
}

/* Index of the first entry that begins after @iova. */
static size_t first_after(const struct vfm_iova_map *map, uint64_t iova)
{
	size_t low = 0, high = map->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (map->entries[mid].iova <= iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

size_t vfm_iova_map_from(const struct vfm_iova_map *map, uint64_t iova)
{
	size_t after = first_after(map, iova);
	const struct vfm_iova_entry *e = after ? &map->entries[after - 1] : NULL;

	return e && iova - e->iova < e->size ? after - 1 : after;
}

const struct vfm_iova_entry *vfm_iova_map_find(const struct vfm_iova_map *map, uint64_t iova)
{
	size_t at = vfm_iova_map_from(map, iova);

	return at < map->count && map->entries[at].iova <= iova ? &map->entries[at] : NULL;
}

static int make_room(struct vfm_iova_map *map)
{
	size_t room = map->room ? map->room * 2 : 16;
	struct vfm_iova_entry *entries;

	if (map->count < map->room)
		return 0;
	entries = reallocarray(map->entries, room, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	map->entries = entries;
	map->room = room;
	return 0;
}

int vfm_iova_map_add(struct vfm_iova_map *map, uint64_t iova, uint64_t size, void *data)
{
	struct vfm_iova_entry *e;
	size_t at;
	int ret;

	if (!size || vfm_range_wraps(iova, size))
		return -EINVAL;
	at = first_after(map, iova);
	if (vfm_iova_map_find(map, iova) ||
	    (at < map->count && map->entries[at].iova - iova < size))
		return -EEXIST;
	ret = make_room(map);
	if (ret)
		return ret;
	e = &map->entries[at];
	memmove(e + 1, e, (map->count - at) * sizeof(*e));
	*e = (struct vfm_iova_entry){ .iova = iova, .size = size, .data = data };
	map->count++;
	return 0;
}

int vfm_iova_map_remove(struct vfm_iova_map *map, uint64_t iova, uint64_t size, void **data)
{
	size_t after = first_after(map, iova);
	struct vfm_iova_entry *e;

	if (!after)
		return -ENOENT;
	e = &map->entries[after - 1];
	if (e->iova != iova || e->size != size)
		return -ENOENT;
	if (data)
		*data = e->data;
	memmove(e, e + 1, (map->count - after) * sizeof(*e));
	map->count--;
	return 0;
}
