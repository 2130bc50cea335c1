// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "client-peer.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#define HEADER 16

/* ---- the seam ------------------------------------------------------------------ */

__thread unsigned int sendmsg_calls, fds_sent;

/*
 * In the place of libc's, for the whole program: they count, and tell the thread
 * sanitizer that what was sent happened before what was received.
 */
static unsigned int happened;

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	const struct cmsghdr *c = CMSG_FIRSTHDR(msg);

	sendmsg_calls++;
	if (msg->msg_controllen && c)
		fds_sent += (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	__atomic_add_fetch(&happened, 1, __ATOMIC_ACQ_REL);
	return syscall(SYS_sendmsg, fd, msg, flags);
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t n = syscall(SYS_recvmsg, fd, msg, flags);

	__atomic_add_fetch(&happened, 1, __ATOMIC_ACQ_REL);
	return n;
}

/* ---- bytes -------------------------------------------------------------------- */

uint32_t peer_get32(const struct peer_msg *msg, size_t at)
{
	uint32_t v = 0;

	if (at + sizeof(v) <= msg->len)
		memcpy(&v, msg->bytes + at, sizeof(v));
	return v;
}

uint64_t peer_get64(const struct peer_msg *msg, size_t at)
{
	uint64_t v = 0;

	if (at + sizeof(v) <= msg->len)
		memcpy(&v, msg->bytes + at, sizeof(v));
	return v;
}

void peer_put32(struct peer_msg *msg, size_t at, uint32_t v)
{
	memcpy(msg->bytes + at, &v, sizeof(v));
	if (msg->len < at + sizeof(v))
		msg->len = at + sizeof(v);
}

void peer_put64(struct peer_msg *msg, size_t at, uint64_t v)
{
	memcpy(msg->bytes + at, &v, sizeof(v));
	if (msg->len < at + sizeof(v))
		msg->len = at + sizeof(v);
}

VFM_PRINTF(2, 3) static void wrong(struct peer *p, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!p->wrong)
		p->wrong = strdup(text);
}

/* ---- messages ------------------------------------------------------------------ */

static void close_fds(struct peer_msg *msg)
{
	for (unsigned int i = 0; i < msg->nr_fds; i++) {
		if (msg->fds[i] >= 0)
			close(msg->fds[i]);
	}
	msg->nr_fds = 0;
}

static void take_fds(struct msghdr *mh, struct peer_msg *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_type != SCM_RIGHTS)
			continue;
		msg->nr_fds = (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(msg->fds, CMSG_DATA(c), msg->nr_fds * sizeof(int));
	}
}

/* As libvfio-user does: the body is what one recv() gives. */
static bool recv_body(struct peer *p, struct peer_msg *msg)
{
	size_t done = 0;

	while (done < msg->len) {
		struct iovec iov = { msg->bytes + done, msg->len - done };
		struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n = recvmsg(p->fd, &mh, 0);

		if (n <= 0)
			return false;
		done += (size_t)n;
		if (done < msg->len) {
			p->torn++;
			if (p->opts.one_recv)
				return false;
		}
	}
	return true;
}

bool peer_recv(struct peer *p, struct peer_msg *msg)
{
	uint8_t header[HEADER];
	union {
		struct cmsghdr align;
		uint8_t mem[CMSG_SPACE(sizeof(int) * 64)];
	} control;
	struct iovec iov = { header, sizeof(header) };
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control) };
	uint32_t size;
	ssize_t n;

	msg->nr_fds = 0;
	n = recvmsg(p->fd, &mh, 0);
	if (n > 0)
		take_fds(&mh, msg);
	if (n != HEADER)
		return false;
	memcpy(&msg->id, header, 2);
	memcpy(&msg->command, header + 2, 2);
	memcpy(&size, header + 4, 4);
	memcpy(&msg->flags, header + 8, 4);
	memcpy(&msg->error, header + 12, 4);
	msg->len = size - HEADER;
	if (size < HEADER || msg->len > PEER_MAX) {
		wrong(p, "command %u has a size of %u", msg->command, size);
		return false;
	}
	return recv_body(p, msg);
}

