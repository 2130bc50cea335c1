// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Data over a migration region: the order of accesses to the letter, however the data
 * section is reached and however small the reads are; transactions that arrive as they
 * were given out; what is said of what is left; and ends.
 */

#include "back.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vfmig/v1.h>

#include "base/util.h"

#define MIB (1u << 20)

static void expect_none(struct vfm_device *dev, ssize_t what)
{
	struct vfm_err err = { .code = 1 };
	uint8_t byte;
	bool end = true;

	assert_int_equal(vfm_device_read_chunk(dev, &byte, 1, &end, &err), what);
	assert_false(end);
	assert_int_equal(err.code, 1); /* neither is a failure */
}

/* ---- the order of accesses ------------------------------------------------------- */

#define READS_TRAPPED "read 0x1000+6144 "
#define READS_SPLIT "read 0x1000+4096 "

/* One chunk of a section that is reached in this manner, read and acknowledged. */
static void save_accesses(void **state)
{
	static const char *const log[PEER_NR_SECTIONS] = {
		[PEER_TRAPPED] = "pending? offset? size? " READS_TRAPPED
				 "pending? offset? size? read 0x2800+100 "
				 "pending? offset? size? read 0x1000+28672 pending?",
		[PEER_SEALED] = "pending? offset? size? pending? offset? size? "
				"pending? offset? size? pending?",
		[PEER_SPLIT] = "pending? offset? size? " READS_SPLIT "pending? offset? size? "
			       "pending? offset? size? read 0x1000+4096 read 0x3000+4096 "
			       "read 0x6000+8192 pending?",
	};

	(void)state;
	for (int section = 0; section < PEER_NR_SECTIONS; section++) {
		struct peer *p = peer_new((enum peer_section)section, 9);
		struct vfm_device *dev = open_back(p);

		p->strict = true;
		go(dev, VFM_STATE_STOP_COPY);
		peer_forget(p);
		assert_true(expect_bytes(dev, 0, 0x1800));
		assert_true(expect_bytes(dev, 0x1800, 100));
		assert_true(expect_bytes(dev, 0x1864, PEER_SIZE - PEER_SECTION));
		expect_none(dev, 0);
		/* What is mapped is not seen, whatever the memory behind it. */
		peer_expect(p, section == PEER_TRAPPED ? log[PEER_TRAPPED]
			       : section == PEER_SPLIT || section == PEER_SPLIT_OPEN
				       ? log[PEER_SPLIT]
				       : log[PEER_SEALED]);
		expect_none(dev, 0);
		expect_none(dev, 0);
		peer_expect(p, ""); /* for ever, without asking */
		assert_int_equal(p->disorder, 0);
		go(dev, VFM_STATE_STOP);
		vfm_device_close(dev);
	}
}

static void load_accesses(void **state)
{
	static const char *const log[PEER_NR_SECTIONS] = {
		[PEER_TRAPPED] = "offset? write 0x1000+6144 size=6144 "
				 "offset? write 0x1000+100 size=100",
		[PEER_SEALED] = "offset? size=6144 offset? size=100",
		[PEER_SPLIT] = "offset? write 0x1000+4096 size=6144 "
			       "offset? write 0x1000+100 size=100",
	};
	uint8_t data[0x1800 + 100];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = peer_byte(i);
	for (int section = 0; section < PEER_NR_SECTIONS; section++) {
		struct peer *p = peer_new((enum peer_section)section, 9);
		struct vfm_device *dev = open_back(p);

		p->strict = true;
		p->insists = true;
		go(dev, VFM_STATE_RESUMING);
		peer_forget(p);
		assert_int_equal(vfm_device_write_chunk(dev, data, 0x1800, true, NULL), 0);
		assert_int_equal(vfm_device_write_chunk(dev, data + 0x1800, 100, true, NULL), 0);
		peer_expect(p, section == PEER_TRAPPED ? log[PEER_TRAPPED]
			       : section == PEER_SPLIT || section == PEER_SPLIT_OPEN
				       ? log[PEER_SPLIT]
				       : log[PEER_SEALED]);
		assert_int_equal(p->nr_loaded, sizeof(data));
		assert_memory_equal(p->loaded, data, sizeof(data));
		assert_int_equal(p->disorder, 0);
		vfm_device_close(dev);
	}
}

/* ---- from one to another --------------------------------------------------------- */

