// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * HOST:PORT, [IPV6]:PORT and unix:PATH. Whatever is not of this machine wants
 * TLS or must be asked for by --insecure: it is the address that a name resolves to
 * that counts, not the name.
 */

#include "cmd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/params.h"
#include "base/util.h"

#define UNIX_PREFIX "unix:"

/* ---- text ---------------------------------------------------------------------- */

struct host_port {
	char host[256]; /* empty: none was given */
	char port[8];
};

static int bad_address(const char *text, const char *why, struct vfm_err *err)
{
	return vfm_fail(err, CMD_MISUSE, "address %s: %s", text, why);
}

/* Cut @text into what stands before and after the colon in front of the port. */
static int split(struct host_port *hp, const char *text, struct vfm_err *err)
{
	const char *colon = strrchr(text, ':'), *host = text, *port = colon ? colon + 1 : text;
	size_t len = colon ? (size_t)(colon - text) : 0;
	uint64_t number;

	if (vfm_parse_u64(port, &number) || number > 65535)
		return bad_address(text, "the port must be a number up to 65535", err);
	if (colon && !len)
		return bad_address(text, "a host is missing before the colon", err);
	if (host[0] == '[' && len > 1 && host[len - 1] == ']') {
		host++;
		len -= 2;
	} else if (memchr(host, ':', len)) {
		return bad_address(text, "write an IPv6 address as [ADDRESS]:PORT", err);
	}
	if (len >= sizeof(hp->host))
		return bad_address(text, "the host is too long", err);
	memcpy(hp->host, host, len);
	hp->host[len] = '\0';
	snprintf(hp->port, sizeof(hp->port), "%u", (unsigned int)number);
	return 0;
}

bool cmd_address_host(char *host, size_t room, const char *address)
{
	struct host_port hp;

	if (!strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX)) || split(&hp, address, NULL) ||
	    !hp.host[0])
		return false;
	snprintf(host, room, "%s", hp.host);
	return true;
}

static bool is_loopback(const struct sockaddr *sa)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;
	const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;

	if (sa->sa_family == AF_INET)
		return ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	if (sa->sa_family != AF_INET6)
		return false;
	if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		return in6->sin6_addr.s6_addr[12] == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static void free_list(struct addrinfo **list)
{
	if (*list)
		freeaddrinfo(*list);
}
#define auto_list __attribute__((cleanup(free_list)))

static int check_loopback(const struct addrinfo *list, const char *text, struct vfm_err *err)
{
	char name[INET6_ADDRSTRLEN + 8] = "?";

	for (; list; list = list->ai_next) {
		if (is_loopback(list->ai_addr))
			continue;
		getnameinfo(list->ai_addr, list->ai_addrlen, name, sizeof(name), NULL, 0,
			    NI_NUMERICHOST);
		return vfm_fail(err, CMD_MISUSE,
				"address %s: %s is not of this machine, and without --tls the "
				"connection would be neither encrypted nor authenticated; "
				"--insecure allows it",
				text, name);
	}
	return 0;
}

/* All addresses that @text means; @host stands in for a host that is missing. */
static int resolve(struct addrinfo **list, const char *text, const char *host, bool anywhere,
		   struct vfm_err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	struct host_port hp;
	int ret = split(&hp, text, err);

	if (ret)
		return ret;
	if (!hp.host[0] && !host)
		return bad_address(text, "HOST:PORT wanted", err);
	ret = getaddrinfo(hp.host[0] ? hp.host : host, hp.port, &hints, list);
	if (ret == EAI_SYSTEM)
		return vfm_fail(err, -errno, "address %s: look up the host", text);
	if (ret)
		return vfm_fail(err, -EHOSTUNREACH, "address %s: %s", text, gai_strerror(ret));
	return anywhere ? 0 : check_loopback(*list, text, err);
}

static int unix_address(struct sockaddr_un *sun, const char *path, struct vfm_err *err)
{
	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!path[0] || strlen(path) >= sizeof(sun->sun_path))
		return vfm_fail(err, CMD_MISUSE, "socket %s: a path of 1 to %zu bytes wanted", path,
				sizeof(sun->sun_path) - 1);
	memcpy(sun->sun_path, path, strlen(path) + 1);
	return 0;
}

static const char *unix_path(const char *address)
{
	size_t len = strlen(UNIX_PREFIX);

	return strncmp(address, UNIX_PREFIX, len) ? NULL : address + len;
}

/* ---- connect ---------------------------------------------------------------------- */

