// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A wire that breaks: two sockets and a thread between them that knows where
 * records begin, and at one of them cuts, stalls or spoils the connection.
 */

#ifndef VFM_TESTS_RELAY_H
#define VFM_TESTS_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum relay_fault {
	RELAY_NONE,
	RELAY_CUT,   /* so many bytes of the record pass, then both ends are closed */
	RELAY_STALL, /* then nothing passes any more, in either direction */
	RELAY_FLIP,  /* a bit of it is flipped */
};

/**
 * struct relay
 * @fds: for the source, and for the destination; the test's to close
 * @reverse: the fault is in the stream from the destination
 * @record: in which record, from 0; hello and the header of the stream are none
 * @bytes: of the record that pass, or which byte is flipped; cut off to its size
 * @hit: there was such a record
 * @type: which it was
 */
struct relay {
	int fds[2];
	enum relay_fault fault;
	bool reverse;
	unsigned int record;
	size_t bytes;
	bool hit;
	uint32_t type;
	int inner[2];
	unsigned long thread;
};

void relay_start(struct relay *relay);

/** relay_stop() - when both halves have returned; closes all four. */
void relay_stop(struct relay *relay);

#endif
