// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Units with journals: either half dies at every call to each of its devices. Then both
 * sides recover, and all devices run at one side, or all at the other. That a half dies at
 * every write of its journal is in recover.c: of a unit there is one, as of a device.
 *
 * A half that is dead changes nothing any more: its devices and its journal refuse, and its
 * connection is shut. What its devices were told to do in that case, they do.
 */

#include "urig.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PARAMS "state=64K,bar=8K"
#define MOST 300

enum side { SOURCE, DESTINATION, NOBODY };

static struct {
	enum side side;
	size_t device; /* at whose call it dies */
	unsigned int at;
	atomic_bool dead;
	int fd;
} victim = { .side = NOBODY };

static __thread enum side me = NOBODY;
static struct urig rig;
static char dirs[2][32];

/* ---- death --------------------------------------------------------------------- */

static bool is_dead(void)
{
	if (me == NOBODY || me != victim.side || !victim.dead)
		return false;
	errno = EIO;
	return true;
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t at)
{
	return is_dead() ? -1 : syscall(SYS_pwrite64, fd, buf, len, at);
}

int unlinkat(int dir, const char *name, int flags)
{
	return is_dead() ? -1 : (int)syscall(SYS_unlinkat, dir, name, flags);
}

static void on_call(struct wrap *w, const char *call)
{
	struct wrap **wraps = victim.side == SOURCE ? rig.ws : rig.wd;

	(void)call;
	if (w == wraps[victim.device] && w->calls == victim.at) {
		victim.dead = true;
		shutdown(victim.fd, SHUT_RDWR);
	}
	if (victim.dead) {
		w->fault = WRAP_GONE;
		w->at = w->calls;
	}
}

/* What devices do whose user has vanished. */
static void orphan(struct wrap *w)
{
	enum vfm_state state = rig_state(w->inner);

	if (w->orphan == VFM_ORPHAN_RUN && state != VFM_STATE_RUNNING)
		assert_int_equal(vfm_device_set_state(w->inner, VFM_STATE_RUNNING, NULL), 0);
	if (w->orphan == VFM_ORPHAN_RESET &&
	    (state == VFM_STATE_RESUMING || state == VFM_STATE_STOP || state == VFM_STATE_ERROR))
		assert_int_equal(vfm_device_reset(w->inner, NULL), 0);
}

/* ---- a migration ----------------------------------------------------------------- */

struct half {
	struct vfm_unit unit;
	struct vfm_device *room[URIG_MAX];
	int fd;
	struct vfm_migrate_opts opts;
};

static void *receive(void *arg)
{
	struct half *h = arg;
	struct vfm_err err;

	me = DESTINATION;
	if (vfm_migrate_receive_unit(&h->unit, h->fd, &h->opts, NULL, &err))
		shutdown(h->fd, SHUT_RDWR);
	return NULL;
}

static void migrate(void)
{
	struct half src = { .opts = rig_opts() }, dst = { .opts = rig_opts() };
	pthread_t thread;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	src.unit = urig_source(&rig, src.room);
	dst.unit = urig_destination(&rig, dst.room);
	src.opts.journal = dirs[SOURCE];
	dst.opts.journal = dirs[DESTINATION];
	dst.fd = fds[1];
	victim.fd = fds[victim.side];
	for (size_t i = 0; i < rig.n; i++)
		(victim.side == SOURCE ? rig.ws : rig.wd)[i]->hook = on_call;
	assert_int_equal(pthread_create(&thread, NULL, receive, &dst), 0);
	me = SOURCE;
	if (vfm_migrate_send_unit(&src.unit, fds[0], &src.opts, &rig.report, &rig.err))
		shutdown(fds[0], SHUT_RDWR);
	pthread_join(thread, NULL);
	me = NOBODY;
	for (size_t i = 0; victim.dead && i < rig.n; i++)
		orphan((victim.side == SOURCE ? rig.ws : rig.wd)[i]);
	close(fds[0]);
	close(fds[1]);
}

/* ---- recovery ----------------------------------------------------------------------- */

struct recovery {
	enum side side;
	struct vfm_recover_opts opts;
	int ret;
	char said[1024];
	struct vfm_err err;
};

