// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A device whose every operation is written down: as text for people, or as JSON from
 * which it can be tried again.
 *
 * What surprises: nothing is kept in memory. The first half of a line is written before
 * the operation, the second one after it, so that a trace of a device that hangs or crashes
 * ends in the operation that it was. A trace that cannot be written ends, the device does not.
 */

#include "wrap/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/params.h"
#include "base/util.h"

/* A reader of a trace that does not read in that time has none. */
#define READER_MS 2000

/* Of data that stands beside the trace. */
#define DATA_SIZE (UINT64_C(64) << 20)

/*
 * struct trace - where it goes
 * @fd, @data_fd: -1: nowhere, any more
 * @data_at: where in the file of data the next of it will be
 * @data_max: how large that may be
 */
struct trace {
	int fd, data_fd;
	bool json;
	uint64_t began_ns, data_at, data_max;
};

static void write_text(struct trace *t, const char *text, size_t len)
{
	const struct vfm_wait wait = { .timeout_ms = READER_MS, .cancel_fd = -1 };

	if (t->fd >= 0 && (!text || vfm_write_full(t->fd, text, len, &wait)))
		vfm_close_fd(&t->fd);
}

/* Takes @text. */
static void write_line(struct trace *t, char *text, const char *end)
{
	write_text(t, text, text ? strlen(text) : 0);
	write_text(t, end, strlen(end));
	free(text);
}

/* ---- text ----------------------------------------------------------------------- */

/* What stands before the result, for an operation that has one or has not. */
static size_t words_before(const struct vfm_op *op, char *text, size_t room)
{
	static const char dots[] = " ...";
	struct vfm_op begun = *op;

	begun.done = false;
	vfm_op_words(&begun, text, room);
	return strlen(text) - (sizeof(dots) - 1);
}

static void text_before(struct trace *t, const struct vfm_op *op, uint64_t us)
{
	char words[512], when[32];
	int width = snprintf(when, sizeof(when), "%6" PRIu64 ".%06" PRIu64 " ", us / 1000000,
			     us % 1000000);

	write_text(t, when, (size_t)width);
	write_text(t, words, words_before(op, words, sizeof(words)));
}

static void text_after(struct trace *t, const struct vfm_op *op)
{
	char words[512];
	size_t from = words_before(op, words, sizeof(words));

	vfm_op_words(op, words, sizeof(words));
	write_text(t, words + from, strlen(words + from));
	write_text(t, "\n", 1);
}

/* ---- JSON ----------------------------------------------------------------------- */

/* Put data that is too large for a line beside it. */
static enum vfm_trace_place place_data(struct trace *t, const struct vfm_op *op, uint64_t *at)
{
	const struct vfm_wait wait = { .timeout_ms = READER_MS, .cancel_fd = -1 };

	*at = t->data_at;
	if (!op->data_len)
		return VFM_TRACE_NONE;
	if (op->data_len <= VFM_TRACE_INLINE)
		return VFM_TRACE_HERE;
	if (t->data_fd < 0 || op->data_len > t->data_max - VFM_MIN(t->data_at, t->data_max) ||
	    vfm_write_full(t->data_fd, op->data, op->data_len, &wait)) {
		/* what was written of it would be taken for the next */
		vfm_close_fd(&t->data_fd);
		return VFM_TRACE_LOST;
	}
	t->data_at += op->data_len;
	return VFM_TRACE_FILE;
}

/* ---- the hooks -------------------------------------------------------------------- */

static int before(void *user, struct vfm_op *op, struct vfm_err *err)
{
	struct trace *t = user;
	uint64_t us = (vfm_now_ns() - t->began_ns) / 1000, at;
	enum vfm_trace_place place;

	(void)err;
	if (t->json) {
		place = place_data(t, op, &at);
		write_line(t, vfm_trace_begin(op, us, place, at), "");
	} else {
		text_before(t, op, us);
	}
	return 0;
}

