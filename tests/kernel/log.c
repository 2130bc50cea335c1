// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The dirty log of a device of the kernel: who keeps it, and that no page is lost on the way,
 * whatever page sizes the three sides have.
 */

#include "fake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/util.h"
#include "random.h"

#define GROUP FAKE_PCI ",path=group"
#define CDEV FAKE_PCI ",path=cdev"
#define VADDR ((void *)(uintptr_t)0x7f0000100000)
#define PAGE 4096u

static const struct vfm_range all = { 0, 64 * PAGE };

static void map(struct vfm_device *dev, uint64_t iova, uint64_t size)
{
	const struct vfm_dma_map m = { .iova = iova,
				       .size = size,
				       .flags = VFM_DMA_READ | VFM_DMA_WRITE,
				       .fd = -1,
				       .vaddr = VADDR };
	struct vfm_err err = { .msg = "" };

	if (vfm_device_map_dma(dev, &m, &err))
		fail_msg("%s", err.msg);
}

static int start(struct vfm_device *dev, uint64_t page, struct vfm_err *err)
{
	return vfm_device_start_log(dev, &page, &all, 1, err);
}

static uint64_t report(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page)
{
	uint64_t bits = 0;
	struct vfm_err err = { .msg = "" };

	if (vfm_device_report_log(dev, iova, size, page, &bits, &err))
		fail_msg("%s", err.msg);
	return bits;
}

static void write_page(uint64_t page)
{
	for (unsigned int i = 0; i < fake.nr_maps; i++) {
		struct fake_map *m = &fake.maps[i];

		if (page * PAGE >= m->iova && page * PAGE - m->iova < m->size)
			vfm_bitmap_set(m->dirty, page - m->iova / PAGE);
	}
}

/* ---- by the device --------------------------------------------------------------- */

static void the_device_comes_first(void **state)
{
	struct vfm_device *dev;

	(void)state;
	fake_begin();
	dev = fake_open(GROUP);
	fake_forget();
	assert_int_equal(start(dev, PAGE, NULL), 0);
	fake_expect("log-start log-report");
	fake.log_dirty = 0xf0;
	assert_int_equal(report(dev, 0, 64 * PAGE, PAGE), 0xf0);
	assert_int_equal(report(dev, 0, 64 * PAGE, PAGE), 0);
	assert_int_equal(vfm_device_stop_log(dev, NULL), 0);
	fake_expect("log-report log-report log-stop");
	fake_end(dev);
}

/* The report that only tries clears what it tells of; the next one tells it again. */
static void the_trial_loses_nothing(void **state)
{
	struct vfm_device *dev;

	(void)state;
	fake_begin();
	fake.log_dirty = 1; /* written in the moment of the start */
	dev = fake_open(GROUP);
	assert_int_equal(start(dev, PAGE, NULL), 0);
	assert_int_equal(fake.log_dirty, 0);
	assert_int_equal(report(dev, 8 * PAGE, 8 * PAGE, PAGE), 0);
	assert_int_equal(report(dev, 0, 64 * PAGE, PAGE), 1);
	assert_int_equal(report(dev, 0, 64 * PAGE, PAGE), 0);
	assert_int_equal(vfm_device_stop_log(dev, NULL), 0);
	/* nor does it tell of a log that has ended */
	fake.log_dirty = 1;
	assert_int_equal(start(dev, PAGE, NULL), 0);
	assert_int_equal(vfm_device_stop_log(dev, NULL), 0);
	assert_int_equal(start(dev, PAGE, NULL), 0);
	assert_int_equal(report(dev, 0, 64 * PAGE, PAGE), 0);
	fake_end(dev);
}

/* A trial that was dirty is told in whatever page size is asked for. */
static void the_trial_in_larger_pages(void **state)
{
	struct vfm_device *dev;

	(void)state;
	fake_begin();
	fake.log_dirty = 1;
	dev = fake_open(GROUP);
	assert_int_equal(start(dev, PAGE, NULL), 0);
	assert_int_equal(report(dev, 0, 64 * PAGE, 4 * PAGE), 1);
	fake_end(dev);
}

