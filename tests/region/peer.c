// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The device with a migration region. Data that nobody should look at any more is
 * overwritten at once, so that a read that comes too late is seen.
 */

#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vfmig/v1.h>

#include "base/util.h"

#define STALE 0xee

uint8_t peer_byte(uint64_t at)
{
	return (uint8_t)(at * 7 + (at >> 8) * 13 + (at >> 16));
}

void peer_check_bytes(const uint8_t *buf, uint64_t at, uint64_t len)
{
	uint64_t i = 0;

	while (i < len && buf[i] == peer_byte(at + i))
		i++;
	assert_int_equal(i, len);
}

/* However large it says that it is. */
static uint64_t size_of(const struct peer *p)
{
	return VFM_MIN(p->region.size, (uint64_t)PEER_SIZE);
}

uint64_t peer_total(const struct peer *p, unsigned int nr)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < nr; i++)
		sum += p->chunks[i].size;
	return sum;
}

/* ---- the log -------------------------------------------------------------------- */

VFM_PRINTF(2, 3) static void note(struct peer *p, const char *fmt, ...)
{
	size_t used = strlen(p->log);
	va_list ap;

	if (used > sizeof(p->log) - 64)
		return;
	if (used)
		p->log[used++] = ' ';
	va_start(ap, fmt);
	vsnprintf(p->log + used, sizeof(p->log) - used, fmt, ap);
	va_end(ap);
}

void peer_forget(struct peer *p)
{
	p->log[0] = '\0';
}

void peer_expect(struct peer *p, const char *expected)
{
	assert_string_equal(p->log, expected);
	peer_forget(p);
}

static const char *name_of(uint64_t offset, size_t len)
{
	static const char *const names[] = { "pending", "offset", "size" };

	if (offset == VFM_V1_DEVICE_STATE && len == 4)
		return "state";
	if (offset % 8 || offset < VFM_V1_PENDING_BYTES || offset > VFM_V1_DATA_SIZE || len != 8)
		return NULL;
	return names[offset / 8 - 1];
}

/* ---- saving --------------------------------------------------------------------- */

static unsigned int given_out(const struct peer *p)
{
	if (p->word == VFM_V1_SAVING)
		return p->nr_chunks;
	return p->word == (VFM_V1_SAVING | VFM_V1_RUNNING) ? p->available : 0;
}

static void wipe(struct peer *p)
{
	memset(p->mem + VFM_V1_REGISTERS_END, STALE, PEER_SIZE - VFM_V1_REGISTERS_END);
}

/* The chunk that was given out is taken: it is asked for what comes, or told to go on. */
static void acknowledge(struct peer *p)
{
	if (p->iteration >= PEER_PREPARED) {
		p->next++;
		wipe(p);
	}
	p->iteration = PEER_IDLE;
}

static int order(struct peer *p, bool right)
{
	p->disorder += !right;
	return right || !p->strict ? 0 : -EINVAL;
}

static uint64_t read_pending(struct peer *p)
{
	unsigned int end = given_out(p);

	acknowledge(p);
	if (p->next >= end)
		return 0;
	p->iteration = PEER_STARTED;
	return peer_total(p, end) - peer_total(p, p->next);
}

static void prepare(struct peer *p)
{
	const struct peer_chunk *c = &p->chunks[p->next];
	uint64_t at = peer_total(p, p->next);

	for (uint64_t i = 0; i < c->size && c->offset + i < size_of(p); i++)
		p->mem[c->offset + i] = peer_byte(at + i);
	p->iteration = PEER_PREPARED;
}

static int read_offset(struct peer *p, uint64_t *value)
{
	int ret;

	if (p->word == VFM_V1_RESUMING) {
		p->transaction_at = p->resume_offset + p->nr_transactions * p->resume_stride;
		*value = p->transaction_at;
		return 0;
	}
	ret = order(p, p->iteration != PEER_IDLE);
	if (ret || p->next >= p->nr_chunks)
		return ret;
	if (p->iteration <= PEER_STARTED)
		prepare(p);
	*value = p->chunks[p->next].offset;
	return 0;
}

static int read_size(struct peer *p, uint64_t *value)
{
	int ret = order(p, p->iteration >= PEER_PREPARED);

	if (ret || p->next >= p->nr_chunks)
		return ret;
	p->iteration = PEER_SIZED;
	*value = p->chunks[p->next].size;
	return 0;
}

/* ---- loading -------------------------------------------------------------------- */

