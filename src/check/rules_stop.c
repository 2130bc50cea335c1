// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about a device that is stopped: who manages it must still reach it. That it touches
 * nothing is in rules_stop_dma.c and rules_irq.c.
 *
 * What surprises: some of these look as if nobody could get them wrong. A library that many
 * devices are made with refuses nearly everything while a device is stopped.
 */

#include "check/check.h"

#include "base/util.h"
#include "check/memory.h"

static const enum vfm_state stopped[] = { VFM_STATE_STOP, VFM_STATE_STOP_COPY, VFM_STATE_RESUMING };
static const enum vfm_state restoring[] = { VFM_STATE_STOP, VFM_STATE_RESUMING };
static const enum vfm_state peers[] = { VFM_STATE_RUNNING_P2P, VFM_STATE_PRE_COPY_P2P };

/* ---- descriptions -------------------------------------------------------------------- */

/* All of it; only the first part is compared. */
static int describe(struct vfm_trial *t, struct vfm_device_info *info, struct vfm_err *err)
{
	struct vfm_region region;
	struct vfm_irq irq;
	int ret = vfm_device_get_info(t->dev, info, err);

	for (uint32_t i = 0; !ret && i < info->nr_regions; i++)
		ret = vfm_device_get_region(t->dev, i, &region, err);
	for (uint32_t i = 0; !ret && i < info->nr_irqs; i++)
		ret = vfm_device_get_irq(t->dev, i, &irq, err);
	return ret;
}

static int infos_in(struct vfm_trial *t, enum vfm_state state, void *seen)
{
	struct vfm_device_info info;
	struct vfm_err err;

	(void)seen;
	if (describe(t, &info, &err))
		return vfm_trial_fail(t, "in %s the device cannot be described: %s",
				      vfm_state_name(state), err.msg);
	if (info.flags != t->info.flags || info.nr_regions != t->info.nr_regions ||
	    info.nr_irqs != t->info.nr_irqs)
		return vfm_trial_fail(t,
				      "in %s it has %u regions, %u interrupts and flags 0x%x; in "
				      "RUNNING %u, %u and 0x%x",
				      vfm_state_name(state), info.nr_regions, info.nr_irqs,
				      info.flags, t->info.nr_regions, t->info.nr_irqs,
				      t->info.flags);
	return 0;
}

/* The successor of a monitor that died has nobody to have asked before. */
static int infos_when_opened(struct vfm_trial *t, enum vfm_state state, void *seen)
{
	int ret = infos_in(t, state, seen);

	if (!ret)
		ret = vfm_trial_reopen(t);
	return ret ? ret : infos_in(t, state, seen);
}

static int infos_answer(struct vfm_trial *t)
{
	struct vfm_device_info info;
	struct vfm_err err;

	if (describe(t, &info, &err))
		return vfm_trial_blocked(t, &err);
	return vfm_trial_each(t, stopped, VFM_ARRAY_SIZE(stopped), infos_when_opened, NULL);
}

/* ---- configuration space ---------------------------------------------------------------- */

/* What tells which device this is: it has no reason ever to change. */
static const struct {
	uint64_t offset;
	const char *name;
} identity[] = {
	{ 0x00, "vendor and device" },
	{ 0x08, "class and revision" },
	{ 0x2c, "subsystem" },
};

static int read_identity(struct vfm_trial *t, uint32_t *words, struct vfm_err *err)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(identity); i++)
		ret = vfm_device_read_region(t->dev, VFM_PCI_CONFIG, identity[i].offset, &words[i],
					     sizeof(words[i]), err);
	return ret;
}

static int config_in(struct vfm_trial *t, enum vfm_state state, void *seen)
{
	const uint32_t *before = (const uint32_t *)seen;
	uint32_t now[VFM_ARRAY_SIZE(identity)];
	struct vfm_err err;

	if (read_identity(t, now, &err))
		return vfm_trial_fail(t, "in %s the configuration space cannot be read: %s",
				      vfm_state_name(state), err.msg);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(identity); i++)
		if (now[i] != before[i])
			return vfm_trial_fail(t, "in %s %s reads 0x%08x, in RUNNING 0x%08x",
					      vfm_state_name(state), identity[i].name, now[i],
					      before[i]);
	return 0;
}

static int config_answers(struct vfm_trial *t)
{
	uint32_t before[VFM_ARRAY_SIZE(identity)];
	struct vfm_err err;

	if (read_identity(t, before, &err))
		return vfm_trial_blocked(t, &err);
	return vfm_trial_each(t, stopped, VFM_ARRAY_SIZE(stopped), config_in, before);
}

