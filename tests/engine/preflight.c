// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A look at both ends before a migration: whatever it finds, and whatever fails
 * while it looks, the source runs on and the destination was not touched.
 */

#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

#define MIB (UINT64_C(1) << 20)
#define MOST 200

static const struct vfm_preflight_opts strict = { .size = sizeof(strict), .max_downtime_ms = 300 };

static int look(struct rig *r, const struct vfm_preflight_opts *opts, struct vfm_preflight *report)
{
	return vfm_preflight(&r->ws->dev, &r->wd->dev, opts, report, &r->err);
}

static bool found(const struct vfm_preflight *report, enum vfm_finding_kind kind, const char *text)
{
	for (size_t i = 0; i < report->nr_findings; i++)
		if (report->findings[i].kind == kind && strstr(report->findings[i].text, text))
			return true;
	return false;
}

static void forbid_touch(struct wrap *w, const char *call)
{
	static const char *const touching[] = { "set_state", "write_data", "reset",	"map_dma",
						"read_data", "start_log",  "set_orphan" };

	(void)w;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(touching); i++)
		if (!strcmp(call, touching[i]))
			fail_msg("the destination's %s", call);
}

/* ---- what can go wrong ------------------------------------------------------ */

static void check_untouched(struct rig *r, const char *what, unsigned int n)
{
	r->ws->fault = r->wd->fault = WRAP_NONE;
	if (!rig_owns(r->src))
		fail_msg("%s %u: the source is in %s: %s", what, n,
			 vfm_state_name(rig_state(r->src)), r->err.msg);
	assert_int_equal(rig_state(r->dst), VFM_STATE_RUNNING);
	assert_int_equal(rig_migrate(r, NULL), 0);
	r->err.code = 0;
	rig_check_moved(r);
}

static bool fail_call(enum wrap_fault fault, bool source, unsigned int n)
{
	struct vfm_preflight report;
	struct rig r;
	struct wrap *w;
	bool failed;
	int ret;

	rig_open(&r, "state=256K,initial=64K,bar=8K", 0);
	rig_start(&r, 0);
	w = source ? r.ws : r.wd;
	w->fault = fault;
	w->at = n;
	if (!source)
		w->hook = forbid_touch;
	ret = look(&r, &strict, &report);
	w->hook = NULL;
	failed = w->failed;
	if (!failed)
		assert_int_equal(ret, 0);
	if (ret)
		assert_true(r.err.code == ret && r.err.msg[0]);
	if (failed && !strcmp(w->failed_call, "stop_log"))
		r.ws->logs = 0; /* the device was told, or could not be */
	if (fault == WRAP_BEFORE && failed && !strcmp(w->failed_call, "stop_log"))
		assert_int_equal(vfm_device_stop_log(r.src, NULL), 0);
	check_untouched(&r, source ? "source's call" : "destination's call", n);
	rig_close(&r);
	return failed;
}

static void every_call_fails_once(void **state)
{
	unsigned int runs = 0;

	(void)state;
	for (int source = 0; source < 2; source++) {
		for (enum wrap_fault fault = WRAP_BEFORE; fault <= WRAP_AFTER; fault++) {
			unsigned int n = 1;

			while (fail_call(fault, source, n))
				assert_true(++n < MOST);
			runs += n;
		}
	}
	print_message("# %u runs\n", runs);
	assert_true(runs > 60);
}

/* ---- what is found ------------------------------------------------------------ */

static void other_states(void **state)
{
	struct vfm_preflight report;
	struct rig r;

	(void)state;
	rig_open(&r, "state=4M,save-rate=1M", 0);
	rig_start(&r, 0);
	/* Nobody waits for a device that stands still, and it is left so. */
	assert_int_equal(vfm_device_set_state(r.src, VFM_STATE_STOP, NULL), 0);
	assert_int_equal(look(&r, &strict, &report), 0);
	assert_true(report.compatible && report.fits);
	assert_int_equal(report.measured_bytes, 0);
	assert_int_equal(report.log, -1);
	assert_true(found(&report, VFM_FINDING_NOTE, "is in STOP"));
	assert_int_equal(rig_state(r.src), VFM_STATE_STOP);
	assert_int_equal(vfm_device_set_state(r.src, VFM_STATE_RUNNING, NULL), 0);
	/* One that somebody is busy with is no place to go to. */
	assert_int_equal(vfm_device_set_state(r.dst, VFM_STATE_RESUMING, NULL), 0);
	assert_int_equal(look(&r, &strict, &report), -EINVAL);
	assert_true(found(&report, VFM_FINDING_BLOCKER, "destination: it is in RESUMING"));
	assert_false(report.compatible || report.fits);
	assert_int_equal(rig_state(r.dst), VFM_STATE_RESUMING);
	assert_true(rig_owns(r.src));
	rig_close(&r);
}

