// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * One device, worked with the semantics of v2 and through the region in turn: what one
 * does the other sees, and each byte is given out once. And what is handed on as it is.
 */

#include "front-rig.h"

#include <vfmig/sim.h>

#include "front-inner.h"
#include "random.h"

struct both {
	struct inner *in;
	struct vfm_device *dev;
};

static struct both open_both(bool chunks)
{
	struct both b = { .in = inner_new(ALL_FEATURES, chunks) };

	b.dev = open_front(&b.in->dev, VFM_SECTION_TRAPPED, page_size());
	return b;
}

static void close_both(struct both *b)
{
	vfm_device_close(b->dev);
	inner_free(b->in);
}

static void go(struct both *b, enum vfm_state state)
{
	assert_int_equal(vfm_device_set_state(b->dev, state, NULL), 0);
}

/* Read with v2: so many bytes, from @at on. */
static void take_v2(struct both *b, size_t len, size_t want, uint64_t at)
{
	uint8_t buf[1000];

	assert_int_equal(vfm_device_read_data(b->dev, buf, len, NULL), want);
	for (size_t i = 0; i < want; i++)
		assert_int_equal(buf[i], inner_byte(b->in->session, at + i));
}

static void take_region(struct both *b, size_t want, uint64_t at)
{
	struct client c = client_of(b->dev, 0);

	assert_int_equal(client_take(&c), want);
	for (size_t i = 0; i < want; i++)
		assert_int_equal(c.data[i], inner_byte(b->in->session, at + i));
	client_close(&c);
}

static uint64_t dirty_bytes(struct both *b)
{
	struct vfm_precopy_info info;

	assert_int_equal(vfm_device_get_precopy_info(b->dev, &info, NULL), 0);
	return info.initial_bytes + info.dirty_bytes;
}

static uint64_t data_size(struct both *b)
{
	uint64_t bytes;

	assert_int_equal(vfm_device_get_data_size(b->dev, &bytes, NULL), 0);
	return bytes;
}

/* What is in the section and was not handed out is still to come, and is counted. */
static void staged_data_comes_first(void **state)
{
	struct both b = open_both(false);
	uint8_t byte;

	(void)state;
	b.in->first[0] = 300;
	go(&b, VFM_STATE_PRE_COPY);
	assert_int_equal(dirty_bytes(&b), 300);
	assert_int_equal(reg_read(b.dev, PENDING_BYTES), 300);
	assert_int_equal(b.in->given, 300);
	inner_add(b.in, 50);
	assert_int_equal(dirty_bytes(&b), 350);
	assert_int_equal(data_size(&b), 350);
	assert_int_equal(reg_read(b.dev, PENDING_BYTES), 350);
	take_v2(&b, 100, 100, 0);
	assert_int_equal(dirty_bytes(&b), 250);
	assert_int_equal(data_size(&b), 250);
	assert_int_equal(reg_read(b.dev, PENDING_BYTES), 250);
	take_v2(&b, 1000, 200, 100);
	assert_int_equal(dirty_bytes(&b), 50);
	assert_int_equal(reg_read(b.dev, PENDING_BYTES), 50);
	take_v2(&b, 1000, 50, 300);
	assert_int_equal(vfm_device_read_data(b.dev, &byte, 1, NULL), -ENOMSG);
	assert_int_equal(reg_read(b.dev, PENDING_BYTES), 0);
	close_both(&b);
}

/* What v2 took is not in the section any more; what it left stands at its start. */
static void the_rest_of_a_chunk(void **state)
{
	struct both b = open_both(false);
	uint8_t byte;

	(void)state;
	b.in->first[0] = 300;
	b.in->first[1] = 400;
	b.in->max_read = 300;
	go(&b, VFM_STATE_PRE_COPY);
	reg_read(b.dev, DATA_OFFSET);
	take_v2(&b, 99, 99, 0);
	take_region(&b, 601, 99);
	assert_int_equal(vfm_device_read_data(b.dev, &byte, 1, NULL), -ENOMSG);
	close_both(&b);
}