#define COMMAND 0x04u
#define COMMAND_MEMORY (1u << 1)
#define COMMAND_MASTER (1u << 2)

/* Turn @bit over in the command register; whether it did. */
static int turn(struct vfm_trial *t, uint16_t bit, bool *turned, struct vfm_err *err)
{
	uint16_t before, want, now = 0;
	int ret = vfm_device_read_region(t->dev, VFM_PCI_CONFIG, COMMAND, &before, sizeof(before),
					 err);

	want = before ^ bit;
	if (!ret)
		ret = vfm_device_write_region(t->dev, VFM_PCI_CONFIG, COMMAND, &want, sizeof(want),
					      err);
	if (!ret)
		ret = vfm_device_read_region(t->dev, VFM_PCI_CONFIG, COMMAND, &now, sizeof(now),
					     err);
	*turned = !ret && (now & bit) == (want & bit);
	return ret;
}

static int write_config_in(struct vfm_trial *t, enum vfm_state state, void *seen)
{
	const uint16_t *bit = (const uint16_t *)seen;
	struct vfm_err err;
	bool turned;

	/* twice: it is as before afterwards */
	for (int i = 0; i < 2; i++) {
		if (turn(t, *bit, &turned, &err))
			return vfm_trial_fail(t,
					      "in %s the command register cannot be written and "
					      "read: %s",
					      vfm_state_name(state), err.msg);
		if (!turned)
			return vfm_trial_fail(t,
					      "in %s bit 0x%x of the command register was turned "
					      "over, and reads as before; in RUNNING it turns",
					      vfm_state_name(state), *bit);
	}
	return 0;
}

static int config_writes(struct vfm_trial *t)
{
	static const uint16_t bits[] = { COMMAND_MASTER, COMMAND_MEMORY };
	uint16_t bit = 0;
	struct vfm_err err;
	bool turned, back;

	for (size_t i = 0; !bit && i < VFM_ARRAY_SIZE(bits); i++) {
		if (turn(t, bits[i], &turned, &err) || turn(t, bits[i], &back, &err))
			return vfm_trial_blocked(t, &err);
		if (turned && back)
			bit = bits[i];
	}
	if (!bit)
		return vfm_trial_skip(t, "no bit of its command register can be changed");
	return vfm_trial_each(t, restoring, VFM_ARRAY_SIZE(restoring), write_config_in, &bit);
}

/* ---- other regions ------------------------------------------------------------------------ */

/* Which regions answer in RUNNING to a read of their first four bytes: bit by bit. */
static bool readable(struct vfm_trial *t, uint32_t index, struct vfm_err *err)
{
	uint32_t word;

	return !vfm_device_read_region(t->dev, index, 0, &word, sizeof(word), err);
}

static bool ordinary(struct vfm_trial *t, uint32_t index)
{
	struct vfm_region region;
	bool pci = t->info.flags & VFM_DEVICE_PCI;

	return !(pci && index >= VFM_PCI_ROM) &&
	       !vfm_device_get_region(t->dev, index, &region, NULL) && !region.type &&
	       region.size >= 4 && region.flags & VFM_REGION_READ;
}

static int regions_in(struct vfm_trial *t, enum vfm_state state, void *seen)
{
	const uint64_t *answers = (const uint64_t *)seen;
	struct vfm_err err;

	for (uint32_t i = 0; i < 64; i++)
		if (*answers >> i & 1 && !readable(t, i, &err))
			return vfm_trial_fail(t,
					      "4 bytes at the start of region %u can be read in "
					      "RUNNING, and not in %s: %s",
					      i, vfm_state_name(state), err.msg);
	return 0;
}

static int regions_answer(struct vfm_trial *t, const enum vfm_state *states, size_t nr)
{
	uint64_t answers = 0;

	for (uint32_t i = 0; i < VFM_MIN(t->info.nr_regions, 64); i++)
		if (ordinary(t, i) && readable(t, i, NULL))
			answers |= UINT64_C(1) << i;
	if (!answers)
		return vfm_trial_skip(t, "no region of it can be read");
	return vfm_trial_each(t, states, nr, regions_in, &answers);
}

static int registers_answer(struct vfm_trial *t)
{
	return regions_answer(t, stopped, VFM_ARRAY_SIZE(stopped));
}

static int p2p_registers_answer(struct vfm_trial *t)
{
	return regions_answer(t, peers, VFM_ARRAY_SIZE(peers));
}

/* ---- mappings ------------------------------------------------------------------------------ */

