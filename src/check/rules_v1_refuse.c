// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about images that must not be taken. v1 has no mark for the end of an image: where a
 * device can find that something is wrong is each transaction, and at the latest the write
 * of RUNNING, which is the last moment before a wrong device runs.
 */

#include "check/v1_trial.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* Tries of one kind. */
static unsigned int few(const struct vfm_trial *t)
{
	return t->opts->quick ? 2 : 8;
}

/* Saved, and loaded once: else that a bad one is refused would mean nothing. */
static int save_good(struct vfm_trial *t, struct vfm_v1_image *image)
{
	int ret = vfm_trial_v1_save(t, image);

	return ret ? ret : vfm_trial_v1_load(t, image);
}

/* Written in the usual way, @size bytes of it, and 1 after that; 0: it was taken. */
static int try_bad(struct vfm_trial *t, const struct vfm_v1_image *image, size_t size, bool *taken)
{
	struct vfm_err err;
	int ret = vfm_trial_v1_resuming(t);

	*taken = false;
	if (!ret)
		*taken = !vfm_v1_send(t, image, size, &err) &&
			 !vfm_v1_set_state(t, VFM_V1_STATE_RUNNING, &err);
	return ret;
}

/* ---- incomplete ---------------------------------------------------------------------- */

static int refuse_truncated(struct vfm_trial *t, const struct vfm_v1_image *image, size_t size)
{
	bool taken;
	int ret = try_bad(t, image, size, &taken);

	if (!ret && taken)
		ret = vfm_trial_fail(t,
				     "the first %zu of the %zu bytes of an image were loaded, 1 "
				     "was written, and not refused",
				     size, image->size);
	return ret;
}

static int truncated(struct vfm_trial *t)
{
	vfm_auto_image struct vfm_v1_image image = { NULL };
	size_t step, at = 0;
	int ret = save_good(t, &image);

	if (ret)
		return ret;
	step = VFM_MAX(image.nr_chunks / few(t), (size_t)1);
	for (size_t i = 0; !ret && i + 1 < image.nr_chunks; i++) {
		at += image.chunks[i];
		if (i % step == 0 || i + 2 == image.nr_chunks)
			ret = refuse_truncated(t, &image, at);
	}
	for (unsigned int i = 0; !ret && image.size > 1 && i < few(t); i++)
		ret = refuse_truncated(t, &image,
				       1 + (size_t)(vfm_trial_random(t) % (image.size - 1)));
	return ret || image.size < 2 ? ret : refuse_truncated(t, &image, image.size - 1);
}

static int empty(struct vfm_trial *t)
{
	vfm_auto_image struct vfm_v1_image image = { NULL };
	bool taken;
	int ret = save_good(t, &image);

	if (!ret)
		ret = try_bad(t, &image, 0, &taken);
	if (!ret && taken)
		ret = vfm_trial_fail(t,
				     "RESUMING was left for RUNNING without any data, and that was "
				     "not refused; an image has %zu bytes",
				     image.size);
	return ret;
}

/* ---- wrong ----------------------------------------------------------------------------- */

static void make_foreign(struct vfm_trial *t, struct vfm_v1_image *image)
{
	for (size_t at = 0; at < image->size; at += sizeof(uint64_t)) {
		uint64_t random = vfm_trial_random(t);

		memcpy(image->data + at, &random, VFM_MIN(image->size - at, sizeof(random)));
	}
}

static int foreign(struct vfm_trial *t)
{
	vfm_auto_image struct vfm_v1_image image = { NULL };
	bool taken;
	int ret = save_good(t, &image);

	if (ret)
		return ret;
	make_foreign(t, &image);
	ret = try_bad(t, &image, image.size, &taken);
	if (!ret && taken)
		ret = vfm_trial_fail(t,
				     "%zu random bytes, cut as an image is, were loaded and not "
				     "refused",
				     image.size);
	return ret;
}

