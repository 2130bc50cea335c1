// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "test.h"

#include "wire.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/util.h"

static void forge(uint8_t *hello)
{
	struct vfm_writer w = vfm_writer_of(hello + VFM_HELLO_SIZE - 8, 8);

	hello[24] ^= 1;
	vfm_write_le64(&w, vfm_checksum(hello, VFM_HELLO_SIZE - 8, 0));
}

/* Some bytes of one direction. Whether the wire still works. */
static bool carry(struct wire *w, int from)
{
	static _Thread_local uint8_t buf[16384];
	bool faulty = w->fault != NONE && from == (w->reverse ? 1 : 0);
	size_t want = sizeof(buf), before = w->passed[from];
	ssize_t n;

	if (faulty && w->fault == FORGE && !before)
		want = VFM_HELLO_SIZE;
	n = recv(w->inner[from], buf, want, want == VFM_HELLO_SIZE ? MSG_WAITALL : 0);
	if (n <= 0) {
		shutdown(w->inner[!from], SHUT_WR);
		return true;
	}
	if (before < VFM_HELLO_SIZE)
		memcpy(w->hellos[from] + before, buf, VFM_MIN((size_t)n, VFM_HELLO_SIZE - before));
	w->passed[from] += (size_t)n;
	if (faulty && !w->hit && w->passed[from] > w->at) {
		w->hit = true;
		if (w->fault == FORGE)
			forge(buf);
		if (w->fault == FLIP)
			buf[w->at - before] ^= 0x20;
		if (w->fault == CUT || w->fault == STALL) {
			send(w->inner[!from], buf, w->at - before, MSG_NOSIGNAL);
			return false;
		}
	}
	send(w->inner[!from], buf, (size_t)n, MSG_NOSIGNAL);
	return true;
}

static void *run_wire(void *arg)
{
	struct wire *w = arg;
	struct pollfd fds[2];
	bool works = true;

	for (int i = 0; i < 2; i++)
		fds[i] = (struct pollfd){ .fd = w->inner[i], .events = POLLIN };
	while (works && (fds[0].fd >= 0 || fds[1].fd >= 0)) {
		poll(fds, 2, -1);
		for (int i = 0; works && i < 2; i++) {
			size_t before = w->passed[i];

			if (fds[i].fd < 0 || !fds[i].revents)
				continue;
			works = carry(w, i);
			if (works && w->passed[i] == before)
				fds[i].fd = -1;
		}
	}
	if (!works && w->fault == CUT)
		for (int i = 0; i < 2; i++)
			shutdown(w->inner[i], SHUT_RDWR);
	return NULL;
}

void wire_start(struct wire *w)
{
	for (int i = 0; i < 2; i++) {
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		w->fds[i] = pair[0];
		w->inner[i] = pair[1];
	}
	assert_int_equal(pthread_create(&w->thread, NULL, run_wire, w), 0);
}

void wire_stop(struct wire *w)
{
	for (int i = 0; i < 2; i++)
		shutdown(w->fds[i], SHUT_RDWR);
	pthread_join(w->thread, NULL);
	for (int i = 0; i < 2; i++) {
		close(w->fds[i]);
		close(w->inner[i]);
	}
}
