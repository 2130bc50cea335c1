// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "mortal.h"

#include <dirent.h>
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

struct victim victim = { .side = NOBODY };
struct rig rig;
char dirs[2][32];
const char *const side_names[] = { "source", "destination" };
struct vfm_store *stores[2];

static __thread enum side me = NOBODY;

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

bool gate(enum side side)
{
	bool mine = me == side && me == victim.side;

	if (!is_dead(mine) && pass_point(mine))
		die("the store");
	return !is_dead(mine);
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

void migrate(const int fds[2])
{
	struct vfm_migrate_opts opts[2] = { rig_opts(), rig_opts() };
	struct rig_half half = { .dev = &rig.wd->dev, .fd = fds[1], .opts = &opts[1] };

	for (int i = 0; i < 2; i++) {
		opts[i].journal = dirs[i];
		opts[i].store = stores[i];
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

void recover(enum side asks, struct half halves[2])
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	for (int i = 0; i < 2; i++) {
		victim.fds[i] = fds[i];
		halves[i] = (struct half){ .side = i, .opts = VFM_RECOVER_OPTS() };
		halves[i].opts.fd = fds[i];
		halves[i].opts.answer = i != (int)asks;
		halves[i].opts.open = open_side;
		halves[i].opts.store = stores[i];
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

int recover_alone(enum side side, struct half *h)
{
	*h = (struct half){ .side = side, .opts = VFM_RECOVER_OPTS() };
	h->opts.open = open_side;
	h->opts.store = stores[side];
	h->opts.each = note;
	h->opts.user = h;
	recover_half(h);
	me = NOBODY;
	if (h->ret && h->ret != -EUCLEAN)
		fail_msg("%s", h->err.msg);
	return h->ret;
}

static void empty_dirs(void)
{
	for (int i = 0; i < 2; i++)
		rig_empty_dir(dirs[i]);
}

void check_never_two(const char *when)
{
	if (rig_owns(rig.src) && rig_owns(rig.dst))
		fail_msg("%s: two owners", when);
}

void open_run(void)
{
	empty_dirs();
	rig_open(&rig, "state=64K,bar=8K,features=7", 0);
	rig_start(&rig, 0);
	rig_step(rig.src, 0, 7);
}

void migrate_pair(void)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	migrate(fds);
	close(fds[0]);
	close(fds[1]);
}

void aim(enum side side, unsigned int at, enum how how)
{
	victim.side = side;
	victim.at = at;
	victim.how = how;
	victim.points = 0;
	victim.dead = victim.failing = false;
}

unsigned int count_journals(enum side side)
{
	DIR *dir = opendir(dirs[side]);
	const struct dirent *entry;
	unsigned int count = 0;

	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

int make_dirs(void **state)
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

int remove_dirs(void **state)
{
	(void)state;
	empty_dirs();
	return rmdir(dirs[0]) || rmdir(dirs[1]);
}
