// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What it takes to crash a kernel by a device that keeps its state when it is closed, and not the
 * session that belongs to it: left-in-resuming GROUP DEVICE [leave]
 *
 * Two users, one after the other, each with a container and a group of its own, as two processes
 * would have them: the first goes to RESUMING and leaves, the second goes to RUNNING. Nothing but
 * the kernel's uAPI, because vfmig itself does not go on with such a device. Ends with 0 if the
 * second step was done or refused; where the kernel has the bug, with SIGKILL. With "leave" the
 * second user is left to others.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct user {
	int container, group, device;
};

static void need(int ret, const char *what)
{
	if (ret >= 0)
		return;
	fprintf(stderr, "left-in-resuming: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct user enter(const char *group, const char *name)
{
	struct user u;

	need(u.container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC), "open the container");
	need(u.group = open(group, O_RDWR | O_CLOEXEC), group);
	need(ioctl(u.group, VFIO_GROUP_SET_CONTAINER, &u.container), "set the container");
	need(ioctl(u.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), "set the IOMMU");
	need(u.device = ioctl(u.group, VFIO_GROUP_GET_DEVICE_FD, name), name);
	return u;
}

static void leave(const struct user *u)
{
	close(u->device);
	close(u->group);
	close(u->container);
}

/* The descriptor of a session is closed at once: the device has it open as well. */
static int go_to(const struct user *u, __u32 state)
{
	struct {
		struct vfio_device_feature feature;
		struct vfio_device_feature_mig_state state;
	} request = {
		.feature = { .argsz = sizeof(request),
			     .flags = VFIO_DEVICE_FEATURE_SET |
				      VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE },
		.state = { .device_state = state, .data_fd = -1 },
	};
	int ret = ioctl(u->device, VFIO_DEVICE_FEATURE, &request);

	if (ret >= 0 && request.state.data_fd >= 0)
		close(request.state.data_fd);
	return ret;
}

int main(int argc, char **argv)
{
	struct user u;

	if (argc < 3)
		return 2;
	u = enter(argv[1], argv[2]);
	need(go_to(&u, VFIO_DEVICE_STATE_RESUMING), "go to RESUMING");
	leave(&u);
	if (argc > 3)
		return 0;
	u = enter(argv[1], argv[2]);
	printf("RUNNING: %s\n",
	       go_to(&u, VFIO_DEVICE_STATE_RUNNING) < 0 ? strerror(errno) : "done");
	leave(&u);
	return 0;
}
