// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The receiving half of a connection: bytes to messages, with descriptors.
 *
 * What is received goes into one buffer that lives as long as the connection:
 *
 *      0        rd            scan              wr          room
 *      | gone   | whole       | a part of the   | free      |
 *      |        | messages    | next message    |           |
 *
 * One recvmsg() takes whatever is there, so that a small message costs one call and
 * several that wait cost one together. A message that is larger than the limit, and the
 * reply that the sink waits for, have their tail elsewhere: only their front is stored,
 * and a note says so. Memory follows the bytes that came, never the size announced.
 *
 * A message that is given out in parts leaves the buffer empty with each of them, so that
 * the next one goes to the same place. While one is under way, rd to wr is its payload.
 *
 * Descriptors: the kernel ends a recvmsg() behind the piece that carried some, and a
 * sender puts them on the first byte of a header. So they belong to the last message that
 * begins inside the bytes of that call, or to the one they are in the middle of.
 */

#include "vfio_user/conn_impl.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/bytes.h"

/* A receive offers at least this much room. */
#define LEAST_ROOM 4096u

/* Of a message with more than this missing exactly that is asked for, so that the next large one
 * begins at the start of the buffer and need not be moved. */
#define EXACT_ABOVE (16u << 10)

/* One receive may note the sink's reply, and the last message. */
#define NOTES_PER_RECEIVE 2u

struct header {
	uint16_t id;
	uint16_t command;
	uint32_t size;
	uint32_t flags;
	uint32_t error;
};

static struct header read_header(const uint8_t *from)
{
	struct vfm_reader r = vfm_reader_of(from, VFM_VU_HEADER_SIZE);
	struct header h;

	h.id = vfm_read_he16(&r);
	h.command = vfm_read_he16(&r);
	h.size = vfm_read_he32(&r);
	h.flags = vfm_read_he32(&r);
	h.error = vfm_read_he32(&r);
	return h;
}

/* ---- notes --------------------------------------------------------------- */

/* The note of the message whose header is at @index, a new one if need be. Callers see to it
 * that there is room: nothing is received while the notes are full. */
static struct vfm_conn_note *note_for(struct vfm_vu_conn *conn, size_t index)
{
	uint64_t start = conn->rd_pos + (index - conn->rd);
	struct vfm_conn_note *note;

	if (conn->nr_notes) {
		note = vfm_conn_note(conn, conn->nr_notes - 1);
		if (note->start == start)
			return note;
	}
	note = vfm_conn_note(conn, conn->nr_notes++);
	*note = (struct vfm_conn_note){ .start = start };
	return note;
}

static void note_fds(struct vfm_conn_note *note, int *fds, unsigned int nr_fds, bool lost)
{
	if (lost || note->fds_lost || note->nr_fds + nr_fds > VFM_VU_MAX_FDS) {
		vfm_conn_close_fds(fds, nr_fds);
		vfm_conn_close_fds(note->fds, note->nr_fds);
		note->nr_fds = 0;
		note->fds_lost = true;
		return;
	}
	memcpy(note->fds + note->nr_fds, fds, nr_fds * sizeof(*fds));
	note->nr_fds += nr_fds;
}

/* ---- what has arrived ---------------------------------------------------- */

static bool sink_wants(const struct vfm_vu_conn *conn, const struct header *h)
{
	const struct vfm_vu_sink *sink = conn->sink;

	return sink && (h->flags & VFM_VU_TYPE_MASK) == VFM_VU_REPLY && h->id == sink->id &&
	       !(h->flags & VFM_VU_ERROR) && h->size > VFM_VU_HEADER_SIZE + sink->skip &&
	       h->size - VFM_VU_HEADER_SIZE - sink->skip <= sink->room;
}

/* The message at scan keeps only @stored bytes here; the rest is for the sink, or for nobody. */
static void divert(struct vfm_vu_conn *conn, size_t size, size_t stored, bool sinks)
{
	struct vfm_conn_note *note = note_for(conn, conn->scan);
	size_t have = conn->wr - conn->scan;

	note->stored = stored;
	note->dropped = !sinks;
	conn->tail = size - VFM_MAX(have, stored);
	conn->tail_sinks = sinks;
	if (have <= stored)
		return;
	if (sinks) {
		memcpy(conn->sink->buf, conn->in.mem + conn->scan + stored, have - stored);
		conn->sink->got = have - stored;
	}
	conn->wr = conn->scan + stored;
}

