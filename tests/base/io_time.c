// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * How waiting is counted, with a clock that this program turns: it defines
 * poll(), read(), recv() and clock_gettime() itself, and each step of a script
 * says what the next poll() must be asked and what it answers. Of a socket, a
 * step without an answer is one before which nobody polls.
 */

#include "base/io.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

/* One call of poll(): the limit it must get, the time it takes, its answer. */
struct step {
	int want_ms;
	uint64_t takes_us;
	int answer;    /* 1: ready, 0: time is over, < 0: -errno */
	int then_read; /* what read() then gives: bytes, or -errno */
};

static const struct step *script;
static uint64_t now_us;
static int cancelled_after = -1;
static bool is_socket;
static unsigned int nr_polls;

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	(void)clock;
	ts->tv_sec = (time_t)(now_us / 1000000);
	ts->tv_nsec = (long)(now_us % 1000000 * 1000);
	return 0;
}

int poll(struct pollfd *fds, nfds_t nr_fds, int timeout_ms)
{
	const struct step *s = script;

	nr_polls++;
	assert_int_equal(nr_fds, 2);
	assert_int_equal(timeout_ms, s->want_ms);
	now_us += s->takes_us;
	fds[0].revents = s->answer > 0 ? fds[0].events : 0;
	fds[1].revents = 0;
	if (cancelled_after-- == 0) {
		fds[1].revents = POLLIN;
		return 1;
	}
	if (s->answer <= 0)
		script++;
	errno = s->answer < 0 ? -s->answer : 0;
	return s->answer < 0 ? -1 : s->answer;
}

ssize_t read(int fd, void *buf, size_t len)
{
	const struct step *s = script++;

	(void)fd;
	if (s->then_read < 0) {
		errno = -s->then_read;
		return -1;
	}
	assert_true((size_t)s->then_read <= len);
	memset(buf, 'r', (size_t)s->then_read);
	return s->then_read;
}

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	assert_int_equal(flags, MSG_DONTWAIT);
	if (is_socket)
		return read(fd, buf, len);
	errno = ENOTSOCK;
	return -1;
}

static ssize_t run(const struct step *steps, unsigned int timeout_ms, size_t len)
{
	const struct vfm_wait wait = { .timeout_ms = timeout_ms, .cancel_fd = -1 };
	char buf[16];

	script = steps;
	now_us = 5000000;
	cancelled_after = -1;
	nr_polls = 0;
	return vfm_read_full(0, buf, len, &wait);
}

static void progress_starts_the_limit_anew(void **state)
{
	static const struct step steps[] = {
		{ 100, 99000, 1, 1 }, { 100, 99000, 1, 2 }, { 100, 99000, 1, 1 }, { 0 }
	};

	(void)state;
	assert_int_equal(run(steps, 100, 4), 4);
	assert_ptr_equal(script, steps + 3);
}

static void the_limit_ends_a_wait(void **state)
{
	static const struct step steps[] = { { 100, 50000, 1, 1 }, { 100, 100000, 0, 0 }, { 0 } };

	(void)state;
	assert_int_equal(run(steps, 100, 4), -ETIMEDOUT);
}

/* A signal does not start the limit anew: what is left is rounded up, never down to a spin. */
static void signals_do_not_prolong_a_wait(void **state)
{
	static const struct step steps[] = {
		{ 100, 30500, -EINTR, 0 }, { 70, 69499, -EINTR, 0 }, { 1, 1, -EINTR, 0 },
		{ 0, 0, -EINTR, 0 },	   { 0, 0, 0, 0 },	     { 0 }
	};

	(void)state;
	assert_int_equal(run(steps, 100, 4), -ETIMEDOUT);
	assert_ptr_equal(script, steps + 5);
}

/* Ready, but somebody else took it, or a signal came: wait again before the next read. */
static void a_read_that_fails_softly_waits_again(void **state)
{
	static const struct step steps[] = {
		{ 100, 1000, 1, -EAGAIN }, { 100, 1000, 1, -EINTR }, { 100, 1000, 1, 4 }, { 0 }
	};

	(void)state;
	assert_int_equal(run(steps, 100, 4), 4);
	assert_ptr_equal(script, steps + 3);
}

