// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* What the tests of a device over a migration region share. */

#ifndef VFM_TESTS_REGION_BACK_H
#define VFM_TESTS_REGION_BACK_H

#include <stdlib.h>

#include "peer.h"
#include "region/region.h"

/* The device with the semantics of v2; closing it closes the peer. */
static inline struct vfm_device *open_back(struct peer *p)
{
	struct vfm_device *dev;
	struct vfm_err err;

	if (vfm_back_open(&dev, &p->dev, &err))
		fail_msg("%s", err.msg);
	return dev;
}

static inline enum vfm_state state_of(struct vfm_device *dev)
{
	enum vfm_state state;

	assert_int_equal(vfm_device_get_state(dev, &state, NULL), 0);
	return state;
}

static inline void go(struct vfm_device *dev, enum vfm_state state)
{
	struct vfm_err err;

	if (vfm_device_set_state(dev, state, &err))
		fail_msg("%s", err.msg);
}

/* Read @len bytes that must come at once and be those at @at; whether a chunk ends there. */
static inline bool expect_bytes(struct vfm_device *dev, uint64_t at, size_t len)
{
	uint8_t *buf = malloc(len);
	bool end;

	assert_non_null(buf);
	assert_int_equal(vfm_device_read_chunk(dev, buf, len, &end, NULL), len);
	peer_check_bytes(buf, at, len);
	free(buf);
	return end;
}

#endif
