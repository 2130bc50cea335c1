// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Memory for a device of the kernel, over a container and over an iommufd. */

#include "fake.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

#define GROUP FAKE_PCI ",path=group"
#define CDEV FAKE_PCI ",path=cdev"
#define RW (VFM_DMA_READ | VFM_DMA_WRITE)
#define VADDR ((void *)(uintptr_t)0x7f0000100000)

static const char *const ways[] = { GROUP, CDEV };

static struct vfm_device *begin(const char *way)
{
	fake_begin();
	fake.cdev = true;
	return fake_open(way);
}

static int map(struct vfm_device *dev, uint64_t iova, uint64_t size, struct vfm_err *err)
{
	const struct vfm_dma_map m = {
		.iova = iova, .size = size, .flags = RW, .fd = -1, .vaddr = VADDR
	};

	return vfm_device_map_dma(dev, &m, err);
}

static void maps_and_unmaps(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(ways); i++) {
		struct vfm_device *dev = begin(ways[i]);

		fake_forget();
		assert_int_equal(map(dev, 0x100000, 0x4000, NULL), 0);
		fake_expect("map");
		assert_int_equal(fake.nr_maps, 1);
		assert_int_equal(fake.maps[0].iova, 0x100000);
		assert_int_equal(fake.maps[0].size, 0x4000);
		assert_int_equal(fake.maps[0].flags, RW);
		assert_true(fake.maps[0].vaddr == (uintptr_t)VADDR);
		/* our own books know it, and the kernel is not asked */
		assert_int_equal(map(dev, 0x103000, 0x1000, NULL), -EEXIST);
		assert_int_equal(vfm_device_unmap_dma(dev, 0x100000, 0x3000, NULL), -ENOENT);
		assert_int_equal(vfm_device_unmap_dma(dev, 0x101000, 0x3000, NULL), -ENOENT);
		fake_expect("");
		assert_int_equal(vfm_device_unmap_dma(dev, 0x100000, 0x4000, NULL), 0);
		assert_int_equal(fake.nr_maps, 0);
		assert_int_equal(vfm_device_unmap_dma(dev, 0x100000, 0x4000, NULL), -ENOENT);
		assert_int_equal(map(dev, 0x100000, 0x1000, NULL), 0);
		assert_int_equal(map(dev, 0x101000, 0x1000, NULL), 0);
		assert_int_equal(vfm_device_unmap_all(dev, NULL), 0);
		assert_int_equal(fake.nr_maps, 0);
		fake_end(dev);
	}
}

static void directions(void **state)
{
	static const uint32_t flags[] = { VFM_DMA_READ, VFM_DMA_WRITE, RW };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(ways); i++)
		for (size_t f = 0; f < VFM_ARRAY_SIZE(flags); f++) {
			struct vfm_device *dev = begin(ways[i]);
			const struct vfm_dma_map m = { .iova = 0x1000,
						       .size = 0x1000,
						       .flags = flags[f],
						       .fd = -1,
						       .vaddr = VADDR };

			assert_int_equal(vfm_device_map_dma(dev, &m, NULL), 0);
			assert_int_equal(fake.maps[0].flags, flags[f]);
			fake_end(dev);
		}
}

/* The kernel says EINVAL to all of that; the text says which number is wrong. */
static void limits(void **state)
{
	static const struct {
		uint64_t iova, size;
		uint64_t pgsizes;
		int result;
		const char *text;
	} rows[] = {
		{ 0x1800, 0x1000, 0, -EINVAL, "page of 4096" },
		{ 0x1000, 0x1800, 0, -EINVAL, "page of 4096" },
		{ 0x11000, 0x10000, 0x10000, -EINVAL, "page of 65536" },
		{ 0x10000, 0x10000, 0x10000, 0, "" },
		{ (UINT64_C(1) << 39) - 0x1000, 0x1000, 0, 0, "" },
		{ (UINT64_C(1) << 39) - 0x1000, 0x2000, 0, -EINVAL,
		  "other addresses only: 0x0 to 0x7fffffffff" },
		{ UINT64_MAX - 0xfff, 0x1000, 0, -EINVAL, "other addresses only" },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows) * 2; i++) {
		struct vfm_err err = { .msg = "" };
		struct vfm_device *dev;
		size_t r = i / 2;

		fake_begin();
		fake.cdev = true;
		if (rows[r].pgsizes)
			fake.pgsizes = rows[r].pgsizes;
		dev = fake_open(ways[i % 2]);
		assert_int_equal(map(dev, rows[r].iova, rows[r].size, &err), rows[r].result);
		if (!strstr(err.msg, rows[r].text))
			fail_msg("\"%s\" is not in \"%s\"", rows[r].text, err.msg);
		fake_end(dev);
	}
}

