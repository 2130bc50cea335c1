// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* From a URI to a device: the one file that knows every provider and wrap. */

#include <vfmig/vfmig.h>

#include "base/util.h"

VFM_API const char *vfm_version(void)
{
	return VFM_VERSION;
}
