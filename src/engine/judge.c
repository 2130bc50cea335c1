// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Whether to stop the source now: asks the device what is left, believes it as far
 * as that is sensible, predicts the downtime, and compares it with the limits. The
 * arithmetic is predict.c's.
 *
 * A decision to stop is not one before the destination has loaded all that was
 * sent, the initial data among it, and the device was asked once more after that:
 * what has changed meanwhile, or new initial data, sends us back to the rounds.
 */

#include "engine/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "engine/claim.h"

/* What a device told and what came may differ by that: it works on until it is stopped. */
#define TOLD_SLACK (UINT64_C(256) << 10)
#define TOLD_PART 4

/* A way there and back that was not measured. */
#define TRIP_UNKNOWN_NS 1e6

/* LOADED, GIVING and COMMITTED are on disk each before the next step. One write was measured. */
#define HANDOVER_WRITES 3
#define HANDOVER_ERROR 0.5

/* Of two measurements of the wire, one this much surer than the other is taken for both. */
#define SURER 2

/*
 * Rounds after which a prediction that is a guess is left to be one, and what another round has to
 * have to be worth it: bytes, a part of all that is left.
 */
#define SURE_ROUNDS 5
#define WORTH_BYTES (UINT64_C(1) << 20)
#define WORTH_PART 8

/* Room for the words of a prediction. */
#define WORDS 160

#define MIB 1048576.0

/* ---- what is left ---------------------------------------------------------- */

