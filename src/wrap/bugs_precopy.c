// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Bugs of the accounting of pre-copy. */

#include "wrap/wrap.h"

#include <errno.h>

#include "base/util.h"

/* Bytes that seem to have changed, where a bug makes some up. */
#define MADE_UP 4096u

/* vfm_fault.bytes: what was read of the session. */
static ssize_t count_read(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	ssize_t n = vfm_pass_read_data(dev, buf, len, err);

	vfm_fault_of(dev)->bytes += n > 0 ? (uint64_t)n : 0;
	return n;
}

static int count_anew(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	if (!vfm_state_is_saving(state))
		f->bytes = f->count[0] = 0;
	return VFM_PASS(vfm_pass_inner(dev), set_state, err, state);
}

static int count_from_reset(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	f->bytes = f->count[0] = 0;
	return vfm_pass_reset(dev, err);
}

static int refused_in_p2p(struct vfm_device *dev, struct vfm_precopy_info *info,
			  struct vfm_err *err)
{
	enum vfm_state state;
	int ret = vfm_pass_get_state(dev, &state, err);

	if (!ret && state == VFM_STATE_PRE_COPY_P2P)
		return vfm_fail(err, -EINVAL, "the device is not in PRE_COPY");
	return ret ? ret : vfm_pass_get_precopy_info(dev, info, err);
}

static int told_anywhere(struct vfm_device *dev, struct vfm_precopy_info *info, struct vfm_err *err)
{
	int ret = vfm_pass_get_precopy_info(dev, info, err);

	if (ret != -EINVAL)
		return ret;
	*info = (struct vfm_precopy_info){ 0 };
	return 0;
}

static int echoed(struct vfm_device *dev, struct vfm_precopy_info *info, struct vfm_err *err)
{
	bool reinit = info->reinit;
	int ret = vfm_pass_get_precopy_info(dev, info, err);

	info->reinit = reinit;
	return ret;
}

static int no_initial(struct vfm_device *dev, struct vfm_precopy_info *info, struct vfm_err *err)
{
	int ret = vfm_pass_get_precopy_info(dev, info, err);

	info->initial_bytes = 0;
	return ret;
}

static int rising(struct vfm_device *dev, struct vfm_precopy_info *info, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	int ret = vfm_pass_get_precopy_info(dev, info, err);

	if (!ret && info->initial_bytes)
		info->initial_bytes += MADE_UP * f->count[0]++;
	return ret;
}

static int never_done(struct vfm_device *dev, struct vfm_precopy_info *info, struct vfm_err *err)
{
	int ret = vfm_pass_get_precopy_info(dev, info, err);

	if (!ret)
		info->initial_bytes = VFM_MAX(info->initial_bytes, UINT64_C(1));
	return ret;
}

/* As if the first half of what was read was not initial data. */
static int dirty_first(struct vfm_device *dev, struct vfm_precopy_info *info, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	int ret = vfm_pass_get_precopy_info(dev, info, err);

	if (ret || !info->initial_bytes || !f->bytes)
		return ret;
	info->dirty_bytes = MADE_UP - VFM_MIN(f->bytes, MADE_UP);
	info->initial_bytes += MADE_UP - info->dirty_bytes;
	return 0;
}

static int dirty_at_once(struct vfm_device *dev, struct vfm_precopy_info *info, struct vfm_err *err)
{
	int ret = vfm_pass_get_precopy_info(dev, info, err);

	if (!ret && !vfm_fault_of(dev)->bytes)
		info->dirty_bytes += MADE_UP;
	return ret;
}

static int dirty_for_ever(struct vfm_device *dev, struct vfm_precopy_info *info,
			  struct vfm_err *err)
{
	int ret = vfm_pass_get_precopy_info(dev, info, err);

	if (!ret && !info->initial_bytes)
		info->dirty_bytes += MADE_UP;
	return ret;
}