/* All that @from has, by reads of at most @step bytes, into a device that insists on the sizes. */
static void carry(struct vfm_device *from, struct vfm_device *to, size_t step)
{
	uint8_t *buf = malloc(step);
	struct vfm_err err;

	assert_non_null(buf);
	for (;;) {
		bool end;
		ssize_t n = vfm_device_read_chunk(from, buf, step, &end, &err);

		assert_true(n >= 0);
		if (!n)
			break;
		if (vfm_device_write_chunk(to, buf, (size_t)n, end, &err))
			fail_msg("%s", err.msg);
	}
	free(buf);
}

/* Sizes and places of all kinds: one byte, pages and around them, all there is. */
static void script(struct peer *p)
{
	static const struct peer_chunk chunks[] = {
		{ 0x1000, 1 },	    { 0x7fff, 1 },	{ 0x1fff, 2 },	    { 0x20, 0x20 },
		{ 0x1000, 0x7000 }, { 0x1ffe, 0x1004 }, { 0x3fff, 0x2002 }, { 0x20, 0x7fe0 },
		{ 0x1000, 4095 },   { 0x1000, 4096 },	{ 0x1000, 4097 },
	};

	memcpy(p->chunks, chunks, sizeof(chunks));
	p->nr_chunks = p->available = VFM_ARRAY_SIZE(chunks);
}

static void move(enum peer_section from_section, enum peer_section to_section, size_t step,
		 bool strict)
{
	struct peer *a = peer_new(from_section, 9), *b = peer_new(to_section, 12);
	struct vfm_device *from, *to;

	b->nr_regions = 13;
	script(a);
	script(b);
	a->strict = b->strict = strict;
	b->insists = true;
	b->resume_offset = VFM_V1_REGISTERS_END; /* the largest one fits exactly */
	from = open_back(a);
	to = open_back(b);
	go(from, VFM_STATE_STOP_COPY);
	go(to, VFM_STATE_RESUMING);
	carry(from, to, step);
	go(to, VFM_STATE_STOP);
	assert_int_equal(b->nr_transactions, a->nr_chunks);
	assert_int_equal(b->nr_loaded, peer_total(a, a->nr_chunks));
	peer_check_bytes(b->loaded, 0, b->nr_loaded);
	assert_int_equal(a->disorder + b->disorder, 0);
	vfm_device_close(from);
	vfm_device_close(to);
}

static void end_to_end(void **state)
{
	static const size_t steps[] = { 1, 2, 31, 4095, 4096, 4097, 65536, MIB };

	(void)state;
	for (int section = 0; section < PEER_NR_SECTIONS; section++)
		for (size_t i = 0; i < VFM_ARRAY_SIZE(steps); i++)
			move((enum peer_section)section,
			     (enum peer_section)(PEER_NR_SECTIONS - 1 - section), steps[i], i % 2);
}

/* ---- reading --------------------------------------------------------------------- */

/* Reads never go on behind the end of a chunk, nor ask for pending_bytes in the middle of one. */
static void partly_read(void **state)
{
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device *dev = open_back(p);
	uint8_t buf[200];
	bool end;

	(void)state;
	p->strict = true;
	p->chunks[0] = (struct peer_chunk){ 0x1000, 150 };
	go(dev, VFM_STATE_PRE_COPY);
	peer_forget(p);
	assert_false(expect_bytes(dev, 0, 100));
	peer_expect(p, "pending? offset? size? read 0x1000+100");
	assert_false(expect_bytes(dev, 100, 49));
	peer_expect(p, "read 0x1064+49");
	assert_int_equal(vfm_device_read_chunk(dev, buf, sizeof(buf), &end, NULL), 1);
	assert_true(end);
	peer_expect(p, "read 0x1095+1");
	/* The same by calls that know nothing of chunks. */
	assert_int_equal(vfm_device_read_data(dev, buf, sizeof(buf), NULL), 100);
	peer_expect(p, "pending? offset? size? read 0x2800+100");
	vfm_device_close(dev);
}

/* In pre-copy an end is none: more may come. */
static void nothing_now(void **state)
{
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device *dev = open_back(p);

	(void)state;
	p->strict = true;
	p->available = 0;
	go(dev, VFM_STATE_PRE_COPY);
	peer_forget(p);
	expect_none(dev, -ENOMSG);
	expect_none(dev, -ENOMSG);
	peer_expect(p, "pending? pending?");
	p->available = 1;
	assert_true(expect_bytes(dev, 0, 0x1800));
	expect_none(dev, -ENOMSG);
	p->available = 2;
	assert_true(expect_bytes(dev, 0x1800, 100));
	expect_none(dev, -ENOMSG);
	go(dev, VFM_STATE_STOP_COPY);
	assert_true(expect_bytes(dev, 0x1864, PEER_SIZE - PEER_SECTION));
	expect_none(dev, 0);
	/* A new session is not finished. */
	go(dev, VFM_STATE_RUNNING);
	go(dev, VFM_STATE_STOP_COPY);
	assert_true(expect_bytes(dev, 0, 0x1800));
	vfm_device_close(dev);
}

