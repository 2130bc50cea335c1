// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A run survives every device: one that hangs, crashes, ends the process, closes what
 * it does not own, floods memory, prints, leaves processes behind; a server that dies or
 * says nothing or nonsense. What is found says what happened, after which operation.
 */

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vfmig/vfmig.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "wild.h"

/* A rule that goes to every state, STOP among them, and one that a device like this is not for. */
#define RULE "v2.arc.out-of-range-refused"

/* Enough for what ends; what does not, is ended after that. */
#define SHORT_MS 1500
#define LONG_MS 60000

struct seen {
	struct vfm_check_opts opts;
	enum wild how;
	bool at_open;
	const char *uri; /* instead */
	int cancel_at_begin;
	unsigned int begun, results;
	struct vfm_check_result last;
	struct vfm_check_summary sum;
	struct vfm_err err;
};

static int open_it(void *user, enum vfm_check_form form, struct vfm_device **out,
		   struct vfm_err *err)
{
	const struct seen *seen = user;

	(void)form;
	return seen->uri ? vfm_open(out, seen->uri, err)
			 : wild_open(out, seen->how, seen->at_open, err);
}

static void begin(void *user, const struct vfm_check_rule *rule, unsigned int before,
		  unsigned int all)
{
	struct seen *seen = user;

	assert_non_null(rule->name);
	assert_int_equal(before, seen->begun);
	assert_true(before < all);
	seen->begun++;
	if (seen->cancel_at_begin)
		assert_int_equal(eventfd_write(seen->opts.cancel_fd, 1), 0);
}

static void result(void *user, const struct vfm_check_result *r)
{
	struct seen *seen = user;

	seen->last = *r;
	seen->results++;
}

static struct seen seen_of(enum wild how, unsigned int timeout_ms)
{
	return (struct seen){ .how = how,
			      .opts = { .size = sizeof(struct vfm_check_opts),
					.open = open_it,
					.rules = RULE,
					.seed = 1,
					.timeout_ms = timeout_ms,
					.begin = begin,
					.result = result } };
}

static int check(struct seen *seen)
{
	seen->opts.user = seen;
	return vfm_check(&seen->opts, &seen->sum, &seen->err);
}

static const char *last_op(const struct seen *seen)
{
	assert_true(seen->last.nr_ops > 0);
	return seen->last.ops[seen->last.nr_ops - 1];
}

/* ---- devices in the process of the trial ---------------------------------------- */

static const struct {
	enum wild how;
	unsigned int timeout_ms;
	enum vfm_verdict verdict;
	const char *evidence;
} deeds[] = {
	{ WILD_ABORT, LONG_MS, VFM_VERDICT_CRASHED, "ended by signal 6, Aborted" },
	{ WILD_EXIT, LONG_MS, VFM_VERDICT_CRASHED, "ended itself, with status" },
	{ WILD_LOOP, SHORT_MS, VFM_VERDICT_HUNG, "did not come back within 1500 ms" },
	{ WILD_STOP, SHORT_MS, VFM_VERDICT_HUNG, "did not come back within 1500 ms" },
	{ WILD_DEAF, SHORT_MS, VFM_VERDICT_HUNG, "did not come back within 1500 ms" },
	{ WILD_FLOOD, LONG_MS, VFM_VERDICT_CRASHED, "took more than 256M of memory" },
	{ WILD_SEGV, LONG_MS, VFM_VERDICT_CRASHED, "ended by signal 11, Segmentation fault" },
};

static void a_wild_device_is_a_finding(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(deeds); i++) {
		struct seen seen = seen_of(deeds[i].how, deeds[i].timeout_ms);

		seen.opts.max_memory = UINT64_C(256) << 20;
		assert_int_equal(check(&seen), 0);
		assert_int_equal(seen.last.verdict, deeds[i].verdict);
		assert_non_null(strstr(seen.last.evidence, deeds[i].evidence));
		/* it began, and that is the last that is known of it */
		assert_string_equal(last_op(&seen), "set_state(STOP 1) ...");
		assert_false(seen.sum.lost);
		assert_int_equal(seen.sum.failed[VFM_SEVERITY_MUST], 1);
	}
}

