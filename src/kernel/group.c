// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The older way: a group is put into a container, which has the memory of all devices in it,
 * and gives out the device. The container is of type1, second version; there is one for each
 * device that we open, since a group has one user.
 *
 * The container can say which pages were written through it. Of a device behind an IOMMU
 * that knows nothing better, that is all of them; of a mediated device, those that its
 * driver has pinned. It takes whole mappings only, in its smallest page.
 */

#include "kernel/impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define CONTAINER_FILE "/dev/vfio/vfio"

/* ---- memory -------------------------------------------------------------------- */

static int container_map(struct vfm_kernel *k, const struct vfm_dma_map *map, const void *vaddr,
			 struct vfm_err *err)
{
	struct vfm_abi_dma_map request = { .argsz = sizeof(request),
					   .flags = map->flags,
					   .vaddr = (uintptr_t)vaddr,
					   .iova = map->iova,
					   .size = map->size };
	int ret = vfm_kernel_iommu_ioctl(k, VFM_CONTAINER_MAP_DMA, &request);

	return ret < 0 ? vfm_kernel_map_failed(ret, "container", err) : 0;
}

/* With a bitmap behind it, which some kernels do not know and none without a log takes. */
static int unmap_request(struct vfm_kernel *k, uint64_t iova, uint64_t *size, uint64_t *bits)
{
	struct {
		struct vfm_abi_dma_unmap head;
		struct vfm_abi_bitmap bitmap;
	} request = { .head = { .argsz = sizeof(request.head), .iova = iova, .size = *size } };
	int ret;

	if (bits) {
		request.head.argsz = sizeof(request);
		request.head.flags = VFM_UNMAP_GET_DIRTY_BITMAP;
		request.bitmap = (struct vfm_abi_bitmap){
			.pgsize = k->iommu.log_page,
			.size = vfm_log_bitmap_words(*size, k->iommu.log_page) * sizeof(*bits),
			.data = (uintptr_t)bits,
		};
	}
	ret = vfm_kernel_iommu_ioctl(k, VFM_CONTAINER_UNMAP_DMA, &request);
	if (ret >= 0)
		*size = request.head.size;
	return ret;
}

static int container_unmap(struct vfm_kernel *k, uint64_t iova, uint64_t size, uint64_t *bits,
			   bool *known, struct vfm_err *err)
{
	uint64_t done = size;
	int ret = bits ? unmap_request(k, iova, &done, bits) : -EINVAL;

	*known = ret >= 0;
	if (ret < 0)
		ret = unmap_request(k, iova, &done, NULL);
	if (ret < 0)
		return vfm_kernel_fail(err, ret, "the container refuses");
	if (done != size)
		return vfm_fail(err, -EIO, "the container has unmapped 0x%" PRIx64 " bytes", done);
	return 0;
}

/* ---- dirty pages --------------------------------------------------------------- */

static int switch_log(struct vfm_kernel *k, uint32_t flag, struct vfm_err *err)
{
	struct vfm_abi_dirty_bitmap request = { .argsz = sizeof(request), .flags = flag };
	int ret = vfm_kernel_iommu_ioctl(k, VFM_CONTAINER_DIRTY_PAGES, &request);

	if (ret == -ENOTTY || ret == -EACCES)
		return vfm_fail(err, -ENOTTY, "the container tracks no dirty pages");
	return ret < 0 ? vfm_kernel_fail(err, ret, "%s the container's dirty pages",
					 flag == VFM_DIRTY_START ? "track" : "stop tracking")
		       : 0;
}

static int container_log_start(struct vfm_kernel *k, struct vfm_err *err)
{
	if (!k->iommu.log_page)
		return vfm_fail(err, -ENOTTY, "the container tracks no dirty pages");
	return switch_log(k, VFM_DIRTY_START, err);
}

static int container_log_stop(struct vfm_kernel *k, struct vfm_err *err)
{
	return switch_log(k, VFM_DIRTY_STOP, err);
}

static int container_log_report(struct vfm_kernel *k, uint64_t iova, uint64_t size, uint64_t *bits,
				struct vfm_err *err)
{
	size_t bytes = vfm_log_bitmap_words(size, k->iommu.log_page) * sizeof(*bits);
	struct {
		struct vfm_abi_dirty_bitmap head;
		struct vfm_abi_dirty_get get;
	} request = {
		.head = { .argsz = sizeof(request), .flags = VFM_DIRTY_GET },
		.get = { .iova = iova,
			 .size = size,
			 .bitmap = { .pgsize = k->iommu.log_page,
				     .size = bytes,
				     .data = (uintptr_t)bits } },
	};
	int ret;

