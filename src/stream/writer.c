// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The writer: one system call and one pass of the hash for each record, and no
 * copy of the payload. Nothing is kept back, so there is nothing to flush.
 *
 * What surprises: after a failed transfer nobody knows how much of a record the
 * other end has, so the writer is dead from then on and says since when.
 */

#include <vfmig/stream.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "stream/adapt.h"
#include "stream/compress.h"
#include "stream/format.h"

/* Of the buffer: whole pages, for reads that go past the page cache. */
#define BUFFER_ALIGN 4096

struct vfm_stream_writer {
	int fd;
	struct vfm_wait wait;
	struct vfm_io io; /* without functions: the descriptor */
	struct vfm_stream_tally tally;
	uint64_t sequence; /* number of the next record */
	struct vfm_digest *digest;
	struct vfm_compressor *compressor; /* NULL: none */
	struct vfm_adapt adapt;
	uint64_t compressed, compressed_to;
	uint8_t *buffer;
	uint64_t chain; /* checksum of the header before */
	uint64_t written;
	int broken; /* what the failed transfer returned */
};

static int put(struct vfm_stream_writer *w, struct iovec *iov, int nr_iov)
{
	uint64_t start = w->compressor ? vfm_now_ns() : 0;
	size_t len = 0;

	for (int i = 0; i < nr_iov; i++)
		len += iov[i].iov_len;
	if (w->io.write)
		w->broken = vfm_io_writev_full(&w->io, w->fd, iov, nr_iov, &w->wait);
	else
		w->broken = vfm_writev_full(w->fd, iov, nr_iov, &w->wait);
	if (!w->broken)
		w->written += len;
	if (w->compressor)
		vfm_adapt_written(&w->adapt, len, vfm_now_ns() - start);
	return w->broken;
}

static int write_header(struct vfm_stream_writer *w, uint32_t flags, struct vfm_err *err)
{
	const struct vfm_stream_header header = {
		.version = VFM_STREAM_VERSION,
		.compat_version = VFM_STREAM_COMPAT_VERSION,
		.size = VFM_STREAM_HEADER_SIZE,
		.flags = flags,
	};
	uint8_t wire[VFM_STREAM_HEADER_SIZE];
	struct iovec iov = { .iov_base = wire, .iov_len = sizeof(wire) };

	w->chain = vfm_stream_header_to_wire(&header, wire);
	vfm_digest_update(w->digest, wire, sizeof(wire));
	if (put(w, &iov, 1))
		return vfm_fail(err, w->broken, "write the header of a stream");
	return 0;
}

VFM_API void vfm_stream_writer_free(struct vfm_stream_writer *w)
{
	if (!w)
		return;
	vfm_compressor_free(w->compressor);
	vfm_digest_free(w->digest);
	free(w->buffer);
	free(w);
}

static int set_up(struct vfm_stream_writer *w, int fd, const struct vfm_stream_opts *opts,
		  struct vfm_err *err)
{
	struct vfm_stream_opts o;
	struct stat st;
	int ret = vfm_stream_get_opts(&o, &w->wait, opts, err);

	if (ret)
		return ret;
	w->adapt.wire = o.io || (!fstat(fd, &st) && S_ISSOCK(st.st_mode));
	w->fd = fd;
	if (o.io)
		w->io = *o.io;
	w->buffer = aligned_alloc(BUFFER_ALIGN, VFM_STREAM_PAYLOAD_MAX);
	w->digest = vfm_digest_new();
	if (!w->buffer || !w->digest)
		return vfm_fail(err, -ENOMEM, "no memory for a stream");
	return o.compress ? vfm_compressor_new(&w->compressor, o.compress, err) : 0;
}

static int make(struct vfm_stream_writer **out, int fd, const struct vfm_stream_opts *opts,
		uint32_t flags, const struct vfm_stream_tally *tally, struct vfm_err *err)
{
	struct vfm_stream_writer *w = calloc(1, sizeof(*w));
	int ret;

	if (!w)
		return vfm_fail(err, -ENOMEM, "no memory for a stream");
	w->tally = *tally;
	ret = set_up(w, fd, opts, err);
	if (!ret)
		ret = write_header(w, flags, err);
	if (ret) {
		vfm_stream_writer_free(w);
		return ret;
	}
	*out = w;
	return 0;
}

VFM_API int vfm_stream_writer_new(struct vfm_stream_writer **out, int fd,
				  const struct vfm_stream_opts *opts, struct vfm_err *err)
{
	const struct vfm_stream_tally tally = vfm_stream_tally_of(0);

	return make(out, fd, opts, 0, &tally, err);
}

int vfm_stream_writer_shared(struct vfm_stream_writer **out, int fd,
			     const struct vfm_stream_opts *opts, uint32_t nr_devices,
			     struct vfm_err *err)
{
	const struct vfm_stream_tally tally = vfm_stream_tally_of(nr_devices);

	return make(out, fd, opts, VFM_STREAM_SHARED, &tally, err);
}

void vfm_stream_number(struct vfm_stream_writer *w, uint64_t sequence)
{
	w->sequence = sequence;
}

uint64_t vfm_stream_next_number(const struct vfm_stream_writer *w)
{
	return w->sequence;
}

uint32_t vfm_stream_devices(const struct vfm_stream_writer *w)
{
	return w->tally.nr_devices;
}

