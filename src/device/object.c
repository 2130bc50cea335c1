// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "device/object.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <vfmig/exercise.h>

#include "base/util.h"

int vfm_object_open(void **object, const void **entry, const char *path, const char *symbol,
		    uint32_t api, struct vfm_err *err)
{
	uint32_t theirs;
	int ret;

	*object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!*object)
		return vfm_fail(err, -ENOENT, "%s", dlerror());
	*entry = dlsym(*object, symbol);
	if (!*entry) {
		ret = vfm_fail(err, -EINVAL, "%s: exports no %s", path, symbol);
	} else {
		memcpy(&theirs, *entry, sizeof(theirs));
		if (theirs == api)
			return 0;
		ret = vfm_fail(err, -EINVAL, "%s: made for interface %" PRIu32 ", this is %" PRIu32,
			       path, theirs, api);
	}
	dlclose(*object);
	return ret;
}

VFM_API int vfm_exercise_load(const struct vfm_exercise **exercise, const char *path,
			      struct vfm_err *err)
{
	const struct vfm_exercise_entry *entry;
	const void *found;
	void *object;
	int ret =
		vfm_object_open(&object, &found, path, "vfm_exercise_entry", VFM_EXERCISE_API, err);

	if (ret)
		return ret;
	entry = found;
	if (entry->exercise && entry->exercise->size >= sizeof(struct vfm_exercise) &&
	    entry->exercise->begin && entry->exercise->end) {
		*exercise = entry->exercise;
		return 0;
	}
	dlclose(object);
	return vfm_fail(err, -EINVAL, "%s: its exercise lacks begin or end, or is too small", path);
}
