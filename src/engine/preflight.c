// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Both ends of a migration, looked at before it: whether they fit each other, and
 * how long the source would stand still. Stops nothing, and is no promise: how a
 * device steps to STOP_COPY, how a destination loads and what the wire does are
 * judged from what can be tried without harm, and the error says so.
 *
 * A source with PRE_COPY is read for a moment while it runs, which tells how fast
 * it can be and how quickly it changes. It is armed meanwhile to run on if we die.
 */

#include "engine/unit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/checksum.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/util.h"

#define MOST_NS UINT64_C(300000000)
#define MOST_BYTES (UINT64_C(64) << 20)
#define BUFFER VFM_STREAM_PAYLOAD_MAX

/* What is sent through a socket to see how fast that is, and at a time. */
#define WIRE_BYTES (UINT64_C(16) << 20)
#define WIRE_CHUNK ((size_t)64 << 10)

/* A wire that is not this machine's own, and a destination that was never seen to load. */
#define WIRE_ERROR 0.3
#define LOAD_ERROR 0.7

/* Between the last look at the device and its stop: what it changes in that time is left. */
#define LAST_LOOK 0.02

/* A device that changes at more than that part of the rate is not caught up with. */
#define CATCH_UP 0.9

/*
 * struct flight - a preflight under way
 * @e: the source's side of the engine, for what it can do with a device; it has no peer
 * @src: the device
 * @code: of the first blocker
 * @pending, @size: last told; of @pending_known and @size_known
 */
struct flight {
	struct vfm_engine e;
	struct vfm_member *src;
	struct vfm_device *dst;
	const struct vfm_preflight_opts *opts;
	struct vfm_preflight *report;
	int code;
	uint64_t pending, size;
	bool pending_known, size_known;
};

VFM_PRINTF(3, 4)
static void find(struct vfm_preflight *report, enum vfm_finding_kind kind, const char *fmt, ...)
{
	struct vfm_finding *f;
	va_list args;

	if (report->nr_findings == VFM_MAX_FINDINGS)
		return;
	f = &report->findings[report->nr_findings++];
	f->kind = kind;
	va_start(args, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, args);
	va_end(args);
}

static void block(struct flight *f, int code, const char *who, const struct vfm_err *why)
{
	find(f->report, VFM_FINDING_BLOCKER, "%s%.280s", who, why->msg);
	if (!f->code)
		f->code = code;
}

/* ---- what they are ----------------------------------------------------------- */

/* Whether there is anything to go on with. */
static bool describe(struct flight *f, struct vfm_device *dev, const char *who,
		     struct vfm_preflight_end *end, struct vfm_identity *id)
{
	struct vfm_protocol protocol = { 0 };
	struct vfm_err why = { 0 };
	int ret = vfm_device_get_migration(dev, &end->migration, &why);

	if (!ret)
		ret = vfm_device_get_protocol(dev, &protocol, &why);
	if (!ret)
		ret = vfm_device_get_state(dev, &end->state, &why);
	if (!ret)
		ret = vfm_identity_get(id, dev, &why);
	if (ret) {
		block(f, ret, who, &why);
		return false;
	}
	end->known = true;
	end->protocol = protocol.version;
	end->data_size = id->data_size;
	end->has_compat = id->has_compat;
	end->compat = id->compat;
	if (protocol.late_proof)
		find(f->report, VFM_FINDING_NOTE,
		     "%swhether an image is right is known only when it runs", who);
	if (end->state == VFM_STATE_RUNNING || end->state == VFM_STATE_STOP)
		return true;
	vfm_fail(&why, -EINVAL, "it is in %s, and must be in RUNNING or STOP",
		 vfm_state_name(end->state));
	block(f, -EINVAL, who, &why);
	return false;
}

static void find_features(struct flight *f)
{
	const struct vfm_preflight_end *src = &f->report->source, *dst = &f->report->destination;

	if (!(src->migration & VFM_MIGRATION_PRE_COPY))
		find(f->report, VFM_FINDING_NOTE,
		     "the source has no PRE_COPY: all its state is moved after the stop");
	if (!(src->migration & dst->migration & VFM_MIGRATION_P2P))
		find(f->report, VFM_FINDING_NOTE,
		     "%s has no P2P states: it cannot be moved together with devices that reach "
		     "each other",
		     src->migration & VFM_MIGRATION_P2P ? "the destination" : "the source");
	if (src->protocol != dst->protocol)
		find(f->report, VFM_FINDING_NOTE,
		     "the source speaks protocol v%u, the destination v%u", src->protocol,
		     dst->protocol);
	if (src->state == VFM_STATE_STOP)
		find(f->report, VFM_FINDING_NOTE,
		     "the source is in STOP and stays so at the destination: there is no downtime");
}

