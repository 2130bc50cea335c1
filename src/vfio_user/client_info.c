// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What the device consists of, and its interrupts. Descriptions do not change
 * while a device lives, and some servers give them only while it runs, so they
 * are fetched when the device is opened; those that were refused then are asked
 * for again when they are needed.
 */

#include "vfio_user/client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/util.h"

/** struct vfm_client_irq - an interrupt index, once it is known */
struct vfm_client_irq {
	bool known;
	struct vfm_irq irq;
};

#define INFO_FLAGS (VFM_DEVICE_RESET | VFM_DEVICE_PCI)
#define IRQ_FLAGS (VFM_IRQ_EVENTFD | VFM_IRQ_MASKABLE | VFM_IRQ_AUTOMASKED | VFM_IRQ_NORESIZE)

static int make_room(struct vfm_client *c, const struct vfm_device_info *info, struct vfm_err *err)
{
	if (info->nr_regions > VFM_CLIENT_MAX_INDEX || info->nr_irqs > VFM_CLIENT_MAX_INDEX)
		return vfm_fail(err, -EPROTO,
				"the server claims %u regions and %u interrupt indices",
				info->nr_regions, info->nr_irqs);
	c->regions = calloc(info->nr_regions + 1, sizeof(*c->regions));
	c->irqs = calloc(info->nr_irqs + 1, sizeof(*c->irqs));
	if (!c->regions || !c->irqs) {
		free(c->regions);
		free(c->irqs);
		c->regions = NULL;
		c->irqs = NULL;
		return vfm_fail(err, -ENOMEM, "no memory for %u regions", info->nr_regions);
	}
	c->info = *info;
	c->info_known = true;
	return 0;
}

static int fetch_info(struct vfm_client *c, struct vfm_err *err)
{
	uint8_t wire[VFM_VU_INFO_SIZE];
	struct iovec body = { wire, sizeof(wire) };
	struct vfm_client_call call = { .command = VFM_VU_DEVICE_GET_INFO,
					.body = &body,
					.nr_body = 1,
					.head = wire,
					.head_room = sizeof(wire) };
	struct vfm_writer w = vfm_writer_of(wire, sizeof(wire));
	struct vfm_device_info info;
	struct vfm_reader r;
	int ret;

	vfm_write_he32(&w, sizeof(wire));
	vfm_write_zeros(&w, w.left);
	ret = vfm_client_call(c, &call, err);
	if (ret)
		return ret;
	r = vfm_reader_of(wire, call.head_len);
	vfm_read_he32(&r);
	info.flags = vfm_read_he32(&r) & INFO_FLAGS;
	info.nr_regions = vfm_read_he32(&r);
	info.nr_irqs = vfm_read_he32(&r);
	if (!vfm_reader_ok(&r))
		return vfm_client_short(call.head_len, sizeof(wire), err);
	return make_room(c, &info, err);
}

int vfm_client_need_info(struct vfm_client *c, struct vfm_err *err)
{
	int ret = c->info_known ? 0 : fetch_info(c, err);

	if (ret)
		vfm_fail_prefix(err, "ask what the device is");
	return ret;
}

int vfm_client_get_info(struct vfm_device *dev, struct vfm_device_info *info, struct vfm_err *err)
{
	struct vfm_client *c = vfm_client_of(dev);
	int ret = vfm_client_alive(c, err);

	if (!ret)
		ret = vfm_client_need_info(c, err);
	if (!ret)
		*info = c->info;
	return ret;
}

static int fetch_irq(struct vfm_client *c, uint32_t index, struct vfm_irq *irq, struct vfm_err *err)
{
	uint8_t wire[VFM_VU_IRQ_INFO_SIZE];
	struct iovec body = { wire, sizeof(wire) };
	struct vfm_client_call call = { .command = VFM_VU_DEVICE_GET_IRQ_INFO,
					.body = &body,
					.nr_body = 1,
					.head = wire,
					.head_room = sizeof(wire) };
	struct vfm_writer w = vfm_writer_of(wire, sizeof(wire));
	struct vfm_reader r;
	int ret;

	vfm_write_he32(&w, sizeof(wire));
	vfm_write_he32(&w, 0);
	vfm_write_he32(&w, index);
	vfm_write_he32(&w, 0);
	ret = vfm_client_call(c, &call, err);
	if (ret)
		return ret;
	r = vfm_reader_of(wire, call.head_len);
	vfm_read_he32(&r);
	irq->flags = vfm_read_he32(&r) & IRQ_FLAGS;
	vfm_read_he32(&r);
	irq->index = index;
	irq->count = vfm_read_he32(&r);
	if (!vfm_reader_ok(&r))
		return vfm_client_short(call.head_len, sizeof(wire), err);
	return 0;
}

static int need_irq(struct vfm_client *c, uint32_t index, struct vfm_err *err)
{
	struct vfm_client_irq *known = &c->irqs[index];
	int ret;

	if (known->known)
		return 0;
	ret = fetch_irq(c, index, &known->irq, err);
	if (ret)
		vfm_fail_prefix(err, "describe interrupt index %u", index);
	else
		known->known = true;
	return ret;
}

int vfm_client_get_irq(struct vfm_device *dev, uint32_t index, struct vfm_irq *irq,
		       struct vfm_err *err)
{
	struct vfm_client *c = vfm_client_of(dev);
	int ret = vfm_client_alive(c, err);

