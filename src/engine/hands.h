// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Hands: a few threads that do what they are given, so that devices of a unit need not
 * wait for each other. They know neither what they do nor what it is for; a work has what
 * it needs, and nobody else touches that until the work has been collected.
 *
 * One thread gives and collects. It does not sleep here: there is a descriptor to wait for.
 */

#ifndef VFM_ENGINE_HANDS_H
#define VFM_ENGINE_HANDS_H

#include <vfmig/error.h>

/** Most threads of one side of a migration that do nothing but call devices. */
#define VFM_HANDS_MAX 8u

/** struct vfm_work - something to be done; @next: the hands' */
struct vfm_work {
	void (*run)(struct vfm_work *work);
	struct vfm_work *next;
};

struct vfm_hands;

/** vfm_hands_new() - with so many threads, at most VFM_HANDS_MAX. */
int vfm_hands_new(struct vfm_hands **out, unsigned int count, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_hands_free() - when all that was given is done; accepts NULL. */
void vfm_hands_free(struct vfm_hands *h);

/** vfm_hands_fd() - readable while there is something to collect. */
int vfm_hands_fd(const struct vfm_hands *h);

/** vfm_hands_give() - do this. It stays where it is until it is collected. */
void vfm_hands_give(struct vfm_hands *h, struct vfm_work *work);

/** vfm_hands_collect() - one that is done, the oldest; NULL: none */
struct vfm_work *vfm_hands_collect(struct vfm_hands *h);

#endif
