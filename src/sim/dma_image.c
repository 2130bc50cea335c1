// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The image of sim:dma. Records, all numbers little endian:
 *
 *	pages:	u32 1, u32 count, u32 page[count], then the pages, 4096 bytes each
 *	memory:	u32 2, u32 bytes, u64 offset in the memory BAR, the bytes
 *	device:	u32 3, u32 0, the registers in rising order, the ring as started,
 *		configuration space, pending interrupts, MSI-X table
 *
 * Pages come in any number of records and may come again, memory once in rising
 * order, the device last; the first are all that pre-copy gives. A page that was
 * given out and changed after that is given out again.
 */

#include "sim/dma.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/bitmap.h"
#include "base/util.h"

enum record_type { RECORD_PAGES = 1, RECORD_MEMORY = 2, RECORD_DEVICE = 3 };

#define PAGES_HEADER 8u
#define PAGES_BYTES (4u + VFM_SIM_PAGE) /* of each */
#define MEMORY_HEADER 16u

/* A slow device's record takes no longer than this: so it has fewer pages. */
#define RECORD_MS 4u

_Static_assert(PAGES_HEADER + VFM_SIM_DMA_RECORD_PAGES * PAGES_BYTES == VFM_SIM_DMA_RECORD_MAX,
	       "longest record");
_Static_assert(MEMORY_HEADER + VFM_SIM_DMA_CHUNK <= VFM_SIM_DMA_RECORD_MAX, "longest record");

int vfm_sim_dma_image_new(struct vfm_sim_dma *d, struct vfm_err *err)
{
	uint64_t pages = d->params.save_rate * RECORD_MS / 1000 / VFM_SIM_PAGE;

	d->record_pages = VFM_SIM_DMA_RECORD_PAGES;
	if (d->params.save_rate)
		d->record_pages = VFM_MIN(VFM_MAX(pages, 1u), VFM_SIM_DMA_RECORD_PAGES);
	d->save.dirty = calloc(vfm_bitmap_words(d->pages), sizeof(uint64_t));
	d->load.seen = calloc(vfm_bitmap_words(d->pages), sizeof(uint64_t));
	if (!d->save.dirty || !d->load.seen)
		return vfm_fail(err, -ENOMEM, "sim:dma: no memory for state=%" PRIu64,
				d->params.state);
	return 0;
}

void vfm_sim_dma_image_free(struct vfm_sim_dma *d)
{
	free(d->save.dirty);
	free(d->load.seen);
}

/* Take as long for @bytes as a device of that rate would. */
static void pace(uint64_t *clock, uint64_t rate, uint64_t bytes)
{
	uint64_t now;
	struct timespec ts;

	if (!rate)
		return;
	now = vfm_now_ns();
	*clock = VFM_MAX(*clock, now) + bytes * 1000000000u / rate;
	ts.tv_sec = (time_t)((*clock - now) / 1000000000u);
	ts.tv_nsec = (long)((*clock - now) % 1000000000u);
	nanosleep(&ts, NULL);
}

/* ---- sizes --------------------------------------------------------------- */

static uint64_t initial_pages(const struct vfm_sim_dma *d)
{
	return d->params.initial / VFM_SIM_PAGE;
}

static uint64_t initial_left(const struct vfm_sim_dma *d)
{
	return initial_pages(d) - d->save.initial_next;
}

static uint64_t records_of(uint64_t units, uint64_t each)
{
	return units / each + (units % each != 0);
}

static uint64_t pages_size(const struct vfm_sim_dma *d, uint64_t pages)
{
	return records_of(pages, d->record_pages) * PAGES_HEADER + pages * PAGES_BYTES;
}

static uint64_t memory_size(const struct vfm_sim_dma *d, uint64_t bytes)
{
	return records_of(bytes, d->record_pages * VFM_SIM_PAGE) * MEMORY_HEADER + bytes;
}

static uint64_t device_size(const struct vfm_sim_dma *d)
{
	return 8 + vfm_sim_dma_regs_image_size() + 3 * 8 + VFM_SIM_DMA_CONFIG_SIZE +
	       sizeof(d->msix_pending) + 8 + d->params.vectors * VFM_SIM_DMA_MSIX_ENTRY;
}

int vfm_sim_dma_pending(void *priv, struct vfm_precopy_info *info, struct vfm_err *err)
{
	struct vfm_sim_dma *d = (struct vfm_sim_dma *)priv;
	uint64_t left = initial_left(d);

	(void)err;
	vfm_sim_dma_sync(d);
	info->initial_bytes = pages_size(d, left);
	info->dirty_bytes = left ? 0 : pages_size(d, d->save.dirty_count);
	return 0;
}

