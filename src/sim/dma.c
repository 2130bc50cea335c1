// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * "sim:dma" as a driver: opening, description, states and time. What it does is
 * in the other files; dma.h has the reading order.
 *
 * Surprise: the device has no thread. What is due by the clock is done when
 * somebody calls in, at the latest 5 ms after it was due if somebody watches the
 * descriptor, and never more than 100 ms worth of it: after a pause it does not
 * make up for lost time.
 */

#include "sim/dma.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/timerfd.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "protocol/v2.h"

#define TICK_NS 5000000
#define BACKLOG_NS UINT64_C(100000000)

/* ---- time ---------------------------------------------------------------- */

uint64_t vfm_sim_dma_clock_due(struct vfm_sim_dma_clock *clock, uint64_t now_ns, uint64_t rate,
			       uint64_t unit)
{
	uint64_t elapsed = now_ns > clock->last_ns ? now_ns - clock->last_ns : 0;
	uint64_t cost = unit * 1000000000u, due;

	clock->last_ns = now_ns;
	/* BACKLOG_NS * VFM_SIM_DMA_RATE_MAX + cost fits */
	clock->credit += VFM_MIN(elapsed, BACKLOG_NS) * rate;
	due = clock->credit / cost;
	clock->credit %= cost;
	return due;
}

bool vfm_sim_dma_active(const struct vfm_sim_dma *d)
{
	return vfm_state_is_active(vfm_host_state(d->host));
}

void vfm_sim_dma_sync(struct vfm_sim_dma *d)
{
	uint64_t now = vfm_now_ns();

	if (!vfm_sim_dma_active(d))
		return;
	vfm_sim_dma_state_sync(d, now);
	vfm_sim_dma_ring_sync(d, now);
}

static bool job_waits(const struct vfm_sim_dma *d)
{
	return d->reg[VFM_SIM_REG_JOB_STATUS / 8] == VFM_SIM_JOB_QUEUED;
}

static enum vfm_sim_dma_timer wanted_timer(const struct vfm_sim_dma *d, enum vfm_state state)
{
	bool dma = vfm_sim_dma_state_allows(state);
	bool ring = vfm_sim_dma_bus_master(d) && d->reg[VFM_SIM_REG_RING_STATUS / 8] &&
		    d->reg[VFM_SIM_REG_RING_RATE / 8];

	if (!vfm_state_is_active(state))
		return VFM_SIM_DMA_TIMER_OFF;
	if ((dma && job_waits(d)) || vfm_sim_dma_irq_deliverable(d))
		return VFM_SIM_DMA_TIMER_NOW;
	return (dma && ring) || d->reg[VFM_SIM_REG_STATE_RATE / 8] ? VFM_SIM_DMA_TIMER_TICK
								   : VFM_SIM_DMA_TIMER_OFF;
}

static void set_timer(struct vfm_sim_dma *d, enum vfm_state state)
{
	static const struct itimerspec specs[] = {
		[VFM_SIM_DMA_TIMER_TICK] = { { 0, TICK_NS }, { 0, TICK_NS } },
		[VFM_SIM_DMA_TIMER_NOW] = { { 0, 0 }, { 0, 1 } },
	};
	enum vfm_sim_dma_timer want = wanted_timer(d, state);

	if (want == d->timer)
		return;
	/* cannot fail: the descriptor and the times are good */
	(void)timerfd_settime(d->timer_fd, 0, &specs[want], NULL);
	d->timer = want;
}

void vfm_sim_dma_settle(struct vfm_sim_dma *d)
{
	enum vfm_state state = vfm_host_state(d->host);

	/* without bus mastering a job fails at once; in a state without DMA it waits */
	if (job_waits(d) && vfm_sim_dma_state_allows(state))
		vfm_sim_dma_run_job(d);
	vfm_sim_dma_irq_deliver(d);
	set_timer(d, state);
}

/* Empty a counting descriptor; whether there was something in it. */
static bool drain_fd(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count);
}

bool vfm_sim_dma_take_doorbell(struct vfm_sim_dma *d)
{
	return drain_fd(d->doorbell_fd);
}

static int dma_process(void *priv, struct vfm_err *err)
{
	struct vfm_sim_dma *d = (struct vfm_sim_dma *)priv;

	(void)err;
	if (drain_fd(d->timer_fd) && d->timer == VFM_SIM_DMA_TIMER_NOW)
		d->timer = VFM_SIM_DMA_TIMER_OFF;
	if (vfm_sim_dma_take_doorbell(d))
		vfm_sim_dma_doorbell(d);
	vfm_sim_dma_sync(d);
	vfm_sim_dma_settle(d);
	return 0;
}

/* ---- states -------------------------------------------------------------- */

static void take_time(uint64_t us)
{
	struct timespec ts = { (time_t)(us / 1000000), (long)(us % 1000000) * 1000 };

	if (us)
		nanosleep(&ts, NULL);
}

