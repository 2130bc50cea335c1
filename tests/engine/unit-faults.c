// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Units that fail: what is refused before anything is touched, and the fault schedule. Every
 * call to each device of either side fails once, and after each of these either all devices are
 * where they were, or all are given away; no device has two owners, and a second migration
 * works.
 */

#include "urig.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PARAMS "state=128K,initial=64K,bar=8K,features=%u"
#define MEMORY (64 << 10)

/* A limit on schedules: a bug must not make them endless. */
#define MOST 200

#define PATIENCE_S 60

/* ---- refused --------------------------------------------------------------------- */

static void check_untouched(struct urig *u)
{
	for (size_t i = 0; i < u->n; i++) {
		assert_true(urig_owns(u->src[i], i));
		assert_int_equal(rig_state(u->dst[i]), VFM_STATE_RUNNING);
		assert_int_equal(u->ws[i]->orphan, -1);
		assert_int_equal(u->wd[i]->orphan, -1);
	}
}

static void note_touch(struct wrap *w, enum vfm_state to, bool done)
{
	(void)to;
	(void)done;
	*(atomic_bool *)w->user = true;
}

/* Open, with a watch on all devices that nobody changes their state. */
static void open_watched(struct urig *u, const char *const *params, atomic_bool *touched)
{
	*touched = false;
	urig_open_each(u, params, 0);
	urig_start(u, 0, 7);
	for (size_t i = 0; i < u->n; i++) {
		u->ws[i]->arc = u->wd[i]->arc = note_touch;
		u->ws[i]->user = u->wd[i]->user = touched;
	}
}

static void refuse(struct urig *u, int expect, const char *text, const atomic_bool *touched)
{
	int ret = urig_migrate(u, NULL);

	if (ret != expect || !strstr(u->err.msg, text))
		fail_msg("%d, %s", ret, u->err.msg);
	assert_false(*touched);
	check_untouched(u);
	urig_close(u);
}

/* Whichever it is. */
static void one_without_p2p(void **state)
{
	(void)state;
	for (size_t solo = 0; solo < 3; solo++) {
		const char *params[] = { "state=64K,bar=8K", "state=64K,bar=8K", "state=64K,bar=8K",
					 NULL };
		atomic_bool touched;
		char text[64];
		struct urig u;

		params[solo] = "state=64K,bar=8K,features=5";
		open_watched(&u, params, &touched);
		snprintf(text, sizeof(text), "setup: device %zu (driver:vfmig,sim-dma,state=64K,",
			 solo);
		refuse(&u, -ENOTSUP, text, &touched);
		assert_non_null(strstr(u.err.msg, "): it has no P2P states"));
	}
}

/* Two devices of the source for three of the destination, and the other way round. */
static void counts_that_differ(void **state)
{
	static const char *const params[] = { "state=64K,bar=8K", "state=64K,bar=8K",
					      "state=64K,bar=8K", NULL };
	static const char *const texts[] = { "the source moves 2 devices as one, and 3 are here",
					     "the source moves 3 devices as one, and 2 are here",
					     "the source moves 1 device as one, and 3 are here",
					     "the source moves 3 devices as one, and 1 is here" };

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct vfm_device *src_room[URIG_MAX], *dst_room[URIG_MAX];
		struct vfm_migrate_opts opts = rig_opts();
		struct vfm_unit src, dst;
		atomic_bool touched;
		struct urig u;
		int ret;

		open_watched(&u, params, &touched);
		src = urig_source(&u, src_room);
		dst = urig_destination(&u, dst_room);
		*(i & 1 ? &dst.nr_devs : &src.nr_devs) = i / 2 ? 1 : 2;
		ret = vfm_migrate_unit(&src, &dst, &opts, &u.report, &u.err);
		if (ret != -ENOTUNIQ || !strstr(u.err.msg, texts[i]))
			fail_msg("%d, %s", ret, u.err.msg);
		assert_false(touched);
		check_untouched(&u);
		urig_close(&u);
	}
}

