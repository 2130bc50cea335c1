// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "wild.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"

int wild_fd = -1;

static enum wild at_open_do, at_stop_do;

static void do_abort(void)
{
	abort();
}

static void do_exit(void)
{
	exit(7);
}

static void do_loop(void)
{
	for (;;)
		pause();
}

static void do_stop(void)
{
	raise(SIGSTOP);
}

/* Every descriptor but the standard ones: the caller must not take that for an end. */
static void do_deaf(void)
{
	close_range(3, ~0U, 0);
	do_loop();
}

/* 4 MiB at a time, and no end. */
static void do_flood(void)
{
	const size_t size = (size_t)4 << 20;

	for (;;) {
		void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0);

		if (p == MAP_FAILED)
			do_loop();
		memset(p, 1, size);
	}
}

static void do_print(void)
{
	printf("not for a report\n");
	fflush(stdout);
}

/* A process of the device's own that outlives it. */
static void do_leave(void)
{
	if (fork() == 0)
		do_loop();
	close(wild_fd);
}

static void do_segv(void)
{
	raise(SIGSEGV);
}

static void (*const deeds[])(void) = {
	[WILD_ABORT] = do_abort, [WILD_EXIT] = do_exit,	  [WILD_LOOP] = do_loop,
	[WILD_STOP] = do_stop,	 [WILD_DEAF] = do_deaf,	  [WILD_FLOOD] = do_flood,
	[WILD_PRINT] = do_print, [WILD_LEAVE] = do_leave, [WILD_SEGV] = do_segv,
};

static void act(enum wild how)
{
	if (deeds[how])
		deeds[how]();
}

/* ---- the rest of it, which is in order ------------------------------------------ */

static int open_it(struct vfm_host *host, const char *params, void **priv, struct vfm_err *err)
{
	(void)host;
	(void)params;
	(void)err;
	*priv = NULL;
	act(at_open_do);
	return 0;
}

static void close_it(void *priv)
{
	(void)priv;
}

static int reset_it(void *priv, struct vfm_err *err)
{
	(void)priv;
	(void)err;
	return 0;
}

static int walk(void *priv, enum vfm_state from, enum vfm_state to, struct vfm_err *err)
{
	(void)priv;
	(void)from;
	(void)err;
	if (to == VFM_STATE_STOP)
		act(at_stop_do);
	return 0;
}

static ssize_t save_it(void *priv, void *buf, struct vfm_err *err)
{
	(void)priv;
	(void)buf;
	(void)err;
	return 0;
}

static int load_it(void *priv, const void *buf, size_t len, struct vfm_err *err)
{
	(void)priv;
	(void)buf;
	(void)len;
	(void)err;
	return 0;
}

static int size_of_it(void *priv, uint64_t *bytes, struct vfm_err *err)
{
	(void)priv;
	(void)err;
	*bytes = 1;
	return 0;
}

static int pending_of_it(void *priv, struct vfm_precopy_info *info, struct vfm_err *err)
{
	(void)priv;
	(void)err;
	*info = (struct vfm_precopy_info){ 0 };
	return 0;
}

static const struct vfm_driver driver = {
	VFM_DRIVER_INIT,
	.model = "wild",
	.version = 1,
	.min_version = 1,
	.migration = VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_PRE_COPY,
	.record_max = 64,
	.open = open_it,
	.close = close_it,
	.reset = reset_it,
	.arc = walk,
	.save = save_it,
	.load = load_it,
	.pending = pending_of_it,
	.data_size = size_of_it,
};

int wild_open(struct vfm_device **out, enum wild how, bool at_open, struct vfm_err *err)
{
	at_open_do = at_open ? how : WILD_NOT;
	at_stop_do = at_open ? WILD_NOT : how;
	return vfm_device_from_driver(out, &driver, NULL, err);
}
