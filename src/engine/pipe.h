// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The pipeline: threads that do one half of the way between the device and the
 * connections, and a queue to the thread of our caller, which does the other half.
 *
 * The caller's thread owns everything but the streams with the data: the device, cancellation,
 * progress, the peer's complaints. For each channel there is a *helper* that owns
 * the outgoing stream of a source (checksum, compression, limit of the rate, writing), or the
 * incoming one of a destination (reading, checksum, decompression), from start to stop. They
 * are there only while data flows: the handshake, and everything from END on, is the caller's
 * alone. So a COMMIT is written by whoever decides about it.
 *
 * With several channels, a record of data leaves by whichever is free, and all else by the first.
 * Records are numbered through all channels, and taken in the order of those numbers: queue.h.
 */

#ifndef VFM_ENGINE_PIPE_H
#define VFM_ENGINE_PIPE_H

#include <pthread.h>

#include "engine/engine.h"
#include "engine/queue.h"
#include "engine/share.h"
#include "stream/format.h"

/**
 * struct vfm_helper - a thread that has the stream of one channel
 * @pipe, @channel: what it works for
 * @out, @in: its stream
 * @cause: why a call of that failed, when that can only tell that it did
 * @ret, @err: what ended it
 * @end: what END of its stream says; @sealed: it was there (destination)
 */
struct vfm_helper {
	struct vfm_engine *e;
	struct vfm_pipe *pipe;
	struct vfm_channel *channel;
	pthread_t thread;
	struct vfm_stream_writer *out;
	struct vfm_stream_reader *in;
	struct vfm_err cause;
	int ret;
	struct vfm_err err;
	bool sealed;
	struct vfm_stream_end end;
};

/**
 * struct vfm_pipe
 * @stop_fd: an eventfd that ends every wait of the helpers
 * @mine: the caller's buffer: to be filled (source), or taken last (destination)
 * @first_lost: the caller has seen that the first channel failed (destination)
 * @last: the peer's ABORT, which waits for nothing; read before the queue was cut
 * @nr_devices: identities that the first stream has had
 * @nr_helpers, @helpers: by channel; @nr_started of them have a thread
 * @lock: of what follows, and of rate and gauges in the engine
 * @failed: the helper that failed first; NULL: none
 * @written, @compressed, @compressed_to: as the streams count them, together
 * @arrived: bytes of all streams but the first
 * @writing, @busy: the time of the helpers, without and with what they waited for the limit
 *	of the rate
 * @busy_ns: the sum of it
 * @moved_ns: when something was moved last, by any of them
 */
struct vfm_pipe {
	struct vfm_queue *queue;
	int stop_fd;
	struct vfm_buffer *mine;
	bool first_lost;
	struct vfm_stream_record last;
	uint32_t nr_devices;
	unsigned int nr_helpers, nr_started;
	struct vfm_helper helpers[VFM_CHANNELS_MAX];
	pthread_mutex_t lock;
	struct vfm_helper *failed;
	uint64_t written, compressed, compressed_to;
	uint64_t arrived;
	struct vfm_share writing, busy;
	uint64_t busy_ns;
	uint64_t moved_ns;
};

/** vfm_pipe_channels() - how many channels our limit on memory bears. */
unsigned int vfm_pipe_channels(const struct vfm_engine *e);

/** vfm_pipe_start() - e->pipe, and its threads. Their streams are out of bounds from here. */
int vfm_pipe_start(struct vfm_engine *e) VFM_MUST_CHECK;

/**
 * vfm_pipe_stop() - join the helpers and get the first stream back
 * @finish_ms: how long they may take over the records that are in their hands; what waits in
 *	the queue is lost, so flush first if that matters
 *
 * A record that could not be finished on the first channel leaves e->torn. Does nothing when there
 * is no pipe.
 */
void vfm_pipe_stop(struct vfm_engine *e, unsigned int finish_ms);

/** vfm_pipe_free() - stop it, and free the buffers: which takes a while, and the device may wait.
 */
void vfm_pipe_free(struct vfm_engine *e);

