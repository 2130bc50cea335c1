// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about images that are not whole: they are refused, when they are written or at
 * RESUMING -> STOP. What a device can notice depends on what it puts into an image. That
 * something is missing every device can know, and must; that a bit is wrong only one that
 * sums up.
 *
 * Surprising: nobody knows where the records of an image end. So it is cut wherever that
 * can be afforded: by writing on, and asking for STOP after each piece.
 */

#include "check/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* What is written in all attempts of a rule, about: an image that is large is tried less often. */
#define BUDGET ((size_t)256 << 20)
#define BUDGET_QUICK ((size_t)16 << 20)

/* Bytes at either end of which each bit is flipped. */
#define EDGE 32u

static size_t attempts(const struct vfm_trial *t, const struct vfm_image *image, size_t most)
{
	size_t budget = t->opts->quick ? BUDGET_QUICK : BUDGET;

	return VFM_MIN(VFM_MAX(budget / (image->size + 1), (size_t)4), most);
}

/* ---- cut short ------------------------------------------------------------------ */

static int empty(struct vfm_trial *t)
{
	const struct vfm_image none = { 0 };
	struct vfm_image own;
	int ret = vfm_trial_good(t, &own);

	vfm_image_free(&own);
	return ret ? ret
		   : vfm_trial_must_refuse(t, &none, "a session in which nothing was written");
}

/*
 * struct probe - an image that is written piece by piece
 * @open: the device bears to be asked for STOP in between; else each length is a new attempt
 * @at: bytes written
 * @left: attempts
 */
struct probe {
	bool open;
	size_t at;
	size_t left;
};

/* Write up to @len bytes and ask; anything but a plain refusal closes the probe. */
static void probe_on(struct vfm_trial *t, const struct vfm_image *image, size_t len,
		     struct probe *p)
{
	struct vfm_offer offer;
	struct vfm_err err;

	p->open = !vfm_image_write(t, image, p->at, len, VFM_CUT_LARGE, &err);
	p->at = len;
	if (!p->open)
		return;
	vfm_trial_prove(t, &offer);
	p->open = !offer.accepted && vfm_trial_is_in(t, VFM_STATE_RESUMING);
}

static int probe_length(struct vfm_trial *t, const struct vfm_image *image, size_t len,
			struct probe *p)
{
	struct vfm_image cut = *image;
	char what[96];

	if (p->open)
		probe_on(t, image, len, p);
	if (p->open || !p->left)
		return 0;
	p->left--;
	cut.size = len;
	snprintf(what, sizeof(what), "an image of %zu bytes, cut after byte %zu", image->size, len);
	return vfm_trial_must_refuse(t, &cut, what);
}

/* The next length: each at both ends, and about @between in the middle. */
static size_t next_length(struct vfm_trial *t, size_t at, size_t size, size_t edge, size_t between)
{
	size_t middle = size > 2 * edge ? size - 2 * edge : 0;

	if (at < edge || at + edge >= size)
		return at + 1;
	at += 1 + (size_t)(vfm_trial_random(t) % (2 * (middle / between) + 1));
	return VFM_MIN(at, size - edge);
}

static int truncated(struct vfm_trial *t)
{
	size_t edge = t->opts->quick ? 64 : 1024, between = t->opts->quick ? 64 : 4096;
	struct vfm_image image;
	int ret = vfm_trial_good(t, &image);
	struct probe probe = { .open = true, .left = attempts(t, &image, 256) };

	if (!ret)
		ret = vfm_trial_reset(t);
	if (!ret)
		ret = vfm_trial_go(t, VFM_STATE_RESUMING);
	for (size_t len = 1;
	     !ret && len < image.size && (probe.open || probe.left) && !vfm_trial_late(t);
	     len = next_length(t, len, image.size, edge, between))
		ret = probe_length(t, &image, len, &probe);
	vfm_image_free(&image);
	return ret;
}

static int hole_at(struct vfm_trial *t, const struct vfm_image *image, size_t at, size_t len)
{
	struct vfm_image holed;
	char what[96];
	int ret = vfm_image_copy(t, image, 0, &holed);

	if (ret)
		return ret;
	memmove(holed.data + at, holed.data + at + len, image->size - at - len);
	holed.size -= len;
	snprintf(what, sizeof(what), "an image of %zu bytes without the %zu from byte %zu on",
		 image->size, len, at);
	ret = vfm_trial_must_refuse(t, &holed, what);
	free(holed.data);
	return ret;
}

static int hole(struct vfm_trial *t)
{
	struct vfm_image image;
	int ret = vfm_trial_good(t, &image);
	size_t n = attempts(t, &image, 16);

	for (size_t i = 0; !ret && i < n && image.size > 4 * EDGE && !vfm_trial_late(t); i++) {
		size_t most = VFM_MIN(image.size - 3 * EDGE, (size_t)65536);
		size_t len = 1 + (size_t)(vfm_trial_random(t) % most);
		size_t places = image.size - 2 * EDGE - len;

		ret = hole_at(t, &image, EDGE + (size_t)(vfm_trial_random(t) % places), len);
	}
	vfm_image_free(&image);
	return ret;
}

/* ---- flipped bits --------------------------------------------------------------- */

