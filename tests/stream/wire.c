// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Streams on descriptors that give and take as they like: byte by byte, not at
 * all, or no more. No test here waits longer than the limit that it tests.
 */

#include "forge.h"
#include "stream/format.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* Short enough for a test, and the longest time that one takes. */
#define LIMIT_MS 20

static void make_pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static void make_stream(struct forge *f)
{
	forge_start(f);
	forge_identity(f, 0);
	forge_data(f, VFM_STREAM_DEVICE_DATA, "0123456789", 10);
	forge_data(f, VFM_STREAM_DEVICE_DATA, NULL, 0);
	forge_end(f, (struct forge_counts){ 3, 10, 0, 1 });
	forge_data(f, VFM_STREAM_COMMIT, NULL, 0);
	forge_data(f, VFM_STREAM_ABORT, "\1\0\0\0no", 6);
}

static const uint32_t stream_types[] = { VFM_STREAM_IDENTITY,	 VFM_STREAM_DEVICE_DATA,
					 VFM_STREAM_DEVICE_DATA, VFM_STREAM_END,
					 VFM_STREAM_COMMIT,	 VFM_STREAM_ABORT };

#define NR_TYPES (sizeof(stream_types) / sizeof(stream_types[0]))

static void *dribble(void *arg)
{
	int fd = *(int *)arg;
	struct forge f;

	make_stream(&f);
	for (size_t i = 0; i < f.len; i++)
		assert_int_equal(send(fd, f.data + i, 1, MSG_NOSIGNAL), 1);
	forge_free(&f);
	close(fd);
	return NULL;
}

static void byte_by_byte(void **state)
{
	static const struct vfm_stream_opts limited = { .size = sizeof(limited),
							.timeout_ms = 10000 };

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct vfm_stream_record record;
		struct vfm_stream_reader *r;
		pthread_t thread;
		int fds[2];

		make_pair(fds);
		if (i & 1)
			assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
		assert_int_equal(pthread_create(&thread, NULL, dribble, &fds[0]), 0);
		assert_int_equal(vfm_stream_reader_new(&r, fds[1], i & 2 ? &limited : NULL, NULL),
				 0);
		for (size_t n = 0; n < NR_TYPES; n++) {
			assert_int_equal(vfm_stream_read(r, &record, NULL), 1);
			assert_int_equal(record.type, stream_types[n]);
		}
		assert_int_equal(vfm_stream_read(r, &record, NULL), 0);
		pthread_join(thread, NULL);
		vfm_stream_reader_free(r);
		close(fds[1]);
	}
}

/* What follows a record is left for whoever comes next. */
static void nothing_is_read_ahead(void **state)
{
	static const size_t sizes[] = { 40, 10, 0, 48, 0, 6 };
	struct vfm_stream_record record;
	struct vfm_stream_reader *r;
	struct forge f;
	size_t left;
	int fds[2], waiting;

	(void)state;
	make_pair(fds);
	make_stream(&f);
	assert_int_equal(write(fds[0], f.data, f.len), (ssize_t)f.len);
	assert_int_equal(vfm_stream_reader_new(&r, fds[1], NULL, NULL), 0);
	left = f.len - 32;
	for (size_t n = 0; n < NR_TYPES; n++) {
		assert_int_equal(vfm_stream_read(r, &record, NULL), 1);
		left -= 48 + sizes[n];
		assert_int_equal(ioctl(fds[1], FIONREAD, &waiting), 0);
		assert_int_equal(waiting, (int)left);
	}
	vfm_stream_reader_free(r);
	forge_free(&f);
	close(fds[0]);
	close(fds[1]);
}

