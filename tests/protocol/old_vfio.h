// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Names and numbers that <linux/vfio.h> gave to protocol v1 before Linux 5.18, one of
 * them misspelt there: v1.h must stand beside these as well, before and after.
 */

#ifndef TEST_OLD_VFIO_H
#define TEST_OLD_VFIO_H

#include <stdint.h>

#define VFIO_REGION_TYPE_MIGRATION (3)
#define VFIO_REGION_SUBTYPE_MIGRATION (1)

struct vfio_device_migration_info {
	uint32_t device_state;
#define VFIO_DEVICE_STATE_STOP (0)
#define VFIO_DEVICE_STATE_RUNNING (1 << 0)
#define VFIO_DEVICE_STATE_SAVING (1 << 1)
#define VFIO_DEVICE_STATE_RESUMING (1 << 2)
#define VFIO_DEVICE_STATE_MASK                                                                     \
	(VFIO_DEVICE_STATE_RUNNING | VFIO_DEVICE_STATE_SAVING | VFIO_DEVICE_STATE_RESUMING)
#define VFIO_DEVICE_STATE_VALID(state) old_vfio_valid(state)
#define VFIO_DEVICE_STATE_IS_ERROR(state) old_vfio_is_error(state)
#define VFIO_DEVICE_STATE_SET_ERROR(state) (VFIO_DEVICE_SATE_SAVING)
	uint32_t reserved;
	uint64_t pending_bytes;
	uint64_t data_offset;
	uint64_t data_size;
};

#endif
