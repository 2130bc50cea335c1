// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The dirty log over servers that know little of it, against a model: a set of pages
 * that must be reported once, whatever ranges and page sizes are asked for. Not one may
 * be lost; one that is clean is reported only where a page of the log is larger.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bitmap.h"
#include "base/util.h"
#include "client-peer.h"

#define PAGE 4096u
#define PAGES 2048u

static const struct vfm_range two_ranges[2] = { { 0, 1008 * PAGE }, { 1024 * PAGE, 1024 * PAGE } };

static uint64_t seed;

static uint64_t rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 11) % below;
}

struct range {
	uint64_t iova, size;
	uint32_t flags;
	bool fd;
};

/** struct model - what must come out */
struct model {
	bool whole;  /* the server keeps all of it: exact pages, any range */
	bool ranges; /* it goes by the two ranges of the start */
	bool tells;  /* what was written, when it unmaps */
	uint64_t log_page;
	struct range maps[16];
	unsigned int nr_maps;
	bool dirty[PAGES];
};

static void mark(struct model *m, uint64_t iova, uint64_t len)
{
	for (uint64_t page = iova / PAGE; page <= (iova + len - 1) / PAGE; page++)
		m->dirty[page] = true;
}

/* The device writes into a mapping by itself: pages of the log, from the mapping's start. */
static void mark_log_pages(struct model *m, const struct range *r, uint64_t iova, uint64_t len)
{
	uint64_t page = m->whole ? 1 : m->log_page;
	uint64_t from = (iova - r->iova) / page * page;
	uint64_t to = (iova + len - 1 - r->iova) / page * page + page;

	mark(m, r->iova + from, VFM_MIN(to, r->size) - from);
}

/** struct write_job - DMA_WRITE that the server does in the next reset */
struct write_job {
	uint64_t iova, len;
	int error;
};

static void meddle(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	struct write_job *job = p->opts.user;
	static uint8_t bytes[64 * PAGE];

	(void)reply;
	if (req->command != VFM_VU_DEVICE_RESET || !job->len)
		return;
	job->error = peer_dma(p, VFM_VU_DMA_WRITE, job->iova, bytes, job->len);
	if (p->opts.extension)
		peer_dirty(p, job->iova, job->len);
}

static const struct range *pick(struct model *m, bool fd)
{
	const struct range *r = m->nr_maps ? &m->maps[rnd(m->nr_maps)] : NULL;

	return r && r->flags & VFM_DMA_WRITE && (!fd || r->fd) ? r : NULL;
}

static void step_map(struct vfm_device *dev, struct model *m, struct peer *p)
{
	static uint8_t memory[64 * PAGE];
	struct range r = { .iova = rnd(PAGES - 64) * PAGE,
			   .size = (1 + rnd(48)) * PAGE,
			   .flags = rnd(8) ? 3 : 1,
			   .fd = rnd(3) };
	struct vfm_dma_map map = { .iova = r.iova,
				   .size = r.size,
				   .flags = r.flags,
				   .fd = r.fd ? p->mem_fd : -1,
				   .vaddr = memory };
	bool overlaps = false;
	int ret;

	if (m->nr_maps == VFM_ARRAY_SIZE(m->maps))
		return;
	for (unsigned int i = 0; i < m->nr_maps; i++)
		overlaps |= r.iova < m->maps[i].iova + m->maps[i].size &&
			    m->maps[i].iova < r.iova + r.size;
	ret = vfm_device_map_dma(dev, &map, NULL);
	assert_int_equal(ret, overlaps ? -EEXIST : 0);
	if (!ret)
		m->maps[m->nr_maps++] = r;
}

/* The server drops its bits: all that it could write to counts as written. */
static void step_unmap(struct vfm_device *dev, struct model *m, struct peer *p)
{
	unsigned int i = (unsigned int)rnd(m->nr_maps ? m->nr_maps : 1);
	struct range r = m->maps[i];

	if (!m->nr_maps)
		return;
	assert_int_equal(vfm_device_unmap_dma(dev, r.iova, r.size, NULL), 0);
	if (m->ranges) {
		/* Its log forgets what is unmapped, as ours would not. */
		pthread_mutex_lock(&p->lock);
		memset(p->log_dirty + r.iova / PAGE, 0, r.size / PAGE);
		pthread_mutex_unlock(&p->lock);
	}
	if (!m->whole && !m->tells && r.fd && r.flags & VFM_DMA_WRITE)
		mark(m, r.iova, r.size);
	m->maps[i] = m->maps[--m->nr_maps];
}

