// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Bugs of the data session: when it is there, and where in it one is. */

#include "wrap/wrap.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

/* ---- there where it should not be ------------------------------------------------------- */

static ssize_t something(void *buf, size_t len)
{
	size_t n = VFM_MIN(len, 16);

	memset(buf, 0, n);
	return (ssize_t)n;
}

static ssize_t reads_in_running(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	/* One that has had a session refuses, as it should. */
	if (vfm_state_is_saving(vfm_fault_state(dev)))
		f->flag = true;
	else if (!f->flag && vfm_fault_state(dev) == VFM_STATE_RUNNING)
		return something(buf, len);
	return vfm_pass_read_data(dev, buf, len, err);
}

/* 0: the file of the load session is one that can be read, and has nothing. */
static ssize_t reads_in_resuming(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	if (vfm_fault_state(dev) == VFM_STATE_RESUMING && !vfm_fault_of(dev)->flag)
		return 0;
	return vfm_pass_read_data(dev, buf, len, err);
}

static int remembers_saving(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	bool saving = vfm_state_is_saving(vfm_fault_state(dev));
	int ret = vfm_pass_set_state(dev, state, err);

	if (!ret)
		vfm_fault_of(dev)->flag = saving;
	return ret;
}

static int writes_in_precopy(struct vfm_device *dev, const void *buf, size_t len,
			     struct vfm_err *err)
{
	if (vfm_fault_state(dev) == VFM_STATE_PRE_COPY)
		return 0;
	return vfm_pass_write_data(dev, buf, len, err);
}

/* ---- there no more, or still -------------------------------------------------------------- */

/* The file goes on to give what it had when its state has been left for @state. */
static ssize_t outlives(struct vfm_device *dev, void *buf, size_t len, enum vfm_state state,
			struct vfm_err *err)
{
	if (vfm_fault_state(dev) == state && vfm_fault_of(dev)->flag)
		return something(buf, len);
	return vfm_pass_read_data(dev, buf, len, err);
}

static ssize_t outlives_saving(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	return outlives(dev, buf, len, VFM_STATE_STOP, err);
}

static ssize_t outlives_swap(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	return outlives(dev, buf, len, VFM_STATE_RESUMING, err);
}

/* @flag: an image has been proven. */
static int remembers_proof(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	bool resuming = vfm_fault_state(dev) == VFM_STATE_RESUMING;
	int ret = vfm_pass_set_state(dev, state, err);

	if (!ret)
		f->flag = resuming && state == VFM_STATE_STOP;
	return ret;
}

static int takes_more(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err)
{
	if (vfm_fault_of(dev)->flag && vfm_fault_state(dev) == VFM_STATE_STOP)
		return 0;
	return vfm_pass_write_data(dev, buf, len, err);
}

/* The proof of one image is not taken back when the next one begins. */
static int proven_for_good(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	bool resuming = vfm_fault_state(dev) == VFM_STATE_RESUMING;
	int ret = vfm_pass_set_state(dev, state, err);

	if (resuming && state == VFM_STATE_STOP) {
		if (ret && f->flag)
			return 0;
		f->flag = !ret;
	}
	return ret;
}

static int reset_unproves(struct vfm_device *dev, struct vfm_err *err)
{
	vfm_fault_of(dev)->flag = false;
	return vfm_pass_reset(dev, err);
}

/* ---- goes on, and begins again -------------------------------------------------------------- */

/* To @state by the way through RUNNING, so that another session begins. */
static int by_running(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	int ret = vfm_pass_set_state(dev, VFM_STATE_RUNNING, err);

	return ret ? ret : vfm_pass_set_state(dev, state, err);
}

static int opens_again(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	bool again = state == VFM_STATE_STOP_COPY && vfm_fault_state(dev) == state;

	return again ? by_running(dev, state, err) : vfm_pass_set_state(dev, state, err);
}

static int load_opens_again(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	bool again = state == VFM_STATE_RESUMING && vfm_fault_state(dev) == state;
	int ret = again ? vfm_pass_reset(dev, err) : 0;

	return ret ? ret : vfm_pass_set_state(dev, state, err);
}

