// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "model_impl.h"

/* A fill of the section that meets no error of the device: the bytes. */
static size_t fill_good(struct model *m)
{
	const struct inner *in = m->in;
	size_t rest = m->chunks ? model_first_piece(in) : inner_queued(in);
	size_t n = VFM_MIN(rest, m->size);

	if (m->chunks ? n == 0 : n < m->size)
		m->finished = m->state == VFM_STATE_STOP_COPY;
	m->from = m->given;
	m->given += n;
	m->len = n;
	m->ends = m->chunks && n && n == rest;
	if (m->ends && m->cut) {
		model_drop_chunk(m);
		m->failed = -EMSGSIZE;
	}
	if (n)
		m->cut = n < rest || !m->chunks;
	return n;
}

/* Return: the bytes that it takes from the device. */
static size_t fill(struct model *m)
{
	const struct inner *in = m->in;

	if (m->len || m->finished || m->failed)
		return 0;
	if (in->fail[INNER_READ])
		m->failed = in->fail[INNER_READ];
	else if (in->session_dead)
		m->failed = -EINVAL;
	else
		return fill_good(m);
	return 0;
}

static int pending(struct model *m, uint64_t *value)
{
	const struct inner *in = m->in;
	uint64_t queued;
	int ret = model_know(m);

	*value = 0;
	if (ret || !model_is_saving(m))
		return ret;
	if (m->handed)
		model_drop_chunk(m);
	queued = inner_queued(in);
	queued -= fill(m);
	if (m->failed || !m->len)
		return m->failed;
	*value = m->len;
	if (m->finished)
		return 0;
	m->questions++;
	ret = in->fail[m->state == VFM_STATE_STOP_COPY ? INNER_SIZE : INNER_INFO];
	if (ret || in->no_info)
		return ret;
	if (m->state == VFM_STATE_STOP_COPY)
		queued = VFM_MAX(queued, (uint64_t)1);
	*value += queued;
	return 0;
}

static int data_offset(struct model *m, uint64_t *value)
{
	int ret = model_know(m);

	*value = m->page;
	if (!ret && model_is_saving(m)) {
		fill(m);
		ret = m->failed;
	}
	return ret;
}

static int data_size(struct model *m, uint64_t *value)
{
	int ret = model_know(m);

	*value = 0;
	if (!ret && model_is_saving(m)) {
		*value = m->len;
		m->handed = m->len > 0;
	}
	return ret;
}

static int device_state(struct model *m, uint64_t *value)
{
	int ret = model_ask(m);

	*value = model_shown(m) | m->reserved;
	return ret;
}

static int reserved_word(struct model *m, uint64_t *value)
{
	(void)m;
	*value = 0;
	return 0;
}

static bool do_read_register(struct model *m)
{
	static const struct {
		const char *name;
		uint64_t at;
		size_t width;
		int (*foretell)(struct model *m, uint64_t *value);
	} regs[] = {
		{ "read device_state", 0, 4, device_state },
		{ "read reserved", 4, 4, reserved_word },
		{ "read pending_bytes", 8, 8, pending },
		{ "read data_offset", 16, 8, data_offset },
		{ "read data_size", 24, 8, data_size },
		{ "read pending_bytes", 8, 8, pending },
	};
	uint32_t i = model_pick(m, VFM_ARRAY_SIZE(regs));
	uint64_t want = 0, got = 0;
	int ret = regs[i].foretell(m, &want);

	m->what = regs[i].name;
	return model_same(m, "result",
			  vfm_device_read_region(m->dev, m->index, regs[i].at, &got, regs[i].width,
						 NULL),
			  ret) &&
	       (ret || model_same(m, "value", (int64_t)got, (int64_t)want));
}

