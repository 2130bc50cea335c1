// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * Each operation in three steps: say what it was given, hand it on, say what it gave.
 *
 * Bytes that go in are data: of a write what is written, of start_log the ranges as pairs of
 * 64 bits, of set_irqs a byte for each vector, which for descriptors is whether there is one.
 */

#include "wrap/hook.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <vfmig/driver.h>

#include "base/util.h"

struct hook {
	struct vfm_pass pass;
	struct vfm_hooks hooks;
};

/* One operation under way. */
struct call {
	struct hook *hook;
	struct vfm_op op;
	uint64_t begun_ns;
};

static struct call call_of(struct vfm_device *dev, const char *name)
{
	return (struct call){ .hook = (struct hook *)dev, .op = { .name = name } };
}

static void put(struct vfm_field *fields, size_t *count, const char *name, enum vfm_field_kind kind,
		uint64_t value)
{
	fields[(*count)++] = (struct vfm_field){ name, kind, value };
}

#define ARG(call, name, kind, value)                                                               \
	put((call)->op.args, &(call)->op.nr_args, name, VFM_FIELD_##kind, value)
#define GAVE(call, name, kind, value)                                                              \
	put((call)->op.gave, &(call)->op.nr_gave, name, VFM_FIELD_##kind, value)

static void set_data(struct call *c, const void *data, size_t len)
{
	c->op.data = data;
	c->op.data_len = len;
}

static void set_got(struct call *c, const void *got, size_t len)
{
	c->op.got = got;
	c->op.got_len = len;
}

/* Returns what is to be returned instead of the operation's own, or 0. */
static int begin(struct call *c, struct vfm_err *err)
{
	const struct vfm_hooks *hooks = &c->hook->hooks;
	int ret = hooks->before ? hooks->before(hooks->user, &c->op, err) : 0;

	c->begun_ns = vfm_now_ns();
	return ret;
}

/* Returns @ret. */
static int64_t end(struct call *c, int64_t ret, const struct vfm_err *err)
{
	const struct vfm_hooks *hooks = &c->hook->hooks;

	c->op.us = (vfm_now_ns() - c->begun_ns) / 1000;
	c->op.done = true;
	c->op.ret = ret;
	if (ret < 0) {
		/* the one result that is no error, and has no text */
		c->op.text = ret == -ENOMSG ? "nothing now" : err->msg;
		c->op.nr_gave = 0;
		set_got(c, NULL, 0);
	}
	if (hooks->after)
		hooks->after(hooks->user, &c->op);
	return ret;
}

/* For operations that give nothing: CALL is made unless a hook objects. */
#define SIMPLE(c, CALL, err)                                                                       \
	({                                                                                         \
		int simple_ret = begin(c, err);                                                    \
		if (!simple_ret)                                                                   \
			simple_ret = (CALL);                                                       \
		(int)end(c, simple_ret, err);                                                      \
	})

/* ---- what it is ------------------------------------------------------------------ */

static int hook_get_info(struct vfm_device *dev, struct vfm_device_info *info, struct vfm_err *err)
{
	struct call c = call_of(dev, "get_info");
	int ret = begin(&c, err);

	if (!ret)
		ret = vfm_pass_get_info(dev, info, err);
	if (!ret) {
		GAVE(&c, "regions", COUNT, info->nr_regions);
		GAVE(&c, "interrupts", COUNT, info->nr_irqs);
		GAVE(&c, "flags", HEX, info->flags);
	}
	return (int)end(&c, ret, err);
}

static int hook_get_region(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			   struct vfm_err *err)
{
	struct call c = call_of(dev, "get_region");
	int ret;

	ARG(&c, "index", COUNT, index);
	ret = begin(&c, err);
	if (!ret)
		ret = vfm_pass_get_region(dev, index, region, err);
	if (!ret) {
		GAVE(&c, "size", HEX, region->size);
		GAVE(&c, "flags", HEX, region->flags);
		GAVE(&c, "type", COUNT, region->type);
		GAVE(&c, "subtype", COUNT, region->subtype);
		GAVE(&c, "areas", COUNT, region->nr_areas);
	}
	return (int)end(&c, ret, err);
}

static int hook_get_irq(struct vfm_device *dev, uint32_t index, struct vfm_irq *irq,
			struct vfm_err *err)
{
	struct call c = call_of(dev, "get_irq");
	int ret;

	ARG(&c, "index", COUNT, index);
	ret = begin(&c, err);
	if (!ret)
		ret = vfm_pass_get_irq(dev, index, irq, err);
	if (!ret) {
		GAVE(&c, "vectors", COUNT, irq->count);
		GAVE(&c, "flags", HEX, irq->flags);
	}
	return (int)end(&c, ret, err);
}

static int hook_get_migration(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err)
{
	struct call c = call_of(dev, "get_migration");
	int ret = begin(&c, err);

	if (!ret)
		ret = vfm_pass_get_migration(dev, migration, err);
	if (!ret)
		GAVE(&c, "features", HEX, *migration);
	return (int)end(&c, ret, err);
}

static int hook_get_compat(struct vfm_device *dev, struct vfm_compat *compat, struct vfm_err *err)
{
	struct call c = call_of(dev, "get_compat");
	int ret = begin(&c, err);

	if (!ret)
		ret = vfm_pass_get_compat(dev, compat, err);
	if (!ret) {
		GAVE(&c, "version", COUNT, compat->version);
		GAVE(&c, "min_version", COUNT, compat->min_version);
		c.op.text = compat->model;
	}
	return (int)end(&c, ret, err);
}

static int hook_get_protocol(struct vfm_device *dev, struct vfm_protocol *protocol,
			     struct vfm_err *err)
{
	return vfm_device_get_protocol(vfm_pass_inner(dev), protocol, err);
}

/* ---- regions, interrupts, DMA ------------------------------------------------------ */

static int hook_read_region(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			    size_t len, struct vfm_err *err)
{
	struct call c = call_of(dev, "read_region");
	int ret;

	ARG(&c, "index", COUNT, index);
	ARG(&c, "offset", HEX, offset);
	ARG(&c, "size", COUNT, len);
	ret = begin(&c, err);
	if (!ret)
		ret = vfm_pass_read_region(dev, index, offset, buf, len, err);
	set_got(&c, buf, len);
	return (int)end(&c, ret, err);
}

static int hook_write_region(struct vfm_device *dev, uint32_t index, uint64_t offset,
			     const void *buf, size_t len, struct vfm_err *err)
{
	struct call c = call_of(dev, "write_region");

	ARG(&c, "index", COUNT, index);
	ARG(&c, "offset", HEX, offset);
	set_data(&c, buf, len);
	return SIMPLE(&c, vfm_pass_write_region(dev, index, offset, buf, len, err), err);
}

static int hook_set_irqs(struct vfm_device *dev, const struct vfm_irq_set *set, struct vfm_err *err)
{
	struct call c = call_of(dev, "set_irqs");
	uint8_t vectors[VFM_MAX_VECTORS];
	size_t count = VFM_MIN(set->count, VFM_MAX_VECTORS);

	ARG(&c, "index", COUNT, set->index);
	ARG(&c, "start", COUNT, set->start);
	ARG(&c, "count", COUNT, set->count);
	ARG(&c, "flags", HEX, set->flags);
	for (size_t i = 0; set->fds && i < count; i++)
		vectors[i] = set->fds[i] >= 0;
	if (set->fds || set->bools)
		set_data(&c, set->fds ? vectors : set->bools, count);
	return SIMPLE(&c, vfm_pass_set_irqs(dev, set, err), err);
}

static int hook_map_dma(struct vfm_device *dev, const struct vfm_dma_map *map, struct vfm_err *err)
{
	struct call c = call_of(dev, "map_dma");

	ARG(&c, "iova", HEX, map->iova);
	ARG(&c, "size", HEX, map->size);
	ARG(&c, "flags", HEX, map->flags);
	return SIMPLE(&c, vfm_pass_map_dma(dev, map, err), err);
}

static int hook_unmap_dma(struct vfm_device *dev, uint64_t iova, uint64_t size, struct vfm_err *err)
{
	struct call c = call_of(dev, "unmap_dma");

	ARG(&c, "iova", HEX, iova);
	ARG(&c, "size", HEX, size);
	return SIMPLE(&c, vfm_pass_unmap_dma(dev, iova, size, err), err);
}

static int hook_unmap_all(struct vfm_device *dev, struct vfm_err *err)
{
	struct call c = call_of(dev, "unmap_all");

	return SIMPLE(&c, vfm_pass_unmap_all(dev, err), err);
}

/* ---- migration ------------------------------------------------------------------------ */

static int hook_get_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err)
{
	struct call c = call_of(dev, "get_state");
	int ret = begin(&c, err);

	if (!ret)
		ret = vfm_pass_get_state(dev, state, err);
	if (!ret)
		GAVE(&c, "state", STATE, *state);
	return (int)end(&c, ret, err);
}

static int hook_set_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err)
{
	struct call c = call_of(dev, "set_state");

	ARG(&c, "state", STATE, state);
	return SIMPLE(&c, vfm_pass_set_state(dev, state, err), err);
}

