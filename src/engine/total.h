// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What END of the first channel says of the others: docs/stream-format.md, 6. With it, the one END
 * that all wait for proves what came by any of them.
 */

#ifndef VFM_ENGINE_TOTAL_H
#define VFM_ENGINE_TOTAL_H

#include <stddef.h>
#include <stdint.h>

#include "stream/format.h"

#define VFM_TOTAL_SIZE 40

/**
 * struct vfm_total - of all channels but the first
 * @channels: how many there are, with the first
 * @device_bytes, @memory_bytes: as each END counts them
 * @digest: of what each END says
 */
struct vfm_total {
	uint64_t channels, device_bytes, memory_bytes;
	uint8_t digest[VFM_DIGEST_SIZE];
};

/** vfm_total_of() - @ends: what @count ENDs say, in the order of their channels. */
int vfm_total_of(struct vfm_total *total, const struct vfm_stream_end *const *ends,
		 unsigned int count, struct vfm_err *err) VFM_MUST_CHECK;

void vfm_total_to_wire(const struct vfm_total *total, uint8_t wire[VFM_TOTAL_SIZE]);

/** vfm_total_check() - that an END which goes on with these bytes says the same; -EBADMSG. */
int vfm_total_check(const struct vfm_total *total, const uint8_t *wire, size_t size,
		    struct vfm_err *err) VFM_MUST_CHECK;

#endif