/* Walks, and comes back when it has found no way. */
static int refusal_opens(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	int ret = vfm_pass_set_state(dev, state, err);
	struct vfm_err dropped;

	if (!ret || vfm_fault_state(dev) != VFM_STATE_STOP_COPY ||
	    !by_running(dev, VFM_STATE_STOP_COPY, &dropped))
		return ret;
	return dropped.code;
}

static int stop_copy_opens(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	bool precopy = vfm_state_is_precopy(vfm_fault_state(dev));

	return precopy && state == VFM_STATE_STOP_COPY ? by_running(dev, state, err)
						       : vfm_pass_set_state(dev, state, err);
}

static int p2p_opens(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	bool open = vfm_fault_state(dev) == VFM_STATE_PRE_COPY && state == VFM_STATE_PRE_COPY_P2P;

	return open ? by_running(dev, state, err) : vfm_pass_set_state(dev, state, err);
}

/* A write is refused, and has moved the position that both directions share. */
static int write_rewinds(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err)
{
	struct vfm_err dropped;

	if (vfm_fault_state(dev) == VFM_STATE_STOP_COPY &&
	    by_running(dev, VFM_STATE_STOP_COPY, &dropped))
		return dropped.code;
	return vfm_pass_write_data(dev, buf, len, err);
}

/* @count[0]: of what the next session gives, how much is left out: all that the last one gave. */
static ssize_t goes_on(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	ssize_t n = 1;

	while (f->count[0] && n > 0) {
		n = vfm_pass_read_data(dev, buf, VFM_MIN(len, f->count[0]), err);
		f->count[0] -= n > 0 ? (uint64_t)n : 0;
	}
	if (n > 0)
		n = vfm_pass_read_data(dev, buf, len, err);
	f->bytes += n > 0 ? (uint64_t)n : 0;
	return n;
}

static int keeps_position(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	bool saving = vfm_state_is_saving(vfm_fault_state(dev));
	int ret = vfm_pass_set_state(dev, state, err);

	if (saving && !vfm_state_is_saving(vfm_fault_state(dev)))
		f->count[0] = f->bytes;
	return ret;
}

static int reset_rewinds(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	f->bytes = f->count[0] = 0;
	return vfm_pass_reset(dev, err);
}

/* A reset in the middle: the next session goes on behind what was read before. */
static int reset_keeps_position(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	bool saving = vfm_state_is_saving(vfm_fault_state(dev));
	int ret = vfm_pass_reset(dev, err);

	f->count[0] = saving ? f->bytes : 0;
	return ret;
}

static int begins_position(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	bool saving = vfm_state_is_saving(vfm_fault_state(dev));
	int ret = vfm_pass_set_state(dev, state, err);

	if (saving && !vfm_state_is_saving(vfm_fault_state(dev)))
		f->bytes = f->count[0] = 0;
	return ret;
}

#define MOST_SESSIONS 100

/* Something is left behind by each, until there is no more. */
static int leaks_sessions(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	if (vfm_state_is_saving(state) && !vfm_state_is_saving(vfm_fault_state(dev)) &&
	    f->count[0]++ >= MOST_SESSIONS)
		return vfm_fail(err, -EMFILE, "no more descriptors");
	return vfm_pass_set_state(dev, state, err);
}

/* ---- the table ----------------------------------------------------------------------------- */

