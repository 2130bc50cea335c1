// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Ways through a data session that several rules go. */

#include "check/session.h"

#include <errno.h>
#include <stdio.h>

#include "base/util.h"

int vfm_session_read(struct vfm_trial *t, uint8_t *buf, size_t len)
{
	struct vfm_err err;

	for (size_t done = 0; done < len;) {
		ssize_t n = vfm_device_read_data(t->dev, buf + done, len - done, &err);

		if (n == 0 || n == -ENOMSG)
			return vfm_trial_skip(t, "its image begins with less than %zu bytes", len);
		if (n < 0)
			return vfm_trial_blocked(t, &err);
		done += (size_t)n;
	}
	return 0;
}

int vfm_way_go(struct vfm_trial *t, const struct vfm_way *way, uint8_t *buf, size_t len)
{
	int ret = vfm_trial_go(t, VFM_STATE_RUNNING);

	if (!ret)
		ret = vfm_trial_go(t, way->from);
	if (!ret)
		ret = vfm_session_read(t, buf, len);
	return ret ? ret : vfm_trial_go(t, way->to);
}

void vfm_way_words(char *text, size_t room, const struct vfm_way *way)
{
	snprintf(text, room, "after %s, partly read, to %s", vfm_state_name(way->from),
		 vfm_state_name(way->to));
}

bool vfm_way_exists(const struct vfm_trial *t, const struct vfm_way *way)
{
	return vfm_state_exists(t->migration, way->from) && vfm_state_exists(t->migration, way->to);
}

int vfm_session_load(struct vfm_trial *t, const struct vfm_image *image)
{
	struct vfm_err err;
	int ret = vfm_trial_write(t, image);

	if (!ret && vfm_device_set_state(t->dev, VFM_STATE_STOP, &err))
		ret = vfm_trial_blocked(t, &err);
	return ret;
}
