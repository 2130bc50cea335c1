// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A queue of buffers between two threads: a producer and a consumer. It never
 * holds more than a fixed number of them, so whoever is faster waits.
 *
 * One of the two has other things to serve, so it must not sleep here: it *polls*.
 * Its calls return -EAGAIN instead, and after that a descriptor becomes readable
 * when it is worth to call again. The calls of the other side sleep.
 *
 * What surprises: buffers that were used last are given out first, as they are
 * still in some cache. So a queue whose consumer keeps up uses few of those it may.
 */

#ifndef VFM_ENGINE_QUEUE_H
#define VFM_ENGINE_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include <vfmig/stream.h>

/** Room in every buffer. */
#define VFM_QUEUE_BUFFER VFM_STREAM_PAYLOAD_MAX

/**
 * struct vfm_buffer - a record on its way
 * @record: as the stream has it; its data may be anywhere
 * @bytes: VFM_QUEUE_BUFFER bytes for that
 * @next, @made_before: the queue's
 */
struct vfm_buffer {
	struct vfm_stream_record record;
	uint8_t *bytes;
	struct vfm_buffer *next;
	struct vfm_buffer *made_before;
};

enum vfm_queue_side { VFM_QUEUE_PRODUCER, VFM_QUEUE_CONSUMER };

struct vfm_queue;

/** vfm_queue_new() - of at most @limit buffers, made when they are needed; @polls does not sleep.
 */
int vfm_queue_new(struct vfm_queue **out, size_t limit, enum vfm_queue_side polls,
		  struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_queue_free() - with all buffers, wherever they are; both sides are done with it. */
void vfm_queue_free(struct vfm_queue *q);

/** vfm_queue_fd() - readable some time after a call of the side that polls returned -EAGAIN. */
int vfm_queue_fd(const struct vfm_queue *q);

/** vfm_queue_get() - producer: an empty buffer. -EAGAIN; -ENOMEM; -EPIPE: it was cut. */
int vfm_queue_get(struct vfm_queue *q, struct vfm_buffer **out) VFM_MUST_CHECK;

/** vfm_queue_unget() - producer: one that was got is not needed after all. */
void vfm_queue_unget(struct vfm_queue *q, struct vfm_buffer *buffer);

/** vfm_queue_put() - producer: one that was got is full. */
void vfm_queue_put(struct vfm_queue *q, struct vfm_buffer *buffer);

/** vfm_queue_drop() - producer: what nobody has taken yet is of no use any more. */
void vfm_queue_drop(struct vfm_queue *q);

/** vfm_queue_end() - producer: nothing comes after what was put. */
void vfm_queue_end(struct vfm_queue *q);

/** vfm_queue_idle() - producer: all that was put has been given back. -EAGAIN; -EPIPE: it was cut.
 */
int vfm_queue_idle(struct vfm_queue *q) VFM_MUST_CHECK;

/** vfm_queue_take() - consumer: the oldest. -EAGAIN; -ENODATA: the end; -EPIPE: it was cut. */
int vfm_queue_take(struct vfm_queue *q, struct vfm_buffer **out) VFM_MUST_CHECK;

/** vfm_queue_give() - consumer: one that was taken is used up. */
void vfm_queue_give(struct vfm_queue *q, struct vfm_buffer *buffer);

/** vfm_queue_cut() - either side: it is over, and what is in the queue is lost. */
void vfm_queue_cut(struct vfm_queue *q);

#endif
