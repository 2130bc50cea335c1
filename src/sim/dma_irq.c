// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Interrupts of sim:dma. A cause becomes a pending vector (MSI-X enabled) or a
 * pending INTx, and is delivered at once if it can be. What cannot, because the
 * guest masked it or the device is stopped, stays pending, is part of the image,
 * and is delivered as soon as it can.
 *
 * Surprise: the mask bits of the MSI-X table are 0 after reset. Under VFIO it is
 * usually the monitor that keeps the guest's table, and it never reaches the
 * device; a table that was born masked would then never let anything through.
 */

#include "sim/dma.h"

#include <errno.h>

#include "base/bitmap.h"
#include "base/util.h"

/* The vector control word of an entry; its lowest bit masks. */
#define VECTOR_CONTROL 12u

void vfm_sim_dma_irq_reset(struct vfm_sim_dma *d)
{
	memset(d->msix_table, 0, sizeof(d->msix_table));
	memset(d->msix_pending, 0, sizeof(d->msix_pending));
	d->intx_pending = false;
}

static uint64_t unmasked_causes(const struct vfm_sim_dma *d)
{
	return d->reg[VFM_SIM_REG_IRQ_STATUS / 8] & ~d->reg[VFM_SIM_REG_IRQ_MASK / 8];
}

static void raise_vector(struct vfm_sim_dma *d, uint64_t vector)
{
	if (vfm_sim_dma_msix_enabled(d))
		vfm_bitmap_set(d->msix_pending, vector % d->params.vectors);
	else
		d->intx_pending = true;
}

static void raise_causes(struct vfm_sim_dma *d, uint64_t causes)
{
	static const struct {
		uint32_t cause;
		uint32_t vector;
	} vectors[] = {
		{ VFM_SIM_IRQ_JOB, 0 },
		{ VFM_SIM_IRQ_RING, 1 },
		{ VFM_SIM_IRQ_ERROR, 2 },
	};

	for (size_t i = 0; i < VFM_ARRAY_SIZE(vectors); i++)
		if (causes & vectors[i].cause)
			raise_vector(d, vectors[i].vector);
}

void vfm_sim_dma_irq_cause(struct vfm_sim_dma *d, uint32_t cause)
{
	*vfm_sim_dma_reg(d, VFM_SIM_REG_IRQ_STATUS) |= cause;
	raise_causes(d, cause & unmasked_causes(d));
	/* not left to settle(): two interrupts of one catch-up are two, as long as they can go */
	vfm_sim_dma_irq_deliver(d);
}

void vfm_sim_dma_irq_test(struct vfm_sim_dma *d, uint64_t vector)
{
	*vfm_sim_dma_reg(d, VFM_SIM_REG_IRQ_STATUS) |= VFM_SIM_IRQ_TEST;
	if (unmasked_causes(d) & VFM_SIM_IRQ_TEST)
		raise_vector(d, vector);
	vfm_sim_dma_irq_deliver(d);
}

void vfm_sim_dma_irq_ack(struct vfm_sim_dma *d, uint64_t causes)
{
	*vfm_sim_dma_reg(d, VFM_SIM_REG_IRQ_STATUS) &= ~causes;
	/* INTx is a level: nobody pulls it any more */
	if (!unmasked_causes(d))
		d->intx_pending = false;
}

void vfm_sim_dma_irq_mask(struct vfm_sim_dma *d, uint64_t old)
{
	raise_causes(d, old & unmasked_causes(d));
	if (!unmasked_causes(d))
		d->intx_pending = false;
	vfm_sim_dma_irq_deliver(d);
}

static bool vector_masked(const struct vfm_sim_dma *d, uint64_t vector)
{
	return d->msix_table[vector * VFM_SIM_DMA_MSIX_ENTRY + VECTOR_CONTROL] & 1;
}

/* The next pending vector at or after @from that the guest lets through. */
static uint64_t next_vector(const struct vfm_sim_dma *d, uint64_t from)
{
	uint64_t count = d->params.vectors, v;

	if (!vfm_sim_dma_msix_enabled(d) || vfm_sim_dma_msix_masked(d))
		return count;
	v = vfm_bitmap_next_set(d->msix_pending, count, from);
	while (v < count && vector_masked(d, v))
		v = vfm_bitmap_next_set(d->msix_pending, count, v + 1);
	return v;
}

static bool intx_deliverable(const struct vfm_sim_dma *d)
{
	return d->intx_pending && !vfm_sim_dma_msix_enabled(d) && !vfm_sim_dma_intx_disabled(d);
}

bool vfm_sim_dma_irq_deliverable(const struct vfm_sim_dma *d)
{
	return intx_deliverable(d) || next_vector(d, 0) < d->params.vectors;
}

/* Whether it is out of our hands now; the framework says -EPERM while we are stopped. */
static bool give_out(struct vfm_sim_dma *d, uint32_t index, uint32_t vector)
{
	int ret = vfm_host_raise_irq(d->host, index, vector, NULL);

	if (ret == -EPERM)
		return false;
	if (!ret)
		++*vfm_sim_dma_reg(d, VFM_SIM_REG_IRQ_COUNT);
	return true;
}

void vfm_sim_dma_irq_deliver(struct vfm_sim_dma *d)
{
	uint64_t count = d->params.vectors;

	if (intx_deliverable(d) && give_out(d, VFM_PCI_INTX, 0))
		d->intx_pending = false;
	for (uint64_t v = next_vector(d, 0); v < count; v = next_vector(d, v + 1))
		if (give_out(d, VFM_PCI_MSIX, (uint32_t)v))
			vfm_bitmap_clear(d->msix_pending, v);
}

void vfm_sim_dma_msix_read(const struct vfm_sim_dma *d, uint64_t offset, void *buf, size_t len)
{
	uint8_t *out = (uint8_t *)buf;

	for (size_t i = 0; i < len; i++) {
		uint64_t at = offset + i, pba = at - VFM_SIM_MSIX_PBA;

		if (at < d->params.vectors * VFM_SIM_DMA_MSIX_ENTRY)
			out[i] = d->msix_table[at];
		else if (at >= VFM_SIM_MSIX_PBA && pba < sizeof(d->msix_pending))
			out[i] = (uint8_t)(d->msix_pending[pba / 8] >> (pba % 8 * 8));
		else
			out[i] = 0;
	}
}

void vfm_sim_dma_msix_write(struct vfm_sim_dma *d, uint64_t offset, const void *buf, size_t len)
{
	const uint8_t *in = (const uint8_t *)buf;

	vfm_sim_dma_sync(d);
	for (size_t i = 0; i < len; i++) {
		uint64_t at = offset + i, in_entry = at % VFM_SIM_DMA_MSIX_ENTRY;
		uint8_t mask = in_entry < VECTOR_CONTROL ? 0xff : in_entry == VECTOR_CONTROL;

		if (at < d->params.vectors * VFM_SIM_DMA_MSIX_ENTRY)
			d->msix_table[at] = in[i] & mask;
	}
	vfm_sim_dma_settle(d);
}