bool peer_send(struct peer *p, const struct peer_msg *msg)
{
	uint8_t header[HEADER];
	union {
		struct cmsghdr align;
		uint8_t mem[CMSG_SPACE(sizeof(int) * 64)];
	} control = { .mem = { 0 } };
	struct iovec iov[2] = { { header, sizeof(header) }, { msg->bytes, msg->len } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2 };
	uint32_t size = (uint32_t)(HEADER + msg->len) + msg->add_size;
	size_t left = HEADER + msg->len;

	memcpy(header, &msg->id, 2);
	memcpy(header + 2, &msg->command, 2);
	memcpy(header + 4, &size, 4);
	memcpy(header + 8, &msg->flags, 4);
	memcpy(header + 12, &msg->error, 4);
	if (msg->cut) {
		left = msg->cut;
		iov[0].iov_len = left < HEADER ? left : HEADER;
		iov[1].iov_len = left - iov[0].iov_len;
	}
	if (msg->nr_fds) {
		struct cmsghdr *c;

		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * msg->nr_fds);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * msg->nr_fds);
		memcpy(CMSG_DATA(c), msg->fds, sizeof(int) * msg->nr_fds);
	}
	while (left) {
		ssize_t n = sendmsg(p->fd, &mh, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		left -= (size_t)n;
		mh.msg_controllen = 0;
		for (int i = 0; i < 2; i++) {
			size_t part = (size_t)n < iov[i].iov_len ? (size_t)n : iov[i].iov_len;

			iov[i].iov_base = (uint8_t *)iov[i].iov_base + part;
			iov[i].iov_len -= part;
			n -= (ssize_t)part;
		}
	}
	return true;
}

int peer_dma(struct peer *p, uint16_t command, uint64_t iova, void *data, size_t len)
{
	struct peer_msg msg = { .id = p->next_id++, .command = command };
	uint64_t count = len;
	int ret = -1;

	msg.bytes = malloc(PEER_MAX);
	assert_non_null(msg.bytes);
	memset(msg.bytes, 0xee, PEER_MAX);
	peer_put64(&msg, 0, iova);
	peer_put64(&msg, 8, count);
	if (command == VFM_VU_DMA_WRITE) {
		memcpy(msg.bytes + 16, data, len);
		msg.len += len;
	}
	if (!peer_send(p, &msg) || !peer_recv(p, &msg))
		goto out;
	if (msg.id != (uint16_t)(p->next_id - 1) || msg.command != command ||
	    (msg.flags & 0xf) != 1) {
		wrong(p, "DMA was answered by id %u, command %u, flags 0x%x", msg.id, msg.command,
		      msg.flags);
		goto out;
	}
	ret = (int)msg.error;
	if (!!(msg.flags & 0x20) != (ret != 0) || (ret && msg.len))
		wrong(p, "DMA reply: flags 0x%x, error %d, %zu bytes", msg.flags, ret, msg.len);
	if (ret)
		goto out;
	if (peer_get64(&msg, 0) != iova || peer_get64(&msg, 8) != count ||
	    msg.len != 16 + (command == VFM_VU_DMA_READ ? len : 0))
		wrong(p, "DMA reply of %zu bytes", msg.len);
	else if (command == VFM_VU_DMA_READ)
		memcpy(data, msg.bytes + 16, len);
out:
	free(msg.bytes);
	return ret;
}

/* ---- description ----------------------------------------------------------------- */

static int do_version(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	char json[256];
	const char *text = p->opts.json;

	if (req->len < 5 || req->bytes[req->len - 1] ||
	    strlen((char *)req->bytes + 4) + 5 != req->len)
		wrong(p, "VERSION of %zu bytes", req->len);
	if (!text) {
		snprintf(json, sizeof(json),
			 "{ \"capabilities\": { \"max_msg_fds\": %u, \"max_data_xfer_size\": "
			 "%llu%s%s } }",
			 p->opts.max_fds, (unsigned long long)p->opts.max_xfer,
			 p->opts.libvfio ? ", \"migration\": { \"pgsize\": 4096 }" : "",
			 p->opts.extension ? ", \"vfmig\": { \"version\": 1 }" : "");
		text = json;
	}
	peer_put32(reply, 0, 2u << 16);
	memcpy(reply->bytes + 4, text, strlen(text) + 1);
	reply->len = 4 + strlen(text) + 1;
	return 0;
}

static int do_info(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	if (req->len != 16 || peer_get32(req, 0) != 16)
		wrong(p, "GET_INFO of %zu bytes", req->len);
	peer_put32(reply, 0, 16);
	peer_put32(reply, 4, 3);
	peer_put32(reply, 8, PEER_REGIONS);
	peer_put32(reply, 12, PEER_IRQS);
	return 0;
}

static void put_region(struct peer_msg *reply, uint32_t argsz, uint32_t flags, uint32_t index,
		       uint32_t caps, uint64_t size, uint64_t offset)
{
	peer_put32(reply, 0, argsz);
	peer_put32(reply, 4, flags);
	peer_put32(reply, 8, index);
	peer_put32(reply, 12, caps);
	peer_put64(reply, 16, size);
	peer_put64(reply, 24, offset);
}

