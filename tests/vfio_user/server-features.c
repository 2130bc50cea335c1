// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* DEVICE_FEATURE and the data session: the kernel's rules, the extension and its absence. */

#include "server-peer.h"

#include <errno.h>
#include <stdlib.h>

#include "abi/vfio.h"
#include "base/bitmap.h"
#include "base/util.h"

#define GET VFM_FEATURE_GET
#define SET VFM_FEATURE_SET
#define PROBE VFM_FEATURE_PROBE

static int setup(void **state)
{
	struct env *e = malloc(sizeof(*e));

	env_open(e);
	env_join(e, EXTENDED);
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	env_close(*state);
	free(*state);
	return 0;
}

static void rejoin(struct env *e, const char *json)
{
	env_leave(e);
	env_join(e, json);
}

/* What exists, in which direction, and how many bytes behind the envelope. */
static const struct {
	uint16_t index;
	bool extension;
	int get, set; /* -1: not that way */
} table[] = {
	{ VFM_FEATURE_MIGRATION, false, 8, -1 },
	{ VFM_FEATURE_MIG_DEVICE_STATE, false, 8, 8 },
	{ VFM_FEATURE_DMA_LOGGING_START, false, -1, 16 },
	{ VFM_FEATURE_DMA_LOGGING_STOP, false, -1, 0 },
	{ VFM_FEATURE_DMA_LOGGING_REPORT, false, 24, -1 },
	{ VFM_FEATURE_MIG_DATA_SIZE, true, 8, -1 },
	{ VFM_VU_EXT_PRECOPY_INFO, true, 24, -1 },
	{ VFM_VU_EXT_ORPHAN, true, -1, 8 },
	{ VFM_VU_EXT_COMPAT, true, 592, -1 },
};

static void envelope(void **state)
{
	struct env *e = *state;

	for (uint32_t argsz = 0; argsz < 8; argsz++)
		assert_int_equal(feature(e, PROBE | 1, argsz, NULL), EINVAL);
	for (int bit = 19; bit < 32; bit++)
		assert_int_equal(feature(e, GET | 1 | 1u << bit, 16, NULL), EINVAL);
	assert_int_equal(feature(e, GET | SET | 2, 16, NULL), EINVAL);
	assert_int_equal(feature(e, GET | SET | PROBE | 2, 16, NULL), 0);
	assert_int_equal(feature(e, 2, 16, NULL), EINVAL);
	/* nonsense that does not exist: the envelope first */
	assert_int_equal(feature(e, GET | SET | 99, 16, NULL), EINVAL);
	assert_int_equal(feature(e, 99, 16, NULL), ENOTTY);
}

/* Every index there can be, in every direction. */
static void every_index(void **state)
{
	static const uint32_t ways[] = { PROBE, PROBE | GET, PROBE | SET, 0 };
	struct env *e = *state;

	for (int ext = 1; ext >= 0; ext--) {
		rejoin(e, ext ? EXTENDED : STANDARD);
		for (uint32_t index = 0; index <= 0xffff; index += index == 32 ? 0xefc0 : 1) {
			int row = -1;

			for (size_t i = 0; i < VFM_ARRAY_SIZE(table); i++)
				if (table[i].index == index && (ext || !table[i].extension))
					row = (int)i;
			for (size_t w = 0; w < VFM_ARRAY_SIZE(ways); w++) {
				bool wrong = row >= 0 &&
					     ((ways[w] & GET && table[row].get < 0) ||
					      (ways[w] & SET && table[row].set < 0) || !ways[w]);
				uint32_t want = row < 0 ? ENOTTY : wrong ? EINVAL : 0;

				assert_int_equal(feature(e, index | ways[w], 8, NULL), want);
				if (!want) {
					assert_int_equal(e->reply.size, 8);
					assert_int_equal(get32(&e->reply, 4), index | ways[w]);
				}
			}
		}
	}
}

