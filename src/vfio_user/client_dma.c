// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The memory that the device may reach, and the server's DMA_READ and DMA_WRITE.
 * A server that got a descriptor maps it; one that did not, or could not, asks us,
 * so what is needed to answer is kept for every mapping.
 *
 * A mapping is known here before the server is told of it, and until the server
 * has let go of it: its commands may come while our request is under way.
 */

#include "vfio_user/client.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/util.h"

/* ---- answering --------------------------------------------------------------- */

/* A file that is shorter than the range would fault under us: the server is told instead. */
static bool file_holds(int fd, uint64_t offset, uint64_t size)
{
	struct stat st;
	uint64_t end;

	if (__builtin_add_overflow(offset, size, &end) || fstat(fd, &st))
		return false;
	return !S_ISREG(st.st_mode) || end <= (uint64_t)st.st_size;
}

static int map_file(struct vfm_client_mapping *m)
{
	uint64_t delta = m->fd_offset & ((uint64_t)sysconf(_SC_PAGESIZE) - 1);
	int prot = PROT_READ | (m->flags & VFM_DMA_WRITE ? PROT_WRITE : 0);

	if (!file_holds(m->fd, m->fd_offset, m->size))
		return -EFAULT;
	m->mapped_len = (size_t)(m->size + delta);
	m->mapped =
		mmap(NULL, m->mapped_len, prot, MAP_SHARED, m->fd, (off_t)(m->fd_offset - delta));
	if (m->mapped == MAP_FAILED) {
		m->mapped = NULL;
		return -EFAULT;
	}
	m->base = (uint8_t *)m->mapped + delta;
	return 0;
}

/* Memory for accesses that only callbacks can do, as large as one message's data. */
static int need_bounce(struct vfm_client *c, size_t len)
{
	uint8_t *bounce;

	if (len <= c->bounce_size)
		return 0;
	bounce = realloc(c->bounce, len);
	if (!bounce)
		return -ENOMEM;
	c->bounce = bounce;
	c->bounce_size = len;
	return 0;
}

static int find(struct vfm_client *c, uint64_t iova, uint64_t len, uint32_t direction,
		struct vfm_client_mapping **mapping)
{
	const struct vfm_iova_entry *e = vfm_iova_map_find(&c->mappings, iova);
	struct vfm_client_mapping *m = e ? e->data : NULL;

	if (!m || !vfm_range_inside(iova - m->iova, len, m->size) || !(m->flags & direction))
		return -EFAULT;
	*mapping = m;
	return m->base || m->fd < 0 ? 0 : map_file(m);
}

/* The callbacks are the user's, who must not come back to us from within them. */
static int by_callback(struct vfm_client *c, const struct vfm_client_mapping *m, uint64_t iova,
		       void *in, const void *out, size_t len)
{
	int ret;

	if (in ? !m->access.read : !m->access.write)
		return -EFAULT;
	c->in_dma = true;
	ret = in ? m->access.read(m->access.user, iova, in, len)
		 : m->access.write(m->access.user, iova, out, len);
	c->in_dma = false;
	return ret > 0 ? -EIO : ret;
}

/* @data: where the bytes are, in the mapping itself if possible. */
static int dma_read(struct vfm_client *c, uint64_t iova, uint64_t len, const void **data)
{
	struct vfm_client_mapping *m;
	int ret = find(c, iova, len, VFM_DMA_READ, &m);

	if (ret)
		return ret;
	if (m->base) {
		*data = m->base + (iova - m->iova);
		return 0;
	}
	ret = need_bounce(c, len);
	if (ret)
		return ret;
	*data = c->bounce;
	return by_callback(c, m, iova, c->bounce, NULL, len);
}

static int dma_write(struct vfm_client *c, uint64_t iova, uint64_t len, const void *data)
{
	struct vfm_client_mapping *m;
	int ret = find(c, iova, len, VFM_DMA_WRITE, &m);

	if (ret)
		return ret;
	vfm_client_log_wrote(m, iova, len);
	if (!m->base)
		return by_callback(c, m, iova, NULL, data, len);
	memcpy(m->base + (iova - m->iova), data, len);
	return 0;
}

/**
 * struct dma_request - a command of the server, understood
 * @data, @len: what follows the fixed part of the reply
 */
struct dma_request {
	uint64_t iova;
	uint64_t count;
	const void *data;
	size_t len;
};

