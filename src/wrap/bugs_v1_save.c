// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Bugs of the migration region while a device is saved. Each remembers what it must of the
 * accesses so far, and forgets that when device_state is written.
 */

#include "wrap/v1_fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static bool is_saving(struct vfm_device *dev, uint32_t index)
{
	return vfm_v1_ask_word(dev, index) & VFM_V1_SAVING;
}

static void forget(struct vfm_fault *f)
{
	f->flag = false;
	f->bytes = 0;
	memset(f->count, 0, sizeof(f->count));
}

/* For bugs that do nothing at a write but begin anew. */
static int begin_anew(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
		      size_t len, struct vfm_err *err)
{
	if (vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_STATE)
		forget(vfm_fault_of(dev));
	return vfm_pass_write_region(dev, index, offset, buf, len, err);
}

/* ---- pending_bytes ------------------------------------------------------------------ */

/* What was pending last is shown when nothing is saved any more. */
static int pending_stale(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			 size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	int ret = vfm_pass_read_region(dev, index, offset, buf, len, err);

	if (ret || vfm_v1_target(dev, index, offset, len) != VFM_V1_AT_PENDING)
		return ret;
	if (vfm_v1_written(buf, len))
		f->bytes = vfm_v1_written(buf, len);
	else if (!is_saving(dev, index))
		vfm_v1_answer(buf, len, f->bytes);
	return 0;
}

/* Once, behind the first chunk: the next one was not ready, and that was not waited for. */
static int zero_then_more(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			  size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	enum vfm_v1_target target = vfm_v1_target(dev, index, offset, len);

	if (target == VFM_V1_AT_SIZE && vfm_v1_ask_word(dev, index) == VFM_V1_SAVING)
		f->count[0]++;
	if (target == VFM_V1_AT_PENDING && f->count[0] == 1 && !f->flag) {
		f->flag = true;
		return vfm_v1_answer(buf, len, 0);
	}
	return vfm_pass_read_region(dev, index, offset, buf, len, err);
}

/* The iteration is over when nothing is pending, and begins again only with a new state. */
static int sticky_zero(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
		       size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	int ret;

	if (vfm_v1_target(dev, index, offset, len) != VFM_V1_AT_PENDING)
		return vfm_pass_read_region(dev, index, offset, buf, len, err);
	if (f->flag)
		return vfm_v1_answer(buf, len, 0);
	ret = vfm_pass_read_region(dev, index, offset, buf, len, err);
	f->flag = !ret && !vfm_v1_written(buf, len) && is_saving(dev, index);
	return ret;
}

/*
 * In STOP_COPY every read of it acknowledges a chunk, also one that nobody has asked for.
 * f->flag: the last access was one.
 */
static int pending_acks(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	bool pending = vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_PENDING;

	if (pending && f->flag && vfm_v1_ask_word(dev, index) == VFM_V1_SAVING) {
		vfm_v1_ask(dev, index, VFM_V1_DATA_OFFSET);
		vfm_v1_ask(dev, index, VFM_V1_DATA_SIZE);
	}
	f->flag = pending;
	return vfm_pass_read_region(dev, index, offset, buf, len, err);
}

/* ---- the place of a chunk ------------------------------------------------------------- */

/* Every read of data_offset makes the next chunk available. f->flag: the size was read. */
static int offset_advances(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			   size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	enum vfm_v1_target target = vfm_v1_target(dev, index, offset, len);

	if (target == VFM_V1_AT_OFFSET && f->flag)
		vfm_v1_ask(dev, index, VFM_V1_PENDING_BYTES);
	if (target == VFM_V1_AT_OFFSET || target == VFM_V1_AT_PENDING)
		f->flag = false;
	f->flag |= target == VFM_V1_AT_SIZE && is_saving(dev, index);
	return vfm_pass_read_region(dev, index, offset, buf, len, err);
}

