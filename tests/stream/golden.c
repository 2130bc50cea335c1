// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Golden streams: what this version writes is, byte for byte, what every
 * version before it wrote, and what docs/stream-format.md shows.
 *
 *	golden DIR DOCUMENT            compare
 *	golden DIR DOCUMENT --update   write the files of this version anew
 */

#include "forge.h"

#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>

static const char *golden_dir, *document;

/* ---- the streams ---------------------------------------------------------- */

static void put(struct vfm_stream_writer *w, uint32_t type, uint32_t flags, const void *data,
		size_t size)
{
	assert_int_equal(vfm_stream_write(w, type, flags, 0, data, size, NULL), 0);
}

/* A device that tells nothing, and no data. */
static void write_minimal(struct vfm_stream_writer *w)
{
	struct vfm_identity id = {
		.vendor = 0xffff,
		.device = 0xffff,
		.subvendor = 0xffff,
		.subdevice = 0xffff,
		.class_code = 0xffffffff,
		.revision = 0xff,
		.migration = VFM_MIGRATION_STOP_COPY,
	};

	assert_int_equal(vfm_stream_write_identity(w, 0, &id, NULL), 0);
	assert_int_equal(vfm_stream_write_end(w, NULL), 0);
}

/* A PCI device, and one record of each kind that a file may hold. */
static void write_device(struct vfm_stream_writer *w)
{
	struct vfm_identity id = {
		.vendor = 0x1af4,
		.device = 0x1041,
		.subvendor = 0x1028,
		.subdevice = 0x0002,
		.class_code = 0xff0201,
		.revision = 3,
		.migration = 7,
		.nr_regions = 3,
		.region_size = { 0x1000, 0, 0x200000 },
		.has_compat = true,
		.compat = { "vfmig,sim-dma", 3, 2, "state=4K" },
		.data_size = 26,
	};
	uint64_t memory[3] = { htole64(0x10000), htole64(0x1122334455667788), htole64(0xff) };
	uint64_t zero[2] = { htole64(0x20000), htole64(0x200000) };

	put(w, VFM_STREAM_PHASE, VFM_STREAM_OPTIONAL, "\1\0\0\0", 4);
	assert_int_equal(vfm_stream_write_identity(w, 0, &id, NULL), 0);
	put(w, VFM_STREAM_MEMORY_MAP, 0, zero, sizeof(zero));
	put(w, VFM_STREAM_DEVICE_DATA, VFM_STREAM_CHUNK_END, "sixteen bytes ..", 16);
	put(w, 0x8001, VFM_STREAM_OPTIONAL, "a note", 6);
	put(w, VFM_STREAM_MEMORY_DATA, 0, memory, sizeof(memory));
	put(w, VFM_STREAM_MEMORY_ZERO, 0, zero, sizeof(zero));
	put(w, VFM_STREAM_DEVICE_DATA, 0, "ten bytes.", 10);
	assert_int_equal(vfm_stream_write_end(w, NULL), 0);
}

/* What a source sends when the other side has loaded a minimal stream. */
static void write_wire(struct vfm_stream_writer *w)
{
	write_minimal(w);
	put(w, VFM_STREAM_COMMIT, 0, NULL, 0);
}

/* What a destination answers, and an end in discord. */
static void write_words(struct vfm_stream_writer *w)
{
	put(w, VFM_STREAM_READY, 0, NULL, 0);
	put(w, VFM_STREAM_LOADED, 0, NULL, 0);
	put(w, VFM_STREAM_RUNNING, 0, NULL, 0);
	put(w, VFM_STREAM_ABORT, 0, "\5\0\0\0i/o error", 13);
}

