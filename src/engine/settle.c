// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The whole of recovery's logic. Two lines carry it: a source in GIVING does nothing
 * by itself, and a destination runs only what is COMMITTED, which it writes before it
 * runs. So COMMITTED and RESET at the destination exclude each other, and everybody
 * else follows the one of them that is there.
 */

#include "engine/settle.h"

#include "base/util.h"

#define BIT(state) (UINT64_C(1) << VFM_HANDOVER_##state)
#define TAKEN (BIT(COMMITTED) | BIT(RUNNING))
#define SOURCES (BIT(BEGUN) | BIT(GIVING) | BIT(KEPT))
#define ANY (~UINT64_C(0))

#define AT_SOURCE VFM_ROLE_SOURCE
#define AT_DEST VFM_ROLE_DESTINATION

#define KEEPS "the source keeps the device"
#define TAKES "the destination owns the device"
#define TORN "the journals contradict each other: one of them was changed or is of elsewhere"

/* The first row that fits counts. */
/* clang-format off */
static const struct {
	enum vfm_role role;
	enum vfm_handover own;
	uint64_t other; /* any of these */
	struct vfm_verdict verdict;
} rows[] = {
	{ AT_SOURCE, VFM_HANDOVER_BEGUN, TAKEN, { VFM_HANDOVER_BEGUN, false, TORN } },
	{ AT_SOURCE, VFM_HANDOVER_BEGUN, ANY, { VFM_HANDOVER_KEPT, true, KEEPS } },
	{ AT_SOURCE, VFM_HANDOVER_KEPT, TAKEN, { VFM_HANDOVER_KEPT, false, TORN } },
	{ AT_SOURCE, VFM_HANDOVER_KEPT, ANY, { VFM_HANDOVER_KEPT, true, KEEPS } },
	{ AT_SOURCE, VFM_HANDOVER_GIVEN, BIT(RESET) | BIT(LOADED), { VFM_HANDOVER_GIVEN, false, TORN } },
	{ AT_SOURCE, VFM_HANDOVER_GIVEN, ANY, { VFM_HANDOVER_GIVEN, true, TAKES } },
	{ AT_SOURCE, VFM_HANDOVER_GIVING, BIT(RESET), { VFM_HANDOVER_KEPT, true, KEEPS } },
	{ AT_SOURCE, VFM_HANDOVER_GIVING, TAKEN, { VFM_HANDOVER_GIVEN, true, TAKES } },
	{ AT_SOURCE, VFM_HANDOVER_GIVING, ANY, { VFM_HANDOVER_GIVING, false,
		"the source may have given the device away, and only the destination knows" } },

	{ AT_DEST, VFM_HANDOVER_LOADING, BIT(GIVEN), { VFM_HANDOVER_LOADING, false, TORN } },
	{ AT_DEST, VFM_HANDOVER_LOADING, ANY, { VFM_HANDOVER_RESET, true, KEEPS } },
	{ AT_DEST, VFM_HANDOVER_LOADED, SOURCES, { VFM_HANDOVER_RESET, true, KEEPS } },
	{ AT_DEST, VFM_HANDOVER_LOADED, BIT(GIVEN), { VFM_HANDOVER_LOADED, false, TORN } },
	{ AT_DEST, VFM_HANDOVER_LOADED, ANY, { VFM_HANDOVER_LOADED, false,
		"the destination has loaded all, and has not seen that the source gave it away" } },
	{ AT_DEST, VFM_HANDOVER_COMMITTED, BIT(BEGUN) | BIT(KEPT), { VFM_HANDOVER_COMMITTED, false, TORN } },
	{ AT_DEST, VFM_HANDOVER_COMMITTED, ANY, { VFM_HANDOVER_RUNNING, true, TAKES } },
	{ AT_DEST, VFM_HANDOVER_RUNNING, BIT(BEGUN) | BIT(KEPT), { VFM_HANDOVER_RUNNING, false, TORN } },
	{ AT_DEST, VFM_HANDOVER_RUNNING, ANY, { VFM_HANDOVER_RUNNING, true, TAKES } },
	{ AT_DEST, VFM_HANDOVER_RESET, BIT(GIVEN), { VFM_HANDOVER_RESET, false, TORN } },
	{ AT_DEST, VFM_HANDOVER_RESET, ANY, { VFM_HANDOVER_RESET, true, KEEPS } },
};
/* clang-format on */

struct vfm_verdict vfm_settle(enum vfm_role role, enum vfm_handover own, enum vfm_handover other)
{
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++)
		if (rows[i].role == role && rows[i].own == own && rows[i].other >> other & 1)
			return rows[i].verdict;
	return (struct vfm_verdict){ own, false, "its journal cannot be read" };
}

enum vfm_handover vfm_settle_by_person(enum vfm_role role, enum vfm_role owner)
{
	if (role == VFM_ROLE_SOURCE)
		return owner == role ? VFM_HANDOVER_KEPT : VFM_HANDOVER_GIVEN;
	return owner == role ? VFM_HANDOVER_COMMITTED : VFM_HANDOVER_RESET;
}

bool vfm_settle_is_final(enum vfm_handover state)
{
	return state == VFM_HANDOVER_GIVEN || state == VFM_HANDOVER_KEPT ||
	       state == VFM_HANDOVER_RUNNING || state == VFM_HANDOVER_RESET;
}
