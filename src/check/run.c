// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A run: a process for each rule (watch.c, child.c), and what is made of how it ended. A
 * process that had no end of its own is a finding about the rule that was tried in it.
 * The run goes on as long as the device can be opened and brought to RUNNING.
 */

#include "check/child.h"

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/util.h"

/* One run of vfm_check(). */
struct run {
	const struct vfm_check_opts *opts;
	struct vfm_check_summary *sum;
	struct vfm_shared *s;
	bool opened;	  /* once, so that not to be able to is a finding */
	bool migrates[2]; /* it has said so, by enum vfm_check_form */
};

/* ---- one trial ------------------------------------------------------------------ */

static void judge(struct vfm_check_result *r, enum vfm_verdict verdict, const char *fmt, ...)
	VFM_PRINTF(3, 4);

static void judge(struct vfm_check_result *r, enum vfm_verdict verdict, const char *fmt, ...)
{
	va_list ap;

	r->verdict = verdict;
	va_start(ap, fmt);
	vsnprintf(r->evidence, sizeof(r->evidence), fmt, ap);
	va_end(ap);
}

/* It ended before it had come to a verdict. */
static void judge_death(struct vfm_check_result *r, const char *while_text, int status)
{
	if (WIFSIGNALED(status))
		judge(r, VFM_VERDICT_CRASHED,
		      "%sthe process of the device was ended by signal %d, %s", while_text,
		      WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		judge(r, VFM_VERDICT_CRASHED,
		      "%sthe process of the device ended itself, with status %d", while_text,
		      WEXITSTATUS(status));
}

/* A verdict of failure stands, whatever comes after. */
static void judge_end(const struct run *run, struct vfm_check_result *r, enum vfm_end end,
		      int status)
{
	const struct vfm_shared *s = run->s;
	bool over = s->stage == VFM_STAGE_NOT_OPENED || s->stage == VFM_STAGE_DONE;
	const char *while_text = s->stage == VFM_STAGE_OPENING ? "while it was opened, " : "";

	if (r->verdict == VFM_VERDICT_FAILED)
		return;
	if (end == VFM_END_STUCK)
		judge(r, VFM_VERDICT_HUNG, "it is stuck, and cannot be killed");
	else if (end == VFM_END_TIME)
		judge(r, VFM_VERDICT_HUNG, "%sit did not come back within %u ms", while_text,
		      vfm_watch_timeout_ms(run->opts));
	else if (end == VFM_END_MEMORY)
		judge(r, VFM_VERDICT_CRASHED, "%sit took more than %" PRIu64 "M of memory",
		      while_text, vfm_watch_memory(run->opts) >> 20);
	else if (!over)
		judge_death(r, while_text, status);
	else if (s->gone)
		judge(r, VFM_VERDICT_CRASHED, "the device has gone away");
	else if (s->late)
		judge(r, VFM_VERDICT_HUNG, "the device does not answer");
	else if ((unsigned int)r->verdict > VFM_VERDICT_CRASHED)
		judge(r, VFM_VERDICT_CRASHED, "the device wrote where it must not");
}

/* Oldest first; what a process wrote that may have gone wild has an end. */
static void order_ops(struct vfm_check_result *r, const struct vfm_shared *s)
{
	size_t count = VFM_MIN(s->next, VFM_CHECK_OPS);
	size_t first = s->next - count;

	r->nr_ops = count;
	for (size_t i = 0; i < count; i++) {
		memcpy(r->ops[i], s->result.ops[(first + i) % VFM_CHECK_OPS], sizeof(r->ops[i]));
		r->ops[i][sizeof(r->ops[i]) - 1] = '\0';
	}
}

/* Return: an enum vfm_end, or an error. */
static int try_one(const struct run *run, const struct vfm_rule *rule,
		   struct vfm_check_result *result, struct vfm_err *err)
{
	uint64_t begin = vfm_now_ns();
	int status = 0, end;

	memset(run->s, 0, sizeof(*run->s));
	end = vfm_watch(run->opts, rule, run->s, &status, err);
	if (end < 0)
		return end;
	*result = run->s->result;
	result->rule = &rule->is;
	result->us = (vfm_now_ns() - begin) / 1000;
	result->evidence[sizeof(result->evidence) - 1] = '\0';
	judge_end(run, result, (enum vfm_end)end, status);
	order_ops(result, run->s);
	return end;
}

/* ---- all of them ------------------------------------------------------------------ */

static void add_to_sum(struct vfm_check_summary *sum, const struct vfm_check_result *r)
{
	sum->verdicts[r->verdict]++;
	if (r->verdict > VFM_VERDICT_SKIPPED)
		sum->failed[r->rule->severity]++;
}

/* It cannot be opened: an error the first time, the end of the run later. */
static int not_opened(struct run *run, struct vfm_err *err)
{
	struct vfm_err *why = &run->s->err;

	why->msg[sizeof(why->msg) - 1] = '\0';
	if (!run->opened)
		return vfm_fail(err, why->code < 0 ? why->code : -EIO, "%s", why->msg);
	run->sum->lost = true;
	vfm_fail(&run->sum->why, why->code, "it could not be opened any more: %s", why->msg);
	return 0;
}

/* What was found before a verdict is known of the rule is found about the device. */
static bool is_lost(const struct run *run, int end)
{
	return end == VFM_END_STUCK || run->s->stage == VFM_STAGE_OPENING || run->s->unready;
}

/* It is not fit, and all that is left would be skipped. */
static bool has_changed_its_mind(const struct run *run, enum vfm_check_form form)
{
	return run->migrates[form] && !run->s->migrates && run->s->stage == VFM_STAGE_DONE;
}

static enum vfm_check_form form_of(const struct vfm_rule *rule)
{
	return rule->needs & VFM_NEED_V1 ? VFM_CHECK_V1 : VFM_CHECK_V2;
}

static void lose(struct run *run, const struct vfm_check_result *result)
{
	struct vfm_err *why = &run->s->err;

	run->sum->lost = true;
	why->msg[sizeof(why->msg) - 1] = '\0';
	if (run->s->unready)
		vfm_fail(&run->sum->why, why->code, "it cannot be brought to RUNNING: %s",
			 why->msg);
	else
		vfm_fail(&run->sum->why, -EIO, "%s", result->evidence);
}

static int run_rule(struct run *run, const struct vfm_rule *rule, struct vfm_err *err)
{
	struct vfm_check_result result;
	int end = try_one(run, rule, &result, err);

	if (end < 0)
		return end;
	if (run->s->stage == VFM_STAGE_NOT_OPENED && end == VFM_END_SELF)
		return not_opened(run, err);
	run->opened = true;
	run->sum->migrates |= run->s->migrates;
	add_to_sum(run->sum, &result);
	if (is_lost(run, end)) {
		lose(run, &result);
	} else if (has_changed_its_mind(run, form_of(rule))) {
		run->sum->lost = true;
		vfm_fail(&run->sum->why, -EIO, "it says no more that it can migrate");
	}
	run->migrates[form_of(rule)] |= run->s->migrates;
	if (run->opts->result)
		run->opts->result(run->opts->user, &result);
	return 0;
}

static bool is_wanted(const struct vfm_check_opts *opts, const struct vfm_rule *rule)
{
	return !opts->rules || !fnmatch(opts->rules, rule->is.name, 0);
}

static unsigned int count_wanted(const struct vfm_check_opts *opts)
{
	const struct vfm_rule *rule;
	unsigned int n = 0;

	for (size_t i = 0; (rule = vfm_rule_at(i)); i++)
		n += is_wanted(opts, rule);
	return n;
}

static int try_all(struct run *run, struct vfm_err *err)
{
	const struct vfm_check_opts *opts = run->opts;
	const struct vfm_rule *rule;
	unsigned int wanted = count_wanted(opts), tried = 0;
	int ret = 0;

	if (!wanted)
		return vfm_fail(err, -ENOENT, "no rule has the name %s", opts->rules);
	for (size_t i = 0; !ret && !run->sum->lost && (rule = vfm_rule_at(i)); i++) {
		if (!is_wanted(opts, rule))
			continue;
		if (opts->begin)
			opts->begin(opts->user, &rule->is, tried, wanted);
		ret = run_rule(run, rule, err);
		tried += !ret;
	}
	for (size_t i = 0; i < VFM_ARRAY_SIZE(run->sum->verdicts); i++)
		wanted -= run->sum->verdicts[i];
	run->sum->left = wanted;
	return ret;
}

VFM_API int vfm_check(const struct vfm_check_opts *opts, struct vfm_check_summary *summary,
		      struct vfm_err *err)
{
	struct run run = { .opts = opts, .sum = summary };
	int ret;

	memset(summary, 0, sizeof(*summary));
	if (opts->size < sizeof(*opts) || !opts->open)
		return vfm_fail(err, -EINVAL, "check options of %zu bytes, or without open",
				opts->size);
	run.s = mmap(NULL, sizeof(*run.s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (run.s == MAP_FAILED)
		return vfm_fail(err, -errno, "no memory for a check");
	ret = try_all(&run, err);
	munmap(run.s, sizeof(*run.s));
	return ret;
}
