// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) vfmig authors

/*
 * A device, as its user sees it: regions, interrupts, DMA, and migration with
 * the semantics of protocol v2, whatever provides the device.
 *
 * Threads: a handle is used by one thread at a time. vfm_device_reset() is the
 * exception where the provider is a driver of this library: it may be called
 * while another thread is inside a call, and takes effect when that call ends.
 *
 * Errors common to all calls: -ENOTTY, this device or the way to it cannot do
 * that at all; -EINVAL, the call is not legal now or a value is wrong;
 * -ENOTCONN or -ECONNRESET, the device is gone; -ETIMEDOUT, it did not answer.
 */

#ifndef VFMIG_DEVICE_H
#define VFMIG_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <vfmig/error.h>
#include <vfmig/state.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vfm_device;

/**
 * vfm_open() - open a device by its name
 * @out: the device, to be closed with vfm_device_close()
 * @uri: "vfio-user:/run/dev.sock", "vfio:0000:3b:00.2", "sim:dma,state=64M",
 *	"./driver.so,key=value"
 * @err: optional
 *
 * The device is in the state in which it was found; a software device is
 * RUNNING. -ENOENT: nothing is there; -EINVAL: the URI is wrong, and the text
 * names the part that is; -EBUSY: it has a user already. Of the kernel's as well: -ENODEV,
 * no driver of VFIO has it; -EACCES, -EPERM: no rights; -EOPNOTSUPP: this host cannot do it.
 */
