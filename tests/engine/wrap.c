// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "wrap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct wrap *of(struct vfm_device *dev)
{
	return (struct wrap *)dev;
}

/* One of the calls that fail is this one. */
static bool hit(struct wrap *w)
{
	return w->fault == WRAP_GONE ? w->calls >= w->at : w->calls == w->at;
}

static bool before(struct wrap *w, const char *call)
{
	w->calls++;
	if (w->hook)
		w->hook(w, call);
	if (w->fault == WRAP_NONE || w->fault == WRAP_AFTER || !hit(w))
		return false;
	if (!w->failed++)
		w->failed_call = call;
	return true;
}

static bool after(struct wrap *w, unsigned int nr, const char *call)
{
	if (w->fault != WRAP_AFTER || nr != w->at)
		return false;
	w->failed++;
	w->failed_call = call;
	return true;
}

#define FAULT(w) ((w)->fault == WRAP_GONE ? -ENOTCONN : (w)->code ? (w)->code : -EIO)

/* Count the call, fail it if it is its turn, else hand it on; @call is the expression for that. */
#define PASS(dev, name, call)                                                                      \
	do {                                                                                       \
		struct wrap *w_ = of(dev);                                                         \
		unsigned int nr_ = w_->calls + 1;                                                  \
		__typeof__(call) ret_;                                                             \
                                                                                                   \
		if (before(w_, name))                                                              \
			return vfm_fail(err, FAULT(w_), "%s: told to fail", name);                 \
		ret_ = call;                                                                       \
		if (after(w_, nr_, name))                                                          \
			return vfm_fail(err, FAULT(w_), "%s: told to fail when done", name);       \
		return ret_;                                                                       \
	} while (0)

#define INNER(dev) (of(dev)->inner)

static void w_close(struct vfm_device *dev)
{
	(void)dev;
}

static int w_get_info(struct vfm_device *dev, struct vfm_device_info *info, struct vfm_err *err)
{
	PASS(dev, "get_info", vfm_device_get_info(INNER(dev), info, err));
}

static int w_get_region(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			struct vfm_err *err)
{
	PASS(dev, "get_region", vfm_device_get_region(INNER(dev), index, region, err));
}

static int w_read_region(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			 size_t len, struct vfm_err *err)
{
	PASS(dev, "read_region", vfm_device_read_region(INNER(dev), index, offset, buf, len, err));
}

static int w_write_region(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf,
			  size_t len, struct vfm_err *err)
{
	PASS(dev, "write_region",
	     vfm_device_write_region(INNER(dev), index, offset, buf, len, err));
}

static int w_map_dma(struct vfm_device *dev, const struct vfm_dma_map *map, struct vfm_err *err)
{
	PASS(dev, "map_dma", vfm_device_map_dma(INNER(dev), map, err));
}

static int w_unmap_dma(struct vfm_device *dev, uint64_t iova, uint64_t size, struct vfm_err *err)
{
	PASS(dev, "unmap_dma", vfm_device_unmap_dma(INNER(dev), iova, size, err));
}

static int w_get_migration(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err)
{
	PASS(dev, "get_migration", vfm_device_get_migration(INNER(dev), migration, err));
}

static int w_get_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	PASS(dev, "get_state", vfm_device_get_state(INNER(dev), state, err));
}

static int set_state(struct wrap *w, enum vfm_state state, struct vfm_err *err)
{
	int ret;

	if (w->fail_prove && state == VFM_STATE_STOP)
		return vfm_fail(err, -EBADMSG, "told not to take it");
	if (w->arc)
		w->arc(w, state, false);
	ret = vfm_device_set_state(w->inner, state, err);
	if (w->arc)
		w->arc(w, state, true);
	return ret;
}

static int w_set_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	PASS(dev, "set_state", set_state(of(dev), state, err));
}

/* What the device says at an end, or at a pause, and what we tell instead. */
static ssize_t twist_end(struct wrap *w, ssize_t n)
{
	if (n == -ENOMSG && w->zero_for_nomsg)
		return 0;
	if (n == 0 && w->nomsg_for_zero)
		return -ENOMSG;
	return n;
}

static ssize_t w_read_data(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	PASS(dev, "read_data", twist_end(of(dev), vfm_device_read_data(INNER(dev), buf, len, err)));
}

static int write_data(struct wrap *w, const void *buf, size_t len, struct vfm_err *err)
{
	int ret = vfm_device_write_data(w->inner, buf, len, err);

	w->written += ret ? 0 : len;
	return ret;
}

static int w_write_data(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err)
{
	PASS(dev, "write_data", write_data(of(dev), buf, len, err));
}

static int precopy_info(struct wrap *w, struct vfm_precopy_info *info, struct vfm_err *err)
{
	int ret = vfm_device_get_precopy_info(w->inner, info, err);

	if (!ret && w->initial)
		info->initial_bytes = w->initial;
	if (!ret && w->reinit)
		info->reinit = true;
	return ret;
}

static int w_get_precopy_info(struct vfm_device *dev, struct vfm_precopy_info *info,
			      struct vfm_err *err)
{
	if (of(dev)->no_info)
		return vfm_fail(err, -ENOTTY, "no pre-copy info");
	PASS(dev, "get_precopy_info", precopy_info(of(dev), info, err));
}

