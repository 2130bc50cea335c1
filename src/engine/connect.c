// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * From a connected socket to a peer that is one of ours: the hello, and TLS if both
 * want it. Nothing is allocated before the peer's hello was found right, and
 * nothing of the stream is read or written before all of this is done. Further connections, if
 * both want some, come last: channel.c.
 *
 * The source speaks first. The destination answers every hello, so that
 * both sides can say what is wrong, and nobody who says anything else. With TLS each
 * side says its hello once more under its protection, the destination first: so
 * nobody in between has changed one, and the source, to which TLS does not tell
 * whether its certificate was taken, learns it here.
 *
 * What surprises: the limit on time is for all of it together, and not for silence. It begins
 * anew for the further connections, all of them together.
 */

#include "engine/engine.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>

#include "base/io.h"
#include "base/util.h"
#include "engine/channel.h"
#include "engine/secure.h"

/* ---- moving bytes ---------------------------------------------------------- */

static ssize_t secure_read(void *user, void *buf, size_t len, short *events)
{
	struct vfm_channel *c = user;

	return vfm_tls_read(c->secure, buf, len, events, vfm_engine_cause(c, true));
}

static ssize_t secure_write(void *user, const struct iovec *iov, int nr_iov, short *events)
{
	struct vfm_channel *c = user;

	return vfm_tls_write(c->secure, iov, nr_iov, events, vfm_engine_cause(c, false));
}

static struct vfm_wait engine_wait(struct vfm_engine *e)
{
	return (struct vfm_wait){ .cancel_fd = -1, .fn = vfm_engine_wait, .user = e };
}

/* A transfer has failed with @ret. */
static int failed(struct vfm_channel *c, const char *what, int ret)
{
	struct vfm_engine *e = c->e;

	if (ret == -ETIMEDOUT)
		return vfm_fail(&e->err, ret, "%s was not done within %u ms", what,
				e->opts.timeout_ms);
	if (e->cause.code || c->cause.code) {
		e->err = e->cause.code ? e->cause : c->cause;
		return ret;
	}
	if (ret != -ENODATA && ret != -ECONNRESET && ret != -EPIPE)
		return vfm_fail(&e->err, ret, "%s: %s", what, strerror(-ret));
	e->told = !c->number;
	return vfm_fail(&e->err, -ECONNRESET, "the %s has closed the connection", e->peer);
}

int vfm_channel_say(struct vfm_channel *c, const uint8_t wire[VFM_HELLO_SIZE])
{
	struct vfm_wait wait = engine_wait(c->e);
	uint8_t copy[VFM_HELLO_SIZE];
	struct iovec iov = { .iov_base = copy, .iov_len = sizeof(copy) };
	int ret;

	memcpy(copy, wire, sizeof(copy));
	if (c->secure)
		ret = vfm_io_writev_full(&c->io, c->fd, &iov, 1, &wait);
	else
		ret = vfm_writev_full(c->fd, &iov, 1, &wait);
	return ret ? failed(c, "hello", ret) : 0;
}

/* What is no hello is not waited for. */
int vfm_channel_hear(struct vfm_channel *c, uint8_t wire[VFM_HELLO_SIZE])
{
	struct vfm_engine *e = c->e;
	struct vfm_wait wait = engine_wait(e);
	size_t have = 0;
	int ret = 0;

	if (c->secure) {
		ret = vfm_io_read_more(&c->io, c->fd, wire, &have, VFM_HELLO_SIZE, &wait);
	} else {
		while (!ret && have < VFM_HELLO_SIZE && vfm_hello_is_ours(wire, have)) {
			size_t want = have < VFM_HELLO_MAGIC_SIZE ? have + 1 : VFM_HELLO_SIZE;

			ret = vfm_read_more(c->fd, wire, &have, want, &wait);
			if (!ret && have < want)
				ret = -ENODATA;
		}
		if (!vfm_hello_is_ours(wire, have))
			return vfm_fail(&e->err, -EPROTO,
					"the %s does not speak the protocol of vfmig", e->peer);
	}
	if (!ret && have < VFM_HELLO_SIZE)
		ret = -ENODATA;
	return ret ? failed(c, "hello", ret) : 0;
}

/* ---- hello ------------------------------------------------------------------ */

