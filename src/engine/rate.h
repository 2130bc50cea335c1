// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* A limit on the bytes that leave in a second: pure arithmetic over somebody else's clock. */

#ifndef VFM_ENGINE_RATE_H
#define VFM_ENGINE_RATE_H

#include <stdint.h>

/**
 * struct vfm_bucket - set @rate, zero the rest
 * @rate: bytes in a second; 0: no limit
 * @level: bytes that may leave now; negative: too many have
 */
struct vfm_bucket {
	uint64_t rate;
	double level;
	uint64_t then_ns;
};

/** vfm_bucket_piece() - so many bytes at most should leave at once, and no more than @most. */
uint64_t vfm_bucket_piece(const struct vfm_bucket *b, uint64_t most);

/** vfm_bucket_wait() - how long to wait before anything more leaves; 0: not at all. */
uint64_t vfm_bucket_wait(struct vfm_bucket *b, uint64_t now_ns);

/** vfm_bucket_take() - so much leaves. */
void vfm_bucket_take(struct vfm_bucket *b, uint64_t bytes);

/** vfm_bucket_settle() - of what was taken, so much has left. */
void vfm_bucket_settle(struct vfm_bucket *b, uint64_t taken, uint64_t bytes);

#endif
