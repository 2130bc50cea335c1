// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A store of keys and values that compares and swaps, as far as we need one: read a key with
 * its revision, and write it if it still has that revision. etcd.c is one; tests have another.
 *
 * A connection asks one question at a time, and never sleeps: it has a descriptor, which is
 * readable when there is something to be done, and a call that does it. kv.c makes of this a
 * call that lasts until the answer is there, while whoever called serves other things.
 */

#ifndef VFM_ENGINE_KV_H
#define VFM_ENGINE_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vfmig/error.h>

#include "base/io.h"

#define VFM_KV_KEY_MAX 1023u
#define VFM_KV_VALUE_MAX 4095u

/** struct vfm_kv_value - @revision 0: the key is not there; @data is terminated */
struct vfm_kv_value {
	uint64_t revision;
	size_t size;
	char data[VFM_KV_VALUE_MAX + 1];
};

/**
 * struct vfm_kv_request
 * @swap: write @value if the key has revision @revision, else tell what it has; not set: tell
 * @value: a text of at most VFM_KV_VALUE_MAX bytes; NULL: remove the key
 */
struct vfm_kv_request {
	const char *key;
	bool swap;
	uint64_t revision;
	const char *value;
};

/** struct vfm_kv_answer - @now: what is there; after a swap its revision alone is set */
struct vfm_kv_answer {
	bool swapped;
	struct vfm_kv_value now;
};

struct vfm_kv;

/**
 * struct vfm_kv_ops
 * @start: ask at an endpoint; what @request points to stays until the answer is there
 * @get_fd: to be polled for reading while a question is under way
 * @process: 0: there is an answer; -EAGAIN: not yet; others: it failed, and if it was a swap
 *	it may have been done. -ETIMEDOUT comes by itself after the time given to @start
 * @stop: give up what is under way
 * @close: the same, and free
 */
struct vfm_kv_ops {
	int (*start)(struct vfm_kv *kv, size_t endpoint, const struct vfm_kv_request *request,
		     unsigned int timeout_ms, struct vfm_err *err);
	int (*get_fd)(const struct vfm_kv *kv);
	int (*process)(struct vfm_kv *kv, struct vfm_kv_answer *answer, struct vfm_err *err);
	void (*stop)(struct vfm_kv *kv);
	void (*close)(struct vfm_kv *kv);
};

/** struct vfm_kv - first in every implementation's struct */
struct vfm_kv {
	const struct vfm_kv_ops *ops;
	size_t nr_endpoints;
};

/**
 * vfm_kv_get() - read a key, with as many tries as there is time for
 * @wait: while it lasts; an error of its @fn ends it, and has been told there
 */
int vfm_kv_get(struct vfm_kv *kv, const char *key, struct vfm_kv_value *now,
	       unsigned int timeout_ms, const struct vfm_wait *wait,
	       struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_kv_swap() - write a key that has @revision (0: that is not there); @value NULL: remove it
 * @now: its new revision if that was done, else what it has; may be the caller's only copy
 *
 * Return: 1: done; 0: it has another revision, which may be that of an earlier try of this
 * call, so look at the value; negative: whether it was done is not known.
 */
int vfm_kv_swap(struct vfm_kv *kv, const char *key, uint64_t revision, const char *value,
		struct vfm_kv_value *now, unsigned int timeout_ms, const struct vfm_wait *wait,
		struct vfm_err *err) VFM_MUST_CHECK;

#endif
