// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Errors: texts of every length, and prefixes of every length before them. */

#include <vfmig/error.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "test.h"

static void fills_in_code_and_text(void **state)
{
	struct vfm_err err;

	(void)state;
	memset(&err, 0x5a, sizeof(err));
	assert_int_equal(vfm_fail(&err, -EPROTO, "size %d of \"%s\"", 7, "it"), -EPROTO);
	assert_int_equal(err.code, -EPROTO);
	assert_string_equal(err.msg, "size 7 of \"it\"");
}

static void needs_no_error_to_fill_in(void **state)
{
	(void)state;
	assert_int_equal(vfm_fail(NULL, -ENOMEM, "no memory"), -ENOMEM);
	assert_int_equal(vfm_fail_prefix(NULL, "while opening"), -EIO);
}

static void cuts_what_is_too_long(void **state)
{
	char text[2 * VFM_ERR_TEXT];
	struct vfm_err err;

	(void)state;
	for (size_t len = 0; len < sizeof(text); len++) {
		memset(text, 'x', len);
		text[len] = '\0';
		memset(&err, 0x5a, sizeof(err));
		vfm_fail(&err, -EIO, "%s", text);
		assert_int_equal(strlen(err.msg), len < VFM_ERR_TEXT ? len : VFM_ERR_TEXT - 1);
		assert_int_equal(strspn(err.msg, "x"), strlen(err.msg));
	}
}

static void check_prefix(size_t old_len, size_t prefix_len)
{
	char old[2 * VFM_ERR_TEXT], prefix[2 * VFM_ERR_TEXT], want[4 * VFM_ERR_TEXT + 2];
	struct vfm_err err;

	memset(old, 'o', old_len);
	old[old_len] = '\0';
	memset(prefix, 'p', prefix_len);
	prefix[prefix_len] = '\0';
	memset(&err, 0x5a, sizeof(err));
	vfm_fail(&err, -ENOENT, "%s", old);
	assert_int_equal(vfm_fail_prefix(&err, "%s", prefix), -ENOENT);
	assert_int_equal(err.code, -ENOENT);
	snprintf(want, sizeof(want), "%s: %s", prefix, old);
	want[VFM_ERR_TEXT - 1] = '\0';
	assert_string_equal(err.msg, want);
}

static void prefixes_of_every_length(void **state)
{
	(void)state;
	for (size_t prefix = 0; prefix < VFM_ERR_TEXT + 4; prefix++) {
		check_prefix(0, prefix);
		check_prefix(11, prefix);
		check_prefix(VFM_ERR_TEXT + 9, prefix);
		check_prefix(VFM_ERR_TEXT - 3 - (prefix < VFM_ERR_TEXT - 3 ? prefix : 0), prefix);
	}
}

/* An error may be put into other words of its own. */
static void text_may_be_made_of_the_old_text(void **state)
{
	struct vfm_err err;

	(void)state;
	vfm_fail(&err, -EIO, "inner");
	vfm_fail(&err, -EBADMSG, "outer [%s] [%s]", err.msg, err.msg);
	assert_string_equal(err.msg, "outer [inner] [inner]");
	vfm_fail_prefix(&err, "<%s>", err.msg);
	assert_string_equal(err.msg, "<outer [inner] [inner]>: outer [inner] [inner]");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(fills_in_code_and_text),
		cmocka_unit_test(needs_no_error_to_fill_in),
		cmocka_unit_test(cuts_what_is_too_long),
		cmocka_unit_test(prefixes_of_every_length),
		cmocka_unit_test(text_may_be_made_of_the_old_text),
	};

	return RUN_TESTS(tests);
}
