// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Bugs of a device that is stopped, or should be. The worst of them need no code of their
 * own for DMA: the device behind is not stopped at all, and only the state that it tells is
 * another one.
 */

#include "wrap/wrap.h"

#include <errno.h>

#include "base/util.h"

static bool is_stopped(struct vfm_device *dev)
{
	return !vfm_state_is_active(vfm_fault_state(dev));
}

static int refuse(struct vfm_device *dev, const char *what, struct vfm_err *err)
{
	return vfm_fail(err, -EINVAL, "%s in %s: not now", what,
			vfm_state_name(vfm_fault_state(dev)));
}

static int no_info(struct vfm_device *dev, struct vfm_device_info *info, struct vfm_err *err)
{
	return is_stopped(dev) ? refuse(dev, "get info", err) : vfm_pass_get_info(dev, info, err);
}

static int no_config(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf, size_t len,
		     struct vfm_err *err)
{
	if (index == VFM_PCI_CONFIG && vfm_fault_state(dev) == VFM_STATE_STOP_COPY)
		return refuse(dev, "read region", err);
	return vfm_pass_read_region(dev, index, offset, buf, len, err);
}

static int config_write_lost(struct vfm_device *dev, uint32_t index, uint64_t offset,
			     const void *buf, size_t len, struct vfm_err *err)
{
	if (index == VFM_PCI_CONFIG && vfm_fault_state(dev) == VFM_STATE_RESUMING)
		return 0;
	return vfm_pass_write_region(dev, index, offset, buf, len, err);
}

static int no_regions(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
		      size_t len, struct vfm_err *err)
{
	if (index < VFM_PCI_ROM && vfm_fault_state(dev) == VFM_STATE_STOP_COPY)
		return refuse(dev, "read region", err);
	return vfm_pass_read_region(dev, index, offset, buf, len, err);
}

static int no_unmap(struct vfm_device *dev, uint64_t iova, uint64_t size, struct vfm_err *err)
{
	return is_stopped(dev) ? refuse(dev, "unmap", err)
			       : vfm_pass_unmap_dma(dev, iova, size, err);
}

static int p2p_dead(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf, size_t len,
		    struct vfm_err *err)
{
	enum vfm_state now = vfm_fault_state(dev);

	if (index < VFM_PCI_ROM && (now == VFM_STATE_RUNNING_P2P || now == VFM_STATE_PRE_COPY_P2P))
		return vfm_fail(err, -EIO, "read region %u: the device does not answer", index);
	return vfm_pass_read_region(dev, index, offset, buf, len, err);
}

/* ---- not stopped at all -------------------------------------------------------------- */

/*
 * What is asked for as @claimed is told, and not done. count[0]: it is told now.
 * The device behind is in RUNNING then, from where there is a way to all that there is one
 * to from either of the two.
 */
static int pretend(struct vfm_device *dev, enum vfm_state state, enum vfm_state claimed,
		   struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	int ret;

	if (state == claimed && vfm_fault_state(dev) == VFM_STATE_RUNNING) {
		f->count[0] = 1;
		return 0;
	}
	ret = VFM_PASS(f->pass.inner, set_state, err, state);
	if (!ret)
		f->count[0] = 0;
	return ret;
}

static int told_state(struct vfm_device *dev, enum vfm_state *state, enum vfm_state claimed,
		      struct vfm_err *err)
{
	int ret = vfm_pass_get_state(dev, state, err);

	if (!ret && vfm_fault_of(dev)->count[0])
		*state = claimed;
	return ret;
}

static int reset_told(struct vfm_device *dev, struct vfm_err *err)
{
	vfm_fault_of(dev)->count[0] = 0;
	return vfm_pass_reset(dev, err);
}

static int stop_told(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	return pretend(dev, state, VFM_STATE_STOP, err);
}

static int get_stop_told(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	return told_state(dev, state, VFM_STATE_STOP, err);
}

static int p2p_told(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	return pretend(dev, state, VFM_STATE_RUNNING_P2P, err);
}

static int get_p2p_told(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	return told_state(dev, state, VFM_STATE_RUNNING_P2P, err);
}

/* The same for a device that was loaded: it runs when it leaves RESUMING. */
static int runs_when_loaded(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	bool early = state == VFM_STATE_STOP && vfm_fault_state(dev) == VFM_STATE_RESUMING;
	int ret = VFM_PASS(f->pass.inner, set_state, err, early ? VFM_STATE_RUNNING : state);

	if (!ret)
		f->count[0] = early;
	return ret;
}

