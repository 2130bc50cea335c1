// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Rows about protocol v1: state data through a migration region, trapped and mapped, and
 * over a bridge. As for v2 there are rows of the way alone, with a device that costs
 * nothing, and rows of the whole, in which the device copies and checks every byte in
 * turn with the way.
 */

#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"
#include "region/region.h"

#define STATE_BYTES BENCH_STATE_BYTES
#define DEVICE "sim:dma,state=128M,dirty=0,bar=64K"

/*
 * A way to a device, and a second one to compare with.
 * @image, @len: what is saved and loaded
 * @whole: a save fills all of the image, as the limit does; else one buffer over and
 *	over, since a bare stream does that
 */
struct ctx {
	struct vfm_device *dev, *other;
	pid_t children[4];
	unsigned int nr_children;
	uint8_t *image, *buf, *section;
	size_t len;
	bool whole;
};

static void set_state(struct vfm_device *dev, enum vfm_state state)
{
	struct vfm_err err;

	bench_ok(vfm_device_set_state(dev, state, &err), &err);
}

/* Into one buffer over and over, or all of it. */
static uint64_t read_image(struct vfm_device *dev, uint8_t *buf, bool keep)
{
	uint64_t total = 0;
	struct vfm_err err;
	ssize_t n;

	do {
		n = vfm_device_read_data(dev, buf + (keep ? total : 0), BENCH_MESSAGE, &err);
		bench_ok((int)n, &err);
		total += (uint64_t)n;
	} while (n);
	return total;
}

static struct ctx *ctx_new(void)
{
	struct ctx *ctx = calloc(1, sizeof(*ctx));

	ctx->buf = malloc(BENCH_MESSAGE);
	memset(ctx->buf, 1, BENCH_MESSAGE);
	ctx->image = malloc(STATE_BYTES + (UINT64_C(16) << 20));
	memset(ctx->image, 1, STATE_BYTES + (UINT64_C(16) << 20));
	return ctx;
}

static struct ctx *serve(const char *uri, enum vfm_section section)
{
	struct bench_served what = { .uri = uri, .face = VFM_FACE_V1, .section = section };
	struct ctx *ctx = ctx_new();

	ctx->dev = bench_serve(&what, &ctx->children[ctx->nr_children++]);
	return ctx;
}

static void *null_trapped(void)
{
	return serve(NULL, VFM_SECTION_TRAPPED);
}

/* The section of the limit is as that of the device. */
static void map_section(struct ctx *ctx)
{
	int fd = memfd_create("bench", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, VFM_SECTION_SIZE_DEFAULT))
		bench_die("no memory");
	ctx->section =
		mmap(NULL, VFM_SECTION_SIZE_DEFAULT, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ctx->section == MAP_FAILED)
		bench_die("no memory");
	memset(ctx->section, 1, VFM_SECTION_SIZE_DEFAULT);
	close(fd);
}

static void *null_mapped(void)
{
	struct ctx *ctx = serve(NULL, VFM_SECTION_MMAP);

	map_section(ctx);
	ctx->whole = true;
	ctx->len = STATE_BYTES;
	return ctx;
}

static void load_image(struct ctx *ctx)
{
	set_state(ctx->dev, VFM_STATE_STOP_COPY);
	ctx->len = read_image(ctx->dev, ctx->image, true);
	set_state(ctx->dev, VFM_STATE_RUNNING);
}

static void *sim_trapped(void)
{
	struct ctx *ctx = serve(DEVICE, VFM_SECTION_TRAPPED);

	load_image(ctx);
	return ctx;
}

static void *sim_mapped(void)
{
	struct ctx *ctx = serve(DEVICE, VFM_SECTION_MMAP);

	load_image(ctx);
	map_section(ctx);
	ctx->whole = true;
	return ctx;
}