static int write_size(struct peer *p, uint64_t size)
{
	unsigned int n = p->nr_transactions;
	int ret = order(p, p->word == VFM_V1_RESUMING && p->transaction_at);

	if (ret)
		return ret;
	if (!vfm_range_inside(p->transaction_at, size, size_of(p)) || n == PEER_MAX_CHUNKS ||
	    size > PEER_STREAM - p->nr_loaded)
		return -EINVAL;
	if (p->insists && (n >= p->nr_chunks || size != p->chunks[n].size))
		return -EINVAL;
	memcpy(p->loaded + p->nr_loaded, p->mem + p->transaction_at, size);
	p->nr_loaded += size;
	p->transactions[p->nr_transactions++] = size;
	p->transaction_at = 0;
	wipe(p);
	return 0;
}

/* ---- device_state --------------------------------------------------------------- */

static bool may_go(const struct peer *p, uint32_t to)
{
	/* From a row to the bits in it. */
	static const uint8_t strict[VFM_V1_MASK + 1] = {
		[0] = 1 << 0 | 1 << 1,		[1] = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4,
		[2] = 1 << 0 | 1 << 1 | 1 << 2, [3] = 1 << 0 | 1 << 1 | 1 << 2,
		[4] = 1 << 1 | 1 << 4,
	};

	if (p->strict)
		return strict[p->word] >> to & 1;
	return vfm_v1_arc(vfm_v1_state_of(p->word), vfm_v1_state_of(to)) != VFM_V1_ARC_REFUSED;
}

static int write_state(struct peer *p, uint32_t word)
{
	uint32_t to = word & VFM_V1_MASK;

	p->state_writes++;
	p->lost_reserved += (word & ~VFM_V1_MASK) != p->reserved;
	if (!may_go(p, to))
		return -EINVAL;
	acknowledge(p);
	if (p->word == VFM_V1_RESUMING && to != p->word && p->refuse_proof) {
		p->word = p->after_proof;
		return p->refuse_proof;
	}
	if (to != p->word && to == VFM_V1_RESUMING) {
		p->nr_loaded = p->nr_transactions = 0;
		p->transaction_at = 0;
	}
	if (to & VFM_V1_SAVING && !(p->word & VFM_V1_SAVING))
		p->next = 0;
	p->word = to;
	return 0;
}

/* ---- the region ----------------------------------------------------------------- */

/* Whether it is the turn of this access to fail. */
static int fault(struct peer *p)
{
	if (++p->accesses != p->fail_at)
		return 0;
	if (p->fail_hard)
		p->word = VFM_V1_SAVING | VFM_V1_RESUMING;
	return p->fail_with;
}

static int meddle(struct peer *p, bool write, uint64_t offset, size_t len, uint64_t *value)
{
	return p->meddle ? p->meddle(p, write, offset, len, value) : 0;
}

static int read_register(struct peer *p, uint64_t offset, uint64_t *value)
{
	switch (offset) {
	case VFM_V1_DEVICE_STATE:
		*value = p->word | p->reserved;
		return 0;
	case VFM_V1_PENDING_BYTES:
		*value = read_pending(p);
		return 0;
	case VFM_V1_DATA_OFFSET:
		return read_offset(p, value);
	default:
		return read_size(p, value);
	}
}

static int read_bytes(struct peer *p, uint64_t offset, void *buf, size_t len)
{
	bool right = offset >= VFM_V1_REGISTERS_END && p->iteration == PEER_SIZED;
	int ret;

	note(p, "read 0x%" PRIx64 "+%zu", offset, len);
	ret = fault(p);
	if (!ret)
		ret = meddle(p, false, offset, len, NULL);
	if (!ret)
		ret = order(p, right);
	if (!ret && !vfm_range_inside(offset, len, size_of(p)))
		ret = -EINVAL;
	if (!ret)
		memcpy(buf, p->mem + offset, len);
	return ret;
}

static int read_migration(struct peer *p, uint64_t offset, void *buf, size_t len)
{
	const char *name = name_of(offset, len);
	uint64_t value = 0;
	uint32_t half;
	int ret;

	if (!name)
		return read_bytes(p, offset, buf, len);
	note(p, "%s?", name);
	ret = fault(p);
	if (!ret)
		ret = read_register(p, offset, &value);
	if (!ret)
		ret = meddle(p, false, offset, len, &value);
	half = (uint32_t)value;
	memcpy(buf, len == sizeof(half) ? (void *)&half : (void *)&value, len);
	return ret;
}

