// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The dirty log: START with its ranges in the message, STOP, and REPORT, whose bitmap the device
 * writes straight into the reply. START without ranges means all that is mapped now.
 *
 * A device has one log: while the client uses it by the messages of v1, these features refuse.
 */

#include "vfio_user/server.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/cleanup.h"
#include "base/util.h"
#include "device/ranges.h"

#define RANGE_SIZE 16u
#define REPORT_FIXED (VFM_VU_FEATURE_SIZE + 24u)

/* A device that cannot log says so when told to stop, and one that can says that it was not
 * logging: the only question about it that changes nothing. */
int vfm_srv_log_probe(struct vfm_srv_request *rq)
{
	if (rq->client->logging)
		return 0;
	if (vfm_device_stop_log(rq->dev, NULL) == -ENOTTY)
		return vfm_fail(&rq->err, -ENOTTY, "the device does not log what it writes");
	return 0;
}

/* ---- all that is mapped ----------------------------------------------------- */

static struct vfm_range widen(const struct vfm_iova_entry *e, uint64_t page)
{
	uint64_t first = e->iova & ~(page - 1);
	uint64_t last = (e->iova + (e->size - 1)) | (page - 1);

	return (struct vfm_range){ first, last - first + 1 };
}

int vfm_srv_log_mapped(struct vfm_srv_request *rq, uint64_t *page_size, struct vfm_range *ranges,
		       size_t *nr_ranges)
{
	const struct vfm_iova_map *maps = &rq->client->maps;
	vfm_auto_free struct vfm_range *all = calloc(maps->count + 1, sizeof(*all));
	size_t nr = maps->count;

	if (!all)
		return -ENOMEM;
	if (!vfm_is_power_of_2(*page_size))
		return vfm_fail(&rq->err, -EINVAL, "log pages of %" PRIu64 " bytes", *page_size);
	for (size_t i = 0; i < nr; i++)
		all[i] = widen(&maps->entries[i], *page_size);
	nr = vfm_ranges_join(all, nr);
	if (vfm_ranges_fit(all, &nr, VFM_MAX_LOG_RANGES))
		return -ENOMEM;
	memcpy(ranges, all, nr * sizeof(*ranges));
	*nr_ranges = nr;
	return vfm_device_start_log(rq->dev, page_size, ranges, nr, &rq->err);
}

/* ---- the features ------------------------------------------------------------ */

static int check_v1(struct vfm_srv_request *rq)
{
	if (rq->client->dirty.on)
		return vfm_fail(&rq->err, -EINVAL, "log: the one of protocol v1 is on");
	return 0;
}

static int start_all(struct vfm_srv_request *rq, uint64_t *page_size)
{
	struct vfm_range ranges[VFM_MAX_LOG_RANGES];
	size_t nr;

	return vfm_srv_log_mapped(rq, page_size, ranges, &nr);
}

static int start_some(struct vfm_srv_request *rq, uint64_t *page_size, uint32_t nr)
{
	struct vfm_range ranges[VFM_MAX_LOG_RANGES];

	for (uint32_t i = 0; i < nr; i++) {
		ranges[i].iova = vfm_read_he64(&rq->in);
		ranges[i].size = vfm_read_he64(&rq->in);
	}
	return vfm_device_start_log(rq->dev, page_size, ranges, nr, &rq->err);
}

/* The reply is the request, with the page size that the device chose. */
int vfm_srv_log_start(struct vfm_srv_request *rq)
{
	uint64_t page_size = vfm_read_he64(&rq->in);
	uint32_t nr = vfm_read_he32(&rq->in);
	uint32_t len = (uint32_t)rq->msg->len;
	uint8_t *out;
	int ret;

	vfm_read_he32(&rq->in); /* reserved */
	if (nr > VFM_MAX_LOG_RANGES)
		return vfm_fail(&rq->err, -E2BIG, "log %" PRIu32 " ranges", nr);
	if (rq->in.left != (size_t)nr * RANGE_SIZE)
		return vfm_fail(&rq->err, -EINVAL, "log %" PRIu32 " ranges in %zu bytes", nr,
				rq->in.left);
	ret = check_v1(rq);
	if (ret)
		return ret;
	out = vfm_srv_reply(rq, len);
	if (!out)
		return -ENOMEM;
	ret = nr ? start_some(rq, &page_size, nr) : start_all(rq, &page_size);
	if (ret)
		return ret;
	rq->client->logging = true;
	memcpy(out, rq->msg->payload, len);
	memcpy(out, &len, sizeof(len));
	memcpy(out + VFM_VU_FEATURE_SIZE, &page_size, sizeof(page_size));
	return 0;
}

