// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Cursors: every length of buffer with every length of access around it. The
 * buffers come from malloc() in their exact size, so that a sanitizer sees an
 * access beyond them.
 */

#include "base/bytes.h"

#include <stdlib.h>

#include "test.h"

#define LENGTHS 40

static uint8_t *new_buffer(size_t len)
{
	uint8_t *buf = malloc(len);

	assert_true(buf || !len);
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(i * 37 + 1);
	return buf;
}

/* Take @first, then @second bytes from a buffer of @len. */
static void check_reads(const uint8_t *buf, size_t len, size_t first, size_t second)
{
	struct vfm_reader r = vfm_reader_of(buf, len);
	bool first_fits = first <= len;
	bool both_fit = first_fits && second <= len - first;
	uint8_t out[LENGTHS + 2];

	memset(out, 0xee, sizeof(out));
	vfm_read_copy(&r, out, first);
	for (size_t i = 0; i < first; i++)
		assert_int_equal(out[i], first_fits ? buf[i] : 0);
	assert_int_equal(out[first], 0xee);
	assert_int_equal(vfm_reader_ok(&r), first_fits);
	assert_int_equal(r.left, first_fits ? len - first : len);

	if (both_fit)
		assert_ptr_equal(vfm_read_bytes(&r, second), buf + first);
	else
		assert_null(vfm_read_bytes(&r, second));
	assert_int_equal(vfm_reader_ok(&r), both_fit);
}

static void reads_of_every_length(void **state)
{
	(void)state;
	for (size_t len = 0; len < LENGTHS; len++) {
		uint8_t *buf = new_buffer(len);

		for (size_t first = 0; first <= len + 1; first++)
			for (size_t second = 0; second <= len + 1; second++)
				check_reads(buf, len, first, second);
		free(buf);
	}
}

/* Once bad, a reader gives nothing more, not even what would fit. */
static void badness_of_a_reader_stays(void **state)
{
	static const uint8_t buf[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
	struct vfm_reader r = vfm_reader_of(buf, sizeof(buf));
	uint8_t out[4] = { 9, 9, 9, 9 };

	(void)state;
	assert_null(vfm_read_bytes(&r, sizeof(buf) + 1));
	assert_int_equal(vfm_read_u8(&r), 0);
	assert_int_equal(vfm_read_le16(&r), 0);
	assert_int_equal(vfm_read_le32(&r), 0);
	assert_int_equal(vfm_read_le64(&r), 0);
	assert_int_equal(vfm_read_he16(&r), 0);
	assert_int_equal(vfm_read_he32(&r), 0);
	assert_int_equal(vfm_read_he64(&r), 0);
	vfm_read_copy(&r, out, sizeof(out));
	assert_memory_equal(out, "\0\0\0", 4);
	assert_null(vfm_read_bytes(&r, 0));
	assert_false(vfm_reader_ok(&r));
}

static void lengths_near_the_end_of_size_t_do_not_wrap(void **state)
{
	static const size_t lengths[] = { SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 7, SIZE_MAX / 2 + 1 };
	uint8_t buf[8] = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct vfm_reader r = vfm_reader_of(buf, sizeof(buf));
		struct vfm_writer w = vfm_writer_of(buf, sizeof(buf));

		vfm_read_u8(&r);
		vfm_write_u8(&w, 1);
		assert_null(vfm_read_bytes(&r, lengths[i]));
		assert_null(vfm_write_space(&w, lengths[i]));
		assert_false(vfm_reader_ok(&r));
		assert_false(vfm_writer_ok(&w));
		assert_int_equal(w.len, 1);
	}
}

static void integers_have_their_order(void **state)
{
	static const uint8_t bytes[] = { 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x88 };
	struct vfm_reader r = vfm_reader_of(bytes, sizeof(bytes));
	uint64_t host;
	uint32_t half;

	(void)state;
	assert_int_equal(vfm_read_le64(&r), UINT64_C(0x8807060504030201));
	r = vfm_reader_of(bytes, sizeof(bytes));
	assert_int_equal(vfm_read_le32(&r), 0x04030201);
	assert_int_equal(vfm_read_le16(&r), 0x0605);
	assert_int_equal(vfm_read_u8(&r), 0x07);
	assert_int_equal(vfm_read_u8(&r), 0x88);
	assert_true(vfm_reader_ok(&r));
	assert_int_equal(r.left, 0);

	memcpy(&host, bytes, sizeof(host));
	r = vfm_reader_of(bytes, sizeof(bytes));
	assert_int_equal(vfm_read_he64(&r), host);
	r = vfm_reader_of(bytes, sizeof(bytes));
	memcpy(&half, bytes, sizeof(half));
	assert_int_equal(vfm_read_he32(&r), half);
}