/* Another rule would meet the same: it is the end of the run, but no error of it. */
static void one_that_cannot_even_be_opened_is_lost(void **state)
{
	static const enum wild hows[] = { WILD_ABORT, WILD_LOOP };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(hows); i++) {
		struct seen seen = seen_of(hows[i], SHORT_MS);

		seen.at_open = true;
		seen.opts.rules = NULL;
		assert_int_equal(check(&seen), 0);
		assert_int_equal(seen.results, 1);
		assert_non_null(strstr(seen.last.evidence, "while it was opened, "));
		assert_string_equal(last_op(&seen), "open() ...");
		assert_true(seen.sum.lost);
		assert_true(seen.sum.left > 0);
		assert_non_null(strstr(seen.sum.why.msg, "while it was opened, "));
	}
}

/* What it prints goes to standard error: standard output is ours. */
static void what_a_device_prints_is_not_in_a_report(void **state)
{
	struct seen seen = seen_of(WILD_PRINT, LONG_MS);
	int fds[2], out = dup(STDOUT_FILENO);
	char text[64];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	fflush(stdout);
	dup2(fds[1], STDOUT_FILENO);
	/* waits in our buffer, which the process of the trial has a copy of */
	printf("ours\n");
	seen.how = WILD_PRINT;
	assert_int_equal(check(&seen), 0);
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	assert_int_equal(seen.last.verdict, VFM_VERDICT_PASSED);
	assert_int_equal(read(fds[0], text, sizeof(text)), 5);
	assert_memory_equal(text, "ours\n", 5);
	close(fds[0]);
	close(fds[1]);
	close(out);
}

/* The other end of a pipe is closed when the last process that has it is gone. */
static void wait_for_hangup(int fd)
{
	struct pollfd p = { .fd = fd, .events = 0 };

	assert_int_equal(poll(&p, 1, LONG_MS), 1);
	assert_true(p.revents & POLLHUP);
}

static void nothing_is_left_behind(void **state)
{
	struct seen seen = seen_of(WILD_LEAVE, LONG_MS);
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	wild_fd = fds[1];
	assert_int_equal(check(&seen), 0);
	wild_fd = -1;
	close(fds[1]);
	wait_for_hangup(fds[0]);
	close(fds[0]);
}

