// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about saving through the migration region: iterations, and that nothing is lost or
 * doubled. Whether something was is seen by two images that must be
 * the same, where a device gives out the same twice; else by a device that takes the image.
 */

#include "check/v1_trial.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/util.h"

/* Chunks that are looked at where one more would tell nothing new. */
#define SOME_CHUNKS 256

/* ---- pending_bytes ---------------------------------------------------------------- */

static int pending_is_zero(struct vfm_trial *t, const char *when)
{
	uint64_t pending;
	int ret = vfm_trial_v1_get(t, VFM_V1_PENDING_BYTES, &pending);

	if (!ret && pending)
		ret = vfm_trial_fail(t, "%s, pending_bytes reads %" PRIu64 "; it must read 0", when,
				     pending);
	return ret;
}

static int pending_in_running(struct vfm_trial *t)
{
	struct vfm_v1_chunk chunk;
	int ret = pending_is_zero(t, "in RUNNING");

	if (!ret)
		ret = vfm_trial_v1_go(t, VFM_V1_STATE_STOP_COPY);
	if (!ret)
		ret = vfm_trial_v1_chunk(t, &chunk);
	if (!ret)
		ret = vfm_trial_v1_go(t, VFM_V1_STATE_RUNNING);
	return ret ? ret : pending_is_zero(t, "in RUNNING, after a save was given up");
}

static int ends(struct vfm_trial *t)
{
	vfm_auto_image struct vfm_v1_image image = { NULL };
	int ret = vfm_trial_v1_go(t, VFM_V1_STATE_STOP_COPY);

	if (!ret)
		ret = vfm_trial_v1_collect(t, SIZE_MAX, &image);
	for (int i = 0; !ret && i < 3; i++)
		ret = pending_is_zero(t, "in STOP_COPY, after pending_bytes had read 0");
	return ret;
}

/* A device may look for changes from time to time only. */
#define LOOK_MS 1000

static uint64_t look_until(void)
{
	return vfm_now_ns() + (uint64_t)LOOK_MS * 1000000;
}

/* In PRE_COPY: until nothing is pending; a device that goes on changing has no such end. */
static int drain(struct vfm_trial *t)
{
	uint64_t end = look_until(), pending = 1;
	bool any = false;
	int ret = 0;

	while (!ret && pending && vfm_now_ns() < end) {
		vfm_auto_image struct vfm_v1_image image = { NULL };

		ret = vfm_trial_v1_collect(t, SOME_CHUNKS, &image);
		any = any || image.size;
		if (!ret)
			ret = vfm_trial_v1_get(t, VFM_V1_PENDING_BYTES, &pending);
	}
	if (!ret && !any)
		return vfm_trial_skip(t, "the device has nothing to save in PRE_COPY");
	if (!ret && pending)
		return vfm_trial_skip(t, "the device has always something to save in PRE_COPY");
	return ret;
}

static int zero_and_back(struct vfm_trial *t)
{
	const struct timespec pause = { .tv_nsec = 5000000 };
	uint64_t end, pending = 0;
	struct vfm_err err;
	int ret = vfm_trial_v1_go(t, VFM_V1_STATE_PRE_COPY);

	if (!ret)
		ret = drain(t);
	if (!ret && t->opts->exercise->change(t->exercise, t->dev, &err))
		ret = vfm_trial_blocked(t, &err);
	end = look_until();
	while (!ret) {
		ret = vfm_trial_v1_get(t, VFM_V1_PENDING_BYTES, &pending);
		if (ret || pending)
			return ret;
		if (vfm_now_ns() > end)
			ret = vfm_trial_fail(t,
					     "in PRE_COPY everything was read, then the state of "
					     "the device was changed; pending_bytes read 0 for %u "
					     "ms more: it must say that there is something again",
					     LOOK_MS);
		nanosleep(&pause, NULL);
	}
	return ret;
}

/* ---- iterations, made in another way ------------------------------------------------- */

/* How often each of the three registers is read where once is enough. */
struct habit {
	const char *how;
	unsigned int pending, place;
};