	if (k->iommu.max_bitmap && bytes > k->iommu.max_bitmap)
		return vfm_fail(err, -E2BIG,
				"0x%" PRIx64 " bytes are more than the container reports at once",
				size);
	ret = vfm_kernel_iommu_ioctl(k, VFM_CONTAINER_DIRTY_PAGES, &request);
	return ret < 0 ? vfm_kernel_fail(err, ret, "ask the container for dirty pages") : 0;
}

static const struct vfm_kernel_iommu_ops container_ops = {
	.map = container_map,
	.unmap = container_unmap,
	.log_start = container_log_start,
	.log_report = container_log_report,
	.log_stop = container_log_stop,
};

/* ---- what a container can do ------------------------------------------------------ */

static void read_spans(struct vfm_kernel_iommu *iommu, struct vfm_reader *r)
{
	uint32_t nr = vfm_read_he32(r);

	vfm_read_he32(r);
	for (uint32_t i = 0; i < nr && vfm_reader_ok(r); i++) {
		struct vfm_kernel_span span = { .first = vfm_read_he64(r) };

		span.last = vfm_read_he64(r);
		/* of more than there is room for, none is known */
		if (nr <= VFM_KERNEL_MAX_RANGES && vfm_reader_ok(r))
			iommu->spans[iommu->nr_spans++] = span;
	}
}

static int read_cap(void *user, uint16_t id, uint16_t version, struct vfm_reader *r,
		    struct vfm_err *err)
{
	struct vfm_kernel_iommu *iommu = user;
	uint64_t sizes;

	(void)err;
	if (version != 1)
		return 0;
	if (id == VFM_TYPE1_CAP_IOVA_RANGE && !iommu->nr_spans) {
		read_spans(iommu, r);
	} else if (id == VFM_TYPE1_CAP_MIGRATION) {
		vfm_read_he32(r);
		vfm_read_he32(r); /* the words behind are aligned */
		sizes = vfm_read_he64(r);
		iommu->max_bitmap = vfm_read_he64(r);
		iommu->log_page = sizes & -sizes;
	} else if (id == VFM_TYPE1_CAP_DMA_AVAIL) {
		iommu->avail = vfm_read_he32(r);
		iommu->limited = true;
	}
	return 0;
}

int vfm_kernel_use_container(struct vfm_kernel *k, struct vfm_err *err)
{
	struct vfm_abi_type1_info head = { .flags = 0 };
	struct vfm_caps caps = { .fixed = sizeof(head) };
	int ret = vfm_kernel_ask_caps(k, k->iommu.fd, VFM_CONTAINER_GET_INFO, &head, &caps);

	if (ret < 0) {
		free(caps.bytes);
		return vfm_kernel_why(VFM_KERNEL_STEP_OTHER, ret, err,
				      "ask what the container can do");
	}
	memcpy(&head, caps.bytes, sizeof(head));
	if (head.flags & VFM_TYPE1_INFO_PGSIZES && head.iova_pgsizes)
		k->iommu.page = head.iova_pgsizes & -head.iova_pgsizes;
	ret = 0;
	if (head.flags & VFM_TYPE1_INFO_CAPS)
		ret = vfm_caps_walk(&caps, head.cap_offset, read_cap, &k->iommu, err);
	free(caps.bytes);
	if (ret)
		vfm_fail_prefix(err, "what the container can do");
	k->iommu.ops = &container_ops;
	return ret;
}

/* ---- opening ------------------------------------------------------------------- */

/* A container without type1 may have nothing but no IOMMU: that is known by its own number. */
static int check_container(struct vfm_kernel *k, struct vfm_err *err)
{
	int ret = vfm_kernel_iommu_ioctl(k, VFM_CONTAINER_GET_API_VERSION, NULL);

	if (ret < 0)
		return vfm_kernel_why(VFM_KERNEL_STEP_OTHER, ret, err, "ask " CONTAINER_FILE);
	if (ret != VFM_VFIO_API_VERSION)
		return vfm_fail(err, -EOPNOTSUPP, CONTAINER_FILE " has version %d, not %d", ret,
				VFM_VFIO_API_VERSION);
	ret = vfm_kernel_iommu_ioctl(k, VFM_CONTAINER_CHECK_EXTENSION,
				     (void *)(uintptr_t)VFM_IOMMU_TYPE1V2);
	if (ret > 0)
		return 0;
	return vfm_fail(err, -EOPNOTSUPP,
			"containers of this host know no IOMMU of type1: is the module "
			"vfio_iommu_type1 loaded?");
}