/* The whole run is a process that is killed, and so cannot end anything by itself. */
static void the_trial_dies_with_its_caller(void **state)
{
	int fds[2];
	pid_t caller;
	char byte;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	caller = fork();
	if (caller == 0) {
		struct seen seen = seen_of(WILD_LOOP, LONG_MS);

		seen.cancel_at_begin = 0;
		assert_int_equal(write(fds[1], "x", 1), 1);
		_exit(check(&seen) ? 1 : 0);
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	kill(caller, SIGKILL);
	waitpid(caller, NULL, 0);
	wait_for_hangup(fds[0]);
	close(fds[0]);
}

static void a_run_can_be_cancelled(void **state)
{
	struct seen seen = seen_of(WILD_LOOP, 10 * LONG_MS);

	(void)state;
	seen.opts.rules = NULL;
	seen.cancel_at_begin = 1;
	seen.opts.cancel_fd = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(check(&seen), -ECANCELED);
	assert_int_equal(seen.begun, 1);
	assert_int_equal(seen.results, 0);
	assert_true(seen.sum.left > 0);
	close(seen.opts.cancel_fd);
}

/* ---- devices behind a socket ------------------------------------------------------ */

static char folder[] = "/tmp/vfmig-check-XXXXXX";
static char path[64], uri[96];

static pid_t serve(enum wild how)
{
	struct vfm_server_opts opts = VFM_SERVER_OPTS(.path = path);
	int ready[2];
	pid_t pid;
	char byte;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		static const struct rlimit none = { 0, 0 };
		struct vfm_server *server;
		struct vfm_device *dev;

		setrlimit(RLIMIT_CORE, &none);
		if (wild_open(&dev, how, false, NULL) || vfm_server_new(&server, dev, &opts, NULL))
			_exit(1);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		_exit(vfm_server_run(server, -1, NULL) ? 1 : 0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void a_server_that_dies_ends_the_run(void **state)
{
	struct seen seen = seen_of(WILD_NOT, LONG_MS);
	pid_t pid = serve(WILD_ABORT);
	int status;

	(void)state;
	seen.uri = uri;
	seen.opts.rules = NULL;
	assert_int_equal(check(&seen), 0);
	waitpid(pid, &status, 0);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(seen.last.verdict, VFM_VERDICT_CRASHED);
	assert_string_equal(seen.last.evidence, "the device has gone away");
	assert_true(seen.sum.lost);
	assert_true(seen.sum.failed[VFM_SEVERITY_MUST] > 0);
	assert_non_null(strstr(seen.sum.why.msg, "it could not be opened any more"));
	unlink(path);
}

/* Its clients wait for an answer; ours has more patience than this rule. */
static void a_server_that_hangs_is_a_finding(void **state)
{
	struct seen seen = seen_of(WILD_NOT, SHORT_MS);
	pid_t pid = serve(WILD_LOOP);

	(void)state;
	seen.uri = uri;
	assert_int_equal(check(&seen), 0);
	assert_int_equal(seen.last.verdict, VFM_VERDICT_HUNG);
	assert_string_equal(last_op(&seen), "set_state(STOP 1) ...");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(path);
}

/* Someone who listens and is no server: answers with @len bytes, then closes, or not. */
static pid_t pretend(size_t len, bool closes)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pid_t pid;

	memcpy(addr.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(sock, 8), 0);
	pid = fork();
	if (pid == 0) {
		static uint8_t noise[4096];

		for (size_t i = 0; i < sizeof(noise); i++)
			noise[i] = (uint8_t)(i * 37 + 11);
		for (;;) {
			int fd = accept(sock, NULL, NULL);

			if (send(fd, noise, len, MSG_NOSIGNAL) < 0 || closes)
				close(fd);
		}
	}
	close(sock);
	return pid;
}

static void nonsense_on_the_wire_is_no_device(void **state)
{
	static const struct {
		size_t len;
		bool closes;
	} peers[] = { { 4096, true }, { 4096, false }, { 7, true }, { 0, true } };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(peers); i++) {
		struct seen seen = seen_of(WILD_NOT, LONG_MS);
		pid_t pid = pretend(peers[i].len, peers[i].closes);

		seen.uri = uri;
		assert_true(check(&seen) < 0);
		assert_true(seen.err.msg[0] != '\0');
		assert_int_equal(seen.results, 0);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		unlink(path);
	}
}

static void silence_on_the_wire_is_told(void **state)
{
	struct seen seen = seen_of(WILD_NOT, SHORT_MS);
	pid_t pid = pretend(0, false);

	(void)state;
	seen.uri = uri;
	assert_int_equal(check(&seen), 0);
	assert_int_equal(seen.last.verdict, VFM_VERDICT_HUNG);
	assert_string_equal(last_op(&seen), "open() ...");
	assert_true(seen.sum.lost);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(path);
}

/* ---- two threads ------------------------------------------------------------------- */

/*
 * The trial begins with a reset, the rule resets twice, and then from another thread, too. A reset
 * that finds the device busy is left to the thread that keeps it so: that one hangs, and the other
 * resets on and on.
 */
static int reset_hangs_at_the_end_of_a_call(void *priv, struct vfm_err *err)
{
	static unsigned int resets;

	while (resets == 3 && gettid() == getpid())
		pause();
	resets += resets < 3;
	return vfm_sim_find("dma")->reset(priv, err);
}

static int open_hanging(void *user, enum vfm_check_form form, struct vfm_device **out,
			struct vfm_err *err)
{
	static struct vfm_driver driver;

	(void)user;
	(void)form;
	driver = *vfm_sim_find("dma");
	driver.reset = reset_hangs_at_the_end_of_a_call;
	return vfm_device_from_driver(out, &driver, "state=64K,save-rate=4M", err);
}

static void a_call_that_hangs_is_told_whatever_another_thread_does(void **state)
{
	struct seen seen = seen_of(WILD_NOT, SHORT_MS);
	unsigned int hangs = 0, resets = 0;

	(void)state;
	seen.opts.open = open_hanging;
	seen.opts.rules = "v2.race.reset-during-read";
	assert_int_equal(check(&seen), 0);
	assert_int_equal(seen.last.verdict, VFM_VERDICT_HUNG);
	assert_int_equal(seen.last.nr_ops, VFM_CHECK_OPS);
	for (size_t i = 0; i < seen.last.nr_ops; i++) {
		bool is_reset = !strncmp(seen.last.ops[i], "reset()", 7);

		resets += is_reset;
		hangs += !is_reset && strstr(seen.last.ops[i], " ...");
	}
	assert_int_equal(hangs, 1);
	assert_int_equal(resets, VFM_CHECK_OPS - 1);
}

/* ---- where a trial begins ----------------------------------------------------------- */

/* A rule that looks and does nothing. */
#define LOOK "v2.discovery.legal-features"

static unsigned int count_ops(const struct seen *seen, const char *begin)
{
	unsigned int n = 0;

	for (size_t i = 0; i < seen->last.nr_ops; i++)
		n += !strncmp(seen->last.ops[i], begin, strlen(begin));
	return n;
}

/* One device for all trials: each has it fresh, whatever came before. */
static void a_trial_begins_with_a_reset(void **state)
{
	struct seen seen = seen_of(WILD_NOT, LONG_MS);
	pid_t pid = serve(WILD_NOT);

	(void)state;
	seen.uri = uri;
	seen.opts.rules = LOOK;
	assert_int_equal(check(&seen), 0);
	assert_int_equal(seen.last.verdict, VFM_VERDICT_PASSED);
	assert_int_equal(count_ops(&seen, "reset() = 0"), 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(path);
}

static int reset_fails(void *priv, struct vfm_err *err)
{
	(void)priv;
	return vfm_fail(err, -EIO, "the reset line is broken");
}

static int open_without_reset(void *user, enum vfm_check_form form, struct vfm_device **out,
			      struct vfm_err *err)
{
	static struct vfm_driver driver;

	(void)user;
	(void)form;
	driver = *vfm_sim_find("dma");
	driver.reset = reset_fails;
	return vfm_device_from_driver(out, &driver, "state=64K", err);
}

/* A reset that fails, and leaves the device in ERROR, is found by a rule about it, not by all. */
static void a_reset_that_fails_is_another_rules(void **state)
{
	static const struct {
		const char *rule;
		enum vfm_verdict verdict;
	} rules[] = { { LOOK, VFM_VERDICT_PASSED },
		      { "v2.discovery.reset-flag", VFM_VERDICT_FAILED } };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rules); i++) {
		struct seen seen = seen_of(WILD_NOT, LONG_MS);

		seen.opts.open = open_without_reset;
		seen.opts.rules = rules[i].rule;
		assert_int_equal(check(&seen), 0);
		assert_int_equal(seen.last.verdict, rules[i].verdict);
		assert_true(count_ops(&seen, "reset() = ") > 0);
		assert_false(seen.sum.lost);
	}
}

