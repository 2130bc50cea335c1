// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A device made of a driver: its life cycle, its lock and its reset.
 *
 * A reset must not wait for whoever holds the lock: that may be a callback of
 * the same thread (a guest that sets the function-level reset bit in the middle
 * of an access), or a transition that never ends. So a reset is a wish, noted
 * under a small lock of its own; it comes true at once when the device is free,
 * and otherwise when its present user lets go of it.
 */

#include "device/host.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "device/object.h"
#include "protocol/v2.h"

void vfm_host_lock(struct vfm_host *host)
{
	pthread_mutex_lock(&host->lock);
}

int vfm_host_unlock(struct vfm_host *host, struct vfm_err *err)
{
	int ret = 0;

	pthread_mutex_lock(&host->reset_lock);
	while (host->reset_wanted) {
		host->reset_wanted = false;
		pthread_mutex_unlock(&host->reset_lock);
		ret = vfm_host_do_reset(host, err);
		pthread_mutex_lock(&host->reset_lock);
	}
	pthread_mutex_unlock(&host->lock);
	pthread_mutex_unlock(&host->reset_lock);
	return ret;
}

VFM_API void vfm_host_request_reset(struct vfm_host *host)
{
	pthread_mutex_lock(&host->reset_lock);
	host->reset_wanted = host->driver.reset != NULL;
	pthread_mutex_unlock(&host->reset_lock);
}

static int host_reset(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_host *host = vfm_host_of(dev);
	bool free_now;

	if (!host->driver.reset)
		return vfm_fail(err, -ENOTTY, "the device has no reset");
	pthread_mutex_lock(&host->reset_lock);
	host->reset_wanted = true;
	free_now = pthread_mutex_trylock(&host->lock) == 0;
	pthread_mutex_unlock(&host->reset_lock);
	return free_now ? vfm_host_unlock(host, err) : 0;
}

VFM_API enum vfm_state vfm_host_state(const struct vfm_host *host)
{
	return host->state;
}

bool vfm_host_active(const struct vfm_host *host)
{
	return host->arriving || vfm_state_is_active(host->state);
}

/* ---- regions and interrupts ---------------------------------------------- */

static int host_get_info(struct vfm_device *dev, struct vfm_device_info *info, struct vfm_err *err)
{
	const struct vfm_description *desc = &vfm_host_of(dev)->desc;

	(void)err;
	*info = (struct vfm_device_info){ .flags = desc->flags,
					  .nr_regions = desc->nr_regions,
					  .nr_irqs = desc->nr_irqs };
	return 0;
}

static int host_get_region(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			   struct vfm_err *err)
{
	const struct vfm_description *desc = &vfm_host_of(dev)->desc;

	if (index >= desc->nr_regions)
		return vfm_fail(err, -EINVAL, "region %" PRIu32 " of %" PRIu32, index,
				desc->nr_regions);
	*region = desc->regions[index];
	return 0;
}

static int check_region(const struct vfm_host *host, uint32_t index, uint64_t offset, size_t len,
			uint32_t direction, struct vfm_err *err)
{
	const char *what = direction == VFM_REGION_READ ? "read" : "write";
	const struct vfm_region *r;

	if (index >= host->desc.nr_regions || !host->desc.regions[index].size)
		return vfm_fail(err, -EINVAL, "%s region %" PRIu32 ": there is none", what, index);
	r = &host->desc.regions[index];
	if (!vfm_range_inside(offset, len, r->size))
		return vfm_fail(err, -EINVAL,
				"%s region %" PRIu32 " at 0x%" PRIx64
				", %zu bytes: its size is 0x%" PRIx64,
				what, index, offset, len, r->size);
	if (!(r->flags & direction))
		return vfm_fail(err, -EPERM, "%s region %" PRIu32 ": not allowed", what, index);
	return 0;
}

static int host_read_region(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			    size_t len, struct vfm_err *err)
{
	struct vfm_host *host = vfm_host_of(dev);
	int ret = check_region(host, index, offset, len, VFM_REGION_READ, err);

	if (ret)
		return ret;
	vfm_host_lock(host);
	ret = vfm_driver_result(host->driver.read_region(host->priv, index, offset, buf, len, err),
				err);
	vfm_host_unlock(host, NULL);
	return ret;
}

