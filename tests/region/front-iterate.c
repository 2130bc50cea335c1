// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The iterations of saving, over a device by hand: repeats, interruptions, chunks, what
 * becomes of them when the device fails, and how often it is asked.
 */

#include "front-rig.h"

#include "front-inner.h"

/* Every byte of the session is there, in its order. */
static void assert_bytes(const struct client *c, const struct inner *in)
{
	assert_int_equal(c->len, in->given);
	for (size_t i = 0; i < c->len; i++)
		if (c->data[i] != inner_byte(in->session, i))
			fail_msg("byte %zu of %zu is wrong", i, c->len);
}

static void repeats_change_nothing(void **state)
{
	struct inner *in = inner_new(ALL_FEATURES, true);
	struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_TRAPPED, page_size());
	struct client c = client_of(dev, 0);

	(void)state;
	in->first[0] = 10;
	in->first[1] = 20;
	set_bits(dev, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(reg_read(dev, PENDING_BYTES), 30);
	for (int i = 0; i < 3; i++)
		assert_int_equal(reg_read(dev, DATA_OFFSET), page_size());
	assert_int_equal(reg_read(dev, PENDING_BYTES), 30);
	for (int i = 0; i < 3; i++)
		assert_int_equal(reg_read(dev, DATA_SIZE), 10);
	reg_read(dev, DATA_OFFSET);
	assert_int_equal(client_take(&c), 10);
	assert_int_equal(client_take(&c), 10); /* the same once more */
	assert_memory_equal(c.data, c.data + 10, 10);
	for (int i = 0; i < 3; i++)
		assert_int_equal(reg_read(dev, PENDING_BYTES), 20);
	assert_int_equal(client_take(&c), 20);
	for (int i = 0; i < 3; i++)
		assert_int_equal(reg_read(dev, PENDING_BYTES), 0);
	assert_int_equal(client_take(&c), 0);
	client_close(&c);
	vfm_device_close(dev);
	inner_free(in);
}

static void data_offset_comes_first(void **state)
{
	struct inner *in = inner_new(ALL_FEATURES, false);
	struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_TRAPPED, page_size());
	struct client c = client_of(dev, 0);

	(void)state;
	in->first[0] = 77;
	set_bits(dev, 3);
	assert_int_equal(reg_read(dev, DATA_SIZE), 0); /* nobody has asked for anything */
	assert_int_equal(client_take(&c), 77);
	assert_int_equal(reg_read(dev, PENDING_BYTES), 0);
	assert_bytes(&c, in);
	client_close(&c);
	vfm_device_close(dev);
	inner_free(in);
}

static void zero_and_again(void **state)
{
	struct inner *in = inner_new(ALL_FEATURES, false);
	struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_TRAPPED, page_size());
	struct client c = client_of(dev, 0);

	(void)state;
	set_bits(dev, 3);
	for (size_t i = 1; i < 6; i++) {
		in->zero_in_precopy = i & 1; /* some devices do, and have more later */
		assert_int_equal(client_drain(&c), 0);
		inner_add(in, 100 * i);
		assert_int_equal(client_drain(&c), 100 * i);
	}
	set_bits(dev, 2);
	inner_add(in, 5);
	assert_int_equal(client_drain(&c), 5);
	assert_bytes(&c, in);
	/* finished is for ever */
	inner_add(in, 5);
	assert_int_equal(client_drain(&c), 0);
	client_close(&c);
	vfm_device_close(dev);
	inner_free(in);
}

/* What is done to the state between two steps of an iteration. */
static const uint32_t interruptions[][3] = { { 3 }, { 2 }, { 3, 2 }, { 2, 2 }, { 3, 3, 2 } };

static void interrupt(struct vfm_device *dev, const uint32_t *words)
{
	for (int i = 0; i < 3 && words[i]; i++)
		set_bits(dev, words[i]);
}

