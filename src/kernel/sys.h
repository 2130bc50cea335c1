// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Every system call of this folder, behind one struct of functions: tests hand in a script
 * instead and need no kernel, no device and no rights. Nothing here knows what VFIO is.
 *
 * All of them return a negative errno value instead of setting errno, and none returns
 * -EINTR: a signal is for whoever waits for it on a descriptor.
 */

#ifndef VFM_KERNEL_SYS_H
#define VFM_KERNEL_SYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * struct vfm_sys - the system, as far as it is used
 * @open: close-on-exec
 * @dup: the same
 * @mmap: shared; *@at is set
 * @poll: waits for one descriptor, or for the time alone if @fd is -1. Returns what has
 *	happened, 0 when the time is over
 * @set_nonblock: so that reads and writes say -EAGAIN instead of waiting
 * @block_size: bytes in which a file is kept: a huge page, for some
 * @readlink: the text is terminated; -ENAMETOOLONG if there is no room for that
 * @list: names in a directory, each terminated, one behind the other, sorted, dot files left
 *	out; returns how many. -E2BIG: they do not fit
 * @chardev: major and minor number; -ENOTBLK if it is no character device
 * @now_ns: monotonic
 */
struct vfm_sys {
	int (*open)(const char *path, int flags);
	void (*close)(int fd);
	int (*dup)(int fd);
	int (*ioctl)(int fd, unsigned int request, void *arg);
	ssize_t (*read)(int fd, void *buf, size_t len);
	ssize_t (*write)(int fd, const void *buf, size_t len);
	ssize_t (*pread)(int fd, void *buf, size_t len, uint64_t offset);
	ssize_t (*pwrite)(int fd, const void *buf, size_t len, uint64_t offset);
	int (*mmap)(void **at, size_t len, int prot, int fd, uint64_t offset);
	void (*munmap)(void *at, size_t len);
	int (*poll)(int fd, short events, int timeout_ms);
	int (*set_nonblock)(int fd);
	int (*block_size)(int fd, uint64_t *bytes);
	int (*readlink)(const char *path, char *text, size_t room);
	int (*list)(const char *dir, char *names, size_t room);
	int (*chardev)(const char *path, unsigned int *major, unsigned int *minor);
	uint64_t (*now_ns)(void);
};

/** vfm_sys_real - the calls themselves. */
extern const struct vfm_sys vfm_sys_real;

/** vfm_sys_close() - close unless -1, and make it -1. */
static inline void vfm_sys_close(const struct vfm_sys *sys, int *fd)
{
	if (*fd >= 0)
		sys->close(*fd);
	*fd = -1;
}

#endif
