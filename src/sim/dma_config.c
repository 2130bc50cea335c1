// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The PCI configuration space of sim:dma. A table gives for each field its value
 * after reset and the bits that can be written; sizing a BAR by writing ones
 * follows from those bits. A write to the Function Level Reset bit asks the
 * framework for a reset, which happens when the write has returned.
 *
 * The BARs hold what the guest writes there, and nothing is decided by it: where
 * a region appears is the business of whoever shows the device to a guest.
 */

#include "sim/dma.h"

#include <errno.h>

#include "base/util.h"

#define OFF_COMMAND 0x04
#define OFF_STATUS 0x06
#define OFF_BAR2 0x18
#define OFF_MSIX_CONTROL (VFM_SIM_CAP_MSIX + 2)
#define OFF_DEVICE_CONTROL (VFM_SIM_CAP_PCIE + 8)

#define COMMAND_MASTER 0x0004u
#define COMMAND_INTX_DISABLE 0x0400u
#define STATUS_INTERRUPT 0x08u
#define MSIX_ENABLE 0x8000u
#define MSIX_MASK_ALL 0x4000u
#define DEVICE_CONTROL_FLR 0x8000u

struct field {
	uint8_t offset;
	uint8_t len;
	uint32_t value;
	uint32_t mask;
};

/* clang-format off */
static const struct field fields[] = {
	{ 0x00, 2, VFM_SIM_PCI_VENDOR, 0 },
	{ 0x02, 2, VFM_SIM_PCI_DEVICE, 0 },
	{ OFF_COMMAND, 2, 0, 0x0546 },		/* memory, master, parity, SERR, INTx disable */
	{ OFF_STATUS, 2, 0x0010, 0 },		/* has capabilities */
	{ 0x08, 4, 0x08010001, 0 },		/* DMA controller, revision 1 */
	{ 0x0c, 1, 0, 0xff },			/* cache line size: kept, without effect */
	{ 0x10, 4, 0, 0xfffff000 },		/* BAR0: 32 bits, 4 KiB */
	{ OFF_BAR2, 4, 0x0000000c, 0 },		/* BAR2: 64 bits, prefetchable; its mask is by bar= */
	{ 0x20, 4, 0, 0xfffff000 },		/* BAR4: 32 bits, 4 KiB */
	{ 0x2c, 2, VFM_SIM_PCI_VENDOR, 0 },
	{ 0x2e, 2, VFM_SIM_PCI_DEVICE, 0 },
	{ 0x34, 1, VFM_SIM_CAP_MSIX, 0 },
	{ 0x3c, 1, 0, 0xff },			/* interrupt line */
	{ 0x3d, 1, 1, 0 },			/* interrupt pin: INTA */

	{ VFM_SIM_CAP_MSIX, 1, 0x11, 0 },
	{ VFM_SIM_CAP_MSIX + 1, 1, VFM_SIM_CAP_PCIE, 0 },
	{ OFF_MSIX_CONTROL, 2, 0, MSIX_ENABLE | MSIX_MASK_ALL }, /* and vectors= */
	{ VFM_SIM_CAP_MSIX + 4, 4, VFM_SIM_MSIX_TABLE | VFM_SIM_MSIX_BAR, 0 },
	{ VFM_SIM_CAP_MSIX + 8, 4, VFM_SIM_MSIX_PBA | VFM_SIM_MSIX_BAR, 0 },

	{ VFM_SIM_CAP_PCIE, 1, 0x10, 0 },
	{ VFM_SIM_CAP_PCIE + 2, 2, 0x0092, 0 },	/* version 2, integrated endpoint: no link */
	{ VFM_SIM_CAP_PCIE + 4, 4, 0x10008000, 0 }, /* function level reset, role-based errors */
	{ OFF_DEVICE_CONTROL, 2, 0, 0x78ff },	/* the FLR bit always reads 0 */
};
/* clang-format on */

static void put(uint8_t *space, size_t offset, uint64_t value, size_t len)
{
	for (size_t i = 0; i < len; i++)
		space[offset + i] = (uint8_t)(value >> (8 * i));
}

static uint16_t get16(const struct vfm_sim_dma *d, size_t offset)
{
	return (uint16_t)(d->config[offset] | d->config[offset + 1] << 8);
}

void vfm_sim_dma_config_reset(struct vfm_sim_dma *d)
{
	memset(d->config, 0, sizeof(d->config));
	memset(d->config_mask, 0, sizeof(d->config_mask));
	for (size_t i = 0; i < VFM_ARRAY_SIZE(fields); i++) {
		put(d->config, fields[i].offset, fields[i].value, fields[i].len);
		put(d->config_mask, fields[i].offset, fields[i].mask, fields[i].len);
	}
	put(d->config_mask, OFF_BAR2, ~(d->params.bar - 1), 8);
	put(d->config, OFF_MSIX_CONTROL, d->params.vectors - 1, 2);
}

/* The one bit that shows something else than what was written. */
static uint8_t status_bits(const struct vfm_sim_dma *d)
{
	uint64_t causes = d->reg[VFM_SIM_REG_IRQ_STATUS / 8] & ~d->reg[VFM_SIM_REG_IRQ_MASK / 8];

	return causes && !vfm_sim_dma_msix_enabled(d) ? STATUS_INTERRUPT : 0;
}

void vfm_sim_dma_config_read(struct vfm_sim_dma *d, uint64_t offset, void *buf, size_t len)
{
	memcpy(buf, d->config + offset, len);
	if (offset <= OFF_STATUS && offset + len > OFF_STATUS)
		((uint8_t *)buf)[OFF_STATUS - offset] |= status_bits(d);
}

void vfm_sim_dma_config_write(struct vfm_sim_dma *d, uint64_t offset, const void *buf, size_t len)
{
	const uint8_t *in = (const uint8_t *)buf;

	vfm_sim_dma_sync(d);
	for (size_t i = 0; i < len; i++) {
		uint8_t mask = d->config_mask[offset + i];
		uint8_t *byte = &d->config[offset + i];

		*byte = (uint8_t)((*byte & ~mask) | (in[i] & mask));
		if (offset + i == OFF_DEVICE_CONTROL + 1 && in[i] & DEVICE_CONTROL_FLR >> 8)
			vfm_host_request_reset(d->host);
	}
	vfm_sim_dma_settle(d);
}

int vfm_sim_dma_config_check(const struct vfm_sim_dma *d, const uint8_t *theirs,
			     struct vfm_err *err)
{
	for (size_t i = 0; i < sizeof(d->config); i++)
		if ((theirs[i] ^ d->config[i]) & ~d->config_mask[i])
			return vfm_fail(
				err, -EBADMSG,
				"image of sim:dma: configuration space has 0x%02x at 0x%02zx,"
				" which cannot be",
				theirs[i], i);
	return 0;
}

bool vfm_sim_dma_bus_master(const struct vfm_sim_dma *d)
{
	return get16(d, OFF_COMMAND) & COMMAND_MASTER;
}

bool vfm_sim_dma_intx_disabled(const struct vfm_sim_dma *d)
{
	return get16(d, OFF_COMMAND) & COMMAND_INTX_DISABLE;
}

bool vfm_sim_dma_msix_enabled(const struct vfm_sim_dma *d)
{
	return get16(d, OFF_MSIX_CONTROL) & MSIX_ENABLE;
}

bool vfm_sim_dma_msix_masked(const struct vfm_sim_dma *d)
{
	return get16(d, OFF_MSIX_CONTROL) & MSIX_MASK_ALL;
}