/** vfm_pipe_first() - the helper that has the stream of the first channel. */
struct vfm_helper *vfm_pipe_first(struct vfm_engine *e);

/* ---- the source ---------------------------------------------------------- */

/** vfm_pipe_buffer() - where the next payload may be put; waits for a buffer, and serves. */
int vfm_pipe_buffer(struct vfm_engine *e, void **data) VFM_MUST_CHECK;

/** vfm_pipe_put() - a record into the queue; @data is copied unless it is in that buffer. */
int vfm_pipe_put(struct vfm_engine *e, enum vfm_stream_type type, uint32_t flags, const void *data,
		 size_t size) VFM_MUST_CHECK;

/**
 * vfm_pipe_empty() - a buffer for whoever fills it, out of those that may be under way
 *
 * -EAGAIN: vfm_pipe_fd() becomes readable when it is worth to ask again.
 */
int vfm_pipe_empty(struct vfm_engine *e, struct vfm_buffer **out) VFM_MUST_CHECK;
int vfm_pipe_fd(const struct vfm_engine *e);

/** vfm_pipe_spare() - such a buffer comes back empty. */
void vfm_pipe_spare(struct vfm_engine *e, struct vfm_buffer *buffer);

/** vfm_pipe_pass() - such a buffer, with its record of data filled in, goes out. */
void vfm_pipe_pass(struct vfm_engine *e, struct vfm_buffer *buffer);

/** vfm_pipe_flush() - until all that was put has been written. */
int vfm_pipe_flush(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_pipe_seal() - flush, END on all channels, the first one's last; the pipeline stops. */
int vfm_pipe_seal(struct vfm_engine *e) VFM_MUST_CHECK;

/** vfm_pipe_written() - bytes of the streams so far, and what vfm_stream_compressed() says of them.
 */
uint64_t vfm_pipe_written(struct vfm_engine *e, uint64_t *compressed, uint64_t *to);

/** vfm_pipe_busy_ns() - how long writing took so far, without what the helpers waited for records.
 */
uint64_t vfm_pipe_busy_ns(struct vfm_engine *e);

/* ---- the destination ------------------------------------------------------ */

/**
 * vfm_pipe_read() - as vfm_stream_read(), out of the queue; serves while it waits
 *
 * END is that of the first channel, and proves all others, too.
 */
int vfm_pipe_read(struct vfm_engine *e, struct vfm_stream_record *record) VFM_MUST_CHECK;

/** vfm_pipe_keep() - the buffer of the record that was read last, until vfm_pipe_give(). */
struct vfm_buffer *vfm_pipe_keep(struct vfm_engine *e);
void vfm_pipe_give(struct vfm_engine *e, struct vfm_buffer *buffer);

/** vfm_pipe_arrived() - bytes of all streams but the first. */
uint64_t vfm_pipe_arrived(struct vfm_engine *e);

/* ---- threads -------------------------------------------------------------- */

/** vfm_engine_thread() - start one. Signals are for the threads of those who call us. */
int vfm_engine_thread(pthread_t *thread, void *(*run)(void *arg), void *arg) VFM_MUST_CHECK;

/* ---- what the files of the pipeline share ---------------------------------- */

/** vfm_helper_run_out(), vfm_helper_run_in() - all that a helper does; @arg is it. */
void *vfm_helper_run_out(void *arg);
void *vfm_helper_run_in(void *arg);

/** vfm_helper_wait() - the wait of its stream: for nothing but that, and for the stop. */
int vfm_helper_wait(void *helper, int fd, short events);

/** vfm_helper_opts() - for the stream of a channel that is not the first. */
struct vfm_stream_opts vfm_helper_opts(struct vfm_helper *h);

/** vfm_helper_fail() - it ends with @ret and h->err; the first that does is why the pipe failed. */
void vfm_helper_fail(struct vfm_helper *h, int ret);

/** vfm_helper_moved() - something was moved: nobody is silent. */
void vfm_helper_moved(struct vfm_pipe *p);

#endif
