// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A migration region that tells nonsense, or fails at any access, or takes its memory
 * away: a clear error each time, no byte out of bounds, the same error until the session
 * ends, and a reset that makes all well.
 */

#include "back.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vfmig/v1.h>

#include "base/util.h"

#define ROOM 65536u

/* What was impossible is possible after a reset: a whole save, or a whole load. */
static void recovers(struct peer *p, struct vfm_device *dev)
{
	static uint8_t buf[ROOM];
	uint64_t got = 0;
	ssize_t n;
	bool end;

	p->meddle = NULL;
	p->fail_at = 0;
	p->refuse_proof = 0;
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	go(dev, VFM_STATE_STOP_COPY);
	while ((n = vfm_device_read_chunk(dev, buf + got, ROOM - got, &end, NULL)) > 0)
		got += (uint64_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(got, peer_total(p, p->nr_chunks));
	peer_check_bytes(buf, 0, got);
	go(dev, VFM_STATE_RUNNING);
	go(dev, VFM_STATE_RESUMING);
	assert_int_equal(vfm_device_write_chunk(dev, buf, 0x1800, true, NULL), 0);
	assert_int_equal(p->nr_loaded, 0x1800);
	assert_memory_equal(p->loaded, buf, 0x1800);
	go(dev, VFM_STATE_RUNNING);
}

/* ---- impossible values ---------------------------------------------------------- */

/* What the registers say; those that are not @set tell the truth. */
struct values {
	bool set[4]; /* by offset / 8 */
	uint64_t value[4];
	uint64_t step; /* added after each read */
};

static int say(struct peer *p, bool write, uint64_t offset, size_t len, uint64_t *value)
{
	struct values *v = p->meddle_data;

	(void)len;
	if (write || !value || !v->set[offset / 8])
		return 0;
	*value = v->value[offset / 8];
	v->value[offset / 8] += v->step;
	return 0;
}

static const uint64_t absurd[] = {
	0,
	1,
	31,
	32,
	PEER_SIZE - 1,
	PEER_SIZE,
	PEER_SIZE + 1,
	UINT64_C(1) << 32,
	UINT64_C(1) << 63,
	UINT64_MAX - 31,
	UINT64_MAX,
};

static bool chunk_is_possible(uint64_t offset, uint64_t size)
{
	return size && offset >= 32 && offset < PEER_SIZE && size <= PEER_SIZE - offset;
}

static void save_with(enum peer_section section, bool precopy, uint64_t offset, uint64_t size)
{
	struct peer *p = peer_new(section, 9);
	struct vfm_device *dev = open_back(p);
	struct values v = { .set = { [2] = true, [3] = true },
			    .value = { [2] = offset, [3] = size } };
	uint8_t *buf = malloc(ROOM);
	struct vfm_err err = { 0 };
	bool end;
	ssize_t n;

	assert_non_null(buf);
	go(dev, precopy ? VFM_STATE_PRE_COPY : VFM_STATE_STOP_COPY);
	p->meddle = say;
	p->meddle_data = &v;
	n = vfm_device_read_chunk(dev, buf, ROOM, &end, &err);
	if (chunk_is_possible(offset, size)) {
		assert_int_equal(n, size);
		assert_true(end);
	} else if (precopy && !size) {
		assert_int_equal(n, -ENOMSG);
	} else {
		assert_int_equal(n, -EPROTO);
		assert_non_null(strstr(err.msg, "data_size"));
		/* Dead until it ends, whatever the device says then. */
		p->meddle = NULL;
		peer_forget(p);
		assert_int_equal(vfm_device_read_chunk(dev, buf, ROOM, &end, &err), -EPROTO);
		assert_non_null(strstr(err.msg, "failed already: "));
		assert_int_equal(vfm_device_get_data_size(dev, &(uint64_t){ 0 }, NULL), -EPROTO);
		peer_expect(p, "");
	}
	recovers(p, dev);
	vfm_device_close(dev);
	free(buf);
}

static void absurd_chunks(void **state)
{
	(void)state;
	for (int section = 0; section < PEER_NR_SECTIONS; section++)
		for (size_t i = 0; i < VFM_ARRAY_SIZE(absurd); i++)
			for (size_t j = 0; j < VFM_ARRAY_SIZE(absurd); j++)
				save_with((enum peer_section)section, (i + j) % 2, absurd[i],
					  absurd[j]);
}

/* In a session that goes on from pre-copy, death goes on as well; leaving it ends that. */
static void dead_until_it_ends(void **state)
{
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct vfm_device *dev = open_back(p);
	struct values v = { .set = { [2] = true } };
	struct vfm_precopy_info info;
	uint8_t byte;

	(void)state;
	p->meddle = say;
	p->meddle_data = &v;
	go(dev, VFM_STATE_PRE_COPY);
	assert_int_equal(vfm_device_read_data(dev, &byte, 1, NULL), -EPROTO);
	p->meddle = NULL;
	assert_int_equal(vfm_device_get_precopy_info(dev, &info, NULL), -EPROTO);
	go(dev, VFM_STATE_STOP_COPY);
	assert_int_equal(vfm_device_read_data(dev, &byte, 1, NULL), -EPROTO);
	go(dev, VFM_STATE_RUNNING);
	go(dev, VFM_STATE_STOP_COPY);
	assert_int_equal(vfm_device_read_data(dev, &byte, 1, NULL), 1);
	vfm_device_close(dev);
}

/* pending_bytes is believed in nothing but that it is not 0. */
static void absurd_pending(void **state)
{
	(void)state;
	for (size_t i = 1; i < VFM_ARRAY_SIZE(absurd); i++) {
		struct peer *p = peer_new(PEER_SPLIT, 9);
		struct vfm_device *dev = open_back(p);
		struct values v = { .set = { [1] = true }, .value = { [1] = absurd[i] } };
		struct vfm_precopy_info info;
		uint8_t byte;

		go(dev, VFM_STATE_PRE_COPY);
		p->meddle = say;
		p->meddle_data = &v;
		for (int n = 0; n < 100; n++) {
			assert_int_equal(vfm_device_read_data(dev, &byte, 1, NULL), 1);
			assert_int_equal(vfm_device_get_precopy_info(dev, &info, NULL), 0);
			assert_true(info.initial_bytes + info.dirty_bytes >= info.dirty_bytes);
		}
		recovers(p, dev);
		vfm_device_close(dev);
	}
}

/* Each register is read once for each use: what was checked is what is used. */
static void changing_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(absurd); i++) {
		for (uint64_t step = 1; step; step <<= 7) {
			struct peer *p = peer_new(PEER_SEALED, 9);
			struct vfm_device *dev = open_back(p);
			struct values v = { .set = { [1] = true, [2] = true, [3] = true },
					    .step = step };
			uint8_t buf[64];

			v.value[1] = v.value[2] = v.value[3] = absurd[i];
			p->meddle = say;
			p->meddle_data = &v;
			go(dev, VFM_STATE_STOP_COPY);
			for (int n = 0; n < 100; n++)
				if (vfm_device_read_data(dev, buf, sizeof(buf), NULL) <= 0)
					break;
			recovers(p, dev);
			vfm_device_close(dev);
		}
	}
}