static int host_write_region(struct vfm_device *dev, uint32_t index, uint64_t offset,
			     const void *buf, size_t len, struct vfm_err *err)
{
	struct vfm_host *host = vfm_host_of(dev);
	int ret = check_region(host, index, offset, len, VFM_REGION_WRITE, err);

	if (ret)
		return ret;
	vfm_host_lock(host);
	ret = vfm_driver_result(host->driver.write_region(host->priv, index, offset, buf, len, err),
				err);
	vfm_host_unlock(host, NULL);
	return ret;
}

static int host_get_io_fds(struct vfm_device *dev, uint32_t index, struct vfm_io_fd *list,
			   size_t max, struct vfm_err *err)
{
	const struct vfm_description *desc = &vfm_host_of(dev)->desc;
	size_t n = 0;

	if (index >= desc->nr_regions)
		return vfm_fail(err, -EINVAL, "descriptors of region %" PRIu32 " of %" PRIu32,
				index, desc->nr_regions);
	for (uint32_t i = 0; i < desc->nr_io_fds; i++) {
		if (desc->io_fds[i].region != index)
			continue;
		if (n < max)
			list[n] = desc->io_fds[i].io;
		n++;
	}
	return (int)n;
}

static int host_get_irq(struct vfm_device *dev, uint32_t index, struct vfm_irq *irq,
			struct vfm_err *err)
{
	const struct vfm_description *desc = &vfm_host_of(dev)->desc;

	if (index >= desc->nr_irqs)
		return vfm_fail(err, -EINVAL, "interrupt %" PRIu32 " of %" PRIu32, index,
				desc->nr_irqs);
	*irq = desc->irqs[index];
	return 0;
}

static int host_set_irqs(struct vfm_device *dev, const struct vfm_irq_set *set, struct vfm_err *err)
{
	struct vfm_host *host = vfm_host_of(dev);
	int ret;

	if (set->index >= host->desc.nr_irqs)
		return vfm_fail(err, -EINVAL, "set interrupt %" PRIu32 " of %" PRIu32, set->index,
				host->desc.nr_irqs);
	vfm_host_lock(host);
	ret = vfm_wiring_set(&host->wiring[set->index], set, err);
	vfm_host_unlock(host, NULL);
	return ret;
}

VFM_API int vfm_host_raise_irq(struct vfm_host *host, uint32_t index, uint32_t vector,
			       struct vfm_err *err)
{
	if (index >= host->desc.nr_irqs)
		return vfm_fail(err, -EINVAL, "raise interrupt %" PRIu32 " of %" PRIu32, index,
				host->desc.nr_irqs);
	if (!vfm_host_active(host))
		return vfm_fail(err, -EPERM, "raise interrupt %" PRIu32 " in %s", index,
				vfm_state_name(host->state));
	return vfm_wiring_raise(&host->wiring[index], vector, err);
}

/* ---- dirty log and loop ---------------------------------------------------- */

static int host_start_log(struct vfm_device *dev, uint64_t *page_size,
			  const struct vfm_range *ranges, size_t nr_ranges, struct vfm_err *err)
{
	struct vfm_host *host = vfm_host_of(dev);
	int ret;

	vfm_host_lock(host);
	ret = vfm_dirty_log_start(&host->log, page_size, ranges, nr_ranges, err);
	vfm_host_unlock(host, NULL);
	return ret;
}

static int host_report_log(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
			   uint64_t *bitmap, struct vfm_err *err)
{
	struct vfm_host *host = vfm_host_of(dev);
	int ret;

	vfm_host_lock(host);
	ret = vfm_dirty_log_report(&host->log, iova, size, page_size, bitmap, err);
	vfm_host_unlock(host, NULL);
	return ret;
}

static int host_stop_log(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_host *host = vfm_host_of(dev);
	int ret;

	vfm_host_lock(host);
	ret = vfm_dirty_log_stop(&host->log, err);
	vfm_host_unlock(host, NULL);
	return ret;
}

static int host_get_fd(struct vfm_device *dev)
{
	return vfm_host_of(dev)->desc.fd;
}

static int host_process(struct vfm_device *dev, struct vfm_err *err)
{
	struct vfm_host *host = vfm_host_of(dev);
	int ret;

	if (!host->driver.process)
		return 0;
	vfm_host_lock(host);
	ret = vfm_driver_result(host->driver.process(host->priv, err), err);
	vfm_host_unlock(host, NULL);
	return ret;
}

/* ---- life cycle ------------------------------------------------------------- */

