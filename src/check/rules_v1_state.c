// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Rules about device_state of the migration region, and about the reset that leads out of it. */

#include "check/v1_trial.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"

/* States that a user can bring a device to. */
static const uint32_t reachable[] = {
	VFM_V1_RUNNING, 0, VFM_V1_SAVING | VFM_V1_RUNNING, VFM_V1_SAVING, VFM_V1_RESUMING,
};

struct arc {
	uint32_t from, to;
};

static int walk(struct vfm_trial *t, const struct arc *arcs, size_t count)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < count; i++)
		ret = vfm_trial_v1_arc(t, vfm_v1_state_of(arcs[i].from),
				       vfm_v1_state_of(arcs[i].to));
	return ret;
}

/* ---- ways that must be there ------------------------------------------------------- */

/* 4 to 1 wants an image, and there is a rule about that; 3 is another matter, too. */
static int drawn(struct vfm_trial *t)
{
	static const struct arc arcs[] = { { 1, 0 }, { 1, 2 }, { 2, 0 }, { 1, 4 } };

	return walk(t, arcs, VFM_ARRAY_SIZE(arcs));
}

static int pre_copy(struct vfm_trial *t)
{
	return vfm_trial_v1_arc(t, VFM_V1_STATE_RUNNING, VFM_V1_STATE_PRE_COPY);
}

/* How far an iteration got when the state is changed. */
enum progress { NOT_BEGUN, PENDING_READ, OFFSET_READ, SIZE_READ, NR_PROGRESS };

static const char *const progresses[NR_PROGRESS] = {
	"before a read of the region",
	"after a read of pending_bytes",
	"after a read of data_offset",
	"after a read of data_size",
};

static int iterate_to(struct vfm_trial *t, enum progress progress, uint64_t *pending)
{
	uint64_t value;
	int ret = 0;

	*pending = 0;
	if (progress >= PENDING_READ)
		ret = vfm_trial_v1_get(t, VFM_V1_PENDING_BYTES, pending);
	if (!ret && *pending && progress >= OFFSET_READ)
		ret = vfm_trial_v1_get(t, VFM_V1_DATA_OFFSET, &value);
	if (!ret && *pending && progress >= SIZE_READ)
		ret = vfm_trial_v1_get(t, VFM_V1_DATA_SIZE, &value);
	return ret;
}

/* From PRE_COPY, at each point of an iteration. */
static int leave_pre_copy(struct vfm_trial *t, struct vfm_v1_state to)
{
	struct vfm_err err;
	uint64_t pending;
	int ret = 0;

	for (int at = NOT_BEGUN; !ret && at < NR_PROGRESS; at++) {
		ret = vfm_trial_v1_go(t, VFM_V1_STATE_RUNNING);
		if (!ret)
			ret = vfm_trial_v1_go(t, VFM_V1_STATE_PRE_COPY);
		if (!ret)
			ret = iterate_to(t, (enum progress)at, &pending);
		if (!ret && vfm_v1_set_state(t, to, &err))
			ret = vfm_trial_fail(t,
					     "in PRE_COPY, %s (%llu pending), %u was refused: %s",
					     progresses[at], (unsigned long long)pending,
					     vfm_v1_bits(to), err.msg);
	}
	return ret;
}

static int stop_at_any_time(struct vfm_trial *t)
{
	return leave_pre_copy(t, VFM_V1_STATE_STOP_COPY);
}

static int cancel(struct vfm_trial *t)
{
	static const struct arc arcs[] = { { 2, 1 } };
	int ret = leave_pre_copy(t, VFM_V1_STATE_RUNNING);

	return ret ? ret : walk(t, arcs, VFM_ARRAY_SIZE(arcs));
}

static int same(struct vfm_trial *t)
{
	static const struct arc arcs[] = { { 1, 1 }, { 2, 2 } };

	return walk(t, arcs, VFM_ARRAY_SIZE(arcs));
}

