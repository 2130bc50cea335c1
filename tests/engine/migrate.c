// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Migrations in one process that must succeed, and what they must have moved. */

#include "rig.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "engine/engine.h"

#define MIB (UINT64_C(1) << 20)

static void every_feature_set(void **state)
{
	static const unsigned int features[] = { 1, 3, 5, 7 };

	(void)state;
	for (int i = 0; i < 8; i++) {
		unsigned int f = features[i / 2];
		bool memory = i & 1;
		char params[64];
		struct rig r;

		snprintf(params, sizeof(params), "state=3M,initial=1M,features=%u", f);
		rig_open(&r, params, memory ? 4 * MIB : 0);
		rig_start(&r, 0);
		rig_step(r.src, memory ? 3000 : 0, 50);
		assert_int_equal(rig_migrate(&r, NULL), 0);
		assert_true(r.report.state_bytes >= 3 * MIB);
		/* one more if the first one measured too little to predict with */
		assert_int_equal(r.report.rounds > 0, memory || f & VFM_MIGRATION_PRE_COPY);
		assert_int_equal(r.report.memory_bytes, memory ? 4 * MIB : 0);
		assert_false(r.report.all_dirty);
		assert_true(r.report.downtime_us && r.report.downtime_us <= r.report.total_us);
		rig_check_moved(&r);
		rig_close(&r);
	}
}

/* However fast all of it is: the device has something to do when pre-copy begins. */
static void wait_for_work(void *user, const struct vfm_migration_report *now)
{
	struct pollfd fd = { .fd = vfm_device_get_fd(user), .events = POLLIN };

	if (now->phase == VFM_PHASE_PRECOPY)
		assert_int_equal(poll(&fd, 1, 10000), 1);
}

/* A device that works all the time. */
static void a_busy_device(void **state)
{
	static const char *const params[] = {
		"state=6M,initial=2M,dirty=4M,load-rate=100M",
		"state=6M,initial=2M,dirty=4M,features=3",
	};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct vfm_migrate_opts opts = rig_opts();
		struct rig r;

		rig_open(&r, params[i], 8 * MIB);
		rig_start(&r, 10 * MIB);
		opts.progress = wait_for_work;
		opts.user = r.src;
		assert_int_equal(rig_migrate(&r, &opts), 0);
		assert_true(r.report.bytes_per_second > MIB);
		assert_true(r.ws->processed > 0);
		rig_check_moved(&r);
		rig_close(&r);
	}
}

struct at_stop {
	struct rig *r;
	uint64_t writes;
};

/* The last moment at which the source works. */
static void work_at_stop(void *user, const struct vfm_migration_report *now)
{
	struct at_stop *at = user;

	if (now->phase == VFM_PHASE_STOP)
		rig_step(at->r->src, at->writes, 20);
}

/* Writes after the last round arrive, and the check would notice if they did not. */
static void the_last_report_counts(void **state)
{
	(void)state;
	for (unsigned int lost = 0; lost <= 6; lost++) {
		struct vfm_migrate_opts opts = rig_opts();
		struct vfm_err err;
		struct rig r;
		struct at_stop at = { &r, 500 };

		rig_open(&r, "state=1M", 4 * MIB);
		rig_start(&r, 0);
		rig_step(r.src, 1000, 10);
		opts.progress = work_at_stop;
		opts.user = &at;
		r.ws->lose_report = lost;
		assert_int_equal(rig_migrate(&r, &opts), 0);
		assert_int_equal(r.ws->reports,
				 6); /* a round, when it was loaded, the stop; two ranges */
		/* The ring is in the second range, and idle before the stop. */
		if (lost == 6)
			assert_int_equal(rig_check(&r, r.dst, r.dst_mem, &err), -EBADMSG);
		else
			rig_check_moved(&r);
		rig_close(&r);
	}
}

static void a_log_that_fails(void **state)
{
	(void)state;
	for (unsigned int failing = 0; failing <= 6; failing++) {
		struct vfm_migrate_opts opts = rig_opts();
		struct rig r;
		struct at_stop at = { &r, 500 };

		rig_open(&r, "state=1M", 4 * MIB);
		rig_start(&r, 0);
		rig_step(r.src, 1000, 10);
		opts.progress = work_at_stop;
		opts.user = &at;
		r.ws->fail_report = failing;
		r.ws->no_log = !failing;
		assert_int_equal(rig_migrate(&r, &opts), 0);
		assert_true(r.report.all_dirty);
		rig_check_moved(&r);
		rig_close(&r);
	}
}

