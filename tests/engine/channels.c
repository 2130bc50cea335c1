// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Migrations over several channels: that all arrives, in order and once, and what becomes of it
 * when one of them is cut, hangs or is spoilt at any record.
 */

#include "links.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "peak.h"

#define MIB (UINT64_C(1) << 20)

static const unsigned int counts[] = { 1, 2, 3, 16 };

/* ---- that it works ---------------------------------------------------------- */

/* Many small records and few large ones; plain, compressed; with room for few and for many. */
static void all_arrives(void **state)
{
	static const struct {
		uint64_t size;
		size_t piece;
	} flows[] = { { 0, 0 }, { 8, 8 }, { 64 << 10, 8 }, { 8 * MIB + 8, 4096 }, { 40 * MIB, 0 } };

	(void)state;
	for (int i = 0; i < 40; i++) {
		struct links l;

		links_open(&l, counts[i % 4], flows[i / 4 % 5].size, flows[i / 4 % 5].piece);
		l.opts[0].compress = i / 20;
		links_check_moved(&l, links_move(&l));
		assert_int_equal(l.report.channels, counts[i % 4]);
		assert_int_equal(l.half.report.channels, counts[i % 4]);
		if (!l.opts[0].compress)
			assert_true(l.report.wire_bytes > l.src->size);
		assert_int_equal(l.half.report.wire_bytes <= l.report.wire_bytes, 1);
		links_close(&l);
	}
}

/* A device with memory, pre-copy and work to do, in one process. */
static void memory_and_rounds(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct vfm_migrate_opts opts = rig_opts();
		struct rig r;

		rig_open(&r, "state=6M,initial=2M,dirty=4M", 8 * MIB);
		rig_start(&r, 10 * MIB);
		opts.channels = counts[i];
		opts.compress = i & 1;
		assert_int_equal(rig_migrate(&r, &opts), 0);
		assert_int_equal(r.report.channels, counts[i]);
		assert_true(r.report.rounds > 0);
		rig_check_moved(&r);
		rig_close(&r);
	}
}

/* The smaller number counts, and what the limit on memory bears. */
static void how_many(void **state)
{
	static const struct {
		unsigned int source, destination;
		uint64_t limits[2];
		unsigned int used;
	} cases[] = {
		{ 4, 1, { 0, 0 }, 1 },		{ 1, 4, { 0, 0 }, 1 },
		{ 0, 4, { 0, 0 }, 1 },		{ 3, 5, { 0, 0 }, 3 },
		{ 16, 16, { 8 * MIB, 0 }, 1 },	{ 16, 16, { 10 * MIB, 0 }, 2 },
		{ 16, 16, { 0, 17 * MIB }, 4 }, { 16, 16, { 0, 1 }, 1 },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(cases); i++) {
		struct links l;

		links_open(&l, 16, 4 * MIB, 0);
		l.opts[0].channels = cases[i].source;
		l.opts[1].channels = cases[i].destination;
		l.opts[0].memory_limit = cases[i].limits[0];
		l.opts[1].memory_limit = cases[i].limits[1];
		links_check_moved(&l, links_move(&l));
		assert_int_equal(l.report.channels, cases[i].used);
		assert_int_equal(l.half.report.channels, cases[i].used);
		links_close(&l);
	}
}

static void options_that_make_no_sense(void **state)
{
	struct links l;

	(void)state;
	links_open(&l, 2, 8, 8);
	l.opts[0].channels = 17;
	assert_int_equal(links_move(&l), -EINVAL);
	assert_non_null(strstr(l.err.msg, "17 channels, more than 16"));
	links_close(&l);
	links_open(&l, 2, 8, 8);
	l.opts[0].open_channel = NULL;
	assert_int_equal(links_move(&l), -EINVAL);
	assert_non_null(strstr(l.err.msg, "no way to open them"));
	links_close(&l);
}

