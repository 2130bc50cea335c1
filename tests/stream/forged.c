// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Streams whose checksums are all right and which are wrong all the same, and
 * those of later versions: what the reader must find by the rules alone.
 */

#include "forge.h"

#include <endian.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <zstd.h>

static const char some[] = "sixteen bytes ..";

/* A whole stream as far as END, and a scan of it. */
static void finish(struct forge *f, int code, const char *text)
{
	assert_scan(f, code, text);
	forge_free(f);
}

static void forged_streams_are_read(void **state)
{
	struct vfm_stream_summary s;
	struct forge f;
	char digest[33] = "";
	uint64_t zero[2] = { htole64(0x1000), htole64(UINT64_C(0x500000000)) };

	(void)state;
	forge_start(&f);
	forge_identity(&f, 0);
	forge_identity(&f, 1);
	forge_data(&f, VFM_STREAM_DEVICE_DATA, some, 16);
	FORGE_PUT(&f, .type = VFM_STREAM_DEVICE_DATA, .device = 1, .flags = VFM_STREAM_CHUNK_END,
		  .data = some, .stored = 10);
	forge_data(&f, VFM_STREAM_MEMORY_DATA, "\0\0\1\0\0\0\0\0abc", 11);
	forge_data(&f, VFM_STREAM_MEMORY_ZERO, zero, sizeof(zero));
	for (int i = 0; i < 16; i++) {
		XXH128_canonical_t c;

		XXH128_canonicalFromHash(&c, XXH3_128bits_digest(f.digest));
		snprintf(digest + 2 * i, 3, "%02x", c.digest[i]);
	}
	forge_end(&f, (struct forge_counts){ 6, 26, UINT64_C(0x500000003), 2 });
	assert_int_equal(scan_bytes(f.data, f.len, &s, NULL), 0);
	assert_int_equal(s.version, 1);
	assert_int_equal(s.records, 7);
	assert_int_equal(s.bytes, f.len);
	assert_int_equal(s.device_bytes, 26);
	assert_int_equal(s.memory_bytes, UINT64_C(0x500000003));
	assert_int_equal(s.nr_devices, 2);
	assert_true(s.ended);
	assert_string_equal(s.digest, digest);
	forge_free(&f);
}

