// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The header of a journal. Version 2 is written; version 1, one device in a header of
 * one size, is read.
 *
 * What surprises: the fixed part has a checksum of its own, because it has the size of
 * the whole: a size that was damaged must not make a file look as if it ended in its
 * header, for such a file is removed. Every later version keeps that part, so that one
 * which is too new is told from one which is damaged.
 */

#include "engine/journal_head.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/cleanup.h"
#include "base/util.h"

#define MAGIC "\x89VFJ\r\n\x1a\n"
#define MAGIC_SIZE 8u
#define SUM_SIZE 8u
#define VERSION 2u
#define V1_SIZE 2048u
#define ATTRIBUTE_SIZE 8u /* of its type and length */
#define ALIGN 8u

/* Of a type: whoever does not know it may go on. */
#define OPTIONAL (UINT32_C(1) << 31)

#define ATTRIBUTE_URI 1u
#define ATTRIBUTE_STORE 2u
#define ATTRIBUTE_KEY 3u
#define ATTRIBUTE_STORE_TLS (4u | OPTIONAL)
#define ATTRIBUTE_STORE_NODE (5u | OPTIONAL)

/* What a head that was read points to. */
struct texts {
	const char *uris[VFM_JOURNAL_DEVICES_MAX];
	size_t used;
	char bytes[];
};

/* ---- attributes that are there once at most --------------------------------- */

/* Room counts the terminating zero. */
static const struct {
	uint32_t type;
	size_t offset; /* of a text in struct vfm_journal_head */
	size_t room;
	const char *what;
} single[] = {
	{ ATTRIBUTE_STORE, offsetof(struct vfm_journal_head, store), VFM_JOURNAL_STORE,
	  "the address of the store" },
	{ ATTRIBUTE_KEY, offsetof(struct vfm_journal_head, key), VFM_JOURNAL_KEY,
	  "the key in the store" },
	{ ATTRIBUTE_STORE_TLS, offsetof(struct vfm_journal_head, store_tls), VFM_JOURNAL_STORE,
	  "the folder of certificates for the store" },
	{ ATTRIBUTE_STORE_NODE, offsetof(struct vfm_journal_head, store_node), VFM_JOURNAL_NODE,
	  "our name in the store" },
};

static const char **text_in(struct vfm_journal_head *head, size_t i)
{
	return (const char **)((char *)head + single[i].offset);
}

static const char *text_of(const struct vfm_journal_head *head, size_t i)
{
	return *(const char *const *)((const char *)head + single[i].offset);
}

/* ---- writing ------------------------------------------------------------------ */

static size_t padded(size_t len)
{
	return (len + ALIGN - 1) / ALIGN * ALIGN;
}

static int check_text(const char *text, size_t room, const char *what, struct vfm_err *err)
{
	if (!text[0])
		return vfm_fail(err, -EINVAL, "%s is empty", what);
	if (strlen(text) >= room)
		return vfm_fail(err, -ENAMETOOLONG,
				"%s is too long for a journal, which takes %zu bytes", what,
				room - 1);
	return 0;
}

static int check_head(const struct vfm_journal_head *head, struct vfm_err *err)
{
	int ret = 0;

	if (!head->nr_uris || head->nr_uris > VFM_JOURNAL_DEVICES_MAX)
		return vfm_fail(err, -EINVAL, "a journal of %zu devices, which takes 1 to %u",
				head->nr_uris, VFM_JOURNAL_DEVICES_MAX);
	for (size_t i = 0; !ret && i < head->nr_uris; i++)
		ret = check_text(head->uris[i], VFM_JOURNAL_URI, "the name of the device", err);
	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(single); i++)
		if (text_of(head, i))
			ret = check_text(text_of(head, i), single[i].room, single[i].what, err);
	return ret;
}

static size_t size_of_text(const char *text)
{
	return text ? ATTRIBUTE_SIZE + padded(strlen(text)) : 0;
}

static size_t size_of(const struct vfm_journal_head *head)
{
	size_t size = VFM_JOURNAL_FIXED + SUM_SIZE;

	for (size_t i = 0; i < head->nr_uris; i++)
		size += size_of_text(head->uris[i]);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(single); i++)
		size += size_of_text(text_of(head, i));
	return size;
}

static void write_text(struct vfm_writer *w, uint32_t type, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	if (!text)
		return;
	vfm_write_le32(w, type);
	vfm_write_le32(w, (uint32_t)len);
	vfm_write_bytes(w, text, len);
	vfm_write_zeros(w, padded(len) - len);
}

static void write_sum(struct vfm_writer *w, const uint8_t *bytes, uint64_t *sum)
{
	*sum = vfm_checksum(bytes, w->len, 0);
	vfm_write_le64(w, *sum);
}

