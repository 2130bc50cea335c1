// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Where a device is, from sysfs: which driver it is bound to, in which group it is, and
 * which file it has of its own. What cannot be read is left empty, since a container may show
 * a part of sysfs only; what is missing is said by whoever needs it.
 */

#include "kernel/impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

/* Names of all devices of a group, or files of a device. */
#define LIST_ROOM 8192

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* @word has room for VFM_KERNEL_WORD. What is longer is none of the names that we look for: "". */
static void set_word(char *word, const char *text)
{
	size_t len = strlen(text);

	if (len >= VFM_KERNEL_WORD)
		len = 0;
	memcpy(word, text, len);
	word[len] = '\0';
}

/* The last part of what a link points to; "" if it is not there. */
static void read_base(const struct vfm_sys *sys, const char *dir, const char *link, char *word)
{
	char path[VFM_KERNEL_PATH], target[4096];

	word[0] = '\0';
	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, link) < sizeof(path) &&
	    sys->readlink(path, target, sizeof(target)) >= 0)
		set_word(word, base_name(target));
}

/*
 * The file of its own has the name of the one directory in vfio-dev/. That is there also in
 * kernels that make no such files.
 */
static void read_cdev(const struct vfm_sys *sys, const char *dir, struct vfm_kernel_place *place)
{
	char path[VFM_KERNEL_PATH], names[LIST_ROOM] = "";
	unsigned int major_nr, minor_nr;

	if ((size_t)snprintf(path, sizeof(path), "%s/vfio-dev", dir) >= sizeof(path) ||
	    sys->list(path, names, sizeof(names)) != 1)
		return;
	set_word(place->cdev, names);
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", place->cdev);
	if (sys->chardev(path, &major_nr, &minor_nr) == -ENOENT)
		place->cdev[0] = '\0';
}

static void read_place(const struct vfm_sys *sys, const char *dir, struct vfm_kernel_place *place)
{
	read_base(sys, dir, "driver", place->driver);
	read_base(sys, dir, "iommu_group", place->group);
	read_cdev(sys, dir, place);
}

static int find_on_bus(const struct vfm_sys *sys, const struct vfm_kernel_name *name,
		       struct vfm_kernel_place *place, struct vfm_err *err)
{
	bool pci = name->kind == VFM_KERNEL_PCI;
	char dir[VFM_KERNEL_PATH], target[4096];
	int ret;

	snprintf(dir, sizeof(dir), "/sys/bus/%s/devices/%.*s", pci ? "pci" : "mdev",
		 VFM_KERNEL_WORD - 1, name->text);
	set_word(place->device, name->text);
	ret = sys->readlink(dir, target, sizeof(target));
	if (ret == -ENOENT)
		return vfm_fail(err, -ENOENT, "there is no such %s",
				pci ? "PCI device" : "mediated device");
	read_place(sys, dir, place);
	return 0;
}

/* ---- by a file ----------------------------------------------------------------- */

/** What a file is. */
enum file_kind { FILE_OTHER, FILE_GROUP, FILE_CDEV };

/*
 * By where its numbers lead: ".../vfio/12" or ".../vfio-dev/vfio3". Where sysfs is not to be seen,
 * its own path has to do. @target: room for what @base is a part of.
 */
static enum file_kind kind_of_file(const struct vfm_sys *sys, const char *path,
				   unsigned int major_nr, unsigned int minor_nr, char *target,
				   size_t room, const char **base)
{
	char link[64];

	snprintf(link, sizeof(link), "/sys/dev/char/%u:%u", major_nr, minor_nr);
	if (sys->readlink(link, target, room) < 0)
		snprintf(target, room, "%s", path);
	*base = base_name(target);
	if (strlen(*base) >= VFM_KERNEL_WORD || !strcmp(*base, "vfio"))
		return FILE_OTHER;
	if (strstr(target, "/vfio-dev/") || strstr(target, "/vfio/devices/"))
		return FILE_CDEV;
	return strstr(target, "/vfio/") ? FILE_GROUP : FILE_OTHER;
}

