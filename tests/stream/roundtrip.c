// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* What is written is what is read, for random records and for the sizes at the edges. */

#include "forge.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>

#define RECORDS 60

/* Looks small to whoever takes it for 32 bits, where there are more. */
#define BEYOND_32_BITS (SIZE_MAX > UINT32_MAX ? SIZE_MAX - UINT32_MAX + 4 : SIZE_MAX)

/** struct plan - records that a seed stands for, so that both ends can make them */
struct plan {
	uint64_t seed;
	int compress;
	bool wire;
};

/* Bytes that compress, that do not, and that do in parts. */
static void fill_payload(uint64_t *random, uint8_t *data, size_t size)
{
	uint64_t kind = next_random(random) % 3;

	for (size_t i = 0; i < size; i++)
		data[i] = kind == 0 || (kind == 1 && i % 4096 < 2048) ? (uint8_t)next_random(random)
								      : (uint8_t)(i >> 6);
}

static size_t choose_size(uint64_t *random)
{
	static const size_t edges[] = {
		0, 1, 7, 255, 256, 257, 4096, VFM_STREAM_PAYLOAD_MAX - 1, VFM_STREAM_PAYLOAD_MAX
	};

	if (next_random(random) % 4)
		return next_random(random) % 20000;
	return edges[next_random(random) % (sizeof(edges) / sizeof(edges[0]))];
}

/* One record of a plan: returns its type. */
static uint32_t make_record(uint64_t *random, uint8_t *data, size_t *size, uint32_t *flags,
			    uint32_t *device)
{
	static const uint32_t types[] = { VFM_STREAM_MEMORY_MAP,  VFM_STREAM_DEVICE_DATA,
					  VFM_STREAM_DEVICE_DATA, VFM_STREAM_MEMORY_DATA,
					  VFM_STREAM_MEMORY_ZERO, VFM_STREAM_PHASE };
	uint32_t type = types[next_random(random) % 6];

	*size = type == VFM_STREAM_MEMORY_ZERO ? 16 : choose_size(random);
	if (type == VFM_STREAM_MEMORY_DATA && *size < 8)
		*size = 8;
	fill_payload(random, data, *size);
	if (type == VFM_STREAM_MEMORY_ZERO || type == VFM_STREAM_MEMORY_DATA)
		data[7] = 0;
	if (type == VFM_STREAM_MEMORY_ZERO)
		data[15] = 0;
	*flags = 0;
	if (type == VFM_STREAM_DEVICE_DATA)
		*flags = next_random(random) % 2 ? VFM_STREAM_CHUNK_END : 0;
	if (type == VFM_STREAM_PHASE)
		*flags = VFM_STREAM_OPTIONAL;
	*device = (uint32_t)(next_random(random) % 2);
	return type;
}

static void write_plan(const struct plan *plan, int fd, uint64_t *written)
{
	struct vfm_stream_opts opts = { .size = sizeof(opts), .compress = plan->compress };
	struct vfm_identity id = { .vendor = 0x1af4 };
	uint64_t random = plan->seed;
	struct vfm_stream_writer *w;
	uint8_t *data;

	assert_int_equal(vfm_stream_writer_new(&w, fd, &opts, NULL), 0);
	assert_int_equal(vfm_stream_write_identity(w, 0, &id, NULL), 0);
	assert_int_equal(vfm_stream_write_identity(w, 1, &id, NULL), 0);
	data = vfm_stream_buffer(w);
	for (int i = 0; i < RECORDS; i++) {
		uint32_t flags, device, type;
		size_t size;

		type = make_record(&random, data, &size, &flags, &device);
		assert_int_equal(vfm_stream_write(w, type, flags, device, data, size, NULL), 0);
	}
	assert_int_equal(vfm_stream_write_end(w, NULL), 0);
	if (plan->wire)
		assert_int_equal(vfm_stream_write(w, VFM_STREAM_COMMIT, 0, 0, NULL, 0, NULL), 0);
	*written = vfm_stream_written(w);
	vfm_stream_writer_free(w);
}

