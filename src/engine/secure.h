// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * One connection that TLS protects, over a socket, without ever waiting. tls.c
 * is the one file that knows OpenSSL.
 *
 * One thread may read while another writes: OpenSSL's object does not bear that, so
 * a lock is held around every call of it. As the socket never waits, no
 * side holds it for longer than it takes to work on 256 KiB.
 */

#ifndef VFM_ENGINE_SECURE_H
#define VFM_ENGINE_SECURE_H

#include <stdbool.h>
#include <stdint.h>

#include <vfmig/io.h>
#include <vfmig/tls.h>

struct vfm_tls_session;

/**
 * struct vfm_tls_opts - of one connection
 * @fd: a connected stream socket, borrowed
 * @server: we are the side that was connected to
 * @who: what the peer is called in errors; borrowed
 * @name: DNS name or address that the peer's certificate must be for; NULL: any
 * @rekey_bytes: a new key is made after so many bytes; 0: as many as the cipher bears
 */
struct vfm_tls_opts {
	int fd;
	bool server;
	const char *who;
	const char *name;
	uint64_t rekey_bytes;
};

int vfm_tls_open(struct vfm_tls_session **out, const struct vfm_tls *tls,
		 const struct vfm_tls_opts *opts, struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_tls_close() - say that nothing follows, if that can be said at once, and free
 *
 * What a write could not get out in full is dropped.
 */
void vfm_tls_close(struct vfm_tls_session *s);

/**
 * vfm_tls_handshake() - as far as it gets now
 *
 * Return: 0: done; -EAGAIN with @events: to be called again; -EKEYREJECTED: one side does not
 * take the certificate of the other; another error.
 */
int vfm_tls_handshake(struct vfm_tls_session *s, short *events, struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_tls_read(), vfm_tls_write() - as those of struct vfm_io
 *
 * -ECONNRESET: the peer is gone without a word, and @err is not filled in; nor is it by other
 * failures of the socket, and with -EAGAIN. -EBADMSG: what came is damaged or forged.
 */
ssize_t vfm_tls_read(struct vfm_tls_session *s, void *buf, size_t len, short *events,
		     struct vfm_err *err);
ssize_t vfm_tls_write(struct vfm_tls_session *s, const struct iovec *iov, int nr_iov, short *events,
		      struct vfm_err *err);

/** vfm_tls_same_peer() - whether both were made with the same certificate of the other side. */
bool vfm_tls_same_peer(struct vfm_tls_session *a, struct vfm_tls_session *b);

/** vfm_tls_told() - whether it was the peer that ended it, with a word why. */
bool vfm_tls_told(struct vfm_tls_session *s);

#endif
