// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* The ring of the device against the model, in every state, by steps and by time. */

#include "sim_test.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "sim/dma.h"

static uint8_t mem[RING_SIZE];

static struct vfm_sim_ring get_ring(struct vfm_device *dev)
{
	struct vfm_sim_ring ring;

	assert_int_equal(vfm_sim_get_ring(dev, &ring, NULL), 0);
	return ring;
}

static void check_memory(struct vfm_device *dev)
{
	struct vfm_sim_ring ring = get_ring(dev);
	struct vfm_err err;

	if (vfm_sim_check_memory(&ring, mem, NULL, &err))
		fail_msg("%s", err.msg);
}

static struct vfm_device *open_ring(const char *params)
{
	struct vfm_device *dev = open_sim(params);

	memset(mem, 0, sizeof(mem));
	map_vaddr(dev, RING_IOVA, mem, sizeof(mem));
	start_ring(dev, 9, 0);
	return dev;
}

static void steps_are_what_the_model_says(void **state)
{
	static const uint64_t steps[] = { 1, 1, 14, 16, 17, 1000, 5000 };
	struct vfm_device *dev = open_ring("state=4K,seed=3");
	uint64_t count = 0;

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(steps); i++) {
		reg_write(dev, VFM_SIM_REG_RING_STEP, steps[i]);
		count += steps[i];
		assert_int_equal(reg_read(dev, VFM_SIM_REG_RING_COUNT), count);
		check_memory(dev);
	}
	vfm_device_close(dev);
}

/* What is damaged under the device stays damaged: the chain carries it on. */
static void damage_is_carried_on(void **state)
{
	struct vfm_device *dev = open_ring("state=4K");
	struct vfm_sim_ring ring;

	(void)state;
	reg_write(dev, VFM_SIM_REG_RING_STEP, 2000);
	memset(mem, 0, VFM_SIM_SPAN);
	reg_write(dev, VFM_SIM_REG_RING_STEP, 100000);
	ring = get_ring(dev);
	assert_int_equal(vfm_sim_check_memory(&ring, mem, NULL, NULL), -EBADMSG);
	vfm_device_close(dev);
}

static void stop_continue_restart(void **state)
{
	struct vfm_device *dev = open_ring("state=4K");

	(void)state;
	reg_write(dev, VFM_SIM_REG_RING_STEP, 100);
	assert_int_equal(vfm_sim_stop_ring(dev, NULL), 0);
	reg_write(dev, VFM_SIM_REG_RING_STEP, 100);
	assert_int_equal(reg_read(dev, VFM_SIM_REG_RING_COUNT), 100);
	assert_int_equal(reg_read(dev, VFM_SIM_REG_RING_STATUS), 0);
	reg_write(dev, VFM_SIM_REG_RING_CONTROL, VFM_SIM_RING_CONTINUE);
	reg_write(dev, VFM_SIM_REG_RING_STEP, 100);
	assert_int_equal(reg_read(dev, VFM_SIM_REG_RING_COUNT), 200);
	check_memory(dev);
	/* what is programmed now is for the next start, not for the ring that runs */
	reg_write(dev, VFM_SIM_REG_RING_SEED, 77);
	reg_write(dev, VFM_SIM_REG_RING_STEP, 1);
	reg_write(dev, VFM_SIM_REG_RING_SEED, 9);
	check_memory(dev);
	memset(mem, 0, sizeof(mem));
	reg_write(dev, VFM_SIM_REG_RING_CONTROL, VFM_SIM_RING_START);
	assert_int_equal(reg_read(dev, VFM_SIM_REG_RING_COUNT), 0);
	reg_write(dev, VFM_SIM_REG_RING_STEP, 50);
	check_memory(dev);
	vfm_device_close(dev);
}

