// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Shared objects of others: what they export says for which version of us it was made. */

#ifndef VFM_DEVICE_OBJECT_H
#define VFM_DEVICE_OBJECT_H

#include <stdint.h>

#include <vfmig/error.h>

/**
 * vfm_object_open() - load an object and find its entry
 * @object: for dlclose()
 * @entry: what it exports as @symbol; begins with a uint32_t, which must be @api
 *
 * -ENOENT: it cannot be loaded; -EINVAL: no such entry, or another version.
 */
int vfm_object_open(void **object, const void **entry, const char *path, const char *symbol,
		    uint32_t api, struct vfm_err *err) VFM_MUST_CHECK;

#endif
