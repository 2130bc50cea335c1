// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Bugs of images: the device behind makes and takes right ones, and what is wrong is in how
 * they are handed on.
 */

#include "wrap/tape.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

static int set_behind(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	return VFM_PASS(vfm_pass_inner(dev), set_state, err, state);
}

static bool is_behind(struct vfm_device *dev, bool (*kind)(enum vfm_state state))
{
	struct vfm_err err;
	enum vfm_state state;

	return !vfm_pass_get_state(dev, &state, &err) && kind(state);
}

static bool is_resuming(enum vfm_state state)
{
	return state == VFM_STATE_RESUMING;
}

static bool is_stop_copy(enum vfm_state state)
{
	return state == VFM_STATE_STOP_COPY;
}

/* ---- loading -------------------------------------------------------------------- */

static int own_refused(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	if (state != VFM_STATE_RESUMING && is_behind(dev, is_resuming))
		return vfm_fail(err, -EINVAL, "the image is not for this device");
	return set_behind(dev, state, err);
}

/* What is checked, and not applied: what was there before is put back. */
static int not_applied(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_tape *old = vfm_tapes(vfm_fault_of(dev), 1, err);
	bool resuming = is_behind(dev, is_resuming);
	int ret = 0;

	if (!old)
		return -ENOMEM;
	if (state == VFM_STATE_RESUMING && !resuming)
		ret = vfm_tape_record(old, vfm_pass_inner(dev), err);
	if (state != VFM_STATE_RESUMING && resuming) {
		ret = set_behind(dev, VFM_STATE_STOP, err);
		if (!ret)
			ret = vfm_tape_load(old, vfm_pass_inner(dev), err);
	}
	return ret ? ret : set_behind(dev, state, err);
}

#define SHORT 16u

static int short_write_lost(struct vfm_device *dev, const void *buf, size_t len,
			    struct vfm_err *err)
{
	if (len < SHORT && is_behind(dev, is_resuming))
		return 0;
	return vfm_pass_write_data(dev, buf, len, err);
}

/* vfm_fault.count[0]: it was loaded; .flag: and has run since. */
static int note_runs(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	bool resuming = is_behind(dev, is_resuming);
	int ret = set_behind(dev, state, err);

	f->count[0] |= !ret && resuming && state != VFM_STATE_RESUMING;
	f->flag |= !ret && f->count[0] && state == VFM_STATE_RUNNING;
	return ret;
}

static int write_once(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err)
{
	if (vfm_fault_of(dev)->flag)
		return vfm_fail(err, -EBUSY, "the device has been loaded already");
	return vfm_pass_write_data(dev, buf, len, err);
}

static int forget(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	memset(f->count, 0, sizeof(f->count));
	f->bytes = 0;
	f->flag = false;
	return vfm_pass_reset(dev, err);
}

/* ---- saving --------------------------------------------------------------------- */

static ssize_t short_read_lost(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	uint8_t whole[SHORT];
	ssize_t n;

	if (len >= SHORT)
		return vfm_pass_read_data(dev, buf, len, err);
	n = vfm_pass_read_data(dev, whole, sizeof(whole), err);
	if (n > (ssize_t)len)
		n = (ssize_t)len;
	if (n > 0)
		memcpy(buf, whole, (size_t)n);
	return n;
}

/* Another byte at @at of the session, of which vfm_fault.bytes are read. */
static ssize_t read_with(struct vfm_device *dev, void *buf, size_t len, uint64_t at, uint8_t flip,
			 struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	ssize_t n = vfm_pass_read_data(dev, buf, len, err);

	if (n > 0 && at >= f->bytes && at - f->bytes < (uint64_t)n)
		((uint8_t *)buf)[at - f->bytes] ^= flip;
	f->bytes += n > 0 ? (uint64_t)n : 0;
	return n;
}

static ssize_t differs_when_loaded(struct vfm_device *dev, void *buf, size_t len,
				   struct vfm_err *err)
{
	return read_with(dev, buf, len, 2000, vfm_fault_of(dev)->flag, err);
}

static int note_load(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	bool resuming = is_behind(dev, is_resuming);
	int ret = set_behind(dev, state, err);

	f->flag |= !ret && resuming && state != VFM_STATE_RESUMING;
	if (!vfm_state_is_saving(state))
		f->bytes = 0;
	return ret;
}

/* vfm_fault.count[0]: number of the session. */
static ssize_t differs_each_time(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	return read_with(dev, buf, len, 100, (uint8_t)(vfm_fault_of(dev)->count[0] - 1), err);
}

static int count_sessions(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	if (vfm_state_is_saving(state) && !is_behind(dev, vfm_state_is_saving)) {
		f->count[0]++;
		f->bytes = 0;
	}
	return set_behind(dev, state, err);
}

/* vfm_fault.bytes: read of this session; .flag: to its end; .count[0]: still to be skipped. */
static ssize_t read_from_position(struct vfm_device *dev, void *buf, size_t len,
				  struct vfm_err *err)
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
	f->flag = n <= 0;
	return n;
}

static int keep_position(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	if (vfm_state_is_saving(state) && !is_behind(dev, vfm_state_is_saving)) {
		f->count[0] = f->flag ? 0 : f->bytes;
		f->bytes = 0;
		f->flag = false;
	}
	return set_behind(dev, state, err);
}

static ssize_t chunk_of_read(struct vfm_device *dev, void *buf, size_t len, bool *end,
			     struct vfm_err *err)
{
	ssize_t n = vfm_pass_read_data(dev, buf, len, err);

	*end = n > 0;
	return n;
}

/* ---- pre-copy ------------------------------------------------------------------- */

