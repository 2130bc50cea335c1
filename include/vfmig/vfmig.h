// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Everything. The reading order is that of the includes. */

#ifndef VFMIG_H
#define VFMIG_H

#include <vfmig/error.h>
#include <vfmig/state.h>
#include <vfmig/v1.h>
#include <vfmig/device.h>
#include <vfmig/driver.h>
#include <vfmig/server.h>
#include <vfmig/memory.h>
#include <vfmig/io.h>
#include <vfmig/stream.h>
#include <vfmig/tls.h>
#include <vfmig/store.h>
#include <vfmig/migrate.h>
#include <vfmig/recover.h>
#include <vfmig/sim.h>
#include <vfmig/exercise.h>
#include <vfmig/check.h>
#include <vfmig/trace.h>

#ifdef __cplusplus
extern "C" {
#endif

/** vfm_version() - of the library at run time, "0.1.0". */
const char *vfm_version(void);

#ifdef __cplusplus
}
#endif

#endif
