// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The destination's side of the pipeline: the helpers that read, and the caller's thread that
 * takes what they bring, in its order. A failed read ends the queue: what came before is whole,
 * and is loaded first, so that of two failures the one is told that lies first in the
 * stream. Only the source's own ABORT overtakes: it makes all before it worthless.
 *
 * A helper looks at the number of a record before it has a buffer for it, and has one only when
 * the number is among those that are due next. So what the source numbers wrongly, by
 * mistake or on purpose, takes no more memory than what it numbers well.
 */

#include "engine/pipe.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>

#include "base/cleanup.h"
#include "engine/total.h"

/* A source that gives up closes all channels, and says why on the first: wait for that so long. */
#define REASON_MS 200

/* ---- the helper ----------------------------------------------------------- */

/* The helper is done, beside 0 and errors. */
#define DONE 1

/* What may be on a channel that is not the first. */
static bool is_for_any(uint32_t type)
{
	return type == VFM_STREAM_DEVICE_DATA || type == VFM_STREAM_MEMORY_DATA ||
	       type == VFM_STREAM_MEMORY_ZERO || type == VFM_STREAM_END ||
	       !vfm_stream_type_known(type);
}

/* The stream is over, and nobody has said why. */
static int hung_up(struct vfm_helper *h)
{
	struct pollfd stop = { .fd = h->pipe->stop_fd, .events = POLLIN };

	poll(&stop, 1, REASON_MS);
	return vfm_fail(&h->err, -ECONNRESET, "the %s has closed the connection", h->e->peer);
}

/* A read has failed with @ret. The first channel's end is judged with the conversation. */
static int unread(struct vfm_helper *h, int ret)
{
	if (h->channel->number && !h->cause.code &&
	    (ret == -ENODATA || ret == -ECONNRESET || ret == -EPIPE))
		return hung_up(h);
	return ret;
}

/* ABORT waits for no number, and for no buffer. */
static int read_abort(struct vfm_helper *h)
{
	int ret;

	vfm_stream_lend(h->in, NULL);
	ret = vfm_stream_next(h->in, &h->pipe->last, &h->err);
	if (ret <= 0)
		return ret;
	vfm_queue_cut(h->pipe->queue);
	return DONE;
}

static int claim(struct vfm_helper *h, uint64_t number, struct vfm_buffer **buffer)
{
	int ret = vfm_queue_claim(h->pipe->queue, h->channel->number, number, buffer);

	if (ret == -EEXIST)
		return vfm_fail(&h->err, -EBADMSG, "record %" PRIu64 " came already", number);
	if (ret == -ENOMEM)
		return vfm_fail(&h->err, ret, "no memory for what arrives");
	return ret ? DONE : 0; /* it is over, if it was cut */
}

/* The payload of the record whose header was seen. */
static int fill(struct vfm_helper *h, struct vfm_buffer *buffer)
{
	struct vfm_stream_record *r = &buffer->record;
	int ret;

	vfm_stream_lend(h->in, buffer->bytes);
	ret = vfm_stream_next(h->in, r, &h->err);
	if (ret <= 0)
		return ret ? ret : -ENODATA;
	if (r->data != buffer->bytes)
		memcpy(buffer->bytes, r->data, r->size);
	r->data = buffer->bytes;
	return 0;
}

static void count(struct vfm_helper *h, uint64_t before, const struct vfm_stream_record *r)
{
	struct vfm_pipe *p = h->pipe;

	if (p->nr_helpers == 1)
		return;
	vfm_helper_moved(p);
	pthread_mutex_lock(&p->lock);
	if (h->channel->number)
		p->arrived += r->offset + r->stored - before;
	pthread_mutex_unlock(&p->lock);
}

/* One record. 0: there may be more; else why there are none. */
static int read_in(struct vfm_helper *h, uint64_t *bytes)
{
	struct vfm_buffer *buffer;
	uint64_t number;
	uint32_t type;
	int ret = vfm_stream_peek(h->in, &type, &number, &h->err);

	if (ret <= 0)
		return ret ? unread(h, ret) : -ENODATA;
	if (type == VFM_STREAM_ABORT && !h->channel->number)
		return read_abort(h);
	if (h->channel->number && !is_for_any(type))
		return vfm_fail(&h->err, -EPROTO, "%s belongs on the first channel",
				vfm_stream_type_name(type));
	ret = claim(h, number, &buffer);
	if (ret)
		return ret;
	ret = fill(h, buffer);
	if (ret)
		return unread(h, ret);
	count(h, *bytes, &buffer->record);
	*bytes = buffer->record.offset + buffer->record.stored;
	vfm_queue_put(h->pipe->queue, buffer);
	return type == VFM_STREAM_END ? DONE : 0;
}

static int open_in(struct vfm_helper *h)
{
	struct vfm_channel *c = h->channel;
	struct vfm_stream_opts opts = vfm_helper_opts(h);
	int ret;

	if (!c->number)
		return 0;
	ret = vfm_stream_reader_shared(&c->in, c->fd, &opts, h->pipe->nr_devices, &h->err);
	h->in = c->in;
	return ret ? unread(h, ret) : 0;
}

