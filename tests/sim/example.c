// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* The example driver, from its shared object: used, saved, changed, loaded, reset. */

#include "sim_test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vfmig/vfmig.h>

static struct vfm_device *open_example(void)
{
	struct vfm_device *dev = NULL;
	struct vfm_err err;

	if (vfm_open(&dev, getenv("VFM_EXAMPLE"), &err))
		fail_msg("%s", err.msg);
	return dev;
}

static void write_at(struct vfm_device *dev, uint64_t offset, const char *text)
{
	assert_int_equal(vfm_device_write_region(dev, 0, offset, text, strlen(text), NULL), 0);
}

static void expect_at(struct vfm_device *dev, uint64_t offset, const void *want, size_t len)
{
	uint8_t got[64];

	assert_int_equal(vfm_device_read_region(dev, 0, offset, got, len, NULL), 0);
	assert_memory_equal(got, want, len);
}

static void it_moves(void **state)
{
	struct vfm_device *src = open_example(), *dst = open_example();
	struct vfm_precopy_info info;
	struct image image = { 0 };

	(void)state;
	write_at(src, 100, "before");
	set_state(src, VFM_STATE_PRE_COPY);
	assert_int_equal(vfm_device_get_precopy_info(src, &info, NULL), 0);
	assert_true(info.initial_bytes > 4096);
	assert_int_equal(info.dirty_bytes, 0);
	assert_true(read_image(src, &image) > 4096);
	assert_int_equal(read_image(src, &image), 0);
	write_at(src, 4000, "during");
	assert_int_equal(vfm_device_get_precopy_info(src, &info, NULL), 0);
	assert_int_equal(info.initial_bytes, 0);
	assert_true(info.dirty_bytes > 4096);
	save_image(src, &image);
	load_image(dst, &image);
	set_state(dst, VFM_STATE_RUNNING);
	expect_at(dst, 100, "before", 6);
	expect_at(dst, 4000, "during", 6);
	free(image.data);
	vfm_device_close(src);
	vfm_device_close(dst);
}

static void it_says_no(void **state)
{
	struct vfm_device *dev = open_example(), *none = NULL;
	struct image image = { 0 };
	char uri[4096];
	struct vfm_err err;

	(void)state;
	snprintf(uri, sizeof(uri), "%s,size=3", getenv("VFM_EXAMPLE"));
	assert_int_equal(vfm_open(&none, uri, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "size=3"));
	save_image(dev, &image);
	set_state(dev, VFM_STATE_RESUMING);
	assert_int_equal(vfm_device_write_data(dev, image.data, image.len - 1, NULL), 0);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP, NULL), -EBADMSG);
	write_at(dev, 0, "dirt");
	assert_int_equal(vfm_device_reset(dev, NULL), 0);
	expect_at(dev, 0, "\0\0\0\0", 4);
	free(image.data);
	vfm_device_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_moves),
		cmocka_unit_test(it_says_no),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
