// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "device/object.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>

int vfm_object_open(void **object, const void **entry, const char *path, const char *symbol,
		    uint32_t api, struct vfm_err *err)
{
	const uint32_t *version;
	int ret = 0;

	*object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!*object)
		return vfm_fail(err, -ENOENT, "%s", dlerror());
	version = (const uint32_t *)dlsym(*object, symbol);
	if (!version)
		ret = vfm_fail(err, -EINVAL, "%s: exports no %s", path, symbol);
	else if (*version != api)
		ret = vfm_fail(err, -EINVAL, "%s: made for interface %" PRIu32 ", this is %" PRIu32,
			       path, *version, api);
	if (ret) {
		dlclose(*object);
		*object = NULL;
	}
	*entry = version;
	return ret;
}
