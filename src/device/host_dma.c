// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The memory that the user mapped for the device. A range is reached by a
 * pointer (the user's own address, or our mapping of the descriptor) or, when
 * there is neither, by calls. A descriptor's size is checked when it is mapped; a
 * user who shrinks the file afterwards takes the process of the device down.
 */

#include "device/host.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

struct dma_range {
	uint32_t flags;
	uint8_t *at;   /* NULL: use access */
	void *mapping; /* ours, to be unmapped, or NULL */
	size_t mapping_size;
	struct vfm_dma_access access;
};

static void free_range(struct dma_range *range)
{
	if (range->mapping)
		munmap(range->mapping, range->mapping_size);
	free(range);
}

static int check_file(const struct vfm_dma_map *map, struct vfm_err *err)
{
	struct stat st;

	if (fstat(map->fd, &st))
		return vfm_fail(err, -errno, "map DMA 0x%" PRIx64 ": descriptor %d", map->iova,
				map->fd);
	if (S_ISREG(st.st_mode) &&
	    !vfm_range_inside(map->fd_offset, map->size, (uint64_t)st.st_size))
		return vfm_fail(err, -EINVAL,
				"map DMA 0x%" PRIx64 ": bytes 0x%" PRIx64 " to 0x%" PRIx64
				" of a file of 0x%" PRIx64,
				map->iova, map->fd_offset, map->fd_offset + map->size,
				(uint64_t)st.st_size);
	return 0;
}

/* mmap() wants a page-aligned offset; the range may begin inside of that page. */
static int map_file(struct dma_range *range, const struct vfm_dma_map *map, struct vfm_err *err)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t skip = map->fd_offset % page;
	int prot = (map->flags & VFM_DMA_READ ? PROT_READ : 0) |
		   (map->flags & VFM_DMA_WRITE ? PROT_WRITE : 0);
	void *p;
	int ret = check_file(map, err);

	if (ret)
		return ret;
	if (map->size > SIZE_MAX - skip || map->fd_offset > INT64_MAX)
		return vfm_fail(err, -EINVAL,
				"map DMA 0x%" PRIx64 ": size 0x%" PRIx64 " at 0x%" PRIx64,
				map->iova, map->size, map->fd_offset);
	p = mmap(NULL, (size_t)(map->size + skip), prot, MAP_SHARED, map->fd,
		 (off_t)(map->fd_offset - skip));
	if (p == MAP_FAILED)
		return vfm_fail(err, -errno,
				"map DMA 0x%" PRIx64 ": mmap of 0x%" PRIx64 " bytes: %s", map->iova,
				map->size, strerror(errno));
	range->mapping = p;
	range->mapping_size = (size_t)(map->size + skip);
	range->at = (uint8_t *)p + skip;
	return 0;
}

static int reach(struct dma_range *range, const struct vfm_dma_map *map, struct vfm_err *err)
{
	range->flags = map->flags;
	range->access = map->access;
	range->at = map->vaddr;
	if (!map->vaddr && map->fd >= 0)
		return map_file(range, map, err);
	return 0;
}

int vfm_host_map_dma(struct vfm_device *dev, const struct vfm_dma_map *map, struct vfm_err *err)
{
	struct vfm_host *host = vfm_host_of(dev);
	struct dma_range *range = calloc(1, sizeof(*range));
	int ret;

	if (!range)
		return vfm_fail(err, -ENOMEM, "map DMA 0x%" PRIx64 ": no memory", map->iova);
	vfm_host_lock(host);
	ret = reach(range, map, err);
	if (!ret) {
		ret = vfm_iova_map_add(&host->dma, map->iova, map->size, range);
		if (ret)
			vfm_fail(err, ret, "map DMA 0x%" PRIx64 ", size 0x%" PRIx64 ": %s",
				 map->iova, map->size,
				 ret == -EEXIST ? "overlaps what is mapped" : strerror(-ret));
	}
	if (ret)
		free_range(range);
	vfm_host_unlock(host, NULL);
	return ret;
}

