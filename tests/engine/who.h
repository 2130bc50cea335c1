// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Certificates of those who meet in tests of TLS, made while a test runs. The files are gone
 * when they have been read.
 */

#ifndef VFM_TESTS_ENGINE_WHO_H
#define VFM_TESTS_ENGINE_WHO_H

#include <vfmig/vfmig.h>

/** enum who - two sides, another one of the same authority, and one of another authority */
enum who { WHO_SOURCE, WHO_DESTINATION, WHO_COLLEAGUE, WHO_STRANGER, NR_WHO };

/** WHO_NAME - which all of their certificates are for. */
#define WHO_NAME "destination.example"

/** who_certs - by enum who, between who_make() and who_free(). */
extern struct vfm_tls *who_certs[NR_WHO];

/** who_make(), who_free() - setup and teardown of a group of tests. */
int who_make(void **state);
int who_free(void **state);

#endif
