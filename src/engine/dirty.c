// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Memory that leaves: which pages have to be sent, and sending them.
 *
 * The device's log is read and cleared in one step, so what it gave is kept in a
 * bitmap of our own until the pages are sent. A page is read after the report
 * that named it: a write in between is logged again, and the page sent again.
 * That is also why content may be torn while the device runs, and why pages are
 * copied before the stream computes a checksum of them.
 *
 * Of several devices with one memory it is what any of them has logged. They report at the
 * same time, each into a bitmap of its own for a range, which is then joined to ours.
 *
 * A log that cannot be started or read makes every page dirty from then on. A
 * device gets one report for each range that is mapped, never for a part: real
 * devices refuse parts.
 *
 * Ranges are sorted, as the memory's map is.
 */

#include "engine/unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/util.h"
#include "device/ranges.h"

/* Pages in one record: with the address in front they fill it, but for the last page's worth. */
#define BATCH_PAGES ((VFM_STREAM_PAYLOAD_MAX - 8) / VFM_MEMORY_PAGE)

/*
 * Holes are looked for in runs of at least so many dirty pages. The kernel walks
 * all data up to the next hole for that, which is nothing against sending it, and
 * much against sending a few pages that the device has just written.
 */
#define HOLE_PAGES 512

/* So many pages are looked at before the device and the peer are. */
#define SERVICE_PAGES 4096

/* Beyond every error and success: time is over, and what is left stays dirty. */
#define ENOUGH 1

struct dirty_range {
	struct vfm_range range;
	uint64_t pages;
	uint64_t *bits;
};

struct vfm_dirty {
	bool lost;	      /* what was logged cannot be relied on */
	bool one;	      /* there is one device, which may report into our own bitmap */
	pthread_mutex_t lock; /* of the bitmaps, while devices report */
	size_t count;
	struct dirty_range ranges[];
};

static void set_all(struct vfm_dirty *d)
{
	for (size_t i = 0; i < d->count; i++)
		vfm_bitmap_set_range(d->ranges[i].bits, 0, d->ranges[i].pages);
}

int vfm_dirty_new(struct vfm_engine *e)
{
	size_t count = vfm_memory_count(e->mem);
	struct vfm_dirty *d = calloc(1, sizeof(*d) + count * sizeof(d->ranges[0]));

	if (!d)
		return vfm_fail(&e->err, -ENOMEM, "dirty bitmap: no memory");
	e->dirty = d;
	d->count = count;
	d->one = e->nr_members == 1;
	pthread_mutex_init(&d->lock, NULL);
	for (size_t i = 0; i < e->nr_members; i++)
		e->members[i].dirty = d;
	for (size_t i = 0; i < count; i++) {
		struct dirty_range *r = &d->ranges[i];

		r->range = vfm_memory_get(e->mem, i, NULL);
		r->pages = r->range.size / VFM_MEMORY_PAGE;
		r->bits = calloc(vfm_bitmap_words(r->pages), sizeof(*r->bits));
		if (!r->bits)
			return vfm_fail(&e->err, -ENOMEM, "dirty bitmap: no memory");
	}
	set_all(d);
	return 0;
}

void vfm_dirty_free(struct vfm_dirty *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->count; i++)
		free(d->ranges[i].bits);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static void lose(struct vfm_engine *e)
{
	e->dirty->lost = true;
	e->report.all_dirty = true;
	set_all(e->dirty);
}

/* A device that logs fewer ranges than we have gets wider ones, half as many at a time. */
static int start_log(struct vfm_member *m)
{
	struct vfm_range ranges[VFM_MAX_LOG_RANGES];
	const struct vfm_dirty *d = m->dirty;
	size_t nr = d->count;
	int ret;

	for (size_t i = 0; i < nr; i++)
		ranges[i] = d->ranges[i].range;
	for (;;) {
		uint64_t page_size = VFM_MEMORY_PAGE;

		ret = vfm_device_start_log(m->dev, &page_size, ranges, nr, &m->err);
		if ((ret != -E2BIG && ret != -ENOSPC) || nr < 2)
			return ret;
		ret = vfm_ranges_fit(ranges, &nr, nr / 2);
		if (ret)
			return ret;
	}
}

static int start(struct vfm_member *m, int unused)
{
	int ret = start_log(m);

	(void)unused;
	/* -EINVAL: perhaps somebody else's is running. After other failures it may be ours. */
	m->logging = ret != -ENOTTY && ret != -EINVAL;
	return ret;
}

/* A step of all, whose failure is none of the migration. */
static void each(struct vfm_engine *e, vfm_step *step)
{
	if (!vfm_unit_try(e, step, 0))
		lose(e);
}

void vfm_dirty_start(struct vfm_engine *e)
{
	each(e, start);
}

static void join(struct vfm_dirty *d, struct dirty_range *r, const uint64_t *bits)
{
	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; i < vfm_bitmap_words(r->pages); i++)
		r->bits[i] |= bits[i];
	pthread_mutex_unlock(&d->lock);
}

static int report_range(struct vfm_member *m, struct dirty_range *r)
{
	vfm_auto_free uint64_t *own = NULL;
	uint64_t *bits = r->bits;
	int ret;

	if (!m->dirty->one)
		bits = own = calloc(vfm_bitmap_words(r->pages), sizeof(*own));
	if (!bits)
		return vfm_fail(&m->err, -ENOMEM, "dirty bitmap: no memory");
	ret = vfm_device_report_log(m->dev, r->range.iova, r->range.size, VFM_MEMORY_PAGE, bits,
				    &m->err);
	if (!ret && own)
		join(m->dirty, r, own);
	return ret;
}

