// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "base/params.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/util.h"

static const char units[] = "KMGT";

/* Digits at the start of @text; *end is what follows them. */
static int parse_digits(const char *text, uint64_t *value, const char **end)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	char *stop;

	if (!isdigit((unsigned char)text[0]) || (hex && !isxdigit((unsigned char)text[2])))
		return -EINVAL;
	errno = 0;
	*value = strtoull(text, &stop, hex ? 16 : 10);
	*end = stop;
	return -errno;
}

int vfm_parse_u64(const char *text, uint64_t *value)
{
	const char *end;
	int ret = parse_digits(text, value, &end);

	return ret ? ret : *end ? -EINVAL : 0;
}

int vfm_parse_size(const char *text, uint64_t *value)
{
	const char *end, *unit;
	int ret = parse_digits(text, value, &end);

	if (ret || !*end)
		return ret;
	unit = strchr(units, toupper((unsigned char)*end));
	if (!unit || end[1])
		return -EINVAL;
	if (__builtin_mul_overflow(*value, UINT64_C(1) << (10 * (unit - units + 1)), value))
		return -ERANGE;
	return 0;
}

void vfm_format_size(char *buf, size_t len, uint64_t value)
{
	size_t unit = 0;

	while (value && value % 1024 == 0 && unit < strlen(units)) {
		value /= 1024;
		unit++;
	}
	snprintf(buf, len, "%" PRIu64 "%.1s", value, unit ? &units[unit - 1] : "");
}

static const struct vfm_param *find_param(const struct vfm_param *table, const char *name,
					  size_t len)
{
	for (; table->name; table++)
		if (strlen(table->name) == len && !memcmp(table->name, name, len))
			return table;
	return NULL;
}

/* "state, dirty, seed" */
static const char *list_params(const struct vfm_param *table, char *buf, size_t len)
{
	size_t used = 0;

	buf[0] = '\0';
	for (; table->name && used < len; table++)
		used += (size_t)snprintf(buf + used, len - used, "%s%s", used ? ", " : "",
					 table->name);
	return buf;
}

/* A bound in the form in which the parameter may be written. */
static const char *format_bound(char *buf, size_t len, const struct vfm_param *p, uint64_t bound)
{
	if (p->type == VFM_PARAM_SIZE)
		vfm_format_size(buf, len, bound);
	else
		snprintf(buf, len, "%" PRIu64, bound);
	return buf;
}

static int set_number(const char *who, const struct vfm_param *p, const char *text,
		      struct vfm_err *err)
{
	char min[32], max[32];
	uint64_t value;
	int ret = p->type == VFM_PARAM_SIZE ? vfm_parse_size(text, &value)
					    : vfm_parse_u64(text, &value);

	if (ret)
		return vfm_fail(err, -EINVAL, "%s: %s=%s is not a %s", who, p->name, text,
				p->type == VFM_PARAM_SIZE ? "size such as 64M" : "number");
	if (value < p->min || value > p->max)
		return vfm_fail(err, -EINVAL, "%s: %s=%s is not between %s and %s", who, p->name,
				text, format_bound(min, sizeof(min), p, p->min),
				format_bound(max, sizeof(max), p, p->max));
	*(uint64_t *)p->value = value;
	return 0;
}

static int set_param(const char *who, const struct vfm_param *p, const char *text,
		     struct vfm_err *err)
{
	if (p->type != VFM_PARAM_TEXT)
		return set_number(who, p, text, err);
	if (strlen(text) >= p->room)
		return vfm_fail(err, -EINVAL, "%s: %s is longer than %zu bytes", who, p->name,
				p->room - 1);
	memcpy(p->value, text, strlen(text) + 1);
	return 0;
}

/* Split at commas in place; @seen has a bit for each row of the table. */
static int parse_one(const char *who, char *word, const struct vfm_param *table, uint64_t *seen,
		     struct vfm_err *err)
{
	char known[256];
	char *equals = strchr(word, '=');
	size_t len = equals ? (size_t)(equals - word) : strlen(word);
	const struct vfm_param *p = find_param(table, word, len);
	uint64_t bit;

	if (!p)
		return vfm_fail(err, -EINVAL, "%s: unknown parameter \"%.*s\"; there are: %s", who,
				(int)VFM_MIN(len, 64), word,
				list_params(table, known, sizeof(known)));
	if (!equals || !equals[1])
		return vfm_fail(err, -EINVAL, "%s: %s needs a value: %s=...", who, p->name,
				p->name);
	assert(p - table < 64);
	bit = UINT64_C(1) << (p - table);
	if (*seen & bit)
		return vfm_fail(err, -EINVAL, "%s: %s stands twice", who, p->name);
	*seen |= bit;
	return set_param(who, p, equals + 1, err);
}

int vfm_parse_params(const char *who, const char *text, const struct vfm_param *table,
		     struct vfm_err *err)
{
	vfm_auto_free char *copy = NULL;
	uint64_t seen = 0;
	char *rest, *word;

	if (!text || !*text)
		return 0;
	copy = strdup(text);
	if (!copy)
		return vfm_fail(err, -ENOMEM, "%s: no memory for parameters", who);
	rest = copy;
	while ((word = strsep(&rest, ","))) {
		int ret = parse_one(who, word, table, &seen, err);

		if (ret)
			return ret;
	}
	return 0;
}
