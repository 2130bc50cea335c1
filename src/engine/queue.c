// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * One lock for everything: it is held for a few instructions for each MiB. The
 * side that polls is told of a change only if it has asked in vain since, and
 * the descriptor is read only if it was told: a steady flow makes no system call.
 */

#include "engine/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/cleanup.h"

/* Whole pages, for reads that go past the page cache. */
#define BUFFER_ALIGN 4096

/**
 * struct vfm_queue
 * @lock: of all below but @limit, @polls and @fd
 * @changed: what the side that sleeps waits for
 * @fd: an eventfd for the side that polls
 * @asked: that side found nothing, and wants to be told
 * @told: it was, and @fd is readable
 * @made: how many buffers there are; @newest is the last of them
 * @empty: a stack of them
 * @first, @last: those that are full
 * @out: so many were put and not given back yet
 */
struct vfm_queue {
	size_t limit;
	enum vfm_queue_side polls;
	int fd;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool asked, told;
	bool ended, cut;
	size_t made;
	struct vfm_buffer *newest;
	struct vfm_buffer *empty;
	struct vfm_buffer *first, **last;
	size_t out;
};

int vfm_queue_new(struct vfm_queue **out, size_t limit, enum vfm_queue_side polls,
		  struct vfm_err *err)
{
	struct vfm_queue *q = calloc(1, sizeof(*q));

	if (!q)
		return vfm_fail(err, -ENOMEM, "no memory for a queue");
	q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->fd < 0) {
		int ret = vfm_fail(err, -errno, "eventfd of a queue: %s", strerror(errno));

		free(q);
		return ret;
	}
	q->limit = limit;
	q->polls = polls;
	q->last = &q->first;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->changed, NULL);
	*out = q;
	return 0;
}

static void free_buffer(struct vfm_buffer *buffer)
{
	free(buffer->bytes);
	free(buffer);
}

void vfm_queue_free(struct vfm_queue *q)
{
	if (!q)
		return;
	while (q->newest) {
		struct vfm_buffer *buffer = q->newest;

		q->newest = buffer->made_before;
		free_buffer(buffer);
	}
	pthread_cond_destroy(&q->changed);
	pthread_mutex_destroy(&q->lock);
	vfm_close_fd(&q->fd);
	free(q);
}

int vfm_queue_fd(const struct vfm_queue *q)
{
	return q->fd;
}

/* ---- waiting; the lock is held ------------------------------------------- */

/* @side comes to look: what it was told is what it sees now. */
static void enter(struct vfm_queue *q, enum vfm_queue_side side)
{
	eventfd_t count;

	pthread_mutex_lock(&q->lock);
	if (side != q->polls)
		return;
	q->asked = false;
	if (q->told)
		eventfd_read(q->fd, &count);
	q->told = false;
}

/* There is nothing for @side: -EAGAIN, or 0 when it has slept and may look again. */
static int pause_side(struct vfm_queue *q, enum vfm_queue_side side)
{
	if (side == q->polls) {
		q->asked = true;
		return -EAGAIN;
	}
	pthread_cond_wait(&q->changed, &q->lock);
	return 0;
}

static void wake(struct vfm_queue *q, enum vfm_queue_side side)
{
	if (side != q->polls) {
		pthread_cond_signal(&q->changed);
		return;
	}
	if (!q->asked)
		return;
	q->asked = false;
	/* Cannot fail: it was 0. */
	q->told = !eventfd_write(q->fd, 1);
}

/* ---- buffers; the lock is held ------------------------------------------- */

static struct vfm_buffer *make(struct vfm_queue *q)
{
	struct vfm_buffer *buffer = calloc(1, sizeof(*buffer));

	if (!buffer)
		return NULL;
	buffer->bytes = aligned_alloc(BUFFER_ALIGN, VFM_QUEUE_BUFFER);
	if (!buffer->bytes) {
		free(buffer);
		return NULL;
	}
	buffer->made_before = q->newest;
	q->newest = buffer;
	q->made++;
	return buffer;
}

