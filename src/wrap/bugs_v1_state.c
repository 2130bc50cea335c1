// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Bugs of the migration region: its description, its registers, and device_state. */

#include "wrap/v1_fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* ---- the description --------------------------------------------------------------- */

static int one_more_region(struct vfm_device *dev, struct vfm_device_info *info,
			   struct vfm_err *err)
{
	int ret = vfm_pass_get_info(dev, info, err);

	info->nr_regions += !ret;
	return ret;
}

/* The one behind the last is a second migration region. */
static int same_region_twice(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			     struct vfm_err *err)
{
	struct vfm_device_info info;
	int ret = vfm_pass_get_info(dev, &info, err);

	if (!ret)
		ret = vfm_pass_get_region(dev, index - (index == info.nr_regions), region, err);
	if (!ret)
		region->index = index;
	return ret;
}

static int region_read_only(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			    struct vfm_err *err)
{
	int ret = vfm_pass_get_region(dev, index, region, err);

	if (!ret && vfm_v1_is_region(dev, index))
		region->flags &= ~VFM_REGION_WRITE;
	return ret;
}

static int area_unaligned(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			  struct vfm_err *err)
{
	int ret = vfm_pass_get_region(dev, index, region, err);

	if (!ret && vfm_v1_is_region(dev, index)) {
		region->areas[0].offset += 64;
		region->areas[0].size -= 64;
	}
	return ret;
}

static int no_areas(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
		    struct vfm_err *err)
{
	int ret = vfm_pass_get_region(dev, index, region, err);

	if (!ret && vfm_v1_is_region(dev, index))
		region->nr_areas = 0;
	return ret;
}

/* ---- registers ------------------------------------------------------------------------ */

static int reserved_refused(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			    size_t len, struct vfm_err *err)
{
	if (vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_RESERVED)
		return vfm_fail(err, -EINVAL, "there is no register at 4");
	return vfm_pass_read_region(dev, index, offset, buf, len, err);
}

static int read_stored(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
		       size_t len, struct vfm_err *err)
{
	if (vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_RESERVED)
		return vfm_v1_answer(buf, len, vfm_fault_of(dev)->bytes);
	return vfm_pass_read_region(dev, index, offset, buf, len, err);
}

static int store_reserved(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
			  size_t len, struct vfm_err *err)
{
	if (vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_RESERVED)
		vfm_fault_of(dev)->bytes = vfm_v1_written(buf, len);
	return vfm_pass_write_region(dev, index, offset, buf, len, err);
}

static int read_moved(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
		      size_t len, struct vfm_err *err)
{
	const struct vfm_fault *f = vfm_fault_of(dev);

	if (f->flag && vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_OFFSET)
		return vfm_v1_answer(buf, len, f->bytes);
	return vfm_pass_read_region(dev, index, offset, buf, len, err);
}

static int move_data(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
		     size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	enum vfm_v1_target target = vfm_v1_target(dev, index, offset, len);

	if (target == VFM_V1_AT_STATE)
		f->flag = false;
	if (target != VFM_V1_AT_OFFSET)
		return vfm_pass_write_region(dev, index, offset, buf, len, err);
	f->bytes = vfm_v1_written(buf, len);
	f->flag = true;
	return 0;
}

/* Whether an access is to the registers, and to none of them as a whole. */
static bool is_misfit(struct vfm_device *dev, uint32_t index, uint64_t offset, size_t len)
{
	return vfm_v1_target(dev, index, offset, len) == VFM_V1_OTHER &&
	       vfm_v1_is_region(dev, index) && offset + len <= VFM_V1_REGISTERS_END;
}

static int read_any_width(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			  size_t len, struct vfm_err *err)
{
	if (!is_misfit(dev, index, offset, len))
		return vfm_pass_read_region(dev, index, offset, buf, len, err);
	memset(buf, 0, len);
	return 0;
}

