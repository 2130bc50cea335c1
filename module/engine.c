// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * What the device does by DMA: one-shot jobs, and the ring. Both are synchronous: when a
 * call returns no DMA is under way, which makes stopping trivial.
 *
 * The device cannot tell peer-to-peer DMA from the rest, so like many real ones it stops all
 * of it in the P2P states. Writes of the ring that would have been due meanwhile are not
 * made up for; a job waits.
 */

#include "vfmig_sim.h"

#include <linux/ktime.h>
#include <linux/sched/signal.h>

#include "xxh3.h"

bool vfms_dma_allowed(const struct vfms *d, enum vfms_mig state)
{
	switch (state) {
	case MIG_RUNNING:
	case MIG_PRE_COPY:
		return true;
	case MIG_RUNNING_P2P:
	case MIG_PRE_COPY_P2P:
		return vfms_fault(d, FAULT_DMA_IN_P2P);
	case MIG_STOP:
	case MIG_STOP_COPY:
		return vfms_fault(d, FAULT_DMA_AFTER_STOP);
	default:
		return false;
	}
}

static bool allowed_now(const struct vfms *d)
{
	return d->opened && vfms_dma_allowed(d, d->mig) && vfms_bus_master(d);
}

/* ---- jobs ------------------------------------------------------------------------ */

struct job {
	u64 iova;
	u64 len;
	u64 offset;
	u64 seed;
	struct xxh3_stream digest;
};

static int fill_chunk(struct vfms *d, struct job *job, u64 done, size_t len)
{
	vfms_fill(job->seed, done, d->scratch, len);
	return vfms_dma_write(d, job->iova + done, d->scratch, len);
}

static int read_chunk(struct vfms *d, struct job *job, u64 done, size_t len)
{
	return vfms_dma_read(d, job->iova + done, d->mem + job->offset + done, len);
}

static int write_chunk(struct vfms *d, struct job *job, u64 done, size_t len)
{
	return vfms_dma_write(d, job->iova + done, d->mem + job->offset + done, len);
}

static int checksum_chunk(struct vfms *d, struct job *job, u64 done, size_t len)
{
	int ret = vfms_dma_read(d, job->iova + done, d->scratch, len);

	if (!ret)
		xxh3_feed(&job->digest, d->scratch, len);
	return ret;
}

static const struct job_op {
	int (*chunk)(struct vfms *d, struct job *job, u64 done, size_t len);
	bool uses_bar;
} job_ops[] = {
	[JOB_FILL] = { fill_chunk, false },
	[JOB_READ] = { read_chunk, true },
	[JOB_WRITE] = { write_chunk, true },
	[JOB_CHECKSUM] = { checksum_chunk, false },
};

static int check_job(const struct vfms *d, const struct job *job, u64 op)
{
	if (op >= ARRAY_SIZE(job_ops) || !job_ops[op].chunk)
		return -EOPNOTSUPP;
	if (!job->len || job->iova + job->len - 1 < job->iova)
		return -EINVAL;
	if (job->len > VFMS_JOB_MAX)
		return -E2BIG;
	if (job_ops[op].uses_bar && !vfms_inside(job->offset, job->len, d->params.bar))
		return -ERANGE;
	return vfms_bus_master(d) ? 0 : -EACCES;
}

/* The result, or why there is none. */
static int do_job(struct vfms *d, struct job *job, u64 op, u64 *result)
{
	u64 done = 0;
	int ret = check_job(d, job, op);

	if (!ret)
		xxh3_begin(&job->digest, job->len);
	while (!ret && done < job->len) {
		size_t len = min_t(u64, job->len - done, VFMS_CHUNK);

		ret = fatal_signal_pending(current) ? -EINTR : job_ops[op].chunk(d, job, done, len);
		done += len;
		cond_resched();
	}
	if (ret)
		return ret;
	/* the digest in canonical order begins with its high half, highest byte first */
	*result = op == JOB_CHECKSUM ? swab64(xxh3_end(&job->digest).high) : done;
	return 0;
}

