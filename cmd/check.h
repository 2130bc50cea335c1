// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What the files of 'vfmig check' share.
 *
 *   cmd_check.c     a run, from options to an exit code
 *   check_lists.c   what needs no device: rules, bugs, the page of a rule
 *   check_text.c    for people
 *   check_tap.c     TAP version 14
 *   check_junit.c   JUnit XML
 *   check_json.c    one object
 *
 * Texts in a verdict may come from a device: each format sees to it that they
 * stay texts.
 */

#ifndef VFM_CMD_CHECK_H
#define VFM_CMD_CHECK_H

#include "cmd.h"

#include <stdio.h>

struct check_report;

/** struct check_format - how a run is written down; all members are there */
struct check_format {
	int (*begin)(struct check_report *r, struct vfm_err *err);
	void (*result)(struct check_report *r, const struct vfm_check_result *result);
	/* @r->sum is known now */
	int (*end)(struct check_report *r, struct vfm_err *err);
};

/**
 * struct check_report - a run that is being written down
 * @out: where to; who wrote too much is asked in the end
 * @uri, @seed, @quick, @exercise: what is tried, and how
 * @number, @all: of the rule that was tried last, from 1, and of all that are wanted
 * @sum: in the end
 * @cut: in the end: why not all rules were tried; NULL: all were
 * @priv: the format's own
 */
struct check_report {
	const struct check_format *format;
	FILE *out;
	const char *uri, *exercise;
	uint64_t seed;
	bool quick;
	unsigned int number, all;
	const struct vfm_check_summary *sum;
	const char *cut;
	void *priv;
};

extern const struct check_format check_text, check_tap, check_junit, check_json;

/** check_is_fit() - of @r->sum: no rule that must hold has failed, all were tried, it migrates. */
bool check_is_fit(const struct check_report *r);

/** check_failed() - neither passed nor skipped. */
bool check_failed(const struct vfm_check_result *result);

/** check_again() - the command that tries a rule again, for a shell. */
void check_again(const struct check_report *r, const char *rule, char *text, size_t room);

/** check_printable() - a copy without control characters. Return: @text. */
const char *check_printable(const char *from, char *text, size_t room);

/** check_list_rules(), check_list_bugs() - to standard output, one a line, the name first. */
void check_list_rules(const char *pattern);
void check_list_bugs(void);

/** check_explain() - the page of a rule, or of a bug, to standard output. */
int check_explain(const char *name, struct vfm_err *err) VFM_MUST_CHECK;

#endif
