// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * How further channels come to be: with peers that know none, with strangers who connect in
 * between, and with peers that break the rules. No TLS here: whoever knows the session of the first
 * connection is who made that; join-tls.c has those who know it and are somebody else.
 */

#include "links.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "engine/hello.h"

#define MIB (UINT64_C(1) << 20)

static void make_pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static void say(int fd, const struct vfm_hello *hello)
{
	uint8_t wire[VFM_HELLO_SIZE];

	vfm_hello_to_wire(hello, wire);
	assert_int_equal(send(fd, wire, sizeof(wire), MSG_NOSIGNAL), sizeof(wire));
}

/* False: the other side has closed the connection, and said nothing. */
static bool hear(int fd, struct vfm_hello *hello)
{
	uint8_t wire[VFM_HELLO_SIZE];
	ssize_t n = recv(fd, wire, sizeof(wire), MSG_WAITALL);

	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return false;
	assert_int_equal(n, sizeof(wire));
	assert_int_equal(vfm_hello_from_wire(hello, wire, "peer", NULL), 0);
	return true;
}

/* What somebody says first who takes @channels. */
static struct vfm_hello first_hello(uint32_t role, uint16_t channels)
{
	return (struct vfm_hello){ .version = 2,
				   .compat_version = 1,
				   .role = role,
				   .session = { 1, 2, 3 },
				   .channels = channels };
}

/* ---- peers of version 1 ------------------------------------------------------ */

/* A destination that speaks version 1: it takes the identity and then gives up. */
static void *old_destination(void *arg)
{
	const struct vfm_hello hello = { .version = 1,
					 .compat_version = 1,
					 .role = VFM_HELLO_DESTINATION };
	static const uint8_t code[4] = { ENOSPC };
	int fd = *(int *)arg;
	struct vfm_hello theirs;
	struct vfm_stream_record record;
	struct vfm_stream_reader *r;
	struct vfm_stream_writer *w;

	hear(fd, &theirs);
	say(fd, &hello);
	/* A whole stream, not one of several: or this fails. */
	if (vfm_stream_reader_new(&r, fd, NULL, NULL) || vfm_stream_read(r, &record, NULL) != 1 ||
	    record.type != VFM_STREAM_IDENTITY)
		return NULL;
	if (!vfm_stream_writer_new(&w, fd, NULL, NULL)) {
		assert_int_equal(vfm_stream_write(w, VFM_STREAM_ABORT, 0, 0, code, 4, NULL), 0);
		vfm_stream_writer_free(w);
	}
	vfm_stream_reader_free(r);
	return NULL;
}

static void a_destination_of_version_1(void **state)
{
	pthread_t thread;
	struct links l;

	(void)state;
	links_open(&l, 4, MIB, 0);
	assert_int_equal(pthread_create(&thread, NULL, old_destination, &l.ends[1].fds[0]), 0);
	assert_int_equal(vfm_migrate_send(&l.src->dev, NULL, l.ends[0].fds[0], &l.opts[0],
					  &l.report, &l.err),
			 -ENOSPC);
	pthread_join(thread, NULL);
	assert_int_equal(l.report.channels, 1);
	assert_int_equal(l.ends[0].used, 1);
	assert_int_equal(l.src->state, VFM_STATE_RUNNING);
	links_close(&l);
}

static void a_source_of_version_1(void **state)
{
	const struct vfm_hello hello = { .version = 1,
					 .compat_version = 1,
					 .role = VFM_HELLO_SOURCE };
	struct vfm_stream_writer *w;
	struct links l;

	(void)state;
	links_open(&l, 4, MIB, 0);
	say(l.ends[0].fds[0], &hello);
	assert_int_equal(vfm_stream_writer_new(&w, l.ends[0].fds[0], NULL, NULL), 0);
	vfm_stream_writer_free(w);
	shutdown(l.ends[0].fds[0], SHUT_WR);
	l.half.fd = l.ends[1].fds[0];
	rig_receive_begin(&l.half);
	assert_int_equal(rig_join(&l.half), -ECONNRESET);
	assert_int_equal(l.half.report.channels, 1);
	assert_true(l.half.report.connected);
	assert_int_equal(l.ends[1].used, 1);
	links_close(&l);
}

/* ---- strangers ----------------------------------------------------------------- */

enum stray {
	GONE,	     /* closes at once */
	GARBAGE,     /* speaks something else */
	SILENT,	     /* says nothing */
	HALF,	     /* says half of a hello and waits */
	FIRST,	     /* wants a migration of its own */
	OLD,	     /* the same, in version 1 */
	GUESS,	     /* a channel of a session that it does not know */
	OURS,	     /* a channel of the session that the source has said, not of the other */
	DESTINATION, /* is none of these, but another destination */
	NR_STRAYS,
};

/* struct crowd - who connects to a destination, in this order; and then the source does */
struct crowd {
	struct links_end *end;
	enum stray kind;
	unsigned int count, came;
	int theirs[80];
};

