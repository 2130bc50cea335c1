// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What the files of the checker share.
 *
 *   rules.c          the order of the rules
 *   rules_*.c        rules, by what they are about
 *   trial.c          one rule on one device: what rules call
 *   run.c            all of them, and what is made of it
 *   watch.c          a process for each, and the watchdog
 *   child.c          what is done in it
 *   session.c        ways through a data session
 *   image.c          images: read, and offered
 *   v1_trial.c       the same for the migration region
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
 * What a device, or the run, must have for a rule to be tried, and how it is wanted. The first
 * three are VFM_MIGRATION_*.
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
#define VFM_NEED_CONFIG (1u << 15)	/* PCI configuration space */
#define VFM_NEED_SIZE (1u << 16)	/* it tells a data size */
#define VFM_NEED_NO_PRE_COPY (1u << 17) /* which it must lack */
#define VFM_NEED_AS_IT_IS (1u << 18)	/* not reset before */

struct vfm_hooks;
struct vfm_trial;

/**
 * struct vfm_rule - a rule and how it is tried
 * @is: what it says
 * @needs: VFM_NEED_*
 * @run: with the device in RUNNING, and reset if it can be. Returns 0 when it passed, else what
 *	vfm_trial_fail() or one of its kin returned. It need not put the device back
 */
struct vfm_rule {
	struct vfm_check_rule is;
	uint32_t needs;
	int (*run)(struct vfm_trial *t);
};

/** vfm_rule_at() - in the order of their trial; NULL beyond the last. */
const struct vfm_rule *vfm_rule_at(size_t n);

/* The tables, each in its rules_*.c. */
extern const struct vfm_rule vfm_rules_discovery[];
extern const size_t vfm_nr_rules_discovery;
extern const struct vfm_rule vfm_rules_describe[];
extern const size_t vfm_nr_rules_describe;
extern const struct vfm_rule vfm_rules_arc[];
extern const size_t vfm_nr_rules_arc;
extern const struct vfm_rule vfm_rules_session[];
extern const size_t vfm_nr_rules_session;
extern const struct vfm_rule vfm_rules_position[];
extern const size_t vfm_nr_rules_position;
extern const struct vfm_rule vfm_rules_reset[];
extern const size_t vfm_nr_rules_reset;
extern const struct vfm_rule vfm_rules_race[];
extern const size_t vfm_nr_rules_race;
extern const struct vfm_rule vfm_rules_stream[];
extern const size_t vfm_nr_rules_stream;
extern const struct vfm_rule vfm_rules_precopy[];
extern const size_t vfm_nr_rules_precopy;
extern const struct vfm_rule vfm_rules_size[];
extern const size_t vfm_nr_rules_size;
extern const struct vfm_rule vfm_rules_image[];
extern const size_t vfm_nr_rules_image;
extern const struct vfm_rule vfm_rules_carry[];
extern const size_t vfm_nr_rules_carry;
extern const struct vfm_rule vfm_rules_damage[];
extern const size_t vfm_nr_rules_damage;
extern const struct vfm_rule vfm_rules_foreign[];
extern const size_t vfm_nr_rules_foreign;
extern const struct vfm_rule vfm_rules_order[];
extern const size_t vfm_nr_rules_order;
extern const struct vfm_rule vfm_rules_stop[];
extern const size_t vfm_nr_rules_stop;
extern const struct vfm_rule vfm_rules_stop_dma[];
extern const size_t vfm_nr_rules_stop_dma;
extern const struct vfm_rule vfm_rules_irq[];
extern const size_t vfm_nr_rules_irq;
extern const struct vfm_rule vfm_rules_dma[];
extern const size_t vfm_nr_rules_dma;
extern const struct vfm_rule vfm_rules_log[];
extern const size_t vfm_nr_rules_log;
extern const struct vfm_rule vfm_rules_log_pages[];
extern const size_t vfm_nr_rules_log_pages;
extern const struct vfm_rule vfm_rules_log_ranges[];
extern const size_t vfm_nr_rules_log_ranges;
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
 * @dev: its operations are noted; NULL if it could not be opened again
 * @opts: of the run
 * @rule: which
 * @info, @migration: of the device; @migration 0: it cannot migrate
 * @has_region, @region: whether there is a migration region, and which, for rules that need it
 * @described: that region; some devices describe nothing while they are stopped
 * @exercise: what the device's exercise has made for itself
 * @seed: of this trial, for vfm_trial_random()
 * @hooks: who is told of operations
 * @late_ns: when it has used so much of its time that it should come to an end
 * @result: shared with the process that waits
 */
