// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about where in a data session one is: which arcs keep it, and that a new one begins
 * at its beginning.
 *
 * What surprises: a session has no name, so whether it goes on or has begun again is
 * known by its bytes alone. An image that begins with the same bytes twice tells nothing,
 * and such a device is not tried.
 */

#include "check/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/util.h"

/* By which the beginning of an image is known. */
#define HEAD 256

/* Of a read that only wants to come to the end. */
#define DRAIN_SIZE ((size_t)64 << 10)

/* The session has been read for 2 * HEAD bytes, @seen: what comes now must not be @seen again. */
static int goes_on(struct vfm_trial *t, const uint8_t *seen, const char *after)
{
	uint8_t next[HEAD];
	int ret;

	if (!memcmp(seen, seen + HEAD, HEAD))
		return vfm_trial_skip(t, "its image begins with the same %d bytes twice", HEAD);
	ret = vfm_session_read(t, next, HEAD);
	if (ret || memcmp(next, seen, HEAD))
		return ret;
	return vfm_trial_fail(t,
			      "%s, the session must go on; after %d bytes that had been read its "
			      "first %d bytes came again",
			      after, 2 * HEAD, HEAD);
}

static int kept(struct vfm_trial *t, const struct vfm_way *way)
{
	uint8_t seen[2 * HEAD];
	char after[80];
	int ret = vfm_way_go(t, way, seen, sizeof(seen));

	vfm_way_words(after, sizeof(after), way);
	return ret ? ret : goes_on(t, seen, after);
}

static int kept_by(struct vfm_trial *t, const struct vfm_way *ways, size_t count)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < count; i++)
		if (vfm_way_exists(t, &ways[i]))
			ret = kept(t, &ways[i]);
	return ret;
}

static int kept_by_same_state(struct vfm_trial *t)
{
	static const struct vfm_way ways[] = {
		{ VFM_STATE_STOP_COPY, VFM_STATE_STOP_COPY },
		{ VFM_STATE_PRE_COPY, VFM_STATE_PRE_COPY },
		{ VFM_STATE_PRE_COPY_P2P, VFM_STATE_PRE_COPY_P2P },
	};

	return kept_by(t, ways, VFM_ARRAY_SIZE(ways));
}

static int kept_by_stop_copy(struct vfm_trial *t)
{
	static const struct vfm_way ways[] = {
		{ VFM_STATE_PRE_COPY, VFM_STATE_STOP_COPY },
		{ VFM_STATE_PRE_COPY_P2P, VFM_STATE_STOP_COPY },
	};

	return kept_by(t, ways, VFM_ARRAY_SIZE(ways));
}

static int kept_by_p2p(struct vfm_trial *t)
{
	static const struct vfm_way ways[] = {
		{ VFM_STATE_PRE_COPY, VFM_STATE_PRE_COPY_P2P },
		{ VFM_STATE_PRE_COPY_P2P, VFM_STATE_PRE_COPY },
	};

	return kept_by(t, ways, VFM_ARRAY_SIZE(ways));
}

static int kept_by_refusal(struct vfm_trial *t)
{
	static const unsigned int refused[] = { VFM_STATE_ERROR, VFM_NR_STATES };
	uint8_t seen[2 * HEAD];
	int ret = vfm_trial_go(t, VFM_STATE_STOP_COPY);

	if (!ret)
		ret = vfm_session_read(t, seen, sizeof(seen));
	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(refused); i++)
		if (!vfm_device_set_state(t->dev, (enum vfm_state)refused[i], NULL))
			ret = vfm_trial_skip(t, "a state %u is not refused in STOP_COPY",
					     refused[i]);
	return ret ? ret : goes_on(t, seen, "after states were refused in STOP_COPY");
}

/* An image in two halves, with RESUMING asked for in between. */
static int load_in_halves(struct vfm_trial *t, const struct vfm_image *image)
{
	struct vfm_image half = { .data = image->data, .size = image->size / 2 };
	struct vfm_err err;
	int ret = vfm_trial_reset(t);

	if (!ret)
		ret = vfm_trial_write(t, &half);
	if (!ret)
		ret = vfm_trial_go(t, VFM_STATE_RESUMING);
	if (!ret && (vfm_device_write_data(t->dev, image->data + half.size, image->size - half.size,
					   &err) ||
		     vfm_device_set_state(t->dev, VFM_STATE_STOP, &err)))
		ret = vfm_trial_fail(
			t,
			"%zu of %zu bytes of an image were written, RESUMING was asked "
			"for again, and the rest written; the image, which was taken "
			"before, was refused: %s",
			half.size, image->size, err.msg);
	return ret;
}

