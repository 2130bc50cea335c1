// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Tells of every operation twice: when it begins, so that one that never ends is known
 * too, and when it has ended. What is asked all the time and changes nothing, the
 * descriptor to wait for, is not told.
 */

#include "wrap/wrap.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

struct trace {
	struct vfm_pass pass;
	struct vfm_trace_sink sink;
};

/* One operation under way. */
struct told {
	struct trace *t;
	struct vfm_trace_op op;
	uint64_t begun_ns;
};

static void put(char *text, size_t room, const char *fmt, va_list ap)
{
	vsnprintf(text, room, fmt, ap);
}

static struct told begin(struct vfm_device *dev, const char *name, const char *fmt, ...)
	VFM_PRINTF(3, 4);

static struct told begin(struct vfm_device *dev, const char *name, const char *fmt, ...)
{
	struct told told = { .t = (struct trace *)dev, .op = { .name = name } };
	va_list ap;

	va_start(ap, fmt);
	put(told.op.args, sizeof(told.op.args), fmt, ap);
	va_end(ap);
	told.t->sink.fn(told.t->sink.user, &told.op);
	told.begun_ns = vfm_now_ns();
	return told;
}

/* @fmt: what it gave, looked at only if it succeeded. Returns @ret. */
static int64_t end(struct told *told, int64_t ret, const struct vfm_err *err, const char *fmt, ...)
	VFM_PRINTF(4, 5);

static int64_t end(struct told *told, int64_t ret, const struct vfm_err *err, const char *fmt, ...)
{
	va_list ap;

	told->op.us = (vfm_now_ns() - told->begun_ns) / 1000;
	told->op.done = true;
	told->op.ret = ret;
	va_start(ap, fmt);
	if (ret >= 0)
		put(told->op.result, sizeof(told->op.result), fmt, ap);
	else
		snprintf(told->op.result, sizeof(told->op.result), "%.*s",
			 (int)sizeof(told->op.result) - 1, err->msg);
	va_end(ap);
	told->t->sink.fn(told->t->sink.user, &told->op);
	return ret;
}

void vfm_trace_words(const struct vfm_trace_op *op, char *text, size_t room)
{
	if (!op->done)
		snprintf(text, room, "%s(%s) ...", op->name, op->args);
	else if (op->ret < 0)
		snprintf(text, room, "%s(%s) = %s: %s (%" PRIu64 " us)", op->name, op->args,
			 strerrorname_np((int)-op->ret) ?: "error", op->result, op->us);
	else
		snprintf(text, room, "%s(%s) = %" PRId64 "%s%s (%" PRIu64 " us)", op->name,
			 op->args, op->ret, op->result[0] ? ": " : "", op->result, op->us);
}

/* ---- operations -------------------------------------------------------------- */

static int trace_get_info(struct vfm_device *dev, struct vfm_device_info *info, struct vfm_err *err)
{
	struct told t = begin(dev, "get_info", "%s", "");
	int ret = vfm_pass_get_info(dev, info, err);

	return (int)end(&t, ret, err, "%u regions, %u interrupts", info->nr_regions, info->nr_irqs);
}

static int trace_get_region(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			    struct vfm_err *err)
{
	struct told t = begin(dev, "get_region", "%u", index);
	int ret = vfm_pass_get_region(dev, index, region, err);

	return (int)end(&t, ret, err, "0x%" PRIx64 " bytes", region->size);
}

/* What a small access has moved, as a number. */
static uint64_t small_value(const void *buf, size_t len)
{
	uint64_t value = 0;

	memcpy(&value, buf, VFM_MIN(len, sizeof(value)));
	return value;
}

static int trace_read_region(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			     size_t len, struct vfm_err *err)
{
	struct told t =
		begin(dev, "read_region", "%u, 0x%" PRIx64 ", %zu bytes", index, offset, len);
	int ret = vfm_pass_read_region(dev, index, offset, buf, len, err);

	return (int)end(&t, ret, err, "0x%" PRIx64, ret ? 0 : small_value(buf, len));
}

static int trace_write_region(struct vfm_device *dev, uint32_t index, uint64_t offset,
			      const void *buf, size_t len, struct vfm_err *err)
{
	struct told t = begin(dev, "write_region", "%u, 0x%" PRIx64 ", %zu bytes: 0x%" PRIx64,
			      index, offset, len, small_value(buf, len));

	return (int)end(&t, vfm_pass_write_region(dev, index, offset, buf, len, err), err, "%s",
			"");
}

