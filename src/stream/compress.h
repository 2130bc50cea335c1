// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Compression of single records: the one place that knows zstd. */

#ifndef VFM_STREAM_COMPRESS_H
#define VFM_STREAM_COMPRESS_H

#include <stddef.h>
#include <stdint.h>

#include <vfmig/error.h>

struct vfm_compressor;

/** vfm_compressor_new() - for payloads up to VFM_STREAM_PAYLOAD_MAX; -EINVAL: no such level. */
int vfm_compressor_new(struct vfm_compressor **out, int level, struct vfm_err *err) VFM_MUST_CHECK;
void vfm_compressor_free(struct vfm_compressor *c);

/**
 * vfm_compress() - one payload into one frame
 * @out: the frame, valid until the next call
 *
 * Return: its size, or 0 when it would not be smaller than @size.
 */
size_t vfm_compress(struct vfm_compressor *c, const void *data, size_t size, const uint8_t **out);

struct vfm_decompressor;

/** vfm_decompressor_new() - NULL when there is no memory. */
struct vfm_decompressor *vfm_decompressor_new(void);
void vfm_decompressor_free(struct vfm_decompressor *d);

/**
 * vfm_decompress() - one frame, which must give exactly @plain bytes
 * @plain: at most VFM_STREAM_PAYLOAD_MAX
 * @err: gets the reason alone
 *
 * Return: the bytes, valid until the next call; NULL: damaged.
 */
const uint8_t *vfm_decompress(struct vfm_decompressor *d, const void *frame, size_t size,
			      size_t plain, struct vfm_err *err);

#endif
