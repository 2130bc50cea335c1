// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The sending half of a connection: a message in one sendmsg() where the socket takes it.
 *
 * What cannot be sent without waiting is queued as chunks. A chunk begins with the header
 * of its message or behind it, never with the rest of another, so that descriptors are on
 * the header when they leave late, too.
 */

#include "vfio_user/conn_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"

/* Pieces of a body, and its header. */
#define MAX_PIECES 7

/* Something on its way out. */
struct pieces {
	struct iovec iov[MAX_PIECES];
	int first, nr;
	const int *fds;
	unsigned int nr_fds;
};

struct vfm_conn_chunk {
	struct vfm_conn_chunk *next;
	struct pieces pieces;
	uint8_t header[VFM_VU_HEADER_SIZE];
	int fds[VFM_VU_MAX_FDS];
	uint8_t copy[];
};

static void advance(struct pieces *p, size_t n)
{
	while (p->nr && n >= p->iov[p->first].iov_len) {
		n -= p->iov[p->first].iov_len;
		p->first++;
		p->nr--;
	}
	if (p->nr) {
		p->iov[p->first].iov_base = (uint8_t *)p->iov[p->first].iov_base + n;
		p->iov[p->first].iov_len -= n;
	}
}

static void put_fds(struct msghdr *mh, void *control, const struct pieces *p)
{
	struct cmsghdr *c;

	mh->msg_control = control;
	mh->msg_controllen = CMSG_SPACE(sizeof(int) * p->nr_fds);
	memset(control, 0, mh->msg_controllen);
	c = CMSG_FIRSTHDR(mh);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * p->nr_fds);
	memcpy(CMSG_DATA(c), p->fds, sizeof(int) * p->nr_fds);
}