static void too_small(void **state)
{
	struct env *e = *state;

	for (size_t i = 0; i < VFM_ARRAY_SIZE(table); i++) {
		uint32_t get = table[i].index | GET, set = table[i].index | SET;
		struct bytes b = { .len = 0 };

		for (int size = 0; size < table[i].get; size++)
			assert_int_equal(feature(e, get, 8 + (uint32_t)size, NULL), EINVAL);
		for (int size = 0; size < table[i].set; size++) {
			b.len = (size_t)table[i].set;
			assert_int_equal(feature(e, set, 8 + (uint32_t)size, &b), EINVAL);
			b.len = (size_t)size;
			assert_int_equal(feature(e, set, 4096, &b), EINVAL);
		}
	}
	assert_int_equal(e->t->set_states, 0);
	assert_int_equal(e->t->log_page_size, 0);
}

static uint32_t get_state(struct env *e)
{
	assert_int_equal(feature(e, GET | 2, 16, NULL), 0);
	assert_int_equal(e->reply.size, 16);
	assert_int_equal(get32(&e->reply, 0), 16);
	assert_int_equal(get32(&e->reply, 4), GET | 2);
	assert_int_equal(get32(&e->reply, 12), UINT32_MAX);
	return get32(&e->reply, 8);
}

static void states(void **state)
{
	struct env *e = *state;

	assert_int_equal(feature(e, GET | 1, 16, NULL), 0);
	assert_int_equal(get64(&e->reply, 8), 7);
	for (uint32_t to = 0; to < 12; to++) {
		bool legal = to >= VFM_STATE_STOP && to <= VFM_STATE_PRE_COPY_P2P;

		e->t->state = VFM_STATE_RUNNING;
		assert_int_equal(set_state(e, to), legal ? 0 : EINVAL);
		assert_int_equal(e->t->state, legal ? to : VFM_STATE_RUNNING);
		if (!legal)
			continue;
		assert_int_equal(e->reply.size, 16);
		assert_int_equal(get32(&e->reply, 4), SET | 2);
		assert_int_equal(get32(&e->reply, 8), to);
		assert_int_equal(get_state(e), to);
	}
	assert_int_equal(set_state(e, UINT32_MAX), EINVAL);
	e->t->fail = -EIO;
	assert_int_equal(set_state(e, VFM_STATE_STOP), EIO);
}

/* Without the extension there is no P2P, though the device has it. */
static void states_without_p2p(void **state)
{
	static const uint32_t told[VFM_NR_STATES] = { 0, 1, 2, 3, 4, 2, 6, 6 };
	struct env *e = *state;

	rejoin(e, STANDARD);
	assert_int_equal(feature(e, GET | 1, 16, NULL), 0);
	assert_int_equal(get64(&e->reply, 8), VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_PRE_COPY);
	for (uint32_t s = 0; s < VFM_NR_STATES; s++) {
		e->t->state = (enum vfm_state)s;
		assert_int_equal(get_state(e), told[s]);
	}
	e->t->state = VFM_STATE_RUNNING;
	assert_int_equal(set_state(e, VFM_STATE_RUNNING_P2P), EINVAL);
	assert_int_equal(set_state(e, VFM_STATE_PRE_COPY_P2P), EINVAL);
	assert_int_equal(set_state(e, VFM_STATE_ERROR), EINVAL);
	assert_int_equal(e->t->state, VFM_STATE_RUNNING);
	for (uint32_t s = 1; s < VFM_STATE_RUNNING_P2P; s++)
		assert_int_equal(set_state(e, s), 0);
}

static void not_migratable(void **state)
{
	struct env *e = *state;

	e->t->migration = 0;
	e->t->no_log = true;
	assert_int_equal(feature(e, GET | 1, 16, NULL), ENOTTY);
	assert_int_equal(feature(e, PROBE | 1, 16, NULL), ENOTTY);
	assert_int_equal(feature(e, SET | 1, 16, NULL), ENOTTY);
	assert_int_equal(feature(e, PROBE | 2, 16, NULL), ENOTTY);
	assert_int_equal(feature(e, GET | 2, 8, NULL), ENOTTY);
	assert_int_equal(feature(e, PROBE | VFM_VU_EXT_PRECOPY_INFO, 8, NULL), ENOTTY);
	for (uint32_t index = 6; index <= 8; index++)
		assert_int_equal(feature(e, PROBE | index, 8, NULL), ENOTTY);
	assert_int_equal(feature(e, SET | 7, 8, NULL), ENOTTY);
	assert_int_equal(feature(e, SET | 6, 8, NULL), ENOTTY);
	e->t->migration = VFM_MIGRATION_STOP_COPY;
	assert_int_equal(feature(e, PROBE | VFM_VU_EXT_PRECOPY_INFO, 8, NULL), ENOTTY);
}

