// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The driver's own records, below the framework: that sizes are exact to the
 * byte, and that nothing in a record is believed. The callbacks are called with a
 * host that is only a state.
 */

#include "sim_test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/util.h"
#include "device/host.h"
#include "protocol/v2.h"
#include "sim/dma.h"

#define RECORD_LEN 8u

static const struct vfm_driver *const drv = &vfm_sim_dma_driver;

struct bare {
	struct vfm_host host;
	struct vfm_sim_dma *d;
};

struct record {
	uint8_t bytes[VFM_SIM_DMA_RECORD_MAX];
	size_t len;
};

static void open_bare(struct bare *b, const char *params)
{
	void *priv;
	struct vfm_err err;

	memset(b, 0, sizeof(*b));
	b->host.state = VFM_STATE_RUNNING;
	if (drv->open(&b->host, params, &priv, &err))
		fail_msg("%s", err.msg);
	b->d = (struct vfm_sim_dma *)priv;
}

static void walk(struct bare *b, enum vfm_state to)
{
	while (b->host.state != to) {
		enum vfm_state next;

		assert_int_equal(vfm_next_state(b->d->params.features, b->host.state, to, &next),
				 0);
		assert_int_equal(drv->arc(b->d, b->host.state, next, NULL), 0);
		b->host.state = next;
	}
}

static void write_reg(struct bare *b, enum vfm_sim_reg reg, uint64_t value)
{
	assert_int_equal(drv->write_region(b->d, VFM_SIM_REG_BAR, reg, &value, 8, NULL), 0);
}

static size_t save(struct bare *b, struct record *r)
{
	/* a buffer of just the room that is promised, so that a sanitizer sees what is beyond */
	uint8_t *buf = malloc(drv->record_max);
	ssize_t n = drv->save(b->d, buf, NULL);

	assert_in_range(n, 0, drv->record_max);
	memcpy(r->bytes, buf, (size_t)n);
	r->len = (size_t)n;
	free(buf);
	return r->len;
}

/* The record in a buffer of just its size. */
static int load(struct bare *b, const void *bytes, size_t len)
{
	uint8_t *buf = malloc(VFM_MAX(len, 1));
	int ret;

	memcpy(buf, bytes, len);
	ret = drv->load(b->d, buf, len, NULL);
	free(buf);
	return ret;
}

static uint64_t size_now(struct bare *b)
{
	uint64_t bytes;

	assert_int_equal(drv->data_size(b->d, &bytes, NULL), 0);
	return bytes;
}

static struct vfm_precopy_info pending_now(struct bare *b)
{
	struct vfm_precopy_info info = { 0 };

	assert_int_equal(drv->pending(b->d, &info, NULL), 0);
	return info;
}

/* Read to the end of STOP_COPY; what comes is what was said, at each step. */
static void drain(struct bare *b)
{
	struct record r;
	uint64_t left = size_now(b);

	while (save(b, &r)) {
		assert_in_range(r.len, 1, left);
		left -= r.len;
		assert_int_equal(size_now(b), left);
	}
	assert_int_equal(left, 0);
	assert_int_equal(save(b, &r), 0);
}

/* Initial bytes come first and only fall; then dirty bytes; both exact. */
static void precopy_sizes_are_exact(void **state)
{
	static const char *const params[] = {
		"state=4K,bar=8K",
		"state=1M,initial=4K,bar=8K",
		"state=1M,initial=100K,bar=128K,vectors=128",
		"state=1100K,initial=1100K,bar=64K",
		"state=256K,initial=64K,bar=8K,save-rate=1G",
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(params); i++) {
		struct vfm_precopy_info info, before;
		struct record r;
		struct bare b;
		uint64_t stopped;

		open_bare(&b, params[i]);
		stopped = size_now(&b);
		walk(&b, VFM_STATE_PRE_COPY);
		assert_int_equal(size_now(&b), stopped);
		info = pending_now(&b);
		assert_true(info.initial_bytes > 0);
		srand(1);
		for (int round = 0; round < 40; round++) {
			/* changes do not touch what is initial, and add to what is dirty */
			before = info;
			write_reg(&b, VFM_SIM_REG_STATE_STEP, (uint64_t)rand() % 8);
			info = pending_now(&b);
			assert_int_equal(info.initial_bytes, before.initial_bytes);
			assert_true(info.dirty_bytes >= before.dirty_bytes);
			if (info.initial_bytes)
				assert_int_equal(info.dirty_bytes, 0);
			before = info;
			if (!save(&b, &r)) {
				assert_int_equal(before.initial_bytes + before.dirty_bytes, 0);
				continue;
			}
			info = pending_now(&b);
			if (before.initial_bytes)
				assert_int_equal(info.initial_bytes, before.initial_bytes - r.len);
			else
				assert_int_equal(info.dirty_bytes, before.dirty_bytes - r.len);
		}
		walk(&b, VFM_STATE_STOP_COPY);
		drain(&b);
		drv->close(b.d);
	}
}

