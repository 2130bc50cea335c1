// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Bugs of interrupts and their wiring. */

#include "wrap/wrap.h"

#include <errno.h>

#include "base/util.h"

static bool is_stopped(struct vfm_device *dev)
{
	return !vfm_state_is_active(vfm_fault_state(dev));
}

static bool takes_away(const struct vfm_irq_set *set)
{
	if (set->flags & VFM_IRQ_SET_DATA_EVENTFD)
		return !set->fds || set->fds[0] < 0;
	return set->flags & VFM_IRQ_SET_DATA_NONE && !set->count;
}

/* Where there is a next vector, it is that one. */
static int off_by_one(struct vfm_device *dev, const struct vfm_irq_set *set, struct vfm_err *err)
{
	struct vfm_irq_set next = *set;
	struct vfm_irq irq;

	if (!vfm_pass_get_irq(dev, set->index, &irq, err) && set->count &&
	    set->start + set->count < irq.count)
		next.start++;
	return vfm_pass_set_irqs(dev, &next, err);
}

static int unwire_ignored(struct vfm_device *dev, const struct vfm_irq_set *set,
			  struct vfm_err *err)
{
	return takes_away(set) ? 0 : vfm_pass_set_irqs(dev, set, err);
}

static int no_loopback(struct vfm_device *dev, const struct vfm_irq_set *set, struct vfm_err *err)
{
	if (set->count && set->flags & VFM_IRQ_SET_ACTION_TRIGGER &&
	    !(set->flags & VFM_IRQ_SET_DATA_EVENTFD))
		return 0;
	return vfm_pass_set_irqs(dev, set, err);
}

static int no_wiring_when_stopped(struct vfm_device *dev, const struct vfm_irq_set *set,
				  struct vfm_err *err)
{
	enum vfm_state now = vfm_fault_state(dev);

	if (now == VFM_STATE_STOP || now == VFM_STATE_STOP_COPY)
		return vfm_fail(err, -EINVAL, "set interrupts in %s: not now", vfm_state_name(now));
	return vfm_pass_set_irqs(dev, set, err);
}

static int lost_in_resuming(struct vfm_device *dev, const struct vfm_irq_set *set,
			    struct vfm_err *err)
{
	return vfm_fault_state(dev) == VFM_STATE_RESUMING ? 0 : vfm_pass_set_irqs(dev, set, err);
}

static void unwire_all(struct vfm_device *dev)
{
	struct vfm_device_info info;
	struct vfm_err err;

	if (vfm_pass_get_info(dev, &info, &err))
		return;
	for (uint32_t i = 0; i < info.nr_irqs; i++) {
		const struct vfm_irq_set off = {
			.flags = VFM_IRQ_SET_DATA_NONE | VFM_IRQ_SET_ACTION_TRIGGER, .index = i
		};

		vfm_pass_set_irqs(dev, &off, &err);
	}
}

static int lost_on_stop(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	int ret = VFM_PASS(vfm_pass_inner(dev), set_state, err, state);

	if (!ret && state == VFM_STATE_STOP)
		unwire_all(dev);
	return ret;
}

static int lost_on_reset(struct vfm_device *dev, struct vfm_err *err)
{
	int ret = vfm_pass_reset(dev, err);

	if (!ret)
		unwire_all(dev);
	return ret;
}

/* ---- while stopped ------------------------------------------------------------------- */

/* count[0], count[1]: the vector that was wired last. */
static int note_wiring(struct vfm_device *dev, const struct vfm_irq_set *set, struct vfm_err *err)
{
	struct vfm_fault *f = vfm_fault_of(dev);

	f->flag = !takes_away(set);
	f->count[0] = set->index;
	f->count[1] = set->start;
	return vfm_pass_set_irqs(dev, set, err);
}

static int trigger(struct vfm_device *dev, struct vfm_err *err)
{
	const struct vfm_fault *f = vfm_fault_of(dev);
	const struct vfm_irq_set set = { .flags =
						 VFM_IRQ_SET_DATA_NONE | VFM_IRQ_SET_ACTION_TRIGGER,
					 .index = (uint32_t)f->count[0],
					 .start = (uint32_t)f->count[1],
					 .count = 1 };

	return f->flag ? vfm_pass_set_irqs(dev, &set, err) : 0;
}

