// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The dirty log of a real device, sim:dma, behind our server and our client where only
 * protocol v1 is shown: jobs of the device write to memory of every kind, and what is
 * reported, at whatever time and in whatever pages, is what was written since.
 */

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vfmig/vfmig.h>

#include "base/bitmap.h"
#include "base/util.h"
#include "random.h"
#include "test.h"
#include "vfio_user/vfio_user.h"

#define PAGE 4096u
#define SLOTS 8u
#define SLOT_PAGES 96u
#define SLOT_SIZE (SLOT_PAGES * PAGE)
#define PAGES (SLOTS * SLOT_PAGES)

enum kind { ABSENT, BY_FD, BY_VADDR };

/** struct pair - a device, twice: behind the wire, and what we believe of it */
struct pair {
	uint64_t seed;
	struct vfm_device *sim, *dev;
	struct vfm_server *server;
	pthread_t thread;
	int memory_fd;
	uint8_t *memory;
	bool on;
	enum kind kind[SLOTS];
	bool logged[SLOTS]; /* by the server: it was mapped at START */
	bool there[PAGES];  /* dirty in the server's log */
	bool here[PAGES];   /* and in ours */
};

#define below(p, n) test_random_below(&(p)->seed, n)

static void *serve(void *user)
{
	struct vfm_err err;

	return (void *)(intptr_t)vfm_server_run(user, -1, &err);
}

static void open_pair(struct pair *p, enum vfm_face face, bool extension, uint64_t seed)
{
	struct vfm_server_opts opts = VFM_SERVER_OPTS(.no_extension = !extension, .face = face);
	struct vfm_err err = { 0 };
	uint16_t command = 6;
	int fds[2];

	*p = (struct pair){ .seed = seed };
	p->memory_fd = memfd_create("memory", MFD_CLOEXEC);
	assert_int_equal(ftruncate(p->memory_fd, PAGES * PAGE), 0);
	p->memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, p->memory_fd, 0);
	assert_ptr_not_equal(p->memory, MAP_FAILED);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	opts.fd = fds[0];
	assert_int_equal(vfm_open(&p->sim, "sim:dma,state=64K,bar=8K", &err), 0);
	assert_int_equal(vfm_server_new(&p->server, p->sim, &opts, &err), 0);
	assert_int_equal(pthread_create(&p->thread, NULL, serve, p->server), 0);
	if (vfm_client_open_fd(&p->dev, fds[1], NULL, &err))
		fail_msg("%s", err.msg);
	/* it may do DMA: memory and bus master in PCI's command register */
	assert_int_equal(vfm_device_write_region(p->dev, VFM_PCI_CONFIG, 4, &command,
						 sizeof(command), &err),
			 0);
}

static void close_pair(struct pair *p)
{
	vfm_device_close(p->dev);
	assert_int_equal(pthread_join(p->thread, NULL), 0);
	vfm_server_free(p->server);
	vfm_device_close(p->sim);
	munmap(p->memory, PAGES * PAGE);
	close(p->memory_fd);
}

static void reg_write(struct pair *p, enum vfm_sim_reg reg, uint64_t value)
{
	struct vfm_err err;

	if (vfm_device_write_region(p->dev, VFM_SIM_REG_BAR, reg, &value, sizeof(value), &err))
		fail_msg("%s", err.msg);
}

/* The device fills memory; it must arrive, too. */
static void fill(struct pair *p, uint64_t iova, uint64_t len)
{
	uint64_t status = VFM_SIM_JOB_QUEUED;

	p->memory[iova] = p->memory[iova + len - 1] = 0x55;
	reg_write(p, VFM_SIM_REG_JOB_OP, VFM_SIM_JOB_FILL);
	reg_write(p, VFM_SIM_REG_JOB_IOVA, iova);
	reg_write(p, VFM_SIM_REG_JOB_LEN, len);
	reg_write(p, VFM_SIM_REG_JOB_SEED, 0);
	reg_write(p, VFM_SIM_REG_JOB_DOORBELL, 1);
	while (status == VFM_SIM_JOB_QUEUED)
		assert_int_equal(vfm_device_read_region(p->dev, VFM_SIM_REG_BAR,
							VFM_SIM_REG_JOB_STATUS, &status,
							sizeof(status), NULL),
				 0);
	assert_int_equal(status, VFM_SIM_JOB_DONE);
	assert_int_equal(p->memory[iova], 0);
	assert_int_equal(p->memory[iova + len - 1], 0);
}

/* What goes by a message is logged on both sides. */
static void op_fill(struct pair *p)
{
	uint64_t slot = below(p, SLOTS);
	uint64_t at = below(p, SLOT_SIZE), len = 1 + below(p, VFM_MIN(SLOT_SIZE - at, 3 * PAGE));
	uint64_t page = (slot * SLOT_SIZE + at) / PAGE;

	if (p->kind[slot] == ABSENT)
		return;
	fill(p, slot * SLOT_SIZE + at, len);
	for (; p->on && page <= (slot * SLOT_SIZE + at + len - 1) / PAGE; page++) {
		p->there[page] |= p->logged[slot];
		p->here[page] |= p->kind[slot] == BY_VADDR;
	}
}

/* The server is asked for a slot: whole, and for all of what it does not log. */
static void ask(struct pair *p, uint64_t slot)
{
	uint64_t first = slot * SLOT_PAGES;

	for (uint64_t page = first; page < first + SLOT_PAGES && p->kind[slot] == BY_FD; page++) {
		p->here[page] |= p->there[page] || (p->on && !p->logged[slot]);
		p->there[page] = false;
	}
}