/* Areas out of order, and a capability that nobody knows in between. */
static void put_caps(struct peer_msg *reply)
{
	peer_put32(reply, 32, 2 | 1 << 16); /* type */
	peer_put32(reply, 36, 48);
	peer_put32(reply, 40, 0x10de);
	peer_put32(reply, 44, 7);
	peer_put32(reply, 48, 77 | 9 << 16);
	peer_put32(reply, 52, 64);
	peer_put64(reply, 56, ~UINT64_C(0));
	peer_put32(reply, 64, 1 | 1 << 16); /* sparse */
	peer_put32(reply, 68, 0);
	peer_put32(reply, 72, 2);
	peer_put32(reply, 76, 0);
	peer_put64(reply, 80, 0x4000);
	peer_put64(reply, 88, 0x4000);
	peer_put64(reply, 96, 0x1000);
	peer_put64(reply, 104, 0x1000);
}

static int do_region_info(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	uint32_t argsz = peer_get32(req, 0), index = peer_get32(req, 8);

	if (req->len != 32 || argsz < 32)
		wrong(p, "GET_REGION_INFO of %zu bytes, argsz %u", req->len, argsz);
	if (index >= PEER_REGIONS)
		return EINVAL;
	put_region(reply, 32, 0, index, 0, 0, 0);
	if (index == 0)
		put_region(reply, 32, 3, index, 0, sizeof(p->regs), 0);
	if (index == 1)
		put_region(reply, 112, argsz < 112 ? 7 : 15, index, argsz < 112 ? 0 : 32, 0x10000,
			   0x2000);
	if (index == 1 && argsz >= 112) {
		put_caps(reply);
		reply->fds[reply->nr_fds++] = p->mem_fd;
	}
	if (index == 2) {
		put_region(reply, 32, 7, index, 0, 0x3000, 0);
		reply->fds[reply->nr_fds++] = p->full_fd;
	}
	if (index == 3)
		put_region(reply, 32, 1, index, 0, 0, 0);
	if (index == 7)
		put_region(reply, 32, 3, index, 0, sizeof(p->config), 0);
	return 0;
}

static int do_io_fds(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	size_t stride = p->opts.libvfio ? 48 : 40;
	uint32_t argsz = peer_get32(req, 0), index = peer_get32(req, 8);
	uint32_t count = index == 0 ? 2 : 0;

	if (req->len != 16 || peer_get32(req, 4) || peer_get32(req, 12))
		wrong(p, "GET_REGION_IO_FDS of %zu bytes", req->len);
	peer_put32(reply, 0, (uint32_t)(16 + count * stride));
	peer_put32(reply, 4, 0);
	peer_put32(reply, 8, index);
	peer_put32(reply, 12, count);
	if (argsz < 16 + count * stride)
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		size_t at = 16 + i * stride;

		memset(reply->bytes + at, 0, stride);
		peer_put64(reply, at, 0x100 + 4 * i);
		peer_put64(reply, at + 8, 4);
		peer_put32(reply, at + 16, 0);
		peer_put32(reply, at + 20, 0);
		peer_put32(reply, at + 24, 1);
		peer_put64(reply, at + stride - 8, 0xd00d + i);
	}
	if (count)
		reply->fds[reply->nr_fds++] = p->io_fd;
	return 0;
}

static uint32_t irq_count(uint32_t index)
{
	static const uint32_t counts[PEER_IRQS] = { 1, 0, PEER_VECTORS, 1, 1 };

	return counts[index];
}

static int do_irq_info(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	uint32_t index = peer_get32(req, 8);

	if (req->len != 16 || peer_get32(req, 0) != 16)
		wrong(p, "GET_IRQ_INFO of %zu bytes", req->len);
	if (index >= PEER_IRQS)
		return EINVAL;
	peer_put32(reply, 0, 16);
	peer_put32(reply, 4, index ? 9 : 7);
	peer_put32(reply, 8, index);
	peer_put32(reply, 12, irq_count(index));
	return 0;
}

static int do_set_irqs(struct peer *p, struct peer_msg *req, struct peer_msg *reply)
{
	uint32_t flags = peer_get32(req, 4), index = peer_get32(req, 8);
	uint32_t start = peer_get32(req, 12), count = peer_get32(req, 16);
	size_t want = 20 + (flags & 2 ? count : 0);

	(void)reply;
	if (req->len != want || peer_get32(req, 0) != want)
		wrong(p, "SET_IRQS of %zu bytes, argsz %u, not %zu", req->len, peer_get32(req, 0),
		      want);
	if (req->nr_fds > p->opts.max_fds || (req->nr_fds && req->nr_fds != count))
		wrong(p, "SET_IRQS with %u descriptors for %u", req->nr_fds, count);
	if (index >= PEER_IRQS || start + count > irq_count(index))
		return EINVAL;
	p->nr_irq_messages++;
	p->irq_flags = flags;
	for (uint32_t i = 0; flags & 4 && i < count; i++) {
		int *slot = &p->vector_fds[index][start + i];

		if (*slot >= 0)
			close(*slot);
		*slot = -1;
		if (i < req->nr_fds) {
			*slot = req->fds[i];
			req->fds[i] = -1;
		}
	}
	return 0;
}