static ssize_t hook_read_data(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err)
{
	struct call c = call_of(dev, "read_data");
	ssize_t ret;

	ARG(&c, "size", COUNT, len);
	c.op.room = len;
	ret = begin(&c, err);
	if (!ret)
		ret = vfm_pass_read_data(dev, buf, c.op.room, err);
	set_got(&c, buf, ret > 0 ? (size_t)ret : 0);
	return end(&c, ret, err);
}

static int hook_write_data(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err)
{
	struct call c = call_of(dev, "write_data");

	set_data(&c, buf, len);
	return SIMPLE(&c, vfm_pass_write_data(dev, buf, len, err), err);
}

static ssize_t hook_read_chunk(struct vfm_device *dev, void *buf, size_t len, bool *ends,
			       struct vfm_err *err)
{
	struct call c = call_of(dev, "read_chunk");
	ssize_t ret;

	ARG(&c, "size", COUNT, len);
	c.op.room = len;
	*ends = false;
	ret = begin(&c, err);
	if (!ret)
		ret = vfm_pass_read_chunk(dev, buf, c.op.room, ends, err);
	set_got(&c, buf, ret > 0 ? (size_t)ret : 0);
	GAVE(&c, "ends", FLAG, *ends);
	return end(&c, ret, err);
}

static int hook_write_chunk(struct vfm_device *dev, const void *buf, size_t len, bool ends,
			    struct vfm_err *err)
{
	struct call c = call_of(dev, "write_chunk");

