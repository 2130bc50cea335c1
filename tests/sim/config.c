// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Parameters, configuration space, and what a reset leaves. */

#include "sim_test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static uint8_t mem[RING_SIZE];

static void wrong_parameters_are_named(void **state)
{
	static const struct {
		const char *params;
		const char *says;
	} bad[] = {
		{ "state=5000", "state=5000" },
		{ "state=0", "state=0" },
		{ "state=1T", "state=1T" },
		{ "state=many", "state=many" },
		{ "dirty=-1", "dirty=-1" },
		{ "initial=100", "initial=100" },
		{ "initial=0", "initial=0" },
		{ "state=64K,initial=128K", "initial=131072" },
		{ "features=2", "features=2" },
		{ "features=4", "features=4" },
		{ "features=6", "features=6" },
		{ "features=8", "features=8" },
		{ "seed=x", "seed=x" },
		{ "bar=4K", "bar=4K" },
		{ "bar=12K", "bar=12288" },
		{ "bar=2G", "bar=2G" },
		{ "vectors=0", "vectors=0" },
		{ "vectors=129", "vectors=129" },
		{ "save-rate=1K", "save-rate=1024" },
		{ "load-rate=1M", "load-rate=1048576" },
		{ "arc-us=99999999", "arc-us=99999999" },
		{ "size=1", "\"size\"" },
		{ "state", "state" },
		{ "seed=1,seed=1", "seed" },
	};
	struct vfm_device *dev = NULL;
	struct vfm_err err;

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(bad); i++) {
		assert_int_equal(vfm_device_from_driver(&dev, vfm_sim_find("dma"), bad[i].params,
							&err),
				 -EINVAL);
		assert_null(dev);
		if (!strstr(err.msg, bad[i].says))
			fail_msg("%s: %s", bad[i].params, err.msg);
	}
}

/* The list for people gives every parameter, and its default is one that works. */
static void parameters_are_listed(void **state)
{
	struct vfm_sim_param param;
	char text[64];
	size_t n = 0;

	(void)state;
	assert_string_equal(vfm_sim_name(0), "dma");
	assert_null(vfm_sim_name(1));
	assert_null(vfm_sim_find("dm"));
	assert_false(vfm_sim_get_param("other", 0, &param));
	while (vfm_sim_get_param("dma", n, &param)) {
		snprintf(text, sizeof(text), "%s=%s", param.name, param.fallback);
		vfm_device_close(open_sim(text));
		assert_true(strlen(param.value) && strlen(param.help));
		n++;
	}
	assert_int_equal(n, 10);
}

/* docs/sim-dma.md has a row for each, with the words of the program. */
static void parameters_are_documented(void **state)
{
	static char text[64 * 1024];
	const char *path = getenv("VFM_SIM_DOC");
	FILE *f = path ? fopen(path, "r") : NULL;
	struct vfm_sim_param param;
	char row[256];

	(void)state;
	if (!f)
		skip();
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	for (size_t n = 0; vfm_sim_get_param("dma", n, &param); n++) {
		snprintf(row, sizeof(row), "| `%s=` | %s | %s |", param.name, param.fallback,
			 param.help);
		if (!strstr(text, row))
			fail_msg("not in the manual: %s", row);
	}
}

static void features_are_the_devices(void **state)
{
	static const uint64_t sets[] = { 1, 3, 5, 7 };
	struct vfm_device *dev;
	uint64_t migration;
	char text[32];

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(sets); i++) {
		snprintf(text, sizeof(text), "state=4K,features=%d", (int)sets[i]);
		dev = open_sim(text);
		assert_int_equal(vfm_device_get_migration(dev, &migration, NULL), 0);
		assert_int_equal(migration, sets[i]);
		vfm_device_close(dev);
	}
	dev = open_sim("state=4K,features=0");
	assert_int_equal(vfm_device_get_migration(dev, &migration, NULL), -ENOTTY);
	vfm_device_close(dev);
}

