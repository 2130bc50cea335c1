// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The same device twice: one in this process, one behind our server and our client.
 * Whatever is called, with whatever arguments, both must answer alike: the same codes,
 * the same bytes, the same writes to memory, the same interrupts.
 */

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vfmig/vfmig.h>

#include "base/bytes.h"
#include "base/util.h"
#include "random.h"
#include "test.h"
#include "vfio_user/vfio_user.h"

/* ---- a small device ------------------------------------------------------------- */

#define PAGE 4096u
#define MEM_PAGES 16u
#define VECTORS 20u

/* Registers: a write to DMA_WRITE or DMA_READ of {iova, len, value}, to RAISE of {index, vector}.
 */
#define REG_DMA_WRITE 0u
#define REG_DMA_READ 16u
#define REG_RAISE 32u
#define REG_DATA 64u

struct small {
	struct vfm_host *host;
	int mem_fd, io_fd;
	uint8_t *mem;
	uint8_t regs[PAGE];
	uint32_t unsent; /* a bit a page of mem; the highest is for the registers */
	uint32_t loaded;
};

#define ALL ((1u << (MEM_PAGES + 1)) - 1)

static int small_open(struct vfm_host *host, const char *params, void **priv, struct vfm_err *err)
{
	struct small *s = calloc(1, sizeof(*s));

	(void)params;
	(void)err;
	assert_non_null(s);
	s->host = host;
	s->io_fd = eventfd(0, EFD_CLOEXEC);
	s->mem_fd = memfd_create("small", MFD_CLOEXEC);
	assert_int_equal(ftruncate(s->mem_fd, MEM_PAGES * PAGE), 0);
	s->mem = mmap(NULL, MEM_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, s->mem_fd, 0);
	assert_ptr_not_equal(s->mem, MAP_FAILED);
	*priv = s;
	return 0;
}

static void small_close(void *priv)
{
	struct small *s = priv;

	munmap(s->mem, MEM_PAGES * PAGE);
	close(s->mem_fd);
	close(s->io_fd);
	free(s);
}

static int small_describe(void *priv, struct vfm_description *d, struct vfm_err *err)
{
	struct small *s = priv;

	(void)err;
	d->flags = VFM_DEVICE_RESET;
	d->nr_regions = 4;
	d->regions[0] = (struct vfm_region){ .flags = 3, .size = PAGE, .fd = -1 };
	d->regions[1] = (struct vfm_region){ .flags = 7,
					     .size = MEM_PAGES * PAGE,
					     .fd = s->mem_fd,
					     .type = 0x8000,
					     .subtype = 3,
					     .nr_areas = 2,
					     .areas = { { PAGE, PAGE }, { 4 * PAGE, 2 * PAGE } } };
	d->regions[3] = (struct vfm_region){ .flags = 1, .size = 100, .fd = -1 };
	d->nr_irqs = 3;
	d->irqs[0] =
		(struct vfm_irq){ .flags = VFM_IRQ_EVENTFD | VFM_IRQ_MASKABLE | VFM_IRQ_AUTOMASKED,
				  .count = 1 };
	d->irqs[1] =
		(struct vfm_irq){ .flags = VFM_IRQ_EVENTFD | VFM_IRQ_NORESIZE, .count = VECTORS };
	d->nr_io_fds = 2;
	for (uint32_t i = 0; i < 2; i++)
		d->io_fds[i] = (struct vfm_driver_io_fd){ .region = 0,
							  .io = { .offset = 200 + 8 * i,
								  .size = 8,
								  .fd = s->io_fd,
								  .flags = 1,
								  .datamatch = 7 + i } };
	snprintf(d->params, sizeof(d->params), "mem=%u", MEM_PAGES);
	return 0;
}

static int small_read(void *priv, uint32_t index, uint64_t offset, void *buf, size_t len,
		      struct vfm_err *err)
{
	struct small *s = priv;

	(void)err;
	memcpy(buf, (index == 1 ? s->mem : s->regs) + offset, len);
	return 0;
}

