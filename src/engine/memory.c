// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Memory that a device reaches by DMA: ranges by address, each a shared mapping
 * of a file, so that a device in another process can map it too. What it holds
 * and who writes to it is not known here.
 *
 * Files of our own are sealed against shrinking: a device in another process
 * gets their descriptors, and could kill us with a truncation otherwise. Files
 * that were given to us belong to somebody who is trusted not to do that. Their
 * file position is left alone, which is why holes are looked for in our own only.
 */

#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/iova_map.h"
#include "base/util.h"

struct memory_range {
	uint32_t flags;
	int fd;
	bool own; /* the file is ours */
	uint64_t fd_offset;
	uint8_t *vaddr;
};

struct vfm_memory {
	struct vfm_iova_map map; /* data: struct memory_range */
};

VFM_API int vfm_memory_new(struct vfm_memory **out, struct vfm_err *err)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : vfm_fail(err, -ENOMEM, "new memory: no memory");
}

static void free_range(struct memory_range *r, uint64_t size)
{
	munmap(r->vaddr, (size_t)size);
	vfm_close_fd(&r->fd);
	free(r);
}

void vfm_memory_clear(struct vfm_memory *mem)
{
	for (size_t i = 0; i < mem->map.count; i++)
		free_range(mem->map.entries[i].data, mem->map.entries[i].size);
	mem->map.count = 0;
}

VFM_API void vfm_memory_free(struct vfm_memory *mem)
{
	if (!mem)
		return;
	vfm_memory_clear(mem);
	vfm_iova_map_free(&mem->map);
	free(mem);
}

static int check_range(const struct vfm_memory *mem, uint64_t iova, uint64_t size, uint32_t flags,
		       struct vfm_err *err)
{
	if (!size || (iova | size) % VFM_MEMORY_PAGE || vfm_range_wraps(iova, size) ||
	    size > SIZE_MAX / 2)
		return vfm_fail(err, -EINVAL,
				"add memory at 0x%" PRIx64 ", 0x%" PRIx64
				" bytes: not pages of 4096 bytes inside of 64 bits",
				iova, size);
	if (!flags || flags & ~(VFM_DMA_READ | VFM_DMA_WRITE))
		return vfm_fail(err, -EINVAL, "add memory at 0x%" PRIx64 ": flags 0x%x", iova,
				flags);
	if (mem->map.count >= VFM_MEMORY_MAX_RANGES)
		return vfm_fail(err, -ENOSPC, "add memory at 0x%" PRIx64 ": %d ranges are too many",
				iova, VFM_MEMORY_MAX_RANGES + 1);
	return 0;
}

/* Map @fd, which is taken on success, and put it into the map. */
static int add_range(struct vfm_memory *mem, uint64_t iova, uint64_t size,
		     const struct memory_range *range, struct vfm_err *err)
{
	vfm_auto_free struct memory_range *r = malloc(sizeof(*r));
	int ret;

	if (!r)
		return vfm_fail(err, -ENOMEM, "add memory: no memory");
	*r = *range;
	r->vaddr = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd,
			(off_t)r->fd_offset);
	if (r->vaddr == MAP_FAILED)
		return vfm_fail(err, -errno,
				"add memory at 0x%" PRIx64 ": map 0x%" PRIx64 " bytes: %s", iova,
				size, strerror(errno));
	ret = vfm_iova_map_add(&mem->map, iova, size, r);
	if (ret) {
		munmap(r->vaddr, (size_t)size);
		return vfm_fail(err, ret, "add memory at 0x%" PRIx64 ", 0x%" PRIx64 " bytes: %s",
				iova, size,
				ret == -EEXIST ? "overlaps another range" : strerror(-ret));
	}
	vfm_take_ptr(r);
	return 0;
}

VFM_API int vfm_memory_add(struct vfm_memory *mem, uint64_t iova, uint64_t size, uint32_t flags,
			   struct vfm_err *err)
{
	vfm_auto_fd int fd = -1;
	int ret = check_range(mem, iova, size, flags, err);