static void read_plan(const struct plan *plan, int fd)
{
	uint8_t *expected = malloc(VFM_STREAM_PAYLOAD_MAX);
	struct vfm_stream_record record;
	struct vfm_stream_reader *r;
	uint64_t random = plan->seed;

	assert_int_equal(vfm_stream_reader_new(&r, fd, NULL, NULL), 0);
	for (uint32_t i = 0; i < 2; i++) {
		struct vfm_identity id;

		assert_int_equal(vfm_stream_read(r, &record, NULL), 1);
		assert_int_equal(record.device, i);
		assert_int_equal(vfm_stream_parse_identity(&id, &record, NULL), 0);
		assert_int_equal(id.vendor, 0x1af4);
	}
	for (int i = 0; i < RECORDS; i++) {
		uint32_t flags, device, type;
		size_t size;

		type = make_record(&random, expected, &size, &flags, &device);
		assert_int_equal(vfm_stream_read(r, &record, NULL), 1);
		assert_int_equal(record.type, type);
		assert_int_equal(record.flags & ~VFM_STREAM_ZSTD, flags);
		assert_int_equal(record.device, device);
		assert_int_equal(record.size, size);
		assert_memory_equal(record.data, expected, size);
		assert_true(record.flags & VFM_STREAM_ZSTD ? record.stored < size
							   : record.stored == size);
		assert_true(plan->compress || !(record.flags & VFM_STREAM_ZSTD));
	}
	assert_int_equal(vfm_stream_read(r, &record, NULL), 1);
	assert_int_equal(record.type, VFM_STREAM_END);
	if (plan->wire) {
		assert_int_equal(vfm_stream_read(r, &record, NULL), 1);
		assert_int_equal(record.type, VFM_STREAM_COMMIT);
	}
	assert_int_equal(vfm_stream_read(r, &record, NULL), 0);
	vfm_stream_reader_free(r);
	free(expected);
}

static void files(void **state)
{
	static const int levels[] = { 0, 1, 3, -5 };

	(void)state;
	for (uint64_t seed = 0; seed < 12; seed++) {
		struct plan plan = { .seed = seed, .compress = levels[seed % 4] };
		struct vfm_stream_summary s;
		struct vfm_err err = { 0 };
		int fd = stream_file("", 0);
		uint64_t written;

		write_plan(&plan, fd, &written);
		assert_int_equal(lseek(fd, 0, SEEK_CUR), written);
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		read_plan(&plan, fd);
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		if (vfm_stream_scan(fd, &s, NULL, NULL, &err))
			fail_msg("%s", err.msg);
		assert_int_equal(s.bytes, written);
		assert_int_equal(s.records, RECORDS + 3);
		close(fd);
	}
}

static void *write_in_thread(void *arg)
{
	int fd = ((int *)arg)[0];
	struct plan plan = { .seed = 99, .compress = 0, .wire = true };
	uint64_t written;

	write_plan(&plan, fd, &written);
	close(fd);
	return NULL;
}

static void sockets(void **state)
{
	struct plan plan = { .seed = 99, .wire = true };
	pthread_t thread;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(pthread_create(&thread, NULL, write_in_thread, fds), 0);
	read_plan(&plan, fds[1]);
	pthread_join(thread, NULL);
	close(fds[1]);
}

/* The digest depends on content and order alone, not on who wrote or when. */
static void digests_are_reproducible(void **state)
{
	struct vfm_stream_summary s[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct plan plan = { .seed = i < 2 ? 7 : 8 };
		int fd = stream_file("", 0);
		uint64_t written;

		write_plan(&plan, fd, &written);
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		assert_int_equal(vfm_stream_scan(fd, &s[i], NULL, NULL, NULL), 0);
		close(fd);
	}
	assert_int_equal(strlen(s[0].digest), 32);
	assert_string_equal(s[0].digest, s[1].digest);
	assert_string_not_equal(s[0].digest, s[2].digest);
}

