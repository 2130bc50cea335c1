// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Opening a device over one that has the migration region: finding it wherever it is,
 * refusing what cannot be one and leaving everything as it was then, and hiding it.
 */

#include "back.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <vfmig/v1.h>

#include "base/util.h"
#include "fds.h"

/* Wherever it is, it is found; at the end it vanishes, elsewhere an empty one remains. */
static void found_and_hidden(void **state)
{
	static const uint32_t places[][2] = {
		{ 9, 10 }, { 12, 13 }, { 0, 10 }, { 5, 9 }, { 0, 1 }
	};
	uint8_t byte;

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(places); i++) {
		uint32_t at = places[i][0], nr = places[i][1];
		struct peer *p = peer_new(PEER_TRAPPED, at);
		struct vfm_device_info info;
		struct vfm_protocol protocol;
		struct vfm_region region;
		struct vfm_device *dev;
		struct vfm_err err;

		p->nr_regions = nr;
		p->hole = at == 0 ? 3 : 0; /* one that is refused is not the end of the search */
		dev = open_back(p);
		assert_string_equal(vfm_device_uri(dev), "peer");
		assert_int_equal(vfm_device_get_info(dev, &info, NULL), 0);
		assert_int_equal(info.nr_regions, at == nr - 1 ? nr - 1 : nr);
		assert_int_equal(info.nr_irqs, 5);
		assert_int_equal(vfm_device_get_protocol(dev, &protocol, NULL), 0);
		assert_int_equal(protocol.version, 1);
		assert_int_equal(protocol.region, at);
		assert_int_equal(protocol.region_size, PEER_SIZE);
		assert_int_equal(protocol.mapped_size, 0);
		assert_false(protocol.late_proof);
		if (at == nr - 1) {
			assert_int_equal(vfm_device_get_region(dev, at, &region, &err), -EINVAL);
		} else {
			assert_int_equal(vfm_device_get_region(dev, at, &region, &err), 0);
			assert_int_equal(region.index, at);
			assert_int_equal(region.size, 0);
			assert_int_equal(region.flags, 0);
			assert_int_equal(region.type, 0);
			assert_int_equal(region.fd, -1);
		}
		assert_int_equal(vfm_device_read_region(dev, at, 0, &byte, 1, &err), -EINVAL);
		assert_int_equal(vfm_device_write_region(dev, at, 0, &byte, 1, &err), -EINVAL);
		assert_int_equal(vfm_device_get_io_fds(dev, at, NULL, 0, &err), -EINVAL);
		assert_int_equal(p->accesses, 0); /* opening asks no register */
		vfm_device_close(dev);
	}
}

/* The others are as they were. */
static void others_pass(void **state)
{
	struct peer *p = peer_new(PEER_TRAPPED, 4);
	struct vfm_device *dev = open_back(p);
	struct vfm_region region;
	uint8_t bytes[3];

	(void)state;
	for (uint32_t i = 0; i < PEER_REGIONS; i++) {
		if (i == 4)
			continue;
		assert_int_equal(vfm_device_get_region(dev, i, &region, NULL), 0);
		assert_int_equal(region.index, i);
		assert_int_equal(region.size, 0x100);
		assert_int_equal(vfm_device_read_region(dev, i, 7, bytes, 3, NULL), 0);
		assert_int_equal(bytes[2], i);
		assert_int_equal(vfm_device_write_region(dev, i, 7, bytes, 3, NULL), 0);
	}
	assert_int_equal(vfm_device_get_region(dev, PEER_REGIONS, &region, NULL), -EINVAL);
	vfm_device_close(dev);
}

/* Some devices describe themselves only while they run; what was said then remains. */
static void described_when_stopped(void **state)
{
	struct peer *p = peer_new(PEER_SEALED, 9);
	struct vfm_device *dev;
	struct vfm_device_info info;

	(void)state;
	p->strict = true;
	dev = open_back(p);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, NULL), 0);
	assert_int_equal(vfm_device_get_info(dev, &info, NULL), 0);
	assert_int_equal(info.nr_regions, 9);
	assert_int_equal(p->refused_infos, 0);
	vfm_device_close(dev);
}

