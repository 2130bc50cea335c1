// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The dirty pages of the v1 era: DIRTY_PAGES, and DMA_UNMAP that wants a bitmap. Only for clients
 * that are shown protocol v1.
 *
 * Behind it is the device's log, the same that the features of v2 use, so a client has the one or
 * the other. START logs what is mapped at that moment. The log of a device cannot grow: what is
 * mapped later and was not logged is reported dirty as a whole, each time, until a STOP and a
 * START. So a client maps first. With nothing mapped the log is on, and the device's is not.
 *
 * What was written before a plain unmapping is reported by the next GET, though nothing is mapped
 * there; else pages that are not mapped are clean. A GET clears what it reports, and after one that
 * failed everything must be taken for dirty.
 *
 * A device that keeps no log: ENOTTY to START. To report all that is mapped, always, would be legal
 * and say as little, but look as if pre-copy could come to an end; a client that is told can do the
 * same by itself, as it does without a server's help.
 */

#include "vfio_user/server.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/util.h"

#define PAGE ((uint64_t)VFM_VU_DIRTY_PAGE)

/* Memory in one report that cannot go straight to its place. A power of two, and whole pages of any
 * log that says something. */
#define PIECE (UINT64_C(128) << 20)

/* Both replies begin so. */
#define HEAD_SIZE (VFM_VU_DIRTY_SIZE + VFM_VU_DIRTY_RANGE_SIZE)
_Static_assert(HEAD_SIZE == VFM_VU_DMA_UNMAP_SIZE + VFM_VU_UNMAP_BITMAP_SIZE, "layout");

/*
 * What is asked. Ends are inclusive.
 * @room: bytes of bitmap that the client says it has
 * @bytes: those that there are
 */
struct question {
	uint64_t iova, size, last;
	uint64_t page_size;
	uint64_t room;
	size_t bytes;
	uint64_t *bitmap;
};

static uint64_t last_of(uint64_t iova, uint64_t size)
{
	return iova + (size - 1);
}

static int check_question(struct vfm_srv_request *rq, struct question *q)
{
	if (!rq->client->dirty.on)
		return vfm_fail(&rq->err, -EINVAL, "dirty pages: the log is off");
	if (!vfm_is_power_of_2(q->page_size) || q->page_size < PAGE || !q->size ||
	    (q->iova | q->size) & (q->page_size - 1))
		return vfm_fail(&rq->err, -EINVAL,
				"dirty pages of 0x%" PRIx64 ", size 0x%" PRIx64
				", in pages of %" PRIu64,
				q->iova, q->size, q->page_size);
	if (vfm_range_wraps(q->iova, q->size))
		return vfm_fail(&rq->err, -EOVERFLOW,
				"dirty pages of 0x%" PRIx64 ": size 0x%" PRIx64 " wraps", q->iova,
				q->size);
	q->last = last_of(q->iova, q->size);
	q->bytes = vfm_log_bitmap_words(q->size, q->page_size) * sizeof(uint64_t);
	if (q->bytes > VFM_VU_MAX_BITMAP)
		return vfm_fail(&rq->err, -E2BIG, "dirty pages: a bitmap of %zu bytes", q->bytes);
	if (q->room < q->bytes)
		return vfm_fail(&rq->err, -EINVAL,
				"dirty pages: %" PRIu64 " bytes of bitmap, where %zu are needed",
				q->room, q->bytes);
	return 0;
}

/* The bytes from @from to @to are dirty. */
static void mark(const struct question *q, uint64_t from, uint64_t to)
{
	uint64_t first = (from - q->iova) / q->page_size;

	vfm_bitmap_set_range(q->bitmap, first, (to - q->iova) / q->page_size - first + 1);
}

/* ---- what the device knows -------------------------------------------------------- */

static int report_piece(struct vfm_srv_request *rq, const struct question *q, uint64_t from,
			uint64_t to)
{
	uint64_t bits[PIECE / PAGE / 64] = { 0 };
	uint64_t pages = (to - from) / PAGE + 1;
	int ret = vfm_device_report_log(rq->dev, from, to - from + 1, PAGE, bits, &rq->err);
	struct vfm_bitmap_runs runs;

	if (ret)
		return ret;
	if (q->page_size == PAGE) {
		vfm_bitmap_move(q->bitmap, (from - q->iova) / PAGE, bits, 0, pages);
		return 0;
	}
	runs = vfm_bitmap_runs_of(bits, pages, 0);
	while (vfm_bitmap_next_run(&runs))
		mark(q, from + runs.first * PAGE, from + (runs.end - 1) * PAGE);
	return 0;
}

