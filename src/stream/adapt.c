// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A record pays if it shrinks by a sixteenth, and if what it took to compress it is
 * less than what it takes to write the bytes that are saved.
 * After a few that do not, the next ones are left alone, twice as many with each further one:
 * so data that does not shrink costs one try in 64 records, and data that does
 * again is found before 64 MiB have passed.
 *
 * What surprises: none of this is for files. A file is written into memory, so that time would
 * never speak for compression, and who compresses one wants it small. And a record that
 * was compressed already is sent so if that is smaller at all: its price is paid.
 */

#include "stream/adapt.h"

#include "base/util.h"

/* So many in a row are an accident. Then 4 records are left alone, at most 64. */
#define PATIENCE 4
#define PAUSE_SHIFT_MIN 2
#define PAUSE_SHIFT_MAX 6
#define GAIN_PART 16

/* Of the newest measurement in the mean; and fewer bytes say more of system calls than of the wire.
 */
#define FRESH 0.25
#define MEASURE_MIN 4096

bool vfm_adapt_try(struct vfm_adapt *a)
{
	if (!a->skip || !a->wire)
		return true;
	a->skip--;
	return false;
}

static bool pays(const struct vfm_adapt *a, uint32_t plain, uint32_t stored, uint64_t ns)
{
	if (plain - stored < plain / GAIN_PART)
		return false;
	return a->write_ns <= 0 || (double)ns < (plain - stored) * a->write_ns;
}

bool vfm_adapt_compressed(struct vfm_adapt *a, uint32_t plain, uint32_t stored, uint64_t ns)
{
	if (pays(a, plain, stored, ns))
		a->failed = 0;
	else
		a->failed++;
	if (a->failed >= PATIENCE)
		a->skip = 1u << VFM_MIN(a->failed - PATIENCE + PAUSE_SHIFT_MIN, PAUSE_SHIFT_MAX);
	return stored < plain;
}

void vfm_adapt_written(struct vfm_adapt *a, uint64_t bytes, uint64_t ns)
{
	double now;

	if (bytes < MEASURE_MIN)
		return;
	now = (double)ns / (double)bytes;
	a->write_ns = a->write_ns > 0 ? a->write_ns + FRESH * (now - a->write_ns) : now;
}
