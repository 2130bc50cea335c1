// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The hello: what is none, of whatever length and speed, ends in an error before
 * the device is asked anything; and two sides that do not agree both say so.
 */

#include "rig.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/util.h"
#include "engine/engine.h"
#include "engine/hello.h"

/* The example of docs/wire.md. */
static const uint8_t example[VFM_HELLO_SIZE] = {
	0x89, 0x56, 0x46, 0x57, 0x0d, 0x0a, 0x1a, 0x0a, 0x01, 0x00, 0x01, 0x00, 0x40,
	0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x01,
	0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e,
	0x0f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0xc0, 0x9a, 0x4e, 0xfc, 0xa3, 0x66, 0xa0, 0x01,
};

/* And that of its third connection. */
static const uint8_t channel_example[VFM_HELLO_SIZE] = {
	0x89, 0x56, 0x46, 0x57, 0x0d, 0x0a, 0x1a, 0x0a, 0x02, 0x00, 0x02, 0x00, 0x40,
	0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x01,
	0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e,
	0x0f, 0x04, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x39, 0x72, 0xfe, 0xf5, 0x04, 0x8f, 0xe6, 0xb2,
};

static struct vfm_hello hello_of(uint32_t role, uint32_t flags)
{
	return (struct vfm_hello){
		.version = 1, .compat_version = 1, .flags = flags, .role = role
	};
}

static void the_example(void **state)
{
	struct vfm_hello hello = hello_of(VFM_HELLO_SOURCE, VFM_HELLO_TLS), back;
	uint8_t wire[VFM_HELLO_SIZE];

	(void)state;
	for (int i = 0; i < VFM_HELLO_SESSION_SIZE; i++)
		hello.session[i] = (uint8_t)i;
	vfm_hello_to_wire(&hello, wire);
	assert_memory_equal(wire, example, sizeof(wire));
	assert_int_equal(vfm_hello_from_wire(&back, wire, "source", NULL), 0);
	assert_memory_equal(&back, &hello, sizeof(back));
	hello.version = hello.compat_version = 2;
	hello.channels = 4;
	hello.channel = 2;
	vfm_hello_to_wire(&hello, wire);
	assert_memory_equal(wire, channel_example, sizeof(wire));
	assert_int_equal(vfm_hello_from_wire(&back, wire, "source", NULL), 0);
	assert_memory_equal(&back, &hello, sizeof(back));
}

static void every_bit_counts(void **state)
{
	struct vfm_hello hello;
	struct vfm_err err;

	(void)state;
	for (unsigned int bit = 0; bit < 8 * VFM_HELLO_SIZE; bit++) {
		uint8_t wire[VFM_HELLO_SIZE];

		memcpy(wire, example, sizeof(wire));
		wire[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(vfm_hello_from_wire(&hello, wire, "source", &err), -EPROTO);
		assert_non_null(strstr(err.msg, bit < 64 ? "does not speak" : "is damaged"));
	}
}

/* Fields that are right by checksum and wrong by meaning. */
static void fields_that_make_no_sense(void **state)
{
	static const struct {
		const uint8_t *hello;
		size_t at, size;
		uint32_t value;
		int expect;
	} fields[] = {
		{ example, 8, 2, 0, -EPROTO },
		{ example, 8, 2, 7, 0 },
		{ example, 10, 2, 0, -EPROTO },
		{ example, 10, 2, 2, -EPROTO },
		{ example, 8, 4, 2 | 1 << 16, 0 },
		{ example, 8, 4, 2 | 2 << 16, 0 },
		{ example, 8, 4, 3 | 2 << 16, 0 },
		{ example, 8, 4, 3 | 3 << 16, -EOPNOTSUPP },
		{ example, 12, 4, 0, -EPROTO },
		{ example, 12, 4, 65, -EPROTO },
		{ example, 16, 4, 0, 0 },
		{ example, 16, 4, 2, -EOPNOTSUPP },
		{ example, 16, 4, 3, -EOPNOTSUPP },
		{ example, 16, 4, UINT32_MAX, -EOPNOTSUPP },
		{ example, 24, 4, UINT32_MAX, 0 },
		/* version 1 knows no channels */
		{ example, 40, 1, 1, -EPROTO },
		{ example, 42, 1, 1, -EPROTO },
		{ example, 55, 1, 1, -EPROTO },
		{ channel_example, 8, 4, 1 | 1 << 16, -EPROTO },
		/* how many, and which, is for others to judge */
		{ channel_example, 40, 2, 0, 0 },
		{ channel_example, 40, 2, UINT16_MAX, 0 },
		{ channel_example, 42, 2, UINT16_MAX, 0 },
		{ channel_example, 44, 1, 1, -EPROTO },
		{ channel_example, 55, 1, 1, -EPROTO },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(fields); i++) {
		struct vfm_hello hello;
		uint8_t wire[VFM_HELLO_SIZE];
		struct vfm_writer w;
		uint32_t value = htole32(fields[i].value);

		memcpy(wire, fields[i].hello, sizeof(wire));
		memcpy(wire + fields[i].at, &value, fields[i].size);
		w = vfm_writer_of(wire + 56, 8);
		vfm_write_le64(&w, vfm_checksum(wire, 56, 0));
		if (vfm_hello_from_wire(&hello, wire, "source", NULL) != fields[i].expect)
			fail_msg("field %zu", i);
	}
}

static void who_agrees_with_whom(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 16; i++) {
		struct vfm_hello a = hello_of(1 + (i & 1), i >> 1 & 1);
		struct vfm_hello b = hello_of(1 + (i >> 2 & 1), i >> 3 & 1);
		struct vfm_err err = { 0 };
		int expect = a.role == b.role ? -EPROTO : a.flags != b.flags ? -EOPNOTSUPP : 0;

		assert_int_equal(vfm_hello_agree(&a, &b, "peer", &err), expect);
		if (expect == -EOPNOTSUPP)
			assert_non_null(strstr(err.msg, a.flags ? "we want TLS" : "wants TLS"));
	}
}