static void one_that_is_paused(void **state)
{
	static const char *const params[] = { "state=64K,bar=8K", "state=64K,bar=8K",
					      "state=64K,bar=8K", NULL };
	atomic_bool touched;
	struct urig u;

	(void)state;
	open_watched(&u, params, &touched);
	assert_int_equal(vfm_device_set_state(u.src[2], VFM_STATE_STOP, NULL), 0);
	assert_int_equal(urig_migrate(&u, NULL), -EINVAL);
	assert_non_null(strstr(u.err.msg, "setup: device 2 ("));
	assert_non_null(strstr(u.err.msg, "): it is in STOP, and device 0 in RUNNING"));
	assert_false(touched);
	assert_int_equal(vfm_device_set_state(u.src[2], VFM_STATE_RUNNING, NULL), 0);
	check_untouched(&u);
	urig_close(&u);
}

/* The devices are of the same kinds, and in another order. */
static void an_order_that_differs(void **state)
{
	static const char *const params[] = { "state=64K,bar=8K", "state=64K,bar=16K",
					      "state=64K,bar=64K", NULL };
	struct vfm_device *src_room[URIG_MAX], *dst_room[URIG_MAX], *swap;
	struct vfm_migrate_opts opts = rig_opts();
	struct vfm_unit src, dst;
	atomic_bool touched;
	struct urig u;

	(void)state;
	open_watched(&u, params, &touched);
	src = urig_source(&u, src_room);
	dst = urig_destination(&u, dst_room);
	swap = dst_room[1];
	dst_room[1] = dst_room[2];
	dst_room[2] = swap;
	assert_int_equal(vfm_migrate_unit(&src, &dst, &opts, &u.report, &u.err), -ENOTUNIQ);
	assert_non_null(strstr(u.err.msg, "destination: setup: device "));
	assert_false(touched);
	check_untouched(&u);
	urig_close(&u);
}

static void units_that_are_none(void **state)
{
	struct vfm_device *room[URIG_MAX], *other_room[URIG_MAX];
	struct vfm_unit unit, other, wrong;
	struct vfm_err err;
	struct urig u;

	(void)state;
	urig_open(&u, 2, "state=64K,bar=8K", 0);
	unit = urig_source(&u, room);
	other = urig_destination(&u, other_room);
	wrong = unit;
	wrong.size--;
	assert_int_equal(vfm_migrate_unit(&wrong, &other, NULL, NULL, &err), -EINVAL);
	wrong = unit;
	wrong.nr_devs = 0;
	assert_int_equal(vfm_migrate_unit(&other, &wrong, NULL, NULL, &err), -EINVAL);
	wrong.nr_devs = VFM_UNIT_MAX + 1;
	assert_int_equal(vfm_migrate_send_unit(&wrong, -1, NULL, NULL, &err), -EINVAL);
	other_room[1] = room[0];
	assert_int_equal(vfm_migrate_unit(&unit, &other, NULL, NULL, &err), -EINVAL);
	room[1] = room[0];
	assert_int_equal(vfm_migrate_receive_unit(&unit, -1, NULL, NULL, &err), -EINVAL);
	assert_string_equal(err.msg, "devices 0 and 1 are the same");
	room[1] = NULL;
	assert_int_equal(vfm_migrate_receive_unit(&unit, -1, NULL, NULL, &err), -EINVAL);
	urig_close(&u);
}

/* ---- the schedule -------------------------------------------------------------------- */

struct fault {
	size_t n;
	unsigned int features;
	bool source;
	size_t device;
	enum wrap_fault kind;
	unsigned int call;
};

static void open_for_fault(struct urig *u, const struct fault *f)
{
	char params[96];
	struct wrap *w;

	snprintf(params, sizeof(params), PARAMS, f->features);
	urig_open(u, f->n, params, MEMORY);
	urig_start(u, 100, 7);
	w = f->source ? u->ws[f->device] : u->wd[f->device];
	w->fault = f->kind;
	w->at = f->call;
}

