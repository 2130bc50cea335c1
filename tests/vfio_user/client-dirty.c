// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The messages of v1 about dirty pages, as servers should not answer them. An answer that
 * is not exactly the one to our question must be an error and not a clean page; after an
 * unmapping, where there is nobody to ask again, it must be all dirty. And the fallback:
 * when these messages are tried, and when not.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "client-peer.h"

#define PAGE 4096u
#define PAGES 20u
#define SIZE (PAGES * PAGE)
#define ALL ((UINT64_C(1) << PAGES) - 1)
#define IOVA 0x40000u

/** struct trick - what becomes of a reply that was right: fields that are 0 stay */
struct trick {
	const char *name;
	size_t len; /* LONGER: 8 bytes more; JUST_HEAD, EMPTY */
	uint32_t argsz;
	uint32_t xor_flags;
	uint64_t xor_iova, xor_size, xor_page, xor_room;
	uint32_t error;
	bool fine;
};

#define LONGER 1000u
#define EMPTY 1001u
#define NEED (40u + 8u)

static const struct trick tricks[] = {
	{ .name = "honest", .fine = true },
	{ .name = "a small argsz", .argsz = 8, .fine = true },
	{ .name = "empty", .len = EMPTY },
	{ .name = "4 bytes", .len = 4 },
	{ .name = "8 bytes", .len = 8 },
	{ .name = "8 bytes that want more", .len = 8, .argsz = NEED + 8 },
	{ .name = "8 bytes that want everything", .len = 8, .argsz = UINT32_MAX },
	{ .name = "no bitmap", .len = 40 },
	{ .name = "half a head", .len = 24 },
	{ .name = "a byte less", .len = NEED - 1 },
	{ .name = "more", .len = LONGER },
	{ .name = "room for it was too small", .argsz = NEED + 1 },
	{ .name = "another message", .xor_flags = 3 },
	{ .name = "another range", .xor_iova = PAGE },
	{ .name = "another size", .xor_size = 64 * PAGE },
	{ .name = "other pages", .xor_page = 4096 | 8192 },
	{ .name = "another bitmap", .xor_room = 16 },
	{ .name = "refused", .error = EINVAL },
	{ .name = "unknown", .error = ENOTTY },
	{ .name = "broken", .error = EIO },
};

static void flip(struct peer_msg *reply, size_t at, uint64_t mask)
{
	peer_put64(reply, at, peer_get64(reply, at) ^ mask);
}

/* Reports alone: START, STOP and a plain unmapping stay honest. */
static void meddle(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	const struct trick *t = p->opts.user;
	uint32_t flags = peer_get32(req, 4);

	if (!t || !((req->command == VFM_VU_DIRTY_PAGES && flags == 4) ||
		    (req->command == VFM_VU_DMA_UNMAP && flags == 1)))
		return;
	if (t->argsz)
		peer_put32(reply, 0, t->argsz);
	peer_put32(reply, 4, flags ^ t->xor_flags);
	flip(reply, 8, t->xor_iova);
	flip(reply, 16, t->xor_size);
	flip(reply, 24, t->xor_page);
	flip(reply, 32, t->xor_room);
	if (t->len == LONGER)
		peer_put64(reply, reply->len, 0);
	else if (t->len)
		reply->len = t->len == EMPTY ? 0 : t->len;
	if (t->error) {
		reply->flags |= 0x20;
		reply->error = t->error;
		reply->len = 0;
	}
}

static struct vfm_device *start_on(struct peer *p, const struct peer_opts *opts)
{
	struct vfm_device *dev = peer_open(p, opts);
	struct vfm_dma_map map = { .iova = IOVA, .size = SIZE, .flags = 3, .fd = p->mem_fd };
	struct vfm_range range = { IOVA, SIZE + 0x10000 };
	uint64_t page = 8192;

	assert_int_equal(vfm_device_map_dma(dev, &map, NULL), 0);
	assert_int_equal(vfm_device_start_log(dev, &page, &range, 1, NULL), 0);
	assert_int_equal(page, 4096);
	return dev;
}

static void device_wrote(struct peer *p, uint64_t page)
{
	pthread_mutex_lock(&p->lock);
	peer_dirty(p, IOVA + page * PAGE, 1);
	pthread_mutex_unlock(&p->lock);
}

static uint64_t report(struct vfm_device *dev)
{
	uint64_t bitmap = 0;
	struct vfm_err err;

	if (vfm_device_report_log(dev, IOVA, SIZE, PAGE, &bitmap, &err))
		fail_msg("%s", err.msg);
	return bitmap;
}

