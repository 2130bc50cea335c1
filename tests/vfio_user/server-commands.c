// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Each command: what it does, what it answers, and that nothing malformed gets by or ends the
 * connection. */

#include "server-peer.h"

#include <errno.h>
#include <stdlib.h>

#include "base/util.h"
#include "vfio_user/server.h"

static int setup(void **state)
{
	struct env *e = malloc(sizeof(*e));

	env_open(e);
	env_join(e, STANDARD);
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	env_close(*state);
	free(*state);
	return 0;
}

/* A fixed part of u32 fields. */
static struct bytes words(size_t nr, const uint32_t *w)
{
	struct bytes b = { .len = 0 };

	for (size_t i = 0; i < nr; i++)
		put32(&b, w[i]);
	return b;
}
#define WORDS(...) words(sizeof((uint32_t[]){ __VA_ARGS__ }) / 4, (const uint32_t[]){ __VA_ARGS__ })

static void info(void **state)
{
	struct bytes b = WORDS(16, 0, 0, 0);
	struct env *e = *state;

	assert_int_equal(call(e, VFM_VU_DEVICE_GET_INFO, &b), 0);
	assert_int_equal(e->reply.size, 16);
	assert_int_equal(get32(&e->reply, 0), 16);
	assert_int_equal(get32(&e->reply, 4), VFM_DEVICE_RESET | VFM_DEVICE_PCI);
	assert_int_equal(get32(&e->reply, 8), TEST_NR_REGIONS);
	assert_int_equal(get32(&e->reply, 12), TEST_NR_IRQS);
	b = WORDS(15, 0, 0, 0);
	assert_int_equal(call(e, VFM_VU_DEVICE_GET_INFO, &b), EINVAL);
	e->t->fail = -ENOTCONN;
	b = WORDS(16, 0, 0, 0);
	assert_int_equal(call(e, VFM_VU_DEVICE_GET_INFO, &b), ENOTCONN);
}

static uint32_t region_info(struct env *e, uint32_t argsz, uint32_t index)
{
	struct bytes b = WORDS(argsz, 0, index, 0, 0, 0, 0, 0);

	return call(e, VFM_VU_DEVICE_GET_REGION_INFO, &b);
}

static void check_region(struct env *e, uint32_t size, uint32_t flags, uint32_t caps_at,
			 uint64_t offset, unsigned int nr_fds)
{
	assert_int_equal(get32(&e->reply, 0), size);
	assert_int_equal(get32(&e->reply, 4), flags);
	assert_int_equal(get32(&e->reply, 12), caps_at);
	assert_int_equal(get64(&e->reply, 24), offset);
	assert_int_equal(e->reply.nr_fds, nr_fds);
}

static void regions(void **state)
{
	struct env *e = *state;
	struct stat mine, theirs;

	assert_int_equal(region_info(e, 32, 0), 0);
	assert_int_equal(e->reply.size, 32);
	check_region(e, 32, 3, 0, 0, 0);
	assert_int_equal(get32(&e->reply, 8), 0);
	assert_int_equal(get64(&e->reply, 16), TEST_REGION_SIZE);

	assert_int_equal(region_info(e, 4096, TEST_MAPPED_REGION), 0);
	assert_int_equal(e->reply.size, 32 + 16 + 16 + 2 * 16);
	check_region(e, 96, 0xf, 32, 0x1000, 1);
	fstat(e->reply.fds[0], &theirs);
	fstat(e->t->memfd, &mine);
	assert_int_equal(mine.st_ino, theirs.st_ino);
	/* type */
	assert_int_equal(get32(&e->reply, 32), 2 | 1 << 16);
	assert_int_equal(get32(&e->reply, 36), 48);
	assert_int_equal(get32(&e->reply, 40), 0x80001234);
	assert_int_equal(get32(&e->reply, 44), 7);
	/* sparse mmap */
	assert_int_equal(get32(&e->reply, 48), 1 | 1 << 16);
	assert_int_equal(get32(&e->reply, 52), 0);
	assert_int_equal(get32(&e->reply, 56), 2);
	assert_int_equal(get64(&e->reply, 64), 0);
	assert_int_equal(get64(&e->reply, 72), 4096);
	assert_int_equal(get64(&e->reply, 80), 8192);
	assert_int_equal(get64(&e->reply, 88), 4096);

	/* too little room: the fixed part, which says how much there would be */
	for (uint32_t argsz = 32; argsz < 96; argsz++) {
		assert_int_equal(region_info(e, argsz, TEST_MAPPED_REGION), 0);
		assert_int_equal(e->reply.size, 32);
		check_region(e, 96, 0x7, 0, 0x1000, 0);
	}
	for (uint32_t argsz = 0; argsz < 32; argsz++)
		assert_int_equal(region_info(e, argsz, TEST_MAPPED_REGION), EINVAL);

	assert_int_equal(region_info(e, 32, TEST_WHOLE_REGION), 0);
	check_region(e, 32, 0x7, 0, 0x2000, 1);
	assert_int_equal(region_info(e, 32, TEST_READ_ONLY_REGION), 0);
	check_region(e, 32, 0x1, 0, 0, 0);
	assert_int_equal(region_info(e, 32, TEST_NR_REGIONS), EINVAL);
	assert_int_equal(region_info(e, 32, UINT32_MAX), EINVAL);
}

