// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* An operation in words. */

#include "wrap/hook.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

/* A line that grows, and is cut where there is no more room. */
struct line {
	char *text;
	size_t room, used;
};

static void say(struct line *l, const char *fmt, ...) VFM_PRINTF(2, 3);

static void say(struct line *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->text + l->used, l->room - l->used, fmt, ap);
	va_end(ap);
	if (n > 0)
		l->used = VFM_MIN(l->used + (size_t)n, l->room - 1);
}

static void say_field(struct line *l, const struct vfm_field *f)
{
	if (f->kind == VFM_FIELD_STATE)
		say(l, "%s %" PRIu64, vfm_state_name((enum vfm_state)f->value), f->value);
	else if (f->kind == VFM_FIELD_HEX)
		say(l, "%s 0x%" PRIx64, f->name, f->value);
	else if (f->kind == VFM_FIELD_COUNT)
		say(l, "%s %" PRIu64, f->name, f->value);
	else
		say(l, "%s%s", f->value ? "" : "not ", f->name);
}

/* Returns what separates the next from these. */
static const char *say_fields(struct line *l, const struct vfm_field *fields, size_t count,
			      const char *between)
{
	for (size_t i = 0; i < count; i++) {
		say(l, "%s", between);
		say_field(l, &fields[i]);
		between = ", ";
	}
	return between;
}

/* What a small access has moved is a number; of more only the size is told. */
static void say_bytes(struct line *l, const char *between, const void *bytes, size_t len)
{
	uint64_t value = 0;

	if (!len)
		return;
	if (len > sizeof(value)) {
		say(l, "%s%zu bytes", between, len);
		return;
	}
	memcpy(&value, bytes, len);
	say(l, "%s%zu bytes 0x%" PRIx64, between, len, value);
}

static void say_result(struct line *l, const struct vfm_op *op)
{
	const char *between;

	if (op->ret < 0) {
		say(l, "%s: %s", strerrorname_np((int)-op->ret) ?: "error", op->text);
		return;
	}
	say(l, "%" PRId64, op->ret);
	between = say_fields(l, op->gave, op->nr_gave, ": ");
	say_bytes(l, between[0] == ',' ? between : ": ", op->got, op->got_len);
	if (op->text)
		say(l, "%s%s", between, op->text);
}

void vfm_op_words(const struct vfm_op *op, char *text, size_t room)
{
	struct line l = { text, room, 0 };
	const char *between;

	say(&l, "%s(", op->name);
	between = say_fields(&l, op->args, op->nr_args, "");
	say_bytes(&l, between, op->data, op->data_len);
	if (!op->done) {
		say(&l, ") ...");
		return;
	}
	say(&l, ") = ");
	say_result(&l, op);
	say(&l, " (%" PRIu64 " us)", op->us);
}
