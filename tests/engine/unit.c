// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Several devices that are moved as one. What fails in that is in unit-faults.c. */

#include "urig.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "engine/unit.h"

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)

/* How long a thread waits for another before the test has failed. */
#define PATIENCE_S 60

static struct vfm_migrate_opts opts_allowing(bool no_p2p)
{
	struct vfm_migrate_opts opts = rig_opts();

	opts.allow_no_p2p = no_p2p;
	return opts;
}

/* ---- what is moved ------------------------------------------------------------ */

static void every_size_and_feature_set(void **state)
{
	static const size_t sizes[] = { 1, 2, 3, 9, 20 };
	static const unsigned int features[] = { 1, 3, 5, 7 };

	(void)state;
	for (int i = 0; i < 40; i++) {
		struct vfm_migrate_opts opts = opts_allowing(true);
		unsigned int f = features[i / 2 % 4];
		uint64_t bytes = 0;
		char params[64];
		struct urig u;

		snprintf(params, sizeof(params), "state=320K,initial=64K,bar=8K,features=%u", f);
		urig_open(&u, sizes[i / 8], params, i & 1 ? 128 * KIB : 0);
		urig_start(&u, 100, 7);
		assert_int_equal(urig_migrate(&u, &opts), 0);
		assert_int_equal(u.report.nr_devices, u.n);
		assert_false(u.report.all_dirty);
		assert_int_equal(u.report.rounds, i & 1 || f & VFM_MIGRATION_PRE_COPY ? 1 : 0);
		for (size_t k = 0; k < u.n; k++) {
			assert_true(u.src_reports[k].state_bytes >= 320 * KIB);
			assert_int_equal(u.src_reports[k].state_bytes,
					 u.dst_reports[k].state_bytes);
			assert_int_equal(u.src_reports[k].state, VFM_STATE_STOP);
			assert_int_equal(u.dst_reports[k].state, VFM_STATE_RUNNING);
			assert_false(u.src_reports[k].failed || u.dst_reports[k].failed);
			bytes += u.src_reports[k].state_bytes;
		}
		assert_int_equal(u.report.state_bytes, bytes);
		assert_int_equal(u.report.memory_bytes, i & 1 ? u.n * 128 * KIB : 0);
		urig_check_moved(&u);
		urig_close(&u);
	}
}

/* More devices than hands, state larger than all buffers, and little room for them. */
static void little_memory_for_much(void **state)
{
	struct vfm_migrate_opts opts = rig_opts();
	struct urig u;

	(void)state;
	opts.memory_limit = 1;
	urig_open(&u, 12, "state=3M,initial=1M,bar=8K", 0);
	urig_start(&u, 0, 50);
	assert_int_equal(urig_migrate(&u, &opts), 0);
	assert_true(u.report.state_bytes >= 36 * MIB);
	urig_check_moved(&u);
	urig_close(&u);
}

/* One that is slow keeps what came for it, and the others do not wait until it is done with that.
 */
static void over_several_channels(void **state)
{
	static const unsigned int channels[] = { 1, 2, 5 };
	static const char *const params[] = { "state=24M,bar=8K,load-rate=64M", "state=4M,bar=8K",
					      "state=4M,bar=8K", "state=4M,bar=8K", NULL };

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct vfm_migrate_opts opts = rig_opts();
		struct urig u;

		opts.channels = channels[i];
		urig_open_each(&u, params, 128 * KIB);
		urig_start(&u, 100, 7);
		assert_int_equal(urig_migrate(&u, &opts), 0);
		assert_int_equal(u.report.channels, channels[i]);
		urig_check_moved(&u);
		urig_close(&u);
	}
}

/* Of one kind each: the unit has what all of them have. */
static void devices_of_all_kinds(void **state)
{
	static const char *const params[] = { "state=64K,bar=8K,features=1",
					      "state=2M,initial=1M,bar=16K,features=7",
					      "state=128K,bar=8K,features=3",
					      "state=1M,initial=64K,bar=64K,features=5", NULL };
	struct vfm_migrate_opts opts = opts_allowing(true);
	struct urig u;

	(void)state;
	urig_open_each(&u, params, 128 * KIB);
	urig_start(&u, 100, 7);
	assert_int_equal(urig_migrate(&u, &opts), 0);
	urig_check_moved(&u);
	urig_close(&u);
}

