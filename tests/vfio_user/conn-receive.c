// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Any split of the byte stream is the same messages, and descriptors find theirs. */

#include "util.h"

#include <errno.h>
#include <stdlib.h>

#include "base/util.h"
#include "vfio_user/conn.h"

#define LIMIT 8192u

struct pair {
	struct vfm_vu_conn *conn;
	int peer;
	unsigned int fds_before;
};

static void pair_open(struct pair *p)
{
	int socks[2];

	p->fds_before = test_count_fds();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, socks), 0);
	assert_int_equal(vfm_vu_conn_new(&p->conn, socks[0], LIMIT, NULL), 0);
	p->peer = socks[1];
}

static void pair_close(struct pair *p)
{
	vfm_vu_conn_free(p->conn);
	if (p->peer >= 0)
		close(p->peer);
	assert_int_equal(test_count_fds(), p->fds_before);
}

static uint8_t pattern(uint16_t id, size_t at)
{
	return (uint8_t)(id * 131 + at * 7 + (at >> 8));
}

/* A command with a payload that tells its id. Returns its length. */
static size_t put_message(uint8_t *to, uint16_t id, size_t payload)
{
	size_t i;

	test_put_header(to, id, (uint16_t)(id + 100), (uint32_t)(16 + payload), 0, id + 7u);
	for (i = 0; i < payload; i++)
		to[16 + i] = pattern(id, i);
	return 16 + payload;
}

static void check_message(const struct vfm_vu_msg *msg, uint16_t id, size_t payload)
{
	size_t i;

	assert_int_equal(msg->id, id);
	assert_int_equal(msg->command, id + 100);
	assert_int_equal(msg->flags, 0);
	assert_int_equal(msg->error, id + 7u);
	assert_int_equal(msg->size, payload);
	assert_int_equal(msg->len, payload);
	assert_false(msg->oversize);
	for (i = 0; i < payload; i++)
		assert_int_equal(msg->payload[i], pattern(id, i));
}

static void expect(struct pair *p, uint16_t id, size_t payload)
{
	struct vfm_vu_msg msg;

	assert_int_equal(vfm_vu_conn_recv(p->conn, &msg, NULL, NULL), 1);
	check_message(&msg, id, payload);
	assert_int_equal(msg.nr_fds, 0);
	assert_false(msg.fds_lost);
}

static void expect_nothing(struct pair *p)
{
	struct vfm_vu_msg msg;

	assert_int_equal(vfm_vu_conn_recv(p->conn, &msg, NULL, NULL), 0);
}

static void byte_by_byte(void **state)
{
	uint8_t stream[256];
	size_t len, i;
	struct pair p;

	(void)state;
	pair_open(&p);
	len = put_message(stream, 1, 0);
	len += put_message(stream + len, 2, 33);
	len += put_message(stream + len, 3, 1);
	for (i = 0; i < len; i++) {
		assert_false(vfm_vu_conn_has_message(p.conn));
		test_send_raw(p.peer, stream + i, 1, NULL, 0);
		if (i == 15)
			expect(&p, 1, 0);
		else if (i == 16 + 48)
			expect(&p, 2, 33);
		else if (i == len - 1)
			expect(&p, 3, 1);
		else
			expect_nothing(&p);
	}
	pair_close(&p);
}

/* Descriptors travel on the sendmsg() that begins with the header of their message. */
static void send_cut(struct pair *p, const uint8_t *stream, size_t first, size_t len, size_t cut,
		     int on, const int *fds)
{
	size_t bounds[4] = { 0, VFM_MIN(first, cut), VFM_MAX(first, cut), len };
	int i;

	for (i = 0; i < 3; i++) {
		size_t n = bounds[i + 1] - bounds[i];
		bool begins = (on == 1 && bounds[i] == 0) || (on == 2 && bounds[i] == first);

		if (n)
			test_send_raw(p->peer, stream + bounds[i], n, fds, begins ? 2 : 0);
	}
}

static void check_fds(struct vfm_vu_msg *msg, const int *fds)
{
	assert_int_equal(msg->nr_fds, 2);
	test_same_eventfd(fds[0], msg->fds[0]);
	test_same_eventfd(fds[1], msg->fds[1]);
	vfm_vu_msg_close_fds(msg);
}