/* ---- regions ---------------------------------------------------------------------- */

static uint8_t *region_bytes(struct peer *p, const struct peer_msg *req)
{
	uint64_t offset = peer_get64(req, 0);
	uint32_t region = peer_get32(req, 8), count = peer_get32(req, 12);

	if (count > p->opts.max_xfer)
		wrong(p, "access of %u bytes", count);
	if (region == 0 && offset + count <= sizeof(p->regs))
		return p->regs + offset;
	if (region == 7 && offset + count <= sizeof(p->config))
		return p->config + offset;
	return NULL;
}

static int do_region_read(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	uint32_t count = peer_get32(req, 12), region = peer_get32(req, 8);
	uint64_t offset = peer_get64(req, 0);
	uint8_t *bytes = region_bytes(p, req);

	if (req->len != 16)
		wrong(p, "REGION_READ of %zu bytes", req->len);
	memcpy(reply->bytes, req->bytes, 16);
	reply->len = 16 + count;
	if (bytes)
		memcpy(reply->bytes + 16, bytes, count);
	else if (region == 1 || region == 2)
		return pread(region == 1 ? p->mem_fd : p->full_fd, reply->bytes + 16, count,
			     (off_t)(offset + (region == 1 ? 0x2000 : 0))) == (ssize_t)count
			       ? 0
			       : EINVAL;
	return bytes ? 0 : EINVAL;
}

static int do_region_write(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	uint32_t count = peer_get32(req, 12), region = peer_get32(req, 8);
	uint64_t offset = peer_get64(req, 0);
	uint8_t *bytes = region_bytes(p, req);

	if (req->len != 16 + count)
		wrong(p, "REGION_WRITE of %zu bytes for %u", req->len, count);
	memcpy(reply->bytes, req->bytes, 16);
	reply->len = 16;
	if (bytes)
		memcpy(bytes, req->bytes + 16, count);
	else if (region == 1 || region == 2)
		return pwrite(region == 1 ? p->mem_fd : p->full_fd, req->bytes + 16, count,
			      (off_t)(offset + (region == 1 ? 0x2000 : 0))) == (ssize_t)count
			       ? 0
			       : EINVAL;
	return bytes ? 0 : EINVAL;
}

/* ---- DMA --------------------------------------------------------------------------- */

static int do_map(struct peer *p, struct peer_msg *req, struct peer_msg *reply)
{
	struct peer_map *m = &p->maps[p->nr_maps];

	(void)reply;
	if (req->len != 32 || peer_get32(req, 0) != 32 || req->nr_fds > 1)
		wrong(p, "DMA_MAP of %zu bytes, %u descriptors", req->len, req->nr_fds);
	if (p->nr_maps == PEER_MAPS)
		return ENOSPC;
	*m = (struct peer_map){ .flags = peer_get32(req, 4),
				.fd_offset = peer_get64(req, 8),
				.iova = peer_get64(req, 16),
				.size = peer_get64(req, 24),
				.fd = -1 };
	if (req->nr_fds) {
		m->fd = req->fds[0];
		req->fds[0] = -1;
	}
	m->dirty = calloc(1, m->size / 4096 + 2);
	p->nr_maps++;
	return 0;
}

static void drop_map(struct peer *p, unsigned int i)
{
	if (p->maps[i].fd >= 0)
		close(p->maps[i].fd);
	free(p->maps[i].dirty);
	p->maps[i] = p->maps[--p->nr_maps];
}

static int report_v1(struct peer *p, const struct peer_msg *req, struct peer_msg *reply);

static int do_unmap(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	uint32_t flags = peer_get32(req, 4);

	if (flags & 1) {
		int ret = p->opts.no_unmap_get ? EINVAL : report_v1(p, req, reply);

		if (ret)
			return ret;
		p->reported++;
		for (unsigned int i = 0; i < p->nr_maps; i++) {
			if (p->maps[i].iova == peer_get64(req, 8))
				drop_map(p, i);
		}
		return 0;
	}
	if (req->len != 24 || peer_get32(req, 0) != 24 || (flags && !p->opts.extension))
		wrong(p, "DMA_UNMAP of %zu bytes, flags %u", req->len, flags);
	memcpy(reply->bytes, req->bytes, 24);
	reply->len = 24;
	if (flags & 2) {
		while (p->nr_maps)
			drop_map(p, 0);
		return 0;
	}
	for (unsigned int i = 0; i < p->nr_maps; i++) {
		if (p->maps[i].iova == peer_get64(req, 8) &&
		    p->maps[i].size == peer_get64(req, 16)) {
			drop_map(p, i);
			return 0;
		}
	}
	return ENOENT;
}

/* ---- migration ---------------------------------------------------------------------- */

