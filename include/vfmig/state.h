// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The device states of migration protocol v2, with the kernel's own numbers
 * (enum vfio_device_mig_state). The states of protocol v1 are another type:
 * the same integers mean other things there.
 */

#ifndef VFMIG_STATE_H
#define VFMIG_STATE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * enum vfm_state - migration states of a device (uAPI: enum vfio_device_mig_state)
 * @VFM_STATE_ERROR: the device failed and must be reset; cannot be asked for
 * @VFM_STATE_STOP: no DMA, no interrupt, no change of internal state
 * @VFM_STATE_RUNNING: in operation; the state after open and after reset
 * @VFM_STATE_STOP_COPY: as STOP, and the data session can be read
 * @VFM_STATE_RESUMING: stopped, and the data session can be written
 * @VFM_STATE_RUNNING_P2P: as RUNNING, but starts no peer-to-peer DMA
 * @VFM_STATE_PRE_COPY: as RUNNING, and the data session can be read
 * @VFM_STATE_PRE_COPY_P2P: as RUNNING_P2P, and the data session can be read
 */
enum vfm_state {
	VFM_STATE_ERROR = 0,
	VFM_STATE_STOP = 1,
	VFM_STATE_RUNNING = 2,
	VFM_STATE_STOP_COPY = 3,
	VFM_STATE_RESUMING = 4,
	VFM_STATE_RUNNING_P2P = 5,
	VFM_STATE_PRE_COPY = 6,
	VFM_STATE_PRE_COPY_P2P = 7,
};

/** Number of states; every valid state is smaller. */
#define VFM_NR_STATES 8

/*
 * What a device can do (uAPI: struct vfio_device_feature_migration). STOP_COPY
 * is mandatory for a device that migrates at all; the legal sets are 1, 3, 5, 7.
 */
#define VFM_MIGRATION_STOP_COPY (UINT64_C(1) << 0)
#define VFM_MIGRATION_P2P (UINT64_C(1) << 1)
#define VFM_MIGRATION_PRE_COPY (UINT64_C(1) << 2)

/** vfm_state_name() - "RUNNING" and so on; "invalid" beyond the last state. */
const char *vfm_state_name(enum vfm_state state);

/**
 * vfm_state_exists() - whether a device with these features has this state
 * @migration: VFM_MIGRATION_* bits
 * @state: any value, also one beyond the last state
 */
bool vfm_state_exists(uint64_t migration, enum vfm_state state);

/** vfm_state_is_saving() - PRE_COPY, PRE_COPY_P2P or STOP_COPY: data can be read. */
bool vfm_state_is_saving(enum vfm_state state);

/** vfm_state_is_precopy() - PRE_COPY or PRE_COPY_P2P. */
bool vfm_state_is_precopy(enum vfm_state state);

/** vfm_state_is_active() - the device operates: it may do DMA and interrupt. */
bool vfm_state_is_active(enum vfm_state state);

#ifdef __cplusplus
}
#endif

#endif
