// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Whether a device, and the run, have what a rule needs. */

#ifndef VFM_CHECK_NEEDS_H
#define VFM_CHECK_NEEDS_H

#include "check/check.h"

/** vfm_needs_exercise() - whether the rule makes the device do something. */
bool vfm_needs_exercise(uint32_t needs);

/** vfm_needs_look() - describe t->dev in @t; 0: it has all that its rule needs, else skipped. */
int vfm_needs_look(struct vfm_trial *t) VFM_MUST_CHECK;

#endif
