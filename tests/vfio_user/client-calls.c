// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Every call against three kinds of servers: strict, strict with our extension, and
 * one with the quirks of libvfio-user. The peer checks each request to the byte; here
 * it is checked what comes of the replies, and that a message is one sendmsg().
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "client-peer.h"

static const struct peer_opts strict = { 0 };
static const struct peer_opts extended = { .extension = true };
static const struct peer_opts libvfio = { .libvfio = true, .one_recv = true };

#define ok(call)                                                                                   \
	do {                                                                                       \
		struct vfm_err e_ = { 0 };                                                         \
		long r_ = (long)(call);                                                            \
		if (r_ < 0)                                                                        \
			fail_msg("%s: %ld: %s", #call, r_, e_.msg);                                \
	} while (0)
#define ERR (&e_)

static void describe(void **state)
{
	const struct peer_opts *opts = *state;
	struct vfm_device_info info;
	struct vfm_region r;
	struct vfm_irq irq;
	struct vfm_err err;
	struct peer p;
	struct vfm_device *dev = peer_open(&p, opts);
	void *mem;

	ok(vfm_device_get_info(dev, &info, ERR));
	assert_int_equal(info.flags, VFM_DEVICE_RESET | VFM_DEVICE_PCI);
	assert_int_equal(info.nr_regions, PEER_REGIONS);
	assert_int_equal(info.nr_irqs, PEER_IRQS);

	ok(vfm_device_get_region(dev, 0, &r, ERR));
	assert_int_equal(r.size, 4096);
	assert_int_equal(r.flags, VFM_REGION_READ | VFM_REGION_WRITE);
	assert_int_equal(r.fd, -1);

	ok(vfm_device_get_region(dev, 1, &r, ERR));
	assert_int_equal(r.flags, VFM_REGION_READ | VFM_REGION_WRITE | VFM_REGION_MMAP);
	assert_int_equal(r.size, 0x10000);
	assert_int_equal(r.type, 0x10de);
	assert_int_equal(r.subtype, 7);
	assert_int_equal(r.nr_areas, 2);
	assert_int_equal(r.areas[0].offset, 0x1000);
	assert_int_equal(r.areas[0].size, 0x1000);
	assert_int_equal(r.areas[1].offset, 0x4000);
	assert_int_equal(r.areas[1].size, 0x4000);
	assert_int_equal(r.fd_offset, 0x2000);
	mem = mmap(NULL, r.areas[1].size, PROT_READ | PROT_WRITE, MAP_SHARED, r.fd,
		   (off_t)(r.fd_offset + r.areas[1].offset));
	assert_ptr_not_equal(mem, MAP_FAILED);
	assert_int_equal(*(uint8_t *)mem, 0x11);
	munmap(mem, r.areas[1].size);

	ok(vfm_device_get_region(dev, 2, &r, ERR));
	assert_int_equal(r.flags, VFM_REGION_READ | VFM_REGION_WRITE | VFM_REGION_MMAP);
	assert_int_equal(r.nr_areas, 0);
	assert_true(r.fd >= 0);
	ok(vfm_device_get_region(dev, 3, &r, ERR));
	assert_int_equal(r.size, 0);
	assert_int_equal(r.flags, 0);
	assert_int_equal(vfm_device_get_region(dev, PEER_REGIONS, &r, &err), -EINVAL);

	ok(vfm_device_get_irq(dev, VFM_PCI_MSIX, &irq, ERR));
	assert_int_equal(irq.count, PEER_VECTORS);
	assert_int_equal(irq.flags, VFM_IRQ_EVENTFD | VFM_IRQ_NORESIZE);
	ok(vfm_device_get_irq(dev, VFM_PCI_INTX, &irq, ERR));
	assert_int_equal(irq.flags, VFM_IRQ_EVENTFD | VFM_IRQ_MASKABLE | VFM_IRQ_AUTOMASKED);
	assert_int_equal(vfm_device_get_irq(dev, PEER_IRQS, &irq, &err), -EINVAL);

	/* All of it was fetched when the device was opened. */
	assert_int_equal(p.seen[VFM_VU_DEVICE_GET_REGION_INFO], PEER_REGIONS + 1);
	vfm_device_close(dev);
	peer_stop(&p);
}

static void io_fds(void **state)
{
	struct vfm_io_fd list[4];
	struct vfm_err err;
	struct peer p;
	struct vfm_device *dev = peer_open(&p, *state);
	uint64_t v = 1;

	assert_int_equal(vfm_device_get_io_fds(dev, 0, list, 1, &err), 2);
	assert_int_equal(vfm_device_get_io_fds(dev, 0, list, 4, &err), 2);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(list[i].offset, 0x100 + 4 * i);
		assert_int_equal(list[i].size, 4);
		assert_int_equal(list[i].type, VFM_IO_EVENTFD);
		assert_int_equal(list[i].flags, 1);
		assert_int_equal(list[i].datamatch, 0xd00d + i);
		assert_int_equal(write(list[i].fd, &v, sizeof(v)), sizeof(v));
	}
	assert_int_equal(read(p.io_fd, &v, sizeof(v)), sizeof(v));
	assert_int_equal(v, 2);
	assert_int_equal(vfm_device_get_io_fds(dev, 1, list, 4, &err), 0);
	assert_int_equal(p.seen[VFM_VU_DEVICE_GET_REGION_IO_FDS], 3);
	vfm_device_close(dev);
	peer_stop(&p);
}

