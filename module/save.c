// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * Saving: what the image holds, and in which order. Payloads of its records, all numbers
 * little endian:
 *
 *	pages:	u32 1, u32 count, u32 page[count], then the pages, 4096 bytes each
 *	memory:	u32 2, u32 bytes, u64 offset in BAR2, the bytes
 *	device:	u32 3, u32 0, the registers in rising order, the ring as started,
 *		configuration space, pending interrupts, MSI-X table, the window's index
 *		if there is a window
 *
 * Pre-copy gives pages: first the initial ones, then all that were not given out or have
 * changed since. Memory and device come in STOP_COPY. One record at a time is made, and
 * leaves in any pieces.
 */

#include "vfmig_sim.h"

#include <linux/mm.h>
#include <linux/slab.h>

static_assert(VFMS_PAGES_HEADER + VFMS_RECORD_PAGES * VFMS_PAGES_EACH == VFMS_RECORD_MAX);
static_assert(VFMS_MEMORY_HEADER + VFMS_CHUNK <= VFMS_RECORD_MAX);

int vfms_save_new(struct vfms *d)
{
	d->save.record = kvmalloc(VFMS_RECORD_ROOM, GFP_KERNEL_ACCOUNT);
	d->save.dirty = kvcalloc(BITS_TO_LONGS(d->pages), sizeof(long), GFP_KERNEL_ACCOUNT);
	return d->save.record && d->save.dirty ? 0 : -ENOMEM;
}

void vfms_save_free(struct vfms *d)
{
	kvfree(d->save.record);
	kvfree(d->save.dirty);
}

static u64 initial_pages(const struct vfms *d)
{
	return d->params.initial / VFMS_PAGE;
}

void vfms_save_begin(struct vfms *d)
{
	struct vfms_save *s = &d->save;

	if (vfms_fault(d, FAULT_POSITION_KEPT) && s->number) {
		s->open = true;
		return;
	}
	bitmap_fill(s->dirty, d->pages);
	*s = (struct vfms_save){
		.open = true,
		.record = s->record,
		.initial_cap = U64_MAX,
		.dirty = s->dirty,
		.dirty_count = d->pages,
		.cursor = initial_pages(d),
	};
}

void vfms_save_dirtied(struct vfms *d, u64 page)
{
	struct vfms_save *s = &d->save;

	if (!s->open || vfms_fault(d, FAULT_PRECOPY_FROZEN) || test_bit(page, s->dirty))
		return;
	__set_bit(page, s->dirty);
	s->dirty_count++;
	wake_up_interruptible(&d->readable);
}

/* ---- sizes ----------------------------------------------------------------------- */

static u64 initial_left(const struct vfms *d)
{
	return d->save.open ? initial_pages(d) - d->save.initial_next : initial_pages(d);
}

static u64 dirty_left(const struct vfms *d)
{
	return d->save.open ? d->save.dirty_count : d->pages;
}

/* @bytes in records of @each at most, which have @header in front. */
static u64 framed(u64 bytes, u64 each, u64 header)
{
	return bytes + DIV_ROUND_UP_ULL(bytes, each) * (VFMS_RECORD_HEADER + header);
}

static u64 pages_size(u64 pages)
{
	return framed(pages * VFMS_PAGES_EACH, VFMS_RECORD_PAGES * VFMS_PAGES_EACH,
		      VFMS_PAGES_HEADER);
}

/* Bytes that are certain: of the record that was made, or of the block that comes first. */
static u64 unread(const struct vfms *d)
{
	if (!d->save.open || !d->save.number)
		return VFMS_RECORD_HEADER + vfms_compat_size(d);
	return d->save.len - d->save.pos;
}

void vfms_save_precopy_info(struct vfms *d, u64 *initial, u64 *dirty)
{
	struct vfms_save *s = &d->save;
	u64 left = initial_left(d);

	vfms_sync(d);
	*initial = pages_size(left);
	*dirty = left ? 0 : pages_size(dirty_left(d));
	if (!s->number || s->initial)
		*initial += unread(d);
	else
		*dirty += unread(d);
	if (*initial > s->initial_cap) {
		*dirty += *initial - s->initial_cap;
		*initial = s->initial_cap;
	}
	s->initial_cap = *initial;
}

u64 vfms_save_data_size(struct vfms *d)
{
	const struct vfms_save *s = &d->save;
	u64 initial, bytes;

	vfms_sync(d);
	if (s->open && s->ended)
		return max(unread(d), 1ull);
	initial = initial_left(d);
	bytes = unread(d) + pages_size(initial) + pages_size(dirty_left(d) - initial) +
		framed(d->params.bar - (s->open ? s->bar_next : 0), VFMS_CHUNK, VFMS_MEMORY_HEADER);
	if (!s->open || !s->device_done)
		bytes += VFMS_RECORD_HEADER + vfms_device_size(d);
	return bytes + VFMS_RECORD_HEADER;
}

