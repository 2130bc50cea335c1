// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The server's DMA through the client: while any call waits, when none does, into
 * every kind of memory, and where it must not go.
 */

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "client-peer.h"

#define SIZE 0x4000u

/* Three ranges: at 1 MiB memory of ours, at 2 MiB a file, at 3 MiB calls. */
#define BY_VADDR 0x100000u
#define BY_FILE 0x200000u
#define BY_CALLS 0x300000u

static uint8_t memory[SIZE], behind_calls[SIZE];
static int file_fd;
static struct vfm_device *device;
static int reentry;
static bool slow_calls;

static int access_read(void *user, uint64_t iova, void *buf, size_t len)
{
	uint8_t v;

	assert_ptr_equal(user, behind_calls);
	if (slow_calls)
		usleep(1000);
	memcpy(buf, behind_calls + (iova - BY_CALLS), len);
	reentry = vfm_device_read_region(device, 0, 0, &v, 1, NULL);
	return 0;
}

static int access_write(void *user, uint64_t iova, const void *buf, size_t len)
{
	assert_ptr_equal(user, behind_calls);
	if (len == 13)
		return -ENXIO;
	memcpy(behind_calls + (iova - BY_CALLS), buf, len);
	return 0;
}

static void map_all(struct vfm_device *dev, uint32_t flags)
{
	struct vfm_dma_map maps[3] = {
		{ .iova = BY_VADDR, .size = SIZE, .flags = flags, .fd = -1, .vaddr = memory },
		{ .iova = BY_FILE,
		  .size = SIZE,
		  .flags = flags,
		  .fd = file_fd,
		  .fd_offset = 0x800 },
		{ .iova = BY_CALLS,
		  .size = SIZE,
		  .flags = flags,
		  .fd = -1,
		  .access = { access_read, access_write, behind_calls } },
	};
	struct vfm_err err;

	for (int i = 0; i < 3; i++)
		assert_int_equal(vfm_device_map_dma(dev, &maps[i], &err), 0);
}

static const uint64_t bases[] = { BY_VADDR, BY_FILE, BY_CALLS };

/** struct work - DMA that a meddler does before it lets the reply go */
struct work {
	uint16_t command; /* of the client; 0: any */
	bool after;	  /* the reply goes first */
	bool together;	  /* in one piece with it */
	int done;
	int bad;
	void (*fn)(struct peer *p, struct work *work);
};

static void round_trip(struct peer *p, struct work *work)
{
	uint8_t out[100], in[100];

	for (size_t i = 0; i < 3; i++) {
		memset(out, work->done + 1, sizeof(out));
		memset(in, 0, sizeof(in));
		work->bad += peer_dma(p, VFM_VU_DMA_WRITE, bases[i] + 50, out, sizeof(out)) != 0;
		work->bad += peer_dma(p, VFM_VU_DMA_READ, bases[i] + 50, in, sizeof(in)) != 0;
		work->bad += memcmp(in, out, sizeof(in)) != 0;
	}
}

static void meddle(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	struct work *work = p->opts.user;

	if (p->nr_maps < 3 || (work->command && req->command != work->command))
		return;
	if (work->after) {
		peer_send(p, reply);
		reply->drop = true;
	}
	work->fn(p, work);
	__atomic_add_fetch(&work->done, 1, __ATOMIC_RELEASE);
}

static struct vfm_device *start(struct peer *p, struct work *work, bool extension)
{
	struct peer_opts opts = { .extension = extension, .meddle = meddle, .user = work };

	memset(memory, 0, sizeof(memory));
	memset(behind_calls, 0, sizeof(behind_calls));
	device = peer_open(p, &opts);
	map_all(device, VFM_DMA_READ | VFM_DMA_WRITE);
	return device;
}

static void stop(struct peer *p)
{
	vfm_device_close(device);
	peer_stop(p);
}

