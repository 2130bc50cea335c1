// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Two lists under one lock: what is to be done, and what is done. The descriptor is
 * readable just while the second has something in it.
 */

#include "engine/hands.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "engine/pipe.h"

struct list {
	struct vfm_work *first, **last;
};

/**
 * struct vfm_hands
 * @fd: an eventfd
 * @lock: of what follows
 * @given: there is something to do, or @ended is set
 */
struct vfm_hands {
	unsigned int count;
	pthread_t threads[VFM_HANDS_MAX];
	int fd;
	pthread_mutex_t lock;
	pthread_cond_t given;
	bool ended;
	struct list todo, done;
};

static void push(struct list *list, struct vfm_work *work)
{
	work->next = NULL;
	*list->last = work;
	list->last = &work->next;
}

static struct vfm_work *pop(struct list *list)
{
	struct vfm_work *work = list->first;

	if (!work)
		return NULL;
	list->first = work->next;
	if (!list->first)
		list->last = &list->first;
	return work;
}

static void *work_on(void *arg)
{
	struct vfm_hands *h = arg;
	struct vfm_work *work;

	pthread_mutex_lock(&h->lock);
	for (;;) {
		while (!(work = pop(&h->todo)) && !h->ended)
			pthread_cond_wait(&h->given, &h->lock);
		if (!work)
			break;
		pthread_mutex_unlock(&h->lock);
		work->run(work);
		pthread_mutex_lock(&h->lock);
		if (!h->done.first)
			eventfd_write(h->fd, 1); /* cannot fail: it was 0 */
		push(&h->done, work);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

static int start(struct vfm_hands *h, unsigned int count, struct vfm_err *err)
{
	while (h->count < count) {
		int ret = vfm_engine_thread(&h->threads[h->count], work_on, h);

		if (ret)
			return vfm_fail(err, ret, "start thread %u of %u: %s", h->count + 1, count,
					strerror(-ret));
		h->count++;
	}
	return 0;
}

int vfm_hands_new(struct vfm_hands **out, unsigned int count, struct vfm_err *err)
{
	struct vfm_hands *h = calloc(1, sizeof(*h));
	int ret;

	if (!h)
		return vfm_fail(err, -ENOMEM, "no memory for threads");
	h->todo.last = &h->todo.first;
	h->done.last = &h->done.first;
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->given, NULL);
	h->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->fd < 0)
		ret = vfm_fail(err, -errno, "eventfd of threads: %s", strerror(errno));
	else
		ret = start(h, VFM_MIN(count, VFM_HANDS_MAX), err);
	if (ret)
		vfm_hands_free(h);
	else
		*out = h;
	return ret;
}

void vfm_hands_free(struct vfm_hands *h)
{
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	h->ended = true;
	pthread_cond_broadcast(&h->given);
	pthread_mutex_unlock(&h->lock);
	for (unsigned int i = 0; i < h->count; i++)
		pthread_join(h->threads[i], NULL);
	pthread_cond_destroy(&h->given);
	pthread_mutex_destroy(&h->lock);
	vfm_close_fd(&h->fd);
	free(h);
}

int vfm_hands_fd(const struct vfm_hands *h)
{
	return h->fd;
}

void vfm_hands_give(struct vfm_hands *h, struct vfm_work *work)
{
	pthread_mutex_lock(&h->lock);
	push(&h->todo, work);
	pthread_cond_signal(&h->given);
	pthread_mutex_unlock(&h->lock);
}

struct vfm_work *vfm_hands_collect(struct vfm_hands *h)
{
	struct vfm_work *work;
	eventfd_t count;

	pthread_mutex_lock(&h->lock);
	work = pop(&h->done);
	if (work && !h->done.first)
		eventfd_read(h->fd, &count);
	pthread_mutex_unlock(&h->lock);
	return work;
}
