// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Remembered bytes. The memory of a tape is taken from the system as it fills. */

#include "wrap/tape.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

struct vfm_tape *vfm_tapes(struct vfm_fault *f, size_t n, struct vfm_err *err)
{
	if (!f->held)
		f->held = calloc(n, sizeof(struct vfm_tape));
	if (!f->held)
		vfm_fail(err, -ENOMEM, "no memory for what a bug remembers");
	return f->held;
}

void vfm_tape_add(struct vfm_tape *tape, const void *buf, size_t len)
{
	size_t n = VFM_MIN(len, VFM_TAPE_MAX - tape->size);

	memcpy(tape->data + tape->size, buf, n);
	tape->size += n;
}

int vfm_tape_record(struct vfm_tape *tape, struct vfm_device *inner, struct vfm_err *err)
{
	int ret = VFM_PASS(inner, set_state, err, VFM_STATE_STOP);
	ssize_t n = 1;

	if (!ret)
		ret = VFM_PASS(inner, set_state, err, VFM_STATE_STOP_COPY);

	tape->size = 0;
	tape->at = 0;
	while (!ret && n > 0 && tape->size < VFM_TAPE_MAX) {
		n = VFM_PASS(inner, read_data, err, tape->data + tape->size,
			     VFM_TAPE_MAX - tape->size);
		tape->size += n > 0 ? (size_t)n : 0;
		ret = n < 0 ? (int)n : 0;
	}
	return ret;
}

int vfm_tape_load(const struct vfm_tape *tape, struct vfm_device *inner, struct vfm_err *err)
{
	int ret = VFM_PASS(inner, set_state, err, VFM_STATE_RESUMING);

	if (!ret)
		ret = VFM_PASS(inner, write_data, err, tape->data, tape->size);
	return ret ? ret : VFM_PASS(inner, set_state, err, VFM_STATE_STOP);
}

size_t vfm_tape_take(struct vfm_tape *tape, void *buf, size_t len)
{
	size_t n = VFM_MIN(len, tape->size - tape->at);

	memcpy(buf, tape->data + tape->at, n);
	tape->at += n;
	return n;
}