void *vfm_helper_run_in(void *arg)
{
	struct vfm_helper *h = arg;
	uint64_t bytes = 0;
	int ret = open_in(h);

	while (!ret)
		ret = read_in(h, &bytes);
	if (ret == DONE) {
		vfm_queue_leave(h->pipe->queue, h->channel->number);
		return NULL;
	}
	vfm_helper_fail(h, ret);
	vfm_queue_end(h->pipe->queue);
	return NULL;
}

/* ---- the caller's thread --------------------------------------------------- */

static void give_back(struct vfm_pipe *p)
{
	if (!p->mine)
		return;
	vfm_queue_give(p->queue, vfm_take_ptr(p->mine));
	if (p->nr_helpers > 1)
		vfm_helper_moved(p);
}

/* The next in order into p->mine: 0, or why there is none. */
static int take_next(struct vfm_engine *e)
{
	struct vfm_pipe *p = e->pipe;
	int ret;

	give_back(p);
	while ((ret = vfm_queue_take(p->queue, 0, &p->mine)) == -EAGAIN) {
		p->mine = NULL;
		ret = vfm_engine_await(e, vfm_queue_fd(p->queue));
		if (ret)
			return ret;
	}
	if (!ret)
		return 0;
	p->mine = NULL;
	if (ret == -EILSEQ)
		return vfm_fail(&e->err, -EBADMSG,
				"record %" PRIu64 " is missing: all channels are past it",
				vfm_queue_due(p->queue));
	if (ret == -ENODATA) {
		e->err = p->failed->err;
		p->first_lost = !p->failed->channel->number;
		return p->failed->ret;
	}
	return DONE;
}

/* END of a channel that is not the first; its reader has proven it. */
static void note_end(struct vfm_engine *e, const struct vfm_buffer *buffer)
{
	struct vfm_helper *h = &e->pipe->helpers[buffer->way];

	h->sealed =
		vfm_stream_end_from_wire(&h->end, buffer->record.data, (size_t)buffer->record.size);
}

/* END of the first channel: of all the others it must say what theirs did. */
static int prove_end(struct vfm_engine *e, const struct vfm_stream_record *record)
{
	const struct vfm_stream_end *ends[VFM_CHANNELS_MAX];
	struct vfm_pipe *p = e->pipe;
	struct vfm_total total;
	int ret;

	for (unsigned int i = 1; i < p->nr_helpers; i++) {
		if (!p->helpers[i].sealed)
			return vfm_fail(&e->err, -EBADMSG, "END, and channel %u has not ended", i);
		ends[i - 1] = &p->helpers[i].end;
	}
	ret = vfm_total_of(&total, ends, p->nr_helpers - 1, &e->err);
	if (ret)
		return ret;
	return vfm_total_check(&total, record->data + VFM_STREAM_END_SIZE,
			       (size_t)record->size - VFM_STREAM_END_SIZE, &e->err);
}

/* Whether what was taken is for our caller: DONE; or the next should be taken: 0. */
static int judge(struct vfm_engine *e, const struct vfm_buffer *buffer)
{
	const struct vfm_stream_record *r = &buffer->record;
	int ret = 0;

	if (!vfm_stream_type_known(r->type))
		return vfm_engine_service(e);
	if (r->type == VFM_STREAM_END && buffer->way) {
		note_end(e, buffer);
		return 0;
	}
	if (r->type == VFM_STREAM_END && e->pipe->nr_helpers > 1)
		ret = prove_end(e, r);
	return ret ? ret : DONE;
}

int vfm_pipe_read(struct vfm_engine *e, struct vfm_stream_record *record)
{
	struct vfm_pipe *p = e->pipe;
	int ret;

	do {
		ret = take_next(e);
		if (ret == DONE) {
			*record = p->last;
			return 1;
		}
		if (!ret)
			ret = judge(e, p->mine);
	} while (!ret);
	if (ret < 0)
		return ret;
	*record = p->mine->record;
	return 1;
}

struct vfm_buffer *vfm_pipe_keep(struct vfm_engine *e)
{
	struct vfm_pipe *p = e->pipe;

	vfm_queue_keep(p->queue, p->mine);
	return vfm_take_ptr(p->mine);
}

void vfm_pipe_give(struct vfm_engine *e, struct vfm_buffer *buffer)
{
	vfm_queue_give(e->pipe->queue, buffer);
	if (e->pipe->nr_helpers > 1)
		vfm_helper_moved(e->pipe);
}

uint64_t vfm_pipe_arrived(struct vfm_engine *e)
{
	struct vfm_pipe *p = e->pipe ? e->pipe : e->spent;
	uint64_t arrived;

	if (!p)
		return 0;
	pthread_mutex_lock(&p->lock);
	arrived = p->arrived;
	pthread_mutex_unlock(&p->lock);
	return arrived;
}
