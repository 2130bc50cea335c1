// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Regions and interrupts of a device of the kernel: accesses of the width that was asked for,
 * descriptions that are believed as far as they make sense.
 */

#include "fake.h"

#include <errno.h>
#include <string.h>

#include <vfmig/v1.h>

#include "base/bytes.h"
#include "base/util.h"
#include "random.h"
#include "region/region.h"

#define INFO ((uint32_t)sizeof(struct vfm_abi_region_info))

/* Build the chain of capabilities of region 0. */
static void add_cap(uint16_t id, uint16_t version, const void *data, size_t len, bool last)
{
	size_t size = (sizeof(struct vfm_abi_cap_header) + len + 7) & ~(size_t)7;
	struct vfm_abi_cap_header head = { id, version,
					   last ? 0
						: (uint32_t)(INFO + fake.region_info_len + size) };

	assert_true(fake.region_info_len + size <= sizeof(fake.region_info));
	memcpy(fake.region_info + fake.region_info_len, &head, sizeof(head));
	memcpy(fake.region_info + fake.region_info_len + sizeof(head), data, len);
	fake.region_info_len += size;
	fake.region_cap = INFO;
}

static void add_sparse(const struct vfm_area *areas, uint32_t nr, bool last)
{
	uint8_t data[512];
	struct vfm_writer w = vfm_writer_of(data, sizeof(data));

	vfm_write_he32(&w, nr);
	vfm_write_he32(&w, 0);
	for (uint32_t i = 0; i < nr; i++) {
		vfm_write_he64(&w, areas[i].offset);
		vfm_write_he64(&w, areas[i].size);
	}
	assert_true(vfm_writer_ok(&w));
	add_cap(VFM_REGION_CAP_SPARSE_MMAP, 1, data, w.len, last);
	fake.region_flags |= VFM_REGION_MMAP;
}

static struct vfm_device *begin(void)
{
	fake_begin();
	return NULL;
}

/* ---- access -------------------------------------------------------------------- */

static void one_access_of_the_width_asked_for(void **state)
{
	static const size_t widths[] = { 1, 2, 4, 8, 3, 4096 };
	struct vfm_device *dev = begin();
	uint8_t buf[4096], back[4096];

	(void)state;
	fake.region_offset = UINT64_C(3) << 40;
	dev = fake_open(FAKE_PCI);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(widths); i++) {
		memset(buf, (int)i + 1, sizeof(buf));
		fake_forget();
		assert_int_equal(vfm_device_write_region(dev, 0, 0x100, buf, widths[i], NULL), 0);
		assert_int_equal(fake.last_width, widths[i]);
		assert_int_equal(vfm_device_read_region(dev, 0, 0x100, back, widths[i], NULL), 0);
		assert_int_equal(fake.last_width, widths[i]);
		assert_memory_equal(buf, back, widths[i]);
		fake_expect(i ? "pwrite pread" : "region pwrite pread");
	}
	fake_end(dev);
}

/* A driver that does a part is asked for the rest, and one that does nothing is not, for ever. */
static void short_accesses(void **state)
{
	struct vfm_device *dev = begin();
	struct vfm_err err;
	uint64_t value = 0x1122334455667788, back = 0;

	(void)state;
	dev = fake_open(FAKE_PCI);
	fake.most_bytes = 3;
	assert_int_equal(vfm_device_write_region(dev, 0, 8, &value, sizeof(value), NULL), 0);
	assert_int_equal(vfm_device_read_region(dev, 0, 8, &back, sizeof(back), NULL), 0);
	assert_true(value == back);
	fake_fail("pread", -EXDEV, 0);
	assert_int_equal(vfm_device_read_region(dev, 0, 8, &back, sizeof(back), &err), -EIO);
	assert_non_null(strstr(err.msg, "the driver moved none"));
	fake_fail("pwrite", -EXDEV, 0);
	assert_int_equal(vfm_device_write_region(dev, 0, 8, &back, sizeof(back), &err), -EIO);
	fake_fail("pread", -ENODEV, 0);
	assert_int_equal(vfm_device_read_region(dev, 0, 8, &back, 4, &err), -ENOTCONN);
	assert_non_null(strstr(err.msg, "read 4 bytes of region 0 at 0x8: the device is gone"));
	fake_fail("pwrite", -EINVAL, 0);
	assert_int_equal(vfm_device_write_region(dev, 0, 8, &back, 4, &err), -EINVAL);
	fake_end(dev);
}

