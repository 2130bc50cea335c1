// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The fault schedule with journals: either half dies at every call to its device and at
 * every write of its journal, before, in the middle and after; every record is cut.
 * Then both sides recover, the one asking or the other, and one device runs.
 *
 * A half that is dead changes nothing any more: its device and its journal refuse, and
 * its connection is shut. What the device was told to do in that case, it does. Beside
 * that, each write of a journal fails while its half lives, and is on disk or not.
 */

#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "relay.h"

#define PARAMS "state=64K,bar=8K,features=7"
#define MOST 1000

enum side { SOURCE, DESTINATION, NOBODY };
/* The first three: it dies. The others: only the writes fail, once or from then on. */
enum how { BEFORE, TORN, AFTER, NR_DEATHS, ONCE = NR_DEATHS, ONCE_DONE, ALL, NR_HOWS };

static const char *const side_names[] = { "source", "destination" };

static struct {
	enum side side;	 /* who dies */
	unsigned int at; /* at which point of those that it passes */
	enum how how;	 /* when that is a write */
	unsigned int points;
	bool dead;
	bool failing;
	char what[32];
	int fds[2];
} victim = { .side = NOBODY };

static __thread enum side me = NOBODY;
static struct rig rig;
static char dirs[2][32];

/* ---- points ---------------------------------------------------------------- */

static void die(const char *what)
{
	victim.dead = true;
	snprintf(victim.what, sizeof(victim.what), "%s", what);
	shutdown(victim.fds[victim.side], SHUT_RDWR);
}

/* Whether the victim dies here; @mine is false for a side that does not. */
static bool pass_point(bool mine)
{
	return mine && victim.how < NR_DEATHS && !victim.dead && ++victim.points == victim.at;
}

static bool is_dead(bool mine)
{
	return mine && victim.dead;
}

/* The write that is passed fails, and the half lives. */
static bool only_fails(bool mine)
{
	if (!mine || victim.how < NR_DEATHS)
		return false;
	if (++victim.points == victim.at)
		victim.failing = true;
	return victim.how == ALL ? victim.failing : victim.points == victim.at;
}

static int fail_dead(void)
{
	errno = EIO;
	return -1;
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t at)
{
	bool mine = me == victim.side && me != NOBODY;
	ssize_t n = (ssize_t)len;

	if (only_fails(mine)) {
		if (victim.how == ONCE_DONE)
			(void)!syscall(SYS_pwrite64, fd, buf, len, at);
		return fail_dead();
	}
	if (is_dead(mine))
		return fail_dead();
	if (!pass_point(mine))
		return syscall(SYS_pwrite64, fd, buf, len, at);
	if (victim.how != BEFORE)
		n = syscall(SYS_pwrite64, fd, buf, victim.how == TORN ? len / 2 : len, at);
	die("pwrite");
	return n < 0 ? n : fail_dead();
}

int fsync(int fd)
{
	bool mine = me == victim.side && me != NOBODY;

	if (only_fails(mine))
		return fail_dead();
	if (!is_dead(mine) && pass_point(mine))
		die("fsync");
	return is_dead(mine) ? fail_dead() : (int)syscall(SYS_fsync, fd);
}

int ftruncate(int fd, off_t size)
{
	bool mine = me == victim.side && me != NOBODY;

	/* what was written and cannot be taken back is the harder case */
	return is_dead(mine) || (mine && victim.failing) ? fail_dead()
							 : (int)syscall(SYS_ftruncate, fd, size);
}

int unlinkat(int dir, const char *name, int flags)
{
	bool mine = me == victim.side && me != NOBODY;

	if (!is_dead(mine) && pass_point(mine))
		die("unlinkat");
	return is_dead(mine) ? fail_dead() : (int)syscall(SYS_unlinkat, dir, name, flags);
}

static void on_call(struct wrap *w, const char *call)
{
	bool mine = me == victim.side && me != NOBODY;

	if (pass_point(mine))
		die(call);
	if (is_dead(mine)) {
		w->fault = WRAP_GONE;
		w->at = w->calls;
	}
}

