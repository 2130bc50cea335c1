// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * All devices of a unit: steps are done to each of them, and what goes wrong is told with
 * the device that it went wrong with.
 */

#include "engine/engine.h"

#include <errno.h>

#include "base/util.h"

/* What is said of a device of several begins with which one it is. */
static void name_member(const struct vfm_engine *e, const struct vfm_member *m, struct vfm_err *err)
{
	if (e->nr_members > 1)
		vfm_fail_prefix(err, "device %u (%.128s)", m->index, vfm_device_uri(m->dev));
}

int vfm_unit_failed(struct vfm_engine *e, const struct vfm_member *m, int ret)
{
	e->err = m->err;
	name_member(e, m, &e->err);
	return ret;
}

int vfm_unit_each(struct vfm_engine *e, vfm_step *step, int what)
{
	for (size_t i = 0; i < e->nr_members; i++) {
		struct vfm_member *m = &e->members[i];
		int ret = step(m, what);

		if (ret)
			return vfm_unit_failed(e, m, ret);
	}
	return 0;
}

int vfm_unit_all(struct vfm_engine *e, vfm_step *step, int what, struct vfm_err *err)
{
	int first = 0;

	for (size_t i = 0; i < e->nr_members; i++) {
		struct vfm_member *m = &e->members[i];
		int ret = step(m, what);

		if (!ret)
			continue;
		name_member(e, m, &m->err);
		if (first)
			vfm_err_also(err, &m->err);
		else
			*err = m->err;
		first = first ? first : ret;
	}
	return first;
}

bool vfm_unit_has(const struct vfm_engine *e, uint64_t migration)
{
	for (size_t i = 0; i < e->nr_members; i++)
		if (e->members[i].migration & migration)
			return true;
	return false;
}

bool vfm_unit_touched(const struct vfm_engine *e)
{
	for (size_t i = 0; i < e->nr_members; i++)
		if (e->members[i].touched)
			return true;
	return false;
}

int vfm_unit_ask(struct vfm_engine *e)
{
	int ret = vfm_unit_each(e, vfm_member_ask, 0);

	for (size_t i = 0; i < e->nr_members; i++) {
		unsigned int protocol = e->members[i].protocol;

		if (!i || protocol < e->report.protocol)
			e->report.protocol = protocol;
	}
	return ret;
}
