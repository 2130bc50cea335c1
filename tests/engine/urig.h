// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A unit of sim:dma devices on each side, with one memory for all of them, and a wrap
 * around each. As with rig.h each source is marked, with a token of its own: so it can be told
 * who owns what, and whether it came to the device of its number.
 */

#ifndef VFM_TESTS_URIG_H
#define VFM_TESTS_URIG_H

#include "rig.h"

#define URIG_MAX 40

struct urig {
	size_t n;
	struct vfm_device *src[URIG_MAX], *dst[URIG_MAX];
	struct wrap *ws[URIG_MAX], *wd[URIG_MAX];
	struct vfm_sim_ring ring[URIG_MAX];
	struct vfm_memory *src_mem, *dst_mem;
	uint64_t size; /* of the memory of each */
	struct vfm_migration_report report;
	struct vfm_device_report src_reports[URIG_MAX], dst_reports[URIG_MAX];
	struct vfm_err err;
	unsigned int fds;
};

/** urig_open() - @n devices, each with @size bytes of memory (0: none) for its ring. */
void urig_open(struct urig *u, size_t n, const char *params, uint64_t size);

/** urig_open_each() - the same, with parameters of their own, that end with NULL. */
void urig_open_each(struct urig *u, const char *const *params, uint64_t size);
void urig_close(struct urig *u);

/** urig_start() - mark the sources, let each do so many writes and changes. */
void urig_start(struct urig *u, uint64_t writes, uint64_t changes);

/** urig_source(), urig_destination() - the units, through the wraps. */
struct vfm_unit urig_source(struct urig *u, struct vfm_device **room);
struct vfm_unit urig_destination(struct urig *u, struct vfm_device **room);

/** urig_migrate() - @opts NULL for rig_opts(). */
int urig_migrate(struct urig *u, const struct vfm_migrate_opts *opts);

/** urig_owns() - whether this device is in RUNNING and is number @i of the source. */
bool urig_owns(struct vfm_device *dev, size_t i);

/** urig_check() - state and memory of @dev are what the model says of number @i. */
int urig_check(struct urig *u, struct vfm_device *dev, size_t i, struct vfm_memory *mem,
	       struct vfm_err *err);

/** urig_check_moved(), urig_check_back() - all that must hold after a success, and a failure. */
void urig_check_moved(struct urig *u);
void urig_check_back(struct urig *u);

#endif
