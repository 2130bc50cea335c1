// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* The way to a dirty log, and reports of it, as far as they are not what a rule is about. */

#include "check/log.h"

#include <inttypes.h>
#include <string.h>

/* Rules put their pages further apart than that only if the memory has room for it. */
#define PAGE_MAX ((uint64_t)VFM_TRIAL_LOG_PAGES / VFM_TRIAL_LOG_UNITS * VFM_TRIAL_PAGE)

int vfm_trial_log_memory(struct vfm_trial *t, struct vfm_trial_log *log)
{
	log->page = VFM_TRIAL_PAGE;
	return vfm_trial_map(t, &log->mem, VFM_TRIAL_IOVA,
			     (uint64_t)VFM_TRIAL_LOG_PAGES * VFM_TRIAL_PAGE);
}

int vfm_trial_try_start(struct vfm_trial *t, struct vfm_trial_log *log, uint64_t page_size,
			struct vfm_err *err)
{
	const struct vfm_range range = { log->mem.iova, log->mem.size };

	log->page = page_size;
	return vfm_device_start_log(t->dev, &log->page, &range, 1, err);
}

int vfm_trial_log(struct vfm_trial *t, struct vfm_trial_log *log)
{
	struct vfm_err err;
	int ret = vfm_trial_log_memory(t, log);

	if (ret)
		return ret;
	if (vfm_trial_try_start(t, log, VFM_TRIAL_PAGE, &err))
		return vfm_trial_blocked(t, &err);
	if (!log->page || log->page > PAGE_MAX)
		return vfm_trial_skip(
			t, "it logs in pages of %" PRIu64 " bytes: too large for this", log->page);
	return 0;
}

int vfm_trial_dirty(struct vfm_trial *t, const struct vfm_trial_log *log, uint64_t unit)
{
	return vfm_trial_write_pages(t, &log->mem, unit * (log->page / VFM_TRIAL_PAGE), 1);
}

int vfm_trial_try_report(struct vfm_trial *t, const struct vfm_trial_log *log, uint64_t first,
			 uint64_t count, struct vfm_trial_bitmap *b, struct vfm_err *err)
{
	return vfm_device_report_log(t->dev, log->mem.iova + first * log->page, count * log->page,
				     log->page, b->words, err);
}

int vfm_trial_report(struct vfm_trial *t, const struct vfm_trial_log *log, uint64_t first,
		     uint64_t count, struct vfm_trial_bitmap *b)
{
	struct vfm_err err;

	memset(b, 0, sizeof(*b));
	return vfm_trial_try_report(t, log, first, count, b, &err) ? vfm_trial_blocked(t, &err) : 0;
}

int vfm_trial_reported(struct vfm_trial *t, const struct vfm_trial_log *log,
		       const struct vfm_trial_bitmap *b, uint64_t n, uint64_t unit,
		       const char *what)
{
	if (vfm_trial_bit(b, n))
		return 0;
	return vfm_trial_fail(t,
			      "the device has written to the page at IOVA 0x%" PRIx64
			      ", and %s does not say so: bit %" PRIu64 " is 0",
			      log->mem.iova + unit * log->page, what, n);
}
