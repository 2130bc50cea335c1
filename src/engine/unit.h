// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The devices of a unit together: steps that are done to all of them, and their data.
 *
 * A unit of one has its device in our caller's thread, as everything else. Of several, each
 * step and each read or write of data is done by a hand, up to VFM_HANDS_MAX at a time, and a
 * device belongs to that hand meanwhile. All that is decided, and everything of the stream, is
 * our caller's thread's: it gives, and makes something of what it collects, wherever it waits.
 * It serves the devices that no hand has.
 */

#ifndef VFM_ENGINE_UNIT_H
#define VFM_ENGINE_UNIT_H

#include <poll.h>

#include "engine/engine.h"

/* ---- unit.c: all devices --------------------------------------------------- */

/*
 * On a way that all devices go together these are its levels. Who stops goes it so that no
 * device reaches for another that has stopped already, as far as they can be told not to: first
 * none of those that can P2P reaches for others any more, then those stop that cannot, then
 * the rest. Who starts goes it in the same order, with "runs" for "stops".
 */
enum vfm_level {
	VFM_LEVEL_P2P,	/* those with P2P: to where they do not reach for others */
	VFM_LEVEL_SOLO, /* those without */
	VFM_LEVEL_LAST, /* all */
	VFM_NR_LEVELS,
};

/** vfm_unit_hands() - have hands, if there is more than one device. */
int vfm_unit_hands(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_unit_give() - let a hand do a step to @m, which is not busy; there is one that is free. */
void vfm_unit_give(struct vfm_engine *e, struct vfm_member *m, vfm_step *step, int what,
		   int (*collected)(struct vfm_engine *e, struct vfm_member *m));

/** vfm_unit_free_hand() - whether there is one. */
bool vfm_unit_free_hand(const struct vfm_engine *e);

/** vfm_unit_collect() - what is made of all steps that are done; a failure goes to e->cause. */
int vfm_unit_collect(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_unit_watch() - what the devices that nobody has wait for; returns how many were filled in.
 */
size_t vfm_unit_watch(const struct vfm_engine *e, struct pollfd *fds);

/** vfm_unit_process() - let those of them work that have to; a failure goes to e->cause. */
int vfm_unit_process(struct vfm_engine *e, const struct pollfd *fds) VFM_MUST_CHECK;

/**
 * vfm_unit_each() - a step of all devices, at once, up to the first that fails
 *
 * Served and interrupted meanwhile as by vfm_engine_await(). After a failure some may still
 * be busy.
 */
int vfm_unit_each(struct vfm_engine *e, vfm_step *step, int what) VFM_MUST_CHECK;

/**
 * vfm_unit_all() - a step of all devices, at once, whichever fails
 *
 * Devices are served meanwhile, and it ends when all are done; those that are busy with
 * something else when it begins join when they can. Returns what the first that failed did.
 */
int vfm_unit_all(struct vfm_engine *e, vfm_step *step, int what,
		 struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_unit_try() - the same; whether none failed is all that is of interest. */
bool vfm_unit_try(struct vfm_engine *e, vfm_step *step, int what);

/**
 * vfm_unit_start() - the same for a step with levels, all the levels
 *
 * Nobody goes to a level before all have come through the one before, but those that have
 * failed, and those that take so long for it that nobody waits for them any more.
 */
int vfm_unit_start(struct vfm_engine *e, vfm_step *step, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_unit_has_level() - whether there is anybody whom that enum vfm_level is for. */
bool vfm_unit_has_level(const struct vfm_engine *e, int level);

/** vfm_unit_failed() - a step of @m has failed with @ret, which is returned; to e->err. */
int vfm_unit_failed(struct vfm_engine *e, struct vfm_member *m, int ret);

/** vfm_unit_name() - of several devices, say which one it was. */
void vfm_unit_name(const struct vfm_engine *e, const struct vfm_member *m, struct vfm_err *err);

/** vfm_unit_has() - whether one of the devices has one of these VFM_MIGRATION_*. */
bool vfm_unit_has(const struct vfm_engine *e, uint64_t migration);

/** vfm_unit_touched() - whether one of the devices is not, or may be not, where it was found. */
bool vfm_unit_touched(const struct vfm_engine *e);

/** vfm_unit_touch() - all devices are about to leave where they were found. */
void vfm_unit_touch(struct vfm_engine *e);

/** vfm_unit_ask() - find out what the devices are and where, and whether they may go together. */
int vfm_unit_ask(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_unit_report() - what is told of each of them, as it is now; @state: ask for that, too */
void vfm_unit_report(const struct vfm_engine *e, bool state);

/* ---- data.c: from the devices to the stream, and back ------------------------ */

/** vfm_data_read() - a round: each device until it has nothing now, or has given its quota. */
int vfm_data_read(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_data_drain() - the data sessions in STOP_COPY up to their ends. */
int vfm_data_drain(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_data_write() - a DEVICE_DATA record into its device, or on its way there. */
int vfm_data_write(struct vfm_engine *e, const struct vfm_stream_record *record) VFM_MUST_CHECK;

/** vfm_data_settle() - until all that was written is there. */
int vfm_data_settle(struct vfm_engine *e) VFM_MUST_CHECK;

/* ---- together.c: what they take together ------------------------------------- */

/** vfm_unit_width() - how many are called at a time. */
unsigned int vfm_unit_width(const struct vfm_engine *e);

/** vfm_unit_step() - what a step of all of them takes, as one step, if one was measured. */
struct vfm_arcs vfm_unit_step(const struct vfm_engine *e);

/** vfm_unit_arcs() - the most steps that one of them has between two states. */
unsigned int vfm_unit_arcs(const struct vfm_engine *e, enum vfm_state from, enum vfm_state to);

/** vfm_unit_stop_arcs() - the same, from where they are before the stop to STOP_COPY. */
unsigned int vfm_unit_stop_arcs(const struct vfm_engine *e);

/** vfm_unit_load_cost() - of loading into one of them, whichever it is. */
struct vfm_cost vfm_unit_load_cost(const struct vfm_engine *e);

/** vfm_unit_save_cost() - of reading what is left of all, at once. */
struct vfm_cost vfm_unit_save_cost(const struct vfm_engine *e);

/** vfm_unit_saved() - bytes that this was measured with. */
uint64_t vfm_unit_saved(const struct vfm_engine *e);

/** vfm_unit_overlap() - from the cost of one device to that of what is left of all, so many at a
 *	time. */
void vfm_unit_overlap(const struct vfm_engine *e, unsigned int width, struct vfm_cost *cost);

#endif
