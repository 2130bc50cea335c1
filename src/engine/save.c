// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The device that is left: stopping it, reading it, and bringing it back. A
 * save is that and nothing else; send.c puts a destination in between.
 */

#include "engine/unit.h"

#include <errno.h>

#include "base/util.h"
#include "engine/pipe.h"

/* An arc may fail for a passing reason, and a device that stands still is worse than a call. */
#define BACK_ATTEMPTS 2

static int stop(struct vfm_member *m, int level)
{
	bool p2p = m->migration & VFM_MIGRATION_P2P;
	bool precopy = m->migration & VFM_MIGRATION_PRE_COPY;

	if (level == VFM_LEVEL_LAST)
		return vfm_member_set(m, VFM_STATE_STOP_COPY);
	if (p2p != (level == VFM_LEVEL_P2P))
		return 0;
	if (!p2p)
		return vfm_member_set(m, VFM_STATE_STOP_COPY);
	return vfm_member_set(m, precopy ? VFM_STATE_PRE_COPY_P2P : VFM_STATE_RUNNING_P2P);
}

int vfm_source_stop(struct vfm_engine *e)
{
	/* One that has stopped already reaches for nobody. */
	int level = e->nr_members == 1 || e->paused ? VFM_LEVEL_LAST : 0;
	int ret = 0;

	e->stopped_ns = vfm_now_ns();
	vfm_unit_touch(e);
	for (; !ret && level < VFM_NR_LEVELS; level++)
		ret = vfm_unit_has_level(e, level) ? vfm_unit_each(e, stop, level) : 0;
	return ret;
}

/* What level of the way back wants of a device that is in @state; that, if nothing. */
static enum vfm_state way_back(const struct vfm_member *m, enum vfm_state state, int level)
{
	bool p2p = m->migration & VFM_MIGRATION_P2P;

	if (level == VFM_LEVEL_LAST)
		return m->origin;
	if (vfm_state_is_active(state) || m->origin != VFM_STATE_RUNNING ||
	    p2p != (level == VFM_LEVEL_P2P))
		return state;
	return p2p ? VFM_STATE_RUNNING_P2P : VFM_STATE_RUNNING;
}

static int go_back_once(struct vfm_member *m, int level)
{
	enum vfm_state state;
	int ret = vfm_device_get_state(m->dev, &state, &m->err);

	if (ret)
		return ret;
	if (state == VFM_STATE_ERROR)
		return vfm_fail(&m->err, -EIO, "%s is in ERROR and must be reset",
				vfm_device_uri(m->dev));
	return vfm_member_set(m, (int)way_back(m, state, level));
}

static int go_back(struct vfm_member *m, int level)
{
	int attempts = 0, ret = 0;

	if (!m->touched)
		return 0;
	do {
		ret = go_back_once(m, level);
	} while (ret && ++attempts < BACK_ATTEMPTS);
	m->touched = ret || level != VFM_LEVEL_LAST;
	if (ret) {
		m->err.code = ret;
		vfm_fail_prefix(&m->err, "cannot go back to %s", vfm_state_name(m->origin));
	}
	return ret;
}

int vfm_source_go_back(struct vfm_engine *e, struct vfm_err *err)
{
	return vfm_unit_start(e, go_back, err);
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
	int ret = vfm_unit_ask(e);

	e->paused = e->members[0].origin == VFM_STATE_STOP;
	if (!ret)
		ret = vfm_unit_each(e, vfm_member_identify, 0);
	if (!ret)
		ret = vfm_engine_open_out(e);
	if (!ret)
		ret = vfm_engine_write_identities(e);
	if (!ret)
		ret = vfm_pipe_start(e);
	if (!ret && !e->paused)
		ret = vfm_unit_each(e, vfm_member_arm, VFM_ORPHAN_RUN);
	return ret;
}

static int save_data(struct vfm_engine *e)
{
	int ret = vfm_data_drain(e);

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
	int ret = vfm_engine_init(&e, &VFM_UNIT_OF(dev, NULL), fd, opts);

	if (!ret)
		ret = vfm_engine_run(&e, save_stages, VFM_ARRAY_SIZE(save_stages));
	if (ret)
		vfm_source_recover(&e);
	return vfm_engine_finish(&e, ret, report, err);
}
