// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What a crash or a cut has left open between a source and a destination, and
 * settling it by what both have written into their journals, or by the store that the
 * migration was decided in. The protocol is in
 * docs/handover.md; the journals are those of struct vfm_migrate_opts.
 *
 * A journal belongs to one side of one migration, which has 16 random bytes for
 * a name. It is gone when both sides know that all is well.
 */

#ifndef VFMIG_RECOVER_H
#define VFMIG_RECOVER_H

#include <stdbool.h>
#include <stddef.h>

#include <vfmig/device.h>
#include <vfmig/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/** enum vfm_role - a side of a migration */
enum vfm_role {
	VFM_ROLE_SOURCE = 1,
	VFM_ROLE_DESTINATION = 2,
};

/**
 * enum vfm_handover - what a side can say of a migration
 * @VFM_HANDOVER_UNKNOWN: it has no journal of that name
 * @VFM_HANDOVER_BUSY: somebody has the journal open: the migration is under way
 * @VFM_HANDOVER_DAMAGED: the journal cannot be read
 * @VFM_HANDOVER_BEGUN: source: nothing is given away, and nothing can be
 * @VFM_HANDOVER_GIVING: source: COMMIT may be out, only the destination knows more
 * @VFM_HANDOVER_GIVEN: source: the destination owns the device. Final
 * @VFM_HANDOVER_KEPT: source: owns the device. Final
 * @VFM_HANDOVER_LOADING: destination: has nothing to run yet
 * @VFM_HANDOVER_LOADED: destination: could run, and has seen no COMMIT
 * @VFM_HANDOVER_COMMITTED: destination: owns the device
 * @VFM_HANDOVER_RUNNING: destination: owns the device, and has run it. Final
 * @VFM_HANDOVER_RESET: destination: does not own it and never will. Final
 *
 * The numbers are in journals and on the wire.
 */
enum vfm_handover {
	VFM_HANDOVER_UNKNOWN = 0,
	VFM_HANDOVER_BUSY = 1,
	VFM_HANDOVER_DAMAGED = 2,
	VFM_HANDOVER_BEGUN = 16,
	VFM_HANDOVER_GIVING = 17,
	VFM_HANDOVER_GIVEN = 18,
	VFM_HANDOVER_KEPT = 19,
	VFM_HANDOVER_LOADING = 32,
	VFM_HANDOVER_LOADED = 33,
	VFM_HANDOVER_COMMITTED = 34,
	VFM_HANDOVER_RUNNING = 35,
	VFM_HANDOVER_RESET = 36,
};

/** vfm_role_name(), vfm_handover_name() - "source", "giving"; "invalid" for other numbers. */
const char *vfm_role_name(enum vfm_role role);
const char *vfm_handover_name(enum vfm_handover state);

/** Characters of a migration's name, with the terminating zero. */
#define VFM_MIGRATION_ID 33

/** Longest name of a device, and of a peer, in a journal, with their terminating zeros. */
#define VFM_JOURNAL_URI 1024
#define VFM_JOURNAL_PEER 256

/**
 * struct vfm_recovered - what became of one journal
 * @id, @role, @uri, @peer: of the migration; empty what could not be read
 * @before, @after: what the journal said, and says now
 * @other: what the other side said last; VFM_HANDOVER_UNKNOWN when nobody did
 * @asked: somebody did
 * @by_store: the store has said whose the device is
 * @open: neither the journals nor a store could decide, so a person may
 * @settled: nothing is left to be done on this side
 * @gone: and nothing to be remembered: the journal has been removed
 * @state: of the device at the end; VFM_STATE_ERROR also if it was not asked
 * @text: what was done, or what a person must find out and decide
 * @nr_devices: that moved as one, of which @uri is the first; @state is that of all of them, or
 *	VFM_STATE_ERROR when they are not all in the same
 */
struct vfm_recovered {
	char id[VFM_MIGRATION_ID];
	enum vfm_role role;
	char uri[VFM_JOURNAL_URI];
	char peer[VFM_JOURNAL_PEER];
	enum vfm_handover before;
	enum vfm_handover after;
	enum vfm_handover other;
	bool asked;
	bool by_store;
	bool open;
	bool settled;
	bool gone;
	enum vfm_state state;
	char text[VFM_ERR_TEXT];
	unsigned int nr_devices;
};

/**
 * struct vfm_recover_opts - begin with VFM_RECOVER_OPTS()
 * @size: sizeof(struct vfm_recover_opts)
 * @fd: a connected stream socket to somebody who does the same for the other side,
 *	borrowed; -1: decide by what is here
 * @answer: we answer on @fd until the other one ends, and do not ask
 * @timeout_ms: longest silence of the other side; 0: for ever
 * @cancel_fd: -1, or a descriptor that ends the waiting when readable
 * @id: only migrations whose name begins like this; NULL: all
 * @owner: 0, or whom a person has decided for, where the journals cannot tell. Then
 *	just one migration may be in question
 * @open: vfm_open(), or what does the same
 * @each: is told of every journal at the end, may be NULL
 * @user: for @each
 * @store: asked in place of the one that a journal names, about the key and by the name of a node
 *	that it has; NULL: that one. Journals that name none do not need it
 */
struct vfm_recover_opts {
	size_t size;
	int fd;
	bool answer;
	unsigned int timeout_ms;
	int cancel_fd;
	const char *id;
	enum vfm_role owner;
	int (*open)(struct vfm_device **out, const char *uri, struct vfm_err *err);
	void (*each)(void *user, const struct vfm_recovered *one);
	void *user;
	const struct vfm_store *store;
};

/** VFM_RECOVER_OPTS() - a struct vfm_recover_opts with the defaults. */
#define VFM_RECOVER_OPTS()                                                                         \
	((struct vfm_recover_opts){ .size = sizeof(struct vfm_recover_opts),                       \
				    .fd = -1,                                                      \
				    .timeout_ms = 30000,                                           \
				    .cancel_fd = -1,                                               \
				    .open = vfm_open })

/**
 * vfm_recover() - settle what the journals in @dir leave open
 *
 * Each is decided by the store that it names, and by itself if it names none and that can be,
 * else by the other side's journal: in @dir too, or behind @fd. The decision is on disk before the
 * device is touched. What cannot be decided stays as it is, with words for a person. Calling it
 * again does no harm, and goes on where it could not before.
 *
 * 0: all is settled; -EUCLEAN: something is not, and what, @each was told. Others: the
 * folder or the connection failed.
 */
int vfm_recover(const char *dir, const struct vfm_recover_opts *opts,
		struct vfm_err *err) VFM_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
