// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The arithmetic of a prediction, against stages that are walked record by record,
 * and the properties that an error must have. No clock and no device here.
 */

#include "test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "engine/predict.h"
#include "random.h"

#define MIB (UINT64_C(1) << 20)
#define MS 1000000.0

static bool near(double a, double b, double part)
{
	return fabs(a - b) <= part * VFM_MAX(fabs(a), fabs(b)) + 1e-9;
}

/* ---- measurements --------------------------------------------------------- */

static void a_gauge_is_all_time_over_all_bytes(void **state)
{
	uint64_t random = 7;

	(void)state;
	for (int run = 0; run < 200; run++) {
		unsigned int count = 2 + (unsigned int)test_random_below(&random, 400);
		double bytes = 0, ns = 0;
		struct vfm_gauge g = { 0 };
		struct vfm_cost cost;

		for (unsigned int i = 0; i < count; i++) {
			uint64_t b = 1 + test_random_below(&random, MIB);
			uint64_t t = 1 + test_random_below(&random, 20000000);

			vfm_gauge_add(&g, b, t);
			/* Neither says anything, and neither may be divided by. */
			vfm_gauge_add(&g, 0, t);
			vfm_gauge_add(&g, b, 0);
			if (i == 0)
				continue; /* the first call is a cold one */
			bytes += (double)b;
			ns += (double)t;
		}
		cost = vfm_gauge_cost(&g);
		assert_true(cost.known);
		assert_true(near(cost.ns, ns / bytes, 1e-9));
		vfm_gauge_fade(&g);
		assert_true(near(vfm_gauge_cost(&g).ns, ns / bytes, 1e-9));
		assert_true(near((double)vfm_cost_rate(&cost), 1e9 * bytes / ns, 1e-3));
	}
}

static struct vfm_gauge steady(unsigned int windows, uint64_t slow)
{
	struct vfm_gauge g = { 0 };

	vfm_gauge_add(&g, MIB, 77777777); /* cold */
	for (unsigned int i = 0; i < windows; i++)
		vfm_gauge_add(&g, MIB, i % 2 ? slow : 10000000);
	return g;
}

static void little_is_known_of_few_measurements(void **state)
{
	struct vfm_gauge none = { 0 };
	struct vfm_cost cost = vfm_gauge_cost(&none);
	double last = 2;

	(void)state;
	assert_false(cost.known);
	assert_true(cost.error >= 1);
	assert_int_equal(vfm_cost_rate(&cost), 0);
	for (unsigned int n = 1; n < 100; n++) {
		struct vfm_gauge g = steady(n, 10000000);

		cost = vfm_gauge_cost(&g);
		assert_true(cost.known);
		assert_true(cost.error < last);
		assert_true(cost.error >= 0.03);
		last = cost.error;
	}
	assert_true(last < 0.05);
	/* What was measured long ago counts less, and so does its certainty. */
	struct vfm_gauge faded = steady(50, 10000000);

	vfm_gauge_fade(&faded);
	assert_true(vfm_gauge_cost(&faded).error > last);
}

/* Rounds that move next to nothing do not make what is known forgotten. */
static void little_does_not_replace_much(void **state)
{
	struct vfm_gauge g = steady(8, 10000000);
	struct vfm_cost cost;
	double error;

	(void)state;
	vfm_gauge_fade(&g);
	error = vfm_gauge_cost(&g).error;
	for (int i = 0; i < 2000; i++)
		vfm_gauge_fade(&g);
	assert_true(vfm_gauge_cost(&g).error == error);
	for (int i = 0; i < 100; i++) {
		vfm_gauge_add(&g, 24, 10000);
		vfm_gauge_fade(&g);
	}
	cost = vfm_gauge_cost(&g);
	assert_true(near(cost.ns, 10000000.0 / MIB, 0.1));
	/* As much as there was does. */
	for (int i = 0; i < 40; i++) {
		vfm_gauge_add(&g, 2 * MIB, 5000000);
		vfm_gauge_fade(&g);
	}
	cost = vfm_gauge_cost(&g);
	assert_true(near(cost.ns, 2500000.0 / MIB, 0.1));
}