static void a_unit_that_is_paused(void **state)
{
	struct urig u;

	(void)state;
	urig_open(&u, 3, "state=256K,bar=8K", 128 * KIB);
	urig_start(&u, 100, 7);
	for (size_t i = 0; i < u.n; i++)
		assert_int_equal(vfm_device_set_state(u.src[i], VFM_STATE_STOP, NULL), 0);
	assert_int_equal(urig_migrate(&u, NULL), 0);
	assert_int_equal(u.report.downtime_us, 0);
	for (size_t i = 0; i < u.n; i++) {
		assert_int_equal(rig_state(u.src[i]), VFM_STATE_STOP);
		assert_int_equal(rig_state(u.dst[i]), VFM_STATE_STOP);
		assert_int_equal(u.dst_reports[i].state, VFM_STATE_STOP);
		assert_int_equal(vfm_device_set_state(u.dst[i], VFM_STATE_RUNNING, NULL), 0);
		assert_true(urig_owns(u.dst[i], i));
	}
	urig_close(&u);
}

/* ---- whose writes --------------------------------------------------------------- */

/* The last moment at which they work. */
static void work_at_stop(void *user, const struct vfm_migration_report *now)
{
	struct urig *u = user;

	for (size_t i = 0; now->phase == VFM_PHASE_STOP && i < u->n; i++)
		rig_step(u->src[i], 300 + 100 * i, 5);
}

/* What any of them has written last arrives; and if the report of one is lost, it is missed. */
static void the_log_is_that_of_all(void **state)
{
	(void)state;
	for (size_t lost = 0; lost <= 3; lost++) {
		struct vfm_migrate_opts opts = rig_opts();
		struct vfm_err err;
		struct urig u;

		urig_open(&u, 3, "state=256K,bar=8K", 512 * KIB);
		urig_start(&u, 1000, 7);
		opts.progress = work_at_stop;
		opts.user = &u;
		/* a round, when it was loaded, the stop; three ranges each */
		if (lost)
			u.ws[lost - 1]->lose_report = 6 + (unsigned int)lost;
		assert_int_equal(urig_migrate(&u, &opts), 0);
		assert_int_equal(u.ws[0]->reports, 9);
		for (size_t i = 0; i < 3; i++)
			assert_int_equal(urig_check(&u, u.dst[i], i, u.dst_mem, &err),
					 i + 1 == lost ? -EBADMSG : 0);
		urig_close(&u);
	}
}

static void without_one_log_all_is_dirty(void **state)
{
	(void)state;
	for (int fail = 0; fail < 2; fail++) {
		struct vfm_migrate_opts opts = rig_opts();
		struct urig u;

		urig_open(&u, 3, "state=256K,bar=8K", 512 * KIB);
		urig_start(&u, 1000, 7);
		opts.progress = work_at_stop;
		opts.user = &u;
		u.ws[1]->no_log = !fail;
		u.ws[1]->fail_report = fail ? 8 : 0;
		assert_int_equal(urig_migrate(&u, &opts), 0);
		assert_true(u.report.all_dirty);
		urig_check_moved(&u);
		urig_close(&u);
	}
}

/* ---- order ------------------------------------------------------------------------ */

#define MOST_ARCS 200

/* What happened to the states of all devices, in order. */
struct trace {
	pthread_mutex_t lock;
	size_t count;
	struct arc {
		const struct wrap *w;
		enum vfm_state to;
		bool done;
	} arcs[MOST_ARCS];
};

static void note_arc(struct wrap *w, enum vfm_state to, bool done)
{
	struct trace *t = w->user;

	pthread_mutex_lock(&t->lock);
	assert_true(t->count < MOST_ARCS);
	t->arcs[t->count++] = (struct arc){ w, to, done };
	pthread_mutex_unlock(&t->lock);
}

static void trace_all(struct trace *t, struct wrap **wraps, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		wraps[i]->arc = note_arc;
		wraps[i]->user = t;
	}
}

/* Where the way of @w to @to began or ended first; MOST_ARCS: nowhere. */
static size_t find_arc(const struct trace *t, const struct wrap *w, enum vfm_state to, bool done)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->arcs[i].w == w && t->arcs[i].to == to && t->arcs[i].done == done)
			return i;
	return MOST_ARCS;
}

/*
 * Those with P2P come to @quiet before any other step to @end begins; one without comes to @end
 * before any with P2P begins to go there.
 */
