// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A device by hand for what stands over a device: its data is a queue of pieces that a
 * test fills, each call can be told to fail, and all that happens is counted. It is not
 * careful: what it is asked for in a state in which that is not legal fails, and nothing
 * else is checked. Without cmocka, since a fuzzer uses it as well.
 */

#ifndef VFM_TESTS_FRONT_INNER_H
#define VFM_TESTS_FRONT_INNER_H

#include "device/device.h"

#define INNER_PIECES 64u
#define INNER_ENDS 4096u
#define INNER_REGIONS 2u

enum inner_call {
	INNER_GET_STATE,
	INNER_SET_STATE,
	INNER_READ,
	INNER_WRITE,
	INNER_INFO,
	INNER_SIZE,
	INNER_RESET,
	INNER_NR_CALLS
};

struct inner {
	struct vfm_device dev;
	/* what a test may set, some of it before inner_new() */
	uint64_t migration;
	uint32_t nr_regions;
	bool pci;
	bool no_info;		    /* neither pre-copy info nor data size */
	size_t max_read;	    /* most that one call gives; 0: no limit */
	size_t first[INNER_PIECES]; /* lengths of what it has when saving begins in PRE_COPY */
	size_t last[INNER_PIECES];  /* what there is more in STOP_COPY; both end with 0 */
	int fail[INNER_NR_CALLS];   /* answer to the next call of this kind, once */
	unsigned int fail_at;	    /* this call from now on fails, counting from 1 and all kinds */
	bool fail_ever;		    /* and all that follow */
	int fail_code;
	int fail_arc;		/* answer of an arc, once; -EIO leads to ERROR */
	unsigned int good_arcs; /* after so many that work */
	bool nomsg_at_end;	/* says "nothing now" where it should say that it is finished */
	bool zero_in_precopy;	/* and the other way round */
	void (*hook)(struct inner *in, enum inner_call call);
	void *user;
	/* what a test may look at */
	enum vfm_state state;
	unsigned int calls[INNER_NR_CALLS];
	unsigned int others;  /* calls that have nothing to do with migration */
	unsigned int session; /* number of the saving session, and what its bytes depend on */
	uint64_t given;	      /* bytes of it that were read */
	size_t pieces[INNER_PIECES];
	size_t nr_pieces;
	size_t piece_at; /* bytes of the first that were read */
	bool session_dead;
	uint8_t *loaded;
	size_t nr_loaded;
	size_t ends[INNER_ENDS]; /* where chunks ended */
	size_t nr_ends;
};

/** inner_new() - a device that is RUNNING; its data has chunks or has not. */
struct inner *inner_new(uint64_t migration, bool chunks);
void inner_free(struct inner *in);

/** inner_add() - @len bytes more to be read, a piece or chunk of their own; false: no room. */
bool inner_add(struct inner *in, size_t len);

/** inner_queued() - bytes that can be read now. */
uint64_t inner_queued(const struct inner *in);

/** inner_byte() - of a saving session, at a place. */
uint8_t inner_byte(unsigned int session, uint64_t at);

#endif
