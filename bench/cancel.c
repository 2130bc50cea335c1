// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * How long after a cancellation the source runs again: cancelled here, by the destination, and
 * here while the destination has been stopped, at moments spread over a whole migration. The
 * device's own time is taken off: what its steps between states took after that.
 *
 * The destination has a process of its own, the connection is TCP on the loopback
 * address. A table of its own, not a row with a ratio.
 */

#include "bench.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <vfmig/sim.h>

#include "base/io.h"
#include "base/util.h"

#define MOMENTS 40
#define AIM_MS 100.0
#define MIB (UINT64_C(1) << 20)

enum canceller { NOBODY, SOURCE, DESTINATION, WITHOUT_PEER };

/* The destination stops so long before the source is cancelled. */
#define STOPPED_NS 20000000u

static const struct cancel_case {
	const char *params;
	uint64_t memory;
	int compress;
	uint64_t rate;
	enum canceller by;
} cases[] = {
	{ "state=64M,dirty=50M,save-rate=200M", 0, 0, 0, SOURCE },
	{ "state=32M,load-rate=50M", 0, 0, 0, SOURCE },
	{ "state=16M,dirty=50M,arc-us=20000", 0, 0, 0, SOURCE },
	{ "state=16M", 256 * MIB, 0, 0, SOURCE },
	{ "state=16M,save-rate=40M", 16 * MIB, 19, 0, SOURCE },
	{ "state=16M", 0, 0, 20 * MIB, SOURCE },
	{ "state=64M,dirty=50M,save-rate=200M", 0, 0, 0, DESTINATION },
	{ "state=32M,load-rate=50M", 0, 0, 0, DESTINATION },
	{ "state=16M", 256 * MIB, 0, 0, DESTINATION },
	{ "state=16M", 0, 0, 20 * MIB, DESTINATION },
	{ "state=64M,dirty=50M,save-rate=200M", 64 * MIB, 0, 0, WITHOUT_PEER },
	{ "state=16M,save-rate=40M", 16 * MIB, 19, 0, WITHOUT_PEER },
};

/* ---- a device that tells when it runs again --------------------------------- */

static struct {
	int (*arc)(void *priv, enum vfm_state from, enum vfm_state to, struct vfm_err *err);
	uint64_t cancel_ns; /* arcs after that count */
	uint64_t arcs_ns;
	uint64_t ran_ns;
} watch;

static int watched_arc(void *priv, enum vfm_state from, enum vfm_state to, struct vfm_err *err)
{
	uint64_t begin = vfm_now_ns(), end;
	int ret = watch.arc(priv, from, to, err);

	end = vfm_now_ns();
	if (end > watch.cancel_ns)
		watch.arcs_ns += end - VFM_MAX(begin, watch.cancel_ns);
	if (!ret && to == VFM_STATE_RUNNING)
		watch.ran_ns = end;
	return ret;
}

static struct vfm_device *open_watched(const char *params)
{
	static struct vfm_driver driver;
	struct vfm_device *dev;
	struct vfm_err err;

	driver = *vfm_sim_find("dma");
	watch.arc = driver.arc;
	driver.arc = watched_arc;
	bench_ok(vfm_device_from_driver(&dev, &driver, params, &err), &err);
	return dev;
}

/* ---- one migration ------------------------------------------------------------ */

/* Readable from that time on; -1: never. */
static int timer_at(uint64_t ns)
{
	struct itimerspec at = { .it_value = { .tv_sec = (time_t)(ns / 1000000000),
					       .tv_nsec = (long)(ns % 1000000000) } };
	int fd;

	if (!ns)
		return -1;
	fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (fd < 0 || timerfd_settime(fd, TFD_TIMER_ABSTIME, &at, NULL))
		bench_die("timer: %s", strerror(errno));
	return fd;
}

static void stop_here(int signal_number)
{
	(void)signal_number;
	raise(SIGSTOP);
}

static void stop_at(uint64_t ns)
{
	uint64_t left = ns - vfm_now_ns();
	struct itimerval in = { .it_value = { .tv_sec = (time_t)(left / 1000000000),
					      .tv_usec = (long)(left / 1000 % 1000000) + 1 } };

	if (signal(SIGALRM, stop_here) == SIG_ERR || setitimer(ITIMER_REAL, &in, NULL))
		bench_die("interval timer: %s", strerror(errno));
}

