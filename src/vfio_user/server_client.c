// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The client that is served: how a connection becomes it, how many of its requests are handled at a
 * time, and what is left to do when it is gone. In that order, then: its memory, its interrupts,
 * its dirty log, and last its last will, so that a device that runs again finds nothing of it.
 */

#include "vfio_user/server.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

/* Requests that are handled before the device and others have their turn. */
#define BATCH 64

/* ---- the beginning ----------------------------------------------------------- */

/* What we agree to of what it says. */
static struct vfm_vu_caps agree(const struct vfm_server *server, const struct vfm_vu_caps *theirs)
{
	struct vfm_vu_caps ours;

	vfm_vu_caps_defaults(&ours);
	ours.minor = VFM_MIN(theirs->minor, VFM_VU_MINOR);
	ours.max_fds = VFM_VU_MAX_FDS;
	ours.max_xfer = VFM_MIN(theirs->max_xfer, VFM_VU_MAX_XFER);
	ours.max_dma_maps = VFM_MIN(theirs->max_dma_maps, VFM_VU_MAX_DMA_MAPS);
	ours.write_multiple = theirs->write_multiple;
	if (vfm_srv_shows_v1(server))
		ours.v1_pgsize = VFM_VU_DIRTY_PAGE;
	if (!server->opts.no_extension)
		ours.extension = VFM_MIN(theirs->extension, VFM_VU_EXT_VERSION);
	return ours;
}

static void begin_client(struct vfm_server *server, struct vfm_vu_conn *conn,
			 const struct vfm_vu_caps *theirs, const struct vfm_vu_caps *ours)
{
	struct vfm_srv_client *client = &server->client;

	memset(client, 0, sizeof(*client));
	client->conn = conn;
	client->write_multiple = ours->write_multiple;
	client->extension = ours->extension;
	client->max_xfer = ours->max_xfer;
	client->max_fds = VFM_MIN(theirs->max_fds, VFM_VU_MAX_FDS);
	client->max_maps = ours->max_dma_maps;
	client->pending_end = &client->pending;
	vfm_vu_conn_set_limit(conn, client->max_xfer + VFM_SRV_MESSAGE_SLACK);
	vfm_srv_log(server, "a client: transfers of %zu bytes, %u descriptors%s", client->max_xfer,
		    client->max_fds, client->extension ? ", with the vfmig extension" : "");
}

static int check_hello(struct vfm_server *server, const struct vfm_vu_msg *msg,
		       struct vfm_vu_caps *theirs, struct vfm_err *err)
{
	if (msg->command != VFM_VU_VERSION || (msg->flags & VFM_VU_TYPE_MASK) != VFM_VU_COMMAND)
		return vfm_fail(err, -EINVAL, "command %u before VERSION", msg->command);
	if (server->client.conn)
		return vfm_fail(err, -EBUSY, "there is a client already");
	if (msg->oversize)
		return vfm_fail(err, -EMSGSIZE, "VERSION of %zu bytes", msg->size);
	return vfm_vu_caps_parse(theirs, msg->payload, msg->len, err);
}

bool vfm_srv_hello(struct vfm_server *server, struct vfm_vu_conn *conn,
		   const struct vfm_vu_msg *msg)
{
	uint8_t payload[VFM_VU_MAX_VERSION_SIZE];
	struct iovec body = { .iov_base = payload };
	struct vfm_vu_out out = { .id = msg->id,
				  .command = msg->command,
				  .flags = VFM_VU_REPLY,
				  .body = &body,
				  .nr_body = 1 };
	struct vfm_vu_caps theirs, ours;
	struct vfm_err err;
	ssize_t len;
	int ret = check_hello(server, msg, &theirs, &err);

	if (ret) {
		vfm_srv_log(server, "refused a connection: %s", err.msg);
		if ((msg->flags & VFM_VU_TYPE_MASK) == VFM_VU_COMMAND)
			vfm_srv_refuse(conn, msg, ret);
		return false;
	}
	ours = agree(server, &theirs);
	len = vfm_vu_caps_format(&ours, payload, sizeof(payload), &err);
	body.iov_len = (size_t)len;
	if (len < 0 || vfm_vu_conn_send(conn, &out, NULL, &err)) {
		vfm_srv_log(server, "refused a connection: %s", err.msg);
		return false;
	}
	begin_client(server, conn, &theirs, &ours);
	return true;
}

/* ---- its requests -------------------------------------------------------------- */

/* State on its way to the device, which may begin with it: data of v2, and a chunk of v1. */
static bool may_part(const void *user, uint16_t command, const uint8_t *payload)
{
	const struct vfm_server *server = user;
	struct vfm_reader r = vfm_reader_of(payload, VFM_VU_REGION_ACCESS_SIZE);

	vfm_read_he64(&r); /* offset */
	return command == VFM_VU_MIG_DATA_WRITE ||
	       (command == VFM_VU_REGION_WRITE && server->front &&
		vfm_read_he32(&r) == server->front_index);
}

