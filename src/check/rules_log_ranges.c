// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about what can be asked of a dirty log: parts of it, other page sizes, any address, any
 * kind of mapping. As in rules_log_pages.c they look away from what is reported too much.
 */

#include "check/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "check/log.h"

/* ---- parts and pages of other sizes -----------------------------------------------------------
 */

/* Parts of the first 64 units, and one unit that was written in each; in no order. */
static const struct {
	unsigned int first, count, written;
} parts[] = { { 16, 16, 20 }, { 0, 16, 1 }, { 40, 24, 47 }, { 32, 8, 32 } };

static int sub_ranges(struct vfm_trial *t)
{
	struct vfm_trial_log log;
	struct vfm_trial_bitmap b = { { 0 } };
	struct vfm_err err;
	char what[64];
	int ret = vfm_trial_log(t, &log);

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(parts); i++)
		ret = vfm_trial_dirty(t, &log, parts[i].written);
	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(parts); i++) {
		snprintf(what, sizeof(what), "a report of pages %u to %u of what is logged",
			 parts[i].first, parts[i].first + parts[i].count - 1);
		memset(&b, 0, sizeof(b));
		if (vfm_trial_try_report(t, &log, parts[i].first, parts[i].count, &b, &err))
			ret = vfm_trial_fail(t, "%s: %s", what, err.msg);
		else
			ret = vfm_trial_reported(t, &log, &b, parts[i].written - parts[i].first,
						 parts[i].written, what);
	}
	return ret;
}

/*
 * Pages far apart, beyond 256 bits in either page size. None has the last bit of a word: whoever
 * loses those is found by v2.log.reports-written.
 */
static const unsigned int scattered[] = { 0, 3, 252, 300, 508, 600, 1001, 1020 };

/* Log in pages of @logged bytes, and ask for pages of @reported. */
static int other_pages(struct vfm_trial *t, uint64_t logged, uint64_t reported)
{
	const uint64_t ratio = reported / VFM_TRIAL_PAGE;
	struct vfm_trial_bitmap b = { { 0 } };
	struct vfm_trial_log log;
	struct vfm_err err;
	char what[64];
	int ret = vfm_trial_log_memory(t, &log);

	if (!ret && vfm_trial_try_start(t, &log, logged, &err))
		ret = vfm_trial_blocked(t, &err);
	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(scattered); i++)
		ret = vfm_trial_write_pages(t, &log.mem, scattered[i], 1);
	if (ret)
		return ret;
	if (vfm_device_report_log(t->dev, log.mem.iova, log.mem.size, reported, b.words, &err))
		return vfm_trial_fail(t,
				      "logged in pages of %" PRIu64 " bytes, a report in pages of "
				      "%" PRIu64 ": %s",
				      log.page, reported, err.msg);
	snprintf(what, sizeof(what), "a report in pages of %" PRIu64 " bytes", reported);
	log.page = VFM_TRIAL_PAGE;
	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(scattered); i++)
		ret = vfm_trial_reported(t, &log, &b, scattered[i] / ratio, scattered[i], what);
	return ret;
}

static int finer(struct vfm_trial *t)
{
	return other_pages(t, (uint64_t)2 * VFM_TRIAL_PAGE, VFM_TRIAL_PAGE);
}

static int coarser(struct vfm_trial *t)
{
	return other_pages(t, VFM_TRIAL_PAGE, (uint64_t)2 * VFM_TRIAL_PAGE);
}

/* ---- where --------------------------------------------------------------------------------------
 */

#define ROW ((uint64_t)16 * VFM_TRIAL_PAGE)

/* From the lowest to the highest; what an IOMMU cannot reach is left out. */
static const uint64_t places[] = {
	0,
	(UINT64_C(1) << 32) - ROW / 2,
	(UINT64_C(1) << 36),
	(UINT64_C(1) << 39) - ROW,
	(UINT64_C(1) << 47) - ROW,
	(UINT64_C(1) << 57) - ROW,
	UINT64_C(1) << 63,
	UINT64_MAX - ROW - VFM_TRIAL_PAGE + 1,
};

