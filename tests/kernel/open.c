// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Opening a device of the kernel: the calls of either way, in order; what is closed again,
 * whichever of them fails; what people are told.
 */

#include "fake.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

#define LOOKED "readlink readlink readlink list "
#define BY_GROUP                                                                                   \
	"open:/dev/vfio/vfio version type1? open:/dev/vfio/12 status join type1 device:" FAKE_PCI  \
	" limits limits info"
#define BY_CDEV                                                                                    \
	"open:/dev/iommu open:/dev/vfio/devices/vfio3 bind ioas hwpt attach:ioas ranges info"

static void by_group_and_container(void **state)
{
	struct vfm_device *dev;

	(void)state;
	fake_begin();
	dev = fake_open(FAKE_PCI);
	assert_string_equal(vfm_device_uri(dev), "vfio:" FAKE_PCI);
	fake_expect(LOOKED BY_GROUP);
	vfm_device_close(dev);
	fake_expect("close:device close:group close:container");
	assert_int_equal(fake.open_count, 0);
}

static void by_its_own_file(void **state)
{
	struct vfm_device *dev;

	(void)state;
	fake_begin();
	fake.cdev = true;
	dev = fake_open(FAKE_PCI);
	fake_expect(LOOKED "chardev " BY_CDEV);
	assert_int_equal(fake.attached, 2);
	vfm_device_close(dev);
	fake_expect("close:device close:iommufd");
	assert_int_equal(fake.open_count, 0);
}

/* A page table that logs is taken if there is one, and given back if it is of no use. */
static void page_tables_that_log(void **state)
{
	struct vfm_device *dev;

	(void)state;
	fake_begin();
	fake.cdev = true;
	fake.hwpt_log = true;
	dev = fake_open(FAKE_PCI ",path=cdev");
	assert_int_equal(fake.attached, 5);
	fake_end(dev);

	fake_begin();
	fake.cdev = true;
	fake.hwpt_log = true;
	fake.hwpt_attach_fails = true;
	dev = fake_open(FAKE_PCI);
	assert_int_equal(fake.attached, 2);
	assert_int_equal(fake.hwpts, 0);
	fake_end(dev);
}

static void names(void **state)
{
	static const struct {
		const char *rest;
		const char *calls;
	} rows[] = {
		{ "0000:3B:00.2,path=group", LOOKED "chardev " BY_GROUP },
		{ "3b:00.2,path=cdev", LOOKED "chardev " BY_CDEV },
		{ "/dev/vfio/12", "chardev readlink list " BY_GROUP },
		{ "/dev/vfio/12,device=" FAKE_PCI, "chardev readlink " BY_GROUP },
		{ "/dev/vfio/devices/vfio3", "chardev readlink readlink " BY_CDEV },
		{ "fd=2", "dup info" },
		{ "fd=2,container=0", "dup dup limits limits info" },
		{ "fd=2,iommufd=3,ioas=2", "dup dup ranges info" },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct vfm_device *dev;

		fake_begin();
		fake.cdev = true;
		dev = fake_open(rows[i].rest);
		fake_expect(rows[i].calls);
		fake_end(dev);
	}
}

static void mediated_device(void **state)
{
	struct vfm_device *dev;

	(void)state;
	fake_begin();
	fake.driver = "bus/mdev/drivers/mtty";
	dev = fake_open("C9D7EC44-5C0E-4F36-A5F5-3A3F9A1D8C01");
	assert_non_null(strstr(fake.log, "device:" FAKE_UUID " "));
	fake_end(dev);
}

static void tokens(void **state)
{
	struct vfm_device *dev;

	(void)state;
	fake_begin();
	fake.cdev = true;
	dev = fake_open(FAKE_PCI ",path=group,token=" FAKE_UUID);
	assert_non_null(strstr(fake.log, "device:" FAKE_PCI " vf_token=" FAKE_UUID " "));
	fake_end(dev);
	fake_begin();
	fake.cdev = true;
	dev = fake_open(FAKE_PCI ",path=cdev,token=" FAKE_UUID);
	fake_end(dev);
}

