// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Opening a device by what the host has: its own file and iommufd if both are there, else
 * its group and a container. If neither can be used, both reasons are told. Closing gives
 * back all that was opened; what the driver makes of a device without users is its own.
 */

#include "kernel/impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/util.h"

/* The order counts: the device lets go of the group, and that of the container. */
static void close_fds(struct vfm_kernel *k)
{
	vfm_sys_close(k->sys, &k->fd);
	vfm_sys_close(k->sys, &k->iommu.group);
	vfm_sys_close(k->sys, &k->iommu.fd);
}

static void kernel_close(struct vfm_device *dev)
{
	struct vfm_kernel *k = vfm_kernel_of(dev);

	vfm_kernel_leave_session(k);
	vfm_kernel_end_session(k);
	vfm_kernel_end_log(k);
	vfm_kernel_drop_mappings(k);
	vfm_kernel_free_regions(k);
	close_fds(k);
}

static const struct vfm_device_ops kernel_ops = {
	.close = kernel_close,
	.get_info = vfm_kernel_get_info,
	.get_region = vfm_kernel_get_region,
	.read_region = vfm_kernel_read_region,
	.write_region = vfm_kernel_write_region,
	.get_irq = vfm_kernel_get_irq,
	.set_irqs = vfm_kernel_set_irqs,
	.map_dma = vfm_kernel_map_dma,
	.unmap_dma = vfm_kernel_unmap_dma,
	.unmap_all = vfm_kernel_unmap_all,
	.get_migration = vfm_kernel_get_migration,
	.get_state = vfm_kernel_get_state,
	.set_state = vfm_kernel_set_state,
	.read_data = vfm_kernel_read_data,
	.write_data = vfm_kernel_write_data,
	.get_precopy_info = vfm_kernel_get_precopy_info,
	.get_data_size = vfm_kernel_get_data_size,
	.reset = vfm_kernel_reset,
	.start_log = vfm_kernel_start_log,
	.report_log = vfm_kernel_report_log,
	.stop_log = vfm_kernel_stop_log,
};

/* ---- the two ways ---------------------------------------------------------------- */

static void begin(struct vfm_kernel *k)
{
	k->fd = -1;
	k->data_fd = -1;
	k->iommu = (struct vfm_kernel_iommu){ .fd = -1, .group = -1, .page = 4096 };
}

/* What fails without a driver fails for that, and nothing further would say so. */
static int check_driver(const struct vfm_kernel_place *place, struct vfm_err *err)
{
	if (*place->driver || *place->cdev)
		return 0;
	return vfm_fail(err, -ENODEV,
			"it is bound to no driver%s: bind it to one of VFIO (vfio-pci, or the "
			"vendor's for migration)",
			*place->group ? "" : ", and is in no group");
}

static int open_any(struct vfm_kernel *k, const struct vfm_kernel_name *name,
		    const struct vfm_kernel_place *place, struct vfm_err *err)
{
	struct vfm_err first = { .code = 0 };
	int ret = vfm_kernel_open_cdev(k, name, place, &first);

	if (!ret)
		return 0;
	close_fds(k);
	begin(k);
	ret = vfm_kernel_open_group(k, name, place, err);
	if (ret) {
		char by_group[VFM_ERR_TEXT];

		snprintf(by_group, sizeof(by_group), "%s", err->msg);
		vfm_fail(err, ret, "by its group: %.220s; by its own file: %.220s", by_group,
			 first.msg);
	}
	return ret;
}

static int open_place(struct vfm_kernel *k, const struct vfm_kernel_name *name,
		      const struct vfm_kernel_place *place, struct vfm_err *err)
{
	enum vfm_kernel_way way = name->way;

	if (way == VFM_KERNEL_ANY && !*place->cdev)
		way = VFM_KERNEL_GROUP;
	if (way == VFM_KERNEL_ANY && !*place->group)
		way = VFM_KERNEL_CDEV;
	if (way == VFM_KERNEL_GROUP)
		return vfm_kernel_open_group(k, name, place, err);
	if (way == VFM_KERNEL_CDEV)
		return vfm_kernel_open_cdev(k, name, place, err);
	return open_any(k, name, place, err);
}

