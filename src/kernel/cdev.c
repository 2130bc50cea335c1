// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The newer way: the device's own file is bound to an iommufd, and attached to an address
 * space in it ("ioas").
 *
 * A page table ("hwpt") that can log what is written through it has to be asked for when it
 * is made, so it is asked for, and if there is none, the kernel makes a plain one. A mediated
 * device has none: its memory is pinned out of the address space.
 */

#include "kernel/impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/iommufd.h"
#include "base/util.h"

#define IOMMUFD_FILE "/dev/iommu"

/* ---- memory -------------------------------------------------------------------- */

static uint32_t map_flags(uint32_t flags)
{
	return VFM_IOAS_MAP_FIXED_IOVA | (flags & VFM_DMA_READ ? VFM_IOAS_MAP_READ : 0) |
	       (flags & VFM_DMA_WRITE ? VFM_IOAS_MAP_WRITE : 0);
}

static int ioas_map(struct vfm_kernel *k, const struct vfm_dma_map *map, const void *vaddr,
		    struct vfm_err *err)
{
	struct vfm_abi_ioas_map request = { .size = sizeof(request),
					    .flags = map_flags(map->flags),
					    .ioas_id = k->iommu.ioas,
					    .user_va = (uintptr_t)vaddr,
					    .length = map->size,
					    .iova = map->iova };
	int ret = vfm_kernel_iommu_ioctl(k, VFM_IOMMUFD_IOAS_MAP, &request);

	return ret < 0 ? vfm_kernel_map_failed(ret, "address space", err) : 0;
}

/* What is written between a report and this would be lost: it tells nothing. */
static int ioas_unmap(struct vfm_kernel *k, uint64_t iova, uint64_t size, uint64_t *bits,
		      bool *known, struct vfm_err *err)
{
	struct vfm_abi_ioas_unmap request = {
		.size = sizeof(request), .ioas_id = k->iommu.ioas, .iova = iova, .length = size
	};
	int ret = vfm_kernel_iommu_ioctl(k, VFM_IOMMUFD_IOAS_UNMAP, &request);

	(void)bits;
	*known = false;
	if (ret < 0)
		return vfm_kernel_fail(err, ret, "the address space refuses");
	if (request.length != size)
		return vfm_fail(err, -EIO, "the address space has unmapped 0x%" PRIx64 " bytes",
				request.length);
	return 0;
}

/* ---- dirty pages --------------------------------------------------------------- */

static int switch_log(struct vfm_kernel *k, uint32_t flags, struct vfm_err *err)
{
	struct vfm_abi_hwpt_set_dirty request = { .size = sizeof(request),
						  .flags = flags,
						  .hwpt_id = k->iommu.hwpt };
	int ret;

	if (!k->iommu.hwpt)
		return vfm_fail(err, -ENOTTY, "the IOMMU tracks no dirty pages of this device");
	ret = vfm_kernel_iommu_ioctl(k, VFM_IOMMUFD_HWPT_SET_DIRTY, &request);
	return ret < 0 ? vfm_kernel_fail(err, ret, "%s the IOMMU's dirty pages",
					 flags ? "track" : "stop tracking")
		       : 0;
}

static int hwpt_log_start(struct vfm_kernel *k, struct vfm_err *err)
{
	return switch_log(k, VFM_HWPT_DIRTY_ENABLE, err);
}

static int hwpt_log_stop(struct vfm_kernel *k, struct vfm_err *err)
{
	return switch_log(k, 0, err);
}

static int hwpt_log_report(struct vfm_kernel *k, uint64_t iova, uint64_t size, uint64_t *bits,
			   struct vfm_err *err)
{
	struct vfm_abi_hwpt_get_dirty request = { .size = sizeof(request),
						  .hwpt_id = k->iommu.hwpt,
						  .iova = iova,
						  .length = size,
						  .page_size = k->iommu.log_page,
						  .data = (uintptr_t)bits };
	int ret = vfm_kernel_iommu_ioctl(k, VFM_IOMMUFD_HWPT_GET_DIRTY, &request);