/* Where sysfs is not to be seen, a path says what it is. */
static void without_sysfs(void **state)
{
	struct vfm_device *dev;

	(void)state;
	fake_begin();
	fake.no_sysfs = true;
	dev = fake_open("/dev/vfio/12,device=" FAKE_PCI);
	fake_end(dev);
	fake_begin();
	fake.no_sysfs = true;
	dev = fake_open("/dev/vfio/devices/vfio3");
	fake_end(dev);
}

/* What the host has decides; what cannot be used makes way for the other. */
static void falls_back_to_the_group(void **state)
{
	static const char *const steps[] = { "bind", "ioas", "attach", "ranges" };
	struct vfm_device *dev;
	struct vfm_err err;

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(steps); i++) {
		fake_begin();
		fake.cdev = true;
		fake_fail(steps[i], -EINVAL, 0);
		dev = fake_open(FAKE_PCI);
		assert_non_null(strstr(fake.log, BY_GROUP));
		fake_end(dev);
	}
	fake_begin();
	fake.cdev = true;
	fake_fail("open", -EACCES, 0);
	assert_int_equal(vfm_kernel_open(&dev, FAKE_PCI, &fake_sys, &err), -EACCES);
	assert_non_null(strstr(err.msg, "by its group: open /dev/vfio/vfio: permission denied; by "
					"its own file: open /dev/iommu: permission denied"));
	fake_end(NULL);
}

/* Each call in turn, with codes that mean something in several places and one that means nothing.
 */
static void no_failure_leaks(void **state)
{
	static const char *const rests[] = {
		FAKE_PCI ",path=group", FAKE_PCI ",path=cdev",	   FAKE_PCI,
		"/dev/vfio/12",		"/dev/vfio/devices/vfio3", "fd=2,container=0",
		"fd=2,iommufd=3,ioas=2"
	};
	static const int codes[] = { -EINVAL, -ENODEV, -EACCES, -ENOTTY, -EBUSY, -EXFULL };
	unsigned int tried = 0, failed = 0;

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rests); i++)
		for (size_t c = 0; c < VFM_ARRAY_SIZE(codes); c++) {
			unsigned int n = 0;

			do {
				struct vfm_device *dev = NULL;
				struct vfm_err err = { .msg = "" };
				int ret;

				fake_begin();
				fake.cdev = true;
				fake.hwpt_log = true;
				fake.fail_at = ++n;
				fake.fail_code = codes[c];
				ret = vfm_kernel_open(&dev, rests[i], &fake_sys, &err);
				assert_int_equal(ret == 0, dev != NULL);
				assert_true(ret || !*err.msg);
				assert_int_equal(err.code, ret);
				/* the name was right */
				assert_true(ret != -EINVAL || n <= 4);
				tried++;
				failed += ret != 0;
				fake_end(dev);
			} while (fake.calls >= n);
		}
	assert_true(tried > 300);
	assert_true(failed > 200);
}

/* Nor does anybody depend on it that somebody wants to hear why. */
static void nobody_asks_why(void **state)
{
	unsigned int n = 0;

	(void)state;
	do {
		struct vfm_device *dev = NULL;
		int ret;

		fake_begin();
		fake.cdev = n % 2;
		fake.fail_at = ++n;
		fake.fail_code = -ENODEV;
		ret = vfm_kernel_open(&dev, FAKE_PCI, &fake_sys, NULL);
		assert_int_equal(ret == 0, dev != NULL);
		fake_end(dev);
	} while (fake.calls >= n || n % 2);
	fake_begin();
	fake.driver = "bus/pci/drivers/mlx5_core";
	fake.group = "kernel/iommu_groups/13";
	assert_int_equal(vfm_kernel_open(NULL, FAKE_PCI, &fake_sys, NULL), -EBUSY);
	fake_end(NULL);
	fake_begin();
	fake.cdev = true;
	fake_fail("open", -EACCES, 0);
	assert_int_equal(vfm_kernel_open(NULL, FAKE_PCI, &fake_sys, NULL), -EACCES);
	fake_end(NULL);
}

static int why(const char *rest, const char *text)
{
	struct vfm_device *dev = NULL;
	struct vfm_err err = { .msg = "" };
	int ret = vfm_kernel_open(&dev, rest, &fake_sys, &err);

	assert_null(dev);
	if (!strstr(err.msg, text))
		fail_msg("\"%s\" is not in \"%s\"", text, err.msg);
	fake_end(NULL);
	fake_begin();
	return ret;
}

