// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Waiting is done with poll() before each transfer when there is a limit on it
 * or a way to cancel, so that blocking descriptors obey too. A transfer that
 * moved something starts the limit anew.
 *
 * A socket can be asked not to wait, so it is tried first and polled only when it
 * has nothing: half the system calls of a steady flow, and poll() calls a socket
 * writable late, when much of its buffer is free. Not so with a descriptor that
 * cancels, which must be seen even while every transfer succeeds. Who does the
 * waiting himself looks after that between transfers.
 *
 * What surprises: poll() says that a blocking descriptor takes something, not
 * that it takes all, and write() sleeps until all is taken. So a socket is
 * written to without waiting, and anything else but a regular file in what fits
 * now, or in pieces that a pipe takes whole. The flag O_NONBLOCK would be shorter, but belongs to
 * everybody who shares the open file, a terminal for instance.
 */

#include "base/io.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

/* Milliseconds until @end, rounded up, as poll() wants them; -1 without a limit. */
static int poll_time(const struct vfm_wait *wait, uint64_t end)
{
	uint64_t now = vfm_now_ns();

	if (!wait->timeout_ms)
		return -1;
	return now < end ? (int)VFM_MIN((end - now + 999999) / 1000000, INT_MAX) : 0;
}

int vfm_wait_fd(int fd, short events, const struct vfm_wait *wait)
{
	struct pollfd fds[2] = { { .fd = fd, .events = events },
				 { .fd = wait->cancel_fd, .events = POLLIN } };
	uint64_t end = vfm_now_ns() + (uint64_t)wait->timeout_ms * 1000000;

	if (wait->fn)
		return wait->fn(wait->user, fd, events);
	for (;;) {
		int left_ms = poll_time(wait, end);
		int ret = poll(fds, 2, left_ms);

		if (ret < 0 && errno != EINTR)
			return -errno;
		if (ret > 0 && fds[1].revents)
			return -ECANCELED;
		if (ret > 0)
			return 0;
		if (ret == 0 && left_ms < INT_MAX)
			return -ETIMEDOUT;
	}
}

static bool may_wait_for_ever(const struct vfm_wait *wait)
{
	return !wait || (!wait->timeout_ms && wait->cancel_fd < 0 && !wait->fn);
}

/* Whether a socket is tried before it is waited for. */
static bool tries_first(const struct vfm_wait *wait)
{
	return !may_wait_for_ever(wait) && wait->cancel_fd < 0;
}

/* Before a transfer (@failed = 0) or after one that failed with @failed. @trying: it is a socket
 * that is asked not to wait. */
static int wait_turn(int fd, short events, const struct vfm_wait *wait, int failed, bool trying)
{
	static const struct vfm_wait for_ever = { .cancel_fd = -1 };

	if (failed && failed != EAGAIN && failed != EINTR)
		return -failed;
	if (failed != EAGAIN && (trying || may_wait_for_ever(wait)))
		return 0;
	return vfm_wait_fd(fd, events, wait ? wait : &for_ever);
}

/* @trying is taken back from what is no socket, which then is waited for. */
static ssize_t read_some(int fd, void *buf, size_t len, bool *trying)
{
	ssize_t n;

	if (!*trying)
		return read(fd, buf, len);
	n = recv(fd, buf, len, MSG_DONTWAIT);
	if (n < 0 && errno == ENOTSOCK) {
		*trying = false;
		errno = EAGAIN;
	}
	return n;
}

int vfm_read_more(int fd, void *buf, size_t *done, size_t len, const struct vfm_wait *wait)
{
	bool trying = tries_first(wait);
	int failed = 0;

	while (*done < len) {
		int ret = wait_turn(fd, POLLIN, wait, failed, trying);
		ssize_t n;

		if (ret)
			return ret;
		n = read_some(fd, (uint8_t *)buf + *done, len - *done, &trying);
		failed = n < 0 ? errno : 0;
		if (n == 0)
			break;
		if (n > 0)
			*done += (size_t)n;
	}
	return 0;
}

ssize_t vfm_read_full(int fd, void *buf, size_t len, const struct vfm_wait *wait)
{
	size_t done = 0;
	int ret = vfm_read_more(fd, buf, &done, len, wait);

	return ret ? ret : (ssize_t)done;
}

/* How a descriptor is written to. */
enum sink {
	SINK_SOCKET, /* sendmsg() */
	SINK_WHOLE,  /* writev(): a file, or somebody who does not mind to wait */
	SINK_PIECES, /* what fits now, or at most PIPE_BUF: what poll() promises */
};

static int find_sink(int fd, const struct vfm_wait *wait, enum sink *sink)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (S_ISSOCK(st.st_mode))
		*sink = SINK_SOCKET;
	else if (S_ISREG(st.st_mode) || may_wait_for_ever(wait))
		*sink = SINK_WHOLE;
	else
		*sink = SINK_PIECES;
	return 0;
}

