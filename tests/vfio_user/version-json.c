// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* VERSION: what real peers say is understood, what nobody can mean is refused. */

#include "util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"
#include "vfio_user/vfio_user.h"

/* The payload in memory of its own size, so that a sanitizer sees a byte too far. */
static int parse(struct vfm_vu_caps *caps, uint16_t major, uint16_t minor, const char *json,
		 size_t json_len, struct vfm_err *err)
{
	uint8_t *payload = malloc(4 + json_len);
	int ret;

	assert_non_null(payload);
	memcpy(payload, &major, 2);
	memcpy(payload + 2, &minor, 2);
	if (json_len)
		memcpy(payload + 4, json, json_len);
	ret = vfm_vu_caps_parse(caps, payload, 4 + json_len, err);
	free(payload);
	return ret;
}

#define CAPS(text) "{\"capabilities\":{" text "}}"

static void good(void **state)
{
	static const struct {
		const char *json;
		uint32_t max_fds;
		uint64_t max_xfer;
		uint32_t max_dma_maps;
		uint64_t pgsizes;
		bool write_multiple, twin_socket;
		uint32_t extension;
	} rows[] = {
		{ NULL, 1, 1 << 20, 65535, 4096, false, false, 0 },
		{ "", 1, 1 << 20, 65535, 4096, false, false, 0 },
		{ "{}", 1, 1 << 20, 65535, 4096, false, false, 0 },
		{ "{\"other\":[1,2,{}]}", 1, 1 << 20, 65535, 4096, false, false, 0 },
		{ CAPS(""), 1, 1 << 20, 65535, 4096, false, false, 0 },
		{ CAPS("\"max_msg_fds\":0"), 0, 1 << 20, 65535, 4096, false, false, 0 },
		{ CAPS("\"max_msg_fds\":1024"), 1024, 1 << 20, 65535, 4096, false, false, 0 },
		{ CAPS("\"max_data_xfer_size\":8"), 1, 8, 65535, 4096, false, false, 0 },
		{ CAPS("\"max_data_xfer_size\":9223372036854775807"), 1, INT64_MAX, 65535, 4096,
		  false, false, 0 },
		{ CAPS("\"write_multiple\":false,\"unknown\":\"x\""), 1, 1 << 20, 65535, 4096,
		  false, false, 0 },
		{ CAPS("\"vfmig\":{\"version\":3,\"more\":1}"), 1, 1 << 20, 65535, 4096, false,
		  false, 3 },
		{ CAPS("\"vfmig\":{}"), 1, 1 << 20, 65535, 4096, false, false, 0 },
		/* the server library of the field, with a migration and a twin socket */
		{ "{ \"capabilities\": { \"max_msg_fds\": 8, \"max_data_xfer_size\": 1048576, "
		  "\"migration\": { \"pgsize\": 4096 }, \"twin_socket\": { \"supported\": true, "
		  "\"fd_index\": 0 } } }",
		  8, 1 << 20, 65535, 4096, false, true, 0 },
		/* the newest client of the field */
		{ CAPS("\"migration\":{\"pgsize\":4096,\"max_bitmap_size\":268435456},"
		       "\"max_msg_fds\":16,\"max_data_xfer_size\":1048576,\"pgsizes\":4096,"
		       "\"max_dma_maps\":65535,\"write_multiple\":true"),
		  16, 1 << 20, 65535, 4096, true, false, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		const char *json = rows[i].json;
		struct vfm_vu_caps caps;

		assert_int_equal(parse(&caps, 0, 2, json, json ? strlen(json) + 1 : 0, NULL), 0);
		assert_int_equal(caps.major, 0);
		assert_int_equal(caps.minor, 2);
		assert_int_equal(caps.max_fds, rows[i].max_fds);
		assert_int_equal(caps.max_xfer, rows[i].max_xfer);
		assert_int_equal(caps.max_dma_maps, rows[i].max_dma_maps);
		assert_int_equal(caps.pgsizes, rows[i].pgsizes);
		assert_int_equal(caps.write_multiple, rows[i].write_multiple);
		assert_int_equal(caps.twin_socket, rows[i].twin_socket);
		assert_int_equal(caps.extension, rows[i].extension);
	}
}

/* Pages of the dirty log of v1: nobody fails over them. */
static void pages_of_v1(void **state)
{
	static const struct {
		const char *json;
		uint64_t pgsize;
	} rows[] = {
		{ CAPS(""), 0 },
		{ CAPS("\"migration\":{}"), 0 },
		{ CAPS("\"migration\":{\"pgsize\":4096}"), 4096 },
		{ CAPS("\"migration\":{\"pgsize\":65536,\"max_bitmap_size\":1}"), 65536 },
		{ CAPS("\"migration\":{\"pgsize\":0}"), 0 },
		{ CAPS("\"migration\":{\"pgsize\":-4096}"), 0 },
		{ CAPS("\"migration\":{\"pgsize\":\"4096\"}"), 0 },
		{ CAPS("\"migration\":{\"pgsize\":[]}"), 0 },
		{ CAPS("\"migration\":true"), 0 },
		{ CAPS("\"migration\":null"), 0 },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct vfm_vu_caps caps;

		assert_int_equal(parse(&caps, 0, 2, rows[i].json, strlen(rows[i].json) + 1, NULL),
				 0);
		assert_int_equal(caps.v1_pgsize, rows[i].pgsize);
	}
}

static void bad(void **state)
{
	static const char *const rows[] = {
		"{",
		"[]",
		"3",
		"nonsense",
		"{}x",
		"null",
		"{\"capabilities\":3}",
		"{\"capabilities\":[]}",
		"{\"capabilities\":null}",
		CAPS("\"max_msg_fds\":-1"),
		CAPS("\"max_msg_fds\":1025"),
		CAPS("\"max_msg_fds\":\"8\""),
		CAPS("\"max_msg_fds\":1.5"),
		CAPS("\"max_msg_fds\":true"),
		CAPS("\"max_msg_fds\":null"),
		CAPS("\"max_data_xfer_size\":-1"),
		CAPS("\"max_data_xfer_size\":0"),
		CAPS("\"max_data_xfer_size\":7"),
		CAPS("\"max_data_xfer_size\":9223372036854775808"),
		CAPS("\"max_dma_maps\":4294967296"),
		CAPS("\"pgsizes\":0"),
		CAPS("\"pgsizes\":{}"),
		CAPS("\"write_multiple\":1"),
		CAPS("\"twin_socket\":true"),
		CAPS("\"twin_socket\":{\"supported\":1}"),
		CAPS("\"vfmig\":1"),
		CAPS("\"vfmig\":{\"version\":-1}"),
		CAPS("\"vfmig\":{\"version\":\"1\"}"),
	};
	struct vfm_vu_caps caps;
	struct vfm_err err;
	size_t i;

	(void)state;
	for (i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		err.msg[0] = 0;
		assert_int_equal(parse(&caps, 0, 0, rows[i], strlen(rows[i]) + 1, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "version: "));
	}
	/* without its zero; and any cut of it */
	for (i = 1; i <= strlen(rows[9]); i++)
		assert_int_equal(parse(&caps, 0, 0, rows[9], i, NULL), -EINVAL);
}

static void numbers(void **state)
{
	struct vfm_vu_caps caps;
	uint8_t *one;
	size_t i;

	(void)state;
	assert_int_equal(parse(&caps, 1, 0, NULL, 0, NULL), -EPROTO);
	assert_int_equal(parse(&caps, 0, 65535, NULL, 0, NULL), 0);
	assert_int_equal(caps.minor, 65535);
	for (i = 0; i < 4; i++) {
		one = calloc(1, i ? i : 1);
		assert_int_equal(vfm_vu_caps_parse(&caps, one, i, NULL), -EINVAL);
		free(one);
	}
}

static void check_same(const struct vfm_vu_caps *a, const struct vfm_vu_caps *b)
{
	assert_int_equal(a->major, b->major);
	assert_int_equal(a->minor, b->minor);
	assert_int_equal(a->max_fds, b->max_fds);
	assert_int_equal(a->max_xfer, b->max_xfer);
	assert_int_equal(a->max_dma_maps, b->max_dma_maps);
	assert_int_equal(a->pgsizes, b->pgsizes);
	assert_int_equal(a->write_multiple, b->write_multiple);
	assert_int_equal(a->twin_socket, b->twin_socket);
	assert_int_equal(a->extension, b->extension);
	assert_int_equal(a->v1_pgsize, b->v1_pgsize);
}

static void round_trip(void **state)
{
	struct vfm_vu_caps caps, back;
	uint8_t payload[4096];
	ssize_t len;
	size_t room;

	(void)state;
	vfm_vu_caps_defaults(&caps);
	len = vfm_vu_caps_format(&caps, payload, sizeof(payload), NULL);
	assert_true(len > 0);
	assert_int_equal(payload[len - 1], 0);
	assert_int_equal(vfm_vu_caps_parse(&back, payload, (size_t)len, NULL), 0);
	check_same(&caps, &back);

	caps.minor = 2;
	caps.max_fds = 16;
	caps.max_xfer = 16 << 20;
	caps.max_dma_maps = 1000;
	caps.pgsizes = 0x201000;
	caps.write_multiple = true;
	caps.twin_socket = true;
	caps.extension = 1;
	caps.v1_pgsize = 4096;
	len = vfm_vu_caps_format(&caps, payload, sizeof(payload), NULL);
	assert_true(len > 0);
	assert_int_equal(strlen((char *)payload + 4), len - 5);
	assert_int_equal(vfm_vu_caps_parse(&back, payload, (size_t)len, NULL), 0);
	check_same(&caps, &back);
	for (room = 0; room < (size_t)len; room++) {
		uint8_t *tight = malloc(room ? room : 1);

		assert_int_equal(vfm_vu_caps_format(&caps, tight, room, NULL), -ENOSPC);
		free(tight);
	}
	assert_int_equal(vfm_vu_caps_format(&caps, payload, (size_t)len, NULL), len);
}

/* A client of the field refuses a reply that is longer than its own request of 193 characters. */
static void short_reply(void **state)
{
	struct vfm_vu_caps caps;
	uint8_t payload[4096];

	(void)state;
	vfm_vu_caps_defaults(&caps);
	caps.max_fds = VFM_VU_MAX_FDS;
	caps.write_multiple = true;
	caps.v1_pgsize = 65536;
	assert_in_range(vfm_vu_caps_format(&caps, payload, sizeof(payload), NULL), 5, 193);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),	       cmocka_unit_test(bad),
		cmocka_unit_test(numbers),     cmocka_unit_test(round_trip),
		cmocka_unit_test(short_reply), cmocka_unit_test(pages_of_v1),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
