// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Bugs of the state machine. */

#include "wrap/wrap.h"

#include <errno.h>

#include "base/util.h"

/* The path finder of the kernel went round in a circle for this one, with its lock held. */
static int stop_copy_loop(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	enum vfm_state now;

	if (VFM_PASS(vfm_pass_inner(dev), get_state, err, &now))
		return err->code;
	while (now == VFM_STATE_STOP_COPY && vfm_state_is_precopy(state))
		continue;
	return VFM_PASS(vfm_pass_inner(dev), set_state, err, state);
}

/* A bound that is one too far: the first state that there is not is taken for one. */
static int state_off_by_one(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	if ((unsigned int)state == VFM_NR_STATES)
		return 0;
	return VFM_PASS(vfm_pass_inner(dev), set_state, err, state);
}

const struct vfm_bug vfm_bugs_arc[] = {
	{
		.is = { .name = "stop-copy-loop",
			.title = "STOP_COPY to PRE_COPY never returns",
			.where = "Linux, vfio_mig_get_next_state(), 2022 to 2026" },
		.rules = { "v2.arc.stop-copy-to-pre-copy-refused", "v2.arc.all-paths" },
		.needs = VFM_MIGRATION_PRE_COPY,
		.ops = { .set_state = stop_copy_loop },
	},
	{
		.is = { .name = "state-off-by-one",
			.title = "state 8 is accepted",
			.where = "libvfio-user, migration.c, state > NUM_STATES" },
		.rules = { "v2.arc.out-of-range-refused" },
		.ops = { .set_state = state_off_by_one },
	},
};
const size_t vfm_nr_bugs_arc = VFM_ARRAY_SIZE(vfm_bugs_arc);