/* ---- devices that are stuck -------------------------------------------------------- */

/* As one that another user has left in the middle of an image. */
static int open_stuck(void *user, enum vfm_check_form form, struct vfm_device **out,
		      struct vfm_err *err)
{
	static struct vfm_driver driver;
	int ret;

	(void)user;
	(void)form;
	driver = *vfm_sim_find("dma");
	driver.reset = reset_fails;
	ret = vfm_device_from_driver(out, &driver, "state=64K", err);
	return ret ? ret : vfm_device_set_state(*out, VFM_STATE_RESUMING, err);
}

/* One that does not run again, and says of a reset that it was one. */
static int open_lying(void *user, enum vfm_check_form form, struct vfm_device **out,
		      struct vfm_err *err)
{
	int ret = vfm_open(out, "fault,fail=2:set_state+fault,bug=reset-keeps-state+sim:dma", err);

	(void)user;
	(void)form;
	return ret ? ret : vfm_device_set_state(*out, VFM_STATE_STOP, err);
}

static const struct {
	int (*open)(void *user, enum vfm_check_form form, struct vfm_device **out,
		    struct vfm_err *err);
	const char *why;
} stuck[] = {
	{ open_stuck, "the reset line is broken" },
	{ open_lying, "after a reset it is in STOP" },
};