static int small_command(struct small *s, uint64_t reg, const uint8_t *buf, struct vfm_err *err)
{
	struct vfm_reader r = vfm_reader_of(buf, 16);
	uint8_t bytes[1024];
	uint64_t a = vfm_read_he64(&r);
	uint32_t len = vfm_read_he32(&r) % sizeof(bytes), value = vfm_read_he32(&r);

	memset(bytes, (int)value, sizeof(bytes));
	if (reg == REG_DMA_WRITE)
		return vfm_host_write_dma(s->host, a, bytes, len, err);
	if (reg == REG_DMA_READ)
		return vfm_host_read_dma(s->host, a, s->regs + REG_DATA, len, err);
	return vfm_host_raise_irq(s->host, (uint32_t)a, len, err);
}

static int small_write(void *priv, uint32_t index, uint64_t offset, const void *buf, size_t len,
		       struct vfm_err *err)
{
	struct small *s = priv;

	if (index == 0 && len == 16 && offset <= REG_RAISE && offset % 16 == 0)
		return small_command(s, offset, buf, err);
	memcpy((index == 1 ? s->mem : s->regs) + offset, buf, len);
	for (uint64_t page = offset / PAGE; page <= (offset + len - 1) / PAGE; page++)
		s->unsent |= 1u << (index == 1 ? page : MEM_PAGES);
	return 0;
}

static int small_reset(void *priv, struct vfm_err *err)
{
	struct small *s = priv;

	(void)err;
	memset(s->mem, 0, MEM_PAGES * PAGE);
	memset(s->regs, 0, sizeof(s->regs));
	return 0;
}

static int small_arc(void *priv, enum vfm_state from, enum vfm_state to, struct vfm_err *err)
{
	struct small *s = priv;

	(void)err;
	if (!vfm_state_is_saving(from) && vfm_state_is_saving(to))
		s->unsent = ALL;
	if (to == VFM_STATE_RESUMING)
		s->loaded = 0;
	return 0;
}

static ssize_t small_save(void *priv, void *buf, struct vfm_err *err)
{
	struct small *s = priv;
	uint8_t *p = buf;

	(void)err;
	for (unsigned int page = 0; page <= MEM_PAGES; page++) {
		if (!(s->unsent & 1u << page))
			continue;
		s->unsent &= ~(1u << page);
		p[0] = (uint8_t)page;
		memcpy(p + 1, page == MEM_PAGES ? s->regs : s->mem + page * PAGE, PAGE);
		return PAGE + 1;
	}
	return 0;
}

static int small_load(void *priv, const void *buf, size_t len, struct vfm_err *err)
{
	struct small *s = priv;
	const uint8_t *p = buf;

	if (len != PAGE + 1 || p[0] > MEM_PAGES)
		return vfm_fail(err, -EBADMSG, "record of %zu bytes", len);
	memcpy(p[0] == MEM_PAGES ? s->regs : s->mem + p[0] * PAGE, p + 1, PAGE);
	s->loaded |= 1u << p[0];
	return 0;
}

static int small_load_end(void *priv, struct vfm_err *err)
{
	struct small *s = priv;

	return s->loaded == ALL ? 0 : vfm_fail(err, -EBADMSG, "pages 0x%x", s->loaded);
}

static int small_pending(void *priv, struct vfm_precopy_info *info, struct vfm_err *err)
{
	struct small *s = priv;

	(void)err;
	info->initial_bytes = 0;
	info->dirty_bytes = (uint64_t)__builtin_popcount(s->unsent) * (PAGE + 1);
	return 0;
}

static int small_size(void *priv, uint64_t *bytes, struct vfm_err *err)
{
	(void)priv;
	(void)err;
	*bytes = (MEM_PAGES + 1) * (PAGE + 1);
	return 0;
}

static const struct vfm_driver small = {
	VFM_DRIVER_INIT,
	.model = "test,small",
	.version = 2,
	.min_version = 1,
	.migration = 7,
	.record_max = PAGE + 1,
	.open = small_open,
	.close = small_close,
	.describe = small_describe,
	.read_region = small_read,
	.write_region = small_write,
	.reset = small_reset,
	.arc = small_arc,
	.save = small_save,
	.load = small_load,
	.load_end = small_load_end,
	.pending = small_pending,
	.data_size = small_size,
};