static void restart_clocks(struct vfm_sim_dma *d)
{
	d->ring_clock.last_ns = vfm_now_ns();
	d->state_clock.last_ns = d->ring_clock.last_ns;
}

static int dma_arc(void *priv, enum vfm_state from, enum vfm_state to, struct vfm_err *err)
{
	struct vfm_sim_dma *d = (struct vfm_sim_dma *)priv;
	enum vfm_session_effect effect = vfm_arc_session(from, to);

	(void)err;
	if (vfm_sim_dma_take_doorbell(d))
		vfm_sim_dma_doorbell(d);
	vfm_sim_dma_sync(d);
	vfm_sim_dma_settle(d);
	take_time(d->params.arc_us);
	if (effect == VFM_SESSION_OPEN_SAVE)
		vfm_sim_dma_save_begin(d);
	else if (effect == VFM_SESSION_OPEN_LOAD)
		vfm_sim_dma_load_begin(d);
	else if (effect == VFM_SESSION_CLOSE)
		d->save.open = false;
	/* the time in which the device stood, or walked, was not its own */
	restart_clocks(d);
	if (vfm_state_is_active(to))
		vfm_sim_dma_irq_deliver(d);
	set_timer(d, to);
	return 0;
}

static int dma_reset(void *priv, struct vfm_err *err)
{
	struct vfm_sim_dma *d = (struct vfm_sim_dma *)priv;

	(void)err;
	(void)vfm_sim_dma_take_doorbell(d);
	vfm_sim_dma_regs_reset(d);
	vfm_sim_dma_config_reset(d);
	vfm_sim_dma_irq_reset(d);
	d->ring = (struct vfm_sim_ring){ 0 };
	d->plan = vfm_sim_plan_of(&d->ring);
	d->ring_clock = (struct vfm_sim_dma_clock){ 0 };
	d->state_clock = d->ring_clock;
	memset(d->mem, 0, d->params.bar);
	vfm_sim_dma_state_reset(d);
	d->save.open = false;
	restart_clocks(d);
	set_timer(d, VFM_STATE_RUNNING);
	return 0;
}

/* ---- regions ------------------------------------------------------------- */

static int dma_read_region(void *priv, uint32_t index, uint64_t offset, void *buf, size_t len,
			   struct vfm_err *err)
{
	struct vfm_sim_dma *d = (struct vfm_sim_dma *)priv;

	(void)err;
	if (index == VFM_SIM_REG_BAR)
		vfm_sim_dma_regs_read(d, offset, buf, len);
	else if (index == VFM_SIM_MEM_BAR)
		memcpy(buf, d->mem + offset, len);
	else if (index == VFM_SIM_MSIX_BAR)
		vfm_sim_dma_msix_read(d, offset, buf, len);
	else
		vfm_sim_dma_config_read(d, offset, buf, len);
	return 0;
}

static int dma_write_region(void *priv, uint32_t index, uint64_t offset, const void *buf,
			    size_t len, struct vfm_err *err)
{
	struct vfm_sim_dma *d = (struct vfm_sim_dma *)priv;

	if (index == VFM_SIM_REG_BAR)
		return vfm_sim_dma_regs_write(d, offset, buf, len, err);
	if (index == VFM_SIM_MEM_BAR)
		memcpy(d->mem + offset, buf, len);
	else if (index == VFM_SIM_MSIX_BAR)
		vfm_sim_dma_msix_write(d, offset, buf, len);
	else
		vfm_sim_dma_config_write(d, offset, buf, len);
	return 0;
}

static void describe_regions(const struct vfm_sim_dma *d, struct vfm_description *desc)
{
	const uint32_t rw = VFM_REGION_READ | VFM_REGION_WRITE;
	struct vfm_region *mem = &desc->regions[VFM_SIM_MEM_BAR];

	desc->nr_regions = VFM_PCI_NR_REGIONS;
	desc->regions[VFM_SIM_REG_BAR].size = VFM_SIM_DMA_REG_SIZE;
	desc->regions[VFM_SIM_REG_BAR].flags = rw;
	desc->regions[VFM_SIM_MSIX_BAR].size = VFM_SIM_DMA_MSIX_SIZE;
	desc->regions[VFM_SIM_MSIX_BAR].flags = rw;
	desc->regions[VFM_PCI_CONFIG].size = VFM_SIM_DMA_CONFIG_SIZE;
	desc->regions[VFM_PCI_CONFIG].flags = rw;
	mem->size = d->params.bar;
	mem->flags = rw | VFM_REGION_MMAP;
	mem->fd = d->mem_fd;
	mem->nr_areas = 1;
	mem->areas[0].offset = VFM_SIM_DMA_TRAPPED;
	mem->areas[0].size = d->params.bar - VFM_SIM_DMA_TRAPPED;
}

