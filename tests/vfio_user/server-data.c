// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Data that is written reaches the device while it arrives, and however it arrives. */

#include "server-peer.h"

#include <errno.h>
#include <stdlib.h>

#include "base/util.h"

#define FIXED (VFM_VU_HEADER_SIZE + VFM_VU_MIG_DATA_SIZE)

/* A write of @size bytes of the session from @at, and room for what follows it. */
static uint8_t *make_write(uint16_t id, uint32_t size, size_t at)
{
	uint8_t *raw = malloc(FIXED + size + 64);
	uint32_t fixed[2] = { VFM_VU_MIG_DATA_SIZE + size, size };

	assert_non_null(raw);
	test_put_header(raw, id, VFM_VU_MIG_DATA_WRITE, FIXED + size, 0, 0);
	memcpy(raw + VFM_VU_HEADER_SIZE, fixed, sizeof(fixed));
	for (size_t i = 0; i < size; i++)
		raw[FIXED + i] = test_data_byte(at + i);
	return raw;
}

static void give(struct env *e, const uint8_t *raw, size_t len)
{
	test_send_raw(vfm_vu_conn_fd(e->conn), raw, len, NULL, 0);
	env_pump(e);
}

static void expect_reply(struct env *e, uint16_t id, uint16_t command, uint32_t error)
{
	assert_int_equal(vfm_vu_conn_recv(e->conn, &e->reply, NULL, NULL), 1);
	assert_int_equal(e->reply.id, id);
	assert_int_equal(e->reply.command, command);
	assert_int_equal(e->reply.error, error);
	assert_int_equal(!!(e->reply.flags & VFM_VU_ERROR), error != 0);
	vfm_vu_msg_close_fds(&e->reply);
}

static void expect_no_reply(struct env *e)
{
	assert_int_equal(vfm_vu_conn_recv(e->conn, &e->reply, NULL, NULL), 0);
}

static void check_written(struct env *e, size_t len)
{
	assert_int_equal(e->t->data_at, len);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(e->t->written[i], test_data_byte(i));
}

static void begin(struct env *e)
{
	e->t->fail = 0;
	assert_int_equal(set_state(e, VFM_STATE_RUNNING), 0);
	assert_int_equal(set_state(e, VFM_STATE_RESUMING), 0);
}

/* Pieces of one size, down to a few bytes, and a request that ends the last of them. */
static void dribbled(void **state)
{
	static const size_t pieces[] = { 37, 4096, 32767, 32768, 65536, 65537, 150000, 200000 };
	struct env *e = *state;

	for (size_t i = 0; i < VFM_ARRAY_SIZE(pieces); i++) {
		uint32_t size = i ? TEST_DATA_SIZE : 100000;
		uint8_t *raw = make_write(1, size, 0);
		size_t len = FIXED + size;
		bool early = false;

		begin(e);
		test_put_header(raw + len, 2, VFM_VU_DEVICE_RESET, VFM_VU_HEADER_SIZE, 0, 0);
		for (size_t at = 0; at < len; at += pieces[i]) {
			size_t n = VFM_MIN(pieces[i], len - at);
			bool last = at + n == len;

			assert_false(e->t->data_at > at);
			give(e, raw + at, n);
			early |= !last && e->t->data_at;
			if (!last)
				expect_no_reply(e);
		}
		assert_true(early);
		check_written(e, size);
		expect_reply(e, 1, VFM_VU_MIG_DATA_WRITE, 0);
		expect_no_reply(e);
		/* what follows a message in parts is the next one, also in the same piece */
		begin(e);
		give(e, raw, len / 2);
		give(e, raw + len / 2, len - len / 2 + 5);
		expect_reply(e, 1, VFM_VU_MIG_DATA_WRITE, 0);
		check_written(e, size);
		give(e, raw + len + 5, VFM_VU_HEADER_SIZE - 5);
		expect_reply(e, 2, VFM_VU_DEVICE_RESET, 0);
		free(raw);
	}
}