	ARG(&c, "ends", FLAG, ends);
	set_data(&c, buf, len);
	return SIMPLE(&c, vfm_pass_write_chunk(dev, buf, len, ends, err), err);
}

static int hook_get_precopy_info(struct vfm_device *dev, struct vfm_precopy_info *info,
				 struct vfm_err *err)
{
	struct call c = call_of(dev, "get_precopy_info");
	int ret = begin(&c, err);

	if (!ret)
		ret = vfm_pass_get_precopy_info(dev, info, err);
	if (!ret) {
		GAVE(&c, "initial", COUNT, info->initial_bytes);
		GAVE(&c, "dirty", COUNT, info->dirty_bytes);
		GAVE(&c, "reinit", FLAG, info->reinit);
	}
	return (int)end(&c, ret, err);
}

static int hook_get_data_size(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err)
{
	struct call c = call_of(dev, "get_data_size");
	int ret = begin(&c, err);

	if (!ret)
		ret = vfm_pass_get_data_size(dev, bytes, err);
	if (!ret)
		GAVE(&c, "bytes", COUNT, *bytes);
	return (int)end(&c, ret, err);
}

static int hook_reset(struct vfm_device *dev, struct vfm_err *err)
{
	struct call c = call_of(dev, "reset");

	return SIMPLE(&c, vfm_pass_reset(dev, err), err);
}

