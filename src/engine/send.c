// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The source's half of a migration.
 *
 * While the device runs, rounds move its memory and its pre-copy data. After
 * each it is judged whether the device can be stopped: see judge.c.
 *
 * Nothing is given up before COMMIT: until it is out, whole, every failure puts
 * the device back. A COMMIT that was cut is none, for the destination can never
 * see the rest of it, so failing to write it is such a failure too. From then on
 * the device stays in STOP, whatever happens.
 *
 * Records leave through a pipeline, from READY to END. What a round has moved is
 * only known when all of it is out, so each round ends with a flush: neither the rate
 * nor the stop is judged by what still waits in a queue.
 *
 * What a journal has to do with it is handover.c's.
 */

#include "engine/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "engine/handover.h"
#include "engine/pipe.h"

/* Between rounds that moved nothing: time for the device to get somewhere. */
#define IDLE_MS 10

/* Data taken in the first round from a device that does not say how much there is. */
#define BLIND_QUOTA (UINT64_C(64) << 20)
#define BLIND_DOUBLINGS 6

/* ---- setup --------------------------------------------------------------- */

static int write_map(struct vfm_engine *e)
{
	uint8_t buf[VFM_LAYOUT_MAP_SIZE(VFM_MEMORY_MAX_RANGES)];
	size_t size = vfm_layout_write_map(e->mem, buf, sizeof(buf));

	return vfm_engine_write(e, VFM_STREAM_MEMORY_MAP, buf, size);
}

static int shake_hands(struct vfm_engine *e)
{
	struct vfm_stream_record record;
	int ret = vfm_unit_each(e, vfm_member_identify, 0);

	if (!ret)
		ret = vfm_engine_connect(e);
	if (!ret)
		ret = vfm_engine_open_out(e);
	if (!ret)
		ret = vfm_engine_write_identities(e);
	if (!ret)
		ret = vfm_handover_offer(e);
	if (!ret)
		ret = write_map(e);
	if (!ret)
		ret = vfm_engine_open_in(e);
	if (!ret)
		ret = vfm_handover_expect(e, VFM_STREAM_READY, &record);
	/* Empty: of a destination that cannot tell its rates. */
	return ret || !record.size ? ret : vfm_rates_take(e, &record);
}

static int send_setup(struct vfm_engine *e)
{
	int ret = vfm_unit_hands(e);

	if (!ret)
		ret = vfm_unit_ask(e);
	if (ret)
		return ret;
	e->paused = e->members[0].origin == VFM_STATE_STOP;
	ret = shake_hands(e);
	if (!ret)
		ret = vfm_handover_begin(e);
	e->listen = true;
	if (!ret)
		ret = vfm_pipe_start(e);
	if (!ret && e->mem)
		ret = vfm_dirty_new(e);
	/* A device that somebody has paused stays so if we die. */
	if (!ret && !e->paused)
		ret = vfm_unit_each(e, vfm_member_arm, VFM_ORPHAN_RUN);
	return ret;
}

/* ---- pre-copy ------------------------------------------------------------ */

static bool has_precopy(const struct vfm_engine *e)
{
	return vfm_unit_has(e, VFM_MIGRATION_PRE_COPY);
}

/*
 * Read until a device has nothing now, but no more than it had when the round
 * began: one that changes faster than we read would hold the round for ever.
 */
static int read_round(struct vfm_engine *e)
{
	uint64_t blind = BLIND_QUOTA << VFM_MIN(e->report.rounds, BLIND_DOUBLINGS);

	for (size_t i = 0; i < e->nr_members; i++) {
		struct vfm_member *m = &e->members[i];

		m->quota = m->rest.pending_known ? VFM_MAX(m->rest.pending, 1) : blind;
		if (!(m->migration & VFM_MIGRATION_PRE_COPY))
			m->quota = 0;
	}
	return vfm_data_read(e);
}

/*
 * Memory without a dirty log has to be sent again after the stop in any case:
 * it goes once, and only if there is a limit, for which it measures the rate.
 */
static bool memory_round(const struct vfm_engine *e)
{
	if (!e->dirty)
		return false;
	return !e->report.all_dirty || (!e->report.rounds && e->opts.max_downtime_ms);
}