/* ---- a migration ------------------------------------------------------------ */

static int open_side(struct vfm_device **out, const char *uri, struct vfm_err *err)
{
	/* Closed by the recovery, while what is in it stays. */
	struct wrap *w = wrap_new(me == SOURCE ? rig.src : rig.dst);

	(void)uri;
	(void)err;
	w->hook = on_call;
	*out = &w->dev;
	return 0;
}

static void *receive(void *arg)
{
	struct rig_half *h = arg;

	me = DESTINATION;
	h->ret = vfm_migrate_receive(h->dev, NULL, h->fd, h->opts, &h->report, &h->err);
	shutdown(h->fd, SHUT_RDWR);
	return NULL;
}

/* What a device does whose user has vanished. */
static void orphan(struct wrap *w)
{
	enum vfm_state state = rig_state(w->inner);

	if (w->orphan == VFM_ORPHAN_RUN && state != VFM_STATE_RUNNING && state != VFM_STATE_ERROR &&
	    state != VFM_STATE_RESUMING)
		assert_int_equal(vfm_device_set_state(w->inner, VFM_STATE_RUNNING, NULL), 0);
	if (w->orphan == VFM_ORPHAN_RESET &&
	    (state == VFM_STATE_RESUMING || state == VFM_STATE_STOP || state == VFM_STATE_ERROR))
		assert_int_equal(vfm_device_reset(w->inner, NULL), 0);
}

static void migrate(const int fds[2])
{
	struct vfm_migrate_opts opts[2] = { rig_opts(), rig_opts() };
	struct rig_half half = { .dev = &rig.wd->dev, .fd = fds[1], .opts = &opts[1] };

	for (int i = 0; i < 2; i++) {
		opts[i].journal = dirs[i];
		victim.fds[i] = fds[i];
	}
	rig.ws->hook = rig.wd->hook = on_call;
	assert_int_equal(pthread_create(&half.thread, NULL, receive, &half), 0);
	me = SOURCE;
	(void)!vfm_migrate_send(&rig.ws->dev, NULL, fds[0], &opts[0], &rig.report, &rig.err);
	shutdown(fds[0], SHUT_RDWR);
	rig_join(&half);
	me = NOBODY;
	if (victim.dead)
		orphan(victim.side == SOURCE ? rig.ws : rig.wd);
	victim.side = NOBODY;
}

/* ---- recovery ----------------------------------------------------------------- */

struct half {
	enum side side;
	struct vfm_recover_opts opts;
	int ret;
	char said[2048];
	struct vfm_err err;
	pthread_t thread;
};

static void note(void *user, const struct vfm_recovered *one)
{
	struct half *h = user;
	size_t used = strlen(h->said);

	snprintf(h->said + used, sizeof(h->said) - used, "%s: %s -> %s (%s), %s; ",
		 vfm_role_name(one->role), vfm_handover_name(one->before),
		 vfm_handover_name(one->after), vfm_handover_name(one->other), one->text);
}

static void *recover_half(void *arg)
{
	struct half *h = arg;

	me = h->side;
	h->ret = vfm_recover(dirs[h->side], &h->opts, &h->err);
	if (h->opts.fd >= 0)
		shutdown(h->opts.fd, SHUT_RDWR);
	return NULL;
}

/* Both sides, @asks asking. */
static void recover(enum side asks, struct half halves[2])
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	for (int i = 0; i < 2; i++) {
		victim.fds[i] = fds[i];
		halves[i] = (struct half){ .side = i, .opts = VFM_RECOVER_OPTS() };
		halves[i].opts.fd = fds[i];
		halves[i].opts.answer = i != (int)asks;
		halves[i].opts.open = open_side;
		halves[i].opts.each = note;
		halves[i].opts.user = &halves[i];
		assert_int_equal(pthread_create(&halves[i].thread, NULL, recover_half, &halves[i]),
				 0);
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(halves[i].thread, NULL);
		close(fds[i]);
	}
}