/* Something is pending, but there is no chunk of it yet. */
static void empty_chunk(void **state)
{
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device *dev = open_back(p);
	struct vfm_err err;
	uint8_t byte;

	(void)state;
	p->chunks[0].size = 0;
	p->available = 2;
	go(dev, VFM_STATE_PRE_COPY);
	peer_forget(p);
	expect_none(dev, -ENOMSG);
	peer_expect(p, "pending? offset? size?");
	assert_true(expect_bytes(dev, 0, 100));
	peer_expect(p, "pending? offset? size? read 0x2800+100");
	p->chunks[2].size = 0;
	p->chunks[3] = (struct peer_chunk){ 0x1000, 8 };
	p->nr_chunks = 4;
	go(dev, VFM_STATE_STOP_COPY);
	assert_int_equal(vfm_device_read_data(dev, &byte, 1, &err), -EPROTO);
	assert_non_null(strstr(err.msg, "pending_bytes is 8 and data_size is 0"));
	vfm_device_close(dev);
}

/* The device forgets a chunk when it is stopped, and its user has half of it. */
static void stopped_in_a_chunk(void **state)
{
	(void)state;
	for (int section = 0; section < PEER_NR_SECTIONS; section++) {
		struct peer *p = peer_new((enum peer_section)section, 9);
		struct vfm_device *dev = open_back(p);

		p->strict = true;
		go(dev, VFM_STATE_PRE_COPY);
		assert_false(expect_bytes(dev, 0, 0x17ff));
		peer_forget(p);
		go(dev, VFM_STATE_STOP_COPY);
		peer_expect(p, section == PEER_TRAPPED ? "state? read 0x27ff+1 pending? state=2"
						       : "state? pending? state=2");
		assert_true(expect_bytes(dev, 0x17ff, 1));
		assert_true(expect_bytes(dev, 0x1800, 100));
		assert_true(expect_bytes(dev, 0x1864, PEER_SIZE - PEER_SECTION));
		expect_none(dev, 0);
		vfm_device_close(dev);
	}
}

/* That a chunk was read is said before the device may forget that it was given out. */
static void stopped_behind_a_chunk(void **state)
{
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device *dev = open_back(p);

	(void)state;
	p->strict = true;
	go(dev, VFM_STATE_PRE_COPY);
	assert_true(expect_bytes(dev, 0, 0x1800));
	peer_forget(p);
	go(dev, VFM_STATE_STOP_COPY);
	peer_expect(p, "state? pending? state=2");
	assert_true(expect_bytes(dev, 0x1800, 100));
	assert_true(expect_bytes(dev, 0x1864, PEER_SIZE - PEER_SECTION));
	expect_none(dev, 0);
	/* where nothing was read there is nothing to say */
	go(dev, VFM_STATE_RUNNING);
	go(dev, VFM_STATE_PRE_COPY);
	peer_forget(p);
	go(dev, VFM_STATE_STOP_COPY);
	peer_expect(p, "state? state=2");
	vfm_device_close(dev);
}

/* Nobody wants the rest of a session that ends. */
static void stopped_without_need(void **state)
{
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device *dev = open_back(p);

	(void)state;
	go(dev, VFM_STATE_PRE_COPY);
	assert_false(expect_bytes(dev, 0, 100));
	peer_forget(p);
	go(dev, VFM_STATE_STOP);
	peer_expect(p, "state? state=2 state? state=0");
	go(dev, VFM_STATE_PRE_COPY);
	assert_false(expect_bytes(dev, 0, 100));
	go(dev, VFM_STATE_RUNNING);
	go(dev, VFM_STATE_STOP_COPY);
	assert_true(expect_bytes(dev, 0, 0x1800));
	vfm_device_close(dev);
}

static int refuse_stop_copy(struct peer *p, bool write, uint64_t offset, size_t len,
			    uint64_t *value)
{
	(void)len;
	(void)value;
	return write && offset == VFM_V1_DEVICE_STATE && p->meddle_data ? -EBUSY : 0;
}