static uint64_t add_sizes(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

int vfm_judge_pending(struct vfm_member *m, int unused)
{
	struct vfm_rest *rest = &m->rest;
	struct vfm_precopy_info info;
	uint64_t sum;
	int ret;

	(void)unused;
	if (!(m->migration & VFM_MIGRATION_PRE_COPY))
		return 0;
	ret = vfm_device_get_precopy_info(m->dev, &info, &m->err);
	if (ret)
		return ret == -ENOTTY ? 0 : ret;
	sum = add_sizes(info.initial_bytes, info.dirty_bytes);
	rest->told = rest->told_low = rest->told_high = sum;
	rest->told_any = true;
	if (info.initial_bytes > VFM_SIZE_SANE || info.dirty_bytes > VFM_SIZE_SANE)
		return 0;
	rest->initial = info.initial_bytes;
	rest->pending = sum;
	rest->pending_known = true;
	return 0;
}

/*
 * The data size is what STOP_COPY would give if it came now: our own devices,
 * and QEMU from 11 on, take it for all that is left, with what pre-copy could
 * still read of it; QEMU up to 10 took it for what comes after that. So the larger
 * of the two is taken, never the sum: a device that means the second is
 * underestimated by what it has pending, which further rounds make small. A device
 * that tells neither is taken to have as much to say as it just had.
 */
static int ask_size(struct vfm_member *m)
{
	struct vfm_rest *rest = &m->rest;
	uint64_t size;
	int ret = vfm_device_get_data_size(m->dev, &size, &m->err);

	rest->device = rest->pending;
	rest->device_known = rest->pending_known;
	if (ret)
		return ret == -ENOTTY ? 0 : ret;
	rest->told = rest->told_low = VFM_MAX(rest->told_low, size);
	rest->told_high = add_sizes(rest->told_high, size);
	rest->told_any = true;
	if (size > VFM_SIZE_SANE)
		return 0;
	rest->device = VFM_MAX(rest->pending, size);
	rest->device_known = true;
	return 0;
}

static int look(struct vfm_member *m, int unused)
{
	int ret;

	m->rest = (struct vfm_rest){ .pending = m->got };
	ret = vfm_judge_pending(m, unused);
	return ret ? ret : ask_size(m);
}

static int estimate(struct vfm_engine *e)
{
	struct vfm_left *left = &e->left;
	int ret = vfm_unit_each(e, look, 0);

	if (ret)
		return ret;
	*left = (struct vfm_left){ .device_known = true };
	for (size_t i = 0; i < e->nr_members; i++) {
		const struct vfm_rest *rest = &e->members[i].rest;

		left->initial = add_sizes(left->initial, rest->initial);
		left->pending = add_sizes(left->pending, rest->pending);
		left->device = add_sizes(left->device, rest->device);
		left->device_known &= rest->device_known;
	}
	if (e->dirty) {
		vfm_dirty_report(e);
		left->memory = vfm_dirty_bytes(e);
	}
	return 0;
}

/* Whether a device has not said what it meant, whatever that was. */
static bool told_wrong(const struct vfm_member *m)
{
	const struct vfm_rest *rest = &m->rest;
	uint64_t slack = TOLD_SLACK + rest->told_high / TOLD_PART;

	return add_sizes(m->got, slack) < rest->told_low ||
	       m->got > add_sizes(rest->told_high, slack) || (m->got && !rest->told_high);
}

void vfm_judge_sizes(struct vfm_engine *e)
{
	for (size_t i = 0; i < e->nr_members; i++) {
		struct vfm_member *m = &e->members[i];

		e->report.came_bytes += m->got;
		if (!m->rest.told_any || e->paused)
			continue;
		e->report.told_bytes = add_sizes(e->report.told_bytes, m->rest.told);
		m->told_wrong = told_wrong(m);
		e->report.told_wrong |= m->told_wrong;
	}
}

/* ---- what it comes to ------------------------------------------------------- */

/* A destination's journal is taken to be like ours. */
static void forecast_handover(const struct vfm_engine *e, struct vfm_forecast *f)
{
	if (!e->owner)
		return;
	f->handover.ns =
		(double)(e->write_ns * HANDOVER_WRITES + (e->claim ? e->claim->swap_ns : 0));
	f->handover.error = f->handover.ns * HANDOVER_ERROR;
	f->handover.known = true;
}

/* A source that has taken no step yet is taken to be like its destination. */
static void forecast_arcs(const struct vfm_engine *e, struct vfm_forecast *f)
{
	const struct vfm_arcs theirs = { .count = e->rates.arc_ns > 0,
					 .ns = (double)e->rates.arc_ns };
	const struct vfm_arcs own = vfm_unit_step(e);
	const struct vfm_arcs *ours = own.count || !theirs.count ? &own : &theirs;

	f->source_arcs = vfm_arcs_span(ours, vfm_unit_stop_arcs(e));
	f->last_arc = vfm_arcs_span(ours, 1);
	f->prove = vfm_arcs_span(theirs.count ? &theirs : ours,
				 e->peer_rates ? e->rates.prove_arcs : 1);
	f->run = vfm_arcs_span(theirs.count ? &theirs : ours,
			       e->peer_rates ? e->rates.run_arcs
					     : vfm_unit_arcs(e, VFM_STATE_STOP, VFM_STATE_RUNNING));
	f->round_trip = (struct vfm_span){ .ns = (double)e->round_trip_ns,
					   .error = (double)e->round_trip_ns / 2,
					   .known = e->round_trip_ns > 0 };
	if (!f->round_trip.known)
		f->round_trip.error = TRIP_UNKNOWN_NS;
}

/* What was not measured is not quicker than it may be. */
static void limit_cost(struct vfm_cost *cost, uint64_t rate)
{
	if (rate)
		cost->ns = VFM_MAX(cost->ns, 1e9 / (double)rate);
}

/* Whether the costs were measured with too little, and the least that they can be. */
static bool doubt(const struct vfm_engine *e, struct vfm_forecast *f)
{
	bool save = vfm_cost_doubt(&f->save, vfm_unit_saved(e), f->device_bytes);
	bool wire = vfm_cost_doubt(&f->wire, (uint64_t)e->wire.bytes, f->device_bytes);
	bool load = vfm_cost_doubt(&f->load, e->rates.loaded, f->device_bytes);
	bool memory = vfm_cost_doubt(&f->memory, (uint64_t)e->memory.bytes, f->memory_bytes);

	limit_cost(&f->wire, e->opts.rate);
	limit_cost(&f->memory, e->opts.rate);
	return save || wire || load || memory;
}

/* The same wire: whichever says nothing of it, or much less than the other, takes the other's. */
static void share_cost(struct vfm_cost *a, struct vfm_cost *b)
{
	if (b->known && (!a->known || a->error > b->error * SURER))
		*a = *b;
	else if (a->known && (!b->known || b->error > a->error * SURER))
		*b = *a;
}

/* Whether the next round has enough to measure with. */
static bool worth_a_round(const struct vfm_left *left)
{
	uint64_t flows = add_sizes(left->pending, left->memory);

	return flows >= WORTH_BYTES && flows >= add_sizes(left->device, left->memory) / WORTH_PART;
}

static void predict(struct vfm_engine *e)
{
	struct vfm_forecast f = {
		.save = vfm_unit_save_cost(e),
		.wire = vfm_gauge_cost(&e->wire),
		.memory = vfm_gauge_cost(&e->memory),
		.load = vfm_cost_of_rate(e->rates.load_rate, e->rates.load_error / 1000.0),
		.device_bytes = e->left.device,
		.memory_bytes = e->left.memory,
		.size_known = e->left.device_known,
		.record = VFM_STREAM_PAYLOAD_MAX,
		.overlap = true,
	};

	vfm_unit_overlap(e, e->rates.width, &f.load);
	share_cost(&f.wire, &f.memory);
	if (!f.wire.known)
		limit_cost(&f.wire, e->opts.rate);
	if (!f.memory.known)
		limit_cost(&f.memory, e->opts.rate);
	forecast_arcs(e, &f);
	forecast_handover(e, &f);
	vfm_predict(&e->least, &f);
	e->report.prediction = e->least;
	e->unsure = vfm_forecast_unsure(&f) && worth_a_round(&e->left);
	if (doubt(e, &f)) {
		vfm_predict(&e->least, &f);
		e->least.assumed = true;
	}
	if (e->rate.ns > 0 && e->rate.bytes > 0)
		e->report.bytes_per_second = (uint64_t)(e->rate.bytes * 1e9 / e->rate.ns);
}

/* ---- the decision ------------------------------------------------------------ */

/* What is to be done next, if it is not an error. */
enum verdict { GO_ON, STOP, OVER };

static bool fits(const struct vfm_engine *e, const struct vfm_prediction *p)
{
	return !e->opts.max_downtime_ms || vfm_prediction_fits(p, e->opts.max_downtime_ms);
}

static int refuse(struct vfm_engine *e, bool late)
{
	const struct vfm_prediction *p = &e->report.prediction;
	char why[VFM_ERR_TEXT / 2], words[WORDS], when[48] = "";

	vfm_prediction_words(p, words, sizeof(words));
	if (late)
		snprintf(when, sizeof(when), " and %.1f s, %.1f are allowed",
			 (double)(vfm_now_ns() - e->began_ns) / 1e9,
			 (double)e->opts.max_time_ms / 1000);
	if (e->left.initial)
		snprintf(why, sizeof(why),
			 "%.1f MiB of initial data are left, to be read before the stop",
			 (double)e->left.initial / MIB);
	else if (!fits(e, p))
		snprintf(why, sizeof(why), "predicted %.0f ms +-%.0f, %u are allowed: %s",
			 (double)p->downtime_us / 1000, (double)p->error_us / 1000,
			 e->opts.max_downtime_ms, words);
	else
		snprintf(why, sizeof(why), "the destination has not loaded all that was sent");
	return vfm_fail(&e->err, -EDQUOT, "refused after %u rounds%s: %s", e->report.rounds, when,
			why);
}

/* A limit cannot be kept. */
static int over_limit(struct vfm_engine *e, bool late)
{
	if (e->opts.on_limit != VFM_ON_LIMIT_FORCE)
		return refuse(e, late);
	e->report.forced = true;
	return 1;
}

/*
 * What was measured with too little is measured again by another round, which also leaves less
 * to stop for. When there is none any more, a device is not refused because of what a busy moment
 * may have made of it.
 */
static int weigh(struct vfm_engine *e)
{
	bool more = vfm_unit_has(e, VFM_MIGRATION_PRE_COPY) || (e->dirty && !e->report.all_dirty);
	bool last = e->report.rounds >= e->opts.max_rounds || !more;
	bool late = vfm_engine_late(e);
	int ret = estimate(e);

	if (ret)
		return ret;
	predict(e);
	if (!last && !late && e->unsure && e->report.rounds < SURE_ROUNDS)
		return GO_ON;
	if (!e->left.initial && fits(e, &e->report.prediction))
		return STOP;
	/* To read initial data first is a recommendation, and without a limit all may wait. */
	if (!e->opts.max_downtime_ms && last && !late)
		return STOP;
	if (!last && !late)
		return GO_ON;
	return !e->left.initial && fits(e, &e->least) ? STOP : OVER;
}

int vfm_judge(struct vfm_engine *e)
{
	int ret = weigh(e);

	/* What the destination told last may be of before it had to do with what we sent. */
	if (e->peer_rates && (ret == STOP || (ret == OVER && !vfm_engine_late(e)))) {
		ret = vfm_rates_sync(e);
		if (ret == -EAGAIN)
			ret = OVER;
		else if (!ret)
			ret = weigh(e);
	}
	if (ret == OVER)
		ret = over_limit(e, vfm_engine_late(e));
	return ret;
}