/* The rate is that of all of them together: 8 MiB at 16 MiB/s, but for the first moments' worth. */
static void one_rate_for_all(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct links l;
		uint64_t begin;

		links_open(&l, counts[i], 8 * MIB, 0);
		l.opts[0].rate = 16 * MIB;
		begin = vfm_now_ns();
		links_check_moved(&l, links_move(&l));
		assert_true(vfm_now_ns() - begin > UINT64_C(400000000));
		links_close(&l);
	}
}

/* ---- one that breaks --------------------------------------------------------- */

#define FAULTY 3

/*
 * One channel of three has a fault in a record. There is one owner, and if it is the source it was
 * told that, and which channel it was. False: there was no such record.
 */
static bool broken(const struct relay *fault, unsigned int channel)
{
	char name[16];
	struct links l;
	bool hit;
	int ret;

	links_open(&l, FAULTY, 40 * 4096, 4096);
	links_break(&l, channel, fault);
	if (fault->fault == RELAY_STALL)
		l.opts[0].timeout_ms = l.opts[1].timeout_ms = 100;
	ret = links_move(&l);
	hit = l.relays[channel].hit;
	assert_false(l.src->state == VFM_STATE_RUNNING && l.half.report.committed);
	if (ret && !l.report.committed)
		assert_int_equal(l.src->state, VFM_STATE_RUNNING);
	/* On a machine that is busy, what is whole may be late, too. */
	if (!hit && (fault->fault != RELAY_STALL || ret != -ETIMEDOUT))
		links_check_moved(&l, ret);
	snprintf(name, sizeof(name), "channel %u: ", channel);
	if (hit && channel) {
		links_check_back(&l, ret);
		/* What is silent cannot be told from what has nothing to bring. */
		if (fault->fault != RELAY_STALL && !strstr(l.err.msg, name) &&
		    !strstr(l.half.err.msg, name))
			fail_msg("%s; %s", l.err.msg, l.half.err.msg);
	}
	links_close(&l);
	return hit;
}

static void each_record(void **state)
{
	static const size_t bytes[] = { 0, 20, 50, 4096 };
	static const enum relay_fault faults[] = { RELAY_CUT, RELAY_FLIP, RELAY_STALL };
	unsigned int runs = 0;

	(void)state;
	for (unsigned int i = 0; i < 3 * 4 * FAULTY; i++) {
		struct relay fault = { .fault = faults[i % 3], .bytes = bytes[i / 3 % 4] };

		/* Who takes which record is chance: there may be no more from here on. */
		for (; fault.record < 60 && broken(&fault, i / 12);
		     fault.record += fault.fault == RELAY_STALL ? 5 : 1)
			runs++;
	}
	print_message("# %u runs\n", runs);
	assert_true(runs > 100);
}

/* Hello and header of the stream are no records: a channel that ends within them. */
static void nothing_comes(void **state)
{
	static const struct {
		const char *what;
		int fd;
	} ends[] = { { "source", 0 }, { "destination", 1 } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct links l;
		int ret;

		links_open(&l, 3, 4 * MIB, 0);
		shutdown(l.ends[ends[i].fd].fds[2], SHUT_RDWR);
		ret = links_move(&l);
		links_check_back(&l, ret);
		assert_non_null(strstr(l.err.msg, "setup: channel 2: "));
		assert_non_null(strstr(l.half.err.msg, "setup: channel 2: "));
		assert_false(l.half.report.connected);
		links_close(&l);
	}
}

/* ---- one that hangs ------------------------------------------------------------ */

/* In one of its first records of data. */
static void hang(struct links *l, unsigned int channel)
{
	const struct relay fault = { .fault = RELAY_STALL,
				     .record = channel ? 1 : 5,
				     .bytes = 5000 };

	links_open(l, 4, 256 * MIB, 0);
	links_break(l, channel, &fault);
}

