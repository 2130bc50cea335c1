// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "rig.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "engine/hello.h"

static struct vfm_device *open_sim(const char *params)
{
	struct vfm_device *dev;

	assert_int_equal(vfm_device_from_driver(&dev, vfm_sim_find("dma"), params, NULL), 0);
	return dev;
}

void rig_open(struct rig *r, const char *params, uint64_t size)
{
	*r = (struct rig){ .fds = test_count_fds() };
	r->src = open_sim(params);
	r->dst = open_sim(params);
	r->ws = wrap_new(r->src);
	r->wd = wrap_new(r->dst);
	r->ring = (struct vfm_sim_ring){ .iova = RIG_IOVA, .size = size / 2, .seed = 7 };
	if (!size)
		return;
	assert_int_equal(vfm_memory_new(&r->src_mem, NULL), 0);
	assert_int_equal(vfm_memory_new(&r->dst_mem, NULL), 0);
	/* Two ranges, so that their order and their borders matter. */
	assert_int_equal(vfm_memory_add(r->src_mem, RIG_IOVA, size / 2,
					VFM_DMA_READ | VFM_DMA_WRITE, NULL),
			 0);
	assert_int_equal(vfm_memory_add(r->src_mem, 0, size - size / 2, VFM_DMA_READ, NULL), 0);
	memset(vfm_memory_at(r->src_mem, 0, 4096), 0x5a, 4096);
	assert_int_equal(vfm_memory_map(r->src_mem, r->src, NULL), 0);
}

void rig_close(struct rig *r)
{
	wrap_free(r->ws);
	wrap_free(r->wd);
	vfm_device_close(r->src);
	vfm_device_close(r->dst);
	vfm_memory_free(r->src_mem);
	vfm_memory_free(r->dst_mem);
	assert_int_equal(test_count_fds(), r->fds);
}

void rig_start(struct rig *r, uint64_t rate)
{
	assert_int_equal(vfm_sim_write(r->src, VFM_SIM_REG_SCRATCH, RIG_TOKEN, NULL), 0);
	assert_int_equal(vfm_sim_enable(r->src, true, NULL), 0);
	if (r->src_mem)
		assert_int_equal(vfm_sim_start_ring(r->src, &r->ring, rate, 0, NULL), 0);
}

void rig_step(struct vfm_device *dev, uint64_t writes, uint64_t changes)
{
	if (writes)
		assert_int_equal(vfm_sim_write(dev, VFM_SIM_REG_RING_STEP, writes, NULL), 0);
	if (changes)
		assert_int_equal(vfm_sim_write(dev, VFM_SIM_REG_STATE_STEP, changes, NULL), 0);
}

struct vfm_migrate_opts rig_opts(void)
{
	struct vfm_migrate_opts opts = VFM_MIGRATE_OPTS();

	opts.max_downtime_ms = 10000;
	return opts;
}

int rig_migrate(struct rig *r, const struct vfm_migrate_opts *opts)
{
	struct vfm_migrate_opts patient = rig_opts();

	if (!opts)
		opts = &patient;
	return vfm_migrate(&r->ws->dev, r->src_mem, &r->wd->dev, r->dst_mem, opts, &r->report,
			   &r->err);
}

enum vfm_state rig_state(struct vfm_device *dev)
{
	enum vfm_state state;

	assert_int_equal(vfm_device_get_state(dev, &state, NULL), 0);
	return state;
}

bool rig_owns(struct vfm_device *dev)
{
	uint64_t token;

	assert_int_equal(vfm_sim_read(dev, VFM_SIM_REG_SCRATCH, &token, NULL), 0);
	return rig_state(dev) == VFM_STATE_RUNNING && token == RIG_TOKEN;
}

int rig_check_state(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_sim_state state;
	int ret = vfm_sim_get_state(dev, &state, err);

	return ret ? ret : vfm_sim_check_state(&state, err);
}

