// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Inside the front: one struct, and what its files call in each other.
 *
 * A question to the device behind may be a trip to another process. So the state is
 * asked for where device_state is read or written, and remembered for the rest; every
 * call that can change it goes through vfm_front_learn() or makes it unknown.
 */

#ifndef VFM_REGION_FRONT_H
#define VFM_REGION_FRONT_H

#include "device/pass.h"
#include "region/region.h"

/** Most bytes that go to the device in one call from a section that a user can change. */
#define VFM_FRONT_BOUNCE ((size_t)256 << 10)

/**
 * struct vfm_section_mem - the memory of a data section
 * @mode: how it is reached from outside
 * @offset: where it starts in the region: the size of a page
 * @size: bytes
 * @mem: of ours, all of it
 * @fd: what a user maps, of the region's size; -1 when trapped
 */
struct vfm_section_mem {
	enum vfm_section mode;
	uint64_t offset;
	uint64_t size;
	uint8_t *mem;
	int fd;
};

/**
 * struct vfm_front_session - what the region knows of a data session of the device behind
 * @len: bytes of the chunk in the section, 0: there is none
 * @pos: how many of them were read with the semantics of v2; moved away before the
 *	region shows the rest
 * @ends: a chunk of the device ends with it
 * @handed: its size was told, so that it may have been read
 * @inside: what the device gave last did not end one of its chunks
 * @finished: the device has said that there is no more
 * @failed: a negative errno value: data was lost, and the session with it
 * @why: the text to @failed
 */
struct vfm_front_session {
	size_t len;
	size_t pos;
	bool ends;
	bool handed;
	bool inside;
	bool finished;
	int failed;
	struct vfm_err why;
};

/**
 * enum vfm_front_mask - states that the region shows where the device has another
 * @VFM_MASK_NONE: it shows that of the device
 * @VFM_MASK_PRE_COPY: of RUNNING: the device has no PRE_COPY, and must have it in v1
 * @VFM_MASK_RESUMING: of STOP: RESUMING was to be left, the image is in and right, and the
 *	device failed after that: going on may be tried again
 * @VFM_MASK_ERROR: of any: it failed on its way, and to go back, too
 */
enum vfm_front_mask {
	VFM_MASK_NONE,
	VFM_MASK_PRE_COPY,
	VFM_MASK_RESUMING,
	VFM_MASK_ERROR,
};

/**
 * struct vfm_front - a device with the migration region
 * @pass: the device behind
 * @owned: that is closed with the front, else it is borrowed
 * @migration: what that can do
 * @nr_inner: regions that it has
 * @index: of the migration region
 * @section: its memory
 * @bounce: a copy of what a user may change meanwhile; NULL when nobody can, and when the
 *	device does not mind
 * @reserved: bits of device_state
 * @state: of the device, as last heard
 * @known: @state is to be relied on
 * @mask: what the region shows instead of @state
 * @session: dropped when the device's own ends
 */
struct vfm_front {
	struct vfm_pass pass;
	bool owned;
	uint64_t migration;
	uint32_t nr_inner;
	uint32_t index;
	struct vfm_section_mem section;
	uint8_t *bounce;
	uint32_t reserved;
	enum vfm_state state;
	bool known;
	enum vfm_front_mask mask;
	struct vfm_front_session session;
};

static inline struct vfm_front *vfm_front_of(struct vfm_device *dev)
{
	return (struct vfm_front *)dev;
}

/* section.c */
int vfm_section_open(struct vfm_section_mem *s, const struct vfm_front_opts *opts,
		     struct vfm_err *err) VFM_MUST_CHECK;
void vfm_section_close(struct vfm_section_mem *s);
/** vfm_section_describe() - size, flags, descriptor and areas of a region with this section. */
void vfm_section_describe(const struct vfm_section_mem *s, struct vfm_region *region);

/* front_state.c */

/** vfm_front_ask() - learn the state from the device. */
int vfm_front_ask(struct vfm_front *f, struct vfm_err *err) VFM_MUST_CHECK;
/** vfm_front_know() - the same if it is not known. */
int vfm_front_know(struct vfm_front *f, struct vfm_err *err) VFM_MUST_CHECK;
/** vfm_front_state() - the state that the region shows, with its reserved bits. */
struct vfm_v1_state vfm_front_state(const struct vfm_front *f);
int vfm_front_read_state(struct vfm_front *f, uint64_t *value, struct vfm_err *err);
int vfm_front_write_state(struct vfm_front *f, uint64_t value, struct vfm_err *err);
/* operations */
int vfm_front_get_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err);
int vfm_front_set_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err);
int vfm_front_reset(struct vfm_device *dev, struct vfm_err *err);

/* front_data.c */

/** vfm_front_drop() - forget the data session. */
void vfm_front_drop(struct vfm_front *f);
int vfm_front_read_pending(struct vfm_front *f, uint64_t *value, struct vfm_err *err);
int vfm_front_read_data_offset(struct vfm_front *f, uint64_t *value, struct vfm_err *err);
int vfm_front_read_data_size(struct vfm_front *f, uint64_t *value, struct vfm_err *err);
int vfm_front_write_data_size(struct vfm_front *f, uint64_t value, struct vfm_err *err);
/* a part of the section, @at relative to its start */
int vfm_front_read_section(struct vfm_front *f, uint64_t at, void *buf, size_t len,
			   struct vfm_err *err);
/** vfm_front_find_data() - the same bytes where they stand. */
int vfm_front_find_data(struct vfm_front *f, uint64_t at, size_t len, const void **data,
			struct vfm_err *err) VFM_MUST_CHECK;
int vfm_front_write_section(struct vfm_front *f, uint64_t at, const void *buf, size_t len,
			    struct vfm_err *err);
/** vfm_front_find_room() - where they go. */
int vfm_front_find_room(struct vfm_front *f, uint64_t at, size_t len, void **room,
			struct vfm_err *err) VFM_MUST_CHECK;
/* operations */
ssize_t vfm_front_read_data(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err);
ssize_t vfm_front_read_chunk(struct vfm_device *dev, void *buf, size_t len, bool *end,
			     struct vfm_err *err);
int vfm_front_get_precopy_info(struct vfm_device *dev, struct vfm_precopy_info *info,
			       struct vfm_err *err);
int vfm_front_get_data_size(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err);

#endif
