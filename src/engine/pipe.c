// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What the helpers of either half have in common: how many there are and how much they may
 * hold, how they begin, wait, fail and end. pipe_out.c is the source's, pipe_in.c the
 * destination's. What a helper failed with is written before the queue is cut or
 * ended, and read after that was seen: the queue's lock is between the two.
 *
 * What surprises: a channel that is silent is no fault by itself when there are several, for it
 * may have nothing to bring, or wait for what another one must bring first. Silence counts when
 * nothing has moved on any of them, and then it is told of the one that is waited for.
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

/* Each channel but the first: one that is in its hands, and its stream. */
#define BUFFERS_OF_CHANNEL 1
#define BUFFERS_OF_CHANNEL_STREAM 2

/*
 * With several channels a destination knows which one is silent, and a source only that nobody
 * takes what it has: so the destination may speak first.
 */
#define DESTINATION_FIRST_MS 1000u

/* How long a helper waits before it looks again whether it is to blame. */
#define BLAME_MS 100u

/* ---- helpers ---------------------------------------------------------------- */

void vfm_helper_moved(struct vfm_pipe *p)
{
	pthread_mutex_lock(&p->lock);
	p->moved_ns = vfm_now_ns();
	pthread_mutex_unlock(&p->lock);
}

static unsigned int silence_limit(const struct vfm_helper *h)
{
	unsigned int limit = h->e->opts.timeout_ms;
	bool asks = !h->e->sink && h->pipe->nr_helpers > 1;

	return limit && asks ? limit + DESTINATION_FIRST_MS : limit;
}

/* After @limit_ms of silence on this channel: how much longer to wait for it; 0: no longer. */
static unsigned int more_patience(struct vfm_helper *h, unsigned int limit_ms)
{
	struct vfm_pipe *p = h->pipe;
	uint64_t idle_ms;

	if (p->nr_helpers == 1)
		return 0;
	pthread_mutex_lock(&p->lock);
	idle_ms = (vfm_now_ns() - p->moved_ns) / 1000000;
	pthread_mutex_unlock(&p->lock);
	if (idle_ms < limit_ms)
		return limit_ms - (unsigned int)idle_ms;
	/* At a destination we may be slow ourselves, or another channel may be to blame. */
	return h->e->sink && !vfm_queue_blames(p->queue, h->channel->number) ? BLAME_MS : 0;
}

int vfm_helper_wait(void *helper, int fd, short events)
{
	struct vfm_helper *h = helper;
	unsigned int limit_ms = silence_limit(h);
	struct vfm_wait wait = { .timeout_ms = limit_ms, .cancel_fd = h->pipe->stop_fd };
	int ret;

	do {
		ret = vfm_wait_fd(fd, events, &wait);
		if (ret == -ETIMEDOUT)
			wait.timeout_ms = more_patience(h, limit_ms);
	} while (ret == -ETIMEDOUT && wait.timeout_ms);
	if (ret == -ETIMEDOUT)
		vfm_engine_silence(h->e, &h->cause);
	if (!ret && h->pipe->nr_helpers > 1)
		vfm_helper_moved(h->pipe);
	return ret;
}

struct vfm_stream_opts vfm_helper_opts(struct vfm_helper *h)
{
	struct vfm_channel *c = h->channel;

	return (struct vfm_stream_opts){ .size = sizeof(struct vfm_stream_opts),
					 .compress = h->e->opts.compress,
					 .cancel_fd = -1,
					 .wait = vfm_helper_wait,
					 .user = h,
					 .io = c->secure ? &c->io : NULL,
					 .record_ms = vfm_engine_record_ms(h->e) };
}

void vfm_helper_fail(struct vfm_helper *h, int ret)
{
	struct vfm_pipe *p = h->pipe;

	h->ret = ret;
	if (h->cause.code)
		h->err = h->cause;
	if (p->nr_helpers > 1)
		vfm_fail_prefix(&h->err, "channel %u", h->channel->number);
	pthread_mutex_lock(&p->lock);
	if (!p->failed)
		p->failed = h;
	pthread_mutex_unlock(&p->lock);
}

struct vfm_helper *vfm_pipe_first(struct vfm_engine *e)
{
	return &e->pipe->helpers[0];
}

/* ---- memory ------------------------------------------------------------------ */

static uint64_t buffers_allowed(const struct vfm_engine *e)
{
	return e->opts.memory_limit / VFM_QUEUE_BUFFER;
}

