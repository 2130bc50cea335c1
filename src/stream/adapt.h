// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Whether compression pays, from what it has brought so far. Arithmetic alone: who
 * compresses and who owns the clock is the writer.
 */

#ifndef VFM_STREAM_ADAPT_H
#define VFM_STREAM_ADAPT_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct vfm_adapt - zero it, set @wire, let vfm_adapt_compressed() and so on do the rest
 * @wire: somebody waits for it; else every record is tried
 * @write_ns: what a byte takes to be written, lately; 0: not known
 * @failed: tries in a row that did not pay
 * @skip: records to be left alone before the next try
 */
struct vfm_adapt {
	bool wire;
	double write_ns;
	unsigned int failed;
	unsigned int skip;
};

/** vfm_adapt_try() - whether to compress the next record. Called once for each that could be. */
bool vfm_adapt_try(struct vfm_adapt *a);

/**
 * vfm_adapt_compressed() - it was tried
 * @stored: what became of @plain bytes; the same when it did not shrink
 *
 * Return: whether it pays to send that instead.
 */
bool vfm_adapt_compressed(struct vfm_adapt *a, uint32_t plain, uint32_t stored, uint64_t ns);

/** vfm_adapt_written() - so many bytes took so long to be taken. */
void vfm_adapt_written(struct vfm_adapt *a, uint64_t bytes, uint64_t ns);

#endif
