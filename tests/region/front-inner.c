// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "front-inner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "protocol/v2.h"

static struct inner *of(struct vfm_device *dev)
{
	return (struct inner *)dev;
}

uint8_t inner_byte(unsigned int session, uint64_t at)
{
	return (uint8_t)(at * 7 + (at >> 8) + session * 31);
}

uint64_t inner_queued(const struct inner *in)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < in->nr_pieces; i++)
		sum += in->pieces[i];
	return sum - in->piece_at;
}

bool inner_add(struct inner *in, size_t len)
{
	if (in->nr_pieces == INNER_PIECES)
		return false;
	in->pieces[in->nr_pieces++] = len;
	return true;
}

static void add_list(struct inner *in, const size_t *list)
{
	for (size_t i = 0; i < INNER_PIECES && list[i]; i++)
		inner_add(in, list[i]);
}

/* Count a call, and whether it is its turn to fail. */
static int count(struct inner *in, enum inner_call call, struct vfm_err *err)
{
	int ret = in->fail[call];

	in->calls[call]++;
	in->fail[call] = 0;
	if (in->hook)
		in->hook(in, call);
	if (in->fail_at && --in->fail_at == 0) {
		ret = in->fail_code;
		in->fail_at = in->fail_ever;
	}
	return ret ? vfm_fail(err, ret, "told to fail") : 0;
}

/* ---- what has nothing to do with migration ----------------------------------------- */

static void in_close(struct vfm_device *dev)
{
	free(of(dev)->loaded);
}

static int in_get_info(struct vfm_device *dev, struct vfm_device_info *info, struct vfm_err *err)
{
	struct inner *in = of(dev);

	(void)err;
	in->others++;
	*info = (struct vfm_device_info){ .flags =
						  VFM_DEVICE_RESET | (in->pci ? VFM_DEVICE_PCI : 0),
					  .nr_regions = in->nr_regions,
					  .nr_irqs = 3 };
	return 0;
}

static int in_get_region(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			 struct vfm_err *err)
{
	of(dev)->others++;
	if (index >= of(dev)->nr_regions)
		return vfm_fail(err, -EINVAL, "region %u", index);
	*region = (struct vfm_region){ .index = index, .size = 100 + index, .fd = -1 };
	return 0;
}

static int in_read_region(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			  size_t len, struct vfm_err *err)
{
	(void)err;
	of(dev)->others++;
	memset(buf, (int)(index + offset), len);
	return 0;
}

static int in_write_region(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
			   size_t len, struct vfm_err *err)
{
	(void)buf;
	of(dev)->others++;
	return index == 1 ? 0
			  : vfm_fail(err, -EROFS, "at %u, %u", (unsigned int)(offset + len), index);
}

static int in_get_migration(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err)
{
	of(dev)->others++;
	if (!of(dev)->migration)
		return vfm_fail(err, -ENOTTY, "it stays where it is");
	*migration = of(dev)->migration;
	return 0;
}

/* ---- states ------------------------------------------------------------------------- */

static int in_get_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	int ret = count(of(dev), INNER_GET_STATE, err);

	if (!ret)
		*state = of(dev)->state;
	return ret;
}

static void begin_session(struct inner *in, enum vfm_session_effect effect, enum vfm_state to)
{
	if (effect == VFM_SESSION_KEEP || effect == VFM_SESSION_NONE)
		return;
	in->nr_pieces = in->piece_at = 0;
	in->given = 0;
	in->session_dead = false;
	if (effect == VFM_SESSION_OPEN_SAVE)
		in->session++;
	if (effect == VFM_SESSION_OPEN_LOAD)
		in->nr_loaded = in->nr_ends = 0;
	if (to == VFM_STATE_PRE_COPY || to == VFM_STATE_PRE_COPY_P2P)
		add_list(in, in->first);
}

static int arc(struct inner *in, enum vfm_state to, struct vfm_err *err)
{
	if (in->fail_arc && !in->good_arcs--) {
		int ret = in->fail_arc;

		in->fail_arc = 0;
		if (ret == -EIO) {
			begin_session(in, VFM_SESSION_CLOSE, VFM_STATE_ERROR);
			in->state = VFM_STATE_ERROR;
		}
		return vfm_fail(err, ret, "arc told to fail");
	}
	begin_session(in, vfm_arc_session(in->state, to), to);
	if (to == VFM_STATE_STOP_COPY)
		add_list(in, in->last);
	in->state = to;
	return 0;
}

static int in_set_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct inner *in = of(dev);
	int ret = count(in, INNER_SET_STATE, err);

	if (ret)
		return ret;
	if (in->state == VFM_STATE_ERROR)
		return vfm_fail(err, -EIO, "in ERROR");
	do {
		enum vfm_state next;

		if (vfm_next_state(in->migration, in->state, state, &next))
			return vfm_fail(err, -EINVAL, "no way");
		if (next != in->state)
			ret = arc(in, next, err);
	} while (!ret && in->state != state);
	return ret;
}