/* One side by itself: it may settle what is its own to settle, and nothing else. */
static void recover_alone(enum side side)
{
	struct half h = { .side = side, .opts = VFM_RECOVER_OPTS() };

	h.opts.open = open_side;
	recover_half(&h);
	me = NOBODY;
	if (h.ret && h.ret != -EUCLEAN)
		fail_msg("%s", h.err.msg);
}

static void empty_dirs(void)
{
	for (int i = 0; i < 2; i++)
		rig_empty_dir(dirs[i]);
}

static void check_never_two(const char *when)
{
	if (rig_owns(rig.src) && rig_owns(rig.dst))
		fail_msg("%s: two owners", when);
}

static void settle(unsigned int order, const char *what, unsigned int n)
{
	static const enum side none = NOBODY;
	/* who recovers alone before, and who asks then */
	const enum side orders[][2] = { { none, SOURCE },
					{ none, DESTINATION },
					{ SOURCE, DESTINATION },
					{ DESTINATION, SOURCE } };
	struct half halves[2];

	check_never_two(what);
	if (orders[order][0] != none)
		recover_alone(orders[order][0]);
	check_never_two(what);
	recover(orders[order][1], halves);
	for (int i = 0; i < 2; i++)
		if (halves[i].ret)
			fail_msg("%s %u, order %u: %s: %s: %s", what, n, order, side_names[i],
				 halves[i].err.msg, halves[i].said);
	if (rig_owns(rig.src) == rig_owns(rig.dst))
		fail_msg("%s %u, order %u: %s: %s %s", what, n, order,
			 rig_owns(rig.src) ? "two owners" : "no owner", halves[0].said,
			 halves[1].said);
	/* Once more: nothing changes. */
	recover(orders[order][1], halves);
	assert_true(!halves[0].ret && !halves[1].ret && rig_owns(rig.src) != rig_owns(rig.dst));
}

static void open_run(void)
{
	empty_dirs();
	rig_open(&rig, PARAMS, 0);
	rig_start(&rig, 0);
	rig_step(rig.src, 0, 7);
}

/* ---- the schedules -------------------------------------------------------------- */

static bool die_at(enum side side, unsigned int n, enum how how, unsigned int order)
{
	int fds[2];
	bool died;
	char what[64];

	victim.at = n;
	victim.how = how;
	victim.points = 0;
	victim.dead = victim.failing = false;
	open_run();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	victim.side = side;
	migrate(fds);
	died = victim.dead || victim.failing;
	snprintf(what, sizeof(what), "%s dies at %s, %d,", side_names[side], victim.what, how);
	settle(order, what, n);
	close(fds[0]);
	close(fds[1]);
	rig_close(&rig);
	return died;
}

static void each_point(enum side side)
{
	unsigned int runs = 0;

	for (enum how how = BEFORE; how < NR_HOWS; how++) {
		unsigned int n = 0;

		do {
			assert_true(++n < MOST);
			for (unsigned int order = 0; order < 4; order++, runs++)
				if (!die_at(side, n, how, order))
					break;
		} while (victim.dead || victim.failing);
	}
	print_message("# %u runs\n", runs);
	assert_true(runs > 100);
}

static void the_source_dies_everywhere(void **state)
{
	(void)state;
	each_point(SOURCE);
}

static void the_destination_dies_everywhere(void **state)
{
	(void)state;
	each_point(DESTINATION);
}

/*
 * The source dies at @n, when it has written; then the recovery of @side dies at @m; then
 * both recover.
 */
static bool recovery_dies_at(unsigned int n, enum side side, unsigned int m, bool *source_died)
{
	struct half halves[2];
	int fds[2];
	bool died;

	victim.at = n;
	victim.how = AFTER;
	victim.points = 0;
	victim.dead = victim.failing = false;
	open_run();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	victim.side = SOURCE;
	migrate(fds);
	*source_died = victim.dead;
	close(fds[0]);
	close(fds[1]);
	victim.at = m;
	victim.how = m % NR_DEATHS;
	victim.points = 0;
	victim.dead = victim.failing = false;
	victim.side = side;
	recover(n % 2, halves);
	died = victim.dead;
	victim.side = NOBODY;
	settle(m % 4, "the recovery dies", m);
	rig_close(&rig);
	return died;
}

