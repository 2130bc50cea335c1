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
#include <stdlib.h>
#include <string.h>

#include "engine/queue.h"
#include "random.h"

#define PATIENCE_MS 20000
#define LIMIT 5
#define WAYS 4
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
	assert_int_equal(vfm_queue_take(q, 0, &m->taken[m->nr_taken]), 0);
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
	assert_int_equal(vfm_queue_take(q, 0, &buffer), 0);
	vfm_queue_give(q, buffer);
	assert_false(readable(q, 0)); /* nobody has asked */
	assert_int_equal(vfm_queue_get(q, &buffer), 0);
	vfm_queue_put(q, buffer);
	assert_int_equal(vfm_queue_get(q, &buffer), -EAGAIN);
	assert_int_equal(vfm_queue_take(q, 0, &buffer), 0);
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
		assert_int_equal(vfm_queue_take(q, 0, &last), 0);
		vfm_queue_give(q, last);
	}
	for (int i = 0; i < 10; i++) {
		assert_int_equal(vfm_queue_get(q, &buffer), 0);
		assert_ptr_equal(buffer, last);
		vfm_queue_put(q, buffer);
		assert_int_equal(vfm_queue_take(q, 0, &buffer), 0);
		vfm_queue_give(q, buffer);
	}
	vfm_queue_free(q);
}

static void ends(void **state)
{
	struct vfm_queue *q = queue_of(LIMIT, VFM_QUEUE_CONSUMER);
	struct vfm_buffer *buffer;

	(void)state;
	assert_int_equal(vfm_queue_take(q, 0, &buffer), -EAGAIN);
	assert_int_equal(vfm_queue_get(q, &buffer), 0);
	vfm_queue_put(q, buffer);
	vfm_queue_end(q);
	/* What came before the end is not lost. */
	assert_int_equal(vfm_queue_take(q, 0, &buffer), 0);
	assert_int_equal(vfm_queue_take(q, 0, &buffer), -ENODATA);
	vfm_queue_cut(q);
	assert_int_equal(vfm_queue_take(q, 0, &buffer), -EPIPE);
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
			r->ret = patiently(r, vfm_queue_take(r->q, 0, &buffer));
		} while (r->ret == -EAGAIN);
		if (r->ret)
			return NULL;
		assert_true(n < r->items);
		assert_int_equal(buffer->sequence, n);
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

/* ---- several consumers ------------------------------------------------------ */

/* What is for one of them waits for that one, and keeps nobody else from what is behind it. */
static void for_one_consumer(void **state)
{
	struct vfm_queue *q = queue_of(LIMIT, VFM_QUEUE_PRODUCER);
	static const unsigned int ways[] = { 1, VFM_QUEUE_ANY, 0, VFM_QUEUE_ANY };
	static const struct {
		unsigned int way;
		uint64_t sequence;
	} takes[] = { { 0, 1 }, { 0, 2 }, { 1, 0 }, { 0, 3 } };
	struct vfm_buffer *buffer;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(vfm_queue_get(q, &buffer), 0);
		vfm_queue_put_for(q, ways[i], buffer);
	}
	assert_int_equal(vfm_queue_next(q), 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(vfm_queue_take(q, takes[i].way, &buffer), 0);
		assert_int_equal(buffer->sequence, takes[i].sequence);
	}
	assert_int_equal(vfm_queue_idle(q), -EAGAIN);
	vfm_queue_free(q);
}

struct consumer {
	struct vfm_queue *q;
	unsigned int way;
	uint64_t taken, own; /* of those, for this one alone */
	pthread_t thread;
};

static void *consume_own(void *arg)
{
	struct consumer *c = arg;
	struct vfm_buffer *buffer;
	uint64_t last = 0;

	while (!vfm_queue_take(c->q, c->way, &buffer)) {
		if (buffer->sequence < last ||
		    (buffer->way != VFM_QUEUE_ANY && buffer->way != c->way))
			abort();
		last = buffer->sequence;
		c->taken++;
		c->own += buffer->way == c->way;
		vfm_queue_give(c->q, buffer);
	}
	return NULL;
}

