// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The verifier itself: that it accepts what must be there, and finds each kind of
 * damage, by name, wherever it is. A verifier that overlooks something makes
 * every other test worthless.
 */

#include "sim_test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "sim/model.h"

#define BLOCKS (RING_SIZE / VFM_SIM_BLOCK)
#define COUNT 3000u

static const struct vfm_sim_ring ring = { RING_IOVA, RING_SIZE, 7, COUNT };
static uint8_t mem[RING_SIZE], other[RING_SIZE];

static void expect(const struct vfm_sim_ring *r, uint8_t *buf)
{
	assert_int_equal(vfm_sim_expect_memory(r, buf, NULL), 0);
}

static enum vfm_sim_fault check(const struct vfm_sim_ring *r, const uint8_t *buf)
{
	enum vfm_sim_fault fault = VFM_SIM_FAULT_NONE;
	struct vfm_err err = { 0 };
	int ret = vfm_sim_check_memory(r, buf, &fault, &err);

	assert_int_equal(ret, fault ? -EBADMSG : 0);
	if (fault)
		assert_non_null(strstr(err.msg, vfm_sim_fault_name(fault)));
	return fault;
}

/* The last and the last but one write that went to @block, of the first @count. */
static void last_writes(uint64_t count, uint64_t block, uint64_t *last, uint64_t *before)
{
	*last = *before = 0;
	for (uint64_t n = 1; n <= count; n++) {
		if (vfm_sim_position(&ring, n) != block)
			continue;
		*before = *last;
		*last = n;
	}
}

/* A block that was written twice at least. */
static uint64_t busy_block(uint64_t from, uint64_t *last, uint64_t *before)
{
	for (uint64_t block = from; block < BLOCKS; block++) {
		last_writes(COUNT, block, last, before);
		if (*before)
			return block;
	}
	fail_msg("no block was written twice");
	return 0;
}

static uint8_t *at(uint8_t *buf, uint64_t block)
{
	return buf + block * VFM_SIM_BLOCK;
}

static void expected_memory_is_accepted(void **state)
{
	static const uint64_t counts[] = { 0, 1, 2, 15, 16, 17, 255, 256, COUNT, 100000 };
	struct vfm_sim_ring r = ring;

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(counts); i++) {
		r.count = counts[i];
		expect(&r, mem);
		assert_int_equal(check(&r, mem), VFM_SIM_FAULT_NONE);
	}
}

/* Sixteen writes in a row fill one span, whatever the seed. */
static void runs_fill_a_span(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 50; seed++) {
		struct vfm_sim_ring r = { RING_IOVA, RING_SIZE, seed, 0 };

		for (uint64_t run = 0; run < 40; run++) {
			uint64_t span = vfm_sim_position(&r, run * 16 + 1) / 16;
			uint32_t seen = 0;

			assert_true(span < RING_SIZE / VFM_SIM_SPAN);
			for (uint64_t n = 1; n <= 16; n++) {
				uint64_t block = vfm_sim_position(&r, run * 16 + n);

				assert_int_equal(block / 16, span);
				seen |= 1u << block % 16;
			}
			assert_int_equal(seen, 0xffff);
		}
	}
}

/* Every span is reached, and none far more often than the others. */
static void runs_spread(void **state)
{
	unsigned int hits[RING_SIZE / VFM_SIM_SPAN] = { 0 };

	(void)state;
	for (uint64_t run = 0; run < 1600; run++)
		hits[vfm_sim_position(&ring, run * 16 + 1) / 16]++;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(hits); i++)
		assert_in_range(hits[i], 50, 200);
}

/* Any one bit changed anywhere in a block that was written is seen. */
static void every_bit_counts(void **state)
{
	uint64_t last, before, block = busy_block(0, &last, &before);

	(void)state;
	expect(&ring, mem);
	for (size_t bit = 0; bit < VFM_SIM_BLOCK * 8; bit++) {
		at(mem, block)[bit / 8] ^= 1u << bit % 8;
		assert_int_not_equal(check(&ring, mem), VFM_SIM_FAULT_NONE);
		at(mem, block)[bit / 8] ^= 1u << bit % 8;
	}
}

static void foreign_byte(void **state)
{
	uint64_t last, before, block = busy_block(3, &last, &before);
	struct vfm_err err;

	(void)state;
	expect(&ring, mem);
	at(mem, block)[200] ^= 0x40;
	assert_int_equal(check(&ring, mem), VFM_SIM_FAULT_FOREIGN);
	assert_int_equal(vfm_sim_check_memory(&ring, mem, NULL, &err), -EBADMSG);
	assert_non_null(strstr(err.msg, "byte 200"));
}

