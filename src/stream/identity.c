// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Who a device is: as the bytes of an IDENTITY record, and compared with another.
 * Asking a device is in identity_get.c.
 *
 * What surprises: texts in a record are plain ASCII or it is refused, because
 * they come from elsewhere and end on somebody's terminal.
 */

#include <vfmig/stream.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "stream/identity.h"

/* Version 1 of the payload; higher ones are this one with fields behind it. */
#define LAYOUT 1u

#define HAS_COMPAT (1u << 0)
#define JUDGES_PARAMS (1u << 1)

/* Fixed fields, regions, two texts with their lengths. */
#define SIZE_MAX_V1 (40 + 8 * VFM_IDENTITY_REGIONS + 8 + 2 + VFM_MODEL_TEXT + 2 + VFM_PARAMS_TEXT)

bool vfm_identity_text_ok(const char *text, size_t room)
{
	size_t len = strnlen(text, room);

	for (size_t i = 0; i < len; i++)
		if (text[i] < 0x20 || text[i] > 0x7e)
			return false;
	return len < room;
}

/* ---- bytes ---------------------------------------------------------------- */

static void put_text(struct vfm_writer *w, const char *text)
{
	size_t len = strlen(text);

	vfm_write_le16(w, (uint16_t)len);
	vfm_write_bytes(w, text, len);
}

static uint16_t identity_flags(const struct vfm_identity *id)
{
	if (!id->has_compat)
		return 0;
	return HAS_COMPAT | (id->compat.judges_params ? JUDGES_PARAMS : 0);
}

static void put_identity(struct vfm_writer *w, const struct vfm_identity *id)
{
	vfm_write_le16(w, LAYOUT);
	vfm_write_le16(w, identity_flags(id));
	vfm_write_le16(w, id->vendor);
	vfm_write_le16(w, id->device);
	vfm_write_le16(w, id->subvendor);
	vfm_write_le16(w, id->subdevice);
	vfm_write_le32(w, id->class_code);
	vfm_write_u8(w, id->revision);
	vfm_write_zeros(w, 3);
	vfm_write_le64(w, id->migration);
	vfm_write_le64(w, id->data_size);
	vfm_write_le32(w, id->nr_regions);
	for (uint32_t i = 0; i < id->nr_regions; i++)
		vfm_write_le64(w, id->region_size[i]);
	if (!id->has_compat)
		return;
	vfm_write_le32(w, id->compat.version);
	vfm_write_le32(w, id->compat.min_version);
	put_text(w, id->compat.model);
	put_text(w, id->compat.params);
}

VFM_API int vfm_stream_write_identity(struct vfm_stream_writer *w, uint32_t device,
				      const struct vfm_identity *id, struct vfm_err *err)
{
	uint8_t wire[SIZE_MAX_V1];
	struct vfm_writer out = vfm_writer_of(wire, sizeof(wire));

	if (id->nr_regions > VFM_IDENTITY_REGIONS)
		return vfm_fail(err, -EINVAL, "write identity of device %u: %u regions, at most %u",
				device, id->nr_regions, VFM_IDENTITY_REGIONS);
	if (id->has_compat && (!vfm_identity_text_ok(id->compat.model, sizeof(id->compat.model)) ||
			       !vfm_identity_text_ok(id->compat.params, sizeof(id->compat.params))))
		return vfm_fail(err, -EINVAL,
				"write identity of device %u: model or parameters are not text",
				device);
	put_identity(&out, id);
	return vfm_stream_write(w, VFM_STREAM_IDENTITY, 0, device, wire, out.len, err);
}

static bool take_text(struct vfm_reader *r, char *text, size_t room)
{
	size_t len = vfm_read_le16(r);

	if (len >= room)
		return false;
	vfm_read_copy(r, text, len);
	text[len] = '\0';
	return strlen(text) == len && vfm_identity_text_ok(text, room);
}

/* Return: NULL, or what is wrong. */
static const char *take_compat(struct vfm_reader *r, struct vfm_compat *compat)
{
	compat->version = vfm_read_le32(r);
	compat->min_version = vfm_read_le32(r);
	if (!take_text(r, compat->model, sizeof(compat->model)))
		return "the model is too long or not plain text";
	if (!take_text(r, compat->params, sizeof(compat->params)))
		return "the parameters are too long or not plain text";
	return NULL;
}

static const char *take_identity(struct vfm_reader *r, struct vfm_identity *id)
{
	uint16_t layout = vfm_read_le16(r);
	uint16_t flags = vfm_read_le16(r);
	uint32_t reserved;
	const char *wrong;

	id->vendor = vfm_read_le16(r);
	id->device = vfm_read_le16(r);
	id->subvendor = vfm_read_le16(r);
	id->subdevice = vfm_read_le16(r);
	id->class_code = vfm_read_le32(r);
	id->revision = vfm_read_u8(r);
	reserved = vfm_read_u8(r);
	reserved |= vfm_read_le16(r);
	id->migration = vfm_read_le64(r);
	id->data_size = vfm_read_le64(r);
	id->nr_regions = vfm_read_le32(r);
	if (!layout || reserved)
		return !layout ? "it has no layout version" : "a reserved field is not zero";
	if (layout == LAYOUT && flags & ~(HAS_COMPAT | JUDGES_PARAMS))
		return "it has unknown flags";
	if (id->nr_regions > VFM_IDENTITY_REGIONS)
		return "it has too many regions";
	for (uint32_t i = 0; i < id->nr_regions; i++)
		id->region_size[i] = vfm_read_le64(r);
	id->has_compat = flags & HAS_COMPAT;
	id->compat.judges_params = id->has_compat && flags & JUDGES_PARAMS;
	wrong = id->has_compat ? take_compat(r, &id->compat) : NULL;
	if (wrong)
		return wrong;
	return layout == LAYOUT && r->left ? "something follows its last field" : NULL;
}

