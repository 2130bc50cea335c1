// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Memory: what may be added, where it is found, and that a device reaches the same bytes. */

#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE UINT64_C(4096)
#define RW (VFM_DMA_READ | VFM_DMA_WRITE)

static void what_may_be_added(void **state)
{
	static const struct {
		uint64_t iova, size;
		uint32_t flags;
		int expect;
	} adds[] = {
		{ PAGE, PAGE, RW, 0 },
		{ PAGE, PAGE, RW, -EEXIST },
		{ 0, 2 * PAGE, RW, -EEXIST },
		{ 0, PAGE, VFM_DMA_READ, 0 },
		{ 2 * PAGE, PAGE, VFM_DMA_WRITE, 0 },
		{ 10 * PAGE, 0, RW, -EINVAL },
		{ 10 * PAGE, PAGE - 1, RW, -EINVAL },
		{ 10 * PAGE + 1, PAGE, RW, -EINVAL },
		{ 10 * PAGE, PAGE, 0, -EINVAL },
		{ 10 * PAGE, PAGE, 4 | RW, -EINVAL },
		{ -PAGE, 2 * PAGE, RW, -EINVAL },
		{ -PAGE, PAGE, RW, 0 },
		{ 10 * PAGE, UINT64_C(1) << 63, RW, -EINVAL },
	};
	struct vfm_memory *mem;
	unsigned int fds = test_count_fds();
	uint32_t flags;

	(void)state;
	assert_int_equal(vfm_memory_new(&mem, NULL), 0);
	for (size_t i = 0; i < sizeof(adds) / sizeof(adds[0]); i++)
		assert_int_equal(vfm_memory_add(mem, adds[i].iova, adds[i].size, adds[i].flags,
						NULL),
				 adds[i].expect);
	assert_int_equal(vfm_memory_count(mem), 4);
	assert_int_equal(vfm_memory_total(mem), 4 * PAGE);
	assert_int_equal(vfm_memory_get(mem, 2, &flags).iova, 2 * PAGE);
	assert_int_equal(flags, VFM_DMA_WRITE);
	/* Ranges that touch are two. */
	assert_non_null(vfm_memory_at(mem, PAGE, PAGE));
	assert_null(vfm_memory_at(mem, PAGE, PAGE + 1));
	assert_null(vfm_memory_at(mem, 3 * PAGE, 1));
	assert_non_null(vfm_memory_at(mem, UINT64_MAX, 1));
	assert_null(vfm_memory_at(mem, UINT64_MAX, 2));
	assert_null(vfm_memory_at(mem, PAGE, UINT64_MAX));
	vfm_memory_free(mem);
	vfm_memory_free(NULL);
	assert_int_equal(test_count_fds(), fds);
}

static void most_ranges(void **state)
{
	struct vfm_memory *mem;

	(void)state;
	assert_int_equal(vfm_memory_new(&mem, NULL), 0);
	for (uint64_t i = 0; i < VFM_MEMORY_MAX_RANGES; i++)
		assert_int_equal(vfm_memory_add(mem, 2 * i * PAGE, PAGE, RW, NULL), 0);
	assert_int_equal(vfm_memory_add(mem, UINT64_C(1) << 40, PAGE, RW, NULL), -ENOSPC);
	vfm_memory_free(mem);
}

static void memory_that_exists(void **state)
{
	int fd = memfd_create("mine", MFD_CLOEXEC);
	int ro;
	struct vfm_memory *mem;
	char path[32];

	(void)state;
	assert_int_equal(ftruncate(fd, 8 * 4096), 0);
	assert_int_equal(pwrite(fd, "here", 4, 3 * 4096), 4);
	assert_int_equal(lseek(fd, 77, SEEK_SET), 77);
	assert_int_equal(vfm_memory_new(&mem, NULL), 0);
	assert_int_equal(vfm_memory_add_fd(mem, 0, 6 * PAGE, RW, fd, 3 * PAGE, NULL), -EINVAL);
	assert_int_equal(vfm_memory_add_fd(mem, 0, PAGE, RW, fd, UINT64_MAX, NULL), -EINVAL);
	assert_int_equal(vfm_memory_add_fd(mem, 0, PAGE, RW, -1, 0, NULL), -EBADF);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(vfm_memory_add_fd(mem, 0, PAGE, RW, ro, 0, NULL), -EACCES);
	close(ro);
	assert_int_equal(vfm_memory_count(mem), 0);
	assert_int_equal(vfm_memory_add_fd(mem, 0, 5 * PAGE, RW, fd, 3 * PAGE, NULL), 0);
	assert_memory_equal(vfm_memory_at(mem, 0, 4), "here", 4);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 77);
	close(fd);
	/* Ours is a duplicate. */
	assert_memory_equal(vfm_memory_at(mem, 0, 4), "here", 4);
	vfm_memory_free(mem);
}

/* The device writes where we read; after a failure nothing is mapped. */
static void mapped_for_a_device(void **state)
{
	(void)state;
	for (unsigned int at = 0; at <= 3; at++) {
		uint8_t expect[64];
		struct vfm_memory *mem;
		struct rig r;
		int ret;

		rig_open(&r, "state=4K,bar=8K", 0);
		assert_int_equal(vfm_memory_new(&mem, NULL), 0);
		for (uint64_t i = 0; i < 3; i++)
			assert_int_equal(vfm_memory_add(mem, i * PAGE, PAGE, RW, NULL), 0);
		r.ws->fault = at & 1 ? WRAP_BEFORE : WRAP_AFTER;
		r.ws->at = at;
		ret = vfm_memory_map(mem, &r.ws->dev, &r.err);
		assert_int_equal(ret, at ? -EIO : 0);
		if (at) {
			assert_int_equal(vfm_memory_map(mem, r.src, NULL), 0);
			assert_int_equal(vfm_memory_unmap(mem, r.src, NULL), 0);
			assert_int_equal(vfm_memory_unmap(mem, r.src, NULL), -ENOENT);
		} else {
			assert_int_equal(vfm_sim_enable(r.src, false, NULL), 0);
			assert_int_equal(vfm_sim_write(r.src, VFM_SIM_REG_JOB_OP, VFM_SIM_JOB_FILL,
						       NULL),
					 0);
			assert_int_equal(
				vfm_sim_write(r.src, VFM_SIM_REG_JOB_IOVA, PAGE + 100, NULL), 0);
			assert_int_equal(vfm_sim_write(r.src, VFM_SIM_REG_JOB_LEN, 64, NULL), 0);
			assert_int_equal(vfm_sim_write(r.src, VFM_SIM_REG_JOB_SEED, 5, NULL), 0);
			assert_int_equal(vfm_sim_write(r.src, VFM_SIM_REG_JOB_DOORBELL, 1, NULL),
					 0);
			vfm_sim_fill(5, 0, expect, sizeof(expect));
			assert_memory_equal(vfm_memory_at(mem, PAGE + 100, 64), expect, 64);
			assert_int_equal(vfm_memory_unmap(mem, r.src, NULL), 0);
		}
		vfm_memory_free(mem);
		rig_close(&r);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_may_be_added),
		cmocka_unit_test(most_ranges),
		cmocka_unit_test(memory_that_exists),
		cmocka_unit_test(mapped_for_a_device),
	};

	return RUN_TESTS(tests);
}
