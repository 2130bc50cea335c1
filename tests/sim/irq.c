// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Interrupts: both kinds, every mask on the way, and across a stop and a migration. */

#include "sim_test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

#define VECTORS 5u
#define PARAMS "state=4K,vectors=5"
#define MSIX_CONTROL (VFM_SIM_CAP_MSIX + 2)
#define MASK_ALL 0xc000u
#define ENABLED 0x8000u

static uint8_t mem[RING_SIZE];
static int fds[VECTORS];

static struct vfm_device *open_msix(void)
{
	struct vfm_device *dev = open_sim(PARAMS);

	memset(mem, 0, sizeof(mem));
	map_vaddr(dev, RING_IOVA, mem, sizeof(mem));
	assert_int_equal(vfm_sim_enable(dev, true, NULL), 0);
	wire_vectors(dev, VFM_PCI_MSIX, VECTORS, fds);
	return dev;
}

static void close_all(struct vfm_device *dev, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		close(fds[i]);
	vfm_device_close(dev);
}

static uint64_t pending_bits(struct vfm_device *dev)
{
	uint64_t bits;

	assert_int_equal(vfm_device_read_region(dev, VFM_SIM_MSIX_BAR, VFM_SIM_MSIX_PBA, &bits,
						sizeof(bits), NULL),
			 0);
	return bits;
}

static void mask_vector(struct vfm_device *dev, uint32_t vector, uint32_t control)
{
	assert_int_equal(vfm_device_write_region(dev, VFM_SIM_MSIX_BAR,
						 VFM_SIM_MSIX_TABLE + vector * 16 + 12, &control,
						 sizeof(control), NULL),
			 0);
}

static void every_vector(void **state)
{
	struct vfm_device *dev = open_msix();

	(void)state;
	for (uint32_t v = 0; v < VECTORS; v++) {
		reg_write(dev, VFM_SIM_REG_IRQ_TEST, v);
		for (uint32_t i = 0; i < VECTORS; i++)
			assert_int_equal(taken(fds[i]), i == v);
	}
	assert_int_equal(reg_read(dev, VFM_SIM_REG_IRQ_COUNT), VECTORS);
	assert_int_equal(vfm_sim_write(dev, VFM_SIM_REG_IRQ_TEST, VECTORS, NULL), -EINVAL);
	close_all(dev, VECTORS);
}

static void causes_have_vectors(void **state)
{
	struct vfm_device *dev = open_msix();

	(void)state;
	start_ring(dev, 1, 10);
	reg_write(dev, VFM_SIM_REG_RING_STEP, 95);
	assert_int_equal(taken(fds[1]), 9);
	assert_int_equal(reg_read(dev, VFM_SIM_REG_IRQ_STATUS), VFM_SIM_IRQ_RING);
	reg_write(dev, VFM_SIM_REG_JOB_OP, 99);
	reg_write(dev, VFM_SIM_REG_JOB_DOORBELL, 1);
	assert_int_equal(taken(fds[0]), 1);
	assert_int_equal(taken(fds[2]), 1);
	assert_int_equal(reg_read(dev, VFM_SIM_REG_IRQ_COUNT), 11);
	close_all(dev, VECTORS);
}

/* A mask of the guest, of any kind, holds an interrupt back; it comes once when it goes. */
static void masked_by_table_and_function(void **state)
{
	struct vfm_device *dev = open_msix();

	(void)state;
	mask_vector(dev, 3, 1);
	reg_write(dev, VFM_SIM_REG_IRQ_TEST, 3);
	reg_write(dev, VFM_SIM_REG_IRQ_TEST, 3);
	assert_int_equal(taken(fds[3]), 0);
	assert_int_equal(pending_bits(dev), 1u << 3);
	mask_vector(dev, 3, 0);
	assert_int_equal(taken(fds[3]), 1);
	assert_int_equal(pending_bits(dev), 0);

	config_write(dev, MSIX_CONTROL, MASK_ALL, 2);
	reg_write(dev, VFM_SIM_REG_IRQ_TEST, 0);
	reg_write(dev, VFM_SIM_REG_IRQ_TEST, 4);
	assert_int_equal(pending_bits(dev), 1u | 1u << 4);
	config_write(dev, MSIX_CONTROL, ENABLED, 2);
	assert_int_equal(taken(fds[0]), 1);
	assert_int_equal(taken(fds[4]), 1);
	close_all(dev, VECTORS);
}

