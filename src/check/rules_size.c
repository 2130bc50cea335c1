// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about the estimate of what STOP_COPY will need. Nobody believes it blindly, but it is
 * what says, before a migration, whether the machine will stop for too long.
 */

#include "check/check.h"

#include <inttypes.h>

#include "base/util.h"

/* In each state; what the device says is @bytes, or that it does not, @ret. */
static int in_each_state(struct vfm_trial *t,
			 int (*look)(struct vfm_trial *t, enum vfm_state state, int ret,
				     uint64_t bytes, const struct vfm_err *err))
{
	int ret = 0;

	for (unsigned int i = 0; !ret && i < VFM_NR_STATES; i++) {
		enum vfm_state state = (enum vfm_state)i;
		uint64_t bytes = 0;
		struct vfm_err err;

		if (state == VFM_STATE_ERROR || !vfm_state_exists(t->migration, state))
			continue;
		ret = vfm_trial_go(t, state);
		if (!ret) {
			int got = vfm_device_get_data_size(t->dev, &bytes, &err);

			ret = look(t, state, got, bytes, &err);
		}
	}
	return ret;
}

static int look_refused(struct vfm_trial *t, enum vfm_state state, int ret, uint64_t bytes,
			const struct vfm_err *err)
{
	(void)bytes;
	if (!ret)
		return 0;
	return vfm_trial_fail(t, "in %s the size of the data cannot be asked: %s",
			      vfm_state_name(state), err->msg);
}

static int look_zero(struct vfm_trial *t, enum vfm_state state, int ret, uint64_t bytes,
		     const struct vfm_err *err)
{
	if (ret)
		return vfm_trial_blocked(t, err);
	return bytes ? 0
		     : vfm_trial_fail(t, "in %s the size of the data is 0", vfm_state_name(state));
}

static int look_insane(struct vfm_trial *t, enum vfm_state state, int ret, uint64_t bytes,
		       const struct vfm_err *err)
{
	if (ret)
		return vfm_trial_blocked(t, err);
	if (bytes <= INT64_MAX)
		return 0;
	return vfm_trial_fail(t,
			      "in %s the size of the data is 0x%" PRIx64
			      ", which is a negative number to who counts with a sign",
			      vfm_state_name(state), bytes);
}

static int size_every_state(struct vfm_trial *t)
{
	return in_each_state(t, look_refused);
}

static int size_not_zero(struct vfm_trial *t)
{
	return in_each_state(t, look_zero);
}

static int size_sane(struct vfm_trial *t)
{
	return in_each_state(t, look_insane);
}

/* What it says while it is stopped, and what then comes. */
static int compare_size(struct vfm_trial *t, uint64_t *said, uint64_t *came)
{
	struct vfm_image image;
	struct vfm_err err;
	int ret = vfm_trial_go(t, VFM_STATE_STOP);

	if (!ret && vfm_device_get_data_size(t->dev, said, &err))
		ret = vfm_trial_blocked(t, &err);
	if (!ret && (!*said || *said > INT64_MAX))
		ret = vfm_trial_skip(t, "could not be tried: the size that is told is %" PRIu64,
				     *said);
	if (ret)
		return ret;
	ret = vfm_trial_save(t, &image);
	*came = image.size;
	vfm_image_free(&image);
	return ret;
}

static int size_not_too_small(struct vfm_trial *t)
{
	uint64_t said, came;
	int ret = compare_size(t, &said, &came);

	if (!ret && came > said && came - said > said / 8 + 4096)
		ret = vfm_trial_fail(t,
				     "in STOP the device says that STOP_COPY will need %" PRIu64
				     " bytes, and then gives %" PRIu64,
				     said, came);
	return ret;
}

static int size_not_too_large(struct vfm_trial *t)
{
	uint64_t said, came;
	int ret = compare_size(t, &said, &came);

	if (!ret && said > (UINT64_C(1) << 20) && said / 8 > came)
		ret = vfm_trial_fail(t,
				     "in STOP the device says that STOP_COPY will need %" PRIu64
				     " bytes, and then gives %" PRIu64,
				     said, came);
	return ret;
}

#define DATA_SIZE "uAPI, struct vfio_device_feature_mig_data_size"

const struct vfm_rule vfm_rules_size[] = {
	{
		.is = { .name = "v2.size.every-state",
			.title = "the size of the data can be asked in every state",
			.source = DATA_SIZE ": can be called in any state",
			.text = "It is asked long before the migration, to see whether it will "
				"fit, "
				"and while it goes on. A device that has to prepare something for "
				"the answer drops that afterwards.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_SIZE,
		.run = size_every_state,
	},
	{
		.is = { .name = "v2.size.not-zero",
			.title = "the size of the data is not 0",
			.source = "<vfmig/device.h>, vfm_device_get_data_size(): never 0; users "
				  "rely on it",
			.text = "Users take memory for what the device says, or divide by it: 0 "
				"fails the migration in one that is much used. Every image has at "
				"least what marks it as one.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_SIZE,
		.run = size_not_zero,
	},
	{
		.is = { .name = "v2.size.sane",
			.title = "the size of the data is less than 2^63",
			.source = DATA_SIZE ", stop_copy_length: bytes; users count with a sign",
			.text = "An error code, or a difference that went below 0, becomes an "
				"enormous number when it is stored without a sign. The sum of it "
				"and the rest wraps, and the machine is stopped at once or "
				"never.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_SIZE,
		.run = size_sane,
	},
	{
		.is = { .name = "v2.size.not-too-small",
			.title = "STOP_COPY gives not much more than the size that was told",
			.source = DATA_SIZE ", stop_copy_length: an estimate of the bytes that "
					    "stop-copy will need",
			.text = "What is told too small stops the machine for longer than its "
				"owner "
				"has allowed. The size is asked in STOP, where nothing changes any "
				"more; then the session is read. An eighth and a page more are "
				"let pass.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_SIZE,
		.run = size_not_too_small,
	},
	{
		.is = { .name = "v2.size.not-too-large",
			.title = "STOP_COPY gives not much less than the size that was told",
			.source = DATA_SIZE ", stop_copy_length: an estimate of the bytes that "
					    "stop-copy will need",
			.text = "What is told too large keeps a machine from being moved that "
				"could "
				"be. Eight times as much as comes is let pass, and anything below "
				"1 MiB.\n",
			.severity = VFM_SEVERITY_NOTE },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_SIZE,
		.run = size_not_too_large,
	},
};
const size_t vfm_nr_rules_size = VFM_ARRAY_SIZE(vfm_rules_size);
