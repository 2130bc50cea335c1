// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Answers that have a chain of capabilities behind them, which regions and containers give
 * in the same form. The kernel's answer is read as carefully as one from a socket: a driver
 * may have written it.
 */

#include "kernel/impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* Room for every capability that there may be, and for some that we do not know. */
#define MAX_ANSWER 65536u

/* A chain that is longer has a loop. */
#define MAX_CAPS 64

/* An answer may have grown between two questions, but not for ever. */
#define MAX_TRIES 4

static int ask_once(struct vfm_kernel *k, int fd, unsigned int request, const void *head,
		    uint32_t argsz, struct vfm_kernel_caps *caps)
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
			struct vfm_kernel_caps *caps)
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

static int walk_one(const struct vfm_kernel_caps *caps, uint32_t *offset, vfm_kernel_cap_fn *fn,
		    void *user, struct vfm_err *err)
{
	struct vfm_reader r = vfm_reader_of(caps->bytes, caps->len);
	uint32_t at = *offset;
	uint16_t id, version;
	int ret = 0;

	vfm_read_bytes(&r, at);
	id = vfm_read_he16(&r);
	version = vfm_read_he16(&r);
	*offset = vfm_read_he32(&r);
	if (vfm_reader_ok(&r) && at >= caps->fixed)
		ret = fn(user, id, version, &r, err);
	if (!vfm_reader_ok(&r) || at < caps->fixed)
		return vfm_fail(err, -EPROTO, "a capability at byte %u of %zu is damaged", at,
				caps->len);
	return ret;
}

int vfm_kernel_walk_caps(const struct vfm_kernel_caps *caps, uint32_t offset, vfm_kernel_cap_fn *fn,
			 void *user, struct vfm_err *err)
{
	for (int n = 0; offset; n++) {
		int ret = walk_one(caps, &offset, fn, user, err);

		if (ret)
			return ret;
		if (n == MAX_CAPS)
			return vfm_fail(err, -EPROTO, "the chain of capabilities does not end");
	}
	return 0;
}
