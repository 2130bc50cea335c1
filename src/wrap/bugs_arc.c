// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Bugs of the state machine. */

#include "wrap/wrap.h"

#include <errno.h>
#include <poll.h>

#include "base/util.h"

/* ---- refused, and should not be ------------------------------------------------------ */

static int no_such_way(enum vfm_state state, struct vfm_err *err)
{
	return vfm_fail(err, -EINVAL, "set state %s: there is no such way", vfm_state_name(state));
}

/* A ladder of pairs that nobody has cancelled a move with. */
static int no_way_back(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	if (vfm_fault_state(dev) == VFM_STATE_PRE_COPY && state == VFM_STATE_STOP)
		return no_such_way(state, err);
	return vfm_pass_set_state(dev, state, err);
}

static int resuming_only_stops(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	if (vfm_fault_state(dev) == VFM_STATE_RESUMING && vfm_state_is_precopy(state))
		return no_such_way(state, err);
	return vfm_pass_set_state(dev, state, err);
}

/* The intended entry of a table of bits became that of another pair. */
static int same_state_refused(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	if (state == VFM_STATE_PRE_COPY && vfm_fault_state(dev) == state)
		return no_such_way(state, err);
	return vfm_pass_set_state(dev, state, err);
}

/* ---- accepted, and should not be ------------------------------------------------------- */

/* The path finder of the kernel went round in a circle for this one, with its lock held. */
static int stop_copy_loop(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	enum vfm_state now = vfm_fault_state(dev);

	while (now == VFM_STATE_STOP_COPY && vfm_state_is_precopy(state))
		poll(NULL, 0, 1000);
	return vfm_pass_set_state(dev, state, err);
}

/* A bound that is one too far: the first state that there is not is taken for one. */
static int state_off_by_one(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	if ((unsigned int)state == VFM_NR_STATES)
		return 0;
	return vfm_pass_set_state(dev, state, err);
}

static int error_accepted(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	return state == VFM_STATE_ERROR ? 0 : vfm_pass_set_state(dev, state, err);
}

static int hides_p2p(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err)
{
	int ret = vfm_pass_get_migration(dev, migration, err);

	*migration &= ~VFM_MIGRATION_P2P;
	return ret;
}

/* ---- states that are not told as they are -------------------------------------------- */

/* Set before the work is done: until the next state that is asked for. */
static int commits_early(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	bool resuming = vfm_fault_state(dev) == VFM_STATE_RESUMING;
	int ret = vfm_pass_set_state(dev, state, err);

	vfm_fault_of(dev)->flag = ret && resuming && state == VFM_STATE_STOP;
	return ret;
}

static int told_early(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	int ret = vfm_pass_get_state(dev, state, err);

	if (!ret && vfm_fault_of(dev)->flag)
		*state = VFM_STATE_STOP;
	return ret;
}

static int reset_forgets_flag(struct vfm_device *dev, struct vfm_err *err)
{
	vfm_fault_of(dev)->flag = false;
	return vfm_pass_reset(dev, err);
}

#define MANY_LOOKS 10

/* Back to RUNNING, when it was seen to be in RUNNING_P2P for long enough. */
static int leaves_p2p(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	int ret = vfm_pass_get_state(dev, state, err);

	f->count[0] = !ret && *state == VFM_STATE_RUNNING_P2P ? f->count[0] + 1 : 0;
	if (f->count[0] <= MANY_LOOKS)
		return ret;
	*state = VFM_STATE_RUNNING;
	return vfm_pass_set_state(dev, VFM_STATE_RUNNING, err);
}

/* An image that is refused leads to ERROR, and RUNNING out of it. */
static int error_left(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	int ret;

	if (f->flag && state != VFM_STATE_RUNNING)
		return vfm_fail(err, -EIO, "the device is in ERROR");
	if (f->flag) {
		f->flag = false;
		ret = vfm_pass_reset(dev, err);
		if (ret)
			return ret;
	}
	f->flag = vfm_fault_state(dev) == VFM_STATE_RESUMING && state == VFM_STATE_STOP;
	ret = vfm_pass_set_state(dev, state, err);
	f->flag &= ret != 0;
	return ret;
}

