// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The rules of v1 on a device behind a socket, which lives on from rule to rule: nothing is found
 * that is not found in process, each leaves the device RUNNING, and a bug is found there, too.
 */

#include "test.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vfmig/vfmig.h>

#include "base/util.h"
#include "check/check.h"
#include "check/v1_trial.h"

#define START_MS 20000
#define DEVICE "sim:dma,state=64K,initial=16K,bar=64K"

/* A process that shows a device until its end of the pipe is closed. */
struct wire {
	char path[64];
	pid_t pid;
	int stop_fd;
	const char *bug; /* rule that must find something; NULL: none does */
	unsigned int passed, skipped, found;
};

static void show(const char *uri, const struct vfm_server_opts *opts, int ready_fd, int stop_fd)
{
	struct vfm_server *server;
	struct vfm_device *dev;
	struct vfm_err err;

	if (vfm_open(&dev, uri, &err) || vfm_server_new(&server, dev, opts, &err)) {
		fprintf(stderr, "# %s\n", err.msg);
		return;
	}
	if (write(ready_fd, "\n", 1) == 1 && vfm_server_run(server, stop_fd, &err))
		fprintf(stderr, "# %s\n", err.msg);
	vfm_server_free(server);
	vfm_device_close(dev);
}

static void start(struct wire *w, const char *uri, struct vfm_server_opts opts)
{
	struct pollfd p = { .events = POLLIN };
	int ready[2], stop[2];
	char byte;

	snprintf(w->path, sizeof(w->path), "/tmp/vfmig-check-%d.sock", (int)getpid());
	opts.path = w->path;
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(stop), 0);
	w->pid = fork();
	assert_true(w->pid >= 0);
	if (!w->pid) {
		close(stop[1]);
		close(ready[0]);
		show(uri, &opts, ready[1], stop[0]);
		_exit(0);
	}
	close(ready[1]);
	close(stop[0]);
	w->stop_fd = stop[1];
	p.fd = ready[0];
	assert_int_equal(poll(&p, 1, START_MS), 1);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

static void stop(struct wire *w)
{
	int status;

	close(w->stop_fd);
	assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
	assert_int_equal(status, 0);
}

static int open_raw(void *user, enum vfm_check_form form, struct vfm_device **out,
		    struct vfm_err *err)
{
	const struct wire *w = user;
	char uri[96];

	assert_int_equal(form, VFM_CHECK_V1);
	snprintf(uri, sizeof(uri), "raw+vfio-user:%s", w->path);
	return vfm_open(out, uri, err);
}

/* What a rule has left. */
static void check_runs(struct wire *w, const char *rule)
{
	struct vfm_trial t = { .region = 9 };
	struct vfm_v1_state word;

	assert_int_equal(open_raw(w, VFM_CHECK_V1, &t.dev, NULL), 0);
	assert_int_equal(vfm_v1_get_word(&t, &word, NULL), 0);
	if (vfm_v1_bits(word) != VFM_V1_RUNNING)
		fail_msg("%s left it in %s", rule, vfm_v1_state_name(word));
	vfm_device_close(t.dev);
}

static void look(void *user, const struct vfm_check_result *r)
{
	struct wire *w = user;

	check_runs(w, r->rule->name);
	w->passed += r->verdict == VFM_VERDICT_PASSED;
	w->skipped += r->verdict == VFM_VERDICT_SKIPPED;
	if (r->verdict <= VFM_VERDICT_SKIPPED)
		return;
	w->found++;
	if (!w->bug || strcmp(w->bug, r->rule->name) != 0)
		fail_msg("%s %s: %s", r->rule->name, vfm_verdict_name(r->verdict), r->evidence);
}

static void check(struct wire *w)
{
	struct vfm_check_opts opts = { .size = sizeof(opts),
				       .open = open_raw,
				       .rules = "v1.*",
				       .seed = 1,
				       .quick = true,
				       .exercise = vfm_sim_exercise(VFM_SIM_DMA_MODEL),
				       .result = look,
				       .user = w };
	struct vfm_check_summary sum;

	assert_int_equal(vfm_check(&opts, &sum, NULL), 0);
	assert_false(sum.lost);
	stop(w);
}

static void healthy(enum vfm_face face, enum vfm_section section, bool no_extension,
		    unsigned int skipped)
{
	struct wire w = { .bug = NULL };

	start(&w, DEVICE,
	      VFM_SERVER_OPTS(.face = face, .section = section, .section_size = 32768,
			      .no_extension = no_extension));
	check(&w);
	assert_true(w.passed > 30);
	assert_int_equal(w.skipped, skipped);
}

static void all_of_it(void **state)
{
	(void)state;
	healthy(VFM_FACE_V1, VFM_SECTION_SPARSE, false, 0);
}

static void beside_v2(void **state)
{
	(void)state;
	healthy(VFM_FACE_BOTH, VFM_SECTION_MMAP, false, 0);
}

/* Of the five that are about mappings there is nothing to see. */
static void standard_messages(void **state)
{
	(void)state;
	healthy(VFM_FACE_V1, VFM_SECTION_TRAPPED, true, 5);
}

/* The device is one with a region; what is shown is as it is. */
static void bug_is_found(void **state)
{
	struct wire w = { .bug = "v1.save.goes-on" };

	(void)state;
	start(&w, "fault,bug=v1-staged-lost+v1,data=sparse,data-size=32K+" DEVICE,
	      VFM_SERVER_OPTS(.face = VFM_FACE_V2));
	check(&w);
	assert_int_equal(w.found, 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_of_it),
		cmocka_unit_test(beside_v2),
		cmocka_unit_test(standard_messages),
		cmocka_unit_test(bug_is_found),
	};

	return RUN_TESTS(tests);
}
