// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Answers of etcd. The first byte of the input chooses: with bit 0 it answers a swap, with bit 1
 * that removes the key. What is taken must be such that we could have written it.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/etcd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vfm_kv_answer answer;
	struct vfm_kv_request request = { .key = "vfmig/owner/nic0", .value = "x" };
	const char *text = (const char *)data + 1;
	struct vfm_err err;
	char why[64];

	if (!size)
		return 0;
	request.swap = data[0] & 1;
	if (data[0] & 2)
		request.value = NULL;
	vfm_etcd_complaint(why, sizeof(why), text, size - 1);
	for (const char *c = why; *c; c++)
		if (*c < 0x20 || *c > 0x7e)
			abort();
	if (vfm_etcd_answer(&answer, &request, text, size - 1, &err))
		return 0;
	if (answer.swapped && !request.swap)
		abort();
	if (answer.now.size > VFM_KV_VALUE_MAX || answer.now.data[answer.now.size])
		abort();
	if (!answer.now.revision && (answer.now.size || (answer.swapped && request.value)))
		abort();
	if (answer.now.revision > INT64_MAX)
		abort();
	return 0;
}
