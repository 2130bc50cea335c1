// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The dirty log against a plain model: one flag a byte-sized unit of 1 KiB of a
 * small address space, with page sizes of start and report that differ.
 */

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/util.h"
#include "device/dirty_log.h"

#define PAGE UINT64_C(4096)
#define PAGES 512u /* of the model */

struct model {
	uint64_t base;
	uint64_t page_size; /* of the log */
	bool logged[PAGES]; /* in units of PAGE */
	bool dirty[PAGES];  /* log pages, by their first unit; repeated for all their units */
};

static uint32_t rnd(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void mark(struct vfm_dirty_log *log, struct model *m, uint64_t at, uint64_t size)
{
	uint64_t per = m->page_size / PAGE;

	vfm_dirty_log_mark(log, m->base + at, size);
	for (uint64_t unit = at / PAGE; unit <= (at + size - 1) / PAGE; unit++) {
		uint64_t first = unit / per * per;

		if (!m->logged[unit])
			continue;
		for (uint64_t u = first; u < first + per && u < PAGES; u++)
			if (m->logged[u])
				m->dirty[u] = true;
	}
}

/* What a report of [at, at + size) must say of its page number @n. */
static bool expected(const struct model *m, uint64_t at, uint64_t size, uint64_t page_size,
		     uint64_t n)
{
	uint64_t from = at + n * page_size;
	uint64_t to = VFM_MIN(from + page_size, at + size);

	for (uint64_t u = from / PAGE; u < (to + PAGE - 1) / PAGE; u++)
		if (m->dirty[u])
			return true;
	return false;
}

/* A log page is clean again when all of it that is logged has been reported. */
static void forget(struct model *m, uint64_t at, uint64_t size)
{
	uint64_t per = m->page_size / PAGE;

	for (uint64_t first = 0; first < PAGES; first += per) {
		bool whole = true;

		for (uint64_t u = first; u < first + per; u++)
			if (m->logged[u] && (u * PAGE < at || (u + 1) * PAGE > at + size))
				whole = false;
		for (uint64_t u = first; whole && u < first + per; u++)
			m->dirty[u] = false;
	}
}

static void report(struct vfm_dirty_log *log, struct model *m, uint64_t at, uint64_t size,
		   uint64_t page_size)
{
	uint64_t bitmap[PAGES / 64 + 2] = { 0 };
	uint64_t bits = (size + page_size - 1) / page_size;

	bitmap[vfm_bitmap_words(bits)] = 0x5a5a;
	assert_int_equal(vfm_dirty_log_report(log, m->base + at, size, page_size, bitmap, NULL), 0);
	for (uint64_t n = 0; n < bits; n++)
		assert_int_equal(vfm_bitmap_test(bitmap, n), expected(m, at, size, page_size, n));
	assert_int_equal(bitmap[vfm_bitmap_words(bits)], 0x5a5a);
	forget(m, at, size);
}

/* Two or three ranges with holes between them or none. */
static size_t choose_ranges(struct model *m, struct vfm_range *ranges, uint32_t *seed)
{
	uint64_t per = m->page_size / PAGE, at = 0;
	size_t nr = 0;

	while (at + per <= PAGES && nr < 3) {
		uint64_t units = (1 + rnd(seed) % 20) * per;

		units = VFM_MIN(units, (PAGES - at) / per * per);
		ranges[nr++] = (struct vfm_range){ m->base + at * PAGE, units * PAGE };
		for (uint64_t u = at; u < at + units; u++)
			m->logged[u] = true;
		at += units + rnd(seed) % 3 * per;
	}
	return nr;
}

static void random_run(uint32_t seed, uint64_t base)
{
	static const uint64_t sizes[] = { PAGE, 2 * PAGE, 4 * PAGE, 16 * PAGE };
	struct model m = { .base = base, .page_size = sizes[rnd(&seed) % 4] };
	struct vfm_range ranges[3];
	size_t nr = choose_ranges(&m, ranges, &seed);
	struct vfm_dirty_log log = { 0 };
	uint64_t page_size = m.page_size;

	assert_int_equal(vfm_dirty_log_start(&log, &page_size, ranges, nr, NULL), 0);
	assert_int_equal(page_size, m.page_size);
	for (int i = 0; i < 60; i++) {
		const struct vfm_range *r = &ranges[rnd(&seed) % nr];
		uint64_t at = r->iova - base, rep = sizes[rnd(&seed) % 4], skip, size;

		for (int k = 0; k < 3; k++) {
			uint64_t where = rnd(&seed) % (PAGES * PAGE - 20000);

			mark(&log, &m, where, 1 + rnd(&seed) % 20000);
		}
		skip = rnd(&seed) % (r->size / PAGE) * PAGE;
		skip = (at + skip + rep - 1) / rep * rep - at;
		if (skip >= r->size)
			continue;
		size = 1 + rnd(&seed) % (r->size - skip);
		if (rnd(&seed) % 2)
			size = r->size - skip;
		else
			size = (size + PAGE - 1) / PAGE * PAGE;
		report(&log, &m, at + skip, VFM_MIN(size, r->size - skip), rep);
	}
	vfm_dirty_log_clear(&log);
}

static void random_runs_agree_with_the_model(void **unused)
{
	(void)unused;
	for (uint32_t seed = 1; seed <= 600; seed++)
		random_run(seed, seed % 3 ? seed % 3 * 0x10000000 : 0);
	/* The last pages of the address space, but for the very last. */
	for (uint32_t seed = 1; seed <= 100; seed++)
		random_run(seed, UINT64_C(0) - (PAGES + 16) * PAGE);
}

static void page_size_is_chosen_within_bounds(void **unused)
{
	static const struct {
		uint64_t asked, size, chosen;
		int result;
	} rows[] = {
		{ 1, 1 << 20, 4096, 0 },
		{ 4096, 1 << 20, 4096, 0 },
		{ UINT64_C(1) << 40, UINT64_C(1) << 40, 1 << 30, 0 },
		/* 4 TiB at 4 KiB would be 128 MiB of bitmap. */
		{ 4096, UINT64_C(1) << 42, 8192, 0 },
		{ 4096, UINT64_C(1) << 63, 0, -E2BIG },
	};

	(void)unused;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct vfm_range range = { 0, rows[i].size };
		struct vfm_dirty_log log = { 0 };
		uint64_t page_size = rows[i].asked;

		assert_int_equal(vfm_dirty_log_start(&log, &page_size, &range, 1, NULL),
				 rows[i].result);
		if (!rows[i].result)
			assert_int_equal(page_size, rows[i].chosen);
		vfm_dirty_log_clear(&log);
	}
}

