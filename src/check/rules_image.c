// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about images as a whole: that what was saved is what is loaded, in whatever pieces
 * it goes, and that saving does nothing to the device. Content is opaque; so two images
 * are compared, of a device that must be in the same state, byte by byte. Where a device
 * makes another image each time, for reasons of its own, these rules are skipped.
 */

#include "check/check.h"

#include <errno.h>

#include "base/util.h"

static const struct vfm_pieces large = { VFM_CUT_LARGE, 0 };

/* ---- one image ------------------------------------------------------------------ */

/* A device that lives on from rule to rule may have been loaded by others before. */
static int save_fresh(struct vfm_trial *t, struct vfm_image *image)
{
	int ret = vfm_trial_reset(t);

	*image = (struct vfm_image){ 0 };
	return ret ? ret : vfm_trial_save(t, image);
}

static int loads(struct vfm_trial *t)
{
	struct vfm_image image;
	struct vfm_offer offer;
	int ret = save_fresh(t, &image);

	if (!ret)
		ret = vfm_trial_offer(t, &image, &offer);
	if (!ret && !offer.accepted)
		ret = vfm_trial_fail(t,
				     "the device refuses the image that it has just saved, of "
				     "%zu bytes: %s",
				     image.size, offer.why.msg);
	vfm_image_free(&image);
	return ret;
}

static int reading_changes_nothing(struct vfm_trial *t)
{
	struct vfm_image image;
	int ret = vfm_trial_save(t, &image);

	for (unsigned int i = 0; !ret && i < 2; i++)
		ret = vfm_trial_must_save(t, &image,
					  "the device was stopped, saved and saved again");
	vfm_image_free(&image);
	return ret;
}

/* @most of the data of a new session. @got: what came of that. */
static int read_anew(struct vfm_trial *t, struct vfm_image *image, struct vfm_pieces pieces,
		     size_t most, int *got, struct vfm_err *err)
{
	int ret = vfm_trial_go(t, VFM_STATE_STOP);

	if (!ret)
		ret = vfm_trial_go(t, VFM_STATE_STOP_COPY);
	*got = ret ? 0 : vfm_image_read(t, image, pieces, most, err);
	return ret;
}

/* In a session that is then given up. */
static int abort_save(struct vfm_trial *t, size_t most)
{
	struct vfm_image part = { 0 };
	struct vfm_err err;
	int got, ret = read_anew(t, &part, large, most, &got, &err);

	vfm_image_free(&part);
	return ret || !got ? ret : vfm_trial_blocked(t, &err);
}

static int aborted_save_leaves_nothing(struct vfm_trial *t)
{
	struct vfm_image image;
	int ret = vfm_trial_trusted(t, &image);

	for (unsigned int i = 0; !ret && i < 3 && !vfm_trial_late(t); i++) {
		ret = abort_save(t, 1 + (size_t)(vfm_trial_random(t) % image.size));
		if (!ret)
			ret = vfm_trial_must_save(
				t, &image,
				"a stopped device was saved, saved in part, and saved "
				"again from the beginning");
	}
	vfm_image_free(&image);
	return ret;
}

/* Here the second image is the finding, and not what bars the way, as it is elsewhere. */
static int round_trip(struct vfm_trial *t)
{
	struct vfm_image image;
	struct vfm_offer offer;
	int ret = save_fresh(t, &image);

	if (!ret)
		ret = vfm_trial_saves_the_same(t, &image, "when asked again");
	if (!ret)
		ret = vfm_trial_offer(t, &image, &offer);
	if (!ret && !offer.accepted)
		ret = vfm_trial_skip(t, "could not be tried: the device refuses its own image: %s",
				     offer.why.msg);
	if (!ret)
		ret = vfm_trial_must_save(
			t, &image,
			"the device was saved, reset, loaded with that, and saved again");
	vfm_image_free(&image);
	return ret;
}

/* ---- pieces --------------------------------------------------------------------- */

/* The image in other pieces is another one: it may be cut into records by what is asked for. */
static int same_state(struct vfm_trial *t, const struct vfm_image *image,
		      const struct vfm_image *other, enum vfm_cut cut)
{
	struct vfm_offer offer;
	size_t at;
	int ret;

	if (vfm_image_same(image, other, &at))
		return 0;
	ret = vfm_trial_offer(t, other, &offer);
	if (!ret && !offer.accepted)
		return vfm_trial_fail(t,
				      "read in %s the image has %zu bytes, read in %s %zu, which "
				      "differ from byte %zu on and are refused: %s",
				      vfm_cut_name(VFM_CUT_LARGE), image->size, vfm_cut_name(cut),
				      other->size, at, offer.why.msg);
	return ret ? ret
		   : vfm_trial_must_save(t, image,
					 "an image that was read in other pieces was loaded");
}

