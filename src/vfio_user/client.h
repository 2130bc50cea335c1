// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What the files of the client share. Nobody else includes this.
 *
 *   client.c            opening, negotiation, the table of operations, death
 *   client_call.c       one request and its reply; the server's commands meanwhile
 *   client_info.c       the device and its interrupts
 *   client_region.c     regions: description, access, io_fds
 *   client_dma.c        mappings, and the server's DMA_READ and DMA_WRITE
 *   client_migration.c  features, states, the data session, the extension
 *   client_log.c        the dirty log
 *   client_dirty.c      its messages in the v1 era
 */

#ifndef VFM_VFIO_USER_CLIENT_H
#define VFM_VFIO_USER_CLIENT_H

#include "abi/vfio.h"
#include "base/bytes.h"
#include "base/iova_map.h"
#include "device/device.h"
#include "vfio_user/conn.h"
#include "vfio_user/vfio_user.h"

/** More regions or interrupt indices than any device has: a server that claims them is broken. */
#define VFM_CLIENT_MAX_INDEX 256u

struct vfm_client_region;
struct vfm_client_irq;
struct vfm_client_log_part;

/**
 * struct vfm_client_mapping - memory that the server was told of
 * @fd: our own duplicate, -1 when @vaddr or @access will do
 * @mapped, @mapped_len: the pages of @fd once they were needed, else NULL
 * @base: where the range itself begins in our memory, NULL if unknown yet
 * @sent_fd: the server has the descriptor, and may write without telling us
 * @part: its part of the dirty log, while we have to keep one
 */
struct vfm_client_mapping {
	uint64_t iova;
	uint64_t size;
	uint32_t flags;
	int fd;
	uint64_t fd_offset;
	struct vfm_dma_access access;
	void *mapped;
	size_t mapped_len;
	uint8_t *base;
	bool sent_fd;
	struct vfm_client_log_part *part;
};

/**
 * enum vfm_client_log_keeper - who keeps the dirty log, and how it is asked for
 * @VFM_CLIENT_LOG_NONE: none was started by us
 * @VFM_CLIENT_LOG_SERVER: the server, all of it: the features of v2, with our extension
 * @VFM_CLIENT_LOG_FEATURES: both sides: parts here, for which it is asked by the features of v2
 * @VFM_CLIENT_LOG_MESSAGES: the same, asked by the messages of v1
 */
enum vfm_client_log_keeper {
	VFM_CLIENT_LOG_NONE,
	VFM_CLIENT_LOG_SERVER,
	VFM_CLIENT_LOG_FEATURES,
	VFM_CLIENT_LOG_MESSAGES,
};

/**
 * struct vfm_client_log - see client_log.c
 * @page_size, @ranges, @nr_ranges: those of its start
 * @answer: the bitmap of the last answer of the server, in @scratch
 */
struct vfm_client_log {
	enum vfm_client_log_keeper keeper;
	uint64_t page_size;
	struct vfm_range ranges[VFM_MAX_LOG_RANGES];
	size_t nr_ranges;
	struct vfm_client_log_part *parts;
	uint8_t *scratch;
	size_t scratch_size;
	uint64_t *answer;
};

/**
 * struct vfm_client - a device over a connection
 * @ours: what we said in VERSION
 * @extension: version of the vfmig extension that both speak, 0: none
 * @max_read, @max_write: bytes of data in one message
 * @max_fds: descriptors in one message to the server
 * @in_dma: a callback of the user runs: no call may be made from it
 * @dead: 0, or the error that ended the connection; @reason says which
 * @regions, @irqs: by index, entries unknown at first; NULL until the info is known
 * @state_known: whether @state is what the server said last
 * @finished: the session gave its end in STOP_COPY
 */
struct vfm_client {
	struct vfm_device dev; /* first */
	struct vfm_vu_conn *conn;
	unsigned int timeout_ms;
	struct vfm_vu_caps ours;
	uint32_t extension;
	size_t max_read;
	size_t max_write;
	size_t max_payload;
	unsigned int max_fds;
	uint32_t max_maps;
	uint16_t next_id;
	bool in_dma;
	int dead;
	char reason[256];

	bool info_known;
	struct vfm_device_info info;
	struct vfm_client_region **regions;
	struct vfm_client_irq *irqs;

	bool state_known;
	enum vfm_state state;
	bool finished;

	struct vfm_iova_map mappings;
	uint8_t *bounce;
	size_t bounce_size;
	struct vfm_client_log log;
};

static inline struct vfm_client *vfm_client_of(struct vfm_device *dev)
{
	return (struct vfm_client *)dev;
}

