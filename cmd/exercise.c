// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Which exercise goes with a device: that which was asked for, else one that the library has
 * for its model, else none, and then rules that need one are skipped.
 */

#include "cmd.h"

#include <errno.h>

/* A device that cannot be asked has none; why that is so, others will say. */
static const struct vfm_exercise *of_model(const char *uri)
{
	const struct vfm_exercise *exercise = NULL;
	struct vfm_compat compat;
	struct vfm_device *dev;

	if (vfm_open(&dev, uri, NULL))
		return NULL;
	if (!vfm_device_get_compat(dev, &compat, NULL))
		exercise = vfm_sim_exercise(compat.model);
	vfm_device_close(dev);
	return exercise;
}

int cmd_exercise_open(struct cmd_exercise *ex, const char *name, const char *uri,
		      struct vfm_err *err)
{
	int ret;

	ex->loaded = NULL;
	ex->exercise = name ? vfm_sim_exercise(name) : of_model(uri);
	if (!name || ex->exercise)
		return 0;
	ret = vfm_exercise_load(&ex->loaded, name, err);
	ex->exercise = ex->loaded;
	/* a name that is wrong, as for devices */
	return ret == -EINVAL || ret == -ENOENT ? CMD_MISUSE : ret;
}

void cmd_exercise_close(struct cmd_exercise *ex)
{
	vfm_exercise_unload(ex->loaded);
}
