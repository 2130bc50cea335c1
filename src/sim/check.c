// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The verifier's half of the model: replay what sim:dma did, and say of memory
 * and state whether they are what must be there, and if not, what happened.
 *
 * A replay costs time by the number of writes and 16 bytes a block; payloads are
 * made only for what is there at the end.
 */

#include <vfmig/sim.h>

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/cleanup.h"
#include "base/util.h"
#include "sim/model.h"

_Static_assert(VFM_SIM_DIGEST == VFM_DIGEST_SIZE, "digest size");

/* Counts come from devices; a replay beyond this would take minutes. */
#define REPLAY_MAX (UINT64_C(1) << 33)

/* The last write that went to a block, 0 for none, and its chain value. */
struct last_write {
	uint64_t number;
	uint64_t chain;
};

static const char *const fault_names[] = {
	[VFM_SIM_FAULT_NONE] = "none",		 [VFM_SIM_FAULT_LOST] = "lost",
	[VFM_SIM_FAULT_STALE] = "stale",	 [VFM_SIM_FAULT_EARLY] = "early",
	[VFM_SIM_FAULT_MISPLACED] = "misplaced", [VFM_SIM_FAULT_DOUBLED] = "doubled",
	[VFM_SIM_FAULT_HISTORY] = "history",	 [VFM_SIM_FAULT_FOREIGN] = "foreign",
};

VFM_API const char *vfm_sim_fault_name(enum vfm_sim_fault fault)
{
	return (size_t)fault < VFM_ARRAY_SIZE(fault_names) ? fault_names[fault] : "invalid";
}

static uint64_t word_at(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return le64toh(word);
}

static int check_replay(const struct vfm_sim_ring *ring, struct vfm_err *err)
{
	if (ring->count > REPLAY_MAX)
		return vfm_fail(err, -E2BIG, "replay of %" PRIu64 " writes", ring->count);
	return vfm_sim_ring_check(ring, err);
}

/* The last write to each block, to be freed; NULL when there is no memory. */
static struct last_write *replay_ring(const struct vfm_sim_ring *ring,
				      const struct vfm_sim_plan *plan)
{
	struct last_write *blocks = calloc((size_t)(ring->size / VFM_SIM_BLOCK), sizeof(*blocks));

	for (uint64_t number = 1; blocks && number <= ring->count; number++) {
		struct last_write *b = &blocks[vfm_sim_plan_position(plan, number)];

		b->number = number;
		b->chain = vfm_sim_chain(plan, number, b->chain);
	}
	return blocks;
}

static int no_memory(const struct vfm_sim_ring *ring, struct vfm_err *err)
{
	return vfm_fail(err, -ENOMEM, "replay of a ring of %" PRIu64 " bytes", ring->size);
}

static void expect_block(const struct vfm_sim_plan *plan, const struct last_write *last,
			 uint8_t block[VFM_SIM_BLOCK])
{
	if (last->number)
		vfm_sim_block(plan, last->number, last->chain, block);
	else
		memset(block, 0, VFM_SIM_BLOCK);
}

VFM_API int vfm_sim_expect_memory(const struct vfm_sim_ring *ring, void *buf, struct vfm_err *err)
{
	struct vfm_sim_plan plan = vfm_sim_plan_of(ring);
	vfm_auto_free struct last_write *blocks = NULL;
	int ret = check_replay(ring, err);

	if (ret)
		return ret;
	blocks = replay_ring(ring, &plan);
	if (!blocks)
		return no_memory(ring, err);
	for (uint64_t i = 0; i < ring->size / VFM_SIM_BLOCK; i++)
		expect_block(&plan, &blocks[i], (uint8_t *)buf + i * VFM_SIM_BLOCK);
	return 0;
}

static bool all_zero(const uint8_t *p, size_t len)
{
	while (len && !*p) {
		p++;
		len--;
	}
	return !len;
}

/* Whether @mem is some whole write of this ring, be it in the right place or not. */
static bool is_write(const struct vfm_sim_plan *plan, const uint8_t *mem)
{
	uint8_t made[VFM_SIM_BLOCK];
	uint64_t number = word_at(mem);

	if (!number)
		return false;
	vfm_sim_block(plan, number, word_at(mem + VFM_SIM_BLOCK_CHAIN), made);
	return !memcmp(made, mem, VFM_SIM_BLOCK);
}

static enum vfm_sim_fault judge_block(const struct vfm_sim_plan *plan, uint64_t index,
				      const struct last_write *last, const uint8_t *mem)
{
	uint64_t number = word_at(mem);
	uint64_t chain = word_at(mem + VFM_SIM_BLOCK_CHAIN);
	uint8_t want[VFM_SIM_BLOCK];

	expect_block(plan, last, want);
	if (!memcmp(want, mem, VFM_SIM_BLOCK))
		return VFM_SIM_FAULT_NONE;
	if (all_zero(mem, VFM_SIM_BLOCK))
		return VFM_SIM_FAULT_LOST;
	if (!is_write(plan, mem))
		return VFM_SIM_FAULT_FOREIGN;
	if (vfm_sim_plan_position(plan, number) != index)
		return VFM_SIM_FAULT_MISPLACED;
	if (number != last->number)
		return number < last->number ? VFM_SIM_FAULT_STALE : VFM_SIM_FAULT_EARLY;
	return chain == vfm_sim_chain(plan, number, last->chain) ? VFM_SIM_FAULT_DOUBLED
								 : VFM_SIM_FAULT_HISTORY;
}