static void access_regions(void **state)
{
	struct vfm_err err;
	struct peer p;
	struct vfm_device *dev = peer_open(&p, *state);
	uint8_t *big = malloc(0x10000), *back = malloc(0x10000);
	uint64_t v = 0x1122334455667788, w = 0;
	unsigned int before = sendmsg_calls;

	for (size_t i = 0; i < 0x10000; i++)
		big[i] = (uint8_t)(i * 7 + i / 256);
	for (unsigned int width = 1; width <= 8; width *= 2) {
		ok(vfm_device_write_region(dev, 0, 0x40, &v, width, ERR));
		w = 0;
		ok(vfm_device_read_region(dev, 0, 0x40, &w, width, ERR));
		assert_memory_equal(&w, &v, width);
	}
	assert_int_equal(sendmsg_calls - before, 8);
	ok(vfm_device_write_region(dev, 1, 0, big, 0x10000, ERR));
	ok(vfm_device_read_region(dev, 1, 0, back, 0x10000, ERR));
	assert_memory_equal(big, back, 0x10000);
	if (!p.opts.extension)
		assert_true(p.largest <= 16 + VFM_VU_SAFE_WRITE);
	assert_int_equal(vfm_device_read_region(dev, 0, 4093, &v, 4, &err), -EINVAL);
	assert_int_equal(vfm_device_write_region(dev, 3, 0, &v, 1, &err), -EINVAL);
	assert_int_equal(vfm_device_read_region(dev, 99, 0, &v, 1, &err), -EINVAL);
	free(big);
	free(back);
	vfm_device_close(dev);
	peer_stop(&p);
}

