// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Faults by schedule: the n-th call, and no other, fails, is short, is late. A device
 * whose every call fails once is put through a whole save: each of these failures is an
 * error of the save, and none of them is lost.
 */

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <vfmig/vfmig.h>

#include "base/util.h"

static struct vfm_device *open_ok(const char *uri)
{
	struct vfm_device *dev = NULL;
	struct vfm_err err;

	if (vfm_open(&dev, uri, &err))
		fail_msg("%s: %s", uri, err.msg);
	return dev;
}

static void the_nth_call_fails_and_no_other(void **state)
{
	struct vfm_device *dev = open_ok("fault,fail=3:get_state,errno=ENODEV+sim:dma,state=64K");
	enum vfm_state now;
	struct vfm_err err;

	(void)state;
	for (int i = 1; i < 10; i++) {
		/* of other operations there may be as many as there will */
		assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RUNNING, NULL), 0);
		assert_int_equal(vfm_device_get_state(dev, &now, &err), i == 3 ? -ENODEV : 0);
		if (i == 3)
			assert_non_null(strstr(err.msg, "call 3 of get_state"));
	}
	vfm_device_close(dev);
}

static void without_an_operation_all_are_counted(void **state)
{
	struct vfm_device *dev = open_ok("fault,fail=2,errno=5+sim:dma,state=64K");
	enum vfm_state now;

	(void)state;
	assert_int_equal(vfm_device_get_state(dev, &now, NULL), 0);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, NULL), -EIO);
	/* it was not done */
	assert_int_equal(vfm_device_get_state(dev, &now, NULL), 0);
	assert_int_equal(now, VFM_STATE_RUNNING);
	vfm_device_close(dev);
}

static void the_nth_read_is_short(void **state)
{
	struct vfm_device *dev = open_ok("fault,short=2+sim:dma,state=64K");
	char buf[4096];

	(void)state;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, NULL), 0);
	assert_int_equal(vfm_device_read_data(dev, buf, sizeof(buf), NULL), 4096);
	assert_int_equal(vfm_device_read_data(dev, buf, sizeof(buf), NULL), 2048);
	assert_int_equal(vfm_device_read_data(dev, buf, sizeof(buf), NULL), 4096);
	vfm_device_close(dev);
	/* it is never none at all: that would be the end */
	dev = open_ok("fault,short=1:read_data+sim:dma,state=64K");
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, NULL), 0);
	assert_int_equal(vfm_device_read_data(dev, buf, 1, NULL), 1);
	vfm_device_close(dev);
}

static void the_nth_call_is_late(void **state)
{
	struct vfm_device *dev = open_ok("fault,late=2:get_state,ms=50+sim:dma,state=64K");
	enum vfm_state now;
	uint64_t begin;

	(void)state;
	assert_int_equal(vfm_device_get_state(dev, &now, NULL), 0);
	begin = vfm_now_ns();
	assert_int_equal(vfm_device_get_state(dev, &now, NULL), 0);
	assert_true(vfm_now_ns() - begin >= 50 * 1000000);
	vfm_device_close(dev);
}

static void schedules_that_make_no_sense_are_refused(void **state)
{
	static const struct {
		const char *params, *text;
	} wrong[] = {
		{ "fail=0", "N from 1" },
		{ "fail=x", "N from 1" },
		{ "fail=:reset", "N from 1" },
		{ "fail=1:rest", "no operation rest" },
		{ "fail=1,errno=EWHAT", "errno=EWHAT" },
		{ "fail=1,errno=0", "errno=0" },
		{ "fail=1,errno=4096", "errno=4096" },
		{ "late=1,ms=0", "ms" },
		{ "short=1:", "no operation " },
		{ "bug=state-off-by-one,fail=1", "in each fault" },
		{ "ms=3", "in each fault" },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(wrong); i++) {
		struct vfm_device *dev;
		struct vfm_err err;
		char uri[128];

		snprintf(uri, sizeof(uri), "fault,%s+sim:dma", wrong[i].params);
		assert_int_equal(vfm_open(&dev, uri, &err), -EINVAL);
		if (!strstr(err.msg, wrong[i].text))
			fail_msg("%s: %s", uri, err.msg);
	}
}

static int save(const char *uri, struct vfm_err *err)
{
	struct vfm_migrate_opts opts = VFM_MIGRATE_OPTS();
	struct vfm_migration_report report;
	struct vfm_device *dev = open_ok(uri);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int ret = vfm_save(dev, null, &opts, &report, err);

	close(null);
	vfm_device_close(dev);
	return ret;
}

/* Two faults, one behind the other, for one wrap has one schedule of a kind. */
static void a_save_fails_wherever_its_device_does(void **state)
{
	static const char *const ops[] = { "set_state", "read_chunk", "get_info" };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(ops); i++) {
		char uri[128];
		struct vfm_err err = { 0 };
		int ret;

		snprintf(uri, sizeof(uri), "fault,fail=1:%s,errno=EBADSLT+sim:dma,state=64K",
			 ops[i]);
		ret = save(uri, &err);
		assert_true(ret < 0);
		assert_non_null(strstr(err.msg, "as it is scheduled to"));
	}
	assert_int_equal(save("fault,short=1+fault,short=3+sim:dma,state=64K", NULL), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nth_call_fails_and_no_other),
		cmocka_unit_test(without_an_operation_all_are_counted),
		cmocka_unit_test(the_nth_read_is_short),
		cmocka_unit_test(the_nth_call_is_late),
		cmocka_unit_test(schedules_that_make_no_sense_are_refused),
		cmocka_unit_test(a_save_fails_wherever_its_device_does),
	};

	return RUN_TESTS(tests);
}
