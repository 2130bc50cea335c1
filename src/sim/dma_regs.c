// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The registers of sim:dma: one table says of each what may be done with it, what
 * happens then, and which values an image may bring.
 *
 * A register is 64 bits, and a 4-byte write to one of its halves is a write of
 * the whole with the other half as it was (zeros where there is nothing to keep).
 */

#include "sim/dma.h"

#include <errno.h>
#include <inttypes.h>

#include "base/util.h"

enum reg_kind {
	REG_NONE,    /* reads 0 */
	REG_FIXED,   /* constant; not in the image */
	REG_COUNTER, /* ro, in the image */
	REG_RW,
	REG_W1C,    /* a one clears: its function does */
	REG_ACTION, /* nothing is kept of what is written */
};

struct reg_desc {
	enum reg_kind kind;
	bool live;    /* time changes it */
	uint64_t max; /* of a value written or loaded; 0: any */
	/* after a write: the register as it was, the value written */
	int (*written)(struct vfm_sim_dma *d, uint64_t old, uint64_t value, struct vfm_err *err);
};

static int write_irq_status(struct vfm_sim_dma *d, uint64_t old, uint64_t value,
			    struct vfm_err *err)
{
	(void)old;
	(void)err;
	vfm_sim_dma_irq_ack(d, value);
	return 0;
}

static int write_irq_mask(struct vfm_sim_dma *d, uint64_t old, uint64_t value, struct vfm_err *err)
{
	(void)value;
	(void)err;
	vfm_sim_dma_irq_mask(d, old);
	return 0;
}

static int write_irq_test(struct vfm_sim_dma *d, uint64_t old, uint64_t value, struct vfm_err *err)
{
	(void)old;
	if (value >= d->params.vectors)
		return vfm_fail(err, -EINVAL, "sim:dma: raise vector %" PRIu64 " of %" PRIu64,
				value, d->params.vectors);
	vfm_sim_dma_irq_test(d, value);
	return 0;
}

static int write_doorbell(struct vfm_sim_dma *d, uint64_t old, uint64_t value, struct vfm_err *err)
{
	(void)old;
	(void)value;
	(void)err;
	vfm_sim_dma_doorbell(d);
	return 0;
}

static int write_ring_control(struct vfm_sim_dma *d, uint64_t old, uint64_t value,
			      struct vfm_err *err)
{
	(void)old;
	(void)err;
	vfm_sim_dma_ring_control(d, value);
	return 0;
}

static int write_ring_step(struct vfm_sim_dma *d, uint64_t old, uint64_t value, struct vfm_err *err)
{
	(void)old;
	(void)err;
	vfm_sim_dma_ring_step(d, value);
	return 0;
}

static int write_state_step(struct vfm_sim_dma *d, uint64_t old, uint64_t value,
			    struct vfm_err *err)
{
	(void)old;
	(void)err;
	vfm_sim_dma_state_step(d, value);
	return 0;
}

static int write_latch(struct vfm_sim_dma *d, uint64_t old, uint64_t value, struct vfm_err *err)
{
	(void)old;
	(void)value;
	return vfm_sim_dma_state_digest(d, err);
}

#define IRQ_ALL (VFM_SIM_IRQ_JOB | VFM_SIM_IRQ_RING | VFM_SIM_IRQ_ERROR | VFM_SIM_IRQ_TEST)
#define ERRNO_MAX 4095
#define AT(reg) [VFM_SIM_REG_##reg / 8]