static int offset_zero(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
		       size_t len, struct vfm_err *err)
{
	int ret = vfm_pass_read_region(dev, index, offset, buf, len, err);

	if (!ret && vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_OFFSET &&
	    is_saving(dev, index))
		vfm_v1_answer(buf, len, 0);
	return ret;
}

/* As if the section began at 0. */
static int chunk_beyond(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			size_t len, struct vfm_err *err)
{
	int ret = vfm_pass_read_region(dev, index, offset, buf, len, err);
	struct vfm_region region;

	if (!ret && vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_SIZE &&
	    vfm_v1_written(buf, len) && !vfm_pass_get_region(dev, index, &region, err))
		vfm_v1_answer(buf, len, region.size);
	return ret;
}

/* It is asked for before it is there. */
static int empty_chunk(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
		       size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	if (!f->flag && vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_SIZE &&
	    vfm_v1_ask_word(dev, index) == VFM_V1_SAVING) {
		f->flag = true;
		return vfm_v1_answer(buf, len, 0);
	}
	return vfm_pass_read_region(dev, index, offset, buf, len, err);
}

/* A header that the user is not shown stands in front of each chunk. */
#define HEADER 8u

static int chunk_unaligned(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			   size_t len, struct vfm_err *err)
{
	enum vfm_v1_target target = vfm_v1_target(dev, index, offset, len);
	bool shift = target >= VFM_V1_AT_OFFSET && is_saving(dev, index);
	int ret;

	if (shift && target == VFM_V1_AT_DATA)
		offset -= HEADER;
	ret = vfm_pass_read_region(dev, index, offset, buf, len, err);
	if (!ret && shift && target == VFM_V1_AT_OFFSET)
		vfm_v1_answer(buf, len, vfm_v1_written(buf, len) + HEADER);
	return ret;
}

/* So that it all fits. */
static int one_more_page(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			 struct vfm_err *err)
{
	int ret = vfm_pass_get_region(dev, index, region, err);

	if (!ret && vfm_v1_is_region(dev, index))
		region->size += 4096;
	return ret;
}

/* ---- the bytes of a chunk ---------------------------------------------------------------- */

/* Where the region begins in the file is not where the section begins. */
static int mapping_shifted(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			   struct vfm_err *err)
{
	int ret = vfm_pass_get_region(dev, index, region, err);

	if (!ret && vfm_v1_is_region(dev, index))
		region->fd_offset += 4096;
	return ret;
}

/* What was read is gone. f->bytes: where what was not begins. */
static int data_once(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf, size_t len,
		     struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	enum vfm_v1_target target = vfm_v1_target(dev, index, offset, len);
	int ret = vfm_pass_read_region(dev, index, offset, buf, len, err);

	if (target == VFM_V1_AT_PENDING)
		f->bytes = 0;
	if (ret || target != VFM_V1_AT_DATA)
		return ret;
	if (offset < f->bytes)
		memset(buf, 0xff, len);
	f->bytes = VFM_MAX(f->bytes, offset + len);
	return 0;
}

static int parts_refused(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			 size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	enum vfm_v1_target target = vfm_v1_target(dev, index, offset, len);
	int ret;

	if (target == VFM_V1_AT_DATA && len != f->bytes)
		return vfm_fail(err, -EINVAL, "%zu bytes of a chunk that has others", len);
	ret = vfm_pass_read_region(dev, index, offset, buf, len, err);
	if (!ret && target == VFM_V1_AT_SIZE)
		f->bytes = vfm_v1_written(buf, len);
	return ret;
}

/* ---- changes of state ------------------------------------------------------------------- */

/* f->count[0]: what was read last; f->count[1]: where its data is; f->bytes: how much. */
static int note_read(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf, size_t len,
		     struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	enum vfm_v1_target target = vfm_v1_target(dev, index, offset, len);
	int ret = vfm_pass_read_region(dev, index, offset, buf, len, err);

	if (ret || target < VFM_V1_AT_PENDING || target > VFM_V1_AT_SIZE)
		return ret;
	f->count[0] = target;
	if (target == VFM_V1_AT_OFFSET)
		f->count[1] = vfm_v1_written(buf, len);
	if (target == VFM_V1_AT_SIZE)
		f->bytes = vfm_v1_written(buf, len);
	return 0;
}

