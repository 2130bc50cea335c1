// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Rules about the data of one iteration: where a chunk stands, and how it is read. */

#include "check/v1_trial.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

/* Chunks that are looked at; one more would tell nothing new. */
#define SOME_CHUNKS 256

/* ---- where chunks are ------------------------------------------------------------------ */

/* All chunks of a stop-copy, of which the data is not read, so that they may be anywhere. */
static int each_chunk(struct vfm_trial *t,
		      int (*judge)(struct vfm_trial *t, const struct vfm_v1_chunk *chunk))
{
	int ret = vfm_trial_v1_go(t, VFM_V1_STATE_STOP_COPY);

	for (int i = 0; !ret && i < SOME_CHUNKS; i++) {
		struct vfm_v1_chunk chunk;

		ret = vfm_trial_v1_get(t, VFM_V1_PENDING_BYTES, &chunk.pending);
		if (ret || !chunk.pending)
			break;
		ret = vfm_trial_v1_get(t, VFM_V1_DATA_OFFSET, &chunk.offset);
		if (!ret)
			ret = vfm_trial_v1_get(t, VFM_V1_DATA_SIZE, &chunk.size);
		if (!ret)
			ret = judge(t, &chunk);
	}
	return ret;
}

static int judge_inside(struct vfm_trial *t, const struct vfm_v1_chunk *chunk)
{
	if (chunk->offset >= VFM_V1_REGISTERS_END &&
	    vfm_range_inside(chunk->offset, chunk->size, t->described.size))
		return 0;
	return vfm_trial_fail(t,
			      "a chunk of 0x%" PRIx64 " bytes at 0x%" PRIx64
			      "; it must lie behind the registers, from 0x%x on, and in the "
			      "0x%" PRIx64 " bytes of the region",
			      chunk->size, chunk->offset, VFM_V1_REGISTERS_END, t->described.size);
}

static int chunks_inside(struct vfm_trial *t)
{
	return each_chunk(t, judge_inside);
}

static int judge_not_empty(struct vfm_trial *t, const struct vfm_v1_chunk *chunk)
{
	return chunk->size ? 0
			   : vfm_trial_fail(t,
					    "in STOP_COPY pending_bytes read %" PRIu64
					    ", and then data_size 0: a user asks for ever",
					    chunk->pending);
}

static int chunks_not_empty(struct vfm_trial *t)
{
	return each_chunk(t, judge_not_empty);
}

static bool in_area(const struct vfm_region *region, uint64_t offset)
{
	for (uint32_t i = 0; i < region->nr_areas; i++)
		if (offset >= region->areas[i].offset &&
		    offset - region->areas[i].offset < region->areas[i].size)
			return true;
	return region->flags & VFM_REGION_MMAP && !region->nr_areas;
}

static int judge_aligned(struct vfm_trial *t, const struct vfm_v1_chunk *chunk)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (!in_area(&t->described, chunk->offset) || chunk->offset % page == 0)
		return 0;
	return vfm_trial_fail(t,
			      "a chunk is at 0x%" PRIx64
			      ", which can be mapped; it must begin at a page of 0x%" PRIx64
			      " bytes",
			      chunk->offset, page);
}

static int mapped_is_aligned(struct vfm_trial *t)
{
	vfm_auto_map struct vfm_v1_map map = { .region.fd = -1 };
	int ret = vfm_trial_v1_map(t, &map);

	return ret ? ret : each_chunk(t, judge_aligned);
}

/* ---- the bytes of a chunk ----------------------------------------------------------------- */

/* Most of a chunk that is read in small pieces. */
#define NARROW_MAX ((size_t)4096)

static int first_chunk(struct vfm_trial *t, struct vfm_v1_chunk *chunk, struct vfm_v1_image *image)
{
	int ret = vfm_trial_v1_go(t, VFM_V1_STATE_STOP_COPY);

	if (!ret)
		ret = vfm_trial_v1_first(t, chunk);
	return ret ? ret : vfm_trial_v1_append(t, chunk, image);
}

static int data_repeats(struct vfm_trial *t)
{
	vfm_auto_image struct vfm_v1_image image = { NULL };
	struct vfm_v1_chunk chunk;
	int ret = first_chunk(t, &chunk, &image);

	if (!ret)
		ret = vfm_trial_v1_append(t, &chunk, &image);
	if (!ret && memcmp(image.data, image.data + chunk.size, chunk.size) != 0)
		ret = vfm_trial_fail(t,
				     "the %" PRIu64 " bytes of a chunk were read twice, and were "
				     "others the second time",
				     chunk.size);
	return ret;
}

/* A part of a chunk, in pieces of @width; the last may be less. */
static int read_narrow(struct vfm_trial *t, const struct vfm_v1_chunk *chunk, const uint8_t *want,
		       size_t begin, size_t end, size_t width)
{
	uint8_t buf[64];
	struct vfm_err err;

	for (size_t at = begin; at < end; at += width) {
		size_t n = VFM_MIN(width, end - at);

		if (vfm_v1_read(t, chunk->offset + at, buf, n, &err))
			return vfm_trial_fail(t,
					      "a chunk of %" PRIu64 " bytes was read whole; a read "
					      "of %zu bytes at %zu of it failed: %s",
					      chunk->size, n, at, err.msg);
		if (memcmp(buf, want + at, n) != 0)
			return vfm_trial_fail(t,
					      "a chunk of %" PRIu64 " bytes was read whole; a read "
					      "of %zu bytes at %zu of it gave others",
					      chunk->size, n, at);
	}
	return 0;
}

