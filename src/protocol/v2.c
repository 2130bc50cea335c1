// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The tables of protocol v2.
 *
 * There is one next-step table for each legal feature set. They are written out,
 * because that is what a reader wants to compare with the uAPI's text; a test
 * derives each of them anew from the single arcs, by search, and compares.
 *
 * The rules behind them: the shortest path; a path from one saving state to
 * another stays among saving states (they share one data session), every other
 * path has no saving state in its inside. That leaves STOP_COPY -> PRE_COPY and
 * STOP_COPY -> PRE_COPY_P2P without a path.
 */

#include "protocol/v2.h"

#include <errno.h>

#include "base/util.h"

#define P2P VFM_MIGRATION_P2P
#define PRE VFM_MIGRATION_PRE_COPY
#define ALL (VFM_MIGRATION_STOP_COPY | P2P | PRE)

static const struct {
	const char *name;
	uint64_t needs;
	bool saving;
	bool active;
} states[VFM_NR_STATES] = {
	[VFM_STATE_ERROR] = { "ERROR", 0, false, false },
	[VFM_STATE_STOP] = { "STOP", VFM_MIGRATION_STOP_COPY, false, false },
	[VFM_STATE_RUNNING] = { "RUNNING", 0, false, true },
	[VFM_STATE_STOP_COPY] = { "STOP_COPY", VFM_MIGRATION_STOP_COPY, true, false },
	[VFM_STATE_RESUMING] = { "RESUMING", VFM_MIGRATION_STOP_COPY, false, false },
	[VFM_STATE_RUNNING_P2P] = { "RUNNING_P2P", VFM_MIGRATION_STOP_COPY | P2P, false, true },
	[VFM_STATE_PRE_COPY] = { "PRE_COPY", VFM_MIGRATION_STOP_COPY | PRE, true, true },
	[VFM_STATE_PRE_COPY_P2P] = { "PRE_COPY_P2P", ALL, true, true },
};

/* clang-format off */
#define S VFM_STATE_STOP
#define R VFM_STATE_RUNNING
#define C VFM_STATE_STOP_COPY
#define L VFM_STATE_RESUMING
#define r VFM_STATE_RUNNING_P2P
#define P VFM_STATE_PRE_COPY
#define p VFM_STATE_PRE_COPY_P2P

/* Every single arc: it exists when all of @needs are there and none of @without. */
static const struct {
	enum vfm_state from, to;
	uint64_t needs, without;
	enum vfm_session_effect session;
} arcs[] = {
	{ S, L, 0,         0,   VFM_SESSION_OPEN_LOAD },
	{ L, S, 0,         0,   VFM_SESSION_CLOSE },
	{ S, C, 0,         0,   VFM_SESSION_OPEN_SAVE },
	{ C, S, 0,         0,   VFM_SESSION_CLOSE },
	{ R, S, 0,         P2P, VFM_SESSION_NONE },
	{ S, R, 0,         P2P, VFM_SESSION_NONE },
	{ R, r, P2P,       0,   VFM_SESSION_NONE },
	{ r, R, P2P,       0,   VFM_SESSION_NONE },
	{ r, S, P2P,       0,   VFM_SESSION_NONE },
	{ S, r, P2P,       0,   VFM_SESSION_NONE },
	{ R, P, PRE,       0,   VFM_SESSION_OPEN_SAVE },
	{ P, R, PRE,       0,   VFM_SESSION_CLOSE },
	{ P, C, PRE,       P2P, VFM_SESSION_KEEP },
	{ P, p, PRE | P2P, 0,   VFM_SESSION_KEEP },
	{ p, P, PRE | P2P, 0,   VFM_SESSION_KEEP },
	{ r, p, PRE | P2P, 0,   VFM_SESSION_OPEN_SAVE },
	{ p, r, PRE | P2P, 0,   VFM_SESSION_CLOSE },
	{ p, C, PRE | P2P, 0,   VFM_SESSION_KEEP },
};

