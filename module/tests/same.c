// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * The parts of the module that need no kernel, against what they must equal: xxh3.c
 * against libxxhash, model.c against sim:dma's src/sim/model.c. An image goes from
 * one device to the other only if every byte of these is the same. Prints TAP.
 */

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "../model.h"
#include "../xxh3.h"

#include "sim/model.h"

#define LONGEST 5000u
#define ROUNDS 2000u

static u64 next_random(u64 *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return *state ^ *state >> 29;
}

static struct xxh3_128 digest_in_pieces(const u8 *data, size_t len, size_t piece)
{
	struct xxh3_stream s;
	size_t at;

	xxh3_begin(&s, len);
	if (len <= 240)
		piece = len;
	for (at = 0; at < len; at += piece)
		xxh3_feed(&s, data + at, len - at < piece ? len - at : piece);
	return xxh3_end(&s);
}

static bool same_hashes(const u8 *data)
{
	static const u64 seeds[] = { 0, 1, 0x8000000000000000ull, 0x123456789abcdef0ull };
	size_t len, i, piece;

	for (len = 0; len <= LONGEST; len++) {
		XXH128_hash_t want = XXH3_128bits(data, len);

		for (i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
			if (xxh3_64(data, len, seeds[i]) !=
			    XXH3_64bits_withSeed(data, len, seeds[i])) {
				printf("# 64 bits of %zu bytes, seed 0x%llx\n", len,
				       (unsigned long long)seeds[i]);
				return false;
			}
		for (piece = 64; piece <= 2048; piece *= 2) {
			struct xxh3_128 got = digest_in_pieces(data, len, piece);

			if (got.low != want.low64 || got.high != want.high64) {
				printf("# 128 bits of %zu bytes by %zu\n", len, piece);
				return false;
			}
		}
	}
	return true;
}

static bool same_ring(u64 *random)
{
	struct vfm_sim_ring theirs = { .iova = next_random(random) & 0xfffffff000ull,
				       .size = (next_random(random) % 1000 + 1) * 4096,
				       .seed = next_random(random) };
	struct vfms_ring ours = { theirs.iova, theirs.size, theirs.seed };
	struct vfm_sim_plan plan = vfm_sim_plan_of(&theirs);
	struct vfms_plan our_plan = vfms_plan_of(&ours);
	u64 number = next_random(random) % 100000 + 1, before = next_random(random);
	u8 a[VFMS_BLOCK], b[VFMS_BLOCK];

	vfm_sim_block(&plan, number, before, a);
	vfms_block(&our_plan, number, before, b);
	return vfm_sim_plan_position(&plan, number) == vfms_position(&our_plan, number) &&
	       vfm_sim_chain(&plan, number, before) == vfms_chain(&our_plan, number, before) &&
	       !memcmp(a, b, sizeof(a)) && vfms_ring_ok(&ours);
}

static bool same_pages(u64 *random)
{
	u64 seed = next_random(random), change = next_random(random) % 1000;
	u64 pages = next_random(random) % 100000 + 1;
	u64 page = vfms_page_of(seed, pages, change);
	u8 a[VFMS_PAGE], b[VFMS_PAGE];

	vfm_sim_state_page(seed, page, change, a);
	vfms_page(seed, page, change, b);
	if (page != vfm_sim_state_page_of(seed, pages, change) || memcmp(a, b, sizeof(a)))
		return false;
	seed = change % 3 ? seed : 0;
	vfm_sim_fill(seed, change, a, sizeof(a) - change % 8);
	vfms_fill(seed, change, b, sizeof(b) - change % 8);
	return !memcmp(a, b, sizeof(a) - change % 8);
}

static bool same_model(bool (*same)(u64 *random))
{
	u64 random = 1;
	u32 i;

	for (i = 0; i < ROUNDS; i++)
		if (!same(&random)) {
			printf("# round %u\n", i);
			return false;
		}
	return true;
}

static bool bad_rings_refused(void)
{
	static const struct vfms_ring bad[] = {
		{ 0, 0, 1 },
		{ 0, 4095, 1 },
		{ 0, VFMS_RING_MAX + 4096, 1 },
		{ ~0ull - 4094, 8192, 1 },
	};
	static const struct vfms_ring last = { ~0ull - 4095, 4096, 1 };
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (vfms_ring_ok(&bad[i]))
			return false;
	return vfms_ring_ok(&last);
}

int main(void)
{
	u8 *data = malloc(LONGEST);
	u64 random = 42;
	bool ok[4];
	u32 i;

	static const char *const names[] = { "hashes equal libxxhash", "rings equal sim:dma",
					     "state and fill equal sim:dma",
					     "what is no ring is refused" };

	if (!data)
		return 1;
	for (i = 0; i < LONGEST; i++)
		data[i] = (u8)next_random(&random);
	ok[0] = same_hashes(data);
	ok[1] = same_model(same_ring);
	ok[2] = same_model(same_pages);
	ok[3] = bad_rings_refused();
	free(data);
	puts("1..4");
	for (i = 0; i < 4; i++)
		printf("%sok %u - %s\n", ok[i] ? "" : "not ", i + 1, names[i]);
	return !(ok[0] && ok[1] && ok[2] && ok[3]);
}
