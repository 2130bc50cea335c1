// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What the files of the server share with each other.
 *
 *   server.c           the server: epoll, connections, the loop
 *   server_socket.c    the socket that it listens on
 *   server_client.c    the served client: from its VERSION to its loss
 *   server_dispatch.c  one request: the table of commands, and the reply
 *   server_info.c      what the device consists of
 *   server_region.c    access to regions
 *   server_irq.c       interrupts
 *   server_dma.c       mappings, and DMA by messages
 *   server_feature.c   DEVICE_FEATURE: the table of features
 *   server_log.c       the features of the dirty log
 *   server_dirty.c     the dirty pages of v1: the same log by other messages
 *   server_data.c      the data session
 *
 * A handler gets a request whose fixed part is known to be there, and returns 0 or a
 * negative errno value, which becomes an error reply of a header only.
 */

#ifndef VFM_VFIO_USER_SERVER_H
#define VFM_VFIO_USER_SERVER_H

#include <vfmig/server.h>

#include "base/bytes.h"
#include "base/iova_map.h"
#include "vfio_user/conn.h"

/* Connections that have not said VERSION, or are about to be refused. More than these push the
 * oldest out. */
#define VFM_SRV_MAX_HALF_OPEN 4u

/* Requests that arrive while a DMA message waits for its answer; more of them, or of their bytes,
 * and the client is cut off: it should answer first. */
#define VFM_SRV_MAX_PENDING 256u

/* A message that is received may exceed a transfer by this: fixed parts, lists of ranges. */
#define VFM_SRV_MESSAGE_SLACK 8192u

/* Refused requests of one client that are logged; the rest would only fill the log. */
#define VFM_SRV_LOGGED_REFUSALS 32u

/* Replies up to this size need no memory. */
#define VFM_SRV_SMALL_REPLY 4096u

struct vfm_srv_pending;

/* A write to a region, which may come in parts. */
struct vfm_srv_write {
	uint8_t fixed[VFM_VU_REGION_ACCESS_SIZE]; /* its beginning, which is the reply, too */
	uint32_t region;
	uint64_t offset; /* of what comes next */
	void *room;	 /* where that is received to; NULL: as everything else is */
};

/* The dirty pages of v1, see server_dirty.c: @ranges, sorted, are those in the device's log. */
struct vfm_srv_dirty {
	bool on;
	size_t nr_ranges;
	struct vfm_range ranges[VFM_MAX_LOG_RANGES];
};

/* The size of a region, once it is known. */
struct vfm_srv_bound {
	bool known;
	uint64_t size;
};

/* Regions that are remembered so: more than those of a PCI device. */
#define VFM_SRV_BOUNDS 16

/* The client that is served. It is part of the server, so that there is never a second. */
struct vfm_srv_client {
	struct vfm_vu_conn *conn; /* NULL: there is none */
	bool write_multiple;
	bool extension;
	size_t max_xfer;      /* bytes of data in one message, either way */
	unsigned int max_fds; /* descriptors in one message that we send */
	size_t max_maps;
	struct vfm_iova_map maps;   /* what it has mapped */
	bool logging;		    /* it has started the device's log, by v1 or v2 */
	enum vfm_orphan orphan;	    /* its last will, as far as it knows */
	enum vfm_orphan told;	    /* the same, before the answer has gone */
	unsigned int refusals;	    /* that were logged */
	int lost;		    /* why it must be cut off; 0: it need not */
	bool queued;		    /* we wait for it to take a reply */
	bool handling;		    /* a request's payload is in use */
	bool in_parts;		    /* a request has begun of which parts are still to come */
	int refused_part;	    /* what became of its parts so far */
	struct vfm_srv_write write; /* the last to a region: where its parts go */
	uint16_t next_id;	    /* of our own messages */
	struct vfm_srv_pending *pending, **pending_end;
	unsigned int nr_pending;
	size_t pending_bytes;
	struct vfm_srv_dirty dirty;
};

struct vfm_server {
	struct vfm_device *dev;	  /* that is shown */
	struct vfm_device *front; /* it, when it is ours and has the migration region */
	uint32_t front_index;	  /* of that region */
	struct vfm_srv_bound bounds[VFM_SRV_BOUNDS];
	struct vfm_server_opts opts; /* without path and fd */
	int epoll_fd;
	int listen_fd; /* -1 with a connected socket */
	int kick_fd;   /* there is more to do, though no descriptor says so */
	int timer_fd;  /* the client does not take its reply */
	int spare_fd;  /* given up for a moment to refuse a client when there are no descriptors */
	bool timer_armed;
	uint64_t progress_ns; /* when the client last took something */
	char *path;	      /* to be removed, while it is still @path_dev and @path_ino */
	uint64_t path_dev, path_ino;
	struct vfm_vu_conn *half_open[VFM_SRV_MAX_HALF_OPEN]; /* oldest first */
	struct vfm_srv_client client;
	/* The body of the reply; belongs to the connection while that is queued. */
	uint8_t *large;
	size_t large_room;
	uint8_t small[VFM_SRV_SMALL_REPLY] __attribute__((aligned(16)));
};

/* One request on its way to a reply. */
struct vfm_srv_request {
	struct vfm_server *server;
	struct vfm_srv_client *client;
	struct vfm_device *dev;
	struct vfm_vu_msg *msg;
	struct vfm_reader in; /* its payload */
	uint8_t *out;	      /* the reply's, from vfm_srv_reply() */
	size_t out_len;
	const void *data; /* that follows it in the reply; not the request's, stays as it is */
	size_t data_len;
	uint32_t flags;		 /* of the reply's header, beside its type */
	int fds[VFM_VU_MAX_FDS]; /* to go with the reply; borrowed */
	unsigned int nr_fds;
	struct vfm_err err;
};