/*
 * All that a round moves, until it is out. The time for the rate is what that took, as
 * what each record took is only what it took to get into the queue. But a round that
 * moves little takes mostly until threads are woken, which says nothing of a rate: so it
 * is never more than reading and writing took, one after the other.
 */
static int move_round(struct vfm_engine *e)
{
	struct vfm_rate before = e->rate;
	uint64_t start = vfm_now_ns();
	uint64_t busy = vfm_pipe_busy_ns(e);
	double worked, took;
	int ret = 0;

	if (memory_round(e))
		ret = vfm_dirty_send(e);
	if (!ret && has_precopy(e))
		ret = read_round(e);
	if (!ret)
		ret = vfm_engine_flush(e);
	if (ret || e->rate.bytes <= before.bytes)
		return ret;
	took = (double)(vfm_now_ns() - start);
	worked = e->rate.ns - before.ns + (double)(vfm_pipe_busy_ns(e) - busy);
	e->rate.ns = before.ns + VFM_MIN(took, worked);
	return 0;
}

static void fade(struct vfm_engine *e)
{
	e->rate.bytes /= 2;
	e->rate.ns /= 2;
	for (size_t i = 0; i < e->nr_members; i++)
		vfm_gauge_fade(&e->members[i].save);
	vfm_gauge_fade(&e->wire);
	vfm_gauge_fade(&e->memory);
}

static int run_round(struct vfm_engine *e)
{
	uint64_t before = e->report.state_bytes + e->report.memory_bytes;
	int ret = vfm_engine_write_phase(e, VFM_PHASE_PRECOPY, e->report.rounds);

	fade(e);
	if (!ret)
		ret = move_round(e);
	if (!ret && before == e->report.state_bytes + e->report.memory_bytes)
		ret = vfm_engine_idle(e, IDLE_MS);
	e->report.rounds++;
	return ret;
}

static int run_rounds(struct vfm_engine *e)
{
	int ret = vfm_unit_each(e, vfm_judge_pending, 0);

	while (!ret) {
		if (has_precopy(e) || e->dirty)
			ret = run_round(e);
		if (!ret)
			ret = vfm_judge(e);
	}
	return ret < 0 ? ret : 0;
}

static int enter_precopy(struct vfm_member *m, int unused)
{
	(void)unused;
	if (!(m->migration & VFM_MIGRATION_PRE_COPY))
		return 0;
	return vfm_member_walk(m, VFM_STATE_PRE_COPY);
}

static int send_precopy(struct vfm_engine *e)
{
	int ret;

	/* Nothing changes in a device that is stopped, and nobody waits for it. */
	if (e->paused)
		return 0;
	if (e->dirty)
		vfm_dirty_start(e);
	if (has_precopy(e))
		vfm_unit_touch(e);
	ret = vfm_unit_each(e, enter_precopy, 0);
	/* Nothing is under way yet: the best time to see how long it is to the other side. */
	if (!ret)
		ret = vfm_rates_sync(e);
	/* Too late already: for the judge. */
	if (ret == -EAGAIN)
		ret = 0;
	return ret ? ret : run_rounds(e);
}

/* ---- from the stop on ---------------------------------------------------- */

static int send_stop(struct vfm_engine *e)
{
	int ret = vfm_engine_write_phase(e, VFM_PHASE_STOP, e->report.rounds);

	return ret ? ret : vfm_source_stop(e);
}

static int send_stop_copy(struct vfm_engine *e)
{
	int ret = vfm_engine_write_phase(e, VFM_PHASE_STOP_COPY, e->report.rounds);

	/* Now that the device stands still: what this report does not name is over there. */
	if (!ret && e->dirty) {
		vfm_dirty_report(e);
		ret = vfm_dirty_send(e);
	}
	if (!ret)
		ret = vfm_data_drain(e);
	if (!ret)
		vfm_judge_sizes(e);
	return ret ? ret : vfm_engine_write_end(e);
}

static int send_load(struct vfm_engine *e)
{
	struct vfm_stream_record record;

	return vfm_engine_expect(e, VFM_STREAM_LOADED, &record);
}

