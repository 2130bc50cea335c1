// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about DMA and states: none from a device that is stopped, none to its peers from one
 * in a P2P state, and all of it again when it runs, here or where it was loaded.
 */

#include "check/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <vfmig/v1.h>

#include "base/util.h"
#include "check/memory.h"

static const enum vfm_state stopped[] = { VFM_STATE_STOP, VFM_STATE_STOP_COPY, VFM_STATE_RESUMING };
static const enum vfm_state peers[] = { VFM_STATE_RUNNING_P2P, VFM_STATE_PRE_COPY_P2P };

/* ---- DMA ------------------------------------------------------------------------------------ */

static int quiet_in(struct vfm_trial *t, enum vfm_state state, void *seen)
{
	const struct vfm_trial_memory *mem = (const struct vfm_trial_memory *)seen;
	char when[32];

	snprintf(when, sizeof(when), "in %s", vfm_state_name(state));
	return vfm_trial_quiet(t, mem, when);
}

static int no_dma(struct vfm_trial *t)
{
	struct vfm_trial_memory mem;
	int ret = vfm_trial_map(t, &mem, VFM_TRIAL_IOVA, 16 * VFM_TRIAL_PAGE);

	if (!ret)
		ret = vfm_trial_stream(t, &mem);
	return ret ? ret : vfm_trial_each(t, stopped, VFM_ARRAY_SIZE(stopped), quiet_in, &mem);
}

static int dma_goes_on(struct vfm_trial *t)
{
	static const enum vfm_state via[] = { VFM_STATE_STOP, VFM_STATE_STOP_COPY };
	struct vfm_trial_memory mem;
	uint64_t where;
	int ret = vfm_trial_map(t, &mem, VFM_TRIAL_IOVA, 16 * VFM_TRIAL_PAGE);

	if (!ret)
		ret = vfm_trial_stream(t, &mem);
	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(via); i++) {
		ret = vfm_trial_go(t, via[i]);
		if (!ret)
			ret = vfm_trial_go(t, VFM_STATE_RUNNING);
		if (!ret && !vfm_trial_changes(t, &mem, VFM_TRIAL_WAIT_MS, &where))
			ret = vfm_trial_fail(t,
					     "it wrote all the time by DMA, was in %s, runs again, "
					     "and has written nothing for %u ms",
					     vfm_state_name(via[i]), VFM_TRIAL_WAIT_MS);
	}
	return ret;
}

/* Written all the time, saved, reset, and loaded. */
static int move_streaming(struct vfm_trial *t, struct vfm_trial_memory *mem)
{
	int ret = vfm_trial_map(t, mem, VFM_TRIAL_IOVA, 16 * VFM_TRIAL_PAGE);

	if (!ret)
		ret = vfm_trial_stream(t, mem);
	return ret ? ret : vfm_trial_move(t);
}

static int no_dma_when_loaded(struct vfm_trial *t)
{
	struct vfm_trial_memory mem;
	int ret = move_streaming(t, &mem);

	if (!ret)
		ret = vfm_trial_quiet(t, &mem, "loaded, and in RESUMING,");
	if (!ret)
		ret = vfm_trial_leave(t, VFM_STATE_STOP);
	return ret ? ret : vfm_trial_quiet(t, &mem, "loaded, and in STOP,");
}

/* As a destination does, which has mappings of its own: those of before may be gone already. */
static int map_anew(struct vfm_trial *t, const struct vfm_trial_memory *mem)
{
	struct vfm_err err;

	if (vfm_device_unmap_dma(t->dev, mem->iova, mem->size, &err) && err.code != -ENOENT)
		return vfm_trial_blocked(t, &err);
	if (vfm_trial_try_map(t, mem, VFM_DMA_READ | VFM_DMA_WRITE, &err))
		return vfm_trial_blocked(t, &err);
	return 0;
}

static int dma_goes_on_loaded(struct vfm_trial *t)
{
	struct vfm_trial_memory mem;
	uint64_t where;
	int ret = move_streaming(t, &mem);

	if (!ret)
		ret = map_anew(t, &mem);
	if (!ret)
		ret = vfm_trial_leave(t, VFM_STATE_RUNNING);
	if (ret || vfm_trial_changes(t, &mem, VFM_TRIAL_WAIT_MS, &where))
		return ret;
	return vfm_trial_fail(
		t,
		"it wrote all the time by DMA, was saved, reset, loaded, runs, and has "
		"written nothing for %u ms",
		VFM_TRIAL_WAIT_MS);
}

/* ---- peers ------------------------------------------------------------------------------------
 */

/* Large enough to be hit all the time, small enough for most BARs. */
#define PEER_ROOM ((uint64_t)64 << 10)

/* The first part of a region that can be mapped. */
static bool find_area(struct vfm_device *dev, struct vfm_trial_memory *mem)
{
	struct vfm_device_info info;
	struct vfm_region r;

	if (vfm_device_get_info(dev, &info, NULL))
		return false;
	for (uint32_t i = 0; i < info.nr_regions; i++) {
		struct vfm_area area;

		if (vfm_device_get_region(dev, i, &r, NULL) || !(r.flags & VFM_REGION_MMAP) ||
		    r.type == VFM_V1_REGION_TYPE || r.fd < 0)
			continue;
		area = r.nr_areas ? r.areas[0] : (struct vfm_area){ 0, r.size };
		mem->fd = r.fd;
		mem->fd_offset = r.fd_offset + area.offset;
		mem->size = VFM_MIN(area.size, PEER_ROOM) / VFM_TRIAL_PAGE * VFM_TRIAL_PAGE;
		if (mem->size && !(mem->fd_offset % VFM_TRIAL_PAGE))
			return true;
	}
	return false;
}

