// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* What rules call: verdicts, and ways to where a rule begins. */

#include "check/check.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"
#include "wrap/hook.h"

/* What a function of a rule returns when the verdict is clear. */
#define OVER 1

/* Until a server has noticed that its user is gone. */
#define REOPEN_NS (UINT64_C(5) * 1000000000)

/* ---- verdicts ----------------------------------------------------------------- */

static int settle(struct vfm_trial *t, enum vfm_verdict verdict, const char *fmt, va_list ap)
{
	struct vfm_check_result *r = t->result;

	if (r->verdict != VFM_VERDICT_PASSED)
		return OVER;
	r->verdict = verdict;
	vsnprintf(r->evidence, sizeof(r->evidence), fmt, ap);
	return OVER;
}

int vfm_trial_fail(struct vfm_trial *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	settle(t, VFM_VERDICT_FAILED, fmt, ap);
	va_end(ap);
	return OVER;
}

int vfm_trial_skip(struct vfm_trial *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	settle(t, VFM_VERDICT_SKIPPED, fmt, ap);
	va_end(ap);
	return OVER;
}

int vfm_trial_blocked(struct vfm_trial *t, const struct vfm_err *err)
{
	return vfm_trial_skip(t, "could not be tried: %s", err->msg);
}

int vfm_trial_refused(struct vfm_trial *t, int ret, const char *what)
{
	return ret < 0 ? 0 : vfm_trial_fail(t, "%s was not refused", what);
}

uint64_t vfm_trial_random(struct vfm_trial *t)
{
	uint64_t x = t->seed += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

bool vfm_trial_late(const struct vfm_trial *t)
{
	return vfm_now_ns() > t->late_ns;
}

/* ---- opening ---------------------------------------------------------------------- */

int vfm_trial_open(struct vfm_trial *t, struct vfm_err *err)
{
	enum vfm_check_form form = t->rule->needs & VFM_NEED_V1 ? VFM_CHECK_V1 : VFM_CHECK_V2;
	struct vfm_device *dev;
	int ret = t->opts->open(t->opts->user, form, &dev, err);

	t->dev = NULL;
	if (ret)
		return ret;
	ret = vfm_hook_open(&t->dev, dev, t->hooks, err);
	if (ret)
		vfm_device_close(dev);
	return ret;
}

/* A server may learn that we have gone only after it was asked to let us in. */
int vfm_trial_reopen(struct vfm_trial *t)
{
	uint64_t end = vfm_now_ns() + REOPEN_NS;
	struct vfm_err err;
	int ret;

	vfm_device_close(t->dev);
	do {
		ret = vfm_trial_open(t, &err);
		if (ret == -EBUSY)
			poll(NULL, 0, 1);
	} while (ret == -EBUSY && vfm_now_ns() < end);
	return ret ? vfm_trial_blocked(t, &err) : 0;
}

/* ---- states --------------------------------------------------------------------- */

/* There is no other way out of these: the image is not whole, or the device failed. */
static bool wants_reset(enum vfm_state now, enum vfm_state state)
{
	return now == VFM_STATE_ERROR || (now == VFM_STATE_RESUMING && state != now);
}

int vfm_trial_go(struct vfm_trial *t, enum vfm_state state)
{
	enum vfm_state now;
	struct vfm_err err;
	int ret = vfm_device_get_state(t->dev, &now, &err);

	if (!ret && wants_reset(now, state))
		ret = vfm_device_reset(t->dev, &err);
	if (!ret && now == VFM_STATE_STOP_COPY && vfm_state_is_precopy(state))
		ret = vfm_device_set_state(t->dev, VFM_STATE_RUNNING, &err);
	if (!ret)
		ret = vfm_device_set_state(t->dev, state, &err);
	return ret ? vfm_trial_blocked(t, &err) : 0;
}

int vfm_trial_each(struct vfm_trial *t, const enum vfm_state *states, size_t nr,
		   int (*look)(struct vfm_trial *t, enum vfm_state state, void *seen), void *seen)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < nr; i++) {
		if (!vfm_state_exists(t->migration, states[i]))
			continue;
		ret = vfm_trial_go(t, states[i]);
		if (!ret)
			ret = look(t, states[i], seen);
	}
	return ret;
}

int vfm_trial_each_state(struct vfm_trial *t,
			 int (*look)(struct vfm_trial *t, enum vfm_state state, void *seen),
			 void *seen)
{
	static const enum vfm_state all[] = {
		VFM_STATE_STOP,		VFM_STATE_RUNNING,     VFM_STATE_STOP_COPY,
		VFM_STATE_RESUMING,	VFM_STATE_RUNNING_P2P, VFM_STATE_PRE_COPY,
		VFM_STATE_PRE_COPY_P2P,
	};

	return vfm_trial_each(t, all, VFM_ARRAY_SIZE(all), look, seen);
}

int vfm_trial_reset(struct vfm_trial *t)
{
	enum vfm_state now = VFM_STATE_RUNNING;
	struct vfm_err err;
	int ret = vfm_device_reset(t->dev, &err);

	if (!ret && t->migration)
		ret = vfm_device_get_state(t->dev, &now, &err);
	if (!ret && now != VFM_STATE_RUNNING)
		ret = vfm_fail(&err, -EIO, "after a reset it is in %s", vfm_state_name(now));
	return ret ? vfm_trial_blocked(t, &err) : 0;
}

bool vfm_trial_is_in(struct vfm_trial *t, enum vfm_state state)
{
	enum vfm_state now;

	return !vfm_device_get_state(t->dev, &now, NULL) && now == state;
}

int vfm_trial_in_state(struct vfm_trial *t, enum vfm_state state, const char *after)
{
	enum vfm_state now;
	struct vfm_err err;

	if (vfm_device_get_state(t->dev, &now, &err))
		return vfm_trial_fail(t, "after %s the state cannot be read: %s", after, err.msg);
	if (now != state)
		return vfm_trial_fail(t, "after %s it is in %s and not in %s", after,
				      vfm_state_name(now), vfm_state_name(state));
	return 0;
}

/* ---- elsewhere --------------------------------------------------------------------- */

int vfm_trial_move(struct vfm_trial *t)
{
	struct vfm_image image;
	int ret = vfm_trial_save(t, &image);

	if (!ret)
		ret = vfm_trial_reset(t);
	if (!ret)
		ret = vfm_trial_write(t, &image);
	free(image.data);
	return ret;
}

int vfm_trial_leave(struct vfm_trial *t, enum vfm_state state)
{
	struct vfm_err err;

	return vfm_device_set_state(t->dev, state, &err) ? vfm_trial_blocked(t, &err) : 0;
}