/* In the wait of every call that goes to the server. */
static void during_calls(void **state)
{
	struct vfm_irq_set set = { .flags = VFM_IRQ_SET_DATA_NONE | VFM_IRQ_SET_ACTION_TRIGGER };
	struct vfm_dma_map more = {
		.iova = 0x900000, .size = 4096, .flags = 3, .fd = -1, .vaddr = memory
	};
	struct work work = { .fn = round_trip };
	struct vfm_range range = { BY_VADDR, SIZE };
	uint64_t v, page = 4096, bitmap[1];
	struct vfm_precopy_info info;
	struct vfm_compat compat;
	struct vfm_io_fd io[2];
	enum vfm_state s;
	uint8_t buf[5000] = { 0 };
	struct peer p;
	struct vfm_device *dev = start(&p, &work, true);
	int before = work.done;

	(void)state;
	assert_int_equal(vfm_device_read_region(dev, 0, 0, buf, 4, NULL), 0);
	assert_int_equal(vfm_device_write_region(dev, 1, 0, buf, 5000, NULL), 0);
	assert_int_equal(vfm_device_get_io_fds(dev, 0, io, 2, NULL), 2);
	assert_int_equal(vfm_device_set_irqs(dev, &set, NULL), 0);
	assert_int_equal(vfm_device_map_dma(dev, &more, NULL), 0);
	assert_int_equal(vfm_device_unmap_dma(dev, 0x900000, 4096, NULL), 0);
	assert_int_equal(vfm_device_get_migration(dev, &v, NULL), 0);
	assert_int_equal(vfm_device_start_log(dev, &page, &range, 1, NULL), 0);
	assert_int_equal(vfm_device_report_log(dev, BY_VADDR, SIZE, 4096, bitmap, NULL), 0);
	assert_int_equal(vfm_device_stop_log(dev, NULL), 0);
	assert_int_equal(vfm_device_get_data_size(dev, &v, NULL), 0);
	assert_int_equal(vfm_device_get_compat(dev, &compat, NULL), 0);
	assert_int_equal(vfm_device_set_orphan(dev, VFM_ORPHAN_RUN, NULL), 0);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_PRE_COPY, NULL), 0);
	assert_int_equal(vfm_device_get_precopy_info(dev, &info, NULL), 0);
	assert_int_equal(vfm_device_read_data(dev, buf, 5000, NULL), 5000);
	assert_memory_equal(buf, p.out, 5000);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RUNNING, NULL), 0);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RESUMING, NULL), 0);
	assert_int_equal(vfm_device_write_data(dev, buf, 5000, NULL), 0);
	assert_int_equal(vfm_device_get_state(dev, &s, NULL), 0);
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	assert_int_equal(work.bad, 0);
	assert_int_equal(work.done - before, 22);
	assert_int_equal(memory[50], work.done);
	assert_int_equal(memory[149], work.done);
	assert_int_equal(memory[150], 0);
	assert_int_equal(behind_calls[50], work.done);
	assert_int_equal(pread(file_fd, buf, 1, 0x800 + 50), 1);
	assert_int_equal(buf[0], work.done);
	/* The user's callback tried to call the device. */
	assert_int_equal(reentry, -EBUSY);
	stop(&p);
}

static void pump(struct vfm_device *dev, const int *done, int want)
{
	uint64_t end = vfm_now_ns() + UINT64_C(5000000000);

	while (__atomic_load_n(done, __ATOMIC_ACQUIRE) < want && vfm_now_ns() < end) {
		struct pollfd pfd = { .fd = vfm_device_get_fd(dev), .events = POLLIN };

		if (poll(&pfd, 1, 20) == 1)
			assert_int_equal(vfm_device_process(dev, NULL), 0);
	}
	assert_int_equal(__atomic_load_n(done, __ATOMIC_ACQUIRE), want);
}

/* Between calls, by whoever waits for the descriptor. */
static void between_calls(void **state)
{
	struct work work = { .command = VFM_VU_DEVICE_RESET, .after = true, .fn = round_trip };
	struct peer p;
	struct vfm_device *dev = start(&p, &work, false);

	(void)state;
	assert_int_equal(vfm_device_process(dev, NULL), 0);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(vfm_device_reset(dev, NULL), 0);
		pump(dev, &work.done, i + 1);
	}
	assert_int_equal(work.bad, 0);
	stop(&p);
}

