// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Rows about moving a device: each half in a process of its own, devices in process. */

#include "bench.h"

#include <stdlib.h>
#include <unistd.h>

#include <vfmig/sim.h>

#include "base/io.h"
#include "base/util.h"

#define STATE_BYTES (UINT64_C(256) << 20)
#define LARGE_BYTES (UINT64_C(4) << 30)
#define HUGE_BYTES (UINT64_C(16) << 30)
#define URI "sim:dma,features=1,state=256M,dirty=0,bar=64K"

#define CHANNELS_MAX 4

/* One half's ends of the further connections; those from @used on are to come. */
struct ends {
	int fds[CHANNELS_MAX];
	unsigned int used;
};

/* What is moved: a device by name, or one that costs nothing; how it is protected, and carried. */
struct moved {
	const char *uri;
	uint64_t bytes;
	const struct vfm_tls *tls;
	unsigned int channels;
	struct ends ends[2];
};

static int open_channel(void *user, unsigned int timeout_ms, struct vfm_err *err)
{
	struct ends *ends = user;

	(void)timeout_ms;
	(void)err;
	return ends->fds[ends->used++];
}

static struct vfm_migrate_opts opts_of(struct moved *moved, unsigned int half)
{
	struct vfm_migrate_opts opts = VFM_MIGRATE_OPTS();

	opts.tls = moved->tls;
	opts.max_downtime_ms = 0;
	opts.channels = moved->channels;
	opts.open_channel = open_channel;
	opts.channel_user = &moved->ends[half];
	return opts;
}

static void open_device(struct vfm_device **dev, const struct moved *moved)
{
	struct vfm_err err;

	if (moved->uri)
		bench_ok(vfm_open(dev, moved->uri, &err), &err);
	else
		bench_ok(bench_null_device(dev, moved->bytes, &err), &err);
}

/* Those of the other half, or what is left of ours. */
static void close_ends(struct moved *moved, unsigned int half)
{
	for (unsigned int i = moved->ends[half].used; i + 1 < moved->channels; i++)
		close(moved->ends[half].fds[i]);
}

/* Ends with what was resident here at most. */
static void send_half(int socket, void *user)
{
	struct moved *moved = user;
	struct vfm_migrate_opts opts = opts_of(moved, 0);
	struct vfm_migration_report report;
	struct vfm_device *dev;
	struct vfm_err err;
	uint64_t peak;

	close_ends(moved, 1);
	open_device(&dev, moved);
	bench_peak();
	/* Ready: what it takes to make the device is not measured. */
	bench_ok(vfm_write_full(socket, "", 1, NULL), NULL);
	bench_ok(vfm_migrate_send(dev, NULL, socket, &opts, &report, &err), &err);
	peak = bench_peak();
	bench_ok(vfm_write_full(socket, &peak, sizeof(peak), NULL), NULL);
	vfm_device_close(dev);
}

/* Both halves: what the destination reports, and what was resident in either at most. */
static void move(const struct moved *moved, struct vfm_migration_report *report, uint64_t *peak)
{
	struct moved copy = *moved;
	struct vfm_migrate_opts opts = opts_of(&copy, 1);
	struct vfm_device *dev;
	struct vfm_err err;
	uint64_t theirs;
	int socket;
	pid_t child;
	char ready;

	for (unsigned int i = 0; i + 1 < copy.channels; i++) {
		int fds[2];

		bench_tcp_pair(fds);
		copy.ends[0].fds[i] = fds[0];
		copy.ends[1].fds[i] = fds[1];
	}
	child = bench_child(&socket, true, send_half, &copy);
	close_ends(&copy, 0);
	/* Made after the fork: what is shared with the child would be copied while it loads. */
	open_device(&dev, moved);
	bench_ok((int)vfm_read_full(socket, &ready, 1, NULL), NULL);
	bench_peak();
	bench_ok(vfm_migrate_receive(dev, NULL, socket, &opts, report, &err), &err);
	*peak = bench_peak();
	bench_ok((int)vfm_read_full(socket, &theirs, sizeof(theirs), NULL), NULL);
	*peak = VFM_MAX(*peak, theirs);
	bench_reap(child, socket);
	vfm_device_close(dev);
}

