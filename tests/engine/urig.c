// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "urig.h"

#include <errno.h>
#include <string.h>

static struct vfm_device *open_sim(const char *params)
{
	struct vfm_device *dev;

	assert_int_equal(vfm_device_from_driver(&dev, vfm_sim_find("dma"), params, NULL), 0);
	return dev;
}

static void add_memory(struct urig *u)
{
	assert_int_equal(vfm_memory_new(&u->src_mem, NULL), 0);
	assert_int_equal(vfm_memory_new(&u->dst_mem, NULL), 0);
	for (size_t i = 0; i < u->n; i++) {
		u->ring[i] = (struct vfm_sim_ring){ .iova = RIG_IOVA + i * 2 * u->size,
						    .size = u->size,
						    .seed = 7 + i };
		assert_int_equal(vfm_memory_add(u->src_mem, u->ring[i].iova, u->size,
						VFM_DMA_READ | VFM_DMA_WRITE, NULL),
				 0);
	}
	for (size_t i = 0; i < u->n; i++)
		assert_int_equal(vfm_memory_map(u->src_mem, u->src[i], NULL), 0);
}

void urig_open_each(struct urig *u, const char *const *params, uint64_t size)
{
	*u = (struct urig){ .size = size, .fds = test_count_fds() };
	for (; params[u->n]; u->n++) {
		assert_true(u->n < URIG_MAX);
		u->src[u->n] = open_sim(params[u->n]);
		u->dst[u->n] = open_sim(params[u->n]);
		u->ws[u->n] = wrap_new(u->src[u->n]);
		u->wd[u->n] = wrap_new(u->dst[u->n]);
	}
	if (size)
		add_memory(u);
}

void urig_open(struct urig *u, size_t n, const char *params, uint64_t size)
{
	const char *each[URIG_MAX + 1] = { NULL };

	assert_true(n <= URIG_MAX);
	for (size_t i = 0; i < n; i++)
		each[i] = params;
	urig_open_each(u, each, size);
}

void urig_close(struct urig *u)
{
	for (size_t i = 0; i < u->n; i++) {
		wrap_free(u->ws[i]);
		wrap_free(u->wd[i]);
		vfm_device_close(u->src[i]);
		vfm_device_close(u->dst[i]);
	}
	vfm_memory_free(u->src_mem);
	vfm_memory_free(u->dst_mem);
	assert_int_equal(test_count_fds(), u->fds);
}

void urig_start(struct urig *u, uint64_t writes, uint64_t changes)
{
	for (size_t i = 0; i < u->n; i++) {
		struct vfm_device *dev = u->src[i];

		assert_int_equal(vfm_sim_write(dev, VFM_SIM_REG_SCRATCH, RIG_TOKEN + i, NULL), 0);
		assert_int_equal(vfm_sim_enable(dev, true, NULL), 0);
		if (u->src_mem)
			assert_int_equal(vfm_sim_start_ring(dev, &u->ring[i], 0, 0, NULL), 0);
		rig_step(dev, u->src_mem ? writes : 0, changes);
	}
}

static struct vfm_unit unit_of(struct wrap **wraps, size_t n, struct vfm_memory *mem,
			       struct vfm_device_report *reports, struct vfm_device **room)
{
	for (size_t i = 0; i < n; i++)
		room[i] = &wraps[i]->dev;
	return (struct vfm_unit){ .size = sizeof(struct vfm_unit),
				  .devs = room,
				  .nr_devs = n,
				  .mem = mem,
				  .reports = reports };
}

struct vfm_unit urig_source(struct urig *u, struct vfm_device **room)
{
	return unit_of(u->ws, u->n, u->src_mem, u->src_reports, room);
}

struct vfm_unit urig_destination(struct urig *u, struct vfm_device **room)
{
	return unit_of(u->wd, u->n, u->dst_mem, u->dst_reports, room);
}

int urig_migrate(struct urig *u, const struct vfm_migrate_opts *opts)
{
	struct vfm_migrate_opts patient = rig_opts();
	struct vfm_device *src_room[URIG_MAX], *dst_room[URIG_MAX];
	struct vfm_unit src = urig_source(u, src_room);
	struct vfm_unit dst = urig_destination(u, dst_room);

	return vfm_migrate_unit(&src, &dst, opts ? opts : &patient, &u->report, &u->err);
}

bool urig_owns(struct vfm_device *dev, size_t i)
{
	uint64_t token;

	assert_int_equal(vfm_sim_read(dev, VFM_SIM_REG_SCRATCH, &token, NULL), 0);
	return rig_state(dev) == VFM_STATE_RUNNING && token == RIG_TOKEN + i;
}

int urig_check(struct urig *u, struct vfm_device *dev, size_t i, struct vfm_memory *mem,
	       struct vfm_err *err)
{
	struct vfm_sim_ring ring;
	int ret = rig_check_state(dev, err);

	if (ret || !mem)
		return ret;
	ret = vfm_sim_get_ring(dev, &ring, err);
	if (ret)
		return ret;
	assert_int_equal(ring.iova, u->ring[i].iova);
	return vfm_sim_check_memory(&ring, vfm_memory_at(mem, ring.iova, ring.size), NULL, err);
}

static void check_whole(struct urig *u, struct vfm_device *dev, size_t i, struct vfm_memory *mem)
{
	struct vfm_err err = { 0 };

	if (mem)
		assert_int_equal(vfm_sim_stop_ring(dev, NULL), 0);
	if (urig_check(u, dev, i, mem, &err))
		fail_msg("device %zu: %s", i, err.msg);
	if (mem)
		assert_int_equal(vfm_sim_write(dev, VFM_SIM_REG_RING_CONTROL, VFM_SIM_RING_CONTINUE,
					       NULL),
				 0);
	rig_step(dev, mem ? 100 : 0, 3);
	if (mem)
		assert_int_equal(vfm_sim_stop_ring(dev, NULL), 0);
	if (urig_check(u, dev, i, mem, &err))
		fail_msg("device %zu, working on: %s", i, err.msg);
}

void urig_check_moved(struct urig *u)
{
	if (u->err.code)
		fail_msg("%s", u->err.msg);
	assert_int_equal(u->report.phase, VFM_PHASE_DONE);
	assert_true(u->report.committed);
	assert_int_equal(u->report.state, VFM_STATE_STOP);
	for (size_t i = 0; i < u->n; i++) {
		assert_int_equal(rig_state(u->src[i]), VFM_STATE_STOP);
		assert_true(urig_owns(u->dst[i], i));
		assert_int_equal(u->ws[i]->logs, 0);
		check_whole(u, u->dst[i], i, u->dst_mem);
	}
}

void urig_check_back(struct urig *u)
{
	assert_false(u->report.committed);
	assert_int_equal(u->report.state, VFM_STATE_RUNNING);
	for (size_t i = 0; i < u->n; i++) {
		assert_true(urig_owns(u->src[i], i));
		assert_false(urig_owns(u->dst[i], i));
		assert_int_equal(rig_state(u->dst[i]), VFM_STATE_RUNNING);
		assert_int_equal(u->ws[i]->logs, 0);
		assert_true(u->ws[i]->orphan <= 0 && u->wd[i]->orphan <= 0);
		check_whole(u, u->src[i], i, u->src_mem);
	}
}
