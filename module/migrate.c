// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * The state machine: a table gives the first arc of every path, a loop walks it one arc at a
 * time, and what happens to the session follows from the arc. v1 and v2 are two ways to
 * ask for it.
 *
 * The kernel has such a table as well. Ours is used because that of 6.1 lacks the states of
 * pre-copy, because all of them warn in the log when a user asks for something in ERROR,
 * and because all until 2026 never come back from STOP_COPY to PRE_COPY.
 */

#include "vfmig_sim.h"

#include <linux/delay.h>
#include <linux/sched/signal.h>

#define STOP_ MIG_STOP
#define RUN MIG_RUNNING
#define COPY MIG_STOP_COPY
#define LOAD MIG_RESUMING
#define RP2P MIG_RUNNING_P2P
#define PRE MIG_PRE_COPY
#define PP2P MIG_PRE_COPY_P2P

/* From a row to a column: the next state on the way; 0, which is ERROR: there is no way. */
/* clang-format off */
static const u8 next[MIG_NR][MIG_NR] = {
	/*			  ERROR STOP   RUNNING COPY  RESUMING RUN_P2P PRE    PRE_P2P */
	[MIG_STOP]	   = { 0, STOP_, RP2P, COPY,  LOAD,  RP2P,  RP2P,  RP2P },
	[MIG_RUNNING]	   = { 0, RP2P,	 RUN,  RP2P,  RP2P,  RP2P,  PRE,   RP2P },
	[MIG_STOP_COPY]	   = { 0, STOP_, STOP_, COPY, STOP_, STOP_, 0,	   0 },
	[MIG_RESUMING]	   = { 0, STOP_, STOP_, STOP_, LOAD, STOP_, STOP_, STOP_ },
	[MIG_RUNNING_P2P]  = { 0, STOP_, RUN,  STOP_, STOP_, RP2P,  RUN,   PP2P },
	[MIG_PRE_COPY]	   = { 0, RUN,	 RUN,  PP2P,  RUN,   RUN,   PRE,   PP2P },
	[MIG_PRE_COPY_P2P] = { 0, RP2P,	 RP2P, COPY,  RP2P,  RP2P,  PRE,   PP2P },
};
/* clang-format on */

/* Flags without which a state does not exist. */
static const u8 needs[MIG_NR] = {
	[MIG_STOP] = VFIO_MIGRATION_STOP_COPY,
	[MIG_STOP_COPY] = VFIO_MIGRATION_STOP_COPY,
	[MIG_RESUMING] = VFIO_MIGRATION_STOP_COPY,
	[MIG_RUNNING_P2P] = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P,
	[MIG_PRE_COPY] = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY,
	[MIG_PRE_COPY_P2P] = VFMS_FEATURES_ALL,
};

static_assert((int)MIG_STOP == VFIO_DEVICE_STATE_STOP);
static_assert((int)MIG_RUNNING_P2P == VFIO_DEVICE_STATE_RUNNING_P2P);

const char *vfms_mig_name(enum vfms_mig state)
{
	static const char *const names[MIG_NR] = {
		"ERROR",    "STOP",	   "RUNNING",  "STOP_COPY",
		"RESUMING", "RUNNING_P2P", "PRE_COPY", "PRE_COPY_P2P",
	};

	return state < MIG_NR ? names[state] : "?";
}

bool vfms_mig_active(enum vfms_mig state)
{
	return state == MIG_RUNNING || state == MIG_RUNNING_P2P || vfms_mig_precopy(state);
}

bool vfms_mig_precopy(enum vfms_mig state)
{
	return state == MIG_PRE_COPY || state == MIG_PRE_COPY_P2P;
}

bool vfms_mig_saving(enum vfms_mig state)
{
	return state == MIG_STOP_COPY || vfms_mig_precopy(state);
}

static bool exists(enum vfms_mig state, u32 features)
{
	return (needs[state] & features) == needs[state];
}

/* MIG_ERROR: there is no way. */
static enum vfms_mig next_state(enum vfms_mig from, enum vfms_mig want, u32 features)
{
	enum vfms_mig step = next[from][want];

	while (step != MIG_ERROR && !exists(step, features))
		step = next[step][want];
	return step;
}

void vfms_end_sessions(struct vfms *d)
{
	vfms_session_kill(d);
	d->save.open = false;
	d->load.open = false;
	d->v1.staged = 0;
	d->v1.handed_out = false;
	d->v1.zero = false;
}

static void begin_or_end_session(struct vfms *d, enum vfms_mig to)
{
	enum vfms_mig from = d->mig;

	if (vfms_mig_saving(to) && !vfms_mig_saving(from)) {
		vfms_end_sessions(d);
		vfms_save_begin(d);
		d->sessions_begun++;
	} else if (to == MIG_RESUMING) {
		vfms_end_sessions(d);
		vfms_load_begin(d);
		d->sessions_begun++;
	} else if (vfms_mig_saving(from) && !vfms_mig_saving(to)) {
		if (!vfms_fault(d, FAULT_OUTLIVES_SAVING))
			vfms_end_sessions(d);
	} else if (from == MIG_RESUMING) {
		vfms_end_sessions(d);
	} else if (vfms_mig_precopy(from) && to == MIG_STOP_COPY) {
		if (vfms_fault(d, FAULT_POSITION_LOST))
			vfms_save_begin(d);
	}
}

/* An image that is wrong breaks the device: half of it is in there already. */
static int prove(struct vfms *d)
{
	int ret = vfms_load_prove(d);

	if (!ret)
		return 0;
	vfms_end_sessions(d);
	WRITE_ONCE(d->mig, vfms_fault(d, FAULT_COMMITTED_EARLY) ? MIG_STOP : MIG_ERROR);
	return ret;
}

static int walk_arc(struct vfms *d, enum vfms_mig to)
{
	int ret = d->mig == MIG_RESUMING ? prove(d) : 0;

	if (ret)
		return ret;
	vfms_sync(d);
	vfms_settle(d);
	if (d->params.arc_us)
		fsleep(d->params.arc_us);
	begin_or_end_session(d, to);
	if (vfms_fault(d, FAULT_LOG_CLEARED_BY_STOP) && to == MIG_STOP)
		vfms_log_forget(d);
	WRITE_ONCE(d->mig, to);
	/* the time in which the device stood, or walked, was not its own */
	vfms_clocks_restart(d);
	vfms_settle(d);
	wake_up_interruptible(&d->readable);
	return 0;
}

/* What such a driver does with the lock in its hand hangs here without it, and can be killed. */
static int hang(struct vfms *d)
{
	mutex_unlock(&d->lock);
	while (!fatal_signal_pending(current))
		schedule_timeout_killable(HZ);
	mutex_lock(&d->lock);
	return -EINTR;
}

int vfms_go(struct vfms *d, enum vfms_mig want, u32 features)
{
	enum vfms_mig step;
	int ret = 0;

	if (want >= MIG_NR || want == MIG_ERROR || !exists(want, features))
		return -EINVAL;
	if (d->mig == MIG_ERROR)
		return -EIO;
	if (!next_state(d->mig, want, features))
		return vfms_fault(d, FAULT_STOP_COPY_LOOP) ? hang(d) : -EINVAL;
	while (!ret && d->mig != want) {
		step = next_state(d->mig, want, features);
		ret = step ? walk_arc(d, step) : -EINVAL;
	}
	return ret;
}
