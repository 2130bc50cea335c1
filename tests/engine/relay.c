// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "test.h"

#include "relay.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/hello.h"
#include "stream/format.h"

#define ROOM (VFM_STREAM_HEAD_SIZE + (1u << 20))

/* One direction, a record at a time. */
struct flow {
	int from, to;
	bool reverse;
	size_t have, need;
	bool greeted; /* the hello is through */
	bool started; /* and the header of the stream */
	unsigned int record;
	uint8_t buf[ROOM];
};

static bool is_faulty(const struct relay *relay, const struct flow *f)
{
	return relay->fault != RELAY_NONE && relay->reverse == f->reverse && f->started &&
	       f->record == relay->record;
}

static bool pass(struct flow *f, size_t len)
{
	return send(f->to, f->buf, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* A whole record, or the header of the stream, is there. Whether the wire still works. */
static bool deliver(struct relay *relay, struct flow *f)
{
	size_t at = relay->bytes < f->need ? relay->bytes : f->need - 1;
	bool faulty = is_faulty(relay, f);

	if (faulty) {
		relay->hit = true;
		memcpy(&relay->type, f->buf, sizeof(relay->type));
		if (relay->fault != RELAY_FLIP) {
			pass(f, at);
			return false;
		}
		f->buf[at] ^= 0x10;
	}
	if (f->started)
		f->record++;
	f->started = f->greeted;
	f->greeted = true;
	return pass(f, f->need);
}

/* Some bytes have come. */
static bool take(struct relay *relay, struct flow *f)
{
	ssize_t n = recv(f->from, f->buf + f->have, f->need - f->have, 0);
	uint32_t stored;

	if (n <= 0)
		return false;
	f->have += (size_t)n;
	if (f->have < f->need)
		return true;
	if (f->started && f->need == VFM_STREAM_HEAD_SIZE) {
		memcpy(&stored, f->buf + 12, sizeof(stored));
		f->need += stored;
		if (stored)
			return true;
	}
	if (!deliver(relay, f))
		return false;
	f->have = 0;
	f->need = f->started ? VFM_STREAM_HEAD_SIZE : VFM_STREAM_HEADER_SIZE;
	return true;
}

/* One end has stopped sending: the other learns that, and may still answer. */
static void end_flow(struct pollfd *fd, const struct flow *f)
{
	shutdown(f->to, SHUT_WR);
	fd->fd = -1;
}

static void *run(void *arg)
{
	struct relay *relay = arg;
	struct flow *flows = calloc(2, sizeof(*flows));
	struct pollfd fds[2];

	for (int i = 0; i < 2; i++) {
		flows[i].from = relay->inner[i];
		flows[i].to = relay->inner[!i];
		flows[i].reverse = i;
		flows[i].need = VFM_HELLO_SIZE;
		fds[i] = (struct pollfd){ .fd = flows[i].from, .events = POLLIN };
	}
	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		poll(fds, 2, -1);
		for (int i = 0; i < 2; i++) {
			if (fds[i].fd < 0 || !fds[i].revents || take(relay, &flows[i]))
				continue;
			if (!relay->hit || relay->fault == RELAY_FLIP)
				end_flow(&fds[i], &flows[i]);
			else
				fds[0].fd = fds[1].fd = -1;
		}
	}
	if (relay->fault == RELAY_CUT)
		for (int i = 0; i < 2; i++)
			shutdown(relay->inner[i], SHUT_RDWR);
	free(flows);
	return NULL;
}

void relay_start(struct relay *relay)
{
	for (int i = 0; i < 2; i++) {
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		relay->fds[i] = pair[0];
		relay->inner[i] = pair[1];
	}
	assert_int_equal(pthread_create(&relay->thread, NULL, run, relay), 0);
}

void relay_stop(struct relay *relay)
{
	for (int i = 0; i < 2; i++)
		shutdown(relay->fds[i], SHUT_RDWR);
	pthread_join(relay->thread, NULL);
	for (int i = 0; i < 2; i++) {
		close(relay->fds[i]);
		close(relay->inner[i]);
	}
}
