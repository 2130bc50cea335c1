// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A queue of buffers between two sides: producers and consumers. It never
 * holds more than a fixed number of them, so whoever is faster waits.
 *
 * One side is a single thread that has other things to serve, so it must not sleep here: it
 * *polls*. Its calls return -EAGAIN instead, and after that a descriptor becomes readable
 * when it is worth to call again. The other side may be several threads, whose calls sleep.
 *
 * Several consumers take each what comes next, but for what is put for one of them. Several
 * producers have what comes by different ways and in any order, but has numbers: each buffer is
 * *claimed* for its number, and they are taken in the order of those. Only the next ones can be
 * claimed, as many as there are buffers, so there is always one for the one that is due.
 *
 * What surprises: buffers that were used last are given out first, as they are
 * still in some cache. So a queue whose consumer keeps up uses few of those it may.
 */

#ifndef VFM_ENGINE_QUEUE_H
#define VFM_ENGINE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vfmig/stream.h>

/** Room in every buffer. */
#define VFM_QUEUE_BUFFER VFM_STREAM_PAYLOAD_MAX

/**
 * struct vfm_buffer - a record on its way
 * @record: as the stream has it; its data may be anywhere
 * @bytes: VFM_QUEUE_BUFFER bytes for that
 * @sequence: what it was claimed for, or how many were put before it
 * @way: the producer that claimed it, or the one consumer that may take it, or VFM_QUEUE_ANY
 * @full, @next, @made_before: the queue's
 */
struct vfm_buffer {
	struct vfm_stream_record record;
	uint8_t *bytes;
	uint64_t sequence;
	unsigned int way;
	bool full;
	struct vfm_buffer *next;
	struct vfm_buffer *made_before;
};

enum vfm_queue_side { VFM_QUEUE_PRODUCER, VFM_QUEUE_CONSUMER };

/** Most threads on the side that sleeps. */
#define VFM_QUEUE_WAYS 16

/** Any of the consumers. */
#define VFM_QUEUE_ANY UINT32_MAX

struct vfm_queue;

/** vfm_queue_new() - of at most @limit buffers, made when they are needed; @polls does not sleep.
 */
int vfm_queue_new(struct vfm_queue **out, size_t limit, enum vfm_queue_side polls,
		  struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_queue_number() - before anything else: the number of the first that is put
 * @producers: so many claim; 0: one producer, which does not
 */
int vfm_queue_number(struct vfm_queue *q, uint64_t first, unsigned int producers,
		     struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_queue_free() - with all buffers, wherever they are; both sides are done with it. */
void vfm_queue_free(struct vfm_queue *q);

/** vfm_queue_fd() - readable some time after a call of the side that polls returned -EAGAIN. */
int vfm_queue_fd(const struct vfm_queue *q);

/** vfm_queue_get() - producer: an empty buffer. -EAGAIN; -ENOMEM; -EPIPE: it was cut. */
int vfm_queue_get(struct vfm_queue *q, struct vfm_buffer **out) VFM_MUST_CHECK;

/**
 * vfm_queue_claim() - producer @way: an empty buffer for the one with this number
 *
 * The numbers of a producer rise. -EEXIST: that number was there already; -ENOMEM; -EPIPE.
 */
int vfm_queue_claim(struct vfm_queue *q, unsigned int way, uint64_t sequence,
		    struct vfm_buffer **out) VFM_MUST_CHECK;

/** vfm_queue_leave() - producer @way: it has no more. */
void vfm_queue_leave(struct vfm_queue *q, unsigned int way);

/** vfm_queue_unget() - producer: one that was got is not needed after all. */
void vfm_queue_unget(struct vfm_queue *q, struct vfm_buffer *buffer);

/** vfm_queue_put() - producer: one that was got or claimed is full. */
void vfm_queue_put(struct vfm_queue *q, struct vfm_buffer *buffer);

/** vfm_queue_put_for() - the same, for one of the consumers. */
void vfm_queue_put_for(struct vfm_queue *q, unsigned int way, struct vfm_buffer *buffer);

/** vfm_queue_next() - the number of the next one that is put. */
uint64_t vfm_queue_next(struct vfm_queue *q);

/** vfm_queue_drop() - producer: what nobody has taken yet is of no use any more. */
void vfm_queue_drop(struct vfm_queue *q);

/** vfm_queue_end() - producer: nothing comes after what was put. */
void vfm_queue_end(struct vfm_queue *q);

/** vfm_queue_idle() - producer: all that was put has been given back. -EAGAIN; -EPIPE: it was cut.
 */
int vfm_queue_idle(struct vfm_queue *q) VFM_MUST_CHECK;

/**
 * vfm_queue_take() - consumer @way: the oldest, or the one that is due
 *
 * -EAGAIN; -ENODATA: the end; -EPIPE: it was cut; -EILSEQ: no producer can bring the one that is
 * due any more.
 */
int vfm_queue_take(struct vfm_queue *q, unsigned int way, struct vfm_buffer **out) VFM_MUST_CHECK;

/** vfm_queue_due() - the number of the next one that is taken. */
uint64_t vfm_queue_due(struct vfm_queue *q);

/** vfm_queue_blames() - whether the consumer has nothing to do until producer @way brings it. */
bool vfm_queue_blames(struct vfm_queue *q, unsigned int way);

/**
 * vfm_queue_keep() - consumer: what was taken last stays away for long
 *
 * What comes after it need not wait for it to be given back, unless it needs its buffer.
 */
void vfm_queue_keep(struct vfm_queue *q, struct vfm_buffer *buffer);

/** vfm_queue_give() - consumer: one that was taken is used up. */
void vfm_queue_give(struct vfm_queue *q, struct vfm_buffer *buffer);

/** vfm_queue_cut() - either side: it is over, and what is in the queue is lost. */
void vfm_queue_cut(struct vfm_queue *q);

#endif
