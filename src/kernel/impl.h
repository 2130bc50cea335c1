// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * What the files of this folder share. Nobody else includes this.
 *
 *   sys.c         system calls
 *   name.c        what a device is called
 *   sysfs.c       where it is: its group, its file, its driver
 *   open.c        opening by either way, and the table of operations
 *   group.c       the way by group and container: its memory and dirty pages, too
 *   cdev.c        the way by the device's own file and iommufd: the same
 *   why.c         what an error means when a device is opened
 *   info.c        the device and its interrupts
 *   region.c      regions: description and access
 *   caps.c        answers with capabilities behind them
 *   feature.c     features, states, reset
 *   data.c        the data session
 *   dma.c         mappings
 *   log.c         the dirty log: who keeps it
 *   parts.c       one that is kept by mappings, which an IOMMU's is
 */

#ifndef VFM_KERNEL_IMPL_H
#define VFM_KERNEL_IMPL_H

#include "abi/vfio.h"
#include "base/bytes.h"
#include "base/iova_map.h"
#include "device/caps.h"
#include "device/device.h"
#include "kernel/kernel.h"
#include "kernel/name.h"
#include "kernel/parts.h"
#include "kernel/sys.h"

/** More regions or interrupt indices than any device has: a driver that claims them is broken. */
#define VFM_KERNEL_MAX_INDEX 256u

/** Ranges of addresses that an IOMMU is asked for. More are not looked at. */
#define VFM_KERNEL_MAX_RANGES 64

struct vfm_kernel;

/**
 * struct vfm_kernel_iommu_ops - one for each way to have memory mapped
 * @map: -EEXIST, -ENOSPC, -ENOMEM, and the text explains
 * @unmap: all of one mapping. With @bits, which are zero before, and *@known is set: they tell
 *	what was written to it until the end, in pages of log_page
 * @log_start, @log_stop: of what devices write through the IOMMU; -ENOTTY: it cannot tell
 * @log_report: of one whole mapping, in pages of log_page; @bits are zero before
 *
 * Legal while the device is open.
 */
struct vfm_kernel_iommu_ops {
	int (*map)(struct vfm_kernel *k, const struct vfm_dma_map *map, const void *vaddr,
		   struct vfm_err *err);
	int (*unmap)(struct vfm_kernel *k, uint64_t iova, uint64_t size, uint64_t *bits,
		     bool *known, struct vfm_err *err);
	int (*log_start)(struct vfm_kernel *k, struct vfm_err *err);
	int (*log_report)(struct vfm_kernel *k, uint64_t iova, uint64_t size, uint64_t *bits,
			  struct vfm_err *err);
	int (*log_stop)(struct vfm_kernel *k, struct vfm_err *err);
};

/** struct vfm_kernel_span - addresses that the IOMMU can use, both ends included */
struct vfm_kernel_span {
	uint64_t first;
	uint64_t last;
};

/**
 * struct vfm_kernel_iommu - what the device's memory is mapped in
 * @ops: NULL: nothing that we know of
 * @fd: the container or iommufd, -1 without one
 * @group: of the first way, -1 else
 * @borrowed: it is somebody else's as well: what we have mapped there, we unmap
 * @ioas, @hwpt: objects in an iommufd, 0 for none. The hwpt is there if it can log
 * @page: smallest page, a power of two: addresses and sizes are multiples of it
 * @log_page, @max_bitmap: page of its dirty log, 0: none; most bytes of bitmap at a time
 * @limited, @avail: whether there is an end to the number of mappings, and how many may follow
 * @spans, @nr_spans: usable addresses in rising order; none: unknown
 */
struct vfm_kernel_iommu {
	const struct vfm_kernel_iommu_ops *ops;
	int fd;
	int group;
	bool borrowed;
	uint32_t ioas;
	uint32_t hwpt;
	uint64_t page;
	uint64_t log_page;
	uint64_t max_bitmap;
	bool limited;
	uint32_t avail;
	struct vfm_kernel_span spans[VFM_KERNEL_MAX_RANGES];
	size_t nr_spans;
};

/**
 * enum vfm_kernel_log_keeper - who keeps the dirty log
 * @VFM_KERNEL_LOG_NONE: none was started by us
 * @VFM_KERNEL_LOG_DEVICE: the device
 * @VFM_KERNEL_LOG_IOMMU: what its memory is mapped in
 */
enum vfm_kernel_log_keeper { VFM_KERNEL_LOG_NONE, VFM_KERNEL_LOG_DEVICE, VFM_KERNEL_LOG_IOMMU };

/**
 * struct vfm_kernel_log - see log.c
 * @ranges, @nr_ranges: those of its start
 * @tried: this range was dirty in the report that tried whether there are reports
 * @parts: of VFM_KERNEL_LOG_IOMMU
 */