/* A chunk that was prepared and not fetched is dropped when the device is stopped. */
static int staged_lost(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
		       size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	if (vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_STATE) {
		if (f->count[0] == VFM_V1_AT_PENDING && is_saving(dev, index) &&
		    vfm_v1_written(buf, len) == VFM_V1_SAVING)
			vfm_v1_skip_chunk(dev, index);
		forget(f);
	}
	return vfm_pass_write_region(dev, index, offset, buf, len, err);
}

/* A copy of the chunk that was handed out and not acknowledged. */
static void hold_chunk(struct vfm_device *dev, uint32_t index)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	struct vfm_err err;

	free(f->held);
	f->held = malloc(f->bytes);
	f->flag =
		f->held && !vfm_pass_read_region(dev, index, f->count[1], f->held, f->bytes, &err);
}

/* The iteration is forgotten when the state is written, and begins with the same chunk. */
static int forget_iteration(struct vfm_device *dev, uint32_t index, uint64_t offset,
			    const void *buf, size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	if (vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_STATE) {
		f->flag = false;
		if (f->count[0] == VFM_V1_AT_SIZE && f->bytes && is_saving(dev, index) &&
		    vfm_v1_written(buf, len) == VFM_V1_SAVING)
			hold_chunk(dev, index);
		f->count[0] = 0;
	}
	return vfm_pass_write_region(dev, index, offset, buf, len, err);
}

/* f->flag: the chunk that is held comes again, until it was handed out. */
static int give_again(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
		      size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	enum vfm_v1_target target = vfm_v1_target(dev, index, offset, len);

	if (target == VFM_V1_AT_PENDING && f->count[0] == VFM_V1_AT_SIZE)
		f->flag = false;
	if (!f->flag || target < VFM_V1_AT_PENDING)
		return note_read(dev, index, offset, buf, len, err);
	if (target == VFM_V1_AT_DATA) {
		if (!vfm_range_inside(offset - f->count[1], len, f->bytes))
			return vfm_fail(err, -EINVAL, "not in the chunk");
		memcpy(buf, (const uint8_t *)f->held + (offset - f->count[1]), len);
		return 0;
	}
	f->count[0] = target;
	return vfm_v1_answer(buf, len, target == VFM_V1_AT_OFFSET ? f->count[1] : f->bytes);
}

/* f->flag: a chunk was handed out when a save was given up, and the next begins behind it. */
static int begin_behind(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
			size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	int ret = vfm_pass_write_region(dev, index, offset, buf, len, err);

	if (!ret && f->flag && vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_STATE &&
	    is_saving(dev, index)) {
		vfm_v1_skip_chunk(dev, index);
		f->flag = false;
	}
	return ret;
}

static int keep_position(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
			 size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	if (vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_STATE) {
		f->flag |= vfm_v1_written(buf, len) == VFM_V1_RUNNING && is_saving(dev, index) &&
			   f->count[0] == VFM_V1_AT_SIZE;
		f->count[0] = 0;
	}
	return begin_behind(dev, index, offset, buf, len, err);
}

static int reset_keeps_position(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	f->flag |= f->count[0] == VFM_V1_AT_SIZE;
	f->count[0] = 0;
	return vfm_pass_reset(dev, err);
}

