// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Cursors over bytes that come from or go to the outside. Every access is
 * checked; the first one that does not fit makes the cursor bad, and a bad
 * reader gives zeros, a bad writer takes nothing. So a parser reads all fields
 * and asks once, with vfm_reader_ok().
 *
 * le: little endian, for streams and files. he: host endian, for the vfio-user
 * wire and kernel structures.
 */

#ifndef VFM_BASE_BYTES_H
#define VFM_BASE_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct vfm_reader {
	const uint8_t *p;
	size_t left;
	bool bad;
};

static inline struct vfm_reader vfm_reader_of(const void *buf, size_t len)
{
	return (struct vfm_reader){ .p = (const uint8_t *)buf, .left = len };
}

static inline bool vfm_reader_ok(const struct vfm_reader *r)
{
	return !r->bad;
}

/** vfm_read_bytes() - the next @len bytes in place, or NULL when there are fewer. */
static inline const uint8_t *vfm_read_bytes(struct vfm_reader *r, size_t len)
{
	const uint8_t *p = r->p;

	if (r->bad || len > r->left) {
		r->bad = true;
		return NULL;
	}
	if (len) /* an empty reader may have no address to add to */
		r->p += len;
	r->left -= len;
	return p;
}

/** vfm_read_copy() - the next @len bytes into @out; zeros when there are fewer. */
static inline void vfm_read_copy(struct vfm_reader *r, void *out, size_t len)
{
	const uint8_t *p = vfm_read_bytes(r, len);

	if (p && len)
		memcpy(out, p, len);
	else
		memset(out, 0, len);
}

static inline uint8_t vfm_read_u8(struct vfm_reader *r)
{
	uint8_t v;

	vfm_read_copy(r, &v, sizeof(v));
	return v;
}

#define VFM_READ_INT(name, bits, convert)                                                          \
	static inline uint##bits##_t name(struct vfm_reader *r)                                    \
	{                                                                                          \
		uint##bits##_t v;                                                                  \
                                                                                                   \
		vfm_read_copy(r, &v, sizeof(v));                                                   \
		return convert(v);                                                                 \
	}
#define VFM_AS_IS(v) (v)
VFM_READ_INT(vfm_read_le16, 16, le16toh)
VFM_READ_INT(vfm_read_le32, 32, le32toh)
VFM_READ_INT(vfm_read_le64, 64, le64toh)
VFM_READ_INT(vfm_read_he16, 16, VFM_AS_IS)
VFM_READ_INT(vfm_read_he32, 32, VFM_AS_IS)
VFM_READ_INT(vfm_read_he64, 64, VFM_AS_IS)
#undef VFM_READ_INT

struct vfm_writer {
	uint8_t *p;
	size_t left;
	size_t len; /* written so far */
	bool bad;
};

static inline struct vfm_writer vfm_writer_of(void *buf, size_t size)
{
	return (struct vfm_writer){ .p = (uint8_t *)buf, .left = size };
}

static inline bool vfm_writer_ok(const struct vfm_writer *w)
{
	return !w->bad;
}

/** vfm_write_space() - @len bytes to be filled in, or NULL when there is no room. */
static inline uint8_t *vfm_write_space(struct vfm_writer *w, size_t len)
{
	uint8_t *p = w->p;

	if (w->bad || len > w->left) {
		w->bad = true;
		return NULL;
	}
	if (len)
		w->p += len;
	w->left -= len;
	w->len += len;
	return p;
}

static inline void vfm_write_bytes(struct vfm_writer *w, const void *data, size_t len)
{
	uint8_t *p = vfm_write_space(w, len);

	if (p && len)
		memcpy(p, data, len);
}

static inline void vfm_write_zeros(struct vfm_writer *w, size_t len)
{
	uint8_t *p = vfm_write_space(w, len);

	if (p)
		memset(p, 0, len);
}

static inline void vfm_write_u8(struct vfm_writer *w, uint8_t v)
{
	vfm_write_bytes(w, &v, sizeof(v));
}

#define VFM_WRITE_INT(name, bits, convert)                                                         \
	static inline void name(struct vfm_writer *w, uint##bits##_t v)                            \
	{                                                                                          \
		uint##bits##_t wire = convert(v);                                                  \
                                                                                                   \
		vfm_write_bytes(w, &wire, sizeof(wire));                                           \
	}
VFM_WRITE_INT(vfm_write_le16, 16, htole16)
VFM_WRITE_INT(vfm_write_le32, 32, htole32)
VFM_WRITE_INT(vfm_write_le64, 64, htole64)
VFM_WRITE_INT(vfm_write_he16, 16, VFM_AS_IS)
VFM_WRITE_INT(vfm_write_he32, 32, VFM_AS_IS)
VFM_WRITE_INT(vfm_write_he64, 64, VFM_AS_IS)
#undef VFM_WRITE_INT
#undef VFM_AS_IS

#endif
