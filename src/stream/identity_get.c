// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Asking a device who it is. What it cannot tell (-ENOTTY) is left out; every
 * other failure is one. Errors that are forgiven leave the caller's struct
 * vfm_err alone, so each question has its own.
 */

#include <vfmig/stream.h>

#include <errno.h>

#include "base/bytes.h"
#include "base/util.h"
#include "stream/identity.h"

/* Offsets in the configuration space (PCI Local Bus 3.0, 6.1). */
#define CFG_IDS 0x00
#define CFG_CLASS_REVISION 0x08
#define CFG_SUBSYSTEM 0x2c

static int forgive(int ret, const struct vfm_err *why, const char *what, struct vfm_err *err)
{
	if (!ret || ret == -ENOTTY)
		return 0;
	return vfm_fail(err, ret, "identity: %s: %s", what, why->msg);
}

/* Each register with its own width: that is what every device understands. */
static int read_config(struct vfm_device *dev, uint64_t offset, uint32_t *value,
		       struct vfm_err *why)
{
	uint32_t le;
	int ret = vfm_device_read_region(dev, VFM_PCI_CONFIG, offset, &le, sizeof(le), why);

	if (!ret)
		*value = le32toh(le);
	return ret;
}

static int get_pci(struct vfm_identity *id, struct vfm_device *dev, struct vfm_err *err)
{
	uint32_t ids, class_revision, subsystem;
	struct vfm_err why = { 0 };
	int ret = read_config(dev, CFG_IDS, &ids, &why);

	if (!ret)
		ret = read_config(dev, CFG_CLASS_REVISION, &class_revision, &why);
	if (!ret)
		ret = read_config(dev, CFG_SUBSYSTEM, &subsystem, &why);
	if (ret)
		return forgive(ret, &why, "configuration space", err);
	id->vendor = (uint16_t)ids;
	id->device = (uint16_t)(ids >> 16);
	id->revision = (uint8_t)class_revision;
	id->class_code = class_revision >> 8;
	id->subvendor = (uint16_t)subsystem;
	id->subdevice = (uint16_t)(subsystem >> 16);
	return 0;
}

/*
 * Of a PCI device only the standard regions: those behind them belong to the way
 * to it (the migration region of protocol v1 is one), not to what it is.
 */
static int get_regions(struct vfm_identity *id, struct vfm_device *dev,
		       const struct vfm_device_info *info, struct vfm_err *err)
{
	uint32_t most = info->flags & VFM_DEVICE_PCI ? VFM_PCI_NR_REGIONS : VFM_IDENTITY_REGIONS;

	id->nr_regions = VFM_MIN(info->nr_regions, most);
	for (uint32_t i = 0; i < id->nr_regions; i++) {
		struct vfm_region region = { 0 };
		struct vfm_err why = { 0 };
		int ret = vfm_device_get_region(dev, i, &region, &why);

		/* An index that is counted and not there: VGA, on most kernels. */
		if (ret == -EINVAL)
			continue;
		if (ret && ret != -ENOTTY)
			return forgive(ret, &why, "regions", err);
		id->region_size[i] = ret ? 0 : region.size;
	}
	return 0;
}

static int get_description(struct vfm_identity *id, struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_device_info info = { 0 };
	struct vfm_err why = { 0 };
	int ret = vfm_device_get_info(dev, &info, &why);

	if (ret)
		return forgive(ret, &why, "description", err);
	ret = get_regions(id, dev, &info, err);
	if (!ret && info.flags & VFM_DEVICE_PCI)
		ret = get_pci(id, dev, err);
	return ret;
}

static int get_migration(struct vfm_identity *id, struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_err why = { 0 };
	int ret = vfm_device_get_migration(dev, &id->migration, &why);

	if (ret)
		id->migration = 0;
	if (forgive(ret, &why, "migration", err))
		return ret;
	ret = vfm_device_get_data_size(dev, &id->data_size, &why);
	if (ret)
		id->data_size = 0;
	return forgive(ret, &why, "data size", err);
}

static int get_compat(struct vfm_identity *id, struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_compat *compat = &id->compat;
	struct vfm_err why = { 0 };
	int ret = vfm_device_get_compat(dev, compat, &why);

	id->has_compat = !ret;
	if (ret) {
		*compat = (struct vfm_compat){ 0 };
		return forgive(ret, &why, "compatibility", err);
	}
	if (!vfm_identity_text_ok(compat->model, sizeof(compat->model)) ||
	    !vfm_identity_text_ok(compat->params, sizeof(compat->params)))
		return vfm_fail(
			err, -EBADMSG,
			"identity: the device tells a model or parameters that are not text");
	return 0;
}

VFM_API int vfm_identity_get(struct vfm_identity *id, struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_identity found = {
		.vendor = 0xffff,
		.device = 0xffff,
		.subvendor = 0xffff,
		.subdevice = 0xffff,
		.class_code = 0xffffffff,
		.revision = 0xff,
	};
	int ret = get_description(&found, dev, err);

	if (!ret)
		ret = get_migration(&found, dev, err);
	if (!ret)
		ret = get_compat(&found, dev, err);
	if (!ret)
		*id = found;
	return ret;
}