static void interrupts(void **state)
{
	int fds[PEER_VECTORS];
	struct vfm_irq_set set = { .flags = VFM_IRQ_SET_DATA_EVENTFD | VFM_IRQ_SET_ACTION_TRIGGER,
				   .index = VFM_PCI_MSIX,
				   .count = PEER_VECTORS,
				   .fds = fds };
	uint8_t bools[3] = { 1, 0, 1 };
	struct peer p;
	struct vfm_device *dev = peer_open(&p, *state);
	uint64_t v = 1;

	for (int i = 0; i < PEER_VECTORS; i++)
		fds[i] = i == 5 || i == 6 || i == 39 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fds_sent = 0;
	ok(vfm_device_set_irqs(dev, &set, ERR));
	assert_int_equal(fds_sent, PEER_VECTORS - 3);
	/* 0-4, 5-6 away, 7-14, 15-22, 23-30, 31-38, 39 away */
	assert_int_equal(p.nr_irq_messages, 7);
	for (int i = 0; i < PEER_VECTORS; i++) {
		assert_int_equal(p.vector_fds[VFM_PCI_MSIX][i] < 0, fds[i] < 0);
		if (fds[i] < 0)
			continue;
		assert_int_equal(write(p.vector_fds[VFM_PCI_MSIX][i], &v, sizeof(v)), sizeof(v));
		assert_int_equal(read(fds[i], &v, sizeof(v)), sizeof(v));
	}
	set.fds = NULL;
	set.start = 7;
	set.count = 2;
	ok(vfm_device_set_irqs(dev, &set, ERR));
	assert_int_equal(p.vector_fds[VFM_PCI_MSIX][8], -1);
	assert_true(p.vector_fds[VFM_PCI_MSIX][9] >= 0);
	set.flags = VFM_IRQ_SET_DATA_BOOL | VFM_IRQ_SET_ACTION_MASK;
	set.count = 3;
	set.bools = bools;
	ok(vfm_device_set_irqs(dev, &set, ERR));
	assert_int_equal(p.irq_flags, set.flags);
	set = (struct vfm_irq_set){ .flags = VFM_IRQ_SET_DATA_NONE | VFM_IRQ_SET_ACTION_TRIGGER,
				    .index = VFM_PCI_MSIX };
	ok(vfm_device_set_irqs(dev, &set, ERR));
	assert_int_equal(p.irq_flags, set.flags);
	for (int i = 0; i < PEER_VECTORS; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	vfm_device_close(dev);
	peer_stop(&p);
}

/* A bad descriptor is the caller's mistake, and not the end of the connection. */
static void bad_descriptor(void **state)
{
	int fds[1] = { 9999 };
	struct vfm_irq_set set = { .flags = VFM_IRQ_SET_DATA_EVENTFD | VFM_IRQ_SET_ACTION_TRIGGER,
				   .index = VFM_PCI_MSIX,
				   .count = 1,
				   .fds = fds };
	struct vfm_err err;
	struct peer p;
	struct vfm_device *dev = peer_open(&p, *state);
	uint8_t v;

	assert_int_equal(vfm_device_set_irqs(dev, &set, &err), -EBADF);
	ok(vfm_device_read_region(dev, 0, 0, &v, 1, ERR));
	vfm_device_close(dev);
	peer_stop(&p);
}

static void mapping(void **state)
{
	const struct peer_opts *opts = *state;
	static uint8_t memory[8192];
	struct vfm_dma_map map = { .iova = 0x10000,
				   .size = 0x2000,
				   .flags = VFM_DMA_READ | VFM_DMA_WRITE,
				   .fd = memfd_create("dma", MFD_CLOEXEC),
				   .fd_offset = 0x1000 };
	struct vfm_err err;
	struct peer p;
	struct vfm_device *dev = peer_open(&p, opts);

	assert_int_equal(ftruncate(map.fd, 0x3000), 0);
	fds_sent = 0;
	ok(vfm_device_map_dma(dev, &map, ERR));
	assert_int_equal(fds_sent, 1);
	assert_int_equal(p.maps[0].fd_offset, 0x1000);
	assert_int_equal(vfm_device_map_dma(dev, &map, &err), -EEXIST);
	map.iova = 0x11fff;
	assert_int_equal(vfm_device_map_dma(dev, &map, &err), -EEXIST);
	close(map.fd);
	map = (struct vfm_dma_map){
		.iova = 0x20000, .size = 0x2000, .flags = VFM_DMA_READ, .fd = -1, .vaddr = memory
	};
	ok(vfm_device_map_dma(dev, &map, ERR));
	assert_int_equal(p.maps[1].fd, -1);
	assert_int_equal(p.maps[1].flags, VFM_DMA_READ);
	assert_int_equal(vfm_device_unmap_dma(dev, 0x10000, 0x1000, &err), -ENOENT);
	assert_int_equal(vfm_device_unmap_dma(dev, 0x11000, 0x1000, &err), -ENOENT);
	ok(vfm_device_unmap_dma(dev, 0x10000, 0x2000, ERR));
	assert_int_equal(p.nr_maps, 1);
	for (unsigned int i = 1; i < 10; i++) {
		map.iova = 0x20000 + i * 0x2000;
		ok(vfm_device_map_dma(dev, &map, ERR));
	}
	ok(vfm_device_unmap_all(dev, ERR));
	assert_int_equal(p.nr_maps, 0);
	assert_int_equal(p.seen[VFM_VU_DMA_UNMAP], opts->extension ? 2 : 11);
	ok(vfm_device_unmap_all(dev, ERR));
	vfm_device_close(dev);
	peer_stop(&p);
}

static void states(void **state)
{
	const struct peer_opts *opts = *state;
	enum vfm_state s;
	struct vfm_err err;
	struct peer p;
	struct vfm_device *dev = peer_open(&p, opts);
	uint64_t migration;

	ok(vfm_device_get_migration(dev, &migration, ERR));
	assert_int_equal(migration, opts->libvfio ? 5 : 7);
	ok(vfm_device_get_state(dev, &s, ERR));
	assert_int_equal(s, VFM_STATE_RUNNING);
	ok(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, ERR));
	ok(vfm_device_get_state(dev, &s, ERR));
	assert_int_equal(s, VFM_STATE_STOP_COPY);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_PRE_COPY, &err), -EINVAL);
	ok(vfm_device_get_state(dev, &s, ERR));
	assert_int_equal(s, VFM_STATE_STOP_COPY);
	assert_int_equal(vfm_device_set_state(dev, (enum vfm_state)8, &err), -EINVAL);
	assert_int_equal(vfm_device_set_state(dev, (enum vfm_state) - 1, &err), -EINVAL);
	if (opts->libvfio) {
		assert_int_equal(vfm_device_reset(dev, &err), -EINVAL);
		assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RUNNING_P2P, &err), -EINVAL);
	} else {
		ok(vfm_device_reset(dev, ERR));
		ok(vfm_device_get_state(dev, &s, ERR));
		assert_int_equal(s, VFM_STATE_RUNNING);
		ok(vfm_device_set_state(dev, VFM_STATE_RUNNING_P2P, ERR));
	}
	vfm_device_close(dev);
	peer_stop(&p);
	/* What the client left is what there is. */
	assert_int_equal(p.state, opts->libvfio ? VFM_STATE_STOP_COPY : VFM_STATE_RUNNING_P2P);
}