static unsigned int count_owned(struct urig *u, struct vfm_device **devs)
{
	unsigned int count = 0;

	for (size_t i = 0; i < u->n; i++)
		count += urig_owns(devs[i], i);
	return count;
}

/* All or none, but for the device that was told to fail when that is why it could not come along.
 */
static void check_owners(struct urig *u, const struct fault *f, int ret)
{
	const struct wrap *w = f->source ? u->ws[f->device] : u->wd[f->device];
	unsigned int src = count_owned(u, u->src), dst = count_owned(u, u->dst);
	unsigned int all = (unsigned int)u->n;
	bool gone = f->kind == WRAP_GONE && w->failed;
	const char *side = f->source ? "source" : "destination";

	for (size_t i = 0; i < u->n; i++)
		if (urig_owns(u->src[i], i) && urig_owns(u->dst[i], i))
			fail_msg("%s %zu, call %u: two owners of %zu: %s", side, f->device, f->call,
				 i, u->err.msg);
	if (u->report.committed && (src || dst + (ret != 0) < all))
		fail_msg("%s %zu, call %u: committed, and %u and %u run: %s", side, f->device,
			 f->call, src, dst, u->err.msg);
	if (!u->report.committed && (dst || src + (gone && f->source) < all))
		fail_msg("%s %zu, call %u: not committed, and %u and %u run: %s", side, f->device,
			 f->call, src, dst, u->err.msg);
	if (!ret && (src || dst != all))
		fail_msg("%s %zu, call %u: success, and %u and %u run", side, f->device, f->call,
			 src, dst);
	if (ret && w->failed && !strstr(u->err.msg, "device "))
		fail_msg("%s %zu, call %u: whose failure was it? %s", side, f->device, f->call,
			 u->err.msg);
}

/* What a user would do with a device that was gone and is there again. */
static void bring_back(struct urig *u, const struct fault *f, int ret)
{
	struct vfm_device *dev = f->source ? u->src[f->device] : u->dst[f->device];

	u->ws[f->device]->fault = u->wd[f->device]->fault = WRAP_NONE;
	if (f->kind != WRAP_GONE || !ret)
		return;
	if (vfm_device_stop_log(dev, NULL))
		assert_true(true); /* there was none */
	u->ws[f->device]->logs = 0;
	if (f->source && !u->report.committed) {
		assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RUNNING, NULL), 0);
	} else if (!f->source && !u->report.committed) {
		assert_int_equal(vfm_device_unmap_all(dev, NULL), 0);
		assert_int_equal(vfm_device_reset(dev, NULL), 0);
		for (size_t i = 0; i < u->n; i++)
			assert_int_equal(vfm_device_unmap_all(u->dst[i], NULL), 0);
		vfm_memory_free(u->dst_mem);
		assert_int_equal(vfm_memory_new(&u->dst_mem, NULL), 0);
	}
}

static void check_rest(struct urig *u, const struct fault *f)
{
	struct vfm_migrate_opts opts = rig_opts();
	struct vfm_err err = { 0 };

	for (size_t i = 0; i < u->n; i++) {
		struct wrap *w = u->ws[i];

		assert_int_equal(rig_state(u->dst[i]), VFM_STATE_RUNNING);
		if (w->logs && !(w->failed && !strcmp(w->failed_call, "stop_log")))
			fail_msg("call %u: the dirty log is still on", f->call);
		w->logs = 0;
		assert_int_equal(vfm_sim_stop_ring(u->src[i], NULL), 0);
		if (urig_check(u, u->src[i], i, u->src_mem, &err))
			fail_msg("call %u: device %zu: %s", f->call, i, err.msg);
	}
	assert_int_equal(vfm_memory_count(u->dst_mem), 0);
	u->err.code = 0;
	opts.allow_no_p2p = true;
	if (urig_migrate(u, &opts))
		fail_msg("call %u: the second time: %s", f->call, u->err.msg);
	urig_check_moved(u);
}