/* A reply that leaves the server's memory full of @byte. */
static void read_region(struct env *e, int byte)
{
	struct bytes b = { .len = 0 };

	memset(e->t->region, byte, sizeof(e->t->region));
	put64(&b, 0);
	put32(&b, 0);
	put32(&b, 4000);
	assert_int_equal(call(e, VFM_VU_REGION_READ, &b), 0);
}

static void extension(void **state)
{
	struct bytes b = { .len = 0 };
	struct env *e = *state;

	assert_int_equal(feature(e, GET | 9, 16, NULL), 0);
	assert_int_equal(get64(&e->reply, 8), TEST_DATA_SIZE);
	assert_int_equal(feature(e, GET | VFM_VU_EXT_PRECOPY_INFO, 32, NULL), EINVAL);
	e->t->state = VFM_STATE_PRE_COPY;
	assert_int_equal(feature(e, GET | VFM_VU_EXT_PRECOPY_INFO, 32, NULL), 0);
	assert_int_equal(e->reply.size, 32);
	assert_int_equal(get64(&e->reply, 8), 11);
	assert_int_equal(get64(&e->reply, 16), 22);
	assert_int_equal(get32(&e->reply, 24), 1);
	assert_int_equal(get32(&e->reply, 28), 0);
	read_region(e, 0xee);
	assert_int_equal(feature(e, GET | VFM_VU_EXT_COMPAT, 600, NULL), 0);
	assert_int_equal(e->reply.size, 600);
	assert_int_equal(get32(&e->reply, 8), 9);
	assert_int_equal(get32(&e->reply, 12), 4);
	assert_int_equal(get32(&e->reply, 16), VFM_VU_EXT_JUDGES_PARAMS);
	assert_int_equal(get32(&e->reply, 20), 0);
	assert_string_equal((const char *)e->reply.payload + 24, "vfmig,test");
	assert_string_equal((const char *)e->reply.payload + 88, "a=1");
	/* nothing of the server's memory behind the texts */
	for (size_t i = 24 + 10; i < 88; i++)
		assert_int_equal(e->reply.payload[i], 0);
	for (size_t i = 88 + 3; i < 600; i++)
		assert_int_equal(e->reply.payload[i], 0);
	for (uint32_t policy = 0; policy < 5; policy++) {
		b.len = 0;
		put32(&b, policy);
		put32(&b, 0);
		assert_int_equal(feature(e, SET | VFM_VU_EXT_ORPHAN, 16, &b),
				 policy > VFM_ORPHAN_RESET ? EINVAL : 0);
	}
	memset(b.mem, 0, 4);
	b.mem[4] = 1;
	assert_int_equal(feature(e, SET | VFM_VU_EXT_ORPHAN, 16, &b), EINVAL);
}

static uint32_t read_data(struct env *e, uint32_t argsz, uint32_t size)
{
	struct bytes b = { .len = 0 };

	put32(&b, argsz);
	put32(&b, size);
	return call(e, VFM_VU_MIG_DATA_READ, &b);
}