/* The reply and a command in one piece: who polls the socket would never see the command. */
static void together(struct peer *p, struct work *work)
{
	uint8_t bytes[16 + 32] = { 0, 0, VFM_VU_DEVICE_RESET, 0, 16, 0, 0, 0, 1 };
	uint64_t iova = BY_VADDR, count = 8;
	struct peer_msg msg = { .bytes = malloc(PEER_MAX) };
	uint8_t header[16] = { 77, 0, VFM_VU_DMA_READ, 0, 32 };

	memcpy(bytes, &work->bad, 2);
	work->bad = 0;
	memcpy(bytes + 16, header, 16);
	memcpy(bytes + 32, &iova, 8);
	memcpy(bytes + 40, &count, 8);
	if (send(p->fd, bytes, sizeof(bytes), MSG_NOSIGNAL) != sizeof(bytes) ||
	    !peer_recv(p, &msg) || msg.id != 77 || msg.len != 24)
		work->bad = 1;
	free(msg.bytes);
}

static void meddle_together(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	struct work *work = p->opts.user;

	if (req->command != VFM_VU_DEVICE_RESET)
		return;
	work->bad = reply->id;
	reply->drop = true;
	together(p, work);
	__atomic_add_fetch(&work->done, 1, __ATOMIC_RELEASE);
}

static void in_one_piece(void **state)
{
	struct work work = { 0 };
	struct peer_opts opts = { .meddle = meddle_together, .user = &work };
	struct peer p;

	(void)state;
	device = peer_open(&p, &opts);
	map_all(device, 3);
	assert_int_equal(vfm_device_reset(device, NULL), 0);
	/* Nobody processes, nobody calls: it has been served all the same. */
	while (!__atomic_load_n(&work.done, __ATOMIC_ACQUIRE))
		sched_yield();
	assert_int_equal(work.bad, 0);
	stop(&p);
}

static void check(struct peer *p, struct work *work, uint16_t command, uint64_t iova, size_t len,
		  int error)
{
	static uint8_t buf[PEER_MAX];
	int ret = peer_dma(p, command, iova, buf, len);

	if (ret != error) {
		print_error("command %u, 0x%llx+0x%zx: %d, not %d\n", command,
			    (unsigned long long)iova, len, ret, error);
		work->bad++;
	}
}

static void borders(struct peer *p, struct work *work)
{
	for (uint16_t cmd = VFM_VU_DMA_READ; cmd <= VFM_VU_DMA_WRITE; cmd++) {
		for (size_t i = 0; i < 3; i++) {
			check(p, work, cmd, bases[i], SIZE, 0);
			check(p, work, cmd, bases[i] + SIZE - 1, 1, 0);
			check(p, work, cmd, bases[i] - 1, 1, EFAULT);
			check(p, work, cmd, bases[i] - 1, 2, EFAULT);
			check(p, work, cmd, bases[i] + SIZE, 1, EFAULT);
			check(p, work, cmd, bases[i] + SIZE - 1, 2, EFAULT);
			check(p, work, cmd, bases[i], SIZE + 1, EFAULT);
			check(p, work, cmd, bases[i], 0, EINVAL);
		}
		check(p, work, cmd, ~UINT64_C(0), 2, EINVAL);
		check(p, work, cmd, 0, 1u << 20, EFAULT);
		check(p, work, cmd, 0, (1u << 20) + 1, E2BIG);
	}
	check(p, work, VFM_VU_DMA_WRITE, BY_CALLS, 13, ENXIO);
	check(p, work, VFM_VU_REGION_READ, BY_VADDR, 1, ENOTTY);
	check(p, work, 99, BY_VADDR, 1, ENOTTY);
}

static void within_borders(void **state)
{
	struct work work = { .command = VFM_VU_DEVICE_RESET, .fn = borders };
	struct vfm_err err;
	struct peer p;
	struct vfm_device *dev = start(&p, &work, false);

	(void)state;
	assert_int_equal(vfm_device_reset(dev, &err), 0);
	assert_int_equal(work.bad, 0);
	assert_int_equal(vfm_device_reset(dev, &err), 0);
	stop(&p);
}

static void only_read(struct peer *p, struct work *work)
{
	for (size_t i = 0; i < 3; i++) {
		check(p, work, VFM_VU_DMA_READ, bases[i], 64, 0);
		check(p, work, VFM_VU_DMA_WRITE, bases[i], 64, EFAULT);
	}
}

