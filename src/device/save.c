// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Saving: records come out of the driver whole and leave in any segmentation.
 * A record is made straight in the reader's buffer when it surely fits there,
 * and in a buffer of our own when it may not. The sequence of records depends on
 * the driver alone, not on the sizes of reads.
 */

#include "device/session.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static size_t record_room(const struct vfm_session_driver *d)
{
	return VFM_IMAGE_HEADER + VFM_MAX(d->driver->record_max, (size_t)VFM_IMAGE_COMPAT_MAX);
}

int vfm_save_begin(struct vfm_save_session *s, const struct vfm_session_driver *d,
		   struct vfm_err *err)
{
	*s = (struct vfm_save_session){ .open = true, .initial_cap = UINT64_MAX };
	s->buf = malloc(record_room(d));
	if (!s->buf)
		return vfm_fail(err, -ENOMEM, "no memory for a record of %zu bytes",
				record_room(d));
	return 0;
}

void vfm_save_end(struct vfm_save_session *s)
{
	free(s->buf);
	*s = (struct vfm_save_session){ 0 };
}

/* The driver's next record behind a header at @record: its length, 0, or an error. */
static ssize_t driver_record(const struct vfm_session_driver *d, uint8_t *record,
			     struct vfm_err *err)
{
	ssize_t n = d->driver->save(d->priv, record + VFM_IMAGE_HEADER, err);

	if (n < 0)
		return vfm_driver_result(n < INT_MIN ? INT_MIN : (int)n, err);
	if (n > (ssize_t)d->driver->record_max)
		return vfm_fail(err, -EIO, "driver gave a record of %zd bytes; its limit is %zu", n,
				d->driver->record_max);
	return n;
}

/* Make the next record at @record: its whole length; 0: nothing now, or no more. */
static ssize_t make_record(struct vfm_save_session *s, const struct vfm_session_driver *d,
			   bool final, uint8_t *record, struct vfm_err *err)
{
	enum vfm_image_type type = VFM_IMAGE_DATA;
	ssize_t n;

	if (s->ended)
		return 0;
	if (!s->number) {
		type = VFM_IMAGE_COMPAT;
		n = (ssize_t)vfm_image_write_compat(record + VFM_IMAGE_HEADER, &d->compat);
	} else {
		n = driver_record(d, record, err);
		if (n < 0 || (!n && !final))
			return n;
	}
	if (!n) {
		type = VFM_IMAGE_END;
		s->ended = true;
	}
	vfm_image_seal(record, type, (uint32_t)n, s->number++);
	return n + (ssize_t)VFM_IMAGE_HEADER;
}

/* A record to be read in parts: remember what kind of data it holds. */
static ssize_t stage_record(struct vfm_save_session *s, const struct vfm_session_driver *d,
			    bool final, struct vfm_err *err)
{
	struct vfm_precopy_info info = { .initial_bytes = 1 };
	ssize_t made;
	int ret;

	if (s->number && !final) {
		ret = vfm_driver_result(d->driver->pending(d->priv, &info, err), err);
		if (ret)
			return ret;
	}
	made = make_record(s, d, final, s->buf, err);
	if (made <= 0)
		return made;
	s->initial = info.initial_bytes > 0;
	s->len = (size_t)made;
	s->pos = 0;
	return made;
}

/* Some bytes into @buf: how many, 0 when there are none now. */
static ssize_t read_some(struct vfm_save_session *s, const struct vfm_session_driver *d, bool final,
			 uint8_t *buf, size_t len, struct vfm_err *err)
{
	size_t n;

	if (s->pos == s->len && len >= record_room(d))
		return make_record(s, d, final, buf, err);
	if (s->pos == s->len) {
		ssize_t made = stage_record(s, d, final, err);

		if (made <= 0)
			return made;
	}
	n = VFM_MIN(len, s->len - s->pos);
	memcpy(buf, s->buf + s->pos, n);
	s->pos += n;
	return (ssize_t)n;
}

ssize_t vfm_save_read(struct vfm_save_session *s, const struct vfm_session_driver *d, bool final,
		      void *buf, size_t len, struct vfm_err *err)
{
	size_t got = 0;

	while (got < len && !s->failed) {
		ssize_t n = read_some(s, d, final, (uint8_t *)buf + got, len - got, &s->why);

		if (n < 0)
			s->failed = (int)n;
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	if (got)
		return (ssize_t)got;
	if (s->failed)
		return vfm_fail(err, s->failed, "read data: %s",
				s->why.msg[0] ? s->why.msg : strerror(-s->failed));
	return final ? 0 : -ENOMSG;
}

/* More than any device has. What a driver says beyond is nonsense, and must not wrap to little. */
#define SIZE_LIMIT (UINT64_C(1) << 60)

/* What @payload bytes of records become with their headers. */
static uint64_t framed(const struct vfm_session_driver *d, uint64_t payload)
{
	uint64_t max = d->driver->record_max;
	uint64_t records;

	payload = VFM_MIN(payload, SIZE_LIMIT / (VFM_IMAGE_HEADER + 1));
	records = payload / max + (payload % max != 0);
	return payload + records * VFM_IMAGE_HEADER;
}

/* Bytes that are certain: of a record already made, or of the block that comes first. */
static uint64_t unread(const struct vfm_save_session *s, const struct vfm_session_driver *d)
{
	uint8_t payload[VFM_IMAGE_COMPAT_MAX];

	if (s->number)
		return s->len - s->pos;
	return VFM_IMAGE_HEADER + vfm_image_write_compat(payload, &d->compat);
}

int vfm_save_precopy_info(struct vfm_save_session *s, const struct vfm_session_driver *d,
			  struct vfm_precopy_info *info, struct vfm_err *err)
{
	struct vfm_precopy_info payload = { 0 };
	uint64_t ready = unread(s, d);
	int ret = vfm_driver_result(d->driver->pending(d->priv, &payload, err), err);

	if (ret)
		return ret;
	*info = (struct vfm_precopy_info){
		.initial_bytes = framed(d, payload.initial_bytes),
		.dirty_bytes = framed(d, payload.dirty_bytes),
		.reinit = payload.reinit,
	};
	if (!s->number || s->initial)
		info->initial_bytes += ready;
	else
		info->dirty_bytes += ready;
	if (!info->reinit && info->initial_bytes > s->initial_cap) {
		info->dirty_bytes += info->initial_bytes - s->initial_cap;
		info->initial_bytes = s->initial_cap;
	}
	s->initial_cap = info->initial_bytes;
	return 0;
}

int vfm_save_data_size(const struct vfm_save_session *s, const struct vfm_session_driver *d,
		       uint64_t *bytes, struct vfm_err *err)
{
	uint64_t payload = 0;
	int ret = vfm_driver_result(d->driver->data_size(d->priv, &payload, err), err);

	if (ret)
		return ret;
	*bytes = s->ended ? s->len - s->pos : unread(s, d) + framed(d, payload) + VFM_IMAGE_HEADER;
	if (!*bytes)
		*bytes = 1; /* a client that allocates what we say must not allocate nothing */
	return 0;
}
