// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The iterations of saving and resuming, and the section between them.
 *
 * Saving: a chunk is read from the device straight into the section when the user asks
 * what is pending or where the data is, and goes away with the first question for
 * what is pending after its size was told: that is how v1 acknowledges. A chunk that was
 * not handed out yet is still the device's data, and whoever reads with the semantics of
 * v2 gets it first.
 *
 * Resuming: the section may be memory that the user changes while we read it. So a
 * device that may look twice gets a copy, made once.
 *
 * An error while a chunk is filled drops what the fill had: the session is lost in any
 * case, and says so at every question until it ends.
 */

#include "region/front.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/util.h"

void vfm_front_drop(struct vfm_front *f)
{
	f->session = (struct vfm_front_session){ 0 };
}

static void drop_chunk(struct vfm_front_session *s)
{
	s->len = s->pos = 0;
	s->ends = s->handed = false;
}

static uint64_t add(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* Bytes that were staged for the region, and are the device's to give all the same. */
static size_t unread(const struct vfm_front_session *s)
{
	return s->handed ? 0 : s->len - s->pos;
}

static bool is_saving(const struct vfm_front *f)
{
	return vfm_state_is_saving(f->state);
}

/* ---- errors that stay ------------------------------------------------------------ */

static int fail_again(const struct vfm_front_session *s, struct vfm_err *err)
{
	return vfm_fail(err, s->failed, "%s", s->why.msg[0] ? s->why.msg : strerror(-s->failed));
}

static void lose(struct vfm_front_session *s, int code)
{
	drop_chunk(s);
	s->failed = code;
}

/* ---- saving ----------------------------------------------------------------------- */

/* No byte came: whether that is right in the state that we know of. */
static void note_no_data(struct vfm_front *f, ssize_t n)
{
	struct vfm_front_session *s = &f->session;
	bool final = f->state == VFM_STATE_STOP_COPY;

	if (n == 0)
		s->finished = final;
	else if (n != -ENOMSG)
		lose(s, (int)n);
	else if (final && !s->len)
		lose(s, vfm_fail(&s->why, -EPROTO,
				 "the device says \"nothing now\" in STOP_COPY, where only an end "
				 "is one"));
}

/* Until the section is full, a chunk of the device ends, or there is nothing now. */
static void fill(struct vfm_front *f)
{
	struct vfm_front_session *s = &f->session;
	bool began_before = s->inside;

	s->why.msg[0] = '\0';
	while (s->len < f->section.size && !s->ends) {
		ssize_t n =
			vfm_pass_read_chunk(&f->pass.dev, f->section.mem + s->len,
					    (size_t)f->section.size - s->len, &s->ends, &s->why);

		if (n <= 0) {
			note_no_data(f, n);
			return;
		}
		s->len += (size_t)n;
		s->inside = !s->ends;
	}
	if (s->ends && began_before)
		lose(s, vfm_fail(&s->why, -EMSGSIZE,
				 "a chunk of the device began before the %" PRIu64
				 " bytes of the data section; it must fit there whole",
				 f->section.size));
}

/* What was read through v2 meanwhile is gone; the region shows the rest from its start. */
static void settle(struct vfm_front *f)
{
	struct vfm_front_session *s = &f->session;

	if (!s->pos)
		return;
	s->len -= s->pos;
	memmove(f->section.mem, f->section.mem + s->pos, s->len);
	s->pos = 0;
}

/* See to it that there is a chunk, if there can be one. */
static int stage(struct vfm_front *f, struct vfm_err *err)
{
	struct vfm_front_session *s = &f->session;

	settle(f);
	if (!s->len && !s->finished && !s->failed)
		fill(f);
	return s->failed ? fail_again(s, err) : 0;
}

/* What the device has beside the chunk, as far as it can tell. */
static int count_more(struct vfm_front *f, uint64_t *more, struct vfm_err *err)
{
	struct vfm_precopy_info info = { 0 };
	int ret;

	*more = 0;
	if (f->session.finished)
		return 0;
	if (f->state == VFM_STATE_STOP_COPY)
		ret = vfm_pass_get_data_size(&f->pass.dev, more, err);
	else
		ret = vfm_pass_get_precopy_info(&f->pass.dev, &info, err);
	if (ret)
		return ret == -ENOTTY ? 0 : ret;
	*more = add(*more, add(info.initial_bytes, info.dirty_bytes));
	return 0;
}

int vfm_front_read_pending(struct vfm_front *f, uint64_t *value, struct vfm_err *err)
{
	uint64_t more;
	int ret = vfm_front_know(f, err);

	*value = 0;
	if (ret || !is_saving(f))
		return ret;
	if (f->session.handed)
		drop_chunk(&f->session);
	ret = stage(f, err);
	if (ret || !f->session.len)
		return ret;
	ret = count_more(f, &more, err);
	if (!ret)
		*value = add(f->session.len, more);
	return ret;
}

int vfm_front_read_data_offset(struct vfm_front *f, uint64_t *value, struct vfm_err *err)
{
	int ret = vfm_front_know(f, err);

	*value = f->section.offset;
	return ret || !is_saving(f) ? ret : stage(f, err);
}

int vfm_front_read_data_size(struct vfm_front *f, uint64_t *value, struct vfm_err *err)
{
	int ret = vfm_front_know(f, err);

	*value = 0;
	if (ret || !is_saving(f))
		return ret;
	settle(f);
	*value = f->session.len;
	f->session.handed = f->session.len > 0;
	return 0;
}

int vfm_front_find_data(struct vfm_front *f, uint64_t at, size_t len, const void **data,
			struct vfm_err *err)
{
	int ret = vfm_front_know(f, err);

	if (ret)
		return ret;
	settle(f);
	if (!is_saving(f) || !vfm_range_inside(at, len, f->session.len))
		return vfm_fail(err, -EINVAL,
				"read %zu bytes at 0x%" PRIx64
				" of the data section in %s: a chunk of %zu is there",
				len, at, vfm_v1_state_name(vfm_front_state(f)), f->session.len);
	*data = f->section.mem + at;
	return 0;
}

int vfm_front_read_section(struct vfm_front *f, uint64_t at, void *buf, size_t len,
			   struct vfm_err *err)
{
	const void *data = NULL;
	int ret = vfm_front_find_data(f, at, len, &data, err);

	if (!ret)
		memcpy(buf, data, len);
	return ret;
}

/* ---- resuming --------------------------------------------------------------------- */

int vfm_front_find_room(struct vfm_front *f, uint64_t at, size_t len, void **room,
			struct vfm_err *err)
{
	int ret = vfm_front_know(f, err);

	if (ret)
		return ret;
	if (f->state != VFM_STATE_RESUMING)
		return vfm_fail(err, -EINVAL,
				"write %zu bytes at 0x%" PRIx64
				" of the data section in %s: legal in RESUMING",
				len, at, vfm_v1_state_name(vfm_front_state(f)));
	*room = f->section.mem + at;
	return 0;
}

int vfm_front_write_section(struct vfm_front *f, uint64_t at, const void *buf, size_t len,
			    struct vfm_err *err)
{
	void *room = NULL;
	int ret = vfm_front_find_room(f, at, len, &room, err);

	if (!ret)
		memcpy(room, buf, len);
	return ret;
}

/* The first @len bytes of the section as one chunk. */
static int give_chunk(struct vfm_front *f, size_t len, struct vfm_err *err)
{
	struct vfm_device *dev = &f->pass.dev;
	size_t part;
	int ret = 0;

	if (!f->bounce)
		return vfm_pass_write_chunk(dev, f->section.mem, len, true, err);
	for (size_t done = 0; done < len && !ret; done += part) {
		part = VFM_MIN(len - done, VFM_FRONT_BOUNCE);
		memcpy(f->bounce, f->section.mem + done, part);
		ret = vfm_pass_write_chunk(dev, f->bounce, part, done + part == len, err);
	}
	return ret;
}

int vfm_front_write_data_size(struct vfm_front *f, uint64_t value, struct vfm_err *err)
{
	struct vfm_front_session *s = &f->session;
	int ret = vfm_front_know(f, err);

	if (ret)
		return ret;
	if (f->state != VFM_STATE_RESUMING)
		return vfm_fail(err, -EINVAL,
				"write data_size %" PRIu64 " in %s: legal in RESUMING", value,
				vfm_v1_state_name(vfm_front_state(f)));
	if (value > f->section.size)
		return vfm_fail(err, -EINVAL,
				"write data_size %" PRIu64 ": the data section has %" PRIu64
				" bytes",
				value, f->section.size);
	if (!value) /* clients in the field do that, and mean nothing by it */
		return 0;
	if (s->failed)
		return fail_again(s, err);
	s->failed = give_chunk(f, (size_t)value, err);
	if (s->failed)
		s->why = *err;
	return s->failed;
}

/* ---- the same session with the semantics of v2 -------------------------------------- */

static size_t take(struct vfm_front *f, void *buf, size_t len, bool *end)
{
	struct vfm_front_session *s = &f->session;
	size_t n = VFM_MIN(len, unread(s));

	memcpy(buf, f->section.mem + s->pos, n);
	s->pos += n;
	*end = s->ends && s->pos == s->len;
	if (s->pos == s->len)
		drop_chunk(s);
	return n;
}

ssize_t vfm_front_read_chunk(struct vfm_device *dev, void *buf, size_t len, bool *end,
			     struct vfm_err *err)
{
	struct vfm_front *f = vfm_front_of(dev);
	ssize_t n = vfm_front_know(f, err);

	*end = false;
	if (n)
		return n;
	if (is_saving(f) && f->session.failed)
		return fail_again(&f->session, err);
	if (unread(&f->session))
		return (ssize_t)take(f, buf, len, end);
	n = vfm_pass_read_chunk(dev, buf, len, end, err);
	if (n > 0)
		f->session.inside = !*end;
	return n;
}

ssize_t vfm_front_read_data(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	bool end;

	return vfm_front_read_chunk(dev, buf, len, &end, err);
}

int vfm_front_get_precopy_info(struct vfm_device *dev, struct vfm_precopy_info *info,
			       struct vfm_err *err)
{
	struct vfm_front *f = vfm_front_of(dev);
	int ret = vfm_front_know(f, err);

	if (!ret)
		ret = vfm_pass_get_precopy_info(dev, info, err);
	if (!ret)
		info->dirty_bytes = add(info->dirty_bytes, unread(&f->session));
	return ret;
}

int vfm_front_get_data_size(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err)
{
	struct vfm_front *f = vfm_front_of(dev);
	int ret = vfm_front_know(f, err);

	if (!ret)
		ret = vfm_pass_get_data_size(dev, bytes, err);
	if (!ret)
		*bytes = add(*bytes, unread(&f->session));
	return ret;
}
