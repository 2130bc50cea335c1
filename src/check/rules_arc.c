// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Rules about states and the ways between them. */

#include "check/check.h"

#include <errno.h>
#include <stdio.h>

#include "base/util.h"
#include "protocol/v2.h"

/* ---- refusals ------------------------------------------------------------------ */

static int stop_copy_to_pre_copy(struct vfm_trial *t)
{
	int ret = vfm_trial_go(t, VFM_STATE_STOP_COPY);

	if (!ret)
		ret = vfm_trial_refused(t, vfm_device_set_state(t->dev, VFM_STATE_PRE_COPY, NULL),
					"STOP_COPY to PRE_COPY");
	return ret ? ret : vfm_trial_in_state(t, VFM_STATE_STOP_COPY, "that refusal");
}

static const uint32_t beyond[] = { 8, 9, 255, UINT32_C(1) << 31, UINT32_MAX };

/* States in which a device can be asked to go elsewhere, of those it has. */
static int out_of_range(struct vfm_trial *t)
{
	char what[64];
	int ret = 0;

	for (unsigned int from = 0; !ret && from < VFM_NR_STATES; from++) {
		if (from == VFM_STATE_ERROR || !vfm_state_exists(t->migration, from))
			continue;
		ret = vfm_trial_go(t, from);
		for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(beyond); i++) {
			snprintf(what, sizeof(what), "%s to the state number %u",
				 vfm_state_name(from), beyond[i]);
			ret = vfm_trial_refused(
				t, vfm_device_set_state(t->dev, (enum vfm_state)beyond[i], NULL),
				what);
			if (!ret)
				ret = vfm_trial_in_state(t, from, what);
		}
	}
	return ret;
}

const struct vfm_rule vfm_rules_arc[] = {
	{
		.is = { .name = "v2.arc.stop-copy-to-pre-copy-refused",
			.title = "STOP_COPY to PRE_COPY is refused, and the device stays",
			.source = "uAPI, enum vfio_device_mig_state: STOP_COPY -> PRE_COPY is not "
				  "among the arcs and combinations",
			.text = "A path finder that looks for a way between any two states can "
				"look for this one for ever, as there is none.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_PRE_COPY,
		.run = stop_copy_to_pre_copy,
	},
	{
		.is = { .name = "v2.arc.out-of-range-refused",
			.title = "states that there are not are refused in every state",
			.source = "uAPI, enum vfio_device_mig_state: 8 states, 0 to 7",
			.text = "A bound that is checked with > instead of >= lets the number 8 "
				"index a table of eight.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = out_of_range,
	},
};
const size_t vfm_nr_rules_arc = VFM_ARRAY_SIZE(vfm_rules_arc);
