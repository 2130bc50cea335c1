// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * Time. What is due by the clock is done when somebody calls in, and every 5 ms while
 * something is due at all; never more than 100 ms worth of it: after a pause the device
 * does not make up for lost time.
 */

#include "vfmig_sim.h"

#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/sched/signal.h>

#define TICK_MS 5
#define BACKLOG_NS 100000000ull
/* Longest time in one go: a user with slow memory still gets answers. */
#define SLICE_NS 10000000ull

u64 vfms_clock_due(struct vfms_clock *clock, u64 now_ns, u64 rate, u64 unit)
{
	u64 elapsed = now_ns > clock->last_ns ? now_ns - clock->last_ns : 0;
	u64 cost = unit * NSEC_PER_SEC, due;

	clock->last_ns = now_ns;
	/* BACKLOG_NS * VFMS_RATE_MAX + cost fits */
	clock->credit += min(elapsed, BACKLOG_NS) * rate;
	due = clock->credit / cost;
	clock->credit %= cost;
	return due;
}

bool vfms_overdue(u64 start_ns)
{
	cond_resched();
	return ktime_get_ns() - start_ns > SLICE_NS || fatal_signal_pending(current);
}

void vfms_clocks_restart(struct vfms *d)
{
	d->ring_clock.last_ns = ktime_get_ns();
	d->state_clock.last_ns = d->ring_clock.last_ns;
}

void vfms_sync(struct vfms *d)
{
	u64 now = ktime_get_ns();

	if (!d->opened)
		return;
	if (vfms_mig_active(d->mig))
		vfms_state_sync(d, now);
	if (vfms_mig_active(d->mig) || vfms_dma_allowed(d, d->mig))
		vfms_ring_sync(d, now);
}

/* Whether something will be due without anybody asking. */
static bool ticking(const struct vfms *d)
{
	bool ring = vfms_get(d, REG_RING_STATUS) && vfms_get(d, REG_RING_RATE) &&
		    vfms_bus_master(d) && vfms_dma_allowed(d, d->mig);

	return d->opened && (ring || (vfms_mig_active(d->mig) && vfms_get(d, REG_STATE_RATE)));
}

void vfms_settle(struct vfms *d)
{
	/* without bus mastering a job fails at once; in a state without DMA it waits */
	if (d->opened && vfms_get(d, REG_JOB_STATUS) == JOB_QUEUED && vfms_dma_allowed(d, d->mig))
		vfms_job_run(d);
	vfms_irq_deliver(d);
	if (ticking(d))
		schedule_delayed_work(&d->tick, msecs_to_jiffies(TICK_MS));
}

/*
 * Never waits: a user can make a call last as long as it likes, with memory that it serves
 * itself, and the kernel's workers are not to wait for that.
 */
void vfms_tick(struct work_struct *work)
{
	struct vfms *d = container_of(to_delayed_work(work), struct vfms, tick);

	if (!mutex_trylock(&d->lock)) {
		schedule_delayed_work(&d->tick, msecs_to_jiffies(TICK_MS));
		return;
	}
	vfms_sync(d);
	vfms_settle(d);
	mutex_unlock(&d->lock);
}