/* What is written is read again, at every place where it ends with the buffer. */
static void integers_of_every_width_in_every_room(void **state)
{
	(void)state;
	for (size_t room = 0; room < LENGTHS; room++) {
		uint8_t *buf = new_buffer(room);
		struct vfm_writer w = vfm_writer_of(buf, room);
		struct vfm_reader r = vfm_reader_of(buf, room);
		bool fits = room >= 1 + 2 * (2 + 4 + 8);

		vfm_write_u8(&w, 0x81);
		vfm_write_le16(&w, 0x8283);
		vfm_write_he16(&w, 0x8485);
		vfm_write_le32(&w, 0x86878889);
		vfm_write_he32(&w, 0x8a8b8c8d);
		vfm_write_le64(&w, UINT64_C(0x8e8f909192939495));
		vfm_write_he64(&w, UINT64_C(0x969798999a9b9c9d));
		assert_int_equal(vfm_writer_ok(&w), fits);
		assert_int_equal(w.len + w.left, room);
		if (fits) {
			assert_int_equal(vfm_read_u8(&r), 0x81);
			assert_int_equal(vfm_read_le16(&r), 0x8283);
			assert_int_equal(vfm_read_he16(&r), 0x8485);
			assert_int_equal(vfm_read_le32(&r), 0x86878889);
			assert_int_equal(vfm_read_he32(&r), 0x8a8b8c8d);
			assert_int_equal(vfm_read_le64(&r), UINT64_C(0x8e8f909192939495));
			assert_int_equal(vfm_read_he64(&r), UINT64_C(0x969798999a9b9c9d));
			assert_true(vfm_reader_ok(&r));
		}
		free(buf);
	}
}

static void writes_of_every_length(void **state)
{
	static const uint8_t data[LENGTHS + 1] = { 1, 2, 3 };

	(void)state;
	for (size_t room = 0; room < LENGTHS; room++)
		for (size_t len = 0; len <= room + 1; len++) {
			uint8_t *buf = new_buffer(room);
			struct vfm_writer w = vfm_writer_of(buf, room);
			bool fits = len <= room;

			vfm_write_bytes(&w, data, len);
			assert_int_equal(vfm_writer_ok(&w), fits);
			assert_int_equal(w.len, fits ? len : 0);
			if (fits)
				assert_true(!len || !memcmp(buf, data, len));
			for (size_t i = fits ? len : 0; i < room; i++)
				assert_int_equal(buf[i], (uint8_t)(i * 37 + 1));
			vfm_write_zeros(&w, w.left);
			assert_int_equal(vfm_writer_ok(&w), fits);
			vfm_write_zeros(&w, w.left + 1);
			assert_false(vfm_writer_ok(&w));
			/* and it stays so, although nothing more is asked for */
			assert_null(vfm_write_space(&w, 0));
			free(buf);
		}
}

/* Nothing is added to an address that is not there: undefined, and a sanitizer says so. */
static void empty_without_an_address(void **state)
{
	struct vfm_reader r = vfm_reader_of(NULL, 0);
	struct vfm_writer w = vfm_writer_of(NULL, 0);

	(void)state;
	assert_null(vfm_read_bytes(&r, 0));
	assert_true(vfm_reader_ok(&r));
	vfm_write_bytes(&w, NULL, 0);
	assert_true(vfm_writer_ok(&w));
	assert_int_equal(vfm_read_le32(&r), 0);
	assert_false(vfm_reader_ok(&r));
	vfm_write_u8(&w, 1);
	assert_false(vfm_writer_ok(&w));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_of_every_length),
		cmocka_unit_test(badness_of_a_reader_stays),
		cmocka_unit_test(lengths_near_the_end_of_size_t_do_not_wrap),
		cmocka_unit_test(integers_have_their_order),
		cmocka_unit_test(integers_of_every_width_in_every_room),
		cmocka_unit_test(writes_of_every_length),
		cmocka_unit_test(empty_without_an_address),
	};

	return RUN_TESTS(tests);
}
