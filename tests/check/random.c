// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Three hundred healthy devices with parameters by chance have no findings. A machine that
 * is slow tries fewer of them, and says how many: VFMIG_CHECK_SECONDS is how long they may
 * take together, VFMIG_CHECK_SEED makes others.
 */

#include "test.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vfmig/vfmig.h>

#include "base/util.h"

#define SETS 300
#define SECONDS 60

/* A run of the checker waits most of its time. */
#define PROCESSES 6

/* What a process has done. */
struct tally {
	unsigned int sets, passed;
};

static bool failed;

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
	if (r->verdict <= VFM_VERDICT_SKIPPED)
		return;
	fprintf(stderr, "# %s: %s %s: %s\n#   %s\n", (char *)user, r->rule->name,
		vfm_verdict_name(r->verdict), r->evidence, r->nr_ops ? r->ops[r->nr_ops - 1] : "");
	failed = true;
}

/* Set number @n is the same whoever tries it. Returns how many rules passed. */
static unsigned int try_set(uint64_t seed, unsigned int n)
{
	char uri[256];
	struct vfm_check_opts opts = { .size = sizeof(opts),
				       .open = open_uri,
				       .seed = seed + n,
				       .quick = true,
				       .exercise = vfm_sim_exercise(VFM_SIM_DMA_MODEL),
				       .result = result,
				       .user = uri };
	struct vfm_check_summary sum;
	struct vfm_err err;

	random_state = seed + n * UINT64_C(0x9e3779b97f4a7c15);
	next_random();
	make_uri(uri, sizeof(uri));
	if (vfm_check(&opts, &sum, &err)) {
		fprintf(stderr, "# %s: %s\n", uri, err.msg);
		failed = true;
	}
	failed |= !sum.migrates;
	return sum.verdicts[VFM_VERDICT_PASSED];
}

/* Sets @first, @first + PROCESSES and so on, in a process of their own. */
static void try_sets(uint64_t seed, unsigned int first, uint64_t end, int out)
{
	struct tally tally = { 0, 0 };

	for (unsigned int n = first; n < SETS && vfm_now_ns() < end && !failed; n += PROCESSES) {
		tally.passed += try_set(seed, n);
		tally.sets++;
	}
	_exit(failed || write(out, &tally, sizeof(tally)) != sizeof(tally));
}

static void healthy_devices_have_no_findings(void **state)
{
	uint64_t seed = number_of("VFMIG_CHECK_SEED", 1);
	uint64_t end = vfm_now_ns() + number_of("VFMIG_CHECK_SECONDS", SECONDS) * 1000000000;
	struct tally all = { 0, 0 }, one;
	unsigned int good = 0;
	pid_t pids[PROCESSES];
	int fds[2], status;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	for (unsigned int i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0)
			try_sets(seed, i, end, fds[1]);
	}
	close(fds[1]);
	for (unsigned int i = 0; i < PROCESSES; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		good += WIFEXITED(status) && !WEXITSTATUS(status);
	}
	while (read(fds[0], &one, sizeof(one)) == sizeof(one)) {
		all.sets += one.sets;
		all.passed += one.passed;
	}
	close(fds[0]);
	print_message("# seed %" PRIu64 ": %u of %u sets of parameters, %u rules passed\n", seed,
		      all.sets, SETS, all.passed);
	assert_int_equal(good, PROCESSES);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(healthy_devices_have_no_findings),
	};

	return RUN_TESTS(tests);
}
