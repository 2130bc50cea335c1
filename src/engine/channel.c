// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Further connections: one after the other, each with a hello that belongs to the first.
 *
 * A source names the session that the destination has told on the first connection, and the
 * destination answers with the source's: who has not seen the first connection knows neither. With
 * TLS they have been seen by whoever sees the wire, so there it is TLS that proves it: the same
 * certificate as on the first connection, and both hellos once more under its protection.
 *
 * A destination must expect others to connect meanwhile. A *stray* is anybody who has not proven
 * that it belongs here; it learns nothing, is closed, and the next is awaited. Their number
 * is limited, and the time that each may take until it has said a hello, so that somebody
 * who connects and is silent does not use up the time of all. Whoever has proven it, and
 * then names a channel that is not due, ends the migration.
 */

#include "engine/channel.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "engine/engine.h"
#include "engine/pipe.h"
#include "engine/secure.h"

/* So many connections may come to nothing. */
#define MAX_STRAYS 64

/* Each has this part of the time for its hello, and no less than that; and for TLS some of these.
 */
#define STRAY_PART 10
#define STRAY_MS 1000u
#define TLS_PARTS 4

/* What a connection is that has not proven to be ours, beside 0 and errors. */
#define STRAY 1

unsigned int vfm_channels_wanted(const struct vfm_engine *e)
{
	return VFM_MIN(VFM_MAX(e->opts.channels, 1u), vfm_pipe_channels(e));
}

static void close_channel(struct vfm_channel *c)
{
	vfm_stream_writer_free(c->out);
	vfm_stream_reader_free(c->in);
	vfm_tls_close(c->secure);
	if (c->number && c->fd >= 0)
		close(c->fd);
	*c = (struct vfm_channel){ .e = c->e, .number = c->number, .fd = -1 };
}

void vfm_channels_close(struct vfm_engine *e)
{
	for (unsigned int i = 0; i < e->nr_channels; i++)
		close_channel(&e->channels[i]);
	e->nr_channels = 1;
}

uint64_t vfm_channels_written(const struct vfm_engine *e, uint64_t *compressed, uint64_t *to)
{
	uint64_t written = 0;

	*compressed = *to = 0;
	for (unsigned int i = 1; i < e->nr_channels; i++) {
		const struct vfm_channel *c = &e->channels[i];
		uint64_t part_to;

		if (!c->out)
			continue;
		written += vfm_stream_written(c->out);
		*compressed += vfm_stream_compressed(c->out, &part_to);
		*to += part_to;
	}
	return written;
}

/* ---- one connection ---------------------------------------------------------- */

/* Ours for channel @c: it belongs to the session of the other side. */
static int make_ours(struct vfm_channel *c, const struct vfm_hellos *first, struct vfm_hellos *h)
{
	struct vfm_hello theirs;
	int ret = vfm_hello_from_wire(&theirs, first->theirs, c->e->peer, &c->e->err);

	h->fields = first->fields;
	h->fields.compat_version = VFM_HELLO_CHANNEL_VERSION;
	h->fields.channel = (uint16_t)c->number;
	memcpy(h->fields.session, theirs.session, sizeof(theirs.session));
	vfm_hello_to_wire(&h->fields, h->ours);
	return ret;
}

/* Hear the other side, and whether it belongs to the first connection: 0, STRAY, or an error. */
static int hear_theirs(struct vfm_channel *c, const struct vfm_hellos *first, struct vfm_hellos *h,
		       struct vfm_hello *theirs)
{
	struct vfm_engine *e = c->e;
	int ret = vfm_channel_hear(c, h->theirs);

	if (!ret)
		ret = vfm_hello_from_wire(theirs, h->theirs, e->peer, &e->err);
	if (ret)
		return ret;
	return vfm_hello_is_channel(&h->fields, theirs, first->fields.session) ? 0 : STRAY;
}

static int secure(struct vfm_channel *c, const struct vfm_hellos *h)
{
	struct vfm_engine *e = c->e;
	int ret;

	if (!e->opts.tls)
		return 0;
	ret = vfm_channel_secure(c, h);
	if (!ret && !vfm_tls_same_peer(c->secure, e->channels[0].secure))
		ret = vfm_fail(&e->err, -EKEYREJECTED,
			       "the %s shows another certificate than on the first connection",
			       e->peer);
	return ret;
}

