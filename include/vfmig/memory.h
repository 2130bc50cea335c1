// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Memory that belongs to us and that a device reaches by DMA: for applications
 * that own a device without a VMM. It is mapped for the device as one, logged
 * as one, and travels with it.
 */

#ifndef VFMIG_MEMORY_H
#define VFMIG_MEMORY_H

#include <vfmig/device.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vfm_memory;

/** Most ranges in one memory. */
#define VFM_MEMORY_MAX_RANGES VFM_MAX_LOG_RANGES

/** vfm_memory_new() - no memory yet. */
int vfm_memory_new(struct vfm_memory **out, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_memory_free() - unmap it from ourselves; accepts NULL. Not while a device has it mapped. */
void vfm_memory_free(struct vfm_memory *mem);

/**
 * vfm_memory_add() - add a range of fresh, zeroed, shareable memory
 * @iova, @size: multiples of 4096, not overlapping another range: -EEXIST
 * @flags: VFM_DMA_*
 */
int vfm_memory_add(struct vfm_memory *mem, uint64_t iova, uint64_t size, uint32_t flags,
		   struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_memory_add_fd() - add a range of memory that exists: a memfd, a hugetlbfs or shm file
 * @fd: duplicated; must hold @fd_offset + @size bytes
 */
int vfm_memory_add_fd(struct vfm_memory *mem, uint64_t iova, uint64_t size, uint32_t flags, int fd,
		      uint64_t fd_offset, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_memory_count() - number of ranges. */
size_t vfm_memory_count(const struct vfm_memory *mem);

/** vfm_memory_get() - the range number @n, and its flags when @flags is not NULL. */
struct vfm_range vfm_memory_get(const struct vfm_memory *mem, size_t n, uint32_t *flags);

/**
 * vfm_memory_at() - our own address of a part of it
 *
 * Return: NULL unless all of @size bytes at @iova lie in one range.
 */
void *vfm_memory_at(const struct vfm_memory *mem, uint64_t iova, uint64_t size);

/** vfm_memory_total() - bytes in all ranges. */
uint64_t vfm_memory_total(const struct vfm_memory *mem);

/** vfm_memory_map() - map every range for the device; on failure none is. */
int vfm_memory_map(struct vfm_memory *mem, struct vfm_device *dev,
		   struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_memory_unmap() - unmap every range from the device. */
int vfm_memory_unmap(struct vfm_memory *mem, struct vfm_device *dev,
		     struct vfm_err *err) VFM_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
