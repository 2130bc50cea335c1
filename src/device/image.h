// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * How the framework frames a driver's records in the data session, and the
 * compatibility block that comes first. Bytes only; no device.
 *
 *   record: le32 type, le32 length, le64 number (from 0), le64 checksum; payload
 *   image:  COMPAT, DATA ..., END
 *
 * The checksum runs over the first 16 bytes of the header and the payload. The
 * END has no payload; its number tells how many records came before it.
 */

#ifndef VFM_DEVICE_IMAGE_H
#define VFM_DEVICE_IMAGE_H

#include <vfmig/device.h>

#define VFM_IMAGE_HEADER 24u

/** Types of records; letters, so that a foreign stream is recognised at once. */
enum vfm_image_type {
	VFM_IMAGE_COMPAT = 0x504d4643, /* "CFMP" */
	VFM_IMAGE_DATA = 0x54414456,   /* "VDAT" */
	VFM_IMAGE_END = 0x444e4556,    /* "VEND" */
};

/** Largest payload of a compatibility block. */
#define VFM_IMAGE_COMPAT_MAX (16u + VFM_MODEL_TEXT + VFM_PARAMS_TEXT)

struct vfm_image_record {
	uint32_t type;
	uint32_t length;
	uint64_t number;
	uint64_t checksum;
};

/** vfm_image_seal() - write the header in front of @length bytes that stand behind it. */
void vfm_image_seal(uint8_t *record, enum vfm_image_type type, uint32_t length, uint64_t number);

/** vfm_image_header() - take a header apart; nothing in it is checked yet. */
struct vfm_image_record vfm_image_header(const uint8_t *bytes);

/** vfm_image_intact() - whether the checksum of a whole record is right. */
bool vfm_image_intact(const uint8_t *record, const struct vfm_image_record *header);

/** vfm_image_write_compat() - the payload; returns its length. */
size_t vfm_image_write_compat(uint8_t *payload, const struct vfm_compat *compat);

/** vfm_image_parse_compat() - -EBADMSG when it makes no sense. */
int vfm_image_parse_compat(struct vfm_compat *compat, const uint8_t *payload, size_t len,
			   struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_compat_check_model() - whether an image of @theirs may go into @ours, but
 * for the params, which the driver judges. -ENOTUNIQ: no.
 */
int vfm_compat_check_model(const struct vfm_compat *ours, const struct vfm_compat *theirs,
			   struct vfm_err *err) VFM_MUST_CHECK;

#endif
