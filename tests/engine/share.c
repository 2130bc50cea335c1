// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Time that is shared: it adds up to that in which somebody was at work, whatever the overlap. */

#include "test.h"

#include "engine/share.h"
#include "random.h"

#define SECOND UINT64_C(1000000000)
#define WORKERS 16

static void one_alone(void **state)
{
	struct vfm_share s = { 0 };
	double begun = vfm_share_begin(&s, 5 * SECOND);

	(void)state;
	assert_int_equal(vfm_share_end(&s, begun, 7 * SECOND), 2 * SECOND);
	/* Nobody was at work for a while. */
	begun = vfm_share_begin(&s, 100 * SECOND);
	assert_int_equal(vfm_share_end(&s, begun, 101 * SECOND), SECOND);
	begun = vfm_share_begin(&s, 101 * SECOND);
	assert_int_equal(vfm_share_end(&s, begun, 101 * SECOND), 0);
}

/* The second comes after two seconds and stays for two: they have one each of the common ones. */
static void two_that_overlap(void **state)
{
	struct vfm_share s = { 0 };
	double first = vfm_share_begin(&s, 10 * SECOND);
	double second = vfm_share_begin(&s, 12 * SECOND);

	(void)state;
	assert_int_equal(vfm_share_end(&s, first, 14 * SECOND), 3 * SECOND);
	assert_int_equal(vfm_share_end(&s, second, 15 * SECOND), 2 * SECOND);
}

/* A clock that goes back, as that of another core may seem to, takes nothing away. */
static void a_clock_that_goes_back(void **state)
{
	struct vfm_share s = { 0 };
	double begun = vfm_share_begin(&s, 10);

	(void)state;
	vfm_share_begin(&s, 5);
	assert_int_equal(vfm_share_end(&s, begun, 14), 2);
}

static void it_adds_up(void **state)
{
	struct vfm_share s = { 0 };
	double begun[WORKERS];
	unsigned int at_work = 0, set = 0;
	uint64_t seed = 3, now = SECOND, busy = 0, sum = 0, ends = 0;

	(void)state;
	for (int i = 0; i < 100000 || set; i++) {
		unsigned int who = (unsigned int)test_random_below(&seed, WORKERS);
		uint64_t passed = test_random_below(&seed, 1000000);

		now += passed;
		busy += at_work ? passed : 0;
		if (set >> who & 1) {
			sum += vfm_share_end(&s, begun[who], now);
			set &= ~(1u << who);
			at_work--;
			ends++;
		} else if (i < 100000) {
			begun[who] = vfm_share_begin(&s, now);
			set |= 1u << who;
			at_work++;
		}
	}
	/* Each was rounded. */
	assert_in_range(sum, busy - ends, busy + ends);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_alone),
		cmocka_unit_test(two_that_overlap),
		cmocka_unit_test(a_clock_that_goes_back),
		cmocka_unit_test(it_adds_up),
	};

	return RUN_TESTS(tests);
}
