// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Bugs of the ends of the data session. */

#include "wrap/wrap.h"

#include <errno.h>

#include "base/util.h"

static enum vfm_state state_behind(struct vfm_device *dev, struct vfm_err *err)
{
	enum vfm_state state;

	return vfm_pass_get_state(dev, &state, err) ? VFM_STATE_ERROR : state;
}

static ssize_t zero_for_enomsg(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	ssize_t n = vfm_pass_read_data(dev, buf, len, err);

	return n == -ENOMSG ? 0 : n;
}

static ssize_t enomsg_for_zero(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	ssize_t n = vfm_pass_read_data(dev, buf, len, err);

	return n ? n : -ENOMSG;
}

/* Nobody waits for the device to have made its data. */
static ssize_t not_ready(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	if (state_behind(dev, err) == VFM_STATE_STOP_COPY)
		return vfm_fail(err, -EAGAIN, "the device has not made its data yet");
	return vfm_pass_read_data(dev, buf, len, err);
}

static ssize_t end_once(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	ssize_t n = vfm_pass_read_data(dev, buf, len, err);

	if (!n && f->flag)
		return vfm_fail(err, -EINVAL, "the session was read to its end");
	f->flag = !n;
	return n;
}

/* Remembers that there was nothing, and never asks the device again. */
static ssize_t remembered_end(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	ssize_t n;

	if (f->flag)
		return state_behind(dev, err) == VFM_STATE_STOP_COPY ? 0 : -ENOMSG;
	n = vfm_pass_read_data(dev, buf, len, err);
	f->flag = n == -ENOMSG;
	return n;
}

/* Until the session ends. */
static int forget_end(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	if (!vfm_state_is_saving(state))
		vfm_fault_of(dev)->flag = false;
	return VFM_PASS(vfm_pass_inner(dev), set_state, err, state);
}

static int forget_with_reset(struct vfm_device *dev, struct vfm_err *err)
{
	vfm_fault_of(dev)->flag = false;
	return vfm_pass_reset(dev, err);
}

const struct vfm_bug vfm_bugs_stream[] = {
	{
		.is = { .name = "stop-copy-not-ready",
			.title = "a read in STOP_COPY fails with EAGAIN",
			.where = "mlx5 answers that to who reads without blocking, while it makes "
				 "the image" },
		.rules = { "v2.stream.stop-copy-complete" },
		.ops = { .read_data = not_ready },
	},
	{
		.is = { .name = "stop-copy-enomsg",
			.title = "the data in STOP_COPY ends with ENOMSG",
			.where = "" },
		.rules = { "v2.stream.stop-copy-end-is-zero" },
		.ops = { .read_data = enomsg_for_zero },
	},
	{
		.is = { .name = "end-told-once",
			.title = "a read after the end of the data fails",
			.where = "" },
		.rules = { "v2.stream.stop-copy-end-lasts", "v2.stream.stop-copy-complete" },
		.ops = { .read_data = end_once },
	},
	{
		.is = { .name = "precopy-end-zero",
			.title = "a read in PRE_COPY for which there is nothing returns 0",
			.where = "Linux, hisi_acc and qat drivers, and the sample mtty" },
		.rules = { "v2.stream.precopy-end-is-enomsg" },
		.needs = VFM_MIGRATION_PRE_COPY,
		.ops = { .read_data = zero_for_enomsg },
	},
	{
		.is = { .name = "precopy-end-final",
			.title = "after pre-copy had nothing once, the session gives no more",
			.where = "libvfio-user, protocol v1: pending_bytes of 0 was sticky until "
				 "2023" },
		.rules = { "v2.stream.stop-copy-after-drained-precopy" },
		.needs = VFM_MIGRATION_PRE_COPY,
		.ops = { .read_data = remembered_end,
			 .set_state = forget_end,
			 .reset = forget_with_reset },
	},
};
const size_t vfm_nr_bugs_stream = VFM_ARRAY_SIZE(vfm_bugs_stream);