/* Drivers of VFIO for PCI have its name in theirs. One that has not is why the rest failed. */
static int blame_driver(const struct vfm_kernel_place *place, int code, struct vfm_err *err)
{
	char text[VFM_ERR_TEXT];

	if (!*place->driver || strstr(place->driver, "vfio") || *place->cdev ||
	    (code != -ENODEV && code != -EOPNOTSUPP))
		return code;
	snprintf(text, sizeof(text), "%s", err->msg);
	return vfm_fail(err, -EBUSY,
			"it is bound to the driver %s, which is none of VFIO, it seems; %.300s",
			place->driver, text);
}

static int open_by_name(struct vfm_kernel *k, const struct vfm_kernel_name *name,
			struct vfm_err *err)
{
	struct vfm_kernel_place place;
	int ret = vfm_kernel_find(k->sys, name, &place, err);

	if (!ret && name->kind != VFM_KERNEL_FILE)
		ret = check_driver(&place, err);
	if (ret)
		return ret;
	ret = open_place(k, name, &place, err);
	return ret && name->kind == VFM_KERNEL_PCI ? blame_driver(&place, ret, err) : ret;
}

/* ---- somebody else's descriptors --------------------------------------------------- */

static int duplicate(struct vfm_kernel *k, int fd, int *copy, struct vfm_err *err)
{
	*copy = k->sys->dup(fd);
	if (*copy >= 0)
		return 0;
	return vfm_fail(err, *copy, "descriptor %d: %s", fd, strerror(-*copy));
}

static int open_fds(struct vfm_kernel *k, const struct vfm_kernel_name *name, struct vfm_err *err)
{
	int memory = name->container >= 0 ? name->container : name->iommufd;
	int ret = duplicate(k, name->fd, &k->fd, err);

	k->shared = true;
	if (ret || memory < 0)
		return ret;
	k->iommu.borrowed = true;
	ret = duplicate(k, memory, &k->iommu.fd, err);
	if (ret)
		return ret;
	return name->container >= 0 ? vfm_kernel_use_container(k, err)
				    : vfm_kernel_use_ioas(k, name->ioas, err);
}

int vfm_kernel_open(struct vfm_device **out, const char *rest, const struct vfm_sys *sys,
		    struct vfm_err *err)
{
	vfm_auto_free struct vfm_kernel *k = calloc(1, sizeof(*k));
	char uri[VFM_KERNEL_PATH * 2];
	struct vfm_kernel_name name;
	struct vfm_err own; /* what is said of one way goes into what is said of both */
	int ret;

	err = err ? err : &own;
	ret = vfm_kernel_parse_name(&name, rest, err);
	if (ret)
		return ret;
	snprintf(uri, sizeof(uri), "vfio:%s", rest);
	if (!k || vfm_device_init(&k->dev, &kernel_ops, uri, NULL))
		return vfm_fail(err, -ENOMEM, "%s: no memory", uri);
	k->sys = sys ? sys : &vfm_sys_real;
	k->timeout_ms = name.timeout_ms;
	begin(k);
	ret = name.kind == VFM_KERNEL_FD ? open_fds(k, &name, err) : open_by_name(k, &name, err);
	if (!ret)
		ret = vfm_kernel_learn_info(k, err);
	if (!ret && name.reset)
		ret = vfm_kernel_reset(&k->dev, err);
	if (ret) {
		vfm_fail_prefix(err, "%s", uri);
		kernel_close(&k->dev);
		free(k->dev.uri);
		return ret;
	}
	*out = &vfm_take_ptr(k)->dev;
	return 0;
}
