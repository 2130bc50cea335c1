// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about the accounting of pre-copy: what a device says is left to read. Users decide
 * by it when to stop the machine. Where the way to the device cannot carry the question,
 * they are skipped.
 */

#include "check/check.h"

#include <errno.h>
#include <inttypes.h>

#include "base/util.h"

#define BUFFER ((size_t)64 << 10)

/* Of an accounting that is looked at while it is read. */
#define STEPS 48

static uint8_t buffer[BUFFER];

/* To PRE_COPY, and what is left there before anything was read. */
static int enter(struct vfm_trial *t, struct vfm_precopy_info *info)
{
	int ret = vfm_trial_go(t, VFM_STATE_PRE_COPY);
	struct vfm_err err;

	if (ret)
		return ret;
	*info = (struct vfm_precopy_info){ 0 };
	ret = vfm_device_get_precopy_info(t->dev, info, &err);
	if (ret == -ENOTTY)
		return vfm_trial_skip(t, "what pre-copy has left cannot be asked here");
	return ret ? vfm_trial_blocked(t, &err) : 0;
}

/* What @info has before is there for a device that does not fill it in. */
static int ask_with(struct vfm_trial *t, struct vfm_precopy_info *info)
{
	struct vfm_err err;

	return vfm_device_get_precopy_info(t->dev, info, &err) ? vfm_trial_blocked(t, &err) : 0;
}

static int ask(struct vfm_trial *t, struct vfm_precopy_info *info)
{
	*info = (struct vfm_precopy_info){ 0 };
	return ask_with(t, info);
}

/* @n: bytes that came; 0: there is nothing now. */
static int read_step(struct vfm_trial *t, size_t len, size_t *n)
{
	struct vfm_err err;
	ssize_t got = vfm_device_read_data(t->dev, buffer, len, &err);

	*n = got > 0 ? (size_t)got : 0;
	return got < 0 && got != -ENOMSG ? vfm_trial_blocked(t, &err) : 0;
}

static int drain(struct vfm_trial *t)
{
	size_t n, total = 0;
	int ret = read_step(t, BUFFER, &n);

	while (!ret && n) {
		total += n;
		if (total > VFM_IMAGE_MAX || vfm_trial_late(t))
			return vfm_trial_skip(t,
					      "could not be tried: PRE_COPY gives data without a "
					      "break, %zu bytes",
					      total);
		ret = read_step(t, BUFFER, &n);
	}
	return ret;
}

/* Reads that see the initial bytes fall in many steps, and are not tiny. */
static size_t step_size(const struct vfm_precopy_info *first)
{
	uint64_t step = first->initial_bytes / (STEPS / 2);

	return (size_t)VFM_MIN(VFM_MAX(step, UINT64_C(64)), BUFFER);
}

static int info_answers(struct vfm_trial *t)
{
	static const enum vfm_state states[] = { VFM_STATE_PRE_COPY, VFM_STATE_PRE_COPY_P2P };
	struct vfm_precopy_info info = { 0 };
	struct vfm_err err;
	int ret = 0;

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(states); i++) {
		if (!vfm_state_exists(t->migration, states[i]))
			continue;
		ret = vfm_trial_go(t, states[i]);
		if (ret)
			return ret;
		ret = vfm_device_get_precopy_info(t->dev, &info, &err);
		if (ret == -ENOTTY)
			return vfm_trial_skip(t, "what pre-copy has left cannot be asked here");
		if (ret)
			ret = vfm_trial_fail(t, "in %s what is left cannot be asked: %s",
					     vfm_state_name(states[i]), err.msg);
	}
	return ret;
}

static int info_only_in_precopy(struct vfm_trial *t)
{
	struct vfm_precopy_info info = { 0 };
	int ret = enter(t, &info);

	for (unsigned int s = 0; !ret && s < VFM_NR_STATES; s++) {
		if (s == VFM_STATE_ERROR || vfm_state_is_precopy((enum vfm_state)s) ||
		    !vfm_state_exists(t->migration, (enum vfm_state)s))
			continue;
		ret = vfm_trial_go(t, (enum vfm_state)s);
		if (!ret && !vfm_device_get_precopy_info(t->dev, &info, NULL))
			ret = vfm_trial_fail(
				t,
				"in %s the device tells what pre-copy has left, initial "
				"%" PRIu64 ", dirty %" PRIu64 "; it must refuse",
				vfm_state_name((enum vfm_state)s), info.initial_bytes,
				info.dirty_bytes);
	}
	return ret;
}

