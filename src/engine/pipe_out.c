// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The source's side of the pipeline: the helpers that write, and the calls that the caller's
 * thread makes meanwhile. A failed write cuts the queue: what is in it can go nowhere.
 *
 * A record of data is taken by whichever helper is free, so a channel that is slow has fewer. The
 * limit of the rate is one for all: a helper takes its share before it writes, as the others must
 * not count on it, too, and settles afterwards what it came to.
 */

#include "engine/pipe.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "engine/total.h"

/* ---- the helper ----------------------------------------------------------- */

static bool is_bulk(uint32_t type)
{
	return type == VFM_STREAM_DEVICE_DATA || type == VFM_STREAM_MEMORY_DATA;
}

/* 0: the share of a record is taken; else how long to wait before that is tried again. */
static uint64_t take_share(struct vfm_helper *h, uint64_t bytes)
{
	uint64_t wait_ns;

	pthread_mutex_lock(&h->pipe->lock);
	wait_ns = vfm_bucket_wait(&h->e->bucket, vfm_now_ns());
	if (!wait_ns)
		vfm_bucket_take(&h->e->bucket, bytes);
	pthread_mutex_unlock(&h->pipe->lock);
	return wait_ns;
}

/* Wait until as much has left as may have by now; false: we are stopped. */
static bool pace(struct vfm_helper *h, uint64_t bytes)
{
	uint64_t wait_ns;

	while ((wait_ns = take_share(h, bytes))) {
		struct pollfd stop = { .fd = h->pipe->stop_fd, .events = POLLIN };

		poll(&stop, 1, (int)VFM_MIN(wait_ns / 1000000 + 1, INT32_MAX));
		if (stop.revents)
			return false;
	}
	return true;
}

/*
 * The caller looks at the gauges only after a flush, for which the queue's lock is taken. What
 * a record waited for its turn was owed by the one before: its own share of the rate counts.
 */
static void gauge(struct vfm_engine *e, const struct vfm_stream_record *r, uint64_t wire_bytes,
		  uint64_t ns)
{
	if (e->opts.rate)
		ns = VFM_MAX(ns, (uint64_t)((double)wire_bytes * 1e9 / (double)e->opts.rate));
	if (r->type == VFM_STREAM_DEVICE_DATA)
		vfm_gauge_add(&e->wire, r->size, ns);
	else if (r->type == VFM_STREAM_MEMORY_DATA)
		vfm_gauge_add(&e->memory, r->size, ns);
}

/** struct span - one record in the hands of a helper */
struct span {
	double busy, writing;
	uint64_t written, compressed, compressed_to;
};

static double begin_share(struct vfm_helper *h, struct vfm_share *share)
{
	double begun;

	pthread_mutex_lock(&h->pipe->lock);
	begun = vfm_share_begin(share, vfm_now_ns());
	pthread_mutex_unlock(&h->pipe->lock);
	return begun;
}

static void begin_span(struct vfm_helper *h, struct span *span)
{
	span->writing = begin_share(h, &h->pipe->writing);
	span->written = vfm_stream_written(h->out);
	span->compressed = vfm_stream_compressed(h->out, &span->compressed_to);
}

static void end_span(struct vfm_helper *h, const struct span *span,
		     const struct vfm_stream_record *r)
{
	uint64_t written = vfm_stream_written(h->out) - span->written, to;
	uint64_t compressed = vfm_stream_compressed(h->out, &to) - span->compressed;
	struct vfm_pipe *p = h->pipe;
	uint64_t now, ns;

	pthread_mutex_lock(&p->lock);
	now = vfm_now_ns();
	ns = vfm_share_end(&p->writing, span->writing, now);
	p->busy_ns += vfm_share_end(&p->busy, span->busy, now);
	p->moved_ns = now;
	p->written += written;
	p->compressed += compressed;
	p->compressed_to += to - span->compressed_to;
	if (is_bulk(r->type))
		vfm_bucket_settle(&h->e->bucket, r->size, written);
	gauge(h->e, r, written, ns);
	pthread_mutex_unlock(&p->lock);
}

