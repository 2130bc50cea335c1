// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The device that is left: stopping it, reading it, and bringing it back. A
 * save is that and nothing else; send.c puts a destination in between.
 */

#include "engine/engine.h"

#include <errno.h>

#include "base/util.h"
#include "engine/pipe.h"

/* An arc may fail for a passing reason, and a device that stands still is worse than a call. */
#define BACK_ATTEMPTS 2

int vfm_source_stop(struct vfm_engine *e)
{
	e->touched = true;
	e->stopped_ns = vfm_now_ns();
	return vfm_device_set_state(e->dev, VFM_STATE_STOP_COPY, &e->err);
}

ssize_t vfm_source_read(struct vfm_engine *e)
{
	uint64_t start = vfm_now_ns();
	size_t room = vfm_bucket_piece(&e->bucket, VFM_STREAM_PAYLOAD_MAX);
	void *buf;
	ssize_t n;
	bool end;
	int ret = vfm_engine_buffer(e, &buf);

	if (ret)
		return ret;
	n = vfm_device_read_chunk(e->dev, buf, room, &end, &e->err);
	if (n <= 0)
		return n;
	vfm_gauge_add(&e->save, (uint64_t)n, vfm_now_ns() - start);
	ret = vfm_engine_service(e);
	if (!ret)
		ret = vfm_engine_put(e, VFM_STREAM_DEVICE_DATA, end ? VFM_STREAM_CHUNK_END : 0, buf,
				     (size_t)n);
	if (ret)
		return ret;
	vfm_engine_count(e, (uint64_t)n, 0, vfm_now_ns() - start);
	return n;
}

int vfm_source_drain(struct vfm_engine *e)
{
	ssize_t n;

	do {
		n = vfm_source_read(e);
	} while (n > 0);
	if (n == -ENOMSG)
		return vfm_fail(&e->err, -EPROTO,
				"%s says \"nothing now\" in STOP_COPY, where only an end is one",
				vfm_device_uri(e->dev));
	return (int)n;
}

static int go_back_once(struct vfm_engine *e, struct vfm_err *err)
{
	enum vfm_state state;
	int ret = vfm_device_get_state(e->dev, &state, err);

	if (ret)
		return ret;
	if (state == VFM_STATE_ERROR)
		return vfm_fail(err, -EIO, "%s is in ERROR and must be reset",
				vfm_device_uri(e->dev));
	return vfm_device_set_state(e->dev, e->origin, err);
}

int vfm_source_go_back(struct vfm_engine *e, struct vfm_err *err)
{
	int ret = 0;

	for (int i = 0; e->touched && i < BACK_ATTEMPTS; i++) {
		ret = go_back_once(e, err);
		if (!ret)
			e->touched = false;
	}
	if (ret) {
		err->code = ret;
		vfm_fail_prefix(err, "cannot go back to %s", vfm_state_name(e->origin));
	}
	return ret;
}

void vfm_source_recover(struct vfm_engine *e)
{
	struct vfm_err second;

	if (vfm_source_go_back(e, &second))
		vfm_engine_also(e, &second);
	else if (e->stopped_ns && e->origin == VFM_STATE_RUNNING)
		e->report.downtime_us = (vfm_now_ns() - e->stopped_ns) / 1000;
	if (vfm_engine_disarm(e, &second))
		vfm_engine_also(e, &second);
}

static int save_setup(struct vfm_engine *e)
{
	struct vfm_identity id;
	int ret = vfm_engine_origin(e);

	if (!ret)
		ret = vfm_identity_get(&id, e->dev, &e->err);
	if (!ret)
		ret = vfm_engine_open_out(e);
	if (!ret)
		ret = vfm_engine_write_identity(e, &id);
	if (!ret)
		ret = vfm_pipe_start(e);
	if (!ret && e->origin == VFM_STATE_RUNNING)
		ret = vfm_engine_arm(e, VFM_ORPHAN_RUN);
	return ret;
}

static int save_data(struct vfm_engine *e)
{
	int ret = vfm_source_drain(e);

	return ret ? ret : vfm_engine_write_end(e);
}

static int save_resume(struct vfm_engine *e)
{
	int ret = vfm_source_go_back(e, &e->err);

	if (!ret && e->origin == VFM_STATE_RUNNING)
		e->report.downtime_us = (vfm_now_ns() - e->stopped_ns) / 1000;
	return ret ? ret : vfm_engine_disarm(e, &e->err);
}

static const struct vfm_stage save_stages[] = {
	{ VFM_PHASE_SETUP, "setup", save_setup },
	{ VFM_PHASE_STOP, "stop", vfm_source_stop },
	{ VFM_PHASE_STOP_COPY, "stop-copy", save_data },
	{ VFM_PHASE_COMMIT, "resume", save_resume },
};

VFM_API int vfm_save(struct vfm_device *dev, int fd, const struct vfm_migrate_opts *opts,
		     struct vfm_migration_report *report, struct vfm_err *err)
{
	struct vfm_engine e;
	int ret = vfm_engine_init(&e, dev, NULL, fd, opts);

	if (!ret)
		ret = vfm_engine_run(&e, save_stages, VFM_ARRAY_SIZE(save_stages));
	if (ret)
		vfm_source_recover(&e);
	return vfm_engine_finish(&e, ret, report, err);
}