/* ---- two of them ----------------------------------------------------------------- */

#define NR_RANGES 6
#define RANGE_SIZE (8 * PAGE)

/** struct side - a device and its surroundings */
struct side {
	struct vfm_device *dev;
	int memory_fd;
	uint8_t *memory; /* NR_RANGES of RANGE_SIZE, behind the mappings */
	int events[3 * VECTORS];
};

struct serving {
	struct vfm_server *server;
	int stop_fd;
};

/** struct pair - [0] is here, [1] behind the wire */
struct pair {
	uint64_t seed;
	struct side side[2];
	struct vfm_device *remote;
	struct serving serving;
	pthread_t thread;
	bool extension;
	bool logging;
	uint8_t *image;
	size_t image_len;
};

static void *serve(void *user)
{
	const struct serving *serving = user;
	struct vfm_err err;
	int ret = vfm_server_run(serving->server, serving->stop_fd, &err);

	return (void *)(intptr_t)ret;
}

static int range_read(void *user, uint64_t iova, void *buf, size_t len)
{
	memcpy(buf, (uint8_t *)user + iova % RANGE_SIZE, len);
	return 0;
}

static int range_write(void *user, uint64_t iova, const void *buf, size_t len)
{
	memcpy((uint8_t *)user + iova % RANGE_SIZE, buf, len);
	return 0;
}

static void open_side(struct side *s)
{
	s->memory_fd = memfd_create("memory", MFD_CLOEXEC);
	assert_int_equal(ftruncate(s->memory_fd, NR_RANGES * RANGE_SIZE), 0);
	s->memory = mmap(NULL, NR_RANGES * RANGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			 s->memory_fd, 0);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(s->events); i++)
		s->events[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static void close_side(struct side *s)
{
	vfm_device_close(s->dev);
	munmap(s->memory, NR_RANGES * RANGE_SIZE);
	close(s->memory_fd);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(s->events); i++)
		close(s->events[i]);
}

static void open_pair(struct pair *p, bool extension, uint64_t seed)
{
	struct vfm_server_opts opts = VFM_SERVER_OPTS(.no_extension = !extension);
	static struct vfm_driver here;
	struct vfm_err err = { 0 };
	int fds[2];

	*p = (struct pair){ .seed = seed, .extension = extension };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	opts.fd = fds[0];
	for (int i = 0; i < 2; i++)
		open_side(&p->side[i]);
	here = small;
	here.migration = extension ? 7 : 5; /* the standard messages have no P2P */
	assert_int_equal(vfm_device_from_driver(&p->side[0].dev, &here, NULL, &err), 0);
	assert_int_equal(vfm_device_from_driver(&p->remote, &small, NULL, &err), 0);
	assert_int_equal(vfm_server_new(&p->serving.server, p->remote, &opts, &err), 0);
	p->serving.stop_fd = -1;
	assert_int_equal(pthread_create(&p->thread, NULL, serve, &p->serving), 0);
	if (vfm_client_open_fd(&p->side[1].dev, fds[1], NULL, &err))
		fail_msg("%s", err.msg);
}

static void close_pair(struct pair *p)
{
	void *ret;

	close_side(&p->side[0]);
	close_side(&p->side[1]);
	assert_int_equal(pthread_join(p->thread, &ret), 0);
	assert_int_equal((intptr_t)ret, -ESHUTDOWN);
	vfm_server_free(p->serving.server);
	vfm_device_close(p->remote);
	free(p->image);
}

#define below(p, n) test_random_below(&(p)->seed, n)

/* Call the same for both sides: s is the side. */
#define BOTH(p, ret, err, call)                                                                    \
	for (int i_ = 0; i_ < 2; i_++) {                                                           \
		struct side *s = &(p)->side[i_];                                                   \
		(ret)[i_] = (long)(call);                                                          \
	}