/* A session that was given up is forgotten: the next would bring all of it. */
static void sizes_between_sessions(void **state)
{
	struct record r;
	struct bare b;
	uint64_t whole;

	(void)state;
	open_bare(&b, "state=256K,initial=64K,bar=64K");
	whole = size_now(&b);
	for (int i = 0; i < 2; i++) {
		walk(&b, VFM_STATE_PRE_COPY);
		assert_int_equal(size_now(&b), whole);
		assert_true(save(&b, &r) > 0);
		assert_int_equal(size_now(&b), whole - r.len);
		walk(&b, VFM_STATE_RUNNING);
		assert_int_equal(size_now(&b), whole);
		walk(&b, VFM_STATE_STOP_COPY);
		drain(&b);
		walk(&b, VFM_STATE_STOP);
		assert_int_equal(size_now(&b), whole);
	}
	drv->close(b.d);
}

/* Time in which the device stood, or may do no DMA, is nobody's: clocks begin anew. */
static void stopped_time_is_not_made_up_for(void **state)
{
	struct bare b;

	(void)state;
	open_bare(&b, "state=64K,bar=8K,dirty=64G");
	walk(&b, VFM_STATE_STOP);
	b.d->state_clock.last_ns = b.d->ring_clock.last_ns = 1;
	write_reg(&b, VFM_SIM_REG_STATE_STEP, 1000);
	assert_int_equal(b.d->state_clock.last_ns, 1);
	walk(&b, VFM_STATE_RUNNING_P2P);
	assert_true(b.d->state_clock.last_ns > 1);
	b.d->ring_clock.last_ns = 1;
	walk(&b, VFM_STATE_RUNNING);
	assert_true(b.d->ring_clock.last_ns > 1);
	drv->close(b.d);
}

/* A page that changed after it was given out is given out again, with its new bytes. */
static void changed_pages_come_again(void **state)
{
	struct bare src, dst;
	struct record r;

	(void)state;
	open_bare(&src, "state=512K,initial=64K,bar=8K,seed=5");
	open_bare(&dst, "state=512K,initial=64K,bar=8K,seed=6");
	walk(&dst, VFM_STATE_STOP);
	walk(&dst, VFM_STATE_RESUMING);
	walk(&src, VFM_STATE_PRE_COPY);
	for (int i = 0; i < 100; i++) {
		write_reg(&src, VFM_SIM_REG_STATE_STEP, 3);
		if (save(&src, &r))
			assert_int_equal(load(&dst, r.bytes, r.len), 0);
	}
	walk(&src, VFM_STATE_STOP_COPY);
	assert_int_equal(drv->load_end(dst.d, NULL), -EBADMSG);
	while (save(&src, &r))
		assert_int_equal(load(&dst, r.bytes, r.len), 0);
	assert_int_equal(drv->load_end(dst.d, NULL), 0);
	assert_memory_equal(src.d->state, dst.d->state, 512 * 1024);
	drv->close(src.d);
	drv->close(dst.d);
}

