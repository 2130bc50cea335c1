// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rules about what happens in the middle of something else: a user that goes away and comes
 * back, and a reset while another call is under way.
 *
 * What surprises: whether a device outlives its user is not known. One that does keeps its
 * state, or does as it was told; any other is a new one each time, and RUNNING.
 */

#include "check/session.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "device/pass.h"

/* ---- away and back ------------------------------------------------------------------- */

/* Something has been done in each state when its user goes away. */
static int half_way(struct vfm_trial *t, enum vfm_state state)
{
	uint8_t bytes[64] = { 0 };
	struct vfm_err err;
	ssize_t n = 0;

	if (vfm_state_is_saving(state))
		n = vfm_device_read_data(t->dev, bytes, sizeof(bytes), &err);
	return n < 0 && n != -ENOMSG ? vfm_trial_blocked(t, &err) : 0;
}

/* It can be brought to RUNNING, by a reset if it must, and saved. */
static int usable(struct vfm_trial *t, enum vfm_state left)
{
	const char *name = vfm_state_name(left);
	struct vfm_err err;

	if (vfm_device_set_state(t->dev, VFM_STATE_RUNNING, &err) && vfm_device_reset(t->dev, &err))
		return vfm_trial_fail(
			t,
			"left in %s and opened again, it can neither go to RUNNING nor "
			"be reset: %s",
			name, err.msg);
	if (vfm_device_get_info(t->dev, &t->info, &err) ||
	    vfm_device_set_state(t->dev, VFM_STATE_STOP_COPY, &err))
		return vfm_trial_fail(t,
				      "left in %s, opened again and in RUNNING, it cannot be "
				      "stopped to be saved: %s",
				      name, err.msg);
	return 0;
}

static int leave_and_return(struct vfm_trial *t, enum vfm_state left, void *user)
{
	enum vfm_state found;
	struct vfm_err err;
	int ret = half_way(t, left);

	(void)user;
	if (!ret)
		ret = vfm_trial_reopen(t);
	if (ret)
		return ret;
	if (vfm_device_get_state(t->dev, &found, &err))
		return vfm_trial_fail(t,
				      "left in %s and opened again, it does not tell its state: "
				      "%s",
				      vfm_state_name(left), err.msg);
	if (found != left && found != VFM_STATE_RUNNING)
		return vfm_trial_fail(
			t,
			"left in %s and opened again, it is in %s; it must be where it "
			"was, or in RUNNING",
			vfm_state_name(left), vfm_state_name(found));
	return usable(t, left);
}

static int close_and_reopen(struct vfm_trial *t)
{
	int ret = vfm_trial_go(t, VFM_STATE_STOP_COPY);

	if (!ret)
		ret = vfm_trial_go(t, VFM_STATE_RUNNING);
	return ret ? ret : vfm_trial_each_state(t, leave_and_return, NULL);
}

/* ---- what a user leaves behind --------------------------------------------------------- */

#define IOVA UINT64_C(0x10000000)
#define SIZE UINT64_C(0x10000)

static int map(struct vfm_trial *t, void *memory, struct vfm_err *err)
{
	const struct vfm_dma_map map = { .iova = IOVA,
					 .size = SIZE,
					 .flags = VFM_DMA_READ | VFM_DMA_WRITE,
					 .fd = -1,
					 .vaddr = memory };

	return vfm_device_map_dma(t->dev, &map, err);
}

static int start_log(struct vfm_trial *t, struct vfm_err *err)
{
	const struct vfm_range range = { .iova = IOVA, .size = SIZE };
	uint64_t page_size = 4096;

	return vfm_device_start_log(t->dev, &page_size, &range, 1, err);
}

static int mapped_and_left(struct vfm_trial *t, void *memory)
{
	struct vfm_err err;
	int ret;

	if (map(t, memory, &err))
		return vfm_trial_blocked(t, &err);
	ret = vfm_trial_reopen(t);
	if (!ret && map(t, memory, &err))
		ret = vfm_trial_fail(t,
				     "memory was mapped at 0x%" PRIx64
				     ", and its user went away; for the next one it cannot be: %s",
				     IOVA, err.msg);
	return ret;
}

static int forgets_mappings(struct vfm_trial *t)
{
	void *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ret;

	if (memory == MAP_FAILED)
		return vfm_trial_skip(t, "no memory");
	ret = mapped_and_left(t, memory);
	if (t->dev && vfm_device_unmap_all(t->dev, NULL) && !ret)
		ret = vfm_trial_skip(t, "what was mapped cannot be unmapped");
	munmap(memory, SIZE);
	return ret;
}