	if (ret)
		return ret;
	fd = memfd_create("vfmig-dma", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)size) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return vfm_fail(err, -errno, "add memory at 0x%" PRIx64 ", 0x%" PRIx64 " bytes: %s",
				iova, size, strerror(errno));
	ret = add_range(mem, iova, size,
			&(struct memory_range){ .flags = flags, .fd = fd, .own = true }, err);
	if (!ret)
		(void)vfm_take_fd(&fd);
	return ret;
}

VFM_API int vfm_memory_add_fd(struct vfm_memory *mem, uint64_t iova, uint64_t size, uint32_t flags,
			      int fd, uint64_t fd_offset, struct vfm_err *err)
{
	struct memory_range range = { .flags = flags, .fd_offset = fd_offset };
	vfm_auto_fd int copy = -1;
	struct stat st;
	int ret = check_range(mem, iova, size, flags, err);

	if (ret)
		return ret;
	if (fstat(fd, &st))
		return vfm_fail(err, -errno, "add memory at 0x%" PRIx64 ": descriptor %d: %s", iova,
				fd, strerror(errno));
	if (S_ISREG(st.st_mode) && !vfm_range_inside(fd_offset, size, (uint64_t)st.st_size))
		return vfm_fail(err, -EINVAL,
				"add memory at 0x%" PRIx64 ": 0x%" PRIx64 " bytes at 0x%" PRIx64
				" of a file of 0x%" PRIx64,
				iova, size, fd_offset, (uint64_t)st.st_size);
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return vfm_fail(err, -errno, "add memory at 0x%" PRIx64 ": descriptor %d: %s", iova,
				fd, strerror(errno));
	range.fd = copy;
	ret = add_range(mem, iova, size, &range, err);
	if (!ret)
		(void)vfm_take_fd(&copy);
	return ret;
}

VFM_API size_t vfm_memory_count(const struct vfm_memory *mem)
{
	return mem->map.count;
}

VFM_API struct vfm_range vfm_memory_get(const struct vfm_memory *mem, size_t n, uint32_t *flags)
{
	const struct vfm_iova_entry *entry = &mem->map.entries[n];
	const struct memory_range *r = entry->data;

	if (flags)
		*flags = r->flags;
	return (struct vfm_range){ entry->iova, entry->size };
}

VFM_API void *vfm_memory_at(const struct vfm_memory *mem, uint64_t iova, uint64_t size)
{
	const struct vfm_iova_entry *entry = vfm_iova_map_find(&mem->map, iova);
	const struct memory_range *r;

	if (!entry || !vfm_range_inside(iova - entry->iova, size, entry->size))
		return NULL;
	r = entry->data;
	return r->vaddr + (iova - entry->iova);
}

VFM_API uint64_t vfm_memory_total(const struct vfm_memory *mem)
{
	uint64_t total = 0;

	for (size_t i = 0; i < mem->map.count; i++)
		total += mem->map.entries[i].size;
	return total;
}

static int map_range(const struct vfm_iova_entry *entry, struct vfm_device *dev,
		     struct vfm_err *err)
{
	const struct memory_range *r = entry->data;
	struct vfm_dma_map map = { .iova = entry->iova,
				   .size = entry->size,
				   .flags = r->flags,
				   .fd = r->fd,
				   .fd_offset = r->fd_offset,
				   .vaddr = r->vaddr };

	return vfm_device_map_dma(dev, &map, err);
}

/*
 * On failure the range that failed is unmapped, too: an answer that was lost on
 * its way may have been a good one, and the memory is about to be freed.
 */
