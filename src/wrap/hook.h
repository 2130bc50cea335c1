// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A wrap that tells of every operation before and after: for those who watch
 * (trace.c, the checker) and those who disturb (inject.c). What is asked all the time and
 * changes nothing, the descriptor to wait for, is not told.
 */

#ifndef VFM_WRAP_HOOK_H
#define VFM_WRAP_HOOK_H

#include "device/pass.h"

/** enum vfm_field_kind - how the value of a field reads */
enum vfm_field_kind { VFM_FIELD_COUNT, VFM_FIELD_HEX, VFM_FIELD_STATE, VFM_FIELD_FLAG };

/** struct vfm_field - something that an operation was given, or gave */
struct vfm_field {
	const char *name;
	enum vfm_field_kind kind;
	uint64_t value;
};

#define VFM_OP_FIELDS 6

/**
 * struct vfm_op - an operation that begins or has ended; all pointers are borrowed for the call
 * @name: "set_state"
 * @args: what it was given
 * @data, @data_len: bytes that go in; for some, of which hook.c says what they are
 * @room: bytes that may come out, where that is for the user to say; before() may lower it
 * @mark: what before() puts here, after() finds: two threads may have operations under way
 * @done: it has ended, and the rest is known
 * @ret: what it returned
 * @gave: what it gave, if it succeeded
 * @got, @got_len: bytes that came out
 * @text: of its error, or a text that it gave
 * @us: how long it took
 */
struct vfm_op {
	const char *name;
	struct vfm_field args[VFM_OP_FIELDS];
	size_t nr_args;
	const void *data;
	size_t data_len;
	size_t room;
	size_t mark;

	bool done;
	int64_t ret;
	struct vfm_field gave[VFM_OP_FIELDS];
	size_t nr_gave;
	const void *got;
	size_t got_len;
	const char *text;
	uint64_t us;
};

/**
 * struct vfm_hooks - who is told; copied; members may be NULL
 * @before: it begins. A negative errno value, with a text, is what it returns instead of
 *	being done; after() is told all the same
 * @after: it has ended
 * @close: the device is closed; frees @user
 */
struct vfm_hooks {
	int (*before)(void *user, struct vfm_op *op, struct vfm_err *err);
	void (*after)(void *user, const struct vfm_op *op);
	void (*close)(void *user);
	void *user;
};

/** vfm_hook_open() - a wrap around @inner, which it takes on success, with @hooks->user. */
int vfm_hook_open(struct vfm_device **out, struct vfm_device *inner, const struct vfm_hooks *hooks,
		  struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_op_words() - one of them as a line. */
void vfm_op_words(const struct vfm_op *op, char *text, size_t room);

/** vfm_op_exists() - whether there is an operation of this name. */
bool vfm_op_exists(const char *name);

#endif
