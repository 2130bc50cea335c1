// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * Loading. Bytes come in any segmentation, are put together to records, and nothing of a
 * record is believed before its checksum is right, except its length, which is bounded
 * first. Then the payload is judged again: whoever can make an image can make its checksums.
 *
 * Surprise: what is right is applied at once, page by page. An image that turns out wrong
 * later leaves half of itself behind, which is why the device is in ERROR then.
 */

#include "vfmig_sim.h"

#include <linux/mm.h>
#include <linux/slab.h>

int vfms_load_new(struct vfms *d)
{
	d->load.record = kvmalloc(VFMS_RECORD_ROOM, GFP_KERNEL_ACCOUNT);
	d->load.seen = kvcalloc(BITS_TO_LONGS(d->pages), sizeof(long), GFP_KERNEL_ACCOUNT);
	return d->load.record && d->load.seen ? 0 : -ENOMEM;
}

void vfms_load_free(struct vfms *d)
{
	kvfree(d->load.record);
	kvfree(d->load.seen);
}

void vfms_load_begin(struct vfms *d)
{
	struct vfms_load *l = &d->load;

	bitmap_zero(l->seen, d->pages);
	*l = (struct vfms_load){ .open = true, .record = l->record, .seen = l->seen };
}

/* ---- payloads -------------------------------------------------------------------- */

static int load_pages(struct vfms *d, const u8 *in, size_t len)
{
	const u8 *index = in + VFMS_PAGES_HEADER, *at;
	u32 count, i;

	if (len < VFMS_PAGES_HEADER)
		return -EBADMSG;
	count = get32(in + 4);
	if (!count || count > VFMS_RECORD_PAGES ||
	    len != VFMS_PAGES_HEADER + (size_t)count * VFMS_PAGES_EACH)
		return -EBADMSG;
	at = index + 4 * count;
	for (i = 0; i < count; i++, at += VFMS_PAGE) {
		u32 page = get32(index + 4 * i);

		if (page >= d->pages)
			return -EBADMSG;
		if (!vfms_fault(d, FAULT_LOAD_NOT_APPLIED))
			memcpy(d->state + (u64)page * VFMS_PAGE, at, VFMS_PAGE);
		__set_bit(page, d->load.seen);
	}
	return 0;
}

static int load_memory(struct vfms *d, const u8 *in, size_t len)
{
	u64 offset;
	u32 bytes;

	if (len < VFMS_MEMORY_HEADER)
		return -EBADMSG;
	bytes = get32(in + 4);
	offset = get64(in + 8);
	if (!bytes || bytes > VFMS_CHUNK || len != VFMS_MEMORY_HEADER + (size_t)bytes)
		return -EBADMSG;
	if (offset != d->load.bar_next || !vfms_inside(offset, bytes, d->params.bar))
		return -EBADMSG;
	if (!vfms_fault(d, FAULT_LOAD_NOT_APPLIED))
		memcpy(d->mem + offset, in + VFMS_MEMORY_HEADER, bytes);
	d->load.bar_next += bytes;
	return 0;
}

/* What a device record holds; all of it is judged before any of it is ours. */
struct device_record {
	u64 reg[VFMS_NR_REGS];
	struct vfms_ring ring;
	u8 config[VFMS_CONFIG_SIZE];
	unsigned long msix_pending[BITS_TO_LONGS(VFMS_MAX_VECTORS)];
	u64 intx;
	u8 msix_table[VFMS_MAX_VECTORS * VFMS_MSIX_ENTRY];
	u64 index;
};

static const u8 *get_bytes(const u8 *in, void *bytes, size_t len)
{
	memcpy(bytes, in, len);
	return in + len;
}

static int read_device(const struct vfms *d, const u8 *in, size_t len, struct device_record *rec)
{
	int ret;

	if (len != vfms_device_size(d) || get32(in + 4))
		return -EBADMSG;
	in += 8;
	ret = vfms_regs_load(d, in, rec->reg);
	in += vfms_regs_image_size();
	in = get_bytes(in, &rec->ring, sizeof(rec->ring));
	in = get_bytes(in, rec->config, sizeof(rec->config));
	in = get_bytes(in, rec->msix_pending, VFMS_MAX_VECTORS / 8);
	in = get_bytes(in, &rec->intx, sizeof(rec->intx));
	in = get_bytes(in, rec->msix_table, d->params.vectors * VFMS_MSIX_ENTRY);
	if (d->params.iobar)
		get_bytes(in, &rec->index, sizeof(rec->index));
	return ret;
}

static bool interrupts_ok(const struct vfms *d, const struct device_record *rec)
{
	u32 i;

	if (find_next_bit(rec->msix_pending, VFMS_MAX_VECTORS, d->params.vectors) <
	    VFMS_MAX_VECTORS)
		return false;
	for (i = 0; i < d->params.vectors; i++)
		if (get32(&rec->msix_table[i * VFMS_MSIX_ENTRY + 12]) > 1)
			return false;
	return rec->intx <= 1;
}

static int judge_device(const struct vfms *d, const struct device_record *rec)
{
	int ret = vfms_config_check(d, rec->config);

	if (ret)
		return ret;
	/* a start that was refused leaves values that are no ring, and a ring that stands */
	if (rec->reg[REG_RING_STATUS / 8] && !vfms_ring_ok(&rec->ring))
		return -EBADMSG;
	if (rec->index >= VFMS_REG_SIZE || rec->index % 4)
		return -EBADMSG;
	return interrupts_ok(d, rec) ? 0 : -EBADMSG;
}