static void compat_holds_what_shapes_the_image(void **state)
{
	struct vfm_device *dev = open_sim("state=8K,seed=4,vectors=2,bar=16K,dirty=1M,features=3");
	struct vfm_compat compat;

	(void)state;
	assert_int_equal(vfm_device_get_compat(dev, &compat, NULL), 0);
	assert_string_equal(compat.model, VFM_SIM_DMA_MODEL);
	assert_string_equal(compat.params, "state=8192,bar=16384,vectors=2");
	vfm_device_close(dev);
}

static void header_is_a_pci_devices(void **state)
{
	struct vfm_device *dev = open_sim("state=4K,vectors=7");

	(void)state;
	assert_int_equal(config_read(dev, 0, 4), VFM_SIM_PCI_DEVICE << 16 | VFM_SIM_PCI_VENDOR);
	assert_int_equal(config_read(dev, 4, 2), 0);
	assert_int_equal(config_read(dev, 0x0e, 1), 0);
	assert_int_equal(config_read(dev, 0x3d, 1), 1);
	assert_int_equal(config_read(dev, 0x34, 1), VFM_SIM_CAP_MSIX);
	assert_int_equal(config_read(dev, VFM_SIM_CAP_MSIX, 4),
			 0x00060000 | VFM_SIM_CAP_PCIE << 8 | 0x11);
	assert_int_equal(config_read(dev, VFM_SIM_CAP_MSIX + 4, 4), 4);
	assert_int_equal(config_read(dev, VFM_SIM_CAP_MSIX + 8, 4), 0x804);
	assert_int_equal(config_read(dev, VFM_SIM_CAP_PCIE, 2), 0x0010);
	assert_true(config_read(dev, VFM_SIM_CAP_PCIE + 4, 4) & 1u << 28);
	vfm_device_close(dev);
}

/* Write all ones, read back, and the size is what the region says. */
static void bars_are_sized_by_ones(void **state)
{
	static const struct {
		uint32_t region, offset, type;
		bool wide;
	} bars[] = {
		{ VFM_PCI_BAR0, 0x10, 0x0, false }, { VFM_PCI_BAR1, 0x14, 0x0, false },
		{ VFM_PCI_BAR2, 0x18, 0xc, true },  { VFM_PCI_BAR4, 0x20, 0x0, false },
		{ VFM_PCI_BAR5, 0x24, 0x0, false }, { VFM_PCI_ROM, 0x30, 0x0, false },
	};
	struct vfm_device *dev = open_sim("state=4K,bar=64M");
	struct vfm_region region;

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(bars); i++) {
		size_t len = bars[i].wide ? 8 : 4;
		uint64_t ones = bars[i].wide ? UINT64_MAX : UINT32_MAX, mask, size;

		assert_int_equal(vfm_device_get_region(dev, bars[i].region, &region, NULL), 0);
		config_write(dev, bars[i].offset, ones, 4);
		if (bars[i].wide)
			config_write(dev, bars[i].offset + 4, ones, 4);
		mask = config_read(dev, bars[i].offset, len);
		assert_int_equal(mask & 0xf, bars[i].type);
		size = mask & ~UINT64_C(0xf) ? (~(mask & ~UINT64_C(0xf)) & ones) + 1 : 0;
		assert_int_equal(size, region.size);
		config_write(dev, bars[i].offset, UINT64_C(0x12c0000000), len);
		assert_int_equal(config_read(dev, bars[i].offset, len),
				 region.size ? (UINT64_C(0x12c0000000) & ones) | bars[i].type : 0);
	}
	assert_int_equal(vfm_device_get_region(dev, VFM_PCI_BAR3, &region, NULL), 0);
	assert_int_equal(region.size, 0);
	vfm_device_close(dev);
}

