// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* The driver's DMA and interrupts through the framework, and the user's side of them. */

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vfmig/vfmig.h>

#include "base/bitmap.h"
#include "toy.h"

static struct vfm_device *open_toy(void)
{
	struct vfm_device *dev;

	assert_int_equal(vfm_device_from_driver(&dev, &toy_driver, NULL, NULL), 0);
	return dev;
}

static struct vfm_dma_map map_of(uint64_t iova, uint64_t size, uint32_t flags, void *vaddr)
{
	return (struct vfm_dma_map){
		.iova = iova, .size = size, .flags = flags, .fd = -1, .vaddr = vaddr
	};
}

static void maps_are_checked(void **unused)
{
	static uint8_t memory[0x4000];
	struct vfm_device *dev = open_toy();
	struct vfm_dma_map map = map_of(0x10000, 0x4000, VFM_DMA_READ | VFM_DMA_WRITE, memory);
	struct vfm_dma_map bad;

	(void)unused;
	assert_int_equal(vfm_device_map_dma(dev, &map, NULL), 0);
	assert_int_equal(vfm_device_map_dma(dev, &map, NULL), -EEXIST);
	bad = map_of(0x13fff, 1, VFM_DMA_READ, memory);
	assert_int_equal(vfm_device_map_dma(dev, &bad, NULL), -EEXIST);
	bad = map_of(0xffff, 2, VFM_DMA_READ, memory);
	assert_int_equal(vfm_device_map_dma(dev, &bad, NULL), -EEXIST);
	bad = map_of(0x20000, 0, VFM_DMA_READ, memory);
	assert_int_equal(vfm_device_map_dma(dev, &bad, NULL), -EINVAL);
	bad = map_of(UINT64_MAX, 2, VFM_DMA_READ, memory);
	assert_int_equal(vfm_device_map_dma(dev, &bad, NULL), -EOVERFLOW);
	bad = map_of(0x20000, 1, 0, memory);
	assert_int_equal(vfm_device_map_dma(dev, &bad, NULL), -EINVAL);
	bad = map_of(0x20000, 1, 8, memory);
	assert_int_equal(vfm_device_map_dma(dev, &bad, NULL), -EINVAL);
	bad = map_of(0x20000, 1, VFM_DMA_READ, NULL);
	assert_int_equal(vfm_device_map_dma(dev, &bad, NULL), -EINVAL);
	assert_int_equal(vfm_device_unmap_dma(dev, 0x10000, 0x2000, NULL), -ENOENT);
	assert_int_equal(vfm_device_unmap_dma(dev, 0x11000, 0x3000, NULL), -ENOENT);
	assert_int_equal(vfm_device_unmap_dma(dev, 0x10000, 0x4000, NULL), 0);
	assert_int_equal(vfm_device_unmap_dma(dev, 0x10000, 0x4000, NULL), -ENOENT);
	/* The last byte of the address space can be mapped. */
	map = map_of(UINT64_MAX - 0xfff, 0x1000, VFM_DMA_WRITE, memory);
	assert_int_equal(vfm_device_map_dma(dev, &map, NULL), 0);
	assert_int_equal(vfm_host_write_dma(toy_last->host, UINT64_MAX, "x", 1, NULL), 0);
	assert_int_equal(memory[0xfff], 'x');
	assert_int_equal(vfm_host_write_dma(toy_last->host, UINT64_MAX, "xy", 2, NULL), -EFAULT);
	vfm_device_close(dev);
}

static int copy_out(void *user, uint64_t iova, void *buf, size_t len)
{
	memcpy(buf, (uint8_t *)user + (iova - 0x3000), len);
	return 0;
}

static int copy_in(void *user, uint64_t iova, const void *buf, size_t len)
{
	memcpy((uint8_t *)user + (iova - 0x3000), buf, len);
	return 0;
}