static int read_sizes(struct vfm_trial *t)
{
	struct vfm_image image;
	int ret = vfm_trial_trusted(t, &image);

	for (unsigned int cut = VFM_CUT_BYTE; !ret && cut < VFM_NR_CUTS && !vfm_trial_late(t);
	     cut++) {
		const struct vfm_pieces pieces = { (enum vfm_cut)cut, image.size };
		struct vfm_image other = { 0 };
		struct vfm_err err;
		int got;

		ret = read_anew(t, &other, pieces, SIZE_MAX, &got, &err);
		if (!ret && got == -EFBIG)
			ret = vfm_trial_blocked(t, &err);
		else if (!ret && got)
			ret = vfm_trial_fail(t, "reading in %s fails after %zu bytes: %s",
					     vfm_cut_name(pieces.cut), other.size, err.msg);
		if (!ret)
			ret = same_state(t, &image, &other, pieces.cut);
		vfm_image_free(&other);
	}
	vfm_image_free(&image);
	return ret;
}

static int write_sizes(struct vfm_trial *t)
{
	struct vfm_image image;
	int ret = vfm_trial_trusted(t, &image);

	for (unsigned int cut = VFM_CUT_BYTE; !ret && cut < VFM_NR_CUTS && !vfm_trial_late(t);
	     cut++) {
		struct vfm_offer offer;

		ret = vfm_trial_reset(t);
		if (!ret)
			ret = vfm_trial_load(t, &image, (enum vfm_cut)cut, &offer);
		if (!ret && !offer.accepted)
			ret = vfm_trial_fail(t, "an image is taken in %s, and refused in %s: %s",
					     vfm_cut_name(VFM_CUT_LARGE),
					     vfm_cut_name((enum vfm_cut)cut), offer.why.msg);
		if (!ret)
			ret = vfm_trial_must_save(
				t, &image,
				"a device was saved, loaded in other pieces, and saved "
				"again");
	}
	vfm_image_free(&image);
	return ret;
}

/* The ends of chunks, as two sessions have shown them. */
static int compare_ends(struct vfm_trial *t, const struct vfm_image *a, const struct vfm_image *b,
			enum vfm_cut cut)
{
	size_t n = VFM_MIN(a->nr_ends, b->nr_ends);

	if (a->size != b->size)
		return vfm_trial_skip(t,
				      "could not be tried: read in %s the image has %zu bytes "
				      "and not %zu",
				      vfm_cut_name(cut), b->size, a->size);
	for (size_t i = 0; i < n; i++)
		if (a->ends[i] != b->ends[i])
			return vfm_trial_fail(t,
					      "chunk %zu ends at byte %zu, and at byte %zu when "
					      "read in %s",
					      i, a->ends[i], b->ends[i], vfm_cut_name(cut));
	if (a->nr_ends != b->nr_ends)
		return vfm_trial_fail(t, "the image has %zu chunks, and %zu when read in %s",
				      a->nr_ends, b->nr_ends, vfm_cut_name(cut));
	return 0;
}

static int chunks_kept(struct vfm_trial *t)
{
	struct vfm_image image;
	int ret = vfm_trial_good(t, &image);

	if (!ret && !image.nr_ends)
		ret = vfm_trial_skip(t, "the data of this device is not cut into chunks");
	for (unsigned int cut = VFM_CUT_ODD; !ret && cut < VFM_NR_CUTS && !vfm_trial_late(t);
	     cut++) {
		const struct vfm_pieces pieces = { (enum vfm_cut)cut, image.size };
		struct vfm_image other = { 0 };
		struct vfm_err err;
		int got;

		ret = read_anew(t, &other, pieces, SIZE_MAX, &got, &err);
		if (!ret && got)
			ret = vfm_trial_blocked(t, &err);
		if (!ret)
			ret = compare_ends(t, &image, &other, pieces.cut);
		vfm_image_free(&other);
	}
	vfm_image_free(&image);
	return ret;
}

/* ---- and back ------------------------------------------------------------------- */

/* From a device that was loaded: it runs, and is the source, and the destination again. */
static int once_more(struct vfm_trial *t)
{
	struct vfm_image image;
	struct vfm_offer offer;
	struct vfm_err err;
	int ret;

	if (vfm_device_set_state(t->dev, VFM_STATE_RUNNING, &err))
		return vfm_trial_fail(t, "a device that was loaded does not run: %s", err.msg);
	ret = vfm_trial_save(t, &image);
	if (!ret)
		ret = vfm_trial_load(t, &image, VFM_CUT_LARGE, &offer);
	if (!ret && !offer.accepted)
		ret = vfm_trial_fail(t,
				     "a device that was loaded, and has run, was saved; it refuses "
				     "that image: %s",
				     offer.why.msg);
	vfm_image_free(&image);
	return ret;
}

