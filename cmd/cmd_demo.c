// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * vfmig demo: move a busy software device from one process to another and prove
 * that nothing was lost. The proof is a list of claims; each is checked whatever
 * became of those before it, so that a failure is seen with its surroundings.
 */

#include "demo.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/params.h"
#include "base/util.h"

#define NR_CLAIMS 8

/* Shorter than the engine's own, to be seen keeping it. */
#define MAX_DOWNTIME_MS 50

struct claim {
	int ret;
	char text[VFM_ERR_TEXT];
};

struct demo {
	const struct cmd_args *args;
	struct cmd_run run;
	char folder[100];
	struct demo_end src, dst;
	struct demo_arrival arrival;
	bool moved;
	size_t nr_claims;
	struct claim claims[NR_CLAIMS];
};

/* ---- the proof --------------------------------------------------------------------- */

static int claim_owner(struct demo *d, char *text, size_t len, struct vfm_err *err)
{
	enum vfm_state src = VFM_STATE_ERROR, dst = VFM_STATE_ERROR;
	int ret = vfm_device_get_state(d->src.end.dev, &src, err);

	if (!ret)
		ret = vfm_device_get_state(d->dst.end.dev, &dst, err);
	if (ret)
		return ret;
	snprintf(text, len, "the source is in %s, the destination in %s", vfm_state_name(src),
		 vfm_state_name(dst));
	return src == VFM_STATE_STOP && dst == VFM_STATE_RUNNING
		       ? 0
		       : vfm_fail(err, -EBADMSG, "%s", text);
}

static int claim_continues(struct demo *d, char *text, size_t len, struct vfm_err *err)
{
	int ret = demo_end_read_counts(&d->src, err);

	if (ret)
		return ret;
	snprintf(text, len,
		 "DMA went on at write %" PRIu64 " where the source stopped at %" PRIu64
		 ", and has come to %" PRIu64,
		 d->arrival.writes, d->src.ring.count, d->dst.ring.count);
	return d->arrival.writes == d->src.ring.count && d->dst.ring.count > d->src.ring.count
		       ? 0
		       : vfm_fail(err, -EBADMSG, "%s", text);
}

static int claim_interrupts(struct demo *d, char *text, size_t len, struct vfm_err *err)
{
	snprintf(text, len,
		 "interrupts arrived, %" PRIu64 " from the source, %" PRIu64
		 " from the destination",
		 d->src.interrupts, d->dst.interrupts);
	return d->src.interrupts && d->dst.interrupts ? 0 : vfm_fail(err, -EBADMSG, "%s", text);
}

static int check_memory(struct demo *d, struct demo_end *end, char *text, size_t len,
			struct vfm_err *err)
{
	struct vfm_sim_ring ring;
	char size[32];
	void *mem;
	int ret = vfm_sim_get_ring(end->end.dev, &ring, err);

	if (ret)
		return ret;
	end->ring = ring;
	vfm_format_size(size, sizeof(size), ring.size);
	snprintf(text, len, "all %s of memory at the %s, after %" PRIu64 " writes", size, end->name,
		 ring.count);
	if (ring.size != d->args->demo_memory)
		return vfm_fail(err, -EBADMSG, "the %s writes to %" PRIu64 " bytes", end->name,
				ring.size);
	mem = vfm_memory_at(end->end.mem, ring.iova, ring.size);
	if (!mem)
		return vfm_fail(err, -EBADMSG, "the memory did not come to the %s", end->name);
	return vfm_sim_check_memory(&ring, mem, NULL, err);
}

static int claim_source_memory(struct demo *d, char *text, size_t len, struct vfm_err *err)
{
	return check_memory(d, &d->src, text, len, err);
}

static int claim_memory(struct demo *d, char *text, size_t len, struct vfm_err *err)
{
	return check_memory(d, &d->dst, text, len, err);
}

static int check_state(struct demo *d, struct demo_end *end, char *text, size_t len,
		       struct vfm_err *err)
{
	char size[32];
	int ret = vfm_sim_get_state(end->end.dev, &end->state, err);

	if (ret)
		return ret;
	vfm_format_size(size, sizeof(size), end->state.size);
	snprintf(text, len, "all %s of state in the %s, after %" PRIu64 " changes", size, end->name,
		 end->state.changes);
	if (end->state.size != d->args->state)
		return vfm_fail(err, -EBADMSG, "the %s has %" PRIu64 " bytes of state", end->name,
				end->state.size);
	return vfm_sim_check_state(&end->state, err);
}

static int claim_source_state(struct demo *d, char *text, size_t len, struct vfm_err *err)
{
	return check_state(d, &d->src, text, len, err);
}