static void containers_that_tell_nothing(void **state)
{
	struct vfm_device *dev;

	(void)state;
	fake_begin();
	fake.container_caps = false;
	dev = fake_open(GROUP);
	assert_int_equal(map(dev, UINT64_MAX - 0xfff, 0x1000, NULL), 0);
	fake_end(dev);
}

/* Of more ranges than we look at, none is known, and the kernel has to refuse. */
static void many_ranges_of_addresses(void **state)
{
	struct vfm_device *dev;
	struct vfm_err err;

	(void)state;
	fake_begin();
	fake.nr_spans = 64;
	dev = fake_open(GROUP);
	assert_int_equal(map(dev, 0x2000, 0x1000, NULL), 0);
	assert_int_equal(map(dev, UINT64_C(1) << 30, 0x1000, NULL), 0);
	assert_int_equal(map(dev, 0x3000, 0x1000, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "only: 0x2000 to 0x2fff, 0x4000 to 0x4fff, "));
	fake_end(dev);
	fake_begin();
	fake.nr_spans = 65;
	dev = fake_open(GROUP);
	assert_int_equal(map(dev, 0x3000, 0x1000, NULL), 0);
	fake_end(dev);
}

static void as_many_as_there_may_be(void **state)
{
	struct vfm_device *dev;
	struct vfm_err err;

	(void)state;
	fake_begin();
	fake.avail = 2;
	dev = fake_open(GROUP);
	assert_int_equal(map(dev, 0x1000, 0x1000, NULL), 0);
	assert_int_equal(map(dev, 0x2000, 0x1000, NULL), 0);
	assert_int_equal(map(dev, 0x3000, 0x1000, &err), -ENOSPC);
	assert_int_equal(vfm_device_unmap_dma(dev, 0x1000, 0x1000, NULL), 0);
	assert_int_equal(map(dev, 0x3000, 0x1000, NULL), 0);
	fake_end(dev);
}

static void refusals_of_the_kernel(void **state)
{
	static const struct {
		int code;
		int result;
		const char *text;
	} rows[] = {
		{ -EEXIST, -EEXIST, "a part of it is mapped" }, /* by somebody else */
		{ -ENOSPC, -ENOSPC, "no " },
		{ -ENOMEM, -ENOMEM, "ulimit -l" },
		{ -EFAULT, -EFAULT, "cannot be pinned" },
		{ -EINVAL, -EINVAL, "map 0x1000+0x1000" },
		{ -ENODEV, -ENOTCONN, "" },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows) * 2; i++) {
		struct vfm_device *dev = begin(ways[i % 2]);
		struct vfm_err err = { .msg = "" };

		fake_fail("map", rows[i / 2].code, 1);
		assert_int_equal(map(dev, 0x1000, 0x1000, &err), rows[i / 2].result);
		if (!strstr(err.msg, rows[i / 2].text))
			fail_msg("\"%s\" is not in \"%s\"", rows[i / 2].text, err.msg);
		/* and it is as if it had not been asked for */
		assert_int_equal(vfm_device_unmap_dma(dev, 0x1000, 0x1000, NULL), -ENOENT);
		assert_int_equal(map(dev, 0x1000, 0x1000, NULL), 0);
		fake_end(dev);
	}
}

/* What the kernel holds on to stays known, and can be tried again. */
static void unmaps_that_fail(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(ways); i++) {
		struct vfm_device *dev = begin(ways[i]);
		struct vfm_err err;

		assert_int_equal(map(dev, 0x1000, 0x1000, NULL), 0);
		assert_int_equal(map(dev, 0x2000, 0x1000, NULL), 0);
		fake_fail("unmap", -EBUSY, 1);
		assert_int_equal(vfm_device_unmap_dma(dev, 0x1000, 0x1000, NULL), -EBUSY);
		assert_int_equal(map(dev, 0x1000, 0x1000, NULL), -EEXIST);
		fake_fail("unmap", -EBUSY, 1);
		assert_int_equal(vfm_device_unmap_all(dev, &err), -EBUSY);
		assert_non_null(strstr(err.msg, "unmap 0x2000+0x1000"));
		assert_int_equal(fake.nr_maps, 1);
		assert_int_equal(vfm_device_unmap_all(dev, NULL), 0);
		assert_int_equal(map(dev, 0x1000, 0x1000, NULL), 0);
		fake.unmaps_half = true;
		assert_int_equal(vfm_device_unmap_dma(dev, 0x1000, 0x1000, &err), -EIO);
		assert_non_null(strstr(err.msg, "has unmapped 0x800 bytes"));
		fake_end(dev);
	}
}

