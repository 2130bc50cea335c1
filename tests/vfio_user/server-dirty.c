// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The dirty pages of protocol v1 by raw messages, over a device whose log is exact: what
 * is refused and with which error, each byte of the replies, and against a model that
 * nothing is lost, and that nothing is told twice but what the device did not log.
 */

#include "server-peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bitmap.h"
#include "base/util.h"
#include "random.h"

#define START 1u
#define STOP 2u
#define GET 4u
#define PAGE 4096u

static int setup_face(void **state, enum vfm_face face, const char *json)
{
	struct env *e = malloc(sizeof(*e));

	env_open_face(e, face);
	env_join(e, json);
	e->t->log_exact = true;
	*state = e;
	return 0;
}

static int setup_v1(void **state)
{
	return setup_face(state, VFM_FACE_V1, STANDARD);
}

static int setup_v2(void **state)
{
	return setup_face(state, VFM_FACE_V2, EXTENDED);
}

static int setup_both(void **state)
{
	return setup_face(state, VFM_FACE_BOTH, EXTENDED);
}

static int teardown(void **state)
{
	env_close(*state);
	free(*state);
	return 0;
}

static size_t bitmap_bytes(uint64_t size, uint64_t page)
{
	return vfm_bitmap_words((size + page - 1) / page) * 8;
}

static uint32_t dirty(struct env *e, uint32_t argsz, uint32_t flags)
{
	struct bytes b = { .len = 0 };

	put32(&b, argsz);
	put32(&b, flags);
	return call(e, VFM_VU_DIRTY_PAGES, &b);
}

/** struct ask - a GET or an unmapping, every field of it */
struct ask {
	uint32_t argsz;
	uint64_t iova, size, page, room;
};

/* As a good client asks. */
static struct ask good(uint64_t iova, uint64_t size, uint64_t page)
{
	size_t bytes = bitmap_bytes(size, page);

	return (struct ask){ (uint32_t)(40 + bytes), iova, size, page, bytes };
}

static uint32_t send_ask(struct env *e, uint16_t command, uint32_t flags, const struct ask *a)
{
	struct bytes b = { .len = 0 };

	put32(&b, a->argsz);
	put32(&b, flags);
	put64(&b, a->iova);
	put64(&b, a->size);
	put64(&b, a->page);
	put64(&b, a->room);
	return call(e, command, &b);
}

static uint32_t get(struct env *e, struct ask a)
{
	return send_ask(e, VFM_VU_DIRTY_PAGES, GET, &a);
}

static uint32_t unmap(struct env *e, uint32_t flags, struct ask a)
{
	return send_ask(e, VFM_VU_DMA_UNMAP, flags, &a);
}

/* All of a reply; @want is the bitmap. */
static void check_reply(struct env *e, uint32_t flags, const struct ask *a, const uint64_t *want)
{
	size_t bytes = bitmap_bytes(a->size, a->page);

	assert_int_equal(e->reply.size, 40 + bytes);
	assert_int_equal(get32(&e->reply, 0), 40 + bytes);
	assert_int_equal(get32(&e->reply, 4), flags);
	assert_int_equal(get64(&e->reply, 8), a->iova);
	assert_int_equal(get64(&e->reply, 16), a->size);
	assert_int_equal(get64(&e->reply, 24), a->page);
	assert_int_equal(get64(&e->reply, 32), bytes);
	assert_memory_equal(e->reply.payload + 40, want, bytes);
}

/* At most 64 pages. */
static void expect(struct env *e, uint64_t iova, uint64_t size, uint64_t want)
{
	struct ask a = good(iova, size, PAGE);

	assert_int_equal(get(e, a), 0);
	check_reply(e, GET, &a, &want);
}

static void wrote(struct env *e, unsigned int page)
{
	assert_true(page < TEST_LOG_PAGES);
	e->t->log_written[page] = true;
}

/* 16 pages at 0x10000, the device's only range. */
static void map_and_start(struct env *e)
{
	assert_int_equal(map_dma(e, 0x10000, 0x10000, 3, -1), 0);
	assert_int_equal(dirty(e, 8, START), 0);
}

/* ---- who is shown it ------------------------------------------------------------- */