static int out_of_stop(struct vfm_trial *t)
{
	static const struct arc arcs[] = { { 0, 1 }, { 0, 2 } };

	return walk(t, arcs, VFM_ARRAY_SIZE(arcs));
}

/* ---- words that are no state --------------------------------------------------------- */

static const uint32_t invalid[] = { 5, 6, 7 };

static int invalid_refused(struct vfm_trial *t)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(reachable); i++)
		for (size_t k = 0; !ret && k < VFM_ARRAY_SIZE(invalid); k++) {
			struct vfm_v1_state from = vfm_v1_state_of(reachable[i]);

			ret = vfm_trial_v1_go(t, from);
			if (!ret && !vfm_v1_set_state(t, vfm_v1_state_of(invalid[k]), NULL))
				ret = vfm_trial_fail(t,
						     "in %s, %u was written to device_state and "
						     "not refused",
						     vfm_v1_state_name(from), invalid[k]);
		}
	return ret;
}

/* One write, whatever it is; then the register says where the device is. */
static int honest_arc(struct vfm_trial *t, struct vfm_v1_state from, struct vfm_v1_state to)
{
	struct vfm_v1_state now;
	int ret = vfm_trial_v1_go(t, from), refused;
	uint32_t bits;

	if (ret)
		return ret;
	refused = vfm_v1_set_state(t, to, NULL);
	ret = vfm_trial_v1_state(t, &now);
	if (ret)
		return ret;
	bits = vfm_v1_bits(now);
	if (refused && bits != vfm_v1_bits(from) && !vfm_v1_is_error(now))
		return vfm_trial_fail(t,
				      "in %s, %u was written and refused; then device_state read "
				      "0x%x: it must be %u still, or 6",
				      vfm_v1_state_name(from), vfm_v1_bits(to), now.word,
				      vfm_v1_bits(from));
	if (!refused && bits != vfm_v1_bits(to))
		return vfm_trial_fail(t,
				      "in %s, %u was written and taken; then device_state read "
				      "0x%x",
				      vfm_v1_state_name(from), vfm_v1_bits(to), now.word);
	return 0;
}

static int honest(struct vfm_trial *t)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(reachable); i++)
		for (uint32_t to = 0; !ret && to <= VFM_V1_MASK; to++)
			ret = honest_arc(t, vfm_v1_state_of(reachable[i]), vfm_v1_state_of(to));
	return ret;
}

/* ---- reserved bits -------------------------------------------------------------------- */

/* One more than the last state, bits further up, and all of them. */
static const uint32_t reserved[] = { 1u << 3, 1u << 12, 1u << 31, ~VFM_V1_MASK };

/* What came of PRE_COPY with reserved bits. */
struct reserved_write {
	uint32_t word;
	struct vfm_v1_state now;
	bool refused;
	struct vfm_err err;
};

/* Each time the device has just been reset: so no such bit was there before. */
static int each_reserved(struct vfm_trial *t,
			 int (*judge)(struct vfm_trial *t, const struct reserved_write *w))
{
	int ret = 0;

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(reserved); i++) {
		struct reserved_write w = { reserved[i] | VFM_V1_SAVING | VFM_V1_RUNNING };

		ret = vfm_trial_v1_fresh(t);
		if (ret)
			break;
		w.refused = vfm_v1_put_word(t, vfm_v1_state_of(w.word), &w.err);
		ret = vfm_trial_v1_state(t, &w.now);
		if (!ret)
			ret = judge(t, &w);
	}
	return ret;
}

static int judge_state(struct vfm_trial *t, const struct reserved_write *w)
{
	uint32_t want = w->refused ? VFM_V1_RUNNING : w->word & VFM_V1_MASK;

	if (vfm_v1_bits(w->now) == want)
		return 0;
	return vfm_trial_fail(t,
			      "0x%x was written in RUNNING and %s; then device_state read 0x%x: "
			      "its low bits must be %u",
			      w->word, w->refused ? "refused" : "taken", w->now.word, want);
}

