// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * BAR5: ports through which the registers of BAR0 are reached. For QEMU's monitor, that
 * can do port accesses as the guest would, and no others.
 */

#include "vfmig_sim.h"

static void advance(struct vfms *d, u64 port)
{
	if (port == VFMS_IO_DATA_NEXT)
		d->io_index = (d->io_index + 4) % VFMS_REG_SIZE;
}

/* Bytes of one port, in any width within it: the data moves on when its last byte is read. */
int vfms_window_read(struct vfms *d, u64 offset, void *buf, size_t len)
{
	u64 port = offset & ~3ull;
	u32 value = 0;

	if (offset + len > port + 4)
		return -EINVAL;
	if (port == VFMS_IO_INDEX)
		value = d->io_index;
	else if (port == VFMS_IO_MAGIC)
		value = VFMS_IO_MAGIC_VALUE;
	else
		vfms_regs_read(d, d->io_index, &value, sizeof(value));
	memcpy(buf, (u8 *)&value + (offset - port), len);
	if (offset + len == port + 4)
		advance(d, port);
	return 0;
}

int vfms_window_write(struct vfms *d, u64 offset, const void *buf, size_t len)
{
	u32 value;
	int ret;

	if (len != 4 || offset % 4)
		return -EINVAL;
	value = get32(buf);
	if (offset == VFMS_IO_MAGIC)
		return 0;
	if (offset == VFMS_IO_INDEX) {
		if (value >= VFMS_REG_SIZE || value % 4)
			return -EINVAL;
		d->io_index = value;
		return 0;
	}
	ret = vfms_regs_write(d, d->io_index, &value, sizeof(value));
	if (!ret)
		advance(d, offset);
	return ret;
}
