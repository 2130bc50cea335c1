// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The data session, in the order that the specification gives to the accesses. Saving:
 * pending_bytes, data_offset, data_size, the data, and pending_bytes again, which tells the
 * device that the chunk has been taken; so it is never read while a chunk is partly
 * read. Loading: data_offset, the data, data_size.
 *
 * What was a transaction of the source's must be one here. As long as no end is seen
 * there is no telling, so a full section is committed only when more bytes come.
 *
 * A session that has failed once answers with the same error until it ends: what the
 * device makes of an access after that is unknown.
 */

#include "region/back.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* Most of a chunk that is kept: no section is that large, but one can say that it is. */
#define KEPT_MAX VFM_SECTION_SIZE_MAX

void vfm_back_end_session(struct vfm_back *b)
{
	free(b->save.kept);
	b->save = (struct vfm_back_save){ 0 };
	b->load = (struct vfm_back_load){ 0 };
}

int vfm_back_kill_session(struct vfm_back *b, int ret, const struct vfm_err *why)
{
	vfm_back_end_session(b);
	b->save.dead = *why;
	b->save.dead.code = ret;
	b->load.dead = b->save.dead;
	return ret;
}

static int repeat(const struct vfm_err *dead, struct vfm_err *err)
{
	return dead->code ? vfm_fail(err, dead->code, "failed already: %s", dead->msg) : 0;
}

static int wrong_state(const struct vfm_back *b, const char *what, const char *legal,
		       struct vfm_err *err)
{
	return vfm_fail(err, -EINVAL, "%s in %s: legal in %s", what, vfm_state_name(b->state),
			legal);
}

/* ---- saving --------------------------------------------------------------------- */

static void count_pending(struct vfm_back *b, uint64_t pending)
{
	struct vfm_back_save *s = &b->save;

	s->pending = pending;
	s->since = 0;
	if (pending && !s->has_initial) {
		s->has_initial = true;
		s->initial = pending;
	}
	if (!pending)
		s->initial = 0;
	s->finished = !pending && b->state == VFM_STATE_STOP_COPY;
}

/* Begins an iteration, and acknowledges the chunk before. */
static int ask_pending(struct vfm_back *b, struct vfm_err *err)
{
	uint64_t pending;
	int ret = vfm_back_get_register(b, VFM_V1_PENDING_BYTES, &pending, err);

	if (ret)
		return vfm_back_kill_session(b, ret, err);
	count_pending(b, pending);
	return 0;
}

static int check_chunk(const struct vfm_back *b, uint64_t offset, uint64_t size,
		       struct vfm_err *err)
{
	if (!size)
		return vfm_fail(err, -EPROTO, "pending_bytes is %" PRIu64 " and data_size is 0",
				b->save.pending);
	if (offset < VFM_V1_REGISTERS_END || !vfm_range_inside(offset, size, b->size))
		return vfm_fail(err, -EPROTO,
				"data_offset 0x%" PRIx64 " with data_size 0x%" PRIx64
				" is not in the data section, 0x%x to 0x%" PRIx64,
				offset, size, VFM_V1_REGISTERS_END, b->size);
	return 0;
}

/* Return: 0: there is a chunk or the end was reached; -ENOMSG: nothing now; an error. */
static int next_chunk(struct vfm_back *b, struct vfm_err *err)
{
	uint64_t offset, size;
	int ret = ask_pending(b, err);

	if (ret || b->save.finished)
		return ret;
	if (!b->save.pending)
		return -ENOMSG;
	ret = vfm_back_get_register(b, VFM_V1_DATA_OFFSET, &offset, err);
	if (!ret)
		ret = vfm_back_get_register(b, VFM_V1_DATA_SIZE, &size, err);
	if (!ret && !size && b->state == VFM_STATE_PRE_COPY)
		return -ENOMSG;
	if (!ret)
		ret = check_chunk(b, offset, size, err);
	if (ret)
		return vfm_back_kill_session(b, ret, err);
	b->save.offset = offset;
	b->save.rest = size;
	return 0;
}

static void took(struct vfm_back_save *s, size_t n)
{
	s->offset += n;
	s->rest -= n;
	s->initial -= VFM_MIN(s->initial, n);
	if (!s->kept) {
		s->since += n;
		return;
	}
	s->kept_at += n;
	if (s->rest)
		return;
	free(s->kept);
	s->kept = NULL;
	s->kept_at = 0;
}

