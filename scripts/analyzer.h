// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Put before every file that clang-tidy reads. Its analyzer sees one file at a
 * time and takes vfm_fail() for a function that may return 0, so it follows
 * failures as if they were successes.
 */

#include <vfmig/error.h>

#define vfm_fail(err, code, ...) ((void)vfm_fail(err, code, __VA_ARGS__), (code) < 0 ? (code) : -1)