/* ---- records --------------------------------------------------------------------- */

static u64 next_dirty(const struct vfms *d)
{
	u64 page = find_next_bit(d->save.dirty, d->pages, d->save.cursor);

	return page < d->pages ? page : find_first_bit(d->save.dirty, d->pages);
}

/* There are @count of them. */
static size_t put_pages(struct vfms *d, u8 *out, u32 count)
{
	struct vfms_save *s = &d->save;
	bool initial = initial_left(d);
	u8 *index = out + VFMS_PAGES_HEADER, *at = index + 4 * count;
	u32 i;

	put32(out, DATA_PAGES);
	put32(out + 4, count);
	for (i = 0; i < count; i++) {
		u64 page = initial ? s->initial_next++ : next_dirty(d);

		put32(index + 4 * i, page);
		memcpy(at, d->state + page * VFMS_PAGE, VFMS_PAGE);
		at += VFMS_PAGE;
		if (__test_and_clear_bit(page, s->dirty))
			s->dirty_count--;
		if (!initial)
			s->cursor = page + 1;
	}
	s->initial = initial;
	return at - out;
}

static size_t put_memory(struct vfms *d, u8 *out)
{
	u32 len = min_t(u64, d->params.bar - d->save.bar_next, VFMS_CHUNK);

	put32(out, DATA_MEMORY);
	put32(out + 4, len);
	put64(out + 8, d->save.bar_next);
	memcpy(out + VFMS_MEMORY_HEADER, d->mem + d->save.bar_next, len);
	d->save.bar_next += len;
	return VFMS_MEMORY_HEADER + len;
}

static u8 *put_bytes(u8 *out, const void *bytes, size_t len)
{
	memcpy(out, bytes, len);
	return out + len;
}

static size_t put_device_record(struct vfms *d, u8 *out)
{
	u64 intx = d->intx_pending, index = d->io_index;
	u8 *at = out + 8;

	put32(out, DATA_DEVICE);
	put32(out + 4, 0);
	vfms_regs_save(d, at);
	at += vfms_regs_image_size();
	at = put_bytes(at, &d->ring, sizeof(d->ring));
	at = put_bytes(at, d->config, sizeof(d->config));
	at = put_bytes(at, d->msix_pending, VFMS_MAX_VECTORS / 8);
	at = put_bytes(at, &intx, sizeof(intx));
	at = put_bytes(at, d->msix_table, d->params.vectors * VFMS_MSIX_ENTRY);
	if (d->params.iobar)
		at = put_bytes(at, &index, sizeof(index));
	d->save.device_done = true;
	return at - out;
}

/* The payload of the next record: its length, 0 if there is none now. */
static size_t put_data(struct vfms *d, u8 *out)
{
	struct vfms_save *s = &d->save;
	u64 left = initial_left(d) ? initial_left(d) : s->dirty_count;

	if (left)
		return put_pages(d, out, min_t(u64, left, VFMS_RECORD_PAGES));
	if (d->mig != MIG_STOP_COPY)
		return 0;
	if (s->bar_next < d->params.bar)
		return put_memory(d, out);
	return s->device_done ? 0 : put_device_record(d, out);
}

/* Make the next record in place of the last; false: there is none now, or no more. */
static bool make_record(struct vfms *d)
{
	struct vfms_save *s = &d->save;
	u8 *payload = s->record + VFMS_RECORD_HEADER;
	enum vfms_record type = RECORD_DATA;
	size_t len;

	if (s->ended)
		return false;
	if (!s->number) {
		type = RECORD_COMPAT;
		len = vfms_compat_size(d);
		vfms_compat_write(d, payload);
		s->initial = true;
	} else {
		len = put_data(d, payload);
	}
	if (!len) {
		if (d->mig != MIG_STOP_COPY)
			return false;
		type = RECORD_END;
		s->ended = true;
	}
	vfms_record_seal(s->record, type, len, s->number++);
	s->len = VFMS_RECORD_HEADER + len;
	s->pos = 0;
	return true;
}

ssize_t vfms_save_peek(struct vfms *d, const u8 **at)
{
	struct vfms_save *s = &d->save;

	vfms_sync(d);
	if (s->pos == s->len && !make_record(d))
		return vfms_mig_precopy(d->mig) ? -ENOMSG : 0;
	*at = s->record + s->pos;
	return s->len - s->pos;
}

void vfms_save_take(struct vfms *d, size_t len)
{
	d->save.pos += len;
}

bool vfms_save_ready(const struct vfms *d)
{
	return !vfms_mig_precopy(d->mig) || unread(d) || initial_left(d) || dirty_left(d);
}