/* As much as the socket takes now. 1: all; 0: some is left. */
static int push(struct vfm_vu_conn *conn, struct pieces *p)
{
	union {
		struct cmsghdr align;
		uint8_t mem[CMSG_SPACE(sizeof(int) * VFM_VU_MAX_FDS)];
	} control;

	while (p->nr) {
		struct msghdr mh = { .msg_iov = p->iov + p->first, .msg_iovlen = (size_t)p->nr };
		ssize_t n;

		if (p->nr_fds)
			put_fds(&mh, &control, p);
		n = sendmsg(conn->fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return errno == EPIPE ? -ECONNRESET : -errno;
		p->nr_fds = 0;
		advance(p, (size_t)n);
		return p->nr == 0;
	}
	return 1;
}

static void free_chunk(struct vfm_conn_chunk *chunk)
{
	vfm_conn_close_fds(chunk->fds, chunk->pieces.nr_fds);
	free(chunk);
}

/* Returns like push(). */
static int push_queue(struct vfm_vu_conn *conn)
{
	while (conn->queue) {
		struct vfm_conn_chunk *chunk = conn->queue;
		unsigned int nr_fds = chunk->pieces.nr_fds;
		int ret = push(conn, &chunk->pieces);

		if (nr_fds && !chunk->pieces.nr_fds)
			vfm_conn_close_fds(chunk->fds, nr_fds);
		if (ret <= 0)
			return ret;
		conn->queue = chunk->next;
		free_chunk(chunk);
	}
	conn->queue_end = &conn->queue;
	return 1;
}

static int keep_fds(struct vfm_conn_chunk *chunk, const struct pieces *p)
{
	unsigned int i;

	for (i = 0; i < p->nr_fds; i++) {
		chunk->fds[i] = fcntl(p->fds[i], F_DUPFD_CLOEXEC, 0);
		if (chunk->fds[i] < 0) {
			int ret = -errno;

			vfm_conn_close_fds(chunk->fds, i);
			return ret;
		}
	}
	chunk->pieces.fds = chunk->fds;
	chunk->pieces.nr_fds = p->nr_fds;
	return 0;
}

/* Queue what is left of a message. Its first piece may be the header, which is the caller's. */
static int enqueue(struct vfm_vu_conn *conn, const struct pieces *p, bool keep, bool with_header)
{
	const struct iovec *iov = p->iov + p->first;
	size_t copied = 0;
	struct vfm_conn_chunk *chunk;
	int i, ret;

	for (i = 0; i < p->nr && !keep; i++)
		copied += iov[i].iov_len;
	chunk = calloc(1, sizeof(*chunk) + copied);
	if (!chunk)
		return -ENOMEM;
	ret = keep_fds(chunk, p);
	if (ret) {
		free(chunk);
		return ret;
	}
	if (keep) {
		memcpy(chunk->pieces.iov, iov, sizeof(*iov) * (size_t)p->nr);
		chunk->pieces.nr = p->nr;
		if (with_header) {
			memcpy(chunk->header, iov[0].iov_base, iov[0].iov_len);
			chunk->pieces.iov[0].iov_base = chunk->header;
		}
	} else {
		struct vfm_writer w = vfm_writer_of(chunk->copy, copied);

		for (i = 0; i < p->nr; i++)
			vfm_write_bytes(&w, iov[i].iov_base, iov[i].iov_len);
		chunk->pieces.iov[0] = (struct iovec){ chunk->copy, copied };
		chunk->pieces.nr = 1;
	}
	*conn->queue_end = chunk;
	conn->queue_end = &chunk->next;
	return 0;
}

/* Push the queue, and @p after it, while taking in what arrives. */
static int push_waiting(struct vfm_vu_conn *conn, struct pieces *p, const struct vfm_wait *wait)
{
	for (;;) {
		bool in = vfm_conn_may_receive(conn);
		int ret = push_queue(conn);

		if (ret > 0)
			ret = push(conn, p);
		if (ret)
			return ret < 0 ? ret : 0;
		ret = vfm_wait_fd(conn->fd, in ? POLLIN | POLLOUT : POLLOUT, wait);
		if (ret)
			return ret;
		/* An error of this direction is recv's to report. */
		while (vfm_conn_may_receive(conn) && vfm_conn_receive(conn, MSG_DONTWAIT) > 0)
			;
	}
}

static int send_failed(int code, const struct vfm_vu_out *out, struct vfm_err *err)
{
	return vfm_fail(err, code, "sending a message of command %u failed: %s", out->command,
			strerror(-code));
}

static void write_header(uint8_t *to, const struct vfm_vu_out *out, size_t size)
{
	struct vfm_writer w = vfm_writer_of(to, VFM_VU_HEADER_SIZE);

	vfm_write_he16(&w, out->id);
	vfm_write_he16(&w, out->command);
	vfm_write_he32(&w, (uint32_t)size);
	vfm_write_he32(&w, out->flags);
	vfm_write_he32(&w, out->error);
}

int vfm_vu_conn_send(struct vfm_vu_conn *conn, const struct vfm_vu_out *out,
		     const struct vfm_wait *wait, struct vfm_err *err)
{
	uint8_t header[VFM_VU_HEADER_SIZE];
	struct pieces p = { .nr = 1 + out->nr_body, .fds = out->fds, .nr_fds = out->nr_fds };
	size_t size = sizeof(header);
	int i, ret;

	if (out->nr_body >= MAX_PIECES || out->nr_fds > VFM_VU_MAX_FDS)
		return send_failed(-E2BIG, out, err);
	for (i = 0; i < out->nr_body; i++) {
		p.iov[1 + i] = out->body[i];
		if (__builtin_add_overflow(size, out->body[i].iov_len, &size))
			return send_failed(-EMSGSIZE, out, err);
	}
	if (size > UINT32_MAX)
		return send_failed(-EMSGSIZE, out, err);
	write_header(header, out, size);
	p.iov[0] = (struct iovec){ header, sizeof(header) };
	ret = conn->queue ? 0 : push(conn, &p);
	if (ret == 0 && wait)
		ret = push_waiting(conn, &p, wait);
	else if (ret == 0)
		ret = enqueue(conn, &p, out->keep, p.first == 0);
	return ret < 0 ? send_failed(ret, out, err) : 0;
}

int vfm_vu_conn_flush(struct vfm_vu_conn *conn, struct vfm_err *err)
{
	int ret = push_queue(conn);

	if (ret < 0)
		return vfm_fail(err, ret, "sending what was queued failed: %s", strerror(-ret));
	return ret;
}

bool vfm_vu_conn_queued(const struct vfm_vu_conn *conn)
{
	return conn->queue;
}

void vfm_conn_drop_queue(struct vfm_vu_conn *conn)
{
	while (conn->queue) {
		struct vfm_conn_chunk *chunk = conn->queue;

		conn->queue = chunk->next;
		free_chunk(chunk);
	}
	conn->queue_end = &conn->queue;
}