static void answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(tricks); i++) {
		const struct trick *t = &tricks[i];
		struct peer_opts opts = { .v1 = true, .libvfio = true, .meddle = meddle };
		struct vfm_err err = { 0 };
		uint64_t bitmap = 0;
		struct vfm_device *dev;
		struct peer p;
		int ret;

		dev = start_on(&p, &opts);
		device_wrote(&p, 3);
		pthread_mutex_lock(&p.lock);
		p.opts.user = (void *)(uintptr_t)t;
		pthread_mutex_unlock(&p.lock);
		ret = vfm_device_report_log(dev, IOVA, SIZE, PAGE, &bitmap, &err);
		if (ret != (t->fine ? 0 : t->error ? -(int)t->error : -EPROTO))
			fail_msg("%s: %d, %s", t->name, ret, err.msg);
		assert_int_equal(bitmap, t->fine ? 8 : 0);
		/* and the connection goes on */
		pthread_mutex_lock(&p.lock);
		p.opts.user = NULL;
		pthread_mutex_unlock(&p.lock);
		device_wrote(&p, 5);
		assert_int_equal(report(dev) & ~8u, 32);
		assert_int_equal(vfm_device_stop_log(dev, &err), 0);
		vfm_device_close(dev);
		peer_stop(&p);
	}
}

/* The unmapping takes place unless it was refused, and then the plain one does. */
static void unmappings(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(tricks); i++) {
		const struct trick *t = &tricks[i];
		struct peer_opts opts = { .v1 = true, .libvfio = true, .meddle = meddle };
		bool refused = t->error == EINVAL || t->error == ENOTTY;
		struct vfm_err err = { 0 };
		struct vfm_device *dev;
		struct peer p;
		int ret;

		opts.no_unmap_get = t->error;
		dev = start_on(&p, &opts);
		device_wrote(&p, 3);
		pthread_mutex_lock(&p.lock);
		p.opts.user = (void *)(uintptr_t)t;
		pthread_mutex_unlock(&p.lock);
		ret = vfm_device_unmap_dma(dev, IOVA, SIZE, &err);
		if (ret != (t->error && !refused ? -(int)t->error : 0))
			fail_msg("%s: %d, %s", t->name, ret, err.msg);
		pthread_mutex_lock(&p.lock);
		p.opts.user = NULL;
		assert_int_equal(p.nr_maps, ret != 0);
		assert_int_equal(p.seen[VFM_VU_DMA_UNMAP], refused ? 2 : 1);
		pthread_mutex_unlock(&p.lock);
		if (report(dev) != (t->fine || ret ? 8 : ALL))
			fail_msg("%s", t->name);
		assert_int_equal(vfm_device_unmap_dma(dev, IOVA, SIZE, &err), ret ? 0 : -ENOENT);
		vfm_device_close(dev);
		peer_stop(&p);
	}
}

/* Everything at once is one by one, with and without the extension. */
static void unmap_all(void **state)
{
	(void)state;
	for (int extension = 0; extension < 2; extension++) {
		struct peer_opts opts = { .v1 = true,
					  .libvfio = !extension,
					  .extension = extension };
		struct vfm_dma_map map = { .iova = IOVA + SIZE, .size = 100, .flags = 3 };
		static uint8_t memory[PAGE];
		struct vfm_device *dev;
		struct vfm_err err;
		struct peer p;

		dev = start_on(&p, &opts);
		map.fd = p.mem_fd;
		assert_int_equal(vfm_device_map_dma(dev, &map, &err), 0);
		map = (struct vfm_dma_map){ .size = PAGE, .flags = 3, .fd = -1, .vaddr = memory };
		assert_int_equal(vfm_device_map_dma(dev, &map, &err), 0);
		device_wrote(&p, 7);
		assert_int_equal(vfm_device_unmap_all(dev, &err), 0);
		assert_int_equal(p.reported, 1);
		assert_int_equal(p.seen[VFM_VU_DMA_UNMAP], 3);
		assert_int_equal(report(dev), 1 << 7);
		assert_int_equal(report(dev), 0);
		/* without a log it is as ever */
		assert_int_equal(vfm_device_stop_log(dev, &err), 0);
		map.vaddr = memory;
		assert_int_equal(vfm_device_map_dma(dev, &map, &err), 0);
		assert_int_equal(vfm_device_unmap_all(dev, &err), 0);
		assert_int_equal(p.reported, 1);
		assert_int_equal(p.seen[VFM_VU_DMA_UNMAP], 4);
		vfm_device_close(dev);
		peer_stop(&p);
	}
}