/* An iteration in 3 of which step @step is followed by @words; all bytes come once. */
static void interrupted_at(unsigned int step, const uint32_t *words, bool chunks)
{
	struct inner *in = inner_new(ALL_FEATURES, chunks);
	struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_TRAPPED, page_size());
	struct client c = client_of(dev, 0);
	uint8_t buf[500];
	size_t len = 0;

	memcpy(in->first, (size_t[]){ 100, 200, 150 }, 3 * sizeof(size_t));
	memcpy(in->last, (size_t[]){ 30, 40 }, 2 * sizeof(size_t));
	set_bits(dev, 3);
	for (unsigned int at = 0; at < 5; at++) {
		if (at == 0)
			assert_true(reg_read(dev, PENDING_BYTES) > 0);
		if (at == 1)
			reg_read(dev, DATA_OFFSET);
		if (at == 2)
			len = reg_read(dev, DATA_SIZE);
		if (at == 3)
			assert_int_equal(data_read(dev, 0, buf, 50), 0);
		if (at == 4)
			assert_int_equal(data_read(dev, 50, buf + 50, len - 50), 0);
		if (at == step)
			interrupt(dev, words);
	}
	assert_int_equal(len, chunks ? 100 : 450);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(buf[i], inner_byte(in->session, i));
	c.data = malloc(len);
	memcpy(c.data, buf, len);
	c.len = len;
	client_drain(&c);
	set_bits(dev, 2);
	client_drain(&c);
	assert_int_equal(c.len, 520);
	assert_bytes(&c, in);
	client_close(&c);
	vfm_device_close(dev);
	inner_free(in);
}

static void state_changes_in_an_iteration(void **state)
{
	(void)state;
	for (unsigned int step = 0; step < 5; step++)
		for (size_t i = 0; i < VFM_ARRAY_SIZE(interruptions); i++) {
			interrupted_at(step, interruptions[i], false);
			interrupted_at(step, interruptions[i], true);
		}
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static void chunks_stay_whole(void **state)
{
	const size_t page = page_size();
	const size_t reads[] = { 0, 1000, 333 };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(reads); i++) {
		struct inner *in = inner_new(ALL_FEATURES, true);
		struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_MMAP, page);
		struct client c = client_of(dev, 8);
		size_t sum = 0;

		in->max_read = reads[i];
		memcpy(in->first, (size_t[]){ 1, page, 100 }, 3 * sizeof(size_t));
		memcpy(in->last, (size_t[]){ page, page - 1, 7 }, 3 * sizeof(size_t));
		client_map(&c);
		set_bits(dev, 3);
		client_drain(&c);
		set_bits(dev, 2);
		client_drain(&c);
		assert_int_equal(c.nr_ends, 6);
		for (size_t n = 0; n < 6; n++) {
			sum += n < 3 ? in->first[n] : in->last[n - 3];
			assert_int_equal(c.ends[n], sum);
		}
		assert_bytes(&c, in);
		client_close(&c);
		vfm_device_close(dev);
		inner_free(in);
	}
}

static void a_chunk_that_does_not_fit(void **state)
{
	struct inner *in = inner_new(ALL_FEATURES, true);
	struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_MMAP, page_size());
	struct client c = client_of(dev, 0);
	struct vfm_err err;
	uint64_t value;
	uint8_t byte;

	(void)state;
	in->first[0] = page_size() + 1;
	set_bits(dev, 3);
	assert_true(reg_read(dev, PENDING_BYTES) > 0);
	assert_int_equal(client_take(&c), page_size());
	for (int i = 0; i < 2; i++) {
		assert_int_equal(vfm_device_read_region(dev, region_index(dev), PENDING_BYTES,
							&value, 8, &err),
				 -EMSGSIZE);
		assert_non_null(strstr(err.msg, "4096 bytes of the data section"));
		assert_int_equal(try_read(dev, DATA_OFFSET, &value), -EMSGSIZE);
		assert_int_equal(vfm_device_read_data(dev, &byte, 1, NULL), -EMSGSIZE);
	}
	set_bits(dev, 1); /* and away with it */
	in->first[0] = 5;
	set_bits(dev, 3);
	assert_int_equal(reg_read(dev, PENDING_BYTES), 5);
	client_close(&c);
	vfm_device_close(dev);
	inner_free(in);
}

/* ---- failures ----------------------------------------------------------------------------------
 */

