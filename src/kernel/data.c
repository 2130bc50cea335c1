// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The data session: a descriptor from which an image is read, or to which one is written.
 *
 * It is not blocking, so that a driver which never has data costs its user a limit of time
 * and not the thread. Not all drivers know that mode, and not all that do can be waited for:
 * a descriptor that is always "ready" and never has anything is asked less and less often.
 *
 * Drivers disagree on how they say that there is nothing now, in pre-copy: by ENOMSG, as the
 * text has it, or by no bytes, as if it were the end. Which of the two it is, the state says.
 */

#include "kernel/impl.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>

#include "base/util.h"

/* The kernel moves no more than this in one call. */
#define MOST_BYTES ((size_t)0x7ffff000)

/* Between two questions to a driver that cannot be waited for. */
#define FIRST_PAUSE_MS 1
#define LAST_PAUSE_MS 64

#define NS_PER_MS UINT64_C(1000000)

void vfm_kernel_end_session(struct vfm_kernel *k)
{
	vfm_sys_close(k->sys, &k->data_fd);
	k->finished = false;
	k->torn = false;
}

/* ---- waiting -------------------------------------------------------------------- */

/**
 * struct patience - waiting for one transfer
 * @since: when it began, 0: not yet
 * @pause_ms: the next one, if waiting is of no use, 0: that is not known yet
 */
struct patience {
	uint64_t since;
	int pause_ms;
};

/* -ETIMEDOUT, or 0: try again. */
static int wait_more(struct vfm_kernel *k, short events, struct patience *p)
{
	uint64_t now = k->sys->now_ns(), passed_ms;
	int left, ret;

	if (!p->since)
		*p = (struct patience){ .since = now };
	passed_ms = (now - p->since) / NS_PER_MS;
	if (k->timeout_ms && passed_ms >= k->timeout_ms)
		return -ETIMEDOUT;
	left = k->timeout_ms ? (int)(k->timeout_ms - passed_ms) : -1;
	ret = k->sys->poll(k->data_fd, events, left);
	if (ret < 0)
		return ret;
	/* ready at once may be luck, the first time, or what it always says */
	if (ret && (k->sys->now_ns() - now) / NS_PER_MS == 0) {
		if (p->pause_ms)
			(void)k->sys->poll(-1, 0, p->pause_ms);
		p->pause_ms =
			p->pause_ms ? VFM_MIN(p->pause_ms * 2, LAST_PAUSE_MS) : FIRST_PAUSE_MS;
	}
	return 0;
}

static int timed_out(const struct vfm_kernel *k, const char *what, struct vfm_err *err)
{
	return vfm_fail(err, -ETIMEDOUT, "%s: the driver was not ready within %u s", what,
			k->timeout_ms / 1000);
}

/* ---- errors --------------------------------------------------------------------- */

static int no_session(struct vfm_kernel *k, const char *what, struct vfm_err *err)
{
	enum vfm_state state;
	int ret = vfm_kernel_get_state(&k->dev, &state, err);

	return ret ? ret
		   : vfm_fail(err, -EINVAL, "%s: there is no data session of ours, in state %s",
			      what, vfm_state_name(state));
}

/* The driver has ended it, or it has gone itself. */
static int session_died(struct vfm_kernel *k, const char *what, struct vfm_err *err)
{
	enum vfm_state state;
	int ret = vfm_kernel_get_state(&k->dev, &state, err);

	return ret ? ret
		   : vfm_fail(err, -EINVAL, "%s: the driver has ended the session, it is in %s",
			      what, vfm_state_name(state));
}

/* ---- reading -------------------------------------------------------------------- */

/* Nothing came, by @n of 0 or -ENOMSG. */
static ssize_t read_nothing(struct vfm_kernel *k, ssize_t n, struct vfm_err *err)
{
	if (vfm_state_is_precopy(k->state))
		return -ENOMSG;
	if (n)
		return vfm_fail(err, -EPROTO,
				"read data: the driver says \"nothing now\" (ENOMSG) in %s, where "
				"that would be the end",
				vfm_state_name(k->state));
	k->finished = true;
	return 0;
}