/* A payload from elsewhere than the buffer, and one that does not shrink. */
static void compression_is_kept_only_when_smaller(void **state)
{
	struct vfm_stream_opts opts = { .size = sizeof(opts), .compress = 3 };
	struct vfm_identity id = { 0 };
	struct vfm_stream_writer *w;
	uint8_t data[4096];
	uint64_t random = 1, before;
	int fd = stream_file("", 0);

	(void)state;
	assert_int_equal(vfm_stream_writer_new(&w, fd, &opts, NULL), 0);
	assert_int_equal(vfm_stream_write_identity(w, 0, &id, NULL), 0);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)next_random(&random);
	before = vfm_stream_written(w);
	assert_int_equal(vfm_stream_write(w, VFM_STREAM_DEVICE_DATA, 0, 0, data, 4096, NULL), 0);
	assert_int_equal(vfm_stream_written(w) - before, 48 + 4096);
	memset(data, 0, sizeof(data));
	before = vfm_stream_written(w);
	assert_int_equal(vfm_stream_write(w, VFM_STREAM_DEVICE_DATA, 0, 0, data, 4096, NULL), 0);
	assert_true(vfm_stream_written(w) - before < 48 + 100);
	vfm_stream_writer_free(w);
	close(fd);
}

static size_t memory_in_use(void)
{
	return mallinfo2().uordblks + mallinfo2().hblkhd;
}

/* However long the stream: two buffers on either side, and what zstd needs. */
static void memory_is_bounded(void **state)
{
	struct plan plan = { .seed = 5, .compress = 3 };
	size_t before = memory_in_use(), most;
	struct vfm_stream_record record;
	struct vfm_stream_reader *r;
	int fd = stream_file("", 0);
	uint64_t written;

	(void)state;
	write_plan(&plan, fd, &written);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(vfm_stream_reader_new(&r, fd, NULL, NULL), 0);
	for (most = 0; vfm_stream_read(r, &record, NULL) == 1;)
		most = memory_in_use() > most ? memory_in_use() : most;
	assert_true(most - before < 2 * VFM_STREAM_PAYLOAD_MAX + (512 << 10));
	vfm_stream_reader_free(r);
	close(fd);
	/* 4 KiB: what the test's own program may have kept. */
	assert_true(memory_in_use() <= before + 4096);
}