static int damaged(struct vfm_trial *t)
{
	vfm_auto_image struct vfm_v1_image image = { NULL };
	int ret = save_good(t, &image);

	for (unsigned int i = 0; !ret && i < few(t); i++) {
		size_t at = (size_t)(vfm_trial_random(t) % image.size);
		unsigned int bit = vfm_trial_random(t) % 8;
		bool taken;

		image.data[at] ^= (uint8_t)(1u << bit);
		ret = try_bad(t, &image, image.size, &taken);
		image.data[at] ^= (uint8_t)(1u << bit);
		if (!ret && taken)
			ret = vfm_trial_fail(t,
					     "an image of %zu bytes with bit %u of byte %zu "
					     "flipped was loaded and not refused",
					     image.size, bit, at);
	}
	return ret;
}

/* All of it, and all of it again. */
static int twice(struct vfm_trial *t)
{
	vfm_auto_image struct vfm_v1_image image = { NULL };
	struct vfm_err err;
	int ret = save_good(t, &image);

	if (!ret)
		ret = vfm_trial_v1_resuming(t);
	if (ret)
		return ret;
	if (vfm_v1_send(t, &image, image.size, &err))
		return vfm_trial_blocked(t, &err);
	if (!vfm_v1_resume(t, &image, &err))
		return vfm_trial_fail(t,
				      "an image of %zu bytes was written twice, one behind the "
				      "other, and not refused",
				      image.size);
	return 0;
}

static int refuse_size(struct vfm_trial *t, uint64_t offset, uint64_t size)
{
	uint64_t room = t->described.size - offset;

	if (size <= room || vfm_v1_put(t, VFM_V1_DATA_SIZE, size, NULL))
		return 0;
	return vfm_trial_fail(t,
			      "data_size 0x%" PRIx64
			      " was written and not refused; from data_offset 0x%" PRIx64
			      " the region has 0x%" PRIx64 " bytes",
			      size, offset, room);
}

static int oversize(struct vfm_trial *t)
{
	static const uint64_t sizes[] = { UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX };
	uint64_t offset = 0;
	int ret = vfm_trial_v1_go(t, VFM_V1_STATE_RESUMING);

	if (!ret)
		ret = vfm_trial_v1_get(t, VFM_V1_DATA_OFFSET, &offset);
	if (!ret && offset > t->described.size)
		ret = vfm_trial_skip(t, "could not be tried: data_offset is beyond the region");
	if (!ret)
		ret = refuse_size(t, offset, t->described.size - offset + 1);
	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(sizes); i++)
		ret = refuse_size(t, offset, sizes[i]);
	return ret ? ret : refuse_size(t, offset, 0 - offset);
}

/* ---- and after that ----------------------------------------------------------------------- */

static int must_recover(struct vfm_trial *t, const struct vfm_v1_image *good, const char *after)
{
	struct vfm_v1_state now;
	struct vfm_err err;
	int ret;

	if (vfm_device_reset(t->dev, &err))
		return vfm_trial_fail(t, "after %s, a reset failed: %s", after, err.msg);
	ret = vfm_trial_v1_state(t, &now);
	if (!ret && vfm_v1_bits(now) != VFM_V1_RUNNING)
		return vfm_trial_fail(t,
				      "after %s, it was reset; then device_state read 0x%x, and "
				      "not RUNNING",
				      after, now.word);
	if (!ret)
		ret = vfm_trial_v1_go(t, VFM_V1_STATE_RESUMING);
	if (!ret && vfm_v1_resume(t, good, &err))
		ret = vfm_trial_fail(t,
				     "after %s and a reset, an image that had been taken before "
				     "was refused: %s",
				     after, err.msg);
	return ret;
}

