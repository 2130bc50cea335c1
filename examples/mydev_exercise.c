// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * How to make mydev.c do something, for "vfmig check", which knows no device:
 *
 *	cc -shared -fPIC $(pkg-config --cflags vfmig) mydev_exercise.c -o mydev_exercise.so
 *	vfmig check --exercise ./mydev_exercise.so ./mydev.so
 *
 * It is a small driver for the device, of the kind that runs in a guest: all it does goes through
 * the calls of <vfmig/device.h>, so the same file serves for a device in this process, behind a
 * socket, and in the kernel. What a device cannot do is left out of the struct, and the rules
 * about it are skipped: mydev.c has no DMA and no interrupts, so there is only @change.
 *
 * A device with DMA has @write and @stream. In them one programs the device's own registers with
 * the IOVA that is given, as its driver does, starts it, and in @write waits until it says that
 * it is done. While waiting, let the device work: poll vfm_device_get_fd() for a millisecond or
 * so and call vfm_device_process(), since a device behind a socket may do its DMA by messages to
 * us. Bound the wait, and return -ETIMEDOUT after it.
 * A device with interrupts has @interrupt, @irq_index and @irq_vector: make it raise one, of
 * any cause; wiring is the checker's.
 */

#include <errno.h>
#include <stdlib.h>

#include <vfmig/exercise.h>

#define REGION 0u

/* What is known of one device that is exercised. */
struct mydev_user {
	uint32_t changes;
};

/* The device is fresh. One with DMA gets bus mastering and interrupts switched on here. */
static int user_begin(struct vfm_device *dev, void **priv, struct vfm_err *err)
{
	*priv = calloc(1, sizeof(struct mydev_user));
	return *priv ? 0 : vfm_fail(err, -ENOMEM, "mydev: no memory");
}

/* Make the device different from what it was: its memory is all the state that it has. */
static int user_change(void *priv, struct vfm_device *dev, struct vfm_err *err)
{
	struct mydev_user *user = priv;

	user->changes++;
	return vfm_device_write_region(dev, REGION, 0, &user->changes, sizeof(user->changes), err);
}

static const struct vfm_exercise exercise = {
	VFM_EXERCISE_INIT,
	.begin = user_begin,
	.end = free,
	.change = user_change,
};
VFM_EXERCISE(exercise);
