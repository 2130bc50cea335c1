// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Mappings, and DMA by messages to a client that answers well, wrongly, late or never. */

#include "server-peer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/util.h"
#include "vfio_user/server.h"

#define XFER 4096u
#define LOG_ROOM 512
#define JSON "{\"capabilities\":{\"max_data_xfer_size\":4096}}"

static int setup(void **state)
{
	struct env *e = malloc(sizeof(*e));

	env_open(e);
	env_join(e, JSON);
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	env_close(*state);
	free(*state);
	return 0;
}

static uint32_t unmap_dma(struct env *e, uint32_t flags, uint64_t iova, uint64_t size)
{
	struct bytes b = { .len = 0 };

	put32(&b, 24);
	put32(&b, flags);
	put64(&b, iova);
	put64(&b, size);
	return call(e, VFM_VU_DMA_UNMAP, &b);
}

static void mappings(void **state)
{
	int memfd = memfd_create("ram", MFD_CLOEXEC);
	struct env *e = *state;
	struct test_device *t = e->t;
	int two[2] = { memfd, memfd };
	unsigned int before = test_count_fds();
	struct bytes b = { .len = 0 };

	assert_int_equal(map_dma(e, 0x10000, 0x4000, 3, memfd), 0);
	assert_int_equal(e->reply.size, 0);
	assert_int_equal(t->nr_maps, 1);
	assert_int_equal(t->maps[0].iova, 0x10000);
	assert_int_equal(t->maps[0].size, 0x4000);
	assert_int_equal(t->maps[0].flags, 3);
	assert_int_equal(t->maps[0].fd_offset, 0x1000);
	assert_true(t->maps[0].fd >= 0);
	/* flags of other libraries are no matter, unknown ones are */
	assert_int_equal(map_dma(e, 0x20000, 0x1000, 1 | 4 | 8, -1), 0);
	assert_int_equal(t->maps[1].flags, 1);
	assert_int_equal(t->maps[1].fd, -1);
	assert_int_equal(map_dma(e, 0x30000, 0x1000, 16 | 3, -1), EINVAL);
	assert_int_equal(map_dma(e, 0x30000, 0x1000, 0, -1), EINVAL);
	/* overlaps: the same, inside, across either end */
	assert_int_equal(map_dma(e, 0x10000, 0x4000, 3, memfd), EEXIST);
	assert_int_equal(map_dma(e, 0x11000, 0x1000, 3, memfd), EEXIST);
	assert_int_equal(map_dma(e, 0xf000, 0x1001, 3, memfd), EEXIST);
	assert_int_equal(map_dma(e, 0x13fff, 0x1000, 3, memfd), EEXIST);
	assert_int_equal(map_dma(e, 0x50000, 0, 3, memfd), EINVAL);
	assert_int_equal(map_dma(e, UINT64_MAX - 0xfff, 0x1001, 3, memfd), EINVAL);
	put32(&b, 32);
	put32(&b, 3);
	for (int i = 0; i < 3; i++)
		put64(&b, 0x1000000);
	assert_int_equal(call_fds(e, VFM_VU_DMA_MAP, b.mem, b.len, two, 2), EINVAL);
	assert_int_equal(t->nr_maps, 2);
	/* what the device refuses is not remembered as mapped */
	t->fail = -ENOSPC;
	assert_int_equal(map_dma(e, 0x40000, 0x1000, 3, memfd), ENOSPC);
	t->fail = 0;
	assert_int_equal(map_dma(e, 0x40000, 0x1000, 3, memfd), 0);

	assert_int_equal(unmap_dma(e, 0, 0x10000, 0x3000), ENOENT);
	assert_int_equal(unmap_dma(e, 0, 0x11000, 0x3000), ENOENT);
	assert_int_equal(unmap_dma(e, 0, 0x90000, 0x1000), ENOENT);
	assert_int_equal(unmap_dma(e, 0, 0x10000, 0), EINVAL);
	assert_int_equal(unmap_dma(e, VFM_VU_UNMAP_GET_BITMAP, 0x10000, 0x4000), ENOTTY);
	assert_int_equal(unmap_dma(e, 4, 0x10000, 0x4000), EINVAL);
	assert_int_equal(t->nr_maps, 3);
	assert_int_equal(unmap_dma(e, 0, 0x10000, 0x4000), 0);
	assert_int_equal(e->reply.size, 24);
	assert_int_equal(get64(&e->reply, 8), 0x10000);
	assert_int_equal(t->nr_maps, 2);
	assert_int_equal(unmap_dma(e, 0, 0x10000, 0x4000), ENOENT);
	assert_int_equal(unmap_dma(e, VFM_VU_UNMAP_ALL, 0x20000, 0x1000), EINVAL);
	assert_int_equal(unmap_dma(e, VFM_VU_UNMAP_ALL, 0, 0), 0);
	assert_int_equal(t->nr_maps, 0);
	assert_int_equal(test_count_fds(), before);
	assert_int_equal(map_dma(e, 0x10000, 0x4000, 3, memfd), 0);
	close(memfd);
}