static void teardown(void *user)
{
	struct ctx *ctx = user;

	vfm_device_close(ctx->dev);
	vfm_device_close(ctx->other);
	while (ctx->nr_children--)
		bench_reap(ctx->children[ctx->nr_children], -1);
	if (ctx->section)
		munmap(ctx->section, VFM_SECTION_SIZE_DEFAULT);
	free(ctx->image);
	free(ctx->buf);
	free(ctx);
}

/* ---- limits ------------------------------------------------------------------- */

static double bare_stream(void *user)
{
	(void)user;
	return bench_stream(false, STATE_BYTES);
}

/* An image that comes through the section, or goes. */
static double copy(struct ctx *ctx, bool save)
{
	double begin = bench_seconds();

	for (uint64_t at = 0; at < STATE_BYTES; at += BENCH_MESSAGE) {
		uint8_t *part = ctx->section + at % VFM_SECTION_SIZE_DEFAULT;

		memcpy(save ? ctx->image + at : part, save ? part : ctx->image + at, BENCH_MESSAGE);
	}
	return (double)STATE_BYTES / (bench_seconds() - begin);
}

static double copy_out(void *user)
{
	return copy(user, true);
}

static double copy_in(void *user)
{
	return copy(user, false);
}

/* ---- save and load --------------------------------------------------------------- */

static double save_time(struct ctx *ctx, struct vfm_device *dev, uint64_t *total)
{
	double begin, end;

	set_state(dev, VFM_STATE_STOP_COPY);
	begin = bench_seconds();
	*total = read_image(dev, ctx->whole ? ctx->image : ctx->buf, ctx->whole);
	end = bench_seconds();
	set_state(dev, VFM_STATE_RUNNING);
	return end - begin;
}

static double save(void *user)
{
	struct ctx *ctx = user;
	uint64_t total;
	double took = save_time(ctx, ctx->dev, &total);

	return (double)total / took;
}

/* The image of a device, or for one that takes anything the same message over and over. */
static double load_time(struct ctx *ctx, struct vfm_device *dev)
{
	size_t len = ctx->len ? ctx->len : STATE_BYTES;
	struct vfm_err err;
	double begin;

	set_state(dev, VFM_STATE_RESUMING);
	begin = bench_seconds();
	for (size_t at = 0; at < len; at += BENCH_MESSAGE)
		bench_ok(vfm_device_write_data(dev, ctx->len ? ctx->image + at : ctx->buf,
					       VFM_MIN(len - at, BENCH_MESSAGE), &err),
			 &err);
	set_state(dev, VFM_STATE_STOP);
	begin = bench_seconds() - begin;
	set_state(dev, VFM_STATE_RUNNING);
	return begin;
}

static double load(void *user)
{
	struct ctx *ctx = user;

	return (double)(ctx->len ? ctx->len : STATE_BYTES) / load_time(ctx, ctx->dev);
}

/* ---- bridges ------------------------------------------------------------------------ */

/* A device shown as @device, and that by another process as @shown. */
static struct vfm_device *hop(struct ctx *ctx, enum vfm_face device, enum vfm_face shown,
			      enum vfm_section section)
{
	struct bench_served what = { .uri = DEVICE, .face = device, .section = section };
	struct bench_served bridge = { .face = shown, .section = section };
	struct vfm_device *dev;

	bridge.socket = bench_serve_socket(&what, &ctx->children[ctx->nr_children++]);
	dev = bench_serve(&bridge, &ctx->children[ctx->nr_children++]);
	close(bridge.socket);
	return dev;
}

/* The same two processes, with and without a change of protocol in the second. */
static void *v1_over_v2(void)
{
	struct ctx *ctx = ctx_new();

	ctx->dev = hop(ctx, VFM_FACE_V2, VFM_FACE_V1, VFM_SECTION_MMAP);
	ctx->other = hop(ctx, VFM_FACE_V2, VFM_FACE_V2, VFM_SECTION_TRAPPED);
	load_image(ctx);
	return ctx;
}

