// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about the life of a dirty log: when it can begin and end, and what may not touch it.
 * Which pages are in it is in rules_log_pages.c, what can be asked of it in rules_log_ranges.c.
 */

#include "check/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/util.h"
#include "check/log.h"

/* ---- begin and end ------------------------------------------------------------------------ */

static int double_start_refused(struct vfm_trial *t)
{
	struct vfm_trial_log log, again;
	int ret = vfm_trial_log(t, &log);

	again = log;
	return ret ? ret
		   : vfm_trial_refused(t, vfm_trial_try_start(t, &again, VFM_TRIAL_PAGE, NULL),
				       "to start a log while one is running");
}

static int double_start_harmless(struct vfm_trial *t)
{
	struct vfm_trial_log log, again;
	struct vfm_trial_bitmap b = { { 0 } };
	int ret = vfm_trial_log(t, &log);
	int code;

	if (!ret)
		ret = vfm_trial_dirty(t, &log, 3);
	if (ret)
		return ret;
	again = log;
	code = vfm_trial_try_start(t, &again, VFM_TRIAL_PAGE, NULL);
	ret = vfm_trial_report(t, &log, 0, VFM_TRIAL_LOG_UNITS, &b);
	return ret ? ret
		   : vfm_trial_reported(
			     t, &log, &b, 3, 3,
			     code ? "a report after a second start, which was refused,"
				  : "a report after a second start, which was accepted,");
}

static int stop_refused(struct vfm_trial *t)
{
	return vfm_trial_refused(t, vfm_device_stop_log(t->dev, NULL),
				 "to stop a log while none is running");
}

static int report_refused(struct vfm_trial *t)
{
	struct vfm_trial_bitmap b = { { 0 } };
	struct vfm_trial_log log;
	struct vfm_err err;
	int ret = vfm_trial_log_memory(t, &log);

	if (!ret)
		ret = vfm_trial_refused(t, vfm_trial_try_report(t, &log, 0, 64, &b, NULL),
					"a report before there is a log");
	if (!ret && vfm_trial_try_start(t, &log, VFM_TRIAL_PAGE, &err))
		ret = vfm_trial_blocked(t, &err);
	if (!ret && vfm_device_stop_log(t->dev, &err))
		ret = vfm_trial_blocked(t, &err);
	return ret ? ret
		   : vfm_trial_refused(t, vfm_trial_try_report(t, &log, 0, 64, &b, NULL),
				       "a report after the log was stopped");
}

static int outside_refused(struct vfm_trial *t)
{
	struct vfm_trial_bitmap b = { { 0 } };
	struct vfm_trial_log log;
	struct vfm_range part;
	struct vfm_err err;
	int ret = vfm_trial_log_memory(t, &log);

	part = (struct vfm_range){ log.mem.iova, log.mem.size / 4 };
	if (!ret && vfm_device_start_log(t->dev, &log.page, &part, 1, &err))
		ret = vfm_trial_blocked(t, &err);
	if (ret)
		return ret;
	if (vfm_device_report_log(t->dev, part.iova, part.size, log.page, b.words, &err))
		return vfm_trial_blocked(t, &err);
	return vfm_trial_refused(t,
				 vfm_device_report_log(t->dev, log.mem.iova + log.mem.size / 2,
						       log.mem.size / 4, log.page, b.words, NULL),
				 "a report of memory that is mapped and not logged");
}

/* What was written before a log is no business of it. */
static int starts_clean(struct vfm_trial *t)
{
	struct vfm_trial_bitmap b = { { 0 } };
	struct vfm_trial_log log;
	struct vfm_err err;
	int ret = vfm_trial_log(t, &log);

	if (!ret)
		ret = vfm_trial_dirty(t, &log, 3);
	if (!ret && vfm_device_stop_log(t->dev, &err))
		ret = vfm_trial_blocked(t, &err);
	if (!ret && vfm_trial_try_start(t, &log, VFM_TRIAL_PAGE, &err))
		ret = vfm_trial_blocked(t, &err);
	if (!ret)
		ret = vfm_trial_report(t, &log, 0, VFM_TRIAL_LOG_UNITS, &b);
	if (ret || !vfm_trial_bit(&b, 3))
		return ret;
	if (vfm_trial_bit(&b, 40))
		return vfm_trial_skip(t, "it reports pages that were never written");
	return vfm_trial_fail(t,
			      "the page at IOVA 0x%" PRIx64
			      " was written while another log was running; that was stopped, one "
			      "started, and the page is reported",
			      log.mem.iova + 3 * log.page);
}

