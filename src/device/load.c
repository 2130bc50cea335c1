// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Loading: bytes come in any segmentation and reach the driver as whole, proven
 * records. A record that lies whole in what was written is not copied. Nothing
 * of a record is believed before its checksum is right, except its length, which
 * is bounded first.
 */

#include "device/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static size_t payload_max(const struct vfm_session_driver *d)
{
	return VFM_MAX(d->driver->record_max, (size_t)VFM_IMAGE_COMPAT_MAX);
}

int vfm_load_begin(struct vfm_load_session *s, const struct vfm_session_driver *d,
		   struct vfm_err *err)
{
	*s = (struct vfm_load_session){ .open = true };
	s->buf = malloc(VFM_IMAGE_HEADER + payload_max(d));
	if (!s->buf)
		return vfm_fail(err, -ENOMEM, "no memory for a record of %zu bytes",
				VFM_IMAGE_HEADER + payload_max(d));
	return 0;
}

void vfm_load_end(struct vfm_load_session *s)
{
	free(s->buf);
	*s = (struct vfm_load_session){ 0 };
}

static int bad_record(const struct vfm_load_session *s, const char *what, uint64_t value,
		      struct vfm_err *err)
{
	return vfm_fail(err, -EBADMSG,
			"image record %" PRIu64 " near byte %" PRIu64 ": %s %" PRIu64, s->number,
			s->bytes, what, value);
}

static int load_compat(const struct vfm_session_driver *d, const uint8_t *payload, size_t len,
		       struct vfm_err *err)
{
	struct vfm_compat theirs;
	int ret = vfm_image_parse_compat(&theirs, payload, len, err);

	if (!ret)
		ret = vfm_compat_check_model(&d->compat, &theirs, err);
	if (ret || !strcmp(theirs.params, d->compat.params))
		return ret;
	if (d->driver->compatible)
		return vfm_driver_result(d->driver->compatible(d->priv, &theirs, err), err);
	return vfm_fail(err, -ENOTUNIQ, "image has parameters %s, the device has %s", theirs.params,
			d->compat.params);
}

/* Which types may come now, and how long they may be. */
static int check_header(const struct vfm_load_session *s, const struct vfm_session_driver *d,
			const struct vfm_image_record *h, struct vfm_err *err)
{
	static const char *const foreign = "not the beginning of an image; type";

	if (!s->number && h->type != VFM_IMAGE_COMPAT)
		return bad_record(s, foreign, h->type, err);
	if (s->number && h->type != VFM_IMAGE_DATA && h->type != VFM_IMAGE_END)
		return bad_record(s, "unknown type", h->type, err);
	if (h->number != s->number)
		return bad_record(s, "lost or out of order: it has number", h->number, err);
	if (h->length > payload_max(d) || (h->type == VFM_IMAGE_END) != (h->length == 0))
		return bad_record(s, "impossible length", h->length, err);
	return 0;
}

static int take_record(struct vfm_load_session *s, const struct vfm_session_driver *d,
		       const uint8_t *record, const struct vfm_image_record *h, struct vfm_err *err)
{
	const uint8_t *payload = record + VFM_IMAGE_HEADER;
	int ret = 0;

	if (!vfm_image_intact(record, h))
		return bad_record(s, "wrong checksum, length", h->length, err);
	if (h->type == VFM_IMAGE_COMPAT)
		ret = load_compat(d, payload, h->length, err);
	else if (h->type == VFM_IMAGE_DATA && h->length > d->driver->record_max)
		ret = bad_record(s, "impossible length", h->length, err);
	else if (h->type == VFM_IMAGE_DATA)
		ret = vfm_driver_result(d->driver->load(d->priv, payload, h->length, err), err);
	else
		s->ended = true;
	s->number++;
	return ret;
}

/* Add to the record that is being put together, up to @want bytes of it. */
static size_t gather(struct vfm_load_session *s, size_t want, const uint8_t *buf, size_t len)
{
	size_t n = VFM_MIN(want - s->len, len);

	memcpy(s->buf + s->len, buf, n);
	s->len += n;
	return n;
}

/* Use some of the bytes at @buf: how many, or an error. */
static ssize_t load_some(struct vfm_load_session *s, const struct vfm_session_driver *d,
			 const uint8_t *buf, size_t len, struct vfm_err *err)
{
	const uint8_t *record = s->len ? s->buf : buf;
	size_t have = s->len ? s->len : len;
	struct vfm_image_record h;
	size_t whole;
	int ret;

	if (s->ended)
		return vfm_fail(err, -EBADMSG, "%zu bytes behind the end of the image", len);
	if (have < VFM_IMAGE_HEADER)
		return (ssize_t)gather(s, VFM_IMAGE_HEADER, buf, len);
	h = vfm_image_header(record);
	ret = check_header(s, d, &h, err);
	if (ret)
		return ret;
	whole = VFM_IMAGE_HEADER + h.length;
	if (have < whole)
		return (ssize_t)gather(s, whole, buf, len);
	ret = take_record(s, d, record, &h, err);
	if (ret)
		return ret;
	if (!s->len)
		return (ssize_t)whole;
	s->len = 0;
	return 0;
}

static const char *why(const struct vfm_load_session *s)
{
	return s->why.msg[0] ? s->why.msg : strerror(-s->failed);
}

int vfm_load_write(struct vfm_load_session *s, const struct vfm_session_driver *d, const void *buf,
		   size_t len, struct vfm_err *err)
{
	const uint8_t *p = buf;

	if (s->failed)
		return vfm_fail(err, s->failed, "write data: refused already: %s", why(s));
	/* A gathered record that is complete uses no further byte, so go on at len 0 too. */
	while (len || s->len >= VFM_IMAGE_HEADER) {
		size_t before = s->len;
		ssize_t n = load_some(s, d, p, len, &s->why);

		if (n < 0) {
			s->failed = (int)n;
			return vfm_fail(err, s->failed, "write data: %s", why(s));
		}
		p += n;
		len -= (size_t)n;
		s->bytes += (uint64_t)n;
		if (!n && s->len == before)
			break;
	}
	return 0;
}

int vfm_load_prove(struct vfm_load_session *s, const struct vfm_session_driver *d,
		   struct vfm_err *err)
{
	int ret;

	if (s->failed)
		return vfm_fail(err, -EBADMSG, "the image was refused: %s", why(s));
	if (!s->ended)
		return vfm_fail(err, -EBADMSG,
				"image is truncated: %" PRIu64 " bytes, %" PRIu64
				" whole records, no end",
				s->bytes, s->number);
	if (s->proven || !d->driver->load_end)
		return 0;
	ret = vfm_driver_result(d->driver->load_end(d->priv, &s->why), &s->why);
	s->proven = !ret;
	if (!ret)
		return 0;
	s->failed = ret;
	return vfm_fail(err, ret, "%s", why(s));
}