static void only_write(struct peer *p, struct work *work)
{
	for (size_t i = 0; i < 3; i++) {
		check(p, work, VFM_VU_DMA_READ, bases[i], 64, EFAULT);
		check(p, work, VFM_VU_DMA_WRITE, bases[i], 64, 0);
	}
}

static void nothing(struct peer *p, struct work *work)
{
	for (size_t i = 0; i < 3; i++) {
		check(p, work, VFM_VU_DMA_READ, bases[i], 64, EFAULT);
		check(p, work, VFM_VU_DMA_WRITE, bases[i], 64, EFAULT);
	}
}

static void meddle_any(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	struct work *work = p->opts.user;

	(void)reply;
	if (req->command == work->command)
		work->fn(p, work);
}

static void directions(void **state)
{
	struct work work = { .command = VFM_VU_DEVICE_RESET };
	struct peer_opts opts = { .meddle = meddle_any, .user = &work };
	struct peer p;

	(void)state;
	device = peer_open(&p, &opts);
	map_all(device, VFM_DMA_READ);
	work.fn = only_read;
	assert_int_equal(vfm_device_reset(device, NULL), 0);
	assert_int_equal(vfm_device_unmap_all(device, NULL), 0);
	work.fn = nothing;
	assert_int_equal(vfm_device_reset(device, NULL), 0);
	map_all(device, VFM_DMA_WRITE);
	work.fn = only_write;
	assert_int_equal(vfm_device_reset(device, NULL), 0);
	assert_int_equal(work.bad, 0);
	stop(&p);
}

/* A file that is shorter than its range: an error for the server, no fault for us. */
static void short_file(struct peer *p, struct work *work)
{
	check(p, work, VFM_VU_DMA_READ, BY_FILE, 64, EFAULT);
	check(p, work, VFM_VU_DMA_WRITE, BY_FILE, 64, EFAULT);
}

static void file_too_short(void **state)
{
	struct work work = { .command = VFM_VU_DEVICE_RESET, .fn = short_file };
	struct peer_opts opts = { .meddle = meddle_any, .user = &work };
	struct peer p;
	int was = file_fd;

	(void)state;
	device = peer_open(&p, &opts);
	file_fd = memfd_create("short", MFD_CLOEXEC);
	assert_int_equal(ftruncate(file_fd, SIZE), 0);
	map_all(device, 3);
	assert_int_equal(vfm_device_reset(device, NULL), 0);
	assert_int_equal(work.bad, 0);
	close(file_fd);
	file_fd = was;
	stop(&p);
}

/* While the request to map is under way the server may use the memory, and while the one to
 * unmap is. */
static void early(struct peer *p, struct work *work)
{
	check(p, work, VFM_VU_DMA_WRITE, BY_VADDR, 64, 0);
}

static void mapped_early(void **state)
{
	struct work work = { .command = VFM_VU_DMA_MAP, .fn = early };
	struct peer_opts opts = { .meddle = meddle_any, .user = &work };
	struct vfm_dma_map map = {
		.iova = BY_VADDR, .size = SIZE, .flags = 3, .fd = -1, .vaddr = memory
	};
	struct peer p;

	(void)state;
	device = peer_open(&p, &opts);
	assert_int_equal(vfm_device_map_dma(device, &map, NULL), 0);
	work.command = VFM_VU_DMA_UNMAP;
	assert_int_equal(vfm_device_unmap_dma(device, BY_VADDR, SIZE, NULL), 0);
	assert_int_equal(work.bad, 0);
	stop(&p);
}

