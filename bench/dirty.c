// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A device that has written everywhere. No real one does that in the time of a benchmark, so this
 * one reaches into the framework's log instead of doing the DMA.
 */

#include "bench.h"

#include <string.h>

#include "base/util.h"
#include "device/host.h"

static int open_device(struct vfm_host *host, const char *params, void **priv, struct vfm_err *err)
{
	(void)params;
	(void)err;
	*priv = host;
	return 0;
}

static void close_device(void *priv)
{
	(void)priv;
}

static int describe(void *priv, struct vfm_description *desc, struct vfm_err *err)
{
	(void)priv;
	(void)err;
	desc->nr_regions = 1;
	desc->regions[0].size = 4096;
	desc->regions[0].flags = VFM_REGION_READ | VFM_REGION_WRITE;
	return 0;
}

static int read_region(void *priv, uint32_t index, uint64_t offset, void *buf, size_t len,
		       struct vfm_err *err)
{
	(void)priv;
	(void)index;
	(void)offset;
	(void)err;
	memset(buf, 0, len);
	return 0;
}

static int write_region(void *priv, uint32_t index, uint64_t offset, const void *buf, size_t len,
			struct vfm_err *err)
{
	struct vfm_host *host = priv;

	(void)index;
	(void)offset;
	(void)buf;
	(void)len;
	(void)err;
	for (size_t i = 0; i < host->log.nr_ranges; i++)
		vfm_dirty_log_mark(&host->log, host->log.ranges[i].iova, host->log.ranges[i].size);
	return 0;
}

static int reset(void *priv, struct vfm_err *err)
{
	(void)priv;
	(void)err;
	return 0;
}

const struct vfm_driver bench_dirty_driver = {
	VFM_DRIVER_INIT,      .model = "bench,dirty",	  .version = 1,
	.min_version = 1,     .open = open_device,	  .close = close_device,
	.describe = describe, .read_region = read_region, .write_region = write_region,
	.reset = reset,
};
