// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Traces: writing them (trace.c), a line of one (trace_line.c), trying them again (replay.c). */

#ifndef VFM_WRAP_TRACE_H
#define VFM_WRAP_TRACE_H

#include "wrap/hook.h"

/** Version of the format, in the first line of each opening of a device. */
#define VFM_TRACE_VERSION 1

/** Bytes that stand in a line itself. */
#define VFM_TRACE_INLINE 64

/** Longest line that is read. */
#define VFM_TRACE_LINE 8192

/** Behind the name of a trace: the file with the data that is larger. */
#define VFM_TRACE_DATA ".data"

/** vfm_trace_open() - @params: "file=F,format=text|json,data=SIZE"; takes @inner on success. */
int vfm_trace_open(struct vfm_device **out, struct vfm_device *inner, const char *params,
		   struct vfm_err *err) VFM_MUST_CHECK;

/* ---- lines ------------------------------------------------------------------ */

/** enum vfm_trace_place - where the data of an operation is */
enum vfm_trace_place { VFM_TRACE_NONE, VFM_TRACE_HERE, VFM_TRACE_FILE, VFM_TRACE_LOST };

/* Lines are made in two halves, so that one that never comes to its end is seen to be open. NULL:
 * no memory; else for free(). */

/** vfm_trace_head() - a whole line: a device is opened. */
char *vfm_trace_head(const char *uri);

/** vfm_trace_begin() - the first half; @at: of data in a file. */
char *vfm_trace_begin(const struct vfm_op *op, uint64_t us, enum vfm_trace_place place,
		      uint64_t at);

/** vfm_trace_end() - the second half. */
char *vfm_trace_end(const struct vfm_op *op);

/** struct vfm_trace_value - a field that was read */
struct vfm_trace_value {
	char name[24];
	uint64_t value;
};

/**
 * struct vfm_step - a line that was read
 * @opens: it is about the opening of a device, and has nothing else
 * @ended: the operation came back, and all from @ret on is known
 * @data_len, @data_at, @here: of its data, by @place
 * @got_len, @got_digest: of what came out
 */
struct vfm_step {
	bool opens, ended;
	char op[24];
	struct vfm_trace_value args[VFM_OP_FIELDS], gave[VFM_OP_FIELDS];
	size_t nr_args, nr_gave;
	enum vfm_trace_place place;
	uint64_t data_len, data_at;
	uint8_t here[VFM_TRACE_INLINE];
	int64_t ret;
	uint64_t got_len, got_digest;
};

/** vfm_trace_parse() - a line without its end; the last of a trace may be half of one. */
int vfm_trace_parse(struct vfm_step *step, const char *line, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_trace_digest() - of bytes that came out. */
uint64_t vfm_trace_digest(const void *data, size_t len);

/** vfm_step_arg() - the argument of that name; 0 if there is none. */
uint64_t vfm_step_arg(const struct vfm_step *step, const char *name);

/* ---- trying again ------------------------------------------------------------- */

/**
 * struct vfm_redo - what an operation that is tried again needs
 * @data: what goes in, @step->data_len bytes
 * @buf: room for what comes out, VFM_REDO_ROOM bytes
 */
struct vfm_redo {
	struct vfm_device *dev;
	const struct vfm_step *step;
	const uint8_t *data;
	uint8_t *buf;
};

/** Most bytes that one operation moves. */
#define VFM_REDO_ROOM ((size_t)64 << 20)

/** vfm_redo() - do it, if it can be done, whatever comes of it: a hook sees that. */
void vfm_redo(const struct vfm_redo *r);

#endif