/* A page of the ring that never arrived, and one that arrived too early. */
static void lost_and_stale_pages(void **state)
{
	struct vfm_sim_ring earlier = ring;
	uint64_t last, before, block = busy_block(0, &last, &before);
	size_t page = block / 16 * VFM_SIM_SPAN;

	(void)state;
	expect(&ring, mem);
	memset(mem + page, 0, VFM_SIM_SPAN);
	assert_int_equal(check(&ring, mem), VFM_SIM_FAULT_LOST);

	earlier.count = last - 1;
	expect(&ring, mem);
	expect(&earlier, other);
	memcpy(at(mem, block), at(other, block), VFM_SIM_BLOCK);
	assert_int_equal(check(&ring, mem), VFM_SIM_FAULT_STALE);
}

static void early_write(void **state)
{
	struct vfm_sim_ring later = ring;

	(void)state;
	later.count = COUNT + 1;
	expect(&later, mem);
	assert_int_equal(check(&ring, mem), VFM_SIM_FAULT_EARLY);
}

static void swapped_blocks(void **state)
{
	uint64_t last, before, a = busy_block(0, &last, &before);
	uint64_t b = busy_block(a + 1, &last, &before);

	(void)state;
	expect(&ring, mem);
	expect(&ring, other);
	memcpy(at(mem, a), at(other, b), VFM_SIM_BLOCK);
	memcpy(at(mem, b), at(other, a), VFM_SIM_BLOCK);
	assert_int_equal(check(&ring, mem), VFM_SIM_FAULT_MISPLACED);
}

/* The same content behind another IOVA is another ring's. */
static void shifted_ring(void **state)
{
	struct vfm_sim_ring moved = ring;

	(void)state;
	moved.iova += VFM_SIM_SPAN;
	expect(&moved, mem);
	assert_int_equal(check(&ring, mem), VFM_SIM_FAULT_FOREIGN);
}

static void write_at(const struct vfm_sim_plan *plan, uint64_t number, uint8_t *buf)
{
	uint8_t *b = at(buf, vfm_sim_plan_position(plan, number));
	uint64_t chain;

	memcpy(&chain, b + VFM_SIM_BLOCK_CHAIN, sizeof(chain));
	vfm_sim_block(plan, number, vfm_sim_chain(plan, number, le64toh(chain)), b);
}

/* Do the writes by hand, with one mistake. */
static void replay(uint8_t *buf, uint64_t skip, uint64_t twice)
{
	struct vfm_sim_plan plan = vfm_sim_plan_of(&ring);

	memset(buf, 0, RING_SIZE);
	for (uint64_t i = 1; i <= COUNT; i++) {
		unsigned int times = i == skip ? 0 : i == twice ? 2 : 1;

		while (times--)
			write_at(&plan, i, buf);
	}
}

static void history_is_seen(void **state)
{
	uint64_t last, before;

	(void)state;
	busy_block(0, &last, &before);
	replay(mem, 0, 0);
	assert_int_equal(check(&ring, mem), VFM_SIM_FAULT_NONE);
	replay(mem, before, 0);
	assert_int_equal(check(&ring, mem), VFM_SIM_FAULT_HISTORY);
	replay(mem, last, 0);
	assert_int_equal(check(&ring, mem), VFM_SIM_FAULT_STALE);
	replay(mem, 0, last);
	assert_int_equal(check(&ring, mem), VFM_SIM_FAULT_DOUBLED);
	replay(mem, 0, before);
	assert_int_equal(check(&ring, mem), VFM_SIM_FAULT_HISTORY);
}

/* Two writes to one block change places. */
static void reorder_is_seen(void **state)
{
	struct vfm_sim_ring small = { RING_IOVA, VFM_SIM_SPAN, 3, 32 };
	struct vfm_sim_plan plan = vfm_sim_plan_of(&small);
	uint64_t first = 0;

	(void)state;
	for (uint64_t n = 17; n <= 32; n++)
		if (vfm_sim_position(&small, n) == vfm_sim_position(&small, 1))
			first = n;
	memset(mem, 0, VFM_SIM_SPAN);
	for (uint64_t i = 1; i <= 32; i++)
		write_at(&plan, i == 1 ? first : i == first ? 1 : i, mem);
	assert_int_equal(check(&small, mem), VFM_SIM_FAULT_STALE);
}