static void masked_by_register(void **state)
{
	struct vfm_device *dev = open_msix();

	(void)state;
	reg_write(dev, VFM_SIM_REG_IRQ_MASK, VFM_SIM_IRQ_JOB);
	reg_write(dev, VFM_SIM_REG_JOB_DOORBELL, 1);
	assert_int_equal(taken(fds[0]), 0);
	assert_true(reg_read(dev, VFM_SIM_REG_IRQ_STATUS) & VFM_SIM_IRQ_JOB);
	reg_write(dev, VFM_SIM_REG_IRQ_MASK, 0);
	assert_int_equal(taken(fds[0]), 1);
	/* what was acknowledged meanwhile does not come */
	reg_write(dev, VFM_SIM_REG_IRQ_MASK, UINT64_MAX);
	reg_write(dev, VFM_SIM_REG_JOB_DOORBELL, 1);
	reg_write(dev, VFM_SIM_REG_IRQ_STATUS, UINT64_MAX);
	reg_write(dev, VFM_SIM_REG_IRQ_MASK, 0);
	assert_int_equal(taken(fds[0]), 0);
	close_all(dev, VECTORS);
}

static void table_keeps_what_it_may(void **state)
{
	struct vfm_device *dev = open_msix();
	uint8_t all[256], seen[256];

	(void)state;
	memset(all, 0xff, sizeof(all));
	assert_int_equal(vfm_device_write_region(dev, VFM_SIM_MSIX_BAR, 0, all, sizeof(all), NULL),
			 0);
	assert_int_equal(vfm_device_read_region(dev, VFM_SIM_MSIX_BAR, 0, seen, sizeof(seen), NULL),
			 0);
	for (size_t i = 0; i < sizeof(seen); i++)
		assert_int_equal(seen[i], i >= VECTORS * 16 ? 0
					  : i % 16 < 12	    ? 0xff
							    : i % 16 == 12);
	assert_int_equal(
		vfm_device_write_region(dev, VFM_SIM_MSIX_BAR, VFM_SIM_MSIX_PBA, all, 8, NULL), 0);
	assert_int_equal(pending_bits(dev), 0);
	close_all(dev, VECTORS);
}

static struct vfm_device *open_intx(void)
{
	struct vfm_device *dev = open_sim(PARAMS);

	assert_int_equal(vfm_sim_enable(dev, false, NULL), 0);
	wire_vectors(dev, VFM_PCI_INTX, 1, fds);
	return dev;
}

static void unmask_intx(struct vfm_device *dev)
{
	struct vfm_irq_set set = { .flags = VFM_IRQ_SET_DATA_NONE | VFM_IRQ_SET_ACTION_UNMASK,
				   .index = VFM_PCI_INTX,
				   .count = 1 };

	assert_int_equal(vfm_device_set_irqs(dev, &set, NULL), 0);
}

static void intx_is_a_level(void **state)
{
	struct vfm_device *dev = open_intx();

	(void)state;
	assert_int_equal(config_read(dev, 6, 2), 0x0010);
	reg_write(dev, VFM_SIM_REG_IRQ_TEST, 0);
	assert_int_equal(taken(fds[0]), 1);
	assert_int_equal(config_read(dev, 6, 2), 0x0018);
	assert_int_equal(config_read(dev, 4, 4) >> 16, 0x0018);
	/* masked by itself until the user unmasks */
	reg_write(dev, VFM_SIM_REG_IRQ_TEST, 0);
	assert_int_equal(taken(fds[0]), 0);
	unmask_intx(dev);
	assert_int_equal(taken(fds[0]), 1);
	reg_write(dev, VFM_SIM_REG_IRQ_STATUS, UINT64_MAX);
	assert_int_equal(config_read(dev, 6, 2), 0x0010);
	unmask_intx(dev);
	assert_int_equal(taken(fds[0]), 0);
	/* disabled in the command register: it waits; acknowledged: it does not come */
	config_write(dev, 4, 0x0406, 2);
	reg_write(dev, VFM_SIM_REG_IRQ_TEST, 0);
	assert_int_equal(taken(fds[0]), 0);
	config_write(dev, 4, 0x0006, 2);
	assert_int_equal(taken(fds[0]), 1);
	unmask_intx(dev);
	config_write(dev, 4, 0x0406, 2);
	reg_write(dev, VFM_SIM_REG_IRQ_TEST, 0);
	reg_write(dev, VFM_SIM_REG_IRQ_STATUS, UINT64_MAX);
	config_write(dev, 4, 0x0006, 2);
	assert_int_equal(taken(fds[0]), 0);
	close_all(dev, 1);
}

