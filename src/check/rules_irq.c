// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about interrupts: that they come, that none comes from a device that is stopped, and
 * that wiring lasts.
 *
 * An interrupt that does not come can have many reasons. Before a rule says that it is its
 * own, another one is caused in a way that is not what the rule is about.
 */

#include "check/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "check/memory.h"

/* ---- wiring and waiting ---------------------------------------------------------------- */

/* @fd -1: take the listener away. */
static int wire_vector(struct vfm_trial *t, uint32_t index, uint32_t vector, int fd,
		       struct vfm_err *err)
{
	const struct vfm_irq_set set = { .flags = VFM_IRQ_SET_DATA_EVENTFD |
						  VFM_IRQ_SET_ACTION_TRIGGER,
					 .index = index,
					 .start = vector,
					 .count = 1,
					 .fds = &fd };

	return vfm_device_set_irqs(t->dev, &set, err);
}

static int wire(struct vfm_trial *t, int fd, struct vfm_err *err)
{
	return wire_vector(t, t->opts->exercise->irq_index, t->opts->exercise->irq_vector, fd, err);
}

static int turn_off(struct vfm_trial *t, struct vfm_err *err)
{
	const struct vfm_irq_set set = { .flags =
						 VFM_IRQ_SET_DATA_NONE | VFM_IRQ_SET_ACTION_TRIGGER,
					 .index = t->opts->exercise->irq_index };

	return vfm_device_set_irqs(t->dev, &set, err);
}

/* Whether one comes within that time; those that came are taken. */
static bool came(struct vfm_trial *t, int fd, unsigned int ms)
{
	uint64_t count;

	vfm_trial_serve(t, fd, ms);
	return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count);
}

static int cause(struct vfm_trial *t)
{
	struct vfm_err err;

	return t->opts->exercise->interrupt(t->exercise, t->dev, &err) ? vfm_trial_blocked(t, &err)
								       : 0;
}

static int new_eventfd(struct vfm_trial *t, int *fd)
{
	struct vfm_err err;

	*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (*fd >= 0)
		return 0;
	vfm_fail(&err, -errno, "no eventfd: %s", strerror(errno));
	return vfm_trial_blocked(t, &err);
}

static int blocked_by_silence(struct vfm_trial *t, const char *when)
{
	return vfm_trial_skip(t, "could not be tried: no interrupt comes %s", when);
}

/* The first index that takes an eventfd. */
static bool find_index(struct vfm_trial *t, uint32_t *index)
{
	struct vfm_irq irq;

	for (*index = 0; *index < t->info.nr_irqs; ++*index)
		if (!vfm_device_get_irq(t->dev, *index, &irq, NULL) && irq.count &&
		    irq.flags & VFM_IRQ_EVENTFD)
			return true;
	return false;
}

/* To a new descriptor, the vector of the exercise. */
static int wire_new(struct vfm_trial *t, int *fd)
{
	struct vfm_err err;
	int ret = new_eventfd(t, fd);

	return !ret && wire(t, *fd, &err) ? vfm_trial_blocked(t, &err) : ret;
}

/* To a new descriptor, the first vector of the first index that takes one. */
static int wire_any(struct vfm_trial *t, int *fd, uint32_t *index)
{
	struct vfm_err err;
	int ret;

	if (!find_index(t, index))
		return vfm_trial_skip(t, "no interrupt of it takes an eventfd");
	ret = new_eventfd(t, fd);
	return !ret && wire_vector(t, *index, 0, *fd, &err) ? vfm_trial_blocked(t, &err) : ret;
}

/* Wired to a new descriptor, and one has come. */
static int wired(struct vfm_trial *t, int *fd)
{
	int ret = wire_new(t, fd);

	if (!ret)
		ret = cause(t);
	if (!ret && !came(t, *fd, VFM_TRIAL_WAIT_MS))
		ret = blocked_by_silence(t, "in RUNNING");
	return ret;
}

/* None has come over the wiring of before. If one does over new wiring, that is what was lost. */
static int wiring_lost(struct vfm_trial *t, const char *after)
{
	vfm_auto_fd int fd = -1;
	int ret = wired(t, &fd);

	return ret ? ret
		   : vfm_trial_fail(t,
				    "%s an interrupt was caused, and none came in %u ms; wired "
				    "anew, it comes",
				    after, VFM_TRIAL_WAIT_MS);
}

/* One is caused and must come over the wiring that there is. */
static int still_comes(struct vfm_trial *t, int fd, const char *after)
{
	int ret = cause(t);

	if (ret || came(t, fd, VFM_TRIAL_WAIT_MS))
		return ret;
	return wiring_lost(t, after);
}

/* ---- of any device ------------------------------------------------------------------------ */

