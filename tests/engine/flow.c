// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static struct flow *of(struct vfm_device *dev)
{
	return (struct flow *)dev;
}

static void f_close(struct vfm_device *dev)
{
	(void)dev;
}

static int f_get_info(struct vfm_device *dev, struct vfm_device_info *info, struct vfm_err *err)
{
	(void)dev;
	(void)err;
	*info = (struct vfm_device_info){ 0 };
	return 0;
}

static int f_get_migration(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err)
{
	(void)dev;
	(void)err;
	*migration = VFM_MIGRATION_STOP_COPY;
	return 0;
}

static int f_get_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	(void)err;
	*state = of(dev)->state;
	return 0;
}

/* STOP proves what was loaded. */
static int f_set_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct flow *f = of(dev);

	if (f->state == VFM_STATE_RESUMING && f->at != f->size)
		return vfm_fail(err, -EBADMSG, "flow is short");
	if (state == VFM_STATE_STOP_COPY || state == VFM_STATE_RESUMING)
		f->at = 0;
	f->state = state;
	return 0;
}

static int f_reset(struct vfm_device *dev, struct vfm_err *err)
{
	(void)err;
	of(dev)->state = VFM_STATE_RUNNING;
	of(dev)->resets++;
	return 0;
}

/* The next step of at most @len bytes, or why there is none. */
static ssize_t step(struct flow *f, size_t len, struct vfm_err *err)
{
	if (f->hook)
		f->hook(f);
	if (f->at >= f->fail_at)
		return vfm_fail(err, -EIO, "flow fails at %llu", (unsigned long long)f->at);
	if (f->piece)
		len = VFM_MIN(len, f->piece);
	return (ssize_t)VFM_MIN(VFM_MIN(len, f->size - f->at), f->fail_at - f->at);
}

static ssize_t f_read_data(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	struct flow *f = of(dev);
	ssize_t n = step(f, len, err);
	uint64_t *words = buf;

	for (ssize_t i = 0; i < n / 8; i++)
		words[i] = f->at + (uint64_t)i;
	if (n > 0)
		f->at += (uint64_t)n;
	return n;
}

static int f_write_data(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err)
{
	struct flow *f = of(dev);
	ssize_t n = step(f, SIZE_MAX, err);
	const uint64_t *words = buf;

	if (n < 0)
		return (int)n;
	for (size_t i = 0; i < len / 8; i++)
		if (words[i] != f->at + i)
			return vfm_fail(err, -EBADMSG, "flow is broken at %llu",
					(unsigned long long)f->at);
	f->at += len;
	return 0;
}

static const struct vfm_device_ops ops = {
	.close = f_close,
	.get_info = f_get_info,
	.get_migration = f_get_migration,
	.get_state = f_get_state,
	.set_state = f_set_state,
	.read_data = f_read_data,
	.write_data = f_write_data,
	.reset = f_reset,
};

struct flow *flow_new(uint64_t size, size_t piece)
{
	struct flow *f = calloc(1, sizeof(*f));

	if (!f || vfm_device_init(&f->dev, &ops, "flow", NULL))
		abort();
	f->state = VFM_STATE_RUNNING;
	f->size = size;
	f->piece = piece;
	f->fail_at = UINT64_MAX;
	return f;
}

void flow_free(struct flow *f)
{
	vfm_device_close(&f->dev);
}