	return ret < 0 ? vfm_kernel_fail(err, ret, "ask the IOMMU for dirty pages") : 0;
}

static const struct vfm_kernel_iommu_ops ioas_ops = {
	.map = ioas_map,
	.unmap = ioas_unmap,
	.log_start = hwpt_log_start,
	.log_report = hwpt_log_report,
	.log_stop = hwpt_log_stop,
};

/* ---- what an address space can do --------------------------------------------------- */

static int ask_spans(struct vfm_kernel *k, struct vfm_abi_iova_range *ranges, uint32_t room,
		     struct vfm_abi_ioas_iova_ranges *answer)
{
	*answer = (struct vfm_abi_ioas_iova_ranges){ .size = sizeof(*answer),
						     .ioas_id = k->iommu.ioas,
						     .num_iovas = room,
						     .allowed_iovas = (uintptr_t)ranges };
	return vfm_kernel_iommu_ioctl(k, VFM_IOMMUFD_IOAS_IOVA_RANGES, answer);
}

/* If there are more ranges than room for them, none is known. */
static int learn_spans(struct vfm_kernel *k, struct vfm_err *err)
{
	struct vfm_abi_iova_range ranges[VFM_KERNEL_MAX_RANGES];
	struct vfm_abi_ioas_iova_ranges answer;
	int ret = ask_spans(k, ranges, VFM_ARRAY_SIZE(ranges), &answer);

	if (ret < 0 && ret != -EMSGSIZE)
		return vfm_kernel_why(VFM_KERNEL_STEP_OTHER, ret, err,
				      "ask which addresses the IOMMU can use");
	if (vfm_is_power_of_2(answer.out_iova_alignment))
		k->iommu.page = VFM_MAX(answer.out_iova_alignment, UINT64_C(4096));
	if (ret < 0 || answer.num_iovas > VFM_ARRAY_SIZE(ranges))
		return 0;
	for (uint32_t i = 0; i < answer.num_iovas; i++)
		k->iommu.spans[k->iommu.nr_spans++] =
			(struct vfm_kernel_span){ ranges[i].start, ranges[i].last };
	return 0;
}

/* Nobody but who has made the page table knows whether it can log, so this one does not. */
int vfm_kernel_use_ioas(struct vfm_kernel *k, uint32_t ioas, struct vfm_err *err)
{
	k->iommu.ioas = ioas;
	k->iommu.ops = &ioas_ops;
	return learn_spans(k, err);
}

/* ---- opening ------------------------------------------------------------------- */

static int open_files(struct vfm_kernel *k, const struct vfm_kernel_name *name,
		      const struct vfm_kernel_place *place, struct vfm_err *err)
{
	char path[VFM_KERNEL_PATH];

	if (name->kind == VFM_KERNEL_FILE)
		snprintf(path, sizeof(path), "%s", name->text);
	else
		snprintf(path, sizeof(path), "/dev/vfio/devices/%s", place->cdev);
	k->iommu.fd = k->sys->open(IOMMUFD_FILE, O_RDWR);
	if (k->iommu.fd < 0)
		return vfm_kernel_why(VFM_KERNEL_STEP_IOMMUFD, k->iommu.fd, err,
				      "open " IOMMUFD_FILE);
	k->fd = k->sys->open(path, O_RDWR);
	return k->fd < 0 ? vfm_kernel_why(VFM_KERNEL_STEP_CDEV, k->fd, err, "open %s", path) : 0;
}

