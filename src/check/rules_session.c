// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about the data session: which arcs open it, keep it and end it, and that it can be
 * read and written then and only then. What is in it, and how it ends, is another matter.
 *
 * What surprises: a session has no name, so whether it goes on or has begun again is
 * known by its bytes alone. An image whose first bytes come twice in a row tells nothing,
 * and such a device passes.
 */

#include "check/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/util.h"

/* By which the beginning of an image is known. */
#define HEAD 256

/* Sessions of one device, one after the other. */
#define SESSIONS 150
#define SESSIONS_NS (UINT64_C(2) * 1000000000)

/* Of a read that only wants to come to the end. */
#define DRAIN_SIZE ((size_t)64 << 10)

/* ---- bytes ------------------------------------------------------------------------- */

/* Exactly @len bytes; a device that has not so many now tells nothing. */
static int read_bytes(struct vfm_trial *t, uint8_t *buf, size_t len)
{
	struct vfm_err err;

	for (size_t done = 0; done < len;) {
		ssize_t n = vfm_device_read_data(t->dev, buf + done, len - done, &err);

		if (n == 0 || n == -ENOMSG)
			return vfm_trial_skip(t, "its image begins with less than %zu bytes", len);
		if (n < 0)
			return vfm_trial_blocked(t, &err);
		done += (size_t)n;
	}
	return 0;
}

/* What a read gave that must be refused, in words; NULL: it was refused. */
static const char *what_was_read(struct vfm_trial *t, char *text, size_t room)
{
	uint8_t buf[64];
	ssize_t n = vfm_device_read_data(t->dev, buf, sizeof(buf), NULL);

	if (n < 0 && n != -ENOMSG)
		return NULL;
	if (n <= 0)
		return n ? "said that there is nothing now" : "said that the data is finished";
	snprintf(text, room, "gave %zd bytes", n);
	return text;
}

/* @where, and after what. */
static int read_refused(struct vfm_trial *t, const char *where)
{
	char text[64];
	const char *given = what_was_read(t, text, sizeof(text));

	return given ? vfm_trial_fail(t, "%s, a read of the data session must be refused; it %s",
				      where, given)
		     : 0;
}

static int write_refused(struct vfm_trial *t, const char *where)
{
	static const uint8_t zeros[64];

	if (vfm_device_write_data(t->dev, zeros, sizeof(zeros), NULL))
		return 0;
	return vfm_trial_fail(t,
			      "%s, a write of the data session must be refused; it took %zu bytes",
			      where, sizeof(zeros));
}

/* ---- states in which there is no session --------------------------------------------- */

static int no_write_here(struct vfm_trial *t, enum vfm_state state, void *user)
{
	char where[64];

	(void)user;
	if (state == VFM_STATE_RESUMING)
		return 0;
	snprintf(where, sizeof(where), "in %s", vfm_state_name(state));
	return write_refused(t, where);
}

static int read_needs_saving(struct vfm_trial *t)
{
	static const enum vfm_state idle[] = { VFM_STATE_RUNNING, VFM_STATE_RUNNING_P2P,
					       VFM_STATE_STOP };
	int ret = 0;

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(idle); i++) {
		char where[64];

		if (!vfm_state_exists(t->migration, idle[i]))
			continue;
		snprintf(where, sizeof(where), "in %s, with no session begun",
			 vfm_state_name(idle[i]));
		ret = vfm_trial_go(t, idle[i]);
		if (!ret)
			ret = read_refused(t, where);
	}
	return ret;
}

static int write_needs_resuming(struct vfm_trial *t)
{
	return vfm_trial_each_state(t, no_write_here, NULL);
}

static int no_read_in_resuming(struct vfm_trial *t)
{
	int ret = vfm_trial_go(t, VFM_STATE_RESUMING);

	return ret ? ret : read_refused(t, "in RESUMING");
}

/* ---- ends -------------------------------------------------------------------------- */

struct way {
	enum vfm_state from, to;
};