/* A part of one range of the log: by one report if it begins with a word of the bitmap. Pieces end
 * at round addresses, so that none cuts a page of the log, which would stay dirty then. */
static int report_range(struct vfm_srv_request *rq, const struct question *q, uint64_t from,
			uint64_t to)
{
	uint64_t bit = (from - q->iova) / q->page_size;
	int ret = 0;

	if (from % q->page_size == 0 && bit % 64 == 0)
		return vfm_device_report_log(rq->dev, from, to - from + 1, q->page_size,
					     q->bitmap + bit / 64, &rq->err);
	while (!ret && from <= to) {
		uint64_t end = VFM_MIN(to, from | (PIECE - 1));

		ret = report_piece(rq, q, from, end);
		from = end + 1;
	}
	return ret;
}

static int report_logged(struct vfm_srv_request *rq, const struct question *q)
{
	const struct vfm_srv_dirty *dirty = &rq->client->dirty;
	int ret = 0;

	for (size_t i = 0; i < dirty->nr_ranges && !ret; i++) {
		const struct vfm_range *r = &dirty->ranges[i];
		uint64_t from = VFM_MAX(q->iova, r->iova);
		uint64_t to = VFM_MIN(q->last, last_of(r->iova, r->size));

		if (from <= to)
			ret = report_range(rq, q, from, to);
	}
	return ret;
}

/* ---- what nobody knows -------------------------------------------------------------- */

/* The parts of a mapping that are not in the device's log. */
static void mark_unlogged(const struct vfm_srv_dirty *dirty, const struct question *q,
			  uint64_t iova, uint64_t last)
{
	uint64_t from = VFM_MAX(q->iova, iova);
	uint64_t to = VFM_MIN(q->last, last);

	for (size_t i = 0; i < dirty->nr_ranges && from <= to; i++) {
		const struct vfm_range *r = &dirty->ranges[i];
		uint64_t end = last_of(r->iova, r->size);

		if (end < from)
			continue;
		if (r->iova > to)
			break;
		if (r->iova > from)
			mark(q, from, r->iova - 1);
		if (end >= to)
			return;
		from = end + 1;
	}
	if (from <= to)
		mark(q, from, to);
}

static void mark_mappings(const struct vfm_srv_client *client, const struct question *q)
{
	const struct vfm_iova_map *maps = &client->maps;

	for (size_t i = vfm_iova_map_from(maps, q->iova); i < maps->count; i++) {
		const struct vfm_iova_entry *e = &maps->entries[i];

		if (e->iova > q->last)
			break;
		mark_unlogged(&client->dirty, q, e->iova, last_of(e->iova, e->size));
	}
}

/* ---- the messages -------------------------------------------------------------------- */

static int start(struct vfm_srv_request *rq)
{
	struct vfm_srv_client *client = rq->client;
	uint64_t page_size = PAGE;
	size_t nr = 0;
	int ret;

	if (client->dirty.on)
		return 0;
	if (client->logging)
		return vfm_fail(&rq->err, -EINVAL, "dirty pages: the log of protocol v2 is on");
	if (client->maps.count)
		ret = vfm_srv_log_mapped(rq, &page_size, client->dirty.ranges, &nr);
	else
		ret = vfm_srv_log_probe(rq);
	if (ret)
		return ret;
	client->logging = nr;
	client->dirty.nr_ranges = nr;
	client->dirty.on = true;
	return 0;
}

static int stop(struct vfm_srv_request *rq)
{
	struct vfm_srv_client *client = rq->client;
	int ret = 0;

	if (!client->dirty.on)
		return 0;
	if (client->logging)
		ret = vfm_device_stop_log(rq->dev, &rq->err);
	if (ret)
		return ret;
	client->logging = false;
	client->dirty.on = false;
	return 0;
}

static int echo(struct vfm_srv_request *rq, uint32_t argsz, uint32_t flags)
{
	struct vfm_writer w =
		vfm_writer_of(vfm_srv_reply(rq, VFM_VU_DIRTY_SIZE), VFM_VU_DIRTY_SIZE);

	vfm_write_he32(&w, argsz);
	vfm_write_he32(&w, flags);
	return 0;
}

