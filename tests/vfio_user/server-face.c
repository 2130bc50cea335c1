// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Which protocol a client is shown, and the migration region over messages: where it is,
 * and data that is written to it, however it arrives.
 */

#include "server-peer.h"

#include <errno.h>
#include <stdlib.h>

#include <vfmig/v1.h>

#include "abi/vfio.h"
#include "base/util.h"
#include "random.h"

#define SECTION 4096u /* where the data is */
#define SECTION_SIZE (16u << 20)
#define FIXED (VFM_VU_HEADER_SIZE + VFM_VU_REGION_ACCESS_SIZE)

static const enum vfm_face faces[] = { VFM_FACE_V2, VFM_FACE_V1, VFM_FACE_BOTH };

static void open_face(struct env *e, enum vfm_face face, const char *json)
{
	env_open_face(e, face);
	env_join(e, json);
}

static bool shows_v1(enum vfm_face face)
{
	return face != VFM_FACE_V2;
}

/* The number of regions without that of v1: the device of these tests is no PCI device or a small
 * one. */
static uint32_t index_of(struct env *e)
{
	struct bytes b = { .len = 0 };

	put32(&b, VFM_VU_INFO_SIZE);
	put32(&b, 0);
	put64(&b, 0);
	assert_int_equal(call(e, VFM_VU_DEVICE_GET_INFO, &b), 0);
	return get32(&e->reply, 8) - 1;
}

static uint32_t region_info(struct env *e, uint32_t index, uint32_t argsz)
{
	struct bytes b = { .len = 0 };

	put32(&b, argsz);
	put32(&b, 0);
	put32(&b, index);
	put32(&b, 0);
	put64(&b, 0);
	put64(&b, 0);
	return call(e, VFM_VU_DEVICE_GET_REGION_INFO, &b);
}

static void the_region(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(faces); i++) {
		struct env e;
		uint32_t index;

		open_face(&e, faces[i], STANDARD);
		index = index_of(&e);
		assert_int_equal(region_info(&e, index + 1, 1000), EINVAL);
		assert_int_equal(region_info(&e, index, 1000), 0);
		if (shows_v1(faces[i])) {
			assert_int_equal(index, VFM_MAX(TEST_NR_REGIONS, VFM_PCI_NR_REGIONS));
			assert_int_equal(get32(&e.reply, 0), 48);
			assert_int_equal(get32(&e.reply, 4),
					 VFM_REGION_READ | VFM_REGION_WRITE | VFM_REGION_FLAG_CAPS);
			assert_int_equal(get32(&e.reply, 12), 32);
			assert_int_equal(get64(&e.reply, 16), SECTION + SECTION_SIZE);
			/* id and version, next, type, subtype */
			assert_int_equal(get32(&e.reply, 32), VFM_REGION_CAP_TYPE | 1 << 16);
			assert_int_equal(get32(&e.reply, 36), 0);
			assert_int_equal(get32(&e.reply, 40), VFM_V1_REGION_TYPE);
			assert_int_equal(get32(&e.reply, 44), VFM_V1_REGION_SUBTYPE);
		} else {
			assert_int_equal(index, TEST_NR_REGIONS - 1);
		}
		env_close(&e);
	}
}

/* A GET of whatever it has, 600 bytes at most, and a PROBE. */
static void check_feature(struct env *e, uint32_t index, bool there)
{
	assert_int_equal(feature(e, index | VFM_FEATURE_PROBE, 8, NULL), there ? 0 : ENOTTY);
	assert_int_equal(feature(e, index | VFM_FEATURE_GET, 608, NULL) != ENOTTY, there);
}