static void a_stuck_device_is_not_fit(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(stuck); i++) {
		struct seen seen = seen_of(WILD_NOT, LONG_MS);

		seen.opts.open = stuck[i].open;
		seen.opts.rules = "v2.arc.*";
		assert_int_equal(check(&seen), 0);
		assert_int_equal(seen.results, 1);
		assert_int_equal(seen.last.verdict, VFM_VERDICT_SKIPPED);
		assert_true(seen.sum.migrates);
		assert_true(seen.sum.lost);
		assert_true(seen.sum.left > 0);
		assert_ptr_equal(strstr(seen.sum.why.msg, "it cannot be brought to RUNNING: "),
				 seen.sum.why.msg);
		assert_non_null(strstr(seen.sum.why.msg, stuck[i].why));
	}
}

/* ---- what else a run says --------------------------------------------------------- */

static void a_device_that_cannot_migrate_is_told_apart(void **state)
{
	static const struct {
		const char *uri;
		bool migrates;
	} devices[] = { { "sim:dma,state=64K", true }, { "sim:dma,state=64K,features=0", false } };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(devices); i++) {
		struct seen seen = seen_of(WILD_NOT, LONG_MS);

		seen.uri = devices[i].uri;
		assert_int_equal(check(&seen), 0);
		assert_int_equal(seen.sum.migrates, devices[i].migrates);
		assert_int_equal(seen.sum.left, 0);
	}
}

static void no_rule_of_that_name_is_an_error(void **state)
{
	struct seen seen = seen_of(WILD_NOT, LONG_MS);

	(void)state;
	seen.opts.rules = "v3.*";
	assert_int_equal(check(&seen), -ENOENT);
	assert_non_null(strstr(seen.err.msg, "v3.*"));
}

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/socket", folder);
	snprintf(uri, sizeof(uri), "vfio-user:%s", path);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wild_device_is_a_finding),
		cmocka_unit_test(one_that_cannot_even_be_opened_is_lost),
		cmocka_unit_test(what_a_device_prints_is_not_in_a_report),
		cmocka_unit_test(nothing_is_left_behind),
		cmocka_unit_test(the_trial_dies_with_its_caller),
		cmocka_unit_test(a_run_can_be_cancelled),
		cmocka_unit_test(a_server_that_dies_ends_the_run),
		cmocka_unit_test(a_server_that_hangs_is_a_finding),
		cmocka_unit_test(nonsense_on_the_wire_is_no_device),
		cmocka_unit_test(silence_on_the_wire_is_told),
		cmocka_unit_test(a_call_that_hangs_is_told_whatever_another_thread_does),
		cmocka_unit_test(a_trial_begins_with_a_reset),
		cmocka_unit_test(a_reset_that_fails_is_another_rules),
		cmocka_unit_test(a_stuck_device_is_not_fit),
		cmocka_unit_test(a_device_that_cannot_migrate_is_told_apart),
		cmocka_unit_test(no_rule_of_that_name_is_an_error),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