/* The first error is the answer to all of it, once, and nothing more reaches the device. */
static void error_in_the_middle(void **state)
{
	struct env *e = *state;
	uint8_t *raw = make_write(1, TEST_DATA_SIZE, 0);
	size_t len = FIXED + TEST_DATA_SIZE, written;
	unsigned int logged;

	begin(e);
	logged = e->logged;
	give(e, raw, 100000);
	written = e->t->data_at;
	assert_true(written > 0);
	e->t->fail = -ENOSPC;
	give(e, raw + 100000, 100000);
	expect_no_reply(e);
	assert_int_equal(e->logged, logged + 1);
	e->t->fail = 0; /* it must not be tried again */
	test_put_header(raw + len, 2, VFM_VU_DEVICE_RESET, VFM_VU_HEADER_SIZE, 0, 0);
	give(e, raw + 200000, len - 200000 + VFM_VU_HEADER_SIZE);
	expect_reply(e, 1, VFM_VU_MIG_DATA_WRITE, ENOSPC);
	expect_reply(e, 2, VFM_VU_DEVICE_RESET, 0);
	assert_int_equal(e->logged, logged + 1);
	free(raw);
	/* the next one is judged anew */
	raw = make_write(3, 100000, 0);
	begin(e);
	give(e, raw, 70000);
	give(e, raw + 70000, FIXED + 100000 - 70000);
	expect_reply(e, 3, VFM_VU_MIG_DATA_WRITE, 0);
	check_written(e, 100000);
	free(raw);
}

/* What is wrong with the request is found before its first byte reaches the device. */
static void refused_at_once(void **state)
{
	struct env *e = *state;
	uint8_t *raw = make_write(1, 200000, 0);
	uint32_t wrong = 199999;

	begin(e);
	memcpy(raw + VFM_VU_HEADER_SIZE + 4, &wrong, sizeof(wrong));
	give(e, raw, 100000);
	give(e, raw + 100000, FIXED + 100000);
	expect_reply(e, 1, VFM_VU_MIG_DATA_WRITE, EINVAL);
	assert_int_equal(e->t->data_at, 0);
	free(raw);
	/* not legal now, which only the device knows */
	raw = make_write(2, 200000, 0);
	assert_int_equal(set_state(e, VFM_STATE_RUNNING), 0);
	give(e, raw, 100000);
	give(e, raw + 100000, FIXED + 100000);
	expect_reply(e, 2, VFM_VU_MIG_DATA_WRITE, EINVAL);
	assert_int_equal(set_state(e, VFM_STATE_RUNNING), 0);
	free(raw);
}

/* A client that goes away in the middle leaves nothing to the next one. */
static void lost_in_the_middle(void **state)
{
	struct env *e = *state;
	uint8_t *raw = make_write(1, 200000, 0);

	for (int failed = 0; failed < 2; failed++) {
		begin(e);
		e->t->fail = failed ? -EIO : 0;
		give(e, raw, 100000);
		e->t->fail = 0;
		env_leave(e);
		env_pump(e);
		assert_non_null(strstr(e->last_log, "inside of a message"));
		env_join(e, EXTENDED);
		begin(e);
		give(e, raw, 100000);
		give(e, raw + 100000, FIXED + 100000);
		expect_reply(e, 1, VFM_VU_MIG_DATA_WRITE, 0);
		check_written(e, 200000);
	}
	free(raw);
}

/* Descriptors that nobody asked for, on the header and in the middle of the body. */
static void stray_fds(void **state)
{
	struct env *e = *state;
	uint8_t *raw = make_write(1, 200000, 0);
	int fds[2] = { eventfd(0, 0), eventfd(0, 0) };
	unsigned int before = test_count_fds();

	begin(e);
	test_send_raw(vfm_vu_conn_fd(e->conn), raw, 70000, fds, 2);
	env_pump(e);
	test_send_raw(vfm_vu_conn_fd(e->conn), raw + 70000, 50000, fds, 2);
	env_pump(e);
	assert_int_equal(test_count_fds(), before);
	give(e, raw + 120000, FIXED + 200000 - 120000);
	expect_reply(e, 1, VFM_VU_MIG_DATA_WRITE, 0);
	check_written(e, 200000);
	assert_int_equal(test_count_fds(), before);
	close(fds[0]);
	close(fds[1]);
	free(raw);
}

static int set_up(void **state)
{
	static struct env e;

	env_open(&e);
	env_join(&e, EXTENDED);
	*state = &e;
	return 0;
}

static int tear_down(void **state)
{
	env_close(*state);
	return 0;
}

#define SERVER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		SERVER_TEST(dribbled),	      SERVER_TEST(error_in_the_middle),
		SERVER_TEST(refused_at_once), SERVER_TEST(lost_in_the_middle),
		SERVER_TEST(stray_fds),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
