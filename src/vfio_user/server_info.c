// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What the device consists of: GET_INFO, GET_REGION_INFO with its capabilities and descriptor,
 * GET_REGION_IO_FDS, GET_IRQ_INFO. An answer that is larger than the client offered to take is cut
 * to its fixed part, which says how large it is; the descriptors come with the whole one only.
 */

#include "vfio_user/server.h"

#include <errno.h>
#include <inttypes.h>

#include <unistd.h>

#include "abi/vfio.h"
#include "base/util.h"

/* Most entries in one GET_REGION_IO_FDS. */
#define MAX_IO_FDS 64

#define CAP_TYPE_SIZE (sizeof(struct vfm_abi_cap_header) + 2 * sizeof(uint32_t))
#define CAP_SPARSE_SIZE(areas)                                                                     \
	(sizeof(struct vfm_abi_cap_header) + 2 * sizeof(uint32_t) + (areas)*2 * sizeof(uint64_t))

/* A device may describe what it does not say that it has. */
static int check_index(struct vfm_srv_request *rq, const char *what, uint32_t index, uint32_t count)
{
	if (index < count)
		return 0;
	return vfm_fail(&rq->err, -EINVAL, "there is no %s %" PRIu32 ", there are %" PRIu32, what,
			index, count);
}

static int check_argsz(struct vfm_srv_request *rq, uint32_t argsz, size_t fixed)
{
	if (argsz < fixed)
		return vfm_fail(&rq->err, -EINVAL,
				"command %u: argsz %" PRIu32 ", and the answer has %zu bytes",
				rq->msg->command, argsz, fixed);
	return 0;
}

int vfm_srv_get_info(struct vfm_srv_request *rq)
{
	int ret = check_argsz(rq, vfm_read_he32(&rq->in), VFM_VU_INFO_SIZE);
	struct vfm_device_info info = { 0 };
	struct vfm_writer w;

	if (!ret)
		ret = vfm_device_get_info(rq->dev, &info, &rq->err);
	if (ret)
		return ret;
	w = vfm_writer_of(vfm_srv_reply(rq, VFM_VU_INFO_SIZE), VFM_VU_INFO_SIZE);
	vfm_write_he32(&w, VFM_VU_INFO_SIZE);
	vfm_write_he32(&w, info.flags & (VFM_DEVICE_RESET | VFM_DEVICE_PCI));
	vfm_write_he32(&w, info.nr_regions);
	vfm_write_he32(&w, info.nr_irqs);
	return 0;
}

/* ---- regions ----------------------------------------------------------------- */

/* What of a region goes over the wire. */
struct shown {
	bool mappable, sparse, typed;
	uint32_t size; /* of the whole answer */
};

/* Areas that can be mapped by whoever reads of them: whole pages inside of the region, in order. */
static bool sound_areas(const struct vfm_region *region)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end = 0;

	for (uint32_t i = 0; i < region->nr_areas; i++) {
		const struct vfm_area *a = &region->areas[i];

		if (!vfm_range_inside(a->offset, a->size, region->size) || a->offset < end ||
		    (a->offset | a->size) % page)
			return false;
		end = a->offset + a->size;
	}
	return true;
}

/* What cannot be mapped as it is described is reached by messages. */
static struct shown show(const struct vfm_srv_request *rq, const struct vfm_region *region)
{
	struct shown s = { .size = VFM_VU_REGION_INFO_SIZE };

	s.mappable = region->flags & VFM_REGION_MMAP && region->fd >= 0 && rq->client->max_fds &&
		     sound_areas(region);
	s.sparse = s.mappable && region->nr_areas;
	s.typed = region->type;
	if (s.typed)
		s.size += CAP_TYPE_SIZE;
	if (s.sparse)
		s.size += (uint32_t)CAP_SPARSE_SIZE(region->nr_areas);
	return s;
}

static void write_cap(struct vfm_writer *w, uint16_t id, uint32_t next)
{
	vfm_write_he16(w, id);
	vfm_write_he16(w, 1);
	vfm_write_he32(w, next);
}

static void write_caps(struct vfm_writer *w, const struct vfm_region *region, const struct shown *s)
{
	if (s->typed) {
		write_cap(w, VFM_REGION_CAP_TYPE,
			  s->sparse ? VFM_VU_REGION_INFO_SIZE + CAP_TYPE_SIZE : 0);
		vfm_write_he32(w, region->type);
		vfm_write_he32(w, region->subtype);
	}
	if (!s->sparse)
		return;
	write_cap(w, VFM_REGION_CAP_SPARSE_MMAP, 0);
	vfm_write_he32(w, region->nr_areas);
	vfm_write_he32(w, 0);
	for (uint32_t i = 0; i < region->nr_areas; i++) {
		vfm_write_he64(w, region->areas[i].offset);
		vfm_write_he64(w, region->areas[i].size);
	}
}

static int answer_region(struct vfm_srv_request *rq, const struct vfm_region *region,
			 uint32_t argsz)
{
	struct shown s = show(rq, region);
	bool caps = s.size > VFM_VU_REGION_INFO_SIZE;
	bool whole = s.size <= argsz;
	size_t len = whole ? s.size : VFM_VU_REGION_INFO_SIZE;
	uint32_t flags = region->flags & (VFM_REGION_READ | VFM_REGION_WRITE);
	uint8_t *out = vfm_srv_reply(rq, len);
	struct vfm_writer w = vfm_writer_of(out, len);

	if (!out)
		return -ENOMEM;
	if (s.mappable)
		flags |= VFM_REGION_MMAP;
	if (caps && whole)
		flags |= VFM_REGION_FLAG_CAPS;
	vfm_write_he32(&w, s.size);
	vfm_write_he32(&w, flags);
	vfm_write_he32(&w, region->index);
	vfm_write_he32(&w, caps && whole ? VFM_VU_REGION_INFO_SIZE : 0);
	vfm_write_he64(&w, region->size);
	vfm_write_he64(&w, s.mappable ? region->fd_offset : 0);
	if (!whole)
		return 0;
	write_caps(&w, region, &s);
	if (s.mappable)
		rq->fds[rq->nr_fds++] = region->fd;
	return 0;
}

