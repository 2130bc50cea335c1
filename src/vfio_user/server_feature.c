// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * DEVICE_FEATURE, with the rules of the kernel's ioctl of that name, in its order: an envelope that
 * makes no sense is EINVAL, a feature that does not exist or that the device does not have is
 * ENOTTY, a probe ends there, a wrong direction or too small a payload is EINVAL.
 *
 * A server with the face of v1 alone has none of the features of v2, but those of the vfmig
 * extension that belong to no protocol.
 *
 * A client without the vfmig extension sees a device without P2P: such a state cannot be asked for,
 * and is told as the state with P2P beside it.
 */

#include "vfio_user/server.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "abi/vfio.h"
#include "base/util.h"

#define FLAG_BITS (VFM_FEATURE_MASK | VFM_FEATURE_GET | VFM_FEATURE_SET | VFM_FEATURE_PROBE)

#define NO_FD UINT32_MAX

/* What stands in the wire's own order behind argsz and flags. */
#define STATE_SIZE 8u
#define U64_SIZE 8u
#define PRECOPY_INFO_SIZE 24u
#define ORPHAN_SIZE 8u
#define COMPAT_SIZE (16u + VFM_MODEL_TEXT + VFM_PARAMS_TEXT)
#define LOG_START_SIZE 16u
#define LOG_REPORT_SIZE 24u

struct feature {
	uint16_t index;
	bool extension; /* exists only for clients with the extension */
	bool any_face;	/* is not of v2 */
	uint32_t get_size, set_size;
	uint32_t get_takes; /* bytes that a GET brings */
	int (*probe)(struct vfm_srv_request *rq);
	int (*get)(struct vfm_srv_request *rq, uint32_t argsz);
	int (*set)(struct vfm_srv_request *rq);
};

/* The reply to a GET: envelope and @size bytes to be filled in. */
static struct vfm_writer begin_reply(struct vfm_srv_request *rq, uint32_t size)
{
	uint32_t len = VFM_VU_FEATURE_SIZE + size;
	struct vfm_writer w = vfm_writer_of(vfm_srv_reply(rq, len), len);
	struct vfm_reader r = vfm_reader_of(rq->msg->payload, VFM_VU_FEATURE_SIZE);

	vfm_read_he32(&r);
	vfm_write_he32(&w, len);
	vfm_write_he32(&w, vfm_read_he32(&r));
	return w;
}

/* ---- features of the migration ------------------------------------------------- */

static int probe_migration(struct vfm_srv_request *rq)
{
	uint64_t migration;

	return vfm_device_get_migration(rq->dev, &migration, &rq->err);
}

static int get_migration(struct vfm_srv_request *rq, uint32_t argsz)
{
	struct vfm_writer w;
	uint64_t migration;
	int ret = vfm_device_get_migration(rq->dev, &migration, &rq->err);

	(void)argsz;
	if (ret)
		return ret;
	if (!rq->client->extension)
		migration &= ~VFM_MIGRATION_P2P;
	w = begin_reply(rq, U64_SIZE);
	vfm_write_he64(&w, migration);
	return 0;
}

static enum vfm_state without_p2p(enum vfm_state state)
{
	switch (state) {
	case VFM_STATE_RUNNING_P2P:
		return VFM_STATE_RUNNING;
	case VFM_STATE_PRE_COPY_P2P:
		return VFM_STATE_PRE_COPY;
	default:
		return state;
	}
}

static int get_state(struct vfm_srv_request *rq, uint32_t argsz)
{
	enum vfm_state state;
	struct vfm_writer w;
	int ret = vfm_device_get_state(rq->dev, &state, &rq->err);

	(void)argsz;
	if (ret)
		return ret;
	w = begin_reply(rq, STATE_SIZE);
	vfm_write_he32(&w, rq->client->extension ? state : without_p2p(state));
	vfm_write_he32(&w, NO_FD);
	return 0;
}

static int set_state(struct vfm_srv_request *rq)
{
	uint32_t state = vfm_read_he32(&rq->in);
	struct vfm_writer w;
	int ret;

	if (state >= VFM_NR_STATES ||
	    (!rq->client->extension && without_p2p((enum vfm_state)state) != state))
		return vfm_fail(&rq->err, -EINVAL, "set state: there is no state %" PRIu32, state);
	ret = vfm_device_set_state(rq->dev, (enum vfm_state)state, &rq->err);
	if (ret)
		return ret;
	w = begin_reply(rq, STATE_SIZE);
	vfm_write_he32(&w, state);
	vfm_write_he32(&w, NO_FD);
	return 0;
}