/* Read only: what zstd makes of a payload is its own affair. */
static void write_compressed(struct vfm_stream_writer *w)
{
	struct vfm_identity id = { .vendor = 0x1af4, .migration = VFM_MIGRATION_STOP_COPY };
	uint8_t *data = vfm_stream_buffer(w);

	for (size_t i = 0; i < 4096; i++)
		data[i] = (uint8_t)(i / 64);
	assert_int_equal(vfm_stream_write_identity(w, 0, &id, NULL), 0);
	put(w, VFM_STREAM_DEVICE_DATA, 0, data, 4096);
	assert_int_equal(vfm_stream_write_end(w, NULL), 0);
}

/** struct golden - a file, who writes it, and whether it is of a conversation */
static const struct golden {
	const char *name;
	void (*write)(struct vfm_stream_writer *w);
	bool wire;
} goldens[] = {
	{ "minimal.vfm", write_minimal, false },
	{ "device.vfm", write_device, false },
	{ "wire.vfm", write_wire, true },
	{ "words.vfm", write_words, true },
};

#define NR_GOLDENS (sizeof(goldens) / sizeof(goldens[0]))

static uint8_t *written_by(void (*write_it)(struct vfm_stream_writer *w), int compress, size_t *len)
{
	struct vfm_stream_opts opts = { .size = sizeof(opts), .compress = compress };
	struct vfm_stream_writer *w;
	int fd = stream_file("", 0);
	uint8_t *data;

	assert_int_equal(vfm_stream_writer_new(&w, fd, &opts, NULL), 0);
	write_it(w);
	vfm_stream_writer_free(w);
	data = stream_bytes(fd, len);
	close(fd);
	return data;
}

/* ---- files ---------------------------------------------------------------- */

static uint8_t *golden_bytes(const char *name, size_t *len)
{
	char path[PATH_MAX];
	uint8_t *data;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", golden_dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	data = stream_bytes(fd, len);
	close(fd);
	return data;
}

static void written_as_ever(void **state)
{
	(void)state;
	for (size_t i = 0; i < NR_GOLDENS; i++) {
		size_t len, golden_len;
		uint8_t *data = written_by(goldens[i].write, 0, &len);
		uint8_t *golden = golden_bytes(goldens[i].name, &golden_len);

		if (len != golden_len || memcmp(data, golden, len))
			fail_msg("%s is not written as it was", goldens[i].name);
		free(golden);
		free(data);
	}
}

static void read_through(const uint8_t *data, size_t len, int end)
{
	struct vfm_stream_record record;
	struct vfm_stream_reader *r;
	struct vfm_err err = { 0 };
	int fds[2], ret;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(write(fds[0], data, len), (ssize_t)len);
	close(fds[0]);
	assert_int_equal(vfm_stream_reader_new(&r, fds[1], NULL, NULL), 0);
	do {
		ret = vfm_stream_read(r, &record, &err);
	} while (ret == 1);
	if (ret != end)
		fail_msg("%d %s", ret, err.msg);
	vfm_stream_reader_free(r);
	close(fds[1]);
}

static void read_as_ever(void **state)
{
	(void)state;
	for (size_t i = 0; i < NR_GOLDENS; i++) {
		size_t len;
		uint8_t *data = golden_bytes(goldens[i].name, &len);
		struct vfm_err err = { 0 };

		/* The way back of a connection has no END. */
		read_through(data, len, goldens[i].write == write_words ? -ENODATA : 0);
		if (!goldens[i].wire && scan_bytes(data, len, NULL, &err))
			fail_msg("%s: %s", goldens[i].name, err.msg);
		free(data);
	}
}

static void the_device_is_understood(void **state)
{
	struct vfm_stream_summary s;
	size_t len;
	uint8_t *data = golden_bytes("device.vfm", &len);

	(void)state;
	assert_int_equal(scan_bytes(data, len, &s, NULL), 0);
	assert_int_equal(s.version, 1);
	assert_int_equal(s.records, 9);
	assert_int_equal(s.device_bytes, 26);
	assert_int_equal(s.memory_bytes, 16 + 0x200000);
	assert_int_equal(s.identity.vendor, 0x1af4);
	assert_int_equal(s.identity.class_code, 0xff0201);
	assert_int_equal(s.identity.region_size[2], 0x200000);
	assert_string_equal(s.identity.compat.model, "vfmig,sim-dma");
	assert_string_equal(s.identity.compat.params, "state=4K");
	free(data);
}

