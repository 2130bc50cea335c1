// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* vfmig recover: settle what a crash or a cut has left open. */

#include "cmd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

struct recover {
	const struct cmd_args *args;
	struct cmd_json *json; /* NULL: for people */
};

static void print_json(struct cmd_json *j, const struct vfm_recovered *one)
{
	cmd_json_open(j, NULL);
	cmd_json_text(j, "id", one->id);
	cmd_json_text(j, "role", vfm_role_name(one->role));
	cmd_json_text(j, "device", one->uri);
	cmd_json_u64(j, "devices", one->nr_devices);
	cmd_json_text(j, "peer", one->peer[0] ? one->peer : NULL);
	cmd_json_text(j, "before", vfm_handover_name(one->before));
	cmd_json_text(j, "after", vfm_handover_name(one->after));
	cmd_json_text(j, "other", one->asked ? vfm_handover_name(one->other) : NULL);
	cmd_json_bool(j, "by_store", one->by_store);
	cmd_json_bool(j, "settled", one->settled);
	cmd_json_bool(j, "removed", one->gone);
	cmd_json_text(j, "state", vfm_state_name(one->state));
	cmd_json_text(j, "text", one->text);
	cmd_json_close(j);
}

static void print_text(const struct vfm_recovered *one)
{
	char uri[VFM_JOURNAL_URI], text[VFM_ERR_TEXT], others[32] = "";

	snprintf(uri, sizeof(uri), "%s", one->uri[0] ? one->uri : "?");
	snprintf(text, sizeof(text), "%s", one->text);
	cmd_clean(uri);
	cmd_clean(text);
	if (one->nr_devices > 1)
		snprintf(others, sizeof(others), " and %u others", one->nr_devices - 1);
	printf("%s %s %s%s: %s, journal %s -> %s", one->id, vfm_role_name(one->role), uri, others,
	       one->settled ? "settled" : "NOT SETTLED", vfm_handover_name(one->before),
	       vfm_handover_name(one->after));
	if (one->by_store)
		printf(", by the store");
	if (one->asked)
		printf(", other side %s", vfm_handover_name(one->other));
	if (one->state != VFM_STATE_ERROR)
		printf(", %s in %s", one->nr_devices > 1 ? "devices" : "device",
		       vfm_state_name(one->state));
	printf(": %s\n", text);
}

static void tell(void *user, const struct vfm_recovered *one)
{
	struct recover *r = (struct recover *)user;

	if (r->json)
		print_json(r->json, one);
	else if (!r->args->quiet || !one->settled)
		print_text(one);
}

/* Who is at the other end, if anybody shall be asked or answered; -1: nobody */
static int find_peer(const struct cmd_args *args, int signal_fd, unsigned int wait_ms,
		     struct vfm_err *err)
{
	unsigned int patience_ms = args->given & CMD_BIT(TIMEOUT) ? wait_ms : 0;
	struct cmd_listener l;
	char text[64] = "\n";
	int ret;

	if (args->peer)
		return cmd_connect(args->peer, args->insecure, wait_ms, signal_fd, err);
	ret = cmd_listen(&l, args->listen, args->insecure, err);
	if (ret)
		return ret;
	if (!l.path)
		snprintf(text, sizeof(text), "%u\n", l.port);
	ret = cmd_ready(args, text, err);
	if (!ret)
		ret = cmd_accept(&l, patience_ms, signal_fd, err);
	cmd_listener_close(&l);
	return ret;
}

static int run(struct recover *r, struct vfm_recover_opts *opts, struct vfm_err *err)
{
	static const enum vfm_role owners[] = { (enum vfm_role)0, VFM_ROLE_SOURCE,
						VFM_ROLE_DESTINATION };
	const struct cmd_args *args = r->args;
	vfm_auto_fd int fd = -1;

	if (args->peer || args->listen) {
		fd = find_peer(args, opts->cancel_fd, opts->timeout_ms, err);
		if (fd < 0)
			return fd;
	}
	opts->fd = fd;
	opts->answer = args->listen;
	opts->id = args->id;
	opts->owner = owners[args->owner];
	opts->each = tell;
	opts->user = r;
	return vfm_recover(args->operands[0], opts, err);
}

int cmd_recover(const struct cmd_args *args, struct vfm_err *err)
{
	struct vfm_recover_opts opts = VFM_RECOVER_OPTS();
	cmd_auto_json struct cmd_json *j = args->json ? cmd_json_new() : NULL;
	struct recover r = { .args = args, .json = j };
	struct vfm_store *store;
	struct vfm_err shown;
	int ret, printed;

	if (args->peer && args->listen)
		return vfm_fail(err, CMD_MISUSE, "--peer and --listen exclude each other");
	opts.timeout_ms = (unsigned int)(args->timeout_s * 1000);
	opts.cancel_fd = cmd_signals(err);
	if (opts.cancel_fd < 0)
		return opts.cancel_fd;
	if (j)
		cmd_json_open_list(j, "journals");
	ret = cmd_store_open(&store, args, err);
	opts.store = store;
	if (!ret)
		ret = run(&r, &opts, err);
	vfm_store_free(store);
	if (ret == -ECANCELED)
		cmd_interrupted(opts.cancel_fd, err);
	if (!args->json)
		return ret;
	cmd_json_close(j);
	cmd_json_bool(j, "ok", !ret);
	if (ret) {
		shown = *err;
		cmd_explain(ret, &shown);
		cmd_json_text(j, "error", shown.msg);
	}
	printed = cmd_json_print(j, ret ? NULL : err);
	return ret ? ret : printed;
}
