// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Processes to measure against, and the limits themselves. */

#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/util.h"
#include "region/region.h"
#include "vfio_user/vfio_user.h"

double bench_seconds(void)
{
	return (double)vfm_now_ns() / 1e9;
}

void bench_die(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "vfmig-bench: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	exit(1);
}

void bench_ok(int ret, const struct vfm_err *err)
{
	if (ret < 0)
		bench_die("%s", err && err->msg[0] ? err->msg : strerror(-ret));
}

uint64_t bench_peak(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long long kib = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f) && sscanf(line, "VmHWM: %llu", &kib) != 1)
		continue;
	if (!kib || write(fd, "5", 1) != 1)
		bench_die("peak of memory: %s", strerror(errno));
	fclose(f);
	close(fd);
	return kib << 10;
}

void bench_tcp_pair(int fds[2])
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&addr, &len) ||
	    connect(fds[0], (struct sockaddr *)&addr, len))
		bench_die("loopback: %s", strerror(errno));
	fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	for (int i = 0; i < 2; i++)
		setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	close(listener);
}

pid_t bench_child(int *socket, bool tcp, void (*body)(int socket, void *user), void *user)
{
	int fds[2];
	pid_t child;

	if (tcp)
		bench_tcp_pair(fds);
	else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		bench_die("socket pair: %s", strerror(errno));
	fflush(NULL);
	child = fork();
	if (child < 0)
		bench_die("fork: %s", strerror(errno));
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(fds[0]);
		body(fds[1], user);
		_exit(0);
	}
	close(fds[1]);
	*socket = fds[0];
	return child;
}

void bench_reap(pid_t child, int socket)
{
	if (socket >= 0)
		close(socket);
	if (waitpid(child, NULL, 0) != child)
		bench_die("wait: %s", strerror(errno));
}

/* As vfm_open() does it for a path: a device over a connection, whatever protocol it has. */
static int open_client(struct vfm_device **dev, int socket, struct vfm_err *err)
{
	struct vfm_device *client;
	uint64_t migration;
	int ret = vfm_client_open_fd(&client, socket, NULL, err);

	*dev = client;
	if (!ret && vfm_device_get_migration(client, &migration, NULL) == -ENOTTY)
		ret = vfm_back_open(dev, client, err);
	return ret;
}

static int open_served(struct vfm_device **dev, const struct bench_served *what,
		       struct vfm_err *err)
{
	if (what->socket)
		return open_client(dev, what->socket, err);
	if (what->driver)
		return vfm_device_from_driver(dev, what->driver, NULL, err);
	return what->uri ? vfm_open(dev, what->uri, err)
			 : bench_null_device(dev, BENCH_STATE_BYTES, err);
}

static void serve(int socket, void *user)
{
	const struct bench_served *what = user;
	struct vfm_server_opts opts = VFM_SERVER_OPTS(.face = what->face, .section = what->section,
						      .section_size = what->section_size);
	struct vfm_server *server;
	struct vfm_device *dev;
	struct vfm_err err;

	opts.fd = socket;
	bench_ok(open_served(&dev, what, &err), &err);
	bench_ok(vfm_server_new(&server, dev, &opts, &err), &err);
	while (vfm_server_run(server, -1, &err) == 0)
		;
	vfm_server_free(server);
	vfm_device_close(dev);
}

struct vfm_device *bench_serve(const struct bench_served *what, pid_t *child)
{
	struct bench_served copy = *what;
	struct vfm_device *dev;
	struct vfm_err err;
	int socket;

	*child = bench_child(&socket, false, serve, &copy);
	bench_ok(open_client(&dev, socket, &err), &err);
	return dev;
}

int bench_serve_socket(const struct bench_served *what, pid_t *child)
{
	struct bench_served copy = *what;
	int socket;

	*child = bench_child(&socket, false, serve, &copy);
	return socket;
}

/* ---- limits -------------------------------------------------------------------- */

static void echo(int socket, void *user)
{
	size_t bytes = *(size_t *)user;
	char buf[4096];

	while (recv(socket, buf, bytes, MSG_WAITALL) == (ssize_t)bytes)
		if (send(socket, buf, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
			break;
}

double bench_ping_pong(size_t bytes, unsigned int times)
{
	char buf[4096] = { 0 };
	double begin = 0;
	int socket;
	pid_t child = bench_child(&socket, false, echo, &bytes);

	for (unsigned int i = 0; i < times + times / 10; i++) {
		if (i == times / 10)
			begin = bench_seconds();
		if (send(socket, buf, bytes, 0) != (ssize_t)bytes ||
		    recv(socket, buf, bytes, 0) != (ssize_t)bytes)
			bench_die("ping-pong: %s", strerror(errno));
	}
	begin = (bench_seconds() - begin) / times;
	bench_reap(child, socket);
	return begin;
}

static void pour(int socket, void *user)
{
	uint64_t left = *(uint64_t *)user;
	char *buf = malloc(BENCH_MESSAGE);

	memset(buf, 1, BENCH_MESSAGE);
	for (; left; left -= VFM_MIN(left, BENCH_MESSAGE))
		if (vfm_write_full(socket, buf, VFM_MIN(left, BENCH_MESSAGE), NULL))
			break;
	free(buf);
}

double bench_stream(bool tcp, uint64_t bytes)
{
	char *buf = malloc(BENCH_MESSAGE);
	double begin;
	int socket;
	pid_t child;

	memset(buf, 1, BENCH_MESSAGE);
	child = bench_child(&socket, tcp, pour, &bytes);
	begin = bench_seconds();
	for (uint64_t left = bytes; left; left -= VFM_MIN(left, BENCH_MESSAGE))
		if (vfm_read_full(socket, buf, VFM_MIN(left, BENCH_MESSAGE), NULL) <= 0)
			bench_die("stream: it ended early");
	begin = (double)bytes / (bench_seconds() - begin);
	bench_reap(child, socket);
	free(buf);
	return begin;
}