/* A page that changes all the time does not keep the others from being given out. */
static void no_page_starves(void **state)
{
	const uint64_t busy = 1;
	struct record r;
	struct bare b;

	(void)state;
	open_bare(&b, "state=64K,initial=4K,bar=8K");
	b.d->record_pages = 1;
	walk(&b, VFM_STATE_PRE_COPY);
	for (int i = 0; i < 17; i++) {
		assert_true(save(&b, &r) > 0);
		if (!vfm_bitmap_test(b.d->save.dirty, busy)) {
			vfm_bitmap_set(b.d->save.dirty, busy);
			b.d->save.dirty_count++;
		}
	}
	assert_int_equal(b.d->save.dirty_count, 1);
	drv->close(b.d);
}

/* With a limit, a record takes a few milliseconds at most, and the rate is kept. */
static void rates_are_kept(void **state)
{
	struct record r;
	struct bare b;
	uint64_t start, took, bytes = 0, longest = 0;

	(void)state;
	open_bare(&b, "state=64K,bar=8K,save-rate=1M,features=1");
	walk(&b, VFM_STATE_STOP);
	walk(&b, VFM_STATE_STOP_COPY);
	start = vfm_now_ns();
	while (save(&b, &r)) {
		bytes += r.len;
		longest = VFM_MAX(longest, r.len);
	}
	took = vfm_now_ns() - start;
	assert_true(took >= bytes * 1000000000u / (1 << 20));
	assert_true(longest <= 4096 + 16);
	drv->close(b.d);
}

/* ---- what is refused ------------------------------------------------------- */

#define PARAMS "state=128K,initial=4K,bar=128K,vectors=3"
#define NR_RECORDS 5

/* A whole image: two records of pages, two of memory, the device's. */
static struct record good[NR_RECORDS];

static int make_image(void **state)
{
	struct bare b;
	struct record end;

	(void)state;
	open_bare(&b, "state=128K,initial=64K,bar=128K,vectors=3");
	write_reg(&b, VFM_SIM_REG_STATE_STEP, 9);
	walk(&b, VFM_STATE_STOP);
	walk(&b, VFM_STATE_STOP_COPY);
	for (size_t i = 0; i < NR_RECORDS; i++)
		assert_true(save(&b, &good[i]) > 0);
	assert_int_equal(save(&b, &end), 0);
	drv->close(b.d);
	return 0;
}

static void open_resuming(struct bare *b, size_t records)
{
	open_bare(b, PARAMS);
	walk(b, VFM_STATE_STOP);
	walk(b, VFM_STATE_RESUMING);
	for (size_t i = 0; i < records; i++)
		assert_int_equal(load(b, good[i].bytes, good[i].len), 0);
}

/* Load the first @at records, and then one with @len bytes at @offset replaced. */
static int load_changed(size_t at, size_t offset, uint64_t value, size_t len)
{
	static struct record r;
	struct bare b;
	int ret;

	r = good[at];
	open_resuming(&b, at);
	memcpy(r.bytes + offset, &value, len);
	ret = load(&b, r.bytes, r.len);
	drv->close(b.d);
	return ret;
}

static void wrong_fields_are_refused(void **state)
{
	static const struct {
		size_t record, offset;
		uint64_t value;
		size_t len;
	} bad[] = {
		{ 0, 0, 0, 4 }, /* type */
		{ 0, 0, 4, 4 },		 { 0, 0, UINT32_MAX, 4 },
		{ 0, 0, 2, 4 }, /* pages as memory */
		{ 0, 0, 3, 4 }, /* pages as device */
		{ 0, 4, 0, 4 }, /* count */
		{ 0, 4, 15, 4 },	 { 0, 4, 17, 4 },
		{ 0, 4, UINT32_MAX, 4 }, { 0, 8, 32, 4 }, /* page */
		{ 0, 8, UINT32_MAX, 4 }, { 0, 8 + 15 * 4, 32, 4 },
		{ 2, 4, 0, 4 }, /* bytes of memory */
		{ 2, 4, 65535, 4 },	 { 2, 4, 65537, 4 },
		{ 2, 8, 4096, 8 },			 /* offset */
		{ 2, 8, UINT64_MAX, 8 }, { 3, 8, 0, 8 }, /* the same memory again */
		{ 3, 8, 128 * 1024, 8 }, { 4, 4, 1, 4 }, /* reserved */
		{ 4, 0, 1, 4 },				 /* pages after memory */
		{ 4, 0, 2, 4 },				 /* memory beyond its end */
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(bad); i++)
		if (load_changed(bad[i].record, bad[i].offset, bad[i].value, bad[i].len) !=
		    -EBADMSG)
			fail_msg("number %zu was accepted", i);
	for (size_t i = 0; i < NR_RECORDS; i++)
		assert_int_equal(load_changed(i, 0, good[i].bytes[0], 1), 0);
}

