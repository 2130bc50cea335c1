// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The dirty log.
 *
 * With our extension the server keeps all of it: any range, any page size, and
 * what it writes by DMA_WRITE as well. A report is passed on.
 *
 * Others keep only what they write through a descriptor, some report only one whole
 * mapping at a time, in the page size of the start (they loop for ever or lose pages
 * when it is another), and clear all of it. So for them there is a part here for
 * every mapping: a bit for each page of 4 KiB, counted from address 0. What the
 * server reports goes into the part, so do the pages that we write for it, and what
 * the caller asks for is taken out of the part, in the caller's page size. A part
 * outlives its mapping until it has been reported or the log ends.
 *
 * A server that goes by the text refuses what the other kind wants, if the mapping
 * leaves the ranges of the log or begins inside of one of its pages. So it is asked
 * again, for whole pages of the log within its ranges.
 *
 * One that has no such feature may know the messages of v1 (client_dirty.c). They know
 * whole mappings in pages of 4 KiB and no ranges. Parts are kept then even where both
 * sides have the extension, since it says nothing of these messages; what a server logs
 * of our writes for it as well is marked twice, and no harm.
 */

#include "vfio_user/client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/util.h"
#include "device/ranges.h"

#define PAGE 4096u

/* Pages in one message to a server of ours: 1 MiB of bitmap. A whole number of words. */
#define PIECE_PAGES (UINT64_C(1) << 23)

#define REPORT_FIXED sizeof(((struct wire_report *)0)->bytes)

/** struct wire_report - u64 iova, length, page size, as the bitmap follows them */
struct wire_report {
	uint8_t bytes[24];
};

_Static_assert(sizeof(struct vfm_range) == sizeof(struct vfm_abi_logging_range), "layout");

/**
 * struct vfm_client_log_part - the log of one mapping
 * @first, @count: its pages
 * @remote: the server writes there by itself and can report it
 * @live: the mapping is there
 * @bits: of @count pages
 */
struct vfm_client_log_part {
	struct vfm_client_log_part *next;
	uint64_t iova;
	uint64_t size;
	uint64_t first;
	uint64_t count;
	bool remote;
	bool live;
	uint64_t *bits;
};

/* ---- parts ------------------------------------------------------------------------- */

static struct vfm_client_log_part *find_ghost(struct vfm_client *c,
					      const struct vfm_client_mapping *m)
{
	struct vfm_client_log_part *p = c->log.parts;

	while (p && (p->live || p->iova != m->iova || p->size != m->size))
		p = p->next;
	return p;
}

static struct vfm_client_log_part *new_part(struct vfm_client *c,
					    const struct vfm_client_mapping *m)
{
	struct vfm_client_log_part *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->iova = m->iova;
	p->size = m->size;
	p->first = m->iova / PAGE;
	p->count = (m->iova + (m->size - 1)) / PAGE - p->first + 1;
	p->bits = calloc(vfm_bitmap_words(p->count), sizeof(*p->bits));
	if (!p->bits) {
		free(p);
		return NULL;
	}
	p->next = c->log.parts;
	c->log.parts = p;
	return p;
}

static void free_part(struct vfm_client *c, struct vfm_client_log_part *part)
{
	struct vfm_client_log_part **at = &c->log.parts;

	while (*at != part)
		at = &(*at)->next;
	*at = part->next;
	free(part->bits);
	free(part);
}

static void free_parts(struct vfm_client *c)
{
	while (c->log.parts)
		free_part(c, c->log.parts);
	for (size_t i = 0; i < c->mappings.count; i++)
		((struct vfm_client_mapping *)c->mappings.entries[i].data)->part = NULL;
}

void vfm_client_free_log(struct vfm_client *c)
{
	free_parts(c);
	free(c->log.scratch);
}

int vfm_client_log_map(struct vfm_client *c, struct vfm_client_mapping *m, struct vfm_err *err)
{
	struct vfm_client_log_part *p;

	if (!vfm_client_log_in_parts(c))
		return 0;
	if (m->size / PAGE / 8 > VFM_VU_MAX_BITMAP)
		return vfm_fail(err, -E2BIG, "0x%" PRIx64 " bytes are too many for the log",
				m->size);
	p = find_ghost(c, m);
	if (!p)
		p = new_part(c, m);
	if (!p)
		return vfm_fail(err, -ENOMEM, "no memory for the log of 0x%" PRIx64 " bytes",
				m->size);
	p->remote = m->sent_fd && m->flags & VFM_DMA_WRITE;
	p->live = true;
	m->part = p;
	return 0;
}

