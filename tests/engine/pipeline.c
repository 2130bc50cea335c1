// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What can go wrong while buffers are in flight: either device, the wire, a peer
 * that does not read or reads too fast, a cancellation. The state is larger than
 * all queues and sockets on its way together.
 */

#include "rig.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "flow.h"
#include "peak.h"
#include "relay.h"

#define MIB (UINT64_C(1) << 20)
#define LIMIT (8 * MIB)

/* Both queues, what is in hand on either side, and what sockets hold. */
#define IN_FLIGHT (2 * LIMIT + 4 * MIB)

struct move {
	struct flow *src, *dst;
	struct vfm_migrate_opts opts;
	int fds[2];
	struct rig_half half;
	struct vfm_migration_report report;
	struct vfm_err err;
	unsigned int open_fds;
};

static void begin(struct move *m, uint64_t size, size_t piece)
{
	*m = (struct move){ .open_fds = test_count_fds() };
	m->src = flow_new(size, piece);
	m->dst = flow_new(size, 0);
	m->opts = VFM_MIGRATE_OPTS();
	m->opts.max_downtime_ms = 0;
	m->opts.memory_limit = LIMIT;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, m->fds), 0);
	m->half = (struct rig_half){ .dev = &m->dst->dev, .fd = m->fds[1], .opts = &m->opts };
}

static void end(struct move *m)
{
	close(m->fds[0]);
	close(m->fds[1]);
	flow_free(m->src);
	flow_free(m->dst);
	assert_int_equal(test_count_fds(), m->open_fds);
}

static int move_send(struct move *m)
{
	return vfm_migrate_send(&m->src->dev, NULL, m->fds[0], &m->opts, &m->report, &m->err);
}

static int move(struct move *m)
{
	int ret;

	rig_receive_begin(&m->half);
	ret = move_send(m);
	shutdown(m->fds[0], SHUT_RDWR);
	rig_join(&m->half);
	return ret;
}

/* It failed, and the source has its device back; the other end was reset. */
static void check_back(struct move *m, int ret, int expect, const char *text)
{
	if (ret != expect || !strstr(m->err.msg, text))
		fail_msg("%d, %s; expected %d, %s", ret, m->err.msg, expect, text);
	assert_false(m->report.committed);
	assert_int_equal(m->src->state, VFM_STATE_RUNNING);
	assert_int_equal(m->dst->state, VFM_STATE_RUNNING);
}

static void check_moved(struct move *m, int ret)
{
	if (ret || m->half.ret)
		fail_msg("%s; %s", m->err.msg, m->half.err.msg);
	assert_int_equal(m->src->state, VFM_STATE_STOP);
	assert_int_equal(m->dst->state, VFM_STATE_RUNNING);
	assert_int_equal(m->dst->at, m->src->size);
	assert_int_equal(m->dst->resets, 0);
}

/* ---- that it works ---------------------------------------------------------- */

/* With the fewest buffers there are, and with all; plain, and compressed. */
static void all_arrives(void **state)
{
	static const uint64_t limits[] = { 1, LIMIT, 0, UINT64_MAX };
	static const size_t pieces[] = { 8, 4096, 0 };

	(void)state;
	for (int i = 0; i < 24; i++) {
		size_t piece = pieces[i % 3];
		struct move m;

		begin(&m, piece == 8 ? 16384 : 24 * MIB + 8, piece);
		m.opts.memory_limit = limits[i / 3 % 4];
		m.opts.compress = i / 12;
		check_moved(&m, move(&m));
		assert_int_equal(m.report.state_bytes, m.src->size);
		assert_int_equal(m.report.wire_bytes > m.src->size, !m.opts.compress || piece == 8);
		end(&m);
	}
}

/* ---- failures --------------------------------------------------------------- */

/* Each read of the source's device, with what was read before on its way. */
static void the_source_fails(void **state)
{
	(void)state;
	for (uint64_t at = 0; at <= 24 * MIB; at += MIB) {
		struct move m;

		begin(&m, 24 * MIB, 0);
		m.src->fail_at = at;
		check_back(&m, move(&m), -EIO, "stop-copy: flow: flow fails at ");
		/* It is told, behind the last record that was not torn. */
		assert_int_equal(m.half.ret, -EIO);
		assert_non_null(strstr(m.half.err.msg, "source: stop-copy: flow: flow fails"));
		end(&m);
	}
}

static void the_destination_fails(void **state)
{
	(void)state;
	for (uint64_t at = 0; at < 24 * MIB; at += MIB) {
		struct move m;

		begin(&m, 24 * MIB, 0);
		m.dst->fail_at = at;
		check_back(&m, move(&m), -EIO, "destination: data: flow: flow fails at ");
		assert_int_equal(m.dst->resets, 1);
		end(&m);
	}
}

