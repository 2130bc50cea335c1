// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * One device of a unit: what the engine keeps of it, and does to it alone. What is done
 * to all of them, and in which order, is unit.h's.
 *
 * A member writes its errors into itself, as another may fail at the same time; who gives
 * them to the engine says whose they are. While one is busy, a hand has its device, and all
 * of the struct but what is said to be the engine's.
 */

#ifndef VFM_ENGINE_MEMBER_H
#define VFM_ENGINE_MEMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vfmig/device.h>
#include <vfmig/stream.h>

#include "engine/hands.h"
#include "engine/predict.h"

/**
 * struct vfm_rest - what is still to be moved, as far as can be known
 * @initial: of the device, to be read before the stop
 * @pending: that can be read while it runs
 * @pending_known: the device told, else it is what the last round gave
 * @device: all of the device
 * @device_known: the device told
 * @told, @told_low, @told_high: what the device said, and what it can have meant by it
 * @told_any: it said something
 */
struct vfm_rest {
	uint64_t initial;
	uint64_t pending;
	bool pending_known;
	uint64_t device;
	bool device_known;
	uint64_t told, told_low, told_high;
	bool told_any;
};

struct vfm_buffer;
struct vfm_dirty;
struct vfm_engine;
struct vfm_member;

/**
 * vfm_step - what is done to one device; @what is the step's own
 *
 * It may be a hand that does it. Returns 0, or has filled m->err.
 */
typedef int vfm_step(struct vfm_member *m, int what);

/**
 * struct vfm_read - one read of a data session
 * @room: bytes that are wanted at most
 * @n, @end: as of vfm_device_read_chunk()
 */
struct vfm_read {
	size_t room;
	ssize_t n;
	bool end;
};

/**
 * struct vfm_member - one device
 * @index: in its unit
 * @err: of what was done to it last, if that failed
 * @origin: state in which it was found
 * @migration: VFM_MIGRATION_*
 * @protocol: 1 or 2; 0: not known
 * @touched: it left its origin, or is about to
 * @armed: it was told what to do if we die
 * @save, @load: what reading and writing its data costs
 * @arcs: steps of its own that were measured
 * @rest: what is left of it
 * @got: what was read of it in the last round, or after the stop
 * @quota: the engine's: what that may come to
 * @dry: the engine's: nothing more is to be read of it
 * @bytes, @data_ns: the engine's: of its data that were read or written in all, and how long
 *	that took
 * @told_wrong: it gave what it did not tell
 * @identity: who it is (source), and who it is to become (destination)
 * @dirty: where its dirty log goes to; @logging: it runs, and is ours to stop
 * @failed: it had a part in the failure
 * @ready: destination: what is not part of the device is there, and it may run
 *
 * @work, @step, @what, @ret: what is done to it, and what that returned
 * @busy: the engine's: a hand has it
 * @wave: the engine's: of which steps that is one, so that one that is late is known to be
 * @collected: the engine's: what is made of it when it is done; its failure is the engine's
 * @level: the engine's: how far it is on a way that all go together; @late: the others wait
 *	for it no longer
 * @mute: the engine's: it could not work when it had to, and is not asked again
 * @buffer, @read, @took_ns: data on its way from or to the device
 * @backlog, @last: the engine's: data that came for it while it was busy
 */
struct vfm_member {
	struct vfm_device *dev;
	unsigned int index;
	struct vfm_err err;
	enum vfm_state origin;
	uint64_t migration;
	unsigned int protocol;
	bool touched;
	bool armed;
	struct vfm_gauge save, load;
	struct vfm_arcs arcs;
	struct vfm_rest rest;
	uint64_t got, quota;
	bool dry;
	uint64_t bytes, data_ns;
	bool told_wrong;
	struct vfm_identity identity;
	struct vfm_dirty *dirty;
	bool logging;
	bool failed;
	bool ready;

	struct vfm_work work;
	vfm_step *step;
	int what, ret;
	bool busy;
	uint32_t wave;
	int (*collected)(struct vfm_engine *e, struct vfm_member *m);
	unsigned int level;
	bool late, mute;
	struct vfm_buffer *buffer;
	struct vfm_read read;
	uint64_t took_ns;
	struct vfm_buffer *backlog, **last;
};

/** vfm_count_arcs() - single steps between two states, of a device with these VFM_MIGRATION_*. */
unsigned int vfm_count_arcs(uint64_t migration, enum vfm_state from, enum vfm_state to);

/** vfm_member_ask() - what the device is and where; -EINVAL unless RUNNING or STOP. */
int vfm_member_ask(struct vfm_member *m, int unused) VFM_MUST_CHECK;

/** vfm_member_identify() - who it is. */
int vfm_member_identify(struct vfm_member *m, int unused) VFM_MUST_CHECK;

/** vfm_member_walk() - from its origin to an enum vfm_state, and measure the steps. */
int vfm_member_walk(struct vfm_member *m, int state) VFM_MUST_CHECK;

/** vfm_member_set() - to an enum vfm_state. */
int vfm_member_set(struct vfm_member *m, int state) VFM_MUST_CHECK;

/** vfm_member_reset() - if it is touched. */
int vfm_member_reset(struct vfm_member *m, int unused) VFM_MUST_CHECK;

/** vfm_member_arm() - an enum vfm_orphan, if we die. One that cannot do that is left alone. */
int vfm_member_arm(struct vfm_member *m, int orphan) VFM_MUST_CHECK;

/** vfm_member_disarm() - if it was armed. */
int vfm_member_disarm(struct vfm_member *m, int unused) VFM_MUST_CHECK;

#endif
