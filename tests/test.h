// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* What cmocka wants to be included before it, and the way in which we run it. */

#ifndef VFM_TESTS_TEST_H
#define VFM_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* RUN_TESTS() - the end of main(): run a static array of tests, print TAP. */
#define RUN_TESTS(tests)                                                                           \
	(cmocka_set_message_output(CM_OUTPUT_TAP), cmocka_run_group_tests(tests, NULL, NULL))

#endif