static __thread enum side opens;

/* The name in the journal is that of all of them: they come in their order. */
static __thread size_t next_open;

static int open_next(struct vfm_device **out, const char *uri, struct vfm_err *err)
{
	/* Closed by the recovery, while what is in it stays. */
	struct vfm_device **devs = opens == SOURCE ? rig.src : rig.dst;

	(void)uri;
	(void)err;
	*out = &wrap_new(devs[next_open++ % rig.n])->dev;
	return 0;
}

static void note(void *user, const struct vfm_recovered *one)
{
	struct recovery *r = user;

	snprintf(r->said, sizeof(r->said), "%s -> %s (%s), %s", vfm_handover_name(one->before),
		 vfm_handover_name(one->after), vfm_handover_name(one->other), one->text);
}

static void *recover_side(void *arg)
{
	struct recovery *r = arg;

	opens = r->side;
	next_open = 0;
	r->ret = vfm_recover(dirs[r->side], &r->opts, &r->err);
	shutdown(r->opts.fd, SHUT_RDWR);
	return NULL;
}

static void recover(enum side asks)
{
	struct recovery r[2] = { { .side = SOURCE }, { .side = DESTINATION } };
	pthread_t threads[2];
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	for (int i = 0; i < 2; i++) {
		r[i].opts = VFM_RECOVER_OPTS();
		r[i].opts.fd = fds[i];
		r[i].opts.answer = i != (int)asks;
		r[i].opts.open = open_next;
		r[i].opts.each = note;
		r[i].opts.user = &r[i];
		assert_int_equal(pthread_create(&threads[i], NULL, recover_side, &r[i]), 0);
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		close(fds[i]);
	}
	for (int i = 0; i < 2; i++)
		if (r[i].ret)
			fail_msg("call %u of %zu of the %s: %s; %s", victim.at, victim.device,
				 victim.side ? "destination" : "source", r[i].err.msg, r[i].said);
}

/* All here, or all there. */
static void check_owner(void)
{
	bool there = urig_owns(rig.dst[0], 0);

	for (size_t i = 0; i < rig.n; i++)
		if (urig_owns(rig.dst[i], i) != there || urig_owns(rig.src[i], i) == there)
			fail_msg("call %u of %zu of the %s: device %zu: %d and %d", victim.at,
				 victim.device, victim.side ? "destination" : "source", i,
				 urig_owns(rig.src[i], i), urig_owns(rig.dst[i], i));
}

static bool die_at(enum side side, size_t device, unsigned int at)
{
	victim.side = side;
	victim.device = device;
	victim.at = at;
	victim.dead = false;
	urig_open(&rig, 2, PARAMS, 0);
	urig_start(&rig, 0, 7);
	migrate();
	for (size_t i = 0; i < rig.n; i++)
		if (urig_owns(rig.src[i], i) && urig_owns(rig.dst[i], i))
			fail_msg("call %u: two owners of %zu", at, i);
	recover(at % 2);
	check_owner();
	rig_empty_dir(dirs[SOURCE]);
	rig_empty_dir(dirs[DESTINATION]);
	urig_close(&rig);
	return victim.dead;
}

static void each_call(enum side side)
{
	unsigned int runs = 0;

	for (int i = 0; i < 2; i++) {
		strcpy(dirs[i], "/tmp/unit-recover-XXXXXX");
		assert_non_null(mkdtemp(dirs[i]));
	}
	for (size_t device = 0; device < 2; device++) {
		unsigned int at = 0;

		while (die_at(side, device, ++at))
			assert_true(at < MOST);
		runs += at;
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(rmdir(dirs[i]), 0);
	print_message("# %u runs\n", runs);
	assert_true(runs > 20);
}

static void a_source_of_two_dies_everywhere(void **state)
{
	(void)state;
	each_call(SOURCE);
}

static void a_destination_of_two_dies_everywhere(void **state)
{
	(void)state;
	each_call(DESTINATION);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_source_of_two_dies_everywhere),
		cmocka_unit_test(a_destination_of_two_dies_everywhere),
	};

	return RUN_TESTS(tests);
}
