// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The two headers as bytes, and the rules of the format as one table: which
 * types there are, what they may carry and where they may stand. No I/O. Writer
 * and reader ask the same functions, so that what one refuses to write is what
 * the other refuses to read.
 *
 * Layouts are those of docs/stream-format.md; a change here is a change there.
 */

#include "stream/format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"

_Static_assert(sizeof(VFM_STREAM_MAGIC) == VFM_STREAM_MAGIC_SIZE + 1, "magic size");

#define FLAGS_KNOWN (VFM_STREAM_OPTIONAL | VFM_STREAM_CHUNK_END | VFM_STREAM_ZSTD)

#define OF_DEVICE (1u << 0) /* its device must have an IDENTITY */
#define ON_WIRE (1u << 1)   /* part of a conversation: may follow END, not for files */
#define ANYWHERE (1u << 2)  /* may follow END */

/**
 * struct type_rule - what is known about a type
 * @name: as people read it
 * @traits: OF_DEVICE and so on
 * @flags: VFM_STREAM_* that it may carry
 * @min, @max: bytes of payload
 * @count: adds to the tally, or refuses; may be NULL
 */
struct type_rule {
	const char *name;
	uint32_t traits;
	uint32_t flags;
	uint32_t min, max;
	int (*count)(struct vfm_stream_tally *t, uint32_t device, const uint8_t *payload,
		     size_t size, struct vfm_err *err);
};

static int add_bytes(uint64_t *sum, uint64_t bytes, struct vfm_err *err)
{
	if (__builtin_add_overflow(*sum, bytes, sum))
		return vfm_fail(err, -EBADMSG, "more than 2^64 bytes of payload");
	return 0;
}

static int count_identity(struct vfm_stream_tally *t, uint32_t device, const uint8_t *payload,
			  size_t size, struct vfm_err *err)
{
	(void)payload;
	(void)size;
	if (t->has_data)
		return vfm_fail(err, -EBADMSG, "an identity after the first data");
	if (device != t->nr_devices)
		return vfm_fail(err, -EBADMSG, "identity of device %u where that of %u is due",
				device, t->nr_devices);
	t->nr_devices++;
	return 0;
}

static int count_map(struct vfm_stream_tally *t, uint32_t device, const uint8_t *payload,
		     size_t size, struct vfm_err *err)
{
	(void)device;
	(void)payload;
	(void)size;
	(void)err;
	t->has_data = true;
	return 0;
}

static int count_device(struct vfm_stream_tally *t, uint32_t device, const uint8_t *payload,
			size_t size, struct vfm_err *err)
{
	(void)device;
	(void)payload;
	t->has_data = true;
	return add_bytes(&t->device_bytes, size, err);
}

static int count_memory(struct vfm_stream_tally *t, uint64_t iova, uint64_t size,
			struct vfm_err *err)
{
	if (vfm_range_wraps(iova, size))
		return vfm_fail(err, -EBADMSG,
				"%" PRIu64 " bytes at iova 0x%" PRIx64 " leave 64 bits", size,
				iova);
	t->has_data = true;
	return add_bytes(&t->memory_bytes, size, err);
}

static int count_memory_data(struct vfm_stream_tally *t, uint32_t device, const uint8_t *payload,
			     size_t size, struct vfm_err *err)
{
	struct vfm_reader r = vfm_reader_of(payload, size);
	uint64_t iova = vfm_read_le64(&r);

	(void)device;
	return count_memory(t, iova, r.left, err);
}

static int count_memory_zero(struct vfm_stream_tally *t, uint32_t device, const uint8_t *payload,
			     size_t size, struct vfm_err *err)
{
	struct vfm_reader r = vfm_reader_of(payload, size);
	uint64_t iova = vfm_read_le64(&r);

	(void)device;
	return count_memory(t, iova, vfm_read_le64(&r), err);
}

static int count_end(struct vfm_stream_tally *t, uint32_t device, const uint8_t *payload,
		     size_t size, struct vfm_err *err)
{
	(void)payload;
	(void)size;
	if (device)
		return vfm_fail(err, -EBADMSG, "it belongs to the stream, not to device %u",
				device);
	if (!t->nr_devices)
		return vfm_fail(err, -EBADMSG, "the stream ends without an identity");
	t->ended = true;
	return 0;
}

#define BULK (VFM_STREAM_ZSTD)
#define ANY_SIZE 0, VFM_STREAM_PAYLOAD_MAX