static void page_sizes_of_the_device(void **state)
{
	static const struct {
		uint64_t page;
		int result;
	} rows[] = { { 0, 0 },
		     { 65536, 0 },
		     { 3, -EPROTO },
		     { 4096 * 3, -EPROTO },
		     { UINT64_MAX, -EPROTO } };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		uint64_t page = PAGE;
		struct vfm_device *dev;

		fake_begin();
		fake.log_page = rows[i].page;
		dev = fake_open(GROUP);
		assert_int_equal(vfm_device_start_log(dev, &page, &all, 1, NULL), rows[i].result);
		if (!rows[i].result)
			assert_int_equal(page, rows[i].page ? rows[i].page : PAGE);
		assert_int_equal(fake.logging, rows[i].result == 0);
		fake_end(dev);
		assert_false(fake.logging);
	}
}

static void bits_behind_the_end(void **state)
{
	struct vfm_device *dev;
	uint64_t bits = UINT64_C(1) << 40; /* the caller's own, of before */

	(void)state;
	fake_begin();
	dev = fake_open(GROUP);
	assert_int_equal(start(dev, PAGE, NULL), 0);
	fake.log_spills = true;
	fake.log_dirty = 2;
	assert_int_equal(vfm_device_report_log(dev, 0, 8 * PAGE, PAGE, &bits, NULL), 0);
	assert_true(bits == (UINT64_C(1) << 40 | 2));
	fake_end(dev);
}

static void refusals_of_the_driver(void **state)
{
	static const struct {
		const char *word;
		int code;
		int start, report, stop;
	} rows[] = {
		{ "log-start", -EINVAL, -EINVAL, 0, 0 }, /* perhaps somebody else's runs */
		{ "log-start", -E2BIG, -E2BIG, 0, 0 },	 /* the engine asks for fewer */
		{ "log-start", -ENOSPC, -ENOSPC, 0, 0 },   { "log-start", -EEXIST, -EEXIST, 0, 0 },
		{ "log-start", -ENODEV, -ENOTCONN, 0, 0 }, { "log-report", -EIO, -EIO, 0, 0 },
		{ "log-stop", -EIO, 0, 0, -EIO },	   { "log-stop", -EINVAL, 0, 0, -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct vfm_device *dev;

		fake_begin();
		dev = fake_open(GROUP);
		fake_fail(rows[i].word, rows[i].code, 1);
		assert_int_equal(start(dev, PAGE, NULL), rows[i].start);
		assert_int_equal(fake.logging, rows[i].start == 0);
		if (!rows[i].start)
			assert_int_equal(vfm_device_stop_log(dev, NULL), rows[i].stop);
		fake_end(dev);
		assert_false(fake.logging);
	}
}

static void reports_that_fail(void **state)
{
	static const int codes[][2] = {
		{ -EIO, -EIO },		{ -EINVAL, -EINVAL },	    { -ENOTCONN, -ENOTCONN },
		{ -ENODEV, -ENOTCONN }, { -EOVERFLOW, -EOVERFLOW }, { -EFAULT, -EFAULT },
	};
	struct vfm_device *dev;
	uint64_t bits;

	(void)state;
	fake_begin();
	dev = fake_open(GROUP);
	assert_int_equal(start(dev, PAGE, NULL), 0);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(codes); i++) {
		fake_fail("log-report", codes[i][0], 1);
		assert_int_equal(vfm_device_report_log(dev, 0, PAGE, PAGE, &bits, NULL),
				 codes[i][1]);
	}
	fake_end(dev);
}