VFM_API int vfm_stream_parse_identity(struct vfm_identity *id,
				      const struct vfm_stream_record *record, struct vfm_err *err)
{
	struct vfm_reader r = vfm_reader_of(record->data, record->size);
	struct vfm_identity found = { 0 };
	const char *wrong;

	if (record->type != VFM_STREAM_IDENTITY)
		return vfm_fail(err, -EINVAL, "record of type %u is not an identity", record->type);
	wrong = take_identity(&r, &found);
	if (!vfm_reader_ok(&r))
		wrong = "it ends within a field";
	if (wrong)
		return vfm_fail(err, -EBADMSG, "identity of device %u at offset %" PRIu64 ": %s",
				record->device, record->offset, wrong);
	*id = found;
	return 0;
}

/* ---- comparison ----------------------------------------------------------- */

static int check_number(const char *what, uint64_t ours, uint64_t theirs, struct vfm_err *err)
{
	if (ours == theirs)
		return 0;
	return vfm_fail(err, -ENOTUNIQ,
			"image is of a device with %s 0x%" PRIx64 ", this one has 0x%" PRIx64, what,
			theirs, ours);
}

static int check_text(const char *what, const char *ours, const char *theirs, struct vfm_err *err)
{
	if (!strcmp(ours, theirs))
		return 0;
	return vfm_fail(err, -ENOTUNIQ,
			"image is of a device with %s \"%.200s\", this one has "
			"\"%.200s\"",
			what, theirs, ours);
}

static int check_pci(const struct vfm_identity *ours, const struct vfm_identity *theirs,
		     struct vfm_err *err)
{
	const struct {
		const char *what;
		uint64_t ours, theirs;
	} fields[] = {
		{ "PCI vendor", ours->vendor, theirs->vendor },
		{ "PCI device", ours->device, theirs->device },
		{ "PCI subsystem vendor", ours->subvendor, theirs->subvendor },
		{ "PCI subsystem device", ours->subdevice, theirs->subdevice },
		{ "PCI class", ours->class_code, theirs->class_code },
		{ "PCI revision", ours->revision, theirs->revision },
	};

	for (size_t i = 0; i < VFM_ARRAY_SIZE(fields); i++) {
		int ret = check_number(fields[i].what, fields[i].ours, fields[i].theirs, err);

		if (ret)
			return ret;
	}
	return 0;
}

static uint64_t region_size(const struct vfm_identity *id, uint32_t index)
{
	return index < id->nr_regions ? id->region_size[index] : 0;
}

/* A region that one of them does not list is one of no size. */
static int check_regions(const struct vfm_identity *ours, const struct vfm_identity *theirs,
			 struct vfm_err *err)
{
	for (uint32_t i = 0; i < VFM_IDENTITY_REGIONS; i++) {
		uint64_t size = region_size(ours, i), their_size = region_size(theirs, i);

		if (size != their_size)
			return vfm_fail(err, -ENOTUNIQ,
					"image is of a device with %" PRIu64 " bytes in region %u"
					", this one has %" PRIu64,
					their_size, i, size);
	}
	return 0;
}

/* Asked only when both can tell; the device itself checks again when it loads. */
static int check_compat(const struct vfm_compat *ours, const struct vfm_compat *theirs,
			struct vfm_err *err)
{
	int ret = check_text("model", ours->model, theirs->model, err);

	if (ret)
		return ret;
	if (theirs->version < ours->min_version || theirs->version > ours->version)
		return vfm_fail(err, -ENOTUNIQ,
				"image of %s has version %u, this device reads %u to %u",
				theirs->model, theirs->version, ours->min_version, ours->version);
	if (ours->judges_params)
		return 0;
	return check_text("parameters", ours->params, theirs->params, err);
}

VFM_API int vfm_identity_check(const struct vfm_identity *ours, const struct vfm_identity *theirs,
			       struct vfm_err *err)
{
	int ret = 0;

	/* What the devices say of themselves tells people more than numbers do. */
	if (ours->has_compat && theirs->has_compat)
		ret = check_compat(&ours->compat, &theirs->compat, err);
	if (!ret)
		ret = check_pci(ours, theirs, err);
	if (!ret)
		ret = check_regions(ours, theirs, err);
	if (!ret && !(ours->migration & VFM_MIGRATION_STOP_COPY))
		ret = vfm_fail(err, -ENOTUNIQ,
			       "image needs a device that migrates, this one has migration flags "
			       "0x%" PRIx64,
			       ours->migration);
	return ret;
}