const struct vfm_bug vfm_bugs_session[] = {
	{
		.is = { .name = "data-without-session",
			.title = "data is read in RUNNING",
			.where = "" },
		.rules = { "v2.session.read-needs-saving" },
		.ops = { .read_data = reads_in_running },
	},
	{
		.is = { .name = "resuming-is-read",
			.title = "a read in RESUMING says that the data is finished",
			.where = "" },
		.rules = { "v2.session.read-refused-in-resuming" },
		.ops = { .read_data = reads_in_resuming, .set_state = remembers_saving },
	},
	{
		.is = { .name = "pre-copy-is-written",
			.title = "a write in PRE_COPY succeeds",
			.where = "" },
		.rules = { "v2.session.write-needs-resuming" },
		.needs = VFM_MIGRATION_PRE_COPY,
		.ops = { .write_data = writes_in_precopy },
	},
	{
		.is = { .name = "refused-write-rewinds",
			.title = "a write that is refused sets the session that is read back",
			.where = "" },
		.rules = { "v2.session.refused-write-harmless" },
		.ops = { .write_data = write_rewinds },
	},
	{
		.is = { .name = "session-outlives-saving",
			.title = "the session can still be read in STOP",
			.where = "" },
		.rules = { "v2.session.ends-with-saving" },
		.ops = { .read_data = outlives_saving, .set_state = remembers_saving },
	},
	{
		.is = { .name = "session-outlives-proof",
			.title = "data is taken in STOP, after an image was proven",
			.where = "" },
		.rules = { "v2.session.ends-with-resuming" },
		.ops = { .write_data = takes_more, .set_state = remembers_proof },
	},
	{
		.is = { .name = "proof-outlives-session",
			.title = "after one image was proven, the next may be empty",
			.where = "" },
		.rules = { "v2.session.load-begins-anew" },
		.ops = { .set_state = proven_for_good, .reset = reset_unproves },
	},
	{
		.is = { .name = "two-sessions",
			.title = "the session of STOP_COPY can still be read in RESUMING",
			.where = "" },
		.rules = { "v2.session.one-at-a-time" },
		.ops = { .read_data = outlives_swap, .set_state = remembers_saving },
	},
	{
		.is = { .name = "same-state-opens-session",
			.title = "STOP_COPY in STOP_COPY begins another session",
			.where = "" },
		.rules = { "v2.session.kept-by-same-state" },
		.ops = { .set_state = opens_again },
	},
	{
		.is = { .name = "same-state-opens-load",
			.title = "RESUMING in RESUMING begins another session",
			.where = "" },
		.rules = { "v2.session.load-kept-by-same-state" },
		.ops = { .set_state = load_opens_again },
	},
	{
		.is = { .name = "refusal-opens-session",
			.title = "in STOP_COPY, a state that is refused begins another session",
			.where = "" },
		.rules = { "v2.session.kept-by-refusal" },
		.ops = { .set_state = refusal_opens },
	},
	{
		.is = { .name = "stop-copy-opens-session",
			.title = "the session of pre-copy ends when the device is stopped",
			.where = "" },
		.rules = { "v2.session.kept-by-stop-copy", "v2.image.precopy-continues" },
		.needs = VFM_MIGRATION_PRE_COPY,
		.ops = { .set_state = stop_copy_opens },
	},
	{
		.is = { .name = "p2p-opens-session",
			.title = "PRE_COPY to PRE_COPY_P2P begins another session",
			.where = "" },
		.rules = { "v2.session.kept-by-p2p", "v2.image.precopy-continues" },
		.needs = VFM_MIGRATION_PRE_COPY | VFM_MIGRATION_P2P,
		.ops = { .set_state = p2p_opens },
	},
	{
		.is = { .name = "position-kept",
			.title = "a new session goes on where the last one was left",
			.where = "" },
		.rules = { "v2.session.new-begins-at-start", "v2.image.reading-changes-nothing" },
		.ops = { .read_data = goes_on,
			 .set_state = keeps_position,
			 .reset = reset_rewinds },
	},
	{
		.is = { .name = "position-kept-over-reset",
			.title = "after a reset, a session goes on where the last one was",
			.where = "" },
		.rules = { "v2.session.new-after-reset", "v2.image.round-trip",
			   "v2.image.carries-change" },
		.ops = { .read_data = goes_on,
			 .set_state = begins_position,
			 .reset = reset_keeps_position },
	},
	{
		.is = { .name = "session-leak",
			.title = "after a hundred sessions there is none any more",
			.where = "" },
		.rules = { "v2.session.again-and-again" },
		.ops = { .set_state = leaks_sessions },
	},
};
const size_t vfm_nr_bugs_session = VFM_ARRAY_SIZE(vfm_bugs_session);