/* Write the first and the last page there. @tried: it could be done. */
static int log_at(struct vfm_trial *t, uint64_t iova, bool *tried)
{
	const struct vfm_range range = { iova, ROW };
	struct vfm_trial_log log = { .page = VFM_TRIAL_PAGE };
	struct vfm_trial_bitmap b = { { 0 } };
	struct vfm_err err;
	int ret = vfm_trial_new_memory(t, &log.mem, iova, ROW);

	if (ret || vfm_trial_try_map(t, &log.mem, VFM_DMA_READ | VFM_DMA_WRITE, NULL))
		return ret;
	if (vfm_device_start_log(t->dev, &log.page, &range, 1, &err))
		return vfm_trial_fail(t,
				      "0x%" PRIx64 " bytes at IOVA 0x%" PRIx64
				      " are mapped, and cannot be logged: %s",
				      range.size, range.iova, err.msg);
	*tried = log.page == VFM_TRIAL_PAGE &&
		 !vfm_trial_try_write(t, iova, VFM_TRIAL_PAGE, NULL) &&
		 !vfm_trial_try_write(t, iova + ROW - VFM_TRIAL_PAGE, VFM_TRIAL_PAGE, NULL);
	if (*tried && vfm_trial_try_report(t, &log, 0, 16, &b, &err))
		ret = vfm_trial_fail(t, "a report of IOVA 0x%" PRIx64 ": %s", iova, err.msg);
	if (*tried && !ret)
		ret = vfm_trial_reported(t, &log, &b, 0, 0, "a report of the 16 pages from there");
	if (*tried && !ret)
		ret = vfm_trial_reported(t, &log, &b, 15, 15, "a report of the 16 pages up to it");
	if (!ret && (vfm_device_stop_log(t->dev, &err) ||
		     vfm_device_unmap_dma(t->dev, log.mem.iova, log.mem.size, &err)))
		ret = vfm_trial_blocked(t, &err);
	return ret;
}

static int all_addresses(struct vfm_trial *t)
{
	unsigned int count = 0;
	int ret = 0;

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(places); i++) {
		bool tried = false;

		ret = log_at(t, places[i], &tried);
		count += tried;
	}
	if (!ret && !count)
		ret = vfm_trial_skip(t,
				     "no memory can be mapped and written at any of %zu addresses",
				     VFM_ARRAY_SIZE(places));
	return ret;
}

/* Units of ranges with gaps between, and one unit that is written in each. */
static const struct {
	unsigned int first, count, written;
} ranges[] = { { 0, 8, 7 }, { 16, 8, 16 }, { 48, 16, 62 } };

static int start_ranges(struct vfm_trial *t, struct vfm_trial_log *log)
{
	struct vfm_range list[VFM_ARRAY_SIZE(ranges)];
	struct vfm_err err;
	int ret = vfm_trial_log_memory(t, log);

	for (size_t i = 0; i < VFM_ARRAY_SIZE(ranges); i++)
		list[i] = (struct vfm_range){ log->mem.iova + ranges[i].first * log->page,
					      ranges[i].count * log->page };
	if (ret)
		return ret;
	if (vfm_device_start_log(t->dev, &log->page, list, VFM_ARRAY_SIZE(list), &err))
		return vfm_trial_fail(t, "%zu ranges cannot be logged together: %s",
				      VFM_ARRAY_SIZE(list), err.msg);
	if (log->page != VFM_TRIAL_PAGE)
		return vfm_trial_skip(
			t, "it logs in pages of %" PRIu64 " bytes: too large for this", log->page);
	return 0;
}

static int several_ranges(struct vfm_trial *t)
{
	struct vfm_trial_log log;
	struct vfm_trial_bitmap b = { { 0 } };
	struct vfm_err err;
	char what[64];
	int ret = start_ranges(t, &log);

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(ranges); i++)
		ret = vfm_trial_dirty(t, &log, ranges[i].written);
	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(ranges); i++) {
		snprintf(what, sizeof(what), "a report of range %zu of %zu", i + 1,
			 VFM_ARRAY_SIZE(ranges));
		memset(&b, 0, sizeof(b));
		if (vfm_trial_try_report(t, &log, ranges[i].first, ranges[i].count, &b, &err))
			ret = vfm_trial_fail(t, "%s: %s", what, err.msg);
		else
			ret = vfm_trial_reported(t, &log, &b, ranges[i].written - ranges[i].first,
						 ranges[i].written, what);
	}
	return ret;
}

/* Two mappings side by side are one range for who logs them. */
static int two_mappings(struct vfm_trial *t)
{
	const uint64_t half = (uint64_t)32 * VFM_TRIAL_PAGE;
	const struct vfm_range range = { VFM_TRIAL_IOVA, 2 * half };
	struct vfm_trial_log log = { .page = VFM_TRIAL_PAGE };
	struct vfm_trial_bitmap b = { { 0 } };
	struct vfm_trial_memory second;
	struct vfm_err err;
	int ret = vfm_trial_map(t, &log.mem, VFM_TRIAL_IOVA, half);

	if (!ret)
		ret = vfm_trial_map(t, &second, VFM_TRIAL_IOVA + half, half);
	if (!ret && vfm_device_start_log(t->dev, &log.page, &range, 1, &err))
		ret = vfm_trial_blocked(t, &err);
	if (!ret && log.page != VFM_TRIAL_PAGE)
		ret = vfm_trial_skip(t, "it logs in pages of %" PRIu64 " bytes", log.page);
	if (!ret)
		ret = vfm_trial_dirty(t, &log, 5);
	if (!ret)
		ret = vfm_trial_write_pages(t, &second, 8, 1);
	if (!ret && vfm_trial_try_report(t, &log, 0, 64, &b, &err))
		ret = vfm_trial_fail(t, "a report of two mappings side by side: %s", err.msg);
	if (!ret)
		ret = vfm_trial_reported(t, &log, &b, 5, 5, "a report of two mappings together");
	return ret ? ret
		   : vfm_trial_reported(t, &log, &b, 40, 40, "a report of two mappings together");
}

