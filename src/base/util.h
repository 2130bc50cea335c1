// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Small things that every folder uses. */

#ifndef VFM_BASE_UTIL_H
#define VFM_BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/** Marks a definition as part of the public interface. */
#define VFM_API __attribute__((visibility("default")))

#define VFM_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define VFM_MIN(a, b) ((a) < (b) ? (a) : (b))
#define VFM_MAX(a, b) ((a) > (b) ? (a) : (b))

static inline bool vfm_is_power_of_2(uint64_t n)
{
	return n && !(n & (n - 1));
}

/** vfm_range_wraps() - whether start + size leaves 64 bits. A range up to the very end does not. */
static inline bool vfm_range_wraps(uint64_t start, uint64_t size)
{
	return size && start + (size - 1) < start;
}

/** vfm_range_inside() - whether [offset, offset + size) lies in [0, limit). */
static inline bool vfm_range_inside(uint64_t offset, uint64_t size, uint64_t limit)
{
	return offset <= limit && size <= limit - offset;
}

/** vfm_now_ns() - monotonic time. */
static inline uint64_t vfm_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

#endif