static void host_close(struct vfm_device *dev)
{
	struct vfm_host *host = vfm_host_of(dev);

	if (host->opened)
		host->driver.close(host->priv);
	vfm_host_unmap_all(dev, NULL);
	vfm_save_end(&host->save);
	vfm_load_end(&host->load);
	vfm_dirty_log_clear(&host->log);
	for (size_t i = 0; i < VFM_ARRAY_SIZE(host->wiring); i++)
		vfm_wiring_free(&host->wiring[i]);
	pthread_mutex_destroy(&host->lock);
	pthread_mutex_destroy(&host->reset_lock);
	if (host->object)
		dlclose(host->object);
}

static const struct vfm_device_ops host_ops = {
	.close = host_close,
	.get_info = host_get_info,
	.get_region = host_get_region,
	.read_region = host_read_region,
	.write_region = host_write_region,
	.get_io_fds = host_get_io_fds,
	.get_irq = host_get_irq,
	.set_irqs = host_set_irqs,
	.map_dma = vfm_host_map_dma,
	.unmap_dma = vfm_host_unmap_dma,
	.unmap_all = vfm_host_unmap_all,
	.get_migration = vfm_host_get_migration,
	.get_state = vfm_host_get_state,
	.set_state = vfm_host_set_state,
	.read_data = vfm_host_read_data,
	.write_data = vfm_host_write_data,
	.get_precopy_info = vfm_host_get_precopy_info,
	.get_data_size = vfm_host_get_data_size,
	.reset = host_reset,
	.get_compat = vfm_host_get_compat,
	.start_log = host_start_log,
	.report_log = host_report_log,
	.stop_log = host_stop_log,
	.get_fd = host_get_fd,
	.process = host_process,
};

static bool region_makes_sense(const struct vfm_region *r, const struct vfm_driver *drv)
{
	uint64_t end = 0;

	if ((r->flags & VFM_REGION_READ && !drv->read_region) ||
	    (r->flags & VFM_REGION_WRITE && !drv->write_region) || r->nr_areas > VFM_MAX_AREAS ||
	    (r->flags & VFM_REGION_MMAP && r->fd < 0))
		return false;
	for (uint32_t i = 0; i < r->nr_areas; i++) {
		const struct vfm_area *a = &r->areas[i];

		if (!a->size || a->offset < end || !vfm_range_inside(a->offset, a->size, r->size))
			return false;
		end = a->offset + a->size;
	}
	return true;
}

static int check_description(const struct vfm_host *host, struct vfm_err *err)
{
	const struct vfm_description *d = &host->desc;

	if (d->nr_regions > VFM_DRIVER_MAX_REGIONS || d->nr_irqs > VFM_DRIVER_MAX_IRQS ||
	    d->nr_io_fds > VFM_DRIVER_MAX_IO_FDS)
		return vfm_fail(err, -EINVAL,
				"driver describes too much: %" PRIu32 " regions, %" PRIu32
				" interrupts, %" PRIu32 " descriptors",
				d->nr_regions, d->nr_irqs, d->nr_io_fds);
	for (uint32_t i = 0; i < d->nr_regions; i++)
		if (!region_makes_sense(&d->regions[i], &host->driver))
			return vfm_fail(err, -EINVAL, "driver describes region %" PRIu32 " wrongly",
					i);
	for (uint32_t i = 0; i < d->nr_irqs; i++)
		if (d->irqs[i].count > VFM_MAX_VECTORS)
			return vfm_fail(err, -EINVAL, "driver describes %" PRIu32 " vectors",
					d->irqs[i].count);
	if (d->migration & ~host->driver.migration ||
	    (d->migration && !vfm_migration_legal(d->migration)))
		return vfm_fail(err, -EINVAL, "driver describes migration 0x%" PRIx64,
				d->migration);
	if (!memchr(d->params, '\0', sizeof(d->params)))
		return vfm_fail(err, -EINVAL, "driver's params have no end");
	return 0;
}

static int describe(struct vfm_host *host, struct vfm_err *err)
{
	struct vfm_description *d = &host->desc;
	int ret = 0;

	d->migration = host->driver.migration;
	d->fd = -1;
	for (size_t i = 0; i < VFM_DRIVER_MAX_REGIONS; i++)
		d->regions[i].fd = -1;
	for (size_t i = 0; i < VFM_DRIVER_MAX_IO_FDS; i++)
		d->io_fds[i].io.fd = -1;
	if (host->driver.describe)
		ret = vfm_driver_result(host->driver.describe(host->priv, d, err), err);
	if (!ret)
		ret = check_description(host, err);
	if (ret)
		return ret;
	if (host->driver.reset)
		d->flags |= VFM_DEVICE_RESET;
	for (uint32_t i = 0; i < d->nr_regions; i++)
		d->regions[i].index = i;
	for (uint32_t i = 0; i < d->nr_irqs && !ret; i++) {
		d->irqs[i].index = i;
		ret = vfm_wiring_init(&host->wiring[i], &d->irqs[i], err);
	}
	return ret;
}

