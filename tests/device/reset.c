// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Reset wins over whoever uses the device: from inside a callback, and from
 * another thread in the middle of anything. Made for the thread sanitizer, too.
 */

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <vfmig/vfmig.h>

#include "toy.h"

static void reset_from_a_callback_comes_after_it(void **unused)
{
	struct vfm_device *dev;
	enum vfm_state state;
	uint8_t byte = 0xff;

	(void)unused;
	assert_int_equal(vfm_device_from_driver(&dev, &toy_driver, NULL, NULL), 0);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, NULL), 0);
	toy_last->reset_in_access = true;
	assert_int_equal(vfm_device_write_region(dev, 0, 0, &byte, 1, NULL), 0);
	assert_int_equal(toy_last->resets, 1);
	assert_int_equal(vfm_device_get_state(dev, &state, NULL), 0);
	assert_int_equal(state, VFM_STATE_RUNNING);
	/* The fresh state, not the byte that was written. */
	assert_int_equal(vfm_device_read_region(dev, 0, 0, &byte, 1, NULL), 0);
	assert_int_equal(byte, 1);
	vfm_device_close(dev);
}

struct race {
	struct vfm_device *dev;
	atomic_bool stop;
	atomic_uint resets;
};

static void *reset_again_and_again(void *user)
{
	struct race *race = user;

	while (!atomic_load(&race->stop))
		if (!vfm_device_reset(race->dev, NULL))
			atomic_fetch_add(&race->resets, 1);
	return NULL;
}

static void reset_races_with_everything(void **unused)
{
	static const enum vfm_state targets[] = { VFM_STATE_PRE_COPY, VFM_STATE_STOP_COPY,
						  VFM_STATE_RESUMING, VFM_STATE_STOP,
						  VFM_STATE_RUNNING_P2P };
	struct race race = { 0 };
	uint8_t buf[1000] = { 0 };
	pthread_t thread;
	enum vfm_state state;
	bool driver_was_reset;

	(void)unused;
	assert_int_equal(vfm_device_from_driver(&race.dev, &toy_driver, NULL, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, reset_again_and_again, &race), 0);
	for (unsigned int i = 0; i < 3000; i++) {
		int ret = vfm_device_set_state(race.dev, targets[i % 5], NULL);

		assert_true(ret == 0 || ret == -EINVAL || ret == -EBADMSG);
		ret = (int)vfm_device_read_data(race.dev, buf, 1 + i % sizeof(buf), NULL);
		assert_true(ret >= 0 || ret == -EINVAL || ret == -ENOMSG);
		ret = vfm_device_write_data(race.dev, buf, i % 30, NULL);
		assert_true(ret == 0 || ret == -EINVAL || ret == -EBADMSG);
	}
	while (!atomic_load(&race.resets))
		;
	atomic_store(&race.stop, true);
	pthread_join(thread, NULL);
	driver_was_reset = toy_last->resets > 0;
	assert_true(driver_was_reset);
	assert_int_equal(vfm_device_reset(race.dev, NULL), 0);
	assert_int_equal(vfm_device_get_state(race.dev, &state, NULL), 0);
	assert_int_equal(state, VFM_STATE_RUNNING);
	vfm_device_close(race.dev);
}

static void drivers_that_lack_something_are_refused(void **unused)
{
	struct vfm_device *dev;
	struct vfm_err err;
	struct {
		struct vfm_driver driver;
		const char *text;
	} rows[9];
	size_t n = 0;

	(void)unused;
	for (size_t i = 0; i < 9; i++)
		rows[i].driver = toy_driver;
	rows[n].driver.model = NULL, rows[n++].text = "model";
	rows[n].driver.close = NULL, rows[n++].text = "close";
	rows[n].driver.record_max = 0, rows[n++].text = "record_max";
	rows[n].driver.record_max = VFM_RECORD_LIMIT + 1, rows[n++].text = "record_max";
	rows[n].driver.save = NULL, rows[n++].text = "save";
	rows[n].driver.load = NULL, rows[n++].text = "load";
	rows[n].driver.data_size = NULL, rows[n++].text = "data_size";
	rows[n].driver.pending = NULL, rows[n++].text = "pending";
	/* An older driver whose struct ends before load(). */
	rows[n].driver.size = offsetof(struct vfm_driver, load), rows[n++].text = "load";
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(vfm_device_from_driver(&dev, &rows[i].driver, NULL, &err),
				 -EINVAL);
		assert_non_null(strstr(err.msg, rows[i].text));
	}
	assert_int_equal(vfm_device_from_driver(&dev, &toy_driver, "refuse", &err), -EINVAL);
	assert_non_null(strstr(err.msg, "told to refuse"));
}

static void a_driver_may_be_unable_to_migrate(void **unused)
{
	struct vfm_driver driver = toy_driver;
	struct vfm_device *dev;
	enum vfm_state state;
	uint64_t migration;

	(void)unused;
	driver.migration = 0;
	driver.reset = NULL;
	assert_int_equal(vfm_device_from_driver(&dev, &driver, NULL, NULL), 0);
	assert_int_equal(vfm_device_get_migration(dev, &migration, NULL), -ENOTTY);
	assert_int_equal(vfm_device_get_state(dev, &state, NULL), -ENOTTY);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, NULL), -ENOTTY);
	assert_int_equal(vfm_device_reset(dev, NULL), -ENOTTY);
	vfm_device_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reset_from_a_callback_comes_after_it),
		cmocka_unit_test(reset_races_with_everything),
		cmocka_unit_test(drivers_that_lack_something_are_refused),
		cmocka_unit_test(a_driver_may_be_unable_to_migrate),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