static int trace_get_irq(struct vfm_device *dev, uint32_t index, struct vfm_irq *irq,
			 struct vfm_err *err)
{
	struct told t = begin(dev, "get_irq", "%u", index);
	int ret = vfm_pass_get_irq(dev, index, irq, err);

	return (int)end(&t, ret, err, "%u vectors", irq->count);
}

static int trace_set_irqs(struct vfm_device *dev, const struct vfm_irq_set *set,
			  struct vfm_err *err)
{
	struct told t = begin(dev, "set_irqs", "%u, %u to %u, flags 0x%x", set->index, set->start,
			      set->start + set->count, set->flags);

	return (int)end(&t, vfm_pass_set_irqs(dev, set, err), err, "%s", "");
}

static int trace_map_dma(struct vfm_device *dev, const struct vfm_dma_map *map, struct vfm_err *err)
{
	struct told t = begin(dev, "map_dma", "0x%" PRIx64 ", 0x%" PRIx64 " bytes, flags %u",
			      map->iova, map->size, map->flags);

	return (int)end(&t, vfm_pass_map_dma(dev, map, err), err, "%s", "");
}

static int trace_unmap_dma(struct vfm_device *dev, uint64_t iova, uint64_t size,
			   struct vfm_err *err)
{
	struct told t = begin(dev, "unmap_dma", "0x%" PRIx64 ", 0x%" PRIx64 " bytes", iova, size);

	return (int)end(&t, vfm_pass_unmap_dma(dev, iova, size, err), err, "%s", "");
}

static int trace_unmap_all(struct vfm_device *dev, struct vfm_err *err)
{
	struct told t = begin(dev, "unmap_all", "%s", "");

	return (int)end(&t, vfm_pass_unmap_all(dev, err), err, "%s", "");
}

static int trace_get_migration(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err)
{
	struct told t = begin(dev, "get_migration", "%s", "");
	int ret = vfm_pass_get_migration(dev, migration, err);

	return (int)end(&t, ret, err, "0x%" PRIx64, ret ? 0 : *migration);
}

static int trace_get_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	struct told t = begin(dev, "get_state", "%s", "");
	int ret = vfm_pass_get_state(dev, state, err);

	return (int)end(&t, ret, err, "%s", ret ? "" : vfm_state_name(*state));
}

static int trace_set_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct told t = begin(dev, "set_state", "%s %u", vfm_state_name(state), (unsigned)state);

	return (int)end(&t, VFM_PASS(vfm_pass_inner(dev), set_state, err, state), err, "%s", "");
}

static ssize_t trace_read_data(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	struct told t = begin(dev, "read_data", "%zu bytes", len);

	return end(&t, vfm_pass_read_data(dev, buf, len, err), err, "%s", "");
}

static int trace_write_data(struct vfm_device *dev, const void *buf, size_t len,
			    struct vfm_err *err)
{
	struct told t = begin(dev, "write_data", "%zu bytes", len);

	return (int)end(&t, vfm_pass_write_data(dev, buf, len, err), err, "%s", "");
}

static ssize_t trace_read_chunk(struct vfm_device *dev, void *buf, size_t len, bool *ends,
				struct vfm_err *err)
{
	struct told t = begin(dev, "read_chunk", "%zu bytes", len);
	ssize_t ret = vfm_pass_read_chunk(dev, buf, len, ends, err);

	return end(&t, ret, err, "%s", ret > 0 && *ends ? "the end of a chunk" : "");
}

static int trace_write_chunk(struct vfm_device *dev, const void *buf, size_t len, bool ends,
			     struct vfm_err *err)
{
	struct told t =
		begin(dev, "write_chunk", "%zu bytes%s", len, ends ? ", the end of a chunk" : "");

	return (int)end(&t, vfm_pass_write_chunk(dev, buf, len, ends, err), err, "%s", "");
}

static int trace_get_precopy_info(struct vfm_device *dev, struct vfm_precopy_info *info,
				  struct vfm_err *err)
{
	struct told t = begin(dev, "get_precopy_info", "%s", "");
	int ret = vfm_pass_get_precopy_info(dev, info, err);

	return (int)end(&t, ret, err, "initial %" PRIu64 ", dirty %" PRIu64 "%s",
			ret ? 0 : info->initial_bytes, ret ? 0 : info->dirty_bytes,
			!ret && info->reinit ? ", reinit" : "");
}

static int trace_get_data_size(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err)
{
	struct told t = begin(dev, "get_data_size", "%s", "");
	int ret = vfm_pass_get_data_size(dev, bytes, err);

	return (int)end(&t, ret, err, "%" PRIu64, ret ? 0 : *bytes);
}

