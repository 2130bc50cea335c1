// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "server-peer.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#define REPLY_LIMIT (300u << 20)

void put16(struct bytes *b, uint16_t v)
{
	memcpy(b->mem + b->len, &v, sizeof(v));
	b->len += sizeof(v);
}

void put32(struct bytes *b, uint32_t v)
{
	memcpy(b->mem + b->len, &v, sizeof(v));
	b->len += sizeof(v);
}

void put64(struct bytes *b, uint64_t v)
{
	memcpy(b->mem + b->len, &v, sizeof(v));
	b->len += sizeof(v);
}

uint32_t get32(const struct vfm_vu_msg *msg, size_t at)
{
	uint32_t v;

	assert_true(at + sizeof(v) <= msg->len);
	memcpy(&v, msg->payload + at, sizeof(v));
	return v;
}

uint64_t get64(const struct vfm_vu_msg *msg, size_t at)
{
	uint64_t v;

	assert_true(at + sizeof(v) <= msg->len);
	memcpy(&v, msg->payload + at, sizeof(v));
	return v;
}

static void note_log(void *user, const char *text)
{
	struct env *e = user;

	e->logged++;
	snprintf(e->last_log, sizeof(e->last_log), "%s", text);
}

void env_open_face(struct env *e, enum vfm_face face)
{
	const char *tmp = getenv("TMPDIR");

	memset(e, 0, sizeof(*e));
	e->fds_before = test_count_fds();
	e->t = test_device_new();
	snprintf(e->path, sizeof(e->path), "%s/vfm-test-%d.sock",
		 tmp && strlen(tmp) < 30 ? tmp : "/tmp", (int)getpid());
	assert_int_equal(vfm_server_new(&e->server, &e->t->dev,
					&VFM_SERVER_OPTS(.path = e->path, .timeout_ms = 2000,
							 .log = note_log, .user = e, .face = face),
					NULL),
			 0);
}

void env_open(struct env *e)
{
	env_open_face(e, VFM_FACE_V2);
}

void env_close(struct env *e)
{
	env_leave(e);
	vfm_server_free(e->server);
	assert_int_equal(access(e->path, F_OK), -1);
	vfm_device_close(&e->t->dev);
	assert_int_equal(test_count_fds(), e->fds_before);
}

void env_pump(struct env *e)
{
	struct pollfd pfd = { .fd = vfm_server_get_fd(e->server), .events = POLLIN };

	while (poll(&pfd, 1, 0) > 0)
		assert_int_equal(vfm_server_process(e->server, NULL), 0);
}

struct vfm_vu_conn *env_connect(struct env *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct vfm_vu_conn *conn;

	strcpy(addr.sun_path, e->path);
	assert_int_equal(connect(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(vfm_vu_conn_new(&conn, sock, REPLY_LIMIT, NULL), 0);
	env_pump(e);
	return conn;
}

/* The reply to what was sent, while the server works. */
static void await(struct env *e, struct vfm_vu_conn *conn, struct vfm_vu_msg *msg)
{
	int ret;

	do {
		assert_true(vfm_vu_conn_flush(conn, NULL) >= 0);
		env_pump(e);
		ret = vfm_vu_conn_recv(conn, msg, NULL, NULL);
		assert_true(ret >= 0);
	} while (ret == 0);
	assert_int_equal(msg->flags & VFM_VU_TYPE_MASK, VFM_VU_REPLY);
	assert_int_equal(!!(msg->flags & VFM_VU_ERROR), msg->error != 0);
	if (msg->error) {
		assert_int_equal(msg->size, 0);
		assert_int_equal(msg->nr_fds, 0);
	}
}

uint32_t env_hello(struct env *e, struct vfm_vu_conn *conn, const char *json)
{
	struct bytes b = { .len = 0 };
	struct iovec body[2] = { { b.mem, 4 }, { (void *)(uintptr_t)json, 0 } };
	struct vfm_vu_out out = { .id = 77, .command = VFM_VU_VERSION, .body = body, .nr_body = 2 };
	struct vfm_vu_msg msg;

	put16(&b, 0);
	put16(&b, 1);
	body[1].iov_len = json ? strlen(json) + 1 : 0;
	assert_int_equal(vfm_vu_conn_send(conn, &out, NULL, NULL), 0);
	await(e, conn, &msg);
	assert_int_equal(msg.id, 77);
	assert_int_equal(msg.command, VFM_VU_VERSION);
	snprintf(e->version, sizeof(e->version), "%s",
		 msg.len > 4 ? (const char *)msg.payload + 4 : "");
	return msg.error;
}

void env_join(struct env *e, const char *json)
{
	e->conn = env_connect(e);
	assert_int_equal(env_hello(e, e->conn, json), 0);
}

void env_leave(struct env *e)
{
	vfm_vu_msg_close_fds(&e->reply);
	vfm_vu_conn_free(e->conn);
	e->conn = NULL;
	env_pump(e);
}

uint32_t call_fds(struct env *e, uint16_t command, const void *payload, size_t len, const int *fds,
		  unsigned int nr_fds)
{
	struct iovec body = { (void *)(uintptr_t)payload, len };
	struct vfm_vu_out out = { .id = ++e->id,
				  .command = command,
				  .body = &body,
				  .nr_body = len ? 1 : 0,
				  .fds = fds,
				  .nr_fds = nr_fds };

	vfm_vu_msg_close_fds(&e->reply);
	assert_int_equal(vfm_vu_conn_send(e->conn, &out, NULL, NULL), 0);
	await(e, e->conn, &e->reply);
	assert_int_equal(e->reply.id, e->id);
	assert_int_equal(e->reply.command, command);
	return e->reply.error;
}

uint32_t call(struct env *e, uint16_t command, const struct bytes *b)
{
	return call_fds(e, command, b->mem, b->len, NULL, 0);
}

uint32_t feature(struct env *e, uint32_t flags, uint32_t argsz, const struct bytes *data)
{
	struct bytes b = { .len = 0 };

	put32(&b, argsz);
	put32(&b, flags);
	if (data) {
		memcpy(b.mem + b.len, data->mem, data->len);
		b.len += data->len;
	}
	return call(e, VFM_VU_DEVICE_FEATURE, &b);
}

uint32_t set_state(struct env *e, uint32_t state)
{
	struct bytes b = { .len = 0 };

	put32(&b, state);
	put32(&b, 0);
	return feature(e, 0x20002, 16, &b);
}

uint32_t map_dma(struct env *e, uint64_t iova, uint64_t size, uint32_t flags, int fd)
{
	struct bytes b = { .len = 0 };

	put32(&b, 32);
	put32(&b, flags);
	put64(&b, 0x1000);
	put64(&b, iova);
	put64(&b, size);
	return call_fds(e, VFM_VU_DMA_MAP, b.mem, b.len, &fd, fd >= 0 ? 1 : 0);
}