static void be_stray(int fd, enum stray kind)
{
	struct vfm_hello hello = first_hello(VFM_HELLO_SOURCE, 4);

	if (kind == OLD)
		hello.version = hello.channels = 1;
	if (kind == OLD)
		hello.channels = 0;
	if (kind == DESTINATION)
		hello.role = VFM_HELLO_DESTINATION;
	if (kind >= GUESS) {
		hello.compat_version = 2;
		hello.channel = 1;
	}
	switch (kind) {
	case GONE:
		shutdown(fd, SHUT_RDWR);
		break;
	case GARBAGE:
		assert_int_equal(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 18);
		break;
	case SILENT:
		break;
	case HALF:
		assert_int_equal(send(fd, VFM_HELLO_MAGIC "\x02\x00", 10, MSG_NOSIGNAL), 10);
		break;
	default:
		say(fd, &hello);
	}
}

static int crowded(void *user, unsigned int timeout_ms, struct vfm_err *err)
{
	struct crowd *c = user;
	int fds[2];

	if (c->came == c->count)
		return links_next(c->end, timeout_ms, err);
	make_pair(fds);
	be_stray(fds[1], c->kind);
	c->theirs[c->came++] = fds[1];
	return fds[0];
}

/* They were told nothing, and no one is kept. */
static void check_crowd(const struct crowd *c)
{
	for (unsigned int i = 0; i < c->came; i++) {
		struct vfm_hello hello;

		assert_false(hear(c->theirs[i], &hello));
		close(c->theirs[i]);
	}
}

static void strangers_are_passed_over(void **state)
{
	(void)state;
	for (int kind = 0; kind < NR_STRAYS; kind++) {
		struct crowd crowd = { .kind = (enum stray)kind, .count = 2 };
		struct links l;

		links_open(&l, 3, 4 * MIB, 0);
		l.open_fds += 2;
		crowd.end = &l.ends[1];
		l.opts[1].open_channel = crowded;
		l.opts[1].channel_user = &crowd;
		links_check_moved(&l, links_move(&l));
		assert_int_equal(l.half.report.channels, 3);
		assert_int_equal(crowd.came, 2);
		links_close(&l);
		check_crowd(&crowd);
	}
}

/* Not for ever: neither how many they are, nor how long they take. */
static void too_many_strangers(void **state)
{
	static const struct {
		enum stray kind;
		unsigned int timeout_ms, came;
	} cases[] = { { GUESS, 30000, 64 }, { SILENT, 2500, 3 } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct crowd crowd = { .kind = cases[i].kind, .count = 80 };
		struct links l;
		int ret;

		links_open(&l, 3, 4 * MIB, 0);
		l.open_fds += cases[i].came;
		crowd.end = &l.ends[1];
		l.opts[1].timeout_ms = cases[i].timeout_ms;
		l.opts[0].timeout_ms = 3000;
		l.opts[1].open_channel = crowded;
		l.opts[1].channel_user = &crowd;
		ret = links_move(&l);
		links_check_back(&l, ret);
		assert_int_equal(l.half.ret, -ETIMEDOUT);
		assert_non_null(strstr(l.half.err.msg, "did who are not the source"));
		assert_false(l.half.report.connected);
		assert_int_equal(crowd.came, cases[i].came);
		links_close(&l);
		check_crowd(&crowd);
	}
}

static void nobody_comes(void **state)
{
	struct links l;
	int ret;

	(void)state;
	links_open(&l, 3, 4 * MIB, 0);
	shutdown(l.ends[0].fds[2], SHUT_RDWR);
	close(l.ends[1].fds[--l.ends[1].count]);
	ret = links_move(&l);
	links_check_back(&l, ret);
	assert_int_equal(l.half.ret, -ETIMEDOUT);
	assert_non_null(
		strstr(l.half.err.msg,
		       "setup: channel 2: the source did not connect again within 30000 ms"));
	l.ends[0].count = 3;
	links_close(&l);
}

static int cancels(void *user, unsigned int timeout_ms, struct vfm_err *err)
{
	(void)user;
	(void)timeout_ms;
	return vfm_fail(err, -ECANCELED, "cancelled");
}

/* A cancellation is none of them, whoever hears of it. */
static void cancelled_meanwhile(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct crowd crowd = { .kind = SILENT, .count = 80 };
		int fd = eventfd(1, EFD_CLOEXEC);
		struct links l;
		int ret;

		links_open(&l, 3, 4 * MIB, 0);
		crowd.end = &l.ends[1];
		l.opts[0].timeout_ms = 1000;
		l.opts[1].open_channel = i ? crowded : cancels;
		l.opts[1].channel_user = &crowd;
		if (i)
			l.opts[1].cancel_fd = fd;
		ret = links_move(&l);
		links_check_back(&l, ret);
		assert_int_equal(l.half.ret, -ECANCELED);
		assert_true(crowd.came <= 1);
		for (unsigned int j = 0; j < crowd.came; j++)
			close(crowd.theirs[j]);
		links_close(&l);
		close(fd);
	}
}

/* ---- sources that break the rules ---------------------------------------------- */