static int info_is_answered(struct vfm_trial *t)
{
	const struct vfm_precopy_info asked[] = {
		{ UINT64_C(0x5a5a5a5a5a5a5a5a), UINT64_C(0x5b5b5b5b5b5b5b5b), false },
		{ UINT64_C(0xa5a5a5a5a5a5a5a5), UINT64_C(0xa6a6a6a6a6a6a6a6), true },
	};
	struct vfm_precopy_info first, a = asked[0], b = asked[1];
	int ret = enter(t, &first);

	if (!ret)
		ret = ask_with(t, &a);
	if (!ret)
		ret = ask_with(t, &b);
	if (ret)
		return ret;
	if (a.reinit != b.reinit)
		return vfm_trial_fail(t, "reinit comes back as it was passed in, once false and "
					 "once true, with nothing in between");
	if (a.initial_bytes == asked[0].initial_bytes ||
	    b.initial_bytes == asked[1].initial_bytes || a.dirty_bytes == asked[0].dirty_bytes ||
	    b.dirty_bytes == asked[1].dirty_bytes)
		return vfm_trial_fail(t,
				      "a count comes back as it was passed in: initial 0x%" PRIx64
				      " and 0x%" PRIx64 ", dirty 0x%" PRIx64 " and 0x%" PRIx64,
				      a.initial_bytes, b.initial_bytes, a.dirty_bytes,
				      b.dirty_bytes);
	return 0;
}

/* v1 has one register for both, and it may be 0 at first. */
static int initial_not_zero(struct vfm_trial *t)
{
	struct vfm_precopy_info info = { 0 };
	struct vfm_protocol protocol;
	int ret;

	if (!vfm_device_get_protocol(t->dev, &protocol, NULL) && protocol.version == 1)
		return vfm_trial_skip(t, "protocol v1 does not tell initial data from other");
	ret = enter(t, &info);
	if (!ret && !info.initial_bytes)
		ret = vfm_trial_fail(
			t, "on entry to PRE_COPY initial_bytes is 0, dirty_bytes %" PRIu64,
			info.dirty_bytes);
	return ret;
}

static int dirty_begins_at_zero(struct vfm_trial *t)
{
	struct vfm_precopy_info info = { 0 };
	int ret = enter(t, &info);

	if (!ret && info.dirty_bytes)
		ret = vfm_trial_fail(t,
				     "on entry to PRE_COPY dirty_bytes is %" PRIu64
				     ", before anything was read",
				     info.dirty_bytes);
	return ret;
}

/*
 * Read step by step, and give what is left before and after each to @look, until there is
 * nothing now. The first look is after the first step.
 */
static int watch(struct vfm_trial *t,
		 int (*look)(struct vfm_trial *t, const struct vfm_precopy_info *before, size_t n,
			     const struct vfm_precopy_info *after))
{
	struct vfm_precopy_info before, after;
	int ret = enter(t, &before);
	size_t step = ret ? 0 : step_size(&before), n = 1;

	for (unsigned int i = 0; !ret && n && i < STEPS; i++) {
		ret = read_step(t, step, &n);
		if (!ret)
			ret = ask(t, &after);
		if (!ret && i)
			ret = look(t, &before, n, &after);
		before = after;
	}
	return ret;
}

static int look_rises(struct vfm_trial *t, const struct vfm_precopy_info *before, size_t n,
		      const struct vfm_precopy_info *after)
{
	if (after->initial_bytes <= before->initial_bytes || after->reinit)
		return 0;
	return vfm_trial_fail(t,
			      "a read of %zu bytes made initial_bytes rise from %" PRIu64
			      " to %" PRIu64 ", without reinit",
			      n, before->initial_bytes, after->initial_bytes);
}

static int initial_only_falls(struct vfm_trial *t)
{
	return watch(t, look_rises);
}

