// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Records to and from the other end, and every wait of the engine.
 *
 * There is one place where the caller's thread waits, and while it does it serves the device (one
 * that does DMA by messages stands still otherwise, and a source must go on
 * working), listens for cancellation, and measures silence. Both streams wait
 * through it, so neither a full socket nor a silent peer makes us deaf. A peer
 * that is always ready does not either: what a wait serves is served once for
 * every record, too. While a pipeline runs, its helper waits for its own stream
 * and for nothing else: see pipe.h.
 *
 * A source that sends hears of the destination's failure as a record on the
 * reverse stream, often before its own writes fail: it looks there between
 * records, while it waits, and once more when a write has failed.
 */

#include "engine/engine.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/util.h"
#include "engine/pipe.h"
#include "engine/secure.h"
#include "engine/unit.h"
#include "stream/format.h"

/* How long the end of a connection that has failed already may take. */
#define CLOSING_MS 1000

/*
 * For one record of a peer that sends a little now and then: so many times the silence that it
 * is allowed, which is enough for the slowest that --rate makes, and never more than a minute.
 * Channels have their share of the wire each, and so many times longer.
 */
#define RECORD_SILENCES 20
#define RECORD_MOST_MS 60000

/* No wait is longer, so that progress is told. */
#define TURN_MS 200

/* ---- waiting ------------------------------------------------------------- */

/* What the caller of turn() waits for: a stream, a queue, the peer's complaint. */
struct wanted {
	struct pollfd main;
	struct pollfd ear;
};

/* Where a peer complains that may say nothing else now. */
static struct pollfd ear(const struct vfm_engine *e)
{
	return (struct pollfd){ .fd = e->listen && e->in && !e->closing ? e->fd : -1,
				.events = POLLIN };
}

/* One poll, and what it brought but for what is wanted: that is for the caller. */
static int turn(struct vfm_engine *e, struct wanted *wanted, int timeout_ms)
{
	struct pollfd *fds = e->fds;
	size_t devices = 0;
	int ret;

	fds[0] = wanted->main;
	fds[1] = wanted->ear;
	fds[2].fd = fds[3].fd = -1;
	/* After COMMIT the source's device is nobody's business, and the new one serves its owner.
	 */
	if (!e->closing && !e->deaf) {
		fds[2] = (struct pollfd){ .fd = e->opts.cancel_fd, .events = POLLIN };
		devices = vfm_unit_watch(e, fds + VFM_ENGINE_FDS);
	}
	if (e->hands && !e->closing)
		fds[3] = (struct pollfd){ .fd = vfm_hands_fd(e->hands), .events = POLLIN };
	if (poll(fds, VFM_ENGINE_FDS + devices, timeout_ms) < 0) {
		wanted->main.revents = wanted->ear.revents = 0;
		return errno == EINTR ? 0
				      : vfm_fail(&e->cause, -errno, "poll: %s", strerror(errno));
	}
	wanted->main.revents = fds[0].revents;
	wanted->ear.revents = fds[1].revents;
	if (fds[2].fd >= 0 && fds[2].revents)
		return vfm_fail(&e->cause, -ECANCELED, "cancelled");
	ret = devices ? vfm_unit_process(e, fds + VFM_ENGINE_FDS) : 0;
	if (!ret && fds[3].fd >= 0)
		ret = vfm_unit_collect(e);
	if (ret)
		return ret;
	vfm_engine_tick(e);
	return 0;
}

static int silence(const struct vfm_engine *e, unsigned int ms, struct vfm_err *err)
{
	return vfm_fail(err, -ETIMEDOUT, "the %s was silent for %u ms", e->peer ? e->peer : "file",
			ms);
}

void vfm_engine_silence(const struct vfm_engine *e, struct vfm_err *err)
{
	if (silence(e, e->opts.timeout_ms, err))
		return; /* that is what it always says */
}

static int listen_once(struct vfm_engine *e);

/* The peer speaks while we wait to write: it complains, or tells how far it is. */
static int interrupted(struct vfm_engine *e)
{
	int ret = listen_once(e);

	if (ret) {
		e->cause = e->err;
		e->cause.code = ret;
	}
	return ret;
}