struct joiner {
	struct links *l;
	uint16_t numbers[4]; /* as which it joins; 0: no more */
};

/* A source that has the session, and what it makes of it. */
static void *join(void *arg)
{
	struct vfm_hello hello = first_hello(VFM_HELLO_SOURCE, 4), theirs, answer;
	struct joiner *j = arg;
	struct links_end *end = &j->l->ends[0];

	say(end->fds[0], &hello);
	if (!hear(end->fds[0], &theirs))
		return NULL;
	for (unsigned int i = 0; i < 4 && j->numbers[i]; i++) {
		hello.compat_version = 2;
		hello.channel = j->numbers[i];
		memcpy(hello.session, theirs.session, sizeof(hello.session));
		say(end->fds[i + 1], &hello);
		/* Whose session the answer names: ours. */
		if (!hear(end->fds[i + 1], &answer) || answer.channel != i + 1 ||
		    memcmp(answer.session, first_hello(0, 0).session, sizeof(answer.session)) != 0)
			break;
		end->used = i + 2;
	}
	return NULL;
}

static void wrong_numbers(void **state)
{
	static const struct {
		uint16_t numbers[4];
		const char *says;
	} cases[] = {
		{ { 2 }, "setup: channel 1: the source says that this is channel 2" },
		{ { 1, 1 }, "setup: channel 2: the source says that this is channel 1" },
		{ { 1, 3 }, "setup: channel 2: the source says that this is channel 3" },
		{ { 1, 2, 9 }, "setup: channel 3: the source says that this is channel 9" },
		{ { 65535 }, "setup: channel 1: the source says that this is channel 65535" },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(cases); i++) {
		struct joiner j = { 0 };
		pthread_t thread;
		struct links l;

		links_open(&l, 4, MIB, 0);
		j.l = &l;
		memcpy(j.numbers, cases[i].numbers, sizeof(j.numbers));
		assert_int_equal(pthread_create(&thread, NULL, join, &j), 0);
		l.half.fd = l.ends[1].fds[0];
		rig_receive_begin(&l.half);
		assert_int_equal(rig_join(&l.half), -EPROTO);
		if (!strstr(l.half.err.msg, cases[i].says))
			fail_msg("%s", l.half.err.msg);
		assert_false(l.half.report.connected);
		assert_int_equal(l.dst->resets, 0);
		pthread_join(thread, NULL);
		l.ends[0].used = 1;
		links_close(&l);
	}
}

/* ---- destinations that do ---------------------------------------------------------- */

struct answerer {
	struct links *l;
	bool other_session, other_channel, no_channel;
};

static void *answer(void *arg)
{
	struct vfm_hello hello = first_hello(VFM_HELLO_DESTINATION, 4), first, next;
	const struct answerer *a = arg;
	struct links_end *end = &a->l->ends[1];

	if (!hear(end->fds[0], &first))
		return NULL;
	say(end->fds[0], &hello);
	if (!hear(end->fds[1], &next))
		return NULL;
	/* It names our session, and which channel it is. */
	if (next.channel != 1 || memcmp(next.session, hello.session, sizeof(hello.session)) != 0)
		return NULL;
	if (!a->other_session)
		memcpy(hello.session, first.session, sizeof(hello.session));
	hello.channel = a->no_channel ? 0 : a->other_channel ? 2 : 1;
	say(end->fds[1], &hello);
	return NULL;
}

static void answers_that_are_wrong(void **state)
{
	static const struct {
		bool other_session, other_channel, no_channel;
		const char *says;
	} cases[] = {
		{ true, false, false,
		  "channel 1: who answers is not the destination that was there" },
		{ false, false, true,
		  "channel 1: who answers is not the destination that was there" },
		{ false, true, false, "channel 1: the destination says that this is channel 2" },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(cases); i++) {
		struct answerer a = { 0 };
		pthread_t thread;
		struct links l;

		links_open(&l, 4, MIB, 0);
		a.l = &l;
		a.other_session = cases[i].other_session;
		a.other_channel = cases[i].other_channel;
		a.no_channel = cases[i].no_channel;
		assert_int_equal(pthread_create(&thread, NULL, answer, &a), 0);
		assert_int_equal(vfm_migrate_send(&l.src->dev, NULL, l.ends[0].fds[0], &l.opts[0],
						  &l.report, &l.err),
				 -EPROTO);
		if (!strstr(l.err.msg, cases[i].says))
			fail_msg("%s", l.err.msg);
		assert_int_equal(l.src->state, VFM_STATE_RUNNING);
		pthread_join(thread, NULL);
		links_close(&l);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_destination_of_version_1),
		cmocka_unit_test(a_source_of_version_1),
		cmocka_unit_test(strangers_are_passed_over),
		cmocka_unit_test(too_many_strangers),
		cmocka_unit_test(nobody_comes),
		cmocka_unit_test(cancelled_meanwhile),
		cmocka_unit_test(wrong_numbers),
		cmocka_unit_test(answers_that_are_wrong),
	};

	return RUN_TESTS(tests);
}