static int reserved_is_no_index(struct vfm_trial *t)
{
	return each_reserved(t, judge_state);
}

static int judge_taken(struct vfm_trial *t, const struct reserved_write *w)
{
	return w->refused ? vfm_trial_fail(t, "0x%x was written in RUNNING and refused: %s",
					   w->word, w->err.msg)
			  : 0;
}

static int reserved_is_ignored(struct vfm_trial *t)
{
	return each_reserved(t, judge_taken);
}

static int judge_kept(struct vfm_trial *t, const struct reserved_write *w)
{
	if (w->refused || (w->now.word & ~VFM_V1_MASK) == (w->word & ~VFM_V1_MASK))
		return 0;
	return vfm_trial_fail(t,
			      "0x%x was written in RUNNING; then device_state read 0x%x: its "
			      "reserved bits must be the same",
			      w->word, w->now.word);
}

static int reserved_is_kept(struct vfm_trial *t)
{
	return each_reserved(t, judge_kept);
}

/* ---- reset ------------------------------------------------------------------------------ */

static int reset_from(struct vfm_trial *t, struct vfm_v1_state from)
{
	struct vfm_v1_state now;
	struct vfm_err err;
	int ret = vfm_trial_v1_go(t, from);

	if (ret)
		return ret;
	if (vfm_device_reset(t->dev, &err))
		return vfm_trial_fail(t, "in %s, a reset failed: %s", vfm_v1_state_name(from),
				      err.msg);
	ret = vfm_trial_v1_state(t, &now);
	if (!ret && vfm_v1_bits(now) != VFM_V1_RUNNING)
		ret = vfm_trial_fail(t,
				     "it was reset in %s; then device_state read 0x%x, and not "
				     "RUNNING",
				     vfm_v1_state_name(from), now.word);
	return ret;
}

static int reset_runs(struct vfm_trial *t)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(reachable); i++)
		ret = reset_from(t, vfm_v1_state_of(reachable[i]));
	return ret;
}

