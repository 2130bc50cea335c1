// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about parts of an image that have changed places. Several connections carry an image
 * and somebody puts it together; what is put together in another order has all bytes, and
 * each of them is right.
 *
 * What surprises: most images are opaque, and whether their parts could tell where they belong
 * is not known: there it should be so. An image that is framed by this library numbers its
 * records; there it must.
 */

#include "check/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "device/image.h"

/* Of an opaque image: what programs move at once, and devices keep things in. */
#define BLOCK ((size_t)4096)

/* So many pairs of neighbours change places, one after the other. */
#define PAIRS 16u
#define PAIRS_QUICK 4u

/* Parts that are looked at. */
#define PARTS_MAX 64u

struct part {
	size_t at, len;
};

struct parts {
	struct part part[PARTS_MAX];
	size_t nr;
};

static void add_part(struct parts *parts, size_t at, size_t len)
{
	if (parts->nr < PARTS_MAX)
		parts->part[parts->nr++] = (struct part){ at, len };
}

/* @copy: of @image, in which @b stands where @a, which is before it, stood, and the other way
 * round. */
static void change_places(const struct vfm_image *image, struct part a, struct part b,
			  uint8_t *copy)
{
	size_t between = b.at - (a.at + a.len);

	memcpy(copy + a.at, image->data + b.at, b.len);
	memcpy(copy + a.at + b.len, image->data + a.at + a.len, between);
	memcpy(copy + a.at + b.len + between, image->data + a.at, a.len);
}

static bool alike(const struct vfm_image *image, struct part a, struct part b)
{
	return a.len == b.len && !memcmp(image->data + a.at, image->data + b.at, a.len);
}

static int must_refuse_swapped(struct vfm_trial *t, const struct vfm_image *image, struct part a,
			       struct part b)
{
	struct vfm_image swapped;
	char what[160];
	int ret = vfm_image_copy(t, image, 0, &swapped);

	if (ret)
		return ret;
	change_places(image, a, b, swapped.data);
	snprintf(what, sizeof(what),
		 "an image of %zu bytes in which the %zu bytes at %zu and the %zu at %zu have "
		 "changed places",
		 image->size, a.len, a.at, b.len, b.at);
	ret = vfm_trial_must_refuse(t, &swapped, what);
	free(swapped.data);
	return ret;
}

/* The first and the last, and then neighbours. */
static int swap_each(struct vfm_trial *t, const struct vfm_image *image, const struct parts *parts,
		     const char *missing)
{
	size_t most = t->opts->quick ? PAIRS_QUICK : PAIRS, tried = 0;
	int ret = 0;

	for (size_t i = 0; !ret && i < parts->nr && tried < most && !vfm_trial_late(t); i++) {
		struct part a = parts->part[i ? i - 1 : 0];
		struct part b = parts->part[i ? i : parts->nr - 1];

		if (a.at == b.at || alike(image, a, b))
			continue;
		tried++;
		ret = must_refuse_swapped(t, image, a, b);
	}
	return ret || tried ? ret : vfm_trial_skip(t, "%s", missing);
}

/* ---- framed by this library ------------------------------------------------------------- */

/* The record at @at: 0: there is none that is whole. */
static size_t record_length(const struct vfm_image *image, size_t at, struct vfm_image_record *r)
{
	if (image->size - at < VFM_IMAGE_HEADER)
		return 0;
	*r = vfm_image_header(image->data + at);
	if (r->length > image->size - at - VFM_IMAGE_HEADER ||
	    !vfm_image_intact(image->data + at, r))
		return 0;
	return VFM_IMAGE_HEADER + (size_t)r->length;
}

/* False: the image is not of records, from its begin to its end. */
static bool find_records(const struct vfm_image *image, struct parts *parts)
{
	struct vfm_image_record r = { .type = 0 };
	size_t at = 0;

	while (at < image->size) {
		size_t len = record_length(image, at, &r);

		if (!len)
			return false;
		if (r.type == VFM_IMAGE_DATA)
			add_part(parts, at, len);
		at += len;
	}
	return r.type == VFM_IMAGE_END;
}

static int records_swapped(struct vfm_trial *t)
{
	struct parts parts = { .nr = 0 };
	struct vfm_image image;
	int ret = vfm_trial_good(t, &image);

	if (!ret && !find_records(&image, &parts))
		ret = vfm_trial_skip(t, "the image is not one of records that this library frames");
	if (!ret)
		ret = swap_each(t, &image, &parts, "the image has less than two records of data");
	vfm_image_free(&image);
	return ret;
}

/* ---- any image ------------------------------------------------------------------------------- */

/* Whole blocks, but for the first, which tells what the image is, and the last. */
static void find_blocks(const struct vfm_image *image, struct parts *parts)
{
	for (size_t at = BLOCK; at + 2 * BLOCK <= image->size; at += BLOCK)
		add_part(parts, at, BLOCK);
}

static int blocks_swapped(struct vfm_trial *t)
{
	struct parts parts = { .nr = 0 };
	struct vfm_image image;
	int ret = vfm_trial_good(t, &image);

	if (!ret) {
		find_blocks(&image, &parts);
		ret = swap_each(t, &image, &parts, "the image has no two blocks that differ");
	}
	vfm_image_free(&image);
	return ret;
}

const struct vfm_rule vfm_rules_order[] = {
	{
		.is = { .name = "v2.damage.swapped-records-refused",
			.title = "an image whose records are in another order is refused",
			.source = VFM_CITE_PROVED
			"; <vfmig/driver.h>: an image is a sequence of records",
			.text = "Channels and threads carry parts of an image side by side, and "
				"one mistake puts them together in another order. Every record is "
				"whole then, and so is its checksum: only its number tells.\n\n"
				"Records of data change places, first and last, and then "
				"neighbours. An image that is not framed by this library has no "
				"records that could be found: see "
				"v2.damage.swapped-blocks-refused.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = records_swapped,
	},
	{
		.is = { .name = "v2.damage.swapped-blocks-refused",
			.title = "an image in which blocks have changed places is refused",
			.source = VFM_CITE_PROVED,
			.text = "As v2.damage.swapped-records-refused, for an image of which "
				"nothing is known: blocks of 4096 bytes change places. A sum over "
				"all of the image in which places count finds it; one of each "
				"block alone does not.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = blocks_swapped,
	},
};
const size_t vfm_nr_rules_order = VFM_ARRAY_SIZE(vfm_rules_order);