/* After claim_source_state(): compares with what the source stopped at. */
static int claim_state(struct demo *d, char *text, size_t len, struct vfm_err *err)
{
	int ret = check_state(d, &d->dst, text, len, err);

	if (ret)
		return ret;
	if (d->dst.state.seed != d->src.state.seed || d->arrival.changes != d->src.state.changes ||
	    d->dst.state.changes < d->src.state.changes)
		return vfm_fail(err, -EBADMSG,
				"the state did not go on from the source's: change %" PRIu64
				" there, %" PRIu64 " on arrival, %" PRIu64 " now",
				d->src.state.changes, d->arrival.changes, d->dst.state.changes);
	return 0;
}

typedef int claim_fn(struct demo *d, char *text, size_t len, struct vfm_err *err);

static claim_fn *const claims[] = {
	claim_owner,  claim_continues,	  claim_interrupts, claim_source_memory,
	claim_memory, claim_source_state, claim_state,
};
_Static_assert(VFM_ARRAY_SIZE(claims) <= NR_CLAIMS, "room for every claim");

/* All claims; the first that fails is the error. */
static int prove(struct demo *d, struct vfm_err *err)
{
	int failed = 0;

	for (size_t i = 0; i < VFM_ARRAY_SIZE(claims); i++) {
		struct claim *c = &d->claims[d->nr_claims++];
		struct vfm_err why = { 0 };

		c->ret = claims[i](d, c->text, sizeof(c->text), &why);
		if (!c->ret)
			continue;
		cmd_explain(c->ret, &why);
		snprintf(c->text, sizeof(c->text), "%s", why.msg);
		if (!failed)
			failed = vfm_fail(err, c->ret, "not verified: %.480s", why.msg);
	}
	return failed;
}

/* ---- the order of things ------------------------------------------------------------- */

/* Another seed for each, so that what is right at the destination must have come there. */
static void describe_end(struct demo_end *end, const struct cmd_args *args, unsigned int seed,
			 bool v1, bool bridged)
{
	end->server = (struct demo_server){ .name = end->name, .v1 = v1, .args = args };
	end->bridge = (struct demo_server){ .name = end->bridge_name, .v1 = !v1, .args = args };
	end->bridged = bridged;
	snprintf(end->server.uri, sizeof(end->server.uri),
		 "sim:dma,state=%" PRIu64 ",dirty=%" PRIu64 ",seed=%u", args->state, args->dirty,
		 seed);
}

static int prepare(struct demo *d, struct vfm_err *err)
{
	uint64_t p = d->args->protocol, b = d->args->bridge;
	int ret = demo_folder_new(d->folder, sizeof(d->folder), err);

	describe_end(&d->src, d->args, 1, p == CMD_PROTOCOL_V1 || p == CMD_PROTOCOL_V1_V2,
		     b & CMD_BRIDGE_SOURCE);
	describe_end(&d->dst, d->args, 2, p == CMD_PROTOCOL_V1 || p == CMD_PROTOCOL_V2_V1,
		     b & CMD_BRIDGE_DESTINATION);
	if (!ret)
		ret = demo_end_open(&d->src, d->folder, d->run.signal_fd, err);
	return ret ? ret : demo_end_open(&d->dst, d->folder, d->run.signal_fd, err);
}

static int run_demo(struct demo *d, struct vfm_err *err)
{
	/* a change is a page: at a low rate there may be none for long */
	bool changes = d->args->dirty >= 65536;
	int ret = prepare(d, err);

	if (!ret)
		ret = demo_end_start(&d->src, d->args, d->run.signal_fd, err);
	if (!ret)
		ret = demo_end_wait_work(&d->src, changes, d->run.signal_fd, err);
	if (!ret)
		ret = demo_move(&d->run, &d->src, &d->dst, &d->arrival, err);
	if (ret)
		return ret;
	d->moved = true;
	ret = demo_end_wait_work(&d->dst, changes, d->run.signal_fd, err);
	if (!ret)
		ret = vfm_sim_stop_ring(d->dst.end.dev, err);
	return ret ? ret : prove(d, err);
}

static void remove_folder(const struct demo *d)
{
	if (!d->folder[0])
		return;
	if (d->args->keep) {
		cmd_warn("demo", d->folder);
		return;
	}
	demo_server_remove(&d->src.server);
	demo_server_remove(&d->src.bridge);
	demo_server_remove(&d->dst.server);
	demo_server_remove(&d->dst.bridge);
	rmdir(d->folder);
}

/* A server that ends badly is a failure of a demo that went well until then. */
static int clean_up(struct demo *d, int ret, struct vfm_err *err)
{
	/* a bridge before what it leads to */
	struct demo_server *servers[] = { &d->src.bridge, &d->src.server, &d->dst.bridge,
					  &d->dst.server };

	demo_end_close(&d->src);
	demo_end_close(&d->dst);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(servers); i++) {
		int stopped = demo_server_stop(servers[i], ret ? NULL : err);

		ret = ret ? ret : stopped;
	}
	remove_folder(d);
	return ret;
}

/* ---- what is printed -------------------------------------------------------------------- */

static void print_bytes(uint64_t bytes)
{
	if (bytes)
		printf("  %8.1f MiB", (double)bytes / (1 << 20));
	else
		printf("  %12s", "-");
}