/* next_step[P2P and PRE_COPY bits][from][to]; 0 (ERROR): there is no path. */
static const uint8_t next_step[4][VFM_NR_STATES][VFM_NR_STATES] = {
	[0] = { /*         -  S  R  C  L */
		[S] =    { 0, S, R, C, L },
		[R] =    { 0, S, R, S, S },
		[C] =    { 0, S, S, C, S },
		[L] =    { 0, S, S, S, L },
	},
	[1] = { /* P2P     -  S  R  C  L  r */
		[S] =    { 0, S, r, C, L, r },
		[R] =    { 0, r, R, r, r, r },
		[C] =    { 0, S, S, C, S, S },
		[L] =    { 0, S, S, S, L, S },
		[r] =    { 0, S, R, S, S, r },
	},
	[2] = { /* PRE     -  S  R  C  L  r  P */
		[S] =    { 0, S, R, C, L, 0, R },
		[R] =    { 0, S, R, S, S, 0, P },
		[C] =    { 0, S, S, C, S, 0, 0 },
		[L] =    { 0, S, S, S, L, 0, S },
		[P] =    { 0, R, R, C, R, 0, P },
	},
	[3] = { /* both    -  S  R  C  L  r  P  p */
		[S] =    { 0, S, r, C, L, r, r, r },
		[R] =    { 0, r, R, r, r, r, P, r },
		[C] =    { 0, S, S, C, S, S, 0, 0 },
		[L] =    { 0, S, S, S, L, S, S, S },
		[r] =    { 0, S, R, S, S, r, R, p },
		[P] =    { 0, R, R, p, R, R, P, p },
		[p] =    { 0, r, r, C, r, r, P, p },
	},
};
/* clang-format on */
#undef S
#undef R
#undef C
#undef L
#undef r
#undef P
#undef p

static bool in_table(enum vfm_state state)
{
	return (unsigned int)state < VFM_NR_STATES;
}

VFM_API const char *vfm_state_name(enum vfm_state state)
{
	return in_table(state) ? states[state].name : "invalid";
}

VFM_API bool vfm_state_exists(uint64_t migration, enum vfm_state state)
{
	return in_table(state) && (states[state].needs & ~migration) == 0;
}

VFM_API bool vfm_state_is_saving(enum vfm_state state)
{
	return in_table(state) && states[state].saving;
}

VFM_API bool vfm_state_is_precopy(enum vfm_state state)
{
	return vfm_state_is_saving(state) && states[state].active;
}

VFM_API bool vfm_state_is_active(enum vfm_state state)
{
	return in_table(state) && states[state].active;
}

bool vfm_migration_legal(uint64_t migration)
{
	return (migration & VFM_MIGRATION_STOP_COPY) && (migration & ~ALL) == 0;
}

int vfm_next_state(uint64_t migration, enum vfm_state from, enum vfm_state to, enum vfm_state *next)
{
	uint8_t step;

	if (!vfm_migration_legal(migration) || !in_table(from) || !in_table(to))
		return -EINVAL;
	step = next_step[migration >> 1][from][to];
	if (step == VFM_STATE_ERROR)
		return -EINVAL;
	*next = (enum vfm_state)step;
	return 0;
}

VFM_API bool vfm_arc_exists(uint64_t migration, enum vfm_state from, enum vfm_state to)
{
	for (size_t i = 0; i < VFM_ARRAY_SIZE(arcs); i++)
		if (arcs[i].from == from && arcs[i].to == to)
			return vfm_migration_legal(migration) && !(arcs[i].needs & ~migration) &&
			       !(arcs[i].without & migration);
	return false;
}

enum vfm_session_effect vfm_arc_session(enum vfm_state from, enum vfm_state to)
{
	for (size_t i = 0; i < VFM_ARRAY_SIZE(arcs); i++)
		if (arcs[i].from == from && arcs[i].to == to)
			return arcs[i].session;
	return VFM_SESSION_NONE;
}