/* What pre-copy has given is given again, from the beginning, when the device stops. */
static ssize_t position_lost(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	struct vfm_tape *tape = vfm_tapes(vfm_fault_of(dev), 1, err);
	bool precopy = is_behind(dev, vfm_state_is_precopy);
	size_t again;
	ssize_t n;

	if (!tape)
		return -ENOMEM;
	again = is_behind(dev, is_stop_copy) ? vfm_tape_take(tape, buf, len) : 0;
	if (again)
		return (ssize_t)again;
	n = vfm_pass_read_data(dev, buf, len, err);
	if (precopy && n > 0)
		vfm_tape_add(tape, buf, (size_t)n);
	return n;
}

static int new_tape(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_tape *tape = vfm_tapes(vfm_fault_of(dev), 1, err);

	if (!tape)
		return -ENOMEM;
	if (!is_behind(dev, vfm_state_is_saving))
		tape->size = tape->at = 0;
	return set_behind(dev, state, err);
}

/* The image is made on entry to pre-copy, and is that of the device as it was then. */
static int freeze(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	struct vfm_tape *tape = vfm_tapes(f, 1, err);
	int ret = 0;

	if (!tape)
		return -ENOMEM;
	if (vfm_state_is_precopy(state) && !is_behind(dev, vfm_state_is_saving)) {
		ret = vfm_tape_record(tape, vfm_pass_inner(dev), err);
		if (!ret)
			ret = set_behind(dev, VFM_STATE_RUNNING, err);
		f->flag = !ret;
	} else if (!vfm_state_is_saving(state)) {
		f->flag = false;
	}
	return ret ? ret : set_behind(dev, state, err);
}

/* As many bytes as there would be, but from the tape; all of the rest at the end. */
static ssize_t read_frozen(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	struct vfm_tape *tape = vfm_tapes(f, 1, err);
	size_t played;
	ssize_t n;

	if (!tape)
		return -ENOMEM;
	do {
		n = vfm_pass_read_data(dev, buf, len, err);
		if (!f->flag || (n <= 0 && n != 0))
			return n;
		played = vfm_tape_take(tape, buf, n ? (size_t)n : len);
	} while (n && !played);
	return (ssize_t)played;
}

const struct vfm_bug vfm_bugs_image[] = {
	{
		.is = { .name = "own-image-refused",
			.title = "no image is accepted in the end",
			.where = "" },
		.rules = { "v2.image.loads" },
		.ops = { .set_state = own_refused },
	},
	{
		.is = { .name = "session-in-image",
			.title = "each image has the number of its session in it",
			.where = "" },
		.rules = { "v2.image.reading-changes-nothing" },
		.ops = { .read_data = differs_each_time, .set_state = count_sessions },
	},
	{
		.is = { .name = "load-in-image",
			.title = "after loading the device saves another image than it was given",
			.where = "" },
		.rules = { "v2.image.round-trip", "v2.image.carries-change" },
		.ops = { .read_data = differs_when_loaded,
			 .set_state = note_load,
			 .reset = forget },
	},
	{
		.is = { .name = "load-not-applied",
			.title = "an image is checked, and the state stays what it was",
			.where = "" },
		.rules = { "v2.image.carries-change", "v2.stop.dma-goes-on-loaded" },
		.ops = { .set_state = not_applied },
	},
	{
		.is = { .name = "short-read-lost",
			.title = "a read of less than 16 bytes takes 16 from the session",
			.where = "" },
		.rules = { "v2.image.read-sizes" },
		.ops = { .read_data = short_read_lost },
	},
	{
		.is = { .name = "short-write-lost",
			.title = "a write of less than 16 bytes is dropped",
			.where = "" },
		.rules = { "v2.image.write-sizes" },
		.ops = { .write_data = short_write_lost },
	},
	{
		.is = { .name = "chunk-of-read",
			.title = "a chunk ends wherever a read does",
			.where = "QEMU 7.2, as the user: it splits a transaction that does not "
				 "fit" },
		.rules = { "v2.image.chunks-kept" },
		.ops = { .read_chunk = chunk_of_read },
	},
	{
		.is = { .name = "precopy-position-lost",
			.title = "STOP_COPY begins again with what PRE_COPY has given",
			.where = "Linux, hisi_acc, CVE-2023-52453: the position in the session was "
				 "not used when pre-copy was added" },
		.rules = { "v2.image.precopy-continues", "v2.session.kept-by-stop-copy" },
		.needs = VFM_MIGRATION_PRE_COPY,
		.ops = { .read_data = position_lost, .set_state = new_tape },
	},
	{
		.is = { .name = "precopy-frozen",
			.title = "the image is that of the device on entry to PRE_COPY",
			.where = "" },
		.rules = { "v2.image.precopy-changes-carried" },
		.needs = VFM_MIGRATION_PRE_COPY,
		.ops = { .read_data = read_frozen, .set_state = freeze },
	},
	{
		.is = { .name = "session-position-kept",
			.title = "a session goes on where one that was given up has stopped",
			.where = "" },
		.rules = { "v2.image.aborted-save-leaves-nothing" },
		.ops = { .read_data = read_from_position,
			 .set_state = keep_position,
			 .reset = forget },
	},
	{
		.is = { .name = "loads-once",
			.title = "a device that has run after it was loaded loads no more",
			.where = "SPDK, issue 2362: an assertion when a machine came back to its "
				 "first host" },
		.rules = { "v2.image.there-and-back" },
		.ops = { .write_data = write_once, .set_state = note_runs, .reset = forget },
	},
};
const size_t vfm_nr_bugs_image = VFM_ARRAY_SIZE(vfm_bugs_image);