static int do_command(struct vfm_client *c, const struct vfm_vu_msg *msg, struct dma_request *req)
{
	struct vfm_reader r = vfm_reader_of(msg->payload, msg->len);
	const uint8_t *data;

	if (msg->command != VFM_VU_DMA_READ && msg->command != VFM_VU_DMA_WRITE)
		return -ENOTTY;
	if (msg->oversize)
		return -E2BIG;
	req->iova = vfm_read_he64(&r);
	req->count = vfm_read_he64(&r);
	if (!vfm_reader_ok(&r) || !req->count || vfm_range_wraps(req->iova, req->count))
		return -EINVAL;
	if (req->count > c->ours.max_xfer)
		return -E2BIG;
	if (msg->command == VFM_VU_DMA_READ) {
		req->len = req->count;
		return dma_read(c, req->iova, req->count, &req->data);
	}
	data = vfm_read_bytes(&r, req->count);
	return data ? dma_write(c, req->iova, req->count, data) : -EINVAL;
}

int vfm_client_serve(struct vfm_client *c, struct vfm_vu_msg *msg, const struct vfm_wait *wait,
		     struct vfm_err *err)
{
	uint8_t wire[VFM_VU_DMA_ACCESS_SIZE];
	struct dma_request req = { 0 };
	int ret = do_command(c, msg, &req);
	struct vfm_writer w = vfm_writer_of(wire, sizeof(wire));
	struct iovec body[2] = { { wire, sizeof(wire) }, { (void *)(uintptr_t)req.data, req.len } };
	struct vfm_vu_out out = { .id = msg->id,
				  .command = msg->command,
				  .flags = VFM_VU_REPLY | (ret ? VFM_VU_ERROR : 0),
				  .error = (uint32_t)-ret,
				  .body = body,
				  .nr_body = ret ? 0 : 2 };

	vfm_write_he64(&w, req.iova);
	vfm_write_he64(&w, req.count);
	vfm_vu_msg_close_fds(msg);
	if (msg->flags & VFM_VU_NO_REPLY)
		return 0;
	return vfm_vu_conn_send(c->conn, &out, wait, err);
}

/* ---- mapping ------------------------------------------------------------------ */

static void free_mapping(struct vfm_client_mapping *m)
{
	if (m->mapped)
		munmap(m->mapped, m->mapped_len);
	vfm_close_fd(&m->fd);
	free(m);
}

void vfm_client_free_mappings(struct vfm_client *c)
{
	for (size_t i = 0; i < c->mappings.count; i++)
		free_mapping(c->mappings.entries[i].data);
	vfm_iova_map_free(&c->mappings);
	free(c->bounce);
	c->bounce = NULL;
	c->bounce_size = 0;
}

/* Our own duplicate is for the case that the server asks, and nothing else gives us the bytes. */
static int new_mapping(struct vfm_client *c, const struct vfm_dma_map *map,
		       struct vfm_client_mapping **out, struct vfm_err *err)
{
	struct vfm_client_mapping *m = calloc(1, sizeof(*m));

	if (!m)
		return vfm_fail(err, -ENOMEM, "no memory");
	m->iova = map->iova;
	m->size = map->size;
	m->flags = map->flags;
	m->fd_offset = map->fd_offset;
	m->base = map->vaddr;
	m->access = map->access;
	m->sent_fd = map->fd >= 0 && c->max_fds;
	m->fd = -1;
	if (map->fd >= 0 && !map->vaddr) {
		m->fd = fcntl(map->fd, F_DUPFD_CLOEXEC, 0);
		if (m->fd < 0) {
			int ret = -errno;

			free(m);
			return vfm_fail(err, ret, "duplicate the descriptor");
		}
	}
	*out = m;
	return 0;
}

static int send_map(struct vfm_client *c, const struct vfm_client_mapping *m, int fd,
		    struct vfm_err *err)
{
	uint8_t wire[VFM_VU_DMA_MAP_SIZE];
	struct iovec body = { wire, sizeof(wire) };
	struct vfm_client_call call = { .command = VFM_VU_DMA_MAP,
					.body = &body,
					.nr_body = 1,
					.fds = m->sent_fd ? &fd : NULL,
					.nr_fds = m->sent_fd ? 1 : 0 };
	struct vfm_writer w = vfm_writer_of(wire, sizeof(wire));

	vfm_write_he32(&w, sizeof(wire));
	vfm_write_he32(&w, m->flags);
	vfm_write_he64(&w, m->sent_fd ? m->fd_offset : 0);
	vfm_write_he64(&w, m->iova);
	vfm_write_he64(&w, m->size);
	return vfm_client_call(c, &call, err);
}

/* @m is freed, on any way out but success. */
static int add_mapping(struct vfm_client *c, struct vfm_client_mapping *m, int fd,
		       struct vfm_err *err)
{
	int ret = vfm_iova_map_add(&c->mappings, m->iova, m->size, m);
	void *data;