/* It does DMA in RUNNING and PRE_COPY alone; its state changes also in the P2P states. */
static void work_by_state(void **state)
{
	static const struct {
		enum vfm_state state;
		bool dma;
	} table[] = {
		{ VFM_STATE_RUNNING, true },	   { VFM_STATE_PRE_COPY, true },
		{ VFM_STATE_PRE_COPY_P2P, false }, { VFM_STATE_RUNNING_P2P, false },
		{ VFM_STATE_STOP, false },	   { VFM_STATE_STOP_COPY, false },
		{ VFM_STATE_STOP, false },	   { VFM_STATE_RUNNING, true },
	};
	struct vfm_device *dev = open_ring("state=4K");
	uint64_t count = 0, changes = 0;

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(table); i++) {
		set_state(dev, table[i].state);
		reg_write(dev, VFM_SIM_REG_STATE_STEP, 3);
		changes += vfm_state_is_active(table[i].state) ? 3 : 0;
		assert_int_equal(reg_read(dev, VFM_SIM_REG_STATE_CHANGES), changes);
		reg_write(dev, VFM_SIM_REG_RING_STEP, 40);
		count += table[i].dma ? 40 : 0;
		assert_int_equal(reg_read(dev, VFM_SIM_REG_RING_COUNT), count);
		assert_int_equal(reg_read(dev, VFM_SIM_REG_RING_STATUS), 1);
		check_memory(dev);
	}
	vfm_device_close(dev);
}

static void wrong_rings_are_refused(void **state)
{
	static const struct vfm_sim_ring bad[] = {
		{ RING_IOVA, 0, 1, 0 },
		{ RING_IOVA, 100, 1, 0 },
		{ UINT64_MAX - 4095 + 1, 8192, 1, 0 },
	};
	struct vfm_sim_ring ring = { RING_IOVA, RING_SIZE, 1, 0 };
	struct vfm_device *dev = open_sim("state=4K");
	struct vfm_err err;

	(void)state;
	map_vaddr(dev, RING_IOVA, mem, sizeof(mem));
	assert_int_equal(vfm_sim_start_ring(dev, &ring, 0, 0, &err), -EIO);
	assert_non_null(strstr(err.msg, "bus mastering"));
	assert_int_equal(reg_read(dev, VFM_SIM_REG_RING_ERROR), EACCES);
	assert_int_equal(vfm_sim_enable(dev, false, NULL), 0);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(bad); i++) {
		assert_int_equal(vfm_sim_start_ring(dev, &bad[i], 0, 0, NULL), -EIO);
		assert_int_equal(reg_read(dev, VFM_SIM_REG_RING_ERROR), EINVAL);
	}
	assert_int_equal(vfm_sim_start_ring(dev, &ring, 0, 0, NULL), 0);
	assert_int_equal(reg_read(dev, VFM_SIM_REG_RING_ERROR), 0);
	vfm_device_close(dev);
}

/* Memory that goes away stops the ring with an error; the count tells what was done. */
static void unmapped_memory_stops_it(void **state)
{
	struct vfm_device *dev = open_ring("state=4K");

	(void)state;
	reg_write(dev, VFM_SIM_REG_RING_STEP, 10);
	assert_int_equal(vfm_device_unmap_dma(dev, RING_IOVA, RING_SIZE, NULL), 0);
	reg_write(dev, VFM_SIM_REG_RING_STEP, 10);
	assert_int_equal(reg_read(dev, VFM_SIM_REG_RING_ERROR), EFAULT);
	assert_int_equal(reg_read(dev, VFM_SIM_REG_RING_STATUS), 0);
	assert_true(reg_read(dev, VFM_SIM_REG_IRQ_STATUS) & VFM_SIM_IRQ_ERROR);
	check_memory(dev);
	map_vaddr(dev, RING_IOVA, mem, sizeof(mem));
	reg_write(dev, VFM_SIM_REG_RING_CONTROL, VFM_SIM_RING_CONTINUE);
	reg_write(dev, VFM_SIM_REG_RING_STEP, 10);
	assert_int_equal(reg_read(dev, VFM_SIM_REG_RING_COUNT), 20);
	check_memory(dev);
	vfm_device_close(dev);
}

/* Process what is due until @want writes are done; gives up after seconds. */
static void run_until(struct vfm_device *dev, uint64_t want)
{
	struct pollfd pfd = { .fd = vfm_device_get_fd(dev), .events = POLLIN };

	for (int tries = 0; tries < 2000; tries++) {
		assert_int_equal(poll(&pfd, 1, 5000), 1);
		assert_int_equal(vfm_device_process(dev, NULL), 0);
		if (reg_read(dev, VFM_SIM_REG_RING_COUNT) >= want)
			return;
	}
	fail_msg("the ring does not run");
}

