// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * One request, one reply. While a reply is awaited the server may send commands
 * of its own (DMA), and they are answered here. When a call returns, no command
 * is left in the connection's buffer: the user waits on the socket, which knows
 * nothing of what was read from it already.
 *
 * A reply that nobody asked for, a broken frame, silence for longer than the
 * limit: after any of them nothing that arrives can be trusted, so the connection
 * is dead and stays so. What a sound reply contains is for the callers.
 *
 * The limit counts from the request to its reply, whatever the server sends
 * in between; else a server that asks for DMA for ever would hold us for ever.
 */

#include "vfio_user/client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"

/* Commands served by one vfm_device_process(), so that a flood cannot hold its caller. */
#define PROCESS_MAX 64

static const char *command_name(uint16_t command)
{
	static const char *const names[VFM_VU_NR_COMMANDS] = {
		[VFM_VU_VERSION] = "VERSION",
		[VFM_VU_DMA_MAP] = "DMA_MAP",
		[VFM_VU_DMA_UNMAP] = "DMA_UNMAP",
		[VFM_VU_DEVICE_GET_INFO] = "DEVICE_GET_INFO",
		[VFM_VU_DEVICE_GET_REGION_INFO] = "DEVICE_GET_REGION_INFO",
		[VFM_VU_DEVICE_GET_REGION_IO_FDS] = "DEVICE_GET_REGION_IO_FDS",
		[VFM_VU_DEVICE_GET_IRQ_INFO] = "DEVICE_GET_IRQ_INFO",
		[VFM_VU_DEVICE_SET_IRQS] = "DEVICE_SET_IRQS",
		[VFM_VU_REGION_READ] = "REGION_READ",
		[VFM_VU_REGION_WRITE] = "REGION_WRITE",
		[VFM_VU_DMA_READ] = "DMA_READ",
		[VFM_VU_DMA_WRITE] = "DMA_WRITE",
		[VFM_VU_DEVICE_RESET] = "DEVICE_RESET",
		[VFM_VU_DIRTY_PAGES] = "DIRTY_PAGES",
		[VFM_VU_DEVICE_FEATURE] = "DEVICE_FEATURE",
		[VFM_VU_MIG_DATA_READ] = "MIG_DATA_READ",
		[VFM_VU_MIG_DATA_WRITE] = "MIG_DATA_WRITE",
	};

	return command < VFM_ARRAY_SIZE(names) && names[command] ? names[command] : "unknown";
}

/* The socket is shut, not closed: its number stays the user's to poll until close. */
static int die(struct vfm_client *c, int code, const struct vfm_err *cause, struct vfm_err *err)
{
	c->dead = code;
	snprintf(c->reason, sizeof(c->reason), "%s", cause->msg);
	shutdown(vfm_vu_conn_fd(c->conn), SHUT_RDWR);
	return vfm_fail(err, c->dead, "%s", cause->msg);
}

int vfm_client_alive(const struct vfm_client *c, struct vfm_err *err)
{
	if (c->dead)
		return vfm_fail(err, -ENOTCONN, "the connection has ended before: %s", c->reason);
	if (c->in_dma)
		return vfm_fail(err, -EBUSY, "called from within a DMA access of its own");
	return 0;
}

int vfm_client_short(size_t got, size_t want, struct vfm_err *err)
{
	return vfm_fail(err, -EPROTO, "a reply holds %zu bytes where %zu are needed", got, want);
}

static uint64_t deadline_of(const struct vfm_client *c)
{
	return vfm_now_ns() + (uint64_t)c->timeout_ms * 1000000;
}

/*
 * At least one millisecond, since 0 would be for ever; and the whole limit while little
 * of it is gone, since the connection pays for every change of it with a system call.
 */
static struct vfm_wait time_left(const struct vfm_client *c, uint64_t deadline, uint64_t now)
{
	uint64_t ms = now < deadline ? (deadline - now + 999999) / 1000000 : 1;

	if (ms > c->timeout_ms - c->timeout_ms / 16)
		ms = c->timeout_ms;
	return (struct vfm_wait){ .timeout_ms = (unsigned int)ms, .cancel_fd = -1 };
}