/* It logs what lies between, too, and nothing of what was asked for is missing. */
static void a_log_of_few_ranges(void **state)
{
	struct vfm_migrate_opts opts = rig_opts();
	struct rig r;
	struct at_stop at = { &r, 500 };

	(void)state;
	rig_open(&r, "state=1M", 4 * MIB);
	rig_start(&r, 0);
	rig_step(r.src, 1000, 10);
	opts.progress = work_at_stop;
	opts.user = &at;
	r.ws->max_ranges = 1;
	assert_int_equal(rig_migrate(&r, &opts), 0);
	assert_int_equal(r.ws->log_ranges, 1);
	assert_false(r.report.all_dirty);
	rig_check_moved(&r);
	rig_close(&r);
}

/* Without a limit nothing is to be measured, and memory that is sent twice is a waste. */
static void no_log_and_no_limit(void **state)
{
	struct vfm_migrate_opts opts = rig_opts();
	struct rig r;

	(void)state;
	rig_open(&r, "state=1M,features=1", 4 * MIB);
	rig_start(&r, 0);
	r.ws->no_log = true;
	opts.max_downtime_ms = 0;
	assert_int_equal(rig_migrate(&r, &opts), 0);
	assert_int_equal(r.report.memory_bytes, 4 * MIB);
	rig_check_moved(&r);
	rig_close(&r);
}

static void a_paused_source(void **state)
{
	static const unsigned int features[] = { 1, 7 };

	(void)state;
	for (int i = 0; i < 2; i++) {
		char params[64];
		struct rig r;

		snprintf(params, sizeof(params), "state=1M,features=%u", features[i]);
		rig_open(&r, params, 4 * MIB);
		rig_start(&r, 0);
		rig_step(r.src, 1000, 10);
		assert_int_equal(vfm_device_set_state(r.src, VFM_STATE_STOP, NULL), 0);
		assert_int_equal(rig_migrate(&r, NULL), 0);
		assert_true(r.report.committed);
		assert_int_equal(r.report.downtime_us, 0);
		assert_int_equal(r.report.memory_bytes, 4 * MIB);
		assert_int_equal(rig_state(r.src), VFM_STATE_STOP);
		assert_int_equal(rig_state(r.dst), VFM_STATE_STOP);
		/* Nobody may find it armed to run, or to be reset. */
		assert_int_equal(r.ws->orphan, -1);
		assert_int_equal(r.wd->orphan, VFM_ORPHAN_KEEP);
		assert_int_equal(vfm_device_set_state(r.dst, VFM_STATE_RUNNING, NULL), 0);
		rig_check_moved(&r);
		rig_close(&r);
	}
}

static void devices_that_tell_little(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct rig r;

		rig_open(&r, "state=3M", 4 * MIB);
		rig_start(&r, 0);
		rig_step(r.src, 1000, 10);
		r.ws->no_info = i & 1;
		r.ws->zero_for_nomsg = i & 2;
		r.ws->no_orphan = r.wd->no_orphan = i & 1;
		assert_int_equal(rig_migrate(&r, NULL), 0);
		if (r.ws->no_info) /* then all that there is, before the stop */
			assert_true(r.report.phases[VFM_PHASE_PRECOPY].device_bytes >= 3 * MIB);
		rig_check_moved(&r);
		rig_close(&r);
	}
}

/* Sizes beyond all reason are not believed, in either direction. */
static void a_size_that_is_nonsense(void **state)
{
	static const uint64_t sizes[] = { UINT64_MAX, INT64_MAX, (UINT64_C(1) << 40) + 1, 1 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct rig r;

		rig_open(&r, "state=1M", 0);
		rig_start(&r, 0);
		r.ws->data_size = sizes[i];
		r.ws->initial = i == 0 ? UINT64_MAX : 0;
		assert_int_equal(rig_migrate(&r, NULL), 0);
		rig_check_moved(&r);
		rig_close(&r);
	}
}

