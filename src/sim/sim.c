// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Which software devices there are. */

#include <vfmig/sim.h>

#include <string.h>

#include "base/util.h"
#include "sim/dma.h"

struct sim_device {
	const char *name;
	const struct vfm_driver *driver;
	bool (*get_param)(size_t n, struct vfm_sim_param *param);
};

static const struct sim_device sims[] = {
	{ "dma", &vfm_sim_dma_driver, vfm_sim_dma_get_param },
};

static const struct sim_device *find_sim(const char *name)
{
	for (size_t i = 0; i < VFM_ARRAY_SIZE(sims); i++)
		if (!strcmp(sims[i].name, name))
			return &sims[i];
	return NULL;
}

VFM_API const struct vfm_driver *vfm_sim_find(const char *name)
{
	const struct sim_device *sim = find_sim(name);

	return sim ? sim->driver : NULL;
}

VFM_API const char *vfm_sim_name(size_t n)
{
	return n < VFM_ARRAY_SIZE(sims) ? sims[n].name : NULL;
}

VFM_API bool vfm_sim_get_param(const char *name, size_t n, struct vfm_sim_param *param)
{
	const struct sim_device *sim = find_sim(name);

	return sim && sim->get_param(n, param);
}