static void little_tells_little_of_much(void **state)
{
	/* clang-format off */
	static const struct {
		unsigned int windows;
		uint64_t measured, left;
		bool doubtful;
	} rows[] = {
		{ 1, MIB, 8 * MIB, true }, { 1, MIB, 4 * MIB, false }, { 1, MIB, 0, false },
		{ 9, MIB, 8 * MIB, false }, { 1, 0, 8 * MIB, true }, { 1, 0, 0, false },
	};
	/* clang-format on */
	struct vfm_cost cost;

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		struct vfm_gauge g = steady(rows[i].windows, 10000000);
		double ns = vfm_gauge_cost(&g).ns;

		cost = vfm_gauge_cost(&g);
		assert_int_equal(vfm_cost_doubt(&cost, rows[i].measured, rows[i].left),
				 rows[i].doubtful);
		assert_true(rows[i].doubtful ? cost.ns < ns : cost.ns == ns);
		assert_true(cost.ns > 0);
	}
	/* More than a moment can explain stays; what nobody measured, nobody doubts. */
	cost = vfm_cost_of_rate(10 * MIB, 1);
	assert_true(vfm_cost_doubt(&cost, 2 * MIB, 16 * MIB));
	assert_true(near(cost.ns, 1e9 / (10.0 * MIB) - 25 / 1.048576, 1e-6));
	cost = vfm_cost_of_rate(0, 0);
	assert_false(vfm_cost_doubt(&cost, 1, 16 * MIB));
}

static void what_varies_is_not_certain(void **state)
{
	double last = 0;

	(void)state;
	for (uint64_t slow = 10000000; slow < 100000000; slow += 10000000) {
		struct vfm_gauge g = steady(40, slow);

		assert_true(vfm_gauge_cost(&g).error > last);
		last = vfm_gauge_cost(&g).error;
	}
	assert_true(last > 0.2);
}

static void rates_that_are_told(void **state)
{
	static const double errors[] = { -1, 0, 0.01, 0.5, 100, INFINITY, NAN };

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(errors); i++) {
		struct vfm_cost cost = vfm_cost_of_rate(MIB, errors[i]);

		assert_true(cost.known);
		assert_true(cost.error >= 0.03 && cost.error <= 10);
		assert_int_equal(vfm_cost_rate(&cost), MIB);
	}
	assert_false(vfm_cost_of_rate(0, 0).known);
	assert_true(vfm_cost_of_rate(UINT64_MAX, 0).ns > 0);
}

static void steps_are_judged_from_others(void **state)
{
	const struct vfm_arcs none = { 0 }, some = { .count = 4, .ns = 8 * MS };
	struct vfm_span span = vfm_arcs_span(&none, 3);

	(void)state;
	assert_false(span.known);
	assert_true(span.ns == 0 && span.error >= 3 * MS);
	for (unsigned int n = 0; n < 5; n++) {
		span = vfm_arcs_span(&some, n);
		assert_true(span.known);
		assert_true(near(span.ns, n * 2 * MS, 1e-9));
		assert_true(n == 0 || (span.error > span.ns / 4 && span.error < span.ns));
	}
}

/* ---- stages ---------------------------------------------------------------- */

/* The same, record by record: a stage begins when it is free and the record is there. */
static double walk(const struct vfm_forecast *f)
{
	double read = 0, sent = 0, loaded = 0;

	for (uint64_t at = 0; at < f->device_bytes; at += f->record) {
		double bytes = (double)VFM_MIN(f->record, f->device_bytes - at);

		if (!f->overlap)
			read = VFM_MAX(read, sent);
		read += bytes * f->save.ns;
		sent = VFM_MAX(sent, read) + bytes * f->wire.ns;
		loaded = VFM_MAX(loaded, sent) + bytes * f->load.ns;
	}
	return loaded;
}

static struct vfm_cost cost_of(double ns)
{
	return (struct vfm_cost){ .ns = ns, .error = 0.1, .known = true };
}

