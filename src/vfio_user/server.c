// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The server: one epoll descriptor over everything that it waits for, and the loop. Connections are
 * half open until they say VERSION; the first to do so while there is no client becomes the client,
 * the others are refused. So a connection that says nothing keeps nobody out.
 *
 * While a reply waits for the socket, nothing is read from the client; a timer sees to it that this
 * does not last. Something that no descriptor tells, a batch that was cut short, is told by an
 * eventfd of our own.
 */

#include "vfio_user/server.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "region/region.h"

#define DEFAULT_TIMEOUT_MS 5000u

/* Who an event is for; half-open connections are told by their descriptor. */
enum tag { TAG_LISTENER, TAG_DEVICE, TAG_KICK, TAG_TIMER, TAG_STOP, TAG_CLIENT, TAG_HALF_OPEN };

#define MAX_EVENTS (TAG_HALF_OPEN + VFM_SRV_MAX_HALF_OPEN)

void vfm_srv_log(const struct vfm_server *server, const char *fmt, ...)
{
	char text[VFM_ERR_TEXT];
	va_list ap;

	if (!server->opts.log)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	server->opts.log(server->opts.user, text);
}

static uint64_t event_data(enum tag tag, int fd)
{
	return (uint64_t)tag << 32 | (uint32_t)fd;
}

static int watch(struct vfm_server *server, int op, int fd, uint32_t events, enum tag tag)
{
	struct epoll_event ev = { .events = events, .data.u64 = event_data(tag, fd) };

	return epoll_ctl(server->epoll_fd, op, fd, &ev) ? -errno : 0;
}

/* ---- connections that are not the client ------------------------------------------ */

static void forget_half_open(struct vfm_server *server, unsigned int n)
{
	for (; n + 1 < VFM_SRV_MAX_HALF_OPEN; n++)
		server->half_open[n] = server->half_open[n + 1];
	server->half_open[n] = NULL;
}

static void close_half_open(struct vfm_server *server, unsigned int n)
{
	vfm_vu_conn_free(server->half_open[n]);
	forget_half_open(server, n);
}

/* Takes the descriptor, whatever comes of it. */
static int add_half_open(struct vfm_server *server, int fd, struct vfm_err *err)
{
	unsigned int n = 0;
	int ret;

	if (server->half_open[VFM_SRV_MAX_HALF_OPEN - 1])
		close_half_open(server, 0);
	while (server->half_open[n])
		n++;
	ret = vfm_vu_conn_new(&server->half_open[n], fd, VFM_VU_MAX_VERSION_SIZE, err);
	if (ret) {
		close(fd);
		return ret;
	}
	ret = watch(server, EPOLL_CTL_ADD, fd, EPOLLIN, TAG_HALF_OPEN);
	if (ret) {
		close_half_open(server, n);
		return vfm_fail(err, ret, "watch a connection: %s", strerror(-ret));
	}
	return 0;
}

/* No descriptor is left to take a connection with: take it with the spare one, and close it. */
static void turn_away(struct vfm_server *server)
{
	int fd;

	vfm_close_fd(&server->spare_fd);
	fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	vfm_close_fd(&fd);
	server->spare_fd = eventfd(0, EFD_CLOEXEC);
	vfm_srv_log(server, "turned a connection away: too many open files");
}

static void accept_one(struct vfm_server *server)
{
	int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	struct vfm_err err;

	if (fd >= 0 && add_half_open(server, fd, &err))
		vfm_srv_log(server, "lost a connection: %s", err.msg);
	else if (fd < 0 && (errno == EMFILE || errno == ENFILE))
		turn_away(server);
}

static void process_half_open(struct vfm_server *server, int fd)
{
	struct vfm_vu_conn *conn;
	struct vfm_vu_msg msg;
	unsigned int n = 0;
	int ret;

	while (n < VFM_SRV_MAX_HALF_OPEN &&
	       !(server->half_open[n] && vfm_vu_conn_fd(server->half_open[n]) == fd))
		n++;
	if (n == VFM_SRV_MAX_HALF_OPEN)
		return; /* pushed out a moment ago */
	conn = server->half_open[n];
	ret = vfm_vu_conn_recv(conn, &msg, NULL, NULL);
	if (ret == 0)
		return;
	if (ret > 0)
		vfm_vu_msg_close_fds(&msg);
	if (ret < 0 || !vfm_srv_hello(server, conn, &msg)) {
		close_half_open(server, n);
		return;
	}
	forget_half_open(server, n);
	if (watch(server, EPOLL_CTL_MOD, fd, EPOLLIN, TAG_CLIENT))
		server->client.lost = -EIO;
}

/* ---- the client --------------------------------------------------------------------- */

/* The client shall take something within @ms from now. */
static void arm_timer(struct vfm_server *server, uint64_t ms)
{
	struct itimerspec in = { .it_value = { .tv_sec = (time_t)(ms / 1000),
					       .tv_nsec = (long)(ms % 1000) * 1000000 } };

	server->timer_armed = !timerfd_settime(server->timer_fd, 0, &in, NULL);
}