/* The message at scan is not whole: decide where the rest of it goes. */
static void look_at_part(struct vfm_vu_conn *conn, const struct header *h)
{
	size_t have = conn->wr - conn->scan;

	if (sink_wants(conn, h)) {
		if (have >= VFM_VU_HEADER_SIZE + conn->sink->skip)
			divert(conn, h->size, VFM_VU_HEADER_SIZE + conn->sink->skip, true);
	} else if (h->size - VFM_VU_HEADER_SIZE > conn->limit) {
		divert(conn, h->size, VFM_VU_HEADER_SIZE, false);
	}
}

/* A whole message for the sink: the same, without a tail that is still to come. */
static void sink_whole(struct vfm_vu_conn *conn, const struct header *h, size_t end)
{
	size_t stored = VFM_VU_HEADER_SIZE + conn->sink->skip;
	size_t rest = h->size - stored;

	memcpy(conn->sink->buf, conn->in.mem + conn->scan + stored, rest);
	conn->sink->got = rest;
	conn->sink = NULL;
	note_for(conn, conn->scan)->stored = stored;
	memmove(conn->in.mem + conn->scan + stored, conn->in.mem + end, conn->wr - end);
	conn->wr -= rest;
	conn->scan += stored;
}

/* Move scan over what is whole now. Returns the start of the last message that begins here. */
static size_t scan_messages(struct vfm_vu_conn *conn)
{
	size_t last = conn->scan;

	while (!conn->tail && !conn->body.rest && conn->wr - conn->scan >= VFM_VU_HEADER_SIZE) {
		struct header h = read_header(conn->in.mem + conn->scan);

		last = conn->scan;
		if (h.size < VFM_VU_HEADER_SIZE || (h.flags & VFM_VU_TYPE_MASK) > VFM_VU_REPLY) {
			conn->broken = -EPROTO;
			break;
		}
		if (h.size > conn->wr - conn->scan) {
			look_at_part(conn, &h);
			break;
		}
		if (sink_wants(conn, &h))
			sink_whole(conn, &h, conn->scan + h.size);
		else
			conn->scan += h.size;
	}
	return conn->scan < conn->wr ? conn->scan : last;
}

static void end_of_tail(struct vfm_vu_conn *conn)
{
	if (conn->tail_sinks)
		conn->sink = NULL;
	conn->scan = conn->wr;
}

/* Take the descriptors out of what recvmsg() gave. */
static unsigned int take_fds(struct msghdr *mh, int fds[VFM_VU_MAX_FDS], bool *lost)
{
	unsigned int nr = 0;
	struct cmsghdr *c;

	*lost = mh->msg_flags & MSG_CTRUNC;
	for (c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		const uint8_t *p = CMSG_DATA(c);
		size_t left = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (; left >= sizeof(int); left -= sizeof(int), p += sizeof(int)) {
			int fd;

			memcpy(&fd, p, sizeof(fd));
			if (nr < VFM_VU_MAX_FDS)
				fds[nr++] = fd;
			else
				close(fd);
		}
	}
	return nr;
}

static void attach_fds(struct vfm_vu_conn *conn, struct msghdr *mh, size_t last)
{
	int fds[VFM_VU_MAX_FDS];
	bool lost;
	unsigned int nr;

	if (!mh->msg_controllen && !(mh->msg_flags & MSG_CTRUNC))
		return;
	nr = take_fds(mh, fds, &lost);
	/* Of a message in parts the first one had them. */
	if (conn->broken || conn->body.rest)
		vfm_conn_close_fds(fds, nr);
	else if (nr || lost)
		note_fds(note_for(conn, last), fds, nr, lost);
}

/* ---- receiving ----------------------------------------------------------- */

int vfm_conn_grow(struct vfm_conn_buffer *buf, size_t room)
{
	uint8_t *mem = realloc(buf->mem, room);

	if (!mem)
		return -ENOMEM;
	buf->mem = mem;
	buf->room = room;
	return 0;
}

/* Bytes of the message at scan that have not come, 0 when its header has not. */
static size_t missing(const struct vfm_vu_conn *conn)
{
	size_t have = conn->wr - conn->scan;

	if (conn->body.rest)
		return conn->body.rest - have;
	if (have < VFM_VU_HEADER_SIZE)
		return 0;
	return read_header(conn->in.mem + conn->scan).size - have;
}

/* Free room behind wr: by starting over, by moving what is left, or by growing to twice of what
 * has come. */
