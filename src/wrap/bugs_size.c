// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Bugs of the estimate of what STOP_COPY will need. */

#include "wrap/wrap.h"

#include <errno.h>

#include "base/util.h"

static int refused_while_resuming(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err)
{
	enum vfm_state state;
	int ret = vfm_pass_get_state(dev, &state, err);

	if (!ret && state == VFM_STATE_RESUMING)
		return vfm_fail(err, -EBUSY, "the device is busy with another image");
	return ret ? ret : vfm_pass_get_data_size(dev, bytes, err);
}

static int size_zero(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err)
{
	int ret = vfm_pass_get_data_size(dev, bytes, err);

	*bytes = 0;
	return ret;
}

static int size_negative(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err)
{
	int ret = vfm_pass_get_data_size(dev, bytes, err);

	*bytes = (uint64_t)-EAGAIN;
	return ret;
}

static int size_small(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err)
{
	int ret = vfm_pass_get_data_size(dev, bytes, err);

	*bytes = *bytes / 8 + 1;
	return ret;
}

static int size_large(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err)
{
	int ret = vfm_pass_get_data_size(dev, bytes, err);

	*bytes *= 64;
	return ret;
}

const struct vfm_bug vfm_bugs_size[] = {
	{
		.is = { .name = "size-not-while-resuming",
			.title = "the size of the data is not told in RESUMING",
			.where = "" },
		.rules = { "v2.size.every-state" },
		.ops = { .get_data_size = refused_while_resuming },
	},
	{
		.is = { .name = "size-zero",
			.title = "the size of the data is 0",
			.where = "devices that do not know it; it fails the migration in QEMU" },
		.rules = { "v2.size.not-zero" },
		.ops = { .get_data_size = size_zero },
	},
	{
		.is = { .name = "size-negative",
			.title = "the size of the data is an error code without its sign",
			.where = "" },
		.rules = { "v2.size.sane" },
		.ops = { .get_data_size = size_negative },
	},
	{
		.is = { .name = "size-too-small",
			.title = "the size of the data is an eighth of what comes",
			.where = "Linux, drivers that answer a constant" },
		.rules = { "v2.size.not-too-small" },
		.ops = { .get_data_size = size_small },
	},
	{
		.is = { .name = "size-too-large",
			.title = "the size of the data is 64 times what comes",
			.where = "" },
		.rules = { "v2.size.not-too-large" },
		.ops = { .get_data_size = size_large },
	},
};
const size_t vfm_nr_bugs_size = VFM_ARRAY_SIZE(vfm_bugs_size);
