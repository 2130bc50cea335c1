// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Is this device fit to migrate? A run tries rules on a device, each in a process of
 * its own, so that a device that hangs or crashes is a finding and not the end.
 *
 * A rule demands something that a text demands (the uAPI, the thread of protocol v1,
 * vfio-user), and says which. Every rule can fail: the wrap "fault,bug=NAME+" carries
 * a bug for it.
 */

#ifndef VFMIG_CHECK_H
#define VFMIG_CHECK_H

#include <vfmig/device.h>
#include <vfmig/exercise.h>

#ifdef __cplusplus
extern "C" {
#endif

/** enum vfm_severity - what it means when a rule fails */
enum vfm_severity {
	VFM_SEVERITY_NOTE,   /* good to know */
	VFM_SEVERITY_SHOULD, /* the text recommends it, or real users of devices rely on it */
	VFM_SEVERITY_MUST,   /* the device is not fit */
};

/** vfm_severity_name() - "must" and so on. */
const char *vfm_severity_name(enum vfm_severity severity);

/**
 * struct vfm_check_rule - what a rule says; all texts are constant
 * @name: stable, "v2.arc.stop-copy-to-pre-copy-refused"
 * @title: one line: what must be so
 * @source: which text demands it, by place
 * @text: why, what is tried and how a device gets it right; paragraphs
 */
struct vfm_check_rule {
	const char *name;
	const char *title;
	const char *source;
	const char *text;
	enum vfm_severity severity;
};

/** vfm_check_rule_at() - number @n in the order in which they are tried; NULL beyond the last. */
const struct vfm_check_rule *vfm_check_rule_at(size_t n);

/**
 * struct vfm_check_bug - a bug that a device can be given with "fault,bug=NAME+"; constant texts
 * @name: stable, "resume-overflow"
 * @title: what is wrong, one line
 * @where: where it really happened, or "" if it is ours
 */
struct vfm_check_bug {
	const char *name;
	const char *title;
	const char *where;
};

/** vfm_check_bug_at() - number @n; NULL beyond the last. */
const struct vfm_check_bug *vfm_check_bug_at(size_t n);

/** enum vfm_verdict - what came of a rule */
enum vfm_verdict {
	VFM_VERDICT_PASSED,
	VFM_VERDICT_SKIPPED, /* the device lacks what it is about, or it could not be tried */
	VFM_VERDICT_FAILED,
	VFM_VERDICT_HUNG,    /* a call did not return in time */
	VFM_VERDICT_CRASHED, /* the device, or its process, is gone */
};

/** vfm_verdict_name() - "passed" and so on. */
const char *vfm_verdict_name(enum vfm_verdict verdict);

#define VFM_CHECK_TEXT 1024
#define VFM_CHECK_OPS 16

/**
 * struct vfm_check_result - a rule that was tried
 * @evidence: what was seen, or why it was skipped; "" when passed
 * @ops: the last operations, oldest first, one line each
 */
struct vfm_check_result {
	const struct vfm_check_rule *rule;
	enum vfm_verdict verdict;
	uint64_t us;
	char evidence[VFM_CHECK_TEXT];
	size_t nr_ops;
	char ops[VFM_CHECK_OPS][160];
};

/** enum vfm_check_form - how a device is wanted */
enum vfm_check_form {
	VFM_CHECK_V2, /* with the semantics of v2, whatever it speaks */
	VFM_CHECK_V1, /* with its migration region, if it has one */
};

/**
 * struct vfm_check_opts - zero it, then fill in
 * @size: sizeof(struct vfm_check_opts)
 * @open: required: open the device; called again and again, always in another process
 * @rules: names that are tried, as a shell pattern; NULL: all
 * @seed: of everything that is random
 * @quick: less of what is long
 * @timeout_ms: for a rule; 0: 20000
 * @max_memory: bytes that the process of a rule may take; 0: half of what the machine has
 * @cancel_fd: when readable, the run ends with -ECANCELED; 0 or -1: none
 * @exercise: how to make this device do something; NULL: see @find_exercise
 * @find_exercise: the same of a device that has been opened, in the same process; may return
 *	NULL and be NULL: nobody knows
 * @begin: called before each rule, with how many came before and how many there are in all
 * @result: called after each rule
 * @user: for all of these
 */
struct vfm_check_opts {
	size_t size;
	int (*open)(void *user, enum vfm_check_form form, struct vfm_device **out,
		    struct vfm_err *err);
	const char *rules;
	uint64_t seed;
	bool quick;
	unsigned int timeout_ms;
	uint64_t max_memory;
	int cancel_fd;
	const struct vfm_exercise *exercise;
	const struct vfm_exercise *(*find_exercise)(void *user, struct vfm_device *dev);
	void (*begin)(void *user, const struct vfm_check_rule *rule, unsigned int before,
		      unsigned int all);
	void (*result)(void *user, const struct vfm_check_result *result);
	void *user;
};

/**
 * struct vfm_check_summary - a whole run
 * @verdicts: rules by enum vfm_verdict
 * @failed: rules that did not pass and were not skipped, by enum vfm_severity
 * @lost: the device could not be opened any more, or not be brought to RUNNING, or said no more
 *	that it can migrate, and the rules after that were not tried: it is not fit
 * @why: why it was lost
 * @left: rules that were not tried
 * @migrates: it said once at least that it can migrate
 */
struct vfm_check_summary {
	unsigned int verdicts[VFM_VERDICT_CRASHED + 1];
	unsigned int failed[VFM_SEVERITY_MUST + 1];
	bool lost;
	struct vfm_err why;
	unsigned int left;
	bool migrates;
};

/**
 * vfm_check() - try the rules
 *
 * Forks for each rule, and ends what it forked: the caller has no other threads that hold
 * locks. The process has a group of its own, no standard input, and standard error in place of
 * standard output; it cannot outlive the caller. The device is RUNNING after each rule, or is
 * reset, or reopened; what it was doing before is lost. One that can be brought to RUNNING by
 * neither a change of state nor a reset ends the run.
 *
 * Return: 0: all were tried, whatever came of it, unless @summary->lost; -ENOENT: no rule has
 * such a name; -ECANCELED: @cancel_fd; another error: the device could not be opened in the
 * first place. @summary is filled in as far as it went.
 */
int vfm_check(const struct vfm_check_opts *opts, struct vfm_check_summary *summary,
	      struct vfm_err *err) VFM_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
