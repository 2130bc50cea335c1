// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* What the tests of the front share: a client's accesses, each one with its outcome. */

#ifndef VFM_TESTS_FRONT_RIG_H
#define VFM_TESTS_FRONT_RIG_H

#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "region/region.h"

#define DEVICE_STATE VFM_V1_DEVICE_STATE
#define PENDING_BYTES VFM_V1_PENDING_BYTES
#define DATA_OFFSET VFM_V1_DATA_OFFSET
#define DATA_SIZE VFM_V1_DATA_SIZE

#define CLIENT_ENDS 4096u

#define ALL_FEATURES (VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_P2P | VFM_MIGRATION_PRE_COPY)

static inline uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

static inline struct vfm_device *open_front(struct vfm_device *inner, enum vfm_section section,
					    uint64_t size)
{
	struct vfm_front_opts opts = { .section = section, .size = size };
	struct vfm_device *dev;
	struct vfm_err err;

	if (vfm_front_open(&dev, inner, &opts, &err))
		fail_msg("%s", err.msg);
	return dev;
}

/* The region is the last one. */
static inline uint32_t region_index(struct vfm_device *dev)
{
	struct vfm_device_info info;

	assert_int_equal(vfm_device_get_info(dev, &info, NULL), 0);
	return info.nr_regions - 1;
}

static inline size_t reg_width(uint64_t offset)
{
	return offset < PENDING_BYTES ? 4 : 8;
}

static inline int try_read(struct vfm_device *dev, uint64_t offset, uint64_t *value)
{
	uint32_t word = 0;
	int ret;

	*value = 0;
	if (reg_width(offset) == 8)
		return vfm_device_read_region(dev, region_index(dev), offset, value, 8, NULL);
	ret = vfm_device_read_region(dev, region_index(dev), offset, &word, 4, NULL);
	*value = word;
	return ret;
}

static inline int try_write(struct vfm_device *dev, uint64_t offset, uint64_t value)
{
	uint32_t word = (uint32_t)value;
	const void *from = reg_width(offset) == 4 ? (const void *)&word : &value;

	return vfm_device_write_region(dev, region_index(dev), offset, from, reg_width(offset),
				       NULL);
}

static inline uint64_t reg_read(struct vfm_device *dev, uint64_t offset)
{
	uint64_t value;

	assert_int_equal(try_read(dev, offset, &value), 0);
	return value;
}

static inline void reg_write(struct vfm_device *dev, uint64_t offset, uint64_t value)
{
	assert_int_equal(try_write(dev, offset, value), 0);
}

/* As a client does it: read, keep the reserved bits, write. */
static inline void set_bits(struct vfm_device *dev, uint32_t bits)
{
	reg_write(dev, DEVICE_STATE, (reg_read(dev, DEVICE_STATE) & ~7u) | bits);
}

/**
 * struct client - a user of the region, and the image that it holds
 * @width: of its accesses to data; 0: all at once
 * @map: the part of the section that it has mapped, of @map_size bytes; NULL: none
 * @data, @len: the image
 * @ends: where its chunks end
 */
struct client {
	struct vfm_device *dev;
	size_t width;
	uint8_t *map;
	size_t map_size;
	uint8_t *data;
	size_t len;
	size_t ends[CLIENT_ENDS];
	size_t nr_ends;
};

struct client client_of(struct vfm_device *dev, size_t width);

/** client_map() - map what can be mapped, as long as the region lasts. */
void client_map(struct client *c);

/** client_close() - forget the image and the mapping. */
void client_close(struct client *c);

/** client_take() - data_offset, data_size and the data: the bytes of the chunk. */
size_t client_take(struct client *c);

/** client_drain() - the iterations a to f until nothing is pending: the bytes. */
size_t client_drain(struct client *c);

/** client_put() - data_offset, the data, data_size. */
void client_put(struct client *c, const void *data, size_t len);

/** client_load() - 4, and all chunks of another client's image, cut where the section ends. */
void client_load(struct client *c, const struct client *from);

static inline int data_read(struct vfm_device *dev, uint64_t at, void *buf, size_t len)
{
	return vfm_device_read_region(dev, region_index(dev), page_size() + at, buf, len, NULL);
}

static inline int data_write(struct vfm_device *dev, uint64_t at, const void *buf, size_t len)
{
	return vfm_device_write_region(dev, region_index(dev), page_size() + at, buf, len, NULL);
}

#endif
