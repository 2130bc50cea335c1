// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Operations on a device with the migration region, chosen by the bytes of the input: first what
 * kind of device, then one operation after the other. Each is foretold by the model that the
 * random test has (tests/region/model.h), and so not only a crash is found but every answer that
 * is wrong.
 */

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/util.h"

/* The build knows one file for each target. */
#include "../tests/region/front-inner.c"
#include "../tests/region/model.c"
#include "../tests/region/model_region.c"
#include "../tests/region/model_v2.c"

#define STEPS_MAX 2000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A byte where that is enough, two where it is not; the first choice when there are no more. */
static uint32_t next_choice(void *user, uint32_t below)
{
	struct vfm_reader *in = user;

	return (below > 256 ? vfm_read_le16(in) : vfm_read_u8(in)) % below;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vfm_reader in = vfm_reader_of(data, size);
	struct model *m = model_new(next_choice, &in);

	for (unsigned int i = 0; i < STEPS_MAX && in.left && vfm_reader_ok(&in); i++) {
		if (!model_step(m)) {
			fprintf(stderr, "step %u: %s\n", i, model_wrong(m));
			abort();
		}
	}
	model_free(m);
	return 0;
}