static double bare_tcp(void *user)
{
	(void)user;
	return bench_stream(true, BENCH_MIGRATE_BYTES);
}

/* The phase that carries all of it: from the first arc of the stop to LOADED. */
static double migrate(void *user)
{
	struct vfm_migration_report report;
	uint64_t peak, us;

	move(user, &report, &peak);
	us = report.phases[VFM_PHASE_STOP_COPY].us + report.phases[VFM_PHASE_LOAD].us;
	return (double)report.state_bytes * 1e6 / (double)us;
}

/* A device that is slower than the wire, without the wire: what is to be had at most. */
static double read_alone(void *user)
{
	struct vfm_device *dev;
	struct vfm_err err;
	void *buf = malloc(BENCH_MESSAGE);
	uint64_t bytes = 0;
	double begin;
	ssize_t n;

	open_device(&dev, user);
	bench_ok(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, &err), &err);
	begin = bench_seconds();
	while ((n = vfm_device_read_data(dev, buf, BENCH_MESSAGE, &err)) > 0)
		bytes += (uint64_t)n;
	bench_ok((int)n, &err);
	begin = (double)bytes / (bench_seconds() - begin);
	vfm_device_close(dev);
	free(buf);
	return begin;
}

static double default_limit(void *user)
{
	(void)user;
	return (double)VFM_MIGRATE_OPTS().memory_limit;
}

static double migrate_memory(void *user)
{
	struct vfm_migration_report report;
	uint64_t peak;

	move(user, &report, &peak);
	return (double)peak;
}

static void *sim(void)
{
	static struct moved moved = { .uri = URI };

	return &moved;
}

static void *two_channels(void)
{
	static struct moved moved = { .uri = URI, .channels = 2 };

	return &moved;
}

static void *four_channels(void)
{
	static struct moved moved = { .uri = URI, .channels = 4 };

	return &moved;
}

static void *slow_sim(void)
{
	static struct moved moved = { .uri = URI ",save-rate=1G,load-rate=1G" };

	return &moved;
}

static void *large(void)
{
	static struct moved moved = { .bytes = LARGE_BYTES };

	return &moved;
}

static void *huge(void)
{
	static struct moved moved = { .bytes = HUGE_BYTES };

	return &moved;
}

static void forget(void *user)
{
	(void)user;
}

/* For rows about TLS: with it, or without. */
double bench_migrate(const struct vfm_tls *tls, unsigned int channels)
{
	struct moved moved = { .uri = URI, .tls = tls, .channels = channels };

	return migrate(&moved);
}

const struct bench_row bench_migrate_rows[] = {
	{ "migrate over TCP, one channel", "bare TCP stream, loopback", BENCH_RATE, 0.9, sim,
	  bare_tcp, migrate, forget },
	{ "migrate over TCP, 2 channels", "bare TCP stream, loopback", BENCH_RATE, 0.9,
	  two_channels, bare_tcp, migrate, forget },
	{ "migrate over TCP, 4 channels", "bare TCP stream, loopback", BENCH_RATE, 0.9,
	  four_channels, bare_tcp, migrate, forget },
	{ "migrate, slow devices", "reading one of them alone", BENCH_RATE, 0.9, slow_sim,
	  read_alone, migrate, forget },
	{ "migrate 4 GiB, resident memory", "the default limit", BENCH_BYTES, 1.0, large,
	  default_limit, migrate_memory, forget },
	{ "migrate 16 GiB, resident memory", "the default limit", BENCH_BYTES, 1.0, huge,
	  default_limit, migrate_memory, forget, .asked = true },
};
const size_t bench_nr_migrate_rows = VFM_ARRAY_SIZE(bench_migrate_rows);