/* Both are asked whatever the first one says: all that is wrong is worth knowing. */
static bool compare(struct flight *f)
{
	struct vfm_identity ours, theirs;
	struct vfm_err why;
	bool src = describe(f, f->src->dev, "source: ", &f->report->source, &ours);
	bool dst = describe(f, f->dst, "destination: ", &f->report->destination, &theirs);
	int ret;

	if (!f->report->source.known || !f->report->destination.known)
		return false;
	ret = vfm_identity_check(&theirs, &ours, &why);
	if (ret)
		block(f, ret, "", &why);
	find_features(f);
	return src && dst && !ret;
}

static void look_at_log(struct flight *f)
{
	const struct vfm_range range = { .iova = 0, .size = VFM_MEMORY_PAGE };
	uint64_t page_size = VFM_MEMORY_PAGE;
	struct vfm_err why;
	int ret;

	f->report->log = -1;
	if (f->report->source.state != VFM_STATE_RUNNING)
		return;
	ret = vfm_device_start_log(f->src->dev, &page_size, &range, 1, &why);
	if (ret == -ENOTTY) {
		f->report->log = 0;
		find(f->report, VFM_FINDING_NOTE,
		     "the source has no dirty log: DMA memory would be moved whole after the stop");
	}
	/* One that runs already is somebody else's. After other failures it may be ours. */
	if (ret == -ENOTTY || ret == -EINVAL)
		return;
	f->report->log = ret ? -1 : 1;
	if (vfm_device_stop_log(f->src->dev, &why) && !ret)
		find(f->report, VFM_FINDING_NOTE, "the dirty log cannot be ended: %.240s", why.msg);
}

/* ---- what can be tried --------------------------------------------------------- */

static int ask_sizes(struct flight *f)
{
	int ret = 0;

	f->src->rest = (struct vfm_rest){ 0 };
	if (f->src->touched)
		ret = vfm_judge_pending(f->src, 0);
	if (ret)
		return vfm_unit_failed(&f->e, f->src, ret);
	f->pending = f->src->rest.pending;
	f->pending_known = f->src->rest.pending_known;
	ret = vfm_device_get_data_size(f->src->dev, &f->size, &f->e.err);
	f->size_known = !ret && f->size && f->size <= VFM_SIZE_SANE;
	if (!ret && !f->size_known)
		find(f->report, VFM_FINDING_NOTE,
		     "the source says that its state has %" PRIu64 " bytes, which is not believed",
		     f->size);
	if (!f->size_known)
		f->size = f->pending;
	return ret == -ENOTTY ? 0 : ret;
}

/* Sizes told before and after some reading; 0: not told. */
struct told {
	uint64_t pending, size;
};

static struct told told_now(const struct flight *f)
{
	return (struct told){ .pending = f->pending_known ? f->pending : 0,
			      .size = f->size_known ? f->size : 0 };
}

/* What has become more again, of what was told: -1 when it was not. */
static double came_again(uint64_t before, uint64_t after, uint64_t got)
{
	return before ? VFM_MAX((double)after + (double)got - (double)before, 0) : -1;
}

/*
 * How quickly the state changes: what there is now, and was there before and read.
 * Devices mean different things by what they tell, see judge.c, so the lesser of two
 * answers counts. What has not been read yet can change unseen; that is counted up.
 */
static void find_change_rate(struct flight *f, struct told before, uint64_t ns)
{
	uint64_t got = f->report->measured_bytes;
	struct told after = told_now(f);
	double pending = came_again(before.pending, after.pending, got);
	double size = came_again(before.size, after.size, got);
	double again = pending < 0 || (size >= 0 && size < pending) ? size : pending;
	double seen = 1;

	if (again <= 0 || !got || !ns)
		return;
	if (before.size > got)
		seen = (double)got / (double)before.size / 2;
	f->report->change_rate = (uint64_t)(again / seen * 1e9 / (double)ns);
}