/* Raised in STOP: nothing comes, and it comes when the device runs, here or elsewhere. */
static void pending_while_stopped(void **state)
{
	struct vfm_device *dev = open_msix();

	(void)state;
	set_state(dev, VFM_STATE_STOP);
	reg_write(dev, VFM_SIM_REG_IRQ_TEST, 2);
	assert_int_equal(taken(fds[2]), 0);
	assert_int_equal(vfm_device_process(dev, NULL), 0);
	assert_int_equal(taken(fds[2]), 0);
	assert_int_equal(pending_bits(dev), 1u << 2);
	set_state(dev, VFM_STATE_RUNNING);
	assert_int_equal(vfm_device_process(dev, NULL), 0);
	assert_int_equal(taken(fds[2]), 1);
	assert_int_equal(reg_read(dev, VFM_SIM_REG_IRQ_COUNT), 1);
	close_all(dev, VECTORS);
}

static void pending_travels(void **state)
{
	struct vfm_device *src = open_sim(PARAMS), *dst;
	struct image image = { 0 };

	(void)state;
	assert_int_equal(vfm_sim_enable(src, true, NULL), 0);
	mask_vector(src, 1, 1);
	reg_write(src, VFM_SIM_REG_IRQ_TEST, 1);
	set_state(src, VFM_STATE_STOP);
	reg_write(src, VFM_SIM_REG_IRQ_TEST, 4);
	save_image(src, &image);
	vfm_device_close(src);

	dst = open_sim(PARAMS);
	wire_vectors(dst, VFM_PCI_MSIX, VECTORS, fds);
	load_image(dst, &image);
	assert_int_equal(taken(fds[4]), 0);
	set_state(dst, VFM_STATE_RUNNING);
	assert_int_equal(vfm_device_process(dst, NULL), 0);
	assert_int_equal(taken(fds[4]), 1);
	assert_int_equal(taken(fds[1]), 0);
	assert_int_equal(pending_bits(dst), 1u << 1);
	mask_vector(dst, 1, 0);
	assert_int_equal(taken(fds[1]), 1);
	free(image.data);
	close_all(dst, VECTORS);
}

static void intx_pending_travels(void **state)
{
	struct vfm_device *src = open_sim(PARAMS), *dst;
	struct image image = { 0 };

	(void)state;
	assert_int_equal(vfm_sim_enable(src, false, NULL), 0);
	set_state(src, VFM_STATE_STOP);
	reg_write(src, VFM_SIM_REG_IRQ_TEST, 0);
	save_image(src, &image);
	vfm_device_close(src);

	dst = open_sim(PARAMS);
	wire_vectors(dst, VFM_PCI_INTX, 1, fds);
	load_image(dst, &image);
	set_state(dst, VFM_STATE_RUNNING);
	assert_int_equal(vfm_device_process(dst, NULL), 0);
	assert_int_equal(taken(fds[0]), 1);
	free(image.data);
	close_all(dst, 1);
}

static void described_as_pci(void **state)
{
	static const uint32_t counts[VFM_PCI_NR_IRQS] = { 1, 0, VECTORS, 0, 0 };
	struct vfm_device *dev = open_sim(PARAMS);
	struct vfm_device_info info;
	struct vfm_irq irq;

	(void)state;
	assert_int_equal(vfm_device_get_info(dev, &info, NULL), 0);
	assert_int_equal(info.flags, VFM_DEVICE_RESET | VFM_DEVICE_PCI);
	assert_int_equal(info.nr_regions, VFM_PCI_NR_REGIONS);
	assert_int_equal(info.nr_irqs, VFM_PCI_NR_IRQS);
	for (uint32_t i = 0; i < VFM_PCI_NR_IRQS; i++) {
		assert_int_equal(vfm_device_get_irq(dev, i, &irq, NULL), 0);
		assert_int_equal(irq.count, counts[i]);
	}
	vfm_device_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_vector),
		cmocka_unit_test(causes_have_vectors),
		cmocka_unit_test(masked_by_table_and_function),
		cmocka_unit_test(masked_by_register),
		cmocka_unit_test(table_keeps_what_it_may),
		cmocka_unit_test(intx_is_a_level),
		cmocka_unit_test(pending_while_stopped),
		cmocka_unit_test(pending_travels),
		cmocka_unit_test(intx_pending_travels),
		cmocka_unit_test(described_as_pci),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
