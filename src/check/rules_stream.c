// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about the ends of the data session that saving reads. There are two, and they are
 * easily confused: "nothing now" while the device runs, and "finished" after it has stopped.
 */

#include "check/check.h"

#include <errno.h>

#include "base/util.h"

static const struct vfm_pieces large = { VFM_CUT_LARGE, 0 };

/* As vfm_image_read() to the end, in a state that is gone to first; @ret: what that said. */
static int read_in(struct vfm_trial *t, enum vfm_state state, struct vfm_image *image, int *ret,
		   struct vfm_err *err)
{
	int way = vfm_trial_go(t, state);

	if (way)
		return way;
	*ret = vfm_image_read(t, image, large, SIZE_MAX, err);
	if (*ret == -EFBIG || *ret == -ENOMEM)
		return vfm_trial_blocked(t, err);
	return 0;
}

static int stop_copy_complete(struct vfm_trial *t)
{
	struct vfm_image image = { 0 };
	struct vfm_err err;
	int ret = 0, way = read_in(t, VFM_STATE_STOP_COPY, &image, &ret, &err);

	if (!way && ret && ret != -ENOMSG)
		way = vfm_trial_fail(t, "in STOP_COPY, after %zu bytes, a read failed: %s",
				     image.size, err.msg);
	else if (!way && !image.size)
		way = vfm_trial_fail(t,
				     "in STOP_COPY the first read returned %s: the device has "
				     "no data at all",
				     ret ? "-ENOMSG" : "0");
	vfm_image_free(&image);
	return way;
}

static int stop_copy_end_is_zero(struct vfm_trial *t)
{
	struct vfm_image image = { 0 };
	struct vfm_err err;
	int ret = 0, way = read_in(t, VFM_STATE_STOP_COPY, &image, &ret, &err);

	if (!way && ret == -ENOMSG)
		way = vfm_trial_fail(
			t,
			"in STOP_COPY, after %zu bytes, a read returned -ENOMSG, which "
			"says that there may be more; at the end it returns 0",
			image.size);
	else if (!way && ret)
		way = vfm_trial_blocked(t, &err);
	vfm_image_free(&image);
	return way;
}

static const size_t end_reads[] = { 1, 7, 4096, 1, 65536 };

static int stop_copy_end_lasts(struct vfm_trial *t)
{
	static uint8_t buf[65536];
	struct vfm_image image;
	struct vfm_err err;
	int ret = vfm_trial_save(t, &image);

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(end_reads); i++) {
		ssize_t n = vfm_device_read_data(t->dev, buf, end_reads[i], &err);

		if (n == -ENOMSG)
			vfm_fail(&err, -ENOMSG, "-ENOMSG");
		if (n)
			ret = vfm_trial_fail(t,
					     "after the end of %zu bytes, read number %zu, of %zu "
					     "bytes, gave %zd (%s) and not 0",
					     image.size, i + 1, end_reads[i], n,
					     n > 0 ? "bytes" : err.msg);
	}
	vfm_image_free(&image);
	return ret;
}

static int precopy_end_is_enomsg(struct vfm_trial *t)
{
	struct vfm_image image = { 0 };
	struct vfm_err err;
	int ret = 0, way = read_in(t, VFM_STATE_PRE_COPY, &image, &ret, &err);

	if (!way && !ret)
		way = vfm_trial_fail(
			t,
			"in PRE_COPY, after %zu bytes, a read returned 0, which is the "
			"end of all data; -ENOMSG says that there is nothing now",
			image.size);
	else if (!way && ret != -ENOMSG)
		way = vfm_trial_blocked(t, &err);
	vfm_image_free(&image);
	return way;
}

/* All of PRE_COPY and then of STOP_COPY, in one session; @before: bytes of the former. */
static int read_both(struct vfm_trial *t, struct vfm_image *image, size_t *before)
{
	struct vfm_err err;
	int ret = 0, way = read_in(t, VFM_STATE_PRE_COPY, image, &ret, &err);

	*before = image->size;
	if (!way && ret && ret != -ENOMSG)
		return vfm_trial_blocked(t, &err);
	if (!way)
		way = read_in(t, VFM_STATE_STOP_COPY, image, &ret, &err);
	if (!way && ret)
		return vfm_trial_blocked(t, &err);
	return way;
}

