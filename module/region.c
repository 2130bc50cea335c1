// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * Regions: what there is, and the way of an access to the file that answers it.
 *
 * The user's bytes are copied outside of the lock, into a buffer here, so nothing that
 * happens to the user's memory meanwhile holds up the device, and nothing changes
 * after it was looked at.
 */

#include "vfmig_sim.h"

#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

/* Most accesses are of registers, and have room on the stack. */
#define SMALL 64u
#define PIECE 65536u

#define RW (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)

struct region {
	u64 (*size)(const struct vfms *d);
	int (*read)(struct vfms *d, u64 offset, void *buf, size_t len);
	int (*write)(struct vfms *d, u64 offset, const void *buf, size_t len);
};

/* ---- what each of them does ------------------------------------------------------ */

static u64 reg_size(const struct vfms *d)
{
	return VFMS_REG_SIZE;
}

static int reg_read(struct vfms *d, u64 offset, void *buf, size_t len)
{
	vfms_regs_read(d, offset, buf, len);
	return 0;
}

static u64 mem_size(const struct vfms *d)
{
	return d->params.bar;
}

static int mem_read(struct vfms *d, u64 offset, void *buf, size_t len)
{
	memcpy(buf, d->mem + offset, len);
	return 0;
}

static int mem_write(struct vfms *d, u64 offset, const void *buf, size_t len)
{
	memcpy(d->mem + offset, buf, len);
	return 0;
}

static u64 msix_size(const struct vfms *d)
{
	return VFMS_MSIX_SIZE;
}

static int msix_read(struct vfms *d, u64 offset, void *buf, size_t len)
{
	vfms_msix_read(d, offset, buf, len);
	return 0;
}

static int msix_write(struct vfms *d, u64 offset, const void *buf, size_t len)
{
	vfms_msix_write(d, offset, buf, len);
	return 0;
}

static u64 window_size(const struct vfms *d)
{
	return d->params.iobar ? VFMS_IO_SIZE : 0;
}

static u64 config_size(const struct vfms *d)
{
	return VFMS_CONFIG_SIZE;
}

static int config_read(struct vfms *d, u64 offset, void *buf, size_t len)
{
	vfms_config_read(d, offset, buf, len);
	return 0;
}

static int config_write(struct vfms *d, u64 offset, const void *buf, size_t len)
{
	vfms_config_write(d, offset, buf, len);
	if (d->flr) {
		d->flr = false;
		vfms_reset(d);
	}
	return 0;
}

static const struct region regions[] = {
	[VFMS_REG_BAR] = { reg_size, reg_read, vfms_regs_write },
	[VFMS_MEM_BAR] = { mem_size, mem_read, mem_write },
	[VFMS_MSIX_BAR] = { msix_size, msix_read, msix_write },
	[VFMS_IO_BAR] = { window_size, vfms_window_read, vfms_window_write },
	[VFIO_PCI_CONFIG_REGION_INDEX] = { config_size, config_read, config_write },
	[VFMS_V1_REGION] = { vfms_v1_size, vfms_v1_read, vfms_v1_write },
};

static_assert(VFMS_V1_REGION == VFIO_PCI_NUM_REGIONS);

u32 vfms_nr_regions(const struct vfms *d)
{
	return VFIO_PCI_NUM_REGIONS + !!(d->params.uapi & VFMS_UAPI_V1);
}

/* The region, or NULL where there is nothing to access. */
static const struct region *find_region(const struct vfms *d, u64 index)
{
	if (index >= vfms_nr_regions(d) || !regions[index].size || !regions[index].size(d))
		return NULL;
	return &regions[index];
}

/* ---- information ----------------------------------------------------------------- */

static int add_area(struct vfio_info_cap *caps, u64 offset, u64 size)
{
	struct {
		struct vfio_region_info_cap_sparse_mmap cap;
		struct vfio_region_sparse_mmap_area area;
	} sparse = {
		.cap.header = { .id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1 },
		.cap.nr_areas = 1,
		.area = { .offset = offset, .size = size },
	};

	static_assert(offsetof(typeof(sparse), area) == sizeof(sparse.cap));
	return vfio_info_add_capability(caps, &sparse.cap.header, sizeof(sparse));
}

static int add_type(struct vfio_info_cap *caps)
{
	struct vfio_region_info_cap_type type = {
		.header = { .id = VFIO_REGION_INFO_CAP_TYPE, .version = 1 },
		.type = V1_REGION_TYPE,
		.subtype = V1_REGION_SUBTYPE,
	};

	return vfio_info_add_capability(caps, &type.header, sizeof(type));
}

