// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A device whose data comes in chunks of sizes that a test chooses, and that notes the
 * chunks which it is given: to see that whoever carries data keeps them. It has STOP_COPY
 * alone, no regions and no reset.
 */

#ifndef VFM_TESTS_CHUNKY_H
#define VFM_TESTS_CHUNKY_H

#include "device/device.h"

#define CHUNKY_MAX 64

/**
 * struct chunky
 * @given, @nr_given: chunks of the image that it gives
 * @taken, @nr_taken: those that it was given; bytes that did not end yet are in @open
 * @sum_given, @sum_taken: checksums of all bytes
 */
struct chunky {
	struct vfm_device dev;
	enum vfm_state state;
	size_t given[CHUNKY_MAX], nr_given;
	size_t at, done; /* chunk that is read, and bytes of it */
	size_t taken[CHUNKY_MAX], nr_taken, open;
	uint64_t sum_given, sum_taken;
};

/** chunky_new() - close with vfm_device_close(). */
struct chunky *chunky_new(const size_t *chunks, size_t nr);

/** chunky_check() - all that @src gave came to @dst, in the same chunks. */
void chunky_check(const struct chunky *src, const struct chunky *dst);

#endif
