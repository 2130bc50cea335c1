// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Bugs of the dirty log. Each counts in the struct vfm_fault of its own, by names that stand
 * here for what most need: which range is logged, and whether any is.
 */

#include "wrap/wrap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/util.h"

/* Of the first range that is logged; flag: a log is running. */
#define IOVA 0
#define SIZE 1
#define PAGE 2

#define DISCARD_PAGE 4096u

static int note_start(struct vfm_device *dev, uint64_t *page_size, const struct vfm_range *ranges,
		      size_t nr, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	int ret = vfm_pass_start_log(dev, page_size, ranges, nr, err);

	if (ret)
		return ret;
	f->flag = true;
	f->count[IOVA] = ranges[0].iova;
	f->count[SIZE] = ranges[0].size;
	f->count[PAGE] = *page_size;
	return 0;
}

static int note_stop(struct vfm_device *dev, struct vfm_err *err)
{
	int ret = vfm_pass_stop_log(dev, err);

	if (!ret)
		vfm_fault_of(dev)->flag = false;
	return ret;
}

/* Read a part of the log for nobody. */
static void discard(struct vfm_device *dev, uint64_t iova, uint64_t size)
{
	vfm_auto_free uint64_t *bitmap =
		calloc(vfm_log_bitmap_words(size, DISCARD_PAGE), sizeof(*bitmap));
	struct vfm_err err;

	if (bitmap && vfm_pass_report_log(dev, iova, size, DISCARD_PAGE, bitmap, &err))
		return;
}

/* What a report gives, apart from what was in the bitmap before. NULL: @ret tells. */
static uint64_t *alone(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
		       int *ret, struct vfm_err *err)
{
	uint64_t *bitmap = calloc(vfm_log_bitmap_words(size, page_size), sizeof(*bitmap));

	*ret = bitmap ? vfm_pass_report_log(dev, iova, size, page_size, bitmap, err)
		      : vfm_fail(err, -ENOMEM, "report log: no memory");
	if (!*ret)
		return bitmap;
	free(bitmap);
	return NULL;
}

/* ---- bits -------------------------------------------------------------------------- */

static int loses_pages(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
		       uint64_t *bitmap, struct vfm_err *err)
{
	int ret;
	vfm_auto_free uint64_t *part = alone(dev, iova, size, page_size, &ret, err);

	for (size_t i = 0; part && i < vfm_log_bitmap_words(size, page_size); i++)
		bitmap[i] |= part[i] & ~(UINT64_C(1) << 63);
	return ret;
}

/* Read, and cleared somewhat later. */
static int clears_late(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
		       uint64_t *bitmap, struct vfm_err *err)
{
	int ret = vfm_pass_report_log(dev, iova, size, page_size, bitmap, err);

	if (ret)
		return ret;
	usleep(2000);
	ret = vfm_pass_process(dev, err);
	discard(dev, iova, size);
	return ret;
}

/* @held: what the last report of the same has given. */
static int not_cleared(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
		       uint64_t *bitmap, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	size_t words = vfm_log_bitmap_words(size, page_size);
	uint64_t *part, *before = (uint64_t *)f->held;
	bool again = before && f->count[IOVA] == iova && f->count[SIZE] == size &&
		     f->count[PAGE] == page_size;
	int ret;

	part = alone(dev, iova, size, page_size, &ret, err);
	if (!part)
		return ret;
	for (size_t i = 0; i < words; i++) {
		part[i] |= again ? before[i] : 0;
		bitmap[i] |= part[i];
	}
	free(before);
	f->held = part;
	f->count[IOVA] = iova;
	f->count[SIZE] = size;
	f->count[PAGE] = page_size;
	return 0;
}

static int all_dirty(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
		     uint64_t *bitmap, struct vfm_err *err)
{
	int ret = vfm_pass_report_log(dev, iova, size, page_size, bitmap, err);

	for (uint64_t i = 0; !ret && i < size / page_size; i++)
		bitmap[i / 64] |= UINT64_C(1) << (i % 64);
	return ret;
}

static int overwrites(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
		      uint64_t *bitmap, struct vfm_err *err)
{
	memset(bitmap, 0, vfm_log_bitmap_words(size, page_size) * sizeof(*bitmap));
	return vfm_pass_report_log(dev, iova, size, page_size, bitmap, err);
}