/* What was never written is neither sent nor touched, and becomes zero over there. */
static void memory_with_holes(void **state)
{
	uint64_t begin, end;
	struct rig r;

	(void)state;
	rig_open(&r, "state=1M", 512 * MIB);
	rig_start(&r, 0);
	rig_step(r.src, 160, 0);
	/* The same ranges over there, full of something else in places. */
	assert_int_equal(
		vfm_memory_add(r.dst_mem, 0, 256 * MIB, VFM_DMA_READ | VFM_DMA_WRITE, NULL), 0);
	assert_int_equal(vfm_memory_add(r.dst_mem, RIG_IOVA, 256 * MIB,
					VFM_DMA_READ | VFM_DMA_WRITE, NULL),
			 0);
	assert_int_equal(vfm_memory_map(r.dst_mem, r.dst, NULL), 0);
	memset(vfm_memory_at(r.dst_mem, RIG_IOVA + 5 * MIB, 3 * MIB), 0xee, 3 * MIB);
	memset(vfm_memory_at(r.dst_mem, 2 * MIB, MIB), 0xee, MIB);
	assert_int_equal(rig_migrate(&r, NULL), 0);
	assert_int_equal(r.report.memory_bytes, 512 * MIB);
	assert_true(r.report.wire_bytes < 3 * MIB);
	vfm_memory_find_data(r.src_mem, 0, 4096, &begin, &end);
	assert_int_equal(begin, 256 * MIB);
	vfm_memory_find_data(r.dst_mem, 0, 4096, &begin, &end);
	assert_int_equal(begin, 2 * MIB);
	assert_int_equal(end, 3 * MIB);
	rig_check_moved(&r);
	assert_int_equal(*(uint8_t *)vfm_memory_at(r.dst_mem, 3 * MIB - 1, 1), 0);
	rig_close(&r);
}

/*
 * What was armed at the first change of state, and at the last; and what the other
 * side had armed when this one disarmed.
 */
struct arming {
	bool seen;
	int first, last;
	struct wrap *other;
	int other_then;
};

static void watch_arming(struct wrap *w, const char *call)
{
	struct arming *a = w->user;

	if (!strcmp(call, "set_orphan") && a->seen && a->other)
		a->other_then = a->other->orphan;
	if (strcmp(call, "set_state"))
		return;
	if (!a->seen)
		a->first = w->orphan;
	a->seen = true;
	a->last = w->orphan;
}

/* COMMIT has been seen: a source that died now would have to leave its device stopped. */
static int check_source(void *user, struct vfm_device *dev, struct vfm_err *err)
{
	struct rig *r = user;

	(void)dev;
	return r->ws->orphan == VFM_ORPHAN_KEEP ? 0 : vfm_fail(err, -EUSERS, "still armed");
}

static void what_if_we_die(void **state)
{
	struct vfm_migrate_opts opts = rig_opts();
	struct arming src = { 0 }, dst = { 0 };
	struct rig r;

	(void)state;
	rig_open(&r, "state=1M", 0);
	rig_start(&r, 0);
	r.ws->hook = r.wd->hook = watch_arming;
	r.ws->user = &src;
	r.wd->user = &dst;
	src.other = r.wd;
	src.other_then = -1;
	opts.before_run = check_source;
	opts.user = &r;
	assert_int_equal(rig_migrate(&r, &opts), 0);
	assert_int_equal(src.first, VFM_ORPHAN_RUN);
	assert_int_equal(dst.first, VFM_ORPHAN_RESET);
	assert_int_equal(src.last, VFM_ORPHAN_KEEP);
	assert_int_equal(dst.last, VFM_ORPHAN_KEEP);
	/* The source may commit once it has heard LOADED: by then nothing may be reset. */
	assert_int_equal(src.other_then, VFM_ORPHAN_KEEP);
	assert_int_equal(r.ws->orphan, VFM_ORPHAN_KEEP);
	assert_int_equal(r.wd->orphan, VFM_ORPHAN_KEEP);
	rig_check_moved(&r);
	rig_close(&r);
}

static int wire(void *user, struct vfm_device *dev, struct vfm_err *err)
{
	struct rig *r = user;

	assert_ptr_equal(dev, &r->wd->dev);
	assert_int_equal(rig_state(r->dst), VFM_STATE_STOP);
	return r->wd->user ? vfm_fail(err, -EUSERS, "no wires") : 0;
}