/* Commands that are cut short, and one that wants no answer. */
static void odd(struct peer *p, struct work *work)
{
	struct peer_msg msg = { .id = 5, .command = VFM_VU_DMA_READ, .bytes = calloc(1, PEER_MAX) };

	for (size_t len = 0; len < 16; len++) {
		msg.len = len;
		msg.flags = 0;
		if (!peer_send(p, &msg) || !peer_recv(p, &msg) || msg.flags != 0x21 ||
		    msg.error != EINVAL)
			work->bad++;
	}
	peer_put64(&msg, 0, BY_VADDR);
	peer_put64(&msg, 8, 64);
	msg.command = VFM_VU_DMA_WRITE;
	msg.len = 16 + 63;
	msg.flags = 0;
	if (!peer_send(p, &msg) || !peer_recv(p, &msg) || msg.error != EINVAL)
		work->bad++;
	msg.len = 0;
	memset(msg.bytes, 0xaa, 80);
	peer_put64(&msg, 0, BY_VADDR);
	peer_put64(&msg, 8, 64);
	msg.len = 80;
	msg.flags = 0x10;
	msg.nr_fds = 1;
	msg.fds[0] = p->io_fd;
	if (!peer_send(p, &msg))
		work->bad++;
	msg.nr_fds = 0;
	free(msg.bytes);
}

static void odd_commands(void **state)
{
	struct work work = { .command = VFM_VU_DEVICE_RESET, .fn = odd };
	struct peer p;
	struct vfm_device *dev = start(&p, &work, false);
	unsigned int before = test_count_fds();

	(void)state;
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	assert_int_equal(work.bad, 0);
	assert_int_equal(memory[0], 0xaa);
	assert_int_equal(memory[63], 0xaa);
	assert_int_equal(memory[64], 0);
	assert_int_equal(test_count_fds(), before);
	stop(&p);
}

/* A server that asks for DMA for ever and never replies does not hold us for ever. */
static void endless(struct peer *p, struct work *work)
{
	uint8_t buf[8];

	(void)work;
	while (peer_dma(p, VFM_VU_DMA_READ, BY_VADDR, buf, sizeof(buf)) == 0)
		;
}

/* The same without waiting for an answer, so that there always is a next command. */
static void flood(struct peer *p, struct work *work)
{
	struct peer_msg msg = { .command = VFM_VU_DMA_READ, .flags = 0x10 };

	(void)work;
	msg.bytes = calloc(1, PEER_MAX);
	peer_put64(&msg, 0, BY_CALLS);
	peer_put64(&msg, 8, 1);
	while (peer_send(p, &msg))
		;
	free(msg.bytes);
}

static void no_end(void **state)
{
	struct work work = { .command = VFM_VU_DEVICE_RESET, .fn = *state ? flood : endless };
	struct peer_opts opts = { .meddle = meddle, .user = &work };
	struct vfm_client_opts client_opts = { .timeout_ms = 300 };
	struct vfm_err err;
	struct peer p;
	int fd = peer_start(&p, &opts);

	assert_int_equal(vfm_client_open_fd(&device, fd, &client_opts, &err), 0);
	map_all(device, 3);
	slow_calls = true;
	assert_int_equal(vfm_device_reset(device, &err), -ETIMEDOUT);
	slow_calls = false;
	assert_int_equal(vfm_device_reset(device, &err), -ENOTCONN);
	stop(&p);
}

/* The peer goes while nobody calls. */
static void gone(void **state)
{
	struct work work = { .fn = round_trip };
	struct vfm_err err;
	struct peer p;
	struct vfm_device *dev = start(&p, &work, false);
	struct pollfd pfd = { .fd = vfm_device_get_fd(dev), .events = POLLIN };

	(void)state;
	shutdown(p.fd, SHUT_RDWR);
	assert_int_equal(poll(&pfd, 1, 1000), 1);
	assert_int_equal(vfm_device_process(dev, &err), -ENOTCONN);
	assert_int_equal(vfm_device_reset(dev, &err), -ENOTCONN);
	assert_non_null(strstr(err.msg, "closed"));
	stop(&p);
}

static int setup(void **state)
{
	(void)state;
	file_fd = memfd_create("dma", MFD_CLOEXEC);
	return ftruncate(file_fd, 0x8000);
}

static int teardown(void **state)
{
	(void)state;
	return close(file_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(during_calls), cmocka_unit_test(between_calls),
		cmocka_unit_test(in_one_piece), cmocka_unit_test(within_borders),
		cmocka_unit_test(directions),	cmocka_unit_test(file_too_short),
		cmocka_unit_test(mapped_early), cmocka_unit_test(odd_commands),
		cmocka_unit_test(no_end),	{ "no_end (flood)", no_end, NULL, NULL, &file_fd },
		cmocka_unit_test(gone),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
