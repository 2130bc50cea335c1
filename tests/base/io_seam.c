// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Whole transfers over something else than a descriptor: two functions that play
 * a script, and a wait that says what it was asked.
 */

#include "base/io.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "test.h"

/**
 * struct step - what a call gives
 * @gives: bytes, 0, or an error
 * @events: with -EAGAIN
 */
struct step {
	int gives;
	short events;
};

struct script {
	const struct step *next;
	short waited[8];
	int nr_waited;
	int wait_gives;
	char got[64];
	size_t len;
	int flushes;
};

static ssize_t play(struct script *s, short *events)
{
	if (s->next->events)
		*events = s->next->events;
	return s->next++->gives;
}

static ssize_t read_one(void *user, void *buf, size_t len, short *events)
{
	ssize_t n = play(user, events);

	assert_true(n < 0 || (size_t)n <= len);
	if (n > 0)
		memset(buf, 'r', (size_t)n);
	return n;
}

static ssize_t write_one(void *user, const struct iovec *iov, int nr_iov, short *events)
{
	struct script *s = user;
	ssize_t n = play(s, events);

	s->flushes += !nr_iov;
	for (ssize_t left = n; left > 0; iov++) {
		size_t part = (size_t)left < iov->iov_len ? (size_t)left : iov->iov_len;

		assert_true(nr_iov-- > 0);
		if (part)
			memcpy(s->got + s->len, iov->iov_base, part);
		s->len += part;
		left -= (ssize_t)part;
	}
	return n;
}

static int wait_one(void *user, int fd, short events)
{
	struct script *s = user;

	assert_int_equal(fd, 77);
	s->waited[s->nr_waited++] = events;
	return s->wait_gives;
}

static int run_read(struct script *s, size_t len, size_t *done)
{
	const struct vfm_io io = { .read = read_one, .user = s };
	const struct vfm_wait wait = { .cancel_fd = -1, .fn = wait_one, .user = s };
	char buf[64];

	return vfm_io_read_more(&io, 77, buf, done, len, &wait);
}

static int run_write(struct script *s, int wait_gives)
{
	const struct vfm_io io = { .write = write_one, .user = s };
	const struct vfm_wait wait = { .cancel_fd = -1, .fn = wait_one, .user = s };
	struct iovec iov[] = {
		{ NULL, 0 }, { (char *)"abc", 3 }, { NULL, 0 }, { (char *)"defg", 4 }
	};

	s->wait_gives = wait_gives;
	return vfm_io_writev_full(&io, 77, iov, 4, &wait);
}

static void reads_wait_for_what_they_are_told(void **state)
{
	static const struct step steps[] = { { 2, 0 }, { -EAGAIN, POLLIN },
					     { 1, 0 }, { -EAGAIN, POLLOUT },
					     { 4, 0 }, { -EIO, 0 } };
	struct script s = { .next = steps };
	size_t done = 0;

	(void)state;
	/* It is tried first, and no more often than it takes. */
	assert_int_equal(run_read(&s, 7, &done), 0);
	assert_int_equal(done, 7);
	assert_ptr_equal(s.next, steps + 5);
	assert_int_equal(s.nr_waited, 2);
	assert_int_equal(s.waited[0], POLLIN);
	assert_int_equal(s.waited[1], POLLOUT);
	assert_int_equal(run_read(&s, 8, &done), -EIO);
	assert_int_equal(done, 7);
}

static void an_end_and_a_wait_that_fails(void **state)
{
	static const struct step end[] = { { 2, 0 }, { 0, 0 } };
	static const struct step cut[] = { { 2, 0 }, { -EAGAIN, POLLIN }, { 3, 0 } };
	struct script s = { .next = end };
	size_t done = 0;

	(void)state;
	assert_int_equal(run_read(&s, 7, &done), 0);
	assert_int_equal(done, 2);
	s = (struct script){ .next = cut, .wait_gives = -ETIMEDOUT };
	done = 0;
	assert_int_equal(run_read(&s, 5, &done), -ETIMEDOUT);
	/* What has come is kept, and the next call goes on. */
	assert_int_equal(done, 2);
	assert_int_equal(run_read(&s, 5, &done), 0);
	assert_int_equal(done, 5);
}

static void writes_end_when_all_is_out(void **state)
{
	static const struct step steps[] = { { 1, 0 }, { -EAGAIN, POLLIN },  { 4, 0 },
					     { 2, 0 }, { -EAGAIN, POLLOUT }, { 0, 0 } };
	static const struct step stuck[] = { { 0, 0 } };
	static const struct step kept[] = { { 7, 0 }, { -EAGAIN, 0 }, { 0, 0 } };
	struct script s = { .next = steps };

	(void)state;
	assert_int_equal(run_write(&s, 0), 0);
	assert_ptr_equal(s.next, steps + 6);
	assert_int_equal(s.flushes, 2);
	assert_int_equal(s.nr_waited, 2);
	assert_int_equal(s.waited[0], POLLIN);
	assert_int_equal(s.waited[1], POLLOUT);
	assert_memory_equal(s.got, "abcdefg", 7);
	s = (struct script){ .next = stuck };
	assert_int_equal(run_write(&s, 0), -EIO);
	/* All taken and not all out is a failure, not a success. */
	s = (struct script){ .next = kept };
	assert_int_equal(run_write(&s, -ETIMEDOUT), -ETIMEDOUT);
	assert_int_equal(s.waited[0], POLLOUT);
}

/* A descriptor that cancels is seen even while every try succeeds. */
static void cancelled_at_once(void **state)
{
	static const struct step steps[] = { { 1, 0 }, { 1, 0 }, { 1, 0 }, { 0, 0 } };
	int fd = eventfd(1, EFD_CLOEXEC);
	const struct vfm_wait wait = { .cancel_fd = fd };
	struct script s = { .next = steps };
	const struct vfm_io io = { read_one, write_one, &s };
	struct iovec iov = { (char *)"abc", 3 };
	size_t done = 0;
	char buf[3];

	(void)state;
	assert_int_equal(vfm_io_read_more(&io, 77, buf, &done, 3, &wait), -ECANCELED);
	assert_int_equal(vfm_io_writev_full(&io, 77, &iov, 1, &wait), -ECANCELED);
	assert_ptr_equal(s.next, steps);
	close(fd);
}

/* Without a wait of somebody's own it is the descriptor's events and the limit that count. */
static void limits_hold(void **state)
{
	static const struct step steps[] = { { 1, 0 }, { -EAGAIN, POLLIN } };
	int fd = eventfd(0, EFD_CLOEXEC);
	const struct vfm_wait wait = { .timeout_ms = 5, .cancel_fd = -1 };
	struct script s = { .next = steps };
	const struct vfm_io io = { read_one, write_one, &s };
	size_t done = 0;
	char buf[3];

	(void)state;
	assert_int_equal(vfm_io_read_more(&io, fd, buf, &done, 3, &wait), -ETIMEDOUT);
	assert_int_equal(done, 1);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_wait_for_what_they_are_told),
		cmocka_unit_test(an_end_and_a_wait_that_fails),
		cmocka_unit_test(writes_end_when_all_is_out),
		cmocka_unit_test(cancelled_at_once),
		cmocka_unit_test(limits_hold),
	};

	return RUN_TESTS(tests);
}