static int put_out(struct vfm_helper *h, const struct vfm_buffer *buffer)
{
	const struct vfm_stream_record *r = &buffer->record;

	if (h->pipe->nr_helpers > 1)
		vfm_stream_number(h->out, buffer->sequence);
	if (r->type != VFM_STREAM_END)
		return vfm_stream_write(h->out, r->type, r->flags, r->device, r->data, r->size,
					&h->err);
	return vfm_stream_seal(h->out, NULL, 0, &h->end, &h->err);
}

/* Not a failure, and nothing of the record has left, when the wait for its turn is ended. */
static int write_out(struct vfm_helper *h, const struct vfm_buffer *buffer)
{
	const struct vfm_stream_record *r = &buffer->record;
	struct span span = { .busy = begin_share(h, &h->pipe->busy) };
	int ret;

	if (is_bulk(r->type) && !pace(h, r->size))
		return -ECANCELED;
	begin_span(h, &span);
	ret = put_out(h, buffer);
	end_span(h, &span, r);
	if (ret)
		vfm_helper_fail(h, ret);
	return ret;
}

/* The stream of the first channel is there already. */
static int open_out(struct vfm_helper *h)
{
	struct vfm_channel *c = h->channel;
	struct vfm_stream_opts opts = vfm_helper_opts(h);
	int ret;

	if (!c->number)
		return 0;
	ret = vfm_stream_writer_shared(&c->out, c->fd, &opts, h->pipe->nr_devices, &h->err);
	if (ret) {
		vfm_helper_fail(h, ret);
		return ret;
	}
	h->out = c->out;
	pthread_mutex_lock(&h->pipe->lock);
	h->pipe->written += vfm_stream_written(h->out);
	pthread_mutex_unlock(&h->pipe->lock);
	return 0;
}

void *vfm_helper_run_out(void *arg)
{
	struct vfm_helper *h = arg;
	struct vfm_queue *queue = h->pipe->queue;
	struct vfm_buffer *buffer;
	int ret = open_out(h);

	while (!ret && !vfm_queue_take(queue, h->channel->number, &buffer)) {
		ret = write_out(h, buffer);
		if (!ret)
			vfm_queue_give(queue, buffer);
	}
	if (ret)
		vfm_queue_cut(queue);
	return NULL;
}

/* ---- the caller's thread --------------------------------------------------- */

/* The queue was cut: by a helper, which has failed. */
static int helper_failed(struct vfm_engine *e)
{
	const struct vfm_helper *h = e->pipe->failed;

	e->err = h->err;
	return h->channel->number ? vfm_engine_hear(e, h->ret) : vfm_engine_unwritten(e, h->ret);
}

/* What a call of the queue returned: whether to make it again (0), or what went wrong. */
static int again(struct vfm_engine *e, int ret)
{
	if (ret == -EAGAIN)
		return vfm_engine_await(e, vfm_queue_fd(e->pipe->queue));
	if (ret == -EPIPE)
		return helper_failed(e);
	return vfm_fail(&e->err, ret, "no memory for what is sent");
}

/* Have an empty buffer. */
static int have_buffer(struct vfm_engine *e)
{
	struct vfm_pipe *p = e->pipe;

	while (!p->mine) {
		int ret = vfm_queue_get(p->queue, &p->mine);

		if (ret) {
			p->mine = NULL;
			ret = again(e, ret);
		}
		if (ret)
			return ret;
	}
	return 0;
}

int vfm_pipe_buffer(struct vfm_engine *e, void **data)
{
	int ret = have_buffer(e);

	if (!ret)
		*data = e->pipe->mine->bytes;
	return ret;
}