/* It is not disarmed when a reply has gone, which would cost two calls for each large one. */
static void process_timer(struct vfm_server *server)
{
	struct vfm_srv_client *client = &server->client;
	uint64_t expired, waited_ms;

	server->timer_armed = false;
	if (read(server->timer_fd, &expired, sizeof(expired)) < 0 || !client->conn ||
	    !client->queued)
		return;
	waited_ms = (vfm_now_ns() - server->progress_ns) / 1000000;
	if (waited_ms >= server->opts.timeout_ms)
		client->lost = -ETIMEDOUT;
	else
		arm_timer(server, server->opts.timeout_ms - waited_ms);
}

/* After each round: what to wait for next. */
static void settle_client(struct vfm_server *server)
{
	struct vfm_srv_client *client = &server->client;
	bool queued;

	if (client->lost)
		vfm_srv_lose_client(server);
	if (!client->conn)
		return;
	queued = vfm_vu_conn_queued(client->conn);
	if (queued != client->queued) {
		client->queued = queued;
		server->progress_ns = vfm_now_ns();
		if (watch(server, EPOLL_CTL_MOD, vfm_vu_conn_fd(client->conn),
			  queued ? EPOLLOUT : EPOLLIN, TAG_CLIENT))
			client->lost = -EIO;
		if (queued && !server->timer_armed)
			arm_timer(server, server->opts.timeout_ms);
	}
	if (client->lost || (!queued && (client->pending || vfm_vu_conn_has_message(client->conn))))
		eventfd_write(server->kick_fd, 1);
}

static void process_client(struct vfm_server *server)
{
	struct vfm_srv_client *client = &server->client;

	if (!client->conn || client->lost)
		return;
	if (client->queued) {
		int ret = vfm_vu_conn_flush(client->conn, NULL);

		server->progress_ns = vfm_now_ns();
		if (ret < 0)
			client->lost = ret;
		if (ret <= 0)
			return;
		vfm_srv_settle(client);
	}
	vfm_srv_serve(server);
}

/* ---- the loop --------------------------------------------------------------------------- */

static bool is_client(const struct vfm_server *server, int fd)
{
	return server->client.conn && vfm_vu_conn_fd(server->client.conn) == fd;
}

static int handle_event(struct vfm_server *server, uint64_t data, struct vfm_err *err)
{
	int fd = (int)(uint32_t)data;
	eventfd_t kicks;

	switch ((enum tag)(data >> 32)) {
	case TAG_LISTENER:
		accept_one(server);
		return 0;
	case TAG_DEVICE:
		return vfm_device_process(server->dev, err);
	case TAG_KICK:
		eventfd_read(server->kick_fd, &kicks);
		process_client(server);
		return 0;
	case TAG_TIMER:
		process_timer(server);
		return 0;
	case TAG_CLIENT:
		if (is_client(server, fd))
			process_client(server);
		return 0;
	case TAG_HALF_OPEN:
		process_half_open(server, fd);
		return 0;
	case TAG_STOP:
		break;
	}
	return 0;
}

/* One round. @stopped is set when the descriptor that ends the loop is readable. */
static int one_round(struct vfm_server *server, int timeout_ms, bool *stopped, struct vfm_err *err)
{
	struct epoll_event events[MAX_EVENTS];
	int n = epoll_wait(server->epoll_fd, events, MAX_EVENTS, timeout_ms);
	int ret = 0;

	if (n < 0 && errno != EINTR)
		return vfm_fail(err, -errno, "wait for clients: %s", strerror(errno));
	for (int i = 0; i < n && !ret; i++) {
		if (events[i].data.u64 >> 32 == TAG_STOP)
			*stopped = true;
		ret = handle_event(server, events[i].data.u64, err);
		settle_client(server);
	}
	if (!ret && server->listen_fd < 0 && !server->client.conn && !server->half_open[0])
		return vfm_fail(err, -ESHUTDOWN, "the only client has left");
	return ret;
}

VFM_API int vfm_server_process(struct vfm_server *server, struct vfm_err *err)
{
	bool stopped;

	return one_round(server, 0, &stopped, err);
}

VFM_API int vfm_server_run(struct vfm_server *server, int stop_fd, struct vfm_err *err)
{
	bool stopped = false;
	int ret = 0;

	if (stop_fd >= 0)
		ret = watch(server, EPOLL_CTL_ADD, stop_fd, EPOLLIN, TAG_STOP);
	if (ret)
		return vfm_fail(err, ret, "watch descriptor %d: %s", stop_fd, strerror(-ret));
	while (!ret && !stopped)
		ret = one_round(server, -1, &stopped, err);
	if (stop_fd >= 0)
		watch(server, EPOLL_CTL_DEL, stop_fd, 0, TAG_STOP);
	return ret;
}

VFM_API int vfm_server_get_fd(const struct vfm_server *server)
{
	return server->epoll_fd;
}

/* ---- its life ------------------------------------------------------------------------------ */

