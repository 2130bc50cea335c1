// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Where a migration meets its journal: one call for each step of docs/handover.md.
 * Without a journal each of them does nothing and succeeds. send.c and receive.c say
 * when; what is written, said and forgotten is decided here.
 */

#ifndef VFM_ENGINE_HANDOVER_H
#define VFM_ENGINE_HANDOVER_H

#include "engine/engine.h"
#include "engine/statement.h"

/** vfm_handover_offer() - source, after IDENTITY: name the migration, if we keep a journal. */
int vfm_handover_offer(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_handover_expect() - as vfm_engine_expect(), where the peer may put a HANDOVER before. */
int vfm_handover_expect(struct vfm_engine *e, enum vfm_stream_type type,
			struct vfm_stream_record *record) VFM_MUST_CHECK;

/** vfm_handover_follow() - the same when the first record has been read already. */
int vfm_handover_follow(struct vfm_engine *e, enum vfm_stream_type type,
			struct vfm_stream_record *record) VFM_MUST_CHECK;

/** vfm_handover_begin() - before the device is touched: begin the journal; answer the source. */
int vfm_handover_begin(struct vfm_engine *e) VFM_MUST_CHECK;

/* ---- source --------------------------------------------------------------- */

/** vfm_handover_give() - before the first byte of COMMIT. */
int vfm_handover_give(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_handover_given() - RUNNING was heard; the device is in STOP, if @stopped. */
void vfm_handover_given(struct vfm_engine *e, bool stopped);

/**
 * vfm_handover_settle() - COMMIT is out and the destination lost: ask the store, if there is one
 *
 * The device is in STOP, if @stopped. When the store says that the source keeps the device,
 * e->report.committed is not set any more.
 */
void vfm_handover_settle(struct vfm_engine *e, bool stopped);

/** vfm_handover_keep() - it failed, and no COMMIT is out; before the device goes back. */
void vfm_handover_keep(struct vfm_engine *e);

/** vfm_handover_kept() - the devices went back, unless one is still touched. */
void vfm_handover_kept(struct vfm_engine *e);

/* ---- destination ---------------------------------------------------------- */

/** vfm_handover_loaded() - before LOADED. */
int vfm_handover_loaded(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_handover_told() - LOADED is out: from here on COMMIT may be under way. */
void vfm_handover_told(struct vfm_engine *e);

/** vfm_handover_take() - COMMIT was seen, e->paused is known; before the device runs. */
int vfm_handover_take(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_handover_ran() - the device runs; before RUNNING. */
void vfm_handover_ran(struct vfm_engine *e);

/** vfm_handover_part() - after RUNNING: wait a little until the source knows, then forget. */
void vfm_handover_part(struct vfm_engine *e);

/**
 * vfm_handover_refuse() - it failed before COMMIT was seen; before the device is reset
 *
 * Sets e->stay when it must not be reset: the source may have given it away.
 */
void vfm_handover_refuse(struct vfm_engine *e);

/** vfm_handover_refused() - the device was reset, if @done. */
void vfm_handover_refused(struct vfm_engine *e, bool done);

/** vfm_handover_end() - close the journal, whatever it says. */
void vfm_handover_end(struct vfm_engine *e);

#endif