static int delivered(struct vfm_trial *t)
{
	vfm_auto_fd int fd = -1;
	int ret = wire_new(t, &fd);

	for (int i = 1; !ret && i <= 3; i++) {
		ret = cause(t);
		if (!ret && !came(t, fd, VFM_TRIAL_WAIT_MS))
			ret = vfm_trial_fail(
				t,
				"interrupt %d was caused, and the eventfd of index %u, "
				"vector %u was not signalled in %u ms",
				i, t->opts->exercise->irq_index, t->opts->exercise->irq_vector,
				VFM_TRIAL_WAIT_MS);
	}
	return ret;
}

static int silent(struct vfm_trial *t, int fd, const char *after)
{
	struct vfm_err err;

	/* a device that has nowhere to send one to may say so */
	if (t->opts->exercise->interrupt(t->exercise, t->dev, &err) && err.code == -ETIMEDOUT)
		return vfm_trial_blocked(t, &err);
	return came(t, fd, VFM_TRIAL_QUIET_MS)
		       ? vfm_trial_fail(t, "%s its eventfd was signalled again", after)
		       : 0;
}

static int unwired_silent(struct vfm_trial *t)
{
	vfm_auto_fd int fd = -1;
	struct vfm_err err;
	int ret = wired(t, &fd);

	if (!ret && wire(t, -1, &err))
		ret = vfm_trial_blocked(t, &err);
	if (!ret)
		ret = silent(t, fd, "the listener was taken away by descriptor -1;");
	if (!ret && (wire(t, fd, &err) || turn_off(t, &err)))
		ret = vfm_trial_blocked(t, &err);
	return ret ? ret : silent(t, fd, "the index was turned off;");
}

static int loopback(struct vfm_trial *t)
{
	const uint8_t yes = 1;
	struct vfm_irq_set sets[] = {
		{ .flags = VFM_IRQ_SET_DATA_NONE | VFM_IRQ_SET_ACTION_TRIGGER, .count = 1 },
		{ .flags = VFM_IRQ_SET_DATA_BOOL | VFM_IRQ_SET_ACTION_TRIGGER,
		  .count = 1,
		  .bools = &yes },
	};
	static const char *const names[] = { "NONE", "BOOL" };
	vfm_auto_fd int fd = -1;
	uint32_t index;
	struct vfm_err err;
	int ret = wire_any(t, &fd, &index);

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(sets); i++) {
		sets[i].index = index;
		if (vfm_device_set_irqs(t->dev, &sets[i], &err))
			ret = vfm_trial_fail(t, "DATA_%s with ACTION_TRIGGER on index %u: %s",
					     names[i], index, err.msg);
		else if (!came(t, fd, VFM_TRIAL_WAIT_MS))
			ret = vfm_trial_fail(
				t,
				"DATA_%s with ACTION_TRIGGER on index %u was accepted, "
				"and its eventfd not signalled",
				names[i], index);
	}
	return ret;
}

static int stays_over_reset(struct vfm_trial *t)
{
	vfm_auto_fd int fd = -1;
	int ret = wired(t, &fd);

	if (!ret)
		ret = vfm_trial_reset(t);
	if (!ret)
		ret = vfm_trial_begin_again(t);
	return ret ? ret : still_comes(t, fd, "after a reset:");
}

/* ---- of one that is stopped ------------------------------------------------------------------ */

static int none_when_stopped(struct vfm_trial *t)
{
	static const enum vfm_state states[] = { VFM_STATE_STOP, VFM_STATE_STOP_COPY,
						 VFM_STATE_RESUMING };
	vfm_auto_fd int fd = -1;
	int ret = wired(t, &fd);

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(states); i++) {
		bool told;

		ret = vfm_trial_go(t, states[i]);
		if (ret)
			return ret;
		came(t, fd, 0);
		told = !t->opts->exercise->interrupt(t->exercise, t->dev, NULL);
		if (came(t, fd, VFM_TRIAL_QUIET_MS))
			ret = vfm_trial_fail(t, "in %s an eventfd was signalled%s",
					     vfm_state_name(states[i]),
					     told ? ", when an interrupt was caused there" : "");
	}
	return ret;
}

/* Cause one while it is stopped; a device that cannot be told has nothing to keep. */
static int cause_stopped(struct vfm_trial *t, int fd)
{
	struct vfm_err err;
	int ret = vfm_trial_go(t, VFM_STATE_STOP);

	if (ret)
		return ret;
	came(t, fd, 0);
	if (t->opts->exercise->interrupt(t->exercise, t->dev, &err))
		return vfm_trial_skip(t, "no interrupt can be caused in STOP: %s", err.msg);
	return 0;
}