unsigned int vfm_pipe_channels(const struct vfm_engine *e)
{
	const uint64_t each = BUFFERS_OF_CHANNEL + BUFFERS_OF_CHANNEL_STREAM;
	const uint64_t first = BUFFERS_MIN + BUFFERS_OF_STREAMS;
	uint64_t buffers = buffers_allowed(e);

	if (buffers < first)
		return 1;
	return (unsigned int)VFM_MIN(1 + (buffers - first) / each, VFM_CHANNELS_MAX);
}

static size_t count_buffers(const struct vfm_engine *e)
{
	unsigned int more = e->nr_channels - 1;
	uint64_t most = BUFFERS_MAX + 2 * more + (e->hands ? VFM_HANDS_MAX : 0);
	uint64_t streams = BUFFERS_OF_STREAMS + (uint64_t)more * BUFFERS_OF_CHANNEL_STREAM;
	uint64_t least = BUFFERS_MIN + (uint64_t)more * BUFFERS_OF_CHANNEL;
	uint64_t buffers = buffers_allowed(e);

	if (buffers < least + streams)
		return (size_t)least;
	return (size_t)VFM_MIN(buffers - streams, most);
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

/* Records go on where the first stream has come to. */
static int make_queue(struct vfm_engine *e, struct vfm_pipe *p)
{
	enum vfm_queue_side polls = e->sink ? VFM_QUEUE_CONSUMER : VFM_QUEUE_PRODUCER;
	uint64_t next =
		e->sink ? vfm_stream_expected_number(e->in) : vfm_stream_next_number(e->out);
	int ret = vfm_queue_new(&p->queue, count_buffers(e), polls, &e->err);

	if (ret)
		return ret;
	return vfm_queue_number(p->queue, next, e->sink ? e->nr_channels : 0, &e->err);
}

static int make_pipe(struct vfm_engine *e, struct vfm_pipe **out)
{
	struct vfm_pipe *p = calloc(1, sizeof(*p));
	int ret;

	if (!p)
		return vfm_fail(&e->err, -ENOMEM, "no memory for a pipeline");
	pthread_mutex_init(&p->lock, NULL);
	p->written = e->sink ? 0 : vfm_stream_written(e->out);
	p->nr_devices = e->sink ? vfm_stream_devices_seen(e->in) : vfm_stream_devices(e->out);
	p->moved_ns = vfm_now_ns();
	p->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (p->stop_fd < 0)
		ret = vfm_fail(&e->err, -errno, "eventfd of a pipeline: %s", strerror(errno));
	else
		ret = make_queue(e, p);
	if (ret)
		free_pipe(p);
	else
		*out = p;
	return ret;
}

static int start_helper(struct vfm_engine *e, struct vfm_channel *c)
{
	struct vfm_helper *h = &e->pipe->helpers[c->number];
	int ret;

	*h = (struct vfm_helper){ .e = e, .pipe = e->pipe, .channel = c };
	if (!c->number) {
		h->out = e->out;
		h->in = e->in;
	}
	ret = vfm_engine_thread(&h->thread, e->sink ? vfm_helper_run_in : vfm_helper_run_out, h);
	return ret ? vfm_fail(&e->err, ret, "start a thread: %s", strerror(-ret)) : 0;
}

int vfm_pipe_start(struct vfm_engine *e)
{
	struct vfm_pipe *p = NULL;
	int ret = make_pipe(e, &p);

	if (ret)
		return ret;
	e->pipe = p;
	p->nr_helpers = e->nr_channels;
	for (unsigned int i = 0; !ret && i < e->nr_channels; i++) {
		ret = start_helper(e, &e->channels[i]);
		p->nr_started += !ret;
	}
	if (ret)
		vfm_pipe_stop(e, 0);
	return ret;
}

/* Let a source's helpers finish their records. One that fails cuts the queue. */
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
	for (unsigned int i = 0; i < p->nr_started; i++)
		pthread_join(p->helpers[i].thread, NULL);
	e->pipe = NULL;
	e->spent = p;
	if (e->sink)
		vfm_stream_lend(e->in, NULL);
	else if (p->helpers[0].ret)
		e->torn = true;
}

void vfm_pipe_free(struct vfm_engine *e)
{
	vfm_pipe_stop(e, 0);
	if (e->spent)
		free_pipe(e->spent);
	e->spent = NULL;
}