/* A mapping that is no whole pages cannot be asked for. */
static void odd_mapping(void **state)
{
	struct peer_opts opts = { .v1 = true, .libvfio = true };
	struct vfm_dma_map map = { .iova = IOVA + SIZE, .size = 2 * PAGE - 100, .flags = 3 };
	uint64_t bitmap = 0;
	struct vfm_device *dev;
	struct vfm_err err;
	struct peer p;

	(void)state;
	dev = start_on(&p, &opts);
	map.fd = p.mem_fd;
	assert_int_equal(vfm_device_map_dma(dev, &map, &err), 0);
	for (int i = 0; i < 3; i++) {
		bitmap = 0;
		assert_int_equal(
			vfm_device_report_log(dev, IOVA, SIZE + 0x10000, PAGE, &bitmap, &err), 0);
		assert_int_equal(bitmap, UINT64_C(3) << PAGES);
		if (i == 1)
			assert_int_equal(vfm_device_unmap_dma(dev, map.iova, map.size, &err), 0);
	}
	assert_int_equal(p.reported, 0);
	vfm_device_close(dev);
	peer_stop(&p);
}

static void refuse(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	const uint32_t *code = p->opts.user;

	if (*code && req->command == VFM_VU_DIRTY_PAGES) {
		reply->flags |= 0x20;
		reply->error = *code;
		reply->len = 0;
	}
}

/* Which servers are asked for these messages, and what is made of their refusal. */
static void fallback(void **state)
{
	static const struct {
		bool v1, libvfio, extension, no_migration;
		uint32_t code; /* of DIRTY_PAGES, whatever the server thinks */
		int result;
		unsigned int asked;
	} rows[] = {
		{ .libvfio = true, .asked = 0 },
		{ .extension = true, .asked = 0 },
		{ .asked = 0 },
		{ .v1 = true, .libvfio = true, .asked = 1 },
		{ .v1 = true, .extension = true, .asked = 1 },
		{ .v1 = true, .asked = 1 },
		{ .libvfio = true, .no_migration = true, .result = -ENOTTY, .asked = 1 },
		{ .no_migration = true, .result = -ENOTTY, .asked = 1 },
		{ .v1 = true, .code = EINVAL, .result = -ENOTTY, .asked = 1 },
		{ .v1 = true, .code = ENOTSUP, .result = -ENOTTY, .asked = 1 },
		{ .v1 = true, .code = ENOTTY, .result = -ENOTTY, .asked = 1 },
		{ .v1 = true, .code = ENOMEM, .result = -ENOMEM, .asked = 1 },
		{ .v1 = true, .extension = true, .code = ENOTTY, .result = -ENOTTY, .asked = 1 },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		uint32_t code = rows[i].code;
		struct peer_opts opts = { .v1 = rows[i].v1,
					  .libvfio = rows[i].libvfio,
					  .extension = rows[i].extension,
					  .no_migration = rows[i].no_migration,
					  .meddle = refuse,
					  .user = &code };
		struct vfm_range range = { 0, 65536 };
		uint64_t page = 4096, bitmap = 0;
		struct vfm_err err = { 0 };
		struct peer p;
		struct vfm_device *dev = peer_open(&p, &opts);
		int ret = vfm_device_start_log(dev, &page, &range, 1, &err);

		if (ret != rows[i].result || p.seen[VFM_VU_DIRTY_PAGES] != rows[i].asked)
			fail_msg("row %zu: %d (%s), asked %u times", i, ret, err.msg,
				 p.seen[VFM_VU_DIRTY_PAGES]);
		assert_int_equal(vfm_device_report_log(dev, 0, 65536, 4096, &bitmap, &err),
				 ret ? -EINVAL : 0);
		assert_int_equal(bitmap, 0);
		if (!ret)
			assert_int_equal(vfm_device_start_log(dev, &page, &range, 1, &err),
					 -EINVAL);
		if (!ret)
			assert_int_equal(vfm_device_stop_log(dev, &err), 0);
		vfm_device_close(dev);
		peer_stop(&p);
	}
}

/* What a server over this device asks, to know whether it can log. */
static void stop_without_start(void **state)
{
	static const struct {
		bool v1, extension, no_migration;
		int result;
	} rows[] = {
		{ true, true, false, -EINVAL },	 { false, true, false, -EINVAL },
		{ false, true, true, -EINVAL }, /* a refusal that could mean anything */
		{ true, false, false, -EINVAL }, { false, false, true, -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct peer_opts opts = { .v1 = rows[i].v1,
					  .extension = rows[i].extension,
					  .no_migration = rows[i].no_migration };
		struct vfm_err err;
		struct peer p;
		struct vfm_device *dev = peer_open(&p, &opts);

		assert_int_equal(vfm_device_stop_log(dev, &err), rows[i].result);
		vfm_device_close(dev);
		peer_stop(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),   cmocka_unit_test(unmappings),
		cmocka_unit_test(unmap_all), cmocka_unit_test(odd_mapping),
		cmocka_unit_test(fallback),  cmocka_unit_test(stop_without_start),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