static void check_order(const struct trace *t, struct wrap **wraps, size_t n, int solo,
			enum vfm_state quiet, enum vfm_state end)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < n; k++) {
			size_t begin = find_arc(t, wraps[k], end, false);

			assert_true(begin < MOST_ARCS);
			if ((int)i != solo)
				assert_true(find_arc(t, wraps[i], quiet, true) < begin);
			else if (i != k)
				assert_true(find_arc(t, wraps[i], end, true) < begin);
		}
	}
}

static void open_for_order(struct urig *u, struct trace *t, int solo)
{
	const char *params[6] = { "state=64K,bar=8K", "state=64K,bar=8K", "state=64K,bar=8K",
				  "state=64K,bar=8K", "state=64K,bar=8K" };

	if (solo >= 0)
		params[solo] = "state=64K,bar=8K,features=5";
	*t = (struct trace){ .lock = PTHREAD_MUTEX_INITIALIZER };
	urig_open_each(u, params, 0);
	urig_start(u, 0, 7);
}

/* Once with each of them without P2P, and once with none. @fail: the last one takes no image */
static void check_each_order(bool source, bool fail, enum vfm_state quiet, enum vfm_state end)
{
	for (int solo = -1; solo < 5; solo++) {
		struct vfm_migrate_opts opts = opts_allowing(true);
		struct wrap **wraps;
		struct trace t;
		struct urig u;

		open_for_order(&u, &t, solo);
		wraps = source ? u.ws : u.wd;
		trace_all(&t, wraps, u.n);
		u.wd[4]->fail_prove = fail;
		assert_int_equal(urig_migrate(&u, &opts), fail ? -EBADMSG : 0);
		check_order(&t, wraps, u.n, solo, quiet, end);
		if (fail)
			assert_non_null(strstr(u.err.msg, "device 4"));
		(fail ? urig_check_back : urig_check_moved)(&u);
		urig_close(&u);
	}
}

static void nobody_stops_before_all_are_quiet(void **state)
{
	(void)state;
	check_each_order(true, false, VFM_STATE_PRE_COPY_P2P, VFM_STATE_STOP_COPY);
}

static void nobody_runs_before_all_are_quiet(void **state)
{
	(void)state;
	check_each_order(false, false, VFM_STATE_RUNNING_P2P, VFM_STATE_RUNNING);
}

static void nobody_goes_back_before_all_are_quiet(void **state)
{
	(void)state;
	check_each_order(true, true, VFM_STATE_RUNNING_P2P, VFM_STATE_RUNNING);
}

/* ---- at once ------------------------------------------------------------------------ */

/* All of so many have come, or somebody waits in vain. */
struct meeting {
	pthread_mutex_t lock;
	pthread_cond_t come;
	unsigned int wanted, here;
	const char *call;
	enum vfm_state state;
};

static void meet(struct meeting *m)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += PATIENCE_S;
	pthread_mutex_lock(&m->lock);
	m->here++;
	pthread_cond_broadcast(&m->come);
	while (m->here < m->wanted)
		if (pthread_cond_timedwait(&m->come, &m->lock, &end))
			fail_msg("only %u of %u came to %s", m->here, m->wanted, m->call);
	pthread_mutex_unlock(&m->lock);
}

static void meet_at_arc(struct wrap *w, enum vfm_state to, bool done)
{
	struct meeting *m = w->user;

	if (!done && to == m->state)
		meet(m);
}

static void meet_at_call(struct wrap *w, const char *call)
{
	struct meeting *m = w->user;

	if (!strcmp(call, m->call))
		meet(m);
}

/* Every one of these waits for the same call of all others. */
static void all_at_the_same_time(void **state)
{
	static const struct {
		const char *call;
		enum vfm_state state;
		bool source;
	} rows[] = {
		{ "arc", VFM_STATE_PRE_COPY_P2P, true },
		{ "arc", VFM_STATE_STOP_COPY, true },
		{ "arc", VFM_STATE_RESUMING, false },
		{ "arc", VFM_STATE_STOP, false },
		{ "arc", VFM_STATE_RUNNING, false },
		{ "read_data", 0, true },
		{ "write_data", 0, false },
		{ "report_log", 0, true },
	};

	(void)state;
	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		struct meeting m = { .lock = PTHREAD_MUTEX_INITIALIZER,
				     .come = PTHREAD_COND_INITIALIZER,
				     .wanted = 8,
				     .call = rows[row].call,
				     .state = rows[row].state };
		struct urig u;

		urig_open(&u, 8, "state=64K,bar=8K", 64 * KIB);
		urig_start(&u, 10, 7);
		for (size_t i = 0; i < u.n; i++) {
			struct wrap *w = rows[row].source ? u.ws[i] : u.wd[i];

			w->user = &m;
			if (m.state)
				w->arc = meet_at_arc;
			else
				w->hook = meet_at_call;
		}
		assert_int_equal(urig_migrate(&u, NULL), 0);
		assert_true(m.here >= 8);
		urig_check_moved(&u);
		urig_close(&u);
	}
}

