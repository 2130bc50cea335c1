// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What the files of recovery share: recover.c goes through the journals and decides,
 * recover_device.c brings a device to where a decision wants it, recover_peer.c asks
 * and answers, recover_store.c asks a store.
 */

#ifndef VFM_ENGINE_RECOVER_H
#define VFM_ENGINE_RECOVER_H

#include "base/io.h"
#include "engine/journal.h"

/**
 * vfm_recover_device() - bring the journal's devices to where their state wants them
 * @state: where the first is then, or the first that failed; VFM_STATE_ERROR if that
 *	cannot be told
 */
int vfm_recover_device(const struct vfm_recover_opts *opts, const struct vfm_journal *j,
		       enum vfm_handover want, enum vfm_state *state,
		       struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_recover_look() - where the first device is, without changing anything. */
enum vfm_state vfm_recover_look(const struct vfm_recover_opts *opts, const struct vfm_journal *j);

/**
 * vfm_recover_by_store() - have the store of a journal decide what that leaves open
 *
 * Return: 0: go on with what @j says now; 1: a later migration of this device has taken the key,
 * so there is nothing to go on with; -ESTALE: so has another one; others: the store cannot tell.
 * With an error nothing may be done to the device.
 */
int vfm_recover_by_store(const struct vfm_recover_opts *opts, struct vfm_journal *j,
			 const struct vfm_wait *wait, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_recover_say() - one statement to the peer. */
int vfm_recover_say(int fd, const struct vfm_statement *s, const struct vfm_wait *wait,
		    struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_recover_hear() - one from it. 1: there is one; 0: it has ended */
int vfm_recover_hear(int fd, struct vfm_statement *s, const struct vfm_wait *wait,
		     struct vfm_err *err) VFM_MUST_CHECK;

#endif
