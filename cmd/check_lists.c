// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* What is known without a device: the rules, the page of each, the bugs. */

#include "check.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

void check_list_rules(const char *pattern)
{
	const struct vfm_check_rule *rule;

	for (size_t i = 0; (rule = vfm_check_rule_at(i)); i++)
		if (!pattern || !fnmatch(pattern, rule->name, 0))
			printf("%-44s %-6s %s\n", rule->name, vfm_severity_name(rule->severity),
			       rule->title);
}

void check_list_bugs(void)
{
	const struct vfm_check_bug *bug;

	for (size_t i = 0; (bug = vfm_check_bug_at(i)); i++)
		printf("%-32s %s%s%s%s\n", bug->name, bug->title, bug->where[0] ? " (" : "",
		       bug->where, bug->where[0] ? ")" : "");
}

static void explain_rule(const struct vfm_check_rule *rule)
{
	printf("%s\n\n  %s.\n\nSeverity: %s\nDemanded by: %s\n\n%s", rule->name, rule->title,
	       vfm_severity_name(rule->severity), rule->source, rule->text);
}

static void explain_bug(const struct vfm_check_bug *bug)
{
	printf("%s\n\n  %s.\n\n", bug->name, bug->title);
	if (bug->where[0])
		printf("It happened: %s\n\n", bug->where);
	printf("To see what it does: vfmig check fault,bug=%s+sim:dma,state=64K\n", bug->name);
}

static const char *rule_name(const void *user, size_t n)
{
	const struct vfm_check_rule *rule = vfm_check_rule_at(n);

	(void)user;
	return rule ? rule->name : NULL;
}

int check_explain(const char *name, struct vfm_err *err)
{
	const struct vfm_check_rule *rule;
	const struct vfm_check_bug *bug;
	const char *near;

	for (size_t i = 0; (rule = vfm_check_rule_at(i)); i++)
		if (!strcmp(rule->name, name)) {
			explain_rule(rule);
			return 0;
		}
	for (size_t i = 0; (bug = vfm_check_bug_at(i)); i++)
		if (!strcmp(bug->name, name)) {
			explain_bug(bug);
			return 0;
		}
	near = cmd_nearest(name, rule_name, NULL);
	return vfm_fail(err, CMD_MISUSE, "no rule and no bug has the name %s%s%s%s", name,
			near ? ", did you mean " : "", near ? near : "", near ? "?" : "");
}