/* Only in the last word: what is behind that may be anybody's. */
static int beyond_end(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
		      uint64_t *bitmap, struct vfm_err *err)
{
	int ret = vfm_pass_report_log(dev, iova, size, page_size, bitmap, err);
	uint64_t pages = size / page_size;

	if (!ret && pages % 64)
		bitmap[pages / 64] |= UINT64_MAX << (pages % 64);
	return ret;
}

/* ---- parts and page sizes ---------------------------------------------------------------- */

static int clears_all(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
		      uint64_t *bitmap, struct vfm_err *err)
{
	const struct vfm_fault *f = vfm_fault_of(dev);
	int ret = vfm_pass_report_log(dev, iova, size, page_size, bitmap, err);

	if (!ret)
		discard(dev, f->count[IOVA], f->count[SIZE]);
	return ret;
}

static int from_base_only(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
			  uint64_t *bitmap, struct vfm_err *err)
{
	const struct vfm_fault *f = vfm_fault_of(dev);

	if (iova > f->count[IOVA] && iova - f->count[IOVA] < f->count[SIZE])
		return vfm_fail(err, -ENOTSUP, "report log: it must begin where the range does");
	return vfm_pass_report_log(dev, iova, size, page_size, bitmap, err);
}

/* A counter of 8 bits that is compared with a number it never reaches. */
static int finer_hangs(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
		       uint64_t *bitmap, struct vfm_err *err)
{
	while (page_size < vfm_fault_of(dev)->count[PAGE] && size / page_size > 256)
		pause();
	return vfm_pass_report_log(dev, iova, size, page_size, bitmap, err);
}

/* The same counter, where it is an index. */
static int coarser_loses(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
			 uint64_t *bitmap, struct vfm_err *err)
{
	int ret;
	vfm_auto_free uint64_t *part = NULL;

	if (page_size <= vfm_fault_of(dev)->count[PAGE])
		return vfm_pass_report_log(dev, iova, size, page_size, bitmap, err);
	part = alone(dev, iova, size, page_size, &ret, err);
	for (size_t i = 0; part && i < vfm_log_bitmap_words(size, page_size); i++)
		bitmap[i % 4] |= part[i];
	return ret;
}

static int low_addresses(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
			 uint64_t *bitmap, struct vfm_err *err)
{
	return iova > UINT32_MAX ? 0 : vfm_pass_report_log(dev, iova, size, page_size, bitmap, err);
}

static int first_range(struct vfm_device *dev, uint64_t *page_size, const struct vfm_range *ranges,
		       size_t nr, struct vfm_err *err)
{
	(void)nr;
	return vfm_pass_start_log(dev, page_size, ranges, 1, err);
}

/* count[0]: where the mapping begins that came last. */
static int note_map(struct vfm_device *dev, const struct vfm_dma_map *map, struct vfm_err *err)
{
	vfm_fault_of(dev)->count[0] = map->iova;
	vfm_fault_of(dev)->flag = map->fd < 0;
	return vfm_pass_map_dma(dev, map, err);
}

static int spanning_empty(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
			  uint64_t *bitmap, struct vfm_err *err)
{
	uint64_t border = vfm_fault_of(dev)->count[0];

	if (border > iova && border - iova < size)
		return 0;
	return vfm_pass_report_log(dev, iova, size, page_size, bitmap, err);
}

/* flag: that mapping has no descriptor. */
static int report_needs_file(struct vfm_device *dev, uint64_t iova, uint64_t size,
			     uint64_t page_size, uint64_t *bitmap, struct vfm_err *err)
{
	if (vfm_fault_of(dev)->flag)
		return vfm_fail(err, -EINVAL, "report log: the memory has no descriptor");
	return vfm_pass_report_log(dev, iova, size, page_size, bitmap, err);
}

/* ---- begin and end --------------------------------------------------------------------------- */

static int start_accepted(struct vfm_device *dev, uint64_t *page_size,
			  const struct vfm_range *ranges, size_t nr, struct vfm_err *err)
{
	return vfm_fault_of(dev)->flag ? 0 : note_start(dev, page_size, ranges, nr, err);
}

static int start_restarts(struct vfm_device *dev, uint64_t *page_size,
			  const struct vfm_range *ranges, size_t nr, struct vfm_err *err)
{
	int ret = vfm_fault_of(dev)->flag ? note_stop(dev, err) : 0;

	return ret ? ret : note_start(dev, page_size, ranges, nr, err);
}

static int stop_accepted(struct vfm_device *dev, struct vfm_err *err)
{
	int ret = vfm_pass_stop_log(dev, err);

	return ret == -EINVAL ? 0 : ret;
}

