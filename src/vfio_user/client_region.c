// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What the server says of its regions. The user maps descriptors by what stands
 * here, so nothing is handed on that would map the wrong bytes or fault: areas
 * lie in the region, in order, on page boundaries, and in the file. Where a
 * mapping is not sound it is left out, since access by messages always works;
 * where the description contradicts itself it is refused.
 *
 * A reply is fetched in two steps: the fixed part says how long all of it is.
 */

#include "vfio_user/client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "device/caps.h"

/* Room for every capability that there may be, and for some that we do not know. */
#define MAX_INFO 16384u

/* A description may have grown between the two steps, but not for ever. */
#define MAX_TRIES 3

#define REGION_FLAGS (VFM_REGION_READ | VFM_REGION_WRITE | VFM_REGION_MMAP)
#define SUB_REGION_MAX 256u

/* Most bytes of offset that a file can have. */
#define FILE_MAX ((uint64_t)INT64_MAX)

/** struct info_reply - a description as it came */
struct info_reply {
	uint8_t *bytes;
	size_t len;
	uint32_t argsz;
	int fds[VFM_VU_MAX_FDS];
	unsigned int nr_fds;
};

static void close_fds(int *fds, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		vfm_close_fd(&fds[i]);
}

static void drop_reply(struct info_reply *reply)
{
	close_fds(reply->fds, reply->nr_fds);
	free(reply->bytes);
	*reply = (struct info_reply){ 0 };
}

/* Both requests begin with argsz, flags, index; the rest of @fixed bytes is zero. */
static int fetch_once(struct vfm_client *c, uint16_t command, uint32_t fixed, uint32_t index,
		      uint32_t argsz, struct info_reply *reply, struct vfm_err *err)
{
	uint8_t wire[VFM_VU_REGION_INFO_SIZE];
	struct iovec body = { wire, fixed };
	struct vfm_client_call call = { .command = command,
					.body = &body,
					.nr_body = 1,
					.head_room = argsz,
					.take_fds = reply->fds };
	struct vfm_writer w = vfm_writer_of(wire, fixed);
	struct vfm_reader r;
	int ret;

	vfm_write_he32(&w, argsz);
	vfm_write_he32(&w, 0);
	vfm_write_he32(&w, index);
	vfm_write_zeros(&w, w.left);
	reply->bytes = malloc(argsz);
	if (!reply->bytes)
		return vfm_fail(err, -ENOMEM, "no memory for %u bytes", argsz);
	call.head = reply->bytes;
	ret = vfm_client_call(c, &call, err);
	if (ret)
		return ret;
	reply->len = call.head_len;
	reply->nr_fds = call.nr_taken;
	r = vfm_reader_of(reply->bytes, reply->len);
	reply->argsz = vfm_read_he32(&r);
	return reply->len < fixed ? vfm_client_short(reply->len, fixed, err) : 0;
}

static int fetch(struct vfm_client *c, uint16_t command, uint32_t fixed, uint32_t index,
		 struct info_reply *reply, struct vfm_err *err)
{
	uint32_t argsz = fixed;

	for (int tries = 0; tries < MAX_TRIES; tries++) {
		int ret;

		drop_reply(reply);
		ret = fetch_once(c, command, fixed, index, argsz, reply, err);
		if (ret || reply->argsz <= argsz)
			return ret;
		argsz = reply->argsz;
		if (argsz > MAX_INFO)
			return vfm_fail(err, -EPROTO, "a description of %u bytes", argsz);
	}
	return vfm_fail(err, -EPROTO, "the description grows whenever it is asked for");
}

/* A regular file that is too short for the region would fault where it is touched. */
static bool file_holds(const struct vfm_region *region)
{
	struct stat st;
	uint64_t end = region->size;

	if (region->nr_areas)
		end = region->areas[region->nr_areas - 1].offset +
		      region->areas[region->nr_areas - 1].size;
	if (__builtin_add_overflow(region->fd_offset, end, &end) || end > FILE_MAX)
		return false;
	if (fstat(region->fd, &st))
		return false;
	return !S_ISREG(st.st_mode) || end <= (uint64_t)st.st_size;
}

