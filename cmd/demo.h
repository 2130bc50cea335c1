// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The parts of vfmig demo:
 *
 *   demo_server.c  a folder, and "vfmig serve" processes in it
 *   demo_end.c     one end: the device, its memory, its interrupts, its work
 *   demo_move.c    the migration, with the destination's half in a thread
 *   cmd_demo.c     the order of things, the proof, and the tables
 */

#ifndef VFM_CMD_DEMO_H
#define VFM_CMD_DEMO_H

#include <vfmig/sim.h>

#include "cmd.h"

#define DEMO_VECTORS 3 /* one for each cause that sim:dma knows */

/* ---- servers ---------------------------------------------------------------------- */

/**
 * struct demo_server - a process that shows a device
 * @name: of its socket and its log
 * @uri: what it shows: a software device, or for a bridge another server
 * @v1: the protocol in which it does
 * @args: how the data section of v1 shall be
 * @pid: 0: none
 */
struct demo_server {
	const char *name;
	char uri[128];
	bool v1;
	const struct cmd_args *args;
	pid_t pid;
	char socket[100];
	char log[100];
};

/** demo_folder_new() - a private folder for sockets and logs. */
int demo_folder_new(char *folder, size_t len, struct vfm_err *err) VFM_MUST_CHECK;

/** demo_server_start() - returns when it listens; what is above @pid has been filled in. */
int demo_server_start(struct demo_server *server, const char *folder, int signal_fd,
		      struct vfm_err *err) VFM_MUST_CHECK;

/** demo_server_stop() - end it; -EIO when it does not end as it should. Its log stays. */
int demo_server_stop(struct demo_server *server, struct vfm_err *err) VFM_MUST_CHECK;

/** demo_server_remove() - its socket and its log. */
void demo_server_remove(const struct demo_server *server);

/* ---- ends --------------------------------------------------------------------------- */

/**
 * struct demo_end - one of the two
 * @name, @bridge_name: "source" and so on
 * @server: of the device
 * @bridge: over the server, if there is to be one (@bridged): then we talk to that
 * @irqs: eventfds of the vectors
 * @interrupts: how many came
 * @ring, @state: as read last
 */
struct demo_end {
	const char *name, *bridge_name;
	struct demo_server server, bridge;
	bool bridged;
	struct cmd_end end;
	int irqs[DEMO_VECTORS];
	uint64_t interrupts;
	struct vfm_sim_ring ring;
	struct vfm_sim_state state;
};

/** demo_end_open() - start the servers and connect. */
int demo_end_open(struct demo_end *end, const char *folder, int signal_fd,
		  struct vfm_err *err) VFM_MUST_CHECK;

/** demo_end_close() - leave the device; the server is another matter. */
void demo_end_close(struct demo_end *end);

/** demo_end_wire() - let its interrupts arrive at @irqs. */
int demo_end_wire(struct demo_end *end, struct vfm_err *err) VFM_MUST_CHECK;

/** demo_end_start() - give it memory, and work to do without end. */
int demo_end_start(struct demo_end *end, const struct cmd_args *args, int signal_fd,
		   struct vfm_err *err) VFM_MUST_CHECK;

/** demo_end_settle() - forget the interrupts so far, read the counts: what comes now is new. */
int demo_end_settle(struct demo_end *end, struct vfm_err *err) VFM_MUST_CHECK;

/**
 * demo_end_wait_work() - until it has been seen to write, to change and to interrupt
 *
 * Counted from what @ring and @state hold; they are renewed.
 */
int demo_end_wait_work(struct demo_end *end, bool changes, int signal_fd,
		       struct vfm_err *err) VFM_MUST_CHECK;

/** demo_end_read_counts() - count of writes and of changes, without the digest. */
int demo_end_read_counts(struct demo_end *end, struct vfm_err *err) VFM_MUST_CHECK;

/* ---- the move ------------------------------------------------------------------------ */

/**
 * struct demo_arrival - the destination as it was just before it ran
 */
struct demo_arrival {
	uint64_t writes;
	uint64_t changes;
};

/** demo_move() - from @src to @dst over TCP, while @src works; fills in run->report. */
int demo_move(struct cmd_run *run, struct demo_end *src, struct demo_end *dst,
	      struct demo_arrival *arrival, struct vfm_err *err) VFM_MUST_CHECK;

#endif
