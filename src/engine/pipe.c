// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The helper's loop for either half, and the calls that the caller's thread makes
 * meanwhile. What the helper failed with is written before the queue is cut or
 * ended, and read after that was seen: the queue's lock is between the two.
 *
 * A source's failed write cuts the queue: what is in it can go nowhere. A
 * destination's failed read ends it: what came before is whole, and is loaded first,
 * so that of two failures the one is told that lies first in the stream. Only the
 * source's own ABORT overtakes: it makes all before it worthless.
 */

#include "engine/pipe.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/util.h"
#include "engine/queue.h"
#include "stream/format.h"

/* One to fill, one that waits, one to empty. */
#define BUFFERS_MIN 3

/*
 * A queue evens out stages that are uneven for a moment, and this is enough for that. The
 * slower stage sets the pace in any case, and the more buffers wait for it, the fewer of
 * them are still in a cache when their turn comes.
 */
#define BUFFERS_MAX 8

/* What the streams hold themselves: a payload each, and as much for compression. */
#define BUFFERS_OF_STREAMS 4

/**
 * struct vfm_pipe
 * @stop_fd: an eventfd that ends every wait of the helper
 * @mine: the caller's buffer: to be filled (source), or taken last (destination)
 * @cause: why a call of the helper's stream failed, when that can only tell that it did
 * @ret, @err: what ended the helper
 * @lock: of what follows
 * @written, @compressed, @compressed_to: as the stream counts them
 * @busy_ns: how long the helper has been at it, and has waited for the limit of the rate
 */
struct vfm_pipe {
	struct vfm_queue *queue;
	pthread_t thread;
	int stop_fd;
	struct vfm_buffer *mine;
	struct vfm_err cause;
	int ret;
	struct vfm_err err;
	pthread_mutex_t lock;
	uint64_t written, compressed, compressed_to;
	uint64_t busy_ns;
};

/* ---- the helper ----------------------------------------------------------- */

int vfm_pipe_wait(struct vfm_engine *e, int fd, short events)
{
	const struct vfm_wait wait = { .timeout_ms = e->opts.timeout_ms,
				       .cancel_fd = e->pipe->stop_fd };
	int ret = vfm_wait_fd(fd, events, &wait);

	if (ret == -ETIMEDOUT)
		vfm_engine_silence(e, &e->pipe->cause);
	return ret;
}

static void fail_helper(struct vfm_engine *e, int ret)
{
	e->pipe->ret = ret;
	if (e->pipe->cause.code)
		e->pipe->err = e->pipe->cause;
}

struct vfm_err *vfm_pipe_cause(struct vfm_engine *e)
{
	return &e->pipe->cause;
}

static bool is_data(const struct vfm_stream_record *r)
{
	return r->type == VFM_STREAM_DEVICE_DATA || r->type == VFM_STREAM_MEMORY_DATA;
}

