// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Loading through a migration region: what is committed and when, with and without ends
 * of chunks; chunks that do not fit into the section; and resets in the middle.
 */

#include "back.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

static uint8_t stream[4 * PEER_SIZE];

static struct vfm_device *open_loading(struct peer **out, enum peer_section section)
{
	struct peer *p = peer_new(section, 9);
	struct vfm_device *dev = open_back(p);

	p->strict = true;
	go(dev, VFM_STATE_RESUMING);
	peer_forget(p);
	*out = p;
	return dev;
}

static void expect_transactions(struct peer *p, const uint64_t *sizes, size_t nr)
{
	uint64_t sum = 0;

	assert_int_equal(p->nr_transactions, nr);
	for (size_t i = 0; i < nr; i++) {
		assert_int_equal(p->transactions[i], sizes[i]);
		sum += sizes[i];
	}
	assert_int_equal(p->nr_loaded, sum);
	peer_check_bytes(p->loaded, 0, sum);
}

static void write_pieces(struct vfm_device *dev, size_t from, size_t to, size_t step)
{
	for (size_t at = from; at < to; at += step) {
		size_t n = VFM_MIN(step, to - at);
		struct vfm_err err;

		if (vfm_device_write_data(dev, stream + at, n, &err))
			fail_msg("%s", err.msg);
	}
}

/* Data without ends is cut into full sections, the rest is committed with the session's end. */
static void cut_into_sections(void **state)
{
	static const size_t steps[] = { 1, 100, 0x6fff, 0x7000, 0x7001, sizeof(stream) };
	static const uint64_t sizes[] = { 0x7000, 0x7000, 0x7000, 0x7000, 0x4000 };
	static const enum vfm_state ends[] = { VFM_STATE_STOP, VFM_STATE_RUNNING };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(steps); i++) {
		struct peer *p;
		struct vfm_device *dev = open_loading(&p, (enum peer_section)i);

		write_pieces(dev, 0, sizeof(stream), steps[i]);
		assert_int_equal(p->nr_transactions, 4);
		go(dev, ends[i % 2]);
		expect_transactions(p, sizes, VFM_ARRAY_SIZE(sizes));
		vfm_device_close(dev);
	}
}

/* A full section waits: whether the source's transaction ends there is not known yet. */
static void exact_fit(void **state)
{
	static const uint64_t sizes[] = { 0x7000, 0x7000, 8 };
	struct peer *p;
	struct vfm_device *dev = open_loading(&p, PEER_SEALED);

	(void)state;
	write_pieces(dev, 0, 0x7000, 0x1000);
	go(dev, VFM_STATE_RESUMING); /* where it is already */
	assert_int_equal(p->nr_transactions, 0);
	assert_int_equal(vfm_device_write_chunk(dev, NULL, 0, true, NULL), 0);
	assert_int_equal(p->nr_transactions, 1);
	assert_int_equal(vfm_device_write_chunk(dev, stream + 0x7000, 0x7000, true, NULL), 0);
	assert_int_equal(p->nr_transactions, 2);
	assert_int_equal(vfm_device_write_chunk(dev, stream + 0xe000, 8, true, NULL), 0);
	assert_int_equal(vfm_device_write_chunk(dev, NULL, 0, true, NULL), 0); /* of nothing */
	peer_expect(p, "offset? state? size=28672 offset? size=28672 offset? size=8");
	go(dev, VFM_STATE_STOP);
	expect_transactions(p, sizes, VFM_ARRAY_SIZE(sizes));
	vfm_device_close(dev);
}

static void expect_too_large(struct vfm_device *dev, const uint8_t *data, size_t len)
{
	struct vfm_err err;

	assert_int_equal(vfm_device_write_chunk(dev, data, len, true, &err), -EMSGSIZE);
	assert_non_null(strstr(err.msg, "28672"));
	assert_int_equal(vfm_device_write_chunk(dev, data, 1, true, &err), -EMSGSIZE);
	assert_int_equal(vfm_device_write_data(dev, data, 1, &err), -EMSGSIZE);
	/* Such an image cannot be proven right, nor run. */
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, &err), -EMSGSIZE);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RUNNING, &err), -EMSGSIZE);
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	go(dev, VFM_STATE_RESUMING);
	assert_int_equal(vfm_device_write_chunk(dev, stream, 1, true, &err), 0);
	vfm_device_close(dev);
}

/* A chunk that is larger than the section cannot be one transaction. */
static void too_large(void **state)
{
	struct peer *p;
	struct vfm_device *dev = open_loading(&p, PEER_SEALED);

	(void)state;
	expect_too_large(dev, stream, 0x7001); /* seen before anything is committed */
	dev = open_loading(&p, PEER_SEALED);
	write_pieces(dev, 0, 0x7000, 0x7000);
	expect_too_large(dev, stream + 0x7000, 1);
	dev = open_loading(&p, PEER_SEALED);
	write_pieces(dev, 0, 0x7001, 0x7000);
	expect_too_large(dev, NULL, 0);
	dev = open_loading(&p, PEER_SEALED);
	write_pieces(dev, 0, 3 * 0x7000 - 1, 100);
	expect_too_large(dev, stream, 1);
	/* One that fits does not make up for the one before. */
	dev = open_loading(&p, PEER_SEALED);
	assert_int_equal(vfm_device_write_chunk(dev, stream, 100, true, NULL), 0);
	write_pieces(dev, 100, 0x7000 + 101, 0x800);
	expect_too_large(dev, stream, 100);
}

/* Where a transaction begins may change from one to the next, and with it what fits. */
static void moving_section(void **state)
{
	static const uint64_t sizes[] = { 0x7000, 0x6000, 0x5000, 0x1000 };
	struct peer *p;
	struct vfm_device *dev = open_loading(&p, PEER_SPLIT);

	(void)state;
	p->resume_stride = 0x1000;
	write_pieces(dev, 0, 0x7000 + 0x6000 + 0x5000 + 0x1000, 333);
	go(dev, VFM_STATE_RUNNING);
	expect_transactions(p, sizes, VFM_ARRAY_SIZE(sizes));
	vfm_device_close(dev);
}

/* ---- reset ----------------------------------------------------------------------- */

static void reset_in_the_middle(void **state)
{
	static const uint64_t sizes[] = { 100 };
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device *dev = open_back(p);

	(void)state;
	p->strict = true;
	go(dev, VFM_STATE_PRE_COPY);
	assert_false(expect_bytes(dev, 0, 5));
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	assert_int_equal(vfm_device_read_data(dev, stream, 1, NULL), -EINVAL);
	go(dev, VFM_STATE_PRE_COPY);
	peer_forget(p);
	assert_false(expect_bytes(dev, 0, 5));
	peer_expect(p, "pending? offset? size? read 0x1000+5");
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	go(dev, VFM_STATE_RESUMING);
	write_pieces(dev, 50, 150, 100);
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	assert_int_equal(p->nr_loaded, 0);
	go(dev, VFM_STATE_RESUMING);
	write_pieces(dev, 0, 100, 100);
	go(dev, VFM_STATE_RUNNING);
	expect_transactions(p, sizes, 1);
	assert_int_equal(p->disorder, 0);
	vfm_device_close(dev);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(cut_into_sections),   cmocka_unit_test(exact_fit),
		cmocka_unit_test(too_large),	       cmocka_unit_test(moving_section),
		cmocka_unit_test(reset_in_the_middle),
	};

	for (size_t i = 0; i < sizeof(stream); i++)
		stream[i] = peer_byte(i);
	return RUN_TESTS(tests);
}
