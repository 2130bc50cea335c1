// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The queue between two threads: first against a simple model on one thread, then
 * with two. What hangs here is a lost wakeup: a poll that takes so long fails.
 */

#include "test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "engine/queue.h"
#include "random.h"

#define PATIENCE_MS 20000
#define LIMIT 5
#define ITEMS 10000

static struct vfm_queue *queue_of(size_t limit, enum vfm_queue_side polls)
{
	struct vfm_queue *q;

	assert_int_equal(vfm_queue_new(&q, limit, polls, NULL), 0);
	return q;
}

static bool readable(const struct vfm_queue *q, int timeout_ms)
{
	struct pollfd fd = { .fd = vfm_queue_fd(q), .events = POLLIN };

	return poll(&fd, 1, timeout_ms) == 1;
}

/* ---- one thread ----------------------------------------------------------- */

/* What a queue is: numbers that wait, and how many buffers are where. */
struct model {
	struct vfm_buffer *got[LIMIT], *taken[LIMIT];
	size_t nr_got, nr_taken;
	uint64_t next_in, next_out;
};

static void model_put(struct vfm_queue *q, struct model *m)
{
	struct vfm_buffer *buffer = m->got[--m->nr_got];

	buffer->record.offset = m->next_in++;
	vfm_queue_put(q, buffer);
}

static void model_get(struct vfm_queue *q, struct model *m)
{
	size_t used = m->nr_got + m->nr_taken + (size_t)(m->next_in - m->next_out);
	int ret = vfm_queue_get(q, &m->got[m->nr_got]);

	assert_int_equal(ret, used < LIMIT ? 0 : -EAGAIN);
	if (ret)
		return;
	memset(m->got[m->nr_got]->bytes, 1, VFM_QUEUE_BUFFER);
	m->nr_got++;
}

static void model_take(struct vfm_queue *q, struct model *m)
{
	assert_int_equal(vfm_queue_take(q, &m->taken[m->nr_taken]), 0);
	assert_int_equal(m->taken[m->nr_taken++]->record.offset, m->next_out++);
}

static void random_steps(void **state)
{
	struct vfm_queue *q = queue_of(LIMIT, VFM_QUEUE_PRODUCER);
	struct model m = { .nr_got = 0 };
	uint64_t seed = 11;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		bool waiting = m.next_in != m.next_out;

		switch (test_random_below(&seed, 6)) {
		case 0:
			model_get(q, &m);
			break;
		case 1:
			if (m.nr_got)
				model_put(q, &m);
			break;
		case 2:
			if (waiting)
				model_take(q, &m);
			break;
		case 3:
			if (m.nr_taken)
				vfm_queue_give(q, m.taken[--m.nr_taken]);
			break;
		case 4:
			assert_int_equal(vfm_queue_idle(q), waiting || m.nr_taken ? -EAGAIN : 0);
			break;
		default:
			if (test_random_below(&seed, 10))
				break;
			vfm_queue_drop(q);
			m.next_out = m.next_in;
		}
	}
	vfm_queue_free(q);
}

/* The descriptor is readable when there is something to see, and not again when it was seen. */
static void told_once(void **state)
{
	struct vfm_queue *q = queue_of(1, VFM_QUEUE_PRODUCER);
	struct vfm_buffer *buffer;

	(void)state;
	assert_int_equal(vfm_queue_get(q, &buffer), 0);
	vfm_queue_put(q, buffer);
	assert_int_equal(vfm_queue_take(q, &buffer), 0);
	vfm_queue_give(q, buffer);
	assert_false(readable(q, 0)); /* nobody has asked */
	assert_int_equal(vfm_queue_get(q, &buffer), 0);
	vfm_queue_put(q, buffer);
	assert_int_equal(vfm_queue_get(q, &buffer), -EAGAIN);
	assert_int_equal(vfm_queue_take(q, &buffer), 0);
	assert_false(readable(q, 0));
	vfm_queue_give(q, buffer);
	assert_true(readable(q, 0));
	assert_int_equal(vfm_queue_idle(q), 0);
	assert_false(readable(q, 0));
	assert_int_equal(vfm_queue_get(q, &buffer), 0);
	vfm_queue_free(q);
}

/* A consumer that keeps up sees one buffer, however many there are. */
static void the_warm_one_first(void **state)
{
	struct vfm_queue *q = queue_of(LIMIT, VFM_QUEUE_CONSUMER);
	struct vfm_buffer *last = NULL, *buffer;

	(void)state;
	for (int i = 0; i < LIMIT; i++) {
		assert_int_equal(vfm_queue_get(q, &buffer), 0);
		vfm_queue_put(q, buffer);
	}
	for (int i = 0; i < LIMIT; i++) {
		assert_int_equal(vfm_queue_take(q, &last), 0);
		vfm_queue_give(q, last);
	}
	for (int i = 0; i < 10; i++) {
		assert_int_equal(vfm_queue_get(q, &buffer), 0);
		assert_ptr_equal(buffer, last);
		vfm_queue_put(q, buffer);
		assert_int_equal(vfm_queue_take(q, &buffer), 0);
		vfm_queue_give(q, buffer);
	}
	vfm_queue_free(q);
}