/* Reads come in threes, as far as that can be had: a nudge, and nothing depends on the time. */
static void read_in_threes(struct wrap *w, const char *call)
{
	struct meeting *m = w->user;
	struct timespec end;
	unsigned int target;

	if (strcmp(call, m->call))
		return;
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec++;
	pthread_mutex_lock(&m->lock);
	target = m->here++ / 3 * 3 + 3;
	pthread_cond_broadcast(&m->come);
	while (m->here < target)
		if (pthread_cond_timedwait(&m->come, &m->lock, &end))
			break;
	pthread_mutex_unlock(&m->lock);
}

/* Reads that bring nothing do not keep the buffers that all else needs. */
static void little_memory_for_nothing(void **state)
{
	struct meeting m = { .lock = PTHREAD_MUTEX_INITIALIZER,
			     .come = PTHREAD_COND_INITIALIZER,
			     .call = "read_data" };
	struct vfm_migrate_opts opts = rig_opts();
	struct urig u;

	(void)state;
	opts.memory_limit = 1; /* three buffers */
	urig_open(&u, 6, "state=64K,bar=8K", 64 * KIB);
	urig_start(&u, 100, 7);
	for (size_t i = 0; i < u.n; i++) {
		u.ws[i]->no_info = true; /* so all of them are read up to "nothing now" */
		u.ws[i]->hook = read_in_threes;
		u.ws[i]->user = &m;
	}
	assert_int_equal(urig_migrate(&u, &opts), 0);
	assert_true(u.report.rounds >= 1);
	urig_check_moved(&u);
	urig_close(&u);
}

/* One that is in the middle of a long step does not keep those from working that are not. */
struct served {
	_Atomic unsigned int count;
};

static void wait_until_served(struct wrap *w, enum vfm_state to, bool done)
{
	struct served *s = w->user;
	struct timespec nap = { .tv_nsec = 1000000 };

	if (done || to != VFM_STATE_PRE_COPY)
		return;
	s->count = 0;
	for (int ms = 0; !s->count; ms++) {
		assert_true(ms < PATIENCE_S * 1000);
		nanosleep(&nap, NULL);
	}
}

static void note_process(struct wrap *w, const char *call)
{
	struct served *s = w->user;

	if (!strcmp(call, "process"))
		s->count++;
}

static void others_are_served(void **state)
{
	struct served s = { 0 };
	struct urig u;

	(void)state;
	urig_open(&u, 2, "state=64K,bar=8K", 64 * KIB);
	urig_start(&u, 10, 7);
	assert_int_equal(vfm_sim_start_ring(u.src[0], &u.ring[0], MIB, 0, NULL), 0);
	u.ws[0]->hook = note_process;
	u.ws[1]->arc = wait_until_served;
	u.ws[0]->user = u.ws[1]->user = &s;
	assert_int_equal(urig_migrate(&u, NULL), 0);
	assert_true(s.count > 0);
	for (size_t i = 0; i < u.n; i++)
		assert_true(urig_owns(u.dst[i], i));
	urig_close(&u);
}

/* ---- what it takes together ------------------------------------------------------------ */

/* Members of whom so much is left, at so many ns for a byte, and steps of so many ns. */
static void describe(struct vfm_engine *e, struct vfm_member *m, const uint64_t *left,
		     const double *ns, const double *arc_ns, size_t n)
{
	*e = (struct vfm_engine){ .members = m, .nr_members = n };
	for (size_t i = 0; i < n; i++) {
		m[i] = (struct vfm_member){ .rest.device = left[i],
					    .migration = VFM_MIGRATION_STOP_COPY };
		m[i].save = m[i].load = (struct vfm_gauge){ .bytes = 1e6, .ns = ns[i] * 1e6 };
		m[i].arcs = (struct vfm_arcs){ .count = 2, .ns = 2 * arc_ns[i] };
		e->left.device += left[i];
	}
}

