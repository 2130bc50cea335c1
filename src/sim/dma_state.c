// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The internal state of sim:dma: pages whose content follows from seed, place and
 * the number of the change that made them. The bytes are really there: they are
 * what is saved, loaded and digested, so that a page that arrives wrong is seen.
 */

#include "sim/dma.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>

#include "base/bitmap.h"
#include "base/checksum.h"
#include "base/util.h"

/* Longest time in one go, and how often to look at the clock. */
#define STATE_SLICE_NS 10000000u
#define STATE_SLICE_PAGES 16

int vfm_sim_dma_state_new(struct vfm_sim_dma *d, struct vfm_err *err)
{
	void *p = mmap(NULL, d->params.state, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return vfm_fail(err, -errno, "sim:dma: no memory for state=%" PRIu64,
				d->params.state);
	d->state = (uint8_t *)p;
	d->pages = d->params.state / VFM_SIM_PAGE;
	return 0;
}

void vfm_sim_dma_state_free(struct vfm_sim_dma *d)
{
	if (d->state)
		munmap(d->state, d->params.state);
	d->state = NULL;
}

void vfm_sim_dma_state_reset(struct vfm_sim_dma *d)
{
	for (uint64_t page = 0; page < d->pages; page++)
		vfm_sim_state_page(d->params.seed, page, 0, d->state + page * VFM_SIM_PAGE);
}

static void change_next(struct vfm_sim_dma *d)
{
	uint64_t change = ++*vfm_sim_dma_reg(d, VFM_SIM_REG_STATE_CHANGES);
	uint64_t seed = *vfm_sim_dma_reg(d, VFM_SIM_REG_STATE_SEED);
	uint64_t page = vfm_sim_state_page_of(seed, d->pages, change);

	vfm_sim_state_page(seed, page, change, d->state + page * VFM_SIM_PAGE);
	if (d->save.open && !vfm_bitmap_test(d->save.dirty, page)) {
		vfm_bitmap_set(d->save.dirty, page);
		d->save.dirty_count++;
	}
}

void vfm_sim_dma_state_step(struct vfm_sim_dma *d, uint64_t count)
{
	if (!vfm_sim_dma_active(d))
		return;
	while (count--)
		change_next(d);
}

void vfm_sim_dma_state_sync(struct vfm_sim_dma *d, uint64_t now_ns)
{
	uint64_t rate = *vfm_sim_dma_reg(d, VFM_SIM_REG_STATE_RATE);
	uint64_t due = vfm_sim_dma_clock_due(&d->state_clock, now_ns, rate, VFM_SIM_PAGE);

	for (uint64_t i = 1; i <= due; i++) {
		change_next(d);
		if (i % STATE_SLICE_PAGES == 0 && vfm_now_ns() - now_ns > STATE_SLICE_NS)
			return;
	}
}

int vfm_sim_dma_state_digest(struct vfm_sim_dma *d, struct vfm_err *err)
{
	struct vfm_digest *digest = vfm_digest_new();
	uint8_t out[VFM_DIGEST_SIZE];

	if (!digest)
		return vfm_fail(err, -ENOMEM, "sim:dma: no memory for a digest");
	vfm_digest_update(digest, d->state, d->params.state);
	vfm_digest_get(digest, out);
	vfm_digest_free(digest);
	for (size_t i = 0; i < sizeof(out) / 8; i++) {
		uint64_t raw;

		memcpy(&raw, out + i * 8, sizeof(raw));
		vfm_sim_dma_reg(d, VFM_SIM_REG_DIGEST)[i] = le64toh(raw);
	}
	*vfm_sim_dma_reg(d, VFM_SIM_REG_DIGEST_CHANGES) =
		*vfm_sim_dma_reg(d, VFM_SIM_REG_STATE_CHANGES);
	return 0;
}
