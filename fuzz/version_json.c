// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* The payload of VERSION. What was understood can be said again, and is then the same. */

#include <stdlib.h>
#include <string.h>

#include "vfio_user/vfio_user.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const struct vfm_vu_caps *a, const struct vfm_vu_caps *b)
{
	return a->major == b->major && a->minor == b->minor && a->max_fds == b->max_fds &&
	       a->max_xfer == b->max_xfer && a->max_dma_maps == b->max_dma_maps &&
	       a->pgsizes == b->pgsizes && a->write_multiple == b->write_multiple &&
	       a->twin_socket == b->twin_socket && a->extension == b->extension;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t payload[VFM_VU_MAX_VERSION_SIZE];
	struct vfm_vu_caps caps, again;
	struct vfm_err err;
	ssize_t len;

	if (vfm_vu_caps_parse(&caps, data, size, &err))
		return 0;
	len = vfm_vu_caps_format(&caps, payload, sizeof(payload), &err);
	if (len < 0 || vfm_vu_caps_parse(&again, payload, (size_t)len, &err) ||
	    !same(&caps, &again))
		abort();
	return 0;
}