void vfms_job_run(struct vfms *d)
{
	struct job job = {
		.iova = vfms_get(d, REG_JOB_IOVA),
		.len = vfms_get(d, REG_JOB_LEN),
		.offset = vfms_get(d, REG_JOB_OFFSET),
		.seed = vfms_get(d, REG_JOB_SEED),
	};
	u64 result = 0;
	int ret = do_job(d, &job, vfms_get(d, REG_JOB_OP), &result);

	*vfms_reg(d, REG_JOB_STATUS) = ret ? JOB_FAILED : JOB_DONE;
	*vfms_reg(d, REG_JOB_ERROR) = -ret;
	*vfms_reg(d, REG_JOB_RESULT) = result;
	++*vfms_reg(d, REG_JOB_COUNT);
	vfms_irq_cause(d, VFMS_IRQ_JOB);
	if (ret)
		vfms_irq_cause(d, VFMS_IRQ_ERROR);
}

void vfms_job_ring_doorbell(struct vfms *d)
{
	*vfms_reg(d, REG_JOB_STATUS) = JOB_QUEUED;
}

/* ---- the ring -------------------------------------------------------------------- */

static void fail_ring(struct vfms *d, int ret)
{
	*vfms_reg(d, REG_RING_STATUS) = 0;
	*vfms_reg(d, REG_RING_ERROR) = -ret;
	vfms_irq_cause(d, VFMS_IRQ_ERROR);
}

/* One write: read what is there, and put in its place what follows from it. */
static int write_block(struct vfms *d, u64 number)
{
	u64 at = d->ring.iova + vfms_position(&d->plan, number) * VFMS_BLOCK, before;
	u8 block[VFMS_BLOCK];
	int ret = vfms_dma_read(d, at + VFMS_BLOCK_CHAIN, &before, sizeof(before));

	if (ret)
		return ret;
	vfms_block(&d->plan, number, vfms_chain(&d->plan, number, before), block);
	return vfms_dma_write(d, at, block, sizeof(block));
}

static int write_next(struct vfms *d)
{
	u64 *count = vfms_reg(d, REG_RING_COUNT), every = vfms_get(d, REG_RING_IRQ_EVERY);
	int ret = write_block(d, *count + 1);

	if (ret) {
		fail_ring(d, ret);
		return ret;
	}
	++*count;
	if (every && *count % every == 0)
		vfms_irq_cause(d, VFMS_IRQ_RING);
	return 0;
}

void vfms_ring_step(struct vfms *d, u64 count)
{
	if (!vfms_get(d, REG_RING_STATUS) || !allowed_now(d))
		return;
	while (count-- && !fatal_signal_pending(current) && !write_next(d))
		cond_resched();
}

void vfms_ring_sync(struct vfms *d, u64 now_ns)
{
	u64 rate = vfms_get(d, REG_RING_RATE), i;
	u64 due = vfms_clock_due(&d->ring_clock, now_ns, rate, VFMS_BLOCK);

	if (!vfms_get(d, REG_RING_STATUS) || !allowed_now(d))
		return;
	for (i = 1; i <= due && !write_next(d); i++)
		if (i % VFMS_SPAN_BLOCKS == 0 && vfms_overdue(now_ns))
			return;
}

static void start_ring(struct vfms *d)
{
	d->ring = (struct vfms_ring){
		.iova = vfms_get(d, REG_RING_IOVA),
		.size = vfms_get(d, REG_RING_SIZE),
		.seed = vfms_get(d, REG_RING_SEED),
	};
	d->plan = vfms_plan_of(&d->ring);
	*vfms_reg(d, REG_RING_COUNT) = 0;
}

void vfms_ring_control(struct vfms *d, u64 command)
{
	int ret = 0;

	if (command == RING_STOP) {
		*vfms_reg(d, REG_RING_STATUS) = 0;
		return;
	}
	if (command == RING_START)
		start_ring(d);
	if (!vfms_ring_ok(&d->ring))
		ret = -EINVAL;
	else if (!vfms_bus_master(d))
		ret = -EACCES;
	if (ret) {
		fail_ring(d, ret);
		return;
	}
	*vfms_reg(d, REG_RING_ERROR) = 0;
	*vfms_reg(d, REG_RING_STATUS) = 1;
	/* time until now was not the ring's */
	d->ring_clock = (struct vfms_clock){ .last_ns = ktime_get_ns() };
}
