// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Something else than a descriptor to read from and write to: a layer that
 * protects what passes a socket, or a test. Neither function ever waits; who calls
 * them does, for the descriptor that lies below.
 */

#ifndef VFMIG_IO_H
#define VFMIG_IO_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct vfm_io - two functions, and what they are given
 * @read: some bytes, at most @len. Return: how many; 0: the end; -EAGAIN: nothing now, and
 *	@events (poll's) says what the descriptor must have before the next try; another error
 * @write: some of the bytes of @iov. Return: how many were taken; -EAGAIN as above; another
 *	error. What was taken may be kept back: with @nr_iov 0 it is pushed on, and the
 *	return is 0 when nothing is left. A write that is given up after -EAGAIN must never
 *	be completed by anything else than another call of @write
 * @user: for both
 *
 * A reader and a writer may use the two at the same time, from two threads.
 */
struct vfm_io {
	ssize_t (*read)(void *user, void *buf, size_t len, short *events);
	ssize_t (*write)(void *user, const struct iovec *iov, int nr_iov, short *events);
	void *user;
};

#ifdef __cplusplus
}
#endif

#endif