static void the_recovery_dies_everywhere(void **state)
{
	bool source_died = true;
	unsigned int runs = 0;

	(void)state;
	for (unsigned int n = 1; source_died; n++) {
		for (enum side side = SOURCE; side <= DESTINATION; side++) {
			unsigned int m = 0;

			do {
				assert_true(++m < MOST);
				runs++;
			} while (recovery_dies_at(n, side, m, &source_died));
		}
	}
	print_message("# %u runs\n", runs);
	assert_true(runs > 100);
}

static bool cut_at(bool reverse, unsigned int record, size_t bytes, unsigned int order)
{
	struct relay relay = {
		.fault = RELAY_CUT, .reverse = reverse, .record = record, .bytes = bytes
	};

	open_run();
	relay_start(&relay);
	migrate(relay.fds);
	relay_stop(&relay);
	settle(order, reverse ? "cut from the destination" : "cut from the source", record);
	rig_close(&rig);
	return relay.hit;
}

static void each_record_cut(void **state)
{
	static const size_t bytes[] = { 0, 49, SIZE_MAX };
	unsigned int runs = 0;

	(void)state;
	victim.side = NOBODY;
	for (int reverse = 0; reverse < 2; reverse++) {
		for (int b = 0; b < 3; b++) {
			unsigned int record = 0;

			while (cut_at(reverse, record, bytes[b], record % 4))
				assert_true(++record < MOST);
			runs += record;
		}
	}
	print_message("# %u runs\n", runs);
	assert_true(runs >= 30);
}

/* The destination cannot write from @n on, and what it says last, RUNNING, is lost. */
static bool fail_and_cut(unsigned int n, enum how how)
{
	struct relay relay = { .fault = RELAY_CUT, .reverse = true, .record = 3 };

	victim.at = n;
	victim.how = how;
	victim.points = 0;
	victim.dead = victim.failing = false;
	open_run();
	relay_start(&relay);
	victim.side = DESTINATION;
	migrate(relay.fds);
	relay_stop(&relay);
	settle(n % 4, "a write fails and RUNNING is lost", n);
	rig_close(&rig);
	return victim.failing;
}

static void a_write_fails_and_the_connection_too(void **state)
{
	unsigned int runs = 0;

	(void)state;
	for (enum how how = ONCE; how < NR_HOWS; how++) {
		unsigned int n = 1;

		while (fail_and_cut(n, how))
			assert_true(++n < MOST);
		runs += n;
	}
	print_message("# %u runs\n", runs);
	assert_true(runs > 20);
}

static void nothing_is_left_of_a_migration_that_went_well(void **state)
{
	struct vfm_migrate_opts opts = rig_opts();

	(void)state;
	open_run();
	opts.journal = dirs[0];
	assert_int_equal(rig_migrate(&rig, &opts), 0);
	rig_check_moved(&rig);
	assert_int_equal(rmdir(dirs[0]), 0);
	assert_int_equal(mkdir(dirs[0], 0700), 0);
	rig_close(&rig);
}

static int make_dirs(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		/* in memory, if that can be had: to wait for a disk tests nothing here */
		snprintf(dirs[i], sizeof(dirs[i]), "%s/vfmig-recover-XXXXXX",
			 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
		if (!mkdtemp(dirs[i]))
			return -1;
	}
	return 0;
}

static int remove_dirs(void **state)
{
	(void)state;
	empty_dirs();
	return rmdir(dirs[0]) || rmdir(dirs[1]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_left_of_a_migration_that_went_well),
		cmocka_unit_test(the_source_dies_everywhere),
		cmocka_unit_test(the_destination_dies_everywhere),
		cmocka_unit_test(the_recovery_dies_everywhere),
		cmocka_unit_test(each_record_cut),
		cmocka_unit_test(a_write_fails_and_the_connection_too),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_dirs, remove_dirs);
}
