// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A store in this process, with one key, that fails as a real one may: with an error before
 * or after it has done what it was asked for, with silence, with an answer that makes no sense,
 * for good, or so that what was asked for arrives later. Each of several ends fails by
 * itself.
 */

#ifndef VFM_TESTS_FAKE_STORE_H
#define VFM_TESTS_FAKE_STORE_H

#include "test.h"

#include <pthread.h>

#include "engine/store.h"

enum fake_fault {
	FAKE_NONE,
	FAKE_BEFORE,	 /* call number @at fails and does nothing */
	FAKE_AFTER,	 /* it is done, and fails all the same */
	FAKE_HANG,	 /* there is no answer */
	FAKE_GARBAGE,	 /* the value that is told is nobody's */
	FAKE_DOWN,	 /* it fails, and so does every call after it */
	FAKE_AFTER_DOWN, /* it is done, fails, and so does every call after it */
	FAKE_LATE_DOWN,	 /* it is done when fake_deliver() says; after it all fail */
	FAKE_NR_FAULTS,
};

/** struct fake_end - how one end fails; @gate is asked before and after: false, it is dead */
struct fake_end {
	struct fake_store *store;
	enum fake_fault fault;
	unsigned int at;
	unsigned int calls;
	bool hit;
	bool (*gate)(const struct fake_end *end);
	bool late;
	uint64_t late_revision;
	char late_value[VFM_KV_VALUE_MAX + 1];
};

struct fake_store {
	pthread_mutex_t lock;
	uint64_t clock;
	char key[VFM_JOURNAL_KEY];
	struct vfm_kv_value now;
	struct fake_end ends[2];
};

/** fake_reset() - empty, and nothing fails. */
void fake_reset(struct fake_store *f);

/** fake_aim() - one end. */
void fake_aim(struct fake_store *f, int end, enum fake_fault fault, unsigned int at);

/** fake_heal() - nothing fails any more; what is late stays that. */
void fake_heal(struct fake_store *f);

/** fake_deliver() - what is late arrives. */
void fake_deliver(struct fake_store *f);

/** fake_new() - a store as an end sees it; without a key it is named after migrations. */
struct vfm_store *fake_new(struct fake_store *f, int end, const char *node, const char *key,
			   unsigned int timeout_ms);

#endif