static void face_v2(void **state)
{
	struct env *e = *state;
	uint8_t bytes[64] = { 48, 0, 0, 0, START };

	assert_null(strstr(e->version, "migration"));
	for (size_t len = 0; len <= sizeof(bytes); len++)
		assert_int_equal(call_fds(e, VFM_VU_DIRTY_PAGES, bytes, len, NULL, 0), ENOTTY);
	assert_int_equal(map_dma(e, 0x10000, 0x10000, 3, -1), 0);
	assert_int_equal(unmap(e, 1, good(0x10000, 0x10000, PAGE)), ENOTTY);
	assert_int_equal(unmap(e, 3, good(0x10000, 0x10000, PAGE)), ENOTTY);
	assert_int_equal(e->t->nr_maps, 1);
	assert_int_equal(e->t->starts, 0);
}

/* The log is one of the things of v2, so the face of v1 has not its features. */
static void face_v1(void **state)
{
	static const char want[] = "\"migration\":{\"pgsize\":4096}";
	struct env *e = *state;

	for (int i = 0; i < 2; i++) {
		assert_non_null(strstr(e->version, want));
		for (uint32_t f = 6; f <= 8; f++) {
			assert_int_equal(feature(e, f | 0x10000, 100, NULL), ENOTTY);
			assert_int_equal(feature(e, f | 0x20000, 100, NULL), ENOTTY);
			assert_int_equal(feature(e, f | 0x70000, 100, NULL), ENOTTY);
		}
		map_and_start(e);
		env_leave(e);
		env_join(e, EXTENDED);
	}
}

static uint32_t start_v2(struct env *e)
{
	struct bytes b = { .len = 0 };

	put64(&b, PAGE);
	put64(&b, 0);
	return feature(e, 0x20006, 24, &b);
}

static uint32_t report_v2(struct env *e)
{
	struct bytes b = { .len = 0 };

	put64(&b, 0x10000);
	put64(&b, PAGE);
	put64(&b, PAGE);
	return feature(e, 0x10008, 40, &b);
}

/* One log, and the messages of one protocol at a time. */
static void one_of_two(void **state)
{
	struct env *e = *state;

	/* on, but not at the device */
	assert_int_equal(dirty(e, 8, START), 0);
	assert_int_equal(map_dma(e, 0x10000, 0x10000, 3, -1), 0);
	assert_int_equal(start_v2(e), EINVAL);
	assert_int_equal(dirty(e, 8, STOP), 0);
	assert_int_equal(dirty(e, 8, START), 0);
	wrote(e, 16);
	assert_int_equal(start_v2(e), EINVAL);
	assert_int_equal(report_v2(e), EINVAL);
	assert_int_equal(feature(e, 0x20007, 8, NULL), EINVAL);
	assert_int_equal(e->t->stops, 0);
	expect(e, 0x10000, 0x10000, 1);
	assert_int_equal(dirty(e, 8, STOP), 0);

	assert_int_equal(start_v2(e), 0);
	wrote(e, 16);
	assert_int_equal(dirty(e, 8, START), EINVAL);
	assert_int_equal(get(e, good(0x10000, 0x10000, PAGE)), EINVAL);
	assert_int_equal(unmap(e, 1, good(0x10000, 0x10000, PAGE)), EINVAL);
	assert_int_equal(dirty(e, 8, STOP), 0); /* it is off */
	assert_int_equal(e->t->stops, 1);
	assert_int_equal(report_v2(e), 0);
	assert_int_equal(get64(&e->reply, 32), 1);
	assert_int_equal(feature(e, 0x20007, 8, NULL), 0);
	assert_int_equal(dirty(e, 8, START), 0);
}

/* ---- START and STOP --------------------------------------------------------------- */

static void every_flag(void **state)
{
	struct env *e = *state;

	assert_int_equal(map_dma(e, 0x10000, 0x10000, 3, -1), 0);
	for (int on = 0; on < 2; on++) {
		for (uint32_t bit = 0; bit < 32 + 16; bit++) {
			uint32_t flags = bit < 32 ? UINT32_C(1) << bit : bit - 32;

			if (flags == START || flags == STOP || flags == GET)
				continue;
			assert_int_equal(dirty(e, 100, flags), EINVAL);
		}
		assert_int_equal(get(e, good(0x10000, 0x10000, PAGE)), on ? 0 : EINVAL);
		assert_int_equal(dirty(e, 8, START), 0);
	}
	assert_int_equal(dirty(e, 8, UINT32_MAX), EINVAL);
}

