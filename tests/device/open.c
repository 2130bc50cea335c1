// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Names of devices: what opens, and what the error says when it does not. */

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include <vfmig/vfmig.h>

static void names_that_do_not_open_say_why(void **unused)
{
	static const struct {
		const char *uri;
		int result;
		const char *text;
	} rows[] = {
		{ "", -EINVAL, "not a device" },
		{ "dma", -EINVAL, "not a device" },
		{ "simx:dma", -EINVAL, "there are vfio-user:" },
		{ ":dma", -EINVAL, "not a device" },
		{ "sim:", -EINVAL, "no such software device; there is dma" },
		{ "sim:dm", -EINVAL, "no such software device" },
		{ "sim:dma2", -EINVAL, "no such software device" },
		{ "sim:dma,colour=red", -EINVAL, "unknown parameter \"colour\"" },
		{ "sim:dma,state=lots", -EINVAL, "state=lots" },
		{ "sim:dma,state=1M,state=2M", -EINVAL, "state stands twice" },
		{ "sim:dma,features=2", -EINVAL, "features" },
		{ "vfio:ffff:fe:1f.7", -ENOENT, "no such PCI device" },
		{ "vfio:mlx5_0", -EINVAL, "must begin with a PCI address" },
		{ "./nothing.so", -ENOENT, "nothing.so" },
		{ "./nothing.so,a=b", -ENOENT, "nothing.so" },
		{ "/", -ENOENT, "/" },
		{ "vfio-user:/nonexistent/socket", -ENOENT,
		  "/nonexistent/socket: there is no such socket" },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vfm_err err = { .msg = "" };
		struct vfm_device *dev = NULL;

		assert_int_equal(vfm_open(&dev, rows[i].uri, &err), rows[i].result);
		assert_null(dev);
		assert_int_equal(err.code, rows[i].result);
		assert_non_null(strstr(err.msg, rows[i].text));
	}
}

static void a_device_keeps_its_name(void **unused)
{
	static const char uri[] = "sim:dma,state=64K,seed=7";
	struct vfm_device_info info;
	struct vfm_region region;
	struct vfm_device *dev;
	struct vfm_err err;

	(void)unused;
	assert_int_equal(vfm_open(&dev, uri, NULL), 0);
	assert_string_equal(vfm_device_uri(dev), uri);
	assert_int_equal(vfm_device_get_info(dev, &info, NULL), 0);
	assert_true(info.flags & VFM_DEVICE_PCI);
	/* And it stands in front of every error. */
	assert_int_equal(vfm_device_get_region(dev, info.nr_regions, &region, &err), -EINVAL);
	assert_memory_equal(err.msg, uri, strlen(uri));
	vfm_device_close(dev);
	vfm_device_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_that_do_not_open_say_why),
		cmocka_unit_test(a_device_keeps_its_name),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