int vfm_sim_dma_data_size(void *priv, uint64_t *bytes, struct vfm_err *err)
{
	struct vfm_sim_dma *d = (struct vfm_sim_dma *)priv;
	bool open = d->save.open;
	uint64_t initial = open ? initial_left(d) : initial_pages(d);
	uint64_t rest;

	(void)err;
	vfm_sim_dma_sync(d);
	rest = (open ? d->save.dirty_count : d->pages) - initial;
	*bytes = pages_size(d, initial) + pages_size(d, rest) +
		 memory_size(d, d->params.bar - (open ? d->save.bar_next : 0)) +
		 (open && d->save.device_done ? 0 : device_size(d));
	return 0;
}

/* ---- save ---------------------------------------------------------------- */

void vfm_sim_dma_save_begin(struct vfm_sim_dma *d)
{
	uint64_t *dirty = d->save.dirty;

	vfm_bitmap_set_range(dirty, 0, d->pages);
	d->save = (struct vfm_sim_dma_save){
		.open = true,
		.dirty = dirty,
		.dirty_count = d->pages,
		.cursor = initial_pages(d),
	};
}

static uint64_t next_dirty(const struct vfm_sim_dma *d)
{
	uint64_t page = vfm_bitmap_next_set(d->save.dirty, d->pages, d->save.cursor);

	return page < d->pages ? page : vfm_bitmap_next_set(d->save.dirty, d->pages, 0);
}

/* The caller has seen to it that there are @count of them. */
static size_t save_pages(struct vfm_sim_dma *d, struct vfm_writer *w, uint64_t count)
{
	uint8_t *index = NULL;
	bool initial = initial_left(d);
	struct vfm_writer pages;

	vfm_write_le32(w, RECORD_PAGES);
	vfm_write_le32(w, (uint32_t)count);
	index = vfm_write_space(w, count * 4);
	pages = vfm_writer_of(index, count * 4);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t page = initial ? d->save.initial_next++ : next_dirty(d);

		vfm_write_le32(&pages, (uint32_t)page);
		vfm_write_bytes(w, d->state + page * VFM_SIM_PAGE, VFM_SIM_PAGE);
		vfm_bitmap_clear(d->save.dirty, page);
		d->save.dirty_count--;
		if (!initial)
			d->save.cursor = page + 1;
	}
	return w->len;
}

static size_t save_memory(struct vfm_sim_dma *d, struct vfm_writer *w)
{
	uint64_t len = VFM_MIN(d->params.bar - d->save.bar_next, d->record_pages * VFM_SIM_PAGE);

	vfm_write_le32(w, RECORD_MEMORY);
	vfm_write_le32(w, (uint32_t)len);
	vfm_write_le64(w, d->save.bar_next);
	vfm_write_bytes(w, d->mem + d->save.bar_next, len);
	d->save.bar_next += len;
	return w->len;
}

static size_t save_device(struct vfm_sim_dma *d, struct vfm_writer *w)
{
	/* signalled until the very end, it is the destination's to do */
	if (vfm_sim_dma_take_doorbell(d))
		vfm_sim_dma_doorbell(d);
	vfm_write_le32(w, RECORD_DEVICE);
	vfm_write_le32(w, 0);
	vfm_sim_dma_regs_save(d, w);
	vfm_write_le64(w, d->ring.iova);
	vfm_write_le64(w, d->ring.size);
	vfm_write_le64(w, d->ring.seed);
	vfm_write_bytes(w, d->config, sizeof(d->config));
	for (size_t i = 0; i < VFM_ARRAY_SIZE(d->msix_pending); i++)
		vfm_write_le64(w, d->msix_pending[i]);
	vfm_write_le64(w, d->intx_pending);
	vfm_write_bytes(w, d->msix_table, d->params.vectors * VFM_SIM_DMA_MSIX_ENTRY);
	d->save.device_done = true;
	return w->len;
}

static size_t save_next(struct vfm_sim_dma *d, struct vfm_writer *w, bool stopped)
{
	uint64_t left = initial_left(d) ? initial_left(d) : d->save.dirty_count;

	if (left)
		return save_pages(d, w, VFM_MIN(left, d->record_pages));
	if (!stopped)
		return 0;
	if (d->save.bar_next < d->params.bar)
		return save_memory(d, w);
	return d->save.device_done ? 0 : save_device(d, w);
}