int vfm_open(struct vfm_device **out, const char *uri, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_device_close() - close; accepts NULL. The device keeps its state if it outlives us. */
void vfm_device_close(struct vfm_device *dev);

/** vfm_device_uri() - the name it was opened by; borrowed until close. */
const char *vfm_device_uri(const struct vfm_device *dev);

/* ---- description ------------------------------------------------------- */

#define VFM_DEVICE_RESET (1u << 0) /* vfm_device_reset() works */
#define VFM_DEVICE_PCI (1u << 1)   /* regions and interrupts are numbered as for PCI */

/** struct vfm_device_info - uAPI: struct vfio_device_info */
struct vfm_device_info {
	uint32_t flags;
	uint32_t nr_regions;
	uint32_t nr_irqs;
};

/** vfm_device_get_info() - what kind of device this is. Legal in every state. */
int vfm_device_get_info(struct vfm_device *dev, struct vfm_device_info *info,
			struct vfm_err *err) VFM_MUST_CHECK;

/* Indices of a PCI device (uAPI: VFIO_PCI_*_INDEX). */
enum vfm_pci_region {
	VFM_PCI_BAR0,
	VFM_PCI_BAR1,
	VFM_PCI_BAR2,
	VFM_PCI_BAR3,
	VFM_PCI_BAR4,
	VFM_PCI_BAR5,
	VFM_PCI_ROM,
	VFM_PCI_CONFIG,
	VFM_PCI_VGA,
	VFM_PCI_NR_REGIONS,
};
enum vfm_pci_irq {
	VFM_PCI_INTX,
	VFM_PCI_MSI,
	VFM_PCI_MSIX,
	VFM_PCI_ERR,
	VFM_PCI_REQ,
	VFM_PCI_NR_IRQS
};

#define VFM_REGION_READ (1u << 0)
#define VFM_REGION_WRITE (1u << 1)
#define VFM_REGION_MMAP (1u << 2)

/** Most mappable areas in one region; more are refused wherever they come from. */
#define VFM_MAX_AREAS 64

/** struct vfm_area - a part of a region, relative to its start */
struct vfm_area {
	uint64_t offset;
	uint64_t size;
};

/**
 * struct vfm_region - uAPI: struct vfio_region_info and its capabilities
 * @index: which one
 * @flags: VFM_REGION_*
 * @size: bytes; 0 means that the region does not exist
 * @type: capability type, 0 when there is none
 * @subtype: capability subtype
 * @fd: what to map, -1 when nothing can be; borrowed from the device until close
 * @fd_offset: where the region starts in @fd
 * @nr_areas: number of @areas; with VFM_REGION_MMAP and 0 areas all of it can be mapped
 * @areas: what can be mapped (sparse mmap), in rising order, not overlapping
 */
struct vfm_region {
	uint32_t index;
	uint32_t flags;
	uint64_t size;
	uint32_t type;
	uint32_t subtype;
	int fd;
	uint64_t fd_offset;
	uint32_t nr_areas;
	struct vfm_area areas[VFM_MAX_AREAS];
};

/** vfm_device_get_region() - describe a region. -EINVAL: no such index. Legal in every state. */
int vfm_device_get_region(struct vfm_device *dev, uint32_t index, struct vfm_region *region,
			  struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_device_read_region() / vfm_device_write_region() - access a region
 * @offset: relative to the region's start; offset + len must lie inside
 * @len: 1 byte to whatever the region holds; a register wants its own width
 *
 * Legal in every state; in STOP and RESUMING the configuration space answers too.
 */
int vfm_device_read_region(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf,
			   size_t len, struct vfm_err *err) VFM_MUST_CHECK;
int vfm_device_write_region(struct vfm_device *dev, uint32_t index, uint64_t offset,
			    const void *buf, size_t len, struct vfm_err *err) VFM_MUST_CHECK;

/** Kinds of struct vfm_io_fd. */
enum vfm_io_fd_type { VFM_IO_EVENTFD = 0, VFM_IO_REGIONFD = 1 };

/**
 * struct vfm_io_fd - a descriptor that stands for writes to a part of a region
 * @offset: in the region
 * @size: width of the access, 0 for any
 * @fd: an eventfd to signal instead of writing; borrowed from the device until close
 * @type: VFM_IO_EVENTFD or VFM_IO_REGIONFD
 * @flags: of the type (KVM_IOEVENTFD_FLAG_*: 1 is a value that must match)
 * @datamatch: the value, or the user data of a VFM_IO_REGIONFD
 */
struct vfm_io_fd {
	uint64_t offset;
	uint64_t size;
	int fd;
	uint32_t type;
	uint32_t flags;
	uint64_t datamatch;
};

/**
 * vfm_device_get_io_fds() - descriptors that replace register writes
 * @list: room for @max entries
 *
 * Return: the number there is, of which at most @max were stored.
 */
int vfm_device_get_io_fds(struct vfm_device *dev, uint32_t index, struct vfm_io_fd *list,
			  size_t max, struct vfm_err *err) VFM_MUST_CHECK;

/* ---- interrupts --------------------------------------------------------- */

#define VFM_IRQ_EVENTFD (1u << 0)
#define VFM_IRQ_MASKABLE (1u << 1)
#define VFM_IRQ_AUTOMASKED (1u << 2)
#define VFM_IRQ_NORESIZE (1u << 3)

/** struct vfm_irq - uAPI: struct vfio_irq_info */
struct vfm_irq {
	uint32_t index;
	uint32_t flags;
	uint32_t count;
};

/** vfm_device_get_irq() - describe an interrupt index. -EINVAL: no such index. */
int vfm_device_get_irq(struct vfm_device *dev, uint32_t index, struct vfm_irq *irq,
		       struct vfm_err *err) VFM_MUST_CHECK;

/* Exactly one of the data kinds and one of the actions (uAPI: VFIO_IRQ_SET_*). */
#define VFM_IRQ_SET_DATA_NONE (1u << 0)
#define VFM_IRQ_SET_DATA_BOOL (1u << 1)
#define VFM_IRQ_SET_DATA_EVENTFD (1u << 2)
#define VFM_IRQ_SET_ACTION_MASK (1u << 3)
#define VFM_IRQ_SET_ACTION_UNMASK (1u << 4)
#define VFM_IRQ_SET_ACTION_TRIGGER (1u << 5)

/**
 * struct vfm_irq_set - uAPI: struct vfio_irq_set
 * @flags: VFM_IRQ_SET_*
 * @index: interrupt index
 * @start: first sub-index
 * @count: how many; 0 with DATA_NONE | ACTION_TRIGGER turns the index off
 * @bools: @count bytes for DATA_BOOL, else NULL
 * @fds: @count descriptors for DATA_EVENTFD, -1 to take one away; NULL takes
 *       all away. The device keeps duplicates; the caller keeps its own.
 */
struct vfm_irq_set {
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
	const uint8_t *bools;
	const int *fds;
};

/**
 * vfm_device_set_irqs() - wire, mask, unmask or trigger interrupts
 *
 * Legal in every state: a restored machine wires its interrupts in RESUMING.
 * None is raised before the device runs.
 */
int vfm_device_set_irqs(struct vfm_device *dev, const struct vfm_irq_set *set,
			struct vfm_err *err) VFM_MUST_CHECK;

/* ---- DMA ---------------------------------------------------------------- */

#define VFM_DMA_READ (1u << 0)	/* the device may read */
#define VFM_DMA_WRITE (1u << 1) /* the device may write */

/**
 * struct vfm_dma_access - memory that can be reached by calls alone
 * @read, @write: move exactly @len bytes; 0 or a negative errno value
 */
struct vfm_dma_access {
	int (*read)(void *user, uint64_t iova, void *buf, size_t len);
	int (*write)(void *user, uint64_t iova, const void *buf, size_t len);
	void *user;
};

/**
 * struct vfm_dma_map - a range of memory for the device
 * @iova: where the device sees it
 * @size: bytes, not 0; @iova + @size must not wrap
 * @flags: VFM_DMA_*
 * @fd: memory to map, or -1; the device keeps a duplicate or a mapping
 * @fd_offset: where the range starts in @fd
 * @vaddr: where it stands in our own address space, or NULL
 * @access: used when there is neither @fd nor @vaddr; copied
 *
 * At least one of @fd, @vaddr and @access is there. A device in another process
 * uses @fd if it can, and comes back to @vaddr or @access by messages if not.
 * @vaddr and what @access points to stay valid until the range is unmapped.
 */
struct vfm_dma_map {
	uint64_t iova;
	uint64_t size;
	uint32_t flags;
	int fd;
	uint64_t fd_offset;
	void *vaddr;
	struct vfm_dma_access access;
};

/**
 * vfm_device_map_dma() - let the device reach memory
 *
 * -EEXIST: overlaps a range that is mapped; -ENOSPC: too many ranges.
 */
int vfm_device_map_dma(struct vfm_device *dev, const struct vfm_dma_map *map,
		       struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_device_unmap_dma() - take memory away again
 *
 * The range must be one that was mapped, exactly: -ENOENT. When the call
 * returns the device holds no reference and no DMA to it is under way.
 */
int vfm_device_unmap_dma(struct vfm_device *dev, uint64_t iova, uint64_t size,
			 struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_device_unmap_all() - every range. */
int vfm_device_unmap_all(struct vfm_device *dev, struct vfm_err *err) VFM_MUST_CHECK;

/* ---- migration ---------------------------------------------------------- */

/**
 * vfm_device_get_migration() - what the device can do, as VFM_MIGRATION_* bits
 *
 * -ENOTTY: it cannot migrate.
 */
int vfm_device_get_migration(struct vfm_device *dev, uint64_t *migration,
			     struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_device_get_state() - the state now. */
int vfm_device_get_state(struct vfm_device *dev, enum vfm_state *state,
			 struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_device_set_state() - go to a state, along the shortest legal path
 *
 * The present state is always legal and does nothing. Entering PRE_COPY,
 * PRE_COPY_P2P or STOP_COPY from outside these three, and entering RESUMING,
 * opens the one data session; leaving them ends it. RESUMING -> STOP proves
 * the image: -EBADMSG when it is incomplete or wrong, and the device stays.
 *
 * On failure the device is where the last completed step left it, or in ERROR:
 * ask vfm_device_get_state(). -EINVAL: there is no path; -EIO: the device is in
 * ERROR and only vfm_device_reset() helps.
 */
int vfm_device_set_state(struct vfm_device *dev, enum vfm_state state,
			 struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_device_read_data() - read the data session
 *
 * Legal in PRE_COPY, PRE_COPY_P2P and STOP_COPY. Three ends are kept apart:
 * a count > 0, there may be more; -ENOMSG, nothing now (the first two states
 * only, never filled into @err); 0, finished (STOP_COPY only, and for ever).
 *
 * Return: bytes read, at most @len.
 */
ssize_t vfm_device_read_data(struct vfm_device *dev, void *buf, size_t len,
			     struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_device_write_data() - write the data session, all of @buf
 *
 * Legal in RESUMING. How the stream is cut into calls has no meaning. After a
 * failure the session is dead: -EBADMSG, the data is damaged; -ENOTUNIQ, it is
 * of another device model, version or parameters, and the text says which.
 */
int vfm_device_write_data(struct vfm_device *dev, const void *buf, size_t len,
			  struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_device_read_chunk() / vfm_device_write_chunk() - the same for data that has chunks
 * @end: the bytes read end a chunk (set); those written do
 *
 * Protocol v1 hands data out in transactions and wants them back in the same sizes; a
 * chunk is one of those, read or written in any number of calls. A read never goes on
 * behind the end of a chunk. Devices whose data is not cut never set @end, and do not
 * care about it; whoever carries the data from one device to another keeps both.
 * -EMSGSIZE: a chunk is larger than what the device can take as one.
 */
ssize_t vfm_device_read_chunk(struct vfm_device *dev, void *buf, size_t len, bool *end,
			      struct vfm_err *err) VFM_MUST_CHECK;
int vfm_device_write_chunk(struct vfm_device *dev, const void *buf, size_t len, bool end,
			   struct vfm_err *err) VFM_MUST_CHECK;

/**
 * struct vfm_precopy_info - uAPI: struct vfio_precopy_info
 * @initial_bytes: what should be read before the device is stopped; only falls,
 *	unless @reinit
 * @dirty_bytes: what has changed since; rises and falls
 * @reinit: new initial data has appeared
 */
struct vfm_precopy_info {
	uint64_t initial_bytes;
	uint64_t dirty_bytes;
	bool reinit;
};

/** vfm_device_get_precopy_info() - what is left to read. Legal in PRE_COPY and PRE_COPY_P2P. */
int vfm_device_get_precopy_info(struct vfm_device *dev, struct vfm_precopy_info *info,
				struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_device_get_data_size() - an estimate of the bytes that STOP_COPY will need
 *
 * Legal in every state; never 0. An estimate of the device, not to be believed
 * blindly.
 */
int vfm_device_get_data_size(struct vfm_device *dev, uint64_t *bytes,
			     struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_device_reset() - back to RUNNING with fresh state, from every state
 *
 * The only way out of ERROR. Ends any data session. Mappings, interrupt wiring
 * and the dirty log stay.
 */
int vfm_device_reset(struct vfm_device *dev, struct vfm_err *err) VFM_MUST_CHECK;

/** Longest model name and parameter text, with their terminating zero. */
#define VFM_MODEL_TEXT 64
#define VFM_PARAMS_TEXT 512

/**
 * struct vfm_compat - what must agree for an image to be loaded
 * @model: of the device, "vfmig,sim-dma"
 * @version: of the images that it writes
 * @min_version: oldest image that it reads
 * @params: those of its parameters that shape the image
 * @judges_params: the device looks itself at images whose params differ, when it loads
 *	them; else they are refused
 */
struct vfm_compat {
	char model[VFM_MODEL_TEXT];
	uint32_t version;
	uint32_t min_version;
	char params[VFM_PARAMS_TEXT];
	bool judges_params;
};

/**
 * vfm_device_get_compat() - ask before the move what will be checked during it
 *
 * -ENOTTY: the device or the way to it cannot tell.
 */
int vfm_device_get_compat(struct vfm_device *dev, struct vfm_compat *compat,
			  struct vfm_err *err) VFM_MUST_CHECK;

/**
 * enum vfm_orphan - what a device shall do when its user vanishes
 * @VFM_ORPHAN_KEEP: stay in its state and wait for the next user (default)
 * @VFM_ORPHAN_RUN: if it is in a saving state or STOP, go back to RUNNING
 * @VFM_ORPHAN_RESET: if it is in RESUMING, STOP or ERROR, reset
 */
enum vfm_orphan { VFM_ORPHAN_KEEP, VFM_ORPHAN_RUN, VFM_ORPHAN_RESET };

/**
 * vfm_device_set_orphan() - decide now what happens if we die
 *
 * A source that dies before it has committed leaves its device RUNNING, one
 * that dies later leaves it stopped. Holds until changed or until the user is
 * gone. -ENOTTY: the device cannot do that; it will keep its state.
 */
int vfm_device_set_orphan(struct vfm_device *dev, enum vfm_orphan orphan,
			  struct vfm_err *err) VFM_MUST_CHECK;

/**
 * struct vfm_protocol - the migration protocol that the device itself speaks
 * @version: 1 or 2; what it does has the semantics of 2 in either case
 * @region: of version 1: index of the migration region, which is not among the others
 * @region_size: of version 1: bytes of that region, registers and data section
 * @mapped_size: of version 1: how many of them are reached without a message or a call
 * @late_proof: of version 1: the device has been seen to refuse RESUMING -> STOP, so
 *	that whether an image is right is known only when it runs
 */
struct vfm_protocol {
	unsigned int version;
	uint32_t region;
	uint64_t region_size;
	uint64_t mapped_size;
	bool late_proof;
};

/** vfm_device_get_protocol() - -ENOTTY: none, it cannot migrate. */
int vfm_device_get_protocol(struct vfm_device *dev, struct vfm_protocol *protocol,
			    struct vfm_err *err) VFM_MUST_CHECK;

/* ---- dirty log ---------------------------------------------------------- */

/** Most ranges in one dirty log (uAPI: PAGE_SIZE / 16). */
#define VFM_MAX_LOG_RANGES 256

struct vfm_range {
	uint64_t iova;
	uint64_t size;
};

/**
 * vfm_device_start_log() - begin to log what the device writes by DMA
 * @page_size: in: wanted, a power of two; out: chosen by the device
 * @ranges: aligned to the page size wanted, not overlapping, not wrapping
 * @nr_ranges: 1 to VFM_MAX_LOG_RANGES: -E2BIG
 *
 * Independent of the migration state. -EINVAL when a log is running already;
 * -EOVERFLOW: a range wraps (one that ends at 2^64 wraps too).
 */
int vfm_device_start_log(struct vfm_device *dev, uint64_t *page_size,
			 const struct vfm_range *ranges, size_t nr_ranges,
			 struct vfm_err *err) VFM_MUST_CHECK;

/**
 * vfm_device_report_log() - read and clear a part of the log
 * @iova, @size: any part of the ranges that are logged, @iova aligned to @page_size
 * @page_size: a power of two >= 4096, which may differ from that of the start
 * @bitmap: bit n % 64 of word n / 64 stands for the page at @iova + n * @page_size.
 *	Bits are set, never cleared; room for vfm_log_bitmap_words() words
 *
 * After an error everything must be taken for dirty.
 */
int vfm_device_report_log(struct vfm_device *dev, uint64_t iova, uint64_t size, uint64_t page_size,
			  uint64_t *bitmap, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_device_stop_log() - end the log. -EINVAL: none is running. */
int vfm_device_stop_log(struct vfm_device *dev, struct vfm_err *err) VFM_MUST_CHECK;

/** vfm_log_bitmap_words() - words of 64 bits that a report of @size bytes fills. */
static inline size_t vfm_log_bitmap_words(uint64_t size, uint64_t page_size)
{
	uint64_t pages = size / page_size + (size % page_size != 0);

	return (size_t)(pages / 64 + (pages % 64 != 0));
}

/* ---- somebody else's event loop ----------------------------------------- */

/**
 * vfm_device_get_fd() - a descriptor that is readable when the device has work
 *
 * A device works while its user calls into it; between calls, its user waits
 * for this descriptor and calls vfm_device_process(). Borrowed until close.
 *
 * Return: the descriptor, or -1 when the device never needs that.
 */
int vfm_device_get_fd(struct vfm_device *dev);

/**
 * vfm_device_process() - do what is due now, without waiting
 *
 * Serves DMA messages of a remote device, lets a software device work.
 */
int vfm_device_process(struct vfm_device *dev, struct vfm_err *err) VFM_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
