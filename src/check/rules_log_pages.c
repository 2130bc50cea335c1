// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about the pages of a dirty log: what the device is known to have written must be
 * reported. What can be asked of a log is in rules_log_ranges.c.
 *
 * A page that is reported and was not written costs time, one that was written and is not
 * reported is lost. So the rules that must hold are about the second alone, and look away
 * from what is reported too much.
 */

#include "check/check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "check/log.h"

/* ---- a model --------------------------------------------------------------------------- */

/* Of all units, those that were written since the last report, and ever. */
struct model {
	struct vfm_trial_bitmap since, ever;
};

static uint64_t units_of(const struct vfm_trial_log *log)
{
	return log->mem.size / log->page;
}

static void mark(struct model *m, const struct vfm_trial_log *log, uint64_t first, uint64_t count)
{
	uint64_t ratio = log->page / VFM_TRIAL_PAGE;

	for (uint64_t unit = first / ratio; unit <= (first + count - 1) / ratio; unit++) {
		m->since.words[unit / 64] |= UINT64_C(1) << (unit % 64);
		m->ever.words[unit / 64] |= UINT64_C(1) << (unit % 64);
	}
}

static int random_writes(struct vfm_trial *t, const struct vfm_trial_log *log, struct model *m)
{
	int ret = 0;

	for (int i = 0; !ret && i < 24; i++) {
		uint64_t count = 1 + vfm_trial_random(t) % 16;
		uint64_t first = vfm_trial_random(t) % (VFM_TRIAL_LOG_PAGES - count + 1);

		ret = vfm_trial_write_pages(t, &log->mem, first, count);
		mark(m, log, first, count);
	}
	return ret;
}

static int reports_written(struct vfm_trial *t)
{
	struct model m = { .since = { { 0 } } };
	struct vfm_trial_log log;
	struct vfm_trial_bitmap b = { { 0 } };
	struct vfm_err err;
	int ret = vfm_trial_log(t, &log);

	for (int round = 0; !ret && round < 4; round++) {
		memset(&b, 0, sizeof(b));
		memset(&m.since, 0, sizeof(m.since));
		ret = random_writes(t, &log, &m);
		if (!ret && vfm_trial_try_report(t, &log, 0, units_of(&log), &b, &err))
			ret = vfm_trial_fail(t, "a report of all that is logged: %s", err.msg);
		for (uint64_t i = 0; !ret && i < units_of(&log); i++)
			if (vfm_trial_bit(&m.since, i))
				ret = vfm_trial_reported(t, &log, &b, i, i,
							 "the report after that");
	}
	return ret;
}

static int only_written(struct vfm_trial *t)
{
	struct model m = { .since = { { 0 } } };
	struct vfm_trial_log log;
	struct vfm_trial_bitmap b = { { 0 } };
	uint64_t wrong = 0, first = 0;
	int ret = vfm_trial_log(t, &log);

	if (!ret)
		ret = random_writes(t, &log, &m);
	if (!ret)
		ret = vfm_trial_report(t, &log, 0, units_of(&log), &b);
	for (uint64_t i = 0; !ret && i < units_of(&log); i++)
		if (vfm_trial_bit(&b, i) && !vfm_trial_bit(&m.ever, i) && !wrong++)
			first = i;
	if (ret || !wrong)
		return ret;
	return vfm_trial_fail(t,
			      "%" PRIu64 " of %" PRIu64
			      " pages are reported and were never written, first that at IOVA "
			      "0x%" PRIx64,
			      wrong, units_of(&log), log.mem.iova + first * log.page);
}

/* ---- the bitmap -------------------------------------------------------------------------- */

/* Two reports; the second must not have what the first one had. */
static int cleared_by_reading(struct vfm_trial *t)
{
	struct vfm_trial_log log;
	struct vfm_trial_bitmap b = { { 0 } };
	int ret = vfm_trial_log(t, &log);

	if (!ret)
		ret = vfm_trial_dirty(t, &log, 3);
	if (!ret)
		ret = vfm_trial_report(t, &log, 0, VFM_TRIAL_LOG_UNITS, &b);
	if (!ret)
		ret = vfm_trial_report(t, &log, 0, VFM_TRIAL_LOG_UNITS, &b);
	if (ret || !vfm_trial_bit(&b, 3))
		return ret;
	if (vfm_trial_bit(&b, 40))
		return vfm_trial_skip(t, "it reports pages that were never written");
	return vfm_trial_fail(t,
			      "the page at IOVA 0x%" PRIx64
			      " was written once, and two reports in a row say so",
			      log.mem.iova + 3 * log.page);
}

static int bits_only_set(struct vfm_trial *t)
{
	struct vfm_trial_bitmap b = { { 0 } };
	struct vfm_trial_log log;
	struct vfm_err err;
	int ret = vfm_trial_log(t, &log);

	b.words[0] = UINT64_C(1) << 40 | 1;
	if (!ret)
		ret = vfm_trial_dirty(t, &log, 3);
	if (!ret && vfm_trial_try_report(t, &log, 0, VFM_TRIAL_LOG_UNITS, &b, &err))
		ret = vfm_trial_blocked(t, &err);
	if (ret || (vfm_trial_bit(&b, 0) && vfm_trial_bit(&b, 40)))
		return ret;
	return vfm_trial_fail(t,
			      "bits 0 and 40 were set before the report, the word is 0x%" PRIx64
			      " now: a report sets bits, and clears none",
			      b.words[0]);
}