static const struct {
	uint64_t at;
	bool write;
	uint32_t word;
} script[] = {
	{ DEVICE_STATE, true, 3 },   { PENDING_BYTES, false, 0 }, { DATA_OFFSET, false, 0 },
	{ DATA_SIZE, false, 0 },     { PENDING_BYTES, false, 0 }, { DATA_OFFSET, false, 0 },
	{ DEVICE_STATE, true, 2 },   { DATA_SIZE, false, 0 },	  { PENDING_BYTES, false, 0 },
	{ DATA_SIZE, false, 0 },     { PENDING_BYTES, false, 0 }, { DATA_SIZE, false, 0 },
	{ PENDING_BYTES, false, 0 }, { DEVICE_STATE, true, 0 },
};

/* One step, and once more if it failed; the data that it brought. Returns what it answered first.
 */
static int do_step(struct client *c, size_t i, bool *dead)
{
	uint64_t value;
	int ret = script[i].write ? try_write(c->dev, script[i].at, script[i].word)
				  : try_read(c->dev, script[i].at, &value);
	int again = 0;

	if (ret)
		again = script[i].write ? try_write(c->dev, script[i].at, script[i].word)
					: try_read(c->dev, script[i].at, &value);
	*dead |= again != 0;
	if (script[i].at != DATA_SIZE || *dead || !value)
		return ret;
	c->data = realloc(c->data, c->len + value);
	assert_non_null(c->data);
	assert_int_equal(data_read(c->dev, 0, c->data + c->len, value), 0);
	c->len += value;
	return ret;
}

/*
 * Call number @n of the device fails. Whoever asks is told, with the device's own code;
 * asked once more, the front has either lost nothing or says so again. Returns false
 * when there are no more calls.
 */
static bool fails_at(unsigned int n, bool chunks)
{
	struct inner *in = inner_new(ALL_FEATURES, chunks);
	struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_TRAPPED, page_size());
	struct client c = client_of(dev, 0);
	bool dead = false, told = false, reached;
	uint64_t value;

	memcpy(in->first, (size_t[]){ 100, 200 }, 2 * sizeof(size_t));
	memcpy(in->last, (size_t[]){ 30, 40 }, 2 * sizeof(size_t));
	in->max_read = 60;
	in->fail_at = n;
	in->fail_code = -EREMOTEIO;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(script); i++) {
		bool before = in->fail_at != 0;
		int ret = do_step(&c, i, &dead);

		if (ret)
			assert_int_equal(ret, -EREMOTEIO);
		if (before && !in->fail_at) /* by the end of the iteration it is said */
			told = ret != 0;
		if (script[i].write)
			assert_int_equal(vfm_v1_from_v2(in->state).word, script[i].word);
	}
	reached = !in->fail_at;
	assert_true(told || !reached);
	if (!dead) {
		assert_int_equal(try_read(dev, PENDING_BYTES, &value), 0);
		for (size_t i = 0; i < c.len; i++)
			assert_int_equal(c.data[i], inner_byte(1, i));
		assert_int_equal(c.len, 370);
	}
	client_close(&c);
	vfm_device_close(dev);
	inner_free(in);
	return reached;
}

static void every_call_fails(void **state)
{
	(void)state;
	for (int chunks = 0; chunks < 2; chunks++) {
		unsigned int n = 1;

		while (fails_at(n, chunks))
			n++;
		assert_true(n > 15);
	}
}

/* After a failure everything of the session fails, and a new one is as new. */
static void lost_data_is_not_forgotten(void **state)
{
	struct inner *in = inner_new(ALL_FEATURES, false);
	struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_TRAPPED, page_size());
	struct client c = client_of(dev, 0);
	uint64_t value;
	uint8_t byte;

	(void)state;
	in->first[0] = 50;
	in->last[0] = 60;
	set_bits(dev, 3);
	assert_int_equal(client_drain(&c), 50);
	in->fail[INNER_READ] = -ENODATA;
	inner_add(in, 70);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(try_read(dev, PENDING_BYTES, &value), -ENODATA);
		assert_int_equal(try_read(dev, DATA_OFFSET, &value), -ENODATA);
		assert_int_equal(reg_read(dev, DATA_SIZE), 0);
		assert_int_equal(vfm_device_read_data(dev, &byte, 1, NULL), -ENODATA);
	}
	set_bits(dev, 2);
	assert_int_equal(try_read(dev, PENDING_BYTES, &value), -ENODATA);
	set_bits(dev, 0);
	set_bits(dev, 2);
	client_close(&c);
	assert_int_equal(client_drain(&c), 60);
	assert_bytes(&c, in);
	/* "nothing now" is no end, and would pass for one */
	in->nomsg_at_end = true;
	set_bits(dev, 1);
	set_bits(dev, 2);
	client_close(&c);
	assert_true(reg_read(dev, PENDING_BYTES) > 0);
	assert_int_equal(client_take(&c), 60);
	assert_int_equal(try_read(dev, PENDING_BYTES, &value), -EPROTO);
	client_close(&c);
	vfm_device_close(dev);
	inner_free(in);
}

