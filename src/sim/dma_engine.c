// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What sim:dma does by DMA: one-shot jobs, and the ring. Both are synchronous:
 * when a callback returns, no DMA is under way, which makes stopping trivial.
 *
 * The device cannot tell peer-to-peer DMA from the rest, so like many real ones
 * it stops all of it in the P2P states. Writes of the ring that would have been
 * due meanwhile are not made up for; a job waits.
 */

#include "sim/dma.h"

#include <errno.h>

#include "base/checksum.h"
#include "base/util.h"

/* Longest time in one go: a user with slow memory still gets answers from us. */
#define RING_SLICE_NS 10000000u

bool vfm_sim_dma_state_allows(enum vfm_state state)
{
	return state == VFM_STATE_RUNNING || state == VFM_STATE_PRE_COPY;
}

static bool allowed_now(const struct vfm_sim_dma *d)
{
	return vfm_sim_dma_state_allows(vfm_host_state(d->host)) && vfm_sim_dma_bus_master(d);
}

/* ---- jobs ---------------------------------------------------------------- */

struct job {
	uint64_t iova;
	uint64_t len;
	uint64_t offset;
	uint64_t seed;
	struct vfm_digest *digest;
};

static int fill_chunk(struct vfm_sim_dma *d, const struct job *job, uint64_t done, size_t len)
{
	vfm_sim_fill(job->seed, done, d->scratch, len);
	return vfm_host_write_dma(d->host, job->iova + done, d->scratch, len, NULL);
}

static int read_chunk(struct vfm_sim_dma *d, const struct job *job, uint64_t done, size_t len)
{
	return vfm_host_read_dma(d->host, job->iova + done, d->mem + job->offset + done, len, NULL);
}

static int write_chunk(struct vfm_sim_dma *d, const struct job *job, uint64_t done, size_t len)
{
	return vfm_host_write_dma(d->host, job->iova + done, d->mem + job->offset + done, len,
				  NULL);
}

static int checksum_chunk(struct vfm_sim_dma *d, const struct job *job, uint64_t done, size_t len)
{
	int ret = vfm_host_read_dma(d->host, job->iova + done, d->scratch, len, NULL);

	if (!ret)
		vfm_digest_update(job->digest, d->scratch, len);
	return ret;
}

static const struct job_op {
	int (*chunk)(struct vfm_sim_dma *d, const struct job *job, uint64_t done, size_t len);
	bool uses_bar;
} job_ops[] = {
	[VFM_SIM_JOB_FILL] = { fill_chunk, false },
	[VFM_SIM_JOB_READ] = { read_chunk, true },
	[VFM_SIM_JOB_WRITE] = { write_chunk, true },
	[VFM_SIM_JOB_CHECKSUM] = { checksum_chunk, false },
};

static int check_job(const struct vfm_sim_dma *d, const struct job *job, uint64_t op)
{
	if (op >= VFM_ARRAY_SIZE(job_ops) || !job_ops[op].chunk)
		return -EOPNOTSUPP;
	if (!job->len || vfm_range_wraps(job->iova, job->len))
		return -EINVAL;
	if (job->len > VFM_SIM_JOB_MAX)
		return -E2BIG;
	if (job_ops[op].uses_bar && !vfm_range_inside(job->offset, job->len, d->params.bar))
		return -ERANGE;
	return vfm_sim_dma_bus_master(d) ? 0 : -EACCES;
}

/* The result, or why there is none. */
static int do_job(struct vfm_sim_dma *d, struct job *job, uint64_t op, uint64_t *result)
{
	uint8_t sum[VFM_DIGEST_SIZE];
	uint64_t done = 0;
	int ret = check_job(d, job, op);

	while (!ret && done < job->len) {
		size_t len = (size_t)VFM_MIN(job->len - done, sizeof(d->scratch));

		ret = job_ops[op].chunk(d, job, done, len);
		done += len;
	}
	*result = done;
	if (!ret && op == VFM_SIM_JOB_CHECKSUM) {
		vfm_digest_get(job->digest, sum);
		memcpy(result, sum, sizeof(*result));
		*result = le64toh(*result);
	}
	return ret;
}

void vfm_sim_dma_run_job(struct vfm_sim_dma *d)
{
	struct job job = {
		.iova = *vfm_sim_dma_reg(d, VFM_SIM_REG_JOB_IOVA),
		.len = *vfm_sim_dma_reg(d, VFM_SIM_REG_JOB_LEN),
		.offset = *vfm_sim_dma_reg(d, VFM_SIM_REG_JOB_OFFSET),
		.seed = *vfm_sim_dma_reg(d, VFM_SIM_REG_JOB_SEED),
		.digest = vfm_digest_new(),
	};
	uint64_t result = 0;
	int ret = job.digest ? do_job(d, &job, *vfm_sim_dma_reg(d, VFM_SIM_REG_JOB_OP), &result)
			     : -ENOMEM;

	vfm_digest_free(job.digest);
	*vfm_sim_dma_reg(d, VFM_SIM_REG_JOB_STATUS) = ret ? VFM_SIM_JOB_FAILED : VFM_SIM_JOB_DONE;
	*vfm_sim_dma_reg(d, VFM_SIM_REG_JOB_ERROR) = (uint64_t)-ret;
	*vfm_sim_dma_reg(d, VFM_SIM_REG_JOB_RESULT) = ret ? 0 : result;
	++*vfm_sim_dma_reg(d, VFM_SIM_REG_JOB_COUNT);
	vfm_sim_dma_irq_cause(d, VFM_SIM_IRQ_JOB);
	if (ret)
		vfm_sim_dma_irq_cause(d, VFM_SIM_IRQ_ERROR);
}