/* A device may have nothing left to say: then what it gave before is an image already. */
static int after_drained_precopy(struct vfm_trial *t)
{
	struct vfm_image own, image = { 0 };
	struct vfm_offer offer;
	size_t before = 0;
	int ret = vfm_trial_good(t, &own);

	vfm_image_free(&own);
	if (!ret)
		ret = vfm_trial_reset(t);
	if (!ret)
		ret = read_both(t, &image, &before);
	if (!ret && image.size == before) {
		ret = vfm_trial_offer(t, &image, &offer);
		if (!ret && !offer.accepted)
			ret = vfm_trial_fail(t,
					     "PRE_COPY gave %zu bytes and then nothing, STOP_COPY "
					     "none more, and an image of those is refused: %s",
					     before, offer.why.msg);
	}
	vfm_image_free(&image);
	return ret;
}

const struct vfm_rule vfm_rules_stream[] = {
	{
		.is = { .name = "v2.stream.stop-copy-complete",
			.title = "in STOP_COPY the data session can be read to its end",
			.source = "uAPI, enum vfio_device_mig_state, STOP_COPY: reading the data "
				  "session gives the remaining state of the device",
			.text = "Everything else about images rests on this one. The device goes "
				"from RUNNING to STOP_COPY, and its data session is read in "
				"pieces of 1 MiB until a read says that there is no more.\n\n"
				"There must be at least one byte, and no read may fail. A device "
				"that needs time to make its data lets the read wait; it does not "
				"answer EAGAIN to a reader that has not asked for that.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = stop_copy_complete,
	},
	{
		.is = { .name = "v2.stream.stop-copy-end-is-zero",
			.title = "in STOP_COPY the data ends with a read of 0 bytes",
			.source = "uAPI, struct vfio_precopy_info: ENOMSG is a temporary end, of "
				  "pre-copy only; in STOP_COPY the end is the end of the file",
			.text = "A user that reads in STOP_COPY waits for the end of the data and "
				"for nothing else. One that is told that there is nothing now "
				"comes again, for ever, with the machine stopped.\n\n"
				"The state of the session decides which end it is, at the moment "
				"of the read: a driver that remembers what it said in PRE_COPY "
				"gets this wrong.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = stop_copy_end_is_zero,
	},
	{
		.is = { .name = "v2.stream.stop-copy-end-lasts",
			.title = "after the end of the data in STOP_COPY every read gives 0 bytes",
			.source = "<vfmig/device.h>, vfm_device_read_data(): finished, and for "
				  "ever; uAPI: the end of a file",
			.text = "Users read once more after the end, because a poll said so, or "
				"because several threads read. The end is a property of the "
				"session and not an event: it is told as often as it is asked "
				"for, whatever the size of the read, until the session ends.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = stop_copy_end_lasts,
	},
	{
		.is = { .name = "v2.stream.precopy-end-is-enomsg",
			.title = "in PRE_COPY a read for which there is nothing now fails with "
				 "ENOMSG",
			.source =
				"uAPI, struct vfio_precopy_info: a read in PRE_COPY that finds no "
				"data available fails with ENOMSG",
			.text = "A running device has always more to say once it has changed. 0 "
				"would be the end of the file, after which a user need not come "
				"back. Users have learnt to bear with 0 here, since some drivers "
				"answer it, and so this is a recommendation.\n\n"
				"The session is read in PRE_COPY until a read gives no bytes. On a "
				"vfio-user socket there is one sign for both ends, and this rule "
				"always passes.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_PRE_COPY,
		.run = precopy_end_is_enomsg,
	},
	{
		.is = { .name = "v2.stream.stop-copy-after-drained-precopy",
			.title = "after pre-copy had nothing more, STOP_COPY gives what is left",
			.source =
				"uAPI, enum vfio_device_mig_state: PRE_COPY to STOP_COPY keeps the "
				"data session, which goes on with the rest",
			.text = "Nothing now is not the end. A device that takes the one for the "
				"other, in PRE_COPY, gives no more in STOP_COPY: what its user has "
				"then is a part of an image, and the device at the destination "
				"has a part of a state.\n\n"
				"The session is read in PRE_COPY until there is nothing, then the "
				"device is stopped, and the session read on. If not a single byte "
				"comes, what was read before is offered to the device, which must "
				"take it for a whole image.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_PRE_COPY | VFM_NEED_RESET,
		.run = after_drained_precopy,
	},
};
const size_t vfm_nr_rules_stream = VFM_ARRAY_SIZE(vfm_rules_stream);
