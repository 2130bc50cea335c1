// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* The real system calls behind the seam, on files that every host has. */

#include "kernel/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fds.h"

static const struct vfm_sys *const sys = &vfm_sys_real;

static int memory_file(void)
{
	int fd = memfd_create("sys", MFD_CLOEXEC);

	assert_true(fd >= 0 && !ftruncate(fd, 8192));
	return fd;
}

static void codes_instead_of_errno(void **state)
{
	char text[16] = "";
	unsigned int major_nr, minor_nr;
	uint64_t block;
	void *at = &at;

	(void)state;
	assert_int_equal(sys->open("/nonexistent/file", O_RDWR), -ENOENT);
	assert_int_equal(sys->dup(-1), -EBADF);
	assert_int_equal(sys->ioctl(-1, 0, NULL), -EBADF);
	assert_int_equal(sys->read(-1, text, 1), -EBADF);
	assert_int_equal(sys->write(-1, text, 1), -EBADF);
	assert_int_equal(sys->pread(-1, text, 1, 0), -EBADF);
	assert_int_equal(sys->pwrite(-1, text, 1, 0), -EBADF);
	assert_int_equal(sys->mmap(&at, 4096, PROT_READ, -1, 0), -EBADF);
	assert_null(at);
	assert_int_equal(sys->set_nonblock(-1), -EBADF);
	assert_int_equal(sys->block_size(-1, &block), -EBADF);
	assert_int_equal(sys->readlink("/nonexistent", text, sizeof(text)), -ENOENT);
	assert_int_equal(sys->list("/nonexistent", text, sizeof(text)), -ENOENT);
	assert_int_equal(sys->chardev("/nonexistent", &major_nr, &minor_nr), -ENOENT);
	assert_int_equal(sys->chardev("/", &major_nr, &minor_nr), -ENOTBLK);
}

static void descriptors_are_close_on_exec(void **state)
{
	unsigned int before = test_count_fds();
	int fd = sys->open("/dev/null", O_RDWR), copy = sys->dup(fd);

	(void)state;
	assert_true(fd >= 0 && copy >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(copy, F_GETFD), FD_CLOEXEC);
	vfm_sys_close(sys, &fd);
	vfm_sys_close(sys, &copy);
	vfm_sys_close(sys, &copy);
	assert_int_equal(fd, -1);
	assert_int_equal(test_count_fds(), before);
}

static void bytes(void **state)
{
	int fd = memory_file();
	char back[8] = "";
	uint64_t block = 0;
	void *at = NULL;

	(void)state;
	assert_int_equal(sys->pwrite(fd, "abc", 3, 4096), 3);
	assert_int_equal(sys->pread(fd, back, 3, 4096), 3);
	assert_string_equal(back, "abc");
	assert_int_equal(sys->mmap(&at, 4096, PROT_READ | PROT_WRITE, fd, 4096), 0);
	assert_memory_equal(at, "abc", 3);
	((char *)at)[0] = 'x'; /* it is shared */
	assert_int_equal(sys->pread(fd, back, 3, 4096), 3);
	assert_string_equal(back, "xbc");
	sys->munmap(at, 4096);
	assert_int_equal(sys->block_size(fd, &block), 0);
	assert_true(block >= 4096);
	close(fd);
}

static void waiting(void **state)
{
	int ends[2];
	uint64_t before;
	char byte;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(sys->set_nonblock(ends[0]), 0);
	assert_int_equal(sys->read(ends[0], &byte, 1), -EAGAIN);
	assert_int_equal(sys->poll(ends[0], POLLIN, 1), 0);
	assert_int_equal(sys->write(ends[1], "b", 1), 1);
	assert_int_equal(sys->poll(ends[0], POLLIN, 1), POLLIN);
	assert_int_equal(sys->read(ends[0], &byte, 1), 1);
	close(ends[1]);
	assert_true(sys->poll(ends[0], POLLIN, 1) & POLLHUP);
	close(ends[0]);
	before = sys->now_ns();
	assert_int_equal(sys->poll(-1, 0, 3), 0);
	assert_true(sys->now_ns() - before >= 3000000);
}

static void links_and_directories(void **state)
{
	char dir[] = "/tmp/vfmig-sys-XXXXXX", path[64], text[64];
	unsigned int major_nr = 0, minor_nr = 0;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/link", dir);
	assert_int_equal(symlink("../to/there", path), 0);
	assert_int_equal(sys->readlink(path, text, sizeof(text)), 11);
	assert_string_equal(text, "../to/there");
	assert_int_equal(sys->readlink(path, text, 12), 11);
	assert_int_equal(sys->readlink(path, text, 11), -ENAMETOOLONG);
	snprintf(path, sizeof(path), "%s/bbb", dir);
	assert_int_equal(symlink("x", path), 0);
	snprintf(path, sizeof(path), "%s/.hidden", dir);
	assert_int_equal(symlink("x", path), 0);
	assert_int_equal(sys->list(dir, text, sizeof(text)), 2);
	assert_memory_equal(text, "bbb\0link", 9);
	assert_int_equal(sys->list(dir, text, 9), 2);
	assert_int_equal(sys->list(dir, text, 8), -E2BIG);
	assert_int_equal(sys->chardev("/dev/null", &major_nr, &minor_nr), 0);
	assert_int_equal(major_nr, 1);
	assert_int_equal(minor_nr, 3);
	unlink(path);
	snprintf(path, sizeof(path), "%s/bbb", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/link", dir);
	unlink(path);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(codes_instead_of_errno),
		cmocka_unit_test(descriptors_are_close_on_exec),
		cmocka_unit_test(bytes),
		cmocka_unit_test(waiting),
		cmocka_unit_test(links_and_directories),
	};

	return RUN_TESTS(tests);
}
