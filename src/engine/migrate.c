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
	const struct vfm_unit *unit;
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

	r->ret = vfm_migrate_receive_unit(r->unit, r->ends.fds[0], &r->opts, NULL, &r->err);
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

static int move(struct receiver *r, const struct vfm_unit *src, int fd,
		const struct vfm_migrate_opts *opts, struct vfm_migration_report *report,
		struct vfm_err *err)
{
	pthread_t thread;
	int ret = vfm_engine_thread(&thread, receive, r);

	if (ret)
		return vfm_fail(err, ret, "start the destination's thread: %s", strerror(-ret));
	ret = vfm_migrate_send_unit(src, fd, opts, report, err);
	shutdown(fd, SHUT_RDWR);
	pthread_join(thread, NULL);
	return join(ret, r, err);
}

static int check_units(const struct vfm_unit *src, const struct vfm_unit *dst, struct vfm_err *err)
{
	int ret = vfm_engine_check_unit(src, err);

	if (!ret)
		ret = vfm_engine_check_unit(dst, err);
	if (ret)
		return ret;
	for (size_t i = 0; i < src->nr_devs; i++)
		for (size_t k = 0; k < dst->nr_devs; k++)
			if (src->devs[i] == dst->devs[k])
				return vfm_fail(err, -EINVAL, "migrate a device to itself");
	if (src->mem && src->mem == dst->mem)
		return vfm_fail(err, -EINVAL, "migrate a device to itself");
	return 0;
}

VFM_API int vfm_migrate_unit(const struct vfm_unit *src, const struct vfm_unit *dst,
			     const struct vfm_migrate_opts *opts,
			     struct vfm_migration_report *report, struct vfm_err *err)
{
	struct receiver r = { .unit = dst, .opts = VFM_MIGRATE_OPTS() };
	struct vfm_migrate_opts given;
	struct ends ours;
	int ret;

	ret = check_units(src, dst, err);
	if (ret)
		return ret;
	ret = vfm_engine_opts(&given, opts, err);
	if (ret)
		return ret;
	r.opts.timeout_ms = given.timeout_ms;
	r.opts.memory_limit = given.memory_limit;
	r.opts.before_run = given.before_run;
	r.opts.journal = given.journal;
	r.opts.store = given.store;
	r.opts.allow_no_p2p = given.allow_no_p2p;
	r.opts.user = given.user;
	r.opts.channels = given.channels;
	r.opts.open_channel = given.open_channel = open_channel;
	r.opts.channel_user = &r.ends;
	given.channel_user = &ours;
	given.tls = NULL;
	ret = make_pairs(&ours, &r.ends, VFM_MAX(given.channels, 1u), err);
	if (!ret)
		ret = move(&r, src, ours.fds[0], &given, report, err);
	close_ends(&ours);
	close_ends(&r.ends);
	return ret;
}

VFM_API int vfm_migrate(struct vfm_device *src, struct vfm_memory *src_mem, struct vfm_device *dst,
			struct vfm_memory *dst_mem, const struct vfm_migrate_opts *opts,
			struct vfm_migration_report *report, struct vfm_err *err)
{
	return vfm_migrate_unit(&VFM_UNIT_OF(src, src_mem), &VFM_UNIT_OF(dst, dst_mem), opts,
				report, err);
}