static int add_caps(struct vfms *d, struct vfio_region_info *info, struct vfio_info_cap *caps)
{
	u64 mapped = vfms_v1_mappable(d);
	int ret;

	if (info->index == VFMS_MEM_BAR) {
		info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
		return add_area(caps, VFMS_MEM_TRAPPED, d->params.bar - VFMS_MEM_TRAPPED);
	}
	if (info->index != VFMS_V1_REGION)
		return 0;
	ret = add_type(caps);
	if (ret || !mapped)
		return ret;
	info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	return add_area(caps, V1_SECTION, mapped);
}

int vfms_region_info(struct vfms *d, struct vfio_region_info *info, struct vfio_info_cap *caps)
{
	const struct region *region = find_region(d, info->index);

	if (info->index >= vfms_nr_regions(d))
		return -EINVAL;
	info->offset = (u64)info->index << VFMS_REGION_SHIFT;
	info->size = 0;
	info->flags = 0;
	if (!region)
		return 0;
	info->size = region->size(d);
	info->flags = RW;
	return add_caps(d, info, caps);
}

/* ---- access ---------------------------------------------------------------------- */

struct access {
	const struct region *region;
	u64 offset;
	size_t len;
	size_t piece;
	void *buf;
	u8 small[SMALL];
};

static int begin_access(struct vfms *d, struct access *a, loff_t pos, size_t count)
{
	u64 index = (u64)pos >> VFMS_REGION_SHIFT;

	if (pos < 0)
		return -EINVAL;
	a->region = find_region(d, index);
	a->offset = (u64)pos & ((1ull << VFMS_REGION_SHIFT) - 1);
	if (!a->region || !vfms_inside(a->offset, count, a->region->size(d)))
		return -EINVAL;
	a->len = count;
	a->piece = min_t(size_t, count, PIECE);
	a->buf = count <= SMALL ? a->small : kvmalloc(a->piece, GFP_KERNEL_ACCOUNT);
	return a->buf ? 0 : -ENOMEM;
}

static void end_access(struct access *a)
{
	if (a->buf != a->small)
		kvfree(a->buf);
}

ssize_t vfms_read(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *pos)
{
	struct vfms *d = container_of(vdev, struct vfms, vdev);
	size_t done = 0;
	struct access a;
	int ret = begin_access(d, &a, *pos, count);

	if (ret)
		return ret;
	while (!ret && done < count) {
		size_t len = min(count - done, a.piece);

		mutex_lock(&d->lock);
		ret = a.region->read(d, a.offset + done, a.buf, len);
		mutex_unlock(&d->lock);
		if (!ret && copy_to_user(buf + done, a.buf, len))
			ret = -EFAULT;
		if (!ret)
			done += len;
	}
	end_access(&a);
	*pos += done;
	return done ? done : ret;
}

ssize_t vfms_write(struct vfio_device *vdev, const char __user *buf, size_t count, loff_t *pos)
{
	struct vfms *d = container_of(vdev, struct vfms, vdev);
	size_t done = 0;
	struct access a;
	int ret = begin_access(d, &a, *pos, count);

	if (ret)
		return ret;
	while (!ret && done < count) {
		size_t len = min(count - done, a.piece);

		if (copy_from_user(a.buf, buf + done, len)) {
			ret = -EFAULT;
			break;
		}
		mutex_lock(&d->lock);
		ret = a.region->write(d, a.offset + done, a.buf, len);
		mutex_unlock(&d->lock);
		if (!ret)
			done += len;
	}
	end_access(&a);
	*pos += done;
	return done ? done : ret;
}

/* ---- mapping --------------------------------------------------------------------- */

/* Takes no lock of ours: the lock of the user's memory is held, and ours come before it. */
int vfms_mmap(struct vfio_device *vdev, struct vm_area_struct *vma)
{
	struct vfms *d = container_of(vdev, struct vfms, vdev);
	u64 index = vma->vm_pgoff >> (VFMS_REGION_SHIFT - PAGE_SHIFT);
	u64 page = vma->vm_pgoff & ((1ull << (VFMS_REGION_SHIFT - PAGE_SHIFT)) - 1);
	u64 offset = page << PAGE_SHIFT, len = vma->vm_end - vma->vm_start;
	u64 first, size;

	if (!find_region(d, index) || !(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (index == VFMS_MEM_BAR) {
		first = VFMS_MEM_TRAPPED;
		size = d->params.bar - first;
	} else if (index == VFMS_V1_REGION) {
		first = V1_SECTION;
		size = vfms_v1_mappable(d);
	} else {
		return -EINVAL;
	}
	if (offset < first || !vfms_inside(offset - first, len, size))
		return -EINVAL;
	if (index == VFMS_MEM_BAR)
		return remap_vmalloc_range(vma, d->mem, page);
	return remap_vmalloc_range(vma, d->v1.section, page - V1_SECTION / PAGE_SIZE);
}