/* A client that takes no descriptors is told of nothing to map. */
static void regions_without_fds(void **state)
{
	struct env *e = *state;

	env_leave(e);
	env_join(e, "{\"capabilities\":{\"max_msg_fds\":0}}");
	assert_int_equal(region_info(e, 4096, TEST_MAPPED_REGION), 0);
	assert_int_equal(e->reply.size, 48);
	check_region(e, 48, 0xb, 32, 0, 0);
	assert_int_equal(get32(&e->reply, 36), 0);
}

static void io_fds(void **state)
{
	struct bytes b = WORDS(4096, 0, 0, 0);
	struct env *e = *state;
	static const uint32_t place[4] = { 0, 1, 0, 2 };

	assert_int_equal(call(e, VFM_VU_DEVICE_GET_REGION_IO_FDS, &b), 0);
	assert_int_equal(e->reply.size, 16 + 4 * 40);
	assert_int_equal(get32(&e->reply, 0), 16 + 4 * 40);
	assert_int_equal(get32(&e->reply, 12), 4);
	assert_int_equal(e->reply.nr_fds, 3);
	for (unsigned int i = 0; i < 3; i++)
		test_same_eventfd(e->t->io_fds[i], e->reply.fds[i]);
	for (unsigned int i = 0; i < 4; i++) {
		size_t at = 16 + i * 40;

		assert_int_equal(get64(&e->reply, at), 0x200 + i * 4);
		assert_int_equal(get64(&e->reply, at + 8), 4);
		assert_int_equal(get32(&e->reply, at + 16), place[i]);
		assert_int_equal(get32(&e->reply, at + 20), VFM_IO_EVENTFD);
		assert_int_equal(get32(&e->reply, at + 24), 1);
		assert_int_equal(get32(&e->reply, at + 28), 0);
		assert_int_equal(get64(&e->reply, at + 32), 0x1122334455667788u + i);
	}
	b = WORDS(16 + 4 * 40 - 1, 0, 0, 0);
	assert_int_equal(call(e, VFM_VU_DEVICE_GET_REGION_IO_FDS, &b), 0);
	assert_int_equal(e->reply.size, 16);
	assert_int_equal(get32(&e->reply, 0), 16 + 4 * 40);
	assert_int_equal(e->reply.nr_fds, 0);
	b = WORDS(16, 0, 1, 0);
	assert_int_equal(call(e, VFM_VU_DEVICE_GET_REGION_IO_FDS, &b), 0);
	assert_int_equal(get32(&e->reply, 12), 0);
	b = WORDS(16, 1, 0, 0);
	assert_int_equal(call(e, VFM_VU_DEVICE_GET_REGION_IO_FDS, &b), EINVAL);
	b = WORDS(16, 0, 99, 0);
	assert_int_equal(call(e, VFM_VU_DEVICE_GET_REGION_IO_FDS, &b), EINVAL);
	b = WORDS(15, 0, 0, 0);
	assert_int_equal(call(e, VFM_VU_DEVICE_GET_REGION_IO_FDS, &b), EINVAL);

	/* a client that takes one descriptor gets the entries of the first */
	env_leave(e);
	env_join(e, NULL);
	b = WORDS(4096, 0, 0, 0);
	assert_int_equal(call(e, VFM_VU_DEVICE_GET_REGION_IO_FDS, &b), 0);
	assert_int_equal(get32(&e->reply, 12), 2);
	assert_int_equal(e->reply.nr_fds, 1);
	assert_int_equal(get64(&e->reply, 16 + 40), 0x208);
}

