// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "util.h"
#include "server-device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/bitmap.h"
#include "base/util.h"
#include "protocol/v2.h"

static struct test_device *of(struct vfm_device *dev)
{
	return (struct test_device *)dev;
}

uint8_t test_data_byte(size_t at)
{
	return (uint8_t)(at * 7 + (at >> 8));
}

static void drop_map(struct test_device *t, unsigned int n)
{
	if (t->maps[n].fd >= 0)
		close(t->maps[n].fd);
	t->maps[n] = t->maps[--t->nr_maps];
}

static void unwire(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void dev_close(struct vfm_device *dev)
{
	struct test_device *t = of(dev);

	while (t->nr_maps)
		drop_map(t, 0);
	for (unsigned int i = 0; i < TEST_NR_IRQS * TEST_VECTORS; i++)
		unwire(&t->irqs[i / TEST_VECTORS][i % TEST_VECTORS]);
	for (unsigned int i = 0; i < 3; i++)
		close(t->io_fds[i]);
	close(t->memfd);
	close(t->work_fd);
	free(t->written);
}

static int dev_get_info(struct vfm_device *dev, struct vfm_device_info *info, struct vfm_err *err)
{
	(void)err;
	*info = (struct vfm_device_info){ .flags = VFM_DEVICE_RESET | VFM_DEVICE_PCI,
					  .nr_regions = TEST_NR_REGIONS,
					  .nr_irqs = TEST_NR_IRQS };
	return of(dev)->fail;
}

static int dev_get_region(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			  struct vfm_err *err)
{
	if (index >= TEST_NR_REGIONS && !of(dev)->careless)
		return vfm_fail(err, -EINVAL, "region %u", index);
	memset(region, 0x5a, sizeof(*region));
	region->index = index;
	region->flags = VFM_REGION_READ | VFM_REGION_WRITE;
	region->size = index == 4 ? 0 : TEST_REGION_SIZE;
	region->type = region->subtype = 0;
	region->fd = -1;
	region->nr_areas = 0;
	if (index == TEST_READ_ONLY_REGION)
		region->flags = VFM_REGION_READ;
	if (index != TEST_MAPPED_REGION && index != TEST_WHOLE_REGION)
		return of(dev)->fail;
	region->flags |= VFM_REGION_MMAP;
	region->fd = of(dev)->memfd;
	region->fd_offset = index * 0x1000u;
	if (index == TEST_WHOLE_REGION)
		return of(dev)->fail;
	region->type = 0x80001234;
	region->subtype = 7;
	region->nr_areas = 2;
	region->size = TEST_MAPPED_SIZE;
	region->areas[0] = (struct vfm_area){ 0, 4096 };
	region->areas[1] = (struct vfm_area){ 8192, of(dev)->careless ? 512 : 4096 };
	return of(dev)->fail;
}

/* The DMA that a write to a register asks for. */
static int dma(struct test_device *t, uint64_t iova, uint64_t len, bool write)
{
	for (unsigned int i = 0; i < t->nr_maps; i++) {
		struct test_map *m = &t->maps[i];

		if (iova < m->iova || iova - m->iova >= m->size || len > sizeof(t->buffer))
			continue;
		if (m->fd >= 0)
			return (write ? pwrite(m->fd, t->buffer, len,
					       (off_t)(m->fd_offset + iova - m->iova))
				      : pread(m->fd, t->buffer, len,
					      (off_t)(m->fd_offset + iova - m->iova))) ==
					       (ssize_t)len
				       ? 0
				       : -EIO;
		return write ? m->access.write(m->access.user, iova, t->buffer, len)
			     : m->access.read(m->access.user, iova, t->buffer, len);
	}
	return -EFAULT;
}

static int check_access(struct test_device *t, uint32_t index, uint64_t offset, size_t len,
			struct vfm_err *err)
{
	if (t->fail)
		return t->fail;
	if (t->careless)
		return 0;
	if (index >= 4 || !vfm_range_inside(offset, len, TEST_REGION_SIZE))
		return vfm_fail(err, -EINVAL, "region %u", index);
	return 0;
}

static int dev_read_region(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			   size_t len, struct vfm_err *err)
{
	struct test_device *t = of(dev);
	int ret = check_access(t, index, offset, len, err);

	if (ret)
		return ret;
	if (t->careless)
		memset(buf, 0, len);
	else if (offset == TEST_REG_DMA_RESULT && len == 4)
		memcpy(buf, &t->dma_result, 4);
	else
		memcpy(buf, t->region + offset, len);
	return 0;
}

static int dev_write_region(struct vfm_device *dev, uint32_t index, uint64_t offset,
			    const void *buf, size_t len, struct vfm_err *err)
{
	struct test_device *t = of(dev);
	int ret = check_access(t, index, offset, len, err);
	uint64_t arg[2];

	if (!ret && index == TEST_READ_ONLY_REGION)
		ret = -EPERM;
	if (ret || t->careless)
		return ret;
	if ((offset == TEST_REG_DMA_READ || offset == TEST_REG_DMA_WRITE) && len == 16) {
		uint8_t before[16];

		memcpy(before, buf, 16);
		memcpy(arg, buf, 16);
		t->dma_result = dma(t, arg[0], arg[1], offset == TEST_REG_DMA_WRITE);
		/* the server must not have touched what it gave us while it waited */
		assert_memory_equal(before, buf, 16);
		return 0;
	}
	memcpy(t->region + offset, buf, len);
	return 0;
}

static int dev_get_io_fds(struct vfm_device *dev, uint32_t index, struct vfm_io_fd *list,
			  size_t max, struct vfm_err *err)
{
	static const int which[4] = { 0, 1, 0, 2 };
	struct test_device *t = of(dev);

	if (index >= TEST_NR_REGIONS)
		return vfm_fail(err, -EINVAL, "region %u", index);
	if (index)
		return 0;
	for (size_t i = 0; i < 4 && i < max; i++)
		list[i] = (struct vfm_io_fd){ .offset = 0x200 + i * 4,
					      .size = 4,
					      .fd = t->io_fds[which[i]],
					      .type = VFM_IO_EVENTFD,
					      .flags = 1,
					      .datamatch = 0x1122334455667788u + i };
	return 4;
}

static int dev_get_irq(struct vfm_device *dev, uint32_t index, struct vfm_irq *irq,
		       struct vfm_err *err)
{
	if (of(dev)->careless)
		index %= TEST_NR_IRQS;
	if (index >= TEST_NR_IRQS)
		return vfm_fail(err, -EINVAL, "interrupt %u", index);
	*irq = (struct vfm_irq){ .index = index,
				 .flags = VFM_IRQ_EVENTFD | VFM_IRQ_MASKABLE,
				 .count = ((uint32_t[]){ 1, TEST_VECTORS, 0 })[index] };
	return of(dev)->fail;
}

static int dev_set_irqs(struct vfm_device *dev, const struct vfm_irq_set *set, struct vfm_err *err)
{
	struct test_device *t = of(dev);
	struct vfm_irq irq;
	int ret = set->index < TEST_NR_IRQS ? 0 : -EINVAL;

	t->last_irq_flags = set->flags;
	if (!ret && !(set->count == 0 && set->flags & VFM_IRQ_SET_DATA_NONE))
		ret = dev_get_irq(dev, set->index, &irq, err);
	if (ret)
		return ret;
	if (!set->count && set->flags & VFM_IRQ_SET_DATA_NONE) {
		for (unsigned int i = 0; i < TEST_VECTORS; i++)
			unwire(&t->irqs[set->index][i]);
		return 0;
	}
	if (!set->count || !vfm_range_inside(set->start, set->count, irq.count))
		return vfm_fail(err, -EINVAL, "vectors");
	for (uint32_t i = 0; i < set->count; i++) {
		if (set->bools)
			t->last_bools[set->start + i] = set->bools[i];
		if (!(set->flags & VFM_IRQ_SET_DATA_EVENTFD))
			continue;
		unwire(&t->irqs[set->index][set->start + i]);
		if (set->fds)
			t->irqs[set->index][set->start + i] =
				fcntl(set->fds[i], F_DUPFD_CLOEXEC, 0);
	}
	return 0;
}

unsigned int test_device_wired(const struct test_device *t)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < TEST_NR_IRQS * TEST_VECTORS; i++)
		n += t->irqs[i / TEST_VECTORS][i % TEST_VECTORS] >= 0;
	return n;
}

