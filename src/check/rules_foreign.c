// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about what is no image of this device: other bytes, those of another model, and too
 * many of them. It is refused, now and later, and the device is sound after a reset.
 */

#include "check/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* Bytes of a start that is spoiled. */
#define START 32u

/* ---- not its own ---------------------------------------------------------------- */

static void fill_zeros(struct vfm_trial *t, uint8_t *data, size_t size)
{
	(void)t;
	memset(data, 0, size);
}

static void fill_random(struct vfm_trial *t, uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)vfm_trial_random(t);
}

static void fill_text(struct vfm_trial *t, uint8_t *data, size_t size)
{
	static const char text[] = "this is not an image of any device\n";

	(void)t;
	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)text[i % (sizeof(text) - 1)];
}

static const struct {
	void (*fill)(struct vfm_trial *t, uint8_t *data, size_t size);
	const char *what;
} fillings[] = {
	{ fill_zeros, "zeros" },
	{ fill_random, "random bytes" },
	{ fill_text, "a text" },
};

static int foreign(struct vfm_trial *t)
{
	struct vfm_image image, other;
	char what[96];
	int ret = vfm_trial_good(t, &image);

	for (size_t i = 0; !ret && i < 2 * VFM_ARRAY_SIZE(fillings) && !vfm_trial_late(t); i++) {
		ret = vfm_image_copy(t, &image, 0, &other);
		if (ret)
			break;
		if (i % 2)
			other.size = VFM_MIN(image.size, (size_t)4096);
		fillings[i / 2].fill(t, other.data, other.size);
		snprintf(what, sizeof(what), "%s, %zu bytes, where an image has %zu,",
			 fillings[i / 2].what, other.size, image.size);
		ret = vfm_trial_must_refuse(t, &other, what);
		free(other.data);
	}
	vfm_image_free(&image);
	return ret;
}

/* Where the image tells the model; NULL: it does not, and the rule is skipped. */
static uint8_t *find_model(struct vfm_trial *t, const struct vfm_image *image,
			   struct vfm_compat *compat)
{
	uint8_t *at;

	if (vfm_device_get_compat(t->dev, compat, NULL) || !compat->model[0]) {
		vfm_trial_skip(t, "the device does not tell its model");
		return NULL;
	}
	at = memmem(image->data, image->size, compat->model, strlen(compat->model));
	if (!at)
		vfm_trial_skip(t, "the image does not have the name of the model");
	return at;
}

static int other_model(struct vfm_trial *t)
{
	struct vfm_compat compat;
	struct vfm_image image;
	char what[96 + VFM_MODEL_TEXT];
	int ret = vfm_trial_good(t, &image);
	uint8_t *model = ret ? NULL : find_model(t, &image, &compat);

	for (size_t i = 0; model && !ret && compat.model[i] && !vfm_trial_late(t); i++) {
		model[i] ^= 1;
		snprintf(what, sizeof(what), "an image of the model \"%.*s\"",
			 (int)strlen(compat.model), (const char *)model);
		ret = vfm_trial_must_refuse(t, &image, what);
		model[i] ^= 1;
	}
	vfm_image_free(&image);
	return ret;
}

/* ---- too long ------------------------------------------------------------------- */

static int twice(struct vfm_trial *t)
{
	struct vfm_image image, both;
	int ret = vfm_trial_good(t, &image);

	if (!ret) {
		ret = vfm_image_copy(t, &image, image.size, &both);
		if (!ret) {
			memcpy(both.data + image.size, image.data, image.size);
			both.size *= 2;
			ret = vfm_trial_must_refuse(t, &both, "an image that was written twice");
			free(both.data);
		}
	}
	vfm_image_free(&image);
	return ret;
}

static const size_t surplus[] = { 1, 16, 4096, 65536 };

static int too_long(struct vfm_trial *t, const struct vfm_image *image, size_t more, bool zeros)
{
	struct vfm_image longer;
	char what[96];
	int ret = vfm_image_copy(t, image, more, &longer);

	if (ret)
		return ret;
	(zeros ? fill_zeros : fill_random)(t, longer.data + image->size, more);
	longer.size += more;
	snprintf(what, sizeof(what), "an image of %zu bytes with %zu %s behind its end",
		 image->size, more, zeros ? "zeros" : "random bytes");
	ret = vfm_trial_must_refuse(t, &longer, what);
	free(longer.data);
	return ret;
}

