// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Bugs of the reset. */

#include "wrap/wrap.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

/* The device is reset, and the migration does not hear of it. */
static int keeps_state(struct vfm_device *dev, struct vfm_err *err)
{
	return vfm_fault_state(dev) == VFM_STATE_STOP ? 0 : vfm_pass_reset(dev, err);
}

/* @flag: there was one since the last state or access. */
static int refuses_second(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	if (f->flag)
		return vfm_fail(err, -EBUSY, "reset: the last one is under way");
	f->flag = true;
	return vfm_pass_reset(dev, err);
}

static int state_after_reset(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	vfm_fault_of(dev)->flag = false;
	return vfm_pass_set_state(dev, state, err);
}

/* @flag: reset in a saving state. */
static int keeps_session(struct vfm_device *dev, struct vfm_err *err)
{
	vfm_fault_of(dev)->flag = vfm_state_is_saving(vfm_fault_state(dev));
	return vfm_pass_reset(dev, err);
}

static ssize_t reads_kept_session(struct vfm_device *dev, void *buf, size_t len,
				  struct vfm_err *err)
{
	if (!vfm_fault_of(dev)->flag)
		return vfm_pass_read_data(dev, buf, len, err);
	memset(buf, 0, len);
	return (ssize_t)len;
}

/* Only the state of the migration is reset: the registers are the guest's, it was thought. */
static int keeps_content(struct vfm_device *dev, struct vfm_err *err)
{
	return vfm_fault_state(dev) == VFM_STATE_RUNNING ? 0 : vfm_pass_reset(dev, err);
}

const struct vfm_bug vfm_bugs_reset[] = {
	{
		.is = { .name = "reset-keeps-state",
			.title = "a reset in STOP leaves the device in STOP",
			.where = "libvfio-user, 2026, commit 4f4fce4" },
		.rules = { "v2.reset.to-running" },
		.ops = { .reset = keeps_state },
	},
	{
		.is = { .name = "second-reset-refused",
			.title = "a reset that follows another one is refused",
			.where = "" },
		.rules = { "v2.reset.twice" },
		.ops = { .reset = refuses_second, .set_state = state_after_reset },
	},
	{
		.is = { .name = "reset-keeps-session",
			.title = "after a reset, the session can still be read",
			.where = "" },
		.rules = { "v2.reset.ends-sessions" },
		.ops = { .reset = keeps_session,
			 .read_data = reads_kept_session,
			 .set_state = state_after_reset },
	},
	{
		.is = { .name = "reset-keeps-content",
			.title = "a reset in RUNNING changes nothing",
			.where = "" },
		.rules = { "v2.reset.fresh-state" },
		.ops = { .reset = keeps_content },
	},
};
const size_t vfm_nr_bugs_reset = VFM_ARRAY_SIZE(vfm_bugs_reset);
