// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The arithmetic of a prediction. Single calls are too short to say anything of
 * how much a rate varies, so they are gathered to windows first.
 *
 * Surprise: the wire is measured where the source writes, and a destination that
 * loads slowly makes it look as slow. So when the two are nearly the same it is
 * the loading that is blamed, which was measured alone.
 */

#include "engine/predict.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/util.h"

/* Time in a stage that makes a window. */
#define WINDOW_NS 5e6

/* What is old fades when as much as this part of it is new. */
#define FADE_PART 0.5

/* Part of a rate that is never believed, and what is added when there are few windows. */
#define ERROR_FLOOR 0.03
#define ERROR_FEW 1.0

/* With an error of that there were not three windows, and of what is left less than this part. */
#define DOUBT_ERROR 0.27
#define DOUBT_PART 4

/* How long a busy machine may keep us waiting in the middle of a measurement. */
#define MOMENT_NS 5e7

/* A prediction that may be off by more than this part because of the data's costs is a guess. */
#define UNSURE_PART 0.15

/* A step is judged from others, which may be of another kind. */
#define ARC_ERROR 0.5
#define ARC_ERROR_NS 5e4

/* Of a step when none was measured, and of a round trip. */
#define ARC_UNKNOWN_NS 1e6
#define TRIP_ERROR_NS 2e5

/* Somebody else may always have the processor for a while. */
#define NOISE_NS 5e5

/* What a device may have that does not tell how much it has. */
#define SIZE_UNKNOWN ((double)(64 << 20))

/* The wire is as slow as loading makes it, if it is not slower than that by this factor. */
#define SAME 1.15

#define MIB 1048576.0

static double square(double x)
{
	return x * x;
}

/* What comes from a peer may be absurd, and must not be undefined on top of it. */
static uint64_t to_us(double ns)
{
	double us = ns / 1000 + 0.5;

	return us >= (double)(UINT64_C(1) << 62) ? UINT64_C(1) << 62 : (uint64_t)us;
}

/* ---- measurements --------------------------------------------------------- */

void vfm_gauge_add(struct vfm_gauge *g, uint64_t bytes, uint64_t ns)
{
	double cost, off;

	if (!bytes || !ns)
		return;
	if (g->cold)
		*g = (struct vfm_gauge){ 0 };
	else
		g->cold = g->bytes <= 0;
	g->bytes += (double)bytes;
	g->ns += (double)ns;
	g->open_bytes += (double)bytes;
	g->open_ns += (double)ns;
	if (g->open_ns < WINDOW_NS)
		return;
	cost = g->open_ns / g->open_bytes;
	off = cost - g->mean;
	g->windows += 1;
	g->mean += off / g->windows;
	g->spread += off * (cost - g->mean);
	g->open_bytes = g->open_ns = 0;
}

void vfm_gauge_fade(struct vfm_gauge *g)
{
	if (g->bytes - g->old_bytes < g->old_bytes * FADE_PART)
		return;
	g->bytes /= 2;
	g->ns /= 2;
	g->windows /= 2;
	g->spread /= 2;
	g->old_bytes = g->bytes;
}

struct vfm_cost vfm_gauge_cost(const struct vfm_gauge *g)
{
	struct vfm_cost cost = { .known = true };
	double deviation = 0;

	if (g->bytes <= 0 || g->ns <= 0)
		return vfm_cost_of_rate(0, 0);
	cost.ns = g->ns / g->bytes;
	if (g->windows > 1 && g->mean > 0)
		deviation = sqrt(g->spread / (g->windows - 0.5)) / g->mean;
	cost.error = ERROR_FLOOR + ERROR_FEW / (1 + g->windows) +
		     2 * deviation / sqrt(VFM_MAX(g->windows, 1.0));
	return cost;
}

struct vfm_cost vfm_cost_of_rate(uint64_t bytes_per_second, double error)
{
	if (!bytes_per_second)
		return (struct vfm_cost){ .ns = 1e9 / (double)VFM_ASSUMED_RATE, .error = 1 };
	if (!(error >= ERROR_FLOOR)) /* not a number is not, either */
		error = ERROR_FLOOR;
	return (struct vfm_cost){ .ns = 1e9 / (double)bytes_per_second,
				  .error = VFM_MIN(error, 10),
				  .known = true };
}