static int trace_reset(struct vfm_device *dev, struct vfm_err *err)
{
	struct told t = begin(dev, "reset", "%s", "");

	return (int)end(&t, vfm_pass_reset(dev, err), err, "%s", "");
}

static int trace_get_compat(struct vfm_device *dev, struct vfm_compat *compat, struct vfm_err *err)
{
	struct told t = begin(dev, "get_compat", "%s", "");
	int ret = vfm_pass_get_compat(dev, compat, err);

	return (int)end(&t, ret, err, "%s", ret ? "" : compat->model);
}

static int trace_set_orphan(struct vfm_device *dev, enum vfm_orphan orphan, struct vfm_err *err)
{
	struct told t = begin(dev, "set_orphan", "%u", (unsigned)orphan);

	return (int)end(&t, vfm_pass_set_orphan(dev, orphan, err), err, "%s", "");
}

static int trace_get_protocol(struct vfm_device *dev, struct vfm_protocol *protocol,
			      struct vfm_err *err)
{
	return vfm_device_get_protocol(vfm_pass_inner(dev), protocol, err);
}

static int trace_start_log(struct vfm_device *dev, uint64_t *page_size,
			   const struct vfm_range *ranges, size_t nr_ranges, struct vfm_err *err)
{
	struct told t = begin(dev, "start_log",
			      "pages of %" PRIu64 ", %zu ranges, first 0x%" PRIx64 ", 0x%" PRIx64,
			      *page_size, nr_ranges, ranges[0].iova, ranges[0].size);
	int ret = vfm_pass_start_log(dev, page_size, ranges, nr_ranges, err);

	return (int)end(&t, ret, err, "pages of %" PRIu64, *page_size);
}

static int trace_report_log(struct vfm_device *dev, uint64_t iova, uint64_t size,
			    uint64_t page_size, uint64_t *bitmap, struct vfm_err *err)
{
	struct told t = begin(dev, "report_log", "0x%" PRIx64 ", 0x%" PRIx64 ", pages of %" PRIu64,
			      iova, size, page_size);

	return (int)end(&t, vfm_pass_report_log(dev, iova, size, page_size, bitmap, err), err, "%s",
			"");
}

static int trace_stop_log(struct vfm_device *dev, struct vfm_err *err)
{
	struct told t = begin(dev, "stop_log", "%s", "");

	return (int)end(&t, vfm_pass_stop_log(dev, err), err, "%s", "");
}

static void trace_close(struct vfm_device *dev)
{
	vfm_device_close(vfm_pass_inner(dev));
}

static const struct vfm_device_ops trace_ops = {
	.close = trace_close,
	.get_info = trace_get_info,
	.get_region = trace_get_region,
	.read_region = trace_read_region,
	.write_region = trace_write_region,
	.get_io_fds = vfm_pass_get_io_fds,
	.get_irq = trace_get_irq,
	.set_irqs = trace_set_irqs,
	.map_dma = trace_map_dma,
	.unmap_dma = trace_unmap_dma,
	.unmap_all = trace_unmap_all,
	.get_migration = trace_get_migration,
	.get_state = trace_get_state,
	.set_state = trace_set_state,
	.read_data = trace_read_data,
	.write_data = trace_write_data,
	.read_chunk = trace_read_chunk,
	.write_chunk = trace_write_chunk,
	.get_precopy_info = trace_get_precopy_info,
	.get_data_size = trace_get_data_size,
	.reset = trace_reset,
	.get_compat = trace_get_compat,
	.set_orphan = trace_set_orphan,
	.get_protocol = trace_get_protocol,
	.start_log = trace_start_log,
	.report_log = trace_report_log,
	.stop_log = trace_stop_log,
	.get_fd = vfm_pass_get_fd,
	.process = vfm_pass_process,
};

int vfm_trace_open(struct vfm_device **out, struct vfm_device *inner,
		   const struct vfm_trace_sink *sink, struct vfm_err *err)
{
	struct trace *t = calloc(1, sizeof(*t));
	int ret;

	if (!t)
		return vfm_fail(err, -ENOMEM, "%s: no memory", vfm_device_uri(inner));
	t->pass.inner = inner;
	t->sink = *sink;
	ret = vfm_device_init(&t->pass.dev, &trace_ops, vfm_device_uri(inner), err);
	if (ret) {
		free(t);
		return ret;
	}
	*out = &t->pass.dev;
	return 0;
}