static int data_size(struct wrap *w, uint64_t *bytes, struct vfm_err *err)
{
	int ret = vfm_device_get_data_size(w->inner, bytes, err);

	if (!ret && w->data_size)
		*bytes = w->data_size;
	if (!ret && w->no_size)
		*bytes = 0;
	return ret;
}

static int w_get_data_size(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err)
{
	if (of(dev)->no_info)
		return vfm_fail(err, -ENOTTY, "no data size");
	PASS(dev, "get_data_size", data_size(of(dev), bytes, err));
}

static int w_reset(struct vfm_device *dev, struct vfm_err *err)
{
	PASS(dev, "reset", vfm_device_reset(INNER(dev), err));
}

static int w_get_compat(struct vfm_device *dev, struct vfm_compat *compat, struct vfm_err *err)
{
	PASS(dev, "get_compat", vfm_device_get_compat(INNER(dev), compat, err));
}

static int note_orphan(struct wrap *w, enum vfm_orphan orphan)
{
	w->orphan = (int)orphan;
	return 0;
}

static int w_set_orphan(struct vfm_device *dev, enum vfm_orphan orphan, struct vfm_err *err)
{
	if (of(dev)->no_orphan)
		return vfm_fail(err, -ENOTTY, "no orphans");
	PASS(dev, "set_orphan", note_orphan(of(dev), orphan));
}

static int start_log(struct wrap *w, uint64_t *page_size, const struct vfm_range *ranges, size_t n,
		     struct vfm_err *err)
{
	int ret;

	if (w->max_ranges && n > w->max_ranges)
		return vfm_fail(err, w->code ? w->code : -E2BIG, "log %zu ranges", n);
	if (w->log_page)
		*page_size = w->log_page;
	ret = vfm_device_start_log(w->inner, page_size, ranges, n, err);
	w->logs += !ret;
	w->log_ranges = n;
	return ret;
}

static int w_start_log(struct vfm_device *dev, uint64_t *page_size, const struct vfm_range *ranges,
		       size_t nr_ranges, struct vfm_err *err)
{
	if (of(dev)->no_log)
		return vfm_fail(err, -ENOTTY, "no log");
	PASS(dev, "start_log", start_log(of(dev), page_size, ranges, nr_ranges, err));
}

static int report_log(struct wrap *w, uint64_t iova, uint64_t size, uint64_t page_size,
		      uint64_t *bitmap, struct vfm_err *err)
{
	size_t words = vfm_log_bitmap_words(size, page_size);
	uint64_t *lost;
	int ret;

	w->reports++;
	if (w->reports == w->fail_report)
		return vfm_fail(err, -EIO, "told to fail report %u", w->reports);
	if (w->reports != w->lose_report)
		return vfm_device_report_log(w->inner, iova, size, page_size, bitmap, err);
	lost = calloc(words, sizeof(*lost));
	ret = vfm_device_report_log(w->inner, iova, size, page_size, lost, err);
	free(lost);
	return ret;
}

static int w_report_log(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
			uint64_t *bitmap, struct vfm_err *err)
{
	PASS(dev, "report_log", report_log(of(dev), iova, size, page_size, bitmap, err));
}

static int stop_log(struct wrap *w, struct vfm_err *err)
{
	int ret = vfm_device_stop_log(w->inner, err);

	w->logs -= !ret;
	return ret;
}

static int w_stop_log(struct vfm_device *dev, struct vfm_err *err)
{
	PASS(dev, "stop_log", stop_log(of(dev), err));
}

static int w_get_fd(struct vfm_device *dev)
{
	return vfm_device_get_fd(INNER(dev));
}

static int w_process(struct vfm_device *dev, struct vfm_err *err)
{
	of(dev)->processed++;
	PASS(dev, "process", vfm_device_process(INNER(dev), err));
}

static const struct vfm_device_ops ops = {
	.close = w_close,
	.get_info = w_get_info,
	.get_region = w_get_region,
	.read_region = w_read_region,
	.write_region = w_write_region,
	.map_dma = w_map_dma,
	.unmap_dma = w_unmap_dma,
	.get_migration = w_get_migration,
	.get_state = w_get_state,
	.set_state = w_set_state,
	.read_data = w_read_data,
	.write_data = w_write_data,
	.get_precopy_info = w_get_precopy_info,
	.get_data_size = w_get_data_size,
	.reset = w_reset,
	.get_compat = w_get_compat,
	.set_orphan = w_set_orphan,
	.start_log = w_start_log,
	.report_log = w_report_log,
	.stop_log = w_stop_log,
	.get_fd = w_get_fd,
	.process = w_process,
};

struct wrap *wrap_new(struct vfm_device *inner)
{
	struct wrap *w = calloc(1, sizeof(*w));

	if (!w || vfm_device_init(&w->dev, &ops, vfm_device_uri(inner), NULL))
		abort();
	w->inner = inner;
	w->orphan = -1;
	return w;
}

void wrap_free(struct wrap *w)
{
	vfm_device_close(&w->dev);
}