/* The other way round: what was mapped is gone when it runs again. */
static int unmap_on_run(struct vfm_device *dev, enum vfm_state state, bool loaded,
			struct vfm_err *err)
{
	bool applies = is_stopped(dev) && (vfm_fault_state(dev) == VFM_STATE_RESUMING) == loaded;
	int ret = VFM_PASS(vfm_pass_inner(dev), set_state, err, state);

	if (!ret && applies && state == VFM_STATE_RUNNING)
		ret = vfm_pass_unmap_all(dev, err);
	return ret;
}

static int lost_on_stop(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	return unmap_on_run(dev, state, false, err);
}

static int lost_on_load(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	return unmap_on_run(dev, state, true, err);
}

const struct vfm_bug vfm_bugs_stop[] = {
	{
		.is = { .name = "no-info-when-stopped",
			.title = "a stopped device cannot be described",
			.where = "libvfio-user, DEVICE_GET_INFO in STOP is EINVAL" },
		.rules = { "v2.stop.infos-answer" },
		.ops = { .get_info = no_info },
	},
	{
		.is = { .name = "no-config-in-stop-copy",
			.title = "configuration space cannot be read in STOP_COPY",
			.where = "libvfio-user, REGION_READ in STOP_COPY is EINVAL" },
		.rules = { "v2.stop.config-answers" },
		.ops = { .read_region = no_config },
	},
	{
		.is = { .name = "config-write-lost",
			.title = "what is written to configuration space in RESUMING gets lost",
			.where = "" },
		.rules = { "v2.stop.config-writes" },
		.ops = { .write_region = config_write_lost },
	},
	{
		.is = { .name = "no-regions-in-stop-copy",
			.title = "no BAR can be read in STOP_COPY",
			.where = "libvfio-user, REGION_READ in STOP_COPY is EINVAL" },
		.rules = { "v2.stop.registers-answer" },
		.ops = { .read_region = no_regions },
	},
	{
		.is = { .name = "no-unmap-when-stopped",
			.title = "a stopped device keeps its mappings",
			.where = "libvfio-user, DMA_UNMAP in STOP is EINVAL" },
		.rules = { "v2.stop.maps-answer" },
		.ops = { .unmap_dma = no_unmap },
	},
	{
		.is = { .name = "dma-after-stop",
			.title = "STOP is told and not done: DMA goes on",
			.where = "" },
		.rules = { "v2.stop.no-dma", "v2.irq.none-when-stopped" },
		.ops = { .set_state = stop_told, .get_state = get_stop_told, .reset = reset_told },
	},
	{
		.is = { .name = "dma-lost-on-stop",
			.title = "mappings are gone when it runs again",
			.where = "" },
		.rules = { "v2.stop.dma-goes-on" },
		.ops = { .set_state = lost_on_stop },
	},
	{
		.is = { .name = "dma-when-loaded",
			.title = "STOP after RESUMING is told, and it runs",
			.where = "" },
		.rules = { "v2.stop.no-dma-when-loaded", "v2.irq.none-when-loaded" },
		.ops = { .set_state = runs_when_loaded,
			 .get_state = get_stop_told,
			 .reset = reset_told },
	},
	{
		.is = { .name = "dma-lost-on-load",
			.title = "mappings are gone when it was loaded and runs",
			.where = "" },
		.rules = { "v2.stop.dma-goes-on-loaded" },
		.ops = { .set_state = lost_on_load },
	},
	{
		.is = { .name = "dma-in-p2p",
			.title = "RUNNING_P2P is told and not done: DMA to peers goes on",
			.where = "" },
		.rules = { "v2.stop.no-p2p-dma" },
		.needs = VFM_MIGRATION_P2P,
		.ops = { .set_state = p2p_told, .get_state = get_p2p_told, .reset = reset_told },
	},
	{
		.is = { .name = "p2p-dead",
			.title = "registers do not answer in the P2P states",
			.where = "" },
		.rules = { "v2.stop.p2p-registers-answer" },
		.needs = VFM_MIGRATION_P2P,
		.ops = { .read_region = p2p_dead },
	},
};
const size_t vfm_nr_bugs_stop = VFM_ARRAY_SIZE(vfm_bugs_stop);
