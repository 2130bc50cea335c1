// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Rows about moving a device: each half in a process of its own, devices in process. */

#include "bench.h"

#include <stdlib.h>

#include <vfmig/sim.h>

#include "base/io.h"
#include "base/util.h"

#define STATE "256M"
#define URI "sim:dma,features=1,state=" STATE ",dirty=0,bar=64K"

static double bare_tcp(void *user)
{
	(void)user;
	return bench_stream(true, BENCH_MIGRATE_BYTES);
}

static void send_half(int socket, void *user)
{
	struct vfm_migrate_opts opts = VFM_MIGRATE_OPTS();
	struct vfm_migration_report report;
	struct vfm_device *dev;
	struct vfm_err err;

	opts.tls = user;
	opts.max_downtime_ms = 0;
	bench_ok(vfm_open(&dev, URI, &err), &err);
	/* Ready: what it takes to make the device is not measured. */
	bench_ok(vfm_write_full(socket, "", 1, NULL), NULL);
	bench_ok(vfm_migrate_send(dev, NULL, socket, &opts, &report, &err), &err);
	vfm_device_close(dev);
}

static void *nothing(void)
{
	return NULL;
}

static void forget(void *user)
{
	(void)user;
}

/* The phase that carries all of it: from the first arc of the stop to LOADED. */
double bench_migrate(const struct vfm_tls *tls)
{
	struct vfm_migrate_opts opts = VFM_MIGRATE_OPTS();
	struct vfm_migration_report report;
	struct vfm_device *dev;
	struct vfm_err err;
	int socket;
	pid_t child = bench_child(&socket, true, send_half, (void *)(uintptr_t)tls);
	uint64_t us;
	char ready;

	opts.tls = tls;
	/* Made after the fork: what is shared with the child would be copied while it loads. */
	bench_ok(vfm_open(&dev, URI, &err), &err);
	bench_ok((int)vfm_read_full(socket, &ready, 1, NULL), NULL);
	bench_ok(vfm_migrate_receive(dev, NULL, socket, &opts, &report, &err), &err);
	bench_reap(child, socket);
	vfm_device_close(dev);
	us = report.phases[VFM_PHASE_STOP_COPY].us + report.phases[VFM_PHASE_LOAD].us;
	return (double)report.state_bytes * 1e6 / (double)us;
}

static double migrate(void *user)
{
	(void)user;
	return bench_migrate(NULL);
}

const struct bench_row bench_migrate_rows[] = {
	{ "migrate over TCP, one channel", "bare TCP stream, loopback", BENCH_RATE, 0.9, nothing,
	  bare_tcp, migrate, forget },
};
const size_t bench_nr_migrate_rows = VFM_ARRAY_SIZE(bench_migrate_rows);
