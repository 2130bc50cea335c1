// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Pages of the log and pages of a report may differ. A finer report repeats a
 * dirty page, a coarser one joins several. A page that a report covers only in
 * part stays dirty, because the rest of it has not been reported yet: a page may
 * be reported twice, never too seldom.
 */

#include "device/dirty_log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/bitmap.h"
#include "base/util.h"

/* All ends are inclusive here, so that the last page of the address space works. */
static uint64_t last_byte(uint64_t start, uint64_t size)
{
	return start + (size - 1);
}

static uint64_t pages_of(const struct vfm_range *r, uint64_t page_size)
{
	return last_byte(r->iova, r->size) / page_size - r->iova / page_size + 1;
}

static uint64_t bitmap_bytes(const struct vfm_range *ranges, size_t nr, uint64_t page_size)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < nr; i++)
		bytes += vfm_bitmap_words(pages_of(&ranges[i], page_size)) * sizeof(uint64_t);
	return bytes;
}

static int choose_page_size(uint64_t *page_size, const struct vfm_range *ranges, size_t nr,
			    struct vfm_err *err)
{
	uint64_t size = VFM_MIN(VFM_MAX(*page_size, VFM_LOG_MIN_PAGE), VFM_LOG_MAX_PAGE);

	while (bitmap_bytes(ranges, nr, size) > VFM_LOG_MAX_BITMAP) {
		if (size == VFM_LOG_MAX_PAGE)
			return vfm_fail(err, -E2BIG, "the ranges to log are too large");
		size *= 2;
	}
	*page_size = size;
	return 0;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct vfm_log_range *x = a, *y = b;

	return x->iova < y->iova ? -1 : x->iova > y->iova;
}

void vfm_dirty_log_clear(struct vfm_dirty_log *log)
{
	for (size_t i = 0; i < log->nr_ranges; i++)
		free(log->ranges[i].bitmap);
	free(log->ranges);
	*log = (struct vfm_dirty_log){ 0 };
}

static int add_range(struct vfm_dirty_log *log, const struct vfm_range *r)
{
	struct vfm_log_range *range = &log->ranges[log->nr_ranges];

	*range = (struct vfm_log_range){
		.iova = r->iova,
		.size = r->size,
		.first = r->iova / log->page_size,
		.pages = pages_of(r, log->page_size),
	};
	range->bitmap = calloc(vfm_bitmap_words(range->pages), sizeof(uint64_t));
	if (!range->bitmap)
		return -ENOMEM;
	log->nr_ranges++;
	return 0;
}

int vfm_dirty_log_start(struct vfm_dirty_log *log, uint64_t *page_size,
			const struct vfm_range *ranges, size_t nr, struct vfm_err *err)
{
	uint64_t chosen = *page_size;
	int ret;

	if (log->on)
		return vfm_fail(err, -EINVAL, "start log: it is running already");
	ret = choose_page_size(&chosen, ranges, nr, err);
	if (ret)
		return ret;
	*log = (struct vfm_dirty_log){ .page_size = chosen };
	log->ranges = calloc(nr, sizeof(*log->ranges));
	for (size_t i = 0; log->ranges && i < nr; i++)
		if (add_range(log, &ranges[i]))
			break;
	if (!log->ranges || log->nr_ranges != nr) {
		vfm_dirty_log_clear(log);
		return vfm_fail(err, -ENOMEM, "start log: no memory for %zu ranges", nr);
	}
	qsort(log->ranges, nr, sizeof(*log->ranges), compare_ranges);
	log->on = true;
	*page_size = chosen;
	return 0;
}

int vfm_dirty_log_stop(struct vfm_dirty_log *log, struct vfm_err *err)
{
	if (!log->on)
		return vfm_fail(err, -EINVAL, "stop log: none is running");
	vfm_dirty_log_clear(log);
	return 0;
}

