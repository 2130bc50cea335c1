// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* A table of needs: how each is looked for, and what is said when it is missing. */

#include "check/needs.h"

#include <string.h>

#include <vfmig/v1.h>

#include "base/util.h"

#define EXERCISES (VFM_NEED_WRITE | VFM_NEED_STREAM | VFM_NEED_INTERRUPT | VFM_NEED_CHANGE)

bool vfm_needs_exercise(uint32_t needs)
{
	return needs & EXERCISES;
}

static bool has_reset(struct vfm_trial *t)
{
	return t->info.flags & VFM_DEVICE_RESET;
}

/* Begun and ended where nothing is: there is no other way to ask. */
static bool has_log(struct vfm_trial *t)
{
	const struct vfm_range range = { .iova = 0, .size = 4096 };
	uint64_t page_size = 4096;

	return !vfm_device_start_log(t->dev, &page_size, &range, 1, NULL) &&
	       !vfm_device_stop_log(t->dev, NULL);
}

static bool has_v1(struct vfm_trial *t)
{
	struct vfm_region *r = &t->described;

	for (uint32_t i = 0; i < t->info.nr_regions; i++)
		if (!vfm_device_get_region(t->dev, i, r, NULL) && r->size &&
		    r->type == VFM_V1_REGION_TYPE && r->subtype == VFM_V1_REGION_SUBTYPE) {
			t->region = i;
			t->has_region = true;
			break;
		}
	return t->has_region;
}

static bool has_config(struct vfm_trial *t)
{
	struct vfm_region region;

	return t->info.flags & VFM_DEVICE_PCI &&
	       !vfm_device_get_region(t->dev, VFM_PCI_CONFIG, &region, NULL) && region.size >= 64;
}

static bool has_size(struct vfm_trial *t)
{
	uint64_t bytes;

	return !vfm_device_get_data_size(t->dev, &bytes, NULL);
}

static bool has_write(struct vfm_trial *t)
{
	return t->opts->exercise && t->opts->exercise->write;
}

static bool has_stream(struct vfm_trial *t)
{
	return t->opts->exercise && t->opts->exercise->stream;
}

static bool has_interrupt(struct vfm_trial *t)
{
	return t->opts->exercise && t->opts->exercise->interrupt;
}

static bool has_change(struct vfm_trial *t)
{
	return t->opts->exercise && t->opts->exercise->change;
}

static bool has_stop_copy(struct vfm_trial *t)
{
	return t->migration & VFM_MIGRATION_STOP_COPY;
}

static bool has_p2p(struct vfm_trial *t)
{
	return t->migration & VFM_MIGRATION_P2P;
}

static bool has_precopy(struct vfm_trial *t)
{
	return t->migration & VFM_MIGRATION_PRE_COPY;
}

static bool lacks_precopy(struct vfm_trial *t)
{
	return !has_precopy(t);
}

static const struct {
	uint32_t need;
	bool (*has)(struct vfm_trial *t);
	const char *missing;
} needs[] = {
	/* first, since all that is known of a device of v1 hangs on it */
	{ VFM_NEED_V1, has_v1, "the device has no migration region" },
	{ VFM_NEED_STOP_COPY, has_stop_copy, "the device cannot migrate" },
	{ VFM_NEED_P2P, has_p2p, "the device has no P2P states" },
	{ VFM_NEED_PRE_COPY, has_precopy, "the device has no PRE_COPY" },
	{ VFM_NEED_NO_PRE_COPY, lacks_precopy, "the device has PRE_COPY" },
	{ VFM_NEED_RESET, has_reset, "the device cannot be reset" },
	{ VFM_NEED_CONFIG, has_config, "the device has no PCI configuration space" },
	{ VFM_NEED_SIZE, has_size, "the device tells no data size" },
	{ VFM_NEED_LOG, has_log, "the device has no dirty log" },
	{ VFM_NEED_WRITE, has_write, "nobody knows how to make this device write memory" },
	{ VFM_NEED_STREAM, has_stream, "nobody knows how to keep this device writing memory" },
	{ VFM_NEED_INTERRUPT, has_interrupt, "nobody knows how to make this device interrupt" },
	{ VFM_NEED_CHANGE, has_change, "nobody knows how to change the state of this device" },
};

int vfm_needs_look(struct vfm_trial *t)
{
	struct vfm_err err;

	if (vfm_device_get_info(t->dev, &t->info, &err))
		memset(&t->info, 0, sizeof(t->info));
	if (vfm_device_get_migration(t->dev, &t->migration, &err))
		t->migration = 0;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(needs); i++)
		if (t->rule->needs & needs[i].need && !needs[i].has(t))
			return vfm_trial_skip(t, "%s", needs[i].missing);
	return 0;
}
