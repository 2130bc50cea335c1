// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A decision, carried out at a device. What the device is found in is looked at
 * first: where it cannot be what the journal means, it is left alone. What nobody can
 * see here is a device that was begun anew meanwhile, in RUNNING and empty.
 */

#include "engine/recover.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

#define IN(state) (1u << VFM_STATE_##state)
#define ANY 0xffffffffu
#define SAVING (IN(STOP) | IN(STOP_COPY) | IN(PRE_COPY) | IN(PRE_COPY_P2P) | IN(RUNNING_P2P))

enum act { ACT_LEAVE, ACT_RUN, ACT_STOP, ACT_RESET, ACT_REFUSE };

/* The first row that fits counts. */
static const struct {
	enum vfm_handover want;
	unsigned int found;
	enum act act;
} acts[] = {
	{ VFM_HANDOVER_KEPT, IN(RUNNING), ACT_LEAVE },
	{ VFM_HANDOVER_KEPT, SAVING, ACT_RUN },
	{ VFM_HANDOVER_KEPT, ANY, ACT_REFUSE },
	/* one that is in ERROR runs no more either */
	{ VFM_HANDOVER_GIVEN, IN(STOP) | IN(ERROR), ACT_LEAVE },
	{ VFM_HANDOVER_GIVEN, IN(RUNNING) | SAVING, ACT_STOP },
	{ VFM_HANDOVER_GIVEN, ANY, ACT_REFUSE },
	{ VFM_HANDOVER_RUNNING, IN(RUNNING), ACT_LEAVE },
	{ VFM_HANDOVER_RUNNING, IN(STOP), ACT_RUN },
	{ VFM_HANDOVER_RUNNING, ANY, ACT_REFUSE },
	{ VFM_HANDOVER_RESET, IN(STOP) | IN(RESUMING) | IN(ERROR), ACT_RESET },
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

static int do_act(struct vfm_device *dev, enum act act, bool paused, enum vfm_state found,
		  struct vfm_err *err)
{
	switch (act) {
	case ACT_LEAVE:
		return 0;
	case ACT_RUN:
		return vfm_device_set_state(dev, paused ? VFM_STATE_STOP : VFM_STATE_RUNNING, err);
	case ACT_STOP:
		return vfm_device_set_state(dev, VFM_STATE_STOP, err);
	case ACT_RESET:
		return vfm_device_reset(dev, err);
	case ACT_REFUSE:
		break;
	}
	return vfm_fail(err, -EINVAL, "it is in %s, where it cannot be what was moved",
			vfm_state_name(found));
}

static int bring_one(const struct vfm_recover_opts *opts, const char *uri, bool paused,
		     enum vfm_handover want, enum vfm_state *state, struct vfm_err *err)
{
	struct vfm_device *dev;
	int ret = opts->open(&dev, uri, err);

	*state = VFM_STATE_ERROR;
	if (ret)
		return ret;
	ret = vfm_device_get_state(dev, state, err);
	if (!ret)
		ret = do_act(dev, find_act(want, *state), paused, *state, err);
	if (vfm_device_get_state(dev, state, NULL))
		*state = VFM_STATE_ERROR;
	vfm_device_close(dev);
	return ret;
}

/* One that fails keeps no other from where it must be: the first failure is told. */
int vfm_recover_device(const struct vfm_recover_opts *opts, const struct vfm_journal *j,
		       enum vfm_handover want, enum vfm_state *state, struct vfm_err *err)
{
	bool paused = j->flags & VFM_JOURNAL_PAUSED;
	enum vfm_state found;
	struct vfm_err other;
	int first = 0;

	for (size_t i = 0; i < j->head.nr_uris; i++) {
		int ret = bring_one(opts, j->head.uris[i], paused, want, &found,
				    first ? &other : err);

		if (!i || (ret && !first))
			*state = found;
		if (!ret || first)
			continue;
		vfm_fail_prefix(err, "%s", j->head.uris[i]);
		first = ret;
	}
	return first;
}

enum vfm_state vfm_recover_look(const struct vfm_recover_opts *opts, const struct vfm_journal *j)
{
	enum vfm_state state;
	struct vfm_device *dev;

	if (opts->open(&dev, j->head.uris[0], NULL))
		return VFM_STATE_ERROR;
	if (vfm_device_get_state(dev, &state, NULL))
		state = VFM_STATE_ERROR;
	vfm_device_close(dev);
	return state;
}