static void save(void **state)
{
	struct vfm_err err;
	struct peer p;
	struct vfm_device *dev = peer_open(&p, *state);
	uint8_t *got = malloc(p.out_len + 70000);
	enum vfm_state now;
	size_t len = 0;
	ssize_t n;

	err.msg[0] = '\0';
	assert_int_equal(vfm_device_read_data(dev, got, 10, &err), -EINVAL);
	ok(vfm_device_set_state(dev, VFM_STATE_PRE_COPY, ERR));
	while ((n = vfm_device_read_data(dev, got + len, 4096, &err)) > 0)
		len += (size_t)n;
	assert_int_equal(n, -ENOMSG);
	assert_int_equal(len, p.out_pre);
	assert_int_equal(vfm_device_read_data(dev, got + len, 4096, NULL), -ENOMSG);
	ok(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, ERR));
	while ((n = vfm_device_read_data(dev, got + len, 70000, &err)) > 0)
		len += (size_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(len, p.out_len);
	assert_memory_equal(got, p.out, len);
	/* Remembered: nothing is asked any more. */
	n = p.seen[VFM_VU_MIG_DATA_READ];
	assert_int_equal(vfm_device_read_data(dev, got, 10, &err), 0);
	assert_int_equal(p.seen[VFM_VU_MIG_DATA_READ], n);
	/* Unless the server says that the state is another by now. */
	p.state = VFM_STATE_PRE_COPY;
	assert_int_equal(vfm_device_read_data(dev, got, 10, &err), 0);
	ok(vfm_device_get_state(dev, &now, ERR));
	assert_int_equal(vfm_device_read_data(dev, got, 10, &err), -ENOMSG);
	p.state = VFM_STATE_STOP_COPY;
	/* But a new session has new data. */
	ok(vfm_device_set_state(dev, VFM_STATE_STOP, ERR));
	ok(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, ERR));
	assert_int_equal(vfm_device_read_data(dev, got, 10, &err), 10);
	free(got);
	vfm_device_close(dev);
	peer_stop(&p);
}