static size_t first_difference(const struct vfm_sim_plan *plan, const struct last_write *last,
			       const uint8_t *mem)
{
	uint8_t want[VFM_SIM_BLOCK];
	size_t i = 0;

	expect_block(plan, last, want);
	while (i < VFM_SIM_BLOCK - 1 && want[i] == mem[i])
		i++;
	return i;
}

static void describe_fault(enum vfm_sim_fault fault, const struct vfm_sim_plan *plan,
			   const struct last_write *last, const uint8_t *mem, char *text,
			   size_t len)
{
	uint64_t number = word_at(mem);

	switch (fault) {
	case VFM_SIM_FAULT_LOST:
		snprintf(text, len, "all zeros instead of write %" PRIu64, last->number);
		break;
	case VFM_SIM_FAULT_MISPLACED:
		snprintf(text, len, "write %" PRIu64 ", which goes to block %" PRIu64, number,
			 vfm_sim_plan_position(plan, number));
		break;
	case VFM_SIM_FAULT_FOREIGN:
		snprintf(text, len, "differs from write %" PRIu64 " at byte %zu", last->number,
			 first_difference(plan, last, mem));
		break;
	case VFM_SIM_FAULT_DOUBLED:
		snprintf(text, len, "write %" PRIu64 " was done twice", number);
		break;
	case VFM_SIM_FAULT_HISTORY:
		snprintf(text, len,
			 "the writes before write %" PRIu64 " were not all done in order", number);
		break;
	default:
		snprintf(text, len, "write %" PRIu64 " instead of write %" PRIu64, number,
			 last->number);
		break;
	}
}

VFM_API int vfm_sim_check_memory(const struct vfm_sim_ring *ring, const void *mem,
				 enum vfm_sim_fault *fault, struct vfm_err *err)
{
	struct vfm_sim_plan plan = vfm_sim_plan_of(ring);
	vfm_auto_free struct last_write *blocks = NULL;
	uint64_t count = ring->size / VFM_SIM_BLOCK, wrong = 0, first = 0;
	enum vfm_sim_fault first_fault = VFM_SIM_FAULT_NONE;
	int ret = check_replay(ring, err);
	char text[160];

	if (ret)
		return ret;
	blocks = replay_ring(ring, &plan);
	if (!blocks)
		return no_memory(ring, err);
	for (uint64_t i = 0; i < count; i++) {
		const uint8_t *at = (const uint8_t *)mem + i * VFM_SIM_BLOCK;
		enum vfm_sim_fault found = judge_block(&plan, i, &blocks[i], at);

		if (found && !wrong++) {
			first = i;
			first_fault = found;
			describe_fault(found, &plan, &blocks[i], at, text, sizeof(text));
		}
	}
	if (fault)
		*fault = first_fault;
	if (!wrong)
		return 0;
	return vfm_fail(err, -EBADMSG,
			"block %" PRIu64 " at 0x%" PRIx64 " is %s: %s; %" PRIu64 " of %" PRIu64
			" blocks are wrong after %" PRIu64 " writes",
			first, ring->iova + first * VFM_SIM_BLOCK, vfm_sim_fault_name(first_fault),
			text, wrong, count, ring->count);
}

VFM_API int vfm_sim_expect_state_digest(struct vfm_sim_state *state, struct vfm_err *err)
{
	uint64_t pages = state->size / VFM_SIM_PAGE;
	vfm_auto_free uint64_t *last = NULL;
	struct vfm_digest *digest;
	uint8_t page[VFM_SIM_PAGE];

	if (!pages || state->size % VFM_SIM_PAGE)
		return vfm_fail(err, -EINVAL, "state of %" PRIu64 " bytes: not a multiple of %u",
				state->size, VFM_SIM_PAGE);
	if (state->changes > REPLAY_MAX)
		return vfm_fail(err, -E2BIG, "replay of %" PRIu64 " changes", state->changes);
	last = calloc((size_t)pages, sizeof(*last));
	digest = vfm_digest_new();
	if (!last || !digest) {
		vfm_digest_free(digest);
		return vfm_fail(err, -ENOMEM, "replay of a state of %" PRIu64 " bytes",
				state->size);
	}
	for (uint64_t n = 1; n <= state->changes; n++)
		last[vfm_sim_state_page_of(state->seed, pages, n)] = n;
	for (uint64_t i = 0; i < pages; i++) {
		vfm_sim_state_page(state->seed, i, last[i], page);
		vfm_digest_update(digest, page, sizeof(page));
	}
	vfm_digest_get(digest, state->digest);
	vfm_digest_free(digest);
	return 0;
}

VFM_API int vfm_sim_check_state(const struct vfm_sim_state *state, struct vfm_err *err)
{
	struct vfm_sim_state want = *state;
	int ret = vfm_sim_expect_state_digest(&want, err);

	if (ret || !memcmp(want.digest, state->digest, sizeof(want.digest)))
		return ret;
	return vfm_fail(err, -EBADMSG,
			"state digest %016" PRIx64 "... instead of %016" PRIx64
			"..., with seed %" PRIu64 " and %" PRIu64 " changes",
			be64toh(htole64(word_at(state->digest))),
			be64toh(htole64(word_at(want.digest))), state->seed, state->changes);
}