static int hook_set_orphan(struct vfm_device *dev, enum vfm_orphan orphan, struct vfm_err *err)
{
	struct call c = call_of(dev, "set_orphan");

	ARG(&c, "orphan", COUNT, orphan);
	return SIMPLE(&c, vfm_pass_set_orphan(dev, orphan, err), err);
}

/* ---- dirty log ------------------------------------------------------------------------- */

static int hook_start_log(struct vfm_device *dev, uint64_t *page_size,
			  const struct vfm_range *ranges, size_t nr_ranges, struct vfm_err *err)
{
	struct call c = call_of(dev, "start_log");
	int ret;

	ARG(&c, "page_size", COUNT, *page_size);
	ARG(&c, "ranges", COUNT, nr_ranges);
	set_data(&c, ranges, nr_ranges * sizeof(*ranges));
	ret = begin(&c, err);
	if (!ret)
		ret = vfm_pass_start_log(dev, page_size, ranges, nr_ranges, err);
	if (!ret)
		GAVE(&c, "page_size", COUNT, *page_size);
	return (int)end(&c, ret, err);
}

static int hook_report_log(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
			   uint64_t *bitmap, struct vfm_err *err)
{
	struct call c = call_of(dev, "report_log");
	int ret;

	ARG(&c, "iova", HEX, iova);
	ARG(&c, "size", HEX, size);
	ARG(&c, "page_size", COUNT, page_size);
	ret = begin(&c, err);
	if (!ret)
		ret = vfm_pass_report_log(dev, iova, size, page_size, bitmap, err);
	set_got(&c, bitmap, vfm_log_bitmap_words(size, page_size) * sizeof(*bitmap));
	return (int)end(&c, ret, err);
}

static int hook_stop_log(struct vfm_device *dev, struct vfm_err *err)
{
	struct call c = call_of(dev, "stop_log");

	return SIMPLE(&c, vfm_pass_stop_log(dev, err), err);
}

/* ---- the wrap ----------------------------------------------------------------------------- */

static void hook_close(struct vfm_device *dev)
{
	struct hook *hook = (struct hook *)dev;

	vfm_device_close(hook->pass.inner);
	if (hook->hooks.close)
		hook->hooks.close(hook->hooks.user);
}

static const struct vfm_device_ops hook_ops = {
	.close = hook_close,
	.get_info = hook_get_info,
	.get_region = hook_get_region,
	.read_region = hook_read_region,
	.write_region = hook_write_region,
	.get_io_fds = vfm_pass_get_io_fds,
	.get_irq = hook_get_irq,
	.set_irqs = hook_set_irqs,
	.map_dma = hook_map_dma,
	.unmap_dma = hook_unmap_dma,
	.unmap_all = hook_unmap_all,
	.get_migration = hook_get_migration,
	.get_state = hook_get_state,
	.set_state = hook_set_state,
	.read_data = hook_read_data,
	.write_data = hook_write_data,
	.read_chunk = hook_read_chunk,
	.write_chunk = hook_write_chunk,
	.get_precopy_info = hook_get_precopy_info,
	.get_data_size = hook_get_data_size,
	.reset = hook_reset,
	.get_compat = hook_get_compat,
	.set_orphan = hook_set_orphan,
	.get_protocol = hook_get_protocol,
	.start_log = hook_start_log,
	.report_log = hook_report_log,
	.stop_log = hook_stop_log,
	.get_fd = vfm_pass_get_fd,
	.process = vfm_pass_process,
};

int vfm_hook_open(struct vfm_device **out, struct vfm_device *inner, const struct vfm_hooks *hooks,
		  struct vfm_err *err)
{
	struct hook *hook = calloc(1, sizeof(*hook));
	int ret;

	if (!hook)
		return vfm_fail(err, -ENOMEM, "%s: no memory", vfm_device_uri(inner));
	hook->pass.inner = inner;
	hook->hooks = *hooks;
	ret = vfm_device_init(&hook->pass.dev, &hook_ops, vfm_device_uri(inner), err);
	if (ret) {
		free(hook);
		return ret;
	}
	*out = &hook->pass.dev;
	return 0;
}
