// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * From a connected socket to a peer that is one of ours: the hello, and TLS if both
 * want it. Nothing is allocated before the peer's hello was found right, and
 * nothing of the stream is read or written before all of this is done.
 *
 * The source speaks first. The destination answers every hello, so that
 * both sides can say what is wrong, and nobody who says anything else. With TLS each
 * side says its hello once more under its protection, the destination first: so
 * nobody in between has changed one, and the source, to which TLS does not tell
 * whether its certificate was taken, learns it here.
 *
 * What surprises: the limit on time is for all of it together, and not for silence.
 */

#include "engine/engine.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>

#include "base/io.h"
#include "base/util.h"
#include "engine/hello.h"
#include "engine/secure.h"

/* ---- moving bytes ---------------------------------------------------------- */

static ssize_t secure_read(void *user, void *buf, size_t len, short *events)
{
	struct vfm_engine *e = user;

	return vfm_tls_read(e->secure, buf, len, events, vfm_engine_cause(e, true));
}

static ssize_t secure_write(void *user, const struct iovec *iov, int nr_iov, short *events)
{
	struct vfm_engine *e = user;

	return vfm_tls_write(e->secure, iov, nr_iov, events, vfm_engine_cause(e, false));
}

static struct vfm_wait engine_wait(struct vfm_engine *e)
{
	return (struct vfm_wait){ .cancel_fd = -1, .fn = vfm_engine_wait, .user = e };
}

/* A transfer has failed with @ret. */
static int failed(struct vfm_engine *e, const char *what, int ret)
{
	if (ret == -ETIMEDOUT)
		return vfm_fail(&e->err, ret, "%s was not done within %u ms", what,
				e->opts.timeout_ms);
	if (e->cause.code) {
		e->err = e->cause;
		return ret;
	}
	if (ret != -ENODATA && ret != -ECONNRESET && ret != -EPIPE)
		return vfm_fail(&e->err, ret, "%s: %s", what, strerror(-ret));
	e->told = true;
	return vfm_fail(&e->err, -ECONNRESET, "the %s has closed the connection", e->peer);
}

static int write_hello(struct vfm_engine *e, const uint8_t wire[VFM_HELLO_SIZE])
{
	struct vfm_wait wait = engine_wait(e);
	uint8_t copy[VFM_HELLO_SIZE];
	struct iovec iov = { .iov_base = copy, .iov_len = sizeof(copy) };
	int ret;

	memcpy(copy, wire, sizeof(copy));
	if (e->secure)
		ret = vfm_io_writev_full(&e->io, e->fd, &iov, 1, &wait);
	else
		ret = vfm_writev_full(e->fd, &iov, 1, &wait);
	return ret ? failed(e, "hello", ret) : 0;
}

/* What is no hello is not waited for. */
static int read_hello(struct vfm_engine *e, uint8_t wire[VFM_HELLO_SIZE])
{
	struct vfm_wait wait = engine_wait(e);
	size_t have = 0;
	int ret = 0;

	if (e->secure) {
		ret = vfm_io_read_more(&e->io, e->fd, wire, &have, VFM_HELLO_SIZE, &wait);
	} else {
		while (!ret && have < VFM_HELLO_SIZE && vfm_hello_is_ours(wire, have)) {
			size_t want = have < VFM_HELLO_MAGIC_SIZE ? have + 1 : VFM_HELLO_SIZE;

			ret = vfm_read_more(e->fd, wire, &have, want, &wait);
			if (!ret && have < want)
				ret = -ENODATA;
		}
		if (!vfm_hello_is_ours(wire, have))
			return vfm_fail(&e->err, -EPROTO,
					"the %s does not speak the protocol of vfmig", e->peer);
	}
	if (!ret && have < VFM_HELLO_SIZE)
		ret = -ENODATA;
	return ret ? failed(e, "hello", ret) : 0;
}

/* ---- hello ------------------------------------------------------------------ */

/* Both, as they were in the clear. */
struct hellos {
	struct vfm_hello fields;
	uint8_t ours[VFM_HELLO_SIZE];
	uint8_t theirs[VFM_HELLO_SIZE];
};

static int make_ours(struct vfm_engine *e, struct hellos *h)
{
	h->fields =
		(struct vfm_hello){ .version = VFM_HELLO_VERSION,
				    .compat_version = VFM_HELLO_COMPAT_VERSION,
				    .flags = e->opts.tls ? VFM_HELLO_TLS : 0,
				    .role = e->sink ? VFM_HELLO_DESTINATION : VFM_HELLO_SOURCE };
	if (getrandom(h->fields.session, sizeof(h->fields.session), 0) !=
	    (ssize_t)sizeof(h->fields.session))
		return vfm_fail(&e->err, -EIO, "no random numbers");
	vfm_hello_to_wire(&h->fields, h->ours);
	return 0;
}

static int say_hello(struct vfm_engine *e, struct hellos *h)
{
	struct vfm_hello theirs;
	int ret = make_ours(e, h);

	if (!ret && !e->sink)
		ret = write_hello(e, h->ours);
	if (!ret)
		ret = read_hello(e, h->theirs);
	if (!ret && e->sink)
		ret = write_hello(e, h->ours);
	if (!ret)
		ret = vfm_hello_from_wire(&theirs, h->theirs, e->peer, &e->err);
	return ret ? ret : vfm_hello_agree(&h->fields, &theirs, e->peer, &e->err);
}

/* ---- TLS -------------------------------------------------------------------- */

static int shake_hands(struct vfm_engine *e)
{
	for (;;) {
		short events = POLLIN;
		int ret = vfm_tls_handshake(e->secure, &events, &e->err);

		if (ret == 0)
			return 0;
		if (ret != -EAGAIN) {
			e->told = vfm_tls_told(e->secure);
			return ret == -ECONNRESET || ret == -EPIPE ? failed(e, "TLS", ret) : ret;
		}
		ret = vfm_engine_wait(e, e->fd, events);
		if (ret)
			return failed(e, "the TLS handshake", ret);
	}
}

static int confirm(struct vfm_engine *e, const struct hellos *h)
{
	uint8_t again[VFM_HELLO_SIZE];
	int ret = e->sink ? write_hello(e, h->ours) : 0;

	if (!ret)
		ret = read_hello(e, again);
	if (!ret && memcmp(again, h->theirs, sizeof(again)) != 0)
		ret = vfm_fail(&e->err, -EPROTO, "somebody has changed the hello of the %s",
			       e->peer);
	return !ret && !e->sink ? write_hello(e, h->ours) : ret;
}

static int secure(struct vfm_engine *e, const struct hellos *h)
{
	const struct vfm_tls_opts opts = {
		.fd = e->fd, .server = e->sink, .who = e->peer, .name = e->opts.peer_name
	};
	int ret = vfm_tls_open(&e->secure, e->opts.tls, &opts, &e->err);

	e->io = (struct vfm_io){ .read = secure_read, .write = secure_write, .user = e };
	if (!ret)
		ret = shake_hands(e);
	return ret ? ret : confirm(e, h);
}

int vfm_engine_connect(struct vfm_engine *e)
{
	struct hellos h;
	int ret;

	if (e->opts.timeout_ms)
		e->deadline_ns = vfm_now_ns() + (uint64_t)e->opts.timeout_ms * 1000000;
	ret = say_hello(e, &h);
	if (!ret && e->opts.tls)
		ret = secure(e, &h);
	e->deadline_ns = 0;
	if (ret)
		return ret;
	e->report.connected = true;
	if (e->opts.progress)
		e->opts.progress(e->opts.user, &e->report);
	return 0;
}
