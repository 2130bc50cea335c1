// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A client's bytes into a server over a small sim:dma device. The first byte chooses: with bit 0
 * the rest is the byte stream as it is; without it, a list of messages whose headers are made right
 * here, so that a fuzzer gets behind the framing. With bit 1 a good VERSION comes first, with bit 2
 * it asks for the extension, with bit 3 every message carries a descriptor, and with bit 4 the
 * server shows protocol v1 as well.
 *
 * Whatever came: afterwards the device serves a client that behaves.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vfmig/server.h>

#include "abi/vfio_user.h"
#include "base/bytes.h"
#include "base/util.h"

#define RAW (1u << 0)
#define VERSION (1u << 1)
#define EXTENSION (1u << 2)
#define DESCRIPTORS (1u << 3)
#define BOTH_FACES (1u << 4)

#define DEVICE "sim:dma,state=64K,initial=8K,bar=8K"

/* What a socket takes without a reader. */
#define INPUT_MAX 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All of it in one sendmsg(); false when the socket is full or closed. */
static bool put(int sock, const void *data, size_t len, int fd)
{
	union {
		struct cmsghdr align;
		uint8_t mem[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *c;

		mh.msg_control = &control;
		mh.msg_controllen = sizeof(control.mem);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
}

static bool put_message(int sock, uint16_t command, uint32_t flags, const void *payload, size_t len,
			int fd)
{
	uint8_t message[VFM_VU_HEADER_SIZE + UINT16_MAX];
	struct vfm_writer w = vfm_writer_of(message, sizeof(message));

	vfm_write_he16(&w, command); /* as good an id as any */
	vfm_write_he16(&w, command);
	vfm_write_he32(&w, (uint32_t)(VFM_VU_HEADER_SIZE + len));
	vfm_write_he32(&w, flags);
	vfm_write_he32(&w, 0);
	vfm_write_bytes(&w, payload, len);
	return put(sock, message, w.len, fd);
}

static bool put_version(int sock, bool extension)
{
	static const char with[] = "\0\0\2\0{\"capabilities\":{\"max_msg_fds\":16,"
				   "\"write_multiple\":true,\"vfmig\":{\"version\":1}}}";
	static const char without[] = "\0\0\2\0{}";

	return put_message(sock, VFM_VU_VERSION, 0, extension ? with : without,
			   extension ? sizeof(with) : sizeof(without), -1);
}

/* Messages: command, flags and length of 1, 1 and 2 bytes, and so many bytes of payload. */
static void put_list(int sock, const uint8_t *data, size_t size, int fd)
{
	struct vfm_reader in = vfm_reader_of(data, size);
	bool sent = true;

	while (in.left && sent) {
		uint16_t command = vfm_read_u8(&in);
		uint32_t flags = vfm_read_u8(&in);
		size_t len = vfm_read_le16(&in);

		len = VFM_MIN(len, in.left);
		sent = vfm_reader_ok(&in) &&
		       put_message(sock, command, flags & (VFM_VU_REPLY | VFM_VU_NO_REPLY),
				   vfm_read_bytes(&in, len), len, fd);
	}
}

/* Serve what was sent until the client is gone, and throw the replies away. */
static size_t serve(struct vfm_device *dev, int sock, int server_sock, enum vfm_face face)
{
	struct vfm_server_opts opts =
		VFM_SERVER_OPTS(.fd = server_sock, .timeout_ms = 1, .face = face);
	static uint8_t replies[1 << 20];
	struct vfm_server *server;
	struct vfm_err err;
	size_t got = 0;
	int ret;

	if (vfm_server_new(&server, dev, &opts, &err))
		abort();
	do {
		ssize_t n;

		ret = vfm_server_process(server, &err);
		do {
			n = recv(sock, replies, sizeof(replies), MSG_DONTWAIT);
			got += n > 0 ? (size_t)n : 0;
		} while (n > 0);
	} while (ret == 0);
	if (ret != -ESHUTDOWN)
		abort();
	vfm_server_free(server);
	return got;
}

static void check_device(struct vfm_device *dev)
{
	static const uint32_t info[4] = { VFM_VU_INFO_SIZE };
	int socks[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks))
		return;
	if (!put_version(socks[0], false) ||
	    !put_message(socks[0], VFM_VU_DEVICE_GET_INFO, 0, info, sizeof(info), -1))
		abort();
	shutdown(socks[0], SHUT_WR);
	if (serve(dev, socks[0], socks[1], VFM_FACE_V2) <
	    2 * VFM_VU_HEADER_SIZE + 4 + VFM_VU_INFO_SIZE)
		abort();
	close(socks[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vfm_device *dev;
	struct vfm_err err;
	int socks[2], fd;

	if (!size || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks))
		return 0;
	if (vfm_open(&dev, DEVICE, &err))
		abort();
	fd = data[0] & DESCRIPTORS ? memfd_create("memory", MFD_CLOEXEC) : -1;
	if (fd >= 0 && ftruncate(fd, INPUT_MAX))
		abort();
	if (data[0] & VERSION)
		put_version(socks[0], data[0] & EXTENSION);
	if (!(data[0] & RAW))
		put_list(socks[0], data + 1, VFM_MIN(size - 1, INPUT_MAX), fd);
	else if (size > 1)
		put(socks[0], data + 1, VFM_MIN(size - 1, INPUT_MAX), fd);
	shutdown(socks[0], SHUT_WR);
	serve(dev, socks[0], socks[1], data[0] & BOTH_FACES ? VFM_FACE_BOTH : VFM_FACE_V2);
	check_device(dev);
	close(socks[0]);
	if (fd >= 0)
		close(fd);
	vfm_device_close(dev);
	return 0;
}
