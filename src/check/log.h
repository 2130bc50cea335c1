// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* A dirty log over memory of ours, for rules about it. */

#ifndef VFM_CHECK_LOG_H
#define VFM_CHECK_LOG_H

#include "check/memory.h"

/** Pages of the memory of a log, and most pages of its own that are looked at by most rules. */
#define VFM_TRIAL_LOG_PAGES VFM_TRIAL_MAX_PAGES
#define VFM_TRIAL_LOG_UNITS 64u

/** struct vfm_trial_bitmap - of a report; there is one word behind that no report may touch */
struct vfm_trial_bitmap {
	uint64_t words[VFM_TRIAL_LOG_PAGES / 64 + 1];
};

/**
 * struct vfm_trial_log - a log that is running
 * @mem: mapped, all of it logged
 * @page: the page size that the device chose; a "unit" is one of these
 */
struct vfm_trial_log {
	struct vfm_trial_memory mem;
	uint64_t page;
};

static inline bool vfm_trial_bit(const struct vfm_trial_bitmap *b, uint64_t n)
{
	return b->words[n / 64] >> (n % 64) & 1;
}

/** vfm_trial_log_memory() - map the memory of a log, and log nothing yet. */
int vfm_trial_log_memory(struct vfm_trial *t, struct vfm_trial_log *log) VFM_MUST_CHECK;

/** vfm_trial_try_start() - of a log of all of it; what the device says is returned as it is. */
int vfm_trial_try_start(struct vfm_trial *t, struct vfm_trial_log *log, uint64_t page_size,
			struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_trial_log() - memory, and a log of it in pages of 4096 bytes, or as large as they must be.
 */
int vfm_trial_log(struct vfm_trial *t, struct vfm_trial_log *log) VFM_MUST_CHECK;

/** vfm_trial_dirty() - make the device write into one unit. */
int vfm_trial_dirty(struct vfm_trial *t, const struct vfm_trial_log *log,
		    uint64_t unit) VFM_MUST_CHECK;

/** vfm_trial_try_report() - of some units; bits are set in @b. */
int vfm_trial_try_report(struct vfm_trial *t, const struct vfm_trial_log *log, uint64_t first,
			 uint64_t count, struct vfm_trial_bitmap *b,
			 struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_trial_report() - the same, into a bitmap that is cleared before; an error blocks. */
int vfm_trial_report(struct vfm_trial *t, const struct vfm_trial_log *log, uint64_t first,
		     uint64_t count, struct vfm_trial_bitmap *b) VFM_MUST_CHECK;

/** vfm_trial_reported() - bit @n must be set, for the unit @unit; @what says in which report. */
int vfm_trial_reported(struct vfm_trial *t, const struct vfm_trial_log *log,
		       const struct vfm_trial_bitmap *b, uint64_t n, uint64_t unit,
		       const char *what) VFM_MUST_CHECK;

#endif