static void features_and_commands(void **state)
{
	static const uint32_t of_v2[] = {
		VFM_FEATURE_MIGRATION,		VFM_FEATURE_MIG_DEVICE_STATE,
		VFM_FEATURE_DMA_LOGGING_START,	VFM_FEATURE_DMA_LOGGING_STOP,
		VFM_FEATURE_DMA_LOGGING_REPORT,
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(faces); i++) {
		bool v2 = faces[i] != VFM_FACE_V1;
		struct bytes b = { .len = 0 };
		struct env e;

		open_face(&e, faces[i], EXTENDED);
		for (size_t f = 0; f < VFM_ARRAY_SIZE(of_v2); f++)
			check_feature(&e, of_v2[f], v2);
		/* what belongs to no protocol is there in both */
		check_feature(&e, VFM_VU_EXT_ORPHAN, true);
		put32(&b, 8 + 16);
		put32(&b, 16);
		/* not now, or not at all */
		assert_int_equal(call(&e, VFM_VU_MIG_DATA_READ, &b), v2 ? EINVAL : ENOTTY);
		assert_int_equal(call(&e, VFM_VU_MIG_DATA_WRITE, &b), v2 ? EINVAL : ENOTTY);
		assert_int_equal(set_state(&e, VFM_STATE_STOP), v2 ? 0 : ENOTTY);
		assert_int_equal(e.t->state, v2 ? VFM_STATE_STOP : VFM_STATE_RUNNING);
		env_close(&e);
	}
}

/* ---- accesses ------------------------------------------------------------------------ */

static uint32_t write_region(struct env *e, uint64_t offset, const void *data, uint32_t len)
{
	struct bytes b = { .len = 0 };

	put64(&b, offset);
	put32(&b, index_of(e));
	put32(&b, len);
	memcpy(b.mem + b.len, data, len);
	b.len += len;
	return call(e, VFM_VU_REGION_WRITE, &b);
}

static uint32_t write_word(struct env *e, uint32_t word)
{
	return write_region(e, VFM_V1_DEVICE_STATE, &word, sizeof(word));
}

static uint64_t read_register(struct env *e, uint64_t offset, uint32_t width)
{
	struct bytes b = { .len = 0 };

	put64(&b, offset);
	put32(&b, index_of(e));
	put32(&b, width);
	assert_int_equal(call(e, VFM_VU_REGION_READ, &b), 0);
	assert_int_equal(e->reply.size, VFM_VU_REGION_ACCESS_SIZE + width);
	return width == 4 ? get32(&e->reply, 16) : get64(&e->reply, 16);
}

static void save_by_messages(void **state)
{
	struct bytes b = { .len = 0 };
	struct env e;

	(void)state;
	open_face(&e, VFM_FACE_V1, STANDARD);
	e.t->data_size = TEST_DATA_SIZE;
	assert_int_equal(write_word(&e, 2), 0);
	assert_int_equal(e.t->state, VFM_STATE_STOP_COPY);
	assert_true(read_register(&e, VFM_V1_PENDING_BYTES, 8) >= TEST_DATA_SIZE);
	assert_int_equal(read_register(&e, VFM_V1_DATA_OFFSET, 8), SECTION);
	assert_int_equal(read_register(&e, VFM_V1_DATA_SIZE, 8), TEST_DATA_SIZE);
	/* all of it in one message, which goes out from where it stands */
	put64(&b, SECTION);
	put32(&b, index_of(&e));
	put32(&b, TEST_DATA_SIZE);
	assert_int_equal(call(&e, VFM_VU_REGION_READ, &b), 0);
	assert_int_equal(e.reply.size, VFM_VU_REGION_ACCESS_SIZE + TEST_DATA_SIZE);
	assert_memory_equal(e.reply.payload, b.mem, VFM_VU_REGION_ACCESS_SIZE);
	for (size_t i = 0; i < TEST_DATA_SIZE; i++)
		assert_int_equal(e.reply.payload[VFM_VU_REGION_ACCESS_SIZE + i], test_data_byte(i));
	/* a byte more than there is, and one beyond the region */
	memcpy(b.mem + 12, &(uint32_t){ TEST_DATA_SIZE + 1 }, 4);
	assert_int_equal(call(&e, VFM_VU_REGION_READ, &b), EINVAL);
	memcpy(b.mem, &(uint64_t){ SECTION + SECTION_SIZE }, 8);
	memcpy(b.mem + 12, &(uint32_t){ 1 }, 4);
	assert_int_equal(call(&e, VFM_VU_REGION_READ, &b), EINVAL);
	assert_int_equal(read_register(&e, VFM_V1_PENDING_BYTES, 8), 0);
	assert_int_equal(write_word(&e, 1), 0);
	env_close(&e);
}