/* ---- client_call.c --------------------------------------------------------- */

/**
 * struct vfm_client_call - a request and where its reply goes
 * @flags: of the request's header, beside its type
 * @body, @nr_body, @fds, @nr_fds: of the request, as in struct vfm_vu_out
 * @head, @head_room: gets the first bytes of the reply
 * @data, @data_room: gets those behind them, from the socket without a copy
 * @take_fds: room for VFM_VU_MAX_FDS descriptors of the reply, which are then the
 *	caller's; NULL: they are closed
 * @head_len, @data_len, @nr_taken: set: how much there was of each
 * @reply_flags: set: those of the reply's header
 */
struct vfm_client_call {
	uint16_t command;
	uint32_t flags;
	const struct iovec *body;
	int nr_body;
	const int *fds;
	unsigned int nr_fds;
	void *head;
	size_t head_room;
	void *data;
	size_t data_room;
	int *take_fds;
	size_t head_len;
	size_t data_len;
	unsigned int nr_taken;
	uint32_t reply_flags;
};

/**
 * vfm_client_call() - send, serve the server's commands until the reply is there
 *
 * A reply that is longer than the room is cut; whether one that is shorter will
 * do is for the caller, who looks at head_len and data_len. An error reply is
 * returned as its errno value. Whatever makes the connection useless kills it.
 */
