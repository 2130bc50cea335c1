// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/* See raw.h. Numbers that older headers lack are written out. */

#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define GET_PRECOPY_INFO _IO(VFIO_TYPE, VFIO_BASE + 21)
#define FEATURE_DATA_SIZE 9

static int result(int ret)
{
	return ret < 0 ? -errno : ret;
}

static int group_number(const char *uuid)
{
	char path[256], link[256];
	const char *last;
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/mdev/devices/%s/iommu_group", uuid);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return -errno;
	link[n] = '\0';
	last = strrchr(link, '/');
	return last ? atoi(last + 1) : -EINVAL;
}

int raw_open(struct raw *r, const char *uuid)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	int number = group_number(uuid);
	char path[64];

	*r = (struct raw){ .uuid = uuid, .container = -1, .group = -1, .device = -1 };
	if (number < 0)
		return number;
	snprintf(path, sizeof(path), "/dev/vfio/%d", number);
	r->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	r->group = open(path, O_RDWR | O_CLOEXEC);
	if (r->container < 0 || r->group < 0 || ioctl(r->group, VFIO_GROUP_GET_STATUS, &status) ||
	    ioctl(r->group, VFIO_GROUP_SET_CONTAINER, &r->container) ||
	    ioctl(r->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return -errno;
	r->device = ioctl(r->group, VFIO_GROUP_GET_DEVICE_FD, uuid);
	return result(r->device);
}

void raw_close(struct raw *r)
{
	close(r->device);
	close(r->group);
	close(r->container);
}

int raw_set_fault(const struct raw *r, const char *names)
{
	char path[256];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/mdev/devices/%s/vfmig_sim/fault", r->uuid);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = write(fd, *names ? names : "\n", *names ? strlen(names) : 1);
	close(fd);
	return n < 0 ? -errno : 0;
}

long raw_pinned(const struct raw *r)
{
	char path[256];
	long pages = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/bus/mdev/devices/%s/vfmig_sim/pinned", r->uuid);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	if (fscanf(file, "%ld", &pages) != 1)
		pages = -EIO;
	fclose(file);
	return pages;
}

int raw_map(struct raw *r, void *memory, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory,
		.iova = iova,
		.size = size,
	};

	return result(ioctl(r->container, VFIO_IOMMU_MAP_DMA, &map));
}

int raw_unmap(struct raw *r, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = size,
	};

	return result(ioctl(r->container, VFIO_IOMMU_UNMAP_DMA, &unmap));
}

/* One feature with up to 32 bytes of payload, which come back. */
static int feature(struct raw *r, uint32_t flags, void *payload, size_t size)
{
	struct {
		struct vfio_device_feature head;
		uint8_t payload[32];
	} f = { .head.argsz = (uint32_t)(sizeof(f.head) + size), .head.flags = flags };
	int ret;

	memcpy(f.payload, payload, size);
	ret = ioctl(r->device, VFIO_DEVICE_FEATURE, &f);
	if (ret < 0)
		return -errno;
	memcpy(payload, f.payload, size);
	return ret;
}

int raw_set_state(struct raw *r, uint32_t state, int *fd)
{
	struct vfio_device_feature_mig_state s = { .device_state = state, .data_fd = -1 };
	int ret = feature(r, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &s,
			  sizeof(s));

	*fd = ret < 0 ? -1 : s.data_fd;
	return ret < 0 ? ret : (int)s.device_state;
}

int raw_get_state(struct raw *r)
{
	struct vfio_device_feature_mig_state s = { .data_fd = -1 };
	int ret = feature(r, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &s,
			  sizeof(s));

	return ret < 0 ? ret : (int)s.device_state;
}

int raw_data_size(struct raw *r, uint64_t *bytes)
{
	return feature(r, VFIO_DEVICE_FEATURE_GET | FEATURE_DATA_SIZE, bytes, sizeof(*bytes));
}

int raw_reset(struct raw *r)
{
	return result(ioctl(r->device, VFIO_DEVICE_RESET));
}

int raw_precopy_info(int fd, struct raw_info *info)
{
	info->argsz = sizeof(*info);
	return result(ioctl(fd, GET_PRECOPY_INFO, info));
}

int raw_log_start(struct raw *r, uint64_t iova, uint64_t size)
{
	struct vfio_device_feature_dma_logging_range range = { .iova = iova, .length = size };
	struct vfio_device_feature_dma_logging_control control = {
		.page_size = 4096,
		.num_ranges = 1,
		.ranges = (uintptr_t)&range,
	};

	return feature(r, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START, &control,
		       sizeof(control));
}

int raw_log_stop(struct raw *r)
{
	return feature(r, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, "", 0);
}

int raw_log_report(struct raw *r, uint64_t iova, uint64_t size, uint64_t *bitmap)
{
	struct vfio_device_feature_dma_logging_report report = {
		.iova = iova,
		.length = size,
		.page_size = 4096,
		.bitmap = (uintptr_t)bitmap,
	};

	return feature(r, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, &report,
		       sizeof(report));
}

int raw_put(struct raw *r, off_t at, uint64_t value, size_t width)
{
	ssize_t n = pwrite(r->device, &value, width, at);

	return n == (ssize_t)width ? 0 : n < 0 ? -errno : -EIO;
}

int raw_get(struct raw *r, off_t at, uint64_t *value, size_t width)
{
	ssize_t n;

	*value = 0;
	n = pread(r->device, value, width, at);
	return n == (ssize_t)width ? 0 : n < 0 ? -errno : -EIO;
}
