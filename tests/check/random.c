// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Three hundred healthy devices with parameters by chance have no findings. A machine that
 * is slow tries fewer of them, and says how many: VFMIG_CHECK_SECONDS is how long they may
 * take together, VFMIG_CHECK_SEED makes others.
 */

#include "test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <vfmig/vfmig.h>

#include "base/util.h"

#define SETS 300
#define SECONDS 60

static uint64_t random_state;

static uint64_t next_random(void)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return random_state >> 33;
}

static uint64_t below(uint64_t n)
{
	return next_random() % n;
}

static uint64_t number_of(const char *name, uint64_t standard)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : standard;
}

/* Small, because there are many; some with one page, some that change all the time. */
static void make_uri(char *uri, size_t room)
{
	static const unsigned int features[] = { 1, 3, 5, 7 };
	uint64_t pages = below(8) ? 1 + below(32) : 1;

	snprintf(uri, room,
		 "%ssim:dma,state=%" PRIu64 "K,initial=%" PRIu64 "K,dirty=%" PRIu64
		 "K,features=%u,seed=%" PRIu64 ",bar=%" PRIu64 "K,vectors=%" PRIu64
		 ",arc-us=%" PRIu64,
		 below(3) ? "" : "v1+", pages * 4, (1 + below(pages)) * 4, below(2) * below(4096),
		 features[below(4)], next_random(), UINT64_C(8) << below(5), 1 + below(16),
		 below(4) ? 0 : below(300));
}

static int open_uri(void *user, enum vfm_check_form form, struct vfm_device **out,
		    struct vfm_err *err)
{
	char raw[300];

	snprintf(raw, sizeof(raw), "%s%s", form == VFM_CHECK_V1 ? "raw+" : "", (char *)user);
	return vfm_open(out, raw, err);
}

static void result(void *user, const struct vfm_check_result *r)
{
	if (r->verdict > VFM_VERDICT_SKIPPED)
		fail_msg("%s: %s %s: %s\n  %s", (char *)user, r->rule->name,
			 vfm_verdict_name(r->verdict), r->evidence,
			 r->nr_ops ? r->ops[r->nr_ops - 1] : "");
}

static void healthy_devices_have_no_findings(void **state)
{
	uint64_t seed = number_of("VFMIG_CHECK_SEED", 1);
	uint64_t end = vfm_now_ns() + number_of("VFMIG_CHECK_SECONDS", SECONDS) * 1000000000;
	unsigned int sets = 0, passed = 0;

	(void)state;
	random_state = seed;
	for (; sets < SETS && vfm_now_ns() < end; sets++) {
		char uri[256];
		struct vfm_check_opts opts = { .size = sizeof(opts),
					       .open = open_uri,
					       .seed = seed + sets,
					       .quick = true,
					       .exercise = vfm_sim_exercise(VFM_SIM_DMA_MODEL),
					       .result = result,
					       .user = uri };
		struct vfm_check_summary sum;
		struct vfm_err err;

		make_uri(uri, sizeof(uri));
		if (vfm_check(&opts, &sum, &err))
			fail_msg("%s: %s", uri, err.msg);
		assert_true(sum.migrates);
		passed += sum.verdicts[VFM_VERDICT_PASSED];
	}
	print_message("# seed %" PRIu64 ": %u of %u sets of parameters, %u rules passed\n", seed,
		      sets, SETS, passed);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(healthy_devices_have_no_findings),
	};

	return RUN_TESTS(tests);
}
