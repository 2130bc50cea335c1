// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Exercises in shared objects, right and wrong ones: KIND says which this is. */

#include <stddef.h>
#include <string.h>

#include <vfmig/exercise.h>

#define KIND_SHORT 1   /* built when there was nothing behind write */
#define KIND_VERSION 2 /* of another version */
#define KIND_ENDLESS 3 /* lacks end */
#define KIND_NONE 4    /* exports a pointer to nothing */

static int object_begin(struct vfm_device *dev, void **priv, struct vfm_err *err)
{
	(void)dev;
	(void)err;
	*priv = NULL;
	return 0;
}

static void object_end(void *priv)
{
	(void)priv;
}

static int object_change(void *priv, struct vfm_device *dev, struct vfm_err *err)
{
	(void)priv;
	(void)dev;
	(void)err;
	return 0;
}

static const struct vfm_exercise exercise = {
	.size = KIND == KIND_SHORT ? offsetof(struct vfm_exercise, stream)
				   : sizeof(struct vfm_exercise),
	.begin = object_begin,
	.end = KIND == KIND_ENDLESS ? NULL : object_end,
	.change = object_change,
};

__attribute__((visibility("default"))) extern const struct vfm_exercise_entry vfm_exercise_entry;
const struct vfm_exercise_entry vfm_exercise_entry = {
	KIND == KIND_VERSION ? VFM_EXERCISE_API + 1 : VFM_EXERCISE_API,
	KIND == KIND_NONE ? NULL : &exercise,
};