/* Index of the first range that ends at or after @iova. */
static size_t range_at(const struct vfm_dirty_log *log, uint64_t iova)
{
	size_t low = 0, high = log->nr_ranges;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (last_byte(log->ranges[mid].iova, log->ranges[mid].size) < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void vfm_dirty_log_mark(struct vfm_dirty_log *log, uint64_t iova, uint64_t size)
{
	uint64_t last = last_byte(iova, size);

	if (!log->on || !size)
		return;
	for (size_t i = range_at(log, iova); i < log->nr_ranges; i++) {
		struct vfm_log_range *r = &log->ranges[i];
		uint64_t from = VFM_MAX(iova, r->iova);
		uint64_t to = VFM_MIN(last, last_byte(r->iova, r->size));

		if (r->iova > last)
			break;
		from /= log->page_size;
		to /= log->page_size;
		vfm_bitmap_set_range(r->bitmap, from - r->first, to - from + 1);
	}
}

/* What a report is about. */
struct report {
	uint64_t iova, last;
	uint64_t page_size;
	uint64_t log_page_size;
	uint64_t *bitmap;
};

/* A row of dirty pages of the log, of which the bytes from @from to @to are reported. */
static void report_run(const struct vfm_log_range *r, const struct report *rep, uint64_t from,
		       uint64_t to, const struct vfm_bitmap_runs *run)
{
	uint64_t page_size = rep->log_page_size;
	uint64_t first = run->first, end = run->end;
	uint64_t low = (r->first + first) * page_size;
	uint64_t high = last_byte((r->first + end - 1) * page_size, page_size);
	uint64_t bit = (VFM_MAX(low, from) - rep->iova) / rep->page_size;

	vfm_bitmap_set_range(rep->bitmap, bit,
			     (VFM_MIN(high, to) - rep->iova) / rep->page_size - bit + 1);
	/* Pages at either end that go on outside, where the range does, stay. */
	first += from > VFM_MAX(low, r->iova);
	end -= to < VFM_MIN(high, last_byte(r->iova, r->size));
	if (first < end)
		vfm_bitmap_clear_range(r->bitmap, first, end - first);
}

/* The pages of one range that lie in [from, to], whatever the page sizes are. */
static void report_slowly(struct vfm_log_range *r, const struct report *rep, uint64_t from,
			  uint64_t to)
{
	uint64_t end = to / rep->log_page_size - r->first + 1;
	struct vfm_bitmap_runs runs =
		vfm_bitmap_runs_of(r->bitmap, end, from / rep->log_page_size - r->first);

	while (vfm_bitmap_next_run(&runs))
		report_run(r, rep, from, to, &runs);
}

/* The part [from, to] of one range. Equal pages move by words. */
static void report_range(struct vfm_dirty_log *log, struct vfm_log_range *r,
			 const struct report *rep, uint64_t from, uint64_t to)
{
	uint64_t size = to - from + 1; /* a range ends before 2^64 */
	uint64_t whole = 0;

	if (rep->page_size == log->page_size && from % log->page_size == 0)
		whole = size / log->page_size;
	vfm_bitmap_move(rep->bitmap, (from - rep->iova) / rep->page_size, r->bitmap,
			from / log->page_size - r->first, whole);
	if (whole * log->page_size == size)
		return;
	from += whole * log->page_size;
	report_slowly(r, rep, from, to);
}

/* Whether all of [iova, last] is logged. */
static bool covered(const struct vfm_dirty_log *log, uint64_t iova, uint64_t last)
{
	for (size_t i = range_at(log, iova); i < log->nr_ranges; i++) {
		const struct vfm_log_range *r = &log->ranges[i];

		if (r->iova > iova)
			return false;
		if (last_byte(r->iova, r->size) >= last)
			return true;
		iova = r->iova + r->size;
	}
	return false;
}

int vfm_dirty_log_report(struct vfm_dirty_log *log, uint64_t iova, uint64_t size,
			 uint64_t page_size, uint64_t *bitmap, struct vfm_err *err)
{
	struct report rep = { .iova = iova,
			      .last = last_byte(iova, size),
			      .page_size = page_size,
			      .log_page_size = log->page_size,
			      .bitmap = bitmap };

	if (!log->on)
		return vfm_fail(err, -EINVAL, "report log: none is running");
	if (!covered(log, rep.iova, rep.last))
		return vfm_fail(err, -EINVAL,
				"report log: 0x%" PRIx64 ", size 0x%" PRIx64 " is not all logged",
				iova, size);
	for (size_t i = range_at(log, iova); i < log->nr_ranges; i++) {
		struct vfm_log_range *r = &log->ranges[i];

		if (r->iova > rep.last)
			break;
		report_range(log, r, &rep, VFM_MAX(rep.iova, r->iova),
			     VFM_MIN(rep.last, last_byte(r->iova, r->size)));
	}
	return 0;
}
