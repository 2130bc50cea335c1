// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * Protocol v2: the operations behind VFIO_DEVICE_FEATURE, and the descriptor of a data
 * session.
 *
 * Surprise: a descriptor outlives its session, and may outlive the device as well. It holds a
 * reference of the device for that, and knows by `dead`, under the device's lock, that
 * there is nothing behind it any more.
 */

#include "vfmig_sim.h"

#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#define SHORT 16u /* what the faults short-read-lost and short-write-lost hold for short */

/* ---- the descriptor -------------------------------------------------------------- */

void vfms_session_kill(struct vfms *d)
{
	if (!d->session)
		return;
	d->session->dead = true;
	d->session = NULL;
	wake_up_interruptible(&d->readable);
}

static int session_release(struct inode *inode, struct file *file)
{
	struct vfms_session *s = file->private_data;
	struct vfms *d = s->device;

	mutex_lock(&d->lock);
	if (d->session == s)
		d->session = NULL;
	mutex_unlock(&d->lock);
	kfree(s);
	put_device(&d->vdev.device);
	return 0;
}

static size_t bytes_taken(const struct vfms *d, size_t asked, size_t got, size_t available)
{
	if (vfms_fault(d, FAULT_SHORT_READ_LOST) && asked < SHORT)
		return min_t(size_t, SHORT, available);
	return got;
}

/* What a read that has no more bytes returns. */
static ssize_t end_of_data(const struct vfms *d, ssize_t end)
{
	if (end == -ENOMSG && vfms_fault(d, FAULT_PRECOPY_END_ZERO))
		return 0;
	if (!end && vfms_fault(d, FAULT_STOP_COPY_ENOMSG))
		return -ENOMSG;
	return end;
}

static ssize_t read_data(struct vfms *d, char __user *buf, size_t len)
{
	size_t got = 0;

	while (got < len) {
		const u8 *at;
		ssize_t n = vfms_save_peek(d, &at);
		size_t part;

		if (n <= 0)
			return got ? got : end_of_data(d, n);
		part = min_t(size_t, n, len - got);
		if (copy_to_user(buf + got, at, part))
			return got ? got : -EFAULT;
		got += part;
		vfms_save_take(d, bytes_taken(d, len, part, n));
	}
	return got;
}

static ssize_t session_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	struct vfms_session *s = file->private_data;
	struct vfms *d = s->device;
	ssize_t ret;

	mutex_lock(&d->lock);
	ret = s->dead || !d->save.open ? -ENODEV : read_data(d, buf, len);
	mutex_unlock(&d->lock);
	return ret;
}

/* Through a buffer, as what is judged must not change any more. */
static ssize_t write_data(struct vfms *d, const char __user *buf, size_t len)
{
	size_t done = 0;
	int ret = 0;

	if (vfms_fault(d, FAULT_SHORT_WRITE_LOST) && len < SHORT)
		return len;
	while (!ret && done < len) {
		size_t part = min_t(size_t, len - done, VFMS_CHUNK);

		ret = copy_from_user(d->scratch, buf + done, part) ? -EFAULT : 0;
		if (!ret)
			ret = vfms_load_write(d, d->scratch, part);
		done += part;
	}
	return ret ? ret : done;
}

static ssize_t session_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	struct vfms_session *s = file->private_data;
	struct vfms *d = s->device;
	ssize_t ret;

	mutex_lock(&d->lock);
	ret = s->dead ? -ENODEV : write_data(d, buf, len);
	mutex_unlock(&d->lock);
	return ret;
}

static __poll_t save_poll(struct file *file, struct poll_table_struct *wait)
{
	struct vfms_session *s = file->private_data;
	struct vfms *d = s->device;
	__poll_t events = 0;

	poll_wait(file, &d->readable, wait);
	mutex_lock(&d->lock);
	if (s->dead)
		events = EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
	else if (vfms_save_ready(d))
		events = EPOLLIN | EPOLLRDNORM;
	mutex_unlock(&d->lock);
	return events;
}

static int precopy_info(struct vfms *d, struct vfio_precopy_info *info)
{
	if (!vfms_fault(d, FAULT_FLAGS_ECHOED))
		info->flags = 0;
	info->initial_bytes = 0;
	info->dirty_bytes = 0;
	if (!vfms_mig_precopy(d->mig))
		return vfms_fault(d, FAULT_INFO_ANYWHERE) ? 0 : -EINVAL;
	vfms_save_precopy_info(d, &info->initial_bytes, &info->dirty_bytes);
	if (vfms_fault(d, FAULT_INITIAL_ZERO))
		info->initial_bytes = 0;
	if (vfms_fault(d, FAULT_INITIAL_NEVER_DONE) && !info->initial_bytes)
		info->initial_bytes = 1;
	if (vfms_fault(d, FAULT_DIRTY_NEVER_COMES) && !info->initial_bytes)
		info->dirty_bytes += VFMS_CHUNK;
	return 0;
}

static long save_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct vfms_session *s = file->private_data;
	struct vfms *d = s->device;
	void __user *user = (void __user *)arg;
	size_t size = offsetofend(struct vfio_precopy_info, dirty_bytes);
	struct vfio_precopy_info info;
	int ret;

	if (cmd != VFIO_MIG_GET_PRECOPY_INFO || !(d->params.features & VFIO_MIGRATION_PRE_COPY))
		return -ENOTTY;
	if (copy_from_user(&info, user, size))
		return -EFAULT;
	if (info.argsz < size)
		return -EINVAL;
	mutex_lock(&d->lock);
	ret = s->dead ? -ENODEV : precopy_info(d, &info);
	mutex_unlock(&d->lock);
	if (ret)
		return ret;
	return copy_to_user(user, &info, size) ? -EFAULT : 0;
}

