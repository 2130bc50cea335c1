// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Migrations over TLS: one that succeeds, sides that do not take each other, and a
 * connection that is cut, spoilt, stalled or forged at every part of it, after
 * each of which there is one owner.
 */

#include "rig.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "who.h"
#include "wire.h"

#define MEMORY (64 << 10)
#define PARAMS "state=64K,bar=8K"

/* ---- a migration --------------------------------------------------------------- */

/* What each side comes with: a certificate, or none, and whom it wants. */
struct sides {
	const struct vfm_tls *src, *dst;
	const char *dst_name, *src_name;
	unsigned int timeout_ms;
};

static void open_rig(struct rig *r)
{
	rig_open(r, PARAMS, MEMORY);
	rig_start(r, 0);
	rig_step(r->src, 60, 7);
}

/* Returns what the source returned; the destination's half is in @half. */
static int move(struct rig *r, struct wire *w, const struct sides *sides, struct rig_half *half)
{
	struct vfm_migrate_opts src = rig_opts(), dst = rig_opts();
	int ret;

	src.timeout_ms = dst.timeout_ms = sides->timeout_ms ? sides->timeout_ms : 20000;
	src.tls = sides->src;
	src.peer_name = sides->dst_name;
	dst.tls = sides->dst;
	dst.peer_name = sides->src_name;
	wire_start(w);
	*half = (struct rig_half){
		.dev = &r->wd->dev, .mem = r->dst_mem, .fd = w->fds[1], .opts = &dst
	};
	rig_receive_begin(half);
	ret = vfm_migrate_send(&r->ws->dev, r->src_mem, w->fds[0], &src, &r->report, &r->err);
	shutdown(w->fds[0], SHUT_RDWR);
	rig_join(half);
	wire_stop(w);
	return ret;
}

static struct sides both(unsigned int timeout_ms)
{
	return (struct sides){ who_certs[WHO_SOURCE], who_certs[WHO_DESTINATION], WHO_NAME, NULL,
			       timeout_ms };
}

static void a_whole_one(void **state)
{
	const struct sides sides = both(0);
	struct rig_half half;
	struct wire w = { 0 };
	struct rig r;

	(void)state;
	open_rig(&r);
	assert_int_equal(move(&r, &w, &sides, &half), 0);
	assert_int_equal(half.ret, 0);
	assert_true(r.report.connected && half.report.connected);
	rig_check_moved(&r);
	rig_close(&r);
}

/* Between two threads there is nobody to hide from, and one side's name would not do for both. */
static void both_halves_from_here(void **state)
{
	struct vfm_migrate_opts opts = rig_opts();
	struct rig r;

	(void)state;
	open_rig(&r);
	opts.tls = who_certs[WHO_SOURCE];
	opts.peer_name = "nobody";
	assert_int_equal(rig_migrate(&r, &opts), 0);
	assert_true(r.report.connected);
	rig_check_moved(&r);
	rig_close(&r);
}

static void sides_that_do_not_fit(void **state)
{
	const struct {
		struct sides sides;
		int src, dst;
		const char *src_says, *dst_says;
	} cases[] = {
		{ { who_certs[WHO_SOURCE], NULL, NULL, NULL, 0 },
		  -EOPNOTSUPP,
		  -EOPNOTSUPP,
		  "setup: we want TLS, and the destination has none",
		  "setup: the source wants TLS, and we have none" },
		{ { NULL, who_certs[WHO_DESTINATION], NULL, NULL, 0 },
		  -EOPNOTSUPP,
		  -EOPNOTSUPP,
		  "setup: the destination wants TLS, and we have none",
		  "setup: we want TLS, and the source has none" },
		{ { who_certs[WHO_SOURCE], who_certs[WHO_DESTINATION], "127.0.0.1", NULL, 0 },
		  -EKEYREJECTED,
		  -EKEYREJECTED,
		  "setup: the certificate of 127.0.0.1 is for DNS:destination.example",
		  "setup: the source refuses our certificate: " },
		{ { who_certs[WHO_STRANGER], who_certs[WHO_DESTINATION], NULL, NULL, 0 },
		  -EKEYREJECTED,
		  -EKEYREJECTED,
		  "setup: the certificate of the destination is refused: ",
		  "setup: the source refuses our certificate: unknown CA" },
		{ { who_certs[WHO_SOURCE], who_certs[WHO_DESTINATION], NULL, "source.example", 0 },
		  -EKEYREJECTED,
		  -EKEYREJECTED,
		  "setup: the destination refuses our certificate: ",
		  "setup: the certificate of source.example is for DNS:destination.example" },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(cases); i++) {
		struct rig_half half;
		struct wire w = { 0 };
		struct rig r;
		int ret;

		open_rig(&r);
		ret = move(&r, &w, &cases[i].sides, &half);
		if (ret != cases[i].src || half.ret != cases[i].dst ||
		    !strstr(r.err.msg, cases[i].src_says) ||
		    !strstr(half.err.msg, cases[i].dst_says))
			fail_msg("%zu: %d %s; %d %s", i, ret, r.err.msg, half.ret, half.err.msg);
		assert_false(r.report.connected || half.report.connected);
		assert_int_equal(r.wd->orphan, -1);
		assert_int_equal(half.report.state, VFM_STATE_RUNNING);
		rig_check_back(&r);
		rig_close(&r);
	}
}

/* ---- faults ----------------------------------------------------------------------- */

