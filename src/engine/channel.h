// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The connections of one migration. The first is the one that our caller gives, and
 * has the whole conversation; further ones carry data, and nothing but that, from the
 * source to the destination. What they carry is pipe.h's; here is how they come to be.
 *
 * What surprises: the first connection's descriptor and its two streams stay where they were
 * before there were others, in struct vfm_engine.
 */

#ifndef VFM_ENGINE_CHANNEL_H
#define VFM_ENGINE_CHANNEL_H

#include <stdint.h>

#include <vfmig/stream.h>

#include "engine/hello.h"

/** Most of them. */
#define VFM_CHANNELS_MAX 16

struct vfm_engine;
struct vfm_tls_session;

/**
 * struct vfm_channel
 * @number: from 0, which is the first
 * @fd: a connected socket; ours, unless it is the first
 * @secure, @io: TLS over it, and the way to read and write through it; NULL: none
 * @cause: why a call of TLS failed, before there is a helper; not of the first
 * @out, @in: the stream, of a source or a destination; not of the first
 */
struct vfm_channel {
	struct vfm_engine *e;
	unsigned int number;
	int fd;
	struct vfm_tls_session *secure;
	struct vfm_io io;
	struct vfm_err cause;
	struct vfm_stream_writer *out;
	struct vfm_stream_reader *in;
};

/** struct vfm_hellos - ours, and both as they were in the clear */
struct vfm_hellos {
	struct vfm_hello fields;
	uint8_t ours[VFM_HELLO_SIZE];
	uint8_t theirs[VFM_HELLO_SIZE];
};

/* ---- connect.c: a hello, and TLS ------------------------------------------- */

/** vfm_channel_say() - a hello, under TLS if that is there already. */
int vfm_channel_say(struct vfm_channel *c, const uint8_t wire[VFM_HELLO_SIZE]) VFM_MUST_CHECK;

/** vfm_channel_hear() - the other side's. */
int vfm_channel_hear(struct vfm_channel *c, uint8_t wire[VFM_HELLO_SIZE]) VFM_MUST_CHECK;

/** vfm_channel_secure() - TLS, and both hellos once more under it. */
int vfm_channel_secure(struct vfm_channel *c, const struct vfm_hellos *h) VFM_MUST_CHECK;

/* ---- channel.c: further connections ------------------------------------------ */

/** vfm_channels_wanted() - how many our options, and their limit on memory, allow. */
unsigned int vfm_channels_wanted(const struct vfm_engine *e);

/**
 * vfm_channels_open() - all others up to @count, when the first is there
 * @first: what was said on that one
 *
 * -EPROTO: the other side has broken the rules; -ETIMEDOUT: it did not come.
 */
int vfm_channels_open(struct vfm_engine *e, const struct vfm_hellos *first,
		      unsigned int count) VFM_MUST_CHECK;

/** vfm_channels_close() - all, with their streams; of the first only TLS. */
void vfm_channels_close(struct vfm_engine *e);

/** vfm_channels_written() - bytes of all streams but the first, and as vfm_stream_compressed(). */
uint64_t vfm_channels_written(const struct vfm_engine *e, uint64_t *compressed, uint64_t *to);

#endif