static void stages_overlap_as_they_are_told_to(void **state)
{
	static const double costs[] = { 0.1, 1, 3, 10, 30, 100 };
	static const uint64_t sizes[] = { 1, 4096, MIB, 10 * MIB + 77, 300 * MIB };
	const size_t n = VFM_ARRAY_SIZE(costs);
	unsigned int cases = 0;

	(void)state;
	for (size_t i = 0; i < n * n * n * 2 * VFM_ARRAY_SIZE(sizes); i++) {
		struct vfm_forecast f = {
			.save = cost_of(costs[i % n]),
			.wire = cost_of(costs[i / n % n]),
			.load = cost_of(costs[i / n / n % n]),
			.overlap = i / n / n / n % 2,
			.device_bytes = sizes[i / n / n / n / 2],
			.size_known = true,
			.record = MIB,
		};
		double truth = walk(&f), one = (double)VFM_MIN(MIB, f.device_bytes);
		struct vfm_prediction p;

		vfm_predict(&p, &f);
		/* A record may be shorter than those that were reckoned with, and us are rounded.
		 */
		if (fabs((double)p.downtime_us * 1000 - truth) >
		    one * (f.save.ns + f.wire.ns + f.load.ns) * 0.35 + truth * 0.01 + 1000)
			fail_msg("%zu: predicted %llu us, walked %.0f", i,
				 (unsigned long long)p.downtime_us, truth / 1000);
		cases++;
	}
	print_message("# %u cases\n", cases);
}

/* ---- what it comes to -------------------------------------------------------- */

static struct vfm_forecast nothing_left(void)
{
	return (struct vfm_forecast){ .save = cost_of(1),
				      .wire = cost_of(1),
				      .load = cost_of(1),
				      .memory = cost_of(1),
				      .size_known = true,
				      .record = MIB };
}

/* Make one part take 100 ms more. */
static void stretch(struct vfm_forecast *f, enum vfm_part part)
{
	const struct vfm_span span = { .ns = 100 * MS, .error = 10 * MS, .known = true };

	f->device_bytes = MIB;
	switch (part) {
	case VFM_PART_SOURCE_ARCS:
		f->source_arcs = span;
		break;
	case VFM_PART_MEMORY:
		f->memory_bytes = 100000000;
		break;
	case VFM_PART_SAVE:
		f->save = cost_of(100 * MS / MIB);
		break;
	case VFM_PART_WIRE:
		f->wire = cost_of(100 * MS / MIB);
		break;
	case VFM_PART_LOAD:
		f->load = cost_of(100 * MS / MIB);
		break;
	case VFM_PART_DESTINATION_ARCS:
		f->prove = span;
		break;
	case VFM_PART_ROUND_TRIPS:
		f->round_trip = (struct vfm_span){ .ns = 50 * MS, .error = 5 * MS, .known = true };
		break;
	case VFM_PART_HANDOVER:
		f->handover = span;
		break;
	case VFM_PART_NONE:
		break;
	}
}

static void the_longest_part_is_named(void **state)
{
	(void)state;
	for (enum vfm_part part = VFM_PART_SOURCE_ARCS; part < VFM_NR_PARTS; part++) {
		for (int overlap = 0; overlap < 2; overlap++) {
			struct vfm_forecast f = nothing_left();
			struct vfm_prediction p;
			char words[160];

			f.overlap = overlap;
			stretch(&f, part);
			vfm_predict(&p, &f);
			assert_int_equal(p.limiting, part);
			assert_in_range(p.downtime_us, 100000, 110000);
			assert_in_range(p.limiting_us, 99000, 101000);
			assert_in_range(p.margin_us, 95000, 100000);
			assert_in_range(p.error_us, 5000, 20000);
			assert_false(p.assumed);
			vfm_prediction_words(&p, words, sizeof(words));
			assert_non_null(strstr(words, "est, "));
		}
	}
	assert_string_equal(vfm_part_name(VFM_PART_LOAD), "load");
	assert_string_equal(vfm_part_name((enum vfm_part)VFM_NR_PARTS), "invalid");
	assert_string_equal(vfm_part_name((enum vfm_part) - 1), "invalid");
}

