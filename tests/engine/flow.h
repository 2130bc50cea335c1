// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A device whose state is a row of numbers that nobody stores: it may be of any
 * size, costs no memory, and a byte that is lost, repeated or out of order is found.
 */

#ifndef VFM_TESTS_FLOW_H
#define VFM_TESTS_FLOW_H

#include <stdatomic.h>

#include "device/device.h"

/**
 * struct flow
 * @size: of its state
 * @piece: bytes given out at a time, 0: as many as are wanted; a multiple of 8
 * @fail_at: reading or writing fails at this byte; UINT64_MAX: never
 * @at: bytes that were read or written in this session
 * @hook: called before each read and write
 */
struct flow {
	struct vfm_device dev;
	enum vfm_state state;
	uint64_t size;
	size_t piece;
	uint64_t fail_at;
	_Atomic uint64_t at;
	int resets;
	void (*hook)(struct flow *f);
	void *user;
};

struct flow *flow_new(uint64_t size, size_t piece);
void flow_free(struct flow *f);

#endif
