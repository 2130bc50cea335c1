// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* A device that is served by a process of its own, for rules to be tried over its socket. */

#ifndef VFM_TESTS_CHECK_SERVED_H
#define VFM_TESTS_CHECK_SERVED_H

#include <sys/types.h>

#include <vfmig/vfmig.h>

struct served {
	char folder[32], path[48], uri[64];
	pid_t pid;
};

/** served_begin() - serve the device that @uri names; fails the test if that does not work. */
void served_begin(struct served *s, const char *uri, enum vfm_face face, bool extension);

/** served_end() - end the server, also one that hangs, and remove its socket. */
void served_end(struct served *s);

#endif
