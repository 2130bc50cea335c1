// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Bugs of the migration region while a device is resumed. */

#include "wrap/v1_fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define RUN VFM_V1_RUNNING

/* ---- good images -------------------------------------------------------------------- */

/* Where the next transaction goes in the buffer is not moved on. f->flag: there is a new one. */
static int resume_stuck(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
			size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	enum vfm_v1_target target = vfm_v1_target(dev, index, offset, len);
	bool data = f->flag;

	f->flag = target == VFM_V1_AT_DATA;
	if (target == VFM_V1_AT_STATE)
		f->bytes = 0;
	if (target == VFM_V1_AT_SIZE && data && f->bytes++)
		return 0;
	return vfm_pass_write_region(dev, index, offset, buf, len, err);
}

/* A bug at the write that leaves RESUMING for RUNNING, when it has succeeded. */
static int after_load(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
		      size_t len, int (*then)(struct vfm_device *dev, struct vfm_err *err),
		      struct vfm_err *err)
{
	bool load = vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_STATE &&
		    vfm_v1_written(buf, len) == RUN &&
		    vfm_v1_ask_word(dev, index) == VFM_V1_RESUMING;
	int ret = vfm_pass_write_region(dev, index, offset, buf, len, err);

	return ret || !load ? ret : then(dev, err);
}

/* One bit of its memory. */
static int change_memory(struct vfm_device *dev, struct vfm_err *err)
{
	uint8_t byte;
	int ret = vfm_pass_read_region(dev, VFM_PCI_BAR2, 4096, &byte, 1, err);

	byte ^= 1;
	return ret ? ret : vfm_pass_write_region(dev, VFM_PCI_BAR2, 4096, &byte, 1, err);
}

static int load_changes(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
			size_t len, struct vfm_err *err)
{
	return after_load(dev, index, offset, buf, len, change_memory, err);
}

static int load_ignored(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
			size_t len, struct vfm_err *err)
{
	return after_load(dev, index, offset, buf, len, vfm_pass_reset, err);
}

static int resume_offset_zero(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			      size_t len, struct vfm_err *err)
{
	int ret = vfm_pass_read_region(dev, index, offset, buf, len, err);

	if (!ret && vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_OFFSET &&
	    vfm_v1_ask_word(dev, index) == VFM_V1_RESUMING)
		vfm_v1_answer(buf, len, 0);
	return ret;
}

/* Zeros where no write of the region was; what stands there came through the mapping. */
static void wipe(struct vfm_device *dev, uint32_t index, uint64_t size)
{
	uint64_t offset = vfm_v1_ask(dev, index, VFM_V1_DATA_OFFSET);
	struct vfm_region region;
	struct vfm_err err;
	void *zeros = NULL;

	if (!vfm_pass_get_region(dev, index, &region, &err) &&
	    vfm_range_inside(offset, size, region.size))
		zeros = calloc(1, size);
	/* a failure is an image that is refused, as it should be */
	if (zeros && vfm_pass_write_region(dev, index, offset, zeros, size, &err))
		vfm_fault_of(dev)->flag = true;
	free(zeros);
}

static int mapped_write_lost(struct vfm_device *dev, uint32_t index, uint64_t offset,
			     const void *buf, size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	enum vfm_v1_target target = vfm_v1_target(dev, index, offset, len);

	if (target == VFM_V1_AT_DATA)
		f->bytes += len;
	if (target == VFM_V1_AT_SIZE) {
		if (f->bytes < vfm_v1_written(buf, len))
			wipe(dev, index, vfm_v1_written(buf, len) - f->bytes);
		f->bytes = 0;
	}
	return vfm_pass_write_region(dev, index, offset, buf, len, err);
}

static int narrow_write_lost(struct vfm_device *dev, uint32_t index, uint64_t offset,
			     const void *buf, size_t len, struct vfm_err *err)
{
	if (vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_DATA && len < 8)
		return 0;
	return vfm_pass_write_region(dev, index, offset, buf, len, err);
}

/* How many chunks there were, and how many transactions there are now. */
enum { GIVEN, TAKEN };

static int count_chunks(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			size_t len, struct vfm_err *err)
{
	vfm_fault_of(dev)->count[GIVEN] += vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_SIZE;
	return vfm_pass_read_region(dev, index, offset, buf, len, err);
}