/* What was handed out is the region's: v2 goes on behind it, and the section keeps it. */
static void handed_out_once(void **state)
{
	struct both b = open_both(true);

	(void)state;
	memcpy(b.in->first, (size_t[]){ 10, 20, 30 }, 3 * sizeof(size_t));
	go(&b, VFM_STATE_PRE_COPY);
	reg_read(b.dev, PENDING_BYTES);
	take_region(&b, 10, 0);
	assert_int_equal(dirty_bytes(&b), 50);
	assert_int_equal(data_size(&b), 50);
	take_v2(&b, 100, 20, 10);
	take_region(&b, 10, 0);
	assert_int_equal(reg_read(b.dev, PENDING_BYTES), 30);
	take_region(&b, 30, 30);
	assert_int_equal(reg_read(b.dev, PENDING_BYTES), 0);
	close_both(&b);
}

static void chunk_ends_through_v2(void **state)
{
	struct both b = open_both(true);
	uint8_t buf[100];
	bool end;

	(void)state;
	memcpy(b.in->first, (size_t[]){ 10, 20, 30, 40 }, 4 * sizeof(size_t));
	go(&b, VFM_STATE_PRE_COPY);
	reg_read(b.dev, PENDING_BYTES);
	assert_int_equal(vfm_device_read_chunk(b.dev, buf, 4, &end, NULL), 4);
	assert_false(end);
	assert_int_equal(vfm_device_read_chunk(b.dev, buf, 100, &end, NULL), 6);
	assert_true(end);
	assert_int_equal(vfm_device_read_chunk(b.dev, buf, 100, &end, NULL), 20);
	assert_true(end);
	/* in the middle of a chunk there is none for the region */
	assert_int_equal(vfm_device_read_chunk(b.dev, buf, 7, &end, NULL), 7);
	assert_false(end);
	assert_int_equal(vfm_device_read_chunk(b.dev, buf, 100, &end, NULL), 23);
	assert_true(end);
	assert_int_equal(vfm_device_read_data(b.dev, buf, 1, NULL), 1);
	assert_int_equal(vfm_device_read_region(b.dev, region_index(b.dev), PENDING_BYTES, buf, 8,
						NULL),
			 -EMSGSIZE);
	close_both(&b);
}

/* A part of a large one staged, the rest read with v2: then the next one is whole again. */
static void a_large_chunk_through_both(void **state)
{
	struct both b = open_both(true);
	const size_t page = page_size();
	uint8_t *buf = malloc(page);
	bool end;

	(void)state;
	b.in->first[0] = page + 5;
	b.in->first[1] = 8;
	go(&b, VFM_STATE_PRE_COPY);
	reg_read(b.dev, PENDING_BYTES);
	assert_int_equal(vfm_device_read_chunk(b.dev, buf, page, &end, NULL), page);
	assert_false(end);
	assert_int_equal(vfm_device_read_chunk(b.dev, buf, page, &end, NULL), 5);
	assert_true(end);
	assert_int_equal(reg_read(b.dev, PENDING_BYTES), 8);
	free(buf);
	close_both(&b);
}

/* Each way of leaving the session drops what is staged, also when others did it. */
static void sessions_end(void **state)
{
	(void)state;
	for (int how = 0; how < 7; how++) {
		struct both b = open_both(false);

		b.in->first[0] = 300;
		b.in->last[0] = 5;
		go(&b, VFM_STATE_PRE_COPY);
		reg_read(b.dev, PENDING_BYTES);
		if (how == 0)
			go(&b, VFM_STATE_RUNNING);
		if (how == 1)
			assert_int_equal(vfm_device_reset(b.dev, NULL), 0);
		if (how == 2)
			set_bits(b.dev, 0);
		if (how == 3) { /* found out by a question with v2 */
			enum vfm_state now;

			b.in->state = VFM_STATE_RUNNING;
			assert_int_equal(vfm_device_get_state(b.dev, &now, NULL), 0);
			assert_int_equal(now, VFM_STATE_RUNNING);
		}
		if (how == 4) { /* with one through the region */
			b.in->state = VFM_STATE_ERROR;
			assert_int_equal(reg_read(b.dev, DEVICE_STATE), 6);
			assert_int_equal(vfm_device_reset(b.dev, NULL), 0);
		}
		if (how == 5) { /* a path that fails on its way, and nobody asks */
			b.in->fail_arc = -EBUSY;
			b.in->good_arcs = 1;
			assert_int_equal(vfm_device_set_state(b.dev, VFM_STATE_STOP, NULL), -EBUSY);
			assert_int_not_equal(b.in->state, VFM_STATE_PRE_COPY);
		}
		if (how == 6) { /* two paths elsewhere: this must be another session */
			set_bits(b.dev, 2);
			b.in->state = VFM_STATE_PRE_COPY;
			assert_int_equal(reg_read(b.dev, DEVICE_STATE), 3);
		}
		assert_int_equal(reg_read(b.dev, DATA_SIZE), 0);
		go(&b, VFM_STATE_STOP);
		go(&b, VFM_STATE_STOP_COPY);
		reg_read(b.dev, PENDING_BYTES);
		take_region(&b, 5, 0);
		close_both(&b);
	}
}

