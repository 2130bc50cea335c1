// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* What bugs of the migration region share: which access it is, and what the device behind says. */

#ifndef VFM_WRAP_V1_FAULT_H
#define VFM_WRAP_V1_FAULT_H

#include <vfmig/v1.h>

#include "wrap/wrap.h"

/** VFM_V1_BUG() - the beginning of a row: what it is called, what is wrong, where it happened. */
#define VFM_V1_BUG(n, t, w) .is = { .name = (n), .title = (t), .where = (w) }, .v1 = true

/** enum vfm_v1_target - what an access of a region is for */
enum vfm_v1_target {
	VFM_V1_OTHER, /* another region, or no register as a whole */
	VFM_V1_AT_STATE,
	VFM_V1_AT_RESERVED,
	VFM_V1_AT_PENDING,
	VFM_V1_AT_OFFSET,
	VFM_V1_AT_SIZE,
	VFM_V1_AT_DATA, /* behind the registers */
};

/** vfm_v1_is_region() - whether that region of the device behind is the migration region. */
bool vfm_v1_is_region(struct vfm_device *dev, uint32_t index);

enum vfm_v1_target vfm_v1_target(struct vfm_device *dev, uint32_t index, uint64_t offset,
				 size_t len);

/** vfm_v1_ask() - a register of 8 bytes of the device behind; 0 if it fails. */
uint64_t vfm_v1_ask(struct vfm_device *dev, uint32_t index, uint64_t reg);

/** vfm_v1_ask_word() - its device_state, the three bits. */
uint32_t vfm_v1_ask_word(struct vfm_device *dev, uint32_t index);

/** vfm_v1_skip_chunk() - steps a to c, and a once more: a chunk is gone. */
void vfm_v1_skip_chunk(struct vfm_device *dev, uint32_t index);

/** vfm_v1_answer() - what a read of a register gives instead. */
int vfm_v1_answer(void *buf, size_t len, uint64_t value);

/** vfm_v1_written() - what a write to a register wants. */
uint64_t vfm_v1_written(const void *buf, size_t len);

#endif
