// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Opening: the socket, VERSION, and every description while the server gives
 * them (some refuse once the device is stopped). Closing changes nothing at the
 * device; what the server does when its client leaves is the server's business.
 */

#include "vfio_user/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/util.h"

#define DEFAULT_TIMEOUT_MS 5000

/* Smaller transfers than a register make no sense, and would make no progress. */
#define MIN_XFER 8

/* Fixed parts, error texts of others, padding: what a message may have beside its data. */
#define PAYLOAD_SLACK 4096

static void client_close(struct vfm_device *dev)
{
	struct vfm_client *c = vfm_client_of(dev);

	vfm_vu_conn_free(c->conn);
	vfm_client_free_info(c);
	vfm_client_free_log(c);
	vfm_client_free_mappings(c);
}

static int client_get_fd(struct vfm_device *dev)
{
	return vfm_vu_conn_fd(vfm_client_of(dev)->conn);
}

static const struct vfm_device_ops client_ops = {
	.close = client_close,
	.get_info = vfm_client_get_info,
	.get_region = vfm_client_get_region,
	.read_region = vfm_client_read_region,
	.write_region = vfm_client_write_region,
	.get_io_fds = vfm_client_get_io_fds,
	.get_irq = vfm_client_get_irq,
	.set_irqs = vfm_client_set_irqs,
	.map_dma = vfm_client_map_dma,
	.unmap_dma = vfm_client_unmap_dma,
	.unmap_all = vfm_client_unmap_all,
	.get_migration = vfm_client_get_migration,
	.get_state = vfm_client_get_state,
	.set_state = vfm_client_set_state,
	.read_data = vfm_client_read_data,
	.write_data = vfm_client_write_data,
	.read_chunk = vfm_client_read_chunk,
	.write_chunk = vfm_client_write_chunk,
	.writes_once = true,
	.get_precopy_info = vfm_client_get_precopy_info,
	.get_data_size = vfm_client_get_data_size,
	.reset = vfm_client_reset,
	.get_compat = vfm_client_get_compat,
	.set_orphan = vfm_client_set_orphan,
	.start_log = vfm_client_start_log,
	.report_log = vfm_client_report_log,
	.stop_log = vfm_client_stop_log,
	.get_fd = client_get_fd,
	.process = vfm_client_process,
};

static void our_caps(struct vfm_vu_caps *caps, bool no_extension)
{
	vfm_vu_caps_defaults(caps);
	caps->major = VFM_VU_MAJOR;
	caps->minor = VFM_VU_MINOR;
	caps->max_fds = VFM_VU_MAX_FDS;
	caps->max_xfer = VFM_VU_DEFAULT_XFER;
	caps->extension = no_extension ? 0 : VFM_VU_EXT_VERSION;
}

/*
 * Servers that do not loop when they receive lose their place in the stream over
 * a body that the socket cuts; only one that speaks our extension is known to loop.
 */
static int agree(struct vfm_client *c, const struct vfm_vu_caps *theirs, struct vfm_err *err)
{
	uint64_t xfer = VFM_MIN(c->ours.max_xfer, theirs->max_xfer);

	if (xfer < MIN_XFER)
		return vfm_fail(err, -EPROTO, "max_data_xfer_size of the server is %llu",
				(unsigned long long)theirs->max_xfer);
	c->extension = VFM_MIN(c->ours.extension, theirs->extension);
	c->max_read = xfer;
	c->max_write = c->extension ? xfer : VFM_MIN(xfer, VFM_VU_SAFE_WRITE);
	c->max_fds = VFM_MIN(theirs->max_fds, VFM_VU_MAX_FDS);
	c->max_maps = VFM_MIN(theirs->max_dma_maps, VFM_VU_MAX_DMA_MAPS);
	c->max_payload = c->ours.max_xfer + PAYLOAD_SLACK;
	vfm_vu_conn_set_limit(c->conn, c->max_payload);
	return 0;
}

static int explain_version(const struct vfm_client *c, int code, struct vfm_err *err)
{
	if (code == -EBUSY)
		return vfm_fail(err, code, "in use by another client");
	if (code == -ETIMEDOUT)
		return vfm_fail(err, code,
				"no answer to VERSION within %u ms; it may have a client already",
				c->timeout_ms);
	vfm_fail_prefix(err, "negotiate the version");
	return code;
}

static int negotiate(struct vfm_client *c, bool no_extension, struct vfm_err *err)
{
	uint8_t request[VFM_VU_MAX_VERSION_SIZE], reply[VFM_VU_MAX_VERSION_SIZE];
	struct iovec body = { .iov_base = request };
	struct vfm_client_call call = { .command = VFM_VU_VERSION,
					.body = &body,
					.nr_body = 1,
					.head = reply,
					.head_room = sizeof(reply) };
	struct vfm_vu_caps theirs;
	ssize_t len;
	int ret;

	our_caps(&c->ours, no_extension);
	len = vfm_vu_caps_format(&c->ours, request, sizeof(request), err);
	if (len < 0)
		return (int)len;
	body.iov_len = (size_t)len;
	ret = vfm_client_call(c, &call, err);
	if (ret)
		return explain_version(c, ret, err);
	ret = vfm_vu_caps_parse(&theirs, reply, call.head_len, err);
	if (ret) {
		vfm_fail_prefix(err, "version of the server");
		return ret;
	}
	return agree(c, &theirs, err);
}