static int set_state(struct peer *p, uint32_t state)
{
	bool saving = state == 3 || state == 6 || state == 7;
	bool was_saving = p->state == 3 || p->state == 6 || p->state == 7;

	if (state > 7 || state == 0 || (p->state == 3 && (state == 6 || state == 7)))
		return EINVAL;
	if ((state == 5 || state == 7) && !(p->opts.migration & 2))
		return EINVAL;
	if (saving && !was_saving)
		p->out_pos = 0;
	if (state == 4 && p->state != 4)
		p->in_len = 0;
	p->state = state;
	return 0;
}

static int do_data_read(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	uint32_t argsz = peer_get32(req, 0), size = peer_get32(req, 4);
	size_t end = p->state == 3 ? p->out_len : p->out_pre;
	size_t n = end > p->out_pos ? end - p->out_pos : 0;

	if (req->len != 8 || argsz != 8 + size || !size || size > p->opts.max_xfer)
		wrong(p, "MIG_DATA_READ of %zu bytes, argsz %u, size %u", req->len, argsz, size);
	if (p->state != 3 && p->state != 6 && p->state != 7)
		return EINVAL;
	n = n < size ? n : size;
	peer_put32(reply, 0, p->opts.libvfio ? 8 + size : (uint32_t)(8 + n));
	peer_put32(reply, 4, (uint32_t)n);
	memcpy(reply->bytes + 8, p->out + p->out_pos, n);
	reply->len = 8 + n;
	p->out_pos += n;
	if (p->opts.libvfio) {
		memset(reply->bytes + 8 + n, 0, size - n);
		reply->len = 8 + size;
	}
	return 0;
}

static int do_data_write(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	uint32_t argsz = peer_get32(req, 0), size = peer_get32(req, 4);

	(void)reply;
	if (req->len != 8 + (size_t)size || argsz != 8 + size || size > p->opts.max_xfer)
		wrong(p, "MIG_DATA_WRITE of %zu bytes, argsz %u, size %u", req->len, argsz, size);
	if (p->state != 4)
		return EINVAL;
	p->in = realloc(p->in, p->in_len + size);
	memcpy(p->in + p->in_len, req->bytes + 8, size);
	p->in_len += size;
	return 0;
}

void peer_dirty(struct peer *p, uint64_t iova, uint64_t len)
{
	for (uint64_t page = iova / 4096; page <= (iova + len - 1) / 4096; page++) {
		if (page < PEER_LOG_PAGES && !p->opts.libvfio)
			p->log_dirty[page] = 1;
	}
	for (unsigned int i = 0; i < p->nr_maps && p->opts.libvfio && p->logging; i++) {
		struct peer_map *m = &p->maps[i];

		for (uint64_t at = iova; at < iova + len; at++) {
			if (at >= m->iova && at - m->iova < m->size)
				m->dirty[(at - m->iova) / p->log_page] = 1;
		}
	}
}

/* Only a whole mapping, with a descriptor, in the page size of the start. */
static int report_mapping(struct peer *p, uint64_t iova, uint64_t size, uint64_t page,
			  struct peer_msg *reply)
{
	struct peer_map *m = NULL;
	uint64_t pages = (size + page - 1) / page;

	for (unsigned int i = 0; i < p->nr_maps; i++) {
		if (p->maps[i].iova <= iova && iova - p->maps[i].iova < p->maps[i].size)
			m = &p->maps[i];
	}
	if (!m)
		return ENOENT;
	if (iova + size > m->iova + m->size) {
		reply->len = 0; /* "success" */
		return 0;
	}
	if (iova != m->iova || size != m->size)
		return ENOTSUP;
	if (m->fd < 0 || page != p->log_page || size < page) {
		wrong(p, "REPORT of a mapping %s, page size %llu",
		      m->fd < 0 ? "without descriptor" : "in another or too large",
		      (unsigned long long)page);
		return EINVAL;
	}
	for (uint64_t i = 0; i < pages; i++) {
		if (m->dirty[i])
			reply->bytes[32 + i / 8] |= (uint8_t)(1u << i % 8);
		m->dirty[i] = 0;
	}
	return 0;
}

static void report_all(struct peer *p, uint64_t iova, uint64_t size, uint64_t page,
		       struct peer_msg *reply)
{
	for (uint64_t at = iova / 4096; at <= (iova + size - 1) / 4096; at++) {
		uint64_t bit = (at * 4096 - iova) / page;

		if (at >= PEER_LOG_PAGES || !p->log_dirty[at])
			continue;
		reply->bytes[32 + bit / 8] |= (uint8_t)(1u << bit % 8);
		p->log_dirty[at] = 0;
	}
}

static bool is_logged(const struct peer *p, uint64_t iova, uint64_t size)
{
	for (unsigned int i = 0; i < p->nr_log_ranges; i++) {
		const struct vfm_range *r = &p->log_ranges[i];

		if (iova >= r->iova && iova + size <= r->iova + r->size)
			return true;
	}
	return false;
}