static void absurd_resume_offsets(void **state)
{
	static uint8_t data[ROOM];

	(void)state;
	for (int section = 0; section < PEER_NR_SECTIONS; section++) {
		for (size_t i = 0; i < VFM_ARRAY_SIZE(absurd); i++) {
			struct peer *p = peer_new((enum peer_section)section, 9);
			struct vfm_device *dev = open_back(p);
			uint64_t offset = absurd[i];
			bool possible = offset >= 32 && offset < PEER_SIZE;
			struct vfm_err err;
			int ret;

			p->resume_offset = offset;
			go(dev, VFM_STATE_RESUMING);
			ret = vfm_device_write_data(dev, data, PEER_SIZE - 32, &err);
			/* One byte at a time is more than the peer counts. */
			if (possible && offset != PEER_SIZE - 1)
				assert_int_equal(ret, 0);
			else if (!possible)
				assert_int_equal(ret, -EPROTO);
			if (!possible)
				assert_non_null(strstr(err.msg, "data_offset 0x"));
			if (ret)
				assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, &err),
						 ret);
			p->resume_offset = PEER_SECTION;
			recovers(p, dev);
			vfm_device_close(dev);
		}
	}
}

/* ---- every access fails --------------------------------------------------------- */

/*
 * A whole life: pre-copy with a chunk partly read, stop-copy to the end, and all of it back
 * into the device, in chunks and without. Ends with the first error.
 */