static void misuse_is_refused(void **unused)
{
	struct vfm_range ranges[] = { { 0x10000, 0x4000 }, { 0x20000, 0x4000 } };
	struct vfm_dirty_log log = { 0 };
	uint64_t page_size = PAGE, bitmap[64] = { 0 };

	(void)unused;
	assert_int_equal(vfm_dirty_log_stop(&log, NULL), -EINVAL);
	assert_int_equal(vfm_dirty_log_report(&log, 0x10000, PAGE, PAGE, bitmap, NULL), -EINVAL);
	assert_int_equal(vfm_dirty_log_start(&log, &page_size, ranges, 2, NULL), 0);
	assert_int_equal(vfm_dirty_log_start(&log, &page_size, ranges, 2, NULL), -EINVAL);
	/* Before, across the hole, and beyond. */
	assert_int_equal(vfm_dirty_log_report(&log, 0xf000, 0x2000, PAGE, bitmap, NULL), -EINVAL);
	assert_int_equal(vfm_dirty_log_report(&log, 0x12000, 0x10000, PAGE, bitmap, NULL), -EINVAL);
	assert_int_equal(vfm_dirty_log_report(&log, 0x22000, 0x3000, PAGE, bitmap, NULL), -EINVAL);
	assert_int_equal(vfm_dirty_log_report(&log, 0x20000, 0x4000, PAGE, bitmap, NULL), 0);
	assert_int_equal(vfm_dirty_log_stop(&log, NULL), 0);
	vfm_dirty_log_mark(&log, 0x10000, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_runs_agree_with_the_model),
		cmocka_unit_test(page_size_is_chosen_within_bounds),
		cmocka_unit_test(misuse_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