/*
 * A server that does not report with the unmapping drops its bits, and may have written
 * until the last moment: what it could write to must be taken for dirty.
 */
void vfm_client_log_unmap(struct vfm_client *c, struct vfm_client_mapping *m, bool known)
{
	struct vfm_client_log_part *p = m->part;

	if (!p)
		return;
	m->part = NULL;
	p->live = false;
	if (p->remote && !known)
		vfm_bitmap_set_range(p->bits, 0, p->count);
	if (vfm_bitmap_next_set(p->bits, p->count, 0) == p->count)
		free_part(c, p);
}

static void mark(struct vfm_client_log_part *p, uint64_t iova, uint64_t len)
{
	uint64_t first = iova / PAGE, last = (iova + (len - 1)) / PAGE;

	vfm_bitmap_set_range(p->bits, first - p->first, last - first + 1);
}

void vfm_client_log_wrote(struct vfm_client_mapping *m, uint64_t iova, uint64_t len)
{
	if (m->part)
		mark(m->part, iova, len);
}

/* ---- asking ------------------------------------------------------------------------ */

int vfm_client_log_room(struct vfm_client *c, size_t size, struct vfm_err *err)
{
	uint8_t *scratch;

	if (size <= c->log.scratch_size)
		return 0;
	scratch = realloc(c->log.scratch, size);
	if (!scratch)
		return vfm_fail(err, -ENOMEM, "no memory for %zu bytes of bitmap", size);
	c->log.scratch = scratch;
	c->log.scratch_size = size;
	return 0;
}

/*
 * The bitmap is behind the fixed part, whole words. A reply
 * without it, or with that of another question, is an error: to believe it would be
 * to lose pages.
 */
static int ask(struct vfm_client *c, uint64_t iova, uint64_t size, uint64_t page_size,
	       struct vfm_err *err)
{
	size_t room = REPORT_FIXED + vfm_log_bitmap_words(size, page_size) * sizeof(uint64_t);
	struct wire_report in;
	struct vfm_client_feature f = { .flags = VFM_FEATURE_DMA_LOGGING_REPORT | VFM_FEATURE_GET,
					.in = in.bytes,
					.in_len = sizeof(in.bytes),
					.out_room = room };
	struct vfm_writer w = vfm_writer_of(in.bytes, sizeof(in.bytes));
	int ret = vfm_client_log_room(c, room, err);

	if (ret)
		return ret;
	vfm_write_he64(&w, iova);
	vfm_write_he64(&w, size);
	vfm_write_he64(&w, page_size);
	f.out = c->log.scratch;
	ret = vfm_client_feature(c, &f, err);
	if (ret)
		return ret;
	if (memcmp(in.bytes, c->log.scratch, sizeof(in.bytes)) != 0)
		return vfm_fail(err, -EPROTO, "the server reports on another range");
	c->log.answer = (uint64_t *)(void *)(c->log.scratch + REPORT_FIXED);
	return 0;
}

/* Add what the answer holds. Bits behind the end of the range are not the server's to set. */
static void add_answer(struct vfm_client *c, uint64_t *to, uint64_t bits)
{
	vfm_bitmap_move(to, 0, c->log.answer, 0, bits);
}

static int report_by_server(struct vfm_client *c, uint64_t iova, uint64_t size, uint64_t page_size,
			    uint64_t *bitmap, struct vfm_err *err)
{
	uint64_t pages = size / page_size + (size % page_size != 0);

	for (uint64_t done = 0; done < pages;) {
		uint64_t n = VFM_MIN(pages - done, PIECE_PAGES);
		uint64_t len = done + n == pages ? size - done * page_size : n * page_size;
		int ret = ask(c, iova + done * page_size, len, page_size, err);

		if (ret)
			return ret;
		add_answer(c, bitmap + done / 64, n);
		done += n;
	}
	return 0;
}

/* A page of the log may lie in several mappings, all of which have lost it at the server. */
static void mark_parts(struct vfm_client *c, uint64_t first, uint64_t last)
{
	for (struct vfm_client_log_part *p = c->log.parts; p; p = p->next) {
		uint64_t from = VFM_MAX(first, p->iova);
		uint64_t to = VFM_MIN(last, p->iova + (p->size - 1));

		if (from <= to)
			mark(p, from, to - from + 1);
	}
}

