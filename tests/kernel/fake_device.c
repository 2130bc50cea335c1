// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* The host by hand: its device, with regions, interrupts, migration, a dirty log and data. */

#include "fake_impl.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

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
	request->data_fd =
		(begins && !fake.keeps_fd) || fake.gives_fd ? fake_new_fd(FAKE_DATA) : -1;
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
	ret = fake_enter(known[i].word,
			 i == 2 ? vfm_state_name(((struct vfm_abi_mig_state *)data)->device_state)
				: "");
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
	assert_int_equal(fake_kind_of(request->iommufd), FAKE_IOMMUFD);
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

int fake_to_device(unsigned int request, void *arg)
{
	struct vfm_abi_device_info *info = arg;
	struct vfm_abi_attach_pt *attach = arg;
	int ret;

	switch (request) {
	case VFM_DEVICE_GET_INFO:
		assert_int_equal(info->argsz, sizeof(*info));
		ret = fake_enter("info", "");
		info->flags = fake.flags;
		info->num_regions = fake.nr_regions;
		info->num_irqs = fake.nr_irqs;
		return ret;
	case VFM_DEVICE_GET_REGION_INFO:
		ret = fake_enter("region", "");
		return ret ? ret : region_info(arg);
	case VFM_DEVICE_GET_IRQ_INFO:
		ret = fake_enter("irq", "");
		return ret ? ret : device_irqs(arg);
	case VFM_DEVICE_SET_IRQS:
		assert_true(((struct vfm_abi_irq_set *)arg)->argsz <= sizeof(fake.irq_request));
		memcpy(fake.irq_request, arg, ((struct vfm_abi_irq_set *)arg)->argsz);
		return fake_enter("set-irqs", "");
	case VFM_DEVICE_DO_RESET:
		ret = fake_enter("reset", "");
		fake.resets += !ret;
		fake.state = ret || fake.keeps_state ? fake.state : VFM_STATE_RUNNING;
		return ret;
	case VFM_DEVICE_FEATURE:
		return feature(arg);
	case VFM_DEVICE_BIND_IOMMUFD:
		ret = fake_enter("bind", "");
		return ret ? ret : bind_device(arg);
	case VFM_DEVICE_ATTACH_IOMMUFD_PT:
		assert_int_equal(attach->argsz, sizeof(*attach));
		ret = fake_enter("attach", attach->pt_id == 5 ? "hwpt" : "ioas");
		if (!ret && attach->pt_id == 5 && fake.hwpt_attach_fails)
			return -EINVAL;
		fake.attached = ret ? 0 : attach->pt_id;
		return ret;
	default:
		fail_msg("request 0x%x to a device", request);
		return -ENOTTY;
	}
}

int fake_to_data(unsigned int request, void *arg)
{
	struct vfm_abi_precopy_info *info = arg;
	int ret = fake_enter("precopy-info", "");

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

/* ---- bytes ---------------------------------------------------------------------------- */

static ssize_t access_bytes(uint8_t **at, size_t len, uint64_t offset)
{
	uint64_t in_region = offset - fake.region_offset;

	assert_true(in_region < FAKE_REGION_SIZE && len <= FAKE_REGION_SIZE - in_region);
	fake.last_width = len;
	*at = fake.memory + in_region;
	return fake.most_bytes ? (ssize_t)VFM_MIN(len, fake.most_bytes) : (ssize_t)len;
}

ssize_t fake_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	int ret = fake_enter("pread", "");
	uint8_t *at;
	ssize_t n;

	assert_int_equal(fake_kind_of(fd), FAKE_DEVICE);
	if (ret)
		return ret == -EXDEV ? 0 : ret; /* no error: no bytes */
	n = access_bytes(&at, len, offset);
	memcpy(buf, at, (size_t)n);
	return n;
}

ssize_t fake_pwrite(int fd, const void *buf, size_t len, uint64_t offset)
{
	int ret = fake_enter("pwrite", "");
	uint8_t *at;
	ssize_t n;

	assert_int_equal(fake_kind_of(fd), FAKE_DEVICE);
	if (ret)
		return ret == -EXDEV ? 0 : ret;
	n = access_bytes(&at, len, offset);
	memcpy(at, buf, (size_t)n);
	return n;
}

static ssize_t next_data(const char *word, int fd, size_t len)
{
	int ret = fake_enter(word, "");
	ssize_t n;

	assert_int_equal(fake_kind_of(fd), FAKE_DATA);
	if (ret)
		return ret;
	assert_true(fake.nr_gives);
	n = fake.gives[VFM_MIN(fake.given, fake.nr_gives - 1)];
	fake.given++;
	return n > (ssize_t)len ? (ssize_t)len : n;
}

ssize_t fake_read(int fd, void *buf, size_t len)
{
	ssize_t n = next_data("read", fd, len);

	if (n > 0)
		memset(buf, 'd', (size_t)n);
	return n;
}

ssize_t fake_write(int fd, const void *buf, size_t len)
{
	(void)buf;
	return next_data("write", fd, len);
}
