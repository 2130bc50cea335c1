// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * sim:dma from one instance to another through the framework, in each feature
 * set, with work going on: all of it is there afterwards, and goes on from there.
 */

#include "sim_test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define BAR_SIZE 65536u

static uint8_t src_mem[RING_SIZE], dst_mem[RING_SIZE], bar[BAR_SIZE], seen[BAR_SIZE];

static struct vfm_device *open_with(unsigned int features, unsigned int seed, uint8_t *mem)
{
	struct vfm_device *dev;
	char params[96];

	snprintf(params, sizeof(params), "state=1M,initial=64K,bar=64K,features=%u,seed=%u",
		 features, seed);
	dev = open_sim(params);
	memset(mem, 0, RING_SIZE);
	map_vaddr(dev, RING_IOVA, mem, RING_SIZE);
	return dev;
}

static void work(struct vfm_device *dev, unsigned int n)
{
	reg_write(dev, VFM_SIM_REG_RING_STEP, 50 + n);
	reg_write(dev, VFM_SIM_REG_STATE_STEP, 5 + n);
}

static void check_all(struct vfm_device *dev, const uint8_t *mem)
{
	struct vfm_sim_state sim;
	struct vfm_sim_ring ring;
	struct vfm_err err;

	assert_int_equal(vfm_sim_get_state(dev, &sim, NULL), 0);
	if (vfm_sim_check_state(&sim, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(vfm_sim_get_ring(dev, &ring, NULL), 0);
	assert_true(ring.count > 0);
	if (vfm_sim_check_memory(&ring, mem, NULL, &err))
		fail_msg("%s", err.msg);
}

/* A device with everything in it that an image has. */
static void fill_device(struct vfm_device *dev, unsigned int seed)
{
	start_ring(dev, seed, 13);
	vfm_sim_fill(seed, 0, bar, BAR_SIZE);
	assert_int_equal(vfm_device_write_region(dev, VFM_SIM_MEM_BAR, 0, bar, BAR_SIZE, NULL), 0);
	assert_int_equal(vfm_device_write_region(dev, VFM_SIM_MSIX_BAR, 0, bar, 12, NULL), 0);
	config_write(dev, 0x10, 0xfebd0000, 4);
	reg_write(dev, VFM_SIM_REG_SCRATCH, seed * 77);
	work(dev, 0);
}

/* Pre-copy in which the device works between reads; the image grows at its own pace. */
static void precopy_rounds(struct vfm_device *dev, struct image *image)
{
	struct vfm_precopy_info info;
	uint64_t last = UINT64_MAX;

	set_state(dev, VFM_STATE_PRE_COPY);
	for (unsigned int round = 0; round < 8; round++) {
		assert_int_equal(vfm_device_get_precopy_info(dev, &info, NULL), 0);
		assert_true(info.initial_bytes <= last);
		last = info.initial_bytes;
		work(dev, round);
		read_image(dev, image);
	}
	assert_int_equal(last, 0);
}

static void take_image(struct vfm_device *dev, unsigned int features, struct image *image)
{
	if (features & VFM_MIGRATION_PRE_COPY)
		precopy_rounds(dev, image);
	save_image(dev, image);
}

static void compare_devices(struct vfm_device *src, struct vfm_device *dst)
{
	uint8_t a[4096], b[4096];
	struct vfm_sim_state x, y;

	assert_int_equal(vfm_sim_get_state(src, &x, NULL), 0);
	assert_int_equal(vfm_sim_get_state(dst, &y, NULL), 0);
	assert_memory_equal(&x, &y, sizeof(x));
	for (uint32_t i = 0; i < VFM_PCI_NR_REGIONS; i++) {
		size_t len = i == VFM_PCI_CONFIG ? 256 : 4096;

		if (i != VFM_SIM_REG_BAR && i != VFM_SIM_MSIX_BAR && i != VFM_PCI_CONFIG)
			continue;
		assert_int_equal(vfm_device_read_region(src, i, 0, a, len, NULL), 0);
		assert_int_equal(vfm_device_read_region(dst, i, 0, b, len, NULL), 0);
		assert_memory_equal(a, b, len);
	}
	assert_int_equal(vfm_device_read_region(dst, VFM_SIM_MEM_BAR, 0, seen, BAR_SIZE, NULL), 0);
	assert_memory_equal(seen, bar, BAR_SIZE);
}

static void every_feature_set(void **state)
{
	static const unsigned int sets[] = { 1, 3, 5, 7 };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(sets); i++) {
		struct vfm_device *src = open_with(sets[i], 10 + (unsigned int)i, src_mem);
		struct vfm_device *dst = open_with(sets[i], 90, dst_mem);
		struct image image = { 0 };

		fill_device(src, 3 + (unsigned int)i);
		take_image(src, sets[i], &image);
		load_image(dst, &image);
		memcpy(dst_mem, src_mem, RING_SIZE);
		set_state(src, VFM_STATE_STOP);
		compare_devices(src, dst);
		set_state(dst, VFM_STATE_RUNNING);
		check_all(dst, dst_mem);
		work(dst, 100);
		check_all(dst, dst_mem);
		/* and the source, had it been called back */
		set_state(src, VFM_STATE_RUNNING);
		work(src, 100);
		check_all(src, src_mem);
		assert_memory_equal(src_mem, dst_mem, RING_SIZE);
		free(image.data);
		vfm_device_close(src);
		vfm_device_close(dst);
	}
}

/* A device with more features than the other takes its image, and the other way round. */
static void feature_sets_mix(void **state)
{
	static const unsigned int sets[] = { 1, 3, 5, 7 };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(sets) * VFM_ARRAY_SIZE(sets); i++) {
		struct vfm_device *src = open_with(sets[i % 4], 1, src_mem);
		struct vfm_device *dst = open_with(sets[i / 4], 2, dst_mem);
		struct image image = { 0 };

		fill_device(src, 8);
		take_image(src, sets[i % 4], &image);
		load_image(dst, &image);
		compare_devices(src, dst);
		free(image.data);
		vfm_device_close(src);
		vfm_device_close(dst);
	}
}