static int probe_data_size(struct vfm_srv_request *rq)
{
	uint64_t bytes;

	return vfm_device_get_data_size(rq->dev, &bytes, &rq->err);
}

static int get_data_size(struct vfm_srv_request *rq, uint32_t argsz)
{
	struct vfm_writer w;
	uint64_t bytes;
	int ret = vfm_device_get_data_size(rq->dev, &bytes, &rq->err);

	(void)argsz;
	if (ret)
		return ret;
	w = begin_reply(rq, U64_SIZE);
	vfm_write_he64(&w, bytes);
	return 0;
}

/* ---- features of the extension -------------------------------------------------- */

static int probe_precopy(struct vfm_srv_request *rq)
{
	uint64_t migration;
	int ret = vfm_device_get_migration(rq->dev, &migration, &rq->err);

	if (!ret && !(migration & VFM_MIGRATION_PRE_COPY))
		ret = vfm_fail(&rq->err, -ENOTTY, "the device has no PRE_COPY");
	return ret;
}

static int get_precopy_info(struct vfm_srv_request *rq, uint32_t argsz)
{
	struct vfm_precopy_info info = { 0 };
	struct vfm_writer w;
	int ret = vfm_device_get_precopy_info(rq->dev, &info, &rq->err);

	(void)argsz;
	if (ret)
		return ret;
	w = begin_reply(rq, PRECOPY_INFO_SIZE);
	vfm_write_he64(&w, info.initial_bytes);
	vfm_write_he64(&w, info.dirty_bytes);
	vfm_write_he32(&w, info.reinit ? VFM_PRECOPY_INFO_REINIT : 0);
	vfm_write_he32(&w, 0);
	return 0;
}

static int probe_orphan(struct vfm_srv_request *rq)
{
	(void)rq;
	return 0;
}

/* The device may be another server's, which does not see our client vanish, but us. */
static int set_orphan(struct vfm_srv_request *rq)
{
	uint32_t orphan = vfm_read_he32(&rq->in);
	uint32_t reserved = vfm_read_he32(&rq->in);
	struct vfm_writer w;
	int ret;

	if (orphan > VFM_ORPHAN_RESET || reserved)
		return vfm_fail(&rq->err, -EINVAL, "set orphan: no policy %" PRIu32, orphan);
	ret = vfm_device_set_orphan(rq->dev, (enum vfm_orphan)orphan, &rq->err);
	if (ret && ret != -ENOTTY)
		return ret;
	rq->client->told = (enum vfm_orphan)orphan;
	w = begin_reply(rq, ORPHAN_SIZE);
	vfm_write_he32(&w, orphan);
	vfm_write_he32(&w, 0);
	return 0;
}

static int probe_compat(struct vfm_srv_request *rq)
{
	struct vfm_compat compat;

	return vfm_device_get_compat(rq->dev, &compat, &rq->err);
}

/* Text of a fixed width, the rest of which is zeros and not what was on a stack. */
static void write_text(struct vfm_writer *w, const char *text, size_t width)
{
	size_t len = strnlen(text, width - 1);

	vfm_write_bytes(w, text, len);
	vfm_write_zeros(w, width - len);
}

static int get_compat(struct vfm_srv_request *rq, uint32_t argsz)
{
	struct vfm_compat compat;
	struct vfm_writer w;
	int ret = vfm_device_get_compat(rq->dev, &compat, &rq->err);

	(void)argsz;
	if (ret)
		return ret;
	w = begin_reply(rq, COMPAT_SIZE);
	vfm_write_he32(&w, compat.version);
	vfm_write_he32(&w, compat.min_version);
	vfm_write_he32(&w, compat.judges_params ? VFM_VU_EXT_JUDGES_PARAMS : 0);
	vfm_write_he32(&w, 0);
	write_text(&w, compat.model, sizeof(compat.model));
	write_text(&w, compat.params, sizeof(compat.params));
	return 0;
}

/* ---- the table ------------------------------------------------------------------- */