static int look_dirty_first(struct vfm_trial *t, const struct vfm_precopy_info *before, size_t n,
			    const struct vfm_precopy_info *after)
{
	if (!after->initial_bytes || after->dirty_bytes >= before->dirty_bytes || after->reinit)
		return 0;
	return vfm_trial_fail(t,
			      "a read of %zu bytes made dirty_bytes fall from %" PRIu64
			      " to %" PRIu64 " while initial_bytes is %" PRIu64 " still",
			      n, before->dirty_bytes, after->dirty_bytes, after->initial_bytes);
}

static int initial_before_dirty(struct vfm_trial *t)
{
	return watch(t, look_dirty_first);
}

static int initial_ends(struct vfm_trial *t)
{
	struct vfm_precopy_info first, info;
	int ret = enter(t, &first);

	if (!ret)
		ret = drain(t);
	if (!ret)
		ret = ask(t, &info);
	if (!ret && info.initial_bytes && !info.reinit)
		ret = vfm_trial_fail(t,
				     "PRE_COPY has nothing now, and initial_bytes is %" PRIu64
				     ", of %" PRIu64 " at the beginning",
				     info.initial_bytes, first.initial_bytes);
	return ret;
}

/* A device that changes by itself may say so several times; each time there must be data. */
static int dirty_can_be_read(struct vfm_trial *t)
{
	struct vfm_precopy_info info = { 0 };
	size_t n = 1;
	int ret = enter(t, &info);

	if (!ret)
		ret = drain(t);
	for (unsigned int i = 0; !ret && n && i < 8; i++) {
		ret = ask(t, &info);
		if (ret || !info.dirty_bytes)
			return ret;
		ret = read_step(t, BUFFER, &n);
		if (!ret && !n)
			return vfm_trial_fail(t,
					      "dirty_bytes is %" PRIu64
					      " in PRE_COPY, and a read gives nothing",
					      info.dirty_bytes);
		if (!ret)
			ret = drain(t);
	}
	return ret;
}

static int reinit_has_initial(struct vfm_trial *t)
{
	struct vfm_precopy_info info = { 0 };
	int ret = enter(t, &info);

	for (unsigned int i = 0; !ret && i < 2; i++) {
		if (info.reinit && !info.initial_bytes)
			return vfm_trial_fail(t, "reinit says that there is new initial data, and "
						 "initial_bytes is 0");
		ret = drain(t);
		if (!ret)
			ret = ask(t, &info);
	}
	return ret;
}

#define PRECOPY_INFO "uAPI, struct vfio_precopy_info"

