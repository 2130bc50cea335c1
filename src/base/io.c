// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Waiting is done with poll() before each transfer when there is a limit on it
 * or a way to cancel, so that blocking descriptors obey too. A write to one of
 * those would wait inside the kernel for room for all of it, whatever poll()
 * said about the first byte: it is told not to. A transfer that moved something
 * starts the limit anew.
 */

#include "base/io.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

int vfm_wait_fd(int fd, short events, const struct vfm_wait *wait)
{
	struct pollfd fds[2] = { { .fd = fd, .events = events },
				 { .fd = wait->cancel_fd, .events = POLLIN } };
	uint64_t end = vfm_now_ns() + (uint64_t)wait->timeout_ms * 1000000;

	if (wait->fn)
		return wait->fn(wait->user, fd, events);
	for (;;) {
		uint64_t now = vfm_now_ns();
		int left_ms = -1;
		int ret;

		if (wait->timeout_ms)
			left_ms = now < end ? (int)((end - now + 999999) / 1000000) : 0;
		ret = poll(fds, 2, left_ms);
		if (ret < 0 && errno != EINTR)
			return -errno;
		if (ret > 0 && fds[1].revents)
			return -ECANCELED;
		if (ret > 0)
			return 0;
		if (ret == 0)
			return -ETIMEDOUT;
	}
}

static bool may_wait_for_ever(const struct vfm_wait *wait)
{
	return !wait || (!wait->timeout_ms && wait->cancel_fd < 0 && !wait->fn);
}

/* Before a transfer (ret = 0) or after one that failed with @failed. */
static int wait_turn(int fd, short events, const struct vfm_wait *wait, int failed)
{
	static const struct vfm_wait for_ever = { .cancel_fd = -1 };

	if (failed == EINTR)
		return 0;
	if (failed && failed != EAGAIN)
		return -failed;
	if (!failed && may_wait_for_ever(wait))
		return 0;
	return vfm_wait_fd(fd, events, wait ? wait : &for_ever);
}

int vfm_read_more(int fd, void *buf, size_t *done, size_t len, const struct vfm_wait *wait)
{
	int failed = 0;

	while (*done < len) {
		int ret = wait_turn(fd, POLLIN, wait, failed);
		ssize_t n;

		if (ret)
			return ret;
		n = read(fd, (uint8_t *)buf + *done, len - *done);
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

static bool is_pipe(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISFIFO(st.st_mode);
}

/* What fits into a pipe now; at least PIPE_BUF bytes do when poll() said so. */
static ssize_t write_pipe(int fd, struct iovec *iov, int nr_iov)
{
	ssize_t n = pwritev2(fd, iov, nr_iov, -1, RWF_NOWAIT);

	if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == ESPIPE))
		n = write(fd, iov->iov_base, VFM_MIN(iov->iov_len, (size_t)PIPE_BUF));
	return n;
}

/* writev() that does not raise SIGPIPE where it can be helped. */
static ssize_t write_some(int fd, struct iovec *iov, int nr_iov, bool limited)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = (size_t)nr_iov };
	ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL | (limited ? MSG_DONTWAIT : 0));

	if (n >= 0 || errno != ENOTSOCK)
		return n;
	if (limited && is_pipe(fd))
		return write_pipe(fd, iov, nr_iov);
	return writev(fd, iov, nr_iov);
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
	int failed = 0;

	advance(&iov, &nr_iov, 0);
	while (nr_iov) {
		int ret = wait_turn(fd, POLLOUT, wait, failed);
		ssize_t n;

		if (ret)
			return ret;
		n = write_some(fd, iov, nr_iov, !may_wait_for_ever(wait));
		failed = n < 0 ? errno : 0;
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
