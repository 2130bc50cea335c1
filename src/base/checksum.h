// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Checksums and digests: the one place that knows xxHash. */

#ifndef VFM_BASE_CHECKSUM_H
#define VFM_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/** vfm_checksum() - XXH3, 64 bits, of a buffer, beginning from @seed. */
uint64_t vfm_checksum(const void *data, size_t len, uint64_t seed);

/** Bytes of a digest. */
#define VFM_DIGEST_SIZE 16

/** A digest that is fed bit by bit: XXH3, 128 bits. */
struct vfm_digest;

/** vfm_digest_new() - NULL when there is no memory. */
struct vfm_digest *vfm_digest_new(void);
void vfm_digest_free(struct vfm_digest *d);
void vfm_digest_update(struct vfm_digest *d, const void *data, size_t len);

/** vfm_digest_get() - of all bytes so far, in canonical (big endian) form; may go on after it. */
void vfm_digest_get(const struct vfm_digest *d, uint8_t out[VFM_DIGEST_SIZE]);

#endif
