// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Migrations that must not come about: limits, devices and memory that do not fit, cancellation. */

#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

/* ---- limits -------------------------------------------------------------- */

struct limit {
	const char *params;
	uint64_t memory;
	uint64_t ring_rate;
	uint64_t data_size; /* lie */
	uint64_t initial;   /* lie */
	unsigned int max_ms;
	unsigned int rounds; /* expected */
	const char *text;
};

/* clang-format off */
static const struct limit limits[] = {
	/* told to be large; nothing could be measured */
	{ "state=64K,features=1", 0, 0, UINT64_C(900) << 30, 0, 300, 0, "300 are allowed: reading the source is slowest, 2048.0 MiB/s (assumed) for 921600.0 MiB" },
	/* told to be large; measured */
	{ "state=64K", 0, 0, UINT64_C(900) << 30, 0, 300, 3, "for 921600.0 MiB" },
	/* initial data that never end */
	{ "state=64K", 0, 0, 0, 5 * MIB, 60000, 3, "5.0 MiB of initial data are left" },
	/* really slow, and changing */
	{ "state=4M,dirty=100M,save-rate=40M", 0, 0, 0, 0, 1, 3, ", 1 are allowed: reading the source is slowest" },
	/* no pre-copy and no log: it does not get better */
	{ "state=64K,features=1", 4 * MIB, 0, UINT64_C(900) << 30, 0, 300, 1, "after 1 rounds" },
};
/* clang-format on */

static void refused_by_limit(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct vfm_migrate_opts opts = rig_opts();
		const struct limit *l = &limits[i];
		struct rig r;

		rig_open(&r, l->params, l->memory);
		rig_start(&r, l->ring_rate);
		r.ws->data_size = l->data_size;
		r.ws->initial = l->initial;
		r.ws->no_log = l->memory;
		opts.max_downtime_ms = l->max_ms;
		opts.max_rounds = 3;
		assert_int_equal(rig_migrate(&r, &opts), -EDQUOT);
		if (!strstr(r.err.msg, l->text) ||
		    strstr(r.err.msg, "pre-copy: refused") != r.err.msg)
			fail_msg("%zu: %s", i, r.err.msg);
		assert_int_equal(r.report.phase, VFM_PHASE_PRECOPY);
		assert_int_equal(r.report.rounds, l->rounds);
		assert_int_equal(r.report.downtime_us, 0);
		assert_int_equal(r.ws->orphan, VFM_ORPHAN_KEEP);
		rig_check_back(&r);
		/* And it can still be moved, by somebody who does not mind. */
		opts.max_downtime_ms = 0;
		r.err.code = 0;
		assert_int_equal(rig_migrate(&r, &opts), 0);
		rig_check_moved(&r);
		rig_close(&r);
	}
}

/* ---- what does not fit --------------------------------------------------- */

static void watch_touch(struct wrap *w, const char *call)
{
	static const char *const touching[] = { "set_state", "write_data", "reset", "map_dma",
						"set_orphan" };

	for (size_t i = 0; i < sizeof(touching) / sizeof(touching[0]); i++)
		if (!strcmp(call, touching[i]))
			w->user = w;
}

static void another_device(void **state)
{
	struct rig r, other;

	(void)state;
	rig_open(&r, "state=1M", 2 * MIB);
	rig_open(&other, "state=2M", 0);
	rig_start(&r, 0);
	rig_start(&other, 0);
	rig_step(r.src, 100, 10);
	other.ws->hook = watch_touch;
	assert_int_equal(vfm_migrate(&r.ws->dev, r.src_mem, &other.ws->dev, r.dst_mem, NULL,
				     &r.report, &r.err),
			 -ENOTUNIQ);
	if (strstr(r.err.msg, "setup: destination: setup: ") != r.err.msg)
		fail_msg("%s", r.err.msg);
	assert_null(other.ws->user);
	assert_true(rig_owns(other.src));
	assert_int_equal(vfm_memory_count(r.dst_mem), 0);
	rig_check_back(&r);
	rig_close(&other);
	/* Descriptors of the other rig were open when this one counted. */
	rig_close(&r);
}

