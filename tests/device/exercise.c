// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Loading exercises: what is taken, and what is said about what is not. */

#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vfmig/vfmig.h>

/* Set by meson: where the objects are. */
static const char *folder(void)
{
	const char *text = getenv("EXERCISES");

	assert_non_null(text);
	return text;
}

static int load(const struct vfm_exercise **out, const char *name, struct vfm_err *err)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s.so", folder(), name);
	return vfm_exercise_load(out, path, err);
}

static void wrong_ones_are_refused(void **state)
{
	static const struct {
		const char *name;
		int result;
		const char *text;
	} rows[] = {
		{ "exercise-version", -EINVAL, "made for interface 2, this is 1" },
		{ "exercise-endless", -EINVAL, "lacks end" },
		{ "exercise-none", -EINVAL, "exports no exercise" },
		{ "nothing", -ENOENT, "nothing.so" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct vfm_exercise *exercise = NULL;
		struct vfm_err err = { .msg = "" };

		assert_int_equal(load(&exercise, rows[i].name, &err), rows[i].result);
		assert_null(exercise);
		assert_int_equal(err.code, rows[i].result);
		if (!strstr(err.msg, rows[i].text))
			fail_msg("%s: %s", rows[i].name, err.msg);
		assert_int_equal(load(&exercise, rows[i].name, NULL), rows[i].result);
	}
}

/* One that was built against an older header: what it has not heard of is missing. */
static void a_short_one_is_filled_up(void **state)
{
	const struct vfm_exercise *exercise;
	struct vfm_err err;

	(void)state;
	if (load(&exercise, "exercise-short", &err))
		fail_msg("%s", err.msg);
	assert_non_null(exercise->begin);
	assert_non_null(exercise->end);
	assert_null(exercise->stream);
	/* it stands behind the end of that struct, whatever is there */
	assert_null(exercise->change);
	vfm_exercise_unload(exercise);
	vfm_exercise_unload(NULL);
}

static void a_name_is_one_in_the_working_directory(void **state)
{
	const struct vfm_exercise *exercise;
	struct vfm_err err;

	(void)state;
	assert_int_equal(chdir(folder()), 0);
	if (vfm_exercise_load(&exercise, "exercise-short.so", &err))
		fail_msg("%s", err.msg);
	vfm_exercise_unload(exercise);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_ones_are_refused),
		cmocka_unit_test(a_short_one_is_filled_up),
		cmocka_unit_test(a_name_is_one_in_the_working_directory),
	};

	return RUN_TESTS(tests);
}
