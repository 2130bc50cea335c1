// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Bytes that a bug remembers of a data session, for those that show only in what a
 * device makes of an image. Bugs are given to small devices: what is larger than a tape
 * is cut.
 */

#ifndef VFM_WRAP_TAPE_H
#define VFM_WRAP_TAPE_H

#include "wrap/wrap.h"

#define VFM_TAPE_MAX ((size_t)32 << 20)

/** struct vfm_tape - @at: where it is played */
struct vfm_tape {
	size_t size;
	size_t at;
	uint8_t data[VFM_TAPE_MAX];
};

/** vfm_tapes() - the @n that this bug has, always the same ones; NULL: no memory. */
struct vfm_tape *vfm_tapes(struct vfm_fault *f, size_t n, struct vfm_err *err);

void vfm_tape_add(struct vfm_tape *tape, const void *buf, size_t len);

/** vfm_tape_record() - an image of the device behind, which is in STOP_COPY after that. */
int vfm_tape_record(struct vfm_tape *tape, struct vfm_device *inner, struct vfm_err *err);

/** vfm_tape_load() - load it into the device behind, which is in STOP after that. */
int vfm_tape_load(const struct vfm_tape *tape, struct vfm_device *inner, struct vfm_err *err);

/** vfm_tape_take() - play up to @len bytes of it. */
size_t vfm_tape_take(struct vfm_tape *tape, void *buf, size_t len);

#endif