static void wrong_use(void **state)
{
	struct vfm_preflight_opts opts = { .size = 3 };
	struct vfm_preflight report;
	struct rig r;

	(void)state;
	rig_open(&r, "state=64K", 0);
	assert_int_equal(look(&r, &opts, &report), -EINVAL);
	assert_int_equal(vfm_preflight(r.src, r.src, NULL, &report, &r.err), -EINVAL);
	assert_int_equal(look(&r, NULL, &report), 0);
	rig_close(&r);
}

static void what_a_device_lacks(void **state)
{
	struct vfm_preflight report;
	struct rig r;

	(void)state;
	rig_open(&r, "state=1M,features=1", 0);
	rig_start(&r, 0);
	r.ws->no_log = true;
	r.ws->data_size = UINT64_C(1) << 63;
	assert_int_equal(look(&r, &strict, &report), 0);
	assert_int_equal(report.log, 0);
	assert_true(found(&report, VFM_FINDING_NOTE, "no dirty log"));
	assert_true(found(&report, VFM_FINDING_NOTE, "no PRE_COPY"));
	assert_true(found(&report, VFM_FINDING_NOTE, "no P2P"));
	assert_true(found(&report, VFM_FINDING_NOTE, "9223372036854775808 bytes, which is not"));
	assert_true(report.prediction.assumed);
	assert_int_equal(rig_state(r.src), VFM_STATE_RUNNING);
	rig_close(&r);
}

/* How quickly it changes is seen, within a factor; what cannot be caught up with is said to be. */
static void how_it_changes(void **state)
{
	struct vfm_preflight report;
	struct rig r;

	(void)state;
	rig_open(&r, "state=8M,save-rate=40M,dirty=10M", 0);
	rig_start(&r, 0);
	assert_int_equal(look(&r, NULL, &report), 0);
	assert_in_range(report.change_rate, 2 * MIB, 40 * MIB);
	assert_in_range(report.measured_us, 1000, 600000);
	assert_false(found(&report, VFM_FINDING_NOTE, "will not make it less"));
	assert_true(report.prediction.device_bytes < 3 * MIB);
	rig_close(&r);
	rig_open(&r, "state=8M,save-rate=8M,dirty=200M", 0);
	rig_start(&r, 0);
	assert_int_equal(look(&r, &strict, &report), -EDQUOT);
	assert_true(report.compatible && !report.fits);
	assert_true(found(&report, VFM_FINDING_NOTE, "will not make it less"));
	assert_true(found(&report, VFM_FINDING_LIMIT, ", 300 are allowed: reading the source"));
	assert_true(report.prediction.device_bytes > 6 * MIB);
	assert_true(rig_owns(r.src));
	rig_close(&r);
}

/* 300 ms and 64 MiB, whatever a device goes on giving. */
static void no_longer_than_that(void **state)
{
	struct vfm_preflight report;
	struct rig r;

	(void)state;
	rig_open(&r, "state=128M", 0);
	rig_start(&r, 0);
	assert_int_equal(look(&r, NULL, &report), 0);
	assert_in_range(report.measured_bytes, 1, 65 * MIB);
	assert_true(rig_owns(r.src));
	rig_close(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_call_fails_once),
		cmocka_unit_test(other_states),
		cmocka_unit_test(wrong_use),
		cmocka_unit_test(what_a_device_lacks),
		cmocka_unit_test(how_it_changes),
		cmocka_unit_test(no_longer_than_that),
	};

	return RUN_TESTS(tests);
}
