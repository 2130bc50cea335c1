// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Whole reads and writes on real descriptors. How time is counted is in
 * io_time.c, with a clock of its own; here a wait that must end by its limit
 * has a short one, and all others have none to speak of.
 */

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "test.h"

#define BIG (3u << 20) /* more than any pipe or socket holds */

static const struct vfm_wait soon = { .timeout_ms = 30, .cancel_fd = -1 };
static const struct vfm_wait late = { .timeout_ms = 60000, .cancel_fd = -1 };

enum pair { PAIR_PIPE, PAIR_SOCKET, NR_PAIRS };

/* fds[0] is read, fds[1] is written. */
static void open_pair(enum pair kind, int flags, int fds[2])
{
	if (kind == PAIR_PIPE)
		assert_int_equal(pipe2(fds, O_CLOEXEC | (flags & O_NONBLOCK)), 0);
	else
		assert_int_equal(socketpair(AF_UNIX,
					    SOCK_STREAM | SOCK_CLOEXEC |
						    (flags & O_NONBLOCK ? SOCK_NONBLOCK : 0),
					    0, fds),
				 0);
}

static void close_pair(int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

static uint8_t *pattern(size_t len)
{
	uint8_t *buf = malloc(len);

	assert_non_null(buf);
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(i * 2654435761u >> 11);
	return buf;
}

/* ---- a second thread at the other end ------------------------------------ */

struct peer {
	pthread_t thread;
	int fd;
	size_t step;
	uint8_t *buf;
	size_t len;
	size_t done;
};

static void *write_in_steps(void *arg)
{
	struct peer *p = arg;

	while (p->done < p->len) {
		ssize_t n = write(p->fd, p->buf + p->done, VFM_MIN(p->step, p->len - p->done));

		if (n < 0 && errno != EAGAIN)
			break;
		p->done += n > 0 ? (size_t)n : 0;
	}
	close(p->fd);
	return NULL;
}

static void *read_in_steps(void *arg)
{
	struct peer *p = arg;

	while (p->done < p->len) {
		ssize_t n = read(p->fd, p->buf + p->done, VFM_MIN(p->step, p->len - p->done));

		if (n == 0 || (n < 0 && errno != EAGAIN))
			break;
		p->done += n > 0 ? (size_t)n : 0;
	}
	return NULL;
}

static void start(struct peer *p, void *(*run)(void *))
{
	assert_int_equal(pthread_create(&p->thread, NULL, run, p), 0);
}

static void reads_what_dribbles_in(void **state)
{
	static const struct vfm_wait *const waits[] = { NULL, &late };
	const size_t len = 3000;

	(void)state;
	for (int kind = 0; kind < NR_PAIRS; kind++)
		for (int i = 0; i < 4; i++) {
			uint8_t *data = pattern(len), *got = calloc(1, len + 1);
			struct peer p = { .step = 1, .buf = data, .len = len };
			int fds[2];

			open_pair((enum pair)kind, i & 1 ? O_NONBLOCK : 0, fds);
			p.fd = fds[1];
			start(&p, write_in_steps);
			assert_int_equal(vfm_read_full(fds[0], got, len, waits[i / 2]), len);
			assert_memory_equal(got, data, len);
			/* and at the end of the file there is nothing */
			pthread_join(p.thread, NULL);
			assert_int_equal(vfm_read_full(fds[0], got, 1, waits[i / 2]), 0);
			close(fds[0]);
			free(data);
			free(got);
		}
}

static void writes_to_a_slow_reader(void **state)
{
	static const struct vfm_wait *const waits[] = { NULL, &late };

	(void)state;
	for (int kind = 0; kind < NR_PAIRS; kind++)
		for (int i = 0; i < 4; i++) {
			uint8_t *data = pattern(BIG), *got = calloc(1, BIG);
			struct peer p = { .step = 50000, .buf = got, .len = BIG };
			int fds[2];

			open_pair((enum pair)kind, i & 1 ? O_NONBLOCK : 0, fds);
			p.fd = fds[0];
			start(&p, read_in_steps);
			assert_int_equal(vfm_write_full(fds[1], data, BIG, waits[i / 2]), 0);
			pthread_join(p.thread, NULL);
			assert_memory_equal(got, data, BIG);
			close_pair(fds);
			free(data);
			free(got);
		}
}

static void end_of_file_cuts_a_read_short(void **state)
{
	uint8_t got[16];
	int fds[2];

	(void)state;
	for (int kind = 0; kind < NR_PAIRS; kind++) {
		open_pair((enum pair)kind, 0, fds);
		assert_int_equal(write(fds[1], "abc", 3), 3);
		close(fds[1]);
		assert_int_equal(vfm_read_full(fds[0], got, sizeof(got), &late), 3);
		assert_memory_equal(got, "abc", 3);
		close(fds[0]);
	}
}

/* Between the two calls at least the limit has passed, and it is not the late one. */
static void assert_timed_out(int ret, uint64_t begin_ns)
{
	uint64_t took_ms = (vfm_now_ns() - begin_ns) / 1000000;

	assert_int_equal(ret, -ETIMEDOUT);
	assert_true(took_ms >= soon.timeout_ms && took_ms < late.timeout_ms / 2);
}

static void a_read_that_gets_nothing_times_out(void **state)
{
	uint8_t got[2];

	(void)state;
	for (int kind = 0; kind < NR_PAIRS; kind++)
		for (int flags = 0; flags < 2; flags++) {
			uint64_t begin = vfm_now_ns();
			int fds[2];

			open_pair((enum pair)kind, flags ? O_NONBLOCK : 0, fds);
			assert_timed_out((int)vfm_read_full(fds[0], got, 1, &soon), begin);
			/* one byte of two does not help */
			assert_int_equal(write(fds[1], "a", 1), 1);
			begin = vfm_now_ns();
			assert_timed_out((int)vfm_read_full(fds[0], got, 2, &soon), begin);
			close_pair(fds);
		}
}

/*
 * poll() says that a blocking descriptor takes something; the write must not
 * sleep then until all is taken.
 */
static void a_write_that_nobody_reads_times_out(void **state)
{
	uint8_t *data = pattern(BIG);

	(void)state;
	for (int kind = 0; kind < NR_PAIRS; kind++)
		for (int flags = 0; flags < 2; flags++) {
			uint64_t begin = vfm_now_ns();
			int fds[2];

			open_pair((enum pair)kind, flags ? O_NONBLOCK : 0, fds);
			assert_timed_out(vfm_write_full(fds[1], data, BIG, &soon), begin);
			close_pair(fds);
		}
	free(data);
}

static void can_be_cancelled(void **state)
{
	const int cancel = eventfd(1, EFD_CLOEXEC);
	const struct vfm_wait wait = { .timeout_ms = 60000, .cancel_fd = cancel };
	const struct vfm_wait for_ever = { .timeout_ms = 0, .cancel_fd = cancel };
	uint8_t byte = 0;
	int fds[2];

	(void)state;
	for (int kind = 0; kind < NR_PAIRS; kind++) {
		open_pair((enum pair)kind, 0, fds);
		assert_int_equal(vfm_read_full(fds[0], &byte, 1, &wait), -ECANCELED);
		assert_int_equal(vfm_read_full(fds[0], &byte, 1, &for_ever), -ECANCELED);
		/* even where something could be done */
		assert_int_equal(vfm_write_full(fds[1], &byte, 1, &wait), -ECANCELED);
		assert_int_equal(write(fds[1], "a", 1), 1);
		assert_int_equal(vfm_read_full(fds[0], &byte, 1, &for_ever), -ECANCELED);
		assert_int_equal(vfm_wait_fd(fds[0], POLLIN, &for_ever), -ECANCELED);
		close_pair(fds);
	}
	close(cancel);
}

static void *signal_eventfd(void *arg)
{
	const uint64_t one = 1;

	assert_int_equal(write(*(int *)arg, &one, sizeof(one)), sizeof(one));
	return NULL;
}

static void can_be_cancelled_from_outside(void **state)
{
	uint8_t *data = pattern(BIG);

	(void)state;
	for (int kind = 0; kind < NR_PAIRS; kind++) {
		int cancel = eventfd(0, EFD_CLOEXEC), fds[2];
		const struct vfm_wait wait = { .timeout_ms = 0, .cancel_fd = cancel };
		pthread_t thread;

		open_pair((enum pair)kind, 0, fds);
		assert_int_equal(pthread_create(&thread, NULL, signal_eventfd, &cancel), 0);
		assert_int_equal(vfm_write_full(fds[1], data, BIG, &wait), -ECANCELED);
		pthread_join(thread, NULL);
		close_pair(fds);
		close(cancel);
	}
	free(data);
}

/* ---- SIGPIPE -------------------------------------------------------------- */

/* In a child, because this one would die of a failure. */
static int write_to_nobody(enum pair kind, const struct vfm_wait *wait)
{
	pid_t child = fork();
	int fds[2], status;

	if (child == 0) {
		signal(SIGPIPE, SIG_DFL);
		if (kind == PAIR_PIPE ? pipe(fds) : socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
			_exit(1);
		close(fds[0]);
		_exit(-vfm_write_full(fds[1], "abc", 3, wait));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -1000;
}

static void a_reader_that_is_gone_is_an_error_and_no_signal(void **state)
{
	(void)state;
	for (int kind = 0; kind < NR_PAIRS; kind++) {
		assert_int_equal(write_to_nobody((enum pair)kind, NULL), -EPIPE);
		assert_int_equal(write_to_nobody((enum pair)kind, &late), -EPIPE);
	}
}

static void leaves_the_signal_mask_and_others_signals_alone(void **state)
{
	sigset_t block, old, now, pending;
	int fds[2];

	(void)state;
	sigemptyset(&block);
	sigaddset(&block, SIGPIPE);
	open_pair(PAIR_PIPE, 0, fds);
	close(fds[0]);

	/* not blocked before: not blocked after, and nothing waits */
	pthread_sigmask(SIG_SETMASK, NULL, &old);
	assert_int_equal(vfm_write_full(fds[1], "a", 1, NULL), -EPIPE);
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	assert_int_equal(sigismember(&now, SIGPIPE), sigismember(&old, SIGPIPE));
	sigpending(&pending);
	assert_false(sigismember(&pending, SIGPIPE));

	/* one that waited before waits on */
	pthread_sigmask(SIG_BLOCK, &block, NULL);
	raise(SIGPIPE);
	assert_int_equal(vfm_write_full(fds[1], "a", 1, NULL), -EPIPE);
	sigpending(&pending);
	assert_true(sigismember(&pending, SIGPIPE));
	assert_int_equal(sigtimedwait(&block, NULL, &(struct timespec){ 0 }), SIGPIPE);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	close(fds[1]);
}

/* ---- other descriptors ---------------------------------------------------- */

static void a_full_disk_is_told(void **state)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	if (fd < 0) {
		print_message("# no /dev/full here\n");
		return;
	}
	assert_int_equal(vfm_write_full(fd, "abc", 3, NULL), -ENOSPC);
	assert_int_equal(vfm_write_full(fd, "abc", 3, &late), -ENOSPC);
	close(fd);
}

static void bad_descriptors_are_told(void **state)
{
	uint8_t byte;

	(void)state;
	assert_int_equal(vfm_read_full(-1, &byte, 1, NULL), -EBADF);
	assert_int_equal(vfm_write_full(-1, "a", 1, NULL), -EBADF);
	assert_int_equal(vfm_write_full(-1, "a", 1, &late), -EBADF);
}

static void regular_files(void **state)
{
	uint8_t *data = pattern(BIG), *got = calloc(1, BIG);
	FILE *file = tmpfile();

	(void)state;
	assert_non_null(file);
	assert_int_equal(vfm_write_full(fileno(file), data, BIG, &late), 0);
	assert_int_equal(lseek(fileno(file), 0, SEEK_SET), 0);
	assert_int_equal(vfm_read_full(fileno(file), got, BIG, &late), BIG);
	assert_memory_equal(got, data, BIG);
	assert_int_equal(vfm_read_full(fileno(file), got, BIG, &late), 0);
	fclose(file);
	free(data);
	free(got);
}

/* More pieces than one call takes, some of them empty, with a limit and without. */
static void pieces(void **state)
{
	enum { PIECES = 5000 };
	static struct iovec iov[PIECES];
	uint8_t *data = pattern(BIG), *got = calloc(1, BIG);

	(void)state;
	for (int kind = 0; kind < NR_PAIRS; kind++)
		for (int limited = 0; limited < 2; limited++) {
			struct peer p = { .step = BIG, .buf = got };
			int fds[2];

			for (size_t i = 0; i < PIECES; i++) {
				size_t len = i % 7 == 0 ? 0 : i % 601;

				iov[i] = (struct iovec){ data + p.len, len };
				p.len += len;
			}
			assert_true(p.len < BIG);
			memset(got, 0, BIG);
			open_pair((enum pair)kind, 0, fds);
			p.fd = fds[0];
			start(&p, read_in_steps);
			assert_int_equal(
				vfm_writev_full(fds[1], iov, PIECES, limited ? &late : NULL), 0);
			pthread_join(p.thread, NULL);
			assert_memory_equal(got, data, p.len);
			close_pair(fds);
		}
	free(data);
	free(got);
}

static void nothing_is_moved_at_once(void **state)
{
	struct iovec empty[3] = { { 0 } };
	int fds[2];

	(void)state;
	open_pair(PAIR_PIPE, 0, fds);
	assert_int_equal(vfm_read_full(fds[0], NULL, 0, &soon), 0);
	assert_int_equal(vfm_write_full(fds[1], NULL, 0, &soon), 0);
	assert_int_equal(vfm_writev_full(fds[1], empty, 3, NULL), 0);
	close_pair(fds);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_dribbles_in),
		cmocka_unit_test(writes_to_a_slow_reader),
		cmocka_unit_test(end_of_file_cuts_a_read_short),
		cmocka_unit_test(a_read_that_gets_nothing_times_out),
		cmocka_unit_test(a_write_that_nobody_reads_times_out),
		cmocka_unit_test(can_be_cancelled),
		cmocka_unit_test(can_be_cancelled_from_outside),
		cmocka_unit_test(a_reader_that_is_gone_is_an_error_and_no_signal),
		cmocka_unit_test(leaves_the_signal_mask_and_others_signals_alone),
		cmocka_unit_test(a_full_disk_is_told),
		cmocka_unit_test(bad_descriptors_are_told),
		cmocka_unit_test(regular_files),
		cmocka_unit_test(pieces),
		cmocka_unit_test(nothing_is_moved_at_once),
	};

	return RUN_TESTS(tests);
}
