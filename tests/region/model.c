// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "model_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "protocol/v2.h"
#include "region/region.h"

bool model_same(struct model *m, const char *what, int64_t got, int64_t want)
{
	if (got != want && !m->wrong[0])
		snprintf(m->wrong, sizeof(m->wrong), "%s: %s is %lld and not %lld", m->what, what,
			 (long long)got, (long long)want);
	return got == want;
}

const char *model_wrong(const struct model *m)
{
	return m->wrong;
}

bool model_check_bytes(struct model *m, const uint8_t *buf, size_t len, uint64_t from)
{
	for (size_t i = 0; i < len; i++)
		if (!model_same(m, "a byte", buf[i], inner_byte(m->in->session, from + i)))
			return false;
	return true;
}

void model_drop_chunk(struct model *m)
{
	m->len = 0;
	m->ends = m->handed = false;
}

static void heard(struct model *m, enum vfm_state state)
{
	bool saving = vfm_state_is_saving(m->state) && vfm_state_is_saving(state);

	if (!saving && !(m->state == VFM_STATE_RESUMING && state == VFM_STATE_RESUMING)) {
		model_drop_chunk(m);
		m->cut = m->finished = false;
		m->failed = 0;
		m->given = m->in->given;
	}
	if ((m->mask == 3 && state != VFM_STATE_RUNNING) ||
	    (m->mask == 4 && state != VFM_STATE_STOP))
		m->mask = 0;
	m->state = state;
	m->known = true;
}

/* A question for the state: what it will bring. */
int model_ask(struct model *m)
{
	int ret = m->in->fail[INNER_GET_STATE];

	m->asked++;
	if (!ret)
		heard(m, m->in->state);
	return ret;
}

int model_know(struct model *m)
{
	return m->known ? 0 : model_ask(m);
}

/* What comes of a change of the device's state; the model hears of it when it was done. */
int model_will_set(struct model *m, enum vfm_state to)
{
	const struct inner *in = m->in;
	enum vfm_state at = in->state;
	unsigned int arcs = 0;

	m->set++;
	if (in->fail[INNER_SET_STATE])
		return in->fail[INNER_SET_STATE];
	if (at == VFM_STATE_ERROR)
		return -EIO;
	while (at != to) {
		if (vfm_next_state(in->migration, at, to, &at))
			return -EINVAL;
		arcs++;
	}
	if (vfm_next_state(in->migration, at, to, &at))
		return -EINVAL;
	return in->fail_arc && arcs > in->good_arcs ? in->fail_arc : 0;
}

enum vfm_state model_stops_at(const struct model *m, enum vfm_state to)
{
	const struct inner *in = m->in;
	enum vfm_state at = in->state;

	if (in->fail[INNER_SET_STATE])
		return at;
	if (in->fail_arc == -EIO)
		return VFM_STATE_ERROR;
	for (unsigned int i = 0; at != to && i < in->good_arcs; i++)
		if (vfm_next_state(in->migration, at, to, &at))
			break;
	return at;
}

void model_was_set(struct model *m, enum vfm_state to, int ret)
{
	if (ret)
		m->known = false;
	else
		heard(m, to);
}

/* What fails is told to fail once, so the way back never does. */
void model_brought_back(struct model *m, enum vfm_state from, enum vfm_state at)
{
	uint32_t mask = m->mask;

	m->asked++;
	heard(m, at);
	if (at == VFM_STATE_ERROR)
		return;
	if (from == VFM_STATE_RESUMING && at != from) {
		from = VFM_STATE_STOP;
		mask = 4;
	}
	if (at != from) {
		m->set++;
		heard(m, from);
	}
	m->mask = mask;
}

uint32_t model_shown(const struct model *m)
{
	static const uint32_t words[] = {
		[VFM_STATE_ERROR] = 6,	  [VFM_STATE_STOP] = 0,
		[VFM_STATE_RUNNING] = 1,  [VFM_STATE_STOP_COPY] = 2,
		[VFM_STATE_RESUMING] = 4, [VFM_STATE_RUNNING_P2P] = 1,
		[VFM_STATE_PRE_COPY] = 3, [VFM_STATE_PRE_COPY_P2P] = 3,
	};

	return m->mask ? m->mask : words[m->state];
}

/* What holds after every step. */
static bool compare(struct model *m)
{
	const struct inner *in = m->in;

	return (!m->known || model_same(m, "the state", in->state, m->state)) &&
	       (!m->known || !model_is_saving(m) ||
		model_same(m, "bytes taken", (int64_t)in->given, (int64_t)m->given)) &&
	       model_same(m, "questions for the state", in->calls[INNER_GET_STATE], m->asked) &&
	       model_same(m, "changes of the state", in->calls[INNER_SET_STATE], m->set) &&
	       model_same(m, "questions for sizes", in->calls[INNER_INFO] + in->calls[INNER_SIZE],
			  m->questions);
}

bool model_step(struct model *m)
{
	bool good = model_pick(m, 30) < 17 ? model_region_step(m) : model_v2_step(m);

	return good && compare(m);
}

static void map_section(struct model *m)
{
	struct vfm_region region;
	void *map;

	if (vfm_device_get_region(m->dev, m->index, &region, NULL) || !region.nr_areas)
		return;
	map = mmap(NULL, region.areas[0].size, PROT_READ | PROT_WRITE, MAP_SHARED, region.fd,
		   (off_t)region.areas[0].offset);
	if (map == MAP_FAILED)
		abort();
	m->map = map;
	m->map_size = region.areas[0].size;
}

struct model *model_new(model_pick_fn pick_fn, void *user)
{
	static const uint64_t features[] = { 1, 3, 5, 7, 7, 7 };
	struct model *m = calloc(1, sizeof(*m));
	struct vfm_front_opts opts;

	if (!m)
		abort();
	m->pick = pick_fn;
	m->user = user;
	m->what = "open";
	m->page = (uint64_t)sysconf(_SC_PAGESIZE);
	m->chunks = model_pick(m, 2);
	m->in = inner_new(features[model_pick(m, VFM_ARRAY_SIZE(features))], m->chunks);
	m->in->no_info = !model_pick(m, 8);
	if (model_pick(m, 2))
		m->in->max_read = 100 + model_pick(m, 2000);
	for (size_t i = model_pick(m, 4); i > 0; i--)
		m->in->first[i - 1] = 1 + model_pick(m, 2500);
	for (size_t i = model_pick(m, 4); i > 0; i--)
		m->in->last[i - 1] = 1 + model_pick(m, 2500);
	opts.section = (enum vfm_section)model_pick(m, 3);
	m->size = (1 + (opts.section == VFM_SECTION_SPARSE || model_pick(m, 2))) * m->page;
	opts.size = m->size;
	m->buf = malloc(2 * m->size + 16384);
	m->state = m->in->state;
	m->known = true;
	m->asked = 1;
	if (!m->buf || vfm_front_open(&m->dev, &m->in->dev, &opts, NULL))
		abort();
	m->index = m->in->nr_regions;
	map_section(m);
	return m;
}

void model_free(struct model *m)
{
	if (m->map)
		munmap(m->map, m->map_size);
	vfm_device_close(m->dev);
	inner_free(m->in);
	free(m->buf);
	free(m);
}
