// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "fake_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* A connection; its timer is over when there is an answer, or no more hope for one. */
struct fake_kv {
	struct vfm_kv kv;
	struct fake_end *end;
	int timer;
	int ret;
	struct vfm_kv_answer answer;
};

static struct fake_kv *fake_of(struct vfm_kv *kv)
{
	return (struct fake_kv *)kv;
}

/* Whether the key still has that revision, and so has the value from now on. */
static bool put(struct fake_store *f, uint64_t revision, const char *value)
{
	if (f->now.revision != revision)
		return false;
	memset(&f->now, 0, sizeof(f->now));
	f->clock++;
	if (!value)
		return true;
	f->now.revision = f->clock;
	f->now.size = (size_t)snprintf(f->now.data, sizeof(f->now.data), "%s", value);
	return true;
}

static void do_it(struct fake_store *f, const struct vfm_kv_request *r, struct vfm_kv_answer *a)
{
	memset(a, 0, sizeof(*a));
	snprintf(f->key, sizeof(f->key), "%s", r->key);
	if (r->swap)
		a->swapped = put(f, r->revision, r->value);
	if (a->swapped)
		a->now.revision = f->now.revision;
	else
		a->now = f->now;
}

static enum fake_fault fault_of(struct fake_end *end)
{
	end->calls++;
	if (!end->at || end->calls < end->at)
		return FAKE_NONE;
	if (end->calls > end->at)
		return end->fault >= FAKE_DOWN ? FAKE_DOWN : FAKE_NONE;
	end->hit = true;
	return end->fault;
}

static void keep_late(struct fake_end *end, const struct vfm_kv_request *r)
{
	end->late = r->swap && r->value;
	if (!end->late)
		return;
	end->late_revision = r->revision;
	snprintf(end->late_value, sizeof(end->late_value), "%s", r->value);
}

static int serve(struct fake_kv *k, const struct vfm_kv_request *r)
{
	struct fake_end *end = k->end;

	if (end->gate && !end->gate(end))
		return -ECONNRESET;
	switch (fault_of(end)) {
	case FAKE_HANG:
		return -ETIMEDOUT;
	case FAKE_LATE_DOWN:
		keep_late(end, r);
		return -ECONNRESET;
	case FAKE_BEFORE:
	case FAKE_DOWN:
		return -ECONNRESET;
	case FAKE_AFTER:
	case FAKE_AFTER_DOWN:
		do_it(end->store, r, &k->answer);
		return -ECONNRESET;
	case FAKE_GARBAGE:
		do_it(end->store, r, &k->answer);
		k->answer.swapped = false;
		k->answer.now = (struct vfm_kv_value){ .revision = 1, .size = 4, .data = "null" };
		break;
	default:
		do_it(end->store, r, &k->answer);
	}
	return end->gate && !end->gate(end) ? -ECONNRESET : 0;
}

static int start(struct vfm_kv *kv, size_t endpoint, const struct vfm_kv_request *request,
		 unsigned int timeout_ms, struct vfm_err *err)
{
	struct fake_kv *k = fake_of(kv);
	struct itimerspec when = { .it_value.tv_nsec = 1 };

	(void)endpoint;
	(void)err;
	pthread_mutex_lock(&k->end->store->lock);
	k->ret = serve(k, request);
	pthread_mutex_unlock(&k->end->store->lock);
	if (k->ret == -ETIMEDOUT)
		when.it_value = (struct timespec){ timeout_ms / 1000, timeout_ms % 1000 * 1000000 };
	return timerfd_settime(k->timer, 0, &when, NULL);
}

static int get_fd(const struct vfm_kv *kv)
{
	return ((const struct fake_kv *)kv)->timer;
}

static int process(struct vfm_kv *kv, struct vfm_kv_answer *answer, struct vfm_err *err)
{
	struct fake_kv *k = fake_of(kv);
	uint64_t times;

	if (read(k->timer, &times, sizeof(times)) != (ssize_t)sizeof(times))
		return -EAGAIN;
	*answer = k->answer;
	return k->ret ? vfm_fail(err, k->ret, "the fake store fails") : 0;
}

static void stop(struct vfm_kv *kv)
{
	(void)kv;
}

static void close_fake(struct vfm_kv *kv)
{
	close(fake_of(kv)->timer);
	free(kv);
}

static const struct vfm_kv_ops ops = {
	.start = start, .get_fd = get_fd, .process = process, .stop = stop, .close = close_fake
};

static int connect_fake(struct vfm_kv **out, const struct vfm_store *store, struct vfm_err *err)
{
	struct fake_kv *k = calloc(1, sizeof(*k));

	if (!k)
		return vfm_fail(err, -ENOMEM, "no memory");
	k->kv = (struct vfm_kv){ .ops = &ops, .nr_endpoints = 1 };
	k->end = (struct fake_end *)store->user;
	k->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	*out = &k->kv;
	return 0;
}

struct vfm_store *fake_new(struct fake_store *f, int end, const char *node, const char *key,
			   unsigned int timeout_ms)
{
	struct vfm_store_opts opts = VFM_STORE_OPTS();
	struct vfm_store *store;

	opts.endpoints = "fake";
	opts.node = node;
	opts.key = key;
	opts.timeout_ms = timeout_ms;
	assert_int_equal(vfm_store_new_over(&store, &opts, connect_fake, &f->ends[end], NULL), 0);
	return store;
}

void fake_reset(struct fake_store *f)
{
	bool (*gate)(const struct fake_end *end) = f->ends[0].gate;

	memset(f, 0, sizeof(*f));
	pthread_mutex_init(&f->lock, NULL);
	for (int i = 0; i < 2; i++)
		f->ends[i] = (struct fake_end){ .store = f, .gate = gate };
}

void fake_aim(struct fake_store *f, int end, enum fake_fault fault, unsigned int at)
{
	f->ends[end].fault = fault;
	f->ends[end].at = at;
	f->ends[end].calls = 0;
	f->ends[end].hit = false;
}

void fake_heal(struct fake_store *f)
{
	for (int i = 0; i < 2; i++)
		fake_aim(f, i, FAKE_NONE, 0);
}

void fake_deliver(struct fake_store *f)
{
	for (int i = 0; i < 2; i++) {
		struct fake_end *end = &f->ends[i];

		if (end->late)
			(void)put(f, end->late_revision, end->late_value);
		end->late = false;
	}
}
