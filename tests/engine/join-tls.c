// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Several channels over TLS: whole ones, further connections of those who have seen the first
 * one or are certified by the same authority but are not who made that, and channels that are
 * cut or spoilt at any byte.
 */

#include "links.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "engine/secure.h"
#include "who.h"
#include "wire.h"

#define MIB (UINT64_C(1) << 20)

static void open_secure(struct links *l, unsigned int count, uint64_t size, size_t piece)
{
	links_open(l, count, size, piece);
	l->opts[0].tls = who_certs[WHO_SOURCE];
	l->opts[0].peer_name = WHO_NAME;
	l->opts[1].tls = who_certs[WHO_DESTINATION];
}

static void whole_ones(void **state)
{
	static const unsigned int counts[] = { 1, 2, 3, 16 };

	(void)state;
	for (unsigned int i = 0; i < 16; i++) {
		struct links l;

		open_secure(&l, counts[i % 4], i & 4 ? 24 * MIB : 4096, 0);
		l.opts[0].compress = i / 8;
		links_check_moved(&l, links_move(&l));
		assert_int_equal(l.report.channels, counts[i % 4]);
		assert_true(l.half.report.connected);
		links_close(&l);
	}
}

/* ---- who is not the same --------------------------------------------------------- */

/**
 * struct impostor - one who has seen both hellos of the first connection
 * @server: it stands for the destination; else for the source
 * @cert: what it has; NULL: it says what it has seen, and then nothing
 */
struct impostor {
	struct wire *first;
	bool server;
	const struct vfm_tls *cert;
	int fd;
	pthread_t thread;
};

/* The rest of it, when the socket gives or takes. */
static void patiently(const struct impostor *i, short events)
{
	struct pollfd fd = { .fd = i->fd, .events = events };

	poll(&fd, 1, 10000);
}

static bool handshake(const struct impostor *i, struct vfm_tls_session *s)
{
	short events;
	int ret;

	while ((ret = vfm_tls_handshake(s, &events, NULL)) == -EAGAIN)
		patiently(i, events);
	return !ret;
}

static bool say_secure(const struct impostor *i, struct vfm_tls_session *s, const uint8_t *wire)
{
	struct iovec iov = { (void *)(uintptr_t)wire, VFM_HELLO_SIZE };
	short events = POLLOUT;
	ssize_t n;

	while ((n = vfm_tls_write(s, &iov, 1, &events, NULL)) == -EAGAIN)
		patiently(i, events);
	return n == VFM_HELLO_SIZE;
}

static bool hear_secure(const struct impostor *i, struct vfm_tls_session *s, uint8_t *wire)
{
	short events = POLLIN;
	ssize_t n;

	while ((n = vfm_tls_read(s, wire, VFM_HELLO_SIZE, &events, NULL)) == -EAGAIN)
		patiently(i, events);
	return n == VFM_HELLO_SIZE;
}

/* Its own hello: that of the one it stands for, as a further channel. */
static void make_hello(const struct impostor *i, uint8_t wire[VFM_HELLO_SIZE])
{
	struct vfm_hello own, other;

	assert_int_equal(vfm_hello_from_wire(&own, i->first->hellos[i->server], "us", NULL), 0);
	assert_int_equal(vfm_hello_from_wire(&other, i->first->hellos[!i->server], "them", NULL),
			 0);
	own.compat_version = 2;
	own.channel = 1;
	memcpy(own.session, other.session, sizeof(own.session));
	vfm_hello_to_wire(&own, wire);
}

/* All that can be done right without the right certificate. */
static void secured(const struct impostor *i, const uint8_t *ours)
{
	const struct vfm_tls_opts opts = { .fd = i->fd, .server = i->server, .who = "victim" };
	struct vfm_tls_session *s;
	uint8_t again[VFM_HELLO_SIZE];

	assert_int_equal(vfm_tls_open(&s, i->cert, &opts, NULL), 0);
	if (handshake(i, s)) {
		bool well = true;

		if (i->server)
			well = say_secure(i, s, ours);
		well = well && hear_secure(i, s, again);
		if (well && !i->server)
			say_secure(i, s, ours);
	}
	vfm_tls_close(s);
}

static void *impersonate(void *arg)
{
	struct impostor *i = arg;
	uint8_t ours[VFM_HELLO_SIZE], theirs[VFM_HELLO_SIZE];
	char byte;

	make_hello(i, ours);
	if (!i->server)
		assert_int_equal(send(i->fd, ours, sizeof(ours), MSG_NOSIGNAL), sizeof(ours));
	if (recv(i->fd, theirs, sizeof(theirs), MSG_WAITALL) == sizeof(theirs)) {
		if (i->server)
			send(i->fd, ours, sizeof(ours), MSG_NOSIGNAL);
		if (i->cert)
			secured(i, ours);
	}
	/* It stays until it is thrown out. */
	while (recv(i->fd, &byte, 1, 0) > 0)
		;
	close(i->fd);
	return NULL;
}

struct trap {
	struct links_end *end;
	struct impostor *impostor;
};

