// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Bugs of what a device says that it can do. */

#include "wrap/wrap.h"

#include <errno.h>

#include "base/util.h"

/* ---- features ----------------------------------------------------------------------- */

static int masked_features(struct vfm_device *dev, uint64_t mask, uint64_t *migration,
			   struct vfm_err *err)
{
	int ret = vfm_pass_get_migration(dev, migration, err);

	*migration &= mask;
	return ret;
}

static int no_stop_copy(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err)
{
	return masked_features(dev, VFM_MIGRATION_P2P, migration, err);
}

static int only_while_running(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err)
{
	bool running = vfm_state_is_active(vfm_fault_state(dev));

	return masked_features(dev, running ? UINT64_MAX : ~VFM_MIGRATION_PRE_COPY, migration, err);
}

static int hides_precopy(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err)
{
	return masked_features(dev, ~VFM_MIGRATION_PRE_COPY, migration, err);
}

static int refuse(const char *what, struct vfm_err *err)
{
	return vfm_fail(err, -EINVAL, "%s: refused", what);
}

static int refuses_precopy(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	return vfm_state_is_precopy(state) ? refuse("set state", err)
					   : vfm_pass_set_state(dev, state, err);
}

static int zero_precopy_info(struct vfm_device *dev, struct vfm_precopy_info *info,
			     struct vfm_err *err)
{
	(void)dev;
	(void)err;
	*info = (struct vfm_precopy_info){ 0 };
	return 0;
}

static int refuses_p2p(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	bool p2p = state == VFM_STATE_RUNNING_P2P || state == VFM_STATE_PRE_COPY_P2P;

	return p2p ? refuse("set state", err) : vfm_pass_set_state(dev, state, err);
}

/* ---- no migration ------------------------------------------------------------------- */

static int cannot_migrate(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err)
{
	(void)dev;
	(void)migration;
	return vfm_fail(err, -ENOTTY, "the firmware cannot migrate");
}

/* What the driver would have set up, had the firmware the capability. */
static int uses_what_is_not_there(struct vfm_device *dev, enum vfm_state *state,
				  struct vfm_err *err)
{
	const enum vfm_state *volatile set_up = (const enum vfm_state *)vfm_fault_of(dev)->held;

	(void)err;
	*state = *set_up;
	return 0;
}

/* ---- answers -------------------------------------------------------------------------- */

static int no_reset(struct vfm_device *dev, struct vfm_err *err)
{
	(void)dev;
	return vfm_fail(err, -ENOTTY, "the device has no reset");
}

static int unknown_protocol(struct vfm_device *dev, struct vfm_protocol *protocol,
			    struct vfm_err *err)
{
	(void)dev;
	(void)err;
	*protocol = (struct vfm_protocol){ .version = 3 };
	return 0;
}

/* As long as nobody has asked for a state. */
static int begins_in_stop(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	int ret = vfm_pass_get_state(dev, state, err);

	if (!ret && !vfm_fault_of(dev)->flag)
		*state = VFM_STATE_STOP;
	return ret;
}

static int left_the_begin(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	vfm_fault_of(dev)->flag = true;
	return vfm_pass_set_state(dev, state, err);
}

/* ---- the table -------------------------------------------------------------------------- */

const struct vfm_bug vfm_bugs_discovery[] = {
	{
		.is = { .name = "features-without-stop-copy",
			.title = "the features claim P2P alone",
			.where = "" },
		.rules = { "v2.discovery.legal-features" },
		.needs = VFM_MIGRATION_P2P,
		.ops = { .get_migration = no_stop_copy },
	},
	{
		.is = { .name = "features-by-state",
			.title = "PRE_COPY is not among the features while the device is stopped",
			.where = "" },
		.rules = { "v2.discovery.stable-features" },
		.needs = VFM_MIGRATION_PRE_COPY,
		.ops = { .get_migration = only_while_running },
	},
	{
		.is = { .name = "p2p-claimed",
			.title = "the features claim P2P, and its states are refused",
			.where = "" },
		.rules = { "v2.discovery.features-work", "v2.arc.all-paths",
			   "v2.arc.from-resuming" },
		.needs = VFM_MIGRATION_P2P,
		.ops = { .set_state = refuses_p2p },
	},
	{
		.is = { .name = "operations-without-capability",
			.title = "a device without the capability crashes when its state is read",
			.where = "Linux, mlx5, CVE-2022-50117" },
		.rules = { "v2.discovery.no-migration-refused" },
		.ops = { .get_migration = cannot_migrate, .get_state = uses_what_is_not_there },
	},
	{
		.is = { .name = "pre-copy-info-without-pre-copy",
			.title = "pre-copy info is told where there is no pre-copy",
			.where = "" },
		.rules = { "v2.discovery.no-pre-copy-info-refused" },
		.needs = VFM_MIGRATION_PRE_COPY,
		.ops = { .get_migration = hides_precopy,
			 .set_state = refuses_precopy,
			 .get_precopy_info = zero_precopy_info },
	},
	{
		.is = { .name = "reset-flag-alone",
			.title = "the device says that it can be reset, and cannot",
			.where = "" },
		.rules = { "v2.discovery.reset-flag" },
		.ops = { .reset = no_reset },
	},
	{
		.is = { .name = "protocol-3",
			.title = "the device claims a protocol that there is not",
			.where = "" },
		.rules = { "v2.discovery.protocol-told" },
		.ops = { .get_protocol = unknown_protocol },
	},
	{
		.is = { .name = "begins-in-stop",
			.title = "the device is in STOP when it is opened",
			.where = "libvfio-user, issue 779: the initial state is not specified" },
		.rules = { "v2.discovery.found-running", "v2.race.close-and-reopen" },
		.ops = { .get_state = begins_in_stop, .set_state = left_the_begin },
	},
};
const size_t vfm_nr_bugs_discovery = VFM_ARRAY_SIZE(vfm_bugs_discovery);