/* Each record longer or shorter by any little, down to nothing. */
static void wrong_lengths_are_refused(void **state)
{
	static uint8_t buf[VFM_SIM_DMA_RECORD_MAX + 8];

	(void)state;
	for (size_t i = 0; i < NR_RECORDS; i++)
		for (size_t len = 0; len < good[i].len + 8; len++) {
			struct bare b;

			if (len == good[i].len || (len > 60 && len + 60 < good[i].len))
				continue;
			memcpy(buf, good[i].bytes, good[i].len);
			open_resuming(&b, i);
			assert_int_equal(load(&b, buf, len), -EBADMSG);
			drv->close(b.d);
		}
}

/* Of the device record: each 64-bit word of the registers, as large as can be. */
static void wrong_registers_are_refused(void **state)
{
	static const enum vfm_sim_reg bounded[] = {
		VFM_SIM_REG_IRQ_STATUS, VFM_SIM_REG_JOB_STATUS,	 VFM_SIM_REG_JOB_ERROR,
		VFM_SIM_REG_RING_RATE,	VFM_SIM_REG_RING_STATUS, VFM_SIM_REG_RING_ERROR,
		VFM_SIM_REG_STATE_RATE,
	};
	unsigned int refused = 0;

	(void)state;
	for (size_t at = 0; at < vfm_sim_dma_regs_image_size(); at += 8)
		refused += load_changed(4, RECORD_LEN + at, UINT64_MAX, 8) == -EBADMSG;
	assert_int_equal(refused, VFM_ARRAY_SIZE(bounded));
}

/* A ring that says it runs, but is none. */
static void running_ring_must_be_one(void **state)
{
	struct record r = good[4];
	struct vfm_writer w = vfm_writer_of(r.bytes + RECORD_LEN, r.len - RECORD_LEN);
	struct bare b;

	(void)state;
	open_resuming(&b, 4);
	*vfm_sim_dma_reg(b.d, VFM_SIM_REG_RING_STATUS) = 1;
	vfm_sim_dma_regs_save(b.d, &w);
	assert_int_equal(load(&b, r.bytes, r.len), -EBADMSG);
	drv->close(b.d);

	open_resuming(&b, 4);
	vfm_write_le64(&w, 0x1000);
	vfm_write_le64(&w, 0x4000);
	vfm_write_le64(&w, 1);
	assert_int_equal(load(&b, r.bytes, r.len), 0);
	assert_int_equal(drv->load_end(b.d, NULL), 0);
	drv->close(b.d);
}

/* Configuration space: a bit that no guest can have written is refused, others are taken. */
static void wrong_configuration_is_refused(void **state)
{
	size_t config = RECORD_LEN + vfm_sim_dma_regs_image_size() + 24;
	struct bare b;

	(void)state;
	open_bare(&b, PARAMS);
	for (size_t i = 0; i < VFM_SIM_DMA_CONFIG_SIZE; i++) {
		uint8_t is = good[4].bytes[config + i];
		uint8_t mask = b.d->config_mask[i];

		assert_int_equal(load_changed(4, config + i, (uint8_t)~is, 1),
				 mask == 0xff ? 0 : -EBADMSG);
		assert_int_equal(load_changed(4, config + i, is ^ mask, 1), 0);
	}
	drv->close(b.d);
}

