// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Images: what rules read from a data session, and offer to one. Where data has chunks,
 * as with protocol v1, an image keeps their ends and gives them back, as everybody must
 * who carries one.
 */

#include "check/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define LARGE ((size_t)1 << 20)

/* Of small pieces so many are taken at either end of an image, and larger ones between. */
#define SMALL_CALLS 512
#define BETWEEN ((size_t)64 << 10)

/* Ends of chunks are kept in steps of so many. */
#define ENDS_STEP 1024

void vfm_image_free(struct vfm_image *image)
{
	free(image->data);
	free(image->ends);
	*image = (struct vfm_image){ 0 };
}

bool vfm_image_same(const struct vfm_image *a, const struct vfm_image *b, size_t *at)
{
	size_t common = VFM_MIN(a->size, b->size);

	*at = 0;
	if (common && memcmp(a->data, b->data, common)) {
		while (a->data[*at] == b->data[*at])
			++*at;
		return false;
	}
	*at = common;
	return a->size == b->size;
}

/* ---- pieces --------------------------------------------------------------------- */

static const struct {
	size_t size;
	const char *name;
} cuts[VFM_NR_CUTS] = {
	[VFM_CUT_LARGE] = { LARGE, "pieces of 1 MiB" },
	[VFM_CUT_BYTE] = { 1, "pieces of 1 byte" },
	[VFM_CUT_ODD] = { 61, "pieces of 61 bytes" },
	[VFM_CUT_PAGE] = { 4096, "pieces of 4096 bytes" },
	[VFM_CUT_RANDOM] = { 0, "pieces of random size" },
};

const char *vfm_cut_name(enum vfm_cut cut)
{
	return cuts[cut].name;
}

/* The piece at @at, at least 1 byte. */
static size_t next_piece(struct vfm_trial *t, struct vfm_pieces p, size_t at)
{
	size_t size = cuts[p.cut].size, edge = size * SMALL_CALLS;

	if (p.cut == VFM_CUT_RANDOM)
		return 1 + (size_t)(vfm_trial_random(t) % (p.total / SMALL_CALLS * 2 + 64));
	if (size >= BETWEEN || at < edge || p.total - VFM_MIN(at, p.total) <= edge)
		return size;
	return VFM_MIN(BETWEEN, p.total - edge - at);
}

/* ---- reading -------------------------------------------------------------------- */

static int make_room(struct vfm_image *image, size_t *room, size_t more, struct vfm_err *err)
{
	uint8_t *data;

	if (*room - image->size >= more)
		return 0;
	*room = VFM_MAX(*room * 2, image->size + more);
	data = realloc(image->data, *room);
	if (!data)
		return vfm_fail(err, -ENOMEM, "no memory for an image");
	image->data = data;
	return 0;
}

static int note_end(struct vfm_image *image, struct vfm_err *err)
{
	size_t *ends = image->ends;

	if (image->nr_ends % ENDS_STEP == 0)
		ends = realloc(ends, (image->nr_ends + ENDS_STEP) * sizeof(*ends));
	if (!ends)
		return vfm_fail(err, -ENOMEM, "no memory for the ends of chunks");
	image->ends = ends;
	ends[image->nr_ends++] = image->size;
	return 0;
}

int vfm_image_read(struct vfm_trial *t, struct vfm_image *image, struct vfm_pieces pieces,
		   size_t most, struct vfm_err *err)
{
	size_t room = image->size;
	int ret = 0;

	while (!ret && image->size < most) {
		size_t piece = next_piece(t, pieces, image->size);
		size_t len = VFM_MIN(piece, most - image->size);
		bool end = false;
		ssize_t n;

		ret = make_room(image, &room, len, err);
		if (ret)
			break;
		n = vfm_device_read_chunk(t->dev, image->data + image->size, len, &end, err);
		if (n <= 0)
			return (int)n;
		image->size += (size_t)n;
		if (end)
			ret = note_end(image, err);
		if (!ret && image->size > VFM_IMAGE_MAX)
			ret = vfm_fail(err, -EFBIG, "the image is larger than %zu bytes",
				       VFM_IMAGE_MAX);
		if (!ret && vfm_trial_late(t))
			ret = vfm_fail(err, -EFBIG,
				       "after %zu bytes there is data still, and no time",
				       image->size);
	}
	return ret;
}

int vfm_image_copy(struct vfm_trial *t, const struct vfm_image *image, size_t room,
		   struct vfm_image *copy)
{
	struct vfm_err err;

	*copy = *image;
	copy->data = malloc(image->size + room);
	if (!copy->data) {
		vfm_fail(&err, -ENOMEM, "no memory for an image");
		return vfm_trial_blocked(t, &err);
	}
	memcpy(copy->data, image->data, image->size);
	return 0;
}

int vfm_trial_save(struct vfm_trial *t, struct vfm_image *image)
{
	int ret = vfm_trial_go(t, VFM_STATE_STOP_COPY);
	struct vfm_err err;

	*image = (struct vfm_image){ 0 };
	if (ret)
		return ret;
	ret = vfm_image_read(t, image, (struct vfm_pieces){ VFM_CUT_LARGE, 0 }, SIZE_MAX, &err);
	if (!ret)
		return 0;
	vfm_image_free(image);
	if (ret == -ENOMSG)
		vfm_fail(&err, ret, "the data session in STOP_COPY says that there is nothing now");
	return vfm_trial_blocked(t, &err);
}

