// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * Interrupts, both sides. The device's: a cause becomes a pending vector (MSI-X enabled) or a
 * pending INTx, and is delivered at once if it can be; what cannot, because the guest
 * masked it or the device is stopped, stays pending, is part of the image, and is
 * delivered as soon as it can. The user's: eventfds, and masks of VFIO.
 *
 * Surprise: the mask bits of the MSI-X table are 0 after reset. Under VFIO it is usually the
 * monitor that keeps the guest's table, and it never reaches the device.
 */

#include "vfmig_sim.h"

#define VECTOR_CONTROL 12u /* of an entry; its lowest bit masks */

/* ---- the user's side ------------------------------------------------------------- */

struct irq_kind {
	u32 flags;
	size_t first; /* offset of the first vector in struct vfms */
	u32 (*count)(const struct vfms *d);
};

static u32 count_one(const struct vfms *d)
{
	return 1;
}

static u32 count_vectors(const struct vfms *d)
{
	return d->params.vectors;
}

static const struct irq_kind kinds[VFIO_PCI_NUM_IRQS] = {
	[VFIO_PCI_INTX_IRQ_INDEX] = {
		VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED,
		offsetof(struct vfms, intx), count_one,
	},
	[VFIO_PCI_MSIX_IRQ_INDEX] = {
		VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE,
		offsetof(struct vfms, msix), count_vectors,
	},
	[VFIO_PCI_REQ_IRQ_INDEX] = {
		VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE,
		offsetof(struct vfms, request), count_one,
	},
};

static struct vfms_vector *vectors_of(struct vfms *d, u32 index)
{
	return (struct vfms_vector *)((u8 *)d + kinds[index].first);
}

