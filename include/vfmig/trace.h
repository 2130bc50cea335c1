// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Traces of what was asked of a device, as the wrap "trace,file=F,format=json+URI" writes
 * them, and trying them again on a device. The format is in docs/trace.md.
 */

#ifndef VFMIG_TRACE_H
#define VFMIG_TRACE_H

#include <vfmig/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct vfm_replay_opts - zero it, then fill in
 * @size: sizeof(struct vfm_replay_opts)
 * @open: required: open the device, for each time that it was opened in the trace
 * @differs: required: an operation had another result than in the trace, or could not be tried
 *	again; @line is its line there, @op what was done and came of it, @what how it was
 *	then. Both are borrowed for the call
 * @user: for both
 */
struct vfm_replay_opts {
	size_t size;
	int (*open)(void *user, struct vfm_device **out, struct vfm_err *err);
	void (*differs)(void *user, uint64_t line, const char *op, const char *what);
	void *user;
};

/**
 * struct vfm_replay_summary - a whole trace
 * @openings: how often the device was opened
 * @operations: that were tried again
 * @differences: of those
 * @left_out: operations whose data is not in the trace, or that are not known here
 */
struct vfm_replay_summary {
	uint64_t openings;
	uint64_t operations;
	uint64_t differences;
	uint64_t left_out;
};

/**
 * vfm_replay() - try a trace again
 * @path: of the trace; the data that was too large for it is in @path with ".data" behind
 *
 * Operations come one after another as quickly as they can, not at the times of the trace.
 * DMA goes to fresh memory. One that did not come back in the trace is tried, too, and may
 * not come back here.
 *
 * Return: 0: all was tried, whatever came of it; -EBADMSG: the file is no trace, or damaged;
 * another error: it cannot be read, or the device cannot be opened.
 */
int vfm_replay(const char *path, const struct vfm_replay_opts *opts,
	       struct vfm_replay_summary *summary, struct vfm_err *err) VFM_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
