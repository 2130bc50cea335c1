// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "device/image.h"

#include <errno.h>
#include <inttypes.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/util.h"

#define COVERED 16u /* bytes of the header that the checksum covers */

/* @header and @payload are one behind the other in a record, but need not be here. */
static uint64_t record_checksum(const uint8_t *header, const uint8_t *payload, uint32_t length)
{
	return vfm_checksum(payload, length, vfm_checksum(header, COVERED, 0));
}

void vfm_image_seal(uint8_t *record, enum vfm_image_type type, uint32_t length, uint64_t number)
{
	uint8_t header[VFM_IMAGE_HEADER];
	struct vfm_writer w = vfm_writer_of(header, sizeof(header));

	vfm_write_le32(&w, (uint32_t)type);
	vfm_write_le32(&w, length);
	vfm_write_le64(&w, number);
	vfm_write_le64(&w, record_checksum(header, record + VFM_IMAGE_HEADER, length));
	memcpy(record, header, sizeof(header));
}

struct vfm_image_record vfm_image_header(const uint8_t *bytes)
{
	struct vfm_reader r = vfm_reader_of(bytes, VFM_IMAGE_HEADER);
	struct vfm_image_record h;

	h.type = vfm_read_le32(&r);
	h.length = vfm_read_le32(&r);
	h.number = vfm_read_le64(&r);
	h.checksum = vfm_read_le64(&r);
	return h;
}

bool vfm_image_intact(const uint8_t *record, const struct vfm_image_record *header)
{
	return record_checksum(record, record + VFM_IMAGE_HEADER, header->length) ==
	       header->checksum;
}

static void write_text(struct vfm_writer *w, const char *text)
{
	size_t len = strlen(text);

	vfm_write_le32(w, (uint32_t)len);
	vfm_write_bytes(w, text, len);
}

/* A text without a zero in it that fits into @room with one behind it. */
static bool read_text(struct vfm_reader *r, char *text, size_t room)
{
	uint32_t len = vfm_read_le32(r);

	if (len >= room)
		return false;
	vfm_read_copy(r, text, len);
	text[len] = '\0';
	return vfm_reader_ok(r) && strlen(text) == len;
}

size_t vfm_image_write_compat(uint8_t *payload, const struct vfm_compat *compat)
{
	struct vfm_writer w = vfm_writer_of(payload, VFM_IMAGE_COMPAT_MAX);

	vfm_write_le32(&w, compat->version);
	vfm_write_le32(&w, compat->min_version);
	write_text(&w, compat->model);
	write_text(&w, compat->params);
	return w.len;
}

int vfm_image_parse_compat(struct vfm_compat *compat, const uint8_t *payload, size_t len,
			   struct vfm_err *err)
{
	struct vfm_reader r = vfm_reader_of(payload, len);

	compat->judges_params = false; /* that of an image says nothing */
	compat->version = vfm_read_le32(&r);
	compat->min_version = vfm_read_le32(&r);
	if (!read_text(&r, compat->model, sizeof(compat->model)) ||
	    !read_text(&r, compat->params, sizeof(compat->params)) || r.left)
		return vfm_fail(err, -EBADMSG, "compatibility block of %zu bytes makes no sense",
				len);
	return 0;
}

int vfm_compat_check_model(const struct vfm_compat *ours, const struct vfm_compat *theirs,
			   struct vfm_err *err)
{
	if (strcmp(ours->model, theirs->model))
		return vfm_fail(err, -ENOTUNIQ, "image is of model %s, the device is %s",
				theirs->model, ours->model);
	if (theirs->version < ours->min_version || theirs->version > ours->version)
		return vfm_fail(err, -ENOTUNIQ,
				"image is of version %" PRIu32 ", the device reads %" PRIu32
				" to %" PRIu32,
				theirs->version, ours->min_version, ours->version);
	return 0;
}