bool vfm_cost_doubt(struct vfm_cost *cost, uint64_t measured, uint64_t left)
{
	double quick = 1e9 / (double)VFM_ASSUMED_RATE;

	if (!cost->known || cost->error < DOUBT_ERROR || measured >= left / DOUBT_PART)
		return false;
	quick = VFM_MAX(quick, cost->ns - MOMENT_NS / (double)VFM_MAX(measured, 1));
	cost->ns = VFM_MIN(cost->ns, quick);
	return true;
}

uint64_t vfm_cost_rate(const struct vfm_cost *cost)
{
	double rate = cost->known && cost->ns > 0 ? 1e9 / cost->ns : 0;

	return rate >= (double)(UINT64_C(1) << 62) ? UINT64_C(1) << 62 : (uint64_t)rate;
}

struct vfm_span vfm_arcs_span(const struct vfm_arcs *arcs, unsigned int count)
{
	struct vfm_span span = { .known = arcs->count > 0 };

	if (!span.known) {
		span.error = count * ARC_UNKNOWN_NS;
		return span;
	}
	span.ns = arcs->ns / arcs->count * count;
	span.error = span.ns * ARC_ERROR + count * ARC_ERROR_NS;
	return span;
}

/* ---- the prediction -------------------------------------------------------- */

/* Times of the three stages for the data of the device, each alone, and what they come to. */
struct transfer {
	double save, wire, load;
	double ns;
	double error;
};

/* A record that has left the slowest stage, or is on its way to it, has others to pass. */
static double tail(const struct vfm_forecast *f, bool load_is_slowest)
{
	double record = (double)VFM_MIN(f->record, f->device_bytes);

	if (load_is_slowest)
		return record * (f->save.ns + f->wire.ns);
	if (!f->overlap)
		return record * f->load.ns;
	return record * (f->load.ns + VFM_MIN(f->save.ns, f->wire.ns));
}

static void transfer_of(struct transfer *t, const struct vfm_forecast *f)
{
	double bytes = (double)f->device_bytes, source, source_error;

	t->save = bytes * f->save.ns;
	t->wire = bytes * f->wire.ns;
	t->load = bytes * f->load.ns;
	source = f->overlap ? VFM_MAX(t->save, t->wire) : t->save + t->wire;
	/* What makes one of them wrong is often the same for both: a cold start, a busy machine. */
	source_error = t->save * f->save.error + t->wire * f->wire.error;
	if (f->overlap)
		source_error =
			t->save > t->wire ? t->save * f->save.error : t->wire * f->wire.error;
	t->ns = VFM_MAX(source, t->load) + tail(f, t->load > source);
	t->error = t->load > source ? t->load * f->load.error : source_error;
	if (!f->size_known)
		t->error += SIZE_UNKNOWN * VFM_MAX(VFM_MAX(f->save.ns, f->wire.ns), f->load.ns);
	/* Behind loading that is as slow it is not known how slow the wire is. */
	if (t->load > 0 && t->wire <= t->load * SAME && t->wire * SAME >= t->load)
		t->wire = 0;
}

/* What takes longest, and by how much before the next. */
static void find_longest(struct vfm_prediction *p, const double *parts, size_t count)
{
	double first = 0, second = 0;

	for (size_t i = 0; i < count; i++) {
		if (parts[i] > first) {
			second = first;
			first = parts[i];
			p->limiting = (enum vfm_part)i;
		} else if (parts[i] > second) {
			second = parts[i];
		}
	}
	p->limiting_us = to_us(first);
	p->margin_us = to_us(first - second);
}

void vfm_predict(struct vfm_prediction *p, const struct vfm_forecast *f)
{
	double memory = (double)f->memory_bytes * f->memory.ns;
	double commit = VFM_MAX(f->last_arc.ns, f->run.ns + f->round_trip.ns);
	struct transfer t;
	double error;

	transfer_of(&t, f);
	error = square(f->source_arcs.error) + square(memory * f->memory.error) + square(t.error) +
		square(f->prove.error + f->run.error) + square(2 * f->round_trip.error) +
		square(f->handover.error);
	*p = (struct vfm_prediction){
		.downtime_us = to_us(f->source_arcs.ns + memory + t.ns + f->prove.ns +
				     f->round_trip.ns + commit + f->handover.ns),
		.error_us = to_us(sqrt(error) + NOISE_NS),
		.assumed = !f->size_known ||
			   (f->device_bytes && !(f->save.known && f->wire.known)) ||
			   (f->memory_bytes && !f->memory.known),
		.device_bytes = f->device_bytes,
		.memory_bytes = f->memory_bytes,
		.save_rate = vfm_cost_rate(&f->save),
		.wire_rate = vfm_cost_rate(f->wire.known ? &f->wire : &f->memory),
		.load_rate = vfm_cost_rate(&f->load),
		.source_arcs_us = to_us(f->source_arcs.ns),
		.destination_arcs_us = to_us(f->prove.ns + f->run.ns),
		.round_trip_us = to_us(f->round_trip.ns),
		.handover_us = to_us(f->handover.ns),
	};
	find_longest(p,
		     (const double[]){
			     [VFM_PART_SOURCE_ARCS] = f->source_arcs.ns,
			     [VFM_PART_MEMORY] = memory,
			     [VFM_PART_SAVE] = t.save,
			     [VFM_PART_WIRE] = t.wire,
			     [VFM_PART_LOAD] = t.load,
			     [VFM_PART_DESTINATION_ARCS] = f->prove.ns + f->run.ns,
			     [VFM_PART_ROUND_TRIPS] = 2 * f->round_trip.ns,
			     [VFM_PART_HANDOVER] = f->handover.ns,
		     },
		     VFM_NR_PARTS);
}

