// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* One-shot jobs, by register and by doorbell descriptor, and the memory BAR they use. */

#include "sim_test.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"

#define IOVA UINT64_C(0x40000000)
#define SIZE (512u * 1024)

static uint8_t *mem;

static struct vfm_device *open_jobs(void)
{
	struct vfm_device *dev = open_sim("state=4K,bar=256K");

	memset(mem, 0, SIZE);
	map_vaddr(dev, IOVA, mem, SIZE);
	assert_int_equal(vfm_sim_enable(dev, true, NULL), 0);
	return dev;
}

static void program_job(struct vfm_device *dev, uint64_t op, uint64_t iova, uint64_t len,
			uint64_t offset, uint64_t seed)
{
	reg_write(dev, VFM_SIM_REG_JOB_OP, op);
	reg_write(dev, VFM_SIM_REG_JOB_IOVA, iova);
	reg_write(dev, VFM_SIM_REG_JOB_LEN, len);
	reg_write(dev, VFM_SIM_REG_JOB_OFFSET, offset);
	reg_write(dev, VFM_SIM_REG_JOB_SEED, seed);
}

/* The error of a job; 0 when it was done. */
static uint64_t run_job(struct vfm_device *dev, uint64_t op, uint64_t iova, uint64_t len,
			uint64_t offset, uint64_t seed)
{
	uint64_t before = reg_read(dev, VFM_SIM_REG_JOB_COUNT), error;

	program_job(dev, op, iova, len, offset, seed);
	reg_write(dev, VFM_SIM_REG_JOB_DOORBELL, 1);
	error = reg_read(dev, VFM_SIM_REG_JOB_ERROR);
	assert_int_equal(reg_read(dev, VFM_SIM_REG_JOB_COUNT), before + 1);
	assert_int_equal(reg_read(dev, VFM_SIM_REG_JOB_STATUS),
			 error ? VFM_SIM_JOB_FAILED : VFM_SIM_JOB_DONE);
	return error;
}

static void fill_and_checksum(void **state)
{
	static const size_t lens[] = { 1, 8, 4095, 65536, 65537, 300001 };
	struct vfm_device *dev = open_jobs();
	uint8_t *want = malloc(SIZE);

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(lens); i++) {
		memset(mem, 0xee, SIZE);
		assert_int_equal(run_job(dev, VFM_SIM_JOB_FILL, IOVA + 3, lens[i], 0, 40 + i), 0);
		assert_int_equal(reg_read(dev, VFM_SIM_REG_JOB_RESULT), lens[i]);
		vfm_sim_fill(40 + i, 0, want, lens[i]);
		assert_memory_equal(mem + 3, want, lens[i]);
		assert_int_equal(mem[2], 0xee);
		assert_int_equal(mem[3 + lens[i]], 0xee);
		assert_int_equal(run_job(dev, VFM_SIM_JOB_CHECKSUM, IOVA + 3, lens[i], 0, 0), 0);
		assert_int_equal(reg_read(dev, VFM_SIM_REG_JOB_RESULT),
				 vfm_sim_checksum(want, lens[i]));
	}
	assert_int_equal(run_job(dev, VFM_SIM_JOB_FILL, IOVA, SIZE, 0, 0), 0);
	memset(want, 0, SIZE);
	assert_memory_equal(mem, want, SIZE);
	free(want);
	vfm_device_close(dev);
}

