// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * States: each is asked of the device whenever it matters, since a device can be reset
 * or fail without us. The writes that lead from one to another come from protocol/v1.
 *
 * Surprising: RESUMING -> STOP proves the image in v2, and v1 does not draw it. A
 * device that refuses the write stays in RESUMING, and we say STOP of it ("held") until
 * it is told to run, which is where v1 has the proof.
 */

#include "region/back.h"

#include <errno.h>

#include "base/util.h"

/*
 * The device is in @state. Only on the way from pre-copy to stop-copy does a session go
 * on, and of a chunk that is partly read and was not fetched the rest may be gone.
 */
static void arrive(struct vfm_back *b, enum vfm_state state)
{
	bool goes_on = b->state == VFM_STATE_PRE_COPY && state == VFM_STATE_STOP_COPY;
	struct vfm_err torn;

	if (goes_on && b->save.rest && !b->save.kept) {
		vfm_back_kill_session(b,
				      vfm_fail(&torn, -EPROTO,
					       "the device was stopped with a chunk partly read"),
				      &torn);
	} else if (state != b->state && !goes_on) {
		vfm_back_end_session(b);
	}
	b->state = state;
	b->state_known = true;
}

/* Ask the device; @word is device_state as it stands. */
static int look(struct vfm_back *b, struct vfm_v1_state *word, struct vfm_err *err)
{
	enum vfm_state state;
	int ret = vfm_back_get_word(b, word, err);

	if (!ret && vfm_v1_to_v2(*word, &state))
		ret = vfm_fail(err, -EPROTO, "device_state is 0x%x, which is no state", word->word);
	if (ret) {
		b->state_known = false;
		return ret;
	}
	if (state != VFM_STATE_RESUMING)
		b->held = false;
	arrive(b, b->held ? VFM_STATE_STOP : state);
	return 0;
}

int vfm_back_need_state(struct vfm_back *b, struct vfm_err *err)
{
	struct vfm_v1_state word;
	int ret = b->state_known ? 0 : look(b, &word, err);

	if (ret)
		vfm_fail_prefix(err, "ask for the state");
	return ret;
}

int vfm_back_get_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	struct vfm_back *b = vfm_back_of(dev);
	int ret;

	b->state_known = false;
	ret = vfm_back_need_state(b, err);
	if (!ret)
		*state = b->state;
	return ret;
}

static int needs_reset(struct vfm_err *err)
{
	return vfm_fail(err, -EIO, "the device is in ERROR; reset it");
}

static int only_runs(struct vfm_err *err)
{
	return vfm_fail(err, -EINVAL,
			"the device refuses RESUMING -> STOP and is held there: it can go to "
			"RUNNING, or be reset");
}

/* A write failed with @ret, as @err says: learn where the device is now. */
static int write_failed(struct vfm_back *b, int ret, struct vfm_err *err)
{
	struct vfm_v1_state word;
	struct vfm_err why;
	int again = look(b, &word, &why);

	if (again)
		return vfm_fail(err, again, "%s; then %s", err->msg, why.msg);
	if (b->state == VFM_STATE_ERROR)
		return vfm_fail(err, -EIO, "%s; the device is in ERROR; reset it", err->msg);
	return ret;
}

static void hold(struct vfm_back *b)
{
	b->held = true;
	b->late_proof = true;
	arrive(b, VFM_STATE_STOP);
}

/* @word: device_state as it stands; @step: of a path, and so a state of v2 as well. */
static int write_state(struct vfm_back *b, struct vfm_v1_state word, struct vfm_v1_state step,
		       struct vfm_err *err)
{
	enum vfm_state to = VFM_STATE_ERROR;
	bool proof;
	int ret = vfm_v1_to_v2(step, &to);

	if (!ret)
		ret = vfm_back_put_word(b, vfm_v1_modify(word, vfm_v1_bits(step)), err);
	if (!ret) {
		b->held = false;
		arrive(b, to);
		return 0;
	}
	proof = b->state == VFM_STATE_RESUMING && to == VFM_STATE_STOP;
	ret = write_failed(b, ret, err);
	if (!proof || ret != -EINVAL || !b->state_known || b->state != VFM_STATE_RESUMING)
		return ret;
	hold(b);
	return 0;
}

/* Between two writes: the device must be where the first one led. */
static int look_again(struct vfm_back *b, struct vfm_v1_state *word, struct vfm_err *err)
{
	enum vfm_state from = b->state;
	int ret = look(b, word, err);

	if (ret || b->state == from)
		return ret;
	if (b->state == VFM_STATE_ERROR)
		return needs_reset(err);
	return vfm_fail(err, -EPROTO, "the device went to %s and is in %s now",
			vfm_state_name(from), vfm_state_name(b->state));
}

/* @word: device_state as it stands. It is read again before each further write. */
static int walk(struct vfm_back *b, struct vfm_v1_state word, const struct vfm_v1_path *path,
		struct vfm_err *err)
{
	for (size_t i = 0; i < path->length; i++) {
		int ret = 0;

		if (i && b->held)
			return only_runs(err);
		if (i)
			ret = look_again(b, &word, err);
		if (!ret)
			ret = write_state(b, word, path->steps[i], err);
		if (ret)
			return ret;
	}
	return 0;
}

/* The way from where the device is; from a held one it is that of RESUMING. */
static int find_path(const struct vfm_back *b, enum vfm_state want, struct vfm_v1_path *path,
		     struct vfm_err *err)
{
	enum vfm_state from = b->held && want != b->state ? VFM_STATE_RESUMING : b->state;

	if (b->state == VFM_STATE_ERROR)
		return needs_reset(err);
	if (vfm_v1_path(from, want, path))
		return vfm_fail(err, -EINVAL, "there is no such way from %s to %u",
				vfm_state_name(b->state), (unsigned int)want);
	if (b->held && (want == VFM_STATE_RESUMING || want == VFM_STATE_STOP_COPY))
		return only_runs(err);
	return 0;
}

/* What has to be done before a session ends, or loses what the device has in hand. */
static int prepare(struct vfm_back *b, enum vfm_state want, struct vfm_err *err)
{
	if (b->state == VFM_STATE_RESUMING && want != b->state)
		return vfm_back_flush(b, err);
	if (b->state == VFM_STATE_PRE_COPY && want == VFM_STATE_STOP_COPY)
		return vfm_back_settle_chunk(b, err);
	return 0;
}

int vfm_back_set_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_back *b = vfm_back_of(dev);
	struct vfm_v1_state word;
	struct vfm_v1_path path = { 0 };
	int ret = look(b, &word, err);

	if (!ret)
		ret = find_path(b, state, &path, err);
	if (!ret)
		ret = prepare(b, state, err);
	if (!ret)
		ret = walk(b, word, &path, err);
	if (ret)
		vfm_fail_prefix(err, "set state %s", vfm_state_name(state));
	return ret;
}

/* One that failed may have done anything, unless there is none. */
int vfm_back_reset(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_back *b = vfm_back_of(dev);
	int ret = vfm_pass_reset(dev, err);

	if (ret == -ENOTTY)
		return ret;
	b->state_known = false;
	if (ret) {
		ret = vfm_back_why(ret, err, "reset");
		return vfm_back_kill_session(b, ret, err);
	}
	b->held = false;
	vfm_back_end_session(b);
	return 0;
}
