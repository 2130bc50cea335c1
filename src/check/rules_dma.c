// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about memory that is mapped for the device: what it may reach, and what no more.
 * They hold for any device, whether it migrates or not; but a device is migrated with its
 * memory, and what writes where it must not is found out there.
 */

#include "check/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "check/memory.h"

#define RW (VFM_DMA_READ | VFM_DMA_WRITE)

static uint64_t pages_of(const struct vfm_trial_memory *mem)
{
	return mem->size / VFM_TRIAL_PAGE;
}

static bool page_changed(const struct vfm_trial_memory *mem, const uint8_t *before, uint64_t page)
{
	return memcmp(mem->at + page * VFM_TRIAL_PAGE, before + page * VFM_TRIAL_PAGE,
		      VFM_TRIAL_PAGE);
}

/* The pages that were written, and no others, are others than @before. */
static int only_those(struct vfm_trial *t, const struct vfm_trial_memory *mem,
		      const uint8_t *before, uint64_t first, uint64_t count)
{
	for (uint64_t page = 0; page < pages_of(mem); page++) {
		bool written = page >= first && page < first + count;

		if (page_changed(mem, before, page) == written)
			continue;
		return vfm_trial_fail(t,
				      "%" PRIu64 " pages at IOVA 0x%" PRIx64
				      " were to be written; the page at 0x%" PRIx64
				      " has %schanged",
				      count, mem->iova + first * VFM_TRIAL_PAGE,
				      mem->iova + page * VFM_TRIAL_PAGE, written ? "not " : "");
	}
	return 0;
}

/* One write, which must arrive there and nowhere else. */
static int write_and_look(struct vfm_trial *t, const struct vfm_trial_memory *mem, uint64_t first,
			  uint64_t count)
{
	vfm_auto_free uint8_t *before = malloc(mem->size);
	struct vfm_err err;

	if (!before)
		return vfm_trial_skip(t, "no memory for %" PRIu64 " bytes", mem->size);
	memcpy(before, mem->at, mem->size);
	if (vfm_trial_try_write(t, mem->iova + first * VFM_TRIAL_PAGE, count * VFM_TRIAL_PAGE,
				&err))
		return vfm_trial_fail(t,
				      "%" PRIu64 " pages at IOVA 0x%" PRIx64
				      ", which are mapped, cannot be written: %s",
				      count, mem->iova + first * VFM_TRIAL_PAGE, err.msg);
	return only_those(t, mem, before, first, count);
}

/* ---- where it writes ---------------------------------------------------------------------- */

/* The first page, the last one, and some between. */
static int some_writes(struct vfm_trial *t, const struct vfm_trial_memory *mem)
{
	uint64_t pages = pages_of(mem);
	int ret = write_and_look(t, mem, 0, 1);

	if (!ret)
		ret = write_and_look(t, mem, pages - 1, 1);
	for (int i = 0; !ret && i < 6; i++) {
		uint64_t first = vfm_trial_random(t) % pages;
		uint64_t count = 1 + vfm_trial_random(t) % (pages - first);

		ret = write_and_look(t, mem, first, count);
	}
	return ret;
}

static int write_arrives(struct vfm_trial *t)
{
	struct vfm_trial_memory mem;
	int ret = vfm_trial_map(t, &mem, VFM_TRIAL_IOVA, 128 * VFM_TRIAL_PAGE);

	return ret ? ret : some_writes(t, &mem);
}

static int without_file(struct vfm_trial *t)
{
	struct vfm_trial_memory mem;
	struct vfm_err err;
	int ret = vfm_trial_new_memory(t, &mem, VFM_TRIAL_IOVA, 32 * VFM_TRIAL_PAGE);

	if (ret)
		return ret;
	vfm_close_fd(&mem.fd);
	if (vfm_trial_try_map(t, &mem, RW, &err))
		return vfm_trial_fail(t, "memory without a descriptor cannot be mapped: %s",
				      err.msg);
	return some_writes(t, &mem);
}