static const struct feature features[] = {
	{ .index = VFM_FEATURE_MIGRATION,
	  .get_size = U64_SIZE,
	  .probe = probe_migration,
	  .get = get_migration },
	{ .index = VFM_FEATURE_MIG_DEVICE_STATE,
	  .get_size = STATE_SIZE,
	  .set_size = STATE_SIZE,
	  .probe = probe_migration,
	  .get = get_state,
	  .set = set_state },
	{ .index = VFM_FEATURE_DMA_LOGGING_START,
	  .set_size = LOG_START_SIZE,
	  .probe = vfm_srv_log_probe,
	  .set = vfm_srv_log_start },
	{ .index = VFM_FEATURE_DMA_LOGGING_STOP,
	  .probe = vfm_srv_log_probe,
	  .set = vfm_srv_log_stop },
	{ .index = VFM_FEATURE_DMA_LOGGING_REPORT,
	  .get_size = LOG_REPORT_SIZE,
	  .get_takes = LOG_REPORT_SIZE,
	  .probe = vfm_srv_log_probe,
	  .get = vfm_srv_log_report },
	{ .index = VFM_FEATURE_MIG_DATA_SIZE,
	  .extension = true,
	  .get_size = U64_SIZE,
	  .probe = probe_data_size,
	  .get = get_data_size },
	{ .index = VFM_VU_EXT_PRECOPY_INFO,
	  .extension = true,
	  .get_size = PRECOPY_INFO_SIZE,
	  .probe = probe_precopy,
	  .get = get_precopy_info },
	{ .index = VFM_VU_EXT_ORPHAN,
	  .extension = true,
	  .any_face = true,
	  .set_size = ORPHAN_SIZE,
	  .probe = probe_orphan,
	  .set = set_orphan },
	{ .index = VFM_VU_EXT_COMPAT,
	  .extension = true,
	  .any_face = true,
	  .get_size = COMPAT_SIZE,
	  .probe = probe_compat,
	  .get = get_compat },
};

static const struct feature *find_feature(const struct vfm_srv_request *rq, uint32_t index)
{
	bool extension = rq->client->extension, v2 = vfm_srv_shows_v2(rq->server);

	for (size_t i = 0; i < VFM_ARRAY_SIZE(features); i++)
		if (features[i].index == index && (extension || !features[i].extension) &&
		    (v2 || features[i].any_face))
			return &features[i];
	return NULL;
}

/* Everything that a probe does not ask: one direction, and room for it. */
static int check_payload(struct vfm_srv_request *rq, const struct feature *f, uint32_t flags,
			 uint32_t argsz)
{
	bool get = flags & VFM_FEATURE_GET;
	uint32_t size = get ? f->get_size : f->set_size;
	uint32_t brings = get ? f->get_takes : f->set_size;

	if (!(flags & (VFM_FEATURE_GET | VFM_FEATURE_SET)))
		return vfm_fail(&rq->err, -EINVAL, "feature %u: neither GET nor SET", f->index);
	if (argsz - VFM_VU_FEATURE_SIZE < size || rq->in.left < brings)
		return vfm_fail(&rq->err, -EINVAL,
				"feature %u: argsz %" PRIu32 " and %zu bytes are too few", f->index,
				argsz, rq->in.left);
	return 0;
}

static int check_direction(struct vfm_srv_request *rq, const struct feature *f, uint32_t flags,
			   uint32_t argsz)
{
	if ((flags & VFM_FEATURE_GET && !f->get) || (flags & VFM_FEATURE_SET && !f->set))
		return vfm_fail(&rq->err, -EINVAL, "feature %u: flags 0x%" PRIx32, f->index, flags);
	return flags & VFM_FEATURE_PROBE ? 0 : check_payload(rq, f, flags, argsz);
}

static int echo(struct vfm_srv_request *rq)
{
	begin_reply(rq, 0);
	return 0;
}

int vfm_srv_feature(struct vfm_srv_request *rq)
{
	uint32_t argsz = vfm_read_he32(&rq->in);
	uint32_t flags = vfm_read_he32(&rq->in);
	uint32_t both = VFM_FEATURE_GET | VFM_FEATURE_SET;
	const struct feature *f;
	int ret, probed;

	if (argsz < VFM_VU_FEATURE_SIZE || flags & ~FLAG_BITS ||
	    ((flags & both) == both && !(flags & VFM_FEATURE_PROBE)))
		return vfm_fail(&rq->err, -EINVAL,
				"feature: argsz %" PRIu32 ", flags 0x%" PRIx32 " make no sense",
				argsz, flags);
	f = find_feature(rq, flags & VFM_FEATURE_MASK);
	if (!f)
		return vfm_fail(&rq->err, -ENOTTY, "there is no feature %" PRIu32,
				flags & VFM_FEATURE_MASK);
	ret = check_direction(rq, f, flags, argsz);
	if (!ret && !(flags & VFM_FEATURE_PROBE))
		return flags & VFM_FEATURE_GET ? f->get(rq, argsz) : f->set(rq);
	/* That the device lacks it counts for more than what is wrong with the request. */
	probed = f->probe(rq);
	if (probed || ret)
		return probed ? probed : ret;
	return echo(rq);
}
