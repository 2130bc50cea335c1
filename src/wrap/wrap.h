// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Devices over a device that change nothing but what they are for:
 *
 *   hook.c           tells of every operation, before and after; op.c puts it into words
 *   fault.c          a device with a named bug; bugs_*.c are the bugs
 *   inject.c         one that fails, is short or late by a schedule
 *
 * A wrap takes the device behind on success, and closes it with itself.
 */

#ifndef VFM_WRAP_WRAP_H
#define VFM_WRAP_WRAP_H

#include <vfmig/check.h>

#include "device/pass.h"

/* ---- fault ---------------------------------------------------------------- */

struct vfm_fault;

/** Rules that one bug may be found by. */
#define VFM_BUG_RULES 8

/**
 * struct vfm_bug - a bug that a device can be given
 * @is: what it is called
 * @rules: by which rules it is found: the first is the one that is about it, the others
 *	cannot but see it, too; NULL behind the last
 * @needs: VFM_MIGRATION_* without which it cannot show
 * @v1: it is one of the migration region
 * @ops: what is done in another way: members that are NULL are handed on
 */
struct vfm_bug {
	struct vfm_check_bug is;
	const char *rules[VFM_BUG_RULES];
	uint64_t needs;
	bool v1;
	struct vfm_device_ops ops;
};

/** vfm_bug_at() - number @n; NULL beyond the last. */
const struct vfm_bug *vfm_bug_at(size_t n);

/**
 * struct vfm_fault - a device with a bug
 * @pass: the device behind
 * @bug: which one
 * @ops: its table
 * @count, @bytes, @flag, @held: the bug's own
 */
struct vfm_fault {
	struct vfm_pass pass;
	const struct vfm_bug *bug;
	struct vfm_device_ops ops;
	uint64_t count[4];
	uint64_t bytes;
	bool flag;
	void *held; /* from malloc(), freed with it */
};

static inline struct vfm_fault *vfm_fault_of(struct vfm_device *dev)
{
	return (struct vfm_fault *)dev;
}

/** vfm_fault_state() - of the device behind; ERROR if it does not tell. */
enum vfm_state vfm_fault_state(struct vfm_device *dev);

/** vfm_fault_open() - @params: "bug=NAME", or schedules for inject.h. */
int vfm_fault_open(struct vfm_device **out, struct vfm_device *inner, const char *params,
		   struct vfm_err *err) VFM_MUST_CHECK;

/* The tables of bugs, by what they are about; each in its bugs_*.c. */
extern const struct vfm_bug vfm_bugs_discovery[];
extern const size_t vfm_nr_bugs_discovery;
extern const struct vfm_bug vfm_bugs_describe[];
extern const size_t vfm_nr_bugs_describe;
extern const struct vfm_bug vfm_bugs_arc[];
extern const size_t vfm_nr_bugs_arc;
extern const struct vfm_bug vfm_bugs_session[];
extern const size_t vfm_nr_bugs_session;
extern const struct vfm_bug vfm_bugs_reset[];
extern const size_t vfm_nr_bugs_reset;
extern const struct vfm_bug vfm_bugs_race[];
extern const size_t vfm_nr_bugs_race;
extern const struct vfm_bug vfm_bugs_stream[];
extern const size_t vfm_nr_bugs_stream;
extern const struct vfm_bug vfm_bugs_precopy[];
extern const size_t vfm_nr_bugs_precopy;
extern const struct vfm_bug vfm_bugs_size[];
extern const size_t vfm_nr_bugs_size;
extern const struct vfm_bug vfm_bugs_image[];
extern const size_t vfm_nr_bugs_image;
extern const struct vfm_bug vfm_bugs_damage[];
extern const size_t vfm_nr_bugs_damage;
extern const struct vfm_bug vfm_bugs_stop[];
extern const size_t vfm_nr_bugs_stop;
extern const struct vfm_bug vfm_bugs_irq[];
extern const size_t vfm_nr_bugs_irq;
extern const struct vfm_bug vfm_bugs_dma[];
extern const size_t vfm_nr_bugs_dma;
extern const struct vfm_bug vfm_bugs_log[];
extern const size_t vfm_nr_bugs_log;
extern const struct vfm_bug vfm_bugs_v1_state[];
extern const size_t vfm_nr_bugs_v1_state;
extern const struct vfm_bug vfm_bugs_v1_save[];
extern const size_t vfm_nr_bugs_v1_save;
extern const struct vfm_bug vfm_bugs_v1_resume[];
extern const size_t vfm_nr_bugs_v1_resume;

#endif
