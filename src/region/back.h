// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A device with the semantics of v2 over one that has the migration region; what its
 * files share.
 *
 *   back.c            finding the region, what is seen of the device, what passes
 *   back_access.c     bytes of the region: registers, and data by the shortest way
 *   back_state.c      states
 *   back_data.c       the data session, saved and loaded
 */

#ifndef VFM_REGION_BACK_H
#define VFM_REGION_BACK_H

#include "device/pass.h"
#include "protocol/v1.h"
#include "region/region.h"

/**
 * struct vfm_back_area - a part of the data section that is reached without a call of inner
 * @offset: in the region, not before VFM_V1_REGISTERS_END
 * @size: bytes
 * @mem: where it stands; NULL: pread() and pwrite() of the region's descriptor
 * @file_offset: where it stands in the file of the region's descriptor
 * @map, @map_size: the mapping that holds @mem, from the start of its first page
 */
struct vfm_back_area {
	uint64_t offset;
	uint64_t size;
	uint8_t *mem;
	uint64_t file_offset;
	void *map;
	size_t map_size;
};

/**
 * struct vfm_back_save - the session that is read
 * @dead: what ended it; code 0 while it lives
 * @finished: STOP_COPY had nothing left, and has nothing left for ever
 * @offset: where in the region the unread rest of the chunk is
 * @rest: how much that is; 0: no chunk is partly read
 * @kept: the rest of a chunk whose device may have forgotten it; NULL: it is in the region
 * @kept_at: what has been read of @kept
 * @pending: what the device said last
 * @since: bytes of that which were read since then
 * @has_initial: it has said more than 0 once
 * @initial: what is unread of what it said then
 */
struct vfm_back_save {
	struct vfm_err dead;
	bool finished;
	uint64_t offset;
	uint64_t rest;
	uint8_t *kept;
	size_t kept_at;
	uint64_t pending;
	uint64_t since;
	bool has_initial;
	uint64_t initial;
};

/**
 * struct vfm_back_load - the session that is written
 * @dead: what ended it; code 0 while it lives
 * @begun: a transaction is, and the next two are known
 * @offset: where in the region its data begins
 * @room: from there to the end of the region
 * @fill: bytes that are there and that the device has not been told of
 * @split: bytes of the source's transaction have been committed without its end
 */
struct vfm_back_load {
	struct vfm_err dead;
	bool begun;
	uint64_t offset;
	uint64_t room;
	uint64_t fill;
	bool split;
};

/**
 * struct vfm_back - the device
 * @info: of the device behind, which tells it only while it runs
 * @region: index of the migration region
 * @size: of it
 * @fd: of it; borrowed from the device behind
 * @areas: rising, not overlapping
 * @state: as it was learnt last: what @save and @load belong to
 * @state_known: nothing has happened since that may have changed it
 * @held: device_state is RESUMING and we say STOP, since the device refuses to go there
 * @late_proof: it has refused once
 */
struct vfm_back {
	struct vfm_pass pass;
	struct vfm_device_info info;
	uint32_t region;
	uint64_t size;
	int fd;
	uint32_t nr_areas;
	struct vfm_back_area areas[VFM_MAX_AREAS];
	enum vfm_state state;
	bool state_known;
	bool held;
	bool late_proof;
	struct vfm_back_save save;
	struct vfm_back_load load;
};

static inline struct vfm_back *vfm_back_of(struct vfm_device *dev)
{
	return (struct vfm_back *)dev;
}

/* ---- back_access.c -------------------------------------------------------------- */

/** vfm_back_map() - find out how each part of the data section is reached best. */
int vfm_back_map(struct vfm_back *b, const struct vfm_region *region, struct vfm_err *err);
void vfm_back_unmap(struct vfm_back *b);

/**
 * vfm_back_why() - an error that came from behind, with @what failed in front of its text
 *
 * Return: @ret; but -EIO for -ENOMSG, which would mean "no data now" if it came from us.
 */
int vfm_back_why(int ret, struct vfm_err *err, const char *what);

/* One access of one register, in its width. */
int vfm_back_get_word(struct vfm_back *b, struct vfm_v1_state *word, struct vfm_err *err);
int vfm_back_put_word(struct vfm_back *b, struct vfm_v1_state word, struct vfm_err *err);
int vfm_back_get_register(struct vfm_back *b, uint64_t reg, uint64_t *value, struct vfm_err *err);
int vfm_back_put_size(struct vfm_back *b, uint64_t size, struct vfm_err *err);

/** vfm_back_read_bytes(), vfm_back_write_bytes() - data; the range lies in the data section. */
int vfm_back_read_bytes(struct vfm_back *b, uint64_t offset, void *buf, size_t len,
			struct vfm_err *err);
int vfm_back_write_bytes(struct vfm_back *b, uint64_t offset, const void *buf, size_t len,
			 struct vfm_err *err);

/* ---- back_state.c --------------------------------------------------------------- */

int vfm_back_get_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err);
int vfm_back_set_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err);
int vfm_back_reset(struct vfm_device *dev, struct vfm_err *err);

/** vfm_back_need_state() - make sure that b->state is known. */
int vfm_back_need_state(struct vfm_back *b, struct vfm_err *err);

/* ---- back_data.c ---------------------------------------------------------------- */

ssize_t vfm_back_read_data(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err);
ssize_t vfm_back_read_chunk(struct vfm_device *dev, void *buf, size_t len, bool *end,
			    struct vfm_err *err);
int vfm_back_write_data(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err);
int vfm_back_write_chunk(struct vfm_device *dev, const void *buf, size_t len, bool end,
			 struct vfm_err *err);
int vfm_back_get_precopy_info(struct vfm_device *dev, struct vfm_precopy_info *info,
			      struct vfm_err *err);
int vfm_back_get_data_size(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err);

/** vfm_back_end_session() - forget both. */
void vfm_back_end_session(struct vfm_back *b);

/** vfm_back_kill_session() - from now on both answer with @ret and say @why; returns @ret. */
int vfm_back_kill_session(struct vfm_back *b, int ret, const struct vfm_err *why);

/**
 * vfm_back_settle_chunk() - before a write of device_state with which the session goes on
 *
 * Fetch what is unread of a chunk, and acknowledge it: devices may forget their iteration
 * then, with the rest of a chunk, or with that it was read.
 */
int vfm_back_settle_chunk(struct vfm_back *b, struct vfm_err *err);

/** vfm_back_flush() - commit what is written of a transaction that has had no end. */
int vfm_back_flush(struct vfm_back *b, struct vfm_err *err);

#endif