/* A write of @len bytes of data to @offset of the region, as bytes. */
static uint8_t *make_write(struct env *e, uint16_t id, uint64_t offset, uint32_t len)
{
	uint8_t *raw = malloc(FIXED + len);
	uint32_t index = index_of(e);

	assert_non_null(raw);
	test_put_header(raw, id, VFM_VU_REGION_WRITE, FIXED + len, 0, 0);
	memcpy(raw + VFM_VU_HEADER_SIZE, &offset, 8);
	memcpy(raw + VFM_VU_HEADER_SIZE + 8, &index, 4);
	memcpy(raw + VFM_VU_HEADER_SIZE + 12, &len, 4);
	for (size_t i = 0; i < len; i++)
		raw[FIXED + i] = test_data_byte(i);
	return raw;
}

/* In @pieces at random places, the server at work between them. */
static void give_in_pieces(struct env *e, const uint8_t *raw, size_t len, unsigned int pieces,
			   uint64_t *seed)
{
	size_t at = 0;

	for (unsigned int i = 1; i <= pieces && at < len; i++) {
		size_t left = len - at;
		size_t n = i == pieces ? left : 1 + test_random_below(seed, left);

		while (n) {
			/* no more than a socket takes at once */
			size_t part = VFM_MIN(n, (size_t)100000);

			test_send_raw(vfm_vu_conn_fd(e->conn), raw + at, part, NULL, 0);
			env_pump(e);
			at += part;
			n -= part;
		}
	}
}

static uint32_t reply_to(struct env *e, uint16_t id)
{
	assert_int_equal(vfm_vu_conn_recv(e->conn, &e->reply, NULL, NULL), 1);
	assert_int_equal(e->reply.id, id);
	assert_int_equal(e->reply.command, VFM_VU_REGION_WRITE);
	vfm_vu_msg_close_fds(&e->reply);
	return e->reply.error;
}

static void load_however_it_arrives(void **state)
{
	static const uint32_t sizes[] = { 1,	 4096,	 32767,	 32768,	 32768 + 16,
					  65536, 100001, 262144, 280000, TEST_DATA_SIZE };
	uint64_t seed = 11;
	struct env e;

	(void)state;
	open_face(&e, VFM_FACE_V1, STANDARD);
	for (int round = 0; round < 300; round++) {
		uint32_t size = sizes[round % VFM_ARRAY_SIZE(sizes)];
		uint8_t *raw = make_write(&e, 500, SECTION, size);
		uint64_t wide = size;

		assert_int_equal(write_word(&e, 4), 0);
		e.t->data_at = 0;
		memset(e.t->written, 0, TEST_DATA_SIZE);
		give_in_pieces(&e, raw, FIXED + size, 1 + (unsigned int)round % 7, &seed);
		assert_int_equal(reply_to(&e, 500), 0);
		assert_int_equal(e.reply.size, VFM_VU_REGION_ACCESS_SIZE);
		assert_memory_equal(e.reply.payload, raw + VFM_VU_HEADER_SIZE,
				    VFM_VU_REGION_ACCESS_SIZE);
		assert_int_equal(e.t->data_at, 0);
		assert_int_equal(write_region(&e, VFM_V1_DATA_SIZE, &wide, sizeof(wide)), 0);
		assert_int_equal(e.t->data_at, size);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(e.t->written[i], test_data_byte(i));
		assert_int_equal(write_word(&e, 1), 0);
		free(raw);
	}
	env_close(&e);
}