static void bounds(void **state)
{
	struct vfm_device *dev = begin();
	struct vfm_region region;
	uint32_t word = 0;

	(void)state;
	dev = fake_open(FAKE_PCI);
	assert_int_equal(vfm_device_read_region(dev, 0, FAKE_REGION_SIZE - 4, &word, 4, NULL), 0);
	assert_int_equal(vfm_device_read_region(dev, 0, FAKE_REGION_SIZE - 3, &word, 4, NULL),
			 -EINVAL);
	assert_int_equal(vfm_device_write_region(dev, 0, UINT64_MAX - 3, &word, 4, NULL), -EINVAL);
	assert_int_equal(vfm_device_read_region(dev, 9, 0, &word, 4, NULL), -EINVAL);
	assert_int_equal(vfm_device_get_region(dev, 9, &region, NULL), -EINVAL);
	assert_int_equal(vfm_device_get_region(dev, UINT32_MAX, &region, NULL), -EINVAL);
	fake_end(dev);
}

/* ---- description --------------------------------------------------------------- */

static void sparse_areas(void **state)
{
	const struct vfm_area areas[] = { { 0x4000, 0x2000 }, { 0x1000, 0x1000 }, { 0x8000, 0 } };
	uint32_t type[2] = { VFM_V1_REGION_TYPE, VFM_V1_REGION_SUBTYPE };
	struct vfm_device *dev = begin();
	struct vfm_region region;

	(void)state;
	add_cap(99, 1, "unknown", 8, false);
	add_sparse(areas, 3, false);
	add_cap(VFM_REGION_CAP_TYPE, 1, type, sizeof(type), true);
	fake.region_offset = 0x100000;
	dev = fake_open(FAKE_PCI);
	assert_int_equal(vfm_device_get_region(dev, 0, &region, NULL), 0);
	assert_int_equal(region.nr_areas, 2);
	assert_int_equal(region.areas[0].offset, 0x1000);
	assert_int_equal(region.areas[1].size, 0x2000);
	assert_int_equal(region.type, VFM_V1_REGION_TYPE);
	assert_int_equal(region.subtype, VFM_V1_REGION_SUBTYPE);
	assert_true(region.fd >= 0);
	assert_int_equal(region.fd_offset, 0x100000);
	assert_int_equal(region.flags, VFM_REGION_READ | VFM_REGION_WRITE | VFM_REGION_MMAP);
	fake_end(dev);
}

/* What is no whole pages cannot be mapped, and is read by calls. */
static void what_cannot_be_mapped(void **state)
{
	static const struct {
		struct vfm_area area;
		uint64_t offset, size;
		uint32_t nr_areas;
		bool mmap;
	} rows[] = {
		{ { 0, 0 }, 0, FAKE_REGION_SIZE, 0, false }, /* sparse, and no area */
		{ { 0x1000, 0x1000 }, 0, FAKE_REGION_SIZE, 1, true },
		{ { 0x1000, 0x800 }, 0, FAKE_REGION_SIZE, 0, false },
		{ { 0x1800, 0x1000 }, 0, FAKE_REGION_SIZE, 0, false },
		{ { 0x1000, 0x1000 }, 0x800, FAKE_REGION_SIZE, 0, false },
		{ { 0x1000, 0x1000 }, 0, 0x2800, 1, true },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct vfm_device *dev = begin();
		struct vfm_region region;

		add_sparse(&rows[i].area, rows[i].area.size != 0, true);
		fake.region_offset = rows[i].offset;
		fake.region_size = rows[i].size;
		dev = fake_open(FAKE_PCI);
		assert_int_equal(vfm_device_get_region(dev, 0, &region, NULL), 0);
		assert_int_equal(region.nr_areas, rows[i].nr_areas);
		assert_int_equal(!!(region.flags & VFM_REGION_MMAP), rows[i].mmap);
		assert_int_equal(region.fd >= 0, rows[i].mmap);
		fake_end(dev);
	}
}

