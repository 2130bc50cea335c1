// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A trace, line by line: each operation is done again on a device with a hook around it,
 * and what the hook saw is compared with what the line says.
 */

#include "wrap/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vfmig/trace.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/util.h"

/* What the hook saw of the operation that was done last. */
struct seen {
	bool done;
	struct vfm_op op; /* its pointers are not valid any more */
	uint64_t digest;
	char words[512];
};

struct replay {
	const struct vfm_replay_opts *opts;
	struct vfm_replay_summary *sum;
	FILE *lines;
	int data_fd; /* -1: there is no such file */
	struct vfm_device *dev;
	struct seen seen;
	struct vfm_step step;
	uint64_t line;
	uint8_t *data, *buf;
};

static void after(void *user, const struct vfm_op *op)
{
	struct seen *seen = user;

	seen->done = true;
	seen->op = *op;
	seen->digest = op->got_len ? vfm_trace_digest(op->got, op->got_len) : 0;
	vfm_op_words(op, seen->words, sizeof(seen->words));
}

/* ---- comparing --------------------------------------------------------------------- */

static void differs(struct replay *r, const char *what)
{
	r->sum->differences++;
	r->opts->differs(r->opts->user, r->line, r->seen.done ? r->seen.words : r->step.op, what);
}

static void describe_ret(int64_t ret, char *text, size_t room)
{
	const char *name = ret < 0 ? strerrorname_np((int)-ret) : NULL;

	if (name)
		snprintf(text, room, "%s", name);
	else
		snprintf(text, room, "%" PRId64, ret);
}

static const struct vfm_field *find_gave(const struct vfm_op *op, const char *name)
{
	for (size_t i = 0; i < op->nr_gave; i++)
		if (!strcmp(op->gave[i].name, name))
			return &op->gave[i];
	return NULL;
}

/* The first thing that is not as it was; one is enough. */
static bool find_difference(const struct replay *r, char *text, size_t room)
{
	const struct vfm_step *then = &r->step;
	const struct seen *now = &r->seen;
	char ret[32];

	if (then->ret != now->op.ret) {
		describe_ret(then->ret, ret, sizeof(ret));
		snprintf(text, room, "it returned %s then", ret);
		return true;
	}
	for (size_t i = 0; i < then->nr_gave; i++) {
		const struct vfm_field *f = find_gave(&now->op, then->gave[i].name);

		if (f && f->value == then->gave[i].value)
			continue;
		snprintf(text, room, "%s was %" PRIu64 " (0x%" PRIx64 ") then", then->gave[i].name,
			 then->gave[i].value, then->gave[i].value);
		return true;
	}
	if (then->got_len == now->op.got_len && then->got_digest == now->digest)
		return false;
	snprintf(text, room, "other bytes came out then, %" PRIu64 " of them", then->got_len);
	return true;
}

static void compare(struct replay *r)
{
	char text[160];

	if (!r->seen.done)
		differs(r, "it could not be made again");
	else if (!r->step.ended)
		differs(r, "it did not come back then");
	else if (find_difference(r, text, sizeof(text)))
		differs(r, text);
}

/* ---- one line -------------------------------------------------------------------------- */

/* *@whole: all of its data is there. */
static int get_data(struct replay *r, bool *whole, struct vfm_err *err)
{
	const struct vfm_step *s = &r->step;
	size_t done = 0;
	int ret;

	*whole = s->place != VFM_TRACE_LOST && s->data_len <= VFM_REDO_ROOM;
	if (s->place == VFM_TRACE_HERE)
		memcpy(r->data, s->here, VFM_MIN(s->data_len, sizeof(s->here)));
	if (s->place != VFM_TRACE_FILE || !*whole)
		return 0;
	if (r->data_fd < 0 || s->data_at > INT64_MAX ||
	    lseek(r->data_fd, (off_t)s->data_at, SEEK_SET) < 0)
		return vfm_fail(err, -EBADMSG,
				"line %" PRIu64 ": its data is in a file that is not there",
				r->line);
	ret = vfm_read_more(r->data_fd, r->data, &done, (size_t)s->data_len, NULL);
	if (!ret && done < s->data_len)
		ret = vfm_fail(err, -EBADMSG, "line %" PRIu64 ": its data is cut off", r->line);
	return ret;
}

