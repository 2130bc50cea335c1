// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * The internal state: pages whose content follows from seed, place and the number of the
 * change that made them. The bytes are really there: they are what is saved, loaded and
 * digested, so that a page that arrives wrong is seen.
 */

#include "vfmig_sim.h"

#include <linux/sched/signal.h>

#include "xxh3.h"

void vfms_state_reset(struct vfms *d)
{
	u64 page;

	for (page = 0; page < d->pages; page++) {
		vfms_page(d->params.seed, page, 0, d->state + page * VFMS_PAGE);
		cond_resched();
	}
}

static void change_next(struct vfms *d)
{
	u64 change = ++*vfms_reg(d, REG_STATE_CHANGES), seed = vfms_get(d, REG_STATE_SEED);
	u64 page = vfms_page_of(seed, d->pages, change);

	vfms_page(seed, page, change, d->state + page * VFMS_PAGE);
	vfms_save_dirtied(d, page);
}

void vfms_state_step(struct vfms *d, u64 count)
{
	if (!vfms_mig_active(d->mig))
		return;
	while (count-- && !fatal_signal_pending(current)) {
		change_next(d);
		cond_resched();
	}
}

void vfms_state_sync(struct vfms *d, u64 now_ns)
{
	u64 rate = vfms_get(d, REG_STATE_RATE), i;
	u64 due = vfms_clock_due(&d->state_clock, now_ns, rate, VFMS_PAGE);

	for (i = 1; i <= due; i++) {
		change_next(d);
		if (i % 16 == 0 && vfms_overdue(now_ns))
			return;
	}
}

void vfms_state_digest(struct vfms *d)
{
	struct xxh3_stream s;
	struct xxh3_128 digest;
	u64 page;

	xxh3_begin(&s, d->params.state);
	for (page = 0; page < d->pages; page++) {
		xxh3_feed(&s, d->state + page * VFMS_PAGE, VFMS_PAGE);
		cond_resched();
	}
	digest = xxh3_end(&s);
	/* canonical order: high half first, highest byte first */
	*vfms_reg(d, REG_DIGEST) = swab64(digest.high);
	*vfms_reg(d, REG_DIGEST_LOW) = swab64(digest.low);
	*vfms_reg(d, REG_DIGEST_CHANGES) = vfms_get(d, REG_STATE_CHANGES);
}