/* @from with a session that was read a little, and then @to. */
static int read_and_go(struct vfm_trial *t, const struct way *way, uint8_t *buf, size_t len)
{
	int ret = vfm_trial_go(t, VFM_STATE_RUNNING);

	if (!ret)
		ret = vfm_trial_go(t, way->from);
	if (!ret)
		ret = read_bytes(t, buf, len);
	return ret ? ret : vfm_trial_go(t, way->to);
}

static void say_after(char *text, size_t room, const struct way *way)
{
	snprintf(text, room, "after %s, partly read, to %s", vfm_state_name(way->from),
		 vfm_state_name(way->to));
}

static bool way_exists(const struct vfm_trial *t, const struct way *way)
{
	return vfm_state_exists(t->migration, way->from) && vfm_state_exists(t->migration, way->to);
}

static int ends_with_saving(struct vfm_trial *t)
{
	static const struct way ways[] = {
		{ VFM_STATE_STOP_COPY, VFM_STATE_STOP },
		{ VFM_STATE_PRE_COPY, VFM_STATE_RUNNING },
		{ VFM_STATE_PRE_COPY_P2P, VFM_STATE_RUNNING_P2P },
		{ VFM_STATE_STOP_COPY, VFM_STATE_RUNNING },
		{ VFM_STATE_PRE_COPY, VFM_STATE_STOP },
	};
	int ret = 0;

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(ways); i++) {
		uint8_t head[16];
		char after[80];

		if (!way_exists(t, &ways[i]))
			continue;
		say_after(after, sizeof(after), &ways[i]);
		ret = read_and_go(t, &ways[i], head, sizeof(head));
		if (!ret)
			ret = read_refused(t, after);
	}
	return ret;
}

/* An image of the device is loaded and proven: it is in STOP. */
static int load(struct vfm_trial *t, const struct vfm_image *image)
{
	struct vfm_err err;
	int ret = vfm_trial_write(t, image);

	if (!ret && vfm_device_set_state(t->dev, VFM_STATE_STOP, &err))
		ret = vfm_trial_blocked(t, &err);
	return ret;
}

static int ends_with_resuming(struct vfm_trial *t)
{
	struct vfm_image image = { 0 };
	int ret = vfm_trial_save(t, &image);

	if (!ret)
		ret = load(t, &image);
	if (!ret)
		ret = write_refused(t, "in STOP, after an image was loaded and proven");
	free(image.data);
	return ret;
}

static int load_begins_anew(struct vfm_trial *t)
{
	struct vfm_image image = { 0 };
	struct vfm_err err;
	int ret = vfm_trial_reset(t);

	if (!ret)
		ret = vfm_trial_go(t, VFM_STATE_RESUMING);
	if (!ret && !vfm_device_set_state(t->dev, VFM_STATE_STOP, NULL))
		ret = vfm_trial_skip(t, "it never wants an image");
	if (!ret)
		ret = vfm_trial_save(t, &image);
	if (!ret)
		ret = load(t, &image);
	free(image.data);
	if (!ret && vfm_device_set_state(t->dev, VFM_STATE_RESUMING, &err))
		ret = vfm_trial_blocked(t, &err);
	if (ret || vfm_device_set_state(t->dev, VFM_STATE_STOP, NULL))
		return ret;
	return vfm_trial_fail(t,
			      "an image was loaded and proven; RESUMING again, and STOP without a "
			      "byte, must be refused, and was not");
}

/* One call ends the session that is read and begins the one that is written. */
static int swapped(struct vfm_trial *t)
{
	static const enum vfm_state froms[] = { VFM_STATE_STOP_COPY, VFM_STATE_PRE_COPY };
	int ret = 0;

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(froms); i++) {
		const struct way way = { froms[i], VFM_STATE_RESUMING };
		uint8_t head[16];
		char after[80];

		if (!way_exists(t, &way))
			continue;
		say_after(after, sizeof(after), &way);
		ret = read_and_go(t, &way, head, sizeof(head));
		if (!ret)
			ret = read_refused(t, after);
	}
	return ret;
}

/* ---- goes on, and begins again -------------------------------------------------------- */