int vfm_srv_get_region_info(struct vfm_srv_request *rq)
{
	uint32_t argsz = vfm_read_he32(&rq->in);
	struct vfm_device_info info;
	struct vfm_region region;
	uint32_t index;
	int ret = check_argsz(rq, argsz, VFM_VU_REGION_INFO_SIZE);

	vfm_read_he32(&rq->in); /* flags */
	index = vfm_read_he32(&rq->in);
	if (!ret)
		ret = vfm_device_get_info(rq->dev, &info, &rq->err);
	if (!ret)
		ret = check_index(rq, "region", index, info.nr_regions);
	if (!ret)
		ret = vfm_device_get_region(rq->dev, index, &region, &rq->err);
	if (ret)
		return ret;
	region.index = index;
	if (region.nr_areas > VFM_MAX_AREAS)
		return vfm_fail(&rq->err, -EIO, "region %" PRIu32 " has %" PRIu32 " areas", index,
				region.nr_areas);
	return answer_region(rq, &region, argsz);
}

/* ---- descriptors for registers ------------------------------------------------ */

/* The place of @fd among those of the reply, where it is put unless there already; -1: no room. */
static int fd_index(struct vfm_srv_request *rq, int fd)
{
	unsigned int i;

	for (i = 0; i < rq->nr_fds; i++)
		if (rq->fds[i] == fd)
			return (int)i;
	if (i >= rq->client->max_fds)
		return -1;
	rq->fds[rq->nr_fds++] = fd;
	return (int)i;
}

static void write_sub_region(struct vfm_writer *w, const struct vfm_io_fd *io, int index)
{
	vfm_write_he64(w, io->offset);
	vfm_write_he64(w, io->size);
	vfm_write_he32(w, (uint32_t)index);
	vfm_write_he32(w, io->type);
	vfm_write_he32(w, io->flags);
	vfm_write_he32(w, 0);
	vfm_write_he64(w, io->datamatch);
}

/* Drop the entries whose descriptors do not fit into one message to this client: it goes on to
 * write their registers. Puts the others' places into @places, and returns how many there are. */
static uint32_t choose_io_fds(struct vfm_srv_request *rq, struct vfm_io_fd *list, size_t count,
			      int *places)
{
	uint32_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		int place = list[i].fd < 0 ? -1 : fd_index(rq, list[i].fd);

		if (place < 0)
			continue;
		list[kept] = list[i];
		places[kept++] = place;
	}
	return kept;
}

int vfm_srv_get_region_io_fds(struct vfm_srv_request *rq)
{
	uint32_t argsz = vfm_read_he32(&rq->in);
	int ret = check_argsz(rq, argsz, VFM_VU_REGION_IO_FDS_SIZE);
	struct vfm_io_fd list[MAX_IO_FDS];
	int places[MAX_IO_FDS];
	uint32_t flags, index, count, full;
	struct vfm_writer w;
	bool whole;

	if (ret)
		return ret;
	flags = vfm_read_he32(&rq->in);
	index = vfm_read_he32(&rq->in);
	if (flags)
		return vfm_fail(&rq->err, -EINVAL, "io fds: flags 0x%" PRIx32, flags);
	ret = vfm_device_get_io_fds(rq->dev, index, list, MAX_IO_FDS, &rq->err);
	if (ret < 0)
		return ret;
	count = choose_io_fds(rq, list, VFM_MIN((size_t)ret, (size_t)MAX_IO_FDS), places);
	full = VFM_VU_REGION_IO_FDS_SIZE + count * VFM_VU_SUB_REGION_SIZE;
	whole = full <= argsz;
	w = vfm_writer_of(vfm_srv_reply(rq, whole ? full : VFM_VU_REGION_IO_FDS_SIZE), full);
	vfm_write_he32(&w, full);
	vfm_write_he32(&w, 0);
	vfm_write_he32(&w, index);
	vfm_write_he32(&w, count);
	if (!whole)
		rq->nr_fds = 0;
	for (uint32_t i = 0; i < count && whole; i++)
		write_sub_region(&w, &list[i], places[i]);
	return 0;
}

int vfm_srv_get_irq_info(struct vfm_srv_request *rq)
{
	int ret = check_argsz(rq, vfm_read_he32(&rq->in), VFM_VU_IRQ_INFO_SIZE);
	struct vfm_device_info info;
	struct vfm_irq irq = { 0 };
	struct vfm_writer w;
	uint32_t index;

	vfm_read_he32(&rq->in); /* flags */
	index = vfm_read_he32(&rq->in);
	if (!ret)
		ret = vfm_device_get_info(rq->dev, &info, &rq->err);
	if (!ret)
		ret = check_index(rq, "interrupt", index, info.nr_irqs);
	if (!ret)
		ret = vfm_device_get_irq(rq->dev, index, &irq, &rq->err);
	if (ret)
		return ret;
	w = vfm_writer_of(vfm_srv_reply(rq, VFM_VU_IRQ_INFO_SIZE), VFM_VU_IRQ_INFO_SIZE);
	vfm_write_he32(&w, VFM_VU_IRQ_INFO_SIZE);
	vfm_write_he32(&w, irq.flags);
	vfm_write_he32(&w, index);
	vfm_write_he32(&w, irq.count);
	return 0;
}
