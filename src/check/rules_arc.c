// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about states and the ways between them. What the data session does on these
 * ways is in rules_session.c.
 *
 * What surprises: a way out of RESUMING needs an image that is whole, so those are tried
 * apart, with one that the device itself has saved.
 */

#include "check/session.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"
#include "protocol/v2.h"

/* How often a state is looked at that must stay; a millisecond goes by each fourth time. */
#define LOOKS 16

static bool has_path(const struct vfm_trial *t, enum vfm_state from, enum vfm_state to)
{
	enum vfm_state next;

	return vfm_state_exists(t->migration, to) && !vfm_next_state(t->migration, from, to, &next);
}

/* A state that must be refused, and leave the device where it is. */
static int refuses(struct vfm_trial *t, enum vfm_state from, unsigned int to)
{
	char what[64];
	int ret;

	snprintf(what, sizeof(what), "%s to %s (%u)", vfm_state_name(from),
		 vfm_state_name((enum vfm_state)to), to);
	ret = vfm_trial_refused(t, vfm_device_set_state(t->dev, (enum vfm_state)to, NULL), what);
	return ret ? ret : vfm_trial_in_state(t, from, what);
}

/* ---- ways that there are --------------------------------------------------------- */

static int goes(struct vfm_trial *t, enum vfm_state from, enum vfm_state to)
{
	char what[64];
	struct vfm_err err;

	snprintf(what, sizeof(what), "%s to %s", vfm_state_name(from), vfm_state_name(to));
	if (vfm_device_set_state(t->dev, to, &err))
		return vfm_trial_fail(t, "%s, for which there is a path, failed: %s", what,
				      err.msg);
	return vfm_trial_in_state(t, to, what);
}

/* From where the last way has led; out of RESUMING, with nothing loaded, by a reset. */
static int goes_back(struct vfm_trial *t, enum vfm_state now, enum vfm_state from)
{
	int ret = 0;

	if (now == VFM_STATE_RESUMING) {
		ret = vfm_trial_reset(t);
		now = VFM_STATE_RUNNING;
	}
	if (!ret && !has_path(t, now, from)) {
		ret = goes(t, now, VFM_STATE_RUNNING);
		now = VFM_STATE_RUNNING;
	}
	return ret ? ret : goes(t, now, from);
}

static int all_paths(struct vfm_trial *t)
{
	enum vfm_state now = VFM_STATE_RUNNING;
	int ret = 0;

	for (unsigned int pair = 0; !ret && pair < VFM_NR_STATES * VFM_NR_STATES; pair++) {
		enum vfm_state from = (enum vfm_state)(pair / VFM_NR_STATES);
		enum vfm_state to = (enum vfm_state)(pair % VFM_NR_STATES);

		if (from == VFM_STATE_RESUMING || from == to ||
		    !vfm_state_exists(t->migration, from) || !has_path(t, from, to))
			continue;
		ret = goes_back(t, now, from);
		if (!ret)
			ret = goes(t, from, to);
		now = to;
	}
	return ret;
}

static int from_resuming(struct vfm_trial *t)
{
	struct vfm_image image = { 0 };
	int ret = vfm_trial_save(t, &image);

	if (!ret)
		ret = vfm_session_load(t, &image);
	for (unsigned int to = VFM_STATE_RUNNING; !ret && to < VFM_NR_STATES; to++) {
		if (to == VFM_STATE_RESUMING ||
		    !has_path(t, VFM_STATE_RESUMING, (enum vfm_state)to))
			continue;
		ret = vfm_trial_write(t, &image);
		if (!ret)
			ret = goes(t, VFM_STATE_RESUMING, (enum vfm_state)to);
	}
	vfm_image_free(&image);
	return ret;
}

static int stays(struct vfm_trial *t, enum vfm_state state, void *user)
{
	(void)user;
	return goes(t, state, state);
}

static int same_state(struct vfm_trial *t)
{
	return vfm_trial_each_state(t, stays, NULL);
}

/* Served meanwhile, as a device that does something would be. */
static int stays_by_itself(struct vfm_trial *t, enum vfm_state state, void *user)
{
	int ret = 0;

	(void)user;
	for (int i = 0; !ret && i < LOOKS; i++) {
		struct pollfd p = { .fd = vfm_device_get_fd(t->dev), .events = POLLIN };
		struct vfm_err err;

		if (poll(&p, 1, i % 4 == 0) > 0 && vfm_device_process(t->dev, &err))
			return vfm_trial_blocked(t, &err);
		ret = vfm_trial_in_state(t, state, "a while in which nothing was asked");
	}
	return ret;
}

static int state_stays(struct vfm_trial *t)
{
	return vfm_trial_each_state(t, stays_by_itself, NULL);
}

/* ---- ways that there are not ------------------------------------------------------- */

static int stop_copy_to_pre_copy(struct vfm_trial *t)
{
	int ret = vfm_trial_go(t, VFM_STATE_STOP_COPY);

	if (!ret)
		ret = refuses(t, VFM_STATE_STOP_COPY, VFM_STATE_PRE_COPY);
	if (!ret && vfm_state_exists(t->migration, VFM_STATE_PRE_COPY_P2P))
		ret = refuses(t, VFM_STATE_STOP_COPY, VFM_STATE_PRE_COPY_P2P);
	return ret;
}

