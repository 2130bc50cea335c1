// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* The host by hand: descriptors and files, which call fails, and the table of all calls. */

#include "fake_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define FIRST_FD 100
#define DEVICE_DIR "/sys/bus/pci/devices/" FAKE_PCI
#define MDEV_DIR "/sys/bus/mdev/devices/" FAKE_UUID

struct fake fake;

static const char *const kind_names[FAKE_NR_KINDS] = {
	"container", "group", "device", "iommufd", "data",
};

/* ---- what is written down ---------------------------------------------------------- */

void fake_note(const char *word, const char *detail)
{
	int n = snprintf(fake.log + fake.log_len, sizeof(fake.log) - fake.log_len, "%s%s%s%s",
			 fake.log_len ? " " : "", word, *detail ? ":" : "", detail);

	assert_true(n > 0);
	fake.log_len += (size_t)n;
	assert_true(fake.log_len < sizeof(fake.log));
}

/* A call begins. Not 0: it fails with that. */
int fake_enter(const char *word, const char *detail)
{
	fake_note(word, detail);
	if (++fake.calls == fake.fail_at)
		return fake.fail_code;
	if (!fake.fail_word || strcmp(fake.fail_word, word) != 0)
		return 0;
	if (fake.fail_times && !--fake.fail_times)
		fake.fail_word = NULL;
	return fake.fail_code;
}

void fake_forget(void)
{
	fake.log_len = 0;
	fake.log[0] = '\0';
}

void fake_expect(const char *calls)
{
	assert_string_equal(fake.log, calls);
	fake_forget();
}

void fake_fail(const char *word, int code, unsigned int times)
{
	fake.fail_word = word;
	fake.fail_code = code;
	fake.fail_times = times;
}

/* ---- descriptors -------------------------------------------------------------------- */

int fake_new_fd(enum fake_kind kind)
{
	for (int i = 0; i < (int)VFM_ARRAY_SIZE(fake.is_open); i++)
		if (!fake.is_open[i]) {
			fake.is_open[i] = true;
			fake.kinds[i] = kind;
			fake.open_count++;
			return FIRST_FD + i;
		}
	fail_msg("too many descriptors");
	return -EMFILE;
}

enum fake_kind fake_kind_of(int fd)
{
	assert_true(fd >= FIRST_FD && fd < FIRST_FD + (int)VFM_ARRAY_SIZE(fake.is_open));
	assert_true(fake.is_open[fd - FIRST_FD]);
	return fake.kinds[fd - FIRST_FD];
}

static int fake_sys_open(const char *path, int flags)
{
	static const struct {
		const char *path;
		enum fake_kind kind;
	} files[] = {
		{ "/dev/vfio/vfio", FAKE_CONTAINER },
		{ "/dev/vfio/12", FAKE_GROUP },
		{ "/dev/iommu", FAKE_IOMMUFD },
		{ "/dev/vfio/devices/vfio3", FAKE_DEVICE },
	};
	int ret = fake_enter("open", path);

	assert_int_equal(flags & O_ACCMODE, O_RDWR);
	if (ret)
		return ret;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(files); i++)
		if (!strcmp(files[i].path, path))
			return fake_new_fd(files[i].kind);
	return -ENOENT;
}

static void fake_close(int fd)
{
	fake_note("close", kind_names[fake_kind_of(fd)]);
	fake.is_open[fd - FIRST_FD] = false;
	fake.open_count--;
}

/* Somebody else's have numbers below ours. */
static int fake_dup(int fd)
{
	int ret = fake_enter("dup", "");

	return ret ? ret : fake_new_fd((enum fake_kind)fd);
}

static int fake_set_nonblock(int fd)
{
	int ret = fake_enter("nonblock", "");

	assert_int_equal(fake_kind_of(fd), FAKE_DATA);
	fake.nonblock = !ret;
	return ret;
}

/* ---- files ---------------------------------------------------------------------------- */

static int give_link(const char *target, char *text, size_t room)
{
	int n;

	if (!target)
		return -ENOENT;
	n = snprintf(text, room, "../../%s", target);
	return (size_t)n < room ? n : -ENAMETOOLONG;
}

static const char *behind(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) ? NULL : path + len;
}

static int fake_readlink(const char *path, char *text, size_t room)
{
	int ret = fake_enter("readlink", "");
	const char *rest = behind(path, DEVICE_DIR);

	if (ret || fake.no_sysfs)
		return ret ? ret : -ENOENT;
	if (!strcmp(path, "/sys/dev/char/10:12"))
		return give_link("devices/virtual/vfio/12", text, room);
	if (!strcmp(path, "/sys/dev/char/10:3"))
		return give_link("devices/pci0/" FAKE_PCI "/vfio-dev/vfio3", text, room);
	if (!strcmp(path, "/sys/class/vfio-dev/vfio3/device"))
		return give_link(FAKE_PCI, text, room);
	if (!rest)
		rest = behind(path, MDEV_DIR);
	if (rest) {
		if (!*rest)
			return give_link(fake.exists ? "devices/pci0/x" : NULL, text, room);
		return give_link(!strcmp(rest, "/driver")	 ? fake.driver
				 : !strcmp(rest, "/iommu_group") ? fake.group
								 : NULL,
				 text, room);
	}
	if (behind(path, "/sys/kernel/iommu_groups/12/devices/"))
		return give_link(strstr(path, FAKE_PCI) ? fake.driver : fake.member_driver, text,
				 room);
	return -ENOENT;
}

