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
 * @first, @last: those that are full, unless they are claimed
 * @out: so many were put and not given back yet
 * @sequence: of the next that is put
 * @slots: with producers that claim: what was claimed and not given back, by its number
 *	modulo @limit; else NULL
 * @due, @given: so many were taken, and given back
 * @producers, @reached: each has claimed up to this number, or waits to
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
	uint64_t sequence;
	struct vfm_buffer **slots;
	uint64_t due, given;
	unsigned int producers;
	uint64_t reached[VFM_QUEUE_WAYS];
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

int vfm_queue_number(struct vfm_queue *q, uint64_t first, unsigned int producers,
		     struct vfm_err *err)
{
	q->sequence = q->due = q->given = first;
	if (!producers)
		return 0;
	q->producers = producers;
	q->slots = calloc(q->limit, sizeof(struct vfm_buffer *));
	return q->slots ? 0 : vfm_fail(err, -ENOMEM, "no memory for a queue");
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
	free(q->slots);
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

/* Of a side that sleeps, all are woken: what has changed may be for one of them alone. */
static void wake(struct vfm_queue *q, enum vfm_queue_side side)
{
	if (side != q->polls) {
		pthread_cond_broadcast(&q->changed);
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

/* No producer can bring the one that is due: all are past it, and none has claimed it. */
static bool is_missing(const struct vfm_queue *q)
{
	if (!q->slots || q->slots[q->due % q->limit])
		return false;
	for (unsigned int i = 0; i < q->producers; i++)
		if (q->reached[i] <= q->due)
			return false;
	return true;
}

static void reach(struct vfm_queue *q, unsigned int way, uint64_t sequence)
{
	q->reached[way] = sequence;
	if (is_missing(q))
		wake(q, VFM_QUEUE_CONSUMER);
}

static int find_claimed(struct vfm_queue *q, uint64_t sequence, struct vfm_buffer **out)
{
	struct vfm_buffer **slot = &q->slots[sequence % q->limit];
	int ret;

	if (q->cut)
		return -EPIPE;
	if (sequence < q->given)
		return -EEXIST;
	if (sequence - q->given >= q->limit)
		return -EAGAIN;
	if (*slot)
		return -EEXIST;
	ret = find_empty(q, out);
	if (!ret)
		*slot = *out;
	return ret;
}

int vfm_queue_claim(struct vfm_queue *q, unsigned int way, uint64_t sequence,
		    struct vfm_buffer **out)
{
	int ret;

	enter(q, VFM_QUEUE_PRODUCER);
	do {
		ret = find_claimed(q, sequence, out);
		if (!ret) {
			(*out)->sequence = sequence;
			(*out)->way = way;
			(*out)->full = false;
		}
		reach(q, way, sequence);
	} while (ret == -EAGAIN && !pause_side(q, VFM_QUEUE_PRODUCER));
	pthread_mutex_unlock(&q->lock);
	return ret;
}

void vfm_queue_leave(struct vfm_queue *q, unsigned int way)
{
	pthread_mutex_lock(&q->lock);
	reach(q, way, UINT64_MAX);
	pthread_mutex_unlock(&q->lock);
}

/* Behind those that were put before. */
static void append(struct vfm_queue *q, unsigned int way, struct vfm_buffer *buffer)
{
	buffer->sequence = q->sequence++;
	buffer->way = way;
	buffer->next = NULL;
	*q->last = buffer;
	q->last = &buffer->next;
}

void vfm_queue_put_for(struct vfm_queue *q, unsigned int way, struct vfm_buffer *buffer)
{
	pthread_mutex_lock(&q->lock);
	if (q->slots)
		buffer->full = true;
	else
		append(q, way, buffer);
	q->out++;
	if (way == VFM_QUEUE_ANY && q->polls == VFM_QUEUE_PRODUCER)
		pthread_cond_signal(&q->changed);
	else
		wake(q, VFM_QUEUE_CONSUMER);
	pthread_mutex_unlock(&q->lock);
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
	vfm_queue_put_for(q, VFM_QUEUE_ANY, buffer);
}

uint64_t vfm_queue_next(struct vfm_queue *q)
{
	uint64_t next;

	pthread_mutex_lock(&q->lock);
	next = q->sequence;
	pthread_mutex_unlock(&q->lock);
	return next;
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

/* The oldest that consumer @way may take. */
static int find_oldest(struct vfm_queue *q, unsigned int way, struct vfm_buffer **out)
{
	struct vfm_buffer **at = &q->first;

	while (*at && (*at)->way != VFM_QUEUE_ANY && (*at)->way != way)
		at = &(*at)->next;
	*out = *at;
	if (!*out)
		return -EAGAIN;
	*at = (*out)->next;
	if (!*at)
		q->last = at;
	return 0;
}

static int find_due(struct vfm_queue *q, struct vfm_buffer **out)
{
	*out = q->slots[q->due % q->limit];
	if (!*out || !(*out)->full || (*out)->sequence != q->due)
		return -EAGAIN;
	q->due++;
	return 0;
}

static int find_full(struct vfm_queue *q, unsigned int way, struct vfm_buffer **out)
{
	int ret;

	if (q->cut)
		return -EPIPE;
	ret = q->slots ? find_due(q, out) : find_oldest(q, way, out);
	if (ret && q->ended)
		return -ENODATA;
	return ret && is_missing(q) ? -EILSEQ : ret;
}

int vfm_queue_take(struct vfm_queue *q, unsigned int way, struct vfm_buffer **out)
{
	int ret;

	enter(q, VFM_QUEUE_CONSUMER);
	do {
		ret = find_full(q, way, out);
	} while (ret == -EAGAIN && !pause_side(q, VFM_QUEUE_CONSUMER));
	pthread_mutex_unlock(&q->lock);
	return ret;
}

uint64_t vfm_queue_due(struct vfm_queue *q)
{
	uint64_t due;

	pthread_mutex_lock(&q->lock);
	due = q->due;
	pthread_mutex_unlock(&q->lock);
	return due;
}

/* Who has claimed what is due must bring it; if nobody has, then one who is not past it. */
bool vfm_queue_blames(struct vfm_queue *q, unsigned int way)
{
	const struct vfm_buffer *due;
	bool blames, room;

	pthread_mutex_lock(&q->lock);
	due = q->slots[q->due % q->limit];
	/* When the consumer has kept all buffers, nobody can bring anything. */
	room = q->empty || q->made < q->limit;
	blames = q->due == q->given && !(due && due->full) &&
		 (due ? due->way == way : room && q->reached[way] <= q->due);
	pthread_mutex_unlock(&q->lock);
	return blames;
}

/* Its number is done with; once. The lock is held. */
static void let_go(struct vfm_queue *q, struct vfm_buffer *buffer)
{
	if (!q->slots || !buffer->full)
		return;
	buffer->full = false;
	q->slots[buffer->sequence % q->limit] = NULL;
	q->given++;
}

void vfm_queue_keep(struct vfm_queue *q, struct vfm_buffer *buffer)
{
	pthread_mutex_lock(&q->lock);
	let_go(q, buffer);
	wake(q, VFM_QUEUE_PRODUCER);
	pthread_mutex_unlock(&q->lock);
}

void vfm_queue_give(struct vfm_queue *q, struct vfm_buffer *buffer)
{
	pthread_mutex_lock(&q->lock);
	let_go(q, buffer);
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