static void how_many_channels(void **state)
{
	static const struct {
		uint16_t ours, theirs;
		unsigned int both;
	} cases[] = { { 0, 0, 1 },  { 1, 0, 1 }, { 4, 0, 1 },		{ 4, 1, 1 },
		      { 4, 16, 4 }, { 9, 2, 2 }, { 16, UINT16_MAX, 16 } };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(cases); i++) {
		const struct vfm_hello a = { .channels = cases[i].ours };
		const struct vfm_hello b = { .channels = cases[i].theirs };

		assert_int_equal(vfm_hello_channels(&a, &b), cases[i].both);
		assert_int_equal(vfm_hello_channels(&b, &a), cases[i].both);
	}
}

/* Each bit of the session counts, and so do the other fields; which channel it is does not. */
static void whose_channel_it_is(void **state)
{
	const struct vfm_hello ours = hello_of(VFM_HELLO_DESTINATION, VFM_HELLO_TLS);
	uint8_t session[VFM_HELLO_SESSION_SIZE];
	struct vfm_hello theirs, wrong;

	(void)state;
	assert_int_equal(vfm_hello_from_wire(&theirs, channel_example, "source", NULL), 0);
	memcpy(session, theirs.session, sizeof(session));
	assert_true(vfm_hello_is_channel(&ours, &theirs, session));
	for (unsigned int bit = 0; bit < 8 * sizeof(session); bit++) {
		session[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(vfm_hello_is_channel(&ours, &theirs, session));
		session[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	wrong = theirs;
	wrong.role = VFM_HELLO_DESTINATION;
	assert_false(vfm_hello_is_channel(&ours, &wrong, session));
	wrong = theirs;
	wrong.flags = 0;
	assert_false(vfm_hello_is_channel(&ours, &wrong, session));
	wrong = theirs;
	wrong.channel = 0;
	assert_false(vfm_hello_is_channel(&ours, &wrong, session));
	theirs.channel = 3;
	assert_true(vfm_hello_is_channel(&ours, &theirs, session));
	/* and as a first one it is refused */
	assert_int_equal(vfm_hello_agree(&ours, &theirs, "source", NULL), -EPROTO);
}

/* ---- over a socket ---------------------------------------------------------- */

/* What either side makes of a peer that says @len of @bytes, and then hangs up or is silent. */
static int meet(bool sink, const uint8_t *bytes, size_t len, bool hang_up, unsigned int timeout_ms,
		struct vfm_err *err)
{
	struct vfm_migrate_opts opts = rig_opts();
	unsigned int calls;
	int fds[2], ret;
	struct rig r;

	rig_open(&r, "state=64K", 0);
	rig_start(&r, 0);
	opts.timeout_ms = timeout_ms;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(send(fds[1], bytes, len, MSG_NOSIGNAL), (ssize_t)len);
	if (hang_up)
		shutdown(fds[1], SHUT_WR);
	calls = r.wd->calls;
	if (sink)
		ret = vfm_migrate_receive(&r.wd->dev, NULL, fds[0], &opts, &r.report, err);
	else
		ret = vfm_migrate_send(&r.ws->dev, NULL, fds[0], &opts, &r.report, err);
	assert_false(r.report.connected);
	assert_true(r.report.total_us < 8000000); /* nobody waits without need */
	/* A destination is asked for its state, for the report, and for nothing else. */
	assert_int_equal(r.wd->calls - calls, sink ? 1 : 0);
	assert_true(rig_owns(r.src));
	close(fds[0]);
	close(fds[1]);
	rig_close(&r);
	return ret;
}

static void every_length(void **state)
{
	struct vfm_err err;

	(void)state;
	for (size_t len = 0; len < VFM_HELLO_SIZE; len++) {
		for (int sink = 0; sink < 2; sink++) {
			assert_int_equal(meet(sink, example, len, true, 10000, &err), -ECONNRESET);
			assert_non_null(strstr(err.msg, "has closed the connection"));
			if (len % 21)
				continue;
			assert_int_equal(meet(sink, example, len, false, 20, &err), -ETIMEDOUT);
			assert_non_null(strstr(err.msg, "hello was not done within 20 ms"));
		}
	}
}

/* Somebody else is told by the first byte that is wrong, however little there is. */
static void foreigners_are_not_waited_for(void **state)
{
	static const char *const words[] = { "G", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01",
					     "\x89VFM\r\n\x1a\n", "\x89VFW\r\n\x1a\r" };
	struct vfm_err err;

	(void)state;
	for (size_t i = 0; i < 2 * VFM_ARRAY_SIZE(words); i++) {
		const char *word = words[i / 2];

		assert_int_equal(meet(i & 1, (const uint8_t *)word, strlen(word), false, 10000,
				      &err),
				 -EPROTO);
		assert_non_null(strstr(err.msg, "does not speak the protocol of vfmig"));
	}
}

/* One byte at a time, each in time: the limit is for all of them. */
static void *drip(void *arg)
{
	int fd = *(int *)arg;

	for (size_t i = 0; i < sizeof(example); i++) {
		if (send(fd, example + i, 1, MSG_NOSIGNAL) != 1)
			break;
		poll(NULL, 0, 50);
	}
	return NULL;
}

static void a_slow_hello_is_cut_off(void **state)
{
	struct vfm_migrate_opts opts = rig_opts();
	pthread_t thread;
	struct rig r;
	int fds[2];

	(void)state;
	rig_open(&r, "state=64K", 0);
	opts.timeout_ms = 100;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(pthread_create(&thread, NULL, drip, &fds[1]), 0);
	assert_int_equal(vfm_migrate_receive(&r.wd->dev, NULL, fds[0], &opts, &r.report, &r.err),
			 -ETIMEDOUT);
	assert_non_null(strstr(r.err.msg, "hello was not done within 100 ms"));
	assert_true(r.report.total_us < 3000000); /* 64 times 50 ms */
	close(fds[0]);
	pthread_join(thread, NULL);
	close(fds[1]);
	rig_close(&r);
}

/* The limit is for all of it together: bytes that come in time do not make it longer. */
static void the_deadline_is_one(void **state)
{
	struct vfm_engine e;
	struct rig r;
	int fds[2];

	(void)state;
	rig_open(&r, "state=64K", 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_int_equal(vfm_engine_init(&e, &VFM_UNIT_OF(r.dst, NULL), fds[0], NULL), 0);
	assert_int_equal(vfm_engine_wait(&e, fds[0], POLLIN), 0);
	e.deadline_ns = vfm_now_ns();
	assert_int_equal(vfm_engine_wait(&e, fds[0], POLLIN), -ETIMEDOUT);
	assert_int_equal(vfm_engine_finish(&e, -ETIMEDOUT, NULL, NULL), -ETIMEDOUT);
	close(fds[0]);
	close(fds[1]);
	rig_close(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example),
		cmocka_unit_test(every_bit_counts),
		cmocka_unit_test(fields_that_make_no_sense),
		cmocka_unit_test(who_agrees_with_whom),
		cmocka_unit_test(how_many_channels),
		cmocka_unit_test(whose_channel_it_is),
		cmocka_unit_test(every_length),
		cmocka_unit_test(foreigners_are_not_waited_for),
		cmocka_unit_test(a_slow_hello_is_cut_off),
		cmocka_unit_test(the_deadline_is_one),
	};

	return RUN_TESTS(tests);
}