/* Whether there was such a byte. */
static bool break_at(struct wire *w, unsigned int timeout_ms, unsigned int *failed)
{
	const struct sides sides = both(timeout_ms);
	struct vfm_err err = { 0 };
	struct rig_half half;
	struct rig r;
	bool src, dst;
	int ret;

	open_rig(&r);
	ret = move(&r, w, &sides, &half);
	src = rig_owns(r.src);
	dst = rig_owns(r.dst);
	if (src && dst)
		fail_msg("byte %zu: two owners: %s; %s", w->at, r.err.msg, half.err.msg);
	if (!r.report.committed && !src)
		fail_msg("byte %zu: no owner: %s", w->at, r.err.msg);
	if ((!ret || half.report.committed) && !dst)
		fail_msg("byte %zu: nobody runs: %s", w->at, half.err.msg);
	if (half.report.committed && !r.report.committed)
		fail_msg("byte %zu: taken and not given: %s", w->at, r.err.msg);
	if (src && rig_check(&r, r.src, NULL, &err))
		fail_msg("byte %zu: %s", w->at, err.msg);
	if (!half.report.committed)
		assert_int_equal(vfm_memory_count(r.dst_mem), 0);
	*failed += ret != 0;
	rig_close(&r);
	return w->hit;
}

/* Everything about the hello and the handshake, and parts of what follows. */
static void break_each(enum fault fault, size_t step, size_t far, unsigned int timeout_ms)
{
	unsigned int runs = 0, failed = 0;

	for (int reverse = 0; reverse < 2; reverse++) {
		for (size_t at = 0;; at += at < 2600 ? step : far) {
			struct wire w = { .fault = fault, .reverse = reverse, .at = at };

			runs++;
			if (!break_at(&w, timeout_ms, &failed))
				break;
		}
	}
	print_message("# %u runs, %u failed\n", runs, failed);
	assert_true(failed > runs / 2);
}

static void cut_everywhere(void **state)
{
	(void)state;
	break_each(CUT, 31, 1201, 0);
}

/* A length that grew makes both wait, so not for long. */
static void spoilt_everywhere(void **state)
{
	(void)state;
	break_each(FLIP, 37, 1709, 150);
}

static void stalled_everywhere(void **state)
{
	(void)state;
	break_each(STALL, 211, 9001, 60);
}

/* Both hellos are sound and agree, and somebody in between has changed one. */
static void a_forged_hello(void **state)
{
	(void)state;
	for (int reverse = 0; reverse < 2; reverse++) {
		struct wire w = { .fault = FORGE, .reverse = reverse };
		const struct sides sides = both(0);
		struct rig_half half;
		struct rig r;
		int ret;

		open_rig(&r);
		ret = move(&r, &w, &sides, &half);
		assert_true(w.hit);
		assert_int_equal(reverse ? ret : half.ret, -EPROTO);
		assert_non_null(strstr(reverse ? r.err.msg : half.err.msg,
				       "somebody has changed the hello"));
		assert_true(ret && half.ret);
		rig_check_back(&r);
		rig_close(&r);
	}
}

/* ---- a handshake that does not end --------------------------------------------------- */

struct mute {
	int fd;
	int cancel; /* or -1 */
};

/* A hello that is right, and then a byte of a handshake now and then. */
static void *mutter(void *arg)
{
	static const uint8_t record[] = { 0x16, 0x03, 0x01, 0x20, 0x00 };
	const struct vfm_hello hello = { 1, 1, VFM_HELLO_TLS, VFM_HELLO_SOURCE, { 0 } };
	struct mute *m = arg;
	uint8_t wire[VFM_HELLO_SIZE];
	uint64_t one = 1;

	vfm_hello_to_wire(&hello, wire);
	send(m->fd, wire, sizeof(wire), MSG_NOSIGNAL);
	send(m->fd, record, sizeof(record), MSG_NOSIGNAL);
	for (int i = 0; i < 600 && send(m->fd, "\x01", 1, MSG_NOSIGNAL) == 1; i++) {
		if (i == 5 && m->cancel >= 0)
			assert_int_equal(write(m->cancel, &one, sizeof(one)), sizeof(one));
		poll(NULL, 0, 10);
	}
	return NULL;
}

static void a_slow_handshake(void **state)
{
	(void)state;
	for (int cancel = 0; cancel < 2; cancel++) {
		struct vfm_migrate_opts opts = rig_opts();
		struct mute m = { .cancel = cancel ? eventfd(0, EFD_CLOEXEC) : -1 };
		pthread_t thread;
		struct rig r;
		int fds[2];

		open_rig(&r);
		opts.tls = who_certs[WHO_DESTINATION];
		opts.timeout_ms = cancel ? 20000 : 100;
		opts.cancel_fd = m.cancel;
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		m.fd = fds[1];
		assert_int_equal(pthread_create(&thread, NULL, mutter, &m), 0);
		assert_int_equal(vfm_migrate_receive(&r.wd->dev, r.dst_mem, fds[0], &opts,
						     &r.report, &r.err),
				 cancel ? -ECANCELED : -ETIMEDOUT);
		assert_non_null(strstr(r.err.msg, cancel ? "setup: cancelled"
							 : "setup: the TLS handshake was not done "
							   "within 100 ms"));
		assert_true(r.report.total_us < 5000000);
		assert_false(r.report.connected);
		assert_int_equal(r.wd->orphan, -1);
		close(fds[0]);
		pthread_join(thread, NULL);
		close(fds[1]);
		rig_close(&r);
		if (cancel)
			close(m.cancel);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_one),		 cmocka_unit_test(both_halves_from_here),
		cmocka_unit_test(sides_that_do_not_fit), cmocka_unit_test(cut_everywhere),
		cmocka_unit_test(spoilt_everywhere),	 cmocka_unit_test(stalled_everywhere),
		cmocka_unit_test(a_forged_hello),	 cmocka_unit_test(a_slow_handshake),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, who_make, who_free);
}