/* @fd is taken when the region can be mapped, and closed when not. */
static void settle_mapping(struct vfm_region *region, int fd)
{
	region->fd = fd;
	vfm_region_keep_aligned(region);
	if (fd < 0 || !region->size || !vfm_region_aligned(region->fd_offset, 0) ||
	    !file_holds(region))
		region->flags &= ~VFM_REGION_MMAP;
	if (!(region->flags & VFM_REGION_MMAP)) {
		region->nr_areas = 0;
		region->fd_offset = 0;
		vfm_close_fd(&region->fd);
	}
}

static int parse_region(struct info_reply *reply, uint32_t index, struct vfm_region *region,
			struct vfm_err *err)
{
	const struct vfm_caps caps = { reply->bytes, reply->len, VFM_VU_REGION_INFO_SIZE };
	struct vfm_reader r = vfm_reader_of(reply->bytes, reply->len);
	uint32_t flags, cap_offset;
	int ret = 0;

	*region = (struct vfm_region){ .index = index, .fd = -1 };
	vfm_read_he32(&r);
	flags = vfm_read_he32(&r);
	vfm_read_he32(&r);
	cap_offset = vfm_read_he32(&r);
	region->size = vfm_read_he64(&r);
	region->fd_offset = vfm_read_he64(&r);
	region->flags = region->size ? flags & REGION_FLAGS : 0;
	if (flags & VFM_REGION_FLAG_CAPS)
		ret = vfm_caps_walk(&caps, cap_offset, vfm_region_cap, region, err);
	if (ret)
		return ret;
	settle_mapping(region, reply->nr_fds ? vfm_take_fd(&reply->fds[0]) : -1);
	return 0;
}

static int fetch_region(struct vfm_client *c, uint32_t index, struct vfm_err *err)
{
	struct vfm_client_region *region = calloc(1, sizeof(*region));
	struct info_reply reply = { 0 };
	int ret;

	if (!region)
		return vfm_fail(err, -ENOMEM, "no memory");
	ret = fetch(c, VFM_VU_DEVICE_GET_REGION_INFO, VFM_VU_REGION_INFO_SIZE, index, &reply, err);
	if (!ret)
		ret = parse_region(&reply, index, &region->desc, err);
	drop_reply(&reply);
	if (ret) {
		vfm_fail_prefix(err, "describe region %u", index);
		free(region);
		return ret;
	}
	c->regions[index] = region;
	return 0;
}

void vfm_client_free_region(struct vfm_client_region *region)
{
	if (!region)
		return;
	vfm_close_fd(&region->desc.fd);
	close_fds(region->io_fds, region->nr_io_fds);
	free(region->io);
	free(region);
}

int vfm_client_find_region(struct vfm_client *c, uint32_t index, struct vfm_client_region **region,
			   struct vfm_err *err)
{
	int ret = vfm_client_need_info(c, err);

	if (ret)
		return ret;
	if (index >= c->info.nr_regions)
		return vfm_fail(err, -EINVAL, "no region %u, there are %u", index,
				c->info.nr_regions);
	if (!c->regions[index])
		ret = fetch_region(c, index, err);
	*region = c->regions[index];
	return ret;
}

int vfm_client_get_region(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			  struct vfm_err *err)
{
	struct vfm_client *c = vfm_client_of(dev);
	struct vfm_client_region *known;
	int ret = vfm_client_alive(c, err);

	if (!ret)
		ret = vfm_client_find_region(c, index, &known, err);
	if (!ret)
		*region = known->desc;
	return ret;
}

/* ---- io_fds ---------------------------------------------------------------- */

/*
 * The entry has grown in some servers: a descriptor and an offset of shadow
 * memory stand before the value, and there is a third type that uses them.
 */
static bool parse_sub_region(struct vfm_reader *r, size_t stride, struct vfm_io_fd *io,
			     uint32_t *fd_index)
{
	io->offset = vfm_read_he64(r);
	io->size = vfm_read_he64(r);
	*fd_index = vfm_read_he32(r);
	io->type = vfm_read_he32(r);
	io->flags = vfm_read_he32(r);
	vfm_read_bytes(r, stride - VFM_VU_SUB_REGION_SIZE + 4);
	io->datamatch = vfm_read_he64(r);
	return io->type == VFM_IO_EVENTFD || io->type == VFM_IO_REGIONFD;
}

