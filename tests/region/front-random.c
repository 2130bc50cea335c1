// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Random operations on a device with the migration region, each against a model; see
 * model.h. VFM_SEED=N runs one sequence alone, VFM_SEEDS=N so many.
 */

#include "test.h"

#include <stdlib.h>

#include "model.h"
#include "random.h"

#define SEEDS 3000u
#define STEPS 250u

static uint32_t pick(void *user, uint32_t below)
{
	uint64_t *seed = user;

	return (uint32_t)test_random_below(seed, below);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static void run(uint64_t seed)
{
	uint64_t random = seed * UINT64_C(0x9e3779b97f4a7c15);
	struct model *m = model_new(pick, &random);

	for (unsigned int i = 0; i < STEPS; i++)
		if (!model_step(m))
			fail_msg("VFM_SEED=%llu, step %u: %s", (unsigned long long)seed, i,
				 model_wrong(m));
	model_free(m);
}

static void random_operations(void **state)
{
	uint64_t first = setting("VFM_SEED", 1);
	uint64_t count = setting("VFM_SEEDS", getenv("VFM_SEED") ? 1 : SEEDS);

	(void)state;
	for (uint64_t i = 0; i < count; i++)
		run(first + i);
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(random_operations) };

	return RUN_TESTS(tests);
}