bool vfm_forecast_unsure(const struct vfm_forecast *f)
{
	double memory = (double)f->memory_bytes * f->memory.ns;
	struct transfer t;

	transfer_of(&t, f);
	return t.error + memory * f->memory.error >
	       UNSURE_PART * (f->source_arcs.ns + memory + t.ns + f->prove.ns + f->run.ns);
}

bool vfm_prediction_fits(const struct vfm_prediction *p, unsigned int max_downtime_ms)
{
	return p->downtime_us + (p->assumed ? 0 : p->error_us) <= (uint64_t)max_downtime_ms * 1000;
}

/* ---- words ----------------------------------------------------------------- */

static const char *const part_names[VFM_NR_PARTS] = {
	[VFM_PART_NONE] = "none",
	[VFM_PART_SOURCE_ARCS] = "source-arcs",
	[VFM_PART_MEMORY] = "memory",
	[VFM_PART_SAVE] = "save",
	[VFM_PART_WIRE] = "wire",
	[VFM_PART_LOAD] = "load",
	[VFM_PART_DESTINATION_ARCS] = "destination-arcs",
	[VFM_PART_ROUND_TRIPS] = "round-trips",
	[VFM_PART_HANDOVER] = "handover",
};

VFM_API const char *vfm_part_name(enum vfm_part part)
{
	return (size_t)part < VFM_NR_PARTS ? part_names[part] : "invalid";
}

static void stage_words(const struct vfm_prediction *p, const char *what, uint64_t rate, char *text,
			size_t room)
{
	double shown = (double)rate;

	if (!rate && p->limiting_us)
		shown = (double)p->device_bytes * 1e6 / (double)p->limiting_us;
	snprintf(text, room, "%s is slowest, %.1f MiB/s%s for %.1f MiB", what, shown / MIB,
		 rate ? "" : " (assumed)", (double)p->device_bytes / MIB);
}

void vfm_prediction_words(const struct vfm_prediction *p, char *text, size_t room)
{
	switch (p->limiting) {
	case VFM_PART_SAVE:
		stage_words(p, "reading the source", p->save_rate, text, room);
		break;
	case VFM_PART_WIRE:
		stage_words(p, "the wire", p->wire_rate, text, room);
		break;
	case VFM_PART_LOAD:
		stage_words(p, "loading at the destination", p->load_rate, text, room);
		break;
	case VFM_PART_MEMORY:
		snprintf(text, room, "sending memory takes longest, %.1f ms for %.1f MiB",
			 (double)p->limiting_us / 1000, (double)p->memory_bytes / MIB);
		break;
	case VFM_PART_SOURCE_ARCS:
		snprintf(text, room, "the source's steps to STOP_COPY take longest, about %.1f ms",
			 (double)p->source_arcs_us / 1000);
		break;
	case VFM_PART_DESTINATION_ARCS:
		snprintf(text, room,
			 "the destination's steps to RUNNING take longest, about %.1f ms",
			 (double)p->destination_arcs_us / 1000);
		break;
	case VFM_PART_ROUND_TRIPS:
		snprintf(text, room, "the way there and back takes longest, 2 times %.1f ms",
			 (double)p->round_trip_us / 1000);
		break;
	case VFM_PART_HANDOVER:
		snprintf(text, room,
			 "writing down whose the device is takes longest, about %.1f ms",
			 (double)p->handover_us / 1000);
		break;
	default:
		snprintf(text, room, "nothing stands in the way");
	}
}