int vfm_host_unmap_dma(struct vfm_device *dev, uint64_t iova, uint64_t size, struct vfm_err *err)
{
	struct vfm_host *host = vfm_host_of(dev);
	void *range;
	int ret;

	vfm_host_lock(host);
	ret = vfm_iova_map_remove(&host->dma, iova, size, &range);
	if (ret)
		vfm_fail(err, ret, "unmap DMA 0x%" PRIx64 ", size 0x%" PRIx64 ": not mapped so",
			 iova, size);
	else
		free_range(range);
	vfm_host_unlock(host, NULL);
	return ret;
}

int vfm_host_unmap_all(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_host *host = vfm_host_of(dev);

	(void)err;
	vfm_host_lock(host);
	for (size_t i = 0; i < host->dma.count; i++)
		free_range(host->dma.entries[i].data);
	vfm_iova_map_free(&host->dma);
	vfm_host_unlock(host, NULL);
	return 0;
}

/* One piece that lies in one range. */
static int move_piece(const struct vfm_iova_entry *e, uint64_t iova, uint8_t *buf, size_t len,
		      bool write)
{
	const struct dma_range *range = e->data;

	if (!range->at && write)
		return range->access.write(range->access.user, iova, buf, len);
	if (!range->at)
		return range->access.read(range->access.user, iova, buf, len);
	if (write)
		memcpy(range->at + (iova - e->iova), buf, len);
	else
		memcpy(buf, range->at + (iova - e->iova), len);
	return 0;
}

/*
 * Visit the ranges under a transfer: first to see that all of it is there, then
 * to move it, so that a transfer that is refused has moved nothing.
 */
static int visit(struct vfm_host *host, uint64_t iova, uint8_t *buf, size_t len, bool write,
		 bool move)
{
	while (len) {
		const struct vfm_iova_entry *e = vfm_iova_map_find(&host->dma, iova);
		uint32_t flags = e ? ((const struct dma_range *)e->data)->flags : 0;
		uint64_t left;
		size_t n;
		int ret = 0;

		if (!(flags & (write ? VFM_DMA_WRITE : VFM_DMA_READ)))
			return -EFAULT;
		left = e->size - (iova - e->iova);
		n = left < len ? (size_t)left : len;
		if (move)
			ret = move_piece(e, iova, buf, n, write);
		if (ret)
			return ret;
		if (move && write)
			vfm_dirty_log_mark(&host->log, iova, n);
		iova += n;
		buf += n;
		len -= n;
	}
	return 0;
}

static int transfer(struct vfm_host *host, uint64_t iova, uint8_t *buf, size_t len, bool write,
		    struct vfm_err *err)
{
	const char *what = write ? "DMA write" : "DMA read";
	int ret;

	if (!vfm_host_active(host))
		return vfm_fail(err, -EPERM, "%s of 0x%" PRIx64 " in %s", what, iova,
				vfm_state_name(host->state));
	ret = vfm_range_wraps(iova, len) ? -EFAULT : visit(host, iova, buf, len, write, false);
	if (!ret)
		ret = visit(host, iova, buf, len, write, true);
	if (ret)
		return vfm_fail(err, ret, "%s of 0x%" PRIx64 ", %zu bytes: %s", what, iova, len,
				ret == -EFAULT ? "not mapped for it" : strerror(-ret));
	return 0;
}

VFM_API int vfm_host_read_dma(struct vfm_host *host, uint64_t iova, void *buf, size_t len,
			      struct vfm_err *err)
{
	return transfer(host, iova, buf, len, false, err);
}

VFM_API int vfm_host_write_dma(struct vfm_host *host, uint64_t iova, const void *buf, size_t len,
			       struct vfm_err *err)
{
	return transfer(host, iova, (uint8_t *)(uintptr_t)buf, len, true, err);
}