static bool fail_call(const struct fault *f)
{
	struct vfm_migrate_opts opts = rig_opts();
	struct urig u;
	bool failed;
	int ret;

	open_for_fault(&u, f);
	opts.allow_no_p2p = true;
	ret = urig_migrate(&u, &opts);
	failed = (f->source ? u.ws : u.wd)[f->device]->failed;
	check_owners(&u, f, ret);
	bring_back(&u, f, ret);
	if (ret && !u.report.committed)
		check_rest(&u, f);
	urig_close(&u);
	return failed;
}

static void schedule(size_t n, bool source, const unsigned int *features)
{
	unsigned int runs = 0;

	for (; *features; features++) {
		for (size_t device = 0; device < n; device += n - 1) {
			for (enum wrap_fault kind = WRAP_BEFORE; kind <= WRAP_GONE; kind++) {
				struct fault f = { n, *features, source, device, kind, 1 };

				while (fail_call(&f))
					assert_true(++f.call < MOST);
				runs += f.call;
			}
		}
	}
	print_message("# %u runs\n", runs);
	assert_true(runs > 100);
}

static const unsigned int both[] = { 1, 7, 0 };

static void each_call_of_two_sources(void **state)
{
	(void)state;
	schedule(2, true, both);
}

static void each_call_of_two_destinations(void **state)
{
	(void)state;
	schedule(2, false, both);
}

static void each_call_of_three_sources(void **state)
{
	(void)state;
	schedule(3, true, both + 1);
}

static void each_call_of_three_destinations(void **state)
{
	(void)state;
	schedule(3, false, both + 1);
}

/* ---- after COMMIT ----------------------------------------------------------------------- */

static int fail_second(void *user, struct vfm_device *dev, struct vfm_err *err)
{
	return dev == user ? vfm_fail(err, -EBUSY, "no wires for it") : 0;
}

static void one_that_may_not_run(void **state)
{
	struct vfm_migrate_opts opts = rig_opts();
	struct urig u;

	(void)state;
	urig_open(&u, 3, "state=64K,bar=8K", 0);
	urig_start(&u, 0, 7);
	opts.before_run = fail_second;
	opts.user = &u.wd[1]->dev;
	assert_int_equal(urig_migrate(&u, &opts), -EBUSY);
	assert_non_null(strstr(
		u.err.msg, "device 1 (driver:vfmig,sim-dma,state=64K,bar=8K): no wires for it"));
	assert_non_null(strstr(u.err.msg, "given to the destination"));
	assert_true(u.report.committed);
	assert_true(urig_owns(u.dst[0], 0) && urig_owns(u.dst[2], 2));
	assert_int_equal(rig_state(u.dst[1]), VFM_STATE_STOP);
	assert_true(u.dst_reports[1].failed);
	assert_false(u.dst_reports[0].failed || u.dst_reports[2].failed);
	assert_int_equal(u.dst_reports[1].state, VFM_STATE_STOP);
	assert_int_equal(vfm_device_set_state(u.dst[1], VFM_STATE_RUNNING, NULL), 0);
	assert_true(urig_owns(u.dst[1], 1));
	urig_close(&u);
}

/* ---- cancelled ------------------------------------------------------------------------------ */

struct canceller {
	int fd;
	enum vfm_phase phase;
};

static void cancel_at(void *user, const struct vfm_migration_report *now)
{
	struct canceller *c = user;

	if (now->phase == c->phase)
		eventfd_write(c->fd, 1);
}