/* Every cut of two messages that wait together, with descriptors on either. @early: what is
 * there already is received between the pieces, too. */
static void every_cut(size_t one, size_t two, int on, bool early)
{
	int fds[2] = { eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK) };
	uint8_t stream[256];
	size_t first = put_message(stream, 1, one);
	size_t len = first + put_message(stream + first, 2, two);
	size_t cut;
	struct pair p;

	pair_open(&p);
	for (cut = 0; cut <= len; cut++) {
		struct vfm_vu_msg msg;

		if (early && cut < first) {
			test_send_raw(p.peer, stream, cut, fds, on == 1 && cut ? 2 : 0);
			expect_nothing(&p);
			test_send_raw(p.peer, stream + cut, first - cut, fds,
				      on == 1 && !cut ? 2 : 0);
			test_send_raw(p.peer, stream + first, len - first, fds, on == 2 ? 2 : 0);
		} else {
			send_cut(&p, stream, first, len, cut, on, fds);
		}
		assert_int_equal(vfm_vu_conn_recv(p.conn, &msg, NULL, NULL), 1);
		check_message(&msg, 1, one);
		if (on == 1)
			check_fds(&msg, fds);
		assert_int_equal(msg.nr_fds, 0);
		while (vfm_vu_conn_recv(p.conn, &msg, NULL, NULL) == 0)
			;
		check_message(&msg, 2, two);
		if (on == 2)
			check_fds(&msg, fds);
		assert_int_equal(msg.nr_fds, 0);
		expect_nothing(&p);
	}
	pair_close(&p);
	close(fds[0]);
	close(fds[1]);
}

static void cuts(void **state)
{
	int on;

	(void)state;
	for (on = 0; on <= 2; on++) {
		every_cut(0, 0, on, false);
		every_cut(5, 40, on, false);
		every_cut(40, 0, on, false);
		every_cut(40, 5, on, true);
	}
}

/* A piece that ends one message and begins the next, with the descriptors of the next. */
static void fds_on_second_header_of_a_piece(void **state)
{
	int fds[2] = { eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK) };
	uint8_t stream[256];
	size_t first = put_message(stream, 1, 20);
	size_t len = first + put_message(stream + first, 2, 20);
	struct vfm_vu_msg msg;
	struct pair p;

	(void)state;
	pair_open(&p);
	test_send_raw(p.peer, stream, 10, NULL, 0);
	expect_nothing(&p);
	test_send_raw(p.peer, stream + 10, len - 15, fds, 2);
	test_send_raw(p.peer, stream + len - 5, 5, NULL, 0);
	expect(&p, 1, 20);
	assert_int_equal(vfm_vu_conn_recv(p.conn, &msg, NULL, NULL), 1);
	check_message(&msg, 2, 20);
	check_fds(&msg, fds);
	pair_close(&p);
	close(fds[0]);
	close(fds[1]);
}

static void too_many_fds(void **state)
{
	uint8_t stream[64];
	size_t len = put_message(stream, 1, 20);
	struct vfm_vu_msg msg;
	struct pair p;
	int fds[40];
	unsigned int i, n;

	(void)state;
	for (i = 0; i < 40; i++)
		fds[i] = eventfd(0, 0);
	pair_open(&p);
	for (n = 1; n <= 40; n++) {
		test_send_raw(p.peer, stream, len, fds, n);
		assert_int_equal(vfm_vu_conn_recv(p.conn, &msg, NULL, NULL), 1);
		check_message(&msg, 1, 20);
		assert_int_equal(msg.fds_lost, n > VFM_VU_MAX_FDS);
		assert_int_equal(msg.nr_fds, n > VFM_VU_MAX_FDS ? 0 : n);
		vfm_vu_msg_close_fds(&msg);
		assert_int_equal(test_count_fds(), p.fds_before + 2);
	}
	/* dribbled: ten and ten on one message, and it stays lost when there are few again */
	test_send_raw(p.peer, stream, 4, fds, 10);
	test_send_raw(p.peer, stream + 4, 4, fds, 10);
	test_send_raw(p.peer, stream + 8, len - 8, fds, 3);
	while (vfm_vu_conn_recv(p.conn, &msg, NULL, NULL) == 0)
		;
	assert_true(msg.fds_lost);
	assert_int_equal(msg.nr_fds, 0);
	/* and those of a message that never becomes whole */
	test_send_raw(p.peer, stream, 4, fds, 10);
	expect_nothing(&p);
	pair_close(&p);
	for (i = 0; i < 40; i++)
		close(fds[i]);
}