static int check_number(struct vfm_channel *c, const struct vfm_hello *theirs)
{
	if (theirs->channel == c->number)
		return 0;
	return vfm_fail(&c->e->err, -EPROTO, "the %s says that this is channel %u", c->e->peer,
			theirs->channel);
}

/* The end of a wait for somebody who may be a stray, so many parts of the time from now. */
static uint64_t patience(const struct vfm_engine *e, unsigned int parts, uint64_t deadline_ns)
{
	uint64_t ms = VFM_MAX(e->opts.timeout_ms / STRAY_PART, STRAY_MS);
	uint64_t end_ns = vfm_now_ns() + ms * parts * 1000000;

	return deadline_ns ? VFM_MIN(end_ns, deadline_ns) : end_ns;
}

static int greet_source(struct vfm_channel *c, const struct vfm_hellos *first)
{
	struct vfm_engine *e = c->e;
	uint64_t deadline_ns = e->deadline_ns;
	struct vfm_hello theirs = { 0 };
	struct vfm_hellos h;
	int ret = make_ours(c, first, &h);

	e->deadline_ns = patience(e, 1, deadline_ns);
	if (!ret)
		ret = hear_theirs(c, first, &h, &theirs);
	e->deadline_ns = patience(e, TLS_PARTS, deadline_ns);
	if (!ret)
		ret = vfm_channel_say(c, h.ours);
	if (!ret)
		ret = secure(c, &h);
	e->deadline_ns = deadline_ns;
	if (!ret)
		return check_number(c, &theirs);
	/* Our own troubles, a cancellation for instance, make nobody a stray. */
	return e->cause.code && e->cause.code != -ETIMEDOUT ? ret : STRAY;
}

static int greet_destination(struct vfm_channel *c, const struct vfm_hellos *first)
{
	struct vfm_hello theirs = { 0 };
	struct vfm_hellos h;
	int ret = make_ours(c, first, &h);

	if (!ret)
		ret = vfm_channel_say(c, h.ours);
	if (!ret)
		ret = hear_theirs(c, first, &h, &theirs);
	if (ret == STRAY)
		return vfm_fail(&c->e->err, -EPROTO, "who answers is not the %s that was there",
				c->e->peer);
	if (!ret)
		ret = check_number(c, &theirs);
	return ret ? ret : secure(c, &h);
}

/* ---- all of them ------------------------------------------------------------- */

static int late(struct vfm_engine *e, unsigned int strays)
{
	if (!strays)
		return vfm_fail(&e->err, -ETIMEDOUT, "the %s did not connect again within %u ms",
				e->peer, e->opts.timeout_ms);
	return vfm_fail(&e->err, -ETIMEDOUT,
			"the %s did not connect again, and %u did who are not the %s", e->peer,
			strays, e->peer);
}

/* One more connection, as our caller gives it. */
static int next_socket(struct vfm_channel *c, unsigned int strays)
{
	struct vfm_engine *e = c->e;
	uint64_t now = vfm_now_ns();
	unsigned int left_ms = 0;

	if (e->deadline_ns && now >= e->deadline_ns)
		return late(e, strays);
	if (e->deadline_ns)
		left_ms = (unsigned int)((e->deadline_ns - now) / 1000000 + 1);
	c->fd = e->opts.open_channel(e->opts.channel_user, left_ms, &e->err);
	if (c->fd == -ETIMEDOUT && e->sink)
		return late(e, strays);
	return c->fd < 0 ? c->fd : 0;
}

static int open_channel(struct vfm_channel *c, const struct vfm_hellos *first)
{
	struct vfm_engine *e = c->e;

	for (unsigned int strays = 0;; strays++) {
		int ret = strays < MAX_STRAYS ? next_socket(c, strays) : late(e, strays);

		if (ret)
			return ret;
		ret = e->sink ? greet_source(c, first) : greet_destination(c, first);
		if (ret != STRAY)
			return ret;
		close_channel(c);
		e->cause.code = 0;
	}
}

int vfm_channels_open(struct vfm_engine *e, const struct vfm_hellos *first, unsigned int count)
{
	for (unsigned int i = 1; i < count; i++) {
		struct vfm_channel *c = &e->channels[i];
		int ret;

		*c = (struct vfm_channel){ .e = e, .number = i, .fd = -1 };
		e->nr_channels = i + 1;
		ret = open_channel(c, first);
		if (ret) {
			e->err.code = ret;
			vfm_fail_prefix(&e->err, "channel %u", i);
			return ret;
		}
	}
	return 0;
}