int vfms_irq_info(const struct vfms *d, struct vfio_irq_info *info)
{
	const struct irq_kind *kind;

	if (info->index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	kind = &kinds[info->index];
	info->flags = kind->flags;
	info->count = kind->count ? kind->count(d) : 0;
	return 0;
}

static void signal(struct vfms_vector *v, bool automasked)
{
	if (!v->trigger)
		return;
	vfms_eventfd_signal(v->trigger);
	if (automasked)
		v->masked = true;
}

static void raise(struct vfms_vector *v, bool automasked)
{
	if (v->masked)
		v->pending = true;
	else
		signal(v, automasked);
}

static void unmask(struct vfms_vector *v, bool automasked)
{
	v->masked = false;
	if (!v->pending)
		return;
	v->pending = false;
	signal(v, automasked);
}

static void unwire(struct vfms_vector *v)
{
	if (v->trigger)
		eventfd_ctx_put(v->trigger);
	v->trigger = NULL;
	v->pending = false;
}

void vfms_irq_unwire_all(struct vfms *d)
{
	u32 i;

	unwire(&d->intx);
	unwire(&d->request);
	for (i = 0; i < VFMS_MAX_VECTORS; i++)
		unwire(&d->msix[i]);
}

/*
 * One after the other, so a descriptor that is none leaves those before it wired: then
 * the user is told that the call failed, and wires again.
 */
static int wire(struct vfms_vector *v, const s32 *fds, u32 count)
{
	u32 i;

	for (i = 0; i < count; i++) {
		struct eventfd_ctx *trigger = NULL;

		if (fds[i] < -1)
			return -EINVAL;
		if (fds[i] >= 0)
			trigger = eventfd_ctx_fdget(fds[i]);
		if (IS_ERR(trigger))
			return PTR_ERR(trigger);
		unwire(&v[i]);
		v[i].trigger = trigger;
	}
	return 0;
}

static void act(struct vfms_vector *v, u32 action, bool automasked)
{
	if (action == VFIO_IRQ_SET_ACTION_MASK)
		v->masked = true;
	else if (action == VFIO_IRQ_SET_ACTION_UNMASK)
		unmask(v, automasked);
	else
		signal(v, automasked);
}

/* @hdr was validated by the core: one type of data, one action, vectors that there are. */
int vfms_irq_set(struct vfms *d, const struct vfio_irq_set *hdr, const void *data)
{
	const struct irq_kind *kind = &kinds[hdr->index];
	u32 action = hdr->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK, i;
	bool automasked = kind->flags & VFIO_IRQ_INFO_AUTOMASKED;
	struct vfms_vector *v;

	if (!kind->count)
		return -ENOTTY;
	v = vectors_of(d, hdr->index) + hdr->start;
	if (!hdr->count) {
		if (action != VFIO_IRQ_SET_ACTION_TRIGGER || hdr->start)
			return -EINVAL;
		for (i = 0; i < kind->count(d); i++)
			unwire(&v[i]);
		return 0;
	}
	if (action != VFIO_IRQ_SET_ACTION_TRIGGER && !(kind->flags & VFIO_IRQ_INFO_MASKABLE))
		return -ENOTTY;
	if (hdr->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return action == VFIO_IRQ_SET_ACTION_TRIGGER ? wire(v, data, hdr->count) : -ENOTTY;
	for (i = 0; i < hdr->count; i++)
		if (hdr->flags & VFIO_IRQ_SET_DATA_NONE || ((const u8 *)data)[i])
			act(&v[i], action, automasked);
	return 0;
}

void vfms_irq_request(struct vfms *d)
{
	signal(&d->request, false);
}

/* ---- the device's side ----------------------------------------------------------- */

static void unmask_after_reset(struct vfms_vector *v)
{
	v->masked = false;
	v->pending = false;
}

void vfms_irq_reset(struct vfms *d)
{
	u32 i;

	memset(d->msix_table, 0, sizeof(d->msix_table));
	bitmap_zero(d->msix_pending, VFMS_MAX_VECTORS);
	d->intx_pending = false;
	unmask_after_reset(&d->intx);
	for (i = 0; i < VFMS_MAX_VECTORS; i++)
		unmask_after_reset(&d->msix[i]);
}

static u64 unmasked_causes(const struct vfms *d)
{
	return vfms_get(d, REG_IRQ_STATUS) & ~vfms_get(d, REG_IRQ_MASK);
}

static void raise_vector(struct vfms *d, u64 vector)
{
	if (!vfms_mig_active(d->mig) && vfms_fault(d, FAULT_IRQ_FORGOTTEN))
		return;
	if (vfms_msix_enabled(d))
		__set_bit(vector % d->params.vectors, d->msix_pending);
	else
		d->intx_pending = true;
}

static void raise_causes(struct vfms *d, u64 causes)
{
	static const struct {
		u32 cause;
		u32 vector;
	} vectors[] = {
		{ VFMS_IRQ_JOB, 0 },
		{ VFMS_IRQ_RING, 1 },
		{ VFMS_IRQ_ERROR, 2 },
	};
	u32 i;

	for (i = 0; i < ARRAY_SIZE(vectors); i++)
		if (causes & vectors[i].cause)
			raise_vector(d, vectors[i].vector);
}

void vfms_irq_cause(struct vfms *d, u32 cause)
{
	*vfms_reg(d, REG_IRQ_STATUS) |= cause;
	raise_causes(d, cause & unmasked_causes(d));
	vfms_irq_deliver(d);
}

void vfms_irq_test(struct vfms *d, u64 vector)
{
	*vfms_reg(d, REG_IRQ_STATUS) |= VFMS_IRQ_TEST;
	if (unmasked_causes(d) & VFMS_IRQ_TEST)
		raise_vector(d, vector);
	vfms_irq_deliver(d);
}

void vfms_irq_ack(struct vfms *d, u64 causes)
{
	*vfms_reg(d, REG_IRQ_STATUS) &= ~causes;
	/* INTx is a level: nobody pulls it any more */
	if (!unmasked_causes(d))
		d->intx_pending = false;
}

void vfms_irq_mask(struct vfms *d, u64 old)
{
	raise_causes(d, old & unmasked_causes(d));
	if (!unmasked_causes(d))
		d->intx_pending = false;
	vfms_irq_deliver(d);
}

static bool vector_masked(const struct vfms *d, u32 vector)
{
	return d->msix_table[vector * VFMS_MSIX_ENTRY + VECTOR_CONTROL] & 1;
}

static void give_out(struct vfms *d, struct vfms_vector *v, bool automasked)
{
	raise(v, automasked);
	++*vfms_reg(d, REG_IRQ_COUNT);
}

void vfms_irq_deliver(struct vfms *d)
{
	u32 v;

	if (!vfms_mig_active(d->mig) && !vfms_fault(d, FAULT_IRQ_AFTER_STOP))
		return;
	if (!vfms_msix_enabled(d)) {
		if (d->intx_pending && !vfms_intx_disabled(d)) {
			d->intx_pending = false;
			give_out(d, &d->intx, true);
		}
		return;
	}
	if (vfms_msix_masked(d))
		return;
	for_each_set_bit(v, d->msix_pending, d->params.vectors)
		if (!vector_masked(d, v)) {
			__clear_bit(v, d->msix_pending);
			give_out(d, &d->msix[v], false);
		}
}

/* ---- the table in BAR4 ----------------------------------------------------------- */

void vfms_msix_read(const struct vfms *d, u64 offset, void *buf, size_t len)
{
	u8 *out = buf;
	size_t i;

	for (i = 0; i < len; i++) {
		u64 at = offset + i, pba = at - VFMS_MSIX_PBA;

		if (at < d->params.vectors * VFMS_MSIX_ENTRY)
			out[i] = d->msix_table[at];
		else if (at >= VFMS_MSIX_PBA && pba < sizeof(d->msix_pending))
			out[i] = d->msix_pending[pba / 8] >> (pba % 8 * 8);
		else
			out[i] = 0;
	}
}

void vfms_msix_write(struct vfms *d, u64 offset, const void *buf, size_t len)
{
	const u8 *in = buf;
	size_t i;

	vfms_sync(d);
	for (i = 0; i < len; i++) {
		u64 at = offset + i, in_entry = at % VFMS_MSIX_ENTRY;
		u8 mask = in_entry < VECTOR_CONTROL ? 0xff : in_entry == VECTOR_CONTROL;

		if (at < d->params.vectors * VFMS_MSIX_ENTRY)
			d->msix_table[at] = in[i] & mask;
	}
	vfms_settle(d);
}