/* clang-format off */
static const struct type_rule rules[] = {
	[VFM_STREAM_IDENTITY]    = { "IDENTITY", 0, 0, 1, VFM_STREAM_PAYLOAD_MAX, count_identity },
	[VFM_STREAM_MEMORY_MAP]  = { "MEMORY_MAP", OF_DEVICE, BULK, ANY_SIZE, count_map },
	[VFM_STREAM_DEVICE_DATA] = { "DEVICE_DATA", OF_DEVICE, BULK | VFM_STREAM_CHUNK_END,
				     ANY_SIZE, count_device },
	[VFM_STREAM_MEMORY_DATA] = { "MEMORY_DATA", OF_DEVICE, BULK, VFM_STREAM_IOVA_SIZE,
				     VFM_STREAM_PAYLOAD_MAX, count_memory_data },
	[VFM_STREAM_MEMORY_ZERO] = { "MEMORY_ZERO", OF_DEVICE, 0, VFM_STREAM_ZERO_SIZE,
				     VFM_STREAM_ZERO_SIZE, count_memory_zero },
	[VFM_STREAM_PHASE]       = { "PHASE", ANYWHERE, VFM_STREAM_OPTIONAL, ANY_SIZE, NULL },
	[VFM_STREAM_END]         = { "END", 0, 0, VFM_STREAM_END_SIZE, VFM_STREAM_PAYLOAD_MAX,
				     count_end },
	[VFM_STREAM_COMMIT]      = { "COMMIT", ON_WIRE, 0, ANY_SIZE, NULL },
	[VFM_STREAM_ABORT]       = { "ABORT", ON_WIRE, 0, ANY_SIZE, NULL },
	[VFM_STREAM_READY]       = { "READY", ON_WIRE, 0, ANY_SIZE, NULL },
	[VFM_STREAM_LOADED]      = { "LOADED", ON_WIRE, 0, ANY_SIZE, NULL },
	[VFM_STREAM_RUNNING]     = { "RUNNING", ON_WIRE, 0, ANY_SIZE, NULL },
	[VFM_STREAM_RATES]       = { "RATES", ON_WIRE, VFM_STREAM_OPTIONAL, ANY_SIZE, NULL },
	[VFM_STREAM_HANDOVER]    = { "HANDOVER", ON_WIRE, VFM_STREAM_OPTIONAL,
				     VFM_STREAM_HANDOVER_SIZE, VFM_STREAM_PAYLOAD_MAX, NULL },
};
/* clang-format on */

/* What holds for a type that this version does not know, once it may be skipped. */
static const struct type_rule unknown_rule = { "unknown", ANYWHERE, FLAGS_KNOWN, ANY_SIZE, NULL };

static const struct type_rule *rule_of(uint32_t type)
{
	return vfm_stream_type_known(type) ? &rules[type] : &unknown_rule;
}

bool vfm_stream_type_known(uint32_t type)
{
	return type < VFM_ARRAY_SIZE(rules) && rules[type].name;
}

bool vfm_stream_type_is_wire(uint32_t type)
{
	return rule_of(type)->traits & ON_WIRE;
}

bool vfm_stream_type_compresses(uint32_t type)
{
	return rule_of(type)->flags & VFM_STREAM_ZSTD;
}

VFM_API const char *vfm_stream_type_name(uint32_t type)
{
	return rule_of(type)->name;
}

/* ---- headers -------------------------------------------------------------- */

uint64_t vfm_stream_header_to_wire(const struct vfm_stream_header *h,
				   uint8_t wire[VFM_STREAM_HEADER_SIZE])
{
	struct vfm_writer w = vfm_writer_of(wire, VFM_STREAM_HEADER_SIZE);
	uint64_t sum;

	vfm_write_bytes(&w, VFM_STREAM_MAGIC, VFM_STREAM_MAGIC_SIZE);
	vfm_write_le32(&w, h->version);
	vfm_write_le32(&w, h->compat_version);
	vfm_write_le32(&w, h->size);
	vfm_write_le32(&w, h->flags);
	sum = vfm_checksum(wire, w.len, 0);
	vfm_write_le64(&w, sum);
	return sum;
}

void vfm_stream_header_from_wire(struct vfm_stream_header *h, const uint8_t *wire, size_t size)
{
	struct vfm_reader r = vfm_reader_of(wire, size);

	vfm_read_bytes(&r, VFM_STREAM_MAGIC_SIZE);
	h->version = vfm_read_le32(&r);
	h->compat_version = vfm_read_le32(&r);
	h->size = vfm_read_le32(&r);
	h->flags = vfm_read_le32(&r);
}

/* What transfers that take a stream for text make of its first bytes. */
static const struct {
	const char *bytes;
	const char *what;
} mangled[] = {
	{ "\x09VFM", "the high bits of its bytes are gone" },
	{ "\x89VFM\n", "line ends were changed from CR LF to LF" },
	{ "\x89VFM\r\r\n", "line ends were changed from LF to CR LF" },
	{ "\x89VFM\r\n\x1a\r", "line ends were changed from LF to CR LF" },
	{ "\xef\xbf\xbd\x56\x46\x4d", "it was converted as if it were UTF-8" },
	{ "\xc2\x89VFM", "it was converted to UTF-8" },
};