static void start_stop(void **state)
{
	struct env *e = *state;
	struct test_device *t = e->t;

	assert_int_equal(dirty(e, 8, STOP), 0);
	assert_int_equal(e->reply.size, 8);
	assert_int_equal(t->stops, 0);
	for (uint32_t argsz = 0; argsz < 8; argsz++) {
		assert_int_equal(dirty(e, argsz, START), EINVAL);
		assert_int_equal(dirty(e, argsz, STOP), EINVAL);
	}
	assert_int_equal(t->starts, 0);
	assert_int_equal(map_dma(e, 0x10000, 0x10000, 3, -1), 0);
	assert_int_equal(map_dma(e, 0x20000, 0x1000, 3, -1), 0);
	assert_int_equal(map_dma(e, 0x40100, 0x100, 3, -1), 0);
	assert_int_equal(dirty(e, 1000, START), 0);
	assert_int_equal(e->reply.size, 8);
	assert_int_equal(get32(&e->reply, 0), 1000);
	assert_int_equal(get32(&e->reply, 4), START);
	assert_int_equal(t->log_page_size, 4096);
	assert_int_equal(t->nr_log_ranges, 2);
	assert_int_equal(t->log_ranges[0].iova, 0x10000);
	assert_int_equal(t->log_ranges[0].size, 0x11000);
	assert_int_equal(t->log_ranges[1].iova, 0x40000);
	assert_int_equal(t->log_ranges[1].size, 0x1000);
	/* again is nothing, and clears nothing */
	wrote(e, 17);
	assert_int_equal(dirty(e, 8, START), 0);
	assert_int_equal(t->starts, 1);
	expect(e, 0x10000, 0x11000, 2);
	expect(e, 0x10000, 0x11000, 0);
	assert_int_equal(dirty(e, UINT32_MAX, STOP), 0);
	assert_int_equal(get32(&e->reply, 0), UINT32_MAX);
	assert_int_equal(dirty(e, 8, STOP), 0);
	assert_int_equal(t->stops, 1);
	assert_int_equal(get(e, good(0x10000, 0x10000, PAGE)), EINVAL);
	assert_int_equal(dirty(e, 8, START), 0);
	assert_int_equal(t->starts, 2);
}

/* What the device says to a start; with nothing mapped there is one thing that it can say. */
static void device_refuses(void **state)
{
	struct env *e = *state;

	e->t->no_log = true;
	assert_int_equal(dirty(e, 8, START), ENOTTY);
	assert_int_equal(get(e, good(0x10000, 0x10000, PAGE)), EINVAL);
	assert_int_equal(map_dma(e, 0x10000, 0x10000, 3, -1), 0);
	assert_int_equal(dirty(e, 8, START), ENOTTY);
	assert_int_equal(get(e, good(0x10000, 0x10000, PAGE)), EINVAL);
	assert_int_equal(dirty(e, 8, STOP), 0);
	/* somebody else's log */
	e->t->no_log = false;
	e->t->log_page_size = 4096;
	assert_int_equal(dirty(e, 8, START), EINVAL);
	assert_int_equal(get(e, good(0x10000, 0x10000, PAGE)), EINVAL);
	env_leave(e);
	assert_int_equal(e->t->stops, 0);
	/* one that cannot be stopped goes on */
	e->t->log_page_size = 0;
	env_join(e, STANDARD);
	map_and_start(e);
	e->t->log_page_size = 0;
	assert_int_equal(dirty(e, 8, STOP), EINVAL);
	e->t->log_page_size = 4096;
	wrote(e, 16);
	expect(e, 0x10000, 0x10000, 1);
	assert_int_equal(dirty(e, 8, STOP), 0);
}

static void client_leaves(void **state)
{
	struct env *e = *state;

	map_and_start(e);
	env_leave(e);
	assert_int_equal(e->t->stops, 1);
	assert_int_equal(e->t->log_page_size, 0);
	env_join(e, STANDARD);
	assert_int_equal(get(e, good(0x10000, 0x10000, PAGE)), EINVAL);
	/* on without the device's: nothing to stop */
	assert_int_equal(dirty(e, 8, START), 0);
	env_leave(e);
	assert_int_equal(e->t->stops, 1);
	env_join(e, STANDARD);
	map_and_start(e);
	wrote(e, 31);
	expect(e, 0x10000, 0x10000, 0x8000);
}