static void before_it_runs(void **state)
{
	(void)state;
	for (int fails = 0; fails < 2; fails++) {
		struct vfm_migrate_opts opts = rig_opts();
		struct rig r;

		rig_open(&r, "state=1M", 0);
		rig_start(&r, 0);
		opts.before_run = wire;
		opts.user = &r;
		r.wd->user = fails ? &r : NULL;
		assert_int_equal(rig_migrate(&r, &opts), fails ? -EUSERS : 0);
		if (fails) {
			/* The source gave it away, and must not take it back by guess. */
			assert_string_equal(r.err.msg,
					    "commit: destination: run: no wires; the device was "
					    "given to the destination");
			assert_true(r.report.committed);
			assert_int_equal(rig_state(r.src), VFM_STATE_STOP);
			assert_int_equal(rig_state(r.dst), VFM_STATE_STOP);
		} else {
			rig_check_moved(&r);
		}
		rig_close(&r);
	}
}

static void fail_run(struct wrap *w, const char *call)
{
	if (strcmp(call, "set_state") || rig_state(w->inner) != VFM_STATE_STOP)
		return;
	w->fault = WRAP_BEFORE;
	w->at = w->calls;
}

/* After COMMIT nobody resets the only copy there is. */
static void it_does_not_run(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "state=1M", 0);
	rig_start(&r, 0);
	rig_step(r.src, 0, 5);
	r.wd->hook = fail_run;
	assert_int_equal(rig_migrate(&r, NULL), -EIO);
	assert_non_null(strstr(r.err.msg, "commit: destination: run: "));
	assert_true(r.report.committed);
	assert_int_equal(rig_state(r.src), VFM_STATE_STOP);
	assert_int_equal(rig_state(r.dst), VFM_STATE_STOP);
	assert_int_equal(vfm_device_set_state(r.dst, VFM_STATE_RUNNING, NULL), 0);
	assert_true(rig_owns(r.dst));
	assert_int_equal(rig_check(&r, r.dst, NULL, NULL), 0);
	rig_close(&r);
}

static void options_of_any_age(void **state)
{
	struct {
		struct vfm_migrate_opts opts;
		uint64_t later;
	} longer = { VFM_MIGRATE_OPTS(), 0 };
	struct vfm_migrate_opts short_one = { .size = 2 * sizeof(size_t) };
	struct rig r;

	(void)state;
	rig_open(&r, "state=64K", 0);
	rig_start(&r, 0);
	longer.opts.size = sizeof(longer);
	longer.later = 1;
	assert_int_equal(rig_migrate(&r, &longer.opts), -EINVAL);
	longer.opts.size = 3;
	assert_int_equal(rig_migrate(&r, &longer.opts), -EINVAL);
	assert_int_equal(vfm_migrate(r.src, NULL, r.src, NULL, NULL, NULL, &r.err), -EINVAL);
	assert_true(rig_owns(r.src));
	longer.opts.size = sizeof(longer);
	longer.later = 0;
	r.err.code = 0;
	assert_int_equal(rig_migrate(&r, &longer.opts), 0);
	rig_check_moved(&r);
	rig_close(&r);
	rig_open(&r, "state=64K", 0);
	rig_start(&r, 0);
	assert_int_equal(rig_migrate(&r, &short_one), 0);
	rig_check_moved(&r);
	rig_close(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_feature_set),
		cmocka_unit_test(a_busy_device),
		cmocka_unit_test(the_last_report_counts),
		cmocka_unit_test(a_log_that_fails),
		cmocka_unit_test(a_log_of_few_ranges),
		cmocka_unit_test(no_log_and_no_limit),
		cmocka_unit_test(a_paused_source),
		cmocka_unit_test(devices_that_tell_little),
		cmocka_unit_test(a_size_that_is_nonsense),
		cmocka_unit_test(memory_with_holes),
		cmocka_unit_test(what_if_we_die),
		cmocka_unit_test(before_it_runs),
		cmocka_unit_test(it_does_not_run),
		cmocka_unit_test(options_of_any_age),
	};

	return RUN_TESTS(tests);
}
