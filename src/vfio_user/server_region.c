// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Access to regions, and RESET. The data goes straight between the messages and the device. */

#include "vfio_user/server.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/util.h"

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
	return 0;
}

int vfm_srv_region_read(struct vfm_srv_request *rq)
{
	struct access a;
	int ret = read_access(rq, &a);
	uint8_t *out;

	if (ret)
		return ret;
	out = vfm_srv_reply(rq, VFM_VU_REGION_ACCESS_SIZE + (size_t)a.count);
	if (!out)
		return -ENOMEM;
	memcpy(out, rq->msg->payload, VFM_VU_REGION_ACCESS_SIZE);
	return vfm_device_read_region(rq->dev, a.region, a.offset, out + VFM_VU_REGION_ACCESS_SIZE,
				      a.count, &rq->err);
}

int vfm_srv_region_write(struct vfm_srv_request *rq)
{
	struct access a;
	int ret = read_access(rq, &a);

	if (ret)
		return ret;
	if (a.count != rq->in.left)
		return vfm_fail(&rq->err, -EINVAL,
				"write to region %" PRIu32 ": %" PRIu32 " bytes, and %zu came",
				a.region, a.count, rq->in.left);
	ret = vfm_device_write_region(rq->dev, a.region, a.offset, rq->in.p, a.count, &rq->err);
	if (!ret)
		memcpy(vfm_srv_reply(rq, VFM_VU_REGION_ACCESS_SIZE), rq->msg->payload,
		       VFM_VU_REGION_ACCESS_SIZE);
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
