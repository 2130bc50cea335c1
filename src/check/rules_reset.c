// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about the reset: where it leads, what it ends, and what it makes new. What it leaves
 * alone, memory, interrupts and the dirty log, is with the rules about those; a reset while
 * another call is under way is in rules_race.c.
 */

#include "check/check.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* ---- where it leads -------------------------------------------------------------------- */

static int resets_from(struct vfm_trial *t, enum vfm_state state, void *user)
{
	char what[64];
	struct vfm_err err;

	(void)user;
	snprintf(what, sizeof(what), "a reset in %s", vfm_state_name(state));
	if (vfm_device_reset(t->dev, &err))
		return vfm_trial_fail(t, "%s failed: %s", what, err.msg);
	return vfm_trial_in_state(t, VFM_STATE_RUNNING, what);
}

/* In RUNNING first: that a reset fails altogether is another rule's. */
static int to_running(struct vfm_trial *t)
{
	int ret = vfm_trial_reset(t);

	return ret ? ret : vfm_trial_each_state(t, resets_from, NULL);
}

static int twice(struct vfm_trial *t)
{
	int ret = vfm_trial_go(t, VFM_STATE_STOP);

	if (!ret)
		ret = vfm_trial_reset(t);
	for (int i = 0; !ret && i < 3; i++) {
		struct vfm_err err;

		if (vfm_device_reset(t->dev, &err))
			ret = vfm_trial_fail(t, "after a reset that succeeded, another failed: %s",
					     err.msg);
		else
			ret = vfm_trial_in_state(t, VFM_STATE_RUNNING, "another reset");
	}
	return ret;
}

/* ---- what it ends ------------------------------------------------------------------------- */

static int ends_session_of(struct vfm_trial *t, enum vfm_state state, void *user)
{
	uint8_t byte = 0;
	ssize_t n;
	int ret;

	(void)user;
	if (!vfm_state_is_saving(state) && state != VFM_STATE_RESUMING)
		return 0;
	if (vfm_state_is_saving(state) && vfm_device_read_data(t->dev, &byte, 1, NULL) < 0)
		return vfm_trial_skip(t, "in %s there is no data", vfm_state_name(state));
	ret = vfm_trial_reset(t);
	if (ret)
		return ret;
	n = vfm_device_read_data(t->dev, &byte, 1, NULL);
	if (n >= 0 || n == -ENOMSG)
		return vfm_trial_fail(t, "after a reset in %s, the data session can be read still",
				      vfm_state_name(state));
	if (!vfm_device_write_data(t->dev, &byte, 1, NULL))
		return vfm_trial_fail(t, "after a reset in %s, the data session takes data still",
				      vfm_state_name(state));
	return 0;
}

static int ends_sessions(struct vfm_trial *t)
{
	return vfm_trial_each_state(t, ends_session_of, NULL);
}

/* ---- what it makes new --------------------------------------------------------------------- */

static bool same_image(const struct vfm_image *a, const struct vfm_image *b)
{
	return a->size == b->size && !memcmp(a->data, b->data, a->size);
}

/* Reset in RUNNING, and saved: what is in it then. */
static int reset_and_save(struct vfm_trial *t, struct vfm_image *image)
{
	int ret = vfm_trial_go(t, VFM_STATE_RUNNING);

	if (!ret)
		ret = vfm_trial_reset(t);
	return ret ? ret : vfm_trial_save(t, image);
}

static int change(struct vfm_trial *t)
{
	struct vfm_err err;
	int ret = vfm_trial_go(t, VFM_STATE_RUNNING);

	if (!ret && t->opts->exercise->change(t->exercise, t->dev, &err))
		ret = vfm_trial_blocked(t, &err);
	return ret;
}

/* Long enough for a device that changes by itself to have done so. */
#define LET_RUN_MS 50

