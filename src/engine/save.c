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

static int stop(struct vfm_member *m, int unused)
{
	(void)unused;
	m->touched = true;
	return vfm_member_set(m, VFM_STATE_STOP_COPY);
}

int vfm_source_stop(struct vfm_engine *e)
{
	e->stopped_ns = vfm_now_ns();
	return vfm_unit_each(e, stop, 0);
}

ssize_t vfm_source_read(struct vfm_engine *e, struct vfm_member *m)
{
	uint64_t start = vfm_now_ns();
	size_t room = vfm_bucket_piece(&e->bucket, VFM_STREAM_PAYLOAD_MAX);
	void *buf;
	ssize_t n;
	bool end;
	int ret = vfm_engine_buffer(e, &buf);

	if (ret)
		return ret;
	n = vfm_device_read_chunk(m->dev, buf, room, &end, &m->err);
	if (n < 0)
		return n == -ENOMSG ? n : vfm_unit_failed(e, m, (int)n);
	if (!n)
		return 0;
	vfm_gauge_add(&m->save, (uint64_t)n, vfm_now_ns() - start);
	ret = vfm_engine_service(e);
	if (!ret)
		ret = vfm_engine_put(e, VFM_STREAM_DEVICE_DATA, end ? VFM_STREAM_CHUNK_END : 0, buf,
				     (size_t)n);
	if (ret)
		return ret;
	m->got += (uint64_t)n;
	vfm_engine_count(e, (uint64_t)n, 0, vfm_now_ns() - start);
	return n;
}

int vfm_source_drain(struct vfm_engine *e)
{
	struct vfm_member *m = &e->members[0];
	ssize_t n;

	m->got = 0;
	do {
		n = vfm_source_read(e, m);
	} while (n > 0);
	if (n == -ENOMSG)
		return vfm_fail(&e->err, -EPROTO,
				"%s says \"nothing now\" in STOP_COPY, where only an end is one",
				vfm_device_uri(m->dev));
	return (int)n;
}

static int go_back_once(struct vfm_member *m)
{
	enum vfm_state state;
	int ret = vfm_device_get_state(m->dev, &state, &m->err);

	if (ret)
		return ret;
	if (state == VFM_STATE_ERROR)
		return vfm_fail(&m->err, -EIO, "%s is in ERROR and must be reset",
				vfm_device_uri(m->dev));
	return vfm_member_set(m, (int)m->origin);
}

static int go_back(struct vfm_member *m, int unused)
{
	int ret = 0;

	(void)unused;
	for (int i = 0; m->touched && i < BACK_ATTEMPTS; i++) {
		ret = go_back_once(m);
		if (!ret)
			m->touched = false;
	}
	if (ret) {
		m->err.code = ret;
		vfm_fail_prefix(&m->err, "cannot go back to %s", vfm_state_name(m->origin));
	}
	return ret;
}

int vfm_source_go_back(struct vfm_engine *e, struct vfm_err *err)
{
	return vfm_unit_all(e, go_back, 0, err);
}

void vfm_source_recover(struct vfm_engine *e)
{
	struct vfm_err second;

	if (vfm_source_go_back(e, &second))
		vfm_engine_also(e, &second);
	else if (e->stopped_ns && !e->paused)
		e->report.downtime_us = (vfm_now_ns() - e->stopped_ns) / 1000;
	if (vfm_unit_all(e, vfm_member_disarm, 0, &second))
		vfm_engine_also(e, &second);
}

static int save_setup(struct vfm_engine *e)
{
	struct vfm_identity id;
	int ret = vfm_unit_ask(e);

	e->paused = e->members[0].origin == VFM_STATE_STOP;
	if (!ret)
		ret = vfm_identity_get(&id, e->members[0].dev, &e->err);
	if (!ret)
		ret = vfm_engine_open_out(e);
	if (!ret)
		ret = vfm_engine_write_identity(e, &id);
	if (!ret)
		ret = vfm_pipe_start(e);
	if (!ret && !e->paused)
		ret = vfm_unit_each(e, vfm_member_arm, VFM_ORPHAN_RUN);
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

	if (!ret && !e->paused)
		e->report.downtime_us = (vfm_now_ns() - e->stopped_ns) / 1000;
	return ret ? ret : vfm_unit_each(e, vfm_member_disarm, 0);
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
	int ret = vfm_engine_init(&e, &dev, 1, NULL, fd, opts);

	if (!ret)
		ret = vfm_engine_run(&e, save_stages, VFM_ARRAY_SIZE(save_stages));
	if (ret)
		vfm_source_recover(&e);
	return vfm_engine_finish(&e, ret, report, err);
}