const struct vfm_bug vfm_bugs_v1_save[] = {
	{
		VFM_V1_BUG("v1-pending-stale",
			   "after a save was given up, something is still pending", ""),
		.rules = { "v1.save.pending-in-running" },
		.ops = { .read_region = pending_stale },
	},
	{
		VFM_V1_BUG("v1-zero-then-more",
			   "in STOP_COPY nothing is pending when the next chunk is not ready yet",
			   ""),
		.rules = { "v1.save.ends" },
		.ops = { .read_region = zero_then_more, .write_region = begin_anew },
	},
	{
		VFM_V1_BUG("v1-sticky-zero", "once nothing is pending in PRE_COPY, nothing ever is",
			   "libvfio-user until 2023, migration.c: the iteration stays finished"),
		.rules = { "v1.save.zero-and-back" },
		.ops = { .read_region = sticky_zero, .write_region = begin_anew },
	},
	{
		VFM_V1_BUG("v1-pending-acknowledges", "every read of pending_bytes drops a chunk",
			   ""),
		.rules = { "v1.save.pending-repeats" },
		.ops = { .read_region = pending_acks, .write_region = begin_anew },
	},
	{
		VFM_V1_BUG("v1-offset-advances",
			   "every read of data_offset goes on to the next chunk", ""),
		.rules = { "v1.save.place-repeats" },
		.ops = { .read_region = offset_advances, .write_region = begin_anew },
	},
	{
		VFM_V1_BUG("v1-staged-lost",
			   "a chunk that was prepared in PRE_COPY is dropped at STOP_COPY", ""),
		.rules = { "v1.save.goes-on" },
		.ops = { .read_region = note_read, .write_region = staged_lost },
	},
	{
		VFM_V1_BUG("v1-chunk-twice", "the last chunk of PRE_COPY comes again in STOP_COPY",
			   "libvfio-user until 2023, migration.c: a write of a state begins an "
			   "iteration "
			   "anew"),
		.rules = { "v1.save.stop-before-acknowledgement" },
		.ops = { .read_region = give_again, .write_region = forget_iteration },
	},
	{
		VFM_V1_BUG("v1-cancel-keeps-position",
			   "a save begins where one that was given up ended", ""),
		.rules = { "v1.save.anew-after-cancel" },
		.ops = { .read_region = note_read, .write_region = keep_position },
	},
	{
		VFM_V1_BUG("v1-reset-keeps-position",
			   "a save begins where one before a reset ended", ""),
		.rules = { "v1.save.anew-after-reset" },
		.ops = { .read_region = note_read,
			 .write_region = begin_behind,
			 .reset = reset_keeps_position },
	},
	{
		VFM_V1_BUG("v1-offset-zero", "data_offset reads 0 while saving", ""),
		.rules = { "v1.data.inside" },
		.ops = { .read_region = offset_zero },
	},
	{
		VFM_V1_BUG("v1-chunk-beyond", "a chunk ends behind the region", ""),
		.rules = { "v1.data.inside" },
		.ops = { .read_region = chunk_beyond },
	},
	{
		VFM_V1_BUG("v1-empty-chunk",
			   "something is pending in STOP_COPY, and data_size is 0", ""),
		.rules = { "v1.data.not-empty" },
		.ops = { .read_region = empty_chunk, .write_region = begin_anew },
	},
	{
		VFM_V1_BUG("v1-chunk-unaligned", "a chunk begins within a page that can be mapped",
			   ""),
		.rules = { "v1.data.mapped-is-aligned" },
		.ops = { .get_region = one_more_page, .read_region = chunk_unaligned },
	},
	{
		VFM_V1_BUG("v1-mapping-shifted", "the mapping is one page off", ""),
		.rules = { "v1.data.mapped-is-same", "v1.resume.mapped" },
		.ops = { .get_region = mapping_shifted },
	},
	{
		VFM_V1_BUG("v1-data-once", "data that was read cannot be read again", ""),
		.rules = { "v1.data.repeats", "v1.data.in-any-width" },
		.ops = { .read_region = data_once, .write_region = begin_anew },
	},
	{
		VFM_V1_BUG("v1-parts-refused", "a part of a chunk cannot be read",
			   "libvfio-user, its sample server"),
		.rules = { "v1.data.in-any-width" },
		.ops = { .read_region = parts_refused },
	},
};
const size_t vfm_nr_bugs_v1_save = VFM_ARRAY_SIZE(vfm_bugs_v1_save);