int vfm_stream_check_magic(const uint8_t *wire, size_t have, struct vfm_err *err)
{
	char hex[3 * VFM_STREAM_MAGIC_SIZE + 1] = "";

	have = VFM_MIN(have, VFM_STREAM_MAGIC_SIZE);
	if (!memcmp(wire, VFM_STREAM_MAGIC, have))
		return 0;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(mangled); i++) {
		size_t len = strlen(mangled[i].bytes);

		if (have >= len && !memcmp(wire, mangled[i].bytes, len))
			return vfm_fail(err, -EBADMSG, "stream was damaged by a text transfer: %s",
					mangled[i].what);
	}
	for (size_t i = 0; i < have; i++)
		snprintf(hex + 3 * i, sizeof(hex) - 3 * i, " %02x", wire[i]);
	return vfm_fail(err, -EBADMSG, "not a vfmig stream: it begins with%s", hex);
}

int vfm_stream_check_header_size(const struct vfm_stream_header *h, struct vfm_err *err)
{
	if (h->size < VFM_STREAM_HEADER_SIZE || h->size > VFM_STREAM_HEADER_MAX || h->size % 8)
		return vfm_fail(err, -EBADMSG,
				"stream header of %u bytes, not a multiple of 8 between %u and %u",
				h->size, VFM_STREAM_HEADER_SIZE, VFM_STREAM_HEADER_MAX);
	if (h->version <= VFM_STREAM_VERSION && h->size != VFM_STREAM_HEADER_SIZE)
		return vfm_fail(err, -EBADMSG, "stream header of %u bytes, version %u has %u",
				h->size, h->version, VFM_STREAM_HEADER_SIZE);
	return 0;
}

int vfm_stream_check_header(const struct vfm_stream_header *h, uint32_t flags, struct vfm_err *err)
{
	if (!h->compat_version || h->compat_version > h->version)
		return vfm_fail(err, -EBADMSG,
				"stream version %u with oldest compatible version %u", h->version,
				h->compat_version);
	if (h->compat_version > VFM_STREAM_VERSION)
		return vfm_fail(err, -ENOTSUP,
				"stream version %u needs a reader of version %u, this one is %u",
				h->version, h->compat_version, VFM_STREAM_VERSION);
	if (h->flags & ~flags)
		return vfm_fail(err, -ENOTSUP, "stream header has unknown flags 0x%x",
				h->flags & ~flags);
	if (h->flags != flags)
		return vfm_fail(err, -EBADMSG, "stream is a whole one, and not one of several");
	return 0;
}

void vfm_stream_head_to_wire(struct vfm_stream_head *head, uint64_t chain,
			     uint8_t wire[VFM_STREAM_HEAD_SIZE])
{
	struct vfm_writer w = vfm_writer_of(wire, VFM_STREAM_HEAD_SIZE);

	vfm_write_le32(&w, head->type);
	vfm_write_le32(&w, head->flags);
	vfm_write_le32(&w, head->device);
	vfm_write_le32(&w, head->stored);
	vfm_write_le32(&w, head->plain);
	vfm_write_le32(&w, head->reserved);
	vfm_write_le64(&w, head->sequence);
	vfm_write_le64(&w, head->payload_sum);
	head->head_sum = vfm_checksum(wire, w.len, chain);
	vfm_write_le64(&w, head->head_sum);
}

uint64_t vfm_stream_head_from_wire(struct vfm_stream_head *head, uint64_t chain,
				   const uint8_t wire[VFM_STREAM_HEAD_SIZE])
{
	struct vfm_reader r = vfm_reader_of(wire, VFM_STREAM_HEAD_SIZE);

	head->type = vfm_read_le32(&r);
	head->flags = vfm_read_le32(&r);
	head->device = vfm_read_le32(&r);
	head->stored = vfm_read_le32(&r);
	head->plain = vfm_read_le32(&r);
	head->reserved = vfm_read_le32(&r);
	head->sequence = vfm_read_le64(&r);
	head->payload_sum = vfm_read_le64(&r);
	head->head_sum = vfm_read_le64(&r);
	return vfm_checksum(wire, VFM_STREAM_HEAD_SIZE - sizeof(head->head_sum), chain);
}

void vfm_stream_end_to_wire(const struct vfm_stream_end *end, uint8_t wire[VFM_STREAM_END_SIZE])
{
	struct vfm_writer w = vfm_writer_of(wire, VFM_STREAM_END_SIZE);

	vfm_write_le64(&w, end->tally.records);
	vfm_write_le64(&w, end->tally.device_bytes);
	vfm_write_le64(&w, end->tally.memory_bytes);
	vfm_write_le32(&w, end->tally.nr_devices);
	vfm_write_le32(&w, 0);
	vfm_write_bytes(&w, end->digest, sizeof(end->digest));
}

