// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * Protocol v1: the migration region. docs/protocol-v1.md is what it follows, and its words
 * are used here: an iteration, a chunk that is staged, handed out, acknowledged.
 *
 * It has no state of its own but what is staged, and the reserved bits: the word in
 * device_state is read off the state machine, which v2 may move as well.
 */

#include "vfmig_sim.h"

#include <linux/mm.h>
#include <linux/vmalloc.h>

int vfms_v1_new(struct vfms *d)
{
	d->v1.shown = -1;
	if (!(d->params.uapi & VFMS_UAPI_V1))
		return 0;
	d->v1.section = vmalloc_user(d->params.section);
	return d->v1.section ? 0 : -ENOMEM;
}

void vfms_v1_free(struct vfms *d)
{
	vfree(d->v1.section);
}

u64 vfms_v1_size(const struct vfms *d)
{
	return V1_SECTION + d->params.section;
}

u64 vfms_v1_mappable(const struct vfms *d)
{
	switch (d->params.section_map) {
	case SECTION_MAPPED:
		return d->params.section;
	case SECTION_HALF:
		return ALIGN_DOWN(d->params.section / 2, PAGE_SIZE);
	default:
		return 0;
	}
}

static u32 word_of(const struct vfms *d)
{
	static const u8 words[MIG_NR] = {
		[MIG_ERROR] = V1_ERROR,	      [MIG_STOP] = V1_STOP,
		[MIG_RUNNING] = V1_RUNNING,   [MIG_STOP_COPY] = V1_STOP_COPY,
		[MIG_RESUMING] = V1_RESUMING, [MIG_RUNNING_P2P] = V1_RUNNING,
		[MIG_PRE_COPY] = V1_PRE_COPY, [MIG_PRE_COPY_P2P] = V1_PRE_COPY,
	};

	return d->v1.shown >= 0 ? d->v1.shown : words[d->mig];
}

/* Before the state is RUNNING again: what a driver that forgets this would show. */
void vfms_v1_reset(struct vfms *d)
{
	u32 word = word_of(d);

	d->v1.shown = vfms_fault(d, FAULT_V1_RESET_KEEPS_STATE) && d->opened ? (int)word : -1;
	d->v1.reserved_bits = 0;
}

/* ---- saving ---------------------------------------------------------------------- */

/* Fill the section with what comes next, if anything does. */
static void stage(struct vfms *d)
{
	while (d->v1.staged < d->params.section) {
		const u8 *at;
		ssize_t n = vfms_save_peek(d, &at);

		if (n <= 0)
			return;
		n = min_t(size_t, n, d->params.section - d->v1.staged);
		memcpy(d->v1.section + d->v1.staged, at, n);
		vfms_save_take(d, n);
		d->v1.staged += n;
	}
}

static u64 to_come(struct vfms *d)
{
	u64 initial, dirty;

	if (d->mig == MIG_STOP_COPY)
		return vfms_save_data_size(d);
	vfms_save_precopy_info(d, &initial, &dirty);
	return initial + dirty;
}

static u64 read_pending(struct vfms *d)
{
	struct vfms_v1 *v = &d->v1;

	if (!vfms_mig_saving(d->mig))
		return 0;
	if (v->handed_out || vfms_fault(d, FAULT_V1_PENDING_ACKS)) {
		v->staged = 0;
		v->handed_out = false;
	}
	if (v->zero && vfms_fault(d, FAULT_V1_STICKY_ZERO) && vfms_mig_precopy(d->mig))
		return 0;
	if (!v->staged)
		stage(d);
	if (!v->staged) {
		v->zero = true;
		return vfms_fault(d, FAULT_V1_EMPTY_CHUNK) && d->mig == MIG_STOP_COPY;
	}
	return v->staged + to_come(d);
}

static u64 read_data_offset(struct vfms *d)
{
	if (vfms_mig_saving(d->mig)) {
		if (!d->v1.staged)
			stage(d);
		if (vfms_fault(d, FAULT_V1_OFFSET_ZERO))
			return 0;
	}
	if (d->mig == MIG_RESUMING && vfms_fault(d, FAULT_V1_RESUME_OFFSET_ZERO))
		return 0;
	return V1_SECTION;
}

static u64 read_data_size(struct vfms *d)
{
	if (!vfms_mig_saving(d->mig) || !d->v1.staged)
		return 0;
	d->v1.handed_out = true;
	return d->v1.staged + (vfms_fault(d, FAULT_V1_CHUNK_BEYOND) ? d->params.section : 0);
}

/* ---- device_state ---------------------------------------------------------------- */

/* From a row to a column; false is refused. */
/* clang-format off */
static const bool arcs[][5] = {
	/*		     STOP   RUNNING STOP_COPY PRE_COPY RESUMING */
	[V1_STOP]	= { true,  true,   true,     false,   true },
	[V1_RUNNING]	= { true,  true,   true,     true,    true },
	[V1_STOP_COPY]	= { true,  true,   true,     false,   false },
	[V1_PRE_COPY]	= { true,  true,   true,     true,    false },
	[V1_RESUMING]	= { true,  true,   false,    false,   true },
};
/* clang-format on */

static const enum vfms_mig states[] = {
	[V1_STOP] = MIG_STOP,	      [V1_RUNNING] = MIG_RUNNING,   [V1_STOP_COPY] = MIG_STOP_COPY,
	[V1_PRE_COPY] = MIG_PRE_COPY, [V1_RESUMING] = MIG_RESUMING,
};

static const struct {
	enum vfms_fault fault;
	u32 from;
	u32 to;
} refusals[] = {
	{ FAULT_V1_NO_STOP, V1_RUNNING, V1_STOP },
	{ FAULT_V1_NO_PRE_COPY, V1_RUNNING, V1_PRE_COPY },
	{ FAULT_V1_NO_CANCEL, V1_PRE_COPY, V1_RUNNING },
	{ FAULT_V1_NO_PAUSED_SAVE, V1_STOP, V1_STOP_COPY },
};

