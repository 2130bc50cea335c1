// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about the data session: which arcs open and end it, and that it can be read and
 * written then and only then. Where in it one is, is in rules_position.c; what is in it, and
 * how it ends, is another matter.
 */

#include "check/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"

/* Sessions of one device, one after the other. */
#define SESSIONS 150
#define SESSIONS_NS (UINT64_C(2) * 1000000000)

/* ---- refusals ---------------------------------------------------------------------- */

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

static int ends_with_saving(struct vfm_trial *t)
{
	static const struct vfm_way ways[] = {
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

		if (!vfm_way_exists(t, &ways[i]))
			continue;
		vfm_way_words(after, sizeof(after), &ways[i]);
		ret = vfm_way_go(t, &ways[i], head, sizeof(head));
		if (!ret)
			ret = read_refused(t, after);
	}
	return ret;
}

static int ends_with_resuming(struct vfm_trial *t)
{
	struct vfm_image image = { 0 };
	int ret = vfm_trial_save(t, &image);

	if (!ret)
		ret = vfm_session_load(t, &image);
	if (!ret)
		ret = write_refused(t, "in STOP, after an image was loaded and proven");
	vfm_image_free(&image);
	return ret;
}

static int load_begins_anew(struct vfm_trial *t)
{
	struct vfm_image image = { 0 };
	struct vfm_err err;
	int ret = vfm_trial_reset(t);

	if (!ret)
		ret = vfm_trial_save(t, &image);
	if (!ret)
		ret = vfm_trial_go(t, VFM_STATE_RESUMING);
	if (!ret && !vfm_device_set_state(t->dev, VFM_STATE_STOP, NULL))
		ret = vfm_trial_skip(t, "it never wants an image");
	if (!ret)
		ret = vfm_session_load(t, &image);
	vfm_image_free(&image);
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
	static const enum vfm_state saving[] = { VFM_STATE_STOP_COPY, VFM_STATE_PRE_COPY };
	int ret = 0;

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(saving); i++) {
		const struct vfm_way way = { saving[i], VFM_STATE_RESUMING };
		uint8_t head[16];
		char after[80];

		if (!vfm_way_exists(t, &way))
			continue;
		vfm_way_words(after, sizeof(after), &way);
		ret = vfm_way_go(t, &way, head, sizeof(head));
		if (!ret)
			ret = read_refused(t, after);
	}
	return ret;
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