/* Step a, again and again. */
static int ask_pending(struct vfm_trial *t, unsigned int times, uint64_t *pending)
{
	uint64_t again;
	int ret = vfm_trial_v1_get(t, VFM_V1_PENDING_BYTES, pending);

	for (unsigned int i = 1; !ret && i < times; i++) {
		ret = vfm_trial_v1_get(t, VFM_V1_PENDING_BYTES, &again);
		if (!ret && !again != !*pending)
			ret = vfm_trial_fail(t,
					     "at the start of an iteration in STOP_COPY, "
					     "pending_bytes read %" PRIu64 ", and %" PRIu64
					     " when it was read again",
					     *pending, again);
	}
	return ret;
}

/* Steps b and c, again and again. */
static int ask_place(struct vfm_trial *t, unsigned int times, struct vfm_v1_chunk *chunk)
{
	struct vfm_v1_chunk again;
	int ret = 0;

	for (unsigned int i = 0; !ret && i < times; i++) {
		ret = vfm_trial_v1_get(t, VFM_V1_DATA_OFFSET, &again.offset);
		if (!ret)
			ret = vfm_trial_v1_get(t, VFM_V1_DATA_SIZE, &again.size);
		if (!ret && i && (again.offset != chunk->offset || again.size != chunk->size))
			ret = vfm_trial_fail(t,
					     "data_offset and data_size read 0x%" PRIx64
					     " and %" PRIu64 ", and 0x%" PRIx64 " and %" PRIu64
					     " when they were read again in the same iteration",
					     chunk->offset, chunk->size, again.offset, again.size);
		chunk->offset = again.offset;
		chunk->size = again.size;
	}
	return ret;
}

static int save_by_habit(struct vfm_trial *t, const struct habit *habit, struct vfm_v1_image *image)
{
	struct vfm_v1_chunk chunk;
	int ret = vfm_trial_v1_go(t, VFM_V1_STATE_STOP_COPY);

	while (!ret) {
		ret = ask_pending(t, habit->pending, &chunk.pending);
		if (ret || !chunk.pending)
			break;
		ret = ask_place(t, habit->place, &chunk);
		if (!ret && !chunk.size)
			return vfm_trial_skip(t, "could not be tried: a chunk is empty");
		if (!ret)
			ret = vfm_trial_v1_append(t, &chunk, image);
	}
	return ret;
}

/* A save by that habit must give what one without it gives. */
static int save_both_ways(struct vfm_trial *t, const void *user, struct vfm_v1_pair *pair)
{
	const struct habit *habit = user;
	int ret = vfm_trial_v1_save(t, &pair->first);

	pair->how = habit->how;
	if (!ret)
		ret = vfm_trial_v1_go(t, VFM_V1_STATE_RUNNING);
	return ret ? ret : save_by_habit(t, habit, &pair->second);
}

static int pending_repeats(struct vfm_trial *t)
{
	static const struct habit habit = {
		"saved with pending_bytes read three times in each iteration", 3, 1
	};

	return vfm_trial_v1_equal(t, save_both_ways, &habit);
}

static int place_repeats(struct vfm_trial *t)
{
	static const struct habit habit = {
		"saved with data_offset and data_size read three times in each iteration", 1, 3
	};

	return vfm_trial_v1_equal(t, save_both_ways, &habit);
}

/* ---- nothing lost, nothing doubled ----------------------------------------------------------- */

/* What an image must be good for; @how it was saved. */
static int must_load(struct vfm_trial *t, const struct vfm_v1_image *image, const char *how)
{
	struct vfm_err err;
	int ret = vfm_trial_v1_resuming(t);

	if (ret)
		return ret;
	if (!vfm_v1_resume(t, image, &err))
		return 0;
	return vfm_trial_fail(t,
			      "an image that was saved at once is taken; one that was saved %s, "
			      "%zu bytes, is refused: %s",
			      how, image->size, err.msg);
}

/* Else an image that is refused says nothing about how it was saved. */
static int can_load(struct vfm_trial *t)
{
	vfm_auto_image struct vfm_v1_image image = { NULL };
	int ret = vfm_trial_v1_save(t, &image);

	return ret ? ret : vfm_trial_v1_load(t, &image);
}

