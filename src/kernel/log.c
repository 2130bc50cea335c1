// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The dirty log. The best keeper that there is keeps it: the device itself, which knows what
 * it has written, or else the IOMMU, which knows what was written through it (see parts.h).
 *
 * A device that can log is not enough: the kernel reports by way of a part of iommufd, and
 * one without that lets a log be started and then refuses every report. So a report of one
 * page is tried right after the start; what it says of that page is kept for the first one
 * who asks.
 *
 * Where no log is ours, requests go to the driver all the same: whether it refuses what it
 * must is its own matter.
 */

#include "kernel/impl.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/util.h"
#include "device/ranges.h"

_Static_assert(sizeof(struct vfm_range) == sizeof(struct vfm_abi_logging_range), "layout");

/* ---- by the device --------------------------------------------------------------- */

static int device_start(struct vfm_kernel *k, uint64_t *page_size, const struct vfm_range *ranges,
			size_t nr_ranges)
{
	struct vfm_abi_logging_control control = { .page_size = *page_size,
						   .num_ranges = (uint32_t)nr_ranges,
						   .ranges = (uintptr_t)ranges };
	int ret = vfm_kernel_feature(k, VFM_FEATURE_DMA_LOGGING_START | VFM_FEATURE_SET, &control,
				     sizeof(control));

	*page_size = control.page_size;
	return ret;
}

static int device_stop(struct vfm_kernel *k)
{
	return vfm_kernel_feature(k, VFM_FEATURE_DMA_LOGGING_STOP | VFM_FEATURE_SET, NULL, 0);
}

/* Bits behind the end of the range are not the driver's to set. */
static int device_report(struct vfm_kernel *k, uint64_t iova, uint64_t size, uint64_t page_size,
			 uint64_t *bitmap)
{
	uint64_t pages = size / page_size + (size % page_size != 0);
	uint64_t *last = &bitmap[(pages - 1) / 64], before = *last;
	uint64_t mask = pages % 64 ? (UINT64_C(1) << pages % 64) - 1 : UINT64_MAX;
	struct vfm_abi_logging_report report = {
		.iova = iova, .length = size, .page_size = page_size, .bitmap = (uintptr_t)bitmap
	};
	int ret = vfm_kernel_feature(k, VFM_FEATURE_DMA_LOGGING_REPORT | VFM_FEATURE_GET, &report,
				     sizeof(report));

	*last = before | (*last & mask);
	return ret;
}

static int explain_report(int code, struct vfm_err *err)
{
	if (code == -EOPNOTSUPP || code == -ENOTTY)
		return vfm_fail(
			err, code,
			"the device can log what it writes, but this kernel cannot report it: "
			"it was built without iommufd");
	return vfm_kernel_fail(err, code, "the driver's report");
}

/* Every driver can report in the smallest page, whatever it logs in. */
static int try_report(struct vfm_kernel *k, const struct vfm_range *range, struct vfm_err *err)
{
	uint64_t iova = range->iova & ~(VFM_KERNEL_PART_PAGE - 1), bit = 0;
	int ret = device_report(k, iova, VFM_KERNEL_PART_PAGE, VFM_KERNEL_PART_PAGE, &bit);

	if (ret)
		return explain_report(ret, err);
	k->log.tried = (struct vfm_range){ iova, bit & 1 ? VFM_KERNEL_PART_PAGE : 0 };
	return 0;
}

static int start_by_device(struct vfm_kernel *k, uint64_t *page_size,
			   const struct vfm_range *ranges, size_t nr_ranges, struct vfm_err *err)
{
	uint64_t chosen = *page_size;
	int ret = device_start(k, &chosen, ranges, nr_ranges);

	if (ret == -ENOTTY || ret == -EOPNOTSUPP)
		return vfm_fail(err, -ENOTTY, "the device keeps no log");
	if (ret)
		return vfm_kernel_fail(err, ret, "the driver refuses to log %zu ranges", nr_ranges);
	if (!vfm_is_power_of_2(chosen))
		ret = vfm_fail(err, -EPROTO, "the driver logs pages of %" PRIu64 " bytes", chosen);
	else
		ret = try_report(k, &ranges[0], err);
	if (ret) {
		(void)device_stop(k);
		return ret;
	}
	k->log.keeper = VFM_KERNEL_LOG_DEVICE;
	*page_size = chosen;
	return 0;
}

/* What the first report said of a page belongs into the first that asks for it. */
static void add_tried(struct vfm_kernel *k, uint64_t iova, uint64_t size, uint64_t page_size,
		      uint64_t *bitmap)
{
	struct vfm_range *t = &k->log.tried;
	uint64_t from = VFM_MAX(t->iova, iova);
	uint64_t last = VFM_MIN(t->iova + (t->size - 1), iova + (size - 1));

	if (!t->size || from > last)
		return;
	vfm_bitmap_set_range(bitmap, (from - iova) / page_size,
			     (last - iova) / page_size - (from - iova) / page_size + 1);
	if (from == t->iova && last == t->iova + (t->size - 1))
		t->size = 0;
}

static int report_by_device(struct vfm_kernel *k, uint64_t iova, uint64_t size, uint64_t page_size,
			    uint64_t *bitmap, struct vfm_err *err)
{
	int ret = device_report(k, iova, size, page_size, bitmap);

	if (ret)
		return explain_report(ret, err);
	add_tried(k, iova, size, page_size, bitmap);
	return 0;
}

/* ---- by the IOMMU ---------------------------------------------------------------- */