static void oversize_is_drained(void **state)
{
	static const size_t sizes[] = { LIMIT + 1, LIMIT + 17, 100000, 300000 };
	uint8_t *stream = malloc(400000);
	struct pair p;
	size_t i;

	(void)state;
	assert_non_null(stream);
	for (i = 0; i < VFM_ARRAY_SIZE(sizes); i++) {
		size_t before = put_message(stream, 1, 12);
		size_t big = put_message(stream + before, 2, sizes[i]);
		size_t len = before + big + put_message(stream + before + big, 3, 40);
		size_t sent = 0;
		struct vfm_vu_msg msg;
		int seen = 0;

		pair_open(&p);
		while (seen < 3) {
			size_t n = VFM_MIN(len - sent, (size_t)7001);
			int ret;

			if (n)
				test_send_raw(p.peer, stream + sent, n, NULL, 0);
			sent += n;
			ret = vfm_vu_conn_recv(p.conn, &msg, NULL, NULL);
			assert_true(ret >= 0);
			if (!ret)
				continue;
			seen++;
			assert_int_equal(msg.id, seen);
			assert_int_equal(msg.oversize, seen == 2);
			if (seen == 2)
				assert_int_equal(msg.len, 0);
			else
				check_message(&msg, (uint16_t)seen, seen == 1 ? 12 : 40);
			assert_int_equal(msg.size, seen == 2 ? sizes[i] : msg.len);
		}
		pair_close(&p);
	}
	free(stream);
}

static void at_the_limit(void **state)
{
	uint8_t *stream = malloc(16 + LIMIT);
	size_t len = put_message(stream, 9, LIMIT);
	struct pair p;

	(void)state;
	pair_open(&p);
	test_send_raw(p.peer, stream, len, NULL, 0);
	expect(&p, 9, LIMIT);
	vfm_vu_conn_set_limit(p.conn, LIMIT - 1);
	test_send_raw(p.peer, stream, len, NULL, 0);
	test_send_raw(p.peer, stream, put_message(stream, 1, 3), NULL, 0);
	{
		struct vfm_vu_msg msg;

		assert_int_equal(vfm_vu_conn_recv(p.conn, &msg, NULL, NULL), 1);
		assert_true(msg.oversize);
	}
	expect(&p, 1, 3);
	pair_close(&p);
	free(stream);
}

static void broken_framing(void **state)
{
	static const struct {
		uint32_t size, flags;
	} bad[] = { { 0, 0 }, { 15, 0 }, { 16, 2 }, { 40, 15 }, { 16, 0xffffffff } };
	uint8_t stream[64];
	struct vfm_vu_msg msg;
	struct vfm_err err;
	struct pair p;
	size_t i, len;

	(void)state;
	for (i = 0; i < VFM_ARRAY_SIZE(bad); i++) {
		int fds[1] = { eventfd(0, 0) };

		pair_open(&p);
		len = put_message(stream, 1, 3);
		test_put_header(stream + len, 1, 1, bad[i].size, bad[i].flags, 0);
		test_send_raw(p.peer, stream, len, NULL, 0);
		test_send_raw(p.peer, stream + len, 16, fds, 1);
		expect(&p, 1, 3);
		assert_int_equal(vfm_vu_conn_recv(p.conn, &msg, NULL, &err), -EPROTO);
		assert_int_equal(err.code, -EPROTO);
		assert_int_equal(vfm_vu_conn_recv(p.conn, &msg, NULL, NULL), -EPROTO);
		pair_close(&p);
		close(fds[0]);
	}
}

static void ends(void **state)
{
	const struct vfm_wait wait = { .timeout_ms = 20, .cancel_fd = -1 };
	uint8_t stream[64];
	struct vfm_vu_msg msg;
	struct pair p;
	size_t len = put_message(stream, 1, 3), cut;

	(void)state;
	for (cut = 0; cut < len; cut++) {
		pair_open(&p);
		test_send_raw(p.peer, stream, len, NULL, 0);
		if (cut)
			test_send_raw(p.peer, stream, cut, NULL, 0);
		close(p.peer);
		p.peer = -1;
		expect(&p, 1, 3);
		assert_int_equal(vfm_vu_conn_recv(p.conn, &msg, &wait, NULL),
				 cut ? -ECONNRESET : -ENOTCONN);
		pair_close(&p);
	}
}