/* What a device does by itself it does when its user waits for it. */
static void serve(struct vfm_device *dev)
{
	struct pollfd p = { .fd = vfm_device_get_fd(dev), .events = POLLIN };

	if (p.fd >= 0 && poll(&p, 1, 0) > 0 && vfm_device_process(dev, NULL))
		return;
}

static int open_again(struct replay *r, struct vfm_err *err)
{
	const struct vfm_hooks hooks = { .after = after, .user = &r->seen };
	struct vfm_device *dev;
	int ret;

	vfm_device_close(r->dev);
	r->dev = NULL;
	ret = r->opts->open(r->opts->user, &dev, err);
	if (ret)
		return ret;
	ret = vfm_hook_open(&r->dev, dev, &hooks, err);
	if (ret)
		vfm_device_close(dev);
	r->sum->openings += !ret;
	return ret;
}

static int do_step(struct replay *r, struct vfm_err *err)
{
	const struct vfm_redo redo = {
		.dev = r->dev, .step = &r->step, .data = r->data, .buf = r->buf
	};
	bool whole;
	int ret;

	if (r->step.opens)
		return open_again(r, err);
	if (!r->dev)
		return vfm_fail(err, -EBADMSG, "line %" PRIu64 ": no device has been opened",
				r->line);
	ret = get_data(r, &whole, err);
	if (ret)
		return ret;
	if (!whole || !vfm_op_exists(r->step.op)) {
		r->sum->left_out++;
		return 0;
	}
	r->seen.done = false;
	serve(r->dev);
	vfm_redo(&redo);
	r->sum->operations++;
	compare(r);
	return 0;
}

/* ---- all of them ------------------------------------------------------------------------- */

/* 1: there is one in @line, 0: there are no more. */
static int next_line(struct replay *r, char line[VFM_TRACE_LINE], struct vfm_err *err)
{
	size_t len;

	if (!fgets(line, VFM_TRACE_LINE, r->lines))
		return ferror(r->lines) ? vfm_fail(err, -EIO, "read the trace") : 0;
	r->line++;
	len = strlen(line);
	if (len == VFM_TRACE_LINE - 1 && line[len - 1] != '\n')
		return vfm_fail(err, -EBADMSG, "line %" PRIu64 ": longer than %d bytes", r->line,
				VFM_TRACE_LINE);
	if (len && line[len - 1] == '\n')
		line[len - 1] = '\0';
	return 1;
}

static int replay_all(struct replay *r, struct vfm_err *err)
{
	char line[VFM_TRACE_LINE];
	int ret;

	while ((ret = next_line(r, line, err)) > 0) {
		ret = vfm_trace_parse(&r->step, line, err);
		if (ret) {
			vfm_fail_prefix(err, "line %" PRIu64 ": ", r->line);
			return ret;
		}
		ret = do_step(r, err);
		if (ret)
			return ret;
	}
	if (!ret && !r->line)
		return vfm_fail(err, -EBADMSG, "an empty file is no trace");
	return ret;
}

static int open_files(struct replay *r, const char *path, struct vfm_err *err)
{
	vfm_auto_free char *data = NULL;

	if (asprintf(&data, "%s" VFM_TRACE_DATA, path) < 0) {
		data = NULL;
		return vfm_fail(err, -ENOMEM, "no memory for a trace");
	}
	r->lines = fopen(path, "re");
	if (!r->lines)
		return vfm_fail(err, -errno, "open %s", path);
	r->data_fd = open(data, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	r->data = malloc(VFM_REDO_ROOM);
	r->buf = malloc(VFM_REDO_ROOM);
	return r->data && r->buf ? 0 : vfm_fail(err, -ENOMEM, "no memory for a trace");
}

VFM_API int vfm_replay(const char *path, const struct vfm_replay_opts *opts,
		       struct vfm_replay_summary *summary, struct vfm_err *err)
{
	struct replay r = { .opts = opts, .sum = summary, .data_fd = -1 };
	int ret;

	memset(summary, 0, sizeof(*summary));
	if (opts->size < sizeof(*opts) || !opts->open || !opts->differs)
		return vfm_fail(err, -EINVAL, "replay options of %zu bytes, or without calls",
				opts->size);
	ret = open_files(&r, path, err);
	if (!ret)
		ret = replay_all(&r, err);
	vfm_device_close(r.dev);
	if (r.lines)
		fclose(r.lines);
	vfm_close_fd(&r.data_fd);
	free(r.data);
	free(r.buf);
	return ret;
}
