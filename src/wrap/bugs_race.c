// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Bugs that show when a user goes away and comes back, or when two calls meet.
 *
 * What surprises: a device in this process does not outlive its user. What one that does would
 * remember is in one variable here, which every process that tries a rule has for itself.
 */

#include "wrap/wrap.h"

#include <errno.h>
#include <poll.h>

#include "base/util.h"

/* What is left when a user has gone; @flag of a fault says that it is not the first one. */
static struct {
	enum vfm_state state;
	bool mapped;
	bool logging;
	bool told;
} outlived;

/* ---- states ------------------------------------------------------------------------------ */

static int leaves_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	int ret;

	if (!f->flag && outlived.state == VFM_STATE_STOP)
		return vfm_fail(err, -EINVAL, "set state: not while the device is stopped");
	f->flag = true;
	ret = vfm_pass_set_state(dev, state, err);
	outlived.state = vfm_fault_state(dev);
	return ret;
}

static int finds_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	int ret = vfm_pass_get_state(dev, state, err);

	if (!ret && !vfm_fault_of(dev)->flag && outlived.state == VFM_STATE_STOP)
		*state = VFM_STATE_STOP;
	return ret;
}

static int not_reset_in_stop(struct vfm_device *dev, struct vfm_err *err)
{
	if (!vfm_fault_of(dev)->flag && outlived.state == VFM_STATE_STOP)
		return vfm_fail(err, -EINVAL, "reset: not while the device is stopped");
	return vfm_pass_reset(dev, err);
}

/* All users have the same device: what one has asked for the others see. */
static int shares_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	int ret = vfm_pass_set_state(dev, state, err);

	outlived.state = vfm_fault_state(dev);
	return ret;
}

static int shared_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	int ret = vfm_pass_get_state(dev, state, err);

	if (!ret && outlived.state == VFM_STATE_STOP_COPY)
		*state = outlived.state;
	return ret;
}

static int shared_reset(struct vfm_device *dev, struct vfm_err *err)
{
	outlived.state = VFM_STATE_RUNNING;
	return vfm_pass_reset(dev, err);
}

/* ---- what was left ------------------------------------------------------------------------- */

static int maps_once(struct vfm_device *dev, const struct vfm_dma_map *map, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	if (!f->flag && outlived.mapped)
		return vfm_fail(err, -EEXIST, "map DMA: overlaps a range that is mapped");
	f->flag = outlived.mapped = true;
	return vfm_pass_map_dma(dev, map, err);
}

static int unmaps(struct vfm_device *dev, uint64_t iova, uint64_t size, struct vfm_err *err)
{
	outlived.mapped = false;
	return vfm_pass_unmap_dma(dev, iova, size, err);
}

static int unmaps_all(struct vfm_device *dev, struct vfm_err *err)
{
	outlived.mapped = false;
	return vfm_pass_unmap_all(dev, err);
}

static int logs_once(struct vfm_device *dev, uint64_t *page_size, const struct vfm_range *ranges,
		     size_t nr_ranges, struct vfm_err *err)
{
	if (outlived.logging)
		return vfm_fail(err, -EINVAL, "start log: one is running");
	outlived.logging = true;
	return vfm_pass_start_log(dev, page_size, ranges, nr_ranges, err);
}

static int stops_log(struct vfm_device *dev, struct vfm_err *err)
{
	outlived.logging = false;
	return vfm_pass_stop_log(dev, err);
}

static int takes_the_will(struct vfm_device *dev, enum vfm_orphan orphan, struct vfm_err *err)
{
	(void)dev;
	(void)err;
	outlived.told = orphan != VFM_ORPHAN_KEEP;
	vfm_fault_of(dev)->flag = true;
	return 0;
}

static int forgets_the_will(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	int ret = vfm_pass_get_state(dev, state, err);

	if (!ret && outlived.told && !vfm_fault_of(dev)->flag)
		*state = VFM_STATE_STOP;
	return ret;
}

/* ---- two at a time -----------------------------------------------------------------------------
 */

/* @count[0]: resets so far. A slow read, and what it reads from is gone when it comes back. */
static ssize_t reads_slowly(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	uint64_t before = __atomic_load_n(&f->count[0], __ATOMIC_SEQ_CST);
	const uint8_t *volatile freed = f->held;
	ssize_t n = vfm_pass_read_data(dev, buf, len, err);

	poll(NULL, 0, 1);
	if (n > 0 && __atomic_load_n(&f->count[0], __ATOMIC_SEQ_CST) != before)
		*(uint8_t *)buf = *freed;
	return n;
}

static int frees_at_once(struct vfm_device *dev, struct vfm_err *err)
{
	__atomic_add_fetch(&vfm_fault_of(dev)->count[0], 1, __ATOMIC_SEQ_CST);
	return vfm_pass_reset(dev, err);
}

const struct vfm_bug vfm_bugs_race[] = {
	{
		.is = { .name = "reconnect-in-stop",
			.title = "a device that was left in STOP refuses all that would help",
			.where = "libvfio-user, 2026, commit 4f4fce4: nothing but features and "
				 "accesses "
				 "while stopped" },
		.rules = { "v2.race.close-and-reopen" },
		.ops = { .set_state = leaves_state,
			 .get_state = finds_state,
			 .reset = not_reset_in_stop },
	},
	{
		.is = { .name = "second-user-let-in",
			.title = "a device that has a user lets another one in",
			.where = "" },
		.rules = { "v2.race.second-user" },
		.ops = { .set_state = shares_state,
			 .get_state = shared_state,
			 .reset = shared_reset },
	},
	{
		.is = { .name = "mappings-outlive-user",
			.title = "what one user has mapped is still mapped for the next",
			.where = "" },
		.rules = { "v2.race.mappings-end-with-user" },
		.ops = { .map_dma = maps_once, .unmap_dma = unmaps, .unmap_all = unmaps_all },
	},
	{
		.is = { .name = "log-outlives-user",
			.title = "the dirty log of one user is still running for the next",
			.where = "" },
		.rules = { "v2.race.log-ends-with-user" },
		.ops = { .start_log = logs_once, .stop_log = stops_log },
	},
	{
		.is = { .name = "last-will-forgotten",
			.title = "what to do when its user vanishes is taken, and not done",
			.where = "" },
		.rules = { "v2.race.last-will" },
		.ops = { .set_orphan = takes_the_will, .get_state = forgets_the_will },
	},
	{
		.is = { .name = "reset-frees-session",
			.title = "a reset frees the session under a read",
			.where = "" },
		.rules = { "v2.race.reset-during-read" },
		.ops = { .read_data = reads_slowly, .reset = frees_at_once },
	},
};
const size_t vfm_nr_bugs_race = VFM_ARRAY_SIZE(vfm_bugs_race);