/* Whether a driver refuses what makes no sense is not hidden by us. */
static void goes_to_the_driver_all_the_same(void **state)
{
	struct vfm_device *dev;
	uint64_t bits;

	(void)state;
	fake_begin();
	dev = fake_open(GROUP);
	fake_forget();
	assert_int_equal(vfm_device_stop_log(dev, NULL), -EINVAL);
	assert_int_equal(vfm_device_report_log(dev, 0, PAGE, PAGE, &bits, NULL), -EINVAL);
	assert_int_equal(start(dev, PAGE, NULL), 0);
	assert_int_equal(start(dev, PAGE, NULL), -EINVAL);
	fake_expect("log-stop log-report log-start log-report log-start");
	assert_int_equal(report(dev, 0, PAGE, PAGE), 0); /* and the first runs on */
	fake_end(dev);
}

/* ---- by the IOMMU ---------------------------------------------------------------- */

/* A kernel without iommufd starts a log and reports nothing. */
static void reports_that_the_kernel_lacks(void **state)
{
	struct vfm_device *dev;
	struct vfm_err err;
	uint64_t bits;

	(void)state;
	fake_begin();
	fake.report_missing = true;
	dev = fake_open(GROUP);
	map(dev, 0, 16 * PAGE);
	fake_forget();
	assert_int_equal(start(dev, PAGE, NULL), 0);
	fake_expect("log-start log-report log-stop dirty:start");
	write_page(3);
	assert_int_equal(report(dev, 0, 16 * PAGE, PAGE), 8);
	fake_end(dev);
	assert_false(fake.iommu_logs);

	fake_begin();
	fake.report_missing = true;
	fake.container_caps = false;
	dev = fake_open(GROUP);
	assert_int_equal(start(dev, PAGE, &err), -ENOTTY);
	assert_non_null(strstr(err.msg, "this kernel cannot report it: it was built without "
					"iommufd; its IOMMU tracks no dirty pages"));
	assert_false(fake.logging);
	fake.logging = true;
	assert_int_equal(vfm_device_report_log(dev, 0, PAGE, PAGE, &bits, NULL), -EOPNOTSUPP);
	fake_end(dev);
}

static struct vfm_device *begin(bool cdev)
{
	fake_begin();
	fake.device_logs = false;
	fake.cdev = cdev;
	fake.hwpt_log = cdev;
	return fake_open(cdev ? CDEV : GROUP);
}

static void by_either_iommu(void **state)
{
	(void)state;
	for (int cdev = 0; cdev < 2; cdev++) {
		struct vfm_device *dev = begin(cdev);
		uint64_t bits = 0, page = 512;

		map(dev, 0, 16 * PAGE);
		map(dev, 20 * PAGE, 4 * PAGE);
		assert_int_equal(vfm_device_start_log(dev, &page, &all, 1, NULL), 0);
		assert_int_equal(page, PAGE);
		assert_int_equal(start(dev, PAGE, NULL), -EINVAL);
		write_page(1);
		write_page(15);
		write_page(21);
		/* a part of one mapping, though all of it is asked for and cleared */
		assert_int_equal(report(dev, PAGE, 2 * PAGE, PAGE), 1);
		assert_int_equal(report(dev, 0, 64 * PAGE, PAGE), 1 << 15 | 1 << 21);
		assert_int_equal(report(dev, 0, 64 * PAGE, PAGE), 0);
		write_page(5);
		assert_int_equal(report(dev, 0, 64 * PAGE, 4 * PAGE), 2);
		assert_int_equal(vfm_device_report_log(dev, 60 * PAGE, 8 * PAGE, PAGE, &bits, NULL),
				 -EINVAL); /* not all of it is logged */
		assert_int_equal(vfm_device_stop_log(dev, NULL), 0);
		assert_false(fake.iommu_logs);
		assert_int_equal(vfm_device_stop_log(dev, NULL), -EINVAL);
		fake_end(dev);
	}
}