static int write_any_width(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
			   size_t len, struct vfm_err *err)
{
	return is_misfit(dev, index, offset, len)
		       ? 0
		       : vfm_pass_write_region(dev, index, offset, buf, len, err);
}

/* ---- ways that are refused --------------------------------------------------------------- */

/*
 * A bug that refuses some writes of device_state: which, by bits before and wanted. The rest
 * of a write is handed on.
 */
static int refuse_if(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
		     size_t len,
		     bool (*refused)(struct vfm_device *dev, uint32_t from, uint32_t to),
		     struct vfm_err *err)
{
	if (vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_STATE) {
		uint32_t from = vfm_v1_ask_word(dev, index);
		uint32_t to = (uint32_t)vfm_v1_written(buf, len);

		if (refused(dev, from, to))
			return vfm_fail(err, -EINVAL, "%u to 0x%x: there is no such way", from, to);
	}
	return vfm_pass_write_region(dev, index, offset, buf, len, err);
}

#define REFUSES(name, condition)                                                                   \
	static bool refuses_##name(struct vfm_device *dev, uint32_t from, uint32_t to)             \
	{                                                                                          \
		(void)dev;                                                                         \
		(void)from;                                                                        \
		return condition;                                                                  \
	}                                                                                          \
	static int name(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,  \
			size_t len, struct vfm_err *err)                                           \
	{                                                                                          \
		return refuse_if(dev, index, offset, buf, len, refuses_##name, err);               \
	}

REFUSES(no_stop, from == 1 && to == 0)
REFUSES(no_pre_copy, to == 3)
REFUSES(no_cancel, from == 3 && to == 1)
REFUSES(no_same, from == to)
REFUSES(no_paused_save, from == 0 && to == 2)
REFUSES(no_reserved_bits, to > VFM_V1_MASK)

/* Data is pending: read it first. */
static int must_drain(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
		      size_t len, struct vfm_err *err)
{
	if (vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_STATE &&
	    vfm_v1_ask_word(dev, index) == 3 && vfm_v1_written(buf, len) == 2 &&
	    vfm_v1_ask(dev, index, VFM_V1_PENDING_BYTES))
		return vfm_fail(err, -EBUSY, "there is data to be read");
	return vfm_pass_write_region(dev, index, offset, buf, len, err);
}

/* ---- words -------------------------------------------------------------------------------- */

/* f->flag: it says that it is in f->bytes, wherever it is. */
static int read_pretended(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			  size_t len, struct vfm_err *err)
{
	const struct vfm_fault *f = vfm_fault_of(dev);

	if (f->flag && vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_STATE)
		return vfm_v1_answer(buf, len, f->bytes);
	return vfm_pass_read_region(dev, index, offset, buf, len, err);
}

static void pretend(struct vfm_fault *f, uint64_t word)
{
	f->flag = true;
	f->bytes = word;
}

static int take_error(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
		      size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	if (vfm_v1_target(dev, index, offset, len) != VFM_V1_AT_STATE)
		return vfm_pass_write_region(dev, index, offset, buf, len, err);
	if (f->flag)
		return vfm_fail(err, -EIO, "the device is in ERROR");
	if (!vfm_v1_is_error(vfm_v1_state_of((uint32_t)vfm_v1_written(buf, len))))
		return vfm_pass_write_region(dev, index, offset, buf, len, err);
	pretend(f, vfm_v1_written(buf, len));
	return 0;
}

static int leave_error(struct vfm_device *dev, struct vfm_err *err)
{
	vfm_fault_of(dev)->flag = false;
	return vfm_pass_reset(dev, err);
}

/* The register is set before the work is done, and not set back when that fails. */
static int set_too_early(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
			 size_t len, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	int ret = vfm_pass_write_region(dev, index, offset, buf, len, err);

	if (vfm_v1_target(dev, index, offset, len) != VFM_V1_AT_STATE)
		return ret;
	pretend(f, vfm_v1_written(buf, len));
	f->flag = ret != 0;
	return ret;
}

/* The name of the state is looked up for a line of the log. */
static int index_by_word(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
			 size_t len, struct vfm_err *err)
{
	if (vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_STATE &&
	    vfm_v1_written(buf, len) > VFM_V1_MASK)
		abort();
	return vfm_pass_write_region(dev, index, offset, buf, len, err);
}

/* What is beyond the table happens to be zero, which is no error. */
static int take_reserved(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
			 size_t len, struct vfm_err *err)
{
	if (vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_STATE &&
	    vfm_v1_written(buf, len) & (1u << 12))
		return 0;
	return vfm_pass_write_region(dev, index, offset, buf, len, err);
}

static int lose_reserved(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			 size_t len, struct vfm_err *err)
{
	int ret = vfm_pass_read_region(dev, index, offset, buf, len, err);

	if (!ret && vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_STATE)
		vfm_v1_answer(buf, len, vfm_v1_written(buf, len) & VFM_V1_MASK);
	return ret;
}

/* The register is not part of what is reset. */
static int reset_keeps_state(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	struct vfm_device_info info;
	int ret = vfm_pass_get_info(dev, &info, err);

	for (uint32_t i = 0; !ret && i < info.nr_regions; i++)
		if (vfm_v1_is_region(dev, i))
			pretend(f, vfm_v1_ask_word(dev, i));
	return ret ? ret : vfm_pass_reset(dev, err);
}

static int write_after_reset(struct vfm_device *dev, uint32_t index, uint64_t offset,
			     const void *buf, size_t len, struct vfm_err *err)
{
	if (vfm_v1_target(dev, index, offset, len) == VFM_V1_AT_STATE)
		vfm_fault_of(dev)->flag = false;
	return vfm_pass_write_region(dev, index, offset, buf, len, err);
}

const struct vfm_bug vfm_bugs_v1_state[] = {
	{
		VFM_V1_BUG("v1-two-regions", "two regions have the type of the migration region",
			   ""),
		.rules = { "v1.region.one" },
		.ops = { .get_info = one_more_region, .get_region = same_region_twice },
	},
	{
		VFM_V1_BUG("v1-region-read-only", "the migration region has no flag WRITE", ""),
		.rules = { "v1.region.usable" },
		.ops = { .get_region = region_read_only },
	},
	{
		VFM_V1_BUG("v1-area-unaligned", "an area that can be mapped begins within a page",
			   ""),
		.rules = { "v1.region.areas-are-pages", "v2.describe.areas-inside",
			   "v2.describe.areas-can-be-mapped" },
		.ops = { .get_region = area_unaligned },
	},
	{
		VFM_V1_BUG("v1-no-areas", "the region can be mapped, registers and all",
			   "QEMU 7.2 maps the whole of such a region"),
		.rules = { "v1.region.registers-are-trapped" },
		.ops = { .get_region = no_areas },
	},
	{
		VFM_V1_BUG("v1-reserved-word-refused", "the reserved word cannot be read",
			   "libvfio-user until 2023, access of the migration registers"),
		.rules = { "v1.register.reserved-word" },
		.ops = { .read_region = reserved_refused },
	},
	{
		VFM_V1_BUG("v1-reserved-word-stored", "the reserved word reads what was written",
			   ""),
		.rules = { "v1.register.reserved-word" },
		.ops = { .read_region = read_stored, .write_region = store_reserved },
	},
	{
		VFM_V1_BUG("v1-data-offset-writable",
			   "a user can move the data by writing data_offset", ""),
		.rules = { "v1.register.read-only" },
		.ops = { .read_region = read_moved, .write_region = move_data },
	},
	{
		VFM_V1_BUG("v1-any-width", "registers are accessed in any width", ""),
		.rules = { "v1.register.native-width" },
		.ops = { .read_region = read_any_width, .write_region = write_any_width },
	},
	{
		VFM_V1_BUG("v1-no-stop", "RUNNING to STOP is refused", ""),
		.rules = { "v1.state.drawn" },
		.ops = { .write_region = no_stop },
	},
	{
		VFM_V1_BUG("v1-no-pre-copy", "PRE_COPY is refused, as there is no data for it", ""),
		.rules = { "v1.state.pre-copy" },
		.ops = { .write_region = no_pre_copy },
	},
	{
		VFM_V1_BUG("v1-must-drain",
			   "PRE_COPY to STOP_COPY is refused while data is pending", ""),
		.rules = { "v1.state.stop-at-any-time" },
		.ops = { .write_region = must_drain },
	},
	{
		VFM_V1_BUG("v1-no-cancel", "PRE_COPY to RUNNING is refused",
			   "libvfio-user until 2023, docs/vfio-user.rst"),
		.rules = { "v1.state.cancel" },
		.ops = { .write_region = no_cancel },
	},
	{
		VFM_V1_BUG("v1-same-refused", "the state that it is in is refused",
			   "libvfio-user until 2023, for PRE_COPY, by a slip in its table"),
		.rules = { "v1.state.same" },
		.ops = { .write_region = no_same },
	},
	{
		VFM_V1_BUG("v1-no-paused-save", "STOP to STOP_COPY is refused",
			   "libvfio-user until 2023, migration_priv.h"),
		.rules = { "v1.state.out-of-stop" },
		.ops = { .write_region = no_paused_save },
	},
	{
		VFM_V1_BUG("v1-error-writable",
			   "a user can write ERROR, and breaks the device by it",
			   "libvfio-user until 2023, migration_priv.h"),
		.rules = { "v1.state.invalid-refused" },
		.ops = { .read_region = read_pretended,
			 .write_region = take_error,
			 .reset = leave_error },
	},
	{
		VFM_V1_BUG("v1-state-set-too-early",
			   "after a write that failed the state is the new one", ""),
		.rules = { "v1.state.honest" },
		.ops = { .read_region = read_pretended, .write_region = set_too_early },
	},
	{
		VFM_V1_BUG("v1-reserved-bits-indexed", "a word above 7 is an index, and a crash",
			   "libvfio-user until 2023, migration.c: the name of a state for the log"),
		.rules = { "v1.state.reserved-is-no-index", "v1.state.reserved-is-ignored",
			   "v1.state.reserved-is-kept" },
		.ops = { .write_region = index_by_word },
	},
	{
		VFM_V1_BUG("v1-reserved-bits-taken", "a word with bit 12 is taken and does nothing",
			   "libvfio-user until 2023, migration.c: 0x1000 was no error"),
		.rules = { "v1.state.reserved-is-no-index", "v1.state.reserved-is-kept" },
		.ops = { .write_region = take_reserved },
	},
	{
		VFM_V1_BUG("v1-reserved-bits-refused", "a word with a reserved bit is refused",
			   "libvfio-user until 2023, migration.c"),
		.rules = { "v1.state.reserved-is-ignored" },
		.ops = { .write_region = no_reserved_bits },
	},
	{
		VFM_V1_BUG("v1-reserved-bits-lost", "reserved bits read 0, whatever was written",
			   ""),
		.rules = { "v1.state.reserved-is-kept" },
		.ops = { .read_region = lose_reserved },
	},
	{
		VFM_V1_BUG(
			"v1-reset-keeps-state", "after a reset device_state is what it was before",
			"libvfio-user since 2026-05: a reset does not change the migration state"),
		.rules = { "v1.state.reset-runs", "v1.refuse.recovers" },
		.ops = { .read_region = read_pretended,
			 .write_region = write_after_reset,
			 .reset = reset_keeps_state },
	},
};
const size_t vfm_nr_bugs_v1_state = VFM_ARRAY_SIZE(vfm_bugs_v1_state);
