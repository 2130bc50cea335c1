// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "base/checksum.h"

#include <xxhash.h>
#ifdef VFM_XXHASH_DISPATCH
#include <xxh_x86dispatch.h> /* redefines the names that are called below */
#endif

uint64_t vfm_checksum(const void *data, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(data, len, seed);
}

struct vfm_digest *vfm_digest_new(void)
{
	XXH3_state_t *state = XXH3_createState();

	if (state)
		XXH3_128bits_reset(state);
	return (struct vfm_digest *)state;
}

void vfm_digest_free(struct vfm_digest *d)
{
	XXH3_freeState((XXH3_state_t *)d);
}

void vfm_digest_update(struct vfm_digest *d, const void *data, size_t len)
{
	XXH3_128bits_update((XXH3_state_t *)d, data, len);
}

void vfm_digest_get(const struct vfm_digest *d, uint8_t out[VFM_DIGEST_SIZE])
{
	XXH128_hash_t hash = XXH3_128bits_digest((const XXH3_state_t *)d);
	XXH128_canonical_t canonical;

	_Static_assert(sizeof(canonical.digest) == VFM_DIGEST_SIZE, "digest size");
	XXH128_canonicalFromHash(&canonical, hash);
	for (size_t i = 0; i < VFM_DIGEST_SIZE; i++)
		out[i] = canonical.digest[i];
}
