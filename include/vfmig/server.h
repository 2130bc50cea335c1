// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A vfio-user server: shows any device on a unix socket. It is a descriptor and
 * a process call for somebody else's event loop, starts no thread, and serves
 * one client at a time; others are refused at once. A client that leaves takes
 * its mappings and interrupts with it; the device keeps its state.
 *
 * Trust: whatever a client sends is checked, but memory that it gives by a
 * descriptor is mapped. One that shrinks that file afterwards ends this process
 * with SIGBUS at the device's next DMA, as with any device of which the memory is
 * shared so; sealing (F_SEAL_SHRINK) keeps a client from doing it by mistake. Let
 * only those connect who may end the device.
 */

#ifndef VFMIG_SERVER_H
#define VFMIG_SERVER_H

#include <vfmig/device.h>
#include <vfmig/v1.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vfm_server;

/**
 * enum vfm_face - which migration protocols a client is shown
 * @VFM_FACE_V2: the features of v2, and no migration region (default)
 * @VFM_FACE_V1: the migration region and the dirty pages of v1; the features of v2 are refused
 * @VFM_FACE_BOTH: all of it
 */
enum vfm_face { VFM_FACE_V2, VFM_FACE_V1, VFM_FACE_BOTH };

/**
 * struct vfm_server_opts - zero it, then fill in; VFM_SERVER_OPTS does both
 * @size: sizeof(struct vfm_server_opts)
 * @path: unix socket to listen on, at most 107 bytes. A stale socket, one that
 *	nobody listens on, is replaced; anything else there is -EADDRINUSE
 * @fd: used when @path is NULL: a connected socket (one client, then done) or a
 *	listening one; taken on success
 * @timeout_ms: how long a client may take to answer a DMA message and to take
 *	its reply; 0: 5000
 * @no_extension: do not offer the vfmig extension: standard messages only
 * @log: what happens at the connection, for people; may be NULL
 * @face: which protocols are shown. -ENOTTY from vfm_server_new() when v1 shall be, and
 *	the device cannot migrate
 * @section, @section_size: of the migration region; a multiple of the page size, 4 KiB to
 *	1 GiB; 0: 16 MiB
 */
struct vfm_server_opts {
	size_t size;
	const char *path;
	int fd;
	unsigned int timeout_ms;
	bool no_extension;
	void (*log)(void *user, const char *text);
	void *user;
	enum vfm_face face;
	enum vfm_section section;
	uint64_t section_size;
};

#define VFM_SERVER_OPTS(...)                                                                       \
	((struct vfm_server_opts){ .size = sizeof(struct vfm_server_opts), __VA_ARGS__ })

/**
 * vfm_server_new() - begin to listen
 * @dev: the device to show; borrowed until vfm_server_free()
 */
int vfm_server_new(struct vfm_server **out, struct vfm_device *dev,
		   const struct vfm_server_opts *opts, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_server_free() - cut off the client, remove the socket file; accepts NULL. */
void vfm_server_free(struct vfm_server *server);

/** vfm_server_get_fd() - readable when vfm_server_process() has something to do. */
int vfm_server_get_fd(const struct vfm_server *server);

/**
 * vfm_server_process() - do what is due now, without waiting for anything but
 * the device, and the client where the device does DMA through it
 *
 * What a client does wrong is answered to the client, and is no error here.
 * -ESHUTDOWN: the only client of a connected socket has left.
 */
int vfm_server_process(struct vfm_server *server, struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_server_run() - a loop over the two above
 * @stop_fd: ends the loop with 0 when readable; -1 for none
 */
int vfm_server_run(struct vfm_server *server, int stop_fd, struct vfm_err *err) VFM_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