static void after(void *user, const struct vfm_op *op)
{
	struct trace *t = user;

	if (t->json)
		write_line(t, vfm_trace_end(op), "\n");
	else
		text_after(t, op);
}

static void close_trace(void *user)
{
	struct trace *t = user;

	vfm_close_fd(&t->fd);
	vfm_close_fd(&t->data_fd);
	free(t);
}

/* ---- opening ---------------------------------------------------------------------- */

/* To what is there something is added: a device may be opened again and again. */
static int append_to(const char *path, uint64_t *size, struct vfm_err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st)) {
		int ret = vfm_fail(err, -errno, "trace: open %s", path);

		vfm_close_fd(&fd);
		return ret;
	}
	*size = (uint64_t)st.st_size;
	return fd;
}

/* The last line may have been left open by a process that was ended in an operation. */
static void end_open_line(struct trace *t, uint64_t size)
{
	char last = '\n';

	if (size && pread(t->fd, &last, 1, (off_t)(size - 1)) == 1 && last != '\n')
		write_text(t, "\n", 1);
}

static int open_files(struct trace *t, const char *path, struct vfm_err *err)
{
	char data[512];
	uint64_t size;

	if (!path[0]) {
		t->fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		return t->fd < 0 ? vfm_fail(err, -errno, "trace: use standard error") : 0;
	}
	t->fd = append_to(path, &size, err);
	if (t->fd < 0)
		return t->fd;
	end_open_line(t, size);
	if (!t->json)
		return 0;
	snprintf(data, sizeof(data), "%s" VFM_TRACE_DATA, path);
	t->data_fd = append_to(data, &t->data_at, err);
	return t->data_fd < 0 ? t->data_fd : 0;
}

static void write_head(struct trace *t, const char *uri)
{
	char text[512];
	int width;

	if (t->json) {
		write_line(t, vfm_trace_head(uri), "\n");
		return;
	}
	width = snprintf(text, sizeof(text), "# %.400s, process %d\n", uri, (int)getpid());
	write_text(t, text, (size_t)width);
}

static int parse(struct trace *t, const char *params, char *path, size_t room, struct vfm_err *err)
{
	char format[8] = "text";
	const struct vfm_param table[] = {
		{ .name = "file", .type = VFM_PARAM_TEXT, .value = path, .room = room },
		{ .name = "format",
		  .type = VFM_PARAM_TEXT,
		  .value = format,
		  .room = sizeof(format) },
		{ .name = "data",
		  .type = VFM_PARAM_SIZE,
		  .max = UINT64_C(1) << 40,
		  .value = &t->data_max },
		{ .name = NULL },
	};
	int ret = vfm_parse_params("trace", params, table, err);

	t->json = !strcmp(format, "json");
	if (!ret && !t->json && strcmp(format, "text") != 0)
		ret = vfm_fail(err, -EINVAL, "trace,format=%s: neither text nor json", format);
	return ret;
}

int vfm_trace_open(struct vfm_device **out, struct vfm_device *inner, const char *params,
		   struct vfm_err *err)
{
	struct trace *t = malloc(sizeof(*t));
	const struct vfm_hooks hooks = {
		.before = before, .after = after, .close = close_trace, .user = t
	};
	char path[400] = "";
	int ret;

	if (!t)
		return vfm_fail(err, -ENOMEM, "%s: no memory", vfm_device_uri(inner));
	*t = (struct trace){
		.fd = -1, .data_fd = -1, .began_ns = vfm_now_ns(), .data_max = DATA_SIZE
	};
	ret = parse(t, params, path, sizeof(path), err);
	if (!ret)
		ret = open_files(t, path, err);
	if (!ret)
		ret = vfm_hook_open(out, inner, &hooks, err);
	if (ret)
		close_trace(t);
	else
		write_head(t, vfm_device_uri(inner));
	return ret;
}