static void header_of_other_versions(void **state)
{
	static const struct {
		uint32_t version, compat, size, flags;
		int code;
		const char *text;
	} rows[] = {
		{ 1, 1, 32, 0, 0, "" },
		{ 2, 1, 32, 0, 0, "" },
		{ 2, 1, 40, 0, 0, "" },
		{ 0xffffffff, 1, 4096, 0, 0, "" },
		{ 2, 2, 32, 0, -ENOTSUP, "version 2 needs a reader of version 2, this one is 1" },
		{ 9, 3, 64, 0, -ENOTSUP, "version 9 needs a reader of version 3" },
		{ 1, 2, 32, 0, -EBADMSG, "oldest compatible version 2" },
		{ 1, 0, 32, 0, -EBADMSG, "oldest compatible version 0" },
		{ 0, 0, 32, 0, -EBADMSG, "version 0" },
		{ 1, 1, 32, 1, -ENOTSUP, "unknown flags 0x1" },
		{ 2, 1, 32, 0x80000000, -ENOTSUP, "unknown flags 0x80000000" },
		{ 1, 1, 40, 0, -EBADMSG, "header of 40 bytes, version 1 has 32" },
		{ 2, 1, 24, 0, -EBADMSG, "header of 24 bytes" },
		{ 2, 1, 0, 0, -EBADMSG, "header of 0 bytes" },
		{ 2, 1, 36, 0, -EBADMSG, "multiple of 8" },
		{ 2, 1, 4104, 0, -EBADMSG, "4104" },
		{ 2, 1, 0xfffffff8, 0, -EBADMSG, "4294967288" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct forge f = { 0 };

		forge_header(&f, rows[i].version, rows[i].compat, rows[i].size, rows[i].flags);
		forge_identity(&f, 0);
		forge_end(&f, (struct forge_counts){ 1, 0, 0, 1 });
		finish(&f, rows[i].code, rows[i].text);
	}
}

static void not_a_stream_is_said_so(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		int code;
		const char *text;
	} rows[] = {
		{ "", 0, -ENODATA, "after 0 bytes" },
		{ "\x89VF", 3, -ENODATA, "after 3 bytes" },
		{ "\x89VFM\r\n\x1a\n", 8, -ENODATA, "after 8 bytes" },
		{ "\x7f"
		  "ELF\2\1\1",
		  7, -EBADMSG, "not a vfmig stream: it begins with 7f 45" },
		{ "x", 1, -EBADMSG, "begins with 78" },
		{ "\x09VFM\r\n\x1a\n", 8, -EBADMSG, "high bits" },
		{ "\x89VFM\n\x1a\n\1\0", 9, -EBADMSG, "from CR LF to LF" },
		{ "\x89VFM\r\r\n\x1a\r\n", 10, -EBADMSG, "from LF to CR LF" },
		{ "\x89VFM\r\n\x1a\r\n", 9, -EBADMSG, "from LF to CR LF" },
		{ "\xef\xbf\xbdVFM\r\n", 8, -EBADMSG, "as if it were UTF-8" },
		{ "\xc2\x89VFM\r\n\x1a", 8, -EBADMSG, "to UTF-8" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct forge f = { 0 };

		forge_bytes(&f, rows[i].bytes, rows[i].len);
		assert_scan(&f, rows[i].code, rows[i].text);
		free(f.data);
	}
}

/* One wrong record behind an identity. */
static const struct {
	struct forge_record record;
	int code;
	const char *text;
} wrong_records[] = {
	{ { 4711, 0, .data = some, .stored = 4 }, -ENOTSUP, "unknown type 4711 that must" },
	{ { 0, 0, .data = some, .stored = 4 }, -ENOTSUP, "unknown type 0" },
	{ { 15, 0, .data = some, .stored = 4 }, -ENOTSUP, "unknown type 15" },
	{ { 0xffffffff, 0, .data = some, .stored = 4 }, -ENOTSUP, "unknown type 4294967295" },
	{ { 4711, VFM_STREAM_OPTIONAL | 8, .data = some }, -ENOTSUP, "unknown flags 0x8" },
	{ { VFM_STREAM_DEVICE_DATA, 0x80000000, .data = some }, -ENOTSUP, "flags 0x80000000" },
	{ { VFM_STREAM_DEVICE_DATA, VFM_STREAM_OPTIONAL, .data = some }, -EBADMSG, "flags 0x1 do" },
	{ { VFM_STREAM_PHASE, VFM_STREAM_CHUNK_END, .data = some }, -EBADMSG, "flags 0x2 do" },
	{ { VFM_STREAM_IDENTITY, 0, 1, .data = some }, -EBADMSG, "not between 1 and" },
	{ { VFM_STREAM_DEVICE_DATA, 0, 0, .reserved = 7 }, -EBADMSG, "reserved field holds 0x7" },
	{ { VFM_STREAM_DEVICE_DATA, 0, 1, .data = some }, -EBADMSG, "device 1 has no identity" },
	{ { VFM_STREAM_MEMORY_MAP, 0, 4095, .data = some }, -EBADMSG, "device 4095 has no" },
	{ { VFM_STREAM_PHASE, 1, 4096, .data = some }, -EBADMSG, "device 4096" },
	{ { VFM_STREAM_DEVICE_DATA, .data = some, .stored = 16, .sequence = 9 },
	  -EBADMSG,
	  "it is numbered 9" },
	{ { VFM_STREAM_DEVICE_DATA, .data = some, .stored = 16, .payload_sum = 1 },
	  -EBADMSG,
	  "16 bytes of payload are damaged" },
	{ { VFM_STREAM_DEVICE_DATA, .told_stored = 0xffffffff, .told_plain = 0xffffffff },
	  -EBADMSG,
	  "4294967295 bytes of payload, not between 0 and 1048576" },
	{ { VFM_STREAM_DEVICE_DATA, .told_stored = 0x100001, .told_plain = 0x100001 },
	  -EBADMSG,
	  "1048577 bytes of payload" },
	{ { VFM_STREAM_DEVICE_DATA, .told_stored = 0xffffffff }, -EBADMSG, "stored as 4294967295" },
	{ { VFM_STREAM_DEVICE_DATA, .told_stored = 16, .told_plain = 17 }, -EBADMSG, "17 bytes" },
	{ { VFM_STREAM_DEVICE_DATA, VFM_STREAM_ZSTD, .told_stored = 16, .told_plain = 16 },
	  -EBADMSG,
	  "16 bytes compressed to 16" },
	{ { VFM_STREAM_DEVICE_DATA, VFM_STREAM_ZSTD, .told_stored = 0xfffffff, .told_plain = 16 },
	  -EBADMSG,
	  "compressed to" },
	{ { VFM_STREAM_DEVICE_DATA, VFM_STREAM_ZSTD, .told_plain = 16 }, -EBADMSG, "to 0" },
	{ { VFM_STREAM_DEVICE_DATA, VFM_STREAM_ZSTD, .data = some, .stored = 16, .plain = 99 },
	  -EBADMSG,
	  "does not begin with a zstd frame" },
	{ { VFM_STREAM_MEMORY_DATA, .data = some, .stored = 7 }, -EBADMSG, "7 bytes of payload" },
	{ { VFM_STREAM_MEMORY_ZERO, .data = some, .stored = 15 }, -EBADMSG, "15 bytes of payl" },
	{ { VFM_STREAM_MEMORY_ZERO, .data = "a bit too long ..", .stored = 17 }, -EBADMSG, "17" },
	{ { VFM_STREAM_MEMORY_ZERO, .data = "\2\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
	    .stored = 16 },
	  -EBADMSG,
	  "iova 0x2 leave 64 bits" },
	{ { VFM_STREAM_MEMORY_DATA,
	    .data = "\xff\xff\xff\xff\xff\xff\xff\xff"
		    "ab",
	    .stored = 10 },
	  -EBADMSG,
	  "2 bytes at iova 0xffffffffffffffff leave" },
	{ { VFM_STREAM_IDENTITY, .data = some, .stored = 16 }, -EBADMSG, "where that of 1 is due" },
	{ { VFM_STREAM_IDENTITY, .device = 2, .data = some, .stored = 16 },
	  -EBADMSG,
	  "of device 2" },
	{ { VFM_STREAM_COMMIT }, -EBADMSG, "no place in a file" },
	{ { VFM_STREAM_ABORT }, -EBADMSG, "no place in a file" },
	{ { VFM_STREAM_READY }, -EBADMSG, "no place in a file" },
	{ { VFM_STREAM_LOADED }, -EBADMSG, "no place in a file" },
	{ { VFM_STREAM_RUNNING }, -EBADMSG, "no place in a file" },
};

static void wrong_records_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrong_records) / sizeof(wrong_records[0]); i++) {
		struct forge f;

		forge_start(&f);
		forge_identity(&f, 0);
		forge_put(&f, wrong_records[i].record);
		assert_scan(&f, wrong_records[i].code, wrong_records[i].text);
		assert_scan(&f, wrong_records[i].code, "record 1 at offset 120");
		forge_free(&f);
	}
}