int vfm_journal_head_write(uint8_t **out, size_t *size, uint64_t *sum,
			   const struct vfm_journal_head *head, struct vfm_err *err)
{
	struct vfm_statement who = head->who;
	struct vfm_writer w;
	int ret = check_head(head, err);

	if (ret)
		return ret;
	*size = size_of(head);
	*out = malloc(*size);
	if (!*out)
		return vfm_fail(err, -ENOMEM, "journal: no memory");
	w = vfm_writer_of(*out, *size);
	who.state = VFM_HANDOVER_UNKNOWN;
	vfm_write_bytes(&w, MAGIC, MAGIC_SIZE);
	vfm_write_le32(&w, VERSION);
	vfm_write_le32(&w, (uint32_t)*size);
	vfm_statement_write(&w, &who);
	vfm_write_bytes(&w, head->peer, sizeof(head->peer));
	write_sum(&w, *out, sum);
	for (size_t i = 0; i < head->nr_uris; i++)
		write_text(&w, ATTRIBUTE_URI, head->uris[i]);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(single); i++)
		write_text(&w, single[i].type, text_of(head, i));
	write_sum(&w, *out, sum);
	return 0;
}

/* ---- reading ------------------------------------------------------------------ */

/* A header that is being read. */
struct parse {
	struct vfm_journal_head *head;
	struct texts *texts;
	const uint8_t *bytes;
	size_t size; /* of what there is */
	const char *name;
	uint64_t sum;
};

static int damaged(const struct parse *p, size_t offset, const char *what, struct vfm_err *err)
{
	return vfm_fail(err, -EBADMSG, "journal %s is damaged at %zu: %s", p->name, offset, what);
}

static int unfinished(const struct parse *p, struct vfm_err *err)
{
	return vfm_fail(err, -ENODATA, "journal %s ends in its header", p->name);
}

/* Whether the last bytes of the first @size are their checksum. */
static bool is_sealed(struct parse *p, size_t size)
{
	struct vfm_reader r = vfm_reader_of(p->bytes + size - SUM_SIZE, SUM_SIZE);

	p->sum = vfm_checksum(p->bytes, size - SUM_SIZE, 0);
	return vfm_read_le64(&r) == p->sum;
}

/* What a crash leaves of a write that was not finished: there, but for its end. */
static bool is_torn(const struct parse *p, size_t size)
{
	for (size_t i = size - SUM_SIZE; i < size; i++)
		if (p->bytes[i])
			return false;
	return p->size == size;
}

static int check_seal(struct parse *p, size_t size, struct vfm_err *err)
{
	if (p->size < size)
		return unfinished(p, err);
	if (is_sealed(p, size))
		return 0;
	return is_torn(p, size) ? unfinished(p, err)
				: damaged(p, 0, "its header does not agree with its checksum", err);
}

/* A copy of @len bytes, which must be a text; NULL: they are none. */
static const char *keep_text(struct parse *p, const uint8_t *bytes, size_t len)
{
	char *text = p->texts->bytes + p->texts->used;

	if (!bytes || !len || memchr(bytes, 0, len))
		return NULL;
	memcpy(text, bytes, len);
	text[len] = '\0';
	p->texts->used += len + 1;
	return text;
}

static int make_texts(struct parse *p, size_t size, struct vfm_err *err)
{
	p->texts = calloc(1, sizeof(*p->texts) + size);
	if (!p->texts)
		return vfm_fail(err, -ENOMEM, "journal: no memory");
	p->head->uris = p->texts->uris;
	return 0;
}

static int read_peer(struct parse *p, struct vfm_reader *r, struct vfm_err *err)
{
	vfm_read_copy(r, p->head->peer, sizeof(p->head->peer));
	if (memchr(p->head->peer, 0, sizeof(p->head->peer)))
		return 0;
	return damaged(p, 16, "the name of its peer has no end", err);
}

static int read_v1(struct parse *p, struct vfm_reader *r, struct vfm_err *err)
{
	const uint8_t *uri = vfm_read_bytes(r, VFM_JOURNAL_URI);
	int ret = make_texts(p, V1_SIZE, err);

	if (ret)
		return ret;
	p->texts->uris[0] = keep_text(p, uri, strnlen((const char *)uri, VFM_JOURNAL_URI));
	if (!p->texts->uris[0] || strlen(p->texts->uris[0]) == VFM_JOURNAL_URI)
		return damaged(p, 48, "that is no name of a device", err);
	p->head->nr_uris = 1;
	return read_peer(p, r, err);
}

static int take_uri(struct parse *p, const uint8_t *bytes, size_t len)
{
	size_t *n = &p->head->nr_uris;

	if (*n == VFM_JOURNAL_DEVICES_MAX || len >= VFM_JOURNAL_URI)
		return -EBADMSG;
	p->texts->uris[*n] = keep_text(p, bytes, len);
	return p->texts->uris[(*n)++] ? 0 : -EBADMSG;
}