static int check_viable(struct vfm_kernel *k, const char *group, struct vfm_err *err)
{
	struct vfm_abi_group_status status = { .argsz = sizeof(status) };
	char others[192];
	int ret = k->sys->ioctl(k->iommu.group, VFM_GROUP_GET_STATUS, &status);

	if (ret < 0)
		return vfm_kernel_why(VFM_KERNEL_STEP_OTHER, ret, err, "ask group %s", group);
	if (status.flags & VFM_GROUP_VIABLE)
		return 0;
	vfm_kernel_others(k->sys, group, others, sizeof(others));
	return vfm_fail(err, -EBUSY,
			"group %s is not viable: devices of it are bound to other drivers%s%s",
			group, *others ? ": " : "", others);
}

static int set_iommu(struct vfm_kernel *k, const char *group, struct vfm_err *err)
{
	int fd = k->iommu.fd;
	int ret = k->sys->ioctl(k->iommu.group, VFM_GROUP_SET_CONTAINER, &fd);

	if (ret < 0)
		return vfm_kernel_why(VFM_KERNEL_STEP_SET_CONTAINER, ret, err,
				      "put group %s into a container", group);
	ret = vfm_kernel_iommu_ioctl(k, VFM_CONTAINER_SET_IOMMU,
				     (void *)(uintptr_t)VFM_IOMMU_TYPE1V2);
	return ret < 0 ? vfm_kernel_why(VFM_KERNEL_STEP_SET_IOMMU, ret, err,
					"give group %s an IOMMU of type1", group)
		       : 0;
}

/* The kernel reads options behind the name. */
static int get_device(struct vfm_kernel *k, const struct vfm_kernel_name *name,
		      const struct vfm_kernel_place *place, struct vfm_err *err)
{
	char text[2 * VFM_KERNEL_WORD + 16];

	snprintf(text, sizeof(text), "%s%s%s", place->device, *name->token ? " vf_token=" : "",
		 name->token);
	k->fd = k->sys->ioctl(k->iommu.group, VFM_GROUP_GET_DEVICE_FD, text);
	if (k->fd >= 0)
		return 0;
	return vfm_kernel_why(VFM_KERNEL_STEP_DEVICE_OF_GROUP, k->fd, err,
			      "open device %s of group %s", place->device, place->group);
}

static int open_files(struct vfm_kernel *k, const char *group, struct vfm_err *err)
{
	char path[VFM_KERNEL_PATH];
	int ret;

	k->iommu.fd = k->sys->open(CONTAINER_FILE, O_RDWR);
	if (k->iommu.fd < 0)
		return vfm_kernel_why(VFM_KERNEL_STEP_CONTAINER, k->iommu.fd, err,
				      "open " CONTAINER_FILE);
	ret = check_container(k, err);
	if (ret)
		return ret;
	snprintf(path, sizeof(path), "/dev/vfio/%s", group);
	k->iommu.group = k->sys->open(path, O_RDWR);
	if (k->iommu.group < 0)
		return vfm_kernel_why(VFM_KERNEL_STEP_GROUP, k->iommu.group, err, "open %s", path);
	return check_viable(k, group, err);
}

int vfm_kernel_open_group(struct vfm_kernel *k, const struct vfm_kernel_name *name,
			  const struct vfm_kernel_place *place, struct vfm_err *err)
{
	int ret;

	if (!*place->group)
		return vfm_fail(err, -EOPNOTSUPP,
				"%s has no group: this host has no IOMMU for it, or it is off",
				place->device);
	if (!strncmp(place->group, "noiommu-", 8))
		return vfm_fail(err, -EOPNOTSUPP,
				"group %s has no IOMMU, so that no memory can be given to %s",
				place->group, place->device);
	ret = open_files(k, place->group, err);
	if (!ret)
		ret = set_iommu(k, place->group, err);
	if (!ret)
		ret = get_device(k, name, place, err);
	return ret ? ret : vfm_kernel_use_container(k, err);
}