static int refuses_error(struct vfm_trial *t, enum vfm_state from, void *user)
{
	(void)user;
	return refuses(t, from, VFM_STATE_ERROR);
}

static int error_refused(struct vfm_trial *t)
{
	return vfm_trial_each_state(t, refuses_error, NULL);
}

static int refuses_lacking(struct vfm_trial *t, enum vfm_state from, void *user)
{
	int ret = 0;

	(void)user;
	for (unsigned int to = VFM_STATE_ERROR + 1; !ret && to < VFM_NR_STATES; to++)
		if (!vfm_state_exists(t->migration, (enum vfm_state)to))
			ret = refuses(t, from, to);
	return ret;
}

static int lacking_refused(struct vfm_trial *t)
{
	const uint64_t all = VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_P2P | VFM_MIGRATION_PRE_COPY;

	if ((t->migration & all) == all)
		return vfm_trial_skip(t, "the device has all states");
	return vfm_trial_each_state(t, refuses_lacking, NULL);
}

static int refuses_beyond(struct vfm_trial *t, enum vfm_state from, void *user)
{
	static const uint32_t beyond[] = { 8, 9, 255, UINT32_C(1) << 31, UINT32_MAX };
	int ret = 0;

	(void)user;
	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(beyond); i++)
		ret = refuses(t, from, beyond[i]);
	return ret;
}

static int out_of_range(struct vfm_trial *t)
{
	return vfm_trial_each_state(t, refuses_beyond, NULL);
}

/* ---- failures ---------------------------------------------------------------------- */

/* Go from RESUMING to @to with nothing loaded: 0: that failed, as it should. */
static int fail_to_resume(struct vfm_trial *t, enum vfm_state to)
{
	int ret = vfm_trial_go(t, VFM_STATE_RESUMING);

	if (!ret && !vfm_device_set_state(t->dev, to, NULL))
		ret = vfm_trial_skip(t, "RESUMING to %s does not fail, even with nothing loaded",
				     vfm_state_name(to));
	return ret;
}

static int failure_told(struct vfm_trial *t)
{
	static const enum vfm_state targets[] = { VFM_STATE_STOP, VFM_STATE_RUNNING };
	enum vfm_state now;
	struct vfm_err err;

	for (size_t i = 0; i < VFM_ARRAY_SIZE(targets); i++) {
		const char *name = vfm_state_name(targets[i]);
		int ret = fail_to_resume(t, targets[i]);

		if (ret)
			return ret;
		if (vfm_device_get_state(t->dev, &now, &err))
			return vfm_trial_fail(t,
					      "after RESUMING to %s failed, the state cannot "
					      "be read: %s",
					      name, err.msg);
		if (now != VFM_STATE_RESUMING && now != VFM_STATE_ERROR)
			return vfm_trial_fail(t,
					      "RESUMING to %s failed, and the state is said to be "
					      "%s; the first step of that way, to STOP, was not "
					      "done: it must be RESUMING, or ERROR",
					      name, vfm_state_name(now));
	}
	return 0;
}

/* What may lead a device into ERROR, of what everybody can do. */
static int try_to_break(struct vfm_trial *t, bool *broken)
{
	uint64_t noise[64];
	enum vfm_state now = VFM_STATE_RUNNING;
	int ret = vfm_trial_go(t, VFM_STATE_RESUMING);

	for (size_t i = 0; i < VFM_ARRAY_SIZE(noise); i++)
		noise[i] = vfm_trial_random(t);
	for (int i = 0; !ret && i < 2 && now != VFM_STATE_ERROR; i++) {
		if (i && vfm_device_write_data(t->dev, noise, sizeof(noise), NULL) == -ENOTTY)
			break;
		if (!vfm_device_set_state(t->dev, VFM_STATE_STOP, NULL))
			break;
		if (vfm_device_get_state(t->dev, &now, NULL))
			break;
	}
	*broken = now == VFM_STATE_ERROR;
	return ret;
}

static int from_error(struct vfm_trial *t)
{
	bool broken;
	int ret = try_to_break(t, &broken);

	if (ret)
		return ret;
	if (!broken)
		return vfm_trial_skip(t, "the device could not be brought into ERROR");
	for (unsigned int to = 0; !ret && to < VFM_NR_STATES; to++)
		ret = refuses(t, VFM_STATE_ERROR, to);
	if (!ret && vfm_device_reset(t->dev, NULL))
		ret = vfm_trial_fail(t, "in ERROR a reset failed");
	return ret ? ret : vfm_trial_in_state(t, VFM_STATE_RUNNING, "a reset in ERROR");
}

/* ---- the table ---------------------------------------------------------------------- */

