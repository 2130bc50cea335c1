// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Migrations in one process that must succeed, and what they must have moved. */

#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void every_feature_set(void **state)
{
	static const int features[] = { 1, 3, 5, 7 };

	(void)state;
	for (int i = 0; i < 4; i++) {
		for (int memory = 0; memory < 2; memory++) {
			char params[64];
			struct rig r;

			snprintf(params, sizeof(params), "state=3M,initial=1M,features=%d",
				 features[i]);
			rig_open(&r, params, memory ? 4 << 20 : 0);
			rig_start(&r, 0);
			rig_step(r.src, memory ? 3000 : 0, 50);
			assert_int_equal(rig_migrate(&r, NULL), 0);
			rig_check_moved(&r);
			assert_true(r.report.state_bytes >= 3 << 20);
			assert_int_equal(r.report.rounds, memory || features[i] & 4 ? 1 : 0);
			assert_false(r.report.all_dirty);
			rig_close(&r);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_feature_set),
	};

	return RUN_TESTS(tests);
}