/* The bits that were reported for a range, in pages of the log. */
static void spread(struct vfm_client *c, uint64_t iova, uint64_t size)
{
	const uint64_t *bits = c->log.answer;
	uint64_t page_size = c->log.page_size;
	uint64_t pages = size / page_size + (size % page_size != 0);
	struct vfm_bitmap_runs runs = vfm_bitmap_runs_of(bits, pages, 0);

	while (vfm_bitmap_next_run(&runs)) {
		uint64_t last = (runs.end - 1) * page_size;

		last += VFM_MIN(page_size, size - last) - 1;
		mark_parts(c, iova + runs.first * page_size, iova + last);
	}
}

static int ask_by_ranges(struct vfm_client *c, const struct vfm_client_log_part *p,
			 struct vfm_err *err)
{
	uint64_t mask = c->log.page_size - 1;
	int ret = 0;

	for (size_t i = 0; i < c->log.nr_ranges && !ret; i++) {
		const struct vfm_range *r = &c->log.ranges[i];
		uint64_t from = VFM_MAX(p->iova & ~mask, r->iova);
		uint64_t to = VFM_MIN((p->iova + (p->size - 1)) | mask, r->iova + (r->size - 1));

		if (from > to)
			continue;
		ret = ask(c, from, to - from + 1, c->log.page_size, err);
		if (!ret)
			spread(c, from, to - from + 1);
	}
	return ret;
}

static bool can_ask(const struct vfm_client *c, const struct vfm_client_log_part *p)
{
	if (c->log.keeper == VFM_CLIENT_LOG_MESSAGES)
		return (p->iova | p->size) % PAGE == 0;
	return p->size >= c->log.page_size;
}

static int refresh(struct vfm_client *c, struct vfm_client_log_part *p, struct vfm_err *err)
{
	bool by_message = c->log.keeper == VFM_CLIENT_LOG_MESSAGES;
	uint64_t page_size = c->log.page_size;
	int ret;

	if (!p->live || !p->remote)
		return 0;
	if (!can_ask(c, p)) {
		vfm_bitmap_set_range(p->bits, 0, p->count);
		return 0;
	}
	ret = by_message ? vfm_client_dirty_get(c, p->iova, p->size, err)
			 : ask(c, p->iova, p->size, page_size, err);
	if (vfm_client_refused(ret) && !by_message && !c->dead)
		return ask_by_ranges(c, p, err);
	if (ret)
		return ret;
	if (page_size == PAGE && p->iova % PAGE == 0)
		add_answer(c, p->bits, p->count);
	else
		spread(c, p->iova, p->size);
	return 0;
}

int vfm_client_log_ask_unmap(struct vfm_client *c, struct vfm_client_mapping *m, bool *known,
			     struct vfm_err *err)
{
	struct vfm_client_log_part *p = m->part;
	int ret;

	if (c->log.keeper != VFM_CLIENT_LOG_MESSAGES || !p || !p->remote || !can_ask(c, p))
		return -ENOTTY;
	ret = vfm_client_dirty_unmap(c, p->iova, p->size, known, err);
	if (!ret && *known)
		add_answer(c, p->bits, p->count);
	return ret == -ENOMEM ? -ENOTTY : ret;
}

/* ---- telling ------------------------------------------------------------------------ */

/* One bit of the caller for @ratio pages, the first of which begins at page @base. */
static void move_coarse(struct vfm_client_log_part *p, uint64_t from, uint64_t to, uint64_t base,
			uint64_t ratio, uint64_t *bitmap)
{
	struct vfm_bitmap_runs runs = vfm_bitmap_runs_of(p->bits, to, from);

	while (vfm_bitmap_next_run(&runs)) {
		uint64_t first = (p->first + runs.first - base) / ratio;
		uint64_t last = (p->first + runs.end - 1 - base) / ratio;

		vfm_bitmap_set_range(bitmap, first, last - first + 1);
		vfm_bitmap_clear_range(p->bits, runs.first, runs.end - runs.first);
	}
}