static void bad_rings_are_refused(void **state)
{
	static const struct vfm_sim_ring bad[] = {
		{ 0, 0, 1, 1 },
		{ 0, 4095, 1, 1 },
		{ 0, 256, 1, 1 },
		{ UINT64_MAX - 4095 + 1, 8192, 1, 1 },
		{ 0, UINT64_C(1) << 41, 1, 1 },
		{ 0, 4096, 1, UINT64_MAX },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(bad); i++) {
		assert_true(vfm_sim_expect_memory(&bad[i], mem, NULL) < 0);
		assert_true(vfm_sim_check_memory(&bad[i], mem, NULL, NULL) < 0);
	}
}

static void state_digest_depends_on_everything(void **state)
{
	static const struct vfm_sim_state kinds[] = {
		{ 65536, 1, 0, { 0 } }, { 65536, 1, 1, { 0 } }, { 65536, 1, 2, { 0 } },
		{ 65536, 2, 0, { 0 } }, { 69632, 1, 0, { 0 } }, { 65536, 2, 2, { 0 } },
	};
	struct vfm_sim_state got[VFM_ARRAY_SIZE(kinds)];

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(kinds); i++) {
		got[i] = kinds[i];
		assert_int_equal(vfm_sim_expect_state_digest(&got[i], NULL), 0);
		assert_int_equal(vfm_sim_check_state(&got[i], NULL), 0);
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(got[i].digest, got[j].digest, VFM_SIM_DIGEST);
	}
	got[0].digest[15] ^= 1;
	assert_int_equal(vfm_sim_check_state(&got[0], NULL), -EBADMSG);
	got[0].size = 5000;
	assert_int_equal(vfm_sim_check_state(&got[0], NULL), -EINVAL);
	got[0].size = 65536;
	got[0].changes = UINT64_MAX;
	assert_int_equal(vfm_sim_check_state(&got[0], NULL), -E2BIG);
}

/* The same bytes however the stream is cut. */
static void fill_has_no_seams(void **state)
{
	(void)state;
	vfm_sim_fill(5, 0, mem, 4096);
	for (size_t cut = 0; cut <= 40; cut++) {
		vfm_sim_fill(5, 0, other, cut);
		vfm_sim_fill(5, cut, other + cut, 4096 - cut);
		assert_memory_equal(mem, other, 4096);
	}
	vfm_sim_fill(6, 0, other, 4096);
	assert_memory_not_equal(mem, other, 8);
	vfm_sim_fill(0, 0, mem, 64);
	memset(other, 0, 64);
	assert_memory_equal(mem, other, 64);
}

/*
 * Images and verifiers of other versions depend on these values: a change of the
 * model needs a new version of the driver.
 */
static void model_stays_what_it_is(void **state)
{
	struct vfm_sim_state s = { .size = 65536, .seed = 1, .changes = 100 };
	uint8_t fill[8];
	uint64_t words[2];

	(void)state;
	expect(&ring, mem);
	assert_int_equal(vfm_sim_checksum(mem, sizeof(mem)), UINT64_C(0x51ee35801a01b631));
	assert_int_equal(vfm_sim_expect_state_digest(&s, NULL), 0);
	memcpy(words, s.digest, sizeof(words));
	assert_int_equal(be64toh(words[0]), UINT64_C(0x50959894418a1388));
	vfm_sim_fill(1, 0, fill, sizeof(fill));
	memcpy(words, fill, 8);
	assert_int_equal(le64toh(words[0]), UINT64_C(0xc0ad0f5e593c5a73));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(expected_memory_is_accepted),
		cmocka_unit_test(runs_fill_a_span),
		cmocka_unit_test(runs_spread),
		cmocka_unit_test(every_bit_counts),
		cmocka_unit_test(foreign_byte),
		cmocka_unit_test(lost_and_stale_pages),
		cmocka_unit_test(early_write),
		cmocka_unit_test(swapped_blocks),
		cmocka_unit_test(shifted_ring),
		cmocka_unit_test(history_is_seen),
		cmocka_unit_test(reorder_is_seen),
		cmocka_unit_test(bad_rings_are_refused),
		cmocka_unit_test(state_digest_depends_on_everything),
		cmocka_unit_test(fill_has_no_seams),
		cmocka_unit_test(model_stays_what_it_is),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
