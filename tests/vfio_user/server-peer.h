// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A client by hand, in one thread with the server: it sends raw messages and lets the server work
 * until there is a reply. Sizes and bytes are chosen by the test, not by a client's code.
 */

#ifndef VFM_TESTS_SERVER_PEER_H
#define VFM_TESTS_SERVER_PEER_H

#include "util.h"
#include "server-device.h"

#include <vfmig/server.h>

#include "vfio_user/conn.h"

#define EXTENDED                                                                                   \
	"{\"capabilities\":{\"max_msg_fds\":8,\"write_multiple\":true,\"vfmig\":{\"version\":1}}}"
#define STANDARD "{\"capabilities\":{\"max_msg_fds\":8,\"write_multiple\":true}}"

/* A server over a test device, and one client. */
struct env {
	struct test_device *t;
	struct vfm_server *server;
	struct vfm_vu_conn *conn;
	struct vfm_vu_msg reply;
	uint16_t id;
	unsigned int fds_before;
	char path[64];
	unsigned int logged;
	char last_log[512];
	char version[512]; /* JSON of the last VERSION reply */
};

/* Fields one after another, without padding. */
struct bytes {
	uint8_t mem[8192];
	size_t len;
};
void put16(struct bytes *b, uint16_t v);
void put32(struct bytes *b, uint32_t v);
void put64(struct bytes *b, uint64_t v);
uint32_t get32(const struct vfm_vu_msg *msg, size_t at);
uint64_t get64(const struct vfm_vu_msg *msg, size_t at);

/* A server on a socket in the temporary directory. */
void env_open(struct env *e);
void env_open_face(struct env *e, enum vfm_face face);
void env_close(struct env *e);

/* Let the server work until it has nothing to do. */
void env_pump(struct env *e);

/* Connect, without saying anything; to be freed with vfm_vu_conn_free(). */
struct vfm_vu_conn *env_connect(struct env *e);

/* Say VERSION with this JSON over @conn; returns the error of the reply. */
uint32_t env_hello(struct env *e, struct vfm_vu_conn *conn, const char *json);

/* Become the client. */
void env_join(struct env *e, const char *json);
void env_leave(struct env *e);

/* Send a request, get its reply into e->reply; returns the error. */
uint32_t call_fds(struct env *e, uint16_t command, const void *payload, size_t len, const int *fds,
		  unsigned int nr_fds);
uint32_t call(struct env *e, uint16_t command, const struct bytes *b);
uint32_t feature(struct env *e, uint32_t flags, uint32_t argsz, const struct bytes *data);
uint32_t set_state(struct env *e, uint32_t state);
uint32_t map_dma(struct env *e, uint64_t iova, uint64_t size, uint32_t flags, int fd);

#endif