static int dev_map_dma(struct vfm_device *dev, const struct vfm_dma_map *map, struct vfm_err *err)
{
	struct test_device *t = of(dev);

	if (t->fail)
		return t->fail;
	if (t->nr_maps == TEST_MAX_MAPS)
		return vfm_fail(err, -ENOSPC, "maps");
	t->maps[t->nr_maps++] = (struct test_map){
		.iova = map->iova,
		.size = map->size,
		.flags = map->flags,
		.fd_offset = map->fd_offset,
		.fd = map->fd < 0 ? -1 : fcntl(map->fd, F_DUPFD_CLOEXEC, 0),
		.access = map->access,
	};
	return 0;
}

static int dev_unmap_dma(struct vfm_device *dev, uint64_t iova, uint64_t size, struct vfm_err *err)
{
	struct test_device *t = of(dev);

	(void)err;
	if (t->fail)
		return t->fail;
	for (unsigned int i = 0; i < t->nr_maps; i++) {
		if (t->maps[i].iova == iova && t->maps[i].size == size) {
			drop_map(t, i);
			return 0;
		}
	}
	return -ENOENT;
}

static int dev_unmap_all(struct vfm_device *dev, struct vfm_err *err)
{
	struct test_device *t = of(dev);

	(void)err;
	while (t->nr_maps)
		drop_map(t, 0);
	return 0;
}