static uint32_t set_irqs(struct env *e, uint32_t flags, uint32_t index, uint32_t start,
			 uint32_t count, size_t bools, const int *fds, unsigned int nr_fds)
{
	struct bytes b = WORDS(20, flags, index, start, count);

	memset(b.mem + b.len, 1, bools);
	return call_fds(e, VFM_VU_DEVICE_SET_IRQS, b.mem, b.len + bools, fds, nr_fds);
}

static void irqs(void **state)
{
	const uint32_t eventfds = VFM_IRQ_SET_DATA_EVENTFD | VFM_IRQ_SET_ACTION_TRIGGER;
	const uint32_t bools = VFM_IRQ_SET_DATA_BOOL | VFM_IRQ_SET_ACTION_MASK;
	const uint32_t none = VFM_IRQ_SET_DATA_NONE | VFM_IRQ_SET_ACTION_TRIGGER;
	struct bytes b = WORDS(16, 0, 1, 0);
	struct env *e = *state;
	int fds[16];

	assert_int_equal(call(e, VFM_VU_DEVICE_GET_IRQ_INFO, &b), 0);
	assert_int_equal(get32(&e->reply, 0), 16);
	assert_int_equal(get32(&e->reply, 4), VFM_IRQ_EVENTFD | VFM_IRQ_MASKABLE);
	assert_int_equal(get32(&e->reply, 8), 1);
	assert_int_equal(get32(&e->reply, 12), TEST_VECTORS);
	b = WORDS(16, 0, TEST_NR_IRQS, 0);
	assert_int_equal(call(e, VFM_VU_DEVICE_GET_IRQ_INFO, &b), EINVAL);
	b = WORDS(15, 0, 0, 0);
	assert_int_equal(call(e, VFM_VU_DEVICE_GET_IRQ_INFO, &b), EINVAL);

	for (unsigned int i = 0; i < 16; i++)
		fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_int_equal(set_irqs(e, eventfds, 1, 4, 16, 0, fds, 16), 0);
	assert_int_equal(e->reply.size, 0);
	assert_int_equal(test_device_wired(e->t), 16);
	for (unsigned int i = 0; i < 16; i++)
		test_same_eventfd(fds[i], e->t->irqs[1][4 + i]);
	/* as many descriptors as vectors, or none at all */
	assert_int_equal(set_irqs(e, eventfds, 1, 4, 15, 0, fds, 16), EINVAL);
	assert_int_equal(set_irqs(e, eventfds, 1, 4, 16, 0, fds, 15), EINVAL);
	assert_int_equal(set_irqs(e, eventfds, 1, 30, 16, 0, fds, 16), EINVAL);
	assert_int_equal(set_irqs(e, eventfds, 1, UINT32_MAX, 16, 0, fds, 16), EINVAL);
	assert_int_equal(set_irqs(e, eventfds, 9, 0, 1, 0, fds, 1), EINVAL);
	assert_int_equal(set_irqs(e, eventfds, 1, 0, 1, 1, fds, 1), EINVAL);
	assert_int_equal(test_device_wired(e->t), 16);
	assert_int_equal(set_irqs(e, eventfds, 1, 4, 10, 0, NULL, 0), 0);
	assert_int_equal(test_device_wired(e->t), 6);
	assert_int_equal(set_irqs(e, none, 1, 0, 0, 0, NULL, 0), 0);
	assert_int_equal(test_device_wired(e->t), 0);

	assert_int_equal(set_irqs(e, bools, 1, 1, 3, 3, NULL, 0), 0);
	assert_int_equal(e->t->last_irq_flags, bools);
	assert_memory_equal(e->t->last_bools, "\0\1\1\1\0", 5);
	assert_int_equal(set_irqs(e, bools, 1, 1, 3, 2, NULL, 0), EINVAL);
	assert_int_equal(set_irqs(e, bools, 1, 1, 3, 4, NULL, 0), EINVAL);
	assert_int_equal(set_irqs(e, bools, 1, 1, UINT32_MAX, 4, NULL, 0), EINVAL);
	/* two kinds, two actions, none, unknown */
	assert_int_equal(set_irqs(e, bools | VFM_IRQ_SET_DATA_NONE, 1, 0, 1, 1, NULL, 0), EINVAL);
	assert_int_equal(set_irqs(e, bools | VFM_IRQ_SET_ACTION_UNMASK, 1, 0, 1, 1, NULL, 0),
			 EINVAL);
	assert_int_equal(set_irqs(e, 0, 1, 0, 1, 0, NULL, 0), EINVAL);
	assert_int_equal(set_irqs(e, none | 64, 1, 0, 1, 0, NULL, 0), EINVAL);
	for (unsigned int i = 0; i < 16; i++)
		close(fds[i]);
}