static size_t stride_of(size_t bytes, uint32_t count)
{
	if (bytes == (size_t)count * VFM_VU_SUB_REGION_SIZE)
		return VFM_VU_SUB_REGION_SIZE;
	if (bytes == (size_t)count * VFM_VU_SUB_REGION_SIZE_LONG)
		return VFM_VU_SUB_REGION_SIZE_LONG;
	return 0;
}

/* By argsz, which some count with the header of the message, or else by what came. */
static size_t find_stride(const struct info_reply *reply, uint32_t count)
{
	size_t fixed = VFM_VU_REGION_IO_FDS_SIZE;
	size_t stride = 0;

	if (count > SUB_REGION_MAX)
		return 0;
	if (reply->argsz >= fixed)
		stride = stride_of(reply->argsz - fixed, count);
	if (!stride)
		stride = stride_of(reply->len - fixed, count);
	return fixed + count * stride <= reply->len ? stride : 0;
}

static int parse_io_fds(struct info_reply *reply, struct vfm_client_region *region,
			struct vfm_err *err)
{
	struct vfm_reader r = vfm_reader_of(reply->bytes, reply->len);
	uint32_t count, fd_index;
	size_t stride;

	vfm_read_bytes(&r, 12);
	count = vfm_read_he32(&r);
	if (!count)
		return 0;
	stride = find_stride(reply, count);
	if (!stride)
		return vfm_fail(err, -EPROTO, "%u entries in %zu of %u bytes", count, reply->len,
				reply->argsz);
	region->io = calloc(count, sizeof(*region->io));
	if (!region->io)
		return vfm_fail(err, -ENOMEM, "no memory");
	for (uint32_t i = 0; i < count; i++) {
		struct vfm_io_fd *io = &region->io[region->nr_io];

		if (!parse_sub_region(&r, stride, io, &fd_index))
			continue;
		if (fd_index >= reply->nr_fds ||
		    !vfm_range_inside(io->offset, io->size, region->desc.size))
			return vfm_fail(err, -EPROTO,
					"entry %u: descriptor %u of %u, 0x%" PRIx64 "+0x%" PRIx64
					" in 0x%" PRIx64 " bytes",
					i, fd_index, reply->nr_fds, io->offset, io->size,
					region->desc.size);
		io->fd = reply->fds[fd_index];
		region->nr_io++;
	}
	return 0;
}

static int fetch_io_fds(struct vfm_client *c, struct vfm_client_region *region, struct vfm_err *err)
{
	struct info_reply reply = { 0 };
	int ret = fetch(c, VFM_VU_DEVICE_GET_REGION_IO_FDS, VFM_VU_REGION_IO_FDS_SIZE,
			region->desc.index, &reply, err);

	if (!ret)
		ret = parse_io_fds(&reply, region, err);
	if (ret) {
		free(region->io);
		region->io = NULL;
		region->nr_io = 0;
		if (vfm_client_refused(ret) && !c->extension)
			ret = vfm_fail(err, -ENOTTY, "the server knows of no such thing");
		vfm_fail_prefix(err, "ask for the descriptors of region %u", region->desc.index);
	} else {
		region->io_known = true;
		region->nr_io_fds = reply.nr_fds;
		for (unsigned int i = 0; i < reply.nr_fds; i++)
			region->io_fds[i] = vfm_take_fd(&reply.fds[i]);
	}
	drop_reply(&reply);
	return ret;
}

int vfm_client_get_io_fds(struct vfm_device *dev, uint32_t index, struct vfm_io_fd *list,
			  size_t max, struct vfm_err *err)
{
	struct vfm_client *c = vfm_client_of(dev);
	struct vfm_client_region *region;
	int ret = vfm_client_alive(c, err);

	if (!ret)
		ret = vfm_client_find_region(c, index, &region, err);
	if (!ret && !region->io_known)
		ret = fetch_io_fds(c, region, err);
	if (ret)
		return ret;
	for (size_t i = 0; i < region->nr_io && i < max; i++)
		list[i] = region->io[i];
	return (int)region->nr_io;
}
