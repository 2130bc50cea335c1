// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Exercises of others, from shared objects. What is handed out is a copy: one that was built
 * when the struct was shorter is filled up with members that are missing.
 */

#include <vfmig/exercise.h>

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "device/object.h"

/* @exercise is what its user has. */
struct loaded {
	struct vfm_exercise exercise;
	void *object;
};

/* dlopen() looks for a name without a slash everywhere but here. */
static char *path_of(const char *file)
{
	char *path = NULL;

	return asprintf(&path, "%s%s", strchr(file, '/') ? "" : "./", file) < 0 ? NULL : path;
}

static int copy(struct loaded *l, const struct vfm_exercise *exercise, const char *path,
		struct vfm_err *err)
{
	if (!exercise)
		return vfm_fail(err, -EINVAL, "%s: exports no exercise", path);
	memcpy(&l->exercise, exercise, VFM_MIN(exercise->size, sizeof(l->exercise)));
	if (!l->exercise.begin || !l->exercise.end)
		return vfm_fail(err, -EINVAL, "%s: the exercise lacks %s", path,
				l->exercise.begin ? "end" : "begin");
	return 0;
}

VFM_API int vfm_exercise_load(const struct vfm_exercise **out, const char *file,
			      struct vfm_err *err)
{
	const void *entry = NULL;
	vfm_auto_free char *path = path_of(file);
	struct loaded *l = calloc(1, sizeof(*l));
	int ret;

	if (!l || !path) {
		free(l);
		return vfm_fail(err, -ENOMEM, "%s: no memory", file);
	}
	ret = vfm_object_open(&l->object, &entry, path, "vfm_exercise_entry", VFM_EXERCISE_API,
			      err);
	if (!ret)
		ret = copy(l, ((const struct vfm_exercise_entry *)entry)->exercise, path, err);
	if (ret) {
		vfm_exercise_unload(&l->exercise);
		return ret;
	}
	*out = &l->exercise;
	return 0;
}

VFM_API void vfm_exercise_unload(const struct vfm_exercise *exercise)
{
	struct loaded *l = (struct loaded *)(uintptr_t)exercise;

	if (!l)
		return;
	if (l->object)
		dlclose(l->object);
	free(l);
}