/* The others fill all there is and wait, too; it is told of the one that they wait for. */
static void one_hangs(void **state)
{
	(void)state;
	for (unsigned int i = 1; i < 4; i++) {
		char name[64];
		struct links l;
		int ret;

		hang(&l, i);
		l.opts[0].timeout_ms = l.opts[1].timeout_ms = 300;
		ret = links_move(&l);
		links_check_back(&l, ret);
		assert_int_equal(ret, -ETIMEDOUT);
		assert_int_equal(l.half.ret, -ETIMEDOUT);
		snprintf(name, sizeof(name), "channel %u: the source was silent for 300 ms", i);
		if (!strstr(l.err.msg, name) || !strstr(l.half.err.msg, name))
			fail_msg("%s; %s", l.err.msg, l.half.err.msg);
		links_close(&l);
	}
}

struct cancel {
	int fd;
	uint64_t before;
	enum vfm_phase phase;
};

/* Told a few times a second, and of each phase: nothing has moved since, so all is full. */
static void cancel_when_stuck(void *user, const struct vfm_migration_report *now)
{
	struct cancel *c = user;

	if (now->phase == c->phase && now->state_bytes == c->before)
		assert_int_equal(eventfd_write(c->fd, 1), 0);
	c->before = now->state_bytes;
	c->phase = now->phase;
}

/*
 * Either half, with a channel that hangs, and no limit on that. The other half hears of it on the
 * first channel, unless that is the one, or full of what cannot be taken before what hangs.
 */
static void cancelled_while_one_hangs(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		struct cancel c = { .fd = eventfd(0, EFD_CLOEXEC), .before = UINT64_MAX };
		unsigned int half = i & 1;
		struct links l;
		int ret;

		hang(&l, i / 2);
		l.opts[half].timeout_ms = 0;
		l.opts[!half].timeout_ms = 2000;
		l.opts[half].cancel_fd = c.fd;
		l.opts[half].progress = cancel_when_stuck;
		l.opts[half].user = &c;
		ret = links_move(&l);
		links_check_back(&l, ret);
		assert_int_equal(half ? l.half.ret : ret, -ECANCELED);
		links_close(&l);
		close(c.fd);
	}
}

/* ---- memory --------------------------------------------------------------------- */

/* Both halves are here, so it is twice the limit that must hold, and a little more. */
static void memory_does_not_grow(void **state)
{
	static const uint64_t limits[] = { 16 * MIB, 64 * MIB };

	(void)state;
	for (int i = 0; i < 4; i++) {
		const struct relay fault = { .fault = RELAY_STALL, .record = 1, .bytes = 5000 };
		uint64_t limit = limits[i & 1], before, after;
		struct links l;
		int ret;

		links_open(&l, 16, PEAK_IS_OURS ? 512 * MIB : 64 * MIB, 0);
		l.opts[0].memory_limit = l.opts[1].memory_limit = limit;
		if (i & 2) {
			links_break(&l, 1, &fault);
			l.opts[0].timeout_ms = l.opts[1].timeout_ms = 300;
		}
		peak_resident();
		before = peak_resident();
		ret = links_move(&l);
		after = peak_resident();
		if (i & 2)
			links_check_back(&l, ret);
		else
			links_check_moved(&l, ret);
		print_message(
			"# limit %.0f MiB, %u channels, resident %.1f MiB and then %.1f MiB\n",
			(double)limit / MIB, l.report.channels, (double)before / MIB,
			(double)after / MIB);
		if (PEAK_IS_OURS)
			assert_true(after <= before + 2 * limit);
		links_close(&l);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_arrives),
		cmocka_unit_test(memory_and_rounds),
		cmocka_unit_test(how_many),
		cmocka_unit_test(options_that_make_no_sense),
		cmocka_unit_test(one_rate_for_all),
		cmocka_unit_test(each_record),
		cmocka_unit_test(nothing_comes),
		cmocka_unit_test(one_hangs),
		cmocka_unit_test(cancelled_while_one_hangs),
		cmocka_unit_test(memory_does_not_grow),
	};

	return RUN_TESTS(tests);
}
