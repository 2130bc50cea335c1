// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * device_state, and the same states with the semantics of v2. Which writes are legal
 * says the table of protocol v1; how to get there is for the device behind, which walks
 * its own path to the state that means the same.
 *
 * A device without PRE_COPY must have it here all the same: it stays RUNNING, and the
 * region shows a pre-copy in which there is nothing to read.
 *
 * In v2 a change that fails leaves the device at the last state that it reached; in v1 it is
 * in the state before, or in ERROR. So it is brought back, or is said to be broken.
 */

#include "region/front.h"

#include <errno.h>
#include <inttypes.h>

/* Whether a data session in one state is still there in the other. */
static bool same_session(enum vfm_state before, enum vfm_state now)
{
	if (before == VFM_STATE_RESUMING)
		return now == VFM_STATE_RESUMING;
	/* there is no way back from STOP_COPY but through a state without a session */
	return vfm_state_is_saving(before) && vfm_state_is_saving(now) &&
	       (before != VFM_STATE_STOP_COPY || now == VFM_STATE_STOP_COPY);
}

static void learn(struct vfm_front *f, enum vfm_state state)
{
	if (!same_session(f->state, state))
		vfm_front_drop(f);
	if ((f->mask == VFM_MASK_PRE_COPY && state != VFM_STATE_RUNNING) ||
	    (f->mask == VFM_MASK_RESUMING && state != VFM_STATE_STOP))
		f->mask = VFM_MASK_NONE;
	f->state = state;
	f->known = true;
}

int vfm_front_ask(struct vfm_front *f, struct vfm_err *err)
{
	enum vfm_state state;
	int ret = vfm_pass_get_state(&f->pass.dev, &state, err);

	if (!ret)
		learn(f, state);
	return ret;
}

int vfm_front_know(struct vfm_front *f, struct vfm_err *err)
{
	return f->known ? 0 : vfm_front_ask(f, err);
}

/* One that failed may have gone a part of the way. */
static int set_inner(struct vfm_front *f, enum vfm_state to, struct vfm_err *err)
{
	int ret = vfm_pass_set_state(&f->pass.dev, to, err);

	if (ret)
		f->known = false;
	else
		learn(f, to);
	return ret;
}

struct vfm_v1_state vfm_front_state(const struct vfm_front *f)
{
	static const enum vfm_state masks[] = {
		[VFM_MASK_PRE_COPY] = VFM_STATE_PRE_COPY,
		[VFM_MASK_RESUMING] = VFM_STATE_RESUMING,
		[VFM_MASK_ERROR] = VFM_STATE_ERROR,
	};
	enum vfm_state shown = f->mask ? masks[f->mask] : f->state;

	return vfm_v1_modify(vfm_v1_state_of(f->reserved), vfm_v1_bits(vfm_v1_from_v2(shown)));
}

int vfm_front_read_state(struct vfm_front *f, uint64_t *value, struct vfm_err *err)
{
	int ret = vfm_front_ask(f, err);

	if (!ret)
		*value = vfm_front_state(f).word;
	return ret;
}

/*
 * A change failed that began in @from, with @mask. To go back to RESUMING would throw away
 * the image that was just found to be right: so its place is kept, in STOP.
 */
static void bring_back(struct vfm_front *f, enum vfm_state from, enum vfm_front_mask mask)
{
	struct vfm_err why;

	if (vfm_front_ask(f, &why) || f->state == VFM_STATE_ERROR)
		return;
	if (from == VFM_STATE_RESUMING && f->state != from) {
		from = VFM_STATE_STOP;
		mask = VFM_MASK_RESUMING;
	}
	if (f->state != from && set_inner(f, from, &why))
		mask = VFM_MASK_ERROR;
	f->mask = mask;
}

/* To another state, along an arc that is legal. */
static int change(struct vfm_front *f, struct vfm_v1_state to, struct vfm_err *err)
{
	bool play = vfm_v1_bits(to) == vfm_v1_bits(VFM_V1_STATE_PRE_COPY) &&
		    !(f->migration & VFM_MIGRATION_PRE_COPY);
	enum vfm_state from = f->state, target;
	enum vfm_front_mask mask = f->mask;
	int ret = vfm_v1_to_v2(to, &target);

	if (play)
		target = VFM_STATE_RUNNING;
	if (!ret && target != from)
		ret = set_inner(f, target, err);
	if (ret)
		bring_back(f, from, mask);
	else
		f->mask = play ? VFM_MASK_PRE_COPY : VFM_MASK_NONE;
	return ret;
}

int vfm_front_write_state(struct vfm_front *f, uint64_t value, struct vfm_err *err)
{
	struct vfm_v1_state from, to = vfm_v1_state_of((uint32_t)value);
	enum vfm_v1_arc arc;
	int ret = vfm_front_ask(f, err);

	if (ret)
		return ret;
	from = vfm_front_state(f);
	if (vfm_v1_is_error(from))
		return vfm_fail(err, -EIO,
				"write device_state 0x%" PRIx32
				": the device is in ERROR (0x%" PRIx32 "); reset it",
				to.word, from.word);
	arc = vfm_v1_arc(from, to);
	if (arc == VFM_V1_ARC_REFUSED)
		return vfm_fail(err, -EINVAL,
				"write device_state %s (0x%" PRIx32 ") in %s (0x%" PRIx32
				"): there is no such way",
				vfm_v1_state_name(to), to.word, vfm_v1_state_name(from), from.word);
	ret = arc == VFM_V1_ARC_SAME ? 0 : change(f, to, err);
	if (ret)
		vfm_fail_prefix(err, "write device_state %s (0x%" PRIx32 ")", vfm_v1_state_name(to),
				to.word);
	else
		f->reserved = to.word & ~VFM_V1_MASK;
	return ret;
}

int vfm_front_get_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	struct vfm_front *f = vfm_front_of(dev);
	int ret = vfm_front_ask(f, err);

	if (!ret)
		*state = f->state;
	return ret;
}

/* Where the device is must be known before: a session that was lost must not pass for the new one.
 */
int vfm_front_set_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_front *f = vfm_front_of(dev);
	int ret = vfm_front_know(f, err);

	if (!ret)
		ret = set_inner(f, state, err);
	if (!ret)
		f->mask = VFM_MASK_NONE;
	return ret;
}

int vfm_front_reset(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_front *f = vfm_front_of(dev);
	int ret = vfm_pass_reset(dev, err);

	if (ret) {
		f->known = false;
		return ret;
	}
	learn(f, VFM_STATE_RUNNING);
	f->mask = VFM_MASK_NONE;
	f->reserved = 0;
	return 0;
}