static int report_accepted(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
			   uint64_t *bitmap, struct vfm_err *err)
{
	return vfm_fault_of(dev)->flag
		       ? vfm_pass_report_log(dev, iova, size, page_size, bitmap, err)
		       : 0;
}

static int outside_clean(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
			 uint64_t *bitmap, struct vfm_err *err)
{
	int ret = vfm_pass_report_log(dev, iova, size, page_size, bitmap, err);

	return ret && vfm_fault_of(dev)->flag ? 0 : ret;
}

/* Not stopped, but put aside: whoever begins with the same range gets it back. */
static int stop_aside(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	if (f->count[3])
		return vfm_fail(err, -EINVAL, "stop log: none is running");
	if (!f->flag)
		return vfm_pass_stop_log(dev, err);
	f->flag = false;
	f->count[3] = true;
	return 0;
}

static int start_remembers(struct vfm_device *dev, uint64_t *page_size,
			   const struct vfm_range *ranges, size_t nr, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);
	bool aside = f->count[3];
	int ret = 0;

	f->count[3] = false;
	if (aside && nr == 1 && ranges[0].iova == f->count[IOVA] &&
	    ranges[0].size == f->count[SIZE] && *page_size == f->count[PAGE]) {
		f->flag = true;
		return 0;
	}
	if (aside)
		ret = vfm_pass_stop_log(dev, err);
	return ret ? ret : note_start(dev, page_size, ranges, nr, err);
}

static int report_not_aside(struct vfm_device *dev, uint64_t iova, uint64_t size,
			    uint64_t page_size, uint64_t *bitmap, struct vfm_err *err)
{
	if (vfm_fault_of(dev)->count[3])
		return vfm_fail(err, -EINVAL, "report log: none is running");
	return vfm_pass_report_log(dev, iova, size, page_size, bitmap, err);
}

static int only_running(struct vfm_device *dev, uint64_t *page_size, const struct vfm_range *ranges,
			size_t nr, struct vfm_err *err)
{
	if (!vfm_state_is_active(vfm_fault_state(dev)))
		return vfm_fail(err, -EINVAL, "start log: the device is stopped");
	return vfm_pass_start_log(dev, page_size, ranges, nr, err);
}

static int cleared_by_stop(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	const struct vfm_fault *f = vfm_fault_of(dev);
	int ret = VFM_PASS(f->pass.inner, set_state, err, state);

	if (!ret && f->flag && !vfm_state_is_active(state))
		discard(dev, f->count[IOVA], f->count[SIZE]);
	return ret;
}

static int reset_stops(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_err none;
	int ret = vfm_pass_reset(dev, err);

	if (!ret && vfm_pass_stop_log(dev, &none))
		return 0;
	return ret;
}