/* The session has been read for 2 * HEAD bytes, @seen: what comes now must not be @seen again. */
static int goes_on(struct vfm_trial *t, const uint8_t *seen, const char *after)
{
	uint8_t next[HEAD];
	int ret;

	if (!memcmp(seen, seen + HEAD, HEAD))
		return vfm_trial_skip(t, "its image begins with the same %d bytes twice", HEAD);
	ret = read_bytes(t, next, HEAD);
	if (ret || memcmp(next, seen, HEAD))
		return ret;
	return vfm_trial_fail(t,
			      "%s, the session must go on; after %d bytes that had been read its "
			      "first %d bytes came again",
			      after, 2 * HEAD, HEAD);
}

static int kept(struct vfm_trial *t, const struct way *way)
{
	uint8_t seen[2 * HEAD];
	char after[80];
	int ret = read_and_go(t, way, seen, sizeof(seen));

	say_after(after, sizeof(after), way);
	return ret ? ret : goes_on(t, seen, after);
}

static int kept_by(struct vfm_trial *t, const struct way *ways, size_t count)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < count; i++)
		if (way_exists(t, &ways[i]))
			ret = kept(t, &ways[i]);
	return ret;
}

static int kept_by_same_state(struct vfm_trial *t)
{
	static const struct way ways[] = {
		{ VFM_STATE_STOP_COPY, VFM_STATE_STOP_COPY },
		{ VFM_STATE_PRE_COPY, VFM_STATE_PRE_COPY },
		{ VFM_STATE_PRE_COPY_P2P, VFM_STATE_PRE_COPY_P2P },
	};

	return kept_by(t, ways, VFM_ARRAY_SIZE(ways));
}

static int kept_by_stop_copy(struct vfm_trial *t)
{
	static const struct way ways[] = {
		{ VFM_STATE_PRE_COPY, VFM_STATE_STOP_COPY },
		{ VFM_STATE_PRE_COPY_P2P, VFM_STATE_STOP_COPY },
	};

	return kept_by(t, ways, VFM_ARRAY_SIZE(ways));
}

static int kept_by_p2p(struct vfm_trial *t)
{
	static const struct way ways[] = {
		{ VFM_STATE_PRE_COPY, VFM_STATE_PRE_COPY_P2P },
		{ VFM_STATE_PRE_COPY_P2P, VFM_STATE_PRE_COPY },
	};

	return kept_by(t, ways, VFM_ARRAY_SIZE(ways));
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
static int begins_anew(struct vfm_trial *t, const struct way *way, bool reset)
{
	const char *from = vfm_state_name(way->from);
	uint64_t first, second;
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
	static const struct way ways[] = {
		{ VFM_STATE_STOP_COPY, VFM_STATE_STOP },
		{ VFM_STATE_PRE_COPY, VFM_STATE_RUNNING },
		{ VFM_STATE_PRE_COPY_P2P, VFM_STATE_RUNNING_P2P },
	};
	int ret = 0;

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(ways); i++)
		if (way_exists(t, &ways[i]))
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
		ret = read_bytes(t, seen, sizeof(seen));
	if (!ret && !vfm_device_write_data(t->dev, seen, sizeof(seen), NULL))
		return vfm_trial_skip(t, "a write in STOP_COPY is not refused");
	if (!ret)
		ret = vfm_trial_in_state(t, VFM_STATE_STOP_COPY, "a refused write");
	return ret ? ret : goes_on(t, seen, "after a write in STOP_COPY was refused");
}

/* As many as there is time for: arcs of real devices take theirs. */
static int again_and_again(struct vfm_trial *t)
{
	enum vfm_state saving =
		t->migration & VFM_MIGRATION_PRE_COPY ? VFM_STATE_PRE_COPY : VFM_STATE_STOP_COPY;
	enum vfm_state targets[] = { VFM_STATE_RUNNING, saving };
	uint64_t end = vfm_now_ns() + SESSIONS_NS;
	struct vfm_err err;

	for (unsigned int i = 1; i <= SESSIONS && vfm_now_ns() < end; i++)
		for (size_t j = 0; j < VFM_ARRAY_SIZE(targets); j++) {
			if (!vfm_device_set_state(t->dev, targets[j], &err))
				continue;
			if (i == 1)
				return vfm_trial_blocked(t, &err);
			return vfm_trial_fail(t,
					      "after %u sessions that were opened and ended, %s "
					      "failed: %s",
					      i - 1, vfm_state_name(targets[j]), err.msg);
		}
	return 0;
}

