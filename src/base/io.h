// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Whole reads and writes on descriptors, with a limit on waiting. */

#ifndef VFM_BASE_IO_H
#define VFM_BASE_IO_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <vfmig/io.h>

/**
 * struct vfm_wait - how long to wait
 * @timeout_ms: without any progress; 0: for ever
 * @cancel_fd: readable: -ECANCELED; -1: none
 * @fn: does the waiting instead, for whoever has other things to serve meanwhile; may be
 *	NULL. Returns 0 when @fd has one of @events, else an error, which ends the transfer.
 *	Not called while a socket gives or takes at once: look elsewhere between transfers, too
 * @user: for @fn
 */
struct vfm_wait {
	unsigned int timeout_ms;
	int cancel_fd;
	int (*fn)(void *user, int fd, short events);
	void *user;
};

/** vfm_wait_fd() - until @fd has one of @events: 0, -ETIMEDOUT or -ECANCELED. */
int vfm_wait_fd(int fd, short events, const struct vfm_wait *wait);

/**
 * vfm_read_full() - read until @len bytes are there or the end
 *
 * Return: bytes read, fewer than @len only at the end of the file; or an error.
 */
ssize_t vfm_read_full(int fd, void *buf, size_t len, const struct vfm_wait *wait);

/**
 * vfm_read_more() - the same, but keeps account, so that it can go on after a failure
 * @done: bytes that @buf holds already; raised by what came, also when this fails
 *
 * Return: 0, and *@done < @len means the end of the file; or an error.
 */
int vfm_read_more(int fd, void *buf, size_t *done, size_t len, const struct vfm_wait *wait);

/** vfm_write_full() - write all of it: 0 or an error, -EPIPE among them. Never raises SIGPIPE. */
int vfm_write_full(int fd, const void *buf, size_t len, const struct vfm_wait *wait);

/** vfm_writev_full() - the same for pieces; @iov is used up on the way. */
int vfm_writev_full(int fd, struct iovec *iov, int nr_iov, const struct vfm_wait *wait);

/**
 * vfm_io_read_more() - vfm_read_more() over something else than a descriptor
 * @fd: below it, to wait for
 * @wait: not NULL
 *
 * It is tried before it is waited for, as it may hold back what has arrived. A descriptor that
 * cancels is looked at before each try.
 */
int vfm_io_read_more(const struct vfm_io *io, int fd, void *buf, size_t *done, size_t len,
		     const struct vfm_wait *wait);

/** vfm_io_writev_full() - the same for vfm_writev_full(): 0 when nothing is kept back, either. */
int vfm_io_writev_full(const struct vfm_io *io, int fd, struct iovec *iov, int nr_iov,
		       const struct vfm_wait *wait);

#endif