static int live(struct vfm_device *dev, struct vfm_err *err)
{
	static const enum vfm_state states[] = { VFM_STATE_PRE_COPY, VFM_STATE_STOP_COPY,
						 VFM_STATE_STOP,     VFM_STATE_RESUMING,
						 VFM_STATE_STOP,     VFM_STATE_RUNNING };
	static uint8_t buf[ROOM];
	struct vfm_precopy_info info;
	uint64_t got = 0, size;
	bool end;

	for (size_t i = 0; i < VFM_ARRAY_SIZE(states); i++) {
		enum vfm_state now;
		ssize_t n = vfm_device_set_state(dev, states[i], err);

		if (!n && states[i] == VFM_STATE_PRE_COPY)
			n = vfm_device_get_precopy_info(dev, &info, err);
		if (!n && states[i] == VFM_STATE_PRE_COPY)
			n = vfm_device_read_chunk(dev, buf, 100, &end, err);
		got += n > 0 ? (uint64_t)n : 0;
		if (n >= 0 && states[i] == VFM_STATE_STOP_COPY) {
			n = vfm_device_get_data_size(dev, &size, err);
			while (!n &&
			       (n = vfm_device_read_data(dev, buf + got, ROOM - got, err)) > 0) {
				got += (uint64_t)n;
				n = 0;
			}
		}
		if (n >= 0 && states[i] == VFM_STATE_RESUMING) {
			n = vfm_device_write_chunk(dev, buf, 0x1800, true, err);
			if (!n)
				n = vfm_device_write_data(dev, buf + 0x1800, got - 0x1800, err);
		}
		if (n >= 0)
			n = vfm_device_get_state(dev, &now, err);
		if (n < 0)
			return (int)n;
	}
	return 0;
}

/* The n-th access fails, for every n. */
static void every_access_fails(void **state)
{
	static const struct {
		int error;
		bool hard;
	} ways[] = { { -EBUSY, false }, { -EIO, true }, { -ENOMSG, false } };
	unsigned int total, n;

	(void)state;
	for (size_t i = 0; i < 3u * PEER_NR_SECTIONS; i++) {
		enum peer_section section = (enum peer_section)(i / 3);
		struct peer *p = peer_new(section, 9);
		struct vfm_device *dev = open_back(p);
		struct vfm_err err;

		if (live(dev, &err))
			fail_msg("%s", err.msg);
		total = p->accesses;
		assert_true(total > 20);
		vfm_device_close(dev);
		for (n = 1; n <= total; n++) {
			int ret;

			p = peer_new(section, 9);
			dev = open_back(p);
			p->fail_at = n;
			p->fail_with = ways[i % 3].error;
			p->fail_hard = ways[i % 3].hard;
			err.msg[0] = '\0';
			ret = live(dev, &err);
			assert_int_equal(ret,
					 ways[i % 3].error == -ENOMSG ? -EIO : ways[i % 3].error);
			assert_non_null(strstr(err.msg, "the peer says "));
			recovers(p, dev);
			vfm_device_close(dev);
		}
	}
}

/* ---- memory that goes away ------------------------------------------------------ */

static void shrink_while_saving(enum peer_section section, off_t size)
{
	struct peer *p = peer_new(section, 9);
	struct vfm_device *dev = open_back(p);
	static uint8_t buf[ROOM];
	struct vfm_err err;
	bool end;

	p->chunks[0] = (struct peer_chunk){ 0x1000, 0x5000 };
	go(dev, VFM_STATE_PRE_COPY);
	assert_int_equal(vfm_device_read_chunk(dev, buf, 10, &end, NULL), 10);
	assert_int_equal(ftruncate(p->fd, size), 0);
	assert_int_equal(vfm_device_read_chunk(dev, buf, ROOM, &end, &err), -EIO);
	assert_false(end);
	assert_non_null(strstr(err.msg, "the file behind region 9 ends before byte 0x"));
	assert_int_equal(vfm_device_read_chunk(dev, buf, 1, &end, &err), -EIO);
	assert_int_equal(ftruncate(p->fd, PEER_SIZE), 0);
	recovers(p, dev);
	vfm_device_close(dev);
}

