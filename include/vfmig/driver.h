// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * For authors of devices. Fill in a struct vfm_driver; the library makes a
 * migratable device of it: it finds the path between states, opens and ends
 * data sessions, frames and checks the image, accounts for pre-copy, keeps the
 * dirty log and the interrupt wiring, and offers it over every protocol face.
 *
 * An image is a sequence of records. A driver writes whole records and is given
 * whole records; the framework adds a compatibility block in front, a checksum
 * to each, and an end by which a truncated image is noticed.
 *
 * A driver in a shared object exports itself with VFM_DRIVER(), and is opened by
 * a URI that is its path: "./mydev.so,key=value".
 *
 * Every callback runs with the device locked: no two of them run at a time, and
 * none may call back into the vfm_device_*() calls. Those of vfm_host_*() are for
 * callbacks.
 */

#ifndef VFMIG_DRIVER_H
#define VFMIG_DRIVER_H

#include <vfmig/device.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vfm_host;
struct vfm_description;

/** Largest record_max that a driver may ask for. */
#define VFM_RECORD_LIMIT (1u << 20)

/**
 * struct vfm_driver - a kind of device
 *
 * Fields are only ever appended; @size tells how many there are. All members
 * that are not said to be required may be left zero.
 */
struct vfm_driver {
	size_t size; /* sizeof(struct vfm_driver); VFM_DRIVER_INIT sets it */

	/*
	 * Identity. Required: model. An image is refused unless the model is the
	 * same, its version lies in [min_version, version], and the params that
	 * describe() gave are the same or compatible() accepts them.
	 */
	const char *model;
	uint32_t version;
	uint32_t min_version;

	uint64_t migration; /* VFM_MIGRATION_*; 0: cannot migrate. describe() may take bits away */
	size_t record_max;  /* largest record, 1 to VFM_RECORD_LIMIT; required to migrate */

	/**
	 * @open: required. Make a device from the parameters in a URI.
	 * @params: what followed the name in the URI, "" if nothing
	 * @priv: what the other callbacks get
	 *
	 * Guarantees: the new device is in its reset state. -EINVAL with a text
	 * that names the parameter when one is wrong.
	 */
	int (*open)(struct vfm_host *host, const char *params, void **priv, struct vfm_err *err);

	/** @close: required. Free everything; called once for each open() that succeeded. */
	void (*close)(void *priv);

	/**
	 * @describe: say what the device consists of, once, after open().
	 * Without it the device has no regions and no interrupts.
	 */
	int (*describe)(void *priv, struct vfm_description *desc, struct vfm_err *err);

	/**
	 * @read_region, @write_region: an access by the user. The framework has
	 * checked index, bounds and direction. Legal in every state.
	 */
	int (*read_region)(void *priv, uint32_t index, uint64_t offset, void *buf, size_t len,
			   struct vfm_err *err);
	int (*write_region)(void *priv, uint32_t index, uint64_t offset, const void *buf,
			    size_t len, struct vfm_err *err);

	/**
	 * @reset: back to the state that open() left.
	 *
	 * Guarantees: all DMA has ended. May be called in every state.
	 */
	int (*reset)(void *priv, struct vfm_err *err);

	/**
	 * @arc: one single arc of the state machine, the only thing a driver
	 * needs to know about states (those there are follow from @migration; see
	 * vfm_arc_exists()). Without it every arc succeeds.
	 *
	 * Guarantees: on success the device is in @to; arriving in a state that is
	 * not active, no DMA is under way and none begins, and no interrupt is
	 * raised. On failure it is still in @from; -EIO says that it is in neither,
	 * and the framework goes to ERROR.
	 */
	int (*arc)(void *priv, enum vfm_state from, enum vfm_state to, struct vfm_err *err);

	/**
	 * @save: the next record of the image. Required to migrate.
	 * @buf: room for @record_max bytes, always
	 *
	 * Called in PRE_COPY, PRE_COPY_P2P and STOP_COPY. The sequence of records
	 * does not depend on how the user reads.
	 *
	 * Return: its length; 0: nothing now, or in STOP_COPY nothing more.
	 */
	ssize_t (*save)(void *priv, void *buf, struct vfm_err *err);

	/**
	 * @load: a record of an image, whole and with a proven checksum, in order.
	 * Required to migrate. What is in it is not to be trusted for that.
	 * -EBADMSG: it makes no sense.
	 */
	int (*load)(void *priv, const void *buf, size_t len, struct vfm_err *err);

	/**
	 * @load_end: the image is complete, on RESUMING -> STOP, before arc().
	 * The last chance to refuse it: -EBADMSG.
	 */
	int (*load_end)(void *priv, struct vfm_err *err);

	/**
	 * @pending: bytes of records not yet given out by save(). Required for
	 * PRE_COPY. The framework adds its own framing and what is still unread,
	 * and sees to it that initial_bytes only falls.
	 */
	int (*pending)(void *priv, struct vfm_precopy_info *info, struct vfm_err *err);