/* ---- GET --------------------------------------------------------------------------- */

static void every_length(void **state)
{
	struct env *e = *state;
	struct ask a = good(0x10000, 0x10000, PAGE);
	struct bytes b = { .len = 0 };

	map_and_start(e);
	put32(&b, 1000);
	put32(&b, GET);
	put64(&b, a.iova);
	put64(&b, a.size);
	put64(&b, a.page);
	put64(&b, a.room);
	put64(&b, 0);
	for (size_t len = 0; len <= b.len; len++)
		assert_int_equal(call_fds(e, VFM_VU_DIRTY_PAGES, b.mem, len, NULL, 0),
				 len < 40 ? EINVAL : 0);
	memcpy(b.mem + 4, (uint32_t[]){ STOP }, 4);
	for (size_t len = 0; len <= b.len; len++)
		assert_int_equal(call_fds(e, VFM_VU_DIRTY_PAGES, b.mem, len, NULL, 0),
				 len < 8 ? EINVAL : 0);
}

/* Too small an argsz is answered with the one that is needed, and clears nothing. */
static void every_argsz(void **state)
{
	static const uint64_t sizes[] = { PAGE, 64 * PAGE, 65 * PAGE, 640 * PAGE };
	struct env *e = *state;
	uint64_t want[16];

	assert_int_equal(map_dma(e, 0, TEST_LOG_PAGES * PAGE, 3, -1), 0);
	assert_int_equal(dirty(e, 8, START), 0);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(sizes); i++) {
		struct ask a = good(0, sizes[i], PAGE);
		uint32_t need = a.argsz;

		wrote(e, 0);
		for (a.argsz = 0; a.argsz < need; a.argsz++) {
			assert_int_equal(get(e, a), a.argsz < 8 ? EINVAL : 0);
			if (a.argsz < 8)
				continue;
			assert_int_equal(e->reply.size, 8);
			assert_int_equal(get32(&e->reply, 0), need);
			assert_int_equal(get32(&e->reply, 4), GET);
		}
		memset(want, 0, sizeof(want));
		want[0] = 1;
		for (a.argsz = need; a.argsz < need + 20; a.argsz++) {
			assert_int_equal(get(e, a), 0);
			check_reply(e, GET, &a, want);
			want[0] = 0;
		}
		a.argsz = UINT32_MAX;
		assert_int_equal(get(e, a), 0);
		check_reply(e, GET, &a, want);
		/* the bitmap that it has room for: as large, larger, and too small */
		for (a.room = 0; a.room < bitmap_bytes(sizes[i], PAGE); a.room++)
			assert_int_equal(get(e, a), EINVAL);
		for (unsigned int n = 0; n < 3; n++) {
			a.room = n == 2 ? UINT64_MAX : a.room + n * 8;
			assert_int_equal(get(e, a), 0);
			check_reply(e, GET, &a, want);
		}
	}
}

static void questions(void **state)
{
	static const struct {
		uint64_t iova, size, page;
		uint32_t error;
	} rows[] = {
		{ 0x10000, 0x10000, 4096, 0 },
		{ 0x10000, 0x1000, 4096, 0 },
		{ 0x11000, 0x2000, 4096, 0 },
		{ 0x0, 0x1000000, 4096, 0 },
		{ 0x10000, 0x10000, 0x10000, 0 },
		{ 0x0, 0x20000, 0x20000, 0 },
		{ 0x8000000000000000, 0x8000000000000000, UINT64_C(1) << 63, 0 },
		{ UINT64_MAX - 0xfff, 0x1000, 4096, 0 },
		{ 0x10000, 0x10000, 0, EINVAL },
		{ 0x10000, 0x10000, 1, EINVAL },
		{ 0x10000, 0x10000, 2048, EINVAL },
		{ 0x10000, 0x10000, 4095, EINVAL },
		{ 0x10000, 0x10000, 4097, EINVAL },
		{ 0x10000, 0x3000, 0x3000, EINVAL },
		{ 0x10000, 0x10000, 0x20000, EINVAL },
		{ 0x10000, 0x20000, 0x20000, EINVAL },
		{ 0x10000, 0, 4096, EINVAL },
		{ 0x10001, 0x1000, 4096, EINVAL },
		{ 0x10000, 0x1001, 4096, EINVAL },
		{ 0x10000, 0xfff, 4096, EINVAL },
		{ UINT64_MAX - 0xfff, 0x2000, 4096, EOVERFLOW },
		{ 0x1000, UINT64_MAX - 0xfff, 4096, E2BIG },
		{ 0x2000, UINT64_MAX - 0xfff, 4096, EOVERFLOW },
		{ 0, (UINT64_C(1) << 43) + 0x1000, 4096, E2BIG },
	};
	struct env *e = *state;

	map_and_start(e);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct ask a = { UINT32_MAX, rows[i].iova, rows[i].size, rows[i].page, UINT64_MAX };

		assert_int_equal(get(e, a), rows[i].error);
		if (!rows[i].error)
			assert_int_equal(e->reply.size, 40 + bitmap_bytes(a.size, a.page));
	}
}

