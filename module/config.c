// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * The PCI configuration space. A table gives for each field its value after reset and the
 * bits that can be written; sizing a BAR by writing ones follows from those bits. A
 * write to the Function Level Reset bit asks for a reset, done when the write is over.
 *
 * The BARs hold what the guest writes there, and nothing is decided by it: where a region
 * appears is the business of whoever shows the device to a guest.
 */

#include "vfmig_sim.h"

#include <linux/pci_regs.h>

#define OFF_MSIX_CONTROL (VFMS_CAP_MSIX + PCI_MSIX_FLAGS)
#define OFF_DEVICE_CONTROL (VFMS_CAP_PCIE + PCI_EXP_DEVCTL)

#define CLASS_REVISION 0x08010001u /* DMA controller, revision 1 */
#define BAR_4K 0xfffff000u

struct field {
	u8 offset;
	u8 len;
	u32 value;
	u32 mask;
};

/* clang-format off */
static const struct field fields[] = {
	{ PCI_VENDOR_ID, 2, VFMS_PCI_VENDOR, 0 },
	{ PCI_DEVICE_ID, 2, VFMS_PCI_DEVICE, 0 },
	/* memory, master, parity, SERR, INTx disable */
	{ PCI_COMMAND, 2, 0, 0x0546 },
	{ PCI_STATUS, 2, PCI_STATUS_CAP_LIST, 0 },
	{ PCI_CLASS_REVISION, 4, CLASS_REVISION, 0 },
	{ PCI_CACHE_LINE_SIZE, 1, 0, 0xff },
	{ PCI_BASE_ADDRESS_0, 4, 0, BAR_4K },
	/* 64 bits, prefetchable; which bits can be written depends on bar= */
	{ PCI_BASE_ADDRESS_2, 4, PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH, 0 },
	{ PCI_BASE_ADDRESS_4, 4, 0, BAR_4K },
	{ PCI_SUBSYSTEM_VENDOR_ID, 2, VFMS_PCI_VENDOR, 0 },
	{ PCI_SUBSYSTEM_ID, 2, VFMS_PCI_DEVICE, 0 },
	{ PCI_CAPABILITY_LIST, 1, VFMS_CAP_MSIX, 0 },
	{ PCI_INTERRUPT_LINE, 1, 0, 0xff },
	{ PCI_INTERRUPT_PIN, 1, 1, 0 },

	{ VFMS_CAP_MSIX, 1, PCI_CAP_ID_MSIX, 0 },
	{ VFMS_CAP_MSIX + 1, 1, VFMS_CAP_PCIE, 0 },
	/* and vectors= */
	{ OFF_MSIX_CONTROL, 2, 0, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL },
	{ VFMS_CAP_MSIX + PCI_MSIX_TABLE, 4, VFMS_MSIX_BAR, 0 },
	{ VFMS_CAP_MSIX + PCI_MSIX_PBA, 4, VFMS_MSIX_PBA | VFMS_MSIX_BAR, 0 },

	{ VFMS_CAP_PCIE, 1, PCI_CAP_ID_EXP, 0 },
	/* version 2, integrated endpoint: no link */
	{ VFMS_CAP_PCIE + PCI_EXP_FLAGS, 2, 0x0092, 0 },
	{ VFMS_CAP_PCIE + PCI_EXP_DEVCAP, 4, PCI_EXP_DEVCAP_FLR | PCI_EXP_DEVCAP_RBER, 0 },
	/* the FLR bit always reads 0 */
	{ OFF_DEVICE_CONTROL, 2, 0, 0x78ff },
};
/* clang-format on */

static void put(u8 *space, size_t offset, u64 value, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		space[offset + i] = value >> (8 * i);
}

static u16 get16(const struct vfms *d, size_t offset)
{
	return d->config[offset] | d->config[offset + 1] << 8;
}

static void add_window(struct vfms *d)
{
	put(d->config, PCI_BASE_ADDRESS_5, PCI_BASE_ADDRESS_SPACE_IO, 4);
	put(d->config_mask, PCI_BASE_ADDRESS_5, (u32) ~(VFMS_IO_SIZE - 1), 4);
	d->config_mask[PCI_COMMAND] |= PCI_COMMAND_IO;
}

void vfms_config_reset(struct vfms *d)
{
	u32 i;

	memset(d->config, 0, sizeof(d->config));
	memset(d->config_mask, 0, sizeof(d->config_mask));
	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		put(d->config, fields[i].offset, fields[i].value, fields[i].len);
		put(d->config_mask, fields[i].offset, fields[i].mask, fields[i].len);
	}
	put(d->config_mask, PCI_BASE_ADDRESS_2, ~(d->params.bar - 1), 8);
	put(d->config, OFF_MSIX_CONTROL, d->params.vectors - 1, 2);
	if (d->params.iobar)
		add_window(d);
}

/* The one bit that shows something else than what was written. */
static u8 status_bits(const struct vfms *d)
{
	u64 causes = vfms_get(d, REG_IRQ_STATUS) & ~vfms_get(d, REG_IRQ_MASK);

	return causes && !vfms_msix_enabled(d) ? PCI_STATUS_INTERRUPT : 0;
}

void vfms_config_read(const struct vfms *d, u64 offset, void *buf, size_t len)
{
	memcpy(buf, d->config + offset, len);
	if (offset <= PCI_STATUS && offset + len > PCI_STATUS)
		((u8 *)buf)[PCI_STATUS - offset] |= status_bits(d);
}

void vfms_config_write(struct vfms *d, u64 offset, const void *buf, size_t len)
{
	const u8 *in = buf;
	size_t i;

	vfms_sync(d);
	for (i = 0; i < len; i++) {
		u8 mask = d->config_mask[offset + i];
		u8 *byte = &d->config[offset + i];

		*byte = (*byte & ~mask) | (in[i] & mask);
		if (offset + i == OFF_DEVICE_CONTROL + 1 && in[i] & PCI_EXP_DEVCTL_BCR_FLR >> 8)
			d->flr = true;
	}
	vfms_settle(d);
}

int vfms_config_check(const struct vfms *d, const u8 *theirs)
{
	u32 i;

	for (i = 0; i < VFMS_CONFIG_SIZE; i++)
		if ((theirs[i] ^ d->config[i]) & ~d->config_mask[i])
			return -EBADMSG;
	return 0;
}

bool vfms_bus_master(const struct vfms *d)
{
	return get16(d, PCI_COMMAND) & PCI_COMMAND_MASTER;
}

bool vfms_intx_disabled(const struct vfms *d)
{
	return get16(d, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE;
}

bool vfms_msix_enabled(const struct vfms *d)
{
	return get16(d, OFF_MSIX_CONTROL) & PCI_MSIX_FLAGS_ENABLE;
}

bool vfms_msix_masked(const struct vfms *d)
{
	return get16(d, OFF_MSIX_CONTROL) & PCI_MSIX_FLAGS_MASKALL;
}