/* It must come now that the device runs, if any does. */
static int must_come(struct vfm_trial *t, int fd, const char *story)
{
	int ret;

	if (came(t, fd, VFM_TRIAL_WAIT_MS))
		return 0;
	ret = cause(t);
	if (ret)
		return ret;
	if (!came(t, fd, VFM_TRIAL_WAIT_MS))
		return blocked_by_silence(t, "when it runs again");
	return vfm_trial_fail(t, "%s, and it did not come in %u ms; a later one does", story,
			      VFM_TRIAL_WAIT_MS);
}

static int kept(struct vfm_trial *t)
{
	vfm_auto_fd int fd = -1;
	int ret = wired(t, &fd);

	if (!ret)
		ret = cause_stopped(t, fd);
	if (!ret)
		ret = vfm_trial_go(t, VFM_STATE_RUNNING);
	return ret ? ret
		   : must_come(t, fd, "an interrupt was caused in STOP, the device runs again");
}

static int travels(struct vfm_trial *t)
{
	vfm_auto_fd int fd = -1;
	struct vfm_err err;
	int ret = wired(t, &fd);

	if (!ret)
		ret = cause_stopped(t, fd);
	if (!ret)
		ret = vfm_trial_move(t);
	if (!ret && wire(t, fd, &err))
		ret = vfm_trial_blocked(t, &err);
	if (!ret)
		ret = vfm_trial_leave(t, VFM_STATE_RUNNING);
	return ret ? ret
		   : must_come(t, fd,
			       "an interrupt was caused in STOP, the device saved, reset, loaded, "
			       "and runs");
}

static int none_when_loaded(struct vfm_trial *t)
{
	vfm_auto_fd int fd = -1, later = -1;
	int ret = wired(t, &fd);

	if (!ret)
		ret = cause_stopped(t, fd);
	if (!ret)
		ret = vfm_trial_move(t);
	if (!ret)
		ret = wire_new(t, &later);
	if (!ret && came(t, later, VFM_TRIAL_QUIET_MS))
		ret = vfm_trial_fail(t, "in RESUMING, with an image that has an interrupt pending, "
					"its eventfd was signalled");
	if (!ret)
		ret = vfm_trial_leave(t, VFM_STATE_STOP);
	if (!ret && came(t, later, VFM_TRIAL_QUIET_MS))
		ret = vfm_trial_fail(t, "in STOP, loaded from an image that has an interrupt "
					"pending, its eventfd was signalled");
	return ret;
}

static int wiring_answers(struct vfm_trial *t)
{
	static const enum vfm_state states[] = { VFM_STATE_STOP, VFM_STATE_STOP_COPY };
	vfm_auto_fd int fd = -1;
	uint32_t index;
	struct vfm_err err;
	int ret = wire_any(t, &fd, &index);

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(states); i++) {
		ret = vfm_trial_go(t, states[i]);
		if (!ret &&
		    (wire_vector(t, index, 0, -1, &err) || wire_vector(t, index, 0, fd, &err)))
			ret = vfm_trial_fail(t, "in %s index %u cannot be wired: %s",
					     vfm_state_name(states[i]), index, err.msg);
	}
	return ret;
}

static int wired_in_resuming(struct vfm_trial *t)
{
	vfm_auto_fd int fd = -1, later = -1;
	struct vfm_err err;
	int ret = wired(t, &fd);

	if (!ret)
		ret = vfm_trial_move(t);
	if (!ret)
		ret = new_eventfd(t, &later);
	if (!ret && wire(t, later, &err))
		ret = vfm_trial_fail(t, "in RESUMING interrupts cannot be wired: %s", err.msg);
	if (!ret)
		ret = vfm_trial_leave(t, VFM_STATE_RUNNING);
	return ret ? ret : still_comes(t, later, "wired in RESUMING, and RUNNING now:");
}

static int stays_over_stop(struct vfm_trial *t)
{
	vfm_auto_fd int fd = -1;
	int ret = wired(t, &fd);

	if (!ret)
		ret = vfm_trial_go(t, VFM_STATE_STOP);
	if (!ret)
		ret = vfm_trial_go(t, VFM_STATE_RUNNING);
	return ret ? ret : still_comes(t, fd, "after STOP and RUNNING:");
}