static void limit_of_maps(void **state)
{
	struct env *e = *state;

	env_leave(e);
	env_join(e, "{\"capabilities\":{\"max_dma_maps\":3}}");
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(map_dma(e, i << 20, 0x1000, 3, -1), 0);
	assert_int_equal(map_dma(e, 3 << 20, 0x1000, 3, -1), ENOSPC);
	assert_int_equal(unmap_dma(e, 0, 0, 0x1000), 0);
	assert_int_equal(map_dma(e, 3 << 20, 0x1000, 3, -1), 0);
}

/* ---- DMA by messages ------------------------------------------------------------ */

enum manner {
	GOOD,
	BARE,
	ERROR,
	NAMELESS_ERROR,
	SHORT,
	LONG,
	SILENT,
	CLOSE,
	BROKEN,
	FLOOD,
	LARGE_FLOOD,
	STRAY
};

/* A client in a thread of its own: it asks for a DMA and answers the messages that come of it. */
struct script {
	struct vfm_vu_conn *conn;
	enum manner manner;
	bool write;	       /* direction of the DMA */
	bool asks;	       /* send another request before each answer */
	uint32_t len;	       /* of the DMA */
	bool no_request;       /* the device began it by itself */
	uint8_t memory[65536]; /* what is behind iova 0 */
	unsigned int messages; /* that were answered */
	unsigned int others;   /* replies to the requests in between */
	uint32_t error;	       /* of the request */
	int end;	       /* how the connection ended, when it did */
	atomic_bool done;
};

static const struct vfm_wait patience = { .timeout_ms = 10000, .cancel_fd = -1 };

static void send_access(struct script *s, uint16_t id, uint16_t command, uint64_t offset,
			const void *data, uint32_t len, uint32_t flags)
{
	struct bytes b = { .len = 0 };
	struct iovec body[2] = { { b.mem, 16 }, { (void *)(uintptr_t)data, data ? len : 0 } };
	struct vfm_vu_out out = {
		.id = id, .command = command, .flags = flags, .body = body, .nr_body = 2
	};

	put64(&b, offset);
	put32(&b, 0);
	put32(&b, len);
	assert_int_equal(vfm_vu_conn_send(s->conn, &out, &patience, NULL), 0);
}

static void answer_with(struct script *s, const struct vfm_vu_msg *msg, uint32_t flags,
			uint32_t error, size_t fixed, const void *data, size_t len)
{
	uint8_t copy[16];
	struct iovec body[2] = { { copy, fixed }, { (void *)(uintptr_t)data, len } };
	struct vfm_vu_out out = { .id = msg->id,
				  .command = msg->command,
				  .flags = VFM_VU_REPLY | flags,
				  .error = error,
				  .body = body,
				  .nr_body = 2 };

	memcpy(copy, msg->payload, sizeof(copy));
	assert_int_equal(vfm_vu_conn_send(s->conn, &out, &patience, NULL), 0);
}

/* The server may cut us off in the middle of it. */
static void flood(struct script *s, uint16_t command, unsigned int count, size_t data)
{
	uint8_t raw[32 + XFER] = { 0 };

	test_put_header(raw, 9000, command, (uint32_t)(32 + data), 0, 0);
	for (unsigned int i = 0; i < count; i++)
		if (send(vfm_vu_conn_fd(s->conn), raw, 32 + data, MSG_NOSIGNAL) < 0)
			return;
}

