// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Every way to damage a small stream: each bit flipped, cut at each byte, each
 * record lost, repeated, swapped or taken from another stream. Damage and
 * truncation are told apart, always.
 */

#include "forge.h"

#include <errno.h>

/* A stream with one record of each kind, and where its records begin. */
struct sample {
	struct forge f;
	size_t at[16];
	size_t nr;
};

static void mark(struct sample *s)
{
	s->at[s->nr++] = s->f.len;
}

static void make_sample(struct sample *s, char letter)
{
	uint64_t zero[2] = { 0, 4096 };
	uint64_t data[3] = { 4096, (uint64_t)letter, 3 };

	*s = (struct sample){ 0 };
	forge_start(&s->f);
	mark(s);
	forge_identity(&s->f, 0);
	mark(s);
	FORGE_PUT(&s->f, .type = VFM_STREAM_PHASE, .flags = VFM_STREAM_OPTIONAL, .data = "ab",
		  .stored = 2);
	mark(s);
	forge_data(&s->f, VFM_STREAM_DEVICE_DATA, data, 20);
	mark(s);
	forge_data(&s->f, VFM_STREAM_DEVICE_DATA, data, 20);
	mark(s);
	forge_data(&s->f, VFM_STREAM_MEMORY_DATA, data, sizeof(data));
	mark(s);
	forge_data(&s->f, VFM_STREAM_MEMORY_ZERO, zero, sizeof(zero));
	mark(s);
	forge_data(&s->f, VFM_STREAM_DEVICE_DATA, NULL, 0);
	mark(s);
	forge_end(&s->f, (struct forge_counts){ 7, 40, 16 + 4096, 1 });
	mark(s);
	assert_scan(&s->f, 0, "");
}

