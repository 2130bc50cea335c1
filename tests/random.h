// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Numbers that look random and are the same in every run. */

#ifndef VFM_TESTS_RANDOM_H
#define VFM_TESTS_RANDOM_H

#include <stdint.h>

/* xorshift64*; *seed must not be 0. */
static inline uint64_t test_random(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return *seed * UINT64_C(0x2545f4914f6cdd1d);
}

/* 0 to n - 1. */
static inline uint64_t test_random_below(uint64_t *seed, uint64_t n)
{
	return test_random(seed) % n;
}

#endif