#define SAME(what, ret, err)                                                                       \
	do {                                                                                       \
		if ((ret)[0] != (ret)[1])                                                          \
			fail_msg("%s: %ld here (%s), %ld there (%s)", what, (ret)[0],              \
				 (ret)[0] < 0 ? (err)[0].msg : "", (ret)[1],                       \
				 (ret)[1] < 0 ? (err)[1].msg : "");                                \
	} while (0)

static void compare_region(const struct vfm_region *a, const struct vfm_region *b)
{
	assert_int_equal(a->index, b->index);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->subtype, b->subtype);
	assert_int_equal(a->fd < 0, b->fd < 0);
	assert_int_equal(a->fd_offset, b->fd_offset);
	assert_int_equal(a->nr_areas, b->nr_areas);
	assert_memory_equal(a->areas, b->areas, a->nr_areas * sizeof(a->areas[0]));
}

static void op_describe(struct pair *p)
{
	struct vfm_device_info info[2];
	struct vfm_region region[2];
	struct vfm_io_fd io[2][4];
	struct vfm_irq irq[2];
	struct vfm_err err[2];
	uint32_t index = (uint32_t)below(p, 6);
	size_t max = below(p, 4);
	long ret[2];

	BOTH(p, ret, err, vfm_device_get_info(s->dev, &info[i_], &err[i_]));
	SAME("info", ret, err);
	assert_memory_equal(&info[0], &info[1], sizeof(info[0]));
	BOTH(p, ret, err, vfm_device_get_region(s->dev, index, &region[i_], &err[i_]));
	SAME("region", ret, err);
	if (!ret[0])
		compare_region(&region[0], &region[1]);
	BOTH(p, ret, err, vfm_device_get_irq(s->dev, index, &irq[i_], &err[i_]));
	SAME("irq", ret, err);
	if (!ret[0])
		assert_memory_equal(&irq[0], &irq[1], sizeof(irq[0]));
	BOTH(p, ret, err, vfm_device_get_io_fds(s->dev, index, io[i_], max, &err[i_]));
	SAME("io_fds", ret, err);
	for (long i = 0; i < ret[0] && i < (long)max; i++) {
		assert_int_equal(io[0][i].offset, io[1][i].offset);
		assert_int_equal(io[0][i].size, io[1][i].size);
		assert_int_equal(io[0][i].type, io[1][i].type);
		assert_int_equal(io[0][i].flags, io[1][i].flags);
		assert_int_equal(io[0][i].datamatch, io[1][i].datamatch);
	}
}

/* Of the whole region now and then, else of a few bytes, also such that are not there. */
static void pick_access(struct pair *p, uint64_t *offset, size_t *len)
{
	*offset = below(p, 2) ? below(p, MEM_PAGES * PAGE + 10) : 128 + below(p, PAGE);
	*len = below(p, 4) ? 1 + below(p, 16) : below(p, MEM_PAGES * PAGE);
}

static void op_read_region(struct pair *p)
{
	static uint8_t buf[2][MEM_PAGES * PAGE];
	uint32_t index = (uint32_t)below(p, 5);
	struct vfm_err err[2];
	uint64_t offset;
	size_t len;
	long ret[2];

	pick_access(p, &offset, &len);
	BOTH(p, ret, err, vfm_device_read_region(s->dev, index, offset, buf[i_], len, &err[i_]));
	SAME("read region", ret, err);
	if (!ret[0])
		assert_memory_equal(buf[0], buf[1], len);
}

static void op_write_region(struct pair *p)
{
	static uint8_t buf[MEM_PAGES * PAGE];
	uint32_t index = (uint32_t)below(p, 5);
	struct vfm_err err[2];
	uint64_t offset;
	size_t len;
	long ret[2];

	pick_access(p, &offset, &len);
	memset(buf, (int)below(p, 256), len);
	BOTH(p, ret, err, vfm_device_write_region(s->dev, index, offset, buf, len, &err[i_]));
	SAME("write region", ret, err);
}