/* Each of many goes to one that may have it, and nobody sleeps while there is something for it. */
static void shared_out(void **state)
{
	struct vfm_queue *q = queue_of(LIMIT, VFM_QUEUE_PRODUCER);
	struct consumer consumers[WAYS];
	uint64_t own[WAYS] = { 0 }, seed = 5, taken = 0;
	struct run r = { .q = q };
	struct vfm_buffer *buffer;

	(void)state;
	for (unsigned int i = 0; i < WAYS; i++) {
		consumers[i] = (struct consumer){ .q = q, .way = i };
		assert_int_equal(
			pthread_create(&consumers[i].thread, NULL, consume_own, &consumers[i]), 0);
	}
	for (int i = 0; i < ITEMS; i++) {
		unsigned int way = (unsigned int)test_random_below(&seed, 2 * WAYS);
		int ret;

		while ((ret = patiently(&r, vfm_queue_get(q, &buffer))) == -EAGAIN)
			;
		assert_int_equal(ret, 0);
		if (way < WAYS)
			own[way]++;
		vfm_queue_put_for(q, way < WAYS ? way : VFM_QUEUE_ANY, buffer);
		while (i % 100 == 0 && patiently(&r, vfm_queue_idle(q)) == -EAGAIN)
			;
	}
	vfm_queue_end(q);
	for (unsigned int i = 0; i < WAYS; i++) {
		pthread_join(consumers[i].thread, NULL);
		assert_int_equal(consumers[i].own, own[i]);
		taken += consumers[i].taken;
	}
	assert_int_equal(taken, ITEMS);
	vfm_queue_free(q);
}

/* ---- several producers ------------------------------------------------------- */

static struct vfm_queue *ordered(size_t limit, uint64_t first)
{
	struct vfm_queue *q = queue_of(limit, VFM_QUEUE_CONSUMER);

	assert_int_equal(vfm_queue_number(q, first, WAYS, NULL), 0);
	return q;
}

static void bring(struct vfm_queue *q, unsigned int way, uint64_t sequence)
{
	struct vfm_buffer *buffer;

	assert_int_equal(vfm_queue_claim(q, way, sequence, &buffer), 0);
	vfm_queue_put(q, buffer);
}

/* Every order in which five can come: they are taken in one. */
static void order_is_restored(void **state)
{
	(void)state;
	for (unsigned int n = 0; n < 120; n++) {
		struct vfm_queue *q = ordered(LIMIT, 7);
		unsigned int left = n, rest[LIMIT] = { 0, 1, 2, 3, 4 };
		struct vfm_buffer *buffer;
		uint64_t due = 7;

		for (unsigned int i = LIMIT; i; i--) {
			unsigned int pick = left % i;

			left /= i;
			bring(q, i % WAYS, 7 + rest[pick]);
			memmove(&rest[pick], &rest[pick + 1], (i - pick - 1) * sizeof(rest[0]));
			while (!vfm_queue_take(q, 0, &buffer)) {
				assert_int_equal(buffer->sequence, due++);
				assert_int_equal(vfm_queue_due(q), due);
				vfm_queue_give(q, buffer);
			}
		}
		assert_int_equal(due, 7 + LIMIT);
		vfm_queue_free(q);
	}
}

static void once_only(void **state)
{
	struct vfm_queue *q = ordered(LIMIT, 3);
	struct vfm_buffer *buffer, *other;

	(void)state;
	assert_int_equal(vfm_queue_claim(q, 0, 2, &other), -EEXIST);
	assert_int_equal(vfm_queue_claim(q, 0, 3, &buffer), 0);
	assert_int_equal(vfm_queue_claim(q, 1, 3, &other), -EEXIST);
	vfm_queue_put(q, buffer);
	assert_int_equal(vfm_queue_claim(q, 1, 3, &other), -EEXIST);
	assert_int_equal(vfm_queue_take(q, 0, &buffer), 0);
	assert_int_equal(vfm_queue_claim(q, 1, 3, &other), -EEXIST);
	/* one that is kept holds nothing back but its buffer */
	vfm_queue_keep(q, buffer);
	for (uint64_t n = 4; n < 3 + LIMIT; n++)
		bring(q, 1, n);
	assert_int_equal(vfm_queue_take(q, 0, &other), 0);
	vfm_queue_give(q, other);
	bring(q, 1, 3 + LIMIT);
	vfm_queue_give(q, buffer);
	assert_int_equal(vfm_queue_claim(q, 1, 3, &other), -EEXIST);
	vfm_queue_free(q);
}

/* One that nobody can bring any more is told at once, and not before. */
static void one_is_missing(void **state)
{
	struct vfm_queue *q = ordered(LIMIT, 0);
	struct vfm_buffer *buffer;

	(void)state;
	assert_int_equal(vfm_queue_take(q, 0, &buffer), -EAGAIN);
	for (unsigned int i = 0; i < WAYS - 1; i++)
		bring(q, i, 1 + i);
	for (unsigned int i = 0; i < WAYS; i++)
		assert_int_equal(vfm_queue_blames(q, i), i == WAYS - 1);
	assert_int_equal(vfm_queue_take(q, 0, &buffer), -EAGAIN);
	assert_false(readable(q, 0));
	bring(q, WAYS - 1, WAYS);
	assert_true(readable(q, 0));
	assert_int_equal(vfm_queue_take(q, 0, &buffer), -EILSEQ);
	vfm_queue_free(q);

	q = ordered(LIMIT, 0);
	bring(q, 0, 0);
	assert_int_equal(vfm_queue_claim(q, 1, 1, &buffer), 0);
	for (unsigned int i = 0; i < WAYS; i++)
		vfm_queue_leave(q, i);
	/* What was claimed is to come. */
	vfm_queue_put(q, buffer);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(vfm_queue_take(q, 0, &buffer), 0);
		vfm_queue_give(q, buffer);
	}
	assert_int_equal(vfm_queue_take(q, 0, &buffer), -EILSEQ);
	vfm_queue_free(q);
}