int vfm_client_call(struct vfm_client *c, struct vfm_client_call *call,
		    struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_client_alive() - 0, or what every call on a dead connection returns. */
int vfm_client_alive(const struct vfm_client *c, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_client_process() - serve the commands that are there, without waiting for more. */
int vfm_client_process(struct vfm_device *dev, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_client_short() - the error for a reply that holds less than it must. */
int vfm_client_short(size_t got, size_t want, struct vfm_err *err) VFM_MUST_CHECK;

/* ---- client_info.c --------------------------------------------------------- */

/** vfm_client_learn() - fetch every description now, as far as the server gives it. */
int vfm_client_learn(struct vfm_client *c, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_client_need_info() - the device info is known after it. */
int vfm_client_need_info(struct vfm_client *c, struct vfm_err *err) VFM_MUST_CHECK;
void vfm_client_free_info(struct vfm_client *c);
int vfm_client_get_info(struct vfm_device *dev, struct vfm_device_info *info, struct vfm_err *err);
int vfm_client_get_irq(struct vfm_device *dev, uint32_t index, struct vfm_irq *irq,
		       struct vfm_err *err);
int vfm_client_set_irqs(struct vfm_device *dev, const struct vfm_irq_set *set, struct vfm_err *err);

/* ---- client_region.c, client_access.c ---------------------------------------- */

/**
 * struct vfm_client_region - what is known of a region
 * @io: its io_fds, @nr_io of them; their descriptors are in @io_fds
 */
struct vfm_client_region {
	struct vfm_region desc; /* its fd is ours */
	bool io_known;
	uint32_t nr_io;
	struct vfm_io_fd *io;
	int io_fds[VFM_VU_MAX_FDS];
	unsigned int nr_io_fds;
};

/** vfm_client_find_region() - known already, or asked for now. */
int vfm_client_find_region(struct vfm_client *c, uint32_t index, struct vfm_client_region **region,
			   struct vfm_err *err) VFM_MUST_CHECK;
void vfm_client_free_region(struct vfm_client_region *region);
int vfm_client_get_region(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			  struct vfm_err *err);
int vfm_client_read_region(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			   size_t len, struct vfm_err *err);
int vfm_client_write_region(struct vfm_device *dev, uint32_t index, uint64_t offset,
			    const void *buf, size_t len, struct vfm_err *err);
int vfm_client_get_io_fds(struct vfm_device *dev, uint32_t index, struct vfm_io_fd *list,
			  size_t max, struct vfm_err *err);

/* ---- client_dma.c ---------------------------------------------------------- */

/**
 * vfm_client_serve() - answer a command of the server; its descriptors are closed
 *
 * Return: an error of the connection only. What is wrong with the command is
 * answered to the server.
 */
int vfm_client_serve(struct vfm_client *c, struct vfm_vu_msg *msg, const struct vfm_wait *wait,
		     struct vfm_err *err) VFM_MUST_CHECK;
void vfm_client_free_mappings(struct vfm_client *c);
int vfm_client_map_dma(struct vfm_device *dev, const struct vfm_dma_map *map, struct vfm_err *err);
int vfm_client_unmap_dma(struct vfm_device *dev, uint64_t iova, uint64_t size, struct vfm_err *err);
int vfm_client_unmap_all(struct vfm_device *dev, struct vfm_err *err);

/* ---- client_migration.c ---------------------------------------------------- */

/**
 * struct vfm_client_feature - one DEVICE_FEATURE
 * @flags: index, VFM_FEATURE_GET, SET, PROBE
 * @in, @in_len: payload of the request; @more, @more_len: what follows it
 * @out, @out_room: for the payload of the reply, both counted without the header
 * @out_len: set: what there was of it
 */
struct vfm_client_feature {
	uint32_t flags;
	const void *in;
	size_t in_len;
	const void *more;
	size_t more_len;
	void *out;
	size_t out_room;
	size_t out_len;
};

/** vfm_client_feature() - a GET whose reply is shorter than @out_room fails with -EPROTO. */
int vfm_client_feature(struct vfm_client *c, struct vfm_client_feature *f,
		       struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_client_refused() - whether a code is what servers say of what they do not know. */
bool vfm_client_refused(int code);

int vfm_client_get_migration(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err);
int vfm_client_get_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err);
int vfm_client_set_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err);
int vfm_client_reset(struct vfm_device *dev, struct vfm_err *err);
ssize_t vfm_client_read_data(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err);
int vfm_client_write_data(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err);
ssize_t vfm_client_read_chunk(struct vfm_device *dev, void *buf, size_t len, bool *end,
			      struct vfm_err *err);
int vfm_client_write_chunk(struct vfm_device *dev, const void *buf, size_t len, bool end,
			   struct vfm_err *err);
int vfm_client_get_precopy_info(struct vfm_device *dev, struct vfm_precopy_info *info,
				struct vfm_err *err);
int vfm_client_get_data_size(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err);
int vfm_client_get_compat(struct vfm_device *dev, struct vfm_compat *compat, struct vfm_err *err);
int vfm_client_set_orphan(struct vfm_device *dev, enum vfm_orphan orphan, struct vfm_err *err);

/* ---- client_log.c ---------------------------------------------------------- */

/** vfm_client_log_map() - a new mapping; logged if a log runs that we have to keep. */
int vfm_client_log_map(struct vfm_client *c, struct vfm_client_mapping *m,
		       struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_client_log_in_parts() - whether a log runs of which we keep parts. */
static inline bool vfm_client_log_in_parts(const struct vfm_client *c)
{
	return c->log.keeper == VFM_CLIENT_LOG_FEATURES || c->log.keeper == VFM_CLIENT_LOG_MESSAGES;
}

/**
 * vfm_client_log_ask_unmap() - unmap at the server, and have it report in the same message
 * @known: set: it did; else all that it could write to must be taken for dirty
 *
 * Return: what vfm_client_refused() knows, and the mapping is there, if that cannot be done.
 */
int vfm_client_log_ask_unmap(struct vfm_client *c, struct vfm_client_mapping *m, bool *known,
			     struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_client_log_unmap() - it goes; what was written to it is reported none the less
 * @known: the server has told what it wrote
 */
void vfm_client_log_unmap(struct vfm_client *c, struct vfm_client_mapping *m, bool known);

/** vfm_client_log_wrote() - we wrote there for the server. */
void vfm_client_log_wrote(struct vfm_client_mapping *m, uint64_t iova, uint64_t len);
void vfm_client_free_log(struct vfm_client *c);
int vfm_client_start_log(struct vfm_device *dev, uint64_t *page_size,
			 const struct vfm_range *ranges, size_t nr_ranges, struct vfm_err *err);
int vfm_client_report_log(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
			  uint64_t *bitmap, struct vfm_err *err);
int vfm_client_stop_log(struct vfm_device *dev, struct vfm_err *err);

/** vfm_client_log_room() - so many bytes in log.scratch. */
int vfm_client_log_room(struct vfm_client *c, size_t size, struct vfm_err *err) VFM_MUST_CHECK;

/* ---- client_dirty.c -------------------------------------------------------- */

/** vfm_client_dirty_switch() - START or STOP. */
int vfm_client_dirty_switch(struct vfm_client *c, bool on, struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_client_dirty_get() - the bitmap of a whole mapping, in pages of 4096 bytes, to log.answer
 *
 * -EPROTO: an answer that cannot be believed.
 */
int vfm_client_dirty_get(struct vfm_client *c, uint64_t iova, uint64_t size,
			 struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_client_dirty_unmap() - unmap, and the same
 * @known: set: whether there is a bitmap to be believed; without one it is unmapped, too
 */
int vfm_client_dirty_unmap(struct vfm_client *c, uint64_t iova, uint64_t size, bool *known,
			   struct vfm_err *err) VFM_MUST_CHECK;

#endif