/* The wire is measured behind a destination that loads: when they are as slow it is loading. */
static void back_pressure_is_not_the_wire(void **state)
{
	struct vfm_forecast f = nothing_left();
	struct vfm_prediction p;

	(void)state;
	f.device_bytes = 100 * MIB;
	f.load = cost_of(20);
	for (int wire = 1; wire < 40; wire++) {
		f.wire = cost_of(wire);
		vfm_predict(&p, &f);
		assert_int_equal(p.limiting, wire <= 23 ? VFM_PART_LOAD : VFM_PART_WIRE);
	}
}

/* The source steps to STOP while the destination begins to run. */
static void the_last_step_is_hidden(void **state)
{
	struct vfm_forecast f = nothing_left();
	struct vfm_prediction p;

	(void)state;
	f.run.ns = 10 * MS;
	for (int last = 0; last < 20; last++) {
		f.last_arc.ns = last * MS;
		vfm_predict(&p, &f);
		assert_int_equal(p.downtime_us, last > 10 ? last * 1000 : 10000);
	}
}

static void errors_only_grow(void **state)
{
	struct vfm_forecast f = nothing_left();
	struct vfm_prediction one, other;

	(void)state;
	f.device_bytes = 100 * MIB;
	f.memory_bytes = 100 * MIB;
	vfm_predict(&one, &f);
	f.save.error = f.wire.error = 0.5;
	vfm_predict(&other, &f);
	assert_true(other.error_us > one.error_us);
	one = other;
	f.round_trip.error = 500 * MS;
	vfm_predict(&other, &f);
	assert_true(other.error_us > one.error_us);
	one = other;
	f.size_known = false;
	vfm_predict(&other, &f);
	assert_true(other.error_us >= one.error_us);
	assert_true(other.assumed && !one.assumed);
}

/* A guess is what the data's costs make so; steps are not measured better by reading more. */
static void a_guess_is_known(void **state)
{
	struct vfm_forecast f = nothing_left();

	(void)state;
	f.prove.error = 500 * MS;
	assert_false(vfm_forecast_unsure(&f));
	f.device_bytes = 100 * MIB;
	f.save.error = f.wire.error = f.load.error = 0.1;
	assert_false(vfm_forecast_unsure(&f));
	f.save.error = f.wire.error = f.load.error = 0.5;
	assert_true(vfm_forecast_unsure(&f));
	f.prove.ns = 1e12; /* beside that it does not matter */
	assert_false(vfm_forecast_unsure(&f));
	f.prove.ns = f.device_bytes = 0;
	assert_false(vfm_forecast_unsure(&f));
	f.memory_bytes = 100 * MIB;
	f.memory.error = 0.5;
	assert_true(vfm_forecast_unsure(&f));
}

static void what_was_assumed_is_said(void **state)
{
	(void)state;
	for (int known = 0; known < 8; known++) {
		struct vfm_forecast f = nothing_left();
		struct vfm_prediction p;

		f.save.known = known & 1;
		f.wire.known = known & 2;
		f.memory.known = known & 4;
		vfm_predict(&p, &f);
		assert_false(p.assumed); /* there is nothing to move */
		f.device_bytes = 1;
		vfm_predict(&p, &f);
		assert_int_equal(p.assumed, (known & 3) != 3);
		f.device_bytes = 0;
		f.memory_bytes = 1;
		vfm_predict(&p, &f);
		assert_int_equal(p.assumed, !(known & 4));
	}
}

/* A peer can say anything; whatever it is, the result is a number and the words end. */
static void absurd_values(void **state)
{
	static const double values[] = { 0, 1e-30, 1, 1e12, 1e30, 1e200 };
	static const uint64_t sizes[] = { 0, 1, UINT64_C(1) << 40, UINT64_MAX };
	const size_t n = VFM_ARRAY_SIZE(values);

	(void)state;
	for (size_t i = 0; i < n * n * VFM_ARRAY_SIZE(sizes) * 2; i++) {
		struct vfm_forecast f = nothing_left();
		struct vfm_prediction p;
		char words[160];

		f.save = f.wire = cost_of(values[i % n]);
		f.load = cost_of(values[i / n % n]);
		f.prove = f.source_arcs = (struct vfm_span){ values[i % n], values[i / n % n], 1 };
		f.device_bytes = f.memory_bytes = sizes[i / n / n % VFM_ARRAY_SIZE(sizes)];
		f.size_known = f.overlap = i >= n * n * VFM_ARRAY_SIZE(sizes);
		vfm_predict(&p, &f);
		assert_true(p.downtime_us <= UINT64_C(1) << 62);
		assert_true(p.limiting < VFM_NR_PARTS);
		for (enum vfm_part part = 0; part <= VFM_NR_PARTS; part++) {
			p.limiting = part;
			vfm_prediction_words(&p, words, sizeof(words));
			assert_true(strlen(words) > 8 && strlen(words) < sizeof(words));
		}
	}
}