static int make_room(struct vfm_vu_conn *conn, size_t want)
{
	struct vfm_conn_buffer *in = &conn->in;
	size_t used;

	if (conn->rd == conn->wr)
		conn->rd = conn->scan = conn->wr = 0;
	if (in->room - conn->wr >= VFM_MIN(want, LEAST_ROOM))
		return 0;
	used = conn->wr - conn->rd;
	if (conn->rd) {
		memmove(in->mem, in->mem + conn->rd, used);
		conn->scan -= conn->rd;
		conn->wr = used;
		conn->rd = 0;
	}
	if (in->room - used >= VFM_MAX(LEAST_ROOM, in->room / 2))
		return 0;
	return vfm_conn_grow(in, VFM_MAX(2 * in->room, (size_t)VFM_CONN_FIRST_ROOM));
}

/* Whether there is place for more while what has come is not being taken. */
bool vfm_conn_may_receive(const struct vfm_vu_conn *conn)
{
	return !conn->broken && conn->nr_notes + NOTES_PER_RECEIVE <= VFM_CONN_MAX_NOTES &&
	       conn->wr - conn->rd < 2 * conn->limit + VFM_CONN_FIRST_ROOM;
}

/* Where the next bytes go. Returns the number of pieces. */
static int choose_room(struct vfm_vu_conn *conn, struct iovec iov[2])
{
	struct vfm_vu_sink *sink = conn->sink;
	size_t want, room;
	int ret;

	if (conn->tail && conn->tail_sinks) {
		iov[0] = (struct iovec){ (uint8_t *)sink->buf + sink->got, conn->tail };
		return 1;
	}
	want = conn->tail ? 0 : missing(conn);
	ret = make_room(conn, want ? want : LEAST_ROOM);
	if (!ret && conn->body.rest && conn->in.room < VFM_CONN_PART_ROOM)
		ret = vfm_conn_grow(&conn->in, VFM_CONN_PART_ROOM);
	if (ret)
		return ret;
	room = conn->in.room - conn->wr;
	if (conn->body.rest)
		room = VFM_MIN(VFM_MIN(room, want), VFM_CONN_PART_ROOM);
	else if (conn->tail)
		room = VFM_MIN(room, conn->tail);
	else if (want > EXACT_ABOVE)
		room = VFM_MIN(room, want);
	iov[0] = (struct iovec){ conn->in.mem + conn->wr, room };
	if (!sink || conn->wr || conn->tail || conn->body.rest ||
	    VFM_VU_HEADER_SIZE + sink->skip > room)
		return 1;
	/* Most probably the next thing is what the sink waits for: straight into it. */
	iov[0].iov_len = VFM_VU_HEADER_SIZE + sink->skip;
	iov[1] = (struct iovec){ sink->buf, sink->room };
	return 2;
}

/* Bytes went into the sink before it was known whose they are: put back what is not its own. */
static int sort_out_sink(struct vfm_vu_conn *conn, size_t extra)
{
	struct vfm_vu_sink *sink = conn->sink;
	struct header h = read_header(conn->in.mem);
	size_t own = 0;

	if (sink_wants(conn, &h)) {
		divert(conn, h.size, conn->wr, true);
		own = VFM_MIN(conn->tail, extra);
		sink->got = own;
		conn->tail -= own;
		if (!conn->tail)
			end_of_tail(conn);
	}
	extra -= own;
	if (extra > conn->in.room - conn->wr && vfm_conn_grow(&conn->in, conn->wr + extra))
		return -ENOMEM;
	if (extra)
		memcpy(conn->in.mem + conn->wr, (uint8_t *)sink->buf + own, extra);
	conn->wr += extra;
	return 0;
}

/* Account for @n bytes that came into the places that choose_room() named. */
static int arrived(struct vfm_vu_conn *conn, struct msghdr *mh, size_t n)
{
	size_t last = conn->scan;
	int ret = 0;

	if (conn->tail) {
		conn->tail -= n;
		if (conn->tail_sinks)
			conn->sink->got += n;
		if (!conn->tail)
			end_of_tail(conn);
	} else {
		size_t front = VFM_MIN(n, mh->msg_iov[0].iov_len);

		conn->wr += front;
		if (n > front)
			ret = sort_out_sink(conn, n - front);
		if (conn->scan < conn->wr)
			last = scan_messages(conn);
	}
	attach_fds(conn, mh, last);
	return ret;
}

static int closed(struct vfm_vu_conn *conn)
{
	return conn->tail || conn->body.rest || conn->scan < conn->wr ? -ECONNRESET : -ENOTCONN;
}