static void check_data(struct env *e, size_t at, size_t n)
{
	assert_int_equal(e->reply.size, 8 + n);
	assert_int_equal(get32(&e->reply, 0), 8 + n);
	assert_int_equal(get32(&e->reply, 4), n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(e->reply.payload[8 + i], test_data_byte(at + i));
}

static void data_read(void **state)
{
	static const size_t pieces[] = { 0, 1000, 65537 };
	struct env *e = *state;

	assert_int_equal(read_data(e, 1008, 1000), EINVAL);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(pieces); i++) {
		size_t at = 0;

		assert_int_equal(set_state(e, VFM_STATE_RUNNING), 0);
		e->t->largest_piece = pieces[i];
		e->t->data_size = 100000;
		assert_int_equal(set_state(e, VFM_STATE_PRE_COPY), 0);
		for (; at < 100000; at += 9999) {
			size_t n = VFM_MIN((size_t)9999, 100000 - at);

			assert_int_equal(read_data(e, 8 + 9999, 9999), 0);
			check_data(e, at, n);
		}
		/* nothing now, and then there is more */
		assert_int_equal(read_data(e, 100, 64), 0);
		check_data(e, 0, 0);
		e->t->data_size = 100064;
		assert_int_equal(read_data(e, 100, 64), 0);
		check_data(e, 100000, 64);
		e->t->data_size = TEST_DATA_SIZE;
		assert_int_equal(set_state(e, VFM_STATE_STOP_COPY), 0);
		assert_int_equal(read_data(e, 1u << 21, 1u << 20), 0);
		check_data(e, 100064, TEST_DATA_SIZE - 100064);
		assert_int_equal(read_data(e, 100, 64), 0);
		check_data(e, 0, 0);
	}
	assert_int_equal(read_data(e, 8 + 63, 64), EINVAL);
	assert_int_equal(read_data(e, 64, 0), EINVAL);
	assert_int_equal(read_data(e, UINT32_MAX, (1u << 20) + 1), E2BIG);
	assert_int_equal(read_data(e, UINT32_MAX, UINT32_MAX), E2BIG);
	assert_int_equal(read_data(e, 0, UINT32_MAX), E2BIG);
	e->t->fail = -EIO;
	assert_int_equal(read_data(e, 100, 64), EIO);
}

/* A message is as large as both sides can take. */
static void negotiated_size(void **state)
{
	struct env *e = *state;

	rejoin(e, "{\"capabilities\":{\"max_data_xfer_size\":4096}}");
	e->t->state = VFM_STATE_STOP_COPY;
	assert_int_equal(read_data(e, 10000, 4096), 0);
	check_data(e, 0, 4096);
	assert_int_equal(read_data(e, 10000, 4097), E2BIG);
	rejoin(e, "{\"capabilities\":{\"max_data_xfer_size\":1073741824}}");
	e->t->data_at = 0;
	assert_int_equal(read_data(e, UINT32_MAX, 16 << 20), 0);
	check_data(e, 0, TEST_DATA_SIZE);
	assert_int_equal(read_data(e, UINT32_MAX, (16 << 20) + 1), E2BIG);
}

static uint32_t write_data(struct env *e, uint32_t size, size_t at, size_t really)
{
	uint32_t fixed[2] = { 8 + size, size };
	uint8_t *payload = malloc(8 + really);
	uint32_t ret;

	memcpy(payload, fixed, 8);
	for (size_t i = 0; i < really; i++)
		payload[8 + i] = test_data_byte(at + i);
	ret = call_fds(e, VFM_VU_MIG_DATA_WRITE, payload, 8 + really, NULL, 0);
	free(payload);
	return ret;
}

static void data_write(void **state)
{
	static const uint32_t sizes[] = { 1, 4096, 32768, 100000, TEST_DATA_SIZE - 136865 };
	struct env *e = *state;
	size_t at = 0;

	assert_int_equal(write_data(e, 4, 0, 4), EINVAL);
	assert_int_equal(set_state(e, VFM_STATE_RESUMING), 0);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(sizes); i++) {
		assert_int_equal(write_data(e, sizes[i], at, sizes[i]), 0);
		assert_int_equal(e->reply.size, 0);
		at += sizes[i];
	}
	assert_int_equal(at, TEST_DATA_SIZE);
	assert_int_equal(e->t->data_at, TEST_DATA_SIZE);
	for (size_t i = 0; i < at; i++)
		assert_int_equal(e->t->written[i], test_data_byte(i));
	assert_int_equal(write_data(e, 4, 0, 3), EINVAL);
	assert_int_equal(write_data(e, 4, 0, 5), EINVAL);
	assert_int_equal(write_data(e, 0, 0, 0), EINVAL);
	assert_int_equal(write_data(e, UINT32_MAX, 0, 5), E2BIG);
	assert_int_equal(write_data(e, (1u << 20) + 1, 0, (1u << 20) + 1), E2BIG);
	e->t->fail = -ENOTUNIQ;
	assert_int_equal(write_data(e, 4, 0, 4), ENOTUNIQ);
}

/* ---- the dirty log ------------------------------------------------------------ */

