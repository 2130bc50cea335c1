// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/* Files of a device, in /sys/bus/mdev/devices/UUID/vfmig_sim. README.md has the list. */

#include "vfmig_sim.h"

static struct vfms *device_of(struct device *dev)
{
	return dev_get_drvdata(dev);
}

static ssize_t fault_show(struct device *dev, struct device_attribute *attr, char *page)
{
	return vfms_faults_print(device_of(dev)->faults, page);
}

static ssize_t fault_store(struct device *dev, struct device_attribute *attr, const char *text,
			   size_t len)
{
	struct vfms *d = device_of(dev);
	DECLARE_BITMAP(faults, VFMS_NR_FAULTS);
	int ret = vfms_faults_parse(text, faults);

	if (ret)
		return ret;
	ret = mutex_lock_interruptible(&d->lock);
	if (ret)
		return ret;
	bitmap_copy(d->faults, faults, VFMS_NR_FAULTS);
	mutex_unlock(&d->lock);
	return len;
}

static DEVICE_ATTR_RW(fault);

static ssize_t migration_state_show(struct device *dev, struct device_attribute *attr, char *page)
{
	return sysfs_emit(page, "%s\n", vfms_mig_name(READ_ONCE(device_of(dev)->mig)));
}

static DEVICE_ATTR_RO(migration_state);

static ssize_t params_show(struct device *dev, struct device_attribute *attr, char *page)
{
	return sysfs_emit(page, "%s\n", device_of(dev)->params_text);
}

static DEVICE_ATTR_RO(params);

static ssize_t pinned_show(struct device *dev, struct device_attribute *attr, char *page)
{
	return sysfs_emit(page, "%u\n", READ_ONCE(device_of(dev)->nr_pins));
}

static DEVICE_ATTR_RO(pinned);

static struct attribute *attrs[] = {
	&dev_attr_fault.attr,
	&dev_attr_migration_state.attr,
	&dev_attr_params.attr,
	&dev_attr_pinned.attr,
	NULL,
};

static const struct attribute_group group = { .name = "vfmig_sim", .attrs = attrs };

const struct attribute_group *vfms_attr_groups[] = { &group, NULL };