static void move_part(struct vfm_client_log_part *p, uint64_t base, uint64_t last, uint64_t ratio,
		      uint64_t *bitmap)
{
	uint64_t first = VFM_MAX(base, p->first);
	uint64_t end = VFM_MIN(last, p->first + p->count - 1) + 1;

	if (ratio == 1)
		vfm_bitmap_move(bitmap, first - base, p->bits, first - p->first, end - first);
	else
		move_coarse(p, first - p->first, end - p->first, base, ratio, bitmap);
}

static bool touches(const struct vfm_client_log_part *p, uint64_t base, uint64_t last)
{
	return p->first <= last && p->first + p->count - 1 >= base;
}

/* All are asked before any is told, since what one report clears may be another's. */
static int report_by_parts(struct vfm_client *c, uint64_t iova, uint64_t size, uint64_t page_size,
			   uint64_t *bitmap, struct vfm_err *err)
{
	uint64_t base = iova / PAGE, last = (iova + (size - 1)) / PAGE;
	struct vfm_client_log_part *p, *next;
	int ret = 0;

	if (!vfm_ranges_cover(c->log.ranges, c->log.nr_ranges, iova, size))
		return vfm_fail(err, -EINVAL, "it is not all logged");
	for (p = c->log.parts; p && !ret; p = p->next)
		if (touches(p, base, last))
			ret = refresh(c, p, err);
	if (ret)
		return ret;
	for (p = c->log.parts; p; p = next) {
		next = p->next;
		if (!touches(p, base, last))
			continue;
		move_part(p, base, last, page_size / PAGE, bitmap);
		if (!p->live && vfm_bitmap_next_set(p->bits, p->count, 0) == p->count)
			free_part(c, p);
	}
	return 0;
}

int vfm_client_report_log(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
			  uint64_t *bitmap, struct vfm_err *err)
{
	struct vfm_client *c = vfm_client_of(dev);
	int ret = vfm_client_alive(c, err);

	if (ret)
		return ret;
	if (vfm_client_log_in_parts(c))
		ret = report_by_parts(c, iova, size, page_size, bitmap, err);
	else if (c->log.keeper == VFM_CLIENT_LOG_SERVER)
		ret = report_by_server(c, iova, size, page_size, bitmap, err);
	else
		ret = vfm_fail(err, -EINVAL, "no log is running");
	if (ret)
		vfm_fail_prefix(err, "report the log of 0x%" PRIx64 "+0x%" PRIx64, iova, size);
	return ret;
}

/* ---- start and stop ------------------------------------------------------------------- */

static bool server_logs(struct vfm_client *c)
{
	struct vfm_client_feature f = { .flags = VFM_FEATURE_DMA_LOGGING_START | VFM_FEATURE_SET |
						 VFM_FEATURE_PROBE };

	return vfm_client_feature(c, &f, NULL) == 0;
}

static int send_start(struct vfm_client *c, uint64_t *page_size, const struct vfm_range *ranges,
		      size_t nr_ranges, struct vfm_err *err)
{
	uint8_t in[16], out[16];
	struct vfm_client_feature f = { .flags = VFM_FEATURE_DMA_LOGGING_START | VFM_FEATURE_SET,
					.in = in,
					.in_len = sizeof(in),
					.more = ranges,
					.more_len = nr_ranges * sizeof(*ranges),
					.out = out,
					.out_room = sizeof(out) };
	struct vfm_writer w = vfm_writer_of(in, sizeof(in));
	struct vfm_reader r;
	int ret;

	vfm_write_he64(&w, *page_size);
	vfm_write_he32(&w, (uint32_t)nr_ranges);
	vfm_write_he32(&w, 0);
	ret = vfm_client_feature(c, &f, err);
	if (ret || f.out_len < sizeof(uint64_t))
		return ret;
	r = vfm_reader_of(out, f.out_len);
	*page_size = vfm_read_he64(&r);
	return 0;
}

static int send_stop(struct vfm_client *c, struct vfm_err *err)
{
	struct vfm_client_feature f = { .flags = VFM_FEATURE_DMA_LOGGING_STOP | VFM_FEATURE_SET };

	return vfm_client_feature(c, &f, err);
}

static int begin_parts(struct vfm_client *c, struct vfm_err *err)
{
	int ret = 0;

	for (size_t i = 0; i < c->mappings.count && !ret; i++)
		ret = vfm_client_log_map(c, c->mappings.entries[i].data, err);
	return ret;
}

