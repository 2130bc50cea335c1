// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Filling in struct vfm_err. Nothing here allocates. */

#include <vfmig/error.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

VFM_API int vfm_fail(struct vfm_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	err->code = code;
	va_start(ap, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	return code;
}

static void append(char *text, const char *more)
{
	strncat(text, more, VFM_ERR_TEXT - 1 - strlen(text));
}

VFM_API int vfm_fail_prefix(struct vfm_err *err, const char *fmt, ...)
{
	char old[VFM_ERR_TEXT];
	va_list ap;

	if (!err)
		return -EIO;
	memcpy(old, err->msg, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	append(err->msg, ": ");
	append(err->msg, old);
	return err->code;
}
