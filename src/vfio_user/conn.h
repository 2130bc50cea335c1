// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A connection: bytes in, messages out, and back. It knows headers and
 * descriptors and no command. Any split of the byte stream gives the same
 * messages; a message that is too large is drained, not stored; framing that is
 * broken ends the connection. Both ends of a socket may send at the same time,
 * so whoever waits to send keeps receiving.
 *
 * The socket stays in blocking mode; calls that must not wait use MSG_DONTWAIT.
 */

#ifndef VFM_VFIO_USER_CONN_H
#define VFM_VFIO_USER_CONN_H

#include "base/io.h"
#include "vfio_user/vfio_user.h"

struct vfm_vu_conn;

/**
 * struct vfm_vu_msg - a message that was received
 * @id, @command, @flags, @error: from the header
 * @size: bytes of payload that the header announced
 * @payload, @len: what was stored; fewer than @size when it was @oversize or
 *	went into the sink. Valid until the next receive on this connection, or
 *	send that waits (see vfm_vu_conn_pin())
 * @oversize: larger than the limit; it was drained, @len is 0
 * @inner: not its beginning: this is more of the payload of the message before; see
 *	vfm_vu_conn_recv_part()
 * @rest: bytes of payload that come as further parts; 0: this was all
 * @fds, @nr_fds: owned by the message: vfm_vu_msg_close_fds() closes those that
 *	nobody has taken (taken ones are set to -1). More than VFM_VU_MAX_FDS
 *	are closed at once, and @fds_lost is set
 */
struct vfm_vu_msg {
	uint16_t id;
	uint16_t command;
	uint32_t flags;
	uint32_t error;
	size_t size;
	const uint8_t *payload;
	size_t len;
	bool oversize;
	bool inner;
	size_t rest;
	bool fds_lost;
	int fds[VFM_VU_MAX_FDS];
	unsigned int nr_fds;
};

void vfm_vu_msg_close_fds(struct vfm_vu_msg *msg);

/**
 * vfm_vu_conn_new() - over a connected stream socket
 * @fd: taken on success
 * @max_payload: of a message that is received; larger ones are drained. Memory
 *	grows with the messages that really come, up to this
 */
int vfm_vu_conn_new(struct vfm_vu_conn **out, int fd, size_t max_payload,
		    struct vfm_err *err) VFM_MUST_CHECK;
void vfm_vu_conn_free(struct vfm_vu_conn *conn);
int vfm_vu_conn_fd(const struct vfm_vu_conn *conn);

/** vfm_vu_conn_set_limit() - a new @max_payload, after the negotiation. */
void vfm_vu_conn_set_limit(struct vfm_vu_conn *conn, size_t max_payload);

/**
 * struct vfm_vu_out - a message to be sent
 * @body, @nr_body: pieces of the payload, at most 6
 * @fds: go with the first byte of the header; stay the caller's
 * @keep: what @body points to stays as it is until vfm_vu_conn_queued() is
 *	false, so that it need not be copied
 */
struct vfm_vu_out {
	uint16_t id;
	uint16_t command;
	uint32_t flags;
	uint32_t error;
	const struct iovec *body;
	int nr_body;
	const int *fds;
	unsigned int nr_fds;
	bool keep;
};

/**
 * vfm_vu_conn_send() - header and body in one sendmsg() where the socket takes it
 * @wait: how long the peer may take; NULL: do not wait, what the socket does not
 *	take is copied and sent by vfm_vu_conn_flush()
 *
 * While it waits, arriving bytes are received, so that two ends that send to
 * each other cannot block each other. Never raises SIGPIPE.
 * -ECONNRESET: the peer is gone; -ETIMEDOUT; -ECANCELED.
 */
