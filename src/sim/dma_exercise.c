// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * How to make sim:dma do something, through any struct vfm_device: its own driver,
 * one could say. A job is begun by a register, and done when another register says
 * so; while it is not, the device is served, for one that does DMA by messages does it then.
 */

#include <vfmig/exercise.h>
#include <vfmig/sim.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"

/* A job that takes longer is lost. */
#define JOB_MS 5000

/* Bytes a second of a stream: enough to hit every moment. */
#define STREAM_RATE (UINT64_C(64) << 20)

static int exercise_begin(struct vfm_device *dev, void **priv, struct vfm_err *err)
{
	int ret = vfm_sim_enable(dev, true, err);

	*priv = ret ? NULL : malloc(1);
	return ret || *priv ? ret : vfm_fail(err, -ENOMEM, "no memory");
}

static void exercise_end(void *priv)
{
	free(priv);
}

static int serve(struct vfm_device *dev, struct vfm_err *err)
{
	struct pollfd p = { .fd = vfm_device_get_fd(dev), .events = POLLIN };

	return poll(&p, 1, 1) > 0 ? vfm_device_process(dev, err) : 0;
}

static int wait_for_job(struct vfm_device *dev, struct vfm_err *err)
{
	uint64_t end = vfm_now_ns() + (uint64_t)JOB_MS * 1000000, status = VFM_SIM_JOB_QUEUED;
	int ret = 0;

	while (!ret && status == VFM_SIM_JOB_QUEUED) {
		if (vfm_now_ns() > end)
			return vfm_fail(err, -ETIME, "a job was not done in %u ms", JOB_MS);
		ret = vfm_sim_read(dev, VFM_SIM_REG_JOB_STATUS, &status, err);
		if (!ret && status == VFM_SIM_JOB_QUEUED)
			ret = serve(dev, err);
	}
	if (!ret && status != VFM_SIM_JOB_DONE)
		return vfm_fail(err, -EIO, "a job ended with status %" PRIu64, status);
	return ret;
}

static int exercise_write(void *priv, struct vfm_device *dev, uint64_t iova, uint64_t size,
			  uint64_t seed, struct vfm_err *err)
{
	const struct {
		enum vfm_sim_reg reg;
		uint64_t value;
	} job[] = {
		{ VFM_SIM_REG_JOB_OP, VFM_SIM_JOB_FILL },
		{ VFM_SIM_REG_JOB_IOVA, iova },
		{ VFM_SIM_REG_JOB_LEN, size },
		{ VFM_SIM_REG_JOB_SEED, seed | 1 },
		{ VFM_SIM_REG_JOB_DOORBELL, 1 },
	};
	int ret = 0;

	(void)priv;
	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(job); i++)
		ret = vfm_sim_write(dev, job[i].reg, job[i].value, err);
	return ret ? ret : wait_for_job(dev, err);
}

static int exercise_stream(void *priv, struct vfm_device *dev, bool on, uint64_t iova,
			   uint64_t size, struct vfm_err *err)
{
	const struct vfm_sim_ring ring = { .iova = iova, .size = size, .seed = 1 };

	(void)priv;
	return on ? vfm_sim_start_ring(dev, &ring, STREAM_RATE, 0, err)
		  : vfm_sim_stop_ring(dev, err);
}

static int exercise_interrupt(void *priv, struct vfm_device *dev, struct vfm_err *err)
{
	(void)priv;
	return vfm_sim_write(dev, VFM_SIM_REG_IRQ_TEST, 0, err);
}

static int exercise_change(void *priv, struct vfm_device *dev, struct vfm_err *err)
{
	(void)priv;
	return vfm_sim_write(dev, VFM_SIM_REG_STATE_STEP, 1, err);
}

static const struct vfm_exercise dma = {
	VFM_EXERCISE_INIT,	   .begin = exercise_begin,   .end = exercise_end,
	.write = exercise_write,   .stream = exercise_stream, .interrupt = exercise_interrupt,
	.irq_index = VFM_PCI_MSIX, .irq_vector = 0,	      .change = exercise_change,
};

VFM_API const struct vfm_exercise *vfm_sim_exercise(const char *model)
{
	return strcmp(model, VFM_SIM_DMA_MODEL) ? NULL : &dma;
}

/* "fffa:0d3a": reading it does nothing to any device. */
static bool has_our_identity(struct vfm_device *dev)
{
	uint8_t bytes[4];
	struct vfm_reader r = vfm_reader_of(bytes, sizeof(bytes));

	if (vfm_device_read_region(dev, VFM_PCI_CONFIG, 0, bytes, sizeof(bytes), NULL))
		return false;
	return vfm_read_le16(&r) == VFM_SIM_PCI_VENDOR && vfm_read_le16(&r) == VFM_SIM_PCI_DEVICE;
}

VFM_API const struct vfm_exercise *vfm_sim_find_exercise(struct vfm_device *dev)
{
	struct vfm_compat compat;

	if (!vfm_device_get_compat(dev, &compat, NULL))
		return vfm_sim_exercise(compat.model);
	return has_our_identity(dev) ? &dma : NULL;
}