static ssize_t write_piece(int fd, const struct iovec *iov, int nr_iov)
{
	ssize_t n = pwritev2(fd, iov, nr_iov, -1, RWF_NOWAIT);

	if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == ESPIPE))
		n = write(fd, iov->iov_base, VFM_MIN(iov->iov_len, PIPE_BUF));
	return n;
}

/* A pipe without a reader raises SIGPIPE, and has no flag against it as sockets have. */
static ssize_t write_quietly(int fd, enum sink sink, const struct iovec *iov, int nr_iov)
{
	const struct timespec now = { 0 };
	sigset_t sigpipe, pending, old;
	ssize_t n;
	int failed;

	sigemptyset(&sigpipe);
	sigaddset(&sigpipe, SIGPIPE);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &sigpipe, &old);
	if (sink == SINK_PIECES)
		n = write_piece(fd, iov, nr_iov);
	else
		n = writev(fd, iov, nr_iov);
	failed = errno;
	/* One that waited before is not ours to take. */
	if (n < 0 && failed == EPIPE && !sigismember(&pending, SIGPIPE))
		while (sigtimedwait(&sigpipe, NULL, &now) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = failed;
	return n;
}

static ssize_t write_some(int fd, enum sink sink, struct iovec *iov, int nr_iov,
			  const struct vfm_wait *wait)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = (size_t)VFM_MIN(nr_iov, IOV_MAX) };
	int flags = MSG_NOSIGNAL | (may_wait_for_ever(wait) ? 0 : MSG_DONTWAIT);

	if (sink == SINK_SOCKET)
		return sendmsg(fd, &msg, flags);
	return write_quietly(fd, sink, iov, VFM_MIN(nr_iov, IOV_MAX));
}

static void advance(struct iovec **iov, int *nr_iov, size_t n)
{
	while (*nr_iov && n >= (*iov)->iov_len) {
		n -= (*iov)->iov_len;
		++*iov;
		--*nr_iov;
	}
	if (*nr_iov) {
		(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + n;
		(*iov)->iov_len -= n;
	}
}

int vfm_writev_full(int fd, struct iovec *iov, int nr_iov, const struct vfm_wait *wait)
{
	enum sink sink = SINK_WHOLE;
	int failed = 0;
	int ret = find_sink(fd, wait, &sink);
	bool trying = sink == SINK_SOCKET && tries_first(wait);

	if (ret)
		return ret;
	advance(&iov, &nr_iov, 0);
	while (nr_iov) {
		ssize_t n;

		ret = wait_turn(fd, POLLOUT, wait, failed, trying);
		if (ret)
			return ret;
		n = write_some(fd, sink, iov, nr_iov, wait);
		failed = n < 0 ? errno : 0;
		if (n == 0)
			return -EIO;
		if (n > 0)
			advance(&iov, &nr_iov, (size_t)n);
	}
	return 0;
}

int vfm_write_full(int fd, const void *buf, size_t len, const struct vfm_wait *wait)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };

	return vfm_writev_full(fd, &iov, 1, wait);
}

/* ---- something else than a descriptor ------------------------------------ */

static bool is_cancelled(const struct vfm_wait *wait)
{
	struct pollfd fd = { .fd = wait->fn ? -1 : wait->cancel_fd, .events = POLLIN };

	return fd.fd >= 0 && poll(&fd, 1, 0) > 0;
}

/* After a try that gave @n: 0 to go on, or an error. */
static int io_turn(int fd, ssize_t n, short events, const struct vfm_wait *wait)
{
	if (n >= 0)
		return is_cancelled(wait) ? -ECANCELED : 0;
	return n == -EAGAIN ? vfm_wait_fd(fd, events, wait) : (int)n;
}

int vfm_io_read_more(const struct vfm_io *io, int fd, void *buf, size_t *done, size_t len,
		     const struct vfm_wait *wait)
{
	int ret = is_cancelled(wait) ? -ECANCELED : 0;

	while (!ret && *done < len) {
		short events = POLLIN;
		ssize_t n = io->read(io->user, (uint8_t *)buf + *done, len - *done, &events);

		if (n == 0)
			break;
		if (n > 0)
			*done += (size_t)n;
		if (*done < len)
			ret = io_turn(fd, n, events, wait);
	}
	return ret;
}

int vfm_io_writev_full(const struct vfm_io *io, int fd, struct iovec *iov, int nr_iov,
		       const struct vfm_wait *wait)
{
	int ret = is_cancelled(wait) ? -ECANCELED : 0;
	ssize_t n = -1;

	advance(&iov, &nr_iov, 0);
	/* the last call has no pieces left, and says that all is out */
	while (!ret && (nr_iov || n)) {
		short events = POLLOUT;

		n = io->write(io->user, iov, nr_iov, &events);
		if (n == 0 && nr_iov)
			return -EIO;
		if (n > 0)
			advance(&iov, &nr_iov, (size_t)n);
		if (n)
			ret = io_turn(fd, n, events, wait);
	}
	return ret;
}