/* A record for one of the helpers, or for any. */
static int put_for(struct vfm_engine *e, unsigned int way, const struct vfm_stream_record *record)
{
	struct vfm_pipe *p = e->pipe;
	int ret = have_buffer(e);

	if (ret)
		return ret;
	if (record->size && record->data != p->mine->bytes)
		memcpy(p->mine->bytes, record->data, record->size);
	p->mine->record = *record;
	p->mine->record.data = p->mine->bytes;
	vfm_queue_put_for(p->queue, way, vfm_take_ptr(p->mine));
	return 0;
}

int vfm_pipe_put(struct vfm_engine *e, enum vfm_stream_type type, uint32_t flags, const void *data,
		 size_t size)
{
	const struct vfm_stream_record record = {
		.type = type, .flags = flags, .size = size, .data = data
	};
	bool any = is_bulk(type) || type == VFM_STREAM_MEMORY_ZERO;

	return put_for(e, any ? VFM_QUEUE_ANY : 0, &record);
}

int vfm_pipe_empty(struct vfm_engine *e, struct vfm_buffer **out)
{
	int ret = vfm_queue_get(e->pipe->queue, out);

	if (ret)
		*out = NULL;
	return ret && ret != -EAGAIN ? again(e, ret) : ret;
}

int vfm_pipe_fd(const struct vfm_engine *e)
{
	return vfm_queue_fd(e->pipe->queue);
}

void vfm_pipe_spare(struct vfm_engine *e, struct vfm_buffer *buffer)
{
	vfm_queue_unget(e->pipe->queue, buffer);
}

void vfm_pipe_pass(struct vfm_engine *e, struct vfm_buffer *buffer)
{
	vfm_queue_put_for(e->pipe->queue, VFM_QUEUE_ANY, buffer);
}

int vfm_pipe_flush(struct vfm_engine *e)
{
	int ret;

	while ((ret = vfm_queue_idle(e->pipe->queue))) {
		ret = again(e, ret);
		if (ret)
			return ret;
	}
	return 0;
}

/* END of the first channel, when there are others: it says what they have carried. */
static int seal_first(struct vfm_engine *e, const struct vfm_pipe *p)
{
	const struct vfm_stream_end *ends[VFM_CHANNELS_MAX];
	uint8_t wire[VFM_TOTAL_SIZE];
	struct vfm_total total;
	int ret;

	for (unsigned int i = 1; i < p->nr_helpers; i++)
		ends[i - 1] = &p->helpers[i].end;
	ret = vfm_total_of(&total, ends, p->nr_helpers - 1, &e->err);
	if (ret)
		return ret;
	vfm_total_to_wire(&total, wire);
	vfm_stream_number(e->out, vfm_queue_next(p->queue));
	return vfm_stream_seal(e->out, wire, sizeof(wire), NULL, &e->err);
}

int vfm_pipe_seal(struct vfm_engine *e)
{
	static const struct vfm_stream_record end = { .type = VFM_STREAM_END };
	int ret = 0;

	for (unsigned int i = 1; !ret && i < e->nr_channels; i++)
		ret = put_for(e, i, &end);
	if (!ret)
		ret = vfm_pipe_flush(e);
	if (ret)
		return ret;
	vfm_pipe_stop(e, 0);
	ret = e->nr_channels > 1 ? seal_first(e, e->spent) : vfm_stream_write_end(e->out, &e->err);
	return ret ? vfm_engine_unwritten(e, ret) : 0;
}

/* What the helpers count, as it is now. */
static uint64_t look(struct vfm_pipe *p, const uint64_t *count)
{
	uint64_t now;

	pthread_mutex_lock(&p->lock);
	now = *count;
	pthread_mutex_unlock(&p->lock);
	return now;
}

uint64_t vfm_pipe_written(struct vfm_engine *e, uint64_t *compressed, uint64_t *to)
{
	*compressed = look(e->pipe, &e->pipe->compressed);
	*to = look(e->pipe, &e->pipe->compressed_to);
	return look(e->pipe, &e->pipe->written);
}

uint64_t vfm_pipe_busy_ns(struct vfm_engine *e)
{
	return look(e->pipe, &e->pipe->busy_ns);
}