/* The session goes on through both kinds of change, and is left by the other kind. */
static void states_through_both(void **state)
{
	struct both b = open_both(false);
	enum vfm_state now;

	(void)state;
	b.in->first[0] = 30;
	b.in->last[0] = 50;
	go(&b, VFM_STATE_PRE_COPY_P2P);
	assert_int_equal(reg_read(b.dev, DEVICE_STATE), 3);
	reg_read(b.dev, PENDING_BYTES);
	go(&b, VFM_STATE_PRE_COPY);
	set_bits(b.dev, 2);
	assert_int_equal(vfm_device_get_state(b.dev, &now, NULL), 0);
	assert_int_equal(now, VFM_STATE_STOP_COPY);
	take_v2(&b, 100, 30, 0);
	reg_read(b.dev, PENDING_BYTES);
	take_region(&b, 50, 30);
	take_v2(&b, 1, 0, 0);
	go(&b, VFM_STATE_RESUMING);
	assert_int_equal(reg_read(b.dev, DEVICE_STATE), 4);
	assert_int_equal(data_write(b.dev, 0, "xy", 2), 0);
	reg_write(b.dev, DATA_SIZE, 2);
	assert_int_equal(vfm_device_write_chunk(b.dev, "z", 1, true, NULL), 0);
	assert_memory_equal(b.in->loaded, "xyz", 3);
	set_bits(b.dev, 1);
	assert_int_equal(b.in->state, VFM_STATE_RUNNING);
	close_both(&b);
}

/* Not asked for what cannot be known: whether the session was lost with the state. */
static void an_unknown_state(void **state)
{
	struct both b = open_both(false);
	uint8_t byte;
	uint64_t value;

	(void)state;
	b.in->last[0] = 40;
	go(&b, VFM_STATE_STOP_COPY);
	reg_read(b.dev, PENDING_BYTES);
	b.in->fail_arc = -EBUSY;
	b.in->good_arcs = 1; /* it ends in STOP */
	assert_int_equal(vfm_device_set_state(b.dev, VFM_STATE_RUNNING, NULL), -EBUSY);
	b.in->fail[INNER_GET_STATE] = -ETIMEDOUT;
	assert_int_equal(try_read(b.dev, DATA_SIZE, &value), -ETIMEDOUT);
	b.in->fail[INNER_GET_STATE] = -ETIMEDOUT;
	assert_int_equal(vfm_device_read_data(b.dev, &byte, 1, NULL), -ETIMEDOUT);
	b.in->fail[INNER_GET_STATE] = -ETIMEDOUT;
	assert_int_equal(data_read(b.dev, 0, &byte, 1), -ETIMEDOUT);
	b.in->fail[INNER_GET_STATE] = -ETIMEDOUT;
	assert_int_equal(vfm_device_set_state(b.dev, VFM_STATE_STOP_COPY, NULL), -ETIMEDOUT);
	go(&b, VFM_STATE_STOP_COPY);
	assert_int_equal(b.in->session, 2);
	assert_int_equal(reg_read(b.dev, DATA_SIZE), 0);
	take_v2(&b, 100, 40, 0);
	close_both(&b);
}

