// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* For tests of how much memory something takes. */

#ifndef VFM_TESTS_PEAK_H
#define VFM_TESTS_PEAK_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "test.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PEAK_IS_OURS false /* a sanitizer has its own */
#else
#define PEAK_IS_OURS true
#endif

/* The most that was resident since the last call, or since the start, in bytes. */
static inline uint64_t peak_resident(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long long kib = 0;
	char line[256];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) && sscanf(line, "VmHWM: %llu", &kib) != 1)
		continue;
	fclose(f);
	assert_int_equal(write(fd, "5", 1), 1);
	close(fd);
	return kib << 10;
}

#endif