static void load(void **state)
{
	const struct peer_opts *opts = *state;
	struct vfm_err err;
	struct peer p;
	struct vfm_device *dev = peer_open(&p, opts);
	size_t len = 3000000;
	uint8_t *data = malloc(len);
	unsigned int before;

	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 31 + i / 1000);
	assert_int_equal(vfm_device_write_data(dev, data, 10, &err), -EINVAL);
	ok(vfm_device_set_state(dev, VFM_STATE_RESUMING, ERR));
	before = sendmsg_calls;
	ok(vfm_device_write_data(dev, data, len, ERR));
	assert_int_equal(p.in_len, len);
	assert_memory_equal(p.in, data, len);
	if (opts->extension) {
		assert_int_equal(p.largest, 8 + (1u << 20));
	} else {
		assert_int_equal(p.largest, 8 + VFM_VU_SAFE_WRITE);
		assert_int_equal(sendmsg_calls - before,
				 (len + VFM_VU_SAFE_WRITE - 1) / VFM_VU_SAFE_WRITE);
		assert_int_equal(p.torn, 0);
	}
	free(data);
	vfm_device_close(dev);
	peer_stop(&p);
}

static void extension(void **state)
{
	const struct peer_opts *opts = *state;
	struct vfm_precopy_info info;
	struct vfm_compat compat;
	struct vfm_err err;
	struct peer p;
	struct vfm_device *dev = peer_open(&p, opts);
	uint64_t size;

	if (opts->extension) {
		ok(vfm_device_get_data_size(dev, &size, ERR));
		assert_int_equal(size, p.out_len);
		p.out_len = 0;
		ok(vfm_device_get_data_size(dev, &size, ERR));
		assert_int_equal(size, 0);
		ok(vfm_device_get_precopy_info(dev, &info, ERR));
		assert_int_equal(info.initial_bytes, p.out_pre);
		assert_int_equal(info.dirty_bytes, 77);
		assert_true(info.reinit);
		ok(vfm_device_set_orphan(dev, VFM_ORPHAN_RESET, ERR));
		assert_int_equal(p.orphan, VFM_ORPHAN_RESET);
		ok(vfm_device_get_compat(dev, &compat, ERR));
		assert_string_equal(compat.model, "peer,model");
		assert_string_equal(compat.params, "a=b");
		assert_int_equal(compat.version, 5);
		assert_int_equal(compat.min_version, 3);
		assert_true(compat.judges_params);
	} else {
		assert_int_equal(vfm_device_get_data_size(dev, &size, &err), -ENOTTY);
		assert_int_equal(vfm_device_get_precopy_info(dev, &info, &err), -ENOTTY);
		assert_non_null(strstr(err.msg, "extension"));
		assert_int_equal(vfm_device_set_orphan(dev, VFM_ORPHAN_RUN, &err), -ENOTTY);
		assert_int_equal(vfm_device_get_compat(dev, &compat, &err), -ENOTTY);
		assert_non_null(strstr(err.msg, "extension"));
	}
	vfm_device_close(dev);
	peer_stop(&p);
}

/* A server of the v1 era, or a device that cannot migrate. */
static void no_migration(void **state)
{
	struct peer_opts opts = *(const struct peer_opts *)*state;
	struct vfm_range range = { 0, 4096 };
	uint64_t v = 4096;
	struct vfm_err err;
	enum vfm_state s;
	struct peer p;
	struct vfm_device *dev;

	opts.no_migration = true;
	dev = peer_open(&p, &opts);
	assert_int_equal(vfm_device_get_migration(dev, &v, &err), -ENOTTY);
	assert_int_equal(vfm_device_get_state(dev, &s, &err), -ENOTTY);
	assert_int_equal(vfm_device_get_data_size(dev, &v, &err), -ENOTTY);
	if (!opts.extension)
		assert_int_equal(vfm_device_start_log(dev, &v, &range, 1, &err), -ENOTTY);
	vfm_device_close(dev);
	peer_stop(&p);
}

/* libvfio-user after a reconnect to a stopped device: it describes nothing until it runs. */
static void found_stopped(void **state)
{
	struct vfm_device *dev = NULL;
	struct vfm_device_info info;
	struct vfm_region region;
	struct vfm_err err;
	enum vfm_state s;
	struct peer p;
	uint32_t v = 0;
	int fd = peer_start(&p, &libvfio);

	(void)state;
	p.state = VFM_STATE_STOP;
	ok(vfm_client_open_fd(&dev, fd, NULL, ERR));
	assert_int_equal(vfm_device_get_info(dev, &info, &err), -EINVAL);
	assert_int_equal(vfm_device_get_region(dev, 0, &region, &err), -EINVAL);
	ok(vfm_device_get_state(dev, &s, ERR));
	assert_int_equal(s, VFM_STATE_STOP);
	ok(vfm_device_read_region(dev, 0, 0, &v, 4, ERR));
	ok(vfm_device_set_state(dev, VFM_STATE_RUNNING, ERR));
	ok(vfm_device_get_info(dev, &info, ERR));
	ok(vfm_device_get_region(dev, 1, &region, ERR));
	assert_int_equal(region.nr_areas, 2);
	vfm_device_close(dev);
	peer_stop(&p);
}

