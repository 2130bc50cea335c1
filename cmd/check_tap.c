// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * TAP version 14. A rule that should hold and does not is "not ok" with the directive
 * TODO, which no harness counts as a failure: so the exit code of a harness is ours.
 */

#include "check.h"

#include <inttypes.h>

/* A scalar of YAML in double quotes, on one line. */
static void put_scalar(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			fprintf(out, "\\x%02x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

static void put_pair(FILE *out, const char *key, const char *text)
{
	fprintf(out, "  %s: ", key);
	put_scalar(out, text);
	fputc('\n', out);
}

/* Text of a directive: # and \ would be read. */
static void put_words(FILE *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '#' || c == '\\')
			fputc('\\', out);
		fputc(c < 0x20 || c == 0x7f ? '?' : c, out);
	}
}

static int tap_begin(struct check_report *r, struct vfm_err *err)
{
	(void)err;
	fputs("TAP version 14\n", r->out);
	return 0;
}

static void put_diagnostics(const struct check_report *r, const struct vfm_check_result *result)
{
	char again[VFM_CHECK_TEXT];

	check_again(r, result->rule->name, again, sizeof(again));
	fputs("  ---\n", r->out);
	put_pair(r->out, "message", result->evidence);
	put_pair(r->out, "severity", vfm_severity_name(result->rule->severity));
	put_pair(r->out, "verdict", vfm_verdict_name(result->verdict));
	put_pair(r->out, "title", result->rule->title);
	put_pair(r->out, "source", result->rule->source);
	fprintf(r->out, "  duration_us: %" PRIu64 "\n", result->us);
	put_pair(r->out, "again", again);
	fputs(result->nr_ops ? "  operations:\n" : "  operations: []\n", r->out);
	for (size_t i = 0; i < result->nr_ops; i++) {
		fputs("    - ", r->out);
		put_scalar(r->out, result->ops[i]);
		fputc('\n', r->out);
	}
	fputs("  ...\n", r->out);
}

static void tap_result(struct check_report *r, const struct vfm_check_result *result)
{
	bool failed = check_failed(result);

	if (r->number == 1)
		fprintf(r->out, "1..%u\n", r->all);
	fprintf(r->out, "%sok %u - %s", failed ? "not " : "", r->number, result->rule->name);
	if (result->verdict == VFM_VERDICT_SKIPPED) {
		fputs(" # SKIP ", r->out);
		put_words(r->out, result->evidence);
	} else if (failed && result->rule->severity != VFM_SEVERITY_MUST) {
		fprintf(r->out, " # TODO %s", vfm_severity_name(result->rule->severity));
	}
	fputc('\n', r->out);
	if (failed)
		put_diagnostics(r, result);
	fflush(r->out);
}

static int tap_end(struct check_report *r, struct vfm_err *err)
{
	(void)err;
	if (r->cut) {
		fputs("Bail out! ", r->out);
		put_words(r->out, r->cut);
		fputc('\n', r->out);
	}
	return 0;
}

const struct check_format check_tap = { tap_begin, tap_result, tap_end };