static void shrink_while_keeping(enum peer_section section, off_t size)
{
	struct peer *p = peer_new(section, 9);
	struct vfm_device *dev = open_back(p);
	enum vfm_state now;
	uint8_t byte;

	p->chunks[0] = (struct peer_chunk){ 0x1000, 0x5000 };
	go(dev, VFM_STATE_PRE_COPY);
	assert_int_equal(vfm_device_read_data(dev, &byte, 1, NULL), 1);
	assert_int_equal(ftruncate(p->fd, size), 0);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, NULL), -EIO);
	assert_int_equal(p->state_writes, 1); /* not even tried */
	assert_int_equal(vfm_device_get_state(dev, &now, NULL), 0);
	assert_int_equal(now, VFM_STATE_PRE_COPY);
	assert_int_equal(vfm_device_read_data(dev, &byte, 1, NULL), -EIO);
	assert_int_equal(ftruncate(p->fd, PEER_SIZE), 0);
	recovers(p, dev);
	vfm_device_close(dev);
}

static void shrink_while_loading(enum peer_section section, off_t size)
{
	struct peer *p = peer_new(section, 9);
	struct vfm_device *dev = open_back(p);
	static uint8_t data[0x5000];
	struct vfm_err err;

	go(dev, VFM_STATE_RESUMING);
	assert_int_equal(vfm_device_write_data(dev, data, 10, NULL), 0);
	assert_int_equal(ftruncate(p->fd, size), 0);
	assert_int_equal(vfm_device_write_data(dev, data, sizeof(data), &err), -EIO);
	assert_non_null(strstr(err.msg, "the file behind region 9 ends before byte 0x"));
	assert_int_equal(lseek(p->fd, 0, SEEK_END), size); /* and it was not made longer */
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RUNNING, &err), -EIO);
	assert_int_equal(ftruncate(p->fd, PEER_SIZE), 0);
	recovers(p, dev);
	vfm_device_close(dev);
}

/* Whatever is cut off: to nothing, within an area, between areas. */
static void shrinks(void **state)
{
	static const off_t sizes[] = { 0, 1, 0x1000, 0x2fff, 0x4fff };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(sizes); i++) {
		shrink_while_saving(PEER_OPEN, sizes[i]);
		shrink_while_keeping(PEER_OPEN, sizes[i]);
		shrink_while_loading(PEER_OPEN, sizes[i]);
	}
	/* The parts that are trapped have no file. */
	shrink_while_keeping(PEER_SPLIT_OPEN, 0x4fff);
}

/* ---- memory that there is not --------------------------------------------------- */

/* A chunk so large that nobody can keep it: the device goes on with what it did. */
static void chunk_too_large_to_keep(void **state)
{
	struct peer *p = peer_new(PEER_TRAPPED, 9);
	struct values v = { .set = { [2] = true, [3] = true },
			    .value = { [2] = 0x1000, [3] = UINT64_MAX / 2 } };
	struct vfm_device *dev;
	struct vfm_err err;
	enum vfm_state now;
	uint8_t byte;

	(void)state;
	p->region.size = UINT64_MAX;
	dev = open_back(p);
	p->meddle = say;
	p->meddle_data = &v;
	go(dev, VFM_STATE_PRE_COPY);
	assert_int_equal(vfm_device_read_data(dev, &byte, 1, NULL), 1);
	peer_forget(p);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, &err), -ENOMEM);
	peer_expect(p, "state?");
	assert_int_equal(vfm_device_get_state(dev, &now, NULL), 0);
	assert_int_equal(now, VFM_STATE_PRE_COPY);
	assert_int_equal(vfm_device_read_data(dev, &byte, 1, NULL), 1);
	recovers(p, dev);
	vfm_device_close(dev);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(absurd_chunks),
		cmocka_unit_test(dead_until_it_ends),
		cmocka_unit_test(absurd_pending),
		cmocka_unit_test(changing_values),
		cmocka_unit_test(absurd_resume_offsets),
		cmocka_unit_test(every_access_fails),
		cmocka_unit_test(shrinks),
		cmocka_unit_test(chunk_too_large_to_keep),
	};

	return RUN_TESTS(tests);
}