static void cancelled_in_each_phase(void **state)
{
	(void)state;
	for (enum vfm_phase phase = VFM_PHASE_SETUP; phase <= VFM_PHASE_LOAD; phase++) {
		struct vfm_migrate_opts opts = rig_opts();
		struct canceller c = { .phase = phase };
		struct urig u;

		urig_open(&u, 10, "state=2M,bar=8K", 128 << 10);
		c.fd = opts.cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		urig_start(&u, 100, 7);
		opts.progress = cancel_at;
		opts.user = &c;
		assert_int_equal(urig_migrate(&u, &opts), -ECANCELED);
		close(c.fd);
		urig_check_back(&u);
		urig_close(&u);
	}
}

/* ---- one that hangs ----------------------------------------------------------------------------
 */

/* A step that ends when the test lets it, with a failure or not. */
struct hang {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum vfm_state state;
	bool hangs, released;
};

static void hang(struct wrap *w, enum vfm_state to, bool done)
{
	struct hang *h = w->user;

	pthread_mutex_lock(&h->lock);
	if (!done && to == h->state && !h->released) {
		h->hangs = true;
		pthread_cond_broadcast(&h->changed);
		while (!h->released)
			pthread_cond_wait(&h->changed, &h->lock);
	}
	pthread_mutex_unlock(&h->lock);
}

struct mover {
	struct urig *u;
	struct vfm_migrate_opts opts;
	int ret;
};

static void *move(void *arg)
{
	struct mover *m = arg;

	m->ret = urig_migrate(m->u, &m->opts);
	return NULL;
}

/* When a device of the source hangs in the stop, the others run again long before it comes back. */
static void others_go_back_from_one_that_hangs(void **state)
{
	struct timespec nap = { .tv_nsec = 1000000 };
	struct hang h = { .lock = PTHREAD_MUTEX_INITIALIZER,
			  .changed = PTHREAD_COND_INITIALIZER,
			  .state = VFM_STATE_STOP_COPY };
	struct mover m = { .opts = rig_opts() };
	pthread_t thread;
	struct urig u;
	int cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	(void)state;
	urig_open(&u, 4, "state=64K,bar=8K", 0);
	urig_start(&u, 0, 7);
	m.u = &u;
	m.opts.cancel_fd = cancel_fd;
	m.opts.timeout_ms = 100;
	u.ws[2]->arc = hang;
	u.ws[2]->user = &h;
	assert_int_equal(pthread_create(&thread, NULL, move, &m), 0);
	pthread_mutex_lock(&h.lock);
	while (!h.hangs)
		pthread_cond_wait(&h.changed, &h.lock);
	pthread_mutex_unlock(&h.lock);
	eventfd_write(cancel_fd, 1);
	for (int ms = 0;
	     !(urig_owns(u.src[0], 0) && urig_owns(u.src[1], 1) && urig_owns(u.src[3], 3)); ms++) {
		assert_true(ms < PATIENCE_S * 1000);
		nanosleep(&nap, NULL);
	}
	assert_int_not_equal(rig_state(u.src[2]), VFM_STATE_RUNNING);
	pthread_mutex_lock(&h.lock);
	h.released = true;
	pthread_cond_broadcast(&h.changed);
	pthread_mutex_unlock(&h.lock);
	pthread_join(thread, NULL);
	assert_true(m.ret == -ECANCELED || m.ret == -ETIMEDOUT);
	close(cancel_fd);
	u.fds--;
	urig_check_back(&u);
	urig_close(&u);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_without_p2p),
		cmocka_unit_test(counts_that_differ),
		cmocka_unit_test(one_that_is_paused),
		cmocka_unit_test(an_order_that_differs),
		cmocka_unit_test(units_that_are_none),
		cmocka_unit_test(each_call_of_two_sources),
		cmocka_unit_test(each_call_of_two_destinations),
		cmocka_unit_test(each_call_of_three_sources),
		cmocka_unit_test(each_call_of_three_destinations),
		cmocka_unit_test(one_that_may_not_run),
		cmocka_unit_test(cancelled_in_each_phase),
		cmocka_unit_test(others_go_back_from_one_that_hangs),
	};

	return RUN_TESTS(tests);
}