static void op_command(struct pair *p)
{
	uint64_t iova = below(p, NR_RANGES * 2 * RANGE_SIZE);
	uint32_t len = (uint32_t)below(p, 1024), value = (uint32_t)below(p, 256);
	uint64_t reg = 16 * below(p, 3);
	uint8_t bytes[16];
	struct vfm_writer w = vfm_writer_of(bytes, sizeof(bytes));
	struct vfm_err err[2];
	long ret[2];

	if (reg == REG_RAISE) {
		iova = below(p, 4);
		len = (uint32_t)below(p, VECTORS + 1);
	}
	vfm_write_he64(&w, iova);
	vfm_write_he32(&w, len);
	vfm_write_he32(&w, value);
	BOTH(p, ret, err, vfm_device_write_region(s->dev, 0, reg, bytes, sizeof(bytes), &err[i_]));
	SAME("command", ret, err);
}

static void op_irqs(struct pair *p)
{
	static const uint32_t data[] = { VFM_IRQ_SET_DATA_NONE, VFM_IRQ_SET_DATA_BOOL,
					 VFM_IRQ_SET_DATA_EVENTFD, VFM_IRQ_SET_DATA_EVENTFD };
	struct vfm_irq_set set = { .flags = data[below(p, 4)] | VFM_IRQ_SET_ACTION_MASK
									<< below(p, 3),
				   .index = (uint32_t)below(p, 4),
				   .start = (uint32_t)(below(p, 3) ? 0 : below(p, VECTORS + 1)),
				   .count = (uint32_t)below(p, VECTORS + 2) };
	bool eventfds = set.flags & VFM_IRQ_SET_DATA_EVENTFD, away = below(p, 4) == 0;
	uint8_t bools[VECTORS + 2];
	int fds[2][VECTORS + 2];
	struct vfm_err err[2];
	long ret[2];

	for (uint32_t i = 0; i < VFM_ARRAY_SIZE(bools); i++) {
		size_t event = below(p, VFM_ARRAY_SIZE(p->side[0].events));
		bool none = below(p, 6) == 0;

		bools[i] = (uint8_t)below(p, 2);
		for (int k = 0; k < 2; k++)
			fds[k][i] = none ? -1 : p->side[k].events[event];
	}
	set.bools = set.flags & VFM_IRQ_SET_DATA_BOOL ? bools : NULL;
	for (int i = 0; i < 2; i++) {
		set.fds = eventfds && !away ? fds[i] : NULL;
		ret[i] = vfm_device_set_irqs(p->side[i].dev, &set, &err[i]);
	}
	SAME("set irqs", ret, err);
}

static void op_map(struct pair *p)
{
	uint64_t n = below(p, NR_RANGES);
	uint32_t kind = (uint32_t)below(p, 3);
	/* The calls count from multiples of RANGE_SIZE. */
	struct vfm_dma_map map = { .iova = n * RANGE_SIZE + (kind == 2 || below(p, 8) ? 0 : PAGE),
				   .size = RANGE_SIZE - (below(p, 8) ? 0 : PAGE),
				   .flags = 1 + (uint32_t)below(p, 3),
				   .fd = -1,
				   .fd_offset = n * RANGE_SIZE };
	struct vfm_err err[2];
	long ret[2];

	for (int i = 0; i < 2; i++) {
		struct side *s = &p->side[i];

		if (kind == 0)
			map.fd = s->memory_fd;
		if (kind == 1)
			map.vaddr = s->memory + n * RANGE_SIZE;
		if (kind == 2)
			map.access = (struct vfm_dma_access){ range_read, range_write,
							      s->memory + n * RANGE_SIZE };
		ret[i] = vfm_device_map_dma(s->dev, &map, &err[i]);
	}
	SAME("map", ret, err);
}

static void op_unmap(struct pair *p)
{
	uint64_t iova = below(p, NR_RANGES) * RANGE_SIZE;
	uint64_t size = below(p, 8) ? RANGE_SIZE : PAGE;
	struct vfm_err err[2];
	long ret[2];

	if (below(p, 12))
		BOTH(p, ret, err, vfm_device_unmap_dma(s->dev, iova, size, &err[i_]))
	else
		BOTH(p, ret, err, vfm_device_unmap_all(s->dev, &err[i_]))
	SAME("unmap", ret, err);
}

