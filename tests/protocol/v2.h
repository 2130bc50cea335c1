// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* What the tests of protocol v2 share: values to try, and the rules of paths as a search. */

#ifndef VFM_TESTS_PROTOCOL_V2_H
#define VFM_TESTS_PROTOCOL_V2_H

#include "base/util.h"
#include "protocol/v2.h"

static const uint64_t legal_sets[] = { 1, 3, 5, 7 };

/* No state is one of these, also where the enum is stored in an int. */
static const uint32_t wild_states[] = { 8, 9, 16, 255, 256, 0x7fffffff, 0x80000000, 0xffffffff };

/* All eight and the wild ones. */
#define NR_VALUES (VFM_NR_STATES + VFM_ARRAY_SIZE(wild_states))

static inline enum vfm_state state_value(size_t n)
{
	return (enum vfm_state)(n < VFM_NR_STATES ? n : wild_states[n - VFM_NR_STATES]);
}

/*
 * Whether a path @from -> @to may pass through @inside: those that lead from one
 * saving state to another stay among them, for they share a session; all others
 * pass through none, for they would open a session that nobody sees.
 */
static inline bool may_pass(enum vfm_state from, enum vfm_state inside, enum vfm_state to)
{
	bool stays = vfm_state_is_saving(from) && vfm_state_is_saving(to);

	return vfm_state_is_saving(inside) == stays;
}

/* Length of the shortest path, found by search over the single arcs; -1: there is none. */
static inline int distance(uint64_t migration, enum vfm_state from, enum vfm_state to)
{
	int length[VFM_NR_STATES];
	enum vfm_state queue[VFM_NR_STATES];
	size_t head = 0, tail = 0;

	for (size_t i = 0; i < VFM_NR_STATES; i++)
		length[i] = -1;
	length[from] = 0;
	queue[tail++] = from;
	while (head < tail) {
		enum vfm_state at = queue[head++];

		if (at != from && !may_pass(from, at, to))
			continue;
		for (size_t i = 0; i < VFM_NR_STATES; i++) {
			enum vfm_state next = (enum vfm_state)i;

			if (length[i] >= 0 || !vfm_arc_exists(migration, at, next))
				continue;
			length[i] = length[at] + 1;
			queue[tail++] = next;
		}
	}
	return length[to];
}

#endif