/* Writing ones everywhere changes only what may change, byte by byte or at once. */
static void reserved_bits_stay(void **state)
{
	struct vfm_device *dev = open_sim("state=4K"), *other = open_sim("state=4K");
	uint8_t ones[256], a[256], b[256];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	ones[VFM_SIM_CAP_PCIE + 9] = 0x7f; /* not the function level reset */
	assert_int_equal(vfm_device_write_region(dev, VFM_PCI_CONFIG, 0, ones, 256, NULL), 0);
	for (size_t i = 0; i < 256; i++)
		config_write(other, i, ones[i], 1);
	assert_int_equal(vfm_device_read_region(dev, VFM_PCI_CONFIG, 0, a, 256, NULL), 0);
	assert_int_equal(vfm_device_read_region(other, VFM_PCI_CONFIG, 0, b, 256, NULL), 0);
	assert_memory_equal(a, b, 256);
	assert_int_equal(config_read(dev, 0, 4), VFM_SIM_PCI_DEVICE << 16 | VFM_SIM_PCI_VENDOR);
	assert_int_equal(config_read(dev, 4, 2), 0x0546);
	assert_int_equal(config_read(dev, 6, 2), 0x0010);
	assert_int_equal(config_read(dev, VFM_SIM_CAP_MSIX + 2, 2), 0xc003);
	vfm_device_close(dev);
	vfm_device_close(other);
}

/* All that can be seen of a device, but for its counters of time. */
static void picture_of(struct vfm_device *dev, uint8_t *picture)
{
	reg_write(dev, VFM_SIM_REG_DIGEST_LATCH, 1);
	assert_int_equal(vfm_device_read_region(dev, VFM_SIM_REG_BAR, 0, picture, 4096, NULL), 0);
	assert_int_equal(
		vfm_device_read_region(dev, VFM_SIM_MEM_BAR, 0, picture + 4096, 8192, NULL), 0);
	assert_int_equal(
		vfm_device_read_region(dev, VFM_SIM_MSIX_BAR, 0, picture + 12288, 4096, NULL), 0);
	assert_int_equal(vfm_device_read_region(dev, VFM_PCI_CONFIG, 0, picture + 16384, 256, NULL),
			 0);
}

static void work_hard(struct vfm_device *dev)
{
	uint8_t bytes[8192];

	memset(bytes, 0x5a, sizeof(bytes));
	assert_int_equal(vfm_device_write_region(dev, VFM_SIM_MEM_BAR, 0, bytes, 8192, NULL), 0);
	start_ring(dev, 5, 7);
	reg_write(dev, VFM_SIM_REG_RING_STEP, 100);
	reg_write(dev, VFM_SIM_REG_STATE_STEP, 33);
	reg_write(dev, VFM_SIM_REG_SCRATCH, 1);
	reg_write(dev, VFM_SIM_REG_JOB_DOORBELL, 1);
	assert_int_equal(vfm_device_write_region(dev, VFM_SIM_MSIX_BAR, 0, bytes, 64, NULL), 0);
	config_write(dev, 0x10, UINT32_MAX, 4);
}

/* From each state, by the call and by the bit in the configuration space. */
static void reset_is_as_after_open(void **state)
{
	static const char params[] = "state=64K,bar=8K";
	static uint8_t fresh[16640], after[16640];
	struct vfm_device *dev = open_sim(params);
	enum vfm_state now;

	(void)state;
	picture_of(dev, fresh);
	map_vaddr(dev, RING_IOVA, mem, sizeof(mem));
	for (unsigned int s = VFM_STATE_STOP; s < VFM_NR_STATES * 2; s++) {
		if (s % VFM_NR_STATES == VFM_STATE_ERROR)
			continue;
		work_hard(dev);
		set_state(dev, (enum vfm_state)(s % VFM_NR_STATES));
		if (s < VFM_NR_STATES)
			assert_int_equal(vfm_device_reset(dev, NULL), 0);
		else
			config_write(dev, VFM_SIM_CAP_PCIE + 8, 0x8000, 2);
		assert_int_equal(vfm_device_get_state(dev, &now, NULL), 0);
		assert_int_equal(now, VFM_STATE_RUNNING);
		picture_of(dev, after);
		assert_memory_equal(fresh, after, sizeof(fresh));
	}
	vfm_device_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_parameters_are_named),
		cmocka_unit_test(parameters_are_listed),
		cmocka_unit_test(parameters_are_documented),
		cmocka_unit_test(features_are_the_devices),
		cmocka_unit_test(compat_holds_what_shapes_the_image),
		cmocka_unit_test(header_is_a_pci_devices),
		cmocka_unit_test(bars_are_sized_by_ones),
		cmocka_unit_test(reserved_bits_stay),
		cmocka_unit_test(reset_is_as_after_open),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