int vfm_engine_wait(void *user, int fd, short events)
{
	struct vfm_engine *e = user;
	unsigned int limit_ms = e->closing ? CLOSING_MS : e->opts.timeout_ms;
	uint64_t end = vfm_now_ns() + (uint64_t)limit_ms * 1000000;

	if (e->deadline_ns)
		end = e->deadline_ns;
	for (;;) {
		struct wanted wanted = { .main = { .fd = fd, .events = events }, .ear = ear(e) };
		uint64_t now = vfm_now_ns();
		int left_ms = TURN_MS;
		int ret;

		if (limit_ms)
			left_ms = now < end ? (int)VFM_MIN((end - now) / 1000000 + 1, TURN_MS) : 0;
		if (e->deadline_ns && now >= end)
			return silence(e, limit_ms, &e->cause); /* even if something has come */
		if (events & POLLIN)
			wanted.ear.fd = -1;
		ret = turn(e, &wanted, left_ms);
		if (!ret && wanted.ear.revents & POLLIN)
			ret = interrupted(e);
		if (ret)
			return ret;
		if (wanted.main.revents)
			return 0;
		if (limit_ms && now >= end)
			return silence(e, limit_ms, &e->cause);
	}
}

/* While a helper has a stream, it is the helper that waits and fails. */
static bool has_helper(const struct vfm_engine *e, bool reading)
{
	return e->pipe && e->sink == reading;
}

struct vfm_err *vfm_engine_cause(struct vfm_channel *c, bool reading)
{
	struct vfm_engine *e = c->e;

	if (has_helper(e, reading))
		return &e->pipe->helpers[c->number].cause;
	return c->number ? &c->cause : &e->cause;
}

static int wait_out(void *user, int fd, short events)
{
	struct vfm_engine *e = user;

	return has_helper(e, false) ? vfm_helper_wait(vfm_pipe_first(e), fd, events)
				    : vfm_engine_wait(e, fd, events);
}

static int wait_in(void *user, int fd, short events)
{
	struct vfm_engine *e = user;

	return has_helper(e, true) ? vfm_helper_wait(vfm_pipe_first(e), fd, events)
				   : vfm_engine_wait(e, fd, events);
}

/* ---- reading ------------------------------------------------------------- */

/* A wait ended early with @ret: it knows why, and the stream's call that has failed does not. */
static int caused(struct vfm_engine *e, int ret)
{
	e->err = e->cause;
	return ret;
}

static struct vfm_stream_opts stream_opts(struct vfm_engine *e,
					  int (*wait)(void *user, int fd, short events))
{
	return (struct vfm_stream_opts){ .size = sizeof(struct vfm_stream_opts),
					 .compress = e->opts.compress,
					 .cancel_fd = -1,
					 .wait = wait,
					 .user = e,
					 .io = e->channels[0].secure ? &e->channels[0].io : NULL };
}

int vfm_engine_open_out(struct vfm_engine *e)
{
	struct vfm_stream_opts opts = stream_opts(e, wait_out);
	/* Data is forward, and so is what is shared. */
	bool shared = !e->sink && e->nr_channels > 1;
	int ret = shared ? vfm_stream_writer_shared(&e->out, e->fd, &opts, 0, &e->err)
			 : vfm_stream_writer_new(&e->out, e->fd, &opts, &e->err);

	return ret && e->cause.code ? caused(e, e->cause.code) : ret;
}

/* A read has failed with @ret. While there is the first channel, the peer can be told. */
static int unread(struct vfm_engine *e, int ret)
{
	if (e->cause.code)
		return caused(e, e->cause.code);
	if (has_helper(e, true) && !e->pipe->first_lost)
		return ret;
	if (!e->peer || (ret != -ENODATA && ret != -ECONNRESET && ret != -EPIPE))
		return ret;
	e->told = true;
	return vfm_fail(&e->err, -ECONNRESET, "the %s has closed the connection", e->peer);
}

unsigned int vfm_engine_record_ms(const struct vfm_engine *e)
{
	if (!e->peer)
		return 0;
	return VFM_MIN(e->opts.timeout_ms, RECORD_MOST_MS / RECORD_SILENCES) * RECORD_SILENCES *
	       e->nr_channels;
}

int vfm_engine_open_in(struct vfm_engine *e)
{
	struct vfm_stream_opts opts = stream_opts(e, wait_in);
	bool shared = e->sink && e->nr_channels > 1;
	int ret;

	opts.record_ms = vfm_engine_record_ms(e);
	if (shared)
		ret = vfm_stream_reader_shared(&e->in, e->fd, &opts, 0, &e->err);
	else
		ret = vfm_stream_reader_new(&e->in, e->fd, &opts, &e->err);

	return ret ? unread(e, ret) : 0;
}