/* Seal a record that the tally has counted already, and send it. */
static int send_record(struct vfm_stream_writer *w, struct vfm_stream_head *head, const void *data,
		       struct vfm_err *err)
{
	uint8_t wire[VFM_STREAM_HEAD_SIZE];
	struct iovec iov[] = {
		{ .iov_base = wire, .iov_len = sizeof(wire) },
		{ .iov_base = (void *)(uintptr_t)data, .iov_len = head->stored },
	};

	head->sequence = w->sequence++;
	head->payload_sum = vfm_checksum(data, head->stored, 0);
	vfm_stream_head_to_wire(head, w->chain, wire);
	w->chain = head->head_sum;
	vfm_digest_update(w->digest, wire, sizeof(wire));
	if (put(w, iov, VFM_ARRAY_SIZE(iov)))
		return vfm_fail(err, w->broken,
				"write record %" PRIu64 " (%s) of %u bytes at offset %" PRIu64,
				head->sequence, vfm_stream_type_name(head->type), head->stored,
				w->written);
	return 0;
}

static const void *compress_payload(struct vfm_stream_writer *w, struct vfm_stream_head *head,
				    const void *data)
{
	const uint8_t *frame;
	uint64_t start;
	size_t n;

	if (!w->compressor || head->plain < VFM_STREAM_COMPRESS_MIN ||
	    !vfm_stream_type_compresses(head->type) || !vfm_adapt_try(&w->adapt))
		return data;
	start = vfm_now_ns();
	n = vfm_compress(w->compressor, data, head->plain, &frame);
	if (!vfm_adapt_compressed(&w->adapt, head->plain, n ? (uint32_t)n : head->plain,
				  vfm_now_ns() - start))
		return data;
	w->compressed += head->plain;
	w->compressed_to += n;
	head->flags |= VFM_STREAM_ZSTD;
	head->stored = (uint32_t)n;
	return frame;
}

static int check_alive(const struct vfm_stream_writer *w, uint32_t type, struct vfm_err *err)
{
	if (w->broken)
		return vfm_fail(err, w->broken,
				"write %s: the stream broke in a record at offset %" PRIu64,
				vfm_stream_type_name(type), w->written);
	return 0;
}

static int admit(struct vfm_stream_writer *w, const struct vfm_stream_head *head, const void *data,
		 struct vfm_err *err)
{
	struct vfm_err why;
	int ret = vfm_stream_check_head(head, &why);

	if (!ret)
		ret = vfm_stream_tally_add(&w->tally, head->type, head->device,
					   (const uint8_t *)data, head->plain, &why);
	if (ret)
		return vfm_fail(err, -EINVAL, "write record %" PRIu64 " (%s): %s", w->tally.records,
				vfm_stream_type_name(head->type), why.msg);
	return 0;
}

VFM_API int vfm_stream_write(struct vfm_stream_writer *w, uint32_t type, uint32_t flags,
			     uint32_t device, const void *data, size_t size, struct vfm_err *err)
{
	struct vfm_stream_head head = { .type = type, .flags = flags, .device = device };
	int ret = check_alive(w, type, err);

	if (ret)
		return ret;
	if (size > VFM_STREAM_PAYLOAD_MAX)
		return vfm_fail(err, -EINVAL, "write %s: %zu bytes of payload, more than %u",
				vfm_stream_type_name(type), size, VFM_STREAM_PAYLOAD_MAX);
	if (type == VFM_STREAM_END || flags & VFM_STREAM_ZSTD)
		return vfm_fail(err, -EINVAL, "write %s: %s", vfm_stream_type_name(type),
				type == VFM_STREAM_END ? "END is written by vfm_stream_write_end()"
						       : "compression is for the writer to choose");
	head.plain = head.stored = (uint32_t)size;
	ret = admit(w, &head, data, err);
	if (ret)
		return ret;
	return send_record(w, &head, compress_payload(w, &head, data), err);
}

VFM_API void *vfm_stream_buffer(struct vfm_stream_writer *w)
{
	return w->buffer;
}

int vfm_stream_seal(struct vfm_stream_writer *w, const void *more, size_t size,
		    struct vfm_stream_end *end, struct vfm_err *err)
{
	struct vfm_stream_head head = { .type = VFM_STREAM_END };
	struct vfm_stream_end ours = { .tally = w->tally };
	uint8_t wire[VFM_STREAM_END_SIZE + VFM_STREAM_END_MORE];
	int ret = check_alive(w, VFM_STREAM_END, err);

	if (ret)
		return ret;
	vfm_digest_get(w->digest, ours.digest);
	vfm_stream_end_to_wire(&ours, wire);
	if (size)
		memcpy(wire + VFM_STREAM_END_SIZE, more, size);
	head.stored = head.plain = VFM_STREAM_END_SIZE + (uint32_t)size;
	ret = admit(w, &head, wire, err);
	if (!ret && end)
		*end = ours;
	return ret ? ret : send_record(w, &head, wire, err);
}

VFM_API int vfm_stream_write_end(struct vfm_stream_writer *w, struct vfm_err *err)
{
	return vfm_stream_seal(w, NULL, 0, NULL, err);
}

VFM_API uint64_t vfm_stream_compressed(const struct vfm_stream_writer *w, uint64_t *to)
{
	*to = w->compressed_to;
	return w->compressed;
}

VFM_API uint64_t vfm_stream_written(const struct vfm_stream_writer *w)
{
	return w->written;
}