static void ends(void **state)
{
	struct vfm_queue *q = queue_of(LIMIT, VFM_QUEUE_CONSUMER);
	struct vfm_buffer *buffer;

	(void)state;
	assert_int_equal(vfm_queue_take(q, &buffer), -EAGAIN);
	assert_int_equal(vfm_queue_get(q, &buffer), 0);
	vfm_queue_put(q, buffer);
	vfm_queue_end(q);
	/* What came before the end is not lost. */
	assert_int_equal(vfm_queue_take(q, &buffer), 0);
	assert_int_equal(vfm_queue_take(q, &buffer), -ENODATA);
	vfm_queue_cut(q);
	assert_int_equal(vfm_queue_take(q, &buffer), -EPIPE);
	assert_int_equal(vfm_queue_get(q, &buffer), -EPIPE);
	assert_int_equal(vfm_queue_idle(q), -EPIPE);
	vfm_queue_free(q);
}

/* ---- two threads ---------------------------------------------------------- */

struct run {
	struct vfm_queue *q;
	uint64_t items; /* to be put, or taken */
	int ret;	/* of the call that ended it */
};

/* Call again when told; a wait that is too long is a wakeup that was lost. */
static int patiently(const struct run *r, int ret)
{
	if (ret == -EAGAIN && !readable(r->q, PATIENCE_MS))
		fail_msg("nobody told");
	return ret;
}

static void *produce(void *arg)
{
	struct run *r = arg;
	struct vfm_buffer *buffer;

	for (uint64_t i = 0; i < r->items; i++) {
		do {
			r->ret = patiently(r, vfm_queue_get(r->q, &buffer));
		} while (r->ret == -EAGAIN);
		if (r->ret)
			return NULL;
		buffer->record.offset = i;
		memcpy(buffer->bytes, &i, sizeof(i));
		vfm_queue_put(r->q, buffer);
		/* Now and then wait for all of them, as a flush does. */
		while (i % 1000 == 0 && patiently(r, vfm_queue_idle(r->q)) == -EAGAIN)
			;
	}
	vfm_queue_end(r->q);
	return NULL;
}

static void *consume(void *arg)
{
	struct run *r = arg;
	struct vfm_buffer *buffer;
	uint64_t n = 0;

	for (;;) {
		do {
			r->ret = patiently(r, vfm_queue_take(r->q, &buffer));
		} while (r->ret == -EAGAIN);
		if (r->ret || n == r->items)
			return NULL;
		assert_int_equal(buffer->record.offset, n);
		assert_memory_equal(buffer->bytes, &n, sizeof(n));
		n++;
		vfm_queue_give(r->q, buffer);
	}
}

/* Each item comes through, once and in order, whoever polls and however tight it is. */
static void all_in_order(void **state)
{
	(void)state;
	for (size_t limit = 1; limit <= 3; limit++) {
		for (int side = 0; side < 2; side++) {
			struct vfm_queue *q = queue_of(limit, (enum vfm_queue_side)side);
			struct run in = { .q = q, .items = ITEMS };
			struct run out = { .q = q, .items = UINT64_MAX };
			pthread_t thread;

			/* cmocka wants its failures on its own thread, so the one that polls is
			 * here */
			if (side == VFM_QUEUE_PRODUCER) {
				assert_int_equal(pthread_create(&thread, NULL, consume, &out), 0);
				produce(&in);
			} else {
				assert_int_equal(pthread_create(&thread, NULL, produce, &in), 0);
				consume(&out);
			}
			pthread_join(thread, NULL);
			assert_int_equal(in.ret, 0);
			assert_int_equal(out.ret, -ENODATA);
			vfm_queue_free(q);
		}
	}
}

/* Whoever waits hears of the cut: asleep or in a poll, for a buffer or for a record. */
static void cut_while_waiting(void **state)
{
	(void)state;
	for (int polls = 0; polls < 2; polls++) {
		for (int side = 0; side < 2; side++) {
			bool producer = side == VFM_QUEUE_PRODUCER;
			struct vfm_queue *q = queue_of(2, (enum vfm_queue_side)polls);
			struct run r = { .q = q, .items = producer ? ITEMS : UINT64_MAX };
			pthread_t thread;

			assert_int_equal(
				pthread_create(&thread, NULL, producer ? produce : consume, &r), 0);
			vfm_queue_cut(q);
			pthread_join(thread, NULL);
			assert_int_equal(r.ret, -EPIPE);
			vfm_queue_free(q);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_steps),	      cmocka_unit_test(told_once),
		cmocka_unit_test(the_warm_one_first), cmocka_unit_test(ends),
		cmocka_unit_test(all_in_order),	      cmocka_unit_test(cut_while_waiting),
	};

	return RUN_TESTS(tests);
}
