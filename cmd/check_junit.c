// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * JUnit XML, in the form that CI servers read: one suite, a case for each rule. Its head
 * has the totals, so that all is kept until the end. A rule that should hold and does
 * not is a skipped case that says so: there are no warnings in JUnit, and a failure would
 * make red what we call fit.
 */

#include "check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct junit {
	FILE *cases;
	char *text;
	size_t size;
	unsigned int tests, failures, errors, skipped;
	uint64_t us;
	time_t began;
};

/* XML 1.0 has no way to say a control character. Bytes that are not ASCII may be no UTF-8. */
static void put_escaped(FILE *out, const char *text)
{
	static const char *const named[] = {
		['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;"
	};

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < sizeof(named) / sizeof(named[0]) && named[c])
			fputs(named[c], out);
		else
			fputc((c < 0x20 && c != '\n') || c >= 0x7f ? '?' : c, out);
	}
}

static void put_attribute(FILE *out, const char *name, const char *text)
{
	fprintf(out, " %s=\"", name);
	put_escaped(out, text);
	fputc('"', out);
}

static void put_line(FILE *out, const char *what, const char *text)
{
	fprintf(out, "%s: ", what);
	put_escaped(out, text);
	fputc('\n', out);
}

static int junit_begin(struct check_report *r, struct vfm_err *err)
{
	struct junit *j = (struct junit *)calloc(1, sizeof(*j));

	if (j)
		j->cases = open_memstream(&j->text, &j->size);
	if (!j || !j->cases) {
		free(j);
		return vfm_fail(err, -ENOMEM, "no memory for a report");
	}
	j->began = time(NULL);
	r->priv = j;
	return 0;
}

static void put_details(struct check_report *r, FILE *out, const struct vfm_check_result *result)
{
	char again[VFM_CHECK_TEXT];

	check_again(r, result->rule->name, again, sizeof(again));
	put_line(out, "must be so", result->rule->title);
	put_line(out, "it says so", result->rule->source);
	put_line(out, "was seen", result->evidence);
	for (size_t i = 0; i < result->nr_ops; i++)
		put_line(out, "operation", result->ops[i]);
	put_line(out, "again", again);
}

/* "v2.arc" of "v2.arc.stop-copy-to-pre-copy-refused": by that CI servers group. */
static void put_class(FILE *out, const char *name)
{
	const char *dot = strrchr(name, '.');

	fprintf(out, " classname=\"%.*s\"", dot ? (int)(dot - name) : 0, name);
}

static void put_skipped(FILE *out, const char *prefix, const char *text)
{
	fprintf(out, "      <skipped message=\"%s", prefix);
	put_escaped(out, text);
	fputs("\"/>\n", out);
}

static void put_outcome(struct check_report *r, struct junit *j,
			const struct vfm_check_result *result)
{
	const char *element = result->verdict == VFM_VERDICT_FAILED ? "failure" : "error";

	if (result->verdict == VFM_VERDICT_SKIPPED) {
		j->skipped++;
		put_skipped(j->cases, "", result->evidence);
		return;
	}
	if (result->rule->severity == VFM_SEVERITY_MUST) {
		j->failures += result->verdict == VFM_VERDICT_FAILED;
		j->errors += result->verdict != VFM_VERDICT_FAILED;
		fprintf(j->cases, "      <%s type=\"%s\"", element,
			vfm_verdict_name(result->verdict));
		put_attribute(j->cases, "message", result->evidence);
		fputc('>', j->cases);
		put_details(r, j->cases, result);
		fprintf(j->cases, "</%s>\n", element);
		return;
	}
	j->skipped++;
	put_skipped(j->cases, "does not hold, and should: ", result->evidence);
	fputs("      <system-out>", j->cases);
	put_details(r, j->cases, result);
	fputs("</system-out>\n", j->cases);
}

static void junit_result(struct check_report *r, const struct vfm_check_result *result)
{
	struct junit *j = (struct junit *)r->priv;

	j->tests++;
	j->us += result->us;
	fputs("    <testcase", j->cases);
	put_attribute(j->cases, "name", result->rule->name);
	put_class(j->cases, result->rule->name);
	fprintf(j->cases, " time=\"%.6f\"", (double)result->us / 1e6);
	if (result->verdict == VFM_VERDICT_PASSED) {
		fputs("/>\n", j->cases);
		return;
	}
	fputs(">\n", j->cases);
	put_outcome(r, j, result);
	fputs("    </testcase>\n", j->cases);
}

/* A run that did not come to its end is a case of its own, for there is no other place. */
static void put_cut(struct junit *j, const char *why)
{
	j->tests++;
	j->errors++;
	fputs("    <testcase name=\"all-rules-are-tried\" classname=\"run\" time=\"0\">\n"
	      "      <error type=\"lost\"",
	      j->cases);
	put_attribute(j->cases, "message", why);
	fputs("/>\n    </testcase>\n", j->cases);
}

static void put_suite(const struct check_report *r, const struct junit *j)
{
	char when[32];
	struct tm tm;

	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", gmtime_r(&j->began, &tm));
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"vfmig "
	      "check ",
	      r->out);
	put_escaped(r->out, r->uri);
	fprintf(r->out,
		"\" tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\" time=\"%.6f\" "
		"timestamp=\"%s\">\n",
		j->tests, j->failures, j->errors, j->skipped, (double)j->us / 1e6, when);
	fwrite(j->text, 1, j->size, r->out);
	fputs("  </testsuite>\n</testsuites>\n", r->out);
}

static int junit_end(struct check_report *r, struct vfm_err *err)
{
	struct junit *j = (struct junit *)r->priv;
	bool whole;

	if (r->cut)
		put_cut(j, r->cut);
	whole = !ferror(j->cases);
	if (!fclose(j->cases) && whole)
		put_suite(r, j);
	else
		whole = false;
	free(j->text);
	free(j);
	return whole ? 0 : vfm_fail(err, -ENOMEM, "no memory for a report");
}

const struct check_format check_junit = { junit_begin, junit_result, junit_end };