const struct vfm_rule vfm_rules_irq[] = {
	{
		.is = { .name = "vfio.irq.loopback",
			.title = "an interrupt can be triggered by its user",
			.source = "uAPI, struct vfio_irq_set: DATA_NONE and DATA_BOOL with "
				  "ACTION_TRIGGER signal the eventfd, as a loopback",
			.text = "Monitors test their wiring with it, and raise interrupts for a "
				"device that they have restored.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.run = loopback,
	},
	{
		.is = { .name = "vfio.irq.delivered",
			.title = "an interrupt reaches the eventfd of its vector",
			.source = "uAPI, VFIO_DEVICE_SET_IRQS: DATA_EVENTFD with ACTION_TRIGGER "
				  "wires each sub-index from start on",
			.text = "The exercise causes interrupts, and the eventfd that was wired to "
				"its index and vector must be signalled. All other rules about "
				"interrupts need that.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_INTERRUPT,
		.run = delivered,
	},
	{
		.is = { .name = "vfio.irq.unwired-silent",
			.title = "an eventfd that was taken away is not signalled again",
			.source =
				"uAPI, struct vfio_irq_set: descriptor -1 takes the trigger away, "
				"DATA_NONE with ACTION_TRIGGER and count 0 those of an index",
			.text = "The user closes its eventfd, and the number may soon be another "
				"file's. Give the descriptor back before the call returns.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_INTERRUPT,
		.run = unwired_silent,
	},
	{
		.is = { .name = "vfio.irq.wiring-stays-over-reset",
			.title = "interrupts stay wired over a reset",
			.source = "<vfmig/device.h>, vfm_device_reset(): interrupt wiring stays",
			.text = "The wiring belongs to the user and not to the device's state; a "
				"guest that resets its device does not know of it.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_INTERRUPT | VFM_NEED_RESET,
		.run = stays_over_reset,
	},
	{
		.is = { .name = "v2.irq.none-when-stopped",
			.title = "no interrupt while stopped",
			.source = "uAPI, enum vfio_device_mig_state, the arc to STOP: the device "
				  "must "
				  "not generate interrupts",
			.text = "The guest does not run. An interrupt that is given out to a "
				"machine that has been saved already is lost to the one that is "
				"restored.\n"
				"One is caused in STOP, STOP_COPY and RESUMING; none must come.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_INTERRUPT,
		.run = none_when_stopped,
	},
	{
		.is = { .name = "v2.irq.kept",
			.title =
				"an interrupt that is due while stopped comes when the device runs",
			.source =
				"uAPI, enum vfio_device_mig_state, the arc to STOP: nothing of the "
				"internal state is lost; <vfmig/driver.h>, vfm_host_raise_irq(): "
				"the "
				"cause is kept",
			.text = "A driver that waits for an interrupt that was swallowed waits for "
				"ever. Keep the cause in the state of the device.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_INTERRUPT,
		.run = kept,
	},
	{
		.is = { .name = "v2.irq.travels",
			.title = "an interrupt that is due when the device is saved comes where it "
				 "is loaded",
			.source = "uAPI, enum vfio_device_mig_state, STOP_COPY: the data is the "
				  "whole "
				  "internal state, and what is due belongs to it",
			.text = "As v2.irq.kept, with save, reset and load between. The pending "
				"interrupts must be in the image.\n",
			.severity = VFM_SEVERITY_SHOULD },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_INTERRUPT | VFM_NEED_RESET,
		.run = travels,
	},
	{
		.is = { .name = "v2.irq.none-when-loaded",
			.title = "no interrupt from a device that is loaded before it runs",
			.source = "<vfmig/device.h>, vfm_device_set_irqs(): none is raised before "
				  "the "
				  "device runs",
			.text = "As v2.irq.travels, with a look in RESUMING and in STOP: the "
				"machine "
				"at the destination is not ready to take one, and the source may "
				"still be the one that runs in the end.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_INTERRUPT | VFM_NEED_RESET,
		.run = none_when_loaded,
	},
	{
		.is = { .name = "v2.irq.wiring-answers",
			.title = "interrupts can be wired while stopped",
			.source =
				"uAPI, enum vfio_device_mig_state, the arc to STOP: the driver "
				"must respond to MSI-X in STOP; vfio-user, DEVICE_SET_IRQS has no "
				"condition",
			.text = "Who tears a machine down takes its interrupts away while the "
				"device is stopped. Tried in STOP and STOP_COPY.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = wiring_answers,
	},
	{
		.is = { .name = "v2.irq.wired-in-resuming",
			.title = "interrupts that are wired in RESUMING work when the device runs",
			.source = "<vfmig/device.h>, vfm_device_set_irqs(): legal in every state; "
				  "QEMU, vfio_pci_load_config(): enables MSI and MSI-X before the "
				  "device runs",
			.text = "A monitor restores the interrupts of its guest before the device "
				"leaves RESUMING. What the device does when it takes over the "
				"image "
				"must not undo that.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_INTERRUPT | VFM_NEED_RESET,
		.run = wired_in_resuming,
	},
	{
		.is = { .name = "v2.irq.wiring-stays-over-stop",
			.title = "interrupts stay wired over STOP",
			.source = "uAPI, enum vfio_device_mig_state, RUNNING: fully operational, "
				  "also "
				  "after STOP",
			.text = "A migration that is given up must leave a device that interrupts "
				"as before.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_INTERRUPT,
		.run = stays_over_stop,
	},
};
const size_t vfm_nr_rules_irq = VFM_ARRAY_SIZE(vfm_rules_irq);