/* What was learned before the stop is still told after it. */
static void stopped_later(void **state)
{
	struct vfm_device_info info;
	struct vfm_region region;
	struct vfm_irq irq;
	struct peer p;
	struct vfm_device *dev = peer_open(&p, &libvfio);

	(void)state;
	ok(vfm_device_set_state(dev, VFM_STATE_STOP, ERR));
	ok(vfm_device_get_info(dev, &info, ERR));
	ok(vfm_device_get_region(dev, 1, &region, ERR));
	ok(vfm_device_get_irq(dev, 2, &irq, ERR));
	vfm_device_close(dev);
	peer_stop(&p);
}

/* What the server does not let go of stays mapped, and can be unmapped later. */
static void unmapping_refused(void **state)
{
	static uint8_t memory[4096];
	struct vfm_dma_map map = { .size = 4096, .flags = 3, .fd = -1, .vaddr = memory };
	struct vfm_err err;
	struct peer p;
	struct vfm_device *dev = peer_open(&p, &libvfio);

	(void)state;
	ok(vfm_device_map_dma(dev, &map, ERR));
	ok(vfm_device_set_state(dev, VFM_STATE_STOP, ERR));
	assert_int_equal(vfm_device_unmap_dma(dev, 0, 4096, &err), -EINVAL);
	assert_int_equal(vfm_device_unmap_all(dev, &err), -EINVAL);
	assert_int_equal(vfm_device_map_dma(dev, &map, &err), -EEXIST);
	map.iova = 4096;
	assert_int_equal(vfm_device_map_dma(dev, &map, &err), -EINVAL);
	ok(vfm_device_set_state(dev, VFM_STATE_RUNNING, ERR));
	ok(vfm_device_map_dma(dev, &map, ERR));
	ok(vfm_device_unmap_dma(dev, 0, 4096, ERR));
	ok(vfm_device_unmap_all(dev, ERR));
	assert_int_equal(p.nr_maps, 0);
	vfm_device_close(dev);
	peer_stop(&p);
}

/* Found in a session that somebody else began: what an empty read means is asked for. */
static void found_saving(void **state)
{
	static const uint32_t found[] = { VFM_STATE_PRE_COPY, VFM_STATE_STOP_COPY };
	uint8_t buf[16];

	for (size_t i = 0; i < 2; i++) {
		struct vfm_device *dev;
		struct vfm_err err;
		struct peer p;

		dev = peer_open(&p, *state);
		p.state = found[i];
		p.out_pos = p.out_len;
		assert_int_equal(vfm_device_read_data(dev, buf, sizeof(buf), &err),
				 i ? 0 : -ENOMSG);
		vfm_device_close(dev);
		peer_stop(&p);
	}
}

#define EACH(fn)                                                                                   \
	{ #fn " (strict)", fn, NULL, NULL, (void *)(uintptr_t)&strict },                           \
		{ #fn " (extension)", fn, NULL, NULL, (void *)(uintptr_t)&extended },              \
	{                                                                                          \
#fn " (libvfio-user)", fn, NULL, NULL, (void *)(uintptr_t)&libvfio                 \
	}

static int no_leak(void **state)
{
	static unsigned int before;
	unsigned int now = test_count_fds();

	(void)state;
	if (before && now != before)
		print_error("%u descriptors, %u before\n", now, before);
	if (!before)
		before = now;
	return now != before;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(describe),
		EACH(io_fds),
		EACH(access_regions),
		EACH(interrupts),
		EACH(bad_descriptor),
		EACH(mapping),
		EACH(states),
		EACH(save),
		EACH(load),
		EACH(extension),
		EACH(no_migration),
		EACH(found_saving),
		cmocka_unit_test(found_stopped),
		cmocka_unit_test(stopped_later),
		cmocka_unit_test(unmapping_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, no_leak, no_leak);
}
