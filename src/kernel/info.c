// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The device and its interrupts. Nothing is kept of interrupts: the kernel answers in every
 * state, and keeps its own references to the eventfds it was given.
 */

#include "kernel/impl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/util.h"

/* MSI-X ends at this many, and nothing else has more. */
#define MAX_VECTORS 2048u

#define INFO_FLAGS (VFM_DEVICE_RESET | VFM_DEVICE_PCI)
#define IRQ_FLAGS (VFM_IRQ_EVENTFD | VFM_IRQ_MASKABLE | VFM_IRQ_AUTOMASKED | VFM_IRQ_NORESIZE)

int vfm_kernel_learn_info(struct vfm_kernel *k, struct vfm_err *err)
{
	struct vfm_abi_device_info info = { .argsz = sizeof(info) };
	int ret = vfm_kernel_device_ioctl(k, VFM_DEVICE_GET_INFO, &info);

	if (ret < 0)
		return vfm_kernel_why(VFM_KERNEL_STEP_OTHER, ret, err, "describe the device");
	if (info.num_regions > VFM_KERNEL_MAX_INDEX || info.num_irqs > VFM_KERNEL_MAX_INDEX)
		return vfm_fail(err, -EPROTO,
				"the driver claims %" PRIu32 " regions and %" PRIu32
				" interrupt indices, more than %u",
				info.num_regions, info.num_irqs, VFM_KERNEL_MAX_INDEX);
	k->info = (struct vfm_device_info){ .flags = info.flags & INFO_FLAGS,
					    .nr_regions = info.num_regions,
					    .nr_irqs = info.num_irqs };
	k->regions = (struct vfm_region **)calloc(VFM_MAX(info.num_regions, 1),
						  sizeof(struct vfm_region *));
	return k->regions ? 0 : vfm_fail(err, -ENOMEM, "no memory");
}

int vfm_kernel_get_info(struct vfm_device *dev, struct vfm_device_info *info, struct vfm_err *err)
{
	(void)err;
	*info = vfm_kernel_of(dev)->info;
	return 0;
}

int vfm_kernel_get_irq(struct vfm_device *dev, uint32_t index, struct vfm_irq *irq,
		       struct vfm_err *err)
{
	struct vfm_kernel *k = vfm_kernel_of(dev);
	struct vfm_abi_irq_info info = { .argsz = sizeof(info), .index = index };
	int ret;

	if (index >= k->info.nr_irqs)
		return vfm_fail(err, -EINVAL, "no interrupt %" PRIu32 ", there are %" PRIu32, index,
				k->info.nr_irqs);
	ret = vfm_kernel_device_ioctl(k, VFM_DEVICE_GET_IRQ_INFO, &info);
	if (ret < 0)
		return vfm_kernel_fail(err, ret, "describe interrupt %" PRIu32, index);
	*irq = (struct vfm_irq){ .index = index,
				 .flags = info.flags & IRQ_FLAGS,
				 .count = info.count };
	return 0;
}

/* What follows the request: nothing, bytes or descriptors. */
static void put_data(uint8_t *data, const struct vfm_irq_set *set)
{
	static const int none = -1;

	if (set->flags & VFM_IRQ_SET_DATA_BOOL)
		memcpy(data, set->bools, set->count);
	for (uint32_t i = 0; set->flags & VFM_IRQ_SET_DATA_EVENTFD && i < set->count; i++)
		memcpy(data + i * sizeof(int), set->fds ? &set->fds[i] : &none, sizeof(int));
}

static size_t data_size(const struct vfm_irq_set *set)
{
	if (set->flags & VFM_IRQ_SET_DATA_EVENTFD)
		return set->count * sizeof(int);
	return set->flags & VFM_IRQ_SET_DATA_BOOL ? set->count : 0;
}

int vfm_kernel_set_irqs(struct vfm_device *dev, const struct vfm_irq_set *set, struct vfm_err *err)
{
	struct vfm_kernel *k = vfm_kernel_of(dev);
	struct vfm_abi_irq_set head = {
		.flags = set->flags, .index = set->index, .start = set->start, .count = set->count
	};
	vfm_auto_free uint8_t *request = NULL;
	int ret;

	if (set->count > MAX_VECTORS)
		return vfm_fail(err, -EINVAL, "set %" PRIu32 " interrupts: there are at most %u",
				set->count, MAX_VECTORS);
	head.argsz = (uint32_t)(sizeof(head) + data_size(set));
	request = malloc(head.argsz);
	if (!request)
		return vfm_fail(err, -ENOMEM, "set interrupts: no memory");
	memcpy(request, &head, sizeof(head));
	put_data(request + sizeof(head), set);
	ret = vfm_kernel_device_ioctl(k, VFM_DEVICE_SET_IRQS, request);
	/* some drivers return a count */
	if (ret < 0)
		return vfm_kernel_fail(err, ret,
				       "set interrupt %" PRIu32 ", %" PRIu32 "+%" PRIu32
				       ", flags 0x%" PRIx32,
				       set->index, set->start, set->count, set->flags);
	return 0;
}