void vfm_sim_dma_doorbell(struct vfm_sim_dma *d)
{
	*vfm_sim_dma_reg(d, VFM_SIM_REG_JOB_STATUS) = VFM_SIM_JOB_QUEUED;
}

/* ---- the ring ------------------------------------------------------------ */

static void fail_ring(struct vfm_sim_dma *d, int ret)
{
	*vfm_sim_dma_reg(d, VFM_SIM_REG_RING_STATUS) = 0;
	*vfm_sim_dma_reg(d, VFM_SIM_REG_RING_ERROR) = (uint64_t)-ret;
	vfm_sim_dma_irq_cause(d, VFM_SIM_IRQ_ERROR);
}

/* One write: read what is there, and put in its place what follows from it. */
static int write_block(struct vfm_sim_dma *d, uint64_t number)
{
	uint64_t at = d->ring.iova + vfm_sim_plan_position(&d->plan, number) * VFM_SIM_BLOCK;
	uint8_t block[VFM_SIM_BLOCK];
	uint64_t before;
	int ret =
		vfm_host_read_dma(d->host, at + VFM_SIM_BLOCK_CHAIN, &before, sizeof(before), NULL);

	if (ret)
		return ret;
	vfm_sim_block(&d->plan, number, vfm_sim_chain(&d->plan, number, le64toh(before)), block);
	return vfm_host_write_dma(d->host, at, block, sizeof(block), NULL);
}

static int write_next(struct vfm_sim_dma *d)
{
	uint64_t *count = vfm_sim_dma_reg(d, VFM_SIM_REG_RING_COUNT);
	uint64_t every = *vfm_sim_dma_reg(d, VFM_SIM_REG_RING_IRQ_EVERY);
	int ret = write_block(d, *count + 1);

	if (ret) {
		fail_ring(d, ret);
		return ret;
	}
	++*count;
	if (every && *count % every == 0)
		vfm_sim_dma_irq_cause(d, VFM_SIM_IRQ_RING);
	return 0;
}

static bool ring_running(const struct vfm_sim_dma *d)
{
	return d->reg[VFM_SIM_REG_RING_STATUS / 8];
}

void vfm_sim_dma_ring_step(struct vfm_sim_dma *d, uint64_t count)
{
	if (!ring_running(d) || !allowed_now(d))
		return;
	while (count-- && !write_next(d))
		;
}

void vfm_sim_dma_ring_sync(struct vfm_sim_dma *d, uint64_t now_ns)
{
	uint64_t rate = *vfm_sim_dma_reg(d, VFM_SIM_REG_RING_RATE);
	uint64_t due = vfm_sim_dma_clock_due(&d->ring_clock, now_ns, rate, VFM_SIM_BLOCK);

	if (!ring_running(d) || !allowed_now(d))
		return;
	for (uint64_t i = 1; i <= due && !write_next(d); i++)
		if (i % VFM_SIM_SPAN_BLOCKS == 0 && vfm_now_ns() - now_ns > RING_SLICE_NS)
			return;
}

static void start_ring(struct vfm_sim_dma *d)
{
	d->ring = (struct vfm_sim_ring){
		.iova = *vfm_sim_dma_reg(d, VFM_SIM_REG_RING_IOVA),
		.size = *vfm_sim_dma_reg(d, VFM_SIM_REG_RING_SIZE),
		.seed = *vfm_sim_dma_reg(d, VFM_SIM_REG_RING_SEED),
	};
	d->plan = vfm_sim_plan_of(&d->ring);
	*vfm_sim_dma_reg(d, VFM_SIM_REG_RING_COUNT) = 0;
}

void vfm_sim_dma_ring_control(struct vfm_sim_dma *d, uint64_t command)
{
	int ret;

	if (command == VFM_SIM_RING_STOP) {
		*vfm_sim_dma_reg(d, VFM_SIM_REG_RING_STATUS) = 0;
		return;
	}
	if (command == VFM_SIM_RING_START)
		start_ring(d);
	ret = vfm_sim_ring_check(&d->ring, NULL);
	if (!ret && !vfm_sim_dma_bus_master(d))
		ret = -EACCES;
	if (ret) {
		fail_ring(d, ret);
		return;
	}
	*vfm_sim_dma_reg(d, VFM_SIM_REG_RING_ERROR) = 0;
	*vfm_sim_dma_reg(d, VFM_SIM_REG_RING_STATUS) = 1;
	/* time until now was not the ring's */
	d->ring_clock = (struct vfm_sim_dma_clock){ .last_ns = vfm_now_ns() };
}