int rig_check(struct rig *r, struct vfm_device *dev, struct vfm_memory *mem, struct vfm_err *err)
{
	struct vfm_sim_ring ring;
	uint8_t page[4096];
	int ret = rig_check_state(dev, err);

	if (ret || !mem)
		return ret;
	ret = vfm_sim_get_ring(dev, &ring, err);
	if (ret)
		return ret;
	assert_int_equal(ring.iova, r->ring.iova);
	assert_int_equal(ring.size, r->ring.size);
	memset(page, 0x5a, sizeof(page));
	if (memcmp(vfm_memory_at(mem, 0, sizeof(page)), page, sizeof(page)))
		return vfm_fail(err, -EBADMSG, "memory that the device only reads");
	return vfm_sim_check_memory(&ring, vfm_memory_at(mem, ring.iova, ring.size), NULL, err);
}

static void check_whole(struct rig *r, struct vfm_device *dev, struct vfm_memory *mem)
{
	struct vfm_err err = { 0 };

	if (mem)
		assert_int_equal(vfm_sim_stop_ring(dev, NULL), 0);
	if (rig_check(r, dev, mem, &err))
		fail_msg("%s", err.msg);
	/* It works on, from where it is. */
	if (mem) {
		assert_int_equal(vfm_sim_write(dev, VFM_SIM_REG_RING_CONTROL, VFM_SIM_RING_CONTINUE,
					       NULL),
				 0);
		rig_step(dev, 100, 3);
		assert_int_equal(vfm_sim_stop_ring(dev, NULL), 0);
		if (rig_check(r, dev, mem, &err))
			fail_msg("working on: %s", err.msg);
	}
}

void rig_check_moved(struct rig *r)
{
	if (r->err.code)
		fail_msg("%s", r->err.msg);
	assert_int_equal(r->report.phase, VFM_PHASE_DONE);
	assert_true(r->report.committed);
	assert_int_equal(r->report.state, VFM_STATE_STOP);
	assert_int_equal(rig_state(r->src), VFM_STATE_STOP);
	assert_true(rig_owns(r->dst));
	assert_int_equal(r->ws->logs, 0);
	check_whole(r, r->dst, r->dst_mem);
}

void rig_check_back(struct rig *r)
{
	assert_false(r->report.committed);
	assert_int_equal(r->report.state, VFM_STATE_RUNNING);
	assert_true(rig_owns(r->src));
	assert_false(rig_owns(r->dst));
	assert_int_equal(r->ws->logs, 0);
	check_whole(r, r->src, r->src_mem);
}

void rig_hello(int fd, bool source)
{
	const struct vfm_hello hello = { .version = VFM_HELLO_VERSION,
					 .compat_version = VFM_HELLO_COMPAT_VERSION,
					 .role = source ? VFM_HELLO_SOURCE
							: VFM_HELLO_DESTINATION };
	uint8_t wire[VFM_HELLO_SIZE];

	vfm_hello_to_wire(&hello, wire);
	assert_int_equal(send(fd, wire, sizeof(wire), MSG_NOSIGNAL), sizeof(wire));
}

void rig_hear_hello(int fd)
{
	uint8_t wire[VFM_HELLO_SIZE];

	assert_int_equal(recv(fd, wire, sizeof(wire), MSG_WAITALL), sizeof(wire));
}

void rig_empty_dir(const char *name)
{
	DIR *dir = opendir(name);
	const struct dirent *entry;

	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
}

static void *receive(void *arg)
{
	struct rig_half *h = arg;

	h->ret = vfm_migrate_receive(h->dev, h->mem, h->fd, h->opts, &h->report, &h->err);
	/* As a program that ends would. */
	shutdown(h->fd, SHUT_RDWR);
	return NULL;
}

void rig_receive_begin(struct rig_half *half)
{
	assert_int_equal(pthread_create(&half->thread, NULL, receive, half), 0);
}

int rig_join(struct rig_half *half)
{
	assert_int_equal(pthread_join(half->thread, NULL), 0);
	return half->ret;
}
