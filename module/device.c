// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * The device as the core of VFIO sees it: opening and closing, ioctls, reset.
 *
 * Surprise: opening resets. Whatever the last user left, also a state like STOP or
 * ERROR, is gone when the next one comes.
 */

#include "vfmig_sim.h"

#include <linux/slab.h>
#include <linux/uaccess.h>

void vfms_reset(struct vfms *d)
{
	if (!vfms_fault(d, FAULT_RESET_KEEPS_SESSION))
		vfms_end_sessions(d);
	if (!vfms_fault(d, FAULT_RESET_KEEPS_CONTENT)) {
		vfms_regs_reset(d);
		vfms_config_reset(d);
		vfms_irq_reset(d);
		d->io_index = 0;
		d->ring = (struct vfms_ring){ 0 };
		d->plan = vfms_plan_of(&d->ring);
		d->ring_clock = (struct vfms_clock){ 0 };
		d->state_clock = d->ring_clock;
		memset(d->mem, 0, d->params.bar);
		vfms_state_reset(d);
	}
	if (vfms_fault(d, FAULT_IRQ_LOST_ON_RESET))
		vfms_irq_unwire_all(d);
	if (vfms_fault(d, FAULT_LOG_LOST_ON_RESET))
		vfms_log_end(d);
	vfms_v1_reset(d);
	vfms_unpin_all(d);
	if (!vfms_fault(d, FAULT_RESET_KEEPS_STATE) || d->mig != MIG_STOP)
		WRITE_ONCE(d->mig, MIG_RUNNING);
	vfms_clocks_restart(d);
	wake_up_interruptible(&d->readable);
}

static int open_device(struct vfio_device *vdev)
{
	struct vfms *d = container_of(vdev, struct vfms, vdev);

	mutex_lock(&d->lock);
	d->opened = true;
	vfms_pins_begin(d);
	vfms_reset(d);
	WRITE_ONCE(d->mig, vfms_fault(d, FAULT_BEGINS_IN_STOP) ? MIG_STOP : MIG_RUNNING);
	mutex_unlock(&d->lock);
	return 0;
}

static void close_device(struct vfio_device *vdev)
{
	struct vfms *d = container_of(vdev, struct vfms, vdev);

	mutex_lock(&d->lock);
	d->opened = false;
	vfms_end_sessions(d);
	vfms_irq_unwire_all(d);
	mutex_unlock(&d->lock);
	cancel_delayed_work_sync(&d->tick);
	vfms_log_end(d);
	vfms_unpin_all(d);
}

static void request_back(struct vfio_device *vdev, unsigned int count)
{
	struct vfms *d = container_of(vdev, struct vfms, vdev);

	mutex_lock(&d->lock);
	vfms_irq_request(d);
	mutex_unlock(&d->lock);
}

/* ---- ioctls ---------------------------------------------------------------------- */

static int get_info(struct vfms *d, void __user *arg)
{
	struct vfio_device_info info;
	size_t size = offsetofend(struct vfio_device_info, num_irqs);

	if (copy_from_user(&info, arg, size))
		return -EFAULT;
	if (info.argsz < size)
		return -EINVAL;
	info.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	info.num_regions = vfms_nr_regions(d);
	info.num_irqs = VFIO_PCI_NUM_IRQS;
	return copy_to_user(arg, &info, size) ? -EFAULT : 0;
}

static int get_irq_info(struct vfms *d, void __user *arg)
{
	struct vfio_irq_info info;
	size_t size = offsetofend(struct vfio_irq_info, count);
	int ret;

	if (copy_from_user(&info, arg, size))
		return -EFAULT;
	if (info.argsz < size)
		return -EINVAL;
	ret = vfms_irq_info(d, &info);
	if (ret)
		return ret;
	return copy_to_user(arg, &info, size) ? -EFAULT : 0;
}

