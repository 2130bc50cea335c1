// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * One trial, inside its process: open the device, make it fresh and RUNNING, try the rule,
 * put the device back. All of it is told as it happens, operation by operation, so that it is
 * known also of a process that comes to no end of its own.
 *
 * What surprises: a device in another process lives on from trial to trial, one in this
 * process is a new one each time. So every trial first brings it to RUNNING, and resets it.
 */

#include "check/child.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/checksum.h"
#include "base/util.h"
#include "check/needs.h"
#include "check/v1_trial.h"
#include "wrap/hook.h"

/* Half of a millisecond, in ns. */
#define HALF_MS UINT64_C(500000)

/* Of an operation that is not noted. */
#define NO_PLACE SIZE_MAX

/*
 * struct notes - of operations, in memory that is shared with the process that waits
 * @lock: around all of it, for rules that have two threads
 * @under_way: places of operations that have not ended: these are kept, whatever the other
 *	thread does meanwhile
 */
struct notes {
	pthread_mutex_t lock;
	struct vfm_shared *s;
	bool under_way[VFM_CHECK_OPS];
};

/* What comes after a failure, to put the device back, says nothing of it. */
static bool is_over(const struct vfm_shared *s)
{
	return s->result.verdict == VFM_VERDICT_FAILED;
}

/* The place after the last one; one that is kept counts as the last once more. */
static size_t next_place(struct notes *notes)
{
	for (size_t i = 0; i < VFM_CHECK_OPS; i++) {
		size_t place = notes->s->next++ % VFM_CHECK_OPS;

		if (!notes->under_way[place])
			return place;
	}
	return NO_PLACE;
}

static void write_note(struct notes *notes, const struct vfm_op *op)
{
	char(*ops)[sizeof(notes->s->result.ops[0])] = notes->s->result.ops;

	if (op->mark == NO_PLACE)
		return;
	vfm_op_words(op, ops[op->mark], sizeof(ops[0]));
	notes->under_way[op->mark] = !op->done;
}

static int note_begin(void *user, struct vfm_op *op, struct vfm_err *err)
{
	struct notes *notes = user;

	(void)err;
	pthread_mutex_lock(&notes->lock);
	op->mark = is_over(notes->s) ? NO_PLACE : next_place(notes);
	write_note(notes, op);
	pthread_mutex_unlock(&notes->lock);
	return 0;
}

static void note_end(void *user, const struct vfm_op *op)
{
	struct notes *notes = user;
	struct vfm_shared *s = notes->s;

	pthread_mutex_lock(&notes->lock);
	if (!is_over(s)) {
		write_note(notes, op);
		s->gone |= op->ret == -ECONNRESET || op->ret == -ENOTCONN || op->ret == -EPIPE;
		s->late |= op->ret == -ETIMEDOUT;
	}
	pthread_mutex_unlock(&notes->lock);
}

static bool wants_v1(const struct vfm_trial *t)
{
	return t->rule->needs & VFM_NEED_V1;
}

/* The first operation, of which the wrap cannot tell: it has no device yet. */
static int open_device(struct vfm_trial *t, struct notes *notes)
{
	struct vfm_op op = { .name = wants_v1(t) ? "open as v1" : "open" };
	struct vfm_shared *s = notes->s;
	uint64_t begin = vfm_now_ns();
	int ret;

	note_begin(notes, &op, NULL);
	ret = vfm_trial_open(t, &s->err);
	op.done = true;
	op.us = (vfm_now_ns() - begin) / 1000;
	op.ret = ret;
	op.text = ret ? s->err.msg : NULL;
	note_end(notes, &op);
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

/*
 * So that a trial does not see what an earlier one has left, or another user, and does the same
 * alone as among all. A reset that does not work is the business of rules about that, which are
 * tried before: what it has spoilt may be a device that is a new one when it is opened.
 */
static int begin_fresh(struct vfm_trial *t, struct vfm_err *err)
{
	int ret = rest(t, err), reset;

	if (ret || !(t->info.flags & VFM_DEVICE_RESET) || t->rule->needs & VFM_NEED_AS_IT_IS)
		return ret;
	reset = vfm_device_reset(t->dev, err);
	ret = rest(t, err);
	if (ret && reset && !vfm_trial_reopen(t))
		ret = rest(t, err);
	return ret;
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

	if (begin_fresh(t, &s->err)) {
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
	struct notes notes = { .lock = PTHREAD_MUTEX_INITIALIZER, .s = s };
	const struct vfm_hooks hooks = { .before = note_begin, .after = note_end, .user = &notes };
	struct vfm_check_opts mine = *opts;
	struct vfm_trial t = { .opts = &mine,
			       .rule = rule,
			       .seed = vfm_checksum(rule->is.name, strlen(rule->is.name),
						    opts->seed),
			       .hooks = &hooks,
			       .late_ns = vfm_now_ns() + vfm_watch_timeout_ms(opts) * HALF_MS,
			       .result = &s->result };
	int lacks;

	if (open_device(&t, &notes))
		return;
	if (!mine.exercise && mine.find_exercise)
		mine.exercise = mine.find_exercise(mine.user, t.dev);
	lacks = vfm_needs_look(&t);
	s->migrates = wants_v1(&t) ? t.has_region : t.migration != 0;
	if (!lacks)
		try_rule(&t, s);
	vfm_device_close(t.dev);
	s->stage = VFM_STAGE_DONE;
}