/* ---- calls --------------------------------------------------------------------------------------
 */

struct budget {
	unsigned int state, reads, questions;
};

static void assert_calls(struct inner *in, struct budget want)
{
	assert_int_equal(in->calls[INNER_GET_STATE], want.state);
	assert_int_equal(in->calls[INNER_READ], want.reads);
	assert_int_equal(in->calls[INNER_INFO] + in->calls[INNER_SIZE], want.questions);
	memset(in->calls, 0, sizeof(in->calls));
}

/* Over a bridge each of these is a round trip. */
static void calls_are_few(void **state)
{
	struct inner *in = inner_new(ALL_FEATURES, true);
	struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_TRAPPED, page_size());
	uint8_t byte;

	(void)state;
	in->first[0] = in->last[0] = 9;
	assert_calls(in, (struct budget){ 1, 0, 0 }); /* to open */
	reg_read(dev, DEVICE_STATE);
	assert_calls(in, (struct budget){ 1, 0, 0 });
	reg_write(dev, DEVICE_STATE, 3);
	assert_calls(in, (struct budget){ 1, 0, 0 });
	reg_read(dev, PENDING_BYTES);
	assert_calls(in, (struct budget){ 0, 1, 1 });
	reg_read(dev, PENDING_BYTES);
	assert_calls(in, (struct budget){ 0, 0, 1 });
	reg_read(dev, DATA_OFFSET);
	reg_read(dev, DATA_SIZE);
	assert_int_equal(data_read(dev, 0, &byte, 1), 0);
	assert_calls(in, (struct budget){ 0, 0, 0 });
	reg_read(dev, PENDING_BYTES);
	assert_calls(in, (struct budget){ 0, 1, 0 });
	reg_write(dev, DEVICE_STATE, 2);
	reg_read(dev, PENDING_BYTES);
	assert_calls(in, (struct budget){ 1, 1, 1 });
	reg_read(dev, DATA_SIZE);
	reg_read(dev, PENDING_BYTES);
	assert_calls(in, (struct budget){ 0, 1, 0 });
	reg_read(dev, PENDING_BYTES); /* finished is finished */
	assert_calls(in, (struct budget){ 0, 0, 0 });
	reg_write(dev, DEVICE_STATE, 1);
	reg_write(dev, DEVICE_STATE, 4);
	assert_calls(in, (struct budget){ 2, 0, 0 });
	assert_int_equal(data_write(dev, 0, &byte, 1), 0);
	reg_write(dev, DATA_SIZE, 1);
	assert_calls(in, (struct budget){ 0, 0, 0 });
	vfm_device_close(dev);
	inner_free(in);
}

static void without_estimates(void **state)
{
	struct inner *in = inner_new(ALL_FEATURES, true);
	struct vfm_device *dev = open_front(&in->dev, VFM_SECTION_TRAPPED, page_size());

	(void)state;
	in->no_info = true;
	in->first[0] = in->first[1] = in->last[0] = 9;
	set_bits(dev, 3);
	assert_int_equal(reg_read(dev, PENDING_BYTES), 9);
	set_bits(dev, 2);
	assert_int_equal(reg_read(dev, PENDING_BYTES), 9);
	vfm_device_close(dev);
	inner_free(in);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(repeats_change_nothing),
		cmocka_unit_test(data_offset_comes_first),
		cmocka_unit_test(zero_and_again),
		cmocka_unit_test(state_changes_in_an_iteration),
		cmocka_unit_test(chunks_stay_whole),
		cmocka_unit_test(a_chunk_that_does_not_fit),
		cmocka_unit_test(every_call_fails),
		cmocka_unit_test(lost_data_is_not_forgotten),
		cmocka_unit_test(calls_are_few),
		cmocka_unit_test(without_estimates),
	};

	return RUN_TESTS(tests);
}
