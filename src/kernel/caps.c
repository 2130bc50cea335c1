// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Answers that have a chain of capabilities behind them, which regions and containers give
 * in the same form. Here they are asked for; what is in them is read by device/caps.c.
 */

#include "kernel/impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* Room for every capability that there may be, and for some that we do not know. */
#define MAX_ANSWER 65536u

/* An answer may have grown between two questions, but not for ever. */
#define MAX_TRIES 4

static int ask_once(struct vfm_kernel *k, int fd, unsigned int request, const void *head,
		    uint32_t argsz, struct vfm_caps *caps)
{
	free(caps->bytes);
	caps->len = argsz;
	caps->bytes = calloc(1, argsz);
	if (!caps->bytes)
		return -ENOMEM;
	memcpy(caps->bytes, head, caps->fixed);
	memcpy(caps->bytes, &argsz, sizeof(argsz));
	return k->sys->ioctl(fd, request, caps->bytes);
}

int vfm_kernel_ask_caps(struct vfm_kernel *k, int fd, unsigned int request, const void *head,
			struct vfm_caps *caps)
{
	uint32_t argsz = (uint32_t)caps->fixed;

	for (int tries = 0; tries < MAX_TRIES; tries++) {
		uint32_t wanted;
		int ret = ask_once(k, fd, request, head, argsz, caps);

		if (ret < 0)
			return ret;
		memcpy(&wanted, caps->bytes, sizeof(wanted));
		if (wanted <= argsz)
			return 0;
		if (wanted > MAX_ANSWER)
			return -E2BIG;
		argsz = wanted;
	}
	return -EPROTO;
}