/* Some of the chunk that is partly read. */
static ssize_t read_some(struct vfm_back *b, void *buf, size_t len, struct vfm_err *err)
{
	struct vfm_back_save *s = &b->save;
	size_t n = (size_t)VFM_MIN(s->rest, VFM_MIN(len, (size_t)SSIZE_MAX));
	int ret = 0;

	if (s->kept)
		memcpy(buf, s->kept + s->kept_at, n);
	else
		ret = vfm_back_read_bytes(b, s->offset, buf, n, err);
	if (ret)
		return vfm_back_kill_session(b, ret, err);
	took(s, n);
	return (ssize_t)n;
}

static ssize_t read_session(struct vfm_back *b, void *buf, size_t len, bool *end,
			    struct vfm_err *err)
{
	ssize_t n = repeat(&b->save.dead, err);

	if (n || b->save.finished)
		return n;
	if (!b->save.rest)
		n = next_chunk(b, err);
	if (n || b->save.finished)
		return n;
	n = read_some(b, buf, len, err);
	*end = n > 0 && !b->save.rest;
	return n;
}

ssize_t vfm_back_read_chunk(struct vfm_device *dev, void *buf, size_t len, bool *end,
			    struct vfm_err *err)
{
	struct vfm_back *b = vfm_back_of(dev);
	ssize_t n = vfm_back_need_state(b, err);

	*end = false;
	if (!n && !vfm_state_is_saving(b->state))
		n = wrong_state(b, "read data", "PRE_COPY and STOP_COPY", err);
	if (n)
		return n;
	n = read_session(b, buf, len, end, err);
	if (n < 0 && n != -ENOMSG)
		vfm_fail_prefix(err, "read data");
	return n;
}

ssize_t vfm_back_read_data(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	bool end;

	return vfm_back_read_chunk(dev, buf, len, &end, err);
}

static int keep_rest(struct vfm_back *b, struct vfm_err *err)
{
	struct vfm_back_save *s = &b->save;
	uint8_t *kept;
	int ret;

	kept = s->rest <= KEPT_MAX ? malloc((size_t)s->rest) : NULL;
	if (!kept)
		return vfm_fail(err, -ENOMEM,
				"the %" PRIu64 " bytes that are unread of a chunk cannot be kept",
				s->rest);
	ret = vfm_back_read_bytes(b, s->offset, kept, (size_t)s->rest, err);
	if (ret) {
		free(kept);
		return vfm_back_kill_session(b, ret, err);
	}
	s->kept = kept;
	return 0;
}

int vfm_back_settle_chunk(struct vfm_back *b, struct vfm_err *err)
{
	struct vfm_back_save *s = &b->save;
	int ret = 0;

	if (s->kept || s->dead.code || (!s->rest && !s->since))
		return 0; /* it has been, or there is none */
	if (s->rest)
		ret = keep_rest(b, err);
	return ret ? ret : ask_pending(b, err);
}

/* What is to be read: of the device, or of a chunk that is in hand and must not be given up. */
static int ask_left(struct vfm_back *b, uint64_t *left, struct vfm_err *err)
{
	struct vfm_back_save *s = &b->save;
	int ret = repeat(&s->dead, err);

	if (!ret && !s->rest && !s->finished)
		ret = ask_pending(b, err);
	*left = s->pending - VFM_MIN(s->pending, s->since);
	/* What is kept has been acknowledged, and is not pending any more. */
	if (s->kept)
		*left += VFM_MIN(s->rest, UINT64_MAX - *left);
	*left = VFM_MAX(s->rest, *left);
	s->initial = VFM_MIN(s->initial, *left);
	return ret;
}

int vfm_back_get_precopy_info(struct vfm_device *dev, struct vfm_precopy_info *info,
			      struct vfm_err *err)
{
	struct vfm_back *b = vfm_back_of(dev);
	int ret = vfm_back_need_state(b, err);
	uint64_t left;

	if (!ret && b->state != VFM_STATE_PRE_COPY)
		return wrong_state(b, "get pre-copy info", "PRE_COPY", err);
	if (!ret)
		ret = ask_left(b, &left, err);
	if (ret) {
		vfm_fail_prefix(err, "ask what is left in pre-copy");
		return ret;
	}
	*info = (struct vfm_precopy_info){
		.initial_bytes = b->save.initial,
		.dirty_bytes = left - b->save.initial,
	};
	return 0;
}

