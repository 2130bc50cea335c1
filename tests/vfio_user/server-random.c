// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Random requests, most of them nearly right, against a model of what a server must know: states,
 * mappings, the log, registers. Every reply must have the model's error and say what the model
 * says; now and then the client goes away, and the device must be as the model has it.
 */

#include "server-peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "abi/vfio.h"
#include "base/util.h"
#include "protocol/v2.h"

#define SLOTS 8u
#define SLOT_SIZE 0x4000u
#define STEPS 20000

struct model {
	struct env *e;
	uint64_t random;
	bool extension;
	enum vfm_state state;
	bool mapped[SLOTS]; /* slot n is n * SLOT_SIZE */
	bool logging;
	uint32_t orphan;
	uint8_t region[256];
	size_t data_at;
	bool wired[TEST_VECTORS];
};

static uint32_t pick(struct model *m, uint32_t below)
{
	m->random = m->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(m->random >> 33) % below;
}

/* Where set_state() goes, and what becomes of the session on the way. */
static int model_set_state(struct model *m, uint32_t to)
{
	bool p2p = to == VFM_STATE_RUNNING_P2P || to == VFM_STATE_PRE_COPY_P2P;
	enum vfm_state at = m->state;

	if (to >= VFM_NR_STATES || (!m->extension && p2p))
		return EINVAL;
	while (at != (enum vfm_state)to) {
		enum vfm_state next;

		if (vfm_next_state(m->e->t->migration, at, (enum vfm_state)to, &next))
			return EINVAL;
		if (vfm_arc_session(at, next) != VFM_SESSION_KEEP)
			m->data_at = 0;
		m->state = at = next;
	}
	return 0;
}

static void do_set_state(struct model *m)
{
	uint32_t to = pick(m, 10);

	assert_int_equal(set_state(m->e, to), model_set_state(m, to));
}

static void do_get_state(struct model *m)
{
	uint32_t told = m->state;

	if (!m->extension && told == VFM_STATE_RUNNING_P2P)
		told = VFM_STATE_RUNNING;
	if (!m->extension && told == VFM_STATE_PRE_COPY_P2P)
		told = VFM_STATE_PRE_COPY;
	assert_int_equal(feature(m->e, VFM_FEATURE_GET | 2, 16, NULL), 0);
	assert_int_equal(get32(&m->e->reply, 8), told);
}