static int oversize(struct vfm_trial *t)
{
	struct vfm_image image;
	int ret = vfm_trial_good(t, &image);

	for (size_t i = 0; !ret && i < 2 * VFM_ARRAY_SIZE(surplus) && !vfm_trial_late(t); i++)
		ret = too_long(t, &image, surplus[i / 2], i % 2);
	vfm_image_free(&image);
	return ret;
}

#define FAR ((size_t)16 << 20)

/* Whatever the device says, as long as it is there after it. */
static int far_too_long(struct vfm_trial *t)
{
	static uint8_t more[65536];
	struct vfm_image image;
	struct vfm_offer offer;
	struct vfm_err err;
	int ret = vfm_trial_good(t, &image);

	if (!ret)
		ret = vfm_trial_reset(t);
	if (!ret)
		ret = vfm_trial_write(t, &image);
	fill_random(t, more, sizeof(more));
	for (size_t done = 0; !ret && done < FAR && !vfm_trial_late(t); done += sizeof(more))
		if (vfm_device_write_data(t->dev, more, sizeof(more), &err))
			break;
	if (!ret)
		vfm_trial_prove(t, &offer);
	if (!ret && vfm_device_reset(t->dev, &err))
		ret = vfm_trial_fail(t,
				     "after an image of %zu bytes with up to %zu more the device "
				     "cannot be reset: %s",
				     image.size, FAR, err.msg);
	vfm_image_free(&image);
	return ret;
}

/* ---- after a refusal ------------------------------------------------------------ */

/* An image of which the first bytes are wrong: refused early by some, and late by others. */
static int spoiled(struct vfm_trial *t, const struct vfm_image *image, struct vfm_image *bad)
{
	int ret = vfm_image_copy(t, image, 0, bad);

	for (size_t i = 0; !ret && i < VFM_MIN(bad->size, (size_t)START); i++)
		bad->data[i] = (uint8_t)~bad->data[i];
	return ret;
}

static int refusal_lasts(struct vfm_trial *t)
{
	struct vfm_image image, bad;
	struct vfm_offer offer;
	char first[300];
	int ret = vfm_trial_good(t, &image);

	if (!ret)
		ret = spoiled(t, &image, &bad);
	if (!ret) {
		ret = vfm_trial_offer(t, &bad, &offer);
		free(bad.data);
	}
	vfm_image_free(&image);
	if (!ret && offer.accepted)
		ret = vfm_trial_skip(t, "could not be tried: an image with a wrong start is "
					"accepted");
	snprintf(first, sizeof(first), "%.250s", ret ? "" : offer.why.msg);
	for (unsigned int i = 0; !ret && i < 2 && vfm_trial_is_in(t, VFM_STATE_RESUMING); i++) {
		vfm_trial_prove(t, &offer);
		if (offer.accepted)
			ret = vfm_trial_fail(t,
					     "an image was refused (%s), and RESUMING -> STOP was "
					     "accepted after that",
					     first);
	}
	return ret;
}

/* Reset, running, saving and loading: all of it must be as before. */
static int must_work(struct vfm_trial *t, const struct vfm_image *image, const char *after)
{
	struct vfm_image again = { 0 };
	struct vfm_offer offer;
	struct vfm_err err;
	int ret;

	if (vfm_device_reset(t->dev, &err))
		return vfm_trial_fail(t, "after %s the device cannot be reset: %s", after, err.msg);
	ret = vfm_trial_in_state(t, VFM_STATE_RUNNING, "the reset");
	if (ret)
		return ret;
	ret = vfm_device_set_state(t->dev, VFM_STATE_STOP_COPY, &err);
	if (!ret)
		ret = vfm_image_read(t, &again, (struct vfm_pieces){ VFM_CUT_LARGE, 0 }, SIZE_MAX,
				     &err);
	vfm_image_free(&again);
	if (ret == -EFBIG)
		return vfm_trial_blocked(t, &err);
	if (ret)
		return vfm_trial_fail(t, "after %s and a reset the device cannot be saved: %s",
				      after, ret == -ENOMSG ? "it has no data" : err.msg);
	ret = vfm_trial_offer(t, image, &offer);
	if (!ret && !offer.accepted)
		ret = vfm_trial_fail(t, "after %s and a reset the device refuses a good image: %s",
				     after, offer.why.msg);
	return ret;
}