struct vfm_kernel_log {
	enum vfm_kernel_log_keeper keeper;
	struct vfm_range ranges[VFM_MAX_LOG_RANGES];
	size_t nr_ranges;
	struct vfm_range tried;
	struct vfm_kernel_parts parts;
};

/**
 * struct vfm_kernel - a device of the kernel
 * @shared: somebody else has opened it, and holds on to it
 * @fd: its descriptor, of which regions are read
 * @regions: by index, NULL while unknown
 * @asked: whether @migration is known; it is 0 for a device without
 * @tells_reinit: the driver fills in the flags of what is left in pre-copy
 * @state: as the driver said last, and by its own doing it changes to ERROR only
 * @seen: @state is known
 * @stale: it was found in a session whose user has gone
 * @data_fd: of the session, -1 without one
 * @finished: the session gave its end in STOP_COPY
 * @torn: not all that was to be written to it could be: its image is no good
 */
struct vfm_kernel {
	struct vfm_device dev; /* first */
	const struct vfm_sys *sys;
	unsigned int timeout_ms;
	bool shared;
	int fd;
	struct vfm_kernel_iommu iommu;

	struct vfm_device_info info;
	struct vfm_region **regions;

	bool asked;
	bool tells_reinit;
	uint64_t migration;
	enum vfm_state state;
	bool seen;
	bool stale;
	int data_fd;
	bool finished;
	bool torn;

	struct vfm_iova_map mappings;
	struct vfm_kernel_log log;
};

static inline struct vfm_kernel *vfm_kernel_of(struct vfm_device *dev)
{
	return (struct vfm_kernel *)dev;
}

/**
 * vfm_kernel_fail() - an error of a system call in words, with what it says of itself
 *
 * Codes that mean something else to users of devices are replaced: ENODEV, the device is gone.
 */
int vfm_kernel_fail(struct vfm_err *err, int code, const char *fmt, ...) VFM_PRINTF(3, 4)
	__attribute__((cold));

/* ---- open.c ------------------------------------------------------------------ */

/** vfm_kernel_device_ioctl() - to the device; what it returns or -errno. */
static inline int vfm_kernel_device_ioctl(struct vfm_kernel *k, unsigned int request, void *arg)
{
	return k->sys->ioctl(k->fd, request, arg);
}

static inline int vfm_kernel_iommu_ioctl(struct vfm_kernel *k, unsigned int request, void *arg)
{
	return k->sys->ioctl(k->iommu.fd, request, arg);
}

/* ---- sysfs.c ----------------------------------------------------------------- */

/**
 * struct vfm_kernel_place - what is known of a device before it is opened
 * @device: its name on its bus, which its group knows it by; "" if unknown
 * @group: "12" or "noiommu-0", "" without one
 * @cdev: "vfio3", "" without one
 * @driver: that it is bound to, "" for none
 */
struct vfm_kernel_place {
	char device[VFM_KERNEL_WORD];
	char group[VFM_KERNEL_WORD];
	char cdev[VFM_KERNEL_WORD];
	char driver[VFM_KERNEL_WORD];
};

/**
 * vfm_kernel_find() - look a device up
 *
 * -ENOENT: there is none of that name. What is not there or cannot be read stays "".
 */
