// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * One request: found in the table of commands, handled, answered. What is answered to what:
 *
 *	ENOTTY		a command, feature or flag that does not exist here, or that the
 *			device lacks
 *	EINVAL		malformed: too short, sizes that disagree, flags that exclude each
 *			other; or not legal now
 *	EMSGSIZE	a message that is larger than any legal one; it was drained
 *	E2BIG		more bytes, ranges or writes in it than were agreed, or more than 16
 *			descriptors on it
 *	EEXIST		a mapping that overlaps another
 *	ENOENT		a mapping that does not exist
 *	ENOSPC		too many mappings
 *	EBUSY		VERSION: there is a client already
 *	EPROTO		VERSION: a major version that we do not speak
 *	others		what the device says
 *
 * An error reply is a header only. The connection lives on after each of them, but for those to a
 * connection that was not the client yet.
 */

#include "vfio_user/server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* A reply larger than this gives its memory back when the next one is made. */
#define KEPT_ROOM (VFM_VU_MAX_XFER + 4096u)

struct command {
	size_t fixed; /* bytes that are always there */
	int (*handle)(struct vfm_srv_request *rq);
	int (*more)(struct vfm_srv_request *rq); /* further parts of those that have them */
	bool v2; /* is of v2, and not there for a client that is shown v1 alone */
};

static int version_again(struct vfm_srv_request *rq)
{
	return vfm_fail(&rq->err, -EINVAL, "a second VERSION");
}

static const struct command commands[VFM_VU_NR_COMMANDS] = {
	[VFM_VU_VERSION] = { 0, version_again },
	[VFM_VU_DMA_MAP] = { VFM_VU_DMA_MAP_SIZE, vfm_srv_dma_map },
	[VFM_VU_DMA_UNMAP] = { VFM_VU_DMA_UNMAP_SIZE, vfm_srv_dma_unmap },
	[VFM_VU_DEVICE_GET_INFO] = { VFM_VU_INFO_SIZE, vfm_srv_get_info },
	[VFM_VU_DEVICE_GET_REGION_INFO] = { VFM_VU_REGION_INFO_SIZE, vfm_srv_get_region_info },
	[VFM_VU_DEVICE_GET_REGION_IO_FDS] = { VFM_VU_REGION_IO_FDS_SIZE,
					      vfm_srv_get_region_io_fds },
	[VFM_VU_DEVICE_GET_IRQ_INFO] = { VFM_VU_IRQ_INFO_SIZE, vfm_srv_get_irq_info },
	[VFM_VU_DEVICE_SET_IRQS] = { VFM_VU_SET_IRQS_SIZE, vfm_srv_set_irqs },
	[VFM_VU_REGION_READ] = { VFM_VU_REGION_ACCESS_SIZE, vfm_srv_region_read },
	[VFM_VU_REGION_WRITE] = { VFM_VU_REGION_ACCESS_SIZE, vfm_srv_region_write,
				  .more = vfm_srv_region_write_more },
	[VFM_VU_DEVICE_RESET] = { 0, vfm_srv_reset },
	[VFM_VU_DIRTY_PAGES] = { 0, vfm_srv_dirty_pages },
	[VFM_VU_REGION_WRITE_MULTI] = { sizeof(uint64_t), vfm_srv_region_write_multi },
	[VFM_VU_DEVICE_FEATURE] = { VFM_VU_FEATURE_SIZE, vfm_srv_feature },
	[VFM_VU_MIG_DATA_READ] = { VFM_VU_MIG_DATA_SIZE, vfm_srv_data_read, .v2 = true },
	[VFM_VU_MIG_DATA_WRITE] = { VFM_VU_MIG_DATA_SIZE, vfm_srv_data_write,
				    .more = vfm_srv_data_write_more, .v2 = true },
};

/* ---- the reply ----------------------------------------------------------------- */

uint8_t *vfm_srv_reply(struct vfm_srv_request *rq, size_t len)
{
	struct vfm_server *server = rq->server;

	rq->out = server->small;
	if (len > sizeof(server->small)) {
		if (len > server->large_room || server->large_room > KEPT_ROOM) {
			free(server->large);
			server->large = malloc(len);
			server->large_room = server->large ? len : 0;
		}
		rq->out = server->large;
	}
	rq->out_len = rq->out ? len : 0;
	return rq->out;
}

