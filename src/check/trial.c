// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* What rules call: verdicts, and ways to where a rule begins. */

#include "check/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/util.h"

/* What a function of a rule returns when the verdict is clear. */
#define OVER 1

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
	if (!ret)
		ret = vfm_device_set_state(t->dev, state, &err);
	return ret ? vfm_trial_blocked(t, &err) : 0;
}

int vfm_trial_reset(struct vfm_trial *t)
{
	struct vfm_err err;

	return vfm_device_reset(t->dev, &err) ? vfm_trial_blocked(t, &err) : 0;
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
