// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about the reset: what it ends, what it makes new, and what it leaves. A reset while
 * another call is under way is in rules_race.c.
 */

#include "check/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/util.h"

/* Memory and log of these rules; anywhere would do. */
#define IOVA UINT64_C(0x10000000)
#define SIZE UINT64_C(0x10000)

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

/* The first two of @i are fresh; the third is what a reset makes of one that was changed. */
static int compare_fresh(struct vfm_trial *t, const struct vfm_image *i)
{
	if (!same_image(&i[0], &i[1]))
		return vfm_trial_skip(t, "a fresh device does not save the same bytes twice");
	if (same_image(&i[0], &i[2]))
		return 0;
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
		free(images[i].data);
	return ret;
}

/* The device's own image must be taken, after one that was refused and a reset. */
static int load_after_refusal(struct vfm_trial *t, const struct vfm_image *image)
{
	struct vfm_err err;
	int ret = vfm_trial_go(t, VFM_STATE_RESUMING);

	if (!ret && !vfm_device_set_state(t->dev, VFM_STATE_STOP, NULL))
		return vfm_trial_skip(t, "RESUMING can be left with nothing loaded");
	if (!ret)
		ret = vfm_trial_reset(t);
	if (!ret)
		ret = vfm_trial_write(t, image);
	if (!ret && vfm_device_set_state(t->dev, VFM_STATE_STOP, &err))
		ret = vfm_trial_fail(
			t,
			"an image of %zu bytes was loaded; then none, which was refused; "
			"then, after a reset, the first again, and that was refused: %s",
			image->size, err.msg);
	return ret;
}

static int after_refusal(struct vfm_trial *t)
{
	struct vfm_image image = { 0 };
	int ret = vfm_trial_save(t, &image);

	if (!ret)
		ret = vfm_session_load(t, &image);
	if (!ret)
		ret = load_after_refusal(t, &image);
	free(image.data);
	return ret;
}

/* ---- what it leaves -------------------------------------------------------------------------- */

static int map(struct vfm_trial *t, void *memory)
{
	const struct vfm_dma_map map = { .iova = IOVA,
					 .size = SIZE,
					 .flags = VFM_DMA_READ | VFM_DMA_WRITE,
					 .fd = -1,
					 .vaddr = memory };
	struct vfm_err err;

	return vfm_device_map_dma(t->dev, &map, &err) ? vfm_trial_blocked(t, &err) : 0;
}

static int mapped_over_reset(struct vfm_trial *t, void *memory)
{
	struct vfm_err err;
	int ret = map(t, memory);

	if (!ret)
		ret = vfm_trial_reset(t);
	if (!ret && vfm_device_unmap_dma(t->dev, IOVA, SIZE, &err))
		ret = vfm_trial_fail(t,
				     "0x%" PRIx64 " bytes were mapped at 0x%" PRIx64
				     "; after a reset they could not be unmapped: %s",
				     SIZE, IOVA, err.msg);
	return ret;
}

static int keeps_mappings(struct vfm_trial *t)
{
	void *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ret;

	if (memory == MAP_FAILED)
		return vfm_trial_skip(t, "no memory");
	ret = mapped_over_reset(t, memory);
	munmap(memory, SIZE);
	return ret;
}

static int keeps_log(struct vfm_trial *t)
{
	const struct vfm_range range = { .iova = IOVA, .size = SIZE };
	uint64_t page_size = 4096;
	struct vfm_err err;
	int ret;

	if (vfm_device_start_log(t->dev, &page_size, &range, 1, &err))
		return vfm_trial_blocked(t, &err);
	ret = vfm_trial_reset(t);
	if (!ret && vfm_device_stop_log(t->dev, &err))
		ret = vfm_trial_fail(t,
				     "a dirty log was started; after a reset it could not be "
				     "stopped: %s",
				     err.msg);
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
	{
		.is = { .name = "v2.reset.after-refusal",
			.title = "after an image that was refused, a reset lets another one be "
				 "loaded",
			.source = "uAPI, enum vfio_device_mig_state: a RESUMING that failed is "
				  "left by "
				  "a reset, after which everything is as at the start",
			.text = "The move failed, and is tried again to the same destination.\n\n"
				"The device's own image is loaded. Then none is, which it refuses; "
				"it "
				"is reset, and the image is loaded again.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = after_refusal,
	},
	{
		.is = { .name = "v2.reset.keeps-mappings",
			.title = "a reset leaves what is mapped",
			.source = "<vfmig/device.h>, vfm_device_reset(): mappings stay; in the "
				  "kernel "
				  "they are the container's",
			.text = "A guest resets its device and goes on using its memory. The "
				"monitor "
				"maps nothing again.\n\n"
				"Memory is mapped, the device is reset, and the memory is "
				"unmapped, "
				"which must succeed.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_RESET,
		.run = keeps_mappings,
	},
	{
		.is = { .name = "v2.reset.keeps-log",
			.title = "a reset leaves the dirty log running",
			.source = "uAPI, VFIO_DEVICE_FEATURE_DMA_LOGGING_START: until STOP; "
				  "<vfmig/device.h>, vfm_device_reset()",
			.text = "A guest that resets its device while it is moved must not lose "
				"the "
				"pages that were written before.\n\n"
				"A log is started, the device is reset, and the log is stopped, "
				"which "
				"must succeed.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_RESET | VFM_NEED_LOG,
		.run = keeps_log,
	},
};
const size_t vfm_nr_rules_reset = VFM_ARRAY_SIZE(vfm_rules_reset);
