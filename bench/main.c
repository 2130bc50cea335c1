// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * vfmig-bench [--rounds N] [--row TEXT]: all rows, or those whose name has TEXT in it. Some take
 * long and are not among all; --row predict and --row cancel are tables of their own: see
 * predict.c and cancel.c.
 */

#include "bench.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define MAX_ROUNDS 100

struct series {
	double values[MAX_ROUNDS];
	size_t count;
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double best_of(const struct series *s, enum bench_unit unit)
{
	return s->values[unit == BENCH_RATE ? s->count - 1 : 0];
}

static void format_value(char *buf, size_t len, enum bench_unit unit, double value)
{
	if (unit == BENCH_RATE)
		snprintf(buf, len, "%.2f GiB/s", value / (1 << 30));
	else if (unit == BENCH_BYTES)
		snprintf(buf, len, "%.1f MiB", value / (1 << 20));
	else if (value < 1e-3)
		snprintf(buf, len, "%.1f us", value * 1e6);
	else
		snprintf(buf, len, "%.2f ms", value * 1e3);
}

static void print_row(const struct bench_row *row, struct series *limit, struct series *ours)
{
	char best[2][32], median[2][32];
	struct series *both[] = { ours, limit };
	double ratio;
	bool reached;

	for (int i = 0; i < 2; i++) {
		qsort(both[i]->values, both[i]->count, sizeof(double), compare);
		format_value(best[i], sizeof(best[i]), row->unit, best_of(both[i], row->unit));
		format_value(median[i], sizeof(median[i]), row->unit,
			     both[i]->values[both[i]->count / 2]);
	}
	ratio = best_of(ours, row->unit) / best_of(limit, row->unit);
	reached = row->unit == BENCH_RATE ? ratio >= row->aim : ratio <= row->aim;
	printf("%-34s %5.2fx  aim %s %.2fx %s  %11s (%s) against %11s (%s) %s\n", row->name, ratio,
	       row->unit == BENCH_RATE ? ">=" : "<=", row->aim, reached ? "yes" : "NO ", best[0],
	       median[0], best[1], median[1], row->against);
	fflush(stdout);
}

static void run_row(const struct bench_row *row, unsigned long rounds)
{
	static struct series limit, ours;
	void *ctx = row->setup();

	limit.count = ours.count = 0;
	for (unsigned long i = 0; i < rounds; i++) {
		limit.values[limit.count++] = row->limit(ctx);
		ours.values[ours.count++] = row->ours(ctx);
	}
	row->teardown(ctx);
	print_row(row, &limit, &ours);
}

static void run_rows(const struct bench_row *rows, size_t nr, unsigned long rounds,
		     const char *only)
{
	for (size_t i = 0; i < nr; i++)
		if (only ? strstr(rows[i].name, only) != NULL : !rows[i].asked)
			run_row(&rows[i], rounds);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "rounds", required_argument, NULL, 'n' },
						 { "row", required_argument, NULL, 'r' },
						 { 0 } };
	unsigned long rounds = 9;
	const char *only = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'n')
			rounds = strtoul(optarg, NULL, 10);
		else if (c == 'r')
			only = optarg;
		else
			return 2;
	}
	if (!rounds || rounds > MAX_ROUNDS || optind != argc) {
		fprintf(stderr, "usage: vfmig-bench [--rounds 1..%d] [--row TEXT]\n", MAX_ROUNDS);
		return 2;
	}
	/* Long, and another kind of question: only when asked for. */
	if (only && !strcmp(only, "predict")) {
		bench_predict(rounds);
		return 0;
	}
	if (only && !strcmp(only, "cancel")) {
		bench_cancel();
		return 0;
	}
	printf("best of %lu interleaved rounds; medians in brackets\n", rounds);
	run_rows(bench_vfio_user_rows, bench_nr_vfio_user_rows, rounds, only);
	run_rows(bench_v1_rows, bench_nr_v1_rows, rounds, only);
	run_rows(bench_scan_rows, bench_nr_scan_rows, rounds, only);
	run_rows(bench_migrate_rows, bench_nr_migrate_rows, rounds, only);
	run_rows(bench_tls_rows, bench_nr_tls_rows, rounds, only);
	return 0;
}
