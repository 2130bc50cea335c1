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

#include "engine/engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

/* What a device told and what came may differ by that: it works on until it is stopped. */
#define TOLD_SLACK (UINT64_C(256) << 10)
#define TOLD_PART 4

/* A way there and back that was not measured. */
#define TRIP_UNKNOWN_NS 1e6

/* Of two measurements of the wire, one this much surer than the other is taken for both. */
#define SURER 2

/* Room for the words of a prediction. */
#define WORDS 160

#define MIB 1048576.0

/* ---- what is left ---------------------------------------------------------- */

static uint64_t add_sizes(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

int vfm_judge_pending(struct vfm_engine *e, struct vfm_rest *rest)
{
	struct vfm_precopy_info info;
	int ret = vfm_device_get_precopy_info(e->dev, &info, &e->err);
	uint64_t sum;

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
static int ask_size(struct vfm_engine *e, struct vfm_rest *rest)
{
	uint64_t size;
	int ret = vfm_device_get_data_size(e->dev, &size, &e->err);

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

/* @read: what the last round got from the device. */
static int estimate(struct vfm_engine *e, uint64_t read, struct vfm_rest *rest)
{
	int ret = 0;

	*rest = (struct vfm_rest){ .pending = read };
	if (e->migration & VFM_MIGRATION_PRE_COPY)
		ret = vfm_judge_pending(e, rest);
	if (!ret)
		ret = ask_size(e, rest);
	if (!ret && e->dirty) {
		vfm_dirty_report(e);
		rest->memory = vfm_dirty_bytes(e);
	}
	return ret;
}

void vfm_judge_sizes(struct vfm_engine *e)
{
	const struct vfm_rest *rest = &e->rest;
	uint64_t came = e->report.phases[VFM_PHASE_STOP_COPY].device_bytes;
	uint64_t slack = TOLD_SLACK + rest->told_high / TOLD_PART;

	e->report.came_bytes = came;
	if (!rest->told_any || e->paused)
		return;
	e->report.told_bytes = rest->told;
	e->report.told_wrong = add_sizes(came, slack) < rest->told_low ||
			       came > add_sizes(rest->told_high, slack) ||
			       (came && !rest->told_high);
}

/* ---- what it comes to ------------------------------------------------------- */

/* A source that has taken no step yet is taken to be like its destination. */
static void forecast_arcs(const struct vfm_engine *e, struct vfm_forecast *f)
{
	const struct vfm_arcs theirs = { .count = e->rates.arc_ns > 0,
					 .ns = (double)e->rates.arc_ns };
	const struct vfm_arcs *ours = e->arcs.count ? &e->arcs : &theirs;
	bool precopy = e->migration & VFM_MIGRATION_PRE_COPY;
	enum vfm_state at = precopy ? VFM_STATE_PRE_COPY : e->origin;

	if (!theirs.count)
		ours = &e->arcs;
	f->source_arcs = vfm_arcs_span(ours, vfm_engine_count_arcs(e, at, VFM_STATE_STOP_COPY));
	f->last_arc = vfm_arcs_span(ours, 1);
	f->prove = vfm_arcs_span(theirs.count ? &theirs : ours,
				 e->peer_rates ? e->rates.prove_arcs : 1);
	f->run = vfm_arcs_span(theirs.count ? &theirs : ours,
			       e->peer_rates ? e->rates.run_arcs
					     : vfm_engine_count_arcs(e, VFM_STATE_STOP,
								     VFM_STATE_RUNNING));
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
	bool save = vfm_cost_doubt(&f->save, (uint64_t)e->save.bytes, f->device_bytes);
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

static void predict(struct vfm_engine *e, const struct vfm_rest *rest)
{
	struct vfm_forecast f = {
		.save = vfm_gauge_cost(&e->save),
		.wire = vfm_gauge_cost(&e->wire),
		.memory = vfm_gauge_cost(&e->memory),
		.load = vfm_cost_of_rate(e->rates.load_rate, e->rates.load_error / 1000.0),
		.device_bytes = rest->device,
		.memory_bytes = rest->memory,
		.size_known = rest->device_known,
		.record = VFM_STREAM_PAYLOAD_MAX,
		.overlap = true,
	};

	share_cost(&f.wire, &f.memory);
	if (!f.wire.known)
		limit_cost(&f.wire, e->opts.rate);
	if (!f.memory.known)
		limit_cost(&f.memory, e->opts.rate);
	forecast_arcs(e, &f);
	vfm_predict(&e->least, &f);
	e->report.prediction = e->least;
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

static int refuse(struct vfm_engine *e, const struct vfm_rest *rest, bool late)
{
	const struct vfm_prediction *p = &e->report.prediction;
	char why[VFM_ERR_TEXT / 2], words[WORDS], when[48] = "";

	vfm_prediction_words(p, words, sizeof(words));
	if (late)
		snprintf(when, sizeof(when), " and %.1f s, %.1f are allowed",
			 (double)(vfm_now_ns() - e->began_ns) / 1e9,
			 (double)e->opts.max_time_ms / 1000);
	if (rest->initial)
		snprintf(why, sizeof(why),
			 "%.1f MiB of initial data are left, to be read before the stop",
			 (double)rest->initial / MIB);
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
static int over_limit(struct vfm_engine *e, const struct vfm_rest *rest, bool late)
{
	if (e->opts.on_limit != VFM_ON_LIMIT_FORCE)
		return refuse(e, rest, late);
	e->report.forced = true;
	return 1;
}

/*
 * What was measured with too little is measured again by another round. When there is none
 * any more, a device is not refused because of what a busy moment may have made of it.
 */
static int weigh(struct vfm_engine *e, uint64_t read, struct vfm_rest *rest)
{
	bool more = e->migration & VFM_MIGRATION_PRE_COPY || (e->dirty && !e->report.all_dirty);
	bool last = e->report.rounds >= e->opts.max_rounds || !more;
	bool late = vfm_engine_late(e);
	int ret = estimate(e, read, rest);

	if (ret)
		return ret;
	predict(e, rest);
	if (!rest->initial && fits(e, &e->report.prediction))
		return STOP;
	/* To read initial data first is a recommendation, and without a limit all may wait. */
	if (!e->opts.max_downtime_ms && last && !late)
		return STOP;
	if (!last && !late)
		return GO_ON;
	return !rest->initial && fits(e, &e->least) ? STOP : OVER;
}

int vfm_judge(struct vfm_engine *e, uint64_t read, struct vfm_rest *rest)
{
	int ret = weigh(e, read, rest);

	/* What the destination told last may be of before it had to do with what we sent. */
	if (e->peer_rates && (ret == STOP || (ret == OVER && !vfm_engine_late(e)))) {
		ret = vfm_rates_sync(e);
		if (ret == -EAGAIN)
			ret = OVER;
		else if (!ret)
			ret = weigh(e, read, rest);
	}
	if (ret == OVER)
		ret = over_limit(e, rest, vfm_engine_late(e));
	if (ret == STOP)
		e->rest = *rest;
	return ret;
}