static int read_only(struct vfm_trial *t)
{
	struct vfm_trial_memory mem;
	struct vfm_err err;
	uint64_t where;
	int ret = vfm_trial_new_memory(t, &mem, VFM_TRIAL_IOVA, 4 * VFM_TRIAL_PAGE);

	if (ret)
		return ret;
	if (vfm_trial_try_map(t, &mem, VFM_DMA_READ, &err))
		return vfm_trial_blocked(t, &err);
	for (uint64_t i = 0; i < mem.size; i++)
		mem.at[i] = 0xa5;
	/* whether the device notices is its own business */
	if (vfm_trial_try_write(t, mem.iova, mem.size, &err) == -ETIMEDOUT)
		return vfm_trial_blocked(t, &err);
	for (where = 0; where < mem.size; where++)
		if (mem.at[where] != 0xa5)
			return vfm_trial_fail(t,
					      "memory was mapped with the flag READ alone, and the "
					      "device has written to IOVA 0x%" PRIx64,
					      mem.iova + where);
	return 0;
}

/* ---- overlaps ------------------------------------------------------------------------------- */

/* Against a mapping of 16 pages from page 16 on. */
static const struct {
	const char *name;
	unsigned int first, count;
} overlaps[] = {
	{ "the same range again", 16, 16 },   { "its first page", 16, 1 },
	{ "its last page", 31, 1 },	      { "a part inside", 20, 4 },
	{ "a range that ends inside", 8, 9 }, { "a range that begins inside", 31, 8 },
	{ "a range around it", 8, 32 },
};

/* What the device says to that. */
static int try_overlap(struct vfm_trial *t, size_t n, struct vfm_err *err)
{
	const uint64_t iova = VFM_TRIAL_IOVA + overlaps[n].first * VFM_TRIAL_PAGE;
	struct vfm_trial_memory mem;

	if (vfm_trial_new_memory(t, &mem, iova, overlaps[n].count * VFM_TRIAL_PAGE))
		return -ECANCELED;
	return vfm_trial_try_map(t, &mem, RW, err);
}

static int map_middle(struct vfm_trial *t, struct vfm_trial_memory *mem)
{
	struct vfm_err err;
	int ret = vfm_trial_map(t, mem, VFM_TRIAL_IOVA + 16 * VFM_TRIAL_PAGE, 16 * VFM_TRIAL_PAGE);

	/* it is there if it can be taken away: not all that say so have mapped something */
	if (!ret && vfm_device_unmap_dma(t->dev, mem->iova, mem->size, &err))
		ret = vfm_trial_blocked(t, &err);
	if (!ret && vfm_trial_try_map(t, mem, RW, &err))
		ret = vfm_trial_blocked(t, &err);
	return ret;
}

static int overlap_refused(struct vfm_trial *t)
{
	struct vfm_trial_memory mem;
	struct vfm_err err;
	int ret = map_middle(t, &mem);

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(overlaps); i++)
		if (!try_overlap(t, i, &err))
			ret = vfm_trial_fail(t,
					     "0x%" PRIx64 " bytes were mapped at IOVA 0x%" PRIx64
					     ", and then %s, and that was not refused",
					     mem.size, mem.iova, overlaps[i].name);
	if (!ret && vfm_device_unmap_dma(t->dev, mem.iova, mem.size, &err))
		ret = vfm_trial_fail(t,
				     "a mapping is gone after others that overlap it were refused: "
				     "%s",
				     err.msg);
	return ret;
}

static int overlap_errno(struct vfm_trial *t)
{
	struct vfm_trial_memory mem;
	struct vfm_err err;
	int ret = map_middle(t, &mem);

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(overlaps); i++) {
		int code = try_overlap(t, i, &err);

		if (code < 0 && code != -EEXIST)
			ret = vfm_trial_fail(t, "%s was refused with %s, and not with EEXIST",
					     overlaps[i].name, strerrorname_np(-code) ?: "?");
	}
	return ret;
}

/* ---- unmapping --------------------------------------------------------------------------------
 */