static void *v2_over_v1(void)
{
	struct ctx *ctx = ctx_new();

	ctx->dev = hop(ctx, VFM_FACE_V1, VFM_FACE_V2, VFM_SECTION_MMAP);
	ctx->other = hop(ctx, VFM_FACE_V2, VFM_FACE_V2, VFM_SECTION_TRAPPED);
	load_image(ctx);
	return ctx;
}

/* Against no second process at all. */
static void *v1_over_v2_or_direct(void)
{
	struct ctx *ctx = ctx_new();
	struct bench_served what = { .uri = DEVICE };

	ctx->dev = hop(ctx, VFM_FACE_V2, VFM_FACE_V1, VFM_SECTION_MMAP);
	ctx->other = bench_serve(&what, &ctx->children[ctx->nr_children++]);
	load_image(ctx);
	return ctx;
}

static double save_bridged(void *user)
{
	struct ctx *ctx = user;
	uint64_t total;

	return save_time(ctx, ctx->dev, &total);
}

static double save_other(void *user)
{
	struct ctx *ctx = user;
	uint64_t total;

	return save_time(ctx, ctx->other, &total);
}

static double load_bridged(void *user)
{
	struct ctx *ctx = user;

	return load_time(ctx, ctx->dev);
}

static double load_other(void *user)
{
	struct ctx *ctx = user;

	return load_time(ctx, ctx->other);
}

const struct bench_row bench_v1_rows[] = {
	{ "v1 save, trapped, the way alone", "bare unix stream, 1 MiB", BENCH_RATE, 0.9,
	  null_trapped, bare_stream, save, teardown },
	{ "v1 load, trapped, the way alone", "bare unix stream, 1 MiB", BENCH_RATE, 0.9,
	  null_trapped, bare_stream, load, teardown },
	{ "v1 save, mapped, the way alone", "memcpy of it by such a section", BENCH_RATE, 0.8,
	  null_mapped, copy_out, save, teardown },
	{ "v1 load, mapped, the way alone", "memcpy of it by such a section", BENCH_RATE, 0.8,
	  null_mapped, copy_in, load, teardown },
	{ "v1 save, trapped, whole sim:dma", "bare unix stream, 1 MiB", BENCH_RATE, 0.9,
	  sim_trapped, bare_stream, save, teardown },
	{ "v1 load, trapped, whole sim:dma", "bare unix stream, 1 MiB", BENCH_RATE, 0.9,
	  sim_trapped, bare_stream, load, teardown },
	{ "v1 save, mapped, whole sim:dma", "memcpy of it by such a section", BENCH_RATE, 0.8,
	  sim_mapped, copy_out, save, teardown },
	{ "v1 load, mapped, whole sim:dma", "memcpy of it by such a section", BENCH_RATE, 0.8,
	  sim_mapped, copy_in, load, teardown },
	{ "save over a bridge, v1 over v2", "a hop without one", BENCH_SECONDS, 1.05, v1_over_v2,
	  save_other, save_bridged, teardown },
	{ "load over a bridge, v1 over v2", "a hop without one", BENCH_SECONDS, 1.05, v1_over_v2,
	  load_other, load_bridged, teardown },
	{ "save over a bridge, v2 over v1", "a hop without one", BENCH_SECONDS, 1.05, v2_over_v1,
	  save_other, save_bridged, teardown },
	{ "load over a bridge, v2 over v1", "a hop without one", BENCH_SECONDS, 1.05, v2_over_v1,
	  load_other, load_bridged, teardown },
	{ "save over a bridge, v1 over v2", "no hop at all", BENCH_SECONDS, 1.05,
	  v1_over_v2_or_direct, save_other, save_bridged, teardown },
	{ "load over a bridge, v1 over v2", "no hop at all", BENCH_SECONDS, 1.05,
	  v1_over_v2_or_direct, load_other, load_bridged, teardown },
};
const size_t bench_nr_v1_rows = VFM_ARRAY_SIZE(bench_v1_rows);