static void whole_regions(void **state)
{
	static const struct {
		uint64_t size;
		bool mmap;
	} rows[] = { { 0x4000, true }, { 0x4100, false }, { 0, false } };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct vfm_device *dev = begin();
		struct vfm_region region;

		fake.region_flags |= VFM_REGION_MMAP;
		fake.region_size = rows[i].size;
		dev = fake_open(FAKE_PCI);
		assert_int_equal(vfm_device_get_region(dev, 0, &region, NULL), 0);
		assert_int_equal(region.fd >= 0, rows[i].mmap);
		assert_int_equal(region.size, rows[i].size);
		assert_int_equal(region.nr_areas, 0);
		assert_true(region.size || !region.flags);
		fake_end(dev);
	}
}

static void expect_refused(const char *text)
{
	struct vfm_device *dev = fake_open(FAKE_PCI);
	struct vfm_region region;
	struct vfm_err err;
	uint32_t word;

	assert_true(vfm_device_get_region(dev, 0, &region, &err) < 0);
	if (!strstr(err.msg, text))
		fail_msg("\"%s\" is not in \"%s\"", text, err.msg);
	assert_true(vfm_device_read_region(dev, 0, 0, &word, 4, NULL) < 0);
	fake_end(dev);
	begin();
}

static void damaged_descriptions(void **state)
{
	static const struct vfm_area outside = { 0xf000, 0x2000 },
				     wraps = { UINT64_MAX - 0xfff, 0x2000 },
				     overlap[] = { { 0, 0x2000 }, { 0x1000, 0x1000 } };
	uint32_t many[2] = { VFM_MAX_AREAS + 1, 0 }, lies[2] = { 60, 0 };

	(void)state;
	begin();
	add_sparse(&outside, 1, true);
	expect_refused("leaves the region");
	add_sparse(&wraps, 1, true);
	expect_refused("leaves the region");
	add_sparse(overlap, 2, true);
	expect_refused("overlaps");
	add_cap(VFM_REGION_CAP_SPARSE_MMAP, 1, many, sizeof(many), true);
	expect_refused("65 areas");
	add_cap(VFM_REGION_CAP_SPARSE_MMAP, 1, lies, sizeof(lies), true);
	expect_refused("is damaged");
	add_cap(99, 1, "", 1, true);
	fake.region_cap = 8; /* in the fixed part */
	expect_refused("is damaged");
	add_cap(99, 1, "", 1, true);
	fake.region_cap = 4096;
	expect_refused("is damaged");
	add_cap(99, 1, "", 1, true);
	((struct vfm_abi_cap_header *)(void *)fake.region_info)->next = INFO; /* itself */
	expect_refused("does not end");
	fake.region_offset = UINT64_C(1) << 63;
	expect_refused("too far");
	fake.region_offset = INT64_MAX;
	expect_refused("too far");
	fake_end(NULL);
}

/* An absurd size of the answer is not asked for, and one that always grows is not for ever. */
static void descriptions_without_end(void **state)
{
	struct vfm_device *dev = begin();
	struct vfm_region region;

	(void)state;
	dev = fake_open(FAKE_PCI);
	fake.region_info_len = 1 << 20;
	fake_forget();
	assert_int_equal(vfm_device_get_region(dev, 0, &region, NULL), -E2BIG);
	fake_expect("region");
	fake_end(dev);
}

