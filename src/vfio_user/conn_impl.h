// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* What the files of a connection share with each other: conn.c, conn_recv.c, conn_send.c. */

#ifndef VFM_VFIO_USER_CONN_IMPL_H
#define VFM_VFIO_USER_CONN_IMPL_H

#include "base/cleanup.h"
#include "base/util.h"
#include "vfio_user/conn.h"

/* Room to begin with: any usual command, and many small ones that wait together. */
#define VFM_CONN_FIRST_ROOM (64u << 10)

/* Room for what one receive brings of a message that is given out in parts. Not more: the parts
 * shall stay in the cache while they are used. */
#define VFM_CONN_PART_ROOM (256u << 10)

/* Messages with descriptors or a tail elsewhere that may be stored at a time. */
#define VFM_CONN_MAX_NOTES 16u

struct vfm_conn_chunk;

struct vfm_conn_buffer {
	uint8_t *mem;
	size_t room;
};

/* What is special about one stored message. */
struct vfm_conn_note {
	uint64_t start; /* position of its header among all bytes that were ever stored */
	size_t stored;	/* bytes of it in the buffer; 0: all */
	bool dropped;	/* the rest was thrown away */
	bool fds_lost;
	unsigned int nr_fds;
	int fds[VFM_VU_MAX_FDS];
};

struct vfm_vu_conn {
	int fd;
	size_t limit;
	struct vfm_conn_buffer in;
	struct vfm_conn_buffer other; /* the pinned one, or a spare */
	bool pinned;
	size_t rd, scan, wr;
	uint64_t rd_pos;	/* of rd, as in struct vfm_conn_note */
	size_t tail;		/* bytes of the message at scan that go elsewhere */
	bool tail_sinks;	/* into the sink, else away */
	struct vfm_vu_msg body; /* that is given out in parts; its rest is what was not given */
	int broken;		/* why nothing more is received */
	struct vfm_conn_note notes[VFM_CONN_MAX_NOTES];
	unsigned int first_note, nr_notes;
	struct vfm_vu_sink *sink;
	unsigned int rcvtimeo_ms; /* of the socket */
	struct vfm_conn_chunk *queue, **queue_end;
};

/** vfm_conn_grow() - 0 or -ENOMEM; what is in the buffer stays. */
int vfm_conn_grow(struct vfm_conn_buffer *buf, size_t room);

/** vfm_conn_receive() - one recvmsg(): 1: something came; 0: nothing; or an error, remembered. */
int vfm_conn_receive(struct vfm_vu_conn *conn, int flags);

/** vfm_conn_may_receive() - whether there is place for more while nobody takes what has come. */
bool vfm_conn_may_receive(const struct vfm_vu_conn *conn);

/** vfm_conn_note() - the @n-th note, oldest first. */
static inline struct vfm_conn_note *vfm_conn_note(struct vfm_vu_conn *conn, unsigned int n)
{
	return &conn->notes[(conn->first_note + n) % VFM_CONN_MAX_NOTES];
}

/** vfm_conn_drop_queue() - forget what was not sent. */
void vfm_conn_drop_queue(struct vfm_vu_conn *conn);

static inline void vfm_conn_close_fds(int *fds, unsigned int nr_fds)
{
	unsigned int i;

	for (i = 0; i < nr_fds; i++)
		vfm_close_fd(&fds[i]);
}

#endif