static int load_kept_by_same_state(struct vfm_trial *t)
{
	struct vfm_image image = { 0 };
	int ret = vfm_trial_save(t, &image);

	if (!ret)
		ret = vfm_session_load(t, &image);
	if (!ret)
		ret = load_in_halves(t, &image);
	vfm_image_free(&image);
	return ret;
}

/* All that there is now, but not more than an image may have. */
static int drain(struct vfm_trial *t, uint64_t *bytes)
{
	vfm_auto_free uint8_t *buf = malloc(DRAIN_SIZE);
	struct vfm_err err;
	ssize_t n = 1;

	if (!buf)
		return vfm_trial_skip(t, "no memory");
	for (*bytes = 0; n > 0 && *bytes<VFM_IMAGE_MAX; *bytes += n> 0 ? (uint64_t)n : 0)
		n = vfm_device_read_data(t->dev, buf, DRAIN_SIZE, &err);
	if (n > 0)
		return vfm_trial_skip(t, "there is no end to what %s gives",
				      vfm_state_name(VFM_STATE_PRE_COPY));
	return n < 0 && n != -ENOMSG ? vfm_trial_blocked(t, &err) : 0;
}

/*
 * Read to its end, left and entered again: a session that was not begun anew has nothing.
 * @reset: and not by a state.
 */
static int begins_anew(struct vfm_trial *t, const struct vfm_way *way, bool reset)
{
	const char *from = vfm_state_name(way->from);
	uint64_t first = 0, second = 0;
	int ret = vfm_trial_go(t, VFM_STATE_RUNNING);

	if (!ret)
		ret = vfm_trial_go(t, way->from);
	if (!ret)
		ret = drain(t, &first);
	if (!ret && !first)
		ret = vfm_trial_skip(t, "in %s there is no data", from);
	if (!ret)
		ret = reset ? vfm_trial_reset(t) : vfm_trial_go(t, way->to);
	if (!ret)
		ret = vfm_trial_go(t, way->from);
	if (!ret)
		ret = drain(t, &second);
	if (ret || second)
		return ret;
	return vfm_trial_fail(t,
			      "in %s all that there was has been read, %" PRIu64
			      " bytes; then %s%s, and back: a new session must begin at the "
			      "beginning, and has no data",
			      from, first, reset ? "a reset" : "to ",
			      reset ? "" : vfm_state_name(way->to));
}

static int begin_anew(struct vfm_trial *t, bool reset)
{
	static const struct vfm_way ways[] = {
		{ VFM_STATE_STOP_COPY, VFM_STATE_STOP },
		{ VFM_STATE_PRE_COPY, VFM_STATE_RUNNING },
		{ VFM_STATE_PRE_COPY_P2P, VFM_STATE_RUNNING_P2P },
	};
	int ret = 0;

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(ways); i++)
		if (vfm_way_exists(t, &ways[i]))
			ret = begins_anew(t, &ways[i], reset);
	return ret;
}

static int new_begins_at_start(struct vfm_trial *t)
{
	return begin_anew(t, false);
}

static int new_after_reset(struct vfm_trial *t)
{
	return begin_anew(t, true);
}

/* A write that was refused has nothing to do with the session that is read. */
static int refused_write_is_harmless(struct vfm_trial *t)
{
	uint8_t seen[2 * HEAD];
	int ret = vfm_trial_go(t, VFM_STATE_STOP_COPY);

	if (!ret)
		ret = vfm_session_read(t, seen, sizeof(seen));
	if (!ret && !vfm_device_write_data(t->dev, seen, sizeof(seen), NULL))
		return vfm_trial_skip(t, "a write in STOP_COPY is not refused");
	if (!ret)
		ret = vfm_trial_in_state(t, VFM_STATE_STOP_COPY, "a refused write");
	return ret ? ret : goes_on(t, seen, "after a write in STOP_COPY was refused");
}

