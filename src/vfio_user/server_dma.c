// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Mappings of the client's memory, and DMA to memory that came without a descriptor: by messages to
 * the client. The device waits for their answers, and so do we; requests that arrive meanwhile are
 * kept and handled afterwards. A client that does not answer in time, or that sends without end
 * instead, is cut off.
 */

#include "vfio_user/server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* Flags of DMA_MAP that some clients set and that mean nothing to us: how to map the descriptor. */
#define MAP_FLAGS_IGNORED 0xcu

/* A request that came while we waited, with a payload of its own. */
struct vfm_srv_pending {
	struct vfm_srv_pending *next;
	struct vfm_vu_msg msg;
	uint8_t payload[];
};

/* ---- requests that wait ---------------------------------------------------- */

static int keep_pending(struct vfm_srv_client *client, struct vfm_vu_msg *msg)
{
	struct vfm_srv_pending *p;

	if (client->nr_pending >= VFM_SRV_MAX_PENDING ||
	    client->pending_bytes + msg->len > 2 * (client->max_xfer + VFM_SRV_MESSAGE_SLACK))
		return -ENOBUFS;
	p = malloc(sizeof(*p) + msg->len);
	if (!p)
		return -ENOMEM;
	p->next = NULL;
	p->msg = *msg;
	if (msg->len)
		memcpy(p->payload, msg->payload, msg->len);
	p->msg.payload = p->payload;
	*client->pending_end = p;
	client->pending_end = &p->next;
	client->nr_pending++;
	client->pending_bytes += msg->len;
	return 0;
}

bool vfm_srv_next_pending(struct vfm_srv_client *client, struct vfm_srv_pending **pending,
			  struct vfm_vu_msg **msg)
{
	struct vfm_srv_pending *p = client->pending;

	if (!p)
		return false;
	client->pending = p->next;
	if (!p->next)
		client->pending_end = &client->pending;
	client->nr_pending--;
	client->pending_bytes -= p->msg.len;
	*pending = p;
	*msg = &p->msg;
	return true;
}

void vfm_srv_free_pending(struct vfm_srv_pending *pending)
{
	vfm_vu_msg_close_fds(&pending->msg);
	free(pending);
}

/* ---- DMA by messages -------------------------------------------------------- */

static bool is_reply_to(const struct vfm_vu_msg *msg, const struct vfm_vu_out *out)
{
	return (msg->flags & VFM_VU_TYPE_MASK) == VFM_VU_REPLY && msg->id == out->id &&
	       msg->command == out->command;
}

/* A message that came while we wait for another. */
static int put_aside(struct vfm_srv_client *client, struct vfm_vu_msg *msg)
{
	int ret = 0;

	if ((msg->flags & VFM_VU_TYPE_MASK) == VFM_VU_COMMAND)
		ret = keep_pending(client, msg);
	if (ret || (msg->flags & VFM_VU_TYPE_MASK) == VFM_VU_REPLY)
		vfm_vu_msg_close_fds(msg);
	return ret;
}

static int wait_for_answer(struct vfm_server *server, const struct vfm_vu_out *out,
			   struct vfm_vu_msg *msg)
{
	const struct vfm_wait wait = { .timeout_ms = server->opts.timeout_ms, .cancel_fd = -1 };
	uint64_t end = vfm_now_ns() + (uint64_t)wait.timeout_ms * 1000000;

	for (;;) {
		int ret = vfm_vu_conn_recv(server->client.conn, msg, &wait, NULL);

		if (ret < 0)
			return ret;
		if (is_reply_to(msg, out)) {
			vfm_vu_msg_close_fds(msg);
			return 0;
		}
		ret = put_aside(&server->client, msg);
		if (ret)
			return ret;
		if (vfm_now_ns() > end)
			return -ETIMEDOUT;
	}
}

static int answered_error(const struct vfm_vu_msg *msg)
{
	return msg->error > 0 && msg->error < 4096 ? -(int)msg->error : -EIO;
}