/*
 * Any bytes at all, and chains that are nearly right: no crash, no end that is not found, and
 * nothing is handed on that a user would map wrongly.
 */
static void random_descriptions(void **state)
{
	unsigned int good = 0;

	(void)state;
	for (uint64_t run = 1; run <= 3000; run++) {
		const struct vfm_area areas[2] = { { 0x1000, 0x1000 }, { 0x4000, 0x2000 } };
		struct vfm_device *dev = begin();
		struct vfm_region region;
		uint64_t seed = run, end = 0;

		add_cap(99, 1, "any", 4, false);
		add_sparse(areas, 2, true);
		for (uint64_t n = test_random_below(&seed, 6); n; n--)
			fake.region_info[test_random_below(&seed, fake.region_info_len)] =
				(uint8_t)test_random(&seed);
		if (!test_random_below(&seed, 8))
			fake.region_cap = (uint32_t)test_random_below(&seed, 128);
		dev = fake_open(FAKE_PCI);
		if (!vfm_device_get_region(dev, 0, &region, NULL)) {
			good++;
			assert_true(region.nr_areas <= VFM_MAX_AREAS);
			for (uint32_t i = 0; i < region.nr_areas; i++) {
				const struct vfm_area *a = &region.areas[i];

				assert_true(a->offset >= end && !((a->offset | a->size) & 4095));
				assert_true(vfm_range_inside(a->offset, a->size, region.size));
				end = a->offset + a->size;
			}
		}
		fake_end(dev);
	}
	assert_true(good > 500 && good < 2900);
}

/* ---- protocol v1 ------------------------------------------------------------------- */

static void put_register(uint64_t offset, uint64_t value, size_t len)
{
	memcpy(fake.memory + offset, &value, len);
}

/* A driver of the time of v1: its region is found, and used by registers of their own widths. */
static void the_region_of_v1(void **state)
{
	uint32_t type[2] = { VFM_V1_REGION_TYPE, VFM_V1_REGION_SUBTYPE }, word;
	struct vfm_device *dev = begin(), *back;
	struct vfm_protocol protocol;
	enum vfm_state now;
	uint64_t migration;
	char data[4];

	(void)state;
	fake.migrates = false;
	add_cap(VFM_REGION_CAP_TYPE, 1, type, sizeof(type), true);
	put_register(VFM_V1_DEVICE_STATE, 1, 4);
	dev = fake_open(FAKE_PCI);
	assert_int_equal(vfm_device_get_migration(dev, &migration, NULL), -ENOTTY);
	assert_int_equal(vfm_back_open(&back, dev, NULL), 0);
	assert_int_equal(vfm_device_get_protocol(back, &protocol, NULL), 0);
	assert_int_equal(protocol.version, 1);
	assert_int_equal(protocol.region, 0);
	assert_int_equal(protocol.region_size, FAKE_REGION_SIZE);
	assert_int_equal(vfm_device_get_state(back, &now, NULL), 0);
	assert_int_equal(now, VFM_STATE_RUNNING);
	assert_int_equal(fake.last_width, 4);

	assert_int_equal(vfm_device_set_state(back, VFM_STATE_STOP_COPY, NULL), 0);
	memcpy(&word, fake.memory, sizeof(word));
	assert_int_equal(word, 2);
	put_register(VFM_V1_PENDING_BYTES, 4, 8);
	put_register(VFM_V1_DATA_OFFSET, 0x100, 8);
	put_register(VFM_V1_DATA_SIZE, 4, 8);
	memcpy(fake.memory + 0x100, "data", 4);
	assert_int_equal(vfm_device_read_data(back, data, sizeof(data), NULL), 4);
	assert_memory_equal(data, "data", 4);
	put_register(VFM_V1_PENDING_BYTES, 0, 8);
	assert_int_equal(vfm_device_read_data(back, data, sizeof(data), NULL), 0);
	assert_int_equal(fake.last_width, 8);
	fake_end(back);
}

