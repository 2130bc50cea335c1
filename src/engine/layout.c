// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Payloads of the records that only the engine reads. All of it is little
 * endian, and what comes from a peer is checked here as far as it can be
 * without a device: whether it fits ours is for those who call.
 *
 *	MEMORY_MAP	le32 ranges, le32 0, then le64 iova, le64 size, le32 flags, le32 0 each
 *	PHASE		le32 phase, le32 round, le32 flags: VFM_LAYOUT_ANSWER; more may follow
 *	COMMIT		nothing, or le32 flags: VFM_LAYOUT_PAUSED
 *	ABORT		le32 errno value, text without an end
 *	RATES		le64 rate, le32 error in thousandths, le32 phases, le64 loaded, le64 ns
 *			of a step, le32 steps to STOP, le32 to RUNNING, le32 devices at a time, le32
 *0; more may follow READY		nothing, or as RATES LOADED, RUNNING	nothing; what may
 *follow in later versions is ignored
 */

#include "engine/engine.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/iova_map.h"
#include "base/util.h"

/* The highest errno value that Linux hands out. */
#define MAX_ERRNO 4095

/* A step that takes longer, and a path that has more of them, are not believed. */
#define MAX_ARC_NS UINT64_C(3600000000000)
#define MAX_ARCS 8u

size_t vfm_layout_write_map(const struct vfm_memory *mem, uint8_t *buf, size_t room)
{
	struct vfm_writer w = vfm_writer_of(buf, room);
	size_t count = mem ? vfm_memory_count(mem) : 0;

	vfm_write_le32(&w, (uint32_t)count);
	vfm_write_le32(&w, 0);
	for (size_t i = 0; i < count; i++) {
		uint32_t flags;
		struct vfm_range range = vfm_memory_get(mem, i, &flags);

		vfm_write_le64(&w, range.iova);
		vfm_write_le64(&w, range.size);
		vfm_write_le32(&w, flags);
		vfm_write_le32(&w, 0);
	}
	return w.len;
}

/* Whether ranges overlap is found out by those who add them, or fit them into others. */
static int check_range(const struct vfm_range *range, uint32_t flags, struct vfm_err *err)
{
	if (range->size && !((range->iova | range->size) % VFM_MEMORY_PAGE) &&
	    !vfm_range_wraps(range->iova, range->size) && flags &&
	    !(flags & ~(VFM_DMA_READ | VFM_DMA_WRITE)))
		return 0;
	return vfm_fail(err, -EPROTO,
			"memory at 0x%" PRIx64 ", 0x%" PRIx64 " bytes, flags 0x%x makes no sense",
			range->iova, range->size, flags);
}

int vfm_layout_read_map(struct vfm_layout_map *map, const struct vfm_stream_record *record,
			struct vfm_err *err)
{
	struct vfm_reader r = vfm_reader_of(record->data, (size_t)record->size);
	uint32_t count = vfm_read_le32(&r);

	vfm_read_le32(&r);
	if (!vfm_reader_ok(&r) || count > VFM_MEMORY_MAX_RANGES ||
	    record->size != VFM_LAYOUT_MAP_SIZE(count))
		return vfm_fail(err, -EPROTO, "memory map of %u ranges in %" PRIu64 " bytes", count,
				record->size);
	map->count = count;
	for (size_t i = 0; i < count; i++) {
		int ret;

		map->ranges[i].range.iova = vfm_read_le64(&r);
		map->ranges[i].range.size = vfm_read_le64(&r);
		map->ranges[i].flags = vfm_read_le32(&r);
		vfm_read_le32(&r);
		ret = check_range(&map->ranges[i].range, map->ranges[i].flags, err);
		if (ret)
			return ret;
	}
	return 0;
}

void vfm_layout_write_rates(const struct vfm_rates *rates, uint8_t buf[VFM_LAYOUT_RATES_SIZE])
{
	struct vfm_writer w = vfm_writer_of(buf, VFM_LAYOUT_RATES_SIZE);

	vfm_write_le64(&w, rates->load_rate);
	vfm_write_le32(&w, rates->load_error);
	vfm_write_le32(&w, rates->phases);
	vfm_write_le64(&w, rates->loaded);
	vfm_write_le64(&w, rates->arc_ns);
	vfm_write_le32(&w, rates->prove_arcs);
	vfm_write_le32(&w, rates->run_arcs);
	vfm_write_le32(&w, rates->width);
	vfm_write_le32(&w, 0);
}

int vfm_layout_read_rates(struct vfm_rates *rates, const struct vfm_stream_record *record,
			  struct vfm_err *err)
{
	struct vfm_reader r = vfm_reader_of(record->data, (size_t)record->size);

	if (record->size < VFM_LAYOUT_RATES_SIZE)
		return vfm_fail(err, -EPROTO, "%s of %" PRIu64 " bytes, fewer than %u",
				vfm_stream_type_name(record->type), record->size,
				VFM_LAYOUT_RATES_SIZE);
	rates->load_rate = vfm_read_le64(&r);
	rates->load_error = vfm_read_le32(&r);
	rates->phases = vfm_read_le32(&r);
	rates->loaded = vfm_read_le64(&r);
	rates->arc_ns = vfm_read_le64(&r);
	rates->prove_arcs = vfm_read_le32(&r);
	rates->run_arcs = vfm_read_le32(&r);
	rates->width = vfm_read_le32(&r);
	rates->arc_ns = VFM_MIN(rates->arc_ns, MAX_ARC_NS);
	rates->prove_arcs = VFM_MIN(rates->prove_arcs, MAX_ARCS);
	rates->run_arcs = VFM_MIN(rates->run_arcs, MAX_ARCS);
	rates->width = VFM_MIN(rates->width, VFM_UNIT_MAX);
	return 0;
}

size_t vfm_layout_write_abort(int code, const char *text, uint8_t *buf, size_t room)
{
	struct vfm_writer w = vfm_writer_of(buf, room);

	vfm_write_le32(&w, (uint32_t)-code);
	vfm_write_bytes(&w, text, VFM_MIN(strlen(text), room - 4));
	return w.len;
}

int vfm_layout_read_abort(char *text, size_t room, const struct vfm_stream_record *record)
{
	struct vfm_reader r = vfm_reader_of(record->data, (size_t)record->size);
	uint32_t code = vfm_read_le32(&r);
	size_t len = VFM_MIN(r.left, room - 1);

	vfm_read_copy(&r, text, len);
	text[len] = '\0';
	for (size_t i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~')
			text[i] = '?'; /* it may end in a terminal or a log */
	return code && code <= MAX_ERRNO ? -(int)code : -EREMOTEIO;
}