static int new_socket(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

static void set_nodelay(int fd)
{
	int one = 1;

	/* fails on a unix socket, which needs none */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* Three questions fit into the second half of the time. */
#define PROBES 3

void cmd_keep_alive(int fd, unsigned int silence_ms)
{
	int seconds = (int)VFM_MAX(silence_ms / 1000, 2);
	const struct {
		int level, name, value;
	} opts[] = {
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, seconds / 2 },
		{ IPPROTO_TCP, TCP_KEEPINTVL, VFM_MAX(seconds / 2 / PROBES, 1) },
		{ IPPROTO_TCP, TCP_KEEPCNT, PROBES },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, seconds * 1000 },
	};

	/* fails on a unix socket, whose peer cannot be lost */
	for (size_t i = 0; i < VFM_ARRAY_SIZE(opts); i++)
		(void)setsockopt(fd, opts[i].level, opts[i].name, &opts[i].value, sizeof(int));
}

void cmd_peer_text(int fd, char *text, size_t room)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);
	struct ucred cred = { 0 };
	socklen_t cred_len = sizeof(cred);
	char host[INET6_ADDRSTRLEN + 8], port[8];

	snprintf(text, room, "somebody");
	if (getpeername(fd, (struct sockaddr *)&sa, &len))
		return;
	if (sa.ss_family == AF_UNIX && !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len))
		snprintf(text, room, "process %d", (int)cred.pid);
	else if (!getnameinfo((struct sockaddr *)&sa, len, host, sizeof(host), port, sizeof(port),
			      NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(text, room, "%s port %s", host, port);
}

/* One address: a connected socket, or an error. */
static int connect_one(const struct sockaddr *sa, socklen_t len, const struct vfm_wait *wait)
{
	vfm_auto_fd int fd = new_socket(sa->sa_family);
	socklen_t size = sizeof(int);
	int ret, failed = 0;

	if (fd < 0)
		return fd;
	if (!connect(fd, sa, len))
		return vfm_take_fd(&fd);
	if (errno != EINPROGRESS)
		return -errno;
	ret = vfm_wait_fd(fd, POLLOUT, wait);
	if (ret)
		return ret;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size))
		return -errno;
	return failed ? -failed : vfm_take_fd(&fd);
}

static int connect_failed(int ret, const char *address, const struct vfm_wait *wait,
			  struct vfm_err *err)
{
	if (ret == -ETIMEDOUT)
		return vfm_fail(err, ret, "connect to %s: no answer in %u s", address,
				wait->timeout_ms / 1000);
	return vfm_fail(err, ret, "connect to %s", address);
}

static int connect_tcp(const char *address, bool anywhere, const struct vfm_wait *wait,
		       struct vfm_err *err)
{
	auto_list struct addrinfo *list = NULL;
	int fd = resolve(&list, address, NULL, anywhere, err);

	if (fd)
		return fd;
	for (const struct addrinfo *a = list; a; a = a->ai_next) {
		fd = connect_one(a->ai_addr, a->ai_addrlen, wait);
		if (fd < 0 && fd != -ECANCELED)
			continue;
		break;
	}
	return fd < 0 ? connect_failed(fd, address, wait, err) : fd;
}

static int connect_unix(const char *address, const char *path, const struct vfm_wait *wait,
			struct vfm_err *err)
{
	struct sockaddr_un sun;
	int fd = unix_address(&sun, path, err);

	if (fd)
		return fd;
	fd = connect_one((const struct sockaddr *)&sun, sizeof(sun), wait);
	return fd < 0 ? connect_failed(fd, address, wait, err) : fd;
}

int cmd_connect(const char *address, bool anywhere, unsigned int wait_ms, int cancel_fd,
		struct vfm_err *err)
{
	const struct vfm_wait wait = { .timeout_ms = wait_ms, .cancel_fd = cancel_fd };
	const char *path = unix_path(address);
	int fd = path ? connect_unix(address, path, &wait, err)
		      : connect_tcp(address, anywhere, &wait, err);

	if (fd >= 0)
		set_nodelay(fd);
	return fd;
}

/* To the other end of a TCP connection, without asking for its name again. */
static int connect_peer(int fd, const char *address, const struct vfm_wait *wait,
			struct vfm_err *err)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);
	int ret = getpeername(fd, (struct sockaddr *)&sa, &len) ? -errno : 0;

	if (!ret)
		ret = connect_one((const struct sockaddr *)&sa, len, wait);
	return ret < 0 ? connect_failed(ret, address, wait, err) : ret;
}