static void waiting(void **state)
{
	struct vfm_wait wait = { .timeout_ms = 10, .cancel_fd = -1 };
	uint8_t stream[64];
	struct vfm_vu_msg msg;
	struct pair p;

	(void)state;
	pair_open(&p);
	assert_int_equal(vfm_vu_conn_recv(p.conn, &msg, &wait, NULL), -ETIMEDOUT);
	test_send_raw(p.peer, stream, put_message(stream, 1, 3), NULL, 0);
	assert_int_equal(vfm_vu_conn_recv(p.conn, &msg, &wait, NULL), 1);
	wait.cancel_fd = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(vfm_vu_conn_recv(p.conn, &msg, &wait, NULL), -ETIMEDOUT);
	assert_int_equal(eventfd_write(wait.cancel_fd, 1), 0);
	assert_int_equal(vfm_vu_conn_recv(p.conn, &msg, &wait, NULL), -ECANCELED);
	close(wait.cancel_fd);
	pair_close(&p);
}

/* A reply of @payload bytes for a sink that keeps @skip of them in the message. */
struct sink_case {
	size_t before; /* payload of a command that comes first; 0: none */
	size_t payload, skip, room;
	bool after; /* a command behind it */
	size_t step;
	uint32_t flags;
};

static void run_sink(const struct sink_case *c)
{
	uint8_t *stream = malloc(2 * 70000), *into = malloc(c->room);
	struct vfm_vu_sink sink = { .id = 5, .skip = c->skip, .buf = into, .room = c->room };
	bool taken = !(c->flags & VFM_VU_ERROR) && c->payload > c->skip &&
		     c->payload - c->skip <= c->room;
	size_t len = 0, sent = 0, i;
	int seen = 0, want = 1 + (c->before > 0) + c->after;
	struct pair p;

	pair_open(&p);
	if (c->before)
		len += put_message(stream, 5, c->before);
	put_message(stream + len, 5, c->payload);
	test_put_header(stream + len, 5, 105, (uint32_t)(16 + c->payload), c->flags, 12);
	len += 16 + c->payload;
	if (c->after)
		len += put_message(stream + len, 6, 21);
	vfm_vu_conn_set_sink(p.conn, &sink);
	while (seen < want) {
		size_t n = VFM_MIN(len - sent, c->step);
		struct vfm_vu_msg msg;
		int ret;

		if (n)
			test_send_raw(p.peer, stream + sent, n, NULL, 0);
		sent += n;
		ret = vfm_vu_conn_recv(p.conn, &msg, NULL, NULL);
		assert_true(ret >= 0);
		if (!ret)
			continue;
		if (msg.flags == 0) {
			check_message(&msg, msg.id, msg.id == 6 ? 21 : c->before);
		} else {
			assert_int_equal(msg.size, c->payload);
			assert_int_equal(msg.len, taken ? c->skip : c->payload);
			assert_int_equal(sink.got, taken ? c->payload - c->skip : 0);
			for (i = 0; i < c->payload; i++)
				assert_int_equal(pattern(5, i),
						 i < msg.len ? msg.payload[i] : into[i - msg.len]);
		}
		seen++;
	}
	expect_nothing(&p);
	pair_close(&p);
	free(stream);
	free(into);
}

static void sinks(void **state)
{
	static const size_t payloads[] = { 0, 7, 8, 9, 30, 500, 3000 };
	static const size_t steps[] = { 1, 13, 100000 };
	struct sink_case c;
	size_t i, k, n;

	(void)state;
	for (i = 0; i < VFM_ARRAY_SIZE(payloads); i++) {
		for (k = 0; k < VFM_ARRAY_SIZE(steps); k++) {
			for (n = 0; n < 24; n++) {
				c = (struct sink_case){ .payload = payloads[i], .step = steps[k] };
				c.before = (size_t[]){ 0, 4, 600 }[n % 3];
				c.after = n / 3 % 2;
				c.skip = n / 6 % 2 ? 8 : 0;
				c.room = n / 12 ? 500 : 65536;
				c.flags = VFM_VU_REPLY;
				run_sink(&c);
				c.flags |= VFM_VU_ERROR;
				run_sink(&c);
			}
		}
	}
}