/*
 * Send a message and wait for its answer. The request that is being handled stays as it is. Not
 * between the parts of a message, which is the device's state on its way in: no device works then.
 */
static int ask(struct vfm_server *server, struct vfm_vu_out *out, struct vfm_vu_msg *msg)
{
	const struct vfm_wait wait = { .timeout_ms = server->opts.timeout_ms, .cancel_fd = -1 };
	struct vfm_srv_client *client = &server->client;
	int ret;

	if (client->in_parts)
		return -EIO;
	ret = client->handling ? vfm_vu_conn_pin(client->conn, NULL) : 0;
	if (ret)
		return ret;
	ret = vfm_vu_conn_send(client->conn, out, &wait, NULL);
	if (!ret)
		ret = wait_for_answer(server, out, msg);
	if (ret) {
		client->lost = ret;
		return -EIO;
	}
	return msg->flags & VFM_VU_ERROR ? answered_error(msg) : 0;
}

static int read_piece(struct vfm_server *server, uint64_t iova, uint8_t *buf, size_t len)
{
	struct vfm_srv_client *client = &server->client;
	struct vfm_vu_sink sink = { .skip = VFM_VU_DMA_ACCESS_SIZE, .buf = buf, .room = len };
	uint64_t fixed[2] = { iova, len };
	struct iovec body = { fixed, sizeof(fixed) };
	struct vfm_vu_out out = { .command = VFM_VU_DMA_READ, .body = &body, .nr_body = 1 };
	struct vfm_vu_msg msg;
	int ret;

	sink.id = out.id = client->next_id++;
	vfm_vu_conn_set_sink(client->conn, &sink);
	ret = ask(server, &out, &msg);
	vfm_vu_conn_set_sink(client->conn, NULL);
	if (ret)
		return ret;
	return msg.size == VFM_VU_DMA_ACCESS_SIZE + len && sink.got == len ? 0 : -EIO;
}

/* Clients answer a write with nothing, with the address and a count of 4 or of 8 bytes. */
static bool all_written(const struct vfm_vu_msg *msg, size_t len)
{
	struct vfm_reader r = vfm_reader_of(msg->payload, msg->len);

	vfm_read_he64(&r);
	return r.left < sizeof(uint32_t) || vfm_read_he32(&r) == (uint32_t)len;
}

static int write_piece(struct vfm_server *server, uint64_t iova, const uint8_t *buf, size_t len)
{
	uint64_t fixed[2] = { iova, len };
	struct iovec body[2] = { { fixed, sizeof(fixed) }, { (void *)(uintptr_t)buf, len } };
	struct vfm_vu_out out = { .command = VFM_VU_DMA_WRITE, .body = body, .nr_body = 2 };
	struct vfm_vu_msg msg;
	int ret;

	out.id = server->client.next_id++;
	ret = ask(server, &out, &msg);
	if (ret)
		return ret;
	return all_written(&msg, len) ? 0 : -EIO;
}

static int dma_read(void *user, uint64_t iova, void *buf, size_t len)
{
	struct vfm_server *server = user;
	size_t done = 0;

	while (done < len) {
		size_t n = VFM_MIN(len - done, server->client.max_xfer);
		int ret = server->client.lost
				  ? -EIO
				  : read_piece(server, iova + done, (uint8_t *)buf + done, n);

		if (ret)
			return ret;
		done += n;
	}
	return 0;
}

static int dma_write(void *user, uint64_t iova, const void *buf, size_t len)
{
	struct vfm_server *server = user;
	size_t done = 0;

	while (done < len) {
		size_t n = VFM_MIN(len - done, server->client.max_xfer);
		int ret = server->client.lost ? -EIO
					      : write_piece(server, iova + done,
							    (const uint8_t *)buf + done, n);

		if (ret)
			return ret;
		done += n;
	}
	return 0;
}

/* ---- mappings ---------------------------------------------------------------- */

