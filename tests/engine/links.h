// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Several connections between the two halves of a migration of a flow, each of which may go
 * through a relay that breaks it.
 */

#ifndef VFM_TESTS_LINKS_H
#define VFM_TESTS_LINKS_H

#include <vfmig/vfmig.h>

#include "flow.h"
#include "relay.h"
#include "rig.h"

#define LINKS_MAX 16

/** struct links_end - of one half: what it has, and from @used on has not asked for yet */
struct links_end {
	int fds[LINKS_MAX];
	unsigned int used, count;
};

/**
 * struct links
 * @relays: those with a fault have a thread
 * @opts: of the halves, the source's first; to be changed before they begin
 */
struct links {
	struct links_end ends[2];
	struct relay relays[LINKS_MAX];
	bool relayed[LINKS_MAX];
	struct vfm_migrate_opts opts[2];
	struct flow *src, *dst;
	struct rig_half half;
	struct vfm_migration_report report;
	struct vfm_err err;
	unsigned int open_fds;
};

/** links_open() - @count connections, and flows of @size bytes in pieces of @piece. */
void links_open(struct links *l, unsigned int count, uint64_t size, size_t piece);

/** links_break() - before it begins: a connection with a fault. */
void links_break(struct links *l, unsigned int channel, const struct relay *fault);

/** links_move() - both halves, and close all; returns what the source's did. */
int links_move(struct links *l);

/** links_close() - and check that no descriptor is left. */
void links_close(struct links *l);

/** links_check_moved(), links_check_back() - all that must hold after a success, and a failure. */
void links_check_moved(struct links *l, int ret);
void links_check_back(struct links *l, int ret);

/** links_next() - as an open_channel; @user is a struct links_end. */
int links_next(void *user, unsigned int timeout_ms, struct vfm_err *err);

#endif
