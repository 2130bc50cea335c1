// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The pipeline: a thread that does one half of the way between the device and the
 * descriptor, and a queue to the thread of our caller, which does the other half.
 *
 * The caller's thread owns everything but one stream: the device, cancellation,
 * progress, the peer's complaints. The *helper* owns the outgoing stream of a
 * source (checksum, compression, limit of the rate, writing), or the incoming one of a destination
 * (reading, checksum, decompression), from start to stop. Both are there only while
 * data flows: the handshake, and everything from END on, is the caller's alone. So a
 * COMMIT is written by whoever decides about it.
 */

#ifndef VFM_ENGINE_PIPE_H
#define VFM_ENGINE_PIPE_H

#include <pthread.h>

#include "engine/engine.h"

struct vfm_buffer;

/** vfm_pipe_start() - e->pipe, and its thread. The helper's stream is out of bounds from here. */
int vfm_pipe_start(struct vfm_engine *e) VFM_MUST_CHECK;

/**
 * vfm_pipe_stop() - join the helper and get its stream back
 * @finish_ms: how long it may take over the record that is in its hands; what waits in
 *	the queue is lost, so flush first if that matters
 *
 * A record that it could not finish leaves e->torn. Does nothing when there is no pipe.
 */
void vfm_pipe_stop(struct vfm_engine *e, unsigned int finish_ms);

/** vfm_pipe_free() - stop it, and free the buffers: which takes a while, and the device may wait.
 */
void vfm_pipe_free(struct vfm_engine *e);

/** vfm_pipe_wait() - the wait of the helper's stream: for nothing but that, and for the stop. */
int vfm_pipe_wait(struct vfm_engine *e, int fd, short events) VFM_MUST_CHECK;

/** vfm_pipe_cause() - the helper's: why a call of its stream failed that can only tell that it did.
 */
struct vfm_err *vfm_pipe_cause(struct vfm_engine *e);

/* ---- the source ---------------------------------------------------------- */

/** vfm_pipe_buffer() - where the next payload may be put; waits for a buffer, and serves. */
int vfm_pipe_buffer(struct vfm_engine *e, void **data) VFM_MUST_CHECK;

/** vfm_pipe_put() - a record into the queue; @data is copied unless it is in that buffer. */
int vfm_pipe_put(struct vfm_engine *e, enum vfm_stream_type type, uint32_t flags, const void *data,
		 size_t size) VFM_MUST_CHECK;

/** vfm_pipe_flush() - until all that was put has been written. */
int vfm_pipe_flush(struct vfm_engine *e) VFM_MUST_CHECK;

/**
 * vfm_pipe_empty() - a buffer for whoever fills it, out of those that may be under way
 *
 * -EAGAIN: vfm_pipe_fd() becomes readable when it is worth to ask again.
 */
int vfm_pipe_empty(struct vfm_engine *e, struct vfm_buffer **out) VFM_MUST_CHECK;
int vfm_pipe_fd(const struct vfm_engine *e);

/** vfm_pipe_pass() - such a buffer, with its record filled in, goes out. */
void vfm_pipe_pass(struct vfm_engine *e, struct vfm_buffer *buffer);

/** vfm_pipe_written() - bytes of the stream so far, and what vfm_stream_compressed() says of them.
 */
uint64_t vfm_pipe_written(struct vfm_engine *e, uint64_t *compressed, uint64_t *to);

/** vfm_pipe_busy_ns() - how long writing took so far, without what the helper waited for records.
 */
uint64_t vfm_pipe_busy_ns(struct vfm_engine *e);

/* ---- the destination ------------------------------------------------------ */

/** vfm_pipe_read() - as vfm_stream_read(), out of the queue; serves while it waits. */
int vfm_pipe_read(struct vfm_engine *e, struct vfm_stream_record *record) VFM_MUST_CHECK;

/** vfm_pipe_keep() - the buffer of the record that was read last, until vfm_pipe_give(). */
struct vfm_buffer *vfm_pipe_keep(struct vfm_engine *e);
void vfm_pipe_give(struct vfm_engine *e, struct vfm_buffer *buffer);

/* ---- threads -------------------------------------------------------------- */

/** vfm_engine_thread() - start one. Signals are for the threads of those who call us. */
int vfm_engine_thread(pthread_t *thread, void *(*run)(void *arg), void *arg) VFM_MUST_CHECK;

#endif
