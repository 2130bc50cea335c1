// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about what must have been carried by an image: state that has changed, before the
 * device was saved or while it was, and what was read in PRE_COPY already.
 */

#include "check/check.h"

#include <errno.h>

#include "base/util.h"

static const struct vfm_pieces large = { VFM_CUT_LARGE, 0 };

/* So many at a time: one alone might make no difference. */
#define CHANGES 3

static int change(struct vfm_trial *t)
{
	struct vfm_err err;

	for (unsigned int i = 0; i < CHANGES; i++)
		if (t->opts->exercise->change(t->exercise, t->dev, &err))
			return vfm_trial_blocked(t, &err);
	return 0;
}

/* Of a device that saves another image each time nothing can be said. */
static int carries_change(struct vfm_trial *t)
{
	struct vfm_image before, after = { 0 };
	struct vfm_offer offer;
	size_t at;
	int ret = vfm_trial_save(t, &before);

	if (!ret)
		ret = vfm_trial_saves_the_same(t, &before, "when asked again");
	if (!ret)
		ret = vfm_trial_go(t, VFM_STATE_RUNNING);
	if (!ret)
		ret = change(t);
	if (!ret)
		ret = vfm_trial_save(t, &after);
	if (!ret && vfm_image_same(&before, &after, &at))
		ret = vfm_trial_fail(t,
				     "the state was changed %d times, and the image of %zu bytes "
				     "is the same as before",
				     CHANGES, after.size);
	if (!ret)
		ret = vfm_trial_offer(t, &after, &offer);
	if (!ret && !offer.accepted)
		ret = vfm_trial_skip(t, "could not be tried: an image after changes is refused: %s",
				     offer.why.msg);
	if (!ret)
		ret = vfm_trial_must_save(
			t, &after,
			"the device was changed, saved, reset, loaded with that, and "
			"saved again");
	vfm_image_free(&before);
	vfm_image_free(&after);
	return ret;
}

/* ---- pre-copy ------------------------------------------------------------------- */

/* Up to @n more bytes in @state, none if there is nothing now. */
static int read_part(struct vfm_trial *t, enum vfm_state state, struct vfm_image *image, size_t n)
{
	struct vfm_err err;
	int ret;

	if (!vfm_state_exists(t->migration, state))
		return 0;
	ret = vfm_trial_go(t, state);
	if (ret)
		return ret;
	ret = vfm_image_read(t, image, large, n > SIZE_MAX - image->size ? n : image->size + n,
			     &err);
	return ret && ret != -ENOMSG ? vfm_trial_blocked(t, &err) : 0;
}

/* What a device in STOP_COPY has given in several states must be an image of what it is. */
static int must_be_image_of(struct vfm_trial *t, const struct vfm_image *image, bool refused_is_it)
{
	struct vfm_image truth;
	struct vfm_offer offer;
	int ret = vfm_trial_save_again(t, &truth);

	if (!ret)
		ret = vfm_trial_offer(t, image, &offer);
	if (!ret && !offer.accepted && refused_is_it)
		ret = vfm_trial_fail(t,
				     "an image of %zu bytes, read in part in PRE_COPY and to its "
				     "end in STOP_COPY, is refused: %s",
				     image->size, offer.why.msg);
	else if (!ret && !offer.accepted)
		ret = vfm_trial_skip(t, "could not be tried: an image from pre-copy is refused: %s",
				     offer.why.msg);
	if (!ret)
		ret = vfm_trial_must_save(
			t, &truth,
			"a device was saved while it was stopped; then it was loaded with "
			"what pre-copy and stop-copy of the same state gave, and saved");
	vfm_image_free(&truth);
	return ret;
}

static int continues_once(struct vfm_trial *t, size_t size)
{
	struct vfm_image image = { 0 };
	size_t part = 64 + (size_t)(vfm_trial_random(t) % (size / 4 + 1));
	int ret = vfm_trial_reset(t);

	if (!ret)
		ret = read_part(t, VFM_STATE_PRE_COPY, &image, part);
	if (!ret)
		ret = read_part(t, VFM_STATE_PRE_COPY_P2P, &image, part / 3 + 64);
	if (!ret)
		ret = read_part(t, VFM_STATE_STOP_COPY, &image, SIZE_MAX);
	if (!ret)
		ret = must_be_image_of(t, &image, true);
	vfm_image_free(&image);
	return ret;
}

