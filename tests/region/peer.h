// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A device by hand that has the migration region, for tests of whoever uses one. It
 * gives out chunks and takes transactions as a test has written them down, notes every
 * access, and lets a test change what is read and make accesses fail.
 *
 * A strict one is as narrow as such devices are in the field: the table of its states
 * has little more than the drawn arrows, every state write makes it forget its iteration,
 * what comes out of order is EINVAL, and while it is stopped it describes nothing.
 */

#ifndef VFM_TESTS_REGION_PEER_H
#define VFM_TESTS_REGION_PEER_H

#include "device/device.h"
#include "test.h"

#define PEER_SIZE 0x8000u    /* of the region */
#define PEER_SECTION 0x1000u /* where its data begins */
#define PEER_REGIONS 10u
#define PEER_MAX_CHUNKS 64
#define PEER_LOG 16384
#define PEER_STREAM (4u << 20)

/* How the data section can be reached. */
enum peer_section {
	PEER_TRAPPED,
	PEER_SEALED,	 /* one area of memory that cannot be made shorter */
	PEER_OPEN,	 /* one area of memory that can */
	PEER_SPLIT,	 /* two areas with trapped parts before, between and behind; sealed */
	PEER_SPLIT_OPEN, /* the same, not sealed */
	PEER_WHOLE,	 /* all of the region, sealed */
	PEER_WHOLE_OPEN, /* the same, not sealed */
	PEER_NR_SECTIONS,
};

struct peer_chunk {
	uint64_t offset; /* in the region */
	uint64_t size;
};

struct peer {
	struct vfm_device dev;
	/* what a test may set */
	bool strict;
	bool insists; /* transactions must have the sizes of @chunks */
	uint32_t nr_regions;
	uint32_t hole;		  /* this index is refused */
	struct vfm_region region; /* the migration region as it is described */
	uint32_t second;	  /* index of another of the same type; 0: none */
	uint32_t reserved;	  /* bits of device_state that must be preserved */
	struct peer_chunk chunks[PEER_MAX_CHUNKS];
	unsigned int nr_chunks;
	unsigned int available; /* of them while it runs; the others once it is stopped */
	uint64_t resume_offset; /* where a transaction begins... */
	uint64_t resume_stride; /* ...and how much later the next one does */
	int refuse_proof;	/* answer to leaving RESUMING... */
	uint32_t after_proof;	/* ...and device_state after that */
	int fail_reset;
	bool silent;	      /* errors come without a text */
	unsigned int fail_at; /* this access fails, counted from 1; 0: none... */
	int fail_with;	      /* ...with that... */
	bool fail_hard;	      /* ...and the device is in ERROR */
	/* @value: of a register that is read, or NULL. An error lets the access fail. */
	int (*meddle)(struct peer *p, bool write, uint64_t offset, size_t len, uint64_t *value);
	void *meddle_data;
	bool *closed;
	/* what a test may look at */
	uint32_t word; /* device_state, without the reserved bits */
	uint8_t *mem;  /* the region */
	int fd;
	unsigned int accesses, state_writes, lost_reserved, disorder, resets, refused_infos;
	const char *called; /* the last operation that has nothing to do with the region */
	char log[PEER_LOG];
	unsigned int next; /* chunk that is given out, or is next */
	enum { PEER_IDLE, PEER_STARTED, PEER_PREPARED, PEER_SIZED } iteration;
	uint8_t *loaded;			/* what was committed... */
	uint64_t nr_loaded;			/* ...so many bytes... */
	uint64_t transactions[PEER_MAX_CHUNKS]; /* ...in those pieces */
	unsigned int nr_transactions;
	uint64_t transaction_at; /* where the present one begins; 0: there is none */
};

/** peer_new() - RUNNING, with a region at @index of PEER_REGIONS and three chunks. */
struct peer *peer_new(enum peer_section section, uint32_t index);

static inline struct peer *peer_of(struct vfm_device *dev)
{
	return (struct peer *)dev;
}

/** peer_byte() - the byte at @at of everything that is given out. */
uint8_t peer_byte(uint64_t at);

/** peer_check_bytes() - whether @buf is what is given out from @at on. */
void peer_check_bytes(const uint8_t *buf, uint64_t at, uint64_t len);

/** peer_total() - bytes of the first @nr chunks. */
uint64_t peer_total(const struct peer *p, unsigned int nr);

/** peer_expect() - compare what was accessed since the last call with @expected. */
void peer_expect(struct peer *p, const char *expected);

/** peer_forget() - clear the log. */
void peer_forget(struct peer *p);

#endif
