// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * zstd, one frame for each record, so that a record can be read, skipped or lost
 * without its neighbours. A frame says how much it holds; one that does not, one
 * of zstd's older formats, and anything beside the one frame is refused, so that
 * the amount of memory and work is known before the first byte is decoded.
 */

#include "stream/compress.h"

#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

#include <vfmig/stream.h>

#include "base/bytes.h"

struct vfm_compressor {
	ZSTD_CCtx *ctx;
	int level;
	uint8_t out[VFM_STREAM_PAYLOAD_MAX];
};

struct vfm_decompressor {
	ZSTD_DCtx *ctx;
	uint8_t out[VFM_STREAM_PAYLOAD_MAX];
};

void vfm_compressor_free(struct vfm_compressor *c)
{
	if (!c)
		return;
	ZSTD_freeCCtx(c->ctx);
	free(c);
}

int vfm_compressor_new(struct vfm_compressor **out, int level, struct vfm_err *err)
{
	struct vfm_compressor *c;

	if (level < ZSTD_minCLevel() || level > ZSTD_maxCLevel())
		return vfm_fail(err, -EINVAL, "compression level %d is not between %d and %d",
				level, ZSTD_minCLevel(), ZSTD_maxCLevel());
	c = malloc(sizeof(*c));
	if (c)
		c->ctx = ZSTD_createCCtx();
	if (!c || !c->ctx) {
		vfm_compressor_free(c);
		return vfm_fail(err, -ENOMEM, "no memory for compression");
	}
	c->level = level;
	*out = c;
	return 0;
}

size_t vfm_compress(struct vfm_compressor *c, const void *data, size_t size, const uint8_t **out)
{
	size_t n;

	/* No more room than would be worth it: the attempt ends early. */
	n = ZSTD_compressCCtx(c->ctx, c->out, size - 1, data, size, c->level);
	if (ZSTD_isError(n))
		return 0;
	*out = c->out;
	return n;
}

struct vfm_decompressor *vfm_decompressor_new(void)
{
	struct vfm_decompressor *d = malloc(sizeof(*d));

	if (!d)
		return NULL;
	d->ctx = ZSTD_createDCtx();
	if (!d->ctx) {
		free(d);
		return NULL;
	}
	return d;
}

void vfm_decompressor_free(struct vfm_decompressor *d)
{
	if (!d)
		return;
	ZSTD_freeDCtx(d->ctx);
	free(d);
}

static const char *what_is_wrong(const void *frame, size_t size, size_t plain)
{
	struct vfm_reader r = vfm_reader_of(frame, size);

	if (vfm_read_le32(&r) != ZSTD_MAGICNUMBER)
		return "it does not begin with a zstd frame";
	if (ZSTD_findFrameCompressedSize(frame, size) != size)
		return "it is not exactly one zstd frame";
	if (ZSTD_getFrameContentSize(frame, size) != plain)
		return "its zstd frame does not hold as much as its header says";
	return NULL;
}

const uint8_t *vfm_decompress(struct vfm_decompressor *d, const void *frame, size_t size,
			      size_t plain, struct vfm_err *err)
{
	const char *wrong = what_is_wrong(frame, size, plain);
	size_t n;

	if (wrong) {
		vfm_fail(err, -EBADMSG, "%s", wrong);
		return NULL;
	}
	n = ZSTD_decompressDCtx(d->ctx, d->out, plain, frame, size);
	if (ZSTD_isError(n) || n != plain) {
		vfm_fail(err, -EBADMSG, "zstd: %s",
			 ZSTD_isError(n) ? ZSTD_getErrorName(n) : "short frame");
		return NULL;
	}
	return d->out;
}