static void wrong_interrupts_are_refused(void **state)
{
	size_t pending = RECORD_LEN + vfm_sim_dma_regs_image_size() + 24 + VFM_SIM_DMA_CONFIG_SIZE;
	size_t table = pending + 24;

	(void)state;
	assert_int_equal(load_changed(4, pending, 7, 8), 0);
	assert_int_equal(load_changed(4, pending, 8, 8), -EBADMSG);
	assert_int_equal(load_changed(4, pending + 8, 1, 8), -EBADMSG);
	assert_int_equal(load_changed(4, pending + 16, 1, 8), 0);
	assert_int_equal(load_changed(4, pending + 16, 2, 8), -EBADMSG);
	assert_int_equal(load_changed(4, table + 12, 1, 4), 0);
	assert_int_equal(load_changed(4, table + 16 + 12, 2, 4), -EBADMSG);
	assert_int_equal(load_changed(4, table + 32 + 12, 0x100, 4), -EBADMSG);
	assert_int_equal(table + 3 * 16, good[4].len);
}

/* Any one record missing, and any two exchanged. */
static void incomplete_images_are_refused(void **state)
{
	(void)state;
	for (size_t without = 0; without <= NR_RECORDS; without++) {
		struct bare b;
		int ret = 0;

		open_resuming(&b, 0);
		for (size_t i = 0; i < NR_RECORDS && !ret; i++)
			if (i != without)
				ret = load(&b, good[i].bytes, good[i].len);
		if (!ret)
			ret = drv->load_end(b.d, NULL);
		assert_int_equal(ret, without < NR_RECORDS ? -EBADMSG : 0);
		drv->close(b.d);
	}
	for (size_t i = 0; i < NR_RECORDS; i++) {
		struct bare b;

		/* again: fine for pages only, and not behind what is not pages */
		for (size_t had = i + 1; had <= NR_RECORDS; had++) {
			open_resuming(&b, had);
			assert_int_equal(load(&b, good[i].bytes, good[i].len),
					 had <= 2 ? 0 : -EBADMSG);
			drv->close(b.d);
		}
	}
}

/* Whatever a device record says, the device lives: it is refused, or it works. */
static void random_device_records(void **state)
{
	static struct record r;
	unsigned int taken_count = 0;

	(void)state;
	srand(3);
	for (int round = 0; round < 1000; round++) {
		struct bare b;

		open_resuming(&b, 4);
		r = good[4];
		for (int n = rand() % 4; n >= 0; n--)
			r.bytes[RECORD_LEN + (size_t)rand() % (r.len - RECORD_LEN)] =
				(uint8_t)(1u << rand() % 8);
		if (!load(&b, r.bytes, r.len) && !drv->load_end(b.d, NULL)) {
			taken_count++;
			walk(&b, VFM_STATE_STOP);
			walk(&b, VFM_STATE_RUNNING_P2P);
			walk(&b, VFM_STATE_RUNNING);
			assert_int_equal(drv->process(b.d, NULL), 0);
			write_reg(&b, VFM_SIM_REG_RING_STEP, 2);
			write_reg(&b, VFM_SIM_REG_JOB_DOORBELL, 2);
			write_reg(&b, VFM_SIM_REG_STATE_STEP, 2);
		}
		drv->close(b.d);
	}
	assert_in_range(taken_count, 30, 970);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(precopy_sizes_are_exact),
		cmocka_unit_test(sizes_between_sessions),
		cmocka_unit_test(stopped_time_is_not_made_up_for),
		cmocka_unit_test(changed_pages_come_again),
		cmocka_unit_test(no_page_starves),
		cmocka_unit_test(rates_are_kept),
		cmocka_unit_test(wrong_fields_are_refused),
		cmocka_unit_test(wrong_lengths_are_refused),
		cmocka_unit_test(wrong_registers_are_refused),
		cmocka_unit_test(running_ring_must_be_one),
		cmocka_unit_test(wrong_configuration_is_refused),
		cmocka_unit_test(wrong_interrupts_are_refused),
		cmocka_unit_test(incomplete_images_are_refused),
		cmocka_unit_test(random_device_records),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_image, NULL);
}