static int forgets_log(struct vfm_trial *t)
{
	struct vfm_err err;
	int ret;

	if (start_log(t, &err))
		return vfm_trial_blocked(t, &err);
	ret = vfm_trial_reopen(t);
	if (!ret && start_log(t, &err))
		ret = vfm_trial_fail(
			t,
			"a dirty log was started, and its user went away; the next one "
			"cannot start one: %s",
			err.msg);
	if (t->dev && vfm_device_stop_log(t->dev, NULL) && !ret)
		ret = vfm_trial_skip(t, "a log that was started cannot be stopped");
	return ret;
}

static int last_will(struct vfm_trial *t)
{
	static const struct {
		enum vfm_orphan orphan;
		enum vfm_state state;
		const char *name;
	} wills[] = {
		{ VFM_ORPHAN_RUN, VFM_STATE_STOP_COPY, "to run" },
		{ VFM_ORPHAN_RUN, VFM_STATE_STOP, "to run" },
		{ VFM_ORPHAN_RESET, VFM_STATE_RESUMING, "to be reset" },
	};
	int ret = 0;

	for (size_t i = 0; !ret && i < VFM_ARRAY_SIZE(wills); i++) {
		char after[96];
		struct vfm_err err;

		ret = vfm_trial_go(t, wills[i].state);
		if (!ret && vfm_device_set_orphan(t->dev, wills[i].orphan, &err))
			ret = vfm_trial_blocked(t, &err);
		if (!ret)
			ret = vfm_trial_reopen(t);
		snprintf(after, sizeof(after),
			 "it was told %s if its user vanished, and left in %s", wills[i].name,
			 vfm_state_name(wills[i].state));
		if (!ret)
			ret = vfm_trial_in_state(t, VFM_STATE_RUNNING, after);
	}
	return ret;
}

/* What a second user sees while the first is in STOP_COPY; it may see nothing. */
static int look_at_second(struct vfm_trial *t, struct vfm_device *second)
{
	enum vfm_state state;

	if (vfm_device_get_state(second, &state, NULL) || state != VFM_STATE_STOP_COPY)
		return 0;
	return vfm_trial_fail(t,
			      "it has a user, and is in STOP_COPY; it could be opened once more, "
			      "and is in STOP_COPY there, too: it must refuse, or be another "
			      "device");
}

/* Opened without the trace: it is not the device that the rule is tried on. */
static int second_user(struct vfm_trial *t)
{
	struct vfm_device *second;
	struct vfm_err err;
	uint8_t bytes[64];
	ssize_t n;
	int ret = vfm_trial_go(t, VFM_STATE_STOP_COPY);

	if (!ret)
		ret = vfm_session_read(t, bytes, sizeof(bytes));
	if (ret)
		return ret;
	if (!t->opts->open(t->opts->user, VFM_CHECK_V2, &second, NULL)) {
		ret = look_at_second(t, second);
		vfm_device_close(second);
	}
	if (ret)
		return ret;
	n = vfm_device_read_data(t->dev, bytes, sizeof(bytes), &err);
	if (n < 0)
		return vfm_trial_fail(
			t,
			"in STOP_COPY, somebody else tried to open the device and went "
			"away; then the data session could not be read: %s",
			n == -ENOMSG ? "nothing now" : err.msg);
	return vfm_trial_in_state(t, VFM_STATE_STOP_COPY, "a second user");
}

/* ---- reset by another thread ------------------------------------------------------------- */

/* Rounds of saving while another thread resets. */
#define ROUNDS 40

struct resetter {
	struct vfm_device *dev;
	bool stop;
	unsigned int done, failed;
};

static void *reset_all_the_time(void *arg)
{
	struct resetter *r = (struct resetter *)arg;

	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
		r->failed += vfm_device_reset(r->dev, NULL) ? 1 : 0;
		r->done++;
		sched_yield();
	}
	return NULL;
}

/* Any of it may be refused: it has been reset meanwhile. */
static void save_all_the_time(struct vfm_trial *t)
{
	vfm_auto_free uint8_t *buf = malloc(4096);

	for (unsigned int i = 0; buf && i < ROUNDS; i++) {
		unsigned int reads = 0;

		if (vfm_device_set_state(t->dev, VFM_STATE_STOP_COPY, NULL))
			continue;
		while (reads < 8 && vfm_device_read_data(t->dev, buf, 4096, NULL) > 0)
			reads++;
	}
}