static void a_read_that_fails_ends_it(void **state)
{
	static const struct step steps[] = { { 100, 0, 1, 2 }, { 100, 0, 1, -EIO }, { 0 } };
	static const struct step polls[] = { { 100, 0, -ENOMEM, 0 }, { 0 } };

	(void)state;
	assert_int_equal(run(steps, 100, 4), -EIO);
	assert_int_equal(run(polls, 100, 4), -ENOMEM);
}

/* More milliseconds than an int has must not become a negative, endless number. */
static void the_longest_limit(void **state)
{
	static const struct step steps[] = { { INT_MAX, UINT64_C(1000) * INT_MAX, 0, 0 },
					     { INT_MAX, UINT64_C(1000) * INT_MAX, 0, 0 },
					     { 1, 1000, 0, 0 },
					     { 0 } };

	(void)state;
	assert_int_equal(run(steps, UINT_MAX, 4), -ETIMEDOUT);
	assert_ptr_equal(script, steps + 3);
}

static void without_a_limit_nobody_polls_until_it_must(void **state)
{
	static const struct step steps[] = {
		{ 0, 0, 1, 1 }, { 0, 0, 1, -EINTR }, { 0, 0, 1, -EAGAIN }, { -1, 0, 1, 3 }, { 0 }
	};

	(void)state;
	assert_int_equal(run(steps, 0, 4), 4);
}

static void a_socket_is_tried_first(void **state)
{
	static const struct step ready[] = { { 0, 0, 0, 1 }, { 0, 0, 0, 3 }, { 0 } };
	static const struct step late[] = { { 0, 0, 0, 2 },
					    { 0, 0, 0, -EAGAIN },
					    { 100, 99000, 1, 1 },
					    { 0, 0, 0, -EINTR },
					    { 100, 99000, 1, -EAGAIN },
					    { 100, 99000, 1, 1 },
					    { 0 } };
	static const struct step silent[] = {
		{ 0, 0, 0, 2 }, { 0, 0, 0, -EAGAIN }, { 100, 100000, 0, 0 }, { 0 }
	};

	(void)state;
	is_socket = true;
	assert_int_equal(run(ready, 100, 4), 4);
	assert_int_equal(nr_polls, 0);
	assert_int_equal(run(late, 100, 4), 4);
	assert_int_equal(nr_polls, 2);
	assert_int_equal(run(silent, 100, 4), -ETIMEDOUT);
	is_socket = false;
}

/* A socket that is always ready must not hide the descriptor that cancels. */
static void cancelling_wins_over_a_ready_socket(void **state)
{
	static const struct step steps[] = { { -1, 0, 1, 1 }, { -1, 0, 1, 1 }, { 0 } };
	const struct vfm_wait wait = { .timeout_ms = 0, .cancel_fd = 9 };
	char buf[4];

	(void)state;
	is_socket = true;
	script = steps;
	cancelled_after = 1;
	assert_int_equal(vfm_read_full(0, buf, 4, &wait), -ECANCELED);
	is_socket = false;
}

static void cancelling_wins(void **state)
{
	static const struct step steps[] = { { -1, 0, 1, 1 }, { -1, 0, 1, 1 }, { 0 } };
	const struct vfm_wait wait = { .timeout_ms = 0, .cancel_fd = 9 };
	char buf[4];

	(void)state;
	script = steps;
	cancelled_after = 1;
	assert_int_equal(vfm_read_full(0, buf, 4, &wait), -ECANCELED);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(progress_starts_the_limit_anew),
		cmocka_unit_test(the_limit_ends_a_wait),
		cmocka_unit_test(signals_do_not_prolong_a_wait),
		cmocka_unit_test(a_read_that_fails_softly_waits_again),
		cmocka_unit_test(a_read_that_fails_ends_it),
		cmocka_unit_test(the_longest_limit),
		cmocka_unit_test(without_a_limit_nobody_polls_until_it_must),
		cmocka_unit_test(a_socket_is_tried_first),
		cmocka_unit_test(cancelling_wins_over_a_ready_socket),
		cmocka_unit_test(cancelling_wins),
	};

	return RUN_TESTS(tests);
}