static void fill_compat(struct vfm_host *host)
{
	struct vfm_session_driver *s = &host->session_driver;

	s->driver = &host->driver;
	s->priv = host->priv;
	s->compat.version = host->driver.version;
	s->compat.min_version = host->driver.min_version;
	s->compat.judges_params = host->driver.compatible != NULL;
	snprintf(s->compat.model, sizeof(s->compat.model), "%s", host->driver.model);
	snprintf(s->compat.params, sizeof(s->compat.params), "%s", host->desc.params);
}

/* Members that a driver must have; those behind the end of an older struct are missing. */
static const char *missing(const struct vfm_driver *drv)
{
	const struct {
		const char *name;
		bool there;
	} required[] = {
		{ "model", drv->model && strlen(drv->model) < VFM_MODEL_TEXT },
		{ "open", drv->open != NULL },
		{ "close", drv->close != NULL },
		{ "record_max",
		  !drv->migration || (drv->record_max && drv->record_max <= VFM_RECORD_LIMIT) },
		{ "save", !drv->migration || drv->save },
		{ "load", !drv->migration || drv->load },
		{ "data_size", !drv->migration || drv->data_size },
		{ "pending", !(drv->migration & VFM_MIGRATION_PRE_COPY) || drv->pending },
	};

	for (size_t i = 0; i < VFM_ARRAY_SIZE(required); i++)
		if (!required[i].there)
			return required[i].name;
	return NULL;
}

static int new_host(struct vfm_host **out, const struct vfm_driver *driver, const char *uri,
		    struct vfm_err *err)
{
	struct vfm_host *host = calloc(1, sizeof(*host));
	int ret;

	if (!host)
		return vfm_fail(err, -ENOMEM, "%s: no memory for the device", uri);
	memcpy(&host->driver, driver, VFM_MIN(driver->size, sizeof(host->driver)));
	ret = vfm_device_init(&host->dev, &host_ops, uri, err);
	if (ret) {
		free(host);
		return ret;
	}
	pthread_mutex_init(&host->lock, NULL);
	pthread_mutex_init(&host->reset_lock, NULL);
	host->state = VFM_STATE_RUNNING;
	*out = host;
	return 0;
}

static int open_driver(struct vfm_host *host, const char *params, struct vfm_err *err)
{
	const char *lacks = missing(&host->driver);
	int ret;

	if (lacks)
		return vfm_fail(err, -EINVAL, "%s: driver lacks a valid %s", host->dev.uri, lacks);
	ret = vfm_driver_result(host->driver.open(host, params ? params : "", &host->priv, err),
				err);
	host->opened = !ret;
	if (!ret)
		ret = describe(host, err);
	if (!ret)
		fill_compat(host);
	return ret;
}

int vfm_host_open(struct vfm_device **out, const struct vfm_driver *driver, void *object,
		  const char *uri, const char *params, struct vfm_err *err)
{
	struct vfm_host *host = NULL;
	int ret = new_host(&host, driver, uri, err);

	if (ret)
		return ret;
	ret = open_driver(host, params, err);
	if (ret) {
		vfm_device_close(&host->dev);
		return ret;
	}
	host->object = object;
	*out = &host->dev;
	return 0;
}

VFM_API int vfm_device_from_driver(struct vfm_device **out, const struct vfm_driver *driver,
				   const char *params, struct vfm_err *err)
{
	char uri[256];

	snprintf(uri, sizeof(uri), "driver:%s%s%.128s", driver->model ? driver->model : "?",
		 params && *params ? "," : "", params ? params : "");
	return vfm_host_open(out, driver, NULL, uri, params, err);
}

VFM_API int vfm_device_load_driver(struct vfm_device **out, const char *path, const char *params,
				   struct vfm_err *err)
{
	const struct vfm_driver *driver;
	const void *entry;
	void *object;
	int ret = vfm_object_open(&object, &entry, path, "vfm_driver_entry", VFM_DRIVER_API, err);

	if (ret)
		return ret;
	driver = ((const struct vfm_driver_entry *)entry)->driver;
	ret = driver ? vfm_host_open(out, driver, object, path, params, err)
		     : vfm_fail(err, -EINVAL, "%s: exports no driver", path);
	if (ret)
		dlclose(object);
	return ret;
}
