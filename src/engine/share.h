// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Time that is shared by those who are at work: pure arithmetic over somebody else's clock.
 *
 * When several channels send at once, what each record took says how fast one channel is. So a
 * moment counts for each of them only as a part, and for all together as one moment: what they took
 * adds up to the time in which at least one was at work, and bytes over that are the rate of all.
 */

#ifndef VFM_ENGINE_SHARE_H
#define VFM_ENGINE_SHARE_H

#include <stdint.h>

/**
 * struct vfm_share - zero it to begin
 * @at_work: so many are
 * @then_ns: when that changed last
 * @each_ns: the parts of one who would always have been at work
 */
struct vfm_share {
	unsigned int at_work;
	uint64_t then_ns;
	double each_ns;
};

/** vfm_share_begin() - one more is at work; give what this returns to vfm_share_end(). */
double vfm_share_begin(struct vfm_share *s, uint64_t now_ns);

/** vfm_share_end() - one is done: how long it took, by its part. */
uint64_t vfm_share_end(struct vfm_share *s, double begun, uint64_t now_ns);

#endif