static bool is_way(uint32_t from, uint32_t to)
{
	static const uint32_t ways[8] = {
		[0] = 1u << 1 | 1u << 2 | 1u << 4, [1] = 1u << 0 | 1u << 2 | 1u << 3 | 1u << 4,
		[2] = 1u << 0 | 1u << 1,	   [3] = 1u << 0 | 1u << 1 | 1u << 2,
		[4] = 1u << 0 | 1u << 1,
	};

	return ways[from] >> to & 1;
}

static bool do_write_state(struct model *m)
{
	static const uint32_t reserved[] = { 0, 8, 0x1000, 0x80000000, 0xfffffff8 };
	static const enum vfm_state targets[] = { VFM_STATE_STOP, VFM_STATE_RUNNING,
						  VFM_STATE_STOP_COPY, VFM_STATE_PRE_COPY,
						  VFM_STATE_RESUMING };
	uint32_t to = model_pick(m, 3) ? model_pick(m, 5) : model_pick(m, 8);
	uint32_t keep = reserved[model_pick(m, VFM_ARRAY_SIZE(reserved))], word = keep | to;
	enum vfm_state from, at = VFM_STATE_ERROR, target = at;
	int ret = model_ask(m);
	bool moves, plays = to == 3 && !(m->in->migration & VFM_MIGRATION_PRE_COPY), sets = false;

	m->what = "write device_state";
	if (!ret && model_shown(m) == 6)
		ret = -EIO;
	moves = is_way(model_shown(m), to);
	if (!ret && !moves && model_shown(m) != to)
		ret = -EINVAL;
	if (!ret && moves) {
		target = plays ? VFM_STATE_RUNNING : targets[to];
		sets = target != m->state;
		at = model_stops_at(m, target);
		ret = sets ? model_will_set(m, target) : 0;
	}
	from = m->state;
	if (!model_same(m, "result", vfm_device_write_region(m->dev, m->index, 0, &word, 4, NULL),
			ret))
		return false;
	if (sets && !ret)
		model_was_set(m, target, 0);
	else if (sets)
		model_brought_back(m, from, at);
	if (ret)
		return true;
	m->reserved = keep;
	if (moves)
		m->mask = plays ? 3 : 0;
	return true;
}

/* Any place and width that is neither a register nor data. */
static bool do_wrong_access(struct model *m)
{
	static const size_t widths[] = { 1, 2, 3, 4, 8, 16 };
	size_t width = widths[model_pick(m, VFM_ARRAY_SIZE(widths))];
	uint64_t at = model_pick(m, 3) ? model_pick(m, 40) : model_pick(m, 9000);
	uint8_t buf[16] = { (uint8_t)model_pick(m, 8) };

	m->what = "access that is wrong";
	if (at >= m->page && at + width <= m->page + m->size)
		return true;
	if ((width == 4 && at <= 4 && at % 4 == 0) ||
	    (width == 8 && at >= 8 && at <= 24 && at % 8 == 0))
		return true;
	return model_same(m, "read", vfm_device_read_region(m->dev, m->index, at, buf, width, NULL),
			  -EINVAL) &&
	       model_same(m, "write",
			  vfm_device_write_region(m->dev, m->index, at, buf, width, NULL), -EINVAL);
}

static bool do_write_constant(struct model *m)
{
	uint64_t value = model_pick(m, 256);

	m->what = "write what is read only";
	return model_same(m, "pending_bytes",
			  vfm_device_write_region(m->dev, m->index, 8, &value, 8, NULL), -EINVAL) &&
	       model_same(m, "data_offset",
			  vfm_device_write_region(m->dev, m->index, 16, &value, 8, NULL),
			  -EINVAL) &&
	       model_same(m, "reserved",
			  vfm_device_write_region(m->dev, m->index, 4, &value, 4, NULL), 0);
}