/* A sink that is taken away in the middle: the rest of its reply is thrown away. */
static void sink_taken_away(void **state)
{
	uint8_t stream[2000], into[1000];
	struct vfm_vu_sink sink = { .id = 5, .buf = into, .room = sizeof(into) };
	struct vfm_vu_msg msg;
	struct pair p;
	size_t len = put_message(stream, 5, 600);

	(void)state;
	test_put_header(stream, 5, 105, 616, VFM_VU_REPLY, 0);
	len += put_message(stream + len, 6, 21);
	pair_open(&p);
	vfm_vu_conn_set_sink(p.conn, &sink);
	test_send_raw(p.peer, stream, 300, NULL, 0);
	expect_nothing(&p);
	vfm_vu_conn_set_sink(p.conn, NULL);
	test_send_raw(p.peer, stream + 300, len - 300, NULL, 0);
	assert_int_equal(vfm_vu_conn_recv(p.conn, &msg, NULL, NULL), 1);
	assert_true(msg.oversize);
	while (vfm_vu_conn_recv(p.conn, &msg, NULL, NULL) == 0)
		;
	check_message(&msg, 6, 21);
	pair_close(&p);
}

/* A pinned payload stays while others come, whole ones and halves that were there before. */
static void pinned(void **state)
{
	uint8_t stream[3 * 8192];
	struct vfm_vu_msg msg, later;
	struct pair p;
	size_t len = put_message(stream, 1, 100);
	int i;

	(void)state;
	len += put_message(stream + len, 2, 8000);
	pair_open(&p);
	for (i = 0; i < 3; i++) {
		test_send_raw(p.peer, stream, 4000, NULL, 0);
		assert_int_equal(vfm_vu_conn_recv(p.conn, &msg, NULL, NULL), 1);
		assert_int_equal(vfm_vu_conn_pin(p.conn, NULL), 0);
		assert_int_equal(vfm_vu_conn_pin(p.conn, NULL), 0);
		test_send_raw(p.peer, stream + 4000, len - 4000, NULL, 0);
		assert_int_equal(vfm_vu_conn_recv(p.conn, &later, NULL, NULL), 1);
		check_message(&later, 2, 8000);
		check_message(&msg, 1, 100);
		vfm_vu_conn_unpin(p.conn);
	}
	pair_close(&p);
}

/* A random stream, sent in random pieces, received in random bursts. */
static void random_streams(void **state)
{
	uint8_t *stream = malloc(1 << 20);
	unsigned int round;

	(void)state;
	srandom(1);
	for (round = 0; round < 30; round++) {
		size_t sizes[64], len = 0, sent = 0;
		unsigned int n, next = 0, count = 1 + (unsigned int)random() % 64;
		struct pair p;

		for (n = 0; n < count; n++) {
			sizes[n] = (size_t)random() % (n % 4 ? 64 : 2 * LIMIT);
			len += put_message(stream + len, (uint16_t)n, sizes[n]);
		}
		pair_open(&p);
		while (next < count) {
			size_t burst = (size_t)random() % 9000;
			size_t piece = VFM_MIN(burst, len - sent);
			struct vfm_vu_msg msg;

			if (piece)
				test_send_raw(p.peer, stream + sent, piece, NULL, 0);
			sent += piece;
			while (vfm_vu_conn_recv(p.conn, &msg, NULL, NULL) == 1) {
				assert_int_equal(msg.oversize, sizes[next] > LIMIT);
				if (!msg.oversize)
					check_message(&msg, (uint16_t)next, sizes[next]);
				next++;
			}
		}
		pair_close(&p);
	}
	free(stream);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(byte_by_byte),
		cmocka_unit_test(cuts),
		cmocka_unit_test(fds_on_second_header_of_a_piece),
		cmocka_unit_test(too_many_fds),
		cmocka_unit_test(oversize_is_drained),
		cmocka_unit_test(at_the_limit),
		cmocka_unit_test(broken_framing),
		cmocka_unit_test(ends),
		cmocka_unit_test(waiting),
		cmocka_unit_test(sinks),
		cmocka_unit_test(sink_taken_away),
		cmocka_unit_test(pinned),
		cmocka_unit_test(random_streams),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