static int map(struct vfm_srv_request *rq, const struct vfm_dma_map *m)
{
	struct vfm_iova_map *maps = &rq->client->maps;
	int ret;

	if (maps->count >= rq->client->max_maps)
		return vfm_fail(&rq->err, -ENOSPC, "%zu ranges are mapped", maps->count);
	ret = vfm_iova_map_add(maps, m->iova, m->size, NULL);
	if (ret)
		return vfm_fail(&rq->err, ret, "map 0x%" PRIx64 ", size 0x%" PRIx64, m->iova,
				m->size);
	ret = vfm_device_map_dma(rq->dev, m, &rq->err);
	if (ret)
		vfm_iova_map_remove(maps, m->iova, m->size, NULL);
	return ret;
}

int vfm_srv_dma_map(struct vfm_srv_request *rq)
{
	struct vfm_dma_map m = { .fd = -1 };

	vfm_read_he32(&rq->in); /* argsz: there is no answer */
	m.flags = vfm_read_he32(&rq->in) & ~MAP_FLAGS_IGNORED;
	m.fd_offset = vfm_read_he64(&rq->in);
	m.iova = vfm_read_he64(&rq->in);
	m.size = vfm_read_he64(&rq->in);
	if (rq->msg->nr_fds > 1)
		return vfm_fail(&rq->err, -EINVAL, "map: %u descriptors", rq->msg->nr_fds);
	if (rq->msg->nr_fds)
		m.fd = rq->msg->fds[0];
	else
		m.access = (struct vfm_dma_access){ dma_read, dma_write, rq->server };
	return map(rq, &m);
}

static int unmap_all(struct vfm_srv_request *rq, uint64_t iova, uint64_t size)
{
	int ret;

	if (iova || size)
		return vfm_fail(&rq->err, -EINVAL, "unmap all: with a range");
	ret = vfm_device_unmap_all(rq->dev, &rq->err);
	if (!ret)
		rq->client->maps.count = 0;
	return ret;
}

int vfm_srv_unmap_one(struct vfm_srv_request *rq, uint64_t iova, uint64_t size)
{
	struct vfm_iova_map *maps = &rq->client->maps;
	const struct vfm_iova_entry *e = vfm_iova_map_find(maps, iova);
	int ret;

	if (!size || vfm_range_wraps(iova, size))
		return vfm_fail(&rq->err, -EINVAL, "unmap 0x%" PRIx64 ", size 0x%" PRIx64, iova,
				size);
	if (!e || e->iova != iova || e->size != size)
		return vfm_fail(&rq->err, -ENOENT,
				"unmap 0x%" PRIx64 ", size 0x%" PRIx64 ": not mapped", iova, size);
	ret = vfm_device_unmap_dma(rq->dev, iova, size, &rq->err);
	return ret ? ret : vfm_iova_map_remove(maps, iova, size, NULL);
}

int vfm_srv_dma_unmap(struct vfm_srv_request *rq)
{
	uint32_t argsz = vfm_read_he32(&rq->in);
	uint32_t flags = vfm_read_he32(&rq->in);
	uint64_t iova = vfm_read_he64(&rq->in);
	uint64_t size = vfm_read_he64(&rq->in);
	int ret;

	if (flags & VFM_VU_UNMAP_GET_BITMAP)
		return vfm_srv_dirty_unmap(rq, argsz, flags, iova, size);
	if (flags & ~VFM_VU_UNMAP_ALL)
		return vfm_fail(&rq->err, -EINVAL, "unmap: flags 0x%" PRIx32, flags);
	ret = flags ? unmap_all(rq, iova, size) : vfm_srv_unmap_one(rq, iova, size);
	if (!ret)
		memcpy(vfm_srv_reply(rq, VFM_VU_DMA_UNMAP_SIZE), rq->msg->payload,
		       VFM_VU_DMA_UNMAP_SIZE);
	return ret;
}