static uint32_t start_log(struct env *e, uint64_t page_size, uint32_t nr, size_t really)
{
	struct bytes b = { .len = 0 };

	put64(&b, page_size);
	put32(&b, nr);
	put32(&b, 0);
	for (size_t i = 0; i < really; i++) {
		put64(&b, i * 0x10000);
		put64(&b, 0x4000);
	}
	return feature(e, SET | 6, (uint32_t)(8 + b.len), &b);
}

static uint32_t stop_log(struct env *e)
{
	return feature(e, SET | 7, 8, NULL);
}

static void log_start(void **state)
{
	struct env *e = *state;

	assert_int_equal(stop_log(e), EINVAL);
	assert_int_equal(start_log(e, 512, 1, 1), 0);
	assert_int_equal(e->reply.size, 8 + 16 + 16);
	assert_int_equal(get32(&e->reply, 0), 8 + 16 + 16);
	assert_int_equal(get64(&e->reply, 8), 4096); /* chosen */
	assert_int_equal(get32(&e->reply, 16), 1);
	assert_int_equal(e->t->nr_log_ranges, 1);
	assert_int_equal(start_log(e, 4096, 1, 1), EINVAL);
	assert_int_equal(stop_log(e), 0);
	assert_int_equal(e->reply.size, 8);
	assert_int_equal(stop_log(e), EINVAL);
	assert_int_equal(start_log(e, 4096, 256, 256), 0);
	assert_int_equal(e->t->nr_log_ranges, 256);
	assert_int_equal(e->t->log_ranges[255].iova, 255 * 0x10000);
	assert_int_equal(stop_log(e), 0);
	assert_int_equal(start_log(e, 4096, 257, 257), E2BIG);
	assert_int_equal(start_log(e, 4096, UINT32_MAX, 3), E2BIG);
	assert_int_equal(start_log(e, 4096, 2, 1), EINVAL);
	assert_int_equal(start_log(e, 4096, 1, 2), EINVAL);
	assert_int_equal(start_log(e, 4096, 0, 2), EINVAL);
	assert_int_equal(start_log(e, 0, 1, 1), EINVAL);
	assert_int_equal(start_log(e, 3000, 1, 1), EINVAL);
	assert_int_equal(start_log(e, 3000, 0, 0), EINVAL);
	assert_int_equal(start_log(e, 0, 0, 0), EINVAL);
	assert_int_equal(start_log(e, 0x8000, 1, 1), EINVAL); /* not aligned to it */
	assert_int_equal(e->t->log_page_size, 0);
}

/* No ranges: all that is mapped, what touches as one, and never more than a log can have. */
static void log_all(void **state)
{
	struct env *e = *state;

	assert_int_equal(start_log(e, 4096, 0, 0), EINVAL);
	assert_int_equal(map_dma(e, 0x10000, 0x3000, 3, -1), 0);
	assert_int_equal(map_dma(e, 0x13000, 0x1000, 3, -1), 0);
	assert_int_equal(map_dma(e, 0x20100, 0x100, 3, -1), 0);
	assert_int_equal(map_dma(e, 0x20f00, 0x200, 3, -1), 0);
	assert_int_equal(start_log(e, 4096, 0, 0), 0);
	assert_int_equal(e->t->nr_log_ranges, 2);
	assert_int_equal(e->t->log_ranges[0].iova, 0x10000);
	assert_int_equal(e->t->log_ranges[0].size, 0x4000);
	assert_int_equal(e->t->log_ranges[1].iova, 0x20000);
	assert_int_equal(e->t->log_ranges[1].size, 0x2000);
	assert_int_equal(stop_log(e), 0);
	/* pairs with a small gap, far from each other: 512 ranges become 256 */
	rejoin(e, STANDARD);
	for (uint64_t i = 0; i < 256; i++) {
		assert_int_equal(map_dma(e, i << 32, 0x1000, 3, -1), 0);
		assert_int_equal(map_dma(e, (i << 32) + 0x1000 * (2 + i % 7), 0x1000, 3, -1), 0);
	}
	assert_int_equal(start_log(e, 4096, 0, 0), 0);
	assert_int_equal(e->t->nr_log_ranges, 256);
	for (uint64_t i = 0; i < 256; i++) {
		assert_int_equal(e->t->log_ranges[i].iova, i << 32);
		assert_int_equal(e->t->log_ranges[i].size, 0x1000 * (3 + i % 7));
	}
}