static int do_report(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	uint64_t iova = peer_get64(req, 8), size = peer_get64(req, 16), page = peer_get64(req, 24);
	uint64_t pages, bytes;

	if (req->len != 32 || !page || !size) {
		wrong(p, "REPORT of %zu bytes", req->len);
		return EINVAL;
	}
	pages = (size + page - 1) / page;
	bytes = (pages + 63) / 64 * 8;
	if (peer_get32(req, 0) != 32 + bytes)
		wrong(p, "REPORT: argsz %u, not %llu", peer_get32(req, 0),
		      (unsigned long long)(32 + bytes));
	if (!p->logging || 32 + bytes > PEER_MAX)
		return EINVAL;
	memcpy(reply->bytes, req->bytes, 32);
	memset(reply->bytes + 32, 0, bytes);
	reply->len = 32 + bytes;
	if (p->opts.libvfio)
		return report_mapping(p, iova, size, page, reply);
	if (iova % page || !is_logged(p, iova, size))
		return EINVAL;
	report_all(p, iova, size, page, reply);
	return 0;
}

/* A whole mapping, in pages of 4096: GET and the unmapping put the same behind argsz and flags. */
static int report_v1(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	uint64_t iova = peer_get64(req, 8), size = peer_get64(req, 16);
	uint64_t bytes = (size / 4096 + 63) / 64 * 8;
	struct peer_map *m = NULL;

	for (unsigned int i = 0; i < p->nr_maps; i++) {
		if (p->maps[i].iova == iova && p->maps[i].size == size)
			m = &p->maps[i];
	}
	if (req->len != 40 || peer_get32(req, 0) != 40 + bytes || peer_get64(req, 24) != 4096 ||
	    peer_get64(req, 32) != bytes || (iova | size) % 4096 || !m || m->fd < 0)
		wrong(p, "asked for dirty pages in %zu bytes: 0x%llx+0x%llx by %llu, argsz %u",
		      req->len, (unsigned long long)iova, (unsigned long long)size,
		      (unsigned long long)peer_get64(req, 24), peer_get32(req, 0));
	if (!p->logging || !m || 40 + bytes > PEER_MAX)
		return EINVAL;
	memcpy(reply->bytes, req->bytes, 40);
	memset(reply->bytes + 40, 0, bytes);
	reply->len = 40 + bytes;
	for (uint64_t i = 0; i < size / 4096; i++) {
		uint8_t *page = p->opts.libvfio ? &m->dirty[i] : &p->log_dirty[iova / 4096 + i];

		if (*page)
			reply->bytes[40 + i / 8] |= (uint8_t)(1u << i % 8);
		*page = 0;
	}
	return 0;
}

static void clear_log(struct peer *p)
{
	memset(p->log_dirty, 0, sizeof(p->log_dirty));
	for (unsigned int i = 0; i < p->nr_maps; i++)
		memset(p->maps[i].dirty, 0, p->maps[i].size / 4096 + 2);
}

static int do_dirty(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	uint32_t flags = peer_get32(req, 4);

	if (!p->opts.v1)
		return p->opts.libvfio ? EINVAL : ENOTTY;
	if (flags == 4)
		return report_v1(p, req, reply);
	if (req->len != 8 || peer_get32(req, 0) != 8 || (flags != 1 && flags != 2))
		wrong(p, "DIRTY_PAGES of %zu bytes, flags %u", req->len, flags);
	if (flags == 1 && !p->logging)
		clear_log(p);
	p->logging = flags == 1;
	p->log_page = 4096;
	if (p->opts.libvfio)
		return 0; /* a header alone */
	memcpy(reply->bytes, req->bytes, 8);
	reply->len = 8;
	return 0;
}

static int do_start(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	uint64_t page = peer_get64(req, 8);
	uint32_t nr = peer_get32(req, 16);

	if (req->len != 24 + 16 * (size_t)nr || peer_get32(req, 0) != req->len || !nr)
		wrong(p, "START of %zu bytes with %u ranges", req->len, nr);
	if (p->logging || (page & (page - 1)) || !page)
		return EINVAL;
	p->logging = true;
	p->log_page = page;
	p->nr_log_ranges = nr < 4 ? nr : 4;
	memcpy(p->log_ranges, req->bytes + 24, p->nr_log_ranges * sizeof(p->log_ranges[0]));
	clear_log(p);
	memcpy(reply->bytes, req->bytes, req->len);
	reply->len = req->len;
	return 0;
}

