// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What the destination tells of itself while it loads: how fast it is, and how
 * far. It offers to in READY, and does when a PHASE asks for it: at each of those,
 * and a few times a second in between. A source that does not know of it does not
 * ask, and a destination that does not, does not offer.
 *
 * A PHASE is answered when all that came before it has been loaded. So asking and
 * waiting for the answer is how the source knows that nothing is under way any
 * more; see vfm_rates_sync().
 */

#include "engine/unit.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/util.h"

#define TELL_NS 250000000u

/* Ways there and back that are measured, once in a migration. */
#define TRIPS 4

/* How often the end of the time is looked for while we wait. */
#define SYNC_MS 100

/* ---- the destination ------------------------------------------------------ */

static void fill(struct vfm_engine *e, uint8_t buf[VFM_LAYOUT_RATES_SIZE])
{
	struct vfm_cost load = vfm_unit_load_cost(e);
	struct vfm_rates rates = {
		.load_rate = vfm_cost_rate(&load),
		.load_error = (uint32_t)(load.error * 1000),
		.loaded = e->report.state_bytes,
		.arc_ns = (uint64_t)vfm_unit_step(e).ns,
		.prove_arcs = vfm_unit_arcs(e, VFM_STATE_RESUMING, VFM_STATE_STOP),
		.run_arcs = vfm_unit_arcs(e, VFM_STATE_STOP, VFM_STATE_RUNNING),
		.width = e->hands ? vfm_unit_width(e) : 0,
		.phases = e->phases,
	};

	vfm_layout_write_rates(&rates, buf);
	e->rates_ns = vfm_now_ns();
}

int vfm_rates_ready(struct vfm_engine *e)
{
	uint8_t buf[VFM_LAYOUT_RATES_SIZE];

	fill(e, buf);
	return vfm_engine_write(e, VFM_STREAM_READY, buf, sizeof(buf));
}

static bool is_time(const struct vfm_engine *e)
{
	struct pollfd out = { .fd = e->fd, .events = POLLOUT };

	/* A source that does not listen now need not be told now. */
	return vfm_now_ns() - e->rates_ns >= TELL_NS && poll(&out, 1, 0) == 1;
}

int vfm_rates_tell(struct vfm_engine *e, bool now)
{
	uint8_t buf[VFM_LAYOUT_RATES_SIZE];

	if (!e->peer_rates || (!now && !is_time(e)))
		return 0;
	fill(e, buf);
	if (!vfm_stream_write(e->out, VFM_STREAM_RATES, VFM_STREAM_OPTIONAL, 0, buf, sizeof(buf),
			      NULL))
		return 0;
	/* A source that is gone has told why, and we shall come to that in what it sent. */
	e->peer_rates = false;
	e->torn = true;
	if (!e->cause.code)
		return 0;
	e->err = e->cause;
	return e->err.code;
}

/* ---- the source ------------------------------------------------------------ */

int vfm_rates_take(struct vfm_engine *e, const struct vfm_stream_record *record)
{
	int ret = vfm_layout_read_rates(&e->rates, record, &e->err);

	if (!ret)
		e->peer_rates = true;
	return ret;
}

static bool in_step(const struct vfm_engine *e)
{
	return e->rates.phases == e->phases && e->rates.loaded >= e->report.state_bytes;
}

int vfm_rates_stalled(struct vfm_engine *e, struct vfm_stall *stall)
{
	uint64_t limit_ns = (uint64_t)e->opts.timeout_ms * 1000000;
	uint64_t now = vfm_now_ns();

	if (!stall->moved_ns || e->rates.loaded > stall->loaded)
		*stall = (struct vfm_stall){ e->rates.loaded, now };
	if (!limit_ns || now - stall->moved_ns <= limit_ns)
		return 0;
	return vfm_fail(&e->err, -ETIMEDOUT, "the destination has loaded nothing for %u ms",
			e->opts.timeout_ms);
}

/* Longer than the other side may be silent it may not stand still, either. */
static int wait_in_step(struct vfm_engine *e)
{
	struct vfm_stall stall = { 0 };

	while (!in_step(e)) {
		int ret = vfm_rates_stalled(e, &stall);

		if (!ret)
			ret = vfm_engine_idle(e, SYNC_MS);
		if (ret)
			return ret;
		if (vfm_engine_late(e))
			return in_step(e) ? 0 : -EAGAIN;
	}
	return 0;
}

/* Ask and wait for the answer. The PHASE is of the round that has just ended: it is no new one. */
static int ask(struct vfm_engine *e)
{
	int ret = vfm_engine_write_phase(e, VFM_PHASE_PRECOPY,
					 e->report.rounds ? e->report.rounds - 1 : 0);

	return ret ? ret : wait_in_step(e);
}

/*
 * With nothing under way it is the way there and back that an answer takes, and nothing else. A
 * moment in which the other machine is busy makes it look long: the shortest of some counts.
 */
static int measure_trip(struct vfm_engine *e)
{
	int ret = 0;

	for (; e->round_trips < TRIPS && !ret; e->round_trips++) {
		uint64_t start = vfm_now_ns(), took;

		ret = ask(e);
		took = vfm_now_ns() - start;
		if (!ret)
			e->round_trip_ns =
				e->round_trip_ns ? VFM_MIN(e->round_trip_ns, took) : took;
	}
	return ret;
}

int vfm_rates_sync(struct vfm_engine *e)
{
	int ret;

	if (!e->peer_rates)
		return 0;
	ret = ask(e);
	return ret ? ret : measure_trip(e);
}