VFM_API int vfm_memory_map(struct vfm_memory *mem, struct vfm_device *dev, struct vfm_err *err)
{
	size_t done = 0;
	int ret = 0;

	while (!ret && done < mem->map.count)
		ret = map_range(&mem->map.entries[done++], dev, err);
	while (ret && done-- > 0) {
		const struct vfm_iova_entry *entry = &mem->map.entries[done];

		if (vfm_device_unmap_dma(dev, entry->iova, entry->size, NULL))
			continue; /* it was not mapped, or nothing can be done */
	}
	return ret;
}

VFM_API int vfm_memory_unmap(struct vfm_memory *mem, struct vfm_device *dev, struct vfm_err *err)
{
	int first = 0;

	for (size_t i = 0; i < mem->map.count; i++) {
		const struct vfm_iova_entry *entry = &mem->map.entries[i];
		int ret = vfm_device_unmap_dma(dev, entry->iova, entry->size, first ? NULL : err);

		if (!first)
			first = ret;
	}
	return first;
}

/* ---- for the engine ------------------------------------------------------ */

int vfm_memory_detach(struct vfm_memory *mem, struct vfm_device *dev, struct vfm_err *err)
{
	for (size_t i = 0; i < mem->map.count; i++) {
		const struct vfm_iova_entry *entry = &mem->map.entries[i];
		int ret = vfm_device_unmap_dma(dev, entry->iova, entry->size, err);

		if (ret && ret != -ENOENT)
			return ret;
	}
	return 0;
}

/*
 * Where the next data is, in bytes of the range, at or after @offset; the range's
 * size when there is none. A range whose holes cannot be seen is data all over.
 */
static uint64_t next_data(const struct vfm_iova_entry *entry, uint64_t offset)
{
	const struct memory_range *r = entry->data;
	off_t at;

	if (!r->own)
		return offset;
	at = lseek(r->fd, (off_t)offset, SEEK_DATA);
	if (at < 0)
		return errno == ENXIO ? entry->size : offset;
	return VFM_MIN((uint64_t)at, entry->size);
}

void vfm_memory_find_data(const struct vfm_memory *mem, size_t n, uint64_t offset, uint64_t *begin,
			  uint64_t *end)
{
	const struct vfm_iova_entry *entry = &mem->map.entries[n];
	const struct memory_range *r = entry->data;
	off_t at = -1;

	*begin = next_data(entry, offset);
	if (r->own && *begin < entry->size)
		at = lseek(r->fd, (off_t)*begin, SEEK_HOLE);
	*end = at < 0 ? entry->size : VFM_MIN((uint64_t)at, entry->size);
}

/*
 * Pages that are not there yet are made by a write to the file three times as fast
 * as by touching them; those that are there are reached fastest in place.
 */
void vfm_memory_write(struct vfm_memory *mem, uint64_t iova, const uint8_t *data, size_t size)
{
	const struct vfm_iova_entry *entry = vfm_iova_map_find(&mem->map, iova);
	const struct memory_range *r = entry->data;
	uint64_t at = iova - entry->iova;
	uint64_t begin = next_data(entry, at);
	ssize_t n = 0;

	if (begin > at)
		n = pwrite(r->fd, data, VFM_MIN(size, (size_t)(begin - at)), (off_t)at);
	if (n > 0) {
		at += (uint64_t)n;
		data += n;
		size -= (size_t)n;
	}
	memcpy(r->vaddr + at, data, size);
}

void vfm_memory_zero(struct vfm_memory *mem, uint64_t iova, uint64_t size)
{
	const struct vfm_iova_entry *entry = vfm_iova_map_find(&mem->map, iova);
	const struct memory_range *r = entry->data;
	uint64_t at = iova - entry->iova;
	uint64_t limit = at + size;

	/* Page by page: to ask for the next hole would walk all data up to it, however far. */
	while ((at = next_data(entry, at)) < limit) {
		uint64_t n = VFM_MIN(VFM_MEMORY_PAGE - at % VFM_MEMORY_PAGE, limit - at);

		memset(r->vaddr + at, 0, (size_t)n);
		at += n;
	}
}