/* Lengths are refused before the payload is waited for, and before memory is taken for it. */
static void absurd_lengths_cost_nothing(void **state)
{
	struct vfm_stream_reader *r;
	struct vfm_stream_record record;
	size_t before, after;
	struct forge f;
	int fd;

	(void)state;
	forge_start(&f);
	FORGE_PUT(&f, .type = VFM_STREAM_PHASE, .told_stored = 0xffffffff,
		  .told_plain = 0xffffffff);
	fd = stream_file(f.data, f.len);
	assert_int_equal(vfm_stream_reader_new(&r, fd, NULL, NULL), 0);
	before = mallinfo2().uordblks + mallinfo2().hblkhd;
	assert_int_equal(vfm_stream_read(r, &record, NULL), -EBADMSG);
	after = mallinfo2().uordblks + mallinfo2().hblkhd;
	assert_int_equal(before, after);
	vfm_stream_reader_free(r);
	close(fd);
	forge_free(&f);
}

static void unknown_optional_records_are_skipped(void **state)
{
	struct vfm_stream_record record;
	struct vfm_stream_reader *r;
	struct forge f;
	int fd;

	(void)state;
	forge_start(&f);
	FORGE_PUT(&f, .type = 0x9000, .flags = VFM_STREAM_OPTIONAL, .device = 17);
	forge_identity(&f, 0);
	FORGE_PUT(&f, .type = 0xffffffff, .flags = VFM_STREAM_OPTIONAL, .data = some, .stored = 16);
	FORGE_PUT(&f, .type = 15, .flags = VFM_STREAM_OPTIONAL | VFM_STREAM_ZSTD, .data = some,
		  .stored = 16, .plain = 4000);
	forge_data(&f, VFM_STREAM_DEVICE_DATA, some, 3);
	forge_end(&f, (struct forge_counts){ 5, 3, 0, 1 });
	fd = stream_file(f.data, f.len);
	assert_int_equal(vfm_stream_reader_new(&r, fd, NULL, NULL), 0);
	assert_int_equal(vfm_stream_read(r, &record, NULL), 1);
	assert_int_equal(record.type, VFM_STREAM_IDENTITY);
	assert_int_equal(vfm_stream_read(r, &record, NULL), 1);
	assert_int_equal(record.type, VFM_STREAM_DEVICE_DATA);
	assert_int_equal(vfm_stream_read(r, &record, NULL), 1);
	assert_int_equal(record.type, VFM_STREAM_END);
	assert_int_equal(vfm_stream_read(r, &record, NULL), 0);
	assert_int_equal(vfm_stream_read(r, &record, NULL), 0);
	vfm_stream_reader_free(r);
	close(fd);
	assert_int_equal(scan_bytes(f.data, f.len, NULL, NULL), 0);
	/* Their payload is proven although nobody looks at it. */
	f.data[32 + 48 + 48 + 40 + 48] ^= 1;
	finish(&f, -EBADMSG, "record 2 at offset 168 (unknown): 16 bytes of payload are damaged");
}