/* offset, region, count, and data that counts up */
static struct bytes access_bytes(uint64_t offset, uint32_t region, uint32_t count, size_t data)
{
	struct bytes b = { .len = 0 };

	put64(&b, offset);
	put32(&b, region);
	put32(&b, count);
	for (size_t i = 0; i < data; i++)
		b.mem[b.len++] = (uint8_t)(i + 1);
	return b;
}

static uint32_t access_region(struct env *e, uint16_t command, uint64_t offset, uint32_t region,
			      uint32_t count, size_t data)
{
	struct bytes b = access_bytes(offset, region, count, data);

	return call(e, command, &b);
}

static void region_access(void **state)
{
	struct env *e = *state;

	for (uint32_t n = 1; n <= 64; n++) {
		memset(e->t->region, 0xee, sizeof(e->t->region));
		assert_int_equal(access_region(e, VFM_VU_REGION_WRITE, 64, 0, n, n), 0);
		assert_int_equal(e->reply.size, 16);
		assert_int_equal(get64(&e->reply, 0), 64);
		assert_int_equal(get32(&e->reply, 8), 0);
		assert_int_equal(get32(&e->reply, 12), n);
		assert_int_equal(e->t->region[63], 0xee);
		assert_int_equal(e->t->region[64 + n - 1], n);
		assert_int_equal(e->t->region[64 + n], 0xee);
		assert_int_equal(access_region(e, VFM_VU_REGION_READ, 63, 0, n + 1, 0), 0);
		assert_int_equal(e->reply.size, 16 + n + 1);
		assert_memory_equal(e->reply.payload + 16, e->t->region + 63, n + 1);
	}
	assert_int_equal(access_region(e, VFM_VU_REGION_READ, 0, 0, TEST_REGION_SIZE, 0), 0);
	assert_int_equal(e->reply.size, 16 + TEST_REGION_SIZE);
	assert_int_equal(access_region(e, VFM_VU_REGION_READ, 1, 0, TEST_REGION_SIZE, 0), EINVAL);
	assert_int_equal(access_region(e, VFM_VU_REGION_READ, UINT64_MAX, 0, 4, 0), EINVAL);
	assert_int_equal(access_region(e, VFM_VU_REGION_READ, 0, 0, 0, 0), EINVAL);
	assert_int_equal(access_region(e, VFM_VU_REGION_READ, 0, 77, 4, 0), EINVAL);
	assert_int_equal(access_region(e, VFM_VU_REGION_READ, 0, 0, (1u << 20) + 1, 0), E2BIG);
	assert_int_equal(access_region(e, VFM_VU_REGION_READ, 0, 0, UINT32_MAX, 0), E2BIG);
	assert_int_equal(access_region(e, VFM_VU_REGION_WRITE, 0, 0, UINT32_MAX, 4), E2BIG);
	assert_int_equal(access_region(e, VFM_VU_REGION_WRITE, 0, 0, 4, 3), EINVAL);
	assert_int_equal(access_region(e, VFM_VU_REGION_WRITE, 0, 0, 4, 5), EINVAL);
	assert_int_equal(access_region(e, VFM_VU_REGION_WRITE, 0, 0, 0, 0), EINVAL);
	assert_int_equal(access_region(e, VFM_VU_REGION_WRITE, 0, TEST_READ_ONLY_REGION, 4, 4),
			 EPERM);
}

