// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* What the tests of the software devices share. Every call asserts that it works. */

#ifndef VFM_TESTS_SIM_TEST_H
#define VFM_TESTS_SIM_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <vfmig/sim.h>

#define RING_IOVA UINT64_C(0x100000)
#define RING_SIZE (64u * 1024)

/** open_sim() - sim:dma in this process. */
struct vfm_device *open_sim(const char *params);

/** map_vaddr() - @size bytes of ours at @iova, for reading and writing. */
void map_vaddr(struct vfm_device *dev, uint64_t iova, void *at, uint64_t size);

void set_state(struct vfm_device *dev, enum vfm_state state);
uint64_t reg_read(struct vfm_device *dev, enum vfm_sim_reg reg);
void reg_write(struct vfm_device *dev, enum vfm_sim_reg reg, uint64_t value);
uint64_t config_read(struct vfm_device *dev, uint64_t offset, size_t len);
void config_write(struct vfm_device *dev, uint64_t offset, uint64_t value, size_t len);

/** start_ring() - enabled with MSI-X and started on RING_IOVA, only by steps. */
void start_ring(struct vfm_device *dev, uint64_t seed, uint64_t irq_every);

/** wire_vectors() - an eventfd for each of @count vectors of @index. */
void wire_vectors(struct vfm_device *dev, uint32_t index, uint32_t count, int *fds);

/** taken() - what an eventfd counted since it was last asked. */
uint64_t taken(int fd);

struct image {
	uint8_t *data;
	size_t len;
	size_t room;
};

/** read_some() - what is there now, to the end of @image: the bytes added. */
size_t read_image(struct vfm_device *dev, struct image *image);

/** save_image() - stop and save all of it; the device is in STOP_COPY then. */
void save_image(struct vfm_device *dev, struct image *image);

/** load_image() - RESUMING, all of it, STOP. */
void load_image(struct vfm_device *dev, const struct image *image);

#endif