/* After END a conversation goes on, data does not. */
static void data_after_end(void **state)
{
	struct vfm_stream_record record;
	struct vfm_stream_reader *r;
	struct vfm_err err;
	struct forge f;
	int fds[2];

	(void)state;
	make_pair(fds);
	make_stream(&f);
	forge_data(&f, VFM_STREAM_DEVICE_DATA, "x", 1);
	assert_int_equal(write(fds[0], f.data, f.len), (ssize_t)f.len);
	assert_int_equal(vfm_stream_reader_new(&r, fds[1], NULL, NULL), 0);
	for (size_t n = 0; n < NR_TYPES; n++)
		assert_int_equal(vfm_stream_read(r, &record, NULL), 1);
	assert_int_equal(vfm_stream_read(r, &record, &err), -EBADMSG);
	assert_non_null(strstr(err.msg, "it stands after END"));
	vfm_stream_reader_free(r);
	forge_free(&f);
	close(fds[0]);
	close(fds[1]);
}

/* The way back of a connection: no identity, no END, only words. */
static void a_stream_of_words(void **state)
{
	static const uint32_t words[] = { VFM_STREAM_READY, VFM_STREAM_LOADED, VFM_STREAM_RUNNING };
	struct vfm_stream_record record;
	struct vfm_stream_writer *w;
	struct vfm_stream_reader *r;
	int fds[2];

	(void)state;
	make_pair(fds);
	assert_int_equal(vfm_stream_writer_new(&w, fds[0], NULL, NULL), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(vfm_stream_write(w, words[i], 0, 0, NULL, 0, NULL), 0);
	vfm_stream_writer_free(w);
	close(fds[0]);
	assert_int_equal(vfm_stream_reader_new(&r, fds[1], NULL, NULL), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(vfm_stream_read(r, &record, NULL), 1);
		assert_int_equal(record.type, words[i]);
	}
	assert_int_equal(vfm_stream_read(r, &record, NULL), -ENODATA);
	vfm_stream_reader_free(r);
	close(fds[1]);
}

/* At every byte the other end falls silent for longer than the limit: nothing is lost. */
static void a_timeout_loses_nothing(void **state)
{
	struct vfm_stream_opts opts = { .size = sizeof(opts), .timeout_ms = 1 };
	struct vfm_stream_record record;
	struct vfm_stream_reader *r;
	size_t got = 0, sent = 32;
	struct vfm_err err;
	struct forge f;
	int fds[2];

	(void)state;
	make_pair(fds);
	make_stream(&f);
	assert_int_equal(write(fds[0], f.data, sent), (ssize_t)sent);
	assert_int_equal(vfm_stream_reader_new(&r, fds[1], &opts, NULL), 0);
	while (got < NR_TYPES) {
		int ret = vfm_stream_read(r, &record, &err);

		if (ret == 1) {
			assert_int_equal(record.type, stream_types[got++]);
			if (got == 2)
				assert_memory_equal(record.data, "0123456789", 10);
			continue;
		}
		assert_int_equal(ret, -ETIMEDOUT);
		assert_true(sent < f.len);
		assert_int_equal(write(fds[0], f.data + sent++, 1), 1);
	}
	assert_int_equal(sent, f.len);
	vfm_stream_reader_free(r);
	forge_free(&f);
	close(fds[0]);
	close(fds[1]);
}

/* All bytes up to @at_once together, after a while; the others one by one, until nobody reads. */
struct dribbler {
	int fd;
	size_t at_once;
	size_t sent;
};

static void *dribble_for_ever(void *arg)
{
	struct dribbler *d = arg;
	struct forge f;

	make_stream(&f);
	poll(NULL, 0, 30);
	if (send(d->fd, f.data, d->at_once, MSG_NOSIGNAL) == (ssize_t)d->at_once)
		d->sent = d->at_once;
	while (d->sent < f.len && send(d->fd, f.data + d->sent, 1, MSG_NOSIGNAL) == 1) {
		d->sent++;
		poll(NULL, 0, 3);
	}
	forge_free(&f);
	close(d->fd);
	return NULL;
}

/* Return: records that came before it failed, or ended. */
static size_t read_dribble(struct dribbler *d, unsigned int record_ms, struct vfm_err *err)
{
	struct vfm_stream_opts opts = { .size = sizeof(opts),
					.timeout_ms = 10000,
					.record_ms = record_ms };
	struct vfm_stream_reader *r = NULL;
	struct vfm_stream_record record;
	pthread_t thread;
	size_t got = 0;
	int fds[2], ret;

	make_pair(fds);
	d->fd = fds[0];
	assert_int_equal(pthread_create(&thread, NULL, dribble_for_ever, d), 0);
	ret = vfm_stream_reader_new(&r, fds[1], &opts, err);
	while (!ret && (ret = vfm_stream_read(r, &record, err)) == 1) {
		got++;
		ret = 0;
	}
	err->code = ret;
	vfm_stream_reader_free(r);
	close(fds[1]);
	pthread_join(thread, NULL);
	return got;
}

/* One that is never silent for long, and never done, either: in each part of a stream. */
static void dribbling_has_an_end(void **state)
{
	const size_t head = VFM_STREAM_HEADER_SIZE;
	struct vfm_err err;
	struct {
		size_t at_once;
		const char *text;
	} places[] = {
		{ 1, "read the header of a stream, of which a few bytes come now and then" },
		{ head + 1, "record 0 at offset 32: read the header, of which a few bytes come now "
			    "and then" },
		{ head + VFM_STREAM_HEAD_SIZE,
		  "record 0 at offset 32 (IDENTITY): read the payload, of which a few bytes" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct dribbler d = { .at_once = places[i].at_once };

		assert_int_equal(read_dribble(&d, 20, &err), 0);
		assert_int_equal(err.code, -ETIMEDOUT);
		if (!strstr(err.msg, places[i].text))
			fail_msg("%zu: %s", i, err.msg);
	}
}

/* What has not begun may be long in coming; and each record has the time for itself. */
static void patience_is_for_each_record(void **state)
{
	struct dribbler d = { .at_once = 1 };
	struct vfm_err err;

	(void)state;
	assert_int_equal(read_dribble(&d, 10000, &err), NR_TYPES);
	assert_int_equal(err.code, 0);
	d.at_once = d.sent;
	assert_int_equal(read_dribble(&d, 1, &err), NR_TYPES);
	assert_int_equal(err.code, 0);
}

static void cancel_ends_a_wait(void **state)
{
	int cancel = eventfd(0, EFD_CLOEXEC);
	struct vfm_stream_opts opts = { .size = sizeof(opts), .cancel_fd = cancel };
	struct vfm_stream_record record;
	struct vfm_stream_reader *r;
	struct vfm_stream_writer *w;
	struct vfm_err err;
	struct forge f;
	uint64_t n = 1;
	int fds[2];

	(void)state;
	make_pair(fds);
	make_stream(&f);
	assert_int_equal(write(fds[0], f.data, 32 + 20), 32 + 20);
	assert_int_equal(vfm_stream_reader_new(&r, fds[1], &opts, NULL), 0);
	assert_int_equal(vfm_stream_writer_new(&w, fds[1], &opts, NULL), 0);
	assert_int_equal(write(cancel, &n, sizeof(n)), sizeof(n));
	assert_int_equal(vfm_stream_read(r, &record, &err), -ECANCELED);
	assert_non_null(strstr(err.msg, "record 0 at offset 32"));
	assert_int_equal(vfm_stream_write(w, VFM_STREAM_READY, 0, 0, NULL, 0, &err), -ECANCELED);
	/* Whoever takes it back can read on; a writer cannot know what arrived. */
	assert_int_equal(read(cancel, &n, sizeof(n)), sizeof(n));
	assert_int_equal(write(fds[0], f.data + 52, 100), 100);
	assert_int_equal(vfm_stream_read(r, &record, &err), 1);
	assert_int_equal(vfm_stream_write(w, VFM_STREAM_READY, 0, 0, NULL, 0, &err), -ECANCELED);
	assert_non_null(strstr(err.msg, "the stream broke in a record at offset 32"));
	vfm_stream_reader_free(r);
	vfm_stream_writer_free(w);
	forge_free(&f);
	close(cancel);
	close(fds[0]);
	close(fds[1]);
}

/* Writes until it fails; returns how. */
static int write_much(int fd, unsigned int timeout_ms)
{
	struct vfm_stream_opts opts = { .size = sizeof(opts), .timeout_ms = timeout_ms };
	struct vfm_identity id = { 0 };
	struct vfm_stream_writer *w;
	struct vfm_err err = { 0 };
	int ret = vfm_stream_writer_new(&w, fd, &opts, &err);

	if (ret) {
		assert_non_null(strstr(err.msg, "write the header of a stream"));
		return ret;
	}
	ret = vfm_stream_write_identity(w, 0, &id, &err);
	memset(vfm_stream_buffer(w), 1, VFM_STREAM_PAYLOAD_MAX);
	for (int i = 0; i < 1000 && !ret; i++)
		ret = vfm_stream_write(w, VFM_STREAM_DEVICE_DATA, 0, 0, vfm_stream_buffer(w),
				       VFM_STREAM_PAYLOAD_MAX, &err);
	assert_int_equal(err.code, ret);
	assert_int_equal(vfm_stream_write_end(w, &err), ret);
	assert_non_null(strstr(err.msg, "the stream broke in a record at offset"));
	vfm_stream_writer_free(w);
	return ret;
}

/* Nobody reads; also where the descriptor would wait in the kernel for ever. */
static void writers_obey_limits(void **state)
{
	static const int flags[] = { 0, O_NONBLOCK };
	int fds[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		make_pair(fds);
		assert_int_equal(fcntl(fds[0], F_SETFL, flags[i]), 0);
		assert_int_equal(write_much(fds[0], LIMIT_MS), -ETIMEDOUT);
		close(fds[0]);
		close(fds[1]);
		assert_int_equal(pipe2(fds, O_CLOEXEC | flags[i]), 0);
		assert_int_equal(write_much(fds[1], LIMIT_MS), -ETIMEDOUT);
		close(fds[0]);
		close(fds[1]);
	}
}

static void disks_fill_up(void **state)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_true(full >= 0);
	assert_int_equal(write_much(full, 0), -ENOSPC);
	assert_int_equal(write_much(full, LIMIT_MS), -ENOSPC);
	close(full);
}

static void peers_vanish(void **state)
{
	struct vfm_stream_reader *r;
	int fds[2];

	(void)state;
	make_pair(fds);
	close(fds[1]);
	assert_int_equal(write_much(fds[0], 0), -EPIPE);
	assert_int_equal(vfm_stream_reader_new(&r, fds[0], NULL, NULL), -ENODATA);
	close(fds[0]);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	close(fds[0]);
	assert_int_equal(write_much(fds[1], 0), -EPIPE);
	assert_int_equal(write_much(fds[1], LIMIT_MS), -EPIPE);
	close(fds[1]);
	assert_int_equal(vfm_stream_reader_new(&r, -1, NULL, NULL), -EBADF);
}

/* A stream of a file that comes through a pipe is scanned with the rules of files. */
static void scans_are_of_files(void **state)
{
	struct vfm_stream_summary s;
	struct vfm_err err;
	struct forge f;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	make_stream(&f);
	assert_int_equal(write(fds[1], f.data, f.len), (ssize_t)f.len);
	close(fds[1]);
	assert_int_equal(vfm_stream_scan(fds[0], &s, NULL, NULL, &err), -EBADMSG);
	assert_non_null(strstr(err.msg, "something follows END"));
	assert_int_equal(s.records, 4);
	assert_true(s.ended);
	close(fds[0]);
	forge_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(byte_by_byte),
		cmocka_unit_test(nothing_is_read_ahead),
		cmocka_unit_test(data_after_end),
		cmocka_unit_test(a_stream_of_words),
		cmocka_unit_test(a_timeout_loses_nothing),
		cmocka_unit_test(dribbling_has_an_end),
		cmocka_unit_test(patience_is_for_each_record),
		cmocka_unit_test(cancel_ends_a_wait),
		cmocka_unit_test(writers_obey_limits),
		cmocka_unit_test(disks_fill_up),
		cmocka_unit_test(peers_vanish),
		cmocka_unit_test(scans_are_of_files),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
