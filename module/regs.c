// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * The registers of BAR0: one table says of each what may be done with it, what happens
 * then, and which values an image may bring.
 *
 * A register is 64 bits, and a 4-byte write to one of its halves is a write of the whole
 * with the other half as it was (zeros where there is nothing to keep).
 */

#include "vfmig_sim.h"

enum reg_kind {
	KIND_NONE,    /* reads 0 */
	KIND_FIXED,   /* constant; not in the image */
	KIND_COUNTER, /* read only, in the image */
	KIND_RW,
	KIND_W1C,    /* a one clears: its function does */
	KIND_ACTION, /* nothing is kept of what is written */
};

struct reg_desc {
	enum reg_kind kind;
	bool live; /* time changes it */
	u64 max;   /* of a value written or loaded; 0: any */
	/* after a write: the register as it was, the value written */
	int (*written)(struct vfms *d, u64 old, u64 value);
};

static int write_irq_status(struct vfms *d, u64 old, u64 value)
{
	vfms_irq_ack(d, value);
	return 0;
}

static int write_irq_mask(struct vfms *d, u64 old, u64 value)
{
	vfms_irq_mask(d, old);
	return 0;
}

static int write_irq_test(struct vfms *d, u64 old, u64 value)
{
	if (value >= d->params.vectors)
		return -EINVAL;
	vfms_irq_test(d, value);
	return 0;
}

static int write_doorbell(struct vfms *d, u64 old, u64 value)
{
	vfms_job_ring_doorbell(d);
	return 0;
}

static int write_ring_control(struct vfms *d, u64 old, u64 value)
{
	vfms_ring_control(d, value);
	return 0;
}

static int write_ring_step(struct vfms *d, u64 old, u64 value)
{
	vfms_ring_step(d, value);
	return 0;
}

static int write_state_step(struct vfms *d, u64 old, u64 value)
{
	vfms_state_step(d, value);
	return 0;
}

static int write_latch(struct vfms *d, u64 old, u64 value)
{
	vfms_state_digest(d);
	return 0;
}

#define ERRNO_MAX 4095
#define AT(reg) [REG_##reg / 8]

/* clang-format off */
static const struct reg_desc regs[VFMS_NR_REGS] = {
	AT(MAGIC)	   = { KIND_FIXED },
	AT(VERSION)	   = { KIND_FIXED },
	AT(STATE_SIZE)	   = { KIND_FIXED },
	AT(BAR_SIZE)	   = { KIND_FIXED },
	AT(VECTORS)	   = { KIND_FIXED },
	AT(SCRATCH)	   = { KIND_RW },
	AT(IRQ_STATUS)	   = { KIND_W1C, true, VFMS_IRQ_ALL, write_irq_status },
	AT(IRQ_MASK)	   = { KIND_RW, false, 0, write_irq_mask },
	AT(IRQ_TEST)	   = { KIND_ACTION, false, 0, write_irq_test },
	AT(IRQ_COUNT)	   = { KIND_COUNTER, true },
	AT(JOB_OP)	   = { KIND_RW },
	AT(JOB_IOVA)	   = { KIND_RW },
	AT(JOB_LEN)	   = { KIND_RW },
	AT(JOB_OFFSET)	   = { KIND_RW },
	AT(JOB_SEED)	   = { KIND_RW },
	AT(JOB_STATUS)	   = { KIND_COUNTER, true, JOB_FAILED },
	AT(JOB_ERROR)	   = { KIND_COUNTER, true, ERRNO_MAX },
	AT(JOB_RESULT)	   = { KIND_COUNTER, true },
	AT(JOB_COUNT)	   = { KIND_COUNTER, true },
	AT(JOB_DOORBELL)   = { KIND_ACTION, false, 0, write_doorbell },
	AT(RING_IOVA)	   = { KIND_RW },
	AT(RING_SIZE)	   = { KIND_RW },
	AT(RING_SEED)	   = { KIND_RW },
	AT(RING_RATE)	   = { KIND_RW, false, VFMS_RATE_MAX },
	AT(RING_IRQ_EVERY) = { KIND_RW },
	AT(RING_CONTROL)   = { KIND_ACTION, false, RING_CONTINUE, write_ring_control },
	AT(RING_STATUS)	   = { KIND_COUNTER, true, 1 },
	AT(RING_ERROR)	   = { KIND_COUNTER, true, ERRNO_MAX },
	AT(RING_COUNT)	   = { KIND_COUNTER, true },
	AT(RING_STEP)	   = { KIND_ACTION, false, VFMS_STEP_MAX, write_ring_step },
	AT(STATE_RATE)	   = { KIND_RW, false, VFMS_RATE_MAX },
	AT(STATE_CHANGES)  = { KIND_COUNTER, true },
	AT(STATE_STEP)	   = { KIND_ACTION, false, VFMS_STEP_MAX, write_state_step },
	AT(STATE_SEED)	   = { KIND_COUNTER },
	AT(DIGEST_LATCH)   = { KIND_ACTION, false, 0, write_latch },
	AT(DIGEST_CHANGES) = { KIND_COUNTER },
	AT(DIGEST)	   = { KIND_COUNTER },
	AT(DIGEST_LOW)	   = { KIND_COUNTER },
};
/* clang-format on */