static void wrong_ends_are_refused(void **state)
{
	static const struct {
		struct forge_counts counts;
		const char *text;
	} rows[] = {
		{ { 3, 16, 0, 1 }, "3 records counted, there were 2" },
		{ { 1, 16, 0, 1 }, "1 records counted, there were 2" },
		{ { 2, 17, 0, 1 }, "17 device bytes counted, there were 16" },
		{ { 2, 16, 1, 1 }, "1 memory bytes counted, there were 0" },
		{ { 2, 16, 0, 2 }, "2 devices counted, there were 1" },
		{ { 2, 16, 0, 1, 1 }, "reserved field is not zero" },
		{ { 2, 16, 0, 1, 0, 1 }, "the digest is of another stream" },
	};
	struct vfm_stream_summary s;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct forge f;

		forge_start(&f);
		forge_identity(&f, 0);
		forge_data(&f, VFM_STREAM_DEVICE_DATA, some, 16);
		forge_end(&f, rows[i].counts);
		assert_int_equal(scan_bytes(f.data, f.len, &s, NULL), -EBADMSG);
		assert_false(s.ended);
		assert_int_equal(s.records, 2);
		finish(&f, -EBADMSG, rows[i].text);
	}
}

static void order_is_checked(void **state)
{
	struct forge f;

	(void)state;
	forge_start(&f);
	forge_data(&f, VFM_STREAM_DEVICE_DATA, some, 16);
	finish(&f, -EBADMSG, "record 0 at offset 32 (DEVICE_DATA): device 0 has no identity");

	forge_start(&f);
	forge_end(&f, (struct forge_counts){ 0 });
	finish(&f, -EBADMSG, "ends without an identity");

	forge_start(&f);
	forge_identity(&f, 0);
	forge_data(&f, VFM_STREAM_MEMORY_MAP, some, 16);
	forge_identity(&f, 1);
	finish(&f, -EBADMSG, "an identity after the first data");

	forge_start(&f);
	forge_identity(&f, 0);
	finish(&f, -ENODATA, "after 1 records, without END");
}

static void nothing_follows_end_in_a_file(void **state)
{
	static const struct forge_record rows[] = {
		{ VFM_STREAM_COMMIT },
		{ 0x9000, VFM_STREAM_OPTIONAL },
		{ VFM_STREAM_PHASE, VFM_STREAM_OPTIONAL },
		{ VFM_STREAM_DEVICE_DATA, .data = some, .stored = 1 },
	};
	struct forge f;

	(void)state;
	for (size_t i = 0; i <= sizeof(rows) / sizeof(rows[0]); i++) {
		forge_start(&f);
		forge_identity(&f, 0);
		forge_end(&f, (struct forge_counts){ 1, 0, 0, 1 });
		if (i < sizeof(rows) / sizeof(rows[0]))
			forge_put(&f, rows[i]);
		else
			forge_bytes(&f, "\n", 1);
		finish(&f, -EBADMSG, "something follows END at offset 216");
	}
}

/* A frame made by zstd, told to be of @plain bytes. */
static void forge_zstd(struct forge *f, const void *data, size_t len, size_t extra, uint32_t plain)
{
	uint8_t frame[4096] = { 0 };
	size_t n = ZSTD_compress(frame, sizeof(frame), data, len, 1);

	assert_false(ZSTD_isError(n));
	FORGE_PUT(f, .type = VFM_STREAM_DEVICE_DATA, .flags = VFM_STREAM_ZSTD, .data = frame,
		  .stored = (uint32_t)(n + extra), .plain = plain);
}