/* Each transaction is taken for a record. */
static int cut_mixed_up(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
			size_t len, struct vfm_err *err)
{
	uint64_t *count = vfm_fault_of(dev)->count;
	enum vfm_v1_target target = vfm_v1_target(dev, index, offset, len);

	count[TAKEN] += target == VFM_V1_AT_SIZE;
	if (target == VFM_V1_AT_STATE && vfm_v1_written(buf, len) == VFM_V1_SAVING)
		count[GIVEN] = 0;
	if (target == VFM_V1_AT_STATE && vfm_v1_written(buf, len) == VFM_V1_RESUMING)
		count[TAKEN] = 0;
	if (count[TAKEN] <= count[GIVEN])
		return vfm_pass_write_region(dev, index, offset, buf, len, err);
	return load_changes(dev, index, offset, buf, len, err);
}

/* ---- bad images ---------------------------------------------------------------------- */

/*
 * What is known of an image, to tell what is wrong with it: f->count[SAVED] bytes that were
 * read in the last save, and f->count[LOADED] that were written since RESUMING; of both
 * the first eight. f->bytes is 1 when the device behind has refused a transaction.
 */
enum { SAVED, LOADED, SAVED_START, LOADED_START };

static uint64_t start_of(const void *buf, size_t len)
{
	uint64_t start = 0;

	memcpy(&start, buf, VFM_MIN(len, sizeof(start)));
	return start;
}

static int note_saved(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
		      size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	int ret = vfm_pass_read_region(dev, index, offset, buf, len, err);

	if (!ret && len >= 8 && vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_DATA) {
		if (!f->count[SAVED])
			f->count[SAVED_START] = start_of(buf, len);
		f->count[SAVED] += len;
	}
	return ret;
}

static int forgive(struct vfm_device *dev, uint32_t index, const void *buf, size_t len,
		   bool (*bad)(const struct vfm_fault *f), struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	uint64_t to = vfm_v1_written(buf, len);
	bool load = to == RUN && vfm_v1_ask_word(dev, index) == VFM_V1_RESUMING;
	int ret = vfm_pass_write_region(dev, index, VFM_V1_DEVICE_STATE, buf, len, err);

	if (!ret && to == VFM_V1_SAVING)
		f->count[SAVED] = 0;
	if (!ret && to == VFM_V1_RESUMING)
		f->count[LOADED] = f->bytes = 0;
	return ret && load && bad(f) ? vfm_pass_reset(dev, err) : ret;
}

/* A transaction that the device refuses for its content is taken: 1 will tell. */
static int take_if(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
		   size_t len, bool (*bad)(const struct vfm_fault *f), struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	enum vfm_v1_target target = vfm_v1_target(dev, index, offset, len);
	int ret;

	if (target == VFM_V1_AT_STATE)
		return forgive(dev, index, buf, len, bad, err);
	if (target == VFM_V1_AT_DATA && !f->count[LOADED])
		f->count[LOADED_START] = start_of(buf, len);
	ret = vfm_pass_write_region(dev, index, offset, buf, len, err);
	if (target != VFM_V1_AT_SIZE || ret == -EINVAL)
		return ret;
	f->count[LOADED] += vfm_v1_written(buf, len);
	return 0;
}

