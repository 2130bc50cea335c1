// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Ways through a data session that several rules go; what fails on them blocks the rule. */

#ifndef VFM_CHECK_SESSION_H
#define VFM_CHECK_SESSION_H

#include "check/check.h"

/** vfm_session_read() - exactly @len bytes; a device that has not so many now is not tried. */
int vfm_session_read(struct vfm_trial *t, uint8_t *buf, size_t len) VFM_MUST_CHECK;

/** vfm_session_load() - an image of the device is written and proven: it is in STOP. */
int vfm_session_load(struct vfm_trial *t, const struct vfm_image *image) VFM_MUST_CHECK;

/** struct vfm_way - out of a saving state */
struct vfm_way {
	enum vfm_state from, to;
};

/** vfm_way_exists() - the device has both states. */
bool vfm_way_exists(const struct vfm_trial *t, const struct vfm_way *way);

/** vfm_way_go() - a new session in @way->from, @len bytes of it read, and to @way->to. */
int vfm_way_go(struct vfm_trial *t, const struct vfm_way *way, uint8_t *buf,
	       size_t len) VFM_MUST_CHECK;

/** vfm_way_words() - "after STOP_COPY, partly read, to STOP". */
void vfm_way_words(char *text, size_t room, const struct vfm_way *way);

#endif
