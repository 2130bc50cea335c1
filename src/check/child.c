// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * One trial, inside its process: open the device, bring it to RUNNING, try the rule, put
 * the device back. All of it is told as it happens, operation by operation, so that it is
 * known also of a process that comes to no end of its own.
 *
 * What surprises: a device in another process lives on from trial to trial, one in this
 * process is a new one each time. So every trial first brings it to RUNNING.
 */

#include "check/child.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/checksum.h"
#include "base/util.h"
#include "check/needs.h"
#include "check/v1_trial.h"
#include "wrap/hook.h"

/* Half of a millisecond, in ns. */
#define HALF_MS UINT64_C(500000)

/* What comes after a failure, to put the device back, says nothing of it. */
static void note_op(void *user, const struct vfm_op *op)
{
	struct vfm_shared *s = user;
	char *slot = s->result.ops[s->next % VFM_CHECK_OPS];

	if (s->result.verdict == VFM_VERDICT_FAILED)
		return;
	vfm_op_words(op, slot, sizeof(s->result.ops[0]));
	if (!op->done)
		return;
	s->next++;
	s->result.ops[s->next % VFM_CHECK_OPS][0] = '\0';
	s->gone |= op->ret == -ECONNRESET || op->ret == -ENOTCONN || op->ret == -EPIPE;
	s->late |= op->ret == -ETIMEDOUT;
}

static int note_begin(void *user, struct vfm_op *op, struct vfm_err *err)
{
	(void)err;
	note_op(user, op);
	return 0;
}

static bool wants_v1(const struct vfm_trial *t)
{
	return t->rule->needs & VFM_NEED_V1;
}

/* The first operation, of which the wrap cannot tell: it has no device yet. */
static int open_device(struct vfm_trial *t, struct vfm_shared *s)
{
	struct vfm_op op = { .name = wants_v1(t) ? "open as v1" : "open" };
	uint64_t begin = vfm_now_ns();
	int ret;

	note_op(s, &op);
	ret = vfm_trial_open(t, &s->err);
	op.done = true;
	op.us = (vfm_now_ns() - begin) / 1000;
	op.ret = ret;
	op.text = ret ? s->err.msg : NULL;
	note_op(s, &op);
	s->gone = s->late = false;
	s->stage = ret ? VFM_STAGE_NOT_OPENED : VFM_STAGE_TRYING;
	return ret;
}

static int rest_v2(struct vfm_trial *t, struct vfm_err *err)
{
	enum vfm_state state;
	int ret = vfm_device_get_state(t->dev, &state, err);

	if (ret || state == VFM_STATE_RUNNING)
		return ret;
	if (!vfm_device_set_state(t->dev, VFM_STATE_RUNNING, err))
		return 0;
	ret = vfm_device_reset(t->dev, err);
	if (!ret)
		ret = vfm_device_get_state(t->dev, &state, err);
	if (!ret && state != VFM_STATE_RUNNING)
		ret = vfm_fail(err, -EIO, "after a reset it is in %s", vfm_state_name(state));
	return ret;
}

/* To RUNNING, from wherever a trial, this one or the one before, has left it. */
static int rest(struct vfm_trial *t, struct vfm_err *err)
{
	if (!t->dev)
		return 0; /* the rule could not open it again */
	if (wants_v1(t))
		return vfm_v1_bring_to_running(t, err);
	return t->migration ? rest_v2(t, err) : 0;
}

static int begin_exercise(struct vfm_trial *t)
{
	struct vfm_err err;

	if (!vfm_needs_exercise(t->rule->needs))
		return 0;
	if (t->opts->exercise->begin(t->dev, &t->exercise, &err))
		return vfm_trial_blocked(t, &err);
	return 0;
}

static void try_rule(struct vfm_trial *t, struct vfm_shared *s)
{
	struct vfm_err err;

	if (rest(t, &s->err)) {
		s->unready = true;
		vfm_trial_blocked(t, &s->err);
		return;
	}
	if (begin_exercise(t))
		return;
	t->rule->run(t);
	if (t->exercise)
		t->opts->exercise->end(t->exercise);
	/* The verdict stands; what fails here the next trial will see. */
	if (rest(t, &err))
		return;
}

void vfm_child_try(const struct vfm_check_opts *opts, const struct vfm_rule *rule,
		   struct vfm_shared *s)
{
	const struct vfm_hooks hooks = { .before = note_begin, .after = note_op, .user = s };
	struct vfm_check_opts mine = *opts;
	struct vfm_trial t = { .opts = &mine,
			       .rule = rule,
			       .seed = vfm_checksum(rule->is.name, strlen(rule->is.name),
						    opts->seed),
			       .hooks = &hooks,
			       .late_ns = vfm_now_ns() + vfm_watch_timeout_ms(opts) * HALF_MS,
			       .result = &s->result };
	int lacks;

	if (open_device(&t, s))
		return;
	if (!mine.exercise && mine.find_exercise)
		mine.exercise = mine.find_exercise(mine.user, t.dev);
	lacks = vfm_needs_look(&t);
	s->migrates = wants_v1(&t) ? !lacks : t.migration != 0;
	if (!lacks)
		try_rule(&t, s);
	vfm_device_close(t.dev);
	s->stage = VFM_STAGE_DONE;
}