	/**
	 * @data_size: bytes of records that STOP_COPY would give if it came now.
	 * Required to migrate. Legal in every state.
	 */
	int (*data_size)(void *priv, uint64_t *bytes, struct vfm_err *err);

	/** @compatible: whether params of an image that differ from ours will do. */
	int (*compatible)(void *priv, const struct vfm_compat *theirs, struct vfm_err *err);

	/** @process: something is to be read from desc.fd, or time has passed. */
	int (*process)(void *priv, struct vfm_err *err);
};

/** Number of regions, interrupt indices and io_fds that a driver may describe. */
#define VFM_DRIVER_MAX_REGIONS 32
#define VFM_DRIVER_MAX_IRQS 16
#define VFM_DRIVER_MAX_IO_FDS 16

/** Most vectors in one interrupt index (PCI: MSI-X has 2048). */
#define VFM_MAX_VECTORS 2048

/**
 * struct vfm_driver_io_fd - a struct vfm_io_fd and the region that it belongs to
 */
struct vfm_driver_io_fd {
	uint32_t region;
	struct vfm_io_fd io;
};

/**
 * struct vfm_description - what a device consists of
 *
 * Zeroed but for the fds, which are -1, when describe() is called. The
 * descriptors stay the driver's. Regions and interrupts are numbered by their
 * place in the array; with VFM_DEVICE_PCI that is the PCI numbering.
 */
struct vfm_description {
	uint32_t flags; /* VFM_DEVICE_* */
	uint32_t nr_regions;
	uint32_t nr_irqs;
	uint32_t nr_io_fds;
	struct vfm_region regions[VFM_DRIVER_MAX_REGIONS];
	struct vfm_irq irqs[VFM_DRIVER_MAX_IRQS];
	struct vfm_driver_io_fd io_fds[VFM_DRIVER_MAX_IO_FDS];
	uint64_t migration;	      /* starts as the driver's; bits may be taken away */
	char params[VFM_PARAMS_TEXT]; /* those that shape the image */
	int fd;			      /* readable when process() should be called, or -1 */
};

#define VFM_DRIVER_INIT .size = sizeof(struct vfm_driver)

/** Version of this interface, checked when a shared object is loaded. */
#define VFM_DRIVER_API 1

/** What a shared object exports. */
struct vfm_driver_entry {
	uint32_t api;
	const struct vfm_driver *driver;
};

/** VFM_DRIVER() - export a driver from a shared object, once in it. */
#define VFM_DRIVER(drv)                                                                            \
	__attribute__((                                                                            \
		visibility("default"))) extern const struct vfm_driver_entry vfm_driver_entry;     \
	const struct vfm_driver_entry vfm_driver_entry = { VFM_DRIVER_API, &(drv) }

/* ---- what a driver may ask of the framework ----------------------------- */

/**
 * vfm_host_read_dma() / vfm_host_write_dma() - DMA of the device
 *
 * A transfer may span several mapped ranges that touch. Pages written enter the
 * dirty log. -EFAULT: something of it is not mapped, or not for this direction,
 * and nothing was moved; -EPERM: the device is stopped, where DMA is forbidden.
 */
int vfm_host_read_dma(struct vfm_host *host, uint64_t iova, void *buf, size_t len,
		      struct vfm_err *err) VFM_MUST_CHECK;
int vfm_host_write_dma(struct vfm_host *host, uint64_t iova, const void *buf, size_t len,
		       struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_host_raise_irq() - raise an interrupt
 *
 * A masked interrupt stays pending and fires when unmasked. Interrupts that
 * nobody listens to are dropped. -EPERM: the device is stopped; keep the cause
 * in the device's own state and raise it when it runs again.
 */
int vfm_host_raise_irq(struct vfm_host *host, uint32_t index, uint32_t vector,
		       struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_host_state() - the migration state; during arc() still the old one. */
enum vfm_state vfm_host_state(const struct vfm_host *host);

/** vfm_host_request_reset() - reset the device when this callback has ended (a function-level
 * reset). */
void vfm_host_request_reset(struct vfm_host *host);

/** vfm_arc_exists() - whether a device with these features has this single arc. */
bool vfm_arc_exists(uint64_t migration, enum vfm_state from, enum vfm_state to);

/* ---- making a device of a driver ---------------------------------------- */

/**
 * vfm_device_from_driver() - a device in this process
 * @driver: must stay valid until the device is closed
 * @params: handed to its open(), NULL for none
 */
int vfm_device_from_driver(struct vfm_device **out, const struct vfm_driver *driver,
			   const char *params, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_device_load_driver() - the same from a shared object that uses VFM_DRIVER(). */
int vfm_device_load_driver(struct vfm_device **out, const char *path, const char *params,
			   struct vfm_err *err) VFM_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
