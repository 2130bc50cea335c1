// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Features, states and reset. Requests are passed on as they are, also those that have no path:
 * what a driver makes of them is its own. Two things are not: a value that is no state, and
 * anything while the device is in ERROR, which kernels take for a bug of their own.
 *
 * Nor is a request to leave a session whose user has gone. A driver has ended it when the device
 * was closed, and should have gone back to RUNNING; one that has forgotten that may end it
 * once more, in the kernel's memory. So we leave sessions of ours before we close the device, and
 * one that was found in a session must be reset.
 *
 * A request that fails leaves the value asked for in its answer, and the device anywhere on
 * the way. So the state is asked for after each failure, and before each request, because
 * a device may go to ERROR by itself.
 */

#include "kernel/impl.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "protocol/v2.h"

#define MIGRATION_FLAGS (VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_P2P | VFM_MIGRATION_PRE_COPY)

/* A reset gives way to others that look at the device: it is tried again for a second. */
#define RESET_TRIES 100
#define RESET_WAIT_MS 10

int vfm_kernel_feature(struct vfm_kernel *k, uint32_t flags, void *data, size_t len)
{
	struct {
		struct vfm_abi_feature head;
		uint64_t data[VFM_KERNEL_MAX_FEATURE / sizeof(uint64_t)];
	} request = { .head = { .argsz = (uint32_t)(sizeof(request.head) + len), .flags = flags } };
	int ret;

	if (len)
		memcpy(request.data, data, len);
	ret = vfm_kernel_device_ioctl(k, VFM_DEVICE_FEATURE, &request);
	if (len)
		memcpy(data, request.data, len);
	return ret < 0 ? ret : 0;
}

/* ---- what it can do --------------------------------------------------------------- */

/* Kernels that do not know of it, and drivers of old ones that answer for themselves. */
static bool is_missing(int code)
{
	return code == -ENOTTY || code == -EINVAL || code == -EOPNOTSUPP;
}

/* Asked once: it is a property of the driver. Who has pre-copy may be told of new data, too. */
static int learn_migration(struct vfm_kernel *k, struct vfm_err *err)
{
	uint64_t flags = 0;
	int ret = vfm_kernel_feature(k, VFM_FEATURE_MIGRATION | VFM_FEATURE_GET, &flags,
				     sizeof(flags));

	if (ret && !is_missing(ret))
		return vfm_kernel_fail(err, ret, "ask how the device can migrate");
	flags &= MIGRATION_FLAGS;
	if (!ret && flags && !vfm_migration_legal(flags))
		return vfm_fail(err, -EPROTO, "the driver claims migration 0x%" PRIx64, flags);
	k->migration = ret ? 0 : flags;
	k->asked = true;
	if (k->migration & VFM_MIGRATION_PRE_COPY)
		k->tells_reinit = !vfm_kernel_feature(
			k, VFM_FEATURE_MIG_PRECOPY_INFOV2 | VFM_FEATURE_SET, NULL, 0);
	return 0;
}

int vfm_kernel_get_migration(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err)
{
	struct vfm_kernel *k = vfm_kernel_of(dev);
	int ret = k->asked ? 0 : learn_migration(k, err);

	if (ret)
		return ret;
	if (!k->migration)
		return vfm_fail(err, -ENOTTY,
				"its driver has no migration: devices need one of their vendor for "
				"that (as mlx5_vfio_pci is for ConnectX), vfio-pci alone has none");
	*migration = k->migration;
	return 0;
}

int vfm_kernel_get_data_size(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err)
{
	struct vfm_abi_data_size size = { .stop_copy_length = 0 };
	int ret =
		vfm_kernel_feature(vfm_kernel_of(dev), VFM_FEATURE_MIG_DATA_SIZE | VFM_FEATURE_GET,
				   &size, sizeof(size));

	if (is_missing(ret))
		return vfm_fail(err, -ENOTTY, "the driver does not tell the size of its data");
	if (ret)
		return vfm_kernel_fail(err, ret, "ask for the size of the data");
	*bytes = size.stop_copy_length;
	return 0;
}

/* ---- states --------------------------------------------------------------------- */

static bool has_session(enum vfm_state state)
{
	return vfm_state_is_saving(state) || state == VFM_STATE_RESUMING;
}

