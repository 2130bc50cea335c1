// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * One JSON object, written from the outside in: the one file of the command that
 * knows jansson. Texts may come from a peer or a file: what is no UTF-8 is made
 * to be some.
 */

#include "cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/io.h"
#include "base/util.h"

#define DEPTH_MAX 8

struct cmd_json {
	json_t *open[DEPTH_MAX]; /* those between the root and where we are, borrowed from it */
	size_t depth;
	bool bad;
};

struct cmd_json *cmd_json_new(void)
{
	struct cmd_json *j = (struct cmd_json *)calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->open[0] = json_object();
	j->depth = 1;
	j->bad = !j->open[0];
	return j;
}

void cmd_json_free(struct cmd_json *j)
{
	if (j)
		json_decref(j->open[0]);
	free(j);
}

/* Takes @value; NULL is a failure to make it. Without an object there is nowhere to put it. */
static void add(struct cmd_json *j, const char *key, json_t *value)
{
	json_t *into;

	if (!j) {
		json_decref(value);
		return;
	}
	into = j->open[j->depth - 1];
	if (key ? json_object_set_new(into, key, value) : json_array_append_new(into, value))
		j->bad = true;
}

void cmd_json_u64(struct cmd_json *j, const char *key, uint64_t value)
{
	/* JSON has no integer of 64 bits without a sign, jansson has one with */
	add(j, key,
	    value <= INT64_MAX ? json_integer((json_int_t)value) : json_real((double)value));
}

void cmd_json_bool(struct cmd_json *j, const char *key, bool value)
{
	add(j, key, json_boolean(value));
}

static json_t *make_text(const char *text)
{
	json_t *value = json_string(text);
	char copy[1024];

	if (value)
		return value;
	snprintf(copy, sizeof(copy), "%s", text);
	for (char *c = copy; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	return json_string(copy);
}

void cmd_json_text(struct cmd_json *j, const char *key, const char *text)
{
	add(j, key, text ? make_text(text) : json_null());
}

void cmd_json_hex(struct cmd_json *j, const char *key, int width, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "0x%0*" PRIx64, width, value);
	cmd_json_text(j, key, text);
}

static void open_with(struct cmd_json *j, const char *key, json_t *value)
{
	add(j, key, value);
	if (!j)
		return;
	if (j->depth < DEPTH_MAX)
		j->open[j->depth++] = value;
	else
		j->bad = true;
}

void cmd_json_open(struct cmd_json *j, const char *key)
{
	open_with(j, key, json_object());
}

void cmd_json_open_list(struct cmd_json *j, const char *key)
{
	open_with(j, key, json_array());
}

void cmd_json_close(struct cmd_json *j)
{
	if (j && j->depth > 1)
		j->depth--;
}

int cmd_json_line(struct cmd_json *j, int fd, unsigned int timeout_ms)
{
	const struct vfm_wait wait = { .timeout_ms = timeout_ms, .cancel_fd = -1 };
	char *text = j && !j->bad ? json_dumps(j->open[0], JSON_COMPACT) : NULL;
	struct iovec line[2] = { { text, text ? strlen(text) : 0 }, { (char[]){ '\n' }, 1 } };
	int ret = text ? vfm_writev_full(fd, line, 2, &wait) : -ENOMEM;

	free(text);
	return ret;
}

int cmd_json_write(struct cmd_json *j, FILE *out, struct vfm_err *err)
{
	if (!j || j->bad)
		return vfm_fail(err, -ENOMEM, "make the JSON object");
	errno = 0;
	if (json_dumpf(j->open[0], out, JSON_INDENT(2)) || fputc('\n', out) == EOF)
		return vfm_fail(err, errno ? -errno : -EIO, "write to %s",
				out == stdout ? "standard output" : "a file");
	return 0;
}

int cmd_json_print(struct cmd_json *j, struct vfm_err *err)
{
	return cmd_json_write(j, stdout, err);
}