static void decompression_is_bounded(void **state)
{
	static const struct {
		size_t len, extra;
		uint32_t plain;
		int code;
		const char *text;
	} rows[] = {
		{ 100000, 0, 100000, -ENODATA, "without END" },
		{ 1 << 20, 0, 1 << 20, -ENODATA, "without END" },
		{ 100000, 0, 99999, -EBADMSG, "does not hold as much" },
		{ 100000, 0, 100001, -EBADMSG, "does not hold as much" },
		{ 16 << 20, 0, 1 << 20, -EBADMSG, "does not hold as much" },
		{ 100000, 1, 100000, -EBADMSG, "not exactly one zstd frame" },
	};
	uint8_t *zeros = calloc(1, 16 << 20);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct forge f;

		forge_start(&f);
		forge_identity(&f, 0);
		forge_zstd(&f, zeros, rows[i].len, rows[i].extra, rows[i].plain);
		finish(&f, rows[i].code, rows[i].text);
	}
	free(zeros);
}

/* A frame that does not tell what it holds, one that is skipped, one that is broken inside. */
static void odd_frames_are_refused(void **state)
{
	uint8_t frame[4096], data[2000] = { 1, 2, 3 };
	ZSTD_CCtx *ctx = ZSTD_createCCtx();
	struct forge f;
	size_t n;

	(void)state;
	ZSTD_CCtx_setParameter(ctx, ZSTD_c_contentSizeFlag, 0);
	n = ZSTD_compress2(ctx, frame, sizeof(frame), data, sizeof(data));
	ZSTD_freeCCtx(ctx);
	forge_start(&f);
	forge_identity(&f, 0);
	FORGE_PUT(&f, .type = VFM_STREAM_DEVICE_DATA, .flags = VFM_STREAM_ZSTD, .data = frame,
		  .stored = (uint32_t)n, .plain = sizeof(data));
	finish(&f, -EBADMSG, "does not hold as much");

	forge_start(&f);
	forge_identity(&f, 0);
	FORGE_PUT(&f, .type = VFM_STREAM_DEVICE_DATA, .flags = VFM_STREAM_ZSTD,
		  .data = "\x50\x2a\x4d\x18\4\0\0\0abcd", .stored = 12, .plain = 13);
	finish(&f, -EBADMSG, "does not begin with a zstd frame");

	n = ZSTD_compress(frame, sizeof(frame), data, sizeof(data), 1);
	frame[n - 1] ^= 0xff;
	frame[n - 2] ^= 0xff;
	forge_start(&f);
	forge_identity(&f, 0);
	FORGE_PUT(&f, .type = VFM_STREAM_DEVICE_DATA, .flags = VFM_STREAM_ZSTD, .data = frame,
		  .stored = (uint32_t)n, .plain = sizeof(data));
	finish(&f, -EBADMSG, "record 1 at offset 120 (DEVICE_DATA): ");
}

static void memory_counts_do_not_wrap(void **state)
{
	uint64_t zero[2] = { 0, htole64(UINT64_MAX) };
	struct forge f;

	(void)state;
	forge_start(&f);
	forge_identity(&f, 0);
	forge_data(&f, VFM_STREAM_MEMORY_ZERO, zero, sizeof(zero));
	forge_data(&f, VFM_STREAM_MEMORY_ZERO, zero, sizeof(zero));
	finish(&f, -EBADMSG, "record 2 at offset 184 (MEMORY_ZERO): more than 2^64 bytes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forged_streams_are_read),
		cmocka_unit_test(header_of_other_versions),
		cmocka_unit_test(not_a_stream_is_said_so),
		cmocka_unit_test(wrong_records_are_refused),
		cmocka_unit_test(absurd_lengths_cost_nothing),
		cmocka_unit_test(unknown_optional_records_are_skipped),
		cmocka_unit_test(wrong_ends_are_refused),
		cmocka_unit_test(order_is_checked),
		cmocka_unit_test(nothing_follows_end_in_a_file),
		cmocka_unit_test(decompression_is_bounded),
		cmocka_unit_test(odd_frames_are_refused),
		cmocka_unit_test(memory_counts_do_not_wrap),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
