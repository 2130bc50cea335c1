// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Streams that the command does not write, on standard output: as a later version of this
 * library might, and of several devices.
 *
 *   mkstream newer          one that this version cannot read
 *   mkstream optional URI   of a device, with a record that this version skips
 *   mkstream unit URI       of two devices, as they are on a wire
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <vfmig/vfmig.h>

#include "stream/format.h"

#define LATER_TYPE 0x4000

static int write_newer(struct vfm_err *err)
{
	const struct vfm_stream_header header = { .version = 9,
						  .compat_version = 9,
						  .size = VFM_STREAM_HEADER_SIZE };
	uint8_t wire[VFM_STREAM_HEADER_SIZE + 64] = { 0 };

	vfm_stream_header_to_wire(&header, wire);
	if (write(STDOUT_FILENO, wire, sizeof(wire)) != (ssize_t)sizeof(wire))
		return vfm_fail(err, -errno, "write");
	return 0;
}

/* A record that a later version may write. */
static int write_later(struct vfm_stream_writer *w, struct vfm_err *err)
{
	return vfm_stream_write(w, LATER_TYPE, VFM_STREAM_OPTIONAL, 0, "later", 5, err);
}

/* A second device like the first, and data of both. */
static int write_second(struct vfm_stream_writer *w, const struct vfm_identity *id,
			struct vfm_err *err)
{
	int ret = vfm_stream_write_identity(w, 1, id, err);

	if (!ret)
		ret = vfm_stream_write(w, VFM_STREAM_DEVICE_DATA, 0, 1, "second", 6, err);
	if (!ret)
		ret = vfm_stream_write(w, VFM_STREAM_DEVICE_DATA, 0, 0, "first", 5, err);
	return ret;
}

static int write_stream(struct vfm_device *dev, bool unit, struct vfm_err *err)
{
	struct vfm_stream_opts opts = { .size = sizeof(opts), .cancel_fd = -1 };
	struct vfm_stream_writer *w;
	struct vfm_identity id;
	int ret = vfm_identity_get(&id, dev, err);

	if (!ret)
		ret = vfm_stream_writer_new(&w, STDOUT_FILENO, &opts, err);
	if (ret)
		return ret;
	ret = vfm_stream_write_identity(w, 0, &id, err);
	if (!ret)
		ret = unit ? write_second(w, &id, err) : write_later(w, err);
	if (!ret)
		ret = vfm_stream_write_end(w, err);
	vfm_stream_writer_free(w);
	return ret;
}

int main(int argc, char **argv)
{
	struct vfm_err err = { 0 };
	struct vfm_device *dev;
	int ret;

	if (argc < 2)
		return 2;
	if (!strcmp(argv[1], "newer")) {
		ret = write_newer(&err);
	} else {
		ret = vfm_open(&dev, argv[2], &err);
		if (!ret) {
			ret = write_stream(dev, !strcmp(argv[1], "unit"), &err);
			vfm_device_close(dev);
		}
	}
	if (ret)
		fprintf(stderr, "mkstream: %s: %s\n", err.msg, strerror(-ret));
	return ret ? 1 : 0;
}