/* A register is written, and somebody is told at once, whatever the state. */
static int interrupt_at_once(struct vfm_device *dev, uint32_t index, uint64_t offset,
			     const void *buf, size_t len, struct vfm_err *err)
{
	int ret = vfm_pass_write_region(dev, index, offset, buf, len, err);

	return !ret && index < VFM_PCI_ROM && is_stopped(dev) ? trigger(dev, err) : ret;
}

/* Out of RESUMING, and the last vector that was wired is told, whether it is due or not. */
static int interrupt_on_load(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	bool loaded = vfm_fault_state(dev) == VFM_STATE_RESUMING;
	int ret = VFM_PASS(vfm_pass_inner(dev), set_state, err, state);

	return !ret && loaded && state == VFM_STATE_STOP ? trigger(dev, err) : ret;
}

static int forgotten(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
		     size_t len, struct vfm_err *err)
{
	if (index < VFM_PCI_ROM && vfm_fault_state(dev) == VFM_STATE_STOP)
		return 0;
	return vfm_pass_write_region(dev, index, offset, buf, len, err);
}

const struct vfm_bug vfm_bugs_irq[] = {
	{
		.is = { .name = "irq-no-loopback",
			.title = "an interrupt that its user triggers does not come",
			.where = "" },
		.rules = { "vfio.irq.loopback" },
		.ops = { .set_irqs = no_loopback },
	},
	{
		.is = { .name = "irq-off-by-one",
			.title = "the next vector is wired instead",
			.where = "" },
		.rules = { "vfio.irq.delivered" },
		.ops = { .set_irqs = off_by_one },
	},
	{
		.is = { .name = "irq-unwire-ignored",
			.title = "an eventfd that was taken away is signalled again",
			.where = "" },
		.rules = { "vfio.irq.unwired-silent" },
		.ops = { .set_irqs = unwire_ignored },
	},
	{
		.is = { .name = "irq-lost-on-reset",
			.title = "a reset takes the wiring of interrupts away",
			.where = "" },
		.rules = { "vfio.irq.wiring-stays-over-reset" },
		.ops = { .reset = lost_on_reset },
	},
	{
		.is = { .name = "irq-after-stop",
			.title = "interrupts are given out while it is stopped",
			.where = "" },
		.rules = { "v2.irq.none-when-stopped" },
		.ops = { .set_irqs = note_wiring, .write_region = interrupt_at_once },
	},
	{
		.is = { .name = "irq-forgotten",
			.title = "an interrupt that is due in STOP is dropped",
			.where = "" },
		.rules = { "v2.irq.kept", "v2.irq.travels" },
		.ops = { .write_region = forgotten },
	},
	{
		.is = { .name = "irq-when-loaded",
			.title = "an interrupt is given out when an image was loaded",
			.where = "" },
		.rules = { "v2.irq.none-when-loaded" },
		.ops = { .set_irqs = note_wiring, .set_state = interrupt_on_load },
	},
	{
		.is = { .name = "irq-no-wiring-when-stopped",
			.title = "interrupts cannot be wired while it is stopped",
			.where = "libvfio-user, DEVICE_SET_IRQS in STOP is EINVAL" },
		.rules = { "v2.irq.wiring-answers" },
		.ops = { .set_irqs = no_wiring_when_stopped },
	},
	{
		.is = { .name = "irq-lost-in-resuming",
			.title = "wiring in RESUMING is accepted and dropped",
			.where = "" },
		.rules = { "v2.irq.wired-in-resuming" },
		.ops = { .set_irqs = lost_in_resuming },
	},
	{
		.is = { .name = "irq-lost-on-stop",
			.title = "STOP takes the wiring of interrupts away",
			.where = "" },
		.rules = { "v2.irq.wiring-stays-over-stop" },
		.ops = { .set_state = lost_on_stop },
	},
};
const size_t vfm_nr_bugs_irq = VFM_ARRAY_SIZE(vfm_bugs_irq);
