// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A decision, carried out at the devices of a journal: each where it can be, in the order in
 * which they start or stop in a migration. What a device is found in is looked at
 * first: where it cannot be what the journal means, it is left alone. What nobody can
 * see here is a device that was begun anew meanwhile, in RUNNING and empty.
 */

#include "engine/recover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "engine/unit.h"

#define IN(state) (1u << VFM_STATE_##state)
#define ANY 0xffffffffu
#define SAVING (IN(STOP) | IN(STOP_COPY) | IN(PRE_COPY) | IN(PRE_COPY_P2P) | IN(RUNNING_P2P))

enum act { ACT_LEAVE, ACT_DO, ACT_REFUSE };

/* The first row that fits counts. */
static const struct {
	enum vfm_handover want;
	unsigned int found;
	enum act act;
} acts[] = {
	{ VFM_HANDOVER_KEPT, IN(RUNNING), ACT_LEAVE },
	{ VFM_HANDOVER_KEPT, SAVING, ACT_DO },
	{ VFM_HANDOVER_KEPT, ANY, ACT_REFUSE },
	/* one that is in ERROR runs no more either */
	{ VFM_HANDOVER_GIVEN, IN(STOP) | IN(ERROR), ACT_LEAVE },
	{ VFM_HANDOVER_GIVEN, IN(RUNNING) | SAVING, ACT_DO },
	{ VFM_HANDOVER_GIVEN, ANY, ACT_REFUSE },
	{ VFM_HANDOVER_RUNNING, IN(RUNNING), ACT_LEAVE },
	{ VFM_HANDOVER_RUNNING, IN(STOP) | IN(RUNNING_P2P), ACT_DO },
	{ VFM_HANDOVER_RUNNING, ANY, ACT_REFUSE },
	{ VFM_HANDOVER_RESET, IN(STOP) | IN(RESUMING) | IN(ERROR), ACT_DO },
	/* it was reset already, or serves somebody else by now */
	{ VFM_HANDOVER_RESET, ANY, ACT_LEAVE },
};

static enum act find_act(enum vfm_handover want, enum vfm_state found)
{
	for (size_t i = 0; i < VFM_ARRAY_SIZE(acts); i++)
		if (acts[i].want == want && acts[i].found >> found & 1)
			return acts[i].act;
	return ACT_REFUSE;
}

/* ---- all devices of a journal ------------------------------------------------ */

/* One that cannot be opened keeps no other from where it must be. */
static int open_all(struct vfm_device **devs, const struct vfm_recover_opts *opts,
		    const struct vfm_journal_head *head, struct vfm_err *err)
{
	struct vfm_err why;
	int first = 0;

	for (size_t i = 0; i < head->nr_uris; i++) {
		int ret = opts->open(&devs[i], head->uris[i], &why);

		if (!ret)
			continue;
		devs[i] = NULL;
		if (first)
			continue;
		first = ret;
		vfm_fail(err, ret, "%.128s: %.300s", head->uris[i], why.msg);
	}
	return first;
}

static void close_all(struct vfm_device **devs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		vfm_device_close(devs[i]);
	free((void *)devs);
}

/* An engine for those that are open, each with the number that it has in its unit. */
static int begin(struct vfm_engine *e, struct vfm_device **devs, size_t count)
{
	struct vfm_device *open[VFM_UNIT_MAX];
	unsigned int index[VFM_UNIT_MAX] = { 0 };
	struct vfm_unit unit = { .size = sizeof(unit), .devs = open };
	int ret;

	for (size_t i = 0; i < count; i++) {
		if (!devs[i])
			continue;
		index[unit.nr_devs] = (unsigned int)i;
		open[unit.nr_devs++] = devs[i];
	}
	if (!unit.nr_devs)
		return -ENODEV; /* and why has been told */
	ret = vfm_engine_init(e, &unit, -1, NULL);
	for (size_t i = 0; i < e->nr_members; i++)
		e->members[i].index = index[i];
	return ret ? ret : vfm_unit_hands(e);
}