static ssize_t read_some(struct vfm_kernel *k, void *buf, size_t len)
{
	struct patience p = { .since = 0 };
	int ret = 0;

	while (!ret) {
		ssize_t n = k->sys->read(k->data_fd, buf, len);

		if (n != -EAGAIN)
			return n;
		ret = wait_more(k, POLLIN, &p);
	}
	return ret;
}

ssize_t vfm_kernel_read_data(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	static const char what[] = "read data";
	struct vfm_kernel *k = vfm_kernel_of(dev);
	ssize_t n;

	if (k->finished)
		return 0;
	if (k->data_fd < 0 || !vfm_state_is_saving(k->state))
		return no_session(k, what, err);
	n = read_some(k, buf, VFM_MIN(len, MOST_BYTES));
	if (n > 0)
		return n;
	if (n == 0 || n == -ENOMSG)
		return read_nothing(k, n, err);
	if (n == -ENODEV)
		return session_died(k, what, err);
	return n == -ETIMEDOUT ? timed_out(k, what, err) : vfm_kernel_fail(err, (int)n, "%s", what);
}

/* ---- writing -------------------------------------------------------------------- */

/* The memory is ours and good, so that these can only be about what is in it. */
static bool refuses_data(int code)
{
	return code == -EFAULT || code == -EINVAL || code == -EBADMSG || code == -EILSEQ ||
	       code == -EOPNOTSUPP || code == -ENOTTY;
}

/* Some drivers run with what they have got after they have refused the rest: not by us. */
static int explain_write(struct vfm_kernel *k, int code, size_t done, size_t len,
			 struct vfm_err *err)
{
	static const char what[] = "write data";

	k->torn = true;
	if (code == -ENODEV)
		return session_died(k, what, err);
	if (code == -ETIMEDOUT)
		return timed_out(k, what, err);
	if (refuses_data(code))
		return vfm_fail(err, -EBADMSG,
				"%s: the driver refuses it (%s) after %zu of %zu bytes: it is "
				"damaged, or of another device or version",
				what, strerror(-code), done, len);
	if (code == 0)
		return vfm_fail(err, -EIO, "%s: the driver took none of %zu bytes", what,
				len - done);
	return vfm_kernel_fail(err, code, "%s, %zu of %zu bytes done", what, done, len);
}

int vfm_kernel_write_data(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err)
{
	struct vfm_kernel *k = vfm_kernel_of(dev);
	struct patience p = { .since = 0 };
	size_t done = 0;

	if (k->data_fd < 0 || k->state != VFM_STATE_RESUMING)
		return no_session(k, "write data", err);
	if (k->torn)
		return vfm_fail(err, -EBADMSG, "write data: a write before this one has failed");
	while (done < len) {
		ssize_t n = k->sys->write(k->data_fd, (const uint8_t *)buf + done,
					  VFM_MIN(len - done, MOST_BYTES));

		if (n == -EAGAIN)
			n = wait_more(k, POLLOUT, &p);
		else if (n <= 0)
			return explain_write(k, (int)n, done, len, err);
		else
			p.since = 0;
		if (n < 0)
			return explain_write(k, (int)n, done, len, err);
		done += (size_t)n;
	}
	return 0;
}

/* ---- what is left ---------------------------------------------------------------- */

/* What a driver does not write is what we had there, so that is zero. */
int vfm_kernel_get_precopy_info(struct vfm_device *dev, struct vfm_precopy_info *info,
				struct vfm_err *err)
{
	static const char what[] = "ask what is left in pre-copy";
	struct vfm_kernel *k = vfm_kernel_of(dev);
	struct vfm_abi_precopy_info answer = { .argsz = sizeof(answer) };
	int ret;

	if (k->data_fd < 0 || !vfm_state_is_precopy(k->state))
		return no_session(k, what, err);
	ret = k->sys->ioctl(k->data_fd, VFM_MIG_GET_PRECOPY_INFO, &answer);
	if (ret == -ENODEV)
		return session_died(k, what, err);
	if (ret < 0)
		return vfm_kernel_fail(err, ret, "%s", what);
	*info = (struct vfm_precopy_info){
		.initial_bytes = answer.initial_bytes,
		.dirty_bytes = answer.dirty_bytes,
		.reinit = k->tells_reinit && answer.flags & VFM_PRECOPY_INFO_REINIT,
	};
	return 0;
}
