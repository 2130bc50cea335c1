// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* What each side says first on a connection: docs/wire.md. */

#ifndef VFM_ENGINE_HELLO_H
#define VFM_ENGINE_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vfmig/error.h>

#define VFM_HELLO_SIZE 64
#define VFM_HELLO_MAGIC "\x89VFW\r\n\x1a\n"
#define VFM_HELLO_MAGIC_SIZE 8
#define VFM_HELLO_VERSION 2u
#define VFM_HELLO_COMPAT_VERSION 1u

/* The least that somebody must speak to whom a further channel says hello. */
#define VFM_HELLO_CHANNEL_VERSION 2u
#define VFM_HELLO_TLS (1u << 0)
#define VFM_HELLO_SESSION_SIZE 16

enum vfm_hello_role { VFM_HELLO_SOURCE = 1, VFM_HELLO_DESTINATION = 2 };

/**
 * struct vfm_hello - the fields of it
 * @session: of the first connection: of each side's own making; of a further one: that of the
 *	other side there
 * @channels: so many connections are wanted at most; 0: one
 * @channel: which of them this is; 0: the first
 */
struct vfm_hello {
	uint16_t version;
	uint16_t compat_version;
	uint32_t flags;
	uint32_t role;
	uint8_t session[VFM_HELLO_SESSION_SIZE];
	uint16_t channels;
	uint16_t channel;
};

void vfm_hello_to_wire(const struct vfm_hello *hello, uint8_t wire[VFM_HELLO_SIZE]);

/**
 * vfm_hello_from_wire() - as far as it can be judged alone
 * @who: "source" or "destination", whose it is, for errors
 *
 * -EPROTO: it is none, or damaged; -EOPNOTSUPP: of a later version.
 */
int vfm_hello_from_wire(struct vfm_hello *hello, const uint8_t wire[VFM_HELLO_SIZE],
			const char *who, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_hello_is_ours() - whether the first bytes are those of a hello; fewer are enough to say no.
 */
bool vfm_hello_is_ours(const uint8_t *wire, size_t have);

/**
 * vfm_hello_agree() - of two first connections
 *
 * -EOPNOTSUPP: one side wants TLS and the other does not; -EPROTO: roles, or it is a further
 * channel of something else.
 */
int vfm_hello_agree(const struct vfm_hello *ours, const struct vfm_hello *theirs, const char *who,
		    struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_hello_channels() - how many connections both want. */
unsigned int vfm_hello_channels(const struct vfm_hello *ours, const struct vfm_hello *theirs);

/**
 * vfm_hello_is_channel() - whether @theirs is of a further connection that belongs to the first
 * @ours: what we say on it, or shall
 * @session: our own, of the first connection
 *
 * Which of them it is, is not looked at. It takes as long whatever is wrong with the session.
 */
bool vfm_hello_is_channel(const struct vfm_hello *ours, const struct vfm_hello *theirs,
			  const uint8_t session[VFM_HELLO_SESSION_SIZE]);

#endif
