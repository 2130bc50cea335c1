// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Errors. Every call that can fail returns 0 (or a count) on success and a
 * negative errno value on failure, and takes as its last parameter an optional
 * struct vfm_err that belongs to the caller. There is nothing to free, and a
 * call that succeeds leaves it alone.
 */

#ifndef VFMIG_ERROR_H
#define VFMIG_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#define VFM_MUST_CHECK __attribute__((warn_unused_result))
#define VFM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/** Length of the text in struct vfm_err, with its terminating zero. */
#define VFM_ERR_TEXT 496

/**
 * struct vfm_err - what failed, in words
 * @code: the negative errno value that the call returned
 * @msg: what was attempted and with which values; lower case, one line, no
 *       full stop; always terminated
 *
 * Zero it or not as you like before a call; it is read by nobody but you.
 */
struct vfm_err {
	int code;
	char msg[VFM_ERR_TEXT];
};

/**
 * vfm_fail() - fill in an error and return its code
 * @err: the error to fill in, may be NULL
 * @code: a negative errno value
 * @fmt: what was attempted and with which values
 *
 * Made to be one statement: return vfm_fail(err, -EINVAL, "...", ...);
 *
 * Return: @code.
 */
int vfm_fail(struct vfm_err *err, int code, const char *fmt, ...) VFM_PRINTF(3, 4)
	__attribute__((cold));

/**
 * vfm_fail_prefix() - put a context in front of an error that came from below
 * @err: the error, filled in already; may be NULL
 * @fmt: the context; ": " is put between it and the old text
 *
 * Return: the code that @err holds, or -EIO if @err is NULL. Use the code that
 * the failed call returned when @err may be NULL.
 */
int vfm_fail_prefix(struct vfm_err *err, const char *fmt, ...) VFM_PRINTF(2, 3)
	__attribute__((cold));

#ifdef __cplusplus
}
#endif

#endif
