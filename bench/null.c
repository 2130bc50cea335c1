// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A device that costs nothing: what it gives out is whatever the buffer holds, but for
 * a byte in each page, so that the page is there; and what it is given it forgets. So a
 * row over it measures the way to a device alone.
 */

#include "bench.h"

#include <errno.h>
#include <stdlib.h>

#include "base/util.h"
#include "device/device.h"

#define PAGE 4096

struct null_device {
	struct vfm_device dev;
	enum vfm_state state;
	uint64_t bytes; /* of state */
	uint64_t left;	/* of the data session */
};

static void null_close(struct vfm_device *dev)
{
	(void)dev;
}

static int null_get_info(struct vfm_device *dev, struct vfm_device_info *info, struct vfm_err *err)
{
	(void)dev;
	(void)err;
	*info = (struct vfm_device_info){ 0 };
	return 0;
}

static int null_get_migration(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err)
{
	(void)dev;
	(void)err;
	*migration = VFM_MIGRATION_STOP_COPY;
	return 0;
}

static int null_get_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	(void)err;
	*state = ((struct null_device *)dev)->state;
	return 0;
}

static int null_set_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct null_device *d = (struct null_device *)dev;

	(void)err;
	d->state = state;
	d->left = d->bytes;
	return 0;
}

static ssize_t null_read_data(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	struct null_device *d = (struct null_device *)dev;
	size_t n = VFM_MIN(len, d->left);

	(void)err;
	for (size_t i = 0; i < n; i += PAGE)
		((char *)buf)[i] = 1;
	d->left -= n;
	return (ssize_t)n;
}

static int null_write_data(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err)
{
	(void)dev;
	(void)buf;
	(void)len;
	(void)err;
	return 0;
}

static const struct vfm_device_ops null_ops = {
	.close = null_close,
	.get_info = null_get_info,
	.get_migration = null_get_migration,
	.get_state = null_get_state,
	.set_state = null_set_state,
	.read_data = null_read_data,
	.write_data = null_write_data,
	.writes_once = true, /* it looks at none */
};

int bench_null_device(struct vfm_device **out, uint64_t bytes, struct vfm_err *err)
{
	struct null_device *d = calloc(1, sizeof(*d));
	int ret;

	if (!d)
		return vfm_fail(err, -ENOMEM, "no memory for a device");
	ret = vfm_device_init(&d->dev, &null_ops, "null", err);
	if (ret) {
		free(d);
		return ret;
	}
	d->state = VFM_STATE_RUNNING;
	d->bytes = bytes;
	*out = &d->dev;
	return 0;
}