static void step_device_write(struct model *m, struct peer *p)
{
	const struct range *r = pick(m, true);
	uint64_t at, len;

	if (!r)
		return;
	at = rnd(r->size);
	len = 1 + rnd(VFM_MIN(r->size - at, 3 * PAGE));
	pthread_mutex_lock(&p->lock);
	peer_dirty(p, r->iova + at, len);
	pthread_mutex_unlock(&p->lock);
	mark_log_pages(m, r, r->iova + at, len);
}

static void step_message_write(struct vfm_device *dev, struct model *m, struct write_job *job)
{
	const struct range *r = pick(m, false);
	uint64_t at;

	if (!r)
		return;
	at = rnd(r->size);
	job->iova = r->iova + at;
	job->len = 1 + rnd(VFM_MIN(r->size - at, 3 * PAGE));
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	assert_int_equal(job->error, 0);
	mark(m, job->iova, job->len);
	job->len = 0;
}

/* Mappings smaller than a page of the log cannot be reported: always dirty. */
static void expect_small(struct model *m, uint64_t iova, uint64_t size)
{
	for (unsigned int i = 0; i < m->nr_maps && !m->whole; i++) {
		const struct range *r = &m->maps[i];

		if (r->fd && r->flags & VFM_DMA_WRITE && r->size < m->log_page &&
		    r->iova < iova + size && iova < r->iova + r->size)
			mark(m, r->iova, r->size);
	}
}

static void step_report(struct vfm_device *dev, struct model *m)
{
	uint64_t page = PAGE << rnd(5);
	uint64_t iova = rnd(PAGES * PAGE / page) * page;
	uint64_t size = 1 + rnd(PAGES * PAGE - iova);
	uint64_t got[PAGES / 64 + 1] = { 0 }, want[PAGES / 64 + 1] = { 0 };
	struct vfm_err err;

	if (!rnd(4)) {
		iova = 0;
		size = PAGES * PAGE;
	}
	if (m->ranges) {
		const struct vfm_range *r = &two_ranges[rnd(2)];

		iova = r->iova + rnd(r->size / (16 * PAGE)) * 16 * PAGE;
		size = 1 + rnd(r->iova + r->size - iova);
	}
	got[0] = want[0] = 1; /* set before: it must stay */
	expect_small(m, iova, size);
	for (uint64_t at = iova / PAGE; at <= (iova + size - 1) / PAGE; at++) {
		if (m->dirty[at])
			vfm_bitmap_set(want, (at * PAGE - iova) / page);
		m->dirty[at] = false;
	}
	if (vfm_device_report_log(dev, iova, size, page, got, &err))
		fail_msg("%s", err.msg);
	if (memcmp(got, want, sizeof(got)) != 0)
		fail_msg("seed 0x%llx: report 0x%llx+0x%llx by %llu differs",
			 (unsigned long long)seed, (unsigned long long)iova,
			 (unsigned long long)size, (unsigned long long)page);
}

static void run(const struct peer_opts *base, uint64_t with_seed)
{
	struct write_job job = { 0 };
	struct peer_opts opts = *base;
	struct model *m = calloc(1, sizeof(*m));
	struct vfm_range range = { 0, PAGES * PAGE };
	struct vfm_device *dev;
	struct peer p;

	seed = with_seed;
	opts.meddle = meddle;
	opts.user = &job;
	dev = peer_open(&p, &opts);
	m->whole = opts.extension && !opts.v1;
	m->ranges = !opts.extension && !opts.libvfio && !opts.v1;
	m->tells = opts.v1 && !opts.no_unmap_get;
	m->log_page = PAGE << (m->ranges ? 0 : rnd(4));
	for (int i = 0; i < 5; i++)
		step_map(dev, m, &p);
	assert_int_equal(vfm_device_start_log(dev, &m->log_page, m->ranges ? two_ranges : &range,
					      m->ranges ? 2 : 1, NULL),
			 0);
	for (int i = 0; i < 150; i++) {
		switch (rnd(12)) {
		case 0:
			step_map(dev, m, &p);
			break;
		case 1:
			step_unmap(dev, m, &p);
			break;
		case 2:
		case 3:
			step_report(dev, m);
			break;
		case 4:
		case 5:
		case 6:
			step_message_write(dev, m, &job);
			break;
		default:
			step_device_write(m, &p);
		}
	}
	assert_int_equal(vfm_device_stop_log(dev, NULL), 0);
	assert_false(p.logging);
	vfm_device_close(dev);
	peer_stop(&p);
	assert_int_equal(p.seen[VFM_VU_DIRTY_PAGES] != 0, opts.v1);
	assert_int_equal(p.reported != 0, m->tells);
	free(m);
}