static bool do_read_section(struct model *m)
{
	bool inside = m->len && model_pick(m, 4);
	size_t at = inside ? model_pick(m, (uint32_t)m->len) : model_pick(m, (uint32_t)m->size);
	size_t len = 1 + (inside ? model_pick(m, (uint32_t)(m->len - at)) : model_pick(m, 64));
	int ret = at + len <= m->size ? model_know(m) : -EINVAL;

	m->what = "read the section";
	if (!ret && !(model_is_saving(m) && at + len <= m->len))
		ret = -EINVAL;
	if (!model_same(m, "result",
			vfm_device_read_region(m->dev, m->index, m->page + at, m->buf, len, NULL),
			ret))
		return false;
	if (ret)
		return true;
	return model_check_bytes(m, m->buf, len, m->from + at) &&
	       (at + len > m->map_size || model_check_bytes(m, m->map + at, len, m->from + at));
}

static bool do_write_section(struct model *m)
{
	size_t at = model_pick(m, (uint32_t)m->size), len = 1 + model_pick(m, 64);
	int ret = at + len <= m->size ? model_know(m) : -EINVAL;

	m->what = "write the section";
	if (!ret && m->state != VFM_STATE_RESUMING)
		ret = -EINVAL;
	memset(m->buf, 0x5a, len);
	return model_same(
		m, "result",
		vfm_device_write_region(m->dev, m->index, m->page + at, m->buf, len, NULL), ret);
}

/* data_size alone, whatever is in the section. */
static bool do_write_data_size(struct model *m)
{
	const uint64_t sizes[] = { 0, 1, m->size, m->size + 1, UINT64_MAX, model_pick(m, 9000) };
	uint64_t n = sizes[model_pick(m, VFM_ARRAY_SIZE(sizes))];
	struct inner *in = m->in;
	size_t loaded = in->nr_loaded, ends = in->nr_ends;
	bool had_failed;
	int ret = model_know(m);

	m->what = "write data_size";
	had_failed = m->failed;
	if (!ret && (m->state != VFM_STATE_RESUMING || n > m->size))
		ret = -EINVAL;
	if (!ret && n) {
		ret = had_failed ? m->failed : in->fail[INNER_WRITE];
		m->failed = ret;
	}
	return model_same(m, "result", vfm_device_write_region(m->dev, m->index, 24, &n, 8, NULL),
			  ret) &&
	       model_same(m, "bytes", (int64_t)(in->nr_loaded - loaded), ret ? 0 : (int64_t)n) &&
	       model_same(m, "chunks", (int64_t)(in->nr_ends - ends), !ret && n && m->chunks);
}

/* Data where it belongs, and then its size. */
static bool do_put(struct model *m)
{
	size_t n = 1 + model_pick(m, (uint32_t)m->size), loaded = m->in->nr_loaded;
	unsigned int seed = ++m->puts;
	uint64_t size = n;

	m->what = "load a chunk";
	if (!m->known || m->state != VFM_STATE_RESUMING || m->failed || m->in->fail[INNER_WRITE])
		return true;
	for (size_t i = 0; i < n; i++)
		m->buf[i] = inner_byte(seed, i);
	if (n <= m->map_size && model_pick(m, 2))
		memcpy(m->map, m->buf, n);
	else if (!model_same(m, "data",
			     vfm_device_write_region(m->dev, m->index, m->page, m->buf, n, NULL),
			     0))
		return false;
	return model_same(m, "size", vfm_device_write_region(m->dev, m->index, 24, &size, 8, NULL),
			  0) &&
	       model_same(m, "bytes", (int64_t)(m->in->nr_loaded - loaded), (int64_t)n) &&
	       model_same(m, "data", memcmp(m->in->loaded + loaded, m->buf, n), 0);
}

static bool (*const region_steps[])(struct model *m) = {
	do_read_register, do_read_register,  do_read_register, do_read_register, do_read_register,
	do_read_register, do_write_state,    do_write_state,   do_write_state,	 do_read_section,
	do_read_section,  do_write_section,  do_put,	       do_put,		 do_write_data_size,
	do_wrong_access,  do_write_constant,
};

bool model_region_step(struct model *m)
{
	return region_steps[model_pick(m, VFM_ARRAY_SIZE(region_steps))](m);
}