static void it_runs_by_time(void **state)
{
	struct vfm_device *dev = open_ring("state=64K,dirty=1M");
	struct vfm_sim_state sim;
	uint64_t start, count, elapsed_ms;

	(void)state;
	start = vfm_now_ns();
	reg_write(dev, VFM_SIM_REG_RING_RATE, 4 << 20);
	run_until(dev, 1000);
	assert_int_equal(vfm_sim_stop_ring(dev, NULL), 0);
	count = reg_read(dev, VFM_SIM_REG_RING_COUNT);
	elapsed_ms = (vfm_now_ns() - start) / 1000000 + 1;
	/* never faster than the rate: 16 blocks a millisecond, and some */
	assert_true(count <= elapsed_ms * 17 + 17);
	check_memory(dev);
	assert_int_equal(vfm_sim_get_state(dev, &sim, NULL), 0);
	assert_true(sim.changes > 0);
	assert_int_equal(vfm_sim_check_state(&sim, NULL), 0);
	vfm_device_close(dev);
}

/* However time is cut, just as much becomes due; after a pause no more than 100 ms of it. */
static void clock_gives_what_is_due(void **state)
{
	static const uint64_t rates[] = { 0, 1000, 256 * 1000, 50 << 20, VFM_SIM_DMA_RATE_MAX };
	const uint64_t ms = 1000000, start = 7777;

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rates); i++) {
		struct vfm_sim_dma_clock clock = { .last_ns = start };
		uint64_t now = start, got = 0;

		srand(1);
		while (now < start + 2000 * ms) {
			now += (uint64_t)rand() % (90 * ms);
			got += vfm_sim_dma_clock_due(&clock, now, rates[i], VFM_SIM_BLOCK);
		}
		assert_int_equal(got, (unsigned __int128)(now - start) * rates[i] / 1000000000u /
					      VFM_SIM_BLOCK);
		got = vfm_sim_dma_clock_due(&clock, now + 100000 * ms, rates[i], VFM_SIM_BLOCK);
		assert_true(got <= rates[i] / 10 / VFM_SIM_BLOCK + 1);
		/* time that goes back is no time */
		assert_int_equal(vfm_sim_dma_clock_due(&clock, now, rates[i], VFM_SIM_BLOCK), 0);
	}
}

/* Nothing to do: nobody is woken up. */
static void idle_device_is_quiet(void **state)
{
	struct vfm_device *dev = open_ring("state=4K");
	struct pollfd pfd = { .fd = vfm_device_get_fd(dev), .events = POLLIN };

	(void)state;
	assert_int_equal(poll(&pfd, 1, 20), 0);
	reg_write(dev, VFM_SIM_REG_RING_RATE, 1 << 20);
	assert_int_equal(poll(&pfd, 1, 5000), 1);
	assert_int_equal(vfm_device_process(dev, NULL), 0);
	set_state(dev, VFM_STATE_STOP);
	assert_int_equal(poll(&pfd, 1, 20), 0);
	set_state(dev, VFM_STATE_RUNNING);
	assert_int_equal(poll(&pfd, 1, 5000), 1);
	config_write(dev, 4, 0, 2); /* no bus mastering: it waits, and goes on */
	assert_int_equal(vfm_device_process(dev, NULL), 0);
	assert_int_equal(poll(&pfd, 1, 20), 0);
	assert_int_equal(reg_read(dev, VFM_SIM_REG_RING_STATUS), 1);
	assert_int_equal(vfm_sim_enable(dev, true, NULL), 0);
	run_until(dev, 20);
	check_memory(dev);
	vfm_device_close(dev);
}

static void writes_enter_the_dirty_log(void **state)
{
	struct vfm_range range = { RING_IOVA, RING_SIZE };
	struct vfm_device *dev = open_ring("state=4K");
	uint64_t page = 4096, got = 0, want = 0;
	struct vfm_sim_ring ring;

	(void)state;
	assert_int_equal(vfm_device_start_log(dev, &page, &range, 1, NULL), 0);
	reg_write(dev, VFM_SIM_REG_RING_STEP, 5 * 16);
	ring = get_ring(dev);
	for (uint64_t n = 1; n <= ring.count; n++)
		want |= UINT64_C(1) << vfm_sim_position(&ring, n) / 16;
	assert_int_equal(vfm_device_report_log(dev, RING_IOVA, RING_SIZE, 4096, &got, NULL), 0);
	assert_int_equal(got, want);
	vfm_device_close(dev);
}