static void save_load_save_is_the_same(void **state)
{
	struct vfm_device *src = open_with(7, 1, src_mem), *dst = open_with(7, 2, dst_mem);
	struct image first = { 0 }, second = { 0 };

	(void)state;
	fill_device(src, 4);
	save_image(src, &first);
	load_image(dst, &first);
	save_image(dst, &second);
	/* the initial pages come first on both sides, so the order is the same too */
	assert_int_equal(first.len, second.len);
	assert_memory_equal(first.data, second.data, first.len);
	free(first.data);
	free(second.data);
	vfm_device_close(src);
	vfm_device_close(dst);
}

static void same_work_gives_the_same_image(void **state)
{
	struct image images[2] = { { 0 } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct vfm_device *dev = open_with(7, 6, src_mem);

		fill_device(dev, 4);
		take_image(dev, 7, &images[i]);
		vfm_device_close(dev);
	}
	assert_int_equal(images[0].len, images[1].len);
	assert_memory_equal(images[0].data, images[1].data, images[0].len);
	free(images[0].data);
	free(images[1].data);
}

/* Saved twice in a row, with work between: the second session begins from nothing. */
static void abandoned_session_leaves_nothing(void **state)
{
	struct vfm_device *src = open_with(7, 1, src_mem), *dst = open_with(7, 2, dst_mem);
	struct image image = { 0 };

	(void)state;
	fill_device(src, 4);
	precopy_rounds(src, &image);
	set_state(src, VFM_STATE_RUNNING);
	work(src, 30);
	image.len = 0;
	take_image(src, 7, &image);
	load_image(dst, &image);
	compare_devices(src, dst);
	free(image.data);
	vfm_device_close(src);
	vfm_device_close(dst);
}

static void other_shapes_are_refused(void **state)
{
	static const char *const others[] = { "state=2M,initial=64K,bar=64K", "state=1M,bar=128K",
					      "state=1M,bar=64K,vectors=5" };
	struct vfm_device *src = open_with(7, 1, src_mem);
	struct image image = { 0 };

	(void)state;
	save_image(src, &image);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(others); i++) {
		struct vfm_device *dst = open_sim(others[i]);

		set_state(dst, VFM_STATE_RESUMING);
		assert_int_equal(vfm_device_write_data(dst, image.data, image.len, NULL),
				 -ENOTUNIQ);
		vfm_device_close(dst);
	}
	free(image.data);
	vfm_device_close(src);
}

/* Half an image is no state: it is refused, and a reset brings the device's own back. */
static void half_an_image_is_reset_away(void **state)
{
	struct vfm_device *src = open_with(7, 1, src_mem), *dst = open_with(7, 2, dst_mem);
	struct image image = { 0 };
	struct vfm_sim_state sim;

	(void)state;
	fill_device(src, 4);
	save_image(src, &image);
	set_state(dst, VFM_STATE_RESUMING);
	assert_int_equal(vfm_device_write_data(dst, image.data, image.len / 2, NULL), 0);
	assert_int_equal(vfm_device_set_state(dst, VFM_STATE_STOP, NULL), -EBADMSG);
	assert_int_equal(vfm_device_reset(dst, NULL), 0);
	assert_int_equal(vfm_sim_get_state(dst, &sim, NULL), 0);
	assert_int_equal(sim.seed, 2);
	assert_int_equal(sim.changes, 0);
	assert_int_equal(vfm_sim_check_state(&sim, NULL), 0);
	set_state(dst, VFM_STATE_STOP);
	load_image(dst, &image);
	compare_devices(src, dst);
	free(image.data);
	vfm_device_close(src);
	vfm_device_close(dst);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_feature_set),
		cmocka_unit_test(feature_sets_mix),
		cmocka_unit_test(save_load_save_is_the_same),
		cmocka_unit_test(same_work_gives_the_same_image),
		cmocka_unit_test(abandoned_session_leaves_nothing),
		cmocka_unit_test(other_shapes_are_refused),
		cmocka_unit_test(half_an_image_is_reset_away),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
