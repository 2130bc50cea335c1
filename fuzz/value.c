// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Values of keys in a store. What is taken must be the same when it was written and read again. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/claim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As a store gives it: terminated, and no longer than any of ours. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[VFM_KV_VALUE_MAX + 1], again[2 * VFM_KV_VALUE_MAX];
	struct vfm_claim_value value, second;
	struct vfm_err err;

	if (size > VFM_KV_VALUE_MAX)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (vfm_claim_value_read(&value, text, size, &err))
		return 0;
	if (!value.epoch || value.epoch > INT64_MAX || !value.source.node[0])
		abort();
	if (value.decision == VFM_DECISION_COMMITTED && !value.destination.node[0])
		abort();
	if (vfm_claim_value_write(&value, again, sizeof(again), &err) ||
	    vfm_claim_value_read(&second, again, strlen(again), &err) ||
	    memcmp(&value, &second, sizeof(value)) != 0)
		abort();
	return 0;
}