static int reset_during_read(struct vfm_trial *t)
{
	struct resetter r = { .dev = t->dev };
	struct vfm_err err;
	pthread_t thread;
	int ret = vfm_trial_reset(t);

	if (!ret)
		ret = vfm_trial_reset(t);
	if (ret)
		return ret;
	if (!vfm_pass_inner(t->dev)->ops->resets_any_time)
		return vfm_trial_skip(t, "the way to this device allows one call at a time");
	if (pthread_create(&thread, NULL, reset_all_the_time, &r))
		return vfm_trial_skip(t, "no thread");
	save_all_the_time(t);
	__atomic_store_n(&r.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	if (r.failed)
		return vfm_trial_fail(t, "of %u resets while it was saved, %u failed", r.done,
				      r.failed);
	ret = vfm_trial_reset(t);
	if (!ret && vfm_device_set_state(t->dev, VFM_STATE_STOP_COPY, &err))
		ret = vfm_trial_fail(t,
				     "after %u resets while it was saved, STOP_COPY is refused: %s",
				     r.done, err.msg);
	return ret;
}

/* ---- the table --------------------------------------------------------------------------- */

const struct vfm_rule vfm_rules_race[] = {
	{
		.is = { .name = "v2.race.close-and-reopen",
			.title = "a device can be left in every state, and used again",
			.source = "vfio-user, 'Live migration' and disconnection: the device keeps "
				  "its "
				  "state; <vfmig/device.h>, vfm_device_close()",
			.text = "A monitor that dies in the middle of a move, and its successor, "
				"find "
				"a device that somebody else has stopped. If it refuses what is "
				"needed "
				"to get it running, only the end of its process helps.\n\n"
				"In every state, and with its session partly read, the device is "
				"closed and opened again. It must be where it was, or in RUNNING; "
				"go to RUNNING, or be reset; and to STOP_COPY.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = close_and_reopen,
	},
	{
		.is = { .name = "v2.race.mappings-end-with-user",
			.title = "memory is unmapped when its user is gone",
			.source = "vfio-user, disconnection: the server unmaps all; "
				  "<vfmig/device.h>, "
				  "vfm_device_close()",
			.text = "It belongs to a process that may be no more.\n\n"
				"Memory is mapped, the device is closed and opened again, and "
				"memory "
				"is mapped in the same place.\n",
			.severity = VFM_SEVERITY_MUST },
		.run = forgets_mappings,
	},
	{
		.is = { .name = "v2.race.log-ends-with-user",
			.title = "the dirty log ends when its user is gone",
			.source = "uAPI, VFIO_DEVICE_FEATURE_DMA_LOGGING_START: the log is that of "
				  "the "
				  "open device",
			.text = "There can be one log only, and one that nobody can stop keeps the "
				"device from being moved.\n\n"
				"A log is started, the device is closed and opened again, and a "
				"log is "
				"started.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_LOG,
		.run = forgets_log,
	},
	{
		.is = { .name = "v2.race.second-user",
			.title = "a device that has a user has no second one",
			.source = "uAPI, VFIO_GROUP_GET_DEVICE_FD and the character device: one "
				  "user; "
				  "vfio-user: one client; <vfmig/device.h>, vfm_open(): -EBUSY",
			.text = "Two that send a device from state to state leave nobody knowing "
				"where it is.\n\n"
				"In STOP_COPY, the device is opened once more. That is refused, or "
				"what is opened is another device; and the first user's "
				" session must not have noticed.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = second_user,
	},
	{
		.is = { .name = "v2.race.last-will",
			.title = "a device that was told what to do when its user vanishes does so",
			.source = "<vfmig/device.h>, vfm_device_set_orphan()",
			.text = "A source that dies before it has handed over leaves a device that "
				"runs "
				"again, and a destination one that is free again.\n\n"
				"It is told, left in STOP_COPY, in STOP and in RESUMING, and "
				"opened "
				"again: it must be RUNNING.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY,
		.run = last_will,
	},
	{
		.is = { .name = "v2.race.reset-during-read",
			.title = "a reset while another call is under way does no harm",
			.source =
				"<vfmig/device.h>, Threads: vfm_device_reset() may be called while "
				"another thread is inside a call",
			.text = "A guest resets its device whenever it likes, in a thread that "
				"knows "
				"nothing of the one that reads its state. A reset that waits for "
				"that "
				"one can wait for ever, and one that does not can take the memory "
				"away "
				"under it.\n\n"
				"While the device is sent to STOP_COPY and read, over and over, "
				"another thread resets it all the time. Then it must be reset, and "
				"stop, as if nothing had been.\n",
			.severity = VFM_SEVERITY_MUST },
		.needs = VFM_NEED_STOP_COPY | VFM_NEED_RESET,
		.run = reset_during_read,
	},
};
const size_t vfm_nr_rules_race = VFM_ARRAY_SIZE(vfm_rules_race);