static int write_bytes(struct peer *p, uint64_t offset, const void *buf, size_t len)
{
	int ret;

	note(p, "write 0x%" PRIx64 "+%zu", offset, len);
	ret = fault(p);
	if (!ret)
		ret = meddle(p, true, offset, len, NULL);
	if (!ret)
		ret = order(p, offset >= VFM_V1_REGISTERS_END && p->transaction_at);
	if (!ret && !vfm_range_inside(offset, len, size_of(p)))
		ret = -EINVAL;
	if (!ret)
		memcpy(p->mem + offset, buf, len);
	return ret;
}

static int write_migration(struct peer *p, uint64_t offset, const void *buf, size_t len)
{
	const char *name = name_of(offset, len);
	uint64_t value = 0;
	uint32_t word = 0;
	int ret;

	if (!name)
		return write_bytes(p, offset, buf, len);
	memcpy(len == sizeof(word) ? (void *)&word : (void *)&value, buf, len);
	note(p, "%s=%" PRIu64, name, len == sizeof(word) ? word & VFM_V1_MASK : value);
	ret = fault(p);
	if (!ret)
		ret = meddle(p, true, offset, len, NULL);
	if (ret)
		return ret;
	if (offset == VFM_V1_DEVICE_STATE)
		return write_state(p, word);
	return offset == VFM_V1_DATA_SIZE ? write_size(p, value) : -EINVAL;
}

/* ---- operations ----------------------------------------------------------------- */

/* Other regions are full of their index. */
static int read_region(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
		       size_t len, struct vfm_err *err)
{
	struct peer *p = peer_of(dev);
	int ret = 0;

	p->called = "read_region";
	if (index == p->region.index)
		ret = read_migration(p, offset, buf, len);
	else
		memset(buf, (int)index, len);
	return ret && !p->silent ? vfm_fail(err, ret, "the peer says %d", ret) : ret;
}

static int write_region(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
			size_t len, struct vfm_err *err)
{
	struct peer *p = peer_of(dev);
	int ret = 0;

	p->called = "write_region";
	if (index == p->region.index)
		ret = write_migration(p, offset, buf, len);
	return ret && !p->silent ? vfm_fail(err, ret, "the peer says %d", ret) : ret;
}

static int describes(struct peer *p, struct vfm_err *err)
{
	if (!p->strict || p->word == VFM_V1_RUNNING || p->word & VFM_V1_RESUMING)
		return 0;
	p->refused_infos++;
	return vfm_fail(err, -EINVAL, "the peer describes nothing while it is stopped");
}

static int get_info(struct vfm_device *dev, struct vfm_device_info *info, struct vfm_err *err)
{
	struct peer *p = peer_of(dev);
	int ret = describes(p, err);

	*info = (struct vfm_device_info){ VFM_DEVICE_RESET | VFM_DEVICE_PCI, p->nr_regions, 5 };
	return ret;
}

static int get_region(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
		      struct vfm_err *err)
{
	struct peer *p = peer_of(dev);
	int ret = describes(p, err);

	if (ret)
		return ret;
	if (index == p->hole || index >= p->nr_regions)
		return vfm_fail(err, -EINVAL, "the peer has no region %" PRIu32, index);
	*region = (struct vfm_region){
		.index = index, .flags = VFM_REGION_READ, .size = 0x100, .fd = -1
	};
	if (index == p->region.index || (p->second && index == p->second))
		*region = p->region;
	region->index = index;
	return 0;
}

static int reset(struct vfm_device *dev, struct vfm_err *err)
{
	struct peer *p = peer_of(dev);

	p->resets++;
	if (p->fail_reset)
		return vfm_fail(err, p->fail_reset, "the peer cannot be reset");
	p->iteration = PEER_IDLE;
	p->word = VFM_V1_RUNNING;
	p->next = p->nr_transactions = 0;
	p->nr_loaded = p->transaction_at = 0;
	return 0;
}