static int fetch_state(struct vfm_kernel *k, enum vfm_state *state, struct vfm_err *err)
{
	struct vfm_abi_mig_state now = { .device_state = UINT32_MAX, .data_fd = -1 };
	int ret = vfm_kernel_feature(k, VFM_FEATURE_MIG_DEVICE_STATE | VFM_FEATURE_GET, &now,
				     sizeof(now));

	if (ret == -ENOTTY)
		return vfm_fail(err, -ENOTTY, "its driver has no migration");
	if (ret)
		return vfm_kernel_fail(err, ret, "ask for the state");
	if (now.device_state >= VFM_NR_STATES)
		return vfm_fail(err, -EPROTO, "the driver claims to be in state %" PRIu32,
				now.device_state);
	*state = (enum vfm_state)now.device_state;
	k->state = *state;
	k->stale = k->seen ? k->stale : !k->shared && has_session(*state);
	k->seen = true;
	return 0;
}

int vfm_kernel_get_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	return fetch_state(vfm_kernel_of(dev), state, err);
}

/* Whether a session of @from goes on in @to. */
static bool keeps_session(enum vfm_state from, enum vfm_state to)
{
	return from == to || (vfm_state_is_saving(from) && vfm_state_is_saving(to));
}

/*
 * The image is judged on the way out of RESUMING, and drivers have no word of their own
 * for one that is wrong: they use those of a wrong argument, which there is not.
 */
static bool refuses_image(int code)
{
	static const int codes[] = { -EINVAL, -EFAULT,	-EBADMSG, -EILSEQ, -EMSGSIZE,
				     -ERANGE, -ENODATA, -ENOMSG,  -EAGAIN, -EOPNOTSUPP };

	for (size_t i = 0; i < VFM_ARRAY_SIZE(codes); i++)
		if (codes[i] == code)
			return true;
	return false;
}

/* @ret: what the request failed with; @from: where the device was. */
static int explain_failure(struct vfm_kernel *k, enum vfm_state from, enum vfm_state to, int ret,
			   struct vfm_err *err)
{
	enum vfm_state now = VFM_STATE_ERROR, next;
	const char *names[] = { vfm_state_name(from), vfm_state_name(to) };
	bool path = !vfm_next_state(k->migration, from, to, &next);

	if (fetch_state(k, &now, NULL))
		return vfm_kernel_fail(err, ret, "go from %s to %s, and its state is unknown now",
				       names[0], names[1]);
	if (!keeps_session(from, now))
		vfm_kernel_end_session(k);
	if (path && from == VFM_STATE_RESUMING && refuses_image(ret) &&
	    (now == from || now == VFM_STATE_ERROR))
		return vfm_fail(err, -EBADMSG,
				"go from RESUMING to %s: the driver refuses the image (%s), and is "
				"in %s",
				names[1], strerror(-ret), vfm_state_name(now));
	if (now == to && has_session(to) && k->data_fd < 0)
		return vfm_kernel_fail(err, ret,
				       "go from %s to %s: it is there, and has given no descriptor "
				       "for its data",
				       names[0], names[1]);
	return vfm_kernel_fail(err, ret, "go from %s to %s, it is in %s now", names[0], names[1],
			       vfm_state_name(now));
}

/* What a request that succeeded says of the session. @fd is taken. */
static int settle_session(struct vfm_kernel *k, enum vfm_state from, enum vfm_state to, int fd,
			  struct vfm_err *err)
{
	bool keeps = keeps_session(from, to);

	k->state = to;
	k->finished = false;
	if (!keeps)
		vfm_kernel_end_session(k);
	if (fd >= 0 && (keeps || !has_session(to))) {
		k->sys->close(fd);
		return vfm_fail(
			err, -EPROTO,
			"go from %s to %s: the driver gave a descriptor for data where none "
			"begins",
			vfm_state_name(from), vfm_state_name(to));
	}
	if (fd < 0 && !keeps && has_session(to))
		return vfm_fail(err, -EPROTO,
				"go from %s to %s: the driver gave no descriptor for its data",
				vfm_state_name(from), vfm_state_name(to));
	if (fd >= 0) {
		k->data_fd = fd;
		/* one that cannot be made so blocks, and that is all */
		(void)k->sys->set_nonblock(fd);
	}
	return 0;
}