const struct vfm_rule vfm_rules_precopy[] = {
	{
		.is = { .name = "v2.precopy.info-answers",
			.title = "what is left can be asked in PRE_COPY and PRE_COPY_P2P",
			.source = "uAPI, VFIO_MIG_GET_PRECOPY_INFO: mandatory with PRE_COPY, and "
				  "legal in both of its states",
			.text = "Without it a user cannot tell when it is worth to stop the "
				"machine. A driver that compares its state with PRE_COPY alone "
				"forgets the other one, in which a machine with several devices "
				"waits for the rest of them.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_PRE_COPY,
		.run = info_answers,
	},
	{
		.is = { .name = "v2.precopy.info-only-in-precopy",
			.title = "what is left in pre-copy is not told in any other state",
			.source = "uAPI, VFIO_MIG_GET_PRECOPY_INFO: EINVAL outside of PRE_COPY and "
				  "PRE_COPY_P2P",
			.text = "After STOP_COPY was entered there is nothing that a user could do "
				"with the numbers, and those of a session that has ended mislead: "
				"initial_bytes of 0, say, means that the destination is "
				"prepared.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_PRE_COPY,
		.run = info_only_in_precopy,
	},
	{
		.is = { .name = "v2.precopy.info-is-answered",
			.title = "what is left is the device's answer and not what was passed in",
			.source = PRECOPY_INFO ", flags: output, as defined for "
					       "VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2",
			.text = "The first drivers copied the whole struct from the user, filled "
				"in "
				"the two counts, and copied it back: the flags were the user's "
				"own. "
				"So nobody could trust them, and a second version of the call had "
				"to be made when they got a meaning.\n\n"
				"The call is made twice with other values in all members; none may "
				"come back.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_PRE_COPY,
		.run = info_is_answered,
	},
	{
		.is = { .name = "v2.precopy.initial-not-zero",
			.title = "on entry to PRE_COPY initial_bytes is not 0",
			.source = PRECOPY_INFO ", initial_bytes: begins with a non-zero value",
			.text = "initial_bytes of 0 means that the destination has all that it "
				"needs "
				"to prepare itself. Users that wait for this before they stop the "
				"machine would not wait at all.\n\nA device without initial data "
				"counts its header, or the block that tells its model.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_PRE_COPY,
		.run = initial_not_zero,
	},
	{
		.is = { .name = "v2.precopy.initial-only-falls",
			.title = "initial_bytes never rises, unless reinit says so",
			.source = PRECOPY_INFO ", initial_bytes: decreases as data is read",
			.text = "A user that has seen 0 once has told the destination to prepare, "
				"and does not look again. New initial data is announced by the "
				"flag, to those who have asked for it; other data that has come "
				"since is dirty_bytes.\n\nThe session is read in some fifty steps, "
				"with a question after each.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_PRE_COPY,
		.run = initial_only_falls,
	},
	{
		.is = { .name = "v2.precopy.initial-ends",
			.title = "initial_bytes is 0 when PRE_COPY has nothing more",
			.source = PRECOPY_INFO ", initial_bytes: what should be read before the "
					       "device is stopped",
			.text = "A user that waits for 0 waits for ever if the number counts "
				"something that a read never gives. Count what the reader gets: "
				"headers of records, too.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_PRE_COPY,
		.run = initial_ends,
	},
	{
		.is = { .name = "v2.precopy.initial-before-dirty",
			.title = "initial data comes before dirty data",
			.source = PRECOPY_INFO ": the stream is ordered, initial data precedes the "
					       "data of states that have changed",
			.text = "Who reads initial_bytes bytes expects to have the initial data. "
				"If dirty_bytes falls by a read while initial_bytes is not 0, the "
				"device gave out the one before the other.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_PRE_COPY,
		.run = initial_before_dirty,
	},
	{
		.is = { .name = "v2.precopy.dirty-begins-at-zero",
			.title = "on entry to PRE_COPY dirty_bytes is 0",
			.source = PRECOPY_INFO ", dirty_bytes: begins with 0, relative to the "
					       "initial data",
			.text = "What the device has at the beginning is initial data, or is left "
				"to "
				"STOP_COPY. A device that is very busy may have changed between "
				"the entry and the question, so this is a note.\n",
			.severity = VFM_SEVERITY_NOTE },
		.needs = VFM_NEED_PRE_COPY,
		.run = dirty_begins_at_zero,
	},
	{
		.is = { .name = "v2.precopy.dirty-can-be-read",
			.title = "when dirty_bytes is not 0 a read in PRE_COPY gives data",
			.source = PRECOPY_INFO ", dirty_bytes: data that is available to be read",
			.text = "The machine is stopped when little is left. If the number counts "
				"what pre-copy will never give, as what comes in STOP_COPY, it "
				"does "
				"not get small, and the migration never ends. A device that has "
				"said once that there is nothing must look again after it has "
				"changed.\n\nAfter pre-copy was read until there is nothing, the "
				"device is asked; for what it says then, a read must give "
				"something. That is tried up to eight times.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_PRE_COPY,
		.run = dirty_can_be_read,
	},
	{
		.is = { .name = "v2.precopy.reinit-has-initial",
			.title = "reinit comes with initial bytes",
			.source = PRECOPY_INFO ", VFIO_PRECOPY_INFO_REINIT: new initial data has "
					       "appeared, and initial_bytes is a fresh value",
			.text = "A user that sees the flag begins to wait for the initial data "
				"again, and one that has decided to stop the machine fails the "
				"migration. So it must not be there without a reason.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_PRE_COPY,
		.run = reinit_has_initial,
	},
};
const size_t vfm_nr_rules_precopy = VFM_ARRAY_SIZE(vfm_rules_precopy);
