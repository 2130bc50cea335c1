// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Runs a row of stages and keeps the account: phases, times, bytes, rate, the
 * first error. What a stage does is not known here, nor how it waits.
 */

#include "engine/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "engine/handover.h"
#include "engine/pipe.h"
#include "engine/secure.h"
#include "engine/unit.h"

/* Progress is reported that often, and at every change of phase. */
#define PROGRESS_NS 250000000u

#define DEFAULT_ROUNDS 100

static const char *const phase_names[] = {
	[VFM_PHASE_SETUP] = "setup", [VFM_PHASE_PRECOPY] = "precopy",
	[VFM_PHASE_STOP] = "stop",   [VFM_PHASE_STOP_COPY] = "stop-copy",
	[VFM_PHASE_LOAD] = "load",   [VFM_PHASE_COMMIT] = "commit",
	[VFM_PHASE_DONE] = "done",
};

VFM_API const char *vfm_phase_name(enum vfm_phase phase)
{
	return (size_t)phase < VFM_ARRAY_SIZE(phase_names) ? phase_names[phase] : "invalid";
}

/* Options of an older caller are shorter; what a newer one has more must be zero. */
int vfm_engine_opts(struct vfm_migrate_opts *out, const struct vfm_migrate_opts *opts,
		    struct vfm_err *err)
{
	const uint8_t *bytes = (const uint8_t *)opts;

	*out = VFM_MIGRATE_OPTS();
	if (!opts)
		return 0;
	if (opts->size < sizeof(opts->size))
		return vfm_fail(err, -EINVAL, "options without a size");
	for (size_t i = sizeof(*opts); i < opts->size; i++)
		if (bytes[i])
			return vfm_fail(err, -EINVAL, "options of a later version");
	memcpy(out, opts, VFM_MIN(opts->size, sizeof(*opts)));
	out->size = sizeof(*out);
	if (!out->max_rounds)
		out->max_rounds = DEFAULT_ROUNDS;
	if (out->channels > VFM_CHANNELS_MAX)
		return vfm_fail(err, -EINVAL, "%u channels, more than %u", out->channels,
				VFM_CHANNELS_MAX);
	if (!out->memory_limit)
		out->memory_limit = VFM_MIGRATE_OPTS().memory_limit;
	return 0;
}

/* Whether a device is there twice, or not at all. */
static int check_devices(const struct vfm_unit *unit, struct vfm_err *err)
{
	for (size_t i = 0; i < unit->nr_devs; i++) {
		if (!unit->devs[i])
			return vfm_fail(err, -EINVAL, "device %zu of a unit is NULL", i);
		for (size_t k = 0; k < i; k++)
			if (unit->devs[k] == unit->devs[i])
				return vfm_fail(err, -EINVAL, "devices %zu and %zu are the same", k,
						i);
	}
	return 0;
}

int vfm_engine_check_unit(const struct vfm_unit *unit, struct vfm_err *err)
{
	if (unit->size != sizeof(*unit))
		return vfm_fail(err, -EINVAL, "a unit of %zu bytes, not %zu", unit->size,
				sizeof(*unit));
	if (!unit->nr_devs || unit->nr_devs > VFM_UNIT_MAX)
		return vfm_fail(err, -EINVAL, "a unit of %zu devices, not 1 to %u", unit->nr_devs,
				VFM_UNIT_MAX);
	return check_devices(unit, err);
}

static int add_members(struct vfm_engine *e, const struct vfm_unit *unit)
{
	e->members = calloc(unit->nr_devs, sizeof(*e->members));
	e->fds = calloc(unit->nr_devs + VFM_ENGINE_FDS, sizeof(*e->fds));
	if (!e->members || !e->fds)
		return vfm_fail(&e->err, -ENOMEM, "no memory for %zu devices", unit->nr_devs);
	e->nr_members = unit->nr_devs;
	e->report.nr_devices = (unsigned int)unit->nr_devs;
	e->reports = unit->reports;
	for (size_t i = 0; i < unit->nr_devs; i++) {
		e->members[i].dev = unit->devs[i];
		e->members[i].index = (unsigned int)i;
	}
	return 0;
}

int vfm_engine_init(struct vfm_engine *e, const struct vfm_unit *unit, int fd,
		    const struct vfm_migrate_opts *opts)
{
	struct vfm_memory *mem = unit->mem;
	int ret;

	*e = (struct vfm_engine){ .fd = fd, .nr_channels = 1 };
	e->channels[0].e = e;
	e->mem = mem && vfm_memory_count(mem) ? mem : NULL;
	e->began_ns = e->phase_ns = e->progress_ns = vfm_now_ns();
	ret = add_members(e, unit);
	if (!ret)
		ret = vfm_engine_opts(&e->opts, opts, &e->err);
	e->bucket.rate = e->opts.rate;
	return ret;
}