/* What nobody could log is dirty for as long as it is there; what is not mapped is clean. */
static void mapped_later(void **state)
{
	struct env *e = *state;

	assert_int_equal(dirty(e, 8, START), 0);
	assert_int_equal(e->t->starts, 0);
	assert_int_equal(map_dma(e, 0x10000, 0x3000, 3, -1), 0);
	expect(e, 0, 0x40000, 7 << 16);
	expect(e, 0x11000, 0x1000, 1);
	assert_int_equal(dirty(e, 8, STOP), 0);
	assert_int_equal(e->t->stops, 0);

	assert_int_equal(map_dma(e, 0x20000, 0x1000, 3, -1), 0);
	assert_int_equal(dirty(e, 8, START), 0);
	expect(e, 0, 0x40000, 0);
	assert_int_equal(map_dma(e, 0x13000, 0x2000, 3, -1), 0);
	assert_int_equal(map_dma(e, 0x30800, 0x1000, 3, -1), 0);
	for (int i = 0; i < 2; i++)
		expect(e, 0, 0x40000, UINT64_C(3) << 19 | UINT64_C(3) << 48);
	/* the range was logged before, and is with other ends now */
	assert_int_equal(unmap(e, 1, good(0x10000, 0x3000, PAGE)), 0);
	assert_int_equal(map_dma(e, 0xf000, 0x3000, 3, -1), 0);
	wrote(e, 17);
	expect(e, 0xe000, 0x5000, 1 << 1 | 1 << 3);
	expect(e, 0xe000, 0x5000, 1 << 1);
	assert_int_equal(dirty(e, 8, STOP), 0);
	assert_int_equal(dirty(e, 8, START), 0);
	expect(e, 0, 0x40000, 0);
	e->t->fail_report = -EIO;
	assert_int_equal(get(e, good(0, 0x40000, PAGE)), EIO);
}

/* ---- unmapping ------------------------------------------------------------------------ */

static void unmap_refused(void **state)
{
	struct env *e = *state;
	struct ask a = good(0x10000, 0x10000, PAGE);
	struct ask other = good(0x10000, 0x8000, PAGE);
	struct bytes b = { .len = 0 };

	assert_int_equal(map_dma(e, 0x10000, 0x10000, 3, -1), 0);
	assert_int_equal(unmap(e, 1, a), EINVAL); /* the log is off */
	assert_int_equal(dirty(e, 8, START), 0);
	wrote(e, 18);
	for (uint32_t flags = 3; flags < 64; flags += 2)
		assert_int_equal(unmap(e, flags, a), EINVAL);
	assert_int_equal(unmap(e, 3, good(0, 0, PAGE)), EINVAL);
	assert_int_equal(unmap(e, 1, other), ENOENT);
	other = good(0x90000, 0x1000, PAGE);
	assert_int_equal(unmap(e, 1, other), ENOENT);
	put32(&b, a.argsz);
	put32(&b, 1);
	for (int i = 0; i < 4; i++)
		put64(&b, (&a.iova)[i]);
	for (size_t len = 24; len < 40; len++)
		assert_int_equal(call_fds(e, VFM_VU_DMA_UNMAP, b.mem, len, NULL, 0), EINVAL);
	for (a.argsz = 0; a.argsz < 48; a.argsz++)
		assert_int_equal(unmap(e, 1, a), EINVAL);
	for (a.room = 0; a.room < 8; a.room++)
		assert_int_equal(unmap(e, 1, a), EINVAL);
	a.page = 8191;
	assert_int_equal(unmap(e, 1, a), EINVAL);
	a = good(0x10000, 0x10000, PAGE);
	e->t->fail = -EIO;
	assert_int_equal(unmap(e, 1, a), EIO);
	e->t->fail = 0;
	assert_int_equal(e->t->reports, 0);
	assert_int_equal(e->t->nr_maps, 1);
	expect(e, 0x10000, 0x10000, 4);
}