/* In PRE_COPY, what is read of it before the device is stopped. */
static const struct {
	const char *how;
	size_t chunks;
	bool ask; /* pending_bytes after that, and no further */
} partly[] = {
	{ "with nothing read in PRE_COPY", 0, false },
	{ "with pending_bytes read in PRE_COPY, and no data", 0, true },
	{ "with one chunk read in PRE_COPY and acknowledged", 1, true },
	{ "with all read in PRE_COPY that there was", SOME_CHUNKS, true },
};

static int goes_on(struct vfm_trial *t)
{
	int ret = can_load(t);

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(partly); i++) {
		vfm_auto_image struct vfm_v1_image image = { NULL };
		uint64_t pending;

		ret = vfm_trial_v1_go(t, VFM_V1_STATE_RUNNING);
		if (!ret)
			ret = vfm_trial_v1_go(t, VFM_V1_STATE_PRE_COPY);
		if (!ret)
			ret = vfm_trial_v1_collect(t, partly[i].chunks, &image);
		if (!ret && partly[i].ask)
			ret = vfm_trial_v1_get(t, VFM_V1_PENDING_BYTES, &pending);
		if (!ret)
			ret = vfm_trial_v1_save(t, &image);
		if (!ret)
			ret = must_load(t, &image, partly[i].how);
	}
	return ret;
}

/* A chunk is read, and the device stopped before that is acknowledged. */
static int stop_before_ack(struct vfm_trial *t)
{
	vfm_auto_image struct vfm_v1_image image = { NULL };
	int ret = can_load(t);

	if (!ret)
		ret = vfm_trial_v1_go(t, VFM_V1_STATE_PRE_COPY);
	if (!ret)
		ret = vfm_trial_v1_collect(t, 1, &image);
	if (!ret && !image.size)
		ret = vfm_trial_skip(t, "the device has nothing to save in PRE_COPY");
	if (!ret)
		ret = vfm_trial_v1_save(t, &image);
	return ret ? ret : must_load(t, &image, "with 2 written before the acknowledgement");
}

/* One chunk of a save in that state, which is then given up. */
static int give_up(struct vfm_trial *t, struct vfm_v1_state state, bool reset)
{
	vfm_auto_image struct vfm_v1_image image = { NULL };
	int ret = vfm_trial_v1_go(t, state);
	struct vfm_err err;

	if (!ret)
		ret = vfm_trial_v1_collect(t, 1, &image);
	if (ret)
		return ret;
	ret = reset ? vfm_device_reset(t->dev, &err)
		    : vfm_v1_set_state(t, VFM_V1_STATE_RUNNING, &err);
	return ret ? vfm_trial_blocked(t, &err) : 0;
}

/* Out of both states in which a device is saved: then the next save must be whole. */
static int anew_after(struct vfm_trial *t, bool reset)
{
	static const uint32_t states[] = { VFM_V1_SAVING | VFM_V1_RUNNING, VFM_V1_SAVING };
	int ret = can_load(t);

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(states); i++) {
		vfm_auto_image struct vfm_v1_image image = { NULL };
		struct vfm_v1_state state = vfm_v1_state_of(states[i]);
		char how[64];

		snprintf(how, sizeof(how), "after one was given up in %s by a %s",
			 vfm_v1_state_name(state), reset ? "reset" : "write of 1");
		ret = give_up(t, state, reset);
		if (!ret)
			ret = vfm_trial_v1_save(t, &image);
		if (!ret)
			ret = must_load(t, &image, how);
	}
	return ret;
}

static int anew_after_cancel(struct vfm_trial *t)
{
	return anew_after(t, false);
}

static int anew_after_reset(struct vfm_trial *t)
{
	return anew_after(t, true);
}