static void count_out(struct vfm_engine *e)
{
	struct vfm_migration_report *r = &e->report;
	uint64_t first_to;

	if (e->pipe) {
		r->wire_bytes = vfm_pipe_written(e, &r->compressed_bytes, &r->compressed_to);
		return;
	}
	r->wire_bytes = vfm_channels_written(e, &r->compressed_bytes, &r->compressed_to) +
			vfm_stream_written(e->out);
	r->compressed_bytes += vfm_stream_compressed(e->out, &first_to);
	r->compressed_to += first_to;
}

static void update_times(struct vfm_engine *e)
{
	uint64_t now = vfm_now_ns();

	if (e->report.phase < VFM_NR_PHASES)
		e->report.phases[e->report.phase].us += (now - e->phase_ns) / 1000;
	e->phase_ns = now;
	e->report.total_us = (now - e->began_ns) / 1000;
	if (e->out && !e->sink)
		count_out(e);
}

static void tell_progress(struct vfm_engine *e)
{
	e->progress_ns = vfm_now_ns();
	vfm_unit_report(e, false);
	if (e->opts.progress)
		e->opts.progress(e->opts.user, &e->report);
}

void vfm_engine_enter(struct vfm_engine *e, enum vfm_phase phase)
{
	update_times(e);
	e->report.phase = phase;
	tell_progress(e);
}

void vfm_engine_tick(struct vfm_engine *e)
{
	if (vfm_now_ns() - e->progress_ns < PROGRESS_NS)
		return;
	update_times(e);
	tell_progress(e);
}

void vfm_engine_count(struct vfm_engine *e, uint64_t device_bytes, uint64_t memory_bytes,
		      uint64_t ns)
{
	struct vfm_phase_report *phase = &e->report.phases[e->report.phase];

	e->report.state_bytes += device_bytes;
	e->report.memory_bytes += memory_bytes;
	phase->device_bytes += device_bytes;
	phase->memory_bytes += memory_bytes;
	if (!ns)
		return;
	e->rate.bytes += (double)(device_bytes + memory_bytes);
	e->rate.ns += (double)ns;
}

bool vfm_engine_late(const struct vfm_engine *e)
{
	return e->opts.max_time_ms && e->report.phase < VFM_PHASE_STOP &&
	       vfm_now_ns() - e->began_ns >= (uint64_t)e->opts.max_time_ms * 1000000;
}

int vfm_engine_run(struct vfm_engine *e, const struct vfm_stage *stages, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int ret;

		vfm_engine_enter(e, stages[i].phase);
		ret = stages[i].run(e);
		if (ret) {
			/* What hands are still at is late from here on. */
			e->wave++;
			e->err.code = ret;
			vfm_fail_prefix(&e->err, "%s", stages[i].name);
			return ret;
		}
	}
	return 0;
}

void vfm_err_also(struct vfm_err *err, const struct vfm_err *second)
{
	size_t len = strlen(err->msg);

	snprintf(err->msg + len, sizeof(err->msg) - len, "; %s", second->msg);
}

void vfm_engine_also(struct vfm_engine *e, const struct vfm_err *second)
{
	vfm_err_also(&e->err, second);
}

/* Where they all are, if they are. */
static enum vfm_state state_at_end(const struct vfm_engine *e)
{
	enum vfm_state all = VFM_STATE_ERROR, state;

	for (size_t i = 0; i < e->nr_members; i++) {
		if (vfm_device_get_state(e->members[i].dev, &state, NULL) || (i && state != all))
			return VFM_STATE_ERROR;
		all = state;
	}
	return all;
}

int vfm_engine_finish(struct vfm_engine *e, int ret, struct vfm_migration_report *report,
		      struct vfm_err *err)
{
	/* Nobody is busy any more, but for what a failure has left. */
	vfm_hands_free(vfm_take_ptr(e->hands));
	vfm_pipe_free(e);
	if (!ret)
		vfm_engine_enter(e, VFM_PHASE_DONE);
	update_times(e);
	e->report.state = state_at_end(e);
	vfm_unit_report(e, true);
	vfm_handover_end(e);
	vfm_dirty_stop(e);
	vfm_dirty_free(e->dirty);
	vfm_stream_writer_free(e->out);
	vfm_stream_reader_free(e->in);
	vfm_channels_close(e);
	free(e->members);
	free(e->fds);
	if (report)
		*report = e->report;
	if (ret && err) {
		*err = e->err;
		err->code = ret;
	}
	return ret;
}