static void unmap_reports(void **state)
{
	struct env *e = *state;
	struct ask a = good(0x10000, 0x10000, PAGE);
	uint64_t want = 1 << 5 | 1 << 15;

	map_and_start(e);
	wrote(e, 21);
	wrote(e, 31);
	a.argsz = UINT32_MAX;
	a.room = 4096;
	assert_int_equal(unmap(e, 1, a), 0);
	check_reply(e, 1, &a, &want);
	assert_int_equal(e->t->nr_maps, 0);
	assert_int_equal(e->t->maps_at_report, 0);
	assert_int_equal(unmap(e, 1, a), ENOENT);
	expect(e, 0x10000, 0x10000, 0);
	/* the log was not over, though nothing was mapped */
	assert_int_equal(map_dma(e, 0x10000, 0x10000, 3, -1), 0);
	wrote(e, 16);
	expect(e, 0x10000, 0x10000, 1);
	/* an unmapping that did not ask takes nothing from the next question */
	wrote(e, 17);
	assert_int_equal(unmap(e, 0, a), 0);
	expect(e, 0x10000, 0x10000, 2);
	/* larger pages */
	assert_int_equal(map_dma(e, 0x10000, 0x10000, 3, -1), 0);
	wrote(e, 31);
	a = good(0x10000, 0x10000, 0x4000);
	want = 1 << 3;
	assert_int_equal(unmap(e, 1, a), 0);
	check_reply(e, 1, &a, &want);
	/* one that was mapped too late, and one that the device cannot report */
	assert_int_equal(map_dma(e, 0x30000, 0x3000, 3, -1), 0);
	a = good(0x30000, 0x3000, PAGE);
	want = 7;
	assert_int_equal(unmap(e, 1, a), 0);
	check_reply(e, 1, &a, &want);
	assert_int_equal(map_dma(e, 0x10000, 0x5000, 3, -1), 0);
	e->t->fail_report = -EIO;
	a = good(0x10000, 0x5000, PAGE);
	want = 0x1f;
	assert_int_equal(unmap(e, 1, a), 0);
	check_reply(e, 1, &a, &want);
	assert_non_null(strstr(e->last_log, "dirty"));
	assert_int_equal(e->t->nr_maps, 0);
}

/* ---- all together ---------------------------------------------------------------------- */

struct model {
	uint64_t seed;
	struct vfm_range maps[12];
	unsigned int nr_maps;
	bool on;
	bool logged[TEST_LOG_PAGES]; /* mapped at START */
	bool dirty[TEST_LOG_PAGES];
};

/* Often at a multiple of 64 pages, where whole words of a bitmap meet. */
static struct vfm_range random_range(struct model *m, uint64_t most)
{
	uint64_t first = test_random_below(&m->seed, TEST_LOG_PAGES - most);

	if (test_random_below(&m->seed, 2))
		first &= ~UINT64_C(63);
	return (struct vfm_range){ first * PAGE, (1 + test_random_below(&m->seed, most)) * PAGE };
}

static void step_map(struct env *e, struct model *m)
{
	struct vfm_range r = random_range(m, 100);
	bool overlaps = false;

	for (unsigned int i = 0; i < m->nr_maps; i++)
		overlaps |= r.iova < m->maps[i].iova + m->maps[i].size &&
			    m->maps[i].iova < r.iova + r.size;
	if (m->nr_maps == VFM_ARRAY_SIZE(m->maps) || overlaps)
		return;
	assert_int_equal(map_dma(e, r.iova, r.size, 3, -1), 0);
	m->maps[m->nr_maps++] = r;
}