static const struct {
	const char *name;
	unsigned int first, count;
} inexact[] = {
	{ "its first page", 16, 1 },
	{ "all but its first page", 17, 15 },
	{ "a part inside", 20, 4 },
	{ "a page of it and one before", 15, 2 },
	{ "a range of the same size that begins one page later", 17, 16 },
	{ "a page that is not mapped", 64, 1 },
};

static int unmap_exact(struct vfm_trial *t)
{
	struct vfm_trial_memory mem;
	struct vfm_err err;
	int ret = vfm_trial_map(t, &mem, VFM_TRIAL_IOVA + 16 * VFM_TRIAL_PAGE, 16 * VFM_TRIAL_PAGE);

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(inexact); i++)
		if (!vfm_device_unmap_dma(t->dev,
					  VFM_TRIAL_IOVA + inexact[i].first * VFM_TRIAL_PAGE,
					  inexact[i].count * VFM_TRIAL_PAGE, NULL))
			ret = vfm_trial_fail(t,
					     "0x%" PRIx64 " bytes are mapped at IOVA 0x%" PRIx64
					     "; to unmap %s was not refused",
					     mem.size, mem.iova, inexact[i].name);
	if (!ret && vfm_device_unmap_dma(t->dev, mem.iova, mem.size, &err))
		ret = vfm_trial_fail(t, "what was mapped cannot be unmapped: %s", err.msg);
	if (!ret && !vfm_device_unmap_dma(t->dev, mem.iova, mem.size, &err))
		ret = vfm_trial_fail(t, "to unmap it a second time was not refused");
	return ret;
}

static int none_after_unmap(struct vfm_trial *t)
{
	struct vfm_trial_memory mem;
	struct vfm_err err;
	int ret = vfm_trial_map(t, &mem, VFM_TRIAL_IOVA, 16 * VFM_TRIAL_PAGE);

	if (!ret)
		ret = vfm_trial_stream(t, &mem);
	if (!ret && vfm_device_unmap_dma(t->dev, mem.iova, mem.size, &err))
		ret = vfm_trial_blocked(t, &err);
	return ret ? ret : vfm_trial_quiet(t, &mem, "after its memory was unmapped");
}

/* Other memory at the same address: the first write there must go to it. */
static int remap(struct vfm_trial *t)
{
	struct vfm_trial_memory old, mem;
	struct vfm_err err;
	int ret = vfm_trial_map(t, &old, VFM_TRIAL_IOVA, 4 * VFM_TRIAL_PAGE);

	if (!ret)
		ret = vfm_trial_write_pages(t, &old, 0, 1);
	if (!ret && vfm_device_unmap_dma(t->dev, old.iova, old.size, &err))
		ret = vfm_trial_blocked(t, &err);
	if (!ret)
		ret = vfm_trial_map(t, &mem, old.iova, old.size);
	if (ret)
		return ret;
	memset(old.at, 0, old.size);
	ret = vfm_trial_write_pages(t, &mem, 0, 1);
	for (uint64_t i = 0; !ret && i < old.size; i++)
		if (old.at[i])
			ret = vfm_trial_fail(
				t,
				"other memory was mapped at IOVA 0x%" PRIx64
				", and the device still writes to what was there before",
				old.iova);
	return ret;
}

/* ---- errors and limits
 * ---------------------------------------------------------------------------- */

/* It may want a reset first, but then it must work. */
static int works_again(struct vfm_trial *t, const struct vfm_trial_memory *mem)
{
	struct vfm_err err;
	int ret;

	if (!vfm_trial_try_write(t, mem->iova, mem->size, &err))
		return 0;
	ret = vfm_trial_reset(t);
	if (!ret)
		ret = vfm_trial_begin_again(t);
	if (!ret && vfm_trial_try_write(t, mem->iova, mem->size, &err))
		ret = vfm_trial_fail(t,
				     "it was made to write where nothing is mapped, and does not "
				     "write to mapped memory since, not even after a reset: %s",
				     err.msg);
	return ret;
}

