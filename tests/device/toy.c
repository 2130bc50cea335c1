// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

#include "toy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct toy *toy_last;

static void fill(struct toy *toy)
{
	for (unsigned int p = 0; p < TOY_PAGES; p++)
		memset(toy->state[p], (int)(p + 1), TOY_PAGE);
}

static int toy_open(struct vfm_host *host, const char *params, void **priv, struct vfm_err *err)
{
	struct toy *toy;

	if (!strcmp(params, "refuse"))
		return vfm_fail(err, -EINVAL, "told to refuse");
	toy = calloc(1, sizeof(*toy));
	if (!toy)
		return vfm_fail(err, -ENOMEM, "no memory");
	toy->host = host;
	fill(toy);
	toy_last = toy;
	*priv = toy;
	return 0;
}

static void toy_close(void *priv)
{
	free(priv);
}

static int toy_describe(void *priv, struct vfm_description *desc, struct vfm_err *err)
{
	(void)priv;
	(void)err;
	desc->nr_regions = 2;
	desc->regions[0] = (struct vfm_region){ .flags = VFM_REGION_READ | VFM_REGION_WRITE,
						.size = TOY_PAGE * TOY_PAGES,
						.fd = -1 };
	desc->regions[1] =
		(struct vfm_region){ .flags = VFM_REGION_READ, .size = TOY_PAGE, .fd = -1 };
	desc->nr_irqs = 2;
	desc->irqs[0] =
		(struct vfm_irq){ .flags = VFM_IRQ_EVENTFD | VFM_IRQ_MASKABLE | VFM_IRQ_AUTOMASKED,
				  .count = 1 };
	desc->irqs[1] = (struct vfm_irq){ .flags = VFM_IRQ_EVENTFD, .count = 4 };
	snprintf(desc->params, sizeof(desc->params), "pages=%u", TOY_PAGES);
	return 0;
}

static int toy_read_region(void *priv, uint32_t index, uint64_t offset, void *buf, size_t len,
			   struct vfm_err *err)
{
	struct toy *toy = priv;

	(void)index;
	(void)err;
	memcpy(buf, &toy->state[0][0] + offset, len);
	return 0;
}

static int toy_write_region(void *priv, uint32_t index, uint64_t offset, const void *buf,
			    size_t len, struct vfm_err *err)
{
	struct toy *toy = priv;

	(void)index;
	(void)err;
	memcpy(&toy->state[0][0] + offset, buf, len);
	for (uint64_t p = offset / TOY_PAGE; p <= (offset + len - 1) / TOY_PAGE; p++)
		toy->dirty |= (uint8_t)(1u << p);
	if (toy->reset_in_access)
		vfm_host_request_reset(toy->host);
	return 0;
}

static int toy_reset(void *priv, struct vfm_err *err)
{
	struct toy *toy = priv;

	if (toy->fail_reset)
		return vfm_fail(err, toy->fail_reset, "told to fail the reset");
	toy->resets++;
	fill(toy);
	return 0;
}

static int toy_arc(void *priv, enum vfm_state from, enum vfm_state to, struct vfm_err *err)
{
	struct toy *toy = priv;
	uint8_t byte = 0;

	if (toy->fail_arc && !toy->good_arcs--)
		return vfm_fail(err, toy->fail_arc, "told to fail the arc");
	if (toy->dma_in_arc)
		toy->arc_dma_result = vfm_host_write_dma(toy->host, 0, &byte, 1, NULL);
	if (!vfm_state_is_saving(from) && vfm_state_is_saving(to))
		toy->dirty = 0xff;
	if (to == VFM_STATE_RESUMING)
		toy->loaded = 0;
	toy->arcs++;
	toy->last_from = from;
	toy->last_to = to;
	return 0;
}

static ssize_t toy_save(void *priv, void *buf, struct vfm_err *err)
{
	struct toy *toy = priv;
	uint8_t *p = buf;

	if (toy->fail_save)
		return vfm_fail(err, toy->fail_save, "told to fail the save");
	for (unsigned int page = 0; page < TOY_PAGES; page++) {
		if (!(toy->dirty & 1u << page))
			continue;
		toy->dirty &= (uint8_t) ~(1u << page);
		p[0] = (uint8_t)page;
		memcpy(p + 1, toy->state[page], TOY_PAGE);
		return TOY_PAGE + 1;
	}
	return 0;
}

static int toy_load(void *priv, const void *buf, size_t len, struct vfm_err *err)
{
	struct toy *toy = priv;
	const uint8_t *p = buf;

	if (toy->fail_load)
		return vfm_fail(err, toy->fail_load, "told to fail the load");
	if (len != TOY_PAGE + 1 || p[0] >= TOY_PAGES)
		return vfm_fail(err, -EBADMSG, "record of %zu bytes", len);
	memcpy(toy->state[p[0]], p + 1, TOY_PAGE);
	toy->loaded |= (uint8_t)(1u << p[0]);
	return 0;
}

static int toy_load_end(void *priv, struct vfm_err *err)
{
	struct toy *toy = priv;

	if (toy->fail_load_end || toy->loaded != 0xff)
		return vfm_fail(err, -EBADMSG, "pages 0x%x of all", toy->loaded);
	return 0;
}

static int toy_pending(void *priv, struct vfm_precopy_info *info, struct vfm_err *err)
{
	struct toy *toy = priv;
	uint64_t left = (uint64_t)__builtin_popcount(toy->dirty) * (TOY_PAGE + 1);

	(void)err;
	info->initial_bytes = left;
	return 0;
}

static int toy_data_size(void *priv, uint64_t *bytes, struct vfm_err *err)
{
	struct toy *toy = priv;
	bool saving = vfm_state_is_saving(vfm_host_state(toy->host));

	(void)err;
	*bytes = (uint64_t)(saving ? __builtin_popcount(toy->dirty) : (int)TOY_PAGES) *
		 (TOY_PAGE + 1);
	return 0;
}

const struct vfm_driver toy_driver = {
	VFM_DRIVER_INIT,
	.model = "vfmig,toy",
	.version = 3,
	.min_version = 2,
	.migration = VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_P2P | VFM_MIGRATION_PRE_COPY,
	.record_max = TOY_PAGE + 1,
	.open = toy_open,
	.close = toy_close,
	.describe = toy_describe,
	.read_region = toy_read_region,
	.write_region = toy_write_region,
	.reset = toy_reset,
	.arc = toy_arc,
	.save = toy_save,
	.load = toy_load,
	.load_end = toy_load_end,
	.pending = toy_pending,
	.data_size = toy_data_size,
};