struct layout {
	struct vfm_range ranges[2];
	uint32_t flags[2];
	int expect;
};

static void memory_that_does_not_fit(void **state)
{
	static const uint32_t rw = VFM_DMA_READ | VFM_DMA_WRITE;
	const struct layout layouts[] = {
		{ { { RIG_IOVA, MIB }, { 0, MIB } }, { rw, VFM_DMA_READ }, 0 },
		{ { { RIG_IOVA - MIB, 4 * MIB }, { 0, 2 * MIB } }, { rw, rw }, 0 },
		{ { { RIG_IOVA, MIB }, { MIB, MIB } }, { rw, rw }, -ENOTUNIQ },
		{ { { RIG_IOVA, MIB }, { 0, MIB - 4096 } }, { rw, rw }, -ENOTUNIQ },
		{ { { RIG_IOVA + 4096, MIB }, { 0, MIB } }, { rw, rw }, -ENOTUNIQ },
		{ { { RIG_IOVA, MIB }, { 0, MIB } }, { VFM_DMA_READ, rw }, -ENOTUNIQ },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
		const struct layout *l = &layouts[i];
		struct rig r;

		rig_open(&r, "state=64K", 2 * MIB);
		rig_start(&r, 0);
		rig_step(r.src, 100, 10);
		for (int n = 0; n < 2; n++)
			assert_int_equal(vfm_memory_add(r.dst_mem, l->ranges[n].iova,
							l->ranges[n].size, l->flags[n], NULL),
					 0);
		assert_int_equal(vfm_memory_map(r.dst_mem, r.dst, NULL), 0);
		r.wd->hook = watch_touch;
		assert_int_equal(rig_migrate(&r, NULL), l->expect);
		if (l->expect) {
			assert_non_null(strstr(r.err.msg, "does not fit into ours"));
			assert_null(r.wd->user);
			rig_check_back(&r);
		} else {
			rig_check_moved(&r);
		}
		assert_int_equal(vfm_memory_count(r.dst_mem), 2);
		rig_close(&r);
	}
}

static void no_place_for_memory(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "state=64K", 2 * MIB);
	rig_start(&r, 0);
	assert_int_equal(vfm_migrate(&r.ws->dev, r.src_mem, &r.wd->dev, NULL, NULL, &r.report,
				     &r.err),
			 -ENOTSUP);
	rig_check_back(&r);
	/* The other way round there is nothing to complain about. */
	r.err.code = 0;
	assert_int_equal(vfm_sim_stop_ring(r.src, NULL), 0);
	assert_int_equal(
		vfm_migrate(&r.ws->dev, NULL, &r.wd->dev, r.dst_mem, NULL, &r.report, &r.err), 0);
	assert_int_equal(vfm_memory_count(r.dst_mem), 0);
	assert_true(rig_owns(r.dst));
	rig_close(&r);
}

static void a_device_that_does_not_end(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "state=64K", 2 * MIB);
	rig_start(&r, 0);
	r.ws->nomsg_for_zero = true;
	assert_int_equal(rig_migrate(&r, NULL), -EPROTO);
	assert_non_null(strstr(r.err.msg, "stop-copy: "));
	rig_check_back(&r);
	rig_close(&r);
}