static void write_multi(void **state)
{
	struct env *e = *state;
	struct bytes b = { .len = 0 };

	put64(&b, 3);
	for (uint32_t i = 0; i < 3; i++) {
		put64(&b, 8 * i);
		put32(&b, 0);
		put32(&b, 1u << i);
		put64(&b, 0x0807060504030201u);
	}
	assert_int_equal(call(e, VFM_VU_REGION_WRITE_MULTI, &b), 0);
	assert_int_equal(e->reply.size, 8);
	assert_int_equal(get64(&e->reply, 0), 3);
	assert_memory_equal(e->t->region, "\1\0\0\0\0\0\0\0\1\2\0\0\0\0\0\0\1\2\3\4\0", 21);
	/* the second one is wrong: one was done */
	b.mem[8 + 24 + 8] = 99;
	assert_int_equal(call(e, VFM_VU_REGION_WRITE_MULTI, &b), 0);
	assert_int_equal(get64(&e->reply, 0), 1);
	b.mem[8 + 8] = 99;
	assert_int_equal(call(e, VFM_VU_REGION_WRITE_MULTI, &b), EINVAL);
	b.mem[8 + 8] = 0;
	b.mem[8 + 12] = 9; /* bytes of eight */
	assert_int_equal(call(e, VFM_VU_REGION_WRITE_MULTI, &b), EINVAL);
	for (uint64_t n = 0; n < 6; n++) {
		if (n == 3)
			continue;
		memcpy(b.mem, &n, sizeof(n));
		assert_int_equal(call(e, VFM_VU_REGION_WRITE_MULTI, &b), EINVAL);
	}
	memcpy(b.mem, &(uint64_t){ 201 }, 8);
	assert_int_equal(call(e, VFM_VU_REGION_WRITE_MULTI, &b), E2BIG);
	memcpy(b.mem, &(uint64_t){ UINT64_MAX }, 8);
	assert_int_equal(call(e, VFM_VU_REGION_WRITE_MULTI, &b), E2BIG);
	memcpy(b.mem, &(uint64_t){ UINT64_MAX / 24 + 1 }, 8);
	assert_int_equal(call(e, VFM_VU_REGION_WRITE_MULTI, &b), E2BIG);

	env_leave(e);
	env_join(e, "{}");
	assert_int_equal(call(e, VFM_VU_REGION_WRITE_MULTI, &b), ENOTTY);
}

