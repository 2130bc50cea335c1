// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* What rules call: verdicts, and ways to where a rule begins. */

#include "check/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* What a function of a rule returns when the verdict is clear. */
#define OVER 1

/* Of a data session that is read. */
#define READ_SIZE ((size_t)1 << 20)

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

int vfm_trial_reset(struct vfm_trial *t)
{
	struct vfm_err err;

	return vfm_device_reset(t->dev, &err) ? vfm_trial_blocked(t, &err) : 0;
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

/* ---- data ------------------------------------------------------------------------- */

static int read_all(struct vfm_trial *t, struct vfm_image *image, struct vfm_err *err)
{
	size_t room = 0;

	for (;;) {
		uint8_t *more;
		ssize_t n;

		if (room - image->size < READ_SIZE) {
			room = VFM_MAX(room * 2, 2 * READ_SIZE);
			more = realloc(image->data, room);
			if (!more)
				return vfm_fail(err, -ENOMEM, "no memory for an image");
			image->data = more;
		}
		n = vfm_device_read_data(t->dev, image->data + image->size, READ_SIZE, err);
		if (n <= 0)
			return (int)n;
		image->size += (size_t)n;
		if (image->size > VFM_IMAGE_MAX)
			return vfm_fail(err, -EFBIG, "the image is larger than %zu bytes",
					VFM_IMAGE_MAX);
	}
}

int vfm_trial_save(struct vfm_trial *t, struct vfm_image *image)
{
	int ret = vfm_trial_go(t, VFM_STATE_STOP_COPY);
	struct vfm_err err;

	*image = (struct vfm_image){ NULL, 0 };
	if (ret)
		return ret;
	ret = read_all(t, image, &err);
	if (!ret)
		return 0;
	free(image->data);
	*image = (struct vfm_image){ NULL, 0 };
	if (ret == -ENOMSG)
		vfm_fail(&err, ret, "the data session in STOP_COPY says that there is nothing now");
	return vfm_trial_blocked(t, &err);
}

int vfm_trial_write(struct vfm_trial *t, const struct vfm_image *image)
{
	int ret = vfm_trial_go(t, VFM_STATE_RESUMING);
	struct vfm_err err;

	for (size_t at = 0; !ret && at < image->size; at += READ_SIZE)
		if (vfm_device_write_data(t->dev, image->data + at,
					  VFM_MIN(image->size - at, READ_SIZE), &err))
			ret = vfm_trial_blocked(t, &err);
	return ret;
}

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
