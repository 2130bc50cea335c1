// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Access to regions, and RESET. The data goes straight between the messages and the device. */

#include "vfio_user/server.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "region/region.h"

/*
 * No access reaches the device that leaves its region: a client may not check, and a device may
 * rely on us. What a region is does not change, and is asked for once; for one beyond those that
 * are remembered, each time.
 */
static int check_bounds(struct vfm_srv_request *rq, uint32_t index, uint64_t offset, uint64_t len)
{
	struct vfm_srv_bound *known = index < VFM_SRV_BOUNDS ? &rq->server->bounds[index] : NULL;
	struct vfm_region region;

	if (!known || !known->known) {
		/* one that cannot be described now has to look after itself */
		if (vfm_device_get_region(rq->dev, index, &region, NULL))
			return 0;
		if (known)
			*known = (struct vfm_srv_bound){ true, region.size };
	}
	if (vfm_range_inside(offset, len, known ? known->size : region.size))
		return 0;
	return vfm_fail(&rq->err, -EINVAL,
			"access to region %" PRIu32 ": 0x%" PRIx64 "+0x%" PRIx64
			" leaves it: it has 0x%" PRIx64 " bytes",
			index, offset, len, known ? known->size : region.size);
}

struct access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
};

static int read_access(struct vfm_srv_request *rq, struct access *a)
{
	a->offset = vfm_read_he64(&rq->in);
	a->region = vfm_read_he32(&rq->in);
	a->count = vfm_read_he32(&rq->in);
	if (a->count > rq->client->max_xfer)
		return vfm_fail(&rq->err, -E2BIG,
				"access to region %" PRIu32 ": %" PRIu32
				" bytes, and %zu were agreed",
				a->region, a->count, rq->client->max_xfer);
	return check_bounds(rq, a->region, a->offset, a->count);
}

/* Data of a chunk of v1 goes out from where it stands; rq->data is NULL for all else. */
static int find_data(struct vfm_srv_request *rq, const struct access *a)
{
	const struct vfm_server *server = rq->server;

	if (!server->front || a->region != server->front_index)
		return 0;
	return vfm_front_look(server->front, a->offset, a->count, &rq->data, &rq->err);
}

int vfm_srv_region_read(struct vfm_srv_request *rq)
{
	struct access a;
	int ret = read_access(rq, &a);
	uint8_t *out;

	if (!ret)
		ret = find_data(rq, &a);
	if (ret)
		return ret;
	if (rq->data) {
		rq->data_len = a.count;
		memcpy(vfm_srv_reply(rq, VFM_VU_REGION_ACCESS_SIZE), rq->msg->payload,
		       VFM_VU_REGION_ACCESS_SIZE);
		return 0;
	}
	out = vfm_srv_reply(rq, VFM_VU_REGION_ACCESS_SIZE + (size_t)a.count);
	if (!out)
		return -ENOMEM;
	memcpy(out, rq->msg->payload, VFM_VU_REGION_ACCESS_SIZE);
	return vfm_device_read_region(rq->dev, a.region, a.offset, out + VFM_VU_REGION_ACCESS_SIZE,
				      a.count, &rq->err);
}

int vfm_srv_region_write(struct vfm_srv_request *rq)
{
	struct vfm_srv_write *w = &rq->client->write;
	struct access a;
	int ret = read_access(rq, &a);

	if (ret)
		return ret;
	if (a.count != rq->in.left + rq->msg->rest)
		return vfm_fail(&rq->err, -EINVAL,
				"write to region %" PRIu32 ": %" PRIu32 " bytes, and %zu came",
				a.region, a.count, rq->in.left + rq->msg->rest);
	memcpy(w->fixed, rq->msg->payload, sizeof(w->fixed));
	w->region = a.region;
	w->offset = a.offset;
	w->room = NULL;
	return vfm_srv_region_write_more(rq);
}

/* Where the rest of a write is to go, if it is data of v1: then it is received there. */
static int find_room(struct vfm_srv_request *rq)
{
	struct vfm_srv_write *w = &rq->client->write;

	if (!rq->msg->rest)
		return 0;
	return vfm_front_room(rq->server->front, w->offset, rq->msg->rest, &w->room, &rq->err);
}

int vfm_srv_region_write_more(struct vfm_srv_request *rq)
{
	struct vfm_srv_write *w = &rq->client->write;
	size_t len = rq->in.left;
	int ret = 0;

	if (rq->in.p != w->room)
		ret = vfm_device_write_region(rq->dev, w->region, w->offset, rq->in.p, len,
					      &rq->err);
	w->offset += len;
	if (!ret)
		ret = find_room(rq);
	if (!ret && !rq->msg->rest)
		memcpy(vfm_srv_reply(rq, sizeof(w->fixed)), w->fixed, sizeof(w->fixed));
	return ret;
}

/* One of several writes. */
static int write_one(struct vfm_srv_request *rq)
{
	struct access a;
	int ret = read_access(rq, &a);
	const uint8_t *data = vfm_read_bytes(&rq->in, sizeof(uint64_t));

	if (ret)
		return ret;
	if (!data || a.count > sizeof(uint64_t))
		return vfm_fail(&rq->err, -EINVAL,
				"write to region %" PRIu32 ": %" PRIu32 " bytes among several",
				a.region, a.count);
	return vfm_device_write_region(rq->dev, a.region, a.offset, data, a.count, &rq->err);
}

/* Stops at the first that fails; the answer is how many were done. */
int vfm_srv_region_write_multi(struct vfm_srv_request *rq)
{
	uint64_t count = vfm_read_he64(&rq->in);
	uint64_t done = 0;

	if (!rq->client->write_multiple)
		return vfm_fail(&rq->err, -ENOTTY, "several writes at once were not agreed");
	if (count > VFM_VU_WRITE_MULTI_MAX)
		return vfm_fail(&rq->err, -E2BIG, "%" PRIu64 " writes at once", count);
	if (!count || rq->in.left != count * VFM_VU_WRITE_MULTI_ENTRY)
		return vfm_fail(&rq->err, -EINVAL, "%" PRIu64 " writes in %zu bytes", count,
				rq->in.left);
	for (; done < count; done++) {
		int ret = write_one(rq);

		if (ret && !done)
			return ret;
		if (ret)
			break;
	}
	memcpy(vfm_srv_reply(rq, sizeof(done)), &done, sizeof(done));
	return 0;
}

int vfm_srv_reset(struct vfm_srv_request *rq)
{
	return vfm_device_reset(rq->dev, &rq->err);
}