static void check_near(double have, double want)
{
	if (have < want * 0.999 || have > want * 1.001)
		fail_msg("%g instead of %g", have, want);
}

static void the_slowest_counts_or_all_by_their_hands(void **state)
{
	uint64_t left[32] = { 0 };
	struct vfm_member m[32];
	double ns[32], arc[32];
	struct vfm_engine e;
	struct vfm_cost cost;

	(void)state;
	for (int i = 0; i < 32; i++) {
		left[i] = 1000;
		ns[i] = 2;
		arc[i] = 100;
	}
	/* one: as it was measured */
	describe(&e, m, left, ns, arc, 1);
	check_near(vfm_unit_save_cost(&e).ns, 2);
	check_near(vfm_unit_step(&e).ns, 100);
	/* eight at once: as one, for eight times as much */
	describe(&e, m, left, ns, arc, 8);
	check_near(vfm_unit_save_cost(&e).ns, 2.0 / 8);
	check_near(vfm_unit_step(&e).ns, 100);
	/* more than there are hands: in four goes */
	describe(&e, m, left, ns, arc, 32);
	check_near(vfm_unit_save_cost(&e).ns, 2.0 / 8);
	check_near(vfm_unit_step(&e).ns, 400);
	/* one that is slow counts alone, for its steps and for its data */
	ns[3] = 200;
	arc[3] = 1000;
	describe(&e, m, left, ns, arc, 8);
	check_near(vfm_unit_save_cost(&e).ns, 200.0 / 8);
	check_near(vfm_unit_step(&e).ns, 1000);
	/* unless it has nothing left */
	left[3] = 0;
	describe(&e, m, left, ns, arc, 8);
	check_near(vfm_unit_save_cost(&e).ns, 2.0 / 7);
	/* the other side, of which one number is known: the one with most left cannot be split */
	cost = (struct vfm_cost){ .ns = 2, .known = true };
	left[0] = 994000;
	describe(&e, m, left, ns, arc, 8);
	vfm_unit_overlap(&e, 8, &cost);
	check_near(cost.ns, 2 * 0.994);
	cost.ns = 2;
	left[0] = 1000;
	describe(&e, m, left, ns, arc, 8);
	vfm_unit_overlap(&e, 4, &cost);
	check_near(cost.ns, 0.5);
	vfm_unit_overlap(&e, 0, &cost);
	check_near(cost.ns, 0.5);
}

/* What is measured of each of them while they run is enough to know that it does not fit. */
static void a_limit_is_that_of_all(void **state)
{
	static const char *const params[] = { "state=256K,bar=8K",
					      "state=8M,initial=64K,bar=8K,dirty=64M,save-rate=4M",
					      "state=256K,bar=8K", NULL };
	struct vfm_migrate_opts opts = rig_opts();
	struct urig u;

	(void)state;
	urig_open_each(&u, params, 0);
	urig_start(&u, 0, 7);
	opts.max_downtime_ms = 20;
	opts.max_rounds = 2;
	assert_int_equal(urig_migrate(&u, &opts), -EDQUOT);
	assert_non_null(strstr(u.err.msg, "refused after 2 rounds"));
	assert_true(u.report.prediction.device_bytes >= MIB);
	for (size_t i = 0; i < u.n; i++)
		assert_true(urig_owns(u.src[i], i));
	urig_close(&u);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_size_and_feature_set),
		cmocka_unit_test(little_memory_for_much),
		cmocka_unit_test(over_several_channels),
		cmocka_unit_test(devices_of_all_kinds),
		cmocka_unit_test(a_unit_that_is_paused),
		cmocka_unit_test(the_log_is_that_of_all),
		cmocka_unit_test(without_one_log_all_is_dirty),
		cmocka_unit_test(nobody_stops_before_all_are_quiet),
		cmocka_unit_test(nobody_runs_before_all_are_quiet),
		cmocka_unit_test(nobody_goes_back_before_all_are_quiet),
		cmocka_unit_test(all_at_the_same_time),
		cmocka_unit_test(little_memory_for_nothing),
		cmocka_unit_test(others_are_served),
		cmocka_unit_test(the_slowest_counts_or_all_by_their_hands),
		cmocka_unit_test(a_limit_is_that_of_all),
	};

	return RUN_TESTS(tests);
}
