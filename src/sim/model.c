// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What sim:dma writes, and where: the pure functions that the device is built on
 * and that a verifier recomputes. No device and no I/O here; comparing memory
 * with all this is in check.c.
 *
 * Surprise: sixteen writes in a row go to one span of 4096 bytes. Were each to go
 * anywhere, a rate of 1 MiB/s would dirty 16 MiB/s of pages, and no pre-copy of a
 * small ring would ever converge.
 */

#include "sim/model.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/checksum.h"
#include "base/util.h"

#define PHI UINT64_C(0x9e3779b97f4a7c15)

/* One number per use, so that the same seed gives unrelated streams. */
#define KEY_RING UINT64_C(0x72696e67)
#define KEY_IOVA UINT64_C(0x696f7661)
#define KEY_RUN UINT64_C(0x72756e00)
#define KEY_CHAIN UINT64_C(0x63686169)
#define KEY_PAGE UINT64_C(0x70616765)
#define KEY_ORDER UINT64_C(0x6f726465)
#define KEY_FILL UINT64_C(0x66696c6c)

_Static_assert(VFM_SIM_SPAN_BLOCKS == 16, "block_in_span() permutes 16");

/* Word number @n of the stream that @key stands for. */
static inline uint64_t word_of(uint64_t key, uint64_t n)
{
	return htole64(vfm_sim_mix(key + n * PHI));
}

/* Spread a random word over [0, n) without dividing. */
static inline uint64_t below(uint64_t word, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)word * n) >> 64);
}

int vfm_sim_ring_check(const struct vfm_sim_ring *ring, struct vfm_err *err)
{
	if (!ring->size || ring->size % VFM_SIM_SPAN || ring->size > VFM_SIM_RING_MAX)
		return vfm_fail(err, -EINVAL,
				"ring of %" PRIu64 " bytes: not a multiple of %u up to 1T",
				ring->size, VFM_SIM_SPAN);
	if (vfm_range_wraps(ring->iova, ring->size))
		return vfm_fail(err, -EINVAL, "ring of %" PRIu64 " bytes at 0x%" PRIx64 " wraps",
				ring->size, ring->iova);
	return 0;
}

struct vfm_sim_plan vfm_sim_plan_of(const struct vfm_sim_ring *ring)
{
	uint64_t seed = vfm_sim_mix(ring->seed + KEY_RING);

	return (struct vfm_sim_plan){
		.key = vfm_sim_mix(seed ^ vfm_sim_mix(ring->iova + KEY_IOVA)),
		.spans = ring->size / VFM_SIM_SPAN,
	};
}

uint64_t vfm_sim_plan_position(const struct vfm_sim_plan *plan, uint64_t number)
{
	uint64_t run = (number - 1) / VFM_SIM_SPAN_BLOCKS;
	uint64_t n = (number - 1) % VFM_SIM_SPAN_BLOCKS;
	uint64_t word = vfm_sim_mix((plan->key ^ KEY_RUN) + run * PHI);
	/* an odd factor permutes the residues of 16; the high bits chose the span */
	uint64_t in_span = (n * (word << 1 | 1) + (word >> 4)) % VFM_SIM_SPAN_BLOCKS;

	return below(word, plan->spans) * VFM_SIM_SPAN_BLOCKS + in_span;
}

VFM_API uint64_t vfm_sim_position(const struct vfm_sim_ring *ring, uint64_t number)
{
	struct vfm_sim_plan plan = vfm_sim_plan_of(ring);

	return vfm_sim_plan_position(&plan, number);
}

uint64_t vfm_sim_chain(const struct vfm_sim_plan *plan, uint64_t number, uint64_t before)
{
	return vfm_sim_mix(before ^ vfm_sim_mix((plan->key ^ KEY_CHAIN) + number * PHI));
}

void vfm_sim_block(const struct vfm_sim_plan *plan, uint64_t number, uint64_t chain,
		   uint8_t block[VFM_SIM_BLOCK])
{
	uint64_t words[VFM_SIM_BLOCK / 8];
	uint64_t key = vfm_sim_mix(plan->key + number * PHI);

	words[0] = htole64(number);
	words[VFM_SIM_BLOCK_CHAIN / 8] = htole64(chain);
	for (size_t i = 2; i < VFM_ARRAY_SIZE(words); i++)
		words[i] = word_of(key, i);
	memcpy(block, words, sizeof(words));
}

uint64_t vfm_sim_state_page_of(uint64_t seed, uint64_t pages, uint64_t change)
{
	return below(vfm_sim_mix(vfm_sim_mix(seed + KEY_ORDER) + change * PHI), pages);
}

void vfm_sim_state_page(uint64_t seed, uint64_t page, uint64_t change, uint8_t buf[VFM_SIM_PAGE])
{
	uint64_t key = vfm_sim_mix(vfm_sim_mix(seed + KEY_PAGE) + page * PHI);

	key = vfm_sim_mix(key + change * PHI);
	for (size_t i = 0; i < VFM_SIM_PAGE / 8; i++) {
		uint64_t word = word_of(key, i);

		memcpy(buf + i * 8, &word, 8);
	}
}

VFM_API void vfm_sim_fill(uint64_t seed, uint64_t offset, void *buf, size_t len)
{
	uint64_t key = vfm_sim_mix(seed + KEY_FILL);
	uint8_t *p = (uint8_t *)buf;

	if (!seed)
		memset(p, 0, len);
	while (seed && len) {
		uint64_t word = word_of(key, offset / 8);
		size_t skip = offset % 8;
		size_t n = VFM_MIN(len, 8 - skip);

		memcpy(p, (uint8_t *)&word + skip, n);
		p += n;
		offset += n;
		len -= n;
	}
}

VFM_API uint64_t vfm_sim_checksum(const void *buf, size_t len)
{
	struct vfm_digest *digest = vfm_digest_new();
	uint8_t out[VFM_DIGEST_SIZE];
	uint64_t sum;

	if (!digest)
		return 0;
	vfm_digest_update(digest, buf, len);
	vfm_digest_get(digest, out);
	vfm_digest_free(digest);
	memcpy(&sum, out, sizeof(sum));
	return le64toh(sum);
}
