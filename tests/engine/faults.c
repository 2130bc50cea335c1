// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The fault schedule: every call to either device fails once, every record in
 * either direction is cut, lost or spoilt once, and after each of these there is
 * one owner, memory is whole, nothing has leaked, and a second migration works.
 */

#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "relay.h"

#define MIB (UINT64_C(1) << 20)

#define PARAMS "state=128K,initial=64K,bar=8K,features=%u"
#define MEMORY (128 << 10)

/* A limit on schedules: a bug must not make them endless. */
#define MOST 1000

static void open_rig(struct rig *r, unsigned int features)
{
	char params[96];

	snprintf(params, sizeof(params), PARAMS, features);
	rig_open(r, params, MEMORY);
	rig_start(r, 0);
	rig_step(r->src, 100, 7);
}

/*
 * After a failure: at most one owner, and exactly one unless COMMIT was in
 * flight; the other device is not what the source was. Then again, without fault.
 */
static void check_after(struct rig *r, int ret, bool device_gone, const char *what, unsigned int n)
{
	bool src = rig_owns(r->src), dst = rig_owns(r->dst);
	struct vfm_err err = { 0 };

	r->ws->fault = r->wd->fault = WRAP_NONE;
	if (src && dst)
		fail_msg("%s %u: two owners: %s", what, n, r->err.msg);
	if (!r->report.committed && !src && !device_gone)
		fail_msg("%s %u: no owner: %s", what, n, r->err.msg);
	if (!ret && !dst)
		fail_msg("%s %u: success, and nobody owns it", what, n);
	if (ret && (r->err.code != ret || !r->err.msg[0]))
		fail_msg("%s %u: failed with %d and says %d: %s", what, n, ret, r->err.code,
			 r->err.msg);
	if (r->ws->logs && !device_gone && strcmp(r->ws->failed_call, "stop_log"))
		fail_msg("%s %u: the dirty log is still on", what, n);
	if (!src)
		return;
	assert_int_equal(vfm_sim_stop_ring(r->src, NULL), 0);
	if (rig_check(r, r->src, r->src_mem, &err))
		fail_msg("%s %u: source: %s", what, n, err.msg);
	assert_int_equal(vfm_memory_count(r->dst_mem), 0);
	r->err.code = 0;
	if (rig_migrate(r, NULL))
		fail_msg("%s %u: the second time: %s", what, n, r->err.msg);
	rig_check_moved(r);
}

/* ---- calls to the devices ------------------------------------------------ */

static bool fail_call(unsigned int features, bool source, enum wrap_fault fault, unsigned int n)
{
	struct rig r;
	struct wrap *w;
	bool failed, gone;
	int ret;

	open_rig(&r, features);
	w = source ? r.ws : r.wd;
	w->fault = fault;
	w->at = n;
	ret = rig_migrate(&r, NULL);
	failed = w->failed;
	gone = source && fault == WRAP_GONE;
	if (ret && !gone && !r.report.committed && rig_state(r.dst) != VFM_STATE_RUNNING &&
	    !(fault == WRAP_GONE && !source))
		fail_msg("call %u: the destination was not reset: %s", n, r.err.msg);
	if (gone && r.ws->logs) /* whoever is gone cannot be told to stop */
		assert_int_equal(vfm_device_stop_log(r.src, NULL), 0);
	if (fault == WRAP_GONE && !source && ret && vfm_memory_count(r.dst_mem)) {
		/* It could not be told to let go of them. */
		assert_int_equal(vfm_device_unmap_all(r.dst, NULL), 0);
		assert_int_equal(vfm_device_reset(r.dst, NULL), 0);
		vfm_memory_free(r.dst_mem);
		assert_int_equal(vfm_memory_new(&r.dst_mem, NULL), 0);
	}
	if (fault == WRAP_GONE && !source && ret && rig_state(r.dst) != VFM_STATE_RUNNING)
		assert_int_equal(vfm_device_reset(r.dst, NULL), 0);
	if (gone && ret && !r.report.committed)
		assert_int_equal(vfm_device_set_state(r.src, VFM_STATE_RUNNING, NULL), 0);
	r.ws->logs = gone ? 0 : r.ws->logs;
	check_after(&r, ret, gone, source ? "source's call" : "destination's call", n);
	rig_close(&r);
	return failed;
}