static void limits(void **state)
{
	static const struct {
		uint64_t us, error;
		bool assumed;
		unsigned int ms;
		bool fits;
	} rows[] = {
		{ 300000, 0, false, 300, true },
		{ 300001, 0, false, 300, false },
		{ 250000, 50000, false, 300, true },
		{ 250000, 50001, false, 300, false },
		{ 250000, 900000, true, 300, true },
		{ 300001, 0, true, 300, false },
		{ UINT64_C(1) << 62, UINT64_C(1) << 62, false, UINT32_MAX, false },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		const struct vfm_prediction p = { .downtime_us = rows[i].us,
						  .error_us = rows[i].error,
						  .assumed = rows[i].assumed };

		if (vfm_prediction_fits(&p, rows[i].ms) != rows[i].fits)
			fail_msg("row %zu", i);
	}
}

static void words(void **state)
{
	static const struct {
		struct vfm_prediction p;
		const char *text;
	} rows[] = {
		{ { .limiting = VFM_PART_LOAD, .load_rate = 95 * MIB, .device_bytes = 78 * MIB },
		  "loading at the destination is slowest, 95.0 MiB/s for 78.0 MiB" },
		{ { .limiting = VFM_PART_SAVE, .limiting_us = 2000000, .device_bytes = 10 * MIB },
		  "reading the source is slowest, 5.0 MiB/s (assumed) for 10.0 MiB" },
		{ { .limiting = VFM_PART_SOURCE_ARCS, .source_arcs_us = 1500 },
		  "the source's steps to STOP_COPY take longest, about 1.5 ms" },
		{ { .limiting = VFM_PART_MEMORY, .limiting_us = 1500, .memory_bytes = MIB },
		  "sending memory takes longest, 1.5 ms for 1.0 MiB" },
		{ { .limiting = VFM_PART_ROUND_TRIPS, .round_trip_us = 80000 },
		  "the way there and back takes longest, 2 times 80.0 ms" },
		{ { .limiting = VFM_PART_HANDOVER, .handover_us = 30000 },
		  "writing down whose the device is takes longest, about 30.0 ms" },
		{ { .limiting = VFM_PART_NONE }, "nothing stands in the way" },
	};

	(void)state;
	for (size_t i = 0; i < VFM_ARRAY_SIZE(rows); i++) {
		char text[160];

		vfm_prediction_words(&rows[i].p, text, sizeof(text));
		assert_string_equal(text, rows[i].text);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_gauge_is_all_time_over_all_bytes),
		cmocka_unit_test(little_is_known_of_few_measurements),
		cmocka_unit_test(little_does_not_replace_much),
		cmocka_unit_test(little_tells_little_of_much),
		cmocka_unit_test(what_varies_is_not_certain),
		cmocka_unit_test(rates_that_are_told),
		cmocka_unit_test(steps_are_judged_from_others),
		cmocka_unit_test(stages_overlap_as_they_are_told_to),
		cmocka_unit_test(the_longest_part_is_named),
		cmocka_unit_test(back_pressure_is_not_the_wire),
		cmocka_unit_test(the_last_step_is_hidden),
		cmocka_unit_test(errors_only_grow),
		cmocka_unit_test(a_guess_is_known),
		cmocka_unit_test(what_was_assumed_is_said),
		cmocka_unit_test(absurd_values),
		cmocka_unit_test(limits),
		cmocka_unit_test(words),
	};

	return RUN_TESTS(tests);
}
