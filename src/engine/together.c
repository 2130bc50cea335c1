// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What the devices of a unit take together, from what was measured of each. A few are
 * called at a time, so all of them take as long as the slowest, or as long as what they
 * take one after the other, divided by how many go at a time: whichever is more.
 *
 * Of a unit of one, all of this is what was measured of its device.
 */

#include "engine/unit.h"

#include "base/util.h"

/* Times of several, together. */
struct times {
	double longest, sum;
};

static void add(struct times *t, double ns)
{
	t->longest = VFM_MAX(t->longest, ns);
	t->sum += ns;
}

static double together(const struct times *t, unsigned int width)
{
	return VFM_MAX(t->longest, t->sum / width);
}

unsigned int vfm_unit_width(const struct vfm_engine *e)
{
	return (unsigned int)VFM_MIN(e->nr_members, VFM_HANDS_MAX);
}

/* ---- steps ------------------------------------------------------------------- */

struct vfm_arcs vfm_unit_step(const struct vfm_engine *e)
{
	struct vfm_arcs step = { 0 };
	struct times t = { 0 };

	for (size_t i = 0; i < e->nr_members; i++) {
		const struct vfm_arcs *arcs = &e->members[i].arcs;

		if (!arcs->count)
			continue;
		step.count = 1;
		add(&t, arcs->ns / arcs->count);
	}
	step.ns = together(&t, vfm_unit_width(e));
	return step;
}

unsigned int vfm_unit_arcs(const struct vfm_engine *e, enum vfm_state from, enum vfm_state to)
{
	unsigned int most = 0;

	for (size_t i = 0; i < e->nr_members; i++)
		most = VFM_MAX(most, vfm_count_arcs(e->members[i].migration, from, to));
	return most;
}

unsigned int vfm_unit_stop_arcs(const struct vfm_engine *e)
{
	unsigned int most = 0;

	for (size_t i = 0; i < e->nr_members; i++) {
		const struct vfm_member *m = &e->members[i];
		bool precopy = m->migration & VFM_MIGRATION_PRE_COPY;

		most = VFM_MAX(most, vfm_count_arcs(m->migration,
						    precopy ? VFM_STATE_PRE_COPY : m->origin,
						    VFM_STATE_STOP_COPY));
	}
	return most;
}

/* ---- data -------------------------------------------------------------------- */

struct vfm_cost vfm_unit_load_cost(const struct vfm_engine *e)
{
	struct vfm_cost all = { 0 }, none = { 0 };
	double bytes = 0;

	for (size_t i = 0; i < e->nr_members; i++) {
		const struct vfm_gauge *load = &e->members[i].load;
		struct vfm_cost cost = vfm_gauge_cost(load);

		none = cost;
		if (!cost.known)
			continue;
		all.known = true;
		all.ns += cost.ns * load->bytes;
		all.error += cost.error * load->bytes;
		bytes += load->bytes;
	}
	if (!all.known)
		return none;
	all.ns /= bytes;
	all.error /= bytes;
	return all;
}

struct vfm_cost vfm_unit_save_cost(const struct vfm_engine *e)
{
	struct vfm_cost all = { .known = true };
	double bytes = 0, weight = 0;
	struct times t = { 0 };

	for (size_t i = 0; i < e->nr_members; i++) {
		const struct vfm_member *m = &e->members[i];
		struct vfm_cost cost = vfm_gauge_cost(&m->save);
		/* With nothing left, it is what each would have for the same byte. */
		double left = e->left.device ? (double)m->rest.device : 1;

		if (left <= 0)
			continue;
		all.known &= cost.known;
		all.error += cost.error * cost.ns * left;
		weight += cost.ns * left;
		bytes += left;
		add(&t, cost.ns * left);
	}
	all.error /= weight;
	all.ns = together(&t, vfm_unit_width(e)) / bytes;
	return all;
}

uint64_t vfm_unit_saved(const struct vfm_engine *e)
{
	double bytes = 0;

	for (size_t i = 0; i < e->nr_members; i++)
		bytes += e->members[i].save.bytes;
	return (uint64_t)bytes;
}

void vfm_unit_overlap(const struct vfm_engine *e, unsigned int width, struct vfm_cost *cost)
{
	uint64_t most = 0, sum = 0;

	if (width <= 1 || !cost->known)
		return;
	for (size_t i = 0; i < e->nr_members; i++) {
		most = VFM_MAX(most, e->members[i].rest.device);
		sum += e->members[i].rest.device;
	}
	cost->ns *= VFM_MAX(sum ? (double)most / (double)sum : 0, 1.0 / width);
}