static void receive_half(int socket, void *user)
{
	const struct cancel_case *c = (const struct cancel_case *)user;
	struct vfm_migrate_opts opts = VFM_MIGRATE_OPTS();
	struct vfm_memory *mem;
	struct vfm_device *dev;
	char uri[128];
	uint64_t at;

	snprintf(uri, sizeof(uri), "sim:dma,%s", c->params);
	bench_ok(vfm_open(&dev, uri, NULL), NULL);
	bench_ok(vfm_memory_new(&mem, NULL), NULL);
	bench_ok(vfm_write_full(socket, "", 1, NULL), NULL);
	bench_ok((int)vfm_read_full(socket, &at, sizeof(at), NULL), NULL);
	opts.cancel_fd = timer_at(c->by == DESTINATION ? at : 0);
	if (c->by == WITHOUT_PEER && at)
		stop_at(at - STOPPED_NS);
	/* It is cancelled mostly, which is for the source to judge. */
	if (vfm_migrate_receive(dev, mem, socket, &opts, NULL, NULL))
		_exit(0);
}

static struct vfm_memory *new_memory(struct vfm_device *dev, uint64_t size)
{
	struct vfm_memory *mem;
	uint64_t *at;

	if (!size)
		return NULL;
	bench_ok(vfm_memory_new(&mem, NULL), NULL);
	bench_ok(vfm_memory_add(mem, 0, size, VFM_DMA_READ | VFM_DMA_WRITE, NULL), NULL);
	bench_ok(vfm_memory_map(mem, dev, NULL), NULL);
	at = (uint64_t *)vfm_memory_at(mem, 0, size);
	for (uint64_t i = 0; i < size / sizeof(*at); i++)
		at[i] = i * UINT64_C(0x9e3779b97f4a7c15);
	return mem;
}

/* Cancelled so long after its begin; 0: never. Returns whether it was moved all the same. */
static bool migrate(const struct cancel_case *c, uint64_t after_ns,
		    struct vfm_migration_report *report)
{
	struct vfm_migrate_opts opts = VFM_MIGRATE_OPTS();
	struct vfm_device *dev = open_watched(c->params);
	struct vfm_memory *mem = new_memory(dev, c->memory);
	struct cancel_case copy = *c;
	struct vfm_err err;
	char ready;
	int socket, ret;
	pid_t child = bench_child(&socket, true, receive_half, &copy);
	uint64_t at;

	bench_ok((int)vfm_read_full(socket, &ready, 1, NULL), NULL);
	at = after_ns ? vfm_now_ns() + after_ns : 0;
	watch.cancel_ns = at;
	watch.arcs_ns = watch.ran_ns = 0;
	bench_ok(vfm_write_full(socket, &at, sizeof(at), NULL), NULL);
	opts.cancel_fd = timer_at(c->by == DESTINATION ? 0 : at);
	opts.compress = c->compress;
	opts.rate = c->rate;
	opts.max_downtime_ms = 0;
	ret = vfm_migrate_send(dev, mem, socket, &opts, report, &err);
	if (ret && !after_ns)
		bench_die("%s: %s", c->params, err.msg);
	if (c->by == WITHOUT_PEER)
		kill(child, SIGKILL);
	bench_reap(child, socket);
	if (mem)
		bench_ok(vfm_memory_unmap(mem, dev, NULL), NULL);
	vfm_device_close(dev);
	vfm_memory_free(mem);
	close(opts.cancel_fd);
	return !ret || report->committed;
}

/* ---- the table ----------------------------------------------------------------- */

struct worst {
	double ms;
	enum vfm_phase phase;
};

/* One that was not touched when it was cancelled never stopped running. */
static double late_ms(void)
{
	double ns = (double)watch.ran_ns - (double)watch.cancel_ns - (double)watch.arcs_ns;

	return watch.ran_ns > watch.cancel_ns ? VFM_MAX(ns, 0) / 1e6 : 0;
}

static bool run_case(const struct cancel_case *c)
{
	static const char *const who[] = { "", "source", "destination", "source, peer stopped" };
	struct vfm_migration_report report;
	struct worst worst = { 0 };
	unsigned int moved = 0;
	uint64_t whole;

	migrate(c, 0, &report);
	whole = report.total_us * 1000;
	for (unsigned int i = 1; i <= MOMENTS; i++) {
		if (migrate(c, STOPPED_NS + whole * i / MOMENTS, &report))
			moved++;
		else if (late_ms() > worst.ms)
			worst = (struct worst){ late_ms(), report.phase };
	}
	printf("%-36s %4llu MiB  zstd %-2d  by %-20s %7.1f ms, in %s (%u too late)\n", c->params,
	       (unsigned long long)(c->memory / MIB), c->compress, who[c->by], worst.ms,
	       vfm_phase_name(worst.phase), moved);
	fflush(stdout);
	return worst.ms <= AIM_MS;
}

void bench_cancel(void)
{
	unsigned int good = 0;

	printf("from a cancellation to RUNNING, without the device's own steps: worst of %u "
	       "moments\n",
	       MOMENTS);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(cases); i++)
		good += run_case(&cases[i]);
	printf("%u of %zu within %.0f ms\n", good, VFM_ARRAY_SIZE(cases), AIM_MS);
}