static int tells_error(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	int ret = vfm_pass_get_state(dev, state, err);

	if (!ret && vfm_fault_of(dev)->flag)
		*state = VFM_STATE_ERROR;
	return ret;
}

/* ---- the table -------------------------------------------------------------------------- */

const struct vfm_bug vfm_bugs_arc[] = {
	{
		.is = { .name = "pre-copy-to-stop-missing",
			.title = "PRE_COPY to STOP is refused",
			.where = "" },
		.rules = { "v2.arc.all-paths" },
		.needs = VFM_MIGRATION_PRE_COPY,
		.ops = { .set_state = no_way_back },
	},
	{
		.is = { .name = "resuming-only-stops",
			.title = "RESUMING to PRE_COPY is refused",
			.where = "" },
		.rules = { "v2.arc.from-resuming" },
		.needs = VFM_MIGRATION_PRE_COPY,
		.ops = { .set_state = resuming_only_stops },
	},
	{
		.is = { .name = "same-state-refused",
			.title = "PRE_COPY is refused in PRE_COPY",
			.where = "libvfio-user, migration_priv.h of v1: 1 << RUNNING | SAVING" },
		.rules = { "v2.arc.same-state" },
		.needs = VFM_MIGRATION_PRE_COPY,
		.ops = { .set_state = same_state_refused },
	},
	{
		.is = { .name = "leaves-p2p",
			.title = "the device goes from RUNNING_P2P to RUNNING by itself",
			.where = "" },
		.rules = { "v2.arc.state-stays" },
		.needs = VFM_MIGRATION_P2P,
		.ops = { .get_state = leaves_p2p },
	},
	{
		.is = { .name = "stop-copy-loop",
			.title = "STOP_COPY to PRE_COPY never returns",
			.where = "Linux, vfio_mig_get_next_state(), 2022 to 2026" },
		.rules = { "v2.arc.stop-copy-to-pre-copy-refused" },
		.needs = VFM_MIGRATION_PRE_COPY,
		.ops = { .set_state = stop_copy_loop },
	},
	{
		.is = { .name = "error-accepted",
			.title = "ERROR can be asked for",
			.where = "libvfio-user of v1: users could write ERROR" },
		.rules = { "v2.arc.error-refused" },
		.ops = { .set_state = error_accepted },
	},
	{
		.is = { .name = "p2p-not-told",
			.title = "the states of P2P are there, and the features do not say so",
			.where = "" },
		.rules = { "v2.arc.lacking-states-refused" },
		.needs = VFM_MIGRATION_P2P,
		.ops = { .get_migration = hides_p2p },
	},
	{
		.is = { .name = "state-off-by-one",
			.title = "state 8 is accepted",
			.where = "libvfio-user, migration.c, state > NUM_STATES" },
		.rules = { "v2.arc.out-of-range-refused" },
		.ops = { .set_state = state_off_by_one },
	},
	{
		.is = { .name = "state-committed-early",
			.title = "after RESUMING to STOP has failed, the state is said to be STOP",
			.where = "" },
		.rules = { "v2.arc.failure-told" },
		.ops = { .set_state = commits_early,
			 .get_state = told_early,
			 .reset = reset_forgets_flag },
	},
	{
		.is = { .name = "error-left-without-reset",
			.title = "ERROR can be left for RUNNING",
			.where = "" },
		.rules = { "v2.arc.from-error-refused" },
		.ops = { .set_state = error_left,
			 .get_state = tells_error,
			 .reset = reset_forgets_flag },
	},
};
const size_t vfm_nr_bugs_arc = VFM_ARRAY_SIZE(vfm_bugs_arc);
