// SPDX-License-Identifier: GPL-2.0-only
// Copyright (c) vfmig authors

/*
 * Parameters of the module: what the next device will be like. They are judged when
 * a device is made of them, not when they are set, since some depend on others.
 */

#include "vfmig_sim.h"

#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/moduleparam.h>
#include <linux/sizes.h>

static int set_size(const char *text, const struct kernel_param *kp)
{
	char *end;
	u64 value = memparse(text, &end);

	if (end == text || (*end && *end != '\n'))
		return -EINVAL;
	*(u64 *)kp->arg = value;
	return 0;
}

static int get_size(char *page, const struct kernel_param *kp)
{
	return sysfs_emit(page, "%llu\n", *(u64 *)kp->arg);
}

static const struct kernel_param_ops size_ops = { .set = set_size, .get = get_size };

static int set_faults(const char *text, const struct kernel_param *kp)
{
	return vfms_faults_parse(text, kp->arg);
}

static int get_faults(char *page, const struct kernel_param *kp)
{
	return vfms_faults_print(kp->arg, page);
}

static const struct kernel_param_ops fault_ops = { .set = set_faults, .get = get_faults };

static u64 state = SZ_1M;
module_param_cb(state, &size_ops, &state, 0644);
MODULE_PARM_DESC(state, "internal state, a multiple of 4K");

static u64 bar = SZ_1M;
module_param_cb(bar, &size_ops, &bar, 0644);
MODULE_PARM_DESC(bar, "memory BAR, a power of two from 8K");

static u64 initial = SZ_256K;
module_param_cb(initial, &size_ops, &initial, 0644);
MODULE_PARM_DESC(initial, "bytes of the state that are saved first");

static u64 dirty;
module_param_cb(dirty, &size_ops, &dirty, 0644);
MODULE_PARM_DESC(dirty, "bytes of the state that change in a second");

static u64 section = SZ_64K;
module_param_cb(section, &size_ops, &section, 0644);
MODULE_PARM_DESC(section, "data section of protocol v1, a multiple of 4K");

static u64 seed = 1;
module_param(seed, ullong, 0644);
MODULE_PARM_DESC(seed, "what the state begins as");

static uint vectors = 4;
module_param(vectors, uint, 0644);
MODULE_PARM_DESC(vectors, "MSI-X vectors");

static uint features = VFMS_FEATURES_ALL;
module_param(features, uint, 0644);
MODULE_PARM_DESC(features, "migration flags of protocol v2: 1, 3, 5 or 7");

static uint arc_us;
module_param(arc_us, uint, 0644);
MODULE_PARM_DESC(arc_us, "microseconds that each step between states takes");

static uint uapi;
module_param(uapi, uint, 0644);
MODULE_PARM_DESC(uapi, "0: the type decides; 1: v1, 2: v2, 3: both");

static uint section_map;
module_param(section_map, uint, 0644);
MODULE_PARM_DESC(section_map, "data section of v1: 0 trapped, 1 mapped, 2 its first half");

static bool iobar = true;
module_param(iobar, bool, 0644);
MODULE_PARM_DESC(iobar, "I/O window in BAR5");

static char *dma = "rw";
module_param(dma, charp, 0644);
MODULE_PARM_DESC(dma, "rw: copies; pin: pages that are written stay pinned");

static int log = -1;
module_param(log, int, 0644);
MODULE_PARM_DESC(log, "DMA logging: 0 no, 1 yes, -1 if this kernel can report one");

static uint instances = 16;
module_param(instances, uint, 0444);
MODULE_PARM_DESC(instances, "devices at most");

static DECLARE_BITMAP(fault, VFMS_NR_FAULTS);
module_param_cb(fault, &fault_ops, fault, 0644);
MODULE_PARM_DESC(fault, "names of bugs, separated by commas");

static bool pages_ok(u64 bytes, u64 min, u64 max)
{
	return bytes >= min && bytes <= max && bytes % VFMS_PAGE == 0;
}

/* What cannot be, or NULL. */
static const char *judge(const struct vfms_params *p)
{
	if (!pages_ok(p->state, VFMS_PAGE, SZ_1G))
		return "state= is no multiple of 4K up to 1G";
	if (!pages_ok(p->bar, 2 * VFMS_PAGE, SZ_256M) || !is_power_of_2(p->bar))
		return "bar= is no power of two from 8K to 256M";
	if (!pages_ok(p->initial, 0, p->state))
		return "initial= is no multiple of 4K up to state=";
	if (!pages_ok(p->section, VFMS_PAGE, SZ_16M))
		return "section= is no multiple of 4K up to 16M";
	if (p->dirty > VFMS_RATE_MAX)
		return "dirty= is more than 64G";
	if (!p->vectors || p->vectors > VFMS_MAX_VECTORS)
		return "vectors= is not 1 to 128";
	if (!(p->features & VFIO_MIGRATION_STOP_COPY) || p->features & ~VFMS_FEATURES_ALL)
		return "features= is not 1, 3, 5 or 7";
	if (p->arc_us > USEC_PER_SEC)
		return "arc_us= is more than a second";
	if (!p->uapi || p->uapi & ~(VFMS_UAPI_V1 | VFMS_UAPI_V2))
		return "uapi= is not 0 to 3";
	if (p->section_map > SECTION_HALF)
		return "section_map= is not 0 to 2";
	return NULL;
}

int vfms_params_take(struct vfms_params *p, u32 type_uapi, unsigned long *faults,
		     struct device *dev)
{
	bool rw, pin;
	const char *wrong;

	kernel_param_lock(THIS_MODULE);
	*p = (struct vfms_params){
		.state = state,
		.bar = bar,
		.initial = initial,
		.dirty = dirty,
		.seed = seed,
		.vectors = vectors,
		.features = features,
		.arc_us = arc_us,
		.uapi = uapi ? uapi : type_uapi,
		.section = section > U32_MAX ? 0 : section,
		.section_map = section_map,
		.iobar = iobar,
		.log = log < 0 ? VFMS_CAN_REPORT : log,
	};
	rw = sysfs_streq(dma, "rw");
	pin = sysfs_streq(dma, "pin");
	bitmap_copy(faults, fault, VFMS_NR_FAULTS);
	kernel_param_unlock(THIS_MODULE);

	p->pin = pin;
	wrong = rw || pin ? judge(p) : "dma= is neither rw nor pin";
	if (!wrong)
		return 0;
	dev_err(dev, "vfmig_sim: parameter %s\n", wrong);
	return -EINVAL;
}

unsigned int vfms_params_instances(void)
{
	return instances;
}