static int there_and_back(struct vfm_trial *t)
{
	struct vfm_image own;
	int ret = vfm_trial_trusted(t, &own);

	vfm_image_free(&own);
	for (unsigned int i = 0; !ret && i < 3 && !vfm_trial_late(t); i++)
		ret = once_more(t);
	return ret;
}

#define RESUMING_STOP "uAPI, enum vfio_device_mig_state, RESUMING -> STOP"

const struct vfm_rule vfm_rules_image[] = {
	{
		.is = { .name = "v2.image.loads",
			.title = "the device loads the image that it has saved",
			.source = RESUMING_STOP ": completes the restore of what was written",
			.text = "The device is saved, reset, brought to RESUMING, given all bytes "
				"in the order in which they came, and brought to STOP. No step may "
				"fail. Everything that is said of images rests on that, so where "
				"this rule fails many others are skipped.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = loads,
	},
	{
		.is = { .name = "v2.image.reading-changes-nothing",
			.title = "a stopped device that is saved twice gives the same image",
			.source = "uAPI, enum vfio_device_mig_state, STOP and STOP_COPY: the "
				  "internal "
				  "state does not change",
			.text = "Whoever saves a device that stays where it is, for a backup or "
				"since "
				"the destination has failed, leaves it as it was. The device goes "
				"from STOP to STOP_COPY, and back, three times.\n\n"
				"Images may differ for good reasons, such as a time or a number "
				"that is drawn; then this rule fails without harm, and all rules "
				"that compare images are skipped. Better keep such things out of "
				"them.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_STOP_COPY,
		.run = reading_changes_nothing,
	},
	{
		.is = { .name = "v2.image.round-trip",
			.title = "what was loaded is what is saved again",
			.source = RESUMING_STOP ": the device has the state that was saved",
			.text = "Saved, reset, loaded and saved again, the two images must be "
				"equal, "
				"byte by byte. What is lost on the way, or gets a value of the "
				"destination's, shows in the second one, if it shows anywhere.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = round_trip,
	},
	{
		.is = { .name = "v2.image.read-sizes",
			.title = "the image is the same in whatever pieces it is read",
			.source = "uAPI, data session: a stream of bytes, read with read(); how it "
				  "is "
				  "cut has no meaning",
			.text = "Read in pieces of 1 byte, 61 bytes, a page, and of random sizes, "
				"an "
				"image must come out like one that is read in pieces of 1 MiB. A "
				"driver that makes a record for each read, and drops what does not "
				"fit, loses data with some users and not with others. An image "
				"that differs passes if it gives the same state.\n\n"
				"Of a large image only both ends are read in small pieces.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = read_sizes,
	},
	{
		.is = { .name = "v2.image.write-sizes",
			.title = "an image is taken in whatever pieces it is written",
			.source =
				"uAPI, data session: a stream of bytes, written with write(); how "
				"it is cut has no meaning",
			.text = "On its way an image is cut anew by files, sockets and buffers. A "
				"device that expects its header in one write, or counts in words, "
				"works until somebody takes another buffer size. Written in pieces "
				"of 1 byte, 61 bytes, a page, and of random sizes it must be "
				"accepted, and give the same state.\n\n"
				"Where data has chunks, as with protocol v1, these are kept.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = write_sizes,
	},
	{
		.is = { .name = "v2.image.chunks-kept",
			.title = "chunks end where they end, in whatever pieces they are read",
			.source =
				"protocol v1, the thread: data is written in the same transaction "
				"sizes as it was read; <vfmig/device.h>, vfm_device_read_chunk()",
			.text = "Protocol v1 hands out data in transactions, and wants them back "
				"in "
				"the same sizes. How much of one a user reads at a time must not "
				"move its end. Devices whose data is not cut into chunks skip "
				"this.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = chunks_kept,
	},
	{
		.is = { .name = "v2.image.aborted-save-leaves-nothing",
			.title = "after a session that was given up the next begins at the "
				 "beginning",
			.source = "uAPI, enum vfio_device_mig_state: STOP to STOP_COPY opens a new "
				  "data "
				  "session, with all of the state",
			.text = "A migration that fails in the middle leaves a session half read. "
				"A "
				"position, a buffer or a list that outlives it makes the next "
				"image "
				"one of the rest. A random part of the data is read, the device "
				"goes back to STOP, and is saved.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = aborted_save_leaves_nothing,
	},
	{
		.is = { .name = "v2.image.there-and-back",
			.title = "a device that was loaded runs, and can be moved again",
			.source = "uAPI, enum vfio_device_mig_state: no arc depends on how a state "
				  "was "
				  "reached",
			.text = "A machine that has moved to another host comes back some day, and "
				"devices are known that did not bear it. Three times the device "
				"runs after it was loaded, is saved, and loads that, without a "
				"reset in between.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = there_and_back,
	},
};
const size_t vfm_nr_rules_image = VFM_ARRAY_SIZE(vfm_rules_image);