int vfm_back_get_data_size(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err)
{
	struct vfm_back *b = vfm_back_of(dev);
	int ret = vfm_back_need_state(b, err);
	uint64_t left;

	if (!ret && !vfm_state_is_saving(b->state))
		return vfm_fail(err, -ENOTTY,
				"the device tells what is pending only while it saves");
	if (!ret)
		ret = ask_left(b, &left, err);
	if (ret)
		vfm_fail_prefix(err, "ask for the size of the data");
	else
		*bytes = VFM_MAX(left, UINT64_C(1));
	return ret;
}

/* ---- loading -------------------------------------------------------------------- */

/* Begin a transaction, unless there is one. */
static int begin(struct vfm_back *b, struct vfm_err *err)
{
	struct vfm_back_load *l = &b->load;
	uint64_t offset;
	int ret;

	if (l->begun)
		return 0;
	ret = vfm_back_get_register(b, VFM_V1_DATA_OFFSET, &offset, err);
	if (ret)
		return ret;
	if (offset < VFM_V1_REGISTERS_END || offset >= b->size)
		return vfm_fail(err, -EPROTO,
				"data_offset 0x%" PRIx64
				" is not in the data section, 0x%x to 0x%" PRIx64,
				offset, VFM_V1_REGISTERS_END, b->size);
	l->begun = true;
	l->offset = offset;
	l->room = b->size - offset;
	l->fill = 0;
	return 0;
}

/* The device has used the data when this returns. */
static int commit(struct vfm_back *b, struct vfm_err *err)
{
	struct vfm_back_load *l = &b->load;

	if (!l->begun)
		return 0;
	l->begun = false;
	return vfm_back_put_size(b, l->fill, err);
}

/* The last @len bytes of a chunk are to go where the ones before are. */
static int check_fits(const struct vfm_back_load *l, size_t len, struct vfm_err *err)
{
	if (!l->split && len <= l->room - l->fill)
		return 0;
	return vfm_fail(err, -EMSGSIZE,
			"a chunk of the source is larger than the %" PRIu64
			" bytes that the data section takes at once",
			l->room);
}

/* As many of the bytes as go into the section; a full one is given to the device first. */
static ssize_t write_some(struct vfm_back *b, const uint8_t *buf, size_t len, struct vfm_err *err)
{
	struct vfm_back_load *l = &b->load;
	int ret = 0;
	size_t n;

	if (l->begun && l->fill == l->room) {
		ret = commit(b, err);
		l->split = true;
	}
	if (!ret)
		ret = begin(b, err);
	if (ret)
		return ret;
	n = (size_t)VFM_MIN(l->room - l->fill, VFM_MIN(len, (size_t)SSIZE_MAX));
	ret = vfm_back_write_bytes(b, l->offset + l->fill, buf, n, err);
	l->fill += n;
	return ret ? ret : (ssize_t)n;
}

static int write_session(struct vfm_back *b, const uint8_t *buf, size_t len, bool end,
			 struct vfm_err *err)
{
	int ret = 0;

	if (end && len)
		ret = begin(b, err);
	if (end && !ret)
		ret = check_fits(&b->load, len, err);
	while (len && !ret) {
		ssize_t n = write_some(b, buf, len, err);

		if (n < 0)
			return (int)n;
		buf += n;
		len -= (size_t)n;
	}
	return ret || !end ? ret : commit(b, err);
}

int vfm_back_write_chunk(struct vfm_device *dev, const void *buf, size_t len, bool end,
			 struct vfm_err *err)
{
	struct vfm_back *b = vfm_back_of(dev);
	int ret = vfm_back_need_state(b, err);

	if (!ret && b->state != VFM_STATE_RESUMING)
		ret = wrong_state(b, "write data", "RESUMING", err);
	if (ret)
		return ret;
	ret = repeat(&b->load.dead, err);
	if (!ret) {
		ret = write_session(b, buf, len, end, err);
		if (ret)
			vfm_back_kill_session(b, ret, err);
	}
	if (ret)
		vfm_fail_prefix(err, "write data");
	return ret;
}

int vfm_back_write_data(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err)
{
	return vfm_back_write_chunk(dev, buf, len, false, err);
}

int vfm_back_flush(struct vfm_back *b, struct vfm_err *err)
{
	int ret = repeat(&b->load.dead, err);

	if (ret)
		return ret;
	ret = commit(b, err);
	return ret ? vfm_back_kill_session(b, ret, err) : 0;
}