	if (!ret)
		ret = vfm_client_need_info(c, err);
	if (ret)
		return ret;
	if (index >= c->info.nr_irqs)
		return vfm_fail(err, -EINVAL, "no interrupt index %u, there are %u", index,
				c->info.nr_irqs);
	ret = need_irq(c, index, err);
	if (!ret)
		*irq = c->irqs[index].irq;
	return ret;
}

/* What is refused now, or wrong in one description, is told to whoever asks for it later. */
int vfm_client_learn(struct vfm_client *c, struct vfm_err *err)
{
	struct vfm_client_region *region;
	int ret = vfm_client_need_info(c, err);

	if (ret)
		return c->dead || ret == -EPROTO || ret == -ENOMEM ? ret : 0;
	for (uint32_t i = 0; i < c->info.nr_regions && !c->dead; i++) {
		if (vfm_client_find_region(c, i, &region, NULL))
			continue;
	}
	for (uint32_t i = 0; i < c->info.nr_irqs && !c->dead; i++) {
		if (need_irq(c, i, NULL))
			continue;
	}
	return c->dead ? vfm_fail(err, c->dead, "%s", c->reason) : 0;
}

void vfm_client_free_info(struct vfm_client *c)
{
	for (uint32_t i = 0; c->regions && i < c->info.nr_regions; i++)
		vfm_client_free_region(c->regions[i]);
	free(c->regions);
	free(c->irqs);
}

/* One message; @bools and @fds are its own part of them. */
static int send_irqs(struct vfm_client *c, const struct vfm_irq_set *set, struct vfm_err *err)
{
	uint8_t wire[VFM_VU_SET_IRQS_SIZE];
	bool bools = set->flags & VFM_IRQ_SET_DATA_BOOL;
	struct iovec body[2] = { { wire, sizeof(wire) },
				 { (void *)(uintptr_t)set->bools, bools ? set->count : 0 } };
	struct vfm_client_call call = { .command = VFM_VU_DEVICE_SET_IRQS,
					.body = body,
					.nr_body = bools ? 2 : 1,
					.fds = set->fds,
					.nr_fds = set->fds ? set->count : 0 };
	struct vfm_writer w = vfm_writer_of(wire, sizeof(wire));
	int ret;

	vfm_write_he32(&w, (uint32_t)(sizeof(wire) + body[1].iov_len));
	vfm_write_he32(&w, set->flags);
	vfm_write_he32(&w, set->index);
	vfm_write_he32(&w, set->start);
	vfm_write_he32(&w, set->count);
	ret = vfm_client_call(c, &call, err);
	if (ret)
		vfm_fail_prefix(err, "set interrupts %u to %" PRIu64 " of index %u", set->start,
				(uint64_t)set->start + set->count, set->index);
	return ret;
}

/*
 * How many of the interrupts that are left go into one message: all that share a
 * fate. No descriptors in a message takes the interrupts away, so there is no
 * way to mix wiring and taking away.
 */
static uint32_t batch(const struct vfm_client *c, const struct vfm_irq_set *left)
{
	uint32_t n = 1;

	if (!left->count)
		return 0;
	if (left->flags & VFM_IRQ_SET_DATA_BOOL)
		return (uint32_t)VFM_MIN(left->count, c->max_write);
	if (!(left->flags & VFM_IRQ_SET_DATA_EVENTFD) || !left->fds)
		return left->count;
	while (n < left->count && (left->fds[n] < 0) == (left->fds[0] < 0))
		n++;
	return left->fds[0] < 0 ? n : VFM_MIN(n, c->max_fds);
}

static struct vfm_irq_set first_of(const struct vfm_irq_set *left, uint32_t n)
{
	struct vfm_irq_set part = *left;

	part.count = n;
	if (!(part.flags & VFM_IRQ_SET_DATA_EVENTFD) || (part.fds && part.fds[0] < 0))
		part.fds = NULL;
	return part;
}

/* What takes several messages must not fail after the first for a reason that was known before. */
static int check_set(struct vfm_client *c, const struct vfm_irq_set *set, struct vfm_err *err)
{
	const struct vfm_client_irq *known = NULL;

	if (c->info_known && set->index >= c->info.nr_irqs)
		return vfm_fail(err, -EINVAL, "set interrupts: no index %u, there are %u",
				set->index, c->info.nr_irqs);
	if (c->info_known)
		known = &c->irqs[set->index];
	if (known && known->known && !vfm_range_inside(set->start, set->count, known->irq.count))
		return vfm_fail(err, -EINVAL,
				"set interrupts %u to %" PRIu64 " of index %u: there are %u",
				set->start, (uint64_t)set->start + set->count, set->index,
				known->irq.count);
	if (set->fds && !c->max_fds)
		return vfm_fail(err, -ENOTTY, "set interrupts: the server takes no descriptors");
	return 0;
}

int vfm_client_set_irqs(struct vfm_device *dev, const struct vfm_irq_set *set, struct vfm_err *err)
{
	struct vfm_client *c = vfm_client_of(dev);
	struct vfm_irq_set left = *set;
	int ret = check_set(c, set, err);

	if (ret)
		return ret;
	do {
		uint32_t n = batch(c, &left);
		struct vfm_irq_set part = first_of(&left, n);

		ret = send_irqs(c, &part, err);
		if (ret)
			return ret;
		left.start += n;
		left.count -= n;
		left.bools = left.bools ? left.bools + n : NULL;
		left.fds = left.fds ? left.fds + n : NULL;
	} while (left.count);
	return 0;
}
