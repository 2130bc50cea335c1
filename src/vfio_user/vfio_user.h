// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What the files of this folder share with each other, and the one function that
 * open.c needs.
 *
 *   conn.c     bytes <-> messages, with descriptors; no meaning
 *   version.c  VERSION and its JSON
 *   client*.c  a device over a connection
 *   server*.c  a connection over a device
 */

#ifndef VFM_VFIO_USER_VFIO_USER_H
#define VFM_VFIO_USER_VFIO_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <vfmig/device.h>

#include "abi/vfio_user.h"

struct vfm_client_opts {
	unsigned int timeout_ms; /* for a reply; 0: 5000 */
	bool no_extension;	 /* standard messages only */
};

/** vfm_client_open() - connect to the socket at @path; "vfio-user:" + path is the URI. */
int vfm_client_open(struct vfm_device **out, const char *path, const struct vfm_client_opts *opts,
		    struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_client_open_fd() - the same over a connected socket, taken on success. */
int vfm_client_open_fd(struct vfm_device **out, int fd, const struct vfm_client_opts *opts,
		       struct vfm_err *err) VFM_MUST_CHECK;

/* ---- version.c ----------------------------------------------------------- */

/** struct vfm_vu_caps - what one side says of itself in VERSION */
struct vfm_vu_caps {
	uint16_t major, minor;
	uint32_t max_fds;  /* max_msg_fds */
	uint64_t max_xfer; /* max_data_xfer_size */
	uint32_t max_dma_maps;
	uint64_t pgsizes;
	bool write_multiple;
	bool twin_socket;   /* asked for; we never do */
	uint64_t v1_pgsize; /* pages of the dirty log of protocol v1; 0: that is not spoken */
	uint32_t extension; /* version of the vfmig extension, 0: none */
};

/** vfm_vu_caps_defaults() - those that hold where a peer says nothing. */
void vfm_vu_caps_defaults(struct vfm_vu_caps *caps);

/**
 * vfm_vu_caps_parse() - the payload of a VERSION message, request or reply
 *
 * Lenient: no JSON, {} and unknown keys are fine, absent keys have their
 * defaults. -EINVAL: wrong JSON, JSON without its zero, a value of a wrong type
 * or out of any sensible range; -EPROTO: another major version.
 */
int vfm_vu_caps_parse(struct vfm_vu_caps *caps, const void *payload, size_t len,
		      struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_vu_caps_format() - the payload of a VERSION message
 *
 * Return: its length with the zero, or -ENOSPC.
 */
ssize_t vfm_vu_caps_format(const struct vfm_vu_caps *caps, void *payload, size_t room,
			   struct vfm_err *err) VFM_MUST_CHECK;

#endif