const struct vfm_bug vfm_bugs_log[] = {
	{
		.is = { .name = "log-loses-pages",
			.title = "one page of 64 is never reported",
			.where = "" },
		.rules = { "v2.log.reports-written", "v2.log.follows-stream" },
		.ops = { .report_log = loses_pages },
	},
	{
		.is = { .name = "log-clears-late",
			.title = "what is written between reading and clearing is lost",
			.where = "" },
		.rules = { "v2.log.follows-stream" },
		.ops = { .report_log = clears_late },
	},
	{
		.is = { .name = "log-not-cleared",
			.title = "a report does not clear what it reports",
			.where = "" },
		.rules = { "v2.log.cleared-by-reading" },
		.ops = { .report_log = not_cleared },
	},
	{
		.is = { .name = "log-all-dirty",
			.title = "all pages are reported, always",
			.where = "Linux, vfio_iommu_type1, without pinned pages" },
		.rules = { "v2.log.only-written" },
		.ops = { .report_log = all_dirty },
	},
	{
		.is = { .name = "log-overwrites-bitmap",
			.title = "a report clears the bits of clean pages",
			.where = "" },
		.rules = { "v2.log.bits-only-set" },
		.ops = { .report_log = overwrites },
	},
	{
		.is = { .name = "log-beyond-end",
			.title = "bits behind the last page are set",
			.where = "" },
		.rules = { "v2.log.stays-in-bitmap" },
		.ops = { .report_log = beyond_end },
	},
	{
		.is = { .name = "log-part-clears-all",
			.title = "a report of a part clears all of the log",
			.where = "" },
		.rules = { "v2.log.sub-ranges" },
		.ops = { .start_log = note_start, .report_log = clears_all },
	},
	{
		.is = { .name = "log-from-base-only",
			.title = "a report must begin where what is logged does",
			.where = "libvfio-user, dma.c, a report from the middle is ENOTSUP" },
		.rules = { "v2.log.sub-ranges" },
		.ops = { .start_log = note_start, .report_log = from_base_only },
	},
	{
		.is = { .name = "log-finer-hangs",
			.title = "a report in smaller pages than the log's never ends",
			.where = "libvfio-user, dma.c, client_bit_idx of 8 bits" },
		.rules = { "v2.log.finer-report" },
		.ops = { .start_log = note_start, .report_log = finer_hangs },
	},
	{
		.is = { .name = "log-coarser-loses",
			.title = "a report in larger pages than the log's loses all after 256",
			.where = "libvfio-user, dma.c, client_bit_idx of 8 bits" },
		.rules = { "v2.log.coarser-report" },
		.ops = { .start_log = note_start, .report_log = coarser_loses },
	},
	{
		.is = { .name = "log-32-bits",
			.title = "nothing above 4 GiB is reported",
			.where = "" },
		.rules = { "v2.log.all-addresses" },
		.ops = { .report_log = low_addresses },
	},
	{
		.is = { .name = "log-first-range-only",
			.title = "the first range is logged alone",
			.where = "" },
		.rules = { "v2.log.several-ranges" },
		.ops = { .start_log = first_range },
	},
	{
		.is = { .name = "log-spanning-empty",
			.title = "a report of two mappings succeeds and is empty",
			.where = "libvfio-user, dma.c, a report over two regions" },
		.rules = { "v2.log.two-mappings" },
		.ops = { .map_dma = note_map, .report_log = spanning_empty },
	},
	{
		.is = { .name = "log-needs-file",
			.title = "memory without a descriptor is not reported",
			.where = "libvfio-user, a report of such a region is EINVAL" },
		.rules = { "v2.log.without-file" },
		.ops = { .map_dma = note_map, .report_log = report_needs_file },
	},
	{
		.is = { .name = "log-double-start",
			.title = "a second start is accepted and ignored",
			.where = "libvfio-user, DMA_LOGGING_START with the same page size" },
		.rules = { "v2.log.double-start-refused" },
		.ops = { .start_log = start_accepted, .stop_log = note_stop },
	},
	{
		.is = { .name = "log-restarts",
			.title = "a second start begins with an empty log",
			.where = "" },
		.rules = { "v2.log.double-start-harmless", "v2.log.double-start-refused" },
		.ops = { .start_log = start_restarts, .stop_log = note_stop },
	},
	{
		.is = { .name = "log-stop-accepted",
			.title = "a log that is not running can be stopped",
			.where = "libvfio-user, DMA_LOGGING_STOP" },
		.rules = { "v2.log.stop-refused" },
		.ops = { .stop_log = stop_accepted },
	},
	{
		.is = { .name = "log-report-accepted",
			.title = "without a log all is reported clean",
			.where = "" },
		.rules = { "v2.log.report-refused" },
		.ops = { .start_log = note_start,
			 .stop_log = note_stop,
			 .report_log = report_accepted },
	},
	{
		.is = { .name = "log-outside-clean",
			.title = "what is not logged is reported clean",
			.where = "" },
		.rules = { "v2.log.outside-refused" },
		.ops = { .start_log = note_start,
			 .stop_log = note_stop,
			 .report_log = outside_clean },
	},
	{
		.is = { .name = "log-remembers",
			.title = "a new log has the pages of the last one",
			.where = "" },
		.rules = { "v2.log.starts-clean" },
		.ops = { .start_log = start_remembers,
			 .stop_log = stop_aside,
			 .report_log = report_not_aside },
	},
	{
		.is = { .name = "log-only-running",
			.title = "no log can be started while it is stopped",
			.where = "" },
		.rules = { "v2.log.any-state" },
		.ops = { .start_log = only_running },
	},
	{
		.is = { .name = "log-cleared-by-stop",
			.title = "what was written before a stop is not reported after it",
			.where = "" },
		.rules = { "v2.log.kept-over-stop", "v2.log.follows-stream" },
		.ops = { .start_log = note_start,
			 .stop_log = note_stop,
			 .set_state = cleared_by_stop },
	},
	{
		.is = { .name = "log-lost-on-reset", .title = "a reset ends the log", .where = "" },
		.rules = { "v2.log.stays-over-reset" },
		.ops = { .reset = reset_stops },
	},
};
const size_t vfm_nr_bugs_log = VFM_ARRAY_SIZE(vfm_bugs_log);