static bool cut(bool reverse, unsigned int record, size_t bytes, enum relay_fault fault)
{
	struct relay relay = {
		.fault = fault, .reverse = reverse, .record = record, .bytes = bytes
	};
	struct move m;
	int ret;

	begin(&m, 40 * 4096, 4096);
	relay_start(&relay);
	m.half.fd = relay.fds[1];
	rig_receive_begin(&m.half);
	ret = vfm_migrate_send(&m.src->dev, NULL, relay.fds[0], &m.opts, &m.report, &m.err);
	rig_join(&m.half);
	relay_stop(&relay);
	assert_false(m.src->state == VFM_STATE_RUNNING && m.half.report.committed);
	if (ret && !m.report.committed)
		assert_int_equal(m.src->state, VFM_STATE_RUNNING);
	if (ret)
		assert_true(m.err.msg[0]);
	if (!relay.hit)
		check_moved(&m, ret);
	end(&m);
	return relay.hit;
}

/* Each of many records is the one at which the helper of either side fails. */
static void each_record(void **state)
{
	static const size_t bytes[] = { 0, 50 };
	unsigned int runs = 0;

	(void)state;
	for (int i = 0; i < 8; i++) {
		unsigned int record = 0;

		while (cut(i & 1, record, bytes[i / 2 & 1], i & 4 ? RELAY_FLIP : RELAY_CUT))
			assert_true(++record < 1000);
		runs += record;
	}
	print_message("# %u runs\n", runs);
	assert_true(runs > 160);
}

/* ---- full queues -------------------------------------------------------------- */

/* Until the source reads no more, as nobody takes it. */
static void wait_until_stuck(const struct flow *src)
{
	uint64_t before = UINT64_MAX;

	while (before != src->at || !before) {
		before = src->at;
		poll(NULL, 0, 50);
	}
}

struct stuck {
	const struct flow *src;
	uint64_t read; /* by the source then */
};

static void when_stuck(struct flow *dst)
{
	struct stuck *s = dst->user;

	wait_until_stuck(s->src);
	s->read = s->src->at;
	dst->hook = NULL;
}

static void begin_stuck(struct move *m, struct stuck *s)
{
	begin(m, 64 * MIB, 0);
	*s = (struct stuck){ .src = m->src };
	m->dst->hook = when_stuck;
	m->dst->user = s;
}

/* A source that is faster fills what it may, and no more; then all goes on. */
static void a_slow_destination(void **state)
{
	struct stuck s;
	struct move m;

	(void)state;
	begin_stuck(&m, &s);
	check_moved(&m, move(&m));
	assert_in_range(s.read, 4 * MIB, IN_FLIGHT);
	end(&m);
}

/* The source waits for a buffer, and hears at once that it is in vain. */
static void a_complaint_to_full_queues(void **state)
{
	struct stuck s;
	struct move m;

	(void)state;
	begin_stuck(&m, &s);
	m.dst->fail_at = 0;
	check_back(&m, move(&m), -EIO, "stop-copy: destination: data: flow: flow fails at 0");
	assert_true(m.src->at <= s.read + 2 * MIB);
	end(&m);
}

/* A peer that says READY and reads no more. */
static int send_to_nobody(struct move *m)
{
	struct vfm_stream_writer *w;
	int ret;

	rig_hello(m->fds[1], false);
	assert_int_equal(vfm_stream_writer_new(&w, m->fds[1], NULL, NULL), 0);
	assert_int_equal(vfm_stream_write(w, VFM_STREAM_READY, 0, 0, NULL, 0, NULL), 0);
	ret = move_send(m);
	vfm_stream_writer_free(w);
	return ret;
}

static void a_peer_that_does_not_read(void **state)
{
	struct move m;

	(void)state;
	begin(&m, 64 * MIB, 0);
	m.opts.timeout_ms = 50;
	check_back(&m, send_to_nobody(&m), -ETIMEDOUT,
		   "stop-copy: the destination was silent for 50 ms");
	assert_true(m.src->at <= IN_FLIGHT);
	end(&m);
}

struct cancel {
	int fd;
	uint64_t before;
};

/* Told a few times a second: nothing has moved since, so all is full. */
static void cancel_when_stuck(void *user, const struct vfm_migration_report *now)
{
	struct cancel *c = user;

	if (now->state_bytes && now->state_bytes == c->before)
		assert_int_equal(eventfd_write(c->fd, 1), 0);
	c->before = now->state_bytes;
}

