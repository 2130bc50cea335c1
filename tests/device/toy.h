// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A driver for tests: a few KiB of state in records of a page, every arc and
 * every callback of which can be told to fail, and which counts what happens.
 */

#ifndef VFM_TESTS_TOY_H
#define VFM_TESTS_TOY_H

#include <vfmig/driver.h>

#define TOY_PAGE 256u
#define TOY_PAGES 8u

struct toy {
	struct vfm_host *host;
	uint8_t state[TOY_PAGES][TOY_PAGE];
	uint8_t dirty;	/* one bit a page, of the session */
	uint8_t loaded; /* one bit a page */
	int irq_fd;
	/* what a test may set */
	int fail_arc;		/* answer of every arc... */
	unsigned int good_arcs; /* ...after so many that work */
	int fail_save, fail_load, fail_load_end, fail_reset;
	bool reset_in_access; /* a region write asks for a reset */
	bool dma_in_arc;      /* an arc does DMA and notes what came of it */
	/* what a test may look at */
	int arc_dma_result;
	unsigned int arcs, resets, opens, closes;
	enum vfm_state last_from, last_to;
};

/** The instance that was opened last; a driver has no other way to reach a test. */
extern struct toy *toy_last;
extern const struct vfm_driver toy_driver;

#endif