static int find_compressed(void *user, const struct vfm_stream_record *record)
{
	size_t *found = (size_t *)user;

	if (record->type != VFM_STREAM_DEVICE_DATA)
		return 0;
	assert_true(record->flags & VFM_STREAM_ZSTD);
	assert_int_equal(record->size, 4096);
	for (size_t i = 0; i < record->size; i++)
		assert_int_equal(record->data[i], i / 64);
	*found += 1;
	return 0;
}

static void compressed_is_read_as_ever(void **state)
{
	struct vfm_stream_summary s;
	size_t len, found = 0;
	uint8_t *data = golden_bytes("zstd.vfm", &len);
	int fd = stream_file(data, len);

	(void)state;
	assert_int_equal(vfm_stream_scan(fd, &s, find_compressed, &found, NULL), 0);
	assert_int_equal(found, 1);
	assert_int_equal(s.device_bytes, 4096);
	close(fd);
	free(data);
}

/* ---- the document --------------------------------------------------------- */

/* "0020  01 00 00 00  ; words": the bytes of one line, put behind @len others. */
static size_t take_line(const char *line, const uint8_t *golden, size_t golden_len, size_t len)
{
	char *p;

	if (strtoul(line, &p, 16) != len)
		fail_msg("%s stands at 0x%zx", line, len);
	while (*p == ' ')
		p++;
	while (isxdigit((unsigned char)p[0]) && isxdigit((unsigned char)p[1])) {
		unsigned long byte = strtoul((char[]){ p[0], p[1], 0 }, NULL, 16);

		if (len >= golden_len || golden[len] != byte)
			fail_msg("%s is not what stands in the file", line);
		len++;
		p += p[2] == ' ' ? 3 : 2;
	}
	return len;
}

/* Blocks that begin with "```hex NAME". */
static void the_document_is_right(void **state)
{
	char line[512], name[64] = "";
	FILE *f = fopen(document, "re");
	size_t len = 0, golden_len = 0, blocks = 0;
	uint8_t *golden = NULL;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "```hex %63s", name) == 1) {
			golden = golden_bytes(name, &golden_len);
			len = 0;
		} else if (golden && !strcmp(line, "```")) {
			assert_int_equal(len, golden_len);
			free(golden);
			golden = NULL;
			blocks++;
		} else if (golden) {
			len = take_line(line, golden, golden_len, len);
		}
	}
	fclose(f);
	assert_null(golden);
	assert_int_equal(blocks, 3);
}

static int update_one(const char *name, void (*write_it)(struct vfm_stream_writer *w), int compress)
{
	char path[PATH_MAX];
	size_t len;
	uint8_t *data = written_by(write_it, compress, &len);
	FILE *f;
	bool ok;

	snprintf(path, sizeof(path), "%s/%s", golden_dir, name);
	f = fopen(path, "we");
	ok = f && fwrite(data, 1, len, f) == len;
	if (f && fclose(f))
		ok = false;
	free(data);
	return ok ? 0 : 1;
}

static int update(void)
{
	int failed = update_one("zstd.vfm", write_compressed, 3);

	for (size_t i = 0; i < NR_GOLDENS; i++)
		failed |= update_one(goldens[i].name, goldens[i].write, 0);
	return failed;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(written_as_ever),
		cmocka_unit_test(read_as_ever),
		cmocka_unit_test(the_device_is_understood),
		cmocka_unit_test(compressed_is_read_as_ever),
		cmocka_unit_test(the_document_is_right),
	};

	if (argc < 3)
		return 2;
	golden_dir = argv[1];
	document = argv[2];
	if (argc > 3 && !strcmp(argv[3], "--update"))
		return update();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
