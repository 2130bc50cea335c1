// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Both halves from here, over a socket pair for each channel. The destination's half has a
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

/* The ends of the socket pairs that one half has; from @used on it has not asked for them yet. */
struct ends {
	int fds[VFM_CHANNELS_MAX];
	unsigned int used, count;
};

struct receiver {
	struct vfm_device *dev;
	struct vfm_memory *mem;
	struct ends ends;
	struct vfm_migrate_opts opts;
	struct vfm_err err;
	int ret;
};

static int open_channel(void *user, unsigned int timeout_ms, struct vfm_err *err)
{
	struct ends *ends = user;

	(void)timeout_ms;
	if (ends->used == ends->count)
		return vfm_fail(err, -EPROTO, "more channels than %u", ends->count);
	return vfm_take_fd(&ends->fds[ends->used++]);
}

static int make_pairs(struct ends *src, struct ends *dst, unsigned int count, struct vfm_err *err)
{
	*src = *dst = (struct ends){ .used = 1 }; /* the first is given */
	for (unsigned int i = 0; i < count; i++) {
		int fds[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
			return vfm_fail(err, -errno, "socket pair: %s", strerror(errno));
		src->fds[i] = fds[0];
		dst->fds[i] = fds[1];
		src->count = dst->count = i + 1;
	}
	return 0;
}

static void close_ends(struct ends *ends)
{
	for (unsigned int i = 0; i < ends->count; i++)
		vfm_close_fd(&ends->fds[i]);
}

static void *receive(void *arg)
{
	struct receiver *r = arg;

	r->ret = vfm_migrate_receive(r->dev, r->mem, r->ends.fds[0], &r->opts, NULL, &r->err);
	/* A source that still waits for us learns that in vain it does. */
	shutdown(r->ends.fds[0], SHUT_RDWR);
	return NULL;
}

static int join(int ret, const struct receiver *r, struct vfm_err *err)
{
	bool cut = ret == -ECONNRESET || ret == -EPIPE;

	if (r->ret && (!ret || cut))
		return vfm_fail(err, r->ret, "destination: %s", r->err.msg);
	return ret;
}

static int move(struct receiver *r, struct vfm_device *src, struct vfm_memory *src_mem, int fd,
		const struct vfm_migrate_opts *opts, struct vfm_migration_report *report,
		struct vfm_err *err)
{
	pthread_t thread;
	int ret = vfm_engine_thread(&thread, receive, r);

	if (ret)
		return vfm_fail(err, ret, "start the destination's thread: %s", strerror(-ret));
	ret = vfm_migrate_send(src, src_mem, fd, opts, report, err);
	shutdown(fd, SHUT_RDWR);
	pthread_join(thread, NULL);
	return join(ret, r, err);
}

VFM_API int vfm_migrate(struct vfm_device *src, struct vfm_memory *src_mem, struct vfm_device *dst,
			struct vfm_memory *dst_mem, const struct vfm_migrate_opts *opts,
			struct vfm_migration_report *report, struct vfm_err *err)
{
	struct receiver r = { .dev = dst, .mem = dst_mem, .opts = VFM_MIGRATE_OPTS() };
	struct vfm_migrate_opts given;
	struct ends ours;
	int ret;

	if (src == dst || (src_mem && src_mem == dst_mem))
		return vfm_fail(err, -EINVAL, "migrate a device to itself");
	ret = vfm_engine_opts(&given, opts, err);
	if (ret)
		return ret;
	r.opts.timeout_ms = given.timeout_ms;
	r.opts.memory_limit = given.memory_limit;
	r.opts.before_run = given.before_run;
	r.opts.journal = given.journal;
	r.opts.user = given.user;
	r.opts.channels = given.channels;
	r.opts.open_channel = given.open_channel = open_channel;
	r.opts.channel_user = &r.ends;
	given.channel_user = &ours;
	given.tls = NULL;
	ret = make_pairs(&ours, &r.ends, VFM_MAX(given.channels, 1u), err);
	if (!ret)
		ret = move(&r, src, src_mem, ours.fds[0], &given, report, err);
	close_ends(&ours);
	close_ends(&r.ends);
	return ret;
}