/* Three ranges that touch, reached in three ways; a transfer may span them. */
static void transfer_spans_ranges(void **unused)
{
	static uint8_t direct[0x1000], called[0x1000];
	struct vfm_device *dev = open_toy();
	int fd = memfd_create("dma", MFD_CLOEXEC);
	struct vfm_dma_map map = map_of(0x1000, 0x1000, VFM_DMA_READ | VFM_DMA_WRITE, direct);
	uint8_t out[0x3000], in[0x3000];

	(void)unused;
	assert_int_equal(ftruncate(fd, 0x3000), 0);
	assert_int_equal(vfm_device_map_dma(dev, &map, NULL), 0);
	map = (struct vfm_dma_map){
		.iova = 0x2000, .size = 0x1000, .flags = 3, .fd = fd, .fd_offset = 0x1800
	};
	assert_int_equal(vfm_device_map_dma(dev, &map, NULL), 0);
	map = (struct vfm_dma_map){ .iova = 0x3000,
				    .size = 0x1000,
				    .flags = 3,
				    .fd = -1,
				    .access = { copy_out, copy_in, called } };
	assert_int_equal(vfm_device_map_dma(dev, &map, NULL), 0);
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + i / 256);
	assert_int_equal(vfm_host_write_dma(toy_last->host, 0x1100, out, 0x2e00, NULL), 0);
	assert_int_equal(vfm_host_read_dma(toy_last->host, 0x1100, in, 0x2e00, NULL), 0);
	assert_memory_equal(in, out, 0x2e00);
	assert_memory_equal(direct + 0x100, out, 0xf00);
	assert_int_equal(pread(fd, in, 0x1000, 0x1800), 0x1000);
	assert_memory_equal(in, out + 0xf00, 0x1000);
	assert_memory_equal(called, out + 0x1f00, 0xf00);
	/* One byte too many: nothing is moved. */
	memset(direct, 0, sizeof(direct));
	assert_int_equal(vfm_host_write_dma(toy_last->host, 0x1100, out, 0x2f01, NULL), -EFAULT);
	assert_int_equal(direct[0x101], 0);
	/* A file that is too small for its range is noticed when it is mapped. */
	map = (struct vfm_dma_map){
		.iova = 0x9000, .size = 0x1001, .flags = 3, .fd = fd, .fd_offset = 0x2000
	};
	assert_int_equal(vfm_device_map_dma(dev, &map, NULL), -EINVAL);
	vfm_device_close(dev);
	close(fd);
}

static void direction_and_state_are_respected(void **unused)
{
	static uint8_t memory[0x2000];
	struct vfm_device *dev = open_toy();
	struct vfm_dma_map map = map_of(0, 0x1000, VFM_DMA_READ, memory);
	static const struct {
		enum vfm_state state;
		int result;
	} rows[] = {
		{ VFM_STATE_RUNNING, 0 },	 { VFM_STATE_RUNNING_P2P, 0 },
		{ VFM_STATE_PRE_COPY, 0 },	 { VFM_STATE_PRE_COPY_P2P, 0 },
		{ VFM_STATE_STOP_COPY, -EPERM }, { VFM_STATE_STOP, -EPERM },
		{ VFM_STATE_RESUMING, -EPERM },
	};
	uint8_t byte = 1;

	(void)unused;
	assert_int_equal(vfm_device_map_dma(dev, &map, NULL), 0);
	map = map_of(0x1000, 0x1000, VFM_DMA_WRITE, memory + 0x1000);
	assert_int_equal(vfm_device_map_dma(dev, &map, NULL), 0);
	assert_int_equal(vfm_host_write_dma(toy_last->host, 0, &byte, 1, NULL), -EFAULT);
	assert_int_equal(vfm_host_read_dma(toy_last->host, 0x1000, &byte, 1, NULL), -EFAULT);
	assert_int_equal(vfm_host_write_dma(toy_last->host, 0xfff, memory, 2, NULL), -EFAULT);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(vfm_device_set_state(dev, rows[i].state, NULL), 0);
		assert_int_equal(vfm_host_write_dma(toy_last->host, 0x1000, &byte, 1, NULL),
				 rows[i].result);
		assert_int_equal(vfm_host_raise_irq(toy_last->host, 0, 0, NULL), rows[i].result);
	}
	vfm_device_close(dev);
}

/* An arc may still finish DMA when it leaves an active state, and begin when it enters one. */
static void arc_may_do_dma_at_its_active_end(void **unused)
{
	static uint8_t memory[0x1000];
	struct vfm_device *dev = open_toy();
	struct vfm_dma_map map = map_of(0, 0x1000, VFM_DMA_WRITE, memory);

	(void)unused;
	assert_int_equal(vfm_device_map_dma(dev, &map, NULL), 0);
	toy_last->dma_in_arc = true;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, NULL), 0);
	assert_int_equal(toy_last->arc_dma_result, 0);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, NULL), 0);
	assert_int_equal(toy_last->arc_dma_result, -EPERM);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, NULL), 0);
	assert_int_equal(toy_last->arc_dma_result, -EPERM);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RUNNING_P2P, NULL), 0);
	assert_int_equal(toy_last->arc_dma_result, 0);
	vfm_device_close(dev);
}