static void op_map(struct pair *p)
{
	uint64_t slot = below(p, SLOTS);
	enum kind kind = below(p, 3) ? BY_FD : BY_VADDR;
	struct vfm_dma_map map = { .iova = slot * SLOT_SIZE,
				   .size = SLOT_SIZE,
				   .flags = 3,
				   .fd = kind == BY_FD ? p->memory_fd : -1,
				   .fd_offset = slot * SLOT_SIZE,
				   .vaddr = p->memory + slot * SLOT_SIZE };
	struct vfm_err err;
	int ret = vfm_device_map_dma(p->dev, &map, &err);

	assert_int_equal(ret, p->kind[slot] == ABSENT ? 0 : -EEXIST);
	if (!ret)
		p->kind[slot] = kind;
}

static void forget(struct pair *p, uint64_t slot)
{
	ask(p, slot);
	p->kind[slot] = ABSENT;
}

static void op_unmap(struct pair *p)
{
	uint64_t slot = below(p, SLOTS);
	struct vfm_err err;

	if (!below(p, 10)) {
		assert_int_equal(vfm_device_unmap_all(p->dev, &err), 0);
		for (slot = 0; slot < SLOTS; slot++)
			forget(p, slot);
		return;
	}
	assert_int_equal(vfm_device_unmap_dma(p->dev, slot * SLOT_SIZE, SLOT_SIZE, &err),
			 p->kind[slot] == ABSENT ? -ENOENT : 0);
	forget(p, slot);
}

static void op_switch(struct pair *p)
{
	struct vfm_range range = { 0, PAGES * PAGE };
	uint64_t page = PAGE << below(p, 5);
	struct vfm_err err;

	if (p->on && below(p, 3))
		return;
	if (p->on) {
		assert_int_equal(vfm_device_stop_log(p->dev, &err), 0);
		p->on = false;
		return;
	}
	if (vfm_device_start_log(p->dev, &page, &range, 1, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(page, PAGE);
	assert_int_equal(vfm_device_start_log(p->dev, &page, &range, 1, &err), -EINVAL);
	p->on = true;
	memset(p->there, 0, sizeof(p->there));
	memset(p->here, 0, sizeof(p->here));
	for (unsigned int i = 0; i < SLOTS; i++)
		p->logged[i] = p->kind[i] != ABSENT;
}

static void op_report(struct pair *p)
{
	uint64_t page = PAGE << below(p, 4);
	uint64_t iova = below(p, PAGES * PAGE / page) * page;
	uint64_t size = (1 + below(p, (PAGES * PAGE - iova) / PAGE)) * PAGE;
	uint64_t got[PAGES / 64] = { 0 }, want[PAGES / 64] = { 0 };
	struct vfm_err err;

	if (!p->on) {
		assert_int_equal(vfm_device_report_log(p->dev, iova, size, page, got, &err),
				 -EINVAL);
		return;
	}
	for (uint64_t slot = 0; slot < SLOTS; slot++) {
		if (slot * SLOT_SIZE < iova + size && (slot + 1) * SLOT_SIZE > iova)
			ask(p, slot);
	}
	for (uint64_t at = iova / PAGE; at < (iova + size) / PAGE; at++) {
		if (p->here[at])
			vfm_bitmap_set(want, (at * PAGE - iova) / page);
		p->here[at] = false;
	}
	if (vfm_device_report_log(p->dev, iova, size, page, got, &err))
		fail_msg("%s", err.msg);
	assert_memory_equal(got, want, sizeof(want));
}

static void run(bool extension, uint64_t seed)
{
	static void (*const ops[])(struct pair * p) = { op_map,	   op_map,  op_unmap, op_report,
							op_report, op_fill, op_fill,  op_fill,
							op_fill,   op_fill, op_fill };
	struct pair p;

	open_pair(&p, VFM_FACE_V1, extension, seed);
	for (int i = 0; i < 1500; i++) {
		if (!below(&p, 60))
			op_switch(&p);
		ops[below(&p, VFM_ARRAY_SIZE(ops))](&p);
	}
	close_pair(&p);
}

static void against_model(void **state)
{
	for (uint64_t seed = 1; seed <= 6; seed++)
		run(*state != NULL, seed * 7919);
}

/* A server that shows both is used by the features, and one of v2 has nothing else. */
static void other_faces(void **state)
{
	static const enum vfm_face faces[] = { VFM_FACE_V2, VFM_FACE_BOTH };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(faces); i++) {
		struct vfm_range range = { 0, PAGES * PAGE };
		uint64_t page = 16 * PAGE;
		struct vfm_err err;
		struct pair p;

		open_pair(&p, faces[i], true, 1);
		assert_int_equal(vfm_device_start_log(p.dev, &page, &range, 1, &err), 0);
		assert_int_equal(page, 16 * PAGE);
		assert_int_equal(vfm_device_stop_log(p.dev, &err), 0);
		close_pair(&p);
	}
}

int main(void)
{
	static const bool yes = true;
	const struct CMUnitTest tests[] = {
		{ "against_model", against_model, NULL, NULL, NULL },
		{ "against_model (extension)", against_model, NULL, NULL, (void *)(uintptr_t)&yes },
		cmocka_unit_test(other_faces),
	};

	return RUN_TESTS(tests);
}