static int without_file(struct vfm_trial *t)
{
	const struct vfm_range range = { VFM_TRIAL_IOVA, ROW };
	struct vfm_trial_log log = { .page = VFM_TRIAL_PAGE };
	struct vfm_trial_bitmap b = { { 0 } };
	struct vfm_err err;
	int ret = vfm_trial_new_memory(t, &log.mem, range.iova, range.size);

	if (ret)
		return ret;
	vfm_close_fd(&log.mem.fd);
	if (vfm_trial_try_map(t, &log.mem, VFM_DMA_READ | VFM_DMA_WRITE, &err) ||
	    vfm_device_start_log(t->dev, &log.page, &range, 1, &err))
		return vfm_trial_blocked(t, &err);
	if (log.page != VFM_TRIAL_PAGE)
		return vfm_trial_skip(t, "it logs in pages of %" PRIu64 " bytes", log.page);
	ret = vfm_trial_dirty(t, &log, 9);
	if (!ret && vfm_trial_try_report(t, &log, 0, 16, &b, &err))
		ret = vfm_trial_fail(t, "a report of memory without a descriptor: %s", err.msg);
	return ret ? ret
		   : vfm_trial_reported(t, &log, &b, 9, 9,
					"a report of memory without a descriptor");
}

#define REPORT "uAPI, VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT: "

const struct vfm_rule vfm_rules_log_ranges[] = {
	{
		.is = { .name = "v2.log.sub-ranges",
			.title = "any part of what is logged can be reported, and is alone cleared",
			.source = REPORT "iova and length choose the part; "
					 "<vfmig/device.h>, vfm_device_report_log()",
			.text = "Users log all of the memory and ask for slots, or for pieces that "
				"fit their bitmaps. Four parts are asked for in no order, and each "
				"must have the page that was written in it.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_LOG | VFM_NEED_WRITE,
		.run = sub_ranges,
	},
	{
		.is = { .name = "v2.log.finer-report",
			.title = "a report may have smaller pages than the log",
			.source = REPORT "the page size may differ from that of the start",
			.text = "Logged in pages of 8192 bytes, reported in pages of 4096: a page "
				"is repeated. There are more than 256 of them, because a counter "
				"of "
				"8 bits never reached the end.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_LOG | VFM_NEED_WRITE,
		.run = finer,
	},
	{
		.is = { .name = "v2.log.coarser-report",
			.title = "a report may have larger pages than the log",
			.source = REPORT "the page size may differ from that of the start",
			.text = "Logged in pages of 4096 bytes, reported in pages of 8192: a page "
				"is "
				"dirty if any part of it is. There are more than 256 of them.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_LOG | VFM_NEED_WRITE,
		.run = coarser,
	},
	{
		.is = { .name = "v2.log.all-addresses",
			.title = "memory is logged wherever it is mapped",
			.source = "uAPI, struct vfio_device_feature_dma_logging_range: 64 bits of "
				  "IOVA",
			.text = "16 pages each at address 0, across 4 GiB, below the ends of usual "
				"address widths, and up to the last page but one of all: what can "
				"be "
				"mapped and written there must be reported.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_LOG | VFM_NEED_WRITE,
		.run = all_addresses,
	},
	{
		.is = { .name = "v2.log.several-ranges",
			.title = "several ranges can be logged together",
			.source = "uAPI, struct vfio_device_feature_dma_logging_control: a list of "
				  "ranges",
			.text = "QEMU logs three: below and above 4 GiB, and what lies in the hole "
				"of the PCI bus.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_LOG | VFM_NEED_WRITE,
		.run = several_ranges,
	},
	{
		.is = { .name = "v2.log.two-mappings",
			.title = "one report may hold two mappings",
			.source = REPORT "the range has nothing to do with mappings",
			.text = "Memory is mapped in two pieces side by side, logged and asked for "
				"as one.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_LOG | VFM_NEED_WRITE,
		.run = two_mappings,
	},
	{
		.is = { .name = "v2.log.without-file",
			.title = "memory without a descriptor is logged too",
			.source =
				"<vfmig/device.h>, vfm_device_start_log(): what the device writes "
				"by DMA; vfio-user, DMA_MAP: the descriptor is optional",
			.text = "A device behind a socket writes to such memory by messages.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_LOG | VFM_NEED_WRITE,
		.run = without_file,
	},
};
const size_t vfm_nr_rules_log_ranges = VFM_ARRAY_SIZE(vfm_rules_log_ranges);