int vfm_srv_log_stop(struct vfm_srv_request *rq)
{
	int ret = check_v1(rq);

	if (!ret)
		ret = vfm_device_stop_log(rq->dev, &rq->err);
	if (ret)
		return ret;
	rq->client->logging = false;
	memcpy(vfm_srv_reply(rq, VFM_VU_FEATURE_SIZE), rq->msg->payload, VFM_VU_FEATURE_SIZE);
	return 0;
}

/* Bytes of the bitmap, checked against what the client and we agree to. */
static int bitmap_size(struct vfm_srv_request *rq, const struct vfm_range *range,
		       uint64_t page_size, uint32_t argsz, size_t *bytes)
{
	if (!vfm_is_power_of_2(page_size) || page_size < 4096 || !range->size)
		return vfm_fail(&rq->err, -EINVAL,
				"report 0x%" PRIx64 ", size 0x%" PRIx64 ", in pages of %" PRIu64,
				range->iova, range->size, page_size);
	*bytes = vfm_log_bitmap_words(range->size, page_size) * sizeof(uint64_t);
	if (*bytes > VFM_VU_MAX_BITMAP)
		return vfm_fail(&rq->err, -E2BIG, "report: a bitmap of %zu bytes", *bytes);
	if (argsz < REPORT_FIXED + *bytes)
		return vfm_fail(&rq->err, -EINVAL,
				"report: argsz %" PRIu32 ", and the bitmap alone has %zu bytes",
				argsz, *bytes);
	return 0;
}

static int check_logging(struct vfm_srv_request *rq)
{
	int ret = vfm_srv_log_probe(rq);

	if (!ret && !rq->client->logging)
		ret = vfm_fail(&rq->err, -EINVAL, "report: there is no log");
	return ret;
}

/* Bits behind the last page are nobody's. */
static void end_bitmap(uint64_t *bitmap, size_t bytes, uint64_t size, uint64_t page_size)
{
	uint64_t pages = size / page_size + (size % page_size != 0);

	vfm_bitmap_clear_range(bitmap, pages, bytes * CHAR_BIT - pages);
}

int vfm_srv_log_report(struct vfm_srv_request *rq, uint32_t argsz)
{
	struct vfm_range range;
	uint64_t page_size, *bitmap;
	uint32_t len;
	size_t bytes = 0;
	uint8_t *out;
	int ret;

	range.iova = vfm_read_he64(&rq->in);
	range.size = vfm_read_he64(&rq->in);
	page_size = vfm_read_he64(&rq->in);
	ret = check_v1(rq);
	if (!ret)
		ret = check_logging(rq);
	if (!ret)
		ret = bitmap_size(rq, &range, page_size, argsz, &bytes);
	if (ret)
		return ret;
	len = (uint32_t)(REPORT_FIXED + bytes);
	out = vfm_srv_reply(rq, len);
	if (!out)
		return -ENOMEM;
	memcpy(out, rq->msg->payload, REPORT_FIXED);
	memcpy(out, &len, sizeof(len));
	memset(out + REPORT_FIXED, 0, bytes);
	bitmap = (uint64_t *)(void *)(out + REPORT_FIXED);
	ret = vfm_device_report_log(rq->dev, range.iova, range.size, page_size, bitmap, &rq->err);
	if (!ret)
		end_bitmap(bitmap, bytes, range.size, page_size);
	return ret;
}