static void cancelled_when_full(void **state)
{
	struct cancel c = { .fd = eventfd(0, EFD_CLOEXEC) };
	uint64_t start = vfm_now_ns();
	struct move m;

	(void)state;
	begin(&m, 64 * MIB, 0);
	m.opts.timeout_ms = 0;
	m.opts.cancel_fd = c.fd;
	m.opts.progress = cancel_when_stuck;
	m.opts.user = &c;
	check_back(&m, send_to_nobody(&m), -ECANCELED, "stop-copy: cancelled");
	/* Without a limit of its own the helper would wait for ever: it was stopped. */
	assert_true(vfm_now_ns() - start < UINT64_C(10000000000));
	end(&m);
	close(c.fd);
}

/* A destination that is cancelled while its device is behind leaves what is in the queue. */
static void cancel_destination(struct flow *dst)
{
	struct cancel *c = dst->user;

	if (dst->at >= 4 * MIB)
		assert_int_equal(eventfd_write(c->fd, 1), 0);
}

static void a_destination_that_is_cancelled(void **state)
{
	struct cancel c = { .fd = eventfd(0, EFD_CLOEXEC) };
	struct vfm_migrate_opts opts;
	struct move m;

	(void)state;
	begin(&m, 64 * MIB, 0);
	opts = m.opts;
	opts.cancel_fd = c.fd;
	m.half.opts = &opts;
	m.dst->hook = cancel_destination;
	m.dst->user = &c;
	check_back(&m, move(&m), -ECANCELED, "destination: data: cancelled");
	assert_int_equal(m.half.ret, -ECANCELED);
	assert_int_equal(m.dst->at, 5 * MIB);
	end(&m);
	close(c.fd);
}

/* Until the destination has read all that there is, whatever its device has taken of it. */
static void when_all_is_read(struct flow *dst)
{
	const int *fd = dst->user;
	int left = 1;

	while (left) {
		assert_int_equal(ioctl(*fd, FIONREAD, &left), 0);
		poll(NULL, 0, 20);
	}
	dst->hook = NULL;
}

/* What a source says that gives up after three records. */
static void say_and_abort(int fd, const struct vfm_identity *id)
{
	static const uint8_t no_memory[8], code[4], data[4096];
	struct vfm_stream_writer *w;

	rig_hello(fd, true);
	assert_int_equal(vfm_stream_writer_new(&w, fd, NULL, NULL), 0);
	assert_int_equal(vfm_stream_write_identity(w, 0, id, NULL), 0);
	assert_int_equal(vfm_stream_write(w, VFM_STREAM_MEMORY_MAP, 0, 0, no_memory, 8, NULL), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(vfm_stream_write(w, VFM_STREAM_DEVICE_DATA, 0, 0, data, 8, NULL),
				 0);
	assert_int_equal(vfm_stream_write(w, VFM_STREAM_ABORT, 0, 0, code, 4, NULL), 0);
	vfm_stream_writer_free(w);
}

/* The source gives up: that is not kept waiting by what the device has not taken yet. */
static void an_abort_overtakes(void **state)
{
	struct vfm_identity id;
	struct move m;

	(void)state;
	begin(&m, 24, 0);
	assert_int_equal(vfm_identity_get(&id, &m.src->dev, NULL), 0);
	m.dst->hook = when_all_is_read;
	m.dst->user = &m.fds[1];
	say_and_abort(m.fds[0], &id);
	rig_receive_begin(&m.half);
	assert_int_equal(rig_join(&m.half), -EREMOTEIO);
	assert_true(m.dst->at <= 8); /* the first may be taken before it is heard */
	assert_int_equal(m.dst->resets, 1);
	end(&m);
}

/* ---- resident memory ------------------------------------------------------------ */

/* Both halves are here, so it is twice the limit that must hold, and a little more. */
static void memory_does_not_grow(void **state)
{
	uint64_t before, after;
	struct move m;

	(void)state;
	begin(&m, PEAK_IS_OURS ? 1024 * MIB : 64 * MIB, 0);
	peak_resident();
	before = peak_resident();
	check_moved(&m, move(&m));
	after = peak_resident();
	print_message("# %llu MiB moved, resident %.1f MiB and then %.1f MiB at most\n",
		      (unsigned long long)(m.src->size / MIB), (double)before / MIB,
		      (double)after / MIB);
	if (PEAK_IS_OURS)
		assert_true(after <= before + 2 * LIMIT);
	end(&m);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_arrives),
		cmocka_unit_test(the_source_fails),
		cmocka_unit_test(the_destination_fails),
		cmocka_unit_test(each_record),
		cmocka_unit_test(a_slow_destination),
		cmocka_unit_test(a_complaint_to_full_queues),
		cmocka_unit_test(a_peer_that_does_not_read),
		cmocka_unit_test(cancelled_when_full),
		cmocka_unit_test(a_destination_that_is_cancelled),
		cmocka_unit_test(an_abort_overtakes),
		cmocka_unit_test(memory_does_not_grow),
	};

	return RUN_TESTS(tests);
}
