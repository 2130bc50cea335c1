// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A run: for each rule a process that opens the device, tries the rule and puts the device
 * back, while we wait for it with a watchdog. What that process finds out it writes
 * into memory that both share, operation by operation, so that it is known also of
 * one that was killed, by us or by the device in it.
 *
 * What surprises: a device in another process lives on from trial to trial, one in this
 * process is a new one each time. So every trial first brings it to RUNNING.
 */

#include "check/check.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/cleanup.h"
#include "base/util.h"
#include "check/needs.h"
#include "wrap/wrap.h"

#define TIMEOUT_MS 20000

/* A process that was killed is gone after that, or is stuck in the kernel for good. */
#define KILLED_MS 5000

/*
 * struct shared - what a trial's process tells
 * @result: without the rule, which is a pointer
 * @next: slot of the operation that comes next, counted without end
 * @opened: the device could be opened; else @err
 * @done: it has come to its end
 * @gone, @late: an operation said that the device is gone, or does not answer
 */
struct shared {
	struct vfm_check_result result;
	size_t next;
	bool opened;
	bool done;
	bool gone, late;
	struct vfm_err err;
};

/* Milliseconds that a rule has. */
static unsigned int time_of(const struct vfm_check_opts *opts)
{
	return opts->timeout_ms ? opts->timeout_ms : TIMEOUT_MS;
}

/* ---- in the trial's process ---------------------------------------------------- */

static void note_op(void *user, const struct vfm_trace_op *op)
{
	struct shared *s = user;
	char *slot = s->result.ops[s->next % VFM_CHECK_OPS];

	vfm_trace_words(op, slot, sizeof(s->result.ops[0]));
	if (!op->done)
		return;
	s->next++;
	s->gone |= op->ret == -ECONNRESET || op->ret == -ENOTCONN || op->ret == -EPIPE;
	s->late |= op->ret == -ETIMEDOUT;
}

static int open_device(struct vfm_trial *t, struct shared *s)
{
	const struct vfm_trace_sink sink = { .fn = note_op, .user = s };
	enum vfm_check_form form = t->rule->needs & VFM_NEED_V1 ? VFM_CHECK_V1 : VFM_CHECK_V2;
	struct vfm_device *dev;
	int ret = t->opts->open(t->opts->user, form, &dev, &s->err);

	if (ret)
		return ret;
	ret = vfm_trace_open(&t->dev, dev, &sink, &s->err);
	if (ret)
		vfm_device_close(dev);
	s->opened = !ret;
	return ret;
}

/* A state that a trial before this one, or another user, has left. */
static int bring_to_running(struct vfm_trial *t)
{
	enum vfm_state state;
	struct vfm_err err;

	if (!t->migration)
		return 0;
	if (vfm_device_get_state(t->dev, &state, &err))
		return vfm_trial_blocked(t, &err);
	if (state == VFM_STATE_RUNNING)
		return 0;
	if (!vfm_device_set_state(t->dev, VFM_STATE_RUNNING, &err))
		return 0;
	return vfm_trial_reset(t);
}

static int begin_exercise(struct vfm_trial *t)
{
	struct vfm_err err;

	if (!vfm_needs_exercise(t->rule->needs))
		return 0;
	if (t->opts->exercise->begin(t->dev, &t->exercise, &err))
		return vfm_trial_blocked(t, &err);
	return 0;
}

/* The verdict stands; what fails here the next trial will see. */
static void put_back(struct vfm_trial *t)
{
	enum vfm_state state;

	if (t->exercise)
		t->opts->exercise->end(t->exercise);
	if (!t->migration ||
	    (!vfm_device_get_state(t->dev, &state, NULL) && state == VFM_STATE_RUNNING))
		return;
	if (vfm_device_set_state(t->dev, VFM_STATE_RUNNING, NULL) && vfm_device_reset(t->dev, NULL))
		return;
}

/* A program may have handlers that go on somewhere else; here a crash is an end. */
static void die_of_crashes(void)
{
	static const int crashes[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };

	for (size_t i = 0; i < VFM_ARRAY_SIZE(crashes); i++)
		signal(crashes[i], SIG_DFL);
}

static void try_rule(const struct vfm_check_opts *opts, const struct vfm_rule *rule,
		     struct shared *s)
{
	struct vfm_trial t = { .opts = opts,
			       .rule = rule,
			       .seed = vfm_checksum(rule->is.name, strlen(rule->is.name),
						    opts->seed),
			       .late_ns = vfm_now_ns() + (uint64_t)time_of(opts) * 500000,
			       .result = &s->result };

	if (open_device(&t, s))
		return;
	if (!vfm_needs_look(&t) && !bring_to_running(&t) && !begin_exercise(&t)) {
		rule->run(&t);
		put_back(&t);
	}
	vfm_device_close(t.dev);
	s->done = true;
}

/* ---- in the process that waits --------------------------------------------------- */

/* When the child has ended: its end of the pipe is closed. false: it has not, in time. */
static bool ended(int fd, unsigned int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t end = vfm_now_ns() + (uint64_t)ms * 1000000;

	for (;;) {
		uint64_t now = vfm_now_ns();
		int left = now < end ? (int)((end - now) / 1000000 + 1) : 0;
		int n = poll(&p, 1, left);

		if (n > 0)
			return true;
		if (!left || (n < 0 && errno != EINTR))
			return false;
	}
}

static void set_evidence(struct shared *s, enum vfm_verdict verdict, const char *text)
{
	s->result.verdict = verdict;
	snprintf(s->result.evidence, sizeof(s->result.evidence), "%s", text);
}