static int read_some(struct flight *f, uint8_t *buf)
{
	uint64_t began = vfm_now_ns(), now = began;

	while (now - began < MOST_NS && f->report->measured_bytes < MOST_BYTES) {
		ssize_t n = vfm_device_read_data(f->src->dev, buf, BUFFER, &f->e.err);
		uint64_t then = now;

		if (n <= 0)
			return n == -ENOMSG ? 0 : (int)n;
		now = vfm_now_ns();
		vfm_gauge_add(&f->src->save, (uint64_t)n, now - then);
		f->report->measured_bytes += (uint64_t)n;
		if (vfm_device_get_fd(f->src->dev) >= 0 &&
		    vfm_device_process(f->src->dev, &f->e.err))
			return -EIO;
	}
	return 0;
}

static int try_reading(struct flight *f, uint8_t *buf)
{
	struct told before;
	uint64_t start;
	int ret;

	f->src->touched = true;
	ret = vfm_unit_each(&f->e, vfm_member_walk, VFM_STATE_PRE_COPY);
	if (!ret)
		ret = ask_sizes(f);
	if (ret)
		return ret;
	before = told_now(f);
	start = vfm_now_ns();
	ret = read_some(f, buf);
	f->report->measured_us = (vfm_now_ns() - start) / 1000;
	if (!ret)
		ret = ask_sizes(f);
	if (!ret)
		find_change_rate(f, before, vfm_now_ns() - start);
	return ret;
}

/* Read it while it runs, and put it back whatever happens. */
static int measure_source(struct flight *f)
{
	vfm_auto_free uint8_t *buf = malloc(BUFFER);
	struct vfm_err second;
	int ret, back;

	if (!buf)
		return vfm_fail(&f->e.err, -ENOMEM, "preflight: no memory");
	if (f->src->origin != VFM_STATE_RUNNING || !(f->src->migration & VFM_MIGRATION_PRE_COPY))
		return ask_sizes(f);
	ret = vfm_unit_each(&f->e, vfm_member_arm, VFM_ORPHAN_RUN);
	if (!ret)
		ret = try_reading(f, buf);
	back = vfm_source_go_back(&f->e, &second);
	if (back) {
		/* Where it is matters more than what was wrong before. */
		f->e.err = second;
		return back;
	}
	back = vfm_unit_all(&f->e, vfm_member_disarm, 0, &second);
	if (back && !ret)
		f->e.err = second;
	return ret ? ret : back;
}