static int dma_describe(void *priv, struct vfm_description *desc, struct vfm_err *err)
{
	struct vfm_sim_dma *d = (struct vfm_sim_dma *)priv;

	(void)err;
	desc->flags = VFM_DEVICE_RESET | VFM_DEVICE_PCI;
	describe_regions(d, desc);
	desc->nr_irqs = VFM_PCI_NR_IRQS;
	desc->irqs[VFM_PCI_INTX].count = 1;
	desc->irqs[VFM_PCI_INTX].flags = VFM_IRQ_EVENTFD | VFM_IRQ_MASKABLE | VFM_IRQ_AUTOMASKED;
	desc->irqs[VFM_PCI_MSIX].count = (uint32_t)d->params.vectors;
	desc->irqs[VFM_PCI_MSIX].flags = VFM_IRQ_EVENTFD | VFM_IRQ_MASKABLE;
	desc->nr_io_fds = 1;
	desc->io_fds[0].region = VFM_SIM_REG_BAR;
	desc->io_fds[0].io = (struct vfm_io_fd){
		.offset = VFM_SIM_REG_JOB_DOORBELL,
		.size = 4,
		.fd = d->doorbell_fd,
		.type = VFM_IO_EVENTFD,
	};
	desc->migration = d->params.features;
	/* those that decide how many bytes there are of what; the rest travels or is our own */
	snprintf(desc->params, sizeof(desc->params),
		 "state=%" PRIu64 ",bar=%" PRIu64 ",vectors=%" PRIu64, d->params.state,
		 d->params.bar, d->params.vectors);
	desc->fd = d->epoll_fd;
	return 0;
}

/* ---- opening ------------------------------------------------------------- */

static int watch_fd(struct vfm_sim_dma *d, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int open_fds(struct vfm_sim_dma *d, struct vfm_err *err)
{
	d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	d->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	d->doorbell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->epoll_fd < 0 || d->timer_fd < 0 || d->doorbell_fd < 0 || watch_fd(d, d->timer_fd) ||
	    watch_fd(d, d->doorbell_fd))
		return vfm_fail(err, -errno, "sim:dma: open timer and doorbell");
	return 0;
}

/* Sealed: whoever maps it cannot make it smaller under us. */
static int open_mem(struct vfm_sim_dma *d, struct vfm_err *err)
{
	void *p;

	d->mem_fd = memfd_create("vfmig-sim-dma", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (d->mem_fd < 0 || ftruncate(d->mem_fd, (off_t)d->params.bar) ||
	    fcntl(d->mem_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return vfm_fail(err, -errno, "sim:dma: make memory for bar=%" PRIu64,
				d->params.bar);
	p = mmap(NULL, d->params.bar, PROT_READ | PROT_WRITE, MAP_SHARED, d->mem_fd, 0);
	if (p == MAP_FAILED)
		return vfm_fail(err, -errno, "sim:dma: map memory for bar=%" PRIu64, d->params.bar);
	d->mem = (uint8_t *)p;
	return 0;
}

static void dma_close(void *priv)
{
	struct vfm_sim_dma *d = (struct vfm_sim_dma *)priv;

	vfm_sim_dma_image_free(d);
	vfm_sim_dma_state_free(d);
	if (d->mem)
		munmap(d->mem, d->params.bar);
	vfm_close_fd(&d->mem_fd);
	vfm_close_fd(&d->epoll_fd);
	vfm_close_fd(&d->timer_fd);
	vfm_close_fd(&d->doorbell_fd);
	free(d);
}

static int dma_open(struct vfm_host *host, const char *params, void **priv, struct vfm_err *err)
{
	struct vfm_sim_dma *d = calloc(1, sizeof(*d));
	int ret;

	if (!d)
		return vfm_fail(err, -ENOMEM, "open sim:dma");
	d->host = host;
	d->mem_fd = d->epoll_fd = d->timer_fd = d->doorbell_fd = -1;
	ret = vfm_sim_dma_parse(&d->params, params, err);
	if (!ret)
		ret = open_fds(d, err);
	if (!ret)
		ret = open_mem(d, err);
	if (!ret)
		ret = vfm_sim_dma_state_new(d, err);
	if (!ret)
		ret = vfm_sim_dma_image_new(d, err);
	if (!ret)
		ret = dma_reset(d, err);
	if (ret)
		dma_close(d);
	else
		*priv = d;
	return ret;
}

const struct vfm_driver vfm_sim_dma_driver = {
	VFM_DRIVER_INIT,
	.model = VFM_SIM_DMA_MODEL,
	.version = 1,
	.min_version = 1,
	.migration = VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_P2P | VFM_MIGRATION_PRE_COPY,
	.record_max = VFM_SIM_DMA_RECORD_MAX,
	.open = dma_open,
	.close = dma_close,
	.describe = dma_describe,
	.read_region = dma_read_region,
	.write_region = dma_write_region,
	.reset = dma_reset,
	.arc = dma_arc,
	.save = vfm_sim_dma_save,
	.load = vfm_sim_dma_load,
	.load_end = vfm_sim_dma_load_end,
	.pending = vfm_sim_dma_pending,
	.data_size = vfm_sim_dma_data_size,
	.process = dma_process,
};