static bool is_command(const struct vfm_vu_msg *msg)
{
	return (msg->flags & VFM_VU_TYPE_MASK) == VFM_VU_COMMAND;
}

static int unexpected(struct vfm_vu_msg *msg, struct vfm_err *cause)
{
	vfm_vu_msg_close_fds(msg);
	return vfm_fail(cause, -EPROTO, "the server sent a reply %u to %s that was not asked for",
			msg->id, command_name(msg->command));
}

/* Once the deadline has passed, only the reply itself may still come, and at once. */
static int next_message(struct vfm_client *c, struct vfm_vu_msg *msg, uint64_t deadline,
			struct vfm_err *cause)
{
	uint64_t now = vfm_now_ns();
	struct vfm_wait wait = time_left(c, deadline, now);
	bool late = now >= deadline;
	int ret = vfm_vu_conn_recv(c->conn, msg, late ? NULL : &wait, cause);

	if (ret == 1 && late && is_command(msg)) {
		vfm_vu_msg_close_fds(msg);
		ret = 0;
	}
	return ret ? ret : -ETIMEDOUT;
}

static int wait_reply(struct vfm_client *c, uint16_t id, uint16_t command, struct vfm_vu_msg *msg,
		      uint64_t deadline, struct vfm_err *cause)
{
	for (;;) {
		struct vfm_wait wait;
		int ret = next_message(c, msg, deadline, cause);

		if (ret == -ETIMEDOUT)
			return vfm_fail(cause, ret, "no answer to %s within %u ms",
					command_name(command), c->timeout_ms);
		if (ret < 0)
			return ret;
		if (!is_command(msg)) {
			if (msg->id == id && msg->command == command)
				return 0;
			return unexpected(msg, cause);
		}
		wait = time_left(c, deadline, vfm_now_ns());
		ret = vfm_client_serve(c, msg, &wait, cause);
		if (ret)
			return ret;
	}
}

/* What the kernel refuses before it has sent a byte: the caller's descriptors, mostly. */
static bool was_not_sent(int code)
{
	return code == -EBADF || code == -ETOOMANYREFS || code == -E2BIG || code == -EMSGSIZE;
}

/*
 * A server that turns us away may have closed already when we send: what it said
 * before it did is worth more than "connection reset".
 */
static int exchange(struct vfm_client *c, const struct vfm_client_call *call, uint16_t id,
		    struct vfm_vu_msg *msg, struct vfm_err *cause)
{
	uint64_t deadline = deadline_of(c);
	struct vfm_wait wait = { .timeout_ms = c->timeout_ms, .cancel_fd = -1 };
	struct vfm_vu_out out = { .id = id,
				  .command = call->command,
				  .flags = VFM_VU_COMMAND | call->flags,
				  .body = call->body,
				  .nr_body = call->nr_body,
				  .fds = call->fds,
				  .nr_fds = call->nr_fds };
	int ret = vfm_vu_conn_send(c->conn, &out, &wait, cause);

	if (ret == -ECONNRESET && wait_reply(c, id, call->command, msg, 0, NULL) == 0)
		return 0;
	if (ret == -ETIMEDOUT)
		return vfm_fail(cause, ret, "the server did not take %s within %u ms",
				command_name(call->command), c->timeout_ms);
	if (ret)
		return ret;
	return wait_reply(c, id, call->command, msg, deadline, cause);
}

static int error_of(const struct vfm_vu_msg *msg, struct vfm_err *err)
{
	int code = msg->error && msg->error < 4096 ? (int)msg->error : EINVAL;
	const char *name = strerrorname_np(code);

	return vfm_fail(err, -code, "the server answered %s with %s", command_name(msg->command),
			name ? name : "an unknown error");
}

static void take_payload(struct vfm_client_call *call, const struct vfm_vu_msg *msg,
			 const struct vfm_vu_sink *sink)
{
	call->reply_flags = msg->flags;
	call->head_len = VFM_MIN(msg->len, call->head_room);
	if (call->head_len)
		memcpy(call->head, msg->payload, call->head_len);
	call->data_len = sink->got;
	if (call->data_room && !sink->got && msg->len > call->head_room) {
		call->data_len = VFM_MIN(msg->len - call->head_room, call->data_room);
		memcpy(call->data, msg->payload + call->head_room, call->data_len);
	}
}

