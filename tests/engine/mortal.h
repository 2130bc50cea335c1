// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Two halves of a migration that keep journals and can die, or fail to write, at any point; and
 * their recovery. A half that is dead changes nothing any more: its device, its journal and
 * its way to a store refuse, and its connection is shut. What the device was told to do
 * in that case, it does. A program that has this file has its pwrite() and its kin, too.
 */

#ifndef VFM_TESTS_MORTAL_H
#define VFM_TESTS_MORTAL_H

#include "rig.h"

#define MOST 1000

enum side { SOURCE, DESTINATION, NOBODY };
/* The first three: it dies. The others: only the writes fail, once or from then on. */
enum how { BEFORE, TORN, AFTER, NR_DEATHS, ONCE = NR_DEATHS, ONCE_DONE, ALL, NR_HOWS };

/**
 * struct victim - who dies, or cannot write
 * @side: of these
 * @at: at which point of those that it passes
 * @how: when that is a write
 * @points: that it has passed
 * @what: the call at which it died
 */
struct victim {
	enum side side;
	unsigned int at;
	enum how how;
	unsigned int points;
	bool dead;
	bool failing;
	char what[32];
	int fds[2];
};

extern struct victim victim;
extern struct rig rig;
extern char dirs[2][32];
extern const char *const side_names[];

/* Where it is decided by a store: one for each side; NULL: by the journals. */
extern struct vfm_store *stores[2];

/** struct half - of a recovery */
struct half {
	enum side side;
	struct vfm_recover_opts opts;
	int ret;
	char said[2048];
	struct vfm_err err;
	unsigned long thread;
};

/** aim() - from the next run on @side dies, or fails to write, at point @at. */
void aim(enum side side, unsigned int at, enum how how);

/** open_run() - a source that works, a destination, empty folders. */
void open_run(void);

/** migrate() - over this pair; the victim's device does what an orphan does. Nobody is one then. */
void migrate(const int fds[2]);

/** migrate_pair() - the same over a pair of its own. */
void migrate_pair(void);

/** recover() - both sides, @asks asking. */
void recover(enum side asks, struct half halves[2]);

/** recover_alone() - one side by itself; returns what vfm_recover() does, others than -EUCLEAN
 * fail. */
int recover_alone(enum side side, struct half *h);

/** gate() - for a fake store: a point that @side passes; false: it is dead. */
bool gate(enum side side);

void check_never_two(const char *when);

/** count_journals() - that are left on a side. */
unsigned int count_journals(enum side side);

/** make_dirs(), remove_dirs() - for a group of tests. */
int make_dirs(void **state);
int remove_dirs(void **state);

#endif
