// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The memory that the device may reach. The kernel takes it by where it stands in our own
 * address space, so a range that comes as a descriptor alone is mapped here first, in whole
 * blocks of its file, which are huge pages for some. Memory that is reached by calls
 * alone cannot be given to a device that does DMA.
 *
 * What the kernel would refuse with one code for everything is looked at before, so that
 * the error says which number is wrong.
 */

#include "kernel/impl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"

/* A file system that claims larger blocks means something else by it. */
#define MAX_BLOCK (UINT64_C(1) << 30)

/**
 * struct mapping - a range that the kernel was told of
 * @own, @own_len: what we have mapped of its descriptor, NULL if it stood somewhere already
 */
struct mapping {
	void *own;
	size_t own_len;
};

static void free_mapping(struct vfm_kernel *k, struct mapping *m)
{
	if (m->own)
		k->sys->munmap(m->own, m->own_len);
	free(m);
}

/* ---- what can be mapped ------------------------------------------------------------ */

static bool is_usable(const struct vfm_kernel_iommu *iommu, uint64_t iova, uint64_t size)
{
	for (size_t i = 0; i < iommu->nr_spans; i++)
		if (iova >= iommu->spans[i].first && iova + (size - 1) <= iommu->spans[i].last)
			return true;
	return !iommu->nr_spans;
}

/* "0x0 to 0xfedfffff, 0xfef00000 to 0x7fffffffff" */
static int not_usable(const struct vfm_kernel_iommu *iommu, struct vfm_err *err)
{
	char text[256] = "";
	size_t used = 0;

	for (size_t i = 0; i < iommu->nr_spans && used < sizeof(text); i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
					 "%s0x%" PRIx64 " to 0x%" PRIx64, i ? ", " : "",
					 iommu->spans[i].first, iommu->spans[i].last);
	return vfm_fail(err, -EINVAL, "the IOMMU can use other addresses only: %s", text);
}

static int check_map(struct vfm_kernel *k, const struct vfm_dma_map *map, struct vfm_err *err)
{
	const struct vfm_kernel_iommu *iommu = &k->iommu;

	if (!iommu->ops)
		return vfm_fail(err, -ENOTTY,
				"the device came without a container or an iommufd for its memory");
	if ((map->iova | map->size) & (iommu->page - 1))
		return vfm_fail(err, -EINVAL,
				"address and size must be multiples of the IOMMU's page of %" PRIu64
				" bytes",
				iommu->page);
	if (!is_usable(iommu, map->iova, map->size))
		return not_usable(iommu, err);
	if (iommu->limited && !iommu->avail)
		return vfm_fail(err, -ENOSPC, "the container takes no more ranges");
	return 0;
}

/* ---- where it stands ---------------------------------------------------------------- */

static uint64_t block_of(struct vfm_kernel *k, int fd)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), block;

	if (k->sys->block_size(fd, &block) || !vfm_is_power_of_2(block) || block > MAX_BLOCK)
		return page;
	return VFM_MAX(block, page);
}

static int map_file(struct vfm_kernel *k, const struct vfm_dma_map *map, struct mapping *m,
		    const void **vaddr, struct vfm_err *err)
{
	uint64_t block = block_of(k, map->fd);
	uint64_t delta = map->fd_offset & (block - 1), len;
	int prot = PROT_READ | (map->flags & VFM_DMA_WRITE ? PROT_WRITE : 0);
	int ret;

	if (__builtin_add_overflow(map->size + delta, block - 1, &len) ||
	    map->size + delta < delta || len > SIZE_MAX)
		return vfm_fail(err, -EOVERFLOW, "it is too large for our address space");
	m->own_len = (size_t)(len & ~(block - 1));
	ret = k->sys->mmap(&m->own, m->own_len, prot, map->fd, map->fd_offset - delta);
	if (ret)
		return vfm_kernel_fail(err, ret, "map 0x%zx bytes of descriptor %d", m->own_len,
				       map->fd);
	*vaddr = (const uint8_t *)m->own + delta;
	return 0;
}

/* Memory that is not where pages of the IOMMU are is looked for by its descriptor, if it has one.
 */
static int find_memory(struct vfm_kernel *k, const struct vfm_dma_map *map, struct mapping *m,
		       const void **vaddr, struct vfm_err *err)
{
	uint64_t mask = k->iommu.page - 1;

	if (map->vaddr && !((uintptr_t)map->vaddr & mask)) {
		*vaddr = map->vaddr;
		return 0;
	}
	if (map->fd >= 0 && !(map->fd_offset & mask))
		return map_file(k, map, m, vaddr, err);
	if (map->fd < 0 && !map->vaddr)
		return vfm_fail(err, -ENOTTY,
				"the kernel must have the memory itself, which is reached by calls "
				"alone");
	return vfm_fail(err, -EINVAL,
			"the memory does not begin at one of the IOMMU's pages of %" PRIu64
			" bytes",
			k->iommu.page);
}

/* ---- mapping ------------------------------------------------------------------------ */

static bool logs_by_iommu(const struct vfm_kernel *k)
{
	return k->log.keeper == VFM_KERNEL_LOG_IOMMU;
}

