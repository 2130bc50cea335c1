// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * One stream of several: numbers that rise and have gaps, a part that has no
 * identity of its own, and a header that says which it is.
 */

#include "test.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream/format.h"

struct pair {
	int fds[2];
	struct vfm_stream_writer *w;
	struct vfm_stream_reader *r;
	struct vfm_err err;
};

/* Both ends of a stream that is not the first of its kind. */
static void begin(struct pair *p, uint32_t nr_devices)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p->fds), 0);
	assert_int_equal(vfm_stream_writer_shared(&p->w, p->fds[0], NULL, nr_devices, NULL), 0);
	assert_int_equal(vfm_stream_reader_shared(&p->r, p->fds[1], NULL, nr_devices, NULL), 0);
}

static void end(struct pair *p)
{
	vfm_stream_writer_free(p->w);
	vfm_stream_reader_free(p->r);
	close(p->fds[0]);
	close(p->fds[1]);
}

static int put(struct pair *p, uint64_t number, uint32_t device)
{
	vfm_stream_number(p->w, number);
	return vfm_stream_write(p->w, VFM_STREAM_DEVICE_DATA, 0, device, "data", 4, &p->err);
}

static void numbers_rise(void **state)
{
	static const uint64_t numbers[] = { 0, 1, 7, UINT64_C(1) << 40, UINT64_MAX - 1 };
	struct vfm_stream_record record;
	struct pair p;

	(void)state;
	begin(&p, 1);
	for (size_t i = 0; i < 5; i++) {
		uint32_t type;
		uint64_t number;

		assert_int_equal(put(&p, numbers[i], 0), 0);
		assert_int_equal(vfm_stream_next_number(p.w), numbers[i] + 1);
		/* Peeking is not reading, however often. */
		for (int j = 0; j < 2; j++) {
			assert_int_equal(vfm_stream_peek(p.r, &type, &number, &p.err), 1);
			assert_int_equal(type, VFM_STREAM_DEVICE_DATA);
			assert_int_equal(number, numbers[i]);
		}
		assert_int_equal(vfm_stream_read(p.r, &record, &p.err), 1);
		assert_int_equal(record.size, 4);
		assert_int_equal(vfm_stream_expected_number(p.r), numbers[i] + 1);
	}
	end(&p);
}

static void numbers_that_do_not(void **state)
{
	static const struct {
		uint64_t first, second;
	} pairs[] = { { 5, 5 }, { 5, 4 }, { 5, 0 }, { 5, UINT64_MAX } };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct vfm_stream_record record;
		struct pair p;

		begin(&p, 1);
		assert_int_equal(put(&p, pairs[i].first, 0), 0);
		assert_int_equal(put(&p, pairs[i].second, 0), 0);
		assert_int_equal(vfm_stream_read(p.r, &record, &p.err), 1);
		assert_int_equal(vfm_stream_read(p.r, &record, &p.err), -EBADMSG);
		assert_non_null(strstr(p.err.msg, "it is numbered"));
		assert_int_equal(vfm_stream_read(p.r, &record, &p.err), -EBADMSG);
		end(&p);
	}
}

/* Devices are those of the first stream, and no others. */
static void identities_are_elsewhere(void **state)
{
	const struct vfm_identity id = { .migration = VFM_MIGRATION_STOP_COPY };
	struct pair p;

	(void)state;
	begin(&p, 2);
	assert_int_equal(put(&p, 3, 0), 0);
	assert_int_equal(put(&p, 4, 1), 0);
	assert_int_equal(put(&p, 5, 2), -EINVAL);
	assert_non_null(strstr(p.err.msg, "device 2 has no identity"));
	assert_int_equal(vfm_stream_write_identity(p.w, 2, &id, &p.err), -EINVAL);
	assert_non_null(strstr(p.err.msg, "an identity after the first data"));
	end(&p);
	begin(&p, 0);
	assert_int_equal(put(&p, 0, 0), -EINVAL);
	assert_int_equal(vfm_stream_write_identity(p.w, 0, &id, &p.err), 0);
	assert_int_equal(put(&p, 1, 0), 0);
	assert_int_equal(vfm_stream_devices(p.w), 1);
	end(&p);
}

/* What is appended to END arrives, and what END says of its stream is what was read. */
static void sealed_with_more(void **state)
{
	struct vfm_stream_record record;
	struct vfm_stream_end told, came;
	struct pair p;

	(void)state;
	begin(&p, 1);
	assert_int_equal(put(&p, 3, 0), 0);
	vfm_stream_number(p.w, 9);
	assert_int_equal(vfm_stream_seal(p.w, "more", 4, &told, &p.err), 0);
	assert_int_equal(vfm_stream_read(p.r, &record, &p.err), 1);
	assert_int_equal(vfm_stream_read(p.r, &record, &p.err), 1);
	assert_int_equal(record.type, VFM_STREAM_END);
	assert_int_equal(record.size, VFM_STREAM_END_SIZE + 4);
	assert_memory_equal(record.data + VFM_STREAM_END_SIZE, "more", 4);
	assert_true(vfm_stream_end_from_wire(&came, record.data, record.size));
	assert_int_equal(came.tally.records, 1);
	assert_int_equal(told.tally.records, 1);
	assert_int_equal(came.tally.device_bytes, 4);
	assert_memory_equal(came.digest, told.digest, sizeof(told.digest));
	end(&p);
}

/* A whole stream is not taken for a part, nor a part for a whole. */
static void headers_tell_them_apart(void **state)
{
	struct vfm_stream_reader *r;
	struct vfm_stream_writer *w;
	struct vfm_err err;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(vfm_stream_writer_shared(&w, fds[0], NULL, 1, NULL), 0);
	assert_int_equal(vfm_stream_reader_new(&r, fds[1], NULL, &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "unknown flags 0x1"));
	vfm_stream_writer_free(w);
	assert_int_equal(vfm_stream_writer_new(&w, fds[0], NULL, NULL), 0);
	assert_int_equal(vfm_stream_reader_shared(&r, fds[1], NULL, 1, &err), -EBADMSG);
	assert_non_null(strstr(err.msg, "not one of several"));
	vfm_stream_writer_free(w);
	close(fds[0]);
	close(fds[1]);
}

static void peek_at_the_end(void **state)
{
	struct vfm_stream_record record;
	uint64_t number;
	uint32_t type;
	struct pair p;

	(void)state;
	begin(&p, 1);
	assert_int_equal(vfm_stream_seal(p.w, NULL, 0, NULL, NULL), 0);
	shutdown(p.fds[0], SHUT_WR);
	assert_int_equal(vfm_stream_read(p.r, &record, &p.err), 1);
	assert_int_equal(vfm_stream_peek(p.r, &type, &number, &p.err), 0);
	end(&p);
	begin(&p, 1);
	shutdown(p.fds[0], SHUT_WR);
	assert_int_equal(vfm_stream_peek(p.r, &type, &number, &p.err), -ENODATA);
	assert_int_equal(vfm_stream_peek(p.r, &type, &number, &p.err), -ENODATA);
	assert_non_null(strstr(p.err.msg, "failed already"));
	end(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_rise),
		cmocka_unit_test(numbers_that_do_not),
		cmocka_unit_test(identities_are_elsewhere),
		cmocka_unit_test(sealed_with_more),
		cmocka_unit_test(headers_tell_them_apart),
		cmocka_unit_test(peek_at_the_end),
	};

	return RUN_TESTS(tests);
}