static void end_log(struct vfm_client *c)
{
	c->log.keeper = VFM_CLIENT_LOG_NONE;
	free_parts(c);
}

static int check_chosen(struct vfm_client *c, uint64_t chosen, struct vfm_err *err)
{
	int ret = 0;

	if (!vfm_is_power_of_2(chosen) || (chosen < PAGE && !c->extension)) {
		ret = vfm_fail(err, -EPROTO, "the server logs pages of %" PRIu64 " bytes", chosen);
		if (send_stop(c, NULL))
			ret = -EPROTO;
	}
	return ret;
}

/* The parts are there before the server starts, since what it writes by us counts at once. */
static int start_by_features(struct vfm_client *c, uint64_t *page_size,
			     const struct vfm_range *ranges, size_t nr_ranges, struct vfm_err *err)
{
	enum vfm_client_log_keeper before = c->log.keeper;
	uint64_t chosen = c->extension ? *page_size : VFM_MAX(*page_size, PAGE);
	int ret;

	c->log.keeper = c->extension ? VFM_CLIENT_LOG_SERVER : VFM_CLIENT_LOG_FEATURES;
	ret = begin_parts(c, err);
	if (!ret)
		ret = send_start(c, &chosen, ranges, nr_ranges, err);
	if (!ret)
		ret = check_chosen(c, chosen, err);
	if (ret) {
		end_log(c);
		c->log.keeper = before;
		return ret;
	}
	c->log.page_size = chosen;
	*page_size = chosen;
	return 0;
}

static int start_by_messages(struct vfm_client *c, uint64_t *page_size, struct vfm_err *err)
{
	int ret;

	c->log.keeper = VFM_CLIENT_LOG_MESSAGES;
	ret = begin_parts(c, err);
	if (!ret)
		ret = vfm_client_dirty_switch(c, true, err);
	if (ret) {
		end_log(c);
		return ret;
	}
	c->log.page_size = PAGE;
	*page_size = PAGE;
	return 0;
}

/* A refusal may mean "not now" or "never": where it does not say so itself, ask. */
static bool never_logs(struct vfm_client *c, int code)
{
	if (c->dead)
		return false;
	return c->extension ? code == -ENOTTY : vfm_client_refused(code) && !server_logs(c);
}

int vfm_client_start_log(struct vfm_device *dev, uint64_t *page_size,
			 const struct vfm_range *ranges, size_t nr_ranges, struct vfm_err *err)
{
	struct vfm_client *c = vfm_client_of(dev);
	int ret = vfm_client_alive(c, err);

	if (ret)
		return ret;
	if (vfm_client_log_in_parts(c))
		return vfm_fail(err, -EINVAL, "start the log: it is running");
	ret = start_by_features(c, page_size, ranges, nr_ranges, err);
	if (ret && never_logs(c, ret)) {
		ret = start_by_messages(c, page_size, err);
		if (vfm_client_refused(ret) && !c->dead)
			ret = vfm_fail(err, -ENOTTY, "the server keeps no dirty log");
	}
	if (ret) {
		vfm_fail_prefix(err, "start the log");
		return ret;
	}
	c->log.nr_ranges = nr_ranges;
	memcpy(c->log.ranges, ranges, nr_ranges * sizeof(*ranges));
	return 0;
}

/* Whether one could run is what some want to know by this: a server that can tell is asked. */
static int stop_none(struct vfm_client *c, struct vfm_err *err)
{
	int ret = c->extension ? send_stop(c, err) : vfm_fail(err, -EINVAL, "none is running");

	if (ret == -ENOTTY && !vfm_client_dirty_switch(c, false, NULL))
		ret = vfm_fail(err, -EINVAL, "none is running");
	return ret;
}

int vfm_client_stop_log(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_client *c = vfm_client_of(dev);
	int ret = vfm_client_alive(c, err);

	if (ret)
		return ret;
	if (c->log.keeper == VFM_CLIENT_LOG_NONE)
		ret = stop_none(c, err);
	else if (c->log.keeper == VFM_CLIENT_LOG_MESSAGES)
		ret = vfm_client_dirty_switch(c, false, err);
	else
		ret = send_stop(c, err);
	if (ret) {
		vfm_fail_prefix(err, "stop the log");
		return ret;
	}
	end_log(c);
	return 0;
}