static struct vfm_client *new_client(const struct vfm_client_opts *opts, const char *uri)
{
	struct vfm_client *c = calloc(1, sizeof(*c));

	if (!c || vfm_device_init(&c->dev, &client_ops, uri, NULL)) {
		free(c);
		return NULL;
	}
	c->timeout_ms = opts && opts->timeout_ms ? opts->timeout_ms : DEFAULT_TIMEOUT_MS;
	c->max_payload = VFM_VU_MAX_VERSION_SIZE;
	return c;
}

/* The connection gets a duplicate, so that the caller's descriptor survives a failure. */
static int connect_conn(struct vfm_client *c, int fd, struct vfm_err *err)
{
	vfm_auto_fd int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	int ret;

	if (own < 0)
		return vfm_fail(err, -errno, "duplicate the socket");
	ret = vfm_vu_conn_new(&c->conn, own, c->max_payload, err);
	if (!ret)
		vfm_take_fd(&own);
	return ret;
}

/* @fd stays the caller's. */
static int open_socket(struct vfm_device **out, int fd, const char *uri,
		       const struct vfm_client_opts *opts, struct vfm_err *err)
{
	struct vfm_client *c = new_client(opts, uri);
	int ret;

	if (!c)
		return vfm_fail(err, -ENOMEM, "%s: no memory", uri);
	ret = connect_conn(c, fd, err);
	if (!ret)
		ret = negotiate(c, opts && opts->no_extension, err);
	if (!ret)
		ret = vfm_client_learn(c, err);
	if (ret) {
		vfm_fail_prefix(err, "%s", uri);
		client_close(&c->dev);
		free(c->dev.uri);
		free(c);
		return ret;
	}
	*out = &c->dev;
	return 0;
}

int vfm_client_open_fd(struct vfm_device **out, int fd, const struct vfm_client_opts *opts,
		       struct vfm_err *err)
{
	char uri[32];
	int ret;

	snprintf(uri, sizeof(uri), "vfio-user:fd=%d", fd);
	ret = open_socket(out, fd, uri, opts, err);
	if (!ret)
		close(fd);
	return ret;
}

static int explain_connect(const char *path, int code, struct vfm_err *err)
{
	static const struct {
		int code;
		const char *text;
	} texts[] = {
		{ -ENOENT, "there is no such socket" },
		{ -ENOTDIR, "a part of the path is not a directory" },
		{ -ECONNREFUSED, "nobody listens there" },
		{ -EACCES, "permission denied" },
		{ -EAGAIN,
		  "the server does not take the connection, it may have a client already" },
		{ -EPROTOTYPE, "it is a socket of another type" },
	};

	for (size_t i = 0; i < VFM_ARRAY_SIZE(texts); i++) {
		if (texts[i].code == code)
			return vfm_fail(err, code == -EAGAIN ? -ETIMEDOUT : code,
					"connect to %s: %s", path, texts[i].text);
	}
	return vfm_fail(err, code, "connect to %s: %s", path, strerror(-code));
}

/* A full backlog makes connect() wait, for as long as a send may take. */
static int connect_path(int fd, const char *path, unsigned int timeout_ms)
{
	struct timeval limit = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };
	static const struct timeval for_ever;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int ret;

	memcpy(addr.sun_path, path, strlen(path));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)))
		return -errno;
	do {
		ret = connect(fd, (const struct sockaddr *)&addr, sizeof(addr));
	} while (ret && errno == EINTR);
	if (ret || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &for_ever, sizeof(for_ever)))
		return -errno;
	return 0;
}

int vfm_client_open(struct vfm_device **out, const char *path, const struct vfm_client_opts *opts,
		    struct vfm_err *err)
{
	unsigned int timeout_ms = opts && opts->timeout_ms ? opts->timeout_ms : DEFAULT_TIMEOUT_MS;
	size_t room = sizeof(((struct sockaddr_un *)0)->sun_path);
	vfm_auto_free char *uri = NULL;
	vfm_auto_fd int fd = -1;
	int ret;

	if (!*path)
		return vfm_fail(err, -EINVAL, "vfio-user: the path of the socket is missing");
	if (strlen(path) >= room)
		return vfm_fail(err, -ENAMETOOLONG,
				"connect to %s: the path has %zu bytes, a socket's at most %zu",
				path, strlen(path), room - 1);
	if (asprintf(&uri, "vfio-user:%s", path) < 0)
		return vfm_fail(err, -ENOMEM, "vfio-user:%s: no memory", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return vfm_fail(err, -errno, "make a socket");
	ret = connect_path(fd, path, timeout_ms);
	if (ret)
		return explain_connect(path, ret, err);
	return open_socket(out, fd, uri, opts, err);
}