ssize_t vfm_sim_dma_save(void *priv, void *buf, struct vfm_err *err)
{
	struct vfm_sim_dma *d = (struct vfm_sim_dma *)priv;
	struct vfm_writer w = vfm_writer_of(buf, VFM_SIM_DMA_RECORD_MAX);
	size_t len;

	(void)err;
	vfm_sim_dma_sync(d);
	len = save_next(d, &w, vfm_host_state(d->host) == VFM_STATE_STOP_COPY);
	pace(&d->save_clock, d->params.save_rate, len);
	return (ssize_t)len;
}

/* ---- load ---------------------------------------------------------------- */

void vfm_sim_dma_load_begin(struct vfm_sim_dma *d)
{
	memset(d->load.seen, 0, vfm_bitmap_words(d->pages) * sizeof(uint64_t));
	d->load.bar_next = 0;
	d->load.last_type = 0;
}

static int load_pages(struct vfm_sim_dma *d, struct vfm_reader *r, struct vfm_err *err)
{
	uint32_t count = vfm_read_le32(r);
	struct vfm_reader index;

	if (!count || count > VFM_SIM_DMA_RECORD_PAGES || r->left != count * (size_t)PAGES_BYTES)
		return vfm_fail(err, -EBADMSG,
				"image of sim:dma: %u pages in a record with %zu bytes left", count,
				r->left);
	index = vfm_reader_of(vfm_read_bytes(r, count * (size_t)4), count * (size_t)4);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t page = vfm_read_le32(&index);

		if (page >= d->pages)
			return vfm_fail(err, -EBADMSG, "image of sim:dma: page %u of %" PRIu64,
					page, d->pages);
		vfm_read_copy(r, d->state + page * (uint64_t)VFM_SIM_PAGE, VFM_SIM_PAGE);
		vfm_bitmap_set(d->load.seen, page);
	}
	return 0;
}

static int load_memory(struct vfm_sim_dma *d, struct vfm_reader *r, struct vfm_err *err)
{
	uint32_t len = vfm_read_le32(r);
	uint64_t offset = vfm_read_le64(r);

	if (!len || len > VFM_SIM_DMA_CHUNK || r->left != len)
		return vfm_fail(err, -EBADMSG,
				"image of sim:dma: %u bytes of memory in a record with %zu left",
				len, r->left);
	if (offset != d->load.bar_next || !vfm_range_inside(offset, len, d->params.bar))
		return vfm_fail(err, -EBADMSG,
				"image of sim:dma: %u bytes of memory at 0x%" PRIx64
				", expected at 0x%" PRIx64 " of 0x%" PRIx64,
				len, offset, d->load.bar_next, d->params.bar);
	vfm_read_copy(r, d->mem + offset, len);
	d->load.bar_next += len;
	return 0;
}

/* What a device record holds besides the registers; checked before any of it is ours. */
struct device_record {
	uint64_t reg[VFM_SIM_DMA_NR_REGS];
	struct vfm_sim_ring ring;
	uint8_t config[VFM_SIM_DMA_CONFIG_SIZE];
	uint64_t msix_pending[VFM_SIM_MAX_VECTORS / 64];
	uint64_t intx_pending;
	uint8_t msix_table[VFM_SIM_MAX_VECTORS * VFM_SIM_DMA_MSIX_ENTRY];
};

static int read_device(const struct vfm_sim_dma *d, struct vfm_reader *r, struct device_record *rec,
		       struct vfm_err *err)
{
	int ret;

	if (r->left + 4 != device_size(d))
		return vfm_fail(err, -EBADMSG,
				"image of sim:dma: device record of %zu bytes, not %" PRIu64,
				r->left + 4, device_size(d));
	if (vfm_read_le32(r))
		return vfm_fail(err, -EBADMSG, "image of sim:dma: reserved word is not 0");
	ret = vfm_sim_dma_regs_load(d, r, rec->reg, err);
	if (ret)
		return ret;
	rec->ring.iova = vfm_read_le64(r);
	rec->ring.size = vfm_read_le64(r);
	rec->ring.seed = vfm_read_le64(r);
	vfm_read_copy(r, rec->config, sizeof(rec->config));
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rec->msix_pending); i++)
		rec->msix_pending[i] = vfm_read_le64(r);
	rec->intx_pending = vfm_read_le64(r);
	vfm_read_copy(r, rec->msix_table, d->params.vectors * VFM_SIM_DMA_MSIX_ENTRY);
	return 0;
}