bool vfm_stream_end_from_wire(struct vfm_stream_end *end, const uint8_t *wire, size_t size)
{
	struct vfm_reader r = vfm_reader_of(wire, size);
	uint32_t reserved;

	end->tally = (struct vfm_stream_tally){ 0 };
	end->tally.records = vfm_read_le64(&r);
	end->tally.device_bytes = vfm_read_le64(&r);
	end->tally.memory_bytes = vfm_read_le64(&r);
	end->tally.nr_devices = vfm_read_le32(&r);
	reserved = vfm_read_le32(&r);
	vfm_read_copy(&r, end->digest, sizeof(end->digest));
	return vfm_reader_ok(&r) && !reserved;
}

/* ---- rules ---------------------------------------------------------------- */

static int check_lengths(const struct vfm_stream_head *head, struct vfm_err *err)
{
	const struct type_rule *rule = rule_of(head->type);
	uint32_t plain = head->plain, stored = head->stored;

	if (plain < rule->min || plain > rule->max)
		return vfm_fail(err, -EBADMSG, "%u bytes of payload, not between %u and %u", plain,
				rule->min, rule->max);
	if (head->flags & VFM_STREAM_ZSTD && (stored >= plain || !stored))
		return vfm_fail(err, -EBADMSG, "%u bytes compressed to %u", plain, stored);
	if (!(head->flags & VFM_STREAM_ZSTD) && stored != plain)
		return vfm_fail(err, -EBADMSG, "%u bytes stored as %u without compression", plain,
				stored);
	return 0;
}

int vfm_stream_check_head(const struct vfm_stream_head *head, struct vfm_err *err)
{
	uint32_t unknown = head->flags & ~FLAGS_KNOWN;
	uint32_t wrong = head->flags & ~rule_of(head->type)->flags;

	if (head->reserved)
		return vfm_fail(err, -EBADMSG, "reserved field holds 0x%x", head->reserved);
	if (unknown)
		return vfm_fail(err, -ENOTSUP, "unknown flags 0x%x", unknown);
	if (!vfm_stream_type_known(head->type) && !(head->flags & VFM_STREAM_OPTIONAL))
		return vfm_fail(err, -ENOTSUP, "unknown type %u that must be understood",
				head->type);
	if (wrong)
		return vfm_fail(err, -EBADMSG, "flags 0x%x do not belong to this type", wrong);
	if (head->device >= VFM_STREAM_DEVICES_MAX)
		return vfm_fail(err, -EBADMSG, "device %u, more than %u are not allowed",
				head->device, VFM_STREAM_DEVICES_MAX);
	return check_lengths(head, err);
}

int vfm_stream_tally_add(struct vfm_stream_tally *t, uint32_t type, uint32_t device,
			 const uint8_t *payload, size_t size, struct vfm_err *err)
{
	const struct type_rule *rule = rule_of(type);
	struct vfm_stream_tally next = *t;
	int ret;

	if (t->ended && !(rule->traits & (ON_WIRE | ANYWHERE)))
		return vfm_fail(err, -EBADMSG, "it stands after END");
	if (rule->traits & OF_DEVICE && device >= t->nr_devices)
		return vfm_fail(err, -EBADMSG, "device %u has no identity", device);
	ret = rule->count ? rule->count(&next, device, payload, size, err) : 0;
	if (ret)
		return ret;
	next.records++;
	*t = next;
	return 0;
}

/* ---- options -------------------------------------------------------------- */

/* The options as the first version had them. */
#define OPTS_FIRST offsetof(struct vfm_stream_opts, io)

static bool all_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

int vfm_stream_get_opts(struct vfm_stream_opts *out, struct vfm_wait *wait,
			const struct vfm_stream_opts *opts, struct vfm_err *err)
{
	size_t size = sizeof(*out);

	*out = (struct vfm_stream_opts){ .size = size };
	if (opts && opts->size < OPTS_FIRST)
		return vfm_fail(err, -EINVAL, "stream options of %zu bytes, fewer than %zu",
				opts->size, OPTS_FIRST);
	if (opts && opts->size > size && !all_zero((const uint8_t *)opts + size, opts->size - size))
		return vfm_fail(err, -EINVAL, "stream options hold a field of a later version");
	if (opts)
		memcpy(out, opts, VFM_MIN(opts->size, size));
	wait->timeout_ms = out->timeout_ms;
	wait->cancel_fd = out->cancel_fd > 0 ? out->cancel_fd : -1;
	wait->fn = out->wait;
	wait->user = out->user;
	return 0;
}