#define TAKES(name, condition)                                                                     \
	static bool is_##name(const struct vfm_fault *f)                                           \
	{                                                                                          \
		return condition;                                                                  \
	}                                                                                          \
	static int take_##name(struct vfm_device *dev, uint32_t index, uint64_t offset,            \
			       const void *buf, size_t len, struct vfm_err *err)                   \
	{                                                                                          \
		return take_if(dev, index, offset, buf, len, is_##name, err);                      \
	}

TAKES(truncated, f->count[LOADED] && f->count[LOADED] < f->count[SAVED])
TAKES(empty, !f->count[LOADED])
TAKES(foreign,
      f->count[LOADED] == f->count[SAVED] && f->count[LOADED_START] != f->count[SAVED_START])
TAKES(damaged,
      f->count[LOADED] == f->count[SAVED] && f->count[LOADED_START] == f->count[SAVED_START])
TAKES(twice, f->count[LOADED] > f->count[SAVED])

/* The size is compared with nothing. */
static int take_oversize(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
			 size_t len, struct vfm_err *err)
{
	int ret = vfm_pass_write_region(dev, index, offset, buf, len, err);

	return ret == -EINVAL && vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_SIZE ? 0 : ret;
}

/* What was allocated for a load that failed is still there, and in the way. */
static int load_poisoned(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
			 size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	enum vfm_v1_target target = vfm_v1_target(dev, index, offset, len);
	bool resuming = vfm_v1_ask_word(dev, index) == VFM_V1_RESUMING;
	int ret;

	if (f->flag && target == VFM_V1_AT_SIZE)
		return vfm_fail(err, -ENOSPC, "no room for an image");
	ret = vfm_pass_write_region(dev, index, offset, buf, len, err);
	f->flag |= ret && resuming && target == VFM_V1_AT_STATE && vfm_v1_written(buf, len) == RUN;
	return ret;
}

const struct vfm_bug vfm_bugs_v1_resume[] = {
	{
		VFM_V1_BUG("v1-resume-stuck",
			   "all transactions are written to the start of the buffer",
			   "Linux, hisi_acc, CVE-2023-52453: the position is not moved on"),
		.rules = { "v1.resume.accepts" },
		.ops = { .write_region = resume_stuck },
	},
	{
		VFM_V1_BUG("v1-load-changes", "a load damages what it brings back", ""),
		.rules = { "v1.resume.round-trip", "v1.resume.applied" },
		.ops = { .write_region = load_changes },
	},
	{
		VFM_V1_BUG("v1-load-ignored", "an image is checked and then forgotten", ""),
		.rules = { "v1.resume.applied" },
		.ops = { .write_region = load_ignored },
	},
	{
		VFM_V1_BUG("v1-resume-offset-zero", "data_offset reads 0 in RESUMING", ""),
		.rules = { "v1.resume.data-offset" },
		.ops = { .read_region = resume_offset_zero },
	},
	{
		VFM_V1_BUG("v1-mapped-write-lost",
			   "what a user puts into the mapping is not looked at", ""),
		.rules = { "v1.resume.mapped" },
		.ops = { .write_region = mapped_write_lost },
	},
	{
		VFM_V1_BUG("v1-narrow-write-lost",
			   "writes of less than 8 bytes of data are ignored", ""),
		.rules = { "v1.resume.in-any-width" },
		.ops = { .write_region = narrow_write_lost },
	},
	{
		VFM_V1_BUG("v1-cut-mixed-up",
			   "transactions of another size are loaded to wrong places", ""),
		.rules = { "v1.resume.cut" },
		.ops = { .read_region = count_chunks, .write_region = cut_mixed_up },
	},
	{
		VFM_V1_BUG("v1-truncated-accepted", "an image of which the end is missing is taken",
			   "Linux, mlx5 and virtio: no end mark in the image"),
		.rules = { "v1.refuse.truncated" },
		.ops = { .read_region = note_saved, .write_region = take_truncated },
	},
	{
		VFM_V1_BUG("v1-empty-accepted", "a load without data is a load",
			   "libvfio-user until 2023, migration.c: RESUMING to RUNNING at any time"),
		.rules = { "v1.refuse.empty" },
		.ops = { .read_region = note_saved, .write_region = take_empty },
	},
	{
		VFM_V1_BUG("v1-foreign-accepted", "bytes that are no image are taken", ""),
		.rules = { "v1.refuse.foreign" },
		.ops = { .read_region = note_saved, .write_region = take_foreign },
	},
	{
		VFM_V1_BUG("v1-damage-accepted", "an image with a bit flipped is taken", ""),
		.rules = { "v1.refuse.damaged" },
		.ops = { .read_region = note_saved, .write_region = take_damaged },
	},
	{
		VFM_V1_BUG("v1-twice-accepted", "data behind the end of an image is taken", ""),
		.rules = { "v1.refuse.twice" },
		.ops = { .read_region = note_saved, .write_region = take_twice },
	},
	{
		VFM_V1_BUG("v1-oversize-accepted", "a data_size beyond the section is taken",
			   "Linux, qat, 2024 and 2026: a write past the end of the state buffer"),
		.rules = { "v1.refuse.oversize" },
		.ops = { .write_region = take_oversize },
	},
	{
		VFM_V1_BUG("v1-load-poisoned", "after a load that failed no other is taken", ""),
		.rules = { "v1.refuse.recovers" },
		.ops = { .write_region = load_poisoned },
	},
};
const size_t vfm_nr_bugs_v1_resume = VFM_ARRAY_SIZE(vfm_bugs_v1_resume);
