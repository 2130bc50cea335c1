/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (c) vfmig authors */

/*
 * XXH3, the hash by which records are checked and state and memory are digested. The kernel
 * has XXH32 and XXH64 of that family, and not this one. Written from its specification;
 * tests/ compares every length up to a few KiB with libxxhash.
 */

#ifndef VFMS_XXH3_H
#define VFMS_XXH3_H

#include "portable.h"

struct xxh3_128 {
	u64 low;
	u64 high;
};

/** xxh3_64() - of @len bytes at @data. */
u64 xxh3_64(const void *data, size_t len, u64 seed);

/* A piece that is not the last must be a multiple of this. */
#define XXH3_STRIPE 64u

/**
 * struct xxh3_stream - a 128-bit digest, seed 0, of data that comes in pieces
 *
 * The length must be known from the start: the hash of up to 240 bytes is another
 * function, and the last stripe is found by counting from the end.
 */
struct xxh3_stream {
	u64 total;
	u64 done;
	u64 acc[8];
	u8 tail[XXH3_STRIPE];  /* the last bytes of what came, for a short last piece */
	struct xxh3_128 brief; /* the digest, where total is so small that it is made at once */
};

void xxh3_begin(struct xxh3_stream *s, u64 total);

/**
 * xxh3_feed() - the next piece: a multiple of XXH3_STRIPE, or all that is left
 *
 * If total is 240 or less it must come in one piece.
 */
void xxh3_feed(struct xxh3_stream *s, const void *data, size_t len);

/** xxh3_end() - the digest, when all of it has come. */
struct xxh3_128 xxh3_end(const struct xxh3_stream *s);

#endif