static int data_in_any_width(struct vfm_trial *t)
{
	static const size_t widths[] = { 8, 4, 2, 1, 7, 61 };
	vfm_auto_image struct vfm_v1_image image = { NULL };
	struct vfm_v1_chunk chunk;
	size_t size, tail;
	int ret = first_chunk(t, &chunk, &image);

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(widths); i++) {
		size = VFM_MIN((size_t)chunk.size, NARROW_MAX / 8 * VFM_MIN(widths[i], 8u));
		tail = (size_t)chunk.size - VFM_MIN((size_t)chunk.size, 64u);
		ret = read_narrow(t, &chunk, image.data, 0, size, widths[i]);
		if (!ret)
			ret = read_narrow(t, &chunk, image.data, tail / 8 * 8, chunk.size,
					  widths[i]);
	}
	return ret;
}

/* What of a chunk stands in memory must be what reads give. */
static int compare_mapped(struct vfm_trial *t, const struct vfm_v1_map *map,
			  const struct vfm_v1_chunk *chunk, const uint8_t *data)
{
	size_t n;

	for (size_t at = 0; at < chunk->size; at += n) {
		const uint8_t *mem;

		n = (size_t)chunk->size - at;
		mem = vfm_v1_mapped(map, chunk->offset + at, &n);
		if (mem && memcmp(mem, data + at, n) != 0)
			return vfm_trial_fail(
				t,
				"0x%zx bytes at 0x%" PRIx64
				" of the region were read, and they are others in the "
				"mapping of it",
				n, chunk->offset + at);
	}
	return 0;
}

static int mapped_is_same(struct vfm_trial *t)
{
	vfm_auto_map struct vfm_v1_map map = { .region.fd = -1 };
	struct vfm_v1_chunk chunk;
	int ret = vfm_trial_v1_map(t, &map);

	if (!ret)
		ret = vfm_trial_v1_go(t, VFM_V1_STATE_STOP_COPY);
	for (int i = 0; !ret && i < SOME_CHUNKS; i++) {
		vfm_auto_image struct vfm_v1_image image = { NULL };

		ret = vfm_trial_v1_chunk(t, &chunk);
		if (ret || !chunk.size)
			break;
		if (chunk.offset % (uint64_t)sysconf(_SC_PAGESIZE))
			return vfm_trial_skip(t, "could not be tried: a chunk is not aligned");
		ret = vfm_trial_v1_append(t, &chunk, &image);
		if (!ret)
			ret = compare_mapped(t, &map, &chunk, image.data);
	}
	return ret;
}

const struct vfm_rule vfm_rules_v1_data[] = {
	{
		.is = { .name = "v1.data.inside",
			.title = "a chunk lies in the region and behind the registers",
			.source = VFM_V1_CITE_LAYOUT
			"the data section follows the registers, so data_offset "
			"is never 0",
			.text = "Users in the field do not check it, and read whatever is there, "
				"or write it when they resume.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1,
		.run = chunks_inside,
	},
	{
		.is = { .name = "v1.data.not-empty",
			.title = "in STOP_COPY, when something is pending there is a chunk",
			.source = VFM_V1_CITE_SAVING
			"b. data_offset returns only after data is available",
			.text = "A user that follows the steps asks again and again for data that "
				"does not come, while the guest stands still.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1,
		.run = chunks_not_empty,
	},
	{
		.is = { .name = "v1.data.mapped-is-aligned",
			.title = "a chunk that can be mapped begins at a page",
			.source = VFM_V1_CITE_LAYOUT "if mapped, data_offset must be page aligned",
			.text = "A user may map each chunk where data_offset says.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1,
		.run = mapped_is_aligned,
	},
	{
		.is = { .name = "v1.data.mapped-is-same",
			.title = "reads of a chunk give what stands in its mapping",
			.source = VFM_V1_CITE_LAYOUT
			"the user is not required to access through mmap",
			.text = "Both ways lead to the same bytes, and a user may take either, or "
				"one for each part of a chunk.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_V1,
		.run = mapped_is_same,
	},
	{
		.is = { .name = "v1.data.repeats",
			.title = "the data of a chunk can be read again",
			.source = VFM_V1_CITE_SAVING
			"b. data is available from data_offset on for data_size "
			"bytes, until pending_bytes is read",
			.text = "The section is memory and no pipe. A user that has to send a "
				"chunk again reads it again.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_V1,
		.run = data_repeats,
	},
	{
		.is = { .name = "v1.data.in-any-width",
			.title = "the data of a chunk can be read in pieces of any size",
			.source = VFM_V1_CITE_QEMU
			"reads a section that is not mapped in units of 8, 4, 2 "
			"and 1 bytes",
			.text = "The native width is demanded of registers alone. The start and "
				"the end of a chunk are read in pieces of 8, 4, 2, 1, 7 and 61 "
				"bytes, and must be what the whole chunk was.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_V1,
		.run = data_in_any_width,
	},
};
const size_t vfm_nr_rules_v1_data = VFM_ARRAY_SIZE(vfm_rules_v1_data);
