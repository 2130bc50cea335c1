// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What the tests of the command need to know about a sim:dma device, and do to
 * it, that the command itself has no verb for:
 *
 *   simctl URI             prints STATE SEED CHANGES DIGEST
 *   simctl URI step N      changes N pages of state, then the same
 *   simctl URI state NAME  goes to a state, then the same
 *   simctl URI reset       resets it, then the same
 *   simctl URI hold        holds the connection until a byte comes in, then the same
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vfmig/sim.h>
#include <vfmig/vfmig.h>

static int step(struct vfm_device *dev, const char *arg, struct vfm_err *err)
{
	return vfm_sim_write(dev, VFM_SIM_REG_STATE_STEP, strtoull(arg, NULL, 0), err);
}

static int set_state(struct vfm_device *dev, const char *arg, struct vfm_err *err)
{
	for (int s = 0; s < VFM_NR_STATES; s++)
		if (!strcmp(arg, vfm_state_name((enum vfm_state)s)))
			return vfm_device_set_state(dev, (enum vfm_state)s, err);
	return vfm_fail(err, -EINVAL, "no such state: %s", arg);
}

static int reset(struct vfm_device *dev, const char *arg, struct vfm_err *err)
{
	(void)arg;
	return vfm_device_reset(dev, err);
}

static int hold(struct vfm_device *dev, const char *arg, struct vfm_err *err)
{
	char byte;

	(void)dev;
	(void)arg;
	puts("held");
	fflush(stdout);
	return read(STDIN_FILENO, &byte, 1) < 0 ? vfm_fail(err, -errno, "read") : 0;
}

static const struct {
	const char *name;
	int (*run)(struct vfm_device *dev, const char *arg, struct vfm_err *err);
} actions[] = {
	{ "step", step },
	{ "state", set_state },
	{ "reset", reset },
	{ "hold", hold },
};

static int act(struct vfm_device *dev, const char *name, const char *arg, struct vfm_err *err)
{
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (!strcmp(name, actions[i].name))
			return actions[i].run(dev, arg, err);
	return vfm_fail(err, -EINVAL, "no such action: %s", name);
}

static int print(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_sim_state sim;
	enum vfm_state state;
	int ret = vfm_device_get_state(dev, &state, err);

	if (!ret)
		ret = vfm_sim_get_state(dev, &sim, err);
	if (ret)
		return ret;
	printf("%s %" PRIu64 " %" PRIu64 " ", vfm_state_name(state), sim.seed, sim.changes);
	for (int i = 0; i < VFM_SIM_DIGEST; i++)
		printf("%02x", sim.digest[i]);
	putchar('\n');
	return 0;
}

int main(int argc, char **argv)
{
	struct vfm_err err = { 0 };
	struct vfm_device *dev;
	int ret;

	if (argc < 2)
		return 2;
	ret = vfm_open(&dev, argv[1], &err);
	if (!ret) {
		if (argc > 2)
			ret = act(dev, argv[2], argc > 3 ? argv[3] : "", &err);
		if (!ret)
			ret = print(dev, &err);
		vfm_device_close(dev);
	}
	if (ret)
		fprintf(stderr, "simctl: %s: %s\n", err.msg, strerror(-ret));
	return ret ? 1 : 0;
}