/* A second device of the same kind, whose memory the first one reaches by DMA. */
static int map_peer(struct vfm_trial *t, struct vfm_device *peer, struct vfm_trial_memory *mem)
{
	struct vfm_err err;

	*mem = (struct vfm_trial_memory){ .iova = VFM_TRIAL_IOVA };
	if (!find_area(peer, mem))
		return vfm_trial_skip(t, "no region of the second device can be mapped");
	mem->at = vfm_trial_map_file(mem);
	if (!mem->at)
		return vfm_trial_skip(t, "the region of the second device cannot be mapped: %s",
				      strerror(errno));
	memset(mem->at, 0, mem->size);
	if (vfm_trial_try_map(t, mem, VFM_DMA_READ | VFM_DMA_WRITE, &err))
		return vfm_trial_blocked(t, &err);
	return vfm_trial_stream(t, mem);
}

static int no_p2p_dma(struct vfm_trial *t)
{
	struct vfm_trial_memory mem;
	struct vfm_device *peer;
	struct vfm_err err;
	int ret;

	if (t->opts->open(t->opts->user, VFM_CHECK_V2, &peer, &err))
		return vfm_trial_skip(t, "there is no second device: %s", err.msg);
	ret = map_peer(t, peer, &mem);
	if (!ret)
		ret = vfm_trial_each(t, peers, VFM_ARRAY_SIZE(peers), quiet_in, &mem);
	/* the file behind the mapping stays, for as long as there is the mapping */
	vfm_device_close(peer);
	return ret;
}

const struct vfm_rule vfm_rules_stop_dma[] = {
	{
		.is = { .name = "v2.stop.no-dma",
			.title = "no DMA while stopped",
			.source = "uAPI, enum vfio_device_mig_state, the arc to STOP: the device "
				  "must "
				  "not generate DMA",
			.text = "Memory is sent for the last time when the device has stopped. "
				"What "
				"it writes later is missing at the destination, or spoils the "
				"memory "
				"of somebody who has it by then.\n"
				"The device is made to write all the time, and the memory watched "
				"in "
				"STOP, STOP_COPY and RESUMING. When the call that stops a device "
				"returns, what was under way must have ended.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_STREAM,
		.run = no_dma,
	},
	{
		.is = { .name = "v2.stop.dma-goes-on",
			.title = "a device that runs again goes on as if it had not stopped",
			.source =
				"uAPI, enum vfio_device_mig_state, RUNNING: fully operational; the "
				"arc to STOP: the internal state must not change",
			.text = "A migration that is given up ends with the source in RUNNING "
				"again, "
				"by STOP or by STOP_COPY. What the guest had the device do goes "
				"on; "
				"mappings and settings are still there.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_STREAM,
		.run = dma_goes_on,
	},
	{
		.is = { .name = "v2.stop.no-dma-when-loaded",
			.title = "a device that is loaded does no DMA before it runs",
			.source = "uAPI, enum vfio_device_mig_state: RESUMING and STOP are stopped "
				  "states",
			.text = "Until the destination is told to run, the source may be the one "
				"that runs in the end, and memory is still on its way. The device "
				"is "
				"made to write all the time, saved, reset, loaded, and its memory "
				"watched in RESUMING and in STOP.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_STREAM | VFM_NEED_RESET,
		.run = no_dma_when_loaded,
	},
	{
		.is = { .name = "v2.stop.dma-goes-on-loaded",
			.title = "a device that is loaded goes on with what it was doing",
			.source = "uAPI, enum vfio_device_mig_state, STOP_COPY: the data is the "
				  "whole "
				  "internal state; RESUMING takes it over",
			.text = "What the guest had the device do is part of the state. The device "
				"is made to write all the time, saved, reset, loaded and run; "
				"memory "
				"is mapped all the while.\n"
				"Where a monitor restores configuration space, bus mastering may "
				"not "
				"be in the image; then the device is silent here, and is right.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_STREAM | VFM_NEED_RESET,
		.run = dma_goes_on_loaded,
	},
	{
		.is = { .name = "v2.stop.no-p2p-dma",
			.title = "no DMA to other devices in the P2P states",
			.source = "uAPI, enum vfio_device_mig_state, RUNNING_P2P: no peer-to-peer "
				  "DMA "
				  "is initiated",
			.text = "The P2P states are there so that a number of devices that write "
				"to "
				"each other can be stopped one by one. Memory of a second device "
				"of "
				"the same kind is mapped for the first one, which is made to write "
				"there all the time. A device that cannot tell peers from memory "
				"stops all of its DMA.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_P2P | VFM_NEED_STREAM,
		.run = no_p2p_dma,
	},
};
const size_t vfm_nr_rules_stop_dma = VFM_ARRAY_SIZE(vfm_rules_stop_dma);
