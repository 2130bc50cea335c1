// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A device over a device that can be told to fail, lie or lose: for tests of
 * what the engine makes of it. Every call is counted, from 1.
 */

#ifndef VFM_TESTS_WRAP_H
#define VFM_TESTS_WRAP_H

#include "device/device.h"

enum wrap_fault {
	WRAP_NONE,
	WRAP_BEFORE, /* call number @at fails and does nothing */
	WRAP_AFTER,  /* it is done, and fails all the same */
	WRAP_GONE,   /* it fails, and so does every call after it */
};

struct wrap {
	struct vfm_device dev;
	struct vfm_device *inner; /* the test's, not closed with the wrap */
	enum wrap_fault fault;
	unsigned int at;
	unsigned int calls;
	unsigned int failed;
	const char *failed_call; /* the first */
	int code;		 /* of a failure; 0: -EIO */
	int orphan;		 /* what was asked for last; -1: nothing */

	/* lies */
	bool no_log;  /* there is no dirty log */
	bool no_info; /* neither pre-copy info nor data size */
	bool no_orphan;
	bool fail_prove;	  /* no image is right */
	size_t max_ranges;	  /* that the log takes; 0: as many as the device's own */
	size_t log_ranges;	  /* that it took */
	uint64_t log_page;	  /* pages in which it logs; 0: as it is asked */
	unsigned int lose_report; /* this report (from 1) is taken and not told */
	unsigned int fail_report; /* this one fails */
	unsigned int reports;
	unsigned int processed; /* calls of process */
	uint64_t data_size;	/* told instead, if not 0 */
	uint64_t initial;	/* the same */
	bool no_size;		/* the data size is told to be 0 */
	bool reinit;		/* new initial data, it says */
	uint64_t written;	/* bytes of data that have come to it */
	bool zero_for_nomsg;	/* an end where there is nothing now */
	bool nomsg_for_zero;	/* and nothing now where there is an end */
	unsigned int logs;	/* running: starts less stops */
	/* called before and after each change of state that is not told to fail */
	void (*arc)(struct wrap *w, enum vfm_state to, bool done);
	/* called before every call, with its name */
	void (*hook)(struct wrap *w, const char *call);
	void *user;
};

struct wrap *wrap_new(struct vfm_device *inner);
void wrap_free(struct wrap *w);

#endif