#define EXPECT_CALL(p, expr, name)                                                                 \
	do {                                                                                       \
		(p)->called = "";                                                                  \
		assert_int_equal(expr, 0);                                                         \
		assert_string_equal((p)->called, name);                                            \
	} while (0)

static void calls_pass(void **state)
{
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device *dev = open_back(p);
	struct vfm_irq irq;
	struct vfm_irq_set set = { .flags = VFM_IRQ_SET_DATA_NONE | VFM_IRQ_SET_ACTION_TRIGGER };
	struct vfm_dma_map map = { .size = 4096, .flags = VFM_DMA_READ, .fd = -1, .vaddr = &irq };
	struct vfm_range range = { 0, 4096 };
	struct vfm_compat compat;
	uint64_t page = 4096, word = 0, migration;

	(void)state;
	EXPECT_CALL(p, vfm_device_get_irq(dev, 0, &irq, NULL), "get_irq");
	EXPECT_CALL(p, vfm_device_set_irqs(dev, &set, NULL), "set_irqs");
	EXPECT_CALL(p, vfm_device_map_dma(dev, &map, NULL), "map_dma");
	EXPECT_CALL(p, vfm_device_unmap_dma(dev, 0, 4096, NULL), "unmap_dma");
	EXPECT_CALL(p, vfm_device_unmap_all(dev, NULL), "unmap_all");
	EXPECT_CALL(p, vfm_device_get_io_fds(dev, 0, NULL, 0, NULL), "get_io_fds");
	EXPECT_CALL(p, vfm_device_get_compat(dev, &compat, NULL), "get_compat");
	EXPECT_CALL(p, vfm_device_set_orphan(dev, VFM_ORPHAN_RUN, NULL), "set_orphan");
	EXPECT_CALL(p, vfm_device_start_log(dev, &page, &range, 1, NULL), "start_log");
	EXPECT_CALL(p, vfm_device_report_log(dev, 0, 4096, 4096, &word, NULL), "report_log");
	EXPECT_CALL(p, vfm_device_stop_log(dev, NULL), "stop_log");
	EXPECT_CALL(p, vfm_device_process(dev, NULL), "process");
	assert_int_equal(vfm_device_get_fd(dev), p->fd);
	assert_int_equal(vfm_device_get_migration(dev, &migration, NULL), 0);
	assert_int_equal(migration, VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_PRE_COPY);
	vfm_device_close(dev);
}

/* Of two, the first that has a size. */
static void first_of_two(void **state)
{
	struct vfm_protocol protocol;
	struct vfm_region region;
	struct vfm_device *dev;
	struct peer *p;

	(void)state;
	p = peer_new(PEER_TRAPPED, 7);
	p->second = 8;
	dev = open_back(p);
	assert_int_equal(vfm_device_get_protocol(dev, &protocol, NULL), 0);
	assert_int_equal(protocol.region, 7);
	assert_int_equal(vfm_device_get_region(dev, 8, &region, NULL), 0);
	assert_int_equal(region.size, PEER_SIZE);
	vfm_device_close(dev);
}

/* ---- what cannot be one --------------------------------------------------------- */

struct malformed {
	const char *what;
	int ret;
	void (*spoil)(struct vfm_region *region);
};

static void no_type(struct vfm_region *r)
{
	r->type = 0;
}
static void other_subtype(struct vfm_region *r)
{
	r->subtype = 2;
}
static void empty(struct vfm_region *r)
{
	r->size = 0;
}
static void read_only(struct vfm_region *r)
{
	r->flags &= ~VFM_REGION_WRITE;
}
static void write_only(struct vfm_region *r)
{
	r->flags &= ~VFM_REGION_READ;
}
static void registers_only(struct vfm_region *r)
{
	r->nr_areas = 0;
	r->size = VFM_V1_REGISTERS_END;
}
static void one_byte(struct vfm_region *r)
{
	r->nr_areas = 0;
	r->size = 1;
}
static void area_beyond(struct vfm_region *r)
{
	r->areas[1].size = PEER_SIZE;
}
static void area_wraps(struct vfm_region *r)
{
	r->areas[1].size = UINT64_MAX;
}
static void areas_overlap(struct vfm_region *r)
{
	r->areas[0].size = 0x2001;
}
static void areas_unsorted(struct vfm_region *r)
{
	r->areas[1].offset = 0x1000;
}
static void too_many_areas(struct vfm_region *r)
{
	r->nr_areas = UINT32_MAX;
}