/* ---- the table ----------------------------------------------------------------------- */

const struct vfm_rule vfm_rules_position[] = {
	{
		.is = { .name = "v2.session.refused-write-harmless",
			.title = "a write that is refused leaves the session that is read alone",
			.source = "<vfmig/device.h>, vfm_device_write_data(): legal in RESUMING; "
				  "what "
				  "is refused changes nothing",
			.text = "In STOP_COPY, with the image partly read, a write is refused. The "
				"state must be what it was, and the session must go on.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = refused_write_is_harmless,
	},
	{
		.is = { .name = "v2.session.kept-by-same-state",
			.title = "a saving state that is asked for again keeps its session",
			.source =
				"uAPI, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE: a data_fd is returned "
				"when a session begins; the present state does nothing",
			.text = "A user that repeats the state would read the beginning of the "
				"image "
				"twice, and the destination would refuse it after the stop.\n\n"
				"A session is read a little, the state is asked for again, and the "
				"session must go on.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = kept_by_same_state,
	},
	{
		.is = { .name = "v2.session.load-kept-by-same-state",
			.title = "RESUMING that is asked for again keeps what was loaded",
			.source =
				"uAPI, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE: a data_fd is returned "
				"when a session begins; the present state does nothing",
			.text = "The same for the side that loads: half an image must not be "
				"forgotten.\n\n"
				"Half of the device's own image is written, RESUMING is asked for "
				"again, the other half is written, and the image must be taken.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = load_kept_by_same_state,
	},
	{
		.is = { .name = "v2.session.kept-by-refusal",
			.title = "a state that is refused leaves the session alone",
			.source = "uAPI, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE: a SET that has no "
				  "path "
				  "does nothing",
			.text = "A device that begins to walk before it knows the way has ended "
				"the "
				"session when it finds out.\n\n"
				"In STOP_COPY, with the image partly read, ERROR and the number 8 "
				"are asked for. The session must go on.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = kept_by_refusal,
	},
	{
		.is = { .name = "v2.session.kept-by-stop-copy",
			.title = "the session of pre-copy goes on in STOP_COPY",
			.source =
				"uAPI, enum vfio_device_mig_state: PRE_COPY -> STOP_COPY continues "
				"the same session",
			.text = "What was read before the stop need not be read after it: that is "
				"what "
				"pre-copy is for. A stream that begins anew is no image together "
				"with "
				"what came before.\n\n"
				"In PRE_COPY, and in PRE_COPY_P2P, a session is read a little, and "
				"must go on in STOP_COPY.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_PRE_COPY,
		.run = kept_by_stop_copy,
	},
	{
		.is = { .name = "v2.session.kept-by-p2p",
			.title = "the session goes on between PRE_COPY and PRE_COPY_P2P",
			.source =
				"uAPI, enum vfio_device_mig_state: PRE_COPY <-> PRE_COPY_P2P keep "
				"the session",
			.text = "All devices of a machine go to the states of P2P together, and "
				"may "
				"come back.\n\n"
				"A session is read a little, goes there and back, and must go "
				"on.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_PRE_COPY | VFM_NEED_P2P,
		.run = kept_by_p2p,
	},
	{
		.is = { .name = "v2.session.new-begins-at-start",
			.title = "a new session begins at the beginning",
			.source = "uAPI, enum vfio_device_mig_state: STOP -> STOP_COPY and RUNNING "
				  "-> "
				  "PRE_COPY start a new session",
			.text = "A move that was cancelled is tried again: a position that was not "
				"set back gives the second destination the rest of an image.\n\n"
				"A session is read to its end and left; the next one must have "
				"data again.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = new_begins_at_start,
	},
	{
		.is = { .name = "v2.session.new-after-reset",
			.title = "after a reset, a session begins at the beginning",
			.source =
				"uAPI, enum vfio_device_mig_state: a reset leads to RUNNING, and a "
				"session that begins there is a new one",
			.text = "A guest that resets its device in the middle of a move gets a "
				"device "
				"that is moved from the start.\n\n"
				"A session is read to its end, the device is reset, and the next "
				"one "
				"must have data again.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = new_after_reset,
	},
};
const size_t vfm_nr_rules_position = VFM_ARRAY_SIZE(vfm_rules_position);
