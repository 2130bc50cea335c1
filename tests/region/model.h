// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A device with the migration region, and a plain model of what each access to it must
 * bring: random operations, each one foretold, done and compared. Where the choices come
 * from is somebody else's: a seed or a fuzzer's bytes.
 *
 * The model looks into the device behind (front-inner.h) for what that will do; what the
 * front makes of it is written down here once more, from the specification.
 */

#ifndef VFM_TESTS_MODEL_H
#define VFM_TESTS_MODEL_H

#include <stdbool.h>
#include <stdint.h>

struct model;

/** 0 to @below - 1. */
typedef uint32_t (*model_pick_fn)(void *user, uint32_t below);

/** model_new() - a device of some kind, which kind being the first choices. */
struct model *model_new(model_pick_fn pick, void *user);
void model_free(struct model *m);

/** model_step() - one operation; false: something was not as foretold. */
bool model_step(struct model *m);

/** model_wrong() - what that was. */
const char *model_wrong(const struct model *m);

#endif
