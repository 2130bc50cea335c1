// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Protocol v2 as tables: which single arcs a device has, and the next step on
 * the way from any state to any other. No I/O and no device here.
 */

#ifndef VFM_PROTOCOL_V2_H
#define VFM_PROTOCOL_V2_H

#include <vfmig/driver.h>
#include <vfmig/state.h>

/** What an arc does to the data session. */
enum vfm_session_effect {
	VFM_SESSION_NONE,      /* there is none before and after */
	VFM_SESSION_OPEN_SAVE, /* one to be read begins */
	VFM_SESSION_OPEN_LOAD, /* one to be written begins */
	VFM_SESSION_KEEP,      /* it goes on */
	VFM_SESSION_CLOSE,     /* it ends */
};

/** vfm_migration_legal() - one of the sets 1, 3, 5, 7. */
bool vfm_migration_legal(uint64_t migration);

/**
 * vfm_next_state() - the first single arc on the path @from -> @to
 * @migration: a legal set
 * @from, @to: any values, also beyond the last state
 *
 * Return: 0 and the state after that arc, which is @to itself when @from is @to;
 * -EINVAL when there is no path, @from or @to does not exist, or either is ERROR.
 */
int vfm_next_state(uint64_t migration, enum vfm_state from, enum vfm_state to,
		   enum vfm_state *next);

/** vfm_arc_session() - of an arc that exists. */
enum vfm_session_effect vfm_arc_session(enum vfm_state from, enum vfm_state to);

#endif
