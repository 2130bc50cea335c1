// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about what a device says that it can do: the features of its migration, and that
 * what is advertised works, and what is not is refused. What it says of regions and
 * interrupts is in rules_describe.c.
 */

#include "check/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/util.h"
#include "protocol/v2.h"

/* ---- features --------------------------------------------------------------------- */

static int legal_features(struct vfm_trial *t)
{
	uint64_t migration;
	struct vfm_err err;
	int ret = vfm_device_get_migration(t->dev, &migration, &err);

	if (ret == -ENOTTY)
		return vfm_trial_skip(t, "the device cannot migrate");
	if (ret)
		return vfm_trial_fail(t, "the features cannot be read: %s", err.msg);
	if (vfm_migration_legal(migration))
		return 0;
	return vfm_trial_fail(t,
			      "the features are 0x%" PRIx64
			      "; they must be STOP_COPY (1), with or without P2P (2) and "
			      "PRE_COPY (4): 1, 3, 5 or 7",
			      migration);
}

static int same_features(struct vfm_trial *t, enum vfm_state state, void *user)
{
	struct vfm_err err;
	uint64_t now;

	(void)user;
	if (vfm_device_get_migration(t->dev, &now, &err))
		return vfm_trial_fail(t, "in %s the features cannot be read: %s",
				      vfm_state_name(state), err.msg);
	if (now != t->migration)
		return vfm_trial_fail(t,
				      "in %s the features are 0x%" PRIx64
				      "; in RUNNING they were 0x%" PRIx64,
				      vfm_state_name(state), now, t->migration);
	return 0;
}

static int stable_features(struct vfm_trial *t)
{
	int ret = vfm_trial_each_state(t, same_features, NULL);

	if (!ret)
		ret = vfm_trial_go(t, VFM_STATE_RUNNING);
	return ret ? ret : same_features(t, VFM_STATE_RUNNING, NULL);
}

static int features_work(struct vfm_trial *t)
{
	for (unsigned int i = VFM_STATE_ERROR + 1; i < VFM_NR_STATES; i++) {
		enum vfm_state state = (enum vfm_state)i;
		struct vfm_err err;
		int ret;

		if (!vfm_state_exists(t->migration, state))
			continue;
		ret = vfm_trial_go(t, VFM_STATE_RUNNING);
		if (ret)
			return ret;
		if (vfm_device_set_state(t->dev, state, &err))
			return vfm_trial_fail(
				t,
				"the features are 0x%" PRIx64
				", with which there is %s; going there from RUNNING failed: %s",
				t->migration, vfm_state_name(state), err.msg);
	}
	return 0;
}

/* ---- what is not there --------------------------------------------------------------- */

static int ask_state(struct vfm_device *dev)
{
	enum vfm_state state;

	return vfm_device_get_state(dev, &state, NULL);
}

static int ask_stop(struct vfm_device *dev)
{
	return vfm_device_set_state(dev, VFM_STATE_STOP, NULL);
}

static int ask_read(struct vfm_device *dev)
{
	uint8_t byte;

	return (int)vfm_device_read_data(dev, &byte, 1, NULL);
}

static int ask_write(struct vfm_device *dev)
{
	const uint8_t byte = 0;

	return vfm_device_write_data(dev, &byte, 1, NULL);
}

static int ask_precopy_info(struct vfm_device *dev)
{
	struct vfm_precopy_info info = { 0 };

	return vfm_device_get_precopy_info(dev, &info, NULL);
}

static int ask_data_size(struct vfm_device *dev)
{
	uint64_t bytes;

	return vfm_device_get_data_size(dev, &bytes, NULL);
}

static int without_migration(struct vfm_trial *t)
{
	static const struct {
		const char *what;
		int (*ask)(struct vfm_device *dev);
	} calls[] = {
		{ "reading the state", ask_state },
		{ "going to STOP", ask_stop },
		{ "reading the data session", ask_read },
		{ "writing the data session", ask_write },
		{ "asking what pre-copy has left", ask_precopy_info },
		{ "asking for the data size", ask_data_size },
	};
	uint64_t migration;
	int ret = 0;

	if (vfm_device_get_migration(t->dev, &migration, NULL) != -ENOTTY)
		return vfm_trial_skip(t, "the device does not say that it cannot migrate");
	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(calls); i++) {
		char what[96];

		snprintf(what, sizeof(what), "%s, of a device that says that it cannot migrate,",
			 calls[i].what);
		ret = vfm_trial_refused(t, calls[i].ask(t->dev), what);
	}
	return ret;
}

static int refuses_precopy_info(struct vfm_trial *t, enum vfm_state state, void *user)
{
	char what[96];

	(void)user;
	snprintf(what, sizeof(what), "in %s, of a device without PRE_COPY, pre-copy info",
		 vfm_state_name(state));
	return vfm_trial_refused(t, ask_precopy_info(t->dev), what);
}

static int without_precopy(struct vfm_trial *t)
{
	return vfm_trial_each_state(t, refuses_precopy_info, NULL);
}

/* ---- answers --------------------------------------------------------------------- */

static int reset_flag(struct vfm_trial *t)
{
	bool told = t->info.flags & VFM_DEVICE_RESET;
	struct vfm_err err;
	int ret = vfm_device_reset(t->dev, &err);

	if (told && ret)
		return vfm_trial_fail(t, "it says that it can be reset, and a reset failed: %s",
				      err.msg);
	if (!told && !ret)
		return vfm_trial_fail(t, "it says that it cannot be reset, and a reset succeeded");
	return 0;
}