static int map_in(struct vfm_trial *t, enum vfm_state state, void *seen)
{
	const struct vfm_trial_memory *mem = (const struct vfm_trial_memory *)seen;
	struct vfm_err err;

	if (vfm_trial_try_map(t, mem, VFM_DMA_READ | VFM_DMA_WRITE, &err))
		return vfm_trial_fail(t, "in %s memory cannot be mapped: %s", vfm_state_name(state),
				      err.msg);
	if (vfm_device_unmap_dma(t->dev, mem->iova, mem->size, &err))
		return vfm_trial_fail(t, "in %s memory cannot be unmapped: %s",
				      vfm_state_name(state), err.msg);
	return 0;
}

static int maps_answer(struct vfm_trial *t)
{
	struct vfm_trial_memory mem;
	struct vfm_err err;
	int ret = vfm_trial_map(t, &mem, VFM_TRIAL_IOVA, 16 * VFM_TRIAL_PAGE);

	if (!ret && vfm_device_unmap_dma(t->dev, mem.iova, mem.size, &err))
		ret = vfm_trial_blocked(t, &err);
	return ret ? ret : vfm_trial_each(t, stopped, VFM_ARRAY_SIZE(stopped), map_in, &mem);
}

#define STOPPED_TEXT                                                                               \
	"Tried in STOP, STOP_COPY and RESUMING, after the same has worked in RUNNING.\n"

const struct vfm_rule vfm_rules_stop[] = {
	{
		.is = { .name = "v2.stop.infos-answer",
			.title = "a stopped device can be described",
			.source = "<vfmig/device.h>, vfm_device_get_info() and others: legal in "
				  "every state; vfio-user, DEVICE_GET_INFO and others have no "
				  "condition",
			.text = "Who attaches to a device that was left stopped, to recover it or "
				"to go on with a migration, begins with its description: device, "
				"regions, interrupts. If that is refused the device is lost to "
				"everybody but the one who stopped it.\n" STOPPED_TEXT,
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = infos_answer,
	},
	{
		.is = { .name = "v2.stop.config-answers",
			.title = "configuration space can be read while stopped",
			.source = "uAPI, enum vfio_device_mig_state, the arc to STOP: the driver "
				  "must respond to PCI configuration space in STOP",
			.text = "The kernel and a monitor read configuration space whenever they "
				"like. Compared are vendor and device, class, and subsystem, which "
				"no state changes.\n" STOPPED_TEXT,
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_CONFIG,
		.run = config_answers,
	},
	{
		.is = { .name = "v2.stop.config-writes",
			.title = "configuration space can be written in STOP and RESUMING",
			.source =
				"uAPI, enum vfio_device_mig_state, the arc to STOP: as for reads; "
				"QEMU, vfio_pci_load_config()",
			.text = "A monitor restores configuration space while the device is in "
				"RESUMING, before it runs: it writes the command register. If that "
				"write gets lost the restored device has no bus mastering, and "
				"what the guest sees is a device that hangs.\n"
				"A bit of the command register that can be turned over in RUNNING "
				"is turned over, read, and turned back.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_CONFIG,
		.run = config_writes,
	},
	{
		.is = { .name = "v2.stop.registers-answer",
			.title = "the other regions can be read while stopped",
			.source =
				"<vfmig/device.h>, vfm_device_read_region(): legal in every state; "
				"uAPI, the arc to STOP: an access in STOP must not lead to an "
				"error "
				"outside of the user",
			.text = "The guest does not run, but monitors and debuggers look. Read are "
				"the first four bytes of each BAR that answers in RUNNING: if that "
				"read does something in your device, leave this rule out.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_STOP_COPY,
		.run = registers_answer,
	},
	{
		.is = { .name = "v2.stop.maps-answer",
			.title = "memory can be mapped and unmapped while stopped",
			.source = "vfio-user, DMA_MAP and DMA_UNMAP have no condition; with kernel "
				  "VFIO they belong to the container and know no states",
			.text = "The memory of a destination is mapped when it likes, while the "
				"device resumes too. The memory of a source goes when the machine "
				"goes, and the device is stopped then.\n" STOPPED_TEXT,
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = maps_answer,
	},
	{
		.is = { .name = "v2.stop.p2p-registers-answer",
			.title = "a device in a P2P state answers its peers",
			.source = "uAPI, enum vfio_device_mig_state, RUNNING_P2P: the device must "
				  "respond to incoming accesses as in RUNNING",
			.text = "Other devices are not stopped yet, and access this one. Read are "
				"the first four bytes of each BAR that answers in RUNNING.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_P2P,
		.run = p2p_registers_answer,
	},
};
const size_t vfm_nr_rules_stop = VFM_ARRAY_SIZE(vfm_rules_stop);