/* Larger pages than ours: all of ours are dirty. */
static void large_pages_of_the_iommu(void **state)
{
	struct vfm_device *dev;
	uint64_t page = PAGE;

	(void)state;
	fake_begin();
	fake.device_logs = false;
	fake.pgsizes = 0x10000;
	dev = fake_open(GROUP);
	map(dev, 0x10000, 0x20000);
	assert_int_equal(vfm_device_start_log(dev, &page, &all, 1, NULL), 0);
	assert_int_equal(page, 0x10000);
	write_page(35);
	assert_true(report(dev, 0, 64 * PAGE, PAGE) == UINT64_C(0xffff) << 32);
	write_page(35);
	assert_int_equal(report(dev, 0, 64 * PAGE, 0x10000), 4);
	fake_end(dev);
}

/* What was written to memory that goes is told; where that is unknown, so is all that it might be.
 */
static void mappings_that_come_and_go(void **state)
{
	static const struct {
		bool cdev, tells;
	} rows[] = { { false, true }, { false, false }, { true, false } };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct vfm_device *dev = begin(rows[i].cdev);
		uint64_t last = rows[i].tells ? 0x400 : 0xf00;

		fake.no_unmap_report = !rows[i].tells;
		map(dev, 0, 4 * PAGE);
		assert_int_equal(start(dev, PAGE, NULL), 0);
		map(dev, 8 * PAGE, 4 * PAGE);
		write_page(9);
		assert_int_equal(report(dev, 0, 64 * PAGE, PAGE), 1 << 9);
		write_page(10);
		assert_int_equal(vfm_device_unmap_dma(dev, 8 * PAGE, 4 * PAGE, NULL), 0);
		map(dev, 8 * PAGE, 4 * PAGE); /* and it is there again, with its past */
		assert_int_equal(report(dev, 0, 64 * PAGE, PAGE), last);
		assert_int_equal(report(dev, 0, 64 * PAGE, PAGE), 0);
		write_page(10);
		assert_int_equal(vfm_device_unmap_dma(dev, 8 * PAGE, 4 * PAGE, NULL), 0);
		assert_int_equal(report(dev, 8 * PAGE, 2 * PAGE, PAGE), last >> 8 & 3);
		assert_int_equal(report(dev, 0, 64 * PAGE, PAGE), last & 0xc00);
		assert_int_equal(report(dev, 0, 64 * PAGE, PAGE), 0);
		fake_end(dev);
	}
}

/* A mapping that the kernel refuses is none, and one that it keeps is logged on. */
static void refused_while_it_logs(void **state)
{
	(void)state;
	for (int cdev = 0; cdev < 2; cdev++) {
		const struct vfm_dma_map m = { .iova = 8 * PAGE,
					       .size = 4 * PAGE,
					       .flags = VFM_DMA_WRITE,
					       .fd = -1,
					       .vaddr = VADDR };
		struct vfm_device *dev = begin(cdev);

		map(dev, 0, 4 * PAGE);
		assert_int_equal(start(dev, PAGE, NULL), 0);
		fake_fail("map", -ENOMEM, 1);
		assert_int_equal(vfm_device_map_dma(dev, &m, NULL), -ENOMEM);
		assert_int_equal(report(dev, 0, 64 * PAGE, PAGE), 0);
		fake_fail("unmap", -EBUSY, 0);
		assert_int_equal(vfm_device_unmap_dma(dev, 0, 4 * PAGE, NULL), -EBUSY);
		write_page(2);
		assert_int_equal(report(dev, 0, 64 * PAGE, PAGE), 4);
		fake_end(dev);
	}
}

/* A report that fails is an error, and has lost nothing of the others. */
static void failures_of_the_iommu(void **state)
{
	struct vfm_device *dev = begin(false);
	uint64_t bits = 0;

	(void)state;
	map(dev, 0, 4 * PAGE);
	map(dev, 8 * PAGE, 4 * PAGE);
	fake_fail("dirty", -EINVAL, 1);
	assert_int_equal(start(dev, PAGE, NULL), -EINVAL);
	assert_int_equal(start(dev, PAGE, NULL), 0);
	write_page(1);
	write_page(9);
	fake.fail_at = fake.calls + 2;
	fake.fail_code = -EIO;
	assert_int_equal(vfm_device_report_log(dev, 0, 64 * PAGE, PAGE, &bits, NULL), -EIO);
	assert_int_equal(bits, 0);
	assert_int_equal(report(dev, 0, 64 * PAGE, PAGE), 1 << 1 | 1 << 9);
	fake_fail("dirty", -EINVAL, 1);
	assert_int_equal(vfm_device_stop_log(dev, NULL), -EINVAL);
	assert_int_equal(vfm_device_stop_log(dev, NULL), 0);
	fake_end(dev);
}