static int put_commit(struct vfm_engine *e)
{
	uint8_t buf[4];
	struct vfm_writer w = vfm_writer_of(buf, sizeof(buf));

	vfm_write_le32(&w, e->paused ? VFM_LAYOUT_PAUSED : 0);
	return vfm_engine_put(e, VFM_STREAM_COMMIT, 0, buf, sizeof(buf));
}

/* Give the device away. From here on it must stay stopped if we die, not run. */
static int give(struct vfm_engine *e)
{
	int ret = vfm_unit_each(e, vfm_member_disarm, 0);

	/* The last moment for the peer to complain, and for a cancellation. */
	if (!ret)
		ret = vfm_engine_service(e);
	if (!ret)
		ret = vfm_handover_give(e);
	if (ret)
		return ret;
	e->deaf = true;
	e->listen = false;
	e->report.committed = true;
	ret = put_commit(e);
	if (ret)
		e->report.committed = false;
	else
		e->told = true; /* there is nothing to take back */
	return ret;
}

/* Whose the device is matters more than why we cannot say that all is well. */
static void tell_owner(struct vfm_engine *e, bool heard)
{
	struct vfm_err owner;

	vfm_fail(&owner, 0,
		 heard ? "the destination runs" : "the device was given to the destination");
	vfm_engine_also(e, &owner);
}

static int send_commit(struct vfm_engine *e)
{
	struct vfm_stream_record record;
	struct vfm_err second;
	int stopped;
	int ret = give(e);

	if (ret)
		return ret;
	stopped = vfm_unit_all(e, vfm_member_set, VFM_STATE_STOP, &second);
	ret = vfm_engine_expect(e, VFM_STREAM_RUNNING, &record);
	if (!e->paused)
		e->report.downtime_us = (vfm_now_ns() - e->stopped_ns) / 1000;
	if (!ret)
		vfm_handover_given(e, !stopped);
	else
		vfm_handover_settle(e, !stopped);
	if (!e->report.committed)
		return ret;
	if (stopped && ret)
		vfm_engine_also(e, &second);
	else if (stopped)
		e->err = second;
	if (ret || stopped)
		tell_owner(e, ret == 0);
	return ret ? ret : stopped;
}

static const struct vfm_stage send_stages[] = {
	{ VFM_PHASE_SETUP, "setup", send_setup },
	{ VFM_PHASE_PRECOPY, "pre-copy", send_precopy },
	{ VFM_PHASE_STOP, "stop", send_stop },
	{ VFM_PHASE_STOP_COPY, "stop-copy", send_stop_copy },
	{ VFM_PHASE_LOAD, "load", send_load },
	{ VFM_PHASE_COMMIT, "commit", send_commit },
};

static int send_unit(const struct vfm_unit *unit, int fd, const struct vfm_migrate_opts *opts,
		     struct vfm_migration_report *report, struct vfm_err *err)
{
	struct vfm_engine e;
	int ret = vfm_engine_init(&e, unit, fd, opts);

	e.peer = "destination";
	if (!ret)
		ret = vfm_engine_run(&e, send_stages, VFM_ARRAY_SIZE(send_stages));
	/* The device first: it stands still, and the peer cannot run before COMMIT. */
	if (ret && !e.report.committed) {
		vfm_handover_keep(&e);
		vfm_source_recover(&e);
		vfm_handover_kept(&e);
	}
	if (ret)
		vfm_engine_abort(&e);
	return vfm_engine_finish(&e, ret, report, err);
}

VFM_API int vfm_migrate_send_unit(const struct vfm_unit *unit, int fd,
				  const struct vfm_migrate_opts *opts,
				  struct vfm_migration_report *report, struct vfm_err *err)
{
	int ret = vfm_engine_check_unit(unit, err);

	return ret ? ret : send_unit(unit, fd, opts, report, err);
}

VFM_API int vfm_migrate_send(struct vfm_device *dev, struct vfm_memory *mem, int fd,
			     const struct vfm_migrate_opts *opts,
			     struct vfm_migration_report *report, struct vfm_err *err)
{
	return send_unit(&VFM_UNIT_OF(dev, mem), fd, opts, report, err);
}