static void writes_reach_the_dirty_log(void **unused)
{
	static uint8_t memory[0x10000];
	struct vfm_device *dev = open_toy();
	struct vfm_dma_map map = map_of(0x100000, 0x10000, 3, memory);
	struct vfm_range range = { 0x100000, 0x10000 };
	struct vfm_range overlapping[] = { { 0, 0x2000 }, { 0x1000, 0x1000 } };
	struct vfm_range at_end = { UINT64_C(0) - 0x1000, 0x1000 };
	uint64_t page_size = 4096, odd = 3000, bitmap = 0;

	(void)unused;
	assert_int_equal(vfm_device_map_dma(dev, &map, NULL), 0);
	assert_int_equal(vfm_device_start_log(dev, &odd, &range, 1, NULL), -EINVAL);
	assert_int_equal(vfm_device_start_log(dev, &page_size, &range, 0, NULL), -EINVAL);
	assert_int_equal(vfm_device_start_log(dev, &page_size, overlapping, 2, NULL), -EINVAL);
	assert_int_equal(vfm_device_start_log(dev, &page_size, &at_end, 1, NULL), -EOVERFLOW);
	assert_int_equal(vfm_device_start_log(dev, &page_size, &range, 257, NULL), -E2BIG);
	assert_int_equal(vfm_device_start_log(dev, &page_size, &range, 1, NULL), 0);
	assert_int_equal(vfm_host_write_dma(toy_last->host, 0x100fff, "ab", 2, NULL), 0);
	assert_int_equal(vfm_host_read_dma(toy_last->host, 0x105000, memory, 2, NULL), 0);
	bitmap = UINT64_C(1) << 15;
	assert_int_equal(vfm_device_report_log(dev, 0x100000, 0x10000, 4096, &bitmap, NULL), 0);
	assert_int_equal(bitmap, 1 << 15 | 3);
	bitmap = 0;
	assert_int_equal(vfm_device_report_log(dev, 0x100000, 0x10000, 4096, &bitmap, NULL), 0);
	assert_int_equal(bitmap, 0);
	assert_int_equal(vfm_device_report_log(dev, 0x100000, 0x1000, 2048, &bitmap, NULL),
			 -EINVAL);
	assert_int_equal(vfm_device_report_log(dev, 0x100800, 0x1000, 4096, &bitmap, NULL),
			 -EINVAL);
	assert_int_equal(vfm_device_stop_log(dev, NULL), 0);
	vfm_device_close(dev);
}

