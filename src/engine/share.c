// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A clock that runs slower the more are at work: each takes its part from how far that has come.
 * Nothing is kept for each of them, so there may be any number.
 */

#include "engine/share.h"

static void pass(struct vfm_share *s, uint64_t now_ns)
{
	if (now_ns <= s->then_ns)
		return;
	if (s->at_work)
		s->each_ns += (double)(now_ns - s->then_ns) / s->at_work;
	s->then_ns = now_ns;
}

double vfm_share_begin(struct vfm_share *s, uint64_t now_ns)
{
	pass(s, now_ns);
	s->at_work++;
	return s->each_ns;
}

uint64_t vfm_share_end(struct vfm_share *s, double begun, uint64_t now_ns)
{
	pass(s, now_ns);
	s->at_work--;
	return (uint64_t)(s->each_ns - begun + 0.5);
}