/* The rest was fetched and the device was not stopped: it is given out all the same. */
static void not_stopped_in_a_chunk(void **state)
{
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device *dev = open_back(p);
	struct vfm_precopy_info info;

	(void)state;
	p->strict = true;
	go(dev, VFM_STATE_PRE_COPY);
	assert_false(expect_bytes(dev, 0, 0x1000));
	p->meddle = refuse_stop_copy;
	p->meddle_data = p;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, NULL), -EBUSY);
	peer_forget(p);
	assert_false(expect_bytes(dev, 0x1000, 0x400));
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, NULL), -EBUSY);
	assert_int_equal(vfm_device_get_precopy_info(dev, &info, NULL), 0);
	assert_int_equal(info.initial_bytes, 0x7000 + 100 + 0x400);
	p->meddle_data = NULL;
	go(dev, VFM_STATE_STOP_COPY);
	peer_expect(p, "state? state=2 state? state? state=2");
	assert_true(expect_bytes(dev, 0x1400, 0x400));
	assert_true(expect_bytes(dev, 0x1800, 100));
	vfm_device_close(dev);
}

/* It was stopped on the way to STOP and went no further: the rest of the chunk is lost. */
static int refuse_stop(struct peer *p, bool write, uint64_t offset, size_t len, uint64_t *value)
{
	(void)len;
	(void)value;
	return write && offset == VFM_V1_DEVICE_STATE && p->word == VFM_V1_SAVING ? -EBUSY : 0;
}

static void torn_chunk(void **state)
{
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device *dev = open_back(p);
	struct vfm_err err;
	uint8_t byte;

	(void)state;
	go(dev, VFM_STATE_PRE_COPY);
	assert_false(expect_bytes(dev, 0, 1));
	p->meddle = refuse_stop;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, NULL), -EBUSY);
	assert_int_equal(vfm_device_read_data(dev, &byte, 1, &err), -EPROTO);
	assert_non_null(strstr(err.msg, "chunk"));
	p->meddle = NULL;
	go(dev, VFM_STATE_RUNNING);
	go(dev, VFM_STATE_STOP_COPY);
	assert_false(expect_bytes(dev, 0, 1));
	vfm_device_close(dev);
}

/* Legal states, in a device that was found in them as well. */
static void where_data_is_legal(void **state)
{
	static const struct {
		uint32_t word;
		bool reads, writes;
	} places[] = { { 0, false, false }, { 1, false, false }, { 2, true, false },
		       { 3, true, false },  { 4, false, true },	 { 6, false, false } };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(places); i++) {
		struct peer *p = peer_new(PEER_TRAPPED, 9);
		struct vfm_device *dev = open_back(p);
		struct vfm_precopy_info info;
		struct vfm_err err;
		uint64_t size = 0;
		uint8_t byte;
		ssize_t n;

		p->word = places[i].word;
		n = vfm_device_read_data(dev, &byte, 1, &err);
		assert_int_equal(n, places[i].reads ? 1 : -EINVAL);
		n = vfm_device_write_data(dev, &byte, 1, &err);
		assert_int_equal(n, places[i].writes ? 0 : -EINVAL);
		n = vfm_device_get_precopy_info(dev, &info, &err);
		assert_int_equal(n, places[i].word == 3 ? 0 : -EINVAL);
		n = vfm_device_get_data_size(dev, &size, &err);
		assert_int_equal(n, places[i].reads ? 0 : -ENOTTY);
		assert_int_equal(size, places[i].reads ? peer_total(p, 3) - 1 : 0);
		vfm_device_close(dev);
	}
}

/* ---- what is left ---------------------------------------------------------------- */

static void expect_left(struct vfm_device *dev, uint64_t initial, uint64_t dirty)
{
	struct vfm_precopy_info info = { .reinit = true };
	uint64_t size;

	assert_int_equal(vfm_device_get_precopy_info(dev, &info, NULL), 0);
	assert_int_equal(info.initial_bytes, initial);
	assert_int_equal(info.dirty_bytes, dirty);
	assert_false(info.reinit);
	assert_int_equal(vfm_device_get_data_size(dev, &size, NULL), 0);
	assert_int_equal(size, VFM_MAX(initial + dirty, 1));
}

