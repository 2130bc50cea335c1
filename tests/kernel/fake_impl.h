// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What the files of the host by hand share. Nobody else includes this.
 *
 *   fake.c          descriptors, files, the table of calls, beginning and end
 *   fake_memory.c   containers, groups, iommufds
 *   fake_device.c   the device, its migration, its log, its data
 */

#ifndef VFM_TESTS_KERNEL_FAKE_IMPL_H
#define VFM_TESTS_KERNEL_FAKE_IMPL_H

#include "fake.h"

/* Write a call down: "word" or "word:detail". */
void fake_note(const char *word, const char *detail);

/* The same, and it may be one that fails: not 0, with that. */
int fake_enter(const char *word, const char *detail);

int fake_new_fd(enum fake_kind kind);
enum fake_kind fake_kind_of(int fd);

/* Requests to descriptors of each kind. */
int fake_to_container(unsigned int request, void *arg);
int fake_to_group(unsigned int request, void *arg);
int fake_to_iommufd(unsigned int request, void *arg);
int fake_to_device(unsigned int request, void *arg);
int fake_to_data(unsigned int request, void *arg);

int fake_mmap(void **at, size_t len, int prot, int fd, uint64_t offset);
void fake_munmap(void *at, size_t len);
ssize_t fake_read(int fd, void *buf, size_t len);
ssize_t fake_write(int fd, const void *buf, size_t len);
ssize_t fake_pread(int fd, void *buf, size_t len, uint64_t offset);
ssize_t fake_pwrite(int fd, const void *buf, size_t len, uint64_t offset);

#endif