static void check_blamed(struct vfm_queue *q, unsigned int bits)
{
	for (unsigned int i = 0; i < WAYS; i++)
		assert_int_equal(vfm_queue_blames(q, i), bits >> i & 1);
}

static void who_is_waited_for(void **state)
{
	struct vfm_queue *q = ordered(LIMIT, 0);
	struct vfm_buffer *buffer;

	(void)state;
	check_blamed(q, 15);
	assert_int_equal(vfm_queue_claim(q, 2, 0, &buffer), 0);
	check_blamed(q, 4);
	vfm_queue_put(q, buffer);
	check_blamed(q, 0);
	assert_int_equal(vfm_queue_take(q, 0, &buffer), 0);
	check_blamed(q, 0); /* the consumer is at work */
	vfm_queue_give(q, buffer);
	check_blamed(q, 15);
	bring(q, 1, 2);
	check_blamed(q, 13);
	vfm_queue_free(q);
}

struct producer {
	struct vfm_queue *q;
	unsigned int way;
	const uint8_t *plan; /* which producer brings which */
	int ret;
	pthread_t thread;
};

static void *bring_own(void *arg)
{
	struct producer *p = arg;
	struct vfm_buffer *buffer;

	for (uint64_t i = 0; !p->ret && i < ITEMS; i++) {
		if (p->plan[i] != p->way)
			continue;
		p->ret = vfm_queue_claim(p->q, p->way, i, &buffer);
		if (p->ret)
			return NULL;
		memcpy(buffer->bytes, &i, sizeof(i));
		vfm_queue_put(p->q, buffer);
	}
	vfm_queue_leave(p->q, p->way);
	return NULL;
}

/* However they are spread, and with the fewest buffers: all come, in order, and nothing hangs. */
static void brought_together(void **state)
{
	static uint8_t plan[ITEMS];
	uint64_t seed = 9;

	(void)state;
	for (size_t limit = 1; limit <= LIMIT; limit++) {
		struct vfm_queue *q = ordered(limit, 0);
		struct producer producers[WAYS];
		struct run out = { .q = q, .items = ITEMS };

		for (size_t i = 0; i < ITEMS; i++)
			plan[i] = (uint8_t)test_random_below(&seed, WAYS);
		for (unsigned int i = 0; i < WAYS; i++) {
			producers[i] = (struct producer){ .q = q, .way = i, .plan = plan };
			assert_int_equal(pthread_create(&producers[i].thread, NULL, bring_own,
							&producers[i]),
					 0);
		}
		consume(&out);
		assert_int_equal(out.ret, -EILSEQ); /* there is none behind the last */
		for (unsigned int i = 0; i < WAYS; i++) {
			pthread_join(producers[i].thread, NULL);
			assert_int_equal(producers[i].ret, 0);
		}
		vfm_queue_free(q);
	}
}

/* Far beyond what is due: it waits without a buffer, and hears of the end. */
static void far_ahead(void **state)
{
	static const uint8_t plan[ITEMS] = { [0 ... ITEMS - 2] = 1 };
	struct vfm_queue *q = ordered(LIMIT, 0);
	struct producer p = { .q = q, .way = 0, .plan = plan };
	struct vfm_buffer *buffer;

	(void)state;
	assert_int_equal(pthread_create(&p.thread, NULL, bring_own, &p), 0);
	for (uint64_t i = 0; i < LIMIT; i++)
		assert_int_equal(vfm_queue_claim(q, 1, i, &buffer), 0);
	vfm_queue_cut(q);
	pthread_join(p.thread, NULL);
	assert_int_equal(p.ret, -EPIPE);
	vfm_queue_free(q);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_steps),	      cmocka_unit_test(told_once),
		cmocka_unit_test(the_warm_one_first), cmocka_unit_test(ends),
		cmocka_unit_test(all_in_order),	      cmocka_unit_test(cut_while_waiting),
		cmocka_unit_test(for_one_consumer),   cmocka_unit_test(shared_out),
		cmocka_unit_test(order_is_restored),  cmocka_unit_test(once_only),
		cmocka_unit_test(one_is_missing),     cmocka_unit_test(who_is_waited_for),
		cmocka_unit_test(brought_together),   cmocka_unit_test(far_ahead),
	};

	return RUN_TESTS(tests);
}