/* One recvmsg(): 1: something came; 0: nothing; or an error, which is remembered. */
int vfm_conn_receive(struct vfm_vu_conn *conn, int flags)
{
	union {
		struct cmsghdr align;
		uint8_t mem[CMSG_SPACE(sizeof(int) * VFM_VU_MAX_FDS)];
	} control;
	struct iovec iov[2];
	struct msghdr mh = { .msg_iov = iov, .msg_control = &control };
	int nr = choose_room(conn, iov);
	ssize_t n;

	if (nr < 0)
		return conn->broken = nr;
	mh.msg_iovlen = (size_t)nr;
	mh.msg_controllen = sizeof(control.mem);
	n = recvmsg(conn->fd, &mh, flags | MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		return conn->broken = -errno;
	if (n == 0)
		return conn->broken = closed(conn);
	conn->broken = arrived(conn, &mh, (size_t)n) ? -ENOMEM : conn->broken;
	return 1;
}

/* Let a blocking recvmsg() keep the time, which saves a poll() for every message. */
static bool set_rcvtimeo(struct vfm_vu_conn *conn, unsigned int ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	if (conn->rcvtimeo_ms == ms)
		return true;
	if (setsockopt(conn->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)))
		return false;
	conn->rcvtimeo_ms = ms;
	return true;
}

static int receive_waiting(struct vfm_vu_conn *conn, const struct vfm_wait *wait)
{
	int ret;

	if (wait->cancel_fd < 0 && !wait->fn && set_rcvtimeo(conn, wait->timeout_ms)) {
		ret = vfm_conn_receive(conn, 0);
		if (ret || errno == EAGAIN)
			return ret ? ret : -ETIMEDOUT;
		/* a signal: poll() knows how much time is left */
	}
	for (;;) {
		ret = vfm_wait_fd(conn->fd, POLLIN, wait);
		if (ret)
			return ret;
		ret = vfm_conn_receive(conn, MSG_DONTWAIT);
		if (ret)
			return ret;
	}
}

bool vfm_vu_conn_has_message(const struct vfm_vu_conn *conn)
{
	return conn->rd < conn->scan || conn->broken ||
	       (conn->body.rest && conn->wr - conn->rd == conn->body.rest);
}

/* What is at rd, as if all of it were there. Returns the bytes of it in the buffer. */
static size_t describe(struct vfm_vu_conn *conn, struct vfm_vu_msg *msg)
{
	struct header h = read_header(conn->in.mem + conn->rd);
	size_t stored = h.size;

	msg->id = h.id;
	msg->command = h.command;
	msg->flags = h.flags;
	msg->error = h.error;
	msg->size = h.size - VFM_VU_HEADER_SIZE;
	msg->payload = conn->in.mem + conn->rd + VFM_VU_HEADER_SIZE;
	msg->oversize = msg->size > conn->limit;
	msg->inner = false;
	msg->rest = 0;
	msg->fds_lost = false;
	msg->nr_fds = 0;
	if (conn->nr_notes && vfm_conn_note(conn, 0)->start == conn->rd_pos) {
		struct vfm_conn_note *note = vfm_conn_note(conn, 0);

		if (note->stored) {
			stored = note->stored;
			msg->oversize = note->dropped;
		}
		msg->fds_lost = note->fds_lost;
		msg->nr_fds = note->nr_fds;
		memcpy(msg->fds, note->fds, note->nr_fds * sizeof(note->fds[0]));
		conn->first_note = (conn->first_note + 1) % VFM_CONN_MAX_NOTES;
		conn->nr_notes--;
	}
	msg->len = msg->oversize ? 0 : stored - VFM_VU_HEADER_SIZE;
	return stored;
}

static void step_over(struct vfm_vu_conn *conn, size_t n)
{
	conn->rd += n;
	conn->rd_pos += n;
}

static bool is_reply(const struct vfm_vu_msg *msg)
{
	return (msg->flags & VFM_VU_TYPE_MASK) == VFM_VU_REPLY;
}

/* The first of the whole messages. */
static void take_message(struct vfm_vu_conn *conn, struct vfm_vu_msg *msg)
{
	step_over(conn, describe(conn, msg));
	if (conn->sink && conn->sink->id == msg->id && is_reply(msg))
		conn->sink = NULL;
}

/* Whether there is enough of a message for a part of it. */
static bool has_part(const struct vfm_vu_conn *conn, const struct vfm_vu_may_part *may)
{
	size_t have = conn->wr - conn->scan;
	struct header h;

	if (conn->body.rest)
		return have >= VFM_MIN(conn->body.rest, VFM_VU_LEAST_PART);
	if (conn->rd < conn->scan || conn->tail || have < VFM_VU_HEADER_SIZE + VFM_VU_LEAST_PART)
		return false;
	h = read_header(conn->in.mem + conn->scan);
	return (h.flags & VFM_VU_TYPE_MASK) == VFM_VU_COMMAND &&
	       may->fn(may->user, h.command, conn->in.mem + conn->scan + VFM_VU_HEADER_SIZE);
}