/* ---- where the memory is ------------------------------------------------------------ */

static void by_a_descriptor(void **state)
{
	struct vfm_dma_map m = {
		.iova = 0x1000, .size = 0x3000, .flags = RW, .fd = 9, .fd_offset = 0x2000
	};
	struct vfm_device *dev = begin(GROUP);

	(void)state;
	fake_forget();
	assert_int_equal(vfm_device_map_dma(dev, &m, NULL), 0);
	fake_expect("block mmap map");
	assert_int_equal(fake.mmaps, 1);
	assert_int_equal(vfm_device_unmap_dma(dev, m.iova, m.size, NULL), 0);
	fake_expect("unmap munmap");
	/* memory that stands where no page begins is found by its descriptor, too */
	m.vaddr = (uint8_t *)VADDR + 8;
	assert_int_equal(vfm_device_map_dma(dev, &m, NULL), 0);
	fake_expect("block mmap map");
	m.iova = 0x100000;
	m.fd = -1;
	assert_int_equal(vfm_device_map_dma(dev, &m, NULL), -EINVAL);
	m.vaddr = NULL;
	m.fd = 9;
	m.fd_offset = 0x2008;
	assert_int_equal(vfm_device_map_dma(dev, &m, NULL), -EINVAL);
	m.fd_offset = 0;
	fake_fail("mmap", -EACCES, 1);
	assert_int_equal(vfm_device_map_dma(dev, &m, NULL), -EACCES);
	fake_fail("map", -EINVAL, 1);
	assert_int_equal(vfm_device_map_dma(dev, &m, NULL), -EINVAL);
	assert_int_equal(fake.mmaps, 1);
	fake_fail("block", -EBADF, 1); /* it is a page then */
	assert_int_equal(vfm_device_map_dma(dev, &m, NULL), 0);
	fake_end(dev); /* and what is mapped goes with the device */
}

static int no_read(void *user, uint64_t iova, void *buf, size_t len)
{
	(void)user;
	(void)iova;
	(void)buf;
	(void)len;
	return -EIO;
}

static int no_write(void *user, uint64_t iova, const void *buf, size_t len)
{
	(void)user;
	(void)iova;
	(void)buf;
	(void)len;
	return -EIO;
}

static void by_calls_alone(void **state)
{
	const struct vfm_dma_map m = { .iova = 0x1000,
				       .size = 0x1000,
				       .flags = RW,
				       .fd = -1,
				       .access = { no_read, no_write, NULL } };
	struct vfm_device *dev = begin(GROUP);

	(void)state;
	assert_int_equal(vfm_device_map_dma(dev, &m, NULL), -ENOTTY);
	assert_int_equal(fake.nr_maps, 0);
	fake_end(dev);
}

/* ---- somebody else's ------------------------------------------------------------------ */

/* What we have mapped into memory that lives on is taken out again, and nothing else. */
static void borrowed(void **state)
{
	static const char *const rests[] = { "fd=2,container=0", "fd=2,iommufd=3,ioas=2" };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rests); i++) {
		struct vfm_device *dev;

		fake_begin();
		dev = fake_open(rests[i]);
		fake.maps[fake.nr_maps++] = (struct fake_map){ .iova = 0, .size = 0x1000 };
		assert_int_equal(map(dev, 0x1000, 0x1000, NULL), 0);
		assert_int_equal(fake.nr_maps, 2);
		fake_end(dev);
		assert_int_equal(fake.nr_maps, 1);
		assert_int_equal(fake.maps[0].iova, 0);
	}
}

static void without_any(void **state)
{
	struct vfm_device *dev;
	struct vfm_err err;

	(void)state;
	fake_begin();
	dev = fake_open("fd=2");
	assert_int_equal(map(dev, 0x1000, 0x1000, &err), -ENOTTY);
	assert_non_null(strstr(err.msg, "without a container or an iommufd"));
	assert_int_equal(vfm_device_unmap_all(dev, NULL), 0);
	fake_end(dev);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(maps_and_unmaps),
		cmocka_unit_test(directions),
		cmocka_unit_test(limits),
		cmocka_unit_test(containers_that_tell_nothing),
		cmocka_unit_test(many_ranges_of_addresses),
		cmocka_unit_test(as_many_as_there_may_be),
		cmocka_unit_test(refusals_of_the_kernel),
		cmocka_unit_test(unmaps_that_fail),
		cmocka_unit_test(by_a_descriptor),
		cmocka_unit_test(by_calls_alone),
		cmocka_unit_test(borrowed),
		cmocka_unit_test(without_any),
	};

	return RUN_TESTS(tests);
}