/* clang-format off */
static const struct reg_desc regs[VFM_SIM_DMA_NR_REGS] = {
	AT(MAGIC)	    = { REG_FIXED },
	AT(VERSION)	    = { REG_FIXED },
	AT(STATE_SIZE)	    = { REG_FIXED },
	AT(BAR_SIZE)	    = { REG_FIXED },
	AT(VECTORS)	    = { REG_FIXED },
	AT(SCRATCH)	    = { REG_RW },
	AT(IRQ_STATUS)	    = { REG_W1C, true, IRQ_ALL, write_irq_status },
	AT(IRQ_MASK)	    = { REG_RW, false, 0, write_irq_mask },
	AT(IRQ_TEST)	    = { REG_ACTION, false, 0, write_irq_test },
	AT(IRQ_COUNT)	    = { REG_COUNTER, true },
	AT(JOB_OP)	    = { REG_RW },
	AT(JOB_IOVA)	    = { REG_RW },
	AT(JOB_LEN)	    = { REG_RW },
	AT(JOB_OFFSET)	    = { REG_RW },
	AT(JOB_SEED)	    = { REG_RW },
	AT(JOB_STATUS)	    = { REG_COUNTER, true, VFM_SIM_JOB_FAILED },
	AT(JOB_ERROR)	    = { REG_COUNTER, true, ERRNO_MAX },
	AT(JOB_RESULT)	    = { REG_COUNTER, true },
	AT(JOB_COUNT)	    = { REG_COUNTER, true },
	AT(JOB_DOORBELL)    = { REG_ACTION, false, 0, write_doorbell },
	AT(RING_IOVA)	    = { REG_RW },
	AT(RING_SIZE)	    = { REG_RW },
	AT(RING_SEED)	    = { REG_RW },
	AT(RING_RATE)	    = { REG_RW, false, VFM_SIM_DMA_RATE_MAX },
	AT(RING_IRQ_EVERY)  = { REG_RW },
	AT(RING_CONTROL)    = { REG_ACTION, false, VFM_SIM_RING_CONTINUE, write_ring_control },
	AT(RING_STATUS)	    = { REG_COUNTER, true, 1 },
	AT(RING_ERROR)	    = { REG_COUNTER, true, ERRNO_MAX },
	AT(RING_COUNT)	    = { REG_COUNTER, true },
	AT(RING_STEP)	    = { REG_ACTION, false, VFM_SIM_STEP_MAX, write_ring_step },
	AT(STATE_RATE)	    = { REG_RW, false, VFM_SIM_DMA_RATE_MAX },
	AT(STATE_CHANGES)   = { REG_COUNTER, true },
	AT(STATE_STEP)	    = { REG_ACTION, false, VFM_SIM_STEP_MAX, write_state_step },
	AT(STATE_SEED)	    = { REG_COUNTER },
	AT(DIGEST_LATCH)    = { REG_ACTION, false, 0, write_latch },
	AT(DIGEST_CHANGES)  = { REG_COUNTER },
	AT(DIGEST)	    = { REG_COUNTER },
	[VFM_SIM_REG_DIGEST / 8 + 1] = { REG_COUNTER },
};
/* clang-format on */

static bool in_image(const struct reg_desc *desc)
{
	return desc->kind == REG_COUNTER || desc->kind == REG_RW || desc->kind == REG_W1C;
}

static bool writable(const struct reg_desc *desc)
{
	return desc->kind == REG_RW || desc->kind == REG_W1C || desc->kind == REG_ACTION;
}

static bool too_large(const struct reg_desc *desc, uint64_t value)
{
	return desc->max && value > desc->max;
}

void vfm_sim_dma_regs_reset(struct vfm_sim_dma *d)
{
	memset(d->reg, 0, sizeof(d->reg));
	*vfm_sim_dma_reg(d, VFM_SIM_REG_MAGIC) = VFM_SIM_MAGIC;
	*vfm_sim_dma_reg(d, VFM_SIM_REG_VERSION) = 1;
	*vfm_sim_dma_reg(d, VFM_SIM_REG_STATE_SIZE) = d->params.state;
	*vfm_sim_dma_reg(d, VFM_SIM_REG_BAR_SIZE) = d->params.bar;
	*vfm_sim_dma_reg(d, VFM_SIM_REG_VECTORS) = d->params.vectors;
	*vfm_sim_dma_reg(d, VFM_SIM_REG_STATE_RATE) = d->params.dirty;
	*vfm_sim_dma_reg(d, VFM_SIM_REG_STATE_SEED) = d->params.seed;
}

