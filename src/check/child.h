// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The process of a trial: inside of it (child.c), and how it is waited for from
 * outside (watch.c). The two share memory that the process writes and that is not to be
 * believed: a device in it may have gone wild.
 */

#ifndef VFM_CHECK_CHILD_H
#define VFM_CHECK_CHILD_H

#include <sys/types.h>

#include "check/check.h"

/** enum vfm_stage - how far a trial's process has come */
enum vfm_stage {
	VFM_STAGE_OPENING,
	VFM_STAGE_NOT_OPENED, /* its end: the device could not be opened */
	VFM_STAGE_TRYING,
	VFM_STAGE_DONE, /* its end: there is a verdict */
};

/**
 * struct vfm_shared - what a trial's process tells
 * @result: without the rule, which is a pointer
 * @next: place of the operation that begins next, counted without end
 * @stage: how far it has come
 * @err: why the device could not be opened, or be brought to RUNNING
 * @unready: it could not be brought to RUNNING, so that nothing was tried
 * @gone, @late: an operation said that the device is gone, or does not answer
 * @migrates: the device can migrate, by what the rule's protocol says
 */
struct vfm_shared {
	struct vfm_check_result result;
	size_t next;
	enum vfm_stage stage;
	struct vfm_err err;
	bool unready;
	bool gone, late;
	bool migrates;
};

/** vfm_child_try() - in the process: open the device, try the rule, put the device back. */
void vfm_child_try(const struct vfm_check_opts *opts, const struct vfm_rule *rule,
		   struct vfm_shared *s);

/** enum vfm_end - how a trial's process came to its end */
enum vfm_end {
	VFM_END_SELF,	/* by itself, as the status says */
	VFM_END_TIME,	/* by us: it took too long */
	VFM_END_MEMORY, /* by us: it took too much memory */
	VFM_END_STUCK,	/* not at all: it cannot be ended */
};

/**
 * vfm_watch() - fork a process that tries a rule, and see it to its end
 * @status: of waitpid(), unless it is stuck
 *
 * Nothing that it began is left, but for what has made itself a session of its own.
 *
 * Return: an enum vfm_end; -ECANCELED: @opts->cancel_fd; another error: no process.
 */
int vfm_watch(const struct vfm_check_opts *opts, const struct vfm_rule *rule, struct vfm_shared *s,
	      int *status, struct vfm_err *err) VFM_MUST_CHECK;

/* The limits, with what is meant by 0. */
unsigned int vfm_watch_timeout_ms(const struct vfm_check_opts *opts);
uint64_t vfm_watch_memory(const struct vfm_check_opts *opts);

#endif
