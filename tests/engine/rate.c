// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* The limit on what leaves: with a clock that this program turns, and of whole migrations. */

#include "rig.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "engine/rate.h"
#include "random.h"

#define MS UINT64_C(1000000)

/* Somebody who always has @most to send, and sleeps as he is told and a bit longer. */
struct sender {
	struct vfm_bucket b;
	uint64_t now_ns, sent;
	uint64_t seed;
};

static uint64_t send_piece(struct sender *s, uint64_t most)
{
	uint64_t piece = vfm_bucket_piece(&s->b, most);
	uint64_t wait;

	while ((wait = vfm_bucket_wait(&s->b, s->now_ns)))
		s->now_ns += wait + test_random_below(&s->seed, MS);
	vfm_bucket_take(&s->b, piece);
	s->sent += piece;
	s->now_ns += test_random_below(&s->seed, MS / 10);
	return piece;
}

static void the_rate_is_kept(void **state)
{
	static const uint64_t rates[] = { 65536, 1000003, 50 << 20, UINT64_C(10) << 30 };

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct sender s = { .b.rate = rates[i], .now_ns = 77 * MS, .seed = i + 1 };
		uint64_t begin = s.now_ns;
		double used;

		while (s.now_ns - begin < 20000 * MS)
			send_piece(&s, 1 << 20);
		used = (double)s.sent * 1e9 / (double)(s.now_ns - begin) / (double)rates[i];
		/* The fastest is slower than told, as this sender takes up to 0.1 ms for a MiB. */
		if (used > 1.01 || used < (i == 3 ? 0.5 : 0.95))
			fail_msg("rate %zu: %f of what is allowed", i, used);
	}
}

/* In no time of 50 ms leaves more than 50 ms and a burst of 50 ms allow. */
static void no_burst_is_long(void **state)
{
	enum { RATE = 10 << 20, PIECES = 4000 };
	static uint64_t at[PIECES], size[PIECES];
	struct sender s = { .b.rate = RATE, .now_ns = MS, .seed = 3 };

	(void)state;
	for (int i = 0; i < PIECES; i++) {
		if (i % 100 == 50)
			s.now_ns += 500 * MS; /* the device had nothing to say */
		size[i] = send_piece(&s, 1 << 20);
		at[i] = s.now_ns;
		assert_true(size[i] <= RATE / 40);
	}
	for (int i = 0; i < PIECES; i++) {
		uint64_t sum = 0;

		for (int k = i; k < PIECES && at[k] - at[i] <= 50 * MS; k++)
			sum += size[k];
		if (sum > RATE / 10)
			fail_msg("%llu bytes within 50 ms", (unsigned long long)sum);
	}
}

static void without_a_limit(void **state)
{
	struct vfm_bucket b = { 0 };

	(void)state;
	assert_int_equal(vfm_bucket_piece(&b, 1 << 20), 1 << 20);
	vfm_bucket_take(&b, UINT64_MAX);
	assert_int_equal(vfm_bucket_wait(&b, 5), 0);
}

/* What was compressed to little counts for little; what is larger than a piece is paid back. */
static void what_left_is_counted(void **state)
{
	struct vfm_bucket b = { .rate = 1000000 };

	(void)state;
	assert_int_equal(vfm_bucket_piece(&b, 1 << 20), 25000);
	assert_int_equal(vfm_bucket_piece(&b, 100), 100);
	b.rate = 1000;
	assert_int_equal(vfm_bucket_piece(&b, 1 << 20), 4096);
	b.rate = 1000000;
	assert_int_equal(vfm_bucket_wait(&b, MS), 0);
	vfm_bucket_take(&b, 50000);
	assert_in_range(vfm_bucket_wait(&b, MS), 50 * MS, 50 * MS + 2);
	assert_in_range(vfm_bucket_wait(&b, 31 * MS), 20 * MS, 20 * MS + 2);
	assert_int_equal(vfm_bucket_wait(&b, 52 * MS), 0);
	vfm_bucket_take(&b, 10);
	assert_int_equal(vfm_bucket_wait(&b, 52 * MS), 0);
}

/*
 * Device and memory alike, and zeros for nothing. A machine that is slow makes it slower still, so
 * the time has a lower limit that always holds; and the estimate has an upper one.
 */
static void payload_is_limited(void **state)
{
	enum { RATE = 8 << 20, MEMORY = 2 << 20, STATE = 1 << 20 };

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct vfm_migrate_opts opts = rig_opts();
		uint64_t bytes = STATE, least_us;
		struct rig r;

		rig_open(&r, "state=1M,features=7", i ? MEMORY : 0);
		rig_start(&r, 0);
		if (i == 2) {
			memset(vfm_memory_at(r.src_mem, 0, MEMORY / 2), 0x5a, MEMORY / 2);
			bytes += MEMORY / 2;
		}
		opts.rate = RATE;
		assert_int_equal(rig_migrate(&r, &opts), 0);
		least_us = (bytes - RATE / 20) * 1000000 / RATE;
		if (r.report.total_us < least_us)
			fail_msg("%d: %llu us, less than %llu", i,
				 (unsigned long long)r.report.total_us,
				 (unsigned long long)least_us);
		/* what the first pieces found in the bucket */
		assert_in_range(r.report.bytes_per_second, 1, RATE * 3 / 2);
		rig_check_moved(&r);
		rig_close(&r);
	}
}

/* Nothing was moved by which to measure: then it is the limit that is expected. */
static void a_stop_that_would_be_long(void **state)
{
	struct vfm_migrate_opts opts = rig_opts();
	struct rig r;

	(void)state;
	rig_open(&r, "state=4M,features=1", 0);
	rig_start(&r, 0);
	opts.max_downtime_ms = 100;
	opts.rate = 8 << 20;
	assert_int_equal(rig_migrate(&r, &opts), -EDQUOT);
	rig_check_back(&r);
	rig_close(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rate_is_kept),   cmocka_unit_test(no_burst_is_long),
		cmocka_unit_test(without_a_limit),    cmocka_unit_test(what_left_is_counted),
		cmocka_unit_test(payload_is_limited), cmocka_unit_test(a_stop_that_would_be_long),
	};

	return RUN_TESTS(tests);
}
