// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "fake.h"

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

static void note(const char *word, const char *detail)
{
	int n = snprintf(fake.log + fake.log_len, sizeof(fake.log) - fake.log_len, "%s%s%s%s",
			 fake.log_len ? " " : "", word, *detail ? ":" : "", detail);

	assert_true(n > 0);
	fake.log_len += (size_t)n;
	assert_true(fake.log_len < sizeof(fake.log));
}

/* A call begins. Not 0: it fails with that. */
static int enter(const char *word, const char *detail)
{
	note(word, detail);
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

static int new_fd(enum fake_kind kind)
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

static enum fake_kind kind_of(int fd)
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
	int ret = enter("open", path);

	assert_int_equal(flags & O_ACCMODE, O_RDWR);
	if (ret)
		return ret;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(files); i++)
		if (!strcmp(files[i].path, path))
			return new_fd(files[i].kind);
	return -ENOENT;
}

static void fake_close(int fd)
{
	note("close", kind_names[kind_of(fd)]);
	fake.is_open[fd - FIRST_FD] = false;
	fake.open_count--;
}

/* Somebody else's have numbers below ours. */
static int fake_dup(int fd)
{
	int ret = enter("dup", "");

	return ret ? ret : new_fd((enum fake_kind)fd);
}

static int fake_set_nonblock(int fd)
{
	int ret = enter("nonblock", "");

	assert_int_equal(kind_of(fd), FAKE_DATA);
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
	int ret = enter("readlink", "");
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
	int ret = enter("list", "");
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
	int ret = enter("chardev", "");

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

/* ---- memory --------------------------------------------------------------------------- */

static struct fake_map *find_map(uint64_t iova)
{
	for (unsigned int i = 0; i < fake.nr_maps; i++)
		if (iova >= fake.maps[i].iova && iova - fake.maps[i].iova < fake.maps[i].size)
			return &fake.maps[i];
	return NULL;
}

static int add_map(uint64_t iova, uint64_t size, uint64_t vaddr, uint32_t flags)
{
	uint64_t mask = (fake.pgsizes & -fake.pgsizes) - 1;

	assert_int_equal((iova | size | vaddr) & mask, 0);
	assert_true(vaddr);
	if (find_map(iova) || find_map(iova + size - 1))
		return -EEXIST;
	assert_true(fake.nr_maps < VFM_ARRAY_SIZE(fake.maps));
	fake.maps[fake.nr_maps++] =
		(struct fake_map){ .iova = iova, .size = size, .vaddr = vaddr, .flags = flags };
	return 0;
}

static uint64_t drop_map(uint64_t iova, uint64_t size)
{
	struct fake_map *m = find_map(iova);

	if (!m || m->iova != iova || m->size != size)
		return 0;
	*m = fake.maps[--fake.nr_maps];
	return fake.unmaps_half ? size / 2 : size;
}

/* In the smallest page: of exactly one mapping, as type1 wants it. */
static int report_map(uint64_t iova, uint64_t size, uint64_t page, uint64_t *bits)
{
	struct fake_map *m = find_map(iova);

	if (!fake.iommu_logs || !m || m->iova != iova || m->size != size ||
	    page != (fake.pgsizes & -fake.pgsizes))
		return -EINVAL;
	for (uint64_t i = 0; i < size / 4096 && i < FAKE_PAGES; i++)
		if (m->dirty[i / 64] >> i % 64 & 1)
			bits[i * 4096 / page / 64] |= UINT64_C(1) << (i * 4096 / page % 64);
	memset(m->dirty, 0, sizeof(m->dirty));
	return 0;
}

static void put(uint8_t **at, const void *data, size_t len)
{
	memcpy(*at, data, len);
	*at += len;
}

static size_t put_spans(uint8_t *at, uint32_t next)
{
	struct vfm_abi_cap_header head = { VFM_TYPE1_CAP_IOVA_RANGE, 1, next };
	uint32_t counts[2] = { fake.nr_spans, 0 };
	uint8_t *from = at;

	put(&at, &head, sizeof(head));
	put(&at, counts, sizeof(counts));
	for (uint64_t i = 1; i < fake.nr_spans; i++)
		put(&at, (uint64_t[]){ i * 8192, i * 8192 + 4095 }, 16);
	put(&at, (uint64_t[]){ fake.nr_spans > 1 ? UINT64_C(1) << 30 : 0, fake.span_last }, 16);
	return (size_t)(at - from);
}

/* All of it as it would be with room enough, and as much of it as there is room for. */
static int type1_info(uint8_t *arg)
{
	struct vfm_abi_type1_info info = { .flags = VFM_TYPE1_INFO_PGSIZES,
					   .iova_pgsizes = fake.pgsizes };
	struct {
		struct vfm_abi_cap_header head;
		uint32_t flags, pad;
		uint64_t sizes, most;
	} log = { { VFM_TYPE1_CAP_MIGRATION, 1, 0 },
		  0,
		  0,
		  fake.pgsizes & -fake.pgsizes,
		  fake.max_bitmap };
	struct {
		struct vfm_abi_cap_header head;
		uint32_t avail;
	} avail = { { VFM_TYPE1_CAP_DMA_AVAIL, 1, 0 }, fake.avail };
	uint32_t spans = 16 + 16 * fake.nr_spans, argsz;
	uint8_t all[4096], *at = all + sizeof(info);

	memcpy(&argsz, arg, sizeof(argsz));
	assert_true(argsz >= sizeof(info));
	info.argsz = sizeof(info);
	if (fake.container_caps) {
		avail.head.next = fake.container_log ? sizeof(info) + spans + sizeof(avail) : 0;
		at += put_spans(at, sizeof(info) + spans);
		put(&at, &avail, sizeof(avail));
		put(&at, &log, sizeof(log));
		info.flags |= VFM_TYPE1_INFO_CAPS;
		info.argsz = (uint32_t)(at - all);
		info.cap_offset = argsz >= info.argsz ? sizeof(info) : 0;
	}
	memcpy(all, &info, sizeof(info));
	memcpy(arg, all, VFM_MIN(argsz, info.argsz));
	return 0;
}

static int container_dirty(const struct vfm_abi_dirty_bitmap *request)
{
	struct vfm_abi_dirty_get get;

	assert_true(vfm_is_power_of_2(request->flags) && request->flags <= VFM_DIRTY_GET);
	if (request->flags != VFM_DIRTY_GET) {
		assert_int_equal(request->argsz, sizeof(*request));
		fake.iommu_logs = request->flags == VFM_DIRTY_START;
		return 0;
	}
	assert_int_equal(request->argsz, sizeof(*request) + sizeof(get));
	memcpy(&get, request + 1, sizeof(get));
	return report_map(get.iova, get.size, get.bitmap.pgsize,
			  (uint64_t *)(uintptr_t)get.bitmap.data);
}

static int unmap_report(const struct vfm_abi_dma_unmap *request, const uint8_t *more)
{
	struct vfm_abi_bitmap bitmap;

	if (!request->flags) {
		assert_int_equal(request->argsz, sizeof(*request));
		return 0;
	}
	assert_int_equal(request->flags, VFM_UNMAP_GET_DIRTY_BITMAP);
	assert_int_equal(request->argsz, sizeof(*request) + sizeof(bitmap));
	memcpy(&bitmap, more, sizeof(bitmap));
	if (fake.no_unmap_report)
		return -EINVAL;
	return report_map(request->iova, request->size, bitmap.pgsize,
			  (uint64_t *)(uintptr_t)bitmap.data);
}

static int to_container(unsigned int request, void *arg)
{
	static const char *const words[] = { "start", "stop", "get" };
	struct vfm_abi_dma_map map;
	struct vfm_abi_dma_unmap unmap;
	int ret;

	switch (request) {
	case VFM_CONTAINER_GET_API_VERSION:
		ret = enter("version", "");
		return ret ? ret : fake.version;
	case VFM_CONTAINER_CHECK_EXTENSION:
		assert_int_equal((uintptr_t)arg, VFM_IOMMU_TYPE1V2);
		ret = enter("type1?", "");
		return ret ? ret : !fake.no_type1;
	case VFM_CONTAINER_SET_IOMMU:
		assert_int_equal((uintptr_t)arg, VFM_IOMMU_TYPE1V2);
		return enter("type1", "");
	case VFM_CONTAINER_GET_INFO:
		ret = enter("limits", "");
		return ret ? ret : type1_info(arg);
	case VFM_CONTAINER_MAP_DMA:
		memcpy(&map, arg, sizeof(map));
		assert_int_equal(map.argsz, sizeof(map));
		assert_int_equal(map.flags & ~(VFM_DMA_READ | VFM_DMA_WRITE), 0);
		ret = enter("map", "");
		return ret ? ret : add_map(map.iova, map.size, map.vaddr, map.flags);
	case VFM_CONTAINER_UNMAP_DMA:
		memcpy(&unmap, arg, sizeof(unmap));
		ret = enter("unmap", unmap.flags ? "report" : "");
		if (!ret)
			ret = unmap_report(&unmap, (uint8_t *)arg + sizeof(unmap));
		if (ret)
			return ret;
		unmap.size = drop_map(unmap.iova, unmap.size);
		memcpy(arg, &unmap, sizeof(unmap));
		return 0;
	case VFM_CONTAINER_DIRTY_PAGES:
		ret = enter("dirty", words[((struct vfm_abi_dirty_bitmap *)arg)->flags / 2]);
		return ret ? ret : container_dirty(arg);
	default:
		fail_msg("request 0x%x to a container", request);
		return -ENOTTY;
	}
}

static int to_group(unsigned int request, void *arg)
{
	struct vfm_abi_group_status *status = arg;
	int ret;

	switch (request) {
	case VFM_GROUP_GET_STATUS:
		assert_int_equal(status->argsz, sizeof(*status));
		ret = enter("status", "");
		status->flags = fake.not_viable ? 0 : VFM_GROUP_VIABLE;
		return ret;
	case VFM_GROUP_SET_CONTAINER:
		assert_int_equal(kind_of(*(int *)arg), FAKE_CONTAINER);
		return enter("join", "");
	case VFM_GROUP_GET_DEVICE_FD:
		ret = enter("device", arg);
		return ret ? ret : new_fd(FAKE_DEVICE);
	default:
		fail_msg("request 0x%x to a group", request);
		return -ENOTTY;
	}
}

static int hwpt_alloc(struct vfm_abi_hwpt_alloc *request)
{
	assert_int_equal(request->size, sizeof(*request));
	assert_int_equal(request->flags, VFM_HWPT_ALLOC_DIRTY_TRACKING);
	assert_int_equal(request->dev_id, 7);
	assert_int_equal(request->pt_id, 2);
	if (!fake.hwpt_log)
		return -EOPNOTSUPP;
	fake.hwpts++;
	request->out_hwpt_id = 5;
	return 0;
}

static int iova_ranges(struct vfm_abi_ioas_iova_ranges *request)
{
	struct vfm_abi_iova_range range = { 0, fake.span_last };

	assert_int_equal(request->size, sizeof(*request));
	assert_true(request->num_iovas >= 1);
	request->num_iovas = 1;
	request->out_iova_alignment = fake.pgsizes & -fake.pgsizes;
	memcpy((void *)(uintptr_t)request->allowed_iovas, &range, sizeof(range));
	return 0;
}

static int ioas_map(const struct vfm_abi_ioas_map *request)
{
	uint32_t flags = (request->flags & VFM_IOAS_MAP_READ ? VFM_DMA_READ : 0) |
			 (request->flags & VFM_IOAS_MAP_WRITE ? VFM_DMA_WRITE : 0);

	assert_int_equal(request->size, sizeof(*request));
	assert_true(request->flags & VFM_IOAS_MAP_FIXED_IOVA);
	assert_int_equal(request->ioas_id, 2);
	return add_map(request->iova, request->length, request->user_va, flags);
}

static int ioas_unmap(struct vfm_abi_ioas_unmap *request)
{
	assert_int_equal(request->size, sizeof(*request));
	assert_int_equal(request->ioas_id, 2);
	request->length = drop_map(request->iova, request->length);
	return request->length ? 0 : -ENOENT;
}

static int hwpt_report(const struct vfm_abi_hwpt_get_dirty *request)
{
	assert_int_equal(request->size, sizeof(*request));
	assert_int_equal(request->hwpt_id, 5);
	return report_map(request->iova, request->length, request->page_size,
			  (uint64_t *)(uintptr_t)request->data);
}

static int to_iommufd(unsigned int request, void *arg)
{
	int ret;

	switch (request) {
	case VFM_IOMMUFD_IOAS_ALLOC:
		ret = enter("ioas", "");
		((struct vfm_abi_ioas_alloc *)arg)->out_ioas_id = 2;
		return ret;
	case VFM_IOMMUFD_HWPT_ALLOC:
		ret = enter("hwpt", "");
		return ret ? ret : hwpt_alloc(arg);
	case VFM_IOMMUFD_DESTROY:
		ret = enter("destroy", "");
		fake.hwpts--;
		return ret;
	case VFM_IOMMUFD_IOAS_IOVA_RANGES:
		ret = enter("ranges", "");
		return ret ? ret : iova_ranges(arg);
	case VFM_IOMMUFD_IOAS_MAP:
		ret = enter("map", "");
		return ret ? ret : ioas_map(arg);
	case VFM_IOMMUFD_IOAS_UNMAP:
		ret = enter("unmap", "");
		return ret ? ret : ioas_unmap(arg);
	case VFM_IOMMUFD_HWPT_SET_DIRTY:
		ret = enter("dirty",
			    ((struct vfm_abi_hwpt_set_dirty *)arg)->flags ? "start" : "stop");
		fake.iommu_logs = ((struct vfm_abi_hwpt_set_dirty *)arg)->flags;
		return ret;
	case VFM_IOMMUFD_HWPT_GET_DIRTY:
		ret = enter("dirty", "get");
		return ret ? ret : hwpt_report(arg);
	default:
		fail_msg("request 0x%x to an iommufd", request);
		return -ENOTTY;
	}
}

static int fake_mmap(void **at, size_t len, int prot, int fd, uint64_t offset)
{
	int ret = enter("mmap", "");

	(void)prot;
	(void)fd;
	assert_int_equal(offset % 4096, 0);
	assert_int_equal(len % 4096, 0);
	if (ret)
		return ret;
	fake.mmaps++;
	*at = (void *)(uintptr_t)0x7f0000200000;
	return 0;
}

static void fake_munmap(void *at, size_t len)
{
	(void)at;
	(void)len;
	note("munmap", "");
	fake.mmaps--;
}

/* ---- the device ----------------------------------------------------------------------- */

static int region_info(uint8_t *arg)
{
	struct vfm_abi_region_info info;

	memcpy(&info, arg, sizeof(info));
	if (info.index >= fake.nr_regions)
		return -EINVAL;
	info.flags = fake.region_flags;
	info.size = fake.region_size;
	info.offset = fake.region_offset + ((uint64_t)info.index << 40);
	info.cap_offset = 0;
	if (info.index == 0 && fake.region_info_len) {
		if (info.argsz >= sizeof(info) + fake.region_info_len) {
			memcpy(arg + sizeof(info), fake.region_info, fake.region_info_len);
			info.cap_offset = fake.region_cap;
		}
		info.flags |= VFM_REGION_FLAG_CAPS;
		info.argsz = (uint32_t)(sizeof(info) + fake.region_info_len);
	}
	memcpy(arg, &info, sizeof(info));
	return 0;
}

static bool is_saving(uint32_t state)
{
	return state == VFM_STATE_STOP_COPY || state == VFM_STATE_PRE_COPY ||
	       state == VFM_STATE_PRE_COPY_P2P;
}

static int set_state(struct vfm_abi_mig_state *request, int ret)
{
	uint32_t from = fake.state, to = request->device_state;
	bool begins =
		(is_saving(to) && !is_saving(from)) || (to == VFM_STATE_RESUMING && from != to);

	assert_int_equal(request->data_fd, -1);
	if (ret) {
		fake.state = fake.state_after_failure;
		return ret;
	}
	fake.state = to;
	request->data_fd = (begins && !fake.keeps_fd) || fake.gives_fd ? new_fd(FAKE_DATA) : -1;
	return 0;
}

static int log_report(const struct vfm_abi_logging_report *r)
{
	uint64_t *bits = (uint64_t *)(uintptr_t)r->bitmap;

	if (fake.report_missing)
		return -EOPNOTSUPP;
	if (!fake.logging)
		return -EINVAL;
	for (uint64_t page = 0; page < 64; page++) {
		uint64_t iova = page * 4096;

		if (!(fake.log_dirty >> page & 1) || iova < r->iova || iova - r->iova >= r->length)
			continue;
		bits[(iova - r->iova) / r->page_size / 64] |=
			UINT64_C(1) << ((iova - r->iova) / r->page_size % 64);
		fake.log_dirty &= ~(UINT64_C(1) << page);
	}
	if (fake.log_spills)
		bits[(r->length / r->page_size - 1) / 64] |= UINT64_C(1) << 63;
	return 0;
}

/* Word by word what the core of the kernel looks at, before any driver. */
static int feature(struct vfm_abi_feature *head)
{
	static const struct {
		uint32_t flags;
		uint32_t len;
		const char *word;
	} known[] = {
		{ VFM_FEATURE_MIGRATION | VFM_FEATURE_GET, 8, "migration" },
		{ VFM_FEATURE_MIG_DEVICE_STATE | VFM_FEATURE_GET, 8, "get-state" },
		{ VFM_FEATURE_MIG_DEVICE_STATE | VFM_FEATURE_SET, 8, "set-state" },
		{ VFM_FEATURE_DMA_LOGGING_START | VFM_FEATURE_SET, 24, "log-start" },
		{ VFM_FEATURE_DMA_LOGGING_STOP | VFM_FEATURE_SET, 0, "log-stop" },
		{ VFM_FEATURE_DMA_LOGGING_REPORT | VFM_FEATURE_GET, 32, "log-report" },
		{ VFM_FEATURE_MIG_DATA_SIZE | VFM_FEATURE_GET, 8, "data-size" },
		{ VFM_FEATURE_MIG_PRECOPY_INFOV2 | VFM_FEATURE_SET, 0, "reinit" },
	};
	uint64_t *data = (uint64_t *)(head + 1);
	size_t i = 0;
	int ret;

	while (i < VFM_ARRAY_SIZE(known) && known[i].flags != head->flags)
		i++;
	if (i == VFM_ARRAY_SIZE(known))
		fail_msg("feature 0x%x", head->flags);
	assert_int_equal(head->argsz, sizeof(*head) + known[i].len);
	ret = enter(known[i].word,
		    i == 2 ? vfm_state_name(((struct vfm_abi_mig_state *)data)->device_state) : "");
	if (i == 2)
		return set_state((struct vfm_abi_mig_state *)data, ret);
	if (ret)
		return ret;
	switch (i) {
	case 0:
		*data = fake.migration;
		return fake.migrates ? 0 : -ENOTTY;
	case 1:
		*(struct vfm_abi_mig_state *)data = (struct vfm_abi_mig_state){ fake.state, -1 };
		return fake.migrates ? 0 : -ENOTTY;
	case 3:
		if (!fake.device_logs)
			return -ENOTTY;
		if (fake.logging)
			return -EINVAL;
		fake.logging = true;
		*data = fake.log_page ? fake.log_page : *data;
		return 0;
	case 4:
		ret = !fake.device_logs ? -ENOTTY : !fake.logging ? -EINVAL : 0;
		fake.logging = false;
		return ret;
	case 5:
		return fake.device_logs ? log_report((struct vfm_abi_logging_report *)data)
					: -ENOTTY;
	case 6:
		*data = fake.data_size;
		return 0;
	default:
		fake.opted_in = fake.knows_reinit;
		return fake.knows_reinit ? 0 : -ENOTTY;
	}
}

static int bind_device(struct vfm_abi_bind_iommufd *request)
{
	assert_true(request->argsz == 16 || request->argsz == sizeof(*request));
	assert_int_equal(request->flags, request->argsz == 16 ? 0 : VFM_BIND_TOKEN);
	assert_int_equal(kind_of(request->iommufd), FAKE_IOMMUFD);
	request->out_devid = 7;
	return 0;
}

static int device_irqs(struct vfm_abi_irq_info *info)
{
	assert_int_equal(info->argsz, sizeof(*info));
	info->flags = 0xff;
	info->count = info->index ? 8 : 1;
	return 0;
}

static int to_device(unsigned int request, void *arg)
{
	struct vfm_abi_device_info *info = arg;
	struct vfm_abi_attach_pt *attach = arg;
	int ret;

	switch (request) {
	case VFM_DEVICE_GET_INFO:
		assert_int_equal(info->argsz, sizeof(*info));
		ret = enter("info", "");
		info->flags = fake.flags;
		info->num_regions = fake.nr_regions;
		info->num_irqs = fake.nr_irqs;
		return ret;
	case VFM_DEVICE_GET_REGION_INFO:
		ret = enter("region", "");
		return ret ? ret : region_info(arg);
	case VFM_DEVICE_GET_IRQ_INFO:
		ret = enter("irq", "");
		return ret ? ret : device_irqs(arg);
	case VFM_DEVICE_SET_IRQS:
		assert_true(((struct vfm_abi_irq_set *)arg)->argsz <= sizeof(fake.irq_request));
		memcpy(fake.irq_request, arg, ((struct vfm_abi_irq_set *)arg)->argsz);
		return enter("set-irqs", "");
	case VFM_DEVICE_DO_RESET:
		ret = enter("reset", "");
		fake.resets += !ret;
		fake.state = ret || fake.keeps_state ? fake.state : VFM_STATE_RUNNING;
		return ret;
	case VFM_DEVICE_FEATURE:
		return feature(arg);
	case VFM_DEVICE_BIND_IOMMUFD:
		ret = enter("bind", "");
		return ret ? ret : bind_device(arg);
	case VFM_DEVICE_ATTACH_IOMMUFD_PT:
		assert_int_equal(attach->argsz, sizeof(*attach));
		ret = enter("attach", attach->pt_id == 5 ? "hwpt" : "ioas");
		if (!ret && attach->pt_id == 5 && fake.hwpt_attach_fails)
			return -EINVAL;
		fake.attached = ret ? 0 : attach->pt_id;
		return ret;
	default:
		fail_msg("request 0x%x to a device", request);
		return -ENOTTY;
	}
}

static int to_data(unsigned int request, void *arg)
{
	struct vfm_abi_precopy_info *info = arg;
	int ret = enter("precopy-info", "");

	assert_int_equal(request, VFM_MIG_GET_PRECOPY_INFO);
	assert_int_equal(info->argsz, sizeof(*info));
	assert_int_equal(info->flags, 0);
	if (ret)
		return ret;
	info->flags = fake.info_flags;
	info->initial_bytes = fake.initial;
	info->dirty_bytes = fake.dirty;
	return 0;
}

static int fake_ioctl(int fd, unsigned int request, void *arg)
{
	static int (*const to[FAKE_NR_KINDS])(unsigned int request, void *arg) = {
		[FAKE_CONTAINER] = to_container, [FAKE_GROUP] = to_group, [FAKE_DEVICE] = to_device,
		[FAKE_IOMMUFD] = to_iommufd,	 [FAKE_DATA] = to_data,
	};

	return to[kind_of(fd)](request, arg);
}

/* ---- bytes ---------------------------------------------------------------------------- */

static ssize_t access_bytes(uint8_t **at, size_t len, uint64_t offset)
{
	uint64_t in_region = offset - fake.region_offset;

	assert_true(in_region < FAKE_REGION_SIZE && len <= FAKE_REGION_SIZE - in_region);
	fake.last_width = len;
	*at = fake.memory + in_region;
	return fake.most_bytes ? (ssize_t)VFM_MIN(len, fake.most_bytes) : (ssize_t)len;
}

static ssize_t fake_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	int ret = enter("pread", "");
	uint8_t *at;
	ssize_t n;

	assert_int_equal(kind_of(fd), FAKE_DEVICE);
	if (ret)
		return ret == -EXDEV ? 0 : ret; /* no error: no bytes */
	n = access_bytes(&at, len, offset);
	memcpy(buf, at, (size_t)n);
	return n;
}

static ssize_t fake_pwrite(int fd, const void *buf, size_t len, uint64_t offset)
{
	int ret = enter("pwrite", "");
	uint8_t *at;
	ssize_t n;

	assert_int_equal(kind_of(fd), FAKE_DEVICE);
	if (ret)
		return ret == -EXDEV ? 0 : ret;
	n = access_bytes(&at, len, offset);
	memcpy(at, buf, (size_t)n);
	return n;
}

static ssize_t next_data(const char *word, int fd, size_t len)
{
	int ret = enter(word, "");
	ssize_t n;

	assert_int_equal(kind_of(fd), FAKE_DATA);
	if (ret)
		return ret;
	assert_true(fake.nr_gives);
	n = fake.gives[VFM_MIN(fake.given, fake.nr_gives - 1)];
	fake.given++;
	return n > (ssize_t)len ? (ssize_t)len : n;
}

static ssize_t fake_read(int fd, void *buf, size_t len)
{
	ssize_t n = next_data("read", fd, len);

	if (n > 0)
		memset(buf, 'd', (size_t)n);
	return n;
}

static ssize_t fake_write(int fd, const void *buf, size_t len)
{
	(void)buf;
	return next_data("write", fd, len);
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
	return enter("block", "");
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