/* What a process that did not come to its end says by how it ended. */
static void judge_death(struct shared *s, int status, bool killed, unsigned int timeout_ms)
{
	char text[VFM_CHECK_TEXT];

	if (killed) {
		snprintf(text, sizeof(text), "it did not come back within %u ms", timeout_ms);
		set_evidence(s, VFM_VERDICT_HUNG, text);
	} else if (!s->done && s->opened) {
		snprintf(text, sizeof(text), "the process of the device was ended by signal %d, %s",
			 WIFSIGNALED(status) ? WTERMSIG(status) : 0,
			 WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "or exited");
		set_evidence(s, VFM_VERDICT_CRASHED, text);
	} else if (s->gone) {
		set_evidence(s, VFM_VERDICT_CRASHED, "the device has gone away");
	} else if (s->late) {
		set_evidence(s, VFM_VERDICT_HUNG, "the device does not answer");
	}
}

/* Oldest first; what a process wrote that may have gone wild has an end. */
static void order_ops(struct vfm_check_result *r, const struct shared *s)
{
	/* One that began and did not end stands in the slot after the last. */
	bool open_end = s->result.ops[s->next % VFM_CHECK_OPS][0] && r->verdict >= VFM_VERDICT_HUNG;
	size_t count = VFM_MIN(s->next + open_end, VFM_CHECK_OPS);
	size_t first = s->next + open_end - count;

	r->nr_ops = count;
	for (size_t i = 0; i < count; i++) {
		memcpy(r->ops[i], s->result.ops[(first + i) % VFM_CHECK_OPS], sizeof(r->ops[i]));
		r->ops[i][sizeof(r->ops[i]) - 1] = '\0';
	}
}

static int run_child(const struct vfm_check_opts *opts, const struct vfm_rule *rule,
		     struct shared *s, struct vfm_err *err)
{
	unsigned int timeout_ms = time_of(opts);
	vfm_auto_fd int reader = -1;
	int fds[2], status = 0;
	bool killed = false;
	pid_t child;

	if (pipe2(fds, O_CLOEXEC))
		return vfm_fail(err, -errno, "pipe: %s", strerror(errno));
	reader = fds[0];
	child = fork();
	if (child == 0) {
		die_of_crashes();
		try_rule(opts, rule, s);
		_exit(0);
	}
	close(fds[1]);
	if (child < 0)
		return vfm_fail(err, -errno, "fork: %s", strerror(errno));
	if (!ended(reader, timeout_ms)) {
		killed = true;
		kill(child, SIGKILL);
		if (!ended(reader, KILLED_MS)) {
			set_evidence(s, VFM_VERDICT_HUNG, "it is stuck, and cannot be killed");
			return -EDEADLK;
		}
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	judge_death(s, status, killed, timeout_ms);
	return 0;
}

/* One trial. -EDEADLK: its process cannot be ended. */
static int run_rule(const struct vfm_check_opts *opts, const struct vfm_rule *rule,
		    struct shared *s, struct vfm_check_result *result, struct vfm_err *err)
{
	uint64_t begin = vfm_now_ns();
	int ret;

	memset(s, 0, sizeof(*s));
	ret = run_child(opts, rule, s, err);
	*result = s->result;
	result->rule = &rule->is;
	result->us = (vfm_now_ns() - begin) / 1000;
	result->evidence[sizeof(result->evidence) - 1] = '\0';
	order_ops(result, s);
	return ret;
}

static void count(struct vfm_check_summary *sum, const struct vfm_check_result *r)
{
	sum->verdicts[r->verdict]++;
	if (r->verdict > VFM_VERDICT_SKIPPED)
		sum->failed[r->rule->severity]++;
}

/* @opened: it could be opened once, so that not to be able to is a finding. */
static int try_all(const struct vfm_check_opts *opts, struct shared *s,
		   struct vfm_check_summary *sum, struct vfm_err *err)
{
	const struct vfm_rule *rule;
	bool opened = false, found = false;

	for (size_t i = 0; (rule = vfm_rule_at(i)) && !sum->lost; i++) {
		struct vfm_check_result result;
		int ret;

		if (opts->rules && fnmatch(opts->rules, rule->is.name, 0))
			continue;
		found = true;
		ret = run_rule(opts, rule, s, &result, err);
		if (ret && ret != -EDEADLK)
			return ret;
		if (!s->opened && !ret && result.verdict < VFM_VERDICT_HUNG) {
			sum->lost = opened;
			if (!opened)
				return vfm_fail(err, s->err.code ? s->err.code : -EIO, "%s",
						s->err.msg);
			continue;
		}
		opened = true;
		sum->lost |= ret == -EDEADLK;
		count(sum, &result);
		if (opts->result)
			opts->result(opts->user, &result);
	}
	return found ? 0 : vfm_fail(err, -ENOENT, "no rule has the name %s", opts->rules);
}

VFM_API int vfm_check(const struct vfm_check_opts *opts, struct vfm_check_summary *summary,
		      struct vfm_err *err)
{
	struct shared *s;
	int ret;

	memset(summary, 0, sizeof(*summary));
	if (opts->size < sizeof(*opts) || !opts->open)
		return vfm_fail(err, -EINVAL, "check options of %zu bytes, or without open",
				opts->size);
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED)
		return vfm_fail(err, -errno, "no memory for a check");
	ret = try_all(opts, s, summary, err);
	munmap(s, sizeof(*s));
	return ret;
}