static int report(struct vfm_member *m, int unused)
{
	struct vfm_dirty *d = m->dirty;
	int ret = 0;

	(void)unused;
	for (size_t i = 0; i < d->count && !ret; i++)
		ret = report_range(m, &d->ranges[i]);
	return ret;
}

void vfm_dirty_report(struct vfm_engine *e)
{
	if (e->dirty->lost)
		set_all(e->dirty);
	else
		each(e, report);
}

uint64_t vfm_dirty_bytes(const struct vfm_engine *e)
{
	const struct vfm_dirty *d = e->dirty;
	uint64_t pages = 0;

	for (size_t i = 0; d && i < d->count; i++)
		pages += vfm_bitmap_count(d->ranges[i].bits, d->ranges[i].pages);
	return pages * VFM_MEMORY_PAGE;
}

void vfm_dirty_stop(struct vfm_engine *e)
{
	for (size_t i = 0; i < e->nr_members; i++) {
		struct vfm_member *m = &e->members[i];

		if (m->logging && vfm_device_stop_log(m->dev, NULL))
			continue; /* it costs a device that goes on logging, and nothing else */
		m->logging = false;
	}
}

/* ---- sending ------------------------------------------------------------- */

/* Pages of range number @n that go out together; @end is behind what is known of its holes. */
struct batch {
	struct vfm_engine *e;
	size_t n;
	struct dirty_range *r;
	uint64_t first;
	uint64_t count;
	bool zero;
	uint64_t data_end;
	uint64_t looked;
	uint64_t batch; /* most pages with data in it */
};

static int put_zeros(struct batch *b, uint64_t iova, uint64_t size)
{
	uint8_t buf[16];
	struct vfm_writer w = vfm_writer_of(buf, sizeof(buf));

	vfm_write_le64(&w, iova);
	vfm_write_le64(&w, size);
	return vfm_engine_write(b->e, VFM_STREAM_MEMORY_ZERO, buf, sizeof(buf));
}

static int put_data(struct batch *b, uint64_t iova, uint64_t size)
{
	struct vfm_writer w;
	void *buf;
	int ret = vfm_engine_buffer(b->e, &buf);

	if (ret)
		return ret;
	w = vfm_writer_of(buf, VFM_STREAM_PAYLOAD_MAX);
	vfm_write_le64(&w, iova);
	vfm_write_bytes(&w, vfm_memory_at(b->e->mem, iova, size), (size_t)size);
	return vfm_engine_write(b->e, VFM_STREAM_MEMORY_DATA, buf, w.len);
}

static int flush(struct batch *b)
{
	uint64_t iova = b->r->range.iova + b->first * VFM_MEMORY_PAGE;
	uint64_t size = b->count * VFM_MEMORY_PAGE;
	uint64_t begin = vfm_now_ns();
	int ret;

	if (!b->count)
		return 0;
	ret = b->zero ? put_zeros(b, iova, size) : put_data(b, iova, size);
	if (ret)
		return ret;
	vfm_engine_count(b->e, 0, size, b->zero ? 0 : vfm_now_ns() - begin);
	vfm_bitmap_clear_range(b->r->bits, b->first, b->count);
	b->count = 0;
	b->looked = 0;
	return vfm_engine_late(b->e) ? ENOUGH : 0;
}

static int add(struct batch *b, uint64_t page, uint64_t count, bool zero)
{
	int ret = 0;

	if (b->count &&
	    (b->zero != zero || b->first + b->count != page || (!zero && b->count >= b->batch)))
		ret = flush(b);
	if (!b->count) {
		b->first = page;
		b->zero = zero;
	}
	b->count += count;
	b->looked++;
	if (!ret && b->looked % SERVICE_PAGES == 0)
		ret = vfm_engine_service(b->e);
	return ret;
}

static bool is_zero(const uint8_t *page)
{
	uint64_t first;

	memcpy(&first, page, sizeof(first));
	return !first && !memcmp(page, page + sizeof(first), VFM_MEMORY_PAGE - sizeof(first));
}

/* Pages [at, end) are dirty. What was never written is not touched: reading would allocate it. */
static int add_run(struct batch *b, uint64_t at, uint64_t end)
{
	const uint8_t *base = vfm_memory_at(b->e->mem, b->r->range.iova, b->r->range.size);
	bool holes = end - at >= HOLE_PAGES;
	int ret = 0;

	while (!ret && at < end) {
		uint64_t begin = at * VFM_MEMORY_PAGE;

		if (holes && begin >= b->data_end)
			vfm_memory_find_data(b->e->mem, b->n, begin, &begin, &b->data_end);
		begin = VFM_MIN(begin / VFM_MEMORY_PAGE, end);
		if (begin > at) {
			ret = add(b, at, begin - at, true);
			at = begin;
			continue;
		}
		ret = add(b, at, 1, is_zero(base + at * VFM_MEMORY_PAGE));
		at++;
	}
	return ret;
}

static int send_range(struct vfm_engine *e, size_t n)
{
	struct batch b = { .e = e, .n = n, .r = &e->dirty->ranges[n] };
	struct vfm_bitmap_runs runs = vfm_bitmap_runs_of(b.r->bits, b.r->pages, 0);

	b.batch = vfm_bucket_piece(&e->bucket, BATCH_PAGES * (uint64_t)VFM_MEMORY_PAGE) /
		  VFM_MEMORY_PAGE;
	while (vfm_bitmap_next_run(&runs)) {
		int ret = add_run(&b, runs.first, runs.end);

		if (ret)
			return ret;
	}
	return flush(&b);
}

int vfm_dirty_send(struct vfm_engine *e)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < e->dirty->count; i++)
		ret = send_range(e, i);
	return ret == ENOUGH ? 0 : ret;
}