static void answer(struct script *s, const struct vfm_vu_msg *msg)
{
	uint64_t iova;
	uint32_t n;
	bool read = msg->command == VFM_VU_DMA_READ;

	assert_true(msg->len >= 16);
	memcpy(&iova, msg->payload, 8);
	memcpy(&n, msg->payload + 8, 4);
	assert_in_range(n, 1, XFER);
	assert_true(iova + n <= sizeof(s->memory));
	assert_int_equal(msg->len, read ? 16 : 16 + n);
	s->messages++;
	if (!read)
		memcpy(s->memory + iova, msg->payload + 16, n);
	switch (s->manner) {
	case GOOD:
		answer_with(s, msg, 0, 0, 16, s->memory + iova, read ? n : 0);
		break;
	case BARE:
		answer_with(s, msg, 0, 0, 0, NULL, 0);
		break;
	case ERROR:
		answer_with(s, msg, VFM_VU_ERROR, EFAULT, 0, NULL, 0);
		break;
	case NAMELESS_ERROR:
		answer_with(s, msg, VFM_VU_ERROR, 0, 16, NULL, 0);
		break;
	case SHORT:
		answer_with(s, msg, 0, 0, 16, s->memory, n - 1);
		break;
	case LONG:
		answer_with(s, msg, 0, 0, 16, s->memory, n + 1);
		break;
	case STRAY:
		send_access(s, (uint16_t)(msg->id + 1), msg->command, 0, NULL, 4, VFM_VU_REPLY);
		answer_with(s, msg, 0, 0, 16, s->memory + iova, read ? n : 0);
		break;
	case CLOSE:
		shutdown(vfm_vu_conn_fd(s->conn), SHUT_RDWR);
		break;
	case BROKEN:
		test_send_raw(vfm_vu_conn_fd(s->conn), "0123456789abcdef", 16, NULL, 0);
		break;
	case FLOOD:
		flood(s, VFM_VU_REGION_READ, 300, 0);
		break;
	case LARGE_FLOOD:
		flood(s, VFM_VU_REGION_WRITE, 200, XFER);
		break;
	case SILENT:
		break;
	}
}

static void *play(void *user)
{
	struct script *s = user;
	uint64_t args[2] = { 0, s->len };
	bool wait_for_own = !s->no_request;

	if (wait_for_own)
		send_access(s, 1, VFM_VU_REGION_WRITE,
			    s->write ? TEST_REG_DMA_WRITE : TEST_REG_DMA_READ, args, 16, 0);
	while (wait_for_own || s->others < s->messages * s->asks ||
	       (s->no_request && !s->messages)) {
		struct vfm_vu_msg msg;
		int ret = vfm_vu_conn_recv(s->conn, &msg, &patience, NULL);

		if (ret < 0) {
			s->end = ret;
			break;
		}
		if ((msg.flags & VFM_VU_TYPE_MASK) == VFM_VU_COMMAND) {
			if (s->asks)
				send_access(s, 2, VFM_VU_REGION_WRITE, 0, "abcd", 4, 0);
			answer(s, &msg);
		} else if (msg.id == 1) {
			s->error = msg.error;
			wait_for_own = false;
		} else {
			assert_int_equal(msg.error, 0);
			s->others++;
		}
	}
	atomic_store(&s->done, true);
	return NULL;
}

static void run_script(struct env *e, struct script *s)
{
	struct pollfd pfd = { .fd = vfm_server_get_fd(e->server), .events = POLLIN };
	pthread_t thread;

	s->conn = e->conn;
	assert_int_equal(pthread_create(&thread, NULL, play, s), 0);
	while (!atomic_load(&s->done))
		if (poll(&pfd, 1, 5) > 0)
			assert_int_equal(vfm_server_process(e->server, NULL), 0);
	pthread_join(thread, NULL);
	env_pump(e);
}

static struct script *new_script(enum manner manner, bool write, uint32_t len)
{
	struct script *s = calloc(1, sizeof(*s));

	s->manner = manner;
	s->write = write;
	s->len = len;
	for (size_t i = 0; i < sizeof(s->memory); i++)
		s->memory[i] = (uint8_t)(i * 3 + (i >> 7));
	return s;
}

static void fill_buffer(struct test_device *t)
{
	for (size_t i = 0; i < sizeof(t->buffer); i++)
		t->buffer[i] = (uint8_t)(i * 5 + (i >> 6));
}