/* The head of the reply is that of the request, with the sizes that it has; the bitmap is clear. */
static int begin_reply(struct vfm_srv_request *rq, struct question *q)
{
	uint32_t len = (uint32_t)(HEAD_SIZE + q->bytes);
	uint64_t bytes = q->bytes;
	uint8_t *out = vfm_srv_reply(rq, len);

	if (!out)
		return -ENOMEM;
	memcpy(out, rq->msg->payload, HEAD_SIZE);
	memcpy(out, &len, sizeof(len));
	memcpy(out + HEAD_SIZE - sizeof(bytes), &bytes, sizeof(bytes));
	memset(out + HEAD_SIZE, 0, q->bytes);
	q->bitmap = (uint64_t *)(void *)(out + HEAD_SIZE);
	return 0;
}

static int get(struct vfm_srv_request *rq, uint32_t argsz, uint32_t flags)
{
	struct question q;
	int ret;

	q.iova = vfm_read_he64(&rq->in);
	q.size = vfm_read_he64(&rq->in);
	q.page_size = vfm_read_he64(&rq->in);
	q.room = vfm_read_he64(&rq->in);
	if (!vfm_reader_ok(&rq->in))
		return vfm_fail(&rq->err, -EINVAL, "dirty pages: %zu bytes", rq->msg->len);
	ret = check_question(rq, &q);
	if (ret)
		return ret;
	if (argsz < HEAD_SIZE + q.bytes)
		return echo(rq, (uint32_t)(HEAD_SIZE + q.bytes), flags);
	ret = begin_reply(rq, &q);
	if (!ret)
		ret = report_logged(rq, &q);
	if (!ret)
		mark_mappings(rq->client, &q);
	return ret;
}

int vfm_srv_dirty_pages(struct vfm_srv_request *rq)
{
	uint32_t argsz = vfm_read_he32(&rq->in);
	uint32_t flags = vfm_read_he32(&rq->in);
	int ret = -EINVAL;

	if (!vfm_srv_shows_v1(rq->server))
		return vfm_fail(&rq->err, -ENOTTY, "dirty pages: protocol v1 is not shown");
	if (!vfm_reader_ok(&rq->in) || argsz < VFM_VU_DIRTY_SIZE)
		return vfm_fail(&rq->err, -EINVAL, "dirty pages: argsz %" PRIu32 " in %zu bytes",
				argsz, rq->msg->len);
	switch (flags) {
	case VFM_VU_DIRTY_START:
		ret = start(rq);
		break;
	case VFM_VU_DIRTY_STOP:
		ret = stop(rq);
		break;
	case VFM_VU_DIRTY_GET_BITMAP:
		return get(rq, argsz, flags);
	default:
		vfm_fail(&rq->err, ret, "dirty pages: flags 0x%" PRIx32, flags);
	}
	return ret ? ret : echo(rq, argsz, flags);
}

/* The range is gone when it is asked about, so that nothing writes there any more: an answer there
 * must be, and when the device has none it is that all is dirty. */
static void report_unmapped(struct vfm_srv_request *rq, const struct question *q)
{
	int ret = report_logged(rq, q);

	if (ret) {
		vfm_srv_log(rq->server, "all of 0x%" PRIx64 " is taken for dirty: %s", q->iova,
			    rq->err.msg);
		mark(q, q->iova, q->last);
	}
	mark_unlogged(&rq->client->dirty, q, q->iova, q->last);
}

int vfm_srv_dirty_unmap(struct vfm_srv_request *rq, uint32_t argsz, uint32_t flags, uint64_t iova,
			uint64_t size)
{
	struct question q = { .iova = iova, .size = size };
	int ret;

	if (!vfm_srv_shows_v1(rq->server))
		return vfm_fail(&rq->err, -ENOTTY, "unmap: protocol v1 and its bitmap not shown");
	q.page_size = vfm_read_he64(&rq->in);
	q.room = vfm_read_he64(&rq->in);
	if (!vfm_reader_ok(&rq->in) || flags != VFM_VU_UNMAP_GET_BITMAP)
		return vfm_fail(&rq->err, -EINVAL, "unmap: flags 0x%" PRIx32 " in %zu bytes", flags,
				rq->msg->len);
	ret = check_question(rq, &q);
	if (ret)
		return ret;
	if (argsz < HEAD_SIZE + q.bytes)
		return vfm_fail(&rq->err, -EINVAL, "unmap: argsz %" PRIu32 " of at least %zu",
				argsz, HEAD_SIZE + q.bytes);
	ret = begin_reply(rq, &q);
	if (!ret)
		ret = vfm_srv_unmap_one(rq, iova, size);
	if (!ret)
		report_unmapped(rq, &q);
	return ret;
}