/* All that is in the buffer: only this message, which is not whole. */
static void take_part(struct vfm_vu_conn *conn, struct vfm_vu_msg *msg)
{
	size_t have = conn->wr - conn->rd;

	if (!conn->body.rest) {
		describe(conn, msg);
		msg->len = have - VFM_VU_HEADER_SIZE;
		msg->rest = msg->size - msg->len;
		conn->body = *msg;
		conn->body.inner = true;
		conn->body.nr_fds = 0;
	} else {
		conn->body.payload = conn->in.mem + conn->rd;
		conn->body.len = have;
		conn->body.rest -= have;
		*msg = conn->body;
	}
	step_over(conn, have);
	conn->scan = conn->wr;
}

static int recv_failed(int code, struct vfm_err *err)
{
	switch (code) {
	case -ENOTCONN:
		return vfm_fail(err, code, "the peer has closed the connection");
	case -ECONNRESET:
		return vfm_fail(err, code,
				"the peer has closed the connection inside of a message");
	case -EPROTO:
		return vfm_fail(err, code, "the peer sent something that is no message header");
	case -ETIMEDOUT:
		return vfm_fail(err, code, "the peer did not answer in time");
	case -ECANCELED:
		return vfm_fail(err, code, "canceled while waiting for a message");
	default:
		return vfm_fail(err, code, "receiving a message failed: %s", strerror(-code));
	}
}

/* A message that comes byte by byte must come to an end, too: @end is set when it has begun. */
static bool took_too_long(const struct vfm_wait *wait, uint64_t *end)
{
	if (!wait || !wait->timeout_ms)
		return false;
	if (*end)
		return vfm_now_ns() >= *end;
	*end = vfm_now_ns() + (uint64_t)wait->timeout_ms * 1000000;
	return false;
}

int vfm_vu_conn_recv(struct vfm_vu_conn *conn, struct vfm_vu_msg *msg, const struct vfm_wait *wait,
		     struct vfm_err *err)
{
	uint64_t end = 0;

	for (bool more = false; conn->rd == conn->scan; more = true) {
		int ret = conn->broken;

		if (!ret && more && took_too_long(wait, &end))
			ret = -ETIMEDOUT;
		if (!ret)
			ret = wait ? receive_waiting(conn, wait)
				   : vfm_conn_receive(conn, MSG_DONTWAIT);
		if (ret == 0)
			return 0;
		if (ret < 0)
			return recv_failed(ret, err);
	}
	take_message(conn, msg);
	return 1;
}

int vfm_vu_conn_recv_part(struct vfm_vu_conn *conn, struct vfm_vu_msg *msg,
			  const struct vfm_vu_may_part *may, struct vfm_err *err)
{
	while (!has_part(conn, may)) {
		int ret;

		if (conn->rd < conn->scan) {
			take_message(conn, msg);
			return 1;
		}
		ret = conn->broken ? conn->broken : vfm_conn_receive(conn, MSG_DONTWAIT);
		if (ret <= 0)
			return ret ? recv_failed(ret, err) : 0;
	}
	take_part(conn, msg);
	return 1;
}

/* Descriptors in the middle of a message are nobody's, and the kernel closes them. */
int vfm_vu_conn_recv_into(struct vfm_vu_conn *conn, struct vfm_vu_msg *msg, void *buf,
			  struct vfm_err *err)
{
	ssize_t n = conn->broken ? 0 : recv(conn->fd, buf, conn->body.rest, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		conn->broken = -errno;
	else if (n == 0 && !conn->broken)
		conn->broken = closed(conn);
	if (conn->broken)
		return recv_failed(conn->broken, err);
	conn->body.payload = buf;
	conn->body.len = (size_t)n;
	conn->body.rest -= (size_t)n;
	*msg = conn->body;
	return 1;
}

void vfm_vu_conn_set_sink(struct vfm_vu_conn *conn, struct vfm_vu_sink *sink)
{
	/* A reply that is half in the old sink: nobody wants its rest. */
	if (conn->tail && conn->tail_sinks && sink != conn->sink) {
		conn->tail_sinks = false;
		vfm_conn_note(conn, conn->nr_notes - 1)->dropped = true;
	}
	if (sink)
		sink->got = 0;
	conn->sink = sink;
}