#define NOTE_CALL(op, ...)                                                                         \
	static int op(struct vfm_device *dev, ##__VA_ARGS__, struct vfm_err *err)                  \
	{                                                                                          \
		peer_of(dev)->called = #op;                                                        \
		(void)err;                                                                         \
		return 0;                                                                          \
	}
/* clang-format off */
NOTE_CALL(get_io_fds, uint32_t index __attribute__((unused)),
	  struct vfm_io_fd *list __attribute__((unused)), size_t max __attribute__((unused)))
NOTE_CALL(get_irq, uint32_t index __attribute__((unused)),
	  struct vfm_irq *irq __attribute__((unused)))
NOTE_CALL(set_irqs, const struct vfm_irq_set *set __attribute__((unused)))
NOTE_CALL(map_dma, const struct vfm_dma_map *map __attribute__((unused)))
NOTE_CALL(unmap_dma, uint64_t iova __attribute__((unused)), uint64_t size __attribute__((unused)))
NOTE_CALL(unmap_all)
NOTE_CALL(get_compat, struct vfm_compat *compat __attribute__((unused)))
NOTE_CALL(set_orphan, enum vfm_orphan orphan __attribute__((unused)))
NOTE_CALL(start_log, uint64_t *page_size __attribute__((unused)),
	  const struct vfm_range *ranges __attribute__((unused)),
	  size_t nr __attribute__((unused)))
NOTE_CALL(report_log, uint64_t iova __attribute__((unused)), uint64_t size __attribute__((unused)),
	  uint64_t page_size __attribute__((unused)), uint64_t *bitmap __attribute__((unused)))
NOTE_CALL(stop_log)
NOTE_CALL(process)
/* clang-format on */

static int get_fd(struct vfm_device *dev)
{
	return peer_of(dev)->fd;
}

static void close_peer(struct vfm_device *dev)
{
	struct peer *p = peer_of(dev);

	if (p->closed)
		*p->closed = true;
	munmap(p->mem, PEER_SIZE);
	close(p->fd);
	free(p->loaded);
}

static const struct vfm_device_ops peer_ops = {
	.close = close_peer,
	.get_info = get_info,
	.get_region = get_region,
	.read_region = read_region,
	.write_region = write_region,
	.get_io_fds = get_io_fds,
	.get_irq = get_irq,
	.set_irqs = set_irqs,
	.map_dma = map_dma,
	.unmap_dma = unmap_dma,
	.unmap_all = unmap_all,
	.reset = reset,
	.get_compat = get_compat,
	.set_orphan = set_orphan,
	.start_log = start_log,
	.report_log = report_log,
	.stop_log = stop_log,
	.get_fd = get_fd,
	.process = process,
};

/* ---- making one ----------------------------------------------------------------- */

static void lay_out(struct peer *p, enum peer_section section, uint32_t index)
{
	static const struct vfm_area whole = { PEER_SECTION, PEER_SIZE - PEER_SECTION };
	static const struct vfm_area parts[] = { { 0x2000, 0x1000 }, { 0x4000, 0x2000 } };
	bool seal = section == PEER_SEALED || section == PEER_SPLIT || section == PEER_WHOLE;

	p->region = (struct vfm_region){
		.index = index,
		.flags = VFM_REGION_READ | VFM_REGION_WRITE,
		.size = PEER_SIZE,
		.type = VFM_V1_REGION_TYPE,
		.subtype = VFM_V1_REGION_SUBTYPE,
		.fd = -1,
	};
	if (section != PEER_TRAPPED) {
		p->region.flags |= VFM_REGION_MMAP;
		p->region.fd = p->fd;
	}
	if (section == PEER_SEALED || section == PEER_OPEN) {
		p->region.nr_areas = 1;
		p->region.areas[0] = whole;
	} else if (section == PEER_SPLIT || section == PEER_SPLIT_OPEN) {
		p->region.nr_areas = VFM_ARRAY_SIZE(parts);
		memcpy(p->region.areas, parts, sizeof(parts));
	}
	if (seal)
		assert_int_equal(fcntl(p->fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
}

struct peer *peer_new(enum peer_section section, uint32_t index)
{
	static const struct peer_chunk chunks[] = {
		{ PEER_SECTION, 0x1800 },
		{ 0x2800, 100 },
		{ PEER_SECTION, PEER_SIZE - PEER_SECTION },
	};
	struct peer *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	assert_int_equal(vfm_device_init(&p->dev, &peer_ops, "peer", NULL), 0);
	p->loaded = malloc(PEER_STREAM);
	assert_non_null(p->loaded);
	p->fd = memfd_create("peer", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(p->fd >= 0);
	assert_int_equal(ftruncate(p->fd, PEER_SIZE), 0);
	p->mem = mmap(NULL, PEER_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
	assert_true(p->mem != MAP_FAILED);
	p->word = VFM_V1_RUNNING;
	p->reserved = 0xabcdef00;
	p->nr_regions = PEER_REGIONS;
	p->hole = UINT32_MAX;
	p->resume_offset = PEER_SECTION;
	memcpy(p->chunks, chunks, sizeof(chunks));
	p->nr_chunks = VFM_ARRAY_SIZE(chunks);
	p->available = p->nr_chunks;
	lay_out(p, section, index);
	return p;
}