/* The only one of its group, if nobody has said which. */
static int choose_device(const struct vfm_sys *sys, struct vfm_kernel_place *place,
			 struct vfm_err *err)
{
	char dir[VFM_KERNEL_PATH], names[LIST_ROOM] = "";
	int count;

	if (*place->device)
		return 0;
	snprintf(dir, sizeof(dir), "/sys/kernel/iommu_groups/%s/devices",
		 strncmp(place->group, "noiommu-", 8) ? place->group : place->group + 8);
	count = sys->list(dir, names, sizeof(names));
	if (count < 0)
		return vfm_fail(err, -EINVAL,
				"cannot tell which devices group %s has: say which with device=",
				place->group);
	if (count != 1)
		return vfm_fail(err, -EINVAL,
				"group %s has %d devices, the first is %s: say which with device=",
				place->group, count, count ? names : "missing");
	set_word(place->device, names);
	return 0;
}

static int find_by_file(const struct vfm_sys *sys, const struct vfm_kernel_name *name,
			struct vfm_kernel_place *place, struct vfm_err *err)
{
	char target[4096], dir[VFM_KERNEL_PATH];
	unsigned int major_nr = 0, minor_nr = 0;
	const char *base;
	int ret = sys->chardev(name->text, &major_nr, &minor_nr);

	if (ret == -ENOENT)
		return vfm_fail(
			err, ret,
			"there is no such file: no device there is bound to a driver of VFIO");
	if (ret && ret != -ENOTBLK)
		return vfm_kernel_why(VFM_KERNEL_STEP_OTHER, ret, err, "look at %s", name->text);
	switch (ret ? FILE_OTHER
		    : kind_of_file(sys, name->text, major_nr, minor_nr, target, sizeof(target),
				   &base)) {
	case FILE_CDEV:
		set_word(place->cdev, base);
		snprintf(dir, sizeof(dir), "/sys/class/vfio-dev/%s", base);
		read_base(sys, dir, "device", place->device);
		return 0;
	case FILE_GROUP:
		set_word(place->group, base);
		set_word(place->device, name->device);
		return choose_device(sys, place, err);
	default:
		return vfm_fail(err, -EINVAL, "%s is neither the file of a group nor of a device",
				name->text);
	}
}

int vfm_kernel_find(const struct vfm_sys *sys, const struct vfm_kernel_name *name,
		    struct vfm_kernel_place *place, struct vfm_err *err)
{
	*place = (struct vfm_kernel_place){ .device = "" };
	if (name->kind == VFM_KERNEL_FILE)
		return find_by_file(sys, name, place, err);
	return find_on_bus(sys, name, place, err);
}

/* ---- the others of a group ------------------------------------------------------- */

/* Drivers of VFIO, and those that do no DMA, so that they may stand in a group with it. */
static bool is_harmless(const char *driver)
{
	return !*driver || strstr(driver, "vfio") || !strcmp(driver, "pci-stub") ||
	       !strcmp(driver, "pcieport");
}

void vfm_kernel_others(const struct vfm_sys *sys, const char *group, char *text, size_t room)
{
	char dir[VFM_KERNEL_PATH], names[LIST_ROOM] = "", driver[VFM_KERNEL_WORD];
	const char *name = names;
	size_t used = 0;
	int count;

	text[0] = '\0';
	snprintf(dir, sizeof(dir), "/sys/kernel/iommu_groups/%.*s/devices", VFM_KERNEL_WORD, group);
	count = sys->list(dir, names, sizeof(names));
	for (int i = 0; i < count && used < room; i++, name += strlen(name) + 1) {
		char device[VFM_KERNEL_PATH];

		if ((size_t)snprintf(device, sizeof(device), "%s/%s", dir, name) >= sizeof(device))
			continue;
		read_base(sys, device, "driver", driver);
		if (!is_harmless(driver))
			used += (size_t)snprintf(text + used, room - used, "%s%s (%s)",
						 used ? ", " : "", name, driver);
	}
}
