// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "model_impl.h"

static bool do_v2_set_state(struct model *m)
{
	enum vfm_state to = (enum vfm_state)model_pick(m, 9);
	int ret = model_know(m);
	bool asked = !ret;

	m->what = "set the state";
	if (asked)
		ret = model_will_set(m, to);
	if (!model_same(m, "result", vfm_device_set_state(m->dev, to, NULL), ret))
		return false;
	if (asked)
		model_was_set(m, to, ret);
	if (!ret)
		m->mask = 0;
	return true;
}

static bool do_v2_get_state(struct model *m)
{
	enum vfm_state state = VFM_STATE_ERROR;
	int ret = model_ask(m);

	m->what = "get the state";
	return model_same(m, "result", vfm_device_get_state(m->dev, &state, NULL), ret) &&
	       (ret || model_same(m, "state", state, m->state));
}

static size_t unread(const struct model *m)
{
	return m->handed ? 0 : m->len;
}

/* From the device itself: the bytes, or what it says instead. */
static ssize_t read_inner(struct model *m, size_t want, bool *end)
{
	const struct inner *in = m->in;
	size_t rest = model_first_piece(in), n = VFM_MIN(want, rest);

	if (in->fail[INNER_READ])
		return in->fail[INNER_READ];
	if (in->session_dead || !vfm_state_is_saving(in->state))
		return -EINVAL;
	if (!rest)
		return in->state == VFM_STATE_STOP_COPY ? 0 : -ENOMSG;
	if (in->max_read)
		n = VFM_MIN(n, in->max_read);
	*end = m->chunks && n == rest;
	m->cut = !*end;
	m->given += n;
	return (ssize_t)n;
}

static bool do_v2_read(struct model *m)
{
	size_t want = model_pick(m, 3) ? 1 + model_pick(m, 5000) : 1;
	bool want_end = false, end = false;
	uint64_t from = m->given;
	ssize_t ret = model_know(m);

	m->what = "read data";
	if (!ret && model_is_saving(m) && m->failed) {
		ret = m->failed;
	} else if (!ret && unread(m)) {
		ret = (ssize_t)VFM_MIN(want, m->len);
		from = m->from;
		m->from += (uint64_t)ret;
		m->len -= (size_t)ret;
		want_end = m->ends && !m->len;
		if (!m->len)
			model_drop_chunk(m);
	} else if (!ret) {
		from = m->given;
		ret = read_inner(m, want, &want_end);
	}
	if (model_pick(m, 2))
		return model_same(m, "result", vfm_device_read_data(m->dev, m->buf, want, NULL),
				  ret) &&
		       model_check_bytes(m, m->buf, ret > 0 ? (size_t)ret : 0, from);
	return model_same(m, "result", vfm_device_read_chunk(m->dev, m->buf, want, &end, NULL),
			  ret) &&
	       model_same(m, "end", end, want_end) &&
	       model_check_bytes(m, m->buf, ret > 0 ? (size_t)ret : 0, from);
}

static bool do_v2_write(struct model *m)
{
	struct inner *in = m->in;
	int ret = in->fail[INNER_WRITE];

	m->what = "write data";
	if (!ret && in->state != VFM_STATE_RESUMING)
		ret = -EINVAL;
	return model_same(m, "result",
			  vfm_device_write_chunk(m->dev, "data", 4, model_pick(m, 2), NULL), ret);
}

static bool do_v2_precopy_info(struct model *m)
{
	struct vfm_precopy_info info = { 0 };
	uint64_t queued = inner_queued(m->in);
	int ret = model_know(m);

	m->what = "get pre-copy info";
	if (!ret) {
		m->questions++;
		ret = m->in->fail[INNER_INFO];
		if (!ret && m->in->no_info)
			ret = -ENOTTY;
		if (!ret && !vfm_state_is_precopy(m->in->state))
			ret = -EINVAL;
	}
	return model_same(m, "result", vfm_device_get_precopy_info(m->dev, &info, NULL), ret) &&
	       (ret ||
		(model_same(m, "initial", (int64_t)info.initial_bytes, (int64_t)(queued / 3)) &&
		 model_same(m, "sum", (int64_t)(info.initial_bytes + info.dirty_bytes),
			    (int64_t)(queued + unread(m)))));
}

static bool do_v2_data_size(struct model *m)
{
	uint64_t queued = VFM_MAX(inner_queued(m->in), (uint64_t)1), got = 0;
	int ret = model_know(m);

	m->what = "get the data size";
	if (!ret) {
		m->questions++;
		ret = m->in->fail[INNER_SIZE];
		if (!ret && m->in->no_info)
			ret = -ENOTTY;
	}
	return model_same(m, "result", vfm_device_get_data_size(m->dev, &got, NULL), ret) &&
	       (ret || model_same(m, "size", (int64_t)got, (int64_t)(queued + unread(m))));
}

static bool do_reset(struct model *m)
{
	int ret = m->in->fail[INNER_RESET];

	m->what = "reset";
	if (!model_same(m, "result", vfm_device_reset(m->dev, NULL), ret))
		return false;
	model_was_set(m, VFM_STATE_RUNNING, ret);
	if (!ret) {
		m->mask = 0;
		m->reserved = 0;
	}
	return true;
}

static bool do_work(struct model *m)
{
	size_t len = model_pick(m, 3) ? 1 + model_pick(m, 10000) : 1;

	if (vfm_state_is_saving(m->in->state) && !m->finished)
		inner_add(m->in, len);
	return true;
}

static bool do_break(struct model *m)
{
	static const int codes[] = { -ENODATA, -EBUSY, -EREMOTEIO, -ETIMEDOUT };
	uint32_t what = model_pick(m, INNER_NR_CALLS + 3);

	if (what < INNER_NR_CALLS) {
		m->in->fail[what] = codes[model_pick(m, VFM_ARRAY_SIZE(codes))];
	} else {
		m->in->fail_arc = model_pick(m, 3) ? -EBUSY : -EIO;
		m->in->good_arcs = model_pick(m, 3);
	}
	return true;
}

/* Somebody else does something to the device; the front hears of it when it asks. */
static bool do_elsewhere(struct model *m)
{
	enum vfm_state to = (enum vfm_state)model_pick(m, 8);
	uint32_t word = 0;
	int ret;

	m->what = "change it elsewhere";
	if (!m->known)
		return true;
	(void)(model_pick(m, 2) ? vfm_device_reset(&m->in->dev, NULL)
				: vfm_device_set_state(&m->in->dev, to, NULL));
	memset(m->in->fail, 0, sizeof(m->in->fail));
	m->set = m->in->calls[INNER_SET_STATE];
	ret = model_ask(m);
	return model_same(m, "result", vfm_device_read_region(m->dev, m->index, 0, &word, 4, NULL),
			  ret) &&
	       model_same(m, "word", word, model_shown(m) | m->reserved);
}

static bool (*const v2_steps[])(struct model *m) = {
	do_v2_set_state, do_v2_get_state, do_v2_read, do_v2_read, do_v2_write, do_v2_precopy_info,
	do_v2_data_size, do_reset,	  do_work,    do_work,	  do_work,     do_work,
	do_break,	 do_elsewhere,
};

bool model_v2_step(struct model *m)
{
	return v2_steps[model_pick(m, VFM_ARRAY_SIZE(v2_steps))](m);
}
