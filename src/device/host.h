// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * The framework: a device made of a struct vfm_driver.
 *
 *   host.c        life cycle, lock, reset, regions, the table of operations
 *   host_state.c  the state machine: walking arcs, sessions, what is legal when
 *   host_dma.c    the memory that the user mapped, and the driver's DMA
 */

#ifndef VFM_DEVICE_HOST_H
#define VFM_DEVICE_HOST_H

#include <pthread.h>

#include <vfmig/driver.h>

#include "base/iova_map.h"
#include "device/device.h"
#include "device/dirty_log.h"
#include "device/irq.h"
#include "device/session.h"

struct vfm_host {
	struct vfm_device dev;
	struct vfm_driver driver; /* a copy: the author's struct may be shorter than ours */
	void *priv;		  /* the driver's, and NULL may be one */
	bool opened;		  /* the driver has it, and must close it */
	void *object;		  /* of dlopen(), or NULL */
	struct vfm_description desc;
	struct vfm_session_driver session_driver;

	/* Locks in the order in which they are taken. */
	pthread_mutex_t lock;	    /* everything below but reset_wanted; every callback */
	pthread_mutex_t reset_lock; /* reset_wanted */

	bool reset_wanted; /* whoever gives up the lock resets first */

	enum vfm_state state;
	bool arriving; /* inside an arc that leads to an active state */
	struct vfm_save_session save;
	struct vfm_load_session load;
	struct vfm_wiring wiring[VFM_DRIVER_MAX_IRQS];
	struct vfm_iova_map dma; /* of struct dma_range, see host_dma.c */
	struct vfm_dirty_log log;
};

static inline struct vfm_host *vfm_host_of(struct vfm_device *dev)
{
	return (struct vfm_host *)dev;
}

/**
 * vfm_host_open() - a device of a driver, under the name that its user knows
 * @object: of dlopen(), becomes the device's own on success; NULL for none
 */
int vfm_host_open(struct vfm_device **out, const struct vfm_driver *driver, void *object,
		  const char *uri, const char *params, struct vfm_err *err);

/** vfm_host_lock() - before anything but a reset. */
void vfm_host_lock(struct vfm_host *host);

/**
 * vfm_host_unlock() - after it; does the resets that were asked for meanwhile
 *
 * Return: what the last of them came to; 0 when there was none.
 */
int vfm_host_unlock(struct vfm_host *host, struct vfm_err *err);

/** vfm_host_active() - DMA and interrupts are allowed now. */
bool vfm_host_active(const struct vfm_host *host);

/* host_state.c; the lock is held by these themselves unless said otherwise. */
int vfm_host_get_migration(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err);
int vfm_host_get_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err);
int vfm_host_set_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err);
ssize_t vfm_host_read_data(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err);
int vfm_host_write_data(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err);
int vfm_host_get_precopy_info(struct vfm_device *dev, struct vfm_precopy_info *info,
			      struct vfm_err *err);
int vfm_host_get_data_size(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err);
int vfm_host_get_compat(struct vfm_device *dev, struct vfm_compat *compat, struct vfm_err *err);

/** vfm_host_do_reset() - now; the lock is held. */
int vfm_host_do_reset(struct vfm_host *host, struct vfm_err *err);

/* host_dma.c */
int vfm_host_map_dma(struct vfm_device *dev, const struct vfm_dma_map *map, struct vfm_err *err);
int vfm_host_unmap_dma(struct vfm_device *dev, uint64_t iova, uint64_t size, struct vfm_err *err);
int vfm_host_unmap_all(struct vfm_device *dev, struct vfm_err *err);

#endif