/* ---- states --------------------------------------------------------------------------------- */

/* A whole log in the state where the device is. */
static int whole_log(struct vfm_trial *t, struct vfm_trial_log *log, struct vfm_err *err)
{
	struct vfm_trial_bitmap b = { { 0 } };
	int ret = vfm_trial_try_start(t, log, VFM_TRIAL_PAGE, err);

	if (!ret)
		ret = vfm_trial_try_report(t, log, 0, VFM_TRIAL_LOG_UNITS, &b, err);
	return ret ? ret : vfm_device_stop_log(t->dev, err);
}

static int any_state(struct vfm_trial *t)
{
	static const enum vfm_state states[] = { VFM_STATE_PRE_COPY,	VFM_STATE_PRE_COPY_P2P,
						 VFM_STATE_STOP_COPY,	VFM_STATE_STOP,
						 VFM_STATE_RUNNING_P2P, VFM_STATE_RESUMING };
	struct vfm_trial_log log;
	struct vfm_err err;
	int ret = vfm_trial_log_memory(t, &log);

	if (!ret && whole_log(t, &log, &err))
		ret = vfm_trial_blocked(t, &err);
	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(states); i++) {
		if (!vfm_state_exists(t->migration, states[i]))
			continue;
		ret = vfm_trial_go(t, states[i]);
		if (!ret && whole_log(t, &log, &err))
			ret = vfm_trial_fail(
				t,
				"in RUNNING a log can be started, read and stopped; in "
				"%s not: %s",
				vfm_state_name(states[i]), err.msg);
	}
	return ret;
}

/* Written in RUNNING, and in PRE_COPY if there is that; read where the device stands still. */
static int kept_until(struct vfm_trial *t, const struct vfm_trial_log *log, enum vfm_state state)
{
	bool precopy = vfm_state_exists(t->migration, VFM_STATE_PRE_COPY);
	struct vfm_trial_bitmap b = { { 0 } };
	char what[48];
	int ret = vfm_trial_go(t, VFM_STATE_RUNNING);

	if (!ret)
		ret = vfm_trial_dirty(t, log, 3);
	if (!ret && precopy)
		ret = vfm_trial_go(t, VFM_STATE_PRE_COPY);
	if (!ret && precopy)
		ret = vfm_trial_dirty(t, log, 9);
	if (!ret)
		ret = vfm_trial_go(t, state);
	if (!ret)
		ret = vfm_trial_report(t, log, 0, VFM_TRIAL_LOG_UNITS, &b);
	snprintf(what, sizeof(what), "a report in %s", vfm_state_name(state));
	if (!ret)
		ret = vfm_trial_reported(t, log, &b, 3, 3, what);
	if (!ret && precopy)
		ret = vfm_trial_reported(t, log, &b, 9, 9, what);
	return ret;
}

static int kept_over_stop(struct vfm_trial *t)
{
	struct vfm_trial_log log;
	int ret = vfm_trial_log(t, &log);

	if (!ret)
		ret = kept_until(t, &log, VFM_STATE_STOP);
	return ret ? ret : kept_until(t, &log, VFM_STATE_STOP_COPY);
}

static int stays_over_reset(struct vfm_trial *t)
{
	struct vfm_trial_bitmap b = { { 0 } };
	struct vfm_trial_log log;
	struct vfm_err err;
	int ret = vfm_trial_log(t, &log);

	if (!ret)
		ret = vfm_trial_dirty(t, &log, 3);
	if (!ret)
		ret = vfm_trial_reset(t);
	if (ret)
		return ret;
	if (vfm_trial_try_report(t, &log, 0, VFM_TRIAL_LOG_UNITS, &b, &err))
		return vfm_trial_fail(t,
				      "a log was running, the device was reset, and there is no "
				      "report any more: %s",
				      err.msg);
	return vfm_trial_reported(t, &log, &b, 3, 3, "a report after a reset");
}