static int check_interrupts(const struct vfm_sim_dma *d, const struct device_record *rec,
			    struct vfm_err *err)
{
	uint64_t beyond =
		vfm_bitmap_next_set(rec->msix_pending, VFM_SIM_MAX_VECTORS, d->params.vectors);

	if (beyond < VFM_SIM_MAX_VECTORS)
		return vfm_fail(err, -EBADMSG,
				"image of sim:dma: vector %" PRIu64 " of %" PRIu64 " is pending",
				beyond, d->params.vectors);
	if (rec->intx_pending > 1)
		return vfm_fail(err, -EBADMSG, "image of sim:dma: INTx pending is %" PRIu64,
				rec->intx_pending);
	for (size_t i = 0; i < d->params.vectors; i++) {
		const uint8_t *control = &rec->msix_table[i * VFM_SIM_DMA_MSIX_ENTRY + 12];

		if (control[0] > 1 || control[1] || control[2] || control[3])
			return vfm_fail(err, -EBADMSG,
					"image of sim:dma: reserved bits are set in vector %zu", i);
	}
	return 0;
}

static int check_ring(const struct device_record *rec, struct vfm_err *err)
{
	bool running = rec->reg[VFM_SIM_REG_RING_STATUS / 8];
	struct vfm_err why;

	/* a start that was refused leaves values that are no ring, and a ring that stands */
	if (!running || !vfm_sim_ring_check(&rec->ring, &why))
		return 0;
	return vfm_fail(err, -EBADMSG, "image of sim:dma: %s", why.msg);
}

static int load_device(struct vfm_sim_dma *d, struct vfm_reader *r, struct vfm_err *err)
{
	struct device_record rec = { 0 };
	int ret = read_device(d, r, &rec, err);

	if (!ret)
		ret = vfm_sim_dma_config_check(d, rec.config, err);
	if (!ret)
		ret = check_interrupts(d, &rec, err);
	if (!ret)
		ret = check_ring(&rec, err);
	if (ret)
		return ret;
	memcpy(d->reg, rec.reg, sizeof(d->reg));
	d->ring = rec.ring;
	d->plan = vfm_sim_plan_of(&d->ring);
	memcpy(d->config, rec.config, sizeof(d->config));
	memcpy(d->msix_pending, rec.msix_pending, sizeof(d->msix_pending));
	d->intx_pending = rec.intx_pending;
	memcpy(d->msix_table, rec.msix_table, sizeof(d->msix_table));
	return 0;
}

static int load_record(struct vfm_sim_dma *d, uint32_t type, struct vfm_reader *r,
		       struct vfm_err *err)
{
	switch (type) {
	case RECORD_PAGES:
		return load_pages(d, r, err);
	case RECORD_MEMORY:
		return load_memory(d, r, err);
	case RECORD_DEVICE:
		return load_device(d, r, err);
	default:
		return vfm_fail(err, -EBADMSG, "image of sim:dma: record of unknown type %u", type);
	}
}

int vfm_sim_dma_load(void *priv, const void *buf, size_t len, struct vfm_err *err)
{
	struct vfm_sim_dma *d = (struct vfm_sim_dma *)priv;
	struct vfm_reader r = vfm_reader_of(buf, len);
	uint32_t type = vfm_read_le32(&r);

	if (len < 8)
		return vfm_fail(err, -EBADMSG, "image of sim:dma: record of %zu bytes", len);
	if (type < d->load.last_type || d->load.last_type == RECORD_DEVICE)
		return vfm_fail(err, -EBADMSG,
				"image of sim:dma: record of type %u after one of type %u", type,
				d->load.last_type);
	d->load.last_type = type;
	pace(&d->load_clock, d->params.load_rate, len);
	return load_record(d, type, &r, err);
}

int vfm_sim_dma_load_end(void *priv, struct vfm_err *err)
{
	struct vfm_sim_dma *d = (struct vfm_sim_dma *)priv;
	uint64_t missing = vfm_bitmap_next_clear(d->load.seen, d->pages, 0);

	if (missing < d->pages)
		return vfm_fail(err, -EBADMSG,
				"image of sim:dma: page %" PRIu64 " of %" PRIu64 " never came",
				missing, d->pages);
	if (d->load.bar_next != d->params.bar)
		return vfm_fail(err, -EBADMSG,
				"image of sim:dma: memory ends at 0x%" PRIx64 " of 0x%" PRIx64,
				d->load.bar_next, d->params.bar);
	if (d->load.last_type != RECORD_DEVICE)
		return vfm_fail(err, -EBADMSG, "image of sim:dma: the device record never came");
	return 0;
}
