// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#ifndef VFM_STREAM_IDENTITY_H
#define VFM_STREAM_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

/** vfm_identity_text_ok() - terminated within @room, and nothing that a terminal would obey. */
bool vfm_identity_text_ok(const char *text, size_t room);

#endif