static void containers_that_report_little(void **state)
{
	struct vfm_device *dev;
	uint64_t bits;

	(void)state;
	fake_begin();
	fake.device_logs = false;
	fake.max_bitmap = 8;
	dev = fake_open(GROUP);
	map(dev, 0, 65 * PAGE);
	assert_int_equal(start(dev, PAGE, NULL), 0);
	assert_int_equal(vfm_device_report_log(dev, 0, PAGE, PAGE, &bits, NULL), -E2BIG);
	fake_end(dev);
}

static void nobody_logs(void **state)
{
	struct vfm_device *dev;
	struct vfm_err err;

	(void)state;
	fake_begin();
	fake.device_logs = false;
	fake.cdev = true; /* and no page table that logs */
	dev = fake_open(CDEV);
	assert_int_equal(start(dev, PAGE, &err), -ENOTTY);
	assert_non_null(
		strstr(err.msg, "the device keeps no log; its IOMMU tracks no dirty pages"));
	assert_int_equal(vfm_device_stop_log(dev, NULL), -ENOTTY);
	fake_end(dev);
}

/* Any order of writes and reports, in any ranges and page sizes: each page is told once, or more
 * of it with larger pages, and none is forgotten. */
static void random_reports(void **state)
{
	(void)state;
	for (unsigned int run = 1; run <= 200; run++) {
		struct vfm_device *dev = begin(run & 1);
		uint64_t seed = run, model = 0;

		map(dev, 0, 16 * PAGE);
		map(dev, 16 * PAGE, 7 * PAGE);
		map(dev, 40 * PAGE, 24 * PAGE);
		assert_int_equal(start(dev, PAGE, NULL), 0);
		for (int n = 0; n < 60; n++) {
			uint64_t page = test_random_below(&seed, 64), ratio, from, count, told;

			if ((page < 23 || page >= 40) && test_random_below(&seed, 3)) {
				write_page(page);
				model |= UINT64_C(1) << page;
				continue;
			}
			ratio = UINT64_C(1) << test_random_below(&seed, 4);
			from = page & ~(ratio - 1);
			count = 1 + test_random_below(&seed, 64 - from);
			told = report(dev, from * PAGE, count * PAGE, ratio * PAGE);
			for (uint64_t p = from; p < from + count; p++) {
				bool dirty = model >> p & 1;

				assert_true(!dirty || told >> (p - from) / ratio & 1);
				model &= ~(UINT64_C(1) << p);
				assert_true(ratio > 1 || dirty == (told >> (p - from) & 1));
			}
		}
		fake_end(dev);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_device_comes_first),
		cmocka_unit_test(the_trial_loses_nothing),
		cmocka_unit_test(the_trial_in_larger_pages),
		cmocka_unit_test(page_sizes_of_the_device),
		cmocka_unit_test(bits_behind_the_end),
		cmocka_unit_test(refusals_of_the_driver),
		cmocka_unit_test(reports_that_fail),
		cmocka_unit_test(goes_to_the_driver_all_the_same),
		cmocka_unit_test(reports_that_the_kernel_lacks),
		cmocka_unit_test(by_either_iommu),
		cmocka_unit_test(large_pages_of_the_iommu),
		cmocka_unit_test(mappings_that_come_and_go),
		cmocka_unit_test(refused_while_it_logs),
		cmocka_unit_test(failures_of_the_iommu),
		cmocka_unit_test(containers_that_report_little),
		cmocka_unit_test(nobody_logs),
		cmocka_unit_test(random_reports),
	};

	return RUN_TESTS(tests);
}