/* Whether one that was reset to @seen gives that again when it has run for a while. */
static int stands_still(struct vfm_trial *t, const struct vfm_image *seen, bool *still)
{
	struct vfm_image later = { 0 };
	int ret = vfm_trial_go(t, VFM_STATE_RUNNING);

	if (!ret)
		ret = vfm_trial_reset(t);
	if (!ret) {
		poll(NULL, 0, LET_RUN_MS);
		ret = vfm_trial_save(t, &later);
	}
	*still = !ret && same_image(seen, &later);
	vfm_image_free(&later);
	return ret;
}

/* The first two of @i are fresh; the third is what a reset makes of one that was changed. */
static int compare_fresh(struct vfm_trial *t, const struct vfm_image *i)
{
	bool still;
	int ret;

	if (same_image(&i[0], &i[1]) && same_image(&i[0], &i[2]))
		return 0;
	ret = stands_still(t, &i[2], &still);
	if (ret)
		return ret;
	if (!still || !same_image(&i[0], &i[1]))
		return vfm_trial_skip(t, "a fresh device does not save the same bytes twice");
	return vfm_trial_fail(
		t,
		"reset and saved, it gave %zu bytes, twice the same; changed, reset "
		"and saved, it gave %zu bytes that differ: something of the change is "
		"still there",
		i[0].size, i[2].size);
}

static int fresh_state(struct vfm_trial *t)
{
	struct vfm_image images[3] = { 0 };
	int ret = 0;

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(images); i++) {
		if (i == 2)
			ret = change(t);
		if (!ret)
			ret = reset_and_save(t, &images[i]);
	}
	if (!ret)
		ret = compare_fresh(t, images);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(images); i++)
		vfm_image_free(&images[i]);
	return ret;
}

/* ---- the table --------------------------------------------------------------------------------
 */

const struct vfm_rule vfm_rules_reset[] = {
	{
		.is = { .name = "v2.reset.to-running",
			.title = "a reset leads to RUNNING from every state",
			.source = "uAPI, enum vfio_device_mig_state: VFIO_DEVICE_RESET moves the "
				  "device to RUNNING; vfio-user, DEVICE_RESET",
			.text = "A device that was reset and is still in STOP, or in a load that "
				"went "
				"wrong, is one that nobody gets to run again.\n\n"
				"It is reset in each state, which must be RUNNING then. A state "
				"that "
				"the migration keeps for itself has to be told of resets.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = to_running,
	},
	{
		.is = { .name = "v2.reset.twice",
			.title = "a device can be reset again at once",
			.source = "uAPI, VFIO_DEVICE_RESET: without a condition",
			.text = "A monitor resets all devices of a machine, which may just have "
				"done "
				"so itself.\n\n"
				"After a reset in STOP, three more follow.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = twice,
	},
	{
		.is = { .name = "v2.reset.ends-sessions",
			.title = "a reset ends the data session",
			.source = "uAPI, enum vfio_device_mig_state: after VFIO_DEVICE_RESET the "
				  "data_fd of before is dead",
			.text = "What is read after a reset belongs to the device before it.\n\n"
				"In each state that has a session the device is reset; then it "
				"must "
				"refuse to be read and to be written.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = ends_sessions,
	},
	{
		.is = { .name = "v2.reset.fresh-state",
			.title = "a reset makes the state of the device new",
			.source = "uAPI, VFIO_DEVICE_RESET; <vfmig/device.h>, vfm_device_reset(): "
				  "back to RUNNING with fresh state",
			.text = "The next machine must find nothing of the one before it.\n\n"
				"Reset and saved, the device gives an image, and the same one "
				"again. "
				"Then its state is changed, it is reset and saved: that image must "
				"be "
				"the same, too. A device whose images differ by themselves is not "
				"tried.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET | VFM_NEED_CHANGE,
		.run = fresh_state,
	},
};
const size_t vfm_nr_rules_reset = VFM_ARRAY_SIZE(vfm_rules_reset);
