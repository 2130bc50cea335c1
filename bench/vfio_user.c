// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/* Rows about vfio-user: a device in another process, through client and server. */

#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vfmig/sim.h>

#include "base/util.h"

#define ACCESSES 20000u
#define REGISTER_MESSAGE 36u /* header, what is accessed, 4 bytes */
#define STATE "128M"
#define STATE_BYTES BENCH_STATE_BYTES
#define MAPS 1000u
#define LOGGED (UINT64_C(64) << 30)
#define LOG_BITMAP (LOGGED / 4096 / 8)

struct ctx {
	struct vfm_device *dev;
	pid_t child;
	uint8_t *image;
	size_t len;
	uint64_t *bitmap;
	int memfd;
};

static struct ctx *serve(const char *uri)
{
	struct ctx *ctx = calloc(1, sizeof(*ctx));

	ctx->dev = bench_serve(&(struct bench_served){ .uri = uri }, &ctx->child);
	ctx->memfd = -1;
	return ctx;
}

static void teardown(void *user)
{
	struct ctx *ctx = user;

	vfm_device_close(ctx->dev);
	bench_reap(ctx->child, -1);
	if (ctx->memfd >= 0)
		close(ctx->memfd);
	free(ctx->bitmap);
	free(ctx->image);
	free(ctx);
}

static void set_state(struct ctx *ctx, enum vfm_state state)
{
	struct vfm_err err;

	bench_ok(vfm_device_set_state(ctx->dev, state, &err), &err);
}

/* ---- registers -------------------------------------------------------------- */

static void *small_device(void)
{
	return serve("sim:dma,state=1M,dirty=0");
}

static double bare_register(void *user)
{
	(void)user;
	return bench_ping_pong(REGISTER_MESSAGE, ACCESSES);
}

static double access_register(struct ctx *ctx, bool write)
{
	struct vfm_device *dev = ctx->dev;
	uint32_t value = 0;
	double begin = 0;
	struct vfm_err err;

	for (unsigned int i = 0; i < ACCESSES + ACCESSES / 10; i++) {
		if (i == ACCESSES / 10)
			begin = bench_seconds();
		bench_ok(write ? vfm_device_write_region(dev, VFM_SIM_REG_BAR, VFM_SIM_REG_SCRATCH,
							 &value, 4, &err)
			       : vfm_device_read_region(dev, VFM_SIM_REG_BAR, VFM_SIM_REG_SCRATCH,
							&value, 4, &err),
			 &err);
	}
	return (bench_seconds() - begin) / ACCESSES;
}

static double read_register(void *user)
{
	return access_register(user, false);
}

static double write_register(void *user)
{
	return access_register(user, true);
}

/* ---- state data ------------------------------------------------------------- */

static double bare_stream(void *user)
{
	(void)user;
	return bench_stream(false, STATE_BYTES);
}

/* Read the image into ctx->image, or into one buffer over and over. */
static uint64_t read_image(struct ctx *ctx, bool keep)
{
	uint64_t total = 0;
	struct vfm_err err;
	ssize_t n;

	do {
		n = vfm_device_read_data(ctx->dev, ctx->image + (keep ? total : 0), BENCH_MESSAGE,
					 &err);
		bench_ok((int)n, &err);
		total += (uint64_t)n;
	} while (n);
	return total;
}

static void *large_device(void)
{
	struct ctx *ctx = serve("sim:dma,state=" STATE ",dirty=0,bar=64K");

	ctx->image = malloc(STATE_BYTES + (UINT64_C(16) << 20));
	memset(ctx->image, 0, STATE_BYTES + (UINT64_C(16) << 20));
	set_state(ctx, VFM_STATE_STOP_COPY);
	ctx->len = read_image(ctx, true);
	set_state(ctx, VFM_STATE_RUNNING);
	return ctx;
}

/* As large_device(), but for the device. */
static void *null_device(void)
{
	struct ctx *ctx = calloc(1, sizeof(*ctx));

	ctx->dev = bench_serve(&(struct bench_served){ 0 }, &ctx->child);
	ctx->memfd = -1;
	return ctx;
}

static double read_state(void *user)
{
	struct ctx *ctx = user;
	uint8_t *image = ctx->image;
	double begin, end;
	uint64_t total;

	ctx->image = malloc(BENCH_MESSAGE);
	memset(ctx->image, 0, BENCH_MESSAGE);
	set_state(ctx, VFM_STATE_STOP_COPY);
	begin = bench_seconds();
	total = read_image(ctx, false);
	end = bench_seconds();
	set_state(ctx, VFM_STATE_RUNNING);
	free(ctx->image);
	ctx->image = image;
	return (double)total / (end - begin);
}

static double write_state(void *user)
{
	struct ctx *ctx = user;
	struct vfm_err err;
	double begin, end;

	set_state(ctx, VFM_STATE_RESUMING);
	begin = bench_seconds();
	for (size_t at = 0; at < ctx->len; at += BENCH_MESSAGE)
		bench_ok(vfm_device_write_data(ctx->dev, ctx->image + at,
					       VFM_MIN(ctx->len - at, BENCH_MESSAGE), &err),
			 &err);
	end = bench_seconds();
	set_state(ctx, VFM_STATE_RUNNING);
	return (double)ctx->len / (end - begin);
}

/* The same message again and again: nothing but the wire costs time. */
static double write_message(void *user)
{
	struct ctx *ctx = user;
	uint8_t *buf = malloc(BENCH_MESSAGE);
	struct vfm_err err;
	double begin, end;

	memset(buf, 1, BENCH_MESSAGE);
	set_state(ctx, VFM_STATE_RESUMING);
	begin = bench_seconds();
	for (uint64_t at = 0; at < STATE_BYTES; at += BENCH_MESSAGE)
		bench_ok(vfm_device_write_data(ctx->dev, buf, BENCH_MESSAGE, &err), &err);
	end = bench_seconds();
	set_state(ctx, VFM_STATE_RUNNING);
	free(buf);
	return (double)STATE_BYTES / (end - begin);
}