	if (ret) {
		free_mapping(m);
		return vfm_fail(err, ret, "%s",
				ret == -EEXIST ? "a part of it is mapped" : "no memory");
	}
	ret = vfm_client_log_map(c, m, err);
	if (!ret)
		ret = send_map(c, m, fd, err);
	if (ret && vfm_iova_map_remove(&c->mappings, m->iova, m->size, &data) == 0) {
		vfm_client_log_unmap(c, m, false);
		free_mapping(m);
	}
	return ret;
}

int vfm_client_map_dma(struct vfm_device *dev, const struct vfm_dma_map *map, struct vfm_err *err)
{
	struct vfm_client *c = vfm_client_of(dev);
	struct vfm_client_mapping *m = NULL;
	int ret = vfm_client_alive(c, err);

	if (!ret && c->mappings.count >= c->max_maps)
		ret = vfm_fail(err, -ENOSPC, "the server takes at most %u ranges", c->max_maps);
	if (!ret)
		ret = new_mapping(c, map, &m, err);
	if (!ret)
		ret = add_mapping(c, m, map->fd, err);
	if (ret)
		vfm_fail_prefix(err, "map 0x%" PRIx64 "+0x%" PRIx64, map->iova, map->size);
	return ret;
}

static void forget(struct vfm_client *c, struct vfm_client_mapping *m, bool known)
{
	void *data;

	if (vfm_iova_map_remove(&c->mappings, m->iova, m->size, &data))
		return;
	vfm_client_log_unmap(c, m, known);
	free_mapping(m);
}

static int send_unmap(struct vfm_client *c, uint32_t flags, uint64_t iova, uint64_t size,
		      struct vfm_err *err)
{
	uint8_t wire[VFM_VU_DMA_UNMAP_SIZE];
	struct iovec body = { wire, sizeof(wire) };
	struct vfm_client_call call = { .command = VFM_VU_DMA_UNMAP, .body = &body, .nr_body = 1 };
	struct vfm_writer w = vfm_writer_of(wire, sizeof(wire));

	vfm_write_he32(&w, sizeof(wire));
	vfm_write_he32(&w, flags);
	vfm_write_he64(&w, iova);
	vfm_write_he64(&w, size);
	return vfm_client_call(c, &call, err);
}

/* A server that refuses still has the memory, so it stays mapped here as well. */
static int unmap(struct vfm_client *c, struct vfm_client_mapping *m, struct vfm_err *err)
{
	bool known = false;
	int ret = vfm_client_log_ask_unmap(c, m, &known, err);

	if (vfm_client_refused(ret) && !c->dead)
		ret = send_unmap(c, 0, m->iova, m->size, err);
	if (!ret)
		forget(c, m, known);
	return ret;
}

int vfm_client_unmap_dma(struct vfm_device *dev, uint64_t iova, uint64_t size, struct vfm_err *err)
{
	struct vfm_client *c = vfm_client_of(dev);
	const struct vfm_iova_entry *e;
	int ret = vfm_client_alive(c, err);

	if (!ret) {
		e = vfm_iova_map_find(&c->mappings, iova);
		if (!e || e->iova != iova || e->size != size)
			ret = vfm_fail(err, -ENOENT, "no such range is mapped");
		else
			ret = unmap(c, e->data, err);
	}
	if (ret)
		vfm_fail_prefix(err, "unmap 0x%" PRIx64 "+0x%" PRIx64, iova, size);
	return ret;
}

/* One range that cannot be unmapped does not keep the others; the first error is told. */
static int unmap_each(struct vfm_client *c, struct vfm_err *err)
{
	size_t i = c->mappings.count;
	int first = 0;

	while (i--) {
		int ret = unmap(c, c->mappings.entries[i].data, first ? NULL : err);

		first = first ? first : ret;
	}
	return first;
}

/*
 * One message takes all away, but it is not in the protocol's text: only some servers
 * know it. None does it and reports, as some do of a single range.
 */
int vfm_client_unmap_all(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_client *c = vfm_client_of(dev);
	int ret = vfm_client_alive(c, err);

	if (!ret && (!c->extension || vfm_client_log_in_parts(c))) {
		ret = unmap_each(c, err);
	} else if (!ret) {
		ret = send_unmap(c, VFM_VU_UNMAP_ALL, 0, 0, err);
		while (!ret && c->mappings.count)
			forget(c, c->mappings.entries[c->mappings.count - 1].data, false);
	}
	if (ret)
		vfm_fail_prefix(err, "unmap everything");
	return ret;
}