static int take_single(struct parse *p, size_t i, const uint8_t *bytes, size_t len)
{
	const char **text = text_in(p->head, i);

	if (*text || len >= single[i].room)
		return -EBADMSG;
	*text = keep_text(p, bytes, len);
	return *text ? 0 : -EBADMSG;
}

static int take_attribute(struct parse *p, uint32_t type, const uint8_t *bytes, size_t len,
			  struct vfm_err *err)
{
	size_t offset = (size_t)(bytes - p->bytes) - ATTRIBUTE_SIZE;
	int ret = -ENOTSUP;

	if (type == ATTRIBUTE_URI)
		ret = take_uri(p, bytes, len);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(single); i++)
		if (type == single[i].type)
			ret = take_single(p, i, bytes, len);
	if (ret == -EBADMSG)
		return damaged(p, offset, "an attribute that cannot stand there", err);
	if (ret && !(type & OPTIONAL))
		return vfm_fail(err, ret,
				"journal %s has an attribute of type %u, which is not known here",
				p->name, type);
	return 0;
}

static int read_attributes(struct parse *p, struct vfm_reader *r, struct vfm_err *err)
{
	while (r->left) {
		size_t offset = (size_t)(r->p - p->bytes);
		uint32_t type = vfm_read_le32(r);
		uint32_t len = vfm_read_le32(r);
		const uint8_t *bytes = vfm_read_bytes(r, len);
		int ret;

		vfm_read_bytes(r, padded(len) - len);
		if (!vfm_reader_ok(r))
			return damaged(p, offset, "an attribute has no end", err);
		ret = take_attribute(p, type, bytes, len, err);
		if (ret)
			return ret;
	}
	if (!p->head->nr_uris)
		return damaged(p, 16, "it names no device", err);
	return !p->head->store == !p->head->key
		       ? 0
		       : damaged(p, 16, "it has a store without a key, or a key alone", err);
}

static int read_v2(struct parse *p, struct vfm_reader *r, size_t size, struct vfm_err *err)
{
	int ret = make_texts(p, size, err);

	if (!ret)
		ret = read_peer(p, r, err);
	if (ret)
		return ret;
	*r = vfm_reader_of(p->bytes + VFM_JOURNAL_FIXED, size - VFM_JOURNAL_FIXED - SUM_SIZE);
	return read_attributes(p, r, err);
}

/* Which version it is, and how large: only what its checksum says is believed. */
static int check_version(struct parse *p, uint32_t *version, uint32_t *size, struct vfm_err *err)
{
	struct vfm_reader r = vfm_reader_of(p->bytes + MAGIC_SIZE, 2 * sizeof(uint32_t));
	bool ours = !memcmp(p->bytes, MAGIC, MAGIC_SIZE);
	int ret;

	*version = vfm_read_le32(&r);
	*size = vfm_read_le32(&r);
	if (ours && *version == 1 && *size == V1_SIZE)
		return check_seal(p, V1_SIZE, err);
	ret = check_seal(p, VFM_JOURNAL_FIXED, err);
	if (ret)
		return ret;
	if (!ours || *version < VERSION)
		return damaged(p, 0, "that is no journal", err);
	if (*version > VERSION)
		return vfm_fail(err, -ENOTSUP, "journal %s has version %u, this one reads %u",
				p->name, *version, VERSION);
	if (*size % ALIGN || *size < VFM_JOURNAL_FIXED + SUM_SIZE || *size > VFM_JOURNAL_HEAD_MAX)
		return damaged(p, 12, "a header cannot be so large", err);
	/* without a record nothing has begun, whatever the pages of the header hold */
	if (p->size < *size || (p->size == *size && !is_sealed(p, *size)))
		return unfinished(p, err);
	return check_seal(p, *size, err);
}

static int read_head(struct parse *p, size_t *used, struct vfm_err *err)
{
	struct vfm_reader r;
	uint32_t version, size;
	int ret;

	/* the smaller of the two */
	if (p->size < VFM_JOURNAL_FIXED)
		return unfinished(p, err);
	ret = check_version(p, &version, &size, err);
	if (ret)
		return ret;
	*used = size;
	r = vfm_reader_of(p->bytes + MAGIC_SIZE + 8, size - MAGIC_SIZE - 8 - SUM_SIZE);
	if (!vfm_statement_read(&r, &p->head->who))
		return damaged(p, 16, "that is no migration", err);
	return version == 1 ? read_v1(p, &r, err) : read_v2(p, &r, size, err);
}

int vfm_journal_head_read(struct vfm_journal_head *head, void **texts, size_t *used, uint64_t *sum,
			  const uint8_t *bytes, size_t size, const char *name, struct vfm_err *err)
{
	struct parse p = { .head = head, .bytes = bytes, .size = size, .name = name };
	int ret;

	memset(head, 0, sizeof(*head));
	ret = read_head(&p, used, err);
	if (ret) {
		free(p.texts);
		return ret;
	}
	*texts = p.texts;
	*sum = p.sum;
	return 0;
}
