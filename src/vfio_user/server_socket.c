// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The socket that a server listens on. A socket file outlives its process: one that nobody listens
 * on is replaced, and only that. The file is removed at the end if it is still the one we made.
 */

#include "vfio_user/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Refused connections are answered, so a short queue is enough. */
#define BACKLOG 16

static int bind_at(const struct sockaddr_un *addr, int *out)
{
	vfm_auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	/* On Linux the file gets the mode of its socket; umask() would be the whole process's. */
	if (fchmod(fd, 0600) || bind(fd, (const struct sockaddr *)addr, sizeof(*addr)))
		return -errno;
	*out = vfm_take_fd(&fd);
	return 0;
}

/* Whether there is a socket that nobody listens on; nobody else's file is touched. */
static bool is_stale(const struct sockaddr_un *addr, struct stat *st)
{
	vfm_auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || lstat(addr->sun_path, st) || !S_ISSOCK(st->st_mode))
		return false;
	return connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) && errno == ECONNREFUSED;
}

static int replace_stale(const struct sockaddr_un *addr, int *fd)
{
	struct stat tried, now;

	if (!is_stale(addr, &tried))
		return -EADDRINUSE;
	/* Somebody else may have replaced it meanwhile. */
	if (lstat(addr->sun_path, &now) || now.st_ino != tried.st_ino || now.st_dev != tried.st_dev)
		return -EADDRINUSE;
	if (unlink(addr->sun_path))
		return -errno;
	return bind_at(addr, fd);
}

int vfm_srv_listen(struct vfm_server *server, const char *path, struct vfm_err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	vfm_auto_fd int fd = -1;
	struct stat st;
	int ret;

	if (!*path || strlen(path) >= sizeof(addr.sun_path))
		return vfm_fail(err, *path ? -ENAMETOOLONG : -EINVAL,
				"listen on \"%s\": a path has 1 to %zu bytes", path,
				sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	ret = bind_at(&addr, &fd);
	if (ret == -EADDRINUSE)
		ret = replace_stale(&addr, &fd);
	if (ret)
		return vfm_fail(err, ret, "listen on %s: %s", path, strerror(-ret));
	if (listen(fd, BACKLOG) || lstat(path, &st)) {
		ret = -errno;
		unlink(path);
		return vfm_fail(err, ret, "listen on %s: %s", path, strerror(-ret));
	}
	server->path = strdup(path);
	if (!server->path) {
		unlink(path);
		return vfm_fail(err, -ENOMEM, "listen on %s: no memory", path);
	}
	server->path_dev = st.st_dev;
	server->path_ino = st.st_ino;
	server->listen_fd = vfm_take_fd(&fd);
	return 0;
}

void vfm_srv_unlink(struct vfm_server *server)
{
	struct stat st;

	if (server->path && !lstat(server->path, &st) && st.st_ino == server->path_ino &&
	    st.st_dev == server->path_dev)
		unlink(server->path);
	free(server->path);
	server->path = NULL;
}
