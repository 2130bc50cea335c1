// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "test.h"
#include "chunky.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static struct chunky *of(struct vfm_device *dev)
{
	return (struct chunky *)dev;
}

static void nothing(struct vfm_device *dev)
{
	(void)dev;
}

static int get_info(struct vfm_device *dev, struct vfm_device_info *info, struct vfm_err *err)
{
	(void)dev;
	(void)err;
	*info = (struct vfm_device_info){ 0 };
	return 0;
}

static int get_migration(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err)
{
	(void)dev;
	(void)err;
	*migration = VFM_MIGRATION_STOP_COPY;
	return 0;
}

static int get_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	(void)err;
	*state = of(dev)->state;
	return 0;
}

static int set_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct chunky *c = of(dev);

	(void)err;
	c->state = state;
	if (state == VFM_STATE_STOP_COPY)
		c->at = c->done = 0;
	if (state == VFM_STATE_RESUMING)
		c->nr_taken = c->open = 0;
	return 0;
}

/* Order counts: a byte in the wrong place changes the sum. */
static uint64_t sum(uint64_t before, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		before = (before ^ bytes[i]) * UINT64_C(0x100000001b3);
	return before;
}

static ssize_t read_chunk(struct vfm_device *dev, void *buf, size_t len, bool *end,
			  struct vfm_err *err)
{
	struct chunky *c = of(dev);
	size_t n;

	(void)err;
	if (c->at == c->nr_given)
		return 0;
	n = VFM_MIN(len, c->given[c->at] - c->done);
	for (size_t i = 0; i < n; i++)
		((uint8_t *)buf)[i] = (uint8_t)(c->at * 31 + (c->done + i) * 7);
	c->sum_given = sum(c->sum_given, buf, n);
	c->done += n;
	*end = c->done == c->given[c->at];
	if (*end) {
		c->at++;
		c->done = 0;
	}
	return (ssize_t)n;
}

static ssize_t read_data(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	bool end;

	return read_chunk(dev, buf, len, &end, err);
}

static int write_chunk(struct vfm_device *dev, const void *buf, size_t len, bool end,
		       struct vfm_err *err)
{
	struct chunky *c = of(dev);

	if (c->state != VFM_STATE_RESUMING || c->nr_taken == CHUNKY_MAX)
		return vfm_fail(err, -EINVAL, "not now");
	c->sum_taken = sum(c->sum_taken, buf, len);
	c->open += len;
	if (end) {
		c->taken[c->nr_taken++] = c->open;
		c->open = 0;
	}
	return 0;
}

static int write_data(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err)
{
	return write_chunk(dev, buf, len, false, err);
}

static const struct vfm_device_ops ops = {
	.close = nothing,
	.get_info = get_info,
	.get_migration = get_migration,
	.get_state = get_state,
	.set_state = set_state,
	.read_data = read_data,
	.write_data = write_data,
	.read_chunk = read_chunk,
	.write_chunk = write_chunk,
};

struct chunky *chunky_new(const size_t *chunks, size_t nr)
{
	struct chunky *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	assert_true(nr <= CHUNKY_MAX);
	assert_int_equal(vfm_device_init(&c->dev, &ops, "chunky", NULL), 0);
	c->state = VFM_STATE_RUNNING;
	for (size_t i = 0; i < nr; i++)
		c->given[i] = chunks[i];
	c->nr_given = nr;
	return c;
}

void chunky_check(const struct chunky *src, const struct chunky *dst)
{
	assert_int_equal(dst->nr_taken, src->nr_given);
	assert_int_equal(dst->open, 0);
	for (size_t i = 0; i < src->nr_given; i++)
		assert_int_equal(dst->taken[i], src->given[i]);
	assert_int_equal(dst->sum_taken, src->sum_given);
}