static int recovers(struct vfm_trial *t)
{
	vfm_auto_image struct vfm_v1_image good = { NULL };
	vfm_auto_image struct vfm_v1_image bad = { NULL };
	struct vfm_err err;
	bool taken;
	int ret = save_good(t, &good);

	if (!ret)
		ret = vfm_trial_v1_save(t, &bad);
	if (!ret)
		ret = vfm_trial_v1_resuming(t);
	if (!ret && vfm_v1_send(t, &good, good.size / 2, &err))
		ret = vfm_trial_blocked(t, &err);
	if (!ret)
		ret = must_recover(t, &good, "half an image, and no more");
	if (!ret)
		ret = try_bad(t, &good, good.size / 2, &taken);
	if (!ret)
		ret = must_recover(t, &good, "half an image, and 1");
	if (ret)
		return ret;
	make_foreign(t, &bad);
	ret = try_bad(t, &bad, bad.size, &taken);
	return ret ? ret : must_recover(t, &good, "random bytes for an image");
}

#define CONTRACT                                                                                   \
	"<vfmig/device.h>, vfm_device_set_state(): leaving RESUMING proves the image; the "        \
	"thread, device_state: a transition that fails returns an error"

const struct vfm_rule vfm_rules_v1_refuse[] = {
	{
		.is = { .name = "v1.refuse.truncated",
			.title = "an image of which the end is missing is refused",
			.source = CONTRACT,
			.text = "A source that dies in the middle of a save leaves such an image, "
				"and the write of RUNNING is where a device can find it. Tried "
				"are cuts between chunks, at random bytes, and before the last "
				"one. The device tells how much there has to be, by a length at "
				"the start or a mark at the end.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1 | VFM_NEED_RESET,
		.run = truncated,
	},
	{
		.is = { .name = "v1.refuse.empty",
			.title = "RESUMING is not left for RUNNING without an image",
			.source = CONTRACT,
			.text = "A destination whose source never sent anything would run with the "
				"state of a reset, and its guest would not know.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_V1 | VFM_NEED_RESET,
		.run = empty,
	},
	{
		.is = { .name = "v1.refuse.foreign",
			.title = "bytes that are no image are refused",
			.source = CONTRACT,
			.text = "Random bytes in the sizes of an image. A device that takes "
				"them takes the image of any other device, too.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1 | VFM_NEED_RESET,
		.run = foreign,
	},
	{
		.is = { .name = "v1.refuse.damaged",
			.title = "an image with one bit flipped is refused",
			.source = CONTRACT,
			.text = "Tried at a few random places. Give each record a checksum: not "
				"all ways that an image takes have one.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_V1 | VFM_NEED_RESET,
		.run = damaged,
	},
	{
		.is = { .name = "v1.refuse.twice",
			.title = "data behind the end of an image is refused",
			.source = CONTRACT,
			.text = "An image is written, and again behind itself. Whoever takes more "
				"than there is does not know how much there is.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_V1 | VFM_NEED_RESET,
		.run = twice,
	},
	{
		.is = { .name = "v1.refuse.oversize",
			.title = "a data_size that is larger than the data section is refused",
			.source = VFM_V1_CITE_RESUMING
			"b. the data is within the region, from data_offset on",
			.text = "The number comes from a user: a device that believes it reads, or "
				"writes, beyond its own buffer. One byte too many, 2^32, 2^63, "
				"and sizes with which the sum wraps are written.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1 | VFM_NEED_RESET,
		.run = oversize,
	},
	{
		.is = { .name = "v1.refuse.recovers",
			.title = "after a load that failed, a reset makes a device that can be "
				 "loaded",
			.source = VFM_V1_CITE_STATE "the device reset recovers a device "
						    "from ERROR",
			.text = "Half an image, with and without the write of 1 behind it, and "
				"random bytes are loaded; after each the device is reset, must be "
				"RUNNING, and must take an image that is right.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1 | VFM_NEED_RESET,
		.run = recovers,
	},
};
const size_t vfm_nr_rules_v1_refuse = VFM_ARRAY_SIZE(vfm_rules_v1_refuse);