static int check_request(struct vfm_kernel *k, enum vfm_state state, enum vfm_state *from,
			 struct vfm_err *err)
{
	uint64_t migration;
	int ret;

	if ((unsigned int)state >= VFM_NR_STATES)
		return vfm_fail(err, -EINVAL, "set state %u: there is no such state",
				(unsigned int)state);
	ret = vfm_kernel_get_migration(&k->dev, &migration, err);
	if (!ret)
		ret = fetch_state(k, from, err);
	if (!ret && *from == VFM_STATE_ERROR)
		ret = vfm_fail(err, -EIO,
			       "go to %s: the device is in ERROR, and must be reset first",
			       vfm_state_name(state));
	else if (!ret && k->stale && state != *from)
		ret = vfm_fail(err, -EIO,
			       "go to %s: the device was found in %s, in a session whose user has "
			       "gone, and must be reset first (\",reset=1\" in its name does that)",
			       vfm_state_name(state), vfm_state_name(*from));
	else if (!ret && *from == VFM_STATE_RESUMING && state != *from && k->torn)
		ret = vfm_fail(err, -EBADMSG,
			       "go from RESUMING to %s: not all of the image could be written, and "
			       "the device must be reset",
			       vfm_state_name(state));
	return ret;
}

int vfm_kernel_set_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct vfm_kernel *k = vfm_kernel_of(dev);
	struct vfm_abi_mig_state request = { .device_state = (uint32_t)state, .data_fd = -1 };
	enum vfm_state from = VFM_STATE_ERROR;
	int ret = check_request(k, state, &from, err);

	if (ret)
		return ret;
	ret = vfm_kernel_feature(k, VFM_FEATURE_MIG_DEVICE_STATE | VFM_FEATURE_SET, &request,
				 sizeof(request));
	if (ret)
		return explain_failure(k, from, state, ret, err);
	return settle_session(k, from, state, request.data_fd, err);
}

/* A driver that keeps its state over a reset would be left once more out of a dead session. */
static int check_reset(struct vfm_kernel *k, struct vfm_err *err)
{
	enum vfm_state now;
	int ret = fetch_state(k, &now, err);

	if (ret || now == VFM_STATE_RUNNING)
		return ret;
	k->stale = has_session(now);
	return vfm_fail(err, -EPROTO, "the driver says that it is done, and is in %s",
			vfm_state_name(now));
}

int vfm_kernel_reset(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_kernel *k = vfm_kernel_of(dev);
	int ret = vfm_kernel_device_ioctl(k, VFM_DEVICE_DO_RESET, NULL);

	for (int n = 0; ret == -EAGAIN && n < RESET_TRIES; n++) {
		(void)k->sys->poll(-1, 0, RESET_WAIT_MS);
		ret = vfm_kernel_device_ioctl(k, VFM_DEVICE_DO_RESET, NULL);
	}
	if (ret == -ENOTTY || (ret == -EINVAL && !(k->info.flags & VFM_DEVICE_RESET)))
		return vfm_fail(err, -ENOTTY, "the device cannot be reset by itself");
	if (ret < 0)
		return vfm_kernel_fail(err, ret, "reset");
	vfm_kernel_end_session(k);
	k->state = VFM_STATE_RUNNING;
	k->seen = true;
	k->stale = false;
	ret = k->migration ? check_reset(k, err) : 0;
	if (ret)
		vfm_fail_prefix(err, "reset");
	return ret;
}

/* What was written so far is no image, so that a device in RESUMING has nothing to keep. */
void vfm_kernel_leave_session(struct vfm_kernel *k)
{
	static const enum vfm_state out[VFM_NR_STATES] = {
		[VFM_STATE_STOP_COPY] = VFM_STATE_STOP,
		[VFM_STATE_PRE_COPY] = VFM_STATE_RUNNING,
		[VFM_STATE_PRE_COPY_P2P] = VFM_STATE_RUNNING_P2P,
	};
	int ret = 0;

	if (k->shared || k->data_fd < 0)
		return;
	if (vfm_state_is_saving(k->state))
		ret = vfm_kernel_set_state(&k->dev, out[k->state], NULL);
	else if (k->state == VFM_STATE_RESUMING)
		ret = vfm_kernel_device_ioctl(k, VFM_DEVICE_DO_RESET, NULL);
	/* closing ends it in any case, and nobody is left to be told */
	(void)ret;
}
