// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* What people write: good and bad, and every message about the bad, as a table. */

#include "base/params.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "random.h"
#include "test.h"

static const struct {
	const char *text;
	int plain; /* what vfm_parse_u64() returns */
	int size;  /* what vfm_parse_size() returns */
	uint64_t value;
} numbers[] = {
	{ "0", 0, 0, 0 },
	{ "7", 0, 0, 7 },
	{ "007", 0, 0, 7 },
	{ "010", 0, 0, 10 },
	{ "0x10", 0, 0, 16 },
	{ "0XfF", 0, 0, 255 },
	{ "18446744073709551615", 0, 0, UINT64_MAX },
	{ "0xffffffffffffffff", 0, 0, UINT64_MAX },
	{ "18446744073709551616", -ERANGE, -ERANGE, 0 },
	{ "0x10000000000000000", -ERANGE, -ERANGE, 0 },
	{ "99999999999999999999999999", -ERANGE, -ERANGE, 0 },
	{ "", -EINVAL, -EINVAL, 0 },
	{ " 1", -EINVAL, -EINVAL, 0 },
	{ "1 ", -EINVAL, -EINVAL, 0 },
	{ "+1", -EINVAL, -EINVAL, 0 },
	{ "-1", -EINVAL, -EINVAL, 0 },
	{ "0x", -EINVAL, -EINVAL, 0 },
	{ "0xg", -EINVAL, -EINVAL, 0 },
	{ "0x-1", -EINVAL, -EINVAL, 0 },
	{ "1.5", -EINVAL, -EINVAL, 0 },
	{ "1e3", -EINVAL, -EINVAL, 0 },
	{ "K", -EINVAL, -EINVAL, 0 },
	{ "1K", -EINVAL, 0, 1024 },
	{ "1k", -EINVAL, 0, 1024 },
	{ "64M", -EINVAL, 0, 64 << 20 },
	{ "0x40m", -EINVAL, 0, 64 << 20 },
	{ "3G", -EINVAL, 0, UINT64_C(3) << 30 },
	{ "2T", -EINVAL, 0, UINT64_C(2) << 40 },
	{ "16777215T", -EINVAL, 0, UINT64_C(16777215) << 40 },
	{ "16777216T", -EINVAL, -ERANGE, 0 },
	{ "18014398509481984K", -EINVAL, -ERANGE, 0 },
	{ "1P", -EINVAL, -EINVAL, 0 },
	{ "1KB", -EINVAL, -EINVAL, 0 },
	{ "1MM", -EINVAL, -EINVAL, 0 },
	{ "1 M", -EINVAL, -EINVAL, 0 },
};

static void reads_numbers_and_sizes(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(numbers); i++) {
		uint64_t value = 1;

		assert_int_equal(vfm_parse_u64(numbers[i].text, &value), numbers[i].plain);
		if (!numbers[i].plain)
			assert_int_equal(value, numbers[i].value);
		assert_int_equal(vfm_parse_size(numbers[i].text, &value), numbers[i].size);
		if (!numbers[i].size)
			assert_int_equal(value, numbers[i].value);
	}
}

static void what_is_formatted_reads_the_same(void **state)
{
	uint64_t seed = 6, value, again;
	char text[32];

	(void)state;
	for (int i = 0; i < 20000; i++) {
		value = test_random(&seed) >> test_random_below(&seed, 64)
						      << test_random_below(&seed, 64);
		vfm_format_size(text, sizeof(text), value);
		assert_int_equal(vfm_parse_size(text, &again), 0);
		assert_int_equal(value, again);
	}
	vfm_format_size(text, sizeof(text), 0);
	assert_string_equal(text, "0");
	vfm_format_size(text, sizeof(text), 1536);
	assert_string_equal(text, "1536");
	vfm_format_size(text, sizeof(text), 64 << 20);
	assert_string_equal(text, "64M");
	vfm_format_size(text, sizeof(text), UINT64_C(1) << 50);
	assert_string_equal(text, "1024T");
	vfm_format_size(text, 3, 64 << 20);
	assert_string_equal(text, "64");
}

struct values {
	uint64_t state, seed, any;
	char name[8];
};

static int parse(const char *text, struct values *v, struct vfm_err *err)
{
	const struct vfm_param table[] = {
		{ "state", VFM_PARAM_SIZE, 4096, 1 << 30, &v->state, 0, "bytes of state" },
		{ "seed", VFM_PARAM_U64, 1, 65536, &v->seed, 0, "where it begins" },
		{ "any", VFM_PARAM_U64, 0, UINT64_MAX, &v->any, 0, "any number" },
		{ "name", VFM_PARAM_TEXT, 0, 0, v->name, sizeof(v->name), "a text" },
		{ 0 },
	};

	*v = (struct values){ 11, 12, 13, "none" };
	return vfm_parse_params("dev", text, table, err);
}

