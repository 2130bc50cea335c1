// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What happens in a move, while it happens, for programs: one JSON object a line, written
 * at once. The first says what begins and when, in the time of the world; the others count
 * from there. docs/events.md tells what is in them.
 *
 * No move fails or waits because nobody reads of it: an event for which there is no room is
 * counted and left out, and after an error there are no more.
 */

#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/params.h"
#include "base/util.h"

static void finish(struct cmd_events *events)
{
	if (events->own)
		vfm_close_fd(&events->fd);
	events->fd = -1;
}

/* A line that has begun is written to its end, or is the last. */
#define LINE_MS 1000

static void give_up(struct cmd_events *events, int ret)
{
	char text[64];

	snprintf(text, sizeof(text), "no more events: %s", strerror(-ret));
	cmd_warn("events", text);
	finish(events);
}

/* @wait_ms: for room; without any the event is missed */
static void put(struct cmd_events *events, struct cmd_json *j, int wait_ms)
{
	struct pollfd room = { events->fd, POLLOUT, 0 };
	int ret;

	if (poll(&room, 1, wait_ms) <= 0) {
		events->missed++;
		return;
	}
	if (events->missed)
		cmd_json_u64(j, "missed", events->missed);
	events->missed = 0;
	ret = cmd_json_line(j, events->fd, LINE_MS);
	if (ret)
		give_up(events, ret);
}

static struct cmd_json *begin(const struct cmd_events *events, const char *name)
{
	struct cmd_json *j = cmd_json_new();

	cmd_json_text(j, "event", name);
	cmd_json_u64(j, "us", (vfm_now_ns() - events->began_ns) / 1000);
	return j;
}

/* Of whoever started us. What we start has no use for it. */
static int take_descriptor(struct cmd_events *events, uint64_t number, struct vfm_err *err)
{
	int flags = number > INT32_MAX ? -1 : fcntl((int)number, F_GETFL);

	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
		return vfm_fail(err, CMD_MISUSE,
				"--events=%" PRIu64 " is no descriptor to write to", number);
	events->fd = (int)number;
	if (events->fd > STDERR_FILENO && fcntl(events->fd, F_SETFD, FD_CLOEXEC))
		return vfm_fail(err, -errno, "keep descriptor %d for events", events->fd);
	return 0;
}

/* Not waiting for the reader of a fifo: nobody could interrupt that. */
static int open_file(struct cmd_events *events, const char *path, struct vfm_err *err)
{
	events->fd =
		open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
	events->own = events->fd >= 0;
	if (events->fd < 0 && errno == ENXIO)
		return vfm_fail(err, -ENXIO, "open %s for events: nobody reads it", path);
	return events->own ? 0 : vfm_fail(err, -errno, "open %s for events", path);
}

/* Of several; of one, the counts of all are its own. */
static void add_devices(struct cmd_json *j, const struct cmd_end *end, bool counts)
{
	if (!end || end->nr_devs < 2)
		return;
	cmd_json_open_list(j, counts ? "device_bytes" : "devices");
	for (size_t i = 0; i < end->nr_devs; i++) {
		if (counts)
			cmd_json_u64(j, NULL, end->reports[i].state_bytes);
		else
			cmd_json_text(j, NULL, vfm_device_uri(end->devs[i]));
	}
	cmd_json_close(j);
}

int cmd_events_begin(struct cmd_events *events, const struct cmd_args *args,
		     const struct cmd_end *end, struct vfm_err *err)
{
	cmd_auto_json struct cmd_json *j = NULL;
	struct timespec now;
	uint64_t number;
	int ret;

	*events = (struct cmd_events){
		.fd = -1, .began_ns = vfm_now_ns(), .phase = VFM_PHASE_DONE, .end = end
	};
	if (!args->events)
		return 0;
	ret = vfm_parse_u64(args->events, &number) ? open_file(events, args->events, err)
						   : take_descriptor(events, number, err);
	if (ret)
		return ret;
	clock_gettime(CLOCK_REALTIME, &now);
	j = begin(events, "begin");
	cmd_json_text(j, "verb", args->verb->name);
	cmd_json_u64(j, "time_us", (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u);
	cmd_json_text(j, "version", vfm_version());
	cmd_json_text(j, "device", end ? vfm_device_uri(end->dev) : NULL);
	add_devices(j, end, false);
	put(events, j, 0);
	return 0;
}

static void add_counts(struct cmd_json *j, const struct vfm_migration_report *now)
{
	cmd_json_text(j, "phase", vfm_phase_name(now->phase));
	cmd_json_u64(j, "rounds", now->rounds);
	cmd_json_u64(j, "state_bytes", now->state_bytes);
	cmd_json_u64(j, "memory_bytes", now->memory_bytes);
	cmd_json_u64(j, "wire_bytes", now->wire_bytes);
	cmd_json_u64(j, "bytes_per_second", now->bytes_per_second);
	if (now->prediction.error_us)
		cmd_json_prediction(j, &now->prediction);
}

void cmd_events_progress(struct cmd_events *events, const struct vfm_migration_report *now)
{
	cmd_auto_json struct cmd_json *j = NULL;

	if (events->fd < 0)
		return;
	j = begin(events, now->phase == events->phase ? "progress" : "phase");
	events->phase = now->phase;
	add_counts(j, now);
	add_devices(j, events->end, true);
	put(events, j, 0);
}

void cmd_events_end(struct cmd_events *events, const struct vfm_migration_report *report, int ret,
		    const struct vfm_err *err)
{
	cmd_auto_json struct cmd_json *j = NULL;
	struct vfm_err shown;

	if (events->fd < 0)
		return;
	j = begin(events, "end");
	cmd_json_bool(j, "ok", ret == 0);
	if (ret) {
		shown = *err;
		cmd_explain(ret, &shown);
		cmd_json_text(j, "error", shown.msg);
	}
	cmd_json_report(j, report);
	if (events->end && events->end->nr_devs > 1)
		cmd_json_devices(j, events->end, NULL);
	put(events, j, LINE_MS);
	finish(events);
}
