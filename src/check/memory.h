// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Memory of ours that the device reaches by DMA, and how to see what it does to it.
 * As in trial.c: what fails on the way to what a rule is about blocks the rule.
 */

#ifndef VFM_CHECK_MEMORY_H
#define VFM_CHECK_MEMORY_H

#include "check/check.h"

#define VFM_TRIAL_PAGE 4096u

/** Most pages of one memory. */
#define VFM_TRIAL_MAX_PAGES 1024u

/** Where memory of a rule begins that wants no other address. */
#define VFM_TRIAL_IOVA (UINT64_C(16) << 20)

/** How long nothing must happen for us to say that nothing happens. */
#define VFM_TRIAL_QUIET_MS 20u

/** How long we wait for what must happen; machines are slow at times. */
#define VFM_TRIAL_WAIT_MS 1000u

/**
 * struct vfm_trial_memory - a range of memory
 * @iova, @size: where the device sees it; whole pages, at most VFM_TRIAL_MAX_PAGES
 * @at: where we see it
 * @fd: a file that holds it, from @fd_offset on; -1: it is reached by its address alone
 *
 * It is never given back: a device that goes on writing to what was taken away from it is a
 * finding, and shall not take the process of the trial down. That ends soon.
 */
struct vfm_trial_memory {
	uint64_t iova;
	uint64_t size;
	uint8_t *at;
	int fd;
	uint64_t fd_offset;
};

/** vfm_trial_new_memory() - all zeros, not yet mapped. */
int vfm_trial_new_memory(struct vfm_trial *t, struct vfm_trial_memory *mem, uint64_t iova,
			 uint64_t size) VFM_MUST_CHECK;

/** vfm_trial_map_file() - our view of the file of it; NULL: errno. */
uint8_t *vfm_trial_map_file(const struct vfm_trial_memory *mem) VFM_MUST_CHECK;

/** vfm_trial_try_map() - map it, with VFM_DMA_*; what the device says is returned as it is. */
int vfm_trial_try_map(struct vfm_trial *t, const struct vfm_trial_memory *mem, uint32_t flags,
		      struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_trial_map() - new memory, mapped to be read and written. */
int vfm_trial_map(struct vfm_trial *t, struct vfm_trial_memory *mem, uint64_t iova,
		  uint64_t size) VFM_MUST_CHECK;

/** vfm_trial_try_write() - make the device write there; what its exercise says is returned. */
int vfm_trial_try_write(struct vfm_trial *t, uint64_t iova, uint64_t size,
			struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_trial_write_pages() - make the device write pages, counted from the start of @mem. */
int vfm_trial_write_pages(struct vfm_trial *t, const struct vfm_trial_memory *mem, uint64_t first,
			  uint64_t count) VFM_MUST_CHECK;

/** vfm_trial_stream() - make the device write there all the time, and see that it does. */
int vfm_trial_stream(struct vfm_trial *t, const struct vfm_trial_memory *mem) VFM_MUST_CHECK;

/** vfm_trial_begin_again() - the exercise, after a reset. */
int vfm_trial_begin_again(struct vfm_trial *t) VFM_MUST_CHECK;

/**
 * vfm_trial_serve() - let the device work, and wait
 * @fd: wait until it can be read, too; or -1
 *
 * Return: whether @fd can be read.
 */
bool vfm_trial_serve(struct vfm_trial *t, int fd, unsigned int ms);

/**
 * vfm_trial_changes() - whether the device writes there
 * @ms: at most; it is over with the first page that changes
 * @where: the IOVA of that
 */
bool vfm_trial_changes(struct vfm_trial *t, const struct vfm_trial_memory *mem, unsigned int ms,
		       uint64_t *where);

/** vfm_trial_quiet() - nothing must be written there now; @when says when that is. */
int vfm_trial_quiet(struct vfm_trial *t, const struct vfm_trial_memory *mem,
		    const char *when) VFM_MUST_CHECK;

#endif