static int precopy_continues(struct vfm_trial *t)
{
	unsigned int rounds = t->opts->quick ? 2 : 6;
	struct vfm_image own;
	int ret = vfm_trial_trusted(t, &own);

	for (unsigned int i = 0; !ret && i < rounds && !vfm_trial_late(t); i++)
		ret = continues_once(t, own.size);
	vfm_image_free(&own);
	return ret;
}

/* Changes between reads, and after the last of pre-copy. */
static int read_changing(struct vfm_trial *t, struct vfm_image *image, size_t part)
{
	int ret = read_part(t, VFM_STATE_PRE_COPY, image, part);

	if (!ret)
		ret = change(t);
	if (!ret)
		ret = read_part(t, VFM_STATE_PRE_COPY, image, SIZE_MAX);
	if (!ret)
		ret = change(t);
	if (!ret)
		ret = read_part(t, VFM_STATE_PRE_COPY, image, part);
	if (!ret)
		ret = change(t);
	return ret ? ret : read_part(t, VFM_STATE_STOP_COPY, image, SIZE_MAX);
}

static int precopy_changes_carried(struct vfm_trial *t)
{
	struct vfm_image own, image = { 0 };
	int ret = vfm_trial_trusted(t, &own);

	if (!ret)
		ret = vfm_trial_go(t, VFM_STATE_RUNNING);
	if (!ret)
		ret = read_changing(t, &image,
				    64 + (size_t)(vfm_trial_random(t) % (own.size / 4 + 1)));
	if (!ret)
		ret = must_be_image_of(t, &image, false);
	vfm_image_free(&own);
	vfm_image_free(&image);
	return ret;
}

#define RESUMING_STOP "uAPI, enum vfio_device_mig_state, RESUMING -> STOP"

const struct vfm_rule vfm_rules_carry[] = {
	{
		.is = { .name = "v2.image.carries-change",
			.title = "state that has changed is in the image, and is there after "
				 "loading",
			.source = RESUMING_STOP ": the device has the state that was saved",
			.text = "A device that saves what it was made with, or checks an image and "
				"does not apply it, comes through every test that loads an image "
				"into a twin. So the state is changed first, in the way that is "
				"given for this device: the image must be another one then, and "
				"after a reset and a load the device must save that one again.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET | VFM_NEED_CHANGE,
		.run = carries_change,
	},
	{
		.is = { .name = "v2.image.precopy-continues",
			.title = "STOP_COPY goes on where reading in PRE_COPY has stopped",
			.source =
				"uAPI, enum vfio_device_mig_state: PRE_COPY to STOP_COPY keeps the "
				"data session; what is read in both is one stream",
			.text = "When pre-copy was added to one driver, its read function forgot "
				"to "
				"add the position in the session to the place it copied from: what "
				"had been read was given out again, and what was at the end never. "
				"Nothing failed but the device at the destination.\n\n"
				"Some bytes are read in PRE_COPY, up to a random place that need "
				"not be the end of anything, some in PRE_COPY_P2P if there is one, "
				"and the rest in STOP_COPY. That must be an image, and give the "
				"state that the stopped device has.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_PRE_COPY | VFM_NEED_RESET,
		.run = precopy_continues,
	},
	{
		.is = { .name = "v2.image.precopy-changes-carried",
			.title = "what changes while PRE_COPY is read is in the image",
			.source = "uAPI, enum vfio_device_mig_state, PRE_COPY: the device runs and "
				  "changes, and all of its state has been given at the end",
			.text = "State that was given out once and changed after that has to be "
				"given out again, in PRE_COPY or in STOP_COPY. The state is "
				"changed "
				"before, between and after reads; then the device must have, when "
				"loaded with all of that, what it had when it was stopped.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_PRE_COPY | VFM_NEED_RESET | VFM_NEED_CHANGE,
		.run = precopy_changes_carried,
	},
};
const size_t vfm_nr_rules_carry = VFM_ARRAY_SIZE(vfm_rules_carry);
