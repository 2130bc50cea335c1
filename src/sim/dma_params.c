// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The parameters of sim:dma. One table serves the parser, the list for people
 * and, by the test that compares them, docs/sim-dma.md.
 */

#include "sim/dma.h"

#include <errno.h>
#include <inttypes.h>

#include "base/params.h"
#include "base/util.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* initial= was not given: 1M, or all of a smaller state. */
#define INITIAL_UNSET UINT64_MAX
#define INITIAL_DEFAULT MIB

struct row {
	struct vfm_sim_param doc;
	enum vfm_param_type type;
	uint64_t min, max, fallback;
	size_t offset;
};

#define FIELD(name) offsetof(struct vfm_sim_dma_params, name)

/* clang-format off */
static const struct row rows[] = {
	{ { "state", "SIZE", "16M", "internal state, a multiple of 4K" },
	  VFM_PARAM_SIZE, VFM_SIM_PAGE, 256 * GIB, 16 * MIB, FIELD(state) },
	{ { "dirty", "SIZE", "0", "bytes of it that change in a second; 0: only by STATE_STEP" },
	  VFM_PARAM_SIZE, 0, VFM_SIM_DMA_RATE_MAX, 0, FIELD(dirty) },
	{ { "initial", "SIZE", "1M", "bytes of it that are saved first, a multiple of 4K" },
	  VFM_PARAM_SIZE, VFM_SIM_PAGE, 256 * GIB, INITIAL_UNSET, FIELD(initial) },
	{ { "features", "0|1|3|5|7", "7", "migration flags: 1 STOP_COPY, 2 P2P, 4 PRE_COPY" },
	  VFM_PARAM_U64, 0, 7, 7, FIELD(features) },
	{ { "seed", "N", "1", "what the state begins as and how it changes" },
	  VFM_PARAM_U64, 0, UINT64_MAX, 1, FIELD(seed) },
	{ { "bar", "SIZE", "1M", "memory BAR, a power of two" },
	  VFM_PARAM_SIZE, 8 * KIB, GIB, MIB, FIELD(bar) },
	{ { "vectors", "N", "4", "MSI-X vectors" },
	  VFM_PARAM_U64, 1, VFM_SIM_MAX_VECTORS, 4, FIELD(vectors) },
	{ { "save-rate", "SIZE", "0", "bytes a second that can be saved, at least 1M; 0: no limit" },
	  VFM_PARAM_SIZE, 0, VFM_SIM_DMA_RATE_MAX, 0, FIELD(save_rate) },
	{ { "load-rate", "SIZE", "0", "bytes a second that can be loaded, at least 8M; 0: no limit" },
	  VFM_PARAM_SIZE, 0, VFM_SIM_DMA_RATE_MAX, 0, FIELD(load_rate) },
	{ { "arc-us", "N", "0", "microseconds that each step between states takes" },
	  VFM_PARAM_U64, 0, 10000000, 0, FIELD(arc_us) },
};
/* clang-format on */

static uint64_t *field_of(struct vfm_sim_dma_params *params, const struct row *row)
{
	return (uint64_t *)((char *)params + row->offset);
}

/* What a table of bounds cannot say. */
static int check_params(const struct vfm_sim_dma_params *p, struct vfm_err *err)
{
	static const char who[] = "sim:dma";

	if (p->state % VFM_SIM_PAGE)
		return vfm_fail(err, -EINVAL, "%s: state=%" PRIu64 " is not a multiple of 4K", who,
				p->state);
	if (p->initial % VFM_SIM_PAGE || p->initial > p->state)
		return vfm_fail(err, -EINVAL,
				"%s: initial=%" PRIu64
				" is not a multiple of 4K up to state=%" PRIu64,
				who, p->initial, p->state);
	if (p->features && !(p->features & VFM_MIGRATION_STOP_COPY))
		return vfm_fail(err, -EINVAL, "%s: features=%" PRIu64 " is not 0, 1, 3, 5 or 7",
				who, p->features);
	if (!vfm_is_power_of_2(p->bar))
		return vfm_fail(err, -EINVAL, "%s: bar=%" PRIu64 " is not a power of two", who,
				p->bar);
	if (p->save_rate && p->save_rate < MIB)
		return vfm_fail(err, -EINVAL, "%s: save-rate=%" PRIu64 " is not 0 and less than 1M",
				who, p->save_rate);
	if (p->load_rate && p->load_rate < 8 * MIB)
		return vfm_fail(err, -EINVAL, "%s: load-rate=%" PRIu64 " is not 0 and less than 8M",
				who, p->load_rate);
	return 0;
}

int vfm_sim_dma_parse(struct vfm_sim_dma_params *params, const char *text, struct vfm_err *err)
{
	struct vfm_param table[VFM_ARRAY_SIZE(rows) + 1] = { 0 };
	int ret;

	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		*field_of(params, &rows[i]) = rows[i].fallback;
		table[i] = (struct vfm_param){
			.name = rows[i].doc.name,
			.type = rows[i].type,
			.min = rows[i].min,
			.max = rows[i].max,
			.value = field_of(params, &rows[i]),
			.help = rows[i].doc.help,
		};
	}
	ret = vfm_parse_params("sim:dma", text, table, err);
	if (ret)
		return ret;
	if (params->initial == INITIAL_UNSET)
		params->initial = VFM_MIN(INITIAL_DEFAULT, params->state);
	return check_params(params, err);
}

bool vfm_sim_dma_get_param(size_t n, struct vfm_sim_param *param)
{
	if (n >= VFM_ARRAY_SIZE(rows))
		return false;
	*param = rows[n].doc;
	return true;
}
