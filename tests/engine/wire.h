// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* A wire that knows nothing of what passes: it cuts, spoils, stalls or forges at a byte. */

#ifndef VFM_TESTS_WIRE_H
#define VFM_TESTS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/hello.h"

enum fault {
	NONE,
	CUT,   /* both ways, before byte @at */
	FLIP,  /* a bit of byte @at */
	STALL, /* nothing passes from byte @at on, in either direction */
	FORGE, /* the session in the hello is another, with the right checksum */
};

/**
 * struct wire
 * @fds: for the source, and for the destination; -1 when somebody else closes it
 * @reverse: the fault is in what the destination says
 * @hit: there was such a byte
 * @hellos: what each has said first, as far as it was there
 */
struct wire {
	int fds[2];
	enum fault fault;
	bool reverse;
	size_t at;
	bool hit;
	int inner[2];
	size_t passed[2];
	uint8_t hellos[2][VFM_HELLO_SIZE];
	unsigned long thread;
};

void wire_start(struct wire *w);

/** wire_stop() - when both halves have returned. */
void wire_stop(struct wire *w);

#endif