const struct vfm_rule vfm_rules_log[] = {
	{
		.is = { .name = "v2.log.double-start-refused",
			.title = "a log cannot be started while one is running",
			.source = "<vfmig/device.h>, vfm_device_start_log(): EINVAL; the kernel's "
				  "drivers, the same",
			.text = "Two users that log one device take pages from each other. The "
				"second one must be told.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_LOG,
		.run = double_start_refused,
	},
	{
		.is = { .name = "v2.log.double-start-harmless",
			.title = "a second start loses nothing, whether it is refused or not",
			.source =
				"uAPI, VFIO_DEVICE_FEATURE_DMA_LOGGING_START and _STOP: a log runs "
				"until it is stopped",
			.text = "The device writes a page, a log is started again, and the page "
				"must still be reported. What is harmless may be accepted: "
				"v2.log.double-start-refused is about that.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_LOG | VFM_NEED_WRITE,
		.run = double_start_harmless,
	},
	{
		.is = { .name = "v2.log.stop-refused",
			.title = "a log cannot be stopped when none is running",
			.source = "<vfmig/device.h>, vfm_device_stop_log(): EINVAL",
			.text = "Nothing comes of it, but whoever stops what is not running is "
				"mistaken about what was logged.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_LOG,
		.run = stop_refused,
	},
	{
		.is = { .name = "v2.log.report-refused",
			.title = "there is no report when no log is running",
			.source = "uAPI, VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT: of a log that was "
				  "started; <vfmig/device.h>, vfm_device_report_log(): after an "
				  "error "
				  "everything is dirty",
			.text = "A report that succeeds and is empty says that no page was "
				"written. "
				"Tried before a log was started and after it was stopped.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_LOG,
		.run = report_refused,
	},
	{
		.is = { .name = "v2.log.outside-refused",
			.title = "there is no report of memory that is not logged",
			.source =
				"<vfmig/device.h>, vfm_device_report_log(): any part of the ranges "
				"that are logged",
			.text = "As v2.log.report-refused: what nobody looked at must not be "
				"called "
				"clean.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_LOG,
		.run = outside_refused,
	},
	{
		.is = { .name = "v2.log.starts-clean",
			.title = "a new log does not know what was written before it",
			.source = "uAPI, VFIO_DEVICE_FEATURE_DMA_LOGGING_START: pages are logged "
				  "from "
				  "then on",
			.text = "What is reported too much is sent for nothing. A device that "
				"reports what was never written is not judged here.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_LOG | VFM_NEED_WRITE,
		.run = starts_clean,
	},
	{
		.is = { .name = "v2.log.any-state",
			.title = "a log can be started, read and stopped in every state",
			.source = "uAPI, VFIO_DEVICE_FEATURE_DMA_LOGGING_*: they have no condition "
				  "about the migration state",
			.text = "The log and the state are two features. The last report is read "
				"when the device has stopped, and some users log before there is "
				"any migration.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_LOG | VFM_NEED_STOP_COPY,
		.run = any_state,
	},
	{
		.is = { .name = "v2.log.kept-over-stop",
			.title = "what was written before a stop is reported after it",
			.source = "uAPI, VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT: what was written "
				  "since it was last read",
			.text = "The last report of a migration is read in STOP or STOP_COPY. "
				"Pages that the device wrote in RUNNING and PRE_COPY must be in "
				"it, "
				"or they stay behind.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_LOG | VFM_NEED_WRITE | VFM_NEED_STOP_COPY,
		.run = kept_over_stop,
	},
	{
		.is = { .name = "v2.log.stays-over-reset",
			.title = "a log goes on over a reset",
			.source = "<vfmig/device.h>, vfm_device_reset(): the dirty log stays",
			.text = "A guest that resets its device does not know of the log. The "
				"memory that was written has been written all the same.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_LOG | VFM_NEED_WRITE | VFM_NEED_RESET,
		.run = stays_over_reset,
	},
};
const size_t vfm_nr_rules_log = VFM_ARRAY_SIZE(vfm_rules_log);