static void what_is_left(void **state)
{
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device *dev = open_back(p);
	uint64_t size;

	(void)state;
	p->strict = true;
	p->nr_chunks = 6;
	for (unsigned int i = 0; i < p->nr_chunks; i++)
		p->chunks[i] = (struct peer_chunk){ PEER_SECTION, 100 };
	p->available = 0;
	go(dev, VFM_STATE_PRE_COPY);
	expect_left(dev, 0, 0);
	p->available = 2;
	expect_left(dev, 200, 0);
	expect_bytes(dev, 0, 30);
	peer_forget(p);
	expect_left(dev, 170, 0);
	p->available = 4; /* is not seen in the middle of a chunk */
	expect_left(dev, 170, 0);
	peer_expect(p, "");
	expect_bytes(dev, 30, 70);
	expect_left(dev, 100, 200);
	expect_bytes(dev, 100, 100);
	expect_left(dev, 0, 200);
	expect_bytes(dev, 200, 100);
	expect_bytes(dev, 300, 50);
	expect_left(dev, 0, 50);
	expect_bytes(dev, 350, 50);
	expect_left(dev, 0, 0);
	p->available = 5; /* what comes later is not initial */
	expect_left(dev, 0, 100);
	go(dev, VFM_STATE_STOP_COPY);
	assert_int_equal(vfm_device_get_data_size(dev, &size, NULL), 0);
	assert_int_equal(size, 200);
	expect_bytes(dev, 400, 60);
	assert_int_equal(vfm_device_get_data_size(dev, &size, NULL), 0);
	assert_int_equal(size, 140);
	expect_bytes(dev, 460, 40);
	expect_bytes(dev, 500, 100);
	assert_int_equal(vfm_device_get_data_size(dev, &size, NULL), 0);
	assert_int_equal(size, 1);
	expect_none(dev, 0);
	peer_forget(p);
	assert_int_equal(vfm_device_get_data_size(dev, &size, NULL), 0);
	assert_int_equal(size, 1);
	peer_expect(p, ""); /* nor is it asked again */
	assert_int_equal(p->disorder, 0);
	vfm_device_close(dev);
}

static int say_pending(struct peer *p, bool write, uint64_t offset, size_t len, uint64_t *value)
{
	(void)len;
	if (!write && offset == VFM_V1_PENDING_BYTES)
		*value = *(uint64_t *)p->meddle_data;
	return 0;
}

/* pending_bytes is no sum, and initial only falls. */
static void initial_falls(void **state)
{
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device *dev = open_back(p);
	uint64_t pending = 1000;

	(void)state;
	p->meddle = say_pending;
	p->meddle_data = &pending;
	go(dev, VFM_STATE_PRE_COPY);
	expect_left(dev, 1000, 0);
	pending = 400;
	expect_left(dev, 400, 0);
	pending = 1000;
	expect_left(dev, 400, 600);
	pending = 5; /* less than the chunk that comes */
	assert_false(expect_bytes(dev, 0, 100));
	expect_left(dev, 300, 0x1800 - 100 - 300);
	assert_true(expect_bytes(dev, 100, 0x1800 - 100));
	pending = UINT64_MAX;
	expect_left(dev, 0, UINT64_MAX);
	pending = 0;
	expect_left(dev, 0, 0);
	/* A new session has its own. */
	go(dev, VFM_STATE_RUNNING);
	go(dev, VFM_STATE_PRE_COPY);
	pending = 7;
	expect_left(dev, 7, 0);
	vfm_device_close(dev);
}

static void zero_ends_initial(void **state)
{
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device *dev = open_back(p);
	uint64_t pending = 1000;

	(void)state;
	p->meddle = say_pending;
	p->meddle_data = &pending;
	go(dev, VFM_STATE_PRE_COPY);
	expect_left(dev, 1000, 0);
	pending = 0;
	expect_none(dev, -ENOMSG);
	pending = 1000;
	expect_left(dev, 0, 1000);
	vfm_device_close(dev);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(save_accesses),	cmocka_unit_test(load_accesses),
		cmocka_unit_test(end_to_end),		cmocka_unit_test(partly_read),
		cmocka_unit_test(nothing_now),		cmocka_unit_test(empty_chunk),
		cmocka_unit_test(stopped_in_a_chunk),	cmocka_unit_test(stopped_behind_a_chunk),
		cmocka_unit_test(stopped_without_need), cmocka_unit_test(not_stopped_in_a_chunk),
		cmocka_unit_test(torn_chunk),		cmocka_unit_test(where_data_is_legal),
		cmocka_unit_test(what_is_left),		cmocka_unit_test(initial_falls),
		cmocka_unit_test(zero_ends_initial),
	};

	return RUN_TESTS(tests);
}