static const struct malformed malformed[] = {
	{ "no type", -ENOENT, no_type },
	{ "subtype", -ENOENT, other_subtype },
	{ "size 0", -ENOENT, empty },
	{ "read only", -EPROTO, read_only },
	{ "write only", -EPROTO, write_only },
	{ "registers only", -EPROTO, registers_only },
	{ "one byte", -EPROTO, one_byte },
	{ "area beyond", -EPROTO, area_beyond },
	{ "area wraps", -EPROTO, area_wraps },
	{ "overlap", -EPROTO, areas_overlap },
	{ "unsorted", -EPROTO, areas_unsorted },
	{ "too many", -EPROTO, too_many_areas },
};

/* A clear error, nothing left open, and the device behind is still its owner's. */
static void refused(void **state)
{
	bool closed = false;
	uint8_t byte;

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(malformed); i++) {
		struct peer *p = peer_new(PEER_SPLIT, 9);
		unsigned int fds = test_count_fds();
		struct vfm_device *dev = NULL;
		struct vfm_err err = { 0 };

		p->closed = &closed;
		malformed[i].spoil(&p->region);
		print_message("# %s\n", malformed[i].what);
		assert_int_equal(vfm_back_open(&dev, &p->dev, &err), malformed[i].ret);
		assert_int_equal(err.code, malformed[i].ret);
		assert_non_null(strstr(err.msg, "region"));
		assert_null(strstr(err.msg, "peer:"));
		assert_int_equal(vfm_back_open(&dev, &p->dev, NULL), malformed[i].ret);
		assert_null(dev);
		assert_int_equal(test_count_fds(), fds);
		assert_false(closed);
		assert_int_equal(vfm_device_read_region(&p->dev, 1, 0, &byte, 1, NULL), 0);
		vfm_device_close(&p->dev);
		assert_true(closed);
		closed = false;
	}
}

/* An error that is not "no such region" ends the search; so does no description at all. */
static void device_gone(void **state)
{
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device_ops ops = *p->dev.ops;
	struct vfm_device *dev;
	struct vfm_err err;

	(void)state;
	p->dev.ops = &ops;
	ops.get_region = NULL;
	assert_int_equal(vfm_back_open(&dev, &p->dev, &err), -ENOTTY);
	ops.get_info = NULL;
	assert_int_equal(vfm_back_open(&dev, &p->dev, &err), -ENOTTY);
	vfm_device_close(&p->dev);
}

/* Mappings of a peer's memory in this process. */
static unsigned int count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned int n = 0;
	char line[512];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		n += strstr(line, "memfd:peer") != NULL;
	fclose(maps);
	return n;
}

static void closes_inner(void **state)
{
	unsigned int fds = test_count_fds();
	bool closed = false;
	struct vfm_device *dev;
	struct peer *p;

	(void)state;
	for (int section = 0; section < PEER_NR_SECTIONS; section++) {
		p = peer_new((enum peer_section)section, 9);
		p->closed = &closed;
		closed = false;
		dev = open_back(p);
		vfm_device_close(dev);
		assert_true(closed);
		assert_int_equal(test_count_fds(), fds);
		assert_int_equal(count_mappings(), 0);
	}
}

/* ---- how data is reached -------------------------------------------------------- */

static uint64_t mapped_size(struct peer *p)
{
	struct vfm_device *dev = open_back(p);
	struct vfm_protocol protocol;

	assert_int_equal(vfm_device_get_protocol(dev, &protocol, NULL), 0);
	vfm_device_close(dev);
	return protocol.mapped_size;
}

static void mapped_sizes(void **state)
{
	static const uint64_t sizes[PEER_NR_SECTIONS] = {
		[PEER_TRAPPED] = 0,
		[PEER_SEALED] = PEER_SIZE - PEER_SECTION,
		[PEER_OPEN] = PEER_SIZE - PEER_SECTION,
		[PEER_SPLIT] = 0x3000,
		[PEER_SPLIT_OPEN] = 0x3000,
		[PEER_WHOLE] = PEER_SIZE - VFM_V1_REGISTERS_END,
		[PEER_WHOLE_OPEN] = PEER_SIZE - VFM_V1_REGISTERS_END,
	};

	(void)state;
	for (int i = 0; i < PEER_NR_SECTIONS; i++)
		assert_int_equal(mapped_size(peer_new((enum peer_section)i, 9)), sizes[i]);
}