/* The bitmap of a question, and what it clears. */
static void answer(struct model *m, const struct ask *a, uint64_t *want)
{
	for (uint64_t page = a->iova / PAGE; page < (a->iova + a->size) / PAGE; page++) {
		bool mapped = false;

		for (unsigned int i = 0; i < m->nr_maps; i++)
			mapped |= page * PAGE >= m->maps[i].iova &&
				  page * PAGE < m->maps[i].iova + m->maps[i].size;
		if (m->dirty[page] || (mapped && !m->logged[page]))
			vfm_bitmap_set(want, (page * PAGE - a->iova) / a->page);
		m->dirty[page] = false;
	}
}

static void step_unmap(struct env *e, struct model *m)
{
	unsigned int i = (unsigned int)test_random_below(&m->seed, m->nr_maps ? m->nr_maps : 1);
	bool ask = m->on && test_random_below(&m->seed, 3);
	struct ask a = good(m->maps[i].iova, m->maps[i].size, PAGE);
	uint64_t want[TEST_LOG_PAGES / 64] = { 0 };

	if (!m->nr_maps)
		return;
	assert_int_equal(unmap(e, ask, a), 0);
	if (ask) {
		answer(m, &a, want);
		check_reply(e, 1, &a, want);
	}
	m->maps[i] = m->maps[--m->nr_maps];
}

static void step_get(struct env *e, struct model *m)
{
	uint64_t page = PAGE << test_random_below(&m->seed, 4);
	struct vfm_range r = random_range(m, 500);
	uint64_t want[TEST_LOG_PAGES / 64] = { 0 };
	struct ask a;

	r.iova &= ~(page - 1);
	r.size = VFM_MIN((r.size + page - 1) & ~(page - 1), TEST_LOG_PAGES * PAGE - r.iova);
	a = good(r.iova, r.size, page);
	assert_int_equal(get(e, a), m->on ? 0 : EINVAL);
	if (!m->on)
		return;
	answer(m, &a, want);
	check_reply(e, GET, &a, want);
}

static void step_switch(struct env *e, struct model *m)
{
	if (m->on || !m->nr_maps) {
		assert_int_equal(dirty(e, 8, STOP), 0);
		m->on = false;
		return;
	}
	assert_int_equal(dirty(e, 8, START), 0);
	m->on = true;
	memset(m->logged, 0, sizeof(m->logged));
	memset(m->dirty, 0, sizeof(m->dirty));
	memset(e->t->log_written, 0, sizeof(e->t->log_written));
	for (unsigned int i = 0; i < m->nr_maps; i++)
		for (uint64_t page = 0; page < m->maps[i].size / PAGE; page++)
			m->logged[m->maps[i].iova / PAGE + page] = true;
}

static void step_write(struct env *e, struct model *m)
{
	const struct vfm_range *r = &m->maps[test_random_below(&m->seed, m->nr_maps)];
	uint64_t page = r->iova / PAGE + test_random_below(&m->seed, r->size / PAGE);

	if (!m->logged[page])
		return;
	wrote(e, (unsigned int)page);
	m->dirty[page] = true;
}

static void against_model(void **state)
{
	struct env *e = *state;
	struct model *m = calloc(1, sizeof(*m));

	m->seed = 20260501;
	for (int i = 0; i < 20000; i++) {
		switch (test_random_below(&m->seed, 16)) {
		case 0:
			step_map(e, m);
			break;
		case 1:
			step_unmap(e, m);
			break;
		case 2:
			if (!test_random_below(&m->seed, 3))
				step_switch(e, m);
			break;
		case 3:
		case 4:
			step_get(e, m);
			break;
		default:
			if (m->nr_maps && m->on)
				step_write(e, m);
		}
	}
	free(m);
}

int main(void)
{
#define TEST(f, face) cmocka_unit_test_setup_teardown(f, setup_##face, teardown)
	const struct CMUnitTest tests[] = {
		TEST(face_v2, v2),	 TEST(face_v1, v1),	  TEST(one_of_two, both),
		TEST(every_flag, v1),	 TEST(start_stop, v1),	  TEST(device_refuses, v1),
		TEST(client_leaves, v1), TEST(every_length, v1),  TEST(every_argsz, v1),
		TEST(questions, v1),	 TEST(mapped_later, v1),  TEST(unmap_refused, v1),
		TEST(unmap_reports, v1), TEST(against_model, v1),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
