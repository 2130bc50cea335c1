// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Devices over a device that change nothing but what they are for:
 *
 *   trace.c          tells every operation and its result
 *   fault.c          a device with a named bug; bugs_*.c are the bugs
 *
 * A wrap takes the device behind on success, and closes it with itself.
 */

#ifndef VFM_WRAP_WRAP_H
#define VFM_WRAP_WRAP_H

#include <vfmig/check.h>

#include "device/pass.h"

/* ---- trace ---------------------------------------------------------------- */

/**
 * struct vfm_trace_op - an operation that begins or has ended
 * @name: of the operation, "set_state"
 * @args: what it was called with, in words
 * @done: it has ended, and the rest is known
 * @ret: what it returned
 * @result: what it gave, in words, or the text of its error
 * @us: how long it took
 */
struct vfm_trace_op {
	const char *name;
	char args[96];
	bool done;
	int64_t ret;
	char result[96];
	uint64_t us;
};

/** struct vfm_trace_sink - who is told; @op is borrowed for the call */
struct vfm_trace_sink {
	void (*fn)(void *user, const struct vfm_trace_op *op);
	void *user;
};

int vfm_trace_open(struct vfm_device **out, struct vfm_device *inner,
		   const struct vfm_trace_sink *sink, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_trace_words() - one of them as a line. */
void vfm_trace_words(const struct vfm_trace_op *op, char *text, size_t room);

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

/** vfm_fault_open() - @params: "bug=NAME". */
int vfm_fault_open(struct vfm_device **out, struct vfm_device *inner, const char *params,
		   struct vfm_err *err) VFM_MUST_CHECK;

/* The tables of bugs, by what they are about; each in its bugs_*.c. */
extern const struct vfm_bug vfm_bugs_arc[];
extern const size_t vfm_nr_bugs_arc;
extern const struct vfm_bug vfm_bugs_v1_state[];
extern const size_t vfm_nr_bugs_v1_state;
extern const struct vfm_bug vfm_bugs_v1_save[];
extern const size_t vfm_nr_bugs_v1_save;
extern const struct vfm_bug vfm_bugs_v1_resume[];
extern const size_t vfm_nr_bugs_v1_resume;

#endif
