// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * How records are framed in a session, and the compatibility block that comes first.
 * Bytes only. The format is that of src/device/image.h, so that images go to and come from
 * devices in user space:
 *
 *   record: le32 type, le32 length, le64 number (from 0), le64 checksum; payload
 *   image:  COMPAT, DATA ..., END
 *
 * The checksum runs over the first 16 bytes of the header and the payload.
 */

#include "vfmig_sim.h"

#include "xxh3.h"

#define COVERED 16u /* bytes of the header that the checksum covers */

static u64 checksum(const u8 *record, u32 length)
{
	return xxh3_64(record + VFMS_RECORD_HEADER, length, xxh3_64(record, COVERED, 0));
}

void vfms_record_seal(u8 *record, enum vfms_record type, u32 length, u64 number)
{
	put32(record, type);
	put32(record + 4, length);
	put64(record + 8, number);
	put64(record + 16, checksum(record, length));
}

struct vfms_header vfms_record_header(const u8 *record)
{
	struct vfms_header h = {
		.type = get32(record),
		.length = get32(record + 4),
		.number = get64(record + 8),
		.checksum = get64(record + 16),
	};

	return h;
}

bool vfms_record_intact(const u8 *record, const struct vfms_header *header)
{
	return checksum(record, header->length) == header->checksum;
}

size_t vfms_compat_size(const struct vfms *d)
{
	return 16 + strlen(VFMS_MODEL) + strlen(d->params_text);
}

static u8 *write_text(u8 *out, const char *text)
{
	size_t len = strlen(text);

	put32(out, len);
	memcpy(out + 4, text, len);
	return out + 4 + len;
}

void vfms_compat_write(const struct vfms *d, u8 *payload)
{
	put32(payload, VFMS_MODEL_VERSION);
	put32(payload + 4, VFMS_MODEL_VERSION);
	write_text(write_text(payload + 8, VFMS_MODEL), d->params_text);
}

struct text {
	const u8 *at;
	u32 len;
};

static bool read_text(const u8 **in, size_t *left, struct text *text)
{
	if (*left < 4 || get32(*in) > *left - 4)
		return false;
	text->len = get32(*in);
	text->at = *in + 4;
	*in += 4 + text->len;
	*left -= 4 + text->len;
	return true;
}

static bool is_text(const struct text *text, const char *want)
{
	return text->len == strlen(want) && !memcmp(text->at, want, text->len);
}

int vfms_compat_check(const struct vfms *d, const u8 *payload, size_t len)
{
	struct text model, params;
	const u8 *in = payload + 8;
	size_t left = len - 8;

	if (len < 8 || !read_text(&in, &left, &model) || !read_text(&in, &left, &params) || left)
		return -EBADMSG;
	if (get32(payload) != VFMS_MODEL_VERSION || !is_text(&model, VFMS_MODEL))
		return -ENOTUNIQ;
	return is_text(&params, d->params_text) ? 0 : -ENOTUNIQ;
}

size_t vfms_device_size(const struct vfms *d)
{
	size_t window = d->params.iobar ? 8 : 0;

	return 8 + vfms_regs_image_size() + 3 * 8 + VFMS_CONFIG_SIZE + VFMS_MAX_VECTORS / 8 + 8 +
	       d->params.vectors * VFMS_MSIX_ENTRY + window;
}