static void reset(void **state)
{
	struct env *e = *state;

	e->t->state = VFM_STATE_ERROR;
	assert_int_equal(call_fds(e, VFM_VU_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	assert_int_equal(e->reply.size, 0);
	assert_int_equal(e->t->state, VFM_STATE_RUNNING);
	e->t->no_reset = true;
	assert_int_equal(call_fds(e, VFM_VU_DEVICE_RESET, NULL, 0, NULL, 0), ENOTTY);
}

static void unknown_commands(void **state)
{
	static const uint16_t unknown[] = {
		0,   VFM_VU_DMA_READ, VFM_VU_DMA_WRITE, VFM_VU_DIRTY_PAGES, VFM_VU_NR_COMMANDS,
		100, UINT16_MAX
	};
	struct env *e = *state;

	for (size_t i = 0; i < VFM_ARRAY_SIZE(unknown); i++)
		assert_int_equal(call_fds(e, unknown[i], "abcdefghijkl", 12, NULL, 0), ENOTTY);
}

/* Every length below what a command needs, and descriptors nobody asked for. */
static void truncated(void **state)
{
	static const struct {
		uint16_t command;
		size_t needs;
	} rows[] = {
		{ VFM_VU_DMA_MAP, VFM_VU_DMA_MAP_SIZE },
		{ VFM_VU_DMA_UNMAP, VFM_VU_DMA_UNMAP_SIZE },
		{ VFM_VU_DEVICE_GET_INFO, VFM_VU_INFO_SIZE },
		{ VFM_VU_DEVICE_GET_REGION_INFO, VFM_VU_REGION_INFO_SIZE },
		{ VFM_VU_DEVICE_GET_REGION_IO_FDS, VFM_VU_REGION_IO_FDS_SIZE },
		{ VFM_VU_DEVICE_GET_IRQ_INFO, VFM_VU_IRQ_INFO_SIZE },
		{ VFM_VU_DEVICE_SET_IRQS, VFM_VU_SET_IRQS_SIZE },
		{ VFM_VU_REGION_READ, VFM_VU_REGION_ACCESS_SIZE },
		{ VFM_VU_REGION_WRITE, VFM_VU_REGION_ACCESS_SIZE },
		{ VFM_VU_REGION_WRITE_MULTI, 8 },
		{ VFM_VU_DEVICE_FEATURE, VFM_VU_FEATURE_SIZE },
		{ VFM_VU_MIG_DATA_READ, VFM_VU_MIG_DATA_SIZE },
		{ VFM_VU_MIG_DATA_WRITE, VFM_VU_MIG_DATA_SIZE },
	};
	struct env *e = *state;
	int fds[2] = { e->t->io_fds[0], e->t->io_fds[1] };
	unsigned int before = test_count_fds();

	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		for (size_t len = 0; len < rows[i].needs; len++) {
			uint8_t *payload = calloc(1, len + 1);

			memset(payload, 0xff, len);
			assert_int_equal(call_fds(e, rows[i].command, payload, len, fds, len % 3),
					 EINVAL);
			free(payload);
		}
	}
	assert_int_equal(test_count_fds(), before);
	info(state);
}

static void too_large(void **state)
{
	size_t size = (1u << 20) + VFM_SRV_MESSAGE_SLACK;
	uint8_t *payload = calloc(1, size + 1);
	struct env *e = *state;
	int fds[1] = { e->t->io_fds[0] };
	struct iovec body = { payload, size + 1 };
	struct vfm_vu_out out = { .command = VFM_VU_REGION_WRITE, .body = &body, .nr_body = 1 };
	struct vfm_vu_msg msg;

	assert_int_equal(call_fds(e, VFM_VU_REGION_WRITE, payload, size + 1, fds, 1), EMSGSIZE);
	assert_int_equal(call_fds(e, 3000, payload, size + 1, fds, 1), EMSGSIZE);
	assert_int_equal(call_fds(e, VFM_VU_REGION_READ, payload, size, fds, 1), EINVAL);
	/* two without a pause, and a small one behind them */
	out.flags = VFM_VU_NO_REPLY;
	assert_int_equal(vfm_vu_conn_send(e->conn, &out, NULL, NULL), 0);
	assert_int_equal(vfm_vu_conn_send(e->conn, &out, NULL, NULL), 0);
	info(state);
	assert_int_equal(vfm_vu_conn_recv(e->conn, &msg, NULL, NULL), 0);
	free(payload);
}

static void too_many_fds(void **state)
{
	struct env *e = *state;
	uint8_t raw[36] = { 0 };
	int fds[17], sock = vfm_vu_conn_fd(e->conn);
	unsigned int before = test_count_fds();

	for (unsigned int i = 0; i < 17; i++)
		fds[i] = e->t->io_fds[0];
	test_put_header(raw, 4, VFM_VU_DEVICE_SET_IRQS, 36, 0, 0);
	test_send_raw(sock, raw, 36, fds, 17);
	env_pump(e);
	assert_int_equal(vfm_vu_conn_recv(e->conn, &e->reply, NULL, NULL), 1);
	assert_int_equal(e->reply.error, E2BIG);
	assert_int_equal(test_count_fds(), before);
	info(state);
}

/* No reply to those that want none, good or bad; the one that wants one is the next. */
static void no_reply(void **state)
{
	struct env *e = *state;
	struct bytes good = access_bytes(0, 0, 4, 4), bad = access_bytes(0, 77, 4, 4);
	struct iovec body = { good.mem, good.len };
	struct vfm_vu_out out = { .command = VFM_VU_REGION_WRITE,
				  .flags = VFM_VU_NO_REPLY,
				  .body = &body,
				  .nr_body = 1 };

	assert_int_equal(vfm_vu_conn_send(e->conn, &out, NULL, NULL), 0);
	body.iov_base = bad.mem;
	assert_int_equal(vfm_vu_conn_send(e->conn, &out, NULL, NULL), 0);
	assert_int_equal(access_region(e, VFM_VU_REGION_READ, 0, 0, 4, 0), 0);
	assert_memory_equal(e->reply.payload + 16, "\1\2\3\4", 4);
}

/* More than the server handles at a time, in one piece: all of them, in order. */
static void pipelined(void **state)
{
	struct env *e = *state;
	uint8_t *stream = malloc(1000 * 32);
	struct vfm_vu_msg msg;
	struct bytes b = access_bytes(8, 0, 4, 0);
	unsigned int i;

	for (i = 0; i < 1000; i++) {
		test_put_header(stream + i * 32, (uint16_t)i, VFM_VU_REGION_READ, 32, 0, 0);
		memcpy(stream + i * 32 + 16, b.mem, 16);
	}
	test_send_raw(vfm_vu_conn_fd(e->conn), stream, 1000 * 32, NULL, 0);
	for (i = 0; i < 1000; i++) {
		env_pump(e);
		assert_int_equal(vfm_vu_conn_recv(e->conn, &msg, NULL, NULL), 1);
		assert_int_equal(msg.id, i);
		assert_int_equal(msg.error, 0);
	}
	free(stream);
}

/* What a device does not look after itself, the server does. */
static void careless_device(void **state)
{
	static const uint32_t sizes[] = { TEST_REGION_SIZE, TEST_MAPPED_SIZE, TEST_REGION_SIZE,
					  TEST_REGION_SIZE, 0 };
	struct bytes irq = WORDS(16, 0, TEST_NR_IRQS, 0), data = WORDS(24, 16);
	struct env *e = *state;

	e->t->careless = true;
	/* an area that ends within a page: with the type alone, and no descriptor */
	assert_int_equal(region_info(e, 4096, TEST_MAPPED_REGION), 0);
	check_region(e, 48, 0xb, 32, 0, 0);
	assert_int_equal(region_info(e, 32, TEST_NR_REGIONS), EINVAL);
	assert_int_equal(call(e, VFM_VU_DEVICE_GET_IRQ_INFO, &irq), EINVAL);
	for (uint32_t i = 0; i < TEST_NR_REGIONS; i++) {
		if (sizes[i])
			assert_int_equal(
				access_region(e, VFM_VU_REGION_READ, sizes[i] - 4, i, 4, 0), 0);
		assert_int_equal(access_region(e, VFM_VU_REGION_READ, sizes[i], i, 4, 0), EINVAL);
		assert_int_equal(access_region(e, VFM_VU_REGION_WRITE, sizes[i], i, 4, 4), EINVAL);
	}
	/* no bytes would be an end */
	assert_int_equal(call(e, VFM_VU_MIG_DATA_READ, &data), EINVAL);
	e->t->state = VFM_STATE_STOP_COPY;
	assert_int_equal(call(e, VFM_VU_MIG_DATA_READ, &data), 0);
}

static void version_again(void **state)
{
	struct env *e = *state;

	for (size_t len = 0; len <= 6; len++)
		assert_int_equal(call_fds(e, VFM_VU_VERSION, "\0\0\1\0{}", len, NULL, 0), EINVAL);
	info(state);
}

/* Replies that nobody asked for are dropped. */
static void stray_reply(void **state)
{
	struct env *e = *state;
	uint8_t raw[20] = { 0 };

	test_put_header(raw, 4, VFM_VU_DMA_READ, 20, VFM_VU_REPLY, 0);
	test_send_raw(vfm_vu_conn_fd(e->conn), raw, 20, e->t->io_fds, 1);
	info(state);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(info),
		TEST(regions),
		TEST(regions_without_fds),
		TEST(io_fds),
		TEST(irqs),
		TEST(region_access),
		TEST(write_multi),
		TEST(reset),
		TEST(unknown_commands),
		TEST(truncated),
		TEST(too_large),
		TEST(too_many_fds),
		TEST(no_reply),
		TEST(pipelined),
		TEST(version_again),
		TEST(stray_reply),
		TEST(careless_device),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