/* Wait until as much has left as may have by now; false: we are stopped. */
static bool pace(struct vfm_engine *e)
{
	uint64_t wait_ns;

	while ((wait_ns = vfm_bucket_wait(&e->bucket, vfm_now_ns()))) {
		struct pollfd stop = { .fd = e->pipe->stop_fd, .events = POLLIN };

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

static void count(struct vfm_engine *e, uint64_t busy_ns)
{
	struct vfm_pipe *p = e->pipe;

	pthread_mutex_lock(&p->lock);
	p->written = vfm_stream_written(e->out);
	p->compressed = vfm_stream_compressed(e->out, &p->compressed_to);
	p->busy_ns += busy_ns;
	pthread_mutex_unlock(&p->lock);
}

/* Not a failure, and nothing of the record has left, when the wait for its turn is ended. */
static int write_out(struct vfm_engine *e, const struct vfm_stream_record *r)
{
	uint64_t before = vfm_stream_written(e->out);
	uint64_t start = vfm_now_ns(), begin, end;
	int ret;

	if (is_data(r) && !pace(e))
		return -ECANCELED;
	begin = vfm_now_ns();
	ret = vfm_stream_write(e->out, r->type, r->flags, r->device, r->data, r->size,
			       &e->pipe->err);

	if (is_data(r))
		vfm_bucket_take(&e->bucket, vfm_stream_written(e->out) - before);
	end = vfm_now_ns();
	gauge(e, r, vfm_stream_written(e->out) - before, end - begin);
	count(e, end - start);
	if (ret)
		fail_helper(e, ret);
	return ret;
}

static void *run_out(void *arg)
{
	struct vfm_engine *e = arg;
	struct vfm_queue *queue = e->pipe->queue;
	struct vfm_buffer *buffer;
	int ret = 0;

	while (!ret && !vfm_queue_take(queue, &buffer)) {
		ret = write_out(e, &buffer->record);
		if (!ret)
			vfm_queue_give(queue, buffer);
	}
	vfm_queue_cut(queue);
	return NULL;
}

/* One record into @buffer. 0: there may be more; else why there are none. */
static int read_in(struct vfm_engine *e, struct vfm_buffer *buffer)
{
	struct vfm_queue *queue = e->pipe->queue;
	struct vfm_stream_record *r = &buffer->record;
	int ret;

	vfm_stream_lend(e->in, buffer->bytes);
	ret = vfm_stream_read(e->in, r, &e->pipe->err);
	if (ret <= 0)
		return ret ? ret : -ENODATA;
	if (r->data != buffer->bytes)
		memcpy(buffer->bytes, r->data, r->size);
	r->data = buffer->bytes;
	if (r->type == VFM_STREAM_ABORT)
		vfm_queue_drop(queue);
	vfm_queue_put(queue, buffer);
	return r->type == VFM_STREAM_END || r->type == VFM_STREAM_ABORT ? -ENODATA : 0;
}

static void *run_in(void *arg)
{
	struct vfm_engine *e = arg;
	struct vfm_queue *queue = e->pipe->queue;
	struct vfm_buffer *buffer;
	int ret;

	do {
		ret = vfm_queue_get(queue, &buffer);
		if (ret == -ENOMEM)
			vfm_fail(&e->pipe->err, ret, "no memory for what arrives");
		if (!ret)
			ret = read_in(e, buffer);
	} while (!ret);
	fail_helper(e, ret);
	vfm_queue_end(queue);
	return NULL;
}

/* ---- start and stop -------------------------------------------------------- */

int vfm_engine_thread(pthread_t *thread, void *(*run)(void *arg), void *arg)
{
	sigset_t all, old;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -ret;
}

static void free_pipe(struct vfm_pipe *p)
{
	vfm_queue_free(p->queue);
	vfm_close_fd(&p->stop_fd);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static size_t count_buffers(const struct vfm_engine *e)
{
	uint64_t buffers = e->opts.memory_limit / VFM_QUEUE_BUFFER;
	uint64_t most = BUFFERS_MAX + (e->hands ? VFM_HANDS_MAX : 0);

	if (buffers < BUFFERS_MIN + BUFFERS_OF_STREAMS)
		return BUFFERS_MIN;
	return (size_t)VFM_MIN(buffers - BUFFERS_OF_STREAMS, most);
}

static int make_pipe(struct vfm_engine *e, struct vfm_pipe **out)
{
	enum vfm_queue_side polls = e->sink ? VFM_QUEUE_CONSUMER : VFM_QUEUE_PRODUCER;
	struct vfm_pipe *p = calloc(1, sizeof(*p));
	int ret;

	if (!p)
		return vfm_fail(&e->err, -ENOMEM, "no memory for a pipeline");
	pthread_mutex_init(&p->lock, NULL);
	p->written = e->sink ? 0 : vfm_stream_written(e->out);
	p->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (p->stop_fd < 0)
		ret = vfm_fail(&e->err, -errno, "eventfd of a pipeline: %s", strerror(errno));
	else
		ret = vfm_queue_new(&p->queue, count_buffers(e), polls, &e->err);
	if (ret)
		free_pipe(p);
	else
		*out = p;
	return ret;
}

int vfm_pipe_start(struct vfm_engine *e)
{
	struct vfm_pipe *p = NULL;
	int ret = make_pipe(e, &p);

	if (ret)
		return ret;
	e->pipe = p;
	ret = vfm_engine_thread(&p->thread, e->sink ? run_in : run_out, e);
	if (ret) {
		e->pipe = NULL;
		free_pipe(p);
		return vfm_fail(&e->err, ret, "start a thread: %s", strerror(-ret));
	}
	return 0;
}

/* Let a source's helper finish its record: the end of the queue, and of the helper, is a cut. */
static void await_end(struct vfm_pipe *p, unsigned int finish_ms)
{
	uint64_t end = vfm_now_ns() + (uint64_t)finish_ms * 1000000;
	uint64_t now;

	vfm_queue_drop(p->queue);
	vfm_queue_end(p->queue);
	while (vfm_queue_idle(p->queue) == -EAGAIN && (now = vfm_now_ns()) < end) {
		struct pollfd fd = { .fd = vfm_queue_fd(p->queue), .events = POLLIN };

		poll(&fd, 1, (int)((end - now) / 1000000 + 1));
	}
}

void vfm_pipe_stop(struct vfm_engine *e, unsigned int finish_ms)
{
	struct vfm_pipe *p = e->pipe;

	if (!p)
		return;
	if (!e->sink)
		await_end(p, finish_ms);
	vfm_queue_cut(p->queue);
	eventfd_write(p->stop_fd, 1); /* cannot fail: it was 0 */
	pthread_join(p->thread, NULL);
	e->pipe = NULL;
	e->spent = p;
	if (e->sink)
		vfm_stream_lend(e->in, NULL);
	else if (p->ret)
		e->torn = true;
}

void vfm_pipe_free(struct vfm_engine *e)
{
	vfm_pipe_stop(e, 0);
	if (e->spent)
		free_pipe(e->spent);
	e->spent = NULL;
}

/* ---- the caller's thread --------------------------------------------------- */

/* A source's queue was cut: by the helper, which has failed. */
static int helper_failed(struct vfm_engine *e)
{
	e->err = e->pipe->err;
	return vfm_engine_unwritten(e, e->pipe->ret);
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

int vfm_pipe_put(struct vfm_engine *e, enum vfm_stream_type type, uint32_t flags, const void *data,
		 size_t size)
{
	struct vfm_pipe *p = e->pipe;
	int ret = have_buffer(e);

	if (ret)
		return ret;
	if (size && data != p->mine->bytes)
		memcpy(p->mine->bytes, data, size);
	p->mine->record = (struct vfm_stream_record){
		.type = type, .flags = flags, .size = size, .data = p->mine->bytes
	};
	vfm_queue_put(p->queue, vfm_take_ptr(p->mine));
	return 0;
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

void vfm_pipe_pass(struct vfm_engine *e, struct vfm_buffer *buffer)
{
	vfm_queue_put(e->pipe->queue, buffer);
}

/* What the helper counts, as it is now. */
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

int vfm_pipe_read(struct vfm_engine *e, struct vfm_stream_record *record)
{
	struct vfm_pipe *p = e->pipe;
	int ret;

	if (p->mine)
		vfm_queue_give(p->queue, vfm_take_ptr(p->mine));
	while ((ret = vfm_queue_take(p->queue, &p->mine)) == -EAGAIN) {
		ret = vfm_engine_await(e, vfm_queue_fd(p->queue));
		if (ret)
			return ret;
	}
	if (ret) {
		p->mine = NULL;
		e->err = p->err;
		return p->ret;
	}
	*record = p->mine->record;
	return 1;
}

struct vfm_buffer *vfm_pipe_keep(struct vfm_engine *e)
{
	return vfm_take_ptr(e->pipe->mine);
}

void vfm_pipe_give(struct vfm_engine *e, struct vfm_buffer *buffer)
{
	vfm_queue_give(e->pipe->queue, buffer);
}