static uint32_t report(struct env *e, uint64_t iova, uint64_t size, uint64_t page_size,
		       uint32_t argsz)
{
	struct bytes b = { .len = 0 };

	put64(&b, iova);
	put64(&b, size);
	put64(&b, page_size);
	return feature(e, GET | 8, argsz, &b);
}

static void check_report(struct env *e, uint64_t first, uint64_t pages)
{
	size_t bytes = vfm_bitmap_words(pages) * 8;
	uint64_t *bitmap = malloc(bytes);

	assert_int_equal(e->reply.size, 32 + bytes);
	assert_int_equal(get32(&e->reply, 0), 32 + bytes);
	memcpy(bitmap, e->reply.payload + 32, bytes);
	for (uint64_t i = 0; i < bytes * 8; i++)
		assert_int_equal(vfm_bitmap_test(bitmap, i), i < pages && (first + i) % 3 == 0);
	free(bitmap);
}

/* Everything is dirty, and more, whether there is a log or not. */
static void log_careless(void **state)
{
	struct env *e = *state;
	uint64_t word;

	e->t->careless = true;
	assert_int_equal(report(e, 0, 0x3000, 4096, 1000), EINVAL);
	assert_int_equal(start_log(e, 4096, 1, 1), 0);
	assert_int_equal(report(e, 0, 0x3000, 4096, 1000), 0);
	memcpy(&word, e->reply.payload + 32, sizeof(word));
	assert_int_equal(word, 7);
	assert_int_equal(report(e, 0, 0x40000, 4096, 1000), 0);
	memcpy(&word, e->reply.payload + 32, sizeof(word));
	assert_int_equal(word, UINT64_MAX);
}

static void log_report(void **state)
{
	struct env *e = *state;

	assert_int_equal(report(e, 0, 0x10000, 4096, 1000), EINVAL);
	assert_int_equal(start_log(e, 4096, 1, 1), 0);
	for (uint64_t pages = 1; pages < 200; pages += 13) {
		uint32_t need = (uint32_t)(32 + vfm_bitmap_words(pages) * 8);

		assert_int_equal(report(e, 0x5000, pages * 4096, 4096, need), 0);
		check_report(e, 5, pages);
		assert_int_equal(get64(&e->reply, 8), 0x5000);
		assert_int_equal(get64(&e->reply, 16), pages * 4096);
		assert_int_equal(report(e, 0x5000, pages * 4096, 4096, need - 1), EINVAL);
	}
	/* after one that was all dirty, and larger: no bit is left over */
	assert_int_equal(report(e, 0, 1u << 30, 4096, UINT32_MAX), 0);
	check_report(e, 0, 1u << 18);
	assert_int_equal(report(e, 0, 0x1001, 4096, 1000), 0);
	check_report(e, 0, 2);
	assert_int_equal(report(e, 0, 1u << 20, 65536, 1000), 0);
	check_report(e, 0, 16);
	assert_int_equal(report(e, 0, 0, 4096, 1000), EINVAL);
	assert_int_equal(report(e, 0, 4096, 0, 1000), EINVAL);
	assert_int_equal(report(e, 0, 4096, 2048, 1000), EINVAL);
	assert_int_equal(report(e, 0, 4096, 3 * 4096, 1000), EINVAL);
	assert_int_equal(report(e, 1, 4096, 4096, 1000), EINVAL);
	assert_int_equal(report(e, UINT64_MAX & ~4095ull, 8192, 4096, 1000), EOVERFLOW);
	assert_int_equal(report(e, 0, UINT64_MAX, 4096, UINT32_MAX), E2BIG);
	assert_int_equal(report(e, 0, (1ull << 43) + 1, 4096, UINT32_MAX), E2BIG);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(envelope),		  TEST(every_index),	TEST(too_small), TEST(states),
		TEST(states_without_p2p), TEST(not_migratable), TEST(extension), TEST(data_read),
		TEST(negotiated_size),	  TEST(data_write),	TEST(log_start), TEST(log_all),
		TEST(log_report),	  TEST(log_careless),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