/* ---- the table ----------------------------------------------------------------------- */

const struct vfm_rule vfm_rules_session[] = {
	{
		.is = { .name = "v2.session.read-needs-saving",
			.title = "there is no data in RUNNING, RUNNING_P2P and STOP",
			.source =
				"uAPI, enum vfio_device_mig_state: a data_fd comes with PRE_COPY, "
				"PRE_COPY_P2P and STOP_COPY; <vfmig/device.h>, "
				"vfm_device_read_data()",
			.text = "Data that is read while no session is open is of no image.\n\n"
				"It is read in these states, before any session has been opened.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = read_needs_saving,
	},
	{
		.is = { .name = "v2.session.read-refused-in-resuming",
			.title = "the session of RESUMING cannot be read",
			.source = "uAPI, enum vfio_device_mig_state: RESUMING -> the data_fd is "
				  "written; vfio-user, MIG_DATA_READ: in the saving states",
			.text = "A device that hands out what it is just loading tells half of an "
				"image for a whole one.\n\n"
				"In RESUMING, the session is read.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = no_read_in_resuming,
	},
	{
		.is = { .name = "v2.session.write-needs-resuming",
			.title = "data is taken in RESUMING alone",
			.source = "uAPI, enum vfio_device_mig_state: RESUMING; vfio-user, "
				  "MIG_DATA_WRITE: only in RESUMING",
			.text = "A running device that takes state writes over itself, and one "
				"that "
				"is being saved over what is read.\n\n"
				"In every other state, 64 zeros are written.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = write_needs_resuming,
	},
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
		.is = { .name = "v2.session.ends-with-saving",
			.title = "a session is dead when its states are left",
			.source = "uAPI, enum vfio_device_mig_state: the arcs out of PRE_COPY, "
				  "PRE_COPY_P2P and STOP_COPY end the session, and its data_fd "
				  "returns no more data",
			.text = "What is read after a device has run on is not the image that was "
				"begun.\n\n"
				"A session is read a little, its state is left in each way that "
				"there is, and it is read again: that must be refused.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = ends_with_saving,
	},
	{
		.is = { .name = "v2.session.ends-with-resuming",
			.title = "nothing more is taken when an image has been proven",
			.source = "uAPI, enum vfio_device_mig_state: RESUMING -> STOP ends the "
				  "session",
			.text = "Bytes behind the proof would be in the device unproven.\n\n"
				"The device's own image is loaded, and in STOP more is written.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = ends_with_resuming,
	},
	{
		.is = { .name = "v2.session.load-begins-anew",
			.title = "another RESUMING wants another whole image",
			.source = "uAPI, enum vfio_device_mig_state: STOP -> RESUMING starts a new "
				  "session, the state of the device is then that of its data",
			.text = "That an image was proven once says nothing of the next one.\n\n"
				"The device's own image is loaded. Then it is sent to RESUMING "
				"again, "
				"and to STOP with nothing loaded, which must be refused.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = load_begins_anew,
	},
	{
		.is = { .name = "v2.session.one-at-a-time",
			.title = "a session that is written ends the one that is read",
			.source =
				"uAPI, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE: one data session at a "
				"time; <vfmig/device.h>, vfm_device_set_state(): the one data "
				"session",
			.text = "One call leads from STOP_COPY to RESUMING, through STOP: the "
				"first "
				"session ends on the way, and must be dead.\n\n"
				"From STOP_COPY and from PRE_COPY, partly read, the device is sent "
				"to RESUMING, and read.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = swapped,
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
	{
		.is = { .name = "v2.session.again-and-again",
			.title = "sessions can be opened and ended any number of times",
			.source = "uAPI, enum vfio_device_mig_state: no arc is limited in number",
			.text = "A session that leaves something behind, memory or a descriptor, "
				"ends "
				"a device that is moved often.\n\n"
				"150 sessions are opened, and ended unread, or as many as fit into "
				"two seconds.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = again_and_again,
	},
};
const size_t vfm_nr_rules_session = VFM_ARRAY_SIZE(vfm_rules_session);