static void schedule(bool source)
{
	static const unsigned int features[] = { 1, 7 };
	unsigned int runs = 0;

	for (int f = 0; f < 2; f++) {
		for (enum wrap_fault fault = WRAP_BEFORE; fault <= WRAP_GONE; fault++) {
			unsigned int n = 1;

			while (fail_call(features[f], source, fault, n))
				assert_true(++n < MOST);
			runs += n;
		}
	}
	print_message("# %u runs\n", runs);
	assert_true(runs > 60);
}

static void each_call_of_the_source(void **state)
{
	(void)state;
	schedule(true);
}

static void each_call_of_the_destination(void **state)
{
	(void)state;
	schedule(false);
}

/* ---- the wire ------------------------------------------------------------ */

static bool break_wire(enum relay_fault fault, bool reverse, unsigned int record, size_t bytes)
{
	struct relay relay = {
		.fault = fault, .reverse = reverse, .record = record, .bytes = bytes
	};
	struct vfm_migrate_opts opts = rig_opts();
	struct rig_half half;
	struct rig r;
	bool late;
	int ret;

	opts.timeout_ms = fault == RELAY_STALL ? 40 : 10000;
	open_rig(&r, 7);
	relay_start(&relay);
	half = (struct rig_half){
		.dev = &r.wd->dev, .mem = r.dst_mem, .fd = relay.fds[1], .opts = &opts
	};
	rig_receive_begin(&half);
	ret = vfm_migrate_send(&r.ws->dev, r.src_mem, relay.fds[0], &opts, &r.report, &r.err);
	rig_join(&half);
	relay_stop(&relay);
	assert_int_equal(half.report.state, rig_state(r.dst));
	assert_int_equal(r.report.state, rig_state(r.src));
	late = !relay.hit && ret == -ETIMEDOUT;
	if (!relay.hit && !late)
		assert_int_equal(ret, 0);
	/* The words of who is the owner agree with the facts. */
	if (half.report.committed)
		assert_true(r.report.committed);
	if (half.ret && !half.report.committed)
		assert_false(rig_owns(r.dst));
	check_after(&r, ret, false, vfm_stream_type_name(relay.type), record);
	rig_close(&r);
	/* On a busy machine anybody may be silent for longer than a short limit: once more. */
	return late ? break_wire(fault, reverse, record, bytes) : relay.hit;
}

static void break_each(enum relay_fault fault, const size_t *bytes, size_t count)
{
	unsigned int runs = 0;

	for (int reverse = 0; reverse < 2; reverse++) {
		for (size_t i = 0; i < count; i++) {
			unsigned int record = 0;

			while (break_wire(fault, reverse, record, bytes[i]))
				assert_true(++record < MOST);
			runs += record;
		}
	}
	print_message("# %u runs\n", runs);
	assert_true(runs >= 10 * count);
}

static void each_record_cut(void **state)
{
	static const size_t bytes[] = { 0, 1, 47, 48, 49, SIZE_MAX };

	(void)state;
	break_each(RELAY_CUT, bytes, 6);
}

static void each_record_spoilt(void **state)
{
	static const size_t bytes[] = { 0, 4, 8, 12, 24, SIZE_MAX };

	(void)state;
	break_each(RELAY_FLIP, bytes, 6);
}

static void each_record_lost_in_silence(void **state)
{
	static const size_t bytes[] = { 0, 50 };

	(void)state;
	break_each(RELAY_STALL, bytes, 2);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_call_of_the_source),
		cmocka_unit_test(each_call_of_the_destination),
		cmocka_unit_test(each_record_cut),
		cmocka_unit_test(each_record_spoilt),
		cmocka_unit_test(each_record_lost_in_silence),
	};

	return RUN_TESTS(tests);
}
