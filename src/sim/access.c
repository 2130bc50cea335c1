// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Working the registers of sim:dma through a device handle, wherever the device
 * is. The user's side: nothing here knows the driver.
 */

#include <vfmig/sim.h>

#include <endian.h>
#include <errno.h>
#include <inttypes.h>

#include "base/util.h"

#define PCI_COMMAND 0x04
#define PCI_COMMAND_MEMORY 0x0002
#define PCI_COMMAND_MASTER 0x0004
#define MSIX_CONTROL (VFM_SIM_CAP_MSIX + 2)
#define MSIX_ENABLE 0x8000

struct reg_value {
	enum vfm_sim_reg reg;
	uint64_t value;
};

VFM_API int vfm_sim_read(struct vfm_device *dev, enum vfm_sim_reg reg, uint64_t *value,
			 struct vfm_err *err)
{
	uint64_t raw;
	int ret = vfm_device_read_region(dev, VFM_SIM_REG_BAR, reg, &raw, sizeof(raw), err);

	if (!ret)
		*value = le64toh(raw);
	return ret;
}

VFM_API int vfm_sim_write(struct vfm_device *dev, enum vfm_sim_reg reg, uint64_t value,
			  struct vfm_err *err)
{
	uint64_t raw = htole64(value);

	return vfm_device_write_region(dev, VFM_SIM_REG_BAR, reg, &raw, sizeof(raw), err);
}

static int update_config(struct vfm_device *dev, uint64_t offset, uint16_t clear, uint16_t set,
			 struct vfm_err *err)
{
	uint16_t raw;
	int ret = vfm_device_read_region(dev, VFM_PCI_CONFIG, offset, &raw, sizeof(raw), err);

	if (ret)
		return ret;
	raw = htole16((uint16_t)((le16toh(raw) & ~clear) | set));
	return vfm_device_write_region(dev, VFM_PCI_CONFIG, offset, &raw, sizeof(raw), err);
}

VFM_API int vfm_sim_enable(struct vfm_device *dev, bool msix, struct vfm_err *err)
{
	int ret = update_config(dev, PCI_COMMAND, 0, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, err);

	if (ret)
		return ret;
	return update_config(dev, MSIX_CONTROL, MSIX_ENABLE, msix ? MSIX_ENABLE : 0, err);
}

VFM_API int vfm_sim_start_ring(struct vfm_device *dev, const struct vfm_sim_ring *ring,
			       uint64_t rate, uint64_t irq_every, struct vfm_err *err)
{
	const struct reg_value program[] = {
		{ VFM_SIM_REG_RING_IOVA, ring->iova },
		{ VFM_SIM_REG_RING_SIZE, ring->size },
		{ VFM_SIM_REG_RING_SEED, ring->seed },
		{ VFM_SIM_REG_RING_RATE, rate },
		{ VFM_SIM_REG_RING_IRQ_EVERY, irq_every },
		{ VFM_SIM_REG_RING_CONTROL, VFM_SIM_RING_START },
	};
	uint64_t status = 0, error = 0;
	int ret = 0;

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(program); i++)
		ret = vfm_sim_write(dev, program[i].reg, program[i].value, err);
	if (!ret)
		ret = vfm_sim_read(dev, VFM_SIM_REG_RING_STATUS, &status, err);
	if (!ret)
		ret = vfm_sim_read(dev, VFM_SIM_REG_RING_ERROR, &error, err);
	if (ret || status)
		return ret;
	return vfm_fail(err, -EIO,
			"start ring of %" PRIu64 " bytes at 0x%" PRIx64
			": the device refuses with error %" PRIu64 "%s",
			ring->size, ring->iova, error,
			error == EACCES ? ", bus mastering is off" : "");
}

VFM_API int vfm_sim_stop_ring(struct vfm_device *dev, struct vfm_err *err)
{
	return vfm_sim_write(dev, VFM_SIM_REG_RING_CONTROL, VFM_SIM_RING_STOP, err);
}

VFM_API int vfm_sim_get_ring(struct vfm_device *dev, struct vfm_sim_ring *ring, struct vfm_err *err)
{
	int ret = vfm_sim_read(dev, VFM_SIM_REG_RING_IOVA, &ring->iova, err);

	if (!ret)
		ret = vfm_sim_read(dev, VFM_SIM_REG_RING_SIZE, &ring->size, err);
	if (!ret)
		ret = vfm_sim_read(dev, VFM_SIM_REG_RING_SEED, &ring->seed, err);
	if (!ret)
		ret = vfm_sim_read(dev, VFM_SIM_REG_RING_COUNT, &ring->count, err);
	return ret;
}

VFM_API int vfm_sim_get_state(struct vfm_device *dev, struct vfm_sim_state *state,
			      struct vfm_err *err)
{
	int ret = vfm_sim_write(dev, VFM_SIM_REG_DIGEST_LATCH, 1, err);

	if (!ret)
		ret = vfm_sim_read(dev, VFM_SIM_REG_STATE_SIZE, &state->size, err);
	if (!ret)
		ret = vfm_sim_read(dev, VFM_SIM_REG_STATE_SEED, &state->seed, err);
	if (!ret)
		ret = vfm_sim_read(dev, VFM_SIM_REG_DIGEST_CHANGES, &state->changes, err);
	if (!ret)
		ret = vfm_device_read_region(dev, VFM_SIM_REG_BAR, VFM_SIM_REG_DIGEST,
					     state->digest, sizeof(state->digest), err);
	return ret;
}