/* ---- interrupts ------------------------------------------------------------------- */

static void interrupts(void **state)
{
	static const int fds[2] = { 5, -1 };
	static const uint8_t bools[3] = { 1, 0, 1 };
	struct vfm_irq_set set = { .flags = VFM_IRQ_SET_DATA_EVENTFD | VFM_IRQ_SET_ACTION_TRIGGER,
				   .index = VFM_PCI_MSIX,
				   .start = 1,
				   .count = 2,
				   .fds = fds };
	struct vfm_abi_irq_set *request = (struct vfm_abi_irq_set *)(void *)fake.irq_request;
	struct vfm_device *dev = begin();
	struct vfm_irq irq;
	int sent[2];

	(void)state;
	dev = fake_open(FAKE_PCI);
	assert_int_equal(vfm_device_get_irq(dev, VFM_PCI_MSI, &irq, NULL), 0);
	assert_int_equal(irq.count, 8);
	assert_int_equal(irq.flags, VFM_IRQ_EVENTFD | VFM_IRQ_MASKABLE | VFM_IRQ_AUTOMASKED |
					    VFM_IRQ_NORESIZE);
	assert_int_equal(vfm_device_get_irq(dev, VFM_PCI_NR_IRQS, &irq, NULL), -EINVAL);

	assert_int_equal(vfm_device_set_irqs(dev, &set, NULL), 0);
	assert_int_equal(request->argsz, sizeof(*request) + sizeof(fds));
	assert_int_equal(request->index, VFM_PCI_MSIX);
	assert_int_equal(request->start, 1);
	memcpy(sent, request + 1, sizeof(sent));
	assert_memory_equal(sent, fds, sizeof(fds));
	set.fds = NULL; /* takes them away */
	assert_int_equal(vfm_device_set_irqs(dev, &set, NULL), 0);
	memcpy(sent, request + 1, sizeof(sent));
	assert_true(sent[0] == -1 && sent[1] == -1);

	set = (struct vfm_irq_set){ .flags = VFM_IRQ_SET_DATA_BOOL | VFM_IRQ_SET_ACTION_MASK,
				    .count = 3,
				    .bools = bools };
	assert_int_equal(vfm_device_set_irqs(dev, &set, NULL), 0);
	assert_int_equal(request->argsz, sizeof(*request) + sizeof(bools));
	assert_memory_equal(request + 1, bools, sizeof(bools));

	set = (struct vfm_irq_set){ .flags = VFM_IRQ_SET_DATA_NONE | VFM_IRQ_SET_ACTION_TRIGGER };
	assert_int_equal(vfm_device_set_irqs(dev, &set, NULL), 0);
	assert_int_equal(request->argsz, sizeof(*request));
	fake_fail("set-irqs", -EINVAL, 1);
	assert_int_equal(vfm_device_set_irqs(dev, &set, NULL), -EINVAL);
	fake_fail("set-irqs", 3, 1); /* some drivers count */
	assert_int_equal(vfm_device_set_irqs(dev, &set, NULL), 0);
	set.count = 2049;
	assert_int_equal(vfm_device_set_irqs(dev, &set, NULL), -EINVAL);
	fake_end(dev);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_access_of_the_width_asked_for),
		cmocka_unit_test(short_accesses),
		cmocka_unit_test(bounds),
		cmocka_unit_test(sparse_areas),
		cmocka_unit_test(what_cannot_be_mapped),
		cmocka_unit_test(whole_regions),
		cmocka_unit_test(damaged_descriptions),
		cmocka_unit_test(descriptions_without_end),
		cmocka_unit_test(random_descriptions),
		cmocka_unit_test(the_region_of_v1),
		cmocka_unit_test(interrupts),
	};

	return RUN_TESTS(tests);
}