/* Into the memory BAR and out again, seen through the region and through its mapping. */
static void memory_bar(void **state)
{
	struct vfm_device *dev = open_jobs();
	struct vfm_region region;
	uint8_t *seen = malloc(256 * 1024), *mapped;

	(void)state;
	vfm_sim_fill(5, 0, mem, 200000);
	assert_int_equal(run_job(dev, VFM_SIM_JOB_READ, IOVA, 200000, 1000, 0), 0);
	assert_int_equal(vfm_device_read_region(dev, VFM_SIM_MEM_BAR, 0, seen, 256 * 1024, NULL),
			 0);
	assert_memory_equal(seen + 1000, mem, 200000);
	assert_int_equal(vfm_device_get_region(dev, VFM_SIM_MEM_BAR, &region, NULL), 0);
	assert_int_equal(region.size, 256 * 1024);
	assert_int_equal(region.nr_areas, 1);
	assert_int_equal(region.areas[0].offset, 4096);
	assert_int_equal(region.areas[0].size, 252 * 1024);
	mapped = mmap(NULL, 256 * 1024, PROT_READ | PROT_WRITE, MAP_SHARED, region.fd,
		      (off_t)region.fd_offset);
	assert_ptr_not_equal(mapped, MAP_FAILED);
	assert_memory_equal(mapped, seen, 256 * 1024);
	mapped[5000] ^= 0xff;
	assert_int_equal(run_job(dev, VFM_SIM_JOB_WRITE, IOVA + 300000, 10000, 0, 0), 0);
	assert_memory_equal(mem + 300000, mapped, 10000);
	/* a user cannot make it smaller under the device */
	assert_int_equal(ftruncate(region.fd, 4096), -1);
	munmap(mapped, 256 * 1024);
	free(seen);
	vfm_device_close(dev);
}

static void wrong_jobs_fail(void **state)
{
	static const struct {
		uint64_t op, iova, len, offset, error;
	} bad[] = {
		{ 0, IOVA, 8, 0, EOPNOTSUPP },
		{ 5, IOVA, 8, 0, EOPNOTSUPP },
		{ UINT64_MAX, IOVA, 8, 0, EOPNOTSUPP },
		{ VFM_SIM_JOB_FILL, IOVA, 0, 0, EINVAL },
		{ VFM_SIM_JOB_FILL, UINT64_MAX, 2, 0, EINVAL },
		{ VFM_SIM_JOB_FILL, IOVA, VFM_SIM_JOB_MAX + 1, 0, E2BIG },
		{ VFM_SIM_JOB_FILL, IOVA + SIZE, 1, 0, EFAULT },
		{ VFM_SIM_JOB_FILL, IOVA + SIZE - 1, 2, 0, EFAULT },
		{ VFM_SIM_JOB_CHECKSUM, IOVA - 1, 2, 0, EFAULT },
		{ VFM_SIM_JOB_READ, IOVA, 1, 256 * 1024, ERANGE },
		{ VFM_SIM_JOB_READ, IOVA, 2, 256 * 1024 - 1, ERANGE },
		{ VFM_SIM_JOB_WRITE, IOVA, 256 * 1024 + 1, 0, ERANGE },
		{ VFM_SIM_JOB_WRITE, IOVA, 8, UINT64_MAX - 3, ERANGE },
	};
	struct vfm_device *dev = open_jobs();

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(bad); i++) {
		reg_write(dev, VFM_SIM_REG_IRQ_STATUS, UINT64_MAX);
		assert_int_equal(run_job(dev, bad[i].op, bad[i].iova, bad[i].len, bad[i].offset, 1),
				 bad[i].error);
		assert_int_equal(reg_read(dev, VFM_SIM_REG_IRQ_STATUS),
				 VFM_SIM_IRQ_JOB | VFM_SIM_IRQ_ERROR);
		assert_int_equal(reg_read(dev, VFM_SIM_REG_JOB_RESULT), 0);
	}
	config_write(dev, 4, 0, 2);
	assert_int_equal(run_job(dev, VFM_SIM_JOB_FILL, IOVA, 8, 0, 1), EACCES);
	vfm_device_close(dev);
}

