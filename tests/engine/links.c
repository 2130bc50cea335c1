// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "links.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

int links_next(void *user, unsigned int timeout_ms, struct vfm_err *err)
{
	struct links_end *end = user;
	int fd;

	(void)timeout_ms;
	if (end->used == end->count)
		return vfm_fail(err, -ETIMEDOUT, "there are no more links");
	fd = end->fds[end->used];
	end->fds[end->used++] = -1;
	return fd;
}

void links_open(struct links *l, unsigned int count, uint64_t size, size_t piece)
{
	*l = (struct links){ .open_fds = test_count_fds() };
	l->src = flow_new(size, piece);
	l->dst = flow_new(size, 0);
	for (unsigned int i = 0; i < count; i++) {
		int fds[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		l->ends[0].fds[i] = fds[0];
		l->ends[1].fds[i] = fds[1];
	}
	for (int i = 0; i < 2; i++) {
		l->ends[i].used = 1;
		l->ends[i].count = count;
		l->opts[i] = VFM_MIGRATE_OPTS();
		l->opts[i].max_downtime_ms = 0;
		l->opts[i].channels = count;
		l->opts[i].open_channel = links_next;
		l->opts[i].channel_user = &l->ends[i];
	}
	l->half = (struct rig_half){ .dev = &l->dst->dev, .opts = &l->opts[1] };
}

void links_break(struct links *l, unsigned int channel, const struct relay *fault)
{
	struct relay *relay = &l->relays[channel];

	*relay = *fault;
	relay_start(relay);
	l->relayed[channel] = true;
	for (int i = 0; i < 2; i++) {
		close(l->ends[i].fds[channel]);
		l->ends[i].fds[channel] = relay->fds[i];
		relay->fds[i] = -1; /* whoever has it closes it */
	}
}

/* The first, and what nobody has asked for. */
static void close_end(struct links_end *end)
{
	for (unsigned int i = 0; i < LINKS_MAX; i++)
		if (!i || (i >= end->used && i < end->count))
			close(end->fds[i]);
	end->count = 0;
}

static void close_all(struct links *l)
{
	if (!l->ends[0].count)
		return;
	close_end(&l->ends[0]);
	close_end(&l->ends[1]);
	for (unsigned int i = 0; i < LINKS_MAX; i++)
		if (l->relayed[i])
			relay_stop(&l->relays[i]);
}

int links_move(struct links *l)
{
	int ret;

	l->half.fd = l->ends[1].fds[0];
	rig_receive_begin(&l->half);
	ret = vfm_migrate_send(&l->src->dev, NULL, l->ends[0].fds[0], &l->opts[0], &l->report,
			       &l->err);
	shutdown(l->ends[0].fds[0], SHUT_RDWR);
	rig_join(&l->half);
	close_all(l);
	return ret;
}

void links_close(struct links *l)
{
	close_all(l);
	flow_free(l->src);
	flow_free(l->dst);
	assert_int_equal(test_count_fds(), l->open_fds);
}

void links_check_moved(struct links *l, int ret)
{
	if (ret || l->half.ret)
		fail_msg("%s; %s", l->err.msg, l->half.err.msg);
	assert_true(l->report.committed && l->half.report.committed);
	assert_int_equal(l->src->state, VFM_STATE_STOP);
	assert_int_equal(l->dst->state, VFM_STATE_RUNNING);
	assert_int_equal(l->dst->at, l->src->size);
	assert_int_equal(l->dst->resets, 0);
	assert_int_equal(l->report.state_bytes, l->src->size);
	assert_int_equal(l->half.report.state_bytes, l->src->size);
}

void links_check_back(struct links *l, int ret)
{
	assert_int_not_equal(ret, 0);
	assert_int_not_equal(l->half.ret, 0);
	assert_true(l->err.msg[0] && l->half.err.msg[0]);
	assert_false(l->report.committed || l->half.report.committed);
	assert_int_equal(l->src->state, VFM_STATE_RUNNING);
	assert_int_equal(l->dst->state, VFM_STATE_RUNNING);
}