static void against_model(void **state)
{
	for (uint64_t i = 1; i <= 12; i++)
		run(*state, i * 0x9e3779b97f4a7c15u);
}

static void started_once(void **state)
{
	const struct peer_opts *opts = *state;
	struct vfm_range range = { 0, 65536 };
	struct vfm_dma_map map = { .size = 65536, .flags = 3 };
	uint64_t page = 4096, bitmap[1] = { 0 };
	struct vfm_device *dev;
	struct vfm_err err;
	struct peer p;

	dev = peer_open(&p, opts);
	map.fd = p.mem_fd;
	assert_int_equal(vfm_device_map_dma(dev, &map, NULL), 0);
	assert_int_equal(vfm_device_report_log(dev, 0, 65536, 4096, bitmap, &err), -EINVAL);
	assert_int_equal(vfm_device_stop_log(dev, &err), -EINVAL);
	assert_int_equal(vfm_device_start_log(dev, &page, &range, 1, NULL), 0);
	assert_int_equal(vfm_device_start_log(dev, &page, &range, 1, &err), -EINVAL);
	/* what nobody logs is not clean */
	assert_int_equal(vfm_device_report_log(dev, 61440, 8192, 4096, bitmap, &err), -EINVAL);
	assert_int_equal(vfm_device_report_log(dev, 65536, 4096, 4096, bitmap, &err), -EINVAL);
	pthread_mutex_lock(&p.lock);
	peer_dirty(&p, 8192, 1);
	pthread_mutex_unlock(&p.lock);
	assert_int_equal(vfm_device_report_log(dev, 0, 65536, 4096, bitmap, NULL), 0);
	assert_int_equal(bitmap[0], 4);
	assert_int_equal(vfm_device_stop_log(dev, NULL), 0);
	assert_int_equal(vfm_device_stop_log(dev, &err), -EINVAL);
	/* A new log knows nothing of the old. */
	pthread_mutex_lock(&p.lock);
	p.logging = true;
	peer_dirty(&p, 12288, 1);
	p.logging = false;
	pthread_mutex_unlock(&p.lock);
	assert_int_equal(vfm_device_start_log(dev, &page, &range, 1, NULL), 0);
	bitmap[0] = 0;
	assert_int_equal(vfm_device_report_log(dev, 0, 65536, 4096, bitmap, NULL), 0);
	assert_int_equal(bitmap[0], 0);
	assert_int_equal(vfm_device_stop_log(dev, NULL), 0);
	/* Pages too small to be reported in are not asked for. */
	page = 512;
	assert_int_equal(vfm_device_start_log(dev, &page, &range, 1, NULL), 0);
	assert_int_equal(page, opts->extension && !opts->v1 ? 512 : 4096);
	vfm_device_close(dev);
	peer_stop(&p);
}

static void meddle_page(struct peer *p, const struct peer_msg *req, struct peer_msg *reply)
{
	uint64_t *page = p->opts.user;

	if (req->command == VFM_VU_DEVICE_FEATURE && peer_get32(req, 4) == 0x20006)
		peer_put64(reply, 8, *page);
}

/* Page sizes that a server cannot have chosen, and the one that it may. */
static void chosen_page_size(void **state)
{
	static const struct {
		uint64_t page;
		int result;
	} cases[] = { { 0, -EPROTO }, { 3000, -EPROTO }, { 2048, -EPROTO },
		      { 4096, 0 },    { 65536, 0 },	 { ~UINT64_C(0), -EPROTO } };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(cases); i++) {
		uint64_t chosen = cases[i].page, page = 8192;
		struct peer_opts opts = { .meddle = meddle_page, .user = &chosen };
		struct vfm_range range = { 0, 65536 };
		struct peer p;
		struct vfm_device *dev = peer_open(&p, &opts);

		assert_int_equal(vfm_device_start_log(dev, &page, &range, 1, NULL),
				 cases[i].result);
		assert_int_equal(p.logging, cases[i].result == 0);
		assert_int_equal(page, cases[i].result ? 8192 : cases[i].page);
		vfm_device_close(dev);
		peer_stop(&p);
	}
}