static void take_fds(struct vfm_client_call *call, struct vfm_vu_msg *msg)
{
	call->nr_taken = 0;
	if (call->take_fds) {
		call->nr_taken = msg->nr_fds;
		memcpy(call->take_fds, msg->fds, msg->nr_fds * sizeof(msg->fds[0]));
		msg->nr_fds = 0;
	}
	vfm_vu_msg_close_fds(msg);
}

static int take_reply(struct vfm_client_call *call, struct vfm_vu_msg *msg,
		      const struct vfm_vu_sink *sink, struct vfm_err *err)
{
	int ret = 0;

	if (msg->flags & VFM_VU_ERROR)
		ret = error_of(msg, err);
	else if (msg->oversize)
		ret = vfm_fail(err, -EPROTO, "the server answered %s with %zu bytes",
			       command_name(msg->command), msg->size);
	if (ret) {
		vfm_vu_msg_close_fds(msg);
		return ret;
	}
	take_payload(call, msg, sink);
	take_fds(call, msg);
	return 0;
}

/* Serve at most @max messages that come without waiting, and all that are in the buffer. */
static int serve_stored(struct vfm_client *c, unsigned int max, struct vfm_err *err)
{
	struct vfm_err cause;

	cause.msg[0] = '\0';
	for (unsigned int n = 0; n < max || vfm_vu_conn_has_message(c->conn); n++) {
		struct vfm_wait wait = { .timeout_ms = c->timeout_ms, .cancel_fd = -1 };
		struct vfm_vu_msg msg;
		int ret = vfm_vu_conn_recv(c->conn, &msg, NULL, &cause);

		if (ret == 0)
			return 0;
		if (ret == 1)
			ret = is_command(&msg) ? vfm_client_serve(c, &msg, &wait, &cause)
					       : unexpected(&msg, &cause);
		if (ret < 0)
			return die(c, ret, &cause, err);
	}
	return 0;
}

static void expect(struct vfm_client *c, const struct vfm_client_call *call,
		   struct vfm_vu_sink *sink)
{
	size_t room = call->head_room + call->data_room;

	*sink = (struct vfm_vu_sink){ .id = c->next_id,
				      .skip = call->head_room,
				      .buf = call->data,
				      .room = call->data_room };
	if (call->data_room)
		vfm_vu_conn_set_sink(c->conn, sink);
	if (room > c->max_payload)
		vfm_vu_conn_set_limit(c->conn, room);
}

static void expect_no_more(struct vfm_client *c, const struct vfm_client_call *call)
{
	if (call->data_room)
		vfm_vu_conn_set_sink(c->conn, NULL);
	if (call->head_room + call->data_room > c->max_payload)
		vfm_vu_conn_set_limit(c->conn, c->max_payload);
}

int vfm_client_call(struct vfm_client *c, struct vfm_client_call *call, struct vfm_err *err)
{
	struct vfm_vu_sink sink;
	struct vfm_vu_msg msg;
	struct vfm_err cause;
	int ret = vfm_client_alive(c, err);

	if (ret)
		return ret;
	cause.msg[0] = '\0';
	expect(c, call, &sink);
	ret = exchange(c, call, c->next_id++, &msg, &cause);
	expect_no_more(c, call);
	if (was_not_sent(ret))
		return vfm_fail(err, ret, "%s", cause.msg);
	if (ret)
		return die(c, ret, &cause, err);
	ret = take_reply(call, &msg, &sink, err);
	/* The reply stands; if this kills the connection, the next call will say so. */
	if (vfm_vu_conn_has_message(c->conn))
		serve_stored(c, 0, NULL);
	return ret;
}

int vfm_client_process(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_client *c = vfm_client_of(dev);
	int ret = vfm_client_alive(c, err);

	return ret ? ret : serve_stored(c, PROCESS_MAX, err);
}
