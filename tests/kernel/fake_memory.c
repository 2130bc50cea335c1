// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* The host by hand: what memory is mapped in, by either way, and how a device is got from it. */

#include "fake_impl.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "random.h"

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
	for (uint64_t seed = fake.damage, n = seed % 5; n; n--)
		all[test_random_below(&seed, info.argsz)] ^= (uint8_t)test_random(&seed);
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

int fake_to_container(unsigned int request, void *arg)
{
	static const char *const words[] = { "start", "stop", "get" };
	struct vfm_abi_dma_map map;
	struct vfm_abi_dma_unmap unmap;
	int ret;

	switch (request) {
	case VFM_CONTAINER_GET_API_VERSION:
		ret = fake_enter("version", "");
		return ret ? ret : fake.version;
	case VFM_CONTAINER_CHECK_EXTENSION:
		assert_int_equal((uintptr_t)arg, VFM_IOMMU_TYPE1V2);
		ret = fake_enter("type1?", "");
		return ret ? ret : !fake.no_type1;
	case VFM_CONTAINER_SET_IOMMU:
		assert_int_equal((uintptr_t)arg, VFM_IOMMU_TYPE1V2);
		return fake_enter("type1", "");
	case VFM_CONTAINER_GET_INFO:
		ret = fake_enter("limits", "");
		return ret ? ret : type1_info(arg);
	case VFM_CONTAINER_MAP_DMA:
		memcpy(&map, arg, sizeof(map));
		assert_int_equal(map.argsz, sizeof(map));
		assert_int_equal(map.flags & ~(VFM_DMA_READ | VFM_DMA_WRITE), 0);
		ret = fake_enter("map", "");
		return ret ? ret : add_map(map.iova, map.size, map.vaddr, map.flags);
	case VFM_CONTAINER_UNMAP_DMA:
		memcpy(&unmap, arg, sizeof(unmap));
		ret = fake_enter("unmap", unmap.flags ? "report" : "");
		if (!ret)
			ret = unmap_report(&unmap, (uint8_t *)arg + sizeof(unmap));
		if (ret)
			return ret;
		unmap.size = drop_map(unmap.iova, unmap.size);
		memcpy(arg, &unmap, sizeof(unmap));
		return 0;
	case VFM_CONTAINER_DIRTY_PAGES:
		ret = fake_enter("dirty", words[((struct vfm_abi_dirty_bitmap *)arg)->flags / 2]);
		return ret ? ret : container_dirty(arg);
	default:
		fail_msg("request 0x%x to a container", request);
		return -ENOTTY;
	}
}

int fake_to_group(unsigned int request, void *arg)
{
	struct vfm_abi_group_status *status = arg;
	int ret;

	switch (request) {
	case VFM_GROUP_GET_STATUS:
		assert_int_equal(status->argsz, sizeof(*status));
		ret = fake_enter("status", "");
		status->flags = fake.not_viable ? 0 : VFM_GROUP_VIABLE;
		return ret;
	case VFM_GROUP_SET_CONTAINER:
		assert_int_equal(fake_kind_of(*(int *)arg), FAKE_CONTAINER);
		return fake_enter("join", "");
	case VFM_GROUP_GET_DEVICE_FD:
		ret = fake_enter("device", arg);
		return ret ? ret : fake_new_fd(FAKE_DEVICE);
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

int fake_to_iommufd(unsigned int request, void *arg)
{
	int ret;

	switch (request) {
	case VFM_IOMMUFD_IOAS_ALLOC:
		ret = fake_enter("ioas", "");
		((struct vfm_abi_ioas_alloc *)arg)->out_ioas_id = 2;
		return ret;
	case VFM_IOMMUFD_HWPT_ALLOC:
		ret = fake_enter("hwpt", "");
		return ret ? ret : hwpt_alloc(arg);
	case VFM_IOMMUFD_DESTROY:
		ret = fake_enter("destroy", "");
		fake.hwpts--;
		return ret;
	case VFM_IOMMUFD_IOAS_IOVA_RANGES:
		ret = fake_enter("ranges", "");
		return ret ? ret : iova_ranges(arg);
	case VFM_IOMMUFD_IOAS_MAP:
		ret = fake_enter("map", "");
		return ret ? ret : ioas_map(arg);
	case VFM_IOMMUFD_IOAS_UNMAP:
		ret = fake_enter("unmap", "");
		return ret ? ret : ioas_unmap(arg);
	case VFM_IOMMUFD_HWPT_SET_DIRTY:
		ret = fake_enter("dirty",
				 ((struct vfm_abi_hwpt_set_dirty *)arg)->flags ? "start" : "stop");
		fake.iommu_logs = ((struct vfm_abi_hwpt_set_dirty *)arg)->flags;
		return ret;
	case VFM_IOMMUFD_HWPT_GET_DIRTY:
		ret = fake_enter("dirty", "get");
		return ret ? ret : hwpt_report(arg);
	default:
		fail_msg("request 0x%x to an iommufd", request);
		return -ENOTTY;
	}
}

int fake_mmap(void **at, size_t len, int prot, int fd, uint64_t offset)
{
	int ret = fake_enter("mmap", "");

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

void fake_munmap(void *at, size_t len)
{
	(void)at;
	(void)len;
	fake_note("munmap", "");
	fake.mmaps--;
}