const struct vfm_rule vfm_rules_v1_state[] = {
	{
		.is = { .name = "v1.state.drawn",
			.title = "the transitions that the specification draws work",
			.source = VFM_V1_CITE_STATE "state transitions 1, 2 and 4",
			.text = "RUNNING to STOP, RUNNING to STOP_COPY, STOP_COPY to STOP, RUNNING "
				"to RESUMING: each is written once, must succeed, and must be what "
				"device_state reads then.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1,
		.run = drawn,
	},
	{
		.is = { .name = "v1.state.pre-copy",
			.title = "RUNNING to PRE_COPY works",
			.source = VFM_V1_CITE_STATE
			"state transition 3: drivers must support pre-copy, also "
			"those that give no data before stop-and-copy",
			.text = "A user does not ask before: it writes 3. A device without data "
				"in pre-copy goes on and says that nothing is pending.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1,
		.run = pre_copy,
	},
	{
		.is = { .name = "v1.state.stop-at-any-time",
			.title = "PRE_COPY to STOP_COPY works whatever has been read",
			.source = VFM_V1_CITE_STATE
			"a user must not be required to read everything before "
			"it changes the state; pre-copy may be left whatever "
			"pending_bytes says",
			.text = "How long pre-copy goes on is for the user to say. Tried before "
				"the first read, and after each of the three reads of an "
				"iteration.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1,
		.run = stop_at_any_time,
	},
	{
		.is = { .name = "v1.state.cancel",
			.title = "a save can be given up: PRE_COPY and STOP_COPY to RUNNING",
			.source = VFM_V1_CITE_QEMU "written when a migration is cancelled or fails",
			.text = "No arrow leads back, but a migration that fails must have a way "
				"on for its source, and this is the one that is used. A device "
				"that refuses it is stopped by a migration that did not even "
				"begin.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_V1,
		.run = cancel,
	},
	{
		.is = { .name = "v1.state.same",
			.title = "to write the state that a device is in succeeds",
			.source = VFM_V1_CITE_QEMU
			"2 is written up to three times in a row, and 1 again after "
			"a cancel",
			.text = "RUNNING to RUNNING and STOP_COPY to STOP_COPY. Users that write "
				"what they want, whatever is, have a migration fail by it.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_V1,
		.run = same,
	},
	{
		.is = { .name = "v1.state.out-of-stop",
			.title = "STOP to RUNNING and STOP to STOP_COPY work",
			.source = VFM_V1_CITE_QEMU
			"written when a guest goes on after a save, and when a "
			"paused one is saved",
			.text = "Without them a guest that was saved cannot go on, and one that "
				"is paused cannot be saved.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_V1,
		.run = out_of_stop,
	},
	{
		.is = { .name = "v1.state.invalid-refused",
			.title = "5, 6 and 7 are refused in every state",
			.source = "the thread, VFIO_DEVICE_STATE_VALID(): RESUMING stands alone; "
				  "101b and 111b are invalid, 110b is for the device to report",
			.text = "A user that writes ERROR would break a device that is well. Each "
				"is written in each state and must fail.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1,
		.run = invalid_refused,
	},
	{
		.is = { .name = "v1.state.honest",
			.title = "after each write device_state tells where the device is",
			.source = VFM_V1_CITE_STATE
			"after a failure the previous state is returned, or "
			"ERROR; after success it is the new one",
			.text = "All eight words are written in all states. Which of those that "
				"are not drawn a device takes is its own matter; but a write that "
				"succeeds has led there, and one that fails leaves the state "
				"before, or ERROR. A user reads the register to learn which, and "
				"goes on by it.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1,
		.run = honest,
	},
	{
		.is = { .name = "v1.state.reserved-is-no-index",
			.title = "reserved bits make no other state",
			.source = VFM_V1_CITE_STATE
			"the state is three bits; bits 3 to 31 are reserved",
			.text = "Mask the word before it gets near a table. 0xb, 0x1003, "
				"0x80000003 "
				"and 0xfffffffb are written in RUNNING: the device must be in "
				"PRE_COPY then, or in RUNNING if it refused; and it must still be "
				"there.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1 | VFM_NEED_RESET,
		.run = reserved_is_no_index,
	},
	{
		.is = { .name = "v1.state.reserved-is-ignored",
			.title = "reserved bits do not make a write fail",
			.source = VFM_V1_CITE_STATE
			"reserved bits are preserved by read, modify and write",
			.text = "They are for future use: a device that does not know a bit does "
				"not care about it.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_V1 | VFM_NEED_RESET,
		.run = reserved_is_ignored,
	},
	{
		.is = { .name = "v1.state.reserved-is-kept",
			.title = "reserved bits that were written are read again",
			.source = VFM_V1_CITE_STATE
			"to preserve reserved bits, a user reads before it writes",
			.text = "To preserve bits has a meaning only if reads give them back. No "
				"user is known that needs it.\n",
			.severity = VFM_SEVERITY_NOTE },
		.needs = VFM_NEED_V1 | VFM_NEED_RESET,
		.run = reserved_is_kept,
	},
	{
		.is = { .name = "v1.state.reset-runs",
			.title = "a reset leads to RUNNING from every state",
			.source = VFM_V1_CITE_STATE
			"RUNNING is the default state, and the device reset the "
			"only way out of ERROR",
			.text = "Tried in RUNNING, STOP, PRE_COPY, STOP_COPY and RESUMING. A "
				"device that takes a reset only while it runs cannot be recovered "
				"from a load that failed.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1 | VFM_NEED_RESET,
		.run = reset_runs,
	},
};
const size_t vfm_nr_rules_v1_state = VFM_ARRAY_SIZE(vfm_rules_v1_state);