static int bad_address(struct vfm_trial *t)
{
	struct vfm_trial_memory mem;
	struct vfm_err err;
	int ret = vfm_trial_map(t, &mem, VFM_TRIAL_IOVA, 4 * VFM_TRIAL_PAGE);

	if (!ret)
		ret = vfm_trial_write_pages(t, &mem, 0, 4);
	if (!ret && vfm_device_unmap_dma(t->dev, mem.iova, mem.size, &err))
		ret = vfm_trial_blocked(t, &err);
	if (ret)
		return ret;
	if (vfm_trial_try_write(t, mem.iova, mem.size, &err) == -ETIMEDOUT)
		return vfm_trial_blocked(t, &err);
	if (vfm_trial_try_map(t, &mem, RW, &err))
		return vfm_trial_blocked(t, &err);
	return works_again(t, &mem);
}

/* A large machine has about as many. */
#define MANY 128u

static int many_ranges(struct vfm_trial *t)
{
	struct vfm_trial_memory all, one;
	struct vfm_err err;
	int ret = vfm_trial_new_memory(t, &all, VFM_TRIAL_IOVA, MANY * VFM_TRIAL_PAGE);

	/* with a gap between any two, so that nobody can join them */
	for (unsigned int i = 0; !ret && i < MANY; i++) {
		one = all;
		one.iova += (uint64_t)i * 2 * VFM_TRIAL_PAGE;
		one.at += (size_t)i * VFM_TRIAL_PAGE;
		one.fd_offset += (uint64_t)i * VFM_TRIAL_PAGE;
		one.size = VFM_TRIAL_PAGE;
		if (!vfm_trial_try_map(t, &one, RW, &err))
			continue;
		ret = i ? vfm_trial_fail(t, "%u ranges are mapped, and the next is refused: %s", i,
					 err.msg)
			: vfm_trial_blocked(t, &err);
	}
	return ret;
}

static int stays_over_reset(struct vfm_trial *t)
{
	struct vfm_trial_memory mem;
	struct vfm_err err, why;
	int ret = vfm_trial_map(t, &mem, VFM_TRIAL_IOVA, 4 * VFM_TRIAL_PAGE);

	if (!ret)
		ret = vfm_trial_write_pages(t, &mem, 0, 4);
	if (!ret)
		ret = vfm_trial_reset(t);
	if (!ret)
		ret = vfm_trial_begin_again(t);
	if (ret || !vfm_trial_try_write(t, mem.iova, mem.size, &why))
		return ret;
	/* at another address it must work, or something else is wrong */
	mem.iova += mem.size;
	if (vfm_trial_try_map(t, &mem, RW, &err) ||
	    vfm_trial_try_write(t, mem.iova, mem.size, &err))
		return vfm_trial_blocked(t, &why);
	return vfm_trial_fail(t,
			      "memory was mapped, the device reset, and it cannot write there: %s; "
			      "mapped anew at another address, it can",
			      why.msg);
}