static inline bool vfm_srv_shows_v2(const struct vfm_server *server)
{
	return server->opts.face != VFM_FACE_V1;
}

/** vfm_srv_log() - tell people. */
void vfm_srv_log(const struct vfm_server *server, const char *fmt, ...) VFM_PRINTF(2, 3);

/* ---- server_socket.c ------------------------------------------------------ */

/** vfm_srv_listen() - a listening socket at opts->path, which the server will remove. */
int vfm_srv_listen(struct vfm_server *server, const char *path, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_srv_unlink() - remove the socket file, if it is still ours. */
void vfm_srv_unlink(struct vfm_server *server);

/* ---- server_client.c ------------------------------------------------------ */

/**
 * vfm_srv_hello() - the first message of a connection
 *
 * Return: whether it is the client now; else the connection is to be closed.
 */
bool vfm_srv_hello(struct vfm_server *server, struct vfm_vu_conn *conn,
		   const struct vfm_vu_msg *msg);

/**
 * vfm_srv_settle() - after a request, and when a reply that waited has gone: its last will holds
 *
 * A client that died before it was answered is not taken at its last word: it did not know that
 * it was heard, and cannot have done what it said it for.
 */
void vfm_srv_settle(struct vfm_srv_client *client);

/** vfm_srv_serve() - requests that are there, but not without end. */
void vfm_srv_serve(struct vfm_server *server);

/** vfm_srv_lose_client() - the client is gone, and its things with it. */
void vfm_srv_lose_client(struct vfm_server *server);

/* ---- server_dispatch.c ---------------------------------------------------- */

/** vfm_srv_handle() - one request, and its reply. Closes the message's descriptors. */
void vfm_srv_handle(struct vfm_server *server, struct vfm_vu_msg *msg);

/**
 * vfm_srv_refuse() - an error reply, a header and no more
 * @code: a negative errno value
 */
int vfm_srv_refuse(struct vfm_vu_conn *conn, const struct vfm_vu_msg *msg, int code);

/**
 * vfm_srv_reply() - room for the body of the reply, not zeroed
 *
 * Return: NULL when there is no memory, which does not happen up to VFM_SRV_SMALL_REPLY bytes.
 */
uint8_t *vfm_srv_reply(struct vfm_srv_request *rq, size_t len);

/* ---- handlers: a request whose fixed part is there ------------------------ */

int vfm_srv_get_info(struct vfm_srv_request *rq);
int vfm_srv_get_region_info(struct vfm_srv_request *rq);
int vfm_srv_get_region_io_fds(struct vfm_srv_request *rq);
int vfm_srv_get_irq_info(struct vfm_srv_request *rq);
int vfm_srv_set_irqs(struct vfm_srv_request *rq);
int vfm_srv_region_read(struct vfm_srv_request *rq);
int vfm_srv_region_write(struct vfm_srv_request *rq);
int vfm_srv_region_write_multi(struct vfm_srv_request *rq);
int vfm_srv_reset(struct vfm_srv_request *rq);
int vfm_srv_dma_map(struct vfm_srv_request *rq);
int vfm_srv_dma_unmap(struct vfm_srv_request *rq);
int vfm_srv_dirty_pages(struct vfm_srv_request *rq);
int vfm_srv_feature(struct vfm_srv_request *rq);
int vfm_srv_data_read(struct vfm_srv_request *rq);
int vfm_srv_data_write(struct vfm_srv_request *rq);

/* Another part of one: payload only. */
int vfm_srv_region_write_more(struct vfm_srv_request *rq);
int vfm_srv_data_write_more(struct vfm_srv_request *rq);

/* ---- what handlers of one file need of another ----------------------------- */

/** vfm_srv_irqs_off() - take all eventfds away from the device. */
void vfm_srv_irqs_off(struct vfm_server *server);

/** vfm_srv_next_pending() - a request that came while we waited. False: there is none. */
bool vfm_srv_next_pending(struct vfm_srv_client *client, struct vfm_srv_pending **pending,
			  struct vfm_vu_msg **msg);
void vfm_srv_free_pending(struct vfm_srv_pending *pending);

/** vfm_srv_shows_v1() - whether clients see protocol v1. */
static inline bool vfm_srv_shows_v1(const struct vfm_server *server)
{
	return server->opts.face != VFM_FACE_V2;
}

/** vfm_srv_unmap_one() - a range that was mapped, exactly. */
int vfm_srv_unmap_one(struct vfm_srv_request *rq, uint64_t iova, uint64_t size);

/**
 * vfm_srv_dirty_unmap() - DMA_UNMAP that wants to know what was written
 * @flags, @iova, @size: of the request, read already
 */
int vfm_srv_dirty_unmap(struct vfm_srv_request *rq, uint32_t argsz, uint32_t flags, uint64_t iova,
			uint64_t size);

/**
 * vfm_srv_log_mapped() - start the device's log over all that is mapped
 * @ranges: room for VFM_MAX_LOG_RANGES; those that are logged now, sorted
 */
int vfm_srv_log_mapped(struct vfm_srv_request *rq, uint64_t *page_size, struct vfm_range *ranges,
		       size_t *nr_ranges);

/* The features of the dirty log; @payload is what follows the fixed part of the request. */
int vfm_srv_log_probe(struct vfm_srv_request *rq);
int vfm_srv_log_start(struct vfm_srv_request *rq);
int vfm_srv_log_stop(struct vfm_srv_request *rq);
int vfm_srv_log_report(struct vfm_srv_request *rq, uint32_t argsz);

#endif