/* The impostor comes first. */
static int trapped(void *user, unsigned int timeout_ms, struct vfm_err *err)
{
	struct trap *t = user;
	int fds[2];

	if (t->impostor->fd >= 0)
		return links_next(t->end, timeout_ms, err);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	t->impostor->fd = fds[1];
	assert_int_equal(pthread_create(&t->impostor->thread, NULL, impersonate, t->impostor), 0);
	return fds[0];
}

/* Put an impostor between one half and its further connections. */
static int deceive(struct links *l, struct impostor *impostor, struct wire *first, bool source)
{
	struct trap trap = { &l->ends[!source], impostor };
	int ret;

	*first = (struct wire){ .fault = NONE };
	wire_start(first);
	for (int i = 0; i < 2; i++) {
		close(l->ends[i].fds[0]);
		l->ends[i].fds[0] = first->fds[i];
		first->fds[i] = -1;
	}
	impostor->first = first;
	impostor->server = source;
	impostor->fd = -1;
	l->opts[!source].open_channel = trapped;
	l->opts[!source].channel_user = &trap;
	ret = links_move(l);
	pthread_join(impostor->thread, NULL);
	wire_stop(first);
	return ret;
}

/* A destination passes over all of them, and the source gets in. */
static void impostors_at_the_destination(void **state)
{
	const struct vfm_tls *theirs[] = { who_certs[WHO_COLLEAGUE], who_certs[WHO_STRANGER],
					   NULL };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct impostor impostor = { .cert = theirs[i] };
		struct wire first;
		struct links l;

		open_secure(&l, 3, 4 * MIB, 0);
		links_check_moved(&l, deceive(&l, &impostor, &first, false));
		assert_int_equal(l.half.report.channels, 3);
		links_close(&l);
	}
}

/* With the source's own certificate it gets in: so nothing else has kept the others out. */
static void the_source_itself(void **state)
{
	struct impostor impostor = { .cert = who_certs[WHO_SOURCE] };
	struct wire first;
	struct links l;
	int ret;

	(void)state;
	open_secure(&l, 2, 4096, 0);
	l.opts[0].timeout_ms = l.opts[1].timeout_ms = 1000;
	ret = deceive(&l, &impostor, &first, false);
	links_check_back(&l, ret);
	assert_true(l.half.report.connected);
	links_close(&l);
}

/* A source gives up: it has been led somewhere else. */
static void impostors_for_the_source(void **state)
{
	static const struct {
		enum who who;
		const char *says;
	} cases[] = {
		{ WHO_COLLEAGUE, "channel 1: the destination shows another certificate" },
		{ WHO_STRANGER, "channel 1: the certificate of destination.example is refused" },
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct impostor impostor = { .cert = who_certs[cases[i].who] };
		struct wire first;
		struct links l;
		int ret;

		open_secure(&l, 2, 4096, 0);
		l.opts[1].timeout_ms = 1000;
		ret = deceive(&l, &impostor, &first, true);
		links_check_back(&l, ret);
		assert_int_equal(ret, -EKEYREJECTED);
		if (!strstr(l.err.msg, cases[i].says) && i == 0)
			fail_msg("%s", l.err.msg);
		assert_false(l.half.report.connected);
		links_close(&l);
	}
}

/* ---- faults ----------------------------------------------------------------------- */

/* One channel is broken at a byte: one owner. Whether there was such a byte. */
static bool break_at(unsigned int channel, enum fault fault, bool reverse, size_t at)
{
	struct wire w = { .fault = fault, .reverse = reverse, .at = at };
	struct links l;
	int ret;

	open_secure(&l, 3, 32 * 4096, 4096);
	l.opts[0].timeout_ms = l.opts[1].timeout_ms = 5000;
	wire_start(&w);
	for (int i = 0; i < 2; i++) {
		close(l.ends[i].fds[channel]);
		l.ends[i].fds[channel] = w.fds[i];
		w.fds[i] = -1;
	}
	ret = links_move(&l);
	wire_stop(&w);
	if (w.hit && fault == FORGE)
		links_check_back(&l, ret);
	if (!w.hit)
		links_check_moved(&l, ret);
	assert_false(l.src->state == VFM_STATE_RUNNING && l.half.report.committed);
	if (!l.report.committed)
		assert_int_equal(l.src->state, VFM_STATE_RUNNING);
	if (!ret)
		links_check_moved(&l, ret);
	links_close(&l);
	return w.hit;
}

static void broken_at_each_part(void **state)
{
	unsigned int runs = 0;

	(void)state;
	for (unsigned int i = 0; i < 12; i++) {
		enum fault fault = i & 1 ? FLIP : CUT;
		bool reverse = i & 2;
		unsigned int channel = i / 4;
		/* close together in hello and handshake, then wider */
		size_t at = i % 7;

		while (break_at(channel, fault, reverse, at) && at < 60000) {
			at += at < 3000 ? 307 : 7013;
			runs++;
		}
	}
	for (unsigned int channel = 0; channel < 3; channel++)
		for (int reverse = 0; reverse < 2; reverse++)
			assert_true(break_at(channel, FORGE, reverse, 0));
	print_message("# %u runs\n", runs);
	assert_true(runs > 50);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_ones),
		cmocka_unit_test(impostors_at_the_destination),
		cmocka_unit_test(the_source_itself),
		cmocka_unit_test(impostors_for_the_source),
		cmocka_unit_test(broken_at_each_part),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, who_make, who_free);
}