/* What people can do something about is said in their words. */
static void says_why(void **state)
{
	static const struct {
		const char *word;
		int code;
		int result;
		const char *text;
	} rows[] = {
		{ "open", -ENOENT, -EOPNOTSUPP, "the module vfio is not loaded" },
		{ "open", -EACCES, -EACCES, "open /dev/vfio/vfio: permission denied" },
		{ "open", -EMFILE, -EMFILE, "too many files open" },
		{ "status", -ENODEV, -ENODEV, "ask group 12: the device is gone" },
		{ "join", -EPERM, -EBUSY, "in use by another driver" },
		{ "join", -EBUSY, -EBUSY, "is in use" },
		{ "type1", -EPERM, -EPERM, "interrupt remapping" },
		{ "device", -ENODEV, -ENODEV, "bound to no driver of VFIO" },
		{ "device", -EBUSY, -EBUSY, "another user" },
		{ "device", -EACCES, -EACCES, "needs token=" },
		{ "limits", -ENOTTY, -EOPNOTSUPP, "this kernel cannot do that" },
		{ "info", -ENODEV, -ENODEV, "describe the device: the device is gone" },
	};

	(void)state;
	fake_begin();
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		fake_fail(rows[i].word, rows[i].code, 0);
		assert_int_equal(why(FAKE_PCI, rows[i].text), rows[i].result);
	}
}

static void says_what_the_host_lacks(void **state)
{
	(void)state;
	fake_begin();
	fake.exists = false;
	assert_int_equal(why(FAKE_PCI, "there is no such PCI device"), -ENOENT);
	fake.exists = false;
	assert_int_equal(why(FAKE_UUID, "there is no such mediated device"), -ENOENT);
	fake.driver = NULL;
	assert_int_equal(why(FAKE_PCI, "bound to no driver: bind it"), -ENODEV);
	fake.driver = NULL;
	fake.group = NULL;
	assert_int_equal(why(FAKE_PCI, "in no group"), -ENODEV);
	fake.group = NULL;
	assert_int_equal(why(FAKE_PCI, "this host has no IOMMU for it"), -EOPNOTSUPP);
	fake.group = "kernel/iommu_groups/noiommu-0";
	assert_int_equal(why(FAKE_PCI, "noiommu-0 has no IOMMU"), -EOPNOTSUPP);
	fake.driver = "bus/pci/drivers/mlx5_core";
	fake.group = "kernel/iommu_groups/13"; /* has no file */
	assert_int_equal(why(FAKE_PCI, "it is bound to the driver mlx5_core"), -EBUSY);
	fake.no_type1 = true;
	assert_int_equal(why(FAKE_PCI, "vfio_iommu_type1"), -EOPNOTSUPP);
	fake.version = 1;
	assert_int_equal(why(FAKE_PCI, "has version 1, not 0"), -EOPNOTSUPP);
	fake.cdev = true;
	fake.group = NULL; /* and nothing is said of one */
	fake_fail("bind", -EBUSY, 0);
	assert_int_equal(why(FAKE_PCI, FAKE_PCI ": bind the device to an iommufd: it has another "
						"user"),
			 -EBUSY);
	assert_int_equal(why(FAKE_PCI ",path=cdev", "no file of its own"), -EOPNOTSUPP);
	fake.cdev = true; /* and nothing is said of a way that the host has not */
	fake.no_cdev_file = true;
	fake_fail("device", -EBUSY, 0);
	assert_int_equal(why(FAKE_PCI, FAKE_PCI ": open device " FAKE_PCI " of group 12: it has "
						"another user"),
			 -EBUSY);
	fake.nr_regions = 257;
	assert_int_equal(why(FAKE_PCI, "claims 257 regions"), -EPROTO);
}

