// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A vfio-user server for tests of the client, in a thread of its own. It shares no
 * code with the library: bytes are put together here by hand, so that both sides
 * cannot be wrong in the same way. It has a small device, plays a server that is
 * strict or one with the quirks of libvfio-user, and lets a test meddle with every reply.
 */

#ifndef VFM_TESTS_CLIENT_PEER_H
#define VFM_TESTS_CLIENT_PEER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vfmig/device.h>

#include "fds.h"
#include "vfio_user/vfio_user.h"

#define PEER_MAX (2u << 20)
#define PEER_REGIONS 9
#define PEER_IRQS 5
#define PEER_VECTORS 40
#define PEER_MAPS 64
#define PEER_LOG_PAGES (1u << 16)

struct peer;

/** struct peer_msg - a message as it came, or as it will go */
struct peer_msg {
	uint16_t id;
	uint16_t command;
	uint32_t flags;
	uint32_t error;
	size_t len;
	uint8_t *bytes; /* payload, room for PEER_MAX */
	int fds[64];
	unsigned int nr_fds;
	/* replies only */
	bool drop;	   /* is not sent */
	size_t cut;	   /* so many bytes of header and payload are sent, then the end; 0: all */
	uint32_t add_size; /* added to the size in the header */
};

/** struct peer_opts - what kind of server; zero is strict, without the extension */
struct peer_opts {
	bool extension;
	bool libvfio;	   /* all the quirks */
	bool no_migration; /* as a server of the v1 era, or one without */
	bool v1;	   /* the log by DIRTY_PAGES and DMA_UNMAP, not by features */
	bool no_unmap_get; /* with v1: DMA_UNMAP does not report */
	bool one_recv;	   /* takes a body only as far as one recv() gives it */
	const char *json;  /* of VERSION, instead of the usual */
	uint64_t migration;
	uint64_t max_xfer;
	unsigned int max_fds;
	/* called before each reply goes out */
	void (*meddle)(struct peer *p, const struct peer_msg *req, struct peer_msg *reply);
	void *user;
};

struct peer_map {
	uint64_t iova, size, fd_offset;
	uint32_t flags;
	int fd;
	uint8_t *dirty; /* libvfio: a byte a page, page size of the log */
};

struct peer {
	struct peer_opts opts;
	pthread_t thread;
	int fd;
	bool joined;

	/* What it saw; read it under the lock, or when it has been joined. */
	pthread_mutex_t lock;
	unsigned int seen[VFM_VU_NR_COMMANDS];
	unsigned int torn; /* bodies that one recv() did not give */
	size_t largest;	   /* body */
	char *wrong;	   /* a request that breaks the protocol, in words */
	uint32_t last_argsz;
	unsigned int reported; /* unmappings with a bitmap */

	/* The device. */
	uint8_t regs[4096];
	uint8_t config[256];
	int mem_fd, full_fd, io_fd;
	int vector_fds[PEER_IRQS][PEER_VECTORS];
	unsigned int nr_irq_messages;
	uint32_t irq_flags;
	uint32_t state;
	unsigned int resets;
	uint32_t orphan;
	uint8_t *out;
	size_t out_len, out_pre, out_pos;
	uint8_t *in;
	size_t in_len;
	struct peer_map maps[PEER_MAPS];
	unsigned int nr_maps;
	bool logging;
	uint64_t log_page;
	struct vfm_range log_ranges[4];
	unsigned int nr_log_ranges;
	uint8_t log_dirty[PEER_LOG_PAGES]; /* strict: pages of 4 KiB from address 0 */
	uint16_t next_id;
	uint8_t *req_bytes, *reply_bytes;
};

/** peer_start() - a server on one end of a socket pair. Return: the other end. */
int peer_start(struct peer *p, const struct peer_opts *opts);

/** peer_open() - the same with a client on it. */
struct vfm_device *peer_open(struct peer *p, const struct peer_opts *opts);

/** peer_stop() - wait for its end (the client must be closed) and check that it saw no wrong
 * request. */
void peer_stop(struct peer *p);

/* For meddlers, in the server's thread: */

/** peer_dma() - DMA_READ or DMA_WRITE. Return: 0 or the errno value of the reply, -1: broken. */
int peer_dma(struct peer *p, uint16_t command, uint64_t iova, void *data, size_t len);

/** peer_send() - any message. */
bool peer_send(struct peer *p, const struct peer_msg *msg);

/** peer_recv() - any message. @msg->bytes is given. */
bool peer_recv(struct peer *p, struct peer_msg *msg);

/** peer_dirty() - the device writes by itself. */
void peer_dirty(struct peer *p, uint64_t iova, uint64_t len);

uint32_t peer_get32(const struct peer_msg *msg, size_t at);
uint64_t peer_get64(const struct peer_msg *msg, size_t at);
void peer_put32(struct peer_msg *msg, size_t at, uint32_t v);
void peer_put64(struct peer_msg *msg, size_t at, uint64_t v);

/** What this thread has sent: calls of sendmsg(), and descriptors with them. */
extern __thread unsigned int sendmsg_calls, fds_sent;

#endif
