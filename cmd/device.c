// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What all verbs that move devices have in common: being interrupted, showing
 * progress, and telling what happened.
 *
 * Signals are blocked only once there is somebody who watches the descriptor:
 * before that, in an open that hangs, they end the process as ever, and nothing
 * has been done to a device that would have to be undone.
 */

#include "cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/util.h"

/* ---- signals ---------------------------------------------------------------- */

int cmd_signals(struct vfm_err *err)
{
	static const int watched[] = { SIGINT, SIGTERM, SIGHUP };
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(watched); i++)
		sigaddset(&set, watched[i]);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0 || sigprocmask(SIG_BLOCK, &set, NULL))
		return vfm_fail(err, -errno, "watch for signals");
	return fd;
}

int cmd_interrupted(int signal_fd, struct vfm_err *err)
{
	struct signalfd_siginfo info = { 0 };
	const char *name = NULL;

	if (read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		name = sigabbrev_np((int)info.ssi_signo);
	return vfm_fail(err, -ECANCELED, "interrupted by %s%s", name ? "SIG" : "",
			name ? name : "a signal");
}

/* ---- a run of the engine ------------------------------------------------------- */

static void show_progress(struct cmd_run *run, const struct vfm_migration_report *now)
{
	char line[192], stop[64] = "", of[32] = "";
	int width;

	if (now->prediction.downtime_us)
		snprintf(stop, sizeof(stop), ", would stop %.0f ms +-%.0f",
			 (double)now->prediction.downtime_us / 1000,
			 (double)now->prediction.error_us / 1000);
	if (now->nr_devices > 1)
		snprintf(of, sizeof(of), " of %u devices", now->nr_devices);
	width = snprintf(line, sizeof(line),
			 "%s: %s, round %" PRIu32 ", %" PRIu64 "M of state%s, %" PRIu64
			 "M of memory, %" PRIu64 "M/s%s",
			 run->args->verb->name, vfm_phase_name(now->phase), now->rounds,
			 now->state_bytes >> 20, of, now->memory_bytes >> 20,
			 now->bytes_per_second >> 20, stop);
	fprintf(stderr, "\r%-*s", (int)run->shown, line);
	run->shown = (size_t)width;
}

static void on_progress(void *user, const struct vfm_migration_report *now)
{
	struct cmd_run *run = (struct cmd_run *)user;

	cmd_events_progress(&run->events, now);
	if (!run->args->quiet && isatty(STDERR_FILENO))
		show_progress(run, now);
}

int cmd_run_begin(struct cmd_run *run, const struct cmd_args *args, const struct cmd_end *end,
		  struct vfm_err *err)
{
	struct vfm_device *dev = end ? end->dev : NULL;
	int ret;

	*run = (struct cmd_run){
		.args = args, .events.fd = -1, .signal_fd = cmd_signals(err), .end = end
	};
	if (run->signal_fd < 0)
		return run->signal_fd;
	if (!dev || vfm_device_get_state(dev, &run->report.state, NULL))
		run->report.state = VFM_STATE_ERROR;
	run->opts = VFM_MIGRATE_OPTS();
	run->opts.cancel_fd = run->signal_fd;
	run->opts.compress = (int)args->compress;
	run->opts.timeout_ms = (unsigned int)(args->timeout_s * 1000);
	run->opts.max_downtime_ms = (unsigned int)args->max_downtime_ms;
	run->opts.rate = args->rate;
	run->opts.channels = (unsigned int)args->channels;
	run->opts.journal = args->journal;
	run->opts.max_rounds = (unsigned int)args->max_rounds;
	run->opts.max_time_ms = (unsigned int)(args->max_time_s * 1000);
	run->opts.on_limit = (enum vfm_on_limit)args->on_limit;
	run->opts.memory_limit = args->memory_limit;
	run->opts.allow_no_p2p = args->allow_no_p2p;
	run->opts.progress = on_progress;
	run->opts.user = run;
	if (args->etcd && !args->journal)
		return vfm_fail(err, CMD_MISUSE, "--etcd without --journal");
	ret = cmd_store_open(&run->store, args, err);
	run->opts.store = run->store;
	return ret ? ret : cmd_events_begin(&run->events, args, end, err);
}

/* What an interrupted user wants to know before anything else. */
static int tell_interrupted(struct cmd_run *run, struct vfm_err *err)
{
	char text[VFM_ERR_TEXT];

	cmd_interrupted(run->signal_fd, err);
	if (run->report.state == VFM_STATE_ERROR)
		return -ECANCELED; /* or it could not be asked */
	snprintf(text, sizeof(text), "%s", err->msg);
	return vfm_fail(err, -ECANCELED, "%s; the %s in %s", text,
			run->report.nr_devices > 1 ? "devices are" : "device is",
			vfm_state_name(run->report.state));
}

/* A device that does not know what it has is worth a word: the next limit is judged by it. */
static bool wrong_size_words(const struct vfm_migration_report *report, char *text, size_t len)
{
	if (!report->told_wrong)
		return false;
	snprintf(text, len, "the source told that %" PRIu64 " bytes are left, and gave %" PRIu64,
		 report->told_bytes, report->came_bytes);
	return true;
}

int cmd_run_end(struct cmd_run *run, int ret, struct vfm_err *err)
{
	char text[128];

	if (run->shown)
		fprintf(stderr, "\r%*s\r", (int)run->shown, "");
	run->shown = 0;
	if (!run->args->quiet && !run->args->json &&
	    wrong_size_words(&run->report, text, sizeof(text)))
		cmd_warn(run->args->verb->name, text);
	if (ret == -ECANCELED)
		ret = tell_interrupted(run, err);
	cmd_events_end(&run->events, &run->report, ret, err);
	return ret;
}

/* ---- the report ------------------------------------------------------------------ */

static void json_phases(struct cmd_json *j, const struct vfm_migration_report *report)
{
	cmd_json_open_list(j, "phases");
	for (int p = 0; p < VFM_NR_PHASES; p++) {
		cmd_json_open(j, NULL);
		cmd_json_text(j, "name", vfm_phase_name((enum vfm_phase)p));
		cmd_json_u64(j, "us", report->phases[p].us);
		cmd_json_u64(j, "state_bytes", report->phases[p].device_bytes);
		cmd_json_u64(j, "memory_bytes", report->phases[p].memory_bytes);
		cmd_json_close(j);
	}
	cmd_json_close(j);
}

void cmd_json_pci(struct cmd_json *j, const struct vfm_identity *id)
{
	cmd_json_hex(j, "vendor", 4, id->vendor);
	cmd_json_hex(j, "device", 4, id->device);
	cmd_json_hex(j, "subvendor", 4, id->subvendor);
	cmd_json_hex(j, "subdevice", 4, id->subdevice);
	cmd_json_hex(j, "class", 6, id->class_code);
	cmd_json_u64(j, "revision", id->revision);
}

void cmd_json_prediction(struct cmd_json *j, const struct vfm_prediction *p)
{
	cmd_json_u64(j, "predicted_downtime_us", p->downtime_us);
	cmd_json_u64(j, "predicted_error_us", p->error_us);
	cmd_json_bool(j, "assumed", p->assumed);
	cmd_json_text(j, "limiting", vfm_part_name(p->limiting));
	cmd_json_u64(j, "limiting_us", p->limiting_us);
	cmd_json_u64(j, "margin_us", p->margin_us);
	cmd_json_u64(j, "left_state_bytes", p->device_bytes);
	cmd_json_u64(j, "left_memory_bytes", p->memory_bytes);
	cmd_json_u64(j, "save_rate", p->save_rate);
	cmd_json_u64(j, "wire_rate", p->wire_rate);
	cmd_json_u64(j, "load_rate", p->load_rate);
	cmd_json_u64(j, "source_arcs_us", p->source_arcs_us);
	cmd_json_u64(j, "destination_arcs_us", p->destination_arcs_us);
	cmd_json_u64(j, "round_trip_us", p->round_trip_us);
	cmd_json_u64(j, "handover_us", p->handover_us);
}

static void json_sizes(struct cmd_json *j, const struct vfm_migration_report *report)
{
	char text[128];

	cmd_json_u64(j, "told_bytes", report->told_bytes);
	cmd_json_u64(j, "came_bytes", report->came_bytes);
	cmd_json_bool(j, "told_wrong", report->told_wrong);
	if (wrong_size_words(report, text, sizeof(text)))
		cmd_json_text(j, "note", text);
}

static const char *protocol_name(unsigned int protocol)
{
	static const char *const names[] = { NULL, "v1", "v2" };

	return names[protocol];
}

void cmd_json_devices(struct cmd_json *j, const struct cmd_end *end, const struct cmd_end *others)
{
	cmd_json_open_list(j, "devices");
	for (size_t i = 0; i < end->nr_devs; i++) {
		const struct vfm_device_report *r = &end->reports[i];

		cmd_json_open(j, NULL);
		cmd_json_text(j, "device", vfm_device_uri(end->devs[i]));
		if (others)
			cmd_json_text(j, "destination", vfm_device_uri(others->devs[i]));
		cmd_json_text(j, "protocol", protocol_name(r->protocol));
		cmd_json_text(j, "state", vfm_state_name(r->state));
		cmd_json_bool(j, "failed", r->failed || (others && others->reports[i].failed));
		cmd_json_u64(j, "state_bytes", r->state_bytes);
		cmd_json_u64(j, "data_us", r->data_us);
		cmd_json_u64(j, "arcs", r->arcs);
		cmd_json_u64(j, "arcs_us", r->arcs_us);
		cmd_json_u64(j, "told_bytes", r->told_bytes);
		cmd_json_u64(j, "came_bytes", r->came_bytes);
		cmd_json_bool(j, "told_wrong", r->told_wrong);
		cmd_json_close(j);
	}
	cmd_json_close(j);
}

void cmd_json_report(struct cmd_json *j, const struct vfm_migration_report *report)
{
	cmd_json_text(j, "protocol", protocol_name(report->protocol));
	cmd_json_text(j, "phase", vfm_phase_name(report->phase));
	cmd_json_bool(j, "committed", report->committed);
	cmd_json_text(j, "state", vfm_state_name(report->state));
	cmd_json_u64(j, "rounds", report->rounds);
	cmd_json_u64(j, "state_bytes", report->state_bytes);
	cmd_json_u64(j, "memory_bytes", report->memory_bytes);
	cmd_json_u64(j, "wire_bytes", report->wire_bytes);
	cmd_json_u64(j, "compressed_bytes", report->compressed_bytes);
	cmd_json_u64(j, "compressed_to", report->compressed_to);
	cmd_json_u64(j, "downtime_us", report->downtime_us);
	cmd_json_u64(j, "total_us", report->total_us);
	cmd_json_u64(j, "bytes_per_second", report->bytes_per_second);
	cmd_json_u64(j, "channels", report->channels);
	cmd_json_prediction(j, &report->prediction);
	cmd_json_bool(j, "forced", report->forced);
	json_sizes(j, report);
	json_phases(j, report);
}

int cmd_run_report(struct cmd_run *run, int ret,
		   void (*extra)(struct cmd_json *j, const void *user), const void *user,
		   struct vfm_err *err)
{
	cmd_auto_json struct cmd_json *j = NULL;
	struct vfm_err shown;
	int printed;

	vfm_store_free(run->store);
	run->store = NULL;
	if (!run->args->json)
		return ret;
	j = cmd_json_new();
	cmd_json_bool(j, "ok", ret == 0);
	if (ret) {
		shown = *err;
		cmd_explain(ret, &shown);
		cmd_json_text(j, "error", shown.msg);
	}
	if (extra)
		extra(j, user);
	cmd_json_report(j, &run->report);
	printed = cmd_json_print(j, ret ? NULL : err);
	return ret ? ret : printed;
}

int cmd_file_scan(struct cmd_file *file, int fd, struct vfm_err *err)
{
	struct vfm_stream_summary summary;
	int ret;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return 0;
	ret = vfm_stream_scan(fd, &summary, NULL, NULL, err);
	if (!ret)
		memcpy(file->digest, summary.digest, sizeof(file->digest));
	return ret;
}

void cmd_json_file(struct cmd_json *j, const void *user)
{
	const struct cmd_file *file = (const struct cmd_file *)user;

	cmd_json_text(j, "file", file->path);
	cmd_json_text(j, "digest", file->digest[0] ? file->digest : NULL);
}

int cmd_ready(const struct cmd_args *args, const char *text, struct vfm_err *err)
{
	const struct vfm_wait wait = { .timeout_ms = 1000, .cancel_fd = -1 };
	int fd = (int)args->ready_fd, ret;

	if (!(args->given & CMD_BIT(READY_FD)))
		return 0;
	ret = vfm_write_full(fd, text, strlen(text), &wait);
	/* a standard descriptor stays taken: see main.c */
	if (fd > STDERR_FILENO)
		close(fd);
	return ret ? vfm_fail(err, ret, "tell descriptor %d that we are ready", fd) : 0;
}