static int do_ext_feature(struct peer *p, const struct peer_msg *req, struct peer_msg *reply,
			  uint32_t flags)
{
	uint32_t argsz = peer_get32(req, 0);

	switch (flags) {
	case 0x10009:
		peer_put64(reply, 8, p->out_len);
		break;
	case 0x1f001:
		peer_put64(reply, 8, p->out_pre > p->out_pos ? p->out_pre - p->out_pos : 0);
		peer_put64(reply, 16, 77);
		peer_put64(reply, 24, 1);
		break;
	case 0x2f002:
		if (req->len != 16)
			wrong(p, "ORPHAN of %zu bytes", req->len);
		p->orphan = peer_get32(req, 8);
		memcpy(reply->bytes, req->bytes, req->len);
		reply->len = req->len;
		return 0;
	case 0x1f003:
		memset(reply->bytes + 8, 0, 16 + 64 + 512);
		peer_put32(reply, 8, 5);
		peer_put32(reply, 12, 3);
		peer_put32(reply, 16, 0xff); /* bits that we do not know */
		memcpy(reply->bytes + 24, "peer,model", 10);
		memcpy(reply->bytes + 24 + 64, "a=b", 3);
		reply->len = 8 + 16 + 64 + 512;
		break;
	default:
		return ENOTTY;
	}
	if (req->len != 8 || argsz != reply->len)
		wrong(p, "feature 0x%x: %zu bytes, argsz %u", flags, req->len, argsz);
	return 0;
}

static int do_feature(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	uint32_t flags = peer_get32(req, 4);
	int ret = 0;

	if (p->opts.no_migration)
		return EINVAL;
	if (p->opts.v1 && (flags & 0xffff) >= 6 && (flags & 0xffff) <= 8)
		return p->opts.libvfio ? EINVAL : ENOTTY;
	peer_put32(reply, 0, peer_get32(req, 0));
	peer_put32(reply, 4, flags);
	switch (flags) {
	case 0x10001:
		if (req->len != 8 || peer_get32(req, 0) != 16)
			wrong(p, "GET MIGRATION of %zu bytes", req->len);
		peer_put64(reply, 8, p->opts.migration);
		return 0;
	case 0x10002:
		if (req->len != 8 || peer_get32(req, 0) != 16)
			wrong(p, "GET state of %zu bytes", req->len);
		peer_put32(reply, 8, p->state);
		peer_put32(reply, 12, p->opts.libvfio ? 0 : UINT32_MAX);
		return 0;
	case 0x20002:
		if (req->len != 16 || peer_get32(req, 0) != 16 || peer_get32(req, 8) > 7)
			wrong(p, "SET state of %zu bytes", req->len);
		ret = set_state(p, peer_get32(req, 8));
		memcpy(reply->bytes, req->bytes, 16);
		reply->len = 16;
		return ret;
	case 0x20006:
		return do_start(p, req, reply);
	case 0x20007:
		if (req->len != 8 || peer_get32(req, 0) != 8)
			wrong(p, "STOP of %zu bytes", req->len);
		if (!p->logging && !p->opts.libvfio)
			return EINVAL;
		p->logging = false;
		return 0;
	case 0x10008:
		return do_report(p, req, reply);
	case 0x60006:
		return 0;
	}
	ret = p->opts.extension ? do_ext_feature(p, req, reply, flags) : EINVAL;
	return ret;
}

/* ---- the loop ------------------------------------------------------------------------- */

static int do_reset(struct peer *p, const struct peer_msg *req)
{
	if (req->len)
		wrong(p, "RESET of %zu bytes", req->len);
	p->resets++;
	p->state = p->opts.libvfio ? p->state : 2;
	return 0;
}

/* What libvfio-user does not do while the device is stopped. */
static bool gated(const struct peer *p, uint16_t command)
{
	static const uint32_t runs = 1u << VFM_VU_REGION_READ | 1u << VFM_VU_REGION_WRITE |
				     1u << VFM_VU_DEVICE_FEATURE | 1u << VFM_VU_MIG_DATA_READ |
				     1u << VFM_VU_VERSION;

	if (!p->opts.libvfio || (p->state != 1 && p->state != 3))
		return false;
	if (p->state == 3 && (command == VFM_VU_REGION_READ || command == VFM_VU_REGION_WRITE))
		return true;
	return !(runs >> command & 1);
}