static int recovers(struct vfm_trial *t)
{
	struct vfm_image image, bad = { 0 };
	struct vfm_offer offer;
	int ret = vfm_trial_good(t, &image);

	for (unsigned int i = 0; !ret && i < 2; i++) {
		ret = i ? spoiled(t, &image, &bad) : vfm_image_copy(t, &image, 0, &bad);
		if (ret)
			break;
		if (!i)
			bad.size /= 2;
		ret = vfm_trial_offer(t, &bad, &offer);
		free(bad.data);
		if (!ret && offer.accepted)
			ret = vfm_trial_skip(t, "could not be tried: a damaged image is accepted");
		if (!ret)
			ret = must_work(t, &image,
					i ? "an image with a wrong start" : "half of an image");
	}
	vfm_image_free(&image);
	return ret;
}

const struct vfm_rule vfm_rules_foreign[] = {
	{
		.is = { .name = "v2.damage.recovers",
			.title = "after an image was refused the device works again when it is "
				 "reset",
			.source = "uAPI, VFIO_DEVICE_RESET: from every state to RUNNING, with the "
				  "state of a device that "
				  "was just opened",
			.text = "A migration that has failed is tried again, into the same "
				"device. After half of an image, and after one with a wrong "
				"start, the device is reset, and must be RUNNING, be saved, and "
				"load a good image.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = recovers,
	},
	{
		.is = { .name = "v2.damage.foreign-refused",
			.title = "what is no image at all is refused",
			.source = VFM_CITE_PROVED,
			.text = "Somebody gives the wrong file. Zeros, random bytes and a text "
				"are written, as many as an image has, and fewer. A device "
				"whose images are recognised by their size alone takes these "
				"for its registers.\n\n"
				"Put a number in front by which an image is known.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = foreign,
	},
	{
		.is = { .name = "v2.damage.other-model-refused",
			.title = "an image with the name of another model is refused",
			.source = "<vfmig/device.h>, vfm_device_write_data(): data of another "
				  "device model is refused; "
				  "uAPI: compatibility is the device's to check",
			.text = "Devices of two models, or versions, may have images that look "
				"alike. The name that the device tells of itself is looked for "
				"in its image, and each of its letters changed, in an attempt "
				"of its own. A device that does not tell one, or has no name in "
				"its images, skips this.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = other_model,
	},
	{
		.is = { .name = "v2.damage.twice-refused",
			.title = "an image that is written twice is refused",
			.source = VFM_CITE_PROVED,
			.text = "A sender that begins anew after an error on the same "
				"connection sends the start of an image again, and then all of "
				"it. Behind the end of an image there is nothing.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = twice,
	},
	{
		.is = { .name = "v2.damage.oversize-refused",
			.title = "bytes behind the end of an image are refused",
			.source = VFM_CITE_PROVED,
			.text = "An image of the right length with something behind it is not "
				"the one that was saved. Zeros and random bytes, from 1 to 64 "
				"KiB, are written behind a good one. A driver that stops "
				"listening at its end does not see that two images were mixed "
				"up, or that the sender is of a later version and has more to "
				"say.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = oversize,
	},
	{
		.is = { .name = "v2.damage.far-too-long",
			.title = "a stream without an end does no harm",
			.source = "uAPI, data session: sizes that come from user space are "
				  "checked; the thread and the "
				  "drivers have the mends",
			.text = "Drivers keep what is written in a buffer of the size that an "
				"image can have, and forget to compare. Behind a good image up "
				"to 16 MiB are written. Whether the device refuses them is the "
				"business of another rule; here it must be there after that, "
				"and be able to be reset.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = far_too_long,
	},
	{
		.is = { .name = "v2.damage.refusal-lasts",
			.title = "after an image was refused RESUMING -> STOP is refused, too",
			.source = VFM_CITE_PROVED,
			.text = "The error of one write is easily lost: by a program that looks "
				"at the last result only, or since the next write begins a new "
				"record. The first bytes of an image are spoiled; once that is "
				"refused, by a write or when asked for STOP, STOP must be "
				"refused until the device is reset.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = refusal_lasts,
	},
};
const size_t vfm_nr_rules_foreign = VFM_ARRAY_SIZE(vfm_rules_foreign);