/* As the kernel has it: a device file has no size, and cannot be made shorter. */
static void device_files(void **state)
{
	int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	struct peer *p = peer_new(PEER_OPEN, 9);

	(void)state;
	assert_true(zero >= 0);
	p->region.fd = zero;
	p->region.fd_offset = UINT64_C(9) << 40;
	assert_int_equal(mapped_size(p), PEER_SIZE - PEER_SECTION);
	p = peer_new(PEER_OPEN, 9); /* but no place in it is negative */
	p->region.fd = zero;
	p->region.fd_offset = UINT64_C(1) << 63;
	assert_int_equal(mapped_size(p), 0);
	close(zero);
}

/* Nothing of that can be used, and all of it works without. */
static void not_mappable(void **state)
{
	static char name[64];
	struct peer *p;
	int other;

	(void)state;
	p = peer_new(PEER_SEALED, 9);
	p->region.fd = -1;
	assert_int_equal(mapped_size(p), 0);
	p = peer_new(PEER_SEALED, 9);
	p->region.flags &= ~VFM_REGION_MMAP;
	assert_int_equal(mapped_size(p), 0);
	p = peer_new(PEER_SEALED, 9); /* not on a page of the file */
	p->region.fd_offset = 8;
	p->region.areas[0].size = 0x1000;
	assert_int_equal(mapped_size(p), 0);
	p = peer_new(PEER_SEALED, 9); /* not in the file */
	p->region.fd_offset = 0x1000;
	assert_int_equal(mapped_size(p), 0);
	p = peer_new(PEER_OPEN, 9);
	p->region.fd_offset = UINT64_MAX - 0xfff;
	assert_int_equal(mapped_size(p), 0);
	p = peer_new(PEER_OPEN, 9);
	p->region.fd_offset = INT64_MAX - 0xfff;
	assert_int_equal(mapped_size(p), 0);
	p = peer_new(PEER_SEALED, 9); /* only registers */
	p->region.areas[0] = (struct vfm_area){ 0, VFM_V1_REGISTERS_END };
	assert_int_equal(mapped_size(p), 0);
	p = peer_new(PEER_SEALED, 9); /* less than that */
	p->region.areas[0] = (struct vfm_area){ 0, VFM_V1_REGISTERS_END / 2 };
	assert_int_equal(mapped_size(p), 0);
	for (int i = PEER_SEALED; i <= PEER_OPEN; i++) { /* cannot be written */
		p = peer_new((enum peer_section)i, 9);
		snprintf(name, sizeof(name), "/proc/self/fd/%d", p->fd);
		other = open(name, O_RDONLY | O_CLOEXEC);
		assert_true(other >= 0);
		p->region.fd = other;
		assert_int_equal(mapped_size(p), 0);
		close(other);
	}
	p = peer_new(PEER_SEALED, 9); /* cannot be mapped */
	other = open("/dev/null", O_RDWR | O_CLOEXEC);
	p->region.fd = other;
	assert_int_equal(mapped_size(p), 0);
	close(other);
	p = peer_new(PEER_OPEN, 9); /* a file need not be mapped, so any place in it will do */
	p->region.fd_offset = 8;
	p->region.areas[0].size = 0x1000;
	assert_int_equal(mapped_size(p), 0x1000);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(found_and_hidden),
		cmocka_unit_test(others_pass),
		cmocka_unit_test(described_when_stopped),
		cmocka_unit_test(calls_pass),
		cmocka_unit_test(first_of_two),
		cmocka_unit_test(refused),
		cmocka_unit_test(device_gone),
		cmocka_unit_test(closes_inner),
		cmocka_unit_test(mapped_sizes),
		cmocka_unit_test(device_files),
		cmocka_unit_test(not_mappable),
	};

	return RUN_TESTS(tests);
}