static void release(struct vfm_queue *q, struct vfm_buffer *buffer)
{
	buffer->next = q->empty;
	q->empty = buffer;
	q->out--;
}

static void drop_all(struct vfm_queue *q)
{
	while (q->first) {
		struct vfm_buffer *buffer = q->first;

		q->first = buffer->next;
		release(q, buffer);
	}
	q->last = &q->first;
}

/* ---- the producer -------------------------------------------------------- */

static int find_empty(struct vfm_queue *q, struct vfm_buffer **out)
{
	if (q->cut)
		return -EPIPE;
	*out = q->empty;
	if (*out) {
		q->empty = (*out)->next;
		return 0;
	}
	if (q->made == q->limit)
		return -EAGAIN;
	*out = make(q);
	return *out ? 0 : -ENOMEM;
}

int vfm_queue_get(struct vfm_queue *q, struct vfm_buffer **out)
{
	int ret;

	enter(q, VFM_QUEUE_PRODUCER);
	do {
		ret = find_empty(q, out);
	} while (ret == -EAGAIN && !pause_side(q, VFM_QUEUE_PRODUCER));
	pthread_mutex_unlock(&q->lock);
	return ret;
}

void vfm_queue_unget(struct vfm_queue *q, struct vfm_buffer *buffer)
{
	pthread_mutex_lock(&q->lock);
	buffer->next = q->empty;
	q->empty = buffer;
	pthread_mutex_unlock(&q->lock);
}

void vfm_queue_put(struct vfm_queue *q, struct vfm_buffer *buffer)
{
	pthread_mutex_lock(&q->lock);
	buffer->next = NULL;
	*q->last = buffer;
	q->last = &buffer->next;
	q->out++;
	wake(q, VFM_QUEUE_CONSUMER);
	pthread_mutex_unlock(&q->lock);
}

void vfm_queue_drop(struct vfm_queue *q)
{
	pthread_mutex_lock(&q->lock);
	drop_all(q);
	pthread_mutex_unlock(&q->lock);
}

void vfm_queue_end(struct vfm_queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->ended = true;
	wake(q, VFM_QUEUE_CONSUMER);
	pthread_mutex_unlock(&q->lock);
}

int vfm_queue_idle(struct vfm_queue *q)
{
	int ret;

	enter(q, VFM_QUEUE_PRODUCER);
	do {
		ret = q->cut ? -EPIPE : q->out ? -EAGAIN : 0;
	} while (ret == -EAGAIN && !pause_side(q, VFM_QUEUE_PRODUCER));
	pthread_mutex_unlock(&q->lock);
	return ret;
}

/* ---- the consumer -------------------------------------------------------- */

static int find_full(struct vfm_queue *q, struct vfm_buffer **out)
{
	if (q->cut)
		return -EPIPE;
	*out = q->first;
	if (!*out)
		return q->ended ? -ENODATA : -EAGAIN;
	q->first = (*out)->next;
	if (!q->first)
		q->last = &q->first;
	return 0;
}

int vfm_queue_take(struct vfm_queue *q, struct vfm_buffer **out)
{
	int ret;

	enter(q, VFM_QUEUE_CONSUMER);
	do {
		ret = find_full(q, out);
	} while (ret == -EAGAIN && !pause_side(q, VFM_QUEUE_CONSUMER));
	pthread_mutex_unlock(&q->lock);
	return ret;
}

void vfm_queue_give(struct vfm_queue *q, struct vfm_buffer *buffer)
{
	pthread_mutex_lock(&q->lock);
	release(q, buffer);
	wake(q, VFM_QUEUE_PRODUCER);
	pthread_mutex_unlock(&q->lock);
}

void vfm_queue_cut(struct vfm_queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->cut = true;
	drop_all(q);
	wake(q, VFM_QUEUE_PRODUCER);
	wake(q, VFM_QUEUE_CONSUMER);
	pthread_mutex_unlock(&q->lock);
}