static int dev_get_migration(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err)
{
	*migration = of(dev)->migration;
	return *migration ? 0 : vfm_fail(err, -ENOTTY, "cannot migrate");
}

static int dev_get_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	*state = of(dev)->state;
	return of(dev)->migration ? 0 : vfm_fail(err, -ENOTTY, "cannot migrate");
}

static int dev_set_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct test_device *t = of(dev);

	t->set_states++;
	if (t->fail)
		return t->fail;
	while (t->state != state) {
		enum vfm_state next;
		int ret = vfm_next_state(t->migration, t->state, state, &next);

		if (ret)
			return vfm_fail(err, ret, "no path");
		if (vfm_arc_session(t->state, next) != VFM_SESSION_KEEP)
			t->data_at = 0;
		t->state = next;
	}
	return 0;
}

static ssize_t dev_read_data(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	struct test_device *t = of(dev);
	size_t n = VFM_MIN(len, t->data_size - t->data_at);

	if (t->fail)
		return t->fail;
	if (t->careless)
		return 0;
	if (!vfm_state_is_saving(t->state))
		return vfm_fail(err, -EINVAL, "no session");
	if (!n)
		return t->state == VFM_STATE_STOP_COPY ? 0 : -ENOMSG;
	if (t->largest_piece)
		n = VFM_MIN(n, t->largest_piece);
	for (size_t i = 0; i < n; i++)
		((uint8_t *)buf)[i] = test_data_byte(t->data_at + i);
	t->data_at += n;
	return (ssize_t)n;
}

static int dev_write_data(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err)
{
	struct test_device *t = of(dev);

	if (t->fail)
		return t->fail;
	if (t->state != VFM_STATE_RESUMING || len > TEST_DATA_SIZE - t->data_at)
		return vfm_fail(err, -EINVAL, "no session");
	memcpy(t->written + t->data_at, buf, len);
	t->data_at += len;
	return 0;
}

static int dev_get_precopy_info(struct vfm_device *dev, struct vfm_precopy_info *info,
				struct vfm_err *err)
{
	struct test_device *t = of(dev);

	if (!vfm_state_is_precopy(t->state))
		return vfm_fail(err, -EINVAL, "not in pre-copy");
	*info = (struct vfm_precopy_info){ 11, 22, true };
	return 0;
}

static int dev_get_data_size(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err)
{
	(void)err;
	*bytes = of(dev)->data_size;
	return 0;
}

static int dev_reset(struct vfm_device *dev, struct vfm_err *err)
{
	struct test_device *t = of(dev);

	if (t->no_reset)
		return vfm_fail(err, -ENOTTY, "no reset");
	if (t->fail)
		return t->fail;
	t->resets++;
	t->state = VFM_STATE_RUNNING;
	return 0;
}

static int dev_get_compat(struct vfm_device *dev, struct vfm_compat *compat, struct vfm_err *err)
{
	(void)dev;
	(void)err;
	memset(compat, 0x5a, sizeof(*compat));
	strcpy(compat->model, "vfmig,test");
	strcpy(compat->params, "a=1");
	compat->version = 9;
	compat->min_version = 4;
	compat->judges_params = true;
	return 0;
}

static int dev_start_log(struct vfm_device *dev, uint64_t *page_size,
			 const struct vfm_range *ranges, size_t nr_ranges, struct vfm_err *err)
{
	struct test_device *t = of(dev);

	if (t->no_log)
		return vfm_fail(err, -ENOTTY, "no log");
	if (t->log_page_size)
		return vfm_fail(err, -EINVAL, "a log is running");
	t->starts++;
	*page_size = VFM_MAX(*page_size, (uint64_t)4096);
	t->log_page_size = *page_size;
	memcpy(t->log_ranges, ranges, nr_ranges * sizeof(*ranges));
	t->nr_log_ranges = nr_ranges;
	return 0;
}