static void op_state(struct pair *p)
{
	enum vfm_state want = (enum vfm_state)below(p, 9), state[2];
	struct vfm_err err[2];
	uint64_t migration[2];
	long ret[2];

	BOTH(p, ret, err, vfm_device_get_migration(s->dev, &migration[i_], &err[i_]));
	SAME("migration", ret, err);
	assert_int_equal(migration[0], migration[1]);
	BOTH(p, ret, err, vfm_device_set_state(s->dev, want, &err[i_]));
	SAME(vfm_state_name(want), ret, err);
	BOTH(p, ret, err, vfm_device_get_state(s->dev, &state[i_], &err[i_]));
	SAME("get state", ret, err);
	assert_int_equal(state[0], state[1]);
}

/* How much a single read gives is not the same; what all of them give is. */
static long read_up_to(struct side *s, uint8_t *buf, size_t len, size_t step, size_t *done,
		       struct vfm_err *err)
{
	ssize_t n = 1;

	*done = 0;
	while (*done < len && n > 0) {
		n = vfm_device_read_data(s->dev, buf + *done, VFM_MIN(len - *done, step), err);
		*done += n > 0 ? (size_t)n : 0;
	}
	return n > 0 ? 1 : n;
}

static void op_read_data(struct pair *p)
{
	static uint8_t buf[2][200000];
	size_t len = 1 + below(p, below(p, 3) ? sizeof(buf[0]) : 100), done[2];
	size_t step = 1 + below(p, 100000);
	struct vfm_err err[2];
	long ret[2];

	BOTH(p, ret, err, read_up_to(s, buf[i_], len, step, &done[i_], &err[i_]));
	SAME("read data", ret, err);
	assert_int_equal(done[0], done[1]);
	assert_memory_equal(buf[0], buf[1], done[0]);
}

/* A whole save of the device here, which is put into both. */
static void op_save(struct pair *p)
{
	struct vfm_device *dev = p->side[0].dev;
	struct vfm_err err;
	enum vfm_state state;
	ssize_t n = 1;
	size_t room = 300000;

	if (vfm_device_get_state(dev, &state, &err) || state != VFM_STATE_RUNNING)
		return;
	if (vfm_device_set_state(dev, VFM_STATE_STOP_COPY, &err))
		return;
	p->image = realloc(p->image, room);
	for (p->image_len = 0; n > 0; p->image_len += n > 0 ? (size_t)n : 0)
		n = vfm_device_read_data(dev, p->image + p->image_len, room - p->image_len, &err);
	assert_int_equal(n, 0);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RUNNING, &err), 0);
	/* The other one must have gone the same way. */
	dev = p->side[1].dev;
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_STOP_COPY, &err), 0);
	assert_int_equal(vfm_device_set_state(dev, VFM_STATE_RUNNING, &err), 0);
}

static void op_load(struct pair *p)
{
	size_t step = 1 + below(p, 100000), cut = below(p, 3) ? 0 : below(p, 100);
	size_t flip = below(p, 3) ? 0 : below(p, p->image_len + 1);
	long ret[2] = { 0, 0 };
	struct vfm_err err[2];

	if (!p->image)
		return;
	BOTH(p, ret, err, vfm_device_set_state(s->dev, VFM_STATE_RESUMING, &err[i_]));
	SAME("resume", ret, err);
	p->image[flip] ^= flip ? 1 : 0;
	for (size_t at = 0; at + cut < p->image_len && !ret[0]; at += step) {
		size_t n = VFM_MIN(step, p->image_len - cut - at);

		BOTH(p, ret, err, vfm_device_write_data(s->dev, p->image + at, n, &err[i_]));
		SAME("write data", ret, err);
	}
	p->image[flip] ^= flip ? 1 : 0;
	BOTH(p, ret, err, vfm_device_set_state(s->dev, VFM_STATE_RUNNING, &err[i_]));
	SAME("run the loaded", ret, err);
	if (ret[0]) {
		BOTH(p, ret, err, vfm_device_reset(s->dev, &err[i_]));
		SAME("reset", ret, err);
	}
}

