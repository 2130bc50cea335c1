// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * How long a device will stand still, from what was measured while it ran. Pure
 * arithmetic: nothing here waits, reads a clock or knows a device.
 *
 * Everything has an error, in the sense of "within this, nearly always", and it
 * is wide where little was measured. What was not measured at all is assumed,
 * and said to be.
 */

#ifndef VFM_ENGINE_PREDICT_H
#define VFM_ENGINE_PREDICT_H

#include <stdbool.h>
#include <stdint.h>

#include <vfmig/error.h>
#include <vfmig/migrate.h>

/** Assumed of a stage that was not measured. Quick on purpose: it alone must refuse little. */
#define VFM_ASSUMED_RATE (UINT64_C(2) << 30)

/**
 * struct vfm_gauge - what a byte costs, from measurements in a row, older ones fading
 * @bytes, @ns: of all of them
 * @open_bytes, @open_ns: of the window that is not full yet
 * @cold: there was but one, which paid for what was never touched before: the next replaces it
 * @windows, @mean, @spread: whole windows, their ns for a byte, and sum of squares around it
 * @old_bytes: of @bytes, those that were there when it faded last
 */
struct vfm_gauge {
	double bytes, ns;
	double open_bytes, open_ns;
	double windows, mean, spread;
	bool cold;
	double old_bytes;
};

/** vfm_gauge_add() - one more; one that took no time or moved nothing tells nothing. */
void vfm_gauge_add(struct vfm_gauge *g, uint64_t bytes, uint64_t ns);

/**
 * vfm_gauge_fade() - what was measured so far counts half
 *
 * But only if enough has come since the last time to take its place: a few bytes now and then
 * take as long as the call does, and say little of what many would.
 */
void vfm_gauge_fade(struct vfm_gauge *g);

/**
 * struct vfm_cost - of a byte in a stage
 * @ns: for a byte
 * @error: of that, as a part of it: 0.1 is 10 %
 * @known: it was measured
 */
struct vfm_cost {
	double ns;
	double error;
	bool known;
};

/** vfm_gauge_cost() - of a gauge; the assumed one if nothing was measured. */
struct vfm_cost vfm_gauge_cost(const struct vfm_gauge *g);

/** vfm_cost_of_rate() - 0: unknown; @error as in struct vfm_cost, made sane. */
struct vfm_cost vfm_cost_of_rate(uint64_t bytes_per_second, double error);

/**
 * vfm_cost_doubt() - whether too little was measured to tell of so much
 * @measured, @left: bytes that it was measured with, and that it is to tell of
 *
 * A machine that was busy for a moment makes a few bytes look slow, and many times as
 * many slow beyond any limit. What a moment can have made is taken off then.
 */
bool vfm_cost_doubt(struct vfm_cost *cost, uint64_t measured, uint64_t left);

/** vfm_cost_rate() - bytes a second; 0: unknown. */
uint64_t vfm_cost_rate(const struct vfm_cost *cost);

/** struct vfm_arcs - steps between states that were measured */
struct vfm_arcs {
	unsigned int count;
	double ns;
};

/** struct vfm_span - a time and its error, in ns; @known: not a mere guess */
struct vfm_span {
	double ns;
	double error;
	bool known;
};

/** vfm_arcs_span() - what @count others will take. */
struct vfm_span vfm_arcs_span(const struct vfm_arcs *arcs, unsigned int count);

/**
 * struct vfm_forecast - what a prediction is made of
 * @save, @wire, @load: cost of the device's data in reading, sending and loading it
 * @memory: cost of DMA memory, which goes before the device's data
 * @device_bytes, @memory_bytes: what is left
 * @size_known: the device told how much that is
 * @record: bytes that pass from a stage to the next at a time
 * @overlap: reading and sending run at the same time; else one after the other
 * @source_arcs: from the state in which the decision falls to STOP_COPY
 * @last_arc: of the source, from STOP_COPY to STOP, while the destination begins to run
 * @prove, @run: of the destination, to STOP and on to RUNNING
 * @round_trip: of a record and its answer
 * @handover: of what must be on disk, or in a store, before the next step
 */
struct vfm_forecast {
	struct vfm_cost save, wire, load, memory;
	uint64_t device_bytes, memory_bytes;
	bool size_known;
	uint64_t record;
	bool overlap;
	struct vfm_span source_arcs, last_arc, prove, run, round_trip, handover;
};

/** vfm_predict() - the downtime, and what of it takes longest. */
void vfm_predict(struct vfm_prediction *p, const struct vfm_forecast *f);

/** vfm_forecast_unsure() - whether it is the data's costs that make the prediction a guess */
bool vfm_forecast_unsure(const struct vfm_forecast *f);

/**
 * vfm_prediction_fits() - whether it may be stopped under that limit
 *
 * With its error. Only when something had to be assumed that is left out: a limit
 * would otherwise refuse every device of which nothing can be known before.
 */
bool vfm_prediction_fits(const struct vfm_prediction *p, unsigned int max_downtime_ms);

/** vfm_prediction_words() - what takes longest, "loading at the destination is slowest, ..." */
void vfm_prediction_words(const struct vfm_prediction *p, char *text, size_t room);

#endif