/* Checksum and socket, as a record goes: what the sender has to do is what is measured. */
static int measure_wire(struct flight *f)
{
	vfm_auto_free uint8_t *buf = calloc(1, WIRE_CHUNK);
	vfm_auto_fd int one = -1;
	vfm_auto_fd int other = -1;
	int fds[2], ret = 0;

	if (f->opts->wire_rate)
		return 0;
	if (!buf || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return vfm_fail(&f->e.err, -ENOMEM, "preflight: no socket to measure");
	one = fds[0];
	other = fds[1];
	for (uint64_t sent = 0; sent < WIRE_BYTES && !ret; sent += WIRE_CHUNK) {
		uint64_t start = vfm_now_ns();

		buf[0] = (uint8_t)vfm_checksum(buf, WIRE_CHUNK, sent);
		ret = vfm_write_full(one, buf, WIRE_CHUNK, NULL);
		vfm_gauge_add(&f->e.wire, WIRE_CHUNK, vfm_now_ns() - start);
		if (!ret && vfm_read_full(other, buf, WIRE_CHUNK, NULL) != (ssize_t)WIRE_CHUNK)
			ret = -EIO;
	}
	return ret ? vfm_fail(&f->e.err, ret, "preflight: measure a socket") : 0;
}

/* ---- what it comes to ------------------------------------------------------------ */

static void forecast_costs(const struct flight *f, struct vfm_forecast *c)
{
	c->save = vfm_gauge_cost(&f->src->save);
	c->wire = f->opts->wire_rate ? vfm_cost_of_rate(f->opts->wire_rate, WIRE_ERROR)
				     : vfm_gauge_cost(&f->e.wire);
	c->wire.error = VFM_MAX(c->wire.error, WIRE_ERROR);
	c->memory = c->wire;
	/* Not known, and taken to be what saving is. */
	c->load = c->save;
	c->load.error = c->save.error + LOAD_ERROR;
	c->load.known = false;
}

static void forecast_arcs(const struct flight *f, struct vfm_forecast *c)
{
	const struct vfm_member *src = f->src;
	uint64_t dst = f->report->destination.migration;
	enum vfm_state at =
		src->migration & VFM_MIGRATION_PRE_COPY ? VFM_STATE_PRE_COPY : VFM_STATE_RUNNING;

	c->source_arcs =
		vfm_arcs_span(&src->arcs, vfm_count_arcs(src->migration, at, VFM_STATE_STOP_COPY));
	c->last_arc = vfm_arcs_span(&src->arcs, 1);
	c->prove = vfm_arcs_span(&src->arcs, 1);
	c->run = vfm_arcs_span(&src->arcs, vfm_count_arcs(dst, VFM_STATE_STOP, VFM_STATE_RUNNING));
	c->round_trip.error = 1e6;
}

/*
 * What is left at the stop: all without pre-copy, or if it cannot be caught up
 * with; else what only STOP_COPY gives, and what changes in the last moment.
 */
static void forecast_sizes(struct flight *f, struct vfm_forecast *c)
{
	double slowest = VFM_MAX(VFM_MAX(c->save.ns, c->wire.ns), c->load.ns);
	double changes = (double)f->report->change_rate;
	uint64_t moment = (uint64_t)(changes * LAST_LOOK);

	c->device_bytes = f->size;
	c->size_known = f->size_known || f->pending_known;
	if (!f->report->measured_us)
		return;
	if (changes * slowest > CATCH_UP * 1e9) {
		find(f->report, VFM_FINDING_NOTE,
		     "the source changes %.1f MiB of its state in a second, and can be moved at "
		     "%.1f MiB/s: rounds of pre-copy will not make it less",
		     changes / (1 << 20), 1e9 / slowest / (1 << 20));
		return;
	}
	c->device_bytes = moment + (f->size > f->pending ? f->size - f->pending : 0);
}

static int predict(struct flight *f)
{
	struct vfm_prediction *p = &f->report->prediction;
	struct vfm_forecast c = { .record = VFM_STREAM_PAYLOAD_MAX, .overlap = true };
	char words[160];

	forecast_costs(f, &c);
	forecast_arcs(f, &c);
	forecast_sizes(f, &c);
	vfm_predict(p, &c);
	f->report->fits = !f->opts->max_downtime_ms || f->report->source.state == VFM_STATE_STOP ||
			  vfm_prediction_fits(p, f->opts->max_downtime_ms);
	if (f->report->fits)
		return 0;
	vfm_prediction_words(p, words, sizeof(words));
	vfm_fail(&f->e.err, -EDQUOT, "predicted %.0f ms +-%.0f, %u are allowed: %s",
		 (double)p->downtime_us / 1000, (double)p->error_us / 1000,
		 f->opts->max_downtime_ms, words);
	find(f->report, VFM_FINDING_LIMIT, "%.300s", f->e.err.msg);
	return -EDQUOT;
}

static int fly(struct flight *f)
{
	int ret;

	if (!compare(f))
		return vfm_fail(&f->e.err, f->code, "%.400s",
				f->report->findings[0].kind == VFM_FINDING_BLOCKER
					? f->report->findings[0].text
					: "the two do not fit each other");
	ret = vfm_unit_ask(&f->e);
	if (ret)
		return ret;
	f->report->compatible = true;
	look_at_log(f);
	ret = measure_source(f);
	if (!ret)
		ret = measure_wire(f);
	return ret ? ret : predict(f);
}

VFM_API int vfm_preflight(struct vfm_device *src, struct vfm_device *dst,
			  const struct vfm_preflight_opts *opts, struct vfm_preflight *report,
			  struct vfm_err *err)
{
	static const struct vfm_preflight_opts none = { .size = sizeof(none) };
	struct flight f = { .dst = dst, .opts = opts ? opts : &none, .report = report };
	int ret;

	*report = (struct vfm_preflight){ .log = -1 };
	if (src == dst)
		return vfm_fail(err, -EINVAL, "move a device to itself");
	if (f.opts->size != sizeof(*opts))
		return vfm_fail(err, -EINVAL, "preflight options of %zu bytes, not %zu",
				f.opts->size, sizeof(*opts));
	ret = vfm_engine_init(&f.e, &VFM_UNIT_OF(src, NULL), -1, NULL);
	f.src = f.e.members;
	if (!ret)
		ret = fly(&f);
	return vfm_engine_finish(&f.e, ret, NULL, err);
}
