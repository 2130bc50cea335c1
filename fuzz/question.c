// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What one recovery says to another. The first byte of the input chooses: with bit 0 the
 * checksum is made right. What is heard must be what is said again.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/util.h"
#include "engine/recover.h"

#define MESSAGE 48

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(int fds[2], const uint8_t *wire, const struct vfm_statement *s,
		       const struct vfm_wait *wait)
{
	uint8_t again[MESSAGE];

	if (!vfm_statement_fits(s->role, s->state) || !s->epoch)
		abort();
	if (vfm_recover_say(fds[1], s, wait, NULL) ||
	    read(fds[0], again, sizeof(again)) != sizeof(again) ||
	    memcmp(again, wire, sizeof(again)) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct vfm_wait wait = { .cancel_fd = -1 };
	struct vfm_statement s = { 0 };
	uint8_t wire[2 * MESSAGE] = { 0 };
	struct vfm_err err;
	size_t len;
	int fds[2];

	if (!size || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return 0;
	len = VFM_MIN(size - 1, sizeof(wire));
	memcpy(wire, data + 1, len);
	if (data[0] & 1 && len >= MESSAGE) {
		struct vfm_writer w = vfm_writer_of(wire + MESSAGE - 8, 8);

		vfm_write_le64(&w, vfm_checksum(wire, MESSAGE - 8, 0));
	}
	if (send(fds[0], wire, len, MSG_NOSIGNAL) == (ssize_t)len) {
		shutdown(fds[0], SHUT_WR);
		if (vfm_recover_hear(fds[1], &s, &wait, &err) == 1)
			check_same(fds, wire, &s, &wait);
	}
	close(fds[0]);
	close(fds[1]);
	return 0;
}