static void do_reset(struct model *m)
{
	if (pick(m, 4))
		return;
	assert_int_equal(call_fds(m->e, VFM_VU_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	m->state = VFM_STATE_RUNNING;
}

/* A range that is a slot, or begins or ends wrongly. */
static void do_map(struct model *m)
{
	uint32_t first = pick(m, SLOTS), slots = 1 + pick(m, 2);
	uint64_t shift = pick(m, 6) ? 0 : 0x1000;
	uint32_t want = 0;

	for (uint32_t i = first; i < SLOTS && i < first + slots + (shift > 0); i++)
		want = m->mapped[i] ? EEXIST : want;
	if (slots > 1 || shift) {
		if (!want)
			return; /* would be mapped, and the model knows slots only */
	}
	assert_int_equal(map_dma(m->e, first * (uint64_t)SLOT_SIZE + shift, slots * SLOT_SIZE, 3,
				 pick(m, 2) ? m->e->t->memfd : -1),
			 want);
	if (!want)
		m->mapped[first] = true;
}

static void do_unmap(struct model *m)
{
	uint32_t slot = pick(m, SLOTS), odd = pick(m, 5);
	uint64_t size = odd == 1 ? SLOT_SIZE - 1 : odd == 2 ? 2 * SLOT_SIZE : SLOT_SIZE;
	bool all = !pick(m, 20);
	struct bytes b = { .len = 0 };
	uint32_t want = all || (m->mapped[slot] && size == SLOT_SIZE) ? 0 : ENOENT;

	put32(&b, 24);
	put32(&b, all ? VFM_VU_UNMAP_ALL : 0);
	put64(&b, all ? 0 : slot * (uint64_t)SLOT_SIZE);
	put64(&b, all ? 0 : size);
	assert_int_equal(call(m->e, VFM_VU_DMA_UNMAP, &b), want);
	if (all)
		memset(m->mapped, 0, sizeof(m->mapped));
	else if (!want)
		m->mapped[slot] = false;
}

static void do_log(struct model *m)
{
	bool any = false;
	struct bytes b = { .len = 0 };

	for (uint32_t i = 0; i < SLOTS; i++)
		any |= m->mapped[i];
	if (pick(m, 2)) {
		put64(&b, 4096);
		put64(&b, 0);
		assert_int_equal(feature(m->e, VFM_FEATURE_SET | 6, 24, &b),
				 m->logging || !any ? EINVAL : 0);
		m->logging |= any;
	} else {
		assert_int_equal(feature(m->e, VFM_FEATURE_SET | 7, 8, NULL),
				 m->logging ? 0 : EINVAL);
		m->logging = false;
	}
}

static void do_report(struct model *m)
{
	uint64_t pages = 1 + pick(m, 300);
	uint32_t bytes = (uint32_t)((pages + 63) / 64 * 8), less = !pick(m, 3);
	struct bytes b = { .len = 0 };

	put64(&b, 0);
	put64(&b, pages * 4096);
	put64(&b, 4096);
	assert_int_equal(feature(m->e, VFM_FEATURE_GET | 8, 32 + bytes - less, &b),
			 less || !m->logging ? EINVAL : 0);
	if (!m->e->reply.error)
		assert_int_equal(m->e->reply.size, 32 + bytes);
}

static void do_write(struct model *m)
{
	uint32_t at = pick(m, 256), len = pick(m, 40), lie = pick(m, 8) ? 0 : pick(m, 3) - 1;
	struct bytes b = { .len = 0 };
	bool good = len && !lie && at + len <= 256;

	if (at + len > 256)
		return;
	put64(&b, at);
	put32(&b, 0);
	put32(&b, len + lie);
	for (uint32_t i = 0; i < len; i++) {
		uint8_t byte = (uint8_t)pick(m, 256);

		b.mem[b.len++] = byte;
		if (good)
			m->region[at + i] = byte;
	}
	assert_int_equal(call(m->e, VFM_VU_REGION_WRITE, &b), good		     ? 0
							      : len + lie > 1u << 20 ? E2BIG
										     : EINVAL);
}

static void do_read(struct model *m)
{
	uint32_t at = pick(m, 200), len = 1 + pick(m, 50);
	struct bytes b = { .len = 0 };

	put64(&b, at);
	put32(&b, 0);
	put32(&b, len);
	assert_int_equal(call(m->e, VFM_VU_REGION_READ, &b), 0);
	assert_int_equal(m->e->reply.size, 16 + len);
	assert_memory_equal(m->e->reply.payload + 16, m->region + at, len);
}

static void do_data(struct model *m)
{
	uint32_t size = 1 + pick(m, 20000);
	size_t n = VFM_MIN((size_t)size, TEST_DATA_SIZE - m->data_at);
	struct bytes b = { .len = 0 };

	put32(&b, 8 + size);
	put32(&b, size);
	assert_int_equal(call(m->e, VFM_VU_MIG_DATA_READ, &b),
			 vfm_state_is_saving(m->state) ? 0 : EINVAL);
	if (m->e->reply.error)
		return;
	assert_int_equal(m->e->reply.size, 8 + n);
	for (size_t i = 0; i < n; i += 101)
		assert_int_equal(m->e->reply.payload[8 + i], test_data_byte(m->data_at + i));
	m->data_at += n;
}

static void do_irqs(struct model *m)
{
	uint32_t start = pick(m, TEST_VECTORS + 2), count = pick(m, 6);
	bool fds = pick(m, 2), good = count && start + count <= TEST_VECTORS;
	int list[6];
	struct bytes b = { .len = 0 };

	put32(&b, 20);
	put32(&b, VFM_IRQ_SET_DATA_EVENTFD | VFM_IRQ_SET_ACTION_TRIGGER);
	put32(&b, 1);
	put32(&b, start);
	put32(&b, count);
	for (uint32_t i = 0; i < 6; i++)
		list[i] = m->e->t->io_fds[i % 3];
	assert_int_equal(call_fds(m->e, VFM_VU_DEVICE_SET_IRQS, b.mem, b.len, list,
				  fds ? count : 0),
			 good ? 0 : EINVAL);
	for (uint32_t i = start; good && i < start + count; i++)
		m->wired[i] = fds;
}

static void do_orphan(struct model *m)
{
	uint32_t policy = pick(m, 4);
	struct bytes b = { .len = 0 };
	uint32_t want = !m->extension ? ENOTTY : policy > 2 ? EINVAL : 0;

	put32(&b, policy);
	put32(&b, 0);
	assert_int_equal(feature(m->e, VFM_FEATURE_SET | VFM_VU_EXT_ORPHAN, 16, &b), want);
	if (!want)
		m->orphan = policy;
}

/* Bytes that mean nothing: any answer will do, so long as there is one, and nothing happens. */
static void do_nonsense(struct model *m)
{
	uint8_t payload[64];
	size_t len = pick(m, sizeof(payload));
	uint16_t command = (uint16_t)(40 + pick(m, 1000));

	for (size_t i = 0; i < len; i++)
		payload[i] = (uint8_t)pick(m, 256);
	assert_int_equal(call_fds(m->e, command, payload, len, m->e->t->io_fds, pick(m, 3)),
			 ENOTTY);
}

/* The client vanishes, perhaps in the middle of a message. */
static void do_leave(struct model *m)
{
	if (pick(m, 30))
		return;
	if (pick(m, 2))
		test_send_raw(vfm_vu_conn_fd(m->e->conn), "\1\0\2\0\60\0\0\0\0", 1 + pick(m, 9),
			      m->e->t->io_fds, 1);
	env_leave(m->e);
	assert_int_equal(m->e->t->nr_maps, 0);
	assert_int_equal(m->e->t->log_page_size, 0);
	assert_int_equal(test_device_wired(m->e->t), 0);
	if (m->orphan == VFM_ORPHAN_RUN &&
	    (vfm_state_is_saving(m->state) || m->state == VFM_STATE_STOP)) {
		m->state = VFM_STATE_RUNNING;
		m->data_at = 0;
	}
	if (m->orphan == VFM_ORPHAN_RESET &&
	    (m->state == VFM_STATE_RESUMING || m->state == VFM_STATE_STOP))
		m->state = VFM_STATE_RUNNING;
	assert_int_equal(m->e->t->state, m->state);
	m->orphan = VFM_ORPHAN_KEEP;
	m->logging = false;
	memset(m->mapped, 0, sizeof(m->mapped));
	memset(m->wired, 0, sizeof(m->wired));
	m->extension = pick(m, 2);
	env_join(m->e, m->extension ? EXTENDED : STANDARD);
}

static void (*const steps[])(struct model *m) = {
	do_set_state, do_set_state, do_get_state, do_reset,    do_map,
	do_unmap,     do_log,	    do_report,	  do_write,    do_read,
	do_data,      do_irqs,	    do_orphan,	  do_nonsense, do_leave,
};

static void compare(struct model *m)
{
	unsigned int mapped = 0, wired = 0;

	for (uint32_t i = 0; i < SLOTS; i++)
		mapped += m->mapped[i];
	for (uint32_t i = 0; i < TEST_VECTORS; i++)
		wired += m->wired[i];
	assert_int_equal(m->e->t->state, m->state);
	assert_int_equal(m->e->t->nr_maps, mapped);
	assert_int_equal(test_device_wired(m->e->t), wired);
	assert_int_equal(m->e->t->log_page_size != 0, m->logging);
	assert_memory_equal(m->e->t->region, m->region, sizeof(m->region));
}

static void random_requests(void **state)
{
	struct env e;

	(void)state;
	for (uint64_t seed = 1; seed <= 2; seed++) {
		struct model m = { .e = &e, .random = seed, .extension = true };

		env_open(&e);
		env_join(&e, EXTENDED);
		m.state = VFM_STATE_RUNNING;
		for (int i = 0; i < STEPS / 2; i++) {
			steps[pick(&m, VFM_ARRAY_SIZE(steps))](&m);
			compare(&m);
		}
		env_close(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(random_requests) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
