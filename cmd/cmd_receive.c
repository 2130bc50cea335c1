// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * vfmig receive: the destination's half of a migration. It goes on listening
 * until a source has said hello and shown its certificate: whoever fails in that,
 * by mistake or on purpose, must not keep the source out. A source that uses several channels
 * is there when all of them are.
 */

#include "cmd.h"

#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/util.h"

/* So many connections may come to nothing. */
#define MAX_STRAYS 16

/* What a connection was that came to nothing; beside errors and 0. */
#define STRAY 1

/* The devices come first, and then the address. */
static const char *address_of(const struct cmd_args *args)
{
	return args->operands[args->nr_operands - 1];
}

static void add_peer(struct cmd_json *j, const void *user)
{
	const struct cmd_run *run = (const struct cmd_run *)user;

	cmd_json_text(j, "role", "destination");
	cmd_json_text(j, "address", address_of(run->args));
	if (run->end)
		cmd_json_devices(j, run->end, NULL);
}

/* Say where we listen: nobody could know a port that the system chose. */
static int tell_port(const struct cmd_args *args, const struct cmd_listener *l, struct vfm_err *err)
{
	char text[64] = "\n";

	if (!l->path)
		snprintf(text, sizeof(text), "%u\n", l->port);
	if (args->given & CMD_BIT(READY_FD))
		return cmd_ready(args, text, err);
	snprintf(text, sizeof(text), "listening on port %u", l->port);
	if (!l->path && !args->quiet)
		cmd_warn(args->verb->name, text);
	return 0;
}

/**
 * struct waiting - for a source, from whoever connects
 * @end_ns: when it ends; 0: never. A destination may stand ready for hours; once the source is
 *	there, silence counts
 * @strays: connections that came to nothing
 * @progress: as the user wants it
 */
struct waiting {
	struct cmd_run *run;
	struct cmd_listener listener;
	uint64_t end_ns;
	unsigned int strays;
	void (*progress)(void *user, const struct vfm_migration_report *now);
};

/* The source is there: nobody else can be now. */
static void on_progress(void *user, const struct vfm_migration_report *now)
{
	struct waiting *w = (struct waiting *)user;

	if (now->connected)
		cmd_listener_close(&w->listener);
	if (w->progress)
		w->progress(w->run, now);
}

static int accept_one(struct waiting *w, struct vfm_err *err)
{
	uint64_t now = vfm_now_ns();
	unsigned int wait_ms = 0;
	int fd;

	if (w->end_ns)
		wait_ms = w->end_ns > now ? (unsigned int)((w->end_ns - now) / 1000000 + 1) : 1;
	fd = cmd_accept(&w->listener, wait_ms, w->run->signal_fd, err);
	if (fd == -ETIMEDOUT && w->strays)
		return vfm_fail(err, fd, "nobody connected in %u s but %u who are no source",
				w->run->opts.timeout_ms / 1000, w->strays);
	return fd;
}

/* Whether a connection that failed with @ret was nobody's whom we wait for. */
static bool is_stray(struct waiting *w, int ret)
{
	return ret && ret != -ECANCELED && !w->run->report.connected && ++w->strays < MAX_STRAYS &&
	       (!w->end_ns || vfm_now_ns() < w->end_ns);
}

static void tell_stray(const struct waiting *w, const char *peer, int ret,
		       const struct vfm_err *why)
{
	struct vfm_err shown = *why;
	char text[VFM_ERR_TEXT];

	cmd_explain(ret, &shown);
	snprintf(text, sizeof(text), "still listening: connection of %s: %.150s", peer, shown.msg);
	if (!w->run->args->quiet)
		cmd_warn(w->run->args->verb->name, text);
}

/* The source connects again, or somebody else does: the engine finds out. */
static int open_channel(void *user, unsigned int timeout_ms, struct vfm_err *err)
{
	struct waiting *w = (struct waiting *)user;
	int fd = cmd_accept(&w->listener, timeout_ms, w->run->signal_fd, err);

	if (fd >= 0)
		cmd_keep_alive(fd, w->run->opts.timeout_ms);
	return fd;
}

static int receive_one(struct waiting *w, const struct cmd_end *end, struct vfm_err *err)
{
	struct vfm_migrate_opts opts = w->run->opts;
	struct vfm_unit unit = cmd_end_unit(end, false);
	vfm_auto_fd int fd = accept_one(w, err);
	char peer[64];
	int ret;

	if (fd < 0)
		return fd;
	cmd_keep_alive(fd, opts.timeout_ms);
	cmd_peer_text(fd, peer, sizeof(peer));
	opts.progress = on_progress;
	opts.user = w;
	opts.open_channel = open_channel;
	opts.channel_user = w;
	ret = vfm_migrate_receive_unit(&unit, fd, &opts, &w->run->report, err);
	if (!is_stray(w, ret))
		return ret;
	tell_stray(w, peer, ret, err);
	return STRAY;
}

static int receive_end(struct cmd_run *run, const struct cmd_end *end, struct vfm_err *err)
{
	const struct cmd_args *args = run->args;
	struct waiting w = { .run = run, .progress = run->opts.progress };
	int ret = cmd_listen(&w.listener, address_of(args), args->insecure || run->tls, err);

	if (ret)
		return ret;
	if (args->given & CMD_BIT(TIMEOUT))
		w.end_ns = vfm_now_ns() + (uint64_t)run->opts.timeout_ms * 1000000;
	ret = tell_port(args, &w.listener, err);
	while (!ret && (ret = receive_one(&w, end, err)) == STRAY)
		ret = 0;
	cmd_listener_close(&w.listener);
	return ret;
}

int cmd_receive(const struct cmd_args *args, struct vfm_err *err)
{
	struct cmd_run run = { .args = args };
	struct cmd_end end = { 0 };
	size_t count = args->nr_operands - 1;
	int ret = cmd_check_uris(args->operands, count, err);

	if (!ret)
		ret = cmd_end_open(&end, args->operands, count, 1, &args->memory, true, err);
	if (!ret)
		ret = cmd_run_begin(&run, args, &end, err);
	if (!ret)
		ret = cmd_tls_open(&run, err);
	if (!ret)
		ret = cmd_run_end(&run, receive_end(&run, &end, err), err);
	cmd_tls_close(&run);
	ret = cmd_run_report(&run, ret, add_peer, &run, err);
	cmd_end_close(&end);
	return ret;
}
