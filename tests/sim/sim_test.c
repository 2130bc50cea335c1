// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "sim_test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void good(int ret, const struct vfm_err *err)
{
	if (ret)
		fail_msg("%d: %s", ret, err->msg);
}

struct vfm_device *open_sim(const char *params)
{
	struct vfm_device *dev = NULL;
	struct vfm_err err;

	good(vfm_device_from_driver(&dev, vfm_sim_find("dma"), params, &err), &err);
	return dev;
}

void map_vaddr(struct vfm_device *dev, uint64_t iova, void *at, uint64_t size)
{
	struct vfm_dma_map map = { .iova = iova,
				   .size = size,
				   .flags = VFM_DMA_READ | VFM_DMA_WRITE,
				   .fd = -1,
				   .vaddr = at };
	struct vfm_err err;

	good(vfm_device_map_dma(dev, &map, &err), &err);
}

void set_state(struct vfm_device *dev, enum vfm_state state)
{
	struct vfm_err err;

	good(vfm_device_set_state(dev, state, &err), &err);
}

uint64_t reg_read(struct vfm_device *dev, enum vfm_sim_reg reg)
{
	struct vfm_err err;
	uint64_t value = 0;

	good(vfm_sim_read(dev, reg, &value, &err), &err);
	return value;
}

void reg_write(struct vfm_device *dev, enum vfm_sim_reg reg, uint64_t value)
{
	struct vfm_err err;

	good(vfm_sim_write(dev, reg, value, &err), &err);
}

uint64_t config_read(struct vfm_device *dev, uint64_t offset, size_t len)
{
	struct vfm_err err;
	uint64_t value = 0;

	good(vfm_device_read_region(dev, VFM_PCI_CONFIG, offset, &value, len, &err), &err);
	return value;
}

void config_write(struct vfm_device *dev, uint64_t offset, uint64_t value, size_t len)
{
	struct vfm_err err;

	good(vfm_device_write_region(dev, VFM_PCI_CONFIG, offset, &value, len, &err), &err);
}

void start_ring(struct vfm_device *dev, uint64_t seed, uint64_t irq_every)
{
	struct vfm_sim_ring ring = { .iova = RING_IOVA, .size = RING_SIZE, .seed = seed };
	struct vfm_err err;

	good(vfm_sim_enable(dev, true, &err), &err);
	good(vfm_sim_start_ring(dev, &ring, 0, irq_every, &err), &err);
}

void wire_vectors(struct vfm_device *dev, uint32_t index, uint32_t count, int *fds)
{
	struct vfm_irq_set set = { .flags = VFM_IRQ_SET_DATA_EVENTFD | VFM_IRQ_SET_ACTION_TRIGGER,
				   .index = index,
				   .count = count,
				   .fds = fds };
	struct vfm_err err;

	for (uint32_t i = 0; i < count; i++) {
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(fds[i] >= 0);
	}
	good(vfm_device_set_irqs(dev, &set, &err), &err);
}

uint64_t taken(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count) ? count : 0;
}

size_t read_image(struct vfm_device *dev, struct image *image)
{
	size_t before = image->len;
	struct vfm_err err;
	ssize_t n;

	do {
		if (image->room - image->len < 1 << 20) {
			image->room += 4 << 20;
			image->data = realloc(image->data, image->room);
			assert_non_null(image->data);
		}
		n = vfm_device_read_data(dev, image->data + image->len, 1 << 20, &err);
		if (n > 0)
			image->len += (size_t)n;
	} while (n > 0);
	if (n != -ENOMSG)
		good((int)n, &err);
	return image->len - before;
}

void save_image(struct vfm_device *dev, struct image *image)
{
	set_state(dev, VFM_STATE_STOP_COPY);
	read_image(dev, image);
}

void load_image(struct vfm_device *dev, const struct image *image)
{
	struct vfm_err err;

	set_state(dev, VFM_STATE_RESUMING);
	good(vfm_device_write_data(dev, image->data, image->len, &err), &err);
	set_state(dev, VFM_STATE_STOP);
}
