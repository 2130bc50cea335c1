// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A file that is there whole or not at all: it is written under another name
 * beside its place, and gets its own when it is whole and on disk. What is no
 * regular file (a device, a pipe) has no other name and is written in place.
 */

#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

/* Whether a FIFO has a reader by now is looked at that often. */
#define READER_MS 50

/* A copy, so that whoever opened it may close it. */
static int open_standard(int fd, const char *name, struct vfm_err *err)
{
	int copy;

	if (isatty(fd))
		return vfm_fail(err, CMD_MISUSE, "%s is a terminal", name);
	copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	return copy < 0 ? vfm_fail(err, -errno, "use %s", name) : copy;
}

static bool is_dash(const char *path)
{
	return !strcmp(path, "-");
}

/* ---- writing -------------------------------------------------------------------- */

static int open_in_place(struct cmd_outfile *out, const char *path, struct vfm_err *err)
{
	out->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	return out->fd < 0 ? vfm_fail(err, -errno, "open %s", path) : 0;
}

/*
 * To open a FIFO waits for its reader, deaf to the signals that are read from a
 * descriptor by now. So it is tried again and again, and they are waited for.
 */
static int open_fifo(struct cmd_outfile *out, const char *path, int cancel_fd, struct vfm_err *err)
{
	const struct vfm_wait wait = { .timeout_ms = READER_MS, .cancel_fd = cancel_fd };
	int flags;

	while ((out->fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK)) < 0) {
		if (errno != ENXIO)
			return vfm_fail(err, -errno, "open %s", path);
		if (vfm_wait_fd(-1, 0, &wait) == -ECANCELED)
			return vfm_fail(err, -ECANCELED, "wait for a reader of %s", path);
	}
	flags = fcntl(out->fd, F_GETFL);
	return flags < 0 || fcntl(out->fd, F_SETFL, flags & ~O_NONBLOCK)
		       ? vfm_fail(err, -errno, "open %s", path)
		       : 0;
}

/* @old: what is there now, or NULL */
static int open_beside(struct cmd_outfile *out, const char *path, const struct stat *old,
		       struct vfm_err *err)
{
	out->path = old ? realpath(path, NULL) : strdup(path);
	if (!out->path || asprintf(&out->temp, "%s.partial-XXXXXX", out->path) < 0) {
		out->temp = NULL;
		return vfm_fail(err, -errno, "create %s", path);
	}
	out->fd = mkostemp(out->temp, O_CLOEXEC);
	if (out->fd < 0) {
		int ret = vfm_fail(err, -errno, "create %s", out->temp);

		free(vfm_take_ptr(out->temp));
		return ret;
	}
	if (old && fchmod(out->fd, old->st_mode & 07777))
		return vfm_fail(err, -errno, "set the mode of %s", out->temp);
	return 0;
}

int cmd_outfile_open(struct cmd_outfile *out, const char *path, int cancel_fd, struct vfm_err *err)
{
	struct stat st;

	*out = (struct cmd_outfile){ .fd = -1 };
	if (is_dash(path)) {
		out->fd = open_standard(STDOUT_FILENO, "standard output", err);
		return out->fd < 0 ? out->fd : 0;
	}
	if (stat(path, &st))
		return errno == ENOENT ? open_beside(out, path, NULL, err)
				       : vfm_fail(err, -errno, "create %s", path);
	if (S_ISDIR(st.st_mode))
		return vfm_fail(err, -EISDIR, "create %s", path);
	if (S_ISFIFO(st.st_mode))
		return open_fifo(out, path, cancel_fd, err);
	return S_ISREG(st.st_mode) ? open_beside(out, path, &st, err)
				   : open_in_place(out, path, err);
}

static int sync_folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	vfm_auto_free char *folder = NULL;
	vfm_auto_fd int fd = -1;

	folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	if (!folder)
		return -ENOMEM;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) ? -errno : 0;
}

int cmd_outfile_commit(struct cmd_outfile *out, struct vfm_err *err)
{
	int ret;

	if (!out->temp)
		return 0;
	if (fsync(out->fd))
		return vfm_fail(err, -errno, "write %s to disk", out->temp);
	if (rename(out->temp, out->path))
		return vfm_fail(err, -errno, "rename %s to %s", out->temp, out->path);
	free(vfm_take_ptr(out->temp));
	ret = sync_folder_of(out->path);
	return ret ? vfm_fail(err, ret, "write the folder of %s to disk", out->path) : 0;
}

void cmd_outfile_free(struct cmd_outfile *out)
{
	if (out->temp)
		unlink(out->temp);
	free(vfm_take_ptr(out->temp));
	free(vfm_take_ptr(out->path));
	vfm_close_fd(&out->fd);
}

/* ---- reading ---------------------------------------------------------------------- */

int cmd_infile_open(const char *path, struct vfm_err *err)
{
	struct stat st;
	int fd;

	if (is_dash(path))
		return open_standard(STDIN_FILENO, "standard input", err);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return vfm_fail(err, -errno, "open %s", path);
	if (!fstat(fd, &st) && S_ISDIR(st.st_mode)) {
		close(fd);
		return vfm_fail(err, -EISDIR, "open %s", path);
	}
	return fd;
}