/* One that has to be brought somewhere is touched. @want: an enum vfm_handover */
static int look(struct vfm_member *m, int want)
{
	enum vfm_state found;
	enum act act;
	int ret = vfm_device_get_migration(m->dev, &m->migration, &m->err);

	if (!ret)
		ret = vfm_device_get_state(m->dev, &found, &m->err);
	if (ret)
		return ret;
	act = find_act((enum vfm_handover)want, found);
	if (act == ACT_REFUSE)
		return vfm_fail(&m->err, -EINVAL, "it is in %s, where it cannot be what was moved",
				vfm_state_name(found));
	m->touched = act == ACT_DO;
	return 0;
}

static int stop(struct vfm_member *m, int unused)
{
	(void)unused;
	return m->touched ? vfm_member_set(m, VFM_STATE_STOP) : 0;
}

/* What is wanted of those that are touched. */
static int act_on(struct vfm_engine *e, enum vfm_handover want, struct vfm_err *err)
{
	if (want == VFM_HANDOVER_GIVEN)
		return vfm_unit_all(e, stop, 0, err);
	if (want == VFM_HANDOVER_RESET)
		return vfm_unit_all(e, vfm_member_reset, 0, err);
	return vfm_source_go_back(e, err);
}

static int bring_all(struct vfm_engine *e, enum vfm_handover want, bool paused, struct vfm_err *err)
{
	struct vfm_err second;
	int looked, acted;

	for (size_t i = 0; i < e->nr_members; i++)
		e->members[i].origin = paused ? VFM_STATE_STOP : VFM_STATE_RUNNING;
	looked = vfm_unit_all(e, look, (int)want, err);
	acted = act_on(e, want, &second);
	if (acted && looked)
		vfm_err_also(err, &second);
	else if (acted)
		*err = second;
	return looked ? looked : acted;
}

static int bring(struct vfm_device **devs, const struct vfm_journal *j, enum vfm_handover want,
		 enum vfm_state *state, struct vfm_err *err)
{
	struct vfm_migration_report report;
	struct vfm_engine e = { 0 };
	int ret = begin(&e, devs, j->head.nr_uris);

	if (ret == -ENODEV)
		return ret;
	if (ret)
		*err = e.err;
	else
		ret = bring_all(&e, want, j->flags & VFM_JOURNAL_PAUSED, err);
	if (ret && e.nr_members == 1)
		vfm_fail_prefix(err, "%.128s", vfm_device_uri(e.members[0].dev));
	ret = vfm_engine_finish(&e, ret, &report, NULL);
	*state = report.state;
	return ret;
}

int vfm_recover_device(const struct vfm_recover_opts *opts, const struct vfm_journal *j,
		       enum vfm_handover want, enum vfm_state *state, struct vfm_err *err)
{
	struct vfm_device **devs = calloc(j->head.nr_uris, sizeof(*devs));
	struct vfm_err second = { 0 };
	int ret, brought;

	*state = VFM_STATE_ERROR;
	if (!devs)
		return vfm_fail(err, -ENOMEM, "recover devices: no memory");
	ret = open_all(devs, opts, &j->head, err);
	brought = bring(devs, j, want, state, &second);
	close_all(devs, j->head.nr_uris);
	if (!ret)
		*err = second;
	else
		*state = VFM_STATE_ERROR;
	return ret ? ret : brought;
}

enum vfm_state vfm_recover_look(const struct vfm_recover_opts *opts, const struct vfm_journal *j)
{
	enum vfm_state all = VFM_STATE_ERROR, state;

	for (size_t i = 0; i < j->head.nr_uris; i++) {
		struct vfm_device *dev;
		int ret;

		if (opts->open(&dev, j->head.uris[i], NULL))
			return VFM_STATE_ERROR;
		ret = vfm_device_get_state(dev, &state, NULL);
		vfm_device_close(dev);
		if (ret || (i && state != all))
			return VFM_STATE_ERROR;
		all = state;
	}
	return all;
}
