// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * For people: what is wrong, where it says so, what was seen, and how to see it again. Of
 * rules that passed only the number is told, of those that were skipped why.
 */

#include "check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Different reasons to skip that are told apart. */
#define REASONS_MAX 24

struct text {
	size_t count;
	struct {
		char why[160];
		unsigned int rules;
	} reasons[REASONS_MAX];
};

static int text_begin(struct check_report *r, struct vfm_err *err)
{
	r->priv = calloc(1, sizeof(struct text));
	return r->priv ? 0 : vfm_fail(err, -ENOMEM, "no memory for a report");
}

/* What does not fit is told with the last. */
static void note_skipped(struct text *t, const char *why)
{
	char shown[sizeof(t->reasons[0].why)];
	size_t i = 0;

	check_printable(why, shown, sizeof(shown));
	while (i < t->count && strcmp(t->reasons[i].why, shown) != 0)
		i++;
	if (i == t->count && t->count < REASONS_MAX)
		memcpy(t->reasons[t->count++].why, shown, sizeof(shown));
	t->reasons[i < REASONS_MAX ? i : REASONS_MAX - 1].rules++;
}

static void print_failure(struct check_report *r, const struct vfm_check_result *result)
{
	char text[VFM_CHECK_TEXT];

	fprintf(r->out, "%s: %s (%s)\n", result->rule->name, vfm_verdict_name(result->verdict),
		vfm_severity_name(result->rule->severity));
	fprintf(r->out, "  must be so  %s\n", result->rule->title);
	fprintf(r->out, "  it says so  %s\n", result->rule->source);
	fprintf(r->out, "  was seen    %s\n",
		check_printable(result->evidence, text, sizeof(text)));
	for (size_t i = 0; i < result->nr_ops; i++)
		fprintf(r->out, "  %-11s %s\n", i ? "" : "operations",
			check_printable(result->ops[i], text, sizeof(text)));
	check_again(r, result->rule->name, text, sizeof(text));
	fprintf(r->out, "  again       %s\n", text);
	fprintf(r->out, "  more        vfmig check --explain=%s\n\n", result->rule->name);
}

static void text_result(struct check_report *r, const struct vfm_check_result *result)
{
	if (result->verdict == VFM_VERDICT_SKIPPED)
		note_skipped((struct text *)r->priv, result->evidence);
	else if (check_failed(result))
		print_failure(r, result);
}

static void print_skipped(const struct check_report *r, const struct text *t)
{
	for (size_t i = 0; i < t->count; i++)
		fprintf(r->out, "skipped %3u: %s\n", t->reasons[i].rules, t->reasons[i].why);
}

/* "3 failed (1 must, 2 should)" */
static void print_counts(const struct check_report *r)
{
	const struct vfm_check_summary *sum = r->sum;
	const char *between = " (";
	unsigned int failed = 0;

	for (int s = VFM_SEVERITY_NOTE; s <= VFM_SEVERITY_MUST; s++)
		failed += sum->failed[s];
	fprintf(r->out, "%u passed, %u failed", sum->verdicts[VFM_VERDICT_PASSED], failed);
	for (int s = VFM_SEVERITY_MUST; s >= VFM_SEVERITY_NOTE; s--) {
		if (!sum->failed[s])
			continue;
		fprintf(r->out, "%s%u %s", between, sum->failed[s],
			vfm_severity_name((enum vfm_severity)s));
		between = ", ";
	}
	fprintf(r->out, "%s, %u skipped", failed ? ")" : "", sum->verdicts[VFM_VERDICT_SKIPPED]);
	if (sum->left)
		fprintf(r->out, ", %u not tried", sum->left);
	fputc('\n', r->out);
}

static const char *conclusion(const struct check_report *r)
{
	if (check_is_fit(r))
		return "fit to migrate, as far as was tried";
	if (r->sum->failed[VFM_SEVERITY_MUST] || r->sum->lost)
		return "not fit to migrate";
	return r->cut ? "not known" : "cannot migrate";
}

static bool any(const struct vfm_check_summary *sum)
{
	unsigned int rules = 0;

	for (int v = VFM_VERDICT_PASSED; v <= VFM_VERDICT_CRASHED; v++)
		rules += sum->verdicts[v];
	return rules;
}

static int text_end(struct check_report *r, struct vfm_err *err)
{
	char text[VFM_ERR_TEXT];

	(void)err;
	print_skipped(r, (const struct text *)r->priv);
	free(r->priv);
	/* nothing came of it, and why is an error that is told anyhow */
	if (r->cut && !any(r->sum))
		return 0;
	if (r->cut)
		fprintf(r->out, "the end: %s\n", check_printable(r->cut, text, sizeof(text)));
	print_counts(r);
	fprintf(r->out, "%s: %s\n", check_printable(r->uri, text, sizeof(text)), conclusion(r));
	return 0;
}

const struct check_format check_text = { text_begin, text_result, text_end };
