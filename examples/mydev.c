// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A device of one's own, complete: 4 KiB of scratch memory. It migrates, with
 * pre-copy and P2P states. It links against nothing; the program that opens it has
 * the library:
 *
 *	cc -shared -fPIC $(pkg-config --cflags vfmig) mydev.c -o mydev.so
 *	vfmig serve ./mydev.so /tmp/mydev.sock
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vfmig/driver.h>

#define SIZE 4096u

struct mydev {
	uint8_t memory[SIZE];
	bool sent;    /* in the data session that is open */
	bool changed; /* since it was sent */
	bool loaded;
};

static int mydev_open(struct vfm_host *host, const char *params, void **priv, struct vfm_err *err)
{
	if (*params)
		return vfm_fail(err, -EINVAL, "mydev: \"%s\": there are no parameters", params);
	*priv = calloc(1, sizeof(struct mydev));
	return *priv ? 0 : vfm_fail(err, -ENOMEM, "mydev: no memory");
}

static int mydev_describe(void *priv, struct vfm_description *desc, struct vfm_err *err)
{
	desc->nr_regions = 1;
	desc->regions[0].size = SIZE;
	desc->regions[0].flags = VFM_REGION_READ | VFM_REGION_WRITE;
	return 0;
}

static int mydev_read(void *priv, uint32_t index, uint64_t offset, void *buf, size_t len,
		      struct vfm_err *err)
{
	struct mydev *d = priv;

	memcpy(buf, d->memory + offset, len);
	return 0;
}

static int mydev_write(void *priv, uint32_t index, uint64_t offset, const void *buf, size_t len,
		       struct vfm_err *err)
{
	struct mydev *d = priv;

	memcpy(d->memory + offset, buf, len);
	d->changed = true;
	return 0;
}

static int mydev_reset(void *priv, struct vfm_err *err)
{
	memset(priv, 0, sizeof(struct mydev));
	return 0;
}

/* The device does nothing by itself, so nothing has to stop. But sessions begin here. */
static int mydev_arc(void *priv, enum vfm_state from, enum vfm_state to, struct vfm_err *err)
{
	struct mydev *d = priv;

	if (!vfm_state_is_saving(from) || !vfm_state_is_saving(to))
		d->sent = false;
	d->loaded = false;
	return 0;
}

/* One record is the whole device: first as it was, and again when it has changed. */
static ssize_t mydev_save(void *priv, void *buf, struct vfm_err *err)
{
	struct mydev *d = priv;

	if (d->sent && !d->changed)
		return 0;
	memcpy(buf, d->memory, SIZE);
	d->sent = true;
	d->changed = false;
	return SIZE;
}

static int mydev_load(void *priv, const void *buf, size_t len, struct vfm_err *err)
{
	struct mydev *d = priv;

	if (len != SIZE)
		return vfm_fail(err, -EBADMSG, "mydev: record of %zu bytes, not %u", len, SIZE);
	memcpy(d->memory, buf, SIZE);
	d->loaded = true;
	return 0;
}

static int mydev_load_end(void *priv, struct vfm_err *err)
{
	const struct mydev *d = priv;

	return d->loaded ? 0 : vfm_fail(err, -EBADMSG, "mydev: there was nothing in the image");
}

static int mydev_pending(void *priv, struct vfm_precopy_info *info, struct vfm_err *err)
{
	const struct mydev *d = priv;

	info->initial_bytes = d->sent ? 0 : SIZE;
	info->dirty_bytes = d->sent && d->changed ? SIZE : 0;
	return 0;
}

static int mydev_data_size(void *priv, uint64_t *bytes, struct vfm_err *err)
{
	const struct mydev *d = priv;

	*bytes = d->sent && !d->changed ? 0 : SIZE;
	return 0;
}

static const struct vfm_driver mydev = {
	VFM_DRIVER_INIT,
	.model = "example,mydev",
	.version = 1,
	.min_version = 1,
	.migration = VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_P2P | VFM_MIGRATION_PRE_COPY,
	.record_max = SIZE,
	.open = mydev_open,
	.close = free,
	.describe = mydev_describe,
	.read_region = mydev_read,
	.write_region = mydev_write,
	.reset = mydev_reset,
	.arc = mydev_arc,
	.save = mydev_save,
	.load = mydev_load,
	.load_end = mydev_load_end,
	.pending = mydev_pending,
	.data_size = mydev_data_size,
};
VFM_DRIVER(mydev);
