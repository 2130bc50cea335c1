// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Both halves from here, over a socket pair. The destination's half has a
 * thread, which is joined before we return; its device and memory are used by
 * that thread alone meanwhile.
 *
 * The two halves tell each other of failures as they would over a network. Only
 * a failure that could not be told is taken from the thread itself.
 */

#include "engine/pipe.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/util.h"

struct receiver {
	struct vfm_device *dev;
	struct vfm_memory *mem;
	int fd;
	struct vfm_migrate_opts opts;
	struct vfm_err err;
	int ret;
};

static void *receive(void *arg)
{
	struct receiver *r = arg;

	r->ret = vfm_migrate_receive(r->dev, r->mem, r->fd, &r->opts, NULL, &r->err);
	/* A source that still waits for us learns that in vain it does. */
	shutdown(r->fd, SHUT_RDWR);
	return NULL;
}

static int join(int ret, const struct receiver *r, struct vfm_err *err)
{
	bool cut = ret == -ECONNRESET || ret == -EPIPE;

	if (r->ret && (!ret || cut))
		return vfm_fail(err, r->ret, "destination: %s", r->err.msg);
	return ret;
}

VFM_API int vfm_migrate(struct vfm_device *src, struct vfm_memory *src_mem, struct vfm_device *dst,
			struct vfm_memory *dst_mem, const struct vfm_migrate_opts *opts,
			struct vfm_migration_report *report, struct vfm_err *err)
{
	struct receiver r = { .dev = dst, .mem = dst_mem, .opts = VFM_MIGRATE_OPTS() };
	struct vfm_migrate_opts given;
	vfm_auto_fd int ours = -1;
	vfm_auto_fd int theirs = -1;
	pthread_t thread;
	int fds[2];
	int ret;

	if (src == dst || (src_mem && src_mem == dst_mem))
		return vfm_fail(err, -EINVAL, "migrate a device to itself");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return vfm_fail(err, -errno, "socket pair: %s", strerror(errno));
	ours = fds[0];
	theirs = fds[1];
	r.fd = theirs;
	ret = vfm_engine_opts(&given, opts, err);
	if (ret)
		return ret;
	r.opts.timeout_ms = given.timeout_ms;
	r.opts.memory_limit = given.memory_limit;
	r.opts.before_run = given.before_run;
	r.opts.journal = given.journal;
	r.opts.store = given.store;
	r.opts.user = given.user;
	given.tls = NULL;
	ret = vfm_engine_thread(&thread, receive, &r);
	if (ret)
		return vfm_fail(err, ret, "start the destination's thread: %s", strerror(-ret));
	ret = vfm_migrate_send(src, src_mem, ours, &given, report, err);
	shutdown(ours, SHUT_RDWR);
	pthread_join(thread, NULL);
	return join(ret, &r, err);
}