/* What it was told to log, and has not reported yet. */
static void report_exactly(struct test_device *t, uint64_t iova, uint64_t size, uint64_t page_size,
			   uint64_t *bitmap)
{
	bool logged = false;

	for (size_t i = 0; i < t->nr_log_ranges; i++)
		logged |= iova >= t->log_ranges[i].iova &&
			  iova + size <= t->log_ranges[i].iova + t->log_ranges[i].size;
	assert_true(logged);
	for (uint64_t page = iova / 4096; page <= (iova + size - 1) / 4096; page++) {
		if (page >= TEST_LOG_PAGES || !t->log_written[page])
			continue;
		t->log_written[page] = false;
		vfm_bitmap_set(bitmap, (page * 4096 - iova) / page_size);
	}
}

/* Every third page is dirty, by its number. */
static int dev_report_log(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
			  uint64_t *bitmap, struct vfm_err *err)
{
	struct test_device *t = of(dev);

	if (t->careless) {
		memset(bitmap, 0xff, vfm_log_bitmap_words(size, page_size) * sizeof(*bitmap));
		return 0;
	}
	if (!t->log_page_size)
		return vfm_fail(err, t->no_log ? -ENOTTY : -EINVAL, "no log");
	assert_int_equal((uintptr_t)bitmap % sizeof(uint64_t), 0);
	t->reports++;
	t->maps_at_report = t->nr_maps;
	if (t->fail_report)
		return vfm_fail(err, t->fail_report, "the log is broken");
	if (t->log_exact) {
		report_exactly(t, iova, size, page_size, bitmap);
		return 0;
	}
	for (uint64_t i = 0; i < (size + page_size - 1) / page_size; i++) {
		assert_false(vfm_bitmap_test(bitmap, i));
		if ((iova / page_size + i) % 3 == 0)
			vfm_bitmap_set(bitmap, i);
	}
	return 0;
}

static int dev_stop_log(struct vfm_device *dev, struct vfm_err *err)
{
	struct test_device *t = of(dev);

	if (!t->log_page_size)
		return vfm_fail(err, t->no_log ? -ENOTTY : -EINVAL, "no log");
	t->stops++;
	t->log_page_size = 0;
	return 0;
}

static int dev_get_fd(struct vfm_device *dev)
{
	return of(dev)->work_fd;
}

static int dev_process(struct vfm_device *dev, struct vfm_err *err)
{
	struct test_device *t = of(dev);
	eventfd_t value;

	(void)err;
	eventfd_read(t->work_fd, &value);
	t->processed++;
	if (t->dma_in_process)
		t->dma_result = dma(t, 0, 8, false);
	return t->fail;
}

static const struct vfm_device_ops ops = {
	.close = dev_close,
	.get_info = dev_get_info,
	.get_region = dev_get_region,
	.read_region = dev_read_region,
	.write_region = dev_write_region,
	.get_io_fds = dev_get_io_fds,
	.get_irq = dev_get_irq,
	.set_irqs = dev_set_irqs,
	.map_dma = dev_map_dma,
	.unmap_dma = dev_unmap_dma,
	.unmap_all = dev_unmap_all,
	.get_migration = dev_get_migration,
	.get_state = dev_get_state,
	.set_state = dev_set_state,
	.read_data = dev_read_data,
	.write_data = dev_write_data,
	.get_precopy_info = dev_get_precopy_info,
	.get_data_size = dev_get_data_size,
	.reset = dev_reset,
	.get_compat = dev_get_compat,
	.start_log = dev_start_log,
	.report_log = dev_report_log,
	.stop_log = dev_stop_log,
	.get_fd = dev_get_fd,
	.process = dev_process,
};

struct test_device *test_device_new(void)
{
	struct test_device *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	assert_int_equal(vfm_device_init(&t->dev, &ops, "test:", NULL), 0);
	t->migration = VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_P2P | VFM_MIGRATION_PRE_COPY;
	t->state = VFM_STATE_RUNNING;
	t->data_size = TEST_DATA_SIZE;
	t->written = malloc(TEST_DATA_SIZE);
	t->memfd = memfd_create("region", MFD_CLOEXEC);
	assert_int_equal(ftruncate(t->memfd, 16384), 0);
	t->work_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	for (int i = 0; i < 3; i++)
		t->io_fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	memset(t->irqs, 0xff, sizeof(t->irqs));
	return t;
}
