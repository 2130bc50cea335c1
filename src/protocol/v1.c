// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Protocol v1 as tables: which writes of device_state there are, what they are in
 * v2, and which ones lead where. A word of device_state is masked before it gets
 * near an index. Sources: the text that was removed from the kernel's <linux/vfio.h>
 * (its arrows), and QEMU up to 7.2 (what is issued); see docs/protocol-v1.md.
 */

#include "protocol/v1.h"

#include <errno.h>

#include "base/util.h"

#define NR_WORDS (VFM_V1_MASK + 1)

/* clang-format off */
static const char *const names[NR_WORDS] = {
	"STOP", "RUNNING", "STOP_COPY", "PRE_COPY", "RESUMING", "invalid", "ERROR", "invalid",
};

#define x VFM_V1_ARC_REFUSED
#define S VFM_V1_ARC_SAME
#define D VFM_V1_ARC_DRAWN
#define I VFM_V1_ARC_ISSUED
#define O VFM_V1_ARC_OURS

/*
 * From a row to a column. Refused are 2 to 3, for which v2 has no way; and although it
 * has one, 0 to 3, which would run a device that is stopped, 2 to 4 and 3 to 4, which
 * would throw an image away that is being read, and 4 to 2 and 4 to 3, which would save or
 * run one before anybody has heard that it is right.
 */
static const uint8_t arcs[NR_WORDS][NR_WORDS] = {
	/*                 0  1  2  3  4  5  6  7 */
	/* STOP      */  { S, I, I, x, I, x, x, x },
	/* RUNNING   */  { D, S, D, D, D, x, x, x },
	/* STOP_COPY */  { D, I, S, x, x, x, x, x },
	/* PRE_COPY  */  { O, I, D, S, x, x, x, x },
	/* RESUMING  */  { O, D, x, x, S, x, x, x },
	/* invalid   */  { x, x, x, x, x, x, x, x },
	/* ERROR     */  { x, x, x, x, x, x, x, x },
	/* invalid   */  { x, x, x, x, x, x, x, x },
};
#undef x
#undef S
#undef D
#undef I
#undef O

/* Both directions of the mapping; NO_STATE: there is none. */
#define NO_STATE VFM_NR_STATES
static const uint8_t v2_of[NR_WORDS] = {
	VFM_STATE_STOP, VFM_STATE_RUNNING, VFM_STATE_STOP_COPY, VFM_STATE_PRE_COPY,
	VFM_STATE_RESUMING, NO_STATE, VFM_STATE_ERROR, NO_STATE,
};

static const uint8_t v1_of[VFM_NR_STATES] = {
	[VFM_STATE_ERROR] = VFM_V1_SAVING | VFM_V1_RESUMING,
	[VFM_STATE_STOP] = 0,
	[VFM_STATE_RUNNING] = VFM_V1_RUNNING,
	[VFM_STATE_STOP_COPY] = VFM_V1_SAVING,
	[VFM_STATE_RESUMING] = VFM_V1_RESUMING,
	[VFM_STATE_RUNNING_P2P] = VFM_V1_RUNNING,
	[VFM_STATE_PRE_COPY] = VFM_V1_SAVING | VFM_V1_RUNNING,
	[VFM_STATE_PRE_COPY_P2P] = VFM_V1_SAVING | VFM_V1_RUNNING,
};

/* From a row to a column, as words; { NO_WAY } where there is none. */
#define NONE { 0 }
#define TO(a) { 1, { a } }
#define VIA(a, b) { 2, { a, b } }
#define NO_WAY { UINT8_MAX }
#define STOP VFM_STATE_STOP
#define RUNNING VFM_STATE_RUNNING
#define STOP_COPY VFM_STATE_STOP_COPY
#define RESUMING VFM_STATE_RESUMING
#define PRE_COPY VFM_STATE_PRE_COPY
static const struct {
	uint8_t length;
	uint8_t words[VFM_V1_PATH_MAX];
} paths[VFM_NR_STATES][VFM_NR_STATES] = {
	[STOP] = {
		[STOP] = NONE, [RUNNING] = TO(1), [STOP_COPY] = TO(2), [RESUMING] = TO(4),
		[PRE_COPY] = VIA(1, 3),
	},
	[RUNNING] = {
		[STOP] = TO(0), [RUNNING] = NONE, [STOP_COPY] = TO(2), [RESUMING] = TO(4),
		[PRE_COPY] = TO(3),
	},
	[STOP_COPY] = {
		[STOP] = TO(0), [RUNNING] = TO(1), [STOP_COPY] = NONE, [RESUMING] = VIA(0, 4),
		[PRE_COPY] = NO_WAY,
	},
	[RESUMING] = {
		[STOP] = TO(0), [RUNNING] = TO(1), [STOP_COPY] = VIA(0, 2), [RESUMING] = NONE,
		[PRE_COPY] = VIA(1, 3),
	},
	[PRE_COPY] = {
		[STOP] = VIA(2, 0), [RUNNING] = TO(1), [STOP_COPY] = TO(2),
		[RESUMING] = VIA(1, 4), [PRE_COPY] = NONE,
	},
};
#undef STOP
#undef RUNNING
#undef STOP_COPY
#undef RESUMING
#undef PRE_COPY
/* clang-format on */

VFM_API const char *vfm_v1_state_name(struct vfm_v1_state state)
{
	return names[vfm_v1_bits(state)];
}

VFM_API int vfm_v1_to_v2(struct vfm_v1_state v1, enum vfm_state *v2)
{
	uint8_t state = v2_of[vfm_v1_bits(v1)];

	if (state == NO_STATE)
		return -EINVAL;
	*v2 = (enum vfm_state)state;
	return 0;
}

VFM_API struct vfm_v1_state vfm_v1_from_v2(enum vfm_state v2)
{
	return (unsigned int)v2 < VFM_NR_STATES ? vfm_v1_state_of(v1_of[v2]) : VFM_V1_STATE_ERROR;
}

VFM_API enum vfm_v1_arc vfm_v1_arc(struct vfm_v1_state from, struct vfm_v1_state to)
{
	return (enum vfm_v1_arc)arcs[vfm_v1_bits(from)][vfm_v1_bits(to)];
}

/* States that v1 has, and that can be asked for or left otherwise than by a reset. */
static bool in_paths(enum vfm_state state)
{
	return state != VFM_STATE_ERROR &&
	       vfm_state_exists(VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_PRE_COPY, state);
}

int vfm_v1_path(enum vfm_state from, enum vfm_state to, struct vfm_v1_path *path)
{
	if (!in_paths(from) || !in_paths(to) || paths[from][to].length > VFM_V1_PATH_MAX)
		return -EINVAL;
	path->length = paths[from][to].length;
	for (size_t i = 0; i < path->length; i++)
		path->steps[i] = vfm_v1_state_of(paths[from][to].words[i]);
	return 0;
}
