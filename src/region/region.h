// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The migration region of protocol v1, from both sides; specified in
 * docs/protocol-v1.md.
 *
 *   front.c           a device with the region added: its description, what passes
 *   front_state.c     device_state
 *   front_data.c      the iterations of saving and resuming
 *   section.c         the memory of the data section
 *   back.c            a device over one that has the region: finding it, what passes
 *   back_access.c     bytes of the region: registers, and data by the shortest way
 *   back_state.c      states
 *   back_data.c       the data session
 *
 * Neither knows what carries the other device's regions: a socket, the kernel, or
 * nothing at all.
 */

#ifndef VFM_REGION_REGION_H
#define VFM_REGION_REGION_H

#include <vfmig/device.h>
#include <vfmig/v1.h>

/** What a data section may have: a page and 1 GiB; and what it has by default. */
#define VFM_SECTION_SIZE_MIN 4096u
#define VFM_SECTION_SIZE_MAX (UINT64_C(1) << 30)
#define VFM_SECTION_SIZE_DEFAULT (UINT64_C(16) << 20)

/**
 * struct vfm_front_opts - how the data section is to be
 * @section: trapped, mapped, or in part
 * @size: bytes, a multiple of the page size, VFM_SECTION_SIZE_MIN to VFM_SECTION_SIZE_MAX; 0:
 * default
 */
struct vfm_front_opts {
	enum vfm_section section;
	uint64_t size;
};

/**
 * vfm_front_open() - a device as @inner is, and with the migration region
 * @inner: has the semantics of v2; borrowed until the front is closed
 * @opts: NULL for the defaults
 *
 * The region stands behind the regions of PCI and those of @inner; everything else is
 * handed on, the migration with the semantics of v2 as well: whoever shows the device
 * decides what is to be seen. What is done through v2 and through the region is done
 * to the same device, and each sees what the other did.
 *
 * -ENOTTY: @inner cannot migrate.
 */
int vfm_front_open(struct vfm_device **out, struct vfm_device *inner,
		   const struct vfm_front_opts *opts, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_front_own() - close the device behind with the front from now on. */
void vfm_front_own(struct vfm_device *front);

/**
 * vfm_front_look() - data of the section where it stands, for who would only copy it on
 * @data: set: @len bytes that are at @offset of the migration region; NULL: it is a register
 *	that is there, or nothing: read the region. Valid until the next call of the front
 *
 * The access is the same as, and fails as, a read of the region.
 */
int vfm_front_look(struct vfm_device *front, uint64_t offset, size_t len, const void **data,
		   struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_front_room() - the same for a write: where those bytes may be put instead. */
int vfm_front_room(struct vfm_device *front, uint64_t offset, size_t len, void **room,
		   struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_back_open() - a device with the semantics of v2 over one that has the region
 * @inner: taken on success
 *
 * The region is not among those of the new device. -ENOENT: there is no such region;
 * -EPROTO: it cannot be right, and the text says why.
 */
int vfm_back_open(struct vfm_device **out, struct vfm_device *inner,
		  struct vfm_err *err) VFM_MUST_CHECK;

#endif