int vfm_srv_refuse(struct vfm_vu_conn *conn, const struct vfm_vu_msg *msg, int code)
{
	struct vfm_vu_out out = { .id = msg->id,
				  .command = msg->command,
				  .flags = VFM_VU_REPLY | VFM_VU_ERROR };

	if (msg->flags & VFM_VU_NO_REPLY)
		return 0;
	out.error = code > -4096 && code < 0 ? (uint32_t)-code : EIO;
	return vfm_vu_conn_send(conn, &out, NULL, NULL);
}

/* The body stays where it is until the socket has taken it: nothing is handled before that. */
static int answer(struct vfm_srv_request *rq)
{
	struct iovec body[2] = { { rq->out, rq->out_len },
				 { (void *)(uintptr_t)rq->data, rq->data_len } };
	struct vfm_vu_out out = { .id = rq->msg->id,
				  .command = rq->msg->command,
				  .flags = VFM_VU_REPLY | rq->flags,
				  .body = body,
				  .nr_body = !rq->out_len   ? 0
					     : rq->data_len ? 2
							    : 1,
				  .fds = rq->fds,
				  .nr_fds = rq->nr_fds,
				  .keep = true };

	if (rq->msg->flags & VFM_VU_NO_REPLY)
		return 0;
	return vfm_vu_conn_send(rq->client->conn, &out, NULL, NULL);
}

/* ---- the request ---------------------------------------------------------------- */

static void log_refusal(struct vfm_srv_request *rq, int code)
{
	if (++rq->client->refusals > VFM_SRV_LOGGED_REFUSALS)
		return;
	vfm_srv_log(rq->server, "refused command %u: %s%s", rq->msg->command,
		    rq->err.msg[0] ? rq->err.msg : strerror(-code),
		    rq->client->refusals == VFM_SRV_LOGGED_REFUSALS ? "; further ones are not told"
								    : "");
}

static int dispatch(struct vfm_srv_request *rq)
{
	const struct vfm_vu_msg *msg = rq->msg;
	const struct command *cmd;

	if (msg->oversize)
		return vfm_fail(&rq->err, -EMSGSIZE, "%zu bytes", msg->size);
	if (msg->fds_lost)
		return vfm_fail(&rq->err, -E2BIG, "more than %u descriptors", VFM_VU_MAX_FDS);
	cmd = msg->command < VFM_VU_NR_COMMANDS ? &commands[msg->command] : NULL;
	if (!cmd || !cmd->handle || (cmd->v2 && !vfm_srv_shows_v2(rq->server)))
		return vfm_fail(&rq->err, -ENOTTY, "there is no such command");
	if (msg->len < cmd->fixed)
		return vfm_fail(&rq->err, -EINVAL, "%zu bytes of at least %zu", msg->len,
				cmd->fixed);
	return cmd->handle(rq);
}

/* Once a part was refused, the rest of its message is let pass. */
static int dispatch_part(struct vfm_srv_request *rq)
{
	struct vfm_srv_client *client = rq->client;
	int ret = rq->msg->inner ? client->refused_part : 0;

	client->in_parts = rq->msg->rest;
	if (!ret) {
		ret = rq->msg->inner ? commands[rq->msg->command].more(rq) : dispatch(rq);
		if (ret && !client->lost)
			log_refusal(rq, ret);
	}
	client->refused_part = ret;
	return ret;
}

void vfm_srv_handle(struct vfm_server *server, struct vfm_vu_msg *msg)
{
	struct vfm_srv_client *client = &server->client;
	struct vfm_srv_request rq;
	int ret;

	/* the error text is half a page: only its start is cleared */
	rq.server = server;
	rq.client = client;
	rq.dev = server->dev;
	rq.msg = msg;
	rq.in = vfm_reader_of(msg->payload, msg->len);
	rq.out = NULL;
	rq.out_len = 0;
	rq.data = NULL;
	rq.data_len = 0;
	rq.flags = 0;
	rq.nr_fds = 0;
	rq.err.msg[0] = 0;
	client->handling = true;
	ret = dispatch_part(&rq);
	client->handling = false;
	vfm_vu_conn_unpin(client->conn);
	vfm_vu_msg_close_fds(msg);
	if (client->lost || msg->rest)
		return;
	ret = ret ? vfm_srv_refuse(client->conn, msg, ret) : answer(&rq);
	if (ret)
		client->lost = ret;
	else
		vfm_srv_settle(client);
}