static void op_extension(struct pair *p)
{
	struct vfm_precopy_info info[2] = { { 0 }, { 0 } };
	struct vfm_compat compat[2];
	struct vfm_err err[2];
	uint64_t size[2];
	long ret[2];

	memset(compat, 0, sizeof(compat));
	if (!p->extension) {
		assert_int_equal(vfm_device_get_precopy_info(p->side[1].dev, info, err), -ENOTTY);
		assert_int_equal(vfm_device_get_compat(p->side[1].dev, compat, err), -ENOTTY);
		return;
	}
	BOTH(p, ret, err, vfm_device_get_precopy_info(s->dev, &info[i_], &err[i_]));
	SAME("precopy info", ret, err);
	assert_int_equal(info[0].initial_bytes, info[1].initial_bytes);
	assert_int_equal(info[0].dirty_bytes, info[1].dirty_bytes);
	assert_int_equal(info[0].reinit, info[1].reinit);
	BOTH(p, ret, err, vfm_device_get_data_size(s->dev, &size[i_], &err[i_]));
	SAME("data size", ret, err);
	assert_int_equal(size[0], size[1]);
	BOTH(p, ret, err, vfm_device_get_compat(s->dev, &compat[i_], &err[i_]));
	SAME("compat", ret, err);
	assert_string_equal(compat[0].model, compat[1].model);
	assert_string_equal(compat[0].params, compat[1].params);
	assert_int_equal(compat[0].version, compat[1].version);
	assert_int_equal(compat[0].min_version, compat[1].min_version);
	assert_int_equal(compat[0].judges_params, compat[1].judges_params);
	assert_int_equal(vfm_device_set_orphan(p->side[1].dev, (enum vfm_orphan)below(p, 3), err),
			 0);
}

static void op_log(struct pair *p)
{
	uint64_t page[2];
	struct vfm_range ranges[2] = { { 0, NR_RANGES * RANGE_SIZE }, { 1u << 20, 1u << 20 } };
	size_t nr = 1 + below(p, 2);
	struct vfm_err err[2];
	long ret[2];

	/* What goes by messages is logged by single pages there, whatever the log's page is. */
	page[0] = page[1] = (uint64_t)PAGE << (p->extension ? below(p, 3) : 0);
	if (below(p, 2)) {
		BOTH(p, ret, err, vfm_device_start_log(s->dev, &page[i_], ranges, nr, &err[i_]));
		SAME("start log", ret, err);
		assert_int_equal(page[0], page[1]);
		p->logging = true;
	} else if (below(p, 4) == 0) {
		BOTH(p, ret, err, vfm_device_stop_log(s->dev, &err[i_]));
		SAME("stop log", ret, err);
		p->logging = false;
	}
}

/* Without the extension more may be dirty there, never less. */
static void op_report(struct pair *p)
{
	uint64_t page = (uint64_t)PAGE << below(p, 3);
	uint64_t iova = below(p, NR_RANGES * RANGE_SIZE / page) * page;
	uint64_t size = 1 + below(p, NR_RANGES * RANGE_SIZE - iova);
	uint64_t bits[2] = { 0, 0 };
	struct vfm_err err[2];
	long ret[2];

	/* A page that is only touched by the range is told; whether it is cleared may differ. */
	if (!p->extension)
		size = (size + PAGE - 1) / PAGE * PAGE;
	BOTH(p, ret, err, vfm_device_report_log(s->dev, iova, size, page, &bits[i_], &err[i_]));
	SAME("report", ret, err);
	assert_int_equal(bits[0] & ~bits[1], 0);
	if (p->extension)
		assert_int_equal(bits[0], bits[1]);
}