/* ---- DMA maps ---------------------------------------------------------------- */

static void *device_and_memory(void)
{
	struct ctx *ctx = small_device();

	ctx->memfd = memfd_create("bench", MFD_CLOEXEC);
	if (ctx->memfd < 0 || ftruncate(ctx->memfd, MAPS * 4096))
		bench_die("no memory");
	return ctx;
}

static double bare_maps(void *user)
{
	(void)user;
	return bench_ping_pong(REGISTER_MESSAGE, MAPS) * MAPS;
}

static double map_all(struct ctx *ctx, int fd)
{
	static char anywhere[4096];
	double begin = bench_seconds(), end;
	struct vfm_err err;

	for (uint64_t i = 0; i < MAPS; i++) {
		struct vfm_dma_map map = { .iova = i * 8192,
					   .size = 4096,
					   .flags = VFM_DMA_READ | VFM_DMA_WRITE,
					   .fd = fd,
					   .fd_offset = i * 4096,
					   .vaddr = fd < 0 ? anywhere : NULL };

		bench_ok(vfm_device_map_dma(ctx->dev, &map, &err), &err);
	}
	end = bench_seconds();
	bench_ok(vfm_device_unmap_all(ctx->dev, &err), &err);
	return end - begin;
}

static double maps_with_fd(void *user)
{
	struct ctx *ctx = user;

	return map_all(ctx, ctx->memfd);
}

static double maps_without_fd(void *user)
{
	return map_all(user, -1);
}

/* ---- dirty log ---------------------------------------------------------------- */

static void *start_log(struct ctx *ctx)
{
	struct vfm_range range = { 0, LOGGED };
	uint64_t page_size = 4096;
	struct vfm_err err;

	ctx->bitmap = calloc(1, LOG_BITMAP);
	memset(ctx->bitmap, 0, LOG_BITMAP);
	bench_ok(vfm_device_start_log(ctx->dev, &page_size, &range, 1, &err), &err);
	return ctx;
}

static void *device_with_log(void)
{
	return start_log(small_device());
}

static void *dirty_device(void)
{
	struct ctx *ctx = calloc(1, sizeof(*ctx));

	ctx->dev =
		bench_serve(&(struct bench_served){ .driver = &bench_dirty_driver }, &ctx->child);
	ctx->memfd = -1;
	return start_log(ctx);
}

static double bare_bitmap(void *user)
{
	(void)user;
	return (double)LOG_BITMAP / bench_stream(false, LOG_BITMAP * 32);
}

/* The best of many: one is too short for a measurement. */
static double report(struct ctx *ctx, bool dirty)
{
	struct vfm_err err;
	double best = 1e9;

	for (int i = 0; i < 32; i++) {
		double begin, took;

		if (dirty)
			bench_ok(vfm_device_write_region(ctx->dev, 0, 0, "", 1, &err), &err);
		begin = bench_seconds();
		bench_ok(vfm_device_report_log(ctx->dev, 0, LOGGED, 4096, ctx->bitmap, &err), &err);
		took = bench_seconds() - begin;
		best = VFM_MIN(best, took);
		for (size_t w = 0; w < LOG_BITMAP / sizeof(uint64_t); w++)
			if (ctx->bitmap[w] != (dirty ? UINT64_MAX : 0))
				bench_die("a wrong report");
		memset(ctx->bitmap, 0, LOG_BITMAP);
	}
	return best;
}

static double report_clean(void *user)
{
	return report(user, false);
}

static double report_dirty(void *user)
{
	return report(user, true);
}

const struct bench_row bench_vfio_user_rows[] = {
	{ "register read, vfio-user", "bare ping-pong, unix socket", BENCH_SECONDS, 1.15,
	  small_device, bare_register, read_register, teardown },
	{ "register write, vfio-user", "bare ping-pong, unix socket", BENCH_SECONDS, 1.15,
	  small_device, bare_register, write_register, teardown },
	{ "state data read, the wire alone", "bare unix stream, 1 MiB", BENCH_RATE, 0.9,
	  null_device, bare_stream, read_state, teardown },
	{ "state data write, the wire alone", "bare unix stream, 1 MiB", BENCH_RATE, 0.9,
	  null_device, bare_stream, write_message, teardown },
	{ "state data read, whole sim:dma", "bare unix stream, 1 MiB", BENCH_RATE, 0.9,
	  large_device, bare_stream, read_state, teardown },
	{ "state data write, whole sim:dma", "bare unix stream, 1 MiB", BENCH_RATE, 0.9,
	  large_device, bare_stream, write_state, teardown },
	{ "1000 DMA maps with descriptor", "1000 bare ping-pongs", BENCH_SECONDS, 1.3,
	  device_and_memory, bare_maps, maps_with_fd, teardown },
	{ "1000 DMA maps without", "1000 bare ping-pongs", BENCH_SECONDS, 1.3, small_device,
	  bare_maps, maps_without_fd, teardown },
	{ "dirty report of 64 GiB, clean", "its bitmap over a bare socket", BENCH_SECONDS, 1.5,
	  device_with_log, bare_bitmap, report_clean, teardown },
	{ "dirty report of 64 GiB, all dirty", "its bitmap over a bare socket", BENCH_SECONDS, 1.5,
	  dirty_device, bare_bitmap, report_dirty, teardown },
};
const size_t bench_nr_vfio_user_rows = VFM_ARRAY_SIZE(bench_vfio_user_rows);