/* Some of the rest of a message: where it belongs, if that is known. */
static int receive_part(struct vfm_server *server, struct vfm_vu_msg *msg)
{
	const struct vfm_vu_may_part may = { may_part, server };
	struct vfm_srv_client *client = &server->client;

	if (client->in_parts && !client->refused_part && client->write.room)
		return vfm_vu_conn_recv_into(client->conn, msg, client->write.room, NULL);
	return vfm_vu_conn_recv_part(client->conn, msg, &may, NULL);
}

/* A request that came earlier, or the next one. 1: handled; 0: there is none. */
static int serve_one(struct vfm_server *server, bool look)
{
	struct vfm_srv_client *client = &server->client;
	struct vfm_srv_pending *pending;
	struct vfm_vu_msg here, *msg = &here;
	int ret;

	if (!client->in_parts && vfm_srv_next_pending(client, &pending, &msg)) {
		vfm_srv_handle(server, msg);
		vfm_srv_free_pending(pending);
		return 1;
	}
	if (!look && !vfm_vu_conn_has_message(client->conn))
		return 0;
	ret = receive_part(server, msg);
	if (ret < 0)
		client->lost = ret;
	if (ret <= 0)
		return ret;
	if ((msg->flags & VFM_VU_TYPE_MASK) == VFM_VU_COMMAND)
		vfm_srv_handle(server, msg);
	else /* the answer to a question that nobody asks any more */
		vfm_vu_msg_close_fds(msg);
	return 1;
}

void vfm_srv_serve(struct vfm_server *server)
{
	struct vfm_srv_client *client = &server->client;
	int i;

	for (i = 0; i < BATCH; i++) {
		if (vfm_vu_conn_queued(client->conn))
			return;
		/* After the first one, only what came with it: most clients wait for the answer.
		 * But of a message in parts the next one is on its way. */
		if (serve_one(server, i == 0 || client->in_parts) <= 0 || client->lost)
			return;
	}
}

/* ---- the end --------------------------------------------------------------------- */

static void stop_log(struct vfm_server *server)
{
	struct vfm_err err;

	if (server->client.logging && vfm_device_stop_log(server->dev, &err))
		vfm_srv_log(server, "the dirty log goes on: %s", err.msg);
}

void vfm_srv_settle(struct vfm_srv_client *client)
{
	if (client->orphan != client->told && !vfm_vu_conn_queued(client->conn))
		client->orphan = client->told;
}

/* Its last will. */
static void act_on_orphan(struct vfm_server *server)
{
	enum vfm_orphan orphan = server->client.orphan;
	enum vfm_state state;
	struct vfm_err err;
	int ret = 0;

	if (orphan == VFM_ORPHAN_KEEP)
		return;
	if (vfm_device_get_state(server->dev, &state, &err)) {
		vfm_srv_log(server, "the device is left as it is: %s", err.msg);
		return;
	}
	if (orphan == VFM_ORPHAN_RUN && (vfm_state_is_saving(state) || state == VFM_STATE_STOP))
		ret = vfm_device_set_state(server->dev, VFM_STATE_RUNNING, &err);
	else if (orphan == VFM_ORPHAN_RESET &&
		 (state == VFM_STATE_RESUMING || state == VFM_STATE_STOP ||
		  state == VFM_STATE_ERROR))
		ret = vfm_device_reset(server->dev, &err);
	else
		return;
	vfm_srv_log(server, "the device was left in %s, and %s%s%s", vfm_state_name(state),
		    ret ? "stays in trouble" : "was brought back to RUNNING", ret ? ": " : "",
		    ret ? err.msg : "");
}

/* A device that would act on it when we vanish was told so: that is over as well. */
static void forget_orphan(struct vfm_server *server)
{
	struct vfm_err err;
	int ret = 0;

	if (server->client.told != VFM_ORPHAN_KEEP)
		ret = vfm_device_set_orphan(server->dev, VFM_ORPHAN_KEEP, &err);
	if (ret && ret != -ENOTTY)
		vfm_srv_log(server, "the device keeps the client's last will: %s", err.msg);
}

static const char *why(int lost)
{
	switch (lost) {
	case -ENOTCONN:
		return "it closed the connection";
	case -ECONNRESET:
		return "it closed the connection inside of a message";
	case -EPROTO:
		return "it broke the framing";
	case -ETIMEDOUT:
		return "it did not answer in time";
	case -ENOBUFS:
		return "it sent requests without end instead of an answer";
	default:
		return lost ? strerror(-lost) : "the server ends";
	}
}

void vfm_srv_lose_client(struct vfm_server *server)
{
	struct vfm_srv_client *client = &server->client;
	struct vfm_srv_pending *pending;
	struct vfm_vu_msg *msg;
	struct vfm_err err;

	if (!client->conn)
		return;
	vfm_srv_log(server, "the client is gone: %s", why(client->lost));
	if (client->maps.count && vfm_device_unmap_all(server->dev, &err))
		vfm_srv_log(server, "its memory stays mapped: %s", err.msg);
	vfm_srv_irqs_off(server);
	stop_log(server);
	while (vfm_srv_next_pending(client, &pending, &msg))
		vfm_srv_free_pending(pending);
	vfm_vu_conn_free(client->conn);
	client->conn = NULL;
	vfm_iova_map_free(&client->maps);
	act_on_orphan(server);
	forget_orphan(server);
}