static int protocol_told(struct vfm_trial *t)
{
	struct vfm_protocol p;
	struct vfm_err err;

	if (vfm_device_get_protocol(t->dev, &p, &err))
		return vfm_trial_fail(t, "it migrates, and does not tell its protocol: %s",
				      err.msg);
	if (p.version != 1 && p.version != 2)
		return vfm_trial_fail(t, "the protocol is said to be %u; there are 1 and 2",
				      p.version);
	if (p.version == 1 && p.mapped_size > p.region_size)
		return vfm_trial_fail(t,
				      "of %" PRIu64 " bytes of the migration region, %" PRIu64
				      " are said to be mapped",
				      p.region_size, p.mapped_size);
	return 0;
}

static int found_running(struct vfm_trial *t)
{
	int ret = vfm_trial_reopen(t);

	return ret ? ret
		   : vfm_trial_in_state(t, VFM_STATE_RUNNING,
					"it was closed in RUNNING and opened again");
}

/* ---- the table -------------------------------------------------------------------- */

/* The reset first: with one that does not work, a device may not come back from the others. */
const struct vfm_rule vfm_rules_discovery[] = {
	{
		.is = { .name = "v2.discovery.reset-flag",
			.title = "the device can be reset if it says so, and only then",
			.source = "uAPI, struct vfio_device_info: VFIO_DEVICE_FLAGS_RESET",
			.text = "A reset is the only way out of ERROR and out of a load that went "
				"wrong. Whoever relies on it has to know before.\n\n"
				"It is reset in RUNNING, whatever it says.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_AS_IT_IS,
		.run = reset_flag,
	},
	{
		.is = { .name = "v2.discovery.legal-features",
			.title = "the features of the migration are one of 1, 3, 5 and 7",
			.source = "uAPI, VFIO_DEVICE_FEATURE_MIGRATION: STOP_COPY is there always, "
				  "P2P and PRE_COPY may be",
			.text = "Users choose a path between states by these bits, and a set "
				"without "
				"STOP_COPY has no path at all. Bits that are not known today are "
				"refused by users that keep to the text.\n\n"
				"The features are read and compared with the four sets.\n",
			.severity = VFM_SEVERITY_MUST },
		.run = legal_features,
	},
	{
		.is = { .name = "v2.discovery.stable-features",
			.title = "the features do not depend on the state",
			.source =
				"<vfmig/device.h>, vfm_device_get_migration(): what the device can "
				"do, not what it can do now",
			.text = "A user reads them once. One that finds a device stopped, after a "
				"crash say, must see the same device.\n\n"
				"The features are read in every state, and in RUNNING again.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = stable_features,
	},
	{
		.is = { .name = "v2.discovery.features-work",
			.title = "every state that the features promise can be reached",
			.source = "uAPI, VFIO_DEVICE_FEATURE_MIGRATION: each bit says which states "
				  "are supported",
			.text = "A device that claims P2P is taken through RUNNING_P2P by every "
				"stop of "
				"its machine, migration or not; one that claims PRE_COPY through "
				"PRE_COPY by every migration.\n\n"
				"From RUNNING, it is sent to each state that the bits promise. "
				"Leave "
				"a bit out rather than to promise what is not done.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = features_work,
	},
	{
		.is = { .name = "v2.discovery.no-migration-refused",
			.title = "a device that cannot migrate refuses all of migration",
			.source = "uAPI, VFIO_DEVICE_FEATURE: a feature that is not supported is "
				  "ENOTTY; <vfmig/device.h>: -ENOTTY, it cannot do that at all",
			.text = "The operations of a driver are there also when the hardware, or "
				"its "
				"firmware, lacks the capability, and a call that reaches them then "
				"works on what was never made.\n\n"
				"If the device says that it cannot migrate, each operation of the "
				"migration is tried, and has to be refused.\n",
			.severity = VFM_SEVERITY_MUST },
		.run = without_migration,
	},
	{
		.is = { .name = "v2.discovery.no-pre-copy-info-refused",
			.title = "a device without PRE_COPY has no pre-copy info",
			.source = "uAPI, VFIO_MIG_GET_PRECOPY_INFO: legal in PRE_COPY and "
				  "PRE_COPY_P2P",
			.text = "An answer would be made of nothing.\n\n"
				"It is asked for in every state.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_NO_PRE_COPY,
		.run = without_precopy,
	},
	{
		.is = { .name = "v2.discovery.protocol-told",
			.title = "the migration protocol of the device itself is told",
			.source = "<vfmig/device.h>, vfm_device_get_protocol()",
			.text = "Over v1 there are things that cannot be done, and people want to "
				"know "
				"which protocol a device speaks.\n\n"
				"It is asked for, and must be 1 or 2; of 1, no more of the region "
				"is "
				"mapped than there is.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_STOP_COPY,
		.run = protocol_told,
	},
	{
		.is = { .name = "v2.discovery.found-running",
			.title = "a device that was never stopped is found RUNNING",
			.source = "uAPI, enum vfio_device_mig_state: RUNNING is the state after "
				  "open; "
				  "<vfmig/device.h>, vfm_open()",
			.text = "No text of vfio-user says it, and servers have begun in other "
				"states. A machine that starts with such a device has one that "
				"does nothing.\n\n"
				"In RUNNING, the device is closed and opened again.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = found_running,
	},
};
const size_t vfm_nr_rules_discovery = VFM_ARRAY_SIZE(vfm_rules_discovery);
