// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* The life of a connection; conn_recv.c and conn_send.c are its two halves. */

#include "vfio_user/conn_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of the socket: a usual transfer fits, so that its sender need not wait for each part of it. */
#define SEND_ROOM (1 << 20)

void vfm_vu_msg_close_fds(struct vfm_vu_msg *msg)
{
	vfm_conn_close_fds(msg->fds, msg->nr_fds);
	msg->nr_fds = 0;
}

int vfm_vu_conn_new(struct vfm_vu_conn **out, int fd, size_t max_payload, struct vfm_err *err)
{
	struct vfm_vu_conn *conn = calloc(1, sizeof(*conn));
	const int room = SEND_ROOM;

	if (!conn || vfm_conn_grow(&conn->in, VFM_CONN_FIRST_ROOM)) {
		free(conn);
		return vfm_fail(err, -ENOMEM, "no memory for a connection");
	}
	/* As far as the system allows; without it a large message just takes more turns. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	conn->fd = fd;
	conn->limit = max_payload;
	conn->queue_end = &conn->queue;
	*out = conn;
	return 0;
}

void vfm_vu_conn_free(struct vfm_vu_conn *conn)
{
	if (!conn)
		return;
	for (; conn->nr_notes; conn->nr_notes--)
		vfm_conn_close_fds(vfm_conn_note(conn, conn->nr_notes - 1)->fds,
				   vfm_conn_note(conn, conn->nr_notes - 1)->nr_fds);
	vfm_conn_drop_queue(conn);
	close(conn->fd);
	free(conn->in.mem);
	free(conn->other.mem);
	free(conn);
}

int vfm_vu_conn_fd(const struct vfm_vu_conn *conn)
{
	return conn->fd;
}

void vfm_vu_conn_set_limit(struct vfm_vu_conn *conn, size_t max_payload)
{
	conn->limit = max_payload;
}

int vfm_vu_conn_pin(struct vfm_vu_conn *conn, struct vfm_err *err)
{
	size_t left = conn->wr - conn->rd;
	struct vfm_conn_buffer was = conn->in;

	if (conn->pinned)
		return 0;
	if (conn->other.room < left + VFM_CONN_FIRST_ROOM &&
	    vfm_conn_grow(&conn->other, left + VFM_CONN_FIRST_ROOM))
		return vfm_fail(err, -ENOMEM, "no memory for a second receive buffer");
	if (left)
		memcpy(conn->other.mem, conn->in.mem + conn->rd, left);
	conn->in = conn->other;
	conn->other = was;
	conn->pinned = true;
	conn->scan -= conn->rd;
	conn->wr = left;
	conn->rd = 0;
	return 0;
}

void vfm_vu_conn_unpin(struct vfm_vu_conn *conn)
{
	conn->pinned = false;
}
