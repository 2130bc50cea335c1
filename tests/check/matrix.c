// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Every bug against every rule. A bug is found by the rule that is about it, and by no
 * rule that has nothing to do with it; a healthy device is found fault with by none.
 *
 * Much of the time nothing is done but to wait that something does not happen, so the
 * bugs are shared among several processes.
 */

#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vfmig/vfmig.h>

#include "base/util.h"
#include "check/check.h"
#include "wrap/wrap.h"

#define TIMEOUT_MS 10000
#define PROCESSES 4

/* Several chunks, and a section of which a part can be mapped: all there is to v1. */
#define V1 "v1,data=sparse,data-size=32K+"

/* One run: which device, and what is expected of it. */
struct matrix_run {
	char uri[256];
	const struct vfm_bug *bug; /* NULL: healthy */
	bool found;		   /* by the rule that is about it */
	struct vfm_check_summary sum;
};

/*
 * struct totals - of a process
 * @cells: rules that were tried
 * @found: bugs that were
 * @wrong: what must not be: all of it is told, for one defect shows in many cells
 */
struct totals {
	unsigned int cells, found, wrong;
};
static struct totals *sum; /* of this process */

static int open_uri(void *user, enum vfm_check_form form, struct vfm_device **out,
		    struct vfm_err *err)
{
	const struct matrix_run *run = user;
	char raw[300];

	snprintf(raw, sizeof(raw), "%s%s", form == VFM_CHECK_V1 ? "raw+" : "", run->uri);
	return vfm_open(out, raw, err);
}

static bool expected(const struct vfm_bug *bug, const char *rule)
{
	for (size_t i = 0; bug && i < VFM_BUG_RULES && bug->rules[i]; i++)
		if (!strcmp(bug->rules[i], rule))
			return true;
	return false;
}

static void look(void *user, const struct vfm_check_result *r)
{
	struct matrix_run *run = user;

	sum->cells++;
	if (r->verdict <= VFM_VERDICT_SKIPPED)
		return;
	if (run->bug && !strcmp(run->bug->rules[0], r->rule->name))
		run->found = true;
	else if (!expected(run->bug, r->rule->name) && ++sum->wrong)
		print_error("# %s: %s %s: %s\n#   %s\n", run->uri, r->rule->name,
			    vfm_verdict_name(r->verdict), r->evidence,
			    r->nr_ops ? r->ops[r->nr_ops - 1] : "");
}

static void check(struct matrix_run *run, const char *rules)
{
	struct vfm_check_opts opts = { .size = sizeof(opts),
				       .open = open_uri,
				       .rules = rules,
				       .seed = 1,
				       .quick = run->bug != NULL,
				       .timeout_ms = run->bug ? TIMEOUT_MS : 0,
				       .exercise = vfm_sim_exercise(VFM_SIM_DMA_MODEL),
				       .result = look,
				       .user = run };
	struct vfm_err err;

	if (vfm_check(&opts, &run->sum, &err) && ++sum->wrong)
		print_error("# %s: %s\n", run->uri, err.msg);
	else if (run->sum.lost && ++sum->wrong)
		print_error("# %s: %s\n", run->uri, run->sum.why.msg);
}

static void healthy_devices_pass(void **state)
{
	static const char *const faces[] = { "", "v1+", V1 };
	static const unsigned int features[] = { 1, 3, 5, 7 };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(features) * VFM_ARRAY_SIZE(faces); i++) {
		struct matrix_run run = { .bug = NULL };

		snprintf(run.uri, sizeof(run.uri), "%ssim:dma,state=256K,bar=64K,features=%u",
			 faces[i % VFM_ARRAY_SIZE(faces)], features[i / VFM_ARRAY_SIZE(faces)]);
		check(&run, NULL);
		assert_true(run.sum.verdicts[VFM_VERDICT_PASSED] > 0);
	}
	assert_int_equal(sum->wrong, 0);
}

/* The device has what the bug needs, and is small: there are many of these. */
static void try_bug(const struct vfm_bug *bug)
{
	struct matrix_run run = { .bug = bug };

	snprintf(run.uri, sizeof(run.uri),
		 "fault,bug=%s+%ssim:dma,state=64K,initial=16K,bar=64K,features=7", bug->is.name,
		 bug->v1 ? V1 : "");
	check(&run, NULL);
	sum->found += run.found;
	if (!run.found && ++sum->wrong)
		print_error("# %s is not found by %s\n", bug->is.name, bug->rules[0]);
}

static pid_t try_bugs(struct totals *totals, size_t first)
{
	const struct vfm_bug *bug;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid)
		return pid;
	sum = totals;
	for (size_t i = first; (bug = vfm_bug_at(i)); i += PROCESSES)
		try_bug(bug);
	fflush(NULL);
	_exit(0);
}

static void every_bug_is_found(void **state)
{
	size_t size = PROCESSES * sizeof(struct totals);
	struct totals *all =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[PROCESSES];

	(void)state;
	assert_true(all != MAP_FAILED);
	for (size_t i = 0; i < PROCESSES; i++)
		pids[i] = try_bugs(&all[i], i);
	for (size_t i = 0; i < PROCESSES; i++) {
		int status;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
		sum->cells += all[i].cells;
		sum->found += all[i].found;
		sum->wrong += all[i].wrong;
	}
	munmap(all, size);
	assert_int_equal(sum->wrong, 0);
}

static bool has_bug(const char *rule)
{
	const struct vfm_bug *bug;

	for (size_t i = 0; (bug = vfm_bug_at(i)); i++)
		if (!strcmp(bug->rules[0], rule))
			return true;
	return false;
}

/* A rule that nothing can break says nothing. */
static void every_rule_that_must_hold_can_fail(void **state)
{
	const struct vfm_check_rule *rule;
	unsigned int must = 0;

	(void)state;
	for (size_t i = 0; (rule = vfm_check_rule_at(i)); i++) {
		if (rule->severity != VFM_SEVERITY_MUST)
			continue;
		must++;
		if (!has_bug(rule->name))
			fail_msg("no bug breaks %s", rule->name);
	}
	print_message("# %u rules that must hold, %u bugs found, %u cells\n", must, sum->found,
		      sum->cells);
}

int main(void)
{
	static struct totals totals;
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(healthy_devices_pass),
		cmocka_unit_test(every_bug_is_found),
		cmocka_unit_test(every_rule_that_must_hold_can_fail),
	};

	sum = &totals;
	return RUN_TESTS(tests);
}