/* Whoever reads, in whichever order: all of it once. */
static void mixed_readers(void **state)
{
	(void)state;
	for (uint64_t run = 1; run <= 300; run++) {
		struct both b = open_both(run & 1);
		uint64_t seed = run, at = 0, total;
		uint8_t buf[1000];

		for (size_t i = 0; i < 20; i++)
			b.in->first[i] = 1 + test_random_below(&seed, 700);
		b.in->last[0] = 333;
		b.in->max_read = test_random_below(&seed, 300);
		go(&b, VFM_STATE_PRE_COPY);
		total = inner_queued(b.in) + 333;
		for (int i = 0; i < 200; i++) {
			uint64_t kind = test_random_below(&seed, 5);
			size_t n = 0;

			if (i == 120)
				set_bits(b.dev, 2);
			if (kind == 0 && reg_read(b.dev, PENDING_BYTES))
				n = reg_read(b.dev, DATA_SIZE);
			if (n) {
				assert_int_equal(data_read(b.dev, n - 1, buf, 1), 0);
				assert_int_equal(buf[0], inner_byte(1, at + n - 1));
			}
			if (kind == 1)
				reg_read(b.dev, DATA_OFFSET);
			if (kind > 1 && !(run & 1)) {
				ssize_t got = vfm_device_read_data(
					b.dev, buf, 1 + test_random_below(&seed, 100), NULL);

				n = got > 0 ? (size_t)got : 0;
				for (size_t k = 0; k < n; k++)
					assert_int_equal(buf[k], inner_byte(1, at + k));
			}
			at += n;
		}
		while (reg_read(b.dev, PENDING_BYTES))
			at += reg_read(b.dev, DATA_SIZE);
		assert_int_equal(at, total);
		close_both(&b);
	}
}

/* What has nothing to do with the region is the device's. */
static void handed_on(void **state)
{
	struct vfm_device *sim, *dev;
	struct vfm_compat a, b;
	struct vfm_protocol protocol;
	struct vfm_irq irq;
	uint64_t bits, page = 4096, map = 0;
	uint8_t memory[4096];
	struct vfm_dma_map dma = {
		.iova = 0x10000, .size = 4096, .flags = VFM_DMA_WRITE, .fd = -1, .vaddr = memory
	};
	struct vfm_range range = { 0x10000, 4096 };

	(void)state;
	assert_int_equal(vfm_open(&sim, "sim:dma,features=5", NULL), 0);
	dev = open_front(sim, VFM_SECTION_TRAPPED, 0);
	assert_string_equal(vfm_device_uri(dev), "sim:dma,features=5");
	assert_int_equal(vfm_device_get_migration(dev, &bits, NULL), 0);
	assert_int_equal(bits, 5);
	assert_int_equal(vfm_device_get_protocol(dev, &protocol, NULL), 0);
	assert_int_equal(protocol.version, 2);
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	assert_int_equal(vfm_device_get_compat(sim, &a, NULL), 0);
	assert_int_equal(vfm_device_get_compat(dev, &b, NULL), 0);
	assert_string_equal(a.params, b.params);
	assert_int_equal(vfm_device_get_irq(dev, VFM_PCI_MSIX, &irq, NULL), 0);
	assert_int_equal(irq.count, 4);
	assert_int_equal(vfm_device_map_dma(dev, &dma, NULL), 0);
	assert_int_equal(vfm_device_map_dma(sim, &dma, NULL), -EEXIST);
	assert_int_equal(vfm_device_start_log(dev, &page, &range, 1, NULL), 0);
	assert_int_equal(vfm_device_report_log(dev, 0x10000, 4096, 4096, &map, NULL), 0);
	assert_int_equal(vfm_device_stop_log(dev, NULL), 0);
	assert_int_equal(vfm_device_unmap_dma(dev, 0x10000, 4096, NULL), 0);
	assert_int_equal(vfm_device_unmap_all(dev, NULL), 0);
	assert_int_equal(vfm_device_get_fd(dev), vfm_device_get_fd(sim));
	assert_int_equal(vfm_device_process(dev, NULL), 0);
	vfm_device_close(dev);
	assert_int_equal(vfm_device_get_migration(sim, &bits, NULL), 0); /* still open */
	vfm_device_close(sim);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(staged_data_comes_first),
		cmocka_unit_test(the_rest_of_a_chunk),
		cmocka_unit_test(handed_out_once),
		cmocka_unit_test(chunk_ends_through_v2),
		cmocka_unit_test(a_large_chunk_through_both),
		cmocka_unit_test(sessions_end),
		cmocka_unit_test(states_through_both),
		cmocka_unit_test(an_unknown_state),
		cmocka_unit_test(mixed_readers),
		cmocka_unit_test(handed_on),
	};

	return RUN_TESTS(tests);
}