static void limits_of_registers(void **state)
{
	struct vfm_device *dev = open_ring("state=4K");
	uint32_t half = 5;

	(void)state;
	assert_int_equal(vfm_sim_write(dev, VFM_SIM_REG_RING_STEP, VFM_SIM_STEP_MAX + 1, NULL),
			 -EINVAL);
	assert_int_equal(vfm_sim_write(dev, VFM_SIM_REG_RING_RATE, UINT64_MAX, NULL), -EINVAL);
	assert_int_equal(vfm_device_write_region(dev, VFM_SIM_REG_BAR, VFM_SIM_REG_SCRATCH, &half,
						 2, NULL),
			 -EINVAL);
	assert_int_equal(vfm_device_write_region(dev, VFM_SIM_REG_BAR, VFM_SIM_REG_SCRATCH + 2,
						 &half, 4, NULL),
			 -EINVAL);
	reg_write(dev, VFM_SIM_REG_SCRATCH, UINT64_C(0x1111111122222222));
	assert_int_equal(vfm_device_write_region(dev, VFM_SIM_REG_BAR, VFM_SIM_REG_SCRATCH + 4,
						 &half, 4, NULL),
			 0);
	assert_int_equal(reg_read(dev, VFM_SIM_REG_SCRATCH), UINT64_C(0x0000000522222222));
	/* the upper half of an action is not the action */
	assert_int_equal(vfm_device_write_region(dev, VFM_SIM_REG_BAR, VFM_SIM_REG_RING_STEP + 4,
						 &half, 4, NULL),
			 0);
	assert_int_equal(reg_read(dev, VFM_SIM_REG_RING_COUNT), 0);
	assert_int_equal(vfm_device_write_region(dev, VFM_SIM_REG_BAR, VFM_SIM_REG_RING_STEP, &half,
						 4, NULL),
			 0);
	assert_int_equal(reg_read(dev, VFM_SIM_REG_RING_COUNT), 5);
	/* read-only registers and holes take anything and keep nothing */
	for (uint64_t offset = 0; offset < 4096; offset += 8)
		if (offset < VFM_SIM_REG_SCRATCH || offset == 0x060 || offset >= 0x1c0)
			reg_write(dev, (enum vfm_sim_reg)offset, UINT64_MAX);
	assert_int_equal(reg_read(dev, VFM_SIM_REG_MAGIC), VFM_SIM_MAGIC);
	assert_int_equal(reg_read(dev, (enum vfm_sim_reg)0x060), 0);
	assert_int_equal(reg_read(dev, (enum vfm_sim_reg)0xff8), 0);
	vfm_device_close(dev);
}

/* Any width and place gives the same bytes as eight at a time. */
static void registers_read_in_any_width(void **state)
{
	struct vfm_device *dev = open_ring("state=4K");
	uint8_t whole[VFM_SIM_REG_DIGEST + 32], part[64];

	(void)state;
	reg_write(dev, VFM_SIM_REG_DIGEST_LATCH, 1);
	for (size_t i = 0; i < sizeof(whole); i += 8) {
		uint64_t v = reg_read(dev, (enum vfm_sim_reg)i);

		memcpy(whole + i, &v, 8);
	}
	for (size_t len = 1; len <= sizeof(part); len++)
		for (size_t at = 0; at + len <= sizeof(whole); at += 3) {
			assert_int_equal(vfm_device_read_region(dev, VFM_SIM_REG_BAR, at, part, len,
								NULL),
					 0);
			assert_memory_equal(part, whole + at, len);
		}
	vfm_device_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_are_what_the_model_says),
		cmocka_unit_test(damage_is_carried_on),
		cmocka_unit_test(stop_continue_restart),
		cmocka_unit_test(work_by_state),
		cmocka_unit_test(wrong_rings_are_refused),
		cmocka_unit_test(unmapped_memory_stops_it),
		cmocka_unit_test(it_runs_by_time),
		cmocka_unit_test(clock_gives_what_is_due),
		cmocka_unit_test(idle_device_is_quiet),
		cmocka_unit_test(writes_enter_the_dirty_log),
		cmocka_unit_test(limits_of_registers),
		cmocka_unit_test(registers_read_in_any_width),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