static void print_phases(const struct vfm_migration_report *r)
{
	printf("%-10s  %12s  %12s  %12s\n", "phase", "time", "state", "memory");
	for (int p = 0; p < VFM_NR_PHASES; p++) {
		printf("%-10s  %9.1f ms", vfm_phase_name((enum vfm_phase)p),
		       (double)r->phases[p].us / 1000);
		print_bytes(r->phases[p].device_bytes);
		print_bytes(r->phases[p].memory_bytes);
		putchar('\n');
	}
	printf("%-10s  %9.1f ms", "total", (double)r->total_us / 1000);
	print_bytes(r->state_bytes);
	print_bytes(r->memory_bytes);
	printf("\n\ndowntime    %9.1f ms after %" PRIu32 " round%s\n",
	       (double)r->downtime_us / 1000, r->rounds, r->rounds == 1 ? "" : "s");
	printf("predicted   %9.1f ms +-%.1f, longest: %s\n",
	       (double)r->prediction.downtime_us / 1000, (double)r->prediction.error_us / 1000,
	       vfm_part_name(r->prediction.limiting));
	printf("throughput  %9.1f MiB/s in pre-copy\n\n", (double)r->bytes_per_second / (1 << 20));
}

static const char *protocol_name(const struct demo_server *server)
{
	return server->v1 ? "v1" : "v2";
}

static void print_way(const struct demo_end *end)
{
	printf("%-12s protocol %s", end->name, protocol_name(&end->server));
	if (end->bridged)
		printf(", behind a bridge that speaks %s", protocol_name(&end->bridge));
	putchar('\n');
}

static void print_words(const struct demo *d)
{
	char state[32], memory[32];

	vfm_format_size(state, sizeof(state), d->args->state);
	vfm_format_size(memory, sizeof(memory), d->args->demo_memory);
	if (d->moved) {
		printf("sim:dma, %s of state, %s of memory, from a process to another\n", state,
		       memory);
		print_way(&d->src);
		print_way(&d->dst);
		putchar('\n');
		print_phases(&d->run.report);
	}
	for (size_t i = 0; i < d->nr_claims; i++)
		printf("%s: %s\n", d->claims[i].ret ? "WRONG" : "verified", d->claims[i].text);
}

static void json_end(struct cmd_json *j, const struct demo_end *end)
{
	cmd_json_open(j, end->name);
	cmd_json_text(j, "device", end->server.uri);
	cmd_json_text(j, "protocol", protocol_name(&end->server));
	cmd_json_text(j, "bridge", end->bridged ? protocol_name(&end->bridge) : NULL);
	cmd_json_u64(j, "writes", end->ring.count);
	cmd_json_u64(j, "changes", end->state.changes);
	cmd_json_u64(j, "interrupts", end->interrupts);
	cmd_json_close(j);
}

static void json_demo(struct cmd_json *j, const void *user)
{
	const struct demo *d = (const struct demo *)user;
	bool verified = d->nr_claims > 0;

	cmd_json_open_list(j, "checks");
	for (size_t i = 0; i < d->nr_claims; i++) {
		cmd_json_open(j, NULL);
		cmd_json_bool(j, "ok", !d->claims[i].ret);
		cmd_json_text(j, "text", d->claims[i].text);
		cmd_json_close(j);
		verified = verified && !d->claims[i].ret;
	}
	cmd_json_close(j);
	cmd_json_bool(j, "verified", verified);
	json_end(j, &d->src);
	json_end(j, &d->dst);
}

static int check_args(const struct cmd_args *args, struct vfm_err *err)
{
	if (args->demo_memory % VFM_SIM_SPAN)
		return vfm_fail(err, CMD_MISUSE, "--memory must be a multiple of %u", VFM_SIM_SPAN);
	if (args->state % VFM_SIM_SPAN)
		return vfm_fail(err, CMD_MISUSE, "--state must be a multiple of %u", VFM_SIM_SPAN);
	return 0;
}

int cmd_demo(const struct cmd_args *args, struct vfm_err *err)
{
	struct demo d = {
		.args = args,
		.src = { .name = "source", .bridge_name = "source-bridge", .irqs = { -1, -1, -1 } },
		.dst = { .name = "destination",
			 .bridge_name = "destination-bridge",
			 .irqs = { -1, -1, -1 } }
	};
	int ret = check_args(args, err);

	if (ret)
		return ret;
	/* there is no device yet whose state could be asked */
	ret = cmd_run_begin(&d.run, args, NULL, err);
	if (ret)
		return ret;
	if (!(args->given & CMD_BIT(MAX_DOWNTIME)))
		d.run.opts.max_downtime_ms = MAX_DOWNTIME_MS;
	ret = run_demo(&d, err);
	ret = cmd_run_end(&d.run, clean_up(&d, ret, err), err);
	if (!args->json)
		print_words(&d);
	return cmd_run_report(&d.run, ret, json_demo, &d, err);
}