const struct vfm_rule vfm_rules_dma[] = {
	{
		.is = { .name = "vfio.dma.write-arrives",
			.title = "what the device writes arrives where it is mapped, and nowhere "
				 "else",
			.source = "<vfmig/device.h>, vfm_device_map_dma(): memory that the device "
				  "can "
				  "reach",
			.text = "The device writes pages of memory that is mapped, the first, the "
				"last and random ones; each must have changed, and no other. All "
				"other rules about DMA need that.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_WRITE,
		.run = write_arrives,
	},
	{
		.is = { .name = "vfio.dma.without-file",
			.title = "memory that comes without a descriptor can be written",
			.source = "vfio-user, DMA_MAP: the descriptor is optional, the server then "
				  "uses DMA_READ and DMA_WRITE; kernel VFIO knows addresses alone",
			.text = "As vfio.dma.write-arrives, with memory that only its user can "
				"reach. A device behind a socket asks for each transfer.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_WRITE,
		.run = without_file,
	},
	{
		.is = { .name = "vfio.dma.read-only",
			.title = "memory that may be read only is not written",
			.source = "uAPI, VFIO_IOMMU_MAP_DMA: FLAG_READ and FLAG_WRITE; vfio-user, "
				  "DMA_MAP, the same",
			.text = "The device is made to write to memory that was mapped with READ "
				"alone. How it reports that is its own business.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_WRITE,
		.run = read_only,
	},
	{
		.is = { .name = "vfio.dma.overlap-refused",
			.title = "a mapping that overlaps another is refused",
			.source = "vfio-user, DMA_MAP: a range that overlaps one that exists is an "
				  "error; kernel VFIO, the same; <vfmig/device.h>, "
				  "vfm_device_map_dma()",
			.text = "Two mappings of one address have no meaning, and which of them a "
				"later unmap takes away is a guess. Tried are the same range, "
				"parts, "
				"and ranges around; the mapping of before must survive it.\n",
			.severity = VFM_SEVERITY_MUST },
		.run = overlap_refused,
	},
	{
		.is = { .name = "vfio.dma.overlap-errno",
			.title = "a mapping that overlaps another is refused with EEXIST",
			.source = "vfio-user, DMA_MAP: EEXIST; <vfmig/device.h>, "
				  "vfm_device_map_dma()",
			.text = "A user who maps memory that may be mapped already can tell it "
				"from "
				"an error by that.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.run = overlap_errno,
	},
	{
		.is = { .name = "vfio.dma.unmap-exact",
			.title = "what was mapped is unmapped as it was mapped, once",
			.source = "vfio-user, DMA_UNMAP: the range must be one that was mapped; "
				  "<vfmig/device.h>, vfm_device_unmap_dma()",
			.text = "Parts, ranges that stand out, and memory that is not mapped are "
				"refused, and leave the mapping as it is.\n",
			.severity = VFM_SEVERITY_MUST },
		.run = unmap_exact,
	},
	{
		.is = { .name = "vfio.dma.none-after-unmap",
			.title = "no DMA to memory after it was unmapped",
			.source = "vfio-user, DMA_UNMAP: all access ends before the reply; "
				  "<vfmig/device.h>, vfm_device_unmap_dma()",
			.text = "The memory belongs to somebody else as soon as the call returns. "
				"The device is made to write all the time, its memory is unmapped, "
				"and watched.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STREAM,
		.run = none_after_unmap,
	},
	{
		.is = { .name = "vfio.dma.remap",
			.title = "other memory at an address is what the device reaches then",
			.source = "vfio-user, DMA_UNMAP: no reference to the memory is kept",
			.text = "A device that keeps translations of its own must forget them when "
				"memory is unmapped. Other memory is mapped at the same address, "
				"and "
				"the device is made to write there.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_WRITE,
		.run = remap,
	},
	{
		.is = { .name = "vfio.dma.bad-address-survived",
			.title = "DMA to an address where nothing is mapped does no harm",
			.source = "<vfmig/driver.h>, vfm_host_write_dma(): EFAULT, and nothing is "
				  "moved; vfio-user, DMA_WRITE fails with an error",
			.text = "A guest can program any address. The device is made to write "
				"where "
				"nothing is mapped; it may report an error, and it may want a "
				"reset, "
				"but it must be there afterwards and write to memory that is "
				"mapped.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_WRITE | VFM_NEED_RESET,
		.run = bad_address,
	},
	{
		.is = { .name = "vfio.dma.many-ranges",
			.title = "128 ranges of memory can be mapped",
			.source = "vfio-user, VERSION: max_dma_maps is 65535 if nothing is said",
			.text = "The memory of a machine is mapped in pieces, and a library of old "
				"took 16 of them.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.run = many_ranges,
	},
	{
		.is = { .name = "vfio.dma.mappings-stay-over-reset",
			.title = "memory stays mapped over a reset",
			.source = "<vfmig/device.h>, vfm_device_reset(): mappings stay",
			.text = "The mappings belong to the user and not to the device's state. A "
				"guest resets its device, sets it up, and has it write.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_WRITE | VFM_NEED_RESET,
		.run = stays_over_reset,
	},
};
const size_t vfm_nr_rules_dma = VFM_ARRAY_SIZE(vfm_rules_dma);