const struct vfm_rule vfm_rules_v1_save[] = {
	{
		.is = { .name = "v1.save.pending-in-running",
			.title = "nothing is pending while nothing is saved",
			.source = "the thread, pending_bytes: bytes still to be migrated",
			.text = "pending_bytes is read in RUNNING, fresh and after a save that "
				"was given up. What remains of that save is of no use to "
				"anybody.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_V1,
		.run = pending_in_running,
	},
	{
		.is = { .name = "v1.save.ends",
			.title = "in STOP_COPY, once nothing is pending nothing ever is",
			.source = VFM_V1_CITE_SAVING
			"in stop-and-copy a user iterates until pending_bytes is 0",
			.text = "A user leaves at the first 0. What comes after that is lost, and "
				"the device is stopped: nothing can come. Read 0, the register "
				"is read three times more.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1,
		.run = ends,
	},
	{
		.is = { .name = "v1.save.zero-and-back",
			.title = "in PRE_COPY, pending_bytes comes back from 0 when the device "
				 "changes",
			.source = VFM_V1_CITE_SAVING "in pre-copy, 0 says not to iterate now",
			.text = "A device that says 0 once and then for ever gives up pre-copy, "
				"and all that changed has to go while it is stopped.\n"
				"Everything is read, the state of the device is changed, and "
				"pending_bytes is asked for up to a second.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_V1 | VFM_NEED_CHANGE,
		.run = zero_and_back,
	},
	{
		.is = { .name = "v1.save.pending-repeats",
			.title = "pending_bytes can be read again at the start of an iteration",
			.source = VFM_V1_CITE_SAVING "a. repeated reads have no side effects",
			.text = "The same read acknowledges the chunk before: a device must know "
				"whether there was one. It is one when its data_size has been "
				"read.\n"
				"The device is saved with pending_bytes read three times in each "
				"iteration; the image must be the usual one.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1,
		.run = pending_repeats,
	},
	{
		.is = { .name = "v1.save.place-repeats",
			.title = "data_offset and data_size can be read again in an iteration",
			.source = VFM_V1_CITE_SAVING
			"c. they return the same buffer when read more than once",
			.text = "The device is saved with both read three times in each iteration; "
				"they must say the same, and the image must be the usual one.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1,
		.run = place_repeats,
	},
	{
		.is = { .name = "v1.save.goes-on",
			.title = "what was not read in PRE_COPY comes in STOP_COPY",
			.source =
				VFM_V1_CITE_SAVING "pre-copy can be left whatever is pending, and "
						   "stop-and-copy goes on until nothing is",
			.text = "The device is stopped at several points of pre-copy, and saved to "
				"the end. Each image must be one that the device takes: a chunk "
				"that was prepared and not read must not be lost by the change of "
				"state.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1 | VFM_NEED_RESET,
		.run = goes_on,
	},
	{
		.is = { .name = "v1.save.stop-before-acknowledgement",
			.title = "a chunk that was read in PRE_COPY does not come again in "
				 "STOP_COPY",
			.source = VFM_V1_CITE_QEMU
			"writes 2 between the data and the next pending_bytes",
			.text = "A device that forgets its iteration when the state is written "
				"gives out the last chunk twice, and such an image is wrong. A "
				"chunk whose data_size was read counts as read.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_V1 | VFM_NEED_RESET,
		.run = stop_before_ack,
	},
	{
		.is = { .name = "v1.save.anew-after-cancel",
			.title = "a save that was given up leaves nothing behind for the next",
			.source = VFM_V1_CITE_STATE "with SAVING, the driver starts "
						    "gathering",
			.text = "A chunk is read in PRE_COPY, or in STOP_COPY, and 1 is written. "
				"The next save must be whole, and an image that the device "
				"takes.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1 | VFM_NEED_RESET,
		.run = anew_after_cancel,
	},
	{
		.is = { .name = "v1.save.anew-after-reset",
			.title = "a reset in the middle of a save leaves nothing behind for the "
				 "next",
			.source = VFM_V1_CITE_STATE "a reset leads to the default state",
			.text = "The same with a reset instead of the write of 1. A reset that "
				"sets device_state and not what goes with it comes through until "
				"somebody saves the device again.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1 | VFM_NEED_RESET,
		.run = anew_after_reset,
	},
};
const size_t vfm_nr_rules_v1_save = VFM_ARRAY_SIZE(vfm_rules_v1_save);
