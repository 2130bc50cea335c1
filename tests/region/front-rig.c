// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "front-rig.h"

#include <sys/mman.h>

struct client client_of(struct vfm_device *dev, size_t width)
{
	return (struct client){ .dev = dev, .width = width };
}

void client_map(struct client *c)
{
	struct vfm_region region;

	assert_int_equal(vfm_device_get_region(c->dev, region_index(c->dev), &region, NULL), 0);
	assert_true(region.flags & VFM_REGION_MMAP);
	assert_int_equal(region.areas[0].offset, page_size());
	c->map_size = region.areas[0].size;
	c->map = mmap(NULL, c->map_size, PROT_READ | PROT_WRITE, MAP_SHARED, region.fd,
		      (off_t)(region.fd_offset + region.areas[0].offset));
	assert_ptr_not_equal(c->map, MAP_FAILED);
}

void client_close(struct client *c)
{
	if (c->map)
		munmap(c->map, c->map_size);
	free(c->data);
	*c = (struct client){ .dev = c->dev };
}

/* How much of an access at @at goes in one piece, and whether through the mapping. */
static size_t piece(const struct client *c, size_t at, size_t len, bool *mapped)
{
	*mapped = at < c->map_size;
	if (*mapped)
		return VFM_MIN(len, c->map_size - at);
	if (!c->width)
		return len;
	/* as QEMU cuts it: by the alignment of the offset */
	for (size_t n = c->width; n > 1; n /= 2)
		if (at % n == 0 && len >= n)
			return n;
	return 1;
}

static void get_data(struct client *c, uint8_t *to, size_t len)
{
	bool mapped;

	for (size_t at = 0, n; at < len; at += n) {
		n = piece(c, at, len - at, &mapped);
		if (mapped)
			memcpy(to + at, c->map + at, n);
		else
			assert_int_equal(data_read(c->dev, at, to + at, n), 0);
	}
}

static void put_data(struct client *c, const uint8_t *from, size_t len)
{
	bool mapped;

	for (size_t at = 0, n; at < len; at += n) {
		n = piece(c, at, len - at, &mapped);
		if (mapped)
			memcpy(c->map + at, from + at, n);
		else
			assert_int_equal(data_write(c->dev, at, from + at, n), 0);
	}
}

size_t client_take(struct client *c)
{
	size_t len;

	assert_int_equal(reg_read(c->dev, DATA_OFFSET), page_size());
	len = reg_read(c->dev, DATA_SIZE);
	if (!len)
		return 0;
	c->data = realloc(c->data, c->len + len);
	assert_non_null(c->data);
	get_data(c, c->data + c->len, len);
	c->len += len;
	assert_true(c->nr_ends < CLIENT_ENDS);
	c->ends[c->nr_ends++] = c->len;
	return len;
}

size_t client_drain(struct client *c)
{
	size_t before = c->len;

	while (reg_read(c->dev, PENDING_BYTES))
		assert_int_not_equal(client_take(c), 0);
	return c->len - before;
}

void client_put(struct client *c, const void *data, size_t len)
{
	assert_int_equal(reg_read(c->dev, DATA_OFFSET), page_size());
	put_data(c, data, len);
	reg_write(c->dev, DATA_SIZE, len);
}

void client_load(struct client *c, const struct client *from)
{
	struct vfm_region region;
	size_t at = 0, room;

	assert_int_equal(vfm_device_get_region(c->dev, region_index(c->dev), &region, NULL), 0);
	room = region.size - page_size();
	set_bits(c->dev, VFM_V1_RESUMING);
	for (size_t i = 0; i < from->nr_ends; i++) {
		while (at < from->ends[i]) {
			size_t n = VFM_MIN(room, from->ends[i] - at);

			client_put(c, from->data + at, n);
			at += n;
		}
	}
}