int vfm_trial_save_again(struct vfm_trial *t, struct vfm_image *image)
{
	int ret = vfm_trial_go(t, VFM_STATE_STOP);

	*image = (struct vfm_image){ 0 };
	return ret ? ret : vfm_trial_save(t, image);
}

/* ---- writing -------------------------------------------------------------------- */

/* The end of the chunk that has the byte at @at, or of the image. */
static size_t chunk_end(const struct vfm_image *image, size_t *next, size_t at, bool *ends)
{
	while (*next < image->nr_ends && image->ends[*next] <= at)
		++*next;
	*ends = *next < image->nr_ends;
	return *ends ? image->ends[*next] : SIZE_MAX;
}

int vfm_image_write(struct vfm_trial *t, const struct vfm_image *image, size_t from, size_t to,
		    enum vfm_cut cut, struct vfm_err *err)
{
	const struct vfm_pieces pieces = { cut, image->size };
	size_t next = 0;
	int ret = 0;

	for (size_t at = from, n; !ret && at < to; at += n) {
		bool ends;
		size_t end = chunk_end(image, &next, at, &ends);
		size_t piece = next_piece(t, pieces, at);

		n = VFM_MIN(piece, VFM_MIN(end, to) - at);
		ret = vfm_device_write_chunk(t->dev, image->data + at, n, ends && at + n == end,
					     err);
	}
	return ret;
}

int vfm_trial_write(struct vfm_trial *t, const struct vfm_image *image)
{
	int ret = vfm_trial_go(t, VFM_STATE_RESUMING);
	struct vfm_err err;

	if (!ret && vfm_image_write(t, image, 0, image->size, VFM_CUT_LARGE, &err))
		ret = vfm_trial_blocked(t, &err);
	return ret;
}

/* ---- offers --------------------------------------------------------------------- */

void vfm_trial_prove(struct vfm_trial *t, struct vfm_offer *offer)
{
	struct vfm_protocol protocol;
	int ret = vfm_device_set_state(t->dev, VFM_STATE_STOP, &offer->why);

	if (!ret && !vfm_device_get_protocol(t->dev, &protocol, NULL) && protocol.late_proof)
		ret = vfm_device_set_state(t->dev, VFM_STATE_RUNNING, &offer->why);
	offer->accepted = !ret;
}

int vfm_trial_load(struct vfm_trial *t, const struct vfm_image *image, enum vfm_cut cut,
		   struct vfm_offer *offer)
{
	int ret = vfm_trial_go(t, VFM_STATE_RESUMING);

	if (ret)
		return ret;
	offer->accepted = false;
	if (!vfm_image_write(t, image, 0, image->size, cut, &offer->why))
		vfm_trial_prove(t, offer);
	return 0;
}

int vfm_trial_offer(struct vfm_trial *t, const struct vfm_image *image, struct vfm_offer *offer)
{
	int ret = vfm_trial_reset(t);

	return ret ? ret : vfm_trial_load(t, image, VFM_CUT_LARGE, offer);
}

int vfm_trial_must_refuse(struct vfm_trial *t, const struct vfm_image *image, const char *what)
{
	struct vfm_offer offer;
	int ret = vfm_trial_offer(t, image, &offer);

	if (!ret && offer.accepted)
		ret = vfm_trial_fail(t, "%s was accepted", what);
	return ret;
}

/* Its own image; that it is accepted is not what the rule is about. */
static int offer_own(struct vfm_trial *t, const struct vfm_image *image)
{
	struct vfm_offer offer;
	int ret = image->size ? 0 : vfm_trial_skip(t, "could not be tried: the image is empty");

	if (!ret)
		ret = vfm_trial_offer(t, image, &offer);
	if (!ret && !offer.accepted)
		ret = vfm_trial_skip(t, "could not be tried: the device refuses its own image: %s",
				     offer.why.msg);
	return ret;
}

int vfm_trial_good(struct vfm_trial *t, struct vfm_image *image)
{
	int ret = vfm_trial_save(t, image);

	return ret ? ret : offer_own(t, image);
}

int vfm_trial_must_save(struct vfm_trial *t, const struct vfm_image *image, const char *text)
{
	struct vfm_image again;
	int ret = vfm_trial_save_again(t, &again);
	size_t at;

	if (!ret && !vfm_image_same(image, &again, &at))
		ret = vfm_trial_fail(t,
				     "%s: they differ from byte %zu on; the first has %zu bytes, "
				     "the second %zu",
				     text, at, image->size, again.size);
	vfm_image_free(&again);
	return ret;
}

int vfm_trial_saves_the_same(struct vfm_trial *t, const struct vfm_image *image, const char *when)
{
	struct vfm_image again;
	int ret = vfm_trial_save_again(t, &again);
	size_t at;

	if (!ret && !vfm_image_same(image, &again, &at))
		ret = vfm_trial_skip(t,
				     "could not be tried: %s the device saves another image, which "
				     "differs from byte %zu on",
				     when, at);
	vfm_image_free(&again);
	return ret;
}

int vfm_trial_trusted(struct vfm_trial *t, struct vfm_image *image)
{
	int ret = vfm_trial_save(t, image);

	if (!ret)
		ret = vfm_trial_saves_the_same(t, image, "when asked again");
	if (!ret)
		ret = offer_own(t, image);
	return ret ? ret : vfm_trial_saves_the_same(t, image, "after it has loaded one");
}
