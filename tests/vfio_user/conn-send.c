// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Sending: what does not fit is queued whole and in order, and two senders never block each other.
 */

#include "util.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "vfio_user/conn.h"

/* More than any socket buffer that a connection asks for. */
#define BIG (4u << 20)

static const struct vfm_wait patience = { .timeout_ms = 5000, .cancel_fd = -1 };

static void connect_two(struct vfm_vu_conn **a, struct vfm_vu_conn **b)
{
	int socks[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, socks), 0);
	assert_int_equal(vfm_vu_conn_new(a, socks[0], BIG, NULL), 0);
	assert_int_equal(vfm_vu_conn_new(b, socks[1], BIG, NULL), 0);
}

static uint8_t *big_payload(uint8_t seed)
{
	uint8_t *p = malloc(BIG);
	size_t i;

	assert_non_null(p);
	for (i = 0; i < BIG; i++)
		p[i] = (uint8_t)(seed + i * 3 + (i >> 9));
	return p;
}

static void pieces(void **state)
{
	struct vfm_vu_conn *a, *b;
	struct iovec body[6] = { { (void *)(uintptr_t) "ab", 2 },  { NULL, 0 },
				 { (void *)(uintptr_t) "cde", 3 }, { NULL, 0 },
				 { (void *)(uintptr_t) "f", 1 },   { (void *)(uintptr_t) "g", 1 } };
	struct vfm_vu_out out = { .id = 0xabcd, .command = 7, .flags = 0x31, .error = 22 };
	struct vfm_vu_msg msg;
	struct vfm_err err;

	(void)state;
	connect_two(&a, &b);
	out.body = body;
	for (out.nr_body = 0; out.nr_body <= 6; out.nr_body++) {
		assert_int_equal(vfm_vu_conn_send(a, &out, NULL, NULL), 0);
		assert_int_equal(vfm_vu_conn_recv(b, &msg, NULL, NULL), 1);
		assert_int_equal(msg.id, 0xabcd);
		assert_int_equal(msg.command, 7);
		assert_int_equal(msg.flags, 0x31);
		assert_int_equal(msg.error, 22);
		assert_int_equal(msg.len, ((int[]){ 0, 2, 2, 5, 5, 6, 7 })[out.nr_body]);
		assert_memory_equal(msg.payload, "abcdefg", msg.len);
	}
	assert_int_equal(vfm_vu_conn_send(a, &out, NULL, &err), -E2BIG);
	out.nr_body = 2;
	body[0].iov_len = body[1].iov_len = SIZE_MAX / 2;
	assert_int_equal(vfm_vu_conn_send(a, &out, NULL, &err), -EMSGSIZE);
	vfm_vu_conn_free(a);
	vfm_vu_conn_free(b);
}

static void check_big(struct vfm_vu_conn *conn, uint16_t id, const uint8_t *payload, int eventfd)
{
	struct vfm_vu_msg msg;

	assert_int_equal(vfm_vu_conn_recv(conn, &msg, &patience, NULL), 1);
	assert_int_equal(msg.id, id);
	assert_int_equal(msg.len, BIG);
	assert_memory_equal(msg.payload, payload, BIG);
	assert_int_equal(msg.nr_fds, 1);
	test_same_eventfd(eventfd, msg.fds[0]);
	vfm_vu_msg_close_fds(&msg);
}

/* Three messages that do not fit at all, each with a descriptor: in order, each with its own. */
static void queue(bool keep)
{
	unsigned int fds_before = test_count_fds();
	struct vfm_vu_conn *a, *b;
	uint8_t *payload = big_payload(1);
	struct iovec body = { payload, BIG };
	int fds[3], i;

	connect_two(&a, &b);
	assert_int_equal(vfm_vu_conn_flush(a, NULL), 1);
	for (i = 0; i < 3; i++) {
		struct vfm_vu_out out = { .id = (uint16_t)i, .body = &body, .nr_body = 1 };

		fds[i] = eventfd(0, EFD_NONBLOCK);
		out.fds = &fds[i];
		out.nr_fds = 1;
		out.keep = keep;
		assert_int_equal(vfm_vu_conn_send(a, &out, NULL, NULL), 0);
		assert_true(vfm_vu_conn_queued(a));
	}
	for (i = 0; i < 3; i++) {
		struct vfm_vu_msg msg;
		int ret;

		while ((ret = vfm_vu_conn_recv(b, &msg, NULL, NULL)) == 0)
			assert_true(vfm_vu_conn_flush(a, NULL) >= 0);
		assert_int_equal(ret, 1);
		assert_int_equal(msg.id, i);
		assert_memory_equal(msg.payload, payload, BIG);
		assert_int_equal(msg.nr_fds, 1);
		test_same_eventfd(fds[i], msg.fds[0]);
		vfm_vu_msg_close_fds(&msg);
		close(fds[i]);
	}
	assert_int_equal(vfm_vu_conn_flush(a, NULL), 1);
	assert_false(vfm_vu_conn_queued(a));
	vfm_vu_conn_free(a);
	vfm_vu_conn_free(b);
	free(payload);
	assert_int_equal(test_count_fds(), fds_before);
}

static void queue_of_copies(void **state)
{
	(void)state;
	queue(false);
}