int vfm_kernel_find(const struct vfm_sys *sys, const struct vfm_kernel_name *name,
		    struct vfm_kernel_place *place, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_kernel_others() - "0000:3b:00.1 (mlx5_core)": who of a group is bound to no VFIO driver. */
void vfm_kernel_others(const struct vfm_sys *sys, const char *group, char *text, size_t room);

/* ---- group.c, cdev.c --------------------------------------------------------- */

/**
 * vfm_kernel_open_group(), vfm_kernel_open_cdev() - fill in k->fd and k->iommu
 *
 * On failure the caller closes what is there.
 */
int vfm_kernel_open_group(struct vfm_kernel *k, const struct vfm_kernel_name *name,
			  const struct vfm_kernel_place *place, struct vfm_err *err) VFM_MUST_CHECK;
int vfm_kernel_open_cdev(struct vfm_kernel *k, const struct vfm_kernel_name *name,
			 const struct vfm_kernel_place *place, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_kernel_use_container(), vfm_kernel_use_ioas() - one of somebody else's, in k->iommu.fd. */
int vfm_kernel_use_container(struct vfm_kernel *k, struct vfm_err *err) VFM_MUST_CHECK;
int vfm_kernel_use_ioas(struct vfm_kernel *k, uint32_t ioas, struct vfm_err *err) VFM_MUST_CHECK;

/* ---- why.c ------------------------------------------------------------------- */

/** Steps of opening that can fail for a reason that a user can do something about. */
enum vfm_kernel_step {
	VFM_KERNEL_STEP_CONTAINER,
	VFM_KERNEL_STEP_GROUP,
	VFM_KERNEL_STEP_DEVICE_OF_GROUP,
	VFM_KERNEL_STEP_SET_CONTAINER,
	VFM_KERNEL_STEP_SET_IOMMU,
	VFM_KERNEL_STEP_IOMMUFD,
	VFM_KERNEL_STEP_CDEV,
	VFM_KERNEL_STEP_BIND,
	VFM_KERNEL_STEP_ATTACH,
	VFM_KERNEL_STEP_OTHER,
};

/** vfm_kernel_map_failed() - a mapping was refused; @by: "container", say. */
int vfm_kernel_map_failed(int code, const char *by, struct vfm_err *err) __attribute__((cold));

/** vfm_kernel_why() - @what was tried ("open /dev/vfio/12"), and what @code means there. */
int vfm_kernel_why(enum vfm_kernel_step step, int code, struct vfm_err *err, const char *what, ...)
	VFM_PRINTF(4, 5) __attribute__((cold));

/* ---- caps.c ------------------------------------------------------------------ */

/**
 * vfm_kernel_ask_caps() - ask until the whole answer is there, with the capabilities behind it
 * @head: the fixed part of the question, which begins with argsz
 *
 * The answer's bytes are to be freed, also if this fails.
 */
int vfm_kernel_ask_caps(struct vfm_kernel *k, int fd, unsigned int request, const void *head,
			struct vfm_caps *caps) VFM_MUST_CHECK;

/* ---- operations -------------------------------------------------------------- */

int vfm_kernel_learn_info(struct vfm_kernel *k, struct vfm_err *err) VFM_MUST_CHECK;
int vfm_kernel_get_info(struct vfm_device *dev, struct vfm_device_info *info, struct vfm_err *err);
int vfm_kernel_get_irq(struct vfm_device *dev, uint32_t index, struct vfm_irq *irq,
		       struct vfm_err *err);
int vfm_kernel_set_irqs(struct vfm_device *dev, const struct vfm_irq_set *set, struct vfm_err *err);

int vfm_kernel_get_region(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			  struct vfm_err *err);
int vfm_kernel_read_region(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			   size_t len, struct vfm_err *err);
int vfm_kernel_write_region(struct vfm_device *dev, uint32_t index, uint64_t offset,
			    const void *buf, size_t len, struct vfm_err *err);
void vfm_kernel_free_regions(struct vfm_kernel *k);

int vfm_kernel_map_dma(struct vfm_device *dev, const struct vfm_dma_map *map, struct vfm_err *err);
int vfm_kernel_unmap_dma(struct vfm_device *dev, uint64_t iova, uint64_t size, struct vfm_err *err);
int vfm_kernel_unmap_all(struct vfm_device *dev, struct vfm_err *err);
/** vfm_kernel_drop_mappings() - when the device is closed: the kernel forgets them by itself,
 * unless somebody else holds on to what they are in. */
void vfm_kernel_drop_mappings(struct vfm_kernel *k);

/**
 * vfm_kernel_feature() - DEVICE_FEATURE
 * @flags: index, VFM_FEATURE_GET, SET, PROBE
 * @data, @len: payload, in and out; at most VFM_KERNEL_MAX_FEATURE bytes
 */
#define VFM_KERNEL_MAX_FEATURE 32
int vfm_kernel_feature(struct vfm_kernel *k, uint32_t flags, void *data, size_t len) VFM_MUST_CHECK;

int vfm_kernel_get_migration(struct vfm_device *dev, uint64_t *migration, struct vfm_err *err);
int vfm_kernel_get_state(struct vfm_device *dev, enum vfm_state *state, struct vfm_err *err);
int vfm_kernel_set_state(struct vfm_device *dev, enum vfm_state state, struct vfm_err *err);
int vfm_kernel_get_data_size(struct vfm_device *dev, uint64_t *bytes, struct vfm_err *err);
int vfm_kernel_reset(struct vfm_device *dev, struct vfm_err *err);
/** vfm_kernel_leave_session() - when the device is closed: out of the state of our session. */
void vfm_kernel_leave_session(struct vfm_kernel *k);

ssize_t vfm_kernel_read_data(struct vfm_device *dev, void *buf, size_t len, struct vfm_err *err);
int vfm_kernel_write_data(struct vfm_device *dev, const void *buf, size_t len, struct vfm_err *err);
int vfm_kernel_get_precopy_info(struct vfm_device *dev, struct vfm_precopy_info *info,
				struct vfm_err *err);
void vfm_kernel_end_session(struct vfm_kernel *k);

int vfm_kernel_start_log(struct vfm_device *dev, uint64_t *page_size,
			 const struct vfm_range *ranges, size_t nr_ranges, struct vfm_err *err);
int vfm_kernel_report_log(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
			  uint64_t *bitmap, struct vfm_err *err);
int vfm_kernel_stop_log(struct vfm_device *dev, struct vfm_err *err);
/** vfm_kernel_end_log() - stop it if it runs, as well as that can be done. */
void vfm_kernel_end_log(struct vfm_kernel *k);

#endif
