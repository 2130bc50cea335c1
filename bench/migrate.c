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

#define UNIT 256
#define SMALL_URI "sim:dma,features=1,state=1M,dirty=0,bar=64K"
#define SLOW_UNIT 8
#define SLOW_URI "sim:dma,state=2M,initial=4K,dirty=0,save-rate=100M,load-rate=100M,arc-us=5000"

#define CHANNELS_MAX 4

/* One half's ends of the further connections; those from @used on are to come. */
struct ends {
	int fds[CHANNELS_MAX];
	unsigned int used;
};

/*
 * What is moved: a device by name, or one that costs nothing, or so many of them as a unit
 * (0: one); how it is protected, and by how many channels. What the source tells at the end has a
 * pipe of its own: the connection may have words of TLS left in it.
 */
struct moved {
	const char *uri;
	uint64_t bytes;
	const struct vfm_tls *tls;
	size_t count;
	unsigned int channels;
	struct ends ends[2];
	int told[2];
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
	opts.allow_no_p2p = true;
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

static void open_ends(struct moved *moved)
{
	for (unsigned int i = 0; i + 1 < moved->channels; i++) {
		int fds[2];

		bench_tcp_pair(fds);
		moved->ends[0].fds[i] = fds[0];
		moved->ends[1].fds[i] = fds[1];
	}
}

/* Those of the other half. */
static void close_ends(struct moved *moved, unsigned int half)
{
	for (unsigned int i = moved->ends[half].used; i + 1 < moved->channels; i++)
		close(moved->ends[half].fds[i]);
}

static struct vfm_unit open_unit(const struct moved *moved)
{
	size_t count = VFM_MAX(moved->count, 1);
	struct vfm_device **devs = calloc(count, sizeof(*devs));

	for (size_t i = 0; i < count; i++)
		open_device(&devs[i], moved);
	return (struct vfm_unit){ .size = sizeof(struct vfm_unit), .devs = devs, .nr_devs = count };
}

static void close_unit(const struct vfm_unit *unit)
{
	for (size_t i = 0; i < unit->nr_devs; i++)
		vfm_device_close(unit->devs[i]);
	free((void *)unit->devs);
}

/* What the source tells at the end: what was resident there at most, and its downtime. */
struct told {
	uint64_t peak, downtime_us;
};

/* Ends with what was resident here at most. */
static void send_half(int socket, void *user)
{
	struct moved *moved = user;
	struct vfm_migrate_opts opts = opts_of(moved, 0);
	struct vfm_unit unit = open_unit(moved);
	struct vfm_migration_report report;
	struct vfm_err err;
	struct told told;

	close_ends(moved, 1);
	bench_peak();
	/* Ready: what it takes to make the device is not measured. */
	bench_ok(vfm_write_full(socket, "", 1, NULL), NULL);
	bench_ok(vfm_migrate_send_unit(&unit, socket, &opts, &report, &err), &err);
	told = (struct told){ bench_peak(), report.downtime_us };
	bench_ok(vfm_write_full(moved->told[1], &told, sizeof(told), NULL), NULL);
	close_unit(&unit);
}

/* Both halves: what the destination reports, and what was resident in either at most. */
static struct told move(const struct moved *moved, struct vfm_migration_report *report)
{
	struct moved copy = *moved;
	struct vfm_migrate_opts opts = opts_of(&copy, 1);
	struct vfm_unit unit;
	struct vfm_err err;
	struct told told;
	uint64_t peak;
	int socket;
	pid_t child;
	char ready;

	if (pipe(copy.told))
		bench_die("no pipe");
	open_ends(&copy);
	child = bench_child(&socket, true, send_half, &copy);
	close_ends(&copy, 0);
	/* Made after the fork: what is shared with the child would be copied while it loads. */
	unit = open_unit(moved);
	bench_ok((int)vfm_read_full(socket, &ready, 1, NULL), NULL);
	bench_peak();
	bench_ok(vfm_migrate_receive_unit(&unit, socket, &opts, report, &err), &err);
	peak = bench_peak();
	if (vfm_read_full(copy.told[0], &told, sizeof(told), NULL) != (ssize_t)sizeof(told))
		bench_die("the source tells nothing");
	close(copy.told[0]);
	close(copy.told[1]);
	told.peak = VFM_MAX(peak, told.peak);
	bench_reap(child, socket);
	close_unit(&unit);
	return told;
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
	uint64_t us;

	move(user, &report);
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

	return (double)move(user, &report).peak;
}

/* The same state in one device. */
static double migrate_one(void *user)
{
	struct moved moved = { .uri = URI };

	(void)user;
	return migrate(&moved);
}

static double downtime(void *user)
{
	struct vfm_migration_report report;

	return (double)move(user, &report).downtime_us / 1e6;
}

static double downtime_of_one(void *user)
{
	struct moved moved = { .uri = SLOW_URI };

	(void)user;
	return downtime(&moved);
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

static void *unit(void)
{
	static struct moved moved = { .uri = SMALL_URI, .count = UNIT };

	return &moved;
}

static void *slow_unit(void)
{
	static struct moved moved = { .uri = SLOW_URI, .count = SLOW_UNIT };

	return &moved;
}

static void *large_unit(void)
{
	static struct moved moved = { .bytes = LARGE_BYTES / UNIT, .count = UNIT };

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
	{ "256 devices as one unit", "one device with all the state", BENCH_RATE, 0.9, unit,
	  migrate_one, migrate, forget },
	{ "8 slow devices as one unit, downtime", "of one of them", BENCH_SECONDS, 1.25, slow_unit,
	  downtime_of_one, downtime, forget },
	{ "256 devices, 4 GiB, resident memory", "the default limit", BENCH_BYTES, 1.0, large_unit,
	  default_limit, migrate_memory, forget },
	{ "migrate 4 GiB, resident memory", "the default limit", BENCH_BYTES, 1.0, large,
	  default_limit, migrate_memory, forget },
	{ "migrate 16 GiB, resident memory", "the default limit", BENCH_BYTES, 1.0, huge,
	  default_limit, migrate_memory, forget, .asked = true },
};
const size_t bench_nr_migrate_rows = VFM_ARRAY_SIZE(bench_migrate_rows);
