// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * One device of a unit: what the engine keeps of it, and does to it alone. What is done
 * to all of them, and in which order, is unit.h's.
 *
 * A member writes its errors into itself, as another may fail at the same time; who gives
 * them to the engine says whose they are.
 */

#ifndef VFM_ENGINE_MEMBER_H
#define VFM_ENGINE_MEMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vfmig/device.h>

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
	uint64_t got;
};

/** vfm_count_arcs() - single steps between two states, of a device with these VFM_MIGRATION_*. */
unsigned int vfm_count_arcs(uint64_t migration, enum vfm_state from, enum vfm_state to);

/** vfm_member_ask() - what the device is and where; -EINVAL unless RUNNING or STOP. */
int vfm_member_ask(struct vfm_member *m, int unused) VFM_MUST_CHECK;

/** vfm_member_walk() - from its origin to an enum vfm_state, and measure the steps. */
int vfm_member_walk(struct vfm_member *m, int state) VFM_MUST_CHECK;

/** vfm_member_set() - to an enum vfm_state. */
int vfm_member_set(struct vfm_member *m, int state) VFM_MUST_CHECK;

/** vfm_member_arm() - an enum vfm_orphan, if we die. One that cannot do that is left alone. */
int vfm_member_arm(struct vfm_member *m, int orphan) VFM_MUST_CHECK;

/** vfm_member_disarm() - if it was armed. */
int vfm_member_disarm(struct vfm_member *m, int unused) VFM_MUST_CHECK;

#endif