struct vfm_trial {
	struct vfm_device *dev;
	const struct vfm_check_opts *opts;
	const struct vfm_rule *rule;
	struct vfm_device_info info;
	uint64_t migration;
	bool has_region;
	uint32_t region;
	struct vfm_region described;
	void *exercise;
	uint64_t seed;
	const struct vfm_hooks *hooks;
	uint64_t late_ns;
	struct vfm_check_result *result;
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

/** vfm_trial_late() - whether to be content with what was tried: half of the time is used. */
bool vfm_trial_late(const struct vfm_trial *t);

/**
 * vfm_trial_go() - to a state, as far as that is not what the rule is about
 *
 * Out of RESUMING and ERROR by a reset: what was loaded is dropped. From STOP_COPY to a state
 * of pre-copy, which there is no path to, by RUNNING.
 */
int vfm_trial_go(struct vfm_trial *t, enum vfm_state state) VFM_MUST_CHECK;

/** vfm_trial_open() - @t->dev, in the form that its rule wants. */
int vfm_trial_open(struct vfm_trial *t, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_trial_reopen() - close it, and open it again; one that does not let us in is blocked. */
int vfm_trial_reopen(struct vfm_trial *t) VFM_MUST_CHECK;

/**
 * vfm_trial_each() - to each of these states that the device has, and look there
 *
 * @look: as the function of a rule; @seen is handed to it. Until it returns another value than 0
 *
 * A state that is not reached blocks the rule.
 */
int vfm_trial_each(struct vfm_trial *t, const enum vfm_state *states, size_t nr,
		   int (*look)(struct vfm_trial *t, enum vfm_state state, void *seen),
		   void *seen) VFM_MUST_CHECK;

/** vfm_trial_each_state() - the same with all states but ERROR, in the order of their numbers. */
int vfm_trial_each_state(struct vfm_trial *t,
			 int (*look)(struct vfm_trial *t, enum vfm_state state, void *seen),
			 void *seen) VFM_MUST_CHECK;

/** vfm_trial_reset() - fresh, in RUNNING, as far as that is not what the rule is about. */
int vfm_trial_reset(struct vfm_trial *t) VFM_MUST_CHECK;

/** vfm_trial_in_state() - it must be there now; @after says after what. */
int vfm_trial_in_state(struct vfm_trial *t, enum vfm_state state, const char *after) VFM_MUST_CHECK;

/** vfm_trial_is_in() - whether it is there, where that is not what the rule is about. */
bool vfm_trial_is_in(struct vfm_trial *t, enum vfm_state state);

/** vfm_trial_refused() - a call that must fail returned @ret; @what it was. */
int vfm_trial_refused(struct vfm_trial *t, int ret, const char *what) VFM_MUST_CHECK;

/* ---- what several files cite ------------------------------------------------------ */

#define VFM_CITE_PROVED                                                                            \
	"uAPI, enum vfio_device_mig_state, RESUMING -> STOP: the device is restored from what "    \
	"was written, or the arc fails"

/* ---- image.c ---------------------------------------------------------------- */

/**
 * struct vfm_image - bytes of a data session; zero it, or copy one to try a part of it
 * @data: to be freed with vfm_image_free()
 * @ends: where chunks end, rising; those beyond @size do not count
 */
struct vfm_image {
	uint8_t *data;
	size_t size;
	size_t *ends;
	size_t nr_ends;
};

void vfm_image_free(struct vfm_image *image);

/** vfm_image_same() - otherwise @at is the first byte that differs, or where one ends. */
bool vfm_image_same(const struct vfm_image *a, const struct vfm_image *b, size_t *at);

/** Most bytes of an image that is looked at; a device with more is not tried. */
#define VFM_IMAGE_MAX ((size_t)256 << 20)

/**
 * enum vfm_cut - in what pieces a data session is read or written
 *
 * An image that is large is so at its ends only, since the number of calls is bounded.
 */
enum vfm_cut {
	VFM_CUT_LARGE, /* 1 MiB */
	VFM_CUT_BYTE,
	VFM_CUT_ODD,
	VFM_CUT_PAGE,
	VFM_CUT_RANDOM,
	VFM_NR_CUTS
};

/** vfm_cut_name() - "pieces of 1 byte" and so on. */
const char *vfm_cut_name(enum vfm_cut cut);

/** struct vfm_pieces - one way through a stream; @total: its bytes, 0 when not known */
struct vfm_pieces {
	enum vfm_cut cut;
	size_t total;
};

/**
 * vfm_image_read() - read on, behind what the image has, until it has @most bytes
 *
 * Return: 0: so it is, or a read has returned 0; -ENOMSG: there is nothing now; -EFBIG: there
 * is more than VFM_IMAGE_MAX, or than can be read in the time that a rule has; another error
 * of the device. The image stays the caller's.
 */
int vfm_image_read(struct vfm_trial *t, struct vfm_image *image, struct vfm_pieces pieces,
		   size_t most, struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_image_copy() - with @room for more bytes, to be damaged
 * @copy: its bytes are to be freed with free(); chunks are borrowed from @image
 */
int vfm_image_copy(struct vfm_trial *t, const struct vfm_image *image, size_t room,
		   struct vfm_image *copy) VFM_MUST_CHECK;

/** vfm_image_write() - the bytes from @from to @to, in RESUMING. */
int vfm_image_write(struct vfm_trial *t, const struct vfm_image *image, size_t from, size_t to,
		    enum vfm_cut cut, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_trial_save() - from where it is to STOP_COPY, and all of the data session. */
int vfm_trial_save(struct vfm_trial *t, struct vfm_image *image) VFM_MUST_CHECK;

/** vfm_trial_save_again() - the same in a new session, also from STOP_COPY. */
int vfm_trial_save_again(struct vfm_trial *t, struct vfm_image *image) VFM_MUST_CHECK;

/** vfm_trial_write() - to RESUMING, and all of an image; no further. */
int vfm_trial_write(struct vfm_trial *t, const struct vfm_image *image) VFM_MUST_CHECK;

/** struct vfm_offer - what a device made of an image; @why: of one that was refused */
struct vfm_offer {
	bool accepted;
	struct vfm_err why;
};

/**
 * vfm_trial_prove() - RESUMING to STOP, where an image is accepted or refused
 *
 * A device of protocol v1 may do that only when it runs; then it is let run.
 */
void vfm_trial_prove(struct vfm_trial *t, struct vfm_offer *offer);

/** vfm_trial_load() - write an image in a new session, and have it proved. */
int vfm_trial_load(struct vfm_trial *t, const struct vfm_image *image, enum vfm_cut cut,
		   struct vfm_offer *offer) VFM_MUST_CHECK;

/** vfm_trial_offer() - reset the device, and load an image. */
int vfm_trial_offer(struct vfm_trial *t, const struct vfm_image *image,
		    struct vfm_offer *offer) VFM_MUST_CHECK;

/** vfm_trial_must_refuse() - an image that is damaged; @what says how. */
int vfm_trial_must_refuse(struct vfm_trial *t, const struct vfm_image *image,
			  const char *what) VFM_MUST_CHECK;

/** vfm_trial_saves_the_same() - else the rule is blocked; @when it was. It is stopped. */
int vfm_trial_saves_the_same(struct vfm_trial *t, const struct vfm_image *image,
			     const char *when) VFM_MUST_CHECK;

/** vfm_trial_good() - save an image, and see that the device accepts it. */
int vfm_trial_good(struct vfm_trial *t, struct vfm_image *image) VFM_MUST_CHECK;

/** vfm_trial_must_save() - it must save the same again; @text says what the two are of. */
int vfm_trial_must_save(struct vfm_trial *t, const struct vfm_image *image,
			const char *text) VFM_MUST_CHECK;

/**
 * vfm_trial_trusted() - a good image of which the device makes the same one again
 *
 * For rules that compare images. The device is in STOP_COPY then, and has read it whole.
 */
int vfm_trial_trusted(struct vfm_trial *t, struct vfm_image *image) VFM_MUST_CHECK;
/** vfm_trial_move() - as if to another device: saved, reset, and loaded; in RESUMING then. */
int vfm_trial_move(struct vfm_trial *t) VFM_MUST_CHECK;

/** vfm_trial_leave() - out of RESUMING with what was loaded, not by a reset. */
int vfm_trial_leave(struct vfm_trial *t, enum vfm_state state) VFM_MUST_CHECK;

#endif
