// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* When compression is tried, from numbers; and that the writer goes by it. */

#include "test.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <vfmig/stream.h>

#include "random.h"
#include "stream/adapt.h"

#define RECORD (1u << 20)

/* How many of @count records are tried, each of which becomes @stored and takes @ns. */
static unsigned int tries(struct vfm_adapt *a, unsigned int count, uint32_t stored, uint64_t ns)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < count; i++) {
		if (!vfm_adapt_try(a))
			continue;
		n++;
		assert_int_equal(vfm_adapt_compressed(a, RECORD, stored, ns), stored < RECORD);
	}
	return n;
}

static void what_does_not_shrink_is_left_alone(void **state)
{
	static const uint32_t useless[] = { RECORD, RECORD - 1, RECORD - RECORD / 16 + 1 };

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct vfm_adapt a = { .wire = true };

		/* 4 in a row, then after 4, 8, 16, 32, 64, 64 records, and so on */
		assert_int_equal(tries(&a, 4, useless[i], 0), 4);
		assert_int_equal(tries(&a, 4, useless[i], 0), 0);
		assert_int_equal(tries(&a, 1, useless[i], 0), 1);
		assert_int_equal(tries(&a, 8, useless[i], 0), 0);
		assert_int_equal(tries(&a, 1, useless[i], 0), 1);
		assert_in_range(tries(&a, 6500, useless[i], 0), 100, 105);
		/* It is found out when that changes, and from then on all are. */
		assert_int_equal(tries(&a, 64, RECORD / 2, 0) > 0, 1);
		assert_int_equal(tries(&a, 100, RECORD / 2, 0), 100);
	}
}

static void one_in_between_is_an_accident(void **state)
{
	struct vfm_adapt a = { .wire = true };

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(tries(&a, 3, RECORD, 0), 3);
		assert_int_equal(tries(&a, 1, RECORD / 2, 0), 1);
	}
}

/* 1 MiB that becomes half of it: 1 ns a byte to write makes half a millisecond to be won. */
static void time_counts(void **state)
{
	const uint64_t ns = RECORD / 2;
	struct vfm_adapt a = { .wire = true };

	(void)state;
	/* not known yet: tried */
	assert_int_equal(tries(&a, 100, RECORD / 2, UINT64_MAX), 100);
	vfm_adapt_written(&a, RECORD, RECORD);
	assert_int_equal(tries(&a, 100, RECORD / 2, ns - 1), 100);
	assert_in_range(tries(&a, 100, RECORD / 2, ns + 1), 4, 20);
	/* the wire becomes slow */
	for (int i = 0; i < 30; i++)
		vfm_adapt_written(&a, RECORD, 4 * RECORD);
	tries(&a, 65, RECORD / 2, ns + 1);
	assert_int_equal(tries(&a, 100, RECORD / 2, ns + 1), 100);
	/* headers alone say nothing of it */
	for (int i = 0; i < 30; i++)
		vfm_adapt_written(&a, 48, 1);
	assert_int_equal(tries(&a, 100, RECORD / 2, ns + 1), 100);
}

static void a_file_shall_be_small(void **state)
{
	struct vfm_adapt a = { 0 };

	(void)state;
	vfm_adapt_written(&a, RECORD, 1);
	assert_int_equal(tries(&a, 1000, RECORD, UINT64_MAX), 1000);
}

/* A clock that stands still but for writes to a slow wire. */
static uint64_t now_us;

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	(void)clock;
	ts->tv_sec = (time_t)(now_us / 1000000);
	ts->tv_nsec = (long)(now_us % 1000000 * 1000);
	return 0;
}

static ssize_t slow_write(void *user, const struct iovec *iov, int nr_iov, short *events)
{
	ssize_t n = 0;

	(void)user;
	(void)events;
	for (int i = 0; i < nr_iov; i++)
		n += (ssize_t)iov[i].iov_len;
	now_us += (uint64_t)n;
	return n;
}

static void put(struct vfm_stream_writer *w, const void *data)
{
	assert_int_equal(vfm_stream_write(w, VFM_STREAM_DEVICE_DATA, 0, 0, data, RECORD, NULL), 0);
}

static void the_writer_goes_by_it(void **state)
{
	static uint8_t noise[RECORD], zeros[RECORD];
	const struct vfm_io io = { .write = slow_write };
	struct vfm_stream_opts opts = { .size = sizeof(opts), .compress = 1 };
	int fd = memfd_create("stream", MFD_CLOEXEC);
	struct vfm_identity id = { 0 };
	struct vfm_stream_writer *w;
	uint64_t seed = 9, to;

	(void)state;
	for (size_t i = 0; i < RECORD; i++)
		noise[i] = (uint8_t)test_random(&seed);
	for (int wire = 0; wire < 2; wire++) {
		opts.io = wire ? &io : NULL;
		assert_int_equal(vfm_stream_writer_new(&w, fd, &opts, NULL), 0);
		assert_int_equal(vfm_stream_write_identity(w, 0, &id, NULL), 0);
		put(w, zeros);
		assert_int_equal(vfm_stream_compressed(w, &to), RECORD);
		assert_in_range(to, 1, 1000);
		for (int i = 0; i < 4; i++)
			put(w, noise);
		assert_int_equal(vfm_stream_compressed(w, &to), RECORD);
		for (int i = 0; i < 4; i++)
			put(w, zeros);
		assert_int_equal(vfm_stream_compressed(w, &to), wire ? RECORD : 5 * RECORD);
		put(w, zeros);
		assert_int_equal(vfm_stream_compressed(w, &to), wire ? 2 * RECORD : 6 * RECORD);
		vfm_stream_writer_free(w);
	}
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_does_not_shrink_is_left_alone),
		cmocka_unit_test(one_in_between_is_an_accident),
		cmocka_unit_test(time_counts),
		cmocka_unit_test(a_file_shall_be_small),
		cmocka_unit_test(the_writer_goes_by_it),
	};

	return RUN_TESTS(tests);
}