static int flip(struct vfm_trial *t, struct vfm_image *image, size_t bit)
{
	uint8_t mask = (uint8_t)(1u << bit % 8);
	char what[96];
	int ret;

	snprintf(what, sizeof(what), "an image of %zu bytes with bit %zu of byte %zu flipped",
		 image->size, bit % 8, bit / 8);
	image->data[bit / 8] ^= mask;
	ret = vfm_trial_must_refuse(t, image, what);
	image->data[bit / 8] ^= mask;
	return ret;
}

/* All bits of the bytes from @from to @to, or as many of them as can be afforded. */
static int flip_range(struct vfm_trial *t, struct vfm_image *image, size_t from, size_t to,
		      size_t most)
{
	size_t bits = (to - from) * 8, n = attempts(t, image, most);
	int ret = 0;

	for (size_t i = 0; !ret && i < VFM_MIN(n, bits) && !vfm_trial_late(t); i++)
		ret = flip(t, image,
			   from * 8 + (n >= bits ? i : (size_t)(vfm_trial_random(t) % bits)));
	return ret;
}

static int start_flips(struct vfm_trial *t)
{
	struct vfm_image image;
	int ret = vfm_trial_good(t, &image);

	if (!ret)
		ret = flip_range(t, &image, 0, VFM_MIN(image.size, EDGE), EDGE * 8);
	vfm_image_free(&image);
	return ret;
}

static int end_flips(struct vfm_trial *t)
{
	struct vfm_image image;
	int ret = vfm_trial_good(t, &image);

	if (!ret)
		ret = flip_range(t, &image, image.size - VFM_MIN(image.size, EDGE), image.size,
				 EDGE * 8);
	vfm_image_free(&image);
	return ret;
}

/* What stands first is the business of other rules. */
static int payload_flips(struct vfm_trial *t)
{
	struct vfm_image image;
	int ret = vfm_trial_good(t, &image);
	size_t from = image.size > 4096 ? 1024 : EDGE;

	if (!ret && image.size <= from + EDGE)
		ret = vfm_trial_skip(t, "an image of %zu bytes has no middle", image.size);
	if (!ret)
		ret = flip_range(t, &image, from, image.size - EDGE, t->opts->quick ? 32 : 256);
	vfm_image_free(&image);
	return ret;
}

const struct vfm_rule vfm_rules_damage[] = {
	{
		.is = { .name = "v2.damage.empty-refused",
			.title = "an image of which nothing was written is refused",
			.source = VFM_CITE_PROVED,
			.text = "The connection breaks before the first byte, and whoever loads "
				"takes the end of it for the end of the image. A device that "
				"goes to STOP then runs with a state that nobody has sent. The "
				"device goes to RESUMING and from there to STOP.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = empty,
	},
	{
		.is = { .name = "v2.damage.truncated-refused",
			.title = "an image that was cut short is refused, wherever it was cut",
			.source = VFM_CITE_PROVED,
			.text = "Files and connections end early. Drivers are known that use "
				"each record as it comes, and have nothing at the end that says "
				"that this was all: the rest of the state is what was there "
				"before, and the device runs.\n\n"
				"One byte after the other is written at the start and at the "
				"end of the image, and random steps between, and after each the "
				"device is asked to go to STOP, as long as it bears that and "
				"stays in RESUMING. A length that seems to be taken is tried "
				"again in a new session.\n\n"
				"Mark the end, or count: a total in the header, or a last "
				"record that says how many came before it.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = truncated,
	},
	{
		.is = { .name = "v2.damage.hole-refused",
			.title = "an image of which a part is missing in the middle is refused",
			.source = VFM_CITE_PROVED,
			.text = "A message or a block that is lost leaves an image with the "
				"right start and the right end. Parts of up to 64 KiB are taken "
				"out at random places. Records that are numbered, or a total, "
				"show it.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = hole,
	},
	{
		.is = { .name = "v2.damage.start-flips-refused",
			.title = "a wrong bit in the first bytes of an image is refused",
			.source = VFM_CITE_PROVED,
			.text = "What stands first is a header: what this is, of which version, "
				"how long. Every bit of the first 32 bytes is flipped, each in "
				"an attempt of its own. Without a checksum a device still looks "
				"at the values; bits that must be 0 must be looked at as well.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = start_flips,
	},
	{
		.is = { .name = "v2.damage.end-flips-refused",
			.title = "a wrong bit in the last bytes of an image is refused",
			.source = VFM_CITE_PROVED,
			.text = "As for the first bytes: every bit of the last 32 is flipped.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = end_flips,
	},
	{
		.is = { .name = "v2.damage.payload-flips-refused",
			.title = "a wrong bit anywhere in an image is refused",
			.source = VFM_CITE_PROVED,
			.text = "Memory, disks and cables flip bits, and what checks them ends "
				"at the next buffer. A device without a checksum in its image "
				"cannot notice, which is why this is a recommendation; a sum of "
				"64 bits for each record costs less than copying it. Random "
				"bits are flipped, each in an attempt of its own.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = payload_flips,
	},
};
const size_t vfm_nr_rules_damage = VFM_ARRAY_SIZE(vfm_rules_damage);
