// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rows about finding what is dirty: the log of 1 TiB in pages of 4 KiB has 32 MiB of bitmap. The
 * limit is to read those once, by vectors and without a branch.
 */

#include "bench.h"

#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/util.h"
#include "random.h"

#define PAGES (UINT64_C(1) << 28)
#define WORDS (PAGES / 64)

/* One page in so many is dirty: by itself, and in a row of neighbours. */
#define SPARSE 4096
#define CLUSTER 512

struct scan {
	uint64_t *map;
	uint64_t dirty; /* pages */
};

/* A row of @length pages at a random place in every @every * @length. */
static struct scan *dirty_pages(uint64_t every, uint64_t length)
{
	struct scan *s = calloc(1, sizeof(*s));
	uint64_t seed = 1;

	if (s)
		s->map = malloc(WORDS * sizeof(*s->map));
	if (!s || !s->map)
		bench_die("no memory for the log of 1 TiB");
	memset(s->map, 0, WORDS * sizeof(*s->map));
	for (uint64_t at = 0; at < PAGES; at += every * length) {
		vfm_bitmap_set_range(s->map, at + test_random_below(&seed, (every - 1) * length),
				     length);
		s->dirty += length;
	}
	return s;
}

static void *sparse(void)
{
	return dirty_pages(SPARSE, 1);
}

static void *clustered(void)
{
	return dirty_pages(SPARSE / 64, CLUSTER);
}

static void forget(void *user)
{
	struct scan *s = user;

	free(s->map);
	free(s);
}

typedef uint64_t pair __attribute__((vector_size(16)));

/* Words that are read at once. */
#define AT_ONCE 8

/* Into four sums, so that none waits for another. */
static double read_once(void *user)
{
	const struct scan *s = user;
	double begin = bench_seconds();
	pair any[AT_ONCE / 2] = { 0 };

	for (size_t i = 0; i < WORDS; i += AT_ONCE) {
		pair some[AT_ONCE / 2];

		memcpy(some, s->map + i, sizeof(some));
		any[0] |= some[0];
		any[1] |= some[1];
		any[2] |= some[2];
		any[3] |= some[3];
	}
	any[0] |= any[1] | any[2] | any[3];
	begin = bench_seconds() - begin;
	if (!(any[0][0] | any[0][1]))
		bench_die("a clean bitmap");
	return begin;
}

static double scan_runs(void *user)
{
	const struct scan *s = user;
	double begin = bench_seconds();
	struct vfm_bitmap_runs runs = vfm_bitmap_runs_of(s->map, PAGES, 0);
	uint64_t sum = 0;

	while (vfm_bitmap_next_run(&runs))
		sum += runs.end - runs.first;
	begin = bench_seconds() - begin;
	if (sum != s->dirty)
		bench_die("%llu pages are dirty, of %llu", (unsigned long long)sum,
			  (unsigned long long)s->dirty);
	return begin;
}

static double count(void *user)
{
	const struct scan *s = user;
	double begin = bench_seconds();
	uint64_t sum = vfm_bitmap_count(s->map, PAGES);

	begin = bench_seconds() - begin;
	if (sum != s->dirty)
		bench_die("a wrong count");
	return begin;
}

const struct bench_row bench_scan_rows[] = {
	{ "dirty log scan of 1 TiB, sparse", "reading its bitmap once", BENCH_SECONDS, 1.5, sparse,
	  read_once, scan_runs, forget },
	{ "dirty log scan of 1 TiB, clustered", "reading its bitmap once", BENCH_SECONDS, 1.5,
	  clustered, read_once, scan_runs, forget },
	{ "dirty log count of 1 TiB, sparse", "reading its bitmap once", BENCH_SECONDS, 1.5, sparse,
	  read_once, count, forget },
};
const size_t bench_nr_scan_rows = VFM_ARRAY_SIZE(bench_scan_rows);
