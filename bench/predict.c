// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Predicted against measured downtime, over a grid of devices. No ratio against a
 * limit as in the other rows: what is asked is whether we knew before.
 *
 * The source has a process of its own, the connection is TCP on the loopback
 * address. Each case is run some times, and the median of the differences told: a
 * machine that is busy for a moment is nobody's fault. The worst stands beside it.
 */

#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "base/util.h"

#define MOST_ROUNDS 9
#define AIM 0.15

/* Every case has this long at most to come below its limit. */
#define MAX_ROUNDS 40

static const struct {
	const char *params;
	unsigned int max_downtime_ms;
} cases[] = {
	{ "state=16M,save-rate=100M", 400 },
	{ "state=16M,load-rate=100M", 400 },
	{ "state=64M,save-rate=200M", 400 },
	/* As above, and so long that a busy moment is less than the aim: a BAR waits for the stop.
	 */
	{ "state=16M,bar=8M,save-rate=100M", 400 },
	{ "state=16M,bar=8M,load-rate=100M", 400 },
	{ "state=64M,bar=16M,save-rate=200M", 400 },
	{ "state=64M,load-rate=200M,dirty=20M", 400 },
	{ "state=64M,save-rate=200M,dirty=20M", 400 },
	{ "state=64M,save-rate=200M,dirty=100M", 2000 },
	{ "state=64M,load-rate=100M,dirty=100M", 2000 },
	{ "state=64M,save-rate=200M,load-rate=100M,dirty=50M", 2000 },
	{ "state=128M,bar=16M,save-rate=200M,dirty=10M", 1000 },
	{ "state=256M,save-rate=400M,dirty=40M", 1000 },
	{ "state=16M,arc-us=10000", 400 },
	{ "state=16M,arc-us=40000,dirty=10M", 1000 },
	{ "state=64M,save-rate=100M,arc-us=20000,dirty=20M", 1000 },
	{ "state=64M,load-rate=50M,arc-us=20000,dirty=20M", 1000 },
	{ "state=64M,dirty=50M,bar=64M", 1000 },
	{ "state=256M,dirty=0,bar=256M", 2000 },
};

struct half {
	const char *params;
	unsigned int max_downtime_ms;
	int pipe[2];
};

static struct vfm_device *open_device(const char *params)
{
	struct vfm_device *dev;
	struct vfm_err err;
	char uri[192];

	snprintf(uri, sizeof(uri), "sim:dma,%s", params);
	bench_ok(vfm_open(&dev, uri, &err), &err);
	return dev;
}

/* The report goes back to the parent, which has a pipe for it. */
static void send_half(int socket, void *user)
{
	const struct half *half = (const struct half *)user;
	struct vfm_migrate_opts opts = VFM_MIGRATE_OPTS();
	struct vfm_migration_report report;
	struct vfm_device *dev = open_device(half->params);
	struct vfm_err err;

	opts.max_downtime_ms = half->max_downtime_ms;
	opts.max_rounds = MAX_ROUNDS;
	opts.on_limit = VFM_ON_LIMIT_FORCE;
	bench_ok(vfm_write_full(socket, "", 1, NULL), NULL);
	bench_ok(vfm_migrate_send(dev, NULL, socket, &opts, &report, &err), &err);
	bench_ok(vfm_write_full(half->pipe[1], &report, sizeof(report), NULL), NULL);
	vfm_device_close(dev);
}

static void migrate(struct half *half, struct vfm_migration_report *report)
{
	struct vfm_migrate_opts opts = VFM_MIGRATE_OPTS();
	struct vfm_device *dev;
	struct vfm_err err;
	pid_t child;
	int socket;
	char ready;

	if (pipe(half->pipe))
		bench_die("no pipe");
	child = bench_child(&socket, true, send_half, half);
	dev = open_device(half->params);
	bench_ok((int)vfm_read_full(socket, &ready, 1, NULL), NULL);
	bench_ok(vfm_migrate_receive(dev, NULL, socket, &opts, NULL, &err), &err);
	if (vfm_read_full(half->pipe[0], report, sizeof(*report), NULL) != (ssize_t)sizeof(*report))
		bench_die("no report of %s", half->params);
	bench_reap(child, socket);
	vfm_device_close(dev);
	close(half->pipe[0]);
	close(half->pipe[1]);
}

static int compare(const void *a, const void *b)
{
	double x = fabs(*(const double *)a), y = fabs(*(const double *)b);

	return x < y ? -1 : x > y;
}

/* Whether the median is within the aim; @inside counts the runs that the error covers. */
static bool run_case(size_t n, unsigned int rounds, unsigned int *inside)
{
	struct half half = { .params = cases[n].params,
			     .max_downtime_ms = cases[n].max_downtime_ms };
	struct vfm_migration_report r;
	double off[MOST_ROUNDS];

	for (unsigned int i = 0; i < rounds; i++) {
		double predicted, measured;

		migrate(&half, &r);
		predicted = (double)r.prediction.downtime_us;
		measured = (double)r.downtime_us;
		off[i] = predicted / measured - 1;
		*inside += fabs(predicted - measured) <= (double)r.prediction.error_us;
	}
	qsort(off, rounds, sizeof(off[0]), compare);
	printf("%-52s %8.1f +-%-6.1f %8.1f  %+5.0f %% (%+.0f %%)  %s%s\n", half.params,
	       (double)r.prediction.downtime_us / 1000, (double)r.prediction.error_us / 1000,
	       (double)r.downtime_us / 1000, off[rounds / 2] * 100, off[rounds - 1] * 100,
	       vfm_part_name(r.prediction.limiting), r.forced ? ", forced" : "");
	fflush(stdout);
	return fabs(off[rounds / 2]) <= AIM;
}

void bench_predict(unsigned long wanted)
{
	unsigned int rounds = (unsigned int)VFM_MIN(wanted, MOST_ROUNDS);
	unsigned int good = 0, inside = 0;

	printf("%-52s %17s %8s  %s\n", "downtime in ms, of the last run", "predicted", "measured",
	       "off: median (worst), longest");
	for (size_t i = 0; i < VFM_ARRAY_SIZE(cases); i++)
		good += run_case(i, rounds, &inside);
	printf("%u of %zu within %.0f %% in the median; %u of %zu runs within their error\n", good,
	       VFM_ARRAY_SIZE(cases), AIM * 100, inside, VFM_ARRAY_SIZE(cases) * rounds);
}