/* A report of 50 units has 50 bits; those behind are somebody's. */
static int stays_in_bitmap(struct vfm_trial *t)
{
	const unsigned int units = 50;
	struct vfm_trial_log log;
	struct vfm_trial_bitmap b = { { 0 } };
	int ret = vfm_trial_log(t, &log);

	for (unsigned int i = 45; !ret && i < 60; i++)
		ret = vfm_trial_dirty(t, &log, i);
	if (!ret)
		ret = vfm_trial_report(t, &log, 0, units, &b);
	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(b.words); i++) {
		uint64_t beyond = i ? b.words[i] : b.words[i] >> units;

		if (beyond)
			ret = vfm_trial_fail(
				t,
				"a report of %u pages has set bits behind its last: word "
				"%zu is 0x%" PRIx64,
				units, i, b.words[i]);
	}
	return ret;
}

/* ---- while it writes
 * ------------------------------------------------------------------------------ */

/* As a migration does it: what is reported is copied, after it was reported. */
static int copy_reported(struct vfm_trial *t, const struct vfm_trial_log *log, uint8_t *copy)
{
	struct vfm_trial_bitmap b = { { 0 } };
	uint64_t units = units_of(log);
	int ret = vfm_trial_report(t, log, 0, units, &b);

	for (uint64_t i = 0; !ret && i < units; i++)
		if (vfm_trial_bit(&b, i))
			memcpy(copy + i * log->page, log->mem.at + i * log->page, log->page);
	return ret;
}

static int same(struct vfm_trial *t, const struct vfm_trial_log *log, const uint8_t *copy)
{
	for (uint64_t i = 0; i < units_of(log); i++)
		if (memcmp(copy + i * log->page, log->mem.at + i * log->page, log->page))
			return vfm_trial_fail(
				t,
				"each page was copied whenever it was reported, the last "
				"time after STOP; the copy of that at IOVA 0x%" PRIx64
				" is old: a write was not reported",
				log->mem.iova + i * log->page);
	return 0;
}

static int follows_stream(struct vfm_trial *t)
{
	vfm_auto_free uint8_t *copy = NULL;
	struct vfm_trial_log log;
	int ret = vfm_trial_log(t, &log);

	if (ret)
		return ret;
	copy = calloc(1, log.mem.size);
	if (!copy)
		return vfm_trial_skip(t, "no memory for a copy");
	ret = vfm_trial_stream(t, &log.mem);
	for (int i = 0; !ret && i < 8; i++) {
		vfm_trial_serve(t, -1, 1);
		ret = copy_reported(t, &log, copy);
	}
	if (!ret)
		ret = vfm_trial_go(t, VFM_STATE_STOP);
	if (!ret)
		ret = copy_reported(t, &log, copy);
	return ret ? ret : same(t, &log, copy);
}

#define REPORT "uAPI, VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT: "

const struct vfm_rule vfm_rules_log_pages[] = {
	{
		.is = { .name = "v2.log.reports-written",
			.title = "every page that the device writes is reported",
			.source = REPORT "each page of the range that the device wrote",
			.text = "Random pages of 4 MiB are written, read as one report, and "
				"compared "
				"with what was written, four times. A page that is missing here is "
				"a page that the destination has in an old state.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_LOG | VFM_NEED_WRITE,
		.run = reports_written,
	},
	{
		.is = { .name = "v2.log.follows-stream",
			.title = "no write is lost while the device goes on writing",
			.source = REPORT "a report clears what it reports, so that nothing falls "
					 "between two of them",
			.text = "The device writes all the time. Pages are copied when they are "
				"reported, as a migration does, and at the end in STOP; then copy "
				"and memory must be equal. A device that reads its log and clears "
				"it "
				"afterwards loses what it writes between.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_LOG | VFM_NEED_STREAM | VFM_NEED_STOP_COPY,
		.run = follows_stream,
	},
	{
		.is = { .name = "v2.log.cleared-by-reading",
			.title = "a page that was written once is reported once",
			.source = REPORT "it clears what it reports",
			.text = "A log that never forgets makes pre-copy endless: each round sends "
				"all pages of all rounds before.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_LOG | VFM_NEED_WRITE,
		.run = cleared_by_reading,
	},
	{
		.is = { .name = "v2.log.only-written",
			.title = "only pages that the device writes are reported",
			.source = REPORT "pages that the device wrote",
			.text = "What is reported too much is sent for nothing. Pages of the size "
				"that the device has chosen count.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_LOG | VFM_NEED_WRITE,
		.run = only_written,
	},
	{
		.is = { .name = "v2.log.bits-only-set",
			.title = "a report sets bits and clears none",
			.source = REPORT "bits are set; the user clears the bitmap",
			.text = "Users collect the reports of several devices in one bitmap.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_LOG | VFM_NEED_WRITE,
		.run = bits_only_set,
	},
	{
		.is = { .name = "v2.log.stays-in-bitmap",
			.title = "a report sets no bits behind its last page",
			.source = "<vfmig/device.h>, vfm_device_report_log(): bit n stands for "
				  "page n "
				  "of the range; vfm_log_bitmap_words() words",
			.text = "Pages around the end of the part that is asked for are written. "
				"The bits of those that it does not hold, and the words behind, "
				"belong to the user.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_LOG | VFM_NEED_WRITE,
		.run = stays_in_bitmap,
	},
};
const size_t vfm_nr_rules_log_pages = VFM_ARRAY_SIZE(vfm_rules_log_pages);