static void devices_in_other_states(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "state=64K", 0);
	rig_start(&r, 0);
	assert_int_equal(vfm_device_set_state(r.src, VFM_STATE_PRE_COPY, NULL), 0);
	assert_int_equal(rig_migrate(&r, NULL), -EINVAL);
	assert_non_null(strstr(r.err.msg, "is in PRE_COPY, and must be in RUNNING or STOP"));
	assert_int_equal(rig_state(r.src), VFM_STATE_PRE_COPY);
	assert_int_equal(vfm_device_set_state(r.src, VFM_STATE_RUNNING, NULL), 0);
	assert_int_equal(vfm_device_set_state(r.dst, VFM_STATE_RESUMING, NULL), 0);
	assert_int_equal(rig_migrate(&r, NULL), -EINVAL);
	assert_non_null(strstr(r.err.msg, "destination: setup: "));
	assert_int_equal(rig_state(r.dst), VFM_STATE_RESUMING);
	rig_check_back(&r);
	rig_close(&r);
	rig_open(&r, "state=64K,features=0", 0);
	assert_int_equal(rig_migrate(&r, NULL), -ENOTTY);
	rig_close(&r);
}

/* ---- cancellation -------------------------------------------------------- */

struct cancel {
	int fd;
	enum vfm_phase at;
};

