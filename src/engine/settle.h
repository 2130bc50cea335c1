// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What follows from two statements: a table, without I/O. The proof that it never
 * leads to two owners is docs/handover.md, and the model in tests/handover.
 */

#ifndef VFM_ENGINE_SETTLE_H
#define VFM_ENGINE_SETTLE_H

#include <stdbool.h>

#include <vfmig/recover.h>

/**
 * struct vfm_verdict
 * @next: what this side is to say from now on; its present state when nothing follows
 * @decided: the device may be brought to where @next wants it. Else nothing may be done
 * @why: in words: of a decision, what it is; else what is in the way
 */
struct vfm_verdict {
	enum vfm_handover next;
	bool decided;
	const char *why;
};

/**
 * vfm_settle() - what @role, whose journal says @own, does
 * @other: what the other side says; VFM_HANDOVER_UNKNOWN also when it was not asked
 */
struct vfm_verdict vfm_settle(enum vfm_role role, enum vfm_handover own, enum vfm_handover other);

/** vfm_settle_by_person() - the same when a person has decided for @owner. */
enum vfm_handover vfm_settle_by_person(enum vfm_role role, enum vfm_role owner);

/** vfm_settle_is_final() - there is nothing more that a side in this state could learn. */
bool vfm_settle_is_final(enum vfm_handover state);

#endif