/* A mapping that is refused has nothing to report. */
static int map_logged(struct vfm_kernel *k, const struct vfm_dma_map *map, const void *vaddr,
		      struct vfm_err *err)
{
	struct vfm_kernel_part *part;
	int ret;

	if (!logs_by_iommu(k))
		return k->iommu.ops->map(k, map, vaddr, err);
	if (vfm_kernel_parts_add(&k->log.parts, map->iova, map->size))
		return vfm_fail(err, -ENOMEM, "no memory for the log of 0x%" PRIx64 " bytes",
				map->size);
	part = vfm_kernel_parts_find(&k->log.parts, map->iova, map->size);
	ret = k->iommu.ops->map(k, map, vaddr, err);
	if (ret && part)
		vfm_kernel_part_gone(part, true);
	return ret;
}

/* It is in our books before the kernel has it, so that nothing can fail behind that. */
static int add_mapping(struct vfm_kernel *k, const struct vfm_dma_map *map, struct mapping *m,
		       struct vfm_err *err)
{
	const void *vaddr = NULL;
	int ret = vfm_iova_map_add(&k->mappings, map->iova, map->size, m);

	if (ret)
		return vfm_fail(err, ret, "%s",
				ret == -EEXIST ? "a part of it is mapped" : "no memory");
	ret = find_memory(k, map, m, &vaddr, err);
	if (!ret)
		ret = map_logged(k, map, vaddr, err);
	if (ret && vfm_iova_map_remove(&k->mappings, map->iova, map->size, NULL))
		return vfm_fail(err, -EUCLEAN, "the table of mappings is damaged");
	if (!ret && k->iommu.limited)
		k->iommu.avail--;
	return ret;
}

int vfm_kernel_map_dma(struct vfm_device *dev, const struct vfm_dma_map *map, struct vfm_err *err)
{
	struct vfm_kernel *k = vfm_kernel_of(dev);
	struct mapping *m = NULL;
	int ret = check_map(k, map, err);

	if (!ret) {
		m = calloc(1, sizeof(*m));
		ret = m ? add_mapping(k, map, m, err) : vfm_fail(err, -ENOMEM, "no memory");
	}
	if (ret) {
		if (m)
			free_mapping(k, m);
		vfm_fail_prefix(err, "map 0x%" PRIx64 "+0x%" PRIx64, map->iova, map->size);
	}
	return ret;
}

/* What the kernel did not let go of stays mapped here as well: the device may write to it. */
static int unmap(struct vfm_kernel *k, uint64_t iova, uint64_t size, struct vfm_err *err)
{
	struct vfm_kernel_part *part = vfm_kernel_parts_find(&k->log.parts, iova, size);
	uint64_t *bits = NULL;
	bool known = false;
	void *data;
	int ret;

	if (part)
		bits = vfm_kernel_parts_scratch(&k->log.parts, part, k->iommu.log_page);
	ret = k->iommu.ops->unmap(k, iova, size, bits, &known, err);
	if (ret)
		return ret;
	if (known)
		vfm_kernel_part_put(part, bits, k->iommu.log_page);
	if (part)
		vfm_kernel_part_gone(part, known);
	ret = vfm_iova_map_remove(&k->mappings, iova, size, &data);
	if (ret)
		return vfm_fail(err, -EUCLEAN, "the table of mappings is damaged");
	free_mapping(k, data);
	k->iommu.avail += k->iommu.limited;
	return 0;
}

int vfm_kernel_unmap_dma(struct vfm_device *dev, uint64_t iova, uint64_t size, struct vfm_err *err)
{
	struct vfm_kernel *k = vfm_kernel_of(dev);
	const struct vfm_iova_entry *e = vfm_iova_map_find(&k->mappings, iova);
	int ret;

	if (!e || e->iova != iova || e->size != size)
		ret = vfm_fail(err, -ENOENT, "no such range is mapped");
	else
		ret = unmap(k, iova, size, err);
	if (ret)
		vfm_fail_prefix(err, "unmap 0x%" PRIx64 "+0x%" PRIx64, iova, size);
	return ret;
}

/* One range that cannot be unmapped does not keep the others; the first error is told. */
int vfm_kernel_unmap_all(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_kernel *k = vfm_kernel_of(dev);
	size_t i = k->mappings.count;
	int first = 0;

	while (i--) {
		const struct vfm_iova_entry e = k->mappings.entries[i];
		int ret = unmap(k, e.iova, e.size, first ? NULL : err);

		if (ret && !first)
			vfm_fail_prefix(err, "unmap 0x%" PRIx64 "+0x%" PRIx64, e.iova, e.size);
		first = first ? first : ret;
	}
	return first;
}

void vfm_kernel_drop_mappings(struct vfm_kernel *k)
{
	if (k->iommu.borrowed && vfm_kernel_unmap_all(&k->dev, NULL)) {
		/* nobody is left to be told, and what is not unmapped goes with its owner */
	}
	for (size_t i = 0; i < k->mappings.count; i++)
		free_mapping(k, k->mappings.entries[i].data);
	vfm_iova_map_free(&k->mappings);
}