const struct vfm_rule vfm_rules_arc[] = {
	{
		.is = { .name = "v2.arc.all-paths",
			.title = "every state is reached from every other, where there is a path",
			.source =
				"uAPI, enum vfio_device_mig_state: the arcs, and the combinations "
				"that lead along the shortest path",
			.text = "A user asks for the state that it wants, and the device finds the "
				"way. "
				"A ladder of pairs forgets some: STOP_COPY to RUNNING when a move "
				"is "
				"cancelled, PRE_COPY to STOP when a machine is paused.\n\n"
				"From each state but RESUMING and ERROR, the device is sent to "
				"each "
				"other; it must be there then. A device that goes single arcs "
				"along "
				"a table of next states has all of them right.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = all_paths,
	},
	{
		.is = { .name = "v2.arc.from-resuming",
			.title = "with an image loaded, every state is reached from RESUMING",
			.source = "uAPI, enum vfio_device_mig_state: RESUMING -> STOP, and its "
				  "combinations with the arcs from STOP",
			.text = "Most users go from RESUMING to RUNNING in one call, and some to "
				"STOP or to a state of pre-copy.\n\n"
				"An image of the device itself is loaded for each state, and the "
				"device is sent there.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = from_resuming,
	},
	{
		.is = { .name = "v2.arc.same-state",
			.title = "the state that it is in can be asked for, and nothing happens",
			.source = "uAPI, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE: SET of the present "
				  "state; <vfmig/device.h>: always legal and does nothing",
			.text = "Users repeat a state to be sure of it.\n\n"
				"Each state is asked for when the device is in it.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = same_state,
	},
	{
		.is = { .name = "v2.arc.state-stays",
			.title = "a state is left only when that is asked for",
			.source = "uAPI, enum vfio_device_mig_state: states change by SET and by a "
				  "reset, and to ERROR by a SET that fails",
			.text = "A device that has sent all that it has, and so thinks that it is "
				"done, surprises whoever counts on its state.\n\n"
				"In each state, it is asked for the state 16 times, and has some "
				"milliseconds to change its mind.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = state_stays,
	},
	{
		.is = { .name = "v2.arc.stop-copy-to-pre-copy-refused",
			.title = "STOP_COPY to PRE_COPY is refused, and the device stays",
			.source = "uAPI, enum vfio_device_mig_state: STOP_COPY -> PRE_COPY and "
				  "STOP_COPY -> PRE_COPY_P2P are blocked",
			.text = "A path finder that looks for a way between any two states can "
				"look for this one for ever, as there is none: the one session can "
				"not go back to what was before the stop.\n\n"
				"In STOP_COPY, both states are asked for. The state must be what "
				"it "
				"was.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_PRE_COPY,
		.run = stop_copy_to_pre_copy,
	},
	{
		.is = { .name = "v2.arc.error-refused",
			.title = "ERROR cannot be asked for",
			.source = "uAPI, enum vfio_device_mig_state: ERROR is no state that a user "
				  "can set",
			.text = "The device alone enters it, when it fails.\n\n"
				"It is asked for in every state. The state must be what it was.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = error_refused,
	},
	{
		.is = { .name = "v2.arc.lacking-states-refused",
			.title = "states that the features do not promise are refused",
			.source = "uAPI, VFIO_DEVICE_FEATURE_MIGRATION: states of P2P and PRE_COPY "
				  "are there only with their bit",
			.text = "A device that has a state without saying so is in a state "
				"that its user does not know.\n\n"
				"In every state, each of the others that the features leave out is "
				"asked for. The state must be what it was.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = lacking_refused,
	},
	{
		.is = { .name = "v2.arc.out-of-range-refused",
			.title = "states that there are not are refused in every state",
			.source = "uAPI, enum vfio_device_mig_state: 8 states, 0 to 7",
			.text = "A bound that is checked with > instead of >= lets the number 8 "
				"index a table of eight.\n\n"
				"In every state, 8, 9, 255, 2^31 and 2^32 - 1 are asked for. The "
				"state must be what it was.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = out_of_range,
	},
	{
		.is = { .name = "v2.arc.failure-told",
			.title = "after a way that failed, the state told is one that was reached",
			.source =
				"uAPI, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE: on failure the device "
				"is in a state along the way, or in ERROR, and GET tells which",
			.text = "A user decides by that what to do next: a state that is set "
				"before "
				"the work is done, and not taken back, sends it the wrong way.\n\n"
				"RESUMING is left for STOP, and for RUNNING, with nothing loaded, "
				"which fails at the first step. The state must be RESUMING or "
				"ERROR.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = failure_told,
	},
	{
		.is = { .name = "v2.arc.from-error-refused",
			.title = "only a reset leads out of ERROR",
			.source =
				"uAPI, enum vfio_device_mig_state: ERROR is left by a reset of the "
				"device",
			.text = "A device that failed and goes on works with what nobody knows.\n\n"
				"If a load with nothing, or with random bytes, brings the device "
				"to "
				"ERROR, every state is asked for there, and then it is reset. A "
				"path finder need not know ERROR: look for it before.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = from_error,
	},
};
const size_t vfm_nr_rules_arc = VFM_ARRAY_SIZE(vfm_rules_arc);