static void queue_of_references(void **state)
{
	(void)state;
	queue(true);
}

/* Freed with a queue: nothing leaks. */
static void queue_thrown_away(void **state)
{
	unsigned int fds_before = test_count_fds();
	struct vfm_vu_conn *a, *b;
	uint8_t *payload = big_payload(1);
	struct iovec body = { payload, BIG };
	int fd = eventfd(0, 0), i;
	struct vfm_vu_out out = { .body = &body, .nr_body = 1, .fds = &fd, .nr_fds = 1 };

	(void)state;
	connect_two(&a, &b);
	for (i = 0; i < 4; i++)
		assert_int_equal(vfm_vu_conn_send(a, &out, NULL, NULL), 0);
	vfm_vu_conn_free(a);
	vfm_vu_conn_free(b);
	free(payload);
	close(fd);
	assert_int_equal(test_count_fds(), fds_before);
}

struct side {
	struct vfm_vu_conn *conn;
	const uint8_t *sends, *expects;
	unsigned int rounds;
	int sends_fd, expects_fd;
};

static void *send_and_receive(void *user)
{
	struct side *side = user;
	struct iovec body[2] = { { (void *)(uintptr_t)side->sends, 10 },
				 { (void *)(uintptr_t)(side->sends + 10), BIG - 10 } };
	unsigned int i;

	for (i = 0; i < side->rounds; i++) {
		struct vfm_vu_out out = { .id = (uint16_t)i, .body = body, .nr_body = 2 };

		out.fds = &side->sends_fd;
		out.nr_fds = 1;
		assert_int_equal(vfm_vu_conn_send(side->conn, &out, &patience, NULL), 0);
		check_big(side->conn, (uint16_t)i, side->expects, side->expects_fd);
	}
	return NULL;
}

/* Both ends send 4 MiB at once, and nobody receives before it has sent. */
static void no_deadlock(void **state)
{
	uint8_t *one = big_payload(1), *two = big_payload(2);
	int fds[2] = { eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK) };
	struct side a = { NULL, one, two, 20, fds[0], fds[1] };
	struct side b = { NULL, two, one, 20, fds[1], fds[0] };
	pthread_t thread;
	struct vfm_vu_conn *ca, *cb;

	(void)state;
	connect_two(&ca, &cb);
	a.conn = ca;
	b.conn = cb;
	assert_int_equal(pthread_create(&thread, NULL, send_and_receive, &b), 0);
	send_and_receive(&a);
	pthread_join(thread, NULL);
	vfm_vu_conn_free(ca);
	vfm_vu_conn_free(cb);
	close(fds[0]);
	close(fds[1]);
	free(one);
	free(two);
}

static void nobody_takes_it(void **state)
{
	struct vfm_wait wait = { .timeout_ms = 20, .cancel_fd = -1 };
	uint8_t *payload = big_payload(1);
	struct iovec body = { payload, BIG };
	struct vfm_vu_out out = { .command = 3, .body = &body, .nr_body = 1 };
	struct vfm_vu_conn *a, *b;
	struct vfm_err err;

	(void)state;
	connect_two(&a, &b);
	assert_int_equal(vfm_vu_conn_send(a, &out, &wait, &err), -ETIMEDOUT);
	wait.cancel_fd = eventfd(1, 0);
	assert_int_equal(vfm_vu_conn_send(a, &out, &wait, &err), -ECANCELED);
	vfm_vu_conn_free(b);
	assert_int_equal(vfm_vu_conn_send(a, &out, &wait, &err), -ECONNRESET);
	assert_int_equal(vfm_vu_conn_send(a, &out, NULL, &err), -ECONNRESET);
	close(wait.cancel_fd);
	vfm_vu_conn_free(a);
	free(payload);
}

/* A peer that sends without end while we wait to send: our memory stays bounded. */
static void flooded(void **state)
{
	struct vfm_wait wait = { .timeout_ms = 20, .cancel_fd = -1 };
	uint8_t *payload = big_payload(1);
	struct iovec body = { payload, BIG };
	struct vfm_vu_out out = { .command = 3, .body = &body, .nr_body = 1 };
	struct vfm_vu_conn *a, *b;
	int i, queued = 0;

	(void)state;
	connect_two(&a, &b);
	for (i = 0; i < 16; i++)
		assert_int_equal(vfm_vu_conn_send(b, &out, NULL, NULL), 0);
	for (i = 0; i < 64 && vfm_vu_conn_queued(b); i++) {
		assert_int_equal(vfm_vu_conn_send(a, &out, &wait, NULL), -ETIMEDOUT);
		assert_true(vfm_vu_conn_flush(b, NULL) >= 0);
		queued = i;
	}
	assert_int_equal(queued, 63);
	for (i = 0; i < 2; i++)
		assert_true(vfm_vu_conn_has_message(a));
	vfm_vu_conn_free(a);
	vfm_vu_conn_free(b);
	free(payload);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces),
		cmocka_unit_test(queue_of_copies),
		cmocka_unit_test(queue_of_references),
		cmocka_unit_test(queue_thrown_away),
		cmocka_unit_test(no_deadlock),
		cmocka_unit_test(nobody_takes_it),
		cmocka_unit_test(flooded),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