int vfm_vu_conn_send(struct vfm_vu_conn *conn, const struct vfm_vu_out *out,
		     const struct vfm_wait *wait, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_vu_conn_flush() - send what is queued, without waiting. 1: all sent; 0: some is left. */
int vfm_vu_conn_flush(struct vfm_vu_conn *conn, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_vu_conn_queued() - whether something waits to be flushed (poll for POLLOUT). */
bool vfm_vu_conn_queued(const struct vfm_vu_conn *conn);

/**
 * struct vfm_vu_sink - where the tail of an expected reply goes, without a copy
 * @id: of the reply that is meant
 * @skip: bytes of its payload that are stored as usual
 * @buf, @room: where the rest goes; a longer reply is stored as usual altogether
 * @got: set to the bytes put there
 */
struct vfm_vu_sink {
	uint16_t id;
	size_t skip;
	void *buf;
	size_t room;
	size_t got;
};

/**
 * vfm_vu_conn_set_sink() - for the next reply with that id; NULL takes it away
 *
 * It is gone, too, once that reply was received. @buf may be written before it is
 * known whose bytes they are; only @got of them mean anything.
 */
void vfm_vu_conn_set_sink(struct vfm_vu_conn *conn, struct vfm_vu_sink *sink);

/**
 * vfm_vu_conn_recv() - the next message
 * @wait: NULL: only what is there now. Its limit holds for the first bytes, and then for
 *	all of a message that has begun
 *
 * Return: 1: a message; 0: none is complete now (only without @wait);
 * -ENOTCONN: the peer has closed, between messages; -ECONNRESET: inside of one;
 * -EPROTO: broken framing: a size below the header's, or a type that is neither
 * command nor reply; -ETIMEDOUT; -ECANCELED. After an error the connection is of
 * no use.
 */
int vfm_vu_conn_recv(struct vfm_vu_conn *conn, struct vfm_vu_msg *msg, const struct vfm_wait *wait,
		     struct vfm_err *err) VFM_MUST_CHECK;

/**
 * struct vfm_vu_may_part - whose messages may come in parts
 * @fn: whether one of this command may, of which VFM_VU_LEAST_PART bytes of payload are there
 * @user: for @fn
 */
struct vfm_vu_may_part {
	bool (*fn)(const void *user, uint16_t command, const uint8_t *payload);
	const void *user;
};

/**
 * vfm_vu_conn_recv_part() - the same, without waiting, but a large message comes in parts
 * @may: of which commands the payload may be used before all of it is there
 *
 * So that work on it and its transfer go on at the same time, in memory that is still
 * in the cache. A message has parts only if it is not whole when it is asked for and is
 * within the limit. Every part has the header's fields, @inner and @rest say where it
 * belongs. The first holds at least VFM_VU_LEAST_PART bytes and the descriptors; later
 * ones hold that much, too, but for the last. Until it was given nothing else is
 * received from this connection: vfm_vu_conn_recv() is out of place between the parts
 * of a message.
 */
int vfm_vu_conn_recv_part(struct vfm_vu_conn *conn, struct vfm_vu_msg *msg,
			  const struct vfm_vu_may_part *may, struct vfm_err *err) VFM_MUST_CHECK;
#define VFM_VU_LEAST_PART (32u << 10)

/**
 * vfm_vu_conn_recv_into() - more of a message that comes in parts, straight to where it belongs
 * @buf: room for its rest; the part is its beginning, of any length
 *
 * Only between the parts of a message. Return: as above.
 */
int vfm_vu_conn_recv_into(struct vfm_vu_conn *conn, struct vfm_vu_msg *msg, void *buf,
			  struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_vu_conn_pin() - let the payload of the last message stay valid until vfm_vu_conn_unpin()
 *
 * For who must receive in the middle of handling a message. One at a time: while
 * one is pinned, this does nothing, and later messages are valid as usual.
 */
int vfm_vu_conn_pin(struct vfm_vu_conn *conn, struct vfm_err *err) VFM_MUST_CHECK;
void vfm_vu_conn_unpin(struct vfm_vu_conn *conn);

/** vfm_vu_conn_has_message() - whether recv has a message or an error without asking the socket. */
bool vfm_vu_conn_has_message(const struct vfm_vu_conn *conn);

#endif
