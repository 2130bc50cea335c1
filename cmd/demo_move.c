// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The migration of the demo. Both halves are in this process, but know nothing of
 * each other but a TCP connection: the destination's half has a thread.
 */

#include "demo.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"

#define ACCEPT_MS 10000

/*
 * struct receiver - the destination's half
 * @stop_fd: ends it when there will be no source
 * @ret, @err, @report: of its own; looked at when the thread has been joined
 */
struct receiver {
	struct demo_end *end;
	struct cmd_listener listener;
	int stop_fd;
	unsigned int timeout_ms;
	uint64_t memory_limit;
	struct demo_arrival *arrival;
	int ret;
	struct vfm_err err;
	struct vfm_migration_report report;
};

/* The device holds what has arrived, and does not run yet. */
static int before_run(void *user, struct vfm_device *dev, struct vfm_err *err)
{
	struct receiver *r = (struct receiver *)user;
	int ret = demo_end_wire(r->end, err);

	(void)dev;
	if (!ret)
		ret = demo_end_read_counts(r->end, err);
	r->arrival->writes = r->end->ring.count;
	r->arrival->changes = r->end->state.changes;
	return ret;
}

static void *receive(void *user)
{
	struct receiver *r = (struct receiver *)user;
	struct vfm_migrate_opts opts = VFM_MIGRATE_OPTS();
	vfm_auto_fd int fd = cmd_accept(&r->listener, ACCEPT_MS, r->stop_fd, &r->err);

	r->ret = fd;
	if (fd < 0)
		return NULL;
	opts.cancel_fd = r->stop_fd;
	opts.timeout_ms = r->timeout_ms;
	opts.memory_limit = r->memory_limit;
	opts.before_run = before_run;
	opts.user = r;
	r->ret = vfm_migrate_receive(r->end->end.dev, r->end->end.mem, fd, &opts, &r->report,
				     &r->err);
	return NULL;
}

static int send_to(struct cmd_run *run, struct demo_end *src, unsigned int port,
		   struct vfm_err *err)
{
	vfm_auto_fd int fd = -1;
	char address[32];

	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	fd = cmd_connect(address, false, ACCEPT_MS, run->signal_fd, err);
	if (fd < 0)
		return fd;
	return vfm_migrate_send(src->end.dev, src->end.mem, fd, &run->opts, &run->report, err);
}

/* One text of two halves; what the source says comes first, as it stays the owner. */
static int blame(int ret, struct receiver *r, struct vfm_err *err)
{
	char text[VFM_ERR_TEXT];

	if (!ret && !r->ret)
		return 0;
	/* one that we stopped ourselves has nothing to say */
	if (!r->ret || ret == -ECANCELED || (ret && r->ret == -ECANCELED))
		return ret;
	cmd_explain(r->ret, &r->err);
	if (!ret)
		return vfm_fail(err, r->ret, "destination: %s", r->err.msg);
	cmd_explain(ret, err);
	snprintf(text, sizeof(text), "%s", err->msg);
	return vfm_fail(err, ret, "%.240s; destination: %.240s", text, r->err.msg);
}

static int move(struct cmd_run *run, struct demo_end *src, struct receiver *r, struct vfm_err *err)
{
	const uint64_t one = 1;
	pthread_t thread;
	int ret = pthread_create(&thread, NULL, receive, r);

	if (ret)
		return vfm_fail(err, -ret, "start a thread");
	ret = send_to(run, src, r->listener.port, err);
	/* a half that failed may have left the other one waiting */
	if (ret && write(r->stop_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		cmd_warn("demo", "cannot stop the destination, waiting for its timeout");
	pthread_join(thread, NULL);
	return blame(ret, r, err);
}

int demo_move(struct cmd_run *run, struct demo_end *src, struct demo_end *dst,
	      struct demo_arrival *arrival, struct vfm_err *err)
{
	struct receiver r = { .end = dst,
			      .arrival = arrival,
			      .timeout_ms = run->opts.timeout_ms,
			      .memory_limit = run->opts.memory_limit,
			      .listener.fd = -1 };
	vfm_auto_fd int stop_fd = eventfd(0, EFD_CLOEXEC);
	int ret;

	r.stop_fd = stop_fd;
	if (stop_fd < 0)
		return vfm_fail(err, -errno, "create an eventfd");
	ret = cmd_listen(&r.listener, "0", false, err);
	if (!ret)
		ret = move(run, src, &r, err);
	cmd_listener_close(&r.listener);
	return ret;
}
