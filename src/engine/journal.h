// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The journal of one side of one migration: a file DIR/ID.ROLE that is only appended
 * to, and on disk when a call returns. Whoever has it open has it alone: a migration
 * and a recovery exclude each other.
 *
 * It knows what a state is called, and not what it means: that is settle.c's.
 */

#ifndef VFM_ENGINE_JOURNAL_H
#define VFM_ENGINE_JOURNAL_H

#include <stddef.h>

#include "engine/journal_head.h"

/* Flags of a record. */
#define VFM_JOURNAL_DONE (1u << 0)   /* the device was brought to where the state wants it */
#define VFM_JOURNAL_PERSON (1u << 1) /* a person has decided so */
#define VFM_JOURNAL_PAUSED (1u << 2) /* the owner leaves the device in STOP; stays once said */
#define VFM_JOURNAL_ALONE (1u << 3)  /* the other side keeps no journal; stays once said */

#define VFM_JOURNAL_NAME 48

/* What is forced to disk when one is made: a header in two parts, a record, the folder. */
#define VFM_JOURNAL_FIRST_WRITES 4

/**
 * struct vfm_journal - one that is open and locked; read what is above the line
 * @head: @head.who.state is that of the last record
 * @flags: VFM_JOURNAL_* as they stand now
 */
struct vfm_journal {
	struct vfm_journal_head head;
	uint32_t flags;
	/* ---- */
	void *texts; /* what @head points to */
	int dir;
	int fd;
	char name[VFM_JOURNAL_NAME];
	uint64_t sequence; /* records so far */
	uint64_t end;	   /* where the next one goes */
	uint64_t chain;	   /* checksum before it */
};

/** vfm_journal_name() - of the file. */
void vfm_journal_name(char out[VFM_JOURNAL_NAME], const uint8_t id[VFM_ID_SIZE],
		      enum vfm_role role);

/** vfm_journal_open_dir() - the folder of journals. */
int vfm_journal_open_dir(const char *dir, struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_journal_create() - with a first record, of @head->who.state
 * @head: copied, with all that it points to
 *
 * -EEXIST: it is there.
 */
int vfm_journal_create(struct vfm_journal **out, const char *dir,
		       const struct vfm_journal_head *head, uint32_t flags,
		       struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_journal_open() - read it, and make sure that what was read is on disk
 * @dir: a descriptor, borrowed for the call
 *
 * -ENOENT; -EBUSY: somebody has it open; -ENODATA: it was cut before its first record was
 * whole, so nothing has begun; -EBADMSG: damaged, with the offset; -ENOTSUP: too new.
 * A last record that was not written whole is as if it had never been begun.
 */
int vfm_journal_open(struct vfm_journal **out, int dir, const char *name,
		     struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_journal_look() - as vfm_journal_open(), but to read only: nothing is written or removed
 *
 * What is not whole yet is -ENODATA or -EBADMSG.
 */
int vfm_journal_look(struct vfm_journal **out, int dir, const char *name,
		     struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_journal_append() - one more record; it is on disk when this returns 0
 * @flags: those that stay are added
 *
 * After a failure the record may be on disk or not; the next one takes its place.
 */
int vfm_journal_append(struct vfm_journal *j, enum vfm_handover state, uint32_t flags,
		       struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_journal_remove() - from the folder; it stays open. */
int vfm_journal_remove(struct vfm_journal *j, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_journal_free() - close; accepts NULL. */
void vfm_journal_free(struct vfm_journal *j);

/**
 * vfm_journal_check_left() - that no migration of these devices was left open in the folder
 * @head: of the migration that is about to begin
 *
 * One that a crash left would, recovered later, be carried out at a device that has been moved by
 * then. Not those with a store, which knows which is the last; nor what cannot be read: who
 * recovers is told of that.
 *
 * -EBUSY: there is one.
 */
int vfm_journal_check_left(const char *dir, const struct vfm_journal_head *head,
			   struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_journal_list() - names of the journals in a folder, sorted
 * @out: an array to be freed
 *
 * Return: how many.
 */
int vfm_journal_list(char (**out)[VFM_JOURNAL_NAME], int dir, struct vfm_err *err) VFM_MUST_CHECK;

#endif
