// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The data session over the wire. A client may take an answer that is shorter than what it asked
 * for as the end of the data, as the protocol says. So an answer is filled, whatever pieces the
 * device gives, and is short only when the device has nothing more, or nothing now. A client with
 * the extension does not: for it an answer ends with a chunk, too, and says so.
 *
 * Nothing is read ahead of a request, tempting as it is in STOP_COPY: the user may still write
 * registers there, and what the device gives out afterwards has to hold what was written.
 *
 * How data that is written is cut means nothing. So the device gets it in the parts in which it
 * arrives, and works while the client sends. The first error is the answer to all of it; a client
 * that is lost in the middle leaves an image without an end, which the device notices as such.
 */

#include "vfio_user/server.h"

#include <errno.h>
#include <inttypes.h>

static int check_size(struct vfm_srv_request *rq, const char *what, uint32_t size)
{
	if (!size)
		return vfm_fail(&rq->err, -EINVAL, "%s: no bytes", what);
	if (size > rq->client->max_xfer)
		return vfm_fail(&rq->err, -E2BIG, "%s: %" PRIu32 " bytes, and %zu were agreed",
				what, size, rq->client->max_xfer);
	return 0;
}

/* Returns the bytes that were read. After an error the session is of no use, and what was read
 * before it neither. */
static ssize_t fill(struct vfm_srv_request *rq, uint8_t *buf, size_t len)
{
	size_t done = 0;
	bool end = false;

	while (done < len && !(end && rq->client->extension)) {
		ssize_t n = vfm_device_read_chunk(rq->dev, buf + done, len - done, &end, &rq->err);

		if (n == 0 || n == -ENOMSG)
			break;
		if (n < 0)
			return n;
		done += (size_t)n;
	}
	if (end && rq->client->extension)
		rq->flags |= VFM_VU_CHUNK_END;
	return (ssize_t)done;
}

/* No bytes are an end, of one kind or the other: of a session that there is. */
static int check_empty(struct vfm_srv_request *rq)
{
	enum vfm_state state;
	int ret = vfm_device_get_state(rq->dev, &state, &rq->err);

	if (!ret && !vfm_state_is_saving(state))
		ret = vfm_fail(&rq->err, -EINVAL, "read data: the device is in %s, and has none",
			       vfm_state_name(state));
	return ret;
}

int vfm_srv_data_read(struct vfm_srv_request *rq)
{
	uint32_t argsz = vfm_read_he32(&rq->in);
	uint32_t size = vfm_read_he32(&rq->in);
	int ret = check_size(rq, "read data", size);
	struct vfm_writer w;
	uint8_t *out;
	ssize_t n;

	if (ret)
		return ret;
	if (argsz < VFM_VU_MIG_DATA_SIZE + (uint64_t)size)
		return vfm_fail(&rq->err, -EINVAL,
				"read data: %" PRIu32 " bytes, and argsz %" PRIu32, size, argsz);
	out = vfm_srv_reply(rq, VFM_VU_MIG_DATA_SIZE + (size_t)size);
	if (!out)
		return -ENOMEM;
	n = fill(rq, out + VFM_VU_MIG_DATA_SIZE, size);
	if (!n)
		n = check_empty(rq);
	if (n < 0)
		return (int)n;
	rq->out_len = VFM_VU_MIG_DATA_SIZE + (size_t)n;
	w = vfm_writer_of(out, VFM_VU_MIG_DATA_SIZE);
	vfm_write_he32(&w, (uint32_t)rq->out_len);
	vfm_write_he32(&w, (uint32_t)n);
	return 0;
}

/* What is there is written; what is to come counts for the size alone. */
int vfm_srv_data_write(struct vfm_srv_request *rq)
{
	uint32_t size;
	int ret;

	vfm_read_he32(&rq->in); /* argsz: there is no answer */
	size = vfm_read_he32(&rq->in);
	ret = check_size(rq, "write data", size);
	if (ret)
		return ret;
	if (size != rq->in.left + rq->msg->rest)
		return vfm_fail(&rq->err, -EINVAL, "write data: %" PRIu32 " bytes, and %zu came",
				size, rq->in.left + rq->msg->rest);
	return vfm_srv_data_write_more(rq);
}

int vfm_srv_data_write_more(struct vfm_srv_request *rq)
{
	bool end = rq->client->extension && !rq->msg->rest && rq->msg->flags & VFM_VU_CHUNK_END;

	return vfm_device_write_chunk(rq->dev, rq->in.p, rq->in.left, end, &rq->err);
}
