// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* What the tests of this folder share: raw messages, descriptors to count. */

#ifndef VFM_TESTS_VFIO_USER_UTIL_H
#define VFM_TESTS_VFIO_USER_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/vfio_user.h"
#include "fds.h"

static inline void test_put_header(uint8_t *to, uint16_t id, uint16_t command, uint32_t size,
				   uint32_t flags, uint32_t error)
{
	memcpy(to, &id, 2);
	memcpy(to + 2, &command, 2);
	memcpy(to + 4, &size, 4);
	memcpy(to + 8, &flags, 4);
	memcpy(to + 12, &error, 4);
}

/* One sendmsg() of all of it, with descriptors. */
static inline void test_send_raw(int sock, const void *data, size_t len, const int *fds,
				 unsigned int nr_fds)
{
	union {
		struct cmsghdr align;
		uint8_t mem[CMSG_SPACE(sizeof(int) * 64)];
	} control;
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nr_fds) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * nr_fds);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nr_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nr_fds);
	}
	assert_int_equal(sendmsg(sock, &mh, MSG_NOSIGNAL), len);
}

/* Whether two descriptors are of one file: eventfds share an inode, so look by their counts. */
static inline void test_same_eventfd(int mine, int other)
{
	eventfd_t value = 0;

	assert_int_equal(eventfd_write(other, 7), 0);
	assert_int_equal(eventfd_read(mine, &value), 0);
	assert_int_equal(value, 7);
}

#endif