static void wrong_calls_are_refused(void **state)
{
	static const struct {
		uint32_t type, flags, device;
		size_t size;
		const char *text;
	} rows[] = {
		{ VFM_STREAM_END, 0, 0, 48, "vfm_stream_write_end" },
		{ VFM_STREAM_DEVICE_DATA, VFM_STREAM_ZSTD, 0, 48, "for the writer to choose" },
		{ VFM_STREAM_DEVICE_DATA, 8, 0, 48, "unknown flags 0x8" },
		{ VFM_STREAM_DEVICE_DATA, VFM_STREAM_OPTIONAL, 0, 48, "flags 0x1" },
		{ VFM_STREAM_DEVICE_DATA, 0, 1, 48, "device 1 has no identity" },
		{ VFM_STREAM_DEVICE_DATA, 0, 0, VFM_STREAM_PAYLOAD_MAX + 1, "1048577 bytes" },
		{ VFM_STREAM_DEVICE_DATA, 0, 0, SIZE_MAX, "more than 1048576" },
		{ VFM_STREAM_DEVICE_DATA, 0, 0, BEYOND_32_BITS, "more than 1048576" },
		{ VFM_STREAM_MEMORY_ZERO, 0, 0, 48, "48 bytes" },
		{ VFM_STREAM_IDENTITY, 0, 0, 48, "where that of 1 is due" },
		{ 4711, 0, 0, 48, "unknown type 4711" },
	};
	struct vfm_stream_opts opts = { .size = sizeof(opts), .compress = 1000 };
	struct vfm_identity id = { 0 };
	struct vfm_stream_writer *w;
	static uint8_t data[48];
	struct vfm_err err;
	uint64_t before;
	int fd = stream_file("", 0);

	(void)state;
	assert_int_equal(vfm_stream_writer_new(&w, fd, &opts, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "1000"));
	opts = (struct vfm_stream_opts){ .size = 3 };
	assert_int_equal(vfm_stream_writer_new(&w, fd, &opts, &err), -EINVAL);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);

	assert_int_equal(vfm_stream_writer_new(&w, fd, NULL, NULL), 0);
	assert_int_equal(vfm_stream_write_end(w, NULL), -EINVAL);
	assert_int_equal(vfm_stream_write_identity(w, 0, &id, NULL), 0);
	before = vfm_stream_written(w);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(vfm_stream_write(w, rows[i].type, rows[i].flags, rows[i].device,
						  data, rows[i].size, &err),
				 -EINVAL);
		if (!strstr(err.msg, rows[i].text))
			fail_msg("\"%s\" instead of \"%s\"", err.msg, rows[i].text);
	}
	assert_int_equal(vfm_stream_written(w), before);
	/* A call that was refused is as if it had not been. */
	assert_int_equal(vfm_stream_write_end(w, NULL), 0);
	assert_int_equal(vfm_stream_write_end(w, NULL), -EINVAL);
	assert_int_equal(vfm_stream_write(w, VFM_STREAM_DEVICE_DATA, 0, 0, data, 4, NULL), -EINVAL);
	vfm_stream_writer_free(w);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(vfm_stream_scan(fd, &(struct vfm_stream_summary){ 0 }, NULL, NULL, NULL),
			 0);
	close(fd);
}

/* Options of a later version: fine while what we do not know is zero. */
static void longer_options(void **state)
{
	struct {
		struct vfm_stream_opts opts;
		uint64_t later;
	} o = { .opts = { .size = sizeof(o) } };
	struct vfm_stream_writer *w;
	int fd = stream_file("", 0);

	(void)state;
	assert_int_equal(vfm_stream_writer_new(&w, fd, &o.opts, NULL), 0);
	vfm_stream_writer_free(w);
	o.later = 1;
	assert_int_equal(vfm_stream_writer_new(&w, fd, &o.opts, NULL), -EINVAL);
	/* And of an earlier one, which knew less: what it does not have is not looked at. */
	o.opts.size = offsetof(struct vfm_stream_opts, io);
	o.opts.io = (const struct vfm_io *)(uintptr_t)8;
	assert_int_equal(vfm_stream_writer_new(&w, fd, &o.opts, NULL), 0);
	vfm_stream_writer_free(w);
	o.opts.size--;
	assert_int_equal(vfm_stream_writer_new(&w, fd, &o.opts, NULL), -EINVAL);
	close(fd);
}

static int count_three(void *user, const struct vfm_stream_record *record)
{
	int *n = user;

	assert_non_null(vfm_stream_type_name(record->type));
	return ++*n == 3 ? 42 : 0;
}

static void a_callback_ends_the_scan(void **state)
{
	struct plan plan = { .seed = 3 };
	struct vfm_stream_summary s;
	int fd = stream_file("", 0), n = 0;
	uint64_t written;

	(void)state;
	write_plan(&plan, fd, &written);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(vfm_stream_scan(fd, &s, count_three, &n, NULL), 42);
	assert_int_equal(n, 3);
	assert_int_equal(s.records, 3);
	assert_int_equal(s.nr_devices, 2);
	assert_int_equal(s.identity.vendor, 0x1af4);
	assert_false(s.ended);
	assert_string_equal(s.digest, "");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files),
		cmocka_unit_test(sockets),
		cmocka_unit_test(digests_are_reproducible),
		cmocka_unit_test(compression_is_kept_only_when_smaller),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(wrong_calls_are_refused),
		cmocka_unit_test(longer_options),
		cmocka_unit_test(a_callback_ends_the_scan),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