static int handle(struct peer *p, struct peer_msg *req, struct peer_msg *reply)
{
	if (gated(p, req->command))
		return EINVAL;
	switch (req->command) {
	case VFM_VU_VERSION:
		return do_version(p, req, reply);
	case VFM_VU_DMA_MAP:
		return do_map(p, req, reply);
	case VFM_VU_DMA_UNMAP:
		return do_unmap(p, req, reply);
	case VFM_VU_DEVICE_GET_INFO:
		return do_info(p, req, reply);
	case VFM_VU_DEVICE_GET_REGION_INFO:
		return do_region_info(p, req, reply);
	case VFM_VU_DEVICE_GET_REGION_IO_FDS:
		return do_io_fds(p, req, reply);
	case VFM_VU_DEVICE_GET_IRQ_INFO:
		return do_irq_info(p, req, reply);
	case VFM_VU_DEVICE_SET_IRQS:
		return do_set_irqs(p, req, reply);
	case VFM_VU_REGION_READ:
		return do_region_read(p, req, reply);
	case VFM_VU_REGION_WRITE:
		return do_region_write(p, req, reply);
	case VFM_VU_DEVICE_RESET:
		return do_reset(p, req);
	case VFM_VU_DIRTY_PAGES:
		return do_dirty(p, req, reply);
	case VFM_VU_DEVICE_FEATURE:
		return do_feature(p, req, reply);
	case VFM_VU_MIG_DATA_READ:
		return do_data_read(p, req, reply);
	case VFM_VU_MIG_DATA_WRITE:
		return do_data_write(p, req, reply);
	}
	wrong(p, "command %u", req->command);
	return ENOTTY;
}

static bool serve_one(struct peer *p)
{
	struct peer_msg req = { .bytes = p->req_bytes }, reply = { .bytes = p->reply_bytes };
	bool sent = true;
	int error;

	if (!peer_recv(p, &req)) {
		close_fds(&req);
		return false;
	}
	pthread_mutex_lock(&p->lock);
	if (req.flags & 0xf)
		wrong(p, "a message of type %u", req.flags & 0xf);
	if (req.command < VFM_VU_NR_COMMANDS)
		p->seen[req.command]++;
	p->largest = req.len > p->largest ? req.len : p->largest;
	reply.id = req.id;
	reply.command = req.command;
	reply.flags = 1;
	error = handle(p, &req, &reply);
	if (error) {
		reply.flags |= 0x20;
		reply.error = (uint32_t)error;
		reply.nr_fds = 0;
		reply.len = p->opts.libvfio ? reply.len : 0;
	}
	if (p->opts.meddle)
		p->opts.meddle(p, &req, &reply);
	pthread_mutex_unlock(&p->lock);
	if (!reply.drop)
		sent = peer_send(p, &reply);
	close_fds(&req);
	return sent && !reply.cut;
}

static void *run(void *user)
{
	struct peer *p = user;

	while (serve_one(p))
		;
	close(p->fd);
	return NULL;
}

static int memory(size_t size, uint8_t seed)
{
	int fd = memfd_create("peer", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	for (size_t i = 0; i < size; i += 4096)
		assert_int_equal(pwrite(fd, &seed, 1, (off_t)i), 1);
	return fd;
}

int peer_start(struct peer *p, const struct peer_opts *opts)
{
	static uint8_t pattern[300000], room[2][PEER_MAX]; /* one peer at a time */
	int fds[2];

	memset(p, 0, sizeof(*p));
	p->opts = *opts;
	p->opts.max_fds = opts->max_fds ? opts->max_fds : 8;
	p->opts.max_xfer = opts->max_xfer ? opts->max_xfer : 1u << 20;
	p->opts.migration = opts->migration ? opts->migration : opts->libvfio ? 5 : 7;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	p->fd = fds[0];
	p->state = 2;
	p->mem_fd = memory(0x12000, 0x11);
	p->full_fd = memory(0x3000, 0x22);
	p->io_fd = eventfd(0, EFD_CLOEXEC);
	memset(p->vector_fds, 0xff, sizeof(p->vector_fds));
	p->out_len = sizeof(pattern);
	p->out_pre = 100000;
	p->out = pattern;
	for (size_t i = 0; !pattern[1] && i < p->out_len; i++)
		pattern[i] = (uint8_t)(1 + (i * 2654435761u >> 13));
	p->req_bytes = room[0];
	p->reply_bytes = room[1];
	pthread_mutex_init(&p->lock, NULL);
	assert_int_equal(pthread_create(&p->thread, NULL, run, p), 0);
	return fds[1];
}

struct vfm_device *peer_open(struct peer *p, const struct peer_opts *opts)
{
	struct vfm_device *dev = NULL;
	struct vfm_err err = { 0 };
	int fd = peer_start(p, opts);

	if (vfm_client_open_fd(&dev, fd, NULL, &err))
		fail_msg("%s", err.msg);
	return dev;
}

void peer_stop(struct peer *p)
{
	char *text;

	pthread_join(p->thread, NULL);
	text = p->wrong;
	while (p->nr_maps)
		drop_map(p, 0);
	for (int i = 0; i < PEER_IRQS; i++) {
		for (int v = 0; v < PEER_VECTORS; v++) {
			if (p->vector_fds[i][v] >= 0)
				close(p->vector_fds[i][v]);
		}
	}
	close(p->mem_fd);
	close(p->full_fd);
	close(p->io_fd);
	free(p->in);
	pthread_mutex_destroy(&p->lock);
	if (text)
		print_error("the peer saw: %s\n", text);
	assert_null(text);
	free(text);
}