static int make_ours(struct vfm_engine *e, struct vfm_hellos *h)
{
	h->fields = (struct vfm_hello){ .version = VFM_HELLO_VERSION,
					.compat_version = VFM_HELLO_COMPAT_VERSION,
					.flags = e->opts.tls ? VFM_HELLO_TLS : 0,
					.role = e->sink ? VFM_HELLO_DESTINATION : VFM_HELLO_SOURCE,
					.channels = (uint16_t)vfm_channels_wanted(e) };
	if (getrandom(h->fields.session, sizeof(h->fields.session), 0) !=
	    (ssize_t)sizeof(h->fields.session))
		return vfm_fail(&e->err, -EIO, "no random numbers");
	vfm_hello_to_wire(&h->fields, h->ours);
	return 0;
}

static int say_hello(struct vfm_channel *c, struct vfm_hellos *h, unsigned int *channels)
{
	struct vfm_engine *e = c->e;
	struct vfm_hello theirs;
	int ret = make_ours(e, h);

	if (!ret && !e->sink)
		ret = vfm_channel_say(c, h->ours);
	if (!ret)
		ret = vfm_channel_hear(c, h->theirs);
	if (!ret && e->sink)
		ret = vfm_channel_say(c, h->ours);
	if (!ret)
		ret = vfm_hello_from_wire(&theirs, h->theirs, e->peer, &e->err);
	if (!ret)
		ret = vfm_hello_agree(&h->fields, &theirs, e->peer, &e->err);
	if (!ret)
		*channels = vfm_hello_channels(&h->fields, &theirs);
	return ret;
}

/* ---- TLS -------------------------------------------------------------------- */

static int shake_hands(struct vfm_channel *c)
{
	struct vfm_engine *e = c->e;

	for (;;) {
		short events = POLLIN;
		int ret = vfm_tls_handshake(c->secure, &events, &e->err);

		if (ret == 0)
			return 0;
		if (ret != -EAGAIN) {
			e->told = vfm_tls_told(c->secure);
			return ret == -ECONNRESET || ret == -EPIPE ? failed(c, "TLS", ret) : ret;
		}
		ret = vfm_engine_wait(e, c->fd, events);
		if (ret)
			return failed(c, "the TLS handshake", ret);
	}
}

static int confirm(struct vfm_channel *c, const struct vfm_hellos *h)
{
	struct vfm_engine *e = c->e;
	uint8_t again[VFM_HELLO_SIZE];
	int ret = e->sink ? vfm_channel_say(c, h->ours) : 0;

	if (!ret)
		ret = vfm_channel_hear(c, again);
	if (!ret && memcmp(again, h->theirs, sizeof(again)) != 0)
		ret = vfm_fail(&e->err, -EPROTO, "somebody has changed the hello of the %s",
			       e->peer);
	return !ret && !e->sink ? vfm_channel_say(c, h->ours) : ret;
}

int vfm_channel_secure(struct vfm_channel *c, const struct vfm_hellos *h)
{
	struct vfm_engine *e = c->e;
	const struct vfm_tls_opts opts = {
		.fd = c->fd, .server = e->sink, .who = e->peer, .name = e->opts.peer_name
	};
	int ret = vfm_tls_open(&c->secure, e->opts.tls, &opts, &e->err);

	c->io = (struct vfm_io){ .read = secure_read, .write = secure_write, .user = c };
	if (!ret)
		ret = shake_hands(c);
	return ret ? ret : confirm(c, h);
}

static void set_deadline(struct vfm_engine *e)
{
	if (e->opts.timeout_ms)
		e->deadline_ns = vfm_now_ns() + (uint64_t)e->opts.timeout_ms * 1000000;
}

int vfm_engine_connect(struct vfm_engine *e)
{
	struct vfm_channel *first = &e->channels[0];
	unsigned int channels = 1;
	struct vfm_hellos h;
	int ret;

	if (e->opts.channels > 1 && !e->opts.open_channel)
		return vfm_fail(&e->err, -EINVAL, "%u channels, and no way to open them",
				e->opts.channels);
	first->fd = e->fd;
	set_deadline(e);
	ret = say_hello(first, &h, &channels);
	if (!ret && e->opts.tls)
		ret = vfm_channel_secure(first, &h);
	set_deadline(e);
	if (!ret)
		ret = vfm_channels_open(e, &h, channels);
	e->deadline_ns = 0;
	if (ret)
		return ret;
	e->report.channels = channels;
	e->report.connected = true;
	if (e->opts.progress)
		e->opts.progress(e->opts.user, &e->report);
	return 0;
}