static void messages(void **state)
{
	static const uint32_t lens[] = { 1, 8, 4095, 4096, 4097, 20000, 65536 };
	struct env *e = *state;

	assert_int_equal(map_dma(e, 0, 65536, 3, -1), 0);
	for (int asks = 0; asks < 2; asks++) {
		for (int write = 0; write < 2; write++) {
			for (size_t i = 0; i < VFM_ARRAY_SIZE(lens); i++) {
				struct script *s = new_script(GOOD, write, lens[i]);

				fill_buffer(e->t);
				s->asks = asks;
				run_script(e, s);
				assert_int_equal(s->error, 0);
				assert_int_equal(e->t->dma_result, 0);
				assert_int_equal(s->messages, (lens[i] + XFER - 1) / XFER);
				assert_int_equal(s->others, asks ? s->messages : 0);
				assert_memory_equal(s->memory, e->t->buffer, lens[i]);
				free(s);
			}
		}
	}
	assert_memory_equal(e->t->region, "abcd", 4);
}

/* The device does DMA of its own accord, outside of any request. */
static void messages_of_its_own(void **state)
{
	struct env *e = *state;

	assert_int_equal(map_dma(e, 0, 65536, 3, -1), 0);
	for (int asks = 0; asks < 2; asks++) {
		struct script *s = new_script(GOOD, false, 8);

		s->no_request = true;
		s->asks = asks;
		e->t->dma_in_process = true;
		memset(e->t->buffer, 0, 8);
		assert_int_equal(eventfd_write(e->t->work_fd, 1), 0);
		run_script(e, s);
		assert_int_equal(e->t->dma_result, 0);
		assert_memory_equal(e->t->buffer, s->memory, 8);
		assert_int_equal(s->others, asks);
		free(s);
	}
	assert_int_equal(e->t->processed, 2);
}

/* Wrong answers fail the DMA, not the connection. */
static void wrong_answers(void **state)
{
	static const struct {
		enum manner manner;
		bool write;
		int result;
	} rows[] = {
		{ BARE, false, -EIO },		{ BARE, true, 0 },
		{ ERROR, false, -EFAULT },	{ ERROR, true, -EFAULT },
		{ NAMELESS_ERROR, true, -EIO }, { SHORT, false, -EIO },
		{ LONG, false, -EIO },		{ STRAY, false, 0 },
	};
	struct env *e = *state;

	assert_int_equal(map_dma(e, 0, 65536, 3, -1), 0);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct script *s = new_script(rows[i].manner, rows[i].write, 4096);

		run_script(e, s);
		assert_int_equal(s->error, 0);
		assert_int_equal(s->end, 0);
		assert_int_equal(e->t->dma_result, rows[i].result);
		free(s);
	}
	/* what is left of a LONG answer has disturbed nothing */
	assert_int_equal(unmap_dma(e, 0, 0, 65536), 0);
}

static void note_log(void *user, const char *text)
{
	snprintf(user, LOG_ROOM, "%s", text);
}

/* No answer, or no message at all: the client is cut off, and the next one is served. */
static void no_answer(void **state)
{
	static const struct {
		enum manner manner;
		const char *reason;
	} rows[] = { { SILENT, "in time" },
		     { CLOSE, "closed the connection" },
		     { BROKEN, "framing" },
		     { FLOOD, "without end" },
		     { LARGE_FLOOD, "without end" } };
	struct env *e = *state;
	char log[LOG_ROOM] = "";

	env_leave(e);
	vfm_server_free(e->server);
	assert_int_equal(vfm_server_new(&e->server, &e->t->dev,
					&VFM_SERVER_OPTS(.path = e->path, .timeout_ms = 200,
							 .log = note_log, .user = log),
					NULL),
			 0);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct script *s = new_script(rows[i].manner, false, 20000);

		env_join(e, JSON);
		assert_int_equal(map_dma(e, 0, 65536, 3, -1), 0);
		run_script(e, s);
		assert_true(s->end < 0);
		assert_int_equal(s->messages, 1);
		assert_int_equal(e->t->dma_result, -EIO);
		assert_int_equal(e->t->nr_maps, 0);
		assert_non_null(strstr(log, rows[i].reason));
		env_leave(e);
		free(s);
	}
	env_join(e, JSON);
	env_leave(e);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(mappings),	     TEST(limit_of_maps), TEST(messages), TEST(messages_of_its_own),
		TEST(wrong_answers), TEST(no_answer),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