static int aborted(struct vfm_engine *e, const struct vfm_stream_record *record)
{
	char text[VFM_ERR_TEXT];
	int code = vfm_layout_read_abort(text, sizeof(text), record);

	e->told = true;
	e->aborted = true;
	return vfm_fail(&e->err, code, "%s: %s", e->peer, text);
}

/* Data is of one of our devices, and how many there are is told by IDENTITY; all else is of all. */
static int judge_device(struct vfm_engine *e, const struct vfm_stream_record *record)
{
	if (!record->device || (e->peer && record->type == VFM_STREAM_IDENTITY) ||
	    (record->type == VFM_STREAM_DEVICE_DATA && record->device < e->nr_members))
		return 0;
	return vfm_fail(&e->err, -ENOTSUP,
			"a stream with more than one device (record of device %u at %llu)",
			record->device, (unsigned long long)record->offset);
}

/* What a read has brought, with @ret. */
static int judge_read(struct vfm_engine *e, struct vfm_stream_record *record, int ret)
{
	if (ret < 0)
		return unread(e, ret);
	if (ret == 0 && e->peer)
		return unread(e, -ENODATA);
	if (ret == 0)
		return vfm_fail(&e->err, -EPROTO, "the stream ends here");
	if (e->sink)
		e->report.wire_bytes = record->offset + record->stored + vfm_pipe_arrived(e);
	if (record->type == VFM_STREAM_ABORT && e->peer)
		return aborted(e, record);
	return judge_device(e, record);
}

int vfm_engine_read(struct vfm_engine *e, struct vfm_stream_record *record)
{
	struct wanted nothing = { { .fd = -1 }, { .fd = -1 } };
	int ret = turn(e, &nothing, 0);

	if (ret)
		return caused(e, ret);
	if (has_helper(e, true))
		ret = vfm_pipe_read(e, record);
	else
		ret = vfm_stream_read(e->in, record, &e->err);
	return judge_read(e, record, ret);
}

int vfm_engine_unexpected(struct vfm_engine *e, const struct vfm_stream_record *record)
{
	return vfm_fail(&e->err, -EPROTO, "unexpected record %s (type %u) at %llu",
			vfm_stream_type_name(record->type), record->type,
			(unsigned long long)record->offset);
}

int vfm_engine_expect(struct vfm_engine *e, enum vfm_stream_type type,
		      struct vfm_stream_record *record)
{
	struct vfm_stall stall = { 0 };

	for (;;) {
		int ret = vfm_engine_read(e, record);

		if (ret || record->type == type)
			return ret;
		if (e->sink || record->type != VFM_STREAM_RATES)
			return vfm_engine_unexpected(e, record);
		ret = vfm_rates_take(e, record);
		if (!ret)
			ret = vfm_rates_stalled(e, &stall);
		if (ret)
			return ret;
	}
}

/*
 * A record that has begun to arrive while we send. One of an unknown kind that is
 * optional is done with, too: waiting for one that matters could take for ever.
 */
static int listen_once(struct vfm_engine *e)
{
	struct vfm_stream_record record;
	int ret = judge_read(e, &record, vfm_stream_next(e->in, &record, &e->err));

	e->heard++;
	if (ret || !vfm_stream_type_known(record.type))
		return ret;
	return record.type == VFM_STREAM_RATES ? vfm_rates_take(e, &record)
					       : vfm_engine_unexpected(e, &record);
}

/* ---- writing ------------------------------------------------------------- */

/* An alert of TLS is a word of the peer, too. */
static void note_alert(struct vfm_engine *e)
{
	struct vfm_tls_session *secure = e->channels[0].secure;

	if (secure && vfm_tls_told(secure))
		e->told = true;
}

int vfm_engine_hear(struct vfm_engine *e, int ret)
{
	uint64_t end = vfm_now_ns() + (uint64_t)CLOSING_MS * 1000000;
	struct vfm_stream_record record;
	struct vfm_err mine = e->err;
	int heard = 0;

	if ((ret != -EPIPE && ret != -ECONNRESET) || !e->peer || e->told)
		return ret;
	e->closing = true;
	if (!e->in)
		heard = vfm_engine_open_in(e);
	do {
		if (!heard)
			heard = vfm_engine_read(e, &record);
	} while (!heard && !e->sink && record.type == VFM_STREAM_RATES && vfm_now_ns() < end);
	note_alert(e);
	e->closing = false;
	e->cause.code = 0;
	if (heard && e->told)
		return heard;
	e->err = mine;
	return heard ? ret : vfm_engine_unexpected(e, &record);
}