static int set_irqs(struct vfms *d, void __user *arg)
{
	struct vfio_irq_set hdr;
	size_t size = offsetofend(struct vfio_irq_set, count), data_size = 0;
	struct vfio_irq_info info = { 0 };
	void *data = NULL;
	int ret;

	if (copy_from_user(&hdr, arg, size))
		return -EFAULT;
	info.index = hdr.index;
	ret = vfms_irq_info(d, &info);
	if (!ret)
		ret = vfio_set_irqs_validate_and_prepare(&hdr, info.count, VFIO_PCI_NUM_IRQS,
							 &data_size);
	if (ret)
		return ret;
	if (data_size)
		data = memdup_user(arg + size, data_size);
	if (IS_ERR(data))
		return PTR_ERR(data);
	mutex_lock(&d->lock);
	ret = vfms_irq_set(d, &hdr, data);
	mutex_unlock(&d->lock);
	kfree(data);
	return ret;
}

static int reset(struct vfms *d, void __user *arg)
{
	mutex_lock(&d->lock);
	vfms_reset(d);
	mutex_unlock(&d->lock);
	return 0;
}

#if VFMS_CORE_COPIES_REGION_INFO

static int get_region_info(struct vfio_device *vdev, struct vfio_region_info *info,
			   struct vfio_info_cap *caps)
{
	return vfms_region_info(container_of(vdev, struct vfms, vdev), info, caps);
}

#else

/* The capabilities go behind the struct, if the user has room for them; else the size is told. */
static int copy_caps(struct vfio_region_info *info, struct vfio_info_cap *caps, void __user *arg)
{
	info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
	if (info->argsz < sizeof(*info) + caps->size) {
		info->argsz = sizeof(*info) + caps->size;
		return 0;
	}
	vfio_info_cap_shift(caps, sizeof(*info));
	if (copy_to_user(arg + sizeof(*info), caps->buf, caps->size))
		return -EFAULT;
	info->cap_offset = sizeof(*info);
	return 0;
}

static int get_region_info(struct vfms *d, void __user *arg)
{
	struct vfio_info_cap caps = { NULL, 0 };
	struct vfio_region_info info;
	size_t size = offsetofend(struct vfio_region_info, offset);
	int ret;

	if (copy_from_user(&info, arg, size))
		return -EFAULT;
	if (info.argsz < size)
		return -EINVAL;
	info.flags = 0;
	info.cap_offset = 0;
	ret = vfms_region_info(d, &info, &caps);
	if (!ret && caps.size)
		ret = copy_caps(&info, &caps, arg);
	kfree(caps.buf);
	if (ret)
		return ret;
	return copy_to_user(arg, &info, size) ? -EFAULT : 0;
}

#endif

static const struct ioctl {
	unsigned int cmd;
	int (*call)(struct vfms *d, void __user *arg);
} ioctls[] = {
	{ VFIO_DEVICE_GET_INFO, get_info },
#if !VFMS_CORE_COPIES_REGION_INFO
	{ VFIO_DEVICE_GET_REGION_INFO, get_region_info },
#endif
	{ VFIO_DEVICE_GET_IRQ_INFO, get_irq_info },
	{ VFIO_DEVICE_SET_IRQS, set_irqs },
	{ VFIO_DEVICE_RESET, reset },
};

static long do_ioctl(struct vfio_device *vdev, unsigned int cmd, unsigned long arg)
{
	struct vfms *d = container_of(vdev, struct vfms, vdev);
	u32 i;

	for (i = 0; i < ARRAY_SIZE(ioctls); i++)
		if (ioctls[i].cmd == cmd)
			return ioctls[i].call(d, (void __user *)arg);
	return -ENOTTY;
}

const struct vfio_device_ops vfms_device_ops = {
	.name = "vfmig_sim",
	.init = vfms_init,
	.release = vfms_release,
	VFMS_IOMMUFD_OPS.open_device = open_device,
	.close_device = close_device,
	.read = vfms_read,
	.write = vfms_write,
	.ioctl = do_ioctl,
#if VFMS_CORE_COPIES_REGION_INFO
	.get_region_info_caps = get_region_info,
#endif
	.mmap = vfms_mmap,
	.request = request_back,
	.dma_unmap = vfms_dma_unmap,
	.device_feature = vfms_device_feature,
};
