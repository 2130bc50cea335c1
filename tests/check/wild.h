// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* A device that does what no device may, when it is opened or when it is stopped. */

#ifndef VFM_TESTS_CHECK_WILD_H
#define VFM_TESTS_CHECK_WILD_H

#include <vfmig/driver.h>

/** What it does; "" and names that it does not know: nothing. */
enum wild {
	WILD_NOT,
	WILD_ABORT,
	WILD_EXIT,
	WILD_LOOP,
	WILD_STOP,
	WILD_DEAF,
	WILD_FLOOD,
	WILD_PRINT,
	WILD_LEAVE,
	WILD_SEGV
};

/** Descriptor that WILD_LEAVE leaves behind in a process, or -1. */
extern int wild_fd;

/** wild_open() - @at_open: when it is opened, and not when it goes to STOP. */
int wild_open(struct vfm_device **out, enum wild how, bool at_open, struct vfm_err *err);

#endif