int vfm_engine_unwritten(struct vfm_engine *e, int ret)
{
	e->torn = true;
	return e->cause.code ? caused(e, e->cause.code) : vfm_engine_hear(e, ret);
}

static int written(struct vfm_engine *e, int ret)
{
	return ret ? vfm_engine_unwritten(e, ret) : 0;
}

/* One turn of so long at most. 1: @fd is readable. */
static int serve(struct vfm_engine *e, int fd, int timeout_ms)
{
	struct wanted wanted = { { .fd = fd, .events = POLLIN }, ear(e) };
	int ret = turn(e, &wanted, timeout_ms);

	if (ret)
		return caused(e, ret);
	if (wanted.ear.revents)
		return listen_once(e);
	return wanted.main.revents != 0;
}

int vfm_engine_service(struct vfm_engine *e)
{
	return serve(e, -1, 0);
}

int vfm_engine_await(struct vfm_engine *e, int fd)
{
	uint32_t collected = e->collected;
	int ret;

	do {
		ret = serve(e, fd, TURN_MS);
	} while (!ret && collected == e->collected);
	return ret < 0 ? ret : 0;
}

int vfm_engine_idle(struct vfm_engine *e, unsigned int ms)
{
	uint64_t end = vfm_now_ns() + (uint64_t)ms * 1000000;
	uint32_t heard = e->heard;
	uint64_t now;

	while (heard == e->heard && (now = vfm_now_ns()) < end) {
		int ret = serve(e, -1, (int)((end - now) / 1000000 + 1));

		if (ret)
			return ret;
	}
	return 0;
}

int vfm_engine_buffer(struct vfm_engine *e, void **data)
{
	if (e->pipe)
		return vfm_pipe_buffer(e, data);
	*data = vfm_stream_buffer(e->out);
	return 0;
}

int vfm_engine_put(struct vfm_engine *e, enum vfm_stream_type type, uint32_t flags,
		   const void *data, size_t size)
{
	if (has_helper(e, false))
		return vfm_pipe_put(e, type, flags, data, size);
	return written(e, vfm_stream_write(e->out, type, flags, 0, data, size, &e->err));
}

int vfm_engine_write(struct vfm_engine *e, enum vfm_stream_type type, const void *data, size_t size)
{
	int ret = vfm_engine_service(e);

	return ret ? ret : vfm_engine_put(e, type, 0, data, size);
}

int vfm_engine_write_identities(struct vfm_engine *e)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < e->nr_members; i++) {
		const struct vfm_member *m = &e->members[i];

		ret = vfm_stream_write_identity(e->out, m->index, &m->identity, &e->err);
		ret = written(e, ret);
	}
	return ret;
}

int vfm_engine_flush(struct vfm_engine *e)
{
	return e->pipe ? vfm_pipe_flush(e) : 0;
}

int vfm_engine_write_end(struct vfm_engine *e)
{
	int ret = vfm_engine_service(e);

	return ret ? ret : vfm_pipe_seal(e);
}

int vfm_engine_write_phase(struct vfm_engine *e, enum vfm_phase phase, uint32_t round)
{
	uint8_t buf[VFM_LAYOUT_PHASE_SIZE];
	struct vfm_writer w = vfm_writer_of(buf, sizeof(buf));
	int ret = vfm_engine_service(e);

	if (ret)
		return ret;
	vfm_write_le32(&w, phase);
	vfm_write_le32(&w, round);
	vfm_write_le32(&w, e->peer_rates ? VFM_LAYOUT_ANSWER : 0);
	e->phases++;
	return vfm_engine_put(e, VFM_STREAM_PHASE, VFM_STREAM_OPTIONAL, buf, sizeof(buf));
}

void vfm_engine_abort(struct vfm_engine *e)
{
	uint8_t buf[VFM_ERR_TEXT + 4];
	size_t size = vfm_layout_write_abort(e->err.code, e->err.msg, buf, sizeof(buf));

	if (!e->peer)
		return;
	e->closing = true;
	note_alert(e);
	vfm_pipe_stop(e, e->told || e->torn ? 0 : CLOSING_MS);
	if (!e->told && !e->torn && e->out &&
	    vfm_stream_write(e->out, VFM_STREAM_ABORT, 0, 0, buf, size, NULL))
		e->torn = true;
	/* Whatever was said, the peer need not wait for more. */
	shutdown(e->fd, SHUT_WR);
}