/* A job that is rung for while DMA is forbidden waits, and is done when it may be. */
static void job_waits_for_running(void **state)
{
	static const enum vfm_state stopped[] = { VFM_STATE_RUNNING_P2P, VFM_STATE_STOP,
						  VFM_STATE_STOP_COPY, VFM_STATE_PRE_COPY_P2P };
	struct vfm_device *dev = open_jobs();
	struct pollfd pfd = { .fd = vfm_device_get_fd(dev), .events = POLLIN };
	uint8_t want[64];

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(stopped); i++) {
		set_state(dev, stopped[i]);
		program_job(dev, VFM_SIM_JOB_FILL, IOVA, sizeof(want), 0, 50 + i);
		reg_write(dev, VFM_SIM_REG_JOB_DOORBELL, 1);
		assert_int_equal(reg_read(dev, VFM_SIM_REG_JOB_STATUS), VFM_SIM_JOB_QUEUED);
		assert_int_equal(poll(&pfd, 1, 0), 0);
		vfm_sim_fill(50 + i, 0, want, sizeof(want));
		assert_memory_not_equal(mem, want, sizeof(want));
		set_state(dev, VFM_STATE_RUNNING);
		assert_int_equal(poll(&pfd, 1, 5000), 1);
		assert_int_equal(vfm_device_process(dev, NULL), 0);
		assert_int_equal(reg_read(dev, VFM_SIM_REG_JOB_STATUS), VFM_SIM_JOB_DONE);
		assert_memory_equal(mem, want, sizeof(want));
	}
	vfm_device_close(dev);
}

static int doorbell_fd(struct vfm_device *dev)
{
	struct vfm_io_fd list[4];

	assert_int_equal(vfm_device_get_io_fds(dev, VFM_SIM_REG_BAR, list, 4, NULL), 1);
	assert_int_equal(list[0].offset, VFM_SIM_REG_JOB_DOORBELL);
	assert_int_equal(list[0].size, 4);
	assert_int_equal(list[0].type, VFM_IO_EVENTFD);
	assert_int_equal(vfm_device_get_io_fds(dev, VFM_SIM_MEM_BAR, list, 4, NULL), 0);
	return list[0].fd;
}

static void doorbell_by_descriptor(void **state)
{
	struct vfm_device *dev = open_jobs();
	struct pollfd pfd = { .fd = vfm_device_get_fd(dev), .events = POLLIN };
	int fd = doorbell_fd(dev);

	(void)state;
	program_job(dev, VFM_SIM_JOB_FILL, IOVA, 100, 0, 3);
	assert_int_equal(poll(&pfd, 1, 0), 0);
	assert_int_equal(eventfd_write(fd, 1), 0);
	assert_int_equal(poll(&pfd, 1, 5000), 1);
	assert_int_equal(vfm_device_process(dev, NULL), 0);
	assert_int_equal(reg_read(dev, VFM_SIM_REG_JOB_STATUS), VFM_SIM_JOB_DONE);
	assert_int_equal(poll(&pfd, 1, 0), 0);
	vfm_device_close(dev);
}

/* A signal that nobody processed before the device was saved is not lost. */
static void doorbell_travels(void **state)
{
	struct vfm_device *src = open_jobs(), *dst = open_sim("state=4K,bar=256K");
	struct image image = { 0 };
	uint8_t want[100];

	(void)state;
	map_vaddr(dst, IOVA, mem, SIZE);
	program_job(src, VFM_SIM_JOB_FILL, IOVA, 100, 0, 3);
	set_state(src, VFM_STATE_STOP_COPY);
	assert_int_equal(eventfd_write(doorbell_fd(src), 1), 0);
	read_image(src, &image);
	load_image(dst, &image);
	assert_int_equal(reg_read(dst, VFM_SIM_REG_JOB_STATUS), VFM_SIM_JOB_QUEUED);
	assert_int_equal(reg_read(src, VFM_SIM_REG_JOB_COUNT), 0);
	set_state(dst, VFM_STATE_RUNNING);
	assert_int_equal(vfm_device_process(dst, NULL), 0);
	vfm_sim_fill(3, 0, want, sizeof(want));
	assert_memory_equal(mem, want, sizeof(want));
	free(image.data);
	vfm_device_close(src);
	vfm_device_close(dst);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fill_and_checksum),	  cmocka_unit_test(memory_bar),
		cmocka_unit_test(wrong_jobs_fail),	  cmocka_unit_test(job_waits_for_running),
		cmocka_unit_test(doorbell_by_descriptor), cmocka_unit_test(doorbell_travels),
	};
	int ret;

	mem = malloc(SIZE);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	free(mem);
	return ret;
}
