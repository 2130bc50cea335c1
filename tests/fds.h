// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* For tests that look for descriptors which nobody has closed. */

#ifndef VFM_TESTS_FDS_H
#define VFM_TESTS_FDS_H

#include <dirent.h>

#include "test.h"

/* Descriptors that this process has open. */
static inline unsigned int test_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

#endif
