// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "device/irq.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/util.h"

int vfm_wiring_init(struct vfm_wiring *w, const struct vfm_irq *info, struct vfm_err *err)
{
	w->info = *info;
	w->vectors = calloc(VFM_MAX(info->count, 1), sizeof(*w->vectors));
	if (!w->vectors)
		return vfm_fail(err, -ENOMEM, "no memory for %" PRIu32 " vectors", info->count);
	for (uint32_t i = 0; i < info->count; i++)
		w->vectors[i].fd = -1;
	return 0;
}

void vfm_wiring_free(struct vfm_wiring *w)
{
	for (uint32_t i = 0; w->vectors && i < w->info.count; i++)
		vfm_close_fd(&w->vectors[i].fd);
	free(w->vectors);
	w->vectors = NULL;
}

void vfm_wiring_reset(struct vfm_wiring *w)
{
	for (uint32_t i = 0; i < w->info.count; i++) {
		w->vectors[i].masked = false;
		w->vectors[i].pending = false;
	}
}

/*
 * An eventfd that is full has been signalled, and one that blocks belongs to the
 * user, who must not be able to hang the device by filling it.
 */
static void signal_vector(struct vfm_wiring *w, struct vfm_vector *v)
{
	struct pollfd room = { .fd = v->fd, .events = POLLOUT };
	const uint64_t one = 1;
	ssize_t ret;

	if (v->fd < 0)
		return;
	if (poll(&room, 1, 0) == 1 && room.revents & POLLOUT) {
		do
			ret = write(v->fd, &one, sizeof(one));
		while (ret < 0 && errno == EINTR);
	}
	if (w->info.flags & VFM_IRQ_AUTOMASKED)
		v->masked = true;
}

int vfm_wiring_raise(struct vfm_wiring *w, uint32_t vector, struct vfm_err *err)
{
	struct vfm_vector *v;

	if (vector >= w->info.count)
		return vfm_fail(err, -EINVAL, "raise vector %" PRIu32 " of %" PRIu32, vector,
				w->info.count);
	v = &w->vectors[vector];
	if (v->masked)
		v->pending = true;
	else
		signal_vector(w, v);
	return 0;
}

static void mask(struct vfm_wiring *w, struct vfm_vector *v)
{
	(void)w;
	v->masked = true;
}

static void unmask(struct vfm_wiring *w, struct vfm_vector *v)
{
	v->masked = false;
	if (!v->pending)
		return;
	v->pending = false;
	signal_vector(w, v);
}

/* An action on the vectors that @set chooses: all, or those whose byte is not 0. */
static void for_chosen(struct vfm_wiring *w, const struct vfm_irq_set *set,
		       void (*action)(struct vfm_wiring *w, struct vfm_vector *v))
{
	for (uint32_t i = 0; i < set->count; i++)
		if (!set->bools || set->bools[i])
			action(w, &w->vectors[set->start + i]);
}

/* Take away the listeners of @count vectors; what they had pending goes with them. */
static void unwire(struct vfm_wiring *w, uint32_t start, uint32_t count)
{
	for (uint32_t i = start; i < start + count; i++) {
		vfm_close_fd(&w->vectors[i].fd);
		w->vectors[i].pending = false;
	}
}

static void close_all(int *fds, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		vfm_close_fd(&fds[i]);
}

/*
 * Only what has no type of its own, as an eventfd has none: writing to a pipe or a
 * socket of the user's could block us, or end us with a signal.
 */
static int keep(int fd)
{
	struct stat st;
	int copy;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st))
		return -errno;
	if (st.st_mode & S_IFMT)
		return -EINVAL;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return copy < 0 ? -errno : copy;
}

/* Duplicate all before any is used, so that a failure leaves the old wiring. */
static int wire(struct vfm_wiring *w, const struct vfm_irq_set *set, struct vfm_err *err)
{
	vfm_auto_free int *copies = calloc(VFM_MAX(set->count, 1), sizeof(int));

	if (!copies)
		return vfm_fail(err, -ENOMEM, "no memory for %" PRIu32 " descriptors", set->count);
	for (uint32_t i = 0; i < set->count; i++) {
		copies[i] = keep(set->fds[i]);
		if (set->fds[i] >= 0 && copies[i] < 0) {
			int code = copies[i];

			close_all(copies, i);
			return vfm_fail(err, code, "vector %" PRIu32 ": descriptor %d%s",
					set->start + i, set->fds[i],
					code == -EINVAL ? " is not an eventfd" : "");
		}
	}
	unwire(w, set->start, set->count);
	for (uint32_t i = 0; i < set->count; i++)
		w->vectors[set->start + i].fd = copies[i];
	return 0;
}

static int set_trigger(struct vfm_wiring *w, const struct vfm_irq_set *set, struct vfm_err *err)
{
	if (!(set->flags & VFM_IRQ_SET_DATA_EVENTFD)) {
		for_chosen(w, set, signal_vector);
		return 0;
	}
	if (!(w->info.flags & VFM_IRQ_EVENTFD))
		return vfm_fail(err, -ENOTTY, "interrupt %" PRIu32 " takes no eventfd",
				w->info.index);
	if (set->fds)
		return wire(w, set, err);
	unwire(w, set->start, set->count);
	return 0;
}

static int set_mask(struct vfm_wiring *w, const struct vfm_irq_set *set, struct vfm_err *err)
{
	if (!(w->info.flags & VFM_IRQ_MASKABLE))
		return vfm_fail(err, -ENOTTY, "interrupt %" PRIu32 " cannot be masked",
				w->info.index);
	if (set->flags & VFM_IRQ_SET_DATA_EVENTFD)
		return vfm_fail(err, -ENOTTY, "interrupt %" PRIu32 " is not masked by an eventfd",
				w->info.index);
	for_chosen(w, set, set->flags & VFM_IRQ_SET_ACTION_MASK ? mask : unmask);
	return 0;
}

int vfm_wiring_set(struct vfm_wiring *w, const struct vfm_irq_set *set, struct vfm_err *err)
{
	bool trigger = set->flags & VFM_IRQ_SET_ACTION_TRIGGER;

	if (!vfm_range_inside(set->start, set->count, w->info.count))
		return vfm_fail(err, -EINVAL,
				"set interrupt %" PRIu32 ": vectors %" PRIu32 " to %" PRIu32
				" of %" PRIu32,
				w->info.index, set->start, set->start + set->count, w->info.count);
	if (!set->count && trigger && !set->start && set->flags & VFM_IRQ_SET_DATA_NONE) {
		unwire(w, 0, w->info.count);
		return 0;
	}
	if (!set->count)
		return vfm_fail(err, -EINVAL, "set interrupt %" PRIu32 ": no vectors",
				w->info.index);
	return trigger ? set_trigger(w, set, err) : set_mask(w, set, err);
}
