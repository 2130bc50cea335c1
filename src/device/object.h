// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Shared objects that others wrote for us: drivers of devices, and exercises. One is trusted
 * as far as code in our process must be; that it is what it says is checked by the version of
 * the interface that it was made for.
 */

#ifndef VFM_DEVICE_OBJECT_H
#define VFM_DEVICE_OBJECT_H

#include <stdint.h>

#include <vfmig/error.h>

/**
 * vfm_object_open() - load one and find what it exports
 * @object: for dlclose()
 * @entry: what it exports, valid until then
 * @symbol: name of a struct whose first member is the version of its interface, a uint32_t
 * @api: the version that we know
 *
 * -ENOENT: it cannot be loaded; -EINVAL: it exports no such thing, or one of another version.
 */
int vfm_object_open(void **object, const void **entry, const char *path, const char *symbol,
		    uint32_t api, struct vfm_err *err) VFM_MUST_CHECK;

#endif
