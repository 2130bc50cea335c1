// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Interrupts: SET_IRQS with nothing, with booleans, or with eventfds on the message. */

#include "vfio_user/server.h"

#include <errno.h>
#include <inttypes.h>

#define DATA_KINDS (VFM_IRQ_SET_DATA_NONE | VFM_IRQ_SET_DATA_BOOL | VFM_IRQ_SET_DATA_EVENTFD)

int vfm_srv_set_irqs(struct vfm_srv_request *rq)
{
	struct vfm_irq_set set = { 0 };
	size_t bools;

	vfm_read_he32(&rq->in); /* argsz: there is no answer */
	set.flags = vfm_read_he32(&rq->in);
	set.index = vfm_read_he32(&rq->in);
	set.start = vfm_read_he32(&rq->in);
	set.count = vfm_read_he32(&rq->in);
	bools = set.flags & VFM_IRQ_SET_DATA_BOOL ? set.count : 0;
	if (rq->in.left != bools)
		return vfm_fail(&rq->err, -EINVAL,
				"set interrupt %" PRIu32 ": flags 0x%" PRIx32 ", count %" PRIu32
				", and %zu bytes of data",
				set.index, set.flags, set.count, rq->in.left);
	if (bools)
		set.bools = rq->in.p;
	/* eventfds one for each, or none to take all of them away */
	if ((set.flags & DATA_KINDS) == VFM_IRQ_SET_DATA_EVENTFD && rq->msg->nr_fds) {
		if (rq->msg->nr_fds != set.count)
			return vfm_fail(&rq->err, -EINVAL,
					"set interrupt %" PRIu32 ": %" PRIu32
					" vectors, and %u descriptors",
					set.index, set.count, rq->msg->nr_fds);
		set.fds = rq->msg->fds;
	}
	return vfm_device_set_irqs(rq->dev, &set, &rq->err);
}

void vfm_srv_irqs_off(struct vfm_server *server)
{
	struct vfm_irq_set set = { .flags = VFM_IRQ_SET_DATA_NONE | VFM_IRQ_SET_ACTION_TRIGGER };
	struct vfm_device_info info = { 0 };
	struct vfm_err err;

	if (vfm_device_get_info(server->dev, &info, &err)) {
		vfm_srv_log(server, "interrupts stay wired: %s", err.msg);
		return;
	}
	for (set.index = 0; set.index < info.nr_irqs; set.index++) {
		struct vfm_irq irq = { 0 };

		if (vfm_device_get_irq(server->dev, set.index, &irq, NULL) || !irq.count)
			continue;
		if (vfm_device_set_irqs(server->dev, &set, &err))
			vfm_srv_log(server, "interrupt %" PRIu32 " stays wired: %s", set.index,
				    err.msg);
	}
}