void vfm_sim_dma_regs_read(struct vfm_sim_dma *d, uint64_t offset, void *buf, size_t len)
{
	uint8_t *out = (uint8_t *)buf;
	bool synced = false;

	while (len) {
		uint64_t n = offset / 8, raw = 0;
		size_t skip = offset % 8, part = VFM_MIN(len, 8 - skip);

		if (n < VFM_SIM_DMA_NR_REGS) {
			if (regs[n].live && !synced) {
				vfm_sim_dma_sync(d);
				synced = true;
			}
			raw = htole64(d->reg[n]);
		}
		memcpy(out, (uint8_t *)&raw + skip, part);
		out += part;
		offset += part;
		len -= part;
	}
}

/* The whole value that a write of one half or both means; false: it means nothing. */
static bool whole_value(const struct reg_desc *desc, uint64_t old, uint64_t offset, const void *buf,
			size_t len, uint64_t *value)
{
	uint64_t raw = desc->kind == REG_RW ? htole64(old) : 0;

	if (desc->kind == REG_ACTION && offset % 8)
		return false;
	memcpy((uint8_t *)&raw + offset % 8, buf, len);
	*value = le64toh(raw);
	return true;
}

int vfm_sim_dma_regs_write(struct vfm_sim_dma *d, uint64_t offset, const void *buf, size_t len,
			   struct vfm_err *err)
{
	uint64_t n = offset / 8, old, value;
	const struct reg_desc *desc = &regs[n < VFM_SIM_DMA_NR_REGS ? n : 0];
	int ret;

	if ((len != 4 && len != 8) || offset % len)
		return vfm_fail(err, -EINVAL,
				"sim:dma: write of %zu bytes at register 0x%" PRIx64
				": only 4 or 8, aligned",
				len, offset);
	if (n >= VFM_SIM_DMA_NR_REGS || !writable(desc))
		return 0;
	old = d->reg[n];
	if (!whole_value(desc, old, offset, buf, len, &value))
		return 0;
	if (desc->kind != REG_W1C && too_large(desc, value))
		return vfm_fail(err, -EINVAL,
				"sim:dma: register 0x%" PRIx64 ": %" PRIu64
				" is more than %" PRIu64,
				n * 8, value, desc->max);
	/* what was due until now was due at the old settings */
	vfm_sim_dma_sync(d);
	old = d->reg[n];
	if (desc->kind == REG_RW)
		d->reg[n] = value;
	ret = desc->written ? desc->written(d, old, value, err) : 0;
	vfm_sim_dma_settle(d);
	return ret;
}

size_t vfm_sim_dma_regs_image_size(void)
{
	size_t count = 0;

	for (size_t i = 0; i < VFM_SIM_DMA_NR_REGS; i++)
		count += in_image(&regs[i]);
	return count * 8;
}

void vfm_sim_dma_regs_save(const struct vfm_sim_dma *d, struct vfm_writer *w)
{
	for (size_t i = 0; i < VFM_SIM_DMA_NR_REGS; i++)
		if (in_image(&regs[i]))
			vfm_write_le64(w, d->reg[i]);
}

int vfm_sim_dma_regs_load(const struct vfm_sim_dma *d, struct vfm_reader *r, uint64_t *reg,
			  struct vfm_err *err)
{
	for (size_t i = 0; i < VFM_SIM_DMA_NR_REGS; i++) {
		reg[i] = in_image(&regs[i]) ? vfm_read_le64(r) : d->reg[i];
		if (in_image(&regs[i]) && too_large(&regs[i], reg[i]))
			return vfm_fail(err, -EBADMSG,
					"image of sim:dma: register 0x%zx is %" PRIu64
					", more than %" PRIu64,
					i * 8, reg[i], regs[i].max);
	}
	return 0;
}