/* What is refused is let pass to its end, and the next message is understood. */
static void refused_in_pieces(void **state)
{
	static const struct {
		uint32_t word;
		uint64_t offset;
	} wrong[] = {
		{ 1, SECTION },			      /* not in RESUMING */
		{ 4, SECTION + SECTION_SIZE - 1000 }, /* beyond the end */
		{ 4, SECTION + SECTION_SIZE },
		{ 4, 64 }, /* from no data into it */
		{ 4, UINT64_MAX - 100 },
	};
	uint64_t seed = 13;
	struct env e;

	(void)state;
	open_face(&e, VFM_FACE_BOTH, STANDARD);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(wrong); i++)
		for (unsigned int pieces = 1; pieces < 6; pieces++) {
			uint8_t *raw = make_write(&e, 501, wrong[i].offset, 200000);

			assert_int_equal(write_word(&e, wrong[i].word), 0);
			give_in_pieces(&e, raw, FIXED + 200000, pieces, &seed);
			assert_int_equal(reply_to(&e, 501), EINVAL);
			assert_int_equal(read_register(&e, VFM_V1_DEVICE_STATE, 4), wrong[i].word);
			assert_int_equal(write_word(&e, 1), 0);
			free(raw);
		}
	env_close(&e);
}

/* A client that dies with half a chunk on its way leaves a server that serves. */
static void lost_in_pieces(void **state)
{
	struct env e;

	(void)state;
	open_face(&e, VFM_FACE_V1, STANDARD);
	for (uint32_t cut = 1; cut < 200000; cut += 33333) {
		uint8_t *raw = make_write(&e, 502, SECTION, 200000);

		assert_int_equal(write_word(&e, 4), 0);
		test_send_raw(vfm_vu_conn_fd(e.conn), raw, FIXED + cut, NULL, 0);
		env_pump(&e);
		env_leave(&e);
		free(raw);
		env_join(&e, STANDARD);
		assert_int_equal(read_register(&e, VFM_V1_DEVICE_STATE, 4), 4);
		assert_int_equal(write_word(&e, 1), 0);
	}
	env_close(&e);
}

/* Its last will is done in v1 as in v2. */
static void orphan(void **state)
{
	struct env e;

	(void)state;
	for (uint32_t policy = VFM_ORPHAN_KEEP; policy <= VFM_ORPHAN_RUN; policy++) {
		struct bytes b = { .len = 0 };

		open_face(&e, VFM_FACE_V1, EXTENDED);
		put32(&b, policy);
		put32(&b, 0);
		assert_int_equal(feature(&e, VFM_VU_EXT_ORPHAN | VFM_FEATURE_SET, 16, &b), 0);
		assert_int_equal(write_word(&e, 2), 0);
		env_leave(&e);
		assert_int_equal(e.t->state, policy == VFM_ORPHAN_RUN ? VFM_STATE_RUNNING
								      : VFM_STATE_STOP_COPY);
		env_join(&e, EXTENDED);
		assert_int_equal(read_register(&e, VFM_V1_DEVICE_STATE, 4),
				 policy == VFM_ORPHAN_RUN ? 1 : 2);
		env_close(&e);
	}
}

static void options(void **state)
{
	struct test_device *t = test_device_new();
	struct vfm_server *server;
	struct vfm_err err;

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct vfm_server_opts opts =
			VFM_SERVER_OPTS(.path = "/nowhere/x", .face = VFM_FACE_V1);
		int want = -EINVAL;

		if (i == 0)
			opts.face = (enum vfm_face)3;
		else if (i == 1)
			opts.section = (enum vfm_section)3;
		else if (i == 2)
			opts.section_size = 5000;
		else
			want = -ENOENT;
		assert_int_equal(vfm_server_new(&server, &t->dev, &opts, &err), want);
	}
	vfm_device_close(&t->dev);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_region),
		cmocka_unit_test(features_and_commands),
		cmocka_unit_test(save_by_messages),
		cmocka_unit_test(load_however_it_arrives),
		cmocka_unit_test(refused_in_pieces),
		cmocka_unit_test(lost_in_pieces),
		cmocka_unit_test(orphan),
		cmocka_unit_test(options),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
