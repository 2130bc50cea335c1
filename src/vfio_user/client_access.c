// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Access to regions by messages. This is the path that a register takes, so
 * nothing is allocated, and a read lands where the caller wants it. What does not
 * fit into a message goes in several.
 */

#include "vfio_user/client.h"

#include <errno.h>
#include <inttypes.h>

#include "base/util.h"

/*
 * Bounds are checked here when they are known. When the server will not describe
 * the region now, it has to check them itself.
 */
static int check_bounds(struct vfm_client *c, uint32_t index, uint64_t offset, size_t len,
			struct vfm_err *err)
{
	struct vfm_client_region *region;

	if (c->info_known && index < c->info.nr_regions && c->regions[index]) {
		region = c->regions[index];
	} else if (vfm_client_find_region(c, index, &region, NULL)) {
		if (c->info_known && index >= c->info.nr_regions)
			return vfm_fail(err, -EINVAL, "there are %u regions", c->info.nr_regions);
		return vfm_client_alive(c, err);
	}
	if (!vfm_range_inside(offset, len, region->desc.size))
		return vfm_fail(err, -EINVAL,
				"0x%" PRIx64 "+0x%zx leaves region %u of 0x%" PRIx64 " bytes",
				offset, len, index, region->desc.size);
	return 0;
}

static void put_access(uint8_t *wire, uint32_t index, uint64_t offset, size_t len)
{
	struct vfm_writer w = vfm_writer_of(wire, VFM_VU_REGION_ACCESS_SIZE);

	vfm_write_he64(&w, offset);
	vfm_write_he32(&w, index);
	vfm_write_he32(&w, (uint32_t)len);
}

/* The reply repeats the request; what counts is how much was done. */
static int check_reply(const uint8_t *wire, size_t wire_len, size_t len, struct vfm_err *err)
{
	struct vfm_reader r = vfm_reader_of(wire, wire_len);
	uint32_t done;

	vfm_read_bytes(&r, 12);
	done = vfm_read_he32(&r);
	if (!vfm_reader_ok(&r))
		return vfm_client_short(wire_len, VFM_VU_REGION_ACCESS_SIZE, err);
	if (done != len)
		return vfm_fail(err, -EPROTO, "the server did %u of %zu bytes", done, len);
	return 0;
}

static int read_part(struct vfm_client *c, uint32_t index, uint64_t offset, void *buf, size_t len,
		     struct vfm_err *err)
{
	uint8_t wire[VFM_VU_REGION_ACCESS_SIZE];
	struct iovec body = { wire, sizeof(wire) };
	struct vfm_client_call call = { .command = VFM_VU_REGION_READ,
					.body = &body,
					.nr_body = 1,
					.head = wire,
					.head_room = sizeof(wire),
					.data = buf,
					.data_room = len };
	int ret;

	put_access(wire, index, offset, len);
	ret = vfm_client_call(c, &call, err);
	if (!ret)
		ret = check_reply(wire, call.head_len, len, err);
	if (!ret && call.data_len < len)
		ret = vfm_client_short(call.data_len, len, err);
	return ret;
}

static int write_part(struct vfm_client *c, uint32_t index, uint64_t offset, const void *buf,
		      size_t len, struct vfm_err *err)
{
	uint8_t wire[VFM_VU_REGION_ACCESS_SIZE];
	struct iovec body[2] = { { wire, sizeof(wire) }, { (void *)(uintptr_t)buf, len } };
	struct vfm_client_call call = { .command = VFM_VU_REGION_WRITE,
					.body = body,
					.nr_body = 2,
					.head = wire,
					.head_room = sizeof(wire) };
	int ret;

	put_access(wire, index, offset, len);
	ret = vfm_client_call(c, &call, err);
	return ret ? ret : check_reply(wire, call.head_len, len, err);
}

int vfm_client_read_region(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			   size_t len, struct vfm_err *err)
{
	struct vfm_client *c = vfm_client_of(dev);
	int ret = vfm_client_alive(c, err);

	if (!ret)
		ret = check_bounds(c, index, offset, len, err);
	for (size_t done = 0; !ret && done < len;) {
		size_t n = VFM_MIN(len - done, c->max_read);

		ret = read_part(c, index, offset + done, (uint8_t *)buf + done, n, err);
		done += n;
	}
	if (ret)
		vfm_fail_prefix(err, "read %zu bytes of region %u at 0x%" PRIx64, len, index,
				offset);
	return ret;
}

int vfm_client_write_region(struct vfm_device *dev, uint32_t index, uint64_t offset,
			    const void *buf, size_t len, struct vfm_err *err)
{
	struct vfm_client *c = vfm_client_of(dev);
	int ret = vfm_client_alive(c, err);

	if (!ret)
		ret = check_bounds(c, index, offset, len, err);
	for (size_t done = 0; !ret && done < len;) {
		size_t n = VFM_MIN(len - done, c->max_write);

		ret = write_part(c, index, offset + done, (const uint8_t *)buf + done, n, err);
		done += n;
	}
	if (ret)
		vfm_fail_prefix(err, "write %zu bytes of region %u at 0x%" PRIx64, len, index,
				offset);
	return ret;
}
