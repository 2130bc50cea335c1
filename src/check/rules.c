// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* The order in which rules are tried: what others rely on comes first. */

#include "check/check.h"

#include "base/util.h"

static const struct {
	const struct vfm_rule *rules;
	const size_t *count;
} tables[] = {
	{ vfm_rules_discovery, &vfm_nr_rules_discovery },
	{ vfm_rules_describe, &vfm_nr_rules_describe },
	{ vfm_rules_arc, &vfm_nr_rules_arc },
	{ vfm_rules_session, &vfm_nr_rules_session },
	{ vfm_rules_position, &vfm_nr_rules_position },
	{ vfm_rules_reset, &vfm_nr_rules_reset },
	{ vfm_rules_race, &vfm_nr_rules_race },
	{ vfm_rules_stream, &vfm_nr_rules_stream },
	{ vfm_rules_precopy, &vfm_nr_rules_precopy },
	{ vfm_rules_size, &vfm_nr_rules_size },
	{ vfm_rules_image, &vfm_nr_rules_image },
	{ vfm_rules_carry, &vfm_nr_rules_carry },
	{ vfm_rules_foreign, &vfm_nr_rules_foreign },
	{ vfm_rules_order, &vfm_nr_rules_order },
	{ vfm_rules_damage, &vfm_nr_rules_damage },
	{ vfm_rules_stop, &vfm_nr_rules_stop },
	{ vfm_rules_stop_dma, &vfm_nr_rules_stop_dma },
	{ vfm_rules_irq, &vfm_nr_rules_irq },
	{ vfm_rules_dma, &vfm_nr_rules_dma },
	{ vfm_rules_log, &vfm_nr_rules_log },
	{ vfm_rules_log_pages, &vfm_nr_rules_log_pages },
	{ vfm_rules_log_ranges, &vfm_nr_rules_log_ranges },
	{ vfm_rules_v1_register, &vfm_nr_rules_v1_register },
	{ vfm_rules_v1_state, &vfm_nr_rules_v1_state },
	{ vfm_rules_v1_save, &vfm_nr_rules_v1_save },
	{ vfm_rules_v1_data, &vfm_nr_rules_v1_data },
	{ vfm_rules_v1_resume, &vfm_nr_rules_v1_resume },
	{ vfm_rules_v1_refuse, &vfm_nr_rules_v1_refuse },
};

const struct vfm_rule *vfm_rule_at(size_t n)
{
	for (size_t i = 0; i < VFM_ARRAY_SIZE(tables); i++) {
		if (n < *tables[i].count)
			return &tables[i].rules[n];
		n -= *tables[i].count;
	}
	return NULL;
}

VFM_API const struct vfm_check_rule *vfm_check_rule_at(size_t n)
{
	const struct vfm_rule *rule = vfm_rule_at(n);

	return rule ? &rule->is : NULL;
}

static const char *const severities[] = {
	[VFM_SEVERITY_NOTE] = "note",
	[VFM_SEVERITY_SHOULD] = "should",
	[VFM_SEVERITY_MUST] = "must",
};

static const char *const verdicts[] = {
	[VFM_VERDICT_PASSED] = "passed",   [VFM_VERDICT_SKIPPED] = "skipped",
	[VFM_VERDICT_FAILED] = "failed",   [VFM_VERDICT_HUNG] = "hung",
	[VFM_VERDICT_CRASHED] = "crashed",
};

VFM_API const char *vfm_severity_name(enum vfm_severity severity)
{
	return (size_t)severity < VFM_ARRAY_SIZE(severities) ? severities[severity] : "invalid";
}

VFM_API const char *vfm_verdict_name(enum vfm_verdict verdict)
{
	return (size_t)verdict < VFM_ARRAY_SIZE(verdicts) ? verdicts[verdict] : "invalid";
}