static int always_reinit(struct vfm_device *dev, struct vfm_precopy_info *info, struct vfm_err *err)
{
	int ret = vfm_pass_get_precopy_info(dev, info, err);

	info->reinit = true;
	return ret;
}

#define COUNTING .read_data = count_read, .set_state = count_anew, .reset = count_from_reset

const struct vfm_bug vfm_bugs_precopy[] = {
	{
		.is = { .name = "precopy-info-not-in-p2p",
			.title = "what is left is not told in PRE_COPY_P2P",
			.where = "" },
		.rules = { "v2.precopy.info-answers" },
		.needs = VFM_MIGRATION_PRE_COPY | VFM_MIGRATION_P2P,
		.ops = { .get_precopy_info = refused_in_p2p },
	},
	{
		.is = { .name = "precopy-info-anywhere",
			.title = "what is left in pre-copy is told in every state, as 0",
			.where = "" },
		.rules = { "v2.precopy.info-only-in-precopy" },
		.needs = VFM_MIGRATION_PRE_COPY,
		.ops = { .get_precopy_info = told_anywhere },
	},
	{
		.is = { .name = "precopy-flags-echoed",
			.title = "the flags of the pre-copy info are the user's own",
			.where = "Linux, every driver with PRE_COPY, 2022 to 2026: the reason for "
				 "MIG_PRECOPY_INFOv2" },
		.rules = { "v2.precopy.info-is-answered" },
		.needs = VFM_MIGRATION_PRE_COPY,
		.ops = { .get_precopy_info = echoed },
	},
	{
		.is = { .name = "initial-zero",
			.title = "initial_bytes is 0 from the beginning",
			.where = "" },
		.rules = { "v2.precopy.initial-not-zero" },
		.needs = VFM_MIGRATION_PRE_COPY,
		.ops = { .get_precopy_info = no_initial },
	},
	{
		.is = { .name = "initial-rises",
			.title = "initial_bytes rises while it is read",
			.where = "" },
		.rules = { "v2.precopy.initial-only-falls" },
		.needs = VFM_MIGRATION_PRE_COPY,
		.ops = { .get_precopy_info = rising, COUNTING },
	},
	{
		.is = { .name = "initial-never-done",
			.title = "initial_bytes never gets to 0",
			.where = "" },
		.rules = { "v2.precopy.initial-ends", "v2.precopy.initial-before-dirty" },
		.needs = VFM_MIGRATION_PRE_COPY,
		.ops = { .get_precopy_info = never_done },
	},
	{
		.is = { .name = "dirty-before-initial",
			.title = "dirty data is given out before initial data",
			.where = "" },
		.rules = { "v2.precopy.initial-before-dirty" },
		.needs = VFM_MIGRATION_PRE_COPY,
		.ops = { .get_precopy_info = dirty_first, COUNTING },
	},
	{
		.is = { .name = "dirty-at-once",
			.title = "dirty_bytes is not 0 on entry to PRE_COPY",
			.where = "" },
		.rules = { "v2.precopy.dirty-begins-at-zero" },
		.needs = VFM_MIGRATION_PRE_COPY,
		.ops = { .get_precopy_info = dirty_at_once, COUNTING },
	},
	{
		.is = { .name = "dirty-never-comes",
			.title = "dirty_bytes counts what pre-copy never gives",
			.where = "" },
		.rules = { "v2.precopy.dirty-can-be-read" },
		.needs = VFM_MIGRATION_PRE_COPY,
		.ops = { .get_precopy_info = dirty_for_ever },
	},
	{
		.is = { .name = "reinit-always", .title = "reinit is always set", .where = "" },
		.rules = { "v2.precopy.reinit-has-initial" },
		.needs = VFM_MIGRATION_PRE_COPY,
		.ops = { .get_precopy_info = always_reinit },
	},
};
const size_t vfm_nr_bugs_precopy = VFM_ARRAY_SIZE(vfm_bugs_precopy);
