// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Filling in struct vfm_err. Nothing here allocates. */

#include <vfmig/error.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

/* What is formatted may be the old text itself, so it cannot be overwritten in the making. */
VFM_PRINTF(2, 0)
static void set_text(struct vfm_err *err, const char *fmt, va_list ap)
{
	char text[VFM_ERR_TEXT];

	vsnprintf(text, sizeof(text), fmt, ap);
	memcpy(err->msg, text, strlen(text) + 1);
}

VFM_API int vfm_fail(struct vfm_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	err->code = code;
	va_start(ap, fmt);
	set_text(err, fmt, ap);
	va_end(ap);
	return code;
}

static void append(char *text, const char *more)
{
	size_t used = strlen(text);
	size_t n = VFM_MIN(strlen(more), VFM_ERR_TEXT - 1 - used);

	memcpy(text + used, more, n);
	text[used + n] = '\0';
}

VFM_API int vfm_fail_prefix(struct vfm_err *err, const char *fmt, ...)
{
	char old[VFM_ERR_TEXT];
	va_list ap;

	if (!err)
		return -EIO;
	memcpy(old, err->msg, strlen(err->msg) + 1);
	va_start(ap, fmt);
	set_text(err, fmt, ap);
	va_end(ap);
	append(err->msg, ": ");
	append(err->msg, old);
	return err->code;
}