/* 64 GiB in pages of 4 KiB is more than one message to a server of ours. */
static void in_pieces(void **state)
{
	struct peer_opts opts = { .extension = true };
	uint64_t size = UINT64_C(64) << 30, page = 4096;
	size_t words = vfm_log_bitmap_words(size, page);
	uint64_t *bitmap = calloc(words, sizeof(*bitmap));
	struct vfm_range range = { 0, size };
	struct vfm_err err;
	struct peer p;
	struct vfm_device *dev = peer_open(&p, &opts);

	(void)state;
	assert_int_equal(vfm_device_start_log(dev, &page, &range, 1, &err), 0);
	pthread_mutex_lock(&p.lock);
	peer_dirty(&p, 77 * 4096, 1);
	pthread_mutex_unlock(&p.lock);
	if (vfm_device_report_log(dev, 0, size, page, bitmap, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(vfm_bitmap_count(bitmap, words * 64), 1);
	assert_true(vfm_bitmap_test(bitmap, 77));
	free(bitmap);
	vfm_device_close(dev);
	peer_stop(&p);
}

/*
 * Two mappings that share a page of the log, and begin and end inside of it: a report
 * of one clears the other's at a server that goes by the text.
 */
static void shared_page(void **state)
{
	struct peer_opts opts = { 0 };
	struct vfm_range range = { 0, 0x10000 };
	struct vfm_dma_map map = { .iova = 0x1000, .size = 0x4000, .flags = 3 };
	uint64_t page = 0x4000, bitmap = 0;
	struct vfm_err err;
	struct peer p;
	struct vfm_device *dev = peer_open(&p, &opts);

	(void)state;
	map.fd = p.mem_fd;
	assert_int_equal(vfm_device_map_dma(dev, &map, &err), 0);
	map.iova = 0x5000;
	assert_int_equal(vfm_device_map_dma(dev, &map, &err), 0);
	assert_int_equal(vfm_device_start_log(dev, &page, &range, 1, &err), 0);
	pthread_mutex_lock(&p.lock);
	peer_dirty(&p, 0x6000, 1);
	pthread_mutex_unlock(&p.lock);
	assert_int_equal(vfm_device_report_log(dev, 0x1000, 0x3000, 4096, &bitmap, &err), 0);
	assert_int_equal(bitmap, 0);
	assert_int_equal(vfm_device_report_log(dev, 0x5000, 0x4000, 4096, &bitmap, &err), 0);
	assert_int_equal(bitmap, 7);
	bitmap = 0;
	assert_int_equal(vfm_device_report_log(dev, 0, 0x10000, 4096, &bitmap, &err), 0);
	assert_int_equal(bitmap, 1 << 4);
	vfm_device_close(dev);
	peer_stop(&p);
}

static const struct peer_opts strict = { 0 };
static const struct peer_opts v1 = { .v1 = true, .libvfio = true };
static const struct peer_opts v1_silent = { .v1 = true, .libvfio = true, .no_unmap_get = true };
static const struct peer_opts v1_extended = { .v1 = true, .extension = true };
static const struct peer_opts libvfio = { .libvfio = true }, extended = { .extension = true };

int main(void)
{
	const struct CMUnitTest tests[] = {
		{ "against_model (libvfio-user)", against_model, NULL, NULL,
		  (void *)(uintptr_t)&libvfio },
		{ "against_model (extension)", against_model, NULL, NULL,
		  (void *)(uintptr_t)&extended },
		{ "against_model (strict)", against_model, NULL, NULL, (void *)(uintptr_t)&strict },
		{ "against_model (v1)", against_model, NULL, NULL, (void *)(uintptr_t)&v1 },
		{ "against_model (v1 that unmaps in silence)", against_model, NULL, NULL,
		  (void *)(uintptr_t)&v1_silent },
		{ "against_model (v1 with the extension)", against_model, NULL, NULL,
		  (void *)(uintptr_t)&v1_extended },
		cmocka_unit_test(shared_page),
		{ "started_once (libvfio-user)", started_once, NULL, NULL,
		  (void *)(uintptr_t)&libvfio },
		{ "started_once (extension)", started_once, NULL, NULL,
		  (void *)(uintptr_t)&extended },
		{ "started_once (v1)", started_once, NULL, NULL, (void *)(uintptr_t)&v1 },
		{ "started_once (v1 with the extension)", started_once, NULL, NULL,
		  (void *)(uintptr_t)&v1_extended },
		cmocka_unit_test(chosen_page_size),
		cmocka_unit_test(in_pieces),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