static void apply_device(struct vfms *d, const struct device_record *rec)
{
	if (vfms_fault(d, FAULT_LOAD_NOT_APPLIED))
		return;
	memcpy(d->reg, rec->reg, sizeof(d->reg));
	d->ring = rec->ring;
	d->plan = vfms_plan_of(&d->ring);
	memcpy(d->config, rec->config, sizeof(d->config));
	bitmap_copy(d->msix_pending, rec->msix_pending, VFMS_MAX_VECTORS);
	d->intx_pending = rec->intx;
	memcpy(d->msix_table, rec->msix_table, sizeof(d->msix_table));
	d->io_index = rec->index;
}

static int load_device(struct vfms *d, const u8 *in, size_t len)
{
	struct device_record *rec = kzalloc(sizeof(*rec), GFP_KERNEL);
	int ret = rec ? read_device(d, in, len, rec) : -ENOMEM;

	if (!ret)
		ret = judge_device(d, rec);
	if (!ret)
		apply_device(d, rec);
	kfree(rec);
	return ret;
}

static int load_data(struct vfms *d, const u8 *in, size_t len)
{
	static int (*const loads[])(struct vfms * d, const u8 *in, size_t len) = {
		[DATA_PAGES] = load_pages,
		[DATA_MEMORY] = load_memory,
		[DATA_DEVICE] = load_device,
	};
	struct vfms_load *l = &d->load;
	u32 type;

	if (len < 8)
		return -EBADMSG;
	type = get32(in);
	if (type >= ARRAY_SIZE(loads) || !loads[type])
		return -EBADMSG;
	if (type < l->last_type || l->last_type == DATA_DEVICE)
		return -EBADMSG;
	l->last_type = type;
	return loads[type](d, in, len);
}

/* ---- records --------------------------------------------------------------------- */

/* Which types may come now, and how long they may be. */
static int check_header(const struct vfms_load *l, const struct vfms_header *h)
{
	bool first = !l->number;

	if (first != (h->type == RECORD_COMPAT))
		return -EBADMSG;
	if (!first && h->type != RECORD_DATA && h->type != RECORD_END)
		return -EBADMSG;
	if (h->number != l->number || h->length > VFMS_RECORD_MAX)
		return -EBADMSG;
	return (h->type == RECORD_END) == !h->length ? 0 : -EBADMSG;
}

static int judge_header(struct vfms *d, const struct vfms_header *h)
{
	struct vfms_load *l = &d->load;
	int ret = check_header(l, h);

	if (ret && ((!l->number && vfms_fault(d, FAULT_FOREIGN_ACCEPTED)) ||
		    (h->length > VFMS_RECORD_MAX && vfms_fault(d, FAULT_RESUME_OVERFLOW)))) {
		l->swallows = true;
		return 0;
	}
	return ret;
}

static int take_record(struct vfms *d, const struct vfms_header *h)
{
	struct vfms_load *l = &d->load;
	const u8 *payload = l->record + VFMS_RECORD_HEADER;
	int ret = 0;

	if (!vfms_record_intact(l->record, h) && !vfms_fault(d, FAULT_PAYLOAD_UNCHECKED))
		return -EBADMSG;
	if (h->type == RECORD_DATA)
		ret = load_data(d, payload, h->length);
	else if (h->type == RECORD_END)
		l->ended = true;
	else if (!vfms_fault(d, FAULT_MODEL_UNCHECKED))
		ret = vfms_compat_check(d, payload, h->length);
	l->number++;
	l->len = 0;
	return ret;
}

static size_t gather(struct vfms_load *l, size_t want, const u8 *buf, size_t len)
{
	size_t n = min(want - l->len, len);

	memcpy(l->record + l->len, buf, n);
	l->len += n;
	return n;
}

/* Use some of the bytes at @buf: how many, or an error. */
static ssize_t load_some(struct vfms *d, const u8 *buf, size_t len)
{
	struct vfms_load *l = &d->load;
	struct vfms_header h;
	size_t used = 0;
	int ret;

	if (l->ended)
		return vfms_fault(d, FAULT_OVERSIZE_ACCEPTED) ? len : -EBADMSG;
	if (l->len < VFMS_RECORD_HEADER)
		used = gather(l, VFMS_RECORD_HEADER, buf, len);
	if (l->len < VFMS_RECORD_HEADER)
		return used;
	h = vfms_record_header(l->record);
	ret = judge_header(d, &h);
	if (ret || l->swallows)
		return ret ? ret : len;
	used += gather(l, VFMS_RECORD_HEADER + h.length, buf + used, len - used);
	if (l->len < VFMS_RECORD_HEADER + h.length)
		return used;
	ret = take_record(d, &h);
	return ret ? ret : used;
}

int vfms_load_write(struct vfms *d, const u8 *buf, size_t len)
{
	struct vfms_load *l = &d->load;

	while (len && !l->failed && !l->swallows) {
		ssize_t n = load_some(d, buf, len);

		if (n < 0) {
			l->failed = n;
			break;
		}
		buf += n;
		len -= n;
		cond_resched();
	}
	return l->failed;
}

int vfms_load_prove(const struct vfms *d)
{
	const struct vfms_load *l = &d->load;

	if (vfms_fault(d, FAULT_REFUSAL_FORGOTTEN) && l->failed)
		return 0;
	if (vfms_fault(d, FAULT_FOREIGN_ACCEPTED) && l->swallows)
		return 0;
	if (l->failed)
		return -EBADMSG;
	if (vfms_fault(d, FAULT_TRUNCATED_ACCEPTED))
		return 0;
	if (!l->ended || l->last_type != DATA_DEVICE || l->bar_next != d->params.bar)
		return -EBADMSG;
	return bitmap_full(l->seen, d->pages) ? 0 : -EBADMSG;
}
