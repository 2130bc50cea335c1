// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Text that people write: sizes, numbers, and lists "key=value,key=value". */

#ifndef VFM_BASE_PARAMS_H
#define VFM_BASE_PARAMS_H

#include <stddef.h>
#include <stdint.h>

#include <vfmig/error.h>

/** vfm_parse_u64() - a whole number, decimal or 0x; -EINVAL, -ERANGE. */
int vfm_parse_u64(const char *text, uint64_t *value) VFM_MUST_CHECK;

/** vfm_parse_size() - the same with an optional K, M, G or T (powers of 1024). */
int vfm_parse_size(const char *text, uint64_t *value) VFM_MUST_CHECK;

/** vfm_format_size() - "64M", or plain bytes when no unit divides it. */
void vfm_format_size(char *buf, size_t len, uint64_t value);

enum vfm_param_type { VFM_PARAM_U64, VFM_PARAM_SIZE, VFM_PARAM_TEXT };

/**
 * struct vfm_param - one parameter that is understood; a table of them ends with name NULL
 * @name: before the =
 * @type: how it reads
 * @min, @max: bounds of a number, both included
 * @value: a uint64_t, or a char array
 * @room: size of the char array
 * @help: one line
 */
struct vfm_param {
	const char *name;
	enum vfm_param_type type;
	uint64_t min, max;
	void *value;
	size_t room;
	const char *help;
};

/**
 * vfm_parse_params() - "state=64M,seed=3" by a table; "" and NULL are no parameters
 * @who: begins the error text
 *
 * -EINVAL: the text names the parameter that is unknown, lacks a value, stands
 * twice, or is out of its bounds, and says what would be right.
 */
int vfm_parse_params(const char *who, const char *text, const struct vfm_param *table,
		     struct vfm_err *err) VFM_MUST_CHECK;

#endif
