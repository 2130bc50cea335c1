// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What the files of the checker share.
 *
 *   rules.c          the order of the rules
 *   rules_*.c        rules, by what they are about
 *   trial.c          one rule on one device: what rules call
 *   v1_trial.c       the same for the migration region
 *   run.c            a process for each trial, a watchdog, and what comes of it
 *
 * A rule is a function that drives a device. What it wants to know may fail in ways that
 * are not its business: if the way there cannot be gone (vfm_trial_go() and others), it
 * is blocked, which counts as skipped: there is another rule about that. So a bug is
 * found by the rule that is about it and not by all.
 */

#ifndef VFM_CHECK_CHECK_H
#define VFM_CHECK_CHECK_H

#include <vfmig/check.h>

/*
 * What a device, or the run, must have for a rule to be tried. The first three are
 * VFM_MIGRATION_*.
 */
#define VFM_NEED_STOP_COPY (1u << 0)
#define VFM_NEED_P2P (1u << 1)
#define VFM_NEED_PRE_COPY (1u << 2)
#define VFM_NEED_RESET (1u << 8)  /* vfm_device_reset() works */
#define VFM_NEED_LOG (1u << 9)	  /* a dirty log */
#define VFM_NEED_V1 (1u << 10)	  /* the migration region; the rule gets it in that form */
#define VFM_NEED_WRITE (1u << 11) /* those of struct vfm_exercise */
#define VFM_NEED_STREAM (1u << 12)
#define VFM_NEED_INTERRUPT (1u << 13)
#define VFM_NEED_CHANGE (1u << 14)
#define VFM_NEED_CONFIG (1u << 15) /* PCI configuration space */
#define VFM_NEED_SIZE (1u << 16)   /* it tells a data size */
#define VFM_NEED_TIME (1u << 17)   /* long: not tried with quick */
#define VFM_NEED_NO_P2P (1u << 18) /* of the features that it must lack */
#define VFM_NEED_NO_PRE_COPY (1u << 19)

struct vfm_trial;

/**
 * struct vfm_rule - a rule and how it is tried
 * @is: what it says
 * @needs: VFM_NEED_*
 * @run: with the device in RUNNING. Returns 0 when it passed, else what vfm_trial_fail() or one
 *	of its kin returned. It need not put the device back
 */
struct vfm_rule {
	struct vfm_check_rule is;
	uint32_t needs;
	int (*run)(struct vfm_trial *t);
};

/** vfm_rule_at() - in the order of their trial; NULL beyond the last. */
const struct vfm_rule *vfm_rule_at(size_t n);

/* The tables, each in its rules_*.c. */
extern const struct vfm_rule vfm_rules_arc[];
extern const size_t vfm_nr_rules_arc;
extern const struct vfm_rule vfm_rules_v1_register[];
extern const size_t vfm_nr_rules_v1_register;
extern const struct vfm_rule vfm_rules_v1_state[];
extern const size_t vfm_nr_rules_v1_state;
extern const struct vfm_rule vfm_rules_v1_save[];
extern const size_t vfm_nr_rules_v1_save;
extern const struct vfm_rule vfm_rules_v1_data[];
extern const size_t vfm_nr_rules_v1_data;
extern const struct vfm_rule vfm_rules_v1_resume[];
extern const size_t vfm_nr_rules_v1_resume;
extern const struct vfm_rule vfm_rules_v1_refuse[];
extern const size_t vfm_nr_rules_v1_refuse;

/* ---- trial.c ---------------------------------------------------------------- */

/**
 * struct vfm_trial - one rule on one device, in a process of its own
 * @dev: its operations are noted
 * @opts: of the run
 * @rule: which
 * @info, @migration: of the device; @migration 0: it cannot migrate
 * @region: of the migration region, for rules that need it
 * @described: that region; some devices describe nothing while they are stopped
 * @exercise: what the device's exercise has made for itself
 * @seed: of this trial, for vfm_trial_random()
 * @result: shared with the process that waits
 * @gone: the device has gone away meanwhile
 */
struct vfm_trial {
	struct vfm_device *dev;
	const struct vfm_check_opts *opts;
	const struct vfm_rule *rule;
	struct vfm_device_info info;
	uint64_t migration;
	uint32_t region;
	struct vfm_region described;
	void *exercise;
	uint64_t seed;
	struct vfm_check_result *result;
	bool gone;
};

/**
 * vfm_trial_fail() - the rule does not hold; the first evidence stays
 *
 * Made to be one statement: return vfm_trial_fail(t, "...", ...);
 */
int vfm_trial_fail(struct vfm_trial *t, const char *fmt, ...) VFM_PRINTF(2, 3);

/** vfm_trial_skip() - the device lacks what the rule is about. */
int vfm_trial_skip(struct vfm_trial *t, const char *fmt, ...) VFM_PRINTF(2, 3);

/** vfm_trial_blocked() - the rule could not be tried, as what was attempted first has failed. */
int vfm_trial_blocked(struct vfm_trial *t, const struct vfm_err *err);

/** vfm_trial_random() - the next number of the seed. */
uint64_t vfm_trial_random(struct vfm_trial *t);

/**
 * vfm_trial_go() - to a state, as far as that is not what the rule is about
 *
 * Out of RESUMING and ERROR by a reset: what was loaded is dropped.
 */
int vfm_trial_go(struct vfm_trial *t, enum vfm_state state) VFM_MUST_CHECK;

/** vfm_trial_reset() - fresh, in RUNNING, as far as that is not what the rule is about. */
int vfm_trial_reset(struct vfm_trial *t) VFM_MUST_CHECK;

/** vfm_trial_in_state() - it must be there now; @after says after what. */
int vfm_trial_in_state(struct vfm_trial *t, enum vfm_state state, const char *after) VFM_MUST_CHECK;

/** vfm_trial_refused() - a call that must fail returned @ret; @what it was. */
int vfm_trial_refused(struct vfm_trial *t, int ret, const char *what) VFM_MUST_CHECK;

/** struct vfm_image - all bytes of a data session; free @data */
struct vfm_image {
	uint8_t *data;
	size_t size;
};

/** Most bytes of an image that is looked at; a device with more is not tried. */
#define VFM_IMAGE_MAX ((size_t)256 << 20)

/** vfm_trial_save() - from where it is to STOP_COPY, and all of the data session. */
int vfm_trial_save(struct vfm_trial *t, struct vfm_image *image) VFM_MUST_CHECK;

/** vfm_trial_write() - to RESUMING, and all of an image; no further. */
int vfm_trial_write(struct vfm_trial *t, const struct vfm_image *image) VFM_MUST_CHECK;

#endif