static uint8_t hex_digit(char c)
{
	return (uint8_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

/* The text was looked at when it was parsed. */
static void read_uuid(const char *text, uint8_t uuid[16])
{
	for (int i = 0; i < 16; i++) {
		while (*text == '-')
			text++;
		uuid[i] = (uint8_t)(hex_digit(text[0]) << 4 | hex_digit(text[1]));
		text += 2;
	}
}

static int bind_device(struct vfm_kernel *k, const char *token, uint32_t *devid,
		       struct vfm_err *err)
{
	uint8_t uuid[16];
	struct vfm_abi_bind_iommufd request = {
		.argsz = offsetof(struct vfm_abi_bind_iommufd, token), .iommufd = k->iommu.fd
	};
	int ret;

	if (*token) {
		read_uuid(token, uuid);
		request.argsz = sizeof(request);
		request.flags = VFM_BIND_TOKEN;
		request.token = (uintptr_t)uuid;
	}
	ret = vfm_kernel_device_ioctl(k, VFM_DEVICE_BIND_IOMMUFD, &request);
	if (ret < 0)
		return vfm_kernel_why(VFM_KERNEL_STEP_BIND, ret, err,
				      "bind the device to an iommufd%s",
				      *token ? " with a token (from Linux 7.2 on)" : "");
	*devid = request.out_devid;
	return 0;
}

static int attach(struct vfm_kernel *k, uint32_t object)
{
	struct vfm_abi_attach_pt request = { .argsz = sizeof(request), .pt_id = object };

	return vfm_kernel_device_ioctl(k, VFM_DEVICE_ATTACH_IOMMUFD_PT, &request);
}

static void destroy(struct vfm_kernel *k, uint32_t *object)
{
	struct vfm_abi_iommu_destroy request = { .size = sizeof(request), .id = *object };

	/* it goes with the descriptor if it does not go now */
	(void)vfm_kernel_iommu_ioctl(k, VFM_IOMMUFD_DESTROY, &request);
	*object = 0;
}

/* False if there is nothing that logs; the address space itself will do then. */
static bool attach_logging(struct vfm_kernel *k, uint32_t devid)
{
	struct vfm_abi_hwpt_alloc request = { .size = sizeof(request),
					      .flags = VFM_HWPT_ALLOC_DIRTY_TRACKING,
					      .dev_id = devid,
					      .pt_id = k->iommu.ioas };

	if (vfm_kernel_iommu_ioctl(k, VFM_IOMMUFD_HWPT_ALLOC, &request) < 0)
		return false;
	k->iommu.hwpt = request.out_hwpt_id;
	if (attach(k, k->iommu.hwpt) < 0) {
		destroy(k, &k->iommu.hwpt);
		return false;
	}
	return true;
}

static int attach_device(struct vfm_kernel *k, uint32_t devid, struct vfm_err *err)
{
	struct vfm_abi_ioas_alloc request = { .size = sizeof(request) };
	int ret = vfm_kernel_iommu_ioctl(k, VFM_IOMMUFD_IOAS_ALLOC, &request);

	if (ret < 0)
		return vfm_kernel_why(VFM_KERNEL_STEP_OTHER, ret, err, "make an address space");
	k->iommu.ioas = request.out_ioas_id;
	if (attach_logging(k, devid))
		return 0;
	ret = attach(k, k->iommu.ioas);
	return ret < 0 ? vfm_kernel_why(VFM_KERNEL_STEP_ATTACH, ret, err,
					"attach the device to an address space")
		       : 0;
}

int vfm_kernel_open_cdev(struct vfm_kernel *k, const struct vfm_kernel_name *name,
			 const struct vfm_kernel_place *place, struct vfm_err *err)
{
	uint32_t devid = 0;
	int ret;

	if (!*place->cdev)
		return vfm_fail(err, -EOPNOTSUPP,
				"it has no file of its own below /dev/vfio/devices: this kernel "
				"has none, or its driver is none of VFIO");
	ret = open_files(k, name, place, err);
	if (!ret)
		ret = bind_device(k, name->token, &devid, err);
	if (!ret)
		ret = attach_device(k, devid, err);
	if (!ret)
		ret = vfm_kernel_use_ioas(k, k->iommu.ioas, err);
	if (!ret && k->iommu.hwpt)
		k->iommu.log_page = k->iommu.page;
	return ret;
}
