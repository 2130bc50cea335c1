// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* What is done to one device, in the form in which unit.c does it to all. */

#include "engine/member.h"

#include <errno.h>

#include "base/util.h"
#include "protocol/v2.h"

unsigned int vfm_count_arcs(uint64_t migration, enum vfm_state from, enum vfm_state to)
{
	unsigned int count = 0;

	while (from != to && !vfm_next_state(migration, from, to, &from))
		count++;
	return count;
}

int vfm_member_ask(struct vfm_member *m, int unused)
{
	struct vfm_protocol protocol;
	int ret = vfm_device_get_migration(m->dev, &m->migration, &m->err);

	(void)unused;
	if (!ret)
		ret = vfm_device_get_protocol(m->dev, &protocol, &m->err);
	if (!ret)
		ret = vfm_device_get_state(m->dev, &m->origin, &m->err);
	if (ret)
		return ret;
	m->protocol = protocol.version;
	if (m->origin == VFM_STATE_RUNNING || m->origin == VFM_STATE_STOP)
		return 0;
	return vfm_fail(&m->err, -EINVAL, "%s is in %s, and must be in RUNNING or STOP",
			vfm_device_uri(m->dev), vfm_state_name(m->origin));
}

int vfm_member_identify(struct vfm_member *m, int unused)
{
	(void)unused;
	return vfm_identity_get(&m->identity, m->dev, &m->err);
}

int vfm_member_walk(struct vfm_member *m, int state)
{
	uint64_t start = vfm_now_ns();
	int ret = vfm_member_set(m, state);

	if (!ret) {
		m->arcs.count += vfm_count_arcs(m->migration, m->origin, (enum vfm_state)state);
		m->arcs.ns += (double)(vfm_now_ns() - start);
	}
	return ret;
}

int vfm_member_set(struct vfm_member *m, int state)
{
	return vfm_device_set_state(m->dev, (enum vfm_state)state, &m->err);
}

int vfm_member_reset(struct vfm_member *m, int unused)
{
	int ret = m->touched ? vfm_device_reset(m->dev, &m->err) : 0;

	(void)unused;
	if (ret)
		vfm_fail_prefix(&m->err, "reset");
	return ret;
}

int vfm_member_arm(struct vfm_member *m, int orphan)
{
	int ret = vfm_device_set_orphan(m->dev, (enum vfm_orphan)orphan, &m->err);

	if (!ret)
		m->armed = true;
	return ret == -ENOTTY ? 0 : ret;
}

int vfm_member_disarm(struct vfm_member *m, int unused)
{
	int ret;

	(void)unused;
	if (!m->armed)
		return 0;
	ret = vfm_device_set_orphan(m->dev, VFM_ORPHAN_KEEP, &m->err);
	if (!ret)
		m->armed = false;
	return ret;
}