static uint64_t count_of(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static int irq_set(struct vfm_device *dev, uint32_t index, uint32_t flags, uint32_t start,
		   uint32_t count, const uint8_t *bools, const int *fds)
{
	struct vfm_irq_set set = { flags, index, start, count, bools, fds };

	return vfm_device_set_irqs(dev, &set, NULL);
}

#define WIRE (VFM_IRQ_SET_DATA_EVENTFD | VFM_IRQ_SET_ACTION_TRIGGER)
#define RAISE (VFM_IRQ_SET_DATA_NONE | VFM_IRQ_SET_ACTION_TRIGGER)

static void interrupts_arrive_masked_ones_later(void **unused)
{
	struct vfm_device *dev = open_toy();
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	(void)unused;
	assert_int_equal(irq_set(dev, 0, WIRE, 0, 1, NULL, &fd), 0);
	assert_int_equal(vfm_host_raise_irq(toy_last->host, 0, 0, NULL), 0);
	assert_int_equal(count_of(fd), 1);
	/* Masked by itself: pending, once, until unmasked. */
	assert_int_equal(vfm_host_raise_irq(toy_last->host, 0, 0, NULL), 0);
	assert_int_equal(vfm_host_raise_irq(toy_last->host, 0, 0, NULL), 0);
	assert_int_equal(count_of(fd), 0);
	assert_int_equal(irq_set(dev, 0, VFM_IRQ_SET_DATA_NONE | VFM_IRQ_SET_ACTION_UNMASK, 0, 1,
				 NULL, NULL),
			 0);
	assert_int_equal(count_of(fd), 1);
	/* A reset leaves the listener and forgets the mask. */
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	assert_int_equal(vfm_host_raise_irq(toy_last->host, 0, 0, NULL), 0);
	assert_int_equal(count_of(fd), 1);
	assert_int_equal(irq_set(dev, 0, RAISE, 0, 0, NULL, NULL), 0);
	assert_int_equal(vfm_host_raise_irq(toy_last->host, 0, 0, NULL), 0);
	assert_int_equal(count_of(fd), 0);
	vfm_device_close(dev);
	close(fd);
}

static void vectors_are_wired_one_by_one(void **unused)
{
	struct vfm_device *dev = open_toy();
	const uint8_t odd[] = { 0, 1, 0, 1 };
	int fds[4], some[2];

	(void)unused;
	for (int i = 0; i < 4; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(irq_set(dev, 1, WIRE, 0, 4, NULL, fds), 0);
	assert_int_equal(irq_set(dev, 1, VFM_IRQ_SET_DATA_BOOL | VFM_IRQ_SET_ACTION_TRIGGER, 0, 4,
				 odd, NULL),
			 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(count_of(fds[i]), odd[i]);
	/* Take vector 1 away and give vector 2 another one. */
	some[0] = -1;
	some[1] = fds[0];
	assert_int_equal(irq_set(dev, 1, WIRE, 1, 2, NULL, some), 0);
	assert_int_equal(irq_set(dev, 1, RAISE, 1, 3, NULL, NULL), 0);
	assert_int_equal(count_of(fds[0]), 1);
	assert_int_equal(count_of(fds[1]), 0);
	assert_int_equal(count_of(fds[2]), 0);
	assert_int_equal(count_of(fds[3]), 1);
	/* A bad descriptor changes nothing. */
	some[0] = fds[1];
	some[1] = 1000000;
	assert_int_equal(irq_set(dev, 1, WIRE, 0, 2, NULL, some), -EBADF);
	assert_int_equal(irq_set(dev, 1, RAISE, 0, 1, NULL, NULL), 0);
	assert_int_equal(count_of(fds[0]), 1);
	vfm_device_close(dev);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
}

/* A user's descriptor can neither hang the device nor end its process. */
static void descriptors_that_are_traps_are_harmless(void **unused)
{
	struct vfm_device *dev = open_toy();
	const uint64_t nearly_full = UINT64_MAX - 1;
	int fd = eventfd(0, EFD_CLOEXEC), ends[2];

	(void)unused;
	assert_int_equal(write(fd, &nearly_full, sizeof(nearly_full)), sizeof(nearly_full));
	assert_int_equal(irq_set(dev, 1, WIRE, 0, 1, NULL, &fd), 0);
	assert_int_equal(vfm_host_raise_irq(toy_last->host, 1, 0, NULL), 0);
	assert_int_equal(count_of(fd), nearly_full);
	assert_int_equal(vfm_host_raise_irq(toy_last->host, 1, 0, NULL), 0);
	assert_int_equal(count_of(fd), 1);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(irq_set(dev, 1, WIRE, 0, 1, NULL, &ends[1]), -EINVAL);
	vfm_device_close(dev);
	close(ends[0]);
	close(ends[1]);
	close(fd);
}

static void senseless_interrupt_calls_are_refused(void **unused)
{
	static const struct {
		uint32_t index, flags, start, count;
		bool bools, fds;
		int result;
	} rows[] = {
		{ 2, RAISE, 0, 1, false, false, -EINVAL },
		{ 1, RAISE, 4, 1, false, false, -EINVAL },
		{ 1, RAISE, 0, 5, false, false, -EINVAL },
		{ 1, RAISE, 2, UINT32_MAX, false, false, -EINVAL },
		{ 1, RAISE | VFM_IRQ_SET_DATA_BOOL, 0, 1, true, false, -EINVAL },
		{ 1, RAISE | VFM_IRQ_SET_ACTION_MASK, 0, 1, false, false, -EINVAL },
		{ 1, RAISE | 1u << 6, 0, 1, false, false, -EINVAL },
		{ 1, VFM_IRQ_SET_DATA_NONE, 0, 1, false, false, -EINVAL },
		{ 1, VFM_IRQ_SET_ACTION_TRIGGER, 0, 1, false, false, -EINVAL },
		{ 1, RAISE, 0, 1, false, true, -EINVAL },
		{ 1, RAISE, 0, 1, true, false, -EINVAL },
		{ 1, VFM_IRQ_SET_DATA_BOOL | VFM_IRQ_SET_ACTION_TRIGGER, 0, 1, false, false,
		  -EINVAL },
		{ 1, WIRE, 0, 0, false, true, -EINVAL },
		{ 1, VFM_IRQ_SET_DATA_NONE | VFM_IRQ_SET_ACTION_MASK, 0, 1, false, false, -ENOTTY },
		{ 0, VFM_IRQ_SET_DATA_EVENTFD | VFM_IRQ_SET_ACTION_UNMASK, 0, 1, false, true,
		  -ENOTTY },
	};
	struct vfm_device *dev = open_toy();
	uint8_t bools[8] = { 0 };
	int fds[8] = { 0 };

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(irq_set(dev, rows[i].index, rows[i].flags, rows[i].start,
					 rows[i].count, rows[i].bools ? bools : NULL,
					 rows[i].fds ? fds : NULL),
				 rows[i].result);
	vfm_device_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(maps_are_checked),
		cmocka_unit_test(transfer_spans_ranges),
		cmocka_unit_test(direction_and_state_are_respected),
		cmocka_unit_test(arc_may_do_dma_at_its_active_end),
		cmocka_unit_test(writes_reach_the_dirty_log),
		cmocka_unit_test(interrupts_arrive_masked_ones_later),
		cmocka_unit_test(vectors_are_wired_one_by_one),
		cmocka_unit_test(descriptors_that_are_traps_are_harmless),
		cmocka_unit_test(senseless_interrupt_calls_are_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