static int open_own_fds(struct vfm_server *server)
{
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	server->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	server->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	server->spare_fd = eventfd(0, EFD_CLOEXEC);
	if (server->epoll_fd < 0 || server->kick_fd < 0 || server->timer_fd < 0 ||
	    server->spare_fd < 0)
		return -errno;
	return watch(server, EPOLL_CTL_ADD, server->kick_fd, EPOLLIN, TAG_KICK);
}

/* A socket of the caller's, which keeps its own descriptor until we have succeeded. */
static int adopt(struct vfm_server *server, int fd, struct vfm_err *err)
{
	vfm_auto_fd int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	int listening = 0, type = 0;
	socklen_t len = sizeof(int);

	if (copy < 0 || getsockopt(copy, SOL_SOCKET, SO_TYPE, &type, &len) ||
	    getsockopt(copy, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len))
		return vfm_fail(err, -errno, "serve on descriptor %d: %s", fd, strerror(errno));
	if (type != SOCK_STREAM)
		return vfm_fail(err, -EINVAL, "serve on descriptor %d: not a stream socket", fd);
	if (!listening)
		return add_half_open(server, vfm_take_fd(&copy), err);
	if (fcntl(copy, F_SETFL, fcntl(copy, F_GETFL) | O_NONBLOCK))
		return vfm_fail(err, -errno, "serve on descriptor %d: %s", fd, strerror(errno));
	server->listen_fd = vfm_take_fd(&copy);
	return 0;
}

/* What shows v1 is the migration region, which the device gets here; see vfio_user/server.h. */
static int put_on_face(struct vfm_server *server, const struct vfm_server_opts *opts,
		       struct vfm_err *err)
{
	const struct vfm_front_opts front = { opts->section, opts->section_size };
	struct vfm_device_info info;
	int ret;

	if ((unsigned int)opts->face > VFM_FACE_BOTH)
		return vfm_fail(err, -EINVAL, "server options: there is no face %d",
				(int)opts->face);
	if (opts->face == VFM_FACE_V2)
		return 0;
	ret = vfm_front_open(&server->front, server->dev, &front, err);
	if (!ret)
		ret = vfm_device_get_info(server->front, &info, err);
	if (ret)
		return ret;
	server->dev = server->front;
	server->front_index = info.nr_regions - 1; /* it is the last */
	return 0;
}

static int start(struct vfm_server *server, const struct vfm_server_opts *opts, struct vfm_err *err)
{
	int dev_fd = vfm_device_get_fd(server->dev);
	int ret = open_own_fds(server);

	if (!ret)
		ret = watch(server, EPOLL_CTL_ADD, server->timer_fd, EPOLLIN, TAG_TIMER);
	if (!ret && dev_fd >= 0)
		ret = watch(server, EPOLL_CTL_ADD, dev_fd, EPOLLIN, TAG_DEVICE);
	if (ret)
		return vfm_fail(err, ret, "begin to serve: %s", strerror(-ret));
	ret = opts->path ? vfm_srv_listen(server, opts->path, err) : adopt(server, opts->fd, err);
	if (ret || server->listen_fd < 0)
		return ret;
	ret = watch(server, EPOLL_CTL_ADD, server->listen_fd, EPOLLIN, TAG_LISTENER);
	return ret ? vfm_fail(err, ret, "watch the socket: %s", strerror(-ret)) : 0;
}

VFM_API int vfm_server_new(struct vfm_server **out, struct vfm_device *dev,
			   const struct vfm_server_opts *opts, struct vfm_err *err)
{
	struct vfm_server *server;
	int ret;

	if (opts->size != sizeof(*opts))
		return vfm_fail(err, -EINVAL, "server options of %zu bytes, and we know %zu",
				opts->size, sizeof(*opts));
	server = calloc(1, sizeof(*server));
	if (!server)
		return vfm_fail(err, -ENOMEM, "no memory for a server");
	server->dev = dev;
	server->opts = *opts;
	if (!server->opts.timeout_ms)
		server->opts.timeout_ms = DEFAULT_TIMEOUT_MS;
	server->listen_fd = server->epoll_fd = server->kick_fd = -1;
	server->timer_fd = server->spare_fd = -1;
	server->client.pending_end = &server->client.pending;
	ret = put_on_face(server, opts, err);
	if (!ret)
		ret = start(server, opts, err);
	if (ret) {
		vfm_server_free(server);
		return ret;
	}
	if (!opts->path)
		close(opts->fd);
	*out = server;
	return 0;
}

VFM_API void vfm_server_free(struct vfm_server *server)
{
	if (!server)
		return;
	vfm_srv_lose_client(server);
	while (server->half_open[0])
		close_half_open(server, 0);
	vfm_srv_unlink(server);
	vfm_close_fd(&server->listen_fd);
	vfm_close_fd(&server->epoll_fd);
	vfm_close_fd(&server->kick_fd);
	vfm_close_fd(&server->timer_fd);
	vfm_close_fd(&server->spare_fd);
	vfm_device_close(server->front);
	free(server->large);
	free(server);
}