int cmd_connect_again(int fd, const char *address, unsigned int wait_ms, int cancel_fd,
		      struct vfm_err *err)
{
	const struct vfm_wait wait = { .timeout_ms = wait_ms, .cancel_fd = cancel_fd };
	const char *path = unix_path(address);
	int again = path ? connect_unix(address, path, &wait, err)
			 : connect_peer(fd, address, &wait, err);

	if (again >= 0)
		set_nodelay(again);
	return again;
}

/* ---- listen ------------------------------------------------------------------------- */

/* Strangers must not keep the one out who is waited for, and that one may come several times. */
#define BACKLOG 16

static int listen_one(const struct sockaddr *sa, socklen_t len)
{
	vfm_auto_fd int fd = new_socket(sa->sa_family);
	int one = 1;

	if (fd < 0)
		return fd;
	if (sa->sa_family != AF_UNIX && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)))
		return -errno;
	if (bind(fd, sa, len) || listen(fd, BACKLOG))
		return -errno;
	return vfm_take_fd(&fd);
}

/* Whether a socket file is there that nobody listens on. */
static bool is_stale(const struct sockaddr_un *sun)
{
	const struct vfm_wait wait = { .timeout_ms = 1000, .cancel_fd = -1 };
	struct stat st;
	int fd;

	if (lstat(sun->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	fd = connect_one((const struct sockaddr *)sun, sizeof(*sun), &wait);
	if (fd >= 0)
		close(fd);
	return fd == -ECONNREFUSED;
}

int cmd_listen_unix(struct cmd_listener *l, const char *path, struct vfm_err *err)
{
	struct sockaddr_un sun;
	mode_t mask;
	int ret = unix_address(&sun, path, err);

	*l = (struct cmd_listener){ .fd = -1 };
	if (ret)
		return ret;
	if (is_stale(&sun))
		unlink(path);
	mask = umask(0177); /* whoever can connect can take the device */
	ret = listen_one((const struct sockaddr *)&sun, sizeof(sun));
	umask(mask);
	if (ret < 0)
		return vfm_fail(err, ret, "listen on %s", path);
	*l = (struct cmd_listener){ .fd = ret, .path = path };
	return 0;
}

static unsigned int bound_port(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} sa = { .any.sa_family = AF_UNSPEC };
	socklen_t len = sizeof(sa);

	if (getsockname(fd, &sa.any, &len))
		return 0;
	return ntohs(sa.any.sa_family == AF_INET6 ? sa.in6.sin6_port : sa.in.sin_port);
}

static int listen_tcp(struct cmd_listener *l, const char *address, const char *host, bool anywhere,
		      struct vfm_err *err)
{
	auto_list struct addrinfo *list = NULL;
	int fd = resolve(&list, address, host, anywhere, err);

	if (fd)
		return fd;
	for (const struct addrinfo *a = list; a; a = a->ai_next) {
		fd = listen_one(a->ai_addr, a->ai_addrlen);
		if (fd >= 0)
			break;
	}
	if (fd < 0)
		return vfm_fail(err, fd, "listen on %s", address);
	*l = (struct cmd_listener){ .fd = fd, .port = bound_port(fd) };
	return 0;
}

int cmd_listen(struct cmd_listener *l, const char *address, bool anywhere, struct vfm_err *err)
{
	const char *path = unix_path(address);
	int ret;

	*l = (struct cmd_listener){ .fd = -1 };
	if (path)
		return cmd_listen_unix(l, path, err);
	ret = listen_tcp(l, address, "127.0.0.1", anywhere, err);
	/* a machine without IPv4 has a loopback address, too */
	if (ret == -EAFNOSUPPORT || ret == -EADDRNOTAVAIL)
		ret = listen_tcp(l, address, "::1", anywhere, err);
	return ret;
}

int cmd_accept(struct cmd_listener *l, unsigned int wait_ms, int cancel_fd, struct vfm_err *err)
{
	const struct vfm_wait wait = { .timeout_ms = wait_ms, .cancel_fd = cancel_fd };
	int fd, ret;

	do {
		ret = vfm_wait_fd(l->fd, POLLIN, &wait);
		if (ret == -ETIMEDOUT)
			return vfm_fail(err, ret, "nobody connected in %u s", wait_ms / 1000);
		if (ret)
			return vfm_fail(err, ret, "wait for a connection");
		fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		/* whoever connected may be gone again */
	} while (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR));
	if (fd < 0)
		return vfm_fail(err, -errno, "accept a connection");
	set_nodelay(fd);
	return fd;
}

void cmd_listener_close(struct cmd_listener *l)
{
	if (l->fd >= 0 && l->path)
		unlink(l->path);
	vfm_close_fd(&l->fd);
}