static const struct file_operations save_fops = {
	.owner = THIS_MODULE,
	.read = session_read,
	.poll = save_poll,
	.unlocked_ioctl = save_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.release = session_release,
};

static const struct file_operations load_fops = {
	.owner = THIS_MODULE,
	.write = session_write,
	.release = session_release,
};

static struct file *new_session(struct vfms *d)
{
	bool saving = vfms_mig_saving(d->mig);
	struct vfms_session *s = kzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);
	struct file *file;

	if (!s)
		return ERR_PTR(-ENOMEM);
	file = anon_inode_getfile("[vfmig_sim]", saving ? &save_fops : &load_fops, s,
				  saving ? O_RDONLY : O_WRONLY);
	if (IS_ERR(file)) {
		kfree(s);
		return file;
	}
	stream_open(file->f_inode, file);
	s->device = d;
	get_device(&d->vdev.device);
	d->session = s;
	return file;
}

/* ---- the operations -------------------------------------------------------------- */

/* Paths, and what some drivers make of them. */
static int go(struct vfms *d, u32 want)
{
	u32 features = d->params.features;

	if (vfms_fault(d, FAULT_STATE_OFF_BY_ONE) && want == MIG_NR)
		return 0;
	if (vfms_fault(d, FAULT_SAME_STATE_REFUSED) && want == MIG_PRE_COPY && d->mig == want)
		return -EINVAL;
	if (vfms_fault(d, FAULT_P2P_CLAIMED))
		features &= ~VFIO_MIGRATION_P2P;
	if ((vfms_fault(d, FAULT_ERROR_ACCEPTED) && want == MIG_ERROR) ||
	    (vfms_fault(d, FAULT_ERROR_LEFT) && d->mig == MIG_ERROR && want == MIG_RUNNING)) {
		vfms_end_sessions(d);
		WRITE_ONCE(d->mig, want);
		return 0;
	}
	return vfms_go(d, want, features);
}

/* A session begins on the last arc of a path, if at all. */
static struct file *set_state(struct vfio_device *vdev, enum vfio_device_mig_state want)
{
	struct vfms *d = container_of(vdev, struct vfms, vdev);
	struct file *file = NULL;
	u64 begun;
	int ret;

	mutex_lock(&d->lock);
	begun = d->sessions_begun;
	ret = go(d, want);
	if (!ret && d->sessions_begun != begun)
		file = new_session(d);
	mutex_unlock(&d->lock);
	return ret ? ERR_PTR(ret) : file;
}

static int get_state(struct vfio_device *vdev, enum vfio_device_mig_state *state)
{
	struct vfms *d = container_of(vdev, struct vfms, vdev);

	mutex_lock(&d->lock);
	*state = (enum vfio_device_mig_state)d->mig;
	mutex_unlock(&d->lock);
	return 0;
}

static int data_size(struct vfms *d, u64 *bytes)
{
	if (vfms_fault(d, FAULT_SIZE_NOT_RESUMING) && d->mig == MIG_RESUMING)
		return -EINVAL;
	*bytes = vfms_save_data_size(d);
	if (vfms_fault(d, FAULT_SIZE_ZERO))
		*bytes = 0;
	if (vfms_fault(d, FAULT_SIZE_NEGATIVE))
		*bytes = -(s64)EIO;
	if (vfms_fault(d, FAULT_SIZE_TOO_SMALL))
		*bytes /= 8;
	if (vfms_fault(d, FAULT_SIZE_TOO_LARGE))
		*bytes *= 64;
	return 0;
}

#if VFMS_CORE_HAS_DATA_SIZE

static int get_data_size(struct vfio_device *vdev, unsigned long *length)
{
	struct vfms *d = container_of(vdev, struct vfms, vdev);
	u64 bytes = 0;
	int ret;

	mutex_lock(&d->lock);
	ret = data_size(d, &bytes);
	mutex_unlock(&d->lock);
	*length = bytes;
	return ret;
}

int vfms_device_feature(struct vfio_device *vdev, u32 flags, void __user *arg, size_t argsz)
{
	return -ENOTTY;
}

#else

int vfms_device_feature(struct vfio_device *vdev, u32 flags, void __user *arg, size_t argsz)
{
	struct vfms *d = container_of(vdev, struct vfms, vdev);
	struct vfio_device_feature_mig_data_size size = { 0 };
	int ret;

	if ((flags & VFIO_DEVICE_FEATURE_MASK) != VFIO_DEVICE_FEATURE_MIG_DATA_SIZE ||
	    !vdev->mig_ops)
		return -ENOTTY;
	ret = vfio_check_feature(flags, argsz, VFIO_DEVICE_FEATURE_GET, sizeof(size));
	if (ret != 1)
		return ret;
	mutex_lock(&d->lock);
	ret = data_size(d, &size.stop_copy_length);
	mutex_unlock(&d->lock);
	if (ret)
		return ret;
	return copy_to_user(arg, &size, sizeof(size)) ? -EFAULT : 0;
}

#endif

const struct vfio_migration_ops vfms_migration_ops = {
	.migration_set_state = set_state,
	.migration_get_state = get_state,
#if VFMS_CORE_HAS_DATA_SIZE
	.migration_get_data_size = get_data_size,
#endif
};