static bool in_image(const struct reg_desc *desc)
{
	return desc->kind == KIND_COUNTER || desc->kind == KIND_RW || desc->kind == KIND_W1C;
}

static bool writable(const struct reg_desc *desc)
{
	return desc->kind == KIND_RW || desc->kind == KIND_W1C || desc->kind == KIND_ACTION;
}

static bool too_large(const struct reg_desc *desc, u64 value)
{
	return desc->max && value > desc->max;
}

void vfms_regs_reset(struct vfms *d)
{
	memset(d->reg, 0, sizeof(d->reg));
	*vfms_reg(d, REG_MAGIC) = VFMS_MAGIC;
	*vfms_reg(d, REG_VERSION) = VFMS_MODEL_VERSION;
	*vfms_reg(d, REG_STATE_SIZE) = d->params.state;
	*vfms_reg(d, REG_BAR_SIZE) = d->params.bar;
	*vfms_reg(d, REG_VECTORS) = d->params.vectors;
	*vfms_reg(d, REG_STATE_RATE) = d->params.dirty;
	*vfms_reg(d, REG_STATE_SEED) = d->params.seed;
}

void vfms_regs_read(struct vfms *d, u64 offset, void *buf, size_t len)
{
	bool synced = false;
	u8 *out = buf;

	while (len) {
		size_t n = offset / 8, skip = offset % 8, part = min_t(size_t, len, 8 - skip);
		u64 value = 0;

		if (n < VFMS_NR_REGS) {
			if (regs[n].live && !synced) {
				vfms_sync(d);
				synced = true;
			}
			value = d->reg[n];
		}
		memcpy(out, (u8 *)&value + skip, part);
		out += part;
		offset += part;
		len -= part;
	}
}

/* The whole value that a write of one half or both means; false: it means nothing. */
static bool whole_value(const struct reg_desc *desc, u64 old, u64 offset, const void *buf,
			size_t len, u64 *value)
{
	if (desc->kind == KIND_ACTION && offset % 8)
		return false;
	*value = desc->kind == KIND_RW ? old : 0;
	memcpy((u8 *)value + offset % 8, buf, len);
	return true;
}

int vfms_regs_write(struct vfms *d, u64 offset, const void *buf, size_t len)
{
	size_t n = offset / 8;
	const struct reg_desc *desc;
	u64 old, value;
	int ret;

	if ((len != 4 && len != 8) || offset % len)
		return -EINVAL;
	if (n >= VFMS_NR_REGS || !writable(&regs[n]))
		return 0;
	desc = &regs[n];
	if (!whole_value(desc, d->reg[n], offset, buf, len, &value))
		return 0;
	if (desc->kind != KIND_W1C && too_large(desc, value))
		return -EINVAL;
	/* what was due until now was due at the old settings */
	vfms_sync(d);
	old = d->reg[n];
	if (desc->kind == KIND_RW)
		d->reg[n] = value;
	ret = desc->written ? desc->written(d, old, value) : 0;
	vfms_settle(d);
	return ret;
}

size_t vfms_regs_image_size(void)
{
	size_t count = 0, i;

	for (i = 0; i < VFMS_NR_REGS; i++)
		count += in_image(&regs[i]);
	return count * 8;
}

void vfms_regs_save(const struct vfms *d, u8 *out)
{
	size_t i;

	for (i = 0; i < VFMS_NR_REGS; i++)
		if (in_image(&regs[i])) {
			put64(out, d->reg[i]);
			out += 8;
		}
}

int vfms_regs_load(const struct vfms *d, const u8 *in, u64 *reg)
{
	size_t i;

	for (i = 0; i < VFMS_NR_REGS; i++) {
		reg[i] = d->reg[i];
		if (!in_image(&regs[i]))
			continue;
		reg[i] = get64(in);
		in += 8;
		if (too_large(&regs[i], reg[i]))
			return -EBADMSG;
	}
	return 0;
}