static int begin_parts(struct vfm_kernel *k)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < k->mappings.count; i++)
		ret = vfm_kernel_parts_add(&k->log.parts, k->mappings.entries[i].iova,
					   k->mappings.entries[i].size);
	return ret;
}

static int start_by_iommu(struct vfm_kernel *k, uint64_t *page_size, struct vfm_err *err)
{
	int ret;

	if (!k->iommu.ops || k->iommu.log_page < VFM_KERNEL_PART_PAGE)
		return vfm_fail(err, -ENOTTY, "its IOMMU tracks no dirty pages");
	ret = begin_parts(k);
	if (ret)
		vfm_fail(err, ret, "no memory for the log");
	else
		ret = k->iommu.ops->log_start(k, err);
	if (ret) {
		vfm_kernel_parts_free(&k->log.parts);
		return ret;
	}
	k->log.keeper = VFM_KERNEL_LOG_IOMMU;
	*page_size = k->iommu.log_page;
	return 0;
}

static int refresh(struct vfm_kernel *k, struct vfm_kernel_part *part, struct vfm_err *err)
{
	uint64_t *bits = vfm_kernel_parts_scratch(&k->log.parts, part, k->iommu.log_page);
	int ret;

	if (!bits)
		return vfm_fail(err, -ENOMEM, "no memory for the bitmap of 0x%" PRIx64 " bytes",
				part->size);
	ret = k->iommu.ops->log_report(k, part->iova, part->size, bits, err);
	if (!ret)
		vfm_kernel_part_put(part, bits, k->iommu.log_page);
	return ret;
}

/* All are asked before any is told: a report that fails must not have lost what others said. */
static int report_by_iommu(struct vfm_kernel *k, uint64_t iova, uint64_t size, uint64_t page_size,
			   uint64_t *bitmap, struct vfm_err *err)
{
	int ret = 0;

	if (!vfm_ranges_cover(k->log.ranges, k->log.nr_ranges, iova, size))
		return vfm_fail(err, -EINVAL, "it is not all logged");
	for (struct vfm_kernel_part *p = k->log.parts.first; p && !ret; p = p->next)
		if (p->live && vfm_kernel_part_touches(p, iova, size))
			ret = refresh(k, p, err);
	if (!ret)
		vfm_kernel_parts_take(&k->log.parts, iova, size, page_size, bitmap);
	return ret;
}

/* ---- operations ------------------------------------------------------------------ */

/* Neither can: why not the device, and why not what is behind it. */
static int nobody_logs(const struct vfm_err *device, const struct vfm_err *iommu,
		       struct vfm_err *err)
{
	return vfm_fail(err, -ENOTTY, "%.220s; %.220s", device->msg, iommu->msg);
}

int vfm_kernel_start_log(struct vfm_device *dev, uint64_t *page_size,
			 const struct vfm_range *ranges, size_t nr_ranges, struct vfm_err *err)
{
	struct vfm_kernel *k = vfm_kernel_of(dev);
	struct vfm_err device = { .code = 0 }, iommu = { .code = 0 };
	int ret;

	if (k->log.keeper == VFM_KERNEL_LOG_IOMMU)
		return vfm_fail(err, -EINVAL, "start the log: it is running");
	ret = start_by_device(k, page_size, ranges, nr_ranges, &device);
	if (ret != -ENOTTY && ret != -EOPNOTSUPP) {
		if (ret)
			return vfm_fail(err, ret, "start the log: %s", device.msg);
	} else {
		ret = start_by_iommu(k, page_size, &iommu);
		if (ret == -ENOTTY)
			ret = nobody_logs(&device, &iommu, err);
		else if (ret)
			vfm_fail(err, ret, "%s", iommu.msg);
		if (ret) {
			vfm_fail_prefix(err, "start the log");
			return ret;
		}
	}
	k->log.nr_ranges = nr_ranges;
	memcpy(k->log.ranges, ranges, nr_ranges * sizeof(*ranges));
	return 0;
}

int vfm_kernel_report_log(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
			  uint64_t *bitmap, struct vfm_err *err)
{
	struct vfm_kernel *k = vfm_kernel_of(dev);
	int ret = k->log.keeper == VFM_KERNEL_LOG_IOMMU
			  ? report_by_iommu(k, iova, size, page_size, bitmap, err)
			  : report_by_device(k, iova, size, page_size, bitmap, err);

	if (ret)
		vfm_fail_prefix(err, "report the log of 0x%" PRIx64 "+0x%" PRIx64, iova, size);
	return ret;
}

int vfm_kernel_stop_log(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_kernel *k = vfm_kernel_of(dev);
	int ret;

	if (k->log.keeper == VFM_KERNEL_LOG_IOMMU) {
		ret = k->iommu.ops->log_stop(k, err);
	} else {
		ret = device_stop(k);
		if (ret == -ENOTTY && k->iommu.ops && k->iommu.log_page)
			ret = -EINVAL;
		if (ret)
			vfm_kernel_fail(err, ret, "%s",
					k->log.keeper == VFM_KERNEL_LOG_NONE
						? "none is running, says the driver"
						: "the driver refuses");
	}
	if (ret) {
		vfm_fail_prefix(err, "stop the log");
		return ret;
	}
	vfm_kernel_parts_free(&k->log.parts);
	k->log.keeper = VFM_KERNEL_LOG_NONE;
	return 0;
}

void vfm_kernel_end_log(struct vfm_kernel *k)
{
	if (k->log.keeper != VFM_KERNEL_LOG_NONE && vfm_kernel_stop_log(&k->dev, NULL)) {
		/* it ends with the device */
	}
	vfm_kernel_parts_free(&k->log.parts);
}