static int in_reset(struct vfm_device *dev, struct vfm_err *err)
{
	struct inner *in = of(dev);
	int ret = count(in, INNER_RESET, err);

	begin_session(in, VFM_SESSION_CLOSE, VFM_STATE_RUNNING);
	in->state = ret ? VFM_STATE_ERROR : VFM_STATE_RUNNING;
	return ret;
}

/* ---- data ---------------------------------------------------------------------------- */

static ssize_t read_piece(struct inner *in, uint8_t *buf, size_t len, bool *end)
{
	size_t n = VFM_MIN(len, in->pieces[0] - in->piece_at);

	for (size_t i = 0; i < n; i++)
		buf[i] = inner_byte(in->session, in->given + i);
	in->given += n;
	in->piece_at += n;
	*end = in->piece_at == in->pieces[0];
	if (*end) {
		in->nr_pieces--;
		memmove(in->pieces, in->pieces + 1, in->nr_pieces * sizeof(in->pieces[0]));
		in->piece_at = 0;
	}
	return (ssize_t)n;
}

static ssize_t in_read_chunk(struct vfm_device *dev, void *buf, size_t len, bool *end,
			     struct vfm_err *err)
{
	struct inner *in = of(dev);
	ssize_t ret = count(in, INNER_READ, err);

	*end = false;
	if (!ret && (in->session_dead || !vfm_state_is_saving(in->state)))
		return vfm_fail(err, -EINVAL, "read in state %s", vfm_state_name(in->state));
	if (ret) {
		in->session_dead = true;
		return ret;
	}
	if (!in->nr_pieces && in->state == VFM_STATE_STOP_COPY)
		return in->nomsg_at_end ? -ENOMSG : 0;
	if (!in->nr_pieces)
		return in->zero_in_precopy ? 0 : -ENOMSG;
	return read_piece(in, buf, in->max_read ? VFM_MIN(len, in->max_read) : len, end);
}

static ssize_t in_read_data(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	bool end;

	return in_read_chunk(dev, buf, len, &end, err);
}

static int in_write_chunk(struct vfm_device *dev, const void *buf, size_t len, bool end,
			  struct vfm_err *err)
{
	struct inner *in = of(dev);
	int ret = count(in, INNER_WRITE, err);
	uint8_t *more;

	if (!ret && in->state != VFM_STATE_RESUMING)
		return vfm_fail(err, -EINVAL, "write in state %s", vfm_state_name(in->state));
	more = ret ? NULL : realloc(in->loaded, in->nr_loaded + len + 1);
	if (!more)
		return ret ? ret : -ENOMEM;
	in->loaded = more;
	memcpy(in->loaded + in->nr_loaded, buf, len);
	in->nr_loaded += len;
	if (end && in->nr_ends < INNER_ENDS)
		in->ends[in->nr_ends++] = in->nr_loaded;
	return 0;
}

static int in_write_data(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err)
{
	return in_write_chunk(dev, buf, len, false, err);
}

static int in_get_precopy_info(struct vfm_device *dev, struct vfm_precopy_info *info,
			       struct vfm_err *err)
{
	struct inner *in = of(dev);
	int ret = count(in, INNER_INFO, err);

	if (ret)
		return ret;
	if (in->no_info)
		return -ENOTTY;
	if (!vfm_state_is_precopy(in->state))
		return vfm_fail(err, -EINVAL, "info in state %s", vfm_state_name(in->state));
	*info = (struct vfm_precopy_info){ .initial_bytes = inner_queued(in) / 3,
					   .dirty_bytes = inner_queued(in) - inner_queued(in) / 3 };
	return 0;
}

static int in_get_data_size(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err)
{
	struct inner *in = of(dev);
	int ret = count(in, INNER_SIZE, err);

	if (!ret && in->no_info)
		return -ENOTTY;
	*bytes = VFM_MAX(inner_queued(in), (uint64_t)1);
	return ret;
}

#define COMMON_OPS                                                                                 \
	.close = in_close, .get_info = in_get_info, .get_region = in_get_region,                   \
	.read_region = in_read_region, .write_region = in_write_region,                            \
	.get_migration = in_get_migration, .get_state = in_get_state, .set_state = in_set_state,   \
	.read_data = in_read_data, .write_data = in_write_data,                                    \
	.get_precopy_info = in_get_precopy_info, .get_data_size = in_get_data_size,                \
	.reset = in_reset

static const struct vfm_device_ops plain_ops = { COMMON_OPS };
static const struct vfm_device_ops chunk_ops = { COMMON_OPS, .read_chunk = in_read_chunk,
						 .write_chunk = in_write_chunk };

struct inner *inner_new(uint64_t migration, bool chunks)
{
	struct inner *in = calloc(1, sizeof(*in));

	if (!in || vfm_device_init(&in->dev, chunks ? &chunk_ops : &plain_ops, "test:inner", NULL))
		abort();
	in->migration = migration;
	in->nr_regions = INNER_REGIONS;
	in->state = VFM_STATE_RUNNING;
	return in;
}

void inner_free(struct inner *in)
{
	vfm_device_close(&in->dev);
}
