// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Question and answer: both are the same 48 bytes, a magic number, a statement and a
 * checksum. Nothing is allocated, and nothing is read beyond them.
 */

#include "engine/recover.h"

#include <errno.h>
#include <string.h>

#include "base/checksum.h"

#define MAGIC "\x89VFR\r\n\x1a\n"
#define MAGIC_SIZE 8u
#define SUM_SIZE 8u
#define MESSAGE_SIZE (MAGIC_SIZE + VFM_STATEMENT_SIZE + SUM_SIZE)

int vfm_recover_say(int fd, const struct vfm_statement *s, const struct vfm_wait *wait,
		    struct vfm_err *err)
{
	uint8_t bytes[MESSAGE_SIZE];
	struct vfm_writer w = vfm_writer_of(bytes, sizeof(bytes));
	int ret;

	vfm_write_bytes(&w, MAGIC, MAGIC_SIZE);
	vfm_statement_write(&w, s);
	vfm_write_le64(&w, vfm_checksum(bytes, w.len, 0));
	ret = vfm_write_full(fd, bytes, sizeof(bytes), wait);
	return ret ? vfm_fail(err, ret, "speak to the other side: %s", strerror(-ret)) : 0;
}

int vfm_recover_hear(int fd, struct vfm_statement *s, const struct vfm_wait *wait,
		     struct vfm_err *err)
{
	uint8_t bytes[MESSAGE_SIZE];
	struct vfm_reader r = vfm_reader_of(bytes, sizeof(bytes));
	ssize_t n = vfm_read_full(fd, bytes, sizeof(bytes), wait);
	uint64_t sum;

	if (n < 0)
		return vfm_fail(err, (int)n, "hear from the other side: %s", strerror((int)-n));
	if (n == 0)
		return 0;
	if (n < (ssize_t)sizeof(bytes))
		return vfm_fail(err, -ECONNRESET, "the other side broke off in a message");
	sum = vfm_checksum(bytes, sizeof(bytes) - SUM_SIZE, 0);
	if (memcmp(vfm_read_bytes(&r, MAGIC_SIZE), MAGIC, MAGIC_SIZE) != 0 ||
	    !vfm_statement_read(&r, s) || vfm_read_le64(&r) != sum)
		return vfm_fail(err, -EPROTO,
				"what the other side says makes no sense: is it vfmig recover?");
	return 1;
}