static void op_reset(struct pair *p)
{
	struct vfm_err err[2];
	long ret[2];

	BOTH(p, ret, err, vfm_device_reset(s->dev, &err[i_]));
	SAME("reset", ret, err);
}

static void op_mmap(struct pair *p)
{
	struct vfm_region region;
	uint8_t v = (uint8_t)below(p, 256);
	size_t at = below(p, PAGE);

	for (int i = 0; i < 2; i++) {
		uint8_t *mem;

		assert_int_equal(vfm_device_get_region(p->side[i].dev, 1, &region, NULL), 0);
		mem = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, region.fd,
			   (off_t)(region.fd_offset + region.areas[1].offset));
		assert_ptr_not_equal(mem, MAP_FAILED);
		mem[at] = v;
		munmap(mem, PAGE);
	}
}

static void compare_surroundings(struct pair *p)
{
	assert_memory_equal(p->side[0].memory, p->side[1].memory, NR_RANGES * RANGE_SIZE);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(p->side[0].events); i++) {
		uint64_t v[2] = { 0, 0 };

		for (int k = 0; k < 2; k++) {
			if (read(p->side[k].events[i], &v[k], sizeof(v[k])) < 0)
				v[k] = 0;
		}
		assert_int_equal(v[0], v[1]);
	}
}

static void run(bool extension, uint64_t seed)
{
	static const struct {
		unsigned int weight;
		void (*fn)(struct pair *p);
	} ops[] = { { 2, op_describe }, { 6, op_read_region }, { 8, op_write_region },
		    { 20, op_command }, { 5, op_irqs },	       { 6, op_map },
		    { 3, op_unmap },	{ 4, op_state },       { 6, op_read_data },
		    { 1, op_save },	{ 2, op_load },	       { 4, op_extension },
		    { 2, op_log },	{ 4, op_report },      { 3, op_reset },
		    { 1, op_mmap } };
	unsigned int total = 0;
	struct pair p;

	for (size_t i = 0; i < VFM_ARRAY_SIZE(ops); i++)
		total += ops[i].weight;
	open_pair(&p, extension, seed);
	for (int i = 0; i < 600; i++) {
		unsigned int n = (unsigned int)below(&p, total);
		size_t op = 0;

		while (n >= ops[op].weight)
			n -= ops[op++].weight;
		ops[op].fn(&p);
		compare_surroundings(&p);
	}
	close_pair(&p);
}

static void with_extension(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++)
		run(true, seed * 7919);
}

static void standard_messages(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++)
		run(false, seed * 104729);
}

/* A second client is told at once, and the first goes on. */
static void in_use(void **state)
{
	char dir[] = "/tmp/vfm-use-XXXXXX", path[64];
	struct vfm_device *dev, *one = NULL, *two = NULL;
	struct vfm_server_opts opts = VFM_SERVER_OPTS(.path = path);
	struct serving serving = { .stop_fd = eventfd(0, EFD_CLOEXEC) };
	struct vfm_err err = { 0 };
	uint64_t v = 1;
	pthread_t thread;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sock", dir);
	assert_int_equal(vfm_device_from_driver(&dev, &small, NULL, &err), 0);
	assert_int_equal(vfm_server_new(&serving.server, dev, &opts, &err), 0);
	assert_int_equal(pthread_create(&thread, NULL, serve, &serving), 0);
	assert_int_equal(vfm_client_open(&one, path, NULL, &err), 0);
	assert_int_equal(vfm_client_open(&two, path, NULL, &err), -EBUSY);
	assert_non_null(strstr(err.msg, "in use by another client"));
	assert_int_equal(vfm_device_read_region(one, 0, 128, &v, 4, &err), 0);
	vfm_device_close(one);
	v = 1;
	assert_int_equal(write(serving.stop_fd, &v, sizeof(v)), sizeof(v));
	pthread_join(thread, NULL);
	close(serving.stop_fd);
	vfm_server_free(serving.server);
	vfm_device_close(dev);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_extension),
		cmocka_unit_test(standard_messages),
		cmocka_unit_test(in_use),
	};

	return RUN_TESTS(tests);
}