static void set_cancel(int fd)
{
	uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static void cancel_at(void *user, const struct vfm_migration_report *now)
{
	struct cancel *c = user;

	if (now->phase == c->at)
		set_cancel(c->fd);
}

static void cancelled_at_each_phase(void **state)
{
	(void)state;
	for (enum vfm_phase at = VFM_PHASE_SETUP; at <= VFM_PHASE_COMMIT; at++) {
		for (int features = 1; features <= 7; features += 6) {
			struct vfm_migrate_opts opts = rig_opts();
			struct cancel c = { eventfd(0, EFD_CLOEXEC), at };
			char params[64];
			struct rig r;

			snprintf(params, sizeof(params), "state=1M,features=%d", features);
			rig_open(&r, params, 2 * MIB);
			rig_start(&r, 0);
			rig_step(r.src, 100, 10);
			opts.cancel_fd = c.fd;
			opts.progress = cancel_at;
			opts.user = &c;
			assert_int_equal(rig_migrate(&r, &opts), -ECANCELED);
			assert_non_null(strstr(r.err.msg, ": cancelled"));
			assert_int_equal(r.report.phase, at);
			/* It has stood still, and said for how long. */
			assert_int_equal(r.report.downtime_us > 0, at > VFM_PHASE_STOP);
			rig_check_back(&r);
			assert_int_equal(rig_state(r.dst), VFM_STATE_RUNNING);
			assert_int_equal(vfm_memory_count(r.dst_mem), 0);
			r.err.code = 0;
			assert_int_equal(rig_migrate(&r, NULL), 0);
			rig_check_moved(&r);
			rig_close(&r);
			close(c.fd);
		}
	}
}

static int cancel_before_run(void *user, struct vfm_device *dev, struct vfm_err *err)
{
	(void)dev;
	(void)err;
	set_cancel(((struct cancel *)user)->fd);
	return 0;
}

static void too_late_to_cancel(void **state)
{
	struct vfm_migrate_opts opts = rig_opts();
	struct cancel c = { eventfd(0, EFD_CLOEXEC), VFM_PHASE_DONE };
	struct rig r;

	(void)state;
	rig_open(&r, "state=1M", 0);
	rig_start(&r, 0);
	opts.cancel_fd = c.fd;
	opts.before_run = cancel_before_run;
	opts.user = &c;
	assert_int_equal(rig_migrate(&r, &opts), 0);
	rig_check_moved(&r);
	rig_close(&r);
	close(c.fd);
}

/* A peer that says READY and reads no more. */
static void stuck_peer(struct rig *r, struct vfm_migrate_opts *opts, int expect)
{
	struct vfm_stream_writer *w;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	rig_hello(fds[1], false);
	assert_int_equal(vfm_stream_writer_new(&w, fds[1], NULL, NULL), 0);
	assert_int_equal(vfm_stream_write(w, VFM_STREAM_READY, 0, 0, NULL, 0, NULL), 0);
	assert_int_equal(vfm_migrate_send(&r->ws->dev, r->src_mem, fds[0], opts, &r->report,
					  &r->err),
			 expect);
	vfm_stream_writer_free(w);
	close(fds[0]);
	close(fds[1]);
	rig_check_back(r);
}

static void cancel_later(void *user, const struct vfm_migration_report *now)
{
	if (now->phase == VFM_PHASE_PRECOPY && now->total_us > 200000)
		set_cancel(((struct cancel *)user)->fd);
}

/* While the socket is full the device works on, and we hear of cancellation and measure silence. */
static void a_peer_that_does_not_read(void **state)
{
	struct vfm_migrate_opts opts = rig_opts();
	struct cancel c = { .fd = eventfd(0, EFD_CLOEXEC) };
	struct rig r;

	(void)state;
	rig_open(&r, "state=4M", 4 * MIB);
	rig_start(&r, 40 * MIB);
	opts.timeout_ms = 50;
	stuck_peer(&r, &opts, -ETIMEDOUT);
	assert_non_null(strstr(r.err.msg, "pre-copy: the destination was silent for 50 ms"));
	opts.timeout_ms = 10000;
	opts.cancel_fd = c.fd;
	opts.progress = cancel_later;
	opts.user = &c;
	assert_int_equal(
		vfm_sim_write(r.src, VFM_SIM_REG_RING_CONTROL, VFM_SIM_RING_CONTINUE, NULL), 0);
	r.ws->processed = 0;
	stuck_peer(&r, &opts, -ECANCELED);
	/* It has something to do every 5 ms. */
	assert_true(r.ws->processed >= 10);
	rig_close(&r);
	close(c.fd);
}

static void cancel_in_read(struct wrap *w, const char *call)
{
	struct cancel *c = w->user;

	if (!strcmp(call, "read_data"))
		set_cancel(c->fd);
}

/* The destination learns why, as long as nothing is half said: at each phase, and inside of one. */
static void both_hear_of_it(void **state)
{
	(void)state;
	for (enum vfm_phase at = VFM_PHASE_SETUP; at <= VFM_PHASE_COMMIT; at++) {
		struct vfm_migrate_opts opts = rig_opts();
		struct cancel c = { eventfd(0, EFD_CLOEXEC), at };
		struct rig_half half;
		struct rig r;
		int fds[2];

		rig_open(&r, "state=1M", 0);
		rig_start(&r, 0);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		half = (struct rig_half){ .dev = &r.wd->dev, .fd = fds[1] };
		rig_receive_begin(&half);
		opts.cancel_fd = c.fd;
		r.ws->hook = at == VFM_PHASE_SETUP ? cancel_in_read : NULL;
		r.ws->user = &c;
		opts.progress = at == VFM_PHASE_SETUP ? NULL : cancel_at;
		opts.user = &c;
		assert_int_equal(vfm_migrate_send(&r.ws->dev, NULL, fds[0], &opts, &r.report,
						  &r.err),
				 -ECANCELED);
		/* Nobody has hung up. */
		assert_int_equal(rig_join(&half), -ECANCELED);
		if (!strstr(half.err.msg, ": source: ") || !strstr(half.err.msg, ": cancelled"))
			fail_msg("%s", half.err.msg);
		rig_check_back(&r);
		close(fds[0]);
		close(fds[1]);
		rig_close(&r);
		close(c.fd);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_by_limit),
		cmocka_unit_test(another_device),
		cmocka_unit_test(memory_that_does_not_fit),
		cmocka_unit_test(no_place_for_memory),
		cmocka_unit_test(a_device_that_does_not_end),
		cmocka_unit_test(devices_in_other_states),
		cmocka_unit_test(cancelled_at_each_phase),
		cmocka_unit_test(too_late_to_cancel),
		cmocka_unit_test(a_peer_that_does_not_read),
		cmocka_unit_test(both_hear_of_it),
	};

	return RUN_TESTS(tests);
}