static bool refused(struct vfms *d, u32 from, u32 to)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(refusals); i++)
		if (refusals[i].from == from && refusals[i].to == to &&
		    vfms_fault(d, refusals[i].fault))
			return true;
	if (from == to && vfms_fault(d, FAULT_V1_SAME_REFUSED))
		return true;
	return from == V1_PRE_COPY && to == V1_STOP_COPY && vfms_fault(d, FAULT_V1_MUST_DRAIN) &&
	       (d->v1.staged || to_come(d));
}

/* Already in one of these states, also if by v2 in its P2P form: then nothing is done. */
static int move(struct vfms *d, u32 from, u32 to)
{
	int ret = from == to ? 0 : vfms_go(d, states[to], VFMS_FEATURES_ALL);

	if (!ret && from == V1_PRE_COPY && to == V1_STOP_COPY) {
		if (vfms_fault(d, FAULT_V1_CHUNK_TWICE))
			d->v1.handed_out = false;
		if (vfms_fault(d, FAULT_V1_STAGED_LOST) && !d->v1.handed_out)
			d->v1.staged = 0;
	}
	return ret;
}

static int write_state(struct vfms *d, u32 value)
{
	u32 from = word_of(d), to = value & V1_STATE_MASK, bits = value & ~V1_STATE_MASK;
	int ret;

	if (bits && vfms_fault(d, FAULT_V1_BITS_REFUSED))
		return -EINVAL;
	if (bits & BIT(12) && vfms_fault(d, FAULT_V1_BITS_TAKEN))
		return 0;
	if (from == V1_ERROR)
		return -EIO;
	if (to == V1_ERROR && vfms_fault(d, FAULT_V1_ERROR_WRITABLE)) {
		vfms_end_sessions(d);
		WRITE_ONCE(d->mig, MIG_ERROR);
		return 0;
	}
	if (to >= ARRAY_SIZE(states) || !arcs[from][to] || refused(d, from, to))
		return -EINVAL;
	ret = move(d, from, to);
	if (ret)
		return ret;
	d->v1.shown = -1;
	d->v1.reserved_bits = vfms_fault(d, FAULT_V1_BITS_LOST) ? 0 : bits;
	return 0;
}

/* ---- resuming -------------------------------------------------------------------- */

/* A section that is mapped may change meanwhile: the loader copies before it judges. */
static int write_data_size(struct vfms *d, u64 len)
{
	if (d->mig != MIG_RESUMING)
		return -EINVAL;
	if (len > d->params.section)
		return vfms_fault(d, FAULT_V1_OVERSIZE) ? 0 : -EINVAL;
	return vfms_load_write(d, d->v1.section, len);
}

/* ---- accesses -------------------------------------------------------------------- */

struct v1_reg {
	u32 offset;
	u32 width;
};

static const struct v1_reg regs[] = {
	{ V1_DEVICE_STATE, 4 }, { V1_RESERVED, 4 },  { V1_PENDING_BYTES, 8 },
	{ V1_DATA_OFFSET, 8 },	{ V1_DATA_SIZE, 8 },
};

/* The register that is accessed; with a fault any width within it will do. */
static const struct v1_reg *find_reg(const struct vfms *d, u64 offset, size_t len)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(regs); i++) {
		if (offset == regs[i].offset && len == regs[i].width)
			return &regs[i];
		if (vfms_fault(d, FAULT_V1_ANY_WIDTH) && offset >= regs[i].offset &&
		    offset + len <= regs[i].offset + regs[i].width)
			return &regs[i];
	}
	return NULL;
}

static u64 read_reg(struct vfms *d, u32 reg)
{
	switch (reg) {
	case V1_DEVICE_STATE:
		return word_of(d) | d->v1.reserved_bits;
	case V1_PENDING_BYTES:
		return read_pending(d);
	case V1_DATA_OFFSET:
		return read_data_offset(d);
	case V1_DATA_SIZE:
		return read_data_size(d);
	default:
		return 0;
	}
}

int vfms_v1_read(struct vfms *d, u64 offset, void *buf, size_t len)
{
	const struct v1_reg *reg = find_reg(d, offset, len);
	u64 value;

	if (reg) {
		if (reg->offset == V1_RESERVED && vfms_fault(d, FAULT_V1_WORD_REFUSED))
			return -EINVAL;
		value = read_reg(d, reg->offset);
		memcpy(buf, (u8 *)&value + (offset - reg->offset), len);
		return 0;
	}
	if (offset < V1_SECTION || !vfms_mig_saving(d->mig) ||
	    !vfms_inside(offset - V1_SECTION, len, d->v1.staged))
		return -EINVAL;
	memcpy(buf, d->v1.section + (offset - V1_SECTION), len);
	return 0;
}

int vfms_v1_write(struct vfms *d, u64 offset, const void *buf, size_t len)
{
	const struct v1_reg *reg = find_reg(d, offset, len);
	u64 value = 0;

	if (!reg) {
		if (offset < V1_SECTION || d->mig != MIG_RESUMING)
			return -EINVAL;
		memcpy(d->v1.section + (offset - V1_SECTION), buf, len);
		return 0;
	}
	memcpy(&value, buf, len);
	switch (reg->offset) {
	case V1_DEVICE_STATE:
		return write_state(d, value);
	case V1_RESERVED:
		return vfms_fault(d, FAULT_V1_WORD_REFUSED) ? -EINVAL : 0;
	case V1_DATA_SIZE:
		return write_data_size(d, value);
	default:
		return -EINVAL;
	}
}