static int fake_list(const char *dir, char *names, size_t room)
{
	int ret = fake_enter("list", "");
	const char *name = fake.members;

	if (ret || fake.no_sysfs)
		return ret ? ret : -ENOENT;
	if (!strcmp(dir, DEVICE_DIR "/vfio-dev") || !strcmp(dir, MDEV_DIR "/vfio-dev")) {
		if (!fake.cdev)
			return -ENOENT;
		snprintf(names, room, "vfio3");
		return 1;
	}
	assert_string_equal(dir, "/sys/kernel/iommu_groups/12/devices");
	for (unsigned int i = 0; i < fake.nr_members; i++, name += strlen(name) + 1) {
		assert_true(strlen(name) < room);
		strcpy(names, name);
		names += strlen(name) + 1;
		room -= strlen(name) + 1;
	}
	return (int)fake.nr_members;
}

static int fake_chardev(const char *path, unsigned int *major_nr, unsigned int *minor_nr)
{
	int ret = fake_enter("chardev", "");

	if (ret)
		return ret;
	*major_nr = 10;
	if (!strcmp(path, "/dev/vfio/12"))
		*minor_nr = 12;
	else if (!strcmp(path, "/dev/vfio/devices/vfio3") && !fake.no_cdev_file)
		*minor_nr = 3;
	else
		return !strcmp(path, "/dev/null") ? (*minor_nr = 99, 0)
		       : !strcmp(path, "/etc")	  ? -ENOTBLK
						  : -ENOENT;
	return 0;
}

/* ---- all calls ------------------------------------------------------------------- */

static int fake_ioctl(int fd, unsigned int request, void *arg)
{
	static int (*const to[FAKE_NR_KINDS])(unsigned int request, void *arg) = {
		[FAKE_CONTAINER] = fake_to_container, [FAKE_GROUP] = fake_to_group,
		[FAKE_DEVICE] = fake_to_device,	      [FAKE_IOMMUFD] = fake_to_iommufd,
		[FAKE_DATA] = fake_to_data,
	};

	return to[fake_kind_of(fd)](request, arg);
}

static int fake_poll(int fd, short events, int timeout_ms)
{
	(void)events;
	if (fd < 0) {
		fake.pauses++;
		fake.now += (uint64_t)timeout_ms * 1000000;
		return 0;
	}
	fake.polls++;
	if (!fake.poll_gives)
		fake.now += (uint64_t)timeout_ms * 1000000;
	return fake.poll_gives;
}

static int fake_block_size(int fd, uint64_t *bytes)
{
	(void)fd;
	*bytes = 4096;
	return fake_enter("block", "");
}

static uint64_t fake_now(void)
{
	return fake.now;
}

const struct vfm_sys fake_sys = {
	.open = fake_sys_open,
	.close = fake_close,
	.dup = fake_dup,
	.ioctl = fake_ioctl,
	.read = fake_read,
	.write = fake_write,
	.pread = fake_pread,
	.pwrite = fake_pwrite,
	.mmap = fake_mmap,
	.munmap = fake_munmap,
	.poll = fake_poll,
	.set_nonblock = fake_set_nonblock,
	.block_size = fake_block_size,
	.readlink = fake_readlink,
	.list = fake_list,
	.chardev = fake_chardev,
	.now_ns = fake_now,
};

/* ---- beginning and end ------------------------------------------------------------------ */

void fake_begin(void)
{
	memset(&fake, 0, sizeof(fake));
	fake.exists = true;
	fake.driver = "bus/pci/drivers/mlx5_vfio_pci";
	fake.group = "kernel/iommu_groups/12";
	fake.members = FAKE_PCI;
	fake.nr_members = 1;
	fake.container_caps = true;
	fake.container_log = true;
	fake.max_bitmap = UINT64_C(256) << 20;
	fake.avail = 65535;
	fake.pgsizes = UINT64_C(0x40201000);
	fake.span_last = (UINT64_C(1) << 39) - 1;
	fake.nr_spans = 1;
	fake.flags = VFM_DEVICE_RESET | VFM_DEVICE_PCI | 1u << 7;
	fake.nr_regions = VFM_PCI_NR_REGIONS;
	fake.nr_irqs = VFM_PCI_NR_IRQS;
	fake.region_flags = VFM_REGION_READ | VFM_REGION_WRITE;
	fake.region_size = FAKE_REGION_SIZE;
	fake.migrates = true;
	fake.migration =
		VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_P2P | VFM_MIGRATION_PRE_COPY | 1u << 9;
	fake.knows_reinit = true;
	fake.state = VFM_STATE_RUNNING;
	fake.device_logs = true;
	fake.now = 1;
}

struct vfm_device *fake_open(const char *rest)
{
	struct vfm_device *dev = NULL;
	struct vfm_err err = { .msg = "" };
	int ret = vfm_kernel_open(&dev, rest, &fake_sys, &err);

	if (ret)
		fail_msg("%s: %s", rest, err.msg);
	return dev;
}

void fake_end(struct vfm_device *dev)
{
	vfm_device_close(dev);
	assert_int_equal(fake.open_count, 0);
	assert_int_equal(fake.mmaps, 0);
}
