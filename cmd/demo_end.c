// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * One end of the demo: what a small user of a device does with it. It maps
 * memory, wires MSI-X to eventfds, switches the device on and lets it work.
 */

#include "demo.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/util.h"

#define DEMO_IOVA UINT64_C(0x100000000)
#define DEMO_SEED UINT64_C(0x5eed)
#define IRQS_PER_SECOND 100
#define IRQS_ENOUGH 5		  /* to say that they arrive */
#define FILL_STEP UINT64_C(16384) /* the server answers nothing else meanwhile */
#define WORK_NS UINT64_C(10000000000)
#define TICK_MS 20

static int start_servers(struct demo_end *end, const char *folder, int signal_fd,
			 struct vfm_err *err)
{
	int ret = demo_server_start(&end->server, folder, signal_fd, err);

	if (ret || !end->bridged)
		return ret;
	snprintf(end->bridge.uri, sizeof(end->bridge.uri), "vfio-user:%s", end->server.socket);
	return demo_server_start(&end->bridge, folder, signal_fd, err);
}

int demo_end_open(struct demo_end *end, const char *folder, int signal_fd, struct vfm_err *err)
{
	const struct cmd_memory_list none = { 0 };
	char uri[128], *uris[] = { uri };
	int ret = start_servers(end, folder, signal_fd, err);

	if (ret)
		return ret;
	for (int v = 0; v < DEMO_VECTORS; v++) {
		end->irqs[v] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (end->irqs[v] < 0)
			return vfm_fail(err, -errno, "create an eventfd");
	}
	snprintf(uri, sizeof(uri), "vfio-user:%s",
		 end->bridged ? end->bridge.socket : end->server.socket);
	return cmd_end_open(&end->end, uris, 1, 1, &none, false, err);
}

void demo_end_close(struct demo_end *end)
{
	cmd_end_close(&end->end);
	for (int v = 0; v < DEMO_VECTORS; v++)
		vfm_close_fd(&end->irqs[v]);
}

int demo_end_wire(struct demo_end *end, struct vfm_err *err)
{
	const struct vfm_irq_set set = {
		.flags = VFM_IRQ_SET_DATA_EVENTFD | VFM_IRQ_SET_ACTION_TRIGGER,
		.index = VFM_PCI_MSIX,
		.count = DEMO_VECTORS,
		.fds = end->irqs,
	};

	return vfm_device_set_irqs(end->end.dev, &set, err);
}

int demo_end_read_counts(struct demo_end *end, struct vfm_err *err)
{
	int ret = vfm_sim_read(end->end.dev, VFM_SIM_REG_RING_COUNT, &end->ring.count, err);

	return ret ? ret
		   : vfm_sim_read(end->end.dev, VFM_SIM_REG_STATE_CHANGES, &end->state.changes,
				  err);
}

int demo_end_settle(struct demo_end *end, struct vfm_err *err)
{
	uint64_t count;

	for (int v = 0; v < DEMO_VECTORS; v++)
		while (read(end->irqs[v], &count, sizeof(count)) > 0)
			;
	end->interrupts = 0;
	return demo_end_read_counts(end, err);
}

static int check_signal(int signal_fd, struct vfm_err *err)
{
	struct pollfd fds = { .fd = signal_fd, .events = POLLIN };

	return poll(&fds, 1, 0) > 0 ? vfm_fail(err, -ECANCELED, "interrupted") : 0;
}

/* Give the memory a content: mere zeros would be moved in no time. */
static int fill_memory(struct vfm_device *dev, uint64_t size, int signal_fd, struct vfm_err *err)
{
	uint64_t left = size / VFM_SIM_BLOCK;
	int ret = 0;

	while (left && !ret) {
		uint64_t step = VFM_MIN(left, FILL_STEP);

		ret = vfm_sim_write(dev, VFM_SIM_REG_RING_STEP, step, err);
		left -= step;
		if (!ret)
			ret = check_signal(signal_fd, err);
	}
	return ret;
}

int demo_end_start(struct demo_end *end, const struct cmd_args *args, int signal_fd,
		   struct vfm_err *err)
{
	struct cmd_end *e = &end->end;
	uint64_t rate = args->dma_rate;
	int ret;

	end->ring = (struct vfm_sim_ring){ DEMO_IOVA, args->demo_memory, DEMO_SEED, 0 };
	ret = vfm_memory_add(e->mem, DEMO_IOVA, args->demo_memory, VFM_DMA_READ | VFM_DMA_WRITE,
			     err);
	if (!ret)
		ret = vfm_memory_map(e->mem, e->dev, err);
	if (!ret)
		ret = demo_end_wire(end, err);
	if (!ret)
		ret = vfm_sim_enable(e->dev, true, err);
	if (!ret)
		ret = vfm_sim_start_ring(e->dev, &end->ring, rate,
					 VFM_MAX(rate / VFM_SIM_BLOCK / IRQS_PER_SECOND, 1), err);
	if (!ret)
		ret = fill_memory(e->dev, args->demo_memory, signal_fd, err);
	return ret ? ret : demo_end_settle(end, err);
}

/* Until an interrupt comes or some time has passed; the device is served meanwhile. */
static int wait_interrupt(struct demo_end *end, int signal_fd, struct vfm_err *err)
{
	struct pollfd fds[DEMO_VECTORS + 2];
	uint64_t count;

	for (int v = 0; v < DEMO_VECTORS; v++)
		fds[v] = (struct pollfd){ .fd = end->irqs[v], .events = POLLIN };
	fds[DEMO_VECTORS] =
		(struct pollfd){ .fd = vfm_device_get_fd(end->end.dev), .events = POLLIN };
	fds[DEMO_VECTORS + 1] = (struct pollfd){ .fd = signal_fd, .events = POLLIN };
	if (poll(fds, VFM_ARRAY_SIZE(fds), TICK_MS) < 0 && errno != EINTR)
		return vfm_fail(err, -errno, "wait for interrupts of the %s", end->name);
	if (fds[DEMO_VECTORS + 1].revents)
		return vfm_fail(err, -ECANCELED, "interrupted");
	for (int v = 0; v < DEMO_VECTORS; v++)
		if (read(end->irqs[v], &count, sizeof(count)) == (ssize_t)sizeof(count))
			end->interrupts += count;
	return fds[DEMO_VECTORS].revents ? vfm_device_process(end->end.dev, err) : 0;
}

int demo_end_wait_work(struct demo_end *end, bool changes, int signal_fd, struct vfm_err *err)
{
	uint64_t until = vfm_now_ns() + WORK_NS, writes_before = end->ring.count;
	uint64_t changes_before = end->state.changes;
	int ret;

	while (vfm_now_ns() < until) {
		ret = wait_interrupt(end, signal_fd, err);
		if (!ret)
			ret = demo_end_read_counts(end, err);
		if (ret)
			return ret;
		if (end->interrupts >= IRQS_ENOUGH && end->ring.count > writes_before &&
		    (!changes || end->state.changes > changes_before))
			return 0;
	}
	return vfm_fail(err, -ETIMEDOUT,
			"the %s does not work: %" PRIu64 " interrupts, %" PRIu64 " writes, %" PRIu64
			" changes of state in %u s",
			end->name, end->interrupts, end->ring.count - writes_before,
			end->state.changes - changes_before, (unsigned int)(WORK_NS / 1000000000));
}
