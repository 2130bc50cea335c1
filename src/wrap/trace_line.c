// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A line of a trace, written and read: JSON, and the one file of this folder that knows
 * jansson. A line that is read is as hostile as any other file.
 */

#include "wrap/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/params.h"
#include "base/util.h"

uint64_t vfm_trace_digest(const void *data, size_t len)
{
	return vfm_checksum(data, len, 0);
}

/* ---- writing ------------------------------------------------------------------- */

static json_t *make_hex(uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%" PRIx64, value);
	return json_string(text);
}

/* JSON has no integer of 64 bits without a sign. */
static json_t *make_value(const struct vfm_field *f)
{
	if (f->kind == VFM_FIELD_HEX || f->value > INT64_MAX)
		return make_hex(f->value);
	return json_integer((json_int_t)f->value);
}

static json_t *make_fields(const struct vfm_field *fields, size_t count)
{
	json_t *object = json_object();

	for (size_t i = 0; i < count; i++)
		json_object_set_new(object, fields[i].name, make_value(&fields[i]));
	return object;
}

static json_t *make_bytes(const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *bytes = data;
	char text[VFM_TRACE_INLINE * 2 + 1];

	for (size_t i = 0; i < len; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	text[2 * len] = '\0';
	return json_string(text);
}

/* Texts come from devices: what is no UTF-8 is left out. */
static void set_text(json_t *object, const char *key, const char *text)
{
	json_object_set_new(object, key, json_string(text) ?: json_string("?"));
}

static char *dump(json_t *object)
{
	char *text = json_dumps(object, JSON_COMPACT);

	json_decref(object);
	return text;
}

char *vfm_trace_head(const char *uri)
{
	json_t *head = json_object();

	json_object_set_new(head, "vfmig_trace", json_integer(VFM_TRACE_VERSION));
	set_text(head, "uri", uri);
	json_object_set_new(head, "pid", json_integer(getpid()));
	return dump(head);
}

char *vfm_trace_begin(const struct vfm_op *op, uint64_t us, enum vfm_trace_place place, uint64_t at)
{
	json_t *half = json_object();
	char *text;

	json_object_set_new(half, "at_us", json_integer((json_int_t)us));
	json_object_set_new(half, "op", json_string(op->name));
	json_object_set_new(half, "args", make_fields(op->args, op->nr_args));
	if (place == VFM_TRACE_HERE)
		json_object_set_new(half, "data", make_bytes(op->data, op->data_len));
	if (place == VFM_TRACE_FILE)
		json_object_set_new(half, "data_at", json_integer((json_int_t)at));
	if (place == VFM_TRACE_FILE || place == VFM_TRACE_LOST)
		json_object_set_new(half, "data_size", json_integer((json_int_t)op->data_len));
	text = dump(half);
	/* the end of the object is in the other half */
	if (text)
		text[strlen(text) - 1] = '\0';
	return text;
}

char *vfm_trace_end(const struct vfm_op *op)
{
	json_t *half = json_object();
	char *text;

	json_object_set_new(half, "ret", json_integer((json_int_t)op->ret));
	if (op->nr_gave)
		json_object_set_new(half, "gave", make_fields(op->gave, op->nr_gave));
	if (op->got_len && op->got_len <= VFM_TRACE_INLINE)
		json_object_set_new(half, "got", make_bytes(op->got, op->got_len));
	if (op->got_len) {
		json_object_set_new(half, "got_size", json_integer((json_int_t)op->got_len));
		json_object_set_new(half, "got_digest",
				    make_hex(vfm_trace_digest(op->got, op->got_len)));
	}
	if (op->text)
		set_text(half, op->ret < 0 ? "error" : "text", op->text);
	json_object_set_new(half, "us", json_integer((json_int_t)op->us));
	text = dump(half);
	if (text)
		text[0] = ',';
	return text;
}

/* ---- reading ------------------------------------------------------------------- */

static int read_value(const json_t *value, uint64_t *out)
{
	if (json_is_string(value))
		return vfm_parse_u64(json_string_value(value), out);
	if (!json_is_integer(value))
		return -EINVAL;
	*out = (uint64_t)json_integer_value(value);
	return 0;
}

/* @key absent is @standard. */
static int read_member(const json_t *line, const char *key, uint64_t standard, uint64_t *out)
{
	const json_t *value = json_object_get(line, key);

	*out = standard;
	return value ? read_value(value, out) : 0;
}

static int read_fields(json_t *object, struct vfm_trace_value *fields, size_t *count)
{
	const char *name;
	json_t *value;

	json_object_foreach(object, name, value)
	{
		struct vfm_trace_value *f = &fields[*count];

		if (*count == VFM_OP_FIELDS || strlen(name) >= sizeof(f->name) ||
		    read_value(value, &f->value))
			return -EINVAL;
		memcpy(f->name, name, strlen(name) + 1);
		++*count;
	}
	return 0;
}

static int read_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int read_here(struct vfm_step *step, const char *text)
{
	size_t len = strlen(text);

	if (len % 2 || len / 2 > sizeof(step->here))
		return -EINVAL;
	for (size_t i = 0; i < len / 2; i++) {
		int high = read_digit(text[2 * i]), low = read_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		step->here[i] = (uint8_t)(high << 4 | low);
	}
	step->place = VFM_TRACE_HERE;
	step->data_len = len / 2;
	return 0;
}

static int read_data_place(struct vfm_step *step, json_t *line)
{
	const char *here = json_string_value(json_object_get(line, "data"));

	if (here)
		return read_here(step, here);
	if (!json_object_get(line, "data_size"))
		return 0;
	step->place = json_object_get(line, "data_at") ? VFM_TRACE_FILE : VFM_TRACE_LOST;
	return read_member(line, "data_at", 0, &step->data_at) ||
			       read_member(line, "data_size", 0, &step->data_len)
		       ? -EINVAL
		       : 0;
}

static int read_result(struct vfm_step *step, json_t *line)
{
	const json_t *ret = json_object_get(line, "ret");

	if (!ret)
		return 0;
	step->ended = true;
	step->ret = json_integer_value(ret);
	if (!json_is_integer(ret) ||
	    read_fields(json_object_get(line, "gave"), step->gave, &step->nr_gave))
		return -EINVAL;
	return read_member(line, "got_size", 0, &step->got_len) ||
			       read_member(line, "got_digest", 0, &step->got_digest)
		       ? -EINVAL
		       : 0;
}

static int read_line(struct vfm_step *step, json_t *line, struct vfm_err *err)
{
	const char *op = json_string_value(json_object_get(line, "op"));
	uint64_t version;

	*step = (struct vfm_step){ .opens = json_object_get(line, "vfmig_trace") != NULL };
	if (step->opens) {
		if (read_member(line, "vfmig_trace", 0, &version) || version != VFM_TRACE_VERSION)
			return vfm_fail(err, -EBADMSG, "a trace of another version than %d",
					VFM_TRACE_VERSION);
		return 0;
	}
	if (!op || strlen(op) >= sizeof(step->op) ||
	    read_fields(json_object_get(line, "args"), step->args, &step->nr_args) ||
	    read_data_place(step, line) || read_result(step, line))
		return vfm_fail(err, -EBADMSG, "not a line of a trace");
	memcpy(step->op, op, strlen(op) + 1);
	return 0;
}

int vfm_trace_parse(struct vfm_step *step, const char *line, struct vfm_err *err)
{
	char closed[VFM_TRACE_LINE + 2];
	json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	int ret;

	if (!object && strlen(line) <= VFM_TRACE_LINE) {
		snprintf(closed, sizeof(closed), "%s}", line);
		object = json_loads(closed, JSON_REJECT_DUPLICATES, NULL);
	}
	if (!json_is_object(object))
		ret = vfm_fail(err, -EBADMSG, "not a line of a trace");
	else
		ret = read_line(step, object, err);
	json_decref(object);
	return ret;
}

uint64_t vfm_step_arg(const struct vfm_step *step, const char *name)
{
	for (size_t i = 0; i < step->nr_args; i++)
		if (!strcmp(step->args[i].name, name))
			return step->args[i].value;
	return 0;
}