static void says_who_else_is_in_the_group(void **state)
{
	(void)state;
	fake_begin();
	fake.not_viable = true;
	fake.members = "0000:3b:00.1\0" FAKE_PCI;
	fake.nr_members = 2;
	fake.member_driver = "bus/pci/drivers/mlx5_core";
	assert_int_equal(why(FAKE_PCI, "not viable: devices of it are bound to other drivers: "
				       "0000:3b:00.1 (mlx5_core)"),
			 -EBUSY);
	fake.members = "0000:3b:00.1\0" FAKE_PCI;
	fake.nr_members = 2;
	assert_int_equal(why("/dev/vfio/12",
			     "group 12 has 2 devices, the first is 0000:3b:00.1: say which"),
			 -EINVAL);
	fake.nr_members = 0;
	assert_int_equal(why("/dev/vfio/12", "group 12 has 0 devices"), -EINVAL);
	assert_int_equal(why("/dev/null", "neither the file of a group nor of a device"), -EINVAL);
	assert_int_equal(why("/etc", "neither the file of a group nor of a device"), -EINVAL);
	assert_int_equal(why("/dev/vfio/99", "there is no such file"), -ENOENT);
}

static void names_that_are_none(void **state)
{
	static const struct {
		const char *rest;
		const char *text;
	} rows[] = {
		{ "", "must begin with" },
		{ "mlx5_0", "must begin with" },
		{ "0000:3b:00", "must begin with" },
		{ "0000:3b:00.22", "must begin with" },
		{ "000:3b:00.2", "must begin with" },
		{ "123456789:3b:00.2", "must begin with" },
		{ "0000:3g:00.2", "must begin with" },
		{ FAKE_UUID "0", "must begin with" },
		{ FAKE_PCI ",path=container", "path=container: must be group or cdev" },
		{ FAKE_PCI ",speed=1", "unknown parameter \"speed\"" },
		{ FAKE_PCI ",device=x", "goes with the file of a group only" },
		{ FAKE_PCI ",container=1", "go with fd= only" },
		{ FAKE_PCI ",fd=1", "name one device" },
		{ FAKE_PCI ",token=abc", "must be a UUID" },
		{ FAKE_PCI ",timeout=86401", "not between" },
		{ "fd=-1", "is not a number" },
		{ "fd=2147483648", "not between" },
		{ "fd=1,container=2,iommufd=3,ioas=1", "not both" },
		{ "fd=1,iommufd=3", "go together" },
		{ "fd=1,ioas=3", "go together" },
		{ "fd=1,path=group", "do not go with fd=" },
		{ "fd=1,token=" FAKE_UUID, "do not go with fd=" },
	};
	char longest[400];

	(void)state;
	fake_begin();
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		assert_int_equal(why(rows[i].rest, rows[i].text), -EINVAL);
		assert_int_equal(fake.calls, 0);
	}
	memset(longest, 'a', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(why(longest, "too long"), -EINVAL);
}

/* Domains beyond four digits exist. */
static void long_domains(void **state)
{
	(void)state;
	fake_begin();
	assert_int_equal(why("10000:3b:00.2", "no such PCI device"), -ENOENT);
	assert_int_equal(why("12345678:3b:00.2", "no such PCI device"), -ENOENT);
}

/* Any bytes of a container that is damaged: it opens or it does not, and nothing else. */
static void damaged_containers(void **state)
{
	unsigned int opened = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 2000; seed++) {
		struct vfm_device *dev = NULL;
		uint64_t page = 4096;

		fake_begin();
		fake.device_logs = false;
		fake.damage = seed;
		if (!vfm_kernel_open(&dev, FAKE_PCI, &fake_sys, NULL)) {
			const struct vfm_range range = { 0, 4096 };

			opened++;
			if (!vfm_device_start_log(dev, &page, &range, 1, NULL))
				assert_true(vfm_is_power_of_2(page) && page >= 4096);
		}
		fake_end(dev);
	}
	assert_true(opened > 500 && opened < 2000);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_group_and_container),
		cmocka_unit_test(by_its_own_file),
		cmocka_unit_test(page_tables_that_log),
		cmocka_unit_test(names),
		cmocka_unit_test(mediated_device),
		cmocka_unit_test(tokens),
		cmocka_unit_test(without_sysfs),
		cmocka_unit_test(falls_back_to_the_group),
		cmocka_unit_test(no_failure_leaks),
		cmocka_unit_test(nobody_asks_why),
		cmocka_unit_test(says_why),
		cmocka_unit_test(says_what_the_host_lacks),
		cmocka_unit_test(says_who_else_is_in_the_group),
		cmocka_unit_test(names_that_are_none),
		cmocka_unit_test(long_domains),
		cmocka_unit_test(damaged_containers),
	};

	return RUN_TESTS(tests);
}
