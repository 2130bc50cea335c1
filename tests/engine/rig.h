// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Two sim:dma devices with memory, a wrap around each, and the checks that
 * every test of a migration ends with. The source is marked by its scratch
 * register, which a reset clears: so it can be told who owns what.
 */

#ifndef VFM_TESTS_RIG_H
#define VFM_TESTS_RIG_H

#include "test.h"

#include <vfmig/vfmig.h>
#include <vfmig/sim.h>

#include "fds.h"
#include "wrap.h"

#define RIG_IOVA UINT64_C(0x100000000)
#define RIG_TOKEN UINT64_C(0x746f6b656e)

struct rig {
	struct vfm_device *src, *dst;
	struct wrap *ws, *wd;
	struct vfm_memory *src_mem, *dst_mem;
	struct vfm_sim_ring ring;
	struct vfm_migration_report report;
	struct vfm_err err;
	unsigned int fds; /* descriptors that were open before it all */
};

/** rig_open() - with @size bytes of memory (0: none), half of it for the ring; nothing runs yet. */
void rig_open(struct rig *r, const char *params, uint64_t size);
void rig_close(struct rig *r);

/** rig_start() - the source's ring, at a rate; and mark the source. */
void rig_start(struct rig *r, uint64_t rate);

/** rig_step() - so many writes and page changes at once, by whoever holds the device. */
void rig_step(struct vfm_device *dev, uint64_t writes, uint64_t changes);

/** rig_opts() - the defaults, with a limit that holds where all is slow. */
struct vfm_migrate_opts rig_opts(void);

/** rig_migrate() - through the wraps; @opts NULL for rig_opts(). */
int rig_migrate(struct rig *r, const struct vfm_migrate_opts *opts);

/** rig_owns() - whether the device is in RUNNING and holds what the source began with. */
bool rig_owns(struct vfm_device *dev);

enum vfm_state rig_state(struct vfm_device *dev);

/** rig_check_state() - the device's state is what the model says; 0 or -EBADMSG. */
int rig_check_state(struct vfm_device *dev, struct vfm_err *err);

/** rig_check() - state and memory are what the model says; 0 or -EBADMSG. */
int rig_check(struct rig *r, struct vfm_device *dev, struct vfm_memory *mem, struct vfm_err *err);

/** rig_check_moved(), rig_check_back() - all that must hold after a success, and a failure. */
void rig_check_moved(struct rig *r);
void rig_check_back(struct rig *r);

/** rig_hello() - what one side of a connection without TLS says first. */
void rig_hello(int fd, bool source);

/** rig_hear_hello() - skip the other side's. */
void rig_hear_hello(int fd);

/** rig_empty_dir() - remove the files in it. */
void rig_empty_dir(const char *name);

/** struct rig_half - a destination with a thread of its own */
struct rig_half {
	struct vfm_device *dev;
	struct vfm_memory *mem;
	int fd;
	const struct vfm_migrate_opts *opts;
	struct vfm_migration_report report;
	struct vfm_err err;
	int ret;
	unsigned long thread;
};
void rig_receive_begin(struct rig_half *half);
int rig_join(struct rig_half *half);

#endif
