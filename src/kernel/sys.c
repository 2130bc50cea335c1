// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* The real system calls. No decision is taken here but to go on after a signal. */

#include "kernel/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/util.h"

/* Do it again while a signal comes in between; the value is that of the call, or -errno. */
#define AGAIN(type, call)                                                                          \
	({                                                                                         \
		type again_ret;                                                                    \
                                                                                                   \
		do {                                                                               \
			again_ret = (call);                                                        \
		} while (again_ret < 0 && errno == EINTR);                                         \
		again_ret < 0 ? (type)-errno : again_ret;                                          \
	})

static int real_open(const char *path, int flags)
{
	return AGAIN(int, open(path, flags | O_CLOEXEC));
}

static void real_close(int fd)
{
	close(fd);
}

static int real_dup(int fd)
{
	return AGAIN(int, fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

static int real_ioctl(int fd, unsigned int request, void *arg)
{
	return AGAIN(int, ioctl(fd, request, arg));
}

static ssize_t real_read(int fd, void *buf, size_t len)
{
	return AGAIN(ssize_t, read(fd, buf, len));
}

/* A descriptor of a driver: it raises no SIGPIPE. */
static ssize_t real_write(int fd, const void *buf, size_t len)
{
	return AGAIN(ssize_t, write(fd, buf, len));
}

static ssize_t real_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	return AGAIN(ssize_t, pread(fd, buf, len, (off_t)offset));
}

static ssize_t real_pwrite(int fd, const void *buf, size_t len, uint64_t offset)
{
	return AGAIN(ssize_t, pwrite(fd, buf, len, (off_t)offset));
}

static int real_mmap(void **at, size_t len, int prot, int fd, uint64_t offset)
{
	*at = mmap(NULL, len, prot, MAP_SHARED, fd, (off_t)offset);
	if (*at != MAP_FAILED)
		return 0;
	*at = NULL;
	return -errno;
}

static void real_munmap(void *at, size_t len)
{
	munmap(at, len);
}

/* After a signal it is told that nothing has happened: the caller has the clock. */
static int real_poll(int fd, short events, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	int ret = poll(&p, fd < 0 ? 0 : 1, timeout_ms);

	if (ret < 0)
		return errno == EINTR ? 0 : -errno;
	return ret ? p.revents : 0;
}

static int real_set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

static int real_block_size(int fd, uint64_t *bytes)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	*bytes = (uint64_t)st.st_blksize;
	return 0;
}

static int real_readlink(const char *path, char *text, size_t room)
{
	ssize_t n = readlink(path, text, room);

	if (n < 0)
		return -errno;
	if ((size_t)n >= room)
		return -ENAMETOOLONG;
	text[n] = '\0';
	return (int)n;
}

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int real_list(const char *dir, char *names, size_t room)
{
	struct dirent **entries;
	int count = scandir(dir, &entries, visible, alphasort);
	bool fits = true;

	if (count < 0)
		return -errno;
	for (int i = 0; i < count; i++) {
		size_t len = strlen(entries[i]->d_name) + 1;

		fits = fits && len <= room;
		if (fits) {
			memcpy(names, entries[i]->d_name, len);
			names += len;
			room -= len;
		}
		free(entries[i]);
	}
	free((void *)entries);
	return fits ? count : -E2BIG;
}

static int real_chardev(const char *path, unsigned int *major_nr, unsigned int *minor_nr)
{
	struct stat st;

	if (stat(path, &st))
		return -errno;
	if (!S_ISCHR(st.st_mode))
		return -ENOTBLK;
	*major_nr = major(st.st_rdev);
	*minor_nr = minor(st.st_rdev);
	return 0;
}

const struct vfm_sys vfm_sys_real = {
	.open = real_open,
	.close = real_close,
	.dup = real_dup,
	.ioctl = real_ioctl,
	.read = real_read,
	.write = real_write,
	.pread = real_pread,
	.pwrite = real_pwrite,
	.mmap = real_mmap,
	.munmap = real_munmap,
	.poll = real_poll,
	.set_nonblock = real_set_nonblock,
	.block_size = real_block_size,
	.readlink = real_readlink,
	.list = real_list,
	.chardev = real_chardev,
	.now_ns = vfm_now_ns,
};