static const struct {
	const char *text;
	struct values want;
} good[] = {
	{ NULL, { 11, 12, 13, "none" } },
	{ "", { 11, 12, 13, "none" } },
	{ "state=64K", { 65536, 12, 13, "none" } },
	{ "seed=0x10", { 11, 16, 13, "none" } },
	{ "state=4096,seed=1", { 4096, 1, 13, "none" } },
	{ "state=1G,seed=65536,any=18446744073709551615,name=sevenup",
	  { 1 << 30, 65536, UINT64_MAX, "sevenup" } },
	{ "name=a=b", { 11, 12, 13, "a=b" } },
	{ "any=0,name==", { 11, 12, 0, "=" } },
};

static void good_parameters(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(good); i++) {
		struct vfm_err err = { 1, "untouched" };
		struct values v;

		assert_int_equal(parse(good[i].text, &v, &err), 0);
		assert_int_equal(v.state, good[i].want.state);
		assert_int_equal(v.seed, good[i].want.seed);
		assert_int_equal(v.any, good[i].want.any);
		assert_string_equal(v.name, good[i].want.name);
		assert_string_equal(err.msg, "untouched");
	}
}

#define UNKNOWN(name) "dev: unknown parameter \"" name "\"; there are: state, seed, any, name"

static const struct {
	const char *text;
	const char *message;
} bad[] = {
	{ "size=1", UNKNOWN("size") },
	{ "stat=1", UNKNOWN("stat") },
	{ "states=1", UNKNOWN("states") },
	{ "State=1", UNKNOWN("State") },
	{ " state=4096", UNKNOWN(" state") },
	{ ",", UNKNOWN("") },
	{ "=", UNKNOWN("") },
	{ "state=4096,", UNKNOWN("") },
	{ ",state=4096", UNKNOWN("") },
	{ "seed=1,,any=1", UNKNOWN("") },
	{ "state", "dev: state needs a value: state=..." },
	{ "state=", "dev: state needs a value: state=..." },
	{ "any=1,name=,seed=1", "dev: name needs a value: name=..." },
	{ "seed=1,seed=2", "dev: seed stands twice" },
	{ "name=a,any=1,name=a", "dev: name stands twice" },
	{ "state=big", "dev: state=big is not a size such as 64M" },
	{ "state=64MB", "dev: state=64MB is not a size such as 64M" },
	{ "state=-1", "dev: state=-1 is not a size such as 64M" },
	{ "state=16777216T", "dev: state=16777216T is not a size such as 64M" },
	{ "seed=1K", "dev: seed=1K is not a number" },
	{ "state=4095", "dev: state=4095 is not between 4K and 1G" },
	{ "state=2G", "dev: state=2G is not between 4K and 1G" },
	/* bounds of a number stand there as it can be written */
	{ "seed=0", "dev: seed=0 is not between 1 and 65536" },
	{ "seed=65537", "dev: seed=65537 is not between 1 and 65536" },
	{ "any=18446744073709551616", "dev: any=18446744073709551616 is not a number" },
	{ "name=eighteen", "dev: name is longer than 7 bytes" },
};

static void bad_parameters_and_what_is_said_of_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(bad); i++) {
		struct vfm_err err = { 0 };
		struct values v;

		assert_int_equal(parse(bad[i].text, &v, &err), -EINVAL);
		assert_int_equal(err.code, -EINVAL);
		assert_string_equal(err.msg, bad[i].message);
		assert_int_equal(parse(bad[i].text, &v, NULL), -EINVAL);
	}
}

static void long_names_are_cut_in_the_message(void **state)
{
	char text[4096], want[128];
	struct vfm_err err;
	struct values v;

	(void)state;
	memset(text, 'n', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	snprintf(want, sizeof(want), "dev: unknown parameter \"%.64s\"; there", text);
	assert_int_equal(parse(text, &v, &err), -EINVAL);
	assert_memory_equal(err.msg, want, strlen(want));
}

/* A table with more names than a message holds. */
static void a_long_table(void **state)
{
	char names[64][16];
	struct vfm_param table[65] = { 0 };
	uint64_t values[64] = { 0 };
	struct vfm_err err;

	(void)state;
	for (int i = 0; i < 64; i++) {
		snprintf(names[i], sizeof(names[i]), "parameter%02d", i);
		table[i] = (struct vfm_param){ names[i], VFM_PARAM_U64, 0, 9, &values[i], 0, "" };
	}
	assert_int_equal(vfm_parse_params("dev", "nothing=1", table, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "there are: parameter00, parameter01, "));
	assert_int_equal(vfm_parse_params("dev", "parameter63=4,parameter00=5", table, &err), 0);
	assert_int_equal(values[63], 4);
	assert_int_equal(values[0], 5);
	assert_int_equal(vfm_parse_params("dev", "parameter63=4,parameter63=5", table, &err),
			 -EINVAL);
	assert_string_equal(err.msg, "dev: parameter63 stands twice");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_numbers_and_sizes),
		cmocka_unit_test(what_is_formatted_reads_the_same),
		cmocka_unit_test(good_parameters),
		cmocka_unit_test(bad_parameters_and_what_is_said_of_them),
		cmocka_unit_test(long_names_are_cut_in_the_message),
		cmocka_unit_test(a_long_table),
	};

	return RUN_TESTS(tests);
}