static void every_bit(void **state)
{
	struct sample s;

	(void)state;
	make_sample(&s, 'x');
	for (size_t bit = 0; bit < s.f.len * 8; bit++) {
		struct vfm_err err = { 0 };
		int ret;

		s.f.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ret = scan_bytes(s.f.data, s.f.len, NULL, &err);
		if (ret != -EBADMSG || err.code != ret || !err.msg[0])
			fail_msg("bit %zu: %d %s", bit, ret, err.msg);
		s.f.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	forge_free(&s.f);
}

static void every_cut(void **state)
{
	struct vfm_stream_summary summary;
	struct sample s;
	size_t whole = 0;

	(void)state;
	make_sample(&s, 'x');
	for (size_t len = 0; len < s.f.len; len++) {
		struct vfm_err err = { 0 };
		int ret = scan_bytes(s.f.data, len, &summary, &err);

		if (ret != -ENODATA || err.code != ret)
			fail_msg("%zu bytes: %d %s", len, ret, err.msg);
		while (s.at[whole + 1] <= len)
			whole++;
		assert_int_equal(summary.records, len < s.at[1] ? 0 : whole);
		assert_false(summary.ended);
		assert_string_equal(summary.digest, "");
	}
	forge_free(&s.f);
}

/* The sample's header, and then the records of @order, from @from where it is not NULL. */
static void arrange(const struct sample *s, const struct sample *from, size_t taken,
		    const size_t *order, size_t nr)
{
	struct forge f = { 0 };
	struct vfm_err err = { 0 };
	int ret;

	forge_bytes(&f, s->f.data, s->at[0]);
	for (size_t i = 0; i < nr; i++) {
		const struct sample *one = from && i == taken ? from : s;
		size_t n = order[i];

		forge_bytes(&f, one->f.data + one->at[n], one->at[n + 1] - one->at[n]);
	}
	ret = scan_bytes(f.data, f.len, NULL, &err);
	if (ret != -EBADMSG && ret != -ENODATA)
		fail_msg("%d %s", ret, err.msg);
	/* Only the loss of the last record looks like a stream that was cut. */
	if (ret == -ENODATA)
		assert_int_equal(order[nr - 1], s->nr - 3);
	free(f.data);
}

static void every_pair_swapped(void **state)
{
	struct sample s;
	size_t order[16];

	(void)state;
	make_sample(&s, 'x');
	for (size_t a = 0; a < s.nr - 1; a++) {
		for (size_t b = a + 1; b < s.nr - 1; b++) {
			for (size_t i = 0; i < s.nr - 1; i++)
				order[i] = i == a ? b : i == b ? a : i;
			arrange(&s, NULL, 0, order, s.nr - 1);
		}
	}
	forge_free(&s.f);
}

static void every_record_lost(void **state)
{
	struct sample s;
	size_t order[16];

	(void)state;
	make_sample(&s, 'x');
	for (size_t lost = 0; lost < s.nr - 1; lost++) {
		size_t nr = 0;

		for (size_t i = 0; i < s.nr - 1; i++)
			if (i != lost)
				order[nr++] = i;
		arrange(&s, NULL, 0, order, nr);
	}
	forge_free(&s.f);
}

static void every_record_repeated(void **state)
{
	struct sample s;
	size_t order[16];

	(void)state;
	make_sample(&s, 'x');
	for (size_t again = 0; again < s.nr - 1; again++) {
		size_t nr = 0;

		for (size_t i = 0; i < s.nr - 1; i++) {
			order[nr++] = i;
			if (i == again)
				order[nr++] = i;
		}
		arrange(&s, NULL, 0, order, nr);
	}
	forge_free(&s.f);
}

/* Of the same place in a stream that differs in one byte of an earlier record. */
static void records_of_another_stream(void **state)
{
	struct sample s, other;
	size_t order[16];

	(void)state;
	make_sample(&s, 'x');
	make_sample(&other, 'y');
	for (size_t i = 0; i < s.nr - 1; i++)
		order[i] = i;
	for (size_t taken = 2; taken < s.nr - 1; taken++)
		arrange(&s, &other, taken, order, s.nr - 1);
	forge_free(&s.f);
	forge_free(&other.f);
}

static void texts_say_where(void **state)
{
	struct sample s;
	struct forge f = { 0 };

	(void)state;
	make_sample(&s, 'x');
	forge_bytes(&f, s.f.data, s.at[2]);
	forge_bytes(&f, s.f.data + s.at[3], s.f.len - s.at[3]);
	assert_scan(
		&f, -EBADMSG,
		"record 2 at offset 170: the header says that it is record 3; records are lost");
	f.len = s.at[2] - 1;
	assert_scan(&f, -ENODATA,
		    "record 1 at offset 120 (PHASE): stream ends after 1 of 2 bytes of payload");
	f.len = s.at[1] + 7;
	assert_scan(&f, -ENODATA, "record 1 at offset 120: stream ends after 7 bytes of the head");
	f.data[s.at[1] - 1] ^= 1;
	assert_scan(&f, -EBADMSG, "record 0 at offset 32 (IDENTITY): 40 bytes of payload are dam");
	free(f.data);
	forge_free(&s.f);
}

/* A reader that failed once says so again, and gives no record any more. */
static void failure_is_final(void **state)
{
	struct vfm_stream_record record;
	struct vfm_stream_reader *r;
	struct vfm_err err;
	struct sample s;
	int fd;

	(void)state;
	make_sample(&s, 'x');
	s.f.data[s.at[1] + 48] ^= 1;
	fd = stream_file(s.f.data, s.f.len);
	assert_int_equal(vfm_stream_reader_new(&r, fd, NULL, NULL), 0);
	assert_int_equal(vfm_stream_read(r, &record, NULL), 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(vfm_stream_read(r, &record, &err), -EBADMSG);
	assert_non_null(strstr(err.msg, "failed already in its record 1 at offset 120"));
	vfm_stream_reader_free(r);
	close(fd);
	forge_free(&s.f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_bit),
		cmocka_unit_test(every_cut),
		cmocka_unit_test(every_pair_swapped),
		cmocka_unit_test(every_record_lost),
		cmocka_unit_test(every_record_repeated),
		cmocka_unit_test(records_of_another_stream),
		cmocka_unit_test(texts_say_where),
		cmocka_unit_test(failure_is_final),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
